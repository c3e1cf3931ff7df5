/* layout: extern calls take operands by strides; one that no strides describe, or whose strides the
 * call cannot take, is copied into dense memory first (a reorder, counted in the program). What an
 * update replaces elements of must be in memory too, and what it replaces them by not in the same. */
#include "ir/graph/view_graph.h"
#include "passes/rewrite/rewrite.h"

/* A batch may repeat one matrix, but else no two elements may lie in one place: oneDNN refuses that.
 * From the shortest stride to the longest, each must reach beyond all before it; that they do proves the
 * order. */
static bool is_nested(DimTable *t, const Dim *dims, const Dim *strides, int32_t rank) {
    int32_t order[4], count = 0;
    for (int32_t i = 0; i < rank; i++) {
        bool repeats = i < rank - 2 && dim_is(strides[i], 0);
        if (dim_is(dims[i], 1) || repeats) continue;
        if (dim_less(t, strides[i], dim_of(1))) return false;
        int32_t at = count++;
        int64_t own = dim_hint(t, strides[i]);
        for (; at > 0 && own < dim_hint(t, strides[order[at - 1]]); at--) order[at] = order[at - 1];
        order[at] = i;
    }
    for (int32_t i = 1; i < count; i++) {
        Dim reach = dim_mul(t, strides[order[i - 1]], dims[order[i - 1]]);
        if (dim_less(t, strides[order[i]], reach)) return false;
    }
    return true;
}

/* A vector whose elements lie apart, since the other axis is 1: it would take a slow path. */
static bool is_vector_apart(DimTable *t, Dim length, Dim stride, Dim other) {
    if (dim_is(stride, 1) || dim_is(length, 0) || dim_is(length, 1)) return false;
    return !dim_same(stride, other) && dim_equal(t, other, dim_of(1));
}

/* What oneDNN's matmul runs without a reorder of its own: one of the matrix axes dense, the other
 * not overlapping it. Asked without regard to sizes that may be 1, so that the answer, and with it the
 * bits, is the same where they are. */
static bool strides_fit(DimTable *t, const Dim *dims, const Dim *strides, int32_t rank) {
    int32_t row = rank - 2, column = rank - 1;
    bool dense = dim_is(strides[row], 1) || dim_is(strides[column], 1) || dim_is(dims[row], 1) ||
                 dim_is(dims[column], 1);
    return dense && !is_vector_apart(t, dims[column], strides[column], dims[row]) &&
           !is_vector_apart(t, dims[row], strides[row], dims[column]) &&
           is_nested(t, dims, strides, rank);
}

enum { MOST_OPERANDS = 3 /* of nodes that refer to some by address */ };

static bool is_extern_call(const Node *node) {
    return op_is((OpCode)node->op, CLASS_CONTRACT);
}

/* Does the node refer to operands by address? */
static bool in_memory(const Node *node) {
    return is_extern_call(node) || op_is((OpCode)node->op, CLASS_UPDATE);
}

/* Strides of an operand that is not in memory, or that no strides describe: false. */
static bool operand_strides(const Graph *graph, NodeId operand, Dim *strides) {
    NodeId base = view_base(graph, operand);
    Dim own[SN_MAX_RANK], offset;
    base_strides(graph, base, own);
    return view_strides(graph, operand, base, own, strides, &offset);
}

/* Does memory as it is serve as the operand of an extern call? */
static bool fits_call(const Graph *graph, NodeId operand) {
    Dim strides[SN_MAX_RANK];
    const Node *node = graph_node(graph, operand);
    const Dim *dims = node_dims(graph, node);
    if (!operand_strides(graph, operand, strides)) return false;
    if (node->rank == 1) /* a bias */
        return dim_is(dims[0], 0) || dim_is(dims[0], 1) || dim_is(strides[0], 1);
    return strides_fit(graph->table, dims, strides, node->rank);
}

/* Would both factors repeat one matrix along a batch dim of the result? One of them has to go on. */
static bool both_repeat(const Graph *graph, NodeId x, NodeId y) {
    const Dim *x_dims = node_dims(graph, graph_node(graph, x));
    const Dim *y_dims = node_dims(graph, graph_node(graph, y));
    Dim x_strides[SN_MAX_RANK], y_strides[SN_MAX_RANK];
    if (!operand_strides(graph, x, x_strides) || !operand_strides(graph, y, y_strides))
        return false;
    for (int32_t i = 0; i < graph_node(graph, x)->rank - 2; i++) {
        bool x_one = dim_is(x_dims[i], 1), y_one = dim_is(y_dims[i], 1);
        if (x_one && y_one) continue;
        if ((x_one || dim_is(x_strides[i], 0)) && (y_one || dim_is(y_strides[i], 0))) return true;
    }
    return false;
}

/* Were one of the view's sizes 1, its strides might do; what is planned holds for other sizes only. */
static void exclude_ones(const Graph *graph, NodeId view) {
    for (;; view = node_inputs(graph, graph_node(graph, view))[0]) {
        const Node *node = graph_node(graph, view);
        for (int32_t i = 0; i < node->rank; i++) {
            Dim dim = node_dims(graph, node)[i];
            if (!dim_is_number(dim) && dim_equal(graph->table, dim, dim_of(1)))
                graph->table->failed = true;
        }
        if (!op_is((OpCode)node->op, CLASS_VIEW)) return;
    }
}

/* Must operand j of a node be copied into memory? Those before it are settled. */
static bool needs_copy(const Graph *graph, const Node *user, uint32_t j, const NodeId *operands) {
    NodeId operand = operands[j];
    NodeId memory = view_base(graph, operand);
    const Node *base = graph_node(graph, memory);
    if (!is_extern_call(user))
        return j == 0 ? node_is_generated(base) && base->op != OP_EMPTY
                      : memory == view_base(graph, operands[0]);
    if (node_is_generated(base)) return true;
    if (fits_call(graph, operand) && (j != 1 || !both_repeat(graph, operands[0], operand)))
        return false;
    exclude_ones(graph, operand);
    return true;
}

/* Is the node the operand of an extern call? */
static bool called_with(const Graph *graph, NodeId node) {
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        const Node *call = graph_node(graph, i);
        for (uint32_t j = 0; is_extern_call(call) && j < call->n_inputs; j++) {
            NodeId operand = node_inputs(graph, call)[j];
            if (operand != NODE_NONE && view_base(graph, operand) == node) return true;
        }
    }
    return false;
}

/* A value that an extern call reads is dense: where it is also written into an input that is not, the
 * input gets a copy. */
static NodeId lay_out_result(Rewrite *r, const GraphOutput *output) {
    NodeId id = output->node;
    if (output->writes_input < 0) return id;
    const Graph *graph = r->b->graph;
    NodeId input = graph->inputs.data[output->writes_input];
    const Node *node = graph_node(graph, id);
    Dim strides[SN_MAX_RANK], dense[SN_MAX_RANK];
    memory_strides(graph, input, id, strides);
    row_major_strides(graph->table, node_dims(graph, node), node->rank, dense);
    bool laid_out = id == input || memcmp(strides, dense, sizeof *dense * node->rank) == 0;
    return laid_out || !called_with(graph, id) ? id : gb_op1(r->b, OP_CLONE, id);
}

/* The node, its operands copied where they have to be. */
static NodeId lay_out_operands(Rewrite *r) {
    NodeId inputs[MOST_OPERANDS];
    SN_ASSERT(r->node->n_inputs <= MOST_OPERANDS);
    for (uint32_t j = 0; j < r->node->n_inputs; j++) {
        inputs[j] = rewrite_input(r, (int32_t)j);
        if (inputs[j] == NODE_NONE || !needs_copy(r->b->graph, r->node, j, inputs)) continue;
        inputs[j] = gb_op1(r->b, OP_CLONE, inputs[j]);
        if (r->b->failed) return NODE_NONE;
        r->context->program->reorders += is_extern_call(r->node);
    }
    return gb_emit_like(r->b, node_attrs(r->from, r->node), inputs, r->node->n_inputs);
}

static NodeId lay_out(Rewrite *r) {
    return in_memory(r->node) ? lay_out_operands(r) : rewrite_keep(r);
}

sn_status pass_layout(PassContext *context) {
    static const RewritePass layout = {.name = "layout", .rule = lay_out, .result = lay_out_result};
    bool any = false;
    for (NodeId i = 0; i < context->graph.nodes.count; i++)
        any = any || in_memory(graph_node(&context->graph, i));
    return any ? rewrite_graph(context, &layout) : SN_OK;
}
