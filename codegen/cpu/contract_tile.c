/* Tiles of a contraction: rows × panels whose sums stay in registers for a chunk of K; see
 * contract_driver.h. Rows that do not fill a tile go in smaller ones. */
#include "codegen/cpu/contract_driver.h"

enum {
    WIDE_VECTORS = 8, /* of a tile of one row */
    TILES = 4,        /* shapes: */
    TILE_TALL = 0,    /* rows that fill it */
    TILE_LOW = 1,     /* KCHAIN_TILE, or fewer */
    TILE_PAIR = 2,    /* two */
    TILE_WIDE = 3     /* one */
};

/* Rows and vectors of columns of tiles: registers for the sums, the columns' vectors and a row's element. A
 * chain waits for the multiply-add before it, so that a tile of fewer sums than the second has would take as
 * long. */
typedef struct TileShape {
    int32_t height, vectors;
} TileShape;
static const TileShape shapes[ISA_COUNT][TILES] = {
    [ISA_AVX2] = {{6, KCHAIN_PANEL_VECTORS},
                  {KCHAIN_TILE, KCHAIN_PANEL_VECTORS},
                  {2, 4},
                  {1, WIDE_VECTORS}},
    [ISA_AVX512] = {{12, KCHAIN_PANEL_VECTORS},
                    {KCHAIN_TILE, KCHAIN_PANEL_VECTORS},
                    {2, 4},
                    {1, WIDE_VECTORS}},
};

/* Rows × panels of a group. */
typedef struct Tile {
    TileShape shape;
    int32_t count;                 /* vectors of sums */
    LLVMValueRef row;              /* the first one, of those packed */
    LLVMValueRef column;           /* the first one in the group */
    LLVMValueRef columns;          /* where that lies */
    LLVMValueRef step, apart;      /* elements from one step of K, or one panel, to the next */
    LLVMValueRef sums[LANES_MOST]; /* of this chunk */
} Tile;

static Tile tile_of(const Driver *d, int32_t which) {
    Tile tile = {.shape = shapes[d->e->target->isa][which]};
    tile.count = tile.shape.height * tile.shape.vectors;
    SN_ASSERT(tile.count <= LANES_MOST && tile.shape.vectors % KCHAIN_PANEL_VECTORS == 0);
    return tile;
}

static int64_t tile_width(const Driver *d, const Tile *tile) {
    return (int64_t)tile->shape.vectors * d->lanes;
}

/* The products of step k, added to `sums`. */
static void emit_products(const Driver *d, const Tile *tile, LLVMValueRef rows, LLVMValueRef k,
                          LLVMValueRef *sums) {
    Emit *e = d->e;
    LLVMValueRef columns[WIDE_VECTORS];
    for (int32_t c = 0; c < tile->shape.vectors; c++) {
        LLVMValueRef panel = const_i64(e, c / KCHAIN_PANEL_VECTORS);
        LLVMValueRef at = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, k, tile->step, ""),
                                       LLVMBuildMul(e->b, panel, tile->apart, ""), "");
        int64_t offset = (int64_t)(c % KCHAIN_PANEL_VECTORS) * d->lanes;
        columns[c] = contract_load(d, contract_at(d, tile->columns, at, offset));
    }
    for (int32_t r = 0; r < tile->shape.height; r++) {
        LLVMValueRef place = contract_at(d, rows, k, (int64_t)r * d->row);
        LLVMValueRef x = LLVMBuildLoad2(e->b, contract_element(d), place, "");
        x = emit_splat(e, e->b, x, d->lanes);
        for (int32_t c = 0; c < tile->shape.vectors; c++) {
            LLVMValueRef *sum = &sums[r * tile->shape.vectors + c];
            LLVMValueRef in[3] = {x, columns[c], *sum};
            *sum = emit_prim(e, OP_FMA, d->dtype, d->dtype, d->lanes, in, NULL);
        }
    }
}

/* The chains of a chunk, of so many steps. */
static void emit_chains(const Driver *d, Tile *tile, LLVMValueRef steps) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMValueRef phis[LANES_MOST];
    LLVMValueRef start = LLVMBuildMul(e->b, tile->row, const_i64(e, d->row), "");
    LLVMValueRef rows = contract_at(d, d->rows, start, 0);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), body = emit_block(e), done = emit_block(e);
    LLVMBuildBr(e->b, body);
    emit_at(e, body);
    LLVMValueRef k = emit_phi(e, e->i64, const_i64(e, 0), before);
    for (int32_t i = 0; i < tile->count; i++)
        tile->sums[i] = phis[i] = emit_phi(e, vector, LLVMConstNull(vector), before);
    emit_products(d, tile, rows, k, tile->sums);
    for (int32_t i = 0; i < tile->count; i++) phi_add(phis[i], tile->sums[i], body);
    LLVMValueRef next = LLVMBuildAdd(e->b, k, const_i64(e, 1), "");
    phi_add(k, next, body);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, steps, ""), body, done);
    emit_at(e, done);
}

/* Stores the chunk's sums, the first one's as they are, the others' added to those before. */
static void emit_sums(const Driver *d, const Tile *tile, LLVMValueRef is_first) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMBasicBlockRef first = emit_block(e), later = emit_block(e), end = emit_block(e);
    LLVMValueRef base = LLVMBuildMul(e->b, tile->row, const_i64(e, d->group), ""), at[LANES_MOST];
    base = LLVMBuildAdd(e->b, base, tile->column, "");
    for (int32_t i = 0; i < tile->count; i++)
        at[i] = contract_at(d, d->sums, base,
                            (int64_t)(i / tile->shape.vectors) * d->group +
                                i % tile->shape.vectors * d->lanes);
    LLVMBuildCondBr(e->b, is_first, first, later);
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

/* The tiles of some rows over columns [from, to) of the group. */
static void emit_across(const Driver *d, const Run *run, const Group *group, Tile *tile,
                        LLVMValueRef from, LLVMValueRef to) {
    Emit *e = d->e;
    LLVMValueRef panel = const_i64(e, d->panel);
    CountLoop columns = count_open(e, from, to);
    tile->column = columns.i;
    tile->columns =
        contract_at(d, group->panels, LLVMBuildMul(e->b, columns.i, group->steps, ""), 0);
    tile->step = panel;
    tile->apart = LLVMBuildMul(e->b, group->steps, panel, "");
    if (d->across) {
        LLVMValueRef there = LLVMBuildICmp(e->b, LLVMIntSLT, columns.i, group->direct, "");
        LLVMValueRef place = contract_locate(d, run, group, columns.i);
        tile->columns = emit_select(e, there, place, tile->columns);
        tile->step = emit_select(e, there, emit_coef(e, contract_k_step(d)), tile->step);
        tile->apart = emit_select(e, there, panel, tile->apart);
    }
    emit_chains(d, tile, group->steps);
    emit_sums(d, tile, group->is_first);
    count_close(e, &columns, const_i64(e, tile_width(d, tile)));
}

/* Columns of the group that fill tiles. */
static LLVMValueRef whole_tiles(const Driver *d, const Group *group, int32_t which) {
    Tile tile = tile_of(d, which);
    return LLVMBuildAnd(d->e->b, group->width, const_i64(d->e, -tile_width(d, &tile)), "");
}

/* Tiles of one shape, from a row on while all rows of one are there. Returns the first row that is left. */
static LLVMValueRef emit_down(const Driver *d, const Run *run, const Group *group, int32_t which,
                              LLVMValueRef row, LLVMValueRef from, LLVMValueRef to) {
    Emit *e = d->e;
    Tile tile = tile_of(d, which);
    LLVMValueRef end = LLVMBuildSub(e->b, run->rows, const_i64(e, tile.shape.height - 1), "");
    CountLoop rows = count_open(e, row, end);
    tile.row = rows.i;
    emit_across(d, run, group, &tile, from, to);
    count_close(e, &rows, const_i64(e, tile.shape.height));
    return rows.i;
}

/* Low tiles of all rows from `row` on; those from `last` on have columns from `from` on left. */
static void emit_low(const Driver *d, const Run *run, const Group *group, LLVMValueRef row,
                     LLVMValueRef last, LLVMValueRef from) {
    Emit *e = d->e;
    Tile tile = tile_of(d, TILE_LOW);
    CountLoop rows = count_open(e, row, run->rows);
    tile.row = rows.i;
    LLVMValueRef is_last = LLVMBuildICmp(e->b, LLVMIntEQ, rows.i, last, "");
    from = emit_select(e, is_last, from, const_i64(e, 0));
    emit_across(d, run, group, &tile, from, group->width);
    count_close(e, &rows, const_i64(e, tile.shape.height));
}

/* Of the rows that fill no tall tile the last one or two have tiles of their own, where columns fill them. */
void contract_tiles(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0), one = const_i64(e, 1);
    LLVMValueRef row = emit_down(d, run, group, TILE_TALL, none, none, group->width);
    LLVMValueRef left = LLVMBuildSub(e->b, run->rows, row, "");
    LLVMValueRef over = LLVMBuildAnd(e->b, left, const_i64(e, KCHAIN_TILE - 1), "");
    LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLE, over, const_i64(e, 2), "");
    over = emit_select(e, few, over, none);
    LLVMValueRef last = LLVMBuildSub(e->b, run->rows, over, "");
    LLVMValueRef single = LLVMBuildICmp(e->b, LLVMIntEQ, over, one, "");
    LLVMValueRef wide = emit_select(e, single, whole_tiles(d, group, TILE_WIDE), none);
    emit_down(d, run, group, TILE_WIDE, last, none, wide);
    LLVMValueRef pairs = whole_tiles(d, group, TILE_PAIR);
    Tile pair = tile_of(d, TILE_PAIR);
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, over, none, "");
    pair.row = last;
    emit_across(d, run, group, &pair, wide, emit_select(e, some, pairs, none));
    emit_low(d, run, group, row, last, pairs);
}
