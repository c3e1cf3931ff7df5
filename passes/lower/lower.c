/* lower: turns each planned step into a kernel: made for the step's space (its axes), filled (body.c), and
 * launched (launch.c). */
#include "passes/lower/lower.h"

#include "base/status.h"
#include "ir/graph/nan.h"

/* ---- the space ------------------------------------------------------------------------------- */

static int32_t add_symbol(Lower *l, Dim size, int32_t depth) {
    int32_t symbol = index_axis(&l->space, size);
    if (symbol != INDEX_NO_SYMBOL && !vec_push(&l->depths, (uint8_t)depth)) l->space.failed = true;
    return symbol;
}

/* Adds dims [first, last) of the shape as grid axes. */
static void add_grid(Lower *l, const Dim *dims, int32_t first, int32_t last, int32_t *symbols) {
    for (int32_t i = first; i < last; i++) {
        symbols[i] = LOWER_NO_AXIS;
        if (dim_is(dims[i], 1)) continue;
        SN_ASSERT(l->n_grid < SN_MAX_RANK);
        l->grid_sizes[l->n_grid++] = dims[i];
        symbols[i] = add_symbol(l, dims[i], DEPTH_ITEM);
    }
}

static void add_term(const Lower *l, IndexExpr *e, int32_t symbol, Dim stride) {
    if (symbol == LOWER_NO_AXIS) return;
    IndexExpr one = index_symbol(symbol);
    index_add(&l->space, e, stride, &one);
}

/* The dims of the space's shape by what they become. */
typedef struct Axes {
    const Dim *dims; /* of the shape */
    int32_t rank;    /* how many */
    int32_t k_first,
        k_last; /* K: [k_first, k_last), one flat axis; both are rank where there is no K */
    int32_t b;  /* the loop over B; rank = there is none, or one of a single step */
    int32_t symbols[SN_MAX_RANK]; /* of the others: their symbols in the grid */
} Axes;

/* The dims before K and those behind it but for the last are the grid, the last dim is the loop over B.
 * A map has no K: its last dim is the loop over B. */
static Axes choose_axes(const Lower *l, bool has_k) {
    const Group *g = l->group;
    const Node *shape = graph_node(l->graph, g->shape_of);
    int32_t rank = shape->rank, lowest = has_k ? g->k_last : 0;
    Axes axes = {.dims = node_dims(l->graph, shape),
                 .rank = rank,
                 .k_first = has_k ? g->k_first : rank,
                 .k_last = has_k ? g->k_last : rank,
                 .b = rank};
    for (int32_t i = rank - 1; i >= lowest && axes.b == rank; i--)
        if (!dim_is(axes.dims[i], 1)) axes.b = i;
    if (axes.b == rank && !has_k && rank) axes.b = rank - 1;
    return axes;
}

/* Row-major positions of FULL and ROW values. */
static void make_positions(Lower *l, const Axes *axes, bool has_k) {
    DimTable *table = l->graph->table;
    Dim stride = dim_of(1), row_stride = dim_of(1);
    l->full = index_constant(dim_of(0));
    l->row = index_constant(dim_of(0));
    for (int32_t i = axes->rank - 1; i >= 0; i--) {
        Dim size = axes->dims[i];
        if (i >= axes->k_first && i < axes->k_last) {
            if (i > axes->k_first) continue;
            add_term(l, &l->full, l->k_symbol, stride);
            stride = dim_mul(table, stride, l->group->k);
            continue;
        }
        if (dim_is(size, 1)) continue;
        int32_t symbol = i == axes->b  ? l->b_symbol
                         : i > axes->b ? LOWER_NO_AXIS
                                       : axes->symbols[i];
        add_term(l, &l->full, symbol, stride);
        add_term(l, &l->row, symbol, row_stride);
        stride = dim_mul(table, stride, size);
        row_stride = dim_mul(table, row_stride, size);
    }
    if (has_k && axes->k_first == axes->k_last) add_term(l, &l->full, l->k_symbol, dim_of(1));
}

static void make_space(Lower *l) {
    bool has_k = group_has_k(l->group);
    Axes axes = choose_axes(l, has_k);
    l->k_symbol = l->b_symbol = LOWER_NO_AXIS;
    add_grid(l, axes.dims, 0, has_k ? axes.k_first : axes.b, axes.symbols);
    if (has_k) add_grid(l, axes.dims, axes.k_last, axes.b, axes.symbols);
    if (has_k) l->k_symbol = add_symbol(l, l->group->k, DEPTH_K);
    bool has_b = axes.b < axes.rank;
    if (has_b || !has_k)
        l->b_symbol = add_symbol(l, has_b ? axes.dims[axes.b] : dim_of(1), DEPTH_B);
    make_positions(l, &axes, has_k);
}

static void make_axes(Lower *l) {
    const Group *g = l->group;
    if (l->b_symbol != LOWER_NO_AXIS) {
        KAxis axis = {lower_param(l, l->space.symbols.data[l->b_symbol].size), true};
        l->b_axis = (int32_t)l->kernel->axes.count;
        if (!vec_push(&l->kernel->axes, axis)) lower_fail(l, "out of memory");
    }
    if (l->k_symbol != LOWER_NO_AXIS) {
        KAxis axis = {lower_param(l, g->k), false};
        l->k_axis = (int32_t)l->kernel->axes.count;
        if (!vec_push(&l->kernel->axes, axis)) lower_fail(l, "out of memory");
        /* A column order has no lanes to spread over vectors. */
        l->k_vector = l->b_symbol == LOWER_NO_AXIS && !g->sequential &&
                      (g->order == REDUCE_ROW || g->order == REDUCE_FREE);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool keep_string(Program *program, char *text) {
    if (text && vec_push(&program->strings, text)) return true;
    mem_free(text);
    return false;
}

/* "add+mul+reduce…": the members' names. */
static const char *label_of(Lower *l) {
    StrBuf text = {0};
    if (l->step->kind != PLAN_GROUP)
        strbuf_add(&text, l->step->kind == PLAN_CHECK ? "check" : "copy");
    for (uint32_t i = 0; i < l->group->members.count; i++) {
        if (i) strbuf_add_char(&text, '+');
        if (text.length > 48) {
            strbuf_addf(&text, "… %u ops", l->group->members.count);
            break;
        }
        strbuf_add(&text, op_info[graph_node(l->graph, l->group->members.data[i])->op].name);
    }
    char *label = strbuf_take(&text);
    return keep_string(l->program, label) ? label : "";
}

/* A source line: of what is copied or checked; of the node that gives the kernel its shape, or, where passes
 * made that, of a member. */
static uint32_t site_of(const Lower *l) {
    NodeId node = l->step->kind == PLAN_GROUP ? l->group->shape_of : l->step->node;
    uint32_t site = graph_node(l->graph, node)->site;
    for (uint32_t i = 0; !l->graph->sites.data[site].file && i < l->group->members.count; i++)
        site = graph_node(l->graph, l->group->members.data[i])->site;
    return site;
}

static void lower_release(Lower *l) {
    kbuilder_free(l->builder);
    vec_free(&l->space.symbols);
    vec_free(&l->depths);
    vec_free(&l->value_depth);
    vec_free(&l->memos);
    map_free(&l->memo_map);
    vec_free(&l->coordinates);
    vec_free(&l->args);
    vec_free(&l->accesses);
    vec_free(&l->params);
    vec_free(&l->divisors);
}

static bool space_is_empty(const Lower *l) {
    const Group *g = l->group;
    return dim_is(g->a, 0) || dim_is(g->b, 0) || (g->sequential && dim_is(g->k, 0));
}

typedef struct KernelKey {
    const Program *program; /* whose kernels */
    const Kernel *kernel;   /* what is looked for */
} KernelKey;

static bool kernel_found(const void *context, uint32_t at) {
    const KernelKey *key = context;
    const Kernel *kernel = &key->program->kernels.data[at];
    return kernel_equal(kernel, key->kernel) && kernel_same_lines(kernel, key->kernel);
}

/* A step whose kernel the program has runs that one: what repeats, as layers and loops do, is kept, looked
 * for and loaded once. */
static bool share_kernel(Lower *l, Step *step) {
    Program *program = l->program;
    const KernelKey key = {program, l->kernel};
    uint64_t hash = kernel_hash_lines(l->kernel);
    int64_t found = map_find(l->kernels, hash, kernel_found, &key);
    if (found == MAP_NONE) return map_insert(l->kernels, hash, step->launch.kernel);
    kernel_free(l->kernel);
    program->kernels.count--;
    step->launch.kernel = (uint32_t)found;
    return true;
}

/* Does the kernel have the value from memory, through views, pads and copies alone? */
static bool is_moved(const Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    OpCode op = (OpCode)node->op;
    if (l->fusion->roles[id] == ROLE_MEMBER || node_is_input(node)) return true;
    bool passes = op == OP_CLONE || op == OP_PAD || op_is(op, CLASS_VIEW);
    return passes && is_moved(l, node_inputs(l->graph, node)[0]);
}

/* Does the kernel compute nothing: is all in it a clone, or a pad beside some? */
static bool only_reorders(const Lower *l) {
    bool clones = false;
    for (uint32_t m = 0; m < l->group->members.count; m++) {
        const Node *node = graph_node(l->graph, l->group->members.data[m]);
        if (node->op != OP_CLONE && node->op != OP_PAD) return false;
        if (!is_moved(l, node_inputs(l->graph, node)[0])) return false;
        clones = clones || node->op == OP_CLONE;
    }
    return clones;
}

static sn_status lower_kernel(Lower *l) {
    if (space_is_empty(l)) return SN_OK;
    Program *program = l->program;
    Step first = {.group = l->step->kind == PLAN_GROUP ? (int32_t)l->step->group : -1,
                  .commit_code = l->step->commit,
                  .launch = {.kernel = program->kernels.count}};
    if (!vec_push(&program->kernels, (Kernel){0}) || !vec_push(&program->steps, first))
        return error_memory(l->context->error);
    Step *step = &vec_last(&program->steps);
    program->reorders += only_reorders(l);
    l->kernel = &vec_last(&program->kernels);
    l->builder = kbuilder_new();
    if (!l->builder) return error_memory(l->context->error);
    make_space(l);
    if (l->space.failed) return error_memory(l->context->error);
    make_axes(l);
    switch (l->step->kind) {
    case PLAN_CHECK:
        lower_check(l);
        break;
    case PLAN_COPY:
        lower_copy(l);
        break;
    default:
        lower_group(l);
    }
    if (l->failed || l->space.failed)
        return l->context->error->status ? l->context->error->status
                                         : error_memory(l->context->error);
    sn_status status = kbuilder_finish(l->builder, l->kernel, l->context->error);
    if (status == SN_OK) status = lower_tables(l);
    if (status != SN_OK) return status;
    step->label = label_of(l);
    step->site = site_of(l);
    status = lower_launch(l, step);
    if (status != SN_OK) return status;
    return share_kernel(l, step) ? SN_OK : error_memory(l->context->error);
}

/* Tables that all steps share, by node but for the last. */
typedef struct NodeTables {
    KValue *reduced;       /* see Lower */
    int32_t *kept_from;    /* see Lower */
    uint32_t *kept_access; /* see Lower */
    KeepTables keep;       /* see Lower */
    bool *told;            /* see Lower */
    bool *noted;           /* see Lower */
    bool *read_often;      /* see Lower */
    Map kernels;           /* see Lower */
} NodeTables;

/* Marks nodes that have several readers, results among them; false when out of memory. */
static bool find_read_often(const Graph *graph, bool *often) {
    bool *read = mem_calloc(graph->nodes.count + 1, sizeof *read);
    if (!read) return false;
    memset(often, 0, sizeof *often * graph->nodes.count);
    for (NodeId id = 0; id < graph->nodes.count; id++) {
        const Node *node = graph_node(graph, id);
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            NodeId operand = node_inputs(graph, node)[i];
            if (operand == NODE_NONE) continue;
            often[operand] = read[operand];
            read[operand] = true;
        }
    }
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        NodeId result = graph->outputs.data[i].node;
        often[result] = read[result];
        read[result] = true;
    }
    mem_free(read);
    return true;
}

/* The space of a copy, or of a check of an index: a map. */
static Group map_of(const Graph *graph, const PlanStep *step) {
    Dim size;
    NodeId shape =
        step->kind == PLAN_CHECK ? node_checked_index(graph, step->node, &size) : step->node;
    return (Group){.a = node_count(graph, shape), .k = {1}, .b = {1}, .shape_of = shape};
}

static sn_status lower_step(PassContext *context, const PlanStep *step, NodeTables *tables) {
    Lower l = {.context = context,
               .space = {.table = context->graph.table},
               .graph = &context->graph,
               .fusion = &context->fusion,
               .plan = &context->plan,
               .program = context->program,
               .step = step,
               .predicate = KVALUE_NONE,
               .columns_arg = -1,
               .reduced = tables->reduced,
               .kept_from = tables->kept_from,
               .kept_access = tables->kept_access,
               .keep = &tables->keep,
               .told = tables->told,
               .noted = tables->noted,
               .read_often = tables->read_often,
               .kernels = &tables->kernels};
    Group map;
    if (step->kind == PLAN_GROUP) {
        SN_ASSERT(step->group < context->fusion.groups.count);
        l.group = &context->fusion.groups.data[step->group];
        SN_ASSERT(!l.group->dead && l.group->members.count > 0);
    } else {
        map = map_of(&context->graph, step);
        l.group = &map;
    }
    sn_status status = lower_kernel(&l);
    lower_release(&l);
    return status;
}

sn_status pass_lower(PassContext *context) {
    Program *program = context->program;
    uint32_t count = context->graph.nodes.count;
    for (uint32_t i = 0; i < context->graph.sites.count; i++)
        if (!vec_push(&program->sites, context->graph.sites.data[i]))
            return error_memory(context->error);
    NodeTables tables = {
        .reduced = arena_alloc(&context->arena, sizeof(KValue) * (count + 1)),
        .kept_from = arena_alloc(&context->arena, sizeof(int32_t) * (count + 1)),
        .kept_access = arena_alloc(&context->arena, sizeof(uint32_t) * (count + 1)),
        .keep.first = arena_alloc(&context->arena, sizeof(int32_t) * (count + 1)),
        .noted = arena_zalloc(&context->arena, count + 1),
        .keep.seen = arena_zalloc(&context->arena, sizeof(int32_t) * (count + 1)),
        .told = arena_alloc(&context->arena, sizeof(bool) * (count + 1)),
        .read_often = arena_alloc(&context->arena, sizeof(bool) * (count + 1)),
    };
    if (!tables.reduced || !tables.kept_from || !tables.kept_access || !tables.keep.first ||
        !tables.noted || !tables.keep.seen || !tables.told || !tables.read_often)
        return error_memory(context->error);
    graph_nans_told(&context->graph, tables.told);
    if (context->fast && !find_read_often(&context->graph, tables.read_often))
        return error_memory(context->error);
    for (uint32_t i = 0; i <= count; i++) {
        tables.reduced[i] = KVALUE_NONE;
        tables.kept_from[i] = tables.keep.first[i] = -1;
        tables.kept_access[i] = UINT32_MAX;
    }
    sn_status status = SN_OK;
    for (uint32_t i = 0; i < context->plan.steps.count && status == SN_OK; i++)
        status = lower_step(context, &context->plan.steps.data[i], &tables);
    map_free(&tables.kernels);
    if (status != SN_OK) return status;
    return program_fit(program, program->numbers.data, context->error);
}
