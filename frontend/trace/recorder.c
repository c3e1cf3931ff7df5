/* A trace as the recorder of its thread; see tensor/recorder.h. */
#include "frontend/trace/trace.h"

#include "base/assert.h"

/* A captured tensor that becomes an operand is noticed where it does; looks leave no op behind. */
static void trace_look(Recorder *recorder, const sn_tensor *tensor) {
    Trace *trace = trace_of(recorder);
    bool foreign = tensor->kind == TENSOR_WEAK && !trace_made_here(trace, tensor);
    if (tensor->kind == TENSOR_REAL || foreign) trace->impure = true;
}

static void trace_keep(Recorder *recorder, const sn_tensor *tensor, int32_t references) {
    Trace *trace = trace_of(recorder);
    if (tensor->kind == TENSOR_PROXY) return;
    if (tensor->kind == TENSOR_WEAK && trace_made_here(trace, tensor))
        trace->kept += references;
    else
        trace->impure = true;
}

/* A proxy turns real. Of real memory, what was recorded for it runs. */
static bool trace_read(Recorder *recorder, const sn_tensor *tensor, bool writes, const char *op,
                       Site site) {
    Trace *trace = trace_of(recorder);
    if (tensor->kind == TENSOR_PROXY) return trace_host_read(trace, op, site);
    if (tensor->kind != TENSOR_REAL) return true;
    bool shares = writes ? trace_input_overlaps(trace, tensor, UINT32_MAX)
                         : trace_written_overlaps(trace, tensor, false);
    return !shares || trace_host_read(trace, op, site);
}

static const RecorderTable trace_table = {
    .ops = {.op = trace_op, .view = trace_view, .inplace = trace_inplace},
    .look = trace_look,
    .keep = trace_keep,
    .read = trace_read,
    .call = trace_call,
    .abandon = trace_abandon};

void trace_enter(Trace *trace) {
    ThreadState *state = thread_state();
    trace->recorder.outer = state->recorder;
    trace->recorder.scope = sn_scope_begin();
    trace->recorder.table = &trace_table;
    state->recorder = &trace->recorder;
}

void trace_leave(Trace *trace) {
    ThreadState *state = thread_state();
    SN_ASSERT(state->recorder == &trace->recorder);
    state->recorder = trace->recorder.outer;
    sn_scope_end(trace->recorder.scope, NULL);
}
