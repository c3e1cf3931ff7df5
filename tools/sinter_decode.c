/* One token of a transformer with a cache of keys and values, as a server decodes: the position is a
 * number that moves a window, the length of a slice, or a tensor. See sinter_models.h. */
#include "sinter_models.h"

enum { HEAD = DECODE_WIDTH / DECODE_HEADS };

/* What is attended to. */
typedef enum Reach {
    REACH_WINDOW, /* the last DECODE_WINDOW positions */
    REACH_SO_FAR, /* all so far */
    REACH_CACHE   /* the whole cache, under a mask */
} Reach;

/* Where the token stands. */
typedef struct Place {
    sn_tensor *tensor;        /* i64[1]; or NULL, and … */
    int64_t number;           /* … the position itself */
    Reach reach;              /* what it attends to */
    sn_tensor *cosine, *sine; /* [HEAD / 2]: of the position's angles */
} Place;

/* The angles by which a pair of elements is turned. */
static Place place_at(sn_tensor *tensor, int64_t number, Reach reach) {
    sn_tensor *power =
        sn_mul(sn_arange(0, HEAD / 2, 1, SN_F32), sn_c(-2 * 9.210340371976184 / HEAD));
    sn_tensor *angle = sn_mul(sn_exp(power), tensor ? tensor : sn_ci(number));
    return (Place){tensor, number, reach, sn_cos(angle), sn_sin(angle)};
}

/* x: [heads, 1, HEAD]. */
static sn_tensor *rotate(sn_tensor *x, const Place *at) {
    sn_tensor *a = sn_narrow(x, 2, 0, HEAD / 2), *b = sn_narrow(x, 2, HEAD / 2, HEAD / 2);
    sn_tensor *real = sn_sub(sn_mul(a, at->cosine), sn_mul(b, at->sine));
    sn_tensor *imaginary = sn_add(sn_mul(a, at->sine), sn_mul(b, at->cosine));
    return sn_cat(((sn_tensor *[]){real, imaginary}), 2, 2);
}

static void keep_row(sn_tensor *cache, sn_tensor *row, const Place *at) {
    if (at->tensor)
        sn_index_copy_(cache, 1, at->tensor, row);
    else
        sn_copy_(sn_narrow(cache, 1, at->number, 1), row);
}

static sn_tensor *within_reach(sn_tensor *cache, const Place *at) {
    if (at->reach == REACH_CACHE) return cache;
    if (at->reach == REACH_SO_FAR) return sn_narrow(cache, 1, 0, at->number + 1);
    return sn_narrow(cache, 1, at->number + 1 - DECODE_WINDOW, DECODE_WINDOW);
}

static sn_tensor *attend(sn_tensor *q, sn_tensor *keys, sn_tensor *values, const Place *at) {
    sn_tensor *scores = sn_matmul(q, sn_transpose(within_reach(keys, at), 1, 2));
    scores = sn_mul(scores, sn_c(0.125)); /* 1 / sqrt(HEAD) */
    if (at->reach == REACH_CACHE) {
        sn_tensor *seen = sn_le(sn_arange(0, DECODE_CACHE, 1, SN_I64), at->tensor);
        scores = sn_where(seen, scores, sn_c(-__builtin_inf()));
    }
    return sn_matmul(sn_softmax(scores, 2), within_reach(values, at));
}

static sn_tensor *head_of(sn_tensor *qkv, int64_t part) {
    sn_tensor *own = sn_narrow(qkv, 1, part * DECODE_WIDTH, DECODE_WIDTH);
    return sn_reshape(own, SN_I(DECODE_HEADS, 1, HEAD));
}

static sn_tensor *layer(sn_tensor *x, const BlockWeights *w, sn_tensor *keys, sn_tensor *values,
                        const Place *at) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *normal = sn_layer_norm(x, w->norm1_gain, w->norm1_bias, 1e-5);
    sn_tensor *qkv = sn_linear(normal, w->qkv, w->qkv_bias);
    keep_row(keys, rotate(head_of(qkv, 1), at), at);
    keep_row(values, head_of(qkv, 2), at);
    sn_tensor *mixed = attend(rotate(head_of(qkv, 0), at), keys, values, at);
    mixed = sn_reshape(mixed, SN_I(1, DECODE_WIDTH));
    x = sn_add(x, sn_linear(mixed, w->out, w->out_bias));
    normal = sn_layer_norm(x, w->norm2_gain, w->norm2_bias, 1e-5);
    sn_tensor *wide = sn_gelu(sn_linear(normal, w->up, w->up_bias), SN_GELU_TANH);
    x = sn_add(x, sn_linear(wide, w->down, w->down_bias));
    return sn_scope_end(scope, x);
}

static sn_tensor *decode(sn_tensor *token, const DecodeState *s, const Place *at) {
    sn_tensor *x = sn_embedding(s->table, token);
    for (int32_t i = 0; i < DECODE_LAYERS; i++)
        x = layer(x, &s->blocks[i], s->keys[i], s->values[i], at);
    return x;
}

static sn_tensor *decode_number(sn_tensor *token, const DecodeState *s, int64_t position) {
    Place at = place_at(NULL, position, REACH_WINDOW);
    return decode(token, s, &at);
}

static sn_tensor *decode_length(sn_tensor *token, const DecodeState *s, int64_t position) {
    Place at = place_at(NULL, position, REACH_SO_FAR);
    return decode(token, s, &at);
}

static sn_tensor *decode_tensor(sn_tensor *token, sn_tensor *position, const DecodeState *s) {
    Place at = place_at(position, 0, REACH_CACHE);
    return decode(token, s, &at);
}

/* ---- calling --------------------------------------------------------------------------------- */

/* Each run of calls begins at the same place, so that eager and compiled ones decode the same tokens. */
static int64_t position_of(int64_t call) {
    return DECODE_FIRST + call % (DECODE_CACHE - DECODE_FIRST);
}

static sn_tensor *invoke_number(sn_function function, sn_tensor *const *x, int32_t count,
                                int64_t call) {
    (void)count;
    typedef sn_tensor *Decode(sn_tensor *, const void *, int64_t);
    return ((Decode *)function)(x[0], x + 1, position_of(call));
}

static sn_tensor *invoke_tensor(sn_function function, sn_tensor *const *x, int32_t count,
                                int64_t call) {
    (void)count;
    typedef sn_tensor *Decode(sn_tensor *, sn_tensor *, const void *);
    sn_fill_(x[1], (double)position_of(call));
    return ((Decode *)function)(x[0], x[1], x + 2);
}

#define TENSOR(member)                                                                             \
    {                                                                                              \
#member, SN_FIELD_TENSOR, offsetof(DecodeState, member), sizeof(sn_tensor *), 0, 0, false, \
            NULL                                                                                   \
    }
#define TENSORS(member)                                                                            \
    {                                                                                              \
#member, SN_FIELD_TENSOR, offsetof(DecodeState, member), sizeof(sn_tensor *),              \
            DECODE_LAYERS, 0, false, NULL                                                          \
    }

static const sn_field state_fields[] = {
    TENSOR(table),
    {"blocks", SN_FIELD_TENSOR, offsetof(DecodeState, blocks), sizeof(sn_tensor *),
     DECODE_LAYERS *BLOCK_WEIGHTS, 0, false, NULL},
    TENSORS(keys),
    TENSORS(values),
};
static const sn_tree state_tree = {sizeof(DecodeState), state_fields,
                                   sizeof state_fields / sizeof state_fields[0]};
static const sn_tree *const trees[] = {&state_tree};

#define MODEL(f, signature, invoke)                                                                \
    const Model model_##f = {(sn_function)(f), #f, signature, trees, 1, invoke}

MODEL(decode_number, "tSl~:t", invoke_number);
MODEL(decode_length, "tSl~:t", invoke_number);
MODEL(decode_tensor, "ttS:t", invoke_tensor);
