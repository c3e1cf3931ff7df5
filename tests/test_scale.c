/* What is linear in a count stays so: four times as much takes less than six times as long. A walk of each
 * with each would take sixteen. Time is the thread's own, the least of several runs, and a case that looks
 * too slow is measured anew, since others share the machine's caches. */
#include "tests/api_case.h"

#include "base/sanitizers.h"

#include <math.h>
#include <time.h>

enum { RUNS = 5, TRIES = 12 };
/* A sanitizer's blocks are several times as large: caches hold fewer of them. */
static const double MOST = ADDRESS_SANITIZER ? 9 : 6;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds that one run of size n takes. */
typedef double Case(int32_t n);

static double least(Case *run, int32_t n) {
    double best = run(n);
    for (int i = 1; i < RUNS; i++) {
        double again = run(n);
        if (again < best) best = again;
    }
    EXPECT_OK();
    return best;
}

static void expect_linear(Case *run, int32_t n) {
    double few = 1e9, many = 1e9;
    sn_set_threads(1);
    for (int i = 0; i < TRIES; i++) {
        few = fmin(few, least(run, n));
        many = fmin(many, least(run, 4 * n));
        if (many < MOST * few) return;
    }
    fail_msg("%d take %.0f us, %d take %.0f us: %.1f times as long", (int)n, few * 1e6, 4 * (int)n,
             many * 1e6, many / few);
}

/* ---- tensors --------------------------------------------------------------------------------- */

enum { MOST_TENSORS = 1 << 16 };
static sn_tensor *tensors[MOST_TENSORS], *others[MOST_TENSORS];
static int32_t count; /* of those in use */

static void make_tensors(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        tensors[i] = sn_full(SN_I(2), i, SN_F32);
        others[i] = sn_full(SN_I(2), 1, SN_F32);
    }
    count = n;
}

/* The same as pieces of one allocation, the last first. */
static void make_pieces(int32_t n) {
    sn_tensor *all = sn_zeros(SN_I(4 * (int64_t)n), SN_F32);
    for (int32_t i = 0; i < n; i++) {
        tensors[i] = sn_narrow(all, 0, 4 * (int64_t)(n - i) - 4, 2);
        others[i] = sn_narrow(all, 0, 4 * (int64_t)(n - i) - 2, 2);
    }
    count = n;
}

/* Of a function of one tensor, that is run on every call, when all is compiled. */
typedef sn_tensor *Unary(sn_tensor *x);
static double time_rerun(Unary *function) {
    sn_compile_options options = {.rerun = SN_RERUN_ALWAYS};
    sn_compiled *c = sn_compile(function, "t:t", &options);
    Unary *fast = (Unary *)sn_compiled_fn(c);
    sn_tensor *x = sn_ones(SN_I(2), SN_F32);
    double best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        sn_scope scope = sn_scope_begin();
        double begin = now();
        assert_non_null(fast(x));
        double seconds = now() - begin;
        sn_scope_end(scope, NULL);
        if (i && seconds < best) best = seconds;
    }
    sn_compiled_release(c);
    return best;
}

static sn_tensor *add_captured(sn_tensor *x) {
    for (int32_t i = 0; i < count; i++) x = sn_add(x, tensors[i]);
    return x;
}

static double captured(int32_t n) {
    sn_scope scope = sn_scope_begin();
    make_tensors(n);
    double seconds = time_rerun(add_captured);
    sn_scope_end(scope, NULL);
    return seconds;
}

static sn_tensor *write_captured(sn_tensor *x) {
    for (int32_t i = 0; i < count; i++) sn_add_(tensors[i], others[i]);
    return sn_neg(x);
}

static double captured_and_written(int32_t n) {
    sn_scope scope = sn_scope_begin();
    make_pieces(n);
    double seconds = time_rerun(write_captured);
    sn_scope_end(scope, NULL);
    return seconds;
}

/* ---- arguments ------------------------------------------------------------------------------- */

typedef sn_status Update(sn_tensor *const *p, int32_t n_p, sn_tensor *const *g, int32_t n_g);

static sn_status update(sn_tensor *const *p, int32_t n_p, sn_tensor *const *g, int32_t n_g) {
    for (int32_t i = 0; i < n_p && i < n_g; i++) sn_sub_(p[i], sn_mul(g[i], sn_c(0.1)));
    return sn_error_status();
}

/* Reads of all, writes one. */
static sn_status update_first(sn_tensor *const *p, int32_t n_p, sn_tensor *const *g, int32_t n_g) {
    sn_sub_(p[n_p - 1], g[n_g - 1]);
    return sn_error_status();
}

/* A guard hit, after the calls in which it is compiled and checked. */
static double time_hit(Update *function) {
    sn_compiled *c = sn_compile(function, "t*t*:", NULL);
    Update *fast = (Update *)sn_compiled_fn(c);
    double best = 1e9;
    for (int i = 0; i < 2 + RUNS; i++) {
        double begin = now();
        assert_int_equal(fast(tensors, count, others, count), SN_OK);
        double seconds = now() - begin;
        if (i >= 2 && seconds < best) best = seconds;
    }
    sn_compiled_release(c);
    return best;
}

static double written_arguments(int32_t n) {
    sn_scope scope = sn_scope_begin();
    make_tensors(n);
    double seconds = time_hit(update);
    sn_scope_end(scope, NULL);
    return seconds;
}

static double arguments(int32_t n) {
    sn_scope scope = sn_scope_begin();
    make_tensors(n);
    double seconds = time_hit(update_first);
    sn_scope_end(scope, NULL);
    return seconds;
}

static double arguments_in_pieces(int32_t n) {
    sn_scope scope = sn_scope_begin();
    make_pieces(n);
    double seconds = time_hit(update_first);
    sn_scope_end(scope, NULL);
    return seconds;
}

/* ---- what a function records ----------------------------------------------------------------- */

static sn_tensor *read_behind_many(sn_tensor *x) {
    sn_tensor *y = x;
    for (int32_t i = 0; i < count; i++) y = sn_add(y, sn_c(1));
    return sn_mul(y, sn_c(sn_item(sn_sum(y, NULL, 0, false))));
}

static double live_at_a_read(int32_t n) {
    count = n;
    return time_rerun(read_behind_many);
}

static sn_tensor *chain_views(sn_tensor *x) {
    sn_tensor *view = sn_unsqueeze(x, 0);
    for (int32_t i = 0; i < count; i++) view = sn_transpose(view, 0, 1);
    sn_add_(x, sn_c(1)); /* all of them are derived anew */
    return sn_clone(view);
}

static double chained_views(int32_t n) {
    count = n;
    return time_rerun(chain_views);
}

/* Nothing recurs along them. */
static void a_chain_of_views_overflows_no_stack(void **state) {
    (void)state;
    count = 400000;
    sn_compiled *c = sn_compile(chain_views, "t:t", NULL);
    Unary *fast = (Unary *)sn_compiled_fn(c);
    EXPECT_VALUES(fast(sn_ones(SN_I(2), SN_F32)), 2, 2);
    sn_compiled_release(c);
}

static sn_tensor *many_ops(sn_tensor *x) {
    for (int32_t i = 0; i < count; i++) x = sn_add(sn_mul(x, x), x);
    return x;
}

static double ops(int32_t n) {
    count = n;
    return time_rerun(many_ops);
}

/* The graph is bound again each time, to other scalars. */
static double rate;
static sn_tensor *many_scalars(sn_tensor *x) {
    rate += 1;
    for (int32_t i = 0; i < count; i++) x = sn_add(x, sn_c(rate + i));
    return x;
}

static double scalars(int32_t n) {
    count = n;
    return time_rerun(many_scalars);
}

/* Each kept by the program, so that each is a result. */
static sn_tensor *many_results(sn_tensor *x) {
    for (int32_t i = 0; i < count; i++) tensors[i] = sn_retain(sn_add(x, sn_c(i)));
    return sn_neg(x);
}

/* The first call, which compiles. */
static double results(int32_t n) {
    sn_compiled *c = sn_compile(many_results, "t:t", NULL);
    Unary *fast = (Unary *)sn_compiled_fn(c);
    count = n;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_ones(SN_I(2), SN_F32);
    double begin = now();
    assert_non_null(fast(x));
    double seconds = now() - begin;
    for (int32_t i = 0; i < n; i++) sn_release(tensors[i]);
    sn_scope_end(scope, NULL);
    sn_compiled_release(c);
    return seconds;
}

/* ---- the program's side ---------------------------------------------------------------------- */

static double handles(int32_t n) {
    sn_scope outer = sn_scope_begin();
    double begin = now();
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_ones(SN_I(2), SN_F32), *first = sn_neg(x);
    for (int32_t i = 0; i < n; i++) sn_narrow(x, 0, 0, 1);
    sn_scope_end(scope, first);
    double seconds = now() - begin;
    sn_scope_end(outer, NULL);
    return seconds;
}

static sn_tensor *scaled(sn_tensor *x, int64_t by) {
    return sn_mul(x, sn_ci(by));
}

/* A call of each. */
static double entries(int32_t n) {
    sn_compiled *c = sn_compile(scaled, "tl:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, int64_t) = SN_FN(c, scaled);
    double best = 1e9;
    for (int i = 0; i < 2 + RUNS; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = sn_ones(SN_I(2), SN_F32);
        double begin = now();
        for (int32_t k = 0; k < n; k++) assert_non_null(fast(x, k));
        double seconds = now() - begin;
        sn_scope_end(scope, NULL);
        if (i >= 2 && seconds < best) best = seconds;
    }
    sn_compiled_release(c);
    return best;
}

#define SCALE_TEST(what, n)                                                                        \
    static void what##_are_linear(void **state) {                                                  \
        (void)state;                                                                               \
        expect_linear(what, n);                                                                    \
    }
SCALE_TEST(captured, 500)
SCALE_TEST(captured_and_written, 250)
SCALE_TEST(written_arguments, 200)
SCALE_TEST(arguments, 300)
SCALE_TEST(arguments_in_pieces, 300)
SCALE_TEST(live_at_a_read, 500)
/* Larger than the caches in both sizes: what lies in them costs half. */
SCALE_TEST(chained_views, 40000)
SCALE_TEST(ops, 1000)
SCALE_TEST(scalars, 1000)
SCALE_TEST(results, 100)
SCALE_TEST(handles, 20000)
SCALE_TEST(entries, 60)

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(captured_are_linear),
        API_TEST(captured_and_written_are_linear),
        API_TEST(written_arguments_are_linear),
        API_TEST(arguments_are_linear),
        API_TEST(arguments_in_pieces_are_linear),
        API_TEST(live_at_a_read_are_linear),
        API_TEST(chained_views_are_linear),
        API_TEST(a_chain_of_views_overflows_no_stack),
        API_TEST(ops_are_linear),
        API_TEST(scalars_are_linear),
        API_TEST(results_are_linear),
        API_TEST(handles_are_linear),
        API_TEST(entries_are_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
