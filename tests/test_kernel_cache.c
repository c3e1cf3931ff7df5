/* The kernel cache: order of the tiers, one compile per key for threads and processes, failures that
 * leave nothing behind, the pack, and executable memory. */
#include "runtime/kernels/code.h"
#include "runtime/kernels/disk_cache.h"
#include "runtime/kernels/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/sanitizers.h"
#include "fake_backend.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static char folder[256];

static int setup(void **state) {
    (void)state;
    if (!fresh_folder(folder, sizeof folder)) return -1;
    setting_set(SETTING_CACHE_DIR, folder);
    setting_set(SETTING_PACK, "on");
    backend_register(&fake_backend);
    atomic_store(&fake_compiles, 0);
    atomic_store(&fake_fails, false);
    atomic_store(&fake_delay_us, 0);
    atomic_store(&fake_code_size, 0);
    kernel_cache_clear();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    kernel_cache_clear();
    remove_folder(folder);
    return 0;
}

/* Counters since `since`. */
static CacheCounters counted(const CacheCounters *since) {
    CacheCounters now;
    kernel_cache_counters(&now);
    return (CacheCounters){
        .memory_hits = now.memory_hits - since->memory_hits,
        .pack_hits = now.pack_hits - since->pack_hits,
        .disk_hits = now.disk_hits - since->disk_hits,
        .disk_misses = now.disk_misses - since->disk_misses,
        .corrupt_entries = now.corrupt_entries - since->corrupt_entries,
        .compiles = now.compiles - since->compiles,
        .failures = now.failures - since->failures,
    };
}

/* Gets kernel n, which must come from `source` and run. */
static const LoadedKernel *expect_from(int n, CacheSource source) {
    const LoadedKernel *loaded;
    CacheSource got;
    sn_error error = {0};
    assert_int_equal(fake_get(n, &loaded, &got, &error), SN_OK);
    assert_int_equal(got, source);
    assert_true(fake_runs(loaded));
    return loaded;
}

static void tiers_are_asked_from_memory_to_compiler(void **state) {
    (void)state;
    CacheCounters start;
    kernel_cache_counters(&start);
    const LoadedKernel *first = expect_from(1, CACHE_COMPILED);
    assert_ptr_equal(expect_from(1, CACHE_MEMORY), first);
    assert_string_equal(first->text, "kernel {\n  params 1\n}\n");
    assert_int_equal(first->code_bytes, 64);
    assert_int_equal(first->source, CACHE_COMPILED);
    assert_int_equal(strlen(first->name), 33);
    assert_int_equal(first->name[0], 'k');
    char name[CACHE_NAME_LENGTH];
    snprintf(name, sizeof name, "%s", first->name);
    assert_int_equal(count_files(folder, name), 1);
    kernel_cache_clear();
    first = expect_from(1, CACHE_DISK);
    assert_string_equal(first->name, name);
    CacheCounters c = counted(&start);
    assert_int_equal(c.memory_hits, 1);
    assert_int_equal(c.disk_hits, 1);
    assert_int_equal(c.disk_misses, 1);
    assert_int_equal(c.compiles, 1);
    assert_int_equal(c.corrupt_entries, 0);
    assert_int_equal(c.failures, 0);
}

static void schedules_are_different_kernels(void **state) {
    (void)state;
    Kernel kernel;
    const LoadedKernel *a, *b;
    Schedule plain = {0}, streaming = {.stream_stores = true};
    assert_int_equal(fake_kernel(&kernel, 1), SN_OK);
    assert_int_equal(kernel_cache_get(&kernel, &plain, &a, NULL, NULL), SN_OK);
    assert_int_equal(kernel_cache_get(&kernel, &streaming, &b, NULL, NULL), SN_OK);
    assert_ptr_not_equal(a, b);
    assert_string_not_equal(a->name, b->name);
    kernel_free(&kernel);
}

static void corrupt_disk_entry_is_compiled_again(void **state) {
    (void)state;
    CacheCounters start;
    kernel_cache_counters(&start);
    expect_from(1, CACHE_COMPILED);
    kernel_cache_clear();
    DIR *open_folder = opendir(folder);
    for (struct dirent *item; (item = readdir(open_folder));) {
        if (item->d_name[0] != 'k') continue;
        int fd = openat(dirfd(open_folder), item->d_name, O_WRONLY);
        assert_int_equal(pwrite(fd, "\x90", 1, 190), 1);
        close(fd);
    }
    closedir(open_folder);
    expect_from(1, CACHE_COMPILED);
    assert_int_equal(counted(&start).corrupt_entries, 1);
    kernel_cache_clear();
    expect_from(1, CACHE_DISK);
}

static void cache_without_a_disk_still_works(void **state) {
    (void)state;
    setting_set(SETTING_CACHE_DIR, "off");
    expect_from(1, CACHE_COMPILED);
    kernel_cache_clear();
    setting_set(SETTING_CACHE_DIR, "/proc/nowhere");
    expect_from(1, CACHE_COMPILED);
    expect_from(1, CACHE_MEMORY);
}

static void failed_compile_leaves_nothing_behind(void **state) {
    (void)state;
    const LoadedKernel *loaded;
    expect_from(1, CACHE_COMPILED);
    int64_t live = mem_live_count();
    atomic_store(&fake_fails, true);
    for (int i = 0; i < 3; i++) {
        sn_error error = {0};
        assert_int_equal(fake_get(2, &loaded, NULL, &error), SN_ERROR_COMPILE);
        assert_string_equal(error.text, "made to fail");
        assert_null(loaded);
        assert_int_equal(mem_live_count(), live);
    }
    assert_int_equal(count_files(folder, ""), 1);
    atomic_store(&fake_fails, false);
    expect_from(2, CACHE_COMPILED);
    expect_from(3, CACHE_COMPILED);
    expect_from(2, CACHE_MEMORY);
}

static void missing_module_is_an_error_that_says_so(void **state) {
    (void)state;
    sn_error error = {0};
    setting_set(SETTING_MODULE_DIR, "/no/such/folder");
    assert_null(backend_load("cuda", &error));
    assert_int_equal(error.status, SN_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "/no/such/folder/libsinter_cuda.so"));
    sn_error again = {0};
    assert_null(backend_load("cuda", &again));
    assert_string_equal(again.text, error.text);
    setting_set(SETTING_MODULE_DIR, "/another");
    sn_error other = {0};
    assert_null(backend_load("cuda", &other));
    assert_non_null(strstr(other.text, "/another/libsinter_cuda.so"));
    assert_null(backend_load("a-name-beyond-reason", NULL));
}

static void every_failed_allocation_is_survived(void **state) {
    (void)state;
    kernel_cache_clear();
    int64_t live = mem_live_count();
    bool done = false;
    for (int n = 1; !done; n++) {
        const LoadedKernel *loaded;
        Kernel kernel;
        Schedule schedule = {0};
        assert_int_equal(fake_kernel(&kernel, 1), SN_OK);
        mem_fail_after(n, false);
        int64_t before = mem_request_count();
        sn_error error = {0};
        sn_status status = kernel_cache_get(&kernel, &schedule, &loaded, NULL, &error);
        done = mem_request_count() - before < n;
        mem_fail_after(0, false);
        if (status == SN_OK)
            assert_true(fake_runs(loaded));
        else
            assert_int_equal(error.status, SN_ERROR_MEMORY);
        kernel_free(&kernel);
        kernel_cache_clear();
        remove_folder(folder);
        assert_int_equal(mem_live_count(), live);
        assert_true(n < 200);
    }
}

/* ---- many at once ---------------------------------------------------------------------------- */

enum { THREADS = 8, KERNELS = 40 };

/* What one thread saw. */
typedef struct Seen {
    pthread_t thread;                     /* the thread */
    const LoadedKernel *kernels[KERNELS]; /* what it got */
    sn_status status[KERNELS];            /* how */
} Seen;

static void *get_all(void *data) {
    Seen *seen = data;
    for (int i = 0; i < KERNELS; i++) seen->status[i] = fake_get(i, &seen->kernels[i], NULL, NULL);
    return NULL;
}

static void run_threads(Seen *seen) {
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&seen[t].thread, NULL, get_all, &seen[t]), 0);
    for (int t = 0; t < THREADS; t++) pthread_join(seen[t].thread, NULL);
}

static void threads_compile_each_kernel_once(void **state) {
    (void)state;
    static Seen seen[THREADS];
    atomic_store(&fake_delay_us, 1000);
    run_threads(seen);
    assert_int_equal(atomic_load(&fake_compiles), KERNELS);
    for (int i = 0; i < KERNELS; i++) {
        assert_true(fake_runs(seen[0].kernels[i]));
        for (int t = 0; t < THREADS; t++) {
            assert_int_equal(seen[t].status[i], SN_OK);
            assert_ptr_equal(seen[t].kernels[i], seen[0].kernels[i]);
        }
    }
    assert_int_equal(count_files(folder, "k"), KERNELS);
    assert_int_equal(count_files(folder, "tmp-"), 0);
}

static void threads_that_wait_get_the_error_too(void **state) {
    (void)state;
    static Seen seen[THREADS];
    int64_t live = mem_live_count();
    atomic_store(&fake_delay_us, 1000);
    atomic_store(&fake_fails, true);
    run_threads(seen);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < KERNELS; i++) assert_int_equal(seen[t].status[i], SN_ERROR_COMPILE);
    kernel_cache_clear();
    assert_true(mem_live_count() <= live + 1); /* the opened disk cache is gone too */
    atomic_store(&fake_fails, false);
    for (int i = 0; i < KERNELS; i++) expect_from(i, CACHE_COMPILED);
}

/* A child's life: gets kernels until it is killed or has them all. */
static void child_gets_all(int first) {
    for (int i = 0; i < KERNELS; i++) {
        const LoadedKernel *loaded;
        if (fake_get((first + i) % KERNELS, &loaded, NULL, NULL) != SN_OK) _exit(1);
        if (!fake_runs(loaded)) _exit(2);
    }
    _exit(0);
}

static void processes_killed_at_any_time_do_no_harm(void **state) {
    (void)state;
    enum { ROUNDS = 12, CHILDREN = 4 };
    CacheCounters start;
    atomic_store(&fake_delay_us, 100);
    atomic_store(&fake_code_size, 16384);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[CHILDREN];
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = fork();
            if (children[i] == 0) child_gets_all(i * 7);
        }
        usleep((useconds_t)(200 + 700 * round));
        for (int i = 0; i < CHILDREN; i++) {
            int status;
            if (i % 2) kill(children[i], SIGKILL);
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFSIGNALED(status) ? i % 2 : WEXITSTATUS(status) == 0);
        }
        if (round % 3 == 2) remove_folder(folder);
    }
    kernel_cache_counters(&start);
    for (int i = 0; i < KERNELS; i++) {
        const LoadedKernel *loaded;
        assert_int_equal(fake_get(i, &loaded, NULL, NULL), SN_OK);
        assert_true(fake_runs(loaded));
    }
    assert_int_equal(counted(&start).memory_hits, 0); /* the children's work is not ours */
    assert_int_equal(counted(&start).corrupt_entries, 0);
}

static void *get_slowly(void *data) {
    (void)fake_get(1, data, NULL, NULL);
    return NULL;
}

static void a_fork_waits_for_the_code_generator(void **state) {
    (void)state;
    /* To one a thread that ends before the fork is one not joined, in the child; the other's lock may be
     * taken there, for the thread goes on as the fork begins. */
    if (THREAD_SANITIZER || ADDRESS_SANITIZER) skip();
    pthread_t thread;
    const LoadedKernel *loaded;
    atomic_store(&fake_delay_us, 100000);
    assert_int_equal(pthread_create(&thread, NULL, get_slowly, &loaded), 0);
    while (!atomic_load(&fake_compiling)) usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        if (atomic_load(&fake_compiling)) _exit(3);
        child_gets_all(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pthread_join(thread, NULL);
    assert_true(fake_runs(loaded));
}

static void child_of_a_fork_does_not_wait_for_threads_it_lacks(void **state) {
    (void)state;
    pthread_t thread;
    const LoadedKernel *loaded;
    int before = atomic_load(&fake_releases);
    atomic_store(&fake_release_delay_us,
                 300000); /* generated, for which a fork waits, and no more */
    assert_int_equal(pthread_create(&thread, NULL, get_slowly, &loaded), 0);
    while (atomic_load(&fake_releases) == before) usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        atomic_store(&fake_release_delay_us, 0);
        child_gets_all(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pthread_join(thread, NULL);
    atomic_store(&fake_release_delay_us, 0);
    assert_true(fake_runs(loaded));
}

/* ---- the pack -------------------------------------------------------------------------------- */

/* The exported pack of the first `n` kernels, in aligned memory. */
static void *make_pack(int n, size_t *bytes) {
    static const TargetIsa isas[] = {ISA_AVX2, ISA_AVX512};
    StrBuf out = {0};
    sn_error error = {0};
    const LoadedKernel *loaded;
    for (int i = 0; i < n; i++) assert_int_equal(fake_get(i, &loaded, NULL, NULL), SN_OK);
    assert_int_equal(kernel_cache_export(isas, 2, &out, &error), SN_OK);
    void *copy = mem_alloc_aligned(4096, out.length);
    assert_non_null(copy);
    memcpy(copy, out.text, out.length);
    *bytes = out.length;
    strbuf_free(&out);
    return copy;
}

static void pack_serves_kernels_without_disk_or_compiler(void **state) {
    (void)state;
    size_t bytes;
    void *pack = make_pack(5, &bytes);
    kernel_cache_clear();
    setting_set(SETTING_CACHE_DIR, "off");
    atomic_store(&fake_compiles, 0);
    assert_int_equal(pack_attach(pack, bytes, false, NULL), SN_OK);
    assert_int_equal(pack_count(), 10);
    for (int i = 0; i < 5; i++) expect_from(i, CACHE_PACK);
    expect_from(0, CACHE_MEMORY);
    assert_int_equal(atomic_load(&fake_compiles), 0);
    expect_from(7, CACHE_COMPILED);
    kernel_cache_clear();
    setting_set(SETTING_PACK, "off");
    expect_from(0, CACHE_COMPILED);
    kernel_cache_clear();
    assert_int_equal(pack_attach(pack, bytes, false, NULL), SN_OK);
    /* Detach by attaching an empty one, which outlives the test. */
    static _Alignas(64) char empty[4096];
    StrBuf out = {0};
    PackBuilder *builder = pack_builder_new();
    assert_int_equal(pack_builder_finish(builder, &out, NULL), SN_OK);
    assert_true(out.length <= sizeof empty);
    memcpy(empty, out.text, out.length);
    assert_int_equal(pack_attach(empty, out.length, false, NULL), SN_OK);
    assert_int_equal(pack_count(), 0);
    strbuf_free(&out);
    pack_builder_free(builder);
    mem_free(pack);
}

/* Adds a made-up kernel. */
static void add(PackBuilder *builder, const char *text, TargetIsa isa, uint8_t fill, size_t size) {
    CacheKey key;
    Schedule schedule = {0};
    uint8_t bytes[4096];
    memset(bytes, fill, size);
    CacheCode code = {bytes, size, 0};
    assert_true(cache_key_make(text, strlen(text), isa, &schedule, &key));
    assert_true(pack_builder_add(builder, &key, &code));
    assert_true(pack_builder_add(builder, &key, &code)); /* twice is once */
}

static void pack_is_the_same_in_any_order_and_shares_texts(void **state) {
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    PackBuilder *a = pack_builder_new(), *b = pack_builder_new();
    add(a, text, ISA_AVX2, 1, 64);
    add(a, "other", ISA_AVX2, 2, 128);
    add(a, text, ISA_AVX512, 3, 64);
    add(b, text, ISA_AVX512, 3, 64);
    add(b, text, ISA_AVX2, 1, 64);
    add(b, "other", ISA_AVX2, 2, 128);
    StrBuf x = {0}, y = {0};
    assert_int_equal(pack_builder_finish(a, &x, NULL), SN_OK);
    assert_int_equal(pack_builder_finish(b, &y, NULL), SN_OK);
    assert_int_equal(x.length, y.length);
    assert_memory_equal(x.text, y.text, x.length);
    assert_in_range(x.length, 128 + 3 * 48 + 999 + 256, 128 + 3 * 48 + 999 + 5 + 256 + 64);
    strbuf_free(&x);
    strbuf_free(&y);
    pack_builder_free(a);
    pack_builder_free(b);
}

static void damaged_pack_is_refused_or_harmless(void **state) {
    (void)state;
    size_t bytes;
    CacheKey key;
    CacheCode code;
    bool executable;
    Schedule schedule = {0};
    const char *text = "kernel {\n  params 0\n}\n";
    char *pack = make_pack(3, &bytes);
    assert_true(cache_key_make(text, strlen(text), ISA_AVX2, &schedule, &key));
    sn_error error = {0};
    assert_int_equal(pack_attach(pack, 100, false, &error), SN_ERROR_FORMAT);
    assert_int_equal(pack_attach(pack + 1, bytes - 1, false, NULL), SN_ERROR_FORMAT);
    assert_int_equal(pack_attach(pack, bytes - 64, false, NULL), SN_ERROR_FORMAT);
    for (size_t i = 0; i < 128 + 6 * 48; i++) {
        pack[i] = (char)~pack[i];
        if (pack_attach(pack, bytes, false, NULL) == SN_OK && pack_find(&key, &code, &executable))
            assert_true(code.bytes >= (uint8_t *)pack && code.entry < code.size &&
                        code.bytes + code.size <= (uint8_t *)pack + bytes);
        pack[i] = (char)~pack[i];
    }
    assert_int_equal(pack_attach(pack, bytes, false, NULL), SN_OK);
    assert_true(pack_find(&key, &code, &executable));
    key.text = "kernel {\n  params 9\n}\n"; /* the same hash, another text */
    assert_false(pack_find(&key, &code, &executable));
    static _Alignas(64) char kept[1 << 16];
    assert_true(bytes <= sizeof kept);
    memcpy(kept, pack, bytes);
    assert_int_equal(pack_attach(kept, bytes, false, NULL), SN_OK);
    mem_free(pack);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A stale pack: the identity of the compiler, which hashes the sources of the code generator, comes
 * first in its header's text. */
static void pack_of_another_compiler_is_refused(void **state) {
    (void)state;
    enum { COMPILER = 24 };
    size_t bytes;
    char *pack = make_pack(2, &bytes);
    sn_error error = {0};
    assert_memory_equal(pack + COMPILER, cache_compiler(), strlen(cache_compiler()) + 1);
    for (size_t i = 0; i < strlen(cache_compiler()); i++) {
        pack[COMPILER + i] ^= 1;
        assert_int_equal(pack_attach(pack, bytes, false, &error), SN_ERROR_FORMAT);
        assert_string_equal(error.text, "the pack of kernels is of another version");
        pack[COMPILER + i] ^= 1;
    }
    mem_free(pack);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(tiers_are_asked_from_memory_to_compiler),
        CASE(schedules_are_different_kernels),
        CASE(corrupt_disk_entry_is_compiled_again),
        CASE(cache_without_a_disk_still_works),
        CASE(failed_compile_leaves_nothing_behind),
        CASE(missing_module_is_an_error_that_says_so),
        CASE(every_failed_allocation_is_survived),
        CASE(threads_compile_each_kernel_once),
        CASE(threads_that_wait_get_the_error_too),
        CASE(processes_killed_at_any_time_do_no_harm),
        CASE(a_fork_waits_for_the_code_generator),
        CASE(child_of_a_fork_does_not_wait_for_threads_it_lacks),
        CASE(pack_serves_kernels_without_disk_or_compiler),
        CASE(pack_is_the_same_in_any_order_and_shares_texts),
        CASE(damaged_pack_is_refused_or_harmless),
        CASE(pack_of_another_compiler_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
