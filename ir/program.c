/* The program container, its numbers and its text form; see program.h. */
#include "ir/program.h"

#include "base/assert.h"
#include "base/status.h"
#include "ir/op/dtype.h"

#include <stdarg.h>
#include <stdio.h>

void program_init(Program *program) {
    *program = (Program){0};
}

void program_free(Program *program) {
    for (uint32_t i = 0; i < program->steps.count; i++) {
        Launch *launch = &program->steps.data[i].launch;
        vec_free(&launch->args);
        vec_free(&launch->locals);
    }
    for (uint32_t i = 0; i < program->kernels.count; i++) kernel_free(&program->kernels.data[i]);
    for (uint32_t i = 0; i < program->strings.count; i++) mem_free(program->strings.data[i]);
    vec_free(&program->numbers);
    vec_free(&program->sizes);
    vec_free(&program->scalars);
    vec_free(&program->buffers);
    vec_free(&program->kernels);
    vec_free(&program->steps);
    vec_free(&program->tilings);
    vec_free(&program->outputs);
    vec_free(&program->sites);
    vec_free(&program->checks);
    vec_free(&program->strings);
    vec_free(&program->notes);
    program_init(program);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Room for `count` more, and for those of the program as a whole before the first. */
static bool reserve_numbers(Program *program, uint32_t count) {
    if (!vec_reserve(&program->numbers, count + PROGRAM_NUMBERS)) return false;
    SN_ASSERT(program->numbers.count == 0 || program->numbers.count >= PROGRAM_NUMBERS);
    while (program->numbers.count < PROGRAM_NUMBERS)
        program->numbers.data[program->numbers.count++] = 0;
    return true;
}

Place program_zeros(Program *program, int32_t count) {
    SN_ASSERT(count >= 0);
    if (!reserve_numbers(program, (uint32_t)count)) return PLACE_NONE;
    Place first = program->numbers.count;
    for (int32_t i = 0; i < count; i++) program->numbers.data[program->numbers.count++] = 0;
    return first;
}

Place program_sizes(Program *program, const DimTable *table, const Dim *dims, int32_t count) {
    if (!reserve_numbers(program, (uint32_t)count)) return PLACE_NONE;
    Place first = program->numbers.count;
    for (int32_t i = 0; i < count; i++) {
        ProgramSize size = {first + (Place)i, SN_I64, dims[i]};
        if (!dim_is_number(dims[i]) && !vec_push(&program->sizes, size)) return PLACE_NONE;
        program->numbers.data[program->numbers.count++] = dim_hint(table, dims[i]);
    }
    return first;
}

int64_t program_size_word(sn_dtype dtype, int64_t size) {
    SN_ASSERT((uint32_t)dtype < SN_DTYPE_COUNT);
    if (dtype == SN_I64) return size;
    uint64_t bits = dtype_bits_from_double(dtype, (double)size);
    return (int64_t)(dtype_is_half(dtype) ? dtype_bits_cast(SN_F32, dtype, bits) : bits);
}

Place program_size_as(Program *program, const DimTable *table, Dim dim, sn_dtype dtype) {
    Place place = program_sizes(program, table, &dim, 1);
    if (place == PLACE_NONE) return place;
    SN_ASSERT(place < program->numbers.count);
    program->numbers.data[place] = program_size_word(dtype, program->numbers.data[place]);
    if (!dim_is_number(dim)) vec_last(&program->sizes).dtype = (uint8_t)dtype;
    return place;
}

/* ---- errors ---------------------------------------------------------------------------------- */

sn_status program_refuse(Site call, sn_error *error, sn_status status, const char *format, ...) {
    char what[sizeof error->text];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (error) error->file = call.file, error->line = call.line;
    return error_set(error, status, "%s: %s", op_info[call.op].name, what);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_buffer(const Program *program, const int64_t *numbers, uint32_t i, StrBuf *out) {
    static const char *const kinds[] = {"input", "output", "temp"};
    const Buffer *b = program_buffer(program, i);
    SN_ASSERT(b->kind <= BUFFER_TEMP);
    strbuf_addf(out, "  b%u: %s", i, kinds[b->kind]);
    if (b->kind != BUFFER_TEMP) strbuf_addf(out, " %d", b->number);
    strbuf_addf(out, ", %lld x %s, holds %%%u", (long long)numbers[b->elements],
                sn_dtype_name((sn_dtype)b->dtype), b->node);
    bool tiled = b->tiling && numbers[program->tilings.data[b->tiling - 1].rows];
    if (tiled)
        strbuf_addf(out, ", in tiles of steps %d to %d", b->first_step, b->last_step);
    else if (b->kind == BUFFER_TEMP)
        strbuf_addf(out, ", at %lld, steps %d to %d", (long long)numbers[b->offset], b->first_step,
                    b->last_step);
    strbuf_add_char(out, '\n');
}

static void print_ref(ArgRef ref, const int64_t *numbers, StrBuf *out) {
    strbuf_addf(out, "b%u", ref.buffer);
    if (numbers[ref.offset]) strbuf_addf(out, "+%lld", (long long)numbers[ref.offset]);
}

static void print_launch(const Launch *launch, const int64_t *numbers, StrBuf *out) {
    strbuf_addf(out, "%lld items, args", (long long)numbers[launch->items]);
    for (uint32_t i = 0; i < launch->args.count; i++) {
        strbuf_add_char(out, ' ');
        print_ref(launch->args.data[i], numbers, out);
    }
    if (numbers[launch->streams]) strbuf_add(out, ", streaming stores");
    strbuf_add_char(out, '\n');
}

static void print_tiling(const RowTiling *tiling, const int64_t *numbers, StrBuf *out) {
    strbuf_addf(out, "  tiling: steps %u to %u, ", tiling->first, tiling->last);
    if (numbers[tiling->rows])
        strbuf_addf(out, "%lld rows of %lld, %lld bytes\n", (long long)numbers[tiling->rows],
                    (long long)numbers[tiling->line], (long long)numbers[tiling->bytes]);
    else
        strbuf_add(out, "not with these sizes\n");
}

void program_print(const Program *program, const int64_t *numbers, StrBuf *out) {
    strbuf_addf(out, "program: %d inputs, %d results, %lld temporary bytes, peak %lld bytes\n",
                program->n_inputs, program->n_outputs, (long long)numbers[PROGRAM_TEMP_BYTES],
                (long long)numbers[PROGRAM_PEAK_BYTES]);
    for (uint32_t i = 0; i < program->buffers.count; i++) print_buffer(program, numbers, i, out);
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        const int64_t *costs = numbers + step->costs;
        strbuf_addf(out, "  step %u: kernel %s (%lld bytes, %lld operations)", i, step->label,
                    (long long)costs[COST_BYTES], (long long)costs[COST_FLOPS]);
        Site site = program_site(program, step->site);
        if (site.file) strbuf_addf(out, " ; %s:%d", site.file, (int)site.line);
        strbuf_add(out, "\n    ");
        print_launch(&step->launch, numbers, out);
    }
    for (uint32_t i = 0; i < program->tilings.count; i++)
        print_tiling(&program->tilings.data[i], numbers, out);
}

void fusion_note_print(const FusionNote *note, StrBuf *out) {
    strbuf_addf(out, "%s (%%%u) not with %s (%%%u): %s", op_info[note->op].name, note->node,
                op_info[note->with].name, note->with_node, note->reason);
}
