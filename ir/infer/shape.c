/* Shape rules of sources, pointwise ops, reductions, contractions and composites, the table of all
 * rules, and the checks that single ops make beyond their rule. Joins, padding and indexing: join.c;
 * views: view.c. */
#include "ir/infer/rule.h"

#include <math.h>

#include "ir/infer/update.h"
#include "ir/op/dtype.h"
#include "ir/op/order.h"

/* ---- sources --------------------------------------------------------------------------------- */

/* An input's dims are the caller's; every other op without a shape is a scalar. */
sn_status shape_none(Infer *call) {
    if (!op_has_attr(call->op, ATTR_STRIDES)) return infer_set_dims(call, NULL, 0);
    int32_t n_strides;
    infer_list(call, ATTR_STRIDES, &n_strides);
    if (n_strides != 0 && n_strides != call->result->rank)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%d strides for %d dims", (int)n_strides,
                            (int)call->result->rank);
    return infer_check_dims(call, call->result->dims, call->result->rank);
}

sn_status shape_retired(Infer *call) {
    return infer_refuse(call, SN_ERROR_ARGUMENT, "it is no op any more");
}

sn_status shape_dims(Infer *call) {
    int32_t rank;
    const Dim *dims = infer_dims(call, ATTR_DIMS, &rank);
    INFER_TRY(infer_check_dims(call, dims, rank));
    return infer_set_dims(call, dims, rank);
}

/* Elements start, start + step, … before end. Fractions count here also where the dtype is an
 * integer, as in NumPy and PyTorch 2; the elements then lose theirs. */
sn_status shape_arange(Infer *call) {
    double start = attr_double(infer_attrs(call), ATTR_START),
           end = attr_double(infer_attrs(call), ATTR_END);
    double step = attr_double(infer_attrs(call), ATTR_STEP);
    if (!isfinite(start) || !isfinite(end) || !isfinite(step))
        return infer_refuse(call, SN_ERROR_ARGUMENT, "start, end and step must be finite");
    if (step == 0) return infer_refuse(call, SN_ERROR_ARGUMENT, "step must not be 0");
    if (step > 0 ? start > end : start < end)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "step %g does not lead from %g to %g", step,
                            start, end);
    double count = ceil((end - start) / step);
    if (!(count < 0x1p60))
        return infer_refuse(call, SN_ERROR_MEMORY, "the result of %g elements is too large", count);
    return infer_set_dims(call, (const Dim[]){{(int64_t)count}}, 1);
}

/* ---- pointwise, reductions ------------------------------------------------------------------- */

sn_status shape_same(Infer *call) {
    return infer_set_dims(call, infer_input(call, 0)->dims, infer_input(call, 0)->rank);
}

sn_status shape_broadcast(Infer *call) {
    INFER_TRY(infer_set_dims(call, NULL, 0));
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (type_absent(type) || infer_broadcast(call, type->dims, type->rank)) continue;
        return infer_refuse_types(call, SN_ERROR_SHAPE, "shapes do not broadcast");
    }
    return SN_OK;
}

/* Fills in the order of a sum or product that was left to its position. */
static sn_status set_reduce_order(Infer *call, uint32_t mask) {
    if (!op_has_attr(call->op, ATTR_ORDER)) return SN_OK;
    int64_t *order = infer_attr(call, ATTR_ORDER);
    if (call->n_inputs > 1 && *order == REDUCE_BY_POSITION) *order = REDUCE_CHAIN;
    bool chains = *order == REDUCE_CHAIN;
    if (*order < REDUCE_BY_POSITION || *order > REDUCE_CHAIN || chains != (call->n_inputs > 1))
        return infer_refuse(call, SN_ERROR_ARGUMENT, "no reduction order has number %lld",
                            (long long)*order);
    if (*order != REDUCE_BY_POSITION) return SN_OK;
    int32_t rank = infer_input(call, 0)->rank;
    bool row = rank == 0 || (mask >> (rank - 1) & 1);
    *order = row ? REDUCE_ROW : REDUCE_COLUMN;
    if (!dtype_is_float((sn_dtype)call->result->dtype)) *order = REDUCE_FREE;
    return SN_OK;
}

sn_status shape_reduce(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    uint32_t mask;
    INFER_TRY(infer_axes(call, ATTR_AXES, &mask));
    if (mask == 0) { /* no axes = all axes */
        mask = (1u << x->rank) - 1;
        INFER_TRY(infer_set_axes(call, ATTR_AXES, mask));
    }
    bool keepdim = attr_bool(infer_attrs(call), ATTR_KEEPDIM);
    Dim dims[SN_MAX_RANK];
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; i++) {
        if (!(mask >> i & 1))
            dims[rank++] = x->dims[i];
        else if (keepdim)
            dims[rank++] = dim_of(1);
    }
    INFER_TRY(set_reduce_order(call, mask));
    return infer_set_dims(call, dims, rank);
}

/* The largest of nothing does not exist, but an empty result is fine. */
sn_status shape_reduce_nonempty(Infer *call) {
    INFER_TRY(shape_reduce(call));
    int32_t count;
    const int64_t *axes = infer_list(call, ATTR_AXES, &count);
    for (int32_t i = 0; i < count; i++)
        if (dim_equal(call->table, infer_input(call, 0)->dims[axes[i]], dim_of(0)))
            return infer_refuse_types(call, SN_ERROR_SHAPE, "axis %lld has no elements",
                                      (long long)axes[i]);
    return SN_OK;
}

sn_status shape_contract(Infer *call) {
    const TensorType *x = infer_input(call, 0), *y = infer_input(call, 1);
    bool same = x->rank == y->rank;
    for (int32_t i = 0; same && i < x->rank; i++)
        same = dim_equal(call->table, x->dims[i], y->dims[i]);
    if (!same) return infer_refuse_types(call, SN_ERROR_SHAPE, "the operands differ in shape");
    return shape_reduce(call);
}

sn_status shape_axis(Infer *call) {
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    return shape_same(call);
}

/* ---- contractions ---------------------------------------------------------------------------- */

/* NumPy's rules: a 1-d x is a row, a 1-d y a column, and that dim is left out of the result. */
sn_status shape_matmul(Infer *call) {
    const TensorType *x = infer_input(call, 0), *y = infer_input(call, 1);
    if (x->rank == 0 || y->rank == 0)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "operands must have at least 1 dim");
    int32_t x_batch = x->rank > 2 ? x->rank - 2 : 0, y_batch = y->rank > 2 ? y->rank - 2 : 0;
    if (!dim_equal(call->table, x->dims[x->rank - 1], y->dims[y->rank > 1 ? y->rank - 2 : 0]))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "inner sizes differ");
    INFER_TRY(infer_set_dims(call, x->dims, x_batch));
    if (!infer_broadcast(call, y->dims, y_batch))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "batch sizes do not broadcast");
    TensorType *result = call->result;
    if (x->rank > 1) result->dims[result->rank++] = x->dims[x->rank - 2];
    if (y->rank > 1) result->dims[result->rank++] = y->dims[y->rank - 1];
    return SN_OK;
}

/* The bias, if any, must have one dim of `size`. */
static sn_status check_bias(const Infer *call, int32_t input, Dim size) {
    const TensorType *bias = infer_input(call, input);
    if (type_absent(bias)) return SN_OK;
    if (bias->rank == 1 && dim_equal(call->table, bias->dims[0], size)) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "bias must have %lld elements in 1 dim",
                              (long long)dim_hint(call->table, size));
}

sn_status shape_linear(Infer *call) {
    const TensorType *x = infer_input(call, 0), *weight = infer_input(call, 1);
    if (x->rank == 0 || weight->rank != 2)
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "x must have at least 1 dim and weight must have 2");
    if (!dim_equal(call->table, x->dims[x->rank - 1], weight->dims[1]))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "inner sizes differ");
    INFER_TRY(check_bias(call, 2, weight->dims[0]));
    INFER_TRY(shape_same(call));
    call->result->dims[x->rank - 1] = weight->dims[0];
    return SN_OK;
}

sn_status shape_bilinear(Infer *call) {
    const TensorType *x1 = infer_input(call, 0), *x2 = infer_input(call, 1);
    const TensorType *weight = infer_input(call, 2);
    int32_t last = x1->rank - 1;
    if (last < 0 || weight->rank != 3)
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "x1 must have at least 1 dim and weight must have 3");
    if (x2->rank != x1->rank || !dims_equal(call->table, x1->dims, x2->dims, last))
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "x1 and x2 must have the same dims but for the last");
    if (!dim_equal(call->table, x1->dims[last], weight->dims[1]) ||
        !dim_equal(call->table, x2->dims[last], weight->dims[2]))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "inner sizes differ");
    INFER_TRY(check_bias(call, 3, weight->dims[0]));
    INFER_TRY(shape_same(call));
    call->result->dims[last] = weight->dims[0];
    return SN_OK;
}

/* ---- composites ------------------------------------------------------------------------------ */

/* Operands after x (weight, bias) have the shape of x's last dims. */
sn_status shape_norm(Infer *call) {
    const TensorType *x = infer_input(call, 0), *first = NULL;
    if (x->rank == 0) return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 1 dim");
    for (int32_t i = 1; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (type_absent(type)) continue;
        if (!first) first = type;
        if (type->rank == 0 || type->rank > x->rank || type->rank != first->rank ||
            !dims_equal(call->table, type->dims, x->dims + (x->rank - type->rank), type->rank))
            return infer_refuse_types(call, SN_ERROR_SHAPE,
                                      "%s must have the shape of the normalised last dims of x",
                                      infer_input_name(call, i).text);
    }
    return shape_same(call);
}

sn_status shape_cross_entropy(Infer *call) {
    const TensorType *x = infer_input(call, 0), *target = infer_input(call, 1);
    if (x->rank == 0)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have an axis of classes");
    Dim dims[SN_MAX_RANK];
    int32_t rank = 0, classes = x->rank == 1 ? 0 : 1;
    if (dim_equal(call->table, x->dims[classes], dim_of(0)))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "there are no classes on axis %d",
                                  (int)classes);
    for (int32_t i = 0; i < x->rank; i++)
        if (i != classes) dims[rank++] = x->dims[i];
    if (target->rank != rank || !dims_equal(call->table, target->dims, dims, rank))
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "target must have the shape of x without axis %d", (int)classes);
    bool each = attr_int(infer_attrs(call), ATTR_REDUCTION) == REDUCTION_NONE;
    return infer_set_dims(call, dims, each ? rank : 0);
}

/* The mask is bool or of x's dtype, and broadcasts to the scores [..., L, S]. */
static sn_status check_mask(Infer *call, Dim keys) {
    const TensorType *mask = infer_input(call, 3);
    if (type_absent(mask)) return SN_OK;
    if (attr_bool(infer_attrs(call), ATTR_CAUSAL))
        return infer_refuse(call, SN_ERROR_ARGUMENT, "a mask and causal exclude each other");
    if (mask->dtype != SN_BOOL && mask->dtype != infer_input(call, 0)->dtype)
        return infer_refuse_types(call, SN_ERROR_DTYPE, "mask must be bool or have query's dtype");
    const TensorType *query = infer_input(call, 0);
    Dim scores[SN_MAX_RANK];
    for (int32_t i = 0; i < query->rank; i++) scores[i] = query->dims[i];
    scores[query->rank - 1] = keys;
    INFER_TRY(infer_set_dims(call, scores, query->rank));
    /* it may not enlarge the scores */
    if (mask->rank <= query->rank && infer_broadcast(call, mask->dims, mask->rank) &&
        dims_equal(call->table, call->result->dims, scores, query->rank))
        return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "mask does not broadcast to the scores");
}

/* query [..., L, E], key [..., S, E], value [..., S, Ev] with equal leading dims. */
sn_status shape_attention(Infer *call) {
    const TensorType *query = infer_input(call, 0), *key = infer_input(call, 1);
    const TensorType *value = infer_input(call, 2);
    int32_t rank = query->rank;
    if (rank < 2 || key->rank != rank || value->rank != rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "query, key and value must have equally many dims, at least 2");
    if (!dims_equal(call->table, query->dims, key->dims, rank - 2) ||
        !dims_equal(call->table, query->dims, value->dims, rank - 2))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "batch sizes differ");
    if (!dim_equal(call->table, query->dims[rank - 1], key->dims[rank - 1]))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "head sizes of query and key differ");
    if (!dim_equal(call->table, key->dims[rank - 2], value->dims[rank - 2]))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "lengths of key and value differ");
    INFER_TRY(check_mask(call, key->dims[rank - 2]));
    INFER_TRY(shape_same(call));
    call->result->dims[rank - 1] = value->dims[rank - 1];
    return SN_OK;
}

/* ---- the tables ------------------------------------------------------------------------------ */

InferRule *const shape_rules[SHAPE_RULE_COUNT] = {
#define SHAPE_RULE(id, function, text) [SHAPE_##id] = shape_##function,
#include "ir/op/op_rules.def"
};

/* The axis of an iota is one of its own dims. */
static sn_status check_iota(Infer *call) {
    int64_t *axis = infer_attr(call, ATTR_AXIS);
    int64_t limit = call->result->rank > 0 ? call->result->rank : 1;
    if (*axis < -limit || *axis >= limit)
        return infer_refuse(call, SN_ERROR_INDEX, "axis %lld is out of range for %s",
                            (long long)*axis, type_text(call->result).text);
    if (*axis < 0) *axis += limit;
    return SN_OK;
}

static sn_status check_clamp(Infer *call) {
    if (!type_absent(infer_input(call, 1)) || !type_absent(infer_input(call, 2))) return SN_OK;
    return infer_refuse(call, SN_ERROR_ARGUMENT, "low and high are both absent");
}

/* Beyond the last row or column all diagonals are alike. */
static sn_status check_triangle(Infer *call) {
    if (infer_input(call, 0)->rank < 2)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 2 dims");
    Dim *diagonal = infer_dim(call, ATTR_DIAGONAL);
    if (infer_is_number(call, *diagonal)) *diagonal = dim_of(infer_clamp(diagonal->word));
    return SN_OK;
}

static sn_status check_dropout(Infer *call) {
    double p = attr_double(infer_attrs(call), ATTR_P);
    if (p >= 0 && p <= 1) return SN_OK;
    return infer_refuse(call, SN_ERROR_ARGUMENT, "p is %g, which is no probability", p);
}

InferRule *infer_extra(OpCode op) {
    static InferRule *const checks[OP_COUNT] = {
        [OP_IOTA] = check_iota,     [OP_CLAMP] = check_clamp,     [OP_TRIL] = check_triangle,
        [OP_TRIU] = check_triangle, [OP_DROPOUT] = check_dropout,
    };
    return op_is(op, CLASS_UPDATE) ? update_row(op)->check : checks[op];
}
