/* The floating point mode of a program: flushing of subnormals, another rounding, traps. Results do not
 * depend on it, whether kernels run on the caller's thread or on workers, and constants that are folded
 * while a function is traced do not either; the program finds its mode unchanged. */
#include "api_case.h"

/* Of MXCSR. */
enum {
    STATUS = 0x3f,       /* what happened since it was cleared */
    FLUSH = 0x8040,      /* subnormal results and operands are 0 */
    ROUND_UP = 0x4000,   /* instead of to nearest */
    TRAP_INVALID = 0x80, /* masked where set */
    TRAP_ZERO = 0x200    /* division by zero, alike */
};

enum { ROWS_FOR_ALL = 512, THREADS = 4 }; /* many enough for all threads */

static uint32_t enter(uint32_t set, uint32_t clear) {
    uint32_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr((before | set) & ~clear);
    return before;
}

/* Fails unless the mode is still what `enter` made of `before`. */
static void leave(uint32_t before, uint32_t set, uint32_t clear) {
    uint32_t now = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    assert_int_equal(now & ~(uint32_t)STATUS, ((before | set) & ~clear) & ~(uint32_t)STATUS);
}

typedef sn_tensor *Unary(sn_tensor *x);

/* Subnormals in and out, roundings of every operation, a sum of all lanes. */
static sn_tensor *mixed(sn_tensor *x) {
    sn_tensor *tiny = sn_mul(x, sn_c(0x1p-130)), *third = sn_div(tiny, sn_c(3));
    sn_tensor *root = sn_sqrt(sn_add(sn_mul(x, x), sn_c(0.1)));
    return sn_add(sn_mul(third, sn_c(0x1p120)), sn_sum(root, SN_I(-1), true));
}

/* Products and quotients of constants, one of them subnormal. */
static sn_tensor *of_constants(sn_tensor *x) {
    sn_tensor *tiny = sn_mul(sn_full(SN_I(1), 0x1p-100, SN_F32), sn_c(0x1.8p-40));
    sn_tensor *third = sn_div(sn_full(SN_I(1), 1, SN_F32), sn_c(3));
    return sn_add(sn_mul(x, third), sn_mul(tiny, sn_c(0x1p127)));
}

/* The mode comes first, so that what is compiled, the constants that are folded and the threads that
 * are started are of it. */
static void expect_own_mode(Unary *function, int64_t rows, uint32_t set, uint32_t clear) {
    sn_tensor *x = tensor_random(7, SN_F32, SN_I(rows, 512));
    sn_compiled *compiled = sn_compile(function, "t:t", NULL);
    uint32_t before = enter(set, clear);
    sn_tensor *eager = function(x), *traced = SN_FN(compiled, function)(x);
    sn_tensor *again = SN_FN(compiled, function)(x);
    leave(before, set, clear);
    EXPECT_OK();
    sn_compiled_release(compiled);
    sn_tensor *want = function(x);
    EXPECT_SAME(eager, want);
    EXPECT_SAME(traced, want);
    EXPECT_SAME(again, want);
}

static void subnormals_are_kept(void **state) {
    (void)state;
    expect_own_mode(mixed, 3, FLUSH, 0);
    expect_own_mode(of_constants, 3, FLUSH, 0);
}

static void results_are_rounded_to_nearest(void **state) {
    (void)state;
    expect_own_mode(mixed, 3, ROUND_UP, 0);
    expect_own_mode(of_constants, 3, ROUND_UP, 0);
}

static sn_tensor *with_infinities(sn_tensor *x) {
    sn_tensor *none = sn_mul(x, sn_c(0));
    return sn_add(sn_div(none, none), sn_div(sn_c(1), none));
}

static void nothing_traps(void **state) {
    (void)state;
    expect_own_mode(with_infinities, 3, 0, TRAP_INVALID | TRAP_ZERO);
}

/* Workers are started by the first of these runs, and inherit the mode of that time. */
static void workers_keep_to_it_too(void **state) {
    (void)state;
    sn_set_threads(THREADS);
    expect_own_mode(mixed, ROWS_FOR_ALL, FLUSH | ROUND_UP, 0);
    expect_own_mode(mixed, ROWS_FOR_ALL, 0, TRAP_INVALID | TRAP_ZERO);
    sn_set_threads(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(workers_keep_to_it_too),
        API_TEST(subnormals_are_kept),
        API_TEST(results_are_rounded_to_nearest),
        API_TEST(nothing_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
