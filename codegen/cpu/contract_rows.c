/* Rows of a contraction; see contract_driver.h. Tiles have the addresses of their rows in a table, one after
 * the other for each segment of K (KContract.row_segments): a row is read where it lies, and what lies
 * outside of memory, the padding of a convolution, in a piece of memory of its own. Rows that do not lie so,
 * or from which a cache would not be read well, are packed, and the table says where. */
#include "codegen/cpu/contract_driver.h"

enum {
    SET_BYTES = 4096 /* rows so far apart, or a multiple, would fall into one set of a cache */
};

/* ---- functions ------------------------------------------------------------------------------- */

/* (addresses, to, rows, steps): rows that lie there. */
static void emit_copy_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64, ASIDE_I64};
    Emit *e = d->e;
    LLVMValueRef p[4];
    d->copy = contract_aside_open(d, name, "copy", types, 4, p);
    CountLoop rows = count_open(e, const_i64(e, 0), p[2]);
    LLVMValueRef from = LLVMBuildGEP2(e->b, e->ptr, p[0], &rows.i, 1, "");
    from = LLVMBuildLoad2(e->b, e->ptr, from, "");
    LLVMValueRef to = LLVMBuildMul(e->b, rows.i, const_i64(e, d->row), "");
    to = contract_at(d, p[1], to, 0);
    CountLoop k = count_open(e, const_i64(e, 0), p[3]);
    LLVMValueRef present = LLVMBuildSub(e->b, p[3], k.i, "");
    LLVMValueRef x = contract_load_present(d, contract_at(d, from, k.i, 0), present);
    LLVMValueRef copy = LLVMBuildStore(e->b, x, contract_at(d, to, k.i, 0));
    LLVMSetAlignment(copy, (unsigned)sn_dtype_size(d->dtype)); /* a segment begins anywhere */
    count_close(e, &k, const_i64(e, d->lanes));
    count_close(e, &rows, const_i64(e, 1));
    contract_aside_close(d);
}

/* (table, first, step, rows): addresses that are so many elements apart. */
static void emit_point_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64, ASIDE_I64};
    Emit *e = d->e;
    LLVMValueRef p[4];
    d->point = contract_aside_open(d, name, "point", types, 4, p);
    CountLoop rows = count_open(e, const_i64(e, 0), p[3]);
    LLVMValueRef row = contract_at(d, p[1], LLVMBuildMul(e->b, rows.i, p[2], ""), 0);
    LLVMBuildStore(e->b, row, LLVMBuildGEP2(e->b, e->ptr, p[0], &rows.i, 1, ""));
    count_close(e, &rows, const_i64(e, 1));
    contract_aside_close(d);
}

/* (from, to, count): addresses as far from those of `from` as the first one is. */
static void emit_shift_function(Driver *d, const char *name) {
    static const AsideType types[] = {ASIDE_PTR, ASIDE_PTR, ASIDE_I64};
    Emit *e = d->e;
    int32_t lanes = e->target->vector_bits / 64;
    LLVMTypeRef vector = type_lanes(e->i64, lanes);
    LLVMValueRef p[3];
    d->shift = contract_aside_open(d, name, "shift", types, 3, p);
    LLVMValueRef first = LLVMBuildLoad2(e->b, e->i64, p[1], "");
    LLVMValueRef apart = LLVMBuildSub(e->b, first, LLVMBuildLoad2(e->b, e->i64, p[0], ""), "");
    apart = emit_splat(e, e->b, apart, lanes);
    CountLoop at = count_open(e, const_i64(e, 0), p[2]);
    LLVMValueRef from = LLVMBuildGEP2(e->b, e->i64, p[0], &at.i, 1, "");
    LLVMValueRef places = LLVMBuildLoad2(e->b, vector, from, "");
    LLVMSetAlignment(places, 8);
    LLVMValueRef to = LLVMBuildGEP2(e->b, e->i64, p[1], &at.i, 1, "");
    LLVMSetAlignment(LLVMBuildStore(e->b, LLVMBuildAdd(e->b, places, apart, ""), to), 8);
    count_close(e, &at, const_i64(e, lanes));
    contract_aside_close(d);
}

void contract_row_functions(Driver *d, const char *name) {
    const KContract *c = d->contract;
    emit_point_function(d, name);
    if (c->placed.evenly && contract_segments(c, PART_PLACES).divisor != KVALUE_NONE)
        emit_shift_function(d, name);
    if (c->placed.access)
        emit_copy_function(d, name);
    else if (c->plain_row)
        contract_turn_function(d, name);
}

/* ---- once a call ----------------------------------------------------------------------------- */

/* i1: are rows read where they lie? Not where a cache would keep few of them, or there is no room for all
 * their addresses. */
static LLVMValueRef find_rows_lie(const Driver *d) {
    Emit *e = d->e;
    const KContract *c = d->contract;
    LLVMValueRef size = const_i64(e, (int64_t)sn_dtype_size(d->dtype)), none = const_i64(e, 0);
    LLVMValueRef apart = LLVMBuildMul(e->b, contract_row_step(d, c->placed.access), size, "");
    apart = LLVMBuildAnd(e->b, apart, const_i64(e, SET_BYTES - 1), "");
    LLVMValueRef spread = LLVMBuildICmp(e->b, LLVMIntNE, apart, none, "");
    LLVMValueRef length = contract_segment(d, PART_PLACES);
    if (!length) return spread;
    LLVMValueRef steps = emit_coef(e, e->kernel->axes.data[c->k_axis].size);
    steps = contract_least(e, steps, const_i64(e, ORDER_CHAIN));
    LLVMValueRef most = LLVMBuildMul(e->b, length, const_i64(e, KCHAIN_SEGMENTS - 2), "");
    LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLE, steps, most, "");
    return LLVMBuildAnd(e->b, few, spread, "");
}

/* Memory full of what lies outside. */
static void fill_outside(const Driver *d) {
    Emit *e = d->e;
    const KInst *value = kernel_inst(e->kernel, d->contract->placed.outside);
    LLVMValueRef x = const_bits(e, d->dtype, value->imm, 1);
    if (kop_is(value->op, KFORM_PARAM)) {
        x = emit_coef(e, kcoef_param((int32_t)value->imm));
        x = LLVMBuildTruncOrBitCast(e->b, x, type_bits(e, d->dtype, 1), "");
        x = LLVMBuildBitCast(e->b, x, contract_element(d), "");
    }
    x = emit_splat(e, e->b, x, d->lanes);
    CountLoop k = count_open(e, const_i64(e, 0), const_i64(e, ORDER_CHAIN));
    LLVMBuildStore(e->b, x, contract_at(d, d->outside, k.i, 0));
    count_close(e, &k, const_i64(e, d->lanes));
    LLVMValueRef address = LLVMBuildPtrToInt(e->b, d->outside, e->i64, "");
    contract_set_param(d, CONTRACT_OUTSIDE, address);
}

/* The addresses of packed rows are the same for all. */
void contract_prepare_rows(Driver *d) {
    Emit *e = d->e;
    LLVMValueRef rows = d->apart;
    if (d->copy) {
        d->rows_lie = find_rows_lie(d);
        rows = emit_select(e, d->rows_lie, const_i64(e, 0), rows);
        if (d->contract->placed.inside != KVALUE_NONE) fill_outside(d);
    }
    LLVMValueRef args[4] = {d->pointers, d->rows, const_i64(e, d->row), rows};
    contract_aside_call(d, d->point, args, 4);
}

/* ---- rows that lie in memory ----------------------------------------------------------------- */

static LLVMValueRef place_at(const Driver *d, LLVMValueRef table, LLVMValueRef number) {
    return LLVMBuildGEP2(d->e->b, d->e->ptr, table, &number, 1, "");
}

/* The addresses of a piece, and for the last tile of few rows the last one's some times more. Where rows move
 * evenly the first one's is found, and the others are as far from those of the first segment. */
static void find_places(const Driver *d, const Run *run, const Piece *piece, LLVMValueRef number,
                        LLVMValueRef table) {
    Emit *e = d->e;
    PartCall call = {
        .part = PART_PLACES, .memory = table, .point = run->point, .points = run->rows};
    LLVMValueRef none = const_i64(e, 0), shifts = NULL;
    if (d->shift) {
        shifts = LLVMBuildICmp(e->b, LLVMIntSGT, number, none, "");
        shifts = LLVMBuildAnd(e->b, shifts, d->rows_lie, "");
        call.points = emit_select(e, shifts, const_i64(e, 1), run->rows);
    }
    contract_call_piece(d, &call, piece);
    if (d->shift) {
        LLVMValueRef args[3] = {d->rows, table, emit_select(e, shifts, run->rows, none)};
        contract_aside_call(d, d->shift, args, 3);
    }
    LLVMValueRef end = place_at(d, table, run->rows), one = const_i64(e, -1);
    LLVMValueRef last = LLVMBuildLoad2(e->b, e->ptr, place_at(d, end, one), "");
    for (int32_t i = 0; i < KCHAIN_TILE - 1; i++)
        LLVMBuildStore(e->b, last, place_at(d, end, const_i64(e, i)));
}

/* The rows' addresses, piece by piece; where they are not read there they are copied. */
static void place_rows(const Driver *d, const Run *run, Group *group) {
    Emit *e = d->e;
    LLVMValueRef end = LLVMBuildAdd(e->b, group->chunk, group->steps, "");
    Piece first = contract_piece(d, PART_PLACES, group->chunk, end);
    CountLoop k = count_open(e, group->chunk, end);
    Piece piece = contract_piece(d, PART_PLACES, k.i, end);
    LLVMValueRef number = const_i64(e, 0);
    if (piece.segment) number = LLVMBuildSub(e->b, piece.segment, first.segment, "");
    LLVMValueRef table = place_at(d, d->rows, LLVMBuildMul(e->b, number, d->apart, ""));
    table = emit_select(e, d->rows_lie, table, d->places);
    find_places(d, run, &piece, number, table);
    LLVMValueRef before = LLVMBuildSub(e->b, k.i, group->chunk, "");
    LLVMValueRef args[4] = {table, contract_at(d, d->rows, before, 0),
                            emit_select(e, d->rows_lie, const_i64(e, 0), run->rows), piece.steps};
    contract_aside_call(d, d->copy, args, 4);
    count_close(e, &k, piece.steps);
    group->table = emit_select(e, d->rows_lie, d->rows, d->pointers);
    group->begun = emit_select(e, d->rows_lie, first.steps, group->steps);
    group->length = first.length ? first.length : first.steps;
}

/* ---- others ---------------------------------------------------------------------------------- */

/* Rows that follow one another in each step of K, line by line. */
static void turn_rows(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    const KAccess *access = d->contract->plain_row;
    LLVMValueRef step = contract_step(d, access, d->contract->k_axis);
    CountLoop rows = count_open(e, const_i64(e, 0), run->rows);
    LLVMValueRef point = LLVMBuildAdd(e->b, run->point, rows.i, "");
    LLVMValueRef left = LLVMBuildSub(e->b, run->rows, rows.i, "");
    LLVMValueRef place = LLVMBuildURem(e->b, point, d->line, "");
    LLVMValueRef count = contract_least(e, left, LLVMBuildSub(e->b, d->line, place, ""));
    LLVMValueRef to = LLVMBuildMul(e->b, rows.i, const_i64(e, d->row), "");
    LLVMValueRef from = contract_locate_row(d, access, point, group->chunk);
    LLVMValueRef args[5] = {from, contract_at(d, d->rows, to, 0), step, count, group->steps};
    contract_aside_call(d, d->turn, args, 5);
    count_close(e, &rows, count);
}

static void compute_rows(const Driver *d, const Run *run, const Group *group) {
    PartCall call = {.part = PART_ROWS,
                     .memory = d->rows,
                     .point = run->point,
                     .points = run->rows,
                     .first_k = group->chunk,
                     .steps = group->steps};
    contract_call(d, &call);
}

static void pack_rows(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    if (!d->turn) {
        compute_rows(d, run, group);
        return;
    }
    LLVMBasicBlockRef turn = emit_block(e), compute = emit_block(e), done = emit_block(e);
    LLVMValueRef step = contract_row_step(d, d->contract->plain_row);
    LLVMValueRef follow = LLVMBuildICmp(e->b, LLVMIntEQ, step, const_i64(e, 1), "");
    LLVMBuildCondBr(e->b, follow, turn, compute);
    emit_at(e, turn);
    turn_rows(d, run, group);
    LLVMBuildBr(e->b, done);
    emit_at(e, compute);
    compute_rows(d, run, group);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
}

void contract_rows(const Driver *d, const Run *run, Group *group) {
    if (d->copy) {
        place_rows(d, run, group);
        return;
    }
    pack_rows(d, run, group);
    group->table = d->pointers;
    group->begun = group->length = group->steps;
}
