/* Contractions: the loops around tiles. A call takes items of a run, which are rows of one line of the grid
 * that share a block of columns, and goes
 *
 *   groups of columns     whose sums stay in memory
 *     chunks of K           of one chain each
 *       pack rows             chunk × rows
 *       pack columns          chunk × group, unless they are read where they lie
 *       tiles                 rows × panel: a chain of multiply-adds in registers, added to the sums
 *     results               what follows the loop over K, for each row
 *
 * Packing and results are functions of their own (contract_part.c), which the emitter makes as it makes any
 * kernel. Rows that do not fill a tile go in smaller ones. */
#include "codegen/cpu/contract.h"

#include "base/status.h"

#include <stdio.h>

enum {
    PANEL_VECTORS = 2,       /* of a tile's columns */
    GROUP_PANELS = 8,        /* of a group */
    ROWS_MOST = KCHAIN_ROWS, /* of a run */
    ROW_GAP = 64,     /* bytes behind a packed row: rows shall not fall into one set of a cache */
    ROWS_DIRECT = 12, /* for so many rows columns are not packed, if they need not be */
    WIDE_VECTORS = 8, /* of a tile of one row */
    TILES = 3,        /* shapes: */
    TILE_TALL = 0,    /* rows that fill it */
    TILE_LOW = 1,     /* any rows */
    TILE_WIDE = 2     /* one */
};

/* Rows and vectors of columns of tiles: registers for the sums, the columns' vectors and a row's element. A
 * chain waits for the multiply-add before it, so that fewer rows than the second has would take as long; the
 * last is for one row alone, which reads more of each line of its columns. */
typedef struct TileShape {
    int32_t height, vectors;
} TileShape;
static const TileShape shapes[ISA_COUNT][TILES] = {
    [ISA_AVX2] = {{6, PANEL_VECTORS}, {2, PANEL_VECTORS}, {1, WIDE_VECTORS}},
    [ISA_AVX512] = {{12, PANEL_VECTORS}, {4, PANEL_VECTORS}, {1, WIDE_VECTORS}},
};

bool contract_find(const Emit *e, Contract *contract) {
    const KLoops *loops = &e->loops;
    if (loops->n_loops != 2 || loops->n_reductions != 1) return false;
    const KLoop *columns = &loops->loops[0], *inner = &loops->loops[1];
    const KReduction *chain = &loops->reductions[0];
    if (chain->kind != KREDUCTION_CHAIN || chain->loop != 1 || inner->parent != 0) return false;
    if (!columns->vector || inner->stores) return false;
    for (uint32_t i = inner->begin; i < inner->end; i++)
        if (kop_is(kernel_inst(e->kernel, i)->op, KFORM_CHECK)) return false;
    for (uint32_t a = 0; a < e->kernel->args.count; a++)
        if (e->kernel->args.data[a].role == KARG_LOCAL) return false;
    const KInst *inst = kernel_inst(e->kernel, chain->inst);
    bool first = e->spread[inst->in[0]].kind == SPREAD_UNIFORM;
    bool second = e->spread[inst->in[1]].kind == SPREAD_UNIFORM;
    if (first == second) return false;
    *contract = (Contract){0, 1, chain->inst, inst->in[first ? 0 : 1], inst->in[first ? 1 : 0]};
    return true;
}

/* The access of the columns' operand where that is memory as it is, at an address that hangs on nothing but
 * column and K, each in one term. */
static const KAccess *find_plain(const Emit *e, const Contract *contract) {
    const KInst *load = kernel_inst(e->kernel, contract->column);
    if (!kop_is(load->op, KFORM_LOAD) || load->flags & K_PREDICATED) return NULL;
    const KAccess *access = kernel_access(e->kernel, load->imm);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(e->kernel, access, t);
        if (term->value != KVALUE_NONE) return NULL;
        for (uint32_t u = 0; u < t; u++)
            if (kernel_term(e->kernel, access, u)->axis == term->axis) return NULL;
    }
    return access;
}

/* Elements from step to step of an axis, where that is one term or none. */
static KCoef coef_of(const Emit *e, const KAccess *access, uint32_t axis) {
    KCoef coef = kcoef_literal(0);
    for (uint32_t t = 0; t < access->n_terms; t++)
        if (kernel_term(e->kernel, access, t)->axis == axis)
            coef = kernel_term(e->kernel, access, t)->coef;
    return coef;
}

/* ---- the call's own numbers ------------------------------------------------------------------ */

/* A part's function, and the memory that it is called with. */
typedef struct PartCall {
    LLVMValueRef function; /* as KernelFn */
    LLVMValueRef args;     /* addresses, the part's own last */
    LLVMValueRef params;   /* words */
} PartCall;

typedef struct Driver {
    Emit *e;                          /* of the whole */
    const Contract *contract;         /* its loops and values */
    sn_dtype dtype;                   /* of the chain */
    int32_t lanes, panel, group;      /* elements: of a vector, a tile's columns, a group's */
    int32_t row, apart;               /* elements from one packed row, or step of K, to the next */
    PartCall parts[CONTRACT_PARTS];   /* see there */
    LLVMValueRef rows, columns, sums; /* memory: packed, and the chunks' sums so far */
    LLVMValueRef points, line;        /* of the grid, of its innermost dimension */
    LLVMValueRef innermost;           /* that dimension's number */
    LLVMValueRef most;                /* rows that may share columns */
    const KAccess *plain;             /* by which columns are read, or NULL: see find_plain */
    bool across, along; /* whose next column, or next step of K, is the next element */
} Driver;

static LLVMTypeRef element_type(const Driver *d) {
    return d->dtype == SN_F64 ? d->e->f64 : d->e->f32;
}

static LLVMValueRef word_at(const Driver *d, LLVMValueRef words, LLVMValueRef number) {
    return LLVMBuildGEP2(d->e->b, d->e->i64, words, &number, 1, "");
}

static LLVMValueRef least(Emit *e, LLVMValueRef x, LLVMValueRef y) {
    return emit_select(e, LLVMBuildICmp(e->b, LLVMIntSLT, x, y, ""), x, y);
}

/* Copies words [from, to) of the call to those from `into` on. */
static void copy_words(const Driver *d, LLVMValueRef words, int64_t from, int64_t to,
                       int64_t into) {
    Emit *e = d->e;
    CountLoop loop = count_open(e, const_i64(e, from), const_i64(e, to));
    LLVMValueRef word = emit_word(e, e->b, loop.i);
    LLVMValueRef at = LLVMBuildAdd(e->b, loop.i, const_i64(e, into - from), "");
    LLVMBuildStore(e->b, word, word_at(d, words, at));
    count_close(e, &loop, const_i64(e, 1));
}

/* The stride words of the part's argument. */
static int64_t own_strides(const Driver *d) {
    return KPARAM_STRIDES + SN_MAX_RANK * (int64_t)d->e->kernel->args.count;
}

static void set_param(const Driver *d, ContractPart part, int32_t which, LLVMValueRef value) {
    Emit *e = d->e;
    int64_t word = own_strides(d) + SN_MAX_RANK + e->kernel->n_params + which;
    LLVMBuildStore(e->b, value, word_at(d, d->parts[part].params, const_i64(e, word)));
}

static LLVMValueRef own_arg(const Driver *d, ContractPart part) {
    Emit *e = d->e;
    LLVMValueRef number = const_i64(e, (int64_t)e->kernel->args.count);
    return LLVMBuildGEP2(e->b, e->ptr, d->parts[part].args, &number, 1, "");
}

/* Words and addresses of a part's calls, but for what changes from call to call. */
static void prepare_part(Driver *d, ContractPart part, int64_t row_stride) {
    Emit *e = d->e;
    int64_t args = (int64_t)e->kernel->args.count, strides = own_strides(d);
    PartCall *call = &d->parts[part];
    call->args = emit_alloca(e, e->ptr, args + 1);
    call->params =
        emit_alloca(e, e->i64, strides + SN_MAX_RANK + e->kernel->n_params + CONTRACT_PARAMS);
    CountLoop loop = count_open(e, const_i64(e, 0), const_i64(e, args));
    LLVMValueRef from =
        LLVMBuildGEP2(e->b, e->ptr, LLVMGetParam(e->function, ARG_ARGS), &loop.i, 1, "");
    LLVMValueRef to = LLVMBuildGEP2(e->b, e->ptr, call->args, &loop.i, 1, "");
    LLVMBuildStore(e->b, LLVMBuildLoad2(e->b, e->ptr, from, ""), to);
    count_close(e, &loop, const_i64(e, 1));
    copy_words(d, call->params, 0, strides, 0);
    loop = count_open(e, const_i64(e, strides), const_i64(e, strides + SN_MAX_RANK));
    LLVMBuildStore(e->b, const_i64(e, 0), word_at(d, call->params, loop.i));
    count_close(e, &loop, const_i64(e, 1));
    LLVMValueRef own = LLVMBuildAdd(e->b, d->innermost, const_i64(e, strides), "");
    LLVMBuildStore(e->b, const_i64(e, row_stride), word_at(d, call->params, own));
    copy_words(d, call->params, strides, strides + e->kernel->n_params, strides + SN_MAX_RANK);
}

static void call_part(const Driver *d, ContractPart part, LLVMValueRef begin, LLVMValueRef end) {
    Emit *e = d->e;
    const PartCall *call = &d->parts[part];
    LLVMValueRef args[ARG_COUNT] = {[ARG_ARGS] = call->args,
                                    [ARG_PARAMS] = call->params,
                                    [ARG_BEGIN] = begin,
                                    [ARG_END] = end,
                                    [ARG_SCRATCH] = LLVMGetParam(e->function, ARG_SCRATCH),
                                    [ARG_ERROR] = LLVMGetParam(e->function, ARG_ERROR)};
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(call->function), call->function, args, ARG_COUNT,
                   "");
}

/* The argument begins `back` rows of `stride` elements before `memory`: it is addressed by points. */
static void set_own_arg(const Driver *d, ContractPart part, LLVMValueRef memory, LLVMValueRef back,
                        int64_t stride) {
    Emit *e = d->e;
    LLVMValueRef offset = LLVMBuildMul(e->b, back, const_i64(e, -stride), "");
    LLVMValueRef at = LLVMBuildGEP2(e->b, element_type(d), memory, &offset, 1, "");
    LLVMBuildStore(e->b, at, own_arg(d, part));
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Rows × a panel of the group. */
typedef struct Tile {
    TileShape shape;
    int32_t count;              /* vectors of sums */
    LLVMValueRef row;           /* the first one, of those packed */
    LLVMValueRef column;        /* the panel's first one in the group */
    LLVMValueRef columns, step; /* where the panel lies, elements from one step of K to the next */
    LLVMValueRef sums[LANES_MOST]; /* of this chunk */
} Tile;

/* An element of packed memory or of the sums. */
static LLVMValueRef element_at(const Driver *d, LLVMValueRef memory, LLVMValueRef base,
                               int64_t offset) {
    Emit *e = d->e;
    LLVMValueRef place = LLVMBuildAdd(e->b, base, const_i64(e, offset), "");
    return LLVMBuildGEP2(e->b, element_type(d), memory, &place, 1, "");
}

/* The products of step k, added to `sums`. */
static void emit_products(const Driver *d, const Tile *tile, LLVMValueRef rows, LLVMValueRef k,
                          LLVMValueRef *sums) {
    Emit *e = d->e;
    LLVMTypeRef element = element_type(d);
    LLVMValueRef at = LLVMBuildMul(e->b, k, tile->step, ""), columns[WIDE_VECTORS];
    for (int32_t c = 0; c < tile->shape.vectors; c++) {
        LLVMValueRef place = element_at(d, tile->columns, at, (int64_t)c * d->lanes);
        columns[c] = LLVMBuildLoad2(e->b, type_lanes(element, d->lanes), place, "");
        LLVMSetAlignment(columns[c], (unsigned)sn_dtype_size(d->dtype));
    }
    for (int32_t r = 0; r < tile->shape.height; r++) {
        LLVMValueRef place = element_at(d, rows, k, (int64_t)r * d->row);
        LLVMValueRef x = emit_splat(e, e->b, LLVMBuildLoad2(e->b, element, place, ""), d->lanes);
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
    LLVMTypeRef vector = type_lanes(element_type(d), d->lanes);
    LLVMValueRef phis[LANES_MOST];
    LLVMValueRef start = LLVMBuildMul(e->b, tile->row, const_i64(e, d->row), "");
    LLVMValueRef rows = element_at(d, d->rows, start, 0);
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
    LLVMTypeRef vector = type_lanes(element_type(d), d->lanes);
    LLVMBasicBlockRef first = emit_block(e), later = emit_block(e), end = emit_block(e);
    LLVMValueRef base = LLVMBuildMul(e->b, tile->row, const_i64(e, d->group), ""), at[LANES_MOST];
    base = LLVMBuildAdd(e->b, base, tile->column, "");
    for (int32_t i = 0; i < tile->count; i++)
        at[i] = element_at(d, d->sums, base,
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

/* ---- one run --------------------------------------------------------------------------------- */

/* Rows of one line that share columns [from, to). */
typedef struct Run {
    LLVMValueRef point; /* the first one's */
    LLVMValueRef place; /* in its line */
    LLVMValueRef rows;  /* how many */
    LLVMValueRef
        columns; /* elements from the beginning of the columns' argument to the first point's */
} Run;

/* A group of columns in a chunk of K. */
typedef struct Group {
    LLVMValueRef first, width; /* columns; fewer than a group has where there are no more */
    LLVMValueRef chunk, steps; /* of K */
    LLVMValueRef whole;        /* columns that fill panels */
    LLVMValueRef packed;       /* columns from here on are packed */
    LLVMValueRef is_first;     /* i1: no chunk came before */
} Group;

static KCoef column_step(const Driver *d) {
    return coef_of(d->e, d->plain, d->e->loops.loops[d->contract->columns].axis);
}
static KCoef k_step(const Driver *d) {
    return coef_of(d->e, d->plain, d->e->loops.loops[d->contract->inner].axis);
}

/* Where the columns' operand lies at the run's first point, so many columns into the group. */
static LLVMValueRef locate_columns(const Driver *d, const Run *run, const Group *group,
                                   LLVMValueRef column) {
    Emit *e = d->e;
    LLVMValueRef number = const_i64(e, d->plain->arg);
    LLVMValueRef base = LLVMGetParam(e->function, ARG_ARGS);
    base = LLVMBuildGEP2(e->b, e->ptr, base, &number, 1, "");
    base = LLVMBuildLoad2(e->b, e->ptr, base, "");
    column = LLVMBuildAdd(e->b, group->first, column, "");
    LLVMValueRef at = LLVMBuildAdd(e->b, run->columns, emit_coef(e, d->plain->offset), "");
    LLVMValueRef part = LLVMBuildMul(e->b, column, emit_coef(e, column_step(d)), "");
    at = LLVMBuildAdd(e->b, at, part, "");
    part = LLVMBuildMul(e->b, group->chunk, emit_coef(e, k_step(d)), "");
    at = LLVMBuildAdd(e->b, at, part, "");
    return LLVMBuildGEP2(e->b, element_type(d), base, &at, 1, "");
}

/* ---- packing columns ------------------------------------------------------------------------- */

/* Packs columns [from, to) of the group, steps [done, …) of the chunk. */
static void pack_columns(const Driver *d, const Run *run, const Group *group, LLVMValueRef from,
                         LLVMValueRef to, LLVMValueRef done) {
    Emit *e = d->e;
    LLVMValueRef at = LLVMBuildMul(e->b, done, const_i64(e, d->apart), "");
    at = element_at(d, d->columns, LLVMBuildAdd(e->b, at, from, ""), 0);
    LLVMBuildStore(e->b, at, own_arg(d, PART_COLUMNS));
    set_param(d, PART_COLUMNS, CONTRACT_FIRST_COLUMN, LLVMBuildAdd(e->b, group->first, from, ""));
    set_param(d, PART_COLUMNS, CONTRACT_COLUMNS, LLVMBuildSub(e->b, to, from, ""));
    set_param(d, PART_COLUMNS, CONTRACT_FIRST_K, LLVMBuildAdd(e->b, group->chunk, done, ""));
    set_param(d, PART_COLUMNS, CONTRACT_K, LLVMBuildSub(e->b, group->steps, done, ""));
    call_part(d, PART_COLUMNS, run->point, LLVMBuildAdd(e->b, run->point, const_i64(e, 1), ""));
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

/* A vector's columns from `column` on, as many steps of K from `k` on, which follow one another in
 * memory. */
static void pack_square(const Driver *d, LLVMValueRef from, LLVMValueRef column, LLVMValueRef k) {
    Emit *e = d->e;
    LLVMTypeRef vector = type_lanes(element_type(d), d->lanes);
    LLVMValueRef apart = emit_coef(e, column_step(d)), x[LANES_MOST];
    for (int32_t l = 0; l < d->lanes; l++) {
        LLVMValueRef at = LLVMBuildAdd(e->b, column, const_i64(e, l), "");
        at = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, at, apart, ""), k, "");
        x[l] = LLVMBuildLoad2(e->b, vector, element_at(d, from, at, 0), "");
        LLVMSetAlignment(x[l], (unsigned)sn_dtype_size(d->dtype));
    }
    transpose(d, x);
    LLVMValueRef to = LLVMBuildMul(e->b, k, const_i64(e, d->apart), "");
    to = LLVMBuildAdd(e->b, to, column, "");
    for (int32_t l = 0; l < d->lanes; l++)
        LLVMBuildStore(e->b, x[l], element_at(d, d->columns, to, (int64_t)l * d->apart));
}

/* Whole panels square by square, what is left of K and of columns behind them as any. */
static void pack_along(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0), from = locate_columns(d, run, group, none);
    LLVMValueRef squares = LLVMBuildAnd(e->b, group->steps, const_i64(e, -(int64_t)d->lanes), "");
    CountLoop columns = count_open(e, none, group->whole);
    CountLoop k = count_open(e, none, squares);
    pack_square(d, from, columns.i, k.i);
    count_close(e, &k, const_i64(e, d->lanes));
    count_close(e, &columns, const_i64(e, d->lanes));
    pack_columns(d, run, group, none, group->whole, squares);
    pack_columns(d, run, group, group->whole, group->width, none);
}

/* ---- a chunk --------------------------------------------------------------------------------- */

/* The tiles of some rows over columns [from, to) of the group. */
static void emit_across(const Driver *d, const Run *run, const Group *group, Tile *tile,
                        LLVMValueRef from, LLVMValueRef to) {
    Emit *e = d->e;
    CountLoop columns = count_open(e, from, to);
    tile->column = columns.i;
    tile->columns = element_at(d, d->columns, columns.i, 0);
    tile->step = const_i64(e, d->apart);
    if (d->across) {
        LLVMValueRef there = LLVMBuildICmp(e->b, LLVMIntSLT, columns.i, group->packed, "");
        LLVMValueRef place = locate_columns(d, run, group, columns.i);
        tile->columns = emit_select(e, there, place, tile->columns);
        tile->step = emit_select(e, there, emit_coef(e, k_step(d)), tile->step);
    }
    emit_chains(d, tile, group->steps);
    emit_sums(d, tile, group->is_first);
    count_close(e, &columns, const_i64(e, (int64_t)tile->shape.vectors * d->lanes));
}

static Tile tile_of(const Driver *d, int32_t which) {
    Tile tile = {.shape = shapes[d->e->target->isa][which]};
    tile.count = tile.shape.height * tile.shape.vectors;
    SN_ASSERT(tile.count <= LANES_MOST);
    return tile;
}

/* Tiles of one shape, from a row and a column on, while all their rows are there or, of low ones, some.
 * Returns the first row that is left. */
static LLVMValueRef emit_down(const Driver *d, const Run *run, const Group *group, int32_t which,
                              LLVMValueRef row, LLVMValueRef column) {
    Emit *e = d->e;
    Tile tile = tile_of(d, which);
    int32_t need = which == TILE_LOW ? 1 : tile.shape.height;
    LLVMValueRef end = LLVMBuildSub(e->b, run->rows, const_i64(e, need - 1), "");
    CountLoop rows = count_open(e, row, end);
    tile.row = rows.i;
    emit_across(d, run, group, &tile, column, group->width);
    count_close(e, &rows, const_i64(e, tile.shape.height));
    return rows.i;
}

/* All tiles of the group in this chunk: wide ones where there is one row, the others for what these leave. */
static void emit_tiles(const Driver *d, const Run *run, const Group *group) {
    Emit *e = d->e;
    Tile wide = tile_of(d, TILE_WIDE);
    LLVMValueRef row = const_i64(e, 0), none = const_i64(e, 0);
    int64_t width = (int64_t)wide.shape.vectors * d->lanes;
    LLVMValueRef one = LLVMBuildICmp(e->b, LLVMIntEQ, run->rows, const_i64(e, 1), "");
    LLVMValueRef column = LLVMBuildAnd(e->b, group->whole, const_i64(e, -width), "");
    column = emit_select(e, one, column, none);
    wide.row = row;
    emit_across(d, run, group, &wide, none, column);
    row = emit_down(d, run, group, TILE_TALL, row, column);
    emit_down(d, run, group, TILE_LOW, row, column);
}

/* Packs the group's columns. For few rows those are left where they lie that can be read there. */
static void pack_group(const Driver *d, const Run *run, Group *group) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0);
    group->whole = LLVMBuildAnd(e->b, group->width, const_i64(e, -(int64_t)d->panel), "");
    group->packed = none;
    if (d->along) {
        pack_along(d, run, group);
        return;
    }
    if (d->across) {
        LLVMValueRef few =
            LLVMBuildICmp(e->b, LLVMIntSLE, run->rows, const_i64(e, ROWS_DIRECT), "");
        group->packed = emit_select(e, few, group->whole, none);
    }
    pack_columns(d, run, group, group->packed, group->width, none);
}

static void emit_chunks(const Driver *d, const Run *run, Group *group) {
    Emit *e = d->e;
    const KLoop *inner = &e->loops.loops[d->contract->inner];
    LLVMValueRef size = emit_coef(e, e->kernel->axes.data[inner->axis].size);
    CountLoop chunks = count_open(e, const_i64(e, 0), size);
    group->chunk = chunks.i;
    group->steps = least(e, LLVMBuildSub(e->b, size, chunks.i, ""), const_i64(e, ORDER_CHAIN));
    set_param(d, PART_ROWS, CONTRACT_FIRST_K, group->chunk);
    set_param(d, PART_ROWS, CONTRACT_K, group->steps);
    set_own_arg(d, PART_ROWS, d->rows, run->place, d->row);
    call_part(d, PART_ROWS, run->point, LLVMBuildAdd(e->b, run->point, run->rows, ""));
    pack_group(d, run, group);
    group->is_first = LLVMBuildICmp(e->b, LLVMIntEQ, chunks.i, const_i64(e, 0), "");
    emit_tiles(d, run, group);
    count_close(e, &chunks, const_i64(e, ORDER_CHAIN));
}

/* Without steps of K the sums are +0. */
static void clear_sums(const Driver *d, const Run *run) {
    Emit *e = d->e;
    const KLoop *inner = &e->loops.loops[d->contract->inner];
    LLVMValueRef size = emit_coef(e, e->kernel->axes.data[inner->axis].size);
    LLVMValueRef all = LLVMBuildMul(e->b, run->rows, const_i64(e, d->group), "");
    LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, size, const_i64(e, 1), "");
    CountLoop loop = count_open(e, const_i64(e, 0), emit_select(e, none, all, const_i64(e, 0)));
    LLVMValueRef at = LLVMBuildGEP2(e->b, element_type(d), d->sums, &loop.i, 1, "");
    LLVMBuildStore(e->b, LLVMConstNull(element_type(d)), at);
    count_close(e, &loop, const_i64(e, 1));
}

static void emit_run(const Driver *d, const Run *run, LLVMValueRef first, LLVMValueRef end) {
    Emit *e = d->e;
    set_own_arg(d, PART_RESULTS, d->sums, run->place, d->group);
    CountLoop groups = count_open(e, first, end);
    LLVMValueRef width = least(e, LLVMBuildSub(e->b, end, groups.i, ""), const_i64(e, d->group));
    Group group = {.first = groups.i, .width = width};
    clear_sums(d, run);
    emit_chunks(d, run, &group);
    set_param(d, PART_RESULTS, CONTRACT_FIRST_COLUMN, groups.i);
    set_param(d, PART_RESULTS, CONTRACT_COLUMNS, width);
    call_part(d, PART_RESULTS, run->point, LLVMBuildAdd(e->b, run->point, run->rows, ""));
    count_close(e, &groups, const_i64(e, d->group));
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Grid points: the product of the grid's sizes. */
static LLVMValueRef count_points(Emit *e) {
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK));
    LLVMValueRef product = emit_alloca(e, e->i64, 1);
    LLVMBuildStore(e->b, const_i64(e, 1), product);
    CountLoop loop = count_open(e, const_i64(e, 0), rank);
    LLVMValueRef size =
        emit_word(e, e->b, LLVMBuildAdd(e->b, loop.i, const_i64(e, KPARAM_SIZES), ""));
    LLVMValueRef before = LLVMBuildLoad2(e->b, e->i64, product, "");
    LLVMBuildStore(e->b, LLVMBuildMul(e->b, before, size, ""), product);
    count_close(e, &loop, const_i64(e, 1));
    return LLVMBuildLoad2(e->b, e->i64, product, "");
}

/* Does an argument that a part reads move along a line, or does it use grid indices? Then rows do not share
 * its packed columns. */
static LLVMValueRef find_most_rows(const Driver *d, const Kernel *columns) {
    Emit *e = d->e;
    LLVMValueRef moves = LLVMConstInt(e->i1, 0, false);
    for (uint32_t i = 0; i < columns->insts.count; i++) {
        const KInst *inst = kernel_inst(columns, i);
        if (kop_is(inst->op, KFORM_GRID)) return const_i64(e, 1);
        if (!kop_is(inst->op, KFORM_LOAD)) continue;
        uint32_t arg = kernel_access(columns, inst->imm)->arg;
        LLVMValueRef stride = emit_word(e, e->b, emit_stride_word(e, e->b, d->innermost, arg));
        LLVMValueRef here = LLVMBuildICmp(e->b, LLVMIntNE, stride, const_i64(e, 0), "");
        moves = LLVMBuildOr(e->b, moves, here, "");
    }
    return emit_select(e, moves, const_i64(e, 1), const_i64(e, ROWS_MOST));
}

/* Elements from an argument's beginning to the point. */
static LLVMValueRef offset_at(const Driver *d, uint32_t arg, LLVMValueRef point) {
    Emit *e = d->e;
    LLVMValueRef left = emit_alloca(e, e->i64, 1), sum = emit_alloca(e, e->i64, 1);
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK));
    LLVMBuildStore(e->b, point, left);
    LLVMBuildStore(e->b, const_i64(e, 0), sum);
    CountLoop loop = count_open(e, const_i64(e, 0), rank);
    LLVMValueRef dim =
        LLVMBuildSub(e->b, LLVMBuildSub(e->b, rank, loop.i, ""), const_i64(e, 1), "");
    LLVMValueRef size = emit_word(e, e->b, LLVMBuildAdd(e->b, dim, const_i64(e, KPARAM_SIZES), ""));
    LLVMValueRef stride = emit_word(e, e->b, emit_stride_word(e, e->b, dim, arg));
    LLVMValueRef rest = LLVMBuildLoad2(e->b, e->i64, left, "");
    LLVMValueRef part = LLVMBuildMul(e->b, LLVMBuildURem(e->b, rest, size, ""), stride, "");
    LLVMBuildStore(e->b, LLVMBuildUDiv(e->b, rest, size, ""), left);
    LLVMBuildStore(e->b, LLVMBuildAdd(e->b, LLVMBuildLoad2(e->b, e->i64, sum, ""), part, ""), sum);
    count_close(e, &loop, const_i64(e, 1));
    return LLVMBuildLoad2(e->b, e->i64, sum, "");
}

static void emit_runs(const Driver *d) {
    Emit *e = d->e;
    const KLoop *loop = &e->loops.loops[d->contract->columns];
    const KAxis *axis = &e->kernel->axes.data[loop->axis];
    LLVMValueRef all = emit_coef(e, axis->size);
    LLVMValueRef last = LLVMGetParam(e->function, ARG_END);
    CountLoop items = count_open(e, LLVMGetParam(e->function, ARG_BEGIN), last);
    LLVMValueRef left = LLVMBuildSub(e->b, last, items.i, "");
    LLVMValueRef block = LLVMBuildUDiv(e->b, items.i, d->points, "");
    Run run = {.point = LLVMBuildURem(e->b, items.i, d->points, "")};
    run.place = LLVMBuildURem(e->b, run.point, d->line, "");
    run.rows = least(e, least(e, left, LLVMBuildSub(e->b, d->line, run.place, "")), d->most);
    LLVMValueRef first = const_i64(e, 0), end = all;
    if (axis->split) {
        LLVMValueRef size = emit_word(e, e->b, const_i64(e, KPARAM_BLOCK_SIZE));
        first = least(e, LLVMBuildMul(e->b, block, size, ""), all);
        end = least(e, LLVMBuildAdd(e->b, first, size, ""), all);
    }
    if (d->across || d->along) run.columns = offset_at(d, d->plain->arg, run.point);
    emit_run(d, &run, first, end);
    count_close(e, &items, run.rows);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The part as a function of the same module, which nobody outside sees. What is packed stays in the
 * caches. */
static LLVMValueRef emit_function(const Emit *e, const Kernel *kernel, int32_t part,
                                  const char *name) {
    static const Schedule packing = {0};
    Emit own = {.kernel = kernel,
                .target = e->target,
                .schedule = part == PART_RESULTS ? e->schedule : &packing,
                .error = e->error,
                .context = e->context,
                .module = e->module,
                .b = LLVMCreateBuilderInContext(e->context),
                .entry = LLVMCreateBuilderInContext(e->context),
                .side = LLVMCreateBuilderInContext(e->context)};
    sn_status status = emit_open(&own);
    if (status == SN_OK) status = emit_kernel(&own, name);
    LLVMDisposeBuilder(own.b);
    LLVMDisposeBuilder(own.entry);
    LLVMDisposeBuilder(own.side);
    arena_free(&own.arena);
    if (status != SN_OK) return NULL;
    LLVMSetLinkage(own.function, LLVMInternalLinkage);
    return own.function;
}

/* Where packed columns, sums and packed rows lie in scratch memory, as kchain_scratch_bytes has it. */
static void place_memory(Driver *d) {
    Emit *e = d->e;
    int32_t size = (int32_t)sn_dtype_size(d->dtype);
    SN_ASSERT(d->apart * size <= KCHAIN_STEP_BYTES && d->group * size <= KCHAIN_SUM_BYTES);
    SN_ASSERT(d->row * size <= KCHAIN_ROW_BYTES);
    const KLoop *inner = &e->loops.loops[d->contract->inner];
    LLVMValueRef steps = emit_coef(e, e->kernel->axes.data[inner->axis].size);
    steps = least(e, steps, const_i64(e, ORDER_CHAIN));
    LLVMValueRef rows = least(e, d->points, const_i64(e, ROWS_MOST));
    rows = LLVMBuildAdd(e->b, rows, const_i64(e, KCHAIN_TILE - 1), "");
    rows = LLVMBuildAnd(e->b, rows, const_i64(e, -KCHAIN_TILE), "");
    LLVMValueRef bytes = LLVMBuildMul(e->b, steps, const_i64(e, KCHAIN_STEP_BYTES), "");
    d->columns = LLVMGetParam(e->function, ARG_SCRATCH);
    d->sums = LLVMBuildGEP2(e->b, e->i8, d->columns, &bytes, 1, "");
    bytes = LLVMBuildMul(e->b, rows, const_i64(e, KCHAIN_SUM_BYTES), "");
    d->rows = LLVMBuildGEP2(e->b, e->i8, d->sums, &bytes, 1, "");
}

static sn_status make_parts(Driver *d, const char *name, Kernel *kernels) {
    static const char *const suffixes[CONTRACT_PARTS] = {"rows", "columns", "results"};
    for (int32_t part = 0; part < CONTRACT_PARTS; part++) {
        char text[96];
        snprintf(text, sizeof text, "%s_%s", name, suffixes[part]);
        sn_status status = contract_part(d->e, d->contract, (ContractPart)part, &kernels[part]);
        if (status != SN_OK) return status;
        d->parts[part].function = emit_function(d->e, &kernels[part], part, text);
        if (!d->parts[part].function) return d->e->error->status;
    }
    return SN_OK;
}

static void emit_driver(Driver *d, const Kernel *columns) {
    Emit *e = d->e;
    d->innermost = emit_innermost_dim(e);
    LLVMValueRef word = LLVMBuildAdd(e->b, d->innermost, const_i64(e, KPARAM_SIZES), "");
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK)), one = const_i64(e, 1);
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, rank, const_i64(e, 0), "");
    d->line = emit_select(e, some, emit_word(e, e->b, word), one);
    d->points = count_points(e);
    d->most = find_most_rows(d, columns);
    place_memory(d);
    prepare_part(d, PART_ROWS, d->row);
    prepare_part(d, PART_COLUMNS, 0);
    prepare_part(d, PART_RESULTS, d->group);
    set_param(d, PART_COLUMNS, CONTRACT_WIDTH, const_i64(e, d->apart));
    emit_runs(d);
}

sn_status emit_contract(Emit *e, const Contract *contract, const char *name) {
    Driver d = {.e = e, .contract = contract};
    d.dtype = (sn_dtype)kernel_inst(e->kernel, contract->chain)->dtype;
    d.plain = find_plain(e, contract);
    d.across = d.plain && kcoef_is(column_step(&d), 1);
    d.along = d.plain && !d.across && kcoef_is(k_step(&d), 1);
    int32_t size = (int32_t)sn_dtype_size(d.dtype);
    d.lanes = e->target->vector_bits / 8 / size;
    d.panel = PANEL_VECTORS * d.lanes;
    d.group = GROUP_PANELS * d.panel;
    d.row = ORDER_CHAIN + ROW_GAP / size;
    d.apart = d.group + ROW_GAP / size;
    Kernel kernels[CONTRACT_PARTS];
    for (int32_t part = 0; part < CONTRACT_PARTS; part++) kernel_init(&kernels[part]);
    sn_status status = make_parts(&d, name, kernels);
    if (status == SN_OK) {
        LLVMBasicBlockRef start = function_open(e, name);
        emit_driver(&d, &kernels[PART_COLUMNS]);
        function_close(e, start);
        status = e->status;
    }
    for (int32_t part = 0; part < CONTRACT_PARTS; part++) kernel_free(&kernels[part]);
    return status == SN_ERROR_MEMORY ? error_memory(e->error) : status;
}
