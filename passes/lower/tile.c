/* tile: finds steps that may run tile by tile: a thread takes some rows through all of them before it takes
 * others, so that what they hand on (the scores of an attention, and what a softmax makes of them) need not
 * lie in memory as a whole. All have one number of rows, and hand on row by row. Whether a tiling is in force
 * is chosen with the sizes (ir/program_fit.c). */
#include "passes/pass.h"

#include "base/assert.h"
#include "base/status.h"

/* Tilings being found. */
typedef struct Tiler {
    PassContext *context; /* the pipeline's */
    Program *program;     /* its steps, whose buffers are marked */
} Tiler;

static const StepRows *rows_of(const Tiler *t, uint32_t step) {
    SN_ASSERT(step < t->context->rows.count);
    return &t->context->rows.data[step];
}

static const RowArg *arg_of(const Tiler *t, const StepRows *rows, uint32_t i) {
    SN_ASSERT(i < rows->count);
    return &t->context->row_args.data[rows->first + i];
}

/* ---- which steps ----------------------------------------------------------------------------- */

/* May the step come behind those from `first` on, as what it touches is concerned? `linked`: it reads rows
 * that one of them wrote. */
static bool keeps_rows(const Tiler *t, uint32_t first, uint32_t step, bool *linked) {
    const StepRows *own = rows_of(t, step);
    for (uint32_t i = 0; i < own->count; i++) {
        const RowArg *mine = arg_of(t, own, i);
        for (uint32_t s = first; s < step; s++) {
            const StepRows *rows = rows_of(t, s);
            for (uint32_t j = 0; j < rows->count; j++) {
                const RowArg *other = arg_of(t, rows, j);
                if (other->buffer != mine->buffer || !(other->written || mine->written)) continue;
                if (!mine->by_row || !other->by_row || !dim_same(mine->row, other->row))
                    return false;
                *linked = *linked || other->written;
            }
        }
    }
    return true;
}

/* The last step of the tiling that begins with `first`: that step where there is none. */
static uint32_t find_last(const Tiler *t, uint32_t first) {
    uint32_t args = rows_of(t, first)->count + 1, last = first;
    if (rows_of(t, first)->alone) return first;
    for (uint32_t i = first + 1; i < t->context->rows.count && i - first < TILING_STEPS; i++) {
        const StepRows *rows = rows_of(t, i);
        bool linked = false;
        args += rows->count + 1;
        if (rows->alone || args > TILING_ARGS || !dim_same(rows->points, rows_of(t, first)->points))
            break;
        if (!keeps_rows(t, first, i, &linked) || !linked) break;
        last = i;
    }
    return last;
}

/* ---- what they hand on ----------------------------------------------------------------------- */

/* Is it written by one of the steps, and looked at by no other? */
static bool is_handed_on(const Tiler *t, const RowTiling *tiling, const RowArg *arg) {
    const Buffer *buffer = program_buffer(t->program, arg->buffer);
    return arg->written && arg->by_row && buffer->kind == BUFFER_TEMP &&
           buffer->first_step >= (int32_t)tiling->first &&
           buffer->last_step <= (int32_t)tiling->last;
}

/* Marks the buffers that the steps hand on; whether there are any. False when out of memory. */
static bool mark_buffers(Tiler *t, const RowTiling *tiling, bool *any) {
    uint32_t number = t->program->tilings.count + 1;
    for (uint32_t s = tiling->first; s <= tiling->last; s++) {
        const StepRows *rows = rows_of(t, s);
        for (uint32_t i = 0; i < rows->count; i++) {
            const RowArg *arg = arg_of(t, rows, i);
            Buffer *buffer = &t->program->buffers.data[arg->buffer];
            if (!is_handed_on(t, tiling, arg) || buffer->tiling == number) continue;
            buffer->tiling = number;
            buffer->row = program_sizes(t->program, t->context->graph.table, &arg->row, 1);
            if (buffer->row == PLACE_NONE) return false;
            *any = true;
        }
    }
    return true;
}

/* Bytes that a tile reads again though another one has: of `still` operands all rows read the same, others
 * move from line to line. */
static void count_again(const Tiler *t, const RowTiling *tiling, Dim *moving, Dim *still) {
    DimTable *table = t->context->graph.table;
    *moving = *still = dim_of(0);
    for (uint32_t s = tiling->first; s <= tiling->last; s++) {
        const StepRows *rows = rows_of(t, s);
        for (uint32_t i = 0; i < rows->count; i++) {
            const RowArg *arg = arg_of(t, rows, i);
            if (arg->reach == REACH_ROW || arg->written) continue;
            Dim *sum = arg->reach == REACH_LINE ? moving : still;
            *sum = dim_add(table, *sum, arg->bytes);
        }
    }
}

/* Temporaries that live in some of the steps live in all of them, since these run side by side. */
static void extend_lifetimes(Tiler *t, const RowTiling *tiling) {
    int32_t first = (int32_t)tiling->first, last = (int32_t)tiling->last;
    for (uint32_t i = 0; i < t->program->buffers.count; i++) {
        Buffer *buffer = &t->program->buffers.data[i];
        if (buffer->last_step < first || buffer->first_step > last) continue;
        if (buffer->first_step > first) buffer->first_step = first;
        if (buffer->last_step < last) buffer->last_step = last;
    }
}

/* Adds the tiling if there is a product among its steps, and they hand on anything. */
static bool add_tiling(Tiler *t, uint32_t first, uint32_t last, bool *added) {
    RowTiling tiling = {.first = first, .last = last};
    bool product = false, any = false;
    for (uint32_t s = last + 1; s-- > first;)
        if (rows_of(t, s)->is_product) tiling.product = s, product = true;
    *added = false;
    if (!product) return true;
    if (!mark_buffers(t, &tiling, &any)) return false;
    if (!any) return true;
    Dim again[2];
    count_again(t, &tiling, &again[0], &again[1]);
    Place places = program_sizes(t->program, t->context->graph.table, again, 2);
    tiling.moving = places;
    tiling.still = places + 1;
    tiling.rows = program_zeros(t->program, 3);
    tiling.line = tiling.rows + 1;
    tiling.bytes = tiling.rows + 2;
    if (places == PLACE_NONE || tiling.rows == PLACE_NONE) return false;
    extend_lifetimes(t, &tiling);
    *added = vec_push(&t->program->tilings, tiling);
    t->program->steps.data[first].tiling = t->program->tilings.count;
    return *added;
}

sn_status pass_tile(PassContext *context) {
    Tiler t = {context, context->program};
    SN_ASSERT(context->rows.count == context->program->steps.count);
    for (uint32_t first = 0; first < context->rows.count; first++) {
        uint32_t last = find_last(&t, first);
        bool added = false;
        if (last > first && !add_tiling(&t, first, last, &added))
            return error_memory(context->error);
        if (added) first = last;
    }
    if (context->program->tilings.count == 0) return SN_OK;
    return program_fit(context->program, context->program->numbers.data, context->error);
}
