/* Lowering, launches: the call of a kernel. After emission, adjacent grid dimensions along which all
 * arguments advance evenly are merged, and a map's last one into its loop, which changes numbers only. */
#include "passes/lower/lower.h"

#include "base/status.h"
#include "ir/kernel/form.h"

/* ---- the grid -------------------------------------------------------------------------------- */

/* The grid as it will be launched. */
typedef struct Grid {
    int32_t rank;              /* dimensions left */
    Dim sizes[SN_MAX_RANK];    /* their sizes */
    int32_t from[SN_MAX_RANK]; /* the innermost original dimension in each: its strides count */
    Dim b_size;                /* size of the loop over B after merging */
} Grid;

static bool evenly(const Lower *l, int32_t outer, int32_t inner, Dim inner_size) {
    for (uint32_t i = 0; i < l->args.count; i++) {
        const Dim *grid = l->args.data[i].grid;
        if (!dim_same(grid[outer], dim_mul(l->graph->table, grid[inner], inner_size))) return false;
    }
    return true;
}

/* Can the loop over B go on into the next grid dimension? Only a map's: a column's rows lie between. */
static bool continues_in_b(const Lower *l, int32_t dim, Dim b_size) {
    if (l->b_used || l->grid_used[dim] || l->k_symbol != LOWER_NO_AXIS) return false;
    for (uint32_t i = 0; i < l->accesses.count; i++) {
        const LowerAccess *access = &l->accesses.data[i];
        Dim whole = dim_mul(l->graph->table, access->coef[0], b_size);
        if (!dim_same(l->args.data[access->arg].grid[dim], whole)) return false;
    }
    return l->accesses.count > 0;
}

/* Are there so many points in the dimensions behind this one that they fill most of a run? */
static bool fills_runs(const Lower *l, int32_t dim) {
    int64_t points = 1;
    for (int32_t d = dim + 1; d < l->n_grid && points < KCHAIN_ROWS; d++) {
        Dim size = l->grid_sizes[d];
        if (!dim_is_number(size)) continue;
        points *= size.word < KCHAIN_ROWS ? size.word : KCHAIN_ROWS;
    }
    return points > KCHAIN_ROWS / 2;
}

/* The dimensions in the order in which they are launched, outermost first: those along which a product's
 * columns move come before the others, so that as many points as can be follow one another and share
 * columns; unless enough do as it is, when what lies together in memory is read together. */
static void order_grid(const Lower *l, int32_t *order) {
    int32_t count = 0;
    for (int32_t moving = 1; moving >= 0; moving--)
        for (int32_t d = 0; d < l->n_grid; d++) {
            bool moves = l->columns_arg >= 0 && !dim_is(l->args.data[l->columns_arg].grid[d], 0) &&
                         !fills_runs(l, d);
            if (moves == (moving == 1)) order[count++] = d;
        }
    SN_ASSERT(count == l->n_grid);
}

static Grid merge_grid(const Lower *l) {
    DimTable *table = l->graph->table;
    Grid grid = {.b_size = {1}};
    int32_t rank = l->n_grid, order[SN_MAX_RANK];
    Dim sizes[SN_MAX_RANK];
    memcpy(sizes, l->grid_sizes, sizeof sizes);
    if (l->b_symbol != LOWER_NO_AXIS) {
        grid.b_size = l->space.symbols.data[l->b_symbol].size;
        while (rank > 0 && continues_in_b(l, rank - 1, grid.b_size))
            grid.b_size = dim_mul(table, grid.b_size, sizes[--rank]);
    }
    order_grid(l, order);
    for (int32_t i = 0; i < rank; i++) {
        int32_t last = grid.rank - 1, d = order[i];
        bool merges = grid.rank > 0 && !l->grid_used[d] && !l->grid_used[grid.from[last]] &&
                      evenly(l, grid.from[last], d, sizes[d]);
        if (merges) {
            grid.sizes[last] = dim_mul(table, grid.sizes[last], sizes[d]);
            grid.from[last] = d;
        } else {
            grid.sizes[grid.rank] = sizes[d];
            grid.from[grid.rank++] = d;
        }
    }
    return grid;
}

/* GRID_INDEX instructions name a dimension by its place after merging. */
static void renumber_grid(Lower *l, const Grid *grid) {
    for (uint32_t i = 0; i < l->kernel->insts.count; i++) {
        KInst *inst = &l->kernel->insts.data[i];
        if (inst->op != OP_GRID_INDEX) continue;
        for (int32_t d = 0; d < grid->rank; d++) {
            if (grid->from[d] != (int32_t)inst->imm) continue;
            inst->imm = (uint64_t)d;
            break;
        }
    }
}

/* ---- costs ----------------------------------------------------------------------------------- */

static Dim smaller(DimTable *table, Dim a, Dim b) {
    if (dim_is_number(a) && dim_is_number(b)) return a.word < b.word ? a : b;
    if (dim_same(a, b)) return a;
    return dim_sub(table, dim_add(table, a, b), dim_larger(table, a, b));
}

/* Bytes that one access moves in all: each element that it can name, once. */
static Dim access_bytes(const Lower *l, const LowerAccess *access) {
    const LowerArg *arg = &l->args.data[access->arg];
    if (arg->buffer == UINT32_MAX) return dim_of(0); /* a row buffer stays in the cache */
    DimTable *table = l->graph->table;
    const Buffer *buffer = program_buffer(l->program, arg->buffer);
    Dim count = dim_of(1), all = node_count(l->graph, buffer->node);
    for (int32_t d = 0; d < l->n_grid; d++)
        if (!dim_is(arg->grid[d], 0)) count = dim_mul(table, count, l->grid_sizes[d]);
    if (!dim_is(access->coef[0], 0))
        count = dim_mul(table, count, l->space.symbols.data[l->b_symbol].size);
    if (!dim_is(access->coef[1], 0)) count = dim_mul(table, count, l->group->k);
    if (access->indirect) {
        count = l->group->a;
        if (access->depth >= DEPTH_B) count = dim_mul(table, count, l->group->b);
        if (access->depth == DEPTH_K) count = dim_mul(table, count, l->group->k);
    }
    if (!dim_is(all, 0)) count = smaller(table, count, all);
    return dim_mul(table, count, dim_of((int64_t)sn_dtype_size((sn_dtype)buffer->dtype)));
}

static void count_bytes(const Lower *l, Dim *costs) {
    for (uint32_t i = 0; i < l->accesses.count; i++) {
        DimTable *table = l->graph->table;
        Dim bytes = access_bytes(l, &l->accesses.data[i]);
        costs[COST_BYTES] = dim_add(table, costs[COST_BYTES], bytes);
        if (l->args.data[l->accesses.data[i].arg].written)
            costs[COST_BYTES_STORED] = dim_add(table, costs[COST_BYTES_STORED], bytes);
    }
}

/* Instructions of one pass through a loop, and multiply-adds among them. */
typedef struct LoopCount {
    int64_t instructions, pairs;
} LoopCount;

static void add_count(DimTable *table, Dim trips, LoopCount count, Dim *costs) {
    Dim done = dim_mul(table, trips, dim_of(count.instructions));
    Dim pairs = dim_mul(table, trips, dim_of(count.pairs));
    costs[COST_INSTRUCTIONS] = dim_add(table, costs[COST_INSTRUCTIONS], done);
    costs[COST_FLOPS] = dim_add(table, costs[COST_FLOPS], dim_add(table, done, pairs));
}

/* Is the instruction arithmetic on values? What indices and sizes come to are addresses, and predicates. */
static bool computes(const Kernel *k, uint32_t at, bool *address) {
    const KInst *inst = &k->insts.data[at];
    uint8_t form = kop_row(inst->op)->form;
    bool given = form == KFORM_INDEX || form == KFORM_GRID ||
                 ((form == KFORM_PARAM || form == KFORM_CONST) && inst->dtype == SN_I64);
    if (form != KFORM_PRIM) {
        address[at] = given;
        return form == KFORM_REDUCE || form == KFORM_SCAN;
    }
    address[at] = true;
    for (uint32_t i = 0; i < kop_row(inst->op)->n_inputs; i++)
        address[at] = address[at] && address[inst->in[i]];
    return !address[at] && inst->op != OP_BITCAST;
}

/* Arithmetic of all items: each instruction as often as its loops go round. False when out of memory. */
static bool count_operations(const Lower *l, Dim points, Dim *costs) {
    enum { LOOPS_DEEP = 8 }; /* lowering nests two */
    DimTable *table = l->graph->table;
    const Kernel *k = l->kernel;
    Dim trips[LOOPS_DEEP + 1] = {points};
    LoopCount counts[LOOPS_DEEP + 1] = {{0}};
    int32_t depth = 0;
    bool chain = kernel_chain_size(k) != 0;
    bool *address = arena_zalloc(&l->context->arena, k->insts.count + 1);
    if (!address) return false;
    for (uint32_t i = 0; i < k->insts.count; i++) {
        const KInst *inst = &k->insts.data[i];
        uint8_t form = kop_row(inst->op)->form;
        SN_ASSERT(depth >= 0 && depth < LOOPS_DEEP);
        if (form == KFORM_LOOP) {
            KCoef size = k->axes.data[inst->imm].size;
            Dim count = size.param >= 0 ? l->params.data[size.param].size : dim_of(size.value);
            trips[depth + 1] = dim_mul(table, trips[depth], count);
            counts[++depth] = (LoopCount){0};
        } else if (form == KFORM_END) {
            add_count(table, trips[depth], counts[depth], costs);
            depth--;
        }
        bool made =
            computes(k, i, address); /* operands of a chain are made once for a row or column */
        if (!made || (chain && depth == 2 && form != KFORM_REDUCE)) continue;
        counts[depth].instructions++;
        counts[depth].pairs += inst->op == OP_FMA;
    }
    add_count(table, points, counts[0], costs);
    return true;
}

/* ---- the launch ------------------------------------------------------------------------------ */

static bool push_word(Lower *l, const LowerParam *param) {
    Program *program = l->program;
    DimTable *table = l->graph->table;
    if (param->kind == PARAM_SIZE)
        return program_size_as(program, table, param->size, (sn_dtype)param->dtype) != PLACE_NONE;
    Place place = program_zeros(program, 1);
    if (place == PLACE_NONE) return false;
    program->numbers.data[place] = param->bits;
    ProgramScalar scalar = {place, param->scalar, param->dtype, param->real};
    return param->kind == PARAM_BITS || vec_push(&program->scalars, scalar);
}

/* The words of the call: rank and sizes of the grid, strides of the arguments, then the parameters. */
static bool push_params(Lower *l, Launch *launch, const Grid *grid) {
    Dim fixed[KPARAM_STRIDES] = {{0}, {0}, {grid->rank}};
    memcpy(fixed + KPARAM_SIZES, grid->sizes, sizeof *fixed * (size_t)grid->rank);
    DimTable *table = l->graph->table;
    launch->params = program_sizes(l->program, table, fixed, KPARAM_STRIDES);
    bool ok = launch->params != PLACE_NONE;
    for (uint32_t a = 0; ok && a < l->args.count; a++) {
        Dim strides[SN_MAX_RANK] = {{0}};
        for (int32_t d = 0; d < grid->rank; d++) strides[d] = l->args.data[a].grid[grid->from[d]];
        ok = program_sizes(l->program, table, strides, SN_MAX_RANK) != PLACE_NONE;
    }
    for (uint32_t i = 0; ok && i < l->params.count; i++) ok = push_word(l, &l->params.data[i]);
    launch->n_params = l->program->numbers.count - launch->params;
    return ok;
}

/* Do all items see the same elements of it, in a kernel where that is of use? */
static bool is_shared(const Lower *l, const LowerArg *arg) {
    bool moves = false;
    for (int32_t d = 0; d < l->n_grid; d++) moves = moves || !dim_is(arg->grid[d], 0);
    return l->group->hoists && !moves;
}

static bool push_args(Lower *l, Launch *launch) {
    for (uint32_t i = 0; i < l->args.count; i++) {
        const LowerArg *arg = &l->args.data[i];
        KArg *karg = &l->kernel->args.data[i];
        if (karg->role != KARG_LOCAL)
            karg->role = arg->written        ? (arg->read ? KARG_INOUT : KARG_OUT)
                         : is_shared(l, arg) ? KARG_SHARED
                                             : KARG_IN;
        ArgRef ref = {arg->buffer, program_sizes(l->program, l->graph->table, &arg->offset, 1)};
        if (ref.offset == PLACE_NONE || !vec_push(&launch->args, ref)) return false;
        if (karg->role == KARG_LOCAL && !vec_push(&launch->locals, karg->dtype)) return false;
    }
    return true;
}

/* Does a value say what is touched of the argument, or whether it is? */
static bool is_indirect(const Kernel *kernel, uint32_t arg) {
    for (uint32_t i = 0; i < kernel->insts.count; i++) {
        const KInst *inst = &kernel->insts.data[i];
        if (!kop_is_access(inst->op) || kernel_access(kernel, inst->imm)->arg != arg) continue;
        const KAccess *access = kernel_access(kernel, inst->imm);
        if (inst->flags & K_PREDICATED) return true;
        for (uint32_t t = 0; t < access->n_terms; t++)
            if (kernel_term(kernel, access, t)->value != KVALUE_NONE) return true;
    }
    return false;
}

/* Does point p of the grid touch only the elements [p row, (p + 1) row) of the argument's buffer? Strides say
 * so where they are those of dense rows that fill the buffer: whatever a point touches lies inside for the
 * first and the last one too. */
static bool touches_rows(const Lower *l, uint32_t arg, const Grid *grid, Dim *row) {
    const LowerArg *a = &l->args.data[arg];
    DimTable *table = l->graph->table;
    if (grid->rank == 0 || !dim_is(a->offset, 0)) return false;
    *row = a->grid[grid->from[grid->rank - 1]];
    Dim stride = *row;
    for (int32_t d = grid->rank - 1; d >= 0; d--) {
        if (!dim_same(a->grid[grid->from[d]], stride)) return false;
        stride = dim_mul(table, stride, grid->sizes[d]);
    }
    NodeId node = program_buffer(l->program, a->buffer)->node;
    return dim_same(stride, node_count(l->graph, node));
}

static bool has_inst(const Kernel *kernel, OpCode op) {
    for (uint32_t i = 0; i < kernel->insts.count; i++)
        if (kernel->insts.data[i].op == op) return true;
    return false;
}

static RowReach reach_of(const LowerArg *arg, const Grid *grid) {
    RowReach reach = REACH_ALL;
    for (int32_t d = 0; d < grid->rank; d++)
        if (!dim_is(arg->grid[grid->from[d]], 0))
            reach = d == grid->rank - 1 ? REACH_ROW : REACH_LINE;
    return reach;
}

/* Bytes that the accesses of an argument move. */
static Dim bytes_of(const Lower *l, uint32_t arg) {
    Dim bytes = dim_of(0);
    for (uint32_t i = 0; i < l->accesses.count; i++)
        if (l->accesses.data[i].arg == arg)
            bytes = dim_add(l->graph->table, bytes, access_bytes(l, &l->accesses.data[i]));
    return bytes;
}

/* Notes for pass_tile what the launch touches. */
static bool note_rows(const Lower *l, const Step *step, const Grid *grid, Dim points) {
    PassContext *context = l->context;
    StepRows rows = {.points = points,
                     .first = context->row_args.count,
                     .alone =
                         step->commit_code || l->group->sequential || has_inst(l->kernel, OP_CHECK),
                     .is_product = step->launch.chain_size > 0};
    for (uint32_t i = 0; i < l->args.count; i++) {
        const LowerArg *arg = &l->args.data[i];
        if (arg->buffer == UINT32_MAX) continue;
        RowArg own = {.buffer = arg->buffer, .written = arg->written};
        own.reach = (uint8_t)reach_of(arg, grid);
        own.bytes = bytes_of(l, i);
        own.by_row = !is_indirect(l->kernel, i) && touches_rows(l, i, grid, &own.row);
        if (!vec_push(&context->row_args, own)) return false;
        rows.count++;
    }
    return vec_push(&context->rows, rows);
}

sn_status lower_launch(Lower *l, Step *step) {
    DimTable *table = l->graph->table;
    Launch *launch = &step->launch;
    Grid grid = merge_grid(l);
    renumber_grid(l, &grid);
    bool has_b = l->b_symbol != LOWER_NO_AXIS, has_k = l->k_symbol != LOWER_NO_AXIS;
    int32_t b_param = has_b ? l->kernel->axes.data[l->b_axis].size.param : -1;
    if (has_b) l->params.data[b_param].size = grid.b_size;
    Dim points = dims_count(table, grid.sizes, grid.rank), costs[STEP_COSTS] = {{0}};
    count_bytes(l, costs);
    bool counted = count_operations(l, points, costs);
    launch->b_param = has_b ? kernel_param_word(l->kernel, b_param) : -1;
    launch->is_column = has_b && has_k;
    launch->may_stream = !has_k || l->k_vector;
    launch->k = program_sizes(l->program, table, &l->group->k, 1);
    launch->chain_size = (uint8_t)kernel_chain_size(l->kernel);
    launch->packs_rows = l->packs_rows;
    launch->tables = l->tables;
    launch->items = program_zeros(l->program, 1);
    launch->unit = program_zeros(l->program, 1);
    launch->streams = program_zeros(l->program, 1);
    step->costs = program_sizes(l->program, table, costs, STEP_COSTS);
    bool ok = counted && launch->k != PLACE_NONE && launch->items != PLACE_NONE &&
              launch->unit != PLACE_NONE && launch->streams != PLACE_NONE &&
              step->costs != PLACE_NONE;
    return ok && push_args(l, launch) && push_params(l, launch, &grid) &&
                   note_rows(l, step, &grid, points)
               ? SN_OK
               : error_memory(l->context->error);
}
