/* What a contraction is; see contract.h. */
#include "ir/kernel/contract.h"

static KCoef coef_of(const Kernel *kernel, const KAccess *access, uint32_t axis, KValue value) {
    KCoef coef = kcoef_literal(0);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(kernel, access, t);
        if (term->axis == axis && term->value == value) coef = term->coef;
    }
    return coef;
}

KCoef kcontract_step(const Kernel *kernel, const KAccess *access, uint32_t axis) {
    return coef_of(kernel, access, axis, KVALUE_NONE);
}

KCoef kcontract_digit_step(const Kernel *kernel, const KAccess *access, KValue digit) {
    return coef_of(kernel, access, KVALUE_NONE, digit);
}

/* The access of an operand that is memory as it is, in terms of axes alone, each in one; or, with K in
 * segments, in terms of columns, segments and steps. */
static const KAccess *find_plain(const Kernel *kernel, const KContract *c, KValue value,
                                 bool segmented) {
    const KInst *load = kernel_inst(kernel, value);
    if (!kop_is(load->op, KFORM_LOAD) || load->flags & K_PREDICATED) return NULL;
    const KAccess *access = kernel_access(kernel, load->imm);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(kernel, access, t);
        const KSegments *segments = &c->column_segments;
        bool digit = term->value == segments->number || term->value == segments->within;
        if (term->value != KVALUE_NONE && !(segmented && digit)) return NULL;
        if (segmented && term->axis == c->k_axis) return NULL;
        for (uint32_t u = 0; u < t; u++) {
            const KTerm *other = kernel_term(kernel, access, u);
            if (other->axis == term->axis && other->value == term->value) return NULL;
        }
    }
    return access;
}

/* Marks what the operand is made of in the loop over K. */
static void mark_needed(const Kernel *kernel, const KLoop *inner, KValue operand, bool *needed) {
    needed[operand] = true;
    for (uint32_t i = inner->end; i-- > inner->begin;) {
        const KInst *inst = kernel_inst(kernel, i);
        if (!needed[i]) continue;
        for (uint32_t j = 0; j < 3; j++)
            if (inst->in[j] != KVALUE_NONE) needed[inst->in[j]] = true;
        if (!kop_is_access(inst->op)) continue;
        const KAccess *access = kernel_access(kernel, inst->imm);
        for (uint32_t t = 0; t < access->n_terms; t++) {
            KValue value = kernel_term(kernel, access, t)->value;
            if (value != KVALUE_NONE) needed[value] = true;
        }
    }
}

/* Finds what the operand divides K by. */
static bool find_segments(const Kernel *kernel, const KLoop *inner, uint32_t k_axis, KValue operand,
                          Arena *arena, KSegments *segments) {
    bool *needed = arena_zalloc(arena, kernel->insts.count + 1);
    *segments = (KSegments)KSEGMENTS_NONE;
    if (!needed) return false;
    mark_needed(kernel, inner, operand, needed);
    for (uint32_t i = inner->begin; i < inner->end; i++) {
        const KInst *inst = kernel_inst(kernel, i);
        if (!needed[i] || (inst->op != OP_INT_DIV && inst->op != OP_FMOD)) continue;
        const KInst *of = kernel_inst(kernel, inst->in[0]);
        if (!kop_is(of->op, KFORM_INDEX) || of->imm != k_axis) continue;
        bool other = segments->divisor != KVALUE_NONE && inst->in[1] != segments->divisor;
        if (other || kernel_inst(kernel, inst->in[1])->op != OP_PARAM) {
            *segments = (KSegments)KSEGMENTS_NONE;
            return true;
        }
        segments->divisor = inst->in[1];
        *(inst->op == OP_INT_DIV ? &segments->number : &segments->within) = i;
    }
    return true;
}

/* ---- rows that lie in memory ----------------------------------------------------------------- */

static bool turns_here(const KInst *inst, const KSegments *segments, KValue value,
                       const bool *turns) {
    if (value == segments->within && value != KVALUE_NONE) return true;
    if (value == segments->number && value != KVALUE_NONE) return false;
    if (kop_is(inst->op, KFORM_INDEX) || kop_accumulates(inst->op)) return true;
    for (uint32_t i = 0; i < 3; i++)
        if (inst->in[i] != KVALUE_NONE && turns[inst->in[i]]) return true;
    return kop_is_access(inst->op); /* it stays where it is */
}

void kcontract_find_turns(const Kernel *kernel, const KLoop *inner, const KSegments *segments,
                          bool *turns) {
    for (uint32_t i = inner->begin + 1; i < inner->end; i++)
        turns[i] = turns_here(kernel_inst(kernel, i), segments, i, turns);
}

/* Does the address move by an element from step to step, and in no other way? */
static bool follows(const Kernel *kernel, const KContract *c, const KAccess *access,
                    const bool *turns) {
    KValue within = c->row_segments.within;
    uint32_t steps = 0;
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(kernel, access, t);
        bool step = within == KVALUE_NONE ? term->axis == c->k_axis : term->value == within;
        if (step && !kcoef_is(term->coef, 1)) return false;
        if (!step && term->value == KVALUE_NONE && term->axis == c->k_axis) return false;
        if (!step && term->value != KVALUE_NONE && turns[term->value]) return false;
        steps += step;
    }
    return steps == 1;
}

/* Do the access's terms but for the grid's strides hang on K alone? */
static bool moves_evenly(const Kernel *kernel, const KAccess *access, const bool *rows) {
    for (uint32_t t = 0; t < access->n_terms; t++) {
        KValue value = kernel_term(kernel, access, t)->value;
        if (value != KVALUE_NONE && rows[value]) return false;
    }
    return true;
}

/* Finds KContract.placed. */
static bool find_placed(const Kernel *kernel, const KLoop *inner, Arena *arena, KContract *c) {
    const KInst *row = kernel_inst(kernel, c->row), *load = row;
    KPlaced placed = {.inside = KVALUE_NONE, .outside = KVALUE_NONE};
    bool *turns = arena_zalloc(arena, kernel->insts.count + 1);
    const bool *rows = kernel_item_values(kernel, arena);
    if (!turns || !rows) return false;
    kcontract_find_turns(kernel, inner, &c->row_segments, turns);
    if (row->op == OP_WHERE) {
        placed.inside = row->in[0];
        placed.outside = row->in[2];
        load = kernel_inst(kernel, row->in[1]);
        uint16_t outside = kernel_inst(kernel, row->in[2])->op;
        if (outside != OP_PARAM && outside != OP_CONST) return true;
    }
    bool predicated = load->flags & K_PREDICATED;
    if (!kop_is(load->op, KFORM_LOAD) || predicated != (placed.inside != KVALUE_NONE)) return true;
    if (predicated && (load->in[0] != placed.inside || turns[placed.inside])) return true;
    placed.access = kernel_access(kernel, load->imm);
    placed.evenly = !predicated && moves_evenly(kernel, placed.access, rows);
    if (follows(kernel, c, placed.access, turns)) c->placed = placed;
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool has_check(const Kernel *kernel, const KLoop *loop) {
    for (uint32_t i = loop->begin; i < loop->end; i++)
        if (kop_is(kernel_inst(kernel, i)->op, KFORM_CHECK)) return true;
    return false;
}

bool kernel_contract(const Kernel *kernel, const KLoops *loops, const KSpread *spread, Arena *arena,
                     KContract *contract) {
    if (loops->n_loops != 2 || loops->n_reductions != 1) return false;
    const KLoop *columns = &loops->loops[0], *inner = &loops->loops[1];
    const KReduction *chain = &loops->reductions[0];
    if (chain->kind != KREDUCTION_CHAIN || chain->loop != 1 || inner->parent != 0) return false;
    if (!columns->vector || inner->stores || has_check(kernel, inner)) return false;
    for (uint32_t a = 0; a < kernel->args.count; a++)
        if (kernel->args.data[a].role == KARG_LOCAL) return false;
    const KInst *inst = kernel_inst(kernel, chain->inst);
    bool first = spread[inst->in[0]].kind == SPREAD_UNIFORM;
    bool second = spread[inst->in[1]].kind == SPREAD_UNIFORM;
    if (first == second) return false;
    *contract = (KContract){.columns = 0,
                            .inner = 1,
                            .column_axis = columns->axis,
                            .k_axis = inner->axis,
                            .chain = chain->inst,
                            .row = inst->in[first ? 0 : 1],
                            .column = inst->in[first ? 1 : 0]};
    if (!find_segments(kernel, inner, inner->axis, contract->row, arena, &contract->row_segments) ||
        !find_segments(kernel, inner, inner->axis, contract->column, arena,
                       &contract->column_segments))
        return false;
    contract->plain_row = find_plain(kernel, contract, contract->row, false);
    contract->plain = find_plain(kernel, contract, contract->column, false);
    if (!contract->plain && contract->column_segments.divisor != KVALUE_NONE)
        contract->segmented = find_plain(kernel, contract, contract->column, true);
    return find_placed(kernel, inner, arena, contract);
}
