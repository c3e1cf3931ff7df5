/* Arguments of compiled functions, many and shared: one handle passed twice, memory that overlaps in every
 * way, as many as a call may have. */
#include "tests/api_case.h"

typedef sn_tensor *Binary(sn_tensor *x, sn_tensor *y);

/* ---- handles --------------------------------------------------------------------------------- */

static sn_tensor *compares(sn_tensor *x, sn_tensor *y) {
    return x == y ? sn_mul(x, sn_c(100)) : sn_add(x, y);
}

static void one_handle_is_one_stand_in(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(compares, "tt:t", NULL);
    Binary *fast = (Binary *)SN_FN(c, compares);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(5)), *view = sn_narrow(x, 0, 0, 5);
    for (int i = 0; i < 4; i++) {
        EXPECT_SAME(fast(x, x), compares(x, x));
        EXPECT_SAME(fast(x, view), compares(x, view)); /* the same memory, another handle */
        EXPECT_SAME(fast(view, view), compares(view, view));
    }
    sn_compiled_release(c);
}

/* Which pairs of an array are one handle, as a number. */
static sn_tensor *pattern(sn_tensor *const *xs, int32_t n) {
    double equal = 0;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++) equal += xs[i] == xs[j] ? i * n + j : 0;
    return sn_add(xs[n - 1], sn_c(equal));
}
typedef sn_tensor *Pattern(sn_tensor *const *xs, int32_t n);

static void any_pattern_of_handles_is_seen(void **state) {
    (void)state;
    enum { KINDS = 6 };
    sn_compiled *c = sn_compile(pattern, "t*:t", NULL);
    Pattern *fast = (Pattern *)SN_FN(c, pattern);
    sn_tensor *memory = tensor_random(1, SN_F32, SN_I(6)), *xs[40];
    sn_tensor *kinds[KINDS] = {sn_narrow(memory, 0, 0, 2),
                               sn_narrow(memory, 0, 0, 2),
                               sn_narrow(memory, 0, 2, 2),
                               tensor_random(2, SN_F32, SN_I(2)),
                               sn_c(3),
                               sn_c(3)};
    uint32_t seed = 1;
    for (int32_t n = 1; n <= 40; n += 1 + n / 4)
        for (int i = 0; i < 20; i++) {
            for (int32_t k = 0; k < n; k++)
                xs[k] = kinds[(seed = seed * 1664525u + 1013904223u) >> 8 & 7 ? (seed >> 12) % KINDS
                                                                              : 3];
            EXPECT_SAME(fast(xs, n), pattern(xs, n));
        }
    sn_compiled_release(c);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Writes some, reads all. */
static sn_status mix(sn_tensor *const *xs, int32_t n) {
    for (int32_t i = 0; i < n; i += 3) sn_mul_(xs[i], sn_ci(3));
    for (int32_t i = 1; i < n; i += 3) sn_add_(xs[i], sn_sum(xs[i - 1], NULL, 0, false));
    return sn_error_status();
}
typedef sn_status Mix(sn_tensor *const *xs, int32_t n);

enum { CELLS = 60 };

/* Pieces of the memory, by the seed: some overlap, some are the same, some run backwards. */
static void cut(sn_tensor *memory, uint32_t seed, int32_t n, bool loose, sn_tensor **xs) {
    for (int32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        int64_t length = 1 + (seed >> 10) % 3, at = (seed >> 16) % (CELLS - 3);
        if (!loose) at = (int64_t)((uint32_t)(7 * i) % (CELLS / 3)) * 3; /* apart, or the same */
        xs[i] = sn_narrow(memory, 0, at, loose ? length : 3);
        if (seed >> 28 & 1) xs[i] = sn_flip(xs[i], SN_I(0));
    }
}

static void memory_that_overlaps_is_written_as_in_eager(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(mix, "t*:", NULL);
    Mix *fast = (Mix *)SN_FN(c, mix);
    sn_tensor *own[24], *same[24];
    for (uint32_t seed = 0; seed < 60; seed++) {
        int32_t n = 2 + (int32_t)(seed % 22);
        sn_scope scope = sn_scope_begin();
        sn_tensor *a = tensor_random(seed, SN_I64, SN_I(CELLS)), *b = sn_clone(a);
        for (int i = 0; i < 3; i++) {
            cut(a, seed + (i == 2), n, seed & 1, own);
            cut(b, seed + (i == 2), n, seed & 1, same);
            assert_int_equal(fast(own, n), SN_OK);
            assert_int_equal(mix(same, n), SN_OK);
            EXPECT_SAME(a, b);
        }
        sn_scope_end(scope, NULL);
    }
    sn_compiled_release(c);
}

/* Arguments of equal types, apart at first, then not: the key is the same. */
static void an_entry_does_not_serve_memory_that_overlaps(void **state) {
    (void)state;
    enum { MANY = 20 };
    sn_compiled *c = sn_compile(mix, "t*:", NULL);
    Mix *fast = (Mix *)SN_FN(c, mix);
    sn_tensor *xs[MANY], *ys[MANY], *a = tensor_random(1, SN_I64, SN_I(8 * MANY)), *b = sn_clone(a);
    for (int step = 4; step >= 1; step--)
        for (int run = 0; run < 3; run++) {
            for (int i = 0; i < MANY; i++) {
                int64_t at = (int64_t)((i * 7) % MANY) * step;
                xs[i] = sn_narrow(a, 0, at, 3);
                ys[i] = sn_narrow(b, 0, at, 3);
            }
            sn_counters before = counters_now();
            fast(xs, MANY);
            mix(ys, MANY);
            EXPECT_SAME(a, b);
            if (run == 2) {
                bool hit = counters_now().guard_hits > before.guard_hits;
                assert_int_equal(hit, step >= 3);
            }
        }
    sn_compiled_release(c);
}

/* ---- many ------------------------------------------------------------------------------------ */

static sn_tensor *last_of(sn_tensor *const *xs, int32_t n) {
    return sn_add(xs[n - 1], xs[0]);
}

static void a_call_takes_65536_tensors(void **state) {
    (void)state;
    enum { MOST = 65536 };
    static sn_tensor *xs[MOST + 1];
    sn_compiled *c = sn_compile(last_of, "t*:t", NULL);
    Pattern *fast = (Pattern *)SN_FN(c, last_of);
    for (int32_t i = 0; i <= MOST; i++) xs[i] = sn_full(SN_I(1), i, SN_F64);
    const int32_t counts[] = {1, 16, 17, 255, 256, 257, 1000, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int run = 0; run < 3; run++) EXPECT_VALUES(fast(xs, counts[i]), counts[i] - 1);
    assert_null(fast(xs, MOST + 1));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "more than 65536 tensors");
    sn_compiled_release(c);
}

static sn_compiled *inner;

/* A compiled function inside another takes as many. */
static sn_tensor *outer(sn_tensor *const *xs, int32_t n) {
    Pattern *fast = (Pattern *)sn_compiled_fn(inner);
    return sn_neg(fast(xs, n));
}

static void an_inlined_call_takes_many(void **state) {
    (void)state;
    static sn_tensor *xs[1000];
    inner = sn_compile(last_of, "t*:t", NULL);
    sn_compiled *c = sn_compile(outer, "t*:t", NULL);
    Pattern *fast = (Pattern *)SN_FN(c, outer);
    for (int32_t i = 0; i < 1000; i++) xs[i] = sn_full(SN_I(1), i, SN_F64);
    for (int run = 0; run < 3; run++) EXPECT_VALUES(fast(xs, 1000), -999);
    sn_compiled_release(c);
    sn_compiled_release(inner);
}

static jmp_buf back;

static sn_tensor *jumps(sn_tensor *const *xs, int32_t n) {
    if (n == 500) longjmp(back, 1);
    return sn_neg(xs[0]);
}

/* The arrays of the call are not lost: the fixture counts memory, and sanitizers leaks. */
static void a_jump_out_of_a_call_with_many_loses_nothing(void **state) {
    (void)state;
    static sn_tensor *xs[500];
    sn_compiled *c = sn_compile(jumps, "t*:t", NULL);
    Pattern *fast = (Pattern *)SN_FN(c, jumps);
    for (int32_t i = 0; i < 500; i++) xs[i] = sn_full(SN_I(1), i, SN_F64);
    sn_mark_t mark = sn_mark();
    if (setjmp(back) == 0) {
        fast(xs, 500);
        fail_msg("did not jump");
    }
    sn_unwind(mark);
    EXPECT_VALUES(fast(xs, 1), -0.0);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(one_handle_is_one_stand_in),
        API_TEST(any_pattern_of_handles_is_seen),
        API_TEST(memory_that_overlaps_is_written_as_in_eager),
        API_TEST(an_entry_does_not_serve_memory_that_overlaps),
        API_TEST(a_call_takes_65536_tensors),
        API_TEST(an_inlined_call_takes_many),
        API_TEST(a_jump_out_of_a_call_with_many_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
