/* 32 threads meet one handle whose kernels nobody has yet, each with shapes and scalars of its own: every
 * result has the bits of a call made alone, and a kernel is compiled once however many ask for it. Runs
 * under the thread sanitizer too (ctest -L concurrent). */
#include "api_case.h"
#include "base/sanitizers.h"

#include "base/settings.h"
#include "runtime/kernels/kernel_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLERS = 32, SIZES = 12, ROUNDS = 3, WIDEST = 40, WIDTH = 6 };

static sn_tensor *mixed(sn_tensor *x, sn_tensor *y, int64_t position, double scale) {
    int64_t rows = sn_size(x, 0);
    sn_tensor *part = sn_narrow(y, 0, position, rows);
    sn_tensor *sums = sn_sum(sn_mul(sn_add(x, part), sn_c(scale)), SN_I(1), true);
    if (rows > 20) sums = sn_relu(sums); /* another structure */
    return sn_sub(sn_gelu(x, SN_GELU_TANH), sums);
}
typedef sn_tensor *Mixed(sn_tensor *, sn_tensor *, int64_t, double);

/* What all read and only the main thread writes, before they start. */
static struct {
    Mixed *function;     /* what they call */
    sn_tensor *x[SIZES]; /* arguments by size */
    sn_tensor *y;
    size_t bytes[SIZES];
    float want[SIZES][WIDEST * WIDTH];
} shared;

typedef struct Caller {
    pthread_t thread;
    int number;
    char failure[200]; /* "" if nothing went wrong */
    float got[WIDEST * WIDTH];
} Caller;

static int64_t rows_of(int i) {
    return 1 + i * 3;
}

static double scale_of(int i) {
    return 0.5 + 0.25 * i;
}

static void *call_all(void *data) {
    Caller *c = data;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < SIZES; i++) {
            int at = (i * 5 + c->number) % SIZES;
            sn_scope scope = sn_scope_begin();
            sn_tensor *y = shared.function(shared.x[at], shared.y, at, scale_of(at));
            bool read = sn_read(y, SN_F32, c->got, shared.bytes[at]);
            if (!read || memcmp(c->got, shared.want[at], shared.bytes[at]) != 0)
                snprintf(c->failure, sizeof c->failure, "size %d: %s", at,
                         read ? "other bits than alone" : sn_error_text());
            sn_scope_end(scope, NULL);
        }
    return NULL;
}

static void storm(void) {
    static Caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i].number = i;
        callers[i].failure[0] = 0;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_all, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < CALLERS; i++)
        if (*callers[i].failure) fail_msg("%s", callers[i].failure);
}

/* Eager runs before the first test only: its kernels are gone once the cache is cleared. */
static int prepare(void **state) {
    static bool known;
    int status = api_setup(state);
    setting_set(SETTING_CACHE_DIR, "off");
    setting_set(SETTING_PACK, "off");
    shared.y = tensor_random(99, SN_F32, SN_I(WIDEST + SIZES, WIDTH));
    for (int i = 0; i < SIZES; i++) {
        shared.x[i] = tensor_random((uint32_t)i, SN_F32, SN_I(rows_of(i), WIDTH));
        shared.bytes[i] = (size_t)(rows_of(i) * WIDTH) * sizeof(float);
        sn_tensor *want = known ? NULL : mixed(shared.x[i], shared.y, i, scale_of(i));
        if (want && !sn_read(want, SN_F32, shared.want[i], shared.bytes[i])) return -1;
    }
    known = true;
    return status;
}

/* The function's kernels that a lone caller compiles. */
static int64_t compiles_alone(void) {
    sn_compiled *c = sn_compile(mixed, "ttld:t", NULL);
    Mixed *function = SN_FN(c, mixed);
    kernel_cache_clear();
    sn_counters before = counters_now();
    for (int i = 0; i < SIZES; i++)
        assert_non_null(function(shared.x[i], shared.y, i, scale_of(i)));
    sn_compiled_release(c);
    return counters_now().compiles - before.compiles;
}

static void a_cold_handle_survives_a_storm(void **state) {
    (void)state;
    int64_t alone = compiles_alone();
    for (int i = 0; i < 3; i++) {
        sn_compiled *c = sn_compile(mixed, "ttld:t", NULL);
        shared.function = SN_FN(c, mixed);
        kernel_cache_clear();
        sn_counters before = counters_now();
        storm();
        assert_int_equal(counters_now().compiles - before.compiles, alone);
        sn_explanation e = {.size = sizeof e};
        sn_explain(c, &e);
        assert_int_equal(e.fallbacks, 0);
        assert_false(e.rerun);
        assert_true(e.graphs <=
                    6); /* of each of two structures one, and one for each number that varies */
        sn_compiled_release(c);
    }
}

static void a_handle_that_compiles_in_the_background_does(void **state) {
    (void)state;
    sn_compile_options options = {.stance = SN_STANCE_ASYNC, .most_graphs = 3};
    sn_compiled *c = sn_compile(mixed, "ttld:t", &options);
    shared.function = SN_FN(c, mixed);
    kernel_cache_clear();
    storm();
    sn_compile_wait();
    storm();
    sn_compiled_release(c);
}

static void *change_stances(void *data) {
    sn_compiled *c = data;
    for (int i = 0; i < 60; i++) {
        sn_set_stance(c, (sn_stance)(i % 2 ? SN_STANCE_EAGER : SN_STANCE_DEFAULT));
        sn_text_free(sn_explain_text(c));
    }
    sn_set_stance(c, SN_STANCE_DEFAULT);
    return NULL;
}

static void stances_change_while_others_call(void **state) {
    (void)state;
    /* Another thread's eager calls: nothing is cleared from here on. */
    sn_compile_options options = {.check_every = 4};
    sn_compiled *c = sn_compile(mixed, "ttld:t", &options);
    shared.function = SN_FN(c, mixed);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, change_stances, c), 0);
    storm();
    pthread_join(thread, NULL);
    sn_compiled_release(c);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static _Atomic bool stop;

static void *call_until_stopped(void *data) {
    Caller *c = data;
    while (!stop) call_all(c);
    return NULL;
}

/* The child of a process whose other threads call and bind: it calls the same handle, on the only thread
 * that it has. An alarm ends it where it hangs. */
static int in_child(void) {
    Caller own = {.number = 3};
    alarm(20);
    call_all(&own);
    return *own.failure ? 1 : 0;
}

/* Amid running threads a sanitizer's own allocator may leave the child with a lock that is taken. */
static void a_forked_child_calls_the_same_handle(void **state) {
    (void)state;
    if (ADDRESS_SANITIZER || THREAD_SANITIZER) skip();
    static Caller callers[4];
    sn_compiled *c = sn_compile(mixed, "ttld:t", NULL);
    shared.function = SN_FN(c, mixed);
    call_all(&callers[0]); /* what is compiled is compiled */
    assert_string_equal(callers[0].failure, "");
    stop = false;
    for (int i = 0; i < 4; i++) {
        callers[i].number = i;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_until_stopped, &callers[i]),
                         0);
    }
    for (int i = 0; i < 20; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) _exit(in_child());
        assert_true(child > 0 && waitpid(child, &status, 0) == child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    for (int i = 0; i < 4; i++) pthread_join(callers[i].thread, NULL);
    sn_compiled_release(c);
}

#define STORM_TEST(function) cmocka_unit_test_setup_teardown(function, prepare, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        STORM_TEST(a_cold_handle_survives_a_storm),
        STORM_TEST(a_handle_that_compiles_in_the_background_does),
        STORM_TEST(stances_change_while_others_call),
        STORM_TEST(a_forked_child_calls_the_same_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
