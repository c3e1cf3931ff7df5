/* Convolutions, pools and batch norms become views by windows, contractions, reductions and pointwise ops;
 * the first thing that decompose does, in a rewrite of its own.
 *
 * A convolution is a contraction whose rows are places, and whose columns are channels: its result lies in
 * memory with channels last, and what the program sees is a permuted view of that. Pointwise ops of such a
 * view, and pools, are computed with channels last too, so that nothing is transposed within a network. Of a
 * convolution in groups, and of pointwise ops behind it, groups are an axis before the places: the copy that
 * puts the channels of all groups side by side is where the last kernel stores them. No bit depends on
 * that. */
#include "passes/rewrite/windows.h"

#include "passes/rewrite/decompose.h"

/* ---- pointwise ops --------------------------------------------------------------------------- */

/* Is an operand with channels last, and as large as the result? */
static bool follows_last(const Rewrite *r) {
    bool found = false;
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId x = rewrite_input(r, i);
        if (!windows_last(r, x)) continue;
        const Node *node = graph_node(r->b->graph, x);
        found =
            found || node_has_dims(r->b->graph, node, node_dims(r->from, r->node), r->node->rank);
    }
    return found;
}

/* Among the operands, one with groups as an axis. */
static NodeId find_groups(const Rewrite *r) {
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId x = rewrite_input(r, i), grouped = windows_groups(r, x);
        if (grouped != NODE_NONE && node_has_dims(r->b->graph, graph_node(r->b->graph, x),
                                                  node_dims(r->from, r->node), r->node->rank))
            return grouped;
    }
    return NODE_NONE;
}

/* An operand, of more axes than none, with channels last. */
static NodeId last_operand(Rewrite *r, NodeId x) {
    bool stripped = windows_last(r, x) && gb_type(r->b, x).rank == r->node->rank;
    return stripped ? windows_under(r, x)
                    : channels_last(r->b, windows_rank(r->b, x, r->node->rank));
}

/* The same with groups as an axis, as `like` has them. */
static NodeId grouped_operand(Rewrite *r, NodeId x, NodeId like) {
    NodeId grouped = windows_groups(r, x);
    TensorType type = gb_type(r->b, like);
    Dim groups = type.dims[1], channels = type.dims[type.rank - 1];
    bool alike = grouped != NODE_NONE && dim_same(gb_type(r->b, grouped).dims[1], groups) &&
                 gb_type(r->b, x).rank == r->node->rank;
    return alike ? grouped : windows_split(r->b, last_operand(r, x), groups, channels);
}

static NodeId rule_each(Rewrite *r) {
    enum { MOST_OPERANDS = 4 };
    NodeId operands[MOST_OPERANDS], groups = find_groups(r);
    if (r->node->n_inputs > MOST_OPERANDS || op_makes_memory((OpCode)r->node->op) ||
        !follows_last(r))
        return rewrite_keep(r);
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId x = operands[i] = rewrite_input(r, i);
        if (x == NODE_NONE || gb_type(r->b, x).rank == 0) continue;
        operands[i] = groups == NODE_NONE ? last_operand(r, x) : grouped_operand(r, x, groups);
    }
    NodeId y = gb_emit_like(r->b, node_attrs(r->from, r->node), operands, r->node->n_inputs);
    return groups == NODE_NONE ? windows_view(r, y) : windows_view_groups(r, y);
}

/* A copy of what only gives a copy other axes is a copy of what that one is of. */
static NodeId rule_clone(Rewrite *r) {
    GraphBuilder *b = r->b;
    const Graph *graph = b->graph;
    NodeId x = rewrite_input(r, 0);
    if (x == NODE_NONE || graph_node(graph, x)->op != OP_RESHAPE) return rewrite_keep(r);
    NodeId copy = node_inputs(graph, graph_node(graph, x))[0];
    if (graph_node(graph, copy)->op != OP_CLONE) return rewrite_keep(r);
    NodeId own = gb_op1(b, OP_CLONE, node_inputs(graph, graph_node(graph, copy))[0]);
    return gb_reshape(b, own, node_dims(r->from, r->node), r->node->rank);
}

/* ---- batch_norm ------------------------------------------------------------------------------ */

/* x * scale + shift, scale = weight / sqrt(var + eps), shift = bias - mean * scale, of each channel. */
static NodeId rule_batch_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, 0);
    bool last = windows_last(r, x);
    NodeId groups = windows_groups(r, x);
    TensorType split = {0};
    if (groups != NODE_NONE) split = gb_type(b, groups);
    x = gb_widen(b, groups != NODE_NONE ? groups : last ? windows_under(r, x) : x);
    sn_dtype dtype = gb_dtype(b, x);
    NodeId of[5];
    for (int32_t i = 1; i < 5; i++) of[i] = gb_cast(b, dtype, rewrite_input(r, i));
    NodeId eps = rewrite_number(r, dtype, ATTR_EPS);
    NodeId scale = gb_op1(b, OP_RSQRT, gb_op2(b, OP_ADD, of[2], eps));
    if (of[3] != NODE_NONE) scale = gb_op2(b, OP_MUL, of[3], scale);
    NodeId shift = gb_op2(b, OP_MUL, of[1], scale);
    shift = of[4] == NODE_NONE ? gb_op1(b, OP_NEG, shift) : gb_op2(b, OP_SUB, of[4], shift);
    int32_t rank = last ? 2 : r->node->rank; /* axes from the channels on, and one */
    scale = per_channel(b, scale, dtype, rank);
    shift = per_channel(b, shift, dtype, rank);
    if (groups != NODE_NONE) {
        Dim number = split.dims[1], channels = split.dims[split.rank - 1];
        scale = windows_split(b, windows_rank(b, scale, split.rank - 1), number, channels);
        shift = windows_split(b, windows_rank(b, shift, split.rank - 1), number, channels);
    }
    NodeId y = gb_op2(b, OP_ADD, gb_op2(b, OP_MUL, x, scale), shift);
    y = gb_cast(b, rewrite_dtype(r), y);
    if (groups != NODE_NONE) return windows_view_groups(r, y);
    return last ? windows_view(r, y) : y;
}

/* ---- the rewrite ----------------------------------------------------------------------------- */

static RewriteRule *const rules[OP_COUNT] = {
    [OP_CONV1D] = rule_conv,
    [OP_CONV2D] = rule_conv,
    [OP_CONV3D] = rule_conv,
    [OP_CONV_TRANSPOSE1D] = rule_conv_transpose,
    [OP_CONV_TRANSPOSE2D] = rule_conv_transpose,
    [OP_CONV_TRANSPOSE3D] = rule_conv_transpose,
    [OP_MAX_POOL1D] = rule_max_pool,
    [OP_MAX_POOL2D] = rule_max_pool,
    [OP_MAX_POOL3D] = rule_max_pool,
    [OP_AVG_POOL1D] = rule_avg_pool,
    [OP_AVG_POOL2D] = rule_avg_pool,
    [OP_AVG_POOL3D] = rule_avg_pool,
    [OP_BATCH_NORM] = rule_batch_norm,
    [OP_MAX_POOL1D_INDICES] = rule_pool_indices,
    [OP_MAX_POOL2D_INDICES] = rule_pool_indices,
    [OP_MAX_POOL3D_INDICES] = rule_pool_indices,
    [OP_ADAPTIVE_AVG_POOL1D] = rule_adaptive_avg_pool,
    [OP_ADAPTIVE_AVG_POOL2D] = rule_adaptive_avg_pool,
    [OP_ADAPTIVE_AVG_POOL3D] = rule_adaptive_avg_pool,
    [OP_ADAPTIVE_MAX_POOL1D] = rule_adaptive_max_pool,
    [OP_ADAPTIVE_MAX_POOL2D] = rule_adaptive_max_pool,
    [OP_ADAPTIVE_MAX_POOL3D] = rule_adaptive_max_pool,
    [OP_ADAPTIVE_MAX_POOL1D_INDICES] = rule_adaptive_pool_indices,
    [OP_ADAPTIVE_MAX_POOL2D_INDICES] = rule_adaptive_pool_indices,
    [OP_ADAPTIVE_MAX_POOL3D_INDICES] = rule_adaptive_pool_indices,
    [OP_UNFOLD] = rule_unfold,
    [OP_FOLD] = rule_fold,
};

static NodeId rewrite_windows(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    if (rules[op]) return rules[op](r);
    if (op == OP_CLONE) return rule_clone(r);
    return op_is(op, CLASS_POINTWISE) ? rule_each(r) : rewrite_keep(r);
}

sn_status decompose_windows(PassContext *context) {
    const Graph *graph = &context->graph;
    bool any = false;
    for (NodeId i = 0; i < graph->nodes.count; i++) any = any || rules[graph_node(graph, i)->op];
    if (!any) return SN_OK;
    LastChannels last = {0};
    const RewritePass pass = {
        .name = "decompose", .rule = rewrite_windows, .result = rewrite_own_memory, .state = &last};
    context->graph.no_fold = true; /* rules are for what decompose leaves */
    sn_status status = rewrite_graph(context, &pass);
    vec_free(&last.views);
    vec_free(&last.grouped);
    context->graph.no_fold = false;
    return status;
}
