/* Values where a plainer formula loses what PyTorch keeps, in eager and compiled. The expected numbers are
 * those of PyTorch 2.15 on the CPU, printed by the call that stands beside them. */
#include "api_case.h"

#include <math.h>

/* ---- lerp ------------------------------------------------------------------------------------ */

static sn_tensor *blend(sn_tensor *x, sn_tensor *y, sn_tensor *weight) {
    return sn_lerp(x, y, weight);
}

/* torch.lerp(tensor([1e8, 1, -3, 1]), tensor([1, 1e8, 7, inf]), weight).tolist() */
static const double blended[][5] = {
    {0, 1e8, 1, -3, NAN},
    {0.25, 75000000, 25000000, -0.5, INFINITY},
    {0.5, 50000000, 50000000, 2, NAN},
    {1, 1, 1e8, 7, NAN},
    {-0.25, 125000000, -25000000, -5.5, -INFINITY},
    {-1, 200000000, -100000000, -13, NAN},
    {1.5, -50000000, 150000000, 12, INFINITY},
};

static void lerp_starts_from_the_nearer_end(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(4), V(1e8, 1, -3, 1));
    sn_tensor *y = tensor_of(SN_F32, SN_I(4), V(1, 1e8, 7, INFINITY));
    sn_compiled *c = sn_compile(blend, "ttt:t", NULL);
    for (size_t i = 0; i < sizeof blended / sizeof *blended; i++) {
        const double *row = blended[i];
        sn_tensor *weights = sn_full(SN_I(4), row[0], SN_F32);
        EXPECT_VALUES(blend(x, y, sn_c(row[0])), row[1], row[2], row[3], row[4]);
        EXPECT_VALUES(blend(x, y, weights), row[1], row[2], row[3], row[4]);
        EXPECT_VALUES(SN_FN(c, blend)(x, y, weights), row[1], row[2], row[3], row[4]);
    }
    sn_compiled_release(c);
}

/* torch.lerp(tensor([-0., 0., 5.]), tensor([-0., -0., -0.]), 1).tolist() is [-0.0, 0.0, 0.0]. */
static void lerp_gives_zeros_the_sign_of_its_formula(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(3), V(-0.0, 0, 5));
    sn_tensor *y = tensor_of(SN_F32, SN_I(3), V(-0.0, -0.0, -0.0));
    sn_tensor *weights = sn_full(SN_I(3), 1, SN_F32);
    EXPECT_VALUES(sn_cast(sn_signbit(sn_lerp(x, y, weights)), SN_F32), 1, 0, 0);
}

/* ---- attention ------------------------------------------------------------------------------- */

/* Query 0 sees two keys, query 1 none: torch.nn.functional.scaled_dot_product_attention gives
 * {2, 3} and {0, 0} for either kind of mask. */
static void a_query_that_sees_no_key_gives_zero(void **state) {
    (void)state;
    sn_tensor *q = tensor_of(SN_F32, SN_I(2, 2), V(1, 1, 1, 1));
    sn_tensor *k = tensor_of(SN_F32, SN_I(3, 2), V(1, 1, 1, 1, 1, 1));
    sn_tensor *v = tensor_of(SN_F32, SN_I(3, 2), V(1, 2, 3, 4, 5, 6));
    double least = -INFINITY;
    sn_tensor *keep = tensor_of(SN_BOOL, SN_I(2, 3), V(1, 1, 0, 0, 0, 0));
    sn_tensor *add = tensor_of(SN_F32, SN_I(2, 3), V(0, 0, least, least, least, least));
    EXPECT_VALUES(sn_scaled_dot_product_attention(q, k, v, keep, false, 0), 2, 3, 0, 0);
    EXPECT_VALUES(sn_scaled_dot_product_attention(q, k, v, add, false, 0), 2, 3, 0, 0);
    sn_tensor *nan = sn_mul(q, sn_c((double)NAN));
    EXPECT_VALUES(sn_scaled_dot_product_attention(nan, k, v, SN_NONE, false, 0), NAN, NAN, NAN,
                  NAN);
}

/* ---- spreads --------------------------------------------------------------------------------- */

static sn_tensor *norm_and_var(sn_tensor *x) {
    return sn_add(sn_layer_norm(x, SN_NONE, SN_NONE, 1e-12), sn_var(x, SN_I(1), true, 0));
}

/* torch.full((2, n), value, dtype=dtype).var(1) and F.layer_norm of it with eps 1e-12 are 0. */
static void equal_elements_have_no_spread(void **state) {
    (void)state;
    static const int64_t lengths[] = {2, 3, 7, 100, 768, 1025, 70001};
    static const double values[] = {0.1, -3.3, 1e-30, 1234.567, 16777215};
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    sn_compiled *handle = sn_compile(norm_and_var, "t:t", NULL);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t j = 0; j < sizeof values / sizeof *values; j++)
            for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
                if (dtypes[k] == SN_F16 && values[j] > 65504) continue; /* infinite there */
                sn_scope scope = sn_scope_begin();
                sn_tensor *x = sn_full(SN_I(2, lengths[i]), values[j], dtypes[k]);
                sn_tensor *zeros = sn_full(SN_I(2, lengths[i]), 0, dtypes[k]);
                EXPECT_SAME(norm_and_var(x), zeros);
                EXPECT_SAME(SN_FN(handle, norm_and_var)(x), zeros);
                EXPECT_SAME(sn_var(sn_transpose(x, 0, 1), SN_I(0), false, 1),
                            sn_full(SN_I(2), 0, dtypes[k]));
                EXPECT_SAME(sn_var(x, SN_I(0, 1), false, 1), sn_full(SN_I0, 0, dtypes[k]));
                sn_scope_end(scope, NULL);
            }
    sn_compiled_release(handle);
}

static void expect_close(double got, double expected, double tolerance) {
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.9g, not %.9g", got, expected);
}

/* Small integers on a large offset: mean, variance and normalised row are those of the
 * integers, to a few roundings. */
static void offsets_lose_no_digits(void **state) {
    (void)state;
    enum { ROWS = 3, COUNT = 770 }; /* 70 times 0 to 10, whose mean is 5, and variance 10 */
    static const double offsets[ROWS] = {10000, -1e6, 8388608};
    float data[ROWS][COUNT], norm[ROWS][COUNT], var[ROWS];
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < COUNT; i++) data[r][i] = (float)(offsets[r] + i * 7 % 11);
    sn_tensor *x = sn_from_copy(data, sizeof data, SN_I(ROWS, COUNT), SN_F32);
    assert_true(sn_read(sn_layer_norm(x, SN_NONE, SN_NONE, 0), SN_F32, norm, sizeof norm));
    assert_true(sn_read(sn_var(x, SN_I(1), false, 0), SN_F32, var, sizeof var));
    for (int r = 0; r < ROWS; r++) {
        expect_close(var[r], 10, 4e-6);
        for (int i = 0; i < COUNT; i++) expect_close(norm[r][i], (i * 7 % 11 - 5) / sqrt(10), 6e-7);
    }
}

/* 1e6 first among 0 and 1 in turn, then last: F.layer_norm of that in f64, at elements 1 and 2. */
static const double beside_far_out[2][2] = {
    {-0.036094059864422344, -0.03612179075105869},
    {-0.0360940237094383, -0.036121754596038495},
};

static void an_element_far_out_costs_the_others_no_digits(void **state) {
    (void)state;
    enum { COUNT = 768 };
    for (int last = 0; last < 2; last++) {
        float data[COUNT], norm[COUNT];
        for (int i = 0; i < COUNT; i++) data[i] = (float)(i % 2);
        data[last ? COUNT - 1 : 0] = 1e6F;
        sn_tensor *x = sn_from_copy(data, sizeof data, SN_I(COUNT), SN_F32);
        assert_true(sn_read(sn_layer_norm(x, SN_NONE, SN_NONE, 1e-5), SN_F32, norm, sizeof norm));
        for (int i = 1; i < COUNT - 1; i++)
            expect_close(norm[i], beside_far_out[last][i % 2 ? 0 : 1], 4e-8);
    }
}

/* torch.tensor(row).var() is inf and nan. */
static void infinite_squares_stay_infinite(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 4), V(1e30, -1e30, 3e30, 1e30, 1, INFINITY, 2, 3));
    EXPECT_VALUES(sn_var(x, SN_I(1), false, 1), INFINITY, NAN);
}

/* ---- prefix sums ----------------------------------------------------------------------------- */

/* 10^6 times 0.1f, whose sum is 100000.00149. */
static void long_prefix_sums_do_not_drift(void **state) {
    (void)state;
    const int64_t count = 1000000;
    for (int axis = 0; axis < 2; axis++) {
        sn_tensor *x =
            axis ? sn_full(SN_I(1, count), 0.1, SN_F32) : sn_full(SN_I(count, 1), 0.1, SN_F32);
        sn_tensor *sums = sn_reshape(sn_cumsum(x, axis), SN_I(count));
        double last = sn_item(sn_select(sums, 0, count - 1));
        if (fabs(last - 100000.00149) > 0.05) fail_msg("the last sum is %.9g", last);
    }
}

/* Padding is no element, however small the others are. */
static void indices_of_pools_are_those_of_elements(void **state) {
    (void)state;
    EXPECT_VALUES(
        sn_max_pool1d_indices(sn_zeros(SN_I(1, 4), SN_U8), SN_I(3), SN_I(1), SN_I(1), SN_I0, false),
        0, 0, 1, 2);
    EXPECT_VALUES(sn_max_pool2d_indices(sn_zeros(SN_I(1, 2, 2), SN_U8), SN_I(3), SN_I(1), SN_I(1),
                                        SN_I0, false),
                  0, 0, 0, 0);
}

/* Of windows of several sizes, the last of which overlap; NaN is the largest, of equal ones the first. */
static void adaptive_indices_are_those_of_elements(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1, 5), V(-INFINITY, -INFINITY, 3, NAN, NAN));
    EXPECT_VALUES(sn_adaptive_max_pool1d(x, SN_I(3)), -INFINITY, NAN, NAN);
    EXPECT_VALUES(sn_adaptive_max_pool1d_indices(x, SN_I(3)), 0, 3, 3);
    EXPECT_VALUES(sn_adaptive_max_pool1d_indices(x, SN_I(5)), 0, 1, 2, 3, 4);
    EXPECT_VALUES(sn_adaptive_max_pool1d_indices(x, SN_I(7)), 0, 0, 2, 2, 3, 3, 4);
    sn_tensor *equal = sn_zeros(SN_I(1, 3, 4), SN_U8);
    EXPECT_VALUES(sn_adaptive_max_pool2d_indices(equal, SN_I(2)), 0, 2, 4, 6);
    EXPECT_VALUES(sn_adaptive_max_pool2d_indices(sn_transpose(equal, 1, 2), SN_I(2, 3)), 0, 1, 2, 6,
                  7, 8);
    sn_tensor *cube = sn_reshape(sn_arange(0, 24, 1, SN_I32), SN_I(1, 2, 3, 4));
    EXPECT_VALUES(sn_adaptive_max_pool3d_indices(cube, SN_I(1, 2, 2)), 17, 19, 21, 23);
    EXPECT_OK();
}

/* The divisor takes the place of the number of elements, whatever that is. */
static void sums_of_windows_are_divided_as_asked(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1, 2, 3), V(1, 2, 3, 4, 5, 6));
    EXPECT_VALUES(sn_avg_pool2d(x, SN_I(2), SN_I(1), SN_I0, false, true, 2), 6, 8);
    EXPECT_VALUES(sn_avg_pool2d(x, SN_I(2), SN_I(1), SN_I0, false, false, -1), -12, -16);
    EXPECT_VALUES(sn_avg_pool2d(x, SN_I(2), SN_I(2), SN_I(1), false, false, 4), 0.25, 1.25, 1,
                  2.75);
    EXPECT_VALUES(sn_avg_pool1d(x, SN_I(2), SN_I0, SN_I0, true, true, 1), 3, 3, 9, 6);
    EXPECT_OK();
}

static sn_tensor *pooled(sn_tensor *x) {
    return sn_adaptive_avg_pool2d(x, SN_I(1));
}

/* Whether sizes divide is known of some graphs only: the order of the sum must not hang on it. */
static void adaptive_means_are_the_same_of_any_sizes(void **state) {
    (void)state;
    sn_compile_options options = {.shapes = SN_SHAPES_DYNAMIC};
    sn_compiled *c = sn_compile(pooled, "t:t", &options);
    for (int64_t n = 2; n < 14; n += 3) {
        sn_tensor *x = tensor_random((uint32_t)n, SN_F32, SN_I(2, 3, n, n + 3));
        EXPECT_SAME(SN_FN(c, pooled)(x), pooled(x));
    }
    sn_compiled_release(c);
}

static double around; /* what a convolution's x is padded with */

static sn_tensor *of_padded(sn_tensor *x, sn_tensor *w) {
    sn_tensor *padded = sn_pad(x, SN_I(1, 1, 1, 1), around);
    return sn_relu(sn_conv2d(padded, w, SN_NONE, SN_I0, SN_I0, SN_I0, 1));
}

/* 8 channels and more are read where they lie, and what is around them is not 0. */
static void a_convolution_sees_what_its_operand_was_padded_with(void **state) {
    (void)state;
    static const double values[] = {2.5, -0.0, INFINITY, NAN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (int64_t channels = 4; channels < 40; channels += 9) {
            around = values[i];
            sn_compiled *c = sn_compile(of_padded, "tt:t", NULL);
            sn_tensor *x = tensor_random(1, SN_F32, SN_I(2, channels, 5, 6));
            sn_tensor *w = tensor_random(2, SN_F32, SN_I(7, channels, 3, 3));
            EXPECT_SAME(SN_FN(c, of_padded)(x, w), of_padded(x, w));
            sn_compiled_release(c);
        }
}

static sn_tensor *mean_of_channels(sn_tensor *x) {
    return sn_mean(sn_permute(x, SN_I(0, 3, 1, 2)), SN_I(2, 3), false);
}

/* Channels that are last in memory are summed side by side, in the order of the view; many rows in blocks. */
static void means_of_permuted_views_are_those_of_copies(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{1, 7, 7, 200}, {2, 5, 6, 17},     {1, 33, 1, 16},
                                        {3, 1, 1, 40},  {1, 300, 301, 24}, {1, 513, 2, 33}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i];
        sn_compiled *c = sn_compile(mean_of_channels, "t:t", NULL);
        sn_tensor *x = tensor_random((uint32_t)i, SN_F32, SN_I(s[0], s[1], s[2], s[3]));
        sn_tensor *copy = sn_contiguous(sn_permute(x, SN_I(0, 3, 1, 2)));
        sn_tensor *means = sn_mean(copy, SN_I(2, 3), false);
        EXPECT_SAME(SN_FN(c, mean_of_channels)(x), means);
        EXPECT_SAME(mean_of_channels(x), means);
        sn_compiled_release(c);
    }
}

static void a_norm_of_no_channels_is_empty(void **state) {
    (void)state;
    EXPECT_SHAPE(sn_local_response_norm(sn_zeros(SN_I(2, 0, 3), SN_F32), 5, 1, 1, 1), SN_F32,
                 SN_I(2, 0, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(indices_of_pools_are_those_of_elements),
        API_TEST(adaptive_indices_are_those_of_elements),
        API_TEST(sums_of_windows_are_divided_as_asked),
        API_TEST(adaptive_means_are_the_same_of_any_sizes),
        API_TEST(a_convolution_sees_what_its_operand_was_padded_with),
        API_TEST(means_of_permuted_views_are_those_of_copies),
        API_TEST(a_norm_of_no_channels_is_empty),
        API_TEST(lerp_starts_from_the_nearer_end),
        API_TEST(lerp_gives_zeros_the_sign_of_its_formula),
        API_TEST(a_query_that_sees_no_key_gives_zero),
        API_TEST(equal_elements_have_no_spread),
        API_TEST(offsets_lose_no_digits),
        API_TEST(an_element_far_out_costs_the_others_no_digits),
        API_TEST(infinite_squares_stay_infinite),
        API_TEST(long_prefix_sums_do_not_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
