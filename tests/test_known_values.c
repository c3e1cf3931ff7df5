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

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(lerp_starts_from_the_nearer_end),
        API_TEST(lerp_gives_zeros_the_sign_of_its_formula),
        API_TEST(a_query_that_sees_no_key_gives_zero),
        API_TEST(long_prefix_sums_do_not_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
