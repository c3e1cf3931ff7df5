/* The one definition of every pointwise op on scalars: a table from op to a function that
 * appends its primitives. Used by lowering (so by both back ends), by the interpreter and, on
 * constants, by folding. Composed ops round each step as written, in the compute type. Ops with
 * numbers of the program's in attributes (softplus) are none: passes/rewrite/decompose_pointwise.c has made
 * others of them, so that the numbers are kernel arguments.
 *
 * Elementary functions stand in ir/scalar/exp.c and its neighbours. Where a function is rare,
 * f32 is computed in f64 and rounded. */
#include "ir/scalar/scalar.h"
#include "base/status.h"
#include "ir/kernel/form.h"
#include "ir/scalar/math.h"

#include <math.h>

/* What an expander works on. */
typedef struct Operands {
    const KValue *in; /* the inputs, KVALUE_NONE where absent */
    AttrView attrs;   /* attributes */
    sn_dtype dtype;   /* of the result */
    sn_dtype type;    /* of the inputs (WHERE: of the choices) */
} Operands;

typedef KValue Expander(KBuilder *b, const Operands *o);

static KValue false_value(KBuilder *b) {
    return kb_int(b, SN_BOOL, 0);
}
static KValue true_value(KBuilder *b) {
    return kb_int(b, SN_BOOL, 1);
}

/* x != 0 */
static KValue truth(KBuilder *b, KValue x) {
    return kb_cast(b, SN_BOOL, x);
}

static KValue not_bool(KBuilder *b, KValue x) {
    return k_xor(b, x, true_value(b));
}

/* ---- elementary functions -------------------------------------------------------------------- */

/* Bodies that hold for both float types. */
#define DIRECT(name)                                                                               \
    static KValue expand_##name(KBuilder *b, const Operands *o) {                                  \
        return k_##name(b, o->in[0]);                                                              \
    }

/* Bodies in f64. */
#define WIDE(name)                                                                                 \
    static KValue expand_##name(KBuilder *b, const Operands *o) {                                  \
        return kb_cast(b, o->type, k_##name(b, kb_cast(b, SN_F64, o->in[0])));                     \
    }
#define WIDE2(name)                                                                                \
    static KValue wide_##name(KBuilder *b, const Operands *o) {                                    \
        KValue x = kb_cast(b, SN_F64, o->in[0]);                                                   \
        KValue y = kb_cast(b, SN_F64, o->in[1]);                                                   \
        return kb_cast(b, o->type, k_##name(b, x, y));                                             \
    }

DIRECT(exp)
DIRECT(exp2)
DIRECT(expm1)
DIRECT(log)
DIRECT(log2)
DIRECT(log10)
DIRECT(log1p)
DIRECT(sin)
DIRECT(cos)
DIRECT(tan)
DIRECT(tanh)
DIRECT(erf)
DIRECT(sigmoid)
DIRECT(silu)
DIRECT(mish)
WIDE(asin)
WIDE(acos)
WIDE(atan)
WIDE(sinh)
WIDE(cosh)
WIDE(asinh)
WIDE(acosh)
WIDE(atanh)
WIDE(erfc)
WIDE2(pow)
WIDE2(atan2)
WIDE2(hypot)

/* ---- one input ------------------------------------------------------------------------------- */

static KValue expand_identity(KBuilder *b, const Operands *o) {
    (void)b;
    return o->in[0];
}

/* Primitives that leave integers and bool as they are. */
static KValue expand_rounding(KBuilder *b, const Operands *o, OpCode op) {
    return dtype_is_float(o->type) ? kb_op1(b, op, o->in[0]) : o->in[0];
}
static KValue expand_floor(KBuilder *b, const Operands *o) {
    return expand_rounding(b, o, OP_FLOOR);
}
static KValue expand_ceil(KBuilder *b, const Operands *o) {
    return expand_rounding(b, o, OP_CEIL);
}
static KValue expand_round(KBuilder *b, const Operands *o) {
    return expand_rounding(b, o, OP_ROUND);
}
static KValue expand_trunc(KBuilder *b, const Operands *o) {
    return expand_rounding(b, o, OP_TRUNC);
}
static KValue expand_abs(KBuilder *b, const Operands *o) {
    return dtype_is_signed(o->type) ? k_abs(b, o->in[0]) : o->in[0];
}

/* (x > 0) - (x < 0): NaN and -0 give +0. */
static KValue expand_sign(KBuilder *b, const Operands *o) {
    KValue x = o->in[0];
    if (o->type == SN_BOOL) return x;
    KValue zero = k_int(b, x, 0), one = k_int(b, x, 1);
    KValue positive = kb_op2(b, OP_GT, x, zero);
    if (!dtype_is_signed(o->type)) return k_where(b, positive, one, zero);
    KValue low = k_where(b, kb_op2(b, OP_LT, x, zero), k_int(b, x, -1), zero);
    return k_where(b, positive, one, low);
}

static KValue expand_square(KBuilder *b, const Operands *o) {
    return k_mul(b, o->in[0], o->in[0]);
}
static KValue expand_reciprocal(KBuilder *b, const Operands *o) {
    return k_div(b, k_num(b, o->in[0], 1.0), o->in[0]);
}
static KValue expand_rsqrt(KBuilder *b, const Operands *o) {
    return k_div(b, k_num(b, o->in[0], 1.0), k_sqrt(b, o->in[0]));
}
static KValue expand_frac(KBuilder *b, const Operands *o) {
    return k_sub(b, o->in[0], kb_op1(b, OP_TRUNC, o->in[0]));
}

/* max(x, 0) with the primitive's bits: NaN stays, -0 gives +0. */
static KValue relu(KBuilder *b, KValue x) {
    if (!dtype_is_signed(kb_dtype(b, x))) return x;
    KValue zero = k_int(b, x, 0);
    return k_where(b, kb_op2(b, OP_LE, x, zero), zero, x);
}
static KValue expand_relu(KBuilder *b, const Operands *o) {
    return relu(b, o->in[0]);
}
static KValue expand_relu6(KBuilder *b, const Operands *o) {
    KValue x = relu(b, o->in[0]);
    return o->type == SN_BOOL ? x : k_at_most(b, x, 6.0);
}

static KValue expand_isnan(KBuilder *b, const Operands *o) {
    KValue x = o->in[0];
    return dtype_is_float(o->type) ? kb_op2(b, OP_NE, x, x) : false_value(b);
}
static KValue expand_isinf(KBuilder *b, const Operands *o) {
    if (!dtype_is_float(o->type)) return false_value(b);
    return k_num2(b, OP_EQ, k_abs(b, o->in[0]), INFINITY);
}
static KValue expand_isfinite(KBuilder *b, const Operands *o) {
    if (!dtype_is_float(o->type)) return true_value(b);
    return k_num2(b, OP_LT, k_abs(b, o->in[0]), INFINITY);
}
static KValue expand_signbit(KBuilder *b, const Operands *o) {
    if (!dtype_is_signed(o->type)) return false_value(b);
    KValue bits = dtype_is_float(o->type) ? k_bits(b, o->in[0]) : o->in[0];
    return k_int2(b, OP_LT, bits, 0);
}

static KValue expand_logical_not(KBuilder *b, const Operands *o) {
    return k_int2(b, OP_EQ, o->in[0], 0);
}
static KValue expand_bitwise_not(KBuilder *b, const Operands *o) {
    return k_int2(b, OP_BITWISE_XOR, o->in[0], o->type == SN_BOOL ? 1 : -1);
}
static KValue expand_cast(KBuilder *b, const Operands *o) {
    return kb_cast(b, (sn_dtype)attr_int(o->attrs, ATTR_DTYPE), o->in[0]);
}
static KValue expand_bitcast(KBuilder *b, const Operands *o) {
    return kb_bitcast(b, o->dtype, o->in[0]);
}

/* ---- activations ----------------------------------------------------------------------------- */

static KValue expand_softsign(KBuilder *b, const Operands *o) {
    KValue x = o->in[0];
    return k_div(b, x, k_num2(b, OP_ADD, k_abs(b, x), 1.0));
}

/* min(max(x + 3, 0), 6) / 6 */
static KValue hardsigmoid(KBuilder *b, KValue x) {
    KValue shifted = relu(b, k_num2(b, OP_ADD, x, 3.0));
    return k_num2(b, OP_DIV, k_at_most(b, shifted, 6.0), 6.0);
}
static KValue expand_hardsigmoid(KBuilder *b, const Operands *o) {
    return hardsigmoid(b, o->in[0]);
}
static KValue expand_hardswish(KBuilder *b, const Operands *o) {
    return k_mul(b, o->in[0], hardsigmoid(b, o->in[0]));
}

/* log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|)): neither side overflows or cancels. */
static KValue expand_logsigmoid(KBuilder *b, const Operands *o) {
    KValue x = o->in[0];
    KValue zero = k_num(b, x, 0.0);
    KValue low = k_where(b, kb_op2(b, OP_GT, x, zero), zero, x);
    KValue e = k_exp_not_positive(b, k_neg(b, k_abs(b, x)));
    return k_sub(b, low, k_log1p(b, e));
}

/* x Phi(x), or with tanh in place of erf (Hendrycks & Gimpel 2016). */
static KValue expand_gelu(KBuilder *b, const Operands *o) {
    bool by_erf = attr_int(o->attrs, ATTR_FORM) == GELU_ERF;
    return by_erf ? k_gelu(b, o->in[0]) : k_gelu_tanh(b, o->in[0]);
}

/* ---- two and more inputs --------------------------------------------------------------------- */

/* The quotient as rounded may have reached the integer above the true one, never one further: then
 * the rest x - n y, whose sign an fma gives exactly, is on the wrong side of 0. So this is Python's
 * and PyTorch's floor division, 1 // 0.1 = 9, without their remainder: infinite over finite is NaN,
 * finite over infinite -1 where the signs differ. */
static KValue floor_divide_float(KBuilder *b, KValue x, KValue y) {
    KValue zero = k_num(b, x, 0.0);
    KValue n = kb_op1(b, OP_FLOOR, k_div(b, x, y));
    KValue infinite = k_num2(b, OP_EQ, k_abs(b, y), INFINITY);
    KValue rest = k_where(b, infinite, x, k_fma(b, k_neg(b, n), y, x));
    KValue differ = kb_op2(b, OP_NE, kb_op2(b, OP_LT, rest, zero), kb_op2(b, OP_LT, y, zero));
    differ = k_and(b, differ, kb_op2(b, OP_NE, rest, zero));
    KValue value = k_where(b, differ, k_num2(b, OP_SUB, n, 1.0), n);
    KValue lost = k_and(b, kb_op2(b, OP_NE, rest, rest), kb_op2(b, OP_NE, y, zero));
    return k_where(b, lost, rest, value);
}

/* Integer division rounds towards zero: one less where the signs differ and it is not exact. */
static KValue expand_floor_divide(KBuilder *b, const Operands *o) {
    KValue x = o->in[0], y = o->in[1];
    if (dtype_is_float(o->type)) return floor_divide_float(b, x, y);
    if (o->type == SN_BOOL) return k_and(b, x, y);
    KValue quotient = kb_op2(b, OP_INT_DIV, x, y);
    if (!dtype_is_signed(o->type)) return quotient;
    KValue rest = kb_op2(b, OP_FMOD, x, y);
    KValue differ = k_int2(b, OP_LT, k_xor(b, rest, y), 0);
    differ = k_and(b, differ, k_int2(b, OP_NE, rest, 0));
    return k_where(b, differ, k_int2(b, OP_SUB, quotient, 1), quotient);
}

static KValue expand_fmod(KBuilder *b, const Operands *o) {
    if (o->type == SN_BOOL) return false_value(b);
    return kb_op2(b, OP_FMOD, o->in[0], o->in[1]);
}

/* A zero keeps the sign that fmod gives it. */
static KValue expand_remainder(KBuilder *b, const Operands *o) {
    KValue y = o->in[1];
    KValue rest = expand_fmod(b, o);
    if (!dtype_is_signed(o->type)) return rest;
    KValue zero = k_int(b, y, 0);
    KValue differ = kb_op2(b, OP_NE, kb_op2(b, OP_LT, rest, zero), kb_op2(b, OP_LT, y, zero));
    differ = k_and(b, differ, kb_op2(b, OP_NE, rest, zero));
    return k_where(b, differ, k_add(b, rest, y), rest);
}

static KValue expand_pow(KBuilder *b, const Operands *o) {
    if (dtype_is_float(o->type)) return wide_pow(b, o);
    if (o->type == SN_BOOL) return k_or(b, o->in[0], not_bool(b, o->in[1]));
    return k_pow_int(b, o->in[0], o->in[1]);
}

static KValue expand_logical_and(KBuilder *b, const Operands *o) {
    return k_and(b, truth(b, o->in[0]), truth(b, o->in[1]));
}
static KValue expand_logical_or(KBuilder *b, const Operands *o) {
    return k_or(b, truth(b, o->in[0]), truth(b, o->in[1]));
}
static KValue expand_logical_xor(KBuilder *b, const Operands *o) {
    return k_xor(b, truth(b, o->in[0]), truth(b, o->in[1]));
}

static KValue expand_where(KBuilder *b, const Operands *o) {
    return k_where(b, truth(b, o->in[0]), o->in[1], o->in[2]);
}
static KValue expand_clamp(KBuilder *b, const Operands *o) {
    KValue x = o->in[0];
    if (o->in[1] != KVALUE_NONE) x = kb_op2(b, OP_MAXIMUM, x, o->in[1]);
    if (o->in[2] != KVALUE_NONE) x = kb_op2(b, OP_MINIMUM, x, o->in[2]);
    return x;
}

/* From the nearer end, as PyTorch: x + weight * (y - x), or y - (1 - weight) * (y - x), so that both ends are
 * met, and zeros have the sign of that. y - x in bool, where there is no subtraction, is exclusive or: the
 * weight then chooses. */
static KValue expand_lerp(KBuilder *b, const Operands *o) {
    KValue x = o->in[0], y = o->in[1], weight = o->in[2];
    if (o->type == SN_BOOL) return k_where(b, weight, y, x);
    KValue near_x = kb_op2(b, OP_LT, k_abs(b, weight), k_num(b, weight, 0.5));
    KValue end = k_where(b, near_x, x, y);
    KValue rest = k_neg(b, k_sub(b, k_num(b, weight, 1.0), weight));
    KValue share = k_where(b, near_x, weight, rest);
    return k_add(b, end, k_mul(b, share, k_sub(b, y, x)));
}
static KValue expand_xlogy(KBuilder *b, const Operands *o) {
    KValue x = o->in[0], y = o->in[1];
    KValue zero = k_num(b, x, 0.0);
    KValue vanishes = k_and(b, kb_op2(b, OP_EQ, x, zero), kb_op2(b, OP_EQ, y, y));
    return k_where(b, vanishes, zero, k_mul(b, x, k_log(b, y)));
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Rows that are absent here are primitives, emitted as they are. */
static Expander *const expanders[OP_COUNT] = {
    [OP_ABS] = expand_abs,
    [OP_SIGN] = expand_sign,
    [OP_SQUARE] = expand_square,
    [OP_RECIPROCAL] = expand_reciprocal,
    [OP_RSQRT] = expand_rsqrt,
    [OP_EXP] = expand_exp,
    [OP_EXP2] = expand_exp2,
    [OP_EXPM1] = expand_expm1,
    [OP_LOG] = expand_log,
    [OP_LOG2] = expand_log2,
    [OP_LOG10] = expand_log10,
    [OP_LOG1P] = expand_log1p,
    [OP_SIN] = expand_sin,
    [OP_COS] = expand_cos,
    [OP_TAN] = expand_tan,
    [OP_ASIN] = expand_asin,
    [OP_ACOS] = expand_acos,
    [OP_ATAN] = expand_atan,
    [OP_SINH] = expand_sinh,
    [OP_COSH] = expand_cosh,
    [OP_TANH] = expand_tanh,
    [OP_ASINH] = expand_asinh,
    [OP_ACOSH] = expand_acosh,
    [OP_ATANH] = expand_atanh,
    [OP_ERF] = expand_erf,
    [OP_ERFC] = expand_erfc,
    [OP_SIGMOID] = expand_sigmoid,
    [OP_RELU] = expand_relu,
    [OP_FLOOR] = expand_floor,
    [OP_CEIL] = expand_ceil,
    [OP_ROUND] = expand_round,
    [OP_TRUNC] = expand_trunc,
    [OP_FRAC] = expand_frac,
    [OP_ISNAN] = expand_isnan,
    [OP_ISINF] = expand_isinf,
    [OP_ISFINITE] = expand_isfinite,
    [OP_SIGNBIT] = expand_signbit,
    [OP_LOGICAL_NOT] = expand_logical_not,
    [OP_BITWISE_NOT] = expand_bitwise_not,
    [OP_CAST] = expand_cast,
    [OP_BITCAST] = expand_bitcast,
    [OP_SOFTSIGN] = expand_softsign,
    [OP_SILU] = expand_silu,
    [OP_MISH] = expand_mish,
    [OP_RELU6] = expand_relu6,
    [OP_HARDSIGMOID] = expand_hardsigmoid,
    [OP_HARDSWISH] = expand_hardswish,
    [OP_LOGSIGMOID] = expand_logsigmoid,
    [OP_GELU] = expand_gelu,
    [OP_FLOOR_DIVIDE] = expand_floor_divide,
    [OP_FMOD] = expand_fmod,
    [OP_REMAINDER] = expand_remainder,
    [OP_POW] = expand_pow,
    [OP_ATAN2] = wide_atan2,
    [OP_HYPOT] = wide_hypot,
    [OP_LOGICAL_AND] = expand_logical_and,
    [OP_LOGICAL_OR] = expand_logical_or,
    [OP_LOGICAL_XOR] = expand_logical_xor,
    [OP_WHERE] = expand_where,
    [OP_CLAMP] = expand_clamp,
    [OP_LERP] = expand_lerp,
    [OP_XLOGY] = expand_xlogy,
    [OP_CLONE] = expand_identity,
};

static KValue expand_primitive(KBuilder *b, OpCode op, const KValue *in, int32_t n_inputs) {
    if (n_inputs == 1) return kb_op1(b, op, in[0]);
    if (n_inputs == 2) return kb_op2(b, op, in[0], in[1]);
    return kb_op3(b, op, in[0], in[1], in[2]);
}

KValue scalar_expand(KBuilder *b, OpCode op, sn_dtype dtype, const KValue *inputs, int32_t n_inputs,
                     AttrView attrs, sn_error *error) {
    if ((uint32_t)op >= OP_COUNT || !(expanders[op] || op_has(op, F_PRIM)) ||
        n_inputs != op_operands(op)->count || n_inputs < 1) {
        error_set(error, SN_ERROR_INTERNAL, "scalar_expand: %s with %d inputs is no scalar op",
                  (uint32_t)op < OP_COUNT ? op_info[op].name : "?", (int)n_inputs);
        return KVALUE_NONE;
    }
    Operands o = {inputs, attrs, dtype, kb_dtype(b, inputs[kop_first_typed(op)])};
    KValue value;
    if (expanders[op])
        value = expanders[op](b, &o);
    else
        value = expand_primitive(b, op, inputs, n_inputs);
    if (value == KVALUE_NONE)
        error_set(error, SN_ERROR_INTERNAL, "scalar_expand: %s of %s cannot be built",
                  op_info[op].name, sn_dtype_name(o.type));
    return value;
}
