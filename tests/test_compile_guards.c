/* When a compiled function is run again: what guards hold, what makes them miss, what is counted,
 * and that nothing which the function depends on ever gives a stale answer. */
#include "api_case.h"

#include <math.h>

typedef sn_tensor *Unary(sn_tensor *);
typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static sn_tensor *one_value(double value) {
    return tensor_of(SN_F64, SN_I(1), &value);
}

/* Counters since `before`. */
static int64_t since(const sn_counters *before, size_t offset) {
    sn_counters now = counters_now();
    int64_t a, b;
    memcpy(&a, (const char *)before + offset, sizeof a);
    memcpy(&b, (const char *)&now + offset, sizeof b);
    return b - a;
}
#define SINCE(before, field) since(&(before), offsetof(sn_counters, field))

/* ---- counters -------------------------------------------------------------------------------- */

static sn_tensor *gated(sn_tensor *x) {
    return sn_mul(sn_sigmoid(x), sn_add(x, sn_ci(1)));
}

static void a_call_is_traced_then_checked_then_hit(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(5, 7));
    sn_tensor *want = gated(x);
    sn_compiled *c = sn_compile(gated, "t:t", NULL);
    Unary *fast = SN_FN(c, gated);
    sn_counters before = counters_now();
    EXPECT_SAME(fast(x), want);
    assert_int_equal(SINCE(before, traces), 1);
    assert_int_equal(SINCE(before, guard_misses), 1);
    assert_int_equal(SINCE(before, guard_hits), 0);
    EXPECT_SAME(fast(x), want);
    assert_int_equal(SINCE(before, traces), 2);
    assert_int_equal(SINCE(before, guard_misses), 1);
    for (int i = 0; i < 10; i++) EXPECT_SAME(fast(x), want);
    assert_int_equal(SINCE(before, traces), 2);
    assert_int_equal(SINCE(before, guard_hits), 10);
    assert_int_equal(SINCE(before, recompiles), 0);
    assert_int_equal(SINCE(before, fallbacks), 0);
    assert_int_equal(SINCE(before, reruns), 0);
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.entries, 1);
    assert_int_equal(e.graphs, 1);
    assert_int_equal(e.ops, 3);
    assert_int_equal(e.kernels, 1);
    assert_int_equal(e.fallbacks, 0);
    assert_false(e.rerun);
    sn_compiled_release(c);
}

static void a_new_shape_dtype_or_layout_misses_once(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(gated, "t:t", NULL);
    Unary *fast = SN_FN(c, gated);
    sn_tensor *base = tensor_random(2, SN_F32, SN_I(6, 8));
    sn_tensor *inputs[] = {
        base,
        sn_reshape(base, SN_I(8, 6)),
        sn_reshape(base, SN_I(48)),
        sn_transpose(base, 0, 1),
        sn_index(base, SN_IX(SN_STEP(0, SN_END, 2))),
        sn_index(base, SN_IX(SN_ALL, SN_STEP(SN_END, SN_END, -1))),
        sn_expand(sn_select(base, 0, 3), SN_I(6, 8)),
        sn_narrow(base, 0, 0, 0),
        sn_select(sn_select(base, 0, 1), 0, 1),
        sn_cast(base, SN_F64),
        sn_cast(base, SN_BF16),
        sn_cast(base, SN_I32),
        sn_gt(base, sn_ci(0)),
    };
    int64_t count = (int64_t)(sizeof inputs / sizeof inputs[0]);
    sn_counters before = counters_now();
    for (int round = 0; round < 3; round++)
        for (int64_t i = 0; i < count; i++) EXPECT_SAME(fast(inputs[i]), gated(inputs[i]));
    assert_int_equal(SINCE(before, guard_misses), count);
    assert_int_equal(SINCE(before, guard_hits), count);
    assert_int_equal(SINCE(before, traces), 2 * count);
    assert_int_equal(SINCE(before, fallbacks), 0);
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.entries, count);
    sn_compiled_release(c);
}

static void only_the_address_of_an_input_may_change(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(gated, "t:t", NULL);
    Unary *fast = SN_FN(c, gated);
    sn_counters before = counters_now();
    sn_tensor *big = tensor_random(3, SN_F32, SN_I(20, 9));
    for (int i = 0; i < 8; i++) {
        sn_tensor *x = i % 2 ? sn_narrow(big, 0, i, 5) : tensor_random(9, SN_F32, SN_I(5, 9));
        EXPECT_SAME(fast(x), gated(x));
    }
    assert_int_equal(SINCE(before, guard_misses), 1);
    assert_int_equal(SINCE(before, guard_hits), 6);
    sn_compiled_release(c);
}

/* ---- which inputs share memory is part of the guard ------------------------------------------ */

static sn_tensor *three(sn_tensor *a, sn_tensor *b, sn_tensor *c) {
    return sn_add(sn_add(a, sn_mul(b, sn_ci(10))), sn_mul(c, sn_ci(100)));
}

static void sharing_among_three_inputs_is_told_apart(void **state) {
    (void)state;
    sn_tensor *base = tensor_of(SN_F64, SN_I(4), V(1, 2, 3, 4));
    sn_tensor *p[4];
    for (int i = 0; i < 4; i++) p[i] = sn_narrow(base, 0, i, 1);
    sn_compiled *c = sn_compile(three, "ttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(c, three);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 64; i++)
            EXPECT_VALUES(fast(p[i & 3], p[i >> 2 & 3], p[i >> 4]),
                          (i & 3) + 1 + 10.0 * ((i >> 2 & 3) + 1) + 100.0 * ((i >> 4) + 1));
    sn_compiled_release(c);
}

static sn_tensor *write_first_of_three(sn_tensor *a, sn_tensor *b, sn_tensor *c) {
    sn_mul_(b, sn_ci(2));
    return sn_add(sn_add(a, sn_mul(b, sn_ci(10))), sn_mul(c, sn_ci(100)));
}

static void sharing_with_a_written_input_is_told_apart(void **state) {
    (void)state;
    sn_tensor *base = tensor_of(SN_F64, SN_I(4), V(1, 2, 3, 4)), *other = sn_clone(base);
    sn_tensor *p[4], *q[4];
    for (int i = 0; i < 4; i++) p[i] = sn_narrow(base, 0, i, 1), q[i] = sn_narrow(other, 0, i, 1);
    sn_compiled *c = sn_compile(write_first_of_three, "ttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(c, write_first_of_three);
    for (int round = 0; round < 3; round++)
        for (int k = 0; k < 64; k++) {
            int i = round == 1 ? 63 - k : k, x = i & 3, y = i >> 2 & 3, z = i >> 4;
            sn_tensor *want = write_first_of_three(q[x], q[y], q[z]);
            EXPECT_SAME(fast(p[x], p[y], p[z]), want);
            EXPECT_SAME(base, other);
        }
    sn_compiled_release(c);
}

static void borrowed_memory_under_two_handles_is_told_apart(void **state) {
    (void)state;
    double memory[4] = {1, 2, 3, 4}, copy[4] = {1, 2, 3, 4};
    sn_compiled *c = sn_compile(write_first_of_three, "ttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(c, write_first_of_three);
    for (int i = 0; i < 4; i++) { /* apart twice, then in one place, then apart */
        int64_t at = i == 2 ? 0 : 2;
        sn_tensor *a[3], *b[3];
        for (int64_t k = 0; k < 3; k++) {
            int64_t from = k == 0 ? 0 : k == 1 ? at : 3;
            a[k] = sn_from_borrow(memory + from, 8, SN_I(1), SN_F64, NULL, NULL);
            b[k] = sn_from_borrow(copy + from, 8, SN_I(1), SN_F64, NULL, NULL);
        }
        sn_tensor *want = write_first_of_three(b[0], b[1], b[2]);
        EXPECT_SAME(fast(a[0], a[1], a[2]), want);
        assert_memory_equal(memory, copy, sizeof memory);
    }
    sn_compiled_release(c);
}

/* ---- declared memory, rerun, purity ---------------------------------------------------------- */

static double global_factor = 1;
static int32_t runs;

static sn_tensor *times_global(sn_tensor *x) {
    runs++;
    return sn_mul(x, sn_c(global_factor));
}

static void watched_memory_is_compared_on_every_call(void **state) {
    (void)state;
    sn_watch watch = {&global_factor, sizeof global_factor};
    sn_compile_options options = {.size = sizeof options, .watch = &watch, .n_watch = 1};
    sn_compiled *c = sn_compile(times_global, "t:t", &options);
    watch.data = NULL; /* it was copied */
    Unary *fast = SN_FN(c, times_global);
    sn_tensor *x = one_value(3);
    global_factor = 2;
    for (int i = 0; i < 4; i++) EXPECT_VALUES(fast(x), 6);
    global_factor = -0.0;
    for (int i = 0; i < 4; i++) EXPECT_VALUES(fast(x), -0.0);
    global_factor = 0.0;
    for (int i = 0; i < 4; i++) EXPECT_VALUES(fast(x), 0);
    global_factor = 2;
    runs = 0;
    sn_counters before = counters_now();
    EXPECT_VALUES(fast(x), 6);
    assert_int_equal(runs, 0);
    assert_int_equal(SINCE(before, guard_hits), 1);
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_int_equal(e.entries, 3);
    assert_false(e.rerun);
    sn_compiled_release(c);
}

static void rerun_always_runs_the_function_once_a_call(void **state) {
    (void)state;
    sn_compile_options options = {.rerun = SN_RERUN_ALWAYS};
    sn_compiled *c = sn_compile(times_global, "t:t", &options);
    Unary *fast = SN_FN(c, times_global);
    sn_tensor *x = one_value(3);
    runs = 0;
    sn_counters before = counters_now();
    for (int i = 1; i <= 6; i++) {
        global_factor = i / 2;
        EXPECT_VALUES(fast(x), 3.0 * (i / 2));
        assert_int_equal(runs, i);
    }
    assert_int_equal(SINCE(before, reruns), 6);
    assert_int_equal(SINCE(before, guard_hits), 0);
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_true(e.rerun);
    assert_int_equal(e.graphs, 2); /* for factor 0, and with the factor as a kernel argument */
    sn_compiled_release(c);
}

static void the_second_call_catches_undeclared_state(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(times_global, "t:t", NULL);
    Unary *fast = SN_FN(c, times_global);
    sn_tensor *x = one_value(3);
    for (int i = 1; i < 6; i++) {
        global_factor = i;
        EXPECT_VALUES(fast(x), 3.0 * i);
    }
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_true(e.rerun);
    char *text = sn_explain_text(c);
    assert_non_null(text);
    assert_non_null(strstr(text, "a call with equal arguments"));
    sn_text_free(text);
    sn_compiled_release(c);
}

static bool global_flag;

static sn_tensor *other_ops(sn_tensor *x) {
    return global_flag ? sn_exp(x) : sn_neg(x);
}

static sn_tensor *other_output(sn_tensor *x) {
    sn_tensor *y = sn_neg(x), *z = sn_exp(x);
    return global_flag ? y : z;
}

static sn_tensor *other_view(sn_tensor *x) {
    sn_tensor *y = sn_neg(x);
    return global_flag ? sn_narrow(y, 0, 0, 1) : sn_narrow(y, 0, 1, 1);
}

static void every_kind_of_difference_is_caught(void **state) {
    (void)state;
    Unary *functions[] = {other_ops, other_output, other_view};
    sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(0.5, 1));
    for (size_t f = 0; f < 3; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < 6; i++) {
            global_flag = i % 2;
            EXPECT_SAME(fast(x), functions[f](x));
        }
        sn_compiled_release(c);
    }
}

static sn_tensor *global_tensor;

static sn_tensor *times_global_tensor(sn_tensor *x) {
    return sn_mul(x, global_tensor);
}

static void a_tensor_reached_through_a_global_is_never_stale(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(times_global_tensor, "t:t", NULL);
    Unary *fast = SN_FN(c, times_global_tensor);
    sn_tensor *x = one_value(3);
    for (int i = 0; i < 6; i++) {
        if (i % 3 == 0)
            global_tensor = one_value(i + 1);
        else
            sn_add_(global_tensor, sn_ci(1));
        EXPECT_VALUES(fast(x), 3.0 * (i + 1));
    }
    global_tensor = tensor_of(SN_F64, SN_I(2), V(1, 2));
    EXPECT_VALUES(fast(x), 3, 6);
    EXPECT_VALUES(fast(global_tensor), 1, 4);
    global_tensor = NULL;
    sn_compiled_release(c);
}

static sn_tensor *write_global(sn_tensor *x) {
    sn_add_(global_tensor, sn_sum(x, SN_I0, false));
    return sn_mul(global_tensor, sn_ci(2));
}

static void a_global_tensor_can_be_written(void **state) {
    (void)state;
    global_tensor = tensor_of(SN_F64, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(write_global, "t:t", NULL);
    Unary *fast = SN_FN(c, write_global);
    for (int i = 1; i < 5; i++) {
        EXPECT_VALUES(fast(one_value(1)), 2.0 * (1 + i), 2.0 * (2 + i));
        EXPECT_VALUES(global_tensor, 1.0 + i, 2.0 + i);
    }
    global_tensor = NULL;
    sn_compiled_release(c);
}

static sn_rng global_rng;

static sn_tensor *noise_from_global(sn_tensor *x) {
    return sn_add(x, sn_rand(&global_rng, SN_I(3), SN_F64));
}

static void a_global_generator_goes_on_drawing(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(noise_from_global, "t:t", NULL);
    Unary *fast = SN_FN(c, noise_from_global);
    sn_tensor *x = one_value(0);
    for (int i = 0; i < 5; i++) {
        sn_rng begin = global_rng;
        sn_tensor *want = noise_from_global(x);
        sn_rng end = global_rng;
        global_rng = begin;
        EXPECT_SAME(fast(x), want);
        assert_int_equal(global_rng.counter, end.counter);
    }
    sn_compiled_release(c);
}

/* ---- compiled in compiled -------------------------------------------------------------------- */

static Unary *inner;

static sn_tensor *calls_inner(sn_tensor *x) {
    return sn_add(inner(sn_neg(x)), x);
}

static void a_compiled_function_inside_another_is_inlined(void **state) {
    (void)state;
    sn_compiled *c_inner = sn_compile(gated, "t:t", NULL);
    inner = SN_FN(c_inner, gated);
    sn_compiled *c = sn_compile(calls_inner, "t:t", NULL);
    Unary *fast = SN_FN(c, calls_inner);
    sn_tensor *x = tensor_random(4, SN_F32, SN_I(11));
    sn_tensor *want = sn_add(gated(sn_neg(x)), x);
    for (int i = 0; i < 3; i++) EXPECT_SAME(fast(x), want);
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_int_equal(e.kernels, 1);
    assert_false(e.rerun);
    sn_compiled_release(c);
    sn_compiled_release(c_inner);
}

static void an_inner_function_hands_its_mode_up(void **state) {
    (void)state;
    sn_watch watch = {&global_factor, sizeof global_factor};
    sn_compile_options modes[2] = {{.rerun = SN_RERUN_ALWAYS}, {.watch = &watch, .n_watch = 1}};
    for (int mode = 0; mode < 2; mode++) {
        global_factor = 1;
        sn_compiled *c_inner = sn_compile(times_global, "t:t", &modes[mode]);
        inner = SN_FN(c_inner, times_global);
        sn_compiled *c = sn_compile(calls_inner, "t:t", NULL);
        Unary *fast = SN_FN(c, calls_inner);
        sn_tensor *x = one_value(3);
        for (int i = 0; i < 3; i++) EXPECT_VALUES(fast(x), 0);
        global_factor = 2;
        for (int i = 0; i < 3; i++) EXPECT_VALUES(fast(x), -3);
        sn_compiled_release(c);
        sn_compiled_release(c_inner);
    }
}

static sn_compiled *inner_handle;

static sn_tensor *calls_by_value(sn_tensor *x) {
    sn_value input = {.kind = SN_VALUE_TENSOR, .as.tensor = sn_neg(x)};
    sn_tensor *y = NULL;
    int32_t count = 0;
    if (sn_call(inner_handle, &input, 1, &y, 1, &count, NULL, NULL) != SN_OK) return NULL;
    sn_tensor *z = sn_mul(y, sn_ci(2));
    sn_release(y);
    return z;
}

static void sn_call_works_inside_a_compiled_function(void **state) {
    (void)state;
    inner_handle = sn_compile(gated, "t:t", NULL);
    sn_compiled *c = sn_compile(calls_by_value, "t:t", NULL);
    Unary *fast = SN_FN(c, calls_by_value);
    sn_tensor *x = tensor_random(4, SN_F32, SN_I(11));
    sn_tensor *want = sn_mul(gated(sn_neg(x)), sn_ci(2));
    for (int i = 0; i < 3; i++) EXPECT_SAME(fast(x), want);
    sn_compiled_release(c);
    sn_compiled_release(inner_handle);
}

/* ---- numbers that are easily confused -------------------------------------------------------- */

static sn_tensor *awkward(sn_tensor *x, sn_tensor *y) {
    sn_tensor *a = sn_add(sn_mul(x, sn_c(0.0)), sn_neg(y));
    sn_tensor *b = sn_sub(x, sn_c(0.0));
    sn_tensor *d = sn_add(sn_mul(x, sn_c(1.0)), sn_c(-0.0));
    sn_tensor *m = sn_maximum(sn_minimum(x, y), sn_sub(y, y));
    sn_tensor *q = sn_div(x, sn_mul(y, sn_c(-1.0)));
    sn_tensor *list[5] = {a, b, d, m, q};
    return sn_stack(list, 5, 0);
}

static void bits_equal_eager_for_nan_infinity_zero_and_subnormals(void **state) {
    (void)state;
    const double n[] = {0.0, -0.0, NAN, INFINITY, -INFINITY, 1e-40, -1e-40, 3.4e38, 1, -1};
    double left[100], right[100];
    for (int i = 0; i < 100; i++) left[i] = n[i / 10], right[i] = n[i % 10];
    sn_compiled *c = sn_compile(awkward, "tt:t", NULL);
    Binary *fast = SN_FN(c, awkward);
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    for (size_t t = 0; t < 4; t++) {
        sn_tensor *x = tensor_of(dtypes[t], SN_I(100), left);
        sn_tensor *y = tensor_of(dtypes[t], SN_I(100), right);
        for (int i = 0; i < 3; i++) EXPECT_SAME(fast(x, y), awkward(x, y));
    }
    sn_compiled_release(c);
}

/* ---- progress -------------------------------------------------------------------------------- */

static int32_t progress_calls;
static bool progress_answer;

static bool progress(void *context, const char *stage, int32_t done, int32_t total) {
    assert_ptr_equal(context, &progress_calls);
    assert_non_null(stage);
    assert_true(done <= total);
    progress_calls++;
    return progress_answer;
}

static void the_progress_callback_can_cancel_and_a_later_call_compiles(void **state) {
    (void)state;
    sn_compile_options options = {.progress = progress, .progress_context = &progress_calls};
    sn_compiled *c = sn_compile(gated, "t:t", &options);
    Unary *fast = SN_FN(c, gated);
    sn_tensor *x = tensor_random(5, SN_F32, SN_I(3));
    progress_calls = 0, progress_answer = false;
    assert_null(fast(x));
    EXPECT_ERROR(SN_ERROR_CANCELLED, "gated");
    assert_int_not_equal(progress_calls, 0);
    progress_answer = true;
    sn_counters before = counters_now();
    for (int i = 0; i < 3; i++) EXPECT_SAME(fast(x), gated(x));
    assert_int_equal(SINCE(before, fallbacks), 0);
    assert_int_equal(SINCE(before, guard_hits), 1);
    sn_compiled_release(c);
}

/* ---- leaks ----------------------------------------------------------------------------------- */

static void compile_call_release_leaves_nothing(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(6, SN_F32, SN_I(300));
    int64_t live = sn_memory().live_bytes;
    for (int i = 0; i < 200; i++) {
        sn_scope scope = sn_scope_begin();
        sn_compiled *c = sn_compile(gated, "t:t", NULL);
        Unary *fast = SN_FN(c, gated);
        for (int k = 0; k < 3; k++) assert_non_null(fast(x));
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
        assert_int_equal(sn_memory().live_bytes, live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_call_is_traced_then_checked_then_hit),
        API_TEST(a_new_shape_dtype_or_layout_misses_once),
        API_TEST(only_the_address_of_an_input_may_change),
        API_TEST(sharing_among_three_inputs_is_told_apart),
        API_TEST(sharing_with_a_written_input_is_told_apart),
        API_TEST(borrowed_memory_under_two_handles_is_told_apart),
        API_TEST(watched_memory_is_compared_on_every_call),
        API_TEST(rerun_always_runs_the_function_once_a_call),
        API_TEST(the_second_call_catches_undeclared_state),
        API_TEST(every_kind_of_difference_is_caught),
        API_TEST(a_tensor_reached_through_a_global_is_never_stale),
        API_TEST(a_global_tensor_can_be_written),
        API_TEST(a_global_generator_goes_on_drawing),
        API_TEST(a_compiled_function_inside_another_is_inlined),
        API_TEST(an_inner_function_hands_its_mode_up),
        API_TEST(sn_call_works_inside_a_compiled_function),
        API_TEST(bits_equal_eager_for_nan_infinity_zero_and_subnormals),
        API_TEST(the_progress_callback_can_cancel_and_a_later_call_compiles),
        API_TEST(compile_call_release_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
