/* decompose, ops that move elements: views in terms of slice, permute and reshape; joins as writes
 * into uninitialised memory; indexing with i64 indices; generated tensors. */
#include "passes/rewrite/decompose.h"

#include "ir/graph/view_graph.h"

static NodeId at_least_1d(GraphBuilder *b, NodeId x) {
    const Dim one = {1};
    return gb_type(b, x).rank ? x : gb_reshape(b, x, &one, 1);
}

/* The elements that the view leaves in, in the input's order of axes. */
static NodeId view_part(Rewrite *r, const ViewMap *map) {
    TensorType type = node_type(r->from, r->id);
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK], dims[SN_MAX_RANK];
    for (int32_t i = 0; i < map->rank; i++) {
        const ViewAxis *axis = &map->axes[i];
        starts[i] = axis->start;
        dims[i] = axis->from < 0 ? dim_of(1) : type.dims[axis->from];
        steps[i] = dim_is(dims[i], 0) ? dim_of(1) : axis->step; /* nothing runs in no direction */
    }
    return gb_slice(r->b, rewrite_input(r, 0), starts, steps, dims);
}

/* A view as a slice, then axes in another order, then axes of size 1 that come or go. */
NodeId rule_view(Rewrite *r) {
    ViewMap map;
    view_map_of(r->from, r->id, &map);
    NodeId x = view_is_part((OpCode)r->node->op) ? view_part(r, &map) : rewrite_input(r, 0);
    int64_t order[SN_MAX_RANK];
    if (view_reorders(&map, order)) x = gb_permute(r->b, x, order, map.rank);
    return rewrite_finish(r, x);
}

/* Writes `part` into `whole` at `start` of `axis`. */
static NodeId put(GraphBuilder *b, NodeId whole, NodeId part, int32_t axis, Dim start) {
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK];
    for (int32_t i = 0; i < SN_MAX_RANK; i++) {
        starts[i] = i == axis ? start : dim_of(0);
        steps[i] = dim_of(1);
    }
    return gb_put_slice(b, whole, part, starts, steps);
}

/* cat and stack: each part becomes a write. A single part is a copy. */
static NodeId join(Rewrite *r, bool stack) {
    GraphBuilder *b = r->b;
    TensorType type = node_type(r->from, r->id);
    int32_t axis = (int32_t)node_attr_int(r->from, r->id, ATTR_AXIS);
    if (type_is_empty(b->graph->table, &type)) /* memory that nothing is written to has no value */
        return gb_zeros(b, &type);
    NodeId whole = gb_empty(b, &type);
    Dim start = dim_of(0);
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId part = gb_cast(b, (sn_dtype)type.dtype, rewrite_input(r, i));
        TensorType shape = gb_type(b, part);
        if (stack) {
            shape = type;
            shape.dims[axis] = dim_of(1);
            part = gb_reshape(b, part, shape.dims, shape.rank);
        } else if (shape.rank != type.rank) {
            continue; /* the 1-d empty tensor that cat skips */
        }
        if (type_is_empty(b->graph->table, &shape)) continue;
        whole = put(b, whole, part, axis, start);
        start = dim_add(b->graph->table, start, shape.dims[axis]);
    }
    return whole;
}

NodeId rule_cat(Rewrite *r) {
    return join(r, false);
}

NodeId rule_stack(Rewrite *r) {
    return join(r, true);
}

/* A pad that crops and grows, in two steps. */
typedef struct PadParts {
    Dim grow[2 * SN_MAX_RANK]; /* pads of which none is negative */
    Dim starts[SN_MAX_RANK];   /* of the slice before */
    Dim dims[SN_MAX_RANK];     /* its sizes */
    bool crops, grows;         /* is there such a step? */
} PadParts;

/* What the two sides of an axis do. False where they crop more than there is: inference knows that they do
 * not of numbers alone, of sizes that vary it is noted here. */
static bool part_axis(DimTable *table, const Dim *pads, int32_t axis, Dim *grow, PadParts *parts) {
    const Dim zero = dim_of(0);
    bool crops[2];
    for (int32_t side = 0; side < 2; side++) {
        crops[side] = dim_less(table, pads[side], zero);
        grow[side] = crops[side] ? zero : pads[side];
        parts->crops = parts->crops || crops[side];
        parts->grows = parts->grows || !dim_is(grow[side], 0);
        if (crops[side]) parts->dims[axis] = dim_add(table, parts->dims[axis], pads[side]);
    }
    if (crops[0]) parts->starts[axis] = dim_sub(table, zero, pads[0]);
    return !(crops[0] || crops[1]) || !dim_less(table, parts->dims[axis], zero);
}

/* Crops first, so that what stays of pad only grows. */
NodeId rule_pad(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    TensorType type = gb_type(b, x);
    int32_t count;
    const Dim *pads = node_attr_dims(r->from, r->id, ATTR_PADS, &count);
    Dim steps[SN_MAX_RANK];
    PadParts parts = {.crops = false};
    memcpy(parts.dims, type.dims, sizeof parts.dims);
    for (int32_t i = 0; i < type.rank; i++) steps[i] = dim_of(1);
    for (int32_t i = 0; i < count; i += 2)
        if (!part_axis(b->graph->table, &pads[i], type.rank - 1 - i / 2, &parts.grow[i], &parts))
            return gb_fail(b, SN_ERROR_INTERNAL, "pad crops more than there is");
    if (parts.crops) x = gb_slice(b, x, parts.starts, steps, parts.dims);
    sn_dtype result = rewrite_dtype(r);
    if (!parts.grows) return gb_op1(b, OP_CLONE, gb_cast(b, result, x));
    double value = node_attr_double(r->from, r->id, ATTR_VALUE);
    return gb_cast(b, result, gb_pad(b, x, parts.grow, count, value));
}

/* Is a look-up without elements? No index is read then, and none can be out of range. In a kernel with
 * other ops, whose loops are not empty, or in one that reads the index outside its empty loop, it would
 * be: so sizes that vary have to stay on the side where they are. */
static bool looks_nothing_up(const GraphBuilder *b, const TensorType *type) {
    DimTable *table = b->graph->table;
    return dim_equal(table, dims_count(table, type->dims, type->rank), dim_of(0));
}

static NodeId look_up(Rewrite *r, OpCode op, const TensorType *result, NodeId x, int64_t axis,
                      NodeId index) {
    if (looks_nothing_up(r->b, result)) return gb_zeros(r->b, result);
    return gb_look_up(r->b, op, x, axis, index);
}

NodeId decompose_gather(Rewrite *r, NodeId x, int64_t axis, NodeId index) {
    index = gb_cast(r->b, SN_I64, index);
    TensorType result = gb_type(r->b, index);
    result.dtype = (uint8_t)gb_dtype(r->b, x);
    return look_up(r, OP_GATHER, &result, x, axis, index);
}

static NodeId index_select(Rewrite *r, NodeId x, int64_t axis, NodeId index) {
    index = gb_cast(r->b, SN_I64, index);
    TensorType result = gb_type(r->b, x);
    result.dims[axis] = gb_count(r->b, index);
    return look_up(r, OP_INDEX_SELECT, &result, x, axis, index);
}

NodeId rule_gather(Rewrite *r) {
    GraphBuilder *b = r->b;
    int64_t axis = node_attr_int(r->from, r->id, ATTR_AXIS);
    NodeId x = rewrite_input(r, 0), index = rewrite_input(r, 1);
    if (gb_type(b, x).rank == 0) { /* as 1-d tensors of one element */
        x = at_least_1d(b, x);
        Dim count = gb_count(b, index);
        index = gb_reshape(b, index, &count, 1);
    }
    index = at_least_1d(b, index);
    return rewrite_finish(r, decompose_gather(r, x, axis, index));
}

NodeId rule_index_select(Rewrite *r) {
    NodeId x = at_least_1d(r->b, rewrite_input(r, 0));
    NodeId index = at_least_1d(r->b, rewrite_input(r, 1));
    int64_t axis = node_attr_int(r->from, r->id, ATTR_AXIS);
    return rewrite_finish(r, index_select(r, x, axis, index));
}

NodeId rule_embedding(Rewrite *r) {
    NodeId index = rewrite_input(r, 1);
    Dim count = gb_count(r->b, index);
    index = gb_reshape(r->b, index, &count, 1);
    return rewrite_finish(r, index_select(r, rewrite_input(r, 0), 0, index));
}

NodeId rule_tri(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, 0);
    TensorType type = gb_type(b, x);
    const Dim *dims = type.dims + type.rank - 2;
    Dim diagonal = node_attr_dim(r->from, r->id, ATTR_DIAGONAL);
    NodeId row = gb_iota(b, dims, 2, 0), column = gb_iota(b, dims, 2, 1);
    NodeId limit = gb_op2(b, OP_ADD, row, gb_size(b, SN_I64, diagonal));
    OpCode kept = r->node->op == OP_TRIL ? OP_GE : OP_LE;
    NodeId y = gb_widen(b, x);
    NodeId zero = gb_literal(b, gb_dtype(b, y), 0);
    y = gb_op3(b, OP_WHERE, gb_op2(b, kept, limit, column), y, zero);
    return gb_cast(b, (sn_dtype)type.dtype, y);
}

NodeId rule_arange(Rewrite *r) {
    GraphBuilder *b = r->b;
    TensorType type = node_type(r->from, r->id);
    sn_dtype dtype = dtype_is_float((sn_dtype)type.dtype) ? SN_F64 : SN_I64;
    NodeId start = rewrite_number(r, dtype, ATTR_START);
    NodeId step = rewrite_number(r, dtype, ATTR_STEP);
    NodeId index = gb_cast(b, dtype, gb_iota(b, type.dims, 1, 0));
    NodeId y = gb_op2(b, OP_ADD, start, gb_op2(b, OP_MUL, index, step));
    return gb_cast(b, (sn_dtype)type.dtype, y);
}

NodeId rule_full(Rewrite *r) {
    TensorType type = node_type(r->from, r->id);
    NodeId value = rewrite_number(r, (sn_dtype)type.dtype, ATTR_VALUE);
    /* A copy, so that the result is memory of its own like any other. */
    return gb_op1(r->b, OP_CLONE, gb_expand(r->b, value, type.dims, type.rank));
}

NodeId rule_one_hot(Rewrite *r) {
    NodeId index = gb_cast(r->b, SN_I64, rewrite_input(r, 0));
    TensorType type = node_type(r->from, r->id);
    if (looks_nothing_up(r->b, &type)) return gb_zeros(r->b, &type);
    return gb_one_hot(r->b, index, node_attr_dim(r->from, r->id, ATTR_CLASSES));
}

/* scatter_add (summed in f32 for half types, rounded once) and index_copy. */
NodeId rule_scatter(Rewrite *r) {
    GraphBuilder *b = r->b;
    OpCode op = (OpCode)r->node->op;
    NodeId x = rewrite_input(r, 0), index = gb_cast(b, SN_I64, rewrite_input(r, 1));
    NodeId source = rewrite_input(r, 2);
    if (op == OP_SCATTER_ADD) {
        x = gb_widen(b, x);
        source = gb_widen(b, source);
    }
    x = at_least_1d(b, x);
    index = at_least_1d(b, index);
    source = at_least_1d(b, source);
    int64_t axis = node_attr_int(r->from, r->id, ATTR_AXIS);
    return rewrite_finish(r, gb_scatter(b, op, x, axis, index, source));
}

/* The half types draw as many bits as they have: rounding a longer number could give 1. */
NodeId rule_random(Rewrite *r) {
    GraphBuilder *b = r->b;
    sn_dtype dtype = rewrite_dtype(r);
    TensorType drawn = node_type(r->from, r->id);
    drawn.dtype = (uint8_t)dtype_compute(dtype);
    int64_t offset = node_attr_int(r->from, r->id, ATTR_OFFSET);
    NodeId u = gb_draw(b, (OpCode)r->node->op, &drawn, rewrite_input(r, 0), offset);
    if (r->node->op == OP_RAND && dtype_is_half(dtype)) {
        double steps = dtype == SN_F16 ? 0x1p11 : 0x1p8;
        NodeId step = gb_op2(b, OP_MUL, u, gb_literal(b, SN_F32, steps));
        NodeId width = gb_literal(b, SN_F32, 1 / steps);
        u = gb_op2(b, OP_MUL, gb_op1(b, OP_FLOOR, step), width);
    }
    return gb_cast(b, dtype, u);
}

NodeId rule_dropout(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    sn_dtype dtype = gb_dtype(b, x);
    TensorType drawn = gb_type(b, x);
    drawn.dtype = SN_F32;
    double p = node_attr_double(r->from, r->id, ATTR_P);
    int64_t offset = node_attr_int(r->from, r->id, ATTR_OFFSET);
    NodeId u = gb_draw(b, OP_RAND, &drawn, rewrite_input(r, 1), offset);
    NodeId kept = gb_op2(b, OP_GE, u, gb_hoisted(b, SN_F32, p));
    NodeId scale = gb_hoisted(b, dtype, p < 1 ? 1 / (1 - p) : 0);
    NodeId zero = gb_literal(b, dtype, 0);
    NodeId y = gb_op3(b, OP_WHERE, kept, gb_op2(b, OP_MUL, x, scale), zero);
    return gb_cast(b, rewrite_dtype(r), y);
}
