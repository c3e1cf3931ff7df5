/* The library under what a system may limit: the size of files, open files, threads, system calls, stacks.
 * Calls work, or are errors in words; none ends the process. Each case is a process of its own. */
#include "api_case.h"
#include "base/sanitizers.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOME_USER = 65534, HANG_SECONDS = 120 };

static int64_t stack_kib; /* of the thread that does it all; 0: the first one */
static char folder[] = "/tmp/sinter_limits_XXXXXX";

/* ---- what is tried --------------------------------------------------------------------------- */

static sn_tensor *model(sn_tensor *x, sn_tensor *y) {
    sn_tensor *h = sn_gelu(sn_mul(sn_layer_norm(sn_add(x, y), SN_NONE, SN_NONE, 1e-5), sn_c(1.5)),
                           SN_GELU_TANH);
    return sn_softmax(sn_matmul(h, sn_transpose(y, 0, 1)), 1);
}

/* A kernel of many instructions: code generators take stack by their number. */
static sn_tensor *long_chain(sn_tensor *x, sn_tensor *y) {
    for (int i = 0; i < 100; i++) x = sn_add(sn_sin(x), sn_mul(y, sn_c(i)));
    return x;
}

static sn_tensor *plain(sn_tensor *x, sn_tensor *y) {
    return sn_sub(sn_exp(x), y);
}

/* Takes an error, which has words. */
static void heard(void) {
    if (sn_error_status() == SN_OK) return;
    assert_true(strlen(sn_error_text()) > 10);
    sn_error_take(NULL);
}

static void try_function(sn_tensor *(*f)(sn_tensor *, sn_tensor *), sn_stance stance, sn_tensor *x,
                         sn_tensor *y) {
    sn_tensor *want = f(x, y);
    heard();
    sn_compile_options options = {.stance = stance};
    sn_compiled *c = sn_compile(f, "tt:t", &options);
    if (!c) {
        heard();
        return;
    }
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, f);
    for (int i = 0; i < 3 && fast; i++) {
        sn_tensor *got = fast(x, y);
        if (got && want) EXPECT_SAME(got, want);
        heard();
    }
    heard();
    sn_compile_wait();
    sn_text_free(sn_dump(c, "html", NULL));
    sn_text_free(sn_explain_text(c));
    sn_compiled_release(c);
}

static void try_files(sn_tensor *x) {
    char path[300];
    const char *name = "x";
    snprintf(path, sizeof path, "%s/x.npy", folder);
    if (sn_npy_save(path, x)) EXPECT_SAME(sn_npy_load(path), x);
    heard();
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    (void)sn_safetensors_save(path, &name, &x, 1);
    heard();
    sn_safetensors_close(sn_safetensors_open(path));
    heard();
}

/* All of it on this thread. */
static void *try_all(void *unused) {
    (void)unused;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_full(SN_I(64, 700), 0.5, SN_F32), *y = sn_full(SN_I(64, 700), 2, SN_F32);
    if (x && y) { /* not on a stack that is refused */
        try_function(plain, SN_STANCE_DEFAULT, x, y);
        try_function(model, SN_STANCE_DEFAULT, x, y);
        if (stack_kib) try_function(long_chain, SN_STANCE_DEFAULT, x, y);
        try_function(plain, SN_STANCE_ASYNC, x, y);
        try_files(x);
    }
    heard();
    sn_scope_end(scope, NULL);
    return NULL;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static bool limit(int resource, rlim_t value) {
    struct rlimit limits = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &limits) == 0;
}

static bool limit_files(int64_t bytes) {
    return limit(RLIMIT_FSIZE, (rlim_t)bytes);
}

static bool limit_open_files(int64_t count) {
    return limit(RLIMIT_NOFILE, (rlim_t)count);
}

static bool limit_processes(int64_t count) {
    if (geteuid() == 0 && setresuid(SOME_USER, SOME_USER, SOME_USER) != 0) return false;
    return limit(RLIMIT_NPROC, (rlim_t)count);
}

/* From now on no thread and no process can be made. */
static bool forbid_clone(int64_t error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool remember_stack(int64_t kib) {
    stack_kib = kib;
    return true;
}

/* Runs all of it, on a thread of that stack if one is wished for. */
static void run_limited(void) {
    if (!stack_kib) {
        try_all(NULL);
        return;
    }
    pthread_t thread;
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, (size_t)stack_kib << 10), 0);
    assert_int_equal(pthread_create(&thread, &attributes, try_all, NULL), 0);
    pthread_join(thread, NULL);
}

/* A new process under the limit, from its first call on, ends well. */
static void expect_survival(const char *name, int64_t value, char *const *arguments) {
    pid_t child = fork();
    if (child == 0) {
        execv("/proc/self/exe", arguments);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("%s %lld: %s %d", name, (long long)value,
                 WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* A kind of limit, and values that are tried. */
typedef struct LimitKind {
    const char *name;           /* for messages */
    bool (*set)(int64_t value); /* false: not possible here */
    int64_t values[10];         /* ended by -1 */
} LimitKind;

static const LimitKind kinds[] = {
    {"file size", limit_files, {0, 1, 4096, 100 << 10, 255 << 10, 512 << 10, -1}},
    {"open files", limit_open_files, {3, 4, 5, 6, 7, 8, 9, 10, -1}},
    {"processes", limit_processes, {0, 1, 2, 3, -1}},
    {"clone", forbid_clone, {1 /* EPERM */, 11 /* EAGAIN */, -1}},
    {"stack", remember_stack, {16, 32, 48, 64, 128, -1}},
};

static void try_kind(int kind) {
    for (int i = 0; kinds[kind].values[i] >= 0; i++) {
        char numbers[2][24];
        snprintf(numbers[0], sizeof numbers[0], "%d", kind);
        snprintf(numbers[1], sizeof numbers[1], "%lld", (long long)kinds[kind].values[i]);
        expect_survival(kinds[kind].name, kinds[kind].values[i],
                        (char *[]){"test_limits", numbers[0], numbers[1], NULL});
    }
}

static void files_of_a_limited_size(void **state) {
    (void)state;
    try_kind(0);
}

static void few_open_files(void **state) {
    (void)state;
    try_kind(1);
}

static void few_processes(void **state) {
    (void)state;
    try_kind(2);
}

static void no_threads_at_all(void **state) {
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it has a thread of its own */
    try_kind(3);
}

static void small_stacks_work_or_are_refused(void **state) {
    (void)state;
    if (ADDRESS_SANITIZER || THREAD_SANITIZER) skip(); /* frames are larger */
    try_kind(4);
}

/* ---- what a refused thread hears ------------------------------------------------------------- */

static void *use_small_stack(void *unused) {
    (void)unused;
    sn_scope scope = sn_scope_begin();
    for (int i = 0; i < 2; i++) { /* it stays */
        assert_null(sn_full(SN_I(2), 1, SN_F32));
        EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "the stack of this thread has 32 KiB: 64 are needed");
    }
    sn_value number = {.kind = SN_VALUE_FLOAT, .as.real = 1};
    sn_tensor *out = NULL;
    assert_int_equal(sn_apply(SN_OP_NEG, &number, 1, &out, 1, NULL, NULL, NULL),
                     SN_ERROR_UNSUPPORTED);
    sn_scope_end(scope, NULL);
    return NULL;
}

static void a_refused_thread_is_told_why(void **state) {
    (void)state;
    if (ADDRESS_SANITIZER || THREAD_SANITIZER) skip();
    pthread_t thread;
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 32 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attributes, use_small_stack, NULL), 0);
    pthread_join(thread, NULL);
}

/* ---- threads that are cancelled -------------------------------------------------------------- */

static void *work_for_ever(void *unused) {
    (void)unused;
    char path[300];
    snprintf(path, sizeof path, "%s/cancelled.npy", folder);
    for (int64_t i = 0;; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = sn_full(SN_I(1 + i % 40, 7), 0.5, SN_F32);
        sn_compiled *c = sn_compile(plain, "tt:t", NULL);
        SN_FN(c, plain)(x, x);
        sn_npy_save(path, x);
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
        pthread_testcancel();
    }
    return NULL;
}

static int cancel_threads(void) {
    alarm(HANG_SECONDS); /* a lock that is left behind */
    for (int i = 0; i < 40; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work_for_ever, NULL) != 0) return 1;
        usleep((useconds_t)(1000 * (i % 10) + 137 * i));
        pthread_cancel(thread);
        pthread_join(thread, NULL);
    }
    try_all(NULL);
    return 0;
}

static void cancelled_threads_leave_no_lock(void **state) {
    (void)state;
    if (ADDRESS_SANITIZER || THREAD_SANITIZER) skip(); /* what such a thread had in hand is lost */
    expect_survival("cancelled", 0, (char *[]){"test_limits", "cancel", "0", NULL});
}

/* In a process of its own: test_limits KIND VALUE. */
static int run_case(int kind, int64_t value) {
    char command[100];
    alarm(HANG_SECONDS);
    if (!mkdtemp(folder)) return 1;
    (void)chmod(folder, 0777);
    pid_t child = fork();
    if (child == 0) {
        if (kind < 0) exit(cancel_threads());
        if (kinds[kind].set(value)) run_limited();
        exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) return 1;
    if (WIFSIGNALED(status)) raise(WTERMSIG(status));
    return WEXITSTATUS(status);
}

int main(int count, char **arguments) {
    if (count > 2 && strcmp(arguments[1], "cancel") == 0) return run_case(-1, 0);
    if (count > 2) return run_case(atoi(arguments[1]), atoll(arguments[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_a_limited_size),
        cmocka_unit_test(few_open_files),
        cmocka_unit_test(few_processes),
        cmocka_unit_test(no_threads_at_all),
        cmocka_unit_test(small_stacks_work_or_are_refused),
        cmocka_unit_test(a_refused_thread_is_told_why),
        cmocka_unit_test(cancelled_threads_leave_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
