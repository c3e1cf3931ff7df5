/* Threads that do everything at once: handles of their own and shared ones, host reads, writes, draws,
 * errors, explanations, settings of the process, a release while calls are in flight. Each compares
 * with what it gets alone. Runs under the thread sanitizer too (ctest -L concurrent). */
#include "api_case.h"

#include <pthread.h>
#include <stdatomic.h>

enum { WORKERS = 4, ROUNDS = 8, MOST_VALUES = 1 << 16 };

/* A thread. It may not use cmocka's assertions, so it leaves a text. */
typedef struct Worker {
    pthread_t thread;              /* itself */
    int32_t number;                /* 0 … WORKERS - 1 */
    void (*run)(struct Worker *w); /* what it does */
    char failure[300];             /* what went wrong first; "" if nothing */
} Worker;

static void expect(Worker *w, bool holds, const char *what) {
    if (holds || *w->failure) return;
    snprintf(w->failure, sizeof w->failure, "thread %d: %.80s: %.180s", (int)w->number, what,
             sn_error_text());
}

static void *start(void *data) {
    Worker *w = data;
    sn_scope scope = sn_scope_begin();
    w->run(w);
    expect(w, sn_error_status() == SN_OK, "an error is left");
    sn_scope_end(scope, NULL);
    return NULL;
}

static void run_workers(void (*run)(Worker *w)) {
    static Worker workers[WORKERS];
    for (int32_t i = 0; i < WORKERS; i++) {
        workers[i] = (Worker){.number = i, .run = run};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, start, &workers[i]), 0);
    }
    for (int32_t i = 0; i < WORKERS; i++) pthread_join(workers[i].thread, NULL);
    for (int32_t i = 0; i < WORKERS; i++)
        if (*workers[i].failure) fail_msg("%s", workers[i].failure);
}

/* Are these the same bits? Takes no part in what is compared: both are real by then. */
static bool same_bits(sn_tensor *got, sn_tensor *want) {
    size_t bytes = got && want ? (size_t)sn_count(want) * sizeof(float) : 0;
    if (!bytes || sn_count(got) != sn_count(want) || bytes > MOST_VALUES * sizeof(float))
        return false;
    void *a = malloc(bytes), *b = malloc(bytes);
    bool same = a && b && sn_read(got, SN_F32, a, bytes) && sn_read(want, SN_F32, b, bytes) &&
                memcmp(a, b, bytes) == 0;
    free(a), free(b);
    return same;
}

/* Numbers of a worker's own. */
static sn_tensor *numbers(int32_t seed, int64_t rows, int64_t columns) {
    float data[256];
    int64_t count = rows * columns;
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 37 + seed * 11) % 41) / 8 - 2.5f;
    return sn_from_copy(data, (size_t)count * sizeof(float), (const int64_t[]){rows, columns}, 2,
                        SN_F32);
}

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static sn_tensor *branches(sn_tensor *x, sn_tensor *y) {
    sn_add_(sn_select(x, 0, 0), sn_c(0.5));
    if (sn_item(sn_sum(x, SN_I0, false)) > 0) return sn_softmax(sn_mul(x, y), -1);
    return sn_sub(sn_exp(x), y);
}

static sn_tensor *straight(sn_tensor *x, sn_tensor *y) {
    sn_tensor *h = sn_gelu(sn_add(x, y), SN_GELU_TANH);
    sn_mul_(x, sn_c(0.75)); /* writes its argument */
    return sn_div(h, sn_add(sn_max(sn_abs(h), SN_I(-1), true), sn_ci(1)));
}

/* Calls a function with a worker's own arguments, of several shapes, beside eager. */
static void call_beside_eager(Worker *w, Binary *function, Binary *fast) {
    expect(w, fast != NULL, "no function pointer");
    for (int32_t round = 0; fast && round < ROUNDS && !*w->failure; round++) {
        sn_scope scope = sn_scope_begin();
        int64_t rows = 1 + (round + w->number) % 3, columns = 5 + round % 2 * 28;
        sn_tensor *x = numbers(w->number + round, rows, columns), *x1 = sn_clone(x);
        sn_tensor *y = numbers(w->number, rows, columns);
        sn_tensor *got = fast(x, y), *want = function(x1, y);
        expect(w, same_bits(got, want), "other bits than eager");
        expect(w, same_bits(x, x1), "other bits are written");
        sn_scope_end(scope, NULL);
    }
}

/* ---- handles --------------------------------------------------------------------------------- */

static void use_own_handles(Worker *w) {
    for (int32_t i = 0; i < 3; i++) {
        sn_compiled *first = sn_compile(branches, "tt:t", NULL);
        sn_compiled *second = sn_compile(straight, "tt:t", NULL);
        call_beside_eager(w, branches, SN_FN(first, branches));
        call_beside_eager(w, straight, SN_FN(second, straight));
        sn_compiled_release(first);
        sn_compiled_release(second);
    }
}

static void threads_with_handles_of_their_own(void **state) {
    (void)state;
    run_workers(use_own_handles);
}

static sn_compiled *shared;

static void use_shared_branches(Worker *w) {
    call_beside_eager(w, branches, SN_FN(shared, branches));
}

static void use_shared_straight(Worker *w) {
    call_beside_eager(w, straight, SN_FN(shared, straight));
}

static void threads_share_a_function_with_host_reads(void **state) {
    (void)state;
    shared = sn_compile(branches, "tt:t", NULL);
    run_workers(use_shared_branches);
    sn_compiled_release(shared);
}

static void threads_share_a_function_that_writes(void **state) {
    (void)state;
    shared = sn_compile(straight, "tt:t", NULL);
    run_workers(use_shared_straight);
    sn_compiled_release(shared);
}

static sn_tensor *draws(sn_rng *rng, sn_tensor *x) {
    return sn_add(sn_dropout(x, 0.5, rng), sn_randn(rng, SN_I(3), SN_F32));
}

static void draw_with_own_generators(Worker *w) {
    sn_tensor *(*fast)(sn_rng *, sn_tensor *) = SN_FN(shared, draws);
    sn_rng rng = {(uint64_t)w->number, 7}, alone = rng;
    sn_tensor *x = sn_ones(SN_I(5, 3), SN_F32);
    for (int32_t i = 0; i < ROUNDS; i++)
        expect(w, same_bits(fast(&rng, x), draws(&alone, x)), "other draws than alone");
    expect(w, rng.counter == alone.counter, "another counter");
}

static void threads_draw_from_generators_of_their_own(void **state) {
    (void)state;
    shared = sn_compile(draws, "rt:t", NULL);
    run_workers(draw_with_own_generators);
    sn_compiled_release(shared);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void fail_by_turns(Worker *w) {
    Binary *fast = SN_FN(shared, straight);
    sn_tensor *y = numbers(1, 2, 7);
    for (int32_t round = 0; round < ROUNDS; round++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = numbers(round, 2, 7), *wrong = numbers(1, 3, 5 + w->number);
        if ((round + w->number) % 2) {
            sn_error error;
            expect(w, !fast(x, wrong), "a wrong call succeeded");
            expect(w, sn_error_take(&error) == SN_ERROR_SHAPE, "another error than this thread's");
            char own[24];
            snprintf(own, sizeof own, "f32[3,%d]", 5 + w->number);
            expect(w, strstr(error.text, own) != NULL, "a text of another thread");
        } else {
            sn_tensor *x1 = sn_clone(x);
            expect(w, same_bits(fast(x, y), straight(x1, y)), "other bits than eager");
        }
        sn_scope_end(scope, NULL);
    }
}

static void errors_belong_to_their_threads(void **state) {
    (void)state;
    shared = sn_compile(straight, "tt:t", NULL);
    run_workers(fail_by_turns);
    sn_compiled_release(shared);
}

/* ---- looking and turning while others call --------------------------------------------------- */

static void ignore_log(void *context, const char *topic, const char *text) {
    (void)context, (void)topic, (void)text;
}

static void look_while_others_call(Worker *w) {
    if (w->number) {
        call_beside_eager(w, straight, SN_FN(shared, straight));
        return;
    }
    for (int32_t i = 0; i < 40; i++) {
        sn_explanation e = {.size = sizeof e};
        sn_counters counters = {.size = sizeof counters};
        expect(w, sn_explain(shared, &e) == SN_OK, "explain");
        sn_counters_get(&counters);
        sn_text_free(sn_explain_text(shared));
        sn_error not_called = {0}; /* there may be nothing to look at yet */
        sn_text_free(sn_dump(shared, i % 2 ? "fuse" : "guards", &not_called));
        sn_memory_info memory = sn_memory();
        expect(w, memory.live_bytes >= 0 && memory.peak_bytes >= memory.live_bytes, "memory");
        sn_memory_trim();
        sn_memory_reset_peak();
        sn_set_threads(1 + i % 3);
        sn_set_log(ignore_log, NULL);
        expect(w, sn_threads() >= 1, "threads");
    }
    sn_set_log(NULL, NULL);
}

static void a_thread_may_look_while_others_call(void **state) {
    (void)state;
    int32_t threads = sn_threads();
    shared = sn_compile(straight, "tt:t", NULL);
    run_workers(look_while_others_call);
    sn_compiled_release(shared);
    sn_set_threads(threads);
}

/* ---- large kernels --------------------------------------------------------------------------- */

static sn_tensor *large(sn_tensor *x, sn_tensor *y) {
    return sn_add(sn_tanh(sn_mul(x, y)), sn_sum(x, SN_I(-1), true));
}

/* Large enough for parallel regions, of all callers at once. */
static void run_large(Worker *w) {
    Binary *fast = SN_FN(shared, large);
    for (int32_t round = 0; round < 3; round++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *row = sn_arange(w->number, w->number + 256, 1, SN_F32);
        sn_tensor *x = sn_mul(sn_expand(row, SN_I(256, -1)), sn_c(0.01));
        expect(w, same_bits(fast(x, x), large(x, x)), "other bits than eager");
        sn_scope_end(scope, NULL);
    }
}

static void parallel_regions_of_several_callers(void **state) {
    (void)state;
    shared = sn_compile(large, "tt:t", NULL);
    run_workers(run_large);
    sn_compiled_release(shared);
}

/* ---- release while a call runs --------------------------------------------------------------- */

/* A closure whose calls wait inside until the handle was given back. */
typedef struct Closure {
    atomic_int inside;    /* calls that have begun */
    atomic_bool released; /* the handle was given back */
    atomic_int destroyed; /* times that destroy ran */
} Closure;

static Closure closure;

static sn_status waits(void *payload, const sn_value *in, int32_t n_in, sn_outputs *out) {
    Closure *own = payload;
    (void)n_in;
    atomic_fetch_add(&own->inside, 1);
    while (!atomic_load(&own->released)) sched_yield();
    if (atomic_load(&own->destroyed)) return SN_ERROR_INTERNAL;
    out->tensors[0] = sn_neg(in[0].as.tensor);
    out->count = 1;
    return sn_error_status();
}

static void destroy(void *payload) {
    atomic_fetch_add(&((Closure *)payload)->destroyed, 1);
}

static void call_until_released(Worker *w) {
    sn_error error;
    sn_tensor *x = numbers(w->number, 2, 3), *out = NULL;
    sn_value value = {.kind = SN_VALUE_TENSOR, .as.tensor = x};
    if (w->number) {
        expect(w, sn_call(shared, &value, 1, &out, 1, NULL, NULL, &error) == SN_OK, error.text);
        expect(w, same_bits(out, sn_neg(x)), "other bits");
        sn_release(out);
        return;
    }
    while (atomic_load(&closure.inside) < WORKERS - 1) sched_yield();
    expect(w, atomic_load(&closure.destroyed) == 0, "destroyed too early");
    sn_compiled_release(shared);
    atomic_store(&closure.released, true);
}

static void a_release_waits_for_calls_in_flight(void **state) {
    (void)state;
    shared = sn_compile_payload(waits, &closure, destroy, "waits", "t:t", NULL, NULL);
    assert_non_null(shared);
    run_workers(call_until_released);
    assert_int_equal(atomic_load(&closure.destroyed), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(threads_with_handles_of_their_own),
        API_TEST(threads_share_a_function_with_host_reads),
        API_TEST(threads_share_a_function_that_writes),
        API_TEST(threads_draw_from_generators_of_their_own),
        API_TEST(errors_belong_to_their_threads),
        API_TEST(a_thread_may_look_while_others_call),
        API_TEST(parallel_regions_of_several_callers),
        API_TEST(a_release_waits_for_calls_in_flight),
    };
    return cmocka_run_group_tests_name("threads_mixed", tests, NULL, NULL);
}
