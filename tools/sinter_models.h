/* The functions that `sinter bench` measures, as a program would write them, and the ways to call
 * them: eager and compiled forms have the same type. */
#ifndef SINTER_MODELS_H
#define SINTER_MODELS_H

#include <sinter/sinter.h>

/* Calls a function of one C type with its tensors in order: call number `call` of a run of calls. */
typedef sn_tensor *Invoke(sn_function function, sn_tensor *const *tensors, int32_t count,
                          int64_t call);

/* A function with what sn_compile and a caller need to know of it. */
typedef struct Model {
    sn_function function;        /* eager form */
    const char *name;            /* of the function, for dumps */
    const char *signature;       /* as for sn_compile */
    const sn_tree *const *trees; /* of its S arguments */
    int32_t n_trees;             /* how many */
    Invoke *invoke;              /* calls it, or its compiled form */
} Model;

extern const Model model_pointwise;    /* a b c d: [n] */
extern const Model model_softmax;      /* x: [r, c] */
extern const Model model_layernorm;    /* x residual: [r, c], gain bias: [c] */
extern const Model model_rmsnorm_silu; /* x: [r, c], gain: [c], up: [r, c] */
extern const Model model_xent;         /* logits: [r, v], target: i64[r] */
extern const Model model_matmul;       /* a: [m, k], b: [k, n] */
extern const Model model_mlp;          /* x: [m, d], w1: [h, d], b1: [h], w2: [d, h], b2: [d] */
extern const Model model_attention;    /* q k v: [b, h, t, d], mask: [t, t] */
extern const Model model_block;        /* x: [b, t, d], then a BlockWeights */
extern const Model model_gpt2;         /* tokens: i64[b, t], then a GptWeights */
extern const Model
    model_resnet50;               /* x: [n, 3, h, w], then RESNET_WEIGHTS (tools/sinter_resnet.c) */
extern const Model model_tiny_2;  /* x y: [n] */
extern const Model model_tiny_8;  /* eight times [n] */
extern const Model model_tiny_16; /* sixteen times [n] */

/* A token of a decoder (tools/sinter_decode.c), its position a number that moves a window, the length
 * of a slice, or i64[1], by which the whole cache is masked. */
extern const Model model_decode_number; /* token: i64[1], then a DecodeState */
extern const Model model_decode_length; /* the same */
extern const Model model_decode_tensor; /* token, position: i64[1], then a DecodeState */

enum { HEADS = 12, GPT_LAYERS = 12 };
enum {
    DECODE_LAYERS = 2,
    DECODE_WIDTH = 512,
    DECODE_HEADS = 8,
    DECODE_CACHE = 4096, /* positions */
    DECODE_WINDOW = 512, /* positions that decode_number attends to */
    DECODE_FIRST = 1000  /* position of a run's first call */
};

/* Blocks of each stage of ResNet-50; weights: of each convolution and its norm five. */
#define RESNET_BLOCKS                                                                              \
    { 3, 4, 6, 3 }
enum { RESNET_STAGES = 4, RESNET_CONVOLUTIONS = 53, RESNET_WEIGHTS = 5 * RESNET_CONVOLUTIONS + 2 };

/* Parameters of a transformer block of width d. */
typedef struct BlockWeights {
    sn_tensor *norm1_gain, *norm1_bias; /* [d] */
    sn_tensor *qkv, *qkv_bias;          /* [3 d, d], [3 d] */
    sn_tensor *out, *out_bias;          /* [d, d], [d] */
    sn_tensor *norm2_gain, *norm2_bias; /* [d] */
    sn_tensor *up, *up_bias;            /* [4 d, d], [4 d] */
    sn_tensor *down, *down_bias;        /* [d, 4 d], [d] */
} BlockWeights;

/* Parameters of GPT-2. */
typedef struct GptWeights {
    sn_tensor *tokens;                /* [vocabulary, d] */
    sn_tensor *positions;             /* [context, d] */
    BlockWeights blocks[GPT_LAYERS];  /* layer by layer */
    sn_tensor *norm_gain, *norm_bias; /* [d] */
    sn_tensor *head;                  /* [vocabulary, d] */
} GptWeights;

/* What a decoder has and keeps. */
typedef struct DecodeState {
    sn_tensor *table;                   /* [vocabulary, d] */
    BlockWeights blocks[DECODE_LAYERS]; /* layer by layer */
    sn_tensor *keys[DECODE_LAYERS];     /* [heads, DECODE_CACHE, d / heads], written in place */
    sn_tensor *values[DECODE_LAYERS];   /* the same */
} DecodeState;

/* All are tensors only, so that a list of tensors in this order is one. */
enum {
    BLOCK_WEIGHTS = sizeof(BlockWeights) / sizeof(sn_tensor *),
    GPT_WEIGHTS = sizeof(GptWeights) / sizeof(sn_tensor *)
};

#endif
