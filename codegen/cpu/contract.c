/* Contractions: the loops around tiles. A call takes items of a run, which are rows of one line of the grid
 * that share a block of columns, and goes
 *
 *   groups of columns     whose sums stay in memory
 *     chunks of K           of one chain each
 *       rows                  where they lie, or packed: chunk × rows
 *       pack columns          chunk × group, unless they are read where they lie
 *       tiles                 rows × panel: a chain of multiply-adds in registers, added to the sums
 *     hoisted               what all rows' results share: values of columns alone
 *     results               what follows the loop over K, for each row
 *
 * Packing, tiles and results are functions of their own. What is computed of operands, and what is done with
 * the sums, are kernels (contract_part.c), which the emitter makes as it makes any. */
#include "codegen/cpu/contract_driver.h"

#include "base/status.h"

#include <stdio.h>

enum {
    GROUP_PANELS = 8,        /* of a group */
    LINE_ROWS = 48,          /* a line of so many is long */
    ROWS_MOST = KCHAIN_ROWS, /* of a run */
    ROW_GAP = 64 /* bytes behind a packed row, so that not all fall into one set of a cache */
};

/* ---- one run --------------------------------------------------------------------------------- */

static LLVMValueRef steps_of_all(const Driver *d) {
    return emit_coef(d->e, d->e->kernel->axes.data[d->contract->k_axis].size);
}

static void emit_chunks(const Driver *d, const Run *run, Group *group) {
    Emit *e = d->e;
    LLVMValueRef size = steps_of_all(d);
    CountLoop chunks = count_open(e, const_i64(e, 0), size);
    group->chunk = chunks.i;
    group->steps =
        contract_least(e, LLVMBuildSub(e->b, size, chunks.i, ""), const_i64(e, ORDER_CHAIN));
    LLVMValueRef is_first = LLVMBuildICmp(e->b, LLVMIntEQ, chunks.i, const_i64(e, 0), "");
    group->is_first = LLVMBuildZExt(e->b, is_first, e->i64, "");
    contract_rows(d, run, group);
    contract_pack(d, run, group);
    contract_tiles(d, run, group);
    count_close(e, &chunks, const_i64(e, ORDER_CHAIN));
}

/* Without steps of K the sums are +0. */
static void clear_sums(const Driver *d, const Run *run) {
    Emit *e = d->e;
    LLVMValueRef size = steps_of_all(d);
    LLVMValueRef all = LLVMBuildMul(e->b, run->rows, const_i64(e, d->group), "");
    LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, size, const_i64(e, 1), "");
    CountLoop loop = count_open(e, const_i64(e, 0), emit_select(e, none, all, const_i64(e, 0)));
    LLVMValueRef at = LLVMBuildGEP2(e->b, contract_element(d), d->sums, &loop.i, 1, "");
    LLVMBuildStore(e->b, LLVMConstNull(contract_element(d)), at);
    count_close(e, &loop, const_i64(e, 1));
}

/* Columns [first, end). */
static void emit_run(const Driver *d, const Run *run, LLVMValueRef first, LLVMValueRef end) {
    Emit *e = d->e;
    CountLoop groups = count_open(e, first, end);
    LLVMValueRef left = LLVMBuildSub(e->b, end, groups.i, "");
    Group group = {.first = groups.i, .width = contract_least(e, left, const_i64(e, d->group))};
    clear_sums(d, run);
    emit_chunks(d, run, &group);
    PartCall call = {.part = PART_HOISTED,
                     .memory = d->values,
                     .point = run->point,
                     .points = const_i64(e, 1),
                     .first_column = group.first,
                     .columns = group.width};
    if (d->hoisted.count) contract_call(d, &call);
    call.part = PART_RESULTS;
    call.memory = d->sums;
    call.points = run->rows;
    contract_call(d, &call);
    count_close(e, &groups, const_i64(e, d->group));
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Grid points: the product of the grid's sizes; by dimension that of those behind it. */
static LLVMValueRef count_points(const Driver *d) {
    Emit *e = d->e;
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK)), one = const_i64(e, 1);
    LLVMValueRef product = emit_alloca(e, e->i64, 1);
    LLVMBuildStore(e->b, one, product);
    CountLoop loop = count_open(e, const_i64(e, 0), rank);
    LLVMValueRef dim = LLVMBuildSub(e->b, LLVMBuildSub(e->b, rank, loop.i, ""), one, "");
    LLVMValueRef size = emit_word(e, e->b, LLVMBuildAdd(e->b, dim, const_i64(e, KPARAM_SIZES), ""));
    LLVMValueRef before = LLVMBuildLoad2(e->b, e->i64, product, "");
    LLVMBuildStore(e->b, before, LLVMBuildGEP2(e->b, e->i64, d->dense, &dim, 1, ""));
    LLVMBuildStore(e->b, LLVMBuildMul(e->b, before, size, ""), product);
    count_close(e, &loop, one);
    return LLVMBuildLoad2(e->b, e->i64, product, "");
}

/* i1: does what columns are made of move along a dimension? */
static LLVMValueRef columns_move(const Driver *d, const Kernel *columns, LLVMValueRef dim) {
    Emit *e = d->e;
    LLVMValueRef none = const_i64(e, 0), strides = none;
    for (uint32_t i = 0; i < (d->pack ? 1 : columns->insts.count); i++) {
        const KInst *inst = d->pack ? NULL : kernel_inst(columns, i);
        if (inst && kop_is(inst->op, KFORM_GRID)) return LLVMConstInt(e->i1, 1, false);
        if (inst && !kop_is(inst->op, KFORM_LOAD)) continue;
        uint32_t arg = inst ? kernel_access(columns, inst->imm)->arg : d->contract->plain->arg;
        LLVMValueRef stride = emit_word(e, e->b, emit_stride_word(e, e->b, dim, arg));
        strides = LLVMBuildOr(e->b, strides, stride, "");
    }
    return LLVMBuildICmp(e->b, LLVMIntNE, strides, none, "");
}

/* Points that follow one another and share columns: those of the innermost dimensions along which nothing
 * moves that columns are made of. */
static LLVMValueRef find_shared(const Driver *d, const Kernel *columns) {
    Emit *e = d->e;
    LLVMValueRef one = const_i64(e, 1), rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK));
    LLVMValueRef shared = emit_alloca(e, e->i64, 1);
    LLVMBuildStore(e->b, d->points, shared);
    CountLoop dims = count_open(e, const_i64(e, 0), rank);
    LLVMValueRef before = LLVMBuildLoad2(e->b, e->i64, shared, "");
    LLVMValueRef points =
        LLVMBuildLoad2(e->b, e->i64, LLVMBuildGEP2(e->b, e->i64, d->dense, &dims.i, 1, ""), "");
    LLVMValueRef moves = columns_move(d, columns, dims.i);
    LLVMBuildStore(e->b, emit_select(e, moves, points, before), shared);
    count_close(e, &dims, one);
    return LLVMBuildLoad2(e->b, e->i64, shared, "");
}

/* Rows that are packed line by line come from one line if that is long. */
static LLVMValueRef shared_lines(const Driver *d, LLVMValueRef shared) {
    Emit *e = d->e;
    LLVMValueRef is_long = LLVMBuildICmp(e->b, LLVMIntSGE, d->line, const_i64(e, LINE_ROWS), "");
    return emit_select(e, is_long, contract_least(e, shared, d->line), shared);
}

static void emit_runs(const Driver *d) {
    Emit *e = d->e;
    const KAxis *axis = &e->kernel->axes.data[d->contract->column_axis];
    LLVMValueRef all = emit_coef(e, axis->size);
    LLVMValueRef last = LLVMGetParam(e->function, ARG_END);
    CountLoop items = count_open(e, LLVMGetParam(e->function, ARG_BEGIN), last);
    LLVMValueRef left = LLVMBuildSub(e->b, last, items.i, "");
    LLVMValueRef block = LLVMBuildUDiv(e->b, items.i, d->points, "");
    Run run = {.point = LLVMBuildURem(e->b, items.i, d->points, "")};
    LLVMValueRef rest = LLVMBuildURem(e->b, run.point, d->shared, "");
    run.rows = contract_least(e, left, LLVMBuildSub(e->b, d->shared, rest, ""));
    run.rows = contract_least(e, run.rows, const_i64(e, ROWS_MOST));
    LLVMValueRef first = const_i64(e, 0), end = all;
    if (axis->split) {
        LLVMValueRef size = emit_word(e, e->b, const_i64(e, KPARAM_BLOCK_SIZE));
        first = contract_least(e, LLVMBuildMul(e->b, block, size, ""), all);
        end = contract_least(e, LLVMBuildAdd(e->b, first, size, ""), all);
    }
    const KAccess *columns = kcontract_columns(d->contract);
    if (columns) run.column_offset = contract_offset(d, columns->arg, run.point);
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

/* As kchain_step_bytes has it. */
static LLVMValueRef step_bytes(const Driver *d, int32_t size) {
    Emit *e = d->e;
    LLVMValueRef columns = emit_coef(e, e->kernel->axes.data[d->contract->column_axis].size);
    LLVMValueRef bytes = LLVMBuildMul(e->b, columns, const_i64(e, size), "");
    bytes = contract_least(e, bytes, const_i64(e, KCHAIN_STEP_BYTES));
    bytes = LLVMBuildAdd(e->b, bytes, const_i64(e, KCHAIN_PANEL_BYTES - 1), "");
    return LLVMBuildAnd(e->b, bytes, const_i64(e, -KCHAIN_PANEL_BYTES), "");
}

/* Where packed columns, sums and packed rows lie in scratch memory, as kchain_scratch_bytes has it. */
static void place_memory(Driver *d) {
    Emit *e = d->e;
    int32_t size = (int32_t)sn_dtype_size(d->dtype);
    SN_ASSERT(d->group * size <= KCHAIN_STEP_BYTES && d->group * size <= KCHAIN_SUM_BYTES);
    SN_ASSERT(d->row * size <= KCHAIN_ROW_BYTES && d->panel * size <= KCHAIN_PANEL_BYTES);
    LLVMValueRef steps = contract_least(e, steps_of_all(d), const_i64(e, ORDER_CHAIN));
    LLVMValueRef items = LLVMBuildSub(e->b, LLVMGetParam(e->function, ARG_END),
                                      LLVMGetParam(e->function, ARG_BEGIN), "");
    LLVMValueRef rows = contract_least(e, items, const_i64(e, ROWS_MOST));
    rows = LLVMBuildAdd(e->b, rows, const_i64(e, KCHAIN_TILE - 1), "");
    rows = LLVMBuildAnd(e->b, rows, const_i64(e, -KCHAIN_TILE), "");
    LLVMValueRef bytes = LLVMBuildMul(e->b, steps, step_bytes(d, size), "");
    d->values = LLVMGetParam(e->function, ARG_SCRATCH);
    LLVMValueRef behind = const_i64(e, KCHAIN_HOISTED * KCHAIN_SUM_BYTES);
    d->columns = LLVMBuildGEP2(e->b, e->i8, d->values, &behind, 1, "");
    d->sums = LLVMBuildGEP2(e->b, e->i8, d->columns, &bytes, 1, "");
    bytes = LLVMBuildMul(e->b, rows, const_i64(e, KCHAIN_SUM_BYTES), "");
    d->rows = LLVMBuildGEP2(e->b, e->i8, d->sums, &bytes, 1, "");
    bytes = LLVMBuildMul(e->b, rows, const_i64(e, KCHAIN_ROW_BYTES), "");
    d->outside = LLVMBuildGEP2(e->b, e->i8, d->rows, &bytes, 1, "");
    bytes = const_i64(e, KCHAIN_OUTSIDE_BYTES);
    d->places = LLVMBuildGEP2(e->b, e->i8, d->outside, &bytes, 1, "");
    d->apart = LLVMBuildAdd(e->b, rows, const_i64(e, KCHAIN_TILE), "");
    d->pointers = LLVMBuildGEP2(e->b, e->ptr, d->places, &d->apart, 1, "");
}

static sn_status make_parts(Driver *d, const char *name, Kernel *kernels) {
    static const char *const suffixes[CONTRACT_PARTS] = {"places", "rows", "columns", "hoisted",
                                                         "results"};
    contract_tile_functions(d, name);
    contract_pack_functions(d, name);
    contract_row_functions(d, name);
    for (int32_t part = 0; part < CONTRACT_PARTS; part++) {
        if ((part == PART_ROWS && d->copy) || (part == PART_PLACES && !d->copy) ||
            (part == PART_COLUMNS && d->pack) || (part == PART_HOISTED && !d->hoisted.count))
            continue;
        char text[96];
        snprintf(text, sizeof text, "%s_%s", name, suffixes[part]);
        sn_status status =
            contract_part(d->e, d->contract, &d->hoisted, (ContractPart)part, &kernels[part]);
        if (status != SN_OK) return status;
        d->parts[part] = emit_function(d->e, &kernels[part], part, text);
        if (!d->parts[part]) return d->e->error->status;
    }
    return SN_OK;
}

/* The caller's packed columns lie behind the arguments. */
static LLVMValueRef find_packed_arg(const Driver *d) {
    Emit *e = d->e;
    LLVMValueRef number = const_i64(e, (int64_t)e->kernel->args.count);
    LLVMValueRef at =
        LLVMBuildGEP2(e->b, e->ptr, LLVMGetParam(e->function, ARG_ARGS), &number, 1, "");
    return LLVMBuildLoad2(e->b, e->ptr, at, "");
}

/* The caller packed as many matrices as the one dimension has along which columns move. */
static LLVMValueRef find_matrix_step(const Driver *d) {
    Emit *e = d->e;
    const KAccess *columns = kcontract_columns(d->contract);
    LLVMValueRef found = const_i64(e, 1), none = const_i64(e, 0);
    if (!columns) return found;
    LLVMValueRef step = emit_alloca(e, e->i64, 1);
    LLVMBuildStore(e->b, found, step);
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK));
    CountLoop dims = count_open(e, none, rank);
    LLVMValueRef before = LLVMBuildLoad2(e->b, e->i64, step, "");
    LLVMValueRef stride = emit_word(e, e->b, emit_stride_word(e, e->b, dims.i, columns->arg));
    LLVMValueRef word = LLVMBuildAdd(e->b, dims.i, const_i64(e, KPARAM_SIZES), "");
    LLVMValueRef many = LLVMBuildICmp(e->b, LLVMIntSGT, emit_word(e, e->b, word), found, "");
    LLVMValueRef moves = LLVMBuildICmp(e->b, LLVMIntNE, stride, none, "");
    moves = LLVMBuildAnd(e->b, moves, many, "");
    LLVMBuildStore(e->b, emit_select(e, moves, stride, before), step);
    count_close(e, &dims, found);
    return LLVMBuildLoad2(e->b, e->i64, step, "");
}

static void emit_driver(Driver *d, const Kernel *columns) {
    Emit *e = d->e;
    d->innermost = emit_innermost_dim(e);
    LLVMValueRef word = LLVMBuildAdd(e->b, d->innermost, const_i64(e, KPARAM_SIZES), "");
    LLVMValueRef rank = emit_word(e, e->b, const_i64(e, KPARAM_RANK)), one = const_i64(e, 1);
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, rank, const_i64(e, 0), "");
    d->line = emit_select(e, some, emit_word(e, e->b, word), one);
    d->dense = emit_alloca(e, e->i64, SN_MAX_RANK);
    d->points = count_points(d);
    d->shared = find_shared(d, columns);
    if (d->turn) d->shared = shared_lines(d, d->shared);
    place_memory(d);
    d->packed = find_packed_arg(d);
    d->matrix_step = find_matrix_step(d);
    contract_prepare(d);
    contract_prepare_rows(d);
    emit_runs(d);
}

sn_status emit_contract(Emit *e, const KContract *contract, const char *name) {
    Driver d = {.e = e, .contract = contract};
    d.dtype = (sn_dtype)kernel_inst(e->kernel, contract->chain)->dtype;
    d.across = contract->plain &&
               kcoef_is(kcontract_step(e->kernel, contract->plain, contract->column_axis), 1);
    d.along = contract->plain && !d.across &&
              kcoef_is(kcontract_step(e->kernel, contract->plain, contract->k_axis), 1);
    int32_t size = (int32_t)sn_dtype_size(d.dtype);
    d.lanes = e->target->vector_bits / 8 / size;
    d.panel = kcontract_panel(d.dtype, e->target->vector_bits);
    d.group = GROUP_PANELS * d.panel;
    d.row = ORDER_CHAIN + ROW_GAP / size;
    d.hoisted.apart = d.group;
    if (!contract_hoist(e->kernel, &e->loops, contract, &e->arena, &d.hoisted))
        return error_memory(e->error);
    Kernel kernels[CONTRACT_PARTS];
    for (int32_t part = 0; part < CONTRACT_PARTS; part++) kernel_init(&kernels[part]);
    sn_status status = make_parts(&d, name, kernels);
    if (status == SN_OK) {
        LLVMBasicBlockRef start = function_open(e, name);
        function_mark(e, "noinline", NULL);
        function_mark(e, "optnone", NULL); /* its time is in what it calls */
        emit_driver(&d, &kernels[PART_COLUMNS]);
        function_close(e, start);
        status = e->status;
    }
    for (int32_t part = 0; part < CONTRACT_PARTS; part++) kernel_free(&kernels[part]);
    return status == SN_ERROR_MEMORY ? error_memory(e->error) : status;
}
