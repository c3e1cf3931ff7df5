/* decompose, ops that move elements: views in terms of slice, permute and reshape; joins as writes
 * into uninitialised memory; indexing with i64 indices; generated tensors. */
#include "passes/rewrite/decompose.h"

#include "base/status.h"
#include "ir/graph/view_graph.h"

static NodeId finish_dims(Rewrite *r, NodeId x) {
    TensorType type = node_type(r->from, r->id);
    return rw_reshape(r, x, type.dims, type.rank);
}

/* x[start + i * step], i < dim, along every axis. */
static NodeId slice(Rewrite *r, NodeId x, const Dim *starts, const Dim *steps, const Dim *dims) {
    int32_t rank = rw_type(r, x).rank;
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, starts, rank);
    attr_add_dims(&attrs, steps, rank);
    attr_add_dims(&attrs, dims, rank);
    return rw_emit(r, OP_SLICE, &x, 1, &attrs);
}

/* The elements that the view leaves in, in the input's order of axes. */
static NodeId view_part(Rewrite *r, const ViewMap *map) {
    TensorType type = node_type(r->from, r->id);
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK], dims[SN_MAX_RANK];
    for (int32_t i = 0; i < map->rank; i++) {
        const ViewAxis *axis = &map->axes[i];
        starts[i] = axis->start;
        steps[i] = axis->step;
        dims[i] = axis->from < 0 ? dim_of(1) : type.dims[axis->from];
    }
    return slice(r, rw_input(r, 0), starts, steps, dims);
}

/* A view as a slice, then axes in another order, then axes of size 1 that come or go. */
NodeId rule_view(Rewrite *r) {
    ViewMap map;
    view_map_of(r->from, r->id, &map);
    NodeId x = view_is_part((OpCode)r->node->op) ? view_part(r, &map) : rw_input(r, 0);
    int64_t order[SN_MAX_RANK];
    if (view_reorders(&map, order)) x = rw_permute(r, x, order, map.rank);
    return finish_dims(r, x);
}

static NodeId empty(Rewrite *r, const TensorType *type) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, type->dims, type->rank);
    attr_add_int(&attrs, type->dtype);
    return rw_emit(r, OP_EMPTY, NULL, 0, &attrs);
}

/* Writes `part` into `whole` at `start` of `axis`. */
static NodeId put(Rewrite *r, NodeId whole, NodeId part, int32_t axis, Dim start) {
    int32_t rank = rw_type(r, whole).rank;
    Dim starts[SN_MAX_RANK] = {{0}}, steps[SN_MAX_RANK];
    for (int32_t i = 0; i < rank; i++) steps[i] = dim_of(1);
    starts[axis] = start;
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, starts, rank);
    attr_add_dims(&attrs, steps, rank);
    return rw_emit(r, OP_PUT_SLICE, (NodeId[]){whole, part}, 2, &attrs);
}

/* cat and stack: each part becomes a write. A single part is a copy. */
static NodeId join(Rewrite *r, bool stack) {
    TensorType type = node_type(r->from, r->id);
    int32_t axis = (int32_t)node_attr_int(r->from, r->id, ATTR_AXIS);
    if (type_is_empty(r->to->table, &type)) /* memory that nothing is written to has no value */
        return rw_expand(r, rw_literal(r, (sn_dtype)type.dtype, 0), type.dims, type.rank);
    NodeId whole = empty(r, &type);
    Dim start = dim_of(0);
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId part = rw_cast(r, (sn_dtype)type.dtype, rw_input(r, i));
        TensorType shape = rw_type(r, part);
        if (stack) {
            shape = type;
            shape.dims[axis] = dim_of(1);
            part = rw_reshape(r, part, shape.dims, shape.rank);
        } else if (shape.rank != type.rank) {
            continue; /* the 1-d empty tensor that cat skips */
        }
        if (type_is_empty(r->to->table, &shape)) continue;
        whole = put(r, whole, part, axis, start);
        start = dim_add(r->to->table, start, shape.dims[axis]);
    }
    return whole;
}

NodeId rule_cat(Rewrite *r) {
    return join(r, false);
}

NodeId rule_stack(Rewrite *r) {
    return join(r, true);
}

/* Crops first, so that what stays of pad only grows. */
NodeId rule_pad(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    TensorType type = rw_type(r, x);
    int32_t count;
    const Dim *pads = node_attr_dims(r->from, r->id, ATTR_PADS, &count);
    Dim grow[2 * SN_MAX_RANK], starts[SN_MAX_RANK] = {{0}}, steps[SN_MAX_RANK];
    bool crops = false, grows = false;
    for (int32_t i = 0; i < type.rank; i++) steps[i] = dim_of(1);
    for (int32_t i = 0; i < count; i++) {
        DimTable *table = r->to->table;
        int32_t axis = type.rank - 1 - i / 2;
        bool cropped = dim_less(table, pads[i], dim_of(0));
        grow[i] = cropped ? dim_of(0) : pads[i];
        crops = crops || cropped;
        grows = grows || !dim_is(grow[i], 0);
        if (!cropped) continue;
        if (i % 2 == 0) starts[axis] = dim_sub(table, dim_of(0), pads[i]);
        type.dims[axis] = dim_add(table, type.dims[axis], pads[i]);
        type.dims[axis] = dim_larger(table, type.dims[axis], dim_of(0));
    }
    if (crops) x = slice(r, x, starts, steps, type.dims);
    sn_dtype result = (sn_dtype)r->node->dtype;
    if (!grows) return rw_op1(r, OP_CLONE, rw_cast(r, result, x));
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, grow, count);
    attr_add_double(&attrs, node_attr_double(r->from, r->id, ATTR_VALUE));
    return rw_cast(r, result, rw_emit(r, OP_PAD, &x, 1, &attrs));
}

static NodeId with_axis(Rewrite *r, OpCode op, NodeId x, int64_t axis, NodeId index) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, axis);
    attr_add_int(&attrs, node_written_as(r->from, r->id)); /* as */
    return rw_emit(r, op, (NodeId[]){x, rw_cast(r, SN_I64, index)}, 2, &attrs);
}

NodeId rule_gather(Rewrite *r) {
    const Dim one = {1};
    int64_t axis = node_attr_int(r->from, r->id, ATTR_AXIS);
    NodeId x = rw_input(r, 0), index = rw_input(r, 1);
    if (rw_type(r, x).rank == 0) { /* as 1-d tensors of one element */
        x = rw_reshape(r, x, &one, 1);
        Dim count = rw_count(r, index);
        index = rw_reshape(r, index, &count, 1);
    } else if (rw_type(r, index).rank == 0) {
        index = rw_reshape(r, index, &one, 1);
    }
    return finish_dims(r, with_axis(r, OP_GATHER, x, axis, index));
}

NodeId rule_index_select(Rewrite *r) {
    NodeId x = rw_input(r, 0), index = rw_input(r, 1);
    const Dim one = {1};
    if (rw_type(r, x).rank == 0) x = rw_reshape(r, x, &one, 1);
    if (rw_type(r, index).rank == 0) index = rw_reshape(r, index, &one, 1);
    int64_t axis = node_attr_int(r->from, r->id, ATTR_AXIS);
    return finish_dims(r, with_axis(r, OP_INDEX_SELECT, x, axis, index));
}

NodeId rule_embedding(Rewrite *r) {
    NodeId index = rw_input(r, 1);
    Dim count = rw_count(r, index);
    index = rw_reshape(r, index, &count, 1);
    return finish_dims(r, with_axis(r, OP_INDEX_SELECT, rw_input(r, 0), 0, index));
}

NodeId rule_tri(Rewrite *r) {
    NodeId x = rw_input(r, 0);
    TensorType type = rw_type(r, x);
    const Dim *dims = type.dims + type.rank - 2;
    Dim diagonal = node_attr_dim(r->from, r->id, ATTR_DIAGONAL);
    NodeId row = rw_iota(r, dims, 2, 0), column = rw_iota(r, dims, 2, 1);
    NodeId limit = rw_op2(r, OP_ADD, row, rw_size(r, SN_I64, diagonal));
    OpCode kept = r->node->op == OP_TRIL ? OP_GE : OP_LE;
    NodeId y = rw_widen(r, x);
    NodeId zero = rw_literal(r, (sn_dtype)rw_type(r, y).dtype, 0);
    y = rw_op3(r, OP_WHERE, rw_op2(r, kept, limit, column), y, zero);
    return rw_cast(r, (sn_dtype)type.dtype, y);
}

NodeId rule_arange(Rewrite *r) {
    TensorType type = node_type(r->from, r->id);
    sn_dtype dtype = dtype_is_float((sn_dtype)type.dtype) ? SN_F64 : SN_I64;
    NodeId start = rw_number(r, dtype, ATTR_START);
    NodeId step = rw_number(r, dtype, ATTR_STEP);
    NodeId index = rw_cast(r, dtype, rw_iota(r, type.dims, 1, 0));
    NodeId y = rw_op2(r, OP_ADD, start, rw_op2(r, OP_MUL, index, step));
    return rw_cast(r, (sn_dtype)type.dtype, y);
}

NodeId rule_full(Rewrite *r) {
    TensorType type = node_type(r->from, r->id);
    NodeId value = rw_number(r, (sn_dtype)type.dtype, ATTR_VALUE);
    /* A copy, so that the result is memory of its own like any other. */
    return rw_op1(r, OP_CLONE, rw_expand(r, value, type.dims, type.rank));
}

NodeId rule_one_hot(Rewrite *r) {
    NodeId index = rw_cast(r, SN_I64, rw_input(r, 0));
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, node_attr_int(r->from, r->id, ATTR_CLASSES));
    return rw_emit(r, OP_ONE_HOT, &index, 1, &attrs);
}

/* scatter_add (summed in f32 for half types, rounded once) and index_copy. */
NodeId rule_scatter(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    NodeId x = rw_input(r, 0), index = rw_cast(r, SN_I64, rw_input(r, 1));
    NodeId source = rw_input(r, 2);
    sn_dtype dtype = (sn_dtype)r->node->dtype;
    if (op == OP_SCATTER_ADD) {
        x = rw_widen(r, x);
        source = rw_widen(r, source);
    }
    TensorType type = rw_type(r, x);
    const Dim one = {1};
    if (type.rank == 0) x = rw_reshape(r, x, &one, 1);
    if (rw_type(r, index).rank == 0) index = rw_reshape(r, index, &one, 1);
    if (rw_type(r, source).rank == 0) source = rw_reshape(r, source, &one, 1);
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, node_attr_int(r->from, r->id, ATTR_AXIS));
    NodeId y = rw_emit(r, op, (NodeId[]){x, index, source}, 3, &attrs);
    return finish_dims(r, rw_cast(r, dtype, y));
}

static NodeId draw(Rewrite *r, OpCode op, const TensorType *type, NodeId state) {
    sn_dtype dtype = dtype_compute((sn_dtype)type->dtype);
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, type->dims, type->rank);
    attr_add_int(&attrs, dtype);
    attr_add_int(&attrs, node_attr_int(r->from, r->id, ATTR_OFFSET));
    return rw_cast(r, (sn_dtype)type->dtype, rw_emit(r, op, &state, 1, &attrs));
}

/* The half types draw as many bits as they have: rounding a longer number could give 1. */
NodeId rule_random(Rewrite *r) {
    TensorType type = node_type(r->from, r->id), drawn = type;
    sn_dtype dtype = (sn_dtype)type.dtype;
    drawn.dtype = (uint8_t)dtype_compute(dtype);
    NodeId u = draw(r, (OpCode)r->node->op, &drawn, rw_input(r, 0));
    if (r->node->op == OP_RAND && dtype_is_half(dtype)) {
        double steps = dtype == SN_F16 ? 0x1p11 : 0x1p8;
        NodeId step = rw_op2(r, OP_MUL, u, rw_literal(r, SN_F32, steps));
        NodeId width = rw_literal(r, SN_F32, 1 / steps);
        u = rw_op2(r, OP_MUL, rw_op1(r, OP_FLOOR, step), width);
    }
    return rw_cast(r, dtype, u);
}

NodeId rule_dropout(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    TensorType type = rw_type(r, x);
    TensorType drawn = type;
    drawn.dtype = SN_F32;
    double p = node_attr_double(r->from, r->id, ATTR_P);
    NodeId u = draw(r, OP_RAND, &drawn, rw_input(r, 1));
    NodeId kept = rw_op2(r, OP_GE, u, rw_hoisted(r, SN_F32, p));
    sn_dtype dtype = (sn_dtype)type.dtype;
    NodeId scale = rw_hoisted(r, dtype, p < 1 ? 1 / (1 - p) : 0);
    NodeId zero = rw_literal(r, dtype, 0);
    NodeId y = rw_op3(r, OP_WHERE, kept, rw_op2(r, OP_MUL, x, scale), zero);
    return rw_cast(r, (sn_dtype)r->node->dtype, y);
}
