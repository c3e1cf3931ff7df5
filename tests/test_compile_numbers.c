/* Numbers of the call (`l~`): a function that only hands them to ops is not run again for new ones. */
#include "tests/api_case.h"

#include "frontend/compiled/handle.h"

#include <math.h>

enum { LEARNED = 3 }; /* calls by which it is seen what follows a number */

/* What happened since `before`. */
typedef struct Since {
    int64_t hits, traces, compiles; /* guard hits, runs of the function, compilations */
} Since;

static Since since(const sn_counters *before) {
    sn_counters now = counters_now();
    return (Since){now.guard_hits - before->guard_hits, now.traces - before->traces,
                   now.recompiles - before->recompiles};
}

/* ---- positions ------------------------------------------------------------------------------- */

/* n + times × x, however large. */
static int64_t on_line(int64_t times, int64_t x, int64_t n) {
    return (int64_t)((uint64_t)times * (uint64_t)x + (uint64_t)n);
}

/* A step of a decoder: writes a row of the cache, reads another, and scales by the position. */
static sn_tensor *step(sn_tensor *cache, sn_tensor *x, int64_t position) {
    sn_copy_(sn_narrow(cache, 0, position, 1), x);
    sn_tensor *before = sn_select(cache, 0, on_line(1, position, 1));
    return sn_mul(sn_add(before, x), sn_ci(on_line(2, position, 1)));
}
typedef sn_tensor *StepFn(sn_tensor *, sn_tensor *, int64_t);

static void a_position_is_a_number_of_the_call(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(step, "ttl~:t", NULL);
    EXPECT_OK();
    StepFn *fast = SN_FN(c, step);
    sn_tensor *cache = tensor_random(1, SN_F32, SN_I(32, 5)), *same = sn_clone(cache);
    sn_tensor *x = tensor_random(2, SN_F32, SN_I(1, 5));
    sn_counters before = counters_now();
    for (int64_t i = 0; i < 31; i++) EXPECT_SAME(fast(cache, x, i), step(same, x, i));
    Since s = since(&before);
    assert_int_equal(s.traces, LEARNED);
    assert_int_equal(s.hits, 31 - LEARNED);
    assert_true(s.compiles <= 1);
    EXPECT_SAME(cache, same);
    for (int64_t i = 30; i >= LEARNED; i -= 3) EXPECT_SAME(fast(cache, x, i), step(same, x, i));
    assert_int_equal(since(&before).traces, LEARNED);
    char *text = sn_explain_text(c);
    assert_non_null(strstr(text, "without a trace: argument 3 any"));
    sn_text_free(text);
    sn_compiled_release(c);
}

static void a_position_that_eager_refuses_is_refused_alike(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(step, "ttl~:t", NULL);
    StepFn *fast = SN_FN(c, step);
    sn_tensor *cache = tensor_random(1, SN_F32, SN_I(8, 5)), *same = sn_clone(cache);
    sn_tensor *x = tensor_random(2, SN_F32, SN_I(1, 5));
    for (int64_t i = 0; i < 5; i++) EXPECT_SAME(fast(cache, x, i), step(same, x, i));
    const int64_t wrong[] = {8, 7, 100, -9, INT64_MAX, INT64_MIN, INT64_MAX / 4, INT64_MIN / 2};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sn_error eager, compiled;
        sn_tensor *row = sn_clone(cache);
        assert_null(step(row, x, wrong[i]));
        sn_error_take(&eager);
        assert_null(fast(cache, x, wrong[i]));
        sn_error_take(&compiled);
        assert_int_equal(eager.status, compiled.status);
        assert_string_equal(eager.text, compiled.text);
    }
    EXPECT_SAME(fast(cache, x, -3), step(same, x, -3)); /* from the end: traced, and right */
    EXPECT_SAME(cache, same);
    sn_compiled_release(c);
}

/* The result begins where the position says, and shares its memory. */
static sn_tensor *row_of(sn_tensor *x, int32_t i) {
    return sn_select(x, 0, i);
}

static void a_result_that_is_a_view_moves(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(row_of, "ti~:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, int32_t) = SN_FN(c, row_of);
    sn_tensor *x = tensor_random(3, SN_F64, SN_I(20, 3));
    for (int32_t i = 0; i < 20; i++) {
        sn_tensor *row = fast(x, i);
        EXPECT_SAME(row, row_of(x, i));
        sn_fill_(row, i);
        EXPECT_SAME(row_of(x, i), row);
    }
    sn_compiled_release(c);
}

/* ---- scalars --------------------------------------------------------------------------------- */

static sn_tensor *blend(sn_tensor *x, sn_tensor *y, float rate, double scale, int32_t shift) {
    sn_tensor *z = sn_add(sn_mul(x, sn_c((double)rate)), sn_mul(y, sn_c(-scale)));
    return sn_add(sn_addcmul(z, x, y, scale), sn_c((double)(10 - 3 * (int64_t)shift)));
}
typedef sn_tensor *Blend(sn_tensor *, sn_tensor *, float, double, int32_t);

static void scalars_are_numbers_of_the_call(void **state) {
    (void)state;
    static const double special[] = {0.0, -0.0, 1e300, -1e-320, 3, INFINITY, NAN, 0.1};
    sn_compiled *c = sn_compile(blend, "ttf~d~i~:t", NULL);
    Blend *fast = SN_FN(c, blend);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(37)), *y = tensor_random(2, SN_F32, SN_I(37));
    for (int i = 0; i < 4; i++)
        EXPECT_SAME(fast(x, y, (float)i * 0.1f, 0.3 / (i + 1), i * i),
                    blend(x, y, (float)i * 0.1f, 0.3 / (i + 1), i * i));
    sn_counters before = counters_now();
    for (int i = 0; i < 8; i++) {
        double v = special[i];
        EXPECT_SAME(fast(x, y, (float)v, 2, i), blend(x, y, (float)v, 2, i));
        EXPECT_SAME(fast(x, y, 0.7f, v, INT32_MIN + i), blend(x, y, 0.7f, v, INT32_MIN + i));
    }
    assert_int_equal(since(&before).traces, 0);
    sn_compiled_release(c);
}

/* Numbers that did not move by themselves are guarded: they may have been anything to the function. */
static sn_tensor *two(sn_tensor *x, int64_t a, int64_t b) {
    return sn_add(sn_mul(x, sn_ci(a)), sn_ci(b));
}

static void numbers_that_went_along_are_guarded(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(two, "tl~l~:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, int64_t, int64_t) = SN_FN(c, two);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(7));
    for (int64_t i = 0; i < 6; i++) EXPECT_SAME(fast(x, i, i + 5), two(x, i, i + 5));
    sn_counters before = counters_now();
    EXPECT_SAME(fast(x, 20, 25), two(x, 20, 25));
    assert_int_equal(since(&before).traces, 0);
    EXPECT_SAME(fast(x, 20, 3), two(x, 20, 3));
    assert_int_equal(since(&before).traces, 1);
    EXPECT_SAME(fast(x, 21, 9), two(x, 21, 9)); /* each by itself from here on */
    EXPECT_SAME(fast(x, 5, 100), two(x, 5, 100));
    sn_compiled_release(c);
}

/* ---- lengths --------------------------------------------------------------------------------- */

/* Attention over what was written so far. */
static sn_tensor *attend(sn_tensor *keys, sn_tensor *values, sn_tensor *x, int64_t position) {
    sn_copy_(sn_narrow(keys, 0, position, 1), sn_sin(x));
    sn_copy_(sn_narrow(values, 0, position, 1), sn_cos(x));
    sn_tensor *k = sn_narrow(keys, 0, 0, position + 1), *v = sn_narrow(values, 0, 0, position + 1);
    sn_tensor *scores = sn_matmul(x, sn_transpose(k, 0, 1));
    return sn_matmul(sn_softmax(sn_reshape(scores, SN_I(1, -1)), -1), v);
}

static void a_slice_may_grow_by_a_number(void **state) {
    (void)state;
    enum { TOKENS = 40 };
    sn_compiled *c = sn_compile(attend, "tttl~:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *, int64_t) = SN_FN(c, attend);
    sn_tensor *k[2], *v[2];
    for (int i = 0; i < 2; i++) {
        k[i] = sn_zeros(SN_I(TOKENS, 6), SN_F64);
        v[i] = sn_zeros(SN_I(TOKENS, 6), SN_F64);
    }
    sn_counters before = counters_now();
    for (int64_t i = 0; i < TOKENS; i++) {
        sn_tensor *x = tensor_random((uint32_t)i, SN_F64, SN_I(1, 6));
        EXPECT_SAME(fast(k[0], v[0], x, i), attend(k[1], v[1], x, i));
    }
    EXPECT_SAME(k[0], k[1]);
    EXPECT_SAME(v[0], v[1]);
    Since s = since(&before);
    assert_true(s.traces <= LEARNED + 1);
    assert_int_equal(s.hits + s.traces, TOKENS);
    sn_compiled_release(c);
}

static sn_tensor *part_of(sn_tensor *x, int64_t n) {
    return sn_narrow(x, 1, 1, n);
}
static sn_tensor *dense_part_of(sn_tensor *x, int64_t n) {
    return sn_exp(sn_narrow(x, 1, 0, n));
}
static sn_tensor *clamped_part_of(sn_tensor *x, int64_t n) {
    return sn_mul(sn_index(x, SN_IX(SN_ALL, SN_RANGE(n, n + 4))), sn_ci(3));
}
static sn_tensor *rest_of(sn_tensor *x, int64_t n) {
    return sn_sum(sn_index(x, SN_IX(SN_ALL, SN_RANGE(n, SN_END))), SN_I(1), false);
}
static sn_tensor *plane_of(sn_tensor *x, int64_t n) {
    sn_tensor *deep = sn_reshape(x, SN_I(1, 3, 16));
    return sn_index(deep, SN_IX(SN_AT(0), SN_ALL, SN_RANGE(0, n + 1)));
}
static sn_tensor *pairs_of(sn_tensor *x, int64_t n) {
    return sn_reshape(sn_index(x, SN_IX(SN_ALL, SN_RANGE(n, n + 4))), SN_I(3, 2, 2));
}
/* A view of x where it is all of a row, else a copy: it is written. */
static sn_tensor *flat_part_of(sn_tensor *x, int64_t n) {
    sn_tensor *flat = sn_reshape(sn_narrow(x, 1, 0, n), SN_I(-1));
    sn_add_(flat, sn_ci(1));
    return flat;
}

static void a_result_may_grow_by_a_number(void **state) {
    (void)state;
    sn_tensor *(*const functions[])(sn_tensor *, int64_t) = {
        part_of, dense_part_of, clamped_part_of, rest_of, plane_of, pairs_of, flat_part_of};
    static const int64_t numbers[] = {2, 3, 5, 6, 9, 12, 15, 16, 17, 1, 0, -1, -20, 4, 15, 100};
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        sn_compiled *c = sn_compile(functions[f], "tl~:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, int64_t) = SN_FN(c, functions[f]);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 16)), *same = sn_clone(x);
            sn_error eager, compiled;
            sn_tensor *want = functions[f](same, numbers[i]);
            sn_error_take(&eager);
            sn_tensor *got = fast(x, numbers[i]);
            sn_error_take(&compiled);
            assert_int_equal(eager.status, compiled.status);
            assert_string_equal(eager.text, compiled.text);
            if (want) EXPECT_SAME(got, want);
            EXPECT_SAME(x, same);
            for (int32_t d = 0; want && d < sn_rank(want); d++)
                assert_int_equal(sn_stride(got, d), sn_stride(want, d));
        }
        sn_compiled_release(c);
    }
}

/* ---- indices --------------------------------------------------------------------------------- */

static sn_tensor *at_and_all(sn_tensor *x, int64_t n) {
    return sn_index(x, SN_IX(SN_AT(1), SN_ALL, SN_AT(n)));
}
static sn_tensor *at_and_first(sn_tensor *x, int64_t n) {
    return sn_index(x, SN_IX(SN_AT(1), SN_ALL, SN_RANGE(0, n + 1)));
}
static sn_tensor *at_and_last(sn_tensor *x, int64_t n) {
    return sn_index(x, SN_IX(SN_AT(1), SN_ALL, SN_RANGE(-n - 2, SN_END)));
}
static sn_tensor *at_and_window(sn_tensor *x, int64_t n) {
    return sn_index(x, SN_IX(SN_AT(-1), SN_ALL, SN_STEP(n, n + 6, 2), SN_NEW));
}
static sn_tensor *new_and_first(sn_tensor *x, int64_t n) {
    return sn_index(x, SN_IX(SN_NEW, SN_ALL, SN_RANGE(1, 3), SN_RANGE(0, n + 2), SN_AT(3)));
}
static sn_tensor *heads_of_first(sn_tensor *x, int64_t n) {
    sn_tensor *part = sn_index(x, SN_IX(SN_AT(1), SN_ALL, SN_RANGE(0, n + 2)));
    return sn_reshape(part, SN_I(4, n + 2, 2, 3));
}
static sn_tensor *selects_and_first(sn_tensor *x, int64_t n) {
    return sn_squeeze(sn_narrow(sn_narrow(x, 0, 1, 1), 2, 0, n + 2), SN_I(0));
}

static void every_item_of_an_index_follows(void **state) {
    (void)state;
    enum { CALLS = 20 };
    sn_tensor *(*const functions[])(sn_tensor *, int64_t) = {
        at_and_all,    at_and_first,   at_and_last,      at_and_window,
        new_and_first, heads_of_first, selects_and_first};
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(2, 4, 32, 6));
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        sn_compiled *c = sn_compile(functions[f], "tl~:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, int64_t) = SN_FN(c, functions[f]);
        sn_counters before = counters_now();
        for (int64_t n = 0; n < CALLS; n++) EXPECT_SAME(fast(x, n), functions[f](x, n));
        if (since(&before).traces > LEARNED + 1)
            fail_msg("function %zu: %d traces", f, (int)since(&before).traces);
        sn_compiled_release(c);
    }
}

/* ---- what does not follow -------------------------------------------------------------------- */

/* No line: traced each time, and right. */
static sn_tensor *squared(sn_tensor *x, int64_t n) {
    return sn_mul(x, sn_ci(n * n));
}
/* A size. */
static sn_tensor *first_of(sn_tensor *x, int64_t n) {
    return sn_sum(sn_narrow(x, 0, 0, n), NULL, 0, false);
}
static sn_tensor *first_of_square(sn_tensor *x, int64_t n) {
    return sn_exp(sn_narrow(x, 1, 0, n * n));
}
/* A number in a dtype that cannot hold all of them. */
static sn_tensor *narrow_type(sn_tensor *x, int64_t n) {
    return sn_bitwise_and(x, sn_ci(n));
}

/* Other ops for other values, though it says that it does not. */
static sn_tensor *over_and_over(sn_tensor *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x = sn_sin(x);
    return x;
}

static void explains(sn_compiled *c, const char *line) {
    char *text = sn_explain_text(c);
    assert_non_null(text);
    if (!strstr(text, line)) fail_msg("no \"%s\" in\n%s", line, text);
    sn_text_free(text);
}

static void what_was_seen_not_to_follow_is_named(void **state) {
    (void)state;
    static const struct {
        sn_tensor *(*function)(sn_tensor *, int64_t);
        const char *line; /* of what explain says */
    } cases[] = {
        {squared, "  traced: argument 2: not followed by const (tests/test_compile_numbers.c:"},
        {first_of_square,
         "  traced: argument 2: not followed by narrow (tests/test_compile_numbers.c:"},
        {flat_part_of,
         "  traced: argument 2: not followed by narrow (tests/test_compile_numbers.c:"},
        {over_and_over,
         "  traced: argument 2: not followed by one graph for three of its values\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_compiled *c = sn_compile(cases[i].function, "tl~:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, int64_t) = SN_FN(c, cases[i].function);
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40));
        for (int64_t n = 2; n < 7; n++) assert_non_null(fast(x, n));
        explains(c, cases[i].line);
        sn_compiled_release(c);
    }
}

static void what_does_not_follow_is_traced(void **state) {
    (void)state;
    sn_tensor *(*const functions[])(sn_tensor *, int64_t) = {squared, first_of, narrow_type};
    for (int f = 0; f < 3; f++) {
        sn_compiled *c = sn_compile(functions[f], "tl~:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, int64_t) = SN_FN(c, functions[f]);
        sn_tensor *x = tensor_random(1, f == 2 ? SN_I8 : SN_F32, SN_I(2000));
        for (int64_t n = 0; n < 300; n += n < 100 ? 1 : 17)
            EXPECT_SAME(fast(x, n), functions[f](x, n));
        if (f == 0) assert_true(c->moving.attempts <= 32); /* it is given up */
        sn_compiled_release(c);
    }
}

/* ---- how it is said, and checked ------------------------------------------------------------- */

static void only_numbers_can_be_marked(void **state) {
    (void)state;
    static const char *const wrong[] = {"t~:t", "tb~:t", "tr~:t", "tl~~:t", "t*~:t", "t:t~"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_null(sn_compile_at((sn_function)squared, "squared", wrong[i], NULL, "f.c", 1));
        EXPECT_ERROR(SN_ERROR_SIGNATURE, "at character");
    }
}

static int64_t limit;

/* Breaks its word: it decides by the number. */
static sn_tensor *decides(sn_tensor *x, int64_t n) {
    return n < limit ? sn_mul(x, sn_ci(n)) : sn_exp(x);
}

static void a_function_that_decides_by_a_number_is_found_where_it_is_checked(void **state) {
    (void)state;
    limit = 50;
    sn_compile_options options = {.check_every = 10};
    sn_compiled *c = sn_compile(decides, "tl~:t", &options);
    sn_tensor *(*fast)(sn_tensor *, int64_t) = SN_FN(c, decides);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(9));
    for (int64_t n = 0; n < 80; n++) assert_non_null(fast(x, n));
    EXPECT_SAME(fast(x, 80), decides(x, 80)); /* run on every call by now */
    char *text = sn_explain_text(c);
    assert_non_null(strstr(text, "run on every call"));
    sn_text_free(text);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_position_is_a_number_of_the_call),
        API_TEST(a_position_that_eager_refuses_is_refused_alike),
        API_TEST(a_result_that_is_a_view_moves),
        API_TEST(scalars_are_numbers_of_the_call),
        API_TEST(numbers_that_went_along_are_guarded),
        API_TEST(a_slice_may_grow_by_a_number),
        API_TEST(a_result_may_grow_by_a_number),
        API_TEST(every_item_of_an_index_follows),
        API_TEST(what_does_not_follow_is_traced),
        API_TEST(what_was_seen_not_to_follow_is_named),
        API_TEST(only_numbers_can_be_marked),
        API_TEST(a_function_that_decides_by_a_number_is_found_where_it_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
