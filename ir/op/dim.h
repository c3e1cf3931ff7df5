/* Sizes, strides and integer attributes that may vary: a Dim is a number, or an expression of symbols
 * whose values a call binds. Expressions are polynomials over symbols and over quotients, remainders
 * and maxima of expressions, in one normal form: equal polynomials are the same Dim.
 *
 * Every expression also has a hint, its value for the sizes at hand. Code that must know whether two
 * expressions are equal, or which is smaller, asks dim_equal and dim_less: what no bounds decide, the
 * hints decide, and the table notes the answer as a guard that other values of the symbols must meet.
 * Code that only wants to be fast asks dim_hint, which binds nobody. */
#ifndef SN_IR_OP_DIM_H
#define SN_IR_OP_DIM_H

#include "base/assert.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "base/vec.h"

#include <string.h>

typedef struct Dim {
    int64_t word; /* the number, or DIM_FIRST + the index of an expression */
} Dim;

/* Words of expressions begin far below every number that is a Dim. */
#define DIM_FIRST (INT64_MIN / 2)
enum { DIM_MOST_EXPRESSIONS = 1 << 24 };

/* No tensor has more elements; its sizes and positions are no further from 0, its strides not twice as
 * far. */
#define SIZE_MOST (INT64_MAX / 8)
#define DIM_NUMBER_MOST (INT64_MAX / 4)

typedef enum DimKind {
    DIM_SYMBOL,    /* words: number of the symbol */
    DIM_SUM,       /* words: constant, then (coefficient, expression) by rising expression */
    DIM_PRODUCT,   /* words: two or more factors by rising index, none of them SUM or PRODUCT */
    DIM_QUOTIENT,  /* words: dividend, divisor; rounds towards minus infinity */
    DIM_REMAINDER, /* words: dividend, divisor; has the sign of the divisor */
    DIM_LARGER     /* words: the two, in rising order */
} DimKind;

typedef struct DimExpression {
    uint8_t kind;   /* DimKind */
    uint32_t first; /* in DimTable.words */
    uint32_t count; /* words */
    int64_t hint;   /* value for the sizes at hand */
    int64_t least;  /* never below; INT64_MIN: unknown */
    int64_t most;   /* never above; INT64_MAX: unknown */
    uint64_t hash;  /* of kind and words */
} DimExpression;

typedef struct DimSymbol {
    const char *name; /* for print; not owned; NULL: s and the number */
    Dim dim;          /* the expression that is this symbol */
} DimSymbol;

typedef enum DimRelation { DIM_IS_ZERO, DIM_NOT_ZERO, DIM_NOT_NEGATIVE, DIM_NEGATIVE } DimRelation;

/* What a decision relied on. */
typedef struct DimGuard {
    Dim dim;          /* an expression */
    uint8_t relation; /* DimRelation that it has to zero */
} DimGuard;

typedef struct DimTable {
    VEC(DimExpression) expressions; /* operands come before what is made of them */
    VEC(int64_t) words;             /* of all expressions; Dims as their words */
    VEC(DimSymbol) symbols;         /* by number */
    VEC(DimGuard) guards;           /* each once */
    Map map;                        /* hash → expression */
    VEC(uint8_t) needed; /* by expression: dims_evaluate gives its value; empty: of all */
    bool failed;         /* out of memory, out of range or too long an expression: what was
                                       made since is worthless */
} DimTable;

void dims_init(DimTable *table);
void dims_free(DimTable *table);

static inline bool dim_is_number(Dim d) {
    return (uint64_t)d.word - (uint64_t)DIM_FIRST >= DIM_MOST_EXPRESSIONS;
}
static inline Dim dim_of(int64_t value) {
    SN_ASSERT(dim_is_number((Dim){value}));
    return (Dim){value};
}

/* The door from numbers to Dims: can a number that a program or a file gave be one? Inference lets no
 * other pass as an attribute, graph_input none as a size or stride. */
static inline bool number_is_dim(int64_t number) {
    return number >= -DIM_NUMBER_MOST && number <= DIM_NUMBER_MOST;
}
static inline bool numbers_are_dims(const int64_t *numbers, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (!number_is_dim(numbers[i])) return false;
    return true;
}
/* The sizes or strides of a tensor as Dims, in place. */
static inline const Dim *dims_of_numbers(const int64_t *numbers, int32_t count) {
    SN_ASSERT(numbers_are_dims(numbers, count));
    (void)count;
    return (const Dim *)numbers;
}
/* And back: dims of which none is an expression. */
static inline bool dims_are_numbers(const Dim *dims, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (!dim_is_number(dims[i])) return false;
    return true;
}
static inline const int64_t *dims_as_numbers(const Dim *dims, int32_t count) {
    SN_ASSERT(dims_are_numbers(dims, count));
    (void)count;
    return (const int64_t *)dims;
}
/* Words of a graph that hold Dims, expressions included; and back. */
static inline const Dim *dims_of_words(const int64_t *words) {
    return (const Dim *)words;
}
static inline const int64_t *words_of_dims(const Dim *dims) {
    return (const int64_t *)dims;
}

/* Are the two the same number or the same expression? Different ones may still be equal. */
static inline bool dim_same(Dim a, Dim b) {
    return a.word == b.word;
}
/* The same of all of them. */
static inline bool dims_same(const Dim *a, const Dim *b, int32_t count) {
    return memcmp(a, b, sizeof *a * (size_t)count) == 0;
}
/* Is it this number? An expression is not, whatever its hint. */
static inline bool dim_is(Dim d, int64_t value) {
    return d.word == value;
}

/* Is it one of the table's expressions? `table` may be NULL. */
static inline bool dims_has(const DimTable *table, Dim d) {
    return table && !dim_is_number(d) && d.word - DIM_FIRST < (int64_t)table->expressions.count;
}

/* A new symbol, with bounds that every value of it keeps. */
Dim dim_symbol(DimTable *table, const char *name, int64_t hint, int64_t least, int64_t most);

/* `table` may be NULL where all operands are numbers; a result that is too large is then 0. The forms
 * with _any are what is left when two numbers are out of the way. */
Dim dim_add_any(DimTable *table, Dim a, Dim b);
Dim dim_sub_any(DimTable *table, Dim a, Dim b);
Dim dim_mul_any(DimTable *table, Dim a, Dim b);
static inline Dim dim_add(DimTable *table, Dim a, Dim b) {
    Dim sum;
    bool plain = dim_is_number(a) && dim_is_number(b);
    return plain && !__builtin_add_overflow(a.word, b.word, &sum.word) && dim_is_number(sum)
               ? sum
               : dim_add_any(table, a, b);
}
static inline Dim dim_sub(DimTable *table, Dim a, Dim b) {
    Dim difference;
    bool plain = dim_is_number(a) && dim_is_number(b);
    return plain && !__builtin_sub_overflow(a.word, b.word, &difference.word) &&
                   dim_is_number(difference)
               ? difference
               : dim_sub_any(table, a, b);
}
static inline Dim dim_mul(DimTable *table, Dim a, Dim b) {
    Dim product;
    bool plain = dim_is_number(a) && dim_is_number(b);
    return plain && !__builtin_mul_overflow(a.word, b.word, &product.word) && dim_is_number(product)
               ? product
               : dim_mul_any(table, a, b);
}
/* Rounded towards minus infinity, and what is left. The divisor may not be the number 0. */
Dim dim_quotient(DimTable *table, Dim a, Dim b);
Dim dim_remainder(DimTable *table, Dim a, Dim b);
Dim dim_larger(DimTable *table, Dim a, Dim b);

/* The expression behind a Dim that is no number. */
static inline const DimExpression *dim_expression(const DimTable *table, Dim d) {
    SN_ASSERT(dims_has(table, d));
    return &table->expressions.data[d.word - DIM_FIRST];
}
/* The value for the sizes at hand; binds nobody. */
static inline int64_t dim_hint(const DimTable *table, Dim d) {
    return dim_is_number(d) ? d.word : dim_expression(table, d)->hint;
}
/* Bounds that hold for all values of the symbols. */
static inline int64_t dim_least(const DimTable *table, Dim d) {
    return dim_is_number(d) ? d.word : dim_expression(table, d)->least;
}
static inline int64_t dim_most(const DimTable *table, Dim d) {
    return dim_is_number(d) ? d.word : dim_expression(table, d)->most;
}

/* Is this so for all values of the symbols, by their bounds? Binds nobody. */
bool dim_always_less(DimTable *table, Dim a, Dim b);
bool dim_always_divides(DimTable *table, Dim divisor, Dim d);

/* Decisions: the answer holds for every binding that meets the guards. Without a table both are numbers,
 * whatever they look like. */
bool dim_equal(DimTable *table, Dim a, Dim b);
/* The same of all of them. */
static inline bool dims_equal(DimTable *table, const Dim *a, const Dim *b, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (!dim_equal(table, a[i], b[i])) return false;
    return true;
}
bool dim_less(DimTable *table, Dim a, Dim b);
bool dim_divides(DimTable *table, Dim divisor, Dim d);
/* The value at hand, to which this ties all bindings. */
int64_t dim_fixed(DimTable *table, Dim d);

/* Values of all expressions (as many as the table has) for values of all symbols. False where a
 * value lies outside a symbol's bounds, overflows, or is divided by zero. */
bool dims_evaluate(const DimTable *table, const int64_t *symbols, int64_t *values);
/* From now on only the values of `roots`, of guards, and of what those are made of are wanted. Nothing may
 * be added to the table any more. False when out of memory. */
bool dims_limit(DimTable *table, const Dim *roots, uint32_t count);
/* The first guard that these values do not meet, or NULL. */
const DimGuard *dims_failing(const DimTable *table, const int64_t *values);
static inline int64_t dim_value(const int64_t *values, Dim d) {
    return dim_is_number(d) ? d.word : values[d.word - DIM_FIRST];
}

/* "4", "T", "s0*768 + 1", "(T + 15) / 16". */
void dim_print(StrBuf *out, const DimTable *table, Dim d);
/* "T*B != 1" and the like. */
void dim_print_guard(StrBuf *out, const DimTable *table, const DimGuard *guard);

#endif
