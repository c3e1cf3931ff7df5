/* The walk over a kernel's instructions: each goes to who emits its form, for one vector or for several
 * side by side. */
#include "codegen/cpu/emit.h"

static void emit_value(Emit *e, uint32_t at, LLVMValueRef scalar) {
    value_set_scalar(e, at, 0, scalar);
}

/* Is a value known when the function begins? */
static bool is_given(const Emit *e, LLVMValueRef x) {
    if (!LLVMIsAInstruction(x)) return LLVMIsConstant(x);
    return LLVMGetInstructionParent(x) == LLVMGetEntryBasicBlock(e->function);
}

/* Integers made of parameters alone, such as sizes divided, are computed once a call. */
static bool is_once(const Emit *e, const KInst *inst, int32_t lanes, const LLVMValueRef *in) {
    bool fixed = lanes == 1 && (inst->dtype == SN_I64 || inst->dtype == SN_BOOL);
    for (uint32_t i = 0; fixed && i < kop_row(inst->op)->n_inputs; i++)
        fixed = !dtype_is_float((sn_dtype)kernel_inst(e->kernel, inst->in[i])->dtype) &&
                is_given(e, in[i]);
    return fixed;
}

static void emit_pure(Emit *e, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    bool vector = e->vector && is_varying(e, at);
    int32_t lanes = vector ? e->lanes : 1;
    LLVMValueRef in[3] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < kop_row(inst->op)->n_inputs; i++)
        in[i] = value_lanes(e, inst->in[i], copy, lanes);
    sn_dtype in_dtype = (sn_dtype)kernel_inst(e->kernel, inst->in[0])->dtype;
    SN_ASSERT(kop_row(inst->op)->n_inputs <= 3);
    LLVMBuilderRef here = e->b;
    if (is_once(e, inst, lanes, in)) e->b = e->entry;
    LLVMValueRef x =
        emit_prim(e, (OpCode)inst->op, (sn_dtype)inst->dtype, in_dtype, lanes, in, inst);
    e->b = here;
    if (vector)
        value_set_vector(e, at, copy, x);
    else
        value_set_scalar(e, at, copy, x);
}

/* Parameter words hold the value's bits in their low bytes. */
static LLVMValueRef param_value(Emit *e, const KInst *inst) {
    LLVMValueRef word = emit_param(e, (int32_t)inst->imm);
    sn_dtype dtype = (sn_dtype)inst->dtype;
    if (dtype == SN_BOOL) return LLVMBuildICmp(e->entry, LLVMIntNE, word, const_i64(e, 0), "");
    if (sn_dtype_size(dtype) < 8) word = LLVMBuildTrunc(e->entry, word, type_bits(e, dtype, 1), "");
    return LLVMBuildBitCast(e->entry, word, type_reg(e, dtype, 1), "");
}

static LLVMValueRef grid_index(Emit *e, uint64_t dim) {
    SN_ASSERT(dim < SN_MAX_RANK);
    LLVMValueRef number = const_i64(e, (int64_t)dim);
    LLVMValueRef at = LLVMBuildGEP2(e->b, e->i64, e->grid_index, &number, 1, "");
    return LLVMBuildLoad2(e->b, e->i64, at, "");
}

/* Index of a loop; in a vector loop the index of the copy's lane 0. */
static void emit_index(Emit *e, uint32_t at, int32_t copy) {
    uint64_t axis = kernel_inst(e->kernel, at)->imm;
    SN_ASSERT(axis < e->kernel->axes.count);
    LLVMValueRef index = e->index[axis];
    SN_ASSERT(index); /* its loop is open */
    if (copy) index = LLVMBuildAdd(e->b, index, const_i64(e, (int64_t)copy * e->lanes), "");
    value_set_scalar(e, at, copy, index);
}

/* Who asks where an element lies reads it soon: it is fetched meanwhile. Of rows far apart the machine would
 * not know which comes next. */
static LLVMValueRef address_of(Emit *e, uint32_t access) {
    enum { READ = 0, NEAREST = 3, DATA = 1 };
    LLVMValueRef at = emit_address(e, access);
    LLVMValueRef args[4] = {at, const_int(e->i32, READ), const_int(e->i32, NEAREST),
                            const_int(e->i32, DATA)};
    emit_intrinsic(e, "llvm.prefetch", &e->ptr, 1, args, 4);
    return LLVMBuildPtrToInt(e->b, at, e->i64, "");
}

void emit_inst(Emit *e, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    switch (kop_row(inst->op)->form) {
    case KFORM_PRIM:
        emit_pure(e, at, copy);
        break;
    case KFORM_CONST:
        emit_value(e, at, const_bits(e, (sn_dtype)inst->dtype, inst->imm, 1));
        break;
    case KFORM_PARAM:
        emit_value(e, at, param_value(e, inst));
        break;
    case KFORM_INDEX:
        emit_index(e, at, copy);
        break;
    case KFORM_GRID:
        emit_value(e, at, grid_index(e, inst->imm));
        break;
    case KFORM_LOAD:
        emit_load(e, at, copy);
        break;
    case KFORM_STORE:
        if (kop_adds_in_memory(inst->op))
            emit_store_add(e, at, copy);
        else
            emit_store(e, at, copy);
        break;
    case KFORM_ADDRESS:
        emit_value(e, at, address_of(e, (uint32_t)inst->imm));
        break;
    case KFORM_CHECK:
        emit_check(e, at, copy);
        break;
    case KFORM_REDUCE:
    case KFORM_SCAN:
        reduce_step(e, at, copy);
        break;
    default:
        emit_fail(e, "an instruction that the CPU code generator does not know");
        break;
    }
}

/* One instruction for all copies? A reduction takes in one operand for each of them, equal or not. */
static bool once_for_copies(const Emit *e, uint32_t at) {
    if (!e->vector || e->spread[at].kind != SPREAD_UNIFORM) return !e->vector;
    bool reduces = kop_is(kernel_inst(e->kernel, at)->op, KFORM_REDUCE);
    return !reduces || &e->loops.loops[e->loops.loop_of[at]] != e->vector->loop;
}

void emit_range(Emit *e, uint32_t first, uint32_t last) {
    SN_ASSERT(last <= e->kernel->insts.count);
    for (uint32_t at = first; at < last && e->status == SN_OK; at++) {
        if (kop_is(kernel_inst(e->kernel, at)->op, KFORM_LOOP)) {
            uint32_t loop = e->loops.loop_of[at];
            SN_ASSERT(loop < e->loops.n_loops && e->loops.loops[loop].begin == at);
            emit_loop(e, loop);
            at = e->loops.loops[loop].end;
            continue;
        }
        if (e->shape.rare[at] != KVALUE_NONE) {
            at = emit_rare(e, at);
            continue;
        }
        if (load_is_padded(e, at)) {
            at = emit_padded_load(e, at);
            continue;
        }
        if (nans_share_branch(e, at)) {
            emit_nans(e, at);
            continue;
        }
        int32_t copies = once_for_copies(e, at) ? 1 : e->copies;
        for (int32_t c = 0; c < copies; c++) emit_inst(e, at, c);
    }
}
