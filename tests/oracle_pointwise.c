/* Pointwise ops of the oracle: one element at a time. What the op table calls exact is computed in
 * the op's own type with one rounding a step; elementary functions in long double, with a bound in
 * units of the last place. */
#include "tests/oracle_pointwise.h"

#include "ir/op/dtype.h"

#include <math.h>
#include <string.h>

/* One element. */
typedef struct Element {
    const OracleCall *call; /* the op */
    sn_dtype type;          /* operands are converted to it */
    sn_dtype compute;       /* floats: f32 or f64 */
    OracleNumber x, y, z;   /* operands in that type */
    bool has_y, has_z;      /* those that are there */
    long double bound;      /* of the result; 0 = exact */
    bool unknown;           /* nothing here says what the op is of that type */
} Element;

/* ---- arithmetic in f32 or f64 ---------------------------------------------------------------- */

#define ARITHMETIC(name, operator)                                                                 \
    static long double name(sn_dtype c, long double x, long double y) {                            \
        if (c == SN_F64) return (long double)((double)x operator(double) y);                       \
        return (long double)((float)x operator(float) y);                                          \
    }
ARITHMETIC(plus, +)
ARITHMETIC(minus, -)
ARITHMETIC(times, *)
ARITHMETIC(over, /)
#undef ARITHMETIC

static long double root(sn_dtype c, long double x) {
    return c == SN_F64 ? (long double)sqrt((double)x) : (long double)sqrtf((float)x);
}

static long double in_type(sn_dtype c, double x) {
    return c == SN_F64 ? (long double)x : (long double)(float)x;
}

static long double larger(long double x, long double y) {
    if (isnan(x) || isnan(y)) return NAN;
    if (x == y) return signbit(x) ? y : x;
    return x > y ? x : y;
}

static long double smaller(long double x, long double y) {
    if (isnan(x) || isnan(y)) return NAN;
    if (x == y) return signbit(x) ? x : y;
    return x < y ? x : y;
}

/* ---- elementary functions -------------------------------------------------------------------- */

static long double sigmoid(long double x) {
    return 1 / (1 + expl(-x));
}

/* Functions of one float, and how many units of the last place an implementation may be off. */
static const struct {
    OpCode op;                         /* the op */
    long double (*value)(long double); /* by the C library */
    int ulps;                          /* allowed */
} functions[] = {
    {OP_EXP, expl, 1},     {OP_EXP2, exp2l, 2},      {OP_EXPM1, expm1l, 2}, {OP_LOG, logl, 1},
    {OP_LOG2, log2l, 2},   {OP_LOG10, log10l, 2},    {OP_LOG1P, log1pl, 2}, {OP_SIN, sinl, 2},
    {OP_COS, cosl, 2},     {OP_TAN, tanl, 3},        {OP_ASIN, asinl, 3},   {OP_ACOS, acosl, 3},
    {OP_ATAN, atanl, 3},   {OP_SINH, sinhl, 3},      {OP_COSH, coshl, 3},   {OP_TANH, tanhl, 2},
    {OP_ASINH, asinhl, 4}, {OP_ACOSH, acoshl, 4},    {OP_ATANH, atanhl, 4}, {OP_ERF, erfl, 1},
    {OP_ERFC, erfcl, 4},   {OP_SIGMOID, sigmoid, 4},
};

static long double ulps(const Element *e, long double value, long double count) {
    return count * oracle_ulp(e->compute, value);
}

/* ---- floats ---------------------------------------------------------------------------------- */

static long double float_remainder(const Element *e) {
    long double rest = fmodl(e->x.real, e->y.real);
    bool differ = rest != 0 && (rest < 0) != (e->y.real < 0);
    return differ ? plus(e->compute, rest, e->y.real) : rest;
}

/* The floor of the exact quotient, by way of the remainder; from where floats are integers on, to
 * the last place. */
static long double float_floor_divide(Element *e) {
    long double x = e->x.real, y = e->y.real, quotient = over(e->compute, x, y);
    if (y == 0 || isnan(quotient)) return quotient;
    long double rest = fmodl(x, y);
    bool differ = rest != 0 && (rest < 0) != (y < 0);
    long double whole = roundl((x - rest) / y) - differ;
    if (fabsl(whole) >= 1 / oracle_epsilon(e->compute)) e->bound = ulps(e, whole, 1);
    return whole == 0 ? copysignl(0, quotient) : whole;
}

static long double softplus(Element *e) {
    long double beta = in_type(e->compute, oracle_double(e->call, ATTR_BETA));
    long double threshold = in_type(e->compute, oracle_double(e->call, ATTR_THRESHOLD));
    long double scaled = times(e->compute, e->x.real, beta);
    if (scaled > threshold) return e->x.real;
    long double value = log1pl(expl(scaled)) / beta;
    bool overflows = scaled > (e->compute == SN_F64 ? 709 : 88);
    e->bound = overflows
                   ? INFINITY
                   : ulps(e, value, 6 + 2 * fabsl(scaled)) + oracle_tiny(e->compute) / fabsl(beta);
    return value;
}

/* x times a step from 0 to 1. */
static long double gated(Element *e, long double step) {
    long double value = e->x.real * step;
    e->bound = isinf(e->x.real) ? 0 : ulps(e, value, 3);
    return value;
}

static long double gelu(Element *e) {
    long double x = e->x.real, step;
    if (oracle_int(e->call, ATTR_FORM) == GELU_ERF)
        step = erfcl(-x * sqrtl(0.5L)) / 2;
    else
        step = sigmoid(1.595769121605730711759784239727527474L * (x + 0.044715L * x * x * x));
    return gated(e, step);
}

static long double logsigmoid(Element *e) {
    long double x = e->x.real, value = (x > 0 ? 0 : x) - log1pl(expl(-fabsl(x)));
    e->bound = ulps(e, value, 4) + oracle_tiny(e->compute);
    return value;
}

static long double hardsigmoid(const Element *e) {
    sn_dtype c = e->compute;
    long double shifted = plus(c, e->x.real, 3);
    if (shifted <= 0) shifted = 0;
    return over(c, isnan(shifted) ? shifted : shifted > 6 ? 6 : shifted, 6);
}

static long double mish(Element *e) {
    return gated(e, tanhl(log1pl(expl(e->x.real))));
}

static long double bounded(Element *e, long double value, long double count) {
    e->bound = ulps(e, value, count);
    return value;
}

static long double silu(Element *e) {
    return gated(e, sigmoid(e->x.real));
}

static long double xlogy(Element *e) {
    if (e->x.real == 0 && !isnan(e->y.real)) return 0;
    return bounded(e, e->x.real * logl(e->y.real), 3);
}

static long double elu(Element *e) {
    long double x = e->x.real, alpha = in_type(e->compute, oracle_double(e->call, ATTR_ALPHA));
    return x > 0 ? x : bounded(e, expm1l(x) * alpha, 5);
}

static long double sign_of(long double x) {
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

static long double clamp_between(long double x, long double low, long double high) {
    return smaller(larger(x, low), high);
}

/* Of a value, alone. */
static long double float_of_one(Element *e) {
    const OracleCall *call = e->call;
    sn_dtype c = e->compute;
    long double x = e->x.real;
    switch (call->op) {
    case OP_NEG:
        return -x;
    case OP_ABS:
        return fabsl(x);
    case OP_SIGN:
        return sign_of(x);
    case OP_SQUARE:
        return times(c, x, x);
    case OP_RECIPROCAL:
        return over(c, 1, x);
    case OP_SQRT:
        return root(c, x);
    case OP_RSQRT:
        return over(c, 1, root(c, x));
    case OP_RELU:
        return larger(x, 0);
    case OP_RELU6:
        return clamp_between(x, 0, 6);
    case OP_FLOOR:
        return floorl(x);
    case OP_CEIL:
        return ceill(x);
    case OP_ROUND:
        return rintl(x);
    case OP_TRUNC:
        return truncl(x);
    case OP_FRAC:
        return minus(c, x, truncl(x));
    case OP_CLONE:
        return x;
    case OP_SOFTSIGN:
        return over(c, x, plus(c, 1, fabsl(x)));
    case OP_SILU:
        return silu(e);
    case OP_MISH:
        return mish(e);
    case OP_HARDSIGMOID:
        return hardsigmoid(e);
    case OP_HARDSWISH:
        return times(c, x, hardsigmoid(e));
    case OP_LOGSIGMOID:
        return logsigmoid(e);
    case OP_GELU:
        return gelu(e);
    case OP_SOFTPLUS:
        return softplus(e);
    case OP_LEAKY_RELU:
        return x > 0 ? x : times(c, x, in_type(c, oracle_double(call, ATTR_SLOPE)));
    case OP_ELU:
        return elu(e);
    case OP_HARDTANH:
        return clamp_between(x, in_type(c, oracle_double(call, ATTR_LOW)),
                             in_type(c, oracle_double(call, ATTR_HIGH)));
    default:
        e->unknown = true;
        return NAN;
    }
}

/* Of values that meet. */
static long double float_of_several(Element *e) {
    const OracleCall *call = e->call;
    sn_dtype c = e->compute;
    long double x = e->x.real, y = e->y.real, z = e->z.real;
    switch (call->op) {
    case OP_ADD:
        return plus(c, x, y);
    case OP_SUB:
        return minus(c, x, y);
    case OP_MUL:
        return times(c, x, y);
    case OP_DIV:
        return over(c, x, y);
    case OP_FLOOR_DIVIDE:
        return float_floor_divide(e);
    case OP_FMOD:
        return fmodl(x, y);
    case OP_REMAINDER:
        return float_remainder(e);
    case OP_POW:
        /* glibc's powl gives inf for (-inf)^-2^63. */
        if (isinf(x)) return (long double)pow((double)x, (double)y);
        return bounded(e, powl(x, y), 4);
    case OP_MAXIMUM:
        return larger(x, y);
    case OP_MINIMUM:
        return smaller(x, y);
    case OP_ATAN2:
        return bounded(e, atan2l(x, y), 4);
    case OP_HYPOT:
        return bounded(e, hypotl(x, y), 2);
    case OP_COPYSIGN:
        return copysignl(x, y);
    case OP_WHERE:
        return x;
    case OP_CLAMP:
        if (e->has_y) x = larger(x, y);
        return e->has_z ? smaller(x, z) : x;
    case OP_LERP:
        if (fabsl(z) < 0.5L) return plus(c, x, times(c, z, minus(c, y, x)));
        return minus(c, y, times(c, minus(c, y, x), minus(c, 1, z)));
    case OP_ADDCMUL:
        return plus(c, x, times(c, times(c, in_type(c, oracle_double(call, ATTR_VALUE)), y), z));
    case OP_XLOGY:
        return xlogy(e);
    default:
        e->unknown = true;
        return NAN;
    }
}

static long double float_value(Element *e) {
    long double x = e->x.real;
    OpCode op = e->call->op;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (functions[i].op == op) {
            long double value = functions[i].value(x);
            bool exact = !isfinite(x) || (x == 0 && value == 0);
            return exact ? value : bounded(e, value, functions[i].ulps);
        }
    return op_operands(op)->count == 1 ? float_of_one(e) : float_of_several(e);
}

/* ---- integers -------------------------------------------------------------------------------- */

static int64_t floor_divide(int64_t x, int64_t y) {
    if (y == 0) return 0;
    if (y == -1) return (int64_t)(0 - (uint64_t)x);
    int64_t quotient = x / y;
    return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

static int64_t int_fmod(int64_t x, int64_t y) {
    return y == 0 || y == -1 ? 0 : x % y;
}

static int64_t int_remainder(int64_t x, int64_t y) {
    int64_t rest = int_fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

static int64_t int_pow(sn_dtype type, int64_t x, int64_t y) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
    uint64_t power = 1, base = (uint64_t)x;
    for (uint64_t left = (uint64_t)y; left; left >>= 1, base *= base)
        if (left & 1) power *= base;
    return oracle_wrap(type, power);
}

static int64_t shift(OpCode op, sn_dtype type, int64_t x, int64_t y) {
    int64_t width = 8 * (int64_t)sn_dtype_size(type);
    bool outside = y < 0 || y >= width;
    if (op == OP_SHIFT_LEFT) return outside ? 0 : oracle_wrap(type, (uint64_t)x << y);
    if (outside) return x < 0 ? -1 : 0;
    return x < 0 ? ~(~x >> y) : x >> y;
}

static int64_t integer_value(Element *e) {
    const OracleCall *call = e->call;
    sn_dtype t = e->type;
    int64_t x = e->x.integer, y = e->y.integer, z = e->z.integer;
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    bool is_bool = t == SN_BOOL;
    switch (call->op) {
    case OP_NEG:
        return oracle_wrap(t, 0 - ux);
    case OP_ABS:
        return x < 0 ? oracle_wrap(t, 0 - ux) : x;
    case OP_SIGN:
        return (x > 0) - (x < 0);
    case OP_SQUARE:
        return is_bool ? x : oracle_wrap(t, ux * ux);
    case OP_RELU:
        return x > 0 ? x : 0;
    case OP_RELU6:
        return x < 0 ? 0 : x > 6 ? 6 : x;
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
    case OP_TRUNC:
    case OP_WHERE:
    case OP_CLONE:
        return x;
    case OP_HARDTANH: {
        int64_t low = oracle_of_double(t, oracle_double(call, ATTR_LOW)).integer;
        int64_t high = oracle_of_double(t, oracle_double(call, ATTR_HIGH)).integer;
        int64_t at_least = x < low ? low : x;
        return at_least > high ? high : at_least;
    }
    case OP_BITWISE_NOT:
        return is_bool ? !x : oracle_wrap(t, ~ux);
    case OP_ADD:
        return is_bool ? x | y : oracle_wrap(t, ux + uy);
    case OP_SUB:
        return oracle_wrap(t, ux - uy);
    case OP_MUL:
        return oracle_wrap(t, ux * uy);
    case OP_FLOOR_DIVIDE:
        return oracle_wrap(t, (uint64_t)floor_divide(x, y));
    case OP_FMOD:
        return int_fmod(x, y);
    case OP_REMAINDER:
        return int_remainder(x, y);
    case OP_POW:
        return int_pow(t, x, y);
    case OP_MAXIMUM:
        return x > y ? x : y;
    case OP_MINIMUM:
        return x < y ? x : y;
    case OP_BITWISE_AND:
        return x & y;
    case OP_BITWISE_OR:
        return x | y;
    case OP_BITWISE_XOR:
        return x ^ y;
    case OP_SHIFT_LEFT:
    case OP_SHIFT_RIGHT:
        return shift(call->op, t, x, y);
    case OP_CLAMP:
        if (e->has_y && x < y) x = y;
        return e->has_z && x > z ? z : x;
    case OP_ADDCMUL: {
        uint64_t value =
            (uint64_t)oracle_of_double(SN_I64, oracle_double(call, ATTR_VALUE)).integer;
        return oracle_wrap(t, ux + value * uy * (uint64_t)z);
    }
    default:
        e->unknown = true;
        return x;
    }
}

/* ---- truth ----------------------------------------------------------------------------------- */

static int compare(const Element *e) {
    if (dtype_is_float(e->type)) return (e->x.real > e->y.real) - (e->x.real < e->y.real);
    return (e->x.integer > e->y.integer) - (e->x.integer < e->y.integer);
}

static bool truth_value(Element *e) {
    bool real = dtype_is_float(e->type);
    bool ordered = !real || (!isnan(e->x.real) && (!e->has_y || !isnan(e->y.real)));
    bool x = real ? e->x.real != 0 : e->x.integer != 0;
    bool y = real ? e->y.real != 0 : e->y.integer != 0;
    switch (e->call->op) {
    case OP_ISNAN:
        return real && isnan(e->x.real);
    case OP_ISINF:
        return real && isinf(e->x.real);
    case OP_ISFINITE:
        return !real || isfinite(e->x.real);
    case OP_SIGNBIT:
        return real ? signbit(e->x.real) != 0 : e->x.integer < 0;
    case OP_LOGICAL_NOT:
        return !x;
    case OP_LOGICAL_AND:
        return x && y;
    case OP_LOGICAL_OR:
        return x || y;
    case OP_LOGICAL_XOR:
        return x != y;
    case OP_EQ:
        return ordered && compare(e) == 0;
    case OP_NE:
        return !ordered || compare(e) != 0;
    case OP_LT:
        return ordered && compare(e) < 0;
    case OP_LE:
        return ordered && compare(e) <= 0;
    case OP_GT:
        return ordered && compare(e) > 0;
    case OP_GE:
        return ordered && compare(e) >= 0;
    default:
        e->unknown = true;
        return false;
    }
}

/* ---- the rule -------------------------------------------------------------------------------- */

/* The type in which operands meet: the result's, but for ops that answer yes or no. */
static sn_dtype meeting_type(const OracleCall *call) {
    if (op_info[call->op].dtype_rule != DTYPE_BOOL) return call->out->dtype;
    sn_dtype dtypes[3];
    uint8_t strengths[3];
    for (int32_t i = 0; i < call->n_in && i < 3; i++) {
        dtypes[i] = call->in[i].dtype;
        strengths[i] = call->weak >> i & 1     ? STRENGTH_WEAK
                       : call->in[i].rank == 0 ? STRENGTH_ZERO_DIM
                                               : STRENGTH_FULL;
    }
    return dtype_result(dtypes, strengths, call->n_in);
}

/* What a scalar is that the type does not hold in which operands meet: docs/numerics.md. */
typedef enum ScalarRule { TAKEN_EXACTLY, TAKEN_ROUNDED, TAKEN_WRAPPED, TAKEN_NEAREST } ScalarRule;

static ScalarRule scalar_rule(OpCode op) {
    switch (op) {
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        return TAKEN_ROUNDED; /* of floats; integers exactly */
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_ADDCMUL:
    case OP_BITWISE_AND:
    case OP_BITWISE_OR:
    case OP_BITWISE_XOR:
        return TAKEN_WRAPPED;
    case OP_MAXIMUM:
    case OP_MINIMUM:
    case OP_CLAMP:
        return TAKEN_NEAREST;
    default:
        return TAKEN_EXACTLY;
    }
}

/* The type in which a scalar takes part where the operands meet in `type`. */
static sn_dtype scalar_type(OpCode op, sn_dtype type) {
    ScalarRule rule = scalar_rule(op);
    if (dtype_is_float(type)) return rule == TAKEN_ROUNDED ? type : oracle_compute(type);
    bool exactly = rule == TAKEN_EXACTLY || rule == TAKEN_ROUNDED;
    return dtype_is_int(type) && exactly ? SN_I64 : type;
}

/* The value of an integer dtype that is nearest to an integer. */
static OracleNumber nearest(sn_dtype type, int64_t integer) {
    if (type == SN_I64) return (OracleNumber){0, integer};
    return oracle_of_double(type, (double)integer); /* far beyond them where it is rounded */
}

static OracleNumber operand(const OracleCall *call, int32_t i, const int64_t *index,
                            sn_dtype type) {
    const OracleTensor *x = &call->in[i];
    OracleNumber number = oracle_number(x, oracle_broadcast(x, index, call->out->rank));
    if (x->rank > 0 || call->op == OP_WHERE) return oracle_convert(type, x->dtype, number);
    if (scalar_rule(call->op) == TAKEN_NEAREST && dtype_is_int(type) && dtype_is_int(x->dtype))
        return nearest(type, number.integer);
    return oracle_convert(scalar_type(call->op, type), x->dtype, number);
}

/* Beside a scalar that is taken exactly integers are. */
static sn_dtype computing_type(const OracleCall *call, sn_dtype type) {
    if (!dtype_is_int(type) || call->op == OP_WHERE) return type;
    for (int32_t i = 0; i < call->n_in; i++)
        if (call->in[i].rank == 0) return scalar_type(call->op, type);
    return type;
}

static void evaluate(Element *e, int64_t i) {
    OracleTensor *out = e->call->out;
    if (op_info[e->call->op].dtype_rule == DTYPE_BOOL)
        out->integer[i] = truth_value(e);
    else if (dtype_is_float(out->dtype)) {
        long double value = float_value(e);
        /* A result of the compute type is rounded to it before it is rounded to a half. */
        if (e->bound == 0) value = oracle_round_to(e->compute, value);
        oracle_put_real(out, i, value, e->bound);
    } else {
        out->integer[i] = oracle_wrap(out->dtype, (uint64_t)integer_value(e));
    }
}

static OracleStatus pointwise(const OracleCall *call) {
    const OracleTensor *out = call->out;
    bool where = call->op == OP_WHERE;
    Element e = {.call = call, .type = computing_type(call, meeting_type(call))};
    e.compute = oracle_compute(e.type);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        e.bound = 0;
        if (where) {
            bool first = operand(call, 0, index, SN_BOOL).integer != 0;
            e.x = operand(call, first ? 1 : 2, index, e.type);
        } else {
            e.x = operand(call, 0, index, e.type);
            e.has_y = !oracle_absent(call, 1);
            e.has_z = !oracle_absent(call, 2);
            if (e.has_y) e.y = operand(call, 1, index, e.type);
            if (e.has_z) e.z = operand(call, 2, index, e.type);
        }
        evaluate(&e, i);
    }
    return e.unknown ? ORACLE_UNKNOWN : ORACLE_OK;
}

static OracleStatus cast(const OracleCall *call) {
    for (int64_t i = 0; i < call->out->count; i++)
        oracle_put(
            call->out, i,
            oracle_convert(call->out->dtype, call->in[0].dtype, oracle_number(&call->in[0], i)));
    return ORACLE_OK;
}

OracleRule *oracle_pointwise_rule(OpCode op) {
    if (op == OP_CAST) return cast;
    return op_is(op, CLASS_POINTWISE) ? pointwise : NULL;
}
