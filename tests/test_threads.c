/* Handles are shared by threads: one compiled function called from all of them, in its first call as
 * well; eager ops beside it; references that are given back by another thread. Runs under the thread
 * sanitizer too (ctest -L concurrent). */
#include "api_case.h"

#include <pthread.h>

enum { WORKERS = 4, ROUNDS = 12, SHAPES = 4, WIDEST = 65 };

typedef sn_tensor *ScaledNorm(sn_tensor *x, sn_tensor *gain, double scale);

static sn_tensor *scaled_norm(sn_tensor *x, sn_tensor *gain, double scale) {
    sn_tensor *h = sn_mul(sn_gelu(x, SN_GELU_TANH), sn_c(scale));
    return sn_mul(sn_div(h, sn_add(sn_sum(sn_abs(h), SN_I(-1), true), sn_ci(1))), gain);
}

/* What all workers read and only the main thread writes, before they start. */
static struct {
    ScaledNorm *function;                   /* what they call */
    sn_compiled *compiled;                  /* its handle, NULL for eager */
    sn_tensor *x[SHAPES], *gain[SHAPES];    /* arguments by shape */
    size_t bytes[SHAPES];                   /* of a result */
    float want[SHAPES][2][WIDEST * WIDEST]; /* results by shape and scale, computed alone */
} shared;

static const double scales[2] = {0.5, 3};

/* A thread. It may not use cmocka's assertions, so it leaves a text. */
typedef struct Worker {
    pthread_t thread;             /* itself */
    void (*run)(struct Worker *); /* what it does */
    char failure[200];            /* what went wrong; "" if nothing */
    float got[WIDEST * WIDEST];   /* the result at hand */
    sn_tensor *kept[ROUNDS];      /* references of its own */
} Worker;

static void fail_worker(Worker *w, const char *text) {
    if (!*w->failure) snprintf(w->failure, sizeof w->failure, "%s", text);
}

static void *start_worker(void *data) {
    Worker *w = data;
    w->run(w);
    if (sn_error_status() != SN_OK) fail_worker(w, sn_error_text());
    return NULL;
}

/* Does the same on all threads at once. */
static void run_workers(void (*run)(Worker *)) {
    static Worker workers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        workers[i].run = run;
        workers[i].failure[0] = 0;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, start_worker, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < WORKERS; i++)
        if (*workers[i].failure) fail_msg("%s", workers[i].failure);
}

static int prepare(void **state) {
    static const int64_t widths[SHAPES] = {1, 16, 33, WIDEST};
    int status = api_setup(state);
    for (int i = 0; i < SHAPES; i++) {
        int64_t n = widths[i];
        shared.x[i] = tensor_random((uint32_t)i + 1, SN_F32, SN_I(WIDEST, n));
        shared.gain[i] = tensor_random(9, SN_F32, SN_I(n));
        shared.bytes[i] = (size_t)(WIDEST * n) * sizeof(float);
        for (int s = 0; s < 2; s++) {
            sn_tensor *want = scaled_norm(shared.x[i], shared.gain[i], scales[s]);
            if (!sn_read(want, SN_F32, shared.want[i][s], shared.bytes[i])) return -1;
        }
    }
    return status;
}

static void call(Worker *w, ScaledNorm *function, int shape, int scale) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *y = function(shared.x[shape], shared.gain[shape], scales[scale]);
    size_t bytes = shared.bytes[shape];
    if (sn_read(y, SN_F32, w->got, bytes) && memcmp(w->got, shared.want[shape][scale], bytes) != 0)
        fail_worker(w, "other bits than alone");
    sn_scope_end(scope, NULL);
}

static void call_many(Worker *w, ScaledNorm *function) {
    for (int round = 0; round < ROUNDS; round++)
        for (int shape = 0; shape < SHAPES; shape++) call(w, function, shape, (round + shape) % 2);
}

static void call_shared(Worker *w) {
    call_many(w, shared.function);
    if (!shared.compiled) return;
    char *text = sn_explain_text(shared.compiled); /* while others may still trace */
    if (!text || !strstr(text, "scaled_norm: ")) fail_worker(w, "no explanation");
    sn_text_free(text);
}

static void threads_share_a_compiled_function(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(scaled_norm, "ttd:t", NULL);
    shared.compiled = c;
    shared.function = SN_FN(c, scaled_norm);
    assert_non_null(shared.function);
    run_workers(call_shared);
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.kernels, 1);
    assert_int_equal(e.fallbacks, 0);
    assert_false(e.rerun);
    sn_compiled_release(c);
}

static void threads_use_eager_side_by_side(void **state) {
    (void)state;
    shared.compiled = NULL;
    shared.function = scaled_norm;
    run_workers(call_shared);
}

static void compile_and_call(Worker *w) {
    sn_compiled *c = sn_compile(scaled_norm, "ttd:t", NULL);
    ScaledNorm *function = SN_FN(c, scaled_norm);
    if (function) call_many(w, function);
    sn_compiled_release(c);
}

static void threads_compile_the_same_kernels_at_once(void **state) {
    (void)state;
    run_workers(compile_and_call);
}

static void *release_kept(void *data) {
    Worker *w = data;
    for (int i = 0; i < ROUNDS; i++) sn_release(w->kept[i]);
    if (sn_error_status() != SN_OK) fail_worker(w, sn_error_text());
    return NULL;
}

static void retain_and_hand_over(Worker *w) {
    sn_scope scope = sn_scope_begin();
    for (int i = 0; i < ROUNDS; i++) w->kept[i] = sn_retain(sn_neg(shared.x[i % SHAPES]));
    sn_scope_end(scope, NULL);
    pthread_t other;
    if (pthread_create(&other, NULL, release_kept, w) != 0)
        fail_worker(w, "no thread");
    else
        pthread_join(other, NULL);
}

static void references_are_given_back_by_other_threads(void **state) {
    (void)state;
    int64_t live = sn_memory().live_bytes;
    run_workers(retain_and_hand_over);
    assert_int_equal(sn_memory().live_bytes, live);
}

#define THREADS_TEST(function) cmocka_unit_test_setup_teardown(function, prepare, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        THREADS_TEST(threads_share_a_compiled_function),
        THREADS_TEST(threads_use_eager_side_by_side),
        THREADS_TEST(threads_compile_the_same_kernels_at_once),
        THREADS_TEST(references_are_given_back_by_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
