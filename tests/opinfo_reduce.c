/* Reductions, scans, contractions and composites; see opinfo_row.h. */
#include "opinfo_reduce.h"

#include <string.h>

/* An operand or result in the dtype that is asked for, if one is. */
static sn_tensor *as_asked(OpinfoCall *call, sn_tensor *x) {
    if (!x || !call_arg(call, OPINFO_NOWHERE, "dtype")) return x;
    return sn_cast(x, call_dtype(call, OPINFO_NOWHERE, "dtype", sn_dtype_of(x)));
}

/* ---- reductions ------------------------------------------------------------------------------ */

static bool reduce(OpinfoCall *call, const OpinfoRow *row) {
    int64_t axes[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "dim"), axes);
    bool keepdim = call_bool(call, 1, "keepdim", false);
    sn_tensor *x = as_asked(call, call_self(call));
    return call_gives(call, as_asked(call, row->with.reduce(x, axes, count, keepdim)));
}

/* any, all: PyTorch answers in u8 where it was asked in u8, for the sake of old programs. */
static bool reduce_logical(OpinfoCall *call, const OpinfoRow *row) {
    reduce(call, row);
    sn_tensor *x = call_self(call);
    if (x && sn_dtype_of(x) == SN_U8) call->results[0] = sn_cast(call->results[0], SN_U8);
    return true;
}

/* Extremes along an axis come with their indices. */
static bool extremes(OpinfoCall *call, const OpinfoRow *row) {
    reduce(call, row);
    bool least = row->with.reduce == sn_min;
    const OpinfoRow where = {.with.reduce = least ? sn_argmin : sn_argmax};
    return reduce(call, &where);
}

/* Variance, with what PyTorch calls unbiased, and later correction. */
static sn_tensor *variance(OpinfoCall *call, sn_tensor **mean) {
    int64_t axes[OPINFO_MOST_TENSORS];
    const cJSON *first = call_arg(call, 0, "unbiased");
    bool unbiased_first = cJSON_IsBool(first);
    int32_t count = unbiased_first ? call_ints(call, call_arg(call, OPINFO_NOWHERE, "dim"), axes)
                                   : call_ints(call, call_arg(call, 0, "dim"), axes);
    bool unbiased =
        unbiased_first ? cJSON_IsTrue(first) : call_bool(call, OPINFO_NOWHERE, "unbiased", true);
    bool keepdim = call_bool(call, OPINFO_NOWHERE, "keepdim", false);
    double correction = call_float(call, OPINFO_NOWHERE, "correction", unbiased ? 1 : 0);
    if (mean) *mean = sn_mean(call_self(call), axes, count, keepdim);
    return sn_var(call_self(call), axes, count, keepdim, correction);
}

static bool var(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, variance(call, NULL));
}

static bool std(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_sqrt(variance(call, NULL)));
}

static bool var_mean(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *mean, *squares = variance(call, &mean);
    return call_gives_two(call, squares, mean);
}

static bool std_mean(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *mean, *squares = variance(call, &mean);
    return call_gives_two(call, sn_sqrt(squares), mean);
}

/* cumsum, softmax, log_softmax. */
static bool along_axis(OpinfoCall *call, const OpinfoRow *row) {
    int64_t axis = call_int(call, 0, "dim", 0);
    sn_tensor *x = as_asked(call, call_self(call));
    return call_gives(call, as_asked(call, row->with.axis(x, axis)));
}

static bool softmin(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axis = call_int(call, 0, "dim", 0);
    return call_gives(call, sn_softmax(as_asked(call, sn_neg(call_self(call))), axis));
}

/* ---- contractions ---------------------------------------------------------------------------- */

static bool product(OpinfoCall *call, const OpinfoRow *row) {
    return call_gives(call, row->with.binary(call_self(call), call_tensor(call, 0, "other")));
}

/* x times a number, which is converted to x's dtype: 0.6 times an integer is 0. */
static sn_tensor *scaled(OpinfoCall *call, sn_tensor *x, const char *name) {
    if (!x || !call_arg(call, OPINFO_NOWHERE, name)) return x;
    bool floating = sn_dtype_of(x) >= SN_F16;
    return sn_mul(x, floating ? sn_c(call_float(call, OPINFO_NOWHERE, name, 1))
                              : sn_ci(call_int(call, OPINFO_NOWHERE, name, 1)));
}

/* beta * self + alpha * (a @ b), summed over the batch for addbmm. */
static bool add_product(OpinfoCall *call, const OpinfoRow *row) {
    sn_tensor *x = call_self(call);
    sn_tensor *y = sn_matmul(call_tensor(call, 0, "mat1"), call_tensor(call, 1, "mat2"));
    if (row->with.reduce) y = row->with.reduce(y, (const int64_t[]){0}, 1, false);
    sn_tensor *sum = sn_add(scaled(call, x, "beta"), scaled(call, y, "alpha"));
    return call_gives(call, x ? sn_cast(sum, sn_dtype_of(x)) : NULL);
}

static bool outer(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_mul(sn_unsqueeze(call_self(call), 1), call_tensor(call, 0, "vec2")));
}

static bool linear(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const cJSON *bias = call_arg(call, 1, "bias");
    return call_gives(call, sn_linear(call_self(call), call_tensor(call, 0, "weight"),
                                      bias ? call_operand(call, bias) : SN_NONE));
}

/* ---- composites ------------------------------------------------------------------------------ */

/* Our op takes the number of normalised axes from its weight, PyTorch's from a list. */
static sn_tensor *normalise(OpinfoCall *call, const int64_t *dims, int32_t count) {
    const cJSON *weight = call_arg(call, 1, "weight"), *bias = call_arg(call, 2, "bias");
    sn_tensor *x = call_self(call);
    if (!x) return NULL;
    sn_tensor *w = weight ? call_operand(call, weight) : SN_NONE;
    if (!weight && !bias && count > 1) w = sn_full(dims, count, 1, sn_dtype_of(x));
    return sn_layer_norm(x, w, bias ? call_operand(call, bias) : SN_NONE,
                         call_float(call, 3, "eps", 1e-5));
}

static bool layer_norm(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t dims[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "normalized_shape"), dims);
    return call_gives(call, normalise(call, dims, count));
}

/* The same, with mean and 1 / sqrt(var + eps). */
static bool native_layer_norm(OpinfoCall *call, const OpinfoRow *row) {
    layer_norm(call, row);
    int64_t axes[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "normalized_shape"), axes);
    for (int32_t i = 0; i < count; i++) axes[i] = i - count;
    sn_tensor *x = call_self(call), *var = sn_var(x, axes, count, true, 0);
    sn_tensor *eps = sn_c(call_float(call, 3, "eps", 1e-5));
    return call_gives_two(call, sn_mean(x, axes, count, true), sn_rsqrt(sn_add(var, eps)));
}

static bool cross_entropy(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    if (call_arg(call, OPINFO_NOWHERE, "weight"))
        return call_skip(call, "no such op: cross_entropy with weights of classes");
    if (call_arg(call, OPINFO_NOWHERE, "ignore_index"))
        return call_skip(call, "no such op: cross_entropy with an ignored class");
    if (call_float(call, OPINFO_NOWHERE, "label_smoothing", 0) != 0)
        return call_skip(call, "no such op: cross_entropy with label smoothing");
    sn_tensor *target = call_tensor(call, 0, "target");
    if (target && sn_dtype_of(target) >= SN_F16)
        return call_skip(call, "no such op: cross_entropy against probabilities");
    const char *text = call_text(call, OPINFO_NOWHERE, "reduction", "mean");
    sn_reduction reduction = strcmp(text, "none") == 0  ? SN_REDUCTION_NONE
                             : strcmp(text, "sum") == 0 ? SN_REDUCTION_SUM
                                                        : SN_REDUCTION_MEAN;
    return call_gives(call, sn_cross_entropy(call_self(call), target, reduction));
}

/* The second result of PyTorch's, the attention weights, is no result of ours. */
static bool attention(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    if (call_float(call, OPINFO_NOWHERE, "dropout_p", 0) > 0)
        return call_skip(call, "no such op: attention with PyTorch's own random numbers");
    call->first_only = true;
    const cJSON *mask = call_arg(call, 2, "attn_mask");
    return call_gives(call,
                      sn_scaled_dot_product_attention(
                          call_self(call), call_tensor(call, 0, "key"),
                          call_tensor(call, 1, "value"), mask ? call_operand(call, mask) : SN_NONE,
                          call_bool(call, OPINFO_NOWHERE, "is_causal", false), 0));
}

/* ---- the table ------------------------------------------------------------------------------- */

#define REDUCE(name, variant, function)                                                            \
    {                                                                                              \
        name, variant, reduce, {                                                                   \
            .reduce = function                                                                     \
        }                                                                                          \
    }
#define PRODUCT(name)                                                                              \
    {                                                                                              \
        name, NULL, product, {                                                                     \
            .binary = sn_matmul                                                                    \
        }                                                                                          \
    }
#define AXIS(name, function)                                                                       \
    {                                                                                              \
        name, NULL, along_axis, {                                                                  \
            .axis = function                                                                       \
        }                                                                                          \
    }

static const OpinfoRow rows[] = {
    REDUCE("amax", NULL, sn_max),
    REDUCE("amin", NULL, sn_min),
    REDUCE("argmax", NULL, sn_argmax),
    REDUCE("argmin", NULL, sn_argmin),
    REDUCE("logsumexp", NULL, sn_logsumexp),
    REDUCE("max", "reduction_no_dim", sn_max),
    REDUCE("mean", NULL, sn_mean),
    REDUCE("min", "reduction_no_dim", sn_min),
    REDUCE("prod", NULL, sn_prod),
    REDUCE("sum", NULL, sn_sum),
    {"all", NULL, reduce_logical, {.reduce = sn_all}},
    {"any", NULL, reduce_logical, {.reduce = sn_any}},
    {"max", "reduction_with_dim", extremes, {.reduce = sn_max}},
    {"min", "reduction_with_dim", extremes, {.reduce = sn_min}},
    FORM("std", std),
    FORM("std_mean", std_mean),
    FORM("var", var),
    FORM("var_mean", var_mean),
    AXIS("cumsum", sn_cumsum),
    AXIS("softmax", sn_softmax),
    AXIS("log_softmax", sn_log_softmax),
    FORM("nn.functional.softmin", softmin),

    PRODUCT("bmm"),
    PRODUCT("matmul"),
    PRODUCT("mm"),
    PRODUCT("mv"),
    FORM("addmm", add_product),
    FORM("addmv", add_product),
    FORM("baddbmm", add_product),
    {"addbmm", NULL, add_product, {.reduce = sn_sum}},
    FORM("outer", outer),
    FORM("nn.functional.linear", linear),

    FORM("nn.functional.layer_norm", layer_norm),
    FORM("native_layer_norm", native_layer_norm),
    FORM("nn.functional.cross_entropy", cross_entropy),
    FORM("nn.functional._scaled_dot_product_attention", attention),
};

const OpinfoTable opinfo_reduce = {rows, sizeof rows / sizeof *rows};
