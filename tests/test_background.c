/* Jobs of the background (frontend/graphs/background.h): in order, one at a time; what is asked for twice,
 * what is more than may wait, what becomes of those that wait when their owner goes or the process ends. */
#include "frontend/graphs/background.h"

#include <sinter/sinter.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { OWNERS = 2, OPEN = 0, CLOSED = 1 };

static const char owners[OWNERS];
static _Atomic int gate = OPEN, at_gate; /* the job that waits for it to open */
static _Atomic int done, dropped;        /* jobs */
static _Atomic uint64_t order;           /* hash of the numbers of those done, in order */

static void run_numbered(void *context) {
    done++;
    order = order * 31 + (uintptr_t)context;
}

static void drop_numbered(void *context) {
    (void)context;
    dropped++;
}

static void run_gate(void *context) {
    (void)context;
    at_gate = 1;
    while (gate == CLOSED) usleep(100);
    at_gate = 0;
}

static BackgroundState ask(int owner, uint64_t key) {
    BackgroundJob job = {run_numbered, drop_numbered, (void *)(uintptr_t)key, &owners[owner], key};
    return background_run(&job);
}

/* A job that keeps the thread until the gate opens. */
static void close_gate(void) {
    BackgroundJob job = {run_gate, drop_numbered, NULL, &gate, 0};
    sn_compile_wait();
    done = dropped = 0;
    order = 0;
    gate = CLOSED;
    assert_int_equal(background_run(&job), BACKGROUND_FREE);
    while (!at_gate) usleep(100);
}

static void open_gate(void) {
    gate = OPEN;
    sn_compile_wait();
}

static void jobs_are_done_in_order(void **state) {
    (void)state;
    close_gate();
    uint64_t expected = 0;
    for (uint64_t key = 1; key <= 9; key++) {
        assert_int_equal(ask(0, key), BACKGROUND_FREE);
        expected = expected * 31 + key;
    }
    assert_int_equal(done, 0);
    open_gate();
    assert_int_equal(done, 9);
    assert_true(order == expected);
}

static void what_waits_or_runs_is_not_asked_for_again(void **state) {
    (void)state;
    close_gate();
    BackgroundJob running = {run_gate, drop_numbered, NULL, &gate, 0};
    assert_int_equal(background_run(&running), BACKGROUND_ASKED);
    assert_int_equal(ask(0, 7), BACKGROUND_FREE);
    assert_int_equal(ask(0, 7), BACKGROUND_ASKED);
    assert_int_equal(ask(1, 7), BACKGROUND_FREE);
    assert_int_equal(background_state(&owners[1], 7), BACKGROUND_ASKED);
    assert_int_equal(background_state(&owners[1], 8), BACKGROUND_FREE);
    open_gate();
    assert_int_equal(done, 2);
    assert_int_equal(ask(0, 7), BACKGROUND_FREE); /* it is done */
    sn_compile_wait();
    assert_int_equal(done, 3);
}

static void no_more_wait_than_may(void **state) {
    (void)state;
    close_gate();
    for (uint64_t key = 0; key < BACKGROUND_MOST; key++)
        assert_int_equal(ask(0, key), BACKGROUND_FREE);
    assert_int_equal(ask(0, BACKGROUND_MOST), BACKGROUND_FULL);
    assert_int_equal(background_state(&owners[1], 1), BACKGROUND_FULL);
    assert_int_equal(ask(0, 1), BACKGROUND_ASKED);
    open_gate();
    assert_int_equal(done, BACKGROUND_MOST);
    assert_int_equal(dropped, 0);
}

static void the_jobs_of_an_owner_that_goes_are_dropped(void **state) {
    (void)state;
    close_gate();
    for (uint64_t key = 0; key < 40; key++) assert_int_equal(ask(key % 2, key), BACKGROUND_FREE);
    background_forget(&owners[1]);
    assert_int_equal(dropped, 20);
    background_forget(&gate); /* what runs is not touched */
    open_gate();
    assert_int_equal(done, 20);
    assert_int_equal(dropped, 20);
}

static void *open_later(void *unused) {
    usleep(20000);
    gate = OPEN;
    return unused;
}

static void check_dropped(void) {
    if (at_gate || done || dropped != 100) _exit(3);
}

/* What it is at is waited for. */
static void a_process_that_ends_drops_what_waits(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        alarm(120); /* a hang is a failure */
        close_gate();
        for (uint64_t key = 0; key < 100; key++)
            if (ask(0, key) != BACKGROUND_FREE) _exit(2);
        pthread_t other;
        if (atexit(check_dropped) || pthread_create(&other, NULL, open_later, NULL)) _exit(2);
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static sn_tensor *few_ops(sn_tensor *x) {
    for (int i = 0; i < 4; i++) x = sn_mul(sn_cos(x), sn_exp(x));
    return x;
}

/* Kernels that were compiled or found, so far. */
static int64_t kernels_got(void) {
    sn_counters c = {.size = sizeof c};
    sn_counters_get(&c);
    return c.compiles + c.cache_memory_hits + c.cache_pack_hits + c.cache_disk_hits;
}

/* A thousand functions that are called once and released, and one that is called a thousand times: some of
 * the first are compiled, the other once. */
static void functions_that_were_released_are_not_compiled(void **state) {
    (void)state;
    enum { FUNCTIONS = 1000 };
    sn_compile_options options = {.stance = SN_STANCE_ASYNC};
    close_gate();
    for (int i = 0; i < FUNCTIONS; i++) {
        sn_scope scope = sn_scope_begin();
        sn_compiled *c = sn_compile_at((sn_function)few_ops, "many", "t:t", &options, NULL, 0);
        assert_non_null(SN_FN(c, few_ops)(sn_full(SN_I(3), 0.5, SN_F32)));
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
    }
    sn_compiled *c = sn_compile_at((sn_function)few_ops, "often", "t:t", &options, NULL, 0);
    for (int i = 0; i < FUNCTIONS; i++) {
        sn_scope scope = sn_scope_begin();
        assert_non_null(SN_FN(c, few_ops)(sn_full(SN_I(3), 0.5, SN_F32)));
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(background_state(&owners[0], 0), BACKGROUND_FREE); /* it is not full */
    int64_t before = kernels_got();
    open_gate();
    assert_int_equal(kernels_got() - before, 1);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_in_order),
        cmocka_unit_test(what_waits_or_runs_is_not_asked_for_again),
        cmocka_unit_test(no_more_wait_than_may),
        cmocka_unit_test(the_jobs_of_an_owner_that_goes_are_dropped),
        cmocka_unit_test(a_process_that_ends_drops_what_waits),
        cmocka_unit_test(functions_that_were_released_are_not_compiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
