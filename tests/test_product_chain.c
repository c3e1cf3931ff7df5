/* Pointwise ops before and after matrix products: they run in the product's kernel, whose shape has
 * another rank than theirs. Bits as in eager, and no graph runs node by node. */
#include "api_case.h"

static sn_tensor *after(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return sn_gelu(sn_linear(x, w, b), SN_GELU_TANH);
}

static sn_tensor *between(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_tensor *wide = sn_relu(sn_sub(sn_linear(x, w, b), sn_c(0.25)));
    return sn_matmul(wide, w);
}

static sn_tensor *turned(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return sn_transpose(sn_exp(sn_linear(x, w, b)), 0, 1);
}

typedef sn_tensor *Chain(sn_tensor *x, sn_tensor *w, sn_tensor *b);

static void check(Chain *function, int64_t rows, int32_t kernels) {
    sn_compiled *compiled =
        sn_compile_at((sn_function)function, "chain", "ttt:t", NULL, __FILE__, __LINE__);
    Chain *fast = SN_FN(compiled, function);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(rows, 24));
    sn_tensor *w = tensor_random(2, SN_F32, SN_I(40, 24));
    sn_tensor *b = tensor_random(3, SN_F32, SN_I(40));
    sn_tensor *want = function(x, w, b);
    for (int i = 0; i < 3; i++) EXPECT_SAME(fast(x, w, b), want);
    EXPECT_OK();
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(compiled, &e), SN_OK);
    assert_int_equal(e.fallbacks, 0);
    assert_int_equal(e.kernels, kernels);
    sn_compiled_release(compiled);
}

static void a_result_in_a_products_memory_has_its_own_strides(void **state) {
    (void)state;
    check(after, 7, 1);
    check(after, 1, 1);
}

static void a_product_reads_what_took_over_anothers_memory(void **state) {
    (void)state;
    check(between, 7, 2);
    check(between, 1, 2);
}

static void a_view_of_it_may_be_returned(void **state) {
    (void)state;
    check(turned, 7, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_result_in_a_products_memory_has_its_own_strides),
        API_TEST(a_product_reads_what_took_over_anothers_memory),
        API_TEST(a_view_of_it_may_be_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
