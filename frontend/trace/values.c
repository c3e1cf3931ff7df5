/* Values of handles as nodes of the graph; see trace.h. */
#include "frontend/trace/trace.h"

#include "ir/op/dtype.h"

/* A view's op on its parent's value. */
static NodeId emit_view(Trace *trace, const TraceView *view, NodeId parent, Site site,
                        sn_error *error) {
    GraphBuilder b = gb_at(&trace->graph, site, error);
    return gb_emit_like(&b, trace_view_attrs(trace, view), &parent, 1);
}

/* Is what is known of a view that of the root as it is? */
static bool is_current(const Trace *trace, const TraceView *view) {
    return view->node != NODE_NONE && view->version == trace->roots.data[view->root].version;
}

/* Notes the views to be derived for this one, itself first. Returns the one from which they are: the first
 * that is current, or the root's. -1 with the error set. */
static int64_t note_path(Trace *trace, uint32_t record, sn_error *error) {
    trace->path.count = 0;
    for (int64_t at = record;;) {
        const TraceView *view = &trace->views.data[at];
        if (view->parent < 0 || is_current(trace, view)) return at;
        if (!vec_push(&trace->path, (uint32_t)at)) {
            error_memory(error);
            return -1;
        }
        at = view->parent;
    }
}

static NodeId keep_node(Trace *trace, TraceView *view, NodeId node) {
    view->node = node;
    view->version = trace->roots.data[view->root].version;
    return node;
}

NodeId trace_view_node(Trace *trace, uint32_t record, Site site, sn_error *error) {
    TraceView *view = &trace->views.data[record];
    if (is_current(trace, view)) return view->node;
    int64_t known = note_path(trace, record, error);
    if (known < 0) return NODE_NONE;
    view = &trace->views.data[known];
    if (!is_current(trace, view)) keep_node(trace, view, trace->roots.data[view->root].node);
    NodeId node = view->node;
    for (uint32_t i = trace->path.count; i-- > 0 && node != NODE_NONE;) {
        view = &trace->views.data[trace->path.data[i]];
        node = emit_view(trace, view, node, site, error);
        if (node != NODE_NONE) keep_node(trace, view, node);
    }
    return node;
}

NodeId trace_node(Trace *trace, sn_tensor *tensor, Site site) {
    sn_error error;
    error_init(&error);
    NodeId node = NODE_NONE;
    switch (tensor->kind) {
    case TENSOR_NONE:
        return NODE_NONE;
    case TENSOR_REAL:
        return trace_capture(trace, tensor, site);
    case TENSOR_WEAK:
        record_look(tensor);
        node = graph_const(&trace->graph, (sn_dtype)tensor->dtype, tensor->bits, true, true, site,
                           &error);
        break;
    default:
        node = trace_view_node(trace, tensor->record, site, &error);
    }
    if (node == NODE_NONE) error_raise_from(&error, site);
    return node;
}

NodeId trace_scalar(Trace *trace, const sn_tensor *scalar, sn_dtype dtype, Site site) {
    sn_error error;
    error_init(&error);
    record_look(scalar);
    uint64_t bits = dtype_bits_cast(dtype, (sn_dtype)scalar->dtype, scalar->bits);
    NodeId node = graph_const(&trace->graph, dtype, bits, true, false, site, &error);
    if (node == NODE_NONE) error_raise_from(&error, site);
    return node;
}

int64_t trace_record_of(Trace *trace, sn_tensor *x, Site site) {
    if (x->kind == TENSOR_PROXY) return x->record;
    if (x->kind == TENSOR_REAL) return trace_capture_record(trace, x, site);
    NodeId node = trace_node(trace, x, site);
    return node == NODE_NONE ? -1 : trace_new_root(trace, node, -1);
}
