/* Lowering, bodies: the code of a kernel. A group's is, for each item, a row of loops over K (one for
 * each stage: a reduction's result is needed before the next loop can start), inside a loop over B if
 * there is one; values are emitted on demand from the stores and reductions back. */
#include "passes/lower/lower.h"

#include "ir/kernel/form.h"
#include "ir/op/dtype.h"

/* ---- loops ----------------------------------------------------------------------------------- */

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

/* ---- reductions and stores ------------------------------------------------------------------- */

static void emit_reduction(Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    SN_ASSERT(l->stage >= 0 && l->k_symbol != LOWER_NO_AXIS);
    KInst inst = {.op = (uint16_t)kop_of_reduction((OpCode)node->op),
                  .dtype = node->dtype,
                  .order = (uint8_t)node_order(l->graph, id),
                  .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE},
                  .site = node->site};
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(l->graph, node)[i];
        IndexExpr index[SN_MAX_RANK];
        lower_own_index(l, input, index);
        inst.in[i] = lower_value(l, input, index);
        if (l->failed) return;
    }
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

/* ---- the kernel of a group ------------------------------------------------------------------- */

/* Is the member stored in the loops over K, or behind them? */
static bool stored_in_k(const Lower *l, NodeId id) {
    if (l->k_symbol == LOWER_NO_AXIS) return false;
    if (op_is((OpCode)graph_node(l->graph, id)->op, CLASS_REDUCE)) return false;
    Dim count = node_count(l->graph, update_space(l->graph, id));
    return group_level(l->graph->table, l->group, count) == LEVEL_FULL;
}

/* A value that nobody stores, but whose error must be found. */
static bool only_checked(const Lower *l, NodeId id) {
    return !l->fusion->materialized[id] && node_can_fail(l->graph, id);
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
        int32_t needs = lower_stage(l, id) - reduces;
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

void lower_group(Lower *l) {
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

/* ---- kernels of single values ---------------------------------------------------------------- */

void lower_copy(Lower *l) {
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

void lower_check(Lower *l) {
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
