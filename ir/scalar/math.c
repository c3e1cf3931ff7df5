/* Pieces that the bodies of several elementary functions share. */
#include "ir/scalar/math.h"

KValue k_poly(KBuilder *b, KValue x, const double *c, int32_t n) {
    KValue sum = k_num(b, x, c[n - 1]);
    for (int32_t i = n - 2; i >= 0; i--) sum = k_fma(b, sum, x, k_num(b, x, c[i]));
    return sum;
}

KPair k_fast_two_sum(KBuilder *b, KValue x, KValue y) {
    KValue high = k_add(b, x, y);
    return (KPair){high, k_sub(b, y, k_sub(b, high, x))};
}

KPair k_two_sum(KBuilder *b, KValue x, KValue y) {
    KValue high = k_add(b, x, y);
    KValue y_part = k_sub(b, high, x);
    KValue x_rest = k_sub(b, x, k_sub(b, high, y_part));
    return (KPair){high, k_add(b, x_rest, k_sub(b, y, y_part))};
}

KPair k_two_product(KBuilder *b, KValue x, KValue y) {
    KValue high = k_mul(b, x, y);
    return (KPair){high, k_fma(b, x, y, k_neg(b, high))};
}

/* Adding 1.5 * 2^(mantissa bits) pushes the fraction out of the mantissa: the sum is rounded to an
 * integer, to nearest even, which then stands in its low bits. */
KRounded k_round_scaled(KBuilder *b, KValue x, KValue scale, double bias) {
    double shift = (kb_dtype(b, x) == SN_F64 ? 0x1.8p52 : 0x1.8p23) + bias;
    KValue sum = k_fma(b, x, scale, k_num(b, x, shift));
    return (KRounded){k_num2(b, OP_SUB, sum, shift), k_bits(b, sum)};
}
