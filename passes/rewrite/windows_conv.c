/* The rewrite of windows, convolutions: contractions of windows and weights; see windows.c. */
#include "passes/rewrite/windows.h"

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

/* [n · groups, places…, taps…, channels] as [n, groups, places…, k, 1], without the groups where there
 * is one. */
static NodeId rows_of(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0;
    DimTable *table = b->graph->table;
    TensorType type = gb_type(b, c->x);
    Dim dims[SN_MAX_RANK] = {dim_mul(table, c->n, dim_of(c->groups)), c->in};
    for (int32_t i = 0; i < axes; i++) dims[2 + i] = type.dims[2 + i];
    NodeId x = windows_of_axes(b, gb_reshape(b, c->x, dims, type.rank), &c->windows, 2, 0);
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
    NodeId x = windows_of_axes(b, c->x, &c->windows, 2, 0);
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

NodeId rule_conv(Rewrite *r) {
    GraphBuilder *b = r->b;
    DimTable *table = b->graph->table;
    Conv c = {.groups = node_attr_int(r->from, r->id, ATTR_GROUPS)};
    NodeId bias = operand(r, 2);
    c.w = operand(r, 1);
    c.x = operand(r, 0);
    TensorType x = gb_type(b, c.x), w = gb_type(b, c.w);
    windows_of(table, node_attrs(r->from, r->node), &x, &w, &c.windows);
    c.x = windows_rank(b, c.x, c.windows.axes + 2);
    c.n = gb_type(b, c.x).dims[0];
    c.in = w.dims[1];
    c.out = dim_quotient(table, w.dims[0], dim_of(c.groups));
    c.each = c.groups > 1 && dim_is(c.in, 1);
    c.k = dim_mul(table, windows_taps(table, &c.windows), c.in);
    copy_few_channels(b, &c);
    NodeId y = contract_windows(b, &c);
    if (bias != NODE_NONE) y = gb_op2(b, OP_ADD, y, bias_of(b, &c, bias));
    y = gb_cast(b, rewrite_dtype(r), join_groups(b, &c, y));
    return gb_reshape(b, windows_view(r, y), node_dims(r->from, r->node), r->node->rank);
}
