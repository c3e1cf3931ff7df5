/* Reductions and scans. A loop carries their states from step to step: parts × accumulators, each a
 * scalar or a vector. Ordered sums and products fill chunks; a full chunk goes to the tree (tree.h),
 * so a row of a single chunk never touches it. The orders themselves are defined at the top of
 * ir/kernel_interpret.c.
 *
 * Float maxima and minima are taken of the bits, as integers: among floats of one sign magnitudes are
 * ordered like their bits, -0 lies below +0, and a NaN beyond the infinity of its sign. Three integer
 * extremes tell all: the largest signed value (the maximum where any sign is clear; a positive NaN),
 * the smallest unsigned (the maximum of negatives, the minimum where no sign is set) and the largest
 * unsigned (the minimum of negatives; a negative NaN). */
#include "codegen/cpu/tree.h"

#include <math.h>

static bool is_largest(const Reduction *r) {
    return r->op == OP_GT;
}

/* bool is compared as u8. */
static sn_dtype value_dtype(const Reduction *r) {
    return r->kind == RK_ARG && r->dtype == SN_BOOL ? SN_U8 : (sn_dtype)r->dtype;
}

int32_t reduce_lanes(const Emit *e, const Reduction *r, const LoopPlan *loop) {
    if (loop->vector) return loop->lanes;
    return r->varying ? e->lanes : 1;
}

LLVMTypeRef reduce_part_type(const Emit *e, const Reduction *r, int32_t part, int32_t lanes) {
    if (r->kind == RK_EXTREME) return type_bits(e, (sn_dtype)r->dtype, lanes);
    if (r->kind == RK_ARG && part == 1) return type_lanes(e->i64, lanes);
    return type_reg(e, value_dtype(r), lanes);
}

/* The least value of a dtype, or its largest. */
static LLVMValueRef limit_of(const Emit *e, sn_dtype dtype, int32_t lanes, bool least) {
    LLVMTypeRef type = type_reg(e, dtype, lanes);
    if (dtype_is_float(dtype)) return const_float(type, least ? -INFINITY : INFINITY);
    if (dtype == SN_BOOL) return const_int(type, !least);
    uint64_t top = UINT64_C(1) << (8 * sn_dtype_size(dtype) - 1);
    if (!dtype_is_signed(dtype)) return const_int(type, least ? 0 : top | (top - 1));
    return const_int(type, least ? top : top - 1);
}

LLVMValueRef reduce_identity(const Emit *e, const Reduction *r, int32_t part, int32_t lanes,
                             LLVMValueRef begin) {
    LLVMTypeRef type = reduce_part_type(e, r, part, lanes);
    sn_dtype dtype = value_dtype(r);
    if (r->kind == RK_EXTREME)
        return LLVMConstBitCast(limit_of(e, dtype, lanes, is_largest(r)), type);
    if (r->kind == RK_ARG && part == 1) return emit_splat(e, e->b, begin, lanes);
    if (r->kind == RK_ARG) return limit_of(e, dtype, lanes, is_largest(r));
    if (r->op == OP_MAXIMUM || r->op == OP_MINIMUM)
        return limit_of(e, dtype, lanes, r->op == OP_MAXIMUM);
    if (!dtype_is_float(dtype)) return const_int(type, r->op == OP_MUL);
    return const_float(type, r->op == OP_MUL ? 1.0 : -0.0);
}

LLVMValueRef reduce_merge(Emit *e, const Reduction *r, int32_t lanes, LLVMValueRef x,
                          LLVMValueRef y) {
    LLVMValueRef in[3] = {x, y, NULL};
    sn_dtype dtype = (sn_dtype)r->dtype;
    return emit_prim(e, (OpCode)r->op, dtype, dtype, lanes, in, NULL);
}

static const Reduction *reduction_at(const Emit *e, const LoopPlan *loop, uint32_t i) {
    return &e->plan.reductions[loop->first_reduction + i];
}

/* Accumulators of a reduction now alive. */
static int32_t state_count(const Emit *e, const LoopPlan *loop, const Reduction *r) {
    return loop->vector ? loop->slots : r->varying ? e->copies : 1;
}

/* ---- 32 lanes in memory ---------------------------------------------------------------------- */

static LLVMValueRef slot_at(Emit *e, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index) {
    return LLVMBuildGEP2(e->b, type, base, &index, 1, "");
}

static void reset_memory(Emit *e, const Frame *f, const Reduction *r, LLVMValueRef memory) {
    int32_t lanes = reduce_lanes(e, r, f->plan);
    LLVMTypeRef type = reduce_part_type(e, r, 0, lanes);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, LANES_ROW));
    LLVMBuildStore(e->b, reduce_identity(e, r, 0, lanes, NULL), slot_at(e, type, memory, loop.i));
    count_close(e, &loop, const_i64(e, 1));
}

static void step_memory(Emit *e, const Frame *f, const Reduction *r, LLVMValueRef memory,
                        LLVMValueRef x) {
    int32_t lanes = reduce_lanes(e, r, f->plan);
    LLVMTypeRef type = reduce_part_type(e, r, 0, lanes);
    LLVMValueRef trip = LLVMBuildSub(e->b, f->index, f->begin, "");
    LLVMValueRef lane = LLVMBuildAnd(e->b, trip, const_i64(e, LANES_ROW - 1), "");
    LLVMValueRef at = slot_at(e, type, memory, lane);
    LLVMValueRef sum = reduce_merge(e, r, lanes, LLVMBuildLoad2(e->b, type, at, ""), x);
    LLVMBuildStore(e->b, sum, at);
}

/* ---- opening --------------------------------------------------------------------------------- */

void reduce_open(Emit *e, Frame *f) {
    for (uint32_t i = 0; i < f->plan->n_reductions; i++) {
        const Reduction *r = reduction_at(e, f->plan, i);
        int32_t lanes = reduce_lanes(e, r, f->plan), states = state_count(e, f->plan, r);
        LLVMTypeRef type = reduce_part_type(e, r, 0, lanes);
        if (r->memory) {
            f->memory[i] = emit_alloca(e, type, LANES_ROW);
            f->stack[i] = emit_alloca(e, type, LANES_ROW * STACK_LEVELS_MEMORY);
            reset_memory(e, f, r, f->memory[i]);
            continue;
        }
        if (r->chunk != CHUNK_NONE) f->stack[i] = emit_alloca(e, type, states * STACK_LEVELS);
        for (int32_t s = 0; s < states; s++)
            for (int32_t p = 0; p < r->parts; p++)
                f->carry[r->first + (uint32_t)(s * r->parts + p)] =
                    reduce_identity(e, r, p, lanes, f->begin);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static LLVMValueRef compare(Emit *e, LLVMRealPredicate predicate, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFCmp(e->b, predicate, x, y, "");
}

enum { LARGEST_SIGNED, SMALLEST_UNSIGNED, LARGEST_UNSIGNED }; /* parts of RK_EXTREME */

/* Each part of a, and the same part of b. */
static void merge_extremes(Emit *e, const Reduction *r, int32_t lanes, LLVMValueRef *a,
                           const LLVMValueRef *b) {
    static const char *const names[] = {[LARGEST_SIGNED] = "llvm.smax",
                                        [SMALLEST_UNSIGNED] = "llvm.umin",
                                        [LARGEST_UNSIGNED] = "llvm.umax"};
    LLVMTypeRef type = type_bits(e, (sn_dtype)r->dtype, lanes);
    for (int32_t p = 0; p < r->parts; p++) {
        LLVMValueRef args[] = {a[p], b[p]};
        a[p] = emit_intrinsic(e, names[p], &type, 1, args, 2);
    }
}

/* True where x is strictly better than the best so far: NaN counts as the best of all. */
static LLVMValueRef beats(Emit *e, const Reduction *r, LLVMValueRef x, LLVMValueRef best) {
    if (dtype_is_float((sn_dtype)r->dtype)) {
        LLVMRealPredicate wins = is_largest(r) ? LLVMRealUGT : LLVMRealULT;
        LLVMValueRef better = compare(e, wins, x, best);
        return LLVMBuildAnd(e->b, better, compare(e, LLVMRealORD, best, best), "");
    }
    bool is_signed = dtype_is_signed((sn_dtype)r->dtype);
    LLVMIntPredicate greater = is_signed ? LLVMIntSGT : LLVMIntUGT;
    LLVMIntPredicate less = is_signed ? LLVMIntSLT : LLVMIntULT;
    return LLVMBuildICmp(e->b, is_largest(r) ? greater : less, x, best, "");
}

static void step_arg(Emit *e, const Frame *f, const Reduction *r, int32_t copy, int32_t lanes,
                     LLVMValueRef *state, LLVMValueRef x) {
    LLVMValueRef first = f->index;
    if (f->plan->vector) first = LLVMBuildAdd(e->b, first, const_i64(e, (int64_t)copy * lanes), "");
    LLVMValueRef index = emit_splat(e, e->b, first, lanes);
    if (f->plan->vector)
        index = LLVMBuildAdd(e->b, index, const_lane_numbers(e, e->i64, lanes, 1), "");
    LLVMValueRef better = beats(e, r, x, state[0]);
    state[0] = emit_select(e, better, x, state[0]);
    state[1] = emit_select(e, better, index, state[1]);
}

/* Where a new run of 32 begins its predecessor's total joins the sum of runs; where a new chunk of
 * 1024 begins that sum joins the sum of chunks. State: chunks, runs, this run, chunks + runs. */
static LLVMValueRef step_scan(Emit *e, const Frame *f, const Reduction *r, int32_t lanes,
                              LLVMValueRef *state, LLVMValueRef x) {
    enum { CHUNKS, RUNS, RUN, BASE };
    LLVMValueRef zero = reduce_identity(e, r, 0, lanes, NULL);
    LLVMTypeRef type = LLVMTypeOf(zero);
    LLVMValueRef trip = LLVMBuildSub(e->b, f->index, f->begin, "");
    LLVMValueRef in_run = LLVMBuildAnd(e->b, trip, const_i64(e, 31), "");
    LLVMValueRef in_chunk = LLVMBuildAnd(e->b, trip, const_i64(e, 1023), "");
    LLVMValueRef none = const_i64(e, 0);
    LLVMBasicBlockRef start = emit_block(e), join = emit_block(e);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMValueRef starts = LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, in_run, none, ""),
                                       LLVMBuildICmp(e->b, LLVMIntNE, trip, none, ""), "");
    LLVMBuildCondBr(e->b, starts, start, join);
    emit_at(e, start);
    LLVMValueRef runs = reduce_merge(e, r, lanes, state[RUNS], state[RUN]);
    LLVMValueRef chunks = reduce_merge(e, r, lanes, state[CHUNKS], runs);
    LLVMValueRef full = LLVMBuildICmp(e->b, LLVMIntEQ, in_chunk, none, "");
    chunks = emit_select(e, full, chunks, state[CHUNKS]);
    runs = emit_select(e, full, zero, runs);
    LLVMValueRef next[] = {chunks, runs, zero, reduce_merge(e, r, lanes, chunks, runs)};
    LLVMBuildBr(e->b, join);
    emit_at(e, join);
    for (int32_t p = 0; p < r->parts; p++) {
        LLVMValueRef phi = emit_phi(e, type, state[p], before);
        phi_add(phi, next[p], start);
        state[p] = phi;
    }
    state[RUN] = reduce_merge(e, r, lanes, state[RUN], x);
    return reduce_merge(e, r, lanes, state[BASE], state[RUN]);
}

static uint32_t reduction_number(const Emit *e, const LoopPlan *loop, uint32_t inst) {
    uint32_t i = 0;
    while (reduction_at(e, loop, i)->inst != inst) i++;
    return i;
}

/* The operand, with the identity in lanes that take no part. */
static LLVMValueRef operand_of(Emit *e, const Frame *f, const Reduction *r, int32_t copy,
                               int32_t lanes) {
    const KInst *inst = &e->kernel->insts.data[r->inst];
    LLVMValueRef x = value_lanes(e, inst->in[0], copy, lanes);
    if (value_dtype(r) != r->dtype) x = LLVMBuildZExt(e->b, x, type_lanes(e->i8, lanes), "");
    if (!f->plan->vector || !e->mask[copy]) return x;
    LLVMValueRef identity = reduce_identity(e, r, 0, lanes, f->begin);
    return emit_select(e, e->mask[copy], x, LLVMBuildBitCast(e->b, identity, LLVMTypeOf(x), ""));
}

void reduce_step(Emit *e, uint32_t inst, int32_t copy) {
    Frame *f = e->frame;
    uint32_t number = reduction_number(e, f->plan, inst);
    const Reduction *r = reduction_at(e, f->plan, number);
    int32_t lanes = reduce_lanes(e, r, f->plan);
    int32_t which = f->plan->vector ? f->slot + copy : r->varying ? copy : 0;
    LLVMValueRef x = operand_of(e, f, r, copy, lanes);
    if (r->memory) {
        step_memory(e, f, r, f->memory[number], x);
        return;
    }
    LLVMValueRef *state = f->carry + r->first + (uint32_t)(which * r->parts);
    LLVMValueRef scanned = NULL;
    switch (r->kind) {
    case RK_EXTREME: {
        LLVMValueRef bits = LLVMBuildBitCast(e->b, x, LLVMTypeOf(state[0]), "");
        merge_extremes(e, r, lanes, state, (LLVMValueRef[]){bits, bits, bits});
        break;
    }
    case RK_ARG:
        step_arg(e, f, r, copy, lanes, state, x);
        break;
    case RK_SCAN:
        scanned = step_scan(e, f, r, lanes, state, x);
        break;
    default:
        scanned = state[0] = reduce_merge(e, r, lanes, state[0], x);
        break;
    }
    if (e->kernel->insts.data[inst].op != OP_SCAN_SUM) return;
    if (lanes > 1)
        value_set_vector(e, inst, copy, scanned);
    else
        value_set_scalar(e, inst, copy, scanned);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static TreeEntry tree_entry(Emit *e, const Frame *f, uint32_t number, LLVMValueRef *values) {
    const Reduction *r = reduction_at(e, f->plan, number);
    int32_t lanes = reduce_lanes(e, r, f->plan);
    int32_t states = r->memory ? 1 : state_count(e, f->plan, r);
    return (TreeEntry){.r = r,
                       .type = reduce_part_type(e, r, 0, lanes),
                       .lanes = lanes,
                       .count = states,
                       .stack = f->stack[number],
                       .width = r->memory ? LANES_ROW : states,
                       .values = values};
}

/* Runs `act` on each of the 32 lanes in memory. */
static void each_memory_lane(Emit *e, const Frame *f, uint32_t number, LLVMValueRef count,
                             void (*act)(Emit *, TreeEntry *, LLVMValueRef), bool reset) {
    LLVMValueRef value;
    TreeEntry t = tree_entry(e, f, number, &value);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, LANES_ROW));
    LLVMValueRef at = slot_at(e, t.type, f->memory[number], loop.i);
    value = LLVMBuildLoad2(e->b, t.type, at, "");
    t.first = loop.i;
    act(e, &t, count);
    if (reset) value = reduce_identity(e, t.r, 0, t.lanes, NULL);
    LLVMBuildStore(e->b, value, at);
    count_close(e, &loop, const_i64(e, 1));
}

static void push_one(Emit *e, Frame *f, uint32_t number, LLVMValueRef done) {
    const Reduction *r = reduction_at(e, f->plan, number);
    LLVMValueRef chunks = LLVMBuildLShr(e->b, done, const_i64(e, r->chunk), "");
    LLVMValueRef count = LLVMBuildSub(e->b, chunks, const_i64(e, 1), "");
    if (r->memory) {
        each_memory_lane(e, f, number, count, tree_push, true);
        return;
    }
    TreeEntry t = tree_entry(e, f, number, f->carry + r->first);
    tree_push(e, &t, count);
    for (int32_t i = 0; i < t.count; i++) t.values[i] = reduce_identity(e, r, 0, t.lanes, f->begin);
}

/* Pushes only where a chunk of this reduction, larger than the loop's, is complete. */
static void push_if_complete(Emit *e, Frame *f, uint32_t number, LLVMValueRef done) {
    const Reduction *r = reduction_at(e, f->plan, number);
    int32_t states = r->memory ? 0 : state_count(e, f->plan, r);
    LLVMValueRef kept[LANES_ROW], pushed[LANES_ROW];
    LLVMValueRef *carry = f->carry + r->first;
    for (int32_t i = 0; i < states; i++) kept[i] = carry[i];
    LLVMValueRef open = LLVMBuildAnd(e->b, done, const_i64(e, (INT64_C(1) << r->chunk) - 1), "");
    LLVMValueRef complete = LLVMBuildICmp(e->b, LLVMIntEQ, open, const_i64(e, 0), "");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), push = emit_block(e), next = emit_block(e);
    LLVMBuildCondBr(e->b, complete, push, next);
    emit_at(e, push);
    push_one(e, f, number, done);
    for (int32_t i = 0; i < states; i++) pushed[i] = carry[i];
    LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, next);
    emit_at(e, next);
    for (int32_t i = 0; i < states; i++) {
        carry[i] = emit_phi(e, LLVMTypeOf(kept[i]), kept[i], before);
        phi_add(carry[i], pushed[i], end);
    }
}

void reduce_push(Emit *e, Frame *f, LLVMValueRef done) {
    for (uint32_t i = 0; i < f->plan->n_reductions; i++) {
        const Reduction *r = reduction_at(e, f->plan, i);
        if (r->chunk == f->plan->chunk)
            push_one(e, f, i, done);
        else if (r->chunk != CHUNK_NONE)
            push_if_complete(e, f, i, done);
    }
}

/* ---- closing --------------------------------------------------------------------------------- */

/* a = a merged with b; a holds the earlier lanes. */
static void merge_states(Emit *e, const Reduction *r, int32_t lanes, LLVMValueRef *a,
                         const LLVMValueRef *b) {
    if (r->kind == RK_EXTREME) {
        merge_extremes(e, r, lanes, a, b);
    } else if (r->kind == RK_ARG) {
        LLVMValueRef wins = beats(e, r, b[0], a[0]), loses = beats(e, r, a[0], b[0]);
        LLVMValueRef tie = LLVMBuildNot(e->b, LLVMBuildOr(e->b, wins, loses, ""), "");
        LLVMValueRef earlier = LLVMBuildICmp(e->b, LLVMIntSLT, b[1], a[1], "");
        wins = LLVMBuildOr(e->b, wins, LLVMBuildAnd(e->b, tie, earlier, ""), "");
        a[0] = emit_select(e, wins, b[0], a[0]);
        a[1] = emit_select(e, wins, b[1], a[1]);
    } else {
        a[0] = reduce_merge(e, r, lanes, a[0], b[0]);
    }
}

/* Halves accumulators, then lanes, until one scalar state is left in state[0 … parts). */
static void halve_lanes(Emit *e, const Reduction *r, int32_t slots, int32_t lanes,
                        LLVMValueRef *state) {
    for (int32_t half = slots / 2; half; half /= 2)
        for (int32_t s = 0; s < half; s++)
            merge_states(e, r, lanes, state + s * r->parts, state + (s + half) * r->parts);
    for (int32_t half = lanes / 2; half; half /= 2) {
        LLVMValueRef upper[PARTS_MOST];
        for (int32_t p = 0; p < r->parts; p++) {
            upper[p] = emit_part(e, state[p], (uint32_t)half, (uint32_t)half);
            state[p] = emit_part(e, state[p], 0, (uint32_t)half);
        }
        merge_states(e, r, half, state, upper);
    }
}

/* The same for lanes in memory. */
static LLVMValueRef halve_memory(Emit *e, const Frame *f, uint32_t number) {
    const Reduction *r = reduction_at(e, f->plan, number);
    int32_t lanes = reduce_lanes(e, r, f->plan);
    LLVMTypeRef type = reduce_part_type(e, r, 0, lanes);
    LLVMValueRef memory = f->memory[number];
    for (int32_t half = LANES_ROW / 2; half; half /= 2) {
        CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, half));
        LLVMValueRef at = slot_at(e, type, memory, loop.i);
        LLVMValueRef far = LLVMBuildAdd(e->b, loop.i, const_i64(e, half), "");
        LLVMValueRef x = LLVMBuildLoad2(e->b, type, at, "");
        LLVMValueRef y = LLVMBuildLoad2(e->b, type, slot_at(e, type, memory, far), "");
        LLVMBuildStore(e->b, reduce_merge(e, r, lanes, x, y), at);
        count_close(e, &loop, const_i64(e, 1));
    }
    return LLVMBuildLoad2(e->b, type, memory, "");
}

static LLVMValueRef finish_extreme(Emit *e, const Reduction *r, int32_t lanes,
                                   const LLVMValueRef *state) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    LLVMTypeRef type = type_reg(e, dtype, lanes), bits = type_bits(e, dtype, lanes);
    LLVMValueRef zero = LLVMConstNull(bits);
    LLVMValueRef infinity = LLVMConstBitCast(const_float(type, INFINITY), bits);
    LLVMValueRef minus = LLVMConstBitCast(const_float(type, -INFINITY), bits);
    LLVMValueRef negative, x;
    if (is_largest(r)) {
        negative = LLVMBuildICmp(e->b, LLVMIntSLT, state[LARGEST_SIGNED], zero, "");
        x = emit_select(e, negative, state[SMALLEST_UNSIGNED], state[LARGEST_SIGNED]);
    } else {
        negative = LLVMBuildICmp(e->b, LLVMIntSLT, state[LARGEST_UNSIGNED], zero, "");
        x = emit_select(e, negative, state[LARGEST_UNSIGNED], state[SMALLEST_UNSIGNED]);
    }
    LLVMValueRef nan =
        LLVMBuildOr(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, state[LARGEST_SIGNED], infinity, ""),
                    LLVMBuildICmp(e->b, LLVMIntUGT, state[LARGEST_UNSIGNED], minus, ""), "");
    return emit_select(e, nan, const_float(type, NAN), LLVMBuildBitCast(e->b, x, type, ""));
}

/* A loop without trips sums to +0 and has index 0. */
static LLVMValueRef unless_empty(Emit *e, const Frame *f, const Reduction *r, LLVMValueRef x) {
    if (r->kind != RK_ARG && r->op != OP_ADD) return x;
    LLVMValueRef empty = LLVMBuildICmp(e->b, LLVMIntSGE, f->begin, f->end, "");
    return emit_select(e, empty, LLVMConstNull(LLVMTypeOf(x)), x);
}

static LLVMValueRef finish(Emit *e, const Frame *f, const Reduction *r, int32_t lanes,
                           const LLVMValueRef *state) {
    LLVMValueRef x = r->kind == RK_EXTREME ? finish_extreme(e, r, lanes, state)
                     : r->kind == RK_ARG   ? state[1]
                                           : state[0];
    return unless_empty(e, f, r, x);
}

static LLVMValueRef close_vector(Emit *e, const Frame *f, const Reduction *r) {
    LLVMValueRef *state = f->carry + r->first;
    halve_lanes(e, r, f->plan->slots, f->plan->lanes, state);
    return finish(e, f, r, 1, state);
}

static void close_one(Emit *e, Frame *f, uint32_t number, LLVMValueRef last) {
    const Reduction *r = reduction_at(e, f->plan, number);
    int32_t lanes = reduce_lanes(e, r, f->plan);
    LLVMValueRef *state = f->carry + r->first;
    if (r->chunk != CHUNK_NONE) {
        LLVMValueRef count = LLVMBuildAShr(e->b, last, const_i64(e, r->chunk), "");
        LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, count, const_i64(e, 0), "");
        count = emit_select(e, none, const_i64(e, 0), count);
        TreeEntry t = tree_entry(e, f, number, state);
        if (r->memory)
            each_memory_lane(e, f, number, count, tree_collapse, false);
        else
            tree_collapse(e, &t, count);
    }
    if (f->plan->vector) {
        value_set_scalar(e, r->inst, 0, close_vector(e, f, r));
        return;
    }
    int32_t states = r->memory ? 1 : state_count(e, f->plan, r);
    for (int32_t s = 0; s < states; s++) {
        LLVMValueRef x = r->memory ? unless_empty(e, f, r, halve_memory(e, f, number))
                                   : finish(e, f, r, lanes, state + s * r->parts);
        if (lanes > 1)
            value_set_vector(e, r->inst, s, x);
        else
            value_set_scalar(e, r->inst, s, x);
    }
}

void reduce_close(Emit *e, Frame *f) {
    LLVMValueRef trips = LLVMBuildSub(e->b, f->end, f->begin, "");
    LLVMValueRef last = LLVMBuildSub(e->b, trips, const_i64(e, 1), "");
    for (uint32_t i = 0; i < f->plan->n_reductions; i++)
        if (e->kernel->insts.data[reduction_at(e, f->plan, i)->inst].op != OP_SCAN_SUM)
            close_one(e, f, i, last);
}
