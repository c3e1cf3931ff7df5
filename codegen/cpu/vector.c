/* What all emitters need: failing, and small pieces of LLVM IR: types of scalars and vectors,
 * constants, lanes, blocks, and the operands of kernel instructions as scalars or vectors. A uniform
 * value stays a scalar; its broadcast is made once, before the vector loop or right behind its
 * definition. */
#include "codegen/cpu/emit.h"

#include "base/status.h"

#include <string.h>

void emit_fail(Emit *e, const char *message) {
    if (e->status == SN_OK) e->status = error_set(e->error, SN_ERROR_COMPILE, "%s", message);
}

/* ---- types ----------------------------------------------------------------------------------- */

LLVMTypeRef type_lanes(LLVMTypeRef scalar, int32_t lanes) {
    SN_ASSERT(lanes >= 1 && lanes <= LANES_MOST && (lanes & (lanes - 1)) == 0);
    return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes);
}

static LLVMTypeRef int_of_bytes(const Emit *e, size_t bytes) {
    SN_ASSERT(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
    return bytes == 1 ? e->i8 : bytes == 2 ? e->i16 : bytes == 4 ? e->i32 : e->i64;
}

LLVMTypeRef type_bits(const Emit *e, sn_dtype dtype, int32_t lanes) {
    return type_lanes(int_of_bytes(e, sn_dtype_size(dtype)), lanes);
}

LLVMTypeRef type_reg(const Emit *e, sn_dtype dtype, int32_t lanes) {
    LLVMTypeRef scalar = dtype == SN_BOOL  ? e->i1
                         : dtype == SN_F32 ? e->f32
                         : dtype == SN_F64 ? e->f64
                                           : int_of_bytes(e, sn_dtype_size(dtype));
    return type_lanes(scalar, lanes);
}

LLVMTypeRef type_memory(const Emit *e, sn_dtype dtype, int32_t lanes) {
    return dtype == SN_BOOL ? type_lanes(e->i8, lanes) : type_reg(e, dtype, lanes);
}

LLVMTypeRef type_element(const Emit *e, uint32_t arg) {
    SN_ASSERT(arg < e->kernel->args.count);
    return type_memory(e, (sn_dtype)e->kernel->args.data[arg].dtype, 1);
}

/* ---- constants ------------------------------------------------------------------------------- */

LLVMValueRef const_i64(const Emit *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

static LLVMValueRef const_repeat(LLVMValueRef scalar, int32_t lanes) {
    LLVMValueRef elements[LANES_MOST];
    SN_ASSERT(lanes > 1 && lanes <= LANES_MOST);
    for (int32_t i = 0; i < lanes; i++) elements[i] = scalar;
    return LLVMConstVector(elements, (unsigned)lanes);
}

static int32_t lanes_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int32_t)LLVMGetVectorSize(type) : 1;
}

static LLVMTypeRef scalar_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

static LLVMValueRef const_lanes(LLVMTypeRef type, LLVMValueRef scalar) {
    int32_t lanes = lanes_of(type);
    return lanes == 1 ? scalar : const_repeat(scalar, lanes);
}

LLVMValueRef const_int(LLVMTypeRef type, uint64_t value) {
    return const_lanes(type, LLVMConstInt(scalar_of(type), value, false));
}

LLVMValueRef const_float(LLVMTypeRef type, double value) {
    return const_lanes(type, LLVMConstReal(scalar_of(type), value));
}

LLVMValueRef const_bits(const Emit *e, sn_dtype dtype, uint64_t bits, int32_t lanes) {
    LLVMTypeRef type = type_reg(e, dtype, 1);
    LLVMValueRef scalar;
    if (dtype == SN_F32 || dtype == SN_F64) {
        LLVMValueRef pattern = LLVMConstInt(type_bits(e, dtype, 1), bits, false);
        scalar = LLVMConstBitCast(pattern, type);
    } else {
        scalar = LLVMConstInt(type, bits, false);
    }
    return lanes == 1 ? scalar : const_repeat(scalar, lanes);
}

LLVMValueRef const_lane_numbers(const Emit *e, LLVMTypeRef scalar, int32_t lanes, int64_t step) {
    (void)e;
    LLVMValueRef elements[LANES_MOST];
    SN_ASSERT(lanes >= 1 && lanes <= LANES_MOST);
    for (int32_t i = 0; i < lanes; i++)
        elements[i] = LLVMConstInt(scalar, (unsigned long long)(i * step), true);
    return LLVMConstVector(elements, (unsigned)lanes);
}

/* ---- instructions ---------------------------------------------------------------------------- */

LLVMValueRef emit_splat(const Emit *e, LLVMBuilderRef b, LLVMValueRef scalar, int32_t lanes) {
    if (lanes == 1) return scalar;
    if (LLVMIsConstant(scalar)) return const_repeat(scalar, lanes);
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    LLVMValueRef none = LLVMGetPoison(type);
    LLVMValueRef one = LLVMBuildInsertElement(b, none, scalar, LLVMConstInt(e->i32, 0, false), "");
    LLVMValueRef order = LLVMConstNull(LLVMVectorType(e->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(b, one, none, order, "");
}

LLVMValueRef emit_opaque(LLVMBuilderRef b, LLVMValueRef x) {
    return LLVMBuildFreeze(b, x, "");
}

LLVMValueRef emit_intrinsic(Emit *e, const char *name, LLVMTypeRef *types, uint32_t n_types,
                            LLVMValueRef *args, uint32_t n_args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    SN_ASSERT(id != 0);
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(e->module, id, types, n_types);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, types, n_types);
    return LLVMBuildCall2(e->b, type, callee, args, n_args, "");
}

LLVMValueRef emit_select(Emit *e, LLVMValueRef condition, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(e->b, condition, x, y, "");
}

LLVMValueRef emit_part(Emit *e, LLVMValueRef vector, uint32_t first, uint32_t count) {
    LLVMValueRef order[LANES_MOST];
    SN_ASSERT(count >= 1 && first + count <= (uint32_t)lanes_of(LLVMTypeOf(vector)));
    if (count == 1) return emit_lane(e, vector, (int32_t)first);
    for (uint32_t i = 0; i < count; i++) order[i] = LLVMConstInt(e->i32, first + i, false);
    LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(vector));
    return LLVMBuildShuffleVector(e->b, vector, none, LLVMConstVector(order, count), "");
}

LLVMValueRef emit_lane(Emit *e, LLVMValueRef vector, int32_t lane) {
    SN_ASSERT(lane >= 0 && lane < lanes_of(LLVMTypeOf(vector)));
    LLVMValueRef number = LLVMConstInt(e->i32, (unsigned long long)lane, false);
    return LLVMBuildExtractElement(e->b, vector, number, "");
}

LLVMValueRef emit_any(Emit *e, LLVMValueRef mask, int32_t lanes) {
    if (lanes == 1) return mask;
    LLVMTypeRef type = LLVMIntTypeInContext(e->context, (unsigned)lanes);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, mask, type, "");
    return LLVMBuildICmp(e->b, LLVMIntNE, bits, LLVMConstNull(type), "");
}

LLVMValueRef emit_alloca(Emit *e, LLVMTypeRef type, int64_t count) {
    SN_ASSERT(count > 0 && count <= INT32_MAX);
    LLVMValueRef slot =
        LLVMBuildArrayAlloca(e->entry, type, LLVMConstInt(e->i32, (unsigned)count, false), "");
    LLVMSetAlignment(slot, 64);
    return slot;
}

LLVMValueRef emit_element(Emit *e, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index) {
    return LLVMBuildGEP2(e->b, type, base, &index, 1, "");
}

LLVMBasicBlockRef emit_block(Emit *e) {
    return LLVMAppendBasicBlockInContext(e->context, e->function, "");
}

void emit_at(Emit *e, LLVMBasicBlockRef block) {
    LLVMPositionBuilderAtEnd(e->b, block);
}

void phi_add(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from) {
    SN_ASSERT(value && LLVMTypeOf(phi) == LLVMTypeOf(value));
    LLVMAddIncoming(phi, &value, &from, 1);
}

LLVMValueRef emit_phi(Emit *e, LLVMTypeRef type, LLVMValueRef value, LLVMBasicBlockRef from) {
    LLVMValueRef phi = LLVMBuildPhi(e->b, type, "");
    phi_add(phi, value, from);
    return phi;
}

CountLoop count_open(Emit *e, LLVMValueRef from, LLVMValueRef to) {
    CountLoop loop = {.head = emit_block(e), .exit = emit_block(e), .to = to};
    LLVMBasicBlockRef body = emit_block(e), before = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, loop.head);
    emit_at(e, loop.head);
    loop.i = emit_phi(e, e->i64, from, before);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, loop.i, to, ""), body, loop.exit);
    emit_at(e, body);
    return loop;
}

void count_close(Emit *e, const CountLoop *loop, LLVMValueRef step) {
    LLVMValueRef next = LLVMBuildAdd(e->b, loop->i, step, "");
    phi_add(loop->i, next, LLVMGetInsertBlock(e->b));
    LLVMBuildBr(e->b, loop->head);
    emit_at(e, loop->exit);
}

LLVMValueRef emit_word(Emit *e, LLVMBuilderRef b, LLVMValueRef number) {
    LLVMValueRef words = LLVMGetParam(e->function, ARG_PARAMS);
    return LLVMBuildLoad2(b, e->i64, LLVMBuildGEP2(b, e->i64, words, &number, 1, ""), "");
}

LLVMValueRef emit_param(Emit *e, int32_t param) {
    SN_ASSERT(param >= 0 && param < e->kernel->n_params);
    LLVMValueRef *value = &e->params[param];
    if (!*value) *value = emit_word(e, e->entry, const_i64(e, kernel_param_word(e->kernel, param)));
    return *value;
}

LLVMValueRef emit_coef(Emit *e, KCoef coef) {
    return coef.param >= 0 ? emit_param(e, coef.param) : const_i64(e, coef.value);
}

/* ---- operands -------------------------------------------------------------------------------- */

static Value *slot_of(Emit *e, KValue value, int32_t copy) {
    SN_ASSERT(value < e->kernel->insts.count && copy >= 0 && copy < e->shape.copies);
    return &e->values[(size_t)value * (size_t)e->shape.copies + (size_t)copy];
}

void value_set_scalar(Emit *e, KValue value, int32_t copy, LLVMValueRef scalar) {
    *slot_of(e, value, copy) = (Value){.scalar = scalar};
}

void value_set_vector(Emit *e, KValue value, int32_t copy, LLVMValueRef vector) {
    *slot_of(e, value, copy) = (Value){.vector = vector, .epoch = e->epoch};
}

/* What was computed outside the vector loop, or is uniform in it, exists for copy 0 only. */
static int32_t copy_of(const Emit *e, KValue value, int32_t copy) {
    if (!e->vector || value < e->vector->loop->begin) return 0;
    return e->spread[value].kind == SPREAD_UNIFORM ? 0 : copy;
}

LLVMValueRef value_scalar(Emit *e, KValue value, int32_t copy) {
    return slot_of(e, value, copy_of(e, value, copy))->scalar;
}

/* Places the side builder where a broadcast of `scalar` serves all its uses in the vector loop. */
static void place_side(Emit *e, KValue value, LLVMValueRef scalar) {
    bool inside = value >= e->vector->loop->begin && LLVMIsAInstruction(scalar);
    if (!inside) {
        LLVMPositionBuilderBefore(e->side, LLVMGetBasicBlockTerminator(e->before));
        return;
    }
    LLVMValueRef next = LLVMGetNextInstruction(scalar);
    while (next && LLVMIsAPHINode(next)) next = LLVMGetNextInstruction(next);
    if (next)
        LLVMPositionBuilderBefore(e->side, next);
    else
        LLVMPositionBuilderAtEnd(e->side, LLVMGetInstructionParent(scalar));
}

/* Before the loop, a float constant is one node for instruction selection, which spends as much on
 * one in the body as on the arithmetic around it, in each copy. Zero has patterns of its own. */
static bool is_costly(const Emit *e, KValue value, LLVMValueRef scalar) {
    bool is_float = dtype_is_float((sn_dtype)kernel_inst(e->kernel, value)->dtype);
    return is_float && LLVMIsConstant(scalar) && !LLVMIsNull(scalar);
}

LLVMValueRef value_vector(Emit *e, KValue value, int32_t copy) {
    Value *slot = slot_of(e, value, copy_of(e, value, copy));
    SN_ASSERT(e->vector && (slot->vector || slot->scalar));
    if (slot->vector && slot->epoch == e->epoch) return slot->vector;
    place_side(e, value, slot->scalar);
    LLVMValueRef vector = emit_splat(e, e->side, slot->scalar, e->lanes);
    if (is_costly(e, value, slot->scalar)) vector = emit_opaque(e->side, vector);
    KSpread spread = e->spread[value];
    if (value >= e->vector->loop->begin && spread.kind == SPREAD_AFFINE) {
        LLVMValueRef steps = const_lane_numbers(e, e->i64, e->lanes, spread.step);
        vector = LLVMBuildAdd(e->side, vector, steps, "");
    }
    slot->vector = vector;
    slot->epoch = e->epoch;
    return vector;
}

LLVMValueRef value_lanes(Emit *e, KValue value, int32_t copy, int32_t lanes) {
    return lanes == 1 ? value_scalar(e, value, copy) : value_vector(e, value, copy);
}
