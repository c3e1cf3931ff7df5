/* The plan of a kernel: its loops and reductions, what one thread is, and who runs each loop. None
 * of these choices changes a bit of the result. */
#include "codegen/cuda/emit.h"

/* ---- loops and reductions -------------------------------------------------------------------- */

static void count_all(const Kernel *k, Plan *plan) {
    for (uint32_t i = 0; i < k->insts.count; i++) {
        uint8_t form = kop_row(k->insts.data[i].op)->form;
        plan->n_loops += form == KFORM_LOOP;
        plan->n_reductions += form == KFORM_REDUCE || form == KFORM_SCAN;
    }
    plan->split_axis = -1;
    for (uint32_t i = 0; i < k->axes.count; i++)
        if (k->axes.data[i].split) plan->split_axis = (int32_t)i;
}

static Reduction reduction_of(const Kernel *k, KValue inst) {
    const KInst *i = &k->insts.data[inst];
    Reduction r = {.inst = inst,
                   .kind = RK_MERGE,
                   .dtype = k->insts.data[i->in[0]].dtype,
                   .chunk = CHUNK_TREE,
                   .lanes = 1,
                   .op = OP_ADD};
    bool is_float = dtype_is_float((sn_dtype)r.dtype);
    switch (i->op) {
    case OP_REDUCE_MAX:
        r.op = OP_MAXIMUM;
        return r;
    case OP_REDUCE_MIN:
        r.op = OP_MINIMUM;
        return r;
    case OP_REDUCE_ARGMAX:
        r.op = OP_GT, r.kind = RK_ARG;
        return r;
    case OP_REDUCE_ARGMIN:
        r.op = OP_LT, r.kind = RK_ARG;
        return r;
    case OP_SCAN_SUM:
        r.kind = RK_SCAN;
        return r;
    case OP_REDUCE_PROD:
        r.op = OP_MUL;
        break;
    default:
        break;
    }
    if (!is_float) return r;
    r.kind = RK_TREE;
    if (i->order == REDUCE_ROW) r.chunk = CHUNK_ROW, r.lanes = LANES_ROW;
    if (i->order == REDUCE_COLUMN) r.chunk = CHUNK_COLUMN;
    return r;
}

static void find_loops(Emit *e) {
    Plan *plan = &e->plan;
    uint32_t open = KVALUE_NONE, next = 0;
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        const KInst *inst = &e->kernel->insts.data[i];
        if (inst->op == OP_LOOP) {
            plan->loops[next] = (LoopPlan){.begin = i,
                                           .parent = open,
                                           .axis = (uint32_t)inst->imm,
                                           .spread = (inst->flags & K_VECTOR) != 0};
            open = next++;
        }
        plan->loop_of[i] = open;
        if (inst->op == OP_END) {
            plan->loops[open].end = i;
            open = plan->loops[open].parent;
        }
    }
}

/* Lists reductions loop by loop, and finds which vector loops may be spread: scans and the orders
 * without lanes depend on the trip before. */
static void find_reductions(Emit *e) {
    Plan *plan = &e->plan;
    uint32_t next = 0;
    for (uint32_t l = 0; l < plan->n_loops; l++) {
        LoopPlan *loop = &plan->loops[l];
        loop->first_reduction = next;
        for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
            const KInst *inst = &e->kernel->insts.data[i];
            uint8_t form = kop_row(inst->op)->form;
            loop->stores |= form == KFORM_STORE;
            if (inst->op == OP_STORE_ADD) loop->spread = false;
            if (plan->loop_of[i] != l || (form != KFORM_REDUCE && form != KFORM_SCAN)) continue;
            Reduction r = reduction_of(e->kernel, i);
            plan->reductions[next++] = r;
            bool rows = r.kind == RK_TREE && r.lanes == LANES_ROW;
            loop->rows |= rows;
            if (r.kind == RK_SCAN || (r.kind == RK_TREE && !rows)) loop->spread = false;
        }
        loop->n_reductions = next - loop->first_reduction;
    }
    for (uint32_t l = plan->n_loops; l-- > 0;) {
        const LoopPlan *loop = &plan->loops[l];
        if (loop->parent != KVALUE_NONE)
            plan->loops[loop->parent].holds_spread |= loop->spread || loop->holds_spread;
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

static bool has_local(const Kernel *k) {
    for (uint32_t a = 0; a < k->args.count; a++)
        if (k->args.data[a].role == KARG_LOCAL) return true;
    return false;
}

/* The one vector loop whose trips can be threads of their own: all that an item does stands in it,
 * and what stands before it is cheap to repeat. KVALUE_NONE when there is none. */
static uint32_t element_loop(const Emit *e) {
    const Plan *plan = &e->plan;
    uint32_t found = KVALUE_NONE;
    for (uint32_t l = 0; l < plan->n_loops; l++) {
        const LoopPlan *loop = &plan->loops[l];
        if (loop->parent != KVALUE_NONE) continue;
        if (!loop->spread || loop->n_reductions || found != KVALUE_NONE) return KVALUE_NONE;
        found = l;
    }
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        uint8_t form = kop_row(e->kernel->insts.data[i].op)->form;
        bool effect = form == KFORM_STORE || form == KFORM_CHECK;
        if (effect && plan->loop_of[i] == KVALUE_NONE) return KVALUE_NONE;
    }
    return found;
}

static void choose_mode(Emit *e) {
    Plan *plan = &e->plan;
    bool spreads = false;
    for (uint32_t l = 0; l < plan->n_loops; l++) spreads |= plan->loops[l].spread;
    plan->element_loop = KVALUE_NONE;
    plan->mode = MODE_BLOCK;
    if (has_local(e->kernel)) return;
    if (!spreads)
        plan->mode = MODE_ITEM;
    else
        plan->element_loop = element_loop(e);
    if (plan->element_loop != KVALUE_NONE) plan->mode = MODE_ELEMENT;
}

static void choose_runs(Plan *plan) {
    for (uint32_t l = 0; l < plan->n_loops; l++) {
        LoopPlan *loop = &plan->loops[l];
        bool outside = loop->parent == KVALUE_NONE || plan->loops[loop->parent].together;
        loop->run = RUN_ALL;
        if (l == plan->element_loop) loop->run = RUN_ELEMENT;
        if (plan->mode != MODE_BLOCK || !outside) continue;
        if (loop->spread)
            loop->run = loop->rows ? RUN_ROWS : RUN_SPREAD;
        else if (loop->holds_spread)
            loop->together = true;
        else if (loop->stores)
            loop->run = RUN_ONE;
    }
}

bool plan_make(Emit *e) {
    Plan *plan = &e->plan;
    *plan = (Plan){0};
    count_all(e->kernel, plan);
    plan->loop_of = arena_alloc(&e->arena, (e->kernel->insts.count + 1) * sizeof *plan->loop_of);
    plan->loops = arena_zalloc(&e->arena, (plan->n_loops + 1) * sizeof *plan->loops);
    plan->reductions = arena_zalloc(&e->arena, (plan->n_reductions + 1) * sizeof *plan->reductions);
    if (!plan->loop_of || !plan->loops || !plan->reductions) return false;
    find_loops(e);
    find_reductions(e);
    choose_mode(e);
    choose_runs(plan);
    return true;
}
