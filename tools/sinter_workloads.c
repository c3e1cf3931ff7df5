/* The table of workloads and the making of their inputs; see sinter_workloads.h. Weights have the
 * spread that PyTorch's modules give them, so that both sides compute on like values. */
#include "sinter_workloads.h"
#include "sinter_tool.h"

#include <math.h>
#include <string.h>

/* ---- inputs of each model -------------------------------------------------------------------- */

static InputSpec normal(int32_t rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3) {
    return (InputSpec){FILL_NORMAL, 1, rank, {d0, d1, d2, d3}};
}

static InputSpec vector(Fill fill, double scale, int64_t n) {
    return (InputSpec){fill, scale, 1, {n, 0, 0, 0}};
}

static InputSpec matrix(Fill fill, double scale, int64_t rows, int64_t columns) {
    return (InputSpec){fill, scale, 2, {rows, columns, 0, 0}};
}

static int32_t specify_vectors(const int64_t *sizes, InputSpec *specs) {
    for (int64_t i = 0; i < sizes[0]; i++) specs[i] = vector(FILL_NORMAL, 1, sizes[1]);
    return (int32_t)sizes[0];
}

static int32_t specify_softmax(const int64_t *sizes, InputSpec *specs) {
    specs[0] = normal(2, sizes[0], sizes[1], 0, 0);
    return 1;
}

static int32_t specify_layernorm(const int64_t *sizes, InputSpec *specs) {
    specs[0] = specs[1] = normal(2, sizes[0], sizes[1], 0, 0);
    specs[2] = specs[3] = vector(FILL_NORMAL, 1, sizes[1]);
    return 4;
}

static int32_t specify_rmsnorm_silu(const int64_t *sizes, InputSpec *specs) {
    specs[0] = specs[2] = normal(2, sizes[0], sizes[1], 0, 0);
    specs[1] = vector(FILL_NORMAL, 1, sizes[1]);
    return 3;
}

static int32_t specify_xent(const int64_t *sizes, InputSpec *specs) {
    specs[0] = normal(2, sizes[0], sizes[1], 0, 0);
    specs[1] = vector(FILL_INDEX, (double)sizes[1], sizes[0]);
    return 2;
}

static int32_t specify_matmul(const int64_t *sizes, InputSpec *specs) {
    specs[0] = normal(2, sizes[0], sizes[1], 0, 0);
    specs[1] = normal(2, sizes[1], sizes[2], 0, 0);
    return 2;
}

static int32_t specify_mlp(const int64_t *sizes, InputSpec *specs) {
    int64_t m = sizes[0], d = sizes[1], h = sizes[2];
    specs[0] = normal(2, m, d, 0, 0);
    specs[1] = matrix(FILL_NORMAL, 1 / sqrt((double)d), h, d);
    specs[2] = vector(FILL_NORMAL, 1, h);
    specs[3] = matrix(FILL_NORMAL, 1 / sqrt((double)h), d, h);
    specs[4] = vector(FILL_NORMAL, 1, d);
    return 5;
}

static int32_t specify_attention(const int64_t *sizes, InputSpec *specs) {
    specs[0] = specs[1] = specs[2] = normal(4, sizes[0], sizes[1], sizes[2], sizes[3]);
    specs[3] = matrix(FILL_CAUSAL, 1, sizes[2], sizes[2]);
    return 4;
}

/* Weight and bias of a linear layer. */
static int32_t specify_linear(int64_t in, int64_t out, InputSpec *specs) {
    double bound = 1 / sqrt((double)in);
    specs[0] = matrix(FILL_UNIFORM, bound, out, in);
    specs[1] = vector(FILL_UNIFORM, bound, out);
    return 2;
}

static int32_t specify_norm(int64_t width, InputSpec *specs) {
    specs[0] = vector(FILL_ONE, 1, width);
    specs[1] = vector(FILL_ZERO, 1, width);
    return 2;
}

/* In the order of BlockWeights. */
static int32_t specify_layer(int64_t width, InputSpec *specs) {
    int32_t n = specify_norm(width, specs);
    n += specify_linear(width, 3 * width, specs + n);
    n += specify_linear(width, width, specs + n);
    n += specify_norm(width, specs + n);
    n += specify_linear(width, 4 * width, specs + n);
    n += specify_linear(4 * width, width, specs + n);
    return n;
}

static int32_t specify_block(const int64_t *sizes, InputSpec *specs) {
    specs[0] = normal(3, sizes[0], sizes[1], sizes[2], 0);
    return 1 + specify_layer(sizes[2], specs + 1);
}

/* In the order of GptWeights. */
static int32_t specify_gpt2(const int64_t *sizes, InputSpec *specs) {
    enum { WIDTH = 768, VOCABULARY = 50257, CONTEXT = 1024 };
    specs[0] = matrix(FILL_INDEX, VOCABULARY, sizes[0], sizes[1]);
    specs[1] = matrix(FILL_NORMAL, 1, VOCABULARY, WIDTH);
    specs[2] = matrix(FILL_NORMAL, 1, CONTEXT, WIDTH);
    int32_t n = 3;
    for (int32_t i = 0; i < GPT_LAYERS; i++) n += specify_layer(WIDTH, specs + n);
    n += specify_norm(WIDTH, specs + n);
    specs[n++] = matrix(FILL_UNIFORM, 1 / sqrt((double)WIDTH), VOCABULARY, WIDTH);
    return n;
}

/* A convolution without a bias, and its norm, in the order of tools/sinter_resnet.c. */
static int32_t specify_conv(int64_t in, int64_t out, int64_t taps, InputSpec *specs) {
    double spread = sqrt(2.0 / (double)(in * taps * taps));
    specs[0] = normal(4, out, in, taps, taps);
    specs[0].scale = spread;
    specs[1] = specs[4] = vector(FILL_ONE, 1, out);
    specs[2] = specs[3] = vector(FILL_ZERO, 1, out);
    return 5;
}

static int32_t specify_resnet50(const int64_t *sizes, InputSpec *specs) {
    enum { STEM = 64, WIDER = 4, CLASSES = 1000 };
    static const int blocks[RESNET_STAGES] = RESNET_BLOCKS;
    int64_t channels = STEM, width = STEM;
    specs[0] = normal(4, sizes[0], 3, sizes[1], sizes[1]);
    int32_t n = 1 + specify_conv(3, STEM, 7, specs + 1);
    for (int stage = 0; stage < RESNET_STAGES; stage++, width *= 2)
        for (int i = 0; i < blocks[stage]; i++) {
            n += specify_conv(channels, width, 1, specs + n);
            n += specify_conv(width, width, 3, specs + n);
            n += specify_conv(width, WIDER * width, 1, specs + n);
            if (i == 0) n += specify_conv(channels, WIDER * width, 1, specs + n);
            channels = WIDER * width;
        }
    return n + specify_linear(channels, CLASSES, specs + n);
}

/* In the order of DecodeState; with `with_position` a tensor of it behind the token. */
static int32_t specify_decoder(bool with_position, InputSpec *specs) {
    enum { VOCABULARY = 50000 };
    int32_t n = 0;
    specs[n++] = vector(FILL_INDEX, VOCABULARY, 1);
    if (with_position) specs[n++] = vector(FILL_INDEX, DECODE_CACHE, 1);
    specs[n++] = matrix(FILL_NORMAL, 1, VOCABULARY, DECODE_WIDTH);
    for (int32_t i = 0; i < DECODE_LAYERS; i++) n += specify_layer(DECODE_WIDTH, specs + n);
    for (int32_t i = 0; i < 2 * DECODE_LAYERS; i++)
        specs[n++] = normal(3, DECODE_HEADS, DECODE_CACHE, DECODE_WIDTH / DECODE_HEADS, 0);
    return n;
}

static int32_t specify_decode(const int64_t *sizes, InputSpec *specs) {
    (void)sizes;
    return specify_decoder(false, specs);
}

static int32_t specify_decode_tensor(const int64_t *sizes, InputSpec *specs) {
    (void)sizes;
    return specify_decoder(true, specs);
}

/* ---- the table ------------------------------------------------------------------------------- */

const Workload workloads[] = {
    {"pointwise_4K",
     "gelu(a b + c) sigmoid(d) + exp(-a a), 4,096 elements",
     &model_pointwise,
     specify_vectors,
     {4, 1 << 12}},
    {"pointwise_1M",
     "the same, 1,048,576 elements",
     &model_pointwise,
     specify_vectors,
     {4, 1 << 20}},
    {"pointwise_16M",
     "the same, 16,777,216 elements",
     &model_pointwise,
     specify_vectors,
     {4, 1 << 24}},
    {"softmax_4096x1024",
     "softmax written out: exp, max, sum, division",
     &model_softmax,
     specify_softmax,
     {4096, 1024}},
    {"layernorm_4096x768",
     "residual add and layer norm, written out",
     &model_layernorm,
     specify_layernorm,
     {4096, 768}},
    {"rmsnorm_silu_4096x2048",
     "silu(rms_norm(x)) times a gate, written out",
     &model_rmsnorm_silu,
     specify_rmsnorm_silu,
     {4096, 2048}},
    {"xent_512x32000",
     "cross entropy over 32,000 classes",
     &model_xent,
     specify_xent,
     {512, 32000}},
    {"matmul_1024", "one matrix product", &model_matmul, specify_matmul, {1024, 1024, 1024}},
    {"mlp_128x768x3072",
     "linear, gelu, linear on 128 rows",
     &model_mlp,
     specify_mlp,
     {128, 768, 3072}},
    {"mlp_1x768x3072", "linear, gelu, linear on one row", &model_mlp, specify_mlp, {1, 768, 3072}},
    {"attention_4x12x256x64",
     "softmax(q k^T / 8 + mask) v, written out",
     &model_attention,
     specify_attention,
     {4, 12, 256, 64}},
    {"block_1x256",
     "one transformer block of width 768, 256 tokens",
     &model_block,
     specify_block,
     {1, 256, 768}},
    {"gpt2_1x128", "GPT-2 of 12 layers, 128 tokens", &model_gpt2, specify_gpt2, {1, 128}},
    {"decode_number",
     "a token of 2 layers of width 512, a cache of 4,096; its number moves a window of 512",
     &model_decode_number,
     specify_decode,
     {0}},
    {"decode_length",
     "the same, the number being the length of the slice that is attended to",
     &model_decode_length,
     specify_decode,
     {0}},
    {"decode_tensor",
     "the same, the position in a tensor that masks the whole cache",
     &model_decode_tensor,
     specify_decode_tensor,
     {0}},
    {"resnet50_b1",
     "ResNet-50, an image of 224 x 224",
     &model_resnet50,
     specify_resnet50,
     {1, 224}},
    {"resnet50_b8", "the same of eight images", &model_resnet50, specify_resnet50, {8, 224}},
    {"tiny_2args",
     "y = y x + 1 over 2 arguments of 16 elements",
     &model_tiny_2,
     specify_vectors,
     {2, 16}},
    {"tiny_8args", "the same over 8", &model_tiny_8, specify_vectors, {8, 16}},
    {"tiny_16args", "the same over 16", &model_tiny_16, specify_vectors, {16, 16}},
};
const int32_t workload_count = sizeof workloads / sizeof workloads[0];

const Workload *workload_find(const char *name) {
    for (int32_t i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
    return NULL;
}

const Workload *workload_begins(const char *name) {
    const Workload *found = NULL;
    for (int32_t i = 0; i < workload_count; i++) {
        if (strncmp(workloads[i].name, name, strlen(name)) != 0) continue;
        if (found) return NULL;
        found = &workloads[i];
    }
    return found;
}

/* ---- making inputs --------------------------------------------------------------------------- */

static sn_tensor *make_filled(const InputSpec *spec, sn_rng *rng) {
    const int64_t *dims = spec->dims;
    int32_t rank = spec->rank;
    switch (spec->fill) {
    case FILL_NORMAL:
        return sn_mul(sn_randn(rng, dims, rank, SN_F32), sn_c(spec->scale));
    case FILL_UNIFORM:
        return sn_mul(sn_sub(sn_rand(rng, dims, rank, SN_F32), sn_c(0.5)), sn_c(2 * spec->scale));
    case FILL_INDEX:
        return sn_cast(sn_mul(sn_rand(rng, dims, rank, SN_F64), sn_c(spec->scale)), SN_I64);
    case FILL_ONE:
        return sn_ones(dims, rank, SN_F32);
    case FILL_CAUSAL:
        return sn_triu(sn_full(dims, rank, -INFINITY, SN_F32), 1);
    case FILL_ZERO:
        break;
    }
    return sn_zeros(dims, rank, SN_F32);
}

bool inputs_make(const Workload *workload, bool zero, Inputs *inputs) {
    InputSpec specs[MOST_INPUTS];
    sn_rng rng = {20240229, 0};
    int32_t count = workload->specify(workload->sizes, specs);
    inputs->count = 0;
    for (int32_t i = 0; i < count; i++) {
        sn_scope scope = sn_scope_begin();
        sn_dtype dtype = specs[i].fill == FILL_INDEX ? SN_I64 : SN_F32;
        sn_tensor *tensor =
            zero ? sn_zeros(specs[i].dims, specs[i].rank, dtype) : make_filled(&specs[i], &rng);
        if (tensor) inputs->tensors[inputs->count++] = sn_retain(tensor);
        sn_scope_end(scope, NULL);
        if (sn_error_status() != SN_OK) {
            inputs_release(inputs);
            return false;
        }
    }
    return true;
}

void inputs_release(Inputs *inputs) {
    while (inputs->count > 0) sn_release(inputs->tensors[--inputs->count]);
}

sn_compiled *workload_compile(const Workload *workload, sn_numerics numerics) {
    const Model *model = workload->model;
    sn_compile_options options = {.size = sizeof options,
                                  .numerics = numerics,
                                  .trees = model->trees,
                                  .n_trees = model->n_trees};
    return sn_compile_at(model->function, model->name, model->signature, &options, __FILE__,
                         __LINE__);
}

static void time_kernels(sn_compiled *compiled, const Inputs *inputs, int32_t runs) {
    sn_value values[MOST_INPUTS];
    for (int32_t i = 0; i < inputs->count; i++)
        values[i] = (sn_value){SN_VALUE_TENSOR, 0, {.tensor = inputs->tensors[i]}};
    if (runs) sn_kernel_seconds(compiled, values, inputs->count, runs);
}

int workload_open(const char *command, const char *name, sn_numerics numerics, int32_t timed,
                  sn_compiled **compiled) {
    const Workload *workload = workload_find(name);
    if (!workload) workload = workload_begins(name);
    if (!workload)
        return usage_error(command,
                           "there is no workload \"%s\", nor one alone whose name begins so; see "
                           "sinter bench --list",
                           name);
    Inputs inputs;
    if (!inputs_make(workload, true, &inputs)) return report_error(command, workload->name);
    *compiled = workload_compile(workload, numerics);
    sn_function function = *compiled ? sn_compiled_fn(*compiled) : NULL;
    sn_scope scope = sn_scope_begin();
    if (function) workload->model->invoke(function, inputs.tensors, inputs.count, 0);
    sn_scope_end(scope, NULL);
    if (*compiled && sn_error_status() == SN_OK) time_kernels(*compiled, &inputs, timed);
    inputs_release(&inputs);
    return sn_error_status() == SN_OK ? EXIT_FINE : report_error(command, workload->name);
}
