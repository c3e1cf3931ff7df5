/* Values of expressions for values of the symbols, bounds that hold for all of them, and whether guards are
 * met; see dim.h. */
#include "ir/op/dim_value.h"

/* ---- values ---------------------------------------------------------------------------------- */

/* A word's value: of the binding, or its hint where `values` is NULL. */
static int64_t value_of(const DimTable *table, const int64_t *values, int64_t word) {
    Dim d = {word};
    if (dim_is_number(d)) return word;
    SN_ASSERT(dims_has(table, d));
    return values ? values[word - DIM_FIRST] : dim_expression(table, d)->hint;
}

static bool evaluate_sum(const DimTable *table, const int64_t *values, const int64_t *words,
                         uint32_t count, int64_t *result) {
    int64_t sum = words[0], product;
    SN_ASSERT(count % 2 == 1);
    for (uint32_t i = 1; i < count; i += 2) {
        int64_t x = value_of(table, values, words[i + 1]);
        if (__builtin_mul_overflow(words[i], x, &product)) return false;
        if (__builtin_add_overflow(sum, product, &sum)) return false;
    }
    *result = sum;
    return true;
}

bool dim_evaluate(const DimTable *table, const int64_t *values, DimKind kind, const int64_t *words,
                  uint32_t count, int64_t *result) {
    if (kind == DIM_SUM) return evaluate_sum(table, values, words, count, result);
    SN_ASSERT(kind != DIM_SYMBOL && count >= 2);
    int64_t x = value_of(table, values, words[0]);
    for (uint32_t i = 1; i < count; i++) {
        int64_t y = value_of(table, values, words[i]);
        bool divides = kind == DIM_QUOTIENT || kind == DIM_REMAINDER;
        if (divides && !dim_can_divide(x, y)) return false;
        if (kind == DIM_PRODUCT && __builtin_mul_overflow(x, y, &x)) return false;
        if (kind == DIM_QUOTIENT) x = dim_floor_quotient(x, y);
        if (kind == DIM_REMAINDER) x = dim_floor_remainder(x, y);
        if (kind == DIM_LARGER && y > x) x = y;
    }
    *result = x;
    return true;
}

bool dims_evaluate(const DimTable *table, const int64_t *symbols, int64_t *values) {
    for (uint32_t i = 0; i < table->expressions.count; i++) {
        const DimExpression *e = &table->expressions.data[i];
        const int64_t *words = dim_words(table, e);
        bool needed = !table->needed.count || table->needed.data[i];
        if (!needed) continue;
        if (e->kind != DIM_SYMBOL) {
            if (!dim_evaluate(table, values, (DimKind)e->kind, words, e->count, &values[i]))
                return false;
            continue;
        }
        SN_ASSERT((uint64_t)words[0] < table->symbols.count);
        values[i] = symbols[words[0]];
        if (values[i] < e->least || values[i] > e->most) return false;
    }
    return true;
}

static void need(DimTable *table, int64_t word) {
    if (dim_is_number((Dim){word})) return;
    SN_ASSERT(word - DIM_FIRST < table->needed.count);
    table->needed.data[word - DIM_FIRST] = 1;
}

/* Words of an expression that are Dims: of a sum every second one behind the constant. */
static void need_operands(DimTable *table, const DimExpression *e) {
    const int64_t *words = dim_words(table, e);
    uint32_t first = e->kind == DIM_SUM ? 2 : 0, step = e->kind == DIM_SUM ? 2 : 1;
    for (uint32_t i = first; e->kind != DIM_SYMBOL && i < e->count; i += step)
        need(table, words[i]);
}

bool dims_limit(DimTable *table, const Dim *roots, uint32_t count) {
    uint32_t n = table->expressions.count;
    if (!vec_reserve(&table->needed, n + 1)) return false;
    memset(table->needed.data, 0, n);
    table->needed.count = n;
    for (uint32_t i = 0; i < count; i++) need(table, roots[i].word);
    for (uint32_t i = 0; i < table->guards.count; i++) need(table, table->guards.data[i].dim.word);
    for (uint32_t i = 0; i < table->symbols.count; i++)
        need(table, table->symbols.data[i].dim.word);
    for (uint32_t i = n; i-- > 0;)
        if (table->needed.data[i]) need_operands(table, &table->expressions.data[i]);
    return true;
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static const DimRange anything = {INT64_MIN, INT64_MAX};

static bool is_endless(int64_t x) {
    return x == INT64_MIN || x == INT64_MAX;
}

/* Lower bounds are never INT64_MAX and upper ones never INT64_MIN, so no two infinities meet. */
static int64_t add_bounds(int64_t a, int64_t b) {
    int64_t sum;
    SN_ASSERT(!is_endless(a) || !is_endless(b) || a == b);
    if (is_endless(a)) return a;
    if (is_endless(b)) return b;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t multiply_bounds(int64_t a, int64_t b) {
    int64_t product;
    if (a == 0 || b == 0) return 0;
    bool finite = !is_endless(a) && !is_endless(b);
    if (finite && !__builtin_mul_overflow(a, b, &product)) return product;
    return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}

static DimRange multiply_ranges(DimRange x, DimRange y) {
    int64_t corners[] = {multiply_bounds(x.least, y.least), multiply_bounds(x.least, y.most),
                         multiply_bounds(x.most, y.least), multiply_bounds(x.most, y.most)};
    DimRange r = {corners[0], corners[0]};
    for (int i = 1; i < 4; i++) {
        if (corners[i] < r.least) r.least = corners[i];
        if (corners[i] > r.most) r.most = corners[i];
    }
    return r;
}

static DimRange range_of(const DimTable *table, int64_t word) {
    Dim d = {word};
    if (dim_is_number(d)) return (DimRange){word, word};
    return (DimRange){dim_expression(table, d)->least, dim_expression(table, d)->most};
}

static DimRange range_of_sum(const DimTable *table, const int64_t *words, uint32_t count) {
    DimRange sum = {words[0], words[0]};
    for (uint32_t i = 1; i < count; i += 2) {
        DimRange factor = {words[i], words[i]};
        DimRange term = multiply_ranges(factor, range_of(table, words[i + 1]));
        sum = (DimRange){add_bounds(sum.least, term.least), add_bounds(sum.most, term.most)};
    }
    return sum;
}

static DimRange range_of_quotient(DimRange x, DimRange y) {
    if (y.least != y.most || y.least <= 0) return anything;
    DimRange r = x;
    if (!is_endless(x.least)) r.least = dim_floor_quotient(x.least, y.least);
    if (!is_endless(x.most)) r.most = dim_floor_quotient(x.most, y.least);
    return r;
}

DimRange dim_range(const DimTable *table, DimKind kind, const int64_t *words, uint32_t count) {
    if (kind == DIM_SUM) return range_of_sum(table, words, count);
    DimRange x = range_of(table, words[0]);
    for (uint32_t i = 1; i < count; i++) {
        DimRange y = range_of(table, words[i]);
        if (kind == DIM_PRODUCT) {
            x = multiply_ranges(x, y);
        } else if (kind == DIM_LARGER) {
            x.least = x.least > y.least ? x.least : y.least;
            x.most = x.most > y.most ? x.most : y.most;
        } else if (kind == DIM_QUOTIENT) {
            x = range_of_quotient(x, y);
        } else {
            bool known = y.least == y.most && y.least > 0;
            x = known ? (DimRange){0, y.least - 1} : anything;
        }
    }
    return x;
}

/* ---- guards ---------------------------------------------------------------------------------- */

bool dim_holds(int64_t value, DimRelation relation) {
    switch (relation) {
    case DIM_IS_ZERO:
        return value == 0;
    case DIM_NOT_ZERO:
        return value != 0;
    case DIM_NOT_NEGATIVE:
        return value >= 0;
    default:
        return value < 0;
    }
}

const DimGuard *dims_failing(const DimTable *table, const int64_t *values) {
    for (uint32_t i = 0; i < table->guards.count; i++) {
        const DimGuard *g = &table->guards.data[i];
        if (!dim_holds(dim_value(values, g->dim), (DimRelation)g->relation)) return g;
    }
    return NULL;
}
