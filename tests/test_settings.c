/* What the environment says (base/settings.h): values that a setting takes, slips that are told, and lists
 * of words that are the same as elsewhere. */
#include "base/settings.h"
#include "base/thread/log.h"
#include "ir/target.h"
#include "passes/pass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_fault(SettingId id, const char *text, const char *part) {
    char buffer[512];
    const char *fault = setting_fault(id, text, buffer, sizeof buffer);
    if (!part) {
        if (fault) fail_msg("%s", fault);
        return;
    }
    if (!fault) fail_msg("%s=%s is taken", setting_info[id].variable, text);
    if (!strstr(fault, part) || !strstr(fault, setting_info[id].variable)) fail_msg("%s", fault);
}

static void values_are_checked(void **state) {
    (void)state;
    static char longest[4096], longer[4097];
    memset(longest, 'x', sizeof longest - 1);
    memset(longer, 'x', sizeof longer - 1);
    const struct {
        SettingId id;     /* the setting */
        const char *text; /* its value */
        const char *part; /* of what is told; NULL: nothing is */
    } cases[] = {
        {SETTING_THREADS, "4", NULL},
        {SETTING_THREADS, "abc", "is \"abc\"; it takes a number of 1 or more"},
        {SETTING_THREADS, "0", "1 or more"},
        {SETTING_THREADS, "4x", "\"4x\""},
        {SETTING_THREADS, "99999999999999999999", "number"},
        {SETTING_CACHE_MB, "0", NULL},
        {SETTING_CACHE_MB, "-1", "0 or more"},
        {SETTING_CACHE_MB, "x", "0 or more"},
        {SETTING_CHECK_EVERY, "1.5", "number"},
        {SETTING_ISA, "avx2", NULL},
        {SETTING_ISA, "avx512", NULL},
        {SETTING_ISA, "sse", "is \"sse\"; it takes one of none,avx2,avx512"},
        {SETTING_ISA, "avx", "\"avx\""},
        {SETTING_ISA, "avx2,avx512", "one of"},
        {SETTING_LOG, "trace,fusion", NULL},
        {SETTING_LOG, "all", NULL},
        {SETTING_LOG, "trace,foo", "has \"foo\"; it takes trace,guards"},
        {SETTING_LOG, ",,trace,", NULL},
        {SETTING_DISABLE_PASSES, "simplify", NULL},
        {SETTING_DISABLE_PASSES, "nope", "has \"nope\"; it takes simplify,split_reductions"},
        {SETTING_VERIFY, "yes", "one of 0,1"},
        {SETTING_PACK, "of", "one of on,off"},
        {SETTING_CACHE_DIR, longest, NULL},
        {SETTING_CACHE_DIR, longer, "has 4096 bytes; 4095 are allowed"},
        {SETTING_LOG, longer, "bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_fault(cases[i].id, cases[i].text, cases[i].part);
}

static void slips_of_names_are_told(void **state) {
    (void)state;
    static const struct {
        const char *name, *meant;
    } cases[] = {
        {"SINTER_THREAD=1", "SINTER_THREADS"},
        {"SINTER_THREADS=1", NULL},
        {"SINTER_TREADS=1", "SINTER_THREADS"},
        {"SINTER_CACHEDIR=x", "SINTER_CACHE_DIR"},
        {"SINTER_CACHE_MB", NULL},
        {"SINTER_CHECK_EVREY=1", "SINTER_CHECK_EVERY"},
        {"SINTER_LIB=/x", NULL},
        {"SINTER_ROOT=/x", NULL},
        {"PATH=/x", NULL},
        {"SINTER_DISABLE_PASS=x", "SINTER_DISABLE_PASSES"},
        {"SINTER_MODULES_DIR=x", "SINTER_MODULE_DIR"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *meant = setting_meant(cases[i].name);
        if (cases[i].meant)
            assert_string_equal(meant ? meant : cases[i].name, cases[i].meant);
        else
            assert_null(meant);
    }
}

/* ---- a process of its own -------------------------------------------------------------------- */

/* What a process with this environment says on standard error when it reads its settings twice. */
static void hear(char *const *environment, char *said, size_t room) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        execve("/proc/self/exe", (char *[]){"test_settings", "--read", NULL}, environment);
        _exit(1);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(ends[0], said + got, room - 1 - got)) > 0;) got += (size_t)n;
    said[got] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void each_slip_is_told_once_and_the_rest_holds(void **state) {
    (void)state;
    char said[4096];
    hear((char *[]){"SINTER_THREADS=abc", "SINTER_THREAD=1", "SINTER_LOG=foo,trace",
                    "SINTER_CACHE_MB=7", "SINTER_LIBRARY=x", NULL},
         said, sizeof said);
    assert_string_equal(
        said,
        "sinter: SINTER_THREADS is \"abc\"; it takes a number of 1 or more\n"
        "sinter: SINTER_LOG has \"foo\"; it takes trace,guards,recompiles,purity,fusion,cache,"
        "codegen,fallback,all,off\n"
        "sinter: SINTER_THREAD is no setting; is it to be SINTER_THREADS?\n"
        "threads [] log 1 0 megabytes 7\n");
    hear((char *[]){"SINTER_LOG=fusion", NULL}, said, sizeof said);
    assert_string_equal(said, "threads [] log 0 1 megabytes 512\n");
}

static void read_settings(void) {
    for (int i = 0; i < 2; i++) (void)setting_text(SETTING_THREADS);
    fprintf(stderr, "threads [%s] log %d %d megabytes %d\n", setting_text(SETTING_THREADS),
            setting_lists(SETTING_LOG, "trace"), setting_lists(SETTING_LOG, "fusion"),
            (int)setting_int(SETTING_CACHE_MB, 0));
}

/* ---- words of other tables ------------------------------------------------------------------- */

static void topics_are_those_of_the_log(void **state) {
    (void)state;
#define LOG_TOPIC(id, name) name ","
    assert_string_equal(setting_info[SETTING_LOG].words, LOG_TOPICS(LOG_TOPIC) "all,off");
#undef LOG_TOPIC
}

static void instruction_sets_are_those_of_the_target(void **state) {
    (void)state;
    char words[256] = "";
    for (int i = 0; i < ISA_COUNT; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", i ? "," : "",
                 target_isa_name((TargetIsa)i));
    assert_string_equal(setting_info[SETTING_ISA].words, words);
}

static void passes_are_those_that_can_be_left_out(void **state) {
    (void)state;
    char words[256] = "";
    for (const Pass *pass = pass_pipeline; pass->name; pass++)
        if (!pass->required)
            snprintf(words + strlen(words), sizeof words - strlen(words), "%s,", pass->name);
    strcat(words, "all");
    assert_string_equal(setting_info[SETTING_DISABLE_PASSES].words, words);
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--read") == 0) {
        read_settings();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(slips_of_names_are_told),
        cmocka_unit_test(each_slip_is_told_once_and_the_rest_holds),
        cmocka_unit_test(topics_are_those_of_the_log),
        cmocka_unit_test(instruction_sets_are_those_of_the_target),
        cmocka_unit_test(passes_are_those_that_can_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
