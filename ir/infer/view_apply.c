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

void view_map(DimTable *table, OpCode view, AttrView attrs, const TensorType *input,
              const TensorType *result, ViewMap *map) {
    const ViewCase c = {table, attrs, input, result};
    map->regroups = false;
    map->rank = input->rank;
    for (int32_t i = 0; i < map->rank; i++) map->axes[i] = (ViewAxis){dim_of(0), dim_of(1), i};
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
        bool empty = axis->from >= 0 && dim_is(result->dims[axis->from], 0);
        if (!empty) *offset += axis->start.word * input_strides[i]; /* nothing begins anywhere */
    }
    const ViewCase c = {NULL, attrs, input, result};
    const ViewStrides s = {input_strides, strides};
    const ViewRow *row = view_row(attrs.op);
    return !row->strides || row->strides(&c, &s);
}
