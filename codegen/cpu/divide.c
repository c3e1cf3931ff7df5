/* Divisions that no vector instruction does.
 *
 * The quotient of 64-bit integers: below 2^51 a division in f64, truncated, is exact, and such
 * operands are the rule (indices and sizes); vectors with larger ones go lane by lane.
 *
 * The float remainder, an in-line loop, exact as C's fmod. In f64 (f32 operands fit with room):
 * while r ≥ d, a multiple t = d × 2^k not above r is chosen so near that q = r / t has at most 52
 * bits; r - q × t is then exact, because it is a multiple of d's last place and less than t. Most
 * operands are done after one step, the farthest apart after about forty. */
#include "codegen/cpu/emit.h"

#include <math.h>

enum {
    MANTISSA = 52,      /* stored bits of an f64 */
    BIAS = 1023,        /* of its exponent */
    QUOTIENT_BITS = 50, /* of q */
    RAISE = 54          /* power of two that makes any subnormal normal */
};

/* ---- 64-bit quotients ------------------------------------------------------------------------ */

/* Adding 1.5 × 2^52 to an f64 below 2^51 puts it, as an integer, into the low mantissa bits. */
static const double SHIFTER = 0x1.8p52;
static const uint64_t SHIFTER_BITS = UINT64_C(0x4338000000000000);

static LLVMValueRef small_to_f64(Emit *e, int32_t lanes, LLVMValueRef x) {
    LLVMTypeRef i64 = type_lanes(e->i64, lanes), f64 = type_lanes(e->f64, lanes);
    LLVMValueRef bits = LLVMBuildAdd(e->b, x, const_int(i64, SHIFTER_BITS), "");
    LLVMValueRef shifted = LLVMBuildBitCast(e->b, bits, f64, "");
    return LLVMBuildFSub(e->b, shifted, const_float(f64, SHIFTER), "");
}

static LLVMValueRef f64_to_small(Emit *e, int32_t lanes, LLVMValueRef x) {
    LLVMTypeRef i64 = type_lanes(e->i64, lanes), f64 = type_lanes(e->f64, lanes);
    LLVMValueRef whole = emit_intrinsic(e, "llvm.trunc", &f64, 1, &x, 1);
    LLVMValueRef shifted = LLVMBuildFAdd(e->b, whole, const_float(f64, SHIFTER), "");
    LLVMValueRef bits = LLVMBuildBitCast(e->b, shifted, i64, "");
    return LLVMBuildSub(e->b, bits, const_int(i64, SHIFTER_BITS), "");
}

/* Lanes outside [-2^51, 2^51). */
static LLVMValueRef is_large(Emit *e, int32_t lanes, LLVMValueRef x) {
    LLVMTypeRef i64 = type_lanes(e->i64, lanes);
    LLVMValueRef moved = LLVMBuildAdd(e->b, x, const_int(i64, UINT64_C(1) << 51), "");
    return LLVMBuildICmp(e->b, LLVMIntUGE, moved, const_int(i64, UINT64_C(1) << 52), "");
}

/* One lane after the other, through memory. */
static LLVMValueRef divide_lanes(Emit *e, int32_t lanes, LLVMValueRef x, LLVMValueRef y) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef tops = emit_alloca(e, e->i64, lanes), bottoms = emit_alloca(e, e->i64, lanes);
    LLVMBuildStore(e->b, x, tops);
    LLVMBuildStore(e->b, y, bottoms);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, lanes));
    LLVMValueRef at = LLVMBuildGEP2(e->b, e->i64, tops, &loop.i, 1, "");
    LLVMValueRef by = LLVMBuildGEP2(e->b, e->i64, bottoms, &loop.i, 1, "");
    LLVMValueRef top = LLVMBuildLoad2(e->b, e->i64, at, "");
    LLVMValueRef bottom = LLVMBuildLoad2(e->b, e->i64, by, "");
    LLVMBuildStore(e->b, LLVMBuildSDiv(e->b, top, bottom, ""), at);
    count_close(e, &loop, const_i64(e, 1));
    return LLVMBuildLoad2(e->b, type, tops, "");
}

LLVMValueRef emit_quotient_i64(Emit *e, int32_t lanes, LLVMValueRef x, LLVMValueRef y) {
    LLVMBasicBlockRef fast = emit_block(e), slow = emit_block(e), join = emit_block(e);
    LLVMValueRef large = LLVMBuildOr(e->b, is_large(e, lanes, x), is_large(e, lanes, y), "");
    LLVMBuildCondBr(e->b, emit_any(e, large, lanes), slow, fast);
    emit_at(e, fast);
    LLVMValueRef ratio =
        LLVMBuildFDiv(e->b, small_to_f64(e, lanes, x), small_to_f64(e, lanes, y), "");
    LLVMValueRef near = f64_to_small(e, lanes, ratio);
    LLVMBuildBr(e->b, join);
    emit_at(e, slow);
    LLVMValueRef far = divide_lanes(e, lanes, x, y);
    LLVMBasicBlockRef slow_end = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, join);
    emit_at(e, join);
    LLVMValueRef quotient = emit_phi(e, LLVMTypeOf(x), near, fast);
    phi_add(quotient, far, slow_end);
    return quotient;
}

/* ---- float remainder ------------------------------------------------------------------------- */

typedef struct Remainder {
    Emit *e;          /* the compilation */
    LLVMBuilderRef b; /* its builder */
    LLVMTypeRef f64;  /* vectors of these lanes */
    LLVMTypeRef i64;
    int32_t lanes;
} Remainder;

static LLVMValueRef bits_of(const Remainder *m, LLVMValueRef x) {
    return LLVMBuildBitCast(m->b, x, m->i64, "");
}

static LLVMValueRef compare(const Remainder *m, LLVMRealPredicate predicate, LLVMValueRef x,
                            LLVMValueRef y) {
    return LLVMBuildFCmp(m->b, predicate, x, y, "");
}

static LLVMValueRef call(const Remainder *m, const char *name, LLVMValueRef x, LLVMValueRef y,
                         LLVMValueRef z) {
    LLVMTypeRef type = m->f64;
    LLVMValueRef args[] = {x, y, z};
    return emit_intrinsic(m->e, name, &type, 1, args, z ? 3 : y ? 2 : 1);
}

/* 2^n, n a small non-negative integer. */
static LLVMValueRef power_of_two(const Remainder *m, LLVMValueRef n) {
    LLVMValueRef biased = LLVMBuildAdd(m->b, n, const_int(m->i64, BIAS), "");
    LLVMValueRef bits = LLVMBuildShl(m->b, biased, const_int(m->i64, MANTISSA), "");
    return LLVMBuildBitCast(m->b, bits, m->f64, "");
}

/* Biased exponent of a positive d, zero and less for subnormals. */
static LLVMValueRef exponent_of(const Remainder *m, LLVMValueRef d) {
    LLVMValueRef small = compare(m, LLVMRealOLT, d, const_float(m->f64, 0x1p-1022));
    LLVMValueRef raised = LLVMBuildFMul(m->b, d, const_float(m->f64, ldexp(1.0, RAISE)), "");
    LLVMValueRef bits = bits_of(m, emit_select(m->e, small, raised, d));
    LLVMValueRef exponent = LLVMBuildLShr(m->b, bits, const_int(m->i64, MANTISSA), "");
    LLVMValueRef lower = LLVMBuildSub(m->b, exponent, const_int(m->i64, RAISE), "");
    return emit_select(m->e, small, lower, exponent);
}

/* d × 2^k; 2^k alone may be beyond f64. */
static LLVMValueRef scaled(const Remainder *m, LLVMValueRef d, LLVMValueRef k) {
    LLVMValueRef quarter = LLVMBuildLShr(m->b, k, const_int(m->i64, 2), "");
    LLVMValueRef three = LLVMBuildMul(m->b, quarter, const_int(m->i64, 3), "");
    LLVMValueRef factor = power_of_two(m, quarter);
    for (int i = 0; i < 3; i++) d = LLVMBuildFMul(m->b, d, factor, "");
    return LLVMBuildFMul(m->b, d, power_of_two(m, LLVMBuildSub(m->b, k, three, "")), "");
}

/* One step of the loop: r less a multiple of d. */
static LLVMValueRef reduced(const Remainder *m, LLVMValueRef r, LLVMValueRef d,
                            LLVMValueRef d_exponent) {
    LLVMValueRef zero = const_int(m->i64, 0);
    LLVMValueRef exponent = LLVMBuildLShr(m->b, bits_of(m, r), const_int(m->i64, MANTISSA), "");
    LLVMValueRef near = LLVMBuildAdd(m->b, d_exponent, const_int(m->i64, QUOTIENT_BITS), "");
    LLVMValueRef k = LLVMBuildSub(m->b, exponent, near, "");
    LLVMValueRef none = LLVMBuildOr(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, k, zero, ""),
                                    LLVMBuildICmp(m->b, LLVMIntEQ, exponent, zero, ""), "");
    LLVMValueRef t = scaled(m, d, emit_select(m->e, none, zero, k));
    LLVMValueRef q = call(m, "llvm.trunc", LLVMBuildFDiv(m->b, r, t, ""), NULL, NULL);
    LLVMValueRef rest = call(m, "llvm.fma", LLVMBuildFNeg(m->b, q, ""), t, r);
    /* the division may have rounded up to the next integer */
    LLVMValueRef below = compare(m, LLVMRealOLT, rest, const_float(m->f64, 0));
    return emit_select(m->e, below, LLVMBuildFAdd(m->b, rest, t, ""), rest);
}

static LLVMValueRef remainder_loop(const Remainder *m, LLVMValueRef r0, LLVMValueRef d) {
    Emit *e = m->e;
    LLVMValueRef d_exponent = exponent_of(m, d);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(m->b);
    LLVMBasicBlockRef head = emit_block(e), body = emit_block(e), done = emit_block(e);
    LLVMBuildBr(m->b, head);
    emit_at(e, head);
    LLVMValueRef r = emit_phi(e, m->f64, r0, before);
    LLVMValueRef open = compare(m, LLVMRealOGE, r, d);
    LLVMBuildCondBr(m->b, emit_any(e, open, m->lanes), body, done);
    emit_at(e, body);
    LLVMValueRef next = emit_select(e, open, reduced(m, r, d, d_exponent), r);
    phi_add(r, next, body);
    LLVMBuildBr(m->b, head);
    emit_at(e, done);
    return r;
}

LLVMValueRef emit_fmod(Emit *e, sn_dtype dtype, int32_t lanes, LLVMValueRef x, LLVMValueRef y) {
    Remainder m = {e, e->b, type_lanes(e->f64, lanes), type_lanes(e->i64, lanes), lanes};
    x = emit_cast(e, SN_F64, dtype, lanes, x);
    y = emit_cast(e, SN_F64, dtype, lanes, y);
    LLVMValueRef top = call(&m, "llvm.fabs", x, NULL, NULL);
    LLVMValueRef d = call(&m, "llvm.fabs", y, NULL, NULL);
    LLVMValueRef finite = compare(&m, LLVMRealOLT, top, const_float(m.f64, INFINITY));
    LLVMValueRef positive = compare(&m, LLVMRealOGT, d, const_float(m.f64, 0));
    LLVMValueRef good = LLVMBuildAnd(e->b, finite, positive, "");
    LLVMValueRef r = remainder_loop(&m, emit_select(e, good, top, const_float(m.f64, 0)),
                                    emit_select(e, good, d, const_float(m.f64, 1)));
    r = call(&m, "llvm.copysign", r, x, NULL);
    r = emit_select(e, good, r, const_float(m.f64, NAN));
    return emit_cast(e, dtype, SN_F64, lanes, r);
}
