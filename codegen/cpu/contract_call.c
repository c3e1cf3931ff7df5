/* What a contraction's parts are called with, and where its columns lie; see contract_driver.h. */
#include "codegen/cpu/contract_driver.h"

KCoef contract_column_step(const Driver *d) {
    return kcontract_step(d->e->kernel, d->contract->plain, d->contract->column_axis);
}
KCoef contract_k_step(const Driver *d) {
    return kcontract_step(d->e->kernel, d->contract->plain, d->contract->k_axis);
}

LLVMValueRef contract_locate(const Driver *d, const Run *run, const Group *group,
                             LLVMValueRef column) {
    Emit *e = d->e;
    LLVMValueRef number = const_i64(e, d->contract->plain->arg);
    LLVMValueRef base = LLVMGetParam(e->function, ARG_ARGS);
    base = LLVMBuildGEP2(e->b, e->ptr, base, &number, 1, "");
    base = LLVMBuildLoad2(e->b, e->ptr, base, "");
    column = LLVMBuildAdd(e->b, group->first, column, "");
    LLVMValueRef at =
        LLVMBuildAdd(e->b, run->columns, emit_coef(e, d->contract->plain->offset), "");
    LLVMValueRef part = LLVMBuildMul(e->b, column, emit_coef(e, contract_column_step(d)), "");
    at = LLVMBuildAdd(e->b, at, part, "");
    part = LLVMBuildMul(e->b, group->chunk, emit_coef(e, contract_k_step(d)), "");
    at = LLVMBuildAdd(e->b, at, part, "");
    return LLVMBuildGEP2(e->b, contract_element(d), base, &at, 1, "");
}

/* ---- calls of parts -------------------------------------------------------------------------- */

static LLVMValueRef word_at(const Driver *d, LLVMValueRef words, LLVMValueRef number) {
    return LLVMBuildGEP2(d->e->b, d->e->i64, words, &number, 1, "");
}

/* Copies words [from, to) of the call to those from `into` on. */
static void copy_words(const Driver *d, int64_t from, int64_t to, int64_t into) {
    Emit *e = d->e;
    CountLoop loop = count_open(e, const_i64(e, from), const_i64(e, to));
    LLVMValueRef word = emit_word(e, e->b, loop.i);
    LLVMValueRef at = LLVMBuildAdd(e->b, loop.i, const_i64(e, into - from), "");
    LLVMBuildStore(e->b, word, word_at(d, d->params, at));
    count_close(e, &loop, const_i64(e, 1));
}

/* The stride words of the parts' argument. */
static int64_t own_strides(const Driver *d) {
    return KPARAM_STRIDES + SN_MAX_RANK * (int64_t)d->e->kernel->args.count;
}

static void set_param(const Driver *d, int32_t which, LLVMValueRef value) {
    int64_t word = own_strides(d) + SN_MAX_RANK + d->e->kernel->n_params + which;
    if (value) LLVMBuildStore(d->e->b, value, word_at(d, d->params, const_i64(d->e, word)));
}

/* Words and addresses of the parts' calls, but for what changes from call to call. */
void contract_prepare(Driver *d) {
    Emit *e = d->e;
    int64_t args = (int64_t)e->kernel->args.count, strides = own_strides(d);
    d->args = emit_alloca(e, e->ptr, args + 1);
    d->params =
        emit_alloca(e, e->i64, strides + SN_MAX_RANK + e->kernel->n_params + CONTRACT_PARAMS);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, args));
    LLVMValueRef from =
        LLVMBuildGEP2(e->b, e->ptr, LLVMGetParam(e->function, ARG_ARGS), &loop.i, 1, "");
    LLVMValueRef to = LLVMBuildGEP2(e->b, e->ptr, d->args, &loop.i, 1, "");
    LLVMBuildStore(e->b, LLVMBuildLoad2(e->b, e->ptr, from, ""), to);
    count_close(e, &loop, const_i64(e, 1));
    copy_words(d, 0, strides, 0);
    loop = count_open(e, const_i64(e, strides), const_i64(e, strides + SN_MAX_RANK));
    LLVMBuildStore(e->b, const_i64(e, 0), word_at(d, d->params, loop.i));
    count_close(e, &loop, const_i64(e, 1));
    copy_words(d, strides, strides + e->kernel->n_params, strides + SN_MAX_RANK);
    set_param(d, CONTRACT_PANEL, const_i64(e, d->panel));
}

/* Elements from row to row of a part's argument. */
static int64_t row_stride(const Driver *d, ContractPart part) {
    if (part == PART_COLUMNS) return 0;
    return part == PART_ROWS ? d->row : d->group;
}

/* The argument begins as many rows before its memory as the point does in its line: it is addressed by
 * points. */
static void set_own_arg(const Driver *d, const PartCall *call) {
    Emit *e = d->e;
    int64_t stride = row_stride(d, call->part);
    LLVMValueRef back = LLVMBuildMul(e->b, call->place, const_i64(e, -stride), "");
    LLVMValueRef number = const_i64(e, (int64_t)e->kernel->args.count);
    LLVMValueRef arg = LLVMBuildGEP2(e->b, e->ptr, d->args, &number, 1, "");
    LLVMBuildStore(e->b, contract_at(d, call->memory, back, 0), arg);
    LLVMValueRef word = LLVMBuildAdd(e->b, d->innermost, const_i64(e, own_strides(d)), "");
    LLVMBuildStore(e->b, const_i64(e, stride), word_at(d, d->params, word));
}

void contract_call(const Driver *d, const PartCall *call) {
    Emit *e = d->e;
    LLVMValueRef function = d->parts[call->part];
    set_own_arg(d, call);
    set_param(d, CONTRACT_FIRST_COLUMN, call->first_column);
    set_param(d, CONTRACT_COLUMNS, call->columns);
    set_param(d, CONTRACT_FIRST_K, call->first_k);
    set_param(d, CONTRACT_K, call->steps);
    LLVMValueRef args[ARG_COUNT] = {[ARG_ARGS] = d->args,
                                    [ARG_PARAMS] = d->params,
                                    [ARG_BEGIN] = call->point,
                                    [ARG_END] = LLVMBuildAdd(e->b, call->point, call->points, ""),
                                    [ARG_SCRATCH] = LLVMGetParam(e->function, ARG_SCRATCH),
                                    [ARG_ERROR] = LLVMGetParam(e->function, ARG_ERROR)};
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(function), function, args, ARG_COUNT, "");
}
