/* What a contraction's parts are called with, and where its columns lie; see contract_driver.h. */
#include "codegen/cpu/contract_driver.h"

#include <stdio.h>

/* ---- functions beside the whole -------------------------------------------------------------- */

LLVMValueRef contract_aside_open(const Driver *d, const char *name, const char *suffix,
                                 const AsideType *types, uint32_t count, LLVMValueRef *params) {
    enum { MOST = 16 };
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

/* The access at its first column and the step of K. */
static LLVMValueRef locate(const Driver *d, const KAccess *access, LLVMValueRef k,
                           LLVMValueRef offset) {
    Emit *e = d->e;
    LLVMValueRef number = const_i64(e, access->arg);
    LLVMValueRef base = LLVMGetParam(e->function, ARG_ARGS);
    base = LLVMBuildGEP2(e->b, e->ptr, base, &number, 1, "");
    base = LLVMBuildLoad2(e->b, e->ptr, base, "");
    LLVMValueRef at = LLVMBuildAdd(e->b, offset, emit_coef(e, access->offset), "");
    LLVMValueRef step = contract_step(d, access, d->contract->k_axis);
    at = LLVMBuildAdd(e->b, at, LLVMBuildMul(e->b, k, step, ""), "");
    return contract_at(d, base, at, 0);
}

LLVMValueRef contract_locate(const Driver *d, const Run *run, const Group *group,
                             LLVMValueRef column) {
    Emit *e = d->e;
    const KAccess *access = d->contract->plain;
    LLVMValueRef step = contract_step(d, access, d->contract->column_axis);
    column = LLVMBuildAdd(e->b, group->first, column, "");
    LLVMValueRef part = LLVMBuildMul(e->b, column, step, "");
    return contract_at(d, locate(d, access, group->chunk, run->column_offset), part, 0);
}

LLVMValueRef contract_locate_row(const Driver *d, const KAccess *access, LLVMValueRef point,
                                 LLVMValueRef k) {
    return locate(d, access, k, contract_offset(d, access->arg, point));
}

LLVMValueRef contract_offset(const Driver *d, uint32_t arg, LLVMValueRef point) {
    Emit *e = d->e;
    LLVMValueRef left = emit_alloca(e, e->i64, 1), sum = emit_alloca(e, e->i64, 1);
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK));
    LLVMBuildStore(e->b, point, left);
    LLVMBuildStore(e->b, const_i64(e, 0), sum);
    CountLoop loop = count_open(e, const_i64(e, 0), rank);
    LLVMValueRef dim =
        LLVMBuildSub(e->b, LLVMBuildSub(e->b, rank, loop.i, ""), const_i64(e, 1), "");
    LLVMValueRef size = emit_word(e, e->b, LLVMBuildAdd(e->b, dim, const_i64(e, KPARAM_SIZES), ""));
    LLVMValueRef stride = emit_word(e, e->b, emit_stride_word(e, e->b, dim, arg));
    LLVMValueRef rest = LLVMBuildLoad2(e->b, e->i64, left, "");
    LLVMValueRef part = LLVMBuildMul(e->b, LLVMBuildURem(e->b, rest, size, ""), stride, "");
    LLVMBuildStore(e->b, LLVMBuildUDiv(e->b, rest, size, ""), left);
    LLVMBuildStore(e->b, LLVMBuildAdd(e->b, LLVMBuildLoad2(e->b, e->i64, sum, ""), part, ""), sum);
    count_close(e, &loop, const_i64(e, 1));
    return LLVMBuildLoad2(e->b, e->i64, sum, "");
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

/* The numbered parameters of parts. */
static int64_t own_params(const Driver *d) {
    int64_t own = d->hoisted.count ? 2 : 1;
    return own_strides(d) + SN_MAX_RANK * own;
}

void contract_set_param(const Driver *d, int32_t which, LLVMValueRef value) {
    int64_t word = own_params(d) + d->e->kernel->n_params + which;
    if (value) LLVMBuildStore(d->e->b, value, word_at(d, d->params, const_i64(d->e, word)));
}

/* Words and addresses of the parts' calls, but for what changes from call to call. */
void contract_prepare(Driver *d) {
    Emit *e = d->e;
    int64_t args = (int64_t)e->kernel->args.count, strides = own_strides(d);
    int64_t first = own_params(d);
    d->args = emit_alloca(e, e->ptr, args + 2);
    d->params = emit_alloca(e, e->i64, first + e->kernel->n_params + CONTRACT_PARAMS);
    LLVMValueRef words = LLVMGetParam(e->function, ARG_PARAMS);
    copy_words(d, LLVMGetParam(e->function, ARG_ARGS), 0, d->args, 0, args);
    copy_words(d, words, 0, d->params, 0, strides);
    for (int64_t i = strides; i < first; i++)
        LLVMBuildStore(e->b, const_i64(e, 0), word_at(d, d->params, const_i64(e, i)));
    LLVMValueRef behind = const_i64(e, args + 1);
    if (d->hoisted.count)
        LLVMBuildStore(e->b, d->values, LLVMBuildGEP2(e->b, e->ptr, d->args, &behind, 1, ""));
    copy_words(d, words, strides, d->params, first, e->kernel->n_params);
    contract_set_param(d, CONTRACT_PANEL, const_i64(e, d->panel));
    for (int32_t i = CONTRACT_SEGMENT; i < CONTRACT_PARAMS; i++)
        contract_set_param(d, i, const_i64(e, 0));
}

/* Elements from row to row of a part's argument. */
static int64_t row_stride(const Driver *d, ContractPart part) {
    if (part == PART_PLACES) return 1;
    if (part == PART_ROWS) return d->row;
    return part == PART_RESULTS ? d->group : 0;
}

/* The argument begins as many rows before its memory as points are before the first: it is addressed by
 * points. */
static void set_own_arg(const Driver *d, const PartCall *call) {
    Emit *e = d->e;
    int64_t stride = row_stride(d, call->part);
    LLVMValueRef back = LLVMBuildMul(e->b, call->point, const_i64(e, -stride), "");
    LLVMValueRef number = const_i64(e, (int64_t)e->kernel->args.count);
    LLVMValueRef arg = LLVMBuildGEP2(e->b, e->ptr, d->args, &number, 1, "");
    LLVMTypeRef element = call->part == PART_PLACES ? e->i64 : contract_element(d);
    LLVMBuildStore(e->b, LLVMBuildGEP2(e->b, element, call->memory, &back, 1, ""), arg);
}

/* Its strides. */
static void set_own_strides(const Driver *d, const PartCall *call) {
    Emit *e = d->e;
    LLVMValueRef stride = const_i64(e, row_stride(d, call->part));
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK));
    CountLoop dims = count_open(e, const_i64(e, 0), rank);
    LLVMValueRef points = LLVMBuildLoad2(e->b, e->i64, word_at(d, d->dense, dims.i), "");
    LLVMValueRef word = LLVMBuildAdd(e->b, dims.i, const_i64(e, own_strides(d)), "");
    LLVMBuildStore(e->b, LLVMBuildMul(e->b, points, stride, ""), word_at(d, d->params, word));
    count_close(e, &dims, const_i64(e, 1));
}

static void call_part(const Driver *d, const PartCall *call) {
    Emit *e = d->e;
    LLVMValueRef function = d->parts[call->part];
    LLVMValueRef args[ARG_COUNT] = {[ARG_ARGS] = d->args,
                                    [ARG_PARAMS] = d->params,
                                    [ARG_BEGIN] = call->point,
                                    [ARG_END] = LLVMBuildAdd(e->b, call->point, call->points, ""),
                                    [ARG_SCRATCH] = LLVMGetParam(e->function, ARG_SCRATCH),
                                    [ARG_ERROR] = LLVMGetParam(e->function, ARG_ERROR)};
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(function), function, args, ARG_COUNT, "");
}

LLVMValueRef contract_segment(const Driver *d, ContractPart part) {
    KValue divisor = contract_segments(d->contract, part).divisor;
    if (divisor == KVALUE_NONE) return NULL;
    return emit_coef(d->e, kcoef_param((int32_t)kernel_inst(d->e->kernel, divisor)->imm));
}

Piece contract_piece(const Driver *d, ContractPart part, LLVMValueRef k, LLVMValueRef end) {
    Emit *e = d->e;
    Piece piece = {.k = k, .steps = LLVMBuildSub(e->b, end, k, "")};
    piece.length = contract_segment(d, part);
    if (!piece.length) return piece;
    piece.segment = LLVMBuildUDiv(e->b, k, piece.length, "");
    piece.within = LLVMBuildURem(e->b, k, piece.length, "");
    LLVMValueRef left = LLVMBuildSub(e->b, piece.length, piece.within, "");
    piece.steps = contract_least(e, piece.steps, left);
    return piece;
}

void contract_call_piece(const Driver *d, const PartCall *call, const Piece *piece) {
    set_own_strides(d, call);
    set_own_arg(d, call);
    contract_set_param(d, CONTRACT_FIRST_COLUMN, call->first_column);
    contract_set_param(d, CONTRACT_COLUMNS, call->columns);
    contract_set_param(d, CONTRACT_FIRST_K, piece->k);
    contract_set_param(d, CONTRACT_K, piece->steps);
    contract_set_param(d, CONTRACT_SEGMENT, piece->segment);
    contract_set_param(d, CONTRACT_WITHIN, piece->within);
    call_part(d, call);
}

void contract_call(const Driver *d, const PartCall *call) {
    Emit *e = d->e;
    if (contract_segments(d->contract, call->part).divisor == KVALUE_NONE) {
        contract_call_piece(d, call, &(Piece){.k = call->first_k, .steps = call->steps});
        return;
    }
    LLVMValueRef end = LLVMBuildAdd(e->b, call->first_k, call->steps, "");
    int64_t apart = call->part == PART_ROWS ? 1 : d->panel;
    CountLoop k = count_open(e, call->first_k, end);
    Piece piece = contract_piece(d, call->part, k.i, end);
    LLVMValueRef before = LLVMBuildSub(e->b, k.i, call->first_k, "");
    before = LLVMBuildMul(e->b, before, const_i64(e, apart), "");
    PartCall own = *call;
    own.memory = contract_at(d, call->memory, before, 0);
    contract_call_piece(d, &own, &piece);
    count_close(e, &k, piece.steps);
}
