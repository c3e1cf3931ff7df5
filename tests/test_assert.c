/* SN_ASSERT: a broken rule ends a debug build with its place and text; a release build does not even
 * look. */
#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int evaluated;

static int one_more(void) {
    return ++evaluated;
}

static void a_rule_that_holds_changes_nothing(void **state) {
    (void)state;
    int most = 3;
    SN_ASSERT(most == 3);
    SN_ASSERT(one_more() == 1);
#ifdef NDEBUG
    assert_int_equal(evaluated, 0);
#else
    assert_int_equal(evaluated, 1);
#endif
}

#ifndef NDEBUG
/* In a child: its standard error, and how it ended. */
static int break_a_rule(char *text, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        SN_ASSERT(2 < 1);
        _exit(0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], text, size - 1);
    text[length > 0 ? length : 0] = 0;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_broken_rule_aborts_with_its_place_and_text(void **state) {
    (void)state;
    char text[256];
    int status = break_a_rule(text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "tests/test_assert.c:"));
    assert_non_null(strstr(text, ": assertion failed: 2 < 1\n"));
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_that_holds_changes_nothing),
#ifndef NDEBUG
        cmocka_unit_test(a_broken_rule_aborts_with_its_place_and_text),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
