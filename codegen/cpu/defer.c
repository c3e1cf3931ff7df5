/* The deferred loop. A row kernel ends with a loop that stores what the loops before it found out
 * about the row. Run inside the next item's last reduction it fills that loop's waits (a softmax
 * divides one row while it takes exponentials of the next), and stores of one row go out while the
 * other is read. Items depend on nothing of each other, so no bit changes. The values and addresses
 * that the loop uses of its own item pass through phis to the next one; while the loop's
 * instructions are emitted they stand in for the current item's. */
#include "codegen/cpu/emit.h"

/* Notes a value that the loop uses from outside; constants and parameters stay as they are. */
static void note_value(Emit *e, KValue value) {
    Deferred *d = &e->deferred;
    if (value == KVALUE_NONE || value >= d->loop->begin) return;
    uint16_t op = kernel_inst(e->kernel, value)->op;
    if (kop_is(op, KFORM_CONST) || kop_is(op, KFORM_PARAM)) return;
    for (uint32_t i = 0; i < d->n_values; i++)
        if (d->values[i] == value) return;
    SN_ASSERT(d->n_values < e->kernel->insts.count);
    d->values[d->n_values++] = value;
}

static void note_access(Emit *e, uint32_t number) {
    const KAccess *access = kernel_access(e->kernel, number);
    const KArg *arg = kernel_access_arg(e->kernel, number);
    if (arg->role != KARG_LOCAL) e->deferred.uses[access->arg] = true;
    for (uint32_t t = 0; t < access->n_terms; t++)
        note_value(e, kernel_term(e->kernel, access, t)->value);
}

static void note_uses(Emit *e) {
    const KLoop *loop = e->deferred.loop;
    for (uint32_t i = loop->begin + 1; i < loop->end; i++) {
        const KInst *inst = kernel_inst(e->kernel, i);
        for (uint32_t in = 0; in < 3; in++) note_value(e, inst->in[in]);
        if (kop_is_access(inst->op)) note_access(e, (uint32_t)inst->imm);
    }
}

bool defer_open(Emit *e) {
    const Kernel *k = e->kernel;
    Deferred *d = &e->deferred;
    if (e->shape.deferred == KLOOP_NONE) return true;
    SN_ASSERT(e->shape.deferred > 0 && e->shape.deferred < e->loops.n_loops);
    d->shape = &e->shape.loops[e->shape.deferred];
    d->loop = d->shape->loop;
    d->host = d->shape - 1;
    size_t pointer = sizeof(LLVMValueRef);
    d->values = arena_zalloc(&e->arena, (k->insts.count + 1) * sizeof *d->values);
    d->uses = arena_zalloc(&e->arena, (k->args.count + 1) * sizeof *d->uses);
    if (!d->values || !d->uses) return false;
    note_uses(e);
    d->kept = arena_zalloc(&e->arena, (d->n_values + 1) * sizeof *d->kept);
    d->at_line = arena_zalloc(&e->arena, (d->n_values + k->args.count + 1) * pointer);
    d->at_item = arena_zalloc(&e->arena, (d->n_values + k->args.count + 1) * pointer);
    d->base = arena_zalloc(&e->arena, (k->args.count + 1) * pointer);
    d->address = arena_zalloc(&e->arena, (k->accesses.count + 1) * pointer);
    d->folded = arena_zalloc(&e->arena, (k->accesses.count + 1) * sizeof *d->folded);
    return d->kept && d->at_line && d->at_item && d->base && d->address && d->folded;
}

/* ---- phis ------------------------------------------------------------------------------------ */

/* Calls `act` for everything that passes to the next item: its place in the phis, its type, and its
 * value in the current item (NULL before that was emitted). */
typedef void Visit(Emit *e, uint32_t place, LLVMTypeRef type, LLVMValueRef now,
                   LLVMBasicBlockRef from);

static void visit_all(Emit *e, Visit *visit, LLVMBasicBlockRef from) {
    Deferred *d = &e->deferred;
    if (!d->loop) return;
    for (uint32_t i = 0; i < d->n_values; i++) {
        LLVMTypeRef type = type_reg(e, (sn_dtype)kernel_inst(e->kernel, d->values[i])->dtype, 1);
        visit(e, i, type, value_scalar(e, d->values[i], 0), from);
    }
    for (uint32_t a = 0; a < e->kernel->args.count; a++)
        if (d->uses[a]) visit(e, d->n_values + a, e->ptr, e->item_base[a], from);
}

static void enter_line(Emit *e, uint32_t place, LLVMTypeRef type, LLVMValueRef now,
                       LLVMBasicBlockRef from) {
    (void)now;
    e->deferred.at_line[place] = emit_phi(e, type, LLVMConstNull(type), from);
}

static void enter_item(Emit *e, uint32_t place, LLVMTypeRef type, LLVMValueRef now,
                       LLVMBasicBlockRef from) {
    (void)now;
    e->deferred.at_item[place] = emit_phi(e, type, e->deferred.at_line[place], from);
}

static void next_line(Emit *e, uint32_t place, LLVMTypeRef type, LLVMValueRef now,
                      LLVMBasicBlockRef from) {
    (void)type;
    phi_add(e->deferred.at_line[place], now, from);
}

static void next_item(Emit *e, uint32_t place, LLVMTypeRef type, LLVMValueRef now,
                      LLVMBasicBlockRef from) {
    (void)type;
    phi_add(e->deferred.at_item[place], now, from);
}

void defer_enter_line(Emit *e, LLVMBasicBlockRef from) {
    visit_all(e, enter_line, from);
}
void defer_enter_item(Emit *e, LLVMBasicBlockRef from) {
    visit_all(e, enter_item, from);
}
void defer_next_line(Emit *e, LLVMBasicBlockRef from) {
    visit_all(e, next_line, from);
}
void defer_next_item(Emit *e, LLVMBasicBlockRef from) {
    visit_all(e, next_item, from);
}

/* ---- inside the host ------------------------------------------------------------------------- */

/* Exchanges the current item's values and addresses with the previous one's. */
static void swap_items(Emit *e) {
    Deferred *d = &e->deferred;
    for (uint32_t i = 0; i < d->n_values; i++) {
        Value *value = &e->values[(size_t)d->values[i] * (size_t)e->shape.copies], kept = *value;
        *value = d->kept[i];
        d->kept[i] = kept;
    }
    LLVMValueRef *address = e->address;
    e->address = d->address;
    d->address = address;
    uint64_t *folded = e->folded;
    e->folded = d->folded;
    d->folded = folded;
    e->in_deferred = !e->in_deferred;
}

void defer_open_item(Emit *e, LLVMValueRef number) {
    Deferred *d = &e->deferred;
    if (!d->loop) return;
    d->pending = LLVMBuildICmp(e->b, LLVMIntNE, number, LLVMGetParam(e->function, ARG_BEGIN), "");
    for (uint32_t i = 0; i < d->n_values; i++) d->kept[i] = (Value){.scalar = d->at_item[i]};
    for (uint32_t a = 0; a < e->kernel->args.count; a++) d->base[a] = d->at_item[d->n_values + a];
}

void defer_open_host(Emit *e, const LoopShape *loop) {
    Deferred *d = &e->deferred;
    if (!d->loop || loop != d->host) return;
    emit_locate_accesses(e, d->base, d->address);
    for (uint32_t c = 0; c < e->kernel->accesses.count; c++) d->folded[c] = 0;
    swap_items(e);
    address_fold(e, d->loop);
    d->aligned = access_aligned(e, d->shape);
    swap_items(e);
}

void defer_run(Emit *e, const LoopShape *loop) {
    const Deferred *d = &e->deferred;
    if (!d->loop || loop != d->host) return;
    LLVMBasicBlockRef run = emit_block(e), next = emit_block(e);
    LLVMBuildCondBr(e->b, d->pending, run, next);
    emit_at(e, run);
    SN_ASSERT(e->vector == d->host && !e->in_deferred);
    swap_items(e);
    e->vector = d->shape;
    emit_range(e, d->loop->begin + 1, d->loop->end);
    e->vector = d->host;
    swap_items(e);
    LLVMBuildBr(e->b, next);
    emit_at(e, next);
}
