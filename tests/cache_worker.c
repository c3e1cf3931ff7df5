/* The worker process; see cache_worker.h. */
#include "cache_worker.h"

#include <sinter/sinter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 7, COLUMNS = 33, ELEMENTS = ROWS * COLUMNS };

/* ---- the functions --------------------------------------------------------------------------- */

typedef sn_tensor *Step(sn_tensor *x, sn_tensor *y);

static sn_tensor *add(sn_tensor *x, sn_tensor *y) {
    return sn_add(x, y);
}
static sn_tensor *multiply(sn_tensor *x, sn_tensor *y) {
    return sn_mul(x, y);
}
static sn_tensor *halve(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_mul(x, sn_c(0.5));
}
static sn_tensor *shift(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_sub(x, sn_c(0.75));
}
static sn_tensor *root(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_sqrt(sn_abs(x));
}
static sn_tensor *bend(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_tanh(x);
}
static sn_tensor *squash(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_sigmoid(x);
}
static sn_tensor *larger(sn_tensor *x, sn_tensor *y) {
    return sn_maximum(x, y);
}
static sn_tensor *choose(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_gt(x, sn_c(0.25)), x, y);
}
static sn_tensor *centre(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_sub(x, sn_mean(x, SN_I(-1), true));
}

static Step *const steps[] = {add,  multiply, halve,  shift,  root,
                              bend, squash,   larger, choose, centre};
enum { STEPS = sizeof steps / sizeof steps[0], DIGITS = 3 };

/* Function `number`: its decimal digits are the first steps, so that no two are alike. */
static sn_tensor *chain(sn_tensor *x, sn_tensor *y, int32_t number) {
    int32_t rest = number;
    sn_tensor *z = sn_add(sn_mul(x, y), x);
    for (int i = 0; i < DIGITS; i++, rest /= STEPS) z = steps[rest % STEPS](z, y);
    for (int32_t i = 0; i < number % 4; i++) z = sn_sub(sn_mul(z, x), y);
    return number % 5 == 0 ? sn_softmax(z, -1) : z;
}

/* ---- in the worker --------------------------------------------------------------------------- */

static uint64_t hash_of(const float *values, int number) {
    uint64_t hash = 0xcbf29ce484222325u + (uint64_t)number;
    const unsigned char *bytes = (const unsigned char *)values;
    for (size_t i = 0; i < ELEMENTS * sizeof *values; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* Compares one function with eager; false when anything is not as it must be. */
static bool try_function(sn_tensor *x, sn_tensor *y, int32_t number, uint64_t *bits) {
    float want[ELEMENTS], got[ELEMENTS];
    sn_scope scope = sn_scope_begin();
    sn_compiled *compiled = sn_compile(chain, "tti:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, int32_t) = SN_FN(compiled, chain);
    bool fine = fast && sn_read(fast(x, y, number), SN_F32, got, sizeof got) &&
                sn_read(chain(x, y, number), SN_F32, want, sizeof want);
    sn_scope_end(scope, NULL);
    sn_compiled_release(compiled);
    if (sn_error_status() != SN_OK) fprintf(stderr, "%d: %s\n", (int)number, sn_error_text());
    if (!fine) return false;
    *bits += hash_of(got, number);
    return memcmp(want, got, sizeof want) == 0;
}

static void try_all(const WorkerTask *task, WorkerReport *report) {
    float a[ELEMENTS], b[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
        a[i] = (float)(i * 37 % 101) / 50 - 1;
        b[i] = (float)(i * 53 % 97) / 40 - 1.2f;
    }
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_from_copy(a, sizeof a, SN_I(ROWS, COLUMNS), SN_F32);
    sn_tensor *y = sn_from_copy(b, sizeof b, SN_I(ROWS, COLUMNS), SN_F32);
    for (int i = 0; i < task->count; i++) {
        int number = (task->first + i * task->step) % task->count;
        if (!try_function(x, y, number, &report->bits)) report->wrong++;
    }
    sn_scope_end(scope, NULL);
}

int worker_main(int argc, char **argv) {
    if (argc != 5 || strcmp(argv[1], "--worker") != 0) return -1;
    WorkerTask task = {.count = atoi(argv[2]), .first = atoi(argv[3]), .step = atoi(argv[4])};
    WorkerReport report = {0};
    sn_counters counters = {.size = sizeof counters};
    sn_set_threads(1);
    int before = open_descriptors();
    try_all(&task, &report);
    report.leaked = open_descriptors() - before;
    sn_counters_get(&counters);
    report.compiles = counters.compiles;
    report.hits = counters.cache_disk_hits;
    report.misses = counters.cache_disk_misses;
    report.corrupt = counters.cache_corrupt;
    report.fallbacks = counters.fallbacks;
    return child_report(&report, sizeof report) ? 0 : 1;
}

/* ---- in the parent --------------------------------------------------------------------------- */

Child worker_start(const WorkerTask *task) {
    char count[16], first[16], step[16], folder[512], megabytes[48];
    Child child;
    snprintf(count, sizeof count, "%d", task->count);
    snprintf(first, sizeof first, "%d", task->first);
    snprintf(step, sizeof step, "%d", task->step);
    snprintf(folder, sizeof folder, "SINTER_CACHE_DIR=%s", task->folder);
    snprintf(megabytes, sizeof megabytes, "SINTER_CACHE_MB=%d", task->megabytes);
    const char *const arguments[] = {"--worker", count, first, step, NULL};
    const char *const settings[] = {folder, megabytes, NULL};
    assert_true(child_start(&child, arguments, settings));
    return child;
}

bool worker_ended(Child *child, WorkerReport *report) {
    bool killed;
    bool fine = child_finish(child, report, sizeof *report, &killed);
    if (killed) return false;
    assert_true(fine);
    assert_int_equal(report->wrong, 0);
    assert_int_equal(report->fallbacks, 0);
    assert_int_equal(report->leaked, 0);
    return true;
}

WorkerReport worker_finish(Child *child) {
    WorkerReport report;
    assert_true(worker_ended(child, &report));
    return report;
}

WorkerReport worker_run(const WorkerTask *task) {
    Child child = worker_start(task);
    return worker_finish(&child);
}
