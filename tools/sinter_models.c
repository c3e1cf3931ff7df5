/* The measured functions; see sinter_models.h. Each is written op by op, with a scope where a program
 * would have one: around each layer of a model. */
#include "sinter_models.h"

/* ---- what is measured ------------------------------------------------------------------------ */

static sn_tensor *pointwise(sn_tensor *a, sn_tensor *b, sn_tensor *c, sn_tensor *d) {
    sn_tensor *gelu = sn_gelu(sn_add(sn_mul(a, b), c), SN_GELU_TANH);
    return sn_add(sn_mul(gelu, sn_sigmoid(d)), sn_exp(sn_mul(sn_neg(a), a)));
}

static sn_tensor *softmax(sn_tensor *x) {
    sn_tensor *above = sn_exp(sn_sub(x, sn_max(x, SN_I(-1), true)));
    sn_tensor *below = sn_exp(sn_sub(x, sn_max(x, SN_I(-1), true)));
    return sn_div(above, sn_sum(below, SN_I(-1), true));
}

static sn_tensor *layernorm(sn_tensor *x, sn_tensor *residual, sn_tensor *gain, sn_tensor *bias) {
    sn_tensor *h = sn_add(x, residual);
    sn_tensor *mean = sn_mean(h, SN_I(-1), true);
    sn_tensor *variance = sn_mean(sn_square(sn_sub(h, mean)), SN_I(-1), true);
    sn_tensor *normal = sn_mul(sn_sub(h, mean), sn_rsqrt(sn_add(variance, sn_c(1e-5))));
    return sn_add(sn_mul(normal, gain), bias);
}

static sn_tensor *rmsnorm_silu(sn_tensor *x, sn_tensor *gain, sn_tensor *up) {
    sn_tensor *square = sn_mean(sn_mul(x, x), SN_I(-1), true);
    sn_tensor *normal = sn_mul(x, sn_rsqrt(sn_add(square, sn_c(1e-6))));
    return sn_mul(sn_silu(sn_mul(normal, gain)), up);
}

static sn_tensor *xent(sn_tensor *logits, sn_tensor *target) {
    return sn_cross_entropy(logits, target, SN_REDUCTION_MEAN);
}

static sn_tensor *matmul(sn_tensor *a, sn_tensor *b) {
    return sn_matmul(a, b);
}

static sn_tensor *mlp(sn_tensor *x, sn_tensor *w1, sn_tensor *b1, sn_tensor *w2, sn_tensor *b2) {
    return sn_linear(sn_gelu(sn_linear(x, w1, b1), SN_GELU_TANH), w2, b2);
}

static sn_tensor *attention(sn_tensor *q, sn_tensor *k, sn_tensor *v, sn_tensor *mask) {
    double scale = 1 / __builtin_sqrt((double)sn_size(q, -1));
    sn_tensor *scores = sn_mul(sn_matmul(q, sn_transpose(k, -1, -2)), sn_c(scale));
    return sn_matmul(sn_softmax(sn_add(scores, mask), -1), v);
}

static sn_tensor *block(sn_tensor *x, const BlockWeights *w) {
    sn_scope scope = sn_scope_begin();
    int64_t batch = sn_size(x, 0), time = sn_size(x, 1), width = sn_size(x, 2);
    sn_tensor *qkv =
        sn_linear(sn_layer_norm(x, w->norm1_gain, w->norm1_bias, 1e-5), w->qkv, w->qkv_bias);
    qkv = sn_reshape(qkv, SN_I(batch, time, 3, HEADS, width / HEADS));
    qkv = sn_permute(qkv, SN_I(2, 0, 3, 1, 4));
    sn_tensor *mixed = sn_scaled_dot_product_attention(sn_select(qkv, 0, 0), sn_select(qkv, 0, 1),
                                                       sn_select(qkv, 0, 2), SN_NONE, true, 0);
    mixed = sn_reshape(sn_transpose(mixed, 1, 2), SN_I(batch, time, width));
    x = sn_add(x, sn_linear(mixed, w->out, w->out_bias));
    sn_tensor *wide =
        sn_linear(sn_layer_norm(x, w->norm2_gain, w->norm2_bias, 1e-5), w->up, w->up_bias);
    x = sn_add(x, sn_linear(sn_gelu(wide, SN_GELU_TANH), w->down, w->down_bias));
    return sn_scope_end(scope, x);
}

static sn_tensor *gpt2(sn_tensor *tokens, const GptWeights *w) {
    sn_tensor *places = sn_arange(0, (double)sn_size(tokens, 1), 1, SN_I64);
    sn_tensor *x = sn_add(sn_embedding(w->tokens, tokens), sn_embedding(w->positions, places));
    for (int32_t i = 0; i < GPT_LAYERS; i++) x = block(x, &w->blocks[i]);
    return sn_linear(sn_layer_norm(x, w->norm_gain, w->norm_bias, 1e-5), w->head, SN_NONE);
}

static sn_tensor *tiny(sn_tensor *const *x, int32_t count) {
    sn_tensor *y = x[0];
    for (int32_t i = 1; i < count; i++) y = sn_add(sn_mul(y, x[i]), sn_c(1));
    return y;
}

static sn_tensor *tiny_2(sn_tensor *a, sn_tensor *b) {
    return tiny((sn_tensor *[]){a, b}, 2);
}

static sn_tensor *tiny_8(sn_tensor *a, sn_tensor *b, sn_tensor *c, sn_tensor *d, sn_tensor *e,
                         sn_tensor *f, sn_tensor *g, sn_tensor *h) {
    return tiny((sn_tensor *[]){a, b, c, d, e, f, g, h}, 8);
}

static sn_tensor *tiny_16(sn_tensor *a, sn_tensor *b, sn_tensor *c, sn_tensor *d, sn_tensor *e,
                          sn_tensor *f, sn_tensor *g, sn_tensor *h, sn_tensor *i, sn_tensor *j,
                          sn_tensor *k, sn_tensor *l, sn_tensor *m, sn_tensor *n, sn_tensor *o,
                          sn_tensor *p) {
    return tiny((sn_tensor *[]){a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p}, 16);
}

/* ---- layouts of the described structs -------------------------------------------------------- */

#define TENSOR(type, member)                                                                       \
    { #member, SN_FIELD_TENSOR, offsetof(type, member), sizeof(sn_tensor *), 0, 0, false, NULL }

static const sn_field block_fields[] = {
    TENSOR(BlockWeights, norm1_gain), TENSOR(BlockWeights, norm1_bias),
    TENSOR(BlockWeights, qkv),        TENSOR(BlockWeights, qkv_bias),
    TENSOR(BlockWeights, out),        TENSOR(BlockWeights, out_bias),
    TENSOR(BlockWeights, norm2_gain), TENSOR(BlockWeights, norm2_bias),
    TENSOR(BlockWeights, up),         TENSOR(BlockWeights, up_bias),
    TENSOR(BlockWeights, down),       TENSOR(BlockWeights, down_bias),
};
static const sn_tree block_tree = {sizeof(BlockWeights), block_fields, BLOCK_WEIGHTS};

static const sn_field gpt_fields[] = {
    TENSOR(GptWeights, tokens),
    TENSOR(GptWeights, positions),
    {"blocks", SN_FIELD_STRUCT, offsetof(GptWeights, blocks), sizeof(BlockWeights), GPT_LAYERS, 0,
     false, &block_tree},
    TENSOR(GptWeights, norm_gain),
    TENSOR(GptWeights, norm_bias),
    TENSOR(GptWeights, head),
};
static const sn_tree gpt_tree = {sizeof(GptWeights), gpt_fields,
                                 sizeof gpt_fields / sizeof gpt_fields[0]};

/* ---- calling --------------------------------------------------------------------------------- */

#define T sn_tensor *
#define INVOKE(name, type, ...)                                                                    \
    static sn_tensor *name(sn_function function, sn_tensor *const *x, int32_t count,               \
                           int64_t call) {                                                         \
        (void)count, (void)call;                                                                   \
        return ((type)function)(__VA_ARGS__);                                                      \
    }
#define EIGHT(x) (x)[0], (x)[1], (x)[2], (x)[3], (x)[4], (x)[5], (x)[6], (x)[7]

INVOKE(invoke_1, T (*)(T), x[0])
INVOKE(invoke_2, T (*)(T, T), x[0], x[1])
INVOKE(invoke_3, T (*)(T, T, T), x[0], x[1], x[2])
INVOKE(invoke_4, T (*)(T, T, T, T), x[0], x[1], x[2], x[3])
INVOKE(invoke_5, T (*)(T, T, T, T, T), x[0], x[1], x[2], x[3], x[4])
INVOKE(invoke_8, T (*)(T, T, T, T, T, T, T, T), EIGHT(x))
INVOKE(invoke_16, T (*)(T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T), EIGHT(x), EIGHT(x + 8))
INVOKE(invoke_struct, T (*)(T, const void *), x[0], x + 1)
#undef T

#define MODEL(f, signature, invoke)                                                                \
    const Model model_##f = {(sn_function)(f), #f, signature, NULL, 0, invoke}

MODEL(pointwise, "tttt:t", invoke_4);
MODEL(softmax, "t:t", invoke_1);
MODEL(layernorm, "tttt:t", invoke_4);
MODEL(rmsnorm_silu, "ttt:t", invoke_3);
MODEL(xent, "tt:t", invoke_2);
MODEL(matmul, "tt:t", invoke_2);
MODEL(mlp, "ttttt:t", invoke_5);
MODEL(attention, "tttt:t", invoke_4);
MODEL(tiny_2, "tt:t", invoke_2);
MODEL(tiny_8, "tttttttt:t", invoke_8);
MODEL(tiny_16, "tttttttttttttttt:t", invoke_16);

static const sn_tree *const block_trees[] = {&block_tree};
const Model model_block = {(sn_function)block, "block", "tS:t", block_trees, 1, invoke_struct};

static const sn_tree *const gpt_trees[] = {&gpt_tree};
const Model model_gpt2 = {(sn_function)gpt2, "gpt2", "tS:t", gpt_trees, 1, invoke_struct};
