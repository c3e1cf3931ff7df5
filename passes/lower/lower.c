/* lower: turns each planned step into a kernel. A group's kernel is, for each item, a row of loops
 * over K (one for each stage: a reduction's result is needed before the next loop can start), inside
 * a loop over B if there is one; values are emitted on demand from the stores and reductions back,
 * each in the outermost loop that knows its indices. */
#include "passes/lower/lower.h"

#include "base/assert.h"
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "ir/kernel/form.h"
#include "ir/op/dtype.h"

KValue lower_fail(Lower *l, const char *why) {
    if (!l->failed) error_set(l->context->error, SN_ERROR_INTERNAL, "lower: %s", why);
    l->failed = true;
    return KVALUE_NONE;
}

/* ---- the space ---------------------------------------------------------------------------------- */

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

/* Axes: the dims before K and those behind it but for the last are the grid, K is one flat axis, the
 * last dim is the loop over B. A map has no K: its last dim is the loop over B. */
static void make_space(Lower *l) {
    const Group *g = l->group;
    const Node *shape = graph_node(l->graph, g->shape_of);
    const Dim *dims = node_dims(l->graph, shape);
    int32_t symbols[SN_MAX_RANK], rank = shape->rank;
    bool has_k = group_has_k(g);
    int32_t k_first = has_k ? g->k_first : rank, k_last = has_k ? g->k_last : rank;
    int32_t last = rank; /* the dim of the loop over B; rank = none */
    int32_t lowest = has_k ? k_last : 0;
    for (int32_t i = rank - 1; i >= lowest && last == rank; i--)
        if (!dim_is(dims[i], 1)) last = i;
    if (last == rank && !has_k && rank) last = rank - 1;
    int32_t front = has_k ? k_first : last;
    l->k_symbol = l->b_symbol = LOWER_NO_AXIS;
    add_grid(l, dims, 0, front, symbols);
    if (has_k) add_grid(l, dims, k_last, last, symbols);
    if (has_k) l->k_symbol = add_symbol(l, g->k, DEPTH_K);
    if (last < rank || !has_k)
        l->b_symbol = add_symbol(l, last < rank ? dims[last] : dim_of(1), DEPTH_B);
    DimTable *table = l->graph->table;
    l->full = index_constant(dim_of(0));
    l->row = index_constant(dim_of(0));
    Dim stride = dim_of(1), row_stride = dim_of(1);
    for (int32_t i = rank - 1; i >= 0; i--) {
        if (has_k && i >= k_first && i < k_last) {
            if (i == k_first) {
                add_term(l, &l->full, l->k_symbol, stride);
                stride = dim_mul(table, stride, g->k);
            }
            continue;
        }
        int32_t symbol = i == last ? l->b_symbol : i > last ? LOWER_NO_AXIS : symbols[i];
        if (dim_is(dims[i], 1)) continue;
        add_term(l, &l->full, symbol, stride);
        add_term(l, &l->row, symbol, row_stride);
        stride = dim_mul(table, stride, dims[i]);
        row_stride = dim_mul(table, row_stride, dims[i]);
    }
    if (has_k && k_first == k_last) add_term(l, &l->full, l->k_symbol, dim_of(1));
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

/* ---- loops -------------------------------------------------------------------------------------- */

static void open_loop(Lower *l, int32_t depth, int32_t axis, bool vector) {
    SN_ASSERT(l->failed || (axis >= 0 && (uint32_t)axis < l->kernel->axes.count));
    int32_t outer = depth == DEPTH_K && l->b_symbol != LOWER_NO_AXIS ? DEPTH_B : DEPTH_ITEM;
    l->regions[depth] = kbuilder_region(l->builder, l->regions[outer]);
    kbuilder_at(l->builder, l->regions[depth]);
    KInst loop = {.op = OP_LOOP,
                  .flags = vector ? K_VECTOR : 0,
                  .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE},
                  .imm = (uint64_t)axis};
    kb_inst(l->builder, loop);
}

static void close_loop(Lower *l, int32_t depth) {
    int32_t outer = depth == DEPTH_K && l->b_symbol != LOWER_NO_AXIS ? DEPTH_B : DEPTH_ITEM;
    kbuilder_at(l->builder, l->regions[depth]);
    kb_inst(l->builder, (KInst){.op = OP_END, .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}});
    kb_place(l->builder, l->regions[outer], l->regions[depth]);
}

/* ---- reductions and stores ----------------------------------------------------------------------- */

static void emit_reduction(Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    NodeId input = node_inputs(l->graph, node)[0];
    SN_ASSERT(l->stage >= 0 && l->k_symbol != LOWER_NO_AXIS);
    IndexExpr index[SN_MAX_RANK];
    lower_own_index(l, input, index);
    KValue value = lower_value(l, input, index);
    if (l->failed) return;
    KInst inst = {.op = (uint16_t)kop_of_reduction((OpCode)node->op),
                  .dtype = node->dtype,
                  .order = (uint8_t)node_order(l->graph, id),
                  .in = {value, KVALUE_NONE, KVALUE_NONE},
                  .site = node->site};
    if (!dtype_is_float((sn_dtype)node->dtype)) inst.order = REDUCE_FREE;
    kbuilder_at(l->builder, l->regions[DEPTH_K]);
    l->reduced[id] = lower_inst(l, inst, l->b_symbol != LOWER_NO_AXIS ? DEPTH_B : DEPTH_ITEM);
}

/* A store that waits until the loop's values are computed: a kernel may read what it overwrites. */
typedef struct PendingStore {
    uint32_t access; /* where */
    KValue value;    /* what */
    OpCode op;       /* STORE or STORE_ADD */
    int32_t depth;   /* in which loop */
    uint32_t site;   /* source line */
} PendingStore;
typedef VEC(PendingStore) StoreList;

static void flush_stores(Lower *l, StoreList *stores) {
    for (uint32_t i = 0; i < stores->count && !l->failed; i++) {
        const PendingStore *s = &stores->data[i];
        KInst inst = {.op = (uint16_t)s->op,
                      .dtype = (uint8_t)kb_dtype(l->builder, s->value),
                      .in = {s->value, KVALUE_NONE, KVALUE_NONE},
                      .site = s->site,
                      .imm = s->access};
        kbuilder_at(l->builder, l->regions[s->depth]);
        kb_inst(l->builder, inst);
    }
    stores->count = 0;
}

static int32_t innermost(const Lower *l) {
    if (l->stage >= 0) return DEPTH_K;
    return l->b_symbol != LOWER_NO_AXIS ? DEPTH_B : DEPTH_ITEM;
}

static void queue_store(Lower *l, StoreList *stores, NodeId id, OpCode op, uint32_t buffer,
                        const IndexExpr *address, KValue value) {
    if (l->failed) return;
    PendingStore store = {.access = lower_access(l, buffer, address, true),
                          .value = value,
                          .op = op,
                          .depth = innermost(l),
                          .site = graph_node(l->graph, id)->site};
    if (!l->failed && !vec_push(stores, store)) lower_fail(l, "out of memory");
}

/* Address in the buffer of a node at the node's coordinates. */
static IndexExpr address_in(Lower *l, NodeId node, uint32_t buffer, const IndexExpr *index) {
    Dim strides[SN_MAX_RANK];
    const Node *shape = graph_node(l->graph, node);
    memory_strides(l->graph, program_buffer(l->program, buffer)->node, node, strides);
    IndexExpr address = index_constant(dim_of(0));
    for (int32_t i = 0; i < shape->rank; i++) index_add(&l->space, &address, strides[i], &index[i]);
    return address;
}

/* Coordinates in the base that an update with an index writes: as those of its space, but along the axis
 * where the index says. False where there is none, since every index is an error. */
static bool indexed_target(Lower *l, NodeId id, const IndexExpr *index, IndexExpr *target) {
    const Node *node = graph_node(l->graph, id);
    const UpdateRow *row = update_row((OpCode)node->op);
    int32_t axis = (int32_t)node_attr_int(l->graph, id, ATTR_AXIS);
    Dim size = node_dims(l->graph, node)[axis];
    NodeId which = node_inputs(l->graph, node)[row->index];
    KValue at = lower_value(l, which, row->listed ? &index[axis] : index);
    if (l->failed) return false;
    memcpy(target, index, sizeof(IndexExpr) * node->rank);
    at = lower_checked_index(l, id, at, size);
    if (dim_equal(l->graph->table, node_count(l->graph, id), dim_of(0))) return false;
    target[axis] = index_symbol(lower_value_symbol(l, at, size));
    return true;
}

/* Coordinates in the base that an update writes, from those of its space. */
static bool written_target(Lower *l, NodeId id, const IndexExpr *index, IndexExpr *target) {
    if (update_row((OpCode)graph_node(l->graph, id)->op)->index)
        return indexed_target(l, id, index, target);
    ViewMap map;
    update_map(l->graph, id, &map);
    index_through_map(&l->space, &map, index, target);
    return true;
}

static void emit_update(Lower *l, NodeId id, StoreList *stores) {
    const Node *node = graph_node(l->graph, id);
    const UpdateRow *row = update_row((OpCode)node->op);
    IndexExpr index[SN_MAX_RANK], target[SN_MAX_RANK];
    lower_own_index(l, update_space(l->graph, id), index);
    KValue value = lower_value(l, node_inputs(l->graph, node)[row->value], index);
    if (!written_target(l, id, index, target)) return;
    uint32_t buffer = (uint32_t)l->plan->buffer_of[id];
    IndexExpr address = address_in(l, id, buffer, target);
    queue_store(l, stores, id, row->adds ? OP_STORE_ADD : OP_STORE, buffer, &address, value);
}

static void emit_member_store(Lower *l, NodeId id, StoreList *stores) {
    if (op_is((OpCode)graph_node(l->graph, id)->op, CLASS_UPDATE)) {
        emit_update(l, id, stores);
        return;
    }
    IndexExpr index[SN_MAX_RANK];
    lower_own_index(l, id, index);
    KValue value = lower_value(l, id, index);
    uint32_t buffer = (uint32_t)l->plan->buffer_of[id];
    IndexExpr address = address_in(l, id, buffer, index);
    queue_store(l, stores, id, OP_STORE, buffer, &address, value);
}

/* ---- the kernel of a group ------------------------------------------------------------------------ */

/* Is the member stored in the loops over K, or behind them? */
static bool stored_in_k(const Lower *l, NodeId id) {
    if (l->k_symbol == LOWER_NO_AXIS) return false;
    if (op_is((OpCode)graph_node(l->graph, id)->op, CLASS_REDUCE)) return false;
    Dim count = node_count(l->graph, update_space(l->graph, id));
    return group_level(l->graph->table, l->group, count) == LEVEL_FULL;
}

/* A value that nobody stores, but whose error must be found. */
static bool only_checked(const Lower *l, NodeId id) {
    OpCode op = (OpCode)graph_node(l->graph, id)->op;
    return !l->fusion->materialized[id] && op_has(op, F_FAILS);
}

static void emit_check(Lower *l, NodeId id) {
    IndexExpr index[SN_MAX_RANK];
    lower_own_index(l, id, index);
    lower_value(l, id, index);
}

static void emit_stage(Lower *l, int32_t stage, StoreList *stores) {
    const Group *g = l->group;
    bool opened = false;
    for (uint32_t i = 0; i < g->members.count && !l->failed; i++) {
        NodeId id = g->members.data[i];
        bool reduces = op_is((OpCode)graph_node(l->graph, id)->op, CLASS_REDUCE);
        bool checks = only_checked(l, id);
        bool wanted = (l->fusion->materialized[id] || checks) && stored_in_k(l, id);
        if (!reduces && !wanted) continue;
        int32_t needs = reduces ? lower_stage(l, node_inputs(l->graph, graph_node(l->graph, id))[0])
                                : lower_stage(l, id);
        if (needs != stage) continue;
        if (!opened) {
            l->stage = stage;
            open_loop(l, DEPTH_K, l->k_axis, l->k_vector);
            opened = true;
        }
        if (reduces)
            emit_reduction(l, id);
        else if (checks)
            emit_check(l, id);
        else
            emit_member_store(l, id, stores);
    }
    if (!opened) return;
    flush_stores(l, stores);
    close_loop(l, DEPTH_K);
    l->stage = -1;
}

static int32_t last_stage(Lower *l) {
    int32_t last = -1;
    for (uint32_t i = 0; i < l->group->members.count; i++) {
        NodeId id = l->group->members.data[i];
        int32_t stage = lower_stage(l, id);
        if (stage > last) last = stage;
    }
    return last;
}

/* Ordered adds to memory take no lanes. */
static bool adds_in_order(const Lower *l) {
    for (uint32_t i = 0; i < l->group->members.count; i++) {
        OpCode op = (OpCode)graph_node(l->graph, l->group->members.data[i])->op;
        const UpdateRow *update = update_row_if(op);
        if (update && update->adds) return true;
    }
    return false;
}

static void emit_group(Lower *l) {
    StoreList stores = {0};
    l->regions[DEPTH_ITEM] = kbuilder_region(l->builder, UINT32_MAX);
    l->stage = -1;
    if (l->b_symbol != LOWER_NO_AXIS) open_loop(l, DEPTH_B, l->b_axis, !adds_in_order(l));
    if (l->k_symbol != LOWER_NO_AXIS) {
        int32_t last = last_stage(l);
        lower_choose_kept(l, last);
        for (int32_t stage = 0; stage <= last && !l->failed; stage++) emit_stage(l, stage, &stores);
    }
    for (uint32_t i = 0; i < l->group->members.count && !l->failed; i++) {
        NodeId id = l->group->members.data[i];
        if (l->fusion->materialized[id] && !stored_in_k(l, id)) emit_member_store(l, id, &stores);
        if (only_checked(l, id) && !stored_in_k(l, id)) emit_check(l, id);
    }
    flush_stores(l, &stores);
    if (l->b_symbol != LOWER_NO_AXIS) close_loop(l, DEPTH_B);
    vec_free(&stores);
}

static void emit_copy(Lower *l) {
    StoreList stores = {0};
    l->regions[DEPTH_ITEM] = kbuilder_region(l->builder, UINT32_MAX);
    l->stage = -1;
    open_loop(l, DEPTH_B, l->b_axis, true);
    NodeId copied = l->step->node;
    IndexExpr index[SN_MAX_RANK];
    lower_own_index(l, copied, index);
    KValue value = lower_value(l, copied, index);
    IndexExpr address = address_in(l, copied, l->step->target, index);
    queue_store(l, &stores, copied, OP_STORE, l->step->target, &address, value);
    flush_stores(l, &stores);
    close_loop(l, DEPTH_B);
    vec_free(&stores);
}

/* The index of an op that can fail, without the op. */
static void emit_check_ahead(Lower *l) {
    Dim size;
    NodeId index_node = node_checked_index(l->graph, l->step->node, &size);
    IndexExpr index[SN_MAX_RANK];
    l->regions[DEPTH_ITEM] = kbuilder_region(l->builder, UINT32_MAX);
    l->stage = -1;
    open_loop(l, DEPTH_B, l->b_axis, true);
    lower_own_index(l, index_node, index);
    KValue value = lower_value(l, index_node, index);
    if (!l->failed) lower_checked_index(l, l->step->node, value, size);
    close_loop(l, DEPTH_B);
}

/* ---- steps ----------------------------------------------------------------------------------------- */

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
    vec_free(&l->symbol_values);
}

static bool space_is_empty(const Lower *l) {
    const Group *g = l->group;
    return dim_is(g->a, 0) || dim_is(g->b, 0) || (g->sequential && dim_is(g->k, 0));
}

static sn_status lower_kernel(Lower *l) {
    if (space_is_empty(l)) return SN_OK;
    Program *program = l->program;
    Step first = {.kind = STEP_KERNEL,
                  .commit_code = l->step->commit,
                  .launch = {.kernel = program->kernels.count}};
    if (!vec_push(&program->kernels, (Kernel){0}) || !vec_push(&program->steps, first))
        return error_memory(l->context->error);
    Step *step = &vec_last(&program->steps);
    l->kernel = &vec_last(&program->kernels);
    l->builder = kbuilder_new();
    if (!l->builder) return error_memory(l->context->error);
    make_space(l);
    if (l->space.failed) return error_memory(l->context->error);
    make_axes(l);
    switch (l->step->kind) {
    case PLAN_CHECK:
        emit_check_ahead(l);
        break;
    case PLAN_COPY:
        emit_copy(l);
        break;
    default:
        emit_group(l);
    }
    if (l->failed || l->space.failed)
        return l->context->error->status ? l->context->error->status
                                         : error_memory(l->context->error);
    sn_status status = kbuilder_finish(l->builder, l->kernel, l->context->error);
    if (status != SN_OK) return status;
    step->label = label_of(l);
    step->site = graph_node(l->graph, l->group->shape_of)->site;
    return lower_launch(l, step);
}

/* Tables by node that all steps share. */
typedef struct NodeTables {
    KValue *reduced;       /* see Lower */
    int32_t *stages;       /* see Lower */
    int32_t *kept_from;    /* see Lower */
    uint32_t *kept_access; /* see Lower */
    KeepTables keep;       /* see Lower */
} NodeTables;

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
               .reduced = tables->reduced,
               .stages = tables->stages,
               .kept_from = tables->kept_from,
               .kept_access = tables->kept_access,
               .keep = &tables->keep};
    Group map;
    if (step->kind == PLAN_GROUP) {
        SN_ASSERT(step->group < context->fusion.groups.count);
        l.group = &context->fusion.groups.data[step->group];
        SN_ASSERT(!l.group->dead && l.group->members.count > 0);
    } else {
        map = map_of(&context->graph, step);
        l.group = &map;
    }
    sn_status status =
        l.group->is_extern ? lower_gemm(&l, l.group->members.data[0]) : lower_kernel(&l);
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
        .stages = arena_alloc(&context->arena, sizeof(int32_t) * (count + 1)),
        .kept_from = arena_alloc(&context->arena, sizeof(int32_t) * (count + 1)),
        .kept_access = arena_alloc(&context->arena, sizeof(uint32_t) * (count + 1)),
        .keep.first = arena_alloc(&context->arena, sizeof(int32_t) * (count + 1)),
        .keep.seen = arena_zalloc(&context->arena, sizeof(int32_t) * (count + 1)),
    };
    if (!tables.reduced || !tables.stages || !tables.kept_from || !tables.kept_access ||
        !tables.keep.first || !tables.keep.seen)
        return error_memory(context->error);
    for (uint32_t i = 0; i <= count; i++) {
        tables.reduced[i] = KVALUE_NONE;
        tables.stages[i] = tables.kept_from[i] = tables.keep.first[i] = -1;
        tables.kept_access[i] = UINT32_MAX;
    }
    sn_status status = SN_OK;
    for (uint32_t i = 0; i < context->plan.steps.count && status == SN_OK; i++)
        status = lower_step(context, &context->plan.steps.data[i], &tables);
    if (status != SN_OK) return status;
    return program_fit(program, program->numbers.data, context->error);
}
