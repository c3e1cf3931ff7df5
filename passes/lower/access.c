/* Lowering, addresses: arguments, accesses and the numbers behind them. The kernel's text says which
 * loop axes an access follows; every stride but 0 and 1 is a parameter word. */
#include "passes/lower/lower.h"

/* The argument for a buffer seen with these grid strides; made when there is none. */
static uint32_t find_arg(Lower *l, uint32_t buffer, Dim offset, const Dim *grid, bool write) {
    for (uint32_t i = 0; i < l->args.count; i++) {
        LowerArg *arg = &l->args.data[i];
        if (arg->buffer != buffer || !dim_same(arg->offset, offset) ||
            memcmp(arg->grid, grid, sizeof arg->grid) != 0)
            continue;
        arg->read = arg->read || !write;
        arg->written = arg->written || write;
        return i;
    }
    LowerArg arg = {.buffer = buffer, .offset = offset, .read = !write, .written = write};
    memcpy(arg.grid, grid, sizeof arg.grid);
    KArg karg = {.dtype = l->program->buffers.data[buffer].dtype, .size = kcoef_literal(0)};
    if (!vec_push(&l->args, arg) || !vec_push(&l->kernel->args, karg)) {
        lower_fail(l, "out of memory");
        return UINT32_MAX;
    }
    return l->args.count - 1;
}

/* 1 stays in the text; any other stride is a number of the call. A loop of one step has no stride,
 * and is written as if it were dense. */
static KCoef coefficient(Lower *l, Dim value, Dim size) {
    return dim_is(value, 1) || dim_is(size, 1) ? kcoef_literal(1) : lower_param(l, value);
}

/* An access that exists already, with the same terms. */
static uint32_t find_access(const Lower *l, const LowerAccess *wanted) {
    for (uint32_t i = 0; i < l->accesses.count && !wanted->indirect; i++) {
        const LowerAccess *known = &l->accesses.data[i];
        if (known->arg == wanted->arg && !known->indirect &&
            memcmp(known->coef, wanted->coef, sizeof known->coef) == 0)
            return i;
    }
    return UINT32_MAX;
}

static bool add_term(Lower *l, KAccess *access, KTerm term) {
    if (!vec_push(&l->kernel->terms, term)) {
        lower_fail(l, "out of memory");
        return false;
    }
    access->n_terms++;
    return true;
}

/* Terms of quotients, remainders and data. Their instructions must exist before the access. */
static KValue term_value(Lower *l, int32_t symbol) {
    const IndexSymbol *s = &l->space.symbols.data[symbol];
    if (s->kind == SYMBOL_VALUE) return s->value;
    IndexExpr alone = index_symbol(symbol);
    return lower_index_value(l, &alone);
}

/* An address by what its symbols are. */
typedef struct Address {
    Dim grid[SN_MAX_RANK];          /* strides of the grid */
    LowerAccess access;             /* coefficients of B and K */
    KTerm others[INDEX_MOST_TERMS]; /* terms of other kinds */
    int32_t n_others;               /* how many */
} Address;

static void split_address(Lower *l, const IndexExpr *e, Address *to) {
    memset(to->grid, 0, sizeof to->grid);
    to->access = (LowerAccess){.coef = {{0}, {0}}};
    to->n_others = 0;
    for (int32_t i = 0; i < e->count; i++) {
        int32_t symbol = e->terms[i].symbol;
        SN_ASSERT(symbol >= 0 && (uint32_t)symbol < l->space.symbols.count);
        Dim coef = e->terms[i].coef;
        if (symbol < l->n_grid) {
            to->grid[symbol] = coef;
        } else if (symbol == l->b_symbol) {
            to->access.coef[0] = coef;
        } else if (symbol == l->k_symbol) {
            to->access.coef[1] = coef;
        } else {
            KValue value = term_value(l, symbol);
            KTerm term = {KVALUE_NONE, value, coefficient(l, coef, dim_of(2))};
            to->others[to->n_others++] = term;
            to->access.indirect = true;
        }
    }
    if (to->access.indirect) to->access.depth = lower_index_depth(l, e);
}

/* Terms of the loops over B and K, then the others. */
static bool add_terms(Lower *l, const Address *from, KAccess *access) {
    const int32_t symbols[2] = {l->b_symbol, l->k_symbol}, axes[2] = {l->b_axis, l->k_axis};
    for (int32_t i = 0; i < 2; i++) {
        if (symbols[i] == LOWER_NO_AXIS) continue;
        Dim size = l->space.symbols.data[symbols[i]].size, coef = from->access.coef[i];
        /* A map of one element reads like a dense one, so that no kernel is special to size 1. */
        bool lone =
            i == 0 && dim_is(size, 1) && l->k_symbol == LOWER_NO_AXIS && !from->access.indirect;
        if (dim_is(coef, 0) && !lone) continue;
        KTerm term = {(uint32_t)axes[i], KVALUE_NONE, coefficient(l, coef, size)};
        if (!add_term(l, access, term)) return false;
    }
    for (int32_t i = 0; i < from->n_others; i++)
        if (!add_term(l, access, from->others[i])) return false;
    return true;
}

static uint32_t no_access(Lower *l, const char *why) {
    lower_fail(l, why);
    return UINT32_MAX;
}

uint32_t lower_access(Lower *l, uint32_t buffer, const IndexExpr *address, bool write) {
    if (l->failed) return UINT32_MAX;
    if (address->count < 0) return no_access(l, "an address is too complex");
    Address parts;
    split_address(l, address, &parts);
    parts.access.arg = find_arg(l, buffer, address->constant, parts.grid, write);
    uint32_t known = find_access(l, &parts.access);
    if (l->failed || known != UINT32_MAX) return known;
    KAccess access = {
        .arg = parts.access.arg, .first_term = l->kernel->terms.count, .offset = kcoef_literal(0)};
    if (!add_terms(l, &parts, &access)) return UINT32_MAX;
    SN_ASSERT(l->kernel->accesses.count == l->accesses.count);
    if (!vec_push(&l->kernel->accesses, access) || !vec_push(&l->accesses, parts.access))
        return no_access(l, "out of memory");
    return l->accesses.count - 1;
}

int32_t lower_access_depth(const Lower *l, uint32_t access) {
    const KAccess *a = kernel_access(l->kernel, access);
    int32_t depth = DEPTH_ITEM;
    for (uint32_t i = 0; i < a->n_terms; i++) {
        const KTerm *term = kernel_term(l->kernel, a, i);
        int32_t own = term->axis == KVALUE_NONE ? lower_depth(l, term->value)
                      : term->axis == (uint32_t)l->k_axis && l->k_symbol != LOWER_NO_AXIS ? DEPTH_K
                                                                                          : DEPTH_B;
        if (own > depth) depth = own;
    }
    return depth;
}

uint32_t lower_row_buffer(Lower *l, NodeId node) {
    if (l->failed) return UINT32_MAX;
    SN_ASSERT(l->k_symbol != LOWER_NO_AXIS);
    LowerArg arg = {.buffer = UINT32_MAX, .read = true, .written = true};
    KArg karg = {.dtype = graph_node(l->graph, node)->dtype,
                 .role = KARG_LOCAL,
                 .size = l->kernel->axes.data[l->k_axis].size};
    KTerm term = {(uint32_t)l->k_axis, KVALUE_NONE, kcoef_literal(1)};
    KAccess access = {.arg = l->args.count,
                      .first_term = l->kernel->terms.count,
                      .n_terms = 1,
                      .offset = kcoef_literal(0)};
    LowerAccess own = {.arg = l->args.count, .coef = {{0}, {1}}};
    bool ok = vec_push(&l->args, arg) && vec_push(&l->kernel->args, karg) &&
              vec_push(&l->kernel->terms, term) && vec_push(&l->kernel->accesses, access) &&
              vec_push(&l->accesses, own);
    if (!ok) lower_fail(l, "out of memory");
    return ok ? l->accesses.count - 1 : UINT32_MAX;
}
