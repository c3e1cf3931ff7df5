/* The end of a process: what is to come before all else does, and a program may end while the library
 * loads its compiler in the background. */
#include "base/thread/process_exit.h"

#include <sinter/sinter.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MOMENTS = 96,
    BETWEEN_MICROSECONDS = 250
}; /* longer in all than the compiler takes to load */

static int trail; /* where the letters of a child go */

static void write_early(void) {
    if (write(trail, "e", 1) != 1) _exit(2);
}

static void write_late(void) {
    if (write(trail, "l", 1) != 1) _exit(2);
}

static void *end_process(void *unused) {
    exit(0);
    return unused;
}

/* The letters that a child writes whose main thread asks for "e" before it asks atexit for "l", and which
 * ends by exit(): of that thread or of another. */
static void letters_of_child(bool of_main, char letters[8]) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        trail = pipes[1];
        process_before_exit(write_early);
        atexit(write_late);
        pthread_t other;
        if (of_main) exit(0);
        if (pthread_create(&other, NULL, end_process, NULL) != 0) _exit(2);
        pthread_join(other, NULL);
        _exit(2);
    }
    int status;
    close(pipes[1]);
    ssize_t count = 0, got;
    while (count < 7 && (got = read(pipes[0], letters + count, (size_t)(7 - count))) > 0)
        count += got;
    letters[count] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void what_comes_before_all_else_does(void **state) {
    (void)state;
    char letters[8];
    letters_of_child(true, letters);
    assert_string_equal(letters, "ele");
    letters_of_child(false, letters);
    assert_string_equal(letters, "le");
}

static sn_tensor *wave(sn_tensor *x) {
    return sn_mul(sn_cos(x), sn_exp(x));
}

static void a_process_ends_at_any_moment_of_a_compile_in_the_background(void **state) {
    (void)state;
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(120); /* a hang is a failure */
            sn_scope scope = sn_scope_begin();
            sn_compile_options options = {.stance = SN_STANCE_ASYNC};
            sn_compiled *c = sn_compile_at((sn_function)wave, "wave", "t:t", &options, NULL, 0);
            sn_tensor *y = SN_FN(c, wave)(sn_full(SN_I(64), 0.25, SN_F32));
            if (!y) _exit(2);
            sn_scope_end(scope, NULL);
            usleep(moment * BETWEEN_MICROSECONDS);
            exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0)
            fail_msg("ended after %u us: status %x", moment * BETWEEN_MICROSECONDS,
                     (unsigned)status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_before_all_else_does),
        cmocka_unit_test(a_process_ends_at_any_moment_of_a_compile_in_the_background),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
