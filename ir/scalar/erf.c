/* erf and erfc. Largest errors measured, in ULP: beside each function; arguments as in
 * ir/scalar/exp.c. */
#include "ir/scalar/math.h"

/* erf(x) = x + x p(x^2), for |x| ≤ 0.94. */
static KValue erf_near(KBuilder *b, KValue x) {
    /* erf(x) / x - 1 in z = x^2; tools/fit_math.py erf */
    static const double series_f32[] = {0.128379166,   -0.37612626,   0.112835795,
                                        -0.0268534292, 0.00518742157, -0.000800102775,
                                        7.82022325e-05};
    static const double series_f64[] = {
        0.12837916709551259,     -0.37612638903184087,    0.11283791670970236,
        -0.026866170647819109,   0.0052239776502473337,   -0.000854832837802721,
        0.00012055379943771272,  -1.4926721855112427e-05, 1.6478378038883179e-06,
        -1.6527688783307196e-07, 1.5809722011018441e-08,  -1.5661217241148765e-09,
        1.2961633680428021e-10};
    KValue z = k_mul(b, x, x);
    KValue p =
        kb_dtype(b, x) == SN_F64 ? k_poly(b, z, series_f64, 13) : k_poly(b, z, series_f32, 7);
    return k_fma(b, x, p, x);
}

/* erf(a) = 1 - 2^q, a = 1 + u ≥ 0.93: q = log2 erfc is smooth, and its error weighs less and
 * less. */
static KValue erf_far_f32(KBuilder *b, KValue a) {
    /* log2(erfc(1 + u)); tools/fit_math.py erf_large */
    static const double series[] = {-2.66841674,  -3.80722547,    -1.21633613,   -0.0600044988,
                                    0.0145171303, -0.00282765785, 0.000319897401};
    KValue u = k_num2(b, OP_SUB, k_at_most(b, a, 3.95), 1.0);
    return k_one_minus_exp2(b, k_poly(b, u, series, 7));
}

/* erfc(a), 0 ≤ a < 30: (1 + 2a) exp(a^2) erfc(a) is a polynomial in (a - K) / (a + K), which
 * maps [0, infinity) to [-1, 1) (Shepherd & Laframboise 1981). Quotient and a^2 go to the
 * exponential as pairs. */
static KValue erfc_not_negative(KBuilder *b, KValue a) {
    /* tools/fit_math.py erfc: K is such that the constant is nearly exact */
    static const double pole = 3.8125;
    static const double series[] = {
        1.2363539084541144,      -0.14015514677325863,   0.0067388074508213077,
        0.078624355463183151,    -0.10697124619063456,   0.092907744308039858,
        -0.060814321806256913,   0.030630562683902123,   -0.011296473855609428,
        0.0024679106423917537,   0.00011018515965141975, -0.00030065710504956016,
        8.0644706122926958e-05,  1.4375134761979622e-05, -1.3467190715475405e-05,
        7.07475365295908e-07,    1.7458920519399497e-06, -3.2051157312222288e-07,
        -2.2646441170150193e-07, 5.8234949695119301e-08, 3.0510731218536014e-08,
        -6.0000590156140818e-09, -3.1132116236606543e-09};
    KValue one = k_num(b, a, 1.0);
    KValue t = k_div(b, k_num2(b, OP_SUB, a, pole), k_num2(b, OP_ADD, a, pole));
    KValue rest = k_mul(b, k_poly(b, t, series + 1, 22), t);
    KPair p = k_fast_two_sum(b, k_num(b, a, series[0]), rest);
    KPair d = k_two_sum(b, k_add(b, a, a), one);
    KValue inverse = k_div(b, one, d.high);
    KValue g = k_mul(b, p.high, inverse);
    KValue error = k_fma(b, k_neg(b, g), d.high, p.high);
    error = k_add(b, k_fma(b, k_neg(b, g), d.low, error), p.low);
    KPair factor = {g, k_mul(b, error, inverse)};
    KPair square = k_two_product(b, a, a);
    return k_exp_sum_times(b, (KPair){k_neg(b, square.high), k_neg(b, square.low)}, factor);
}

static KValue erf_far_f64(KBuilder *b, KValue a) {
    return k_sub(b, k_num(b, a, 1.0), erfc_not_negative(b, k_at_most(b, a, 6.0)));
}

/* f32 0.95, f64 0.93. */
KValue k_erf(KBuilder *b, KValue x) {
    KValue a = k_abs(b, x);
    KValue far = kb_dtype(b, x) == SN_F64 ? erf_far_f64(b, a) : erf_far_f32(b, a);
    return k_where(b, k_num2(b, OP_LT, a, 0.9375), erf_near(b, x), k_copysign(b, far, x));
}

/* 1 - erf(x) below 0.55, where the other form would lose the last bits. Only f64: 2.1. */
KValue k_erfc(KBuilder *b, KValue x) {
    KValue a = k_abs(b, x);
    KValue right = erfc_not_negative(b, k_at_most(b, a, 28.0));
    KValue far = k_where(b, k_num2(b, OP_LT, x, 0.0), k_sub(b, k_num(b, x, 2.0), right), right);
    KValue near = k_sub(b, k_num(b, x, 1.0), erf_near(b, x));
    return k_where(b, k_num2(b, OP_LT, a, 0.55), near, far);
}
