/* Calls of compiled functions. */
#ifndef SN_FRONTEND_COMPILED_CALL_H
#define SN_FRONTEND_COMPILED_CALL_H

#include "frontend/compiled/handle.h"

/* The call itself. Outputs receive handles of the current scope, or owned references. */
sn_status compiled_call(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                        bool owned);
/* The same without guards or trace: the program's function on real tensors. (frontend/compiled/call_eager.c) */
sn_status compiled_call_eagerly(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                                bool owned);
/* The same inside a trace: its ops are recorded with the caller's. */
sn_status compiled_inline(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                          bool owned);
/* Options of sn_call and sn_apply. */
sn_status call_options_check(const sn_call_options *options, const char *op, sn_error *error);

#endif
