/* layout: extern calls take operands by strides; one that no strides describe, or whose strides the
 * call cannot take, is copied into dense memory first (a reorder, counted in the program). What an
 * update replaces elements of must be in memory too. */
#include "base/status.h"
#include "passes/fuse.h"

/* A batch may repeat one matrix, but else no two elements may lie in one place: oneDNN refuses that.
 * The batch stride may be any of the three in length. */
static bool batch_fits(DimTable *t, const Dim *dims, const Dim *strides) {
    Dim batch = strides[0], inside = dim_of(1), outside = dim_of(0);
    if (dim_is(dims[0], 1) || dim_is(batch, 0)) return true;
    for (int i = 1; i < 3; i++) {
        if (dim_is(dims[i], 1)) continue;
        if (dim_less(t, strides[i], batch))
            inside = dim_larger(t, inside, dim_mul(t, strides[i], dims[i]));
        else if (dim_is(outside, 0) || dim_less(t, strides[i], outside))
            outside = strides[i];
    }
    if (dim_less(t, batch, inside)) return false;
    return dim_is(outside, 0) || !dim_less(t, outside, dim_mul(t, batch, dims[0]));
}

/* What oneDNN's matmul runs without a reorder of its own: one of the matrix axes dense, the other
 * not overlapping it. A vector is dense: apart, its elements would take a slow path. */
static bool strides_fit(DimTable *t, const Dim *dims, const Dim *strides) {
    bool one_row = dim_is(dims[1], 1), one_column = dim_is(dims[2], 1);
    bool dense_rows = dim_is(strides[2], 1), dense_columns = dim_is(strides[1], 1);
    if (one_row && !one_column && !dim_is(dims[2], 0) && !dense_rows) return false;
    if (one_column && !one_row && !dim_is(dims[1], 0) && !dense_columns) return false;
    bool row_major = (one_column || dense_rows) && (one_row || !dim_less(t, strides[1], dims[2]));
    bool column_major =
        (one_row || dense_columns) && (one_column || !dim_less(t, strides[2], dims[1]));
    return (row_major || column_major) && batch_fits(t, dims, strides);
}

/* Nodes of at most three operands that refer to some of them by address. */
static bool in_memory(const Node *node) {
    return node->op == OP_GEMM || op_is((OpCode)node->op, CLASS_UPDATE);
}

/* Must operand j of a node be copied into memory? */
static bool needs_copy(const Graph *graph, const Node *user, uint32_t j, NodeId operand) {
    NodeId base = view_base(graph, operand);
    OpCode op = (OpCode)graph_node(graph, base)->op;
    if (user->op != OP_GEMM) return j == 0 && (op == OP_CONST || op == OP_IOTA);
    if (op == OP_CONST || op == OP_IOTA || op == OP_EMPTY) return true;
    Dim own[SN_MAX_RANK], strides[SN_MAX_RANK], offset;
    base_strides(graph, base, own);
    if (!view_strides(graph, operand, base, own, strides, &offset)) return true;
    const Node *node = graph_node(graph, operand);
    const Dim *dims = node_dims(graph, node);
    if (node->rank == 1) /* a bias */
        return !dim_is(dims[0], 0) && !dim_is(dims[0], 1) && !dim_is(strides[0], 1);
    return node->rank == 3 && !strides_fit(graph->table, dims, strides);
}

/* A value that an extern call reads is dense: where it is also written into an input that is not, the
 * input gets a copy. */
static NodeId own_result(Graph *graph, GraphOutput output, NodeId node, sn_error *error) {
    if (output.writes_input < 0) return node;
    NodeId input = graph->inputs.data[output.writes_input];
    const Node *value = graph_node(graph, node);
    Dim strides[SN_MAX_RANK], dense[SN_MAX_RANK];
    memory_strides(graph, input, node, strides);
    row_major_strides(graph->table, node_dims(graph, value), value->rank, dense);
    if (node == input || memcmp(strides, dense, sizeof *dense * value->rank) == 0) return node;
    bool read = false;
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        const Node *call = graph_node(graph, i);
        for (uint32_t j = 0; call->op == OP_GEMM && j < call->n_inputs; j++) {
            NodeId operand = node_inputs(graph, call)[j];
            read = read || (operand != NODE_NONE && view_base(graph, operand) == node);
        }
    }
    AttrList none;
    none.count = 0;
    return read ? graph_emit(graph, OP_CLONE, &node, 1, &none, (Site){0}, error) : node;
}

/* Node `id` in the new graph, its operands copied where they have to be. */
static NodeId copy_reader(PassContext *context, Graph *to, NodeId id, const NodeId *map) {
    const Graph *from = &context->graph;
    const Node *node = graph_node(from, id);
    Site site = from->sites.data[node->site];
    NodeId inputs[3];
    AttrList attrs, none;
    none.count = 0;
    for (uint32_t j = 0; j < node->n_inputs; j++) {
        NodeId operand = node_inputs(from, node)[j];
        inputs[j] = operand == NODE_NONE ? NODE_NONE : map[operand];
        if (operand == NODE_NONE || !needs_copy(to, node, j, inputs[j])) continue;
        inputs[j] = graph_emit(to, OP_CLONE, &inputs[j], 1, &none, site, context->error);
        if (inputs[j] == NODE_NONE) return NODE_NONE;
        context->program->reorders += node->op == OP_GEMM;
    }
    attrs.count = node->n_attrs;
    memcpy(attrs.words, node_attrs(from, node), sizeof(int64_t) * node->n_attrs);
    return graph_emit(to, (OpCode)node->op, inputs, node->n_inputs, &attrs, site, context->error);
}

sn_status pass_layout(PassContext *context) {
    const Graph *from = &context->graph;
    bool any = false;
    for (NodeId i = 0; i < from->nodes.count; i++) any = any || in_memory(graph_node(from, i));
    if (!any) return SN_OK;
    Graph to;
    graph_init_like(&to, from);
    NodeId *map = arena_alloc(&context->arena, sizeof(NodeId) * (from->nodes.count + 1));
    if (!map) return error_memory(context->error);
    sn_status status = SN_OK;
    for (NodeId i = 0; i < from->nodes.count && status == SN_OK; i++) {
        map[i] = in_memory(graph_node(from, i))
                     ? copy_reader(context, &to, i, map)
                     : graph_copy_node(from, i, &to, map, context->error);
        if (map[i] == NODE_NONE)
            status = context->error->status ? context->error->status : SN_ERROR_MEMORY;
    }
    for (uint32_t i = 0; i < from->outputs.count && status == SN_OK; i++) {
        GraphOutput output = from->outputs.data[i];
        output.node = own_result(&to, output, map[output.node], context->error);
        if (output.node == NODE_NONE || !graph_output(&to, output.node, output.writes_input))
            status = error_memory(context->error);
    }
    if (status != SN_OK) {
        graph_free(&to);
        return status;
    }
    graph_free(&context->graph);
    context->graph = to;
    return SN_OK;
}
