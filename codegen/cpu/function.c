/* From a kernel to the LLVM function: arrays of the emitter, the entry block (memory of the function,
 * parameters, everything that is the same for all items) and the floating point mode. The loop over items
 * is in items.c. */
#include "codegen/cpu/emit.h"

#include "base/status.h"

#include <string.h>

/* The rounding mode and masks every kernel runs with: to nearest, subnormals kept, no traps. */
enum { MXCSR_WANTED = 0x1f80, MXCSR_FLAGS = 0x3f };

/* ---- arguments and memory -------------------------------------------------------------------- */

void function_mark(Emit *e, const char *name, const char *value) {
    LLVMAttributeRef attribute =
        value ? LLVMCreateStringAttribute(e->context, name, (unsigned)strlen(name), value,
                                          (unsigned)strlen(value))
              : LLVMCreateEnumAttribute(e->context,
                                        LLVMGetEnumAttributeKindForName(name, strlen(name)), 0);
    const LLVMAttributeIndex on_function = ~(LLVMAttributeIndex)0; /* LLVMAttributeFunctionIndex */
    LLVMAddAttributeAtIndex(e->function, on_function, attribute);
}

void function_declare(Emit *e, const char *name, LLVMTypeRef *types, uint32_t count) {
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->context), types, count, false);
    e->function = LLVMAddFunction(e->module, name, type);
    function_mark(e, "nounwind", NULL);
    function_mark(e, "prefer-vector-width", e->target->vector_bits == 512 ? "512" : "256");
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

/* ---- the floating point mode ----------------------------------------------------------------- */

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

static void enter_mode(Emit *e) {
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

/* ---- the whole ------------------------------------------------------------------------------- */

LLVMBasicBlockRef function_open(Emit *e, const char *name) {
    LLVMTypeRef types[ARG_COUNT] = {e->ptr, e->ptr, e->i64, e->i64, e->ptr, e->ptr};
    function_declare(e, name, types, ARG_COUNT);
    LLVMBasicBlockRef entry = emit_block(e), start = emit_block(e);
    LLVMPositionBuilderAtEnd(e->entry, entry);
    emit_at(e, start);
    enter_mode(e);
    return start;
}

void function_close(Emit *e, LLVMBasicBlockRef start) {
    if (e->shape.floats) switch_mxcsr(e, e->mxcsr);
    if (e->streamed) emit_intrinsic(e, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
    LLVMBuildRetVoid(e->b);
    LLVMBuildBr(e->entry, start);
}

sn_status emit_open(Emit *e) {
    if (!shape_make(e) || !allocate(e) || !defer_open(e)) return error_memory(e->error);
    name_types(e);
    return SN_OK;
}

sn_status emit_kernel(Emit *e, const char *name) {
    LLVMBasicBlockRef start = function_open(e, name);
    e->grid_index = emit_alloca(e, e->i64, SN_MAX_RANK);
    place_locals(e);
    if (!emit_items(e)) return error_memory(e->error);
    function_close(e, start);
    if (e->status == SN_ERROR_MEMORY) return error_memory(e->error);
    return e->status;
}
