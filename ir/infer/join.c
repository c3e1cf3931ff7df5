/* Shape rules of joins, padding and indexing. See rule.h. */
#include "ir/infer/rule.h"

#include "ir/op/dtype.h"

/* ---- joins, pad ------------------------------------------------------------------------------ */

static sn_status refuse_pair(const Infer *call, const char *what, int32_t a, int32_t b) {
    return infer_refuse(call, SN_ERROR_SHAPE, "%s: %s is %s, %s is %s", what,
                        infer_input_name(call, a).text, type_text(infer_input(call, a)).text,
                        infer_input_name(call, b).text, type_text(infer_input(call, b)).text);
}

/* f32[0] joins with anything, as it has always done in PyTorch. */
static bool cat_skips(const TensorType *type) {
    return type->rank == 1 && dim_is(type->dims[0], 0);
}

static int32_t cat_first(const Infer *call) {
    int32_t first = 0;
    while (first < call->n_inputs - 1 && cat_skips(infer_input(call, first))) first++;
    return first;
}

/* False where a number overflows; an expression that does fails in the table. */
static bool add_size(const Infer *call, Dim *sum, Dim size) {
    if (infer_is_number(call, *sum) && infer_is_number(call, size))
        return !__builtin_add_overflow(sum->word, size.word, &sum->word);
    *sum = dim_add(call->table, *sum, size);
    return true;
}

sn_status shape_cat(Infer *call) {
    int32_t first = cat_first(call);
    const TensorType *head = infer_input(call, first);
    int64_t *axis = infer_attr(call, ATTR_AXIS);
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (infer_input(call, i)->rank == 0)
            return infer_refuse(call, SN_ERROR_SHAPE, "%s must have at least 1 dim",
                                infer_input_name(call, i).text);
    INFER_TRY(infer_axis_of(call, axis, head->rank, first));
    INFER_TRY(infer_set_dims(call, head->dims, head->rank));
    for (int32_t i = first + 1; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (cat_skips(type)) continue;
        if (type->rank != head->rank) return refuse_pair(call, "ranks differ", first, i);
        for (int32_t k = 0; k < type->rank; k++)
            if (k != *axis && !dim_equal(call->table, type->dims[k], head->dims[k]))
                return refuse_pair(call, "sizes differ outside the axis", first, i);
        if (!add_size(call, &call->result->dims[*axis], type->dims[*axis]))
            return infer_refuse(call, SN_ERROR_MEMORY, "the result is too large");
    }
    return SN_OK;
}

sn_status shape_stack(Infer *call) {
    const TensorType *head = infer_input(call, 0);
    int64_t *axis = infer_attr(call, ATTR_AXIS);
    INFER_TRY(infer_axis_of(call, axis, head->rank + 1, 0));
    for (int32_t i = 1; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (type->rank != head->rank ||
            !dims_equal(call->table, type->dims, head->dims, head->rank))
            return refuse_pair(call, "shapes differ", 0, i);
    }
    return infer_insert_dim(call, *axis, dim_of(call->n_inputs));
}

static bool crops(const Infer *call, Dim pad) {
    return infer_is_number(call, pad) && pad.word < 0;
}

/* Pads come in pairs for the last axes, last first. Negative ones crop, and only what is there. */
sn_status shape_pad(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t count;
    const Dim *pads = infer_dims(call, ATTR_PADS, &count);
    if (count % 2 != 0 || count > 2 * x->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT,
                                  "pads has length %d, not 2 for each of the last axes",
                                  (int)count);
    INFER_TRY(infer_set_same(call));
    for (int32_t i = 0; i < count; i += 2) {
        int32_t axis = x->rank - 1 - i / 2;
        Dim size = x->dims[axis];
        bool fits = true;
        for (int32_t side = 0; side < 2; side++) /* crop first: no order of the two may pass */
            if (crops(call, pads[i + side])) fits = fits && add_size(call, &size, pads[i + side]);
        if (!fits || crops(call, size))
            return infer_refuse_types(call, SN_ERROR_SHAPE, "pads crop more than axis %d holds",
                                      (int)axis);
        for (int32_t side = 0; side < 2; side++)
            if (!crops(call, pads[i + side])) fits = fits && add_size(call, &size, pads[i + side]);
        if (!fits) return infer_refuse(call, SN_ERROR_MEMORY, "the result is too large");
        call->result->dims[axis] = size;
    }
    return SN_OK;
}

/* ---- indexing -------------------------------------------------------------------------------- */

/* No size of `small` may be above that of `large`, but for axis `except` (-1: none). */
static sn_status check_within(const Infer *call, int32_t small, int32_t large, int64_t except) {
    const TensorType *a = infer_input(call, small), *b = infer_input(call, large);
    bool fits = infer_axes_of(a) == infer_axes_of(b);
    for (int32_t i = 0; fits && i < infer_axes_of(a); i++)
        if (i != except && dim_less(call->table, infer_axis_size(b, i), infer_axis_size(a, i)))
            fits = false;
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "%s does not fit inside %s",
                              infer_input_name(call, small).text,
                              infer_input_name(call, large).text);
}

sn_status infer_index_within(const Infer *call, int32_t large, int64_t except) {
    const TensorType *index = infer_input(call, 1);
    bool empty = dim_is(dims_count(call->table, index->dims, index->rank), 0);
    if (empty && infer_axes_of(index) == infer_axes_of(infer_input(call, large))) return SN_OK;
    return check_within(call, 1, large, except);
}

sn_status shape_gather(Infer *call) {
    const TensorType *index = infer_input(call, 1);
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(infer_index_within(call, 0, axis));
    return infer_set_dims(call, index->dims, index->rank);
}

sn_status infer_index_list(const Infer *call) {
    if (infer_input(call, 1)->rank <= 1) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "index must have 1 dim");
}

sn_status shape_index_select(Infer *call) {
    int64_t axis;
    Dim count = infer_axis_size(infer_input(call, 1), 0);
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(infer_index_list(call));
    INFER_TRY(infer_set_same(call));
    if (call->result->rank > 0)
        call->result->dims[axis] = count;
    else if (!dim_equal(call->table, count, dim_of(1)))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "a 0-d x takes one index");
    return SN_OK;
}

sn_status shape_embedding(Infer *call) {
    const TensorType *weight = infer_input(call, 0), *index = infer_input(call, 1);
    if (weight->rank != 2)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "weight must have 2 dims");
    Dim dims[SN_MAX_RANK + 1];
    for (int32_t i = 0; i < index->rank; i++) dims[i] = index->dims[i];
    dims[index->rank] = weight->dims[1];
    return infer_set_dims(call, dims, index->rank + 1);
}

sn_status shape_one_hot(Infer *call) {
    int64_t classes = attr_int(infer_attrs(call), ATTR_CLASSES);
    if (classes < 1)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "classes is %lld, but must be at least 1",
                            (long long)classes);
    return infer_insert_dim(call, infer_input(call, 0)->rank, dim_of(classes));
}
