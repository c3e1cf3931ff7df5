/* What a process did before it forked, and what its child does: no pair of them hangs, and the results of
 * the child are right. Each pair is a process of its own. */
#include "api_case.h"
#include "base/sanitizers.h"

#include <sys/wait.h>
#include <unistd.h>

enum { HANG_SECONDS = 120, LARGE = 1 << 20 };

static sn_tensor *chain(sn_tensor *x) {
    for (int i = 0; i < 40; i++) x = sn_add(sn_mul(sn_sin(x), sn_c(0.5)), sn_c(i));
    return x;
}

static sn_tensor *wave(sn_tensor *x) {
    return sn_mul(sn_cos(x), sn_exp(x));
}

/* Exits unless it holds: what runs here is no test of the group. */
static void require(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "%s: %s\n", what, sn_error_text());
    _exit(1);
}

static bool same(sn_tensor *got, sn_tensor *want) {
    sn_tensor *equal = sn_all(sn_eq(got, want), SN_I0, false);
    return equal && sn_item_int(equal) == 1;
}

static void compile_and_compare(sn_tensor *(*f)(sn_tensor *), sn_stance stance) {
    sn_compile_options options = {.stance = stance};
    sn_compiled *c = sn_compile_at((sn_function)f, "f", "t:t", &options, NULL, 0);
    sn_tensor *x = sn_full(SN_I(LARGE / 64), 0.25, SN_F32);
    require(c && same(SN_FN(c, f)(x), f(x)), "compile");
    if (stance != SN_STANCE_ASYNC) sn_compiled_release(c);
}

/* ---- before ---------------------------------------------------------------------------------- */

static void nothing(void) {
}

static void threaded_op(void) {
    sn_set_threads(4);
    sn_tensor *x = sn_full(SN_I(LARGE), 1, SN_F32);
    require(sn_item(sn_sum(sn_exp(x), SN_I0, false)) > LARGE, "threaded op");
}

/* A job is under way at the fork. */
static void async_compile(void) {
    compile_and_compare(chain, SN_STANCE_ASYNC);
}

static int lines;

static void hear(void *context, const char *topic, const char *text) {
    (void)context, (void)topic, (void)text;
    lines++;
}

static void log_sink(void) {
    setenv("SINTER_LOG", "codegen,guards,trace", 1); /* nothing was read yet */
    sn_set_log(hear, NULL);
    compile_and_compare(wave, SN_STANCE_DEFAULT);
    require(lines > 0, "log");
}

static void timeline(void) {
    sn_timeline_begin();
    threaded_op();
}

/* ---- after ----------------------------------------------------------------------------------- */

static void op(void) {
    sn_tensor *x = sn_full(SN_I(LARGE), 2, SN_F32);
    require(sn_item(sn_sum(sn_square(x), SN_I0, false)) == 4.0 * LARGE, "op");
}

static void compile(void) {
    compile_and_compare(wave, SN_STANCE_DEFAULT);
    compile_and_compare(chain, SN_STANCE_DEFAULT);
}

static void async(void) {
    compile_and_compare(wave, SN_STANCE_ASYNC);
    sn_compile_wait();
}

static void wait_for(pid_t child) {
    int status = 0;
    require(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child");
}

static void fork_again(void) {
    op();
    pid_t child = fork();
    if (child == 0) {
        alarm(HANG_SECONDS);
        op();
        compile();
        async();
        exit(0); /* with all that is done at an end */
    }
    wait_for(child);
    sn_text_free(sn_timeline_end());
}

/* ---- pairs ----------------------------------------------------------------------------------- */

typedef struct Part {
    const char *name;  /* for messages */
    void (*run)(void); /* what is done */
} Part;

static const Part befores[] = {{"nothing", nothing},
                               {"threaded op", threaded_op},
                               {"async compile", async_compile},
                               {"log sink", log_sink},
                               {"timeline", timeline}};
static const Part afters[] = {
    {"op", op}, {"compile", compile}, {"async", async}, {"fork again", fork_again}};

static void run_pair(const Part *before, const Part *after) {
    alarm(HANG_SECONDS);
    sn_scope scope = sn_scope_begin();
    before->run();
    pid_t child = fork();
    if (child == 0) {
        alarm(HANG_SECONDS);
        after->run();
        sn_scope_end(scope, NULL);
        exit(0);
    }
    after->run(); /* in the parent, too */
    wait_for(child);
    sn_scope_end(scope, NULL);
    exit(0);
}

static void no_pair_hangs(void **state) {
    (void)state;
    if (ADDRESS_SANITIZER) skip(); /* its allocator may be in the midst of something in the child */
    for (size_t b = 0; b < sizeof befores / sizeof *befores; b++)
        for (size_t a = 0; a < sizeof afters / sizeof *afters; a++) {
            pid_t child = fork();
            if (child == 0) run_pair(&befores[b], &afters[a]);
            int status;
            assert_int_equal(waitpid(child, &status, 0), child);
            if (status != 0)
                fail_msg("%s, fork, %s: %s", befores[b].name, afters[a].name,
                         WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it failed");
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_pair_hangs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
