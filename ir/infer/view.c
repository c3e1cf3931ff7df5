/* The view ops: a row each, with all that is known of it; see view_row.h. What is done with views in
 * general follows from these rows and stands in view_apply.c. */
#include "ir/infer/view_row.h"

/* ---- reshape, permute, expand ---------------------------------------------------------------- */

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

static sn_status shape_reshape(Infer *call) {
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

static sn_status shape_permute(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t count;
    int64_t *axes = infer_list(call, ATTR_AXES, &count);
    if (count != x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "axes has length %d, but names each axis once", (int)count);
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

static sn_status shape_transpose(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int64_t axis0, axis1;
    INFER_TRY(infer_axis(call, ATTR_AXIS0, &axis0));
    INFER_TRY(infer_axis(call, ATTR_AXIS1, &axis1));
    INFER_TRY(infer_set_same(call));
    if (x->rank == 0) return SN_OK;
    call->result->dims[axis0] = x->dims[axis1];
    call->result->dims[axis1] = x->dims[axis0];
    return SN_OK;
}

static sn_status shape_expand(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t rank;
    Dim *dims = infer_dims(call, ATTR_DIMS, &rank);
    if (rank > SN_MAX_RANK) return infer_check_dims(call, dims, rank);
    if (rank < x->rank)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "dims has length %d, less than x",
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

/* ---- squeeze, unsqueeze ---------------------------------------------------------------------- */

/* Listed axes of another size than 1 stay in the list and in the result: without them an empty list
 * could mean none as well as all. */
static sn_status shape_squeeze(Infer *call) {
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

static sn_status shape_unsqueeze(Infer *call) {
    int64_t *axis = infer_attr(call, ATTR_AXIS);
    INFER_TRY(infer_axis_of(call, axis, infer_input(call, 0)->rank + 1, 0));
    return infer_insert_dim(call, *axis, dim_of(1));
}

/* ---- slice, select, flip, diagonal, narrow --------------------------------------------------- */

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

sn_status infer_slice(Infer *call, const Dim *dims) {
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

static sn_status shape_slice(Infer *call) {
    int32_t rank;
    const Dim *dims = infer_dims(call, ATTR_DIMS, &rank);
    if (rank != infer_input(call, 0)->rank)
        return infer_refuse_types(call, SN_ERROR_ARGUMENT, "dims must have an entry for each axis");
    INFER_TRY(infer_check_dims(call, dims, rank));
    INFER_TRY(infer_slice(call, dims));
    return infer_set_dims(call, dims, rank);
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
    SN_ASSERT(index->word >= 0 && index->word < size.word);
    return SN_OK;
}

static sn_status shape_select(Infer *call) {
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

static sn_status shape_flip(Infer *call) {
    uint32_t mask;
    INFER_TRY(infer_axes(call, ATTR_AXES, &mask));
    return infer_set_same(call);
}

/* Elements (i, i + offset), or (i - offset, i) for a negative offset. */
static Dim diagonal_length(DimTable *table, Dim size0, Dim size1, int64_t offset) {
    SN_ASSERT(number_is_dim(offset));
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

static sn_status shape_diagonal(Infer *call) {
    return infer_diagonal(call, call->result);
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
    SN_ASSERT(first >= 0 && length.word >= 0 && first + length.word <= size.word);
    return SN_OK;
}

static sn_status shape_narrow(Infer *call) {
    int64_t axis;
    Dim *start = infer_dim(call, ATTR_START), length = *infer_dim(call, ATTR_LENGTH);
    INFER_TRY(refuse_scalar(call));
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    INFER_TRY(normalise_start(call, start, length, infer_input(call, 0)->dims[axis], axis));
    INFER_TRY(infer_set_same(call));
    call->result->dims[axis] = length;
    return SN_OK;
}

/* ---- windows --------------------------------------------------------------------------------- */

Dim windows_count(DimTable *table, Dim size, Dim length, int64_t step, int64_t dilation) {
    Dim reach = dim_mul(table, dim_sub(table, length, dim_of(1)), dim_of(dilation));
    Dim left = dim_sub(table, dim_sub(table, size, reach), dim_of(1));
    return dim_add(table, dim_quotient(table, left, dim_of(step)), dim_of(1));
}

static sn_status shape_windows(Infer *call) {
    int64_t axis, step = *infer_attr(call, ATTR_STEP), dilation = *infer_attr(call, ATTR_DILATION);
    const TensorType *x = infer_input(call, 0);
    INFER_TRY(refuse_scalar(call));
    INFER_TRY(infer_axis(call, ATTR_AXIS, &axis));
    Dim length = *infer_dim(call, ATTR_LENGTH), size = x->dims[axis];
    int64_t apart = dilation < 0 ? -dilation : dilation;
    bool counts = step >= 1 && dilation != 0 && dilation > -INT32_MAX;
    if (counts && infer_is_number(call, length) && infer_is_number(call, size)) {
        int64_t reach;
        counts = length.word >= 1 && !__builtin_mul_overflow(length.word - 1, apart, &reach) &&
                 reach < size.word;
    }
    if (!counts) return infer_refuse_types(call, SN_ERROR_SHAPE, "there are no such windows");
    INFER_TRY(infer_insert_dim(call, x->rank, length));
    call->result->dims[axis] = windows_count(call->table, size, length, step, apart);
    return SN_OK;
}

/* ---- coordinates ----------------------------------------------------------------------------- */

static void map_reshape(const ViewCase *c, ViewMap *map) {
    (void)c;
    map->regroups = true;
}

static void map_permute(const ViewCase *c, ViewMap *map) {
    int32_t rank;
    const int64_t *axes = attr_list(c->attrs, ATTR_AXES, &rank);
    for (int32_t i = 0; i < rank; i++) map->axes[axes[i]].from = i;
}

static void map_transpose(const ViewCase *c, ViewMap *map) {
    if (map->rank == 0) return;
    int64_t axis0 = attr_int(c->attrs, ATTR_AXIS0), axis1 = attr_int(c->attrs, ATTR_AXIS1);
    map->axes[axis0].from = (int32_t)axis1;
    map->axes[axis1].from = (int32_t)axis0;
}

static void map_expand(const ViewCase *c, ViewMap *map) {
    int32_t added = c->result->rank - c->input->rank;
    for (int32_t i = 0; i < map->rank; i++)
        map->axes[i].from = dim_is(c->input->dims[i], 1) ? -1 : i + added;
}

static void map_squeeze(const ViewCase *c, ViewMap *map) {
    int32_t count, at = 0;
    uint32_t listed = 0;
    const int64_t *axes = attr_list(c->attrs, ATTR_AXES, &count);
    for (int32_t i = 0; i < count; i++) listed |= 1u << axes[i];
    for (int32_t i = 0; i < map->rank; i++) {
        bool drops = listed >> i & 1 && dim_is(c->input->dims[i], 1);
        map->axes[i].from = drops ? -1 : at++;
    }
}

static void map_unsqueeze(const ViewCase *c, ViewMap *map) {
    int64_t axis = attr_int(c->attrs, ATTR_AXIS);
    for (int32_t i = 0; i < map->rank; i++) map->axes[i].from = i < axis ? i : i + 1;
}

static void map_slice(const ViewCase *c, ViewMap *map) {
    int32_t rank;
    const Dim *starts = attr_dims(c->attrs, ATTR_STARTS, &rank);
    const Dim *steps = attr_dims(c->attrs, ATTR_STEPS, &rank);
    for (int32_t i = 0; i < rank; i++) {
        map->axes[i].start = starts[i];
        map->axes[i].step = steps[i];
    }
}

static void map_select(const ViewCase *c, ViewMap *map) {
    int64_t axis = attr_int(c->attrs, ATTR_AXIS);
    for (int32_t i = 0; i < map->rank; i++) map->axes[i].from = i < axis ? i : i - 1;
    map->axes[axis].from = -1;
    map->axes[axis].start = attr_dim(c->attrs, ATTR_INDEX);
}

static void map_flip(const ViewCase *c, ViewMap *map) {
    int32_t count;
    const int64_t *axes = attr_list(c->attrs, ATTR_AXES, &count);
    for (int32_t i = 0; i < count; i++) {
        Dim size = c->input->dims[axes[i]];
        if (!dim_is(size, 0)) map->axes[axes[i]].start = dim_sub(c->table, size, dim_of(1));
        map->axes[axes[i]].step = dim_of(-1);
    }
}

static void map_diagonal(const ViewCase *c, ViewMap *map) {
    int64_t axis0 = attr_int(c->attrs, ATTR_AXIS0), axis1 = attr_int(c->attrs, ATTR_AXIS1);
    int64_t offset = attr_int(c->attrs, ATTR_OFFSET);
    int32_t at = 0;
    for (int32_t i = 0; i < map->rank; i++)
        if (i != axis0 && i != axis1) map->axes[i].from = at++;
    map->axes[axis0].from = map->axes[axis1].from = at;
    map->axes[axis0].start = dim_of(offset < 0 ? -offset : 0);
    map->axes[axis1].start = dim_of(offset > 0 ? offset : 0);
}

static void map_narrow(const ViewCase *c, ViewMap *map) {
    map->axes[attr_int(c->attrs, ATTR_AXIS)].start = attr_dim(c->attrs, ATTR_START);
}

static void map_windows(const ViewCase *c, ViewMap *map) {
    ViewAxis *axis = &map->axes[attr_int(c->attrs, ATTR_AXIS)];
    axis->step = dim_of(attr_int(c->attrs, ATTR_STEP));
    int64_t dilation = attr_int(c->attrs, ATTR_DILATION);
    axis->inner = c->result->rank;
    axis->inner_step = dim_of(dilation);
    if (dilation > 0) return;
    Dim length = c->result->dims[c->result->rank - 1];
    axis->start = dim_mul(c->table, dim_sub(c->table, length, dim_of(1)), dim_of(-dilation));
}

/* ---- strides of axes that come from nowhere -------------------------------------------------- */

void dense_strides(const int64_t *dims, int32_t rank, int64_t *strides) {
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i] > 1 ? dims[i] : 1;
    }
}

/* Runs of axes of x that are dense relative to each other (each stride is the next one's reach) are
 * taken innermost first; the result's dims must divide each run exactly, or a copy is needed. */
static bool strides_reshape(const ViewCase *c, const ViewStrides *s) {
    const int64_t *dims = type_sizes(c->result), *own = type_sizes(c->input);
    int32_t at = c->result->rank - 1, rank = c->input->rank;
    if (sizes_count(dims, c->result->rank) == 0 || rank == 0) {
        dense_strides(dims, c->result->rank, s->result);
        return true;
    }
    int64_t base = s->input[rank - 1], run = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        run *= own[i];
        bool continues = i > 0 && (own[i - 1] == 1 || s->input[i - 1] == run * base);
        if (continues) continue;
        int64_t filled = 1;
        while (at >= 0 && (filled < run || dims[at] == 1)) {
            s->result[at] = filled * base;
            filled *= dims[at--];
        }
        if (filled != run) return false;
        if (i > 0) base = s->input[i - 1];
        run = 1;
    }
    return at < 0;
}

/* A dim that stays 1 keeps its stride; one that is repeated has none. */
static bool strides_expand(const ViewCase *c, const ViewStrides *s) {
    int32_t added = c->result->rank - c->input->rank;
    for (int32_t i = added; i < c->result->rank; i++)
        if (dim_is(c->result->dims[i], 1)) s->result[i] = s->input[i - added];
    return true;
}

/* What a step beyond the axis behind it would be. */
static bool strides_unsqueeze(const ViewCase *c, const ViewStrides *s) {
    int64_t axis = attr_int(c->attrs, ATTR_AXIS);
    s->result[axis] = axis < c->input->rank ? s->input[axis] * type_sizes(c->input)[axis] : 1;
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

const ViewRow view_rows[OP_COUNT] = {
    [OP_RESHAPE] = {shape_reshape, map_reshape, strides_reshape, .basic = true,
                    .inverse = INVERSE_RESHAPE},
    [OP_PERMUTE] = {shape_permute, map_permute, .basic = true, .inverse = INVERSE_PERMUTE},
    [OP_TRANSPOSE] = {shape_transpose, map_transpose, .inverse = INVERSE_SELF},
    [OP_EXPAND] = {shape_expand, map_expand, strides_expand, .basic = true,
                   .inverse = INVERSE_RESHAPE},
    [OP_SQUEEZE] = {shape_squeeze, map_squeeze, .inverse = INVERSE_RESHAPE},
    [OP_UNSQUEEZE] = {shape_unsqueeze, map_unsqueeze, strides_unsqueeze,
                      .inverse = INVERSE_RESHAPE},
    [OP_SLICE] = {shape_slice, map_slice, .basic = true, .inverse = INVERSE_SLICE},
    [OP_SELECT] = {shape_select, map_select, .inverse = INVERSE_SLICE},
    [OP_FLIP] = {shape_flip, map_flip, .inverse = INVERSE_SLICE},
    [OP_DIAGONAL] = {shape_diagonal, map_diagonal, .basic = true, .inverse = INVERSE_UPDATE,
                     .update = OP_PUT_DIAGONAL},
    [OP_NARROW] = {shape_narrow, map_narrow, .inverse = INVERSE_SLICE},
    [OP_WINDOWS] = {shape_windows, map_windows, .basic = true, .inverse = INVERSE_NONE},
};
