/* Rare choices. A WHERE that is marked rare needs its first value in few lanes of few vectors: what
 * only such WHEREs use is computed behind a branch that is taken when the condition holds in some
 * lane. Neighbouring ones on one condition share the branch. Bits are those of plain WHEREs. */
#include "codegen/cpu/emit.h"

#include <string.h>

enum {
    RUN_MOST = 8,        /* WHEREs that share a branch */
    WEIGHT_RARE = 1,     /* branch weights, for the layout of blocks */
    WEIGHT_COMMON = 1000 /* of skipping the branch */
};

/* While uses are being counted: nobody has asked for the value yet. */
static const uint32_t unused = KVALUE_NONE - 1;

static bool is_rare(const KInst *inst) {
    return (inst->flags & K_RARE) != 0;
}

/* The first of the run of rare WHEREs that `at`, which is one, belongs to. */
static uint32_t run_of(const Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    const KSpread *spread = &e->spread[at];
    if (at == 0 || !is_rare(inst - 1)) return at;
    uint32_t first = e->shape.rare[at - 1];
    SN_ASSERT(first < at);
    bool joins = at - first < RUN_MOST && inst[-1].in[0] == inst->in[0] &&
                 spread[-1].kind == spread->kind && inst->in[1] < first && inst->in[2] < first;
    return joins ? first : at;
}

/* Notes that instructions of `run` (KVALUE_NONE: such as are always computed) need the value. */
static void note_use(Emit *e, KValue value, uint32_t run) {
    if (value == KVALUE_NONE || is_rare(&e->kernel->insts.data[value])) return;
    uint32_t *rare = &e->shape.rare[value];
    *rare = *rare == unused || *rare == run ? run : KVALUE_NONE;
}

/* Whether an instruction whose users are all known can wait for its run. */
static bool may_wait(const Emit *e, uint32_t at) {
    uint32_t run = e->shape.rare[at];
    if (run == unused || run == KVALUE_NONE) return false;
    return kop_is(kernel_inst(e->kernel, at)->op, KFORM_PRIM) &&
           e->loops.loop_of[at] == e->loops.loop_of[run] &&
           e->spread[at].kind == e->spread[run].kind;
}

void rare_find(Emit *e) {
    const Kernel *k = e->kernel;
    for (uint32_t i = 0; i < k->insts.count; i++)
        e->shape.rare[i] = is_rare(&k->insts.data[i]) ? run_of(e, i) : unused;
    for (uint32_t t = 0; t < k->terms.count; t++) note_use(e, k->terms.data[t].value, KVALUE_NONE);
    for (uint32_t i = k->insts.count; i-- > 0;) {
        const KInst *inst = &k->insts.data[i];
        uint32_t *run = &e->shape.rare[i];
        if (!is_rare(inst) && !may_wait(e, i)) *run = KVALUE_NONE;
        for (uint32_t n = 0; n < 3; n++)
            note_use(e, inst->in[n], !is_rare(inst) || n == 1 ? *run : KVALUE_NONE);
    }
}

/* ---- emission -------------------------------------------------------------------------------- */

/* Branches to a block that LLVM is told to lay out of the way. */
static void branch_rarely(Emit *e, LLVMValueRef condition, LLVMBasicBlockRef rare,
                          LLVMBasicBlockRef usual) {
    static const char name[] = "branch_weights", kind[] = "prof";
    LLVMValueRef parts[] = {
        LLVMMDStringInContext(e->context, name, (unsigned)strlen(name)),
        LLVMConstInt(e->i32, WEIGHT_RARE, false),
        LLVMConstInt(e->i32, WEIGHT_COMMON, false),
    };
    unsigned id = LLVMGetMDKindIDInContext(e->context, kind, (unsigned)strlen(kind));
    LLVMValueRef branch = LLVMBuildCondBr(e->b, condition, rare, usual);
    LLVMSetMetadata(branch, id, LLVMMDNodeInContext(e->context, parts, 3));
}

/* The run [first, last] for one copy. The usual values stand in `usual`, the results replace them. */
static void emit_run(Emit *e, uint32_t first, uint32_t last, int32_t copy, LLVMValueRef *usual) {
    const KInst *insts = e->kernel->insts.data;
    bool vector = e->vector && is_varying(e, first);
    int32_t lanes = vector ? e->lanes : 1;
    LLVMValueRef condition = value_lanes(e, insts[first].in[0], copy, lanes);
    for (uint32_t i = first; i <= last; i++)
        usual[i - first] = value_lanes(e, insts[i].in[2], copy, lanes);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef rare = emit_block(e), join = emit_block(e);
    branch_rarely(e, emit_any(e, condition, lanes), rare, join);
    emit_at(e, rare);
    uint32_t loop = e->loops.loop_of[first];
    uint32_t from = loop == KLOOP_NONE ? 0 : e->loops.loops[loop].begin + 1;
    for (uint32_t i = from; i < first; i++)
        if (e->shape.rare[i] == first) emit_inst(e, i, copy);
    for (uint32_t i = first; i <= last; i++) {
        LLVMValueRef x = value_lanes(e, insts[i].in[1], copy, lanes);
        LLVMValueRef chosen = emit_select(e, condition, x, usual[i - first]);
        LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
        emit_at(e, join);
        usual[i - first] = emit_phi(e, LLVMTypeOf(chosen), usual[i - first], before);
        emit_at(e, here);
        phi_add(usual[i - first], chosen, here);
    }
    LLVMBuildBr(e->b, join);
    emit_at(e, join);
    for (uint32_t i = first; i <= last; i++) {
        if (vector)
            value_set_vector(e, i, copy, usual[i - first]);
        else
            value_set_scalar(e, i, copy, usual[i - first]);
    }
}

uint32_t emit_rare(Emit *e, uint32_t at) {
    if (!is_rare(&e->kernel->insts.data[at])) return at; /* emitted with its run */
    LLVMValueRef values[RUN_MOST];
    uint32_t last = at;
    while (last + 1 < e->kernel->insts.count && is_rare(&e->kernel->insts.data[last + 1]) &&
           e->shape.rare[last + 1] == at)
        last++;
    SN_ASSERT(last - at < RUN_MOST);
    bool once = !e->vector || e->spread[at].kind == SPREAD_UNIFORM;
    for (int32_t c = 0; c < (once ? 1 : e->copies); c++) emit_run(e, at, last, c, values);
    return last;
}

/* ---- NaNs ------------------------------------------------------------------------------------ */

bool nans_share_branch(const Emit *e, uint32_t at) {
    return kernel_inst(e->kernel, at)->op == OP_CANONICAL_NAN && e->vector && e->copies > 1 &&
           !e->mask[0] && is_varying(e, at);
}

/* i1: is an element of any copy NaN? One comparison sees those of two vectors. */
static LLVMValueRef any_nan(Emit *e, LLVMValueRef const *x) {
    LLVMValueRef found = NULL;
    for (int32_t c = 0; c < e->copies; c += 2) {
        LLVMValueRef other = x[c + 1 < e->copies ? c + 1 : c];
        LLVMValueRef pair = LLVMBuildFCmp(e->b, LLVMRealUNO, x[c], other, "");
        found = found ? LLVMBuildOr(e->b, found, pair, "") : pair;
    }
    return emit_any(e, found, e->lanes);
}

void emit_nans(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    LLVMValueRef x[COPIES_MOST];
    for (int32_t c = 0; c < e->copies; c++) x[c] = value_vector(e, inst->in[0], c);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef rare = emit_block(e), join = emit_block(e);
    branch_rarely(e, any_nan(e, x), rare, join);
    for (int32_t c = 0; c < e->copies; c++) {
        emit_at(e, rare);
        LLVMValueRef in[3] = {x[c], NULL, NULL};
        LLVMValueRef settled = emit_prim(e, OP_CANONICAL_NAN, (sn_dtype)inst->dtype,
                                         (sn_dtype)inst->dtype, e->lanes, in, inst);
        emit_at(e, join);
        x[c] = emit_phi(e, LLVMTypeOf(settled), x[c], before);
        phi_add(x[c], settled, rare);
    }
    emit_at(e, rare);
    LLVMBuildBr(e->b, join);
    emit_at(e, join);
    for (int32_t c = 0; c < e->copies; c++) value_set_vector(e, at, c, x[c]);
}
