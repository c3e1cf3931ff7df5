/* The shape of a kernel's code: with how many lanes, accumulators and copies each loop runs, where
 * reductions keep their states, and which loop is deferred. None of these choices changes a bit of the
 * result. */
#include "codegen/cpu/emit.h"

enum {
    WEIGHT_COSTLY = 16,    /* division of integers, float remainder, scattered accesses */
    WEIGHT_UNROLL = 40,    /* instructions that the copies of a loop body may have together */
    WEIGHT_IN_STEP = 100,  /* the same where copies pass through the body two by two */
    WEIGHT_COLUMNS = 40,   /* the same for the copies of a loop over columns */
    WEIGHT_DEFERRED = 100, /* both loops of a deferral together: what is carried needs registers */
    WEIGHT_MASKED_ONLY = 160 /* from here on one masked loop: a second copy of the body would double
                                the compile time. Below, masks cost 15 to 40 % of the run time */
};

/* Ops that take much longer than an addition. */
static const uint8_t op_weights[OP_COUNT] = {
    [OP_FMOD] = WEIGHT_COSTLY,
    [OP_INT_DIV] = WEIGHT_COSTLY,
};

/* ---- widths and copies ----------------------------------------------------------------------- */

static uint32_t weight_of(const Emit *e, uint32_t at, const KLoop *vector) {
    const KInst *inst = kernel_inst(e->kernel, at);
    uint8_t form = kop_row(inst->op)->form;
    if (form == KFORM_CONST || form == KFORM_PARAM || form == KFORM_END) return 0;
    if (op_weights[inst->op]) return op_weights[inst->op];
    bool scattered =
        kop_is_access(inst->op) && pattern_of(e, inst->imm, vector) > PATTERN_CONTIGUOUS;
    return scattered ? WEIGHT_COSTLY : 1;
}

/* The dtype that an instruction brings into its loop's vectors: of what varies between lanes, and of
 * what is reduced. SN_DTYPE_COUNT: none. */
static uint32_t dtype_in_lanes(const Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    if (kop_is(inst->op, KFORM_REDUCE)) return kernel_inst(e->kernel, inst->in[0])->dtype;
    bool typed = kop_has_value(inst->op) || kop_is(inst->op, KFORM_STORE);
    return typed && e->spread[at].kind == SPREAD_VARYING ? inst->dtype : SN_DTYPE_COUNT;
}

/* Bytes of the values that decide how many lanes a loop has: 4 where any takes part (the others
 * are split or packed), else 8, else the widest. */
static int32_t lane_bytes(const Emit *e, const KLoop *loop) {
    uint32_t sizes = 0; /* bit set of sizes, which are powers of two */
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        uint32_t dtype = dtype_in_lanes(e, i);
        if (dtype != SN_DTYPE_COUNT) sizes |= (uint32_t)sn_dtype_size((sn_dtype)dtype);
    }
    if (sizes & 4) return 4;
    if (sizes & 8) return 8;
    return sizes & 2 ? 2 : 1;
}

/* Of the instructions that are one for each vector: others are done once for all of them side by side. */
static uint32_t weight_in_lanes(const Emit *e, const KLoop *loop) {
    uint32_t weight = 0;
    for (uint32_t i = loop->begin + 1; i < loop->end; i++)
        if (e->spread[i].kind != SPREAD_UNIFORM) weight += weight_of(e, i, loop);
    return weight > 0 ? weight : 1;
}

/* Does a scalar loop inside keep 32 lanes in memory? These are many enough for one vector. */
static bool holds_row_sums(const Emit *e, const KLoop *loop) {
    for (uint32_t i = 0; i < e->loops.n_reductions; i++) {
        const KReduction *r = &e->loops.reductions[i];
        bool inside = r->inst > loop->begin && r->inst < loop->end;
        if (inside && &e->loops.loops[r->loop] != loop && r->lanes > 1) return true;
    }
    return false;
}

/* Vectors side by side in a loop over columns: the longer a row's piece, the nearer to the speed of
 * memory are columns read. A long body has too many registers to fill for that. */
static int32_t column_copies(uint32_t weight) {
    int32_t copies = COPIES_MOST;
    while (copies > 1 && weight * (uint32_t)copies > WEIGHT_COLUMNS) copies /= 2;
    return copies;
}

/* A copy for each accumulator. A short body runs one vector after the other; the processor overlaps
 * them. A long one does not fit its window, above all when another thread has half of it: there two
 * vectors fill each other's waits. */
static void copy_accumulators(LoopShape *shape, uint32_t weight) {
    uint32_t together = weight * (uint32_t)shape->slots;
    shape->copies = together <= WEIGHT_IN_STEP ? shape->slots : 1;
    shape->in_step = shape->copies > 1 && together > WEIGHT_UNROLL ? 2 : 1;
}

/* log2 of the smallest chunk of the loop's reductions. */
static uint8_t smallest_chunk(const Emit *e, const KLoop *loop) {
    uint8_t chunk = ORDER_ENDLESS_LOG2;
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const KReduction *r = loop_reduction(&e->loops, loop, i);
        if (r->chunk < chunk) chunk = r->chunk;
    }
    return chunk;
}

/* Are stores of any lanes of a vector masked ones? */
static bool masks_stores(const Emit *e, const KLoop *loop) {
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        bool narrow = sn_dtype_size((sn_dtype)inst->dtype) < 4;
        if (kop_is(inst->op, KFORM_STORE) && narrow && e->target->isa == ISA_AVX2) return false;
    }
    return true;
}

static void choose_vectors(Emit *e, LoopShape *shape, bool reduces, bool stores, bool settles) {
    const KLoop *loop = shape->loop;
    bool rows = shape->chunk == ORDER_ROW_LOG2, light = shape->weight * 4 <= WEIGHT_UNROLL;
    shape->lanes = e->target->vector_bits / 8 / lane_bytes(e, loop);
    SN_ASSERT(shape->lanes > 1 && shape->lanes <= LANES_MOST);
    if (rows && shape->lanes > ORDER_LANES) shape->lanes = ORDER_LANES;
    if (loop->nested && !reduces) {
        shape->copies = holds_row_sums(e, loop) ? 1 : column_copies(weight_in_lanes(e, loop));
        shape->tail_copies = (shape->copies + 1) / 2;
        shape->in_step = shape->copies;
        shape->shifts = shape->copies > 1 && masks_stores(e, loop);
    } else if (reduces) {
        shape->slots = rows ? ORDER_LANES / shape->lanes : light ? 4 : 1;
        if (!loop->nested) copy_accumulators(shape, shape->weight);
    }
    bool pairs = settles && !loop->nested && !reduces && shape->weight * 2 <= WEIGHT_UNROLL;
    if (pairs) shape->copies = shape->in_step = 2; /* NaNs of both are found by one comparison */
    shape->stream = e->schedule->stream_stores && stores && !loop->nested && !reduces;
    shape->masked_only = e->target->isa == ISA_AVX512 && shape->weight >= WEIGHT_MASKED_ONLY &&
                         shape->copies == 1 && !shape->stream;
}

static void choose_shape(Emit *e, uint32_t number) {
    const KLoop *loop = &e->loops.loops[number];
    LoopShape *shape = &e->shape.loops[number];
    *shape = (LoopShape){.loop = loop,
                         .lanes = 1,
                         .slots = 1,
                         .copies = 1,
                         .tail_copies = 1,
                         .in_step = 1,
                         .chunk = smallest_chunk(e, loop)};
    bool reduces = false, stores = false, settles = false;
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        uint16_t op = kernel_inst(e->kernel, i)->op;
        shape->weight += weight_of(e, i, loop->vector ? loop : NULL);
        reduces |= kop_is(op, KFORM_REDUCE) && e->loops.loop_of[i] == number;
        stores |= kop_is(op, KFORM_STORE) && !kop_adds_in_memory(op);
        settles |= op == OP_CANONICAL_NAN;
    }
    if (loop->vector) choose_vectors(e, shape, reduces, stores, settles);
    SN_ASSERT(shape->copies >= 1 && shape->copies <= COPIES_MOST);
    SN_ASSERT(shape->in_step >= 1 && shape->in_step <= shape->copies && shape->slots >= 1);
}

/* ---- accumulators ---------------------------------------------------------------------------- */

/* Places of the loop's reductions in its carry; which lie in memory, which differ between lanes. */
static void place_accumulators(Emit *e, LoopShape *shape) {
    const KLoop *loop = shape->loop;
    const KLoop *outer =
        loop->vector || loop->vector_loop == KLOOP_NONE ? NULL : &e->loops.loops[loop->vector_loop];
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const KReduction *r = loop_reduction(&e->loops, loop, i);
        bool varying = outer && e->spread[r->inst].kind == SPREAD_VARYING;
        int32_t states = loop->vector ? shape->slots
                         : varying    ? e->shape.loops[loop->vector_loop].copies
                                      : 1;
        Accumulator *a = &e->shape.accumulators[loop->first_reduction + i];
        *a = (Accumulator){.of = r,
                           .memory = !loop->vector && r->lanes > 1,
                           .varying = varying,
                           .first = shape->n_carry};
        if (!a->memory) shape->n_carry += (uint32_t)(reduce_parts(r) * states);
    }
}

/* ---- the deferred loop ----------------------------------------------------------------------- */

/* May every instruction of the loop run one item later? */
static bool may_run_later(const Emit *e, const KLoop *loop) {
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        if (kop_is(inst->op, KFORM_GRID) || kop_adds_in_memory(inst->op)) return false;
        if (!kop_is(inst->op, KFORM_STORE)) continue;
        if (kernel_access_arg(e->kernel, inst->imm)->role == KARG_LOCAL) return false;
    }
    return true;
}

/* Is the row buffer still the previous item's where the deferred loop reads it? Only the host may
 * write it, and only at the place that was just read. */
static bool buffer_survives(const Emit *e, const KLoop *host, uint64_t access) {
    const KInst *insts = e->kernel->insts.data;
    uint32_t arg = kernel_access(e->kernel, access)->arg;
    if (e->kernel->args.data[arg].role != KARG_LOCAL) return true;
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        if (!kop_is(insts[i].op, KFORM_STORE)) continue;
        if (kernel_access(e->kernel, insts[i].imm)->arg != arg) continue;
        bool inside = i > host->begin && i < host->end;
        if (!inside || insts[i].imm != access) return false;
        if (pattern_of(e, access, host) != PATTERN_CONTIGUOUS) return false;
    }
    return true;
}

/* May `loop`, the last one of an item, run inside `host`, the one before it, of the next item? */
static bool may_defer(const Emit *e, const LoopShape *host, const LoopShape *loop) {
    const KLoop *last = loop->loop, *before = host->loop;
    bool is_last = last->end + 1 == e->kernel->insts.count;
    bool rows = last->parent == KLOOP_NONE && before->parent == KLOOP_NONE && last->vector &&
                before->vector && !last->nested && !before->nested;
    bool fits = last->axis == before->axis && loop->lanes == host->lanes &&
                loop->weight + host->weight <= WEIGHT_DEFERRED;
    if (!is_last || !rows || !fits || last->n_reductions || !before->n_reductions) return false;
    if (!may_run_later(e, last)) return false;
    for (uint32_t i = last->begin + 1; i < last->end; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        if (kop_is(inst->op, KFORM_LOAD) && !buffer_survives(e, before, inst->imm)) return false;
    }
    return true;
}

/* Chooses whether the last loop is deferred: see defer.c. */
static void choose_deferred(Emit *e) {
    uint32_t last = e->loops.n_loops - 1;
    e->shape.deferred = KLOOP_NONE;
    if (e->loops.n_loops < 2 || e->loops.split_axis >= 0) return;
    LoopShape *loop = &e->shape.loops[last], *host = loop - 1;
    if (!may_defer(e, host, loop)) return;
    e->shape.deferred = last;
    copy_accumulators(host, loop->weight + host->weight);
}

/* ---- loops that run once --------------------------------------------------------------------- */

/* Does another instruction than those of the loop store to the argument? */
static bool stored_elsewhere(const Emit *e, const KLoop *loop, uint32_t arg) {
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        bool inside = i > loop->begin && i < loop->end;
        if (!inside && kop_is(inst->op, KFORM_STORE) &&
            kernel_access(e->kernel, inst->imm)->arg == arg)
            return true;
    }
    return false;
}

/* Does the loop, at item level, fill row buffers of its own with what hangs on no item? `item`: by
 * instruction, it does. */
static bool fills_tables(const Emit *e, const KLoop *loop, const bool *item) {
    if (loop->parent != KLOOP_NONE || loop->nested || loop->n_reductions) return false;
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        if (item[i] || kop_is(inst->op, KFORM_CHECK)) return false;
        if (!kop_is(inst->op, KFORM_STORE)) continue;
        if (kernel_access_arg(e->kernel, inst->imm)->role != KARG_LOCAL) return false;
        if (stored_elsewhere(e, loop, kernel_access(e->kernel, inst->imm)->arg)) return false;
    }
    return loop->stores;
}

static bool find_once(Emit *e) {
    const Kernel *k = e->kernel;
    bool locals = false;
    for (uint32_t a = 0; a < k->args.count; a++)
        locals = locals || k->args.data[a].role == KARG_LOCAL;
    if (!locals) return true;
    const bool *item = kernel_item_values(k, &e->arena);
    if (!item) return false;
    for (uint32_t l = 0; l < e->loops.n_loops; l++) {
        e->shape.loops[l].once = fills_tables(e, &e->loops.loops[l], item);
        e->shape.runs_once = e->shape.runs_once || e->shape.loops[l].once;
    }
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool analyse(Emit *e) {
    const Kernel *k = e->kernel;
    if (!kernel_loops(k, &e->arena, &e->loops)) return false;
    e->spread = kernel_spread(k, &e->loops, &e->arena);
    return e->spread != NULL;
}

bool shape_make(Emit *e) {
    Shape *shape = &e->shape;
    *shape = (Shape){.copies = 1};
    if (!analyse(e)) return false;
    uint32_t n_loops = e->loops.n_loops, n_reductions = e->loops.n_reductions;
    uint32_t n_insts = e->kernel->insts.count;
    shape->loops = arena_zalloc(&e->arena, (n_loops + 1) * sizeof *shape->loops);
    shape->accumulators = arena_zalloc(&e->arena, (n_reductions + 1) * sizeof *shape->accumulators);
    shape->rare = arena_zalloc(&e->arena, (n_insts + 1) * sizeof *shape->rare);
    if (!shape->loops || !shape->accumulators || !shape->rare) return false;
    rare_find(e);
    for (uint32_t i = 0; i < n_insts; i++)
        shape->floats |= dtype_is_float(kernel_inst(e->kernel, i)->dtype);
    for (uint32_t l = 0; l < n_loops; l++) choose_shape(e, l);
    if (!find_once(e)) return false;
    choose_deferred(e);
    for (uint32_t l = 0; l < n_loops; l++) {
        if (shape->loops[l].copies > shape->copies) shape->copies = shape->loops[l].copies;
        place_accumulators(e, &shape->loops[l]);
    }
    return true;
}
