/* Expressions of sizes in their normal form, and decisions about them; see dim.h. Arithmetic goes
 * through Poly, a sum that is being made; poly_close gives it its normal form and finds or appends the
 * expression. */
#include "ir/op/dim_value.h"

enum { POLY_MOST = 24, FACTORS_MOST = 16 };

typedef struct Term {
    int64_t coef; /* never 0 */
    int64_t at;   /* index of the expression, which is no sum */
} Term;

/* constant + Σ coef × expression, by rising expression. */
typedef struct Poly {
    int64_t constant;      /* added to the terms */
    int32_t count;         /* terms in use */
    Term terms[POLY_MOST]; /* by rising expression */
} Poly;

void dims_init(DimTable *table) {
    *table = (DimTable){0};
}

void dims_free(DimTable *table) {
    vec_free(&table->expressions);
    vec_free(&table->words);
    vec_free(&table->symbols);
    vec_free(&table->guards);
    vec_free(&table->needed);
    map_free(&table->map);
    *table = (DimTable){0};
}

static Dim dim_at(int64_t at) {
    return (Dim){DIM_FIRST + at};
}

static Dim fail(DimTable *table) {
    if (table) table->failed = true;
    return dim_of(0);
}

/* ---- interning ------------------------------------------------------------------------------- */

/* An expression that is looked for. */
typedef struct Wanted {
    const DimTable *table; /* where */
    DimKind kind;          /* its kind */
    const int64_t *words;  /* its words */
    uint32_t count;        /* how many */
} Wanted;

static bool is_wanted(const void *context, uint32_t index) {
    const Wanted *w = context;
    const DimExpression *e = &w->table->expressions.data[index];
    return e->kind == w->kind && e->count == w->count &&
           memcmp(dim_words(w->table, e), w->words, w->count * sizeof *w->words) == 0;
}

static bool append(DimTable *table, DimExpression e, const int64_t *words) {
    SN_ASSERT(!table->needed.count); /* dims_limit was the last word */
    if (table->expressions.count == DIM_MOST_EXPRESSIONS) return false;
    if (!vec_reserve(&table->words, e.count) || !vec_reserve(&table->expressions, 1)) return false;
    if (!map_insert(&table->map, e.hash, table->expressions.count)) return false;
    e.first = table->words.count;
    memcpy(table->words.data + e.first, words, e.count * sizeof *words);
    table->words.count += e.count;
    table->expressions.data[table->expressions.count++] = e;
    return true;
}

static Dim intern(DimTable *table, DimKind kind, const int64_t *words, uint32_t count) {
    SN_ASSERT(table && count > 0);
    uint64_t hash = hash_bytes(words, count * sizeof *words, kind);
    Wanted wanted = {table, kind, words, count};
    int64_t found = map_find(&table->map, hash, is_wanted, &wanted);
    if (found != MAP_NONE) return dim_at(found);
    DimRange range = dim_range(table, kind, words, count);
    DimExpression e = {.kind = (uint8_t)kind,
                       .count = count,
                       .least = range.least,
                       .most = range.most,
                       .hash = hash};
    if (!dim_evaluate(table, NULL, kind, words, count, &e.hint)) return fail(table);
    if (!append(table, e, words)) return fail(table);
    return dim_at(table->expressions.count - 1);
}

Dim dim_symbol(DimTable *table, const char *name, int64_t hint, int64_t least, int64_t most) {
    SN_ASSERT(least <= hint && hint <= most);
    int64_t number = table->symbols.count;
    DimExpression e = {.kind = DIM_SYMBOL,
                       .count = 1,
                       .hint = hint,
                       .least = least,
                       .most = most,
                       .hash = hash_bytes(&number, sizeof number, DIM_SYMBOL)};
    Dim d = dim_at(table->expressions.count);
    if (!vec_reserve(&table->symbols, 1) || !append(table, e, &number)) return fail(table);
    table->symbols.data[table->symbols.count++] = (DimSymbol){name, d};
    return d;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void poly_open(const DimTable *table, Dim d, Poly *p) {
    *p = (Poly){0};
    if (dim_is_number(d)) {
        p->constant = d.word;
        return;
    }
    const DimExpression *e = dim_expression(table, d);
    if (e->kind != DIM_SUM) {
        p->terms[p->count++] = (Term){1, d.word - DIM_FIRST};
        return;
    }
    const int64_t *words = dim_words(table, e);
    p->constant = words[0];
    for (uint32_t i = 1; i < e->count; i += 2)
        p->terms[p->count++] = (Term){words[i], words[i + 1] - DIM_FIRST};
}

/* Adds a term where it belongs; false when it does not fit. */
static bool poly_add(Poly *p, int64_t coef, int64_t at) {
    int32_t i = 0;
    if (coef == 0) return true;
    while (i < p->count && p->terms[i].at < at) i++;
    if (i < p->count && p->terms[i].at == at) {
        if (__builtin_add_overflow(p->terms[i].coef, coef, &p->terms[i].coef)) return false;
        if (p->terms[i].coef) return true;
        p->count--;
        memmove(&p->terms[i], &p->terms[i + 1], (size_t)(p->count - i) * sizeof *p->terms);
        return true;
    }
    if (p->count == POLY_MOST) return false;
    memmove(&p->terms[i + 1], &p->terms[i], (size_t)(p->count - i) * sizeof *p->terms);
    p->terms[i] = (Term){coef, at};
    p->count++;
    SN_ASSERT(at >= 0 && (i + 1 == p->count || p->terms[i + 1].at > at));
    return true;
}

/* p += factor × q. */
static bool poly_add_scaled(Poly *p, const Poly *q, int64_t factor) {
    int64_t product;
    if (__builtin_mul_overflow(q->constant, factor, &product)) return false;
    if (__builtin_add_overflow(p->constant, product, &p->constant)) return false;
    for (int32_t i = 0; i < q->count; i++) {
        if (__builtin_mul_overflow(q->terms[i].coef, factor, &product)) return false;
        if (!poly_add(p, product, q->terms[i].at)) return false;
    }
    return true;
}

static Dim poly_close(DimTable *table, const Poly *p) {
    int64_t words[1 + 2 * POLY_MOST];
    if (p->count == 0)
        return dim_is_number(dim_of(p->constant)) ? dim_of(p->constant) : fail(table);
    if (p->count == 1 && p->constant == 0 && p->terms[0].coef == 1) return dim_at(p->terms[0].at);
    words[0] = p->constant;
    for (int32_t i = 0; i < p->count; i++) {
        words[1 + 2 * i] = p->terms[i].coef;
        words[2 + 2 * i] = DIM_FIRST + p->terms[i].at;
    }
    return intern(table, DIM_SUM, words, 1 + 2 * (uint32_t)p->count);
}

static Dim combine(DimTable *table, Dim a, Dim b, int64_t factor) {
    Poly p, q;
    poly_open(table, a, &p);
    poly_open(table, b, &q);
    return poly_add_scaled(&p, &q, factor) ? poly_close(table, &p) : fail(table);
}

Dim dim_add_any(DimTable *table, Dim a, Dim b) {
    return combine(table, a, b, 1);
}

Dim dim_sub_any(DimTable *table, Dim a, Dim b) {
    return combine(table, a, b, -1);
}

/* ---- products -------------------------------------------------------------------------------- */

/* Factors of an expression that is no sum, as words by rising index. */
typedef struct Factors {
    uint32_t count;              /* factors in use */
    int64_t words[FACTORS_MOST]; /* of Dims */
} Factors;

static void factors_of(const DimTable *table, int64_t at, Factors *f) {
    SN_ASSERT((uint64_t)at < table->expressions.count);
    const DimExpression *e = &table->expressions.data[at];
    bool product = e->kind == DIM_PRODUCT;
    f->count = product ? e->count : 1;
    SN_ASSERT(e->kind != DIM_SUM && f->count <= FACTORS_MOST);
    f->words[0] = DIM_FIRST + at;
    if (product) memcpy(f->words, dim_words(table, e), e->count * sizeof *f->words);
}

/* Index of the expression that is the product of these; -1 when it is too long. */
static int64_t multiply_expressions(DimTable *table, int64_t x, int64_t y) {
    Factors a, b;
    factors_of(table, x, &a);
    factors_of(table, y, &b);
    if (a.count + b.count > FACTORS_MOST) return -1;
    for (uint32_t i = 0; i < b.count; i++) {
        uint32_t at = a.count++;
        for (; at > 0 && a.words[at - 1] > b.words[i]; at--) a.words[at] = a.words[at - 1];
        a.words[at] = b.words[i];
    }
    Dim d = intern(table, DIM_PRODUCT, a.words, a.count);
    return dim_is_number(d) ? -1 : d.word - DIM_FIRST;
}

static bool poly_multiply(DimTable *table, const Poly *a, const Poly *b, Poly *result) {
    *result = (Poly){0};
    if (!poly_add_scaled(result, a, b->constant)) return false;
    Poly rest = *b;
    rest.constant = 0;
    if (!poly_add_scaled(result, &rest, a->constant)) return false;
    for (int32_t i = 0; i < a->count; i++) {
        for (int32_t j = 0; j < b->count; j++) {
            int64_t coef, at = multiply_expressions(table, a->terms[i].at, b->terms[j].at);
            if (at < 0 || __builtin_mul_overflow(a->terms[i].coef, b->terms[j].coef, &coef) ||
                !poly_add(result, coef, at))
                return false;
        }
    }
    return true;
}

Dim dim_mul_any(DimTable *table, Dim a, Dim b) {
    Poly p, q, product;
    poly_open(table, a, &p);
    poly_open(table, b, &q);
    return poly_multiply(table, &p, &q, &product) ? poly_close(table, &product) : fail(table);
}

/* ---- quotients ------------------------------------------------------------------------------- */

/* Divides an expression that is no sum by another: 1 where they are the same; false where it is not
 * a multiple. The result is the number 1 or an expression. */
static bool divide_expression(DimTable *table, int64_t x, int64_t y, Dim *result) {
    Factors a, b;
    factors_of(table, x, &a);
    factors_of(table, y, &b);
    uint32_t kept = 0, at = 0;
    for (uint32_t i = 0; i < a.count; i++) {
        if (at < b.count && a.words[i] == b.words[at])
            at++;
        else
            a.words[kept++] = a.words[i];
    }
    if (at < b.count) return false;
    *result = kept == 0   ? dim_of(1)
              : kept == 1 ? (Dim){a.words[0]}
                          : intern(table, DIM_PRODUCT, a.words, kept);
    return true;
}

/* a / b where b is one term and divides every term of a. */
static bool divide_by_term(DimTable *table, const Poly *a, Term b, Poly *quotient) {
    *quotient = (Poly){0};
    if (a->constant != 0) return false;
    for (int32_t i = 0; i < a->count; i++) {
        Dim rest;
        if (!dim_can_divide(a->terms[i].coef, b.coef) || a->terms[i].coef % b.coef != 0)
            return false;
        if (!divide_expression(table, a->terms[i].at, b.at, &rest)) return false;
        int64_t coef = a->terms[i].coef / b.coef;
        if (dim_is_number(rest))
            quotient->constant += coef;
        else if (!poly_add(quotient, coef, rest.word - DIM_FIRST))
            return false;
    }
    return true;
}

/* a = k × b for a number k? */
static bool is_multiple(const Poly *a, const Poly *b, int64_t *k) {
    if (a->count != b->count || !b->count || !dim_can_divide(a->terms[0].coef, b->terms[0].coef))
        return false;
    *k = a->terms[0].coef / b->terms[0].coef;
    Poly difference = *a;
    return poly_add_scaled(&difference, b, -*k) && !difference.count && !difference.constant;
}

/* The quotient, where b divides a whatever the symbols are (b ≠ 0). */
static bool divide_exactly(DimTable *table, const Poly *a, const Poly *b, Poly *quotient) {
    int64_t k;
    if (b->count == 1 && b->constant == 0) return divide_by_term(table, a, b->terms[0], quotient);
    if (!is_multiple(a, b, &k)) return false;
    *quotient = (Poly){.constant = k};
    return true;
}

/* a = b × whole + rest for a number b > 0, with every coefficient of rest in [0, b). */
static bool split(const Poly *a, int64_t b, Poly *whole, Poly *rest) {
    SN_ASSERT(b > 0);
    *whole = (Poly){.constant = dim_floor_quotient(a->constant, b)};
    *rest = (Poly){.constant = dim_floor_remainder(a->constant, b)};
    for (int32_t i = 0; i < a->count; i++) {
        Term t = a->terms[i];
        if (!poly_add(whole, dim_floor_quotient(t.coef, b), t.at) ||
            !poly_add(rest, dim_floor_remainder(t.coef, b), t.at))
            return false;
    }
    return true;
}

/* QUOTIENT or REMAINDER of two operands of which no more is known. */
static Dim divide_opaquely(DimTable *table, DimKind kind, Dim a, Dim b) {
    int64_t words[] = {a.word, b.word};
    return intern(table, kind, words, 2);
}

static Dim divide_by_number(DimTable *table, const Poly *a, int64_t b, bool quotient) {
    Poly whole, rest;
    if (!split(a, b, &whole, &rest)) return fail(table);
    Dim r = poly_close(table, &rest), by = dim_of(b);
    bool in_range = dim_least(table, r) >= 0 && dim_most(table, r) < b;
    if (!quotient) return in_range ? r : divide_opaquely(table, DIM_REMAINDER, r, by);
    Dim q = poly_close(table, &whole);
    return in_range ? q : dim_add(table, q, divide_opaquely(table, DIM_QUOTIENT, r, by));
}

static Dim divide(DimTable *table, Dim a, Dim b, bool quotient) {
    SN_ASSERT(!dim_is(b, 0));
    if (dim_is_number(a) && dim_is_number(b)) {
        if (!dim_can_divide(a.word, b.word)) return fail(table);
        return dim_of(quotient ? dim_floor_quotient(a.word, b.word)
                               : dim_floor_remainder(a.word, b.word));
    }
    Poly p, q, exact;
    poly_open(table, a, &p);
    poly_open(table, b, &q);
    if (dim_is_number(b) && b.word > 0) return divide_by_number(table, &p, b.word, quotient);
    if (divide_exactly(table, &p, &q, &exact))
        return quotient ? poly_close(table, &exact) : dim_of(0);
    return divide_opaquely(table, quotient ? DIM_QUOTIENT : DIM_REMAINDER, a, b);
}

Dim dim_quotient(DimTable *table, Dim a, Dim b) {
    return divide(table, a, b, true);
}

Dim dim_remainder(DimTable *table, Dim a, Dim b) {
    return divide(table, a, b, false);
}

Dim dim_larger(DimTable *table, Dim a, Dim b) {
    if (dim_is_number(a) && dim_is_number(b)) return a.word > b.word ? a : b;
    Dim more = dim_sub(table, a, b);
    if (dim_least(table, more) >= 0) return a;
    if (dim_most(table, more) <= 0) return b;
    int64_t words[] = {a.word < b.word ? a.word : b.word, a.word < b.word ? b.word : a.word};
    return intern(table, DIM_LARGER, words, 2);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void add_guard(DimTable *table, Dim d, DimRelation relation) {
    for (uint32_t i = 0; i < table->guards.count; i++) {
        const DimGuard *g = &table->guards.data[i];
        if (dim_same(g->dim, d) && g->relation == relation) return;
    }
    if (!vec_push(&table->guards, ((DimGuard){d, (uint8_t)relation}))) fail(table);
}

/* The same said of less, so that what comes from other ops is found to be the same guard: what cannot
 * be positive is negative or zero, as is what cannot be below -1, plus one; a multiple is zero where
 * its factor is, a product where one of its factors is. */
static void note_guard(DimTable *table, Dim d, DimRelation relation) {
    bool of_sign = relation == DIM_NEGATIVE || relation == DIM_NOT_NEGATIVE;
    if (of_sign && dim_most(table, d) <= 0) {
        relation = relation == DIM_NEGATIVE ? DIM_NOT_ZERO : DIM_IS_ZERO;
    } else if (of_sign && dim_least(table, d) == -1) {
        d = dim_add(table, d, dim_of(1));
        relation = relation == DIM_NEGATIVE ? DIM_IS_ZERO : DIM_NOT_ZERO;
    }
    if (dim_is_number(d)) return; /* the table has failed */
    bool of_zero = relation == DIM_IS_ZERO || relation == DIM_NOT_ZERO;
    const DimExpression *e = dim_expression(table, d);
    if (of_zero && e->kind == DIM_SUM && e->count == 3 && dim_words(table, e)[0] == 0) {
        d = (Dim){dim_words(table, e)[2]};
        e = dim_expression(table, d);
    }
    if (relation != DIM_NOT_ZERO || e->kind != DIM_PRODUCT) {
        add_guard(table, d, relation);
        return;
    }
    for (uint32_t i = 0; i < e->count; i++)
        add_guard(table, (Dim){dim_words(table, e)[i]}, relation);
}

/* Notes that the answer was read off the hint. */
static bool decide(DimTable *table, Dim d, DimRelation yes, DimRelation no) {
    SN_ASSERT(dims_has(table, d));
    bool answer = dim_holds(dim_hint(table, d), yes);
    note_guard(table, d, answer ? yes : no);
    return answer;
}

bool dim_equal(DimTable *table, Dim a, Dim b) {
    if (dim_same(a, b)) return true;
    if (!table || (dim_is_number(a) && dim_is_number(b))) return false;
    Dim d = dim_sub(table, a, b);
    if (dim_is_number(d)) return d.word == 0;
    if (dim_least(table, d) > 0 || dim_most(table, d) < 0) return false;
    return decide(table, d, DIM_IS_ZERO, DIM_NOT_ZERO);
}

bool dim_less(DimTable *table, Dim a, Dim b) {
    if (!table || (dim_is_number(a) && dim_is_number(b))) return a.word < b.word;
    Dim d = dim_sub(table, dim_sub(table, b, a), dim_of(1));
    if (dim_is_number(d)) return d.word >= 0;
    if (dim_least(table, d) >= 0) return true;
    if (dim_most(table, d) < 0) return false;
    return decide(table, d, DIM_NOT_NEGATIVE, DIM_NEGATIVE);
}

bool dim_divides(DimTable *table, Dim divisor, Dim d) {
    return dim_equal(table, dim_remainder(table, d, divisor), dim_of(0));
}

int64_t dim_fixed(DimTable *table, Dim d) {
    int64_t value = dim_hint(table, d);
    if (!dim_is_number(d)) dim_equal(table, d, dim_of(value));
    return value;
}

bool dim_always_less(DimTable *table, Dim a, Dim b) {
    if (dim_is_number(a) && dim_is_number(b)) return a.word < b.word;
    return dim_least(table, dim_sub(table, b, a)) > 0;
}

bool dim_always_divides(DimTable *table, Dim divisor, Dim d) {
    if (dim_is_number(d) && dim_is_number(divisor))
        return divisor.word && d.word % divisor.word == 0;
    return !dim_is(divisor, 0) && dim_is(dim_remainder(table, d, divisor), 0);
}
