/* What a contraction's parts are called with, and where its columns lie; see contract_driver.h. */
#include "codegen/cpu/contract_driver.h"

#include <stdio.h>

/* ---- functions beside the whole -------------------------------------------------------------- */

LLVMValueRef contract_aside_open(const Driver *d, const char *name, const char *suffix,
                                 const AsideType *types, uint32_t count, LLVMValueRef *params) {
    enum { MOST = 12 };
    Emit *e = d->e;
    char text[96];
    LLVMTypeRef own[MOST];
    SN_ASSERT(count <= MOST);
    for (uint32_t i = 0; i < count; i++) own[i] = types[i] == ASIDE_PTR ? e->ptr : e->i64;
    snprintf(text, sizeof text, "%s_%s", name, suffix);
    function_declare(e, text, own, count);
    LLVMSetLinkage(e->function, LLVMInternalLinkage);
    emit_at(e, emit_block(e));
    for (uint32_t i = 0; i < count; i++) params[i] = LLVMGetParam(e->function, i);
    return e->function;
}

void contract_aside_close(const Driver *d) {
    LLVMBuildRetVoid(d->e->b);
}

void contract_aside_call(const Driver *d, LLVMValueRef function, LLVMValueRef *args,
                         uint32_t count) {
    LLVMBuildCall2(d->e->b, LLVMGlobalGetValueType(function), function, args, count, "");
}

/* ---- operands that are memory ---------------------------------------------------------------- */

/* The access at its first column and the group's first step of K. */
static LLVMValueRef locate(const Driver *d, const KAccess *access, const Group *group,
                           LLVMValueRef offset) {
    Emit *e = d->e;
    LLVMValueRef number = const_i64(e, access->arg);
    LLVMValueRef base = LLVMGetParam(e->function, ARG_ARGS);
    base = LLVMBuildGEP2(e->b, e->ptr, base, &number, 1, "");
    base = LLVMBuildLoad2(e->b, e->ptr, base, "");
    LLVMValueRef at = LLVMBuildAdd(e->b, offset, emit_coef(e, access->offset), "");
    LLVMValueRef step = contract_step(d, access, d->contract->k_axis);
    at = LLVMBuildAdd(e->b, at, LLVMBuildMul(e->b, group->chunk, step, ""), "");
    return contract_at(d, base, at, 0);
}

LLVMValueRef contract_locate(const Driver *d, const Run *run, const Group *group,
                             LLVMValueRef column) {
    Emit *e = d->e;
    const KAccess *access = d->contract->plain;
    LLVMValueRef step = contract_step(d, access, d->contract->column_axis);
    column = LLVMBuildAdd(e->b, group->first, column, "");
    LLVMValueRef part = LLVMBuildMul(e->b, column, step, "");
    return contract_at(d, locate(d, access, group, run->column_offset), part, 0);
}

LLVMValueRef contract_locate_rows(const Driver *d, const Run *run, const Group *group) {
    return locate(d, d->contract->plain_row, group, run->row_offset);
}

/* ---- calls of parts -------------------------------------------------------------------------- */

static LLVMValueRef word_at(const Driver *d, LLVMValueRef words, LLVMValueRef number) {
    return LLVMBuildGEP2(d->e->b, d->e->i64, words, &number, 1, "");
}

/* Copies `count` words, some at a time. */
static void copy_words(const Driver *d, LLVMValueRef from, int64_t at, LLVMValueRef to,
                       int64_t into, int64_t count) {
    enum { MOST = 4 };
    Emit *e = d->e;
    for (int64_t i = 0; i < count;) {
        int32_t words = count - i < MOST ? 1 : MOST;
        LLVMValueRef source = word_at(d, from, const_i64(e, at + i));
        LLVMValueRef word = LLVMBuildLoad2(e->b, type_lanes(e->i64, words), source, "");
        LLVMValueRef copy = LLVMBuildStore(e->b, word, word_at(d, to, const_i64(e, into + i)));
        LLVMSetAlignment(word, 8);
        LLVMSetAlignment(copy, 8);
        i += words;
    }
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
    LLVMValueRef words = LLVMGetParam(e->function, ARG_PARAMS);
    copy_words(d, LLVMGetParam(e->function, ARG_ARGS), 0, d->args, 0, args);
    copy_words(d, words, 0, d->params, 0, strides);
    for (int32_t i = 0; i < SN_MAX_RANK; i++)
        LLVMBuildStore(e->b, const_i64(e, 0), word_at(d, d->params, const_i64(e, strides + i)));
    copy_words(d, words, strides, d->params, strides + SN_MAX_RANK, e->kernel->n_params);
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
