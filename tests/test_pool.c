/* Helpers and parallel loops: each item once, whoever comes; nobody waits for who has not begun; no
 * time is used when there is no work; fewer threads where the system gives fewer; forks. */
#include "base/clock.h"
#include "base/sanitizers.h"
#include "base/thread/cpus.h"
#include "base/thread/parallel.h"
#include "base/thread/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534 /* a user without rights */ };

/* ---- each item once -------------------------------------------------------------------------- */

typedef struct Seen {
    _Atomic uint8_t *times; /* by item: how often it was done */
    int32_t threads;        /* that the loop may use */
    _Atomic bool strange;   /* a piece outside the items, or of a thread that is none */
    int64_t count;          /* of items */
} Seen;

static void see(void *context, int64_t begin, int64_t end, int32_t thread) {
    Seen *seen = context;
    if (begin < 0 || begin >= end || end > seen->count || thread < 0 || thread >= seen->threads) {
        seen->strange = true;
        return;
    }
    for (int64_t i = begin; i < end; i++) seen->times[i]++;
}

static bool each_once(int32_t threads, int64_t count) {
    Seen seen = {calloc((size_t)count + 1, 1), threads < 1 ? 1 : threads, false, count};
    parallel_for(threads, count, see, &seen);
    bool right = !seen.strange;
    for (int64_t i = 0; i < count; i++) right = right && seen.times[i] == 1;
    free((void *)seen.times);
    return right;
}

static void every_item_is_done_once(void **state) {
    (void)state;
    for (int32_t threads = 0; threads <= 9; threads++)
        for (int64_t count = 0; count <= 200; count += count < 20 ? 1 : 37)
            assert_true(each_once(threads, count));
    assert_true(each_once(300, 100003)); /* more threads than a loop has shares for */
}

static void *loops(void *data) {
    _Atomic bool *wrong = data;
    for (int i = 0; i < 200; i++)
        if (!each_once(2 + i % 5, 100 + i)) *wrong = true;
    return NULL;
}

static void callers_at_once_get_their_own_items(void **state) {
    (void)state;
    enum { CALLERS = 8 };
    pthread_t callers[CALLERS];
    _Atomic bool wrong = false;
    for (int i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, loops, &wrong);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    assert_false(wrong);
}

static void nest(void *context, int64_t begin, int64_t end, int32_t thread) {
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        if (!each_once(4, 10)) *(_Atomic bool *)context = true;
}

static void a_loop_in_a_loop_is_done_too(void **state) {
    (void)state;
    _Atomic bool wrong = false;
    parallel_for(4, 50, nest, &wrong);
    assert_false(wrong);
}

/* ---- helpers --------------------------------------------------------------------------------- */

/* A part of a helper that lasts until it is let go. */
typedef struct Hold {
    _Atomic int32_t here;  /* helpers in it */
    _Atomic bool released; /* they may go */
} Hold;

static void hold(void *context, int32_t number) {
    (void)number;
    Hold *h = context;
    h->here++;
    while (!h->released) usleep(100);
}

static void count_part(void *context, int32_t number) {
    atomic_fetch_or((_Atomic uint32_t *)context, 1u << number);
}

static void a_helper_that_has_not_begun_is_not_waited_for(void **state) {
    (void)state;
    Hold h = {0};
    assert_int_equal(pool_helpers(2), 2);
    enum { MORE = 300 }; /* at least as many as there are helpers from other tests */
    PoolOffer *first = pool_offer(hold, &h, MORE);
    int64_t begin = clock_ns();
    while (h.here < 2 && clock_ns() - begin < 10000000000) usleep(100);
    assert_true(h.here >= 2);
    usleep(20000); /* whoever else there is comes meanwhile */
    _Atomic uint32_t numbers = 0;
    int32_t before = h.here;
    for (int i = 0; i < 100; i++) { /* all helpers are busy: nobody comes */
        PoolOffer *second = pool_offer(count_part, (void *)&numbers, 2);
        pool_withdraw(second);
    }
    assert_true(numbers == 0 || h.here > before);
    h.released = true;
    pool_withdraw(first);
}

static void helpers_are_numbered_from_one(void **state) {
    (void)state;
    assert_int_equal(pool_helpers(2), 2);
    _Atomic uint32_t numbers = 0;
    PoolOffer *offer = pool_offer(count_part, (void *)&numbers, 2);
    int64_t begin = clock_ns();
    while (numbers != 6 && clock_ns() - begin < 10000000000) usleep(100);
    pool_withdraw(offer);
    assert_int_equal(numbers, 6); /* 1 and 2, once each */
}

static void offers_beyond_the_room_for_them_are_refused(void **state) {
    (void)state;
    enum { TRIED = 1000 };
    static PoolOffer *offers[TRIED];
    _Atomic uint32_t numbers = 0;
    int32_t made = 0;
    while (made < TRIED && (offers[made] = pool_offer(count_part, (void *)&numbers, 1))) made++;
    assert_in_range(made, 8, TRIED - 1);
    assert_true(each_once(3, 100)); /* the caller does it all */
    for (int32_t i = 0; i < made; i++) pool_withdraw(offers[i]);
}

static int64_t cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void helpers_without_work_sleep(void **state) {
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it has a thread of its own that looks around */
    assert_true(each_once(4, 1000));
    int64_t used = INT64_MAX;
    for (int i = 0; i < 50 && used > 2000000; i++) { /* a busy machine lets them look late */
        int64_t before = cpu_ns();
        usleep(100000);
        used = cpu_ns() - before;
    }
    assert_in_range(used, 0, 2000000);
}

/* ---- in a process of its own ----------------------------------------------------------------- */

/* 0 when the function said yes in a child. */
static int in_child(bool (*function)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        _exit(function() ? 0 : 1);
    }
    waitpid(child, &status, 0);
    return status;
}

static bool has_helpers(void) {
    return pool_helpers(2) == 2 && each_once(3, 1000);
}

static bool has_none(void) {
    struct rlimit none = {0, 0};
    return setuid(NOBODY) == 0 && setrlimit(RLIMIT_NPROC, &none) == 0 && each_once(3, 1000) &&
           pool_helpers(2) == 0;
}

static bool forks_again(void) {
    return has_helpers() && in_child(has_helpers) == 0;
}

static void a_forked_child_makes_its_own_helpers(void **state) {
    (void)state;
    /* One forbids threads in a child of a process that had some; the other's lock is taken in the child
     * when a helper is being made. */
    if (THREAD_SANITIZER || ADDRESS_SANITIZER) skip();
    assert_true(each_once(3, 1000));
    assert_int_equal(in_child(forks_again), 0);
    assert_true(each_once(3, 1000));
}

static void without_threads_the_caller_does_it_all(void **state) {
    (void)state;
    if (getuid() != 0 || THREAD_SANITIZER) skip(); /* only root may become somebody else */
    assert_int_equal(in_child(has_none), 0);
}

/* ---- how many -------------------------------------------------------------------------------- */

static void quotas_are_whole_cpus(void **state) {
    (void)state;
    static const struct {
        const char *text; /* of cpu.max */
        int32_t cpus;     /* what it comes to */
    } cases[] = {{"max 100000\n", INT32_MAX},
                 {"100000 100000\n", 1},
                 {"150000 100000\n", 2},
                 {"1000 100000", 1},
                 {"800000 100000", 8},
                 {"", INT32_MAX},
                 {"7", INT32_MAX},
                 {"-1 100000", INT32_MAX},
                 {"5 0", INT32_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cpus_of_quota(cases[i].text), cases[i].cpus);
    assert_in_range(cpus_available(), 1, sysconf(_SC_NPROCESSORS_CONF));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_done_once),
        cmocka_unit_test(callers_at_once_get_their_own_items),
        cmocka_unit_test(a_loop_in_a_loop_is_done_too),
        cmocka_unit_test(a_helper_that_has_not_begun_is_not_waited_for),
        cmocka_unit_test(helpers_are_numbered_from_one),
        cmocka_unit_test(offers_beyond_the_room_for_them_are_refused),
        cmocka_unit_test(helpers_without_work_sleep),
        cmocka_unit_test(a_forked_child_makes_its_own_helpers),
        cmocka_unit_test(without_threads_the_caller_does_it_all),
        cmocka_unit_test(quotas_are_whole_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
