/* The scalar primitives as LLVM IR, on scalars and vectors alike: a table (op × type class) of small
 * functions. Their meaning, bit for bit, is scalar_eval's. No operation carries fast-math flags. */
#include "codegen/cpu/emit.h"
#include "ir/kernel/form.h"

#include <math.h>

/* One use of a primitive. */
typedef struct Use {
    Emit *e;           /* the compilation */
    sn_dtype dtype;    /* of the result */
    sn_dtype in_dtype; /* of in[0] */
    int32_t lanes;     /* 1: scalars */
    LLVMTypeRef type;  /* of the operands */
    LLVMValueRef x;    /* operands */
    LLVMValueRef y;
    LLVMValueRef z;
    const KInst *inst; /* the instruction, or NULL */
} Use;

typedef LLVMValueRef UseEmit(const Use *u);

static bool is_signed(const Use *u) {
    return dtype_is_signed(u->in_dtype) && u->in_dtype != SN_BOOL;
}

static LLVMValueRef compare_int(const Use *u, LLVMIntPredicate predicate, LLVMValueRef x,
                                LLVMValueRef y) {
    return LLVMBuildICmp(u->e->b, predicate, x, y, "");
}

static LLVMValueRef compare_float(const Use *u, LLVMRealPredicate predicate, LLVMValueRef x,
                                  LLVMValueRef y) {
    return LLVMBuildFCmp(u->e->b, predicate, x, y, "");
}

static LLVMValueRef intrinsic(const Use *u, const char *name, uint32_t n_args) {
    LLVMTypeRef type = u->type;
    LLVMValueRef args[] = {u->x, u->y, u->z};
    return emit_intrinsic(u->e, name, &type, 1, args, n_args);
}

/* ---- one instruction each -------------------------------------------------------------------- */

#define BUILD2(name, build)                                                                        \
    static LLVMValueRef name(const Use *u) {                                                       \
        return build(u->e->b, u->x, u->y, "");                                                     \
    }
#define BUILD1(name, build)                                                                        \
    static LLVMValueRef name(const Use *u) {                                                       \
        return build(u->e->b, u->x, "");                                                           \
    }
#define INTRINSIC(name, text, n_args)                                                              \
    static LLVMValueRef name(const Use *u) {                                                       \
        return intrinsic(u, text, n_args);                                                         \
    }

BUILD2(float_add, LLVMBuildFAdd)
BUILD2(float_sub, LLVMBuildFSub)
BUILD2(float_mul, LLVMBuildFMul)
BUILD2(float_div, LLVMBuildFDiv)
BUILD2(int_add, LLVMBuildAdd)
BUILD2(int_sub, LLVMBuildSub)
BUILD2(int_mul, LLVMBuildMul)
BUILD2(bits_and, LLVMBuildAnd)
BUILD2(bits_or, LLVMBuildOr)
BUILD2(bits_xor, LLVMBuildXor)
BUILD1(float_neg, LLVMBuildFNeg)
BUILD1(int_neg, LLVMBuildNeg)
INTRINSIC(float_abs, "llvm.fabs", 1)
INTRINSIC(float_sqrt, "llvm.sqrt", 1)
INTRINSIC(float_floor, "llvm.floor", 1)
INTRINSIC(float_ceil, "llvm.ceil", 1)
INTRINSIC(float_round, "llvm.roundeven", 1)
INTRINSIC(float_trunc, "llvm.trunc", 1)
INTRINSIC(float_copysign, "llvm.copysign", 2)
INTRINSIC(float_fma, "llvm.fma", 3)

static LLVMValueRef float_fmod(const Use *u) {
    return emit_fmod(u->e, u->dtype, u->lanes, u->x, u->y);
}

/* Chosen as integers: what is NaN anyway, LLVM may choose as it likes among floats. */
static LLVMValueRef float_canonical_nan(const Use *u) {
    sn_dtype bits = u->dtype == SN_F64 ? SN_I64 : SN_I32;
    LLVMValueRef nan = const_float(u->type, NAN),
                 is_nan = compare_float(u, LLVMRealUNO, u->x, u->x);
    LLVMTypeRef integer = type_reg(u->e, bits, u->lanes);
    LLVMValueRef kept = emit_select(u->e, is_nan, LLVMConstBitCast(nan, integer),
                                    LLVMBuildBitCast(u->e->b, u->x, integer, ""));
    return LLVMBuildBitCast(u->e->b, kept, u->type, "");
}

/* ---- comparisons ----------------------------------------------------------------------------- */

#define COMPARE(name, on_float, on_signed, on_unsigned)                                            \
    static LLVMValueRef float_##name(const Use *u) {                                               \
        return compare_float(u, on_float, u->x, u->y);                                             \
    }                                                                                              \
    static LLVMValueRef int_##name(const Use *u) {                                                 \
        return compare_int(u, is_signed(u) ? on_signed : on_unsigned, u->x, u->y);                 \
    }

COMPARE(eq, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ)
COMPARE(ne, LLVMRealUNE, LLVMIntNE, LLVMIntNE)
COMPARE(lt, LLVMRealOLT, LLVMIntSLT, LLVMIntULT)
COMPARE(le, LLVMRealOLE, LLVMIntSLE, LLVMIntULE)
COMPARE(gt, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT)
COMPARE(ge, LLVMRealOGE, LLVMIntSGE, LLVMIntUGE)

/* ---- maximum and minimum --------------------------------------------------------------------- */

/* Bits of operand `number` if it is a constant of the kernel. */
static bool constant_operand(const Use *u, int32_t number, double *value) {
    if (!u->inst) return false;
    const KInst *from = kernel_inst(u->e->kernel, u->inst->in[number]);
    if (!kop_is(from->op, KFORM_CONST)) return false;
    *value = dtype_bits_to_double((sn_dtype)from->dtype, from->imm);
    return true;
}

/* The extreme of x and a constant c that is no NaN. c wins where it lies beyond x; a NaN in x fails
 * the comparison and stays. Only the zero that beats the other zero must win on equality too. */
static LLVMValueRef extreme_constant(const Use *u, LLVMValueRef x, LLVMValueRef c, double value,
                                     bool largest) {
    bool beats_zero = value == 0 && __builtin_signbit(value) == !largest;
    LLVMRealPredicate wins = largest ? (beats_zero ? LLVMRealOLE : LLVMRealOLT)
                                     : (beats_zero ? LLVMRealOGE : LLVMRealOGT);
    if (beats_zero) return emit_select(u->e, compare_float(u, wins, x, c), c, x);
    LLVMRealPredicate swapped = largest ? LLVMRealOGT : LLVMRealOLT;
    return emit_select(u->e, compare_float(u, swapped, c, x), c, x);
}

/* x > y ? x : y is the machine's instruction and passes a NaN in y on. Equal operands differ at most
 * in the sign of zero, which "and" clears for the maximum and "or" sets for the minimum. */
static LLVMValueRef extreme_float(const Use *u, bool largest) {
    Emit *e = u->e;
    double value;
    if (constant_operand(u, 1, &value) && value == value)
        return extreme_constant(u, u->x, u->y, value, largest);
    if (constant_operand(u, 0, &value) && value == value)
        return extreme_constant(u, u->y, u->x, value, largest);
    LLVMRealPredicate wins = largest ? LLVMRealOGT : LLVMRealOLT;
    LLVMValueRef winner = emit_select(e, compare_float(u, wins, u->x, u->y), u->x, u->y);
    LLVMTypeRef bits = type_bits(e, u->dtype, u->lanes);
    LLVMValueRef x = LLVMBuildBitCast(e->b, u->x, bits, "");
    LLVMValueRef y = LLVMBuildBitCast(e->b, u->y, bits, "");
    LLVMValueRef both = largest ? LLVMBuildAnd(e->b, x, y, "") : LLVMBuildOr(e->b, x, y, "");
    both = LLVMBuildBitCast(e->b, both, u->type, "");
    winner = emit_select(e, compare_float(u, LLVMRealOEQ, u->x, u->y), both, winner);
    return emit_select(e, compare_float(u, LLVMRealUNO, u->x, u->x), u->x, winner);
}

static LLVMValueRef float_maximum(const Use *u) {
    return extreme_float(u, true);
}
static LLVMValueRef float_minimum(const Use *u) {
    return extreme_float(u, false);
}

static LLVMValueRef int_maximum(const Use *u) {
    return emit_select(u->e, int_gt(u), u->x, u->y);
}

static LLVMValueRef int_minimum(const Use *u) {
    return emit_select(u->e, int_lt(u), u->x, u->y);
}

/* ---- integers -------------------------------------------------------------------------------- */

static LLVMValueRef int_abs(const Use *u) {
    if (!is_signed(u)) return u->x;
    LLVMValueRef negative = compare_int(u, LLVMIntSLT, u->x, const_int(u->type, 0));
    return emit_select(u->e, negative, int_neg(u), u->x);
}

static LLVMValueRef in_width(const Use *u) {
    return compare_int(u, LLVMIntULT, u->y, const_int(u->type, 8 * sn_dtype_size(u->dtype)));
}

static LLVMValueRef int_shift_left(const Use *u) {
    LLVMValueRef shifted = LLVMBuildShl(u->e->b, u->x, u->y, "");
    return emit_select(u->e, in_width(u), shifted, const_int(u->type, 0));
}

static LLVMValueRef int_shift_right_logical(const Use *u) {
    LLVMValueRef shifted = LLVMBuildLShr(u->e->b, u->x, u->y, "");
    return emit_select(u->e, in_width(u), shifted, const_int(u->type, 0));
}

static LLVMValueRef int_shift_right(const Use *u) {
    if (!is_signed(u)) return int_shift_right_logical(u);
    LLVMValueRef most = const_int(u->type, 8 * sn_dtype_size(u->dtype) - 1);
    LLVMValueRef by = emit_select(u->e, in_width(u), u->y, most);
    return LLVMBuildAShr(u->e->b, u->x, by, "");
}

/* Quotient of operands for which it is defined. Vectors have no such instruction: up to 32 bits a
 * float type with enough more bits gives it exactly. */
static LLVMValueRef quotient(const Use *u, LLVMValueRef y) {
    LLVMBuilderRef b = u->e->b;
    size_t bytes = sn_dtype_size(u->dtype);
    bool sign = is_signed(u);
    if (u->lanes > 1 && bytes == 8) return emit_quotient_i64(u->e, u->lanes, u->x, y);
    if (u->lanes == 1) return sign ? LLVMBuildSDiv(b, u->x, y, "") : LLVMBuildUDiv(b, u->x, y, "");
    LLVMTypeRef wide = type_lanes(bytes == 4 ? u->e->f64 : u->e->f32, u->lanes);
    LLVMTypeRef i32 = type_lanes(u->e->i32, u->lanes);
    LLVMValueRef top =
        sign ? LLVMBuildSIToFP(b, u->x, wide, "") : LLVMBuildUIToFP(b, u->x, wide, "");
    LLVMValueRef bottom = sign ? LLVMBuildSIToFP(b, y, wide, "") : LLVMBuildUIToFP(b, y, wide, "");
    LLVMValueRef whole = LLVMBuildFPToSI(b, LLVMBuildFDiv(b, top, bottom, ""), i32, "");
    return bytes == 4 ? whole : LLVMBuildTrunc(b, whole, u->type, "");
}

/* The divisor with 0 and -1 replaced by 1: neither faults then. */
static LLVMValueRef safe_divisor(const Use *u) {
    LLVMValueRef one = const_int(u->type, 1);
    LLVMValueRef bad = compare_int(u, LLVMIntEQ, u->y, const_int(u->type, 0));
    if (is_signed(u)) {
        LLVMValueRef minus = compare_int(u, LLVMIntEQ, u->y, LLVMConstAllOnes(u->type));
        bad = LLVMBuildOr(u->e->b, bad, minus, "");
    }
    return emit_select(u->e, bad, one, u->y);
}

static LLVMValueRef int_divide(const Use *u) {
    LLVMValueRef zero = const_int(u->type, 0);
    LLVMValueRef value = quotient(u, safe_divisor(u));
    if (is_signed(u)) {
        LLVMValueRef minus = compare_int(u, LLVMIntEQ, u->y, LLVMConstAllOnes(u->type));
        value = emit_select(u->e, minus, int_neg(u), value);
    }
    return emit_select(u->e, compare_int(u, LLVMIntEQ, u->y, zero), zero, value);
}

/* With the divisor replaced by 1 the remainder is the 0 that divisors 0 and -1 must give. */
static LLVMValueRef int_fmod(const Use *u) {
    LLVMValueRef y = safe_divisor(u);
    LLVMValueRef product = LLVMBuildMul(u->e->b, quotient(u, y), y, "");
    return LLVMBuildSub(u->e->b, u->x, product, "");
}

/* ---- scaling by powers of two ---------------------------------------------------------------- */

/* AVX-512 has it as one instruction. */
static LLVMValueRef scale_natively(const Use *u) {
    static const char *const names[2][3] = {
        {"llvm.x86.avx512.mask.scalef.ps.128", "llvm.x86.avx512.mask.scalef.ps.256",
         "llvm.x86.avx512.mask.scalef.ps.512"},
        {"llvm.x86.avx512.mask.scalef.pd.128", "llvm.x86.avx512.mask.scalef.pd.256",
         "llvm.x86.avx512.mask.scalef.pd.512"}};
    enum { CURRENT_ROUNDING = 4 };
    Emit *e = u->e;
    bool is_double = u->dtype == SN_F64;
    int32_t bytes = u->lanes * (int32_t)sn_dtype_size(u->dtype);
    int32_t size = bytes == 16 ? 0 : bytes == 32 ? 1 : bytes == 64 ? 2 : -1;
    if (e->target->isa != ISA_AVX512 || size < 0) return NULL;
    LLVMTypeRef mask = u->lanes > 8 ? e->i16 : e->i8;
    LLVMValueRef args[] = {u->x, u->y, LLVMConstNull(u->type), LLVMConstAllOnes(mask),
                           LLVMConstInt(e->i32, CURRENT_ROUNDING, false)};
    return emit_intrinsic(e, names[is_double][size], NULL, 0, args, size == 2 ? 5 : 4);
}

/* The factors are 2^floor(y / 2) and 2^ceil(y / 2): the first product is exact, the second rounds. A
 * sum with 1.5 times the last power of two that has a fraction holds y in its low bits. */
static LLVMValueRef float_scale(const Use *u) {
    LLVMValueRef native = scale_natively(u);
    if (native) return native;
    LLVMBuilderRef b = u->e->b;
    bool is_double = u->dtype == SN_F64;
    double two_biases = is_double ? 2 * 1023 : 2 * 127;
    LLVMValueRef magic = const_float(u->type, (is_double ? 0x1.8p52 : 0x1.8p23) + two_biases);
    LLVMTypeRef type = type_bits(u->e, u->dtype, u->lanes);
    LLVMValueRef mantissa = const_int(type, is_double ? 52 : 23), one = const_int(type, 1);
    LLVMValueRef bits = LLVMBuildBitCast(b, LLVMBuildFAdd(b, u->y, magic, ""), type, "");
    LLVMValueRef first = LLVMBuildShl(b, LLVMBuildLShr(b, bits, one, ""), mantissa, "");
    LLVMValueRef second = LLVMBuildSub(b, LLVMBuildShl(b, bits, mantissa, ""), first, "");
    LLVMValueRef x = LLVMBuildFMul(b, u->x, LLVMBuildBitCast(b, first, u->type, ""), "");
    return LLVMBuildFMul(b, x, LLVMBuildBitCast(b, second, u->type, ""), "");
}

/* ---- the rest -------------------------------------------------------------------------------- */

static LLVMValueRef any_where(const Use *u) {
    return emit_select(u->e, u->x, u->y, u->z);
}

static LLVMValueRef any_cast(const Use *u) {
    return emit_cast(u->e, u->dtype, u->in_dtype, u->lanes, u->x);
}

static LLVMValueRef any_bitcast(const Use *u) {
    return LLVMBuildBitCast(u->e->b, u->x, type_reg(u->e, u->dtype, u->lanes), "");
}

typedef enum TypeClass { ON_FLOAT, ON_INT, ON_BOOL, TYPE_CLASSES } TypeClass;

/* By the class of in[0]. */
static UseEmit *const table[OP_COUNT][TYPE_CLASSES] = {
    [OP_NEG] = {float_neg, int_neg, NULL},
    [OP_ABS] = {float_abs, int_abs, NULL},
    [OP_SQRT] = {float_sqrt, NULL, NULL},
    [OP_FLOOR] = {float_floor, NULL, NULL},
    [OP_CEIL] = {float_ceil, NULL, NULL},
    [OP_ROUND] = {float_round, NULL, NULL},
    [OP_TRUNC] = {float_trunc, NULL, NULL},
    [OP_ADD] = {float_add, int_add, bits_or},
    [OP_SUB] = {float_sub, int_sub, NULL},
    [OP_MUL] = {float_mul, int_mul, bits_and},
    [OP_DIV] = {float_div, NULL, NULL},
    [OP_FMOD] = {float_fmod, int_fmod, NULL},
    [OP_MAXIMUM] = {float_maximum, int_maximum, bits_or},
    [OP_MINIMUM] = {float_minimum, int_minimum, bits_and},
    [OP_COPYSIGN] = {float_copysign, NULL, NULL},
    [OP_EQ] = {float_eq, int_eq, int_eq},
    [OP_NE] = {float_ne, int_ne, int_ne},
    [OP_LT] = {float_lt, int_lt, int_lt},
    [OP_LE] = {float_le, int_le, int_le},
    [OP_GT] = {float_gt, int_gt, int_gt},
    [OP_GE] = {float_ge, int_ge, int_ge},
    [OP_BITWISE_AND] = {NULL, bits_and, bits_and},
    [OP_BITWISE_OR] = {NULL, bits_or, bits_or},
    [OP_BITWISE_XOR] = {NULL, bits_xor, bits_xor},
    [OP_SHIFT_LEFT] = {NULL, int_shift_left, NULL},
    [OP_SHIFT_RIGHT] = {NULL, int_shift_right, NULL},
    [OP_SHIFT_RIGHT_LOGICAL] = {NULL, int_shift_right_logical, NULL},
    [OP_INT_DIV] = {NULL, int_divide, NULL},
    [OP_FMA] = {float_fma, NULL, NULL},
    [OP_CANONICAL_NAN] = {float_canonical_nan, NULL, NULL},
    [OP_SCALE] = {float_scale, NULL, NULL},
    [OP_WHERE] = {NULL, NULL, any_where},
    [OP_CAST] = {any_cast, any_cast, any_cast},
    [OP_BITCAST] = {any_bitcast, any_bitcast, NULL},
};

LLVMValueRef emit_prim(Emit *e, OpCode op, sn_dtype dtype, sn_dtype in_dtype, int32_t lanes,
                       const LLVMValueRef in[3], const KInst *inst) {
    TypeClass on = in_dtype == SN_BOOL ? ON_BOOL : dtype_is_float(in_dtype) ? ON_FLOAT : ON_INT;
    Use use = {.e = e,
               .dtype = dtype,
               .in_dtype = in_dtype,
               .lanes = lanes,
               .type = type_reg(e, in_dtype, lanes),
               .x = in[0],
               .y = in[1],
               .z = in[2],
               .inst = inst};
    UseEmit *emit = table[op][on];
    if (emit) return emit(&use);
    emit_fail(e, "an op that the CPU code generator does not know");
    return LLVMGetPoison(type_reg(e, dtype, lanes));
}
