/* What a node reads, seen from a group's iteration space; see fuse.h. */
#include "ir/graph/view_graph.h"
#include "ir/op/dtype.h"
#include "passes/fuse/fuse.h"

Level group_level(DimTable *table, const Group *group, Dim count) {
    Dim rows = dim_mul(table, group->a, group->b);
    if (dim_same(count, dim_mul(table, rows, group->k))) return LEVEL_FULL;
    return dim_same(count, rows) ? LEVEL_ROW : LEVEL_NONE;
}

bool group_has_k(const Group *group) {
    return group->order != REDUCE_BY_POSITION || group->sequential;
}

bool flat_space(const Group *group, IndexSpace *space) {
    space->symbols.count = 0;
    space->failed = false;
    index_axis(space, group->a);
    index_axis(space, group->k);
    index_axis(space, group->b);
    return !space->failed;
}

IndexExpr level_position(DimTable *table, const Group *group, Level level) {
    IndexExpr e = index_constant(dim_of(0));
    Dim strides[3] = {dim_mul(table, group->k, group->b), group->b, dim_of(1)};
    if (level == LEVEL_ROW) strides[AXIS_A] = group->b;
    Dim sizes[3] = {group->a, group->k, group->b};
    for (int32_t axis = AXIS_A; axis <= AXIS_B; axis++) {
        if (dim_is(sizes[axis], 1) || (axis == AXIS_K && level == LEVEL_ROW)) continue;
        e.terms[e.count++] = (IndexTerm){axis, strides[axis]};
    }
    return e;
}

int32_t group_stage(const Graph *graph, const Fusion *fusion, int32_t group, NodeId id) {
    NodeId base = view_base(graph, id);
    return fusion->group_of[base] == group && group != GROUP_NONE ? fusion->stages[base] : 0;
}

IndexExpr written_position(const Graph *graph, const Group *group, NodeId id, IndexSpace *space) {
    const Node *node = graph_node(graph, id);
    const UpdateRow *update = update_row_if((OpCode)node->op);
    DimTable *table = graph->table;
    NodeId value = update_space(graph, id);
    Level level = group_level(table, group, node_count(graph, value));
    IndexExpr position = level_position(table, group, level);
    if (!update) return position;
    if (update->index) return (IndexExpr){.count = INDEX_OVERFLOW};
    const Node *shape = graph_node(graph, value);
    IndexExpr at[SN_MAX_RANK], index[SN_MAX_RANK];
    index_unflatten(space, &position, node_dims(graph, shape), shape->rank, at);
    ViewMap map;
    update_map(graph, id, &map);
    index_through_map(space, &map, at, index);
    return index_flatten(space, index, node_dims(graph, node), node->rank);
}

/* One walk from a consumer towards what it reads. */
typedef struct Walk {
    const Graph *graph;   /* the graph */
    const Fusion *fusion; /* its roles */
    IndexSpace *space;    /* of the consumer's coordinates */
    ReadList *reads;      /* what was met */
    bool failed;          /* out of memory */
} Walk;

static void walk(Walk *w, NodeId id, const IndexExpr *index);

/* The operands of a pointwise node at the node's own coordinates. */
static void walk_operands(Walk *w, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(w->graph, id);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(w->graph, node)[i];
        if (operand == NODE_NONE) continue;
        TensorType type = node_type(w->graph, operand);
        IndexExpr at[SN_MAX_RANK];
        index_broadcast(&type, node->rank, index, at);
        walk(w, operand, at);
    }
}

static void overflow_index(const Graph *graph, NodeId id, IndexExpr *index) {
    for (int32_t i = 0; i < graph_node(graph, id)->rank; i++) {
        index[i] = index_constant(dim_of(0));
        index[i].count = INDEX_OVERFLOW;
    }
}

/* What is read at elements that are not known here must lie in memory, even where it, or what an inlined
 * op broadcasts, has but one element. */
static void walk_anywhere(Walk *w, NodeId id) {
    IndexExpr nowhere[SN_MAX_RANK];
    uint32_t first = w->reads->count;
    overflow_index(w->graph, id, nowhere);
    walk(w, id, nowhere);
    for (uint32_t i = first; i < w->reads->count; i++)
        w->reads->data[i].index.count = INDEX_OVERFLOW;
}

static void walk(Walk *w, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(w->graph, id);
    switch (w->fusion->roles[id]) {
    case ROLE_VIEW: {
        IndexExpr inner[SN_MAX_RANK];
        index_through_view(w->space, w->graph, id, index, inner);
        walk(w, node_inputs(w->graph, node)[0], inner);
        return;
    }
    case ROLE_INLINE:
        if (node->op == OP_PAD)
            walk_anywhere(w, node_inputs(w->graph, node)[0]);
        else
            walk_operands(w, id, index);
        return;
    default: {
        if (node_is_generated(node)) return;
        Read read = {id, index_flatten(w->space, index, node_dims(w->graph, node), node->rank)};
        if (!vec_push(w->reads, read)) w->failed = true;
        return;
    }
    }
}

/* Is the operand read just where a node of this shape is computed: of the same shape, and neither a
 * view nor inlined? */
static bool read_in_place(const Walk *w, const Node *shape, NodeId operand) {
    const Node *node = graph_node(w->graph, operand);
    NodeRole role = (NodeRole)w->fusion->roles[operand];
    return role != ROLE_VIEW && role != ROLE_INLINE &&
           node_has_dims(w->graph, node, node_dims(w->graph, shape), shape->rank);
}

/* What a pointwise op, a reduction or a scan reads; coordinates are worked out only for operands that
 * need them. False when the node has no level in the group. */
static bool walk_elementwise(Walk *w, const Group *group, NodeId id) {
    const Node *node = graph_node(w->graph, id);
    const NodeId *inputs = node_inputs(w->graph, node);
    NodeId shaped = op_is((OpCode)node->op, CLASS_REDUCE) ? inputs[0] : id;
    const Node *shape = graph_node(w->graph, shaped);
    DimTable *table = w->graph->table;
    Level level = group_level(table, group, node_count(w->graph, shaped));
    if (level == LEVEL_NONE) return false;
    IndexExpr position = level_position(table, group, level), index[SN_MAX_RANK], at[SN_MAX_RANK];
    bool known = false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = inputs[i];
        if (operand == NODE_NONE || node_is_generated(graph_node(w->graph, operand))) continue;
        if (read_in_place(w, shape, operand)) {
            if (!vec_push(w->reads, ((Read){operand, position}))) w->failed = true;
            continue;
        }
        if (!known)
            index_unflatten(w->space, &position, node_dims(w->graph, shape), shape->rank, index);
        known = true;
        TensorType type = node_type(w->graph, operand);
        index_broadcast(&type, shape->rank, index, at);
        walk(w, operand, at);
    }
    return true;
}

/* The coordinates at which a member that is none of those is computed. */
static bool own_index(const Graph *graph, const Group *group, NodeId id, IndexSpace *space,
                      IndexExpr *index) {
    NodeId shaped = update_space(graph, id);
    Level level = group_level(graph->table, group, node_count(graph, shaped));
    if (level == LEVEL_NONE) return false;
    IndexExpr position = level_position(graph->table, group, level);
    const Node *shape = graph_node(graph, shaped);
    index_unflatten(space, &position, node_dims(graph, shape), shape->rank, index);
    return true;
}

static void walk_update(Walk *w, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(w->graph, id);
    const NodeId *inputs = node_inputs(w->graph, node);
    const UpdateRow *row = update_row((OpCode)node->op);
    walk_anywhere(w, inputs[0]);
    if (row->index) {
        int64_t axis = node_attr_int(w->graph, id, ATTR_AXIS);
        walk(w, inputs[row->index], row->listed ? &index[axis] : index);
    }
    if (row->value == row->space)
        walk(w, inputs[row->value], index);
    else
        walk_anywhere(w, inputs[row->value]);
}

static void walk_member(Walk *w, NodeId id, const IndexExpr *index) {
    const Node *node = graph_node(w->graph, id);
    const NodeId *inputs = node_inputs(w->graph, node);
    if (op_is((OpCode)node->op, CLASS_UPDATE)) {
        walk_update(w, id, index);
        return;
    }
    switch (node->op) {
    case OP_GATHER:
        walk_anywhere(w, inputs[0]);
        walk(w, inputs[1], index);
        return;
    case OP_INDEX_SELECT:
        walk_anywhere(w, inputs[0]);
        walk(w, inputs[1], &index[node_attr_int(w->graph, id, ATTR_AXIS)]);
        return;
    case OP_PAD:
        walk_anywhere(w, inputs[0]);
        return;
    case OP_ONE_HOT:
        walk(w, inputs[0], index);
        return;
    case OP_RAND:
    case OP_RANDN:
        walk_anywhere(w, inputs[0]);
        return;
    default:
        walk_operands(w, id, index);
    }
}

bool reads_of(const Graph *graph, const Fusion *fusion, const Group *group, NodeId consumer,
              IndexSpace *space, ReadList *reads) {
    Walk w = {.graph = graph, .fusion = fusion, .space = space, .reads = reads};
    IndexExpr index[SN_MAX_RANK];
    OpCode op = (OpCode)graph_node(graph, consumer)->op;
    if (op_is(op, CLASS_POINTWISE) || op_is(op, CLASS_REDUCE) || op_is(op, CLASS_SCAN)) {
        if (!walk_elementwise(&w, group, consumer)) return false;
    } else {
        if (!own_index(graph, group, consumer, space, index)) return false;
        walk_member(&w, consumer, index);
    }
    return !w.failed && !space->failed;
}
