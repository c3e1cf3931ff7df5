/* From a kernel to the LLVM function: the entry block (memory of the function, parameters, everything
 * that is the same for all items), the rounding mode, the walk over instructions. The loop over
 * items is in items.c. */
#include "codegen/cpu/emit.h"

#include "base/status.h"

#include <string.h>

/* The rounding mode and masks every kernel runs with: to nearest, subnormals kept, no traps. */
enum { MXCSR_WANTED = 0x1f80, MXCSR_FLAGS = 0x3f };

void emit_fail(Emit *e, const char *message) {
    if (e->status == SN_OK) e->status = error_set(e->error, SN_ERROR_COMPILE, "%s", message);
}

/* ---- instructions ---------------------------------------------------------------------------- */

static void emit_value(Emit *e, uint32_t at, LLVMValueRef scalar) {
    value_set_scalar(e, at, 0, scalar);
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
    LLVMValueRef x =
        emit_prim(e, (OpCode)inst->op, (sn_dtype)inst->dtype, in_dtype, lanes, in, inst);
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
        int32_t copies = once_for_copies(e, at) ? 1 : e->copies;
        for (int32_t c = 0; c < copies; c++) emit_inst(e, at, c);
    }
}

/* ---- the function ---------------------------------------------------------------------------- */

static void add_attribute(Emit *e, const char *name, const char *value) {
    LLVMAttributeRef attribute =
        value ? LLVMCreateStringAttribute(e->context, name, (unsigned)strlen(name), value,
                                          (unsigned)strlen(value))
              : LLVMCreateEnumAttribute(e->context,
                                        LLVMGetEnumAttributeKindForName(name, strlen(name)), 0);
    const LLVMAttributeIndex on_function = ~(LLVMAttributeIndex)0; /* LLVMAttributeFunctionIndex */
    LLVMAddAttributeAtIndex(e->function, on_function, attribute);
}

static void declare_function(Emit *e, const char *name) {
    LLVMTypeRef types[ARG_COUNT] = {e->ptr, e->ptr, e->i64, e->i64, e->ptr, e->ptr};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->context), types, ARG_COUNT, false);
    e->function = LLVMAddFunction(e->module, name, type);
    add_attribute(e, "nounwind", NULL);
    add_attribute(e, "prefer-vector-width", e->target->vector_bits == 512 ? "512" : "256");
}

/* kernel_local_bytes of an argument, in the entry block. */
static LLVMValueRef local_bytes(Emit *e, const KArg *arg) {
    int64_t size = (int64_t)sn_dtype_size((sn_dtype)arg->dtype);
    LLVMValueRef bytes = LLVMBuildMul(e->entry, emit_coef(e, arg->size), const_i64(e, size), "");
    bytes = LLVMBuildAdd(e->entry, bytes, const_i64(e, KLOCAL_ALIGN - 1), "");
    bytes = LLVMBuildAnd(e->entry, bytes, const_i64(e, -(int64_t)KLOCAL_ALIGN), "");
    return LLVMBuildAdd(e->entry, bytes, const_i64(e, KLOCAL_GAP), "");
}

/* LOCAL arguments lie in scratch one behind the other. */
static void place_locals(Emit *e) {
    LLVMValueRef scratch = LLVMGetParam(e->function, ARG_SCRATCH);
    for (uint32_t a = 0; a < e->kernel->args.count; a++) {
        const KArg *arg = &e->kernel->args.data[a];
        if (arg->role != KARG_LOCAL) continue;
        e->local_base[a] = scratch;
        LLVMValueRef bytes = local_bytes(e, arg);
        scratch = LLVMBuildGEP2(e->entry, e->i8, scratch, &bytes, 1, "");
    }
}

/* Calls stmxcsr or ldmxcsr on a word of memory. */
static void call_mxcsr(Emit *e, const char *name, LLVMValueRef memory) {
    emit_intrinsic(e, name, NULL, 0, &memory, 1);
}

/* Continues in a new block, after a detour through one that loads MXCSR from `memory` when the
 * caller's differs from the one wanted. */
static void switch_mxcsr(Emit *e, LLVMValueRef memory) {
    LLVMBasicBlockRef load = emit_block(e), next = emit_block(e);
    LLVMValueRef word = LLVMBuildLoad2(e->b, e->i32, e->mxcsr, "");
    LLVMValueRef mode = LLVMBuildAnd(e->b, word, const_int(e->i32, (uint32_t)~MXCSR_FLAGS), "");
    LLVMValueRef differs =
        LLVMBuildICmp(e->b, LLVMIntNE, mode, const_int(e->i32, MXCSR_WANTED), "");
    LLVMBuildCondBr(e->b, differs, load, next);
    emit_at(e, load);
    call_mxcsr(e, "llvm.x86.sse.ldmxcsr", memory);
    LLVMBuildBr(e->b, next);
    emit_at(e, next);
}

static void enter_rounding(Emit *e) {
    if (!e->shape.floats) return;
    e->mxcsr = emit_alloca(e, e->i32, 1);
    LLVMValueRef wanted = emit_alloca(e, e->i32, 1);
    LLVMBuildStore(e->entry, const_int(e->i32, MXCSR_WANTED), wanted);
    call_mxcsr(e, "llvm.x86.sse.stmxcsr", e->mxcsr);
    switch_mxcsr(e, wanted);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static bool allocate(Emit *e) {
    const Kernel *k = e->kernel;
    size_t pointer = sizeof(LLVMValueRef);
    size_t values = (size_t)k->insts.count * (size_t)e->shape.copies + 1;
    e->values = arena_zalloc(&e->arena, values * sizeof *e->values);
    e->params = arena_zalloc(&e->arena, ((size_t)k->n_params + 1) * pointer);
    e->local_base = arena_zalloc(&e->arena, (k->args.count + 1) * pointer);
    e->item_base = arena_zalloc(&e->arena, (k->args.count + 1) * pointer);
    e->row_step = arena_zalloc(&e->arena, (k->args.count + 1) * pointer);
    e->ahead = arena_zalloc(&e->arena, (k->args.count + 1) * pointer);
    e->address = arena_zalloc(&e->arena, (k->accesses.count + 1) * pointer);
    e->folded = arena_zalloc(&e->arena, (k->accesses.count + 1) * sizeof *e->folded);
    e->index = arena_zalloc(&e->arena, (k->axes.count + 1) * pointer);
    return e->values && e->params && e->local_base && e->item_base && e->row_step && e->ahead &&
           e->address && e->folded && e->index;
}

static void name_types(Emit *e) {
    e->i1 = LLVMInt1TypeInContext(e->context);
    e->i8 = LLVMInt8TypeInContext(e->context);
    e->i16 = LLVMInt16TypeInContext(e->context);
    e->i32 = LLVMInt32TypeInContext(e->context);
    e->i64 = LLVMInt64TypeInContext(e->context);
    e->f32 = LLVMFloatTypeInContext(e->context);
    e->f64 = LLVMDoubleTypeInContext(e->context);
    e->ptr = LLVMPointerTypeInContext(e->context, 0);
    e->lanes = 1;
    e->copies = 1;
}

sn_status emit_kernel(Emit *e, const char *name) {
    if (!shape_make(e) || !allocate(e) || !defer_open(e)) return error_memory(e->error);
    name_types(e);
    declare_function(e, name);
    LLVMBasicBlockRef entry = emit_block(e), start = emit_block(e);
    LLVMPositionBuilderAtEnd(e->entry, entry);
    emit_at(e, start);
    e->grid_index = emit_alloca(e, e->i64, SN_MAX_RANK);
    place_locals(e);
    enter_rounding(e);
    if (!emit_items(e)) return error_memory(e->error);
    if (e->shape.floats) switch_mxcsr(e, e->mxcsr);
    if (e->streamed) emit_intrinsic(e, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
    LLVMBuildRetVoid(e->b);
    LLVMBuildBr(e->entry, start);
    if (e->status == SN_ERROR_MEMORY) return error_memory(e->error);
    return e->status;
}
