/* The value of every scalar primitive on constants, bit for bit what the back ends compute: used by
 * constant folding and by the kernel interpreter. A primitive is a row of functions by type class;
 * must be compiled without contraction (-ffp-contract=off). NaN payloads are unspecified. */
#include "base/assert.h"
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"

#include <float.h>
#include <math.h>

_Static_assert(FLT_EVAL_METHOD == 0, "float arithmetic is carried out in its own type");

/* ---- floating point: one function for f32 and one for f64 ------------------------------------ */

#define FLOAT_PRIM(name, in_f32, in_f64)                                                           \
    static float f32_##name(float x, float y, float z) {                                           \
        (void)x, (void)y, (void)z;                                                                 \
        return in_f32;                                                                             \
    }                                                                                              \
    static double f64_##name(double x, double y, double z) {                                       \
        (void)x, (void)y, (void)z;                                                                 \
        return in_f64;                                                                             \
    }

FLOAT_PRIM(add, x + y, x + y)
FLOAT_PRIM(sub, x - y, x - y)
FLOAT_PRIM(mul, (x * y), (x * y))
FLOAT_PRIM(div, x / y, x / y)
FLOAT_PRIM(fma, fmaf(x, y, z), fma(x, y, z))
FLOAT_PRIM(scale, isnan(y) ? x : ldexpf(x, (int)y), isnan(y) ? x : ldexp(x, (int)y))
FLOAT_PRIM(sqrt, sqrtf(x), sqrt(x))
FLOAT_PRIM(fmod, fmodf(x, y), fmod(x, y))
FLOAT_PRIM(floor, floorf(x), floor(x))
FLOAT_PRIM(ceil, ceilf(x), ceil(x))
FLOAT_PRIM(trunc, truncf(x), trunc(x))
FLOAT_PRIM(canonical_nan, isnan(x) ? NAN : x, isnan(x) ? (double)NAN : x)
/* To nearest even, which is the mode that scalar_eval sees to. */
FLOAT_PRIM(round, nearbyintf(x), nearbyint(x))
/* NaN + anything is NaN; equal operands differ at most in the sign of zero. */
#define PICK(x_wins) (isunordered(x, y) ? x + y : (x_wins) ? x : y)
FLOAT_PRIM(maximum, PICK(x > y || (x == y && !signbit(x))), PICK(x > y || (x == y && !signbit(x))))
FLOAT_PRIM(minimum, PICK(x < y || (x == y && signbit(x))), PICK(x < y || (x == y && signbit(x))))

static float float_of(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

static uint64_t bits_of_float(float value) {
    uint32_t low;
    memcpy(&low, &value, sizeof low);
    return low;
}

static double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- integers and bool: in 64 bits, wrapped to the width afterwards -------------------------- */

/* bool takes the same functions: a sum that is not 0 is true, which makes add "or", mul "and". */
#define INT_PRIM(name, value)                                                                      \
    static uint64_t int_##name(int64_t width, int64_t x, int64_t y) {                              \
        (void)width, (void)y;                                                                      \
        return (uint64_t)(value);                                                                  \
    }

#define LOW_BITS(x, width) ((uint64_t)(x) & (UINT64_MAX >> (64 - (width))))
#define IN_WIDTH(y, width) ((y) >= 0 && (y) < (width))

INT_PRIM(neg, 0 - (uint64_t)x)
INT_PRIM(abs, x < 0 ? 0 - (uint64_t)x : (uint64_t)x)
INT_PRIM(add, (uint64_t)x + (uint64_t)y)
INT_PRIM(sub, (uint64_t)x - (uint64_t)y)
INT_PRIM(mul, ((uint64_t)x * (uint64_t)y))
INT_PRIM(divide, y == 0 ? 0 : y == -1 ? 0 - (uint64_t)x : (uint64_t)(x / y))
INT_PRIM(fmod, y == 0 || y == -1 ? 0 : x % y)
INT_PRIM(maximum, x > y ? x : y)
INT_PRIM(minimum, x < y ? x : y)
INT_PRIM(and, ((uint64_t)x & (uint64_t)y))
INT_PRIM(or, (uint64_t)x | (uint64_t)y)
INT_PRIM(xor, (uint64_t)x ^ (uint64_t)y)
INT_PRIM(shift_left, IN_WIDTH(y, width) ? (uint64_t)x << y : 0)
/* >> of a negative value keeps the sign in gcc and clang; 63 leaves nothing but the sign. */
INT_PRIM(shift_right, x >> (IN_WIDTH(y, width) ? y : 63))
INT_PRIM(shift_right_logical, IN_WIDTH(y, width) ? LOW_BITS(x, width) >> y : 0)

/* ---- the table ------------------------------------------------------------------------------- */

/* Outcomes of a comparison. */
enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };

typedef uint64_t EvalBits(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]);

typedef struct EvalRow {
    float (*f32)(float, float, float);              /* value in f32; NULL: not for floats */
    double (*f64)(double, double, double);          /* value in f64 */
    uint64_t (*integer)(int64_t, int64_t, int64_t); /* value in integers and bool, before wrap */
    EvalBits *bits;                                 /* value of any dtypes, from their bits … */
    bool floats_only;                               /* … unless it is an integer */
    uint8_t holds;                                  /* comparisons: outcomes that are true */
} EvalRow;

#define FLOATS(name) .f32 = f32_##name, .f64 = f64_##name

/* The bit that holds a float's sign. */
static uint64_t sign_bit(sn_dtype dtype) {
    return UINT64_C(1) << (8 * sn_dtype_size(dtype) - 1);
}

static uint64_t bits_neg(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    (void)in_dtype;
    return in[0] ^ sign_bit(dtype);
}

static uint64_t bits_abs(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    (void)in_dtype;
    return in[0] & ~sign_bit(dtype);
}

static uint64_t bits_copysign(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    (void)in_dtype;
    return (in[0] & ~sign_bit(dtype)) | (in[1] & sign_bit(dtype));
}

static uint64_t bits_where(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    (void)dtype;
    return dtype_bits_cast(SN_BOOL, in_dtype, in[0]) ? in[1] : in[2];
}

static uint64_t bits_cast(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    return dtype_bits_cast(dtype, in_dtype, in[0]);
}

static uint64_t bits_bitcast(sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    (void)in_dtype;
    return scalar_canonical(dtype, in[0]);
}

static const EvalRow rows[OP_COUNT] = {
    [OP_NEG] = {.bits = bits_neg, .floats_only = true, .integer = int_neg},
    [OP_ABS] = {.bits = bits_abs, .floats_only = true, .integer = int_abs},
    [OP_COPYSIGN] = {.bits = bits_copysign},
    [OP_WHERE] = {.bits = bits_where},
    [OP_CAST] = {.bits = bits_cast},
    [OP_BITCAST] = {.bits = bits_bitcast},
    [OP_SQRT] = {FLOATS(sqrt)},
    [OP_FLOOR] = {FLOATS(floor)},
    [OP_CEIL] = {FLOATS(ceil)},
    [OP_ROUND] = {FLOATS(round)},
    [OP_TRUNC] = {FLOATS(trunc)},
    [OP_ADD] = {FLOATS(add), .integer = int_add},
    [OP_SUB] = {FLOATS(sub), .integer = int_sub},
    [OP_MUL] = {FLOATS(mul), .integer = int_mul},
    [OP_DIV] = {FLOATS(div)},
    [OP_FMA] = {FLOATS(fma)},
    [OP_CANONICAL_NAN] = {FLOATS(canonical_nan)},
    [OP_SCALE] = {FLOATS(scale)},
    [OP_FMOD] = {FLOATS(fmod), .integer = int_fmod},
    [OP_INT_DIV] = {.integer = int_divide},
    [OP_MAXIMUM] = {FLOATS(maximum), .integer = int_maximum},
    [OP_MINIMUM] = {FLOATS(minimum), .integer = int_minimum},
    [OP_BITWISE_AND] = {.integer = int_and},
    [OP_BITWISE_OR] = {.integer = int_or},
    [OP_BITWISE_XOR] = {.integer = int_xor},
    [OP_SHIFT_LEFT] = {.integer = int_shift_left},
    [OP_SHIFT_RIGHT] = {.integer = int_shift_right},
    [OP_SHIFT_RIGHT_LOGICAL] = {.integer = int_shift_right_logical},
    [OP_EQ] = {.holds = EQUAL},
    [OP_NE] = {.holds = LESS | GREATER | UNORDERED},
    [OP_LT] = {.holds = LESS},
    [OP_LE] = {.holds = LESS | EQUAL},
    [OP_GT] = {.holds = GREATER},
    [OP_GE] = {.holds = GREATER | EQUAL},
};

static int compare(sn_dtype dtype, uint64_t x, uint64_t y) {
    if (dtype_is_float(dtype)) {
        double a = dtype_bits_to_double(dtype, x);
        double b = dtype_bits_to_double(dtype, y);
        return isunordered(a, b) ? UNORDERED : a < b ? LESS : a > b ? GREATER : EQUAL;
    }
    int64_t a = (int64_t)x;
    int64_t b = (int64_t)y;
    return a < b ? LESS : a > b ? GREATER : EQUAL;
}

/* Not inlined: no arithmetic may move to where the mode is still the program's. */
__attribute__((noinline)) static uint64_t evaluate(OpCode op, sn_dtype dtype, sn_dtype in_dtype,
                                                   const uint64_t in[3]) {
    SN_ASSERT((uint32_t)op < OP_COUNT && (uint32_t)dtype < SN_DTYPE_COUNT);
    SN_ASSERT((uint32_t)in_dtype < SN_DTYPE_COUNT);
    const EvalRow *row = &rows[op];
    uint64_t value = 0;
    bool of_bits = row->bits && (dtype_is_float(dtype) || !row->floats_only);
    if (of_bits) return row->bits(dtype, in_dtype, in);
    if (row->holds) return (row->holds & compare(in_dtype, in[0], in[1])) != 0;
    if (dtype == SN_F32 && row->f32)
        return bits_of_float(row->f32(float_of(in[0]), float_of(in[1]), float_of(in[2])));
    if (dtype == SN_F64 && row->f64)
        return bits_of_double(row->f64(double_of(in[0]), double_of(in[1]), double_of(in[2])));
    if (!dtype_is_float(dtype) && row->integer) {
        int64_t width = 8 * (int64_t)sn_dtype_size(dtype);
        value = row->integer(width, (int64_t)in[0], (int64_t)in[1]);
    }
    return scalar_canonical(dtype, value);
}

/* ---- the floating point mode ----------------------------------------------------------------- */

#if defined(__x86_64__)

/* To nearest, subnormals kept, no traps; and the bits that only say what has happened. */
enum { MODE_WANTED = 0x1f80, MODE_STATUS = 0x3f };

uint64_t scalar_eval(OpCode op, sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    uint32_t mode = __builtin_ia32_stmxcsr();
    bool own = (mode & ~(uint32_t)MODE_STATUS) == MODE_WANTED;
    if (!own) __builtin_ia32_ldmxcsr(MODE_WANTED);
    uint64_t value = evaluate(op, dtype, in_dtype, in);
    if (!own) __builtin_ia32_ldmxcsr(mode);
    return value;
}

#else

uint64_t scalar_eval(OpCode op, sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]) {
    return evaluate(op, dtype, in_dtype, in);
}

#endif
