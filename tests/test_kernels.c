/* What becomes of programs: how many kernels are launched, that equal layers are compiled once, and
 * that fusing changes no bit. Kernels are counted twice, in the history of launches and in
 * sn_explain. */
#include "api_case.h"

#include "base/settings.h"

#include <math.h>

typedef sn_tensor *Unary(sn_tensor *);
typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);
typedef sn_tensor *Ternary(sn_tensor *, sn_tensor *, sn_tensor *);

/* Launches that were recorded since sn_history_begin. */
static int32_t launches_end(void) {
    static sn_launch_record records[256];
    int32_t count = sn_history_end(records, 256);
    assert_true(count >= 0 && count <= 256);
    for (int32_t i = 0; i < count; i++) assert_true(records[i].name[0] && records[i].label[0]);
    return count;
}

/* Fails unless the compiled function's latest entry has this many kernels, as launched. */
static void expect_launches(sn_compiled *c, int32_t got, int32_t most_kernels) {
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    if (got > most_kernels) {
        char *text = sn_explain_text(c);
        print_error("%d kernels; at most %d were expected\n%s\n", got, most_kernels,
                    text ? text : "");
        sn_text_free(text);
        fail();
    }
    assert_int_equal(e.kernels, got);
    assert_int_equal(e.fallbacks, 0);
    assert_true(e.bytes > 0 && e.bytes_unfused >= e.bytes);
}

/* Calls c (a function of three tensors, of which it may ignore some) until guards hold, counts the
 * launches of one more call, and compares with eager. */
static void expect_fused(Ternary *function, const char *signature, sn_tensor *x, sn_tensor *y,
                         sn_tensor *z, int32_t most_kernels) {
    /* without its type: arguments that the function ignores may be left out of the signature */
    sn_compiled *c = sn_compile((sn_function)function, signature, NULL);
    EXPECT_OK();
    size_t inputs = strcspn(signature, ":");
    Ternary *three = (Ternary *)sn_compiled_fn(c);
    Binary *two = (Binary *)sn_compiled_fn(c);
    Unary *one = (Unary *)sn_compiled_fn(c);
    sn_tensor *got = NULL;
    for (int i = 0; i < 3; i++) {
        sn_history_begin();
        got = inputs == 1 ? one(x) : inputs == 2 ? two(x, y) : three(x, y, z);
        int32_t launches = launches_end();
        if (i != 1) expect_launches(c, launches, most_kernels);
    }
    EXPECT_SAME(got, function(x, y, z));
    sn_compiled_release(c);
}

/* ---- one kernel ------------------------------------------------------------------------------ */

static sn_tensor *chain(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    sn_tensor *a = sn_gelu(sn_add(sn_mul(x, y), z), SN_GELU_TANH);
    sn_tensor *b = sn_where(sn_gt(a, sn_ci(0)), sn_sqrt(sn_abs(a)), sn_exp(sn_neg(x)));
    return sn_clamp(sn_sub(b, sn_silu(x)), sn_c(-1), sn_c(3));
}

static void a_pointwise_chain_is_one_kernel(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_BF16, SN_F16};
    for (size_t d = 0; d < 4; d++) {
        sn_tensor *x = tensor_random(1, dtypes[d], SN_I(37, 129));
        sn_tensor *y = tensor_random(2, dtypes[d], SN_I(129));
        expect_fused(chain, "ttt:t", x, y, tensor_random(3, dtypes[d], SN_I(37, 1)), 1);
    }
}

static void fusing_a_chain_saves_most_of_its_traffic(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(37, 129));
    sn_compiled *c = sn_compile(chain, "ttt:t", NULL);
    EXPECT_SAME(SN_FN(c, chain)(x, x, x), chain(x, x, x));
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.bytes, 2 * 37 * 129 * 4); /* read once, written once */
    assert_true(e.bytes * 8 < e.bytes_unfused);
    sn_compiled_release(c);
}

static sn_tensor *through_views(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    (void)z;
    sn_tensor *a = sn_transpose(sn_mul(x, sn_ci(2)), 0, 1);
    sn_tensor *b =
        sn_reshape(sn_index(a, SN_IX(SN_STEP(SN_END, SN_END, -1), SN_RANGE(1, 5))), SN_I(-1));
    return sn_sub(sn_add(b, y), sn_flip(y, SN_I(0)));
}

static void views_cost_no_kernel(void **state) {
    (void)state;
    expect_fused(through_views, "tt:t", tensor_random(1, SN_F32, SN_I(6, 9)),
                 tensor_random(2, SN_F32, SN_I(36)), NULL, 1);
}

static sn_tensor *softmax(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    (void)y, (void)z;
    return sn_softmax(x, -1);
}

static sn_tensor *softmax_by_hand(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    (void)y, (void)z;
    sn_tensor *e = sn_exp(sn_sub(x, sn_max(x, SN_I(-1), true)));
    return sn_div(e, sn_sum(e, SN_I(-1), true));
}

static void softmax_is_one_kernel(void **state) {
    (void)state;
    static const int64_t widths[] = {1, 7, 1023, 3000};
    for (size_t i = 0; i < 4; i++) {
        sn_tensor *x = tensor_random(4, SN_F32, SN_I(33, widths[i]));
        expect_fused(softmax, "t:t", x, NULL, NULL, 1);
        expect_fused(softmax_by_hand, "t:t", x, NULL, NULL, 1);
    }
    expect_fused(softmax, "t:t", tensor_random(4, SN_BF16, SN_I(5, 100)), NULL, NULL, 1);
}

static sn_tensor *layer_norm(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return sn_layer_norm(x, w, b, 1e-5);
}

static sn_tensor *layer_norm_by_hand(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_tensor *centred = sn_sub(x, sn_mean(x, SN_I(-1), true));
    sn_tensor *var = sn_mean(sn_mul(centred, centred), SN_I(-1), true);
    return sn_add(sn_mul(sn_mul(centred, sn_rsqrt(sn_add(var, sn_c(1e-5)))), w), b);
}

static sn_tensor *layer_norm_by_var(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    sn_tensor *var = sn_var(x, SN_I(-1), true, 0);
    sn_tensor *scaled =
        sn_div(sn_sub(x, sn_mean(x, SN_I(-1), true)), sn_sqrt(sn_add(var, sn_c(1e-5))));
    return sn_add(sn_mul(scaled, w), b);
}

static void layer_norm_is_one_kernel_also_written_out(void **state) {
    (void)state;
    Ternary *forms[] = {layer_norm, layer_norm_by_hand, layer_norm_by_var};
    for (size_t f = 0; f < 3; f++)
        expect_fused(forms[f], "ttt:t", tensor_random(5, SN_F32, SN_I(4, 9, 770)),
                     tensor_random(6, SN_F32, SN_I(770)), tensor_random(7, SN_F32, SN_I(770)), 1);
}

static sn_tensor *rmsnorm_silu(sn_tensor *x, sn_tensor *w, sn_tensor *gate) {
    return sn_mul(sn_silu(gate), sn_rms_norm(x, w, 1e-6));
}

static void rmsnorm_silu_is_one_kernel(void **state) {
    (void)state;
    expect_fused(rmsnorm_silu, "ttt:t", tensor_random(8, SN_F32, SN_I(31, 513)),
                 tensor_random(9, SN_F32, SN_I(513)), tensor_random(10, SN_F32, SN_I(31, 513)), 1);
}

static sn_tensor *cross_entropy(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    (void)z;
    return sn_cross_entropy(x, y, SN_REDUCTION_MEAN);
}

static void cross_entropy_is_at_most_two_kernels(void **state) {
    (void)state;
    sn_tensor *target = sn_remainder(sn_arange(0, 77, 1, SN_I64), sn_ci(50));
    expect_fused(cross_entropy, "tt:t", tensor_random(11, SN_F32, SN_I(77, 1003)), target, NULL, 2);
}

static sn_status statistics(sn_tensor *x, sn_tensor **sum, sn_tensor **top, sn_tensor **scaled) {
    *sum = sn_sum(x, SN_I(1), false);
    *top = sn_max(x, SN_I(1), false);
    *scaled = sn_mul(x, sn_rsqrt(sn_mean(sn_square(x), SN_I(1), true)));
    return sn_error_status();
}

static void reductions_of_the_same_rows_share_a_kernel(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(statistics, "t:ttt", NULL);
    sn_status (*fast)(sn_tensor *, sn_tensor **, sn_tensor **, sn_tensor **) = SN_FN(c, statistics);
    sn_tensor *x = tensor_random(12, SN_F32, SN_I(40, 555)), *got[3], *want[3];
    assert_int_equal(statistics(x, &want[0], &want[1], &want[2]), SN_OK);
    for (int i = 0; i < 3; i++) {
        sn_history_begin();
        assert_int_equal(fast(x, &got[0], &got[1], &got[2]), SN_OK);
        expect_launches(c, launches_end(), 1);
    }
    for (int i = 0; i < 3; i++) EXPECT_SAME(got[i], want[i]);
    sn_compiled_release(c);
}

static sn_tensor *columns(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    (void)z;
    return sn_mul(sn_sum(sn_mul(x, sn_tanh(y)), SN_I(0), false), sn_c(0.5));
}

static void a_column_sum_takes_its_operands_and_consumers_in(void **state) {
    (void)state;
    expect_fused(columns, "tt:t", tensor_random(13, SN_F32, SN_I(95, 203)),
                 tensor_random(14, SN_F32, SN_I(95, 203)), NULL, 1);
    expect_fused(columns, "tt:t", tensor_random(13, SN_F32, SN_I(7000, 3)),
                 tensor_random(14, SN_F32, SN_I(7000, 3)), NULL, 2);
}

static sn_tensor *turned(sn_tensor *x) {
    return sn_clone(sn_transpose(x, 0, 1));
}

static sn_tensor *turned_and_padded(sn_tensor *x) {
    return sn_clone(sn_transpose(sn_pad(x, SN_I(1, 1), 0), 0, 1));
}

static sn_tensor *turned_negative(sn_tensor *x) {
    return sn_clone(sn_transpose(sn_neg(x), 0, 1));
}

static sn_tensor *filled(sn_tensor *x) {
    return sn_full(SN_I(sn_size(x, 1), sn_size(x, 0)), 2, SN_F32);
}

static void kernels_that_only_change_a_layout_are_counted(void **state) {
    (void)state;
    static const struct {
        Unary *function;  /* what is compiled */
        int32_t reorders; /* of its kernels */
    } cases[] = {{turned, 1}, {turned_and_padded, 1}, {turned_negative, 0}, {filled, 0}};
    sn_tensor *x = tensor_random(15, SN_F32, SN_I(7, 9));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sn_compiled *c = sn_compile(cases[i].function, "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        EXPECT_SAME(fast(x), cases[i].function(x));
        sn_explanation e = {.size = sizeof e};
        assert_int_equal(sn_explain(c, &e), SN_OK);
        assert_int_equal(e.reorders, cases[i].reorders);
        assert_true(e.kernels >= e.reorders && e.extern_calls == 0);
        sn_compiled_release(c);
    }
}

static sn_tensor *update(sn_tensor *w, sn_tensor *m, sn_tensor *g) {
    sn_add_(sn_mul_(m, sn_c(0.9)), g);
    sn_sub_(w, sn_mul(m, sn_c(0.01)));
    return sn_abs(w);
}

static void an_optimizer_step_is_written_in_place_by_one_kernel(void **state) {
    (void)state;
    sn_tensor *g = tensor_random(15, SN_F32, SN_I(999));
    sn_tensor *w = tensor_random(16, SN_F32, SN_I(999)), *m = tensor_random(17, SN_F32, SN_I(999));
    sn_tensor *w2 = sn_clone(w), *m2 = sn_clone(m);
    sn_compiled *c = sn_compile(update, "ttt:t", NULL);
    Ternary *fast = SN_FN(c, update);
    for (int i = 0; i < 3; i++) {
        sn_tensor *want = update(w2, m2, g);
        sn_history_begin();
        sn_tensor *got = fast(w, m, g);
        expect_launches(c, launches_end(), 1);
        EXPECT_SAME(got, want);
        EXPECT_SAME(w, w2);
        EXPECT_SAME(m, m2);
    }
    sn_compiled_release(c);
}

/* ---- a GPT-2 block --------------------------------------------------------------------------- */

enum { BATCH = 1, LENGTH = 17, WIDTH = 32, HEADS = 4 };

typedef struct Block {
    sn_tensor *norm1_w, *norm1_b;             /* first layer norm */
    sn_tensor *qkv_w, *qkv_b;                 /* to queries, keys, values */
    sn_tensor *proj_w, *proj_b;               /* out of attention */
    sn_tensor *norm2_w, *norm2_b;             /* second layer norm */
    sn_tensor *up_w, *up_b, *down_w, *down_b; /* the MLP */
} Block;

static sn_tensor *block(const Block *p, sn_tensor *x) {
    sn_tensor *h = sn_layer_norm(x, p->norm1_w, p->norm1_b, 1e-5);
    h = sn_reshape(sn_linear(h, p->qkv_w, p->qkv_b), SN_I(BATCH, LENGTH, 3, HEADS, WIDTH / HEADS));
    h = sn_permute(h, SN_I(2, 0, 3, 1, 4));
    sn_tensor *a = sn_scaled_dot_product_attention(sn_select(h, 0, 0), sn_select(h, 0, 1),
                                                   sn_select(h, 0, 2), SN_NONE, true, 0);
    a = sn_reshape(sn_transpose(a, 1, 2), SN_I(BATCH, LENGTH, WIDTH));
    x = sn_add(x, sn_linear(a, p->proj_w, p->proj_b));
    h = sn_linear(sn_layer_norm(x, p->norm2_w, p->norm2_b, 1e-5), p->up_w, p->up_b);
    return sn_add(x, sn_linear(sn_gelu(h, SN_GELU_TANH), p->down_w, p->down_b));
}

static Block make_block(uint32_t seed) {
    Block p;
    sn_tensor **fields = (sn_tensor **)&p;
    static const int64_t sizes[12][2] = {
        {0, WIDTH}, {0, WIDTH}, {3 * WIDTH, WIDTH}, {0, 3 * WIDTH}, {WIDTH, WIDTH},     {0, WIDTH},
        {0, WIDTH}, {0, WIDTH}, {4 * WIDTH, WIDTH}, {0, 4 * WIDTH}, {WIDTH, 4 * WIDTH}, {0, WIDTH}};
    for (uint32_t i = 0; i < 12; i++) {
        bool matrix = sizes[i][0] != 0;
        fields[i] =
            tensor_random(seed * 100 + i, SN_F32, matrix ? sizes[i] : sizes[i] + 1, matrix ? 2 : 1);
        if (matrix) fields[i] = sn_mul(fields[i], sn_c(0.1));
    }
    return p;
}

static sn_tensor *model(sn_tensor **weights, int32_t n, sn_tensor *x) {
    for (int32_t layer = 0; layer < n / 12; layer++) {
        Block p;
        memcpy(&p, weights + 12 * layer, sizeof p);
        x = block(&p, x);
    }
    return x;
}

enum { LAYERS = 4 };

/* So many kernels a layer; kernels that a first layer compiles. */
static void expect_layers(int32_t kernels, int64_t most_compiled) {
    sn_tensor *weights[12 * LAYERS];
    for (uint32_t i = 0; i < LAYERS; i++) {
        Block p = make_block(i + 1);
        memcpy(weights + 12 * i, &p, sizeof p);
    }
    sn_tensor *x = tensor_random(20, SN_F32, SN_I(BATCH, LENGTH, WIDTH));
    int64_t compiled_of_one = 0;
    for (int32_t layers = 1; layers <= LAYERS; layers *= 2) {
        sn_tensor *want = model(weights, 12 * layers, x); /* eager kernels are compiled here */
        sn_compiled *c = sn_compile(model, "t*t:t", NULL);
        sn_tensor *(*fast)(sn_tensor **, int32_t, sn_tensor *) = SN_FN(c, model);
        sn_counters before = counters_now();
        for (int i = 0; i < 3; i++) {
            sn_history_begin();
            sn_tensor *got = fast(weights, 12 * layers, x);
            int32_t launches = launches_end();
            EXPECT_SAME(got, want);
            if (i != 1) expect_launches(c, launches, kernels * layers);
        }
        int64_t compiles = counters_now().compiles - before.compiles;
        if (layers == 1)
            compiled_of_one = compiles;
        else
            assert_true(compiles <= 2); /* the seam between layers is new, once */
        sn_compiled_release(c);
    }
    assert_true(compiled_of_one <= most_compiled);
}

/* Bias, mask, scale, gelu and residual join products, which leaves ten. */
static void a_gpt2_layer_is_at_most_ten_kernels_and_layers_compile_once(void **state) {
    (void)state;
    expect_layers(10, 10);
}

static void a_second_function_of_the_same_ops_compiles_nothing(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(21, SN_F32, SN_I(10, 20));
    sn_compiled *first = sn_compile(layer_norm, "ttt:t", NULL);
    assert_non_null(SN_FN(first, layer_norm)(x, sn_select(x, 0, 0), sn_select(x, 0, 1)));
    sn_counters before = counters_now();
    sn_compiled *second = sn_compile(layer_norm, "ttt:t", NULL);
    assert_non_null(SN_FN(second, layer_norm)(x, sn_select(x, 0, 0), sn_select(x, 0, 1)));
    sn_tensor *other = tensor_random(22, SN_F32, SN_I(3, 33)); /* another size: the same kernel */
    assert_non_null(
        SN_FN(second, layer_norm)(other, sn_select(other, 0, 0), sn_select(other, 0, 1)));
    assert_int_equal(counters_now().compiles, before.compiles);
    assert_true(counters_now().cache_memory_hits > before.cache_memory_hits);
    sn_compiled_release(first);
    sn_compiled_release(second);
}

/* ---- bits ------------------------------------------------------------------------------------ */

static sn_tensor *mixed(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    sn_tensor *a = sn_cumsum(sn_mul(x, y), 1);
    sn_tensor *b = sn_softmax(sn_add(a, z), 0);
    sn_tensor *both[2] = {sn_sum(b, SN_I(1), true), sn_sub(x, sn_mean(x, SN_I(0), true))};
    sn_tensor *joined = sn_cat(both, 2, 1);
    return sn_add(joined, sn_prod(sn_add(sn_tanh(z), sn_ci(1)), SN_I0, false));
}

static void results_do_not_depend_on_threads(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(23, SN_F32, SN_I(700, 301)),
              *y = tensor_random(24, SN_F32, SN_I(301));
    sn_tensor *z = tensor_random(25, SN_F32, SN_I(700, 1));
    int32_t threads = sn_threads();
    sn_compiled *c = sn_compile(mixed, "ttt:t", NULL);
    Ternary *fast = SN_FN(c, mixed);
    sn_set_threads(1);
    sn_tensor *want = mixed(x, y, z);
    for (int32_t n = 1; n <= 5; n++) {
        sn_set_threads(n);
        assert_int_equal(sn_threads(), n);
        EXPECT_SAME(mixed(x, y, z), want);
        EXPECT_SAME(fast(x, y, z), want);
    }
    sn_set_threads(threads);
    sn_compiled_release(c);
}

static void a_dump_has_every_stage(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(rmsnorm_silu, "ttt:t", NULL);
    sn_tensor *x = tensor_random(8, SN_F32, SN_I(3, 5));
    assert_non_null(SN_FN(c, rmsnorm_silu)(x, sn_select(x, 0, 0), x));
    static const char *const stages[][2] = {
        {"graph", "rms_norm"},  {"decompose", "rsqrt"}, {"simplify", "graph"},
        {"fuse", "kernel 0"},   {"program", "step 0"},  {"kernels", "reduce_sum"},
        {"guards", "f32"},      {"llvm", "define"},     {"asm", "ret"},
        {"cuda", "__global__"}, {"dot", "digraph"}};
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        sn_error error = {.size = sizeof error};
        char *text = sn_dump(c, stages[i][0], &error);
        if (!text) print_error("%s: %s\n", stages[i][0], error.text);
        assert_non_null(text);
        if (!strstr(text, stages[i][1]))
            print_error("%s lacks '%s':\n%s\n", stages[i][0], stages[i][1], text);
        assert_non_null(strstr(text, stages[i][1]));
        sn_text_free(text);
    }
    char *text = sn_dump(c, "graph", NULL);
    assert_non_null(strstr(text, "test_kernels.c:")); /* the line of the model */
    sn_error error = {.size = sizeof error};
    sn_graph *graph = sn_graph_parse(text, strlen(text), &error);
    assert_non_null(graph);
    char *again = sn_graph_print(graph);
    assert_string_equal(again, text);
    sn_text_free(again), sn_text_free(text);
    sn_graph_free(graph);
    assert_null(sn_dump(c, "no such stage", &error));
    assert_int_equal(error.status, SN_ERROR_ARGUMENT);
    EXPECT_OK();
    sn_compiled_release(c);
}

static sn_tensor *multiply_add(sn_tensor *x, sn_tensor *y, sn_tensor *z) {
    return sn_add(z, sn_mul(x, y));
}

/* Exact code rounds the product, as eager does; fast code need not. */
static void only_fast_code_contracts(void **state) {
    (void)state;
    enum { COUNT = 61 };
    float xs[COUNT], ys[COUNT], zs[COUNT], got[COUNT];
    for (int i = 0; i < COUNT; i++) {
        xs[i] = 1 + (float)i * 0x1p-23f;
        ys[i] = 1 - (float)i * 0x1p-24f;
        zs[i] = 0x1p-30f * (float)(i + 1);
    }
    sn_tensor *x = sn_from_copy(xs, sizeof xs, SN_I(COUNT), SN_F32),
              *y = sn_from_copy(ys, sizeof ys, SN_I(COUNT), SN_F32);
    sn_tensor *z = sn_from_copy(zs, sizeof zs, SN_I(COUNT), SN_F32);
    for (int32_t mode = SN_NUMERICS_EXACT; mode <= SN_NUMERICS_FAST; mode++) {
        sn_compile_options options = {.size = sizeof options, .numerics = (sn_numerics)mode};
        sn_compiled *c = sn_compile(multiply_add, "ttt:t", &options);
        bool fast = mode == SN_NUMERICS_FAST;
        for (int call = 0; call < 3; call++) {
            sn_tensor *result = SN_FN(c, multiply_add)(x, y, z);
            assert_true(sn_read(result, SN_F32, got, sizeof got));
            for (int i = 0; i < COUNT; i++)
                assert_true(got[i] == (fast ? fmaf(xs[i], ys[i], zs[i]) : zs[i] + xs[i] * ys[i]));
        }
        char *text = sn_dump(c, "kernels", NULL);
        assert_int_equal(strstr(text, " fma ") != NULL, fast);
        sn_text_free(text);
        sn_compiled_release(c);
    }
}

/* Each takes a value from itself, in disguise, and the root of what is left. */
static sn_tensor *two_products(sn_tensor *x, sn_tensor *y) {
    return sn_sqrt(sn_sub(sn_mul(x, x), sn_mul(y, y)));
}
static sn_tensor *one_product_twice(sn_tensor *x, sn_tensor *y) {
    sn_tensor *product = sn_mul(x, y);
    return sn_sqrt(sn_add(product, sn_neg(sn_mul(y, x))));
}
static sn_tensor *variance(sn_tensor *x, sn_tensor *y) {
    sn_tensor *mean = sn_mean(x, SN_I0, true);
    return sn_sqrt(sn_sub(sn_mean(sn_mul(x, y), SN_I0, true), sn_mul(mean, mean)));
}

static void what_cancels_in_eager_cancels_in_fast_code(void **state) {
    (void)state;
    sn_tensor *(*const functions[])(sn_tensor *, sn_tensor *) = {two_products, one_product_twice,
                                                                 variance};
    sn_compile_options options = {.size = sizeof options, .numerics = SN_NUMERICS_FAST};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        sn_compiled *c =
            sn_compile_typed_at((sn_function)functions[i], "f", NULL, "tt:t", &options, NULL, 0);
        for (int j = 0; j < 40; j++) {
            sn_tensor *x = sn_full(SN_I(8), 0.1 + 0.7 * j, SN_F32);
            sn_tensor *result = SN_FN(c, two_products)(x, sn_clone(x));
            EXPECT_VALUES(sn_sum(result, SN_I0, false), 0);
        }
        sn_compiled_release(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(only_fast_code_contracts),
        API_TEST(what_cancels_in_eager_cancels_in_fast_code),
        API_TEST(a_pointwise_chain_is_one_kernel),
        API_TEST(fusing_a_chain_saves_most_of_its_traffic),
        API_TEST(views_cost_no_kernel),
        API_TEST(softmax_is_one_kernel),
        API_TEST(layer_norm_is_one_kernel_also_written_out),
        API_TEST(rmsnorm_silu_is_one_kernel),
        API_TEST(cross_entropy_is_at_most_two_kernels),
        API_TEST(reductions_of_the_same_rows_share_a_kernel),
        API_TEST(a_column_sum_takes_its_operands_and_consumers_in),
        API_TEST(kernels_that_only_change_a_layout_are_counted),
        API_TEST(an_optimizer_step_is_written_in_place_by_one_kernel),
        API_TEST(a_gpt2_layer_is_at_most_ten_kernels_and_layers_compile_once),
        API_TEST(a_second_function_of_the_same_ops_compiles_nothing),
        API_TEST(results_do_not_depend_on_threads),
        API_TEST(a_dump_has_every_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
