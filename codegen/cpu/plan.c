/* The plan of a kernel: its loops and reductions, how every value spreads over the lanes of its
 * vector loop, and with how many lanes, accumulators and copies each loop runs. None of these
 * choices changes a bit of the result. */
#include "codegen/cpu/emit.h"
#include "ir/kernel_form.h"

enum {
    WEIGHT_DEAR = 16,      /* division of integers, float remainder, scattered accesses */
    WEIGHT_UNROLL = 40,    /* instructions that the copies of a loop body may have together */
    WEIGHT_IN_STEP = 100,  /* the same where copies pass through the body two by two */
    WEIGHT_COLUMNS = 40,   /* the same for the copies of a loop over columns */
    WEIGHT_DEFERRED = 100, /* both loops of a deferral together: what is carried needs registers */
    WEIGHT_MASKED_ONLY = 160 /* from here on one masked loop: a second copy of the body would double
                                the compile time. Below, masks cost 15 to 40 % of the run time */
};

/* ---- loops and reductions -------------------------------------------------------------------- */

static void count_all(const Kernel *k, Plan *plan) {
    for (uint32_t i = 0; i < k->insts.count; i++) {
        uint8_t form = kop_row(k->insts.data[i].op)->form;
        plan->n_loops += form == KFORM_LOOP;
        plan->n_reductions += form == KFORM_REDUCE || form == KFORM_SCAN;
        plan->floats |= dtype_is_float(k->insts.data[i].dtype);
    }
    plan->split_axis = -1;
    for (uint32_t i = 0; i < k->axes.count; i++)
        if (k->axes.data[i].split) plan->split_axis = (int32_t)i;
}

static Reduction reduction_of(const Kernel *k, KValue inst) {
    const KInst *i = &k->insts.data[inst];
    static const uint8_t chunks[] = {[REDUCE_BY_POSITION] = CHUNK_NONE,
                                     [REDUCE_ROW] = CHUNK_ROW,
                                     [REDUCE_COLUMN] = CHUNK_COLUMN,
                                     [REDUCE_TREE] = CHUNK_TREE,
                                     [REDUCE_FREE] = CHUNK_NONE};
    Reduction r = {
        .inst = inst, .dtype = k->insts.data[i->in[0]].dtype, .parts = 1, .chunk = CHUNK_NONE};
    bool is_float = dtype_is_float((sn_dtype)r.dtype);
    bool largest = i->op == OP_REDUCE_MAX || i->op == OP_REDUCE_ARGMAX;
    switch (i->op) {
    case OP_REDUCE_MAX:
    case OP_REDUCE_MIN:
        r.kind = is_float ? RK_EXTREME : RK_MERGE;
        r.op = largest ? OP_MAXIMUM : OP_MINIMUM;
        if (is_float) r.op = largest ? OP_GT : OP_LT, r.parts = 3;
        break;
    case OP_REDUCE_ARGMAX:
    case OP_REDUCE_ARGMIN:
        r.kind = RK_ARG;
        r.op = largest ? OP_GT : OP_LT;
        r.parts = 2;
        break;
    case OP_SCAN_SUM:
        r.kind = is_float ? RK_SCAN : RK_MERGE;
        r.op = OP_ADD;
        if (is_float) r.parts = 4;
        break;
    default:
        r.op = i->op == OP_REDUCE_PROD ? OP_MUL : OP_ADD;
        if (is_float) r.chunk = chunks[i->order];
        break;
    }
    return r;
}

static void open_loop(Emit *e, uint32_t number, uint32_t inst, uint32_t parent) {
    const KInst *i = &e->kernel->insts.data[inst];
    LoopPlan *loop = &e->plan.loops[number];
    *loop = (LoopPlan){.begin = inst,
                       .parent = parent,
                       .vector_loop = KVALUE_NONE,
                       .axis = (uint32_t)i->imm,
                       .lanes = 1,
                       .slots = 1,
                       .copies = 1,
                       .tail_copies = 1,
                       .in_step = 1,
                       .chunk = CHUNK_NONE,
                       .vector = (i->flags & K_VECTOR) != 0};
    if (parent != KVALUE_NONE) e->plan.loops[parent].nested = true;
}

/* Fills begin, end, parent, nesting, and the loop of every instruction. */
static void find_loops(Emit *e) {
    Plan *plan = &e->plan;
    uint32_t open = KVALUE_NONE, next = 0;
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        uint16_t op = e->kernel->insts.data[i].op;
        if (op == OP_LOOP) {
            open_loop(e, next, i, open);
            open = next++;
        }
        plan->insts[i].loop = open;
        if (op == OP_END) {
            plan->loops[open].end = i;
            open = plan->loops[open].parent;
        }
    }
}

/* Lists reductions loop by loop. */
static void find_reductions(Emit *e) {
    Plan *plan = &e->plan;
    uint32_t next = 0;
    for (uint32_t l = 0; l < plan->n_loops; l++) {
        LoopPlan *loop = &plan->loops[l];
        loop->first_reduction = next;
        for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
            uint8_t form = kop_row(e->kernel->insts.data[i].op)->form;
            if (plan->insts[i].loop != l || (form != KFORM_REDUCE && form != KFORM_SCAN)) continue;
            Reduction r = reduction_of(e->kernel, i);
            plan->reductions[next++] = r;
            if (r.chunk < loop->chunk) loop->chunk = r.chunk;
        }
        loop->n_reductions = next - loop->first_reduction;
    }
}

/* A vector loop must run as a scalar one when its trips depend on each other. */
static bool runs_in_order(const Emit *e, const LoopPlan *loop) {
    for (uint32_t r = 0; r < loop->n_reductions; r++) {
        const Reduction *reduction = &e->plan.reductions[loop->first_reduction + r];
        if (e->kernel->insts.data[reduction->inst].op == OP_SCAN_SUM) return true;
        if (reduction->chunk != CHUNK_NONE && reduction->chunk != CHUNK_ROW) return true;
    }
    for (uint32_t i = loop->begin; i < loop->end; i++)
        if (e->kernel->insts.data[i].op == OP_STORE_ADD) return true;
    return false;
}

static void find_vector_loops(Emit *e) {
    for (uint32_t l = 0; l < e->plan.n_loops; l++) {
        LoopPlan *loop = &e->plan.loops[l];
        if (loop->vector) loop->vector = !runs_in_order(e, loop);
        if (loop->vector)
            loop->vector_loop = l;
        else if (loop->parent != KVALUE_NONE)
            loop->vector_loop = e->plan.loops[loop->parent].vector_loop;
    }
}

/* ---- spread ---------------------------------------------------------------------------------- */

static const LoopPlan *vector_loop_of(const Emit *e, uint32_t inst) {
    uint32_t loop = e->plan.insts[inst].loop;
    uint32_t vector = loop == KVALUE_NONE ? KVALUE_NONE : e->plan.loops[loop].vector_loop;
    return vector == KVALUE_NONE ? NULL : &e->plan.loops[vector];
}

/* Spread of a value as seen inside `loop`: what was computed outside is the same in all lanes. */
static InstPlan seen_in(const Emit *e, KValue value, const LoopPlan *loop) {
    InstPlan plan = e->plan.insts[value];
    if (value < loop->begin) plan.spread = SPREAD_UNIFORM;
    if (plan.spread != SPREAD_AFFINE) plan.step = 0;
    return plan;
}

Pattern plan_pattern(const Emit *e, uint32_t access, const LoopPlan *loop) {
    if (!loop) return PATTERN_UNIFORM;
    const KAccess *a = &e->kernel->accesses.data[access];
    bool strided = false;
    int64_t step = 0;
    for (uint32_t t = 0; t < a->n_terms; t++) {
        const KTerm *term = &e->kernel->terms.data[a->first_term + t];
        if (term->coef.param < 0 && term->coef.value == 0) continue;
        int64_t lane_step = term->axis == loop->axis;
        if (term->value != KVALUE_NONE) {
            InstPlan value = seen_in(e, term->value, loop);
            if (value.spread == SPREAD_VARYING) return PATTERN_SCATTERED;
            lane_step = value.step;
        }
        if (term->coef.param >= 0 && lane_step)
            strided = true;
        else
            step += lane_step;
    }
    if (strided) return PATTERN_STRIDED;
    return step == 0 ? PATTERN_UNIFORM : step == 1 ? PATTERN_CONTIGUOUS : PATTERN_STRIDED;
}

/* Affine results of i64 arithmetic; false when the value varies in another way. */
static bool affine_step(const Emit *e, const KInst *inst, const LoopPlan *loop, int64_t *step) {
    if (inst->dtype != SN_I64) return false;
    if (inst->op != OP_ADD && inst->op != OP_SUB && inst->op != OP_MUL) return false;
    InstPlan x = seen_in(e, inst->in[0], loop), y = seen_in(e, inst->in[1], loop);
    if (x.spread == SPREAD_VARYING || y.spread == SPREAD_VARYING) return false;
    if (inst->op != OP_MUL) {
        *step = inst->op == OP_ADD ? (int64_t)x.step + y.step : (int64_t)x.step - y.step;
        return true;
    }
    const KInst *factor = &e->kernel->insts.data[y.step ? inst->in[0] : inst->in[1]];
    if (factor->op != OP_CONST || (x.step && y.step)) return false;
    int64_t by = (int64_t)factor->imm;
    if (by > INT16_MAX || by < -INT16_MAX) return false;
    *step = (y.step ? y.step : x.step) * by;
    return true;
}

static bool all_uniform(const Emit *e, const KInst *inst, const LoopPlan *loop) {
    for (uint32_t i = 0; i < 3; i++)
        if (inst->in[i] != KVALUE_NONE && seen_in(e, inst->in[i], loop).spread != SPREAD_UNIFORM)
            return false;
    return true;
}

static void find_spread(Emit *e, uint32_t at) {
    enum { STEP_MOST = 1 << 24 };
    const KInst *inst = &e->kernel->insts.data[at];
    const LoopPlan *loop = vector_loop_of(e, at);
    InstPlan *plan = &e->plan.insts[at];
    plan->spread = SPREAD_UNIFORM;
    if (!loop) return;
    uint8_t form = kop_row(inst->op)->form;
    bool uniform = all_uniform(e, inst, loop);
    if (form == KFORM_LOAD || form == KFORM_STORE)
        uniform = uniform && plan_pattern(e, (uint32_t)inst->imm, loop) == PATTERN_UNIFORM;
    int64_t step = 0;
    if (form == KFORM_INDEX && inst->imm == loop->axis) {
        plan->spread = SPREAD_AFFINE;
        plan->step = 1;
    } else if (uniform) {
        plan->spread = SPREAD_UNIFORM;
    } else if (affine_step(e, inst, loop, &step) && step < STEP_MOST && step > -STEP_MOST) {
        plan->spread = step ? SPREAD_AFFINE : SPREAD_UNIFORM;
        plan->step = (int32_t)step;
    } else {
        plan->spread = SPREAD_VARYING;
    }
}

/* ---- widths and copies ----------------------------------------------------------------------- */

static uint32_t weight_of(const Emit *e, uint32_t at, const LoopPlan *loop) {
    const KInst *inst = &e->kernel->insts.data[at];
    const KOpRow *row = kop_row(inst->op);
    if (row->form == KFORM_CONST || row->form == KFORM_PARAM || row->form == KFORM_END) return 0;
    if (inst->op == OP_FMOD || inst->op == OP_INT_DIV) return WEIGHT_DEAR;
    bool memory = row->form == KFORM_LOAD || row->form == KFORM_STORE;
    if (memory && plan_pattern(e, (uint32_t)inst->imm, loop) > PATTERN_CONTIGUOUS)
        return WEIGHT_DEAR;
    return 1;
}

/* Bytes of the values that decide how many lanes a loop has: 4 where any takes part (the others
 * are split or packed), else 8, else the widest. */
static int32_t lane_bytes(const Emit *e, const LoopPlan *loop) {
    uint32_t sizes = 0; /* bit set of sizes, which are powers of two */
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = &e->kernel->insts.data[i];
        if (inst->op == OP_LOOP || inst->op == OP_END || inst->op == OP_CHECK) continue;
        sn_dtype dtype = (sn_dtype)inst->dtype;
        bool reduces = kop_row(inst->op)->form == KFORM_REDUCE;
        if (reduces) dtype = (sn_dtype)e->kernel->insts.data[inst->in[0]].dtype;
        if (!reduces && e->plan.insts[i].spread != SPREAD_VARYING) continue;
        sizes |= (uint32_t)sn_dtype_size(dtype);
    }
    if (sizes & 4) return 4;
    if (sizes & 8) return 8;
    return sizes & 2 ? 2 : 1;
}

/* Does a scalar loop inside keep 32 lanes in memory? These are many enough for one vector. */
static bool holds_row_sums(const Emit *e, const LoopPlan *loop) {
    for (uint32_t r = 0; r < e->plan.n_reductions; r++) {
        const Reduction *reduction = &e->plan.reductions[r];
        if (reduction->inst < loop->begin || reduction->inst > loop->end) continue;
        bool inner = &e->plan.loops[e->plan.insts[reduction->inst].loop] != loop;
        if (inner && reduction->chunk == CHUNK_ROW) return true;
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
static void copy_accumulators(LoopPlan *loop, uint32_t weight) {
    uint32_t together = weight * (uint32_t)loop->slots;
    loop->copies = together <= WEIGHT_IN_STEP ? loop->slots : 1;
    loop->in_step = loop->copies > 1 && together > WEIGHT_UNROLL ? 2 : 1;
}

static void choose_shape(Emit *e, LoopPlan *loop) {
    bool reduces = false, rows = false, stores = false;
    uint32_t weight = 0;
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = &e->kernel->insts.data[i];
        const LoopPlan *inner = &e->plan.loops[e->plan.insts[i].loop];
        weight += weight_of(e, i, loop->vector ? loop : NULL);
        reduces |= kop_row(inst->op)->form == KFORM_REDUCE && inner == loop;
        stores |= inst->op == OP_STORE;
    }
    loop->weight = weight;
    if (!loop->vector) return;
    rows = loop->chunk == CHUNK_ROW;
    loop->lanes = e->target->vector_bits / 8 / lane_bytes(e, loop);
    if (rows && loop->lanes > LANES_ROW) loop->lanes = LANES_ROW;
    bool light = weight * 4 <= WEIGHT_UNROLL;
    if (loop->nested && !reduces) {
        loop->copies = holds_row_sums(e, loop) ? 1 : column_copies(weight);
        loop->tail_copies = (loop->copies + 1) / 2;
        loop->in_step = loop->copies;
    } else if (reduces) {
        loop->slots = rows ? LANES_ROW / loop->lanes : light ? 4 : 1;
        if (!loop->nested) copy_accumulators(loop, weight);
    }
    loop->stream = e->schedule->stream_stores && stores && !loop->nested && !reduces;
    loop->masked_only = e->target->isa == ISA_AVX512 && weight >= WEIGHT_MASKED_ONLY &&
                        loop->copies == 1 && !loop->stream;
}

/* Places of reductions in the carry; which lie in memory, which differ between lanes. */
static void place_reductions(Emit *e, LoopPlan *loop) {
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        Reduction *r = &e->plan.reductions[loop->first_reduction + i];
        const LoopPlan *outer = loop->vector || loop->vector_loop == KVALUE_NONE
                                    ? NULL
                                    : &e->plan.loops[loop->vector_loop];
        r->memory = !loop->vector && r->chunk == CHUNK_ROW;
        r->varying = outer && e->plan.insts[r->inst].spread == SPREAD_VARYING;
        r->first = loop->n_carry;
        int32_t states = loop->vector ? loop->slots : r->varying ? outer->copies : 1;
        if (!r->memory) loop->n_carry += (uint32_t)(r->parts * states);
    }
    e->plan.n_carry += loop->n_carry;
}

/* ---- the deferred loop ----------------------------------------------------------------------- */

/* May every instruction of the loop run one item later? */
static bool may_run_later(const Emit *e, const LoopPlan *loop) {
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = &e->kernel->insts.data[i];
        uint8_t form = kop_row(inst->op)->form;
        if (form == KFORM_GRID || inst->op == OP_STORE_ADD) return false;
        if (form != KFORM_STORE) continue;
        const KAccess *access = &e->kernel->accesses.data[inst->imm];
        if (e->kernel->args.data[access->arg].role == KARG_LOCAL) return false;
    }
    return true;
}

/* Is the row buffer still the previous item's where the deferred loop reads it? Only the host may
 * write it, and only at the place that was just read. */
static bool buffer_survives(const Emit *e, const LoopPlan *host, uint32_t load) {
    const KInst *insts = e->kernel->insts.data;
    uint32_t arg = e->kernel->accesses.data[insts[load].imm].arg;
    if (e->kernel->args.data[arg].role != KARG_LOCAL) return true;
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        if (kop_row(insts[i].op)->form != KFORM_STORE) continue;
        if (e->kernel->accesses.data[insts[i].imm].arg != arg) continue;
        bool inside = i > host->begin && i < host->end;
        if (!inside || insts[i].imm != insts[load].imm) return false;
        if (plan_pattern(e, (uint32_t)insts[i].imm, host) != PATTERN_CONTIGUOUS) return false;
    }
    return true;
}

/* Runs the last loop of an item inside the one before it, of the next item: see defer.c. */
static void choose_deferred(Emit *e) {
    Plan *plan = &e->plan;
    plan->deferred = KVALUE_NONE;
    if (plan->n_loops < 2 || plan->split_axis >= 0) return;
    LoopPlan *loop = &plan->loops[plan->n_loops - 1], *host = loop - 1;
    bool last = loop->end + 1 == e->kernel->insts.count;
    bool rows = loop->parent == KVALUE_NONE && host->parent == KVALUE_NONE && loop->vector &&
                host->vector && !loop->nested && !host->nested;
    bool fits = loop->axis == host->axis && loop->lanes == host->lanes &&
                loop->weight + host->weight <= WEIGHT_DEFERRED;
    if (!last || !rows || !fits || loop->n_reductions || !host->n_reductions) return;
    if (!may_run_later(e, loop)) return;
    for (uint32_t i = loop->begin + 1; i < loop->end; i++)
        if (e->kernel->insts.data[i].op == OP_LOAD && !buffer_survives(e, host, i)) return;
    plan->deferred = plan->n_loops - 1;
    copy_accumulators(host, loop->weight + host->weight);
}

bool plan_make(Emit *e) {
    Plan *plan = &e->plan;
    *plan = (Plan){.copies = 1};
    count_all(e->kernel, plan);
    plan->insts = arena_zalloc(&e->arena, (e->kernel->insts.count + 1) * sizeof *plan->insts);
    plan->loops = arena_zalloc(&e->arena, (plan->n_loops + 1) * sizeof *plan->loops);
    plan->reductions = arena_zalloc(&e->arena, (plan->n_reductions + 1) * sizeof *plan->reductions);
    if (!plan->insts || !plan->loops || !plan->reductions) return false;
    find_loops(e);
    find_reductions(e);
    find_vector_loops(e);
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) find_spread(e, i);
    rare_find(e);
    for (uint32_t l = 0; l < plan->n_loops; l++) choose_shape(e, &plan->loops[l]);
    choose_deferred(e);
    for (uint32_t l = 0; l < plan->n_loops; l++) {
        if (plan->loops[l].copies > plan->copies) plan->copies = plan->loops[l].copies;
        place_reductions(e, &plan->loops[l]);
    }
    return true;
}
