/* Data types: categories, promotion, and conversion of single values. */
#ifndef SN_IR_OP_DTYPE_H
#define SN_IR_OP_DTYPE_H

#include "base/assert.h"

#include <sinter/base.h>

typedef struct DtypeInfo {
    const char *name; /* as in dumps */
    uint8_t size;     /* bytes of an element */
} DtypeInfo;
extern const DtypeInfo dtype_info[SN_DTYPE_COUNT];

/* sn_dtype_size of what is known to be a dtype. */
static inline size_t dtype_size(sn_dtype d) {
    SN_ASSERT((uint32_t)d < SN_DTYPE_COUNT);
    return dtype_info[d].size;
}

static inline bool dtype_is_float(sn_dtype d) {
    return d >= SN_F16;
}
static inline bool dtype_is_half(sn_dtype d) {
    return d == SN_F16 || d == SN_BF16;
}
static inline bool dtype_is_int(sn_dtype d) {
    return d >= SN_U8 && d <= SN_I64;
}
static inline bool dtype_is_signed(sn_dtype d) {
    return d >= SN_I8;
}

/* Itself, or f32: the type in which an op that makes floats of integers gives its result. */
static inline sn_dtype dtype_as_float(sn_dtype d) {
    return dtype_is_float(d) ? d : SN_F32;
}

/* Smallest type that holds both, by PyTorch's table (i64 with f16 gives f16, u8 with i8 gives i16,
 * f16 with bf16 gives f32). */
sn_dtype dtype_promote(sn_dtype a, sn_dtype b);

/* How strongly an operand takes part in promotion: a weaker one counts only when its category
 * (bool < integer < float) is higher. */
typedef enum DtypeStrength {
    STRENGTH_WEAK,
    STRENGTH_ZERO_DIM,
    STRENGTH_FULL,
    STRENGTH_COUNT
} DtypeStrength;

/* Promotion of any number of operands, added one by one; start from {0}. */
typedef struct Promotion {
    uint8_t best[STRENGTH_COUNT]; /* 1 + promoted sn_dtype of the operands so strong; 0 = none */
} Promotion;
void promotion_add(Promotion *promotion, sn_dtype dtype, DtypeStrength strength);
/* PyTorch's result_type of what was added; bool when nothing was. */
sn_dtype promotion_result(const Promotion *promotion);

/* Result type of operands; PyTorch's result_type. A weak float counts as f32, a weak int as i64. */
sn_dtype dtype_result(const sn_dtype *dtypes, const uint8_t *strengths, int32_t count);

/* The type in which arithmetic on `d` is carried out: f32 for the half types, else `d` itself. */
static inline sn_dtype dtype_compute(sn_dtype d) {
    return dtype_is_half(d) ? SN_F32 : d;
}

/* A scalar as bits: floats as their IEEE pattern in the low bytes, integers sign-extended, bool 0/1. */
uint64_t dtype_bits_from_double(sn_dtype dtype, double value);
uint64_t dtype_bits_from_int(sn_dtype dtype, int64_t value);
/* Is the integer a value of this dtype of integers? */
static inline bool dtype_holds_int(sn_dtype dtype, int64_t value) {
    return dtype_is_int(dtype) && dtype_bits_from_int(dtype, value) == (uint64_t)value;
}
double dtype_bits_to_double(sn_dtype dtype, uint64_t bits);
int64_t dtype_bits_to_int(sn_dtype dtype, uint64_t bits);
/* Conversion with the CAST op's rules (round to nearest even, saturate, NaN to 0, != 0 for bool). */
uint64_t dtype_bits_cast(sn_dtype to, sn_dtype from, uint64_t bits);
/* One element in memory ⇄ bits. */
uint64_t dtype_load(sn_dtype dtype, const void *element);
void dtype_store(sn_dtype dtype, void *element, uint64_t bits);

/* IEEE binary16 and bfloat16 ⇄ binary32 bit patterns, to nearest even. */
uint16_t half_from_float(float value);
float half_to_float(uint16_t bits);
uint16_t bfloat_from_float(float value);
float bfloat_to_float(uint16_t bits);

/* Parses a name such as "f32"; false when it is none. */
bool dtype_parse(const char *text, size_t length, sn_dtype *dtype);

#endif
