/* sin, cos, tan. |x| = (n + q) pi/2, |q| ≤ 1/2; n mod 4 chooses between the sine and cosine of the
 * rest q pi/2 and their signs. x * 2/pi modulo 4 needs only those bits of 2/pi that the exponent of
 * x moves near the binary point (Payne & Hanek, "Radian Reduction for Trigonometric Functions",
 * SIGNUM Newsletter 18, 1983). Arguments that large are rare, and their reduction stands behind a
 * rare WHERE. In f64 the others are reduced in pairs (Cody & Waite with fma); f32 is reduced in
 * f64, where windows of 27 exponents give the bits of 2/pi in two constants. Largest errors
 * measured over the full range, in ULP: beside each function; arguments as in ir/scalar/exp.c. */
#include "ir/scalar/math.h"

#include <math.h>

/* An argument reduced to |x| = n pi/2 + rest. */
typedef struct Reduced {
    KValue bits; /* integer, n in its low bits */
    KPair rest;  /* the rest, f64; low is KVALUE_NONE where high is exact enough */
} Reduced;

static const double pi2_high = 0x1.921fb54442d18p+0; /* pi / 2 in three parts */
static const double pi2_middle = 0x1.1a62633145c07p-54;
static const double pi2_low = -0x1.f1976b7ed8fbcp-110;
static const double inverse_pi2 = 0x1.45f306dc9c883p-1;

/* ---- f64, far arguments ---------------------------------------------------------------------- */

enum {
    PI_WORDS = 19,       /* of 64 bits: enough for the largest exponent and 192 bits more */
    WINDOW_WORDS = 4,    /* words that hold 192 bits from any bit of the first on */
    LIMB = 27,           /* bits of a limb: m and the window are cut so that products fit in i64 */
    LIMBS = 7,           /* limbs of the window that count */
    COLUMNS = 6,         /* limbs of the product that are computed */
    NEAR_EXPONENT = 1071 /* biased, of 2^48: from there on arguments are far */
};

/* 2/pi, its binary point behind the sixth bit; tools/fit_math.py two_over_pi */
static const uint64_t two_over_pi[PI_WORDS] = {
    0x028be60db9391054, 0xa7f09d5f47d4d377, 0x036d8a5664f10e41, 0x07f9458eaf7aef15,
    0x86dc91b8e909374b, 0x801924bba8274648, 0x73f877ac72c4a69c, 0xfba208d7d4baed12,
    0x13a671c09ad17df9, 0x04e64758e60d4ce7, 0xd272117e2ef7e4a0, 0xec7fe25fff781660,
    0x3fbcbc462d6829b4, 0x7db4d9fb3c9f2c26, 0xdd3d18fd9a797fa8, 0xb5d49eeb1faf97c5,
    0xecf41ce7de294a4b, 0xa9afed7ec47e3574, 0x21580cc11bf1edae};

static KValue shift_left(KBuilder *b, KValue x, int64_t by) {
    return k_int2(b, OP_SHIFT_LEFT, x, by);
}
static KValue shift_right(KBuilder *b, KValue x, int64_t by) {
    return k_int2(b, OP_SHIFT_RIGHT_LOGICAL, x, by);
}
static KValue low_limb(KBuilder *b, KValue x) {
    return k_int2(b, OP_BITWISE_AND, x, (INT64_C(1) << LIMB) - 1);
}
static KValue bit_set(KBuilder *b, KValue bits, int64_t bit) {
    return k_int2(b, OP_NE, k_int2(b, OP_BITWISE_AND, bits, bit), 0);
}

/* 192 bits of 2/pi from bit `position` on. A select for each bit of the word's number halves the
 * words in question. */
static void pi_window(KBuilder *b, KValue position, KValue window[WINDOW_WORDS - 1]) {
    KValue words[PI_WORDS];
    for (int32_t i = 0; i < PI_WORDS; i++) words[i] = kb_const(b, SN_I64, two_over_pi[i]);
    KValue number = shift_right(b, position, 6);
    for (int32_t step = 8; step > 0; step /= 2) {
        KValue later = bit_set(b, number, step);
        for (int32_t i = 0; i < step - 1 + WINDOW_WORDS; i++)
            words[i] = k_where(b, later, words[i + step], words[i]);
    }
    KValue by = k_int2(b, OP_BITWISE_AND, position, 63);
    KValue rest = k_sub(b, k_int(b, by, 63), by);
    for (int32_t i = 0; i < WINDOW_WORDS - 1; i++) {
        KValue next = kb_op2(b, OP_SHIFT_RIGHT_LOGICAL, shift_right(b, words[i + 1], 1), rest);
        window[i] = k_or(b, kb_op2(b, OP_SHIFT_LEFT, words[i], by), next);
    }
}

/* The window as limbs, the highest first. */
static void window_limbs(KBuilder *b, const KValue window[WINDOW_WORDS - 1], KValue limbs[LIMBS]) {
    for (int32_t i = 0; i < LIMBS; i++) {
        int32_t end = LIMB * (i + 1), word = (end - 1) / 64, below = 64 * (word + 1) - end;
        KValue limb = shift_right(b, window[word], below);
        if (LIMB * i < 64 * word) limb = k_or(b, limb, shift_left(b, window[word - 1], 64 - below));
        limbs[i] = low_limb(b, limb);
    }
}

/* `limb` (a small integer, of either sign if `split`) * 2^exponent, as a float: it is set into the
 * last bits of one that is large enough. */
static KValue limb_float(KBuilder *b, KValue limb, int32_t exponent, bool split) {
    double shift = ldexp(split ? 1.5 : 1.0, exponent + 52);
    KValue base = kb_bitcast(b, SN_I64, kb_float(b, SN_F64, shift));
    return k_num2(b, OP_SUB, kb_bitcast(b, SN_F64, k_add(b, limb, base)), shift);
}

/* q, with its quarter turns in *bits: the limbs of |x| 2/pi modulo 4, of which the first has two
 * bits before the binary point, summed up as floats. Where the first two vanish, the others still
 * have 81 bits; no f64 lies nearer to a multiple of pi/2 than 2^-62 of it. */
static KPair sum_limbs(KBuilder *b, KValue limbs[COLUMNS], KValue *bits) {
    KValue half = k_int2(b, OP_ADD, limbs[0], INT64_C(1) << (LIMB - 3));
    *bits = shift_right(b, half, LIMB - 2);
    KValue first = k_sub(b, limbs[0], shift_left(b, *bits, LIMB - 2));
    KValue part[5];
    for (int32_t i = 0; i < 5; i++)
        part[i] = limb_float(b, i ? limbs[i] : first, 2 - LIMB * (i + 1), i == 0);
    KPair next = k_fast_two_sum(b, part[2], part[3]);
    KPair sum = k_fast_two_sum(b, k_add(b, part[0], part[1]), next.high);
    return k_fast_two_sum(b, sum.high, k_add(b, sum.low, k_add(b, next.low, part[4])));
}

/* a = m 2^e with an integer m, 2^48 ≤ a: the integer product of m and 192 bits of 2/pi * 2^e
 * modulo 4, column by column. */
static Reduced reduce_far(KBuilder *b, KValue a) {
    KValue pattern = kb_bitcast(b, SN_I64, a);
    KValue position = k_int2(b, OP_SUB, shift_right(b, pattern, 52), NEAR_EXPONENT);
    KValue window[WINDOW_WORDS - 1], limbs[LIMBS], product[COLUMNS], carry = KVALUE_NONE;
    pi_window(b, position, window);
    window_limbs(b, window, limbs);
    KValue m = k_int2(b, OP_BITWISE_AND, pattern, (INT64_C(1) << 52) - 1);
    m = k_int2(b, OP_BITWISE_OR, m, INT64_C(1) << 52);
    KValue low = low_limb(b, m), high = shift_right(b, m, LIMB);
    for (int32_t i = COLUMNS - 1; i >= 0; i--) {
        KValue column = k_add(b, k_mul(b, low, limbs[i]), k_mul(b, high, limbs[i + 1]));
        if (carry != KVALUE_NONE) column = k_add(b, column, carry);
        carry = shift_right(b, column, LIMB);
        product[i] = low_limb(b, column);
    }
    KValue bits;
    KPair q = sum_limbs(b, product, &bits);
    KPair rest = k_two_product(b, q.high, k_num(b, a, pi2_high));
    KValue tail = k_fma(b, q.low, k_num(b, a, pi2_high), rest.low);
    rest = k_fast_two_sum(b, rest.high, k_fma(b, q.high, k_num(b, a, pi2_middle), tail));
    KValue infinite = k_num2(b, OP_EQ, a, INFINITY);
    return (Reduced){bits, {k_where(b, infinite, k_num(b, a, NAN), rest.high), rest.low}};
}

/* ---- f64 ------------------------------------------------------------------------------------- */

/* The first fma is exact: x and n * pi2_high are multiples of 2^-53 or so, their difference is
 * below 1. */
static Reduced reduce_near(KBuilder *b, KValue a) {
    KRounded n = k_round_scaled(b, a, k_num(b, a, inverse_pi2), 0);
    KValue exact = k_fma(b, n.number, k_num(b, a, -pi2_high), a);
    KPair product = k_two_product(b, n.number, k_num(b, a, -pi2_middle));
    KPair rest = k_two_sum(b, exact, product.high);
    KValue low = k_fma(b, n.number, k_num(b, a, -pi2_low), k_add(b, rest.low, product.low));
    return (Reduced){n.bits, k_fast_two_sum(b, rest.high, low)};
}

/* The far form where `far` holds. */
static Reduced choose(KBuilder *b, KValue far, Reduced beyond, Reduced usual) {
    Reduced r = {k_where_rare(b, far, beyond.bits, usual.bits),
                 {k_where_rare(b, far, beyond.rest.high, usual.rest.high), KVALUE_NONE}};
    if (usual.rest.low != KVALUE_NONE)
        r.rest.low = k_where_rare(b, far, beyond.rest.low, usual.rest.low);
    return r;
}

static Reduced reduce_f64(KBuilder *b, KValue a) {
    KValue far = k_num2(b, OP_GE, a, 0x1p48);
    Reduced beyond = reduce_far(b, a);
    return choose(b, far, beyond, reduce_near(b, a));
}

/* ---- f32 ------------------------------------------------------------------------------------- */

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

/* a * (high + low) modulo 4, taken apart; `a` is scaled. */
static Reduced reduce_scaled(KBuilder *b, KValue a, KValue high, KValue low) {
    KRounded n = k_round_scaled(b, a, high, 0);
    KValue quarters = k_fma(b, a, high, k_neg(b, n.number));
    return (Reduced){n.bits, {k_fma(b, a, low, quarters), KVALUE_NONE}};
}

/* `a` is an f64 that came from an f32. */
static Reduced reduce_f32(KBuilder *b, KValue a) {
    const Window *near = windows, *last = &windows[sizeof windows / sizeof *windows - 1];
    KValue scale = k_num(b, a, last->scale);
    KValue high = k_num(b, a, last->high);
    KValue low = k_num(b, a, last->low);
    for (const Window *w = last; --w != near;) {
        KValue here = k_num2(b, OP_LT, a, w->below);
        scale = k_where(b, here, k_num(b, a, w->scale), scale);
        high = k_where(b, here, k_num(b, a, w->high), high);
        low = k_where(b, here, k_num(b, a, w->low), low);
    }
    Reduced beyond = reduce_scaled(b, k_mul(b, a, scale), high, low);
    Reduced usual = reduce_scaled(b, a, k_num(b, a, near->high), k_num(b, a, near->low));
    Reduced r = choose(b, k_num2(b, OP_GE, a, near->below), beyond, usual);
    r.rest.high = k_num2(b, OP_MUL, r.rest.high, pi2_high);
    return r;
}

static Reduced reduce(KBuilder *b, KValue x) {
    if (kb_dtype(b, x) == SN_F64) return reduce_f64(b, k_abs(b, x));
    return reduce_f32(b, kb_cast(b, SN_F64, k_abs(b, x)));
}

/* ---- sine and cosine of the rest ------------------------------------------------------------- */

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

static SineCosine evaluate(KBuilder *b, KValue x, const Reduced *reduced) {
    if (kb_dtype(b, x) == SN_F64) return evaluate_f64(b, reduced->rest);
    return evaluate_f32(b, reduced->rest.high);
}

/* ---- the functions --------------------------------------------------------------------------- */

/* `value` with its sign changed where x is negative: x may be -0. */
static KValue with_odd_sign(KBuilder *b, KValue value, KValue x) {
    KValue positive = k_copysign(b, k_num(b, x, 1.0), x);
    return k_mul(b, value, positive);
}

/* f32 1.6, f64 0.8. */
KValue k_sin(KBuilder *b, KValue x) {
    Reduced reduced = reduce(b, x);
    SineCosine both = evaluate(b, x, &reduced);
    KValue value = k_where(b, bit_set(b, reduced.bits, 1), both.cosine, both.sine);
    value = k_where(b, bit_set(b, reduced.bits, 2), k_neg(b, value), value);
    return with_odd_sign(b, value, x);
}

/* The sine of a quarter turn more: n + 1. f32 1.6, f64 0.8. */
KValue k_cos(KBuilder *b, KValue x) {
    Reduced reduced = reduce(b, x);
    SineCosine both = evaluate(b, x, &reduced);
    KValue value = k_where(b, bit_set(b, reduced.bits, 1), both.sine, both.cosine);
    KValue next = k_int2(b, OP_ADD, reduced.bits, 1);
    return k_where(b, bit_set(b, next, 2), k_neg(b, value), value);
}

/* sine / cosine, or -cosine / sine in odd quadrants; f32 computes in f64. f32 0.51, f64 2.2. */
KValue k_tan(KBuilder *b, KValue x) {
    Reduced reduced = reduce(b, x);
    SineCosine both = evaluate_f64(b, reduced.rest);
    KValue odd = bit_set(b, reduced.bits, 1);
    KValue above = k_where(b, odd, k_neg(b, both.cosine), both.sine);
    KValue below = k_where(b, odd, both.sine, both.cosine);
    KValue value = kb_cast(b, kb_dtype(b, x), k_div(b, above, below));
    return with_odd_sign(b, value, x);
}
