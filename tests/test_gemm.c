/* Matrix products: odd shapes, layouts, batches, bias and relu against a naive double loop, the same
 * bits at every run, and from several threads. */
#include "base/mem.h"
#include "base/thread/parallel.h"
#include "ir/op/dtype.h"
#include "runtime/gemm.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* One product with its operands in memory. */
typedef struct Case {
    GemmShape shape;        /* what is multiplied */
    size_t spans[3];        /* elements that a, b, c reach over */
    void *a, *b, *c, *bias; /* operands */
} Case;

static int64_t offset(const int64_t *strides, int64_t o, int64_t b, int64_t i, int64_t j) {
    return o * strides[GEMM_OUTER] + b * strides[GEMM_BATCH] + i * strides[GEMM_ROW] +
           j * strides[GEMM_COL];
}

static uint32_t random_state = 1;

/* A number in [-1, 1] with few bits, so that bf16 holds it. */
static double random_value(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (double)((int32_t)(random_state >> 24) - 128) / 128.0;
}

static void *random_block(sn_dtype dtype, size_t count) {
    size_t size = sn_dtype_size(dtype);
    char *block = aligned_alloc(64, (count * size + 64) / 64 * 64);
    assert_non_null(block);
    for (size_t i = 0; i < count; i++)
        dtype_store(dtype, block + i * size, dtype_bits_from_double(dtype, random_value()));
    return block;
}

static size_t span(const GemmShape *s, const int64_t *strides, int64_t rows, int64_t cols) {
    return (size_t)offset(strides, s->outer - 1, s->batch - 1, rows - 1, cols - 1) + 1;
}

static Case make_case(GemmShape shape) {
    Case t = {.shape = shape};
    t.spans[0] = span(&shape, shape.a, shape.m, shape.k);
    t.spans[1] = span(&shape, shape.b, shape.k, shape.n);
    t.spans[2] = span(&shape, shape.c, shape.m, shape.n);
    t.a = random_block(shape.dtype, t.spans[0]);
    t.b = random_block(shape.dtype, t.spans[1]);
    t.c = random_block(shape.dtype, t.spans[2]);
    t.bias = random_block(shape.dtype, (size_t)shape.n);
    return t;
}

static void free_case(Case *t) {
    free(t->a);
    free(t->b);
    free(t->c);
    free(t->bias);
}

static double element(const Case *t, const void *block, int64_t at) {
    sn_dtype d = t->shape.dtype;
    const char *bytes = block;
    return dtype_bits_to_double(d, dtype_load(d, bytes + at * (int64_t)sn_dtype_size(d)));
}

/* Checks one result against the sum in double, within the error bound of any order of summing. */
static void check_element(const Case *t, int64_t o, int64_t b, int64_t i, int64_t j) {
    const GemmShape *s = &t->shape;
    double sum = 0, magnitude = 0;
    for (int64_t p = 0; p < s->k; p++) {
        double x =
            element(t, t->a, offset(s->a, o, b, i, p)) * element(t, t->b, offset(s->b, o, b, p, j));
        sum += x;
        magnitude += fabs(x);
    }
    if (s->bias) {
        sum += element(t, t->bias, j);
        magnitude += fabs(element(t, t->bias, j));
    }
    double want = s->relu && sum < 0 ? 0 : sum;
    double bound = (double)(s->k + 2) * FLT_EPSILON * magnitude;
    if (s->dtype == SN_BF16) bound += fabs(want) / 256;
    double got = element(t, t->c, offset(s->c, o, b, i, j));
    if (!(fabs(got - want) <= bound))
        fail_msg("m=%lld n=%lld k=%lld at [%lld,%lld]: %.9g, want %.9g ± %.3g", (long long)s->m,
                 (long long)s->n, (long long)s->k, (long long)i, (long long)j, got, want, bound);
}

/* Runs a case twice and checks values, bits, and that elements between rows stay. */
static void check(GemmShape shape) {
    Case t = make_case(shape);
    size_t bytes = t.spans[2] * sn_dtype_size(shape.dtype);
    char *before = malloc(bytes), *first = malloc(bytes);
    bool *written = calloc(t.spans[2], 1);
    assert_true(before && first && written);
    memcpy(before, t.c, bytes);
    const GemmPlan *plan, *again;
    sn_error error = {0};
    if (gemm_get(&shape, 2, &plan, &error) != SN_OK) fail_msg("%s", error.text);
    assert_int_equal(gemm_get(&shape, 2, &again, &error), SN_OK);
    assert_ptr_equal(plan, again);
    assert_int_equal(gemm_run(plan, t.a, t.b, t.bias, t.c, &error), SN_OK);
    memcpy(first, t.c, bytes);
    for (int64_t o = 0; o < shape.outer; o++)
        for (int64_t b = 0; b < shape.batch; b++)
            for (int64_t i = 0; i < shape.m; i++)
                for (int64_t j = 0; j < shape.n; j++) {
                    check_element(&t, o, b, i, j);
                    written[offset(shape.c, o, b, i, j)] = true;
                }
    size_t size = sn_dtype_size(shape.dtype);
    for (size_t i = 0; i < t.spans[2]; i++)
        if (!written[i]) assert_memory_equal(first + i * size, before + i * size, size);
    assert_int_equal(gemm_run(plan, t.a, t.b, t.bias, t.c, &error), SN_OK);
    assert_memory_equal(t.c, first, bytes);
    free(before);
    free(first);
    free(written);
    free_case(&t);
}

/* Dense a[m,k], b[k,n] or its transpose, c[m,n]. */
static GemmShape plain(int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed) {
    GemmShape s = {.outer = 1, .batch = 1, .m = m, .n = n, .k = k, .dtype = SN_F32};
    s.a[GEMM_ROW] = a_transposed ? 1 : k;
    s.a[GEMM_COL] = a_transposed ? m : 1;
    s.b[GEMM_ROW] = b_transposed ? 1 : n;
    s.b[GEMM_COL] = b_transposed ? k : 1;
    s.c[GEMM_ROW] = n;
    s.c[GEMM_COL] = 1;
    return s;
}

/* Adds batch levels, dense in all three. */
static GemmShape batched(GemmShape s, int64_t outer, int64_t batch) {
    s.outer = outer;
    s.batch = batch;
    s.a[GEMM_BATCH] = s.m * s.k;
    s.b[GEMM_BATCH] = s.k * s.n;
    s.c[GEMM_BATCH] = s.m * s.n;
    s.a[GEMM_OUTER] = batch * s.m * s.k;
    s.b[GEMM_OUTER] = batch * s.k * s.n;
    s.c[GEMM_OUTER] = batch * s.m * s.n;
    return s;
}

static void products_of_odd_shapes_are_right(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 7, 16, 33, 65};
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 7; j++)
            for (size_t p = 0; p < 7; p++)
                check(plain(sizes[i], sizes[j], sizes[p], (i + j) % 2, (j + p) % 2));
}

static void long_inner_sizes_are_right(void **state) {
    (void)state;
    check(plain(1, 5, 5000, false, true));
    check(plain(5, 1, 5000, false, false));
    check(plain(3, 4, 3001, true, false));
    check(plain(64, 48, 1100, false, true));
}

static void bias_and_relu_are_applied(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 4, 6, 7, 40};
    for (size_t i = 0; i < 5; i++)
        for (int flags = 0; flags < 8; flags++) {
            GemmShape s = plain(rows[i], 37, 19, false, flags & 4);
            s.bias = flags & 1;
            s.relu = flags & 2;
            check(s);
        }
    GemmShape column = plain(37, 1, 19, false, false);
    column.bias = column.relu = true;
    check(column);
}

static void padded_rows_are_left_alone(void **state) {
    (void)state;
    for (int64_t m = 1; m <= 9; m += 4) {
        GemmShape s = plain(m, 13, 11, false, false);
        s.a[GEMM_ROW] = 17;
        s.b[GEMM_ROW] = 20;
        s.c[GEMM_ROW] = 16;
        check(s);
        s.b[GEMM_ROW] = 1; /* weights [n, k] in rows of 23 */
        s.b[GEMM_COL] = 23;
        check(s);
    }
    GemmShape column = plain(9, 1, 11, false, false);
    column.b[GEMM_ROW] = 3; /* a column of a matrix */
    check(column);
    column.c[GEMM_ROW] = 5;
    check(column);
    GemmShape row = plain(1, 9, 11, false, true);
    row.a[GEMM_COL] = 4; /* a column taken as a row */
    check(row);
}

static void batches_of_all_kinds_are_right(void **state) {
    (void)state;
    check(batched(plain(5, 6, 7, false, false), 1, 4));
    check(batched(plain(5, 6, 7, false, true), 3, 4));
    check(batched(plain(1, 6, 7, false, true), 3, 4));
    check(batched(plain(6, 1, 7, false, false), 1, 4));
    GemmShape s = batched(plain(5, 6, 7, false, false), 3, 4);
    s.b[GEMM_BATCH] = s.b[GEMM_OUTER] = 0; /* one b for all: more rows */
    s.bias = s.relu = true;
    check(s);
    s = batched(plain(1, 6, 7, false, true), 3, 4);
    s.b[GEMM_BATCH] = s.b[GEMM_OUTER] = 0;
    check(s);
    s = batched(plain(5, 6, 7, false, false), 3, 4);
    s.b[GEMM_OUTER] = 0;
    check(s);
    s = batched(plain(5, 6, 7, false, false), 3, 4);
    s.a[GEMM_BATCH] = 0;
    s.a[GEMM_OUTER] = s.m * s.k;
    check(s);
    s = batched(plain(5, 6, 7, false, false), 3, 1);
    check(s);
}

/* q · kᵀ of heads cut out of one packed [tokens, 3, heads, size] tensor. */
static void heads_of_a_packed_tensor_are_right(void **state) {
    (void)state;
    const int64_t tokens = 10, heads = 3, size = 8, row = 3 * heads * size;
    GemmShape s = plain(tokens, tokens, size, false, true);
    s.outer = 2;
    s.batch = heads;
    s.a[GEMM_OUTER] = s.b[GEMM_OUTER] = tokens * row;
    s.a[GEMM_BATCH] = s.b[GEMM_BATCH] = size;
    s.a[GEMM_ROW] = s.b[GEMM_COL] = row;
    s.c[GEMM_BATCH] = tokens * tokens;
    s.c[GEMM_OUTER] = heads * tokens * tokens;
    check(s);
    s.outer = 1;
    check(s);
    /* probabilities · v, the result interleaved by head again */
    GemmShape v = plain(tokens, size, tokens, false, false);
    v.batch = heads;
    v.a[GEMM_BATCH] = tokens * tokens;
    v.b[GEMM_BATCH] = size;
    v.b[GEMM_ROW] = row;
    v.c[GEMM_BATCH] = size;
    v.c[GEMM_ROW] = heads * size;
    check(v);
}

static void bf16_sums_in_f32(void **state) {
    (void)state;
    for (int64_t m = 1; m <= 34; m += 11) {
        GemmShape s = plain(m, 33, 65, false, m % 2);
        s.dtype = SN_BF16;
        s.bias = m > 1;
        const GemmPlan *plan;
        sn_error error = {0};
        sn_status status = gemm_get(&s, 2, &plan, &error);
        if (status == SN_ERROR_UNSUPPORTED) {
            print_message("this machine has no bf16 products: %s\n", error.text);
            return;
        }
        check(s);
    }
}

static void empty_inner_size_gives_bias_or_zero(void **state) {
    (void)state;
    for (int flags = 0; flags < 4; flags++) {
        GemmShape s = batched(plain(3, 4, 0, false, false), 1, 2);
        const GemmPlan *plan;
        float bias[4] = {1, -2, NAN, -0.0f}, c[24];
        s.bias = flags & 1;
        s.relu = flags & 2;
        for (int i = 0; i < 24; i++) c[i] = 9;
        assert_int_equal(gemm_get(&s, 2, &plan, NULL), SN_OK);
        assert_int_equal(gemm_run(plan, NULL, NULL, bias, c, NULL), SN_OK);
        for (int i = 0; i < 24; i++) {
            float want = s.bias ? bias[i % 4] : 0;
            if (s.relu && want < 0) want = 0;
            assert_true(c[i] == want || (isnan(c[i]) && isnan(want)));
        }
    }
}

static void empty_results_write_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        GemmShape s = batched(plain(3, 4, 5, false, false), 1, 2);
        const GemmPlan *plan;
        if (i == 0) s.m = 0;
        if (i == 1) s.n = 0;
        if (i == 2) s.batch = 0;
        if (i == 3) s.outer = 0;
        assert_int_equal(gemm_get(&s, 2, &plan, NULL), SN_OK);
        assert_int_equal(gemm_run(plan, NULL, NULL, NULL, NULL, NULL), SN_OK);
    }
}

static void layouts_that_are_not_taken_are_refused(void **state) {
    (void)state;
    const GemmPlan *plan;
    sn_error error = {0};
    GemmShape s = plain(3, 4, 5, false, false);
    assert_true(gemm_accepts(&s));
    s.a[GEMM_COL] = 2; /* every second element */
    s.a[GEMM_ROW] = 10;
    assert_false(gemm_accepts(&s));
    assert_int_equal(gemm_get(&s, 2, &plan, &error), SN_ERROR_ARGUMENT);
    s = plain(3, 4, 5, false, false);
    s.b[GEMM_ROW] = 0; /* a repeated row */
    assert_false(gemm_accepts(&s));
    s = plain(3, 4, 5, false, false);
    s.c[GEMM_ROW] = 1; /* a transposed result */
    s.c[GEMM_COL] = 3;
    assert_false(gemm_accepts(&s));
    s = batched(plain(3, 4, 5, false, false), 1, 2);
    s.c[GEMM_BATCH] = 0; /* results on top of each other */
    assert_false(gemm_accepts(&s));
    s = plain(3, 4, 5, false, false);
    s.dtype = SN_F64;
    assert_false(gemm_accepts(&s));
}

static void nan_and_infinity_pass_through(void **state) {
    (void)state;
    float a[2] = {INFINITY, NAN}, b[2] = {2, 1}, c[2];
    const GemmPlan *plan;
    GemmShape s = plain(2, 1, 1, false, false);
    assert_int_equal(gemm_get(&s, 2, &plan, NULL), SN_OK);
    assert_int_equal(gemm_run(plan, a, b, NULL, c, NULL), SN_OK);
    assert_true(isinf(c[0]) && isnan(c[1]));
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4 };

/* What one thread multiplies. */
typedef struct Job {
    pthread_t thread;     /* the thread */
    const GemmPlan *plan; /* shared */
    const Case *operands; /* shared, but for c */
    float *c;             /* its own result */
    sn_status status;     /* how it went */
} Job;

static void *multiply(void *data) {
    Job *job = data;
    for (int i = 0; i < 20 && job->status == SN_OK; i++)
        job->status = gemm_run(job->plan, job->operands->a, job->operands->b, NULL, job->c, NULL);
    return NULL;
}

static void threads_share_a_plan(void **state) {
    (void)state;
    Case t = make_case(plain(50, 60, 70, false, true));
    Job jobs[THREADS] = {0};
    const GemmPlan *plan;
    assert_int_equal(gemm_get(&t.shape, 2, &plan, NULL), SN_OK);
    assert_int_equal(gemm_run(plan, t.a, t.b, NULL, t.c, NULL), SN_OK);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (Job){.plan = plan, .operands = &t, .c = malloc(50 * 60 * sizeof(float))};
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, multiply, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(jobs[i].thread, NULL);
        assert_int_equal(jobs[i].status, SN_OK);
        assert_memory_equal(jobs[i].c, t.c, 50 * 60 * sizeof(float));
        free(jobs[i].c);
    }
    free_case(&t);
}

/* Threads do not survive fork; a child must not wait for those its parent had. */
static void child_of_a_fork_multiplies_alone(void **state) {
    (void)state;
    Case t = make_case(plain(300, 200, 100, false, true));
    const GemmPlan *plan;
    assert_int_equal(gemm_get(&t.shape, 2, &plan, NULL), SN_OK);
    assert_int_equal(gemm_run(plan, t.a, t.b, NULL, t.c, NULL), SN_OK);
    float *own = calloc(t.spans[2], sizeof *own);
    assert_non_null(own);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        bool ok = gemm_run(plan, t.a, t.b, NULL, own, NULL) == SN_OK &&
                  gemm_run(plan, t.a, t.b, NULL, own, NULL) == SN_OK;
        for (size_t i = 0; i < t.spans[2]; i++)
            ok = ok && fabsf(own[i] - ((float *)t.c)[i]) < 1e-3f;
        t.shape.m = 299;
        ok = ok && gemm_get(&t.shape, 2, &plan, NULL) == SN_OK &&
             gemm_run(plan, t.a, t.b, NULL, t.c, NULL) == SN_OK;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(gemm_run(plan, t.a, t.b, NULL, t.c, NULL), SN_OK);
    free(own);
    free_case(&t);
}

static void failed_allocations_are_errors(void **state) {
    (void)state;
    float a[6] = {1, 2, 3, 4, 5, 6}, c[4];
    for (int n = 1; n < 8; n++) {
        GemmShape s = plain(2, 2, 3, false, false);
        s.a[GEMM_ROW] = 3 + n; /* a new plan each time */
        const GemmPlan *plan = NULL;
        sn_error error = {0};
        mem_fail_after(n, false);
        sn_status status = gemm_get(&s, 2, &plan, &error);
        s.a[GEMM_ROW] = 3;
        mem_fail_after(0, false);
        assert_true(status == SN_OK || status == SN_ERROR_MEMORY);
        assert_int_equal(gemm_get(&s, 2, &plan, NULL), SN_OK);
        assert_int_equal(gemm_run(plan, a, a, NULL, c, NULL), SN_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_odd_shapes_are_right),
        cmocka_unit_test(long_inner_sizes_are_right),
        cmocka_unit_test(bias_and_relu_are_applied),
        cmocka_unit_test(padded_rows_are_left_alone),
        cmocka_unit_test(batches_of_all_kinds_are_right),
        cmocka_unit_test(heads_of_a_packed_tensor_are_right),
        cmocka_unit_test(bf16_sums_in_f32),
        cmocka_unit_test(empty_inner_size_gives_bias_or_zero),
        cmocka_unit_test(empty_results_write_nothing),
        cmocka_unit_test(layouts_that_are_not_taken_are_refused),
        cmocka_unit_test(nan_and_infinity_pass_through),
        cmocka_unit_test(threads_share_a_plan),
        cmocka_unit_test(child_of_a_fork_multiplies_alone),
        cmocka_unit_test(failed_allocations_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
