/* The program's function, called with real tensors or with proxies in their place. */
#ifndef SN_FRONTEND_CALL_INVOKE_H
#define SN_FRONTEND_CALL_INVOKE_H

#include "frontend/compiled/arguments.h"

/* Calls the function by values. Outputs are handles of the current scope. A function that returns after it
 * unwound its own call fails, and the recorder that it was called with is gone: see recorder_is_open. */
sn_status compiled_invoke(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs);

/* The same of a function of a binding, whose outputs are not looked at yet. */
sn_status payload_invoke(const sn_compiled *compiled, const sn_value *values, sn_tensor **outputs);

#endif
