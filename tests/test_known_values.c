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

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(lerp_starts_from_the_nearer_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
