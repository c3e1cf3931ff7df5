/* Lowering, values: emits the value of a node at given coordinates, following views and inlined
 * nodes, loading what lies in memory, and remembering what was computed. */
#include "passes/lower/lower.h"

#include "base/assert.h"
#include "ir/op/dtype.h"
#include "ir/scalar/scalar.h"

/* ---- emission --------------------------------------------------------------------------------- */

int32_t lower_depth(const Lower *l, KValue x) {
    if (x == KVALUE_NONE || x >= l->value_depth.count) return DEPTH_ITEM;
    return l->value_depth.data[x];
}

/* The depth at which an instruction stands. It may be less than its operands': a constant that came of
 * folding serves everywhere. */
static int32_t standing_depth(const Lower *l, KValue value) {
    uint32_t region = kb_region(l->builder, value);
    if (region == 0 || region == l->regions[DEPTH_ITEM]) return DEPTH_ITEM;
    return l->b_symbol != LOWER_NO_AXIS && region == l->regions[DEPTH_B] ? DEPTH_B : DEPTH_K;
}

KValue lower_depth_at(Lower *l, KValue value, int32_t depth) {
    if (value == KVALUE_NONE) return lower_fail(l, "out of memory or a bad instruction");
    int32_t standing = standing_depth(l, value);
    if (depth > standing) depth = standing;
    while (l->value_depth.count <= value)
        if (!vec_push(&l->value_depth, (uint8_t)DEPTH_ITEM)) return lower_fail(l, "out of memory");
    if (depth > l->value_depth.data[value]) l->value_depth.data[value] = (uint8_t)depth;
    return value;
}

static int32_t deeper(int32_t x, int32_t y) {
    return x > y ? x : y;
}

/* Depth of an instruction with these operands; emission is set to go there. */
static int32_t emit_at(Lower *l, const KValue *in, int32_t count) {
    int32_t depth = DEPTH_ITEM;
    for (int32_t i = 0; i < count; i++) depth = deeper(depth, lower_depth(l, in[i]));
    kbuilder_at(l->builder, l->regions[depth]);
    return depth;
}

KValue lower_op(Lower *l, OpCode op, KValue x, KValue y, KValue z) {
    if (l->failed) return KVALUE_NONE;
    KValue in[3] = {x, y, z};
    int32_t depth = emit_at(l, in, 3);
    KValue value = z != KVALUE_NONE   ? kb_op3(l->builder, op, x, y, z)
                   : y != KVALUE_NONE ? kb_op2(l->builder, op, x, y)
                                      : kb_op1(l->builder, op, x);
    return lower_depth_at(l, value, depth);
}

KValue lower_inst(Lower *l, KInst inst, int32_t depth) {
    if (l->failed) return KVALUE_NONE;
    return lower_depth_at(l, kb_inst(l->builder, inst), depth);
}

static KValue at_item(Lower *l, KInst inst) {
    kbuilder_at(l->builder, l->regions[DEPTH_ITEM]);
    return lower_inst(l, inst, DEPTH_ITEM);
}

static KValue int_const(Lower *l, int64_t value) {
    kbuilder_at(l->builder, l->regions[DEPTH_ITEM]);
    return lower_depth_at(l, kb_int(l->builder, SN_I64, value), DEPTH_ITEM);
}

static KValue param_at(Lower *l, sn_dtype dtype, KCoef coef) {
    return at_item(l, (KInst){.op = OP_PARAM,
                              .dtype = (uint8_t)dtype,
                              .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE},
                              .imm = (uint64_t)coef.param});
}

static KValue bits_value(Lower *l, sn_dtype dtype, int64_t bits) {
    return param_at(l, dtype, lower_bits(l, bits));
}

static KValue size_value(Lower *l, Dim size) {
    return param_at(l, SN_I64, lower_param(l, size));
}

/* ---- index values ------------------------------------------------------------------------------ */

static int32_t symbol_depth(const Lower *l, int32_t symbol) {
    const IndexSymbol *s = &l->space.symbols.data[symbol];
    switch (s->kind) {
    case SYMBOL_AXIS:
        return l->depths.data[symbol];
    case SYMBOL_VALUE:
        return lower_depth(l, s->value);
    default:
        return lower_index_depth(l, &s->of);
    }
}

int32_t lower_index_depth(const Lower *l, const IndexExpr *e) {
    int32_t depth = DEPTH_ITEM;
    for (int32_t i = 0; i < e->count; i++)
        depth = deeper(depth, symbol_depth(l, e->terms[i].symbol));
    return depth;
}

static KValue axis_value(Lower *l, int32_t symbol) {
    KInst inst = {
        .op = OP_INDEX_OF, .dtype = SN_I64, .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
    int32_t depth = l->depths.data[symbol];
    if (symbol < l->n_grid) {
        inst.op = OP_GRID_INDEX;
        inst.imm = (uint64_t)symbol; /* renumbered when the grid is merged */
        l->grid_used[symbol] = true;
    } else if (symbol == l->k_symbol) {
        inst.imm = (uint64_t)l->k_axis;
    } else {
        inst.imm = (uint64_t)l->b_axis;
        l->b_used = true;
    }
    kbuilder_at(l->builder, l->regions[depth]);
    return lower_inst(l, inst, depth);
}

static KValue symbol_value(Lower *l, int32_t symbol) {
    IndexSymbol s = l->space.symbols.data[symbol]; /* a copy: the table may grow below */
    if (s.kind == SYMBOL_AXIS) return axis_value(l, symbol);
    if (s.kind == SYMBOL_VALUE) return s.value;
    KValue of = lower_index_value(l, &s.of);
    KValue divisor = size_value(l, s.divisor);
    return lower_op(l, s.kind == SYMBOL_DIV ? OP_INT_DIV : OP_FMOD, of, divisor, KVALUE_NONE);
}

KValue lower_index_value(Lower *l, const IndexExpr *e) {
    if (e->count < 0) return lower_fail(l, "an index is too complex");
    KValue sum = KVALUE_NONE;
    for (int32_t i = 0; i < e->count && !l->failed; i++) {
        KValue term = symbol_value(l, e->terms[i].symbol);
        if (!dim_is(e->terms[i].coef, 1))
            term = lower_op(l, OP_MUL, term, size_value(l, e->terms[i].coef), KVALUE_NONE);
        sum = sum == KVALUE_NONE ? term : lower_op(l, OP_ADD, sum, term, KVALUE_NONE);
    }
    if (sum == KVALUE_NONE)
        return dim_is_number(e->constant) ? int_const(l, e->constant.word)
                                          : size_value(l, e->constant);
    if (dim_is(e->constant, 0)) return sum;
    return lower_op(l, OP_ADD, sum, size_value(l, e->constant), KVALUE_NONE);
}

int32_t lower_value_symbol(Lower *l, KValue value, Dim size) {
    return index_value(&l->space, value, size);
}

/* ---- data errors --------------------------------------------------------------------------------- */

static bool note_check(Lower *l, NodeId node, Dim limit) {
    for (uint32_t i = 0; i < l->program->checks.count; i++)
        if (l->program->checks.data[i].code == node) return true;
    const Node *n = graph_node(l->graph, node);
    ProgramCheck check = {.code = node,
                          .op = (uint16_t)node_written_as(l->graph, node),
                          .site = n->site,
                          .limit = program_sizes(l->program, l->graph->table, &limit, 1)};
    if (check.limit == PLACE_NONE) return false;
    return vec_push(&l->program->checks, check);
}

static KValue both(Lower *l, KValue x, KValue y) {
    if (x == KVALUE_NONE) return y;
    return y == KVALUE_NONE ? x : lower_op(l, OP_BITWISE_AND, x, y, KVALUE_NONE);
}

static KValue in_range(Lower *l, KValue index, Dim size) {
    KValue low = lower_op(l, OP_GE, index, int_const(l, 0), KVALUE_NONE);
    KValue high = lower_op(l, OP_LT, index, size_value(l, size), KVALUE_NONE);
    return both(l, low, high);
}

KValue lower_checked_index(Lower *l, NodeId node, KValue index, Dim size) {
    if (l->failed || !note_check(l, node, size)) return lower_fail(l, "out of memory");
    KValue ok = in_range(l, index, size), wanted = ok;
    /* Where the value is not wanted, its index may be anything. */
    if (l->predicate != KVALUE_NONE) {
        KValue off = lower_op(l, OP_BITWISE_NOT, l->predicate, KVALUE_NONE, KVALUE_NONE);
        wanted = lower_op(l, OP_BITWISE_OR, ok, off, KVALUE_NONE);
    }
    KCoef code = lower_bits(l, node);
    emit_at(l, &wanted, 1);
    KInst check = {.op = OP_CHECK,
                   .dtype = SN_BOOL,
                   .in = {wanted, KVALUE_NONE, KVALUE_NONE},
                   .site = graph_node(l->graph, node)->site,
                   .imm = (uint64_t)code.param};
    if (l->failed) return KVALUE_NONE;
    kb_inst(l->builder, check);
    return lower_op(l, OP_WHERE, ok, index, int_const(l, 0));
}

/* ---- coordinates, stages -------------------------------------------------------------------------- */

void lower_own_index(Lower *l, NodeId shaped, IndexExpr *index) {
    const Node *node = graph_node(l->graph, shaped);
    Level level = group_level(l->graph->table, l->group, node_count(l->graph, shaped));
    if (level == LEVEL_NONE) {
        lower_fail(l, "a member has no level");
        return;
    }
    /* Outside of the loop over K there is no position along it; a K of 1 has as many rows as values. */
    if (l->stage < 0 && l->k_symbol != LOWER_NO_AXIS) level = LEVEL_ROW;
    index_unflatten(&l->space, level == LEVEL_FULL ? &l->full : &l->row, node_dims(l->graph, node),
                    node->rank, index);
}

int32_t lower_stage(Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    bool own = lower_is_member(l, id);
    bool view = l->fusion->roles[id] == ROLE_VIEW;
    if (!own && !view) return 0;
    if (own && l->stages[id] >= 0) return l->stages[id];
    int32_t stage = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(l->graph, node)[i];
        if (operand != NODE_NONE) stage = deeper(stage, lower_stage(l, operand));
    }
    if (op_is((OpCode)node->op, CLASS_REDUCE)) stage++;
    if (own) l->stages[id] = stage;
    return stage;
}

/* ---- memo ------------------------------------------------------------------------------------------ */

typedef struct MemoKey {
    const Lower *l;
    NodeId node;
    const IndexExpr *index;
    int32_t rank;
} MemoKey;

static bool memo_equal(const void *context, uint32_t at) {
    const MemoKey *key = context;
    const Memo *memo = &key->l->memos.data[at];
    if (memo->node != key->node || memo->predicate != key->l->predicate) return false;
    if (memo->stage >= 0 && memo->stage != key->l->stage) return false;
    for (int32_t i = 0; i < key->rank; i++)
        if (!index_equal(&key->l->coordinates.data[memo->index + (uint32_t)i], &key->index[i]))
            return false;
    return true;
}

static uint64_t memo_hash(const Lower *l, NodeId node, const IndexExpr *index, int32_t rank) {
    uint64_t hash = hash_mix(node, l->predicate);
    for (int32_t i = 0; i < rank; i++) {
        hash = hash_mix(hash, (uint64_t)index[i].constant.word);
        for (int32_t j = 0; j < index[i].count; j++)
            hash = hash_mix(hash, (uint64_t)index[i].terms[j].coef.word * 31 +
                                      (uint64_t)index[i].terms[j].symbol);
    }
    return hash;
}

static void keep_memo(Lower *l, NodeId node, const IndexExpr *index, int32_t rank, uint64_t hash,
                      KValue value) {
    Memo memo = {.node = node,
                 .stage = lower_depth(l, value) == DEPTH_K ? l->stage : -1,
                 .predicate = l->predicate,
                 .value = value,
                 .index = l->coordinates.count};
    bool ok = vec_reserve(&l->coordinates, (uint32_t)rank) && vec_push(&l->memos, memo) &&
              map_insert(&l->memo_map, hash, l->memos.count - 1);
    if (!ok) {
        lower_fail(l, "out of memory");
        return;
    }
    for (int32_t i = 0; i < rank; i++) l->coordinates.data[l->coordinates.count++] = index[i];
}

/* ---- values ------------------------------------------------------------------------------------------ */

static KValue load(Lower *l, NodeId node, const IndexExpr *index) {
    int32_t buffer = l->plan->buffer_of[node];
    if (buffer == NO_BUFFER) return lower_fail(l, "a value has no buffer");
    NodeId owner = program_buffer(l->program, (uint32_t)buffer)->node;
    const Node *shape = graph_node(l->graph, node);
    Dim strides[SN_MAX_RANK];
    memory_strides(l->graph, owner, node, strides);
    IndexExpr address = index_constant(dim_of(0));
    for (int32_t i = 0; i < shape->rank; i++) index_add(&l->space, &address, strides[i], &index[i]);
    uint32_t access = lower_access(l, (uint32_t)buffer, &address, false);
    if (l->failed) return KVALUE_NONE;
    int32_t depth = deeper(lower_access_depth(l, access), lower_depth(l, l->predicate));
    KInst inst = {.op = OP_LOAD,
                  .dtype = shape->dtype,
                  .flags = l->predicate != KVALUE_NONE ? K_PREDICATED : 0,
                  .in = {l->predicate, KVALUE_NONE, KVALUE_NONE},
                  .site = shape->site,
                  .imm = access};
    kbuilder_at(l->builder, l->regions[depth]);
    return lower_inst(l, inst, depth);
}

static KValue constant(Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    GraphConst c = node_const(l->graph, node);
    sn_dtype dtype = (sn_dtype)node->dtype;
    if (c.kind != CONST_LITERAL) {
        sn_dtype word = dtype_compute(dtype); /* parameter words hold compute types */
        uint64_t bits = (uint64_t)c.word;
        if (word != dtype && c.kind == CONST_HOISTED) bits = dtype_bits_cast(word, dtype, bits);
        bool real = c.kind == CONST_REAL;
        KCoef param = c.kind == CONST_SIZE ? lower_param_as(l, (Dim){c.word}, dtype)
                      : real || c.kind == CONST_SCALAR
                          ? lower_scalar(l, (uint32_t)c.word, real, dtype)
                          : lower_bits(l, (int64_t)bits);
        KValue value = param_at(l, word, param);
        if (word == dtype || l->failed) return value;
        return lower_depth_at(l, kb_cast(l->builder, dtype, value), DEPTH_ITEM);
    }
    kbuilder_at(l->builder, l->regions[DEPTH_ITEM]);
    return lower_depth_at(l, kb_const(l->builder, dtype, (uint64_t)c.word), DEPTH_ITEM);
}

/* Mode fast: a product that is added to something, or subtracted, becomes one multiply-add, which
 * rounds once instead of twice. KVALUE_NONE where the node is no such sum. */
static KValue contracted(Lower *l, const Node *node, const KValue *in) {
    bool minus = node->op == OP_SUB, sum = minus || node->op == OP_ADD;
    if (!l->context->fast || !sum || !dtype_is_float((sn_dtype)node->dtype)) return KVALUE_NONE;
    for (uint32_t i = 0; i < 2; i++) {
        const KInst *product = kb_at(l->builder, in[i]);
        if (!product || product->op != OP_MUL || product->dtype != node->dtype) continue;
        KValue x = product->in[0], y = product->in[1], other = in[1 - i];
        if (minus && i == 0) other = kb_op1(l->builder, OP_NEG, other);
        if (minus && i == 1) x = kb_op1(l->builder, OP_NEG, x);
        return kb_op3(l->builder, OP_FMA, x, y, other);
    }
    return KVALUE_NONE;
}

static KValue pointwise(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    KValue in[OP_MOST_PARAMS];
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(l->graph, node)[i];
        in[i] = KVALUE_NONE;
        if (operand == NODE_NONE) continue;
        TensorType type = node_type(l->graph, operand);
        IndexExpr at[SN_MAX_RANK];
        index_broadcast(&type, node->rank, index, at);
        in[i] = lower_value(l, operand, at);
    }
    if (l->failed) return KVALUE_NONE;
    if (node->op == OP_CLONE) return in[0];
    int32_t depth = emit_at(l, in, node->n_inputs);
    KValue value = contracted(l, node, in);
    if (value == KVALUE_NONE)
        value = scalar_expand(l->builder, (OpCode)node->op, (sn_dtype)node->dtype, in,
                              node->n_inputs, node_attrs(l->graph, node), l->context->error);
    return lower_depth_at(l, value, depth);
}

static KValue under(Lower *l, KValue predicate, NodeId node, const IndexExpr *index) {
    KValue outer = l->predicate;
    l->predicate = both(l, outer, predicate);
    KValue value = lower_value(l, node, index);
    l->predicate = outer;
    return value;
}

/* Element of input 0 at an index from data; nothing is loaded where the index is out of range. */
static KValue gather(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    NodeId x = node_inputs(l->graph, node)[0], which = node_inputs(l->graph, node)[1];
    int32_t axis = (int32_t)node_attr_int(l->graph, id, ATTR_AXIS);
    const Node *source = graph_node(l->graph, x);
    Dim size = node_dims(l->graph, source)[axis];
    KValue at = lower_value(l, which, node->op == OP_GATHER ? index : &index[axis]);
    if (l->failed) return KVALUE_NONE;
    KValue safe = lower_checked_index(l, id, at, size);
    IndexExpr inner[SN_MAX_RANK];
    for (int32_t i = 0; i < source->rank; i++) inner[i] = index[i];
    inner[axis] = index_symbol(lower_value_symbol(l, safe, size));
    if (!dim_equal(l->graph->table, size, dim_of(0))) return lower_value(l, x, inner);
    return under(l, in_range(l, at, size), x, inner);
}

static KValue pad(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    NodeId x = node_inputs(l->graph, node)[0];
    const Node *source = graph_node(l->graph, x);
    int32_t count;
    const Dim *pads = node_attr_dims(l->graph, id, ATTR_PADS, &count);
    IndexExpr inner[SN_MAX_RANK];
    KValue inside = KVALUE_NONE;
    for (int32_t i = 0; i < node->rank; i++) inner[i] = index[i];
    for (int32_t i = 0; i < count; i += 2) {
        int32_t axis = node->rank - 1 - i / 2;
        if (dim_is(pads[i], 0) && dim_is(pads[i + 1], 0)) continue;
        inner[axis].constant = dim_sub(l->graph->table, inner[axis].constant, pads[i]);
        KValue at = lower_index_value(l, &inner[axis]);
        inside = both(l, inside, in_range(l, at, node_dims(l->graph, source)[axis]));
    }
    sn_dtype dtype = (sn_dtype)node->dtype;
    uint64_t bits = dtype_bits_from_double(dtype, node_attr_double(l->graph, id, ATTR_VALUE));
    KValue value = under(l, inside, x, inner);
    KValue outside = bits_value(l, dtype, (int64_t)bits);
    return lower_op(l, OP_WHERE, inside, value, outside);
}

static KValue one_hot(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    Dim classes = node_dims(l->graph, node)[node->rank - 1];
    KValue at = lower_value(l, node_inputs(l->graph, node)[0], index);
    if (l->failed) return KVALUE_NONE;
    KValue safe = lower_checked_index(l, id, at, classes);
    KValue column = lower_index_value(l, &index[node->rank - 1]);
    KValue hit = lower_op(l, OP_EQ, safe, column, KVALUE_NONE);
    if (l->failed) return KVALUE_NONE;
    emit_at(l, &hit, 1);
    return lower_depth_at(l, kb_cast(l->builder, SN_I64, hit), lower_depth(l, hit));
}

static KValue random(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    NodeId state = node_inputs(l->graph, node)[0];
    IndexExpr word = index_constant(dim_of(0));
    KValue seed = lower_value(l, state, &word);
    word = index_constant(dim_of(1));
    KValue counter = lower_value(l, state, &word);
    IndexExpr position = index_flatten(&l->space, index, node_dims(l->graph, node), node->rank);
    Dim offset = node_attr_dim(l->graph, id, ATTR_OFFSET);
    position.constant = dim_add(l->graph->table, position.constant, offset);
    KValue number = lower_index_value(l, &position);
    if (l->failed) return KVALUE_NONE;
    return lower_random(l, (OpCode)node->op, (sn_dtype)node->dtype, seed, counter, number);
}

static KValue scan(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    KValue value = lower_value(l, node_inputs(l->graph, node)[0], index);
    if (l->failed) return KVALUE_NONE;
    KInst inst = {.op = OP_SCAN_SUM,
                  .dtype = node->dtype,
                  .in = {value, KVALUE_NONE, KVALUE_NONE},
                  .site = node->site};
    kbuilder_at(l->builder, l->regions[DEPTH_K]);
    return lower_inst(l, inst, DEPTH_K);
}

/* A value that is kept in a row buffer: computed and stored in its first loop, loaded in later ones. */
static KValue kept(Lower *l, NodeId id, const IndexExpr *index) {
    KInst inst = {.dtype = graph_node(l->graph, id)->dtype,
                  .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE},
                  .site = graph_node(l->graph, id)->site};
    bool first = l->kept_access[id] == UINT32_MAX;
    KValue value = first ? pointwise(l, id, index) : KVALUE_NONE;
    if (first) l->kept_access[id] = lower_row_buffer(l, id);
    if (l->failed) return KVALUE_NONE;
    inst.imm = l->kept_access[id];
    inst.op = first ? OP_STORE : OP_LOAD;
    if (first) inst.in[0] = value;
    kbuilder_at(l->builder, l->regions[DEPTH_K]);
    if (!first) return lower_inst(l, inst, DEPTH_K);
    kb_inst(l->builder, inst);
    return value;
}

/* Is the value wanted where the row's loop stands, in a loop over K? */
static bool is_kept_here(Lower *l, NodeId id, const IndexExpr *index) {
    if (l->kept_from[id] < 0 || l->stage < l->kept_from[id] || l->predicate != KVALUE_NONE)
        return false;
    IndexExpr own[SN_MAX_RANK];
    lower_own_index(l, id, own);
    for (int32_t i = 0; i < graph_node(l->graph, id)->rank; i++)
        if (!index_equal(&own[i], &index[i])) return false;
    return true;
}

static KValue compute(Lower *l, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(l->graph, id);
    switch (node->op) {
    case OP_GATHER:
    case OP_INDEX_SELECT:
        return gather(l, id, index);
    case OP_PAD:
        return pad(l, id, index);
    case OP_ONE_HOT:
        return one_hot(l, id, index);
    case OP_RAND:
    case OP_RANDN:
        return random(l, id, index);
    case OP_CUMSUM:
        return scan(l, id, index);
    default:
        if (op_is((OpCode)node->op, CLASS_REDUCE)) {
            if (l->reduced[id] == KVALUE_NONE)
                return lower_fail(l, "a reduction is used too early");
            return l->reduced[id];
        }
        if (is_kept_here(l, id, index)) return kept(l, id, index);
        return pointwise(l, id, index);
    }
}

static KValue make_leaf(Lower *l, NodeId id, const IndexExpr *index) {
    switch (graph_node(l->graph, id)->op) {
    case OP_CONST:
        return constant(l, id);
    case OP_IOTA:
        return lower_index_value(l, &index[node_attr_int(l->graph, id, ATTR_AXIS)]);
    default: /* OP_EMPTY */
        return int_const(l, 0);
    }
}

KValue lower_value(Lower *l, NodeId id, const IndexExpr *index) {
    if (l->failed) return KVALUE_NONE;
    const Node *node = graph_node(l->graph, id);
    NodeRole role = (NodeRole)l->fusion->roles[id];
    if (role == ROLE_VIEW) {
        IndexExpr inner[SN_MAX_RANK];
        index_through_view(&l->space, l->graph, id, index, inner);
        return lower_value(l, node_inputs(l->graph, node)[0], inner);
    }
    if (role == ROLE_LEAF && node_is_generated(node)) return make_leaf(l, id, index);
    bool own = lower_is_member(l, id);
    MemoKey key = {l, id, index, node->rank};
    uint64_t hash = memo_hash(l, id, index, node->rank);
    int64_t found = map_find(&l->memo_map, hash, memo_equal, &key);
    if (found != MAP_NONE) return l->memos.data[found].value;
    bool computed = role == ROLE_INLINE || (role != ROLE_LEAF && own);
    KValue value = computed ? compute(l, id, index) : load(l, id, index);
    if (!l->failed) keep_memo(l, id, index, node->rank, hash, value);
    return value;
}
