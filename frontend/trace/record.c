/* Recording ops and views as nodes; see trace.h. */
#include "frontend/trace/trace.h"

#include "base/small.h"
#include "base/status.h"
#include "frontend/op/view.h"
#include "frontend/op/weak.h"
#include "ir/infer/infer.h"
#include "ir/op/dtype.h"

enum { FEW_OPERANDS = 16 };

/* ---- proxies --------------------------------------------------------------------------------- */

static sn_tensor *root_proxy(Trace *trace, NodeId node, Site site) {
    TensorType type;
    node_type_to(&trace->graph, node, &type);
    int64_t view = trace_new_root(trace, node, -1);
    if (view < 0) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    return trace_proxy(trace, &type, (uint32_t)view, NULL, 0, site);
}

/* ---- ops ------------------------------------------------------------------------------------- */

/* Is an operand a tensor with memory? Only then may others share it. */
static bool has_real(const OpCall *call) {
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (call->inputs[i]->kind == TENSOR_REAL) return true;
    return false;
}

static NodeId operand_node(Trace *trace, const OpCall *call, int32_t i) {
    sn_tensor *x = call->inputs[i];
    if (x->kind != TENSOR_WEAK || weak_promotes(call->op)) return trace_node(trace, x, call->site);
    return trace_scalar(trace, x, weak_operand_dtype(call, i, weak_dtype(call)), call->site);
}

static bool operand_nodes(Trace *trace, const OpCall *call, NodeId *nodes) {
    for (int32_t i = 0; i < call->n_inputs; i++) {
        nodes[i] = operand_node(trace, call, i);
        if (nodes[i] == NODE_NONE && call->inputs[i]->kind != TENSOR_NONE) return false;
    }
    return true;
}

/* A refused op with scalars: the same words as eager's, where scalars have the common dtype. */
static void refuse_like_eager(const OpCall *call, sn_error *error) {
    TensorType types[OP_MOST_PARAMS], result;
    bool any = false;
    if (call->n_inputs > OP_MOST_PARAMS) return;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        types[i] = (TensorType){.rank = RANK_ABSENT};
        if (x->kind == TENSOR_NONE) continue;
        types[i] = tensor_type(x);
        if (x->kind != TENSOR_WEAK) continue;
        types[i].dtype = (uint8_t)weak_operand_dtype(call, i, weak_dtype(call));
        types[i].strength = STRENGTH_ZERO_DIM;
        any = true;
    }
    sn_error other;
    error_init(&other);
    AttrList own = *call->attrs;
    if (any && op_infer(NULL, call->op, types, call->n_inputs, &own, &result, &other) != SN_OK)
        *error = other;
}

/* A random op: its node says how many numbers were drawn before. */
static NodeId emit_draw(Trace *trace, const OpCall *call, NodeId *nodes, sn_error *error) {
    int64_t source = trace_generator(trace, call->generator);
    if (source < 0) {
        error_memory(error);
        return NODE_NONE;
    }
    AttrList attrs;
    attr_copy(&attrs, attr_view(call->op, call->attrs));
    nodes[call->n_inputs] = trace->graph.inputs.data[source];
    attr_set_int(&attrs, call->op, ATTR_OFFSET, trace->inputs.data[source].drawn);
    NodeId node =
        graph_emit(&trace->graph, call->op, nodes, call->n_inputs + 1, &attrs, call->site, error);
    if (node != NODE_NONE) trace_draw(trace, source, node_count(&trace->graph, node).word);
    return node;
}

static NodeId emit_operands(Trace *trace, const OpCall *call, NodeId *nodes) {
    if (has_real(call) && !trace_flush_writes(trace, call->inputs, call->n_inputs, call->site))
        return NODE_NONE;
    if (!operand_nodes(trace, call, nodes)) return NODE_NONE;
    sn_error error;
    error_init(&error);
    NodeId node = call->generator ? emit_draw(trace, call, nodes, &error)
                                  : graph_emit(&trace->graph, call->op, nodes, call->n_inputs,
                                               call->attrs, call->site, &error);
    if (node != NODE_NONE) return node;
    if (!call->generator) refuse_like_eager(call, &error);
    error_raise_from(&error, call->site);
    return NODE_NONE;
}

NodeId trace_emit(Trace *trace, const OpCall *call) {
    SMALL(NodeId, FEW_OPERANDS) nodes;
    if (!small_open(&nodes, call->n_inputs + 1)) {
        error_raise(SN_ERROR_MEMORY, call->site, "%s: out of memory", op_info[call->op].name);
        return NODE_NONE;
    }
    NodeId result = emit_operands(trace, call, nodes.data);
    small_close(&nodes);
    if (result != NODE_NONE && op_has(call->op, F_FAILS) && result > trace->latest_check)
        trace->latest_check = result;
    trace->ops++;
    return result;
}

/* The result of an op that was recorded. */
static sn_tensor *finish(Trace *trace, const OpCall *call, sn_tensor *result) {
    if (!result || !has_real(call)) return result;
    return trace_flush_borrowed(trace, call->inputs, call->n_inputs, call->site) ? result : NULL;
}

static sn_tensor *record_op(Trace *trace, const OpCall *call) {
    NodeId node = trace_emit(trace, call);
    return node == NODE_NONE ? NULL : root_proxy(trace, node, call->site);
}

sn_tensor *trace_op(Recorder *recorder, const OpCall *call) {
    Trace *trace = trace_of(recorder);
    return finish(trace, call, record_op(trace, call));
}

/* ---- views ----------------------------------------------------------------------------------- */

static sn_tensor *record_clone(Trace *trace, sn_tensor *x, Site site) {
    return record_op(trace, &(OpCall){OP_CLONE, 1, &x, &no_attrs, NULL, site});
}

/* A new row of the table of views, whose value is not known yet; its index, or -1 when out of memory. */
static int64_t add_view(Trace *trace, const View *view, uint32_t parent) {
    TraceView row = {.root = trace->views.data[parent].root,
                     .parent = (int32_t)parent,
                     .op = (uint16_t)view->op,
                     .attrs = trace->words.count,
                     .n_attrs = (uint32_t)view->attrs.count,
                     .node = NODE_NONE};
    if (!vec_reserve(&trace->words, row.n_attrs) || !vec_push(&trace->views, row)) return -1;
    memcpy(trace->words.data + row.attrs, view->attrs.words, sizeof(int64_t) * row.n_attrs);
    trace->words.count += row.n_attrs;
    return (int64_t)trace->views.count - 1;
}

/* The node of a view that was just recorded, so that the dump has it at the line where it was written. */
static bool note_view(Trace *trace, uint32_t record, const View *view, Site site, sn_error *error) {
    uint32_t parent_record = (uint32_t)trace->views.data[record].parent;
    NodeId parent = trace_view_node(trace, parent_record, site, error);
    if (parent == NODE_NONE) return false;
    TraceView *row = &trace->views.data[record];
    row->node = graph_emit_inferred(&trace->graph, view->op, &parent, 1, &view->attrs, &view->type,
                                    site, error);
    row->version = trace->roots.data[row->root].version;
    if (row->node == NODE_NONE) return false;
    row->repeats = trace->views.data[parent_record].repeats ||
                   (view->op == OP_EXPAND && !dim_same(node_count(&trace->graph, row->node),
                                                       node_count(&trace->graph, parent)));
    return true;
}

static sn_tensor *record_view(Trace *trace, const OpCall *call) {
    Site site = call->site;
    sn_tensor *x = call->inputs[0];
    View view;
    sn_error error;
    error_init(&error);
    if (!trace_flush_writes(trace, &x, 1, site)) return NULL;
    if (x->kind == TENSOR_WEAK) x = record_clone(trace, x, site); /* as the op would see it alone */
    if (!x || !view_infer(&view, call, x)) return NULL;
    if (view.op == OP_RESHAPE && !tensor_is_dense(x) && !reshape_splits(&view.input, &view.type))
        trace->strided = true; /* a view, or a copy */
    if (!view_place(&view, x)) {
        x = record_clone(trace, x, site);
        if (!x) return NULL;
        view_place(&view, x);
    }
    int64_t parent = trace_record_of(trace, x, site);
    if (parent < 0) return NULL;
    int64_t record = add_view(trace, &view, (uint32_t)parent);
    if (record < 0)
        return error_raise(SN_ERROR_MEMORY, site, "%s: out of memory", op_info[call->op].name);
    if (!note_view(trace, (uint32_t)record, &view, site, &error))
        return error_raise_from(&error, site);
    trace->ops++;
    return trace_proxy(trace, &view.type, (uint32_t)record, view.strides, view.offset, site);
}

sn_tensor *trace_view(Recorder *recorder, const OpCall *call) {
    Trace *trace = trace_of(recorder);
    return finish(trace, call, record_view(trace, call));
}
