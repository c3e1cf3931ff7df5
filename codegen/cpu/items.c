/* The loop over items: grid points, for one block of the split axis after the other.
 *
 *   first     grid indices of the first item, by division
 *   line      addresses of the arguments at this grid point, from all its indices
 *   item      the kernel's instructions
 *   near      the next point of the same line: every address moves by one stride
 *   odometer  the first point of the next line, or of the next block
 *   last      after the last item: its deferred loop (defer.c)                                     */
#include "codegen/cpu/emit.h"

/* Blocks and values of the item loop. */
typedef struct Items {
    LLVMBasicBlockRef line, item, last, finish; /* see above; `finish` is behind all */
    bool split;                                 /* there is a split axis */
    LLVMValueRef rank;                          /* of the grid */
    LLVMValueRef innermost;                     /* number of the dimension along which lines run */
    LLVMValueRef line_size;                     /* points in a line */
    LLVMValueRef dim;            /* memory: the dimension that a loop over the grid's is at */
    LLVMValueRef places;         /* memory: addresses of the arguments where a line begins */
    LLVMValueRef number;         /* phi at `item`: current item */
    LLVMValueRef block;          /* phi at `item`: current block, or NULL */
    LLVMValueRef place;          /* phi at `item`: grid index in the innermost dimension */
    LLVMValueRef *bases;         /* phis at `item`, per argument; NULL for LOCAL ones */
    LLVMValueRef number_at_line; /* phi at `line` */
    LLVMValueRef block_at_line;  /* phi at `line`, or NULL */
} Items;

static LLVMValueRef grid_slot(Emit *e, LLVMValueRef dim) {
    return LLVMBuildGEP2(e->b, e->i64, e->grid_index, &dim, 1, "");
}

static LLVMValueRef load_dim(Emit *e, const Items *items) {
    return LLVMBuildLoad2(e->b, e->i64, items->dim, "");
}

static bool is_local(const Emit *e, uint32_t arg) {
    return e->kernel->args.data[arg].role == KARG_LOCAL;
}

/* ---- first ----------------------------------------------------------------------------------- */

/* Stores the grid indices of the first item, from the innermost dimension out; its block. Without a split
 * axis what is left is the outermost index. */
static LLVMValueRef first_point(Emit *e, const Items *items) {
    LLVMValueRef point = LLVMGetParam(e->function, ARG_BEGIN);
    LLVMValueRef least = const_i64(e, items->split ? 0 : 1);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef head = emit_block(e), inner = emit_block(e), done = emit_block(e);
    LLVMBuildStore(e->b, items->rank, items->dim);
    LLVMBuildStore(e->b, const_i64(e, 0), e->grid_index); /* of a grid without dimensions */
    LLVMBuildBr(e->b, head);
    emit_at(e, head);
    LLVMValueRef rest = emit_phi(e, e->i64, point, before), d = load_dim(e, items);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSGT, d, least, "");
    LLVMBuildCondBr(e->b, more, inner, done);
    emit_at(e, inner);
    LLVMValueRef dim = LLVMBuildSub(e->b, d, const_i64(e, 1), "");
    LLVMValueRef size = emit_word(e, e->b, LLVMBuildAdd(e->b, dim, const_i64(e, KPARAM_SIZES), ""));
    LLVMValueRef quotient = LLVMBuildUDiv(e->b, rest, size, "");
    LLVMValueRef index = LLVMBuildSub(e->b, rest, LLVMBuildMul(e->b, quotient, size, ""), "");
    LLVMBuildStore(e->b, index, grid_slot(e, dim));
    LLVMBuildStore(e->b, dim, items->dim);
    phi_add(rest, quotient, inner);
    LLVMBuildBr(e->b, head);
    emit_at(e, done);
    if (items->split) return rest;
    LLVMBuildStore(e->b, rest, e->grid_index);
    return NULL;
}

/* ---- line ------------------------------------------------------------------------------------ */

static LLVMValueRef slot_of_place(Emit *e, const Items *items, uint32_t arg) {
    LLVMValueRef number = const_i64(e, arg);
    return LLVMBuildGEP2(e->b, e->ptr, items->places, &number, 1, "");
}

static LLVMValueRef load_place(Emit *e, const Items *items, uint32_t arg) {
    return LLVMBuildLoad2(e->b, e->ptr, slot_of_place(e, items, arg), "");
}

static void start_places(Emit *e, const Items *items) {
    LLVMValueRef args = LLVMGetParam(e->function, ARG_ARGS);
    for (uint32_t a = 0; a < e->kernel->args.count; a++) {
        if (is_local(e, a)) continue;
        LLVMValueRef number = const_i64(e, a);
        LLVMValueRef at = LLVMBuildGEP2(e->b, e->ptr, args, &number, 1, "");
        at = LLVMBuildLoad2(e->b, e->ptr, at, "");
        LLVMBuildStore(e->b, at, slot_of_place(e, items, a));
    }
}

/* Every place moves on by the dimension's index × its stride. */
static void move_places(Emit *e, const Items *items, LLVMValueRef dim) {
    LLVMValueRef index = LLVMBuildLoad2(e->b, e->i64, grid_slot(e, dim), "");
    for (uint32_t a = 0; a < e->kernel->args.count; a++) {
        if (is_local(e, a)) continue;
        LLVMValueRef stride = emit_word(e, e->b, emit_stride_word(e, e->b, dim, a));
        LLVMValueRef step = LLVMBuildMul(e->b, index, stride, "");
        LLVMValueRef place = load_place(e, items, a);
        place = LLVMBuildGEP2(e->b, type_element(e, a), place, &step, 1, "");
        LLVMBuildStore(e->b, place, slot_of_place(e, items, a));
    }
}

/* Address of every argument at the current grid point: its own + Σ index × stride. What goes round
 * here lies in memory: in registers it would have to stay alive in the loops over items, and LLVM
 * would look for ways to step the addresses. */
static void locate_arguments(Emit *e, const Items *items, LLVMValueRef *bases) {
    LLVMBasicBlockRef head = emit_block(e), inner = emit_block(e), done = emit_block(e);
    start_places(e, items);
    LLVMBuildStore(e->b, const_i64(e, 0), items->dim);
    LLVMBuildBr(e->b, head);
    emit_at(e, head);
    LLVMValueRef dim = load_dim(e, items);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, dim, items->rank, "");
    LLVMBuildCondBr(e->b, more, inner, done);
    emit_at(e, inner);
    move_places(e, items, dim);
    LLVMBuildStore(e->b, LLVMBuildAdd(e->b, dim, const_i64(e, 1), ""), items->dim);
    LLVMBuildBr(e->b, head);
    emit_at(e, done);
    for (uint32_t a = 0; a < e->kernel->args.count; a++)
        if (!is_local(e, a)) bases[a] = load_place(e, items, a);
}

/* From `first`, at the current place, to the head of the items. */
static void open_line(Emit *e, Items *items, LLVMValueRef block) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, items->line);
    emit_at(e, items->line);
    items->number_at_line = emit_phi(e, e->i64, LLVMGetParam(e->function, ARG_BEGIN), before);
    if (block) items->block_at_line = emit_phi(e, e->i64, block, before);
    defer_enter_line(e, before);
    LLVMValueRef place = LLVMBuildLoad2(e->b, e->i64, grid_slot(e, items->innermost), "");
    locate_arguments(e, items, items->bases);
    LLVMBasicBlockRef located = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, items->item);
    emit_at(e, items->item);
    items->number = emit_phi(e, e->i64, items->number_at_line, located);
    items->place = emit_phi(e, e->i64, place, located);
    if (block) items->block = emit_phi(e, e->i64, items->block_at_line, located);
    for (uint32_t a = 0; a < e->kernel->args.count; a++) {
        if (is_local(e, a)) continue;
        e->item_base[a] = emit_phi(e, e->ptr, items->bases[a], located);
        items->bases[a] = e->item_base[a];
    }
    defer_enter_item(e, located);
}

/* ---- item ------------------------------------------------------------------------------------ */

static bool reads_grid_index(const Emit *e) {
    for (uint32_t i = 0; i < e->kernel->insts.count; i++)
        if (kop_is(kernel_inst(e->kernel, i)->op, KFORM_GRID)) return true;
    return false;
}

static void emit_item(Emit *e, const Items *items) {
    e->block = items->block;
    e->is_first = NULL;
    if (e->shape.runs_once) {
        LLVMValueRef begin = LLVMGetParam(e->function, ARG_BEGIN);
        e->is_first = LLVMBuildICmp(e->b, LLVMIntEQ, items->number, begin, "");
    }
    if (reads_grid_index(e)) LLVMBuildStore(e->b, items->place, grid_slot(e, items->innermost));
    emit_locate_accesses(e, e->item_base, e->address);
    defer_open_item(e, items->number);
    uint32_t last = e->deferred.loop ? e->deferred.loop->begin : e->kernel->insts.count;
    emit_range(e, 0, last);
}

/* ---- the next item --------------------------------------------------------------------------- */

/* The next point of the line. */
static void step_near(Emit *e, const Items *items, LLVMValueRef next, LLVMValueRef place) {
    LLVMBasicBlockRef near = LLVMGetInsertBlock(e->b);
    phi_add(items->number, next, near);
    phi_add(items->place, place, near);
    if (items->block) phi_add(items->block, items->block, near);
    for (uint32_t a = 0; a < e->kernel->args.count; a++) {
        if (is_local(e, a)) continue;
        LLVMValueRef step = emit_word(e, e->b, emit_stride_word(e, e->b, items->innermost, a));
        phi_add(items->bases[a],
                LLVMBuildGEP2(e->b, type_element(e, a), items->bases[a], &step, 1, ""), near);
    }
    defer_next_item(e, near);
    LLVMBuildBr(e->b, items->item);
}

/* Steps the outer grid indices to the next line, or to the first one of the next block. There is one:
 * items are left. */
static void step_odometer(Emit *e, const Items *items, LLVMValueRef next) {
    LLVMBasicBlockRef digit = emit_block(e), step = emit_block(e), carry = emit_block(e);
    LLVMBasicBlockRef near = emit_block(e), wrap = emit_block(e), done = emit_block(e);
    LLVMBuildStore(e->b, const_i64(e, 0), grid_slot(e, items->innermost));
    LLVMBuildStore(e->b, items->innermost, items->dim);
    LLVMBuildBr(e->b, digit);
    emit_at(e, digit);
    LLVMValueRef dim = LLVMBuildSub(e->b, load_dim(e, items), const_i64(e, 1), "");
    LLVMValueRef ends = LLVMBuildICmp(e->b, LLVMIntSLT, dim, const_i64(e, 0), "");
    LLVMBuildCondBr(e->b, ends, wrap, step);
    emit_at(e, step);
    LLVMValueRef at = grid_slot(e, dim);
    LLVMValueRef index = LLVMBuildLoad2(e->b, e->i64, at, "");
    index = LLVMBuildAdd(e->b, index, const_i64(e, 1), "");
    LLVMValueRef size = emit_word(e, e->b, LLVMBuildAdd(e->b, dim, const_i64(e, KPARAM_SIZES), ""));
    LLVMValueRef fits = LLVMBuildICmp(e->b, LLVMIntSLT, index, size, "");
    LLVMBuildCondBr(e->b, fits, near, carry);
    emit_at(e, carry);
    LLVMBuildStore(e->b, const_i64(e, 0), at);
    LLVMBuildStore(e->b, dim, items->dim);
    LLVMBuildBr(e->b, digit);
    emit_at(e, near);
    LLVMBuildStore(e->b, index, at);
    LLVMBuildBr(e->b, done);
    emit_at(e, wrap);
    LLVMValueRef later =
        items->block ? LLVMBuildAdd(e->b, items->block, const_i64(e, 1), "") : NULL;
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
    if (items->block) {
        LLVMValueRef block = emit_phi(e, e->i64, items->block, near);
        phi_add(block, later, wrap);
        phi_add(items->block_at_line, block, done);
    }
    phi_add(items->number_at_line, next, done);
    defer_next_line(e, done);
    LLVMBuildBr(e->b, items->line);
}

static void emit_next(Emit *e, const Items *items) {
    LLVMValueRef next = LLVMBuildAdd(e->b, items->number, const_i64(e, 1), "");
    LLVMValueRef more =
        LLVMBuildICmp(e->b, LLVMIntSLT, next, LLVMGetParam(e->function, ARG_END), "");
    LLVMBasicBlockRef step = emit_block(e), near = emit_block(e), odometer = emit_block(e);
    LLVMBuildCondBr(e->b, more, step, items->last);
    emit_at(e, step);
    LLVMValueRef place = LLVMBuildAdd(e->b, items->place, const_i64(e, 1), "");
    LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntSLT, place, items->line_size, "");
    LLVMBuildCondBr(e->b, inside, near, odometer);
    emit_at(e, near);
    step_near(e, items, next, place);
    emit_at(e, odometer);
    step_odometer(e, items, next);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool open_items(Emit *e, Items *items) {
    items->bases = arena_zalloc(&e->arena, (e->kernel->args.count + 1) * sizeof *items->bases);
    if (!items->bases) return false;
    items->rank = emit_word(e, e->entry, const_i64(e, KPARAM_RANK));
    items->innermost = emit_innermost_dim(e);
    items->dim = emit_alloca(e, e->i64, 1);
    items->places = emit_alloca(e, e->ptr, (int64_t)e->kernel->args.count + 1);
    LLVMValueRef word = LLVMBuildAdd(e->entry, items->innermost, const_i64(e, KPARAM_SIZES), "");
    items->line_size = emit_word(e, e->entry, word);
    items->split = e->loops.split_axis >= 0;
    items->line = emit_block(e);
    items->item = emit_block(e);
    items->last = emit_block(e);
    items->finish = emit_block(e);
    return true;
}

bool emit_items(Emit *e) {
    Items items = {0};
    if (!open_items(e, &items)) return false;
    LLVMValueRef begin = LLVMGetParam(e->function, ARG_BEGIN),
                 end = LLVMGetParam(e->function, ARG_END);
    LLVMBasicBlockRef first = emit_block(e);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, begin, end, ""), first, items.finish);
    emit_at(e, first);
    open_line(e, &items, first_point(e, &items));
    emit_item(e, &items);
    emit_next(e, &items);
    emit_at(e, items.last);
    if (e->deferred.loop) emit_range(e, e->deferred.loop->begin, e->kernel->insts.count);
    LLVMBuildBr(e->b, items.finish);
    emit_at(e, items.finish);
    return true;
}
