/* Storage shared and written, handles kept: a compiled function leaves its inputs, its results and
 * whatever the program kept exactly as the function itself would. */
#include "api_case.h"

typedef sn_tensor *Unary(sn_tensor *);
typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

enum { ROUNDS = 4 };

/* Do both handles name the same first element? */
static bool same_memory(sn_tensor *a, sn_tensor *b) {
    void *p = sn_map(a), *q = sn_map(b);
    sn_unmap(a), sn_unmap(b);
    return p && p == q;
}

static bool same_strides(sn_tensor *a, sn_tensor *b) {
    int64_t x[SN_MAX_RANK], y[SN_MAX_RANK];
    int32_t rank = sn_shape(a, NULL, x);
    return sn_shape(b, NULL, y) == rank && memcmp(x, y, sizeof(int64_t) * (size_t)rank) == 0;
}

/* ---- returned aliases ------------------------------------------------------------------------ */

static sn_tensor *itself(sn_tensor *x) {
    return x;
}
static sn_tensor *turned(sn_tensor *x) {
    return sn_transpose(x, 0, 1);
}
static sn_tensor *middle(sn_tensor *x) {
    return sn_select(sn_narrow(x, 0, 1, 2), 0, -1);
}
static sn_tensor *backwards(sn_tensor *x) {
    return sn_index(x, SN_IX(SN_STEP(SN_END, SN_END, -1), SN_STEP(1, SN_END, 2), SN_NEW));
}
static sn_tensor *diagonal(sn_tensor *x) {
    return sn_diagonal(x, 1, 0, 1);
}
static sn_tensor *spread(sn_tensor *x) {
    return sn_expand(sn_unsqueeze(sn_select(x, 1, 0), 1), SN_I(-1, 5));
}
static sn_tensor *flat(sn_tensor *x) {
    return sn_reshape(x, SN_I(-1));
}

static void a_returned_input_or_view_is_an_alias_as_in_eager(void **state) {
    (void)state;
    Unary *functions[] = {itself, turned, middle, backwards, diagonal, spread, flat};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < ROUNDS; i++) {
            /* the third and fourth rounds have the same layout elsewhere in memory */
            sn_tensor *x = sn_narrow(tensor_random(7, SN_F32, SN_I(8, 6)), 0, i, 4);
            sn_tensor *got = fast(x), *want = functions[f](x);
            EXPECT_SAME(got, want);
            assert_true(same_memory(got, want));
            assert_true(same_strides(got, want));
            if (functions[f] == spread) continue; /* writing there is an error */
            sn_mul_(got, sn_ci(3));
            EXPECT_SAME(got, want);
            sn_fill_(x, 1.5);
            EXPECT_SAME(got, want);
        }
        sn_compiled_release(c);
    }
}

static sn_status twins(sn_tensor *x, sn_tensor **a, sn_tensor **b, sn_tensor **left,
                       sn_tensor **all) {
    sn_tensor *y = sn_mul(x, sn_ci(2));
    *a = y;
    *b = y;
    *left = sn_narrow(y, 0, 0, 2);
    *all = sn_flip(y, SN_I(0));
    return sn_error_status();
}

static void results_that_share_memory_still_do(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(twins, "t:tttt", NULL);
    sn_status (*fast)(sn_tensor *, sn_tensor **, sn_tensor **, sn_tensor **, sn_tensor **) =
        SN_FN(c, twins);
    sn_tensor *x = tensor_of(SN_F64, SN_I(3), V(1, 2, 3));
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *a, *b, *left, *all;
        assert_int_equal(fast(x, &a, &b, &left, &all), SN_OK);
        EXPECT_VALUES(b, 2, 4, 6);
        EXPECT_VALUES(all, 6, 4, 2);
        sn_fill_(left, 9);
        EXPECT_VALUES(a, 9, 9, 6);
        EXPECT_VALUES(b, 9, 9, 6);
        EXPECT_VALUES(all, 6, 9, 9);
        sn_fill_(sn_narrow(all, 0, 0, 1), -1);
        EXPECT_VALUES(a, 9, 9, -1);
        EXPECT_VALUES(x, 1, 2, 3);
    }
    sn_compiled_release(c);
}

static sn_tensor *fresh(sn_tensor *x) {
    return sn_clone(x);
}
static sn_tensor *copied(sn_tensor *x) {
    return sn_reshape(sn_transpose(x, 0, 1), SN_I(-1));
}
static sn_tensor *constant(sn_tensor *x) {
    return sn_full(SN_I(2), (double)sn_rank(x), SN_F32);
}
static sn_tensor *added_zero(sn_tensor *x) {
    return sn_cast(sn_mul(x, sn_ci(1)), SN_F32);
}

static void what_eager_copies_is_new_memory_in_every_call(void **state) {
    (void)state;
    Unary *functions[] = {fresh, copied, constant, added_zero};
    sn_tensor *x = tensor_random(8, SN_F32, SN_I(3, 4)), *kept = sn_clone(x);
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < ROUNDS; i++) {
            sn_tensor *got = fast(x), *again = fast(x);
            sn_fill_(got, 77);
            EXPECT_SAME(again, functions[f](x));
            EXPECT_SAME(x, kept);
        }
        sn_compiled_release(c);
    }
}

/* ---- writes ---------------------------------------------------------------------------------- */

static sn_tensor *write_views(sn_tensor *x, sn_tensor *y) {
    sn_tensor *before = sn_mul(x, sn_ci(1));
    sn_add_(sn_select(x, 0, 1), y);              /* a row */
    sn_copy_(sn_select(x, 1, -1), sn_c(0.5));    /* a column */
    sn_mul_(sn_diagonal(x, 0, 0, 1), sn_ci(-3)); /* a diagonal */
    sn_tensor *steps = sn_index(x, SN_IX(SN_STEP(0, SN_END, 2), SN_STEP(SN_END, SN_END, -2)));
    sn_sub_(steps, sn_index(sn_transpose(before, 0, 1), SN_IX(SN_RANGE(0, 2), SN_RANGE(0, 2))));
    sn_tensor *flat_view = sn_reshape(x, SN_I(-1));
    sn_fill_(sn_narrow(flat_view, 0, 5, 3), 11);
    return sn_add(flat_view, sn_sum(x, SN_I0, false));
}

static void writes_through_views_reach_the_input(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(9, SN_F32, SN_I(4, 4)), *z = sn_clone(x);
    sn_tensor *y = tensor_random(10, SN_F32, SN_I(4));
    sn_compiled *c = sn_compile(write_views, "tt:t", NULL);
    Binary *fast = SN_FN(c, write_views);
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *want = write_views(z, y);
        EXPECT_SAME(fast(x, y), want);
        EXPECT_SAME(x, z);
    }
    sn_tensor *big = tensor_random(11, SN_F32, SN_I(9, 4)), *other = sn_clone(big);
    for (int i = 0; i < ROUNDS; i++) { /* the input is a view itself */
        sn_tensor *want = write_views(sn_narrow(other, 0, i, 4), y);
        EXPECT_SAME(fast(sn_narrow(big, 0, i, 4), y), want);
        EXPECT_SAME(big, other);
    }
    for (int i = 0; i < ROUNDS; i++) { /* and not dense */
        sn_tensor *a = sn_transpose(sn_index(big, SN_IX(SN_STEP(0, 8, 2))), 0, 1);
        sn_tensor *b = sn_transpose(sn_index(other, SN_IX(SN_STEP(0, 8, 2))), 0, 1);
        sn_tensor *want = write_views(b, y);
        EXPECT_SAME(fast(a, y), want);
        EXPECT_SAME(big, other);
    }
    sn_compiled_release(c);
}

static sn_tensor *chain_of_writes(sn_tensor *x, sn_tensor *y) {
    sn_add_(x, y);
    sn_tensor *seen = sn_mul(x, sn_ci(2));
    sn_mul_(x, y);
    sn_tensor *alias = x;
    sn_copy_(y, alias); /* both inputs are written, the second with the first */
    sn_sub_(alias, seen);
    return seen;
}

static void values_are_those_at_the_time_of_each_op(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(12, SN_F32, SN_I(5, 3)), *a = sn_clone(x);
    sn_tensor *y = tensor_random(13, SN_F32, SN_I(5, 3)), *b = sn_clone(y);
    sn_compiled *c = sn_compile(chain_of_writes, "tt:t", NULL);
    Binary *fast = SN_FN(c, chain_of_writes);
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *want = chain_of_writes(a, b);
        EXPECT_SAME(fast(x, y), want);
        EXPECT_SAME(x, a);
        EXPECT_SAME(y, b);
    }
    sn_compiled_release(c);
}

static void the_same_tensor_passed_twice_is_one_memory(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(14, SN_F32, SN_I(5)), *a = sn_clone(x);
    sn_tensor *y = tensor_random(15, SN_F32, SN_I(5)), *b = sn_clone(y);
    sn_compiled *c = sn_compile(chain_of_writes, "tt:t", NULL);
    Binary *fast = SN_FN(c, chain_of_writes);
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *want = chain_of_writes(a, a);
        EXPECT_SAME(fast(x, i % 2 ? sn_reshape(x, SN_I(5)) : x), want);
        EXPECT_SAME(x, a);
        want = chain_of_writes(a, b);
        EXPECT_SAME(fast(x, y), want);
        EXPECT_SAME(x, a);
        EXPECT_SAME(y, b);
    }
    sn_compiled_release(c);
}

static void inputs_that_overlap_in_part_give_eagers_bits(void **state) {
    (void)state;
    sn_tensor *base = tensor_random(16, SN_F32, SN_I(40)), *other = sn_clone(base);
    sn_compiled *c = sn_compile(chain_of_writes, "tt:t", NULL);
    Binary *fast = SN_FN(c, chain_of_writes);
    const int64_t shifts[] = {20, 20, 1, 20, 3, 0, 1, 20, 7, 0, 20};
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        sn_tensor *want =
            chain_of_writes(sn_narrow(other, 0, 4, 8), sn_narrow(other, 0, 4 + shifts[i], 8));
        EXPECT_SAME(fast(sn_narrow(base, 0, 4, 8), sn_narrow(base, 0, 4 + shifts[i], 8)), want);
        EXPECT_SAME(base, other);
    }
    sn_tensor *square = sn_reshape(sn_narrow(base, 0, 0, 36), SN_I(6, 6));
    sn_tensor *twin = sn_reshape(sn_narrow(other, 0, 0, 36), SN_I(6, 6));
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *want = chain_of_writes(twin, sn_transpose(twin, 0, 1));
        EXPECT_SAME(fast(square, sn_transpose(square, 0, 1)), want);
        EXPECT_SAME(base, other);
    }
    sn_compiled_release(c);
}

static sn_tensor *write_and_return_view(sn_tensor *x) {
    sn_tensor *row = sn_select(x, 0, 0);
    sn_add_(x, sn_ci(1));
    return sn_mul_(row, sn_ci(2));
}

static void a_written_view_of_an_input_can_be_returned(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 2), V(0, 0, 0, 0));
    sn_compiled *c = sn_compile(write_and_return_view, "t:t", NULL);
    Unary *fast = SN_FN(c, write_and_return_view);
    EXPECT_VALUES(fast(x), 2, 2);
    EXPECT_VALUES(fast(x), 6, 6);
    sn_tensor *row = fast(x);
    EXPECT_VALUES(x, 14, 14, 3, 3);
    sn_fill_(row, 5);
    EXPECT_VALUES(x, 5, 5, 3, 3);
    sn_compiled_release(c);
}

static sn_tensor *write_expanded(sn_tensor *x) {
    return sn_add_(sn_expand(sn_unsqueeze(x, 0), SN_I(3, -1)), sn_ci(1));
}

static void writing_an_expanded_view_is_refused_as_in_eager(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(write_expanded, "t:t", NULL);
    Unary *fast = SN_FN(c, write_expanded);
    sn_error eager, compiled;
    assert_null(write_expanded(x));
    assert_int_equal(sn_error_take(&eager), SN_ERROR_ALIAS);
    for (int i = 0; i < ROUNDS; i++) {
        assert_null(fast(x));
        assert_int_equal(sn_error_take(&compiled), SN_ERROR_ALIAS);
        assert_string_equal(compiled.text, eager.text);
    }
    EXPECT_VALUES(x, 1, 2);
    sn_compiled_release(c);
}

/* ---- globals that overlap arguments ---------------------------------------------------------- */

static sn_tensor *global_view;

static sn_tensor *write_then_read_global(sn_tensor *x) {
    sn_add_(x, sn_ci(1));
    return sn_mul(global_view, sn_ci(10));
}

static sn_tensor *write_global_then_read(sn_tensor *x) {
    sn_add_(global_view, sn_ci(1));
    return sn_mul(x, sn_ci(10));
}

static void a_global_that_overlaps_an_argument_gives_eagers_bits(void **state) {
    (void)state;
    Unary *functions[] = {write_then_read_global, write_global_then_read};
    for (size_t f = 0; f < 2; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        sn_tensor *base = tensor_random(17, SN_F32, SN_I(8)), *other = sn_clone(base);
        for (int64_t i = 0; i < 5; i++) {
            global_view = sn_narrow(other, 0, i, 4);
            sn_tensor *want = functions[f](sn_narrow(other, 0, 1, 4));
            global_view = sn_narrow(base, 0, i, 4);
            EXPECT_SAME(fast(sn_narrow(base, 0, 1, 4)), want);
            EXPECT_SAME(base, other);
        }
        sn_compiled_release(c);
    }
    global_view = NULL;
}

/* ---- handles that escape --------------------------------------------------------------------- */

static sn_tensor *kept;

static void keep(sn_tensor *t) {
    sn_release(kept);
    kept = sn_retain(t);
}

static sn_tensor *keeps_a_value(sn_tensor *x) {
    sn_tensor *y = sn_mul(x, sn_ci(2));
    keep(sn_add(y, sn_ci(1)));
    return y;
}

static sn_tensor *keeps_the_result(sn_tensor *x) {
    sn_tensor *y = sn_mul(x, sn_ci(2));
    keep(y);
    return y;
}

static sn_tensor *keeps_the_argument(sn_tensor *x) {
    keep(x);
    return sn_mul(x, sn_ci(2));
}

static sn_tensor *keeps_a_view(sn_tensor *x) {
    keep(sn_narrow(x, 0, 1, 1));
    return sn_mul(x, sn_ci(2));
}

static void what_the_function_keeps_is_real_and_new_in_every_call(void **state) {
    (void)state;
    Unary *functions[] = {keeps_a_value, keeps_the_result, keeps_the_argument, keeps_a_view};
    for (size_t f = 0; f < 4; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < 5; i++) {
            sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(i, 10.0 * i));
            sn_tensor *want = functions[f](x);
            sn_tensor *want_kept = sn_clone(kept);
            EXPECT_SAME(fast(x), want);
            EXPECT_SAME(kept, want_kept);
            sn_add_(x, sn_ci(1));
            if (f >= 2)
                EXPECT_SAME(sn_sub(kept, sn_ci(1)), want_kept);
            else
                EXPECT_SAME(kept, want_kept);
        }
        sn_compiled_release(c);
        keep(NULL);
    }
}

static sn_status keeps_beside_twins(sn_tensor *x, sn_tensor **a, sn_tensor **b) {
    *a = *b = sn_mul(x, sn_ci(2));
    keep(sn_add(x, sn_ci(1)));
    return sn_error_status();
}

static void a_kept_value_is_seen_beside_a_result_returned_twice(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(keeps_beside_twins, "t:tt", NULL);
    sn_status (*fast)(sn_tensor *, sn_tensor **, sn_tensor **) = SN_FN(c, keeps_beside_twins);
    for (int i = 0; i < 5; i++) {
        sn_tensor *a, *b, *x = tensor_of(SN_F64, SN_I(1), V(i));
        assert_int_equal(fast(x, &a, &b), SN_OK);
        EXPECT_VALUES(a, 2.0 * i);
        EXPECT_VALUES(kept, i + 1.0);
    }
    keep(NULL);
    sn_compiled_release(c);
}

static sn_tensor *keeps_then_fails(sn_tensor *x) {
    keep(sn_add(x, sn_ci(1)));
    return sn_matmul(x, sn_ones(SN_I(9, 9), SN_F64));
}

static void a_value_kept_by_a_failed_trace_is_an_error_to_use(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(keeps_then_fails, "t:t", NULL);
    Unary *fast = SN_FN(c, keeps_then_fails);
    sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(1, 2));
    assert_null(fast(x));
    EXPECT_ERROR(SN_ERROR_SHAPE, "matmul");
    assert_null(sn_add(kept, x));
    EXPECT_ERROR(SN_ERROR_HANDLE, "add");
    assert_null(sn_neg_(kept));
    EXPECT_ERROR(SN_ERROR_HANDLE, "neg");
    double values[2];
    assert_false(sn_read(kept, SN_F64, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_HANDLE, "read");
    keep(NULL);
    sn_compiled_release(c);
}

static sn_tensor *returns_a_global(sn_tensor *x) {
    sn_add_(global_view, x);
    return global_view;
}

static void a_returned_global_moves_through_scopes(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(returns_a_global, "t:t", NULL);
    Unary *fast = SN_FN(c, returns_a_global);
    for (int i = 0; i < 3; i++) {
        sn_scope outer = sn_scope_begin();
        sn_tensor *x = tensor_of(SN_F64, SN_I(1), V(1));
        global_view = tensor_of(SN_F64, SN_I(1), V(5));
        sn_scope deeper = sn_scope_begin();
        sn_tensor *y = fast(x);
        EXPECT_VALUES(y, 6);
        y = sn_scope_end(deeper, i == 0 ? y : NULL); /* it lives on in its own scope anyway */
        EXPECT_VALUES(global_view, 6);
        sn_tensor *more[4] = {sn_clone(x), sn_clone(x), sn_clone(x), sn_clone(x)};
        assert_non_null(more[3]);
        y = sn_scope_end(outer, global_view);
        EXPECT_VALUES(y, 6);
    }
    global_view = NULL;
    sn_compiled_release(c);
}

typedef struct Cache {
    sn_tensor *value; /* grows with every call */
    int64_t calls;    /* and so does this */
} Cache;

static const sn_field cache_fields[] = {
    {.name = "value", .kind = SN_FIELD_TENSOR, .offset = 0, .bytes = sizeof(sn_tensor *)},
    {.name = "calls", .kind = SN_FIELD_SCALAR, .offset = offsetof(Cache, calls), .bytes = 8},
};
static const sn_tree cache_tree = {sizeof(Cache), cache_fields, 2};

static sn_tensor *grow(Cache *cache, sn_tensor *x) {
    sn_tensor *both[2] = {cache->value, x};
    sn_tensor *value = sn_retain(sn_cat(both, 2, 0));
    sn_release(cache->value);
    cache->value = value;
    cache->calls++;
    return sn_sum(value, SN_I0, false);
}

static void state_behind_an_opaque_pointer_grows_as_in_eager(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(grow, "pt:t", NULL);
    sn_tensor *(*fast)(Cache *, sn_tensor *) = SN_FN(c, grow);
    sn_tensor *x = tensor_of(SN_F64, SN_I(1), V(2));
    Cache cache = {sn_retain(sn_clone(x)), 0};
    for (int i = 1; i < 6; i++) {
        EXPECT_VALUES(fast(&cache, x), 2.0 * (i + 1));
        assert_int_equal(cache.calls, i);
        EXPECT_SHAPE(cache.value, SN_F64, SN_I(i + 1));
    }
    sn_release(cache.value);
    sn_compiled_release(c);
}

static sn_tensor *count_calls(Cache *cache, sn_tensor *x) {
    cache->calls++;
    return sn_mul(cache->value, x);
}

static void writing_a_described_struct_is_an_error_that_names_the_cure(void **state) {
    (void)state;
    const sn_tree *trees[] = {&cache_tree};
    sn_compile_options options = {.trees = trees, .n_trees = 1};
    sn_compiled *c = sn_compile(count_calls, "St:t", &options);
    sn_tensor *(*fast)(Cache *, sn_tensor *) = SN_FN(c, count_calls);
    Cache cache = {tensor_of(SN_F64, SN_I(1), V(2)), 0};
    for (int i = 0; i < 3; i++) {
        assert_null(fast(&cache, cache.value));
        EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "count_calls", "opaque pointer");
        assert_int_equal(cache.calls, 0);
    }
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_returned_input_or_view_is_an_alias_as_in_eager),
        API_TEST(results_that_share_memory_still_do),
        API_TEST(what_eager_copies_is_new_memory_in_every_call),
        API_TEST(writes_through_views_reach_the_input),
        API_TEST(values_are_those_at_the_time_of_each_op),
        API_TEST(the_same_tensor_passed_twice_is_one_memory),
        API_TEST(inputs_that_overlap_in_part_give_eagers_bits),
        API_TEST(a_written_view_of_an_input_can_be_returned),
        API_TEST(writing_an_expanded_view_is_refused_as_in_eager),
        API_TEST(a_global_that_overlaps_an_argument_gives_eagers_bits),
        API_TEST(what_the_function_keeps_is_real_and_new_in_every_call),
        API_TEST(a_kept_value_is_seen_beside_a_result_returned_twice),
        API_TEST(a_value_kept_by_a_failed_trace_is_an_error_to_use),
        API_TEST(a_returned_global_moves_through_scopes),
        API_TEST(state_behind_an_opaque_pointer_grows_as_in_eager),
        API_TEST(writing_a_described_struct_is_an_error_that_names_the_cure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
