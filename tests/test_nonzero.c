/* Results whose size depends on data: nonzero, masked_select, unique. Their values, against loops of
 * our own; and inside compiled functions, where each ends a segment and what comes after it is compiled
 * once for all sizes. tests/opinfo compares them with PyTorch's. */
#include "api_case.h"

#include <math.h>

/* ---- values ---------------------------------------------------------------------------------- */

static void nonzero_gives_coordinates(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 3), V(0, 1, NAN, -0.0, 0, -INFINITY));
    sn_tensor *where = sn_nonzero(x);
    EXPECT_SHAPE(where, SN_I64, SN_I(3, 2));
    EXPECT_VALUES(where, 0, 1, 0, 2, 1, 2);
    EXPECT_VALUES(sn_nonzero(sn_transpose(x, 0, 1)), 1, 0, 2, 0, 2, 1);
    EXPECT_VALUES(sn_nonzero(sn_flip(x, SN_I(1))), 0, 0, 0, 1, 1, 0);
    EXPECT_VALUES(sn_nonzero(sn_expand(sn_narrow(x, 1, 0, 2), SN_I(2, 2, 2))), 0, 0, 1, 1, 0, 1);
    EXPECT_SHAPE(sn_nonzero(sn_zeros(SN_I(3, 4), SN_U8)), SN_I64, SN_I(0, 2));
    EXPECT_SHAPE(sn_nonzero(sn_zeros(SN_I(3, 0, 4), SN_BOOL)), SN_I64, SN_I(0, 3));
    EXPECT_SHAPE(sn_nonzero(sn_zeros(SN_I0, SN_F64)), SN_I64, SN_I(0, 0));
    EXPECT_SHAPE(sn_nonzero(sn_ones(SN_I0, SN_F64)), SN_I64, SN_I(1, 0));
    EXPECT_SHAPE(sn_nonzero(sn_c(2)), SN_I64, SN_I(1, 0));
    EXPECT_OK();
}

/* Every dtype, sizes around the vector widths and ranks up to the most there are, against a loop. */
static void nonzero_is_what_a_loop_finds(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 1, 5}, {7, 1, 1},   {2, 31, 1},
                                        {1, 4, 8}, {5, 7, 3}, {1, 1, 257}, {17, 2, 8}};
    for (uint32_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int dtype = 0; dtype < SN_DTYPE_COUNT; dtype++) {
            sn_scope scope = sn_scope_begin();
            int64_t count = shapes[s][0] * shapes[s][1] * shapes[s][2], found = 0;
            sn_tensor *x = sn_remainder(tensor_random(s, SN_I32, shapes[s], 3), sn_ci(3));
            x = sn_cast(x, (sn_dtype)dtype);
            double values[512];
            int64_t got[512][3];
            assert_true(sn_read(x, SN_F64, values, (size_t)count * sizeof *values));
            sn_tensor *where = sn_nonzero(x);
            assert_true(sn_read(where, SN_I64, got, (size_t)sn_count(where) * sizeof(int64_t)));
            for (int64_t i = 0; i < count; i++) {
                if (values[i] == 0) continue;
                assert_true(found < sn_size(where, 0));
                int64_t *at = got[found++];
                assert_int_equal((at[0] * shapes[s][1] + at[1]) * shapes[s][2] + at[2], i);
                assert_true(at[1] < shapes[s][1] && at[2] < shapes[s][2]);
            }
            assert_int_equal(found, sn_size(where, 0));
            sn_scope_end(scope, NULL);
        }
}

static void a_mask_selects(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_BF16, SN_I(2, 3), V(1, 2, 3, 4, 5, NAN));
    sn_tensor *mask = tensor_of(SN_BOOL, SN_I(2, 3), V(1, 0, 1, 0, 0, 1));
    sn_tensor *kept = sn_masked_select(x, mask);
    EXPECT_SHAPE(kept, SN_BF16, SN_I(3));
    EXPECT_VALUES(kept, 1, 3, NAN);
    EXPECT_VALUES(sn_masked_select(sn_transpose(x, 0, 1), sn_transpose(mask, 0, 1)), 1, 3, NAN);
    /* Either broadcasts; a mask may have any dtype. */
    EXPECT_VALUES(sn_masked_select(x, tensor_of(SN_F32, SN_I(3), V(0, -0.0, 0.5))), 3, NAN);
    EXPECT_VALUES(sn_masked_select(tensor_of(SN_I8, SN_I(3), V(7, 8, 9)), mask), 7, 9, 9);
    EXPECT_VALUES(sn_masked_select(sn_c(1.5), mask), 1.5, 1.5, 1.5);
    EXPECT_VALUES(sn_masked_select(tensor_of(SN_F32, SN_I0, V(4)), sn_ones(SN_I0, SN_BOOL)), 4);
    EXPECT_SHAPE(sn_masked_select(x, sn_zeros(SN_I(3), SN_BOOL)), SN_BF16, SN_I(0));
    EXPECT_SHAPE(sn_masked_select(sn_zeros(SN_I(0, 3), SN_F64), sn_ones(SN_I(3), SN_BOOL)), SN_F64,
                 SN_I(0));
    EXPECT_OK();
}

static void unique_sorts_and_counts(void **state) {
    (void)state;
    sn_tensor *inverse, *counts;
    sn_tensor *x = tensor_of(SN_F32, SN_I(3, 3), V(2, -INFINITY, NAN, -0.0, 0, 2, 2, NAN, -1));
    sn_tensor *values = sn_unique(x, &inverse, &counts);
    EXPECT_SHAPE(values, SN_F32, SN_I(6));
    EXPECT_VALUES(values, -INFINITY, -1, -0.0, 2, NAN, NAN);
    EXPECT_SHAPE(inverse, SN_I64, SN_I(3, 3));
    EXPECT_VALUES(inverse, 3, 0, 4, 2, 2, 3, 3, 5, 1);
    EXPECT_SHAPE(counts, SN_I64, SN_I(6));
    EXPECT_VALUES(counts, 1, 1, 2, 3, 1, 1);
    /* By rows of the transposed: +0 comes first there. */
    EXPECT_VALUES(sn_unique(sn_flip(x, SN_I(0, 1)), NULL, NULL), -INFINITY, -1, 0, 2, NAN, NAN);
    EXPECT_VALUES(sn_unique(tensor_of(SN_BOOL, SN_I(3), V(1, 0, 1)), NULL, &counts), 0, 1);
    EXPECT_VALUES(counts, 1, 2);
    int64_t extremes[] = {INT64_MAX, INT64_MIN, -1, INT64_MAX - 1, INT64_MIN, INT64_MAX};
    sn_tensor *large = sn_from_copy(extremes, sizeof extremes, SN_I(6), SN_I64);
    int64_t sorted[4];
    assert_true(sn_read(sn_unique(large, NULL, NULL), SN_I64, sorted, sizeof sorted));
    assert_true(sorted[0] == INT64_MIN && sorted[1] == -1);
    assert_true(sorted[2] == INT64_MAX - 1 && sorted[3] == INT64_MAX);
    EXPECT_SHAPE(sn_unique(sn_zeros(SN_I(2, 0), SN_F16), &inverse, &counts), SN_F16, SN_I(0));
    EXPECT_SHAPE(inverse, SN_I64, SN_I(2, 0));
    EXPECT_SHAPE(counts, SN_I64, SN_I(0));
    EXPECT_SHAPE(sn_unique(sn_ones(SN_I0, SN_U8), &inverse, NULL), SN_U8, SN_I(1));
    EXPECT_SHAPE(inverse, SN_I64, SN_I0);
    EXPECT_OK();
}

/* The values, taken by the inverse, are x again, and the counts add up. */
static void unique_can_be_undone(void **state) {
    (void)state;
    for (int dtype = 0; dtype < SN_DTYPE_COUNT; dtype++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *inverse, *counts;
        sn_tensor *x = sn_transpose(tensor_random(3, (sn_dtype)dtype, SN_I(37, 29)), 0, 1);
        sn_tensor *values = sn_unique(x, &inverse, &counts);
        sn_tensor *again = sn_index_select(values, 0, sn_reshape(inverse, SN_I(-1)));
        EXPECT_SAME(sn_reshape(again, SN_I(29, 37)), sn_contiguous(x));
        assert_int_equal(sn_item_int(sn_sum(counts, SN_I0, false)), 29 * 37);
        int64_t n = sn_size(values, 0);
        sn_tensor *rises = sn_lt(sn_narrow(values, 0, 0, n - 1), sn_narrow(values, 0, 1, n - 1));
        assert_int_equal(sn_item_int(sn_all(rises, SN_I0, false)), 1);
        sn_scope_end(scope, NULL);
    }
}

/* ---- wrong calls ----------------------------------------------------------------------------- */

static void wrong_calls_are_named(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(2, 3), SN_F32), *inverse = x, *counts = x;
    assert_null(sn_nonzero(NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "test_nonzero.c:", "nonzero: x is NULL");
    assert_null(sn_nonzero(SN_NONE));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "nonzero: x is SN_NONE");
    assert_null(sn_masked_select(x, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "masked_select: mask is NULL");
    assert_null(sn_masked_select(x, sn_ones(SN_I(2), SN_BOOL)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "test_nonzero.c:",
                 "masked_select: shapes do not broadcast: x is f32[2,3], mask is bool[2]");
    assert_null(sn_unique(SN_NONE, &inverse, &counts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "unique: x is SN_NONE");
    assert_null(inverse);
    assert_null(counts);
    /* While an error is pending nothing runs. */
    sn_add(x, NULL);
    assert_null(sn_nonzero(x));
    assert_null(sn_masked_select(x, x));
    assert_null(sn_unique(x, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "add: y is NULL");
}

/* ---- compiled -------------------------------------------------------------------------------- */

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

/* The scores above a limit, as a distribution, in their places. */
static sn_tensor *keep_best(sn_tensor *scores, sn_tensor *limit) {
    sn_tensor *mask = sn_gt(sn_sigmoid(scores), limit);
    sn_tensor *kept = sn_softmax(sn_masked_select(scores, mask), 0);
    sn_tensor *where = sn_select(sn_nonzero(mask), 1, 0);
    return sn_scatter_add(sn_zeros(SN_I(sn_size(scores, 0)), SN_F32), 0, where, kept);
}

/* How many different tokens there are, and the mean of what stands for each. */
static sn_tensor *pool_tokens(sn_tensor *tokens, sn_tensor *rows) {
    sn_tensor *inverse, *counts;
    sn_tensor *distinct = sn_unique(tokens, &inverse, &counts);
    sn_tensor *sums = sn_zeros(SN_I(sn_size(distinct, 0)), SN_F32);
    sums = sn_scatter_add(sums, 0, inverse, sn_sum(rows, SN_I(1), false));
    return sn_div(sums, counts);
}

/* 40 calls with data of their own, and sizes of their own from the 20th on. */
static sn_explanation call_often(Binary *function, bool tokens) {
    sn_compiled *c = sn_compile(function, "tt:t", NULL);
    Binary *fast = SN_FN(c, function);
    sn_explanation early = {.size = sizeof early}, e = early;
    for (uint32_t i = 0; i < 40; i++) {
        sn_scope scope = sn_scope_begin();
        int64_t n = i < 20 ? 50 : 30 + i;
        sn_tensor *x = tensor_random(i, tokens ? SN_I32 : SN_F32, &n, 1);
        sn_tensor *y = tokens ? tensor_random(i + 100, SN_F32, SN_I(n, 4))
                              : tensor_of(SN_F32, SN_I0, V(0.05 + 0.02 * i));
        EXPECT_SAME(fast(x, y), function(x, y));
        EXPECT_OK();
        sn_scope_end(scope, NULL);
        if (i == 30) assert_int_equal(sn_explain(c, &early), SN_OK);
    }
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.fallbacks, 0);
    assert_true(e.rerun);
    assert_int_equal(e.graphs, early.graphs); /* nothing was compiled in the last calls */
    sn_compiled_release(c);
    return e;
}

static void segments_end_there(void **state) {
    (void)state;
    sn_explanation e = call_often(keep_best, false);
    assert_int_equal(e.host_reads, 1); /* the second look at the mask finds it there */
    assert_true(e.graphs <=
                5); /* the mask; the selected: each one more for each size that varies */
    e = call_often(pool_tokens, true);
    assert_int_equal(e.host_reads, 1);
    assert_true(e.graphs <= 5); /* before it nothing is computed; after it one more for each size */
}

static void fullgraph_refuses(void **state) {
    (void)state;
    const sn_compile_options options = {.size = sizeof options, .fullgraph = true};
    sn_compiled *c = sn_compile(keep_best, "tt:t", &options);
    Binary *fast = SN_FN(c, keep_best);
    assert_null(fast(sn_ones(SN_I(5), SN_F32), sn_zeros(SN_I0, SN_F32)));
    EXPECT_ERROR(SN_ERROR_GRAPH_BREAK, "test_nonzero.c:", "masked_select");
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(nonzero_gives_coordinates),
        API_TEST(nonzero_is_what_a_loop_finds),
        API_TEST(a_mask_selects),
        API_TEST(unique_sorts_and_counts),
        API_TEST(unique_can_be_undone),
        API_TEST(wrong_calls_are_named),
        API_TEST(segments_end_there),
        API_TEST(fullgraph_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
