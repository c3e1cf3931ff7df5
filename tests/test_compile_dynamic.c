/* One compile serves every shape and scalar: compiled functions called with sizes, positions and numbers
 * that vary give eager's bits, and after the second shape nothing is compiled any more. */
#include "api_case.h"

#include <math.h>

enum { WIDTH = 64, HEADS = 4, PAIRS = 100 };

static uint32_t random_state;

static int64_t random_between(int64_t first, int64_t last) {
    random_state = random_state * 1664525u + 1013904223u;
    return first + (int64_t)(random_state >> 8) % (last - first + 1);
}

/* What calls added to the process's counters. */
typedef struct Compiles {
    int64_t events; /* calls in which a kernel was compiled */
} Compiles;

static void count_compiles(Compiles *compiles, sn_counters before) {
    sn_counters after = counters_now();
    compiles->events += after.compiles > before.compiles;
}

static int32_t graphs_of(sn_compiled *c) {
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    assert_int_equal(e.fallbacks, 0);
    return e.graphs;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static sn_tensor *row_softmax(sn_tensor *x) {
    return sn_softmax(x, 1);
}

static void a_row_softmax_compiles_for_two_shapes(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(row_softmax, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, row_softmax);
    Compiles compiles = {0};
    random_state = 1;
    for (int i = 0; i < PAIRS; i++) {
        sn_scope scope = sn_scope_begin();
        int64_t rows = random_between(1, 64), length = random_between(1, 2000);
        sn_tensor *x = tensor_random((uint32_t)i, SN_F32, SN_I(rows, length));
        sn_tensor *want = row_softmax(x);
        sn_counters before = counters_now();
        sn_tensor *got = fast(x);
        count_compiles(&compiles, before);
        EXPECT_SAME(got, want);
        sn_scope_end(scope, NULL);
    }
    assert_true(compiles.events <= 2);
    assert_true(graphs_of(c) <= 2);
    sn_compiled_release(c);
}

static sn_tensor *heads_of(sn_tensor *qkv, int64_t part) {
    int64_t batch = sn_size(qkv, 0), length = sn_size(qkv, 1), width = sn_size(qkv, 2) / 3;
    sn_tensor *one = sn_narrow(qkv, 2, part * width, width);
    return sn_permute(sn_reshape(one, SN_I(batch, length, HEADS, width / HEADS)), SN_I(0, 2, 1, 3));
}

/* A transformer block as in GPT-2. */
static sn_tensor *block(sn_tensor *x, sn_tensor *gain, sn_tensor *qkv, sn_tensor *out,
                        sn_tensor *up, sn_tensor *down) {
    int64_t batch = sn_size(x, 0), length = sn_size(x, 1), width = sn_size(x, 2);
    sn_tensor *h = sn_matmul(sn_layer_norm(x, gain, SN_NONE, 1e-5), qkv);
    sn_tensor *a = sn_scaled_dot_product_attention(heads_of(h, 0), heads_of(h, 1), heads_of(h, 2),
                                                   SN_NONE, true, 0);
    a = sn_reshape(sn_permute(a, SN_I(0, 2, 1, 3)), SN_I(batch, length, width));
    x = sn_add(x, sn_matmul(a, out));
    h = sn_matmul(sn_layer_norm(x, gain, SN_NONE, 1e-5), up);
    return sn_add(x, sn_matmul(sn_gelu(h, SN_GELU_TANH), down));
}

typedef sn_tensor *Block(sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *,
                         sn_tensor *);

static void a_block_compiles_for_one_more_than_the_dims_that_vary(void **state) {
    (void)state;
    sn_tensor *gain = tensor_random(1, SN_F32, SN_I(WIDTH));
    sn_tensor *qkv = tensor_random(2, SN_F32, SN_I(WIDTH, 3 * WIDTH));
    sn_tensor *out = tensor_random(3, SN_F32, SN_I(WIDTH, WIDTH));
    sn_tensor *up = tensor_random(4, SN_F32, SN_I(WIDTH, 4 * WIDTH));
    sn_tensor *down = tensor_random(5, SN_F32, SN_I(4 * WIDTH, WIDTH));
    sn_compiled *c = sn_compile(block, "tttttt:t", NULL);
    Block *fast = SN_FN(c, block);
    Compiles compiles = {0};
    random_state = 2;
    for (int i = 0; i < PAIRS; i++) {
        sn_scope scope = sn_scope_begin();
        int64_t batch = random_between(1, 6), length = random_between(1, 70);
        sn_tensor *x = tensor_random((uint32_t)i, SN_F32, SN_I(batch, length, WIDTH));
        sn_tensor *want = block(x, gain, qkv, out, up, down);
        sn_counters before = counters_now();
        sn_tensor *got = fast(x, gain, qkv, out, up, down);
        count_compiles(&compiles, before);
        EXPECT_SAME(got, want);
        sn_scope_end(scope, NULL);
    }
    assert_true(compiles.events <= 3);
    assert_true(graphs_of(c) <= 3);
    sn_compiled_release(c);
}

/* Sizes 0 and 1 among others, in any order. */
static sn_tensor *many_ops(sn_tensor *x, sn_tensor *y) {
    int64_t length = sn_size(x, 0);
    sn_tensor *z = sn_cat((sn_tensor *[]){x, sn_mul(y, sn_c(2))}, 2, 0);
    sn_tensor *index = sn_unsqueeze(sn_arange(0, (double)length, 1, SN_F32), 1);
    sn_tensor *head = sn_add(sn_narrow(z, 0, 0, length), index);
    sn_tensor *half = sn_narrow(head, 0, length / 2, length - length / 2);
    sn_tensor *sums = sn_sum(half, SN_I(0), true);
    return sn_tril(sn_matmul(sn_add(head, sums), sn_transpose(head, 0, 1)), 1);
}

static void empty_and_single_sizes_are_right(void **state) {
    (void)state;
    static const int64_t sizes[] = {5, 3, 1, 0, 8, 1, 17, 0, 2, 33, 1, 16, 7, 4, 9, 31};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    sn_compiled *c = sn_compile(many_ops, "tt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, many_ops);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            sn_scope scope = sn_scope_begin();
            int64_t rows = sizes[(i + j) % COUNT], more = sizes[(3 * i + 5 * j) % COUNT];
            sn_tensor *x = tensor_random((uint32_t)i, SN_F32, SN_I(rows, 6));
            sn_tensor *y = tensor_random((uint32_t)j, SN_F32, SN_I(more, 6));
            EXPECT_SAME(fast(x, y), many_ops(x, y));
            sn_scope_end(scope, NULL);
        }
    assert_true(graphs_of(c) <= 6);
    sn_compiled_release(c);
}

/* Two structures, chosen by a size on the host. */
static sn_tensor *short_or_long(sn_tensor *x) {
    if (sn_size(x, 0) > 16) x = sn_relu(x);
    return sn_sub(x, sn_mean(x, SN_I(0), true));
}

static void a_branch_on_a_size_has_two_general_graphs(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(short_or_long, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, short_or_long);
    for (int64_t n = 2; n < 40; n++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = tensor_random((uint32_t)n, SN_F32, SN_I(n, 3));
        EXPECT_SAME(fast(x), short_or_long(x));
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(graphs_of(c), 3); /* the second structure knows that the size varies */
    sn_compiled_release(c);
}

/* Sizes that are equal by chance at first are told apart later. */
static sn_tensor *outer_sum(sn_tensor *x, sn_tensor *y) {
    return sn_add(sn_unsqueeze(x, 1), sn_unsqueeze(sn_exp(y), 0));
}

static void a_coincidence_costs_one_compile(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(outer_sum, "tt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, outer_sum);
    for (int64_t n = 2; n < 10; n++)
        for (int64_t m = n; m < n + 3; m++) {
            sn_tensor *x = tensor_random((uint32_t)n, SN_F32, SN_I(n));
            sn_tensor *y = tensor_random((uint32_t)m, SN_F32, SN_I(m));
            EXPECT_SAME(fast(x, y), outer_sum(x, y));
        }
    assert_true(graphs_of(c) <= 3);
    sn_compiled_release(c);
}

/* Views of a larger tensor: their strides follow sizes too. */
static sn_tensor *centered(sn_tensor *x) {
    return sn_sub(x, sn_mean(x, SN_I(1), true));
}

static void strides_are_general(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(centered, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, centered);
    for (int64_t n = 2; n < 20; n++) {
        sn_tensor *wide = tensor_random((uint32_t)n, SN_F32, SN_I(n, 3 * n));
        sn_tensor *part = sn_narrow(wide, 1, n, n), *turned = sn_transpose(wide, 0, 1);
        EXPECT_SAME(fast(wide), centered(wide));
        EXPECT_SAME(fast(part), centered(part));
        EXPECT_SAME(fast(turned), centered(turned));
    }
    assert_true(graphs_of(c) <= 6);
    sn_compiled_release(c);
}

static sn_tensor *by_itself(sn_tensor *x) {
    return sn_matmul(x, sn_transpose(x, -1, -2));
}

/* Strides of a symbolic graph fit no call where nothing is multiplied. */
static void products_may_become_empty(void **state) {
    (void)state;
    static const int64_t dims[][3] = {{6, 2, 4}, {6, 3, 4}, {2, 0, 4}, {2, 3, 0}, {0, 2, 4},
                                      {2, 0, 0}, {0, 0, 0}, {1, 1, 0}, {3, 1, 1}};
    for (sn_shapes shapes = SN_SHAPES_AUTO; shapes <= SN_SHAPES_DYNAMIC; shapes++) {
        sn_compile_options options = {.shapes = shapes};
        sn_compiled *c = sn_compile(by_itself, "t:t", &options);
        sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, by_itself);
        for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
            sn_tensor *x = tensor_random(1, SN_F32, dims[i], 3);
            EXPECT_SAME(fast(x), by_itself(x));
        }
        sn_compiled_release(c);
    }
}

/* ---- scalars --------------------------------------------------------------------------------- */

static sn_tensor *descend(sn_tensor *w, sn_tensor *gradient, double rate) {
    return sn_sub(w, sn_mul(gradient, sn_c(rate * 0.5)));
}

static sn_tensor *affine(sn_tensor *x, double by, double plus) {
    return sn_cos(sn_add(sn_mul(x, sn_c(by)), sn_c(plus)));
}

/* Two scalars that were always equal are taken for one, until they are not. */
static void equal_scalars_may_part(void **state) {
    (void)state;
    static const double calls[][2] = {{1, 1},    {2, 2}, {3, 3}, {4, 5}, {5, 5}, {6, 7},
                                      {0, -0.0}, {8, 8}, {9, 1}, {2, 3}, {3, 3}};
    sn_compiled *c = sn_compile(affine, "tdd:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, double, double) = SN_FN(c, affine);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(11));
    sn_counters before = counters_now();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        EXPECT_SAME(fast(x, calls[i][0], calls[i][1]), affine(x, calls[i][0], calls[i][1]));
    /* As it is, general in one scalar, general in two. */
    assert_int_equal(counters_now().recompiles - before.recompiles, 2);
    sn_compiled_release(c);
}

static void ten_thousand_rates_are_one_more_graph(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(descend, "ttd:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, double) = SN_FN(c, descend);
    sn_tensor *w = tensor_random(1, SN_F32, SN_I(10)), *g = tensor_random(2, SN_F32, SN_I(10));
    sn_counters before = counters_now();
    int32_t entries = 0;
    for (int i = 1; i <= 10000; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *got = fast(w, g, 1.0 / i);
        if (i % 1000 == 1) EXPECT_SAME(got, descend(w, g, 1.0 / i));
        sn_scope_end(scope, NULL);
        if (i % 1000) continue;
        sn_explanation e = {.size = sizeof e};
        sn_explain(c, &e);
        if (e.entries > entries) entries = e.entries;
    }
    sn_counters after = counters_now();
    assert_true(after.compiles - before.compiles <= 1);
    assert_int_equal(after.recompiles - before.recompiles, 1);
    assert_true(entries <= 256);
    assert_int_equal(graphs_of(c), 2);
    sn_compiled_release(c);
}

/* A scalar of every dtype a constant can have, -0 and NaN among its values. */
static sn_tensor *scaled(sn_tensor *x, double factor) {
    return sn_maximum(sn_mul(x, sn_c(factor)), sn_c(-factor));
}

static void scalars_are_right_in_every_dtype(void **state) {
    (void)state;
    static const double values[] = {1.5, 0.0, -0.0, 1e300, 0.1, (double)NAN, (double)-INFINITY};
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    sn_compiled *c = sn_compile(scaled, "td:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, double) = SN_FN(c, scaled);
    for (int d = 0; d < 4; d++)
        for (int i = 0; i < 7; i++) {
            sn_tensor *x = tensor_random(3, dtypes[d], SN_I(9));
            EXPECT_SAME(fast(x, values[i]), scaled(x, values[i]));
        }
    assert_int_equal(graphs_of(c), 8);
    sn_compiled_release(c);
}

/* Every op that takes a number which shapes do not depend on. */
static sn_tensor *numbers(sn_tensor *x, double a, double b) {
    sn_tensor *y = sn_add(sn_leaky_relu(x, a), sn_elu(x, b));
    y = sn_add(y, sn_hardtanh(sn_softplus(x, 1 + a, 2 + b), -a, b));
    y = sn_add(y, sn_layer_norm(x, SN_NONE, SN_NONE, a * 1e-3));
    y = sn_add(y, sn_rms_norm(x, SN_NONE, b * 1e-3));
    return sn_addcmul(y, x, sn_full(SN_I(7), a, SN_F16), b);
}

static void numbers_of_ops_are_scalars_too(void **state) {
    (void)state;
    /* The second NaN has the bits with which a graph marks a scalar of the call. */
    static const double values[] = {0.25, 3, 0.1, -0.0, 1e300, (double)INFINITY, (double)NAN, 0};
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    const uint64_t marked = 0x7ff4000000000000;
    double odd;
    memcpy(&odd, &marked, sizeof odd);
    sn_compiled *c = sn_compile(numbers, "tdd:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, double, double) = SN_FN(c, numbers);
    for (int d = 0; d < 4; d++) {
        sn_tensor *x = tensor_random(3, dtypes[d], SN_I(5, 7));
        sn_counters first = {.size = 0};
        for (int i = 0; i < 9; i++) {
            double a = i == 7 ? odd : values[i % 8], b = values[(i * 3 + 1) % 8];
            EXPECT_SAME(fast(x, a, b), numbers(x, a, b));
            if (i == 0) first = counters_now();
        }
        assert_int_equal(counters_now().compiles,
                         first.compiles); /* the kernels took them before */
        assert_int_equal(counters_now().recompiles - first.recompiles, 1);
    }
    assert_int_equal(graphs_of(c), 8);
    sn_compiled_release(c);
}

/* The same where the program is an optimizer's: one more graph for any number of rates. */
static sn_tensor *adam(sn_tensor *w, sn_tensor *m, sn_tensor *v, double rate) {
    return sn_addcmul(w, m, sn_rsqrt(v), -rate);
}

static void a_rate_may_be_a_number_of_an_op(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(adam, "tttd:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *, double) = SN_FN(c, adam);
    sn_tensor *w = tensor_random(1, SN_F32, SN_I(10)), *m = tensor_random(2, SN_F32, SN_I(10)),
              *v = sn_abs(tensor_random(3, SN_F32, SN_I(10)));
    sn_counters before = counters_now();
    for (int i = 1; i <= 2000; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *got = fast(w, m, v, 1.0 / i);
        if (i % 100 == 1) EXPECT_SAME(got, adam(w, m, v, 1.0 / i));
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(counters_now().recompiles - before.recompiles, 1);
    assert_int_equal(graphs_of(c), 2);
    sn_compiled_release(c);
}

/* ---- positions ------------------------------------------------------------------------------- */

enum { CACHE_HEADS = 3, CACHE_LENGTH = 1024, CACHE_WIDTH = 16 };

/* A step of decoding: the key and value of one token go into the cache, and it attends to all so far. */
static sn_tensor *decode(sn_tensor *keys, sn_tensor *values, sn_tensor *x, int64_t position) {
    sn_copy_(sn_narrow(keys, 1, position, 1), x);
    sn_copy_(sn_narrow(values, 1, position, 1), sn_neg(x));
    sn_tensor *k = sn_narrow(keys, 1, 0, position + 1), *v = sn_narrow(values, 1, 0, position + 1);
    sn_tensor *scores = sn_softmax(sn_matmul(x, sn_transpose(k, 1, 2)), 2);
    return sn_matmul(scores, v);
}

/* Empty ones, for eager and for compiled calls. */
static void make_caches(sn_tensor **keys, sn_tensor **values) {
    const int64_t dims[] = {CACHE_HEADS, CACHE_LENGTH, CACHE_WIDTH};
    for (int i = 0; i < 2; i++) {
        keys[i] = sn_zeros(dims, 3, SN_F32);
        values[i] = sn_zeros(dims, 3, SN_F32);
    }
}

static void a_thousand_tokens_compile_twice(void **state) {
    (void)state;
    sn_tensor *keys[2], *values[2];
    make_caches(keys, values);
    sn_compiled *c = sn_compile(decode, "tttl:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *, int64_t) = SN_FN(c, decode);
    for (int64_t token = 0; token < 1000; token++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = tensor_random((uint32_t)token, SN_F32, SN_I(CACHE_HEADS, 1, CACHE_WIDTH));
        sn_tensor *want = decode(keys[0], values[0], x, token);
        EXPECT_SAME(fast(keys[1], values[1], x, token), want);
        sn_scope_end(scope, NULL);
    }
    EXPECT_SAME(keys[1], keys[0]);
    EXPECT_SAME(values[1], values[0]);
    assert_int_equal(graphs_of(c), 2);
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_false(e.rerun);
    /* Two slices of the caches, scores, their softmax, the result: no copy of a cache. */
    int64_t row = CACHE_HEADS * CACHE_WIDTH * 4, scores = CACHE_HEADS * 1000 * 4;
    assert_int_equal(e.bytes_stored, 2 * row + 2 * scores + row);
    sn_compiled_release(c);
}

/* The same with the position in a tensor, which is data: it can be out of range. */
static sn_tensor *decode_at(sn_tensor *keys, sn_tensor *values, sn_tensor *x, sn_tensor *first,
                            sn_tensor *second) {
    sn_copy_(keys, sn_index_copy(keys, 1, first, x));
    sn_copy_(values, sn_index_copy(values, 1, second, sn_neg(x)));
    sn_tensor *seen = sn_le(sn_arange(0, CACHE_LENGTH, 1, SN_I64), first);
    sn_tensor *scores = sn_where(seen, sn_matmul(x, sn_transpose(keys, 1, 2)), sn_c(-1e30));
    return sn_matmul(sn_softmax(scores, 2), values);
}

static void a_position_in_a_tensor_writes_the_slice_alone(void **state) {
    (void)state;
    sn_tensor *keys[2], *values[2];
    make_caches(keys, values);
    sn_compiled *c = sn_compile(decode_at, "ttttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *) =
        SN_FN(c, decode_at);
    for (int token = 0; token < 40; token++) {
        sn_tensor *x = tensor_random((uint32_t)token, SN_F32, SN_I(CACHE_HEADS, 1, CACHE_WIDTH));
        sn_tensor *at = tensor_of(SN_I64, SN_I(1), V((double)token));
        sn_tensor *bad = tensor_of(SN_I64, SN_I(1), V((double)CACHE_LENGTH + token));
        EXPECT_SAME(fast(keys[1], values[1], x, at, at), decode_at(keys[0], values[0], x, at, at));
        /* The first write may fail, or only the second: what comes before it is written. */
        for (int which = 0; which < 2; which++) {
            sn_tensor *first = which ? at : bad, *second = which ? bad : at;
            sn_tensor *other = sn_mul(x, sn_c(3));
            assert_null(decode_at(keys[0], values[0], other, first, second));
            EXPECT_ERROR(SN_ERROR_INDEX, "index_copy", "for an axis of size 1024");
            assert_null(fast(keys[1], values[1], other, first, second));
            EXPECT_ERROR(SN_ERROR_INDEX, "index_copy", "for an axis of size 1024");
            EXPECT_SAME(keys[1], keys[0]);
            EXPECT_SAME(values[1], values[0]);
        }
    }
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_int_equal(e.graphs, 2); /* one tensor as both positions, and two */
    assert_false(e.rerun);
    /* Two slices, scores (masked), their softmax, the result. */
    int64_t row = CACHE_HEADS * CACHE_WIDTH * 4, scores = CACHE_HEADS * CACHE_LENGTH * 4;
    assert_true(e.bytes_stored <= 3 * row + 3 * scores);
    sn_compiled_release(c);
}

/* ---- draws and errors ------------------------------------------------------------------------ */

static sn_tensor *noisy(sn_tensor *x, sn_rng *generator) {
    sn_tensor *first = sn_dropout(x, 0.5, generator);
    sn_tensor *second = sn_rand(generator, SN_I(sn_size(x, 0)), SN_F32);
    return sn_add(first, second);
}

static void draws_follow_the_sizes(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(noisy, "tr:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_rng *) = SN_FN(c, noisy);
    sn_rng eager = {.seed = 5}, compiled = eager;
    for (int64_t n = 3; n < 30; n++) {
        sn_tensor *x = tensor_random((uint32_t)n, SN_F32, SN_I(n));
        EXPECT_SAME(fast(x, &compiled), noisy(x, &eager));
        assert_int_equal(compiled.counter, eager.counter);
    }
    assert_int_equal(graphs_of(c), 2);
    sn_compiled_release(c);
}

static sn_tensor *rows_of(sn_tensor *x, sn_tensor *index) {
    return sn_exp(sn_index_select(x, 0, index));
}

static void an_index_is_checked_against_the_size_at_hand(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(rows_of, "tt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, rows_of);
    for (int64_t n = 4; n < 12; n++) {
        sn_tensor *x = tensor_random((uint32_t)n, SN_F32, SN_I(n, 2));
        sn_tensor *good = tensor_of(SN_I64, SN_I(2), V((double)n - 1, 0));
        sn_tensor *bad = tensor_of(SN_I64, SN_I(2), V((double)n, 0));
        char size[40];
        snprintf(size, sizeof size, "for an axis of size %d", (int)n);
        EXPECT_SAME(fast(x, good), rows_of(x, good));
        assert_null(fast(x, bad));
        EXPECT_ERROR(SN_ERROR_INDEX, "index_select", size);
    }
    assert_int_equal(graphs_of(c), 2);
    sn_compiled_release(c);
}

/* ---- looking at it --------------------------------------------------------------------------- */

static sn_tensor *look_up(sn_tensor *rows, sn_tensor *index) {
    return sn_embedding(rows, index);
}

/* The kernel reads the index outside the loop over a row, which may come to be empty. */
static void rows_that_become_empty_check_no_index(void **state) {
    (void)state;
    static const int64_t orders[][5] = {{2, 0, 3, 0, 2}, {0, 2, 3, 0, 1}, {2, 3, 0, 1, 0}};
    sn_tensor *good = tensor_of(SN_I64, SN_I(1), V(2)), *bad = tensor_of(SN_I64, SN_I(1), V(7));
    for (int i = 0; i < 6; i++) {
        sn_compiled *c = sn_compile(look_up, "tt:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, look_up);
        for (int k = 0; k < 5; k++) {
            int64_t length = orders[i / 2][k];
            sn_tensor *rows = tensor_random(3, SN_F32, SN_I(5, length));
            if (i % 2) EXPECT_SAME(fast(rows, good), look_up(rows, good));
            sn_tensor *got = fast(rows, bad);
            if (length)
                EXPECT_ERROR(SN_ERROR_INDEX, "embedding: index[0] is 7, out of range");
            else
                EXPECT_SHAPE(got, SN_F32, SN_I(1, 0));
        }
        sn_compiled_release(c);
    }
}

static sn_tensor *exponentials(sn_tensor *x) {
    return sn_exp(x);
}
static sn_tensor *column_sums(sn_tensor *x) {
    return sn_sum(x, SN_I(0), false);
}
static sn_tensor *draws_like(sn_tensor *x) {
    static sn_rng generator = {.seed = 5};
    return sn_rand(&generator, SN_I(sn_size(x, 0), sn_size(x, 1)), SN_F32);
}

/* However many rows there are of no elements, nothing is run for them. */
static void rows_without_elements_are_not_walked(void **state) {
    (void)state;
    static sn_tensor *(*const functions[])(sn_tensor *) = {exponentials, row_softmax, column_sums,
                                                           draws_like};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, functions[f]);
        for (int64_t n = 3; n < 6; n++)
            assert_non_null(fast(tensor_random(1, SN_F32, SN_I(n, 9 - n * n % 7))));
        sn_tensor *x = sn_zeros(SN_I((int64_t)1 << 22, 0), SN_F32);
        sn_counters before = counters_now();
        sn_tensor *y = fast(x);
        assert_int_equal(counters_now().kernels, before.kernels);
        assert_int_equal(sn_count(y), 0);
        sn_compiled_release(c);
    }
}

static void a_dump_names_the_sizes_that_vary(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(row_softmax, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, row_softmax);
    fast(tensor_random(1, SN_F32, SN_I(4, 7)));
    fast(tensor_random(1, SN_F32, SN_I(4, 9)));
    char *text = sn_dump(c, "graph", NULL);
    assert_non_null(text);
    assert_non_null(strstr(text, "graph row_softmax[s0 = 9 in 0..](%0: f32[4,s0]) {"));
    sn_graph *graph = sn_graph_parse(text, strlen(text), NULL);
    assert_non_null(graph);
    char *again = sn_graph_print(graph);
    assert_string_equal(again, text);
    sn_text_free(again);
    sn_graph_free(graph);
    sn_text_free(text);
    text = sn_explain_text(c);
    assert_non_null(strstr(text, "f32[4,7]"));
    assert_non_null(strstr(text, "f32[4,9]"));
    sn_text_free(text);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_row_softmax_compiles_for_two_shapes),
        API_TEST(a_block_compiles_for_one_more_than_the_dims_that_vary),
        API_TEST(empty_and_single_sizes_are_right),
        API_TEST(a_branch_on_a_size_has_two_general_graphs),
        API_TEST(a_coincidence_costs_one_compile),
        API_TEST(strides_are_general),
        API_TEST(products_may_become_empty),
        API_TEST(equal_scalars_may_part),
        API_TEST(ten_thousand_rates_are_one_more_graph),
        API_TEST(scalars_are_right_in_every_dtype),
        API_TEST(numbers_of_ops_are_scalars_too),
        API_TEST(a_rate_may_be_a_number_of_an_op),
        API_TEST(a_thousand_tokens_compile_twice),
        API_TEST(a_position_in_a_tensor_writes_the_slice_alone),
        API_TEST(draws_follow_the_sizes),
        API_TEST(an_index_is_checked_against_the_size_at_hand),
        API_TEST(rows_that_become_empty_check_no_index),
        API_TEST(rows_without_elements_are_not_walked),
        API_TEST(a_dump_names_the_sizes_that_vary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
