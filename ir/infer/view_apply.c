/* What follows from the rows of ir/infer/view.c without a graph: coordinates and strides. */
#include "ir/infer/view_row.h"

const ViewRow *view_row(OpCode op) {
    const ViewRow *row = &view_rows[op];
    SN_ASSERT(row->shape && row->map && row->inverse != INVERSE_UNSAID);
    SN_ASSERT((row->inverse == INVERSE_UPDATE) == op_is(row->update, CLASS_UPDATE));
    return row;
}

sn_status shape_view(Infer *call) {
    return view_row(call->op)->shape(call);
}

bool view_is_basic(OpCode op) {
    return view_row(op)->basic;
}

bool view_is_part(OpCode op) {
    uint8_t inverse = view_row(op)->inverse;
    return inverse == INVERSE_SLICE || inverse == INVERSE_UPDATE;
}

void view_identity(ViewMap *map, int32_t rank) {
    map->regroups = false;
    map->rank = rank;
    for (int32_t i = 0; i < rank; i++) map->axes[i] = (ViewAxis){.step = dim_of(1), .from = i};
}

void view_map(DimTable *table, OpCode view, AttrView attrs, const TensorType *input,
              const TensorType *result, ViewMap *map) {
    const ViewCase c = {table, attrs, input, result};
    view_identity(map, input->rank);
    view_row(view)->map(&c, map);
}

bool view_reorders(const ViewMap *map, int64_t *order) {
    int32_t last = -1, count = 0;
    bool ascends = true;
    for (int32_t i = 0; i < map->rank; i++) {
        int32_t from = map->axes[i].from;
        if (from < 0) continue;
        ascends = ascends && from >= last; /* equal: a diagonal */
        last = from;
        order[from] = i;
        count++;
    }
    SN_ASSERT(ascends || count == map->rank);
    return !ascends;
}

/* ---- chains ---------------------------------------------------------------------------------- */

/* The first axis from `at` on that is not of size 1. */
static int32_t next_axis(const TensorType *type, int32_t at) {
    while (at < type->rank && dim_is(type->dims[at], 1)) at++;
    return at;
}

/* A reshape in which only axes of size 1 come and go, as a map of axes. */
static bool map_ones(const TensorType *input, const TensorType *result, ViewMap *map) {
    view_identity(map, input->rank);
    for (int32_t i = 0; i < input->rank; i++) map->axes[i].from = -1;
    int32_t x = next_axis(input, 0), y = next_axis(result, 0);
    while (x < input->rank && y < result->rank && dim_same(input->dims[x], result->dims[y])) {
        map->axes[x].from = y;
        x = next_axis(input, x + 1);
        y = next_axis(result, y + 1);
    }
    return x == input->rank && y == result->rank;
}

static bool follows_alone(const ViewMap *map) {
    uint32_t followed = 0;
    for (int32_t i = 0; i < map->rank; i++) {
        int32_t from = map->axes[i].from;
        if (map->axes[i].inner) return false;
        if (from < 0) continue;
        if (followed >> from & 1) return false;
        followed |= 1u << from;
    }
    return true;
}

bool view_compose(DimTable *table, AttrView view, const TensorType *input, const TensorType *result,
                  ViewMap *map) {
    ViewMap own;
    SN_ASSERT(map->rank == result->rank && !map->regroups);
    view_map(table, view.op, view, input, result, &own);
    if (own.regroups ? !map_ones(input, result, &own) : !follows_alone(&own)) return false;
    for (int32_t i = 0; i < own.rank; i++) {
        ViewAxis *axis = &own.axes[i];
        if (axis->from < 0) continue;
        Dim size = result->dims[axis->from];
        if (dim_is(size, 0) || dim_is(size, 1)) axis->step = dim_of(1); /* no step is taken */
        const ViewAxis *inner = &map->axes[axis->from];
        axis->start = dim_add(table, axis->start, dim_mul(table, inner->start, axis->step));
        axis->step = dim_mul(table, axis->step, inner->step);
        axis->from = inner->from;
    }
    *map = own;
    return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

bool view_layout(AttrView attrs, const TensorType *input, const int64_t *input_strides,
                 const TensorType *result, int64_t *strides, int64_t *offset) {
    ViewMap map;
    view_map(NULL, attrs.op, attrs, input, result, &map);
    *offset = 0;
    for (int32_t i = 0; i < result->rank; i++) strides[i] = 0;
    for (int32_t i = 0; !map.regroups && i < map.rank; i++) {
        const ViewAxis *axis = &map.axes[i];
        if (axis->from >= 0) strides[axis->from] += axis->step.word * input_strides[i];
        if (axis->inner) strides[axis->inner - 1] += axis->inner_step.word * input_strides[i];
        bool empty = axis->from >= 0 && dim_is(result->dims[axis->from], 0);
        if (!empty) *offset += axis->start.word * input_strides[i]; /* nothing begins anywhere */
    }
    const ViewCase c = {NULL, attrs, input, result};
    const ViewStrides s = {input_strides, strides};
    const ViewRow *row = view_row(attrs.op);
    return !row->strides || row->strides(&c, &s);
}

bool reshape_splits(const TensorType *input, const TensorType *result) {
    const int64_t *own = type_sizes(input), *dims = type_sizes(result);
    int32_t at = 0;
    for (int32_t i = 0; i < input->rank; i++) {
        int64_t filled = 1;
        while (at < result->rank && filled < own[i]) filled *= dims[at++];
        if (filled != own[i]) return false;
    }
    return true;
}
