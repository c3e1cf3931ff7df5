/* Columns of launches; see columns.h. */
#include "runtime/columns.h"

#include "ir/kernel/contract.h"
#include "ir/target.h"

/* Of a contraction whose columns are memory. */
static ColumnsArg columns_arg(const Kernel *kernel, const KContract *c) {
    bool segmented = c->segmented != NULL;
    const KAccess *access = kcontract_columns(c);
    sn_dtype dtype = (sn_dtype)kernel_inst(kernel, c->chain)->dtype;
    ColumnsArg arg = {
        .arg = kcoef_is(access->offset, 0) ? (int32_t)access->arg : -1,
        .panel = kcontract_panel(dtype, target_host()->cpu.vector_bits),
        .size = (int32_t)sn_dtype_size(dtype),
        .columns = kernel->axes.data[c->column_axis].size,
        .k = kernel->axes.data[c->k_axis].size,
        .column_step = kcontract_step(kernel, access, c->column_axis),
        .k_step = kcontract_step(kernel, access, c->k_axis),
        .segment_step = kcoef_literal(0),
    };
    arg.segment = arg.k;
    if (!segmented) return arg;
    arg.k_step = kcontract_digit_step(kernel, access, c->column_segments.within);
    arg.segment = kcoef_param((int32_t)kernel_inst(kernel, c->column_segments.divisor)->imm);
    arg.segment_step = kcontract_digit_step(kernel, access, c->column_segments.number);
    return arg;
}

bool columns_find(const Kernel *kernel, ColumnsArg *arg) {
    Arena arena = {0};
    KLoops loops;
    KContract contract;
    *arg = (ColumnsArg){.arg = -1};
    bool fine = kernel_loops(kernel, &arena, &loops);
    KSpread *spread = fine ? kernel_spread(kernel, &loops, &arena) : NULL;
    if (spread && kernel_contract(kernel, &loops, spread, &arena, &contract) &&
        kcontract_columns(&contract))
        *arg = columns_arg(kernel, &contract);
    arena_free(&arena);
    return fine && spread;
}

static int64_t coef_value(const Program *program, const Launch *launch, const int64_t *words,
                          KCoef coef) {
    if (coef.param < 0) return coef.value;
    return words[kernel_param_word(program_kernel(program, launch), coef.param)];
}

/* Is it the same for every point of the grid, or another matrix along one dimension of that? */
static bool find_matrices(const int64_t *words, int32_t arg, Columns *columns) {
    columns->matrices = 1;
    columns->matrix_step = 0;
    for (int64_t d = 0; d < words[KPARAM_RANK]; d++) {
        int64_t stride = words[KPARAM_STRIDES + SN_MAX_RANK * arg + d];
        if (stride == 0 || words[KPARAM_SIZES + d] <= 1) continue;
        if (columns->matrices > 1) return false;
        columns->matrices = words[KPARAM_SIZES + d];
        columns->matrix_step = stride;
    }
    return true;
}

void columns_bind(const Program *program, const Launch *launch, const int64_t *numbers,
                  ColumnsUse *use) {
    const ColumnsArg *arg = &use->arg;
    const int64_t *words = numbers + launch->params;
    use->input = -1;
    if (arg->arg < 0) return;
    SN_ASSERT((uint32_t)arg->arg < launch->args.count);
    const Buffer *buffer = program_buffer(program, launch->args.data[arg->arg].buffer);
    use->columns = (Columns){
        .columns = coef_value(program, launch, words, arg->columns),
        .k = coef_value(program, launch, words, arg->k),
        .column_step = coef_value(program, launch, words, arg->column_step),
        .k_step = coef_value(program, launch, words, arg->k_step),
        .segment = coef_value(program, launch, words, arg->segment),
        .segment_step = coef_value(program, launch, words, arg->segment_step),
        .panel = arg->panel,
        .size = arg->size,
    };
    bool panels_whole = words[KPARAM_BLOCKS] <= 1 || words[KPARAM_BLOCK_SIZE] % arg->panel == 0;
    if (buffer->kind == BUFFER_INPUT && panels_whole &&
        find_matrices(words, arg->arg, &use->columns) && use->columns.columns > 0 &&
        use->columns.k > 0 && use->columns.segment > 0)
        use->input = buffer->number;
}
