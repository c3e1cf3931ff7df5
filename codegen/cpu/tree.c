/* Pushing chunks onto the tree of an ordered sum, and collapsing it; see tree.h. */
#include "codegen/cpu/tree.h"

LLVMValueRef merge_values(Emit *e, const KReduction *r, int32_t lanes, LLVMValueRef x,
                          LLVMValueRef y) {
    LLVMValueRef in[3] = {x, y, NULL};
    sn_dtype dtype = (sn_dtype)r->dtype;
    return emit_prim(e, (OpCode)r->merge, dtype, dtype, lanes, in, NULL);
}

static LLVMValueRef level_slot(Emit *e, const TreeEntry *t, LLVMValueRef level, int32_t i) {
    LLVMValueRef index = LLVMBuildMul(e->b, level, const_i64(e, t->width), "");
    index = LLVMBuildAdd(e->b, index, t->first ? t->first : const_i64(e, i), "");
    return LLVMBuildGEP2(e->b, t->type, t->stack, &index, 1, "");
}

/* values = stack[level] merged with values, the earlier chunks on the left. */
static void merge_level(Emit *e, const TreeEntry *t, LLVMValueRef level, LLVMValueRef *values) {
    for (int32_t i = 0; i < t->count; i++) {
        LLVMValueRef left = LLVMBuildLoad2(e->b, t->type, level_slot(e, t, level, i), "");
        values[i] = merge_values(e, t->r, t->lanes, left, values[i]);
    }
}

/* Adds a chunk to a tree that holds `count` of them: while a bit of the counter is set the chunk
 * merges with that level and moves up. */
void tree_push(Emit *e, TreeEntry *t, LLVMValueRef count) {
    LLVMValueRef phis[ORDER_LANES];
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef head = emit_block(e), up = emit_block(e), done = emit_block(e);
    LLVMBuildBr(e->b, head);
    emit_at(e, head);
    LLVMValueRef level = emit_phi(e, e->i64, const_i64(e, 0), before);
    LLVMValueRef rest = emit_phi(e, e->i64, count, before);
    for (int32_t i = 0; i < t->count; i++) phis[i] = emit_phi(e, t->type, t->values[i], before);
    LLVMValueRef bit = LLVMBuildTrunc(e->b, rest, e->i1, "");
    LLVMBuildCondBr(e->b, bit, up, done);
    emit_at(e, up);
    for (int32_t i = 0; i < t->count; i++) t->values[i] = phis[i];
    merge_level(e, t, level, t->values);
    for (int32_t i = 0; i < t->count; i++) phi_add(phis[i], t->values[i], up);
    phi_add(level, LLVMBuildAdd(e->b, level, const_i64(e, 1), ""), up);
    phi_add(rest, LLVMBuildLShr(e->b, rest, const_i64(e, 1), ""), up);
    LLVMBuildBr(e->b, head);
    emit_at(e, done);
    for (int32_t i = 0; i < t->count; i++)
        LLVMBuildStore(e->b, phis[i], level_slot(e, t, level, i));
}

/* Merges what the tree of `count` chunks holds into the last chunk, from the last to the first. */
void tree_collapse(Emit *e, TreeEntry *t, LLVMValueRef count) {
    LLVMValueRef phis[ORDER_LANES];
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef head = emit_block(e), up = emit_block(e), done = emit_block(e);
    LLVMBuildBr(e->b, head);
    emit_at(e, head);
    LLVMValueRef rest = emit_phi(e, e->i64, count, before);
    for (int32_t i = 0; i < t->count; i++) phis[i] = emit_phi(e, t->type, t->values[i], before);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntNE, rest, const_i64(e, 0), "");
    LLVMBuildCondBr(e->b, more, up, done);
    emit_at(e, up);
    LLVMValueRef args[] = {rest, LLVMConstInt(e->i1, 1, false)};
    LLVMValueRef level = emit_intrinsic(e, "llvm.cttz", &e->i64, 1, args, 2);
    for (int32_t i = 0; i < t->count; i++) t->values[i] = phis[i];
    merge_level(e, t, level, t->values);
    for (int32_t i = 0; i < t->count; i++) phi_add(phis[i], t->values[i], up);
    LLVMValueRef less = LLVMBuildSub(e->b, rest, const_i64(e, 1), "");
    phi_add(rest, LLVMBuildAnd(e->b, rest, less, ""), up);
    LLVMBuildBr(e->b, head);
    emit_at(e, done);
    for (int32_t i = 0; i < t->count; i++) t->values[i] = phis[i];
}
