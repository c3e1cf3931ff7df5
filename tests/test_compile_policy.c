/* Options and stances of compiled functions: what is compiled when, what runs instead, and what the
 * program is told. The decisions themselves are in tests/test_policy.c. */
#include "api_case.h"

#include <stdatomic.h>

static _Atomic int runs; /* of the function below */

static sn_tensor *centered(sn_tensor *x) {
    runs++;
    return sn_sub(sn_exp(x), sn_mean(x, SN_I(-1), true));
}
typedef sn_tensor *Unary(sn_tensor *);

static sn_explanation explained(sn_compiled *c) {
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    return e;
}

static sn_compiled *compile_with(sn_compile_options options) {
    sn_compiled *c = sn_compile(centered, "t:t", &options);
    assert_non_null(c);
    return c;
}

/* Calls with [rows, n] for n of [first, last], and compares with eager. */
static void call_sizes(sn_compiled *c, int64_t rows, int64_t first, int64_t last) {
    Unary *fast = SN_FN(c, centered);
    for (int64_t n = first; n <= last; n++) {
        sn_tensor *x = tensor_random((uint32_t)n, SN_F32, SN_I(rows, n));
        EXPECT_SAME(fast(x), centered(x));
    }
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void static_shapes_are_compiled_one_by_one(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.shapes = SN_SHAPES_STATIC});
    call_sizes(c, 3, 2, 9);
    assert_int_equal(explained(c).graphs, 8);
    sn_compiled_release(c);
}

static void dynamic_shapes_need_one_compile(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.shapes = SN_SHAPES_DYNAMIC});
    call_sizes(c, 3, 5, 9);
    call_sizes(c, 7, 0, 4);
    call_sizes(c, 1, 1, 3);
    assert_int_equal(explained(c).graphs, 1);
    char *text = sn_dump(c, "graph", NULL);
    assert_non_null(strstr(text, "graph centered[s0 = 3 in 0.., s1 = 5 in 0..](%0: f32[s0,s1])"));
    sn_text_free(text);
    sn_compiled_release(c);
}

static void a_declared_dim_varies_from_the_first_call_on(void **state) {
    (void)state;
    const sn_dim dims[] = {{.name = "T", .axis = 1, .min = 1, .max = 64}};
    sn_compiled *c = compile_with((sn_compile_options){.dims = dims, .n_dims = 1});
    call_sizes(c, 3, 5, 9);
    call_sizes(c, 3, 1, 4);
    assert_int_equal(explained(c).graphs, 1);
    char *text = sn_dump(c, "graph", NULL);
    assert_non_null(strstr(text, "graph centered[T = 5 in 1..64](%0: f32[3,T])"));
    sn_text_free(text);
    call_sizes(c, 4, 5, 9); /* the other dim is as in auto */
    assert_int_equal(explained(c).graphs, 2);
    sn_compiled_release(c);
}

static void a_declared_dim_is_kept_to(void **state) {
    (void)state;
    const sn_dim dims[] = {{.name = "T", .axis = 1, .min = 4, .max = 64, .multiple_of = 4}};
    sn_compiled *c = compile_with((sn_compile_options){.dims = dims, .n_dims = 1});
    Unary *fast = SN_FN(c, centered);
    static const int64_t good[] = {8, 4, 64, 12};
    for (int i = 0; i < 4; i++) {
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(2, good[i]));
        EXPECT_SAME(fast(x), centered(x));
    }
    assert_int_equal(explained(c).graphs, 1);
    assert_null(fast(tensor_random(1, SN_F32, SN_I(2, 0))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "centered, compiled at", ": T (dim 1 of tensor argument 0) is 0",
                 "at least 4", "test_compile_policy.c:");
    assert_null(fast(tensor_random(1, SN_F32, SN_I(2, 68))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "is 68, but is declared to be at most 64");
    assert_null(fast(tensor_random(1, SN_F32, SN_I(2, 6))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "is 6, but is declared to be a multiple of 4");
    assert_null(fast(tensor_random(1, SN_F32, SN_I(8))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "has 1 dims, but dim 1 is declared");
    sn_compiled_release(c);
}

static sn_tensor *joined(sn_tensor *x, sn_tensor *y) {
    return sn_mul(sn_exp(x), sn_unsqueeze(y, 1));
}

static void declared_dims_of_one_name_are_one(void **state) {
    (void)state;
    const sn_dim dims[] = {{.name = "B", .tensor = 0}, {.name = "B", .tensor = 1}};
    sn_compile_options options = {.dims = dims, .n_dims = 2};
    sn_compiled *c = sn_compile(joined, "tt:t", &options);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, joined);
    for (int64_t n = 6; n >= 1; n--) {
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(n, 6)), *y = tensor_random(2, SN_F32, SN_I(n));
        EXPECT_SAME(fast(x, y), joined(x, y));
    }
    assert_int_equal(explained(c).graphs, 1);
    assert_null(fast(tensor_random(1, SN_F32, SN_I(3, 6)), tensor_random(2, SN_F32, SN_I(1))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "B (dim 0 of tensor argument 1) is 1", "3");
    sn_compiled_release(c);
}

static sn_tensor *joined_if_there(sn_tensor *x, sn_tensor *y) {
    return x == SN_NONE ? sn_neg(y) : joined(x, y);
}

static void a_dim_of_an_absent_argument_is_nobodys(void **state) {
    (void)state;
    const sn_dim dims[] = {{.name = "B", .tensor = 0}, {.name = "B", .tensor = 1}};
    sn_compile_options options = {.dims = dims, .n_dims = 2};
    sn_compiled *c = sn_compile(joined_if_there, "t?t:t", &options);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, joined_if_there);
    for (int64_t n = 1; n < 4; n++) {
        sn_tensor *y = tensor_random(2, SN_F32, SN_I(n));
        EXPECT_SAME(fast(SN_NONE, y), sn_neg(y));
    }
    sn_compiled_release(c);
}

static sn_tensor *joined_list(sn_tensor **x, int32_t count) {
    return sn_cat(x, count, 0);
}

static void a_dim_of_a_tensor_that_no_call_has_is_refused(void **state) {
    (void)state;
    const sn_dim dims[] = {{.name = "n", .tensor = 7, .axis = 1}, {.name = "n"}};
    sn_compile_options options = {.dims = dims, .n_dims = 2};
    assert_null(sn_compile(joined, "tt:t", &options));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "options.dims[0] is of tensor 7; the signature has 2");
    sn_compiled *c = sn_compile(joined_list, "t*:t", &options); /* an array may be shorter */
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(2, 3));
    EXPECT_SAME(SN_FN(c, joined_list)(&x, 1), x);
    sn_compiled_release(c);
}

static sn_tensor *overwritten(sn_tensor *x, sn_tensor *y) {
    return sn_neg(sn_copy_(y, sn_exp(x)));
}

/* The value that is written has x's sizes, and y's, by other names. */
static void a_write_may_have_dims_of_other_names(void **state) {
    (void)state;
    const sn_dim dims[] = {{.name = "N", .tensor = 0}, {.name = "M", .tensor = 1}};
    sn_compile_options options = {.dims = dims, .n_dims = 2};
    sn_compiled *c = sn_compile(overwritten, "tt:t", &options);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, overwritten);
    for (int64_t n = 6; n >= 1; n--) {
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(n, 6));
        sn_tensor *y = tensor_random(2, SN_F32, SN_I(n, 6)), *z = sn_clone(y);
        EXPECT_SAME(fast(x, y), overwritten(x, z));
        EXPECT_SAME(y, z);
    }
    assert_int_equal(explained(c).graphs, 1);
    char *text = sn_dump(c, "graph", NULL);
    assert_non_null(strstr(text, "%0: f32[N,6], %1: f32[M,6])"));
    sn_text_free(text);
    sn_compiled_release(c);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void at_the_limit_the_oldest_graph_goes(void **state) {
    (void)state;
    sn_compiled *c =
        compile_with((sn_compile_options){.shapes = SN_SHAPES_STATIC, .most_graphs = 3});
    call_sizes(c, 3, 2, 9);
    call_sizes(c, 3, 2, 9);
    assert_int_equal(explained(c).graphs, 3);
    sn_compiled_release(c);
}

static void at_the_limit_static_shapes_may_become_general(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){
        .shapes = SN_SHAPES_STATIC, .most_graphs = 3, .at_limit = SN_AT_LIMIT_GENERALISE});
    call_sizes(c, 3, 2, 4);
    sn_counters before = counters_now();
    call_sizes(c, 3, 5, 20);
    assert_int_equal(counters_now().recompiles - before.recompiles, 1);
    sn_compiled_release(c);
}

static void at_the_limit_it_may_run_eagerly(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){
        .shapes = SN_SHAPES_STATIC, .most_graphs = 2, .at_limit = SN_AT_LIMIT_EAGER});
    call_sizes(c, 3, 2, 6);
    assert_int_equal(explained(c).graphs, 2);
    assert_int_equal(explained(c).fallbacks, 3);
    sn_counters before = counters_now();
    for (int i = 0; i < 3; i++) call_sizes(c, 3, 2, 3); /* what is compiled stays in use */
    assert_int_equal(explained(c).fallbacks, 3);
    assert_true(counters_now().guard_hits - before.guard_hits >= 4);
    sn_compiled_release(c);
}

static void at_the_limit_it_may_be_an_error(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){
        .shapes = SN_SHAPES_STATIC, .most_graphs = 2, .at_limit = SN_AT_LIMIT_ERROR});
    Unary *fast = SN_FN(c, centered);
    call_sizes(c, 3, 2, 3);
    assert_null(fast(tensor_random(1, SN_F32, SN_I(3, 4))));
    EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "centered, compiled at", ": a recompile is refused",
                 "argument 1 is f32[3,4], was f32[3,3]", "%0: size of dim 1 was 3", "now 4");
    call_sizes(c, 3, 2, 3);
    sn_compiled_release(c);
}

/* ---- stances --------------------------------------------------------------------------------- */

static void the_eager_stance_runs_the_function(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.stance = SN_STANCE_EAGER});
    Unary *fast = SN_FN(c, centered);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 4)), *want = centered(x);
    sn_counters before = counters_now();
    runs = 0;
    for (int i = 0; i < 4; i++) EXPECT_SAME(fast(x), want);
    assert_int_equal(runs, 4);
    assert_int_equal(counters_now().traces, before.traces);
    assert_int_equal(counters_now().eager_calls - before.eager_calls, 4);
    assert_int_equal(sn_set_stance(c, SN_STANCE_DEFAULT), SN_STANCE_EAGER);
    for (int i = 0; i < 4; i++) EXPECT_SAME(fast(x), want);
    assert_int_equal(runs, 6);
    sn_compiled_release(c);
}

static void a_threads_stance_is_over_the_handles(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){0});
    Unary *fast = SN_FN(c, centered);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 4));
    assert_int_equal(sn_set_thread_stance(SN_STANCE_EAGER), SN_STANCE_DEFAULT);
    EXPECT_SAME(fast(x), centered(x));
    assert_int_equal(explained(c).graphs, 0);
    assert_int_equal(sn_set_thread_stance(SN_STANCE_DEFAULT), SN_STANCE_EAGER);
    EXPECT_SAME(fast(x), centered(x));
    assert_int_equal(explained(c).graphs, 1);
    sn_compiled_release(c);
}

static void a_recompile_can_be_refused(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.stance = SN_STANCE_FAIL_ON_RECOMPILE});
    Unary *fast = SN_FN(c, centered);
    call_sizes(c, 3, 4, 4);
    assert_null(fast(tensor_random(1, SN_F32, SN_I(3, 5))));
    EXPECT_ERROR(SN_ERROR_UNSUPPORTED,
                 "a recompile is refused: argument 1 is f32[3,5], was f32[3,4]: "
                 "%0: size of dim 1 was 4, now 5");
    call_sizes(c, 3, 4, 4);
    sn_set_stance(c, SN_STANCE_DEFAULT);
    call_sizes(c, 3, 5, 5);
    sn_set_stance(c, SN_STANCE_FAIL_ON_RECOMPILE);
    call_sizes(c, 3, 2, 20); /* binding a general graph is no compile */
    sn_compiled_release(c);
}

static void a_recompile_can_be_left_out(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.stance = SN_STANCE_EAGER_ON_RECOMPILE});
    call_sizes(c, 3, 4, 9);
    assert_int_equal(explained(c).graphs, 1);
    assert_int_equal(explained(c).fallbacks, 5);
    sn_compiled_release(c);
}

static void the_first_call_can_be_eager(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.stance = SN_STANCE_EAGER_THEN_COMPILE});
    call_sizes(c, 3, 4, 4);
    assert_int_equal(explained(c).graphs, 0);
    call_sizes(c, 3, 4, 4);
    assert_int_equal(explained(c).graphs, 1);
    sn_compiled_release(c);
}

static void compiling_in_the_background_does_not_wait(void **state) {
    (void)state;
    sn_compiled *c = compile_with((sn_compile_options){.stance = SN_STANCE_ASYNC});
    call_sizes(c, 5, 4, 4);
    assert_int_equal(explained(c).fallbacks, 1);
    sn_compile_wait();
    assert_int_equal(explained(c).graphs, 1);
    call_sizes(c, 5, 4, 4);
    assert_int_equal(explained(c).fallbacks, 1);
    call_sizes(c, 5, 5, 5);
    sn_compile_wait();
    call_sizes(c, 5, 2, 12);
    assert_int_equal(explained(c).graphs, 2);
    assert_int_equal(explained(c).fallbacks, 2);
    sn_compiled_release(c);
}

/* The handle goes while its graph is being compiled. */
static void a_handle_may_be_released_while_it_is_compiled(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        sn_compiled *c = compile_with((sn_compile_options){.stance = SN_STANCE_ASYNC});
        call_sizes(c, 11 + i, 4, 4);
        sn_compiled_release(c);
    }
    sn_compile_wait();
}

/* ---- eager calls hand over what the function gives ------------------------------------------- */

static sn_tensor *global_kept;

static sn_status gives_all(sn_tensor *x, sn_tensor **same, sn_tensor **view, sn_tensor **made) {
    *same = x;
    *view = sn_transpose(x, 0, 1);
    *made = sn_neg(x);
    global_kept = sn_retain(*made);
    return sn_error_status();
}

static void eager_results_outlive_the_function(void **state) {
    (void)state;
    sn_compile_options options = {.stance = SN_STANCE_EAGER};
    sn_compiled *c = sn_compile(gives_all, "t:ttt", &options);
    sn_status (*fast)(sn_tensor *, sn_tensor **, sn_tensor **, sn_tensor **) = SN_FN(c, gives_all);
    sn_tensor *x = tensor_of(SN_F32, SN_I(1, 2), V(1, 2)), *same, *view, *made;
    assert_int_equal(fast(x, &same, &view, &made), SN_OK);
    EXPECT_VALUES(same, 1, 2);
    EXPECT_SHAPE(view, SN_F32, SN_I(2, 1));
    EXPECT_VALUES(made, -1, -2);
    sn_fill_(same, 7);
    EXPECT_VALUES(x, 7, 7); /* an argument that is returned is the same memory */
    EXPECT_VALUES(view, 7, 7);
    EXPECT_VALUES(global_kept, -1, -2);
    sn_release(global_kept);
    sn_compiled_release(c);
}

static sn_tensor *gives_nothing(sn_tensor *x) {
    return sn_matmul(x, x);
}

static void an_eager_calls_error_is_the_functions(void **state) {
    (void)state;
    sn_compile_options options = {.stance = SN_STANCE_EAGER};
    sn_compiled *c = sn_compile(gives_nothing, "t:t", &options);
    Unary *fast = SN_FN(c, gives_nothing);
    assert_null(fast(tensor_random(1, SN_F32, SN_I(2, 3))));
    EXPECT_ERROR(SN_ERROR_SHAPE, "matmul: inner sizes differ", "test_compile_policy.c:");
    sn_compiled_release(c);
}

/* ---- purity ---------------------------------------------------------------------------------- */

static double hidden; /* what the function below should not depend on */

static sn_tensor *depends(sn_tensor *x) {
    return sn_add(sn_exp(x), sn_c(hidden));
}

static void every_nth_call_checks_the_function(void **state) {
    (void)state;
    sn_compile_options options = {.check_every = 5};
    sn_compiled *c = sn_compile(depends, "t:t", &options);
    Unary *fast = SN_FN(c, depends);
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(0));
    hidden = 1;
    for (int i = 0; i < 3; i++) EXPECT_VALUES(fast(x), 2);
    hidden = 2; /* nobody looks at it before the next check */
    int stale = 0;
    for (int i = 0; i < 5; i++) {
        float value;
        assert_true(sn_read(fast(x), SN_F32, &value, sizeof value));
        stale += value == 2.0f;
    }
    assert_true(stale >= 1 && stale <= 4);
    EXPECT_VALUES(fast(x), 3);
    assert_true(explained(c).rerun);
    char *text = sn_explain_text(c);
    assert_non_null(strstr(text, "recorded other ops: const (tests/test_compile_policy.c:"));
    assert_non_null(strstr(text, "its value was 1.0, now 2.0"));
    sn_text_free(text);
    sn_compiled_release(c);
}

static int32_t counted_runs; /* of the function below */

static sn_tensor *counted(sn_tensor *x) {
    counted_runs++;
    return sn_neg(x);
}

/* The second call compares, and from it on every n-th. */
static void the_calls_from_check_to_check_are_n(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(0));
    for (int32_t n = 1; n < 6; n++) {
        sn_compiled *c = sn_compile(counted, "t:t", &(sn_compile_options){.check_every = n});
        Unary *fast = SN_FN(c, counted);
        counted_runs = 0;
        for (int32_t call = 1; call < 20; call++) {
            assert_non_null(fast(x));
            assert_int_equal(counted_runs, call == 1 ? 1 : 2 + (call - 2) / n);
        }
        sn_compiled_release(c);
    }
}

/* ---- what is printed ------------------------------------------------------------------------- */

static int32_t purity_lines;

static void hear(void *context, const char *topic, const char *text) {
    (void)context;
    const char *wanted = "depends is run on every call: a call with equal arguments recorded other";
    purity_lines += strcmp(topic, "purity") == 0 && strncmp(text, wanted, strlen(wanted)) == 0;
}

/* A program that does not keep the rules is told so without having asked. */
static void hidden_state_gives_one_line_by_default(void **state) {
    (void)state;
    if (getenv("SINTER_LOG")) skip();
    sn_compiled *c = sn_compile(depends, "t:t", NULL);
    Unary *fast = SN_FN(c, depends);
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(0));
    sn_set_log(hear, NULL);
    purity_lines = 0;
    for (int i = 0; i < 4; i++) {
        hidden = i;
        EXPECT_VALUES(fast(x), 1 + i);
    }
    sn_set_log(NULL, NULL);
    assert_int_equal(purity_lines, 1);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(static_shapes_are_compiled_one_by_one),
        API_TEST(dynamic_shapes_need_one_compile),
        API_TEST(a_declared_dim_varies_from_the_first_call_on),
        API_TEST(a_declared_dim_is_kept_to),
        API_TEST(declared_dims_of_one_name_are_one),
        API_TEST(a_dim_of_an_absent_argument_is_nobodys),
        API_TEST(a_dim_of_a_tensor_that_no_call_has_is_refused),
        API_TEST(a_write_may_have_dims_of_other_names),
        API_TEST(at_the_limit_the_oldest_graph_goes),
        API_TEST(at_the_limit_static_shapes_may_become_general),
        API_TEST(at_the_limit_it_may_run_eagerly),
        API_TEST(at_the_limit_it_may_be_an_error),
        API_TEST(the_eager_stance_runs_the_function),
        API_TEST(a_threads_stance_is_over_the_handles),
        API_TEST(a_recompile_can_be_refused),
        API_TEST(a_recompile_can_be_left_out),
        API_TEST(the_first_call_can_be_eager),
        API_TEST(compiling_in_the_background_does_not_wait),
        API_TEST(a_handle_may_be_released_while_it_is_compiled),
        API_TEST(eager_results_outlive_the_function),
        API_TEST(an_eager_calls_error_is_the_functions),
        API_TEST(every_nth_call_checks_the_function),
        API_TEST(the_calls_from_check_to_check_are_n),
        API_TEST(hidden_state_gives_one_line_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
