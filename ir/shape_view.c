/* Shape rules of views, joins, indexing and updates. See infer.h. */
#include "ir/infer.h"

#include "ir/dtype.h"

/* ---- reshape, permute, expand --------------------------------------------------------------- */

/* A type of x's dtype, for messages about a list of dims. */
static TensorType type_of_dims(const Infer *call, const int64_t *dims, int32_t rank) {
    TensorType type = {.dtype = call->result.dtype, .rank = (uint8_t)rank};
    for (int32_t i = 0; i < rank; i++) type.dims[i] = dims[i];
    return type;
}

static sn_status refuse_reshape(const Infer *call, const int64_t *dims, int32_t rank) {
    TensorType wanted = type_of_dims(call, dims, rank);
    return infer_refuse_types(call, SN_ERROR_SHAPE, "x does not fit %s", type_text(&wanted).text);
}

/* Copies the list `dims`, in which `*unknown` is the position of -1; -1 when there is none. */
static sn_status read_dims(const Infer *call, int64_t *dims, int32_t *rank, int32_t *unknown) {
    const int64_t *list = infer_list(call, "dims", rank);
    *unknown = -1;
    for (int32_t i = 0; i < *rank && i < SN_MAX_RANK; i++) {
        dims[i] = list[i];
        if (list[i] != -1) continue;
        if (*unknown >= 0) return infer_refuse(call, SN_ERROR_SHAPE, "only one of dims can be -1");
        *unknown = i;
        dims[i] = 1;
    }
    return infer_check_dims(call, "dims", *rank > SN_MAX_RANK ? list : dims, *rank);
}

sn_status shape_reshape(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int64_t dims[SN_MAX_RANK];
    int32_t rank, unknown;
    INFER_TRY(read_dims(call, dims, &rank, &unknown));
    int64_t count = dims_count(x->dims, x->rank), known = dims_count(dims, rank);
    if (known < 0) return infer_refuse(call, SN_ERROR_MEMORY, "dims are too large");
    if (unknown >= 0) {
        if (known == 0)
            return infer_refuse(call, SN_ERROR_SHAPE, "the size -1 could be any beside a 0");
        dims[unknown] = count / known;
        known *= dims[unknown];
    }
    if (known != count) {
        if (unknown >= 0) dims[unknown] = -1;
        return refuse_reshape(call, dims, rank);
    }
    INFER_TRY(infer_set_list(call, "dims", dims, rank));
    return infer_set_dims(call, dims, rank);
}

sn_status shape_permute(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t count;
    int64_t *axes = infer_list(call, "axes", &count);
    if (count != x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "axes has %d entries", (int)count);
    int64_t dims[SN_MAX_RANK];
    uint32_t seen = 0;
    for (int32_t i = 0; i < count; i++) {
        INFER_TRY(infer_axis_of(call, &axes[i], x->rank, 0));
        if (seen >> axes[i] & 1)
            return infer_refuse(call, SN_ERROR_ARGUMENT, "axis %lld is listed twice",
                                (long long)axes[i]);
        seen |= 1u << axes[i];
        dims[i] = x->dims[axes[i]];
    }
    return infer_set_dims(call, dims, count);
}

static sn_status set_same(Infer *call) {
    return infer_set_dims(call, infer_input(call, 0)->dims, infer_input(call, 0)->rank);
}

sn_status shape_transpose(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int64_t axis0, axis1;
    INFER_TRY(infer_axis(call, "axis0", &axis0));
    INFER_TRY(infer_axis(call, "axis1", &axis1));
    INFER_TRY(set_same(call));
    if (x->rank == 0) return SN_OK;
    call->result.dims[axis0] = x->dims[axis1];
    call->result.dims[axis1] = x->dims[axis0];
    return SN_OK;
}

sn_status shape_expand(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t rank;
    int64_t *dims = infer_list(call, "dims", &rank);
    if (rank > SN_MAX_RANK) return infer_check_dims(call, "dims", dims, rank);
    if (rank < x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "dims has %d sizes, fewer than x",
                                  (int)rank);
    int32_t added = rank - x->rank;
    for (int32_t i = added; i < rank; i++) {
        int64_t size = x->dims[i - added];
        if (dims[i] == -1) dims[i] = size;
        if (dims[i] == size || size == 1) continue;
        TensorType wanted = type_of_dims(call, dims, rank);
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x does not expand to %s",
                                  type_text(&wanted).text);
    }
    INFER_TRY(infer_check_dims(call, "dims", dims, rank));
    return infer_set_dims(call, dims, rank);
}

/* ---- squeeze, unsqueeze --------------------------------------------------------------------- */

/* Listed axes of another size than 1 stay in the list and in the result: without them an empty list
 * could mean none as well as all. */
sn_status shape_squeeze(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    uint32_t mask;
    INFER_TRY(infer_axes(call, "axes", &mask));
    if (mask == 0) {
        for (int32_t i = 0; i < x->rank; i++)
            if (x->dims[i] == 1) mask |= 1u << i;
        INFER_TRY(infer_set_axes(call, "axes", mask));
    }
    int64_t dims[SN_MAX_RANK];
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (!(mask >> i & 1) || x->dims[i] != 1) dims[rank++] = x->dims[i];
    return infer_set_dims(call, dims, rank);
}

/* result.dims := dims of operand 0 with `size` in front of `axis`. */
static sn_status insert_dim(Infer *call, int64_t axis, int64_t size) {
    const TensorType *x = infer_input(call, 0);
    int64_t dims[SN_MAX_RANK + 1];
    for (int32_t i = 0; i <= x->rank; i++)
        dims[i] = i < axis ? x->dims[i] : i == axis ? size : x->dims[i - 1];
    return infer_set_dims(call, dims, x->rank + 1);
}

sn_status shape_unsqueeze(Infer *call) {
    int64_t *axis = infer_attr(call, "axis");
    INFER_TRY(infer_axis_of(call, axis, infer_input(call, 0)->rank + 1, 0));
    return insert_dim(call, *axis, 1);
}

/* ---- slice, select, flip, diagonal, narrow ---------------------------------------------------- */

/* Checks elements start + i * step, i < dim, of every axis of x. An empty one may start at its end. */
static sn_status check_slice(Infer *call, const int64_t *dims) {
    const TensorType *x = infer_input(call, 0);
    int32_t n_starts, n_steps;
    const int64_t *starts = infer_list(call, "starts", &n_starts);
    const int64_t *steps = infer_list(call, "steps", &n_steps);
    if (n_starts != x->rank || n_steps != x->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT,
                                  "starts and steps must have an entry for each axis");
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t last, way, size = x->dims[i];
        if (steps[i] == 0)
            return infer_refuse(call, SN_ERROR_ARGUMENT, "step of axis %d must not be 0", (int)i);
        bool overflow = __builtin_mul_overflow(dims[i] ? dims[i] - 1 : 0, steps[i], &way) ||
                        __builtin_add_overflow(starts[i], way, &last);
        int64_t first_most = dims[i] ? size - 1 : size;
        if (overflow || starts[i] < 0 || starts[i] > first_most || last < 0 || last > first_most)
            return infer_refuse_types(
                call, SN_ERROR_INDEX, "%lld elements from %lld by %lld leave axis %d",
                (long long)dims[i], (long long)starts[i], (long long)steps[i], (int)i);
    }
    return SN_OK;
}

sn_status shape_slice(Infer *call) {
    int32_t rank;
    const int64_t *dims = infer_list(call, "dims", &rank);
    if (rank != infer_input(call, 0)->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT, "dims must have an entry for each axis");
    INFER_TRY(infer_check_dims(call, "dims", dims, rank));
    INFER_TRY(check_slice(call, dims));
    return infer_set_dims(call, dims, rank);
}

sn_status check_put_slice(Infer *call) {
    const TensorType *x = infer_input(call, 0), *value = infer_input(call, 1);
    if (value->rank != x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "value must have as many dims as x");
    return check_slice(call, value->dims);
}

/* A 0-d tensor has no axis to take elements of. */
static sn_status refuse_scalar(const Infer *call) {
    if (infer_input(call, 0)->rank > 0) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 1 dim");
}

sn_status shape_select(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int64_t axis, *index = infer_attr(call, "index");
    INFER_TRY(refuse_scalar(call));
    INFER_TRY(infer_axis(call, "axis", &axis));
    int64_t size = x->dims[axis];
    if (*index < -size || *index >= size)
        return infer_refuse_types(call, SN_ERROR_INDEX, "index %lld is out of range for axis %lld",
                                  (long long)*index, (long long)axis);
    if (*index < 0) *index += size;
    INFER_TRY(infer_set_dims(call, x->dims, x->rank - 1));
    for (int64_t i = axis; i < x->rank - 1; i++) call->result.dims[i] = x->dims[i + 1];
    return SN_OK;
}

sn_status shape_flip(Infer *call) {
    uint32_t mask;
    INFER_TRY(infer_axes(call, "axes", &mask));
    return set_same(call);
}

/* Elements (i, i + offset), or (i - offset, i) for a negative offset. */
static int64_t diagonal_length(int64_t size0, int64_t size1, int64_t offset) {
    if (offset < 0)
        size0 += offset;
    else
        size1 -= offset;
    int64_t length = size0 < size1 ? size0 : size1;
    return length > 0 ? length : 0;
}

sn_status infer_diagonal(Infer *call, TensorType *diagonal) {
    const TensorType *x = infer_input(call, 0);
    int64_t axis0, axis1;
    if (x->rank < 2) return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 2 dims");
    INFER_TRY(infer_axis(call, "axis0", &axis0));
    INFER_TRY(infer_axis(call, "axis1", &axis1));
    if (axis0 == axis1)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "axis0 and axis1 are both %lld",
                            (long long)axis0);
    diagonal->rank = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (i != axis0 && i != axis1) diagonal->dims[diagonal->rank++] = x->dims[i];
    diagonal->dims[diagonal->rank++] =
        diagonal_length(x->dims[axis0], x->dims[axis1], *infer_attr(call, "offset"));
    return SN_OK;
}

sn_status shape_diagonal(Infer *call) {
    return infer_diagonal(call, &call->result);
}

sn_status check_put_diagonal(Infer *call) {
    const TensorType *value = infer_input(call, 1);
    TensorType diagonal = {.dtype = value->dtype};
    INFER_TRY(infer_diagonal(call, &diagonal));
    if (value->rank == diagonal.rank && dims_equal(value->dims, diagonal.dims, value->rank))
        return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "value must be %s", type_text(&diagonal).text);
}

sn_status shape_narrow(Infer *call) {
    int64_t axis, *start = infer_attr(call, "start"), length = *infer_attr(call, "length");
    INFER_TRY(refuse_scalar(call));
    INFER_TRY(infer_axis(call, "axis", &axis));
    int64_t size = infer_input(call, 0)->dims[axis];
    if (length < 0)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "length is %lld", (long long)length);
    int64_t first = *start < 0 && *start >= -size ? *start + size : *start;
    if (first < 0 || first > size || length > size - first)
        return infer_refuse_types(call, SN_ERROR_INDEX, "%lld elements from %lld leave axis %lld",
                                  (long long)length, (long long)*start, (long long)axis);
    *start = first;
    INFER_TRY(set_same(call));
    call->result.dims[axis] = length;
    return SN_OK;
}

/* ---- joins, pad ----------------------------------------------------------------------------- */

static sn_status refuse_pair(const Infer *call, const char *what, int32_t a, int32_t b) {
    return infer_refuse(call, SN_ERROR_SHAPE, "%s: %s is %s, %s is %s", what,
                        infer_input_name(call, a).text, type_text(infer_input(call, a)).text,
                        infer_input_name(call, b).text, type_text(infer_input(call, b)).text);
}

/* f32[0] joins with anything, as it has always done in PyTorch. */
static bool cat_skips(const TensorType *type) {
    return type->rank == 1 && type->dims[0] == 0;
}

static int32_t cat_first(const Infer *call) {
    int32_t first = 0;
    while (first < call->n_inputs - 1 && cat_skips(infer_input(call, first))) first++;
    return first;
}

sn_status shape_cat(Infer *call) {
    int32_t first = cat_first(call);
    const TensorType *head = infer_input(call, first);
    int64_t *axis = infer_attr(call, "axis");
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
            if (k != *axis && type->dims[k] != head->dims[k])
                return refuse_pair(call, "sizes differ outside the axis", first, i);
        int64_t *sum = &call->result.dims[*axis];
        if (__builtin_add_overflow(*sum, type->dims[*axis], sum))
            return infer_refuse(call, SN_ERROR_MEMORY, "the result is too large");
    }
    return SN_OK;
}

sn_status shape_stack(Infer *call) {
    const TensorType *head = infer_input(call, 0);
    int64_t *axis = infer_attr(call, "axis");
    INFER_TRY(infer_axis_of(call, axis, head->rank + 1, 0));
    for (int32_t i = 1; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (type->rank != head->rank || !dims_equal(type->dims, head->dims, head->rank))
            return refuse_pair(call, "shapes differ", 0, i);
    }
    return insert_dim(call, *axis, call->n_inputs);
}

/* Pads come in pairs for the last axes, last first. Negative ones crop, and only what is there. */
sn_status shape_pad(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t count;
    const int64_t *pads = infer_list(call, "pads", &count);
    if (count % 2 != 0 || count > 2 * x->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT,
                                  "pads has %d entries, not a pair for each of the last axes",
                                  (int)count);
    INFER_TRY(set_same(call));
    for (int32_t i = 0; i < count; i += 2) {
        int32_t axis = x->rank - 1 - i / 2;
        int64_t size = x->dims[axis];
        bool overflow = false;
        for (int32_t side = 0; side < 2; side++) /* crop first: no order of the two may pass */
            if (pads[i + side] < 0) overflow |= __builtin_add_overflow(size, pads[i + side], &size);
        if (overflow || size < 0)
            return infer_refuse_types(call, SN_ERROR_SHAPE, "pads crop more than axis %d holds",
                                      (int)axis);
        for (int32_t side = 0; side < 2; side++)
            if (pads[i + side] > 0) overflow |= __builtin_add_overflow(size, pads[i + side], &size);
        if (overflow) return infer_refuse(call, SN_ERROR_MEMORY, "the result is too large");
        call->result.dims[axis] = size;
    }
    return SN_OK;
}

/* ---- indexing ------------------------------------------------------------------------------- */

/* Size of an axis, a 0-d tensor counting as one element in one axis. */
static int64_t axis_size(const TensorType *type, int64_t axis) {
    return type->rank ? type->dims[axis] : 1;
}

static int32_t rank_at_least_1(const TensorType *type) {
    return type->rank ? type->rank : 1;
}

/* No size of `small` may be above that of `large`, but for axis `except` (-1: none). */
static sn_status check_within(const Infer *call, int32_t small, int32_t large, int64_t except) {
    const TensorType *a = infer_input(call, small), *b = infer_input(call, large);
    bool fits = rank_at_least_1(a) == rank_at_least_1(b);
    for (int32_t i = 0; fits && i < rank_at_least_1(a); i++)
        if (i != except && axis_size(a, i) > axis_size(b, i)) fits = false;
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "%s does not fit inside %s",
                              infer_input_name(call, small).text,
                              infer_input_name(call, large).text);
}

/* An index without elements fits anything of its rank. */
static sn_status check_index_within(const Infer *call, int32_t large, int64_t except) {
    const TensorType *index = infer_input(call, 1);
    bool empty = dims_count(index->dims, index->rank) == 0;
    if (empty && rank_at_least_1(index) == rank_at_least_1(infer_input(call, large))) return SN_OK;
    return check_within(call, 1, large, except);
}

sn_status shape_gather(Infer *call) {
    const TensorType *index = infer_input(call, 1);
    int64_t axis;
    INFER_TRY(infer_axis(call, "axis", &axis));
    INFER_TRY(check_index_within(call, 0, axis));
    return infer_set_dims(call, index->dims, index->rank);
}

sn_status check_scatter_add(Infer *call) {
    int64_t axis;
    INFER_TRY(infer_axis(call, "axis", &axis));
    INFER_TRY(check_index_within(call, 0, axis));
    return check_index_within(call, 2, -1);
}

/* A list of positions along one axis; a 0-d index is a list of one. */
static sn_status check_index_list(const Infer *call) {
    if (infer_input(call, 1)->rank <= 1) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "index must have 1 dim");
}

sn_status shape_index_select(Infer *call) {
    int64_t axis, count = axis_size(infer_input(call, 1), 0);
    INFER_TRY(infer_axis(call, "axis", &axis));
    INFER_TRY(check_index_list(call));
    INFER_TRY(set_same(call));
    if (call->result.rank > 0)
        call->result.dims[axis] = count;
    else if (count != 1)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "a 0-d x takes one index");
    return SN_OK;
}

sn_status check_index_copy(Infer *call) {
    const TensorType *x = infer_input(call, 0), *source = infer_input(call, 2);
    int64_t axis;
    INFER_TRY(infer_axis(call, "axis", &axis));
    INFER_TRY(check_index_list(call));
    bool fits = source->rank == x->rank;
    for (int32_t i = 0; fits && i < rank_at_least_1(x); i++)
        fits = axis_size(source, i) ==
               axis_size(i == axis ? infer_input(call, 1) : x, i == axis ? 0 : i);
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE,
                              "source must have x's dims, with one slice for each index");
}

sn_status shape_embedding(Infer *call) {
    const TensorType *weight = infer_input(call, 0), *index = infer_input(call, 1);
    if (weight->rank != 2)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "weight must have 2 dims");
    int64_t dims[SN_MAX_RANK + 1];
    for (int32_t i = 0; i < index->rank; i++) dims[i] = index->dims[i];
    dims[index->rank] = weight->dims[1];
    return infer_set_dims(call, dims, index->rank + 1);
}

sn_status shape_one_hot(Infer *call) {
    int64_t classes = *infer_attr(call, "classes");
    if (classes < 1)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "classes is %lld, but must be at least 1",
                            (long long)classes);
    return insert_dim(call, infer_input(call, 0)->rank, classes);
}
