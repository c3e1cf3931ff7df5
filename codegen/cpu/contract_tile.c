/* Tiles of a contraction: rows × panels whose sums stay in registers for a chunk of K; see
 * contract_driver.h. Rows that do not fill a tile go in smaller ones. */
#include "codegen/cpu/contract_driver.h"

#include <string.h>

enum {
    WIDE_VECTORS = 8, /* of a tile of one row */
    ROWS_OF_TILE = 12 /* at most */
};

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
    int32_t count;               /* vectors of sums */
    LLVMValueRef table, further; /* addresses of rows; from one segment's to the next one's */
    LLVMValueRef begun, length;  /* steps of K in the first segment, in the others */
    LLVMValueRef columns;        /* where the first ones lie */
    LLVMValueRef step, apart;    /* elements from one step of K, or one panel, to the next */
    LLVMValueRef ahead;  /* bytes from columns to what is fetched meanwhile; NULL: nothing */
    LLVMValueRef memory; /* of the sums, at the first */
    LLVMValueRef sums[LANES_MOST]; /* of this chunk */
} Tile;

static Tile tile_of(const Driver *d, TileKind which) {
    Tile tile = {.which = which, .shape = shapes[d->e->target->isa][which]};
    tile.count = tile.shape.height * tile.shape.vectors;
    SN_ASSERT(tile.count <= LANES_MOST && tile.shape.height <= ROWS_OF_TILE);
    SN_ASSERT(which == TILE_THIN || tile.shape.vectors % KCHAIN_PANEL_VECTORS == 0);
    return tile;
}

static int64_t tile_width(const Driver *d, const Tile *tile) {
    return (int64_t)tile->shape.vectors * d->lanes;
}

/* ---- chains ---------------------------------------------------------------------------------- */

enum {
    LINE_PANELS = 2, /* whose columns one address gives */
    LINES_MOST = WIDE_VECTORS / KCHAIN_PANEL_VECTORS / LINE_PANELS
};

/* What goes from step to step of K. */
typedef struct Step {
    LLVMValueRef lines[LINES_MOST]; /* columns of every second panel */
    LLVMValueRef sums[LANES_MOST];  /* so far */
} Step;

static int32_t count_lines(const Tile *tile) {
    int32_t vectors = LINE_PANELS * KCHAIN_PANEL_VECTORS;
    return (tile->shape.vectors + vectors - 1) / vectors;
}

/* A line of the next panel. */
static void fetch_ahead(const Driver *d, const Tile *tile, const Step *step) {
    enum { READ = 0, SECOND = 2, DATA = 1 };
    Emit *e = d->e;
    LLVMValueRef ahead = tile->ahead;
    LLVMValueRef at = LLVMBuildGEP2(e->b, e->i8, step->lines[0], &ahead, 1, "");
    LLVMValueRef args[4] = {at, const_int(e->i32, READ), const_int(e->i32, SECOND),
                            const_int(e->i32, DATA)};
    emit_intrinsic(e, "llvm.prefetch", &e->ptr, 1, args, 4);
}

/* The products of the step are added to the sums. Rows are at their ends in the segment, `k` counts up to
 * 0. */
static void emit_products(const Driver *d, const Tile *tile, LLVMValueRef *rows, LLVMValueRef k,
                          Step *step) {
    Emit *e = d->e;
    LLVMValueRef columns[WIDE_VECTORS];
    for (int32_t c = 0; c < tile->shape.vectors; c++) {
        int32_t panel = c / KCHAIN_PANEL_VECTORS;
        LLVMValueRef at = panel % LINE_PANELS ? tile->apart : const_i64(e, 0);
        int64_t offset = (int64_t)(c % KCHAIN_PANEL_VECTORS) * d->lanes;
        columns[c] = contract_load(d, contract_at(d, step->lines[panel / LINE_PANELS], at, offset));
    }
    for (int32_t r = 0; r < tile->shape.height; r++) {
        LLVMValueRef x =
            LLVMBuildLoad2(e->b, contract_element(d), contract_at(d, rows[r], k, 0), "");
        x = emit_splat(e, e->b, x, d->lanes);
        for (int32_t c = 0; c < tile->shape.vectors; c++) {
            LLVMValueRef *sum = &step->sums[r * tile->shape.vectors + c];
            LLVMValueRef in[3] = {x, columns[c], *sum};
            *sum = emit_prim(e, OP_FMA, d->dtype, d->dtype, d->lanes, in, NULL);
        }
    }
    if (tile->ahead) fetch_ahead(d, tile, step);
    for (int32_t l = 0; l < count_lines(tile); l++)
        step->lines[l] = contract_at(d, step->lines[l], tile->step, 0);
}

/* All that goes from step to step as phis, which have come from `before`. */
static Step open_step(const Driver *d, const Tile *tile, const Step *from,
                      LLVMBasicBlockRef before) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    Step step;
    for (int32_t l = 0; l < count_lines(tile); l++)
        step.lines[l] = emit_phi(e, e->ptr, from->lines[l], before);
    for (int32_t i = 0; i < tile->count; i++)
        step.sums[i] = emit_phi(e, vector, from->sums[i], before);
    return step;
}

static void join_step(const Tile *tile, const Step *phis, const Step *from,
                      LLVMBasicBlockRef block) {
    for (int32_t l = 0; l < count_lines(tile); l++) phi_add(phis->lines[l], from->lines[l], block);
    for (int32_t i = 0; i < tile->count; i++) phi_add(phis->sums[i], from->sums[i], block);
}

/* The beginning of a chunk. That addresses lie at a known distance is hidden: they would become one, and an
 * addition in each step. */
static Step first_step(const Driver *d, const Tile *tile) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    Step step;
    for (int32_t l = 0; l < count_lines(tile); l++) {
        LLVMValueRef panels = const_i64(e, (int64_t)l * LINE_PANELS);
        LLVMValueRef at = LLVMBuildMul(e->b, tile->apart, panels, "");
        step.lines[l] = emit_opaque(e->b, contract_at(d, tile->columns, at, 0));
    }
    for (int32_t i = 0; i < tile->count; i++) step.sums[i] = LLVMConstNull(vector);
    return step;
}

/* The steps of a segment, one or more. */
static void emit_segment(const Driver *d, const Tile *tile, LLVMValueRef table, LLVMValueRef steps,
                         Step *step) {
    Emit *e = d->e;
    LLVMValueRef rows[ROWS_OF_TILE];
    for (int32_t r = 0; r < tile->shape.height; r++) {
        LLVMValueRef number = const_i64(e, r);
        LLVMValueRef row = LLVMBuildGEP2(e->b, e->ptr, table, &number, 1, "");
        rows[r] = contract_at(d, LLVMBuildLoad2(e->b, e->ptr, row, ""), steps, 0);
    }
    LLVMValueRef first = emit_opaque(e->b, LLVMBuildNeg(e->b, steps, ""));
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), body = emit_block(e), done = emit_block(e);
    LLVMBuildBr(e->b, body);
    emit_at(e, body);
    LLVMValueRef k = emit_phi(e, e->i64, first, before);
    Step phis = open_step(d, tile, step, before);
    *step = phis;
    emit_products(d, tile, rows, k, step);
    LLVMValueRef next = LLVMBuildAdd(e->b, k, const_i64(e, 1), "");
    phi_add(k, next, body);
    join_step(tile, &phis, step, body);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntNE, next, const_i64(e, 0), "");
    LLVMBuildCondBr(e->b, more, body, done);
    emit_at(e, done);
}

/* The chains of a chunk, of one step or more. */
static void emit_chains(const Driver *d, Tile *tile, LLVMValueRef steps) {
    Emit *e = d->e;
    Step step = first_step(d, tile);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), body = emit_block(e), done = emit_block(e);
    LLVMBuildBr(e->b, body);
    emit_at(e, body);
    LLVMValueRef left = emit_phi(e, e->i64, steps, before);
    LLVMValueRef length = emit_phi(e, e->i64, tile->begun, before);
    LLVMValueRef table = emit_phi(e, e->ptr, tile->table, before);
    Step phis = open_step(d, tile, &step, before);
    step = phis;
    LLVMValueRef here = contract_least(e, left, length);
    emit_segment(d, tile, table, here, &step);
    LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
    LLVMValueRef rest = LLVMBuildSub(e->b, left, here, "");
    phi_add(left, rest, end);
    phi_add(length, tile->length, end);
    phi_add(table, LLVMBuildGEP2(e->b, e->ptr, table, &tile->further, 1, ""), end);
    join_step(tile, &phis, &step, end);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntNE, rest, const_i64(e, 0), "");
    LLVMBuildCondBr(e->b, more, body, done);
    emit_at(e, done);
    memcpy(tile->sums, step.sums, sizeof tile->sums);
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

/* Parameters of a tile's function, which goes over `count` tiles, side by side or one below the other. */
enum {
    TILES_TABLE,     /* addresses of the first tile's rows … */
    TILES_BELOW,     /* … entries from there to the next tile's … */
    TILES_FURTHER,   /* … and from one segment's to the next one's */
    TILES_BEGUN,     /* steps of K in the first segment … */
    TILES_LENGTH,    /* … and in the others */
    TILES_COLUMNS,   /* the first tile's */
    TILES_STEP,      /* elements from one step of K to the next … */
    TILES_APART,     /* … from one panel to the next … */
    TILES_NEXT,      /* … and from one tile's columns to the next one's */
    TILES_STEPS,     /* of K */
    TILES_SUMS,      /* the first tile's … */
    TILES_NEXT_SUMS, /* … and elements from there to the next one's */
    TILES_COUNT,     /* tiles */
    TILES_IS_FIRST,  /* see Group */
    TILES_PARAMS
};

/* Tall tiles read panels. Those that follow one another below fetch the lines of the next panel by turns. */
static void be_tall(const Driver *d, Tile *tile, LLVMValueRef number) {
    enum { LINE_BYTES = 64 };
    Emit *e = d->e;
    int64_t size = (int64_t)sn_dtype_size(d->dtype);
    LLVMValueRef lines = const_i64(e, d->panel * size / LINE_BYTES);
    LLVMValueRef turn = LLVMBuildURem(e->b, number, lines, "");
    turn = LLVMBuildMul(e->b, turn, const_i64(e, LINE_BYTES), "");
    LLVMValueRef panel = LLVMBuildMul(e->b, tile->apart, const_i64(e, size), "");
    tile->ahead = emit_opaque(e->b, LLVMBuildAdd(e->b, panel, turn, ""));
    if (e->target->isa == ISA_AVX512) /* its many rows leave no register for it */
        tile->step = const_i64(e, d->panel);
}

static void emit_tile_function(Driver *d, const char *name, TileKind which) {
    static const char *const suffixes[TILES] = {"tall", "thin", "low", "pair", "wide"};
    AsideType types[TILES_PARAMS];
    for (int32_t i = 0; i < TILES_PARAMS; i++) types[i] = ASIDE_I64;
    types[TILES_TABLE] = types[TILES_COLUMNS] = types[TILES_SUMS] = ASIDE_PTR;
    Emit *e = d->e;
    LLVMValueRef p[TILES_PARAMS];
    d->tiles[which] = contract_aside_open(d, name, suffixes[which], types, TILES_PARAMS, p);
    Tile tile = tile_of(d, which);
    CountLoop tiles = count_open(e, const_i64(e, 0), p[TILES_COUNT]);
    LLVMValueRef below = LLVMBuildMul(e->b, tiles.i, p[TILES_BELOW], "");
    tile.table = LLVMBuildGEP2(e->b, e->ptr, p[TILES_TABLE], &below, 1, "");
    tile.further = p[TILES_FURTHER];
    tile.begun = p[TILES_BEGUN];
    tile.length = p[TILES_LENGTH];
    tile.columns =
        contract_at(d, p[TILES_COLUMNS], LLVMBuildMul(e->b, tiles.i, p[TILES_NEXT], ""), 0);
    tile.step = p[TILES_STEP];
    tile.apart = p[TILES_APART];
    if (which == TILE_TALL) be_tall(d, &tile, tiles.i);
    tile.memory =
        contract_at(d, p[TILES_SUMS], LLVMBuildMul(e->b, tiles.i, p[TILES_NEXT_SUMS], ""), 0);
    emit_chains(d, &tile, p[TILES_STEPS]);
    emit_sums(d, &tile, p[TILES_IS_FIRST]);
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

/* Columns that lie somewhere: elements from step to step of K, and from panel to panel. */
typedef struct Lying {
    LLVMValueRef columns, step, apart;
} Lying;

/* What all calls of the group's tiles of a kind share. */
static void fill_call(const Driver *d, const Group *group, LLVMValueRef row, LLVMValueRef column,
                      const Lying *lying, LLVMValueRef *args) {
    Emit *e = d->e;
    LLVMValueRef sums = LLVMBuildMul(e->b, row, const_i64(e, d->group), "");
    args[TILES_TABLE] = LLVMBuildGEP2(e->b, e->ptr, group->table, &row, 1, "");
    args[TILES_FURTHER] = d->apart;
    args[TILES_BEGUN] = group->begun;
    args[TILES_LENGTH] = group->length;
    args[TILES_COLUMNS] = lying->columns;
    args[TILES_STEP] = lying->step;
    args[TILES_APART] = lying->apart;
    args[TILES_STEPS] = group->steps;
    args[TILES_SUMS] = contract_at(d, d->sums, LLVMBuildAdd(e->b, sums, column, ""), 0);
    args[TILES_IS_FIRST] = group->is_first;
}

/* Tiles side by side over columns that lie there. */
static void call_across(const Driver *d, const Group *group, const Across *across,
                        const Lying *lying) {
    Emit *e = d->e;
    Tile tile = tile_of(d, across->which);
    int64_t width = tile_width(d, &tile);
    int32_t vectors = tile.shape.vectors + KCHAIN_PANEL_VECTORS - 1;
    LLVMValueRef panels = const_i64(e, vectors / KCHAIN_PANEL_VECTORS);
    LLVMValueRef count = LLVMBuildSub(e->b, across->to, across->from, "");
    count = LLVMBuildAdd(e->b, count, const_i64(e, width - 1), "");
    LLVMValueRef args[TILES_PARAMS];
    fill_call(d, group, across->row, across->from, lying, args);
    args[TILES_BELOW] = const_i64(e, 0);
    args[TILES_NEXT] = LLVMBuildMul(e->b, lying->apart, panels, "");
    args[TILES_NEXT_SUMS] = const_i64(e, width);
    args[TILES_COUNT] = LLVMBuildSDiv(e->b, count, const_i64(e, width), "");
    contract_aside_call(d, d->tiles[across->which], args, TILES_PARAMS);
}

/* Tiles one below the other, from the group's first row on, over columns of a panel that lie there. */
static void call_down(const Driver *d, const Group *group, TileKind which, LLVMValueRef column,
                      LLVMValueRef count, const Lying *lying) {
    Emit *e = d->e;
    int64_t height = tile_of(d, which).shape.height;
    LLVMValueRef args[TILES_PARAMS], none = const_i64(e, 0);
    fill_call(d, group, none, column, lying, args);
    args[TILES_BELOW] = const_i64(e, height);
    args[TILES_NEXT] = none;
    args[TILES_NEXT_SUMS] = const_i64(e, height * d->group);
    args[TILES_COUNT] = count;
    contract_aside_call(d, d->tiles[which], args, TILES_PARAMS);
}

/* Columns in panels, from one of the group's on. */
static Lying lying_packed(const Driver *d, const Group *group, LLVMValueRef column) {
    Emit *e = d->e;
    LLVMValueRef panel = const_i64(e, d->panel);
    LLVMValueRef at = LLVMBuildMul(e->b, column, group->steps, "");
    return (Lying){.columns = contract_at(d, group->panels, at, 0),
                   .step = panel,
                   .apart = LLVMBuildMul(e->b, group->steps, panel, "")};
}

/* Columns that are read where they lie. */
static Lying lying_direct(const Driver *d, const Run *run, const Group *group,
                          LLVMValueRef column) {
    return (Lying){.columns = contract_locate(d, run, group, column),
                   .step = contract_step(d, d->contract->plain, d->contract->k_axis),
                   .apart = const_i64(d->e, d->panel)};
}

/* First those that are read where they lie, then those in panels. */
static void emit_across(const Driver *d, const Run *run, const Group *group, Across across) {
    Emit *e = d->e;
    if (d->across) {
        Across direct = across;
        direct.to = contract_least(e, across.to, group->direct);
        LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, direct.from, direct.to, "");
        LLVMBasicBlockRef some = emit_block(e), rest = emit_block(e);
        LLVMBuildCondBr(e->b, more, some, rest);
        emit_at(e, some);
        Lying lying = lying_direct(d, run, group, direct.from);
        call_across(d, group, &direct, &lying);
        LLVMBuildBr(e->b, rest);
        emit_at(e, rest);
        across.from = emit_select(e, more, direct.to, across.from);
    }
    Lying lying = lying_packed(d, group, across.from);
    call_across(d, group, &across, &lying);
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

/* Tall tiles of all rows that fill them, panel by panel: of weights that come from far a panel arrives while
 * the rows meet the one before. Columns that are read where they lie meet few rows. Returns the first row
 * that is left. */
static LLVMValueRef emit_tall(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef height = const_i64(e, tile_of(d, TILE_TALL).shape.height), none = const_i64(e, 0);
    LLVMValueRef thin = tall_columns(d, group);
    LLVMValueRef packed = LLVMBuildICmp(e->b, LLVMIntEQ, group->direct, none, "");
    LLVMValueRef count = LLVMBuildUDiv(e->b, run->rows, height, "");
    count = emit_select(e, packed, count, none);
    CountLoop panels = count_open(e, none, thin);
    Lying lying = lying_packed(d, group, panels.i);
    call_down(d, group, TILE_TALL, panels.i, count, &lying);
    count_close(e, &panels, const_i64(e, d->panel));
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSLT, thin, group->width, "");
    lying = lying_packed(d, group, thin);
    call_down(d, group, TILE_THIN, thin, emit_select(e, some, count, none), &lying);
    return LLVMBuildMul(e->b, count, height, "");
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
