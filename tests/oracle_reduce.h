/* Reductions, scans, norms, losses and contractions of the oracle: their rule is oracle_reduce_rule in
 * oracle_call.h. Sums, which windows have too. */
#ifndef SN_TESTS_ORACLE_REDUCE_H
#define SN_TESTS_ORACLE_REDUCE_H

#include "tests/oracle_call.h"

#include <math.h>

/* ---- sums ------------------------------------------------------------------------------------ */

/* A sum of floats and how far one in another order, of type c, may be from it. */
typedef struct Sum {
    long double value; /* in long double */
    long double terms; /* sum of |terms| */
    long double plain; /* of those that are finite */
    int64_t count;     /* terms */
} Sum;

/* The sum of -0 alone is -0, the empty one +0. */
static inline void sum_add(Sum *sum, long double term) {
    sum->value = sum->count ? sum->value + term : term;
    sum->terms += fabsl(term);
    if (isfinite(term)) sum->plain += fabsl(term);
    sum->count++;
}

/* n · epsilon · sum of |terms|. Infinite where a partial sum could overflow; 0 where infinities or NaN
 * decide the result. Sums of numbers that are subnormal are exact. */
static inline long double sum_bound(const Sum *sum, sn_dtype c) {
    if (sum->plain > oracle_format(oracle_compute(c)).largest) return INFINITY;
    if (!isfinite(sum->terms)) return 0;
    return (long double)sum->count * oracle_epsilon(c) * sum->terms;
}

/* The same for a sum of products or squares, which may be rounded to subnormal numbers. */
static inline long double products_bound(const Sum *sum, sn_dtype c) {
    return sum_bound(sum, c) + (long double)sum->count * oracle_tiny(c);
}

/* An element as a float. */
static inline long double element(const OracleTensor *x, int64_t i) {
    return oracle_real(x->dtype, oracle_number(x, i));
}

#endif
