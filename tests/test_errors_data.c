/* Bad input beside the ops: data and shapes that do not go together, and requests for more memory than there
 * is, are errors in words, the same eager and compiled; nothing is written, and all goes on afterwards. */
#include "errors_case.h"

/* ---- data in and out ------------------------------------------------------------------------- */

static void data_in_is_checked(void **state) {
    (void)state;
    double data[8] = {0};
    void *odd = (char *)data + 1;
    assert_null(sn_from_copy(data, 8, SN_I(2), SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy: bytes is 8", "16");
    assert_null(sn_from_copy(NULL, 16, SN_I(2), SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy", "data is NULL");
    assert_null(sn_from_copy(data, 16, NULL, 1, SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy", "dims is NULL");
    assert_null(sn_from_copy(data, 16, SN_I(2), (sn_dtype)10));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy: dtype 10 is no dtype");
    assert_null(sn_from_copy(data, 16, SN_I(2, -1), SN_F64));
    EXPECT_ERROR(SN_ERROR_SHAPE, "from_copy: dims[1] is -1");
    assert_null(sn_from_copy(data, 16, SN_I(1, 1, 1, 1, 1, 1, 1, 1, 2), SN_F64));
    EXPECT_ERROR(SN_ERROR_SHAPE, "from_copy", "9 sizes", "at most 8");
    assert_null(sn_from_copy(data, 16, (const int64_t[]){2}, -1, SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy", "-1");
    assert_null(sn_from_copy(data, 0, SN_I(HUGE_DIM, HUGE_DIM), SN_F64));
    EXPECT_ERROR(SN_ERROR_MEMORY, "from_copy", "f64[1099511627776,1099511627776]", "too large");
    assert_null(sn_from_copy(data, 0, SN_I((int64_t)1 << 61), SN_F64)); /* 2^64 bytes */
    EXPECT_ERROR(SN_ERROR_MEMORY, "from_copy", "too large");
    assert_null(sn_from_borrow(data, 8, SN_I(2), SN_F64, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_borrow: bytes is 8", "16");
    assert_null(sn_from_borrow(odd, 16, SN_I(2), SN_F64, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_borrow", "not aligned to 8 bytes");
    assert_null(sn_from_borrow(NULL, 16, SN_I(2), SN_F64, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_borrow", "data is NULL");
    EXPECT_SHAPE(sn_from_copy(NULL, 0, SN_I(0, 4), SN_F64), SN_F64, SN_I(0, 4));
}

static void data_out_is_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x();
    float values[6] = {9, 9, 9, 9, 9, 9};
    char text[64] = "kept";
    assert_false(sn_read(NULL, SN_F32, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: tensor is NULL", "test_errors_data.c:");
    assert_false(sn_read(SN_NONE, SN_F32, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: tensor is SN_NONE");
    assert_false(sn_read(x, SN_F32, values, 20));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: bytes is 20", "6 elements of f32", "24");
    assert_false(sn_read(x, SN_F32, NULL, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: ", "destination is NULL");
    assert_false(sn_read(x, (sn_dtype)33, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: dtype 33 is no dtype");
    assert_true(values[0] == 9 && values[5] == 9);
    assert_true(sn_item(x) == 0);
    EXPECT_ERROR(SN_ERROR_SHAPE, "item: ", "6 elements", "f32[2,3]");
    assert_true(sn_item_int(NULL) == 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "item: tensor is NULL");
    assert_null(sn_map(SN_NONE));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "map: tensor is SN_NONE");
    sn_unmap(NULL);
    assert_int_equal(sn_format(NULL, text, sizeof text), -1);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "format: tensor is NULL");
    assert_int_equal(sn_format(x, NULL, 5), -1);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "format: buffer is NULL");
    EXPECT_OK();
}

static void shape_questions_are_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x();
    assert_int_equal(sn_rank(NULL), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "rank: tensor is NULL");
    assert_int_equal(sn_rank(SN_NONE), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "rank: tensor is SN_NONE");
    assert_int_equal(sn_size(x, 2), 0);
    EXPECT_ERROR(SN_ERROR_INDEX, "size: axis 2", "f32[2,3]");
    assert_int_equal(sn_size(x, -3), 0);
    EXPECT_ERROR(SN_ERROR_INDEX, "size: axis -3", "f32[2,3]");
    assert_int_equal(sn_stride(x, INT32_MIN), 0);
    EXPECT_ERROR(SN_ERROR_INDEX, "stride: axis -2147483648", "f32[2,3]");
    assert_int_equal(sn_count(NULL), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "count: tensor is NULL");
    assert_int_equal(sn_shape(SN_NONE, NULL, NULL), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "shape: tensor is SN_NONE");
    (void)sn_dtype_of(NULL);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "dtype_of: tensor is NULL");
    assert_false(sn_is_contiguous(NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "is_contiguous: tensor is NULL");
    assert_true(sn_dtype_size((sn_dtype)99) == 0);
    assert_string_equal(sn_dtype_name((sn_dtype)99), "?");
    assert_non_null(sn_status_name((sn_status)99));
}

static void split_is_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *parts[2] = {x, x};
    assert_false(sn_split(NULL, SN_I(1, 1), 0, parts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: x is NULL");
    assert_true(!parts[0] && !parts[1]);
    assert_false(sn_split(SN_NONE, SN_I(1, 1), 0, parts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: x is SN_NONE");
    assert_false(sn_split(x, SN_I(1, 1), 0, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: parts is NULL");
    assert_false(sn_split(x, NULL, 2, 0, parts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: sizes is NULL");
    assert_false(sn_split(x, SN_I(1, 1), 2, parts));
    EXPECT_ERROR(SN_ERROR_INDEX, "split: axis 2 is out of range", "f32[2,3]");
    assert_false(sn_split(x, SN_I(1, 2), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split: the sizes add up to 3", "axis 0", "f32[2,3]");
    assert_false(sn_split(x, SN_I(3, -1), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split: sizes[1] is -1");
    assert_false(sn_split(x, SN_I(INT64_MAX, INT64_MAX), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split", "f32[2,3]");
    assert_false(sn_split(x, SN_I(1), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split: the sizes add up to 1", "f32[2,3]");
    assert_true(!parts[0]);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_beyond_the_limit_is_an_error(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32);
    EXPECT_OK();
    sn_memory_set_limit(sn_memory().live_bytes + 1000000);
    assert_null(sn_zeros(SN_I(1 << 20), SN_F32));
    EXPECT_ERROR(SN_ERROR_MEMORY, "zeros", "out of memory", "4194304 bytes");
    assert_null(sn_expand(x, SN_I(2)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "expand");
    assert_null(sn_add(sn_expand(x, SN_I(1000, 1000)), sn_c(1)));
    EXPECT_ERROR(SN_ERROR_MEMORY, "add", "out of memory", "4000000 bytes");
    EXPECT_VALUES(sn_sum(x, SN_I0, false), 1000);
    sn_memory_set_limit(0);
    EXPECT_VALUES(sn_sum(sn_zeros(SN_I(1 << 20), SN_F32), SN_I0, false), 0);
}

static void a_compiled_call_beyond_the_limit_is_an_error(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32), *y = make_y(), *i = make_i();
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    Called *fast = SN_FN(c, grows);
    for (int call = 0; call < 4; call++) {
        sn_scope scope = sn_scope_begin();
        sn_memory_set_limit(sn_memory().live_bytes + 1000000);
        assert_null(fast(x, y, i));
        EXPECT_ERROR(SN_ERROR_MEMORY, "errors_case.h:", "add: out of memory (4000000 bytes)");
        sn_memory_set_limit(0);
        EXPECT_SAME(fast(x, y, i), grows(x, y, i));
        sn_scope_end(scope, NULL);
    }
    sn_compiled_release(c);
}

/* Results of a million elements, of ops that passes leave as they are, make of others, or view. */
static sn_tensor *adds(sn_tensor *x) {
    return sn_add(sn_unsqueeze(x, 0), sn_unsqueeze(x, 1));
}
static sn_tensor *pads(sn_tensor *x) {
    return sn_pad(x, SN_I(1000000, 0), 0.5);
}
static sn_tensor *fills(sn_tensor *x) {
    return sn_full(SN_I(sn_size(x, 0), 1000), 2, SN_F32);
}
static sn_tensor *joins(sn_tensor *x) {
    sn_tensor *wide = sn_expand(sn_unsqueeze(x, 0), SN_I(500, 1000));
    return sn_cat((sn_tensor *[]){wide, wide}, 2, 0);
}
static sn_tensor *normalizes(sn_tensor *x) {
    return sn_softmax(sn_expand(sn_unsqueeze(x, 0), SN_I(1000, 1000)), 1);
}
static sn_tensor *looks_up(sn_tensor *x) {
    return sn_embedding(sn_unsqueeze(x, 1), sn_expand(sn_zeros(SN_I(1), SN_I64), SN_I(1000000)));
}
static sn_tensor *multiplies(sn_tensor *x) {
    return sn_matmul(sn_unsqueeze(x, 1), sn_unsqueeze(x, 0));
}
static sn_tensor *lies_anew(sn_tensor *x) {
    return sn_reshape(sn_transpose(sn_expand(x, SN_I(1000, 1000)), 0, 1), SN_I(1000000));
}
static sn_tensor *attends(sn_tensor *x) { /* the scores are what is large */
    sn_tensor *query = sn_unsqueeze(x, 1);
    return sn_scaled_dot_product_attention(query, query, query, SN_NONE, false, 0);
}
static sn_tensor *reads_first(sn_tensor *x) {
    sn_tensor *y = sn_exp(sn_expand(x, SN_I(1000, 1000)));
    return sn_item(sn_sum(y, SN_I0, false)) > 0 ? y : NULL;
}

/* Memory that an op cannot have is told alike by eager, by a trace and by an entry. */
static void out_of_memory_is_told_as_in_eager(void **state) {
    (void)state;
    typedef sn_tensor *Large(sn_tensor *);
    static Large *const functions[] = {adds,     pads,       fills,     joins,   normalizes,
                                       looks_up, multiplies, lies_anew, attends, reads_first};
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32);
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        for (int call = 0; call < 4; call++) {
            sn_error want, got;
            sn_scope scope = sn_scope_begin();
            sn_memory_set_limit(call == 2 ? 0 : sn_memory().live_bytes + 1000000);
            bool done = functions[f](x) != NULL;
            assert_int_equal(sn_error_take(&want), call == 2 ? SN_OK : SN_ERROR_MEMORY);
            assert_int_equal(SN_FN(c, functions[f])(x) != NULL, done);
            sn_error_take(&got);
            assert_string_equal(got.text, want.text);
            assert_int_equal(got.status, want.status);
            assert_int_equal(got.line, want.line);
            sn_memory_set_limit(0);
            sn_scope_end(scope, NULL);
        }
        sn_compiled_release(c);
    }
}

static sn_rng reached = {.seed = 5};

static sn_tensor *draws(sn_tensor *x) {
    return sn_mul(sn_unsqueeze(x, 0), sn_rand(&reached, SN_I(1000, 1000), SN_F32));
}

static void a_call_that_fails_draws_nothing(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32);
    sn_compiled *c = sn_compile(draws, "t:t", NULL);
    for (int call = 0; call < 3; call++) {
        sn_scope scope = sn_scope_begin();
        uint64_t before = reached.counter;
        sn_memory_set_limit(sn_memory().live_bytes + 1000000);
        assert_null(SN_FN(c, draws)(x));
        EXPECT_ERROR(SN_ERROR_MEMORY, "test_errors_data.c:", "mul: out of memory (4000000 bytes)");
        assert_true(reached.counter == before);
        sn_memory_set_limit(0);
        assert_non_null(SN_FN(c, draws)(x));
        assert_true(reached.counter == before + 1000000);
        sn_scope_end(scope, NULL);
    }
    sn_compiled_release(c);
}

static sn_tensor *picks(sn_tensor *x, sn_tensor *index) {
    return sn_index_select(sn_exp(x), 0, index);
}

/* What failed is what one wants to look at. */
static void a_first_call_that_fails_can_be_looked_at(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(picks, "tt:t", NULL);
    assert_null(SN_FN(c, picks)(make_x(), sn_full(SN_I(2), 9, SN_I64)));
    EXPECT_ERROR(SN_ERROR_INDEX, "index_select", "9");
    char *text = sn_dump(c, "graph", NULL);
    assert_non_null(text);
    assert_non_null(strstr(text, "index_select"));
    sn_text_free(text);
    sn_explanation told = {.size = sizeof told};
    assert_int_equal(sn_explain(c, &told), SN_OK);
    assert_int_equal(told.ops, 2);
    EXPECT_OK();
    sn_compiled_release(c);
}

static void a_huge_shape_that_does_not_overflow_is_out_of_memory(void **state) {
    (void)state;
    assert_null(sn_zeros(SN_I(HUGE_DIM, 1 << 10), SN_F32)); /* 2^52 bytes */
    EXPECT_ERROR(SN_ERROR_MEMORY, "zeros", "out of memory", "4503599627370496 bytes");
    sn_tensor *wide = sn_expand(sn_ones(SN_I(1), SN_F32), SN_I(HUGE_DIM, 1 << 10));
    EXPECT_SHAPE(wide, SN_F32, SN_I(HUGE_DIM, 1 << 10));
    assert_null(sn_neg(wide));
    EXPECT_ERROR(SN_ERROR_MEMORY, "neg", "out of memory");
    assert_null(sn_contiguous(wide));
    EXPECT_ERROR(SN_ERROR_MEMORY, "out of memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(data_in_is_checked),
        API_TEST(data_out_is_checked),
        API_TEST(shape_questions_are_checked),
        API_TEST(split_is_checked),
        API_TEST(memory_beyond_the_limit_is_an_error),
        API_TEST(a_compiled_call_beyond_the_limit_is_an_error),
        API_TEST(out_of_memory_is_told_as_in_eager),
        API_TEST(a_call_that_fails_draws_nothing),
        API_TEST(a_first_call_that_fails_can_be_looked_at),
        API_TEST(a_huge_shape_that_does_not_overflow_is_out_of_memory),
    };
    return cmocka_run_group_tests_name("errors_data", tests, NULL, NULL);
}
