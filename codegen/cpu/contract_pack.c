/* Packing of a contraction's columns, and of rows that follow one another; see contract_driver.h. Operands
 * that are memory are copied, by a function each; others are computed, by parts. */
#include "codegen/cpu/contract_driver.h"

enum { ROWS_DIRECT = 12 }; /* for so many rows columns are not packed, if they need not be */

/* ---- columns that follow one another --------------------------------------------------------- */

/* As many of a vector's columns as there are, the others 0. */
static LLVMValueRef load_some(const Driver *d, LLVMValueRef from, LLVMValueRef present) {
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

/* The same without a mask where all are: masked loads wait for the stores before them. */
LLVMValueRef contract_load_present(const Driver *d, LLVMValueRef from, LLVMValueRef present) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMBasicBlockRef all = emit_block(e), some = emit_block(e), done = emit_block(e);
    LLVMValueRef fills = LLVMBuildICmp(e->b, LLVMIntSGE, present, const_i64(e, d->lanes), "");
    LLVMBuildCondBr(e->b, fills, all, some);
    emit_at(e, all);
    LLVMValueRef whole = contract_load(d, from);
    LLVMBuildBr(e->b, done);
    emit_at(e, some);
    LLVMValueRef part = load_some(d, from, present);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
    LLVMValueRef x = emit_phi(e, vector, whole, all);
    phi_add(x, part, some);
    return x;
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
        LLVMValueRef x = contract_load_present(d, contract_at(d, line, column, 0), present);
        LLVMBuildStore(e->b, x, contract_at(d, place, const_i64(e, v), 0));
    }
    count_close(e, &panels, const_i64(e, d->panel));
    count_close(e, &k, const_i64(e, 1));
}

/* ---- transposing ----------------------------------------------------------------------------- */

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

/* Lines of elements that follow one another, packed across. Columns whose steps of K follow one another are
 * such lines, and so are steps of K in which rows do. */
typedef struct Turn {
    LLVMValueRef from;         /* the first line's first element */
    LLVMValueRef step;         /* elements from one line to the next */
    LLVMValueRef lines, count; /* how many, and elements of each */
    LLVMValueRef to;           /* where they go */
    int32_t panel;             /* lines side by side; 0: all are */
    int32_t apart;             /* elements from one packed element of a line to the next */
} Turn;

/* Where an element of a line is packed. */
static LLVMValueRef turned_place(const Driver *d, const Turn *turn, LLVMValueRef line,
                                 LLVMValueRef at) {
    Emit *e = d->e;
    LLVMValueRef place = LLVMBuildMul(e->b, at, const_i64(e, turn->apart), "");
    if (!turn->panel) return LLVMBuildAdd(e->b, place, line, "");
    LLVMValueRef panel = LLVMBuildAnd(e->b, line, const_i64(e, -(int64_t)turn->panel), "");
    LLVMValueRef before = LLVMBuildMul(e->b, panel, turn->count, "");
    before = LLVMBuildAdd(e->b, before, LLVMBuildSub(e->b, line, panel, ""), "");
    return LLVMBuildAdd(e->b, before, place, "");
}

/* A vector's lines from `line` on, as many of their elements from `at` on. In place of lines that are not
 * there the last one is read. */
static void emit_square(const Driver *d, const Turn *turn, LLVMValueRef line, LLVMValueRef at) {
    Emit *e = d->e;
    LLVMValueRef x[LANES_MOST], last = LLVMBuildSub(e->b, turn->lines, const_i64(e, 1), "");
    for (int32_t l = 0; l < d->lanes; l++) {
        LLVMValueRef from = LLVMBuildAdd(e->b, line, const_i64(e, l), "");
        from = LLVMBuildMul(e->b, contract_least(e, from, last), turn->step, "");
        from = LLVMBuildAdd(e->b, from, at, "");
        x[l] = contract_load(d, contract_at(d, turn->from, from, 0));
    }
    transpose(d, x);
    LLVMValueRef place = turned_place(d, turn, line, at);
    for (int32_t l = 0; l < d->lanes; l++)
        LLVMBuildStore(e->b, x[l], contract_at(d, turn->to, place, (int64_t)l * turn->apart));
}

/* Square by square, the last ones over those before; lines that fill none element by element. */
static void emit_squares(const Driver *d, const Turn *turn) {
    Emit *e = d->e;
    LLVMValueRef lanes = const_i64(e, d->lanes), none = const_i64(e, 0), one = const_i64(e, 1);
    LLVMValueRef last = LLVMBuildSub(e->b, turn->count, lanes, "");
    LLVMValueRef fills = LLVMBuildICmp(e->b, LLVMIntSGE, last, none, "");
    CountLoop lines = count_open(e, none, emit_select(e, fills, turn->lines, none));
    CountLoop at = count_open(e, none, turn->count);
    emit_square(d, turn, lines.i, contract_least(e, at.i, last));
    count_close(e, &at, lanes);
    count_close(e, &lines, lanes);
    lines = count_open(e, none, emit_select(e, fills, none, turn->lines));
    at = count_open(e, none, turn->count);
    LLVMValueRef from = LLVMBuildMul(e->b, lines.i, turn->step, "");
    from = contract_at(d, turn->from, LLVMBuildAdd(e->b, from, at.i, ""), 0);
    LLVMValueRef x = LLVMBuildLoad2(e->b, contract_element(d), from, "");
    LLVMBuildStore(e->b, x, contract_at(d, turn->to, turned_place(d, turn, lines.i, at.i), 0));
    count_close(e, &at, one);
    count_close(e, &lines, one);
}

/* ---- functions ------------------------------------------------------------------------------- */

/* (from, to, step, steps, first, width): a group's columns, of which those before `first` are left out. */
static void emit_pack_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64,
                                      ASIDE_I64, ASIDE_I64, ASIDE_I64};
    LLVMValueRef p[6];
    d->pack = contract_aside_open(d, name, "pack", types, 6, p);
    const Turn turn = {.from = p[0],
                       .to = p[1],
                       .step = p[2],
                       .count = p[3],
                       .lines = p[5],
                       .panel = d->panel,
                       .apart = d->panel};
    if (d->across)
        emit_lines(d, p[0], p[1], p[2], p[3], p[4], p[5]);
    else
        emit_squares(d, &turn);
    contract_aside_close(d);
}

/* (from, to, step, rows, steps): rows that follow one another in each step of K. */
void contract_turn_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64, ASIDE_I64, ASIDE_I64};
    LLVMValueRef p[5];
    d->turn = contract_aside_open(d, name, "turn", types, 5, p);
    const Turn turn = {
        .from = p[0], .to = p[1], .step = p[2], .count = p[3], .lines = p[4], .apart = d->row};
    emit_squares(d, &turn);
    contract_aside_close(d);
}

void contract_pack_functions(Driver *d, const char *name) {
    if (d->across || d->along) emit_pack_function(d, name);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* The columns of one panel of the group, from `column` on. */
static void compute_panel(const Driver *d, const Run *run, const Group *group,
                          LLVMValueRef column) {
    Emit *e = d->e;
    LLVMValueRef at = LLVMBuildMul(e->b, column, group->steps, "");
    LLVMValueRef left = LLVMBuildSub(e->b, group->width, column, "");
    PartCall call = {.part = PART_COLUMNS,
                     .memory = contract_at(d, d->columns, at, 0),
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
static LLVMValueRef find_packed(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef all = emit_coef(e, e->kernel->axes.data[d->contract->column_axis].size);
    all = LLVMBuildAdd(e->b, all, const_i64(e, d->panel - 1), "");
    all = LLVMBuildAnd(e->b, all, const_i64(e, -(int64_t)d->panel), "");
    LLVMValueRef k = group->chunk;
    if (run->column_offset) {
        LLVMValueRef matrix = LLVMBuildSDiv(e->b, run->column_offset, d->matrix_step, "");
        LLVMValueRef steps = emit_coef(e, e->kernel->axes.data[d->contract->k_axis].size);
        k = LLVMBuildAdd(e->b, k, LLVMBuildMul(e->b, matrix, steps, ""), "");
    }
    LLVMValueRef at = LLVMBuildMul(e->b, k, all, "");
    at = LLVMBuildAdd(e->b, at, LLVMBuildMul(e->b, group->first, group->steps, ""), "");
    return contract_at(d, d->packed, at, 0);
}

void contract_pack(const Driver *d, const Run *run, Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0);
    LLVMValueRef whole = LLVMBuildAnd(e->b, group->width, const_i64(e, -(int64_t)d->panel), "");
    LLVMValueRef here = LLVMBuildIsNull(e->b, d->packed, "");
    group->panels = emit_select(e, here, d->columns, find_packed(d, run, group));
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
