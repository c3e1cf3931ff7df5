/* Index expressions; see index.h. */
#include "passes/index.h"

int32_t index_axis(IndexSpace *space, int64_t size) {
    if (!vec_reserve(&space->symbols, 1)) {
        space->failed = true;
        return INDEX_NO_SYMBOL;
    }
    IndexSymbol *symbol = &space->symbols.data[space->symbols.count];
    symbol->kind = SYMBOL_AXIS; /* an axis has no expression: the rest stays as it is */
    symbol->size = size < 1 ? 1 : size;
    symbol->divisor = 0;
    return (int32_t)space->symbols.count++;
}

int32_t index_value(IndexSpace *space, KValue value, int64_t size) {
    for (uint32_t i = 0; i < space->symbols.count; i++) {
        const IndexSymbol *known = &space->symbols.data[i];
        if (known->kind == SYMBOL_VALUE && known->value == value && known->size == size)
            return (int32_t)i;
    }
    IndexSymbol symbol = {.kind = SYMBOL_VALUE, .size = size < 1 ? 1 : size, .value = value};
    if (!vec_push(&space->symbols, symbol)) {
        space->failed = true;
        return INDEX_NO_SYMBOL;
    }
    return (int32_t)space->symbols.count - 1;
}

IndexExpr index_constant(int64_t value) {
    IndexExpr e;
    e.constant = value;
    e.count = 0;
    return e;
}

IndexExpr index_symbol(int32_t symbol) {
    IndexExpr e;
    e.constant = 0;
    e.count = symbol < 0 ? INDEX_OVERFLOW : 1;
    e.terms[0] = (IndexTerm){symbol, 1};
    return e;
}

bool index_equal(const IndexExpr *a, const IndexExpr *b) {
    if (a->count < 0 || a->count != b->count || a->constant != b->constant) return false;
    for (int32_t i = 0; i < a->count; i++)
        if (a->terms[i].symbol != b->terms[i].symbol || a->terms[i].coef != b->terms[i].coef)
            return false;
    return true;
}

static void add_term(IndexExpr *e, int32_t symbol, int64_t coef) {
    if (e->count < 0 || coef == 0) return;
    if (symbol < 0) {
        e->count = INDEX_OVERFLOW;
        return;
    }
    int32_t at = 0;
    while (at < e->count && e->terms[at].symbol < symbol) at++;
    if (at < e->count && e->terms[at].symbol == symbol) {
        e->terms[at].coef += coef;
        if (e->terms[at].coef) return;
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

static void add_plain(IndexExpr *a, int64_t scale, const IndexExpr *b) {
    if (a->count < 0) return;
    if (b->count < 0) {
        a->count = INDEX_OVERFLOW;
        return;
    }
    a->constant += scale * b->constant;
    for (int32_t i = 0; i < b->count; i++)
        add_term(a, b->terms[i].symbol, scale * b->terms[i].coef);
}

/* (e / d) · (c · d) + (e mod d) · c = e · c: what splitting an axis did is undone where nothing
 * came between. */
static bool rejoin(const IndexSpace *space, IndexExpr *e) {
    for (int32_t i = 0; i < e->count; i++) {
        const IndexSymbol *quotient = &space->symbols.data[e->terms[i].symbol];
        if (quotient->kind != SYMBOL_DIV) continue;
        for (int32_t j = 0; j < e->count; j++) {
            const IndexSymbol *rest = &space->symbols.data[e->terms[j].symbol];
            if (rest->kind != SYMBOL_MOD || rest->divisor != quotient->divisor) continue;
            if (e->terms[i].coef != e->terms[j].coef * rest->divisor) continue;
            if (!index_equal(&quotient->of, &rest->of)) continue;
            IndexExpr whole = quotient->of;
            IndexTerm div_term = e->terms[i], mod_term = e->terms[j];
            add_term(e, div_term.symbol, -div_term.coef);
            add_term(e, mod_term.symbol, -mod_term.coef);
            add_plain(e, mod_term.coef, &whole);
            return true;
        }
    }
    return false;
}

void index_add(const IndexSpace *space, IndexExpr *a, int64_t scale, const IndexExpr *b) {
    add_plain(a, scale, b);
    while (a->count > 1 && rejoin(space, a)) {
    }
}

static void bounds(const IndexSpace *space, const IndexExpr *e, int64_t *least, int64_t *most) {
    *least = *most = e->constant;
    for (int32_t i = 0; i < e->count; i++) {
        int64_t reach = e->terms[i].coef * (space->symbols.data[e->terms[i].symbol].size - 1);
        if (reach < 0)
            *least += reach;
        else
            *most += reach;
    }
}

/* e = d · quotient + rest, the rest as small as the terms allow. */
static void split(const IndexExpr *e, int64_t d, IndexExpr *quotient, IndexExpr *rest) {
    int64_t part = e->constant / d - (e->constant % d < 0 ? 1 : 0);
    *quotient = index_constant(part);
    *rest = index_constant(e->constant - part * d);
    for (int32_t i = 0; i < e->count; i++) {
        IndexTerm term = e->terms[i];
        if (term.coef % d == 0)
            add_term(quotient, term.symbol, term.coef / d);
        else
            add_term(rest, term.symbol, term.coef);
    }
}

static int32_t divided(IndexSpace *space, SymbolKind kind, const IndexExpr *of, int64_t d) {
    for (uint32_t i = 0; i < space->symbols.count; i++) {
        const IndexSymbol *known = &space->symbols.data[i];
        if (known->kind == kind && known->divisor == d && index_equal(&known->of, of))
            return (int32_t)i;
    }
    int64_t least, most;
    bounds(space, of, &least, &most);
    int64_t size = kind == SYMBOL_MOD ? d : most / d + 1;
    IndexSymbol symbol = {.kind = (uint8_t)kind, .size = size, .of = *of, .divisor = d};
    if (!vec_push(&space->symbols, symbol)) {
        space->failed = true;
        return INDEX_NO_SYMBOL;
    }
    return (int32_t)space->symbols.count - 1;
}

IndexExpr index_div(IndexSpace *space, const IndexExpr *e, int64_t d) {
    if (d <= 1 || e->count < 0) return *e;
    IndexExpr quotient, rest;
    split(e, d, &quotient, &rest);
    int64_t least, most;
    bounds(space, &rest, &least, &most);
    if (least >= 0 && most < d) return quotient;
    if (least < 0) return index_symbol(divided(space, SYMBOL_DIV, e, d));
    add_term(&quotient, divided(space, SYMBOL_DIV, &rest, d), 1);
    return quotient;
}

IndexExpr index_mod(IndexSpace *space, const IndexExpr *e, int64_t d) {
    if (e->count < 0 || d == 0) return *e; /* no element has it, but it stays in its loop */
    if (d == 1) return index_constant(0);
    IndexExpr quotient, rest;
    split(e, d, &quotient, &rest);
    int64_t least, most;
    bounds(space, &rest, &least, &most);
    if (least >= 0 && most < d) return rest;
    return index_symbol(divided(space, SYMBOL_MOD, least < 0 ? e : &rest, d));
}

IndexExpr index_flatten(const IndexSpace *space, const IndexExpr *index, const int64_t *dims,
                        int32_t rank) {
    IndexExpr position = index_constant(0);
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        index_add(space, &position, stride, &index[i]);
        stride *= dims[i];
    }
    return position;
}

void index_unflatten(IndexSpace *space, const IndexExpr *position, const int64_t *dims,
                     int32_t rank, IndexExpr *index) {
    IndexExpr rest = *position;
    for (int32_t i = rank - 1; i >= 0; i--) {
        if (dims[i] == 1) {
            index[i] = index_constant(0);
        } else if (i == 0) {
            index[i] = rest;
        } else {
            index[i] = index_mod(space, &rest, dims[i]);
            rest = index_div(space, &rest, dims[i]);
        }
    }
    /* A leading 1 leaves the rest unused; it is 0 by then. */
}

static void through_slice(const Graph *graph, NodeId view, const IndexExpr *result,
                          IndexExpr *input) {
    int32_t rank, again;
    const int64_t *starts = node_attr_list(graph, view, "starts", &rank);
    const int64_t *steps = node_attr_list(graph, view, "steps", &again);
    for (int32_t i = 0; i < rank; i++) {
        input[i] = result[i];
        input[i].constant = result[i].constant * steps[i] + starts[i];
        for (int32_t j = 0; j < result[i].count; j++) input[i].terms[j].coef *= steps[i];
    }
}

static void through_diagonal(const Graph *graph, NodeId view, const IndexExpr *result,
                             IndexExpr *input) {
    int64_t offset = node_attr_int(graph, view, "offset");
    int64_t axis0 = node_attr_int(graph, view, "axis0"),
            axis1 = node_attr_int(graph, view, "axis1");
    int32_t rank = graph_node(graph, view)->rank, at = 0;
    for (int32_t i = 0; i < rank + 1; i++)
        if (i != axis0 && i != axis1) input[i] = result[at++];
    input[axis0] = input[axis1] = result[rank - 1];
    input[axis0].constant += offset < 0 ? -offset : 0;
    input[axis1].constant += offset > 0 ? offset : 0;
}

void index_broadcast(const TensorType *operand, int32_t rank, const IndexExpr *result,
                     IndexExpr *input) {
    for (int32_t i = 0; i < operand->rank; i++) {
        int32_t from = i + rank - operand->rank;
        input[i] = operand->dims[i] == 1 ? index_constant(0) : result[from];
    }
}

void index_through_view(IndexSpace *space, const Graph *graph, NodeId view, const IndexExpr *result,
                        IndexExpr *input) {
    const Node *node = graph_node(graph, view);
    NodeId source = node_inputs(graph, node)[0];
    const Node *from = graph_node(graph, source);
    switch (node->op) {
    case OP_PERMUTE: {
        int32_t rank;
        const int64_t *axes = node_attr_list(graph, view, "axes", &rank);
        for (int32_t i = 0; i < rank; i++) input[axes[i]] = result[i];
        return;
    }
    case OP_EXPAND: {
        TensorType type = node_type(graph, source);
        index_broadcast(&type, node->rank, result, input);
        return;
    }
    case OP_SLICE:
        through_slice(graph, view, result, input);
        return;
    case OP_DIAGONAL:
        through_diagonal(graph, view, result, input);
        return;
    default: { /* reshape */
        IndexExpr position = index_flatten(space, result, node_dims(graph, node), node->rank);
        index_unflatten(space, &position, node_dims(graph, from), from->rank, input);
        return;
    }
    }
}
