/* decompose, reductions and what is made of them: norms, softmax, losses. Half types are summed in
 * f32; the orders (ir/op/order.h) follow from the axes' positions in graph_emit. */
#include "passes/rewrite/decompose.h"

#include <float.h>
#include <math.h>

/* Bit mask of the node's `axes` attribute. */
static uint32_t axes_mask(const Rewrite *r) {
    int32_t count;
    const int64_t *axes = node_attr_list(r->from, r->id, ATTR_AXES, &count);
    uint32_t mask = 0;
    for (int32_t i = 0; i < count; i++) mask |= 1u << axes[i];
    return mask;
}

/* sum / number of elements of x along the axes. */
static NodeId over_count(GraphBuilder *b, NodeId sum, NodeId x, uint32_t mask) {
    return gb_op2(b, OP_DIV, sum, gb_size(b, gb_dtype(b, sum), gb_reduced_count(b, x, mask)));
}

static NodeId mean_of(GraphBuilder *b, NodeId x, uint32_t mask) {
    return over_count(b, gb_reduce(b, OP_SUM, x, mask), x, mask);
}

/* How the elements lie about their mean, which is a little off as a division of their sum gives it. */
typedef struct Spread {
    NodeId distance; /* of each element from that mean */
    NodeId off;      /* to be taken off each distance: their mean */
    NodeId squares;  /* sum of the squares of distance - off */
} Spread;

/* A few roundings are all that the mean is off by, and all that equal elements would have for distances. So
 * the distances d are summed too, on the walk that squares them, and
 *     sum((d - off)^2) = sum(d^2) - sum(d) * off        where off = sum(d) / count
 * (the corrected two-pass algorithm of Chan, Golub, LeVeque: Algorithms for computing the sample variance).
 * The pivot is the mean, not the first element: an element may lie far out, and reading it apart would part
 * the op from what computes x. An infinite sum of squares stays one: what is taken off it is finite. */
static Spread spread_of(GraphBuilder *b, NodeId x, uint32_t mask) {
    sn_dtype dtype = gb_dtype(b, x);
    NodeId d = gb_op2(b, OP_SUB, x, mean_of(b, x, mask));
    NodeId sum = gb_reduce(b, OP_SUM, d, mask);
    NodeId squares = gb_reduce(b, OP_SUM, gb_op2(b, OP_MUL, d, d), mask);
    NodeId off = over_count(b, sum, x, mask);
    NodeId largest = gb_literal(b, dtype, dtype == SN_F64 ? DBL_MAX : (double)FLT_MAX);
    NodeId excess = gb_op2(b, OP_MINIMUM, gb_op2(b, OP_MUL, sum, off), largest);
    squares = gb_op2(b, OP_SUB, squares, excess);
    squares = gb_op2(b, OP_MAXIMUM, squares, gb_literal(b, dtype, 0));
    return (Spread){d, off, squares};
}

/* Operand of a sum in the type it is added up in. */
static NodeId accumulated(Rewrite *r) {
    return gb_cast(r->b, dtype_compute(rewrite_dtype(r)), rewrite_input(r, 0));
}

NodeId rule_sum(Rewrite *r) {
    return rewrite_finish(r, gb_reduce(r->b, OP_SUM, accumulated(r), axes_mask(r)));
}

NodeId rule_prod(Rewrite *r) {
    return rewrite_finish(r, gb_reduce(r->b, OP_PROD, accumulated(r), axes_mask(r)));
}

NodeId rule_mean(Rewrite *r) {
    return rewrite_finish(r, mean_of(r->b, gb_widen(r->b, rewrite_input(r, 0)), axes_mask(r)));
}

NodeId rule_extremum(Rewrite *r) {
    NodeId x = gb_widen(r->b, rewrite_input(r, 0));
    return rewrite_finish(r, gb_reduce(r->b, (OpCode)r->node->op, x, axes_mask(r)));
}

/* By `op`, or, since max and min refuse what is empty, by a sum or product of 0 and 1. */
static NodeId any_or_all(Rewrite *r, OpCode op, OpCode counting) {
    GraphBuilder *b = r->b;
    NodeId x = gb_cast(b, SN_BOOL, rewrite_input(r, 0));
    uint32_t mask = axes_mask(r);
    if (!gb_is_empty(b, x)) return rewrite_finish(r, gb_reduce(b, op, x, mask));
    return rewrite_finish(r, gb_reduce(b, counting, gb_cast(b, SN_I64, x), mask));
}

NodeId rule_any(Rewrite *r) {
    return any_or_all(r, OP_MAX, OP_SUM);
}

NodeId rule_all(Rewrite *r) {
    return any_or_all(r, OP_MIN, OP_PROD);
}

/* argmax, argmin: the reduced axes are brought together as one axis, whose index is the result. */
NodeId rule_arg(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    if (gb_dtype(b, x) == SN_BOOL) x = gb_cast(b, SN_U8, x);
    TensorType type = gb_type(b, x);
    uint32_t mask = axes_mask(r);
    int64_t order[SN_MAX_RANK];
    Dim dims[SN_MAX_RANK];
    int32_t kept = 0, at = 0, first = -1;
    bool adjacent = true;
    for (int32_t i = 0; i < type.rank; i++) {
        if (mask >> i & 1) {
            if (first < 0)
                first = i;
            else if (!(mask >> (i - 1) & 1))
                adjacent = false;
        }
    }
    if (first < 0) { /* a scalar: index 0 */
        NodeId zero = gb_literal(b, SN_I64, 0);
        return gb_op1(b, OP_CLONE, zero);
    }
    if (!adjacent) { /* kept axes first, reduced ones last */
        for (int32_t i = 0; i < type.rank; i++)
            if (!(mask >> i & 1)) order[at++] = i;
        first = at;
        for (int32_t i = 0; i < type.rank; i++)
            if (mask >> i & 1) order[at++] = i;
        x = gb_permute(b, x, order, type.rank);
        mask = ((1u << type.rank) - 1) & ~((1u << first) - 1);
        type = gb_type(b, x);
    }
    for (int32_t i = 0; i < type.rank; i++) {
        if (i > first && (mask >> i & 1))
            dims[kept - 1] = dim_mul(b->graph->table, dims[kept - 1], type.dims[i]);
        else
            dims[kept++] = type.dims[i];
    }
    x = gb_reshape(b, x, dims, kept);
    return rewrite_finish(r, gb_reduce(b, (OpCode)r->node->op, x, 1u << first));
}

/* The count less the correction, not below 0. A fraction is taken off a number only. */
static NodeId var_divisor(Rewrite *r, sn_dtype dtype, Dim count) {
    GraphBuilder *b = r->b;
    double correction = node_attr_double(r->from, r->id, ATTR_CORRECTION);
    if (!dim_is_number(count) && correction == floor(correction) && fabs(correction) < 0x1p31) {
        Dim rest = dim_sub(b->graph->table, count, dim_of((int64_t)correction));
        return gb_size(b, dtype, dim_larger(b->graph->table, rest, dim_of(0)));
    }
    double divisor = (double)dim_fixed(b->graph->table, count) - correction;
    return gb_hoisted(b, dtype, divisor > 0 ? divisor : 0);
}

NodeId rule_var(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    uint32_t mask = axes_mask(r);
    NodeId squares = spread_of(b, x, mask).squares;
    NodeId divisor = var_divisor(r, gb_dtype(b, x), gb_reduced_count(b, x, mask));
    return rewrite_finish(r, gb_op2(b, OP_DIV, squares, divisor));
}

NodeId rule_logsumexp(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_meet(b, rewrite_dtype(r), rewrite_input(r, 0));
    uint32_t mask = axes_mask(r);
    sn_dtype dtype = gb_dtype(b, x);
    if (dim_equal(b->graph->table, gb_reduced_count(b, x, mask), dim_of(0))) {
        NodeId zero = gb_reduce(b, OP_SUM, x, mask);
        return rewrite_finish(r, gb_op1(b, OP_LOG, zero));
    }
    NodeId max = gb_reduce(b, OP_MAX, x, mask);
    /* An infinite maximum is not subtracted: inf - inf would be NaN. */
    NodeId zero = gb_literal(b, dtype, 0);
    NodeId shift = gb_op3(b, OP_WHERE, gb_op1(b, OP_ISINF, max), zero, max);
    NodeId sum = gb_reduce(b, OP_SUM, gb_op1(b, OP_EXP, gb_op2(b, OP_SUB, x, shift)), mask);
    return rewrite_finish(r, gb_op2(b, OP_ADD, gb_op1(b, OP_LOG, sum), shift));
}

NodeId rule_cumsum(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = accumulated(r);
    if (gb_type(b, x).rank == 0) return rewrite_finish(r, gb_op1(b, OP_CLONE, x));
    int64_t axis = node_attr_int(r->from, r->id, ATTR_AXIS);
    return rewrite_finish(r, gb_along(b, OP_CUMSUM, x, axis));
}

/* x - max along the axes. */
static NodeId shifted(GraphBuilder *b, NodeId x, uint32_t mask) {
    return gb_op2(b, OP_SUB, x, gb_reduce(b, OP_MAX, x, mask));
}

/* The mask of the `axis` attribute; 0 for a scalar. */
static uint32_t axis_mask(const Rewrite *r, NodeId x) {
    return gb_type(r->b, x).rank ? 1u << node_attr_int(r->from, r->id, ATTR_AXIS) : 0;
}

NodeId rule_softmax(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    if (gb_is_empty(b, x)) return rewrite_finish(r, gb_op1(b, OP_CLONE, x));
    uint32_t mask = axis_mask(r, x);
    NodeId e = gb_op1(b, OP_EXP, shifted(b, x, mask));
    return rewrite_finish(r, gb_op2(b, OP_DIV, e, gb_reduce(b, OP_SUM, e, mask)));
}

NodeId rule_log_softmax(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    if (gb_is_empty(b, x)) return rewrite_finish(r, gb_op1(b, OP_CLONE, x));
    uint32_t mask = axis_mask(r, x);
    NodeId shift = shifted(b, x, mask);
    NodeId sum = gb_reduce(b, OP_SUM, gb_op1(b, OP_EXP, shift), mask);
    return rewrite_finish(r, gb_op2(b, OP_SUB, shift, gb_op1(b, OP_LOG, sum)));
}

/* The trailing axes that a norm with this weight (may be absent) covers. */
static uint32_t norm_mask(const Rewrite *r, NodeId x, NodeId weight) {
    int32_t rank = gb_type(r->b, x).rank;
    int32_t covered = weight == NODE_NONE ? 1 : gb_type(r->b, weight).rank;
    return ((1u << rank) - 1) & ~((1u << (rank - covered)) - 1);
}

static NodeId scale_rows(Rewrite *r, NodeId x, NodeId mean_square) {
    GraphBuilder *b = r->b;
    sn_dtype dtype = gb_dtype(b, x);
    NodeId eps = rewrite_number(r, dtype, ATTR_EPS);
    return gb_op2(b, OP_MUL, x, gb_op1(b, OP_RSQRT, gb_op2(b, OP_ADD, mean_square, eps)));
}

/* (x - mean) / sqrt(var + eps) over the axes. */
static NodeId normal_of(Rewrite *r, NodeId x, uint32_t mask) {
    GraphBuilder *b = r->b;
    Spread spread = spread_of(b, x, mask);
    NodeId distance = gb_op2(b, OP_SUB, spread.distance, spread.off);
    return scale_rows(r, distance, over_count(b, spread.squares, x, mask));
}

NodeId rule_layer_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    NodeId weight = rewrite_input(r, 1), bias = rewrite_input(r, 2);
    sn_dtype dtype = gb_dtype(b, x);
    NodeId y = normal_of(r, x, norm_mask(r, x, weight != NODE_NONE ? weight : bias));
    if (weight != NODE_NONE) y = gb_op2(b, OP_MUL, y, gb_cast(b, dtype, weight));
    if (bias != NODE_NONE) y = gb_op2(b, OP_ADD, y, gb_cast(b, dtype, bias));
    return rewrite_finish(r, y);
}

NodeId per_channel(GraphBuilder *b, NodeId x, sn_dtype dtype, int32_t rank) {
    Dim dims[SN_MAX_RANK] = {gb_type(b, x).dims[0]};
    for (int32_t i = 1; i < rank - 1; i++) dims[i] = dim_of(1);
    return gb_cast(b, dtype, gb_reshape(b, x, dims, rank - 1));
}

/* group_norm, and instance_norm, of which each channel is a group. */
NodeId rule_group_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    DimTable *table = b->graph->table;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    NodeId weight = rewrite_input(r, 1), bias = rewrite_input(r, 2);
    TensorType type = gb_type(b, x);
    Dim groups = type.dims[1], each = dim_of(1);
    if (r->node->op == OP_GROUP_NORM) {
        groups = dim_of(node_attr_int(r->from, r->id, ATTR_GROUPS));
        each = dim_quotient(table, type.dims[1], groups);
    }
    Dim rest = dims_count(table, type.dims + 2, type.rank - 2);
    Dim dims[3] = {type.dims[0], groups, dim_mul(table, each, rest)};
    NodeId y = normal_of(r, gb_reshape(b, x, dims, 3), 1u << 2);
    y = gb_reshape(b, y, type.dims, type.rank);
    sn_dtype dtype = (sn_dtype)type.dtype;
    if (weight != NODE_NONE) y = gb_op2(b, OP_MUL, y, per_channel(b, weight, dtype, type.rank));
    if (bias != NODE_NONE) y = gb_op2(b, OP_ADD, y, per_channel(b, bias, dtype, type.rank));
    return rewrite_finish(r, y);
}

/* So many neighbours on one side, but for those that no channel has. */
static Dim neighbours_of(DimTable *table, int64_t count, Dim channels) {
    enum { FEW = 16 }; /* are not worth a guard */
    if (count <= FEW || !dim_less(table, channels, dim_of(count))) return dim_of(count);
    return channels;
}

/* Sums over windows of `size` neighbours along axis 1, of which half lie before. */
static NodeId neighbours(GraphBuilder *b, NodeId x, int64_t size) {
    TensorType type = gb_type(b, x);
    int32_t rank = type.rank;
    DimTable *table = b->graph->table;
    Dim pads[2 * SN_MAX_RANK], before = neighbours_of(table, size / 2, type.dims[1]);
    Dim behind = neighbours_of(table, (size - 1) / 2, type.dims[1]);
    for (int32_t i = 0; i < 2 * rank; i++) pads[i] = dim_of(0);
    pads[2 * (rank - 2)] = before;
    pads[2 * (rank - 2) + 1] = behind;
    if (size > 1) x = gb_pad(b, x, pads, 2 * (rank - 1), -0.0);
    Dim length = dim_add(table, dim_add(table, before, behind), dim_of(1));
    x = gb_windows(b, x, 1, length, 1, 1);
    x = gb_exchange(b, x, rank - 1, rank); /* the sum's order is that of columns */
    return gb_reshape(b, gb_reduce(b, OP_SUM, x, 1u << (rank - 1)), type.dims, rank);
}

NodeId rule_local_response_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    sn_dtype dtype = gb_dtype(b, x);
    int64_t size = node_attr_int(r->from, r->id, ATTR_SIZE);
    if (gb_is_empty(b, x)) return rewrite_finish(r, gb_op1(b, OP_CLONE, x));
    NodeId sum = neighbours(b, gb_op2(b, OP_MUL, x, x), size);
    NodeId mean = gb_op2(b, OP_DIV, sum, gb_hoisted(b, dtype, (double)size));
    NodeId alpha = rewrite_number(r, dtype, ATTR_ALPHA), beta = rewrite_number(r, dtype, ATTR_BETA);
    NodeId k = rewrite_number(r, dtype, ATTR_K);
    NodeId base = gb_op2(b, OP_ADD, gb_op2(b, OP_MUL, mean, alpha), k);
    return rewrite_finish(r, gb_op2(b, OP_DIV, x, gb_op2(b, OP_POW, base, beta)));
}

NodeId rule_rms_norm(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0)), weight = rewrite_input(r, 1);
    sn_dtype dtype = gb_dtype(b, x);
    NodeId y = scale_rows(r, x, mean_of(b, gb_op2(b, OP_MUL, x, x), norm_mask(r, x, weight)));
    if (weight != NODE_NONE) y = gb_op2(b, OP_MUL, y, gb_cast(b, dtype, weight));
    return rewrite_finish(r, y);
}

/* loss = log(sum(exp(x - max))) - (x[target] - max): one pass over the classes. */
NodeId rule_cross_entropy(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    NodeId target = gb_cast(b, SN_I64, rewrite_input(r, 1));
    TensorType type = gb_type(b, x);
    int32_t axis = type.rank > 1 ? 1 : 0;
    int64_t reduction = node_attr_int(r->from, r->id, ATTR_REDUCTION);
    TensorType kept = type;
    kept.dims[axis] = dim_of(1);
    NodeId max = gb_reduce(b, OP_MAX, x, 1u << axis);
    NodeId sum = gb_reduce(b, OP_SUM, gb_op1(b, OP_EXP, gb_op2(b, OP_SUB, x, max)), 1u << axis);
    NodeId index = gb_reshape(b, target, kept.dims, kept.rank);
    NodeId picked = decompose_gather(r, x, axis, index);
    NodeId score = gb_op2(b, OP_SUB, picked, max);
    NodeId loss = gb_op2(b, OP_SUB, gb_op1(b, OP_LOG, sum), score);
    if (reduction == REDUCTION_NONE) return rewrite_finish(r, loss);
    Dim flat = dims_count(b->graph->table, kept.dims, kept.rank);
    loss = gb_reshape(b, loss, &flat, 1);
    loss = reduction == REDUCTION_SUM ? gb_reduce(b, OP_SUM, loss, 1) : mean_of(b, loss, 1);
    return rewrite_finish(r, loss);
}

/* Scores of each query with each key, scaled and masked, in f32 or f64. */
static NodeId attention_scores(Rewrite *r, NodeId query, NodeId key, NodeId mask) {
    GraphBuilder *b = r->b;
    TensorType q = gb_type(b, query), k = gb_type(b, key);
    sn_dtype dtype = (sn_dtype)q.dtype;
    double scale = node_attr_double(r->from, r->id, ATTR_SCALE);
    if (scale == 0) scale = 1 / sqrt((double)dim_fixed(b->graph->table, q.dims[q.rank - 1]));
    NodeId keys = gb_exchange(b, key, k.rank - 2, k.rank - 1);
    NodeId scores = gb_op2(b, OP_MATMUL, query, keys);
    scores = gb_op2(b, OP_MUL, scores, gb_hoisted(b, dtype, scale));
    NodeId least = gb_literal(b, dtype, -INFINITY);
    if (mask != NODE_NONE && gb_dtype(b, mask) == SN_BOOL)
        return gb_op3(b, OP_WHERE, mask, scores, least);
    if (mask != NODE_NONE) return gb_op2(b, OP_ADD, scores, gb_cast(b, dtype, mask));
    if (!node_attr_bool(r->from, r->id, ATTR_CAUSAL)) return scores;
    Dim dims[2] = {q.dims[q.rank - 2], k.dims[k.rank - 2]};
    NodeId column = gb_iota(b, dims, 2, 1), row = gb_iota(b, dims, 2, 0);
    NodeId seen = gb_op2(b, OP_GE, row, column);
    return gb_op3(b, OP_WHERE, seen, scores, least);
}

/* softmax of the scores; of a query that sees no key, 0. */
static NodeId attention_weights(GraphBuilder *b, NodeId scores) {
    if (gb_is_empty(b, scores)) return scores;
    uint32_t mask = 1u << (gb_type(b, scores).rank - 1);
    sn_dtype dtype = gb_dtype(b, scores);
    NodeId max = gb_reduce(b, OP_MAX, scores, mask);
    NodeId unseen = gb_op2(b, OP_EQ, max, gb_literal(b, dtype, -INFINITY));
    NodeId shift = gb_op3(b, OP_WHERE, unseen, gb_literal(b, dtype, 0), max);
    NodeId e = gb_op1(b, OP_EXP, gb_op2(b, OP_SUB, scores, shift));
    NodeId sum = gb_reduce(b, OP_SUM, e, mask);
    return gb_op2(b, OP_DIV, e, gb_op3(b, OP_WHERE, unseen, gb_literal(b, dtype, 1), sum));
}

NodeId rule_attention(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId query = gb_widen(b, rewrite_input(r, 0)), key = gb_widen(b, rewrite_input(r, 1));
    NodeId value = gb_widen(b, rewrite_input(r, 2));
    NodeId scores = attention_scores(r, query, key, rewrite_input(r, 3));
    return rewrite_finish(r, gb_op2(b, OP_MATMUL, attention_weights(b, scores), value));
}
