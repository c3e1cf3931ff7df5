/* Loops: scalar ones, and vector ones as an unmasked loop over whole vectors followed by a masked one
 * over the rest (or the masked one alone). A loop with ordered sums is cut in chunks. What the loop
 * carries (accumulators) passes through all of them as phi nodes. */
#include "codegen/cpu/emit.h"

#include <llvm-c/DebugInfo.h>

/* Whether a span of trips runs whole vectors or under a mask; LAST is a masked one of at most one
 * trip, which needs no loop. SHIFTED computes whole vectors that end with the span, and masks what it
 * stores: a masked load would wait for the stores before it. */
typedef enum SpanKind { SPAN_SCALAR, SPAN_FULL, SPAN_MASKED, SPAN_SHIFTED, SPAN_LAST } SpanKind;

/* ---- carried values -------------------------------------------------------------------------- */

/* Replaces the carry by phis in the current block, which is entered from `from`. */
static void carry_enter(Emit *e, Frame *f, LLVMBasicBlockRef from, LLVMValueRef *phis) {
    for (uint32_t i = 0; i < f->shape->n_carry; i++) {
        if (!f->carry[i]) continue;
        phis[i] = emit_phi(e, LLVMTypeOf(f->carry[i]), f->carry[i], from);
        f->carry[i] = phis[i];
    }
}

/* The phis also receive the current carry, from block `from`. */
static void carry_back(const Frame *f, LLVMBasicBlockRef from, LLVMValueRef *phis) {
    for (uint32_t i = 0; i < f->shape->n_carry; i++)
        if (f->carry[i]) phi_add(phis[i], f->carry[i], from);
}

/* Merges, in the current block, the carry `early` of block `skipped` with the current one. */
static void carry_join(Emit *e, Frame *f, LLVMBasicBlockRef skipped, LLVMValueRef *early,
                       LLVMBasicBlockRef from) {
    for (uint32_t i = 0; i < f->shape->n_carry; i++) {
        if (!f->carry[i]) continue;
        LLVMValueRef phi = emit_phi(e, LLVMTypeOf(f->carry[i]), early[i], skipped);
        phi_add(phi, f->carry[i], from);
        f->carry[i] = phi;
    }
}

/* Accumulators of ordered sums take turns when one vector is handled per step. Where order is free
 * the first one does all the work then. */
static void rotate_slots(const Emit *e, Frame *f) {
    for (uint32_t i = 0; i < f->loop->n_reductions; i++) {
        const Accumulator *a = &e->shape.accumulators[f->loop->first_reduction + i];
        if (a->of->kind != KREDUCTION_TREE) continue;
        LLVMValueRef *state = f->carry + a->first, first = state[0];
        int32_t last = f->shape->slots - 1;
        for (int32_t s = 0; s < last; s++) state[s] = state[s + 1];
        state[last] = first;
    }
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void set_index(Emit *e, Frame *f, LLVMValueRef i) {
    SN_ASSERT(f->loop->axis < e->kernel->axes.count);
    f->index = i;
    e->index[f->loop->axis] = i;
}

/* Masks the lanes at and beyond `limit`, for each copy. */
static void set_masks(Emit *e, LLVMValueRef i, LLVMValueRef limit, int32_t copies) {
    SN_ASSERT(copies >= 1 && copies <= COPIES_MOST);
    LLVMTypeRef lane =
        LLVMIntTypeInContext(e->context, (unsigned)(e->target->vector_bits / e->lanes));
    LLVMValueRef numbers = const_lane_numbers(e, lane, e->lanes, 1);
    LLVMValueRef width = const_i64(e, e->lanes), least = const_i64(e, 0);
    LLVMValueRef left = LLVMBuildSub(e->b, limit, i, "");
    for (int32_t c = 0; c < copies; c++) {
        LLVMValueRef active = left;
        if (c) {
            active = LLVMBuildSub(e->b, left, const_i64(e, (int64_t)c * e->lanes), "");
            LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, active, least, "");
            active = emit_select(e, some, active, least);
        }
        LLVMValueRef beyond = LLVMBuildICmp(e->b, LLVMIntSGT, active, width, "");
        active = emit_select(e, beyond, width, active);
        LLVMValueRef count = lane == e->i64 ? active : LLVMBuildTrunc(e->b, active, lane, "");
        LLVMValueRef counts = emit_splat(e, e->b, count, e->lanes);
        e->active[c] = active;
        e->mask[c] = LLVMBuildICmp(e->b, LLVMIntSLT, numbers, counts, "");
    }
}

/* Moves trips back so that whole vectors end at `limit`; masks the lanes before those of trip `i`. */
static LLVMValueRef shift_back(Emit *e, LLVMValueRef i, LLVMValueRef limit, int32_t copies) {
    LLVMTypeRef lane =
        LLVMIntTypeInContext(e->context, (unsigned)(e->target->vector_bits / e->lanes));
    LLVMValueRef first = LLVMBuildSub(e->b, limit, const_i64(e, (int64_t)copies * e->lanes), "");
    LLVMValueRef over = LLVMBuildICmp(e->b, LLVMIntSGT, i, first, "");
    first = emit_select(e, over, first, i);
    LLVMValueRef again = LLVMBuildSub(e->b, i, first, "");
    if (lane != e->i64) again = LLVMBuildTrunc(e->b, again, lane, "");
    again = emit_splat(e, e->b, again, e->lanes);
    LLVMValueRef numbers = const_lane_numbers(e, lane, e->lanes, 1);
    for (int32_t c = 0; c < copies; c++) {
        LLVMValueRef before =
            emit_splat(e, e->b, const_int(lane, (uint64_t)(c * e->lanes)), e->lanes);
        before = LLVMBuildAdd(e->b, numbers, before, "");
        e->mask[c] = LLVMBuildICmp(e->b, LLVMIntSGE, before, again, "");
    }
    e->shifted = true;
    return first;
}

static void clear_masks(Emit *e) {
    e->shifted = false;
    for (int32_t c = 0; c < COPIES_MOST; c++) e->mask[c] = NULL;
}

/* The body for vectors i, i + lanes, …: as many at once as the shape says. */
static void emit_vectors(Emit *e, Frame *f, LLVMValueRef i, int32_t copies) {
    const LoopShape *shape = f->shape;
    e->copies = shape->in_step < copies ? shape->in_step : copies;
    SN_ASSERT(copies % e->copies == 0);
    for (int32_t c = 0; c < copies; c += e->copies) {
        f->slot = copies > 1 ? c : 0;
        LLVMValueRef at = c ? LLVMBuildAdd(e->b, i, const_i64(e, (int64_t)c * e->lanes), "") : i;
        set_index(e, f, at);
        defer_run(e, shape);
        emit_range(e, f->loop->begin + 1, f->loop->end);
    }
    if (copies == 1 && shape->slots > 1) rotate_slots(e, f);
}

/* Begins the code of the loop that this branch closes at a boundary: where it lies across one, it is fetched
 * as two lines, which takes twice the time of a body of few instructions. */
static void align_loop(const Emit *e, LLVMValueRef branch) {
    static const char name[] = "llvm.loop.align", kind[] = "llvm.loop";
    enum { BOUNDARY = 32 };
    LLVMMetadataRef self = LLVMTemporaryMDNode(e->context, NULL, 0);
    LLVMMetadataRef option[] = {
        LLVMMDStringInContext2(e->context, name, strlen(name)),
        LLVMValueAsMetadata(LLVMConstInt(e->i32, BOUNDARY, false)),
    };
    LLVMMetadataRef parts[] = {self, LLVMMDNodeInContext2(e->context, option, 2)};
    LLVMMetadataRef loop = LLVMMDNodeInContext2(e->context, parts, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop); /* its first operand is the loop's name: itself */
    unsigned id = LLVMGetMDKindIDInContext(e->context, kind, (unsigned)strlen(kind));
    LLVMSetMetadata(branch, id, LLVMMetadataAsValue(e->context, loop));
}

/* Trips [from, to), with `limit` the end of what masks let through. */
static void emit_span(Emit *e, Frame *f, SpanKind kind, LLVMValueRef from, LLVMValueRef to,
                      LLVMValueRef limit) {
    LLVMValueRef *phis = f->scratch, *early = f->scratch + f->shape->n_carry;
    int32_t copies = kind == SPAN_FULL ? f->shape->copies : f->shape->tail_copies;
    bool same = to == limit;
    from = emit_opaque(e->b, from);
    to = emit_opaque(e->b, to);
    if (same) limit = to;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef body = emit_block(e), exit = emit_block(e);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, from, to, ""), body, exit);
    for (uint32_t i = 0; i < f->shape->n_carry; i++) early[i] = f->carry[i];
    emit_at(e, body);
    LLVMValueRef i = from;
    if (kind != SPAN_LAST) {
        i = emit_phi(e, e->i64, from, before);
        carry_enter(e, f, before, phis);
    }
    if (kind == SPAN_SCALAR) {
        set_index(e, f, i);
        emit_range(e, f->loop->begin + 1, f->loop->end);
    } else {
        if (kind == SPAN_MASKED || kind == SPAN_LAST) set_masks(e, i, limit, copies);
        bool shifts = kind == SPAN_SHIFTED;
        emit_vectors(e, f, shifts ? shift_back(e, i, limit, copies) : i, copies);
        clear_masks(e);
    }
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    if (kind == SPAN_LAST) {
        LLVMBuildBr(e->b, exit);
    } else {
        int64_t step = kind == SPAN_SCALAR ? 1 : (int64_t)copies * f->shape->lanes;
        LLVMValueRef next = LLVMBuildAdd(e->b, i, const_i64(e, step), "");
        phi_add(i, next, latch);
        carry_back(f, latch, phis);
        LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, next, to, "");
        LLVMValueRef branch = LLVMBuildCondBr(e->b, more, body, exit);
        if (kind == SPAN_SCALAR && !f->loop->nested) align_loop(e, branch);
    }
    emit_at(e, exit);
    carry_join(e, f, before, early, latch);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

typedef void RunPart(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef to);

/* Runs the loop's whole range, chunk by chunk when it has ordered sums. The last chunk is not pushed:
 * a range of one chunk does not touch the tree. */
static void run_chunks(Emit *e, Frame *f, RunPart *run) {
    if (f->shape->chunk == ORDER_ENDLESS_LOG2) {
        run(e, f, f->begin, f->end);
        return;
    }
    LLVMValueRef *phis = f->scratch + 2 * f->shape->n_carry;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef head = emit_block(e), push = emit_block(e), done = emit_block(e);
    LLVMBuildBr(e->b, head);
    emit_at(e, head);
    LLVMValueRef from = emit_phi(e, e->i64, f->begin, before);
    carry_enter(e, f, before, phis);
    LLVMValueRef size = const_i64(e, INT64_C(1) << f->shape->chunk);
    LLVMValueRef to = LLVMBuildAdd(e->b, from, size, "");
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, to, f->end, "");
    to = emit_select(e, more, to, f->end);
    run(e, f, from, to);
    LLVMBuildCondBr(e->b, more, push, done);
    LLVMValueRef *kept = f->scratch + 3 * f->shape->n_carry;
    for (uint32_t i = 0; i < f->shape->n_carry; i++) kept[i] = f->carry[i];
    emit_at(e, push);
    reduce_push(e, f, LLVMBuildSub(e->b, to, f->begin, ""));
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    phi_add(from, to, latch);
    carry_back(f, latch, phis);
    LLVMBuildBr(e->b, head);
    emit_at(e, done);
    for (uint32_t i = 0; i < f->shape->n_carry; i++) f->carry[i] = kept[i];
}

static void run_scalar(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef to) {
    emit_span(e, f, SPAN_SCALAR, from, to, to);
}

/* from + the largest multiple of `step` (a power of two) in [from, to); rounded up with `up`. */
static LLVMValueRef whole_steps(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step,
                                bool up) {
    SN_ASSERT(step > 0 && (step & (step - 1)) == 0);
    LLVMValueRef trips = LLVMBuildSub(e->b, to, from, "");
    if (up) trips = LLVMBuildAdd(e->b, trips, const_i64(e, step - 1), "");
    trips = LLVMBuildAnd(e->b, trips, const_i64(e, -step), "");
    return LLVMBuildAdd(e->b, from, trips, "");
}

/* A masked span over a ROW sum ends where every accumulator has had as many turns as the others. */
static void run_masked(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef to) {
    LLVMValueRef end = to;
    if (f->shape->chunk == ORDER_ROW_LOG2) end = whole_steps(e, from, to, ORDER_LANES, true);
    emit_span(e, f, SPAN_MASKED, from, end, to);
}

/* The rest of a loop of `from` to `to` that is at least as long as the last vectors together. */
static void run_rest(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef middle, LLVMValueRef to) {
    LLVMValueRef all = LLVMBuildSub(e->b, to, from, "");
    LLVMValueRef width = const_i64(e, (int64_t)f->shape->tail_copies * f->shape->lanes);
    LLVMValueRef fits = LLVMBuildICmp(e->b, LLVMIntSGE, all, width, "");
    LLVMBasicBlockRef shifted = emit_block(e), masked = emit_block(e), done = emit_block(e);
    SN_ASSERT(f->shape->n_carry == 0);
    LLVMBuildCondBr(e->b, fits, shifted, masked);
    emit_at(e, shifted);
    emit_span(e, f, SPAN_SHIFTED, middle, to, to);
    LLVMBuildBr(e->b, done);
    emit_at(e, masked);
    emit_span(e, f, SPAN_MASKED, middle, to, to);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
}

static void run_vector(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef to) {
    const LoopShape *shape = f->shape;
    if (shape->masked_only) {
        run_masked(e, f, from, to);
        return;
    }
    int32_t vectors = shape->copies > shape->slots ? shape->copies : shape->slots;
    if (shape->chunk != ORDER_ROW_LOG2) vectors = shape->copies;
    LLVMValueRef middle = whole_steps(e, from, to, (int64_t)vectors * shape->lanes, false);
    emit_span(e, f, SPAN_FULL, from, middle, middle);
    if (vectors == 1)
        emit_span(e, f, SPAN_LAST, middle, to, to);
    else if (shape->shifts)
        run_rest(e, f, from, middle, to);
    else
        run_masked(e, f, middle, to);
}

/* ---- stores that bypass the caches ----------------------------------------------------------- */

/* Trips until the stores of the loop are aligned; all of them when their alignments disagree. */
static LLVMValueRef trips_to_alignment(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef to) {
    LLVMValueRef all = LLVMBuildSub(e->b, to, from, ""), peel = NULL;
    LLVMValueRef good = LLVMConstInt(e->i1, 1, false);
    set_index(e, f, from);
    for (uint32_t i = f->loop->begin + 1; i < f->loop->end; i++) {
        int64_t bytes;
        if (!access_streams(e, f->shape, i, &bytes)) continue;
        const KInst *inst = kernel_inst(e->kernel, i);
        int64_t size = (int64_t)sn_dtype_size((sn_dtype)inst->dtype);
        LLVMValueRef at = emit_address(e, (uint32_t)inst->imm);
        at = LLVMBuildPtrToInt(e->b, at, e->i64, "");
        if (!peel) {
            LLVMValueRef gap =
                LLVMBuildAnd(e->b, LLVMBuildNeg(e->b, at, ""), const_i64(e, bytes - 1), "");
            peel = LLVMBuildUDiv(e->b, gap, const_i64(e, size), "");
        }
        at = LLVMBuildAdd(e->b, at, LLVMBuildMul(e->b, peel, const_i64(e, size), ""), "");
        LLVMValueRef off = LLVMBuildAnd(e->b, at, const_i64(e, bytes - 1), "");
        LLVMValueRef aligned = LLVMBuildICmp(e->b, LLVMIntEQ, off, const_i64(e, 0), "");
        good = LLVMBuildAnd(e->b, good, aligned, "");
    }
    if (!peel) return NULL;
    good = LLVMBuildAnd(e->b, good, LLVMBuildICmp(e->b, LLVMIntSLT, peel, all, ""), "");
    return emit_select(e, good, peel, all);
}

/* Masked trips up to an aligned address, whole vectors that bypass the caches, masked trips again;
 * one masked span serves both ends. */
static void run_streaming(Emit *e, Frame *f, LLVMValueRef from, LLVMValueRef to) {
    LLVMValueRef peel = trips_to_alignment(e, f, from, to);
    if (!peel) {
        run_vector(e, f, from, to);
        return;
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), head = emit_block(e);
    LLVMBasicBlockRef middle = emit_block(e), done = emit_block(e);
    LLVMValueRef aligned = LLVMBuildAdd(e->b, from, peel, "");
    LLVMBuildBr(e->b, head);
    emit_at(e, head);
    LLVMValueRef begin = emit_phi(e, e->i64, from, before);
    LLVMValueRef end = emit_phi(e, e->i64, aligned, before);
    emit_span(e, f, SPAN_MASKED, begin, end, end);
    LLVMValueRef finished = LLVMBuildICmp(e->b, LLVMIntSGE, end, to, "");
    LLVMBuildCondBr(e->b, finished, done, middle);
    emit_at(e, middle);
    LLVMValueRef whole =
        whole_steps(e, end, to, (int64_t)f->shape->copies * f->shape->lanes, false);
    e->streaming = true;
    emit_span(e, f, SPAN_FULL, end, whole, whole);
    e->streaming = false;
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    phi_add(begin, whole, latch);
    phi_add(end, to, latch);
    LLVMBuildBr(e->b, head);
    emit_at(e, done);
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Trips of the loop in this item. */
static void find_range(Emit *e, Frame *f) {
    const KAxis *axis = &e->kernel->axes.data[f->loop->axis];
    f->begin = const_i64(e, 0);
    f->end = emit_coef(e, axis->size);
    if (!axis->split) return;
    LLVMValueRef size = emit_word(e, e->b, const_i64(e, KPARAM_BLOCK_SIZE));
    f->begin = LLVMBuildMul(e->b, e->block, size, "");
    LLVMValueRef rest = LLVMBuildSub(e->b, f->end, f->begin, "");
    LLVMValueRef cut = LLVMBuildICmp(e->b, LLVMIntSLT, size, rest, "");
    f->end = emit_select(e, cut, LLVMBuildAdd(e->b, f->begin, size, ""), f->end);
}

/* Arrays of a loop, and the addresses to restore after it. */
typedef struct LoopState {
    LLVMValueRef *address; /* copy of Emit.address */
    uint64_t *folded;      /* copy of Emit.folded */
} LoopState;

static bool open_frame(Emit *e, Frame *f, LoopState *state) {
    uint32_t carry = f->shape->n_carry, reductions = f->loop->n_reductions;
    uint32_t accesses = e->kernel->accesses.count;
    size_t values = 5 * (size_t)carry + 2 * (size_t)reductions + accesses + 1;
    f->carry = arena_zalloc(&e->arena, values * sizeof *f->carry);
    state->folded = arena_copy(&e->arena, e->folded, (accesses + 1) * sizeof *state->folded);
    if (!f->carry || !state->folded) {
        if (e->status == SN_OK) e->status = SN_ERROR_MEMORY;
        return false;
    }
    f->scratch = f->carry + carry;
    f->memory = f->scratch + 4 * (size_t)carry;
    f->stack = f->memory + reductions;
    state->address = f->stack + reductions;
    for (uint32_t i = 0; i < accesses; i++) state->address[i] = e->address[i];
    f->outer = e->frame;
    e->frame = f;
    return true;
}

static void close_frame(Emit *e, Frame *f, const LoopState *state) {
    SN_ASSERT(e->frame == f);
    for (uint32_t i = 0; i < e->kernel->accesses.count; i++) {
        e->address[i] = state->address[i];
        e->folded[i] = state->folded[i];
    }
    e->index[f->loop->axis] = NULL;
    e->frame = f->outer;
}

static void emit_vector_loop(Emit *e, Frame *f) {
    SN_ASSERT(!e->vector && e->lanes == 1); /* vector loops do not nest */
    e->vector = f->shape;
    e->lanes = f->shape->lanes;
    e->epoch++;
    LLVMBasicBlockRef inner = emit_block(e);
    e->before = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, inner);
    emit_at(e, inner);
    run_chunks(e, f, f->shape->stream ? run_streaming : run_vector);
    e->vector = NULL;
    e->lanes = 1;
    e->copies = 1;
}

static void emit_whole_loop(Emit *e, uint32_t loop) {
    Frame f = {.loop = &e->loops.loops[loop], .shape = &e->shape.loops[loop]};
    LoopState state;
    if (!open_frame(e, &f, &state)) return;
    find_range(e, &f);
    reduce_open(e, &f);
    address_fold(e, f.loop);
    defer_open_host(e, f.shape);
    if (f.loop->vector)
        emit_vector_loop(e, &f);
    else
        run_chunks(e, &f, run_scalar);
    reduce_close(e, &f);
    close_frame(e, &f, &state);
}

void emit_loop(Emit *e, uint32_t loop) {
    if (e->status != SN_OK) return;
    if (!e->shape.loops[loop].once) {
        emit_whole_loop(e, loop);
        return;
    }
    LLVMBasicBlockRef body = emit_block(e), behind = emit_block(e);
    LLVMBuildCondBr(e->b, e->is_first, body, behind);
    emit_at(e, body);
    emit_whole_loop(e, loop);
    LLVMBuildBr(e->b, behind);
    emit_at(e, behind);
}
