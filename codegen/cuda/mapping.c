/* The mapping of a kernel to threads: what one thread is, and who runs each loop. None of these
 * choices changes a bit of the result. */
#include "codegen/cuda/emit.h"

static bool has_local(const Kernel *k) {
    for (uint32_t a = 0; a < k->args.count; a++)
        if (k->args.data[a].role == KARG_LOCAL) return true;
    return false;
}

/* ---- what a thread is ------------------------------------------------------------------------ */

/* The one vector loop whose trips can be threads of their own: all that an item does stands in it,
 * and what stands before it is cheap to repeat. KLOOP_NONE when there is none. */
static uint32_t element_loop(const Emit *e) {
    uint32_t found = KLOOP_NONE;
    for (uint32_t l = 0; l < e->loops.n_loops; l++) {
        const KLoop *loop = loop_at(e, l);
        if (loop->parent != KLOOP_NONE) continue;
        if (!loop->vector || loop->n_reductions || found != KLOOP_NONE) return KLOOP_NONE;
        found = l;
    }
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        uint16_t op = kernel_inst(e->kernel, i)->op;
        bool effect = kop_is(op, KFORM_STORE) || kop_is(op, KFORM_CHECK);
        if (effect && e->loops.loop_of[i] == KLOOP_NONE) return KLOOP_NONE;
    }
    return found;
}

static void choose_mode(Emit *e) {
    Mapping *mapping = &e->mapping;
    bool spreads = false;
    for (uint32_t l = 0; l < e->loops.n_loops; l++) spreads |= loop_at(e, l)->vector;
    mapping->element_loop = KLOOP_NONE;
    mapping->mode = MODE_BLOCK;
    if (has_local(e->kernel)) return;
    if (!spreads)
        mapping->mode = MODE_ITEM;
    else
        mapping->element_loop = element_loop(e);
    if (mapping->element_loop != KLOOP_NONE) mapping->mode = MODE_ELEMENT;
}

/* ---- who runs a loop ------------------------------------------------------------------------- */

/* Does the loop hold, however deep, a vector loop? */
static bool holds_vector_loop(const Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    for (uint32_t l = number + 1; l < e->loops.n_loops && loop_at(e, l)->begin < loop->end; l++)
        if (loop_at(e, l)->vector) return true;
    return false;
}

static bool reduces_rows(const Emit *e, const KLoop *loop) {
    for (uint32_t i = 0; i < loop->n_reductions; i++)
        if (loop_reduction(&e->loops, loop, i)->lanes > 1) return true;
    return false;
}

/* For a loop where all threads of a block come to in step. */
static void share_loop(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    SN_ASSERT(e->mapping.mode == MODE_BLOCK && e->mapping.element_loop == KLOOP_NONE);
    LoopMapping *mapping = &e->mapping.loops[number];
    if (loop->vector)
        mapping->run = reduces_rows(e, loop) ? RUN_ROWS : RUN_SPREAD;
    else if (holds_vector_loop(e, number))
        mapping->together = true;
    else if (loop->stores)
        mapping->run = RUN_ONE;
}

static void choose_runs(Emit *e) {
    for (uint32_t l = 0; l < e->loops.n_loops; l++) {
        uint32_t parent = loop_at(e, l)->parent;
        SN_ASSERT(parent == KLOOP_NONE || parent < l);
        bool together = parent == KLOOP_NONE || e->mapping.loops[parent].together;
        e->mapping.loops[l].run = l == e->mapping.element_loop ? RUN_ELEMENT : RUN_ALL;
        if (e->mapping.mode == MODE_BLOCK && together) share_loop(e, l);
    }
}

bool mapping_make(Emit *e) {
    if (!kernel_loops(e->kernel, &e->arena, &e->loops)) return false;
    e->mapping.loops = arena_zalloc(&e->arena, (e->loops.n_loops + 1) * sizeof *e->mapping.loops);
    if (!e->mapping.loops) return false;
    choose_mode(e);
    choose_runs(e);
    return true;
}
