/* Packing of a contraction's columns; see contract_driver.h. */
#include "codegen/cpu/contract_driver.h"

enum { ROWS_DIRECT = 12 }; /* for so many rows columns are not packed, if they need not be */

/* Packs columns [from, to) of one panel of the group, steps [done, …) of the chunk. */
static void pack_panel(const Driver *d, const Run *run, const Group *group, LLVMValueRef from,
                       LLVMValueRef to, LLVMValueRef done) {
    Emit *e = d->e;
    LLVMValueRef at = LLVMBuildMul(e->b, from, group->steps, "");
    at = LLVMBuildAdd(e->b, at, LLVMBuildMul(e->b, done, const_i64(e, d->panel), ""), "");
    PartCall call = {.part = PART_COLUMNS,
                     .memory = contract_at(d, d->columns, at, 0),
                     .place = const_i64(e, 0),
                     .point = run->point,
                     .points = const_i64(e, 1),
                     .first_column = LLVMBuildAdd(e->b, group->first, from, ""),
                     .columns = LLVMBuildSub(e->b, to, from, ""),
                     .first_k = LLVMBuildAdd(e->b, group->chunk, done, ""),
                     .steps = LLVMBuildSub(e->b, group->steps, done, "")};
    contract_call(d, &call);
}

/* The panels that begin in columns [from, …) of the group. */
static void pack_panels(const Driver *d, const Run *run, const Group *group, LLVMValueRef from,
                        LLVMValueRef done) {
    Emit *e = d->e;
    CountLoop panels = count_open(e, from, group->width);
    LLVMValueRef end = LLVMBuildAdd(e->b, panels.i, const_i64(e, d->panel), "");
    pack_panel(d, run, group, panels.i, contract_least(e, end, group->width), done);
    count_close(e, &panels, const_i64(e, d->panel));
}

/* Panels [from, whole) of columns that follow one another in memory, step by step of K: a step of a group is
 * a piece of memory. */
static void pack_lines(const Driver *d, const Run *run, const Group *group, LLVMValueRef whole) {
    Emit *e = d->e;
    LLVMValueRef from = contract_locate(d, run, group, const_i64(e, 0));
    LLVMValueRef step = emit_coef(e, contract_k_step(d));
    CountLoop k = count_open(e, const_i64(e, 0), group->steps);
    LLVMValueRef line = LLVMBuildMul(e->b, k.i, step, "");
    LLVMValueRef to = LLVMBuildMul(e->b, k.i, const_i64(e, d->panel), "");
    CountLoop panels = count_open(e, group->direct, whole);
    LLVMValueRef at = LLVMBuildAdd(e->b, line, panels.i, "");
    LLVMValueRef place = LLVMBuildMul(e->b, panels.i, group->steps, "");
    place = LLVMBuildAdd(e->b, place, to, "");
    for (int32_t v = 0; v < d->panel; v += d->lanes) {
        LLVMValueRef x = contract_load(d, contract_at(d, from, at, v));
        LLVMBuildStore(e->b, x, contract_at(d, d->columns, place, v));
    }
    count_close(e, &panels, const_i64(e, d->panel));
    count_close(e, &k, const_i64(e, 1));
    pack_panels(d, run, group, whole, const_i64(e, 0));
}

/* Vectors as the rows of a square matrix: transposes it, halves of it first. */
static void transpose(const Driver *d, LLVMValueRef *x) {
    Emit *e = d->e;
    for (int32_t half = d->lanes / 2; half; half /= 2) {
        LLVMValueRef low[LANES_MOST], high[LANES_MOST];
        for (int32_t l = 0; l < d->lanes; l++) {
            int32_t other = l & half ? d->lanes - half : 0;
            low[l] = LLVMConstInt(e->i32, (unsigned)(l + other), false);
            high[l] = LLVMConstInt(e->i32, (unsigned)(l + half + other), false);
        }
        LLVMValueRef lows = LLVMConstVector(low, (unsigned)d->lanes);
        LLVMValueRef highs = LLVMConstVector(high, (unsigned)d->lanes);
        for (int32_t i = 0; i < d->lanes; i++) {
            if (i & half) continue;
            LLVMValueRef a = x[i], b = x[i + half];
            x[i] = LLVMBuildShuffleVector(e->b, a, b, lows, "");
            x[i + half] = LLVMBuildShuffleVector(e->b, a, b, highs, "");
        }
    }
}

/* Vector `part` of a panel that begins at `column`: as many steps of K from `k` on, which follow one another
 * in memory. */
static void pack_square(const Driver *d, const Group *group, LLVMValueRef from, LLVMValueRef column,
                        int32_t part, LLVMValueRef k) {
    Emit *e = d->e;
    LLVMValueRef apart = emit_coef(e, contract_column_step(d)), x[LANES_MOST];
    for (int32_t l = 0; l < d->lanes; l++) {
        LLVMValueRef at = LLVMBuildAdd(e->b, column, const_i64(e, part * d->lanes + l), "");
        at = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, at, apart, ""), k, "");
        x[l] = contract_load(d, contract_at(d, from, at, 0));
    }
    transpose(d, x);
    LLVMValueRef to = LLVMBuildMul(e->b, column, group->steps, "");
    to = LLVMBuildAdd(e->b, to, LLVMBuildMul(e->b, k, const_i64(e, d->panel), ""), "");
    for (int32_t l = 0; l < d->lanes; l++) {
        LLVMValueRef place = contract_at(d, d->columns, to, l * d->panel + part * d->lanes);
        LLVMBuildStore(e->b, x[l], place);
    }
}

/* Whole panels square by square, what is left of K and of columns behind them as any. */
static void pack_along(const Driver *d, const Run *run, const Group *group, LLVMValueRef whole) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0), from = contract_locate(d, run, group, none);
    LLVMValueRef squares = LLVMBuildAnd(e->b, group->steps, const_i64(e, -(int64_t)d->lanes), "");
    LLVMValueRef rest = LLVMBuildICmp(e->b, LLVMIntSLT, squares, group->steps, "");
    CountLoop panels = count_open(e, none, whole);
    for (int32_t part = 0; part < d->panel / d->lanes; part++) {
        CountLoop k = count_open(e, none, squares);
        pack_square(d, group, from, panels.i, part, k.i);
        count_close(e, &k, const_i64(e, d->lanes));
    }
    count_close(e, &panels, const_i64(e, d->panel));
    Group filled = *group; /* its whole panels */
    filled.width = emit_select(e, rest, whole, none);
    pack_panels(d, run, &filled, none, squares);
    pack_panels(d, run, group, whole, none);
}

/* Where the group's panels lie among all that the caller packed. */
static LLVMValueRef find_packed(const Driver *d, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef all = emit_coef(e, e->kernel->axes.data[d->contract->column_axis].size);
    all = LLVMBuildAdd(e->b, all, const_i64(e, d->panel - 1), "");
    all = LLVMBuildAnd(e->b, all, const_i64(e, -(int64_t)d->panel), "");
    LLVMValueRef at = LLVMBuildMul(e->b, group->chunk, all, "");
    at = LLVMBuildAdd(e->b, at, LLVMBuildMul(e->b, group->first, group->steps, ""), "");
    return contract_at(d, d->packed, at, 0);
}

void contract_pack(const Driver *d, const Run *run, Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0);
    LLVMValueRef whole = LLVMBuildAnd(e->b, group->width, const_i64(e, -(int64_t)d->panel), "");
    LLVMValueRef here = LLVMBuildIsNull(e->b, d->packed, "");
    group->panels = emit_select(e, here, d->columns, find_packed(d, group));
    group->direct = none;
    if (d->across) {
        LLVMValueRef most = const_i64(e, ROWS_DIRECT);
        LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLE, run->rows, most, "");
        few = LLVMBuildAnd(e->b, few, here, "");
        group->direct = emit_select(e, few, whole, none);
    }
    LLVMBasicBlockRef pack = emit_block(e), done = emit_block(e);
    LLVMBuildCondBr(e->b, here, pack, done);
    emit_at(e, pack);
    if (d->across)
        pack_lines(d, run, group, whole);
    else if (d->along)
        pack_along(d, run, group, whole);
    else
        pack_panels(d, run, group, none, none);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
}
