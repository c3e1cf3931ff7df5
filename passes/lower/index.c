/* Lowering, indices: the value of an index expression, the check of an index from data, and the coordinates
 * at which members of a group are computed. */
#include "passes/lower/lower.h"

/* ---- expressions ----------------------------------------------------------------------------- */

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
        depth = lower_deeper(depth, symbol_depth(l, e->terms[i].symbol));
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

/* What the symbol, a quotient or remainder, divides by: one word for both of the same division. */
static KValue divisor_of(Lower *l, int32_t symbol) {
    const IndexSymbol *symbols = l->space.symbols.data, *own = &symbols[symbol];
    uint32_t first = 0;
    while (!(symbols[first].kind == SYMBOL_DIV || symbols[first].kind == SYMBOL_MOD) ||
           !dim_same(symbols[first].divisor, own->divisor) ||
           !index_equal(&symbols[first].of, &own->of))
        first++;
    while (l->divisors.count <= first)
        if (!vec_push(&l->divisors, KVALUE_NONE)) return lower_fail(l, "out of memory");
    if (l->divisors.data[first] == KVALUE_NONE)
        l->divisors.data[first] = lower_size(l, own->divisor);
    return l->divisors.data[first];
}

static KValue symbol_value(Lower *l, int32_t symbol) {
    IndexSymbol s = l->space.symbols.data[symbol]; /* a copy: the table may grow below */
    if (s.kind == SYMBOL_AXIS) return axis_value(l, symbol);
    if (s.kind == SYMBOL_VALUE) return s.value;
    KValue of = lower_index_value(l, &s.of);
    KValue divisor = divisor_of(l, symbol);
    return lower_op(l, s.kind == SYMBOL_DIV ? OP_INT_DIV : OP_FMOD, of, divisor, KVALUE_NONE);
}

KValue lower_index_value(Lower *l, const IndexExpr *e) {
    if (e->count < 0) return lower_fail(l, "an index is too complex");
    KValue sum = KVALUE_NONE;
    for (int32_t i = 0; i < e->count && !l->failed; i++) {
        KValue term = symbol_value(l, e->terms[i].symbol);
        if (!dim_is(e->terms[i].coef, 1))
            term = lower_op(l, OP_MUL, term, lower_size(l, e->terms[i].coef), KVALUE_NONE);
        sum = sum == KVALUE_NONE ? term : lower_op(l, OP_ADD, sum, term, KVALUE_NONE);
    }
    if (sum == KVALUE_NONE)
        return dim_is_number(e->constant) ? lower_int(l, e->constant.word)
                                          : lower_size(l, e->constant);
    if (dim_is(e->constant, 0)) return sum;
    return lower_op(l, OP_ADD, sum, lower_size(l, e->constant), KVALUE_NONE);
}

int32_t lower_value_symbol(Lower *l, KValue value, Dim size) {
    return index_value(&l->space, value, size);
}

/* ---- data errors ----------------------------------------------------------------------------- */

static bool note_check(Lower *l, NodeId node, Dim limit) {
    if (l->noted[node]) return true;
    l->noted[node] = true;
    ProgramCheck check = {.code = node,
                          .call = node_call(l->graph, graph_node(l->graph, node)),
                          .limit = program_sizes(l->program, l->graph->table, &limit, 1)};
    if (check.limit == PLACE_NONE) return false;
    return vec_push(&l->program->checks, check);
}

KValue lower_both(Lower *l, KValue x, KValue y) {
    if (x == KVALUE_NONE) return y;
    return y == KVALUE_NONE ? x : lower_op(l, OP_BITWISE_AND, x, y, KVALUE_NONE);
}

KValue lower_in_range(Lower *l, KValue index, Dim size) {
    KValue low = lower_op(l, OP_GE, index, lower_int(l, 0), KVALUE_NONE);
    KValue high = lower_op(l, OP_LT, index, lower_size(l, size), KVALUE_NONE);
    return lower_both(l, low, high);
}

KValue lower_checked_index(Lower *l, NodeId node, KValue index, Dim size) {
    if (!node_can_fail(l->graph, node)) return index;
    if (l->failed || !note_check(l, node, size)) return lower_fail(l, "out of memory");
    KValue ok = lower_in_range(l, index, size), wanted = ok;
    /* Where the value is not wanted, its index may be anything. */
    if (l->predicate != KVALUE_NONE) {
        KValue off = lower_op(l, OP_BITWISE_NOT, l->predicate, KVALUE_NONE, KVALUE_NONE);
        wanted = lower_op(l, OP_BITWISE_OR, ok, off, KVALUE_NONE);
    }
    KCoef code = lower_bits(l, node);
    lower_emit_at(l, &wanted, 1);
    KInst check = {.op = OP_CHECK,
                   .dtype = SN_BOOL,
                   .in = {wanted, KVALUE_NONE, KVALUE_NONE},
                   .site = graph_node(l->graph, node)->site,
                   .imm = (uint64_t)code.param};
    if (l->failed) return KVALUE_NONE;
    kb_inst(l->builder, check);
    return lower_op(l, OP_WHERE, ok, index, lower_int(l, 0));
}

/* ---- coordinates ----------------------------------------------------------------------------- */

/* Coordinates of a clone at those of what it turns. */
static void turned_index(Lower *l, NodeId clone, IndexExpr *index) {
    NodeId source = NODE_NONE;
    int32_t from[SN_MAX_RANK];
    IndexExpr inner[SN_MAX_RANK];
    bool turned = turned_source(l->graph, clone, &source, from);
    SN_ASSERT(turned);
    (void)turned;
    lower_own_index(l, source, inner);
    for (int32_t i = 0; i < graph_node(l->graph, clone)->rank && !l->failed; i++)
        index[i] = from[i] < 0 ? index_constant(dim_of(0)) : inner[from[i]];
}

void lower_own_index(Lower *l, NodeId shaped, IndexExpr *index) {
    if (l->fusion->turned[shaped] && lower_is_member(l, shaped)) {
        turned_index(l, shaped, index);
        return;
    }
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
