/* Every allocation fails once: for each n a scenario runs whose n-th request fails (and, in a second
 * sweep, every later one too). The call that meets it must fail with a clear error of memory, or get
 * along without; the same call then succeeds; in the end the bits are those of an undisturbed run, and
 * nothing is left behind.
 *
 * Each attempt runs in a thread of its own with the kernel cache cleared before, so that every table
 * is built anew. `test_faults all` visits every n, the default thins out beyond the first few hundred. */
#include "api_case.h"

#include "base/mem.h"
#include "base/settings.h"
#include "frontend/io/dlpack.h"
#include "runtime/kernels/kernel_cache.h"

#include <ftw.h>
#include <pthread.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 16, EACH_UP_TO = 150, SAMPLES = 150 };
#define NEVER (INT64_MAX / 2) /* no run makes as many requests */

/* One run of a scenario. */
typedef struct Run {
    void (*scenario)(struct Run *); /* what it does */
    int64_t fail_at;                /* request that fails; 0 = none */
    bool sticky;                    /* every later one, too, until an error was seen */
    int32_t errors;                 /* errors that the injected fault led to */
    bool stopped;                   /* something else went wrong: see failure */
    char failure[600];              /* what */
    size_t bytes;                   /* of the results */
    unsigned char result[MOST_BYTES];
} Run;

static char folder[] = "/tmp/sinter_faults_XXXXXX";
static bool all_of_them;
static int64_t total_injected, total_errors;

static void stop(Run *run, const char *text) {
    if (!run->stopped) snprintf(run->failure, sizeof run->failure, "%s", text);
    run->stopped = true;
    mem_fail_after(0, false);
}

/* After a failed call: is it to be made again? True once the injected fault was reported. */
static bool again(Run *run, const sn_error *error, const char *call) {
    char text[580];
    mem_fail_after(0, false);
    run->errors++;
    if (!run->stopped && run->fail_at && run->errors == 1 && error->status == SN_ERROR_MEMORY &&
        strstr(error->text, "out of memory"))
        return true;
    snprintf(text, sizeof text, "%s: %s: %.400s", call, sn_status_name(error->status), error->text);
    stop(run, text);
    return false;
}

static bool again_by_thread(Run *run, const char *call) {
    sn_error error;
    sn_error_take(&error);
    return again(run, &error, call);
}

/* variable = call, made again if the injected fault made it fail; the scenario ends where it fails
 * otherwise. The thread's error tells. */
#define TRY(variable, call)                                                                        \
    do {                                                                                           \
        variable = (call);                                                                         \
        if (!variable && again_by_thread(run, #call)) variable = (call);                           \
        if (!variable && again_by_thread(run, #call)) return;                                      \
        if (!variable) return;                                                                     \
    } while (0)

/* The same for calls that fill `error` and give a status. */
#define TRY_STATUS(call)                                                                           \
    do {                                                                                           \
        error = (sn_error){0};                                                                     \
        if ((call) != SN_OK && again(run, &error, #call) && (call) != SN_OK)                       \
            again(run, &error, #call);                                                             \
        if (run->stopped) return;                                                                  \
    } while (0)

/* The same for calls that fill `error` and give a pointer. */
#define TRY_ERROR(variable, call)                                                                  \
    do {                                                                                           \
        error = (sn_error){0};                                                                     \
        variable = (call);                                                                         \
        if (!variable && again(run, &error, #call)) variable = (call);                             \
        if (!variable && again(run, &error, #call)) return;                                        \
        if (!variable) return;                                                                     \
    } while (0)

static void keep_bytes(Run *run, const void *data, size_t bytes) {
    if (run->bytes + bytes > MOST_BYTES) {
        stop(run, "too many results for the test");
        return;
    }
    memcpy(run->result + run->bytes, data, bytes);
    run->bytes += bytes;
}

/* Reads a tensor's bits into the results. */
static bool keep(Run *run, sn_tensor *t) {
    static _Thread_local char data[MOST_BYTES];
    size_t bytes = (size_t)sn_count(t) * sn_dtype_size(sn_dtype_of(t));
    if (bytes > sizeof data) {
        stop(run, "too large for the test");
        return true;
    }
    if (!sn_read(t, sn_dtype_of(t), data, bytes)) return false;
    keep_bytes(run, data, bytes);
    return true;
}

/* Results of a call, kept. */
#define KEEP(call)                                                                                 \
    do {                                                                                           \
        sn_tensor *kept_;                                                                          \
        bool read_;                                                                                \
        TRY(kept_, call);                                                                          \
        TRY(read_, keep(run, kept_));                                                              \
    } while (0)

static const float numbers[64] = {
    0.5f,  -1.25f, 3,     0.125f, -0.75f, 2.5f,   -3.5f, 1,    0.25f, -2,     1.5f,   -0.5f, 4,
    -1,    0.625f, 2.25f, -2.75f, 3.25f,  -0.25f, 1.75f, 0.1f, -0.3f, 0.7f,   -0.9f,  1.1f,  -1.3f,
    1.7f,  -1.9f,  2.1f,  -2.3f,  2.7f,   -2.9f,  3.1f,  5,    -6,    7,      -8,     9,     -10,
    11,    -12,    13,    -14,    15,     -16,    17,    -18,  19,    -20,    21,     -22,   23,
    -0.0f, 24,     -25,   26,     -27,    28,     -29,   30,   -31,   0.001f, -1e-6f, 1e6f};

static sn_tensor *make(const int64_t *dims, int32_t rank) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) count *= dims[i];
    return sn_from_copy(numbers, (size_t)count * sizeof(float), dims, rank, SN_F32);
}

static sn_tensor *make_index(void) {
    static const int64_t index[3] = {2, 0, 1};
    return sn_from_copy(index, sizeof index, SN_I(3), SN_I64);
}

/* ---- eager ops ------------------------------------------------------------------------------- */

static void pointwise(Run *run) {
    sn_tensor *x, *y, *s;
    TRY(x, make(SN_I(4, 6)));
    TRY(y, make(SN_I(6)));
    TRY(s, sn_c(0.5));
    KEEP(sn_add(x, y));
    KEEP(sn_mul(x, s));
    KEEP(sn_gelu(x, SN_GELU_TANH));
    KEEP(sn_exp(sn_transpose(x, 0, 1)));
    KEEP(sn_where(sn_lt(x, y), x, y));
    KEEP(sn_cast(x, SN_BF16));
    KEEP(sn_pow(x, sn_ci(2)));
    KEEP(sn_clamp(x, sn_c(-1), SN_NONE));
}

static void reductions(Run *run) {
    sn_tensor *x;
    TRY(x, make(SN_I(4, 6)));
    KEEP(sn_sum(x, SN_I(1), false));
    KEEP(sn_sum(x, SN_I0, false));
    KEEP(sn_argmax(x, SN_I(0), true));
    KEEP(sn_var(x, SN_I(-1), false, 1));
    KEEP(sn_softmax(x, 1));
    KEEP(sn_cumsum(x, 0));
    KEEP(sn_layer_norm(x, SN_NONE, SN_NONE, 1e-5));
}

static void views_and_joins(Run *run) {
    sn_tensor *x, *parts[2];
    bool ok;
    TRY(x, make(SN_I(4, 6)));
    KEEP(sn_reshape(sn_permute(x, SN_I(1, 0)), SN_I(3, 8)));
    KEEP(sn_index(x, SN_IX(SN_STEP(3, SN_END, -2), SN_NEW, SN_AT(-1))));
    KEEP(sn_diagonal(x, 1, 0, 1));
    TRY(ok, sn_split(x, SN_I(1, 5), 1, parts));
    KEEP(sn_cat(parts, 2, 1));
    KEEP(sn_stack((sn_tensor *[]){x, x, x}, 3, 1));
    KEEP(sn_pad(x, SN_I(1, 2), 7));
    KEEP(sn_expand(sn_narrow(x, 0, 0, 1), SN_I(2, 3, 6)));
    KEEP(sn_tril(x, 1));
    KEEP(sn_arange(0, 9, 2, SN_I32));
}

static void many_operands(Run *run) {
    sn_tensor *x, *xs[20];
    TRY(x, make(SN_I(2, 3)));
    for (int i = 0; i < 20; i++) xs[i] = x;
    KEEP(sn_cat(xs, 20, 0));
}

static void indexing(Run *run) {
    sn_tensor *x, *i;
    TRY(x, make(SN_I(4, 3)));
    TRY(i, make_index());
    KEEP(sn_embedding(x, i));
    KEEP(sn_gather(x, 1, sn_expand(i, SN_I(2, 3))));
    KEEP(sn_index_select(x, 1, i));
    KEEP(sn_one_hot(i, 4));
    KEEP(sn_scatter_add(x, 0, sn_unsqueeze(i, 1), sn_ones(SN_I(3, 1), SN_F32)));
    KEEP(sn_index_copy(x, 0, i, sn_zeros(SN_I(3, 3), SN_F32)));
    KEEP(sn_cross_entropy(sn_narrow(x, 0, 0, 3), i, SN_REDUCTION_MEAN));
}

static void sizes_from_data(Run *run) {
    sn_tensor *x, *inverse, *counts;
    TRY(x, make(SN_I(5, 6)));
    KEEP(sn_nonzero(sn_gt(x, sn_c(1))));
    KEEP(sn_masked_select(x, sn_lt(x, sn_c(1))));
    KEEP(sn_einsum("ij,kj,ij->ki", SN_T(x, x, x)));
    KEEP(sn_tensordot(x, x, SN_I(1), SN_I(1)));
    KEEP(sn_unique(sn_round(x), &inverse, &counts));
    KEEP(inverse);
    KEEP(counts);
}

static void contractions(Run *run) {
    sn_tensor *x, *w;
    TRY(x, make(SN_I(4, 6)));
    TRY(w, make(SN_I(6, 5)));
    KEEP(sn_matmul(x, w));
    KEEP(sn_linear(x, sn_transpose(w, 0, 1), sn_ones(SN_I(5), SN_F32)));
    KEEP(sn_scaled_dot_product_attention(x, x, x, SN_NONE, true, 0));
}

static void random_numbers(Run *run) {
    sn_rng rng = {42, 5};
    sn_tensor *x;
    TRY(x, make(SN_I(4, 6)));
    KEEP(sn_rand(&rng, SN_I(7), SN_F32));
    KEEP(sn_randn(&rng, SN_I(2, 3), SN_F64));
    KEEP(sn_dropout(x, 0.5, &rng));
    keep_bytes(run, &rng, sizeof rng);
}

static void writes(Run *run) {
    sn_tensor *x, *y, *done;
    TRY(x, make(SN_I(4, 6)));
    TRY(y, make(SN_I(6)));
    TRY(done, sn_add_(x, y));
    TRY(done, sn_mul_(sn_select(x, 1, 2), sn_c(3)));
    TRY(done, sn_fill_(sn_narrow(x, 0, 3, 1), 8));
    TRY(done, sn_copy_(sn_transpose(x, 0, 1), sn_cast(sn_ones(SN_I(6, 4), SN_F32), SN_I64)));
    TRY(done, sn_add_(sn_narrow(x, 0, 1, 3), sn_narrow(x, 0, 0, 3))); /* overlap in part */
    KEEP(x);
}

static void text_of_tensors(Run *run) {
    sn_tensor *x;
    char text[400];
    bool ok;
    TRY(x, make(SN_I(4, 6)));
    TRY(ok, sn_format(x, text, sizeof text) > 0);
    keep_bytes(run, text, strlen(text));
}

/* ---- compiled functions ---------------------------------------------------------------------- */

static sn_tensor *block(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_tensor *h = sn_gelu(sn_add(sn_matmul(x, w), b), SN_GELU_TANH);
    return sn_softmax(sn_mul(h, sn_c(0.5)), -1);
}

typedef sn_tensor *Ternary(sn_tensor *, sn_tensor *, sn_tensor *);

static void compiled(Run *run) {
    sn_tensor *x, *w, *b;
    sn_compiled *c;
    Ternary *fast;
    TRY(x, make(SN_I(4, 6)));
    TRY(w, make(SN_I(6, 5)));
    TRY(b, make(SN_I(5)));
    TRY(c, sn_compile(block, "ttt:t", NULL));
    TRY(fast, SN_FN(c, block));
    for (int i = 0; i < 3; i++) KEEP(fast(x, w, b));
    TRY(x, make(SN_I(2, 6))); /* another shape */
    for (int i = 0; i < 3; i++) KEEP(fast(x, w, b));
    sn_compiled_release(c);
}

/* Sizes, a position and a scalar that vary, a coincidence that ends, and stances. */
static sn_tensor *varies(sn_tensor *x, sn_tensor *y, int64_t position, double scale) {
    sn_tensor *part = sn_narrow(y, 0, position, sn_size(x, 0));
    sn_tensor *sums = sn_sum(sn_mul(sn_add(x, part), sn_c(scale)), SN_I(1), true);
    return sn_neg(sn_cat((sn_tensor *[]){sn_sub(x, sums), part}, 2, 0));
}

static void compiled_varying(Run *run) {
    static const int64_t rows[] = {2, 3, 5, 1, 4}, positions[] = {2, 3, 1, 0, 2};
    sn_tensor *y;
    sn_compiled *c;
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, int64_t, double);
    const sn_dim dims[] = {{.name = "n", .tensor = 0, .axis = 1, .max = 64}};
    sn_compile_options options = {.dims = dims, .n_dims = 1, .most_graphs = 2, .check_every = 3};
    for (int kind = 0; kind < 2; kind++) {
        TRY(c, sn_compile(varies, "ttld:t", kind ? &options : NULL));
        TRY(fast, SN_FN(c, varies));
        TRY(y, make(SN_I(8, 3)));
        for (int i = 0; i < 5; i++) {
            sn_tensor *x;
            TRY(x, make(SN_I(rows[i], 3)));
            for (int again = 0; again < 2; again++) KEEP(fast(x, y, positions[i], 0.5 * i));
        }
        sn_set_stance(c, SN_STANCE_EAGER);
        KEEP(fast(y, y, 0, 2));
        sn_compiled_release(c);
    }
}

static sn_status two_outputs(sn_tensor *const *xs, int32_t n, sn_tensor *y, double scale,
                             sn_tensor **sum, sn_tensor **view) {
    sn_tensor *total = sn_mul(y, sn_c(scale));
    for (int32_t i = 0; i < n; i++) total = sn_add(total, xs[i]);
    sn_add_(sn_select(y, 0, 1), sn_ci(1)); /* writes its argument */
    *sum = sn_sum(total, SN_I(0), false);
    *view = sn_transpose(total, 0, 1);
    return *sum && *view ? SN_OK : sn_error_status();
}

static void compiled_writes(Run *run) {
    sn_tensor *xs[3], *y, *sum, *view;
    sn_compiled *c;
    bool ok;
    sn_status (*fast)(sn_tensor *const *, int32_t, sn_tensor *, double, sn_tensor **, sn_tensor **);
    for (int i = 0; i < 3; i++) TRY(xs[i], make(SN_I(3, 4)));
    TRY(y, make(SN_I(3, 4)));
    TRY(c, sn_compile(two_outputs, "t*td:tt", NULL));
    TRY(fast, SN_FN(c, two_outputs));
    for (int i = 0; i < 4; i++) {
        TRY(ok, fast(xs, 3, y, 0.5 + (i > 2), &sum, &view) == SN_OK);
        KEEP(sum);
        KEEP(view);
        KEEP(y);
    }
    sn_compiled_release(c);
}

static sn_tensor *chooses(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_tensor *h = sn_mul(x, w);
    if (sn_item(sn_sum(h, SN_I0, false)) > 0) return sn_add(h, b);
    return sn_sub(h, sn_exp(b));
}

static void compiled_reads(Run *run) {
    sn_tensor *x, *negative, *b;
    sn_compiled *c;
    Ternary *fast;
    TRY(x, make(SN_I(6)));
    TRY(negative, sn_neg(x));
    TRY(b, make(SN_I(6)));
    TRY(c, sn_compile(chooses, "ttt:t", NULL));
    TRY(fast, SN_FN(c, chooses));
    for (int i = 0; i < 4; i++) KEEP(fast(x, i % 2 ? negative : x, b));
    sn_compiled_release(c);
}

static sn_tensor *draws(sn_rng *rng, sn_tensor *x) {
    return sn_add(sn_dropout(x, 0.25, rng), sn_rand(rng, SN_I(6), SN_F32));
}

static void compiled_draws(Run *run) {
    sn_rng rng = {7, 100};
    sn_tensor *x;
    sn_compiled *c;
    sn_tensor *(*fast)(sn_rng *, sn_tensor *);
    TRY(x, make(SN_I(6)));
    TRY(c, sn_compile(draws, "rt:t", NULL));
    TRY(fast, SN_FN(c, draws));
    for (int i = 0; i < 3; i++) KEEP(fast(&rng, x));
    keep_bytes(run, &rng, sizeof rng);
    sn_compiled_release(c);
}

typedef struct Layer {
    sn_tensor *weight; /* of the layer */
    int32_t n;         /* biases in use */
    int32_t unused;    /* padding */
    sn_tensor *bias[3];
} Layer;

static const sn_field layer_fields[] = {
    {.name = "weight", .kind = SN_FIELD_TENSOR, .offset = 0, .bytes = sizeof(sn_tensor *)},
    {.name = "n", .kind = SN_FIELD_SCALAR, .offset = offsetof(Layer, n), .bytes = 4},
    {.name = "unused", .kind = SN_FIELD_IGNORED, .offset = offsetof(Layer, unused), .bytes = 4},
    {.name = "bias",
     .kind = SN_FIELD_TENSOR,
     .offset = offsetof(Layer, bias),
     .bytes = sizeof(sn_tensor *),
     .count = 3,
     .counted = true,
     .count_offset = offsetof(Layer, n)},
};
static const sn_tree layer_tree = {sizeof(Layer), layer_fields, 4};

static sn_tensor *apply_layer(const Layer *layer, sn_tensor *x) {
    sn_tensor *y = sn_mul(x, layer->weight);
    for (int32_t i = 0; i < layer->n; i++) y = sn_add(y, layer->bias[i]);
    return y;
}

static int32_t declared = 3;

static void compiled_structs(Run *run) {
    Layer layer = {.n = 2};
    sn_tensor *x;
    sn_compiled *c;
    sn_tensor *(*fast)(const Layer *, sn_tensor *);
    const sn_tree *trees[] = {&layer_tree};
    sn_watch watch = {&declared, sizeof declared};
    TRY(x, make(SN_I(6)));
    TRY(layer.weight, make(SN_I(6)));
    TRY(layer.bias[0], make(SN_I(6)));
    TRY(layer.bias[1], make(SN_I(6)));
    TRY(c, sn_compile(
               apply_layer, "St:t",
               &(sn_compile_options){.trees = trees, .n_trees = 1, .watch = &watch, .n_watch = 1}));
    TRY(fast, SN_FN(c, apply_layer));
    for (int i = 0; i < 3; i++) KEEP(fast(&layer, x));
    sn_compiled_release(c);
}

static sn_compiled *inner_handle;

static sn_tensor *calls_inner(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return sn_neg(SN_FN(inner_handle, block)(x, w, b));
}

static void compiled_inside_compiled(Run *run) {
    sn_tensor *x, *w, *b;
    sn_compiled *c;
    Ternary *fast;
    TRY(x, make(SN_I(4, 6)));
    TRY(w, make(SN_I(6, 5)));
    TRY(b, make(SN_I(5)));
    TRY(inner_handle, sn_compile(block, "ttt:t", NULL));
    TRY(c, sn_compile(calls_inner, "ttt:t", NULL));
    TRY(fast, SN_FN(c, calls_inner));
    for (int i = 0; i < 3; i++) KEEP(fast(x, w, b));
    sn_compiled_release(c);
    sn_compiled_release(inner_handle);
}

static sn_tensor *shared_memory(sn_tensor *x, sn_tensor *y, sn_tensor *unused) {
    sn_tensor *before = sn_mul(x, y);
    (void)unused;
    sn_add_(x, y); /* x and y overlap in part: op by op from here on */
    return before;
}

static void compiled_overlap(Run *run) {
    sn_tensor *base, *x, *y;
    sn_compiled *c;
    Ternary *fast;
    TRY(base, make(SN_I(8)));
    TRY(x, sn_narrow(base, 0, 0, 6));
    TRY(y, sn_narrow(base, 0, 2, 6));
    TRY(c, sn_compile(shared_memory, "ttt:t", NULL));
    TRY(fast, SN_FN(c, shared_memory));
    KEEP(fast(x, y, base));
    KEEP(base);
    sn_compiled_release(c);
}

/* ---- bindings, inspection, files ------------------------------------------------------------- */

static sn_status payload(void *unused, const sn_value *in, int32_t n_in, sn_outputs *out) {
    (void)unused, (void)n_in;
    out->tensors[0] = sn_neg(in[0].as.tensor);
    out->tensors[1] = sn_sum(in[0].as.tensor, SN_I0, false);
    out->count = 2;
    return sn_error_status();
}

static void bindings(Run *run) {
    sn_error error;
    sn_tensor *x, *out[2] = {NULL};
    sn_compiled *c;
    bool ok;
    int32_t n;
    TRY(x, make(SN_I(6)));
    sn_value values[2] = {{.kind = SN_VALUE_TENSOR, .as.tensor = x},
                          {.kind = SN_VALUE_TENSOR, .as.tensor = x}};
    TRY_STATUS(sn_apply(SN_OP_ADD, values, 2, out, 1, &n, NULL, &error));
    TRY(ok, keep(run, out[0]));
    sn_release(out[0]);
    TRY_ERROR(c, sn_compile_payload(payload, NULL, NULL, "payload", "t:tt", NULL, &error));
    for (int i = 0; i < 3; i++) {
        TRY_STATUS(sn_call(c, values, 1, out, 2, &n, NULL, &error));
        for (int k = 0; k < 2; k++) {
            TRY(ok, keep(run, out[k]));
            sn_release(out[k]);
        }
    }
    sn_compiled_release(c);
}

/* sn_explain_text says nothing of the reason; there is but one. */
static char *explained(sn_compiled *c, sn_error *error) {
    char *text = sn_explain_text(c);
    if (!text) {
        error->status = SN_ERROR_MEMORY;
        snprintf(error->text, sizeof error->text, "out of memory");
    }
    return text;
}

static void inspection(Run *run) {
    static const char *const stages[] = {"graph", "dot",     "decompose", "simplify", "fuse",
                                         "plan",  "program", "kernels",   "guards",   "cuda"};
    sn_error error;
    sn_tensor *x, *w, *b;
    sn_compiled *c;
    Ternary *fast;
    char *text;
    TRY(x, make(SN_I(4, 6)));
    TRY(w, make(SN_I(6, 5)));
    TRY(b, make(SN_I(5)));
    TRY(c, sn_compile(block, "ttt:t", NULL));
    TRY(fast, SN_FN(c, block));
    for (int i = 0; i < 3; i++) KEEP(fast(x, w, b));
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        TRY_ERROR(text, sn_dump(c, stages[i], &error));
        keep_bytes(run, text, strlen(text) < 500 ? strlen(text) : 500);
        sn_text_free(text);
    }
    TRY_ERROR(text, explained(c, &error));
    sn_text_free(text);
    sn_compiled_release(c);
}

static void graphs_as_text(Run *run) {
    static const char source[] = "graph g(%0: f32[2,3], %1: f32[3]) {\n"
                                 "  %2 = add %0, %1 : f32[2,3]  ; model.c:3\n"
                                 "  %3 = sum %2 {axes=[1], order=1} : f32[2]\n"
                                 "  return %3, %2\n}\n";
    sn_error error;
    sn_tensor *inputs[2], *out[2] = {NULL};
    sn_graph *graph;
    char *text;
    bool ok;
    int32_t n;
    TRY(inputs[0], make(SN_I(2, 3)));
    TRY(inputs[1], make(SN_I(3)));
    TRY_ERROR(graph, sn_graph_parse(source, sizeof source - 1, &error));
    TRY_STATUS(sn_graph_run(graph, inputs, 2, out, 2, &n, &error));
    for (int i = 0; i < 2; i++) {
        TRY(ok, keep(run, out[i]));
        sn_release(out[i]);
    }
    TRY_ERROR(text, sn_graph_dump(graph, "fuse", &error));
    keep_bytes(run, text, strlen(text));
    sn_text_free(text);
    sn_graph_free(graph);
}

static void files(Run *run) {
    char npy[100], tensors[100];
    const char *names[2] = {"first", "second"};
    sn_tensor *both[2];
    sn_safetensors *file;
    bool ok;
    snprintf(npy, sizeof npy, "%s/a.npy", folder);
    snprintf(tensors, sizeof tensors, "%s/a.safetensors", folder);
    TRY(both[0], make(SN_I(4, 6)));
    TRY(both[1], sn_transpose(both[0], 0, 1));
    TRY(ok, sn_npy_save(npy, both[1]));
    KEEP(sn_npy_load(npy));
    TRY(ok, sn_safetensors_save(tensors, names, both, 2));
    TRY(file, sn_safetensors_open(tensors));
    KEEP(sn_safetensors_get(file, "second"));
    sn_safetensors_close(file);
}

static void exchange(Run *run) {
    sn_tensor *x;
    DLManagedTensor *managed;
    DLManagedTensorVersioned *versioned;
    TRY(x, make(SN_I(4, 6)));
    TRY(managed, sn_to_dlpack(sn_transpose(x, 0, 1)));
    sn_tensor *back = sn_from_dlpack(managed); /* takes `managed` even when it fails */
    if (!back && again_by_thread(run, "from_dlpack")) {
        TRY(managed, sn_to_dlpack(sn_transpose(x, 0, 1)));
        back = sn_from_dlpack(managed);
    }
    KEEP(back);
    TRY(versioned, sn_to_dlpack_versioned(x));
    versioned->deleter(versioned);
}

static void history(Run *run) {
    sn_tensor *x;
    TRY(x, make(SN_I(4, 6)));
    sn_history_begin();
    KEEP(sn_add(x, x));
    sn_history_end(NULL, 0);
}

static void dies_in_many_scopes(Run *run) {
    sn_tensor *x, *y;
    TRY(x, make(SN_I(4)));
    for (int i = 0; i < 40; i++) { /* the thread's list of handles grows */
        sn_scope scope = sn_scope_begin();
        TRY(y, sn_narrow(x, 0, i % 3, 1));
        TRY(y, sn_clone(x));
        x = sn_scope_end(scope, y);
        TRY(y, sn_neg(x));
    }
    KEEP(x);
}

/* ---- the sweep ------------------------------------------------------------------------------- */

static void *run_scenario(void *data) {
    Run *run = data;
    sn_scope scope = sn_scope_begin();
    mem_fail_after(run->fail_at ? run->fail_at : NEVER,
                   run->sticky); /* so that all requests count */
    run->scenario(run);
    mem_fail_after(0, false);
    sn_scope_end(scope, NULL);
    if (sn_error_status() != SN_OK) stop(run, sn_error_text());
    return NULL;
}

/* One attempt; the requests that it made. */
static int64_t attempt(Run *run, int64_t fail_at, bool sticky) {
    void (*scenario)(Run *) = run->scenario;
    *run = (Run){.scenario = scenario, .fail_at = fail_at, .sticky = sticky};
    pthread_t thread;
    int64_t requests = mem_request_count();
    assert_int_equal(pthread_create(&thread, NULL, run_scenario, run), 0);
    pthread_join(thread, NULL);
    requests = mem_request_count() - requests;
    kernel_cache_clear();
    return requests;
}

/* What is kept between kernels (a region of code being filled) may be missing after a fault, but not
 * after the next run without one. */
static void check_attempt(const Run *run, Run *want, int64_t live, int64_t live_bytes) {
    const char *how = run->sticky ? " and later ones" : "";
    if (run->stopped) fail_msg("request %lld%s: %s", (long long)run->fail_at, how, run->failure);
    if (run->bytes != want->bytes || memcmp(run->result, want->result, want->bytes) != 0)
        fail_msg("request %lld%s: other results", (long long)run->fail_at, how);
    if (mem_live_count() != live) attempt(want, 0, false);
    if (mem_live_count() != live)
        fail_msg("request %lld%s: %lld blocks lost", (long long)run->fail_at, how,
                 (long long)(mem_live_count() - live));
    if (sn_memory().live_bytes != live_bytes)
        fail_msg("request %lld%s: %lld bytes of tensors lost", (long long)run->fail_at, how,
                 (long long)(sn_memory().live_bytes - live_bytes));
}

/* All n from 1 to the requests of an undisturbed run, thinned out where `samples` bounds them. */
static void sweep(void (*scenario)(Run *), int64_t each, int64_t samples) {
    static Run run, want;
    run.scenario = want.scenario = scenario;
    attempt(&want, 0, false); /* fills the disk cache */
    if (want.stopped) fail_msg("undisturbed: %s", want.failure);
    attempt(&want, 0, false);
    int64_t requests = attempt(&want, 0, false), injected = 0, errors = 0;
    int64_t live = mem_live_count(), live_bytes = sn_memory().live_bytes;
    int64_t step = all_of_them || samples < 1 ? 1 : 1 + (requests - each) / samples;
    for (int64_t n = 1; n <= requests; n += n < each || step < 1 ? 1 : step) {
        for (int sticky = 0; sticky < 2; sticky++) {
            attempt(&run, n, sticky != 0);
            check_attempt(&run, &want, live, live_bytes);
            injected++;
            errors += run.errors;
        }
    }
    total_injected += injected;
    total_errors += errors;
    print_message("             %lld requests, %lld faults, %lld reported, %lld overcome\n",
                  (long long)requests, (long long)injected, (long long)errors,
                  (long long)(injected - errors));
}

#define SWEEP_TEST(scenario)                                                                       \
    static void scenario##_survives(void **state) {                                                \
        (void)state;                                                                               \
        sweep(scenario, EACH_UP_TO, SAMPLES);                                                      \
    }
SWEEP_TEST(pointwise)
SWEEP_TEST(reductions)
SWEEP_TEST(views_and_joins)
SWEEP_TEST(many_operands)
SWEEP_TEST(indexing)
SWEEP_TEST(sizes_from_data)
SWEEP_TEST(contractions)
SWEEP_TEST(random_numbers)
SWEEP_TEST(writes)
SWEEP_TEST(text_of_tensors)
SWEEP_TEST(compiled)
SWEEP_TEST(compiled_varying)
SWEEP_TEST(compiled_writes)
SWEEP_TEST(compiled_reads)
SWEEP_TEST(compiled_draws)
SWEEP_TEST(compiled_structs)
SWEEP_TEST(compiled_inside_compiled)
SWEEP_TEST(compiled_overlap)
SWEEP_TEST(bindings)
SWEEP_TEST(inspection)
SWEEP_TEST(graphs_as_text)
SWEEP_TEST(files)
SWEEP_TEST(exchange)
SWEEP_TEST(history)
SWEEP_TEST(dies_in_many_scopes)

/* Nothing is on disk or in the pack: every kernel is compiled. Few samples, each costs milliseconds. */
static void compiling_survives(void **state) {
    (void)state;
    setting_set(SETTING_CACHE_DIR, "off");
    setting_set(SETTING_PACK, "off");
    sweep(compiled, 2, 25);
    setting_set(SETTING_PACK, "on");
    setting_set(SETTING_CACHE_DIR, folder);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw) {
    (void)info, (void)type;
    return ftw->level ? remove(path) : 0;
}

static void empty_folder(void) {
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Each attempt compiles and stores. */
static void stores(Run *run) {
    sn_tensor *x;
    empty_folder();
    TRY(x, make(SN_I(4, 6)));
    KEEP(sn_mish(sn_hypot(x, sn_c(2))));
}

static void storing_survives(void **state) {
    (void)state;
    setting_set(SETTING_PACK, "off");
    sweep(stores, 2, 40);
    setting_set(SETTING_PACK, "on");
}

/* No code generator: what is not in the pack runs node by node. */
static void without_compiler_survives(void **state) {
    (void)state;
    needs_pack();
    char *modules = strdup(setting_text(SETTING_MODULE_DIR));
    setting_set(SETTING_MODULE_DIR, folder);
    setting_set(SETTING_CACHE_DIR, "off");
    sweep(compiled_structs, EACH_UP_TO, SAMPLES);
    setting_set(SETTING_MODULE_DIR, modules);
    setting_set(SETTING_CACHE_DIR, folder);
    free(modules);
}

static int begin(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    setting_set(SETTING_CACHE_DIR, folder);
    kernel_cache_clear();
    return 0;
}

static int end(void **state) {
    (void)state;
    print_message("%lld faults injected, %lld reported, %lld overcome\n", (long long)total_injected,
                  (long long)total_errors, (long long)(total_injected - total_errors));
    empty_folder();
    return rmdir(folder);
}

int main(int argc, char **argv) {
    all_of_them = argc > 1 && strcmp(argv[1], "all") == 0;
    if (argc > 1 && !all_of_them) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_compiler_survives), /* before the module is loaded */
        cmocka_unit_test(pointwise_survives),
        cmocka_unit_test(reductions_survives),
        cmocka_unit_test(views_and_joins_survives),
        cmocka_unit_test(many_operands_survives),
        cmocka_unit_test(indexing_survives),
        cmocka_unit_test(sizes_from_data_survives),
        cmocka_unit_test(contractions_survives),
        cmocka_unit_test(random_numbers_survives),
        cmocka_unit_test(writes_survives),
        cmocka_unit_test(text_of_tensors_survives),
        cmocka_unit_test(compiled_survives),
        cmocka_unit_test(compiled_varying_survives),
        cmocka_unit_test(compiled_writes_survives),
        cmocka_unit_test(compiled_reads_survives),
        cmocka_unit_test(compiled_draws_survives),
        cmocka_unit_test(compiled_structs_survives),
        cmocka_unit_test(compiled_inside_compiled_survives),
        cmocka_unit_test(compiled_overlap_survives),
        cmocka_unit_test(bindings_survives),
        cmocka_unit_test(inspection_survives),
        cmocka_unit_test(graphs_as_text_survives),
        cmocka_unit_test(files_survives),
        cmocka_unit_test(exchange_survives),
        cmocka_unit_test(history_survives),
        cmocka_unit_test(dies_in_many_scopes_survives),
        cmocka_unit_test(compiling_survives),
        cmocka_unit_test(storing_survives),
    };
    return cmocka_run_group_tests_name("faults", tests, begin, end);
}
