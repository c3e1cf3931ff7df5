/* Long functions: chains of 10 to 10,000 ops give the bits of eager, split into kernels of bounded size,
 * of which equal ones compile once; and what the passes cost grows with the number of ops, not faster. */
#include "api_case.h"

#include <time.h>

/* Ops of the chain; a function may depend on memory that it declares. */
static int32_t length;
static bool turns; /* transposes now and then, so that not everything fuses */

static sn_tensor *chain(sn_tensor *x, sn_tensor *y) {
    for (int32_t i = 0; i < length; i++) {
        sn_tensor *next;
        if (turns && i % 16 == 15)
            next = sn_transpose(sn_sub(x, sn_mean(x, SN_I(-1), true)), 0, 1);
        else if (i % 4 == 0)
            next = sn_add(x, y);
        else if (i % 4 == 1)
            next = sn_mul(x, sn_c(0.5));
        else
            next = i % 4 == 2 ? sn_sub(x, y) : sn_maximum(x, sn_neg(y));
        x = next;
    }
    return x;
}

static sn_tensor *input(uint32_t seed) {
    return tensor_random(seed, SN_F32, SN_I(8, 8));
}

static sn_compiled *compile_chain(int32_t ops) {
    length = ops;
    const sn_watch watch[] = {{&length, sizeof length}, {&turns, sizeof turns}};
    sn_compiled *compiled =
        sn_compile(chain, "tt:t", &(sn_compile_options){.watch = watch, .n_watch = 2});
    assert_non_null(compiled);
    return compiled;
}

static void expect_chain(int32_t ops, int32_t least_kernels, int32_t most_compiles) {
    sn_explanation explanation = {.size = sizeof explanation};
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = input(1), *y = input(2);
    sn_compiled *compiled = compile_chain(ops);
    int64_t before = counters_now().compiles;
    sn_tensor *got = SN_FN(compiled, chain)(x, y);
    assert_in_range(counters_now().compiles - before, 0, most_compiles);
    EXPECT_SAME(got, chain(x, y));
    assert_int_equal(sn_explain(compiled, &explanation), SN_OK);
    assert_int_equal(explanation.fallbacks, 0);
    assert_in_range(explanation.kernels, least_kernels, 2 * least_kernels);
    sn_compiled_release(compiled);
    sn_scope_end(scope, NULL);
}

/* A kernel holds at most 128 ops. */
static void chains_of_any_length_are_right_and_equal_kernels_compile_once(void **state) {
    (void)state;
    turns = false;
    expect_chain(10, 1, 1);
    expect_chain(100, 1, 2);
    expect_chain(1000, 1000 / 128, 6);
    expect_chain(5000, 5000 / 128, 6);
}

static void chains_that_do_not_fuse_are_right_too(void **state) {
    (void)state;
    turns = true;
    expect_chain(100, 100 / 16, 16);
    expect_chain(1000, 1000 / 16, 16);
    expect_chain(5000, 5000 / 16, 16);
}

static int64_t lookups(void) {
    sn_counters now = counters_now();
    return now.compiles + now.cache_memory_hits + now.cache_pack_hits + now.cache_disk_hits;
}

static void a_kernel_that_repeats_is_kept_and_looked_for_once(void **state) {
    (void)state;
    turns = false;
    sn_compiled *compiled = compile_chain(5000);
    int64_t before = lookups();
    assert_non_null(SN_FN(compiled, chain)(input(1), input(2)));
    assert_in_range(lookups() - before, 1, 6);
    sn_compiled_release(compiled);
}

/* Processor time of trace, passes and lookup of a chain whose kernels are in memory; the least of
 * `rounds`. */
static double seconds_of(int32_t ops, int32_t rounds) {
    double least = 1e9;
    for (int i = 0; i <= rounds; i++) { /* the first fills the memory */
        struct timespec begin, end;
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = input(1), *y = input(2);
        sn_compiled *compiled = compile_chain(ops);
        sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(compiled, chain);
        int64_t compiles = counters_now().compiles;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        assert_non_null(fast(x, y));
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double seconds =
            (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
        assert_true(i == 0 || counters_now().compiles == compiles);
        if (i && seconds < least) least = seconds;
        sn_compiled_release(compiled);
        sn_scope_end(scope, NULL);
    }
    return least;
}

/* Ten times the ops may cost ten times as much, and room for caches and for a busy machine; a pass that
 * looks at all pairs would cost a hundred times as much. */
static void time_grows_with_the_number_of_ops(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        turns = i == 1;
        double few = seconds_of(1000, 3), many = seconds_of(10000, 3);
        print_message("%s: %.1f us an op of 1000, %.1f of 10000\n", turns ? "turning" : "straight",
                      few * 1e3, many * 1e2);
        assert_true(many < 25 * few);
    }
}

/* So do thousands of kernels, each of which needs others before it. */
static void time_grows_with_the_number_of_kernels(void **state) {
    (void)state;
    turns = true;
    double few = seconds_of(16000, 2), many = seconds_of(64000, 2);
    print_message("%.1f us an op of 16,000, %.1f of 64,000\n", few * 1e6 / 16000,
                  many * 1e6 / 64000);
    assert_true(many < 6 * few);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(chains_of_any_length_are_right_and_equal_kernels_compile_once),
        API_TEST(chains_that_do_not_fuse_are_right_too),
        API_TEST(a_kernel_that_repeats_is_kept_and_looked_for_once),
        API_TEST(time_grows_with_the_number_of_ops),
        API_TEST(time_grows_with_the_number_of_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
