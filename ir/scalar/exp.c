/* exp and its relatives, in f32 and f64 with one text: x = n ln 2 + r, |r| ≤ ln(2) / 2, by two fma
 * (Cody & Waite, "Software Manual for the Elementary Functions", 1980), a minimax polynomial for
 * exp(r), and a scaling by 2^n that rounds once, so that overflow and gradual underflow are right.
 * Largest errors measured, in ULP of the result: beside each function; f32 over every pattern, f64
 * over 10^7 arguments spread over all exponents and the range where the value is finite. */
#include "ir/scalar/math.h"

/* What differs between the two formats. */
typedef struct ExpFormat {
    double ln2_high;        /* ln 2 rounded to the format: n * ln2_high is exact inside an fma */
    double ln2_low;         /* ln 2 - ln2_high */
    double lowest;          /* below it exp is 0 */
    double highest;         /* above it exp is infinite */
    double bias;            /* exponent bias */
    int32_t mantissa_bits;  /* stored bits of the mantissa */
    int32_t n_terms;        /* of `exponential`; `power` has one more */
    double exponential[10]; /* (exp(r) - 1 - r) / r^2; tools/fit_math.py exp */
    double power[11];       /* (2^r - 1) / r; tools/fit_math.py exp2 */
    int32_t n_tangent;      /* of `tangent` */
    double tangent[10];     /* (tanh(x) / x - 1) / z in z = x^2; tools/fit_math.py tanh */
} ExpFormat;

static const ExpFormat formats[2] = {
    {.ln2_high = 0x1.62e430p-1,
     .ln2_low = -0x1.05c610p-29,
     .lowest = -104.0,
     .highest = 89.0,
     .bias = 127.0,
     .mantissa_bits = 23,
     .n_terms = 5,
     .exponential = {0.49999994, 0.166665196, 0.0416682549, 0.00836885255, 0.00138220168},
     .power = {0.693147182, 0.240226507, 0.0555035882, 0.00961807091, 0.00133913639,
               0.000154592737},
     .n_tangent = 5,
     .tangent = {-0.333333164, 0.133325517, -0.0538488179, 0.0210573729, -0.00625381572}},
    {.ln2_high = 0x1.62e42fefa39efp-1,
     .ln2_low = 0x1.abc9e3b39803fp-56,
     .lowest = -746.0,
     .highest = 710.0,
     .bias = 1023.0,
     .mantissa_bits = 52,
     .n_terms = 10,
     .exponential = {0.50000000000000111, 0.16666666666666416, 0.041666666666526006,
                     0.0083333333334916753, 0.0013888888944772236, 0.00019841269514197087,
                     2.4801491861567191e-05, 2.7557578009520991e-06, 2.7630708532655193e-07,
                     2.5003229166518861e-08},
     .power = {0.69314718055994529, 0.24022650695910122, 0.055504108664822638,
               0.0096181291075965944, 0.0013333558146247375, 0.00015403530454863375,
               1.5252733956791892e-05, 1.3215436115572368e-06, 1.0178017996962648e-07,
               7.0736755449429703e-09, 4.4608489343826342e-10},
     .n_tangent = 10,
     .tangent = {-0.33333333333332271, 0.13333333333162212, -0.053968253872690969,
                 0.021869485889494243, -0.0088631933046063593, 0.0035917096191109793,
                 -0.0014531650494987282, 0.00057897836213771029, -0.00021003512441917393,
                 5.0831421827595086e-05}},
};

static const double log2_e = 0x1.71547652b82fep+0;

static const ExpFormat *format_of(KBuilder *b, KValue x) {
    return &formats[kb_dtype(b, x) == SN_F64];
}

/* 2^n as a float, for n in the normal range; `bits` has n + exponent bias in its low bits. */
static KValue two_to(KBuilder *b, const ExpFormat *f, KValue bits, sn_dtype dtype) {
    return kb_bitcast(b, dtype, k_int2(b, OP_SHIFT_LEFT, bits, f->mantissa_bits));
}

/* value * 2^n, `bits` having n + 2 * exponent bias in its low bits. The factors are 2^floor(n / 2)
 * and 2^ceil(n / 2): the first product is exact, the second rounds once. */
static KValue scale_twice(KBuilder *b, const ExpFormat *f, KValue value, KValue bits) {
    sn_dtype dtype = kb_dtype(b, value);
    KValue half = k_int2(b, OP_SHIFT_RIGHT_LOGICAL, bits, 1);
    KValue first = k_int2(b, OP_SHIFT_LEFT, half, f->mantissa_bits);
    KValue both = k_int2(b, OP_SHIFT_LEFT, bits, f->mantissa_bits);
    KValue second = k_sub(b, both, first);
    value = k_mul(b, value, kb_bitcast(b, dtype, first));
    return k_mul(b, value, kb_bitcast(b, dtype, second));
}

/* x - number * ln 2. */
static KValue reduce(KBuilder *b, const ExpFormat *f, KValue x, KValue number) {
    KValue r = k_fma(b, number, k_num(b, x, -f->ln2_high), x);
    return k_fma(b, number, k_num(b, x, -f->ln2_low), r);
}

/* exp(r) */
static KValue exp_reduced(KBuilder *b, const ExpFormat *f, KValue r) {
    KValue one = k_num(b, r, 1.0);
    KValue p = k_fma(b, k_poly(b, r, f->exponential, f->n_terms), r, one);
    return k_fma(b, p, r, one);
}

static KValue exp_clamped(KBuilder *b, const ExpFormat *f, KValue x) {
    KRounded n = k_round_scaled(b, x, k_num(b, x, log2_e), 2 * f->bias);
    return kb_op2(b, OP_SCALE, exp_reduced(b, f, reduce(b, f, x, n.number)), n.number);
}

KValue k_exp_not_positive(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    return exp_clamped(b, f, k_at_least(b, x, f->lowest));
}

/* f32 0.90, f64 0.87. */
KValue k_exp(KBuilder *b, KValue x) {
    return k_exp_not_positive(b, k_at_most(b, x, format_of(b, x)->highest));
}

/* exp(x) = (1 + minus1) 2^n. */
typedef struct ExpParts {
    KValue minus1; /* exp(r) - 1 */
    KValue number; /* n */
    KValue bits;   /* n + 2 * bias */
} ExpParts;

/* The low part joins where the reduced argument's own rounding error does. */
static ExpParts exp_parts(KBuilder *b, const ExpFormat *f, KPair x) {
    KRounded n = k_round_scaled(b, x.high, k_num(b, x.high, log2_e), 2 * f->bias);
    KValue exact = k_fma(b, n.number, k_num(b, x.high, -f->ln2_high), x.high);
    KValue rest = k_fma(b, n.number, k_num(b, x.high, -f->ln2_low), x.low);
    KPair r = k_fast_two_sum(b, exact, rest);
    KValue p = k_poly(b, r.high, f->exponential, f->n_terms);
    p = k_fma(b, k_mul(b, r.high, r.high), p, r.low);
    return (ExpParts){k_add(b, p, r.high), n.number, n.bits};
}

KValue k_exp_sum(KBuilder *b, KPair x) {
    const ExpFormat *f = format_of(b, x.high);
    ExpParts parts = exp_parts(b, f, x);
    return kb_op2(b, OP_SCALE, k_num2(b, OP_ADD, parts.minus1, 1.0), parts.number);
}

KValue k_exp_sum_times(KBuilder *b, KPair x, KPair factor) {
    const ExpFormat *f = format_of(b, x.high);
    ExpParts parts = exp_parts(b, f, x);
    KValue rest = k_fma(b, factor.high, parts.minus1, factor.low);
    return scale_twice(b, f, k_add(b, factor.high, rest), parts.bits);
}

/* No reduction error at all: r = x - n is exact. f32 0.88, f64 0.82. */
KValue k_exp2(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    x = k_at_least(b, k_at_most(b, x, f->bias + 2), -(f->bias + f->mantissa_bits + 2));
    KRounded n = k_round_scaled(b, x, k_num(b, x, 1.0), 2 * f->bias);
    KValue r = k_sub(b, x, n.number);
    KValue p = k_poly(b, r, f->power, f->n_terms + 1);
    return kb_op2(b, OP_SCALE, k_fma(b, p, r, k_num(b, x, 1.0)), n.number);
}

KPower k_power_of_two(KBuilder *b, KPair x, KPair y, double shift) {
    const ExpFormat *f = format_of(b, x.high);
    KRounded n = k_round_scaled(b, x.high, y.high, f->bias + shift);
    KValue r = k_fma(b, x.high, y.high, k_neg(b, n.number));
    r = k_fma(b, x.high, y.low, r);
    if (x.low != KVALUE_NONE) r = k_fma(b, x.low, y.high, r);
    KValue slope = k_poly(b, r, f->power, f->n_terms + 1);
    return (KPower){r, slope, two_to(b, f, n.bits, kb_dtype(b, x.high))};
}

KValue k_one_minus_exp2(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    KValue one = k_num(b, x, 1.0);
    KRounded n = k_round_scaled(b, x, one, f->bias);
    KValue r = k_sub(b, x, n.number);
    KValue p = k_fma(b, k_poly(b, r, f->power, f->n_terms + 1), r, one);
    return k_fma(b, k_neg(b, p), two_to(b, f, n.bits, kb_dtype(b, x)), one);
}

/* x = n ln 2 + r, r = head + rest; exp(r) - 1 = head + tail. */
typedef struct Quartered {
    KValue factor; /* 2^(n - 2), finite for x ≤ about `highest` */
    KValue head;   /* x - n ln2_high, exact */
    KValue tail;   /* the rest of exp(r) - 1 */
} Quartered;

static Quartered quarter(KBuilder *b, const ExpFormat *f, KValue x) {
    KRounded n = k_round_scaled(b, x, k_num(b, x, log2_e), f->bias - 2);
    KValue head = k_fma(b, n.number, k_num(b, x, -f->ln2_high), x);
    KValue rest = k_num2(b, OP_MUL, n.number, -f->ln2_low);
    KValue r = k_add(b, head, rest);
    KValue tail = k_fma(b, k_poly(b, r, f->exponential, f->n_terms), k_mul(b, r, r), rest);
    return (Quartered){two_to(b, f, n.bits, kb_dtype(b, x)), head, tail};
}

/* (exp(x) - 1) / 4: overflows later than what is made of it. */
static KValue expm1_quarter(KBuilder *b, const ExpFormat *f, KValue x) {
    Quartered q = quarter(b, f, x);
    KValue most = k_fma(b, q.factor, q.head, k_num2(b, OP_SUB, q.factor, 0.25));
    return k_fma(b, q.factor, q.tail, most);
}

/* Where |x| is so small that f(x) = x to the last bit, and a quarter of x may be subnormal, x. */
static KValue unless_tiny(KBuilder *b, KValue x, KValue value) {
    return k_where(b, k_num2(b, OP_LT, k_abs(b, x), 0x1p-60), x, value);
}

/* f32 1.2, f64 1.2. */
KValue k_expm1(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    double lowest = -1.25 * (f->mantissa_bits + 1) * f->ln2_high;
    KValue clamped = k_at_least(b, k_at_most(b, x, f->highest + 0.5), lowest);
    KValue value = k_num2(b, OP_MUL, expm1_quarter(b, f, clamped), 4.0);
    return unless_tiny(b, x, value);
}

/* With h = (exp|x| - 1) / 2: sinh|x| = h + h / (2h + 1), the quotient being beyond the last bit for
 * large x. Only f64: 2.3. */
KValue k_sinh(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    KValue a = k_at_most(b, k_abs(b, x), f->highest + 0.6);
    KValue h = k_num2(b, OP_MUL, expm1_quarter(b, f, a), 2.0);
    KValue quotient = k_div(b, h, k_fma(b, h, k_num(b, x, 2.0), k_num(b, x, 1.0)));
    KValue large = k_num2(b, OP_GT, a, f->mantissa_bits);
    KValue value = k_where(b, large, h, k_add(b, h, quotient));
    return unless_tiny(b, x, k_copysign(b, value, x));
}

/* With h = exp|x| / 2: cosh x = h + 1 / (4h). Only f64: 1.3. */
KValue k_cosh(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    Quartered q = quarter(b, f, k_at_most(b, k_abs(b, x), f->highest + 0.6));
    KValue h = k_num2(b, OP_MUL, k_fma(b, q.factor, k_add(b, q.head, q.tail), q.factor), 2.0);
    return k_add(b, h, k_div(b, k_num(b, x, 0.25), h));
}

/* 1 - 2 / (exp(2|x|) + 1), which is 1 from |x| = 9.1 (f32) or 19.1 (f64) on, and below 0.55, where
 * that would cancel, x + x^3 p(x^2). n is small, so ln2_high alone reduces.
 * f32 1.6, f64 1.7. */
KValue k_tanh(KBuilder *b, KValue x) {
    const ExpFormat *f = format_of(b, x);
    KValue z = k_mul(b, x, x);
    KValue near = k_fma(b, k_mul(b, x, z), k_poly(b, z, f->tangent, f->n_tangent), x);
    KValue a = k_at_most(b, k_abs(b, x), f->mantissa_bits == 23 ? 10.0 : 20.0);
    KValue twice = k_add(b, a, a);
    KRounded n = k_round_scaled(b, twice, k_num(b, x, log2_e), f->bias);
    KValue r = k_fma(b, n.number, k_num(b, x, -f->ln2_high), twice);
    KValue factor = two_to(b, f, n.bits, kb_dtype(b, x));
    KValue below = k_fma(b, exp_reduced(b, f, r), factor, k_num(b, x, 1.0));
    KValue far = k_sub(b, k_num(b, x, 1.0), k_div(b, k_num(b, x, 2.0), below));
    return k_copysign(b, k_where(b, k_num2(b, OP_LT, a, 0.55), near, far), x);
}

/* With e = exp(-|x|) and t = e / (1 + e): 1 - t for x ≥ 0, e (1 - t) below, so that the left tail
 * keeps its relative accuracy down to the subnormals. f32 1.7, f64 1.7. */
KValue k_sigmoid(KBuilder *b, KValue x) {
    KValue e = k_exp_not_positive(b, k_neg(b, k_abs(b, x)));
    KValue one = k_num(b, x, 1.0);
    KValue t = k_div(b, e, k_add(b, one, e));
    KValue most = k_where(b, k_num2(b, OP_LT, x, 0.0), e, one);
    return k_fma(b, k_neg(b, most), t, most);
}
