/* Values of handles as nodes of the graph; see trace.h. */
#include "frontend/trace/trace.h"

#include "ir/op/dtype.h"

/* A view's op on its parent's value. */
static NodeId emit_view(Trace *trace, const TraceView *view, NodeId parent, Site site,
                        sn_error *error) {
    if (parent == NODE_NONE) return NODE_NONE;
    GraphBuilder b = gb_at(&trace->graph, site, error);
    return gb_emit_like(&b, trace_view_attrs(trace, view), &parent, 1);
}

NodeId trace_view_node(Trace *trace, uint32_t record, Site site, sn_error *error) {
    TraceView *view = &trace->views.data[record];
    const TraceRoot *root = &trace->roots.data[view->root];
    if (view->node != NODE_NONE && view->version == root->version) return view->node;
    NodeId node = root->node;
    if (view->parent >= 0) {
        NodeId parent = trace_view_node(trace, (uint32_t)view->parent, site, error);
        node = emit_view(trace, view, parent, site, error);
        if (node == NODE_NONE) return NODE_NONE;
    }
    view->node = node;
    view->version = root->version;
    return node;
}

NodeId trace_derive(Trace *trace, uint32_t record, Site site, sn_error *error) {
    const TraceView *view = &trace->views.data[record];
    if (view->parent < 0) return trace->roots.data[view->root].node;
    return emit_view(trace, view, trace_derive(trace, (uint32_t)view->parent, site, error), site,
                     error);
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
    NodeId node = trace_node(trace, x, site);
    if (node == NODE_NONE) return -1;
    if (x->kind == TENSOR_REAL) return trace_known_input(trace, x);
    return trace_new_root(trace, node, -1);
}
