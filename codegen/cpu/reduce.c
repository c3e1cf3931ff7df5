/* Reductions and scans. A loop carries their states from step to step: parts × accumulators, each a
 * scalar or a vector. Ordered sums and products fill chunks; a full chunk goes to the tree (tree.h),
 * so a row of a single chunk never touches it. The orders themselves are defined in ir/op/order.h.
 *
 * Float maxima and minima are taken of the bits, as integers: among floats of one sign magnitudes are
 * ordered like their bits, -0 lies below +0, and a NaN beyond the infinity of its sign. Three integer
 * extremes tell all: the largest signed value (the maximum where any sign is clear; a positive NaN),
 * the smallest unsigned (the maximum of negatives, the minimum where no sign is set) and the largest
 * unsigned (the minimum of negatives; a negative NaN). */
#include "codegen/cpu/tree.h"

#include <math.h>

/* Is it a maximum or minimum of floats, taken of the bits? */
static bool is_of_bits(const KReduction *r) {
    return r->kind == KREDUCTION_MERGE && dtype_is_float((sn_dtype)r->dtype);
}

static bool is_float_scan(const KReduction *r) {
    return r->kind == KREDUCTION_SCAN && dtype_is_float((sn_dtype)r->dtype);
}

/* Values of a state, where they are not one. */
enum { LARGEST_SIGNED, SMALLEST_UNSIGNED, LARGEST_UNSIGNED, PARTS_OF_BITS };
enum { BEST, BEST_INDEX, PARTS_OF_BEST };
enum {
    CHUNKS,
    FAR,
    RUNS,
    RUN,
    BASE,
    PARTS_OF_SCAN
}; /* sums: earlier chunks, the same in the scan's dtype; earlier runs; this run; FAR + RUNS */
enum { LINK, TOTAL, PARTS_OF_CHAIN }; /* sums: of this chunk, of the earlier ones */
enum { PARTS_MOST = PARTS_OF_SCAN };

int32_t reduce_parts(const KReduction *r) {
    if (is_of_bits(r)) return PARTS_OF_BITS;
    if (is_float_scan(r)) return PARTS_OF_SCAN;
    if (r->kind == KREDUCTION_CHAIN) return PARTS_OF_CHAIN;
    return r->kind == KREDUCTION_BEST ? PARTS_OF_BEST : 1;
}

/* bool is compared as u8. */
static sn_dtype value_dtype(const KReduction *r) {
    return r->kind == KREDUCTION_BEST && r->dtype == SN_BOOL ? SN_U8 : (sn_dtype)r->dtype;
}

/* Lanes of an accumulator. */
static int32_t lanes_of(const Emit *e, const Accumulator *a, const Frame *f) {
    if (f->loop->vector) return f->shape->lanes;
    return a->varying ? e->lanes : 1;
}

/* The totals of a scan's chunks may add up in a wider dtype. */
static sn_dtype part_dtype(const KReduction *r, int32_t part) {
    sn_dtype dtype = value_dtype(r);
    return is_float_scan(r) && part == CHUNKS ? order_chunk_sums(dtype) : dtype;
}

static LLVMTypeRef part_type(const Emit *e, const KReduction *r, int32_t part, int32_t lanes) {
    if (is_of_bits(r)) return type_bits(e, (sn_dtype)r->dtype, lanes);
    if (r->kind == KREDUCTION_BEST && part == 1) return type_lanes(e->i64, lanes);
    return type_reg(e, part_dtype(r, part), lanes);
}

/* What a part starts at; an index at `begin`. */
static LLVMValueRef start_value(const Emit *e, const KReduction *r, int32_t part, int32_t lanes,
                                LLVMValueRef begin) {
    if (r->kind == KREDUCTION_BEST && part == 1) return emit_splat(e, e->b, begin, lanes);
    sn_dtype dtype = part_dtype(r, part);
    if (r->kind == KREDUCTION_CHAIN && part == LINK)
        return LLVMConstNull(type_reg(e, dtype, lanes));
    LLVMValueRef start = const_bits(e, dtype, kstart_bits((KStart)r->start, dtype), lanes);
    return is_of_bits(r) ? LLVMConstBitCast(start, type_bits(e, dtype, lanes)) : start;
}

static const Accumulator *accumulator_at(const Emit *e, const Frame *f, uint32_t i) {
    SN_ASSERT(i < f->loop->n_reductions);
    return &e->shape.accumulators[f->loop->first_reduction + i];
}

/* States of a reduction that are now alive. */
static int32_t state_count(const Emit *e, const Frame *f, const Accumulator *a) {
    return f->loop->vector ? f->shape->slots : a->varying ? e->copies : 1;
}

/* ---- 32 lanes in memory ---------------------------------------------------------------------- */

static LLVMValueRef slot_at(Emit *e, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index) {
    return LLVMBuildGEP2(e->b, type, base, &index, 1, "");
}

static void reset_memory(Emit *e, const Frame *f, const Accumulator *a, LLVMValueRef memory) {
    int32_t lanes = lanes_of(e, a, f);
    LLVMTypeRef type = part_type(e, a->of, 0, lanes);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, ORDER_LANES));
    LLVMBuildStore(e->b, start_value(e, a->of, 0, lanes, NULL), slot_at(e, type, memory, loop.i));
    count_close(e, &loop, const_i64(e, 1));
}

static void step_memory(Emit *e, const Frame *f, const Accumulator *a, LLVMValueRef memory,
                        LLVMValueRef x) {
    int32_t lanes = lanes_of(e, a, f);
    LLVMTypeRef type = part_type(e, a->of, 0, lanes);
    LLVMValueRef trip = LLVMBuildSub(e->b, f->index, f->begin, "");
    LLVMValueRef lane = LLVMBuildAnd(e->b, trip, const_i64(e, ORDER_LANES - 1), "");
    LLVMValueRef at = slot_at(e, type, memory, lane);
    LLVMValueRef sum = merge_values(e, a->of, lanes, LLVMBuildLoad2(e->b, type, at, ""), x);
    LLVMBuildStore(e->b, sum, at);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void open_one(Emit *e, Frame *f, uint32_t number) {
    const Accumulator *a = accumulator_at(e, f, number);
    const KReduction *r = a->of;
    int32_t lanes = lanes_of(e, a, f), states = state_count(e, f, a), parts = reduce_parts(r);
    LLVMTypeRef type = part_type(e, r, 0, lanes);
    if (a->memory) {
        f->memory[number] = emit_alloca(e, type, ORDER_LANES);
        f->stack[number] = emit_alloca(e, type, ORDER_LANES * STACK_LEVELS_MEMORY);
        reset_memory(e, f, a, f->memory[number]);
        return;
    }
    if (r->kind == KREDUCTION_TREE) f->stack[number] = emit_alloca(e, type, states * STACK_LEVELS);
    for (int32_t s = 0; s < states; s++)
        for (int32_t p = 0; p < parts; p++)
            f->carry[a->first + (uint32_t)(s * parts + p)] = start_value(e, r, p, lanes, f->begin);
}

void reduce_open(Emit *e, Frame *f) {
    for (uint32_t i = 0; i < f->loop->n_reductions; i++) open_one(e, f, i);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static LLVMValueRef compare(Emit *e, LLVMRealPredicate predicate, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFCmp(e->b, predicate, x, y, "");
}

/* Each part of a, and the same part of b. */
static void merge_extremes(Emit *e, const KReduction *r, int32_t lanes, LLVMValueRef *a,
                           const LLVMValueRef *b) {
    static const char *const names[] = {[LARGEST_SIGNED] = "llvm.smax",
                                        [SMALLEST_UNSIGNED] = "llvm.umin",
                                        [LARGEST_UNSIGNED] = "llvm.umax"};
    LLVMTypeRef type = type_bits(e, (sn_dtype)r->dtype, lanes);
    for (int32_t p = 0; p < PARTS_OF_BITS; p++) {
        LLVMValueRef args[] = {a[p], b[p]};
        a[p] = emit_intrinsic(e, names[p], &type, 1, args, 2);
    }
}

/* True where x is strictly better than the best so far: NaN counts as the best of all. */
static LLVMValueRef beats(Emit *e, const KReduction *r, LLVMValueRef x, LLVMValueRef best) {
    if (dtype_is_float((sn_dtype)r->dtype)) {
        LLVMRealPredicate wins = r->is_largest ? LLVMRealUGT : LLVMRealULT;
        LLVMValueRef better = compare(e, wins, x, best);
        return LLVMBuildAnd(e->b, better, compare(e, LLVMRealORD, best, best), "");
    }
    bool is_signed = dtype_is_signed((sn_dtype)r->dtype);
    LLVMIntPredicate greater = is_signed ? LLVMIntSGT : LLVMIntUGT;
    LLVMIntPredicate less = is_signed ? LLVMIntSLT : LLVMIntULT;
    return LLVMBuildICmp(e->b, r->is_largest ? greater : less, x, best, "");
}

static void step_best(Emit *e, const Frame *f, const KReduction *r, int32_t copy, int32_t lanes,
                      LLVMValueRef *state, LLVMValueRef x) {
    LLVMValueRef first = f->index;
    if (f->loop->vector) first = LLVMBuildAdd(e->b, first, const_i64(e, (int64_t)copy * lanes), "");
    LLVMValueRef index = emit_splat(e, e->b, first, lanes);
    if (f->loop->vector)
        index = LLVMBuildAdd(e->b, index, const_lane_numbers(e, e->i64, lanes, 1), "");
    LLVMValueRef better = beats(e, r, x, state[BEST]);
    state[BEST] = emit_select(e, better, x, state[BEST]);
    state[BEST_INDEX] = emit_select(e, better, index, state[BEST_INDEX]);
}

static LLVMValueRef add_chunk(Emit *e, const KReduction *r, int32_t lanes, LLVMValueRef chunks,
                              LLVMValueRef total) {
    sn_dtype sums = part_dtype(r, CHUNKS);
    LLVMValueRef in[3] = {chunks, LLVMBuildFPCast(e->b, total, LLVMTypeOf(chunks), ""), NULL};
    return emit_prim(e, (OpCode)r->merge, sums, sums, lanes, in, NULL);
}

/* Where a new run begins its predecessor's total joins the sum of runs; where a new chunk begins that
 * sum joins the sum of chunks. */
static LLVMValueRef step_scan(Emit *e, const Frame *f, const KReduction *r, int32_t lanes,
                              LLVMValueRef *state, LLVMValueRef x) {
    LLVMValueRef zero = start_value(e, r, RUN, lanes, NULL);
    LLVMValueRef trip = LLVMBuildSub(e->b, f->index, f->begin, "");
    LLVMValueRef in_run = LLVMBuildAnd(e->b, trip, const_i64(e, ORDER_RUN - 1), "");
    LLVMValueRef in_chunk = LLVMBuildAnd(e->b, trip, const_i64(e, ORDER_SCAN - 1), "");
    LLVMValueRef none = const_i64(e, 0);
    LLVMBasicBlockRef start = emit_block(e), chunk = emit_block(e), join = emit_block(e);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMValueRef starts = LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, in_run, none, ""),
                                       LLVMBuildICmp(e->b, LLVMIntNE, trip, none, ""), "");
    LLVMBuildCondBr(e->b, starts, start, join);
    emit_at(e, start);
    LLVMValueRef runs = merge_values(e, r, lanes, state[RUNS], state[RUN]);
    LLVMValueRef next[] = {state[CHUNKS], state[FAR], runs, zero,
                           merge_values(e, r, lanes, state[FAR], runs)};
    LLVMValueRef full = LLVMBuildICmp(e->b, LLVMIntEQ, in_chunk, none, "");
    LLVMBuildCondBr(e->b, full, chunk, join);
    emit_at(e, chunk);
    LLVMValueRef chunks = add_chunk(e, r, lanes, state[CHUNKS], runs);
    LLVMValueRef far = LLVMBuildFPCast(e->b, chunks, LLVMTypeOf(zero), "");
    LLVMValueRef next_chunk[] = {chunks, far, zero, zero, far}; /* far + -0.0 is far */
    LLVMBuildBr(e->b, join);
    emit_at(e, join);
    for (int32_t p = 0; p < PARTS_OF_SCAN; p++) {
        LLVMValueRef phi = emit_phi(e, LLVMTypeOf(state[p]), state[p], before);
        phi_add(phi, next[p], start);
        phi_add(phi, next_chunk[p], chunk);
        state[p] = phi;
    }
    state[RUN] = merge_values(e, r, lanes, state[RUN], x);
    return merge_values(e, r, lanes, state[BASE], state[RUN]);
}

/* One more product, of x and the other operand. Its loop is no vector loop: all lanes take part. */
static void step_chain(Emit *e, const KReduction *r, int32_t copy, int32_t lanes,
                       LLVMValueRef *state, LLVMValueRef x) {
    KValue other = kernel_inst(e->kernel, r->inst)->in[1];
    LLVMValueRef in[3] = {x, value_lanes(e, other, copy, lanes), state[LINK]};
    sn_dtype dtype = (sn_dtype)r->dtype;
    state[LINK] = emit_prim(e, OP_FMA, dtype, dtype, lanes, in, NULL);
}

/* The operand, with a start value in lanes that take no part. */
static LLVMValueRef operand_of(Emit *e, const Frame *f, const KReduction *r, int32_t copy,
                               int32_t lanes) {
    const KInst *inst = kernel_inst(e->kernel, r->inst);
    LLVMValueRef x = value_lanes(e, inst->in[0], copy, lanes);
    if (value_dtype(r) != r->dtype) x = LLVMBuildZExt(e->b, x, type_lanes(e->i8, lanes), "");
    if (!f->loop->vector || !e->mask[copy]) return x;
    LLVMValueRef start = start_value(e, r, 0, lanes, f->begin);
    return emit_select(e, e->mask[copy], x, LLVMBuildBitCast(e->b, start, LLVMTypeOf(x), ""));
}

/* Takes x in; of a scan, its value in this trip. */
static LLVMValueRef step_state(Emit *e, const Frame *f, const KReduction *r, int32_t copy,
                               int32_t lanes, LLVMValueRef *state, LLVMValueRef x) {
    if (is_of_bits(r)) {
        LLVMValueRef bits = LLVMBuildBitCast(e->b, x, LLVMTypeOf(state[0]), "");
        merge_extremes(e, r, lanes, state, (LLVMValueRef[]){bits, bits, bits});
        return NULL;
    }
    if (r->kind == KREDUCTION_BEST) {
        step_best(e, f, r, copy, lanes, state, x);
        return NULL;
    }
    if (r->kind == KREDUCTION_CHAIN) {
        step_chain(e, r, copy, lanes, state, x);
        return NULL;
    }
    if (is_float_scan(r)) return step_scan(e, f, r, lanes, state, x);
    return state[0] = merge_values(e, r, lanes, state[0], x);
}

void reduce_step(Emit *e, uint32_t inst, int32_t copy) {
    Frame *f = e->frame;
    uint32_t number = loop_reduction_number(&e->loops, f->loop, inst);
    const Accumulator *a = accumulator_at(e, f, number);
    const KReduction *r = a->of;
    int32_t lanes = lanes_of(e, a, f);
    int32_t which = f->loop->vector ? f->slot + copy : a->varying ? copy : 0;
    SN_ASSERT(a->memory || which < state_count(e, f, a));
    LLVMValueRef x = operand_of(e, f, r, copy, lanes);
    if (a->memory) {
        step_memory(e, f, a, f->memory[number], x);
        return;
    }
    LLVMValueRef *state = f->carry + a->first + (uint32_t)(which * reduce_parts(r));
    LLVMValueRef scanned = step_state(e, f, r, copy, lanes, state, x);
    if (r->kind != KREDUCTION_SCAN) return;
    if (lanes > 1)
        value_set_vector(e, inst, copy, scanned);
    else
        value_set_scalar(e, inst, copy, scanned);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static TreeEntry tree_entry(Emit *e, const Frame *f, uint32_t number, LLVMValueRef *values) {
    const Accumulator *a = accumulator_at(e, f, number);
    int32_t lanes = lanes_of(e, a, f);
    int32_t states = a->memory ? 1 : state_count(e, f, a);
    return (TreeEntry){.r = a->of,
                       .type = part_type(e, a->of, 0, lanes),
                       .lanes = lanes,
                       .count = states,
                       .stack = f->stack[number],
                       .width = a->memory ? ORDER_LANES : states,
                       .values = values};
}

/* Runs `act` on each of the 32 lanes in memory. */
static void each_memory_lane(Emit *e, const Frame *f, uint32_t number, LLVMValueRef count,
                             void (*act)(Emit *, TreeEntry *, LLVMValueRef), bool reset) {
    LLVMValueRef value;
    TreeEntry t = tree_entry(e, f, number, &value);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, ORDER_LANES));
    LLVMValueRef at = slot_at(e, t.type, f->memory[number], loop.i);
    value = LLVMBuildLoad2(e->b, t.type, at, "");
    t.first = loop.i;
    act(e, &t, count);
    if (reset) value = start_value(e, t.r, 0, t.lanes, NULL);
    LLVMBuildStore(e->b, value, at);
    count_close(e, &loop, const_i64(e, 1));
}

/* The sum of this chunk joins that of the earlier ones. */
static void close_link(Emit *e, const Frame *f, const Accumulator *a) {
    int32_t lanes = lanes_of(e, a, f), states = state_count(e, f, a);
    for (int32_t s = 0; s < states; s++) {
        LLVMValueRef *state = f->carry + a->first + (uint32_t)(s * PARTS_OF_CHAIN);
        state[TOTAL] = merge_values(e, a->of, lanes, state[TOTAL], state[LINK]);
        state[LINK] = start_value(e, a->of, LINK, lanes, NULL);
    }
}

static void push_one(Emit *e, Frame *f, uint32_t number, LLVMValueRef done) {
    const Accumulator *a = accumulator_at(e, f, number);
    if (a->of->kind == KREDUCTION_CHAIN) {
        close_link(e, f, a);
        return;
    }
    LLVMValueRef chunks = LLVMBuildLShr(e->b, done, const_i64(e, a->of->chunk), "");
    LLVMValueRef count = LLVMBuildSub(e->b, chunks, const_i64(e, 1), "");
    if (a->memory) {
        each_memory_lane(e, f, number, count, tree_push, true);
        return;
    }
    TreeEntry t = tree_entry(e, f, number, f->carry + a->first);
    tree_push(e, &t, count);
    for (int32_t i = 0; i < t.count; i++) t.values[i] = start_value(e, t.r, 0, t.lanes, f->begin);
}

/* Pushes only where a chunk of this reduction, larger than the loop's, is complete. */
static void push_if_complete(Emit *e, Frame *f, uint32_t number, LLVMValueRef done) {
    const Accumulator *a = accumulator_at(e, f, number);
    int32_t states = a->memory ? 0 : state_count(e, f, a) * reduce_parts(a->of);
    SN_ASSERT(states <= ORDER_LANES);
    LLVMValueRef kept[ORDER_LANES], pushed[ORDER_LANES];
    LLVMValueRef *carry = f->carry + a->first;
    for (int32_t i = 0; i < states; i++) kept[i] = carry[i];
    LLVMValueRef open =
        LLVMBuildAnd(e->b, done, const_i64(e, (INT64_C(1) << a->of->chunk) - 1), "");
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
    for (uint32_t i = 0; i < f->loop->n_reductions; i++) {
        const Accumulator *a = accumulator_at(e, f, i);
        if (a->of->chunk == f->shape->chunk)
            push_one(e, f, i, done);
        else if (a->of->chunk != ORDER_ENDLESS_LOG2)
            push_if_complete(e, f, i, done);
    }
}

/* ---- closing --------------------------------------------------------------------------------- */

/* a = a merged with b; a holds the earlier lanes. */
static void merge_states(Emit *e, const KReduction *r, int32_t lanes, LLVMValueRef *a,
                         const LLVMValueRef *b) {
    if (is_of_bits(r)) {
        merge_extremes(e, r, lanes, a, b);
    } else if (r->kind == KREDUCTION_BEST) {
        LLVMValueRef wins = beats(e, r, b[BEST], a[BEST]), loses = beats(e, r, a[BEST], b[BEST]);
        LLVMValueRef tie = LLVMBuildNot(e->b, LLVMBuildOr(e->b, wins, loses, ""), "");
        LLVMValueRef earlier = LLVMBuildICmp(e->b, LLVMIntSLT, b[BEST_INDEX], a[BEST_INDEX], "");
        wins = LLVMBuildOr(e->b, wins, LLVMBuildAnd(e->b, tie, earlier, ""), "");
        a[BEST] = emit_select(e, wins, b[BEST], a[BEST]);
        a[BEST_INDEX] = emit_select(e, wins, b[BEST_INDEX], a[BEST_INDEX]);
    } else {
        a[0] = merge_values(e, r, lanes, a[0], b[0]);
    }
}

/* Halves accumulators, then lanes, until one scalar state is left in state[0 … parts). */
static void halve_lanes(Emit *e, const KReduction *r, int32_t slots, int32_t lanes,
                        LLVMValueRef *state) {
    int32_t parts = reduce_parts(r);
    SN_ASSERT(parts >= 1 && parts <= PARTS_MOST && (slots & (slots - 1)) == 0);
    for (int32_t half = slots / 2; half; half /= 2)
        for (int32_t s = 0; s < half; s++)
            merge_states(e, r, lanes, state + s * parts, state + (s + half) * parts);
    for (int32_t half = lanes / 2; half; half /= 2) {
        LLVMValueRef upper[PARTS_MOST];
        for (int32_t p = 0; p < parts; p++) {
            upper[p] = emit_part(e, state[p], (uint32_t)half, (uint32_t)half);
            state[p] = emit_part(e, state[p], 0, (uint32_t)half);
        }
        merge_states(e, r, half, state, upper);
    }
}

/* The same for lanes in memory. */
static LLVMValueRef halve_memory(Emit *e, const Frame *f, uint32_t number) {
    const Accumulator *a = accumulator_at(e, f, number);
    int32_t lanes = lanes_of(e, a, f);
    LLVMTypeRef type = part_type(e, a->of, 0, lanes);
    LLVMValueRef memory = f->memory[number];
    for (int32_t half = ORDER_LANES / 2; half; half /= 2) {
        CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, half));
        LLVMValueRef at = slot_at(e, type, memory, loop.i);
        LLVMValueRef far = LLVMBuildAdd(e->b, loop.i, const_i64(e, half), "");
        LLVMValueRef x = LLVMBuildLoad2(e->b, type, at, "");
        LLVMValueRef y = LLVMBuildLoad2(e->b, type, slot_at(e, type, memory, far), "");
        LLVMBuildStore(e->b, merge_values(e, a->of, lanes, x, y), at);
        count_close(e, &loop, const_i64(e, 1));
    }
    return LLVMBuildLoad2(e->b, type, memory, "");
}

static LLVMValueRef finish_extreme(Emit *e, const KReduction *r, int32_t lanes,
                                   const LLVMValueRef *state) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    LLVMTypeRef type = type_reg(e, dtype, lanes), bits = type_bits(e, dtype, lanes);
    LLVMValueRef zero = LLVMConstNull(bits);
    LLVMValueRef infinity = LLVMConstBitCast(const_float(type, INFINITY), bits);
    LLVMValueRef minus = LLVMConstBitCast(const_float(type, -INFINITY), bits);
    LLVMValueRef negative, x;
    if (r->is_largest) {
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
static LLVMValueRef unless_empty(Emit *e, const Frame *f, const KReduction *r, LLVMValueRef x) {
    if (r->kind != KREDUCTION_BEST && r->start != KSTART_ZERO) return x;
    LLVMValueRef empty = LLVMBuildICmp(e->b, LLVMIntSGE, f->begin, f->end, "");
    return emit_select(e, empty, LLVMConstNull(LLVMTypeOf(x)), x);
}

/* The value of a state. */
static LLVMValueRef finish(Emit *e, const Frame *f, const KReduction *r, int32_t lanes,
                           const LLVMValueRef *state) {
    if (r->kind == KREDUCTION_CHAIN) return merge_values(e, r, lanes, state[TOTAL], state[LINK]);
    LLVMValueRef x = is_of_bits(r)                ? finish_extreme(e, r, lanes, state)
                     : r->kind == KREDUCTION_BEST ? state[BEST_INDEX]
                                                  : state[0];
    return unless_empty(e, f, r, x);
}

static LLVMValueRef close_vector(Emit *e, const Frame *f, const Accumulator *a) {
    LLVMValueRef *state = f->carry + a->first;
    halve_lanes(e, a->of, f->shape->slots, f->shape->lanes, state);
    return finish(e, f, a->of, 1, state);
}

/* Merges what the tree holds into the open chunk, after `last` + 1 trips. */
static void collapse_tree(Emit *e, Frame *f, uint32_t number, LLVMValueRef last) {
    const Accumulator *a = accumulator_at(e, f, number);
    LLVMValueRef count = LLVMBuildAShr(e->b, last, const_i64(e, a->of->chunk), "");
    LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, count, const_i64(e, 0), "");
    count = emit_select(e, none, const_i64(e, 0), count);
    TreeEntry t = tree_entry(e, f, number, f->carry + a->first);
    if (a->memory)
        each_memory_lane(e, f, number, count, tree_collapse, false);
    else
        tree_collapse(e, &t, count);
}

static void close_one(Emit *e, Frame *f, uint32_t number, LLVMValueRef last) {
    const Accumulator *a = accumulator_at(e, f, number);
    const KReduction *r = a->of;
    int32_t lanes = lanes_of(e, a, f), parts = reduce_parts(r);
    if (r->kind == KREDUCTION_TREE) collapse_tree(e, f, number, last);
    if (f->loop->vector) {
        value_set_scalar(e, r->inst, 0, close_vector(e, f, a));
        return;
    }
    int32_t states = a->memory ? 1 : state_count(e, f, a);
    for (int32_t s = 0; s < states; s++) {
        LLVMValueRef x = a->memory ? unless_empty(e, f, r, halve_memory(e, f, number))
                                   : finish(e, f, r, lanes, f->carry + a->first + s * parts);
        if (lanes > 1)
            value_set_vector(e, r->inst, s, x);
        else
            value_set_scalar(e, r->inst, s, x);
    }
}

void reduce_close(Emit *e, Frame *f) {
    LLVMValueRef trips = LLVMBuildSub(e->b, f->end, f->begin, "");
    LLVMValueRef last = LLVMBuildSub(e->b, trips, const_i64(e, 1), "");
    for (uint32_t i = 0; i < f->loop->n_reductions; i++)
        if (loop_reduction(&e->loops, f->loop, i)->kind != KREDUCTION_SCAN)
            close_one(e, f, i, last);
}
