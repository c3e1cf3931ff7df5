/* Tiles of a contraction: rows × panels whose sums stay in registers for a chunk of K; see
 * contract_driver.h. Rows that do not fill a tile go in smaller ones. */
#include "codegen/cpu/contract_driver.h"

#include <string.h>

enum { WIDE_VECTORS = 8 }; /* of a tile of one row */

/* Rows and vectors of columns of tiles: registers for the sums, the columns' vectors and a row's element. A
 * chain waits for the multiply-add before it, so that a tile of fewer sums than the second has would take as
 * long. */
typedef struct TileShape {
    int32_t height, vectors;
} TileShape;
static const TileShape shapes[ISA_COUNT][TILES] = {
    [ISA_AVX2] = {{6, KCHAIN_PANEL_VECTORS},
                  {6, 1},
                  {KCHAIN_TILE, KCHAIN_PANEL_VECTORS},
                  {2, 4},
                  {1, WIDE_VECTORS}},
    [ISA_AVX512] = {{12, KCHAIN_PANEL_VECTORS},
                    {12, 1},
                    {KCHAIN_TILE, KCHAIN_PANEL_VECTORS},
                    {2, 4},
                    {1, WIDE_VECTORS}},
};

/* One tile, as its function has it. */
typedef struct Tile {
    TileKind which;
    TileShape shape;
    int32_t count;              /* vectors of sums */
    LLVMValueRef rows, columns; /* where the first ones lie; rows at a known distance: their ends */
    LLVMValueRef row_step;      /* bytes from one row to the next: see has_any_rows */
    LLVMValueRef step, apart;   /* elements from one step of K, or one panel, to the next */
    LLVMValueRef memory;        /* of the sums, at the first */
    LLVMValueRef sums[LANES_MOST]; /* of this chunk */
} Tile;

static Tile tile_of(const Driver *d, TileKind which) {
    Tile tile = {.which = which, .shape = shapes[d->e->target->isa][which]};
    tile.count = tile.shape.height * tile.shape.vectors;
    SN_ASSERT(tile.count <= LANES_MOST);
    SN_ASSERT(which == TILE_THIN || tile.shape.vectors % KCHAIN_PANEL_VECTORS == 0);
    return tile;
}

int32_t contract_tall_rows(const Driver *d) {
    return shapes[d->e->target->isa][TILE_TALL].height;
}

static int64_t tile_width(const Driver *d, const Tile *tile) {
    return (int64_t)tile->shape.vectors * d->lanes;
}

enum {
    LINE_PANELS = 2, /* whose columns one address gives */
    LINES_MOST = WIDE_VECTORS / KCHAIN_PANEL_VECTORS / LINE_PANELS,
    ROW_TRIPLE = 3, /* rows whose elements one address gives, by the machine's scales of an index */
    TRIPLES_MOST = 12 / ROW_TRIPLE
};

/* What goes from step to step of K. */
typedef struct Step {
    LLVMValueRef k;                  /* steps that are left, negative */
    LLVMValueRef rows[TRIPLES_MOST]; /* elements of every third row, see has_any_rows */
    LLVMValueRef lines[LINES_MOST];  /* columns of every second panel */
    LLVMValueRef sums[LANES_MOST];   /* so far */
} Step;

/* Rows lie at a distance that is known beforehand, or at any. */
static bool has_any_rows(TileKind which) {
    return which == TILE_TALL || which == TILE_THIN;
}
static int32_t count_rows(const Tile *tile) {
    return has_any_rows(tile->which) ? (tile->shape.height + ROW_TRIPLE - 1) / ROW_TRIPLE : 0;
}
static int32_t count_lines(const Tile *tile) {
    int32_t vectors = LINE_PANELS * KCHAIN_PANEL_VECTORS;
    return (tile->shape.vectors + vectors - 1) / vectors;
}

/* The element of a row, so many steps further on. */
static LLVMValueRef load_row(const Driver *d, const Tile *tile, const Step *step, int32_t row,
                             int32_t ahead) {
    Emit *e = d->e;
    LLVMValueRef place;
    if (has_any_rows(tile->which)) {
        int64_t bytes = ahead * (int64_t)sn_dtype_size(d->dtype);
        place = LLVMBuildMul(e->b, tile->row_step, const_i64(e, row % ROW_TRIPLE), "");
        place = LLVMBuildAdd(e->b, place, const_i64(e, bytes), "");
        place = LLVMBuildGEP2(e->b, e->i8, step->rows[row / ROW_TRIPLE], &place, 1, "");
    } else {
        place = contract_at(d, tile->rows, step->k, (int64_t)row * d->row + ahead);
    }
    LLVMValueRef x = LLVMBuildLoad2(e->b, contract_element(d), place, "");
    return emit_splat(e, e->b, x, d->lanes);
}

/* The products of the step so many further on are added to the sums. */
static void emit_products(const Driver *d, const Tile *tile, Step *step, int32_t ahead) {
    Emit *e = d->e;
    LLVMValueRef columns[WIDE_VECTORS];
    LLVMValueRef further = LLVMBuildMul(e->b, tile->step, const_i64(e, ahead), "");
    for (int32_t c = 0; c < tile->shape.vectors; c++) {
        int32_t panel = c / KCHAIN_PANEL_VECTORS;
        LLVMValueRef at = further;
        if (panel % LINE_PANELS) at = LLVMBuildAdd(e->b, at, tile->apart, "");
        int64_t offset = (int64_t)(c % KCHAIN_PANEL_VECTORS) * d->lanes;
        columns[c] = contract_load(d, contract_at(d, step->lines[panel / LINE_PANELS], at, offset));
    }
    for (int32_t r = 0; r < tile->shape.height; r++) {
        LLVMValueRef x = load_row(d, tile, step, r, ahead);
        for (int32_t c = 0; c < tile->shape.vectors; c++) {
            LLVMValueRef *sum = &step->sums[r * tile->shape.vectors + c];
            LLVMValueRef in[3] = {x, columns[c], *sum};
            *sum = emit_prim(e, OP_FMA, d->dtype, d->dtype, d->lanes, in, NULL);
        }
    }
}

/* Distances to the next step, or the one after it. Each is hidden, so that addresses are not made of a common
 * one, for which there are too few registers. */
typedef struct Advance {
    int32_t steps;
    LLVMValueRef rows[TRIPLES_MOST], lines;
} Advance;

static Advance advance_by(const Driver *d, const Tile *tile, int32_t steps) {
    Emit *e = d->e;
    LLVMValueRef count = const_i64(e, steps);
    Advance by = {.steps = steps, .lines = LLVMBuildMul(e->b, tile->step, count, "")};
    by.lines = emit_opaque(e->b, by.lines);
    for (int32_t i = 0; i < count_rows(tile); i++) by.rows[i] = emit_opaque(e->b, count);
    return by;
}

static void go_on(const Driver *d, const Tile *tile, Step *step, const Advance *by) {
    Emit *e = d->e;
    for (int32_t i = 0; i < count_rows(tile); i++)
        step->rows[i] = contract_at(d, step->rows[i], by->rows[i], 0);
    for (int32_t l = 0; l < count_lines(tile); l++)
        step->lines[l] = contract_at(d, step->lines[l], by->lines, 0);
    step->k = LLVMBuildAdd(e->b, step->k, const_i64(e, by->steps), "");
}

/* All that goes from step to step as phis, which have come from `before`. */
static Step open_step(const Driver *d, const Tile *tile, const Step *from,
                      LLVMBasicBlockRef before) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    Step step = {.k = emit_phi(e, e->i64, from->k, before)};
    for (int32_t i = 0; i < count_rows(tile); i++)
        step.rows[i] = emit_phi(e, e->ptr, from->rows[i], before);
    for (int32_t l = 0; l < count_lines(tile); l++)
        step.lines[l] = emit_phi(e, e->ptr, from->lines[l], before);
    for (int32_t i = 0; i < tile->count; i++)
        step.sums[i] = emit_phi(e, vector, from->sums[i], before);
    return step;
}

static void join_step(const Tile *tile, const Step *phis, const Step *from,
                      LLVMBasicBlockRef block) {
    phi_add(phis->k, from->k, block);
    for (int32_t i = 0; i < count_rows(tile); i++) phi_add(phis->rows[i], from->rows[i], block);
    for (int32_t l = 0; l < count_lines(tile); l++) phi_add(phis->lines[l], from->lines[l], block);
    for (int32_t i = 0; i < tile->count; i++) phi_add(phis->sums[i], from->sums[i], block);
}

/* The beginning of a chunk. That addresses lie at a known distance is hidden: they would become one, and an
 * addition in each step. */
static Step first_step(const Driver *d, const Tile *tile, LLVMValueRef steps) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    Step step = {.k = emit_opaque(e->b, LLVMBuildNeg(e->b, steps, ""))};
    for (int32_t i = 0; i < count_rows(tile); i++) {
        LLVMValueRef row = const_i64(e, (int64_t)i * ROW_TRIPLE);
        row = LLVMBuildMul(e->b, tile->row_step, row, "");
        row = LLVMBuildGEP2(e->b, e->i8, tile->rows, &row, 1, "");
        step.rows[i] = emit_opaque(e->b, row);
    }
    for (int32_t l = 0; l < count_lines(tile); l++) {
        LLVMValueRef panels = const_i64(e, (int64_t)l * LINE_PANELS);
        LLVMValueRef at = LLVMBuildMul(e->b, tile->apart, panels, "");
        step.lines[l] = emit_opaque(e->b, contract_at(d, tile->columns, at, 0));
    }
    for (int32_t i = 0; i < tile->count; i++) step.sums[i] = LLVMConstNull(vector);
    return step;
}

/* An odd number of steps begins with one alone. */
static Step emit_odd(const Driver *d, const Tile *tile, const Step *first, LLVMValueRef steps) {
    Emit *e = d->e;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), single = emit_block(e),
                      next = emit_block(e);
    LLVMValueRef odd = LLVMBuildTrunc(e->b, steps, e->i1, "");
    LLVMBuildCondBr(e->b, odd, single, next);
    emit_at(e, single);
    Step step = *first;
    Advance by = advance_by(d, tile, 1);
    emit_products(d, tile, &step, 0);
    go_on(d, tile, &step, &by);
    LLVMBuildBr(e->b, next);
    emit_at(e, next);
    Step joined = open_step(d, tile, first, before);
    join_step(tile, &joined, &step, single);
    return joined;
}

/* The chains of a chunk, of one step or more. Where a step has many addresses, two steps share their
 * additions. */
static void emit_chains(const Driver *d, Tile *tile, LLVMValueRef steps) {
    Emit *e = d->e;
    Step step = first_step(d, tile, steps);
    bool two = has_any_rows(tile->which);
    if (two) step = emit_odd(d, tile, &step, steps);
    Advance by = advance_by(d, tile, 1 + two);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), body = emit_block(e), done = emit_block(e);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntNE, step.k, const_i64(e, 0), "");
    LLVMBuildCondBr(e->b, more, body, done);
    emit_at(e, done);
    Step last = open_step(d, tile, &step, before);
    emit_at(e, body);
    Step phis = open_step(d, tile, &step, before);
    step = phis;
    for (int32_t i = 0; i <= two; i++) emit_products(d, tile, &step, i);
    go_on(d, tile, &step, &by);
    more = LLVMBuildICmp(e->b, LLVMIntNE, step.k, const_i64(e, 0), "");
    LLVMBuildCondBr(e->b, more, body, done);
    join_step(tile, &phis, &step, body);
    join_step(tile, &last, &step, body);
    emit_at(e, done);
    memcpy(tile->sums, last.sums, sizeof tile->sums);
}

/* Stores the chunk's sums, the first one's as they are, the others' added to those before. */
static void emit_sums(const Driver *d, const Tile *tile, LLVMValueRef is_first) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMBasicBlockRef first = emit_block(e), later = emit_block(e), end = emit_block(e);
    LLVMValueRef at[LANES_MOST], none = const_i64(e, 0);
    for (int32_t i = 0; i < tile->count; i++)
        at[i] = contract_at(d, tile->memory, none,
                            (int64_t)(i / tile->shape.vectors) * d->group +
                                i % tile->shape.vectors * d->lanes);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntNE, is_first, none, ""), first, later);
    emit_at(e, first);
    for (int32_t i = 0; i < tile->count; i++) LLVMBuildStore(e->b, tile->sums[i], at[i]);
    LLVMBuildBr(e->b, end);
    emit_at(e, later);
    for (int32_t i = 0; i < tile->count; i++) {
        LLVMValueRef in[3] = {LLVMBuildLoad2(e->b, vector, at[i], ""), tile->sums[i], NULL};
        LLVMBuildStore(e->b, emit_prim(e, OP_ADD, d->dtype, d->dtype, d->lanes, in, NULL), at[i]);
    }
    LLVMBuildBr(e->b, end);
    emit_at(e, end);
}

/* ---- functions ------------------------------------------------------------------------------- */

/* Parameters of a tile's function, which goes over `count` tiles side by side. */
enum {
    ACROSS_ROWS,     /* the first one's elements */
    ACROSS_ROW_STEP, /* from one row to the next, where rows may be apart anyhow */
    ACROSS_COLUMNS,  /* the first tile's */
    ACROSS_STEP,     /* elements from one step of K to the next … */
    ACROSS_APART,    /* … from one panel to the next … */
    ACROSS_NEXT,     /* … and from one tile's columns to the next one's */
    ACROSS_STEPS,    /* of K */
    ACROSS_SUMS,     /* the first tile's */
    ACROSS_COUNT,    /* tiles */
    ACROSS_IS_FIRST, /* see Group */
    ACROSS_PARAMS
};

static void emit_tile_function(Driver *d, const char *name, TileKind which) {
    static const char *const suffixes[TILES] = {"tall", "thin", "low", "pair", "wide"};
    static const AsideType types[ACROSS_PARAMS] = {ASIDE_PTR, ASIDE_I64, ASIDE_PTR, ASIDE_I64,
                                                   ASIDE_I64, ASIDE_I64, ASIDE_I64, ASIDE_PTR,
                                                   ASIDE_I64, ASIDE_I64};
    Emit *e = d->e;
    LLVMValueRef p[ACROSS_PARAMS];
    d->tiles[which] = contract_aside_open(d, name, suffixes[which], types, ACROSS_PARAMS, p);
    Tile tile = tile_of(d, which);
    CountLoop tiles = count_open(e, const_i64(e, 0), p[ACROSS_COUNT]);
    LLVMValueRef width = const_i64(e, tile_width(d, &tile));
    tile.rows = p[ACROSS_ROWS];
    if (!has_any_rows(which)) tile.rows = contract_at(d, tile.rows, p[ACROSS_STEPS], 0);
    tile.row_step =
        LLVMBuildMul(e->b, p[ACROSS_ROW_STEP], const_i64(e, (int64_t)sn_dtype_size(d->dtype)), "");
    tile.columns =
        contract_at(d, p[ACROSS_COLUMNS], LLVMBuildMul(e->b, tiles.i, p[ACROSS_NEXT], ""), 0);
    tile.step = p[ACROSS_STEP];
    tile.apart = p[ACROSS_APART];
    tile.memory = contract_at(d, p[ACROSS_SUMS], LLVMBuildMul(e->b, tiles.i, width, ""), 0);
    emit_chains(d, &tile, p[ACROSS_STEPS]);
    emit_sums(d, &tile, p[ACROSS_IS_FIRST]);
    count_close(e, &tiles, const_i64(e, 1));
    contract_aside_close(d);
}

void contract_tile_functions(Driver *d, const char *name) {
    for (int32_t which = 0; which < TILES; which++) emit_tile_function(d, name, (TileKind)which);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Where the tiles of a call lie. */
typedef struct Across {
    TileKind which;
    LLVMValueRef row;      /* the first one, of those packed */
    LLVMValueRef from, to; /* columns of the group */
} Across;

/* The tiles over columns that lie there. */
static void call_tiles(const Driver *d, const Run *run, const Group *group, const Across *across,
                       LLVMValueRef columns, LLVMValueRef step, LLVMValueRef apart) {
    Emit *e = d->e;
    Tile tile = tile_of(d, across->which);
    int64_t width = tile_width(d, &tile);
    LLVMValueRef count = LLVMBuildSub(e->b, across->to, across->from, "");
    LLVMValueRef rows = d->rows, row_step = const_i64(e, d->row);
    if (d->copy && has_any_rows(across->which)) {
        rows = emit_select(e, d->rows_lie, contract_locate_rows(d, run, group), rows);
        row_step = emit_select(e, d->rows_lie, contract_row_step(d), row_step);
    }
    LLVMValueRef row = LLVMBuildMul(e->b, across->row, row_step, "");
    LLVMValueRef sums = LLVMBuildMul(e->b, across->row, const_i64(e, d->group), "");
    int32_t vectors = tile.shape.vectors + KCHAIN_PANEL_VECTORS - 1;
    LLVMValueRef panels = const_i64(e, vectors / KCHAIN_PANEL_VECTORS);
    count = LLVMBuildAdd(e->b, count, const_i64(e, width - 1), "");
    LLVMValueRef args[ACROSS_PARAMS] = {
        [ACROSS_ROWS] = contract_at(d, rows, row, 0),
        [ACROSS_ROW_STEP] = row_step,
        [ACROSS_COLUMNS] = columns,
        [ACROSS_STEP] = step,
        [ACROSS_APART] = apart,
        [ACROSS_NEXT] = LLVMBuildMul(e->b, apart, panels, ""),
        [ACROSS_STEPS] = group->steps,
        [ACROSS_SUMS] = contract_at(d, d->sums, LLVMBuildAdd(e->b, sums, across->from, ""), 0),
        [ACROSS_COUNT] = LLVMBuildSDiv(e->b, count, const_i64(e, width), ""),
        [ACROSS_IS_FIRST] = group->is_first};
    contract_aside_call(d, d->tiles[across->which], args, ACROSS_PARAMS);
}

/* The tiles over columns in panels. */
static void call_packed(const Driver *d, const Run *run, const Group *group, Across across) {
    Emit *e = d->e;
    LLVMValueRef panel = const_i64(e, d->panel);
    LLVMValueRef at = LLVMBuildMul(e->b, across.from, group->steps, "");
    LLVMValueRef apart = LLVMBuildMul(e->b, group->steps, panel, "");
    call_tiles(d, run, group, &across, contract_at(d, group->panels, at, 0), panel, apart);
}

/* First those that are read where they lie, then those in panels. */
static void emit_across(const Driver *d, const Run *run, const Group *group, Across across) {
    Emit *e = d->e;
    LLVMValueRef panel = const_i64(e, d->panel);
    if (d->across) {
        Across direct = across;
        direct.to = contract_least(e, across.to, group->direct);
        LLVMValueRef step = contract_step(d, d->contract->plain, d->contract->k_axis);
        LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, direct.from, direct.to, "");
        LLVMBasicBlockRef some = emit_block(e), rest = emit_block(e);
        LLVMBuildCondBr(e->b, more, some, rest);
        emit_at(e, some);
        LLVMValueRef at = contract_locate(d, run, group, direct.from);
        call_tiles(d, run, group, &direct, at, step, panel);
        LLVMBuildBr(e->b, rest);
        emit_at(e, rest);
        across.from = emit_select(e, more, direct.to, across.from);
    }
    call_packed(d, run, group, across);
}

/* Columns of the group that fill tiles. */
static LLVMValueRef whole_tiles(const Driver *d, const Group *group, TileKind which) {
    Tile tile = tile_of(d, which);
    return LLVMBuildAnd(d->e->b, group->width, const_i64(d->e, -tile_width(d, &tile)), "");
}

/* The columns that tall tiles are for: all, unless the last panel is filled by half at most. */
static LLVMValueRef tall_columns(const Driver *d, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef rest = LLVMBuildAnd(e->b, group->width, const_i64(e, d->panel - 1), "");
    LLVMValueRef thin = LLVMBuildICmp(e->b, LLVMIntSLE, rest, const_i64(e, d->lanes), "");
    LLVMValueRef whole = LLVMBuildSub(e->b, group->width, rest, "");
    return emit_select(e, thin, whole, group->width);
}

/* Tall tiles while all rows of one are there. Returns the first row that is left. */
static LLVMValueRef emit_tall(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    int32_t height = tile_of(d, TILE_TALL).shape.height;
    LLVMValueRef none = const_i64(e, 0), thin = tall_columns(d, group);
    LLVMValueRef end = LLVMBuildSub(e->b, run->rows, const_i64(e, height - 1), "");
    CountLoop rows = count_open(e, none, end);
    emit_across(d, run, group, (Across){TILE_TALL, rows.i, none, thin});
    call_packed(d, run, group, (Across){TILE_THIN, rows.i, thin, group->width});
    count_close(e, &rows, const_i64(e, height));
    return rows.i;
}

/* Low tiles of all rows from `row` on; those from `last` on have columns from `from` on left. */
static void emit_low(const Driver *d, const Run *run, const Group *group, LLVMValueRef row,
                     LLVMValueRef last, LLVMValueRef from) {
    Emit *e = d->e;
    CountLoop rows = count_open(e, row, run->rows);
    LLVMValueRef is_last = LLVMBuildICmp(e->b, LLVMIntEQ, rows.i, last, "");
    from = emit_select(e, is_last, from, const_i64(e, 0));
    emit_across(d, run, group, (Across){TILE_LOW, rows.i, from, group->width});
    count_close(e, &rows, const_i64(e, KCHAIN_TILE));
}

/* Of the rows that fill no tall tile the last one or two have tiles of their own, where columns fill them. */
void contract_tiles(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0), one = const_i64(e, 1);
    LLVMValueRef row = emit_tall(d, run, group);
    LLVMValueRef left = LLVMBuildSub(e->b, run->rows, row, "");
    LLVMValueRef over = LLVMBuildAnd(e->b, left, const_i64(e, KCHAIN_TILE - 1), "");
    LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLE, over, const_i64(e, 2), "");
    over = emit_select(e, few, over, none);
    LLVMValueRef last = LLVMBuildSub(e->b, run->rows, over, "");
    LLVMValueRef single = LLVMBuildICmp(e->b, LLVMIntEQ, over, one, "");
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, over, none, "");
    LLVMValueRef wide = emit_select(e, single, whole_tiles(d, group, TILE_WIDE), none);
    LLVMValueRef pairs = whole_tiles(d, group, TILE_PAIR);
    emit_across(d, run, group, (Across){TILE_WIDE, last, none, wide});
    emit_across(d, run, group, (Across){TILE_PAIR, last, wide, emit_select(e, some, pairs, wide)});
    emit_low(d, run, group, row, last, pairs);
}
