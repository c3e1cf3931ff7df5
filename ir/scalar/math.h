/* Inside ir/scalar/: short names for the primitives that the bodies of elementary functions
 * are written in, and the pieces that several of them share. A body is a C function that appends
 * the instructions of f(x) and returns their value; the dtype of its operands is f32 or f64. */
#ifndef SN_IR_SCALAR_MATH_H
#define SN_IR_SCALAR_MATH_H

#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"

static inline KValue k_add(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_ADD, x, y);
}
static inline KValue k_sub(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_SUB, x, y);
}
static inline KValue k_mul(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_MUL, x, y);
}
static inline KValue k_div(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_DIV, x, y);
}
static inline KValue k_neg(KBuilder *b, KValue x) {
    return kb_op1(b, OP_NEG, x);
}
static inline KValue k_abs(KBuilder *b, KValue x) {
    return kb_op1(b, OP_ABS, x);
}
static inline KValue k_sqrt(KBuilder *b, KValue x) {
    return kb_op1(b, OP_SQRT, x);
}
/* x * y + z rounded once. */
static inline KValue k_fma(KBuilder *b, KValue x, KValue y, KValue z) {
    return kb_op3(b, OP_FMA, x, y, z);
}
static inline KValue k_copysign(KBuilder *b, KValue x, KValue sign) {
    return kb_op2(b, OP_COPYSIGN, x, sign);
}
static inline KValue k_where(KBuilder *b, KValue condition, KValue x, KValue y) {
    return kb_op3(b, OP_WHERE, condition, x, y);
}
/* The same for a condition that hardly ever holds: in most vectors x costs nothing. Those on one
 * condition should follow each other directly. */
static inline KValue k_where_rare(KBuilder *b, KValue condition, KValue x, KValue y) {
    return kb_where_rare(b, condition, x, y);
}
static inline KValue k_and(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_BITWISE_AND, x, y);
}
static inline KValue k_or(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_BITWISE_OR, x, y);
}
static inline KValue k_xor(KBuilder *b, KValue x, KValue y) {
    return kb_op2(b, OP_BITWISE_XOR, x, y);
}

/* A constant in the dtype of `like`. */
static inline KValue k_num(KBuilder *b, KValue like, double value) {
    return kb_float(b, kb_dtype(b, like), value);
}
static inline KValue k_int(KBuilder *b, KValue like, int64_t value) {
    return kb_int(b, kb_dtype(b, like), value);
}
/* x op constant. */
static inline KValue k_num2(KBuilder *b, OpCode op, KValue x, double value) {
    return kb_op2(b, op, x, k_num(b, x, value));
}
static inline KValue k_int2(KBuilder *b, OpCode op, KValue x, int64_t value) {
    return kb_op2(b, op, x, k_int(b, x, value));
}

/* The larger (smaller) of x and a constant other than 0; NaN stays. Cheaper on x86 than the
 * primitive, which has to look after NaN and -0. */
static inline KValue k_at_least(KBuilder *b, KValue x, double least) {
    return k_where(b, k_num2(b, OP_LT, x, least), k_num(b, x, least), x);
}
static inline KValue k_at_most(KBuilder *b, KValue x, double most) {
    return k_where(b, k_num2(b, OP_GT, x, most), k_num(b, x, most), x);
}

/* c[0] + c[1] x + … + c[n - 1] x^(n - 1), by Horner's rule with fma. */
KValue k_poly(KBuilder *b, KValue x, const double *c, int32_t n);

/* An unevaluated sum of two floats, |low| ≤ ulp(high). */
typedef struct KPair {
    KValue high; /* the sum rounded */
    KValue low;  /* what rounding left out */
} KPair;

/* x + y exactly, for |x| ≥ |y| or x = 0 (Dekker 1971). */
KPair k_fast_two_sum(KBuilder *b, KValue x, KValue y);
/* x + y exactly (Knuth). */
KPair k_two_sum(KBuilder *b, KValue x, KValue y);
/* x * y exactly, but for underflow. */
KPair k_two_product(KBuilder *b, KValue x, KValue y);

/* The integer type as wide as a float type. */
static inline sn_dtype dtype_same_size_int(sn_dtype dtype) {
    return dtype == SN_F64 ? SN_I64 : SN_I32;
}
static inline KValue k_bits(KBuilder *b, KValue x) {
    return kb_bitcast(b, dtype_same_size_int(kb_dtype(b, x)), x);
}

/* round(x * scale), |…| < 2^22 in f32 or 2^51 in f64, as a float and in the low bits of an integer,
 * to which `bias` (a small positive integer) is added. x * scale is not rounded before. */
typedef struct KRounded {
    KValue number; /* the integer as a float */
    KValue bits;   /* an integer whose low bits (mantissa size - 2) are number + bias */
} KRounded;
KRounded k_round_scaled(KBuilder *b, KValue x, KValue scale, double bias);

/* ---- functions, by file ---------------------------------------------------------------------- */

/* ir/scalar/exp.c */
KValue k_exp(KBuilder *b, KValue x);
KValue k_exp_sum(KBuilder *b, KPair x);                     /* exp(high + low), |high| < 760 */
KValue k_exp_sum_times(KBuilder *b, KPair x, KPair factor); /* the same times factor */
KValue k_exp_not_positive(KBuilder *b, KValue x);           /* exp(x) for x ≤ 0 */
KValue k_exp2(KBuilder *b, KValue x);
KValue k_one_minus_exp2(KBuilder *b, KValue x); /* 1 - 2^x for -100 ≤ x ≤ 0, f32 */
KValue k_expm1(KBuilder *b, KValue x);
KValue k_sinh(KBuilder *b, KValue x);
KValue k_cosh(KBuilder *b, KValue x);
KValue k_tanh(KBuilder *b, KValue x);
KValue k_sigmoid(KBuilder *b, KValue x);

/* 2^(x y + shift) = (1 + slope rest) factor, for products of pairs, the second complete, the first with a low
 * part or none, -bias < x y + shift ≤ bias + 1. */
typedef struct KPower {
    KValue rest;   /* x y - round(x y) */
    KValue slope;  /* (2^rest - 1) / rest */
    KValue factor; /* 2^(round(x y) + shift), infinite at bias + 1 */
} KPower;
KPower k_power_of_two(KBuilder *b, KPair x, KPair y, double shift);

/* ir/scalar/gate.c */
KValue k_silu(KBuilder *b, KValue x);
KValue k_mish(KBuilder *b, KValue x);
KValue k_gelu(KBuilder *b, KValue x);
KValue k_gelu_tanh(KBuilder *b, KValue x);

/* ir/scalar/log.c */
KValue k_log(KBuilder *b, KValue x);
KValue k_log2(KBuilder *b, KValue x);
KValue k_log10(KBuilder *b, KValue x);
KValue k_log1p(KBuilder *b, KValue x);
KValue k_asinh(KBuilder *b, KValue x);
KValue k_acosh(KBuilder *b, KValue x);
KValue k_atanh(KBuilder *b, KValue x);

/* x = mantissa * 2^exponent with mantissa in [sqrt(1/2), sqrt(2)), x > 0 and finite. */
typedef struct KSplit {
    KValue mantissa; /* float */
    KValue exponent; /* float of integer value */
} KSplit;
KSplit k_split(KBuilder *b, KValue x);

/* ir/scalar/pow.c */
KValue k_pow(KBuilder *b, KValue x, KValue y);
KValue k_pow_int(KBuilder *b, KValue x, KValue y);
KValue k_hypot(KBuilder *b, KValue x, KValue y);

/* ir/scalar/trig.c */
KValue k_sin(KBuilder *b, KValue x);
KValue k_cos(KBuilder *b, KValue x);
KValue k_tan(KBuilder *b, KValue x);

/* ir/scalar/arc.c */
KValue k_asin(KBuilder *b, KValue x);
KValue k_acos(KBuilder *b, KValue x);
KValue k_atan(KBuilder *b, KValue x);
KValue k_atan2(KBuilder *b, KValue y, KValue x);

/* ir/scalar/erf.c */
KValue k_erf(KBuilder *b, KValue x);
KValue k_erfc(KBuilder *b, KValue x);

#endif
