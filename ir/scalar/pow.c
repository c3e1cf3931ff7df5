/* pow for floats and integers, and hypot; the float ones in f64 (f32 casts around them). Largest
 * errors measured over 4 * 10^6 pairs, in ULP: beside each function. */
#include "ir/scalar/math.h"

#include <math.h>

/* ---- floats ---------------------------------------------------------------------------------- */

/* s = f / (2 + f) to about 100 bits, for f in [-0.3, 0.42]. */
static KPair atanh_argument(KBuilder *b, KValue f) {
    KPair g = k_fast_two_sum(b, k_num(b, f, 2.0), f);
    KValue inverse = k_div(b, k_num(b, f, 1.0), g.high);
    KValue s = k_mul(b, f, inverse);
    KValue rest = k_fma(b, k_neg(b, s), g.high, f);
    rest = k_fma(b, k_neg(b, s), g.low, rest);
    return (KPair){s, k_mul(b, rest, inverse)};
}

/* 2 atanh(s) - 2s = s^3 (2/3 + 2/5 s^2 + …): two terms in pairs, the rest a polynomial. */
static KPair atanh_tail(KBuilder *b, KPair s) {
    /* (2 atanh(s) / s - 2 - 2/3 z) / z^2 in z = s^2; tools/fit_math.py pow */
    static const double series[] = {0.40000000000002267, 0.28571428570093915, 0.2222222252095927,
                                    0.181817842749084,   0.15386761649382266, 0.13256715372494349,
                                    0.13197297558495319};
    static const double third_high = 0x1.5555555555555p-1; /* 2/3 */
    static const double third_low = 0x1.5555555555555p-55;
    KPair z = k_two_product(b, s.high, s.high);
    KValue cross = k_mul(b, s.high, s.low);
    z.low = k_add(b, z.low, k_add(b, cross, cross));
    KValue p = k_mul(b, z.high, k_poly(b, z.high, series, 7));
    KPair factor = k_fast_two_sum(b, k_num(b, p, third_high), p);
    factor.low = k_num2(b, OP_ADD, factor.low, third_low);
    KPair cube = k_two_product(b, s.high, z.high);
    cube.low = k_fma(b, s.high, z.low, cube.low);
    cube.low = k_fma(b, s.low, z.high, cube.low);
    KPair tail = k_two_product(b, cube.high, factor.high);
    tail.low = k_fma(b, cube.high, factor.low, tail.low);
    tail.low = k_fma(b, cube.low, factor.high, tail.low);
    return tail;
}

/* log x to about 66 bits, for finite x > 0 in f64. */
static KPair log_pair(KBuilder *b, KValue x) {
    static const double ln2_high = 0x1.62e42fefa38p-1; /* 42 bits: its product with e is exact */
    static const double ln2_low = 0x1.ef35793c7673p-45;
    KSplit split = k_split(b, x);
    KPair s = atanh_argument(b, k_num2(b, OP_SUB, split.mantissa, 1.0));
    KPair tail = atanh_tail(b, s);
    KValue twice = k_add(b, s.high, s.high);
    KPair sum = k_fast_two_sum(b, k_num2(b, OP_MUL, split.exponent, ln2_high), twice);
    KPair more = k_fast_two_sum(b, sum.high, tail.high);
    KValue low = k_add(b, k_add(b, sum.low, more.low), tail.low);
    low = k_fma(b, s.low, k_num(b, x, 2.0), low);
    low = k_fma(b, split.exponent, k_num(b, x, ln2_low), low);
    return k_fast_two_sum(b, more.high, low);
}

/* |x|^y for finite |x| > 0: exp(y log|x|). */
static KValue pow_magnitude(KBuilder *b, KValue x, KValue y) {
    KPair log = log_pair(b, x);
    KPair product = k_two_product(b, y, log.high);
    KValue low = k_fma(b, y, log.low, product.low);
    KValue near = k_num2(b, OP_LT, k_abs(b, product.high), 750.0);
    low = k_where(b, near, low, k_num(b, x, 0.0));
    KValue high = k_at_least(b, k_at_most(b, product.high, 710.0), -746.0);
    return k_exp_sum(b, (KPair){high, low});
}

/* Where y is an odd integer. */
static KValue is_odd(KBuilder *b, KValue y, KValue is_integer) {
    KValue half = k_num2(b, OP_MUL, y, 0.5);
    KValue odd = kb_op2(b, OP_NE, kb_op1(b, OP_TRUNC, half), half);
    return k_and(b, is_integer, odd);
}

/* C's special cases (C11 F.10.4.4), magnitude first, then the sign, then what is NaN, then what
 * is 1 whatever the other argument. y log|x| gives the right magnitude where |x| is 0 or
 * infinite if the logarithm does, so only that is patched. f64 0.9. */
KValue k_pow(KBuilder *b, KValue x, KValue y) {
    KValue a = k_abs(b, x);
    KValue zero = k_num(b, x, 0.0), one = k_num(b, x, 1.0), infinity = k_num(b, x, INFINITY);
    KValue value = pow_magnitude(b, a, y);
    KValue up = kb_op2(b, OP_EQ, kb_op2(b, OP_LT, a, one), kb_op2(b, OP_LT, y, zero));
    KValue limit = k_where(b, up, infinity, zero);
    KValue extreme = k_or(b, kb_op2(b, OP_EQ, a, zero), kb_op2(b, OP_EQ, a, infinity));
    extreme = k_or(b, extreme, kb_op2(b, OP_EQ, k_abs(b, y), infinity));
    value = k_where(b, extreme, limit, value);

    KValue is_integer = kb_op2(b, OP_EQ, kb_op1(b, OP_TRUNC, y), y);
    KValue negative = kb_op2(b, OP_LT, kb_bitcast(b, SN_I64, x), kb_int(b, SN_I64, 0));
    KValue odd = is_odd(b, y, is_integer);
    value = k_where(b, k_and(b, negative, odd), k_neg(b, value), value);

    KValue invalid = k_and(b, kb_op2(b, OP_LT, x, zero), kb_op2(b, OP_NE, a, infinity));
    invalid = k_and(b, invalid, kb_op2(b, OP_NE, is_integer, kb_int(b, SN_BOOL, 1)));
    invalid = k_or(b, invalid, kb_op2(b, OP_NE, x, x));
    invalid = k_or(b, invalid, kb_op2(b, OP_NE, y, y));
    value = k_where(b, invalid, k_num(b, x, NAN), value);

    KValue unit = k_or(b, kb_op2(b, OP_EQ, x, one), kb_op2(b, OP_EQ, y, zero));
    KValue minus_one = kb_op2(b, OP_EQ, x, k_num(b, x, -1.0));
    unit = k_or(b, unit, k_and(b, minus_one, kb_op2(b, OP_EQ, k_abs(b, y), infinity)));
    return k_where(b, unit, one, value);
}

/* sqrt(x^2 + y^2) with both scaled by a power of two when a square could leave the range; infinite
 * when either is, NaN or not. f64 1.0. */
KValue k_hypot(KBuilder *b, KValue x, KValue y) {
    KValue infinity = k_num(b, x, INFINITY), one = k_num(b, x, 1.0);
    x = k_abs(b, x);
    y = k_abs(b, y);
    KValue swap = kb_op2(b, OP_LT, x, y);
    KValue large = k_where(b, swap, y, x);
    KValue small = k_where(b, swap, x, y);
    KValue high = k_num2(b, OP_GT, large, 0x1p500);
    KValue low = k_num2(b, OP_LT, large, 0x1p-450);
    KValue scale =
        k_where(b, high, k_num(b, x, 0x1p-600), k_where(b, low, k_num(b, x, 0x1p600), one));
    KValue back =
        k_where(b, high, k_num(b, x, 0x1p600), k_where(b, low, k_num(b, x, 0x1p-600), one));
    large = k_mul(b, large, scale);
    small = k_mul(b, small, scale);
    KValue root = k_sqrt(b, k_fma(b, large, large, k_mul(b, small, small)));
    KValue infinite = k_or(b, kb_op2(b, OP_EQ, x, infinity), kb_op2(b, OP_EQ, y, infinity));
    return k_where(b, infinite, infinity, k_mul(b, root, back));
}

/* ---- integers -------------------------------------------------------------------------------- */

/* x^(y mod 2^bits) by squaring, bit by bit; *power becomes x^(2^bits). */
static KValue pow_low_bits(KBuilder *b, KValue x, KValue y, int32_t bits, KValue *power) {
    KValue result = k_int(b, x, 1);
    *power = x;
    for (int32_t i = 0; i < bits; i++) {
        KValue bit = k_int2(b, OP_BITWISE_AND, y, INT64_C(1) << i);
        KValue set = k_int2(b, OP_NE, bit, 0);
        result = k_where(b, set, k_mul(b, result, *power), result);
        *power = k_mul(b, *power, *power);
    }
    return result;
}

/* (1 + a)^m mod 2^64 where 2^16 divides a: 1 + m a + C(m,2) a^2 + C(m,3) a^3, a^4 being 0. Halving
 * the products loses their top bit, which the powers of a shift out anyway; 1/3 is the inverse of 3
 * modulo 2^64. */
static KValue pow_near_one(KBuilder *b, KValue a, KValue m) {
    KValue less1 = k_int2(b, OP_SUB, m, 1);
    KValue less2 = k_int2(b, OP_SUB, m, 2);
    KValue product = k_mul(b, m, less1);
    KValue choose2 = k_int2(b, OP_SHIFT_RIGHT_LOGICAL, product, 1);
    KValue choose3 = k_int2(b, OP_SHIFT_RIGHT_LOGICAL, k_mul(b, product, less2), 1);
    choose3 = k_int2(b, OP_MUL, choose3, (int64_t)UINT64_C(0xaaaaaaaaaaaaaaab));
    KValue sum = k_add(b, choose2, k_mul(b, choose3, a));
    sum = k_add(b, m, k_mul(b, sum, a));
    return k_int2(b, OP_ADD, k_mul(b, sum, a), 1);
}

/* Results wrap modulo 2^w, which keeps the loop short. For even x everything from y = w on is 0.
 * For odd x, x^(2^14) = 1 mod 2^16 (the order of a unit divides 2^(w-2)): the exponent's low 14
 * bits go by squaring; the others multiply by (1 + a)^m with 2^16 | a, which ends after a few
 * terms of the binomial series: none in 8 and 16 bits, one in 32, three in 64. */
KValue k_pow_int(KBuilder *b, KValue x, KValue y) {
    sn_dtype dtype = kb_dtype(b, x);
    int64_t width = 8 * (int64_t)sn_dtype_size(dtype);
    int32_t bits = width == 8 ? 6 : 14;
    KValue zero = k_int(b, x, 0);
    KValue power;
    KValue value = pow_low_bits(b, x, y, bits, &power);
    if (width > 16) {
        KValue m = k_int2(b, OP_SHIFT_RIGHT_LOGICAL, y, bits);
        KValue a = k_int2(b, OP_SUB, power, 1);
        KValue rest = width == 64 ? pow_near_one(b, a, m) : k_int2(b, OP_ADD, k_mul(b, a, m), 1);
        value = k_mul(b, value, rest);
    }
    KValue even = kb_op2(b, OP_EQ, k_int2(b, OP_BITWISE_AND, x, 1), zero);
    value = k_where(b, k_and(b, even, k_int2(b, OP_GE, y, width)), zero, value);
    if (!dtype_is_signed(dtype)) return value;
    KValue unit = k_or(b, k_int2(b, OP_EQ, x, 1), k_int2(b, OP_EQ, x, -1));
    KValue vanishes = k_and(b, kb_op2(b, OP_LT, y, zero), k_int2(b, OP_EQ, unit, 0));
    return k_where(b, vanishes, zero, value);
}
