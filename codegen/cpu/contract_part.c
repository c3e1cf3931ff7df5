/* The parts of a contraction, cut out of its kernel; see contract.h. What a part needs is what its last value
 * is made of; columns and steps of K are counted from parameters. */
#include "codegen/cpu/contract.h"

#include "base/status.h"

/* A part being made. */
typedef struct Cut {
    const Emit *e;             /* the analysed whole */
    const KContract *contract; /* its loops and values */
    const Hoisted *hoisted;    /* values that have a part of their own */
    ContractPart part;         /* which */
    KSegments segments;        /* of K in it */
    Kernel *kernel;            /* the result */
    bool *needed;              /* by instruction of the whole */
    bool *turns;               /* by instruction of the whole: may differ from step to step of K */
    KValue *renamed;           /* by instruction of the whole: its number in the part */
    KValue first_column, first_k; /* values of these parameters … */
    KValue segment, first_within; /* … and of these, where K is in segments … */
    KValue outside;               /* … and of this one, of PART_PLACES */
    KValue places
        [HOISTED_MOST]; /* where hoisted values lie: elements from their argument's beginning */
    bool failed;        /* out of memory */
} Cut;

KSegments contract_segments(const KContract *contract, ContractPart part) {
    if (part == PART_ROWS || part == PART_PLACES) return contract->row_segments;
    return part == PART_COLUMNS ? contract->column_segments : (KSegments)KSEGMENTS_NONE;
}

static KValue append(Cut *c, KInst inst) {
    if (!vec_push(&c->kernel->insts, inst)) c->failed = true;
    return c->kernel->insts.count - 1;
}

static KInst inst_of(OpCode op, sn_dtype dtype) {
    return (KInst){
        .op = (uint16_t)op, .dtype = (uint8_t)dtype, .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
}

/* ---- what is needed -------------------------------------------------------------------------- */

/* Notes an instruction and all that it is made of. They are in program order, so that one walk back finds
 * what is needed. */
static void need(Cut *c, KValue value) {
    if (value != KVALUE_NONE) c->needed[value] = true;
}

/* Is it the number of a segment, or a step's in one? That is a parameter, or counted from one. */
static bool is_digit(const Cut *c, KValue value) {
    return value != KVALUE_NONE && (value == c->segments.number || value == c->segments.within);
}

/* Is it read from memory, where another part left it? */
static bool is_left(const Cut *c, KValue value) {
    for (uint32_t i = 0; c->part == PART_RESULTS && i < c->hoisted->count; i++)
        if (c->hoisted->values[i] == value) return true;
    return value == c->contract->chain;
}

static void need_terms(Cut *c, const KAccess *access) {
    for (uint32_t t = 0; t < access->n_terms; t++)
        need(c, kernel_term(c->e->kernel, access, t)->value);
}

static void need_operands(Cut *c, const KInst *inst) {
    const Kernel *whole = c->e->kernel;
    for (uint32_t i = 0; i < 3; i++) need(c, inst->in[i]);
    if (kop_is_access(inst->op)) need_terms(c, kernel_access(whole, inst->imm));
}

static void find_needed(Cut *c) {
    const Kernel *whole = c->e->kernel;
    if (c->part == PART_ROWS) need(c, c->contract->row);
    if (c->part == PART_PLACES) {
        need(c, c->contract->placed.inside);
        need_terms(c, c->contract->placed.access);
    }
    if (c->part == PART_COLUMNS) need(c, c->contract->column);
    for (uint32_t i = 0; c->part == PART_HOISTED && i < c->hoisted->count; i++)
        need(c, c->hoisted->values[i]);
    for (uint32_t i = whole->insts.count; i-- > 0;) {
        const KInst *inst = kernel_inst(whole, i);
        bool acts = kop_is(inst->op, KFORM_STORE) || kop_is(inst->op, KFORM_CHECK);
        if (acts && c->part == PART_RESULTS) c->needed[i] = true;
        if (c->needed[i] && !is_left(c, i) && !is_digit(c, i)) need_operands(c, inst);
    }
}

/* ---- axes and addresses ---------------------------------------------------------------------- */

/* Is the axis of this loop counted from a parameter in the part? */
static bool has_columns(const Cut *c) {
    return c->part != PART_ROWS && c->part != PART_PLACES;
}
static bool has_k(const Cut *c) {
    return c->part == PART_ROWS || c->part == PART_COLUMNS;
}

static uint32_t column_axis(const Cut *c) {
    return c->contract->column_axis;
}
static uint32_t k_axis(const Cut *c) {
    return c->contract->k_axis;
}

static sn_dtype chain_dtype(const Cut *c) {
    return (sn_dtype)kernel_inst(c->e->kernel, c->contract->chain)->dtype;
}

static KCoef own_param(const Cut *c, int32_t which) {
    return kcoef_param(c->e->kernel->n_params + which);
}

static void copy_axes(Cut *c) {
    const Kernel *whole = c->e->kernel;
    for (uint32_t a = 0; a < whole->axes.count; a++) {
        KAxis axis = {.size = whole->axes.data[a].size};
        if (a == column_axis(c)) axis.size = own_param(c, CONTRACT_COLUMNS);
        if (a == k_axis(c)) axis.size = own_param(c, CONTRACT_K);
        if (!vec_push(&c->kernel->axes, axis)) c->failed = true;
    }
}

static void add_term(Cut *c, KAccess *access, KTerm term) {
    if (!vec_push(&c->kernel->terms, term)) c->failed = true;
    access->n_terms++;
}

/* The access with its values' new numbers, and where an axis is counted from a parameter that added. */
static uint32_t copy_access(Cut *c, const KAccess *from) {
    const Kernel *whole = c->e->kernel;
    KAccess access = *from;
    access.first_term = c->kernel->terms.count;
    access.n_terms = 0;
    for (uint32_t t = 0; t < from->n_terms; t++) {
        KTerm term = *kernel_term(whole, from, t);
        if (term.axis == column_axis(c) && !has_columns(c)) continue; /* the row's: times 0 */
        if (term.value == c->segments.within && term.value != KVALUE_NONE) {
            if (has_k(c)) add_term(c, &access, (KTerm){k_axis(c), KVALUE_NONE, term.coef});
            add_term(c, &access, (KTerm){KVALUE_NONE, c->first_within, term.coef});
            continue;
        }
        if (term.value != KVALUE_NONE) term.value = c->renamed[term.value];
        bool column = term.axis == column_axis(c), k = term.axis == k_axis(c);
        if (!k || has_k(c)) add_term(c, &access, term);
        if (term.value != KVALUE_NONE || !(column || k)) continue;
        term.axis = KVALUE_NONE;
        term.value = column ? c->first_column : c->first_k;
        add_term(c, &access, term);
    }
    if (!vec_push(&c->kernel->accesses, access)) c->failed = true;
    return c->kernel->accesses.count - 1;
}

/* The access of the part's own argument. */
static uint32_t own_access(Cut *c) {
    KAccess access = {.arg = c->e->kernel->args.count,
                      .first_term = c->kernel->terms.count,
                      .offset = kcoef_literal(0)};
    KCoef one = kcoef_literal(1);
    if (has_columns(c)) add_term(c, &access, (KTerm){column_axis(c), KVALUE_NONE, one});
    if (has_k(c)) {
        KCoef step = has_columns(c) ? own_param(c, CONTRACT_PANEL) : one;
        add_term(c, &access, (KTerm){k_axis(c), KVALUE_NONE, step});
    }
    if (!vec_push(&c->kernel->accesses, access)) c->failed = true;
    return c->kernel->accesses.count - 1;
}

/* The access of a hoisted value: the part that makes it and those that read it have it in other arguments. */
static uint32_t hoisted_access(Cut *c, uint32_t which) {
    bool makes = c->part == PART_HOISTED;
    KAccess access = {.arg = c->e->kernel->args.count + !makes,
                      .first_term = c->kernel->terms.count,
                      .offset = kcoef_literal(0)};
    KCoef one = kcoef_literal(1);
    add_term(c, &access, (KTerm){column_axis(c), KVALUE_NONE, one});
    if (which) add_term(c, &access, (KTerm){KVALUE_NONE, c->places[which], one});
    if (!vec_push(&c->kernel->accesses, access)) c->failed = true;
    return c->kernel->accesses.count - 1;
}

/* ---- instructions ---------------------------------------------------------------------------- */

/* The step in a segment. */
static KValue count_within(Cut *c) {
    KInst index = inst_of(OP_INDEX_OF, SN_I64), sum = inst_of(OP_ADD, SN_I64);
    index.imm = k_axis(c);
    sum.in[0] = append(c, index);
    sum.in[1] = c->first_within;
    return append(c, sum);
}

static void copy_inst(Cut *c, KValue at) {
    KInst inst = *kernel_inst(c->e->kernel, at);
    if (is_digit(c, at)) {
        c->renamed[at] = at == c->segments.number ? c->segment : count_within(c);
        return;
    }
    for (uint32_t i = 0; i < 3; i++)
        if (inst.in[i] != KVALUE_NONE) inst.in[i] = c->renamed[inst.in[i]];
    if (kop_is_access(inst.op)) inst.imm = copy_access(c, kernel_access(c->e->kernel, inst.imm));
    c->renamed[at] = append(c, inst);
    if (!kop_is(inst.op, KFORM_INDEX)) return;
    bool column = inst.imm == column_axis(c);
    KInst sum = inst_of(OP_ADD, SN_I64);
    sum.in[0] = c->renamed[at];
    sum.in[1] = column ? c->first_column : c->first_k;
    c->renamed[at] = append(c, sum);
}

/* The sums, where the whole has them added up. */
static void read_sums(Cut *c) {
    KInst load = inst_of(OP_LOAD, chain_dtype(c));
    load.imm = own_access(c);
    c->renamed[c->contract->chain] = append(c, load);
}

/* A value that another part left. */
static void read_left(Cut *c, KValue at) {
    if (at == c->contract->chain) return; /* read where its loop ends */
    uint32_t which = 0;
    while (c->hoisted->values[which] != at) which++;
    KInst load = inst_of(OP_LOAD, chain_dtype(c));
    load.imm = hoisted_access(c, which);
    c->renamed[at] = append(c, load);
}

static void store(Cut *c, KValue value, uint32_t access) {
    KInst inst = inst_of(OP_STORE, (sn_dtype)kernel_inst(c->e->kernel, value)->dtype);
    inst.in[0] = c->renamed[value];
    inst.imm = access;
    append(c, inst);
}

/* What the part is for, at the end of the loop over K … */
static void end_steps(Cut *c) {
    if (has_k(c))
        store(c, c->part == PART_ROWS ? c->contract->row : c->contract->column, own_access(c));
    if (c->part == PART_RESULTS) read_sums(c);
}

/* … and at that of the one over columns. */
static void end_columns(Cut *c) {
    for (uint32_t i = 0; c->part == PART_HOISTED && i < c->hoisted->count; i++)
        store(c, c->hoisted->values[i], hoisted_access(c, i));
}

/* Where the row begins: in memory, or that of what lies outside. */
static void store_place(Cut *c) {
    const KPlaced *placed = &c->contract->placed;
    KInst address = inst_of(OP_ADDRESS, SN_I64), store = inst_of(OP_STORE, SN_I64);
    address.imm = copy_access(c, placed->access);
    store.in[0] = append(c, address);
    if (placed->inside != KVALUE_NONE) {
        KInst where = inst_of(OP_WHERE, SN_I64);
        where.in[0] = c->renamed[placed->inside];
        where.in[1] = store.in[0];
        where.in[2] = c->outside;
        store.in[0] = append(c, where);
    }
    store.imm = own_access(c);
    append(c, store);
}

static void copy_loop(Cut *c, KValue at, bool opens) {
    KInst inst = *kernel_inst(c->e->kernel, at);
    if (opens)
        inst.flags = c->part == PART_ROWS || at != c->e->loops.loops[c->contract->inner].begin
                         ? K_VECTOR
                         : 0;
    append(c, inst);
}

/* What is the same for all steps of a segment is computed before them; where a row lies hangs on nothing
 * else. */
static void copy_before_steps(Cut *c) {
    const KLoop *inner = &c->e->loops.loops[c->contract->inner];
    if (c->segments.divisor == KVALUE_NONE && c->part != PART_PLACES) return;
    kcontract_find_turns(c->e->kernel, inner, &c->segments, c->turns);
    for (uint32_t i = inner->begin + 1; i < inner->end && !c->failed; i++) {
        bool turns = c->turns[i];
        if (c->needed[i] && !turns) copy_inst(c, i);
        if (!turns || c->part == PART_PLACES) c->needed[i] = false;
    }
}

static void copy_insts(Cut *c) {
    const Kernel *whole = c->e->kernel;
    const KLoop *columns = &c->e->loops.loops[c->contract->columns];
    const KLoop *inner = &c->e->loops.loops[c->contract->inner];
    for (uint32_t i = 0; i < whole->insts.count && !c->failed; i++) {
        bool of_columns = i == columns->begin || i == columns->end;
        bool of_inner = i == inner->begin || i == inner->end;
        if (i == inner->begin) copy_before_steps(c);
        if (i == inner->begin && c->part == PART_PLACES) store_place(c);
        if (i == inner->end) end_steps(c);
        if (i == columns->end) end_columns(c);
        if ((of_columns && has_columns(c)) || (of_inner && has_k(c)))
            copy_loop(c, i, i == columns->begin || i == inner->begin);
        else if (!of_columns && !of_inner && c->needed[i])
            is_left(c, i) ? read_left(c, i) : copy_inst(c, i);
    }
}

static KValue param_value(Cut *c, int32_t which) {
    KInst inst = inst_of(OP_PARAM, SN_I64);
    inst.imm = (uint64_t)own_param(c, which).param;
    return append(c, inst);
}

static KValue place_of(Cut *c, uint32_t which) {
    KInst inst = inst_of(OP_CONST, SN_I64);
    inst.imm = (uint64_t)(which * c->hoisted->apart);
    return append(c, inst);
}

static void copy_args(Cut *c) {
    const Kernel *whole = c->e->kernel;
    for (uint32_t a = 0; a < whole->args.count; a++)
        if (!vec_push(&c->kernel->args, whole->args.data[a])) c->failed = true;
    uint8_t dtype = c->part == PART_PLACES ? SN_I64 : (uint8_t)chain_dtype(c);
    KArg own = {.dtype = dtype,
                .role = c->part == PART_RESULTS ? KARG_IN : KARG_OUT,
                .size = kcoef_literal(0)};
    if (!vec_push(&c->kernel->args, own)) c->failed = true;
    own.role = KARG_IN;
    if (c->hoisted->count && !vec_push(&c->kernel->args, own)) c->failed = true;
}

sn_status contract_part(const Emit *e, const KContract *contract, const Hoisted *hoisted,
                        ContractPart part, Kernel *kernel) {
    Cut c = {.e = e,
             .contract = contract,
             .hoisted = hoisted,
             .part = part,
             .kernel = kernel,
             .segments = contract_segments(contract, part)};
    uint32_t count = e->kernel->insts.count;
    Arena arena = {0};
    c.needed = arena_zalloc(&arena, count + 1);
    c.turns = arena_zalloc(&arena, count + 1);
    c.renamed = arena_zalloc(&arena, (count + 1) * sizeof *c.renamed);
    c.failed = !c.needed || !c.turns || !c.renamed;
    if (!c.failed) {
        kernel->n_params = e->kernel->n_params + CONTRACT_PARAMS;
        find_needed(&c);
        copy_args(&c);
        copy_axes(&c);
        c.first_column = param_value(&c, CONTRACT_FIRST_COLUMN);
        c.first_k = param_value(&c, CONTRACT_FIRST_K);
        c.segment = param_value(&c, CONTRACT_SEGMENT);
        c.first_within = param_value(&c, CONTRACT_WITHIN);
        c.outside = param_value(&c, CONTRACT_OUTSIDE);
        for (uint32_t i = 1; i < hoisted->count; i++) c.places[i] = place_of(&c, i);
        copy_insts(&c);
    }
    arena_free(&arena);
    return c.failed ? error_memory(e->error) : kernel_verify(kernel, e->error);
}
