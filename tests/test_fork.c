/* A process may fork at any time: while other threads are in the middle of every part of the library that
 * has a lock, a condition variable or a thread, and after it used them. The child uses the same part;
 * an alarm ends one that hangs. */
#include "api_case.h"
#include "base/sanitizers.h"

#include "base/settings.h"
#include "base/thread/log.h"
#include "base/thread/parallel.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/code.h"
#include "runtime/kernels/kernel_cache.h"
#include "runtime/memory.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 2, FORKS = 40, CHILD_SECONDS = 60 };

/* Uses one part of the library; `i` is another number each time. False where something is wrong. */
typedef bool Work(uint32_t i);

static _Atomic bool stop;
static _Atomic uint32_t numbers;

static void *work_on(void *data) {
    Work *work;
    memcpy(&work, data, sizeof work);
    bool fine = true;
    while (fine && !atomic_load(&stop)) fine = work(atomic_fetch_add(&numbers, 1));
    return fine ? data : NULL;
}

static int run_child(Work *work) {
    alarm(CHILD_SECONDS);
    signal(SIGSEGV, SIG_DFL); /* cmocka's handler goes on with the next test */
    bool fine = true;
    for (int i = 0; fine && i < 3; i++) fine = work(atomic_fetch_add(&numbers, 1));
    return fine ? 0 : 1;
}

static void fork_once(Work *work) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) _exit(run_child(work));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) fail_msg("the child was ended by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A sanitizer's own locks, which a starting thread takes too, may be taken in the child of a fork amid
 * threads. */
static const bool sanitized = ADDRESS_SANITIZER || THREAD_SANITIZER;

/* Forks while threads work, and after they have; with a sanitizer only then, and after a rest. */
static void fork_amid(Work *work, int forks) {
    pthread_t threads[WORKERS];
    if (sanitized) forks = 0;
    void *fine[WORKERS];
    atomic_store(&stop, false);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_on, &work), 0);
    for (int i = 0; i < forks; i++) {
        fork_once(work);
        usleep((useconds_t)i * 37 % 1000);
    }
    if (!forks) usleep(100000); /* the threads meet each other */
    atomic_store(&stop, true);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], &fine[i]);
    for (int i = 0; i < WORKERS; i++) assert_non_null(fine[i]);
    if (sanitized) {
        sn_compile_wait();
        usleep(100000); /* the library's own thread waits by now */
    }
    fork_once(work);
}

/* ---- what the parts do ----------------------------------------------------------------------- */

static void ignore_line(void *context, const char *topic, const char *text) {
    (void)context, (void)topic, (void)text;
}

static bool write_log(uint32_t i) {
    log_set_sink(ignore_line, NULL);
    log_write(LOG_TRACE, "line %u", i);
    return true;
}

static bool allocate(uint32_t i) {
    size_t bytes = (size_t)1000 << i % 12; /* both from a thread's cache and the process's */
    void *block = memory_alloc(bytes);
    memory_free(block, bytes);
    if (i % 64 == 0) memory_trim();
    return block != NULL;
}

static bool map_code(uint32_t i) {
    static const unsigned char bytes[4096];
    Code code;
    bool mapped = code_map(bytes, 64 + i % 4000, &code, NULL) == SN_OK;
    if (mapped) code_free(&code);
    return mapped;
}

/* Large enough for threads, but for a sanitizer that lets a child start none. */
static bool multiply(uint32_t i) {
    int64_t side = (THREAD_SANITIZER ? 1 : 200) + i % 57;
    sn_scope scope = sn_scope_begin();
    sn_tensor *ones = sn_ones(SN_I(side, side), SN_F32);
    double mean = sn_item(sn_mean(sn_matmul(ones, ones), SN_I0, false));
    bool fine = sn_error_take(NULL) == SN_OK && mean == (double)side;
    sn_scope_end(scope, NULL);
    return fine;
}

static void use_threads(void *context, int64_t begin, int64_t end, int32_t thread) {
    (void)begin, (void)end, (void)thread;
    atomic_fetch_add((_Atomic int32_t *)context, 1);
}

typedef sn_tensor *Unary(sn_tensor *);

static _Thread_local uint32_t length; /* of the chain */

static sn_tensor *chain(sn_tensor *x) {
    for (uint32_t i = 0; i <= length % 8; i++)
        x = length >> i & 1 ? sn_abs(sn_add(x, sn_c(1))) : sn_neg(x);
    return x;
}

/* Calls `c` as often as it says, with tensors of the size; true when all went well. */
static bool call(sn_compiled *c, int64_t size, int times) {
    Unary *fast = SN_FN(c, chain);
    sn_scope scope = sn_scope_begin();
    for (int i = 0; i < times; i++) fast(sn_ones(SN_I(size, 3), SN_F32));
    bool fine = sn_error_take(NULL) == SN_OK;
    sn_scope_end(scope, NULL);
    return fine;
}

static bool compile_new(uint32_t i, sn_stance stance) {
    length = i;
    sn_compile_options options = {.stance = stance};
    sn_compiled *c = sn_compile(chain, "t:t", &options);
    bool fine = c && call(c, 4, 2);
    sn_compile_wait();
    sn_compiled_release(c);
    return fine;
}

/* Another kernel nearly each time: the kernel cache and its disk, the code generator, closures. */
static bool compile_now(uint32_t i) {
    return compile_new(i, SN_STANCE_DEFAULT);
}

static bool compile_behind(uint32_t i) {
    return compile_new(i, SN_STANCE_ASYNC);
}

static sn_compiled *shared; /* whose calls wait for their turn */

static bool call_shared(uint32_t i) {
    length = 3;
    return call(shared, 1 + i % 500, 1);
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* No kernel was loaded before the fork, and helpers were there: the first test of all. */
static void a_child_multiplies_after_its_parent_used_threads(void **state) {
    (void)state;
    if (sanitized) skip(); /* a helper may have been made and not begun */
    _Atomic int32_t pieces = 0;
    parallel_for(4, 1000, use_threads, &pieces);
    assert_true(atomic_load(&pieces) > 1);
    fork_once(multiply);
}

static void amid_lines_of_the_log(void **state) {
    (void)state;
    fork_amid(write_log, FORKS);
    log_set_sink(NULL, NULL);
}

static void amid_allocations(void **state) {
    (void)state;
    fork_amid(allocate, FORKS);
}

static void amid_code_being_mapped(void **state) {
    (void)state;
    fork_amid(map_code, FORKS);
}

static void amid_matrix_products(void **state) {
    (void)state;
    fork_amid(multiply, FORKS);
}

static void amid_compiling(void **state) {
    (void)state;
    fork_amid(compile_now, FORKS);
}

/* The process's first kernels: a compiler makes its tables at first use, and would leave a child them by
 * halves. In a child, since it takes a process that never compiled; forked at a time that `i` tells. */
static int fork_amid_first_kernels(int i) {
    pthread_t threads[WORKERS];
    Work *work = compile_now;
    alarm(CHILD_SECONDS);
    signal(SIGSEGV, SIG_DFL);
    atomic_store(&stop, false);
    for (int t = 0; t < WORKERS; t++)
        if (pthread_create(&threads[t], NULL, work_on, &work) != 0) return 2;
    usleep((useconds_t)i * 250);
    int status = -1;
    pid_t child = fork();
    if (child == 0) _exit(run_child(work));
    bool fine = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    atomic_store(&stop, true);
    for (int t = 0; t < WORKERS; t++) pthread_join(threads[t], NULL);
    return fine ? 0 : 1;
}

static void amid_the_first_kernels(void **state) {
    (void)state;
    if (sanitized) skip();
    setting_set(SETTING_CACHE_DIR, "off");
    assert_non_null(backend_load("cpu", NULL)); /* it is there, and has not begun */
    for (int i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) _exit(fork_amid_first_kernels(i));
        assert_true(child > 0 && waitpid(child, &status, 0) == child);
        if (status) fail_msg("at %d us a child or its parent ended with %d", i * 250, status);
    }
}

static void amid_compiling_in_the_background(void **state) {
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it allows a child no threads */
    fork_amid(compile_behind, FORKS);
}

static void after_compiling_in_the_background(void **state) {
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it allows a child no threads */
    assert_true(compile_behind(1));
    sn_compile_wait();
    usleep(100000); /* the library's thread waits by now */
    for (int i = 0; i < 3; i++) fork_once(compile_behind);
}

static void amid_calls_that_wait_for_their_turn(void **state) {
    (void)state;
    sn_compile_options options = {.shapes = SN_SHAPES_STATIC, .most_graphs = 8};
    shared = sn_compile(chain, "t:t", &options);
    fork_amid(call_shared, FORKS);
    sn_compiled_release(shared);
}

static char folder[] = "/tmp/sinter_fork_XXXXXX";

static void remove_folder(void) {
    DIR *list = opendir(folder);
    for (struct dirent *item; list && (item = readdir(list));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, item->d_name);
        (void)unlink(path);
    }
    if (list) closedir(list);
    (void)rmdir(folder);
}

/* Kernels are being stored, mapped already, when the process forks: a child lets go of them. */
static void amid_kernels_being_stored(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    kernel_cache_clear();
    setting_set(SETTING_CACHE_DIR, folder);
    fork_amid(compile_now, FORKS);
    setting_set(SETTING_CACHE_DIR, "off");
    remove_folder();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_multiplies_after_its_parent_used_threads),
        cmocka_unit_test(amid_the_first_kernels),
        cmocka_unit_test(amid_lines_of_the_log),
        cmocka_unit_test(amid_allocations),
        cmocka_unit_test(amid_code_being_mapped),
        cmocka_unit_test(amid_matrix_products),
        cmocka_unit_test(amid_compiling),
        cmocka_unit_test(amid_kernels_being_stored),
        cmocka_unit_test(amid_compiling_in_the_background),
        cmocka_unit_test(after_compiling_in_the_background),
        cmocka_unit_test(amid_calls_that_wait_for_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
