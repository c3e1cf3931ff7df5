/* Ends of threads: their order, ends that cause others, and what a thread leaves to the next. */
#include "base/thread/thread_exit.h"
#include "runtime/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What ran, in order, one letter each. */
typedef struct Trail {
    char letters[16]; /* NUL-terminated */
    int count;        /* letters written */
} Trail;

/* A record that writes its letter and may add another. */
typedef struct Step {
    ThreadExit exit;   /* of this thread */
    Trail *trail;      /* where it writes */
    char letter;       /* what it writes */
    struct Step *next; /* added by this one's end; or NULL */
} Step;

static void take_step(void *context) {
    Step *step = context;
    step->trail->letters[step->trail->count++] = step->letter;
    if (step->next) assert_true(thread_at_exit(&step->next->exit));
}

static Step step_of(Trail *trail, ThreadExitRank rank, char letter) {
    return (Step){.exit = {.rank = rank, .end = take_step}, .trail = trail, .letter = letter};
}

static bool add(Step *step) {
    step->exit.context = step;
    return thread_at_exit(&step->exit);
}

/* Runs `body` on a thread of its own, to its end. */
static void run_thread(void *(*body)(void *), void *data) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, data), 0);
    pthread_join(thread, NULL);
}

static void *add_all(void *data) {
    Step *steps = data;
    for (; steps->letter; steps++)
        if (!add(steps)) return data;
    return NULL;
}

static void ends_run_by_rank_then_in_the_order_they_were_added(void **state) {
    (void)state;
    Trail trail = {0};
    Step steps[] = {
        step_of(&trail, EXIT_MEMORY, 'e'),   step_of(&trail, EXIT_OBSERVERS, 'c'),
        step_of(&trail, EXIT_FRONTEND, 'a'), step_of(&trail, EXIT_OBSERVERS, 'd'),
        step_of(&trail, EXIT_FRONTEND, 'b'), {.letter = 0},
    };
    run_thread(add_all, steps);
    assert_string_equal(trail.letters, "abcde");
}

static void an_end_may_add_ends_of_any_rank(void **state) {
    (void)state;
    Trail trail = {0};
    Step early = step_of(&trail, EXIT_FRONTEND, 'c'), late = step_of(&trail, EXIT_MEMORY, 'e');
    early.exit.context = &early;
    late.exit.context = &late;
    Step steps[] = {
        step_of(&trail, EXIT_FRONTEND, 'a'),
        step_of(&trail, EXIT_OBSERVERS, 'b'),
        step_of(&trail, EXIT_MEMORY, 'd'),
        {.letter = 0},
    };
    steps[0].next = &late;
    steps[1].next = &early;
    run_thread(add_all, steps);
    assert_string_equal(trail.letters, "abcde");
}

static void a_record_may_wait_again_once_it_has_run(void **state) {
    (void)state;
    Trail trail = {0};
    Step steps[] = {step_of(&trail, EXIT_FRONTEND, 'a'), {.letter = 0}};
    for (int i = 0; i < 3; i++) run_thread(add_all, steps);
    assert_string_equal(trail.letters, "aaa");
}

static void *cancel_two(void *data) {
    Step *steps = data;
    thread_exit_cancel(&steps[1].exit); /* it does not wait yet */
    for (int i = 0; i < 3; i++)
        if (!add(&steps[i])) return NULL;
    thread_exit_cancel(&steps[1].exit);
    thread_exit_cancel(&steps[0].exit);
    return data;
}

static void a_record_that_is_taken_back_does_not_run(void **state) {
    (void)state;
    Trail trail = {0};
    Step steps[] = {step_of(&trail, EXIT_FRONTEND, 'a'), step_of(&trail, EXIT_OBSERVERS, 'b'),
                    step_of(&trail, EXIT_MEMORY, 'c')};
    run_thread(cancel_two, steps);
    assert_string_equal(trail.letters, "c");
}

/* A block of the thread that its end gives back, as a tensor is that a scope still held. */
static void free_block(void *block) {
    memory_free(block, 100);
}

static void *leave_a_block(void *data) {
    ThreadExit *exit = data;
    exit->context = memory_alloc(100); /* the allocator's end is there before */
    return thread_at_exit(exit) ? data : NULL;
}

static void what_the_frontend_frees_at_its_end_reaches_the_allocator(void **state) {
    (void)state;
    MemoryStats before, after;
    memory_trim();
    memory_stats(&before);
    ThreadExit exit = {.rank = EXIT_FRONTEND, .end = free_block};
    run_thread(leave_a_block, &exit);
    memory_trim(); /* what an ended thread kept is here now */
    memory_stats(&after);
    assert_int_equal(after.live, before.live);
    assert_int_equal(after.cached, before.cached);
}

static void *only_end(void *data) {
    return thread_at_exit(data) ? data : NULL;
}

static void *allocated; /* on the main thread; its end is another thread's */

static void free_there(void *unused) {
    (void)unused;
    memory_free(allocated, 100);
}

static void a_cache_that_begins_at_the_end_is_emptied_too(void **state) {
    (void)state;
    MemoryStats before, after;
    memory_trim();
    memory_stats(&before);
    allocated = memory_alloc(100);
    ThreadExit exit = {.rank = EXIT_FRONTEND, .end = free_there};
    run_thread(only_end, &exit);
    memory_trim();
    memory_stats(&after);
    assert_int_equal(after.live, before.live);
    assert_int_equal(after.cached, before.cached);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_run_by_rank_then_in_the_order_they_were_added),
        cmocka_unit_test(an_end_may_add_ends_of_any_rank),
        cmocka_unit_test(a_record_may_wait_again_once_it_has_run),
        cmocka_unit_test(a_record_that_is_taken_back_does_not_run),
        cmocka_unit_test(what_the_frontend_frees_at_its_end_reaches_the_allocator),
        cmocka_unit_test(a_cache_that_begins_at_the_end_is_emptied_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
