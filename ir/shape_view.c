/* Shape rules of views, joins, indexing and updates. See infer.h. */
#include "ir/infer.h"

#include "ir/dtype.h"

/* ---- reshape, permute, expand --------------------------------------------------------------- */

/* A type of x's dtype, for messages about a list of dims. */
static TensorType type_of_dims(const Infer *call, const Dim *dims, int32_t rank) {
    TensorType type = {.dtype = call->result->dtype, .rank = (uint8_t)rank};
    for (int32_t i = 0; i < rank; i++) type.dims[i] = dims[i];
    return type;
}

static sn_status refuse_reshape(const Infer *call, const Dim *dims, int32_t rank) {
    TensorType wanted = type_of_dims(call, dims, rank);
    return infer_refuse_types(call, SN_ERROR_SHAPE, "x does not fit %s", type_text(&wanted).text);
}

/* Copies the list `dims`, in which `*unknown` is the position of -1; -1 when there is none. */
static sn_status read_dims(const Infer *call, Dim *dims, int32_t *rank, int32_t *unknown) {
    const Dim *list = infer_dims(call, ATTR_DIMS, rank);
    *unknown = -1;
    for (int32_t i = 0; i < *rank && i < SN_MAX_RANK; i++) {
        dims[i] = list[i];
        if (!dim_is(list[i], -1)) continue;
        if (*unknown >= 0) return infer_refuse(call, SN_ERROR_SHAPE, "only one of dims can be -1");
        *unknown = i;
        dims[i] = dim_of(1);
    }
    return infer_check_dims(call, *rank > SN_MAX_RANK ? list : dims, *rank);
}

sn_status shape_reshape(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    Dim dims[SN_MAX_RANK];
    int32_t rank, unknown;
    INFER_TRY(read_dims(call, dims, &rank, &unknown));
    Dim count = dims_count(call->table, x->dims, x->rank);
    Dim known = dims_count(call->table, dims, rank);
    if (dim_is_number(known) && known.word < 0)
        return infer_refuse(call, SN_ERROR_MEMORY, "dims are too large");
    if (unknown >= 0) {
        if (dim_equal(call->table, known, dim_of(0)))
            return infer_refuse(call, SN_ERROR_SHAPE, "the size -1 could be any beside a 0");
        dims[unknown] = dim_quotient(call->table, count, known);
        known = dim_mul(call->table, known, dims[unknown]);
    }
    if (!dim_equal(call->table, known, count)) {
        if (unknown >= 0) dims[unknown] = dim_of(-1);
        return refuse_reshape(call, dims, rank);
    }
    INFER_TRY(infer_set_list(call, ATTR_DIMS, words_of_dims(dims), rank));
    return infer_set_dims(call, dims, rank);
}

sn_status shape_permute(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t count;
    int64_t *axes = infer_list(call, ATTR_AXES, &count);
    if (count != x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "axes has %d entries", (int)count);
    Dim dims[SN_MAX_RANK];
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
    INFER_TRY(infer_axis(call, ATTR_AXIS0, &axis0));
    INFER_TRY(infer_axis(call, ATTR_AXIS1, &axis1));
    INFER_TRY(set_same(call));
    if (x->rank == 0) return SN_OK;
    call->result->dims[axis0] = x->dims[axis1];
    call->result->dims[axis1] = x->dims[axis0];
    return SN_OK;
}

sn_status shape_expand(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t rank;
    Dim *dims = infer_dims(call, ATTR_DIMS, &rank);
    if (rank > SN_MAX_RANK) return infer_check_dims(call, dims, rank);
    if (rank < x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "dims has %d sizes, fewer than x",
                                  (int)rank);
    int32_t added = rank - x->rank;
    for (int32_t i = added; i < rank; i++) {
        Dim size = x->dims[i - added];
        if (dim_is(dims[i], -1)) dims[i] = size;
        if (dim_is(size, 1) || dim_equal(call->table, dims[i], size)) continue;
        TensorType wanted = type_of_dims(call, dims, rank);
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x does not expand to %s",
                                  infer_wanted_text(call, &wanted).text);
    }
    INFER_TRY(infer_check_dims(call, dims, rank));
    return infer_set_dims(call, dims, rank);
}

/* ---- squeeze, unsqueeze --------------------------------------------------------------------- */

/* Listed axes of another size than 1 stay in the list and in the result: without them an empty list
 * could mean none as well as all. */
sn_status shape_squeeze(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    uint32_t mask;
    INFER_TRY(infer_axes(call, ATTR_AXES, &mask));
    if (mask == 0) {
        for (int32_t i = 0; i < x->rank; i++)
            if (dim_is(x->dims[i], 1)) mask |= 1u << i;
        INFER_TRY(infer_set_axes(call, ATTR_AXES, mask));
    }
    Dim dims[SN_MAX_RANK];
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (!(mask >> i & 1) || !dim_is(x->dims[i], 1)) dims[rank++] = x->dims[i];
    return infer_set_dims(call, dims, rank);
}

/* result.dims := dims of operand 0 with `size` in front of `axis`. */
static sn_status insert_dim(Infer *call, int64_t axis, Dim size) {
    const TensorType *x = infer_input(call, 0);
    Dim dims[SN_MAX_RANK + 1];
    for (int32_t i = 0; i <= x->rank; i++)
        dims[i] = i < axis ? x->dims[i] : i == axis ? size : x->dims[i - 1];
    return infer_set_dims(call, dims, x->rank + 1);
}

sn_status shape_unsqueeze(Infer *call) {
    int64_t *axis = infer_attr(call, ATTR_AXIS);
    INFER_TRY(infer_axis_of(call, axis, infer_input(call, 0)->rank + 1, 0));
    return insert_dim(call, *axis, dim_of(1));
}

/* ---- slice, select, flip, diagonal, narrow ---------------------------------------------------- */

/* Do elements start + i * step, i < dim, lie in an axis? An empty slice may start at its end. */
static bool slice_fits(const Infer *call, Dim size, Dim start, Dim step, Dim dim) {
    if (!infer_is_number(call, size) || !infer_is_number(call, start) ||
        !infer_is_number(call, step) || !infer_is_number(call, dim))
        return true; /* an expression: the trace of the sizes at hand was checked */
    int64_t last = 0, way;
    bool overflow = __builtin_mul_overflow(dim.word ? dim.word - 1 : 0, step.word, &way) ||
                    __builtin_add_overflow(start.word, way, &last);
    int64_t most = dim.word ? size.word - 1 : size.word;
    return !overflow && start.word >= 0 && start.word <= most && last >= 0 && last <= most;
}

/* Of at most one element no step is taken, so that it may be any number. */
static void clamp_step(const Infer *call, Dim *step, Dim dim) {
    if (infer_is_number(call, *step) && infer_is_number(call, dim) && dim.word <= 1)
        *step = dim_of(infer_clamp(step->word));
}

/* Checks the slice of every axis of x. */
static sn_status check_slice(Infer *call, const Dim *dims) {
    const TensorType *x = infer_input(call, 0);
    int32_t n_starts, n_steps;
    const Dim *starts = infer_dims(call, ATTR_STARTS, &n_starts);
    Dim *steps = infer_dims(call, ATTR_STEPS, &n_steps);
    if (n_starts != x->rank || n_steps != x->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT,
                                  "starts and steps must have an entry for each axis");
    for (int32_t i = 0; i < x->rank; i++) {
        if (dim_is(steps[i], 0))
            return infer_refuse(call, SN_ERROR_ARGUMENT, "step of axis %d must not be 0", (int)i);
        clamp_step(call, &steps[i], dims[i]);
        if (slice_fits(call, x->dims[i], starts[i], steps[i], dims[i])) continue;
        return infer_refuse_types(
            call, SN_ERROR_INDEX, "%lld elements from %lld by %lld leave axis %d",
            (long long)infer_hint(call, dims[i]), (long long)infer_hint(call, starts[i]),
            (long long)infer_hint(call, steps[i]), (int)i);
    }
    return SN_OK;
}

sn_status shape_slice(Infer *call) {
    int32_t rank;
    const Dim *dims = infer_dims(call, ATTR_DIMS, &rank);
    if (rank != infer_input(call, 0)->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT, "dims must have an entry for each axis");
    INFER_TRY(infer_check_dims(call, dims, rank));
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

/* A recorded index is normalised already; an expression is of no other kind. */
static sn_status normalise_index(const Infer *call, Dim *index, Dim size, int64_t axis) {
    if (!infer_is_number(call, *index) || !infer_is_number(call, size)) return SN_OK;
    if (index->word < -size.word || index->word >= size.word)
        return infer_refuse_types(call, SN_ERROR_INDEX, "index %lld is out of range for axis %lld",
                                  (long long)index->word, (long long)axis);
    if (index->word < 0) index->word += size.word;
    return SN_OK;
}

sn_status shape_select(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int64_t axis;
    Dim *index = infer_dim(call, ATTR_INDEX);
    INFER_TRY(refuse_scalar(call));
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(normalise_index(call, index, x->dims[axis], axis));
    INFER_TRY(infer_set_dims(call, x->dims, x->rank - 1));
    for (int64_t i = axis; i < x->rank - 1; i++) call->result->dims[i] = x->dims[i + 1];
    return SN_OK;
}

sn_status shape_flip(Infer *call) {
    uint32_t mask;
    INFER_TRY(infer_axes(call, ATTR_AXES, &mask));
    return set_same(call);
}

/* Elements (i, i + offset), or (i - offset, i) for a negative offset. */
static Dim diagonal_length(DimTable *table, Dim size0, Dim size1, int64_t offset) {
    if (offset < 0)
        size0 = dim_add(table, size0, dim_of(offset));
    else
        size1 = dim_sub(table, size1, dim_of(offset));
    Dim length = dim_less(table, size0, size1) ? size0 : size1;
    return dim_larger(table, length, dim_of(0));
}

sn_status infer_diagonal(Infer *call, TensorType *diagonal) {
    const TensorType *x = infer_input(call, 0);
    int64_t axis0, axis1;
    if (x->rank < 2) return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 2 dims");
    INFER_TRY(infer_axis(call, ATTR_AXIS0, &axis0));
    INFER_TRY(infer_axis(call, ATTR_AXIS1, &axis1));
    if (axis0 == axis1)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "axis0 and axis1 are both %lld",
                            (long long)axis0);
    diagonal->rank = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (i != axis0 && i != axis1) diagonal->dims[diagonal->rank++] = x->dims[i];
    int64_t *offset = infer_attr(call, ATTR_OFFSET);
    *offset = infer_clamp(*offset);
    diagonal->dims[diagonal->rank++] =
        diagonal_length(call->table, x->dims[axis0], x->dims[axis1], *offset);
    return SN_OK;
}

sn_status shape_diagonal(Infer *call) {
    return infer_diagonal(call, call->result);
}

sn_status check_put_diagonal(Infer *call) {
    const TensorType *value = infer_input(call, 1);
    TensorType diagonal = {.dtype = value->dtype};
    INFER_TRY(infer_diagonal(call, &diagonal));
    if (value->rank == diagonal.rank &&
        dims_equal(call->table, value->dims, diagonal.dims, value->rank))
        return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "value must be %s", type_text(&diagonal).text);
}

/* As normalise_index. */
static sn_status normalise_start(const Infer *call, Dim *start, Dim length, Dim size,
                                 int64_t axis) {
    if (!infer_is_number(call, *start) || !infer_is_number(call, length) ||
        !infer_is_number(call, size))
        return SN_OK;
    if (length.word < 0)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "length is %lld", (long long)length.word);
    bool behind = start->word < 0 && start->word >= -size.word;
    int64_t first = behind ? start->word + size.word : start->word;
    if (first < 0 || first > size.word || length.word > size.word - first)
        return infer_refuse_types(call, SN_ERROR_INDEX, "%lld elements from %lld leave axis %lld",
                                  (long long)length.word, (long long)start->word, (long long)axis);
    start->word = first;
    return SN_OK;
}

sn_status shape_narrow(Infer *call) {
    int64_t axis;
    Dim *start = infer_dim(call, ATTR_START), length = *infer_dim(call, ATTR_LENGTH);
    INFER_TRY(refuse_scalar(call));
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(normalise_start(call, start, length, infer_input(call, 0)->dims[axis], axis));
    INFER_TRY(set_same(call));
    call->result->dims[axis] = length;
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
    return insert_dim(call, *axis, dim_of(call->n_inputs));
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
                                  "pads has %d entries, not a pair for each of the last axes",
                                  (int)count);
    INFER_TRY(set_same(call));
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

/* ---- indexing ------------------------------------------------------------------------------- */

/* Size of an axis, a 0-d tensor counting as one element in one axis. */
static Dim axis_size(const TensorType *type, int64_t axis) {
    return type->rank ? type->dims[axis] : dim_of(1);
}

static int32_t rank_at_least_1(const TensorType *type) {
    return type->rank ? type->rank : 1;
}

/* No size of `small` may be above that of `large`, but for axis `except` (-1: none). */
static sn_status check_within(const Infer *call, int32_t small, int32_t large, int64_t except) {
    const TensorType *a = infer_input(call, small), *b = infer_input(call, large);
    bool fits = rank_at_least_1(a) == rank_at_least_1(b);
    for (int32_t i = 0; fits && i < rank_at_least_1(a); i++)
        if (i != except && dim_less(call->table, axis_size(b, i), axis_size(a, i))) fits = false;
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "%s does not fit inside %s",
                              infer_input_name(call, small).text,
                              infer_input_name(call, large).text);
}

/* An index without elements fits anything of its rank. */
static sn_status check_index_within(const Infer *call, int32_t large, int64_t except) {
    const TensorType *index = infer_input(call, 1);
    bool empty = dim_is(dims_count(call->table, index->dims, index->rank), 0);
    if (empty && rank_at_least_1(index) == rank_at_least_1(infer_input(call, large))) return SN_OK;
    return check_within(call, 1, large, except);
}

sn_status shape_gather(Infer *call) {
    const TensorType *index = infer_input(call, 1);
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(check_index_within(call, 0, axis));
    return infer_set_dims(call, index->dims, index->rank);
}

sn_status check_scatter_add(Infer *call) {
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(check_index_within(call, 0, axis));
    return check_index_within(call, 2, -1);
}

/* A list of positions along one axis; a 0-d index is a list of one. */
static sn_status check_index_list(const Infer *call) {
    if (infer_input(call, 1)->rank <= 1) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "index must have 1 dim");
}

sn_status shape_index_select(Infer *call) {
    int64_t axis;
    Dim count = axis_size(infer_input(call, 1), 0);
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(check_index_list(call));
    INFER_TRY(set_same(call));
    if (call->result->rank > 0)
        call->result->dims[axis] = count;
    else if (!dim_equal(call->table, count, dim_of(1)))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "a 0-d x takes one index");
    return SN_OK;
}

sn_status check_index_copy(Infer *call) {
    const TensorType *x = infer_input(call, 0), *source = infer_input(call, 2);
    int64_t axis;
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(check_index_list(call));
    bool fits = source->rank == x->rank;
    for (int32_t i = 0; fits && i < rank_at_least_1(x); i++)
        fits = dim_equal(call->table, axis_size(source, i),
                         axis_size(i == axis ? infer_input(call, 1) : x, i == axis ? 0 : i));
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE,
                              "source must have x's dims, with one slice for each index");
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
    return insert_dim(call, infer_input(call, 0)->rank, dim_of(classes));
}
