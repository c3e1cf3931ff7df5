/* Lowering, values: emits the value of a node at given coordinates, following views and inlined
 * nodes, loading what lies in memory, and remembering what was computed. */
#include "passes/lower/lower.h"

#include "base/assert.h"
#include "ir/graph/nan.h"
#include "ir/op/dtype.h"
#include "ir/scalar/scalar.h"

/* ---- stages ---------------------------------------------------------------------------------- */

int32_t lower_stage(const Lower *l, NodeId id) {
    int32_t own = l->step->kind == PLAN_GROUP ? (int32_t)l->step->group : GROUP_NONE;
    return group_stage(l->graph, l->fusion, own, id);
}

/* ---- memo ------------------------------------------------------------------------------------ */

/* What is looked for. */
typedef struct MemoKey {
    const Lower *l;         /* where */
    NodeId node;            /* the value */
    const IndexExpr *index; /* its coordinates */
    int32_t rank;           /* how many */
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

/* ---- values ---------------------------------------------------------------------------------- */

static KValue load(Lower *l, NodeId node, const IndexExpr *index) {
    int32_t buffer = l->plan->buffer_of[node];
    if (buffer == NO_BUFFER) return lower_fail(l, "a value has no buffer");
    NodeId owner = program_buffer(l->program, (uint32_t)buffer)->node;
    const Node *shape = graph_node(l->graph, node);
    Dim strides[SN_MAX_RANK];
    memory_strides(l->graph, owner, node, strides);
    IndexExpr address = index_constant(dim_of(0));
    for (int32_t i = 0; i < shape->rank; i++) index_add(&l->space, &address, strides[i], &index[i]);
    /* A predicate hangs on the digits as they are: one division serves both then. */
    if (l->predicate == KVALUE_NONE) index_merge_digits(&l->space, &address);
    uint32_t access = lower_access(l, (uint32_t)buffer, &address, false);
    if (l->failed) return KVALUE_NONE;
    int32_t depth = lower_deeper(lower_access_depth(l, access), lower_depth(l, l->predicate));
    KInst inst = {.op = OP_LOAD,
                  .dtype = shape->dtype,
                  .flags = l->predicate != KVALUE_NONE ? K_PREDICATED : 0,
                  .in = {l->predicate, KVALUE_NONE, KVALUE_NONE},
                  .site = shape->site,
                  .imm = access};
    kbuilder_at(l->builder, l->regions[depth]);
    return lower_inst(l, inst, depth);
}

static KValue bits_value(Lower *l, sn_dtype dtype, int64_t bits) {
    return lower_word(l, dtype, lower_bits(l, bits));
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
        KValue value = lower_word(l, word, param);
        if (word == dtype || l->failed) return value;
        return lower_depth_at(l, kb_cast(l->builder, dtype, value), DEPTH_ITEM);
    }
    kbuilder_at(l->builder, l->regions[DEPTH_ITEM]);
    return lower_depth_at(l, kb_const(l->builder, dtype, (uint64_t)c.word), DEPTH_ITEM);
}

/* Is it a product, or one with its sign changed? */
static bool is_product(const Lower *l, KValue value) {
    const KInst *inst = kb_at(l->builder, value);
    if (inst && inst->op == OP_NEG) inst = kb_at(l->builder, inst->in[0]);
    return inst && inst->op == OP_MUL;
}

/* Mode fast: a product that is added to something becomes one multiply-add, which rounds once instead of
 * twice. Only where nobody else reads it and the other is no product: what cancels in eager, a value and
 * itself, would leave the rounding error of one of them behind, and a root of that is NaN. For the same
 * reason a difference stays as it is. KVALUE_NONE where the node is no such sum. */
static KValue contracted(Lower *l, NodeId id, const KValue *in) {
    const Node *node = graph_node(l->graph, id);
    if (!l->context->fast || node->op != OP_ADD || !dtype_is_float((sn_dtype)node->dtype))
        return KVALUE_NONE;
    for (uint32_t i = 0; i < 2; i++) {
        const KInst *product = kb_at(l->builder, in[i]);
        if (!product || product->op != OP_MUL || product->dtype != node->dtype) continue;
        if (l->read_often[node_inputs(l->graph, node)[i]] || is_product(l, in[1 - i])) continue;
        return kb_op3(l->builder, OP_FMA, product->in[0], product->in[1], in[1 - i]);
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
    int32_t depth = lower_emit_at(l, in, node->n_inputs);
    KValue value = contracted(l, id, in);
    if (value == KVALUE_NONE)
        value = scalar_expand(l->builder, (OpCode)node->op, (sn_dtype)node->dtype, in,
                              node->n_inputs, node_attrs(l->graph, node), l->context->error);
    return lower_depth_at(l, value, depth);
}

static KValue under(Lower *l, KValue predicate, NodeId node, const IndexExpr *index) {
    KValue outer = l->predicate;
    l->predicate = lower_both(l, outer, predicate);
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
    return under(l, lower_in_range(l, at, size), x, inner);
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
        inside = lower_both(l, inside, lower_in_range(l, at, node_dims(l->graph, source)[axis]));
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
    lower_emit_at(l, &hit, 1);
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
        return lower_int(l, 0);
    }
}

/* The one NaN in the place of any, where NaNs can be told apart. Half types get it with the value that they
 * are rounded from. */
static KValue settle_nan(Lower *l, NodeId id, KValue value) {
    if (l->failed || !l->told[id] || !node_computes_float(l->graph, id)) return value;
    sn_dtype dtype = kb_dtype(l->builder, value);
    if (!dtype_is_half(dtype))
        return lower_op(l, OP_CANONICAL_NAN, value, KVALUE_NONE, KVALUE_NONE);
    const KInst *inst = kb_at(l->builder, value);
    KValue wide = inst && inst->op == OP_CAST ? inst->in[0] : value;
    sn_dtype from = kb_dtype(l->builder, wide);
    if (!dtype_is_float(from)) return value;
    int32_t depth = lower_emit_at(l, &wide, 1);
    wide = kb_op1(l->builder, OP_CANONICAL_NAN, kb_cast(l->builder, dtype_compute(from), wide));
    return lower_depth_at(l, kb_cast(l->builder, dtype, wide), depth);
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
    KValue value = computed ? settle_nan(l, id, compute(l, id, index)) : load(l, id, index);
    if (!l->failed) keep_memo(l, id, index, node->rank, hash, value);
    return value;
}
