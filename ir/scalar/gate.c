/* Gates: x times a function that rises from 0 to 1. Their left tails lie further to the left than the
 * step's own, which is subnormal, or 0, where x times it is neither. So the step is made with a power
 * of two too much, which is taken off at the end, in one product that rounds. Largest errors measured,
 * in ULP: beside each function. */
#include "ir/scalar/math.h"

/* x (linear + cubic x^2) = log2 exp(-2 sqrt(2 / pi) (x + 0.044715 x^3)). linear_high is so short that its
 * difference from the sum is exact. tools/fit_math.py cubic */
typedef struct Cubic {
    double linear_high, linear_low; /* in two parts */
    double cubic_high, cubic_low;   /* in two parts */
} Cubic;

/* Where a left tail ends: below `zero` x step is 0. There the exponent is that of `infinite`, which
 * makes the denominator infinite: a little more than an integer, so that nothing is subtracted from
 * infinity. */
typedef struct Ends {
    double zero;     /* an argument */
    double infinite; /* another */
} Ends;

/* What differs between the two formats. */
typedef struct GateFormat {
    double shift;       /* the step is 2^shift too large */
    double unit;        /* 2^-shift */
    double log2_e[2];   /* in two parts */
    double saturated;   /* from here on sigmoid is 1 to the last bit */
    Ends exp;           /* of x sigmoid(x) */
    Ends by_tanh;       /* of gelu's form by tanh */
    Cubic cubic;        /* its exponent */
    double mish_zero;   /* exp(x) 2^shift is taken to be 0, mish(x) is */
    double normal_zero; /* x Phi(-x) is 0 */
    double pole;        /* of `mills` */
    double centre;      /* of its argument */
    double root;        /* pole^(-1/3) */
    int32_t n_mills;    /* its terms */
    double mills[23];   /* (a + pole) exp(a^2 / 2) Phi(-a) in a / (a + pole) - centre */
} GateFormat;

static const GateFormat formats[2] = {
    {.shift = 32,
     .unit = 0x1p-32,
     .log2_e = {0x1.715476p+0, 0x1.4ae0cp-26},
     .saturated = 20,
     .exp = {-110.5, -111},
     .by_tanh = {-10.92, -10.945},
     .cubic = {-0x1.26aecp+1, -0x1.0de73ap-22, -0x1.a5a7dp-4, 0x1.151aaep-29},
     .mish_zero = -110.2,
     .normal_zero = 14.4,
     .pole = 3.5,
     .centre = 0.40625,
     .root = 0.65863,
     .n_mills = 10,
     .mills = {0.86233294, -1.39300144, 1.53556943, -1.01146221, 0.156694651, 0.305943161,
               -0.139186218, -0.126257226, 0.060767442, 0.0562242493}},
    {.shift = 64,
     .unit = 0x1p-64,
     .log2_e = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56},
     .saturated = 40,
     .exp = {-753.5, -754.3},
     .by_tanh = {-21.601, -21.6073},
     .cubic = {-0x1.26aec21bce74p+1, -0x1.94bb4a166d0c5p-47, -0x1.a5a7cf7572a98p-4,
               0x1.b91c940e4cfcfp-58},
     .mish_zero = -753.4,
     .normal_zero = 38.6,
     .pole = 5,
     .centre = 0.4375,
     .root = 0.5848,
     .n_mills = 23,
     .mills = {0.86075986051883768,    -1.6105665056657954,   2.5191166396838449,
               -3.2614357719129514,    3.4125154323971794,    -2.7389679549559944,
               1.4703051913163876,     -0.24057183158634154,  -0.36729941747288175,
               0.29186125709689781,    0.023955045029304668,  -0.13953272985611448,
               0.02766551799401358,    0.06424159972958568,   -0.023394792218561323,
               -0.033441082632339247,  0.013930063104649899,  0.019912454575468915,
               -0.0071306268802588824, -0.011824320281420008, 0.003349704283879441,
               0.0047558443322168516,  -0.0013663501957053444}},
};

static const GateFormat *format_of(KBuilder *b, KValue x) {
    return &formats[kb_dtype(b, x) == SN_F64];
}

static KPair log2_e(KBuilder *b, KValue like, double factor) {
    const GateFormat *f = format_of(b, like);
    return (KPair){k_num(b, like, factor * f->log2_e[0]), k_num(b, like, factor * f->log2_e[1])};
}

/* x, within what the exponent is made for. */
static KValue ended(KBuilder *b, KValue x, Ends ends) {
    return k_where(b, k_num2(b, OP_LT, x, ends.zero), k_num(b, x, ends.infinite), x);
}

/* x / (1 + 2^(z y)), and from `saturated` on x. The denominator is 2^shift too small; what is added to
 * its power of two is small, or exact. */
static KValue gate(KBuilder *b, KValue x, KValue z, KPair y, double saturated) {
    const GateFormat *f = format_of(b, x);
    KPower power = k_power_of_two(b, (KPair){z, KVALUE_NONE}, y, -f->shift);
    KValue part = k_mul(b, power.rest, power.factor);
    KValue below = k_add(b, power.factor, k_fma(b, power.slope, part, k_num(b, x, f->unit)));
    KValue value = k_num2(b, OP_MUL, k_div(b, x, below), f->unit);
    return k_where(b, k_num2(b, OP_GT, x, saturated), x, value);
}

/* f32 2.2, f64 2.0. */
KValue k_silu(KBuilder *b, KValue x) {
    const GateFormat *f = format_of(b, x);
    return gate(b, x, ended(b, x, f->exp), log2_e(b, x, -1.0), f->saturated);
}

/* `value`, of which only a zero may have the wrong sign, with that of x. */
static KValue with_sign(KBuilder *b, KValue value, KValue x) {
    KValue mask = k_bits(b, k_num(b, x, -0.0));
    KValue bits = k_or(b, k_bits(b, value), k_and(b, k_bits(b, x), mask));
    return kb_bitcast(b, kb_dtype(b, x), bits);
}

/* With v = e (e + 2) / 2, e = exp(x), tanh(log(1 + e)) = v / (1 + v), with m = min(v, 1) also m - m m /
 * (1 + v), which loses no digits on either side. x m is a pair, and -infinity gives NaN. f32 2.5, f64
 * 2.1. */
KValue k_mish(KBuilder *b, KValue x) {
    const GateFormat *f = format_of(b, x);
    KValue one =
        k_num(b, x, 1 / f->unit); /* v, m and what they are made of are 2^shift too large */
    KValue clamped = k_at_least(b, k_at_most(b, x, f->saturated), f->mish_zero);
    KPower power = k_power_of_two(b, (KPair){clamped, KVALUE_NONE}, log2_e(b, x, 1.0), f->shift);
    KValue part = k_mul(b, power.rest, power.factor);
    KValue e = k_fma(b, power.slope, part, power.factor);
    KValue low = k_fma(b, power.slope, part, k_sub(b, power.factor, e));
    KValue v = k_add(b, e, k_fma(b, k_num2(b, OP_MUL, e, f->unit / 2), e, low));
    KValue m = k_at_most(b, v, 1 / f->unit);
    KPair product = k_two_product(b, x, m);
    KValue share = k_div(b, m, k_add(b, v, one));
    KValue rest = k_fma(b, k_neg(b, product.high), share, product.low);
    KValue value = k_num2(b, OP_MUL, k_add(b, product.high, rest), f->unit);
    return k_where(b, k_num2(b, OP_GT, x, f->saturated), x, with_sign(b, value, x));
}

/* x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), which is the form by tanh; the factor of x in the
 * exponent is summed as a pair, as what it loses would count 150 times. f32 2.1, f64 2.0. */
KValue k_gelu_tanh(KBuilder *b, KValue x) {
    static const double saturated = 8;
    const GateFormat *f = format_of(b, x);
    KValue a = ended(b, x, f->by_tanh);
    KPair square = k_two_product(b, a, a);
    KValue linear = k_num(b, x, f->cubic.linear_high), cubic = k_num(b, x, f->cubic.cubic_high);
    KValue sum = k_fma(b, square.high, cubic, linear);
    KValue rest = k_fma(b, square.high, cubic, k_sub(b, linear, sum));
    KValue low =
        k_fma(b, square.high, k_num(b, x, f->cubic.cubic_low), k_num(b, x, f->cubic.linear_low));
    low = k_fma(b, square.low, cubic, low);
    KPair slope = {sum, k_add(b, rest, low)};
    return gate(b, x, a, slope, saturated);
}

/* x exp(x^2 / 2) Phi(-|x|) as a pair: share = x / (|x| + pole) times a polynomial in it. The product is
 * steep in share near 0 and flat in the tail, so that what share lacks weighs about (1 - |share|)^2,
 * and that over |x| + pole is (1 - |share|)^3 / pole. */
static KPair mills(KBuilder *b, const GateFormat *f, KValue x, KValue size) {
    KValue pole = k_num(b, x, f->pole);
    KValue below = k_add(b, size, pole);
    KValue below_low = k_sub(b, size, k_sub(b, below, pole));
    KValue share = k_div(b, x, below);
    KValue minus = k_neg(b, share);
    KValue left = k_fma(b, minus, below_low, k_fma(b, minus, below, x));
    KValue t = k_num2(b, OP_SUB, k_abs(b, share), f->centre);
    KValue flat = k_fma(b, t, k_num(b, x, -f->root), k_num(b, x, (1 - f->centre) * f->root));
    left = k_mul(b, k_mul(b, k_mul(b, left, flat), flat), flat);
    KValue first = k_num(b, x, f->mills[0]), slope = k_poly(b, t, f->mills + 1, f->n_mills - 1);
    KValue p = k_fma(b, slope, t, first);
    KValue p_low = k_fma(b, slope, t, k_sub(b, first, p));
    KPair product = k_two_product(b, share, p);
    return (KPair){product.high, k_fma(b, left, p, k_fma(b, share, p_low, product.low))};
}

/* With Q = Phi(-|x|), the normal distribution's tail: x Q for x < 0, x - x Q above. Zeros keep their sign.
 * f32 2.2, f64 2.3. */
KValue k_gelu(KBuilder *b, KValue x) {
    const GateFormat *f = format_of(b, x);
    KValue below = k_at_most(b, x, f->normal_zero);
    KValue size = k_abs(b, below);
    KPair weight = mills(b, f, below, size);
    KValue a = k_at_most(b, size, f->normal_zero);
    KPower power = k_power_of_two(b, k_two_product(b, a, a), log2_e(b, x, -0.5), f->shift);
    KValue rest = k_fma(b, k_mul(b, weight.high, power.rest), power.slope, weight.low);
    KValue tail = k_mul(b, k_add(b, weight.high, rest), power.factor);
    tail = k_num2(b, OP_MUL, tail, f->unit);
    return k_where(b, k_num2(b, OP_LT, x, 0.0), tail, k_sub(b, x, tail));
}
