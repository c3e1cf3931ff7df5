/* Values of the ops in eager, against plain loops on libm: every elementary function, reduction,
 * index op and composite, on shapes that fit no vector. */
#include "api_case.h"

#include <float.h>
#include <math.h>

enum { COUNT = 67 };

/* Fails unless got is within `ulps` of want in the tensor's dtype (both NaN and both infinite fit). */
static void expect_near(const char *name, sn_tensor *t, const double *want, int64_t count,
                        double ulps) {
    EXPECT_OK();
    assert_non_null(t);
    assert_int_equal(sn_count(t), count);
    double epsilon = sn_dtype_of(t) == SN_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    double *got = malloc(sizeof(double) * (size_t)(count + 1));
    assert_non_null(got);
    assert_true(sn_read(t, SN_F64, got, sizeof(double) * (size_t)count));
    for (int64_t i = 0; i < count; i++) {
        double least = sn_dtype_of(t) == SN_F64 ? 1e-300 : 1e-37;
        bool same = (got[i] != got[i] && want[i] != want[i]) || got[i] == want[i];
        if (same || fabs(got[i] - want[i]) <= ulps * epsilon * (fabs(want[i]) + least)) continue;
        print_error("%s: element %d is %.17g, expected %.17g\n", name, (int)i, got[i], want[i]);
        free(got);
        fail();
    }
    free(got);
}

/* ---- one input ------------------------------------------------------------------------------- */

static double sign(double x) {
    return x > 0 ? 1 : x < 0 ? -1 : x;
}
static double square(double x) {
    return x * x;
}
static double reciprocal(double x) {
    return 1 / x;
}
static double rsqrt(double x) {
    return 1 / sqrt(x);
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double relu(double x) {
    return x > 0 ? x : 0;
}
static double frac(double x) {
    return x - trunc(x);
}
static double softsign(double x) {
    return x / (1 + fabs(x));
}
static double silu(double x) {
    return x * sigmoid(x);
}
static double softplus(double x) {
    return log1p(exp(x));
}
static double mish(double x) {
    return x * tanh(softplus(x));
}
static double relu6(double x) {
    return fmin(relu(x), 6);
}
static double hardsigmoid(double x) {
    return relu6(x + 3) / 6;
}
static double hardswish(double x) {
    return x * hardsigmoid(x);
}
static double logsigmoid(double x) {
    return -softplus(-x);
}
static double neg(double x) {
    return -x;
}

typedef struct UnaryOp {
    const char *name;              /* for messages */
    sn_tensor *(*op)(sn_tensor *); /* ours */
    double (*plain)(double);       /* the reference */
    double low, high;              /* domain */
    double ulps;                   /* allowed; 0 = exact */
} UnaryOp;

#define UNARY(name, plain, low, high, ulps)                                                        \
    { #name, (sn_##name), plain, low, high, ulps }
static const UnaryOp unary_ops[] = {
    UNARY(neg, neg, -9, 9, 0),
    UNARY(abs, fabs, -9, 9, 0),
    UNARY(sign, sign, -9, 9, 0),
    UNARY(square, square, -9, 9, 1),
    UNARY(reciprocal, reciprocal, -9, 9, 1),
    UNARY(sqrt, sqrt, 0, 90, 1),
    UNARY(rsqrt, rsqrt, 1e-3, 90, 2),
    UNARY(exp, exp, -80, 80, 2),
    UNARY(exp2, exp2, -80, 80, 2),
    UNARY(expm1, expm1, -9, 9, 4),
    UNARY(log, log, 1e-9, 1e9, 2),
    UNARY(log2, log2, 1e-9, 1e9, 4),
    UNARY(log10, log10, 1e-9, 1e9, 4),
    UNARY(log1p, log1p, -0.9, 1e3, 4),
    UNARY(sin, sin, -90, 90, 4),
    UNARY(cos, cos, -90, 90, 4),
    UNARY(tan, tan, -1.4, 1.4, 4),
    UNARY(asin, asin, -1, 1, 4),
    UNARY(acos, acos, -1, 1, 4),
    UNARY(atan, atan, -90, 90, 4),
    UNARY(sinh, sinh, -9, 9, 4),
    UNARY(cosh, cosh, -9, 9, 4),
    UNARY(tanh, tanh, -9, 9, 2),
    UNARY(asinh, asinh, -90, 90, 4),
    UNARY(acosh, acosh, 1.01, 90, 6),
    UNARY(atanh, atanh, -0.99, 0.99, 4),
    UNARY(erf, erf, -4, 4, 2),
    UNARY(erfc, erfc, -4, 4, 8),
    UNARY(sigmoid, sigmoid, -30, 30, 4),
    UNARY(relu, relu, -9, 9, 0),
    UNARY(floor, floor, -9, 9, 0),
    UNARY(ceil, ceil, -9, 9, 0),
    UNARY(round, rint, -9, 9, 0),
    UNARY(trunc, trunc, -9, 9, 0),
    UNARY(frac, frac, -9, 9, 0),
    UNARY(softsign, softsign, -9, 9, 2),
    UNARY(silu, silu, -9, 9, 6),
    UNARY(mish, mish, -4, 9, 12),
    UNARY(relu6, relu6, -9, 9, 0),
    UNARY(hardsigmoid, hardsigmoid, -9, 9, 2),
    UNARY(hardswish, hardswish, -2.9, 9, 4),
    UNARY(logsigmoid, logsigmoid, -9, 9, 6),
};

static void unary_ops_equal_libm(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F32, SN_F64};
    for (size_t k = 0; k < sizeof unary_ops / sizeof unary_ops[0]; k++)
        for (size_t d = 0; d < 2; d++) {
            const UnaryOp *op = &unary_ops[k];
            double in[COUNT], want[COUNT];
            for (int i = 0; i < COUNT; i++)
                in[i] = op->low + (op->high - op->low) * i / (COUNT - 1);
            sn_tensor *x = tensor_of(dtypes[d], SN_I(COUNT), in);
            assert_true(sn_read(x, SN_F64, in, sizeof in)); /* as rounded */
            for (int i = 0; i < COUNT; i++) want[i] = op->plain(in[i]);
            /* the reference rounds as well: one unit more */
            expect_near(op->name, op->op(x), want, COUNT, op->ulps > 0 ? op->ulps + 1 : 1);
        }
}

static void parametrised_activations_equal_their_formulas(void **state) {
    (void)state;
    double in[COUNT], want[7][COUNT];
    for (int i = 0; i < COUNT; i++) {
        double x = in[i] = (i - 33) / 8.0;
        want[0][i] = 0.5 * x * erfc(-x / sqrt(2));
        want[1][i] = x / (1 + exp(-sqrt(8 / acos(-1)) * (x + 0.044715 * x * x * x)));
        want[2][i] = 2 * x > 3 ? x : log1p(exp(2 * x)) / 2;
        want[3][i] = x > 0 ? x : 0.1 * x;
        want[4][i] = x > 0 ? x : 1.5 * expm1(x);
        want[5][i] = fmin(fmax(x, -1), 2);
        want[6][i] = (double)(float)x;
    }
    sn_tensor *x = tensor_of(SN_F64, SN_I(COUNT), in);
    expect_near("gelu erf", sn_gelu(x, SN_GELU_ERF), want[0], COUNT, 32);
    expect_near("gelu tanh", sn_gelu(x, SN_GELU_TANH), want[1], COUNT, 64);
    expect_near("softplus", sn_softplus(x, 2, 3), want[2], COUNT, 8);
    expect_near("leaky_relu", sn_leaky_relu(x, 0.1), want[3], COUNT, 1);
    expect_near("elu", sn_elu(x, 1.5), want[4], COUNT, 4);
    expect_near("hardtanh", sn_hardtanh(x, -1, 2), want[5], COUNT, 1);
    expect_near("cast", sn_cast(x, SN_F32), want[6], COUNT, 0);
}

/* ---- two inputs ------------------------------------------------------------------------------ */

static void binary_ops_on_floats(void **state) {
    (void)state;
    const double n[] = {0.0, -0.0, 1.5, -1.5, 7, -7, INFINITY, -INFINITY, NAN, 0.1};
    double a[100], b[100], want[9][100];
    for (int i = 0; i < 100; i++) {
        double x = a[i] = n[i / 10], y = b[i] = n[i % 10];
        double rest = fmod(x, y);
        want[0][i] = x / y;
        want[1][i] = rest;
        want[2][i] =
            rest != 0 && (rest < 0) != (y < 0) ? rest + y : copysign(rest, rest == 0 ? y : rest);
        want[3][i] = pow(x, y);
        want[4][i] = x != x || y != y ? NAN : x == y ? (signbit(x) ? y : x) : x > y ? x : y;
        want[5][i] = x != x || y != y ? NAN : x == y ? (signbit(x) ? x : y) : x < y ? x : y;
        want[6][i] = atan2(x, y);
        want[7][i] = hypot(x, y);
        want[8][i] = copysign(x, y);
    }
    sn_tensor *x = tensor_of(SN_F64, SN_I(100), a), *y = tensor_of(SN_F64, SN_I(100), b);
    expect_near("div", sn_div(x, y), want[0], 100, 0);
    expect_near("fmod", sn_fmod(x, y), want[1], 100, 0);
    expect_near("remainder", sn_remainder(x, y), want[2], 100, 1);
    expect_near("pow", sn_pow(x, y), want[3], 100, 4);
    expect_values_at(sn_maximum(x, y), want[4], 100, __FILE__, __LINE__);
    expect_values_at(sn_minimum(x, y), want[5], 100, __FILE__, __LINE__);
    expect_near("atan2", sn_atan2(x, y), want[6], 100, 4);
    expect_near("hypot", sn_hypot(x, y), want[7], 100, 4);
    sn_tensor *copied =
        sn_copysign(sn_where(sn_isnan(x), sn_c(1), x), sn_where(sn_isnan(y), sn_c(1), y));
    for (int i = 0; i < 100; i++)
        want[8][i] = copysign(a[i] != a[i] ? 1 : a[i], b[i] != b[i] ? 1 : b[i]);
    expect_values_at(copied, want[8], 100, __FILE__, __LINE__);
}

static void comparisons_and_tests_of_floats(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(6), V(0, -0.0, NAN, INFINITY, -1, 2));
    sn_tensor *y = tensor_of(SN_F32, SN_I(6), V(-0.0, 0, NAN, 1, -1, 3));
    EXPECT_VALUES(sn_eq(x, y), 1, 1, 0, 0, 1, 0);
    EXPECT_VALUES(sn_ne(x, y), 0, 0, 1, 1, 0, 1);
    EXPECT_VALUES(sn_lt(x, y), 0, 0, 0, 0, 0, 1);
    EXPECT_VALUES(sn_le(x, y), 1, 1, 0, 0, 1, 1);
    EXPECT_VALUES(sn_gt(x, y), 0, 0, 0, 1, 0, 0);
    EXPECT_VALUES(sn_ge(x, y), 1, 1, 0, 1, 1, 0);
    EXPECT_VALUES(sn_isnan(x), 0, 0, 1, 0, 0, 0);
    EXPECT_VALUES(sn_isinf(x), 0, 0, 0, 1, 0, 0);
    EXPECT_VALUES(sn_isfinite(x), 1, 1, 0, 0, 1, 1);
    EXPECT_VALUES(sn_signbit(sn_where(sn_isnan(x), sn_c(0), x)), 0, 1, 0, 0, 1, 0);
    EXPECT_VALUES(sn_logical_not(x), 1, 1, 0, 0, 0, 0);
    EXPECT_VALUES(sn_logical_and(x, y), 0, 0, 1, 1, 1, 1);
    EXPECT_VALUES(sn_logical_or(x, y), 0, 0, 1, 1, 1, 1);
    EXPECT_VALUES(sn_logical_xor(x, tensor_of(SN_F32, SN_I(6), V(1, 0, 0, 0, 0, 1))), 1, 0, 1, 1, 1,
                  0);
    EXPECT_VALUES(
        sn_xlogy(tensor_of(SN_F32, SN_I(2), V(0, 0)), tensor_of(SN_F32, SN_I(2), V(0, NAN))), 0,
        NAN);
    EXPECT_VALUES(sn_lerp(sn_c(2), tensor_of(SN_F32, SN_I(2), V(4, 6)), sn_c(0.5)), 3, 4);
    EXPECT_VALUES(sn_addcmul(x, y, sn_ci(2), 0), 0, 0, NAN, INFINITY, -1, 2);
}

static void integers_wrap_shift_and_divide_without_traps(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_I32, SN_I(6), V(7, -7, INT32_MIN, INT32_MAX, 5, 0));
    sn_tensor *y = tensor_of(SN_I32, SN_I(6), V(-2, 2, -1, 1, 0, 0));
    EXPECT_VALUES(sn_floor_divide(x, y), -4, -4, INT32_MIN, INT32_MAX, 0, 0);
    EXPECT_VALUES(sn_remainder(x, y), -1, 1, 0, 0, 0, 0);
    EXPECT_VALUES(sn_fmod(x, y), 1, -1, 0, 0, 0, 0);
    EXPECT_VALUES(sn_add(x, y), 5, -5, INT32_MAX, INT32_MIN, 5, 0);
    EXPECT_VALUES(sn_mul(x, x), 49, 49, 0, 1, 25, 0);
    EXPECT_VALUES(sn_neg(x), -7, 7, INT32_MIN, -(double)INT32_MAX, -5, 0);
    EXPECT_VALUES(sn_abs(x), 7, 7, INT32_MIN, INT32_MAX, 5, 0);
    EXPECT_VALUES(sn_bitwise_and(x, sn_ci(6)), 6, 0, 0, 6, 4, 0);
    EXPECT_VALUES(sn_bitwise_or(x, sn_ci(8)), 15, -7, INT32_MIN + 8.0, INT32_MAX, 13, 8);
    EXPECT_VALUES(sn_bitwise_xor(x, sn_ci(-1)), -8, 6, INT32_MAX, INT32_MIN, -6, -1);
    EXPECT_VALUES(sn_bitwise_not(tensor_of(SN_U8, SN_I(2), V(0, 15))), 255, 240);
    EXPECT_VALUES(sn_bitwise_not(tensor_of(SN_BOOL, SN_I(2), V(0, 1))), 1, 0);
    sn_tensor *by = tensor_of(SN_I32, SN_I(6), V(1, 1, 31, 32, -1, 40));
    EXPECT_VALUES(sn_shift_left(sn_ones(SN_I(6), SN_I32), by), 2, 2, INT32_MIN, 0, 0, 0);
    EXPECT_VALUES(sn_shift_right(x, by), 3, -4, -1, 0, 0, 0);
    EXPECT_VALUES(sn_pow(tensor_of(SN_I64, SN_I(6), V(2, -2, 1, -1, 3, 0)),
                         tensor_of(SN_I64, SN_I(6), V(10, 3, -5, -3, -1, 0))),
                  1024, -8, 1, -1, 0, 1);
    EXPECT_VALUES(sn_cast(tensor_of(SN_F32, SN_I(6), V(300, -1, NAN, INFINITY, 2.9, -2.9)), SN_U8),
                  255, 0, 0, 255, 2, 0);
    EXPECT_VALUES(sn_cast(tensor_of(SN_I32, SN_I(2), V(300, -1)), SN_U8), 44, 255);
    EXPECT_VALUES(sn_div(x, sn_ci(2)), 3.5, -3.5, INT32_MIN / 2, (double)(float)(INT32_MAX / 2.0),
                  2.5, 0);
}

/* ---- reductions ------------------------------------------------------------------------------ */

enum { A = 3, B = 5, C = 37 };

static void reductions_over_any_axes(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(21, SN_F64, SN_I(A, B, C));
    double v[A][B][C], sum[B], mean[A * C], most[A * B], least[1] = {9}, var[A], lse[A * B];
    assert_true(sn_read(x, SN_F64, v, sizeof v));
    for (int b = 0; b < B; b++) sum[b] = 0;
    for (int i = 0; i < A * C; i++) mean[i] = 0;
    for (int a = 0; a < A; a++) {
        double total = 0;
        var[a] = 0;
        for (int b = 0; b < B; b++) {
            double top = -9, exps = 0;
            for (int c = 0; c < C; c++) {
                sum[b] += v[a][b][c];
                mean[a * C + c] += v[a][b][c] / (double)B;
                if (v[a][b][c] > top) top = v[a][b][c];
                if (v[a][b][c] < least[0]) least[0] = v[a][b][c];
                exps += exp(v[a][b][c]);
                total += v[a][b][c];
            }
            most[a * B + b] = top;
            lse[a * B + b] = log(exps);
        }
        total /= B * C;
        for (int i = 0; i < B * C; i++) var[a] += square(v[a][i / C][i % C] - total) / (B * C - 1);
    }
    expect_near("sum", sn_sum(x, SN_I(0, -1), true), sum, B, 256);
    EXPECT_SHAPE(sn_sum(x, SN_I(0, -1), true), SN_F64, SN_I(1, B, 1));
    expect_near("mean", sn_mean(x, SN_I(1), false), mean, A * C, 64);
    expect_near("max", sn_max(x, SN_I(2), false), most, A * B, 0);
    expect_near("min", sn_min(x, SN_I0, false), least, 1, 0);
    expect_near("var", sn_var(x, SN_I(2, 1), false, 1), var, A, 256);
    expect_near("logsumexp", sn_logsumexp(x, SN_I(2), false), lse, A * B, 64);
    EXPECT_SAME(sn_sum(sn_permute(x, SN_I(2, 1, 0)), SN_I(0, 1, 2), true),
                sn_sum(sn_contiguous(sn_permute(x, SN_I(2, 1, 0))), SN_I(0, 1, 2), true));
}

static void extremes_take_nan_then_the_lowest_index(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(3, 4), V(1, 5, 5, 2, 3, NAN, 9, NAN, -1, -1, -2, -2));
    EXPECT_VALUES(sn_argmax(x, SN_I(1), false), 1, 1, 0);
    EXPECT_VALUES(sn_argmin(x, SN_I(1), false), 0, 1, 2);
    EXPECT_VALUES(sn_argmax(x, SN_I0, false), 5);
    EXPECT_VALUES(sn_max(x, SN_I(1), false), 5, NAN, -1);
    EXPECT_VALUES(sn_min(x, SN_I(0), false), -1, NAN, -2, NAN);
    EXPECT_VALUES(sn_any(sn_gt(x, sn_ci(4)), SN_I(1), false), 1, 1, 0);
    EXPECT_VALUES(sn_all(x, SN_I(0), false), 1, 1, 1, 1);
    EXPECT_VALUES(sn_prod(tensor_of(SN_I32, SN_I(2, 2), V(2, 3, 4, 5)), SN_I(0), false), 8, 15);
    EXPECT_VALUES(sn_max(tensor_of(SN_I8, SN_I(2), V(-128, 127)), SN_I0, false), 127);
}

static void cumsum_runs_along_its_axis(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_I32, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
    EXPECT_VALUES(sn_cumsum(x, 1), 1, 3, 6, 4, 9, 15);
    EXPECT_VALUES(sn_cumsum(x, 0), 1, 2, 3, 5, 7, 9);
    sn_tensor *ones = sn_ones(SN_I(2, 4099), SN_F32);
    sn_tensor *want = sn_expand(sn_arange(1, 4100, 1, SN_F32), SN_I(2, 4099));
    EXPECT_SAME(sn_cumsum(ones, 1), want);
    EXPECT_SAME(sn_cumsum(sn_transpose(ones, 0, 1), 0), sn_transpose(want, 0, 1));
}

/* ---- joining and indexing -------------------------------------------------------------------- */

static void joining_and_padding(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_I32, SN_I(2, 2), V(1, 2, 3, 4)),
              *y = tensor_of(SN_F32, SN_I(2, 1), V(8, 9));
    sn_tensor *two[2] = {x, y}, *same[2] = {x, sn_transpose(x, 0, 1)};
    EXPECT_VALUES(sn_cat(two, 2, -1), 1, 2, 8, 3, 4, 9);
    EXPECT_SHAPE(sn_cat(two, 2, -1), SN_F32, SN_I(2, 3));
    EXPECT_VALUES(sn_stack(same, 2, 1), 1, 2, 1, 3, 3, 4, 2, 4);
    EXPECT_VALUES(sn_pad(x, SN_I(1, 0, -1, 1), 7), 7, 3, 4, 7, 7, 7);
    EXPECT_VALUES(sn_tril(sn_ones(SN_I(2, 3), SN_I32), 1), 1, 1, 0, 1, 1, 1);
    EXPECT_VALUES(sn_triu(sn_ones(SN_I(2, 3), SN_I32), 1), 0, 1, 1, 0, 0, 1);
    EXPECT_VALUES(sn_arange(3, -2, -2, SN_I16), 3, 1, -1);
    EXPECT_VALUES(sn_arange(0, 1, 0.25, SN_F32), 0, 0.25, 0.5, 0.75);
    EXPECT_VALUES(sn_one_hot(tensor_of(SN_I64, SN_I(2), V(2, 0)), 3), 0, 0, 1, 1, 0, 0);
}

static void indices_from_data(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(3, 2), V(0, 1, 10, 11, 20, 21));
    sn_tensor *i = tensor_of(SN_I64, SN_I(4), V(2, 0, -1, 2));
    EXPECT_VALUES(sn_index_select(x, 0, sn_narrow(i, 0, 0, 2)), 20, 21, 0, 1);
    EXPECT_VALUES(sn_embedding(x, tensor_of(SN_I32, SN_I(2, 1), V(1, 2))), 10, 11, 20, 21);
    EXPECT_VALUES(sn_gather(x, 0, tensor_of(SN_I64, SN_I(1, 2), V(2, 1))), 20, 11);
    EXPECT_VALUES(sn_gather(x, 1, tensor_of(SN_I64, SN_I(3, 1), V(1, 0, 1))), 1, 10, 21);
    sn_tensor *to = tensor_of(SN_I64, SN_I(4, 1), V(2, 0, 2, 2));
    sn_tensor *source = tensor_of(SN_F32, SN_I(4, 1), V(1, 2, 4, 8));
    EXPECT_VALUES(sn_scatter_add(x, 0, to, source), 2, 1, 10, 11, 33, 21);
    EXPECT_VALUES(x, 0, 1, 10, 11, 20, 21);
    EXPECT_VALUES(sn_index_copy(x, 0, tensor_of(SN_I64, SN_I(2), V(1, 1)),
                                tensor_of(SN_F32, SN_I(2, 2), V(5, 6, 7, 8))),
                  0, 1, 7, 8, 20, 21);
}

/* ---- matrix products ------------------------------------------------------------------------- */

static void matmul_in_all_ranks(void **state) {
    (void)state;
    sn_tensor *v = tensor_of(SN_F32, SN_I(3), V(1, 2, 3)),
              *m = tensor_of(SN_F32, SN_I(2, 3), V(1, 0, 2, 0, 1, -1));
    EXPECT_SHAPE(sn_matmul(v, v), SN_F32, SN_I0);
    EXPECT_VALUES(sn_matmul(v, v), 14);
    EXPECT_VALUES(sn_matmul(m, v), 7, -1);
    EXPECT_VALUES(sn_matmul(v, sn_transpose(m, 0, 1)), 7, -1);
    EXPECT_VALUES(sn_matmul(m, sn_transpose(m, 0, 1)), 5, -2, -2, 2);
    sn_tensor *batch = sn_mul(sn_unsqueeze(m, 0), tensor_of(SN_F32, SN_I(2, 1, 1), V(1, 10)));
    EXPECT_VALUES(sn_matmul(batch, v), 7, -1, 70, -10);
    EXPECT_VALUES(sn_matmul(v, sn_transpose(batch, 1, 2)), 7, -1, 70, -10);
    EXPECT_SHAPE(sn_matmul(sn_unsqueeze(batch, 1), sn_expand(sn_transpose(m, 0, 1), SN_I(4, 3, 2))),
                 SN_F32, SN_I(2, 4, 2, 2));
    EXPECT_VALUES(sn_matmul(tensor_of(SN_I64, SN_I(1, 2), V(1 << 20, 3)),
                            tensor_of(SN_I64, SN_I(2, 1), V(1 << 20, 5))),
                  1099511627776.0 + 15);
    EXPECT_VALUES(sn_linear(v, m, tensor_of(SN_F32, SN_I(2), V(100, 200))), 107, 199);
    EXPECT_VALUES(sn_matmul(sn_cast(m, SN_BF16), sn_cast(v, SN_BF16)), 7, -1);
    EXPECT_VALUES(sn_matmul(sn_cast(m, SN_F64), sn_cast(v, SN_F64)), 7, -1);
}

static void matmul_equals_a_plain_loop(void **state) {
    (void)state;
    enum { M = 19, K = 33, N = 21 };
    sn_tensor *x = tensor_random(31, SN_F64, SN_I(M, K)),
              *y = tensor_random(32, SN_F64, SN_I(N, K));
    double a[M][K], b[N][K], want[M * N];
    assert_true(sn_read(x, SN_F64, a, sizeof a) && sn_read(y, SN_F64, b, sizeof b));
    for (int i = 0; i < M * N; i++) {
        want[i] = 0;
        for (int k = 0; k < K; k++) want[i] += a[i / N][k] * b[i % N][k];
    }
    sn_tensor *z = sn_matmul(x, sn_transpose(y, 0, 1));
    double got[M * N];
    assert_true(sn_read(z, SN_F64, got, sizeof got));
    for (int i = 0; i < M * N; i++) assert_true(fabs(got[i] - want[i]) < 1e-13);
}

/* ---- random ---------------------------------------------------------------------------------- */

static void draws_depend_on_the_generator_alone(void **state) {
    (void)state;
    sn_rng one = {7, 0}, two = {7, 0}, other = {8, 0};
    sn_tensor *x = sn_rand(&one, SN_I(1000), SN_F32);
    assert_int_equal(one.counter, 1000);
    sn_tensor *parts[2] = {sn_rand(&two, SN_I(300), SN_F32), sn_rand(&two, SN_I(700), SN_F32)};
    EXPECT_SAME(x, sn_cat(parts, 2, 0));
    assert_int_equal(
        sn_item_int(sn_any(sn_eq(x, sn_rand(&other, SN_I(1000), SN_F32)), SN_I0, false)) > 3, 0);
    assert_true(sn_item(sn_min(x, SN_I0, false)) >= 0 && sn_item(sn_max(x, SN_I0, false)) < 1);
    assert_true(fabs(sn_item(sn_mean(x, SN_I0, false)) - 0.5) < 0.05);
    sn_tensor *normal = sn_randn(&one, SN_I(10000), SN_F64);
    assert_true(fabs(sn_item(sn_mean(normal, SN_I0, false))) < 0.05);
    assert_true(fabs(sn_item(sn_var(normal, SN_I0, false, 1)) - 1) < 0.06);
    sn_tensor *dropped = sn_dropout(sn_ones(SN_I(10000), SN_F32), 0.25, &one);
    double kept = sn_item(sn_mean(sn_cast(sn_ne(dropped, sn_ci(0)), SN_F32), SN_I0, false));
    assert_true(fabs(kept - 0.75) < 0.03);
    EXPECT_VALUES(sn_max(dropped, SN_I0, false), (double)(float)(1 / 0.75));
    assert_int_equal(one.counter, 21000);
}

/* ---- composites ------------------------------------------------------------------------------ */

static void softmax_and_norms_equal_their_formulas(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(41, SN_F64, SN_I(B, C)), *w = tensor_random(42, SN_F64, SN_I(C));
    sn_tensor *bias = tensor_random(43, SN_F64, SN_I(C));
    double v[B][C], wv[C], bv[C], soft[B * C], logs[B * C], layer[B * C], rms[B * C];
    sn_read(x, SN_F64, v, sizeof v), sn_read(w, SN_F64, wv, sizeof wv),
        sn_read(bias, SN_F64, bv, sizeof bv);
    for (int b = 0; b < B; b++) {
        double exps = 0, mean = 0, var = 0, squares = 0;
        for (int c = 0; c < C; c++)
            exps += exp(v[b][c]), mean += v[b][c] / (double)C,
                squares += square(v[b][c]) / (double)C;
        for (int c = 0; c < C; c++) var += square(v[b][c] - mean) / (double)C;
        for (int c = 0; c < C; c++) {
            soft[b * C + c] = exp(v[b][c]) / exps;
            logs[b * C + c] = v[b][c] - log(exps);
            layer[b * C + c] = (v[b][c] - mean) / sqrt(var + 1e-5) * wv[c] + bv[c];
            rms[b * C + c] = v[b][c] / sqrt(squares + 1e-6) * wv[c];
        }
    }
    expect_near("softmax", sn_softmax(x, 1), soft, B * C, 64);
    expect_near("softmax of columns", sn_transpose(sn_softmax(sn_transpose(x, 0, 1), 0), 0, 1),
                soft, B * C, 64);
    expect_near("log_softmax", sn_log_softmax(x, -1), logs, B * C, 256);
    expect_near("layer_norm", sn_layer_norm(x, w, bias, 1e-5), layer, B * C, 4096);
    expect_near("rms_norm", sn_rms_norm(x, w, 1e-6), rms, B * C, 64);
    EXPECT_SAME(sn_layer_norm(x, SN_NONE, SN_NONE, 0.5),
                sn_layer_norm(x, sn_ones(SN_I(C), SN_F64), sn_zeros(SN_I(C), SN_F64), 0.5));
    EXPECT_VALUES(sn_softmax(tensor_of(SN_F32, SN_I(2), V(1000, -INFINITY)), 0), 1, 0);
}

static void cross_entropy_in_its_three_reductions(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(51, SN_F64, SN_I(4, 6)),
              *y = tensor_of(SN_I64, SN_I(4), V(5, 0, 3, 3));
    sn_tensor *logs = sn_neg(sn_log_softmax(x, 1));
    sn_tensor *each = sn_squeeze(sn_gather(logs, 1, sn_unsqueeze(y, 1)), SN_I(1));
    double want[4], sum = 0;
    sn_read(each, SN_F64, want, sizeof want);
    for (int i = 0; i < 4; i++) sum += want[i];
    expect_near("none", sn_cross_entropy(x, y, SN_REDUCTION_NONE), want, 4, 8);
    expect_near("sum", sn_cross_entropy(x, y, SN_REDUCTION_SUM), &sum, 1, 16);
    double mean = sum / 4;
    expect_near("mean", sn_cross_entropy(x, y, SN_REDUCTION_MEAN), &mean, 1, 16);
}

static void attention_equals_its_formula(void **state) {
    (void)state;
    sn_tensor *q = tensor_random(61, SN_F64, SN_I(2, 5, 8)),
              *k = tensor_random(62, SN_F64, SN_I(2, 7, 8));
    sn_tensor *v = tensor_random(63, SN_F64, SN_I(2, 7, 3));
    sn_tensor *scores = sn_div(sn_matmul(q, sn_transpose(k, 1, 2)), sn_c(sqrt(8)));
    double want[30];
    sn_read(sn_matmul(sn_softmax(scores, 2), v), SN_F64, want, sizeof want);
    expect_near("plain", sn_scaled_dot_product_attention(q, k, v, SN_NONE, false, 0), want, 30,
                4096);
    sn_tensor *mask = sn_tril(sn_ones(SN_I(5, 7), SN_BOOL), 0);
    sn_tensor *masked = sn_where(mask, scores, sn_c(-INFINITY));
    sn_read(sn_matmul(sn_softmax(masked, 2), v), SN_F64, want, sizeof want);
    expect_near("mask", sn_scaled_dot_product_attention(q, k, v, mask, false, 0), want, 30, 4096);
    expect_near("causal", sn_scaled_dot_product_attention(q, k, v, SN_NONE, true, 0), want, 30,
                4096);
}

/* As in C; the zero of a remainder has the sign of x, as in PyTorch. */
static void signs_of_zeros_are_those_that_are_written_down(void **state) {
    (void)state;
    const double pi = (double)3.14159265358979323846f;
    sn_tensor *y = tensor_of(SN_F32, SN_I(4), V(-0.0, 0.0, -0.0, 0.0));
    sn_tensor *x = tensor_of(SN_F32, SN_I(4), V(-0.0, -0.0, 0.0, 0.0));
    EXPECT_VALUES(sn_atan2(y, x), -pi, pi, -0.0, 0.0);
    sn_tensor *n = tensor_of(SN_F32, SN_I(6), V(-0.0, 0.0, -4, 4, 4, -4));
    sn_tensor *d = tensor_of(SN_F32, SN_I(6), V(2, -2, 2, -2, 2, -2));
    EXPECT_VALUES(sn_remainder(n, d), -0.0, 0.0, -0.0, 0.0, 0.0, -0.0);
    EXPECT_VALUES(sn_fmod(n, d), -0.0, 0.0, -0.0, 0.0, 0.0, -0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(unary_ops_equal_libm),
        API_TEST(parametrised_activations_equal_their_formulas),
        API_TEST(binary_ops_on_floats),
        API_TEST(comparisons_and_tests_of_floats),
        API_TEST(integers_wrap_shift_and_divide_without_traps),
        API_TEST(reductions_over_any_axes),
        API_TEST(extremes_take_nan_then_the_lowest_index),
        API_TEST(cumsum_runs_along_its_axis),
        API_TEST(joining_and_padding),
        API_TEST(indices_from_data),
        API_TEST(matmul_in_all_ranks),
        API_TEST(matmul_equals_a_plain_loop),
        API_TEST(draws_depend_on_the_generator_alone),
        API_TEST(softmax_and_norms_equal_their_formulas),
        API_TEST(cross_entropy_in_its_three_reductions),
        API_TEST(attention_equals_its_formula),
        API_TEST(signs_of_zeros_are_those_that_are_written_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
