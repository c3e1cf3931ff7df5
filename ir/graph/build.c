/* The vocabulary of build.h: each helper lays out the attributes of its op as op.def has them. */
#include "ir/graph/build.h"

#include "base/small.h"
#include "base/status.h"
#include "ir/op/dtype.h"

#include <string.h>

enum { FEW_OPERANDS = 16 /* operands that need no allocation */ };

static NodeId note(GraphBuilder *b, NodeId made) {
    SN_ASSERT(made == NODE_NONE || (!b->failed && made < b->graph->nodes.count));
    b->failed = made == NODE_NONE;
    return made;
}

NodeId gb_fail(GraphBuilder *b, sn_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    error_vset(b->error, status, format, args);
    va_end(args);
    return note(b, NODE_NONE);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* What is said of a node that could not be emitted. */
static const TensorType failed_type = {
    .dtype = SN_F32,
    .rank = SN_MAX_RANK,
    .dims = {{1}, {1}, {1}, {1}, {1}, {1}, {1}, {1}},
};

TensorType gb_type(const GraphBuilder *b, NodeId x) {
    TensorType type;
    SN_ASSERT(x != NODE_NONE || b->failed);
    if (x == NODE_NONE) return failed_type;
    node_type_to(b->graph, x, &type);
    return type;
}

static int32_t rank_of(const GraphBuilder *b, NodeId x) {
    SN_ASSERT(x != NODE_NONE || b->failed);
    return x == NODE_NONE ? failed_type.rank : graph_node(b->graph, x)->rank;
}

sn_dtype gb_dtype(const GraphBuilder *b, NodeId x) {
    SN_ASSERT(x != NODE_NONE || b->failed);
    return x == NODE_NONE ? SN_F32 : (sn_dtype)graph_node(b->graph, x)->dtype;
}

Dim gb_count(const GraphBuilder *b, NodeId x) {
    SN_ASSERT(x != NODE_NONE || b->failed);
    return x == NODE_NONE ? dim_of(1) : node_count(b->graph, x);
}

Dim gb_reduced_count(const GraphBuilder *b, NodeId x, uint32_t mask) {
    TensorType type = gb_type(b, x);
    Dim count = dim_of(1);
    for (int32_t i = 0; i < type.rank; i++)
        if (mask >> i & 1) count = dim_mul(b->graph->table, count, type.dims[i]);
    return count;
}

bool gb_is_empty(const GraphBuilder *b, NodeId x) {
    return dim_is(gb_count(b, x), 0);
}

/* ---- any op ---------------------------------------------------------------------------------- */

NodeId gb_emit(GraphBuilder *b, OpCode op, const NodeId *inputs, int32_t n, const AttrList *attrs) {
    if (b->failed) return NODE_NONE;
    return note(b, graph_emit(b->graph, op, inputs, n, attrs, b->site, b->error));
}

NodeId gb_emit_like(GraphBuilder *b, AttrView attrs, const NodeId *inputs, int32_t n) {
    AttrList copy;
    attr_copy(&copy, attrs);
    return gb_emit(b, attrs.op, inputs, n, &copy);
}

NodeId gb_op1(GraphBuilder *b, OpCode op, NodeId x) {
    return gb_emit(b, op, &x, 1, NULL);
}

NodeId gb_op2(GraphBuilder *b, OpCode op, NodeId x, NodeId y) {
    return gb_emit(b, op, (NodeId[]){x, y}, 2, NULL);
}

NodeId gb_op3(GraphBuilder *b, OpCode op, NodeId x, NodeId y, NodeId z) {
    return gb_emit(b, op, (NodeId[]){x, y, z}, 3, NULL);
}

/* An op of one operand whose one attribute is a list. */
static NodeId with_list(GraphBuilder *b, OpCode op, NodeId x, const int64_t *list, int32_t count) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, list, count);
    return gb_emit(b, op, &x, 1, &attrs);
}

NodeId gb_along(GraphBuilder *b, OpCode op, NodeId x, int64_t axis) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, axis);
    return gb_emit(b, op, &x, 1, &attrs);
}

static NodeId copy_input(GraphBuilder *b, const Graph *from, NodeId id) {
    TensorType type = node_type(from, id);
    int32_t count;
    const Dim *strides = node_attr_dims(from, id, ATTR_STRIDES, &count);
    if (b->failed) return NODE_NONE;
    return note(b, graph_input(b->graph, &type, count ? strides : NULL, b->site, b->error));
}

NodeId gb_copy_op(GraphBuilder *b, const Graph *from, NodeId id, const NodeId *map,
                  const AttrList *attrs) {
    const Node *node = graph_node(from, id);
    SMALL(NodeId, FEW_OPERANDS) inputs;
    if (!small_open(&inputs, node->n_inputs)) {
        error_memory(b->error);
        return note(b, NODE_NONE);
    }
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(from, node)[i];
        inputs.data[i] = input == NODE_NONE ? NODE_NONE : map[input];
        SN_ASSERT(input == NODE_NONE || inputs.data[i] < b->graph->nodes.count);
    }
    NodeId copy = gb_emit(b, (OpCode)node->op, inputs.data, node->n_inputs, attrs);
    small_close(&inputs);
    return copy;
}

/* A constant as another graph holds it. */
static NodeId constant_of(GraphBuilder *b, sn_dtype dtype, GraphConst constant) {
    if (b->failed) return NODE_NONE;
    return note(b, graph_constant(b->graph, dtype, constant, b->site, b->error));
}

NodeId gb_copy(GraphBuilder *b, const Graph *from, NodeId id, const NodeId *map) {
    const Node *node = graph_node(from, id);
    if (node_is_input(node)) return copy_input(b, from, id);
    if (node_is_const(node)) return constant_of(b, (sn_dtype)node->dtype, node_const(from, node));
    AttrList attrs;
    attr_copy(&attrs, node_attrs(from, node));
    return gb_copy_op(b, from, id, map, &attrs);
}

/* ---- scalars --------------------------------------------------------------------------------- */

static NodeId number(GraphBuilder *b, sn_dtype dtype, double value, bool hoist) {
    if (b->failed) return NODE_NONE;
    uint64_t bits = dtype_bits_from_double(dtype, value);
    return note(b, graph_const(b->graph, dtype, bits, hoist, false, b->site, b->error));
}

NodeId gb_literal(GraphBuilder *b, sn_dtype dtype, double value) {
    return number(b, dtype, value, false);
}

NodeId gb_hoisted(GraphBuilder *b, sn_dtype dtype, double value) {
    return number(b, dtype, value, true);
}

NodeId gb_real(GraphBuilder *b, sn_dtype dtype, uint32_t number_of_call) {
    return constant_of(b, dtype, (GraphConst){number_of_call, CONST_REAL, false});
}

NodeId gb_size(GraphBuilder *b, sn_dtype dtype, Dim size) {
    if (dim_is_number(size)) return gb_hoisted(b, dtype, (double)size.word);
    return constant_of(b, dtype, (GraphConst){size.word, CONST_SIZE, false});
}

/* ---- dtypes ---------------------------------------------------------------------------------- */

NodeId gb_cast(GraphBuilder *b, sn_dtype dtype, NodeId x) {
    if (x == NODE_NONE || gb_dtype(b, x) == dtype) return x;
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, dtype);
    return gb_emit(b, OP_CAST, &x, 1, &attrs);
}

NodeId gb_widen(GraphBuilder *b, NodeId x) {
    return x == NODE_NONE ? x : gb_cast(b, dtype_compute(gb_dtype(b, x)), x);
}

NodeId gb_meet(GraphBuilder *b, sn_dtype dtype, NodeId x) {
    return gb_widen(b, gb_cast(b, dtype, x));
}

/* ---- tensors from nothing -------------------------------------------------------------------- */

NodeId gb_iota(GraphBuilder *b, const Dim *dims, int32_t rank, int32_t axis) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, dims, rank);
    attr_add_int(&attrs, axis);
    return gb_emit(b, OP_IOTA, NULL, 0, &attrs);
}

NodeId gb_empty(GraphBuilder *b, const TensorType *type) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, type->dims, type->rank);
    attr_add_int(&attrs, type->dtype);
    return gb_emit(b, OP_EMPTY, NULL, 0, &attrs);
}

NodeId gb_zeros(GraphBuilder *b, const TensorType *type) {
    NodeId zero = gb_literal(b, (sn_dtype)type->dtype, 0);
    return gb_expand(b, zero, type->dims, type->rank);
}

NodeId gb_draw(GraphBuilder *b, OpCode op, const TensorType *type, NodeId state, int64_t offset) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, type->dims, type->rank);
    attr_add_int(&attrs, type->dtype);
    attr_add_int(&attrs, offset);
    return gb_emit(b, op, &state, 1, &attrs);
}

/* ---- views ----------------------------------------------------------------------------------- */

static bool has_dims(const GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank) {
    if (x == NODE_NONE) return true; /* an emit failed */
    return node_has_dims(b->graph, graph_node(b->graph, x), dims, rank);
}

NodeId gb_regroup(GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank) {
    return with_list(b, OP_RESHAPE, x, words_of_dims(dims), rank);
}

NodeId gb_reshape(GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank) {
    return has_dims(b, x, dims, rank) ? x : gb_regroup(b, x, dims, rank);
}

NodeId gb_expand(GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank) {
    if (has_dims(b, x, dims, rank)) return x;
    return with_list(b, OP_EXPAND, x, words_of_dims(dims), rank);
}

NodeId gb_permute(GraphBuilder *b, NodeId x, const int64_t *axes, int32_t rank) {
    return with_list(b, OP_PERMUTE, x, axes, rank);
}

NodeId gb_exchange(GraphBuilder *b, NodeId x, int32_t axis0, int32_t axis1) {
    int64_t axes[SN_MAX_RANK];
    int32_t rank = rank_of(b, x);
    SN_ASSERT(axis0 >= 0 && axis0 < rank && axis1 >= 0 && axis1 < rank);
    for (int32_t i = 0; i < rank; i++) axes[i] = i;
    axes[axis0] = axis1;
    axes[axis1] = axis0;
    return gb_permute(b, x, axes, rank);
}

NodeId gb_slice(GraphBuilder *b, NodeId x, const Dim *starts, const Dim *steps, const Dim *dims) {
    int32_t rank = rank_of(b, x);
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, starts, rank);
    attr_add_dims(&attrs, steps, rank);
    attr_add_dims(&attrs, dims, rank);
    return gb_emit(b, OP_SLICE, &x, 1, &attrs);
}

NodeId gb_windows(GraphBuilder *b, NodeId x, int32_t axis, Dim length, int64_t step,
                  int64_t dilation) {
    AttrList attrs = {.count = 0};
    attr_add_int(&attrs, axis);
    attr_add_int(&attrs, length.word);
    attr_add_int(&attrs, step);
    attr_add_int(&attrs, dilation);
    return gb_emit(b, OP_WINDOWS, &x, 1, &attrs);
}

/* ---- moving elements ------------------------------------------------------------------------- */

NodeId gb_pad(GraphBuilder *b, NodeId x, const Dim *pads, int32_t count, double value) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, pads, count);
    attr_add_double(&attrs, value);
    return gb_emit(b, OP_PAD, &x, 1, &attrs);
}

NodeId gb_put_slice(GraphBuilder *b, NodeId whole, NodeId part, const Dim *starts,
                    const Dim *steps) {
    int32_t rank = rank_of(b, whole);
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, starts, rank);
    attr_add_dims(&attrs, steps, rank);
    return gb_emit(b, OP_PUT_SLICE, (NodeId[]){whole, part}, 2, &attrs);
}

NodeId gb_look_up(GraphBuilder *b, OpCode op, NodeId x, int64_t axis, NodeId index) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, axis);
    return gb_emit(b, op, (NodeId[]){x, index}, 2, &attrs);
}

NodeId gb_one_hot(GraphBuilder *b, NodeId index, Dim classes) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, classes.word);
    return gb_emit(b, OP_ONE_HOT, &index, 1, &attrs);
}

NodeId gb_scatter(GraphBuilder *b, OpCode op, NodeId x, int64_t axis, NodeId index, NodeId source) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, axis);
    return gb_emit(b, op, (NodeId[]){x, index, source}, 3, &attrs);
}

/* ---- reductions, contractions ---------------------------------------------------------------- */

static NodeId reduce_run(GraphBuilder *b, OpCode op, const NodeId *inputs, int32_t n_inputs,
                         int32_t first, int32_t last, ReduceOrder order) {
    int64_t axes[SN_MAX_RANK];
    SN_ASSERT(first >= 0 && first <= last && last < SN_MAX_RANK);
    for (int32_t i = first; i <= last; i++) axes[i - first] = i;
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, axes, last - first + 1);
    attr_add_int(&attrs, true); /* keepdim */
    if (op_has_attr(op, ATTR_ORDER)) attr_add_int(&attrs, order);
    return gb_emit(b, op, inputs, n_inputs, &attrs);
}

NodeId gb_reduce_run(GraphBuilder *b, OpCode op, NodeId x, int32_t first, int32_t last,
                     ReduceOrder order) {
    return reduce_run(b, op, &x, 1, first, last, order);
}

/* Of a permuted view the last axes are reduced, which in memory are one behind the other and before the
 * last one: what it is a view of is reduced, in the view's order, so that elements side by side are so in a
 * loop. */
static NodeId reduce_permuted(GraphBuilder *b, OpCode op, NodeId x, int32_t first, int32_t last) {
    enum { FEW = 16 };
    if (x == NODE_NONE) return NODE_NONE;
    const Node *node = graph_node(b->graph, x);
    if (node->op != OP_PERMUTE || last != node->rank - 1) return NODE_NONE;
    int32_t rank;
    const int64_t *axes = node_attr_list(b->graph, x, ATTR_AXES, &rank);
    for (int32_t i = first; i < last; i++)
        if (axes[i + 1] != axes[i] + 1) return NODE_NONE;
    NodeId base = node_inputs(b->graph, node)[0];
    TensorType type = gb_type(b, base);
    Dim side = type.dims[rank - 1];
    bool few = dim_is_number(side) && side.word < FEW;
    if (axes[last] == rank - 1 || few) return NODE_NONE;
    int64_t back[SN_MAX_RANK];
    memcpy(back, axes, (size_t)rank * sizeof *back);
    bool ordered = dtype_is_float((sn_dtype)type.dtype) && op_has_attr(op, ATTR_ORDER);
    NodeId y = gb_reduce_run(b, op, base, (int32_t)back[first], (int32_t)back[last],
                             ordered ? REDUCE_ROW : REDUCE_FREE);
    return gb_permute(b, y, back, rank);
}

NodeId gb_reduce(GraphBuilder *b, OpCode op, NodeId x, uint32_t mask) {
    int32_t rank = rank_of(b, x);
    for (int32_t last = rank - 1; last >= 0; last--) {
        if (!(mask >> last & 1)) continue;
        int32_t first = last;
        while (first > 0 && (mask >> (first - 1) & 1)) first--;
        NodeId y = reduce_permuted(b, op, x, first, last);
        x = y != NODE_NONE ? y : gb_reduce_run(b, op, x, first, last, REDUCE_BY_POSITION);
        last = first;
    }
    return x;
}

NodeId gb_contract(GraphBuilder *b, NodeId x, NodeId y, int32_t k) {
    return reduce_run(b, OP_CONTRACT, (NodeId[]){x, y}, 2, k, k, REDUCE_CHAIN);
}
