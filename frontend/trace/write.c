/* Recording writes: what an in-place op or a write through a view makes of its root; see trace.h. */
#include "frontend/trace/trace.h"

#include "frontend/op/dispatch.h"
#include "frontend/op/inplace_fit.h"

/* The root's content becomes that with `value` written through view `record`. */
static bool write_view(Trace *trace, GraphBuilder *b, uint32_t record, NodeId value) {
    uint32_t root_index = trace->views.data[record].root;
    NodeId written = value;
    for (uint32_t at = record; trace->views.data[at].parent >= 0;) {
        uint32_t parent = (uint32_t)trace->views.data[at].parent;
        NodeId parent_node = trace_view_node(trace, parent, b->site, b->error);
        if (parent_node == NODE_NONE) return false;
        TraceView view = trace->views.data[at];
        value = view_write(b, trace_view_attrs(trace, &view), parent_node, value);
        if (b->failed) return false;
        at = parent;
    }
    TraceRoot *root = &trace->roots.data[root_index];
    /* The write stands where its node does: not in front of an op that may fail before it. */
    if (root->input >= 0 && value < trace->latest_check) value = gb_op1(b, OP_CLONE, value);
    if (b->failed) return false;
    if (root->input >= 0 && !root->version && !trace_note_written(trace, root->input))
        return error_memory(b->error), false;
    root->node = value;
    root->version++;
    trace->views.data[record].node = written;
    trace->views.data[record].version = root->version;
    return true;
}

/* What copy_ writes. A scalar does not stay weak in the memory of a tensor. */
static NodeId source_node(Trace *trace, const sn_tensor *target, sn_tensor *source, Site site) {
    if (source->kind != TENSOR_WEAK) return trace_node(trace, source, site);
    return trace_scalar(trace, source, (sn_dtype)target->dtype, site);
}

/* A write to memory that another input shares in part, or through something that names one element
 * twice, cannot be recorded: from here on ops run at once, on real memory. */
static bool leave_if_overlapping(Trace *trace, int64_t record, Site site, bool *left) {
    *left = false;
    int32_t own = trace->roots.data[trace->views.data[record].root].input;
    const sn_tensor *written = own < 0 ? NULL : trace->inputs.data[own].tensor;
    *left = trace->views.data[record].repeats ||
            (written && (tensor_overlaps_itself(written) ||
                         trace_input_overlaps(trace, written, (uint32_t)own)));
    if (!*left) return true;
    trace->owner->fallback(trace->context, "a write to memory that another input shares, or "
                                           "that is named more than once");
    bool impure = trace->impure;
    if (!trace_flush(trace, site)) return false;
    trace->impure = impure; /* other arguments may be recorded whole */
    trace_end(trace);
    return true;
}

/* The value that an in-place op writes, before it fits; copy_ has its source alone. */
static NodeId written_value(Trace *trace, const OpCall *call) {
    return inplace_copies(call->op)
               ? source_node(trace, call->inputs[0], call->inputs[1], call->site)
               : trace_emit(trace, call);
}

/* So that all memory is known that the write may share. */
static bool capture_operands(Trace *trace, const OpCall *call) {
    for (int32_t i = 1; i < call->n_inputs; i++)
        if (call->inputs[i]->kind == TENSOR_REAL &&
            trace_capture(trace, call->inputs[i], call->site) == NODE_NONE)
            return false;
    return true;
}

static sn_tensor *record_inplace(Trace *trace, const OpCall *call) {
    sn_tensor *target = call->inputs[0];
    Site site = call->site;
    if (!trace_flush_writes(trace, call->inputs, call->n_inputs, site)) return NULL;
    int64_t record = trace_record_of(trace, target, site);
    bool left = false;
    if (record < 0 || !capture_operands(trace, call) ||
        !leave_if_overlapping(trace, record, site, &left))
        return NULL;
    if (left)
        return dispatch_inplace(call->op, call->inputs, call->n_inputs, call->attrs,
                                call->generator, site);
    NodeId value = written_value(trace, call);
    if (value == NODE_NONE) return NULL;
    sn_error error;
    error_init(&error);
    GraphBuilder b = gb_at(&trace->graph, site, &error);
    TensorType wanted = tensor_type(target);
    value = graph_fit(&b, value, &wanted, call->op);
    if (b.failed || !write_view(trace, &b, (uint32_t)record, value))
        return error_raise_from(&error, site);
    trace->ops++;
    return target;
}

sn_tensor *trace_inplace(Recorder *recorder, const OpCall *call) {
    Trace *trace = trace_of(recorder);
    sn_tensor *written = record_inplace(trace, call);
    return written && trace_flush_borrowed(trace, call->inputs, call->n_inputs, call->site)
               ? written
               : NULL;
}
