/* A log sink may use the library, whatever line it is given: one that does again what the program was
 * doing, waits for the background, looks at a function and forks, in every place that logs. Settings are
 * read once, so each part is a process of its own, which an alarm ends if it hangs. */
#include "api_case.h"
#include "base/sanitizers.h"
#include "child.h"

#include "base/settings.h"
#include "runtime/kernels/disk_cache.h"
#include "runtime/kernels/kernel_cache.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[256]; /* the disk cache of the child */

/* ---- the sink -------------------------------------------------------------------------------- */

/* The places that log, by what they write. */
static struct {
    const char *topic, *part; /* the line's topic; a part of its text */
    _Atomic int32_t lines;    /* seen */
} places[] = {
    {"codegen", "loaded module", 0},
    {"cache", " failed (", 0},
    {"cache", " compiled, ", 0},
    {"cache", " disk, ", 0},
    {"cache", "removed the bad entry", 0},
    {"cache", "trimmed", 0},
    {"cache", "cannot write in", 0},
    {"cache", " not used: ", 0},
    {"fusion", "", 0},
    {"fallback", "runs node by node", 0},
    {"recompiles", "is compiled again", 0},
    {"recompiles", "runs node by node", 0},
    {"purity", "is run on every call", 0},
    {"trace", "is run on every call", 0},
    {"trace", "is not made general", 0},
    {"guards", "no entry for a call with f32[", 0},
};
enum { PLACES = sizeof places / sizeof *places };

static void (*now)(void);            /* what the program does; the sink does it again */
static sn_compiled *handle;          /* the function that it calls, or NULL */
static _Thread_local bool inside;    /* of the sink: what it causes is logged, too */
static _Atomic int32_t failed_forks; /* children that did not end well */

static void look_at(sn_compiled *c) {
    sn_explanation explanation = {.size = sizeof explanation};
    (void)sn_explain(c, &explanation);
    sn_text_free(sn_explain_text(c));
    sn_text_free(sn_dump(c, "kernels", NULL));
}

static void fork_and_do(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        now();
        sn_compile_wait();
        _exit(0);
    }
    waitpid(child, &status, 0);
    failed_forks += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void use_library(void *context, const char *topic, const char *text) {
    (void)context;
    for (int i = 0; i < PLACES; i++)
        if (strcmp(topic, places[i].topic) == 0 && strstr(text, places[i].part)) places[i].lines++;
    if (inside) return;
    inside = true;
    sn_scope scope = sn_scope_begin();
    now();
    if (handle) look_at(handle);
    sn_compile_wait();
    sn_memory_trim();
    if (!ADDRESS_SANITIZER) fork_and_do(); /* its lock may be held by the library's thread */
    sn_scope_end(scope, NULL);
    inside = false;
}

/* ---- what the program does ------------------------------------------------------------------- */

typedef sn_tensor *Unary(sn_tensor *);

static int32_t step;       /* of do_again */
static int32_t length = 1; /* of the chain */

static sn_tensor *chain(sn_tensor *x) {
    for (int32_t i = 0; i < length + step; i++) x = sn_tanh(sn_add(x, sn_c(1)));
    return x;
}

/* Leaves nothing behind that has kernels. */
static void run_chain(void) {
    sn_compiled *c = sn_compile(chain, "t:t", NULL);
    SN_FN(c, chain)(tensor_random(1, SN_F32, SN_I(40)));
    sn_error error;
    (void)sn_error_take(&error); /* there may be no code generator */
    sn_compiled_release(c);
}

/* A product keeps kernels apart. */
static sn_tensor *layer(sn_tensor *x) {
    return sn_softmax(sn_matmul(sn_exp(x), sn_exp(x)), 1);
}

static void call_layer(void) {
    EXPECT_OK();
    sn_tensor *x = tensor_random(2, SN_F32, SN_I(4 + step, 4 + step));
    EXPECT_SAME(SN_FN(handle, layer)(x), layer(x));
}

static sn_tensor *reads(sn_tensor *x) {
    return sn_item(sn_sum(x, SN_I0, false)) > 0 ? sn_exp(x) : sn_neg(x);
}

static void call_reads(void) {
    sn_tensor *x = tensor_random(3, SN_F32, SN_I(5));
    EXPECT_SAME(SN_FN(handle, reads)(x), reads(x));
}

static double hidden; /* what the function below should not depend on */

static sn_tensor *depends(sn_tensor *x) {
    hidden++;
    return sn_add(sn_exp(x), sn_c(hidden));
}

static void call_depends(void) {
    assert_non_null(SN_FN(handle, depends)(tensor_random(4, SN_F32, SN_I(5))));
}

static sn_tensor *running(sn_tensor *x, int32_t axis) {
    return sn_cumsum(sn_exp(x), axis);
}

static void call_running(void) {
    sn_tensor *x = tensor_random(5, SN_F32, SN_I(6, 6));
    EXPECT_SAME(SN_FN(handle, running)(x, step % 2), running(x, step % 2));
}

/* Does it `times`, with the sink listening; `step` counts. */
static void do_again(void (*what)(void), int32_t times) {
    now = what;
    for (step = 0; step < times; step++) {
        sn_scope scope = sn_scope_begin();
        what();
        sn_scope_end(scope, NULL);
    }
}

static void do_compiled(sn_function function, const char *signature, sn_compile_options options,
                        void (*what)(void)) {
    handle = sn_compile_typed_at(function, "function", NULL, signature, &options, NULL, 0);
    assert_non_null(handle);
    do_again(what, 4);
    sn_compile_wait();
    sn_compiled_release(handle);
    handle = NULL;
}

/* Spoils what is stored, or, with `size`, makes one entry that large. */
static void damage_entries(int64_t size) {
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *item; (item = readdir(list));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, item->d_name);
        if (item->d_name[0] == '.') continue;
        assert_int_equal(truncate(path, size ? size : 100), 0);
        if (size) break;
    }
    closedir(list);
}

static void remove_folder(void) {
    DIR *list = opendir(folder);
    for (struct dirent *item; list && (item = readdir(list));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, item->d_name);
        (void)unlink(path);
    }
    if (list) closedir(list);
    (void)remove(folder);
}

/* ---- the children ---------------------------------------------------------------------------- */

static void use_the_disk_cache(void) {
    do_again(run_chain, 1); /* compiled, and stored */
    kernel_cache_clear();
    do_again(run_chain, 1); /* from disk */
    kernel_cache_clear();
    damage_entries(0);
    do_again(run_chain, 1); /* a bad entry */
    damage_entries(3 << 20);
    length = 20;
    do_again(run_chain, 12); /* much is stored, and the budget looked at */
    remove_folder();
    FILE *file = fopen(folder, "w"); /* a file in the folder's place */
    do_again(run_chain, 13);         /* nowhere to write */
    if (file) fclose(file);
    kernel_cache_clear();
    setting_set(SETTING_CACHE_DIR, "/dev/null/none");
    do_again(run_chain, 1); /* a folder that cannot be */
}

static void call_functions(void) {
    const sn_compile_options plain = {0};
    do_compiled((sn_function)layer, "t:t", (sn_compile_options){.shapes = SN_SHAPES_STATIC},
                call_layer);
    do_compiled((sn_function)layer, "t:t",
                (sn_compile_options){.stance = SN_STANCE_EAGER_ON_RECOMPILE}, call_layer);
    do_compiled((sn_function)layer, "t:t", (sn_compile_options){.stance = SN_STANCE_ASYNC},
                call_layer);
    do_compiled((sn_function)reads, "t:t", plain, call_reads);
    do_compiled((sn_function)depends, "t:t", plain, call_depends);
    do_compiled((sn_function)running, "ti:t", plain, call_running);
}

static int run_child(const char *where) {
    snprintf(folder, sizeof folder, "%s", where);
    alarm(300);
    sn_scope scope = sn_scope_begin();
    sn_set_log(use_library, NULL);
    char modules[512];
    snprintf(modules, sizeof modules, "%s", setting_text(SETTING_MODULE_DIR));
    setting_set(SETTING_MODULE_DIR, "/dev/null");
    do_again(run_chain, 1); /* no code generator */
    setting_set(SETTING_MODULE_DIR, modules);
    use_the_disk_cache();
    call_functions();
    sn_set_log(NULL, NULL);
    sn_scope_end(scope, NULL);
    int32_t report[PLACES + 1] = {failed_forks};
    for (int i = 0; i < PLACES; i++) report[i + 1] = places[i].lines;
    return child_report(report, sizeof report) ? 0 : 1;
}

/* ---- a sink in the midst of a trace ---------------------------------------------------------- */

static _Atomic int32_t sums, wrong_sums; /* computed by the sink below */

/* Its kernels are compiled on the way, so more is logged meanwhile. */
static void compute_sum(void *context, const char *topic, const char *text) {
    (void)context, (void)topic, (void)text;
    if (inside) return;
    inside = true;
    sn_scope scope = sn_scope_begin();
    wrong_sums += sn_item(sn_sum(sn_ones(SN_I(3), SN_F32), SN_I0, false)) != 3;
    sums++;
    sn_scope_end(scope, NULL);
    inside = false;
}

/* A value is read in the midst, for which kernels are compiled. */
static sn_tensor *reads_all(sn_tensor *x) {
    float values[5];
    sn_tensor *y = sn_add(sn_exp(x), x);
    sn_read(y, SN_F32, values, sizeof values);
    return sn_add(y, sn_c(1));
}

static int run_traced(void) {
    alarm(60);
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = tensor_random(6, SN_F32, SN_I(5));
    sn_explanation explanation = {.size = sizeof explanation};
    sn_compiled *c = sn_compile(reads_all, "t:t", NULL);
    sn_set_log(compute_sum, NULL);
    sn_tensor *y = SN_FN(c, reads_all)(x);
    sn_set_log(NULL, NULL);
    int32_t report = sums && !wrong_sums && sn_explain(c, &explanation) == SN_OK &&
                     explanation.host_reads == 1 && explanation.graphs == 2;
    EXPECT_SAME(y, reads_all(x));
    sn_compiled_release(c);
    sn_scope_end(scope, NULL);
    return child_report(&report, sizeof report) ? 0 : 1;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void a_sink_may_use_the_library_at_every_line(void **state) {
    (void)state;
    char base[] = "/tmp/sinter_log_sink_XXXXXX", setting[300];
    assert_non_null(mkdtemp(base));
    snprintf(setting, sizeof setting, "SINTER_CACHE_DIR=%s/cache", base);
    snprintf(folder, sizeof folder, "%s/cache", base);
    Child child;
    int32_t report[PLACES + 1];
    bool killed;
    const char *const arguments[] = {"child", folder, NULL};
    const char *const settings[] = {setting, "SINTER_LOG=all", "SINTER_PACK=off",
                                    "SINTER_CACHE_MB=1", NULL};
    assert_true(child_start(&child, arguments, settings));
    bool ended = child_finish(&child, report, sizeof report, &killed);
    remove_folder();
    (void)rmdir(base);
    assert_true(ended);
    assert_int_equal(report[0], 0);
    for (int i = 0; i < PLACES; i++)
        if (!report[i + 1]) fail_msg("no line of %s had \"%s\"", places[i].topic, places[i].part);
}

static void what_a_sink_computes_is_no_part_of_a_trace(void **state) {
    (void)state;
    Child child;
    int32_t report;
    bool killed;
    const char *const arguments[] = {"traced", NULL};
    const char *const settings[] = {"SINTER_CACHE_DIR=off", "SINTER_LOG=cache", "SINTER_PACK=off",
                                    NULL};
    assert_true(child_start(&child, arguments, settings));
    assert_true(child_finish(&child, &report, sizeof report, &killed));
    assert_true(report);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "traced") == 0) return run_traced();
    if (argc == 3 && strcmp(argv[1], "child") == 0) return run_child(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sink_may_use_the_library_at_every_line),
        cmocka_unit_test(what_a_sink_computes_is_no_part_of_a_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
