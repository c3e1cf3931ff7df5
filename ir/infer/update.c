/* The updates: a row each; see update.h. */
#include "ir/infer/update.h"

static sn_status check_put_slice(Infer *call) {
    const TensorType *x = infer_input(call, 0), *value = infer_input(call, 1);
    if (value->rank != x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "value must have as many dims as x");
    return infer_slice(call, value->dims);
}

static sn_status check_put_diagonal(Infer *call) {
    const TensorType *value = infer_input(call, 1);
    TensorType diagonal = {.dtype = value->dtype};
    INFER_TRY(infer_diagonal(call, &diagonal));
    if (value->rank == diagonal.rank &&
        dims_equal(call->table, value->dims, diagonal.dims, value->rank))
        return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "value must be %s", type_text(&diagonal).text);
}

static sn_status check_scatter_add(Infer *call) {
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(infer_index_within(call, 0, axis));
    return infer_index_within(call, 2, -1);
}

static sn_status check_index_copy(Infer *call) {
    const TensorType *x = infer_input(call, 0), *source = infer_input(call, 2);
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(infer_index_list(call));
    bool fits = source->rank == x->rank;
    for (int32_t i = 0; fits && i < infer_axes_of(x); i++)
        fits = dim_equal(call->table, infer_axis_size(source, i),
                         infer_axis_size(i == axis ? infer_input(call, 1) : x, i == axis ? 0 : i));
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE,
                              "source must have x's dims, with one slice for each index");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const UpdateRow update_rows[OP_COUNT] = {
    [OP_PUT_SLICE] = {.check = check_put_slice, .space = 1, .value = 1, .view = OP_SLICE},
    [OP_PUT_DIAGONAL] = {.check = check_put_diagonal, .space = 1, .value = 1, .view = OP_DIAGONAL},
    [OP_SCATTER_ADD] = {.check = check_scatter_add,
                        .space = 1,
                        .value = 2,
                        .index = 1,
                        .ordered = true,
                        .adds = true},
    [OP_INDEX_COPY] = {.check = check_index_copy,
                       .space = 2,
                       .value = 2,
                       .index = 1,
                       .listed = true,
                       .ordered = true},
};

const UpdateRow *update_row_if(OpCode op) {
    return op_is(op, CLASS_UPDATE) ? &update_rows[op] : NULL;
}

const UpdateRow *update_row(OpCode op) {
    SN_ASSERT(update_rows[op].check);
    return &update_rows[op];
}
