/* A call inside a trace: the ops of the function become the caller's. */
#include "frontend/call/call.h"
#include "frontend/call/invoke.h"
#include "frontend/call/substituted.h"

static void release_callee(void *callee) {
    compiled_drop(callee);
}

/* Holds the function that is inlined until the trace ends. */
static bool hold_callee(Trace *trace, sn_compiled *c) {
    for (uint32_t i = 0; i < trace->cleanups.count; i++)
        if (trace->cleanups.data[i].what == c) return true;
    if (!trace_at_end(trace, release_callee, c))
        return error_refuse(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
    compiled_retain(c);
    return true;
}

/* What the inlined function depends on beyond its arguments, the caller depends on. Arguments and
 * results are checked, and a scalar that is returned becomes a tensor, as in a call of its own. */
sn_status call_inline(Trace *trace, sn_compiled *c, const sn_value *values, sn_tensor **outputs,
                      bool owned) {
    if (error_pending(thread_state()) || !hold_callee(trace, c)) return sn_error_status();
    CallArgs args;
    Substituted s;
    bool fits = arguments_flatten(c, values, &args) && arguments_check_dims(c, &args);
    if (!trace_owns(trace, args.block)) /* the function may jump out */
        return error_refuse(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title),
               SN_ERROR_MEMORY;
    if (!fits || !substituted_make(c, trace, &args, args.tensors, &s)) return sn_error_status();
    bool fullgraph = trace->fullgraph;
    if (is_impure(&c->purity) || c->options.n_watch) trace->impure = true;
    trace->fullgraph = fullgraph || c->options.fullgraph;
    sn_status status = compiled_invoke(c, s.values, outputs);
    if (!recorder_is_open(&trace->recorder)) return status;
    trace->fullgraph = fullgraph;
    if (status == SN_OK) status = substituted_check(c, &s);
    if (status == SN_OK) status = results_complete(c, outputs);
    for (int32_t i = 0; owned && status == SN_OK && i < c->signature.n_outputs; i++)
        sn_retain(outputs[i]);
    return status;
}
