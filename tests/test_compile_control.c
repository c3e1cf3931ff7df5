/* Control flow of the host inside compiled functions: loops until convergence, recursion, early returns,
 * sizes that come from data. Each call gives eager's bits, the function runs once a call, and once it has
 * seen its paths nothing is compiled any more. */
#include "api_case.h"

static int runs; /* of the function at hand */

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static sn_explanation explained(sn_compiled *c) {
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.fallbacks, 0);
    return e;
}

/* Calls both, and compares; the function must run once for the compiled call. */
static void compare(Binary *fast, Binary *eager, sn_tensor *x, sn_tensor *y) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *want = eager(x, y);
    runs = 0;
    sn_tensor *got = fast(x, y);
    assert_int_equal(runs, 1);
    EXPECT_SAME(got, want);
    sn_scope_end(scope, NULL);
}

/* ---- until it converges ---------------------------------------------------------------------- */

static sn_tensor *solve(sn_tensor *a, sn_tensor *b) {
    runs++;
    sn_tensor *diagonal = sn_diagonal(a, 0, 0, 1), *x = sn_div(b, diagonal);
    for (int i = 0; i < 100; i++) {
        sn_tensor *residual = sn_sub(b, sn_sum(sn_mul(a, sn_unsqueeze(x, 0)), SN_I(1), false));
        if (sn_item(sn_max(sn_abs(residual), SN_I0, false)) < 1e-5) break;
        x = sn_add(x, sn_div(residual, diagonal));
    }
    return x;
}

static void a_solver_runs_until_it_converges(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(solve, "tt:t", NULL);
    Binary *fast = SN_FN(c, solve);
    sn_tensor *eye = sn_cast(
        sn_eq(sn_unsqueeze(sn_arange(0, 12, 1, SN_F32), 1), sn_arange(0, 12, 1, SN_F32)), SN_F32);
    for (uint32_t i = 0; i < 6; i++) {
        /* The larger the diagonal, the fewer rounds. */
        sn_tensor *a = sn_add(sn_mul(tensor_random(i, SN_F32, SN_I(12, 12)), sn_c(0.3)),
                              sn_mul(eye, sn_c(6.0 + 4 * i)));
        compare(fast, solve, a, tensor_random(i + 50, SN_F32, SN_I(12)));
    }
    sn_explanation e = explained(c);
    assert_true(e.rerun);
    assert_true(e.host_reads >= 2);
    assert_int_equal(e.graphs, 3); /* up to the first read, a round, the result */
    sn_compiled_release(c);
}

/* ---- recursion ------------------------------------------------------------------------------- */

static sn_tensor *fold(sn_tensor *leaves, sn_tensor *w) {
    int64_t count = sn_size(leaves, 0);
    if (count == 1) return sn_tanh(leaves);
    sn_tensor *left = fold(sn_narrow(leaves, 0, 0, count / 2), w);
    sn_tensor *right = fold(sn_narrow(leaves, 0, count / 2, count - count / 2), w);
    return sn_tanh(sn_add(sn_mul(sn_add(left, right), w), sn_mul(left, right)));
}

static sn_tensor *fold_all(sn_tensor *leaves, sn_tensor *w) {
    runs++;
    return fold(leaves, w);
}

static void a_tree_is_folded_by_recursion(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(fold_all, "tt:t", NULL);
    Binary *fast = SN_FN(c, fold_all);
    for (int64_t leaves = 1; leaves <= 9; leaves++)
        for (int64_t width = 3; width < 7; width++)
            compare(fast, fold_all, tensor_random((uint32_t)leaves, SN_F32, SN_I(leaves, width)),
                    tensor_random((uint32_t)width, SN_F32, SN_I(width)));
    sn_explanation e = explained(c);
    assert_false(e.rerun);
    /* Each of 9 shapes of tree, for all widths; those before a width was seen to vary for one, too. */
    assert_true(e.graphs <= 14);
    sn_compiled_release(c);
}

/* ---- early return ---------------------------------------------------------------------------- */

static sn_tensor *classify(sn_tensor *x, sn_tensor *w) {
    runs++;
    for (int layer = 0; layer < 4; layer++) {
        x = sn_gelu(sn_add(sn_mul(x, sn_c(1.5)), w), SN_GELU_TANH);
        sn_tensor *sure = sn_max(sn_softmax(x, 1), SN_I0, false);
        if (sn_item(sure) > 0.5) return sn_mul(x, sn_ci(layer));
    }
    return sn_argmax(x, SN_I(1), false);
}

static void a_classifier_exits_early(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(classify, "tt:t", NULL);
    Binary *fast = SN_FN(c, classify);
    sn_tensor *w = tensor_random(9, SN_F32, SN_I(8));
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 5; i++) {
            sn_tensor *x = sn_mul(tensor_random(i, SN_F32, SN_I(3, 8)), sn_c(0.05 * (1 << i)));
            compare(fast, classify, x, w);
        }
    sn_counters before = counters_now();
    compare(fast, classify, tensor_random(1, SN_F32, SN_I(3, 8)), w);
    assert_int_equal(counters_now().recompiles, before.recompiles);
    explained(c);
    sn_compiled_release(c);
}

/* ---- sizes from data ------------------------------------------------------------------------- */

/* Elements above a threshold: their number is read on the host. */
static sn_tensor *keep_large(sn_tensor *x, sn_tensor *limit) {
    runs++;
    sn_tensor *mask = sn_gt(x, limit);
    int64_t count = (int64_t)sn_item(sn_sum(mask, SN_I0, false));
    if (count == 0) return sn_zeros(SN_I(0), SN_F32);
    /* The kept elements' positions, first ones first: a stable partition by sorting keys. */
    sn_tensor *place = sn_sub(sn_cumsum(sn_cast(mask, SN_I64), 0), sn_ci(1));
    sn_tensor *target = sn_where(mask, place, sn_ci(count));
    sn_tensor *kept =
        sn_scatter_add(sn_zeros(SN_I(count + 1), SN_F32), 0, target, sn_where(mask, x, sn_c(0)));
    return sn_exp(sn_narrow(kept, 0, 0, count));
}

static void a_size_may_come_from_data(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(keep_large, "tt:t", NULL);
    Binary *fast = SN_FN(c, keep_large);
    for (int i = 0; i < 24; i++)
        compare(fast, keep_large, tensor_random((uint32_t)i, SN_F32, SN_I(20)),
                tensor_of(SN_F32, SN_I0, V(-2.2 + 0.2 * i)));
    sn_explanation e = explained(c);
    assert_true(e.rerun);
    assert_true(e.graphs <= 5);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_solver_runs_until_it_converges),
        API_TEST(a_tree_is_folded_by_recursion),
        API_TEST(a_classifier_exits_early),
        API_TEST(a_size_may_come_from_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
