/* What varies from call to call: shapes, scalars, positions, control flow, threads. Each line compares
 * eager and compiled calls of one C function, turn by turn, with equal bits checked.
 *
 *     dynamic [name …]   all, or those named: shapes rates decode decode_tensor solver tree exit threads
 *
 * Output: one JSON object a line. */
#include <sinter/sinter.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count ? values[count / 2] : 0;
}

/* Ends the program with the thread's error unless `ok`. */
static void expect(bool ok, const char *what) {
    if (ok && sn_error_status() == SN_OK) return;
    fprintf(stderr, "dynamic: %s: %s\n", what, sn_error_text());
    exit(1);
}

static sn_counters counters(void) {
    sn_counters c = {.size = sizeof c};
    sn_counters_get(&c);
    return c;
}

static bool same_bits(sn_tensor *a, sn_tensor *b) {
    size_t bytes = (size_t)sn_count(a) * sn_dtype_size(sn_dtype_of(a));
    char *x = malloc(bytes + 1), *y = malloc(bytes + 1);
    bool same = x && y && sn_count(a) == sn_count(b) && sn_read(a, sn_dtype_of(a), x, bytes) &&
                sn_read(b, sn_dtype_of(a), y, bytes) && memcmp(x, y, bytes) == 0;
    free(x);
    free(y);
    return same;
}

static sn_rng generator = {.seed = 7};

static sn_tensor *normal(const int64_t *dims, int32_t rank, double scale) {
    return sn_mul(sn_randn(&generator, dims, rank, SN_F32), sn_c(scale));
}

/* ---- a transformer block --------------------------------------------------------------------- */

enum { WIDTH = 256, HEADS = 8, HEAD = WIDTH / HEADS, LAYERS = 4, WEIGHTS = 6 };

static sn_tensor *heads_of(sn_tensor *qkv, int64_t part) {
    int64_t batch = sn_size(qkv, 0), length = sn_size(qkv, 1);
    sn_tensor *one = sn_narrow(qkv, 2, part * WIDTH, WIDTH);
    return sn_permute(sn_reshape(one, SN_I(batch, length, HEADS, HEAD)), SN_I(0, 2, 1, 3));
}

static sn_tensor *feed_forward(sn_tensor *x, sn_tensor **w) {
    sn_tensor *h = sn_matmul(sn_layer_norm(x, w[3], SN_NONE, 1e-5), w[4]);
    return sn_add(x, sn_matmul(sn_gelu(h, SN_GELU_TANH), w[5]));
}

static sn_tensor *block(sn_tensor **w, int32_t count, sn_tensor *x) {
    int64_t batch = sn_size(x, 0), length = sn_size(x, 1);
    (void)count;
    sn_tensor *h = sn_matmul(sn_layer_norm(x, w[0], SN_NONE, 1e-5), w[1]);
    sn_tensor *a = sn_scaled_dot_product_attention(heads_of(h, 0), heads_of(h, 1), heads_of(h, 2),
                                                   SN_NONE, true, 0);
    a = sn_reshape(sn_permute(a, SN_I(0, 2, 1, 3)), SN_I(batch, length, WIDTH));
    return feed_forward(sn_add(x, sn_matmul(a, w[2])), w);
}

static void make_weights(sn_tensor **w, int layers) {
    for (int i = 0; i < layers; i++, w += WEIGHTS) {
        w[0] = sn_ones(SN_I(WIDTH), SN_F32);
        w[1] = normal(SN_I(WIDTH, 3 * WIDTH), 0.05);
        w[2] = normal(SN_I(WIDTH, WIDTH), 0.05);
        w[3] = sn_ones(SN_I(WIDTH), SN_F32);
        w[4] = normal(SN_I(WIDTH, 4 * WIDTH), 0.05);
        w[5] = normal(SN_I(4 * WIDTH, WIDTH), 0.05);
    }
}

/* ---- shapes ---------------------------------------------------------------------------------- */

typedef sn_tensor *BlockFn(sn_tensor **, int32_t, sn_tensor *);

static double trace_ns(sn_compiled *c, const sn_counters *before) {
    sn_counters after = counters();
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    return (double)(after.trace_ns - before->trace_ns) / (double)(after.traces - before->traces) /
           (double)e.ops;
}

/* The re-trace alone: a batch of no elements leaves nothing to compute, and what the tracer works with in
 * the caches. */
static double trace_of_empty_batches(sn_compiled *c, BlockFn *fast, sn_tensor **w) {
    enum { EMPTY = 1000 };
    sn_counters before = counters();
    for (int i = 0; i < EMPTY; i++) {
        sn_scope scope = sn_scope_begin();
        fast(w, WEIGHTS, sn_zeros(SN_I(0, 2 + i, WIDTH), SN_F32));
        expect(true, "empty batches");
        sn_scope_end(scope, NULL);
    }
    return trace_ns(c, &before);
}

/* New shapes of a block: what a new one costs, and how its calls compare with a graph of its own. */
static void run_shapes(void) {
    enum { PAIRS = 100, COMPARED = 7, ROUNDS = 15 };
    sn_tensor *w[WEIGHTS];
    make_weights(w, 1);
    sn_compiled *c = sn_compile(block, "t*t:t", NULL);
    BlockFn *fast = SN_FN(c, block);
    sn_counters first = counters();
    int bad = 0, compiles = 0;
    srand(11);
    for (int i = 0; i < PAIRS; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = normal(SN_I(1 + rand() % 8, 2 + rand() % 120, WIDTH), 1);
        sn_counters before = counters();
        sn_tensor *got = fast(w, WEIGHTS, x);
        compiles += counters().compiles > before.compiles;
        bad += !same_bits(got, block(w, WEIGHTS, x));
        expect(true, "shapes");
        sn_scope_end(scope, NULL);
    }
    double after_work = trace_ns(c, &first);
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    double alone = trace_of_empty_batches(c, fast, w);
    double ratios[COMPARED];
    for (int i = 0; i < COMPARED; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = normal(SN_I(1 + i, 16 + 17 * i, WIDTH), 1);
        sn_compile_options options = {.shapes = SN_SHAPES_STATIC};
        sn_compiled *own = sn_compile(block, "t*t:t", &options);
        BlockFn *fixed = SN_FN(own, block);
        double rounds[ROUNDS];
        for (int j = 0; j < 3; j++) fast(w, WEIGHTS, x), fixed(w, WEIGHTS, x);
        for (int j = 0; j < ROUNDS; j++) {
            double t0 = now();
            fast(w, WEIGHTS, x);
            double t1 = now();
            fixed(w, WEIGHTS, x);
            rounds[j] = (t1 - t0) / (now() - t1);
        }
        ratios[i] = median(rounds, ROUNDS);
        sn_compiled_release(own);
        sn_scope_end(scope, NULL);
    }
    printf("{\"name\": \"shapes\", \"shapes\": %d, \"calls_that_compiled\": %d, \"graphs\": %d, "
           "\"different_bits\": %d, \"trace_ns_an_op\": %.0f, \"trace_ns_an_op_after_work\": %.0f, "
           "\"general_over_static\": %.3f}\n",
           PAIRS, compiles, (int)e.graphs, bad, alone, after_work, median(ratios, COMPARED));
    sn_compiled_release(c);
}

/* ---- learning rates -------------------------------------------------------------------------- */

static sn_tensor *descend(sn_tensor *w, sn_tensor *gradient, double rate) {
    return sn_sub(w, sn_mul(gradient, sn_c(rate)));
}

static void run_rates(void) {
    enum { RATES = 10000 };
    sn_tensor *w = normal(SN_I(1000), 1), *g = normal(SN_I(1000), 1);
    sn_compiled *c = sn_compile(descend, "ttd:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, double) = SN_FN(c, descend);
    sn_counters before = counters();
    double begin = now();
    for (int i = 1; i <= RATES; i++) {
        sn_scope scope = sn_scope_begin();
        fast(w, g, 0.1 / i);
        sn_scope_end(scope, NULL);
    }
    double seconds = now() - begin;
    expect(true, "rates");
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    printf("{\"name\": \"rates\", \"rates\": %d, \"recompiles\": %lld, \"entries\": %d, "
           "\"us_a_call\": %.2f}\n",
           RATES, (long long)(counters().recompiles - before.recompiles), (int)e.entries,
           seconds / RATES * 1e6);
    sn_compiled_release(c);
}

/* ---- decoding -------------------------------------------------------------------------------- */

enum { CACHE = 1024, TOKENS = 1000 };

/* Attention of one token to all so far, its key and value written into the caches at `position`. */
static sn_tensor *attend(sn_tensor *q, sn_tensor *k, sn_tensor *v, sn_tensor *keys,
                         sn_tensor *values, int64_t position) {
    sn_copy_(sn_narrow(keys, 1, position, 1), k);
    sn_copy_(sn_narrow(values, 1, position, 1), v);
    sn_tensor *past = sn_narrow(keys, 1, 0, position + 1);
    sn_tensor *scores = sn_matmul(q, sn_transpose(past, 1, 2));
    scores = sn_softmax(sn_mul(scores, sn_c(1 / sqrt((double)HEAD))), 2);
    return sn_matmul(scores, sn_narrow(values, 1, 0, position + 1));
}

static sn_tensor *head_of(sn_tensor *qkv, int64_t part) {
    return sn_reshape(sn_narrow(qkv, 1, part * WIDTH, WIDTH), SN_I(HEADS, 1, HEAD));
}

static sn_tensor *decode(sn_tensor **w, int32_t n_weights, sn_tensor **caches, int32_t n_caches,
                         sn_tensor *x, int64_t position) {
    (void)n_weights;
    for (int32_t i = 0; i < n_caches; i += 2, w += WEIGHTS) {
        sn_tensor *qkv = sn_matmul(sn_layer_norm(x, w[0], SN_NONE, 1e-5), w[1]);
        sn_tensor *a = attend(head_of(qkv, 0), head_of(qkv, 1), head_of(qkv, 2), caches[i],
                              caches[i + 1], position);
        x = feed_forward(sn_add(x, sn_matmul(sn_reshape(a, SN_I(1, WIDTH)), w[2])), w);
    }
    return x;
}

/* The same with the position in a tensor: the whole cache is attended to, under a mask. */
static sn_tensor *attend_masked(sn_tensor *q, sn_tensor *k, sn_tensor *v, sn_tensor *keys,
                                sn_tensor *values, sn_tensor *position) {
    sn_copy_(keys, sn_index_copy(keys, 1, position, k));
    sn_copy_(values, sn_index_copy(values, 1, position, v));
    sn_tensor *seen = sn_le(sn_arange(0, CACHE, 1, SN_I64), position);
    sn_tensor *scores =
        sn_mul(sn_matmul(q, sn_transpose(keys, 1, 2)), sn_c(1 / sqrt((double)HEAD)));
    return sn_matmul(sn_softmax(sn_where(seen, scores, sn_c(-INFINITY)), 2), values);
}

static sn_tensor *decode_tensor(sn_tensor **w, int32_t n_weights, sn_tensor **caches,
                                int32_t n_caches, sn_tensor *x, sn_tensor *position) {
    (void)n_weights;
    for (int32_t i = 0; i < n_caches; i += 2, w += WEIGHTS) {
        sn_tensor *qkv = sn_matmul(sn_layer_norm(x, w[0], SN_NONE, 1e-5), w[1]);
        sn_tensor *a = attend_masked(head_of(qkv, 0), head_of(qkv, 1), head_of(qkv, 2), caches[i],
                                     caches[i + 1], position);
        x = feed_forward(sn_add(x, sn_matmul(sn_reshape(a, SN_I(1, WIDTH)), w[2])), w);
    }
    return x;
}

typedef sn_tensor *DecodeFn(sn_tensor **, int32_t, sn_tensor **, int32_t, sn_tensor *, int64_t);
typedef sn_tensor *DecodeTensorFn(sn_tensor **, int32_t, sn_tensor **, int32_t, sn_tensor *,
                                  sn_tensor *);

static void run_decoding(bool with_tensor) {
    sn_tensor *w[LAYERS * WEIGHTS], *caches[2][2 * LAYERS];
    double seconds[2][TOKENS];
    make_weights(w, LAYERS);
    for (int i = 0; i < 4 * LAYERS; i++)
        caches[i / (2 * LAYERS)][i % (2 * LAYERS)] = sn_zeros(SN_I(HEADS, CACHE, HEAD), SN_F32);
    sn_compiled *c = with_tensor ? sn_compile(decode_tensor, "t*t*tt:t", NULL)
                                 : sn_compile(decode, "t*t*tl:t", NULL);
    DecodeFn *fast = with_tensor ? NULL : SN_FN(c, decode);
    DecodeTensorFn *fast_tensor = with_tensor ? SN_FN(c, decode_tensor) : NULL;
    int bad = 0;
    int32_t n = LAYERS * WEIGHTS, m = 2 * LAYERS;
    for (int64_t token = 0; token < TOKENS; token++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = normal(SN_I(1, WIDTH), 1), *y[2];
        sn_tensor *at = sn_from_copy(&token, sizeof token, SN_I(1), SN_I64);
        for (int k = 0; k < 2; k++) {
            bool compiled = (token + k) % 2;
            double begin = now();
            if (with_tensor)
                y[compiled] =
                    (compiled ? fast_tensor : decode_tensor)(w, n, caches[compiled], m, x, at);
            else
                y[compiled] = (compiled ? fast : decode)(w, n, caches[compiled], m, x, token);
            seconds[compiled][token] = now() - begin;
        }
        expect(y[0] && y[1], "decoding");
        bad += !same_bits(y[0], y[1]);
        sn_scope_end(scope, NULL);
    }
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    printf(
        "{\"name\": \"%s\", \"tokens\": %d, \"graphs\": %d, \"rerun\": %s, \"different_bits\": %d, "
        "\"eager_tokens_per_s\": %.0f, \"compiled_tokens_per_s\": %.0f, \"bytes_stored\": %lld}\n",
        with_tensor ? "decode_tensor" : "decode", TOKENS, (int)e.graphs, e.rerun ? "true" : "false",
        bad, 1 / median(seconds[0], TOKENS), 1 / median(seconds[1], TOKENS),
        (long long)e.bytes_stored);
    sn_compiled_release(c);
}

/* ---- control flow ---------------------------------------------------------------------------- */

/* Jacobi's iteration until the residual is small: a host read each round. */
static sn_tensor *solve(sn_tensor *a, sn_tensor *b) {
    sn_tensor *diagonal = sn_diagonal(a, 0, 0, 1), *x = sn_div(b, diagonal);
    for (int i = 0; i < 200; i++) {
        sn_tensor *residual = sn_sub(b, sn_sum(sn_mul(a, sn_unsqueeze(x, 0)), SN_I(1), false));
        if (sn_item(sn_max(sn_abs(residual), SN_I0, false)) < 1e-5) break;
        x = sn_add(x, sn_div(residual, diagonal));
    }
    return x;
}

/* A full binary tree of vectors, folded from the leaves: recursion on the host. */
static sn_tensor *fold_tree(sn_tensor *leaves, sn_tensor *w) {
    int64_t count = sn_size(leaves, 0);
    if (count == 1) return sn_tanh(leaves);
    sn_tensor *left = fold_tree(sn_narrow(leaves, 0, 0, count / 2), w);
    sn_tensor *right = fold_tree(sn_narrow(leaves, 0, count / 2, count - count / 2), w);
    return sn_tanh(sn_add(sn_mul(sn_add(left, right), w), sn_mul(left, right)));
}

/* Layers until one is sure enough. */
static sn_tensor *exit_early(sn_tensor *x, sn_tensor *w) {
    for (int i = 0; i < 8; i++) {
        x = sn_layer_norm(sn_gelu(sn_add(sn_mul(x, sn_c(1.3)), w), SN_GELU_TANH), SN_NONE, SN_NONE,
                          1e-5);
        sn_tensor *sure = sn_max(sn_softmax(x, 1), SN_I(1), false);
        if (sn_item(sn_mean(sure, SN_I0, false)) > 0.006) return sn_mul(x, sn_c(i + 1.0));
    }
    return x;
}

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static void compare_binary(const char *name, Binary *eager, Binary *fast, sn_compiled *c,
                           sn_tensor *x, sn_tensor *y) {
    enum { ROUNDS = 41, WARM = 4 };
    double seconds[2][ROUNDS];
    bool same = true;
    for (int i = -WARM; i < ROUNDS; i++) {
        sn_scope scope = sn_scope_begin();
        double t0 = now();
        sn_tensor *want = eager(x, y);
        double t1 = now();
        sn_tensor *got = fast(x, y);
        double t2 = now();
        expect(want && got, name);
        same = same && same_bits(want, got);
        if (i >= 0) seconds[0][i] = t1 - t0, seconds[1][i] = t2 - t1;
        sn_scope_end(scope, NULL);
    }
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    double plain = median(seconds[0], ROUNDS), compiled = median(seconds[1], ROUNDS);
    printf("{\"name\": \"%s\", \"same_bits\": %s, \"graphs\": %d, \"host_reads\": %d, "
           "\"eager_us\": %.1f, \"compiled_us\": %.1f, \"speedup\": %.2f}\n",
           name, same ? "true" : "false", (int)e.graphs, (int)e.host_reads, plain * 1e6,
           compiled * 1e6, plain / compiled);
}

static void run_solver(void) {
    enum { N = 1024 };
    sn_tensor *a = sn_add(normal(SN_I(N, N), 0.01),
                          sn_mul(sn_cast(sn_eq(sn_unsqueeze(sn_arange(0, N, 1, SN_F32), 1),
                                               sn_arange(0, N, 1, SN_F32)),
                                         SN_F32),
                                 sn_c(2)));
    sn_compiled *c = sn_compile(solve, "tt:t", NULL);
    compare_binary("solver", solve, SN_FN(c, solve), c, a, normal(SN_I(N), 1));
    sn_compiled_release(c);
}

static void run_tree(void) {
    sn_compiled *c = sn_compile(fold_tree, "tt:t", NULL);
    compare_binary("tree", fold_tree, SN_FN(c, fold_tree), c, normal(SN_I(32, 512), 1),
                   normal(SN_I(512), 1));
    sn_compiled_release(c);
}

static void run_exit(void) {
    sn_compiled *c = sn_compile(exit_early, "tt:t", NULL);
    compare_binary("exit", exit_early, SN_FN(c, exit_early), c, normal(SN_I(128, 1024), 1),
                   normal(SN_I(1024), 1));
    sn_compiled_release(c);
}

/* ---- threads --------------------------------------------------------------------------------- */

static sn_tensor *layer(sn_tensor *x, sn_tensor *y) {
    return sn_softmax(sn_gelu(sn_mul(sn_add(x, y), sn_c(0.7)), SN_GELU_TANH), 1);
}

typedef struct Caller {
    pthread_t thread;
    Binary *function;
    sn_tensor *x, *y;
    double until; /* when to stop */
    int64_t calls;
} Caller;

static void *call_until(void *data) {
    Caller *c = data;
    while (now() < c->until)
        for (int i = 0; i < 64; i++, c->calls++) {
            sn_scope scope = sn_scope_begin();
            c->function(c->x, c->y);
            sn_scope_end(scope, NULL);
        }
    return NULL;
}

static int os_threads(void) {
    char line[128];
    int count = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "Threads: %d", &count);
    if (file) fclose(file);
    return count;
}

/* Calls a second of one handle by 1, 2, 4 and 8 threads at once. */
static void run_threads(void) {
    sn_compiled *c = sn_compile(layer, "tt:t", NULL);
    Binary *fast = SN_FN(c, layer);
    sn_tensor *x = normal(SN_I(16, 64), 1), *y = normal(SN_I(64), 1);
    for (int i = 0; i < 3; i++) fast(x, y);
    for (int count = 1; count <= 8; count *= 2) {
        Caller callers[8];
        double begin = now();
        int64_t calls = 0;
        for (int i = 0; i < count; i++) {
            callers[i] = (Caller){.function = fast, .x = x, .y = y, .until = begin + 0.5};
            pthread_create(&callers[i].thread, NULL, call_until, &callers[i]);
        }
        int threads = os_threads();
        for (int i = 0; i < count; i++) {
            pthread_join(callers[i].thread, NULL);
            calls += callers[i].calls;
        }
        printf(
            "{\"name\": \"threads\", \"callers\": %d, \"os_threads\": %d, \"calls_per_s\": %.0f}\n",
            count, threads, (double)calls / (now() - begin));
    }
    sn_compiled_release(c);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void run_decode(void) {
    run_decoding(false);
}

static void run_decode_tensor(void) {
    run_decoding(true);
}

static const struct Benchmark {
    const char *name;
    void (*run)(void);
} benchmarks[] = {
    {"shapes", run_shapes}, {"rates", run_rates},
    {"decode", run_decode}, {"decode_tensor", run_decode_tensor},
    {"solver", run_solver}, {"tree", run_tree},
    {"exit", run_exit},     {"threads", run_threads},
};

static bool is_wanted(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof benchmarks / sizeof *benchmarks; i++) {
        if (!is_wanted(benchmarks[i].name, argc, argv)) continue;
        sn_scope scope = sn_scope_begin();
        benchmarks[i].run();
        sn_scope_end(scope, NULL);
        expect(true, benchmarks[i].name);
        fflush(stdout);
    }
    return 0;
}
