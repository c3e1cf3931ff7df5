/* The scalar definitions (ir/scalar/). A body is built once with a parameter for each input and
 * run by a small loop over scalar_eval, then compared with libm in a wider format (f32 with double,
 * f64 with long double) or, for exact ops, with plain C. */
#include "base/mem.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"
#include "ir/scalar/scalar.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- building and running a body ------------------------------------------------------------- */

/* `word` is the op's attribute, where it has one. */
static sn_status build(Kernel *k, OpCode op, sn_dtype result, sn_dtype type, int64_t word,
                       sn_error *error) {
    kernel_init(k);
    KBuilder *b = kbuilder_new();
    if (!b) return SN_ERROR_MEMORY;
    KValue in[3] = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE};
    for (int32_t i = 0; i < op_operands(op)->count; i++) {
        KInst param = {.op = OP_PARAM, .dtype = (uint8_t)type, .imm = (uint64_t)i};
        param.in[0] = param.in[1] = param.in[2] = KVALUE_NONE;
        if (op == OP_WHERE && i == 0) param.dtype = SN_BOOL;
        in[i] = kb_inst(b, param);
    }
    KValue value =
        scalar_expand(b, op, result, in, op_operands(op)->count, (AttrView){op, 1, &word}, error);
    KInst store = {.op = OP_STORE, .dtype = (uint8_t)kb_dtype(b, value)};
    store.in[0] = value;
    store.in[1] = store.in[2] = KVALUE_NONE;
    kb_inst(b, store);
    bool room = vec_push(&k->args, ((KArg){(uint8_t)result, KARG_OUT, kcoef_literal(1)})) &&
                vec_push(&k->accesses, ((KAccess){0, 0, 0, kcoef_literal(0)}));
    sn_status status = room ? kbuilder_finish(b, k, error) : SN_ERROR_MEMORY;
    kbuilder_free(b);
    return status;
}

static void build_ok(Kernel *k, OpCode op, sn_dtype result, sn_dtype type, int64_t word) {
    sn_error error = {0};
    sn_status status = build(k, op, result, type, word, &error);
    if (status != SN_OK || error.status != SN_OK)
        fail_msg("%s %s: %s", op_info[op].name, sn_dtype_name(type), error.text);
}

enum { MOST_INSTS = 400 };

static uint64_t run(const Kernel *k, const uint64_t in[3]) {
    uint64_t values[MOST_INSTS];
    assert_true(k->insts.count <= MOST_INSTS);
    for (uint32_t i = 0; i < k->insts.count; i++) {
        const KInst *inst = &k->insts.data[i];
        uint64_t x[3] = {0};
        for (int j = 0; j < 3; j++)
            if (inst->in[j] != KVALUE_NONE) x[j] = values[inst->in[j]];
        if (inst->op == OP_STORE) return x[0];
        if (inst->op == OP_CONST)
            values[i] = inst->imm;
        else if (inst->op == OP_PARAM)
            values[i] = in[inst->imm];
        else {
            sn_dtype from = (sn_dtype)k->insts.data[inst->in[0]].dtype;
            values[i] = scalar_eval((OpCode)inst->op, (sn_dtype)inst->dtype, from, x);
        }
    }
    fail_msg("no store");
    return 0;
}

static double run_float(const Kernel *k, sn_dtype type, double x, double y) {
    uint64_t in[3] = {dtype_bits_from_double(type, x), dtype_bits_from_double(type, y), 0};
    return dtype_bits_to_double(type, run(k, in));
}

static uint64_t state;
static uint64_t next_random(void) {
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double uniform(double low, double high) {
    return low + (high - low) * ((double)(next_random() >> 11) * 0x1p-53);
}

/* ---- accuracy -------------------------------------------------------------------------------- */

/* Distance of `got` from the true value in units in the last place of the latter. */
static double ulps(sn_dtype type, double got, long double want) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want) ? 0 : INFINITY;
    int digits = type == SN_F64 ? 53 : 24, least = type == SN_F64 ? -1021 : -125;
    int most = type == SN_F64 ? 1024 : 128, exponent = 0;
    if (isinf(want)) return (long double)got == want ? 0 : INFINITY;
    frexpl(want, &exponent);
    if (want == 0 || exponent < least) exponent = least;
    if (isinf(got) && (got > 0) == (want > 0) && exponent > most) return 0;
    long double value = isinf(got) ? copysignl(ldexpl(1, most), got) : (long double)got;
    return (double)(fabsl(value - want) / ldexpl(1, exponent - digits));
}

typedef struct Accuracy {
    OpCode op;                          /* the function */
    double (*wide)(double);             /* reference of f32 */
    long double (*widest)(long double); /* reference of f64 */
    double low, high;                   /* where most arguments lie */
    double bound32, bound64;            /* ULP promised */
} Accuracy;

static double sigmoid_wide(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static long double sigmoid_widest(long double x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static const Accuracy accuracies[] = {
    {OP_EXP, exp, expl, -746, 710, 1, 1},
    {OP_EXP2, exp2, exp2l, -1076, 1025, 1, 1},
    {OP_EXPM1, expm1, expm1l, -50, 711, 1.5, 1.5},
    {OP_LOG, log, logl, 0.3, 3, 1, 1},
    {OP_LOG2, log2, log2l, 0.3, 3, 1.2, 1.2},
    {OP_LOG10, log10, log10l, 0.3, 3, 1.2, 1.2},
    {OP_LOG1P, log1p, log1pl, -1, 2, 1.2, 1.2},
    {OP_SIN, sin, sinl, -30, 30, 2, 1},
    {OP_COS, cos, cosl, -30, 30, 2, 1},
    {OP_TAN, tan, tanl, -30, 30, 0.6, 2.5},
    {OP_ASIN, asin, asinl, -1, 1, 0.6, 2.2},
    {OP_ACOS, acos, acosl, -1, 1, 0.6, 2},
    {OP_ATAN, atan, atanl, -4, 4, 0.6, 2},
    {OP_SINH, sinh, sinhl, -30, 30, 0.6, 2.5},
    {OP_COSH, cosh, coshl, -30, 30, 0.6, 2},
    {OP_TANH, tanh, tanhl, -20, 20, 2, 2},
    {OP_ASINH, asinh, asinhl, -10, 10, 0.6, 2.5},
    {OP_ACOSH, acosh, acoshl, 1, 10, 0.6, 2.5},
    {OP_ATANH, atanh, atanhl, -1, 1, 0.6, 2.5},
    {OP_ERF, erf, erfl, -6, 6, 1, 1},
    {OP_ERFC, erfc, erfcl, -6, 28, 0.6, 2.2},
    {OP_SIGMOID, sigmoid_wide, sigmoid_widest, -750, 40, 2, 2},
};

static const double specials[] = {0.0,
                                  -0.0,
                                  INFINITY,
                                  -INFINITY,
                                  (double)NAN,
                                  1,
                                  -1,
                                  0.5,
                                  -0.5,
                                  2,
                                  -2,
                                  0.55,
                                  0.9375,
                                  0x1p-1074,
                                  -0x1p-1074,
                                  0x1p-1022,
                                  -0x1p-1022,
                                  0x1p-149,
                                  -0x1p-149,
                                  0x1p-126,
                                  0x1p-60,
                                  -0x1p-61,
                                  DBL_MAX,
                                  -DBL_MAX,
                                  FLT_MAX,
                                  -FLT_MAX,
                                  88.722839,
                                  88.7229,
                                  -87.4,
                                  -103.9,
                                  -104.1,
                                  89.4159,
                                  709.782712893384,
                                  709.7828,
                                  710.4758600739439,
                                  -708.5,
                                  -745.1332191019411,
                                  -745.2,
                                  26.5,
                                  27.2,
                                  27.3,
                                  128,
                                  -149,
                                  -150,
                                  -1074,
                                  1e5,
                                  1e15,
                                  -1e15,
                                  1e22,
                                  3e38,
                                  1.5707963267948966,
                                  3.141592653589793};
enum { N_SPECIALS = sizeof specials / sizeof *specials };

static double argument(const Accuracy *a, sn_dtype type, int32_t i) {
    if (i < N_SPECIALS) return specials[i];
    if (i % 3) return uniform(a->low, a->high) * (i % 7 ? 1 : 0.01);
    uint64_t bits = next_random();
    return dtype_bits_to_double(type, type == SN_F32 ? bits >> 32 : bits);
}

static void check_accuracy(const Accuracy *a, sn_dtype type, double bound) {
    Kernel k;
    build_ok(&k, a->op, type, type, 0);
    for (int32_t i = 0; i < 20000; i++) {
        double x = argument(a, type, i);
        if (type == SN_F32) x = (double)(float)x;
        double got = run_float(&k, type, x, 0);
        long double want = type == SN_F32 ? (long double)a->wide(x) : a->widest(x);
        double error = ulps(type, got, want);
        bool zero = got == 0 && want == 0;
        if (!(error <= bound) || (zero && !signbit(got) != !signbit(want)))
            fail_msg("%s %s (%a) = %a, want %La: %g ulp", op_info[a->op].name, sn_dtype_name(type),
                     x, got, want, error);
    }
    kernel_free(&k);
}

static void elementary_functions_keep_their_bounds(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof accuracies / sizeof *accuracies; i++) {
        check_accuracy(&accuracies[i], SN_F32, accuracies[i].bound32);
        check_accuracy(&accuracies[i], SN_F64, accuracies[i].bound64);
    }
}

typedef struct Turning {
    OpCode op;                          /* the op */
    long double (*widest)(long double); /* the C library's */
    double bound32, bound64;            /* ULPs allowed */
} Turning;

static const Turning turnings[] = {
    {OP_SIN, sinl, 2, 1}, {OP_COS, cosl, 2, 1}, {OP_TAN, tanl, 1, 3}};

static void check_turn(const Turning *t, const Kernel *k, sn_dtype type, double x) {
    if (type == SN_F32) x = (double)(float)x;
    double got = run_float(k, type, x, 0);
    if (!isfinite(x)) {
        assert_true(isnan(got));
        return;
    }
    double error = ulps(type, got, t->widest(x));
    if (!(error <= (type == SN_F32 ? t->bound32 : t->bound64)))
        fail_msg("%s %s (%a) = %a: %g ulp", op_info[t->op].name, sn_dtype_name(type), x, got,
                 error);
}

/* Every exponent, both sides of where the reduction changes, and the f64 and f32 that lie nearest
 * to a multiple of pi/2 (Muller, "Elementary Functions", ch. 11). */
static void trigonometry_holds_over_the_full_range(void **unused) {
    (void)unused;
    static const double arguments[] = {0x1.fffffffffffffp47,
                                       0x1p48,
                                       0x1.fffffep49,
                                       0x1p50,
                                       0x1p77,
                                       0x1p104,
                                       DBL_MAX,
                                       0x1.6ac5b262ca1ffp849,
                                       0x1.6c6cbc45dc8dep62,
                                       0x1.921fb54442d18p1000,
                                       0x1.6p127,
                                       0x1.33333p83,
                                       0x1.88adp95,
                                       INFINITY,
                                       (double)NAN};
    for (size_t i = 0; i < sizeof turnings / sizeof *turnings; i++) {
        for (int wide = 0; wide < 2; wide++) {
            sn_dtype type = wide ? SN_F64 : SN_F32;
            Kernel k;
            build_ok(&k, turnings[i].op, type, type, 0);
            for (size_t j = 0; j < sizeof arguments / sizeof *arguments; j++) {
                check_turn(&turnings[i], &k, type, arguments[j]);
                check_turn(&turnings[i], &k, type, -arguments[j]);
            }
            for (int32_t j = 0; j < 20 * 1024; j++)
                check_turn(&turnings[i], &k, type,
                           ldexp(uniform(1, 2), wide ? j / 20 : j / 20 % 128));
            kernel_free(&k);
        }
    }
}

static void powers_of_the_base_have_exact_logarithms(void **unused) {
    (void)unused;
    Kernel two, ten, back;
    build_ok(&two, OP_LOG2, SN_F64, SN_F64, 0);
    build_ok(&ten, OP_LOG10, SN_F64, SN_F64, 0);
    build_ok(&back, OP_EXP2, SN_F64, SN_F64, 0);
    for (int i = -1074; i < 1024; i++) {
        assert_true(run_float(&two, SN_F64, ldexp(1, i), 0) == i);
        assert_true(run_float(&back, SN_F64, i, 0) == ldexp(1, i));
    }
    double power = 1;
    for (int i = 0; i <= 22; i++, power *= 10) assert_true(run_float(&ten, SN_F64, power, 0) == i);
    kernel_free(&two);
    kernel_free(&ten);
    kernel_free(&back);
}

/* ---- two arguments --------------------------------------------------------------------------- */

typedef struct Pairwise {
    OpCode op;                                       /* the function */
    double (*exact)(double, double);                 /* reference on special values */
    long double (*widest)(long double, long double); /* reference elsewhere */
    double bound;                                    /* ULP promised in f64 */
} Pairwise;

static const Pairwise pairwise[] = {
    {OP_POW, pow, powl, 1}, {OP_ATAN2, atan2, atan2l, 2.2}, {OP_HYPOT, hypot, hypotl, 1.2}};

static const double pair_specials[] = {0.0,
                                       -0.0,
                                       1,
                                       -1,
                                       INFINITY,
                                       -INFINITY,
                                       (double)NAN,
                                       2,
                                       -2,
                                       3,
                                       -3,
                                       0.5,
                                       -0.5,
                                       1.5,
                                       -1.5,
                                       1e308,
                                       -1e308,
                                       5e-324,
                                       -5e-324,
                                       1e300,
                                       1e-300,
                                       9007199254740991.0,
                                       9007199254740994.0,
                                       -9007199254740991.0,
                                       1.0000000000000002,
                                       0.9999999999999999,
                                       1023,
                                       1024,
                                       -1074,
                                       -1075};
enum { N_PAIR_SPECIALS = sizeof pair_specials / sizeof *pair_specials };

static void check_pair(const Pairwise *p, const Kernel *k, double x, double y, long double want) {
    double got = run_float(k, SN_F64, x, y);
    double error = ulps(SN_F64, got, want);
    bool sign = isnan(got) || !signbit(got) == !signbit(want);
    if (!(error <= p->bound) || !sign)
        fail_msg("%s(%a, %a) = %a, want %La: %g ulp", op_info[p->op].name, x, y, got, want, error);
}

static void functions_of_two_arguments_follow_c(void **unused) {
    (void)unused;
    for (size_t n = 0; n < sizeof pairwise / sizeof *pairwise; n++) {
        const Pairwise *p = &pairwise[n];
        Kernel k;
        build_ok(&k, p->op, SN_F64, SN_F64, 0);
        for (int i = 0; i < N_PAIR_SPECIALS * N_PAIR_SPECIALS; i++) {
            double x = pair_specials[i / N_PAIR_SPECIALS], y = pair_specials[i % N_PAIR_SPECIALS];
            double c = p->exact(x, y);
            check_pair(p, &k, x, y, isfinite(c) && c != 0 ? p->widest(x, y) : (long double)c);
        }
        for (int i = 0; i < 20000; i++) {
            double x = uniform(0, 1) * ldexp(1, i % 200 - 100), y = x * uniform(-3, 3);
            if (p->op == OP_POW) y = uniform(-745, 710) / log(x);
            if (isfinite(y)) check_pair(p, &k, x, y, p->widest(x, y));
        }
        kernel_free(&k);
    }
}

static void f32_functions_of_two_arguments_round_once(void **unused) {
    (void)unused;
    for (size_t n = 0; n < sizeof pairwise / sizeof *pairwise; n++) {
        Kernel k;
        build_ok(&k, pairwise[n].op, SN_F32, SN_F32, 0);
        for (int i = 0; i < 10000; i++) {
            double x = (double)(float)ldexp(uniform(0.5, 1), i % 250 - 124);
            double y = (double)(float)(pairwise[n].op == OP_POW ? uniform(-104, 89) / log(x)
                                                                : x * uniform(-2, 2));
            if (!isfinite(y)) continue;
            assert_true(ulps(SN_F32, run_float(&k, SN_F32, x, y), pairwise[n].widest(x, y)) <=
                        0.51);
        }
        kernel_free(&k);
    }
}

/* ---- activations ----------------------------------------------------------------------------- */

typedef struct Activation {
    OpCode op;                        /* the op */
    int64_t form;                     /* its attribute, where it has one */
    long double (*want)(long double); /* the formula */
} Activation;

static long double silu_l(long double x) {
    return x * sigmoid_widest(x);
}
static long double softplus_l(long double x) {
    return x > 40 ? x : log1pl(expl(x));
}
static long double mish_l(long double x) {
    return x * tanhl(softplus_l(x));
}
static long double logsigmoid_l(long double x) {
    return -softplus_l(-x);
}
static long double gelu_erf_l(long double x) {
    return x / 2 * erfcl(x * -0.707106781186547524401L);
}
static long double gelu_tanh_l(long double x) {
    return x * sigmoid_widest(1.59576912160573071176L * (x + 0.044715L * x * x * x));
}
static long double softsign_l(long double x) {
    return x / (1 + fabsl(x));
}
static long double hardsigmoid_l(long double x) {
    return fminl(fmaxl(x + 3, 0), 6) / 6;
}
static long double hardswish_l(long double x) {
    return x * hardsigmoid_l(x);
}
static long double relu_l(long double x) {
    return fmaxl(x, 0);
}
static long double relu6_l(long double x) {
    return fminl(fmaxl(x, 0), 6);
}

static const Activation activations[] = {
    {OP_SILU, 0, silu_l},
    {OP_MISH, 0, mish_l},
    {OP_LOGSIGMOID, 0, logsigmoid_l},
    {OP_GELU, 0, gelu_erf_l},
    {OP_GELU, 1, gelu_tanh_l},
    {OP_SOFTSIGN, 0, softsign_l},
    {OP_HARDSIGMOID, 0, hardsigmoid_l},
    {OP_HARDSWISH, 0, hardswish_l},
    {OP_RELU, 0, relu_l},
    {OP_RELU6, 0, relu6_l},
};

static void activations_follow_their_formulas(void **unused) {
    (void)unused;
    for (size_t n = 0; n < sizeof activations / sizeof *activations; n++) {
        const Activation *a = &activations[n];
        for (sn_dtype type = SN_F32; type <= SN_F64; type++) {
            Kernel k;
            build_ok(&k, a->op, type, type, a->form);
            double epsilon = type == SN_F64 ? 0x1p-52 : 0x1p-23;
            for (int i = 0; i < 5000; i++) {
                double x = uniform(-30, 30);
                if (type == SN_F32) x = (double)(float)x;
                long double want = a->want(x);
                /* Each step rounds, so what cancels leaves an error relative to the terms. */
                double allowed =
                    8 * epsilon * (fabs(x) < 1 ? fabs(x) + (double)fabsl(want) : fabs(x));
                double got = run_float(&k, type, x, 0);
                if (!(fabsl(got - want) <= allowed))
                    fail_msg("%s %s (%a) = %a, want %La", op_info[a->op].name, sn_dtype_name(type),
                             x, got, want);
            }
            assert_true(isnan(run_float(&k, type, (double)NAN, 0)));
            kernel_free(&k);
        }
    }
}

/* Where the step that x is multiplied with is subnormal, or 0, the product need not be. */
static void gates_keep_their_digits_in_the_left_tail(void **unused) {
    (void)unused;
    static const struct {
        Activation a;
        double end[2]; /* where it is less than the least f32, f64 */
    } gates[] = {{{OP_SILU, 0, silu_l}, {-110, -756}},
                 {{OP_MISH, 0, mish_l}, {-110, -756}},
                 {{OP_GELU, 0, gelu_erf_l}, {-14.6, -39}},
                 {{OP_GELU, 1, gelu_tanh_l}, {-11.2, -22}}};
    for (size_t n = 0; n < sizeof gates / sizeof *gates; n++) {
        const Activation *a = &gates[n].a;
        for (sn_dtype type = SN_F32; type <= SN_F64; type++) {
            Kernel k;
            build_ok(&k, a->op, type, type, a->form);
            for (int i = 0; i < 5000; i++) {
                double x = uniform(gates[n].end[type == SN_F64], i % 2 ? -2 : -8);
                if (type == SN_F32) x = (double)(float)x;
                double got = run_float(&k, type, x, 0), error = ulps(type, got, a->want(x));
                if (!(error <= 2.5) || !signbit(got))
                    fail_msg("%s %s (%a) = %a, off by %.2f", op_info[a->op].name,
                             sn_dtype_name(type), x, got, error);
            }
            assert_true(run_float(&k, type, -1e30, 0) == 0 && run_float(&k, type, 1e30, 0) > 9e29);
            assert_true(isnan(run_float(&k, type, -(double)INFINITY, 0)));
            assert_true(run_float(&k, type, (double)INFINITY, 0) == (double)INFINITY);
            assert_true(signbit(run_float(&k, type, -0.0, 0)));
            assert_false(signbit(run_float(&k, type, 0.0, 0)));
            kernel_free(&k);
        }
    }
}

static void relu_has_the_bits_of_maximum(void **unused) {
    (void)unused;
    Kernel k;
    build_ok(&k, OP_RELU, SN_F32, SN_F32, 0);
    assert_int_equal(run(&k, (uint64_t[3]){0x80000000u, 0, 0}), 0); /* -0 gives +0 */
    assert_int_equal(run(&k, (uint64_t[3]){0x80000001u, 0, 0}), 0);
    assert_int_equal(run(&k, (uint64_t[3]){1, 0, 0}), 1);
    assert_true(isnan(run_float(&k, SN_F32, (double)NAN, 0)));
    kernel_free(&k);
}

/* ---- integers -------------------------------------------------------------------------------- */

static const sn_dtype int_types[] = {SN_U8, SN_I8, SN_I16, SN_I32, SN_I64};
static const int64_t int_values[] = {
    0,     1,         -1,        2,         -2,        3,
    -3,    5,         7,         8,         10,        13,
    31,    32,        62,        63,        64,        65,
    100,   127,       -128,      255,       32767,     -32768,
    65537, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, INT64_C(0x123456789abcdef),
    16384, 16385};
enum { N_INT_VALUES = sizeof int_values / sizeof *int_values };

static int64_t wrap(sn_dtype type, uint64_t value) { /* to the width of the type */
    return dtype_bits_to_int(type, dtype_bits_from_int(type, (int64_t)value));
}

static int64_t pow_reference(sn_dtype type, int64_t x, int64_t y) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
    uint64_t result = 1, power = (uint64_t)x;
    for (uint64_t n = (uint64_t)y; n; n >>= 1, power *= power)
        if (n & 1) result *= power;
    return wrap(type, result);
}
static int64_t floor_divide_reference(sn_dtype type, int64_t x, int64_t y) {
    if (y == 0) return 0;
    if (y == -1) return wrap(type, 0 - (uint64_t)x);
    return x / y - (x % y != 0 && (x % y < 0) != (y < 0));
}
static int64_t remainder_reference(sn_dtype type, int64_t x, int64_t y) {
    (void)type;
    if (y == 0 || y == -1) return 0;
    int64_t rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

typedef struct IntPair {
    OpCode op;                                        /* the op */
    int64_t (*want)(sn_dtype type, int64_t, int64_t); /* plain C */
} IntPair;

static const IntPair int_pairs[] = {{OP_POW, pow_reference},
                                    {OP_FLOOR_DIVIDE, floor_divide_reference},
                                    {OP_REMAINDER, remainder_reference}};

static void integer_ops_match_plain_c(void **unused) {
    (void)unused;
    for (size_t n = 0; n < sizeof int_pairs / sizeof *int_pairs; n++) {
        for (size_t t = 0; t < sizeof int_types / sizeof *int_types; t++) {
            sn_dtype type = int_types[t];
            Kernel k;
            build_ok(&k, int_pairs[n].op, type, type, 0);
            for (int i = 0; i < N_INT_VALUES * N_INT_VALUES + 5000; i++) {
                bool listed = i < N_INT_VALUES * N_INT_VALUES;
                int64_t x = listed ? int_values[i / N_INT_VALUES] : (int64_t)next_random();
                int64_t y = listed ? int_values[i % N_INT_VALUES] : (int64_t)next_random();
                x = wrap(type, (uint64_t)x), y = wrap(type, (uint64_t)y);
                uint64_t in[3] = {dtype_bits_from_int(type, x), dtype_bits_from_int(type, y), 0};
                int64_t got = dtype_bits_to_int(type, run(&k, in));
                int64_t want = int_pairs[n].want(type, x, y);
                if (got != want)
                    fail_msg("%s %s (%lld, %lld) = %lld, want %lld", op_info[int_pairs[n].op].name,
                             sn_dtype_name(type), (long long)x, (long long)y, (long long)got,
                             (long long)want);
            }
            kernel_free(&k);
        }
    }
}

typedef struct BoolRow {
    OpCode op;        /* the op on bool */
    uint8_t truth[4]; /* (0,0) (0,1) (1,0) (1,1) */
} BoolRow;

static const BoolRow bool_rows[] = {
    {OP_LOGICAL_AND, {0, 0, 0, 1}},  {OP_LOGICAL_OR, {0, 1, 1, 1}},  {OP_LOGICAL_XOR, {0, 1, 1, 0}},
    {OP_POW, {1, 0, 1, 1}},          {OP_FMOD, {0, 0, 0, 0}},        {OP_REMAINDER, {0, 0, 0, 0}},
    {OP_FLOOR_DIVIDE, {0, 0, 0, 1}}, {OP_MUL, {0, 0, 0, 1}},         {OP_ADD, {0, 1, 1, 1}},
    {OP_LOGICAL_NOT, {1, 1, 0, 0}},  {OP_BITWISE_NOT, {1, 1, 0, 0}}, {OP_SIGN, {0, 0, 1, 1}},
    {OP_ABS, {0, 0, 1, 1}},          {OP_RELU, {0, 0, 1, 1}},        {OP_SQUARE, {0, 0, 1, 1}},
    {OP_ISNAN, {0, 0, 0, 0}},        {OP_ISFINITE, {1, 1, 1, 1}},    {OP_RELU6, {0, 0, 1, 1}}};

static void bool_ops_have_their_truth_tables(void **unused) {
    (void)unused;
    for (size_t n = 0; n < sizeof bool_rows / sizeof *bool_rows; n++) {
        Kernel k;
        build_ok(&k, bool_rows[n].op, SN_BOOL, SN_BOOL, 0);
        for (uint64_t i = 0; i < 4; i++)
            assert_int_equal(run(&k, (uint64_t[3]){i >> 1, i & 1, 0}), bool_rows[n].truth[i]);
        kernel_free(&k);
    }
}

/* ---- tests of floats, signs, choices --------------------------------------------------------- */

static uint64_t once(OpCode op, sn_dtype result, sn_dtype type, double x, double y, double z) {
    Kernel k;
    build_ok(&k, op, result, type, 0);
    uint64_t in[3] = {dtype_bits_from_double(op == OP_WHERE ? SN_BOOL : type, x),
                      dtype_bits_from_double(type, y), dtype_bits_from_double(type, z)};
    uint64_t bits = run(&k, in);
    kernel_free(&k);
    return bits;
}
static double once_float(OpCode op, double x, double y, double z) {
    return dtype_bits_to_double(SN_F64, once(op, SN_F64, SN_F64, x, y, z));
}

static void classification_of_floats(void **unused) {
    (void)unused;
    static const double values[] = {(double)NAN, INFINITY, -INFINITY, 0.0, -0.0, -1, 0x1p-149};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double x = values[i];
        assert_int_equal(once(OP_ISNAN, SN_BOOL, SN_F32, x, 0, 0), isnan(x) != 0);
        assert_int_equal(once(OP_ISINF, SN_BOOL, SN_F32, x, 0, 0), isinf(x) != 0);
        assert_int_equal(once(OP_ISFINITE, SN_BOOL, SN_F32, x, 0, 0), isfinite(x) != 0);
        assert_int_equal(once(OP_LOGICAL_NOT, SN_BOOL, SN_F32, x, 0, 0), x == 0);
        if (!isnan(x))
            assert_int_equal(once(OP_SIGNBIT, SN_BOOL, SN_F32, x, 0, 0), signbit(x) != 0);
    }
}

static void float_remainder_follows_the_divisor(void **unused) {
    (void)unused;
    assert_true(once_float(OP_REMAINDER, -7, 3, 0) == 2);
    assert_true(once_float(OP_REMAINDER, 7, -3, 0) == -2);
    assert_true(once_float(OP_REMAINDER, 6, 3, 0) == 0);
    assert_true(isnan(once_float(OP_REMAINDER, 1, 0, 0)));
    assert_true(once_float(OP_REMAINDER, -1, INFINITY, 0) == INFINITY);
}

/* Python's definition, by way of the exact remainder. */
static double floor_divide_exact(double x, double y) {
    if (y == 0) return x / y;
    double rest = fmod(x, y), quotient = (x - rest) / y;
    if (rest != 0 && (y < 0) != (rest < 0)) quotient -= 1;
    return quotient == 0 ? copysign(0, x / y) : nearbyint(quotient);
}

static void floor_division_is_of_the_exact_quotient(void **unused) {
    (void)unused;
    static const double values[] = {0.0,   -0.0,    1,        -1,        0.1,         -0.1,
                                    7,     -7,      3,        -3,        0x1p-1074,   -0x1p-1074,
                                    1e300, -1e-300, INFINITY, -INFINITY, (double)NAN, 0.3};
    enum { COUNT = sizeof values / sizeof *values };
    Kernel k;
    build_ok(&k, OP_FLOOR_DIVIDE, SN_F64, SN_F64, 0);
    for (int i = 0; i < COUNT * COUNT + 20000; i++) {
        bool listed = i < COUNT * COUNT;
        double y = listed ? values[i % COUNT] : uniform(-9, 9);
        double x = listed ? values[i / COUNT] : y * nearbyint(uniform(-1000, 1000));
        double got = run_float(&k, SN_F64, x, y), want = floor_divide_exact(x, y);
        if (fabs(want) > 0x1p52 && isfinite(want)) continue; /* where theirs is rounded twice */
        if (!(got == want || (isnan(got) && isnan(want))) || !signbit(got) != !signbit(want))
            if (!isnan(want) || !isnan(got)) fail_msg("%a // %a = %a, want %a", x, y, got, want);
    }
    kernel_free(&k);
    assert_true(once_float(OP_FLOOR_DIVIDE, 1, (double)0.1f, 0) == 9);
    assert_true(once_float(OP_FLOOR_DIVIDE, -6.6875, 0x1p-1022, 0) == -INFINITY);
}

static void sign_lerp_xlogy_where(void **unused) {
    (void)unused;
    assert_true(once_float(OP_SIGN, (double)NAN, 0, 0) == 0);
    assert_false(signbit(once_float(OP_SIGN, -0.0, 0, 0)));
    assert_true(once_float(OP_SIGN, -INFINITY, 0, 0) == -1);
    assert_true(once_float(OP_SIGN, 0x1p-1074, 0, 0) == 1);
    assert_true(once_float(OP_SIGN, 0, 0, 0) == 0);
    assert_true(once_float(OP_LERP, 1, 5, 0.25) == 2);
    assert_true(once_float(OP_LERP, 1e17, 1, 1) == 1);
    assert_true(once_float(OP_LERP, 1e17, 1, 0) == 1e17);
    assert_true(once_float(OP_XLOGY, 0, 0, 0) == 0);
    assert_true(once_float(OP_XLOGY, 0, INFINITY, 0) == 0);
    assert_true(isnan(once_float(OP_XLOGY, 0, (double)NAN, 0)));
    assert_true(once_float(OP_XLOGY, 2, 1, 0) == 0);
    assert_true(once_float(OP_WHERE, 1, 3, 4) == 3);
    assert_true(once_float(OP_WHERE, 0, 3, 4) == 4);
    assert_true(once_float(OP_FRAC, -1.25, 0, 0) == -0.25);
    assert_true(once_float(OP_RECIPROCAL, -0.0, 0, 0) == -INFINITY);
    assert_true(once_float(OP_RSQRT, 4, 0, 0) == 0.5);
}

static void clamp_takes_absent_bounds(void **unused) {
    (void)unused;
    for (int which = 0; which < 4; which++) {
        KBuilder *b = kbuilder_new();
        assert_non_null(b);
        KValue in[3] = {kb_float(b, SN_F32, 9), KVALUE_NONE, KVALUE_NONE};
        if (which & 1) in[1] = kb_float(b, SN_F32, 10);
        if (which & 2) in[2] = kb_float(b, SN_F32, 5);
        KValue value = scalar_expand(b, OP_CLAMP, SN_F32, in, 3, (AttrView){0}, NULL);
        uint64_t bits = 0;
        assert_true(kb_is_const(b, value, &bits)); /* constants fold through the whole body */
        double want = which & 2 ? 5 : which & 1 ? 10 : 9;
        assert_true(dtype_bits_to_double(SN_F32, bits) == want);
        kbuilder_free(b);
    }
}

/* ---- structure ------------------------------------------------------------------------------- */

/* Ops with double attributes are replaced by others before lowering. */
static bool has_scalar_body(OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    for (int32_t i = 0; i < count; i++)
        if (params[i].kind == 'd') return false;
    return op_is(op, CLASS_POINTWISE);
}

static bool takes(OpCode op, sn_dtype type) {
    uint8_t rule = op_info[op].dtype_rule;
    if (rule == DTYPE_FLOAT || rule == DTYPE_FLOATING || rule == DTYPE_PROMOTE_FLOATING)
        return dtype_is_float(type);
    if (rule == DTYPE_INTEGRAL) return !dtype_is_float(type);
    return !(type == SN_BOOL && (op == OP_NEG || op == OP_SUB));
}

static void every_pointwise_op_expands_into_primitives(void **unused) {
    (void)unused;
    static const sn_dtype types[] = {SN_BOOL, SN_U8, SN_I8, SN_I16, SN_I32, SN_I64, SN_F32, SN_F64};
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            if (!has_scalar_body((OpCode)op) || !takes((OpCode)op, types[t])) continue;
            bool shift = op == OP_SHIFT_LEFT || op == OP_SHIFT_RIGHT;
            if (shift && types[t] == SN_BOOL) continue;
            sn_dtype result = op == OP_CAST                          ? SN_I32
                              : op_info[op].dtype_rule == DTYPE_BOOL ? SN_BOOL
                                                                     : types[t];
            Kernel k;
            build_ok(&k, (OpCode)op, result, types[t], op == OP_CAST ? SN_I32 : 0);
            for (uint32_t i = 0; i < k.insts.count; i++) {
                const KInst *inst = &k.insts.data[i];
                bool frame = inst->op == OP_CONST || inst->op == OP_PARAM || inst->op == OP_STORE;
                assert_true(frame || op_has((OpCode)inst->op, F_PRIM));
                if (inst->op == OP_STORE) assert_int_equal(k.insts.data[inst->in[0]].dtype, result);
            }
            kernel_free(&k);
        }
    }
}

/* Operations besides constants: what each hot f32 body may cost. */
static void hot_bodies_stay_short(void **unused) {
    (void)unused;
    static const struct {
        OpCode op;
        int64_t form;
        uint32_t most;
    } hot[] = {{OP_EXP, 0, 23}, {OP_TANH, 0, 29}, {OP_SIGMOID, 0, 29}, {OP_LOG, 0, 37},
               {OP_ERF, 0, 35}, {OP_SILU, 0, 22}, {OP_GELU, 0, 59},    {OP_GELU, 1, 31}};
    for (size_t n = 0; n < sizeof hot / sizeof *hot; n++) {
        Kernel k;
        build_ok(&k, hot[n].op, SN_F32, SN_F32, hot[n].form);
        uint32_t count = 0;
        for (uint32_t i = 0; i < k.insts.count; i++) {
            const KInst *inst = &k.insts.data[i];
            count += op_has((OpCode)inst->op, F_PRIM);
            assert_int_not_equal(inst->dtype, SN_F64);
        }
        assert_true(count <= hot[n].most);
        kernel_free(&k);
    }
}

static void what_is_no_scalar_op_is_refused(void **unused) {
    (void)unused;
    KBuilder *b = kbuilder_new();
    assert_non_null(b);
    KValue x = kb_float(b, SN_F32, 1);
    sn_error error = {0};
    assert_int_equal(
        scalar_expand(b, OP_MATMUL, SN_F32, (KValue[]){x, x}, 2, (AttrView){0}, &error),
        KVALUE_NONE);
    assert_int_equal(error.status, SN_ERROR_INTERNAL);
    error.status = SN_OK;
    assert_int_equal(scalar_expand(b, OP_SOFTPLUS, SN_F32, &x, 1, (AttrView){0}, &error),
                     KVALUE_NONE);
    assert_int_equal(error.status, SN_ERROR_INTERNAL);
    error.status = SN_OK;
    assert_int_equal(scalar_expand(b, OP_ADD, SN_F32, &x, 1, (AttrView){0}, &error), KVALUE_NONE);
    assert_int_equal(error.status, SN_ERROR_INTERNAL);
    kbuilder_free(b);
}

static void running_out_of_memory_is_an_error(void **unused) {
    (void)unused;
    int64_t live = mem_live_count();
    bool done = false;
    for (int64_t n = 1; !done; n++) {
        Kernel k;
        sn_error error = {0};
        mem_fail_after(n, true);
        sn_status status = build(&k, OP_POW, SN_F64, SN_F64, 0, &error);
        mem_fail_after(0, false);
        done = status == SN_OK;
        if (done) assert_true(n > 5);
        kernel_free(&k);
        assert_int_equal(mem_live_count(), live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementary_functions_keep_their_bounds),
        cmocka_unit_test(trigonometry_holds_over_the_full_range),
        cmocka_unit_test(powers_of_the_base_have_exact_logarithms),
        cmocka_unit_test(functions_of_two_arguments_follow_c),
        cmocka_unit_test(f32_functions_of_two_arguments_round_once),
        cmocka_unit_test(activations_follow_their_formulas),
        cmocka_unit_test(gates_keep_their_digits_in_the_left_tail),
        cmocka_unit_test(relu_has_the_bits_of_maximum),
        cmocka_unit_test(integer_ops_match_plain_c),
        cmocka_unit_test(bool_ops_have_their_truth_tables),
        cmocka_unit_test(classification_of_floats),
        cmocka_unit_test(float_remainder_follows_the_divisor),
        cmocka_unit_test(floor_division_is_of_the_exact_quotient),
        cmocka_unit_test(sign_lerp_xlogy_where),
        cmocka_unit_test(clamp_takes_absent_bounds),
        cmocka_unit_test(every_pointwise_op_expands_into_primitives),
        cmocka_unit_test(hot_bodies_stay_short),
        cmocka_unit_test(what_is_no_scalar_op_is_refused),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
