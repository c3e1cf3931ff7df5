/* Inside expressions of sizes: their words, values and bounds, for the files that make, evaluate and print
 * them. See dim.h. */
#ifndef SN_IR_OP_DIM_VALUE_H
#define SN_IR_OP_DIM_VALUE_H

#include "ir/op/dim.h"

static inline const int64_t *dim_words(const DimTable *table, const DimExpression *e) {
    return table->words.data + e->first;
}

/* ---- division, rounded towards minus infinity ------------------------------------------------ */

static inline bool dim_can_divide(int64_t a, int64_t b) {
    return b != 0 && !(a == INT64_MIN && b == -1);
}

static inline int64_t dim_floor_quotient(int64_t a, int64_t b) {
    SN_ASSERT(dim_can_divide(a, b));
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static inline int64_t dim_floor_remainder(int64_t a, int64_t b) {
    SN_ASSERT(dim_can_divide(a, b));
    int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* ---- values and bounds (dim_value.c) --------------------------------------------------------- */

/* The value of an expression other than a symbol, for values of those before it; NULL: their hints. False
 * where it overflows, or divides by 0. */
bool dim_evaluate(const DimTable *table, const int64_t *values, DimKind kind, const int64_t *words,
                  uint32_t count, int64_t *result);

/* A closed interval; INT64_MIN and INT64_MAX stand for no bound. */
typedef struct DimRange {
    int64_t least; /* never below */
    int64_t most;  /* never above */
} DimRange;

/* The range of an expression other than a symbol. */
DimRange dim_range(const DimTable *table, DimKind kind, const int64_t *words, uint32_t count);

/* Does a value that is guarded hold to its relation? */
bool dim_holds(int64_t value, DimRelation relation);

#endif
