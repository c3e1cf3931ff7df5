/* sin, cos, tan. x = (n + q) pi/2, |q| ≤ 1/2; n mod 4 chooses between the sine and cosine of the
 * rest and their signs. In f64 the rest is reduced in pairs (Cody & Waite with fma) and right
 * for |x| ≤ 2^50, beyond which the result is NaN; from 2^48 on n is no longer always the nearest
 * integer and the rest may leave the interval of the polynomials. In f32 the reduction runs in
 * f64 over the full range: x * 2/pi modulo 4 needs only those bits of 2/pi that the exponent of
 * x moves near the binary point (Payne & Hanek 1983), and windows of 27 exponents give them in
 * two constants. Largest errors measured, in ULP: beside each function; arguments as in
 * ir/scalar_exp.c. */
#include "ir/scalar_math.h"

#include <math.h>

/* An argument reduced to |x| = n pi/2 + rest. */
typedef struct Reduced {
    KValue bits; /* integer, n + bias in its low bits */
    KPair rest;  /* the rest, f64; low is KVALUE_NONE where high is exact enough */
} Reduced;

static const double pi2_high = 0x1.921fb54442d18p+0; /* pi / 2 in three parts */
static const double pi2_middle = 0x1.1a62633145c07p-54;
static const double pi2_low = -0x1.f1976b7ed8fbcp-110;
static const double inverse_pi2 = 0x1.45f306dc9c883p-1;

/* The first fma is exact: x and n * pi2_high are multiples of 2^-53 or so, their difference is
 * below 1. A bias of 1 turns sine into cosine. */
static Reduced reduce_f64(KBuilder *b, KValue a, double bias) {
    a = k_where(b, k_num2(b, OP_GT, a, 0x1p50), k_num(b, a, NAN), a);
    KRounded n = k_round_scaled(b, a, k_num(b, a, inverse_pi2), bias);
    KValue exact = k_fma(b, n.number, k_num(b, a, -pi2_high), a);
    KPair product = k_two_product(b, n.number, k_num(b, a, -pi2_middle));
    KPair rest = k_two_sum(b, exact, product.high);
    KValue low = k_fma(b, n.number, k_num(b, a, -pi2_low), k_add(b, rest.low, product.low));
    return (Reduced){n.bits, k_fast_two_sum(b, rest.high, low)};
}

/* One window of arguments: 2^shift * 2/pi modulo 4, in two parts. Scaled arguments are integers
 * (but for the first window), so that what the modulo drops is a multiple of 4 of the product
 * too. */
typedef struct Window {
    double below;     /* the arguments it serves end here */
    double scale;     /* 2^-shift: scaled arguments are below 2^50 */
    double high, low; /* the constant */
} Window;

static const Window windows[] = {
    {0x1p50, 0x1p0, 0x1.45f306dc9c883p-1, -0x1.6b01ec5417056p-55},
    {0x1p77, 0x1p-27, -0x1.1b1bbead603d9p-1, 0x1.5f47d4d377037p-55},
    {0x1p104, 0x1p-54, 0x1.4a7f09d5f47d5p+0, -0x1.6447e493ad4cep-55},
    {INFINITY, 0x1p-81, -0x1.505c1596447e5p+0, 0x1.b14acc9e21c82p-54},
};

/* `a` is an f64 that came from an f32. */
static Reduced reduce_f32(KBuilder *b, KValue a, double bias) {
    const Window *last = &windows[sizeof windows / sizeof *windows - 1];
    KValue scale = k_num(b, a, last->scale);
    KValue high = k_num(b, a, last->high);
    KValue low = k_num(b, a, last->low);
    for (const Window *w = last; w-- != windows;) {
        KValue here = k_num2(b, OP_LT, a, w->below);
        scale = k_where(b, here, k_num(b, a, w->scale), scale);
        high = k_where(b, here, k_num(b, a, w->high), high);
        low = k_where(b, here, k_num(b, a, w->low), low);
    }
    a = k_mul(b, a, scale);
    KRounded n = k_round_scaled(b, a, high, bias);
    KValue quarters = k_fma(b, a, high, k_neg(b, n.number));
    quarters = k_fma(b, a, low, quarters);
    return (Reduced){n.bits, {k_num2(b, OP_MUL, quarters, pi2_high), KVALUE_NONE}};
}

static Reduced reduce(KBuilder *b, KValue x, double bias) {
    if (kb_dtype(b, x) == SN_F64) return reduce_f64(b, k_abs(b, x), bias);
    return reduce_f32(b, kb_cast(b, SN_F64, k_abs(b, x)), bias);
}

/* (sin(r) / r - 1) / z and (cos(r) - 1 + z / 2) / z^2 in z = r^2; tools/fit_math.py sin, cos */
static const double sine_f32[] = {-0.166666552, 0.0083321901, -0.000195183879};
static const double cosine_f32[] = {0.0416666456, -0.00138873083, 2.44321309e-05};
static const double sine_f64[] = {-0.16666666666666624,    0.0083333333333203245,
                                  -0.0001984126982806569,  2.7557313068622918e-06,
                                  -2.5050658134275545e-08, 1.5890886780315269e-10};
static const double cosine_f64[] = {0.041666666666666581,   -0.0013888888888870881,
                                    2.4801587287423284e-05, -2.7557313748876133e-07,
                                    2.0875640211783274e-09, -1.1355300785537403e-11};

/* Sine and cosine of a rest. */
typedef struct SineCosine {
    KValue sine, cosine;
} SineCosine;

static SineCosine evaluate_f32(KBuilder *b, KValue rest) {
    KValue r = kb_cast(b, SN_F32, rest);
    KValue z = k_mul(b, r, r);
    KValue sine = k_fma(b, k_mul(b, r, z), k_poly(b, z, sine_f32, 3), r);
    KValue half = k_fma(b, k_poly(b, z, cosine_f32, 3), z, k_num(b, z, -0.5));
    return (SineCosine){sine, k_fma(b, half, z, k_num(b, z, 1.0))};
}

/* sin(r + low) = sin r + low (1 - z / 2), cos(r + low) = cos r - low r. */
static SineCosine evaluate_f64(KBuilder *b, KPair rest) {
    KValue r = rest.high;
    KValue one = k_num(b, r, 1.0);
    KValue z = k_mul(b, r, r);
    KValue cube = k_mul(b, r, z);
    KValue half = k_num2(b, OP_MUL, z, 0.5);
    KValue head = k_sub(b, one, half);
    KValue tail = k_sub(b, k_sub(b, one, head), half);
    KValue sine_poly = k_poly(b, z, sine_f64, 6);
    KValue sine = k_mul(b, cube, sine_poly);
    if (rest.low != KVALUE_NONE) {
        sine = k_fma(b, cube, sine_poly, k_mul(b, rest.low, head));
        tail = k_fma(b, k_neg(b, r), rest.low, tail);
    }
    tail = k_fma(b, k_mul(b, z, z), k_poly(b, z, cosine_f64, 6), tail);
    return (SineCosine){k_add(b, r, sine), k_add(b, head, tail)};
}

static KValue bit_set(KBuilder *b, KValue bits, int64_t bit) {
    return k_int2(b, OP_NE, k_int2(b, OP_BITWISE_AND, bits, bit), 0);
}

/* Sine of |x| or, with a bias of 1, cosine. */
static KValue sine_of_abs(KBuilder *b, KValue x, double bias) {
    Reduced reduced = reduce(b, x, bias);
    SineCosine both = kb_dtype(b, x) == SN_F64 ? evaluate_f64(b, reduced.rest)
                                               : evaluate_f32(b, reduced.rest.high);
    KValue value = k_where(b, bit_set(b, reduced.bits, 1), both.cosine, both.sine);
    return k_where(b, bit_set(b, reduced.bits, 2), k_neg(b, value), value);
}

/* `value` with its sign changed where x is negative: x may be -0. */
static KValue with_odd_sign(KBuilder *b, KValue value, KValue x) {
    KValue positive = k_copysign(b, k_num(b, x, 1.0), x);
    return k_mul(b, value, positive);
}

/* f32 1.6, f64 0.8, from 2^48 on 3.1. */
KValue k_sin(KBuilder *b, KValue x) {
    return with_odd_sign(b, sine_of_abs(b, x, 0), x);
}

/* f32 1.6, f64 0.8, from 2^48 on 3.2. */
KValue k_cos(KBuilder *b, KValue x) {
    return sine_of_abs(b, x, 1);
}

/* sine / cosine, or -cosine / sine in odd quadrants; f32 computes in f64. f32 0.51, f64 2.1, from
 * 2^48 on 4.5. */
KValue k_tan(KBuilder *b, KValue x) {
    Reduced reduced = reduce(b, x, 0);
    SineCosine both = evaluate_f64(b, reduced.rest);
    KValue odd = bit_set(b, reduced.bits, 1);
    KValue above = k_where(b, odd, k_neg(b, both.cosine), both.sine);
    KValue below = k_where(b, odd, both.sine, both.cosine);
    KValue value = kb_cast(b, kb_dtype(b, x), k_div(b, above, below));
    return with_odd_sign(b, value, x);
}
