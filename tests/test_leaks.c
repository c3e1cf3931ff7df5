/* Thousands of rounds of compile, call and release leave the process as it was: blocks of the library,
 * memory of tensors, mapped code and resident memory stay flat. `test_leaks 10000` makes more rounds
 * than the default. */
#include "api_case.h"
#include "base/sanitizers.h"

#include "base/mem.h"

#include <pthread.h>
#include <unistd.h>

/* Sanitizers keep freed memory. */
enum {
    RESIDENT_COUNTS = !ADDRESS_SANITIZER && !THREAD_SANITIZER,
    DEFAULT_ROUNDS = RESIDENT_COUNTS ? 10000 : 300
};

static int64_t rounds = DEFAULT_ROUNDS;

/* What may not grow. */
typedef struct Usage {
    int64_t blocks;     /* of the library's heap */
    int64_t tensors;    /* bytes of tensors in use */
    int64_t resident;   /* bytes of the process in memory */
    int64_t mappings;   /* address ranges */
    int64_t executable; /* bytes that can be executed */
} Usage;

static Usage usage_now(void) {
    sn_memory_trim();
    Usage usage = {.blocks = mem_live_count(), .tensors = sn_memory().live_bytes};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    long long pages, resident;
    assert_int_equal(fscanf(file, "%lld %lld", &pages, &resident), 2);
    fclose(file);
    usage.resident = resident * sysconf(_SC_PAGESIZE);
    file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    char line[1024], rights[8];
    unsigned long long first, end;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%llx-%llx %7s", &first, &end, rights) != 3) continue;
        usage.mappings++;
        if (strchr(rights, 'x')) usage.executable += (int64_t)(end - first);
    }
    fclose(file);
    return usage;
}

/* Dead handles are kept for reuse, in debug builds even apart for a while: as many as will be. */
static void fill_dead_handles(void) {
    sn_scope scope = sn_scope_begin();
    for (int i = 0; i < 5000; i++) assert_non_null(sn_c(i));
    sn_scope_end(scope, NULL);
}

/* Runs a round until everything that is kept is there, then many more, and compares. */
static void expect_flat(void (*round)(int64_t number), int64_t count) {
    fill_dead_handles();
    int64_t warm = count / 10 < 100 ? count / 10 : 100;
    for (int64_t i = 0; i < warm; i++) round(i);
    Usage before = usage_now();
    for (int64_t i = 0; i < count; i++) round(i);
    Usage after = usage_now();
    EXPECT_OK();
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.tensors, before.tensors);
    if (!RESIDENT_COUNTS) return;
    if (after.executable != before.executable || after.mappings > before.mappings + 4)
        fail_msg("%lld mappings, %lld bytes of them executable; %lld and %lld before",
                 (long long)after.mappings, (long long)after.executable, (long long)before.mappings,
                 (long long)before.executable);
    if (after.resident > before.resident + (1 << 20))
        fail_msg("%lld bytes in memory, %lld before", (long long)after.resident,
                 (long long)before.resident);
}

static sn_tensor *model(sn_tensor *x, sn_tensor *y) {
    sn_tensor *h = sn_gelu(sn_add(x, y), SN_GELU_TANH);
    return sn_mul(sn_sub(h, sn_max(h, SN_I(-1), true)), sn_c(0.5));
}

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static void compile_call_release(int64_t number) {
    (void)number;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_ones(SN_I(3, 17), SN_F32), *y = sn_ones(SN_I(17), SN_F32);
    sn_tensor *z = sn_ones(SN_I(2, 5), SN_F32);
    sn_compiled *c = sn_compile(model, "tt:t", NULL);
    Binary *fast = SN_FN(c, model);
    for (int i = 0; i < 3; i++) assert_non_null(fast(x, y));
    assert_non_null(fast(z, z));
    sn_tensor *kept = sn_retain(fast(x, y));
    sn_compiled_release(c);
    sn_scope_end(scope, NULL);
    sn_release(kept);
}

static void rounds_of_compile_call_release_are_flat(void **state) {
    (void)state;
    expect_flat(compile_call_release, rounds);
}

static sn_tensor *reads_and_writes(sn_tensor *x, sn_tensor *y) {
    sn_add_(sn_select(x, 0, 0), sn_c(1));
    double sum = sn_item(sn_sum(x, SN_I0, false));
    return sum > 0 ? sn_mul(y, sn_c(sum)) : sn_neg(y);
}

static void compile_with_host_reads(int64_t number) {
    (void)number;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_ones(SN_I(3, 4), SN_F32);
    sn_compiled *c = sn_compile(reads_and_writes, "tt:t", NULL);
    for (int i = 0; i < 3; i++) assert_non_null(SN_FN(c, reads_and_writes)(x, x));
    sn_compiled_release(c);
    sn_scope_end(scope, NULL);
}

static void rounds_with_host_reads_and_writes_are_flat(void **state) {
    (void)state;
    expect_flat(compile_with_host_reads, rounds / 4);
}

/* Everything that fails, fails without a trace. */
static void fail_in_many_ways(int64_t number) {
    (void)number;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_ones(SN_I(3, 4), SN_F32), *wrong = sn_ones(SN_I(5), SN_F32);
    sn_compiled *c = sn_compile(model, "tt:t", NULL);
    Binary *fast = SN_FN(c, model);
    assert_null(fast(x, wrong));
    assert_int_equal(sn_error_take(NULL), SN_ERROR_SHAPE);
    assert_non_null(fast(x, x));
    assert_null(fast(x, wrong));
    assert_int_equal(sn_error_take(NULL), SN_ERROR_SHAPE);
    assert_null(sn_compile(model, "tt", NULL));
    assert_int_equal(sn_error_take(NULL), SN_ERROR_SIGNATURE);
    assert_null(sn_npy_load("/nonexistent/file.npy"));
    assert_int_equal(sn_error_take(NULL), SN_ERROR_IO);
    assert_null(sn_embedding(x, sn_full(SN_I(2), 9, SN_I64)));
    assert_int_equal(sn_error_take(NULL), SN_ERROR_INDEX);
    sn_error error;
    assert_null(sn_dump(c, "bogus", &error));
    sn_compiled_release(c);
    sn_scope_end(scope, NULL);
}

static void rounds_of_errors_are_flat(void **state) {
    (void)state;
    expect_flat(fail_in_many_ways, rounds / 4);
}

/* Sizes by turns: more than a thread keeps plans for. */
static void eager_at_many_sizes(int64_t number) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_ones(SN_I(1 + number % 1500), SN_F32);
    assert_non_null(sn_add(x, x));
    sn_scope_end(scope, NULL);
}

static void eager_calls_at_ever_other_sizes_are_bounded(void **state) {
    (void)state;
    for (int64_t i = 0; i < 3000; i++) eager_at_many_sizes(i);
    Usage before = usage_now();
    sn_counters compiles = counters_now();
    for (int64_t i = 0; i < 3000; i++) eager_at_many_sizes(i);
    Usage after = usage_now();
    /* Which plans of those 1,500 sizes hold the table's places depends on their order only. */
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(counters_now().compiles, compiles.compiles);
}

static void *work(void *unused) {
    (void)unused;
    compile_call_release(0);
    return NULL;
}

static void work_in_a_thread(int64_t number) {
    (void)number;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
    pthread_join(thread, NULL);
}

static void threads_that_come_and_go_are_flat(void **state) {
    (void)state;
    expect_flat(work_in_a_thread, rounds / 10);
}

int main(int argc, char **argv) {
    if (argc > 1) rounds = atoll(argv[1]);
    const struct CMUnitTest tests[] = {
        API_TEST(rounds_of_compile_call_release_are_flat),
        API_TEST(rounds_with_host_reads_and_writes_are_flat),
        API_TEST(rounds_of_errors_are_flat),
        API_TEST(eager_calls_at_ever_other_sizes_are_bounded),
        API_TEST(threads_that_come_and_go_are_flat),
    };
    return cmocka_run_group_tests_name("leaks", tests, NULL, NULL);
}
