/* Logarithms in f32 and f64 with one text, and the inverse hyperbolic functions made of log1p. x
 * = m 2^e with m in [sqrt(1/2), sqrt(2)), f = m - 1 (exact), log x = e ln 2 + f + tail(f),
 * summed so that only the last addition rounds at full weight. Largest errors measured, in ULP:
 * beside each function; arguments as in ir/scalar/exp.c, f64 also dense around 1 (log1p: around
 * 0). */
#include "ir/scalar/math.h"

#include <math.h>

/* What differs between the two formats. */
typedef struct LogFormat {
    double least_normal;   /* below it x is scaled up before its exponent is taken */
    double scale_up;       /* 2^mantissa_bits */
    double magic_one;      /* 2^mantissa_bits + exponent bias */
    int64_t magic_bits;    /* pattern of 2^mantissa_bits: an integer or'ed in is its float */
    int64_t root_bits;     /* pattern of sqrt(1/2) */
    int64_t one_bits;      /* pattern of 1 */
    int64_t mantissa;      /* mask of the stored mantissa */
    int32_t mantissa_bits; /* stored bits of the mantissa */
    int32_t n_terms;       /* of `series` */
    double series[8]; /* f32: (log(1 + f) - f + f^2 / 2) / f^3 in f; f64: (2 atanh(s) / s - 2) / z
                             in z = s^2; tools/fit_math.py log */
} LogFormat;

static const LogFormat formats[2] = {
    {.least_normal = 0x1p-126,
     .scale_up = 0x1p23,
     .magic_one = 0x1p23 + 127,
     .magic_bits = 0x4b000000,
     .root_bits = 0x3f3504f3,
     .one_bits = 0x3f800000,
     .mantissa = 0x007fffff,
     .mantissa_bits = 23,
     .n_terms = 8,
     .series = {0.333333164, -0.250008136, 0.200022921, -0.166244239, 0.141812205, -0.131303459,
                0.128811732, -0.0785360485}},
    {.least_normal = 0x1p-1022,
     .scale_up = 0x1p52,
     .magic_one = 0x1p52 + 1023,
     .magic_bits = 0x4330000000000000,
     .root_bits = 0x3fe6a09e667f3bcd,
     .one_bits = 0x3ff0000000000000,
     .mantissa = 0x000fffffffffffff,
     .mantissa_bits = 52,
     .n_terms = 7,
     .series = {0.66666666666667351, 0.39999999999410046, 0.28571428743406907, 0.2222219846796912,
                0.18183569881956613, 0.15313905312107234, 0.14797439146434513}},
};

/* A logarithm to some base: log 2 in two parts, the first so short that its product with an
 * exponent is exact, and the factor from the natural one in two parts. */
typedef struct LogBase {
    double two_high, two_low;       /* logarithm of 2 */
    double factor_high, factor_low; /* 1 / ln base */
} LogBase;

static const LogBase natural[2] = {{0x1.62e4p-1, 0x1.7f7d1cp-20, 1, 0},
                                   {0x1.62e42fefa38p-1, 0x1.ef35793c7673p-45, 1, 0}};
static const LogBase binary[2] = {{1, 0, 0x1.715476p+0, 0x1.4ae0cp-26},
                                  {1, 0, 0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56}};
static const LogBase decimal[2] = {
    {0x1.3442p-2, -0x1.95ec1p-19, 0x1.bcb7b2p-2, -0x1.5b235ep-27},
    {0x1.34413509f78p-2, 0x1.fef311f12b358p-46, 0x1.bcb7b1526e50ep-2, 0x1.95355baaafad3p-57}};

static int is_f64(KBuilder *b, KValue x) {
    return kb_dtype(b, x) == SN_F64;
}

/* Takes a normal x apart; `magic_one` = 2^mantissa_bits + bias + what the caller scaled x by. */
static KSplit split_normal(KBuilder *b, const LogFormat *f, KValue x, KValue magic_one) {
    sn_dtype dtype = kb_dtype(b, x);
    KValue bits = k_int2(b, OP_ADD, k_bits(b, x), f->one_bits - f->root_bits);
    KValue mantissa = k_int2(b, OP_BITWISE_AND, bits, f->mantissa);
    mantissa = k_int2(b, OP_ADD, mantissa, f->root_bits);
    KValue exponent = k_int2(b, OP_SHIFT_RIGHT_LOGICAL, bits, f->mantissa_bits);
    exponent = kb_bitcast(b, dtype, k_int2(b, OP_BITWISE_OR, exponent, f->magic_bits));
    return (KSplit){kb_bitcast(b, dtype, mantissa), k_sub(b, exponent, magic_one)};
}

KSplit k_split(KBuilder *b, KValue x) {
    const LogFormat *f = &formats[is_f64(b, x)];
    KValue tiny = k_num2(b, OP_LT, x, f->least_normal);
    KValue scaled = k_where(b, tiny, k_num2(b, OP_MUL, x, f->scale_up), x);
    KValue magic_one =
        k_where(b, tiny, k_num(b, x, f->magic_one + f->mantissa_bits), k_num(b, x, f->magic_one));
    return split_normal(b, f, scaled, magic_one);
}

/* log(1 + f) - f. In f32 a polynomial; in f64, where it would be too long, through
 * log(1 + f) = 2 atanh(s), s = f / (2 + f), which gives tail = s (h + R(s^2)) - h, h = f^2 / 2
 * (Tang 1990; Muller, "Elementary Functions"). */
static KValue log_tail(KBuilder *b, KValue f) {
    const LogFormat *format = &formats[is_f64(b, f)];
    KValue square = k_mul(b, f, f);
    if (kb_dtype(b, f) == SN_F32) {
        KValue p = k_poly(b, f, format->series, format->n_terms);
        return k_mul(b, square, k_fma(b, p, f, k_num(b, f, -0.5)));
    }
    KValue h = k_num2(b, OP_MUL, square, 0.5);
    KValue s = k_div(b, f, k_num2(b, OP_ADD, f, 2.0));
    KValue z = k_mul(b, s, s);
    KValue p = k_poly(b, z, format->series, format->n_terms);
    return k_fma(b, s, k_fma(b, z, p, h), k_neg(b, h));
}

/* e log 2 + factor (f + tail + correction) */
static KValue log_sum(KBuilder *b, const LogBase *base, KSplit x, KValue correction) {
    KValue f = k_num2(b, OP_SUB, x.mantissa, 1.0);
    KValue low = log_tail(b, f);
    if (correction != KVALUE_NONE) low = k_add(b, low, correction);
    if (base->factor_low != 0) {
        KValue factor = k_num(b, f, base->factor_high);
        KPair product = k_two_product(b, f, factor);
        KValue rest = k_fma(b, f, k_num(b, f, base->factor_low), product.low);
        low = k_fma(b, low, factor, rest);
        f = product.high;
    }
    if (base->two_low != 0) low = k_fma(b, x.exponent, k_num(b, f, base->two_low), low);
    KPair sum = k_fast_two_sum(b, k_num2(b, OP_MUL, x.exponent, base->two_high), f);
    return k_add(b, sum.high, k_add(b, sum.low, low));
}

/* `value`, but for arguments outside (pole, infinity): -infinity at the pole, NaN below. */
static KValue log_special(KBuilder *b, KValue x, double pole, KValue value) {
    value = k_where(b, k_num2(b, OP_LT, x, INFINITY), value, x);
    value = k_where(b, k_num2(b, OP_LT, x, pole), k_num(b, x, NAN), value);
    return k_where(b, k_num2(b, OP_EQ, x, pole), k_num(b, x, -INFINITY), value);
}

static KValue log_to_base(KBuilder *b, const LogBase base[2], KValue x) {
    KValue value = log_sum(b, &base[is_f64(b, x)], k_split(b, x), KVALUE_NONE);
    return log_special(b, x, 0.0, value);
}

/* f32 0.94, f64 0.85. */
KValue k_log(KBuilder *b, KValue x) {
    return log_to_base(b, natural, x);
}

/* Exact for powers of 2. f32 1.2, f64 1.1. */
KValue k_log2(KBuilder *b, KValue x) {
    return log_to_base(b, binary, x);
}

/* f32 1.1, f64 0.91. */
KValue k_log10(KBuilder *b, KValue x) {
    return log_to_base(b, decimal, x);
}

/* 1 + x = u + error exactly log1p x = log u + error / u.
 * f32 1.1, f64 0.86. */
KValue k_log1p(KBuilder *b, KValue x) {
    const LogFormat *f = &formats[is_f64(b, x)];
    KPair u = k_two_sum(b, k_num(b, x, 1.0), x);
    KSplit split = split_normal(b, f, u.high, k_num(b, x, f->magic_one));
    KValue correction = k_div(b, u.low, u.high);
    KValue value = log_sum(b, &natural[is_f64(b, x)], split, correction);
    return log_special(b, x, -1.0, k_copysign(b, value, x));
}

/* Where `large`, log(2 argument), else log1p(argument): only f64, large meaning beyond 2^60. */
static KValue log_twice_or_log1p(KBuilder *b, KValue large, KValue argument) {
    KValue value = k_log1p(b, argument);
    return k_where(b, large, k_num2(b, OP_ADD, value, 0x1.62e42fefa39efp-1), value);
}

/* log1p(a + a^2 / (1 + sqrt(1 + a^2))), a = |x| (Abramowitz & Stegun 4.6.20). f64 1.8. */
KValue k_asinh(KBuilder *b, KValue x) {
    KValue a = k_abs(b, x);
    KValue one = k_num(b, x, 1.0);
    KValue square = k_mul(b, a, a);
    KValue root = k_sqrt(b, k_fma(b, a, a, one));
    KValue argument = k_add(b, a, k_div(b, square, k_add(b, one, root)));
    KValue large = k_num2(b, OP_GT, a, 0x1p60);
    KValue value = log_twice_or_log1p(b, large, k_where(b, large, a, argument));
    return k_copysign(b, value, x);
}

/* log1p(t + sqrt(2t + t^2)), t = x - 1 (4.6.21). f64 2.0. */
KValue k_acosh(KBuilder *b, KValue x) {
    KValue t = k_num2(b, OP_SUB, x, 1.0);
    KValue root = k_sqrt(b, k_fma(b, t, t, k_add(b, t, t)));
    KValue large = k_num2(b, OP_GT, x, 0x1p60);
    KValue value = log_twice_or_log1p(b, large, k_where(b, large, x, k_add(b, t, root)));
    return k_where(b, k_num2(b, OP_LT, x, 1.0), k_num(b, x, NAN), value);
}

/* log1p(2a + 2a a / (1 - a)) / 2, a = |x| (4.6.22). f64 1.7. */
KValue k_atanh(KBuilder *b, KValue x) {
    KValue a = k_abs(b, x);
    KValue twice = k_add(b, a, a);
    KValue below = k_sub(b, k_num(b, x, 1.0), a);
    KValue argument = k_add(b, twice, k_div(b, k_mul(b, twice, a), below));
    KValue value = k_num2(b, OP_MUL, k_log1p(b, argument), 0.5);
    value = k_where(b, k_num2(b, OP_GT, a, 1.0), k_num(b, x, NAN), value);
    return k_copysign(b, value, x);
}
