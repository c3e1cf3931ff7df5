/* batch_norm_training: it is batch_norm by the statistics of x, and the running ones move, in place, in eager
 * and compiled calls alike. tests/opinfo compares results with PyTorch's. */
#include "api_case.h"

#include <math.h>

/* A call: x, and numbers by channel. */
typedef struct Batch {
    sn_tensor *x;             /* [n, channels, …] */
    sn_tensor *mean, *var;    /* running */
    sn_tensor *weight, *bias; /* may be absent */
} Batch;

static Batch batch_of(uint32_t seed, sn_dtype dtype, const int64_t *dims, int32_t rank) {
    Batch b = {.x = tensor_random(seed, dtype, dims, rank)};
    sn_dtype running = dtype == SN_F64 ? SN_F64 : SN_F32;
    b.mean = tensor_random(seed + 1, running, &dims[1], 1);
    b.var = sn_abs(tensor_random(seed + 2, running, &dims[1], 1));
    b.weight = tensor_random(seed + 3, dtype, &dims[1], 1);
    b.bias = tensor_random(seed + 4, dtype, &dims[1], 1);
    return b;
}

static const double momentum = 0.1, eps = 1e-5;

static sn_tensor *train(sn_tensor *x, sn_tensor *mean, sn_tensor *var, sn_tensor *weight,
                        sn_tensor *bias) {
    return sn_batch_norm_training(x, mean, var, weight, bias, momentum, eps);
}

typedef sn_tensor *Train(sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *);

/* By the ops that the definition names; the running statistics as they are afterwards. */
static sn_tensor *defined(const Batch *b, sn_tensor **mean_after, sn_tensor **var_after) {
    int64_t axes[SN_MAX_RANK] = {0};
    int32_t n = 1;
    for (int32_t i = 2; i < sn_rank(b->x); i++) axes[n++] = i;
    sn_dtype dtype = sn_dtype_of(b->x);
    sn_tensor *wide = dtype == SN_F16 || dtype == SN_BF16 ? sn_cast(b->x, SN_F32) : b->x;
    sn_tensor *mean = sn_mean(wide, axes, n, false), *var = sn_var(wide, axes, n, false, 0);
    *mean_after = sn_lerp(b->mean, mean, sn_c(momentum));
    *var_after = sn_lerp(b->var, sn_var(wide, axes, n, false, 1), sn_c(momentum));
    return sn_batch_norm(b->x, mean, var, b->weight, b->bias, eps);
}

static void known_numbers(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F64, SN_I(2, 2, 2), V(1, 3, 5, 5, 5, 7, 5, 5));
    sn_tensor *mean = tensor_of(SN_F64, SN_I(2), V(8, 1)),
              *var = tensor_of(SN_F64, SN_I(2), V(0, 4));
    sn_tensor *y = sn_batch_norm_training(x, mean, var, SN_NONE, SN_NONE, 0.5, 0);
    double values[8], root = sqrt(5);
    assert_true(sn_read(y, SN_F64, values, sizeof values));
    assert_true(fabs(values[0] + 3 / root) < 1e-12 && fabs(values[1] + 1 / root) < 1e-12);
    assert_true(fabs(values[4] - 1 / root) < 1e-12 && fabs(values[5] - 3 / root) < 1e-12);
    EXPECT_VALUES(mean, 6, 3);
    assert_true(sn_read(var, SN_F64, values, 2 * sizeof *values));
    assert_true(fabs(values[0] - 10.0 / 3) < 1e-12 && values[1] == 2);
    EXPECT_OK();
}

static void it_is_batch_norm_by_its_own_statistics(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F16, SN_BF16, SN_F32, SN_F64};
    static const int64_t dims[][4] = {{8, 3}, {4, 5, 7}, {2, 3, 4, 5}, {1, 6, 3, 1}};
    static const int32_t ranks[] = {2, 3, 4, 4};
    for (size_t d = 0; d < 4; d++)
        for (size_t s = 0; s < 4; s++) {
            sn_tensor *mean, *var;
            Batch b = batch_of((uint32_t)s, dtypes[d], dims[s], ranks[s]);
            if (s == 2) b.weight = b.bias = SN_NONE;
            if (s == 1) b.x = sn_flip(b.x, SN_I(0, 2));
            sn_tensor *want = defined(&b, &mean, &var);
            EXPECT_SAME(train(b.x, b.mean, b.var, b.weight, b.bias), want);
            EXPECT_SAME(b.mean, mean);
            EXPECT_SAME(b.var, var);
            EXPECT_SAME(train(b.x, SN_NONE, SN_NONE, b.weight, b.bias), want);
            EXPECT_SAME(train(b.x, SN_NONE, b.var, b.weight, b.bias), want);
            EXPECT_SAME(b.mean, mean);
            EXPECT_OK();
        }
}

/* Running statistics of another dtype, and parts of another tensor, are written as they are. */
static void views_and_other_dtypes_are_written(void **state) {
    (void)state;
    Batch b = batch_of(1, SN_F32, SN_I(6, 3));
    sn_tensor *mean, *var, *whole = sn_zeros(SN_I(3, 2), SN_F32), *half = sn_cast(b.var, SN_F16);
    sn_copy_(sn_select(whole, 1, 0), b.mean);
    b.var = half;
    sn_tensor *want = defined(&b, &mean, &var);
    EXPECT_SAME(train(b.x, sn_select(whole, 1, 0), half, b.weight, b.bias), want);
    EXPECT_SAME(sn_clone(sn_select(whole, 1, 0)), mean);
    EXPECT_SAME(half, sn_cast(var, SN_F16));
    EXPECT_SAME(sn_clone(sn_select(whole, 1, 1)), sn_zeros(SN_I(3), SN_F32));
    EXPECT_OK();
}

static void nothing_and_not_a_number(void **state) {
    (void)state;
    sn_tensor *mean = sn_ones(SN_I(3), SN_F32), *var = sn_ones(SN_I(3), SN_F32);
    EXPECT_SHAPE(train(sn_zeros(SN_I(0, 3, 2), SN_F32), mean, var, SN_NONE, SN_NONE), SN_F32,
                 SN_I(0, 3, 2));
    EXPECT_VALUES(mean, 1, 1, 1);
    EXPECT_VALUES(var, 1, 1, 1);
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 3), V(NAN, 1, 2, 0, 1, 4));
    EXPECT_VALUES(sn_isnan(train(x, mean, var, SN_NONE, SN_NONE)), 1, 0, 0, 1, 0, 0);
    EXPECT_VALUES(sn_isnan(mean), 1, 0, 0);
    EXPECT_OK();
}

/* Steps of training: compiled calls leave eager's bits, in the memory that they are given. */
static void compiled_steps_write_in_place(void **state) {
    (void)state;
    for (int vary = 0; vary < 2; vary++) {
        sn_compiled *c = sn_compile(train, "ttttt:t", NULL);
        Train *fast = SN_FN(c, train);
        Batch eager = batch_of(7, SN_F32, SN_I(4, 5, 6)), own = batch_of(7, SN_F32, SN_I(4, 5, 6));
        for (int i = 0; i < 6; i++) {
            sn_tensor *x =
                tensor_random(20 + (uint32_t)i, SN_F32, SN_I(4 + vary * i, 5, 6 + vary * (i % 3)));
            sn_tensor *want = train(x, eager.mean, eager.var, eager.weight, eager.bias);
            sn_tensor *got = fast(x, own.mean, own.var, own.weight, own.bias);
            EXPECT_OK();
            EXPECT_SAME(got, want);
            EXPECT_SAME(own.mean, eager.mean);
            EXPECT_SAME(own.var, eager.var);
        }
        sn_explanation e = {.size = sizeof e};
        assert_int_equal(sn_explain(c, &e), SN_OK);
        assert_int_equal(e.fallbacks, 0);
        assert_true(e.graphs <= 2);
        /* Mean and variance, of rows and of samples, and the norm: the variance is found once, and the
         * running numbers are written where statistics are at hand. */
        assert_int_equal(e.kernels, 5);
        sn_compiled_release(c);
    }
}

static void wrong_calls_are_refused_in_words(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(4, 3), SN_F32), *c = sn_ones(SN_I(3), SN_F32);
    sn_tensor *four = sn_ones(SN_I(4), SN_F32);
    assert_null(train(NULL, c, c, c, c));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "batch_norm_training: x is NULL");
    assert_null(train(x, NULL, c, c, c));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "batch_norm_training: running_mean is NULL");
    assert_null(train(c, c, c, c, c));
    EXPECT_ERROR(SN_ERROR_SHAPE, "batch_norm_training: x must have at least 2 dims: x is f32[3]");
    assert_null(train(x, c, four, c, c));
    EXPECT_ERROR(SN_ERROR_SHAPE,
                 "batch_norm_training: running_var must have a number for each channel",
                 "running_var is f32[4]");
    assert_null(train(x, c, sn_cast(c, SN_I32), c, c));
    EXPECT_ERROR(SN_ERROR_DTYPE, "batch_norm_training: running_var must be floating point");
    assert_null(train(sn_narrow(x, 0, 0, 1), c, c, c, c));
    EXPECT_ERROR(SN_ERROR_SHAPE, "batch_norm_training: a channel has one element: x is f32[1,3]");
    assert_null(train(sn_cast(x, SN_I32), c, c, c, c));
    EXPECT_ERROR(SN_ERROR_DTYPE, "batch_norm_training: i32 is refused");
    assert_null(train(x, c, c, four, c));
    EXPECT_ERROR(SN_ERROR_SHAPE, "test_batch_norm.c", "batch_norm_training: ", "weight is f32[4]");
    EXPECT_VALUES(c, 1, 1, 1); /* nothing was written */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(known_numbers),
        API_TEST(it_is_batch_norm_by_its_own_statistics),
        API_TEST(views_and_other_dtypes_are_written),
        API_TEST(nothing_and_not_a_number),
        API_TEST(compiled_steps_write_in_place),
        API_TEST(wrong_calls_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
