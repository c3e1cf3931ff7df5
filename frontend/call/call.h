/* Calls of compiled functions: four ways to results, and the choice between them. */
#ifndef SN_FRONTEND_CALL_CALL_H
#define SN_FRONTEND_CALL_CALL_H

#include "frontend/compiled/arguments.h"
#include "frontend/compiled/key.h"

/* A call, by whichever way. Outputs receive handles of the current scope, or references that are
 * the caller's (`owned`). Errors are raised. */
sn_status compiled_call(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                        bool owned);

/* ---- the ways -------------------------------------------------------------------------------- */

/* Does no tensor of the call lie in part where the entry writes (frontend/call/overlap.c)? */
bool call_writes_apart(const Entry *entry, const CallArgs *args);
/* May the entry that the key leads to run on these arguments? One that writes an input must not
 * meet a second tensor in the same memory, unless that was so when it was traced: then the key says
 * so. */
static inline bool call_entry_serves(const Entry *entry, const CallArgs *args) {
    return !entry->writes || args->apart || call_writes_apart(entry, args);
}
/* A guard hit: the entry's kernels. */
sn_status call_entry(const sn_compiled *compiled, const Entry *entry, const CallArgs *args,
                     sn_tensor **outputs, bool owned);
/* Raises an error of a run: of its op, where that is, or else of the function. */
void call_refuse(const sn_compiled *compiled, const sn_error *error);
/* By way of a trace, which takes over the blocks of key and arguments, and the reference to `seen`: the
 * entry that the key led to, to be checked, or NULL. */
sn_status call_traced(sn_compiled *compiled, CallArgs *args, Key *key, Entry *seen,
                      sn_tensor **outputs, bool owned);
/* The program's function on real tensors, as if it were not compiled. */
sn_status call_eager(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                     bool owned);
/* TraceOwner.call: the function's ops are recorded with those of the trace's. */
sn_status call_inline(Trace *trace, sn_compiled *compiled, const sn_value *values,
                      sn_tensor **outputs, bool owned);

#endif
