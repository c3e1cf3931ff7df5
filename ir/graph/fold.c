/* The fold stage of graph_emit, between inference and value numbering. A rewrite stands here only
 * if it is exact in every bit for every input, -0, subnormals, infinities and NaN included, and leaves
 * dtype and shape alone. Whatever needs judgement is a pass. Hoisted constants have no value here: theirs
 * arrives with each call.
 *
 * A recorded graph is not folded; the first to emit with folding is decompose. So only ops that it
 * leaves have rows here: permute for transpose, reshape for squeeze, slice for narrow and flip. */
#include "ir/graph/fold.h"

#include "ir/graph/nan.h"
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"

#include <math.h>

/* ---- questions about operands ---------------------------------------------------------------- */

static const Node *operand(const FoldCase *c, int32_t i) {
    return graph_node(c->graph, c->inputs[i]);
}

/* Operand 0, where the op that made it is the op itself; NULL where it is another. */
static const Node *made_alike(const FoldCase *c) {
    const Node *inner = operand(c, 0);
    return inner->op == c->op ? inner : NULL;
}

/* Operand i, when it can stand for the result: same dtype and dims, and not a weak constant, which
 * would count less in a later promotion. */
static NodeId keep(const FoldCase *c, int32_t i) {
    const TensorType *type = &c->types[i];
    bool same = type->dtype == c->result->dtype && type_same_dims(type, c->result);
    return same && type->strength != STRENGTH_WEAK ? c->inputs[i] : NODE_NONE;
}

/* The same in the place of an op that computes: where operand i may be a NaN that is not canonical, the
 * op would make it so (ir/graph/nan.h). */
static NodeId keep_computed(const FoldCase *c, int32_t i) {
    return node_nan_is_canonical(c->graph, c->inputs[i]) ? keep(c, i) : NODE_NONE;
}

/* Bits of operand i when it is a constant that is not hoisted. */
static bool constant(const FoldCase *c, int32_t i, uint64_t *bits) {
    const Node *node = operand(c, i);
    if (!node_is_const(node)) return false;
    GraphConst constant = node_const(c->graph, node);
    *bits = (uint64_t)constant.word;
    return constant.kind == CONST_LITERAL;
}

/* The same as a number. Integers far from 0 may round, which no caller here minds. */
static bool number(const FoldCase *c, int32_t i, double *value) {
    uint64_t bits;
    if (!constant(c, i, &bits)) return false;
    *value = dtype_bits_to_double((sn_dtype)c->types[i].dtype, bits);
    return true;
}

/* ---- constants ------------------------------------------------------------------------------- */

/* Does it convert to a dtype that it is told? */
static bool converts(const FoldCase *c) {
    return op_has_attr(c->op, ATTR_DTYPE);
}

/* Half types are evaluated in f32 and rounded at the end, as everywhere. */
static uint64_t evaluate(const FoldCase *c, uint64_t bits[3]) {
    sn_dtype from = (sn_dtype)c->types[0].dtype, to = (sn_dtype)c->result->dtype;
    if (converts(c)) return scalar_eval(c->op, to, from, bits);
    sn_dtype in = dtype_compute(from);
    for (int32_t i = 0; i < c->n_inputs; i++) bits[i] = dtype_bits_cast(in, from, bits[i]);
    uint64_t value = scalar_eval(c->op, dtype_compute(to), in, bits);
    if (dtype_is_float(to) && !op_has(c->op, F_MOVES))
        value = scalar_eval(OP_CANONICAL_NAN, dtype_compute(to), in, (uint64_t[3]){value, 0, 0});
    return dtype_bits_cast(to, dtype_compute(to), value);
}

/* Primitives have a value on constants. Operands of one dtype only, and no weak ones: conversions
 * between operands are not done here. */
static NodeId fold_constants(const FoldCase *c) {
    const KOpRow *row = kop_row(c->op);
    if (c->result->rank != 0 || row->form != KFORM_PRIM) return NODE_NONE;
    uint64_t bits[3] = {0};
    sn_dtype dtype = (sn_dtype)c->types[0].dtype;
    if (!(row->inputs >> dtype_compute(dtype) & 1)) return NODE_NONE;
    for (int32_t i = 0; i < c->n_inputs; i++) {
        if (!constant(c, i, &bits[i]) || c->types[i].dtype != dtype) return NODE_NONE;
        if (!converts(c) && c->types[i].strength == STRENGTH_WEAK) return NODE_NONE;
    }
    if (op_info[c->op].dtype_rule != DTYPE_BOOL && !converts(c) && c->result->dtype != dtype)
        return NODE_NONE;
    return graph_const(c->graph, (sn_dtype)c->result->dtype, evaluate(c, bits), false, false,
                       c->site, NULL);
}

/* ---- pointwise identities -------------------------------------------------------------------- */

/* What a dtype can hold; enough to tell which conversions lose nothing. */
typedef struct DtypeRange {
    uint8_t digits;    /* binary digits of the largest integer, or of a float's significand */
    uint16_t exponent; /* floats: largest exponent */
} DtypeRange;

static const DtypeRange ranges[SN_DTYPE_COUNT] = {
    [SN_BOOL] = {1, 0},   [SN_U8] = {8, 0},      [SN_I8] = {7, 0},    [SN_I16] = {15, 0},
    [SN_I32] = {31, 0},   [SN_I64] = {63, 0},    [SN_F16] = {11, 15}, [SN_BF16] = {8, 127},
    [SN_F32] = {24, 127}, [SN_F64] = {53, 1023},
};

/* True when every value of `from` is a value of `to`. */
static bool cast_is_exact(sn_dtype from, sn_dtype to) {
    if (from == to || from == SN_BOOL) return true;
    if (dtype_is_float(from) != dtype_is_float(to)) {
        /* The least signed integer is a power of two, so it needs no digit more. */
        return dtype_is_float(to) && ranges[from].digits <= ranges[to].digits;
    }
    if (dtype_is_signed(from) && !dtype_is_signed(to)) return false;
    return ranges[from].digits <= ranges[to].digits && ranges[from].exponent <= ranges[to].exponent;
}

/* cast(cast(x)) is one cast when the inner one is exact and the outer one follows the same rule
 * from x's own dtype: integers wrap into narrower integers but saturate when they come from a
 * float. */
static NodeId fold_cast(const FoldCase *c) {
    NodeId same = keep(c, 0);
    const Node *inner = made_alike(c);
    if (same != NODE_NONE || !inner) return same;
    NodeId x = node_inputs(c->graph, inner)[0];
    sn_dtype from = (sn_dtype)graph_node(c->graph, x)->dtype;
    sn_dtype middle = (sn_dtype)inner->dtype, to = (sn_dtype)c->result->dtype;
    if (!cast_is_exact(from, middle)) return NODE_NONE;
    if (from == to && !node_nan_is_canonical(c->graph, x)) return NODE_NONE; /* x itself would do */
    if (dtype_is_int(from) && dtype_is_float(middle) && dtype_is_int(to) &&
        !cast_is_exact(from, to))
        return NODE_NONE;
    return graph_emit(c->graph, OP_CAST, &x, 1, c->attrs, c->site, NULL);
}

static NodeId fold_neg(const FoldCase *c) {
    const Node *inner = made_alike(c);
    if (!inner) return NODE_NONE;
    NodeId x = node_inputs(c->graph, inner)[0];
    if (!node_nan_is_canonical(c->graph, x)) return NODE_NONE;
    return node_type(c->graph, x).strength == STRENGTH_WEAK ? NODE_NONE : x;
}

static NodeId fold_mul(const FoldCase *c) {
    double value;
    for (int32_t i = 0; i < 2; i++)
        if (number(c, i, &value) && value == 1.0 && keep_computed(c, 1 - i) != NODE_NONE)
            return c->inputs[1 - i];
    return NODE_NONE;
}

static NodeId fold_div(const FoldCase *c) {
    double value;
    return number(c, 1, &value) && value == 1.0 ? keep_computed(c, 0) : NODE_NONE;
}

/* True when operand i is the zero that changes no x it is added to: -0.0, since 0.0 + -0.0 is 0.0,
 * or 0 in integers. With `negated`, the one that changes no x it is taken from. */
static bool is_neutral_zero(const FoldCase *c, int32_t i, bool negated) {
    double value;
    if (!number(c, i, &value) || value != 0) return false;
    return !dtype_is_float((sn_dtype)c->result->dtype) || (signbit(value) != 0) != negated;
}

static NodeId fold_add(const FoldCase *c) {
    for (int32_t i = 0; i < 2; i++)
        if (is_neutral_zero(c, i, false) && keep_computed(c, 1 - i) != NODE_NONE)
            return c->inputs[1 - i];
    return NODE_NONE;
}

static NodeId fold_sub(const FoldCase *c) {
    return is_neutral_zero(c, 1, true) ? keep_computed(c, 0) : NODE_NONE;
}

static NodeId fold_where(const FoldCase *c) {
    uint64_t bits;
    if (!constant(c, 0, &bits)) return NODE_NONE;
    bool chosen = dtype_bits_cast(SN_BOOL, (sn_dtype)c->types[0].dtype, bits) != 0;
    return keep(c, chosen ? 1 : 2);
}

/* ---- views ----------------------------------------------------------------------------------- */

/* Views that keep the order of elements: the same dims mean the same value. */
static NodeId fold_same_dims(const FoldCase *c) {
    return keep(c, 0);
}

static NodeId fold_reshape(const FoldCase *c) {
    NodeId same = keep(c, 0);
    const Node *inner = made_alike(c);
    if (same != NODE_NONE || !inner) return same;
    NodeId x = node_inputs(c->graph, inner)[0];
    return graph_emit(c->graph, OP_RESHAPE, &x, 1, c->attrs, c->site, NULL);
}

static AttrView attrs_of(const FoldCase *c) {
    return attr_view(c->op, c->attrs);
}

/* A permute that leaves every axis, and one of another, which become one. */
static NodeId fold_permute(const FoldCase *c) {
    int32_t rank, again;
    const int64_t *axes = attr_list(attrs_of(c), ATTR_AXES, &rank), *before = NULL;
    const Node *inner = made_alike(c);
    if (inner) before = attr_list(node_attrs(c->graph, inner), ATTR_AXES, &again);
    int64_t total[SN_MAX_RANK];
    bool identity = true;
    for (int32_t i = 0; i < rank; i++) {
        total[i] = before ? before[axes[i]] : axes[i];
        identity = identity && total[i] == i;
    }
    NodeId x = before ? node_inputs(c->graph, inner)[0] : c->inputs[0];
    if (identity) return node_type(c->graph, x).strength == STRENGTH_WEAK ? NODE_NONE : x;
    if (!before) return NODE_NONE;
    AttrList merged;
    merged.count = 0;
    attr_add_list(&merged, total, rank);
    return graph_emit(c->graph, OP_PERMUTE, &x, 1, &merged, c->site, NULL);
}

/* A slice of each axis: elements start + i * step, i < dim. */
typedef struct Slice {
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK]; /* by axis */
    int32_t rank;                                /* axes */
} Slice;

static Slice slice_of(AttrView attrs) {
    Slice s;
    const Dim *starts = attr_dims(attrs, ATTR_STARTS, &s.rank);
    memcpy(s.starts, starts, sizeof *starts * (size_t)s.rank);
    memcpy(s.steps, attr_dims(attrs, ATTR_STEPS, &s.rank), sizeof *starts * (size_t)s.rank);
    return s;
}

/* The slice of a slice. Of one element no step is taken, and no elements begin anywhere. */
static void slice_within(DimTable *table, const Slice *outer, const Dim *dims, Slice *s) {
    for (int32_t i = 0; i < s->rank; i++) {
        bool none = dim_is(dims[i], 0), steps = !none && !dim_is(dims[i], 1);
        Dim way = none ? dim_of(0) : dim_mul(table, s->starts[i], outer->steps[i]);
        s->starts[i] = none ? dim_of(0) : dim_add(table, outer->starts[i], way);
        s->steps[i] = steps ? dim_mul(table, s->steps[i], outer->steps[i]) : dim_of(1);
    }
}

static bool slice_is_whole(const Slice *s, const Dim *dims) {
    for (int32_t i = 0; i < s->rank; i++) {
        bool at_begin = dim_is(s->starts[i], 0) || dim_is(dims[i], 0);
        bool dense = dim_is(s->steps[i], 1) || dim_is(dims[i], 0) || dim_is(dims[i], 1);
        if (!at_begin || !dense) return false;
    }
    return true;
}

static NodeId fold_slice(const FoldCase *c) {
    const Dim *dims = c->result->dims;
    Slice s = slice_of(attr_view(OP_SLICE, c->attrs));
    NodeId same = slice_is_whole(&s, dims) ? keep(c, 0) : NODE_NONE;
    const Node *inner = made_alike(c);
    if (same != NODE_NONE || !inner) return same;
    Slice outer = slice_of(node_attrs(c->graph, inner));
    NodeId x = node_inputs(c->graph, inner)[0];
    slice_within(c->graph->table, &outer, dims, &s);
    AttrList merged;
    merged.count = 0;
    attr_add_dims(&merged, s.starts, s.rank);
    attr_add_dims(&merged, s.steps, s.rank);
    attr_add_dims(&merged, dims, s.rank);
    return graph_emit(c->graph, OP_SLICE, &x, 1, &merged, c->site, NULL);
}

/* ---- the table ------------------------------------------------------------------------------- */

FoldFunction *const fold_functions[OP_COUNT] = {
    [OP_CAST] = fold_cast,        [OP_NEG] = fold_neg,         [OP_MUL] = fold_mul,
    [OP_DIV] = fold_div,          [OP_ADD] = fold_add,         [OP_SUB] = fold_sub,
    [OP_WHERE] = fold_where,      [OP_RESHAPE] = fold_reshape, [OP_PERMUTE] = fold_permute,
    [OP_EXPAND] = fold_same_dims, [OP_SLICE] = fold_slice,
};

NodeId fold_node(const FoldCase *c) {
    NodeId value = fold_constants(c);
    if (value != NODE_NONE) return value;
    FoldFunction *fold = fold_functions[c->op];
    return fold ? fold(c) : NODE_NONE;
}
