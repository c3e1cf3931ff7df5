/* Lowering, tables: what a loop over K works out of indices alone (where a tap of a window lies, and whether
 * it lies inside) is the same for all columns. A processor's kernel computes it once for an item, in a loop
 * of its own, and reads it from tables, row buffers of one element for each step of K. What hangs on K alone,
 * the digits of a tap, gets a loop before that one, which the code generator may run once for many items. On
 * CUDA each thread has a column of its own, and computes it as it goes. */
#include "passes/lower/lower.h"

#include "base/status.h"
#include "ir/kernel/contract.h"
#include "ir/kernel/form.h"

enum {
    DIVISION_WORK = 16, /* of a division, in additions */
    LEAST_WORK = 8,     /* so much of it is worth a table */
    MOST_STEPS = 4096   /* of K: tables should stay in the first caches */
};

/* The offset that an access has from terms that move. */
typedef struct Offset {
    uint32_t access; /* whose */
    KValue value;    /* in the loop that is cut, read from the table */
} Offset;

/* A loop being cut in two. */
typedef struct Cut {
    Lower *l;            /* the step */
    const Kernel *from;  /* the kernel */
    Kernel to;           /* the result */
    uint32_t begin, end; /* the loop over K that is cut */
    uint32_t before;     /* the other goes before this instruction */
    bool *moves;         /* by instruction: it goes there */
    bool *wanted;        /* by instruction that moves: what stays reads it */
    KValue *named;       /* by instruction: its number in the result … */
    KValue *moved;       /* … and in the other loop */
    VEC(Offset) offsets; /* in order of their tables, behind those of values */
    uint32_t tables;     /* access of the first table */
    bool failed;         /* out of memory */
} Cut;

/* ---- emission -------------------------------------------------------------------------------- */

static KValue append(Cut *c, KInst inst) {
    if (!vec_push(&c->to.insts, inst)) c->failed = true;
    return c->to.insts.count - 1;
}

static KInst inst_of(OpCode op, sn_dtype dtype) {
    return (KInst){
        .op = (uint16_t)op, .dtype = (uint8_t)dtype, .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
}

static KValue op2(Cut *c, OpCode op, KValue x, KValue y) {
    KInst inst = inst_of(op, SN_I64);
    inst.in[0] = x;
    inst.in[1] = y;
    return append(c, inst);
}

static const KInst *inst_at(const Cut *c, uint32_t at) {
    return kernel_inst(c->from, at);
}

static bool is_moved(const Cut *c, KValue value) {
    return value != KVALUE_NONE && c->moves[value];
}

static bool access_moves(const Cut *c, uint64_t number) {
    const KAccess *access = kernel_access(c->from, number);
    for (uint32_t t = 0; t < access->n_terms; t++)
        if (is_moved(c, kernel_term(c->from, access, t)->value)) return true;
    return false;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* The access of a new row buffer with an element for each step of K. */
static uint32_t add_table(Cut *c, sn_dtype dtype) {
    uint32_t axis = (uint32_t)inst_at(c, c->begin)->imm;
    KArg arg = {(uint8_t)dtype, KARG_LOCAL, c->from->axes.data[axis].size};
    LowerArg own = {.buffer = UINT32_MAX, .read = true, .written = true};
    KTerm term = {axis, KVALUE_NONE, kcoef_literal(1)};
    KAccess access = {c->to.args.count, c->to.terms.count, 1, kcoef_literal(0)};
    bool ok = vec_push(&c->l->args, own) && vec_push(&c->to.args, arg) &&
              vec_push(&c->to.terms, term) && vec_push(&c->to.accesses, access);
    if (!ok) c->failed = true;
    return c->to.accesses.count - 1;
}

static void store_in_table(Cut *c, sn_dtype dtype, KValue value) {
    KInst store = inst_of(OP_STORE, dtype);
    store.in[0] = value;
    store.imm = add_table(c, dtype);
    append(c, store);
}

static KValue load_from_table(Cut *c, uint32_t access) {
    sn_dtype dtype = (sn_dtype)kernel_access_arg(&c->to, access)->dtype;
    KInst load = inst_of(OP_LOAD, dtype);
    load.imm = access;
    return append(c, load);
}

/* The sum of an access's terms that move, each times its coefficient. */
static KValue sum_offset(Cut *c, uint32_t number, const KValue *words) {
    const KAccess *access = kernel_access(c->from, number);
    KValue sum = KVALUE_NONE;
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(c->from, access, t);
        if (!is_moved(c, term->value)) continue;
        KValue part = c->moved[term->value];
        if (words[t] != KVALUE_NONE) part = op2(c, OP_MUL, part, words[t]);
        sum = sum == KVALUE_NONE ? part : op2(c, OP_ADD, sum, part);
    }
    return sum;
}

/* The coefficients of an access's terms that move; KVALUE_NONE where that is 1. */
static void read_words(Cut *c, uint32_t number, KValue *words) {
    const KAccess *access = kernel_access(c->from, number);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(c->from, access, t);
        words[t] = KVALUE_NONE;
        if (!is_moved(c, term->value) || term->coef.param < 0) continue;
        KInst word = inst_of(OP_PARAM, SN_I64);
        word.imm = (uint64_t)term->coef.param;
        words[t] = append(c, word);
    }
}

/* ---- copies ---------------------------------------------------------------------------------- */

static KValue offset_of(const Cut *c, uint64_t access) {
    for (uint32_t i = 0; i < c->offsets.count; i++)
        if (c->offsets.data[i].access == access) return c->offsets.data[i].value;
    return KVALUE_NONE;
}

/* The access with new numbers for its values. */
static uint32_t copy_access(Cut *c, uint64_t number) {
    const KAccess *from = kernel_access(c->from, number);
    KAccess access = *from;
    access.first_term = c->to.terms.count;
    access.n_terms = 0;
    for (uint32_t t = 0; t <= from->n_terms; t++) {
        KTerm term = {KVALUE_NONE, KVALUE_NONE, kcoef_literal(1)};
        if (t < from->n_terms) term = *kernel_term(c->from, from, t);
        if (is_moved(c, term.value)) continue;
        if (t == from->n_terms)
            term.value = offset_of(c, number);
        else if (term.value != KVALUE_NONE)
            term.value = c->named[term.value];
        if (t == from->n_terms && term.value == KVALUE_NONE) continue;
        if (!vec_push(&c->to.terms, term)) c->failed = true;
        access.n_terms++;
    }
    if (!vec_push(&c->to.accesses, access)) c->failed = true;
    return c->to.accesses.count - 1;
}

static void copy_inst(Cut *c, uint32_t at) {
    KInst inst = *inst_at(c, at);
    for (uint32_t i = 0; i < 3; i++)
        if (inst.in[i] != KVALUE_NONE) inst.in[i] = c->named[inst.in[i]];
    if (kop_is_access(inst.op)) inst.imm = copy_access(c, inst.imm);
    c->named[at] = append(c, inst);
}

static void move_inst(Cut *c, uint32_t at) {
    KInst inst = *inst_at(c, at);
    for (uint32_t i = 0; i < 3; i++)
        if (inst.in[i] != KVALUE_NONE)
            inst.in[i] = c->moves[inst.in[i]] ? c->moved[inst.in[i]] : c->named[inst.in[i]];
    if (kop_is_access(inst.op)) inst.imm = copy_access(c, inst.imm);
    c->moved[at] = append(c, inst);
}

/* An index is had anew for nothing. */
static bool has_table(const Cut *c, uint32_t at) {
    return c->wanted[at] && !kop_is(inst_at(c, at)->op, KFORM_INDEX);
}

static void emit_other_loop(Cut *c) {
    KValue *words = arena_alloc(&c->l->context->arena,
                                sizeof *words * (c->offsets.count + 1) * INDEX_MOST_TERMS);
    if (!words) {
        c->failed = true;
        return;
    }
    for (uint32_t i = 0; i < c->offsets.count; i++)
        read_words(c, c->offsets.data[i].access, words + i * INDEX_MOST_TERMS);
    KInst loop = *inst_at(c, c->begin);
    loop.flags = K_VECTOR;
    append(c, loop);
    for (uint32_t i = c->begin + 1; i < c->end; i++)
        if (c->moves[i]) move_inst(c, i);
    c->tables = c->to.accesses.count;
    for (uint32_t i = c->begin + 1; i < c->end; i++)
        if (has_table(c, i)) store_in_table(c, (sn_dtype)inst_at(c, i)->dtype, c->moved[i]);
    for (uint32_t i = 0; i < c->offsets.count; i++)
        store_in_table(c, SN_I64,
                       sum_offset(c, c->offsets.data[i].access, words + i * INDEX_MOST_TERMS));
    append(c, *inst_at(c, c->end));
}

static void read_tables(Cut *c) {
    uint32_t table = c->tables;
    for (uint32_t i = c->begin + 1; i < c->end; i++)
        if (has_table(c, i)) c->named[i] = load_from_table(c, table++);
    for (uint32_t i = 0; i < c->offsets.count; i++)
        c->offsets.data[i].value = load_from_table(c, table++);
}

/* ---- the cut --------------------------------------------------------------------------------- */

/* Which values and offsets the loop reads from tables. */
static void find_wanted(Cut *c) {
    for (uint32_t i = c->begin + 1; i < c->end; i++) {
        const KInst *inst = inst_at(c, i);
        if (c->moves[i]) continue;
        for (uint32_t k = 0; k < 3; k++)
            if (is_moved(c, inst->in[k])) c->wanted[inst->in[k]] = true;
        if (!kop_is_access(inst->op) || !access_moves(c, inst->imm)) continue;
        bool known = false;
        for (uint32_t o = 0; o < c->offsets.count; o++)
            known = known || c->offsets.data[o].access == inst->imm;
        if (!known && !vec_push(&c->offsets, ((Offset){(uint32_t)inst->imm, KVALUE_NONE})))
            c->failed = true;
    }
}

static void build(Cut *c) {
    const Kernel *from = c->from;
    c->to.n_params = from->n_params;
    for (uint32_t a = 0; a < from->args.count; a++)
        if (!vec_push(&c->to.args, from->args.data[a])) c->failed = true;
    for (uint32_t a = 0; a < from->axes.count; a++)
        if (!vec_push(&c->to.axes, from->axes.data[a])) c->failed = true;
    for (uint32_t i = 0; i < from->insts.count && !c->failed; i++) {
        if (i == c->before) emit_other_loop(c);
        bool index = c->moves[i] && c->wanted[i] && !has_table(c, i);
        if (!c->moves[i] || index) copy_inst(c, i);
        if (i == c->begin) read_tables(c);
    }
}

/* Replaces the kernel by the one whose loop was cut. */
static sn_status cut(Cut *c) {
    Lower *l = c->l;
    uint32_t count = c->from->insts.count + 1;
    Arena *arena = &l->context->arena;
    c->wanted = arena_zalloc(arena, count);
    c->named = arena_zalloc(arena, count * sizeof *c->named);
    c->moved = arena_zalloc(arena, count * sizeof *c->moved);
    c->failed = !c->wanted || !c->named || !c->moved;
    kernel_init(&c->to);
    if (!c->failed) find_wanted(c);
    if (!c->failed) build(c);
    vec_free(&c->offsets);
    if (c->failed) {
        kernel_free(&c->to);
        return error_memory(l->context->error);
    }
    kernel_free(l->kernel);
    *l->kernel = c->to;
    return SN_OK;
}

/* ---- what moves ------------------------------------------------------------------------------ */

/* Is it arithmetic of integers whose operands move, or stand before the loops? */
static bool is_index_arithmetic(const Cut *c, const KInst *inst, const bool *outside) {
    if (kop_is(inst->op, KFORM_INDEX)) return inst->imm == inst_at(c, c->begin)->imm;
    if (!kop_is(inst->op, KFORM_PRIM)) return false;
    if (inst->dtype != SN_I64 && inst->dtype != SN_BOOL) return false;
    for (uint32_t i = 0; i < 3; i++) {
        if (inst->in[i] == KVALUE_NONE) continue;
        uint8_t dtype = inst_at(c, inst->in[i])->dtype;
        bool before = inst->in[i] < c->before && !(outside && outside[inst->in[i]]);
        if ((dtype != SN_I64 && dtype != SN_BOOL) || !(before || c->moves[inst->in[i]]))
            return false;
    }
    return true;
}

/* A table is filled where its values are computed. */
static bool stores_what_moves(const Cut *c, const KInst *inst) {
    return kop_is(inst->op, KFORM_STORE) && c->moves[inst->in[0]];
}

/* Marks what moves; returns what computing it comes to. `outside` (NULL: none): by instruction before the
 * loop, it may not be used. */
static int32_t find_moves(Cut *c, const bool *outside) {
    int32_t work = 0;
    for (uint32_t i = c->begin + 1; i < c->end; i++) {
        const KInst *inst = inst_at(c, i);
        c->moves[i] =
            is_index_arithmetic(c, inst, outside) || (outside && stores_what_moves(c, inst));
        if (!c->moves[i] || !kop_is(inst->op, KFORM_PRIM)) continue;
        work += inst->op == OP_INT_DIV || inst->op == OP_FMOD ? DIVISION_WORK : 1;
    }
    return work;
}

static bool open_cut(Cut *c, Lower *l, uint32_t begin, uint32_t end, uint32_t before) {
    *c = (Cut){.l = l, .from = l->kernel, .begin = begin, .end = end, .before = before};
    c->moves = arena_zalloc(&l->context->arena, l->kernel->insts.count + 1);
    return c->moves != NULL;
}

/* ---- the kernels that get tables ------------------------------------------------------------- */

/* A loop over columns with one loop over K in it, that is no product of shared rows and columns. */
static bool has_columns(Lower *l, const KLoops *loops, Arena *arena) {
    if (loops->n_loops != 2 || loops->loops[1].parent != 0) return false;
    if (!loops->loops[0].vector || loops->loops[0].parent != KLOOP_NONE) return false;
    const KSpread *spread = kernel_spread(l->kernel, loops, arena);
    KContract contract;
    if (!spread || !kernel_contract(l->kernel, loops, spread, arena, &contract))
        return spread != NULL;
    const KAccess *columns = kcontract_columns(&contract);
    l->packs_rows = contract.plain_row == NULL;
    if (columns) l->columns_arg = (int32_t)columns->arg;
    return false;
}

/* Cuts the loop that fills the tables, the first one: what divides steps of K does not hang on the item. */
static sn_status cut_tables(Lower *l) {
    Arena *arena = &l->context->arena;
    KLoops loops;
    Cut c;
    if (!kernel_loops(l->kernel, arena, &loops)) return error_memory(l->context->error);
    const KLoop *first = &loops.loops[0];
    const bool *item = kernel_item_values(l->kernel, arena);
    if (!item || !open_cut(&c, l, first->begin, first->end, first->begin))
        return error_memory(l->context->error);
    int32_t work = find_moves(&c, item);
    bool stays = false;
    for (uint32_t i = first->begin + 1; i < first->end; i++) stays = stays || !c.moves[i];
    return work >= DIVISION_WORK && stays ? cut(&c) : SN_OK;
}

sn_status lower_tables(Lower *l) {
    Arena *arena = &l->context->arena;
    bool columns = l->b_symbol != LOWER_NO_AXIS && l->k_symbol != LOWER_NO_AXIS;
    if (!columns || l->context->target->kind != TARGET_CPU) return SN_OK;
    KLoops loops;
    Cut c;
    if (!kernel_loops(l->kernel, arena, &loops)) return error_memory(l->context->error);
    if (!has_columns(l, &loops, arena) || dim_hint(l->graph->table, l->group->k) > MOST_STEPS)
        return SN_OK;
    const KLoop *inner = &loops.loops[1];
    if (!open_cut(&c, l, inner->begin, inner->end, loops.loops[0].begin))
        return error_memory(l->context->error);
    if (find_moves(&c, NULL) < LEAST_WORK) return SN_OK;
    l->tables = true;
    sn_status status = cut(&c);
    return status == SN_OK ? cut_tables(l) : status;
}
