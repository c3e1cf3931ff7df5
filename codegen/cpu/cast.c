/* CAST and the float remainder as LLVM IR. Conversions round once, to nearest even; float to integer
 * saturates and NaN gives 0, as in dtype_bits_cast. Half types live in registers as 16-bit integers
 * and are widened to f32 on the way. */
#include "codegen/cpu/emit.h"

#include <math.h>

/* One conversion at some number of lanes. */
typedef struct Cast {
    Emit *e;          /* the compilation */
    LLVMBuilderRef b; /* its builder */
    int32_t lanes;    /* 1: a scalar */
} Cast;

static LLVMTypeRef reg(const Cast *c, sn_dtype dtype) {
    return type_reg(c->e, dtype, c->lanes);
}

static LLVMTypeRef lanes_of(const Cast *c, LLVMTypeRef scalar) {
    return type_lanes(scalar, c->lanes);
}

static LLVMValueRef bits_of(const Cast *c, sn_dtype dtype, LLVMValueRef x) {
    return LLVMBuildBitCast(c->b, x, type_bits(c->e, dtype, c->lanes), "");
}

/* ---- half types ------------------------------------------------------------------------------ */

static LLVMValueRef widen_half(const Cast *c, sn_dtype from, LLVMValueRef x) {
    if (from == SN_F16) {
        LLVMTypeRef half = lanes_of(c, LLVMHalfTypeInContext(c->e->context));
        return LLVMBuildFPExt(c->b, LLVMBuildBitCast(c->b, x, half, ""), reg(c, SN_F32), "");
    }
    LLVMTypeRef i32 = lanes_of(c, c->e->i32);
    LLVMValueRef wide = LLVMBuildZExt(c->b, x, i32, "");
    LLVMValueRef bits = LLVMBuildShl(c->b, wide, const_int(i32, 16), "");
    return LLVMBuildBitCast(c->b, bits, reg(c, SN_F32), "");
}

/* bf16 is the upper half of f32: adding just under half of its last place, and that last place
 * itself, carries exactly where nearest-even rounds up. A NaN must not be carried into infinity. */
static LLVMValueRef narrow_to_bf16(const Cast *c, LLVMValueRef x) {
    LLVMTypeRef i32 = lanes_of(c, c->e->i32);
    LLVMValueRef bits = bits_of(c, SN_F32, x);
    LLVMValueRef last = LLVMBuildLShr(c->b, bits, const_int(i32, 16), "");
    LLVMValueRef odd = LLVMBuildAnd(c->b, last, const_int(i32, 1), "");
    LLVMValueRef up = LLVMBuildAdd(c->b, odd, const_int(i32, 0x7fff), "");
    LLVMValueRef rounded = LLVMBuildAdd(c->b, bits, up, "");
    LLVMValueRef quiet = LLVMBuildOr(c->b, bits, const_int(i32, 0x400000), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(c->b, LLVMRealUNO, x, x, "");
    LLVMValueRef kept = emit_select(c->e, is_nan, quiet, rounded);
    LLVMValueRef high = LLVMBuildLShr(c->b, kept, const_int(i32, 16), "");
    return LLVMBuildTrunc(c->b, high, lanes_of(c, c->e->i16), "");
}

static LLVMValueRef narrow_half(const Cast *c, sn_dtype to, LLVMValueRef x) {
    if (to == SN_BF16) return narrow_to_bf16(c, x);
    LLVMTypeRef half = lanes_of(c, LLVMHalfTypeInContext(c->e->context));
    LLVMValueRef rounded = LLVMBuildFPTrunc(c->b, x, half, "");
    return LLVMBuildBitCast(c->b, rounded, lanes_of(c, c->e->i16), "");
}

/* f64 to f32 rounded to odd: towards zero, the last bit set when anything was lost. Rounding that to
 * 11 or fewer bits gives what rounding the f64 itself would. */
static LLVMValueRef f64_to_odd_f32(const Cast *c, LLVMValueRef x) {
    LLVMTypeRef i32 = lanes_of(c, c->e->i32);
    LLVMTypeRef f64 = reg(c, SN_F64);
    LLVMValueRef narrow = LLVMBuildFPTrunc(c->b, x, reg(c, SN_F32), "");
    LLVMValueRef back = LLVMBuildFPExt(c->b, narrow, f64, "");
    LLVMValueRef size = emit_intrinsic(c->e, "llvm.fabs", &f64, 1, &x, 1);
    LLVMValueRef size_back = emit_intrinsic(c->e, "llvm.fabs", &f64, 1, &back, 1);
    LLVMValueRef too_large = LLVMBuildFCmp(c->b, LLVMRealOGT, size_back, size, "");
    LLVMValueRef inexact = LLVMBuildFCmp(c->b, LLVMRealONE, back, x, "");
    LLVMValueRef bits = bits_of(c, SN_F32, narrow);
    bits = LLVMBuildSub(c->b, bits, LLVMBuildZExt(c->b, too_large, i32, ""), "");
    bits = LLVMBuildOr(c->b, bits, LLVMBuildZExt(c->b, inexact, i32, ""), "");
    return LLVMBuildBitCast(c->b, bits, reg(c, SN_F32), "");
}

/* ---- integers to floats ---------------------------------------------------------------------- */

static LLVMValueRef int_to_float(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    bool is_signed = from != SN_U8 && from != SN_BOOL;
    LLVMTypeRef i32 = lanes_of(c, c->e->i32);
    if (sn_dtype_size(from) < 4)
        x = is_signed ? LLVMBuildSExt(c->b, x, i32, "") : LLVMBuildZExt(c->b, x, i32, "");
    return LLVMBuildSIToFP(c->b, x, reg(c, to), "");
}

/* An integer as f64 that rounds to any type of few bits as the integer itself would: what lies below
 * the 48 top bits only counts as zero or not zero. */
static LLVMValueRef sticky_f64(const Cast *c, LLVMValueRef x) {
    LLVMTypeRef i64 = lanes_of(c, c->e->i64);
    LLVMValueRef low = LLVMBuildAnd(c->b, x, const_int(i64, 0xffff), "");
    LLVMValueRef lost = LLVMBuildICmp(c->b, LLVMIntNE, low, const_int(i64, 0), "");
    LLVMValueRef mark =
        LLVMBuildShl(c->b, LLVMBuildZExt(c->b, lost, i64, ""), const_int(i64, 15), "");
    LLVMValueRef high = LLVMBuildAnd(c->b, x, const_int(i64, ~UINT64_C(0xffff)), "");
    LLVMValueRef marked = LLVMBuildOr(c->b, high, mark, "");
    LLVMValueRef middle = const_int(i64, UINT64_C(1) << 40);
    LLVMValueRef moved = LLVMBuildAdd(c->b, x, middle, "");
    LLVMValueRef small =
        LLVMBuildICmp(c->b, LLVMIntULT, moved, const_int(i64, UINT64_C(1) << 41), "");
    return LLVMBuildSIToFP(c->b, emit_select(c->e, small, x, marked), reg(c, SN_F64), "");
}

/* f16 overflows long before f32 loses integers, so f32 on the way rounds nothing that matters. */
static LLVMValueRef int_to_half(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    bool exact = sn_dtype_size(from) < 4;
    if (to == SN_F16 || exact) return narrow_half(c, to, int_to_float(c, SN_F32, from, x));
    LLVMValueRef wide = from == SN_I32 ? int_to_float(c, SN_F64, from, x) : sticky_f64(c, x);
    return narrow_half(c, to, f64_to_odd_f32(c, wide));
}

/* ---- floats to integers ---------------------------------------------------------------------- */

/* Types whose range the float type holds exactly: clamp, then convert. */
static LLVMValueRef float_to_narrow(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    LLVMTypeRef type = reg(c, from);
    double range = ldexp(1.0, (int)(8 * sn_dtype_size(to)) - (to == SN_U8 ? 0 : 1));
    LLVMValueRef low = const_float(type, to == SN_U8 ? 0 : -range);
    LLVMValueRef high = const_float(type, range - 1);
    LLVMValueRef number = LLVMBuildFCmp(c->b, LLVMRealORD, x, x, "");
    x = emit_select(c->e, number, x, const_float(type, 0));
    x = emit_select(c->e, LLVMBuildFCmp(c->b, LLVMRealOGT, x, low, ""), x, low);
    x = emit_select(c->e, LLVMBuildFCmp(c->b, LLVMRealOLT, x, high, ""), x, high);
    LLVMValueRef whole = LLVMBuildFPToSI(c->b, x, lanes_of(c, c->e->i32), "");
    return to == SN_I32 ? whole : LLVMBuildTrunc(c->b, whole, reg(c, to), "");
}

/* The largest value is no float here: convert, then replace what was out of range. */
static LLVMValueRef float_to_wide(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    LLVMTypeRef type = reg(c, from), result = reg(c, to);
    uint64_t least = UINT64_C(1) << (8 * sn_dtype_size(to) - 1);
    LLVMValueRef limit = const_float(type, ldexp(1.0, (int)(8 * sn_dtype_size(to)) - 1));
    LLVMValueRef lower = const_float(type, -ldexp(1.0, (int)(8 * sn_dtype_size(to)) - 1));
    LLVMValueRef whole = LLVMBuildFPToSI(c->b, x, result, "");
    LLVMValueRef above = LLVMBuildFCmp(c->b, LLVMRealOGE, x, limit, "");
    LLVMValueRef below = LLVMBuildFCmp(c->b, LLVMRealOLT, x, lower, "");
    LLVMValueRef is_nan = LLVMBuildFCmp(c->b, LLVMRealUNO, x, x, "");
    whole = emit_select(c->e, above, const_int(result, least - 1), whole);
    whole = emit_select(c->e, below, const_int(result, least), whole);
    return emit_select(c->e, is_nan, const_int(result, 0), whole);
}

static LLVMValueRef float_to_int(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    if (to == SN_BOOL) return LLVMBuildFCmp(c->b, LLVMRealUNE, x, const_float(reg(c, from), 0), "");
    bool holds_range = sn_dtype_size(to) < sn_dtype_size(from);
    return holds_range ? float_to_narrow(c, to, from, x) : float_to_wide(c, to, from, x);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static LLVMValueRef int_to_int(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    LLVMTypeRef type = reg(c, to);
    if (to == SN_BOOL) return LLVMBuildICmp(c->b, LLVMIntNE, x, const_int(reg(c, from), 0), "");
    if (from == SN_BOOL) return LLVMBuildZExt(c->b, x, type, "");
    if (sn_dtype_size(to) < sn_dtype_size(from)) return LLVMBuildTrunc(c->b, x, type, "");
    if (sn_dtype_size(to) == sn_dtype_size(from)) return x;
    return from == SN_U8 ? LLVMBuildZExt(c->b, x, type, "") : LLVMBuildSExt(c->b, x, type, "");
}

static LLVMValueRef float_to_float(const Cast *c, sn_dtype to, sn_dtype from, LLVMValueRef x) {
    if (dtype_is_half(to)) {
        if (from == SN_F64) x = f64_to_odd_f32(c, x);
        return narrow_half(c, to, x);
    }
    return to == SN_F64 ? LLVMBuildFPExt(c->b, x, reg(c, to), "")
                        : LLVMBuildFPTrunc(c->b, x, reg(c, to), "");
}

LLVMValueRef emit_cast(Emit *e, sn_dtype to, sn_dtype from, int32_t lanes, LLVMValueRef x) {
    Cast cast = {e, e->b, lanes};
    if (to == from) return x;
    if (dtype_is_half(from)) {
        x = widen_half(&cast, from, x);
        from = SN_F32;
        if (to == SN_F32) return x;
    }
    if (dtype_is_float(from))
        return dtype_is_float(to) ? float_to_float(&cast, to, from, x)
                                  : float_to_int(&cast, to, from, x);
    if (dtype_is_half(to)) return int_to_half(&cast, to, from, x);
    return dtype_is_float(to) ? int_to_float(&cast, to, from, x) : int_to_int(&cast, to, from, x);
}
