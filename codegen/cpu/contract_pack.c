/* Packing of a contraction's operands; see contract_driver.h. Operands that are memory are copied, by a
 * function each; others are computed, by parts. */
#include "codegen/cpu/contract_driver.h"

enum { ROWS_DIRECT = 12 }; /* for so many rows columns are not packed, if they need not be */

/* ---- columns that follow one another --------------------------------------------------------- */

/* As many of a vector's columns as there are, the others 0. */
static LLVMValueRef load_present(const Driver *d, LLVMValueRef from, LLVMValueRef present) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMValueRef lane = const_lane_numbers(e, e->i32, d->lanes, 1);
    present = emit_splat(e, e->b, LLVMBuildTrunc(e->b, present, e->i32, ""), d->lanes);
    LLVMValueRef mask = LLVMBuildICmp(e->b, LLVMIntSLT, lane, present, "");
    LLVMValueRef args[4] = {from, const_int(e->i32, sn_dtype_size(d->dtype)), mask,
                            LLVMConstNull(vector)};
    LLVMTypeRef types[2] = {vector, e->ptr};
    return emit_intrinsic(e, "llvm.masked.load", types, 2, args, 4);
}

/* Step by step of K, since a step of a group is a piece of memory: panels [first, …) of `width` columns. */
static void emit_lines(const Driver *d, LLVMValueRef from, LLVMValueRef to, LLVMValueRef step,
                       LLVMValueRef steps, LLVMValueRef first, LLVMValueRef width) {
    Emit *e = d->e;
    CountLoop k = count_open(e, const_i64(e, 0), steps);
    LLVMValueRef line = contract_at(d, from, LLVMBuildMul(e->b, k.i, step, ""), 0);
    LLVMValueRef into = LLVMBuildMul(e->b, k.i, const_i64(e, d->panel), "");
    CountLoop panels = count_open(e, first, width);
    LLVMValueRef place = LLVMBuildMul(e->b, panels.i, steps, "");
    place = contract_at(d, to, LLVMBuildAdd(e->b, place, into, ""), 0);
    for (int32_t v = 0; v < d->panel; v += d->lanes) {
        LLVMValueRef column = LLVMBuildAdd(e->b, panels.i, const_i64(e, v), "");
        LLVMValueRef present = LLVMBuildSub(e->b, width, column, "");
        LLVMValueRef x = load_present(d, contract_at(d, line, column, 0), present);
        LLVMBuildStore(e->b, x, contract_at(d, place, const_i64(e, v), 0));
    }
    count_close(e, &panels, const_i64(e, d->panel));
    count_close(e, &k, const_i64(e, 1));
}

/* ---- columns whose steps of K follow one another --------------------------------------------- */

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

/* Where step k of a column lies among the packed ones of a group, in elements. */
static LLVMValueRef packed_place(const Driver *d, LLVMValueRef column, LLVMValueRef k,
                                 LLVMValueRef steps) {
    Emit *e = d->e;
    LLVMValueRef panel = LLVMBuildAnd(e->b, column, const_i64(e, -(int64_t)d->panel), "");
    LLVMValueRef place = LLVMBuildMul(e->b, panel, steps, "");
    place = LLVMBuildAdd(e->b, place, LLVMBuildSub(e->b, column, panel, ""), "");
    return LLVMBuildAdd(e->b, place, LLVMBuildMul(e->b, k, const_i64(e, d->panel), ""), "");
}

/* A vector's columns from `column` on, as many steps of K from `k` on. In place of columns that are not there
 * the last one is read. */
static void emit_square(const Driver *d, LLVMValueRef from, LLVMValueRef to, LLVMValueRef step,
                        LLVMValueRef steps, LLVMValueRef column, LLVMValueRef k,
                        LLVMValueRef width) {
    Emit *e = d->e;
    LLVMValueRef x[LANES_MOST], last = LLVMBuildSub(e->b, width, const_i64(e, 1), "");
    for (int32_t l = 0; l < d->lanes; l++) {
        LLVMValueRef at = LLVMBuildAdd(e->b, column, const_i64(e, l), "");
        at = LLVMBuildMul(e->b, contract_least(e, at, last), step, "");
        x[l] = contract_load(d, contract_at(d, from, LLVMBuildAdd(e->b, at, k, ""), 0));
    }
    transpose(d, x);
    LLVMValueRef place = packed_place(d, column, k, steps);
    for (int32_t l = 0; l < d->lanes; l++)
        LLVMBuildStore(e->b, x[l], contract_at(d, to, place, (int64_t)l * d->panel));
}

/* Square by square, the last one of K over those before; steps that fill none one by one. */
static void emit_squares(const Driver *d, LLVMValueRef from, LLVMValueRef to, LLVMValueRef step,
                         LLVMValueRef steps, LLVMValueRef width) {
    Emit *e = d->e;
    LLVMValueRef lanes = const_i64(e, d->lanes), none = const_i64(e, 0), one = const_i64(e, 1);
    LLVMValueRef last = LLVMBuildSub(e->b, steps, lanes, "");
    LLVMValueRef fills = LLVMBuildICmp(e->b, LLVMIntSGE, last, none, "");
    CountLoop columns = count_open(e, none, emit_select(e, fills, width, none));
    CountLoop k = count_open(e, none, steps);
    emit_square(d, from, to, step, steps, columns.i, contract_least(e, k.i, last), width);
    count_close(e, &k, lanes);
    count_close(e, &columns, lanes);
    columns = count_open(e, none, emit_select(e, fills, none, width));
    k = count_open(e, none, steps);
    LLVMValueRef at = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, columns.i, step, ""), k.i, "");
    LLVMValueRef x = LLVMBuildLoad2(e->b, contract_element(d), contract_at(d, from, at, 0), "");
    LLVMValueRef place = packed_place(d, columns.i, k.i, steps);
    LLVMBuildStore(e->b, x, contract_at(d, to, place, 0));
    count_close(e, &k, one);
    count_close(e, &columns, one);
}

/* ---- functions ------------------------------------------------------------------------------- */

/* (from, to, step, steps, first, width): a group's columns, of which those before `first` are left out. */
static void emit_pack_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64,
                                      ASIDE_I64, ASIDE_I64, ASIDE_I64};
    LLVMValueRef p[6];
    d->pack = contract_aside_open(d, name, "pack", types, 6, p);
    if (d->across)
        emit_lines(d, p[0], p[1], p[2], p[3], p[4], p[5]);
    else
        emit_squares(d, p[0], p[1], p[2], p[3], p[5]);
    contract_aside_close(d);
}

/* (from, to, step, rows, steps): rows whose steps of K follow one another. */
static void emit_copy_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64, ASIDE_I64, ASIDE_I64};
    Emit *e = d->e;
    LLVMValueRef p[5];
    d->copy = contract_aside_open(d, name, "copy", types, 5, p);
    CountLoop rows = count_open(e, const_i64(e, 0), p[3]);
    LLVMValueRef from = contract_at(d, p[0], LLVMBuildMul(e->b, rows.i, p[2], ""), 0);
    LLVMValueRef to = LLVMBuildMul(e->b, rows.i, const_i64(e, d->row), "");
    to = contract_at(d, p[1], to, 0);
    CountLoop k = count_open(e, const_i64(e, 0), p[4]);
    LLVMValueRef present = LLVMBuildSub(e->b, p[4], k.i, "");
    LLVMValueRef x = load_present(d, contract_at(d, from, k.i, 0), present);
    LLVMBuildStore(e->b, x, contract_at(d, to, k.i, 0));
    count_close(e, &k, const_i64(e, d->lanes));
    count_close(e, &rows, const_i64(e, 1));
    contract_aside_close(d);
}

void contract_pack_functions(Driver *d, const char *name) {
    const KContract *c = d->contract;
    if (d->across || d->along) emit_pack_function(d, name);
    if (c->plain_row && kcoef_is(kcontract_step(d->e->kernel, c->plain_row, c->k_axis), 1))
        emit_copy_function(d, name);
}

/* ---- calls ----------------------------------------------------------------------------------- */

void contract_pack_rows(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    if (d->copy) {
        LLVMValueRef step = contract_row_step(d), tall = const_i64(e, contract_tall_rows(d));
        LLVMValueRef rest = LLVMBuildURem(e->b, run->rows, tall, "");
        LLVMValueRef first = LLVMBuildSub(e->b, run->rows, rest, "");
        first = emit_select(e, d->rows_lie, first, const_i64(e, 0));
        rest = LLVMBuildSub(e->b, run->rows, first, "");
        LLVMValueRef from = LLVMBuildMul(e->b, first, step, "");
        LLVMValueRef to = LLVMBuildMul(e->b, first, const_i64(e, d->row), "");
        LLVMValueRef args[5] = {contract_at(d, contract_locate_rows(d, run, group), from, 0),
                                contract_at(d, d->rows, to, 0), step, rest, group->steps};
        contract_aside_call(d, d->copy, args, 5);
        return;
    }
    PartCall call = {.part = PART_ROWS,
                     .memory = d->rows,
                     .place = run->place,
                     .point = run->point,
                     .points = run->rows,
                     .first_k = group->chunk,
                     .steps = group->steps};
    contract_call(d, &call);
}

/* The columns of one panel of the group, from `column` on. */
static void compute_panel(const Driver *d, const Run *run, const Group *group,
                          LLVMValueRef column) {
    Emit *e = d->e;
    LLVMValueRef at = LLVMBuildMul(e->b, column, group->steps, "");
    LLVMValueRef left = LLVMBuildSub(e->b, group->width, column, "");
    PartCall call = {.part = PART_COLUMNS,
                     .memory = contract_at(d, d->columns, at, 0),
                     .place = const_i64(e, 0),
                     .point = run->point,
                     .points = const_i64(e, 1),
                     .first_column = LLVMBuildAdd(e->b, group->first, column, ""),
                     .columns = contract_least(e, left, const_i64(e, d->panel)),
                     .first_k = group->chunk,
                     .steps = group->steps};
    contract_call(d, &call);
}

static void pack_group(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0);
    if (!d->pack) {
        CountLoop panels = count_open(e, none, group->width);
        compute_panel(d, run, group, panels.i);
        count_close(e, &panels, const_i64(e, d->panel));
        return;
    }
    const KContract *c = d->contract;
    LLVMValueRef step = contract_step(d, c->plain, d->across ? c->k_axis : c->column_axis);
    LLVMValueRef args[6] = {contract_locate(d, run, group, none),
                            d->columns,
                            step,
                            group->steps,
                            group->direct,
                            group->width};
    contract_aside_call(d, d->pack, args, 6);
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
    pack_group(d, run, group);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
}
