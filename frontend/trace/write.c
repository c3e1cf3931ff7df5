/* Recording writes: what an in-place op or a write through a view makes of its root; see trace.h. */
#include "frontend/trace/trace.h"

#include "frontend/op/dispatch.h"
#include "frontend/op/inplace_fit.h"

/* As many views from `record` on as name one slice of what they are views of: its coordinates go to `map`.
 * Returns that; `record` itself where there is no part in it to be written. Of no elements it is one view:
 * the axis that has none may be one that only a view has. */
static uint32_t whole_of_slice(const Trace *trace, uint32_t record, ViewMap *map) {
    const Graph *graph = &trace->graph;
    TensorType input, result = node_type(graph, trace->views.data[record].node);
    bool part = false, none = type_count(&result) == 0;
    uint32_t at = record;
    view_identity(map, result.rank);
    for (; trace->views.data[at].parent >= 0 && (at == record || !none); result = input) {
        const TraceView *view = &trace->views.data[at];
        input = node_type(graph, trace->views.data[view->parent].node);
        if (!view_compose(graph->table, trace_view_attrs(trace, view), &input, &result, map)) break;
        part = part || view_is_part((OpCode)view->op);
        at = (uint32_t)view->parent;
    }
    return part ? at : record;
}

/* What `value`, written through view `*record`, makes of a view that it was made through, which becomes
 * `*record`: one slice, however many views name it, so that nothing is written but the slice. */
static NodeId write_through(Trace *trace, GraphBuilder *b, uint32_t *record, NodeId value) {
    ViewMap map;
    TraceView view = trace->views.data[*record];
    uint32_t whole = whole_of_slice(trace, *record, &map);
    bool slice = whole != *record;
    *record = slice ? whole : (uint32_t)view.parent;
    NodeId base = trace_view_node(trace, *record, b->site, b->error);
    if (base == NODE_NONE) return NODE_NONE;
    return slice ? view_put(b, &map, base, value)
                 : view_write(b, trace_view_attrs(trace, &view), base, value);
}

/* The root's content becomes that with `value` written through view `record`. */
static bool write_view(Trace *trace, GraphBuilder *b, uint32_t record, NodeId value) {
    uint32_t root_index = trace->views.data[record].root;
    NodeId written = value;
    for (uint32_t at = record; trace->views.data[at].parent >= 0;) {
        value = write_through(trace, b, &at, value);
        if (value == NODE_NONE || b->failed) return false;
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

/* Is the memory not that of a frozen input? */
static bool may_write(const Trace *trace, int64_t record, const OpCall *call) {
    const TraceRoot *root = &trace->roots.data[trace->views.data[record].root];
    const sn_tensor *input = root->input < 0 ? NULL : trace->inputs.data[root->input].tensor;
    return !input || input->kind != TENSOR_REAL || !storage_is_frozen(input->storage) ||
           error_refuse(SN_ERROR_ARGUMENT, call->site, "%s_: the tensor is frozen",
                        inplace_name(call->op));
}

static sn_tensor *record_inplace(Trace *trace, const OpCall *call) {
    sn_tensor *target = call->inputs[0];
    Site site = call->site;
    if (!trace_flush_writes(trace, call->inputs, call->n_inputs, site)) return NULL;
    int64_t record = trace_record_of(trace, target, site);
    bool left = false;
    if (record < 0 || !may_write(trace, record, call) || !capture_operands(trace, call) ||
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
