/* Inverse trigonometric functions, in f64 (f32 casts around them). Largest errors measured, in ULP:
 * beside each function; arguments as in ir/scalar/exp.c. */
#include "ir/scalar/math.h"

#include <math.h>

static const double pi_high = 0x1.921fb54442d18p+1; /* pi in two parts */
static const double pi_low = 0x1.1a62633145c07p-53;

/* ---- asin, acos ------------------------------------------------------------------------------ */

/* asin(s) = s + tail with s ≤ 1/2: s is |x|, or sqrt((1 - |x|) / 2) where |x| > 1/2, since
 * asin x = pi/2 - 2 asin(sqrt((1 - x) / 2)) (Abramowitz & Stegun 4.4). */
typedef struct HalfArc {
    KValue large; /* bool: |x| > 1/2 */
    KValue s;     /* argument */
    KValue tail;  /* asin(s) - s */
} HalfArc;

static HalfArc half_arc(KBuilder *b, KValue x) {
    /* (asin(s) / s - 1) / z in z = s^2; tools/fit_math.py asin */
    static const double series[] = {
        0.16666666666666763,  0.074999999999701708,  0.044642857175188913, 0.030381942680957643,
        0.022372215722978345, 0.017351599130516662,  0.013980971453052812, 0.011397704020444601,
        0.010786887711301138, 0.0036818261977113981, 0.021766174903598053, -0.021080740725090179,
        0.03267886537392492};
    KValue a = k_abs(b, x);
    KValue large = k_num2(b, OP_GT, a, 0.5);
    KValue far = k_num2(b, OP_MUL, k_sub(b, k_num(b, x, 1.0), a), 0.5);
    KValue z = k_where(b, large, far, k_mul(b, a, a));
    KValue s = k_where(b, large, k_sqrt(b, far), a);
    KValue tail = k_mul(b, k_mul(b, s, z), k_poly(b, z, series, 13));
    return (HalfArc){large, s, tail};
}

/* f64 2.1. */
KValue k_asin(KBuilder *b, KValue x) {
    HalfArc arc = half_arc(b, x);
    KValue head = k_fma(b, arc.s, k_num(b, x, -2.0), k_num(b, x, pi_high / 2));
    KValue rest = k_fma(b, arc.tail, k_num(b, x, -2.0), k_num(b, x, pi_low / 2));
    KValue value = k_where(b, arc.large, k_add(b, head, rest), k_add(b, arc.s, arc.tail));
    return k_copysign(b, value, x);
}

/* pi/2 - asin x; 2 asin(s) for x > 1/2; pi - 2 asin(s) for x < -1/2. f64 1.2. */
KValue k_acos(KBuilder *b, KValue x) {
    HalfArc arc = half_arc(b, x);
    KValue negative = k_num2(b, OP_LT, x, 0.0);
    KValue low = k_sub(b, k_num(b, x, pi_low / 2), k_copysign(b, arc.tail, x));
    KValue middle = k_sub(b, k_num(b, x, pi_high / 2), k_sub(b, x, low));
    KValue twice = k_num2(b, OP_MUL, k_add(b, arc.s, arc.tail), 2.0);
    KValue left = k_sub(b, k_num(b, x, pi_high), k_num2(b, OP_SUB, twice, pi_low));
    return k_where(b, arc.large, k_where(b, negative, left, twice), middle);
}

/* ---- atan, atan2 ----------------------------------------------------------------------------- */

/* Angle of the point (c, a), c and a ≥ 0: base + atan(t), where t is a / c, or turned by 45 degrees
 * (a - c) / (a + c), or by 90 degrees -c / a, so that |t| ≤ tan(pi/8). */
static KValue first_quadrant(KBuilder *b, KValue a, KValue c) {
    /* (atan(t) / t - 1) / z in z = t^2; tools/fit_math.py atan */
    static const double series[] = {
        -0.33333333333333198,  0.19999999999953802,  -0.14285714280217848, 0.11111110784491432,
        -0.090908977861001355, 0.076920606929767113, -0.06663109154091941, 0.058479239395930638,
        -0.050394493145701644, 0.038067947794021131, -0.017910612731198126};
    static const double tan_eighth = 0.41421356237309503; /* tan(pi/8) */
    KValue flat = kb_op2(b, OP_LE, a, k_num2(b, OP_MUL, c, tan_eighth));
    KValue steep = kb_op2(b, OP_LE, c, k_num2(b, OP_MUL, a, tan_eighth));
    KValue zero = k_num(b, a, 0.0);
    KValue above = k_where(b, flat, a, k_where(b, steep, k_neg(b, c), k_sub(b, a, c)));
    KValue below = k_where(b, flat, c, k_where(b, steep, a, k_add(b, a, c)));
    KValue high = k_where(b, steep, k_num(b, a, pi_high / 2), k_num(b, a, pi_high / 4));
    KValue low = k_where(b, steep, k_num(b, a, pi_low / 2), k_num(b, a, pi_low / 4));
    high = k_where(b, flat, zero, high);
    low = k_where(b, flat, zero, low);
    KValue t = k_where(b, kb_op2(b, OP_EQ, below, zero), zero, k_div(b, above, below));
    KValue z = k_mul(b, t, t);
    KValue tail = k_fma(b, k_mul(b, t, z), k_poly(b, z, series, 11), low);
    return k_add(b, high, k_add(b, t, tail));
}

/* f64 1.9. */
KValue k_atan(KBuilder *b, KValue x) {
    return k_copysign(b, first_quadrant(b, k_abs(b, x), k_num(b, x, 1.0)), x);
}

/* Both coordinates are scaled away from overflow and from subnormals, where the choice of a turn
 * would be coarse; two infinities count as equal. f64 2.0
 * over 4 * 10^6 pairs. */
KValue k_atan2(KBuilder *b, KValue y, KValue x) {
    KValue a = k_abs(b, y), c = k_abs(b, x);
    KValue one = k_num(b, x, 1.0), infinity = k_num(b, x, INFINITY);
    KValue most = k_where(b, kb_op2(b, OP_LT, a, c), c, a);
    KValue scale = k_where(b, k_num2(b, OP_GT, most, 0x1p1000), k_num(b, x, 0x1p-100), one);
    scale = k_where(b, k_num2(b, OP_LT, most, 0x1p-900), k_num(b, x, 0x1p100), scale);
    KValue infinite = k_and(b, kb_op2(b, OP_EQ, a, infinity), kb_op2(b, OP_EQ, c, infinity));
    a = k_where(b, infinite, one, k_mul(b, a, scale));
    c = k_where(b, infinite, one, k_mul(b, c, scale));
    KValue angle = first_quadrant(b, a, c);
    KValue left = k_sub(b, k_num(b, x, pi_high), k_num2(b, OP_SUB, angle, pi_low));
    KValue sign = k_copysign(b, one, x);
    angle = k_where(b, k_num2(b, OP_LT, sign, 0.0), left, angle);
    return k_copysign(b, angle, y);
}
