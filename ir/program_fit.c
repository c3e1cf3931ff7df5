/* A program is fitted to its sizes: how a launch is cut into items, which stores bypass the caches, where
 * temporaries lie. None of it can change bits; see program.h. Sizes of a binding may be
 * such that a product or a sum of them is no number any more: those are refused. */
#include "base/assert.h"
#include "base/status.h"
#include "ir/op/dtype.h"
#include "ir/program.h"

#include <stdlib.h>

enum {
    BUFFER_ALIGN = 64,
    BLOCK_ELEMENTS = 16384, /* of a map: an item is then some 10 µs */
    COLUMN_BLOCK = 256,     /* least columns of an item: a row of it fills whole cache lines */
    CHAIN_BLOCK = 64,       /* the same where an item holds a chain: two tiles and more */
    CHAIN_UNITS = 8,        /* pieces for each thread, of columns where rows are few */
    CHAIN_ROWS_PACKED = 48, /* rows for each thread that are not few, where they are packed … */
    CHAIN_ROWS_PLAIN = 96,  /* … and where they are memory as it is */
    ITEMS_PER_THREAD = 4,   /* so that threads end together */
    TAP_BLOCK = 64,         /* columns of windows: blocks are multiples */
    TAP_BYTES = 1 << 14,    /* that the taps of a block have */
    TILE_ROWS = 12,   /* rows of a tile of a product: tilings take a multiple, or all of a line */
    TILING_WORTH = 2, /* bytes read again that are worth one which is not handed on in memory … */
    TILING_WORTH_BEYOND = 16, /* … and where that would be beyond the caches */
    TILING_LEAST = 1 << 12    /* bytes that are handed on from which on a tiling pays */
};

/* One fitting. */
typedef struct Fit {
    const Program *program; /* whose they are */
    int64_t *numbers;       /* filled in */
    bool too_large;         /* some product or sum overflowed: what was made of it is worthless */
} Fit;

static int64_t times(Fit *f, int64_t a, int64_t b) {
    int64_t product;
    f->too_large |= __builtin_mul_overflow(a, b, &product);
    return product;
}

static int64_t plus(Fit *f, int64_t a, int64_t b) {
    int64_t sum;
    f->too_large |= __builtin_add_overflow(a, b, &sum);
    return sum;
}

/* ---- launches -------------------------------------------------------------------------------- */

static int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/* Rows for each thread that are not few. */
static int64_t rows_fair(const Launch *launch) {
    return launch->packs_rows ? CHAIN_ROWS_PACKED : CHAIN_ROWS_PLAIN;
}

/* The same of a chain: as many blocks as there are too few rows for. Rows that are packed would be packed for
 * each block again. */
static int64_t chain_block(const Launch *launch, int64_t points, int64_t b_size, int32_t threads) {
    int64_t units = (points + KCHAIN_ROWS - 1) / KCHAIN_ROWS;
    int64_t wanted = threads > 1 ? (int64_t)threads * CHAIN_UNITS : 1;
    if (points >= threads * rows_fair(launch)) return b_size;
    int64_t blocks = units < 1 || units >= wanted ? 1 : (wanted + units - 1) / units;
    int64_t size = round_up((b_size + blocks - 1) / blocks, CHAIN_BLOCK);
    return size < b_size ? size : b_size;
}

/* Rows of a chain that a thread takes at a time: as many as share columns, in parts of one size, of which
 * each thread gets as many as the others. */
static int64_t chain_unit(const Launch *launch, int64_t points, int64_t blocks, int32_t threads) {
    int64_t units = (points + KCHAIN_ROWS - 1) / KCHAIN_ROWS;
    if (blocks == 1 && (units > 1 || points >= threads * rows_fair(launch)))
        units = round_up(units, threads);
    int64_t unit = round_up((points + units - 1) / units, KCHAIN_TILE);
    return unit < points ? unit : points;
}

/* The same where each column has weights of its own for each tap: those of a block stay in the first cache
 * while all points go by. */
static int64_t tap_block(const Fit *f, const Launch *launch, int64_t b_size) {
    int64_t taps = program_number(f->program, f->numbers, launch->k);
    int64_t most = TAP_BYTES / (int64_t)sizeof(float) / (taps < 1 ? 1 : taps);
    if (b_size <= most + most / 2) return b_size;
    return most < TAP_BLOCK ? TAP_BLOCK : most / TAP_BLOCK * TAP_BLOCK;
}

/* Elements of B in one item. */
static int64_t block_size(const Fit *f, const Launch *launch, int64_t points, int64_t b_size,
                          int32_t threads) {
    if (launch->b_param < 0) return 1;
    if (launch->tables) return tap_block(f, launch, b_size);
    if (launch->chain_size) return chain_block(launch, points, b_size, threads);
    if (!launch->is_column) return b_size <= BLOCK_ELEMENTS ? b_size : BLOCK_ELEMENTS;
    int64_t wanted = (int64_t)threads * ITEMS_PER_THREAD;
    if (points < 1) points = 1;
    int64_t blocks = points >= wanted ? 1 : (wanted + points - 1) / points;
    int64_t size = round_up((b_size + blocks - 1) / blocks, 64);
    if (size < COLUMN_BLOCK) size = COLUMN_BLOCK;
    return size < b_size ? size : b_size;
}

/* `whole`: an item has all of B. */
static void cut_launch(Fit *f, const Launch *launch, bool whole) {
    SN_ASSERT(launch->params < f->program->numbers.count);
    SN_ASSERT(launch->b_param < (int32_t)launch->n_params);
    int64_t *words = f->numbers + launch->params;
    SN_ASSERT(words[KPARAM_RANK] >= 0 && words[KPARAM_RANK] <= SN_MAX_RANK);
    int64_t b_size = launch->b_param < 0 ? 1 : words[launch->b_param], points = 1;
    for (int64_t i = 0; i < words[KPARAM_RANK]; i++)
        points = times(f, points, words[KPARAM_SIZES + i]);
    int64_t block = whole ? b_size : block_size(f, launch, points, b_size, f->program->threads);
    int64_t blocks = 1;
    if (launch->b_param >= 0) blocks = block < 1 ? 0 : (b_size + block - 1) / block;
    words[KPARAM_BLOCKS] = blocks;
    words[KPARAM_BLOCK_SIZE] = block;
    f->numbers[launch->items] = times(f, points, blocks);
    f->numbers[launch->unit] = launch->chain_size && points > 1
                                   ? chain_unit(launch, points, blocks, f->program->threads)
                                   : 1;
}

/* Scratch bytes of a call of so many items at most. */
static int64_t scratch_of(Fit *f, const Launch *launch, int64_t items) {
    int64_t bytes = 0, elements = program_number(f->program, f->numbers, launch->k);
    for (uint32_t i = 0; i < launch->locals.count; i++) {
        f->too_large |= elements > SIZE_MOST / 2; /* of fewer the bytes are a number, padded too */
        if (f->too_large) return 0;
        bytes = plus(f, bytes, kernel_local_bytes((sn_dtype)launch->locals.data[i], elements));
    }
    if (!launch->chain_size) return bytes;
    const int64_t *words = f->numbers + launch->params;
    int64_t columns = launch->b_param < 0 ? 1 : words[launch->b_param];
    int64_t wide = times(f, columns, launch->chain_size);
    return plus(f, bytes, kchain_scratch_bytes(items, elements, f->too_large ? 0 : wide));
}

/* ---- tilings --------------------------------------------------------------------------------- */

/* Bytes of a tiling's buffers for so many rows; each is given its place, where that is wanted. */
static int64_t place_rows(Fit *f, uint32_t tiling, int64_t rows, bool places) {
    int64_t bytes = 0;
    for (uint32_t i = 0; i < f->program->buffers.count; i++) {
        const Buffer *buffer = &f->program->buffers.data[i];
        if (buffer->tiling != tiling + 1) continue;
        if (places) f->numbers[buffer->offset] = bytes;
        int64_t row =
            times(f, f->numbers[buffer->row], (int64_t)sn_dtype_size((sn_dtype)buffer->dtype));
        bytes = round_up(plus(f, bytes, times(f, rows, row)), BUFFER_ALIGN);
    }
    return bytes;
}

/* Rows in a row that share the product's columns: those of the innermost dimension of its grid. */
static int64_t line_of(const Fit *f, const Launch *launch, int64_t points) {
    const int64_t *words = f->numbers + launch->params;
    int64_t rank = words[KPARAM_RANK];
    return rank > 1 ? words[KPARAM_SIZES + rank - 1] : points;
}

/* Rows of a tile, of which a line has whole ones and a rest. */
static int64_t rows_of_tile(int64_t most, int64_t line) {
    most = most < KCHAIN_ROWS ? most : KCHAIN_ROWS;
    if (most < TILE_ROWS) most = TILE_ROWS;
    if (most >= line) return line;
    int64_t tiles = (line + most - 1) / most;
    int64_t rows = round_up((line + tiles - 1) / tiles, TILE_ROWS);
    return rows < line ? rows : line;
}

/* Bytes that tiles of so many rows read again, where a product by itself has them in its cache: what is the
 * same for a line in all of its tiles but the first, what is the same for all rows in all tiles but one. */
static int64_t reads_again(Fit *f, const RowTiling *t, int64_t rows, int64_t points, int64_t line) {
    int64_t in_line = (line + rows - 1) / rows, tiles = times(f, points / line, in_line);
    return plus(f, times(f, f->numbers[t->moving], in_line - 1),
                times(f, f->numbers[t->still], tiles - 1));
}

/* Chooses the tiling's rows; 0 where rows are too few for all threads, or there is little to hand on. */
static void fit_tiling(Fit *f, uint32_t number) {
    const RowTiling *t = &f->program->tilings.data[number];
    const Launch *launch = &program_step(f->program, t->product)->launch;
    const int64_t *words = f->numbers + launch->params;
    int64_t points = 1, threads = f->program->threads;
    for (int64_t i = 0; i < words[KPARAM_RANK]; i++)
        points = times(f, points, words[KPARAM_SIZES + i]);
    f->numbers[t->rows] = f->numbers[t->line] = f->numbers[t->bytes] = 0;
    int64_t row = place_rows(f, number, 1, false), saved = place_rows(f, number, points, false);
    if (f->too_large || points < 2 * TILE_ROWS * threads || saved < TILING_LEAST) return;
    int64_t line = line_of(f, launch, points), most = f->program->tile_bytes / (row < 1 ? 1 : row);
    int64_t shares = threads > 1 ? threads * ITEMS_PER_THREAD : 1;
    int64_t fair = (points + shares - 1) / shares;
    int64_t rows = rows_of_tile(most < fair ? most : fair, line);
    int64_t worth = saved > f->program->cache_bytes ? TILING_WORTH_BEYOND : TILING_WORTH;
    if (reads_again(f, t, rows, points, line) > times(f, saved, worth)) return;
    f->numbers[t->line] = line;
    f->numbers[t->rows] = rows;
    f->numbers[t->bytes] = place_rows(f, number, f->numbers[t->rows], true);
}

const RowTiling *program_tiling(const Program *program, const int64_t *numbers, uint32_t step) {
    for (uint32_t i = 0; i < program->tilings.count; i++) {
        const RowTiling *t = &program->tilings.data[i];
        if (t->first <= step && step <= t->last && numbers[t->rows] > 0) return t;
    }
    return NULL;
}

static bool lies_in_tile(const Program *program, const int64_t *numbers, const Buffer *buffer) {
    return buffer->tiling && numbers[program->tilings.data[buffer->tiling - 1].rows] > 0;
}

int64_t program_step_bytes(const Program *program, const int64_t *numbers, uint32_t step,
                           StepCost cost) {
    const Launch *launch = &program_step(program, step)->launch;
    int64_t bytes = numbers[program_step(program, step)->costs + cost];
    if (!program_tiling(program, numbers, step)) return bytes;
    for (uint32_t i = 0; i < launch->args.count; i++) {
        if (launch->args.data[i].buffer == UINT32_MAX) continue;
        const Buffer *buffer = program_buffer(program, launch->args.data[i].buffer);
        bool reads = karg_is_input(&program_kernel(program, launch)->args.data[i]);
        if (!lies_in_tile(program, numbers, buffer) || (reads && cost == COST_BYTES_STORED))
            continue;
        bytes -= numbers[buffer->elements] * (int64_t)sn_dtype_size((sn_dtype)buffer->dtype);
    }
    return bytes < 0 ? 0 : bytes;
}

/* ---- all launches ---------------------------------------------------------------------------- */

static void cut_launches(Fit *f) {
    const Program *program = f->program;
    int64_t *numbers = f->numbers, most = 0;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = program_step(program, i);
        SN_ASSERT(step->costs + STEP_COSTS <= program->numbers.count);
        const int64_t *costs = numbers + step->costs;
        const RowTiling *tiling = program_tiling(program, numbers, i);
        cut_launch(f, &step->launch, tiling != NULL);
        /* Beyond the cache, a store that first fetches its line moves twice the bytes. */
        numbers[step->launch.streams] = step->launch.may_stream && costs[COST_BYTES_STORED] > 0 &&
                                        costs[COST_BYTES] > program->cache_bytes && !tiling;
        int64_t items = tiling ? numbers[tiling->rows] : numbers[step->launch.items];
        int64_t scratch = scratch_of(f, &step->launch, items);
        if (tiling) scratch = plus(f, scratch, numbers[tiling->bytes]);
        if (scratch > most) most = scratch;
    }
    numbers[PROGRAM_SCRATCH_BYTES] = most;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int64_t buffer_bytes(Fit *f, const Buffer *buffer) {
    int64_t elements = program_number(f->program, f->numbers, buffer->elements);
    SN_ASSERT(elements >= 0 && buffer->dtype < SN_DTYPE_COUNT);
    return times(f, elements, (int64_t)sn_dtype_size((sn_dtype)buffer->dtype));
}

/* The same with room behind it, up to a multiple of the alignment. */
static int64_t room_of(Fit *f, const Buffer *buffer) {
    return plus(f, buffer_bytes(f, buffer), BUFFER_ALIGN) & -(int64_t)BUFFER_ALIGN;
}

/* A temporary with its place in the block; `first` and `last` are steps. */
typedef struct Temporary {
    int64_t offset; /* first byte */
    int64_t end;    /* byte past its last */
    int32_t first;  /* step that writes it */
    int32_t last;   /* step that reads it last */
    uint32_t buffer;
} Temporary;

/* Larger ones first, then in the order of their buffers. */
static int by_size(const void *a, const void *b) {
    const Temporary *x = a, *y = b;
    int64_t x_bytes = x->end - x->offset, y_bytes = y->end - y->offset;
    if (x_bytes != y_bytes) return x_bytes > y_bytes ? -1 : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

/* Puts the temporary at the lowest place that is free for as long as it lives. `placed` ascend by offset;
 * it joins them. */
static void place(Temporary *placed, uint32_t count, Temporary *one) {
    int64_t size = one->end - one->offset, offset = 0;
    SN_ASSERT(size > 0 && size % BUFFER_ALIGN == 0);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count && placed[i].offset < offset + size; i++)
        if (placed[i].first <= one->last && one->first <= placed[i].last && placed[i].end > offset)
            offset = placed[i].end;
    one->offset = offset;
    one->end = offset + size;
    for (at = count; at > 0 && placed[at - 1].offset > offset; at--) placed[at] = placed[at - 1];
    placed[at] = *one;
}

/* The temporaries that lie in memory, in the order of their buffers; how many there are. */
static uint32_t list_temporaries(Fit *f, Temporary *temps) {
    uint32_t count = 0;
    int64_t all = 0; /* where the sum is a number, so is every place */
    for (uint32_t i = 0; i < f->program->buffers.count; i++) {
        const Buffer *buffer = &f->program->buffers.data[i];
        if (buffer->kind != BUFFER_TEMP || lies_in_tile(f->program, f->numbers, buffer)) continue;
        SN_ASSERT(buffer->first_step <= buffer->last_step);
        int64_t bytes = room_of(f, buffer);
        all = plus(f, all, bytes);
        temps[count++] = (Temporary){0, bytes, buffer->first_step, buffer->last_step, i};
    }
    return count;
}

/* Shares one block among the temporaries by lifetime, larger ones first. */
static sn_status place_temporaries(Fit *f, sn_error *error) {
    uint32_t total = f->program->buffers.count;
    int64_t *numbers = f->numbers;
    Temporary *temps = mem_alloc(sizeof *temps * 2 * (total + 1)), *placed = temps + total + 1;
    if (!temps) return error_memory(error);
    uint32_t count = list_temporaries(f, temps);
    qsort(temps, count, sizeof *temps, by_size);
    numbers[PROGRAM_TEMP_BYTES] = 0;
    for (uint32_t i = 0; i < count && !f->too_large; i++) {
        place(placed, i, &temps[i]);
        numbers[f->program->buffers.data[temps[i].buffer].offset] = temps[i].offset;
        if (temps[i].end > numbers[PROGRAM_TEMP_BYTES]) numbers[PROGRAM_TEMP_BYTES] = temps[i].end;
    }
    mem_free(temps);
    return SN_OK;
}

static void find_peak(Fit *f) {
    int64_t peak = f->numbers[PROGRAM_TEMP_BYTES];
    for (uint32_t i = 0; i < f->program->buffers.count; i++)
        if (f->program->buffers.data[i].kind == BUFFER_OUTPUT)
            peak = plus(f, peak, buffer_bytes(f, &f->program->buffers.data[i]));
    f->numbers[PROGRAM_PEAK_BYTES] = peak;
}

sn_status program_fit(const Program *program, int64_t *numbers, sn_error *error) {
    Fit f = {program, numbers, false};
    for (uint32_t i = 0; i < program->tilings.count; i++) fit_tiling(&f, i);
    cut_launches(&f);
    sn_status status = place_temporaries(&f, error);
    if (status != SN_OK) return status;
    find_peak(&f);
    return f.too_large ? error_set(error, SN_ERROR_MEMORY, "values between the ops are too large")
                       : SN_OK;
}

sn_status program_bind(const Program *program, const int64_t *values, const uint64_t *scalars,
                       int64_t *numbers, sn_error *error) {
    memcpy(numbers, program->numbers.data, sizeof *numbers * program->numbers.count);
    for (uint32_t i = 0; i < program->sizes.count; i++) {
        const ProgramSize *s = &program->sizes.data[i];
        SN_ASSERT(s->place < program->numbers.count);
        numbers[s->place] = program_size_word((sn_dtype)s->dtype, dim_value(values, s->dim));
    }
    for (uint32_t i = 0; i < program->scalars.count; i++) {
        const ProgramScalar *s = &program->scalars.data[i];
        SN_ASSERT(s->place < program->numbers.count && scalars);
        sn_dtype dtype = (sn_dtype)s->dtype;
        uint64_t bits = scalars[s->scalar];
        if (s->real) bits = dtype_bits_cast(dtype, SN_F64, bits);
        if (dtype_is_half(dtype)) bits = dtype_bits_cast(SN_F32, dtype, bits);
        numbers[s->place] = (int64_t)bits;
    }
    return program_fit(program, numbers, error);
}
