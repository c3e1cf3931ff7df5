/* Values that leave a compiled function before its end: host reads and the branches on them, errors
 * in metadata and in data, a jump out of the middle. Everything as in eager. */
#include "api_case.h"

#include <math.h>

typedef sn_tensor *Unary(sn_tensor *);
typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

enum { ROUNDS = 4 };

/* ---- host reads ------------------------------------------------------------------------------ */

static sn_tensor *branches_on_item(sn_tensor *x) {
    sn_tensor *y = sn_mul(x, sn_ci(2));
    if (sn_item(sn_sum(y, SN_I0, false)) > 0) return sn_add(y, x);
    return sn_sub(sn_exp(y), x);
}

static sn_tensor *branches_on_read(sn_tensor *x) {
    double values[2] = {0, 0};
    sn_tensor *y = sn_neg(x);
    if (!sn_read(y, SN_F64, values, sizeof values)) return NULL;
    return values[0] < values[1] ? sn_mul(y, sn_c(values[1])) : sn_add(y, sn_c(values[0]));
}

static sn_tensor *loops_until_small(sn_tensor *x) {
    for (int i = 0; i < 20 && sn_item(sn_max(x, SN_I0, false)) > 1; i++) x = sn_mul(x, sn_c(0.5));
    return sn_add(x, sn_ci(1));
}

static sn_tensor *reads_an_integer(sn_tensor *x) {
    int64_t n = sn_item_int(sn_cast(sn_sum(sn_abs(x), SN_I0, false), SN_I64)) % 5;
    return sn_add(sn_arange(0, (double)(n + 1), 1, SN_F64), sn_max(x, SN_I0, false));
}

static sn_tensor *prints(sn_tensor *x) {
    char text[64];
    int32_t length = sn_format(sn_mul(x, sn_ci(2)), text, sizeof text);
    return sn_add(x, sn_ci(length));
}

static sn_tensor *maps(sn_tensor *x) {
    sn_tensor *y = sn_mul(x, sn_ci(2));
    double *data = sn_map(y);
    if (!data) return NULL;
    data[1] = 77;
    sn_unmap(y);
    return sn_add(y, sn_ci(1));
}

static sn_tensor *reads_nothing_new(sn_tensor *x) {
    return sn_mul(x, sn_c(sn_item(sn_select(x, 0, 0))));
}

static void both_branches_of_a_host_read_are_right(void **state) {
    (void)state;
    Unary *functions[] = {branches_on_item, branches_on_read, loops_until_small,
                          reads_an_integer, prints,           maps,
                          reads_nothing_new};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < 3 * ROUNDS; i++) {
            double sign = i % 3 ? 1 : -1;
            sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(sign * i, 3 - sign));
            EXPECT_SAME(fast(x), functions[f](x));
        }
        sn_explanation e = {.size = sizeof e};
        assert_int_equal(sn_explain(c, &e), SN_OK);
        assert_true(e.rerun);
        assert_int_not_equal(e.host_reads, 0);
        assert_int_equal(e.fallbacks, 0);
        sn_compiled_release(c);
    }
}

static void segments_are_compiled_once(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(branches_on_item, "t:t", NULL);
    Unary *fast = SN_FN(c, branches_on_item);
    sn_tensor *up = tensor_of(SN_F64, SN_I(2), V(1, 2)), *down = sn_neg(up);
    for (int i = 0; i < 2; i++) (void)fast(up), (void)fast(down);
    sn_counters before = counters_now();
    for (int i = 0; i < 10; i++) (void)fast(i % 2 ? up : down);
    sn_counters after = counters_now();
    assert_int_equal(after.compiles, before.compiles);
    assert_int_equal(after.recompiles, before.recompiles);
    assert_int_equal(after.host_reads - before.host_reads, 10);
    assert_int_equal(after.reruns - before.reruns, 10);
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_int_equal(e.graphs, 3); /* before the read, and each branch after it */
    sn_compiled_release(c);
}

static sn_tensor *writes_around_a_read(sn_tensor *x, sn_tensor *y) {
    sn_add_(x, y);
    sn_tensor *row = sn_select(x, 0, 1);
    double first = sn_item(sn_select(row, 0, 0));
    sn_mul_(row, sn_c(first));
    sn_tensor *sum = sn_add(x, y);
    sn_copy_(sn_select(x, 1, 0), sn_c(sn_item(sn_sum(sum, SN_I0, false))));
    return sum;
}

static void writes_before_and_after_a_read_reach_the_input(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F64, SN_I(3, 2)), *a = sn_clone(x);
    sn_tensor *y = tensor_random(2, SN_F64, SN_I(3, 2));
    sn_compiled *c = sn_compile(writes_around_a_read, "tt:t", NULL);
    Binary *fast = SN_FN(c, writes_around_a_read);
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *want = writes_around_a_read(a, y);
        EXPECT_SAME(fast(x, y), want);
        EXPECT_SAME(x, a);
    }
    sn_compiled_release(c);
}

static sn_rng read_rng;

static sn_tensor *draws_around_a_read(sn_rng *rng, sn_tensor *x) {
    sn_tensor *a = sn_rand(rng, SN_I(3), SN_F64);
    if (sn_item(sn_sum(a, SN_I0, false)) > 1.5) x = sn_add(x, sn_randn(rng, SN_I(3), SN_F64));
    return sn_add(sn_add(x, a), sn_rand(rng, SN_I(3), SN_F64));
}

static void draws_go_on_after_a_read(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(3, SN_F64, SN_I(3));
    sn_rng eager = {5, 0};
    read_rng = eager;
    sn_compiled *c = sn_compile(draws_around_a_read, "rt:t", NULL);
    sn_tensor *(*fast)(sn_rng *, sn_tensor *) = SN_FN(c, draws_around_a_read);
    for (int i = 0; i < 10; i++) {
        sn_tensor *want = draws_around_a_read(&eager, x);
        EXPECT_SAME(fast(&read_rng, x), want);
        assert_int_equal(read_rng.counter, eager.counter);
    }
    sn_compiled_release(c);
}

static void fullgraph_refuses_a_host_read_with_its_line(void **state) {
    (void)state;
    sn_compile_options options = {.size = sizeof options, .fullgraph = true};
    Unary *functions[] = {branches_on_item, branches_on_read, prints, maps, reads_nothing_new};
    static const char *const reads[] = {"item", "read", "format", "map", "item"};
    sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(1, 2));
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", &options);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < 2; i++) {
            assert_null(fast(x));
            sn_error error;
            assert_int_equal(sn_error_take(&error), SN_ERROR_GRAPH_BREAK);
            assert_non_null(strstr(error.text, reads[f]));
            assert_non_null(strstr(error.text, "test_compile_reads.c"));
            assert_int_not_equal(error.line, 0);
        }
        sn_compiled_release(c);
    }
}

static Unary *inner;

static sn_tensor *calls_inner(sn_tensor *x) {
    return sn_neg(inner(x));
}

static void an_inner_functions_fullgraph_and_reads_are_handed_up(void **state) {
    (void)state;
    sn_compile_options options = {.fullgraph = true};
    sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(1, 2));
    for (int full = 0; full < 2; full++) {
        sn_compiled *c_inner = sn_compile(branches_on_item, "t:t", full ? &options : NULL);
        inner = SN_FN(c_inner, branches_on_item);
        sn_compiled *c = sn_compile(calls_inner, "t:t", NULL);
        Unary *fast = SN_FN(c, calls_inner);
        for (int i = 0; i < 3; i++) {
            sn_tensor *y = fast(i == 2 ? sn_neg(x) : x);
            if (full)
                EXPECT_ERROR(SN_ERROR_GRAPH_BREAK, "item");
            else
                EXPECT_SAME(y, sn_neg(branches_on_item(i == 2 ? sn_neg(x) : x)));
        }
        sn_compiled_release(c);
        sn_compiled_release(c_inner);
    }
}

/* ---- errors in metadata ---------------------------------------------------------------------- */

static sn_tensor *wrong_shapes(sn_tensor *x, sn_tensor *y) {
    return sn_matmul(sn_neg(x), y);
}

static sn_tensor *wrong_scalar_dtype(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_bitwise_and(x, sn_ci(1));
}

static sn_tensor *wrong_axis(sn_tensor *x, sn_tensor *y) {
    return sn_sum(sn_add(x, y), SN_I(2), true);
}

static sn_tensor *wrong_write(sn_tensor *x, sn_tensor *y) {
    return sn_add_(sn_select(x, 0, 0), y);
}

static sn_tensor *wrong_null(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_add(sn_neg(x), NULL);
}

static void metadata_errors_have_eagers_status_and_text(void **state) {
    (void)state;
    Binary *functions[] = {wrong_shapes, wrong_scalar_dtype, wrong_axis, wrong_write, wrong_null};
    sn_tensor *x = tensor_random(4, SN_F32, SN_I(2, 3)), *y = tensor_random(5, SN_F32, SN_I(2, 3));
    sn_tensor *x0 = sn_clone(x);
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_error eager, compiled;
        assert_null(functions[f](x, y));
        assert_int_not_equal(sn_error_take(&eager), SN_OK);
        sn_compiled *c = sn_compile(functions[f], "tt:t", NULL);
        Binary *fast = (Binary *)sn_compiled_fn(c);
        for (int i = 0; i < 3; i++) {
            assert_null(fast(x, y));
            sn_error_take(&compiled);
            assert_int_equal(compiled.status, eager.status);
            assert_string_equal(compiled.text, eager.text);
            assert_int_equal(compiled.line, eager.line);
        }
        sn_compiled_release(c);
    }
    EXPECT_SAME(x, x0);
}

static sn_tensor *fails_for_long(sn_tensor *x, sn_tensor *y) {
    sn_add_(x, sn_ci(1));
    return sn_add(x, y);
}

static void a_failed_trace_leaves_the_function_usable(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2)), *y = tensor_of(SN_F32, SN_I(2), V(0, 0));
    sn_tensor *wrong = tensor_of(SN_F32, SN_I(3), V(0, 0, 0));
    sn_compiled *c = sn_compile(fails_for_long, "tt:t", NULL);
    Binary *fast = SN_FN(c, fails_for_long);
    for (int i = 0; i < 4; i++) {
        assert_null(fast(x, wrong));
        EXPECT_ERROR(SN_ERROR_SHAPE, "add");
        sn_tensor *want = sn_add(sn_add(x, sn_ci(1)), y);
        EXPECT_SAME(fast(x, y), want);
    }
    sn_compiled_release(c);
}

static sn_tensor *draws_then_fails(sn_rng *rng, sn_tensor *x) {
    return sn_add(sn_rand(rng, SN_I(3), SN_F32), x);
}

static void a_failed_trace_does_not_advance_the_generator(void **state) {
    (void)state;
    sn_rng rng = {1, 10};
    sn_compiled *c = sn_compile(draws_then_fails, "rt:t", NULL);
    sn_tensor *(*fast)(sn_rng *, sn_tensor *) = SN_FN(c, draws_then_fails);
    assert_null(fast(&rng, tensor_of(SN_F32, SN_I(2), V(1, 2))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "add");
    assert_int_equal(rng.counter, 10);
    sn_compiled_release(c);
}

static sn_tensor *returns_null(sn_tensor *x) {
    (void)sn_neg(x);
    return NULL;
}

static sn_tensor *returns_none(sn_tensor *x) {
    (void)x;
    return SN_NONE;
}

static sn_tensor *raises(sn_tensor *x) {
    (void)x;
    return sn_error_raise(SN_ERROR_ARGUMENT, "model.c", 12, "model: %d heads", 7);
}

static void what_the_function_returns_instead_of_a_tensor_is_an_error(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(returns_null, "t:t", NULL);
    assert_null(SN_FN(c, returns_null)(x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "returns_null", "NULL");
    sn_compiled_release(c);
    c = sn_compile(returns_none, "t:t", NULL);
    assert_null(SN_FN(c, returns_none)(x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "returns_none");
    sn_compiled_release(c);
    c = sn_compile(raises, "t:t", NULL);
    assert_null(SN_FN(c, raises)(x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "model.c:12: model: 7 heads");
    sn_compiled_release(c);
}

/* ---- errors in data -------------------------------------------------------------------------- */

static sn_tensor *gathers(sn_tensor *table, sn_tensor *index) {
    sn_tensor *y = sn_mul(sn_embedding(table, index), sn_ci(2));
    sn_add_(table, sn_ci(1)); /* after the op that fails: does not commit */
    return y;
}

static sn_tensor *fails_unused(sn_tensor *table, sn_tensor *index) {
    (void)sn_index_select(table, 0, index);
    return sn_neg(table);
}

static sn_tensor *fails_twice(sn_tensor *table, sn_tensor *index) {
    sn_tensor *a = sn_gather(table, 1, sn_unsqueeze(index, 1));
    sn_tensor *b = sn_one_hot(index, 2);
    return sn_add(a, sn_cast(sn_sum(b, SN_I(1), true), SN_F32));
}

static sn_tensor *scatters(sn_tensor *table, sn_tensor *index) {
    return sn_scatter_add(table, 0, sn_unsqueeze(index, 1), sn_ones(SN_I(2, 1), SN_F32));
}

static sn_tensor *copies(sn_tensor *table, sn_tensor *index) {
    return sn_index_copy(table, 0, index, sn_ones(SN_I(2, 3), SN_F32));
}

static sn_tensor *loses(sn_tensor *table, sn_tensor *index) {
    return sn_cross_entropy(sn_narrow(table, 0, 0, 2), index, SN_REDUCTION_NONE);
}

static void an_index_out_of_range_has_eagers_status_and_text(void **state) {
    (void)state;
    Binary *functions[] = {gathers, fails_unused, fails_twice, scatters, copies, loses};
    static const double bad[][2] = {{0, 4}, {-5, 0}, {9e15, 0}, {0, -9e15}};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "tt:t", NULL);
        Binary *fast = (Binary *)sn_compiled_fn(c);
        for (int i = 0; i < ROUNDS; i++) {
            sn_tensor *table = tensor_random(6, SN_F32, SN_I(4, 3)), *kept = sn_clone(table);
            sn_tensor *wrong = tensor_of(SN_I64, SN_I(2), bad[i]);
            sn_tensor *right = tensor_of(SN_I64, SN_I(2), V(1, 0));
            sn_error eager, compiled;
            sn_tensor *y = functions[f](sn_clone(table), wrong);
            float values[16];
            if (y) sn_read(y, SN_F32, values, sizeof(float) * (size_t)sn_count(y));
            assert_int_equal(sn_error_take(&eager), SN_ERROR_INDEX);
            assert_null(fast(table, wrong));
            sn_error_take(&compiled);
            assert_int_equal(compiled.status, SN_ERROR_INDEX);
            assert_string_equal(compiled.text, eager.text);
            EXPECT_SAME(table, kept);
            sn_tensor *want = functions[f](sn_clone(table), right);
            EXPECT_SAME(fast(table, right), want);
        }
        sn_compiled_release(c);
    }
}

static sn_tensor *reads_after_a_bad_index(sn_tensor *table, sn_tensor *index) {
    sn_tensor *y = sn_embedding(table, index);
    double first = sn_item(sn_sum(y, SN_I0, false));
    sn_fill_(table, first);
    return y;
}

static void a_bad_index_surfaces_at_the_host_read(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(reads_after_a_bad_index, "tt:t", NULL);
    Binary *fast = SN_FN(c, reads_after_a_bad_index);
    sn_tensor *table = tensor_random(7, SN_F32, SN_I(4, 3)), *before = sn_clone(table);
    for (int i = 0; i < 3; i++) {
        assert_null(fast(table, tensor_of(SN_I64, SN_I(1), V(7))));
        EXPECT_ERROR(SN_ERROR_INDEX, "index", "size 4", "test_compile_reads.c");
        EXPECT_SAME(table, before);
    }
    sn_compiled_release(c);
}

/* ---- jumps ----------------------------------------------------------------------------------- */

static jmp_buf out_of_here;

static sn_tensor *jumps(sn_tensor *x) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *y = sn_neg(x);
    (void)scope;
    if (sn_count(y) == 3) longjmp(out_of_here, 1);
    return sn_add(y, y);
}

static void a_jump_out_of_a_traced_function_is_unwound(void **state) {
    (void)state;
    sn_tensor *volatile x = tensor_of(SN_F32, SN_I(3), V(1, 2, 3));
    sn_tensor *volatile y = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *volatile c = sn_compile(jumps, "t:t", NULL);
    Unary *volatile fast = SN_FN(c, jumps);
    for (volatile int i = 0; i < 3; i++) {
        sn_mark_t mark = sn_mark();
        if (setjmp(out_of_here) == 0) {
            (void)fast(x);
            fail();
        }
        sn_unwind(mark);
        EXPECT_OK();
        EXPECT_VALUES(sn_add(x, x), 2, 4, 6);
        EXPECT_VALUES(fast(y), -2, -4);
    }
    sn_compiled_release(c);
    EXPECT_VALUES(x, 1, 2, 3);
}

static sn_mark_t outside;
static bool unwinds; /* does the function below? */

static sn_tensor *returns_from_nowhere(sn_tensor *x) {
    sn_tensor *y = sn_add(x, sn_c(1));
    if (unwinds) sn_unwind(outside);
    return y;
}

static Unary *inner;

static sn_tensor *calls_it(sn_tensor *x) {
    return inner(sn_neg(x));
}

static void unwind_and_return(Unary *function, sn_tensor *x) {
    unwinds = true;
    outside = sn_mark();
    assert_null(function(x));
    EXPECT_ERROR(SN_ERROR_SCOPE, "it returned after sn_unwind had ended its call");
    unwinds = false;
}

static void a_function_that_unwinds_its_own_call_and_returns_is_an_error(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(returns_from_nowhere, "t:t", NULL);
    sn_compiled *outer = sn_compile(calls_it, "t:t", NULL);
    inner = SN_FN(c, returns_from_nowhere);
    for (int i = 0; i < 3; i++) {
        unwind_and_return(inner, x);
        unwind_and_return(SN_FN(outer, calls_it), x);
    }
    EXPECT_VALUES(inner(x), 2, 3);
    EXPECT_VALUES(SN_FN(outer, calls_it)(x), 0, -1);
    sn_compiled_release(c);
    sn_compiled_release(outer);
    EXPECT_VALUES(x, 1, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(both_branches_of_a_host_read_are_right),
        API_TEST(segments_are_compiled_once),
        API_TEST(writes_before_and_after_a_read_reach_the_input),
        API_TEST(draws_go_on_after_a_read),
        API_TEST(fullgraph_refuses_a_host_read_with_its_line),
        API_TEST(an_inner_functions_fullgraph_and_reads_are_handed_up),
        API_TEST(metadata_errors_have_eagers_status_and_text),
        API_TEST(a_failed_trace_leaves_the_function_usable),
        API_TEST(a_failed_trace_does_not_advance_the_generator),
        API_TEST(what_the_function_returns_instead_of_a_tensor_is_an_error),
        API_TEST(an_index_out_of_range_has_eagers_status_and_text),
        API_TEST(a_bad_index_surfaces_at_the_host_read),
        API_TEST(a_jump_out_of_a_traced_function_is_unwound),
        API_TEST(a_function_that_unwinds_its_own_call_and_returns_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
