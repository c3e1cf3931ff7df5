/* Convolutions, pools and batch norms become views by windows, contractions, reductions and pointwise ops;
 * the first thing that decompose does, in a rewrite of its own.
 *
 * A convolution is a contraction whose rows are places, and whose columns are channels: its result lies in
 * memory with channels last, and what the program sees is a permuted view of that. Pointwise ops of such a
 * view, and pools, are computed with channels last too, so that nothing is transposed within a network. No
 * bit depends on that. */
#include "ir/infer/window.h"
#include "passes/rewrite/decompose.h"

#include <math.h>

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

static NodeId channels_first(GraphBuilder *b, NodeId x) {
    int64_t order[SN_MAX_RANK];
    int32_t rank = gb_type(b, x).rank;
    order_first(rank, order);
    return gb_permute(b, x, order, rank);
}

static NodeId channels_last(GraphBuilder *b, NodeId x) {
    int64_t order[SN_MAX_RANK];
    int32_t rank = gb_type(b, x).rank;
    order_last(rank, order);
    return gb_permute(b, x, order, rank);
}

static bool is_last(const Rewrite *r, NodeId x) {
    const LastChannels *last = r->state;
    return x != NODE_NONE && x < last->views.count && last->views.data[x];
}

/* What the view is of. */
static NodeId under_view(const Rewrite *r, NodeId view) {
    return node_inputs(r->b->graph, graph_node(r->b->graph, view))[0];
}

/* y, [n, spatial…, channels], as the program sees it. */
static NodeId view_of(Rewrite *r, NodeId y) {
    LastChannels *last = r->state;
    NodeId view = channels_first(r->b, y);
    if (view == NODE_NONE) return view;
    while (last->views.count <= view)
        if (!vec_push(&last->views, false)) return gb_fail(r->b, SN_ERROR_MEMORY, "out of memory");
    last->views.data[view] = true;
    return view;
}

/* x with axes of size 1 in front, so many in all. */
static NodeId of_rank(GraphBuilder *b, NodeId x, int32_t rank) {
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
        if (!is_last(r, x)) continue;
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
        bool stripped = is_last(r, x) && gb_type(r->b, x).rank == r->node->rank;
        operands[i] =
            stripped ? under_view(r, x) : channels_last(r->b, of_rank(r->b, x, r->node->rank));
    }
    return view_of(r,
                   gb_emit_like(r->b, node_attrs(r->from, r->node), operands, r->node->n_inputs));
}

/* ---- windows --------------------------------------------------------------------------------- */

/* x, padded, by windows of its axes from `first` on: their elements are new axes behind all others. */
static NodeId window(GraphBuilder *b, NodeId x, const Windows *w, int32_t first, double padding) {
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

/* The windows of the node, whose x is not batched where it has no samples. */
static NodeId with_samples(GraphBuilder *b, NodeId x, int32_t axes) {
    return of_rank(b, x, axes + 2);
}

/* ---- convolutions ---------------------------------------------------------------------------- */

/* A convolution in the type that it is computed in. Windows have [n, places…, taps…, channels] as axes;
 * places, and the axes of K, are one each: `inner` is [places…, k]. */
typedef struct Conv {
    Windows windows;
    int64_t groups;
    Dim n, in, out; /* samples; channels of a group, before and behind */
    Dim k;          /* taps times channels of a group */
    bool each;      /* a group has one channel */
    NodeId x, w;    /* [n, channels, spatial…], [out, channels of a group, taps…] */
} Conv;

static Dim count_taps(DimTable *table, const Windows *w) {
    Dim taps = dim_of(1);
    for (int32_t i = 0; i < w->axes; i++) taps = dim_mul(table, taps, w->axis[i].length);
    return taps;
}

/* [n · groups, places…, taps…, channels] as [n, groups, places…, k, 1], without the groups where there
 * is one. */
static NodeId rows_of(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0;
    DimTable *table = b->graph->table;
    TensorType type = gb_type(b, c->x);
    Dim dims[SN_MAX_RANK] = {dim_mul(table, c->n, dim_of(c->groups)), c->in};
    for (int32_t i = 0; i < axes; i++) dims[2 + i] = type.dims[2 + i];
    NodeId x = window(b, gb_reshape(b, c->x, dims, type.rank), &c->windows, 2, 0);
    int64_t order[SN_MAX_RANK] = {0};
    for (int32_t i = 0; i < 2 * axes; i++) order[1 + i] = 2 + i;
    order[2 * axes + 1] = 1;
    x = gb_permute(b, x, order, 2 * axes + 2);
    dims[rank++] = c->n;
    if (c->groups > 1) dims[rank++] = dim_of(c->groups);
    for (int32_t i = 0; i < axes; i++) dims[rank++] = c->windows.axis[i].count;
    dims[rank++] = c->k;
    dims[rank++] = dim_of(1);
    return gb_reshape(b, x, dims, rank);
}

/* [out, channels, taps…] as [1, groups, 1…, k, out of a group], without the groups where there is one. */
static NodeId columns_of(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0;
    Dim dims[SN_MAX_RANK] = {dim_of(c->groups), c->out, c->in};
    for (int32_t i = 0; i < axes; i++) dims[3 + i] = c->windows.axis[i].length;
    NodeId w = gb_reshape(b, c->w, dims, axes + 3);
    int64_t order[SN_MAX_RANK] = {0};
    for (int32_t i = 0; i < axes; i++) order[1 + i] = 3 + i;
    order[axes + 1] = 2;
    order[axes + 2] = 1;
    w = gb_permute(b, w, order, axes + 3);
    dims[rank++] = dim_of(1);
    if (c->groups > 1) dims[rank++] = dim_of(c->groups);
    for (int32_t i = 0; i < axes; i++) dims[rank++] = dim_of(1);
    dims[rank++] = c->k;
    dims[rank++] = c->out;
    return gb_reshape(b, w, dims, rank);
}

/* Of one channel a group: [n, places…, k, groups, 1]: channels are columns. */
static NodeId rows_of_each(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0;
    NodeId x = window(b, c->x, &c->windows, 2, 0);
    int64_t order[SN_MAX_RANK] = {0};
    for (int32_t i = 0; i < 2 * axes; i++) order[1 + i] = 2 + i;
    order[2 * axes + 1] = 1;
    x = gb_permute(b, x, order, 2 * axes + 2);
    Dim dims[SN_MAX_RANK];
    dims[rank++] = c->n;
    for (int32_t i = 0; i < axes; i++) dims[rank++] = c->windows.axis[i].count;
    dims[rank++] = c->k;
    dims[rank++] = dim_of(c->groups);
    dims[rank++] = dim_of(1);
    return gb_reshape(b, x, dims, rank);
}

/* [groups · out, 1, taps…] as [1, 1…, k, groups, out]. */
static NodeId columns_of_each(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0;
    NodeId w = gb_reshape(b, c->w, (Dim[]){dim_of(c->groups), c->out, c->k}, 3);
    w = gb_permute(b, w, (int64_t[]){2, 0, 1}, 3);
    Dim dims[SN_MAX_RANK];
    for (int32_t i = 0; i <= axes; i++) dims[rank++] = dim_of(1);
    dims[rank++] = c->k;
    dims[rank++] = dim_of(c->groups);
    dims[rank++] = c->out;
    return gb_reshape(b, w, dims, rank);
}

/* Sums over axis k of x · y, which repeat each other along axes of size 1. */
static NodeId sums_of(GraphBuilder *b, NodeId x, NodeId y, int32_t k) {
    TensorType type = gb_type(b, x), other = gb_type(b, y);
    for (int32_t i = 0; i < type.rank; i++)
        if (dim_is(type.dims[i], 1)) type.dims[i] = other.dims[i];
    x = gb_expand(b, x, type.dims, type.rank);
    y = gb_expand(b, y, type.dims, type.rank);
    if (dtype_is_float((sn_dtype)type.dtype)) return gb_contract(b, x, y, k);
    NodeId products = gb_cast(b, SN_I64, gb_op2(b, OP_MUL, x, y)); /* as sums are */
    return gb_cast(b, (sn_dtype)type.dtype, gb_reduce(b, OP_SUM, products, 1u << k));
}

/* The contraction, with channels last: [n, groups, places…, out], [n, places…, groups, out], or, of one
 * group, without it. */
static NodeId contract_windows(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, k = axes + 1 + (c->groups > 1 && !c->each);
    NodeId x = c->each ? rows_of_each(b, c) : rows_of(b, c);
    NodeId y = sums_of(b, x, c->each ? columns_of_each(b, c) : columns_of(b, c), k);
    TensorType type = gb_type(b, y);
    for (int32_t i = k; i < type.rank - 1; i++) type.dims[i] = type.dims[i + 1];
    return gb_reshape(b, y, type.dims, type.rank - 1);
}

/* bias[groups · out] as what is added to that. */
static NodeId bias_of(GraphBuilder *b, const Conv *c, NodeId bias) {
    Dim dims[SN_MAX_RANK] = {dim_of(c->groups)};
    int32_t rank = 1;
    for (int32_t i = 0; i < c->windows.axes && !c->each; i++) dims[rank++] = dim_of(1);
    dims[rank++] = c->out;
    return c->groups > 1 ? gb_reshape(b, bias, dims, rank) : bias;
}

/* y as [n, places…, channels]. */
static NodeId join_groups(GraphBuilder *b, const Conv *c, NodeId y) {
    int32_t axes = c->windows.axes;
    if (c->groups == 1) return y;
    TensorType type = gb_type(b, y);
    if (!c->each) {
        int64_t order[SN_MAX_RANK] = {0};
        for (int32_t i = 0; i < axes; i++) order[1 + i] = 2 + i;
        order[axes + 1] = 1;
        order[axes + 2] = axes + 2;
        y = gb_permute(b, y, order, axes + 3);
        type = gb_type(b, y);
    }
    type.dims[axes + 1] = dim_mul(b->graph->table, dim_of(c->groups), c->out);
    return gb_reshape(b, y, type.dims, axes + 2);
}

/* An operand in the type of the result's arithmetic. */
static NodeId operand(Rewrite *r, int32_t i) {
    return gb_meet(r->b, rewrite_dtype(r), rewrite_input(r, i));
}

/* x of few channels as a copy, padded, in which those of a row of taps follow one another: taps one by one
 * would be many short pieces. */
static void copy_few_channels(GraphBuilder *b, Conv *c) {
    enum { FEW = 8 };
    int32_t axes = c->windows.axes;
    bool few = dim_is_number(c->in) && c->in.word <= FEW && c->groups == 1;
    if (!few || dim_same(c->k, c->in)) return;
    Dim pads[2 * SN_MAX_RANK];
    NodeId x = channels_last(b, c->x);
    pads[0] = pads[1] = dim_of(0);
    for (int32_t i = 0; i < axes; i++) {
        WindowAxis *a = &c->windows.axis[i];
        pads[2 * (axes - i)] = dim_of(a->padding);
        pads[2 * (axes - i) + 1] = a->behind;
        a->padding = 0;
        a->behind = dim_of(0);
    }
    if (c->windows.padded) x = gb_pad(b, x, pads, 2 * (axes + 1), 0);
    c->windows.padded = false;
    c->x = channels_first(b, gb_op1(b, OP_CLONE, x));
}

static NodeId rule_conv(Rewrite *r) {
    GraphBuilder *b = r->b;
    DimTable *table = b->graph->table;
    Conv c = {.groups = node_attr_int(r->from, r->id, ATTR_GROUPS)};
    NodeId bias = operand(r, 2);
    c.w = operand(r, 1);
    c.x = operand(r, 0);
    TensorType x = gb_type(b, c.x), w = gb_type(b, c.w);
    windows_of(table, node_attrs(r->from, r->node), &x, &w, &c.windows);
    c.x = with_samples(b, c.x, c.windows.axes);
    c.n = gb_type(b, c.x).dims[0];
    c.in = w.dims[1];
    c.out = dim_quotient(table, w.dims[0], dim_of(c.groups));
    c.each = c.groups > 1 && dim_is(c.in, 1);
    c.k = dim_mul(table, count_taps(table, &c.windows), c.in);
    copy_few_channels(b, &c);
    NodeId y = contract_windows(b, &c);
    if (bias != NODE_NONE) y = gb_op2(b, OP_ADD, y, bias_of(b, &c, bias));
    y = gb_cast(b, rewrite_dtype(r), join_groups(b, &c, y));
    return gb_reshape(b, view_of(r, y), node_dims(r->from, r->node), r->node->rank);
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* A pool of x, [n, channels, spatial…], or with channels last. */
typedef struct Pool {
    Windows windows;
    bool last;     /* channels are last */
    int32_t first; /* of the axes of windows */
    NodeId x;      /* what is pooled */
} Pool;

/* `op` over the elements of the windows, in front of the last axis. */
static NodeId reduce_windows(GraphBuilder *b, const Pool *p, OpCode op, double padding) {
    int32_t axes = p->windows.axes, rank = axes + 2, at = 0;
    NodeId x = window(b, p->x, &p->windows, p->first, padding);
    TensorType type = gb_type(b, x);
    int64_t order[SN_MAX_RANK];
    for (int32_t i = 0; i < rank - 1; i++) order[at++] = i;
    for (int32_t i = 0; i < axes; i++) order[at++] = rank + i;
    order[at] = rank - 1;
    x = gb_permute(b, x, order, rank + axes);
    uint32_t mask = ((1u << axes) - 1) << (rank - 1);
    return gb_reshape(b, gb_reduce(b, op, x, mask), type.dims, rank);
}

static Pool pool_of(Rewrite *r, NodeId x) {
    Pool p = {.last = is_last(r, x)};
    TensorType type = gb_type(r->b, x);
    windows_of(r->b->graph->table, node_attrs(r->from, r->node), &type, NULL, &p.windows);
    p.x = p.last ? under_view(r, x) : with_samples(r->b, x, p.windows.axes);
    p.first = p.last ? 1 : 2;
    return p;
}

static NodeId finish_pool(Rewrite *r, const Pool *p, NodeId y) {
    y = gb_cast(r->b, rewrite_dtype(r), y);
    if (p->last) y = view_of(r, y);
    return gb_reshape(r->b, y, node_dims(r->from, r->node), r->node->rank);
}

/* Padding is what no element is below. */
static double least_of(sn_dtype dtype) {
    if (dtype_is_float(dtype)) return -INFINITY;
    if (dtype == SN_BOOL || dtype == SN_U8) return 0;
    return -ldexp(1, 8 * (int)sn_dtype_size(dtype) - 1);
}

static NodeId rule_max_pool(Rewrite *r) {
    NodeId x = rewrite_input(r, 0);
    Pool p = pool_of(r, x);
    return finish_pool(r, &p, reduce_windows(r->b, &p, OP_MAX, least_of(gb_dtype(r->b, x))));
}

/* Elements of a window along one axis that count: i64, by the axis of windows. */
static NodeId count_elements(GraphBuilder *b, const WindowAxis *a, bool include_pad) {
    NodeId first =
        gb_op2(b, OP_MUL, gb_iota(b, &a->count, 1, 0), gb_literal(b, SN_I64, (double)a->step));
    first = gb_op2(b, OP_SUB, first, gb_literal(b, SN_I64, (double)a->padding));
    Dim end = dim_add(b->graph->table, a->size, dim_of(include_pad ? a->padding : 0));
    NodeId last = gb_op2(b, OP_ADD, first, gb_size(b, SN_I64, a->length));
    last = gb_op2(b, OP_MINIMUM, last, gb_size(b, SN_I64, end));
    if (!include_pad) first = gb_op2(b, OP_MAXIMUM, first, gb_literal(b, SN_I64, 0));
    return gb_op2(b, OP_SUB, last, first);
}

/* The same of all axes, of the pool's dtype, in the place of its axes. */
static NodeId divisor_of(GraphBuilder *b, const Pool *p, sn_dtype dtype, bool include_pad) {
    NodeId all = NODE_NONE;
    bool ceil = false;
    for (int32_t i = 0; i < p->windows.axes; i++)
        ceil = ceil || !dim_is(p->windows.axis[i].behind, 0);
    if (!p->windows.padded || (include_pad && !ceil))
        return gb_size(b, dtype, count_taps(b->graph->table, &p->windows));
    for (int32_t i = 0; i < p->windows.axes; i++) {
        NodeId count = count_elements(b, &p->windows.axis[i], include_pad);
        Dim dims[SN_MAX_RANK];
        int32_t rank = p->windows.axes - i + p->last;
        for (int32_t j = 0; j < rank; j++) dims[j] = j == 0 ? p->windows.axis[i].count : dim_of(1);
        count = gb_reshape(b, count, dims, rank);
        all = all == NODE_NONE ? count : gb_op2(b, OP_MUL, all, count);
    }
    return gb_cast(b, dtype, all);
}

/* Padding is -0, which no sum sees. */
static NodeId rule_avg_pool(Rewrite *r) {
    GraphBuilder *b = r->b;
    Pool p = pool_of(r, rewrite_input(r, 0));
    p.x = gb_widen(b, p.x);
    sn_dtype dtype = gb_dtype(b, p.x);
    NodeId sum = reduce_windows(b, &p, OP_SUM, -0.0);
    NodeId divisor = divisor_of(b, &p, dtype, node_attr_bool(r->from, r->id, ATTR_COUNT_PAD));
    return finish_pool(r, &p, gb_op2(b, OP_DIV, sum, divisor));
}

/* ---- batch_norm ------------------------------------------------------------------------------ */

/* x * scale + shift, scale = weight / sqrt(var + eps), shift = bias - mean * scale, of each channel. */
static NodeId rule_batch_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, 0);
    bool last = is_last(r, x);
    x = gb_widen(b, last ? under_view(r, x) : x);
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
    return last ? view_of(r, y) : y;
}

/* ---- the rewrite ----------------------------------------------------------------------------- */

static RewriteRule *const rules[OP_COUNT] = {
    [OP_CONV1D] = rule_conv,         [OP_CONV2D] = rule_conv,
    [OP_CONV3D] = rule_conv,         [OP_MAX_POOL1D] = rule_max_pool,
    [OP_MAX_POOL2D] = rule_max_pool, [OP_MAX_POOL3D] = rule_max_pool,
    [OP_AVG_POOL1D] = rule_avg_pool, [OP_AVG_POOL2D] = rule_avg_pool,
    [OP_AVG_POOL3D] = rule_avg_pool, [OP_BATCH_NORM] = rule_batch_norm,
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
