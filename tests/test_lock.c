/* Locks: their order, which debug builds check, and what a forked child finds of them. */
#include "base/sanitizers.h"

#include "base/thread/lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOCKS = THREAD_SANITIZER ? 40 : 100 }; /* its deadlock detector takes 64 at a time */

LOCK_DEFINE(outer, RANK_HANDLE);
LOCK_DEFINE(inner, RANK_CODE);
LOCK_DEFINE(beside, RANK_CODE);
CONDITION_DEFINE(changed, &outer);
SECTION_DEFINE(section);
static bool reached; /* under `outer` */

static Lock many[LOCKS];

__attribute__((constructor)) static void register_many(void) {
    for (int i = LOCKS; i-- > 0;) { /* against the order of ranks */
        many[i] = (Lock)LOCK_INITIALISER((LockRank)(RANK_COUNT + i));
        lock_register(&many[i]);
    }
}

/* Runs `body` in a forked child; its exit status, or minus the signal that ended it. What it prints
 * comes into `text`. */
static int run_child(void (*body)(void), char *text, size_t capacity) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        alarm(60);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got = 1; got > 0 && length + 1 < capacity; length += (size_t)(got > 0 ? got : 0))
        got = read(ends[0], text + length, capacity - 1 - length);
    text[length] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void child_ends_well(void (*body)(void)) {
    char text[4096];
    int status = run_child(body, text, sizeof text);
    if (status != 0) fail_msg("the child ended with %d: %s", status, text);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void take_in_order(void) {
    lock_take(&outer);
    lock_take(&inner);
    lock_give(&outer); /* in whatever order */
    lock_give(&inner);
    lock_take(&outer);
    lock_give(&outer);
}

static void take_against_the_order(void) {
    lock_take(&inner);
    lock_take(&outer);
}

static void take_two_of_a_rank(void) {
    lock_take(&inner);
    lock_take(&beside);
}

static void take_twice(void) {
    lock_take(&inner);
    lock_take(&inner);
}

static void give_what_is_not_held(void) {
    lock_give(&inner);
}

static void wait_with_a_second_lock(void) {
    lock_take(&outer);
    lock_take(&inner);
    condition_wait(&changed);
}

static void take_in_a_section(void) {
    section_enter(&section);
    lock_take(&inner);
}

static void enter_with_a_lock(void) {
    lock_take(&inner);
    section_enter(&section);
}

static void fork_in_a_section(void) {
    section_enter(&section);
    fork();
}

static void fork_with_a_lock(void) {
    lock_take(&inner);
    fork();
}

static void locks_are_taken_by_rank_and_given_in_any_order(void **state) {
    (void)state;
    child_ends_well(take_in_order);
}

static void a_breach_of_the_order_ends_a_debug_build(void **state) {
    (void)state;
    static const struct {
        void (*breach)(void);
        const char *text; /* in what it says */
    } breaches[] = {
        {take_against_the_order, "in_order"},
        {take_two_of_a_rank, "in_order"},
        {take_twice, "in_order"},
        {give_what_is_not_held, "lock_held"},
        {wait_with_a_second_lock, "none"},
        {fork_with_a_lock, "may_call"},
        {take_in_a_section, "in_order"},
        {enter_with_a_lock, "none"},
        {fork_in_a_section, "may_call"},
    };
#ifdef NDEBUG
    bool checked = false;
#else
    bool checked = true;
#endif
    if (!checked) skip();
    for (size_t i = 0; i < sizeof breaches / sizeof *breaches; i++) {
        char text[256];
        assert_int_equal(run_child(breaches[i].breach, text, sizeof text), -SIGABRT);
        assert_non_null(strstr(text, "assertion failed"));
        assert_non_null(strstr(text, breaches[i].text));
    }
}

static void a_thread_knows_what_it_holds(void **state) {
    (void)state;
#ifdef NDEBUG
    skip();
#else
    assert_true(lock_none_held());
    lock_take(&outer);
    assert_true(lock_held(&outer) && !lock_held(&inner) && !lock_none_held());
    lock_take(&inner);
    lock_give(&outer);
    assert_true(!lock_held(&outer) && lock_held(&inner));
    lock_give(&inner);
    assert_true(lock_none_held());
#endif
}

/* ---- forks ----------------------------------------------------------------------------------- */

static _Atomic bool enough;

/* Takes and gives, up to three at a time, so that some are held whenever another thread forks. */
static void *take_many(void *data) {
    unsigned step = *(unsigned *)data;
    for (unsigned at = 0; !atomic_load(&enough); at = (at + step) % (LOCKS - 2)) {
        for (unsigned i = 0; i < 3; i++) lock_take(&many[at + i]);
        for (unsigned i = 0; i < 3; i++) lock_give(&many[at + i]);
    }
    return data;
}

static void take_each(void) {
    for (int i = 0; i < LOCKS; i++) {
        lock_take(&many[i]);
        lock_give(&many[i]);
    }
}

static void a_child_finds_every_lock_free(void **state) {
    (void)state;
    pthread_t threads[2];
    unsigned steps[2] = {7, 11};
    atomic_store(&enough, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, &steps[i]), 0);
    for (int i = 0; i < 50; i++) child_ends_well(take_each);
    atomic_store(&enough, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    take_each(); /* as does the parent */
}

static _Atomic int
    halves; /* threads between the first half of what a section is for and the second */

/* Always in the section, but for a moment; two threads of this kind leave it no moment empty. */
static void *stay_in_section(void *data) {
    while (!atomic_load(&enough)) {
        section_enter(&section);
        atomic_fetch_add(&halves, 1);
        usleep(2000);
        atomic_fetch_sub(&halves, 1);
        section_leave(&section);
    }
    return data;
}

static void enter_whole(void) {
    if (atomic_load(&halves)) _exit(1);
    section_enter(&section);
    section_leave(&section);
}

static void a_child_finds_no_half_of_a_section(void **state) {
    (void)state;
    pthread_t threads[3];
    atomic_store(&enough, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, stay_in_section, NULL), 0);
        usleep(700);
    }
    for (int i = 0; i < 50; i++) child_ends_well(enter_whole);
    atomic_store(&enough, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    enter_whole(); /* as does the parent */
}

static void *wait_for_change(void *data) {
    lock_take(&outer);
    while (!reached) condition_wait(&changed);
    lock_give(&outer);
    return data;
}

/* A thread waits, another wakes it; twice, since a wake-up alone passes where the first one left
 * something behind. */
static void wake_threads(void) {
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        reached = false;
        if (pthread_create(&thread, NULL, wait_for_change, NULL) != 0) _exit(1);
        usleep(20000);
        lock_take(&outer);
        reached = true;
        condition_wake(&changed);
        lock_give(&outer);
        pthread_join(thread, NULL);
    }
}

static void a_child_waits_and_wakes_though_its_parent_waited_at_the_fork(void **state) {
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it allows a child no threads */
    pthread_t thread;
    reached = false;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_change, NULL), 0);
    usleep(50000); /* it waits by now */
    child_ends_well(wake_threads);
    lock_take(&outer);
    reached = true;
    condition_wake(&changed);
    lock_give(&outer);
    pthread_join(thread, NULL);
}

static int runs;          /* of the hook */
static bool hook_had_all; /* the locks were held then */

static void note_fork(void) {
    runs++;
    hook_had_all = pthread_mutex_trylock(&inner.mutex) != 0;
}
FORK_HOOK(note_fork);

static void exit_with_runs(void) {
    _exit(hook_had_all ? runs : 100);
}

static void fork_again(void) {
    pid_t child = fork();
    int status = 0;
    if (child == 0) exit_with_runs();
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
}

static void a_hook_runs_once_in_each_child_under_all_locks(void **state) {
    (void)state;
    char text[8];
    assert_int_equal(run_child(exit_with_runs, text, sizeof text), 1);
    assert_int_equal(run_child(fork_again, text, sizeof text), 2);
    assert_int_equal(runs, 0); /* never in the parent */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_are_taken_by_rank_and_given_in_any_order),
        cmocka_unit_test(a_breach_of_the_order_ends_a_debug_build),
        cmocka_unit_test(a_thread_knows_what_it_holds),
        cmocka_unit_test(a_child_finds_every_lock_free),
        cmocka_unit_test(a_child_finds_no_half_of_a_section),
        cmocka_unit_test(a_child_waits_and_wakes_though_its_parent_waited_at_the_fork),
        cmocka_unit_test(a_hook_runs_once_in_each_child_under_all_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
