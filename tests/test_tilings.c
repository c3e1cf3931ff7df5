/* Steps that run tile by tile: one launch, the same bits as op by op, memory for a tile and not for all rows;
 * with any number of threads, for sizes around tiles, and for sizes that vary. */
#include "api_case.h"

typedef sn_tensor *Function(sn_tensor *q, sn_tensor *k, sn_tensor *v);

static sn_tensor *scores_of(sn_tensor *q, sn_tensor *k) {
    return sn_mul(sn_matmul(q, sn_transpose(k, -1, -2)), sn_c(0.25));
}

static sn_tensor *attention(sn_tensor *q, sn_tensor *k, sn_tensor *v) {
    return sn_matmul(sn_softmax(scores_of(q, k), -1), v);
}

/* What the softmax reads is wanted as well. */
static sn_tensor *attention_and_scores(sn_tensor *q, sn_tensor *k, sn_tensor *v) {
    sn_tensor *scores = scores_of(q, k), *all[2];
    all[0] = sn_matmul(sn_softmax(scores, -1), v);
    all[1] = scores;
    return sn_cat(all, 2, -1);
}

/* Its rows are those of the scores, all of which the last product reads. */
static sn_tensor *twice(sn_tensor *q, sn_tensor *k, sn_tensor *v) {
    sn_tensor *weights = sn_softmax(scores_of(q, k), -1);
    return sn_matmul(sn_matmul(weights, sn_transpose(weights, -1, -2)),
                     sn_mul(q, sn_sum(v, NULL, 0, false)));
}

static sn_tensor *op_attention(sn_tensor *q, sn_tensor *k, sn_tensor *v) {
    return sn_scaled_dot_product_attention(q, k, v, SN_NONE, true, 0);
}

static int64_t launches(void) {
    return counters_now().kernels;
}

/* Calls it with these sizes, against eager; returns the launches of a call. */
static int64_t check(Function *function, Function *fast, int64_t heads, int64_t rows, int64_t keys,
                     int64_t width) {
    sn_tensor *q = tensor_random(1, SN_F32, SN_I(heads, rows, width));
    sn_tensor *k = tensor_random(2, SN_F32, SN_I(heads, keys, width));
    sn_tensor *v = tensor_random(3, SN_F32, SN_I(heads, keys, width + 3));
    sn_tensor *want = function(q, k, v);
    fast(q, k, v);
    int64_t before = launches();
    sn_tensor *got = fast(q, k, v);
    int64_t count = launches() - before;
    EXPECT_SAME(got, want);
    EXPECT_OK();
    return count;
}

static sn_compiled *compile(Function *function, Function **fast) {
    sn_compiled *c =
        sn_compile_at((sn_function)function, "tiled", "ttt:t", NULL, __FILE__, __LINE__);
    *fast = SN_FN(c, function);
    return c;
}

static void attention_is_one_launch_of_the_same_bits(void **state) {
    (void)state;
    static const int64_t sizes[][4] = {{2, 64, 64, 8},   {3, 101, 130, 5},  {1, 193, 170, 3},
                                       {7, 25, 513, 3},  {1, 400, 1030, 4}, {5, 12, 300, 7},
                                       {2, 191, 257, 1}, {30, 13, 129, 9}};
    for (int32_t threads = 1; threads < 6; threads += threads == 1 ? 1 : 3) {
        sn_set_threads(threads);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            Function *fast;
            sn_compiled *c = compile(attention, &fast);
            const int64_t *s = sizes[i];
            int64_t count = check(attention, fast, s[0], s[1], s[2], s[3]);
            assert_int_equal(count, s[0] * s[1] < 24 * threads ? 3 : 1);
            sn_compiled_release(c);
        }
    }
    sn_set_threads(0);
}

static void of_any_sizes_too(void **state) {
    (void)state;
    Function *fast;
    sn_compiled *c = compile(attention, &fast);
    for (int64_t i = 0; i < 12; i++)
        check(attention, fast, 2 + i % 3, 20 + 37 * i, 40 + 53 * (i % 5), 6);
    assert_int_equal(check(attention, fast, 2, 300, 200, 6), 1);
    assert_int_equal(check(attention, fast, 2, 3, 200, 6), 3); /* too few rows */
    assert_int_equal(check(attention, fast, 2, 80, 0, 6), check(attention, fast, 2, 80, 0, 6));
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_true(e.graphs <= 6);
    sn_compiled_release(c);
}

static void a_tile_has_memory_of_its_own(void **state) {
    (void)state;
    Function *fast;
    sn_compiled *c = compile(attention, &fast);
    check(attention, fast, 4, 1024, 1024, 8);
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.kernels, 1);
    assert_true(e.peak_bytes < 1 << 18); /* the result; the scores are 16 MiB */
    assert_true(e.bytes < 1 << 20);      /* nor are they moved */
    sn_compiled_release(c);
}

static void what_others_read_lies_in_memory(void **state) {
    (void)state;
    Function *fast;
    sn_compiled *c = compile(twice, &fast);
    check(twice, fast, 3, 90, 90, 8);
    sn_compiled_release(c);
    c = compile(attention_and_scores, &fast);
    check(attention_and_scores, fast, 3, 90, 70, 8);
    sn_compiled_release(c);
    c = compile(op_attention, &fast);
    assert_int_equal(check(op_attention, fast, 3, 90, 90, 8), 1);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(attention_is_one_launch_of_the_same_bits),
        API_TEST(of_any_sizes_too),
        API_TEST(a_tile_has_memory_of_its_own),
        API_TEST(what_others_read_lies_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
