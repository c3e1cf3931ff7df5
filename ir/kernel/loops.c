/* Loops and reductions of a kernel; see loops.h. */
#include "ir/kernel/loops.h"

#include "base/assert.h"

static void count_all(const Kernel *k, KLoops *loops) {
    for (uint32_t i = 0; i < k->insts.count; i++) {
        loops->n_loops += kop_is(k->insts.data[i].op, KFORM_LOOP);
        loops->n_reductions += kop_accumulates(k->insts.data[i].op);
    }
    loops->split_axis = -1;
    for (uint32_t i = 0; i < k->axes.count; i++)
        if (k->axes.data[i].split) loops->split_axis = (int32_t)i;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static void open_loop(const Kernel *k, KLoops *loops, uint32_t number, uint32_t at,
                      uint32_t parent) {
    const KInst *inst = kernel_inst(k, at);
    SN_ASSERT(number < loops->n_loops && inst->imm < k->axes.count);
    SN_ASSERT(parent == KLOOP_NONE || parent < number);
    loops->loops[number] = (KLoop){.begin = at,
                                   .parent = parent,
                                   .axis = (uint32_t)inst->imm,
                                   .vector_loop = KLOOP_NONE,
                                   .vector = (inst->flags & K_VECTOR) != 0};
    if (parent != KLOOP_NONE) loops->loops[parent].nested = true;
}

static void note_store(KLoops *loops, uint32_t loop) {
    for (; loop != KLOOP_NONE; loop = loops->loops[loop].parent) loops->loops[loop].stores = true;
}

/* Fills all but reductions and vector loops. */
static void find_loops(const Kernel *k, KLoops *loops) {
    uint32_t open = KLOOP_NONE, next = 0;
    for (uint32_t i = 0; i < k->insts.count; i++) {
        uint16_t op = k->insts.data[i].op;
        if (kop_is(op, KFORM_LOOP)) {
            open_loop(k, loops, next, i, open);
            open = next++;
        }
        loops->loop_of[i] = open;
        if (kop_is(op, KFORM_STORE)) note_store(loops, open);
        if (kop_is(op, KFORM_END)) {
            SN_ASSERT(open != KLOOP_NONE);
            loops->loops[open].end = i;
            open = loops->loops[open].parent;
        }
    }
    SN_ASSERT(open == KLOOP_NONE && next == loops->n_loops);
}

/* ---- reductions ------------------------------------------------------------------------------ */

static KReductionKind kind_of(const KInst *inst, sn_dtype dtype) {
    const KOpRow *row = kop_row(inst->op);
    if (row->form == KFORM_SCAN) return KREDUCTION_SCAN;
    if (row->result == KRESULT_I64) return KREDUCTION_BEST;
    if (kop_is_chain(inst->op)) return KREDUCTION_CHAIN;
    return kop_is_ordered(inst->op, dtype) ? KREDUCTION_TREE : KREDUCTION_MERGE;
}

static KReduction reduction_of(const Kernel *k, KValue inst, uint32_t loop) {
    const KInst *i = kernel_inst(k, inst);
    const KOpRow *row = kop_row(i->op);
    uint8_t dtype = kernel_inst(k, i->in[0])->dtype;
    KReductionKind kind = kind_of(i, (sn_dtype)dtype);
    bool chunks = kind == KREDUCTION_TREE || kind == KREDUCTION_CHAIN;
    ReduceOrder order = chunks ? (ReduceOrder)i->order : REDUCE_FREE;
    SN_ASSERT(row->merge != KMERGE_NONE && order != REDUCE_BY_POSITION);
    SN_ASSERT((order == REDUCE_FREE) == !chunks);
    SN_ASSERT((order == REDUCE_CHAIN) == (kind == KREDUCTION_CHAIN));
    return (KReduction){.inst = inst,
                        .loop = loop,
                        .merge = row->merge,
                        .kind = (uint8_t)kind,
                        .dtype = dtype,
                        .start = row->start,
                        .chunk = order_chunk_log2(order),
                        .lanes = order_lanes(order),
                        .is_largest = row->start == KSTART_LEAST};
}

static void find_reductions(const Kernel *k, KLoops *loops) {
    uint32_t next = 0;
    for (uint32_t l = 0; l < loops->n_loops; l++) {
        KLoop *loop = &loops->loops[l];
        loop->first_reduction = next;
        for (uint32_t i = loop->begin + 1; i < loop->end; i++)
            if (loops->loop_of[i] == l && kop_accumulates(k->insts.data[i].op))
                loops->reductions[next++] = reduction_of(k, i, l);
        loop->n_reductions = next - loop->first_reduction;
    }
    SN_ASSERT(next == loops->n_reductions);
}

/* ---- vector loops ---------------------------------------------------------------------------- */

/* Chunks without lanes take in one value after the other. (Scans and additions in memory do so too,
 * but in a vector loop the verifier takes neither.) */
static bool runs_in_order(const KLoops *loops, const KLoop *loop) {
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const KReduction *r = loop_reduction(loops, loop, i);
        SN_ASSERT(r->kind != KREDUCTION_SCAN);
        if (r->kind == KREDUCTION_TREE && r->lanes == 1) return true;
        if (r->kind == KREDUCTION_CHAIN) return true;
    }
    return false;
}

static void find_vector_loops(KLoops *loops) {
    for (uint32_t l = 0; l < loops->n_loops; l++) {
        KLoop *loop = &loops->loops[l];
        SN_ASSERT(loop->parent == KLOOP_NONE || loop->parent < l);
        if (loop->vector && runs_in_order(loops, loop)) loop->vector = false;
        if (loop->vector)
            loop->vector_loop = l;
        else if (loop->parent != KLOOP_NONE)
            loop->vector_loop = loops->loops[loop->parent].vector_loop;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

bool kernel_loops(const Kernel *k, Arena *arena, KLoops *loops) {
    *loops = (KLoops){0};
    count_all(k, loops);
    loops->loops = arena_zalloc(arena, (loops->n_loops + 1) * sizeof *loops->loops);
    loops->reductions = arena_zalloc(arena, (loops->n_reductions + 1) * sizeof *loops->reductions);
    loops->loop_of = arena_zalloc(arena, (k->insts.count + 1) * sizeof *loops->loop_of);
    if (!loops->loops || !loops->reductions || !loops->loop_of) return false;
    find_loops(k, loops);
    find_reductions(k, loops);
    find_vector_loops(loops);
    return true;
}

const KLoop *vector_loop_of(const KLoops *loops, uint32_t inst) {
    uint32_t loop = loops->loop_of[inst];
    SN_ASSERT(loop == KLOOP_NONE || loop < loops->n_loops);
    uint32_t vector = loop == KLOOP_NONE ? KLOOP_NONE : loops->loops[loop].vector_loop;
    return vector == KLOOP_NONE ? NULL : &loops->loops[vector];
}

const KReduction *loop_reduction(const KLoops *loops, const KLoop *loop, uint32_t i) {
    SN_ASSERT(i < loop->n_reductions);
    return &loops->reductions[loop->first_reduction + i];
}

uint32_t loop_reduction_number(const KLoops *loops, const KLoop *loop, KValue inst) {
    uint32_t i = 0;
    while (loop_reduction(loops, loop, i)->inst != inst) i++;
    return i;
}

uint64_t reduction_start(const KReduction *r) {
    return kstart_bits((KStart)r->start, (sn_dtype)r->dtype);
}
