/* Index expressions; see index.h. */
#include "ir/graph/index.h"

#include "base/assert.h"

/* Empty loops do not run: what holds for an index holds there too. */
static Dim at_least_one(Dim size) {
    return dim_is_number(size) && size.word < 1 ? dim_of(1) : size;
}

int32_t index_axis(IndexSpace *space, Dim size) {
    if (!vec_reserve(&space->symbols, 1)) {
        space->failed = true;
        return INDEX_NO_SYMBOL;
    }
    IndexSymbol *symbol = &space->symbols.data[space->symbols.count];
    symbol->kind = SYMBOL_AXIS; /* an axis has no expression: the rest stays as it is */
    symbol->size = at_least_one(size);
    symbol->divisor = dim_of(0);
    return (int32_t)space->symbols.count++;
}

int32_t index_value(IndexSpace *space, KValue value, Dim size) {
    for (uint32_t i = 0; i < space->symbols.count; i++) {
        const IndexSymbol *known = &space->symbols.data[i];
        if (known->kind == SYMBOL_VALUE && known->value == value && dim_same(known->size, size))
            return (int32_t)i;
    }
    IndexSymbol symbol = {.kind = SYMBOL_VALUE, .size = at_least_one(size), .value = value};
    if (!vec_push(&space->symbols, symbol)) {
        space->failed = true;
        return INDEX_NO_SYMBOL;
    }
    return (int32_t)space->symbols.count - 1;
}

IndexExpr index_constant(Dim value) {
    IndexExpr e;
    e.constant = value;
    e.count = 0;
    return e;
}

IndexExpr index_symbol(int32_t symbol) {
    IndexExpr e;
    e.constant = dim_of(0);
    e.count = symbol < 0 ? INDEX_OVERFLOW : 1;
    e.terms[0] = (IndexTerm){symbol, dim_of(1)};
    return e;
}

bool index_equal(const IndexExpr *a, const IndexExpr *b) {
    if (a->count < 0 || a->count != b->count || !dim_same(a->constant, b->constant)) return false;
    for (int32_t i = 0; i < a->count; i++)
        if (a->terms[i].symbol != b->terms[i].symbol ||
            !dim_same(a->terms[i].coef, b->terms[i].coef))
            return false;
    return true;
}

static void add_term(const IndexSpace *space, IndexExpr *e, int32_t symbol, Dim coef) {
    SN_ASSERT(symbol < (int32_t)space->symbols.count && e->count <= INDEX_MOST_TERMS);
    if (e->count < 0 || dim_is(coef, 0)) return;
    if (symbol < 0) {
        e->count = INDEX_OVERFLOW;
        return;
    }
    int32_t at = 0;
    while (at < e->count && e->terms[at].symbol < symbol) at++;
    if (at < e->count && e->terms[at].symbol == symbol) {
        e->terms[at].coef = dim_add(space->table, e->terms[at].coef, coef);
        if (!dim_is(e->terms[at].coef, 0)) return;
        e->count--;
        for (int32_t i = at; i < e->count; i++) e->terms[i] = e->terms[i + 1];
        return;
    }
    if (e->count == INDEX_MOST_TERMS) {
        e->count = INDEX_OVERFLOW;
        return;
    }
    for (int32_t i = e->count; i > at; i--) e->terms[i] = e->terms[i - 1];
    e->terms[at] = (IndexTerm){symbol, coef};
    e->count++;
}

static void add_plain(const IndexSpace *space, IndexExpr *a, Dim scale, const IndexExpr *b) {
    if (a->count < 0) return;
    if (b->count < 0) {
        a->count = INDEX_OVERFLOW;
        return;
    }
    a->constant = dim_add(space->table, a->constant, dim_mul(space->table, scale, b->constant));
    for (int32_t i = 0; i < b->count; i++)
        add_term(space, a, b->terms[i].symbol, dim_mul(space->table, scale, b->terms[i].coef));
}

/* (e / d) · (c · d) + (e mod d) · c = e · c: what splitting an axis did is undone where nothing
 * came between. */
static bool rejoin(const IndexSpace *space, IndexExpr *e) {
    for (int32_t i = 0; i < e->count; i++) {
        const IndexSymbol *quotient = &space->symbols.data[e->terms[i].symbol];
        if (quotient->kind != SYMBOL_DIV) continue;
        for (int32_t j = 0; j < e->count; j++) {
            const IndexSymbol *rest = &space->symbols.data[e->terms[j].symbol];
            if (rest->kind != SYMBOL_MOD || !dim_same(rest->divisor, quotient->divisor)) continue;
            Dim whole_coef = dim_mul(space->table, e->terms[j].coef, rest->divisor);
            if (!dim_same(e->terms[i].coef, whole_coef)) continue;
            if (!index_equal(&quotient->of, &rest->of)) continue;
            IndexExpr whole = quotient->of;
            IndexTerm div_term = e->terms[i], mod_term = e->terms[j];
            add_term(space, e, div_term.symbol, dim_sub(space->table, dim_of(0), div_term.coef));
            add_term(space, e, mod_term.symbol, dim_sub(space->table, dim_of(0), mod_term.coef));
            add_plain(space, e, mod_term.coef, &whole);
            return true;
        }
    }
    return false;
}

void index_add(const IndexSpace *space, IndexExpr *a, Dim scale, const IndexExpr *b) {
    add_plain(space, a, scale, b);
    while (a->count > 1 && rejoin(space, a)) {
    }
}

/* Does e lie in [0, d) wherever its symbols do? And may it be negative? */
typedef struct Reach {
    bool inside;   /* in [0, d) */
    bool negative; /* maybe below 0 */
} Reach;

static Reach reach_of(const IndexSpace *space, const IndexExpr *e, Dim d) {
    DimTable *table = space->table;
    Dim least = e->constant, most = e->constant;
    for (int32_t i = 0; i < e->count; i++) {
        Dim coef = e->terms[i].coef, size = space->symbols.data[e->terms[i].symbol].size;
        Dim way = dim_mul(table, coef, dim_sub(table, size, dim_of(1)));
        if (dim_least(table, coef) >= 0)
            most = dim_add(table, most, way);
        else if (dim_most(table, coef) <= 0)
            least = dim_add(table, least, way);
        else
            return (Reach){false, true};
    }
    bool negative = !dim_always_less(table, dim_of(-1), least);
    return (Reach){!negative && dim_always_less(table, most, d), negative};
}

/* e = d · quotient + rest, the rest as small as the terms allow. */
static void split(const IndexSpace *space, const IndexExpr *e, Dim d, IndexExpr *quotient,
                  IndexExpr *rest) {
    DimTable *table = space->table;
    *quotient = index_constant(dim_of(0));
    *rest = index_constant(e->constant);
    bool numbers = dim_is_number(e->constant) && dim_is_number(d);
    if (numbers || dim_always_divides(table, d, e->constant)) {
        quotient->constant = dim_quotient(table, e->constant, d);
        rest->constant = dim_remainder(table, e->constant, d);
    }
    for (int32_t i = 0; i < e->count; i++) {
        IndexTerm term = e->terms[i];
        if (dim_always_divides(table, d, term.coef))
            add_term(space, quotient, term.symbol, dim_quotient(table, term.coef, d));
        else
            add_term(space, rest, term.symbol, term.coef);
    }
}

/* Largest value of an expression, of which the terms have no unknown sign. */
static Dim most_of(const IndexSpace *space, const IndexExpr *e) {
    DimTable *table = space->table;
    Dim most = e->constant;
    for (int32_t i = 0; i < e->count; i++) {
        Dim coef = e->terms[i].coef, size = space->symbols.data[e->terms[i].symbol].size;
        if (dim_most(table, coef) <= 0) continue;
        most = dim_add(table, most, dim_mul(table, coef, dim_sub(table, size, dim_of(1))));
    }
    return most;
}

static int32_t divided(IndexSpace *space, SymbolKind kind, const IndexExpr *of, Dim d) {
    for (uint32_t i = 0; i < space->symbols.count; i++) {
        const IndexSymbol *known = &space->symbols.data[i];
        if (known->kind == kind && dim_same(known->divisor, d) && index_equal(&known->of, of))
            return (int32_t)i;
    }
    Dim size = d;
    if (kind == SYMBOL_DIV)
        size = dim_add(space->table, dim_quotient(space->table, most_of(space, of), d), dim_of(1));
    IndexSymbol symbol = {.kind = (uint8_t)kind, .size = size, .of = *of, .divisor = d};
    if (!vec_push(&space->symbols, symbol)) {
        space->failed = true;
        return INDEX_NO_SYMBOL;
    }
    return (int32_t)space->symbols.count - 1;
}

/* Quotient and remainder by d ≥ 1 of an expression that is never negative. */
static IndexExpr index_div(IndexSpace *space, const IndexExpr *e, Dim d) {
    if (dim_is(d, 0) || dim_is(d, 1) || e->count < 0) return *e;
    IndexExpr quotient, rest;
    split(space, e, d, &quotient, &rest);
    Reach reach = reach_of(space, &rest, d);
    if (reach.inside) return quotient;
    if (reach.negative) return index_symbol(divided(space, SYMBOL_DIV, e, d));
    add_term(space, &quotient, divided(space, SYMBOL_DIV, &rest, d), dim_of(1));
    return quotient;
}

static IndexExpr index_mod(IndexSpace *space, const IndexExpr *e, Dim d) {
    if (e->count < 0 || dim_is(d, 0)) return *e; /* no element has it, but it stays in its loop */
    if (dim_is(d, 1)) return index_constant(dim_of(0));
    IndexExpr quotient, rest;
    split(space, e, d, &quotient, &rest);
    Reach reach = reach_of(space, &rest, d);
    if (reach.inside) return rest;
    return index_symbol(divided(space, SYMBOL_MOD, reach.negative ? e : &rest, d));
}

/* Is the symbol e / d, alone, divided by anything? Then e and d. */
static bool is_quotient(const IndexSpace *space, const IndexExpr *of,
                        const IndexSymbol **quotient) {
    if (of->count != 1 || !dim_is(of->constant, 0) || !dim_is(of->terms[0].coef, 1)) return false;
    *quotient = &space->symbols.data[of->terms[0].symbol];
    return (*quotient)->kind == SYMBOL_DIV;
}

static void replace_term(IndexSpace *space, IndexExpr *address, int32_t at, int32_t symbol,
                         Dim coef) {
    IndexTerm old = address->terms[at];
    add_term(space, address, old.symbol, dim_sub(space->table, dim_of(0), old.coef));
    add_term(space, address, symbol, coef);
}

/* Quotients by d, then f, become one by both. */
static void merge_quotients(IndexSpace *space, IndexExpr *address, const IndexExpr *of, Dim d,
                            Dim f) {
    for (int32_t i = 0; i < address->count; i++) {
        const IndexSymbol *outer = &space->symbols.data[address->terms[i].symbol], *inner;
        if (outer->kind != SYMBOL_DIV || !dim_same(outer->divisor, f) ||
            !is_quotient(space, &outer->of, &inner) || !dim_same(inner->divisor, d) ||
            !index_equal(&inner->of, of))
            continue;
        int32_t both = divided(space, SYMBOL_DIV, of, dim_mul(space->table, d, f));
        replace_term(space, address, i, both, address->terms[i].coef);
        return;
    }
}

/* Merges one pair of digits; false when there is none. */
static bool merge_pair(IndexSpace *space, IndexExpr *address) {
    for (int32_t i = 0; i < address->count; i++) {
        const IndexSymbol *high = &space->symbols.data[address->terms[i].symbol], *quotient;
        if (high->kind != SYMBOL_MOD || !is_quotient(space, &high->of, &quotient)) continue;
        for (int32_t j = 0; j < address->count; j++) {
            const IndexSymbol *low = &space->symbols.data[address->terms[j].symbol];
            Dim coef = address->terms[j].coef, d = quotient->divisor, f = high->divisor;
            bool follows = low->kind == SYMBOL_MOD && dim_same(low->divisor, d) &&
                           index_equal(&low->of, &quotient->of) &&
                           dim_same(address->terms[i].coef, dim_mul(space->table, coef, d));
            if (!follows) continue;
            IndexExpr of = quotient->of;
            int32_t lower = address->terms[j].symbol;
            int32_t both = divided(space, SYMBOL_MOD, &of, dim_mul(space->table, d, f));
            replace_term(space, address, i, both, coef);
            add_term(space, address, lower, dim_sub(space->table, dim_of(0), coef));
            merge_quotients(space, address, &of, d, f);
            return true;
        }
    }
    return false;
}

void index_merge_digits(IndexSpace *space, IndexExpr *address) {
    while (address->count > 1 && merge_pair(space, address)) {
    }
}

IndexExpr index_flatten(const IndexSpace *space, const IndexExpr *index, const Dim *dims,
                        int32_t rank) {
    IndexExpr position = index_constant(dim_of(0));
    Dim stride = dim_of(1);
    for (int32_t i = rank - 1; i >= 0; i--) {
        index_add(space, &position, stride, &index[i]);
        stride = dim_mul(space->table, stride, dims[i]);
    }
    return position;
}

void index_unflatten(IndexSpace *space, const IndexExpr *position, const Dim *dims, int32_t rank,
                     IndexExpr *index) {
    IndexExpr rest = *position;
    for (int32_t i = rank - 1; i >= 0; i--) {
        if (dim_is(dims[i], 1)) {
            index[i] = index_constant(dim_of(0));
        } else if (i == 0) {
            index[i] = rest;
        } else {
            index[i] = index_mod(space, &rest, dims[i]);
            rest = index_div(space, &rest, dims[i]);
        }
    }
    /* A leading 1 leaves the rest unused; it is 0 by then. */
}

void index_broadcast(const TensorType *operand, int32_t rank, const IndexExpr *result,
                     IndexExpr *input) {
    for (int32_t i = 0; i < operand->rank; i++) {
        int32_t from = i + rank - operand->rank;
        input[i] = dim_is(operand->dims[i], 1) ? index_constant(dim_of(0)) : result[from];
    }
}

static IndexExpr through_axis(const IndexSpace *space, const ViewAxis *axis,
                              const IndexExpr *result) {
    if (axis->from >= 0 && dim_is(axis->start, 0) && dim_is(axis->step, 1) && !axis->inner)
        return result[axis->from];
    IndexExpr e = index_constant(axis->start);
    if (axis->from >= 0) add_plain(space, &e, axis->step, &result[axis->from]);
    if (axis->inner) add_plain(space, &e, axis->inner_step, &result[axis->inner - 1]);
    return e;
}

void index_through_map(IndexSpace *space, const ViewMap *map, const IndexExpr *result,
                       IndexExpr *input) {
    SN_ASSERT(!map->regroups);
    for (int32_t i = 0; i < map->rank; i++) input[i] = through_axis(space, &map->axes[i], result);
}

/* A reshape, from both ends: what is left of its dims and coordinates. */
typedef struct Regroup {
    const Dim *result, *input; /* dims */
    int32_t n_result, n_input; /* how many */
    const IndexExpr *from;     /* coordinates in the result … */
    IndexExpr *to;             /* … and those in the input, to be filled */
} Regroup;

/* Dims of size 1 at an end have no say. */
static void drop_ones(Regroup *g) {
    while (g->n_result && dim_is(g->result[g->n_result - 1], 1)) g->n_result--;
    while (g->n_input && dim_is(g->input[g->n_input - 1], 1))
        g->to[--g->n_input] = index_constant(dim_of(0));
    for (; g->n_result && dim_is(*g->result, 1); g->n_result--, g->result++) g->from++;
    for (; g->n_input && dim_is(*g->input, 1); g->n_input--, g->input++)
        *g->to++ = index_constant(dim_of(0));
}

/* Dims that agree at either end keep their coordinates. Those of others are regrouped by division, which is
 * dear, and hard to simplify: coordinates need not lie within dims where a predicate holds back. */
static void through_regroup(IndexSpace *space, Regroup *g) {
    drop_ones(g);
    while (g->n_result && g->n_input &&
           dim_same(g->result[g->n_result - 1], g->input[g->n_input - 1])) {
        g->to[--g->n_input] = g->from[--g->n_result];
        drop_ones(g);
    }
    while (g->n_result && g->n_input && dim_same(*g->result, *g->input)) {
        *g->to++ = *g->from++;
        g->result++;
        g->input++;
        g->n_result--;
        g->n_input--;
        drop_ones(g);
    }
    IndexExpr position = index_flatten(space, g->from, g->result, g->n_result);
    index_unflatten(space, &position, g->input, g->n_input, g->to);
}

void index_through_view(IndexSpace *space, const Graph *graph, NodeId view, const IndexExpr *result,
                        IndexExpr *input) {
    ViewMap map;
    view_map_of(graph, view, &map);
    if (!map.regroups) {
        index_through_map(space, &map, result, input);
        return;
    }
    const Node *node = graph_node(graph, view);
    const Node *from = graph_node(graph, node_inputs(graph, node)[0]);
    Regroup g = {.result = node_dims(graph, node),
                 .input = node_dims(graph, from),
                 .n_result = node->rank,
                 .n_input = from->rank,
                 .from = result,
                 .to = input};
    through_regroup(space, &g);
}
