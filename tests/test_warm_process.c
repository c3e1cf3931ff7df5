/* The second process of a program: its kernels are on disk, so libLLVM is never loaded. And a process
 * without the code generator's module: eager runs from the pack, compiled functions from the disk. */
#include "api_case.h"
#include "child.h"

#include "base/settings.h"
#include "runtime/kernels/pack.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 16, INNER = 24, COLUMNS = 40, ELEMENTS = ROWS * COLUMNS };

/* What a process saw. */
typedef struct Report {
    float values[ELEMENTS]; /* the result */
    sn_counters counters;   /* at its end */
    double first_result_s;  /* from main() to the result */
    bool llvm;              /* libLLVM was mapped at the end */
    bool fine;              /* every call succeeded */
} Report;

/* A matrix product, pointwise ops, softmax. */
static sn_tensor *model(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_tensor *h = sn_gelu(sn_add(sn_matmul(x, w), b), SN_GELU_TANH);
    return sn_softmax(sn_mul(h, sn_sigmoid(h)), -1);
}

/* ---- in the process -------------------------------------------------------------------------- */

static sn_tensor *numbers(const int64_t *dims, int32_t rank) {
    int64_t count = rank == 2 ? dims[0] * dims[1] : dims[0];
    float data[INNER * COLUMNS];
    for (int64_t i = 0; i < count; i++) data[i] = (float)(i * 37 % 101) / 50 - 1;
    return sn_from_copy(data, (size_t)count * sizeof *data, dims, rank, SN_F32);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static sn_tensor *run_compiled(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_compiled *compiled = sn_compile(model, "ttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(compiled, model);
    sn_tensor *y = fast ? fast(x, w, b) : NULL;
    sn_compiled_release(compiled);
    return y;
}

/* The library's own, of all layouts and sizes that kernels tell apart; the last one is returned. */
static sn_tensor *run_products(void) {
    static const int64_t sizes[] = {0, 1, 5, 40};
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_BF16};
    sn_tensor *y = NULL;
    for (int i = 0; i < 3 * 4 * 4 * 4 * 4; i++) {
        sn_dtype dtype = dtypes[i / 256];
        int64_t m = sizes[i / 64 % 4], n = sizes[i / 16 % 4], k = sizes[i / 4 % 4];
        sn_tensor *x =
            i & 1 ? sn_transpose(sn_ones(SN_I(k, m), dtype), 0, 1) : sn_ones(SN_I(m, k), dtype);
        sn_tensor *w =
            i & 2 ? sn_ones(SN_I(n, k), dtype) : sn_transpose(sn_ones(SN_I(k, n), dtype), 0, 1);
        sn_linear(x, w, SN_NONE);
        y = sn_linear(x, w, sn_ones(SN_I(n), dtype));
        if (k == 0) continue;
        sn_matmul(sn_expand(x, SN_I(3, m, k)), sn_ones(SN_I(3, k, n), dtype));
        sn_matmul(x, sn_ones(SN_I(k), dtype));
    }
    return y; /* 40 + 1, 40 × 40 times */
}

/* `kind`: "compiled" or "eager" for the model, "add" for one op, "products". */
static int child_main(const char *kind, double started) {
    static Report report;
    sn_set_threads(1);
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = numbers(SN_I(ROWS, INNER)), *w = numbers(SN_I(INNER, COLUMNS));
    sn_tensor *b = numbers(SN_I(COLUMNS)), *y;
    if (strcmp(kind, "add") == 0) {
        sn_tensor *z = numbers(SN_I(ROWS, COLUMNS));
        y = sn_add(z, b);
    } else if (strcmp(kind, "products") == 0) {
        y = sn_full(SN_I(ROWS, COLUMNS), sn_item(sn_mean(run_products(), SN_I0, false)), SN_F32);
    } else {
        y = strcmp(kind, "eager") == 0 ? model(x, w, b) : run_compiled(x, w, b);
    }
    report.fine = sn_read(y, SN_F32, report.values, sizeof report.values);
    report.first_result_s = seconds_now() - started;
    if (!report.fine) fprintf(stderr, "%s: %s\n", kind, sn_error_text());
    report.llvm = is_mapped("libLLVM");
    report.counters.size = sizeof report.counters;
    sn_counters_get(&report.counters);
    sn_scope_end(scope, NULL);
    return child_report(&report, sizeof report) ? 0 : 1;
}

/* ---- in the parent --------------------------------------------------------------------------- */

static char cache[256];   /* SINTER_CACHE_DIR=… */
static char modules[256]; /* SINTER_MODULE_DIR=…, a folder without modules */

static char *folder_of(char *setting) {
    return strchr(setting, '=') + 1;
}

/* A new folder; its setting goes to `setting`. */
static bool make_folder(char *setting, size_t size, const char *name) {
    const char *base = getenv("TMPDIR");
    snprintf(setting, size, "%s=%.150s/sinter-test-XXXXXX", name, base && *base ? base : "/tmp");
    return mkdtemp(folder_of(setting)) != NULL;
}

static void remove_folder(const char *path) {
    DIR *stream = opendir(path);
    if (!stream) return;
    for (struct dirent *item; (item = readdir(stream));)
        (void)unlinkat(dirfd(stream), item->d_name, 0);
    closedir(stream);
    (void)rmdir(path);
}

static int setup(void **state) {
    (void)state;
    bool made = make_folder(cache, sizeof cache, "SINTER_CACHE_DIR") &&
                make_folder(modules, sizeof modules, "SINTER_MODULE_DIR");
    return made ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    remove_folder(folder_of(cache));
    remove_folder(folder_of(modules));
    return 0;
}

/* Runs a process: `change` is one more setting, or NULL. */
static void run(const char *kind, const char *change, Report *report) {
    Child child;
    bool killed;
    const char *const arguments[] = {"--child", kind, NULL};
    const char *const settings[] = {cache, change, NULL};
    assert_true(child_start(&child, arguments, settings));
    assert_true(child_finish(&child, report, sizeof *report, &killed));
    assert_true(report->fine);
}

static void warm_process_never_loads_llvm(void **state) {
    (void)state;
    static Report eager, cold, warm;
    run("eager", NULL, &eager);
    run("compiled", NULL, &cold);
    assert_true(cold.llvm && cold.counters.compiles > 0);
    assert_int_equal(cold.counters.fallbacks, 0);
    run("compiled", NULL, &warm);
    assert_false(warm.llvm);
    assert_int_equal(warm.counters.compiles, 0);
    assert_int_equal(warm.counters.fallbacks, 0);
    assert_int_equal(warm.counters.cache_disk_misses, 0);
    int64_t kernels = cold.counters.cache_disk_misses + cold.counters.cache_disk_hits;
    assert_int_equal(warm.counters.cache_disk_hits, kernels); /* softmax is eager's, too */
    assert_int_equal(warm.counters.llvm_load_ns, 0);
    assert_memory_equal(cold.values, eager.values, sizeof eager.values);
    assert_memory_equal(warm.values, eager.values, sizeof eager.values);
    print_message("first result %.2f ms after main(), cold %.1f ms\n", warm.first_result_s * 1e3,
                  cold.first_result_s * 1e3);
}

static void first_eager_ops_need_no_code_generator(void **state) {
    (void)state;
    needs_pack();
    static Report with, without;
    run("add", NULL, &with);
    assert_false(with.llvm);
    run("add", modules, &without);
    assert_memory_equal(without.values, with.values, sizeof with.values);
    run("eager", modules, &without);
    assert_false(without.llvm);
    assert_true(without.counters.compiles == 0 && without.counters.cache_pack_hits > 0);
    assert_true(without.counters.cache_disk_hits == 0);
}

static void eager_products_need_no_code_generator(void **state) {
    (void)state;
    needs_pack();
    static Report without;
    run("products", modules, &without);
    assert_false(without.llvm);
    assert_int_equal(without.counters.compiles, 0);
    for (int i = 0; i < ELEMENTS; i++) assert_true(without.values[i] == 41);
}

static void compiled_function_runs_from_the_disk_or_falls_back_without_it(void **state) {
    (void)state;
    needs_pack();
    static Report eager, without, cold;
    run("eager", NULL, &eager);
    run("compiled", modules, &without); /* nothing on disk: node by node, and counted */
    assert_true(without.counters.fallbacks > 0 && without.counters.compiles == 0);
    assert_memory_equal(without.values, eager.values, sizeof eager.values);
    run("compiled", NULL, &cold);
    run("compiled", modules, &without);
    assert_true(without.counters.fallbacks == 0 && without.counters.cache_disk_hits > 0);
    assert_memory_equal(without.values, eager.values, sizeof eager.values);
}

static void counters_tell_the_size_of_the_pack(void **state) {
    (void)state;
    needs_pack();
    sn_counters counters = counters_now();
    assert_true(counters.pack_bytes > 100000 && pack_count() > 100);
    assert_int_equal(counters.pack_bytes, pack_bytes());
    assert_int_equal(counters.pack_bytes % 64, 0);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--child") == 0) return child_main(argv[2], seconds_now());
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(warm_process_never_loads_llvm),
        CASE(first_eager_ops_need_no_code_generator),
        CASE(eager_products_need_no_code_generator),
        CASE(compiled_function_runs_from_the_disk_or_falls_back_without_it),
        CASE(counters_tell_the_size_of_the_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
