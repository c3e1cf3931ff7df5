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
    ITEMS_PER_THREAD = 4    /* so that threads end together */
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

/* The same of a chain: as many blocks as there are too few rows for. */
static int64_t chain_block(int64_t points, int64_t b_size, int32_t threads) {
    int64_t units = (points + KCHAIN_ROWS - 1) / KCHAIN_ROWS;
    int64_t wanted = threads > 1 ? (int64_t)threads * CHAIN_UNITS : 1;
    int64_t blocks = units < 1 || units >= wanted ? 1 : (wanted + units - 1) / units;
    int64_t size = round_up((b_size + blocks - 1) / blocks, CHAIN_BLOCK);
    return size < b_size ? size : b_size;
}

/* Elements of B in one item. */
static int64_t block_size(const Launch *launch, int64_t points, int64_t b_size, int32_t threads) {
    if (launch->b_param < 0) return 1;
    if (launch->chains) return chain_block(points, b_size, threads);
    if (!launch->is_column) return b_size <= BLOCK_ELEMENTS ? b_size : BLOCK_ELEMENTS;
    int64_t wanted = (int64_t)threads * ITEMS_PER_THREAD;
    if (points < 1) points = 1;
    int64_t blocks = points >= wanted ? 1 : (wanted + points - 1) / points;
    int64_t size = round_up((b_size + blocks - 1) / blocks, 64);
    if (size < COLUMN_BLOCK) size = COLUMN_BLOCK;
    return size < b_size ? size : b_size;
}

static void cut_launch(Fit *f, const Launch *launch) {
    SN_ASSERT(launch->params < f->program->numbers.count);
    SN_ASSERT(launch->b_param < (int32_t)launch->n_params);
    int64_t *words = f->numbers + launch->params;
    SN_ASSERT(words[KPARAM_RANK] >= 0 && words[KPARAM_RANK] <= SN_MAX_RANK);
    int64_t b_size = launch->b_param < 0 ? 1 : words[launch->b_param], points = 1;
    for (int64_t i = 0; i < words[KPARAM_RANK]; i++)
        points = times(f, points, words[KPARAM_SIZES + i]);
    int64_t block = block_size(launch, points, b_size, f->program->threads);
    int64_t blocks = 1;
    if (launch->b_param >= 0) blocks = block < 1 ? 0 : (b_size + block - 1) / block;
    words[KPARAM_BLOCKS] = blocks;
    words[KPARAM_BLOCK_SIZE] = block;
    f->numbers[launch->items] = times(f, points, blocks);
    int64_t unit = points < KCHAIN_ROWS ? points : KCHAIN_ROWS;
    f->numbers[launch->unit] = launch->chains && unit > 1 ? unit : 1;
}

static int64_t scratch_of(Fit *f, const Launch *launch) {
    int64_t bytes = 0, elements = program_number(f->program, f->numbers, launch->k);
    for (uint32_t i = 0; i < launch->locals.count; i++) {
        f->too_large |= elements > SIZE_MOST / 2; /* of fewer the bytes are a number, padded too */
        if (f->too_large) return 0;
        bytes = plus(f, bytes, kernel_local_bytes((sn_dtype)launch->locals.data[i], elements));
    }
    if (!launch->chains) return bytes;
    const int64_t *words = f->numbers + launch->params;
    int64_t points = f->numbers[launch->items] / (words[KPARAM_BLOCKS] ? words[KPARAM_BLOCKS] : 1);
    return plus(f, bytes, kchain_scratch_bytes(points, elements));
}

static void cut_launches(Fit *f) {
    const Program *program = f->program;
    int64_t *numbers = f->numbers, most = 0;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = program_step(program, i);
        SN_ASSERT(step->costs + STEP_COSTS <= program->numbers.count);
        const int64_t *costs = numbers + step->costs;
        if (step->kind != STEP_KERNEL) continue;
        cut_launch(f, &step->launch);
        /* Beyond the cache, a store that first fetches its line moves twice the bytes. */
        numbers[step->launch.streams] = step->launch.may_stream && costs[COST_BYTES_STORED] > 0 &&
                                        costs[COST_BYTES] > program->cache_bytes;
        int64_t scratch = scratch_of(f, &step->launch);
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

/* The temporaries in the order of their buffers; how many there are. */
static uint32_t list_temporaries(Fit *f, Temporary *temps) {
    uint32_t count = 0;
    int64_t all = 0; /* where the sum is a number, so is every place */
    for (uint32_t i = 0; i < f->program->buffers.count; i++) {
        const Buffer *buffer = &f->program->buffers.data[i];
        if (buffer->kind != BUFFER_TEMP) continue;
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
