/* The program's function, called with real tensors or with proxies in their place. */
#ifndef SN_FRONTEND_CALL_INVOKE_H
#define SN_FRONTEND_CALL_INVOKE_H

#include "frontend/compiled/arguments.h"

/* The values of a call with the tensors replaced (by proxies), in memory of this struct. */
typedef struct Substituted {
    sn_value values[SIGNATURE_MOST_PARAMS];    /* for the function */
    sn_tensor *arrays[SIGNATURE_MOST_TENSORS]; /* elements of t* */
    char *structs[SIGNATURE_MOST_PARAMS];      /* described structs: the function's copy, and
                                                   * behind it one to see that it was not written */
} Substituted;
/* Replaces the tensors by `tensors`, in the same order; what is allocated belongs to the trace.
 * False when out of memory. */
bool arguments_substitute(const sn_compiled *compiled, Trace *trace, const CallArgs *args,
                          sn_tensor *const *tensors, Substituted *substituted);
/* Calls the function by values. Outputs are handles of the current scope. */
sn_status compiled_invoke(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs);
/* Refuses a function that wrote into a described struct: it was given a copy. */
sn_status substituted_check(const sn_compiled *compiled, const Substituted *substituted);

#endif
