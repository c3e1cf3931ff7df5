/* The rewrite of windows, pools: reductions of windows; see windows.c. */
#include "passes/rewrite/windows.h"

#include <math.h>

/* ---- pools ----------------------------------------------------------------------------------- */

/* A pool of x, [n, channels, spatial…], or with channels last. */
typedef struct Pool {
    Windows windows; /* of x */
    bool last;       /* channels are last */
    bool even;       /* adaptive: have all windows equally many elements, known by their sizes? */
    int32_t first;   /* of the axes of windows */
    NodeId x;        /* what is pooled */
} Pool;

/* `op` over the last axes of x, which stand for elements of windows; they go in front of the one before them:
 * that axis is then the vector's, and the order of sums that of columns. */
static NodeId reduce_last(GraphBuilder *b, NodeId x, int32_t axes, OpCode op) {
    TensorType type = gb_type(b, x);
    int32_t rank = type.rank - axes, at = 0;
    int64_t order[SN_MAX_RANK];
    for (int32_t i = 0; i < rank - 1; i++) order[at++] = i;
    for (int32_t i = 0; i < axes; i++) order[at++] = rank + i;
    order[at] = rank - 1;
    x = gb_permute(b, x, order, rank + axes);
    uint32_t mask = ((1u << axes) - 1) << (rank - 1);
    return gb_reshape(b, gb_reduce(b, op, x, mask), type.dims, rank);
}

/* `op` over the elements of the windows. */
static NodeId reduce_windows(GraphBuilder *b, const Pool *p, OpCode op, double padding) {
    NodeId x = windows_of_axes(b, p->x, &p->windows, p->first, padding);
    return reduce_last(b, x, p->windows.axes, op);
}

static Pool pool_of(Rewrite *r, NodeId x) {
    Pool p = {.last = windows_last(r, x)};
    TensorType type = gb_type(r->b, x);
    windows_of(r->b->graph->table, node_attrs(r->from, r->node), &type, NULL, &p.windows);
    p.x = p.last ? windows_under(r, x) : windows_rank(r->b, x, p.windows.axes + 2);
    p.first = p.last ? 1 : 2;
    return p;
}

static NodeId finish_pool(Rewrite *r, const Pool *p, NodeId y) {
    y = gb_cast(r->b, rewrite_dtype(r), y);
    if (p->last) y = windows_view(r, y);
    return gb_reshape(r->b, y, node_dims(r->from, r->node), r->node->rank);
}

/* Padding is what no element is below. */
static double least_of(sn_dtype dtype) {
    if (dtype_is_float(dtype)) return -INFINITY;
    if (dtype == SN_BOOL || dtype == SN_U8) return 0;
    return -ldexp(1, 8 * (int)sn_dtype_size(dtype) - 1);
}

NodeId rule_max_pool(Rewrite *r) {
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

/* What each window along axis i has, by that axis, in its place. */
static NodeId along_axis(GraphBuilder *b, const Pool *p, int32_t i, NodeId x) {
    Dim dims[SN_MAX_RANK] = {p->windows.axis[i].count};
    int32_t rank = p->windows.axes - i + p->last;
    for (int32_t j = 1; j < rank; j++) dims[j] = dim_of(1);
    return gb_reshape(b, x, dims, rank);
}

/* `all` times what each window along axis i has, by that axis, in its place; NODE_NONE: that alone. */
static NodeId times_axis(GraphBuilder *b, const Pool *p, NodeId all, int32_t i, NodeId count) {
    count = along_axis(b, p, i, count);
    return all == NODE_NONE ? count : gb_op2(b, OP_MUL, all, count);
}

/* The same of all axes, of the pool's dtype, in the place of its axes. */
static NodeId divisor_of(GraphBuilder *b, const Pool *p, sn_dtype dtype, bool include_pad) {
    NodeId all = NODE_NONE;
    bool ceil = false;
    for (int32_t i = 0; i < p->windows.axes; i++)
        ceil = ceil || !dim_is(p->windows.axis[i].behind, 0);
    if (!p->windows.padded || (include_pad && !ceil))
        return gb_size(b, dtype, windows_taps(b->graph->table, &p->windows));
    for (int32_t i = 0; i < p->windows.axes; i++) {
        NodeId count = count_elements(b, &p->windows.axis[i], include_pad);
        all = times_axis(b, p, all, i, count);
    }
    return gb_cast(b, dtype, all);
}

/* Padding is -0, which no sum sees. */
NodeId rule_avg_pool(Rewrite *r) {
    GraphBuilder *b = r->b;
    Pool p = pool_of(r, rewrite_input(r, 0));
    p.x = gb_widen(b, p.x);
    sn_dtype dtype = gb_dtype(b, p.x);
    NodeId sum = reduce_windows(b, &p, OP_SUM, -0.0);
    int64_t given = node_attr_int(r->from, r->id, ATTR_DIVISOR);
    NodeId divisor = given
                         ? gb_hoisted(b, dtype, (double)given)
                         : divisor_of(b, &p, dtype, node_attr_bool(r->from, r->id, ATTR_COUNT_PAD));
    return finish_pool(r, &p, gb_op2(b, OP_DIV, sum, divisor));
}

/* ---- indices --------------------------------------------------------------------------------- */

/* i64: where along axis i the windows begin, which may be in the padding before. */
static NodeId begin_of(GraphBuilder *b, const Pool *p, int32_t i) {
    const WindowAxis *a = &p->windows.axis[i];
    NodeId first = along_axis(b, p, i, gb_iota(b, &a->count, 1, 0));
    first = gb_op2(b, OP_MUL, first, gb_literal(b, SN_I64, (double)a->step));
    return gb_op2(b, OP_SUB, first, gb_literal(b, SN_I64, (double)a->padding));
}

/* i64: which one along axis i the tap of that number is, in each window. */
static NodeId tap_along(GraphBuilder *b, const Pool *p, int32_t i, NodeId tap) {
    Dim inner = dim_of(1);
    for (int32_t j = i + 1; j < p->windows.axes; j++)
        inner = dim_mul(b->graph->table, inner, p->windows.axis[j].length);
    tap = gb_op2(b, OP_FLOOR_DIVIDE, tap, gb_size(b, SN_I64, inner));
    return gb_op2(b, OP_REMAINDER, tap, gb_size(b, SN_I64, p->windows.axis[i].length));
}

/* i64: where along axis i it lies. */
static NodeId place_of(GraphBuilder *b, const Pool *p, int32_t i, NodeId tap) {
    NodeId apart = gb_literal(b, SN_I64, (double)p->windows.axis[i].dilation);
    NodeId within = gb_op2(b, OP_MUL, tap_along(b, p, i, tap), apart);
    return gb_op2(b, OP_ADD, begin_of(b, p, i), within);
}

/* i64: the first place along axis i, in each window, that is no padding; of padding alone any place. */
static NodeId first_place(GraphBuilder *b, const Pool *p, int32_t i) {
    const WindowAxis *a = &p->windows.axis[i];
    NodeId begin = begin_of(b, p, i), zero = gb_literal(b, SN_I64, 0);
    NodeId apart = gb_literal(b, SN_I64, (double)a->dilation);
    NodeId before = gb_op2(b, OP_MAXIMUM, gb_op1(b, OP_NEG, begin), zero);
    NodeId taps = gb_op2(b, OP_ADD, before, gb_literal(b, SN_I64, (double)(a->dilation - 1)));
    taps = gb_op2(b, OP_FLOOR_DIVIDE, taps, apart);
    NodeId place = gb_op2(b, OP_ADD, begin, gb_op2(b, OP_MUL, taps, apart));
    NodeId last = gb_size(b, SN_I64, dim_sub(b->graph->table, a->size, dim_of(1)));
    return gb_op2(b, OP_MINIMUM, place, last);
}

/* bool: do all places lie in x? */
static NodeId all_inside(GraphBuilder *b, const Pool *p, const NodeId *places) {
    NodeId all = NODE_NONE, zero = gb_literal(b, SN_I64, 0);
    for (int32_t i = 0; i < p->windows.axes; i++) {
        NodeId size = gb_size(b, SN_I64, p->windows.axis[i].size);
        NodeId low = gb_op2(b, OP_GE, places[i], zero), high = gb_op2(b, OP_LT, places[i], size);
        NodeId inside = gb_op2(b, OP_LOGICAL_AND, low, high);
        all = all == NODE_NONE ? inside : gb_op2(b, OP_LOGICAL_AND, all, inside);
    }
    return all;
}

/* The number of the tap that is largest, of several the first: an argmax of the last axes, which become
 * one. */
static NodeId largest_tap(GraphBuilder *b, const Pool *p, NodeId x) {
    TensorType type = gb_type(b, x);
    int32_t rank = p->windows.axes + 2;
    type.dims[rank] = windows_taps(b->graph->table, &p->windows);
    x = gb_reshape(b, x, type.dims, rank + 1);
    return gb_reshape(b, gb_reduce(b, OP_ARGMAX, x, 1u << rank), type.dims, rank);
}

/* Places along the axes as an index in a channel. */
static NodeId index_of(GraphBuilder *b, const Pool *p, const NodeId *places) {
    NodeId all = NODE_NONE;
    for (int32_t i = 0; i < p->windows.axes; i++) {
        if (i) all = gb_op2(b, OP_MUL, all, gb_size(b, SN_I64, p->windows.axis[i].size));
        all = i ? gb_op2(b, OP_ADD, all, places[i]) : places[i];
    }
    return all;
}

/* Where all elements are the least number a padded place may come first: the first element is meant. */
NodeId rule_pool_indices(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, 0), places[WINDOW_MOST_AXES];
    Pool p = pool_of(r, x);
    x = windows_of_axes(b, p.x, &p.windows, p.first, least_of(gb_dtype(b, x)));
    NodeId tap = largest_tap(b, &p, x);
    for (int32_t i = 0; i < p.windows.axes; i++) places[i] = place_of(b, &p, i, tap);
    NodeId inside = p.windows.padded ? all_inside(b, &p, places) : NODE_NONE;
    for (int32_t i = 0; i < p.windows.axes && inside != NODE_NONE; i++)
        places[i] = gb_op3(b, OP_WHERE, inside, places[i], first_place(b, &p, i));
    return finish_pool(r, &p, index_of(b, &p, places));
}

/* ---- adaptive pools -------------------------------------------------------------------------- */

/* The elements of one result along an axis: [begin, end), i64 by result. */
typedef struct Span {
    NodeId begin, end;
} Span;

static Span span_of(GraphBuilder *b, Dim size, Dim out) {
    NodeId i = gb_iota(b, &out, 1, 0), parts = gb_size(b, SN_I64, out);
    NodeId elements = gb_size(b, SN_I64, size), one = gb_literal(b, SN_I64, 1);
    NodeId begin = gb_op2(b, OP_FLOOR_DIVIDE, gb_op2(b, OP_MUL, i, elements), parts);
    NodeId end = gb_op2(b, OP_MUL, gb_op2(b, OP_ADD, i, one), elements);
    end = gb_op2(b, OP_ADD, end, gb_op2(b, OP_SUB, parts, one));
    return (Span){begin, gb_op2(b, OP_FLOOR_DIVIDE, end, parts)};
}

/* No result has more elements along an axis. */
static Dim longest(DimTable *table, Dim size, Dim out) {
    return dim_add(table, dim_quotient(table, size, out), dim_of(2));
}

/* Axis `at` of x as [out, elements]: those of each result, and behind its end `padding`. */
static NodeId spread_axis(GraphBuilder *b, NodeId x, int32_t at, Dim out, double padding) {
    TensorType type = gb_type(b, x);
    DimTable *table = b->graph->table;
    Dim size = type.dims[at], most = longest(table, size, out);
    Span span = span_of(b, size, out);
    NodeId begin = gb_reshape(b, span.begin, (Dim[]){out, {1}}, 2);
    NodeId place = gb_op2(b, OP_ADD, begin, gb_iota(b, &most, 1, 0));
    NodeId last = gb_size(b, SN_I64, dim_sub(table, size, dim_of(1)));
    NodeId safe = gb_op2(b, OP_MINIMUM, place, last);
    Dim all = dim_mul(table, out, most);
    x = gb_look_up(b, OP_INDEX_SELECT, x, at, gb_reshape(b, safe, &all, 1));
    Dim dims[SN_MAX_RANK], mask[SN_MAX_RANK] = {out, most};
    for (int32_t i = 0; i <= type.rank; i++) dims[i] = type.dims[i - (i > at)];
    dims[at] = out;
    dims[at + 1] = most;
    x = gb_reshape(b, x, dims, type.rank + 1);
    NodeId inside = gb_op2(b, OP_LT, place, gb_reshape(b, span.end, (Dim[]){out, {1}}, 2));
    for (int32_t i = 2; i < type.rank + 1 - at; i++) mask[i] = dim_of(1);
    inside = gb_reshape(b, inside, mask, type.rank + 1 - at);
    return gb_op3(b, OP_WHERE, inside, x, gb_literal(b, (sn_dtype)type.dtype, padding));
}

/* Windows that are as many elements apart as they have: of sizes that divide those of x. */
static bool is_even(Pool *p) {
    for (int32_t i = 0; i < p->windows.axes; i++) {
        WindowAxis *a = &p->windows.axis[i];
        bool numbers = dim_is_number(a->size) && dim_is_number(a->count) && a->count.word > 0;
        if (!numbers || a->size.word % a->count.word != 0) return false;
        a->step = a->size.word / a->count.word;
        a->length = dim_of(a->step);
        a->dilation = 1;
    }
    return true;
}

/* All results' elements as last axes. */
static NodeId spread_axes(GraphBuilder *b, const Pool *p, NodeId x, double padding) {
    int32_t axes = p->windows.axes, rank = axes + 2, at = 0;
    for (int32_t i = 0; i < axes; i++)
        x = spread_axis(b, x, p->first + 2 * i, p->windows.axis[i].count, padding);
    int64_t order[SN_MAX_RANK];
    for (int32_t i = 0; i < rank; i++) {
        int32_t axis = i - p->first; /* of the windows, where it is one */
        order[at++] = axis < 0 ? i : axis < axes ? p->first + 2 * axis : i + axes;
    }
    for (int32_t i = 0; i < axes; i++) order[at++] = p->first + 2 * i + 1;
    return gb_permute(b, x, order, rank + axes);
}

/* What a sum is divided by, in the place of the axes. */
static NodeId elements_of(GraphBuilder *b, const Pool *p, sn_dtype dtype) {
    NodeId all = NODE_NONE;
    for (int32_t i = 0; i < p->windows.axes; i++) {
        const WindowAxis *a = &p->windows.axis[i];
        Span span = span_of(b, a->size, a->count);
        all = times_axis(b, p, all, i, gb_op2(b, OP_SUB, span.end, span.begin));
    }
    return gb_cast(b, dtype, all);
}

/* The elements of the last axes, an axis after the other from the last on: so sums are the same whether all
 * windows have equally many, as views, or some fewer, filled up. */
static NodeId reduce_each(GraphBuilder *b, NodeId x, int32_t axes, OpCode op) {
    for (int32_t i = 0; i < axes; i++) x = reduce_last(b, x, 1, op);
    return x;
}

static Pool adaptive_of(Rewrite *r, NodeId x) {
    Pool p = {.last = windows_last(r, x), .windows.axes = window_axes((OpCode)r->node->op)};
    TensorType type = gb_type(r->b, x);
    DimTable *table = r->b->graph->table;
    int32_t axes = p.windows.axes;
    for (int32_t i = 0; i < axes; i++) {
        WindowAxis *a = &p.windows.axis[i];
        a->size = type.dims[type.rank - axes + i];
        a->count = node_dims(r->from, r->node)[type.rank - axes + i];
    }
    p.x = p.last ? windows_under(r, x) : windows_rank(r->b, x, axes + 2);
    p.first = p.last ? 1 : 2;
    p.even = is_even(&p);
    for (int32_t i = 0; i < axes && !p.even; i++)
        p.windows.axis[i].length = longest(table, p.windows.axis[i].size, p.windows.axis[i].count);
    return p;
}

/* All results' elements as last axes, those that are filled up with padding. */
static NodeId elements_of_all(GraphBuilder *b, const Pool *p, double padding) {
    return p->even ? windows_of_axes(b, p->x, &p->windows, p->first, padding)
                   : spread_axes(b, p, p->x, padding);
}

static bool is_empty_result(const Rewrite *r) {
    TensorType result = node_type(r->from, r->id);
    return type_is_empty(r->b->graph->table, &result);
}

static NodeId empty_result(const Rewrite *r) {
    TensorType result = node_type(r->from, r->id);
    return gb_zeros(r->b, &result);
}

NodeId rule_adaptive_avg_pool(Rewrite *r) {
    GraphBuilder *b = r->b;
    if (is_empty_result(r)) return empty_result(r);
    Pool p = adaptive_of(r, rewrite_input(r, 0));
    p.x = gb_widen(b, p.x);
    sn_dtype dtype = gb_dtype(b, p.x);
    NodeId sum = reduce_each(b, elements_of_all(b, &p, -0.0), p.windows.axes, OP_SUM);
    NodeId divisor = p.even ? divisor_of(b, &p, dtype, false) : elements_of(b, &p, dtype);
    return finish_pool(r, &p, gb_op2(b, OP_DIV, sum, divisor));
}

NodeId rule_adaptive_max_pool(Rewrite *r) {
    GraphBuilder *b = r->b;
    if (is_empty_result(r)) return empty_result(r);
    Pool p = adaptive_of(r, rewrite_input(r, 0));
    NodeId elements = elements_of_all(b, &p, least_of(gb_dtype(b, p.x)));
    return finish_pool(r, &p, reduce_each(b, elements, p.windows.axes, OP_MAX));
}

/* What fills up is behind a result's own elements, of which there is one: where all are the least number,
 * the first is an element. */
NodeId rule_adaptive_pool_indices(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId places[WINDOW_MOST_AXES];
    if (is_empty_result(r)) return empty_result(r);
    Pool p = adaptive_of(r, rewrite_input(r, 0));
    NodeId tap = largest_tap(b, &p, elements_of_all(b, &p, least_of(gb_dtype(b, p.x))));
    for (int32_t i = 0; i < p.windows.axes; i++) {
        NodeId begin = span_of(b, p.windows.axis[i].size, p.windows.axis[i].count).begin;
        begin = along_axis(b, &p, i, begin);
        places[i] = gb_op2(b, OP_ADD, begin, tap_along(b, &p, i, tap));
    }
    return finish_pool(r, &p, index_of(b, &p, places));
}
