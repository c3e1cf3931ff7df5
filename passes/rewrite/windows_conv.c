/* The rewrite of windows, convolutions: contractions of windows and weights; see windows.c. */
#include "ir/graph/view_graph.h"
#include "passes/rewrite/windows.h"

/* ---- convolutions ---------------------------------------------------------------------------- */

/* A convolution in the type that it is computed in: a contraction whose rows are places, whose columns are
 * channels, and whose k is tap × channels of a group + channel. */
typedef struct Conv {
    Windows windows; /* of x */
    int64_t groups;  /* of channels */
    Dim n, in, out;  /* samples; channels of a group, before and behind */
    Dim k;           /* taps times channels of a group */
    bool each;       /* a group has one channel */
    NodeId x, w;     /* [n, channels, spatial…], [out, channels of a group, taps…] */
} Conv;

/* Windows of x by axes behind `first`, which has the channels: these go behind places and taps. */
static NodeId windows_then_channels(GraphBuilder *b, NodeId x, const Windows *w, int32_t first) {
    x = windows_of_axes(b, x, w, first + 1, 0);
    int64_t order[SN_MAX_RANK];
    for (int32_t i = 0; i < first; i++) order[i] = i;
    for (int32_t i = 0; i < 2 * w->axes; i++) order[first + i] = first + 1 + i;
    order[first + 2 * w->axes] = first;
    return gb_permute(b, x, order, first + 1 + 2 * w->axes);
}

/* Windows as [n, groups, places…, k, 1], without the groups where there is one. Groups are an axis of x,
 * which of three axes of windows is one with n: there is no room for more. */
static NodeId rows_of(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0, first = 0;
    DimTable *table = b->graph->table;
    TensorType type = gb_type(b, c->x);
    Dim dims[SN_MAX_RANK], groups = dim_of(c->groups);
    bool joined = axes == WINDOW_MOST_AXES;
    dims[first++] = joined ? dim_mul(table, c->n, groups) : c->n;
    if (c->groups > 1 && !joined) dims[first++] = groups;
    dims[first] = c->in;
    for (int32_t i = 0; i < axes; i++) dims[first + 1 + i] = type.dims[2 + i];
    NodeId x = gb_reshape(b, c->x, dims, first + 1 + axes);
    x = windows_then_channels(b, x, &c->windows, first);
    dims[rank++] = c->n;
    if (c->groups > 1) dims[rank++] = groups;
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
    NodeId x = windows_then_channels(b, c->x, &c->windows, 1);
    Dim dims[SN_MAX_RANK];
    dims[rank++] = c->n;
    for (int32_t i = 0; i < axes; i++) dims[rank++] = c->windows.axis[i].count;
    dims[rank++] = c->k;
    dims[rank++] = dim_of(c->groups);
    dims[rank++] = dim_of(1);
    return gb_reshape(b, x, dims, rank);
}

/* [groups · out, 1, taps…] as [1, 1…, k, groups, out], a copy with channels side by side. */
static NodeId columns_of_each(GraphBuilder *b, const Conv *c) {
    int32_t axes = c->windows.axes, rank = 0;
    NodeId w = gb_reshape(b, c->w, (Dim[]){dim_of(c->groups), c->out, c->k}, 3);
    w = gb_op1(b, OP_CLONE, gb_permute(b, w, (int64_t[]){2, 0, 1}, 3));
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
    if (!c->each) y = windows_groups_last(b, y);
    TensorType type = gb_type(b, y);
    type.dims[axes + 1] = dim_mul(b->graph->table, dim_of(c->groups), c->out);
    return gb_reshape(b, y, type.dims, axes + 2);
}

/* An operand in the type of the result's arithmetic. */
static NodeId operand(Rewrite *r, int32_t i) {
    return gb_meet(r->b, rewrite_dtype(r), rewrite_input(r, i));
}

/* Is it memory that a program passes, in which elements follow one another in order? */
static bool is_dense_input(const Graph *graph, NodeId x) {
    const Node *base = graph_node(graph, view_base(graph, x));
    return node_is_input(base) && rewrite_is_whole(graph, x);
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
    if (!c->windows.padded && is_dense_input(b->graph, x)) return;
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
    y = gb_cast(b, rewrite_dtype(r), y);
    y = c.groups > 1 && !c.each ? windows_view_groups(r, y)
                                : windows_view(r, join_groups(b, &c, y));
    return gb_reshape(b, y, node_dims(r->from, r->node), r->node->rank);
}

/* ---- transposed convolutions ------------------------------------------------------------------ */

/* Places o of one axis with (o + padding) mod stride = residue, and the taps that meet them: those with
 * tap dilation mod stride = residue, every so many from the first one on. The elements of x that they meet go
 * backwards from tap to tap. */
typedef struct PhaseAxis {
    int64_t first_tap, tap_step, taps; /* taps 0: none meets */
    int64_t back;                      /* elements from one tap's to the next one's */
    int64_t first_place, stride;       /* places */
    Dim places;                        /* how many */
    Dim before, behind;                /* elements by which x is padded, or, below 0, cut */
} PhaseAxis;

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* An axis of a transposed convolution. */
typedef struct Transposed {
    Dim size, places;                        /* of x and of the result */
    int64_t taps, stride, padding, dilation; /* as the op has them */
} Transposed;

static PhaseAxis phase_axis(DimTable *table, const Transposed *t, int64_t residue) {
    int64_t common = common_divisor(t->stride, t->dilation), first = 0;
    PhaseAxis p = {
        .tap_step = t->stride / common, .back = t->dilation / common, .stride = t->stride};
    while (first < t->taps && first * t->dilation % t->stride != residue) first++;
    p.first_tap = first;
    p.taps = first < t->taps ? (t->taps - first - 1) / p.tap_step + 1 : 0;
    int64_t ahead = t->padding - residue; /* places from the padding's first to place 0 */
    int64_t first_step = ahead > 0 ? (ahead + t->stride - 1) / t->stride : 0;
    p.first_place = first_step * t->stride - ahead;
    Dim left = dim_sub(table, t->places, dim_of(p.first_place + 1));
    p.places = dim_add(table, dim_quotient(table, left, dim_of(t->stride)), dim_of(1));
    if (dim_less(table, left, dim_of(0))) p.places = dim_of(0);
    /* the first tap of the first place meets this element */
    int64_t element = first_step - (first * t->dilation - residue) / t->stride;
    p.before = dim_of((p.taps - 1) * p.back - element);
    Dim last = dim_add(table, dim_of(element), dim_sub(table, p.places, dim_of(1)));
    p.behind = dim_sub(table, last, dim_sub(table, t->size, dim_of(1)));
    return p;
}

/* The contraction of one phase, with channels last. */
static NodeId contract_phase(GraphBuilder *b, const Conv *whole, const PhaseAxis *phase) {
    Conv c = *whole;
    int32_t axes = c.windows.axes;
    DimTable *table = b->graph->table;
    Dim pads[2 * WINDOW_MOST_AXES], starts[SN_MAX_RANK], steps[SN_MAX_RANK];
    TensorType w = gb_type(b, c.w);
    bool padded = false;
    for (int32_t i = 0; i < axes + 2; i++) {
        starts[i] = dim_of(0);
        steps[i] = dim_of(1);
    }
    for (int32_t i = 0; i < axes; i++) {
        const PhaseAxis *p = &phase[i];
        pads[2 * (axes - 1 - i)] = p->before;
        pads[2 * (axes - 1 - i) + 1] = p->behind;
        padded = padded || !dim_is(p->before, 0) || !dim_is(p->behind, 0);
        starts[2 + i] = dim_of(p->first_tap);
        steps[2 + i] = dim_of(p->tap_step);
        w.dims[2 + i] = dim_of(p->taps);
        c.windows.axis[i] = (WindowAxis){.length = dim_of(p->taps),
                                         .step = 1,
                                         .dilation = -p->back,
                                         .count = p->places,
                                         .behind = dim_of(0)};
    }
    if (padded) c.x = gb_pad(b, c.x, pads, 2 * axes, 0);
    c.w = gb_slice(b, c.w, starts, steps, w.dims);
    c.k = dim_mul(table, windows_taps(table, &c.windows), c.in);
    return join_groups(b, &c, contract_windows(b, &c));
}

/* Writes what the phases with these residues give into y, [n, places…, channels]. */
static NodeId put_phase(GraphBuilder *b, const Conv *c, const Transposed *t,
                        const int64_t *residues, NodeId y) {
    int32_t axes = c->windows.axes;
    PhaseAxis phase[WINDOW_MOST_AXES];
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK];
    for (int32_t i = 0; i < axes + 2; i++) {
        starts[i] = dim_of(0);
        steps[i] = dim_of(1);
    }
    for (int32_t i = 0; i < axes; i++) {
        phase[i] = phase_axis(b->graph->table, &t[i], residues[i]);
        if (!phase[i].taps || dim_is(phase[i].places, 0)) return y;
        starts[1 + i] = dim_of(phase[i].first_place);
        steps[1 + i] = dim_of(phase[i].stride);
    }
    NodeId part = contract_phase(b, c, phase);
    return y == NODE_NONE ? part : gb_put_slice(b, y, part, starts, steps);
}

/* Weight [in, out of a group, taps…] as a convolution has it. */
static NodeId turn_weight(GraphBuilder *b, NodeId w, int64_t groups) {
    TensorType type = gb_type(b, w);
    DimTable *table = b->graph->table;
    int32_t axes = type.rank - 2;
    Dim in = dim_quotient(table, type.dims[0], dim_of(groups)), out = type.dims[1];
    Dim dims[SN_MAX_RANK] = {dim_of(groups), in, out};
    int64_t order[SN_MAX_RANK] = {0, 2, 1};
    for (int32_t i = 0; i < axes; i++) {
        dims[3 + i] = type.dims[2 + i];
        order[3 + i] = 3 + i;
    }
    w = gb_permute(b, gb_reshape(b, w, dims, axes + 3), order, axes + 3);
    type.dims[0] = dim_mul(table, dim_of(groups), out);
    type.dims[1] = in;
    return gb_reshape(b, w, type.dims, axes + 2);
}

/* Reads the numbers of the axes. How many taps there are decides which phases there are: it must be known. */
static void read_axes(Rewrite *r, const TensorType *x, const TensorType *w, Transposed *t) {
    AttrView attrs = node_attrs(r->from, r->node);
    DimTable *table = r->b->graph->table;
    int32_t axes = window_axes(attrs.op), count;
    const Dim *places = node_dims(r->from, r->node) + r->node->rank - axes;
    for (int32_t i = 0; i < axes; i++) {
        if (!dim_is_number(w->dims[2 + i])) table->failed = true;
        t[i] = (Transposed){.size = x->dims[x->rank - axes + i],
                            .places = places[i],
                            .taps = dim_hint(table, w->dims[2 + i]),
                            .stride = attr_list(attrs, ATTR_STRIDE, &count)[i],
                            .padding = attr_list(attrs, ATTR_PADDING, &count)[i],
                            .dilation = attr_list(attrs, ATTR_DILATION, &count)[i]};
    }
}

/* All phases: each residue of each axis, but for those that no tap meets. */
static NodeId put_phases(GraphBuilder *b, const Conv *c, const Transposed *t, NodeId y) {
    int64_t residues[WINDOW_MOST_AXES], taps[WINDOW_MOST_AXES] = {0};
    int32_t axes = c->windows.axes, i = 0;
    while (i < axes) {
        bool first = true; /* tap of its residue */
        for (int32_t j = 0; j < axes; j++) {
            residues[j] = taps[j] * t[j].dilation % t[j].stride;
            first = first && taps[j] < t[j].stride / common_divisor(t[j].stride, t[j].dilation);
        }
        if (first) y = put_phase(b, c, t, residues, y);
        for (i = 0; i < axes && ++taps[i] == t[i].taps; i++) taps[i] = 0;
    }
    return y;
}

NodeId rule_conv_transpose(Rewrite *r) {
    GraphBuilder *b = r->b;
    DimTable *table = b->graph->table;
    Conv c = {.groups = node_attr_int(r->from, r->id, ATTR_GROUPS)};
    Transposed t[WINDOW_MOST_AXES];
    NodeId bias = operand(r, 2), weight = operand(r, 1);
    c.x = operand(r, 0);
    TensorType x = gb_type(b, c.x), w = gb_type(b, weight), result = x;
    read_axes(r, &x, &w, t);
    c.windows.axes = window_axes((OpCode)r->node->op);
    c.x = windows_rank(b, c.x, c.windows.axes + 2);
    c.w = turn_weight(b, weight, c.groups);
    c.n = gb_type(b, c.x).dims[0];
    c.in = gb_type(b, c.w).dims[1];
    c.out = w.dims[1];
    c.each = c.groups > 1 && dim_is(c.in, 1);
    bool one = true; /* phase is all */
    result.rank = (uint8_t)(c.windows.axes + 2);
    result.dims[0] = c.n;
    for (int32_t i = 0; i < c.windows.axes; i++) {
        one = one && t[i].stride == 1;
        result.dims[1 + i] = t[i].places;
    }
    result.dims[c.windows.axes + 1] = dim_mul(table, dim_of(c.groups), c.out);
    NodeId y = one ? NODE_NONE : gb_op1(b, OP_CLONE, gb_zeros(b, &result));
    y = put_phases(b, &c, t, y);
    if (bias != NODE_NONE) y = gb_op2(b, OP_ADD, y, bias);
    y = windows_view(r, gb_cast(b, rewrite_dtype(r), y));
    return gb_reshape(b, y, node_dims(r->from, r->node), r->node->rank);
}
