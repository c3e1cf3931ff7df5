/* Operators that work element by element; see opinfo_row.h. */
#include "opinfo_pointwise.h"

#include <string.h>

/* ---- one operand ----------------------------------------------------------------------------- */

static bool unary(OpinfoCall *call, const OpinfoRow *row) {
    return call_gives(call, row->with.unary(call_self(call)));
}

/* C leaves open what becomes of a number that the integer type does not hold. */
static sn_tensor *fits_integer(sn_tensor *x, sn_dtype dtype) {
    static const double below[SN_DTYPE_COUNT] = {
        [SN_U8] = -1, [SN_I32] = -0x1p31 - 1, [SN_I64] = -0x1p63 - 0x1p11};
    static const double above[SN_DTYPE_COUNT] = {
        [SN_U8] = 0x1p8, [SN_I32] = 0x1p31, [SN_I64] = 0x1p63};
    sn_tensor *value = sn_cast(x, SN_F64);
    return sn_logical_and(sn_gt(value, sn_c(below[dtype])), sn_lt(value, sn_c(above[dtype])));
}

static bool cast(OpinfoCall *call, const OpinfoRow *row) {
    sn_dtype to = row->with.dtype;
    bool may_overflow = sn_dtype_of(call_self(call)) >= SN_F16 && to > SN_BOOL && to < SN_F16;
    if (call->asks_defined && may_overflow) call->defined = fits_integer(call_self(call), to);
    return call_gives(call, sn_cast(call_self(call), row->with.dtype));
}

static bool gelu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const char *text = call_text(call, 0, "approximate", "none");
    sn_gelu_form form = strcmp(text, "tanh") == 0   ? SN_GELU_TANH
                        : strcmp(text, "none") == 0 ? SN_GELU_ERF
                                                    : (sn_gelu_form)-1;
    return call_gives(call, sn_gelu(call_self(call), form));
}

static bool softplus(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_softplus(call_self(call), call_float(call, 0, "beta", 1),
                                        call_float(call, 1, "threshold", 20)));
}

static bool leaky_relu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call,
                      sn_leaky_relu(call_self(call), call_float(call, 0, "negative_slope", 0.01)));
}

static bool elu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_elu(call_self(call), call_float(call, 0, "alpha", 1)));
}

static bool hardtanh(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_hardtanh(call_self(call), call_float(call, 0, "min_val", -1),
                                        call_float(call, 1, "max_val", 1)));
}

/* ---- two operands ---------------------------------------------------------------------------- */

static bool binary(OpinfoCall *call, const OpinfoRow *row) {
    return call_gives(call, row->with.binary(call_self(call), call_tensor(call, 0, "other")));
}

/* C leaves open what a shift by a negative number, or by the width or more, gives. */
static bool shift(OpinfoCall *call, const OpinfoRow *row) {
    binary(call, row);
    sn_tensor *result = call->results[0], *by = call_tensor(call, 0, "other");
    if (!result || !call->asks_defined) return true;
    int64_t dims[SN_MAX_RANK], width = 8 * (int64_t)sn_dtype_size(sn_dtype_of(result));
    int32_t rank = sn_shape(result, dims, NULL);
    sn_tensor *inside = sn_logical_and(sn_ge(by, sn_ci(0)), sn_lt(by, sn_ci(width)));
    call->defined = sn_expand(inside, dims, rank);
    return true;
}

/* PyTorch's vectorised fmod, and what rests on it, gives NaN where the quotient of finite operands
 * overflows f32 or f64, its scalar one the exact remainder: such elements it leaves open. */
static void except_overflow(OpinfoCall *call, sn_tensor *x, sn_tensor *y) {
    sn_tensor *result = call->results[0];
    if (!result || !call->asks_defined || sn_dtype_of(result) < SN_F16) return;
    sn_dtype wide = sn_dtype_of(result) == SN_F64 ? SN_F64 : SN_F32;
    sn_tensor *quotient = sn_div(sn_cast(x, wide), sn_cast(y, wide));
    sn_tensor *special =
        sn_logical_not(sn_logical_and(sn_isfinite(sn_add(x, y)), sn_ne(y, sn_ci(0))));
    call->defined = sn_logical_or(special, sn_isfinite(quotient));
}

static bool modulo(OpinfoCall *call, const OpinfoRow *row) {
    binary(call, row);
    except_overflow(call, call_self(call), call_tensor(call, 0, "other"));
    return true;
}

/* alpha * x. Beside halves PyTorch rounds alpha to their dtype, as it does with no other scalar. */
static sn_tensor *scaled(OpinfoCall *call, sn_tensor *x) {
    const cJSON *alpha = call_arg(call, 1, "alpha");
    if (!alpha) return x;
    sn_dtype dtype = sn_dtype_of(x);
    sn_tensor *by = call_operand(call, alpha);
    return sn_mul(x, dtype == SN_F16 || dtype == SN_BF16 ? sn_cast(by, dtype) : by);
}

/* x + alpha * y and x - alpha * y. */
static bool binary_alpha(OpinfoCall *call, const OpinfoRow *row) {
    sn_tensor *y = scaled(call, call_tensor(call, 0, "other"));
    return call_gives(call, row->with.binary(call_self(call), y));
}

/* y - alpha * x */
static bool rsub(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = scaled(call, call_self(call));
    return call_gives(call, sn_sub(call_tensor(call, 0, "other"), x));
}

/* Division that rounds to zero: of floats trunc(x / y), of integers (x - x mod y) / y. */
static sn_tensor *divide_truncating(sn_tensor *x, sn_tensor *y) {
    sn_tensor *rest = sn_fmod(x, y);
    if (!rest) return NULL;
    bool floating = sn_dtype_of(rest) >= SN_F16;
    return floating ? sn_trunc(sn_div(x, y)) : sn_floor_divide(sn_sub(x, rest), y);
}

static bool divide(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const char *rounding = call_text(call, OPINFO_NOWHERE, "rounding_mode", "");
    OpinfoBinary *function = strcmp(rounding, "floor") == 0   ? sn_floor_divide
                             : strcmp(rounding, "trunc") == 0 ? divide_truncating
                                                              : sn_div;
    call_gives(call, function(call_self(call), call_tensor(call, 0, "other")));
    if (function == sn_floor_divide)
        except_overflow(call, call_self(call), call_tensor(call, 0, "other"));
    return true;
}

/* clamp by a tensor; of bool, which clamp does not take, PyTorch takes the extremes here. */
static bool clamp_min(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *low = call_tensor(call, 0, "min");
    bool logical = sn_dtype_of(x) == SN_BOOL && sn_dtype_of(low) == SN_BOOL;
    return call_gives(call, logical ? sn_maximum(x, low) : sn_clamp(x, low, SN_NONE));
}

static bool clamp_max(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *high = call_tensor(call, 0, "max");
    bool logical = sn_dtype_of(x) == SN_BOOL && sn_dtype_of(high) == SN_BOOL;
    return call_gives(call, logical ? sn_minimum(x, high) : sn_clamp(x, SN_NONE, high));
}

/* ---- three operands -------------------------------------------------------------------------- */

static bool clamp(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const cJSON *low = call_arg(call, 0, "min"), *high = call_arg(call, 1, "max");
    return call_gives(call, sn_clamp(call_self(call), low ? call_operand(call, low) : SN_NONE,
                                     high ? call_operand(call, high) : SN_NONE));
}

/* self.where(condition, other) */
static bool where(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_where(call_tensor(call, 0, "condition"), call_self(call),
                                     call_tensor(call, 1, "other")));
}

static bool masked_fill(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *value = call_tensor(call, 1, "value");
    return call_gives(call,
                      sn_where(call_tensor(call, 0, "mask"), sn_cast(value, sn_dtype_of(x)), x));
}

static bool lerp(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_lerp(call_self(call), call_tensor(call, 0, "end"),
                                    call_tensor(call, 1, "weight")));
}

static bool addcmul(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call,
                      sn_addcmul(call_self(call), call_tensor(call, 0, "tensor1"),
                                 call_tensor(call, 1, "tensor2"), call_float(call, 2, "value", 1)));
}

/* ---- the table ------------------------------------------------------------------------------- */

#define UNARY(name, function)                                                                      \
    {                                                                                              \
        name, NULL, unary, {                                                                       \
            .unary = function                                                                      \
        }                                                                                          \
    }
#define BINARY(name, function)                                                                     \
    {                                                                                              \
        name, NULL, binary, {                                                                      \
            .binary = function                                                                     \
        }                                                                                          \
    }
#define VARIANT(name, variant, function)                                                           \
    {                                                                                              \
        name, variant, binary, {                                                                   \
            .binary = function                                                                     \
        }                                                                                          \
    }
#define CAST(name, type)                                                                           \
    {                                                                                              \
        name, NULL, cast, {                                                                        \
            .dtype = type                                                                          \
        }                                                                                          \
    }

static const OpinfoRow rows[] = {
    UNARY("abs", sn_abs),
    UNARY("acos", sn_acos),
    UNARY("acosh", sn_acosh),
    UNARY("asin", sn_asin),
    UNARY("asinh", sn_asinh),
    UNARY("atan", sn_atan),
    UNARY("atanh", sn_atanh),
    UNARY("bitwise_not", sn_bitwise_not),
    UNARY("ceil", sn_ceil),
    UNARY("clone", sn_clone),
    UNARY("cos", sn_cos),
    UNARY("cosh", sn_cosh),
    UNARY("erf", sn_erf),
    UNARY("erfc", sn_erfc),
    UNARY("exp", sn_exp),
    UNARY("exp2", sn_exp2),
    UNARY("expm1", sn_expm1),
    UNARY("floor", sn_floor),
    UNARY("frac", sn_frac),
    UNARY("isfinite", sn_isfinite),
    UNARY("isinf", sn_isinf),
    UNARY("isnan", sn_isnan),
    UNARY("log", sn_log),
    UNARY("log10", sn_log10),
    UNARY("log1p", sn_log1p),
    UNARY("log2", sn_log2),
    UNARY("logical_not", sn_logical_not),
    UNARY("neg", sn_neg),
    UNARY("reciprocal", sn_reciprocal),
    UNARY("rsqrt", sn_rsqrt),
    UNARY("sgn", sn_sign), /* the same for real numbers */
    UNARY("sigmoid", sn_sigmoid),
    UNARY("sign", sn_sign),
    UNARY("signbit", sn_signbit),
    UNARY("sin", sn_sin),
    UNARY("sinh", sn_sinh),
    UNARY("sqrt", sn_sqrt),
    UNARY("square", sn_square),
    UNARY("tan", sn_tan),
    UNARY("tanh", sn_tanh),
    UNARY("trunc", sn_trunc),
    UNARY("nn.functional.hardsigmoid", sn_hardsigmoid),
    UNARY("nn.functional.hardswish", sn_hardswish),
    UNARY("nn.functional.logsigmoid", sn_logsigmoid),
    UNARY("nn.functional.mish", sn_mish),
    UNARY("nn.functional.relu", sn_relu),
    UNARY("nn.functional.relu6", sn_relu6),
    UNARY("nn.functional.silu", sn_silu),
    UNARY("nn.functional.softsign", sn_softsign),
    {"round", "", unary, {.unary = sn_round}},
    {"round", "decimals_0", unary, {.unary = sn_round}},
    FORM("nn.functional.elu", elu),
    FORM("nn.functional.gelu", gelu),
    FORM("nn.functional.hardtanh", hardtanh),
    FORM("nn.functional.leaky_relu", leaky_relu),
    FORM("nn.functional.softplus", softplus),

    CAST("bfloat16", SN_BF16),
    CAST("bool", SN_BOOL),
    CAST("byte", SN_U8),
    CAST("double", SN_F64),
    CAST("float", SN_F32),
    CAST("half", SN_F16),
    CAST("int", SN_I32),
    CAST("long", SN_I64),

    BINARY("atan2", sn_atan2),
    BINARY("bitwise_and", sn_bitwise_and),
    BINARY("bitwise_or", sn_bitwise_or),
    BINARY("bitwise_xor", sn_bitwise_xor),
    BINARY("copysign", sn_copysign),
    BINARY("eq", sn_eq),
    BINARY("ge", sn_ge),
    BINARY("gt", sn_gt),
    BINARY("hypot", sn_hypot),
    BINARY("le", sn_le),
    BINARY("logical_and", sn_logical_and),
    BINARY("logical_or", sn_logical_or),
    BINARY("logical_xor", sn_logical_xor),
    BINARY("lt", sn_lt),
    BINARY("maximum", sn_maximum),
    BINARY("minimum", sn_minimum),
    BINARY("mul", sn_mul),
    BINARY("ne", sn_ne),
    BINARY("pow", sn_pow),
    BINARY("true_divide", sn_div),
    BINARY("xlogy", sn_xlogy),
    VARIANT("max", "binary", sn_maximum),
    VARIANT("min", "binary", sn_minimum),
    FORM("div", divide),
    {"add", NULL, binary_alpha, {.binary = sn_add}},
    {"sub", NULL, binary_alpha, {.binary = sn_sub}},
    {"bitwise_left_shift", NULL, shift, {.binary = sn_shift_left}},
    {"bitwise_right_shift", NULL, shift, {.binary = sn_shift_right}},
    {"floor_divide", NULL, modulo, {.binary = sn_floor_divide}},
    {"fmod", NULL, modulo, {.binary = sn_fmod}},
    {"remainder", NULL, modulo, {.binary = sn_remainder}},
    FORM("rsub", rsub),
    FORM("clamp_min", clamp_min),
    FORM("clamp_max", clamp_max),

    FORM("clamp", clamp),
    FORM("where", where),
    FORM("masked_fill", masked_fill),
    FORM("lerp", lerp),
    FORM("addcmul", addcmul),
};

const OpinfoTable opinfo_pointwise = {rows, sizeof rows / sizeof *rows};
