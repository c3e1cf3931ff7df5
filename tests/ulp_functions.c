/* See the header. A formula stands twice: for the C library's types, whose names differ by a suffix,
 * and for MPFR. The formulas are the definitions in ir/op/op.def, without regard to rounding. */
#include "tests/ulp_functions.h"
#include "ir/op/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- by the C library ------------------------------------------------------------------------ */

/* Functions of `type`; S(exp) is its exp. */
#define FORMULAS(type, S, mark)                                                                    \
    static type mark##_rsqrt(type x, type y) {                                                     \
        (void)y;                                                                                   \
        return 1 / S(sqrt)(x);                                                                     \
    }                                                                                              \
    static type mark##_sigmoid(type x, type y) {                                                   \
        (void)y;                                                                                   \
        return 1 / (1 + S(exp)(-x));                                                               \
    }                                                                                              \
    static type mark##_softsign(type x, type y) {                                                  \
        (void)y;                                                                                   \
        return x / (1 + S(fabs)(x));                                                               \
    }                                                                                              \
    static type mark##_silu(type x, type y) {                                                      \
        return x * mark##_sigmoid(x, y);                                                           \
    }                                                                                              \
    static type mark##_mish(type x, type y) {                                                      \
        (void)y;                                                                                   \
        return x * S(tanh)(S(log1p)(S(exp)(x)));                                                   \
    }                                                                                              \
    static type mark##_hardsigmoid(type x, type y) {                                               \
        (void)y;                                                                                   \
        return (x <= -3 ? 0 : x > 3 ? 6 : x + 3) / 6;                                              \
    }                                                                                              \
    static type mark##_hardswish(type x, type y) {                                                 \
        return x * mark##_hardsigmoid(x, y);                                                       \
    }                                                                                              \
    static type mark##_logsigmoid(type x, type y) {                                                \
        (void)y;                                                                                   \
        return (x > 0 ? 0 : x) - S(log1p)(S(exp)(-S(fabs)(x)));                                    \
    }                                                                                              \
    static type mark##_gelu(type x, type y) {                                                      \
        (void)y;                                                                                   \
        return x * (S(erfc)(x * -(type)0.70710678118654752440084436210L) / 2);                     \
    }                                                                                              \
    static type mark##_gelu_tanh(type x, type y) {                                                 \
        type inner = (type)1.59576912160573071175978423973L * (x + (type)0.044715L * x * x * x);   \
        return x * mark##_sigmoid(inner, y);                                                       \
    }                                                                                              \
    static type mark##_softplus(type x, type y) {                                                  \
        (void)y;                                                                                   \
        return x > 20 ? x : S(log1p)(S(exp)(x));                                                   \
    }                                                                                              \
    static type mark##_elu(type x, type y) {                                                       \
        (void)y;                                                                                   \
        return x > 0 ? x : S(expm1)(x);                                                            \
    }                                                                                              \
    static type mark##_xlogy(type x, type y) {                                                     \
        return x == 0 && !isnan(y) ? 0 : x * S(log)(y);                                            \
    }
#define DOUBLE(name) name
#define LONG_DOUBLE(name) name##l
FORMULAS(double, DOUBLE, wide)
FORMULAS(long double, LONG_DOUBLE, widest)

/* ---- by MPFR --------------------------------------------------------------------------------- */

#ifdef ULP_MPFR
#define EXACT(name) exact_##name
#define N MPFR_RNDN

static void exact_rsqrt(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_sqrt(r, x, N);
    mpfr_ui_div(r, 1, r, N);
}
static void exact_sigmoid(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_neg(r, x, N);
    mpfr_exp(r, r, N);
    mpfr_add_ui(r, r, 1, N);
    mpfr_ui_div(r, 1, r, N);
}
static void exact_softsign(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_abs(r, x, N);
    mpfr_add_ui(r, r, 1, N);
    mpfr_div(r, x, r, N);
}
static void exact_silu(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    exact_sigmoid(r, x, y);
    mpfr_mul(r, x, r, N);
}
static void exact_mish(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_exp(r, x, N);
    mpfr_log1p(r, r, N);
    mpfr_tanh(r, r, N);
    mpfr_mul(r, x, r, N);
}
static void exact_hardsigmoid(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_add_ui(r, x, 3, N);
    if (mpfr_cmp_ui(r, 0) <= 0 && !mpfr_nan_p(r)) mpfr_set_ui(r, 0, N);
    if (mpfr_cmp_ui(r, 6) > 0 && !mpfr_nan_p(r)) mpfr_set_ui(r, 6, N);
    mpfr_div_ui(r, r, 6, N);
}
static void exact_hardswish(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    exact_hardsigmoid(r, x, y);
    mpfr_mul(r, x, r, N);
}
static void exact_logsigmoid(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_neg(r, x, N);
    mpfr_exp(r, r, N);
    mpfr_log1p(r, r, N);
    mpfr_neg(r, r, N);
}
static void exact_gelu(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_sqrt_ui(r, 2, N);
    mpfr_div(r, x, r, N);
    mpfr_neg(r, r, N);
    mpfr_erfc(r, r, N);
    mpfr_mul(r, x, r, N);
    mpfr_div_ui(r, r, 2, N);
}
/* x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)) */
static void exact_gelu_tanh(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    mpfr_t scale;
    mpfr_init2(scale, ULP_PRECISION);
    mpfr_sqr(r, x, N);
    mpfr_mul_ui(r, r, 44715, N);
    mpfr_div_ui(r, r, 1000000, N);
    mpfr_add_ui(r, r, 1, N);
    mpfr_mul(r, r, x, N);
    mpfr_const_pi(scale, N);
    mpfr_ui_div(scale, 8, scale, N);
    mpfr_sqrt(scale, scale, N);
    mpfr_mul(r, r, scale, N);
    exact_sigmoid(r, r, y);
    mpfr_mul(r, x, r, N);
    mpfr_clear(scale);
}
static void exact_softplus(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_set(r, x, N);
    if (mpfr_cmp_ui(x, 20) > 0) return;
    mpfr_exp(r, r, N);
    mpfr_log1p(r, r, N);
}
static void exact_elu(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    (void)y;
    mpfr_set(r, x, N);
    if (mpfr_cmp_ui(x, 0) <= 0) mpfr_expm1(r, r, N);
}
static void exact_xlogy(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {
    mpfr_log(r, y, N);
    if (mpfr_zero_p(x) && !mpfr_nan_p(y))
        mpfr_set_ui(r, 0, N);
    else
        mpfr_mul(r, x, r, N);
}
#else
#define EXACT(name) NULL
#endif

/* ---- the table ------------------------------------------------------------------------------- */

/* The op itself, and the C library's function behind two operands' types. */
#define APPLY(name, ...)                                                                           \
    static sn_tensor *apply_##name(sn_tensor *x, sn_tensor *y) {                                   \
        (void)y;                                                                                   \
        return __VA_ARGS__;                                                                        \
    }
#ifdef ULP_MPFR
#define EXACT_UNARY(name)                                                                          \
    static void exact_##name(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {                           \
        (void)y;                                                                                   \
        mpfr_##name(r, x, N);                                                                      \
    }
#define EXACT_BINARY(name)                                                                         \
    static void exact_##name(mpfr_ptr r, mpfr_srcptr x, mpfr_srcptr y) {                           \
        mpfr_##name(r, x, y, N);                                                                   \
    }
#else
#define EXACT_UNARY(name)
#define EXACT_BINARY(name)
#endif
#define LIBRARY_UNARY(name, low, high)                                                             \
    APPLY(name, sn_##name(x))                                                                      \
    EXACT_UNARY(name)                                                                              \
    static double wide_##name(double x, double y) {                                                \
        (void)y;                                                                                   \
        return name(x);                                                                            \
    }                                                                                              \
    static long double widest_##name(long double x, long double y) {                               \
        (void)y;                                                                                   \
        return name##l(x);                                                                         \
    }
#define LIBRARY_BINARY(name, low, high)                                                            \
    APPLY(name, sn_##name(x, y))                                                                   \
    EXACT_BINARY(name)                                                                             \
    static double wide_##name(double x, double y) {                                                \
        return name(x, y);                                                                         \
    }                                                                                              \
    static long double widest_##name(long double x, long double y) {                               \
        return name##l(x, y);                                                                      \
    }

#define EACH_LIBRARY_UNARY(F)                                                                      \
    F(exp, -745, 710)                                                                              \
    F(exp2, -1075, 1024)                                                                           \
    F(expm1, -40, 710)                                                                             \
    F(log, 0, 4)                                                                                   \
    F(log2, 0, 4)                                                                                  \
    F(log10, 0, 4)                                                                                 \
    F(log1p, -1, 4)                                                                                \
    F(sin, -100, 100)                                                                              \
    F(cos, -100, 100)                                                                              \
    F(tan, -100, 100)                                                                              \
    F(asin, -1, 1)                                                                                 \
    F(acos, -1, 1)                                                                                 \
    F(atan, -10, 10)                                                                               \
    F(sinh, -711, 711)                                                                             \
    F(cosh, -711, 711)                                                                             \
    F(tanh, -20, 20) F(asinh, -10, 10) F(acosh, 1, 10) F(atanh, -1, 1) F(erf, -6, 6) F(erfc, -6, 27)
#define EACH_LIBRARY_BINARY(F) F(pow, -8, 8) F(atan2, -8, 8) F(hypot, -8, 8)

EACH_LIBRARY_UNARY(LIBRARY_UNARY)
EACH_LIBRARY_BINARY(LIBRARY_BINARY)
APPLY(rsqrt, sn_rsqrt(x))
APPLY(sigmoid, sn_sigmoid(x))
APPLY(softsign, sn_softsign(x))
APPLY(silu, sn_silu(x))
APPLY(mish, sn_mish(x))
APPLY(hardsigmoid, sn_hardsigmoid(x))
APPLY(hardswish, sn_hardswish(x))
APPLY(logsigmoid, sn_logsigmoid(x))
APPLY(gelu, sn_gelu(x, SN_GELU_ERF))
APPLY(gelu_tanh, sn_gelu(x, SN_GELU_TANH))
APPLY(softplus, sn_softplus(x, 1, 20))
APPLY(elu, sn_elu(x, 1))
APPLY(xlogy, sn_xlogy(x, y))

#define ROW(op, label, name, binary, low, high)                                                    \
    {op, label, apply_##name, binary, wide_##name, widest_##name, EXACT(name), low, high},
#define UNARY_ROW(name, low, high) ROW(#name, #name, name, false, low, high)
#define BINARY_ROW(name, low, high) ROW(#name, #name, name, true, low, high)

const UlpFunction ulp_functions[] = {
    EACH_LIBRARY_UNARY(UNARY_ROW) UNARY_ROW(rsqrt, 0, 4) UNARY_ROW(sigmoid, -745, 40)
        UNARY_ROW(softsign, -8, 8) UNARY_ROW(silu, -750, 40) UNARY_ROW(mish, -750, 40)
            UNARY_ROW(hardsigmoid, -4, 4) UNARY_ROW(hardswish, -4, 4)
                UNARY_ROW(logsigmoid, -40, 750) UNARY_ROW(softplus, -750, 30)
                    UNARY_ROW(elu, -40, 10) ROW("gelu", "gelu, erf", gelu, false, -40, 10)
                        ROW("gelu", "gelu, tanh", gelu_tanh, false, -25, 10)
                            EACH_LIBRARY_BINARY(BINARY_ROW) BINARY_ROW(xlogy, -8, 8)};
const int ulp_function_count = sizeof ulp_functions / sizeof *ulp_functions;

/* ---- completeness ---------------------------------------------------------------------------- */

/* Of one rounding or none; lerp and addcmul are of three operands, each step rounded as written. */
static const OpCode rounds_once[] = {
    OP_SIGN,     OP_SQUARE,       OP_RECIPROCAL, OP_RELU,  OP_FRAC,  OP_RELU6, OP_LEAKY_RELU,
    OP_HARDTANH, OP_FLOOR_DIVIDE, OP_REMAINDER,  OP_CLAMP, OP_CLONE, OP_LERP,  OP_ADDCMUL,
};

static bool is_known(OpCode op) {
    for (size_t i = 0; i < sizeof rounds_once / sizeof *rounds_once; i++)
        if (rounds_once[i] == op) return true;
    for (int i = 0; i < ulp_function_count; i++)
        if (strcmp(ulp_functions[i].op, op_info[op].name) == 0) return true;
    return false;
}

bool ulp_functions_are_complete(void) {
    bool complete = true;
    for (OpCode op = 0; op < OP_COUNT; op++) {
        int rule = op_info[op].dtype_rule;
        bool gives_floats = rule != DTYPE_BOOL && rule != DTYPE_INTEGRAL;
        if (!op_is(op, CLASS_POINTWISE) || !op_has(op, F_PUBLIC) || op_has(op, F_PRIM)) continue;
        if (!gives_floats || is_known(op)) continue;
        fprintf(stderr, "ulp: %s has no row in tests/ulp_functions.c\n", op_info[op].name);
        complete = false;
    }
    return complete;
}
