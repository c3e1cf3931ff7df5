/* Convolutions, pools and batch norms become views by windows, contractions, reductions and pointwise ops;
 * the first thing that decompose does, in a rewrite of its own.
 *
 * A convolution is a contraction whose rows are places, and whose columns are channels: its result lies in
 * memory with channels last, and what the program sees is a permuted view of that. Pointwise ops of such a
 * view, and pools, are computed with channels last too, so that nothing is transposed within a network. No
 * bit depends on that. */
#include "passes/rewrite/windows.h"

#include "passes/rewrite/decompose.h"

/* What the rules know of the new graph. */
typedef struct LastChannels {
    VEC(bool)
    views; /* by node: a permute of what was computed with channels last; nodes that are not there
                      * are none */
} LastChannels;

/* ---- channels last --------------------------------------------------------------------------- */

/* The axes of [n, spatial…, channels] in the order of [n, channels, spatial…], and back. */
static void order_first(int32_t rank, int64_t *order) {
    order[0] = 0;
    order[1] = rank - 1;
    for (int32_t i = 2; i < rank; i++) order[i] = i - 1;
}
static void order_last(int32_t rank, int64_t *order) {
    order[0] = 0;
    order[rank - 1] = 1;
    for (int32_t i = 1; i < rank - 1; i++) order[i] = i + 1;
}

NodeId channels_first(GraphBuilder *b, NodeId x) {
    int64_t order[SN_MAX_RANK];
    int32_t rank = gb_type(b, x).rank;
    order_first(rank, order);
    return gb_permute(b, x, order, rank);
}

NodeId channels_last(GraphBuilder *b, NodeId x) {
    int64_t order[SN_MAX_RANK];
    int32_t rank = gb_type(b, x).rank;
    order_last(rank, order);
    return gb_permute(b, x, order, rank);
}

bool windows_last(const Rewrite *r, NodeId x) {
    const LastChannels *last = r->state;
    return x != NODE_NONE && x < last->views.count && last->views.data[x];
}

/* What the view is of. */
NodeId windows_under(const Rewrite *r, NodeId view) {
    return node_inputs(r->b->graph, graph_node(r->b->graph, view))[0];
}

/* y, [n, spatial…, channels], as the program sees it. */
NodeId windows_view(Rewrite *r, NodeId y) {
    LastChannels *last = r->state;
    NodeId view = channels_first(r->b, y);
    if (view == NODE_NONE) return view;
    while (last->views.count <= view)
        if (!vec_push(&last->views, false)) return gb_fail(r->b, SN_ERROR_MEMORY, "out of memory");
    last->views.data[view] = true;
    return view;
}

/* x with axes of size 1 in front, so many in all. */
NodeId windows_rank(GraphBuilder *b, NodeId x, int32_t rank) {
    TensorType type = gb_type(b, x);
    Dim dims[SN_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        dims[i] = i < rank - type.rank ? dim_of(1) : type.dims[i - (rank - type.rank)];
    return gb_reshape(b, x, dims, rank);
}

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

static NodeId rule_each(Rewrite *r) {
    enum { MOST_OPERANDS = 4 };
    NodeId operands[MOST_OPERANDS];
    if (r->node->n_inputs > MOST_OPERANDS || op_makes_memory((OpCode)r->node->op) ||
        !follows_last(r))
        return rewrite_keep(r);
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId x = operands[i] = rewrite_input(r, i);
        if (x == NODE_NONE || gb_type(r->b, x).rank == 0) continue;
        bool stripped = windows_last(r, x) && gb_type(r->b, x).rank == r->node->rank;
        operands[i] = stripped ? windows_under(r, x)
                               : channels_last(r->b, windows_rank(r->b, x, r->node->rank));
    }
    return windows_view(
        r, gb_emit_like(r->b, node_attrs(r->from, r->node), operands, r->node->n_inputs));
}

/* ---- windows --------------------------------------------------------------------------------- */

/* x, padded, by windows of its axes from `first` on: their elements are new axes behind all others. */
NodeId windows_of_axes(GraphBuilder *b, NodeId x, const Windows *w, int32_t first, double padding) {
    int32_t rank = gb_type(b, x).rank, count = 2 * (rank - first);
    Dim pads[2 * SN_MAX_RANK];
    for (int32_t i = 0; i < 2 * SN_MAX_RANK; i++) pads[i] = dim_of(0);
    for (int32_t i = 0; i < w->axes; i++) {
        int32_t at = 2 * (rank - 1 - (first + i));
        pads[at] = dim_of(w->axis[i].padding);
        pads[at + 1] = w->axis[i].behind;
    }
    if (w->padded) x = gb_pad(b, x, pads, count, padding);
    for (int32_t i = 0; i < w->axes; i++) {
        AttrList attrs = {.count = 0};
        attr_add_int(&attrs, first + i);
        attr_add_int(&attrs, w->axis[i].length.word);
        attr_add_int(&attrs, w->axis[i].step);
        attr_add_int(&attrs, w->axis[i].dilation);
        x = gb_emit(b, OP_WINDOWS, &x, 1, &attrs);
    }
    return x;
}

Dim windows_taps(DimTable *table, const Windows *w) {
    Dim taps = dim_of(1);
    for (int32_t i = 0; i < w->axes; i++) taps = dim_mul(table, taps, w->axis[i].length);
    return taps;
}

/* ---- batch_norm ------------------------------------------------------------------------------ */

/* x * scale + shift, scale = weight / sqrt(var + eps), shift = bias - mean * scale, of each channel. */
static NodeId rule_batch_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, 0);
    bool last = windows_last(r, x);
    x = gb_widen(b, last ? windows_under(r, x) : x);
    sn_dtype dtype = gb_dtype(b, x);
    NodeId of[5];
    for (int32_t i = 1; i < 5; i++) of[i] = gb_cast(b, dtype, rewrite_input(r, i));
    NodeId eps = rewrite_number(r, dtype, ATTR_EPS);
    NodeId scale = gb_op1(b, OP_RSQRT, gb_op2(b, OP_ADD, of[2], eps));
    if (of[3] != NODE_NONE) scale = gb_op2(b, OP_MUL, of[3], scale);
    NodeId shift = gb_op2(b, OP_MUL, of[1], scale);
    shift = of[4] == NODE_NONE ? gb_op1(b, OP_NEG, shift) : gb_op2(b, OP_SUB, of[4], shift);
    Dim dims[SN_MAX_RANK];
    int32_t rank = last ? 1 : r->node->rank - 1;
    for (int32_t i = 0; i < rank; i++) dims[i] = i == 0 ? gb_type(b, scale).dims[0] : dim_of(1);
    scale = gb_reshape(b, scale, dims, rank);
    shift = gb_reshape(b, shift, dims, rank);
    NodeId y = gb_op2(b, OP_ADD, gb_op2(b, OP_MUL, x, scale), shift);
    y = gb_cast(b, rewrite_dtype(r), y);
    return last ? windows_view(r, y) : y;
}

/* ---- the rewrite ----------------------------------------------------------------------------- */

static RewriteRule *const rules[OP_COUNT] = {
    [OP_CONV1D] = rule_conv,
    [OP_CONV2D] = rule_conv,
    [OP_CONV3D] = rule_conv,
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
    [OP_ADAPTIVE_AVG_POOL1D] = rule_adaptive_pool,
    [OP_ADAPTIVE_AVG_POOL2D] = rule_adaptive_pool,
    [OP_ADAPTIVE_AVG_POOL3D] = rule_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL1D] = rule_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL2D] = rule_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL3D] = rule_adaptive_pool,
    [OP_UNFOLD] = rule_unfold,
    [OP_FOLD] = rule_fold,
};

static NodeId rewrite_windows(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    if (rules[op]) return rules[op](r);
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
    context->graph.no_fold = false;
    return status;
}
