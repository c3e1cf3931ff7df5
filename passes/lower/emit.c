/* Lowering, emission: instructions in the outermost loop that knows their operands, and the numbers of the
 * call that they take. */
#include "passes/lower/lower.h"

#include "base/status.h"

KValue lower_fail(Lower *l, const char *why) {
    if (!l->failed) error_set(l->context->error, SN_ERROR_INTERNAL, "lower: %s", why);
    l->failed = true;
    return KVALUE_NONE;
}

/* ---- numbers of the call --------------------------------------------------------------------- */

static KCoef new_param(Lower *l, LowerParam param) {
    if (!vec_push(&l->params, param)) lower_fail(l, "out of memory");
    l->kernel->n_params = (int32_t)l->params.count;
    return kcoef_param((int32_t)l->params.count - 1);
}

KCoef lower_param(Lower *l, Dim value) {
    return lower_param_as(l, value, SN_I64);
}

KCoef lower_param_as(Lower *l, Dim value, sn_dtype dtype) {
    return new_param(l, (LowerParam){.kind = PARAM_SIZE, .dtype = (uint8_t)dtype, .size = value});
}

KCoef lower_bits(Lower *l, int64_t bits) {
    return new_param(l, (LowerParam){.kind = PARAM_BITS, .bits = bits});
}

KCoef lower_scalar(Lower *l, uint32_t number, bool real, sn_dtype dtype) {
    return new_param(
        l, (LowerParam){
               .kind = PARAM_SCALAR, .scalar = number, .real = real, .dtype = (uint8_t)dtype});
}

/* ---- instructions ---------------------------------------------------------------------------- */

int32_t lower_depth(const Lower *l, KValue x) {
    if (x == KVALUE_NONE || x >= l->value_depth.count) return DEPTH_ITEM;
    return l->value_depth.data[x];
}

/* The depth at which an instruction stands. It may be less than its operands': a constant that came of
 * folding serves everywhere. */
static int32_t standing_depth(const Lower *l, KValue value) {
    uint32_t region = kb_region(l->builder, value);
    if (region == 0 || region == l->regions[DEPTH_ITEM]) return DEPTH_ITEM;
    return l->b_symbol != LOWER_NO_AXIS && region == l->regions[DEPTH_B] ? DEPTH_B : DEPTH_K;
}

KValue lower_depth_at(Lower *l, KValue value, int32_t depth) {
    if (value == KVALUE_NONE) return lower_fail(l, "out of memory or a bad instruction");
    int32_t standing = standing_depth(l, value);
    if (depth > standing) depth = standing;
    while (l->value_depth.count <= value)
        if (!vec_push(&l->value_depth, (uint8_t)DEPTH_ITEM)) return lower_fail(l, "out of memory");
    if (depth > l->value_depth.data[value]) l->value_depth.data[value] = (uint8_t)depth;
    return value;
}

int32_t lower_emit_at(Lower *l, const KValue *in, int32_t count) {
    int32_t depth = DEPTH_ITEM;
    for (int32_t i = 0; i < count; i++) depth = lower_deeper(depth, lower_depth(l, in[i]));
    kbuilder_at(l->builder, l->regions[depth]);
    return depth;
}

KValue lower_op(Lower *l, OpCode op, KValue x, KValue y, KValue z) {
    if (l->failed) return KVALUE_NONE;
    KValue in[3] = {x, y, z};
    int32_t depth = lower_emit_at(l, in, 3);
    KValue value = z != KVALUE_NONE   ? kb_op3(l->builder, op, x, y, z)
                   : y != KVALUE_NONE ? kb_op2(l->builder, op, x, y)
                                      : kb_op1(l->builder, op, x);
    return lower_depth_at(l, value, depth);
}

KValue lower_inst(Lower *l, KInst inst, int32_t depth) {
    if (l->failed) return KVALUE_NONE;
    return lower_depth_at(l, kb_inst(l->builder, inst), depth);
}

static KValue at_item(Lower *l, KInst inst) {
    kbuilder_at(l->builder, l->regions[DEPTH_ITEM]);
    return lower_inst(l, inst, DEPTH_ITEM);
}

KValue lower_int(Lower *l, int64_t value) {
    kbuilder_at(l->builder, l->regions[DEPTH_ITEM]);
    return lower_depth_at(l, kb_int(l->builder, SN_I64, value), DEPTH_ITEM);
}

KValue lower_word(Lower *l, sn_dtype dtype, KCoef coef) {
    return at_item(l, (KInst){.op = OP_PARAM,
                              .dtype = (uint8_t)dtype,
                              .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE},
                              .imm = (uint64_t)coef.param});
}

KValue lower_size(Lower *l, Dim size) {
    return lower_word(l, SN_I64, lower_param(l, size));
}
