/* Scalars (sn_c, sn_ci) as operands: what they are beside tensors of each dtype, in eager and compiled
 * alike. */
#include "api_case.h"

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

/* The function's result for x and y, which a compiled call gives, too. */
static sn_tensor *both_ways(Binary *function, sn_tensor *x, sn_tensor *y) {
    sn_compiled *c =
        sn_compile_at((sn_function)function, "function", "tt:t", NULL, __FILE__, __LINE__);
    sn_tensor *eager = function(x, y);
    for (int i = 0; i < 3; i++) EXPECT_SAME(((Binary *)sn_compiled_fn(c))(x, y), eager);
    sn_compiled_release(c);
    return eager;
}

/* ---- conditions ------------------------------------------------------------------------------ */

static sn_tensor *where_tenth(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_c(0.1), x, y);
}
static sn_tensor *where_256(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_ci(256), x, y);
}
static sn_tensor *where_tiny(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_c(1e-300), x, y);
}
static sn_tensor *where_zero(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_c(-0.0), y, x);
}

/* In the dtype of x and y 0.1 may be 0, as may 256 and 1e-300. */
static void a_condition_is_true_in_its_own_dtype(void **state) {
    (void)state;
    Binary *functions[] = {where_tenth, where_256, where_tiny, where_zero};
    for (int dtype = 0; dtype < SN_DTYPE_COUNT; dtype++) {
        sn_tensor *x = tensor_of((sn_dtype)dtype, SN_I(3), V(1, 1, 0));
        sn_tensor *y = tensor_of((sn_dtype)dtype, SN_I(3), V(0, 1, 1));
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            EXPECT_VALUES(both_ways(functions[i], x, y), 1, 1, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_condition_is_true_in_its_own_dtype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
