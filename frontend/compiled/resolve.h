/* From what a trace recorded to the instance that runs it: found, bound, or compiled as the
 * function's policy says. */
#ifndef SN_FRONTEND_COMPILED_RESOLVE_H
#define SN_FRONTEND_COMPILED_RESOLVE_H

#include "frontend/compiled/key.h"
#include "frontend/trace/trace.h"

/* The compiled form of the trace's graph. A reference, or NULL with the error: the program
 * cancelled or refused it, or memory is out. `args` and `key` (not packed where the function is run on every
 * call) are the call's, for what is told of a compilation; NULL at a flush in the middle of the function. */
GraphInstance *resolve_trace(sn_compiled *compiled, const Trace *trace, const CallArgs *args,
                             const Key *key, sn_error *error);

#endif
