/* Joining the regions of a kernel builder: program order, what is live, new numbers. */
#include "base/assert.h"
#include "base/status.h"
#include "ir/kernel/builder.h"
#include "ir/kernel/form.h"

typedef struct Join {
    KBuilder *builder;   /* what is joined */
    Kernel *kernel;      /* where it goes */
    VEC(uint32_t) order; /* instructions in program order */
    VEC(KTerm) terms;    /* terms of the accesses that stay */
    uint8_t *live;       /* by builder value: it is kept */
    uint32_t *numbers;   /* by builder value: its place in the kernel, BUILDER_NONE when dropped */
    uint32_t *accesses;  /* by access: its new number, BUILDER_NONE when unused */
} Join;

static bool flatten(Join *j, uint32_t region) {
    const KBuilder *b = j->builder;
    for (uint32_t i = b->regions.data[region].first; i != BUILDER_NONE; i = b->items.data[i].next) {
        const Item *item = &b->items.data[i];
        if (item->is_region ? !flatten(j, item->index) : !vec_push(&j->order, item->index))
            return false;
    }
    return true;
}

/* ---- what is live ---------------------------------------------------------------------------- */

static void mark(Join *j, KValue value) {
    if (value < j->builder->insts.count) j->live[value] = 1;
}

static sn_status mark_access(Join *j, const KInst *inst) {
    if (inst->imm >= j->kernel->accesses.count)
        return error_set(&j->builder->error, SN_ERROR_INTERNAL, "kernel builder: no such access");
    const KAccess *access = kernel_access(j->kernel, inst->imm);
    j->accesses[inst->imm] = 0;
    for (uint32_t t = 0; t < access->n_terms; t++)
        mark(j, kernel_term(j->kernel, access, t)->value);
    return SN_OK;
}

/* Operands stand before their uses, so one walk backwards finds all that is live. */
static sn_status mark_live(Join *j) {
    for (uint32_t i = j->order.count; i-- > 0;) {
        const KInst *inst = &j->builder->insts.data[j->order.data[i]].inst;
        uint8_t form = kop_row(inst->op)->form;
        if (form == KFORM_STORE || form == KFORM_CHECK) j->live[j->order.data[i]] = 1;
        if (!j->live[j->order.data[i]]) continue;
        for (uint32_t k = 0; k < 3; k++) mark(j, inst->in[k]);
        if (kop_is_access(inst->op) && mark_access(j, inst) != SN_OK) return SN_ERROR_INTERNAL;
    }
    return SN_OK;
}

/* Keeps the loops that hold something live. `numbers` serves as the stack of open loops. */
static sn_status mark_loops(Join *j) {
    uint32_t depth = 0;
    uint32_t kept = 0; /* the outermost `kept` open loops are known to be live */
    for (uint32_t i = 0; i < j->order.count; i++) {
        uint32_t value = j->order.data[i];
        uint16_t op = j->builder->insts.data[value].inst.op;
        if (kop_is(op, KFORM_LOOP)) {
            j->numbers[depth++] = value;
        } else if (kop_is(op, KFORM_END)) {
            if (!depth) break;
            depth--;
            j->live[value] = j->live[j->numbers[depth]];
            if (kept > depth) kept = depth;
        } else if (j->live[value]) {
            while (kept < depth) j->live[j->numbers[kept++]] = 1;
        }
        if (i + 1 == j->order.count && depth == 0) return SN_OK;
    }
    if (!j->order.count) return SN_OK;
    return error_set(&j->builder->error, SN_ERROR_INTERNAL, "kernel builder: loops do not match");
}

/* ---- new numbers ----------------------------------------------------------------------------- */

static sn_status renumber(Join *j, KValue *value) {
    if (*value == KVALUE_NONE) return SN_OK;
    uint32_t number = *value < j->builder->insts.count ? j->numbers[*value] : BUILDER_NONE;
    if (number == BUILDER_NONE)
        return error_set(&j->builder->error, SN_ERROR_INTERNAL,
                         "kernel builder: a value is used before or outside its region");
    *value = number;
    return SN_OK;
}

/* Appends the terms of one access, renumbered, to j->terms. */
static sn_status join_terms(Join *j, KAccess *access) {
    uint32_t first = j->terms.count;
    if (!vec_reserve(&j->terms, access->n_terms)) return error_memory(&j->builder->error);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        KTerm term = *kernel_term(j->kernel, access, t);
        if (renumber(j, &term.value) != SN_OK) return SN_ERROR_INTERNAL;
        j->terms.data[j->terms.count++] = term;
    }
    access->first_term = first;
    return SN_OK;
}

/* Drops accesses that nothing uses and renumbers the values in the terms of the others. */
static sn_status join_accesses(Join *j) {
    Kernel *k = j->kernel;
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->accesses.count; i++) {
        if (j->accesses[i] == BUILDER_NONE) continue;
        KAccess access = k->accesses.data[i];
        sn_status status = join_terms(j, &access);
        if (status != SN_OK) return status;
        j->accesses[i] = n;
        k->accesses.data[n++] = access;
    }
    k->accesses.count = n;
    vec_free(&k->terms);
    k->terms.data = j->terms.data;
    k->terms.count = j->terms.count;
    k->terms.capacity = j->terms.capacity;
    j->terms.data = NULL;
    return SN_OK;
}

static sn_status join_insts(Join *j) {
    Kernel *k = j->kernel;
    uint32_t n = 0;
    memset(j->numbers, 0xff, j->builder->insts.count * sizeof *j->numbers);
    if (!vec_reserve(&k->insts, j->order.count)) return error_memory(&j->builder->error);
    for (uint32_t i = 0; i < j->order.count; i++) {
        uint32_t value = j->order.data[i];
        if (!j->live[value]) continue;
        KInst inst = j->builder->insts.data[value].inst;
        for (uint32_t t = 0; t < 3; t++)
            if (renumber(j, &inst.in[t]) != SN_OK) return SN_ERROR_INTERNAL;
        SN_ASSERT(n < k->insts.capacity);
        j->numbers[value] = n;
        k->insts.data[n++] = inst;
    }
    sn_status status = join_accesses(j);
    if (status != SN_OK) return status;
    k->insts.count = n;
    for (uint32_t i = 0; i < n; i++) {
        KInst *inst = &k->insts.data[i];
        if (!kop_is_access(inst->op)) continue;
        inst->imm = j->accesses[inst->imm];
        SN_ASSERT(inst->imm < k->accesses.count); /* what a live instruction uses was kept */
    }
    return SN_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static sn_status join(Join *j) {
    KBuilder *b = j->builder;
    uint32_t n_accesses = j->kernel->accesses.count;
    j->live = mem_calloc(b->insts.count + 1, sizeof *j->live);
    j->numbers = mem_alloc((b->insts.count + 1) * sizeof *j->numbers);
    j->accesses = mem_alloc((n_accesses + 1) * sizeof *j->accesses);
    if (!j->live || !j->numbers || !j->accesses) return error_memory(&b->error);
    memset(j->accesses, 0xff, n_accesses * sizeof *j->accesses);
    for (uint32_t r = 0; r < b->regions.count; r++)
        if ((r == PROLOGUE || b->regions.data[r].parent == PROLOGUE) && !flatten(j, r))
            return error_memory(&b->error);
    sn_status status = mark_live(j);
    if (status == SN_OK) status = mark_loops(j);
    if (status == SN_OK) status = join_insts(j);
    return status;
}

sn_status kbuilder_finish(KBuilder *b, Kernel *kernel, sn_error *error) {
    if (b->status == SN_OK && kernel->insts.count)
        kbuilder_fail(b, "the kernel has instructions already", OP_COUNT);
    if (b->status == SN_OK) {
        Join j = {.builder = b, .kernel = kernel};
        b->status = join(&j);
        vec_free(&j.order);
        vec_free(&j.terms);
        mem_free(j.live);
        mem_free(j.numbers);
        mem_free(j.accesses);
    }
    return b->status == SN_OK ? SN_OK : error_set(error, b->status, "%s", b->error.text);
}
