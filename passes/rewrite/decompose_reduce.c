/* decompose, reductions and what is made of them: norms, softmax, losses. Half types are summed in
 * f32; the orders of design.md follow from the axes' positions in graph_emit. */
#include "passes/rewrite/decompose.h"

#include "base/status.h"

#include <math.h>

/* Bit mask of the node's `axes` attribute. */
static uint32_t axes_mask(const Rewrite *r) {
    int32_t count;
    const int64_t *axes = node_attr_list(r->from, r->id, ATTR_AXES, &count);
    uint32_t mask = 0;
    for (int32_t i = 0; i < count; i++) mask |= 1u << axes[i];
    return mask;
}

/* Gives a kept-dims result the node's own dims and dtype. */
static NodeId finish(Rewrite *r, NodeId x) {
    TensorType type = node_type(r->from, r->id);
    return rw_reshape(r, rw_cast(r, (sn_dtype)type.dtype, x), type.dims, type.rank);
}

static NodeId divide_by(Rewrite *r, NodeId x, Dim count) {
    return rw_op2(r, OP_DIV, x, rw_size(r, (sn_dtype)rw_type(r, x).dtype, count));
}

static NodeId mean_of(Rewrite *r, NodeId x, uint32_t mask) {
    Dim count = rw_reduced_count(r, x, mask);
    return divide_by(r, rw_reduce(r, OP_SUM, x, mask), count);
}

/* Operand of a sum in the type it is added up in. */
static NodeId accumulated(Rewrite *r) {
    return rw_cast(r, dtype_compute((sn_dtype)r->node->dtype), rw_input(r, 0));
}

NodeId rule_sum(Rewrite *r) {
    return finish(r, rw_reduce(r, OP_SUM, accumulated(r), axes_mask(r)));
}

NodeId rule_prod(Rewrite *r) {
    return finish(r, rw_reduce(r, OP_PROD, accumulated(r), axes_mask(r)));
}

NodeId rule_mean(Rewrite *r) {
    return finish(r, mean_of(r, rw_widen(r, rw_input(r, 0)), axes_mask(r)));
}

NodeId rule_extremum(Rewrite *r) {
    return finish(r, rw_reduce(r, (OpCode)r->node->op, rw_widen(r, rw_input(r, 0)), axes_mask(r)));
}

static NodeId any_or_all(Rewrite *r, OpCode op) {
    NodeId x = rw_cast(r, SN_BOOL, rw_input(r, 0));
    uint32_t mask = axes_mask(r);
    /* MAX and MIN refuse what is empty; sums and products of 0/1 do not. */
    if (!node_is_empty(r->to, x)) return finish(r, rw_reduce(r, op, x, mask));
    OpCode counted = op == OP_MAX ? OP_SUM : OP_PROD;
    return finish(r, rw_reduce(r, counted, rw_cast(r, SN_I64, x), mask));
}

NodeId rule_any(Rewrite *r) {
    return any_or_all(r, OP_MAX);
}

NodeId rule_all(Rewrite *r) {
    return any_or_all(r, OP_MIN);
}

/* argmax, argmin: the reduced axes are brought together as one axis, whose index is the result. */
NodeId rule_arg(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    if (rw_type(r, x).dtype == SN_BOOL) x = rw_cast(r, SN_U8, x);
    TensorType type = rw_type(r, x);
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
        NodeId zero = rw_literal(r, SN_I64, 0);
        return rw_op1(r, OP_CLONE, zero);
    }
    if (!adjacent) { /* kept axes first, reduced ones last */
        for (int32_t i = 0; i < type.rank; i++)
            if (!(mask >> i & 1)) order[at++] = i;
        first = at;
        for (int32_t i = 0; i < type.rank; i++)
            if (mask >> i & 1) order[at++] = i;
        x = rw_permute(r, x, order, type.rank);
        mask = ((1u << type.rank) - 1) & ~((1u << first) - 1);
        type = rw_type(r, x);
    }
    for (int32_t i = 0; i < type.rank; i++) {
        if (i > first && (mask >> i & 1))
            dims[kept - 1] = dim_mul(r->to->table, dims[kept - 1], type.dims[i]);
        else
            dims[kept++] = type.dims[i];
    }
    x = rw_reshape(r, x, dims, kept);
    return finish(r, rw_reduce(r, (OpCode)r->node->op, x, 1u << first));
}

/* The count less the correction, not below 0. A fraction is taken off a number only. */
static NodeId var_divisor(Rewrite *r, sn_dtype dtype, Dim count) {
    double correction = node_attr_double(r->from, r->id, ATTR_CORRECTION);
    if (!dim_is_number(count) && correction == floor(correction) && fabs(correction) < 0x1p31) {
        Dim rest = dim_sub(r->to->table, count, dim_of((int64_t)correction));
        return rw_size(r, dtype, dim_larger(r->to->table, rest, dim_of(0)));
    }
    double divisor = (double)dim_fixed(r->to->table, count) - correction;
    return rw_hoisted(r, dtype, divisor > 0 ? divisor : 0);
}

NodeId rule_var(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    uint32_t mask = axes_mask(r);
    NodeId distance = rw_op2(r, OP_SUB, x, mean_of(r, x, mask));
    NodeId sum = rw_reduce(r, OP_SUM, rw_op2(r, OP_MUL, distance, distance), mask);
    NodeId divisor = var_divisor(r, (sn_dtype)rw_type(r, x).dtype, rw_reduced_count(r, x, mask));
    return finish(r, rw_op2(r, OP_DIV, sum, divisor));
}

NodeId rule_logsumexp(Rewrite *r) {
    NodeId x = rw_widen(r, rw_cast(r, (sn_dtype)r->node->dtype, rw_input(r, 0)));
    uint32_t mask = axes_mask(r);
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    if (dim_equal(r->to->table, rw_reduced_count(r, x, mask), dim_of(0))) {
        NodeId zero = rw_reduce(r, OP_SUM, x, mask);
        return finish(r, rw_op1(r, OP_LOG, zero));
    }
    NodeId max = rw_reduce(r, OP_MAX, x, mask);
    /* An infinite maximum is not subtracted: inf - inf would be NaN. */
    NodeId zero = rw_literal(r, dtype, 0);
    NodeId shift = rw_op3(r, OP_WHERE, rw_op1(r, OP_ISINF, max), zero, max);
    NodeId sum = rw_reduce(r, OP_SUM, rw_op1(r, OP_EXP, rw_op2(r, OP_SUB, x, shift)), mask);
    return finish(r, rw_op2(r, OP_ADD, rw_op1(r, OP_LOG, sum), shift));
}

NodeId rule_cumsum(Rewrite *r) {
    NodeId x = accumulated(r);
    if (rw_type(r, x).rank == 0) return finish(r, rw_op1(r, OP_CLONE, x));
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, node_attr_int(r->from, r->id, ATTR_AXIS));
    return finish(r, rw_emit(r, OP_CUMSUM, &x, 1, &attrs));
}

/* x - max along the axis; NODE_NONE-safe. `*empty` when there is nothing to reduce. */
static NodeId shifted(Rewrite *r, NodeId x, uint32_t mask) {
    return rw_op2(r, OP_SUB, x, rw_reduce(r, OP_MAX, x, mask));
}

/* The mask of the `axis` attribute; 0 for a scalar. */
static uint32_t axis_mask(const Rewrite *r, NodeId x) {
    return rw_type(r, x).rank ? 1u << node_attr_int(r->from, r->id, ATTR_AXIS) : 0;
}

NodeId rule_softmax(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    if (node_is_empty(r->to, x)) return finish(r, rw_op1(r, OP_CLONE, x));
    uint32_t mask = axis_mask(r, x);
    NodeId e = rw_op1(r, OP_EXP, shifted(r, x, mask));
    return finish(r, rw_op2(r, OP_DIV, e, rw_reduce(r, OP_SUM, e, mask)));
}

NodeId rule_log_softmax(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    if (node_is_empty(r->to, x)) return finish(r, rw_op1(r, OP_CLONE, x));
    uint32_t mask = axis_mask(r, x);
    NodeId shift = shifted(r, x, mask);
    NodeId sum = rw_reduce(r, OP_SUM, rw_op1(r, OP_EXP, shift), mask);
    return finish(r, rw_op2(r, OP_SUB, shift, rw_op1(r, OP_LOG, sum)));
}

/* The trailing axes that a norm with this weight (may be absent) covers. */
static uint32_t norm_mask(const Rewrite *r, NodeId x, NodeId weight) {
    int32_t rank = rw_type(r, x).rank;
    int32_t covered = weight == NODE_NONE ? 1 : rw_type(r, weight).rank;
    return ((1u << rank) - 1) & ~((1u << (rank - covered)) - 1);
}

static NodeId scale_rows(Rewrite *r, NodeId x, NodeId mean_square) {
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId eps = rw_number(r, dtype, ATTR_EPS);
    return rw_op2(r, OP_MUL, x, rw_op1(r, OP_RSQRT, rw_op2(r, OP_ADD, mean_square, eps)));
}

NodeId rule_layer_norm(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    NodeId weight = rw_input(r, 1), bias = rw_input(r, 2);
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    uint32_t mask = norm_mask(r, x, weight != NODE_NONE ? weight : bias);
    NodeId distance = rw_op2(r, OP_SUB, x, mean_of(r, x, mask));
    NodeId y = scale_rows(r, distance, mean_of(r, rw_op2(r, OP_MUL, distance, distance), mask));
    if (weight != NODE_NONE) y = rw_op2(r, OP_MUL, y, rw_cast(r, dtype, weight));
    if (bias != NODE_NONE) y = rw_op2(r, OP_ADD, y, rw_cast(r, dtype, bias));
    return finish(r, y);
}

NodeId rule_rms_norm(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0)), weight = rw_input(r, 1);
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId y = scale_rows(r, x, mean_of(r, rw_op2(r, OP_MUL, x, x), norm_mask(r, x, weight)));
    if (weight != NODE_NONE) y = rw_op2(r, OP_MUL, y, rw_cast(r, dtype, weight));
    return finish(r, y);
}

/* loss = log(sum(exp(x - max))) - (x[target] - max): one pass over the classes. */
NodeId rule_cross_entropy(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    NodeId target = rw_cast(r, SN_I64, rw_input(r, 1));
    TensorType type = rw_type(r, x);
    int32_t axis = type.rank > 1 ? 1 : 0;
    int64_t reduction = node_attr_int(r->from, r->id, ATTR_REDUCTION);
    TensorType kept = type;
    kept.dims[axis] = dim_of(1);
    NodeId max = rw_reduce(r, OP_MAX, x, 1u << axis);
    NodeId sum = rw_reduce(r, OP_SUM, rw_op1(r, OP_EXP, rw_op2(r, OP_SUB, x, max)), 1u << axis);
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, axis);
    attr_add_int(&attrs, r->node->op); /* as */
    NodeId index = rw_reshape(r, target, kept.dims, kept.rank);
    NodeId picked = rw_emit(r, OP_GATHER, (NodeId[]){x, index}, 2, &attrs);
    NodeId score = rw_op2(r, OP_SUB, picked, max);
    NodeId loss = rw_op2(r, OP_SUB, rw_op1(r, OP_LOG, sum), score);
    if (reduction == REDUCTION_NONE) return finish(r, loss);
    Dim flat = dims_count(r->to->table, kept.dims, kept.rank);
    loss = rw_reshape(r, loss, &flat, 1);
    return finish(r,
                  reduction == REDUCTION_SUM ? rw_reduce(r, OP_SUM, loss, 1) : mean_of(r, loss, 1));
}

/* Scores of each query with each key, scaled and masked, in f32 or f64. */
static NodeId attention_scores(Rewrite *r, NodeId query, NodeId key, NodeId mask) {
    TensorType q = rw_type(r, query), k = rw_type(r, key);
    sn_dtype dtype = (sn_dtype)q.dtype;
    double scale = node_attr_double(r->from, r->id, ATTR_SCALE);
    if (scale == 0) scale = 1 / sqrt((double)dim_fixed(r->to->table, q.dims[q.rank - 1]));
    NodeId keys = rw_transpose(r, key, k.rank - 2, k.rank - 1);
    NodeId scores = rw_op2(r, OP_MATMUL, query, keys);
    scores = rw_op2(r, OP_MUL, scores, rw_hoisted(r, dtype, scale));
    NodeId least = rw_literal(r, dtype, -INFINITY);
    if (mask != NODE_NONE && rw_type(r, mask).dtype == SN_BOOL)
        return rw_op3(r, OP_WHERE, mask, scores, least);
    if (mask != NODE_NONE) return rw_op2(r, OP_ADD, scores, rw_cast(r, dtype, mask));
    if (!node_attr_bool(r->from, r->id, ATTR_CAUSAL)) return scores;
    Dim dims[2] = {q.dims[q.rank - 2], k.dims[k.rank - 2]};
    NodeId column = rw_iota(r, dims, 2, 1), row = rw_iota(r, dims, 2, 0);
    NodeId seen = rw_op2(r, OP_GE, row, column);
    return rw_op3(r, OP_WHERE, seen, scores, least);
}

NodeId rule_attention(Rewrite *r) {
    NodeId query = rw_widen(r, rw_input(r, 0)), key = rw_widen(r, rw_input(r, 1));
    NodeId value = rw_widen(r, rw_input(r, 2));
    NodeId scores = attention_scores(r, query, key, rw_input(r, 3));
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, rw_type(r, scores).rank - 1);
    NodeId weights = rw_emit(r, OP_SOFTMAX, &scores, 1, &attrs);
    return finish(r, rw_op2(r, OP_MATMUL, weights, value));
}
