/* First calls in child processes; see sinter_child.h. */
#include "sinter_child.h"

#include "sinter_measure.h"
#include "sinter_tool.h"

#include <errno.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { MOST_TIMES = 15 };

/* ---- in the child ---------------------------------------------------------------------------- */

/* Compiled first in a cold process: loads libLLVM and is like no workload. */
static sn_tensor *warm_up(sn_tensor *x) {
    return sn_bitwise_xor(sn_mul(x, x), sn_ci(5));
}

static bool load_llvm(void) {
    sn_compiled *compiled = sn_compile(warm_up, "t:t", NULL);
    sn_function function = compiled ? sn_compiled_fn(compiled) : NULL;
    sn_scope scope = sn_scope_begin();
    if (function) SN_FN(compiled, warm_up)(sn_zeros(SN_I(64), SN_I64));
    sn_scope_end(scope, NULL);
    sn_compiled_release(compiled);
    return sn_error_status() == SN_OK;
}

static bool is_mapped(const char *library) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;
    while (maps && !found && fgets(line, sizeof line, maps)) found = strstr(line, library) != NULL;
    if (maps) fclose(maps);
    return found;
}

/* The first call; its result counts as read when the call returns. */
static bool first_call(const Workload *workload, sn_numerics numerics, const Inputs *inputs,
                       sn_explanation *explanation) {
    sn_compiled *compiled = workload_compile(workload, numerics);
    sn_function function = compiled ? sn_compiled_fn(compiled) : NULL;
    if (!function) return false;
    Subject subject = {function, workload->model->invoke, inputs};
    bool ok = time_calls(&subject, 1) >= 0;
    if (ok) sn_explain(compiled, explanation);
    sn_compiled_release(compiled);
    return ok;
}

int run_child(const char *kind, const Workload *workload, sn_numerics numerics, double started) {
    bool cold = strcmp(kind, "cold") == 0;
    sn_counters counters = {.size = sizeof counters};
    sn_explanation explanation = {.size = sizeof explanation};
    Inputs inputs;
    if (cold && !load_llvm()) return report_error("bench", "loading libLLVM");
    double begin = now_seconds();
    if (!inputs_make(workload, true, &inputs)) return report_error("bench", workload->name);
    started += now_seconds() - begin;
    if (!first_call(workload, numerics, &inputs, &explanation))
        return report_error("bench", workload->name);
    double warm = now_seconds() - started;
    double compile = (double)(explanation.trace_ns + explanation.plan_ns + explanation.compile_ns);
    sn_counters_get(&counters);
    printf("%.9f %.9f %.9f %d\n", compile * 1e-9, (double)counters.llvm_load_ns * 1e-9, warm,
           is_mapped("libLLVM"));
    inputs_release(&inputs);
    return EXIT_FINE;
}

/* ---- in the parent --------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_folder(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The environment with another cache folder. The pointers are the caller's to free, `setting` too. */
static char **environment_with(char *setting) {
    size_t count = 0, length = strcspn(setting, "=") + 1;
    while (environ[count]) count++;
    char **result = malloc((count + 2) * sizeof *result);
    if (!result) return NULL;
    size_t at = 0;
    result[at++] = setting;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], setting, length) != 0) result[at++] = environ[i];
    result[at] = NULL;
    return result;
}

/* Runs the program with its output in `line`. */
static bool run_program(char *const *argv, char *const *environment, char *line, size_t size) {
    int ends[2];
    if (pipe(ends) != 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    pid_t child;
    bool ok = posix_spawn(&child, "/proc/self/exe", &actions, NULL, argv, environment) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t used = 0;
    ssize_t got = 1;
    while (ok && got > 0 && used + 1 < size) {
        got = read(ends[0], line + used, size - 1 - used);
        if (got > 0) used += (size_t)got;
        if (got < 0 && errno == EINTR) got = 1;
    }
    line[used] = 0;
    close(ends[0]);
    int status = 1;
    if (ok) waitpid(child, &status, 0);
    return ok && status == 0;
}

/* One child's line. */
typedef struct ChildTimes {
    double compile, llvm, warm; /* seconds */
    int mapped;                 /* libLLVM is */
} ChildTimes;

static bool run_first_call(const char *kind, const char *folder, const Workload *workload,
                           sn_numerics numerics, int32_t threads, ChildTimes *times) {
    char setting[256], threads_text[16], line[256];
    snprintf(setting, sizeof setting, "SINTER_CACHE_DIR=%s", folder);
    snprintf(threads_text, sizeof threads_text, "%d", (int)threads);
    const char *mode = numerics == SN_NUMERICS_FAST ? "fast" : "exact";
    const char *argv[] = {"sinter",     "bench",  "--child", kind,           "--threads",
                          threads_text, "--mode", mode,      workload->name, NULL};
    char **environment = environment_with(setting);
    bool ok = environment &&
              run_program((char *const *)(uintptr_t)argv, environment, line, sizeof line) &&
              sscanf(line, "%lf %lf %lf %d", &times->compile, &times->llvm, &times->warm,
                     &times->mapped) == 4;
    free(environment);
    return ok;
}

void measure_first_calls(const Workload *workload, sn_numerics numerics, int32_t threads,
                         int32_t times, FirstCalls *calls) {
    double compiles[MOST_TIMES], loads[MOST_TIMES], warms[MOST_TIMES];
    bool ok = true, without_llvm = true;
    if (times > MOST_TIMES) times = MOST_TIMES;
    for (int32_t i = 0; ok && i < times; i++) {
        char folder[] = "/tmp/sinter-bench-XXXXXX";
        ChildTimes cold, warm;
        if (!mkdtemp(folder)) ok = false;
        ok = ok && run_first_call("cold", folder, workload, numerics, threads, &cold) &&
             run_first_call("warm", folder, workload, numerics, threads, &warm);
        if (ok) {
            compiles[i] = cold.compile;
            loads[i] = cold.llvm;
            warms[i] = warm.warm;
            without_llvm = without_llvm && !warm.mapped;
        }
        remove_folder(folder);
    }
    *calls = (FirstCalls){-1, -1, -1, false};
    if (!ok) return;
    *calls = (FirstCalls){median(compiles, times), median(loads, times), median(warms, times),
                          without_llvm};
}
