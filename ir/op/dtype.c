/* Data types: names and sizes, promotion, and conversion of single values between their bit
 * patterns. Conversions work on integers only, so that neither the rounding mode nor flushing of
 * subnormals in the caller's thread changes a folded constant. */
#include "ir/op/dtype.h"

#include "base/assert.h"

#include <string.h>

/* ---- names, sizes, versions ------------------------------------------------------------------ */

const DtypeInfo dtype_info[SN_DTYPE_COUNT] = {
    [SN_BOOL] = {"bool", 1}, [SN_U8] = {"u8", 1},   [SN_I8] = {"i8", 1},   [SN_I16] = {"i16", 2},
    [SN_I32] = {"i32", 4},   [SN_I64] = {"i64", 8}, [SN_F16] = {"f16", 2}, [SN_BF16] = {"bf16", 2},
    [SN_F32] = {"f32", 4},   [SN_F64] = {"f64", 8},
};

size_t sn_dtype_size(sn_dtype dtype) {
    return (uint32_t)dtype < SN_DTYPE_COUNT ? dtype_info[dtype].size : 0;
}

const char *sn_dtype_name(sn_dtype dtype) {
    return (uint32_t)dtype < SN_DTYPE_COUNT ? dtype_info[dtype].name : "?";
}

bool dtype_parse(const char *text, size_t length, sn_dtype *dtype) {
    for (uint32_t d = 0; d < SN_DTYPE_COUNT; d++) {
        const char *name = dtype_info[d].name;
        if (strlen(name) != length || memcmp(name, text, length) != 0) continue;
        *dtype = (sn_dtype)d;
        return true;
    }
    return false;
}

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

int32_t sn_version(void) {
    return SN_VERSION_MAJOR * 10000 + SN_VERSION_MINOR * 100 + SN_VERSION_PATCH;
}

const char *sn_version_text(void) {
    return VERSION_TEXT(SN_VERSION_MAJOR, SN_VERSION_MINOR, SN_VERSION_PATCH);
}

/* ---- promotion ------------------------------------------------------------------------------- */

sn_dtype dtype_promote(sn_dtype a, sn_dtype b) {
    enum {
        B = SN_BOOL,
        U8 = SN_U8,
        I8 = SN_I8,
        I16 = SN_I16,
        I32 = SN_I32,
        I64 = SN_I64,
        F16 = SN_F16,
        BF = SN_BF16,
        F32 = SN_F32,
        F64 = SN_F64
    };
    /* clang-format off */
    static const uint8_t table[SN_DTYPE_COUNT][SN_DTYPE_COUNT] = {
        /*           bool  u8   i8   i16  i32  i64  f16  bf16 f32  f64 */
        [SN_BOOL] = {B,   U8,  I8,  I16, I32, I64, F16, BF,  F32, F64},
        [SN_U8]   = {U8,  U8,  I16, I16, I32, I64, F16, BF,  F32, F64},
        [SN_I8]   = {I8,  I16, I8,  I16, I32, I64, F16, BF,  F32, F64},
        [SN_I16]  = {I16, I16, I16, I16, I32, I64, F16, BF,  F32, F64},
        [SN_I32]  = {I32, I32, I32, I32, I32, I64, F16, BF,  F32, F64},
        [SN_I64]  = {I64, I64, I64, I64, I64, I64, F16, BF,  F32, F64},
        [SN_F16]  = {F16, F16, F16, F16, F16, F16, F16, F32, F32, F64},
        [SN_BF16] = {BF,  BF,  BF,  BF,  BF,  BF,  F32, BF,  F32, F64},
        [SN_F32]  = {F32, F32, F32, F32, F32, F32, F32, F32, F32, F64},
        [SN_F64]  = {F64, F64, F64, F64, F64, F64, F64, F64, F64, F64},
    };
    /* clang-format on */
    SN_ASSERT((uint32_t)a < SN_DTYPE_COUNT && (uint32_t)b < SN_DTYPE_COUNT);
    return (sn_dtype)table[a][b];
}

void promotion_add(Promotion *promotion, sn_dtype dtype, DtypeStrength strength) {
    SN_ASSERT((uint32_t)dtype < SN_DTYPE_COUNT && (uint32_t)strength < STRENGTH_COUNT);
    if (strength == STRENGTH_WEAK && dtype_is_float(dtype)) dtype = SN_F32;
    if (strength == STRENGTH_WEAK && dtype_is_int(dtype)) dtype = SN_I64;
    uint8_t *best = &promotion->best[strength];
    if (*best) dtype = dtype_promote((sn_dtype)(*best - 1), dtype);
    *best = (uint8_t)(dtype + 1);
}

/* Both are 1 + sn_dtype, 0 for none. The lower one counts only when its category is higher. */
static uint8_t promotion_combine(uint8_t higher, uint8_t lower) {
    if (higher == 0 || lower == 0) return higher ? higher : lower;
    sn_dtype strong = (sn_dtype)(higher - 1), weak = (sn_dtype)(lower - 1);
    if (dtype_is_float(strong)) return higher;
    if (strong == SN_BOOL || dtype_is_float(weak))
        return (uint8_t)(dtype_promote(strong, weak) + 1);
    return higher;
}

sn_dtype promotion_result(const Promotion *promotion) {
    uint8_t best =
        promotion_combine(promotion->best[STRENGTH_ZERO_DIM], promotion->best[STRENGTH_WEAK]);
    best = promotion_combine(promotion->best[STRENGTH_FULL], best);
    return best ? (sn_dtype)(best - 1) : SN_BOOL;
}

sn_dtype dtype_result(const sn_dtype *dtypes, const uint8_t *strengths, int32_t count) {
    Promotion promotion = {0};
    for (int32_t i = 0; i < count; i++)
        promotion_add(&promotion, dtypes[i], (DtypeStrength)strengths[i]);
    return promotion_result(&promotion);
}

/* ---- IEEE formats ---------------------------------------------------------------------------- */

/* A binary floating-point format; its sign is the bit above exponent and mantissa. */
typedef struct FloatFormat {
    uint8_t mantissa; /* stored bits of the significand */
    uint8_t exponent; /* bits of the exponent */
} FloatFormat;

static const FloatFormat float_formats[SN_DTYPE_COUNT] = {
    [SN_F16] = {10, 5}, [SN_BF16] = {7, 8}, [SN_F32] = {23, 8}, [SN_F64] = {52, 11}};

static int32_t format_bias(FloatFormat f) {
    return (1 << (f.exponent - 1)) - 1;
}

/* Bits of infinity. */
static uint64_t format_infinity(FloatFormat f) {
    return ((UINT64_C(1) << f.exponent) - 1) << f.mantissa;
}

/* A value taken apart: (-1)^negative * significand * 2^(exponent - 63), the significand's top bit
 * set unless the value is zero. */
typedef struct Parts {
    bool negative;    /* sign, of zeros and NaNs too */
    bool infinite;    /* infinity */
    bool nan;         /* not a number; its payload is in significand, top-aligned below bit 63 */
    int32_t exponent; /* power of two of the top bit */
    uint64_t significand; /* normalised; 0 for a zero */
} Parts;

static Parts parts_normalise(bool negative, uint64_t significand, int32_t exponent) {
    Parts p = {.negative = negative};
    if (significand == 0) return p;
    int32_t shift = __builtin_clzll(significand);
    p.significand = significand << shift;
    p.exponent = exponent - shift;
    return p;
}

static Parts parts_of_float(FloatFormat f, uint64_t bits) {
    uint64_t mantissa = bits & ((UINT64_C(1) << f.mantissa) - 1);
    int32_t exponent = (int32_t)((bits & format_infinity(f)) >> f.mantissa);
    bool negative = (bits >> (f.mantissa + f.exponent)) & 1;
    if (exponent == (1 << f.exponent) - 1)
        return (Parts){.negative = negative,
                       .infinite = mantissa == 0,
                       .nan = mantissa != 0,
                       .significand = mantissa << (63 - f.mantissa)};
    if (exponent) mantissa |= UINT64_C(1) << f.mantissa;
    if (!exponent) exponent = 1;
    return parts_normalise(negative, mantissa, exponent - format_bias(f) + 63 - f.mantissa);
}

static Parts parts_of_int(int64_t value) {
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    return parts_normalise(value < 0, magnitude, 63);
}

/* value / 2^shift to nearest even, 1 ≤ shift. */
static uint64_t shift_to_even(uint64_t value, int32_t shift) {
    if (shift > 64) return 0;
    uint64_t half = UINT64_C(1) << (shift - 1);
    uint64_t rest = shift == 64 ? value : value & ((half << 1) - 1);
    uint64_t quotient = shift == 64 ? 0 : value >> shift;
    return quotient + (rest > half || (rest == half && (quotient & 1)));
}

/* Rounded once to nearest even; overflow gives infinity, a NaN stays quiet. */
static uint64_t parts_to_float(FloatFormat f, Parts p) {
    uint64_t sign = (uint64_t)p.negative << (f.mantissa + f.exponent);
    uint64_t infinity = format_infinity(f);
    if (p.infinite) return sign | infinity;
    if (p.nan) {
        uint64_t quiet = UINT64_C(1) << (f.mantissa - 1);
        return sign | infinity | quiet | (p.significand >> (63 - f.mantissa));
    }
    if (p.significand == 0) return sign;
    if (p.exponent > format_bias(f)) return sign | infinity;
    int32_t biased = p.exponent + format_bias(f);
    int32_t shift = 63 - f.mantissa;
    if (biased < 1) return sign | shift_to_even(p.significand, shift + 1 - biased);
    /* the hidden bit, and a carry of rounding, go into the exponent */
    uint64_t rounded = shift_to_even(p.significand, shift);
    return sign | (((uint64_t)(biased - 1) << f.mantissa) + rounded);
}

/* Towards zero, saturating at [least, most]; NaN gives 0. */
static int64_t parts_to_int(Parts p, int64_t least, int64_t most) {
    if (p.nan) return 0;
    if (p.infinite || p.exponent > 62) return p.negative ? least : most;
    if (p.significand == 0 || p.exponent < 0) return 0;
    int64_t magnitude = (int64_t)(p.significand >> (63 - p.exponent));
    int64_t value = p.negative ? -magnitude : magnitude;
    return value < least ? least : value > most ? most : value;
}

static double double_of_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- scalars as bits ------------------------------------------------------------------------- */

typedef struct IntRange {
    int64_t least; /* smallest value */
    int64_t most;  /* largest value */
} IntRange;

static const IntRange int_ranges[SN_DTYPE_COUNT] = {
    [SN_U8] = {0, UINT8_MAX},          [SN_I8] = {INT8_MIN, INT8_MAX},
    [SN_I16] = {INT16_MIN, INT16_MAX}, [SN_I32] = {INT32_MIN, INT32_MAX},
    [SN_I64] = {INT64_MIN, INT64_MAX},
};

static uint64_t bits_from_parts(sn_dtype dtype, Parts p) {
    if (dtype_is_float(dtype)) return parts_to_float(float_formats[dtype], p);
    if (dtype == SN_BOOL) return p.significand != 0 || p.infinite || p.nan;
    return (uint64_t)parts_to_int(p, int_ranges[dtype].least, int_ranges[dtype].most);
}

uint64_t dtype_bits_from_double(sn_dtype dtype, double value) {
    if (dtype == SN_F64) return bits_of_double(value);
    return bits_from_parts(dtype, parts_of_float(float_formats[SN_F64], bits_of_double(value)));
}

uint64_t dtype_bits_from_int(sn_dtype dtype, int64_t value) {
    switch (dtype) {
    case SN_BOOL:
        return value != 0;
    case SN_U8:
        return (uint8_t)value;
    case SN_I8:
        return (uint64_t)(int8_t)value;
    case SN_I16:
        return (uint64_t)(int16_t)value;
    case SN_I32:
        return (uint64_t)(int32_t)value;
    case SN_I64:
        return (uint64_t)value;
    default:
        return bits_from_parts(dtype, parts_of_int(value));
    }
}

double dtype_bits_to_double(sn_dtype dtype, uint64_t bits) {
    if (dtype == SN_F64) return double_of_bits(bits);
    Parts p = dtype_is_float(dtype) ? parts_of_float(float_formats[dtype], bits)
                                    : parts_of_int((int64_t)bits);
    return double_of_bits(parts_to_float(float_formats[SN_F64], p));
}

int64_t dtype_bits_to_int(sn_dtype dtype, uint64_t bits) {
    if (!dtype_is_float(dtype)) return (int64_t)bits;
    return parts_to_int(parts_of_float(float_formats[dtype], bits), INT64_MIN, INT64_MAX);
}

uint64_t dtype_bits_cast(sn_dtype to, sn_dtype from, uint64_t bits) {
    if (to == from) return bits;
    if (!dtype_is_float(from)) return dtype_bits_from_int(to, (int64_t)bits);
    return bits_from_parts(to, parts_of_float(float_formats[from], bits));
}

uint64_t dtype_load(sn_dtype dtype, const void *element) {
    uint64_t bits = 0;
    memcpy(&bits, element, sn_dtype_size(dtype)); /* little-endian, as every target is */
    if (dtype == SN_BOOL) return bits != 0;
    return dtype_is_float(dtype) ? bits : dtype_bits_from_int(dtype, (int64_t)bits);
}

void dtype_store(sn_dtype dtype, void *element, uint64_t bits) {
    memcpy(element, &bits, sn_dtype_size(dtype));
}

/* ---- half types ⇄ float ---------------------------------------------------------------------- */

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t half_from_float(float value) {
    return (uint16_t)dtype_bits_cast(SN_F16, SN_F32, bits_of_float(value));
}

float half_to_float(uint16_t bits) {
    return float_of_bits((uint32_t)dtype_bits_cast(SN_F32, SN_F16, bits));
}

uint16_t bfloat_from_float(float value) {
    return (uint16_t)dtype_bits_cast(SN_BF16, SN_F32, bits_of_float(value));
}

float bfloat_to_float(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}
