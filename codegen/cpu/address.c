/* Addresses. The address of an access is that of its argument in the current item, the offset, and its
 * terms; what is known when a loop opens is added there, the rest where the access stands. Lanes are
 * strides or offsets apart. */
#include "codegen/cpu/emit.h"

/* ---- scalar addresses ------------------------------------------------------------------------ */

void emit_locate_accesses(Emit *e, LLVMValueRef *const bases, LLVMValueRef *address) {
    for (uint32_t c = 0; c < e->kernel->accesses.count; c++) {
        const KAccess *access = kernel_access(e->kernel, c);
        LLVMValueRef offset = emit_coef(e, access->offset);
        address[c] = bases[access->arg] ? bases[access->arg] : e->local_base[access->arg];
        if (!kcoef_is(access->offset, 0))
            address[c] =
                LLVMBuildGEP2(e->b, type_element(e, access->arg), address[c], &offset, 1, "");
    }
}

/* Scalar (lane 0, copy 0) factor of a term; NULL while its loop is not open or when it varies. */
static LLVMValueRef term_factor(Emit *e, const KTerm *term) {
    SN_ASSERT((term->value == KVALUE_NONE) == (term->axis != KVALUE_NONE));
    return term->value == KVALUE_NONE ? e->index[term->axis] : value_scalar(e, term->value, 0);
}

static LLVMValueRef times(Emit *e, LLVMBuilderRef b, LLVMValueRef x, KCoef coef) {
    return kcoef_is(coef, 1) ? x : LLVMBuildMul(b, x, emit_coef(e, coef), "");
}

static LLVMValueRef plus(LLVMBuilderRef b, LLVMValueRef sum, LLVMValueRef x) {
    return sum ? LLVMBuildAdd(b, sum, x, "") : x;
}

LLVMValueRef emit_address(Emit *e, uint32_t access) {
    const KAccess *a = kernel_access(e->kernel, access);
    LLVMValueRef sum = NULL;
    for (uint32_t t = 0; t < a->n_terms; t++) {
        const KTerm *term = kernel_term(e->kernel, a, t);
        if (kcoef_is(term->coef, 0) || (t < 64 && e->folded[access] >> t & 1)) continue;
        LLVMValueRef factor = term_factor(e, term);
        if (factor) sum = plus(e->b, sum, times(e, e->b, factor, term->coef));
    }
    if (!sum) return e->address[access];
    return emit_element(e, type_element(e, a->arg), e->address[access], sum);
}

/* Adds the terms of one access that are known when `loop` opens. */
static void fold_access(Emit *e, const KLoop *loop, uint32_t access) {
    const KAccess *a = kernel_access(e->kernel, access);
    LLVMValueRef sum = NULL;
    for (uint32_t t = 0; t < a->n_terms && t < 64; t++) {
        const KTerm *term = kernel_term(e->kernel, a, t);
        bool known = term->value == KVALUE_NONE || term->value < loop->begin;
        if (kcoef_is(term->coef, 0) || e->folded[access] >> t & 1 || !known) continue;
        LLVMValueRef factor = term_factor(e, term);
        if (!factor) continue;
        e->folded[access] |= UINT64_C(1) << t;
        sum = plus(e->b, sum, times(e, e->b, factor, term->coef));
    }
    LLVMValueRef at = e->address[access];
    if (sum) at = emit_element(e, type_element(e, a->arg), at, sum);
    e->address[access] = emit_opaque(e->b, at);
}

void address_fold(Emit *e, const KLoop *loop) {
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        if (kop_is_access(inst->op)) fold_access(e, loop, (uint32_t)inst->imm);
    }
}

/* ---- lanes ----------------------------------------------------------------------------------- */

LLVMValueRef emit_lane_stride(Emit *e, const KAccess *a) {
    SN_ASSERT(e->vector);
    LLVMValueRef sum = NULL;
    for (uint32_t t = 0; t < a->n_terms; t++) {
        const KTerm *term = kernel_term(e->kernel, a, t);
        int64_t step = term->axis == e->vector->loop->axis;
        if (term->value != KVALUE_NONE)
            step = term->value < e->vector->loop->begin ? 0 : e->spread[term->value].step;
        if (step == 0 || kcoef_is(term->coef, 0)) continue;
        LLVMValueRef part = const_i64(e, step);
        if (!kcoef_is(term->coef, 1))
            part = LLVMBuildMul(e->side, emit_coef(e, term->coef), part, "");
        sum = plus(e->side, sum, part);
    }
    return sum;
}

LLVMValueRef emit_lane_offsets(Emit *e, const KAccess *a, LLVMValueRef stride, int32_t copy) {
    LLVMValueRef sum = NULL;
    if (stride) {
        LLVMValueRef numbers = const_lane_numbers(e, e->i64, e->lanes, 1);
        LLVMValueRef all = emit_splat(e, e->side, stride, e->lanes);
        sum = LLVMBuildMul(e->side, all, numbers, "");
    }
    for (uint32_t t = 0; t < a->n_terms; t++) {
        const KTerm *term = kernel_term(e->kernel, a, t);
        if (term->value == KVALUE_NONE || kcoef_is(term->coef, 0)) continue;
        if (value_scalar(e, term->value, copy)) continue;
        LLVMValueRef x = value_vector(e, term->value, copy);
        if (!kcoef_is(term->coef, 1)) {
            LLVMPositionBuilderBefore(e->side, LLVMGetBasicBlockTerminator(e->before));
            LLVMValueRef coef = emit_splat(e, e->side, emit_coef(e, term->coef), e->lanes);
            x = LLVMBuildMul(e->b, x, coef, "");
        }
        sum = plus(e->b, sum, x);
    }
    return sum;
}

/* ---- rows ------------------------------------------------------------------------------------ */

LLVMValueRef emit_innermost_dim(Emit *e) {
    LLVMValueRef rank = emit_word(e, e->entry, const_i64(e, KPARAM_RANK)), one = const_i64(e, 1);
    LLVMValueRef some = LLVMBuildICmp(e->entry, LLVMIntSGT, rank, one, "");
    rank = LLVMBuildSelect(e->entry, some, rank, one, "");
    return LLVMBuildSub(e->entry, rank, one, "");
}

LLVMValueRef emit_stride_word(Emit *e, LLVMBuilderRef b, LLVMValueRef dim, uint32_t arg) {
    LLVMValueRef first = const_i64(e, KPARAM_STRIDES + SN_MAX_RANK * (int64_t)arg);
    return LLVMBuildAdd(b, dim, first, "");
}

LLVMValueRef emit_row_step(Emit *e, uint32_t arg) {
    if (!e->row_step[arg]) {
        LLVMValueRef innermost = emit_innermost_dim(e);
        e->row_step[arg] = emit_word(e, e->entry, emit_stride_word(e, e->entry, innermost, arg));
    }
    return e->row_step[arg];
}
