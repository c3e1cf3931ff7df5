/* Views and updates in graphs: where nodes are read and written, and writes through views. */
#include "ir/graph/view_graph.h"

#include "ir/infer/view_row.h"

void view_map_of(const Graph *graph, NodeId view, ViewMap *map) {
    const Node *node = graph_node(graph, view);
    TensorType input, result;
    node_type_to(graph, node_inputs(graph, node)[0], &input);
    node_type_to(graph, view, &result);
    view_map(graph->table, (OpCode)node->op, node_attrs(graph, node), &input, &result, map);
}

NodeId update_space(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    const UpdateRow *row = update_row_if((OpCode)node->op);
    return row ? node_inputs(graph, node)[row->space] : id;
}

void update_map(const Graph *graph, NodeId id, ViewMap *map) {
    const Node *node = graph_node(graph, id);
    const UpdateRow *row = update_row((OpCode)node->op);
    SN_ASSERT(!row->index);
    TensorType base = node_type(graph, node_inputs(graph, node)[0]);
    TensorType value = node_type(graph, node_inputs(graph, node)[row->value]);
    view_map(graph->table, row->view, node_attrs(graph, node), &base, &value, map);
}

int32_t op_index_operand(OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    const OpOperands *operands = op_operands(op);
    for (int32_t i = 0; i < operands->count; i++) {
        const char *name = params[operands->params[i]].name;
        if (strcmp(name, "index") == 0 || strcmp(name, "target") == 0) return i;
    }
    return OP_MOST_PARAMS;
}

/* Of an attribute `axis`, the size of that axis in operand 0; else the axis that the op adds (one_hot). */
NodeId node_checked_index(const Graph *graph, NodeId id, Dim *size) {
    const Node *node = graph_node(graph, id);
    int32_t index = op_index_operand((OpCode)node->op);
    SN_ASSERT(op_has((OpCode)node->op, F_FAILS) && index < node->n_inputs);
    const NodeId *inputs = node_inputs(graph, node);
    if (op_has_attr((OpCode)node->op, ATTR_AXIS))
        *size = node_dims(graph, graph_node(graph, inputs[0]))[node_attr_int(graph, id, ATTR_AXIS)];
    else
        *size = node_dims(graph, node)[node->rank - 1];
    return inputs[index];
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* One write through a view. */
typedef struct ViewWrite {
    GraphBuilder *b;         /* where nodes go */
    const ViewMap *map;      /* of the view */
    const TensorType *value; /* type of what is written */
    NodeId base;             /* what it is a view of */
} ViewWrite;

/* The value's axes in the order in which the base has them; all of them stay. */
static NodeId in_base_order(const ViewWrite *w, NodeId value) {
    int64_t axes[SN_MAX_RANK];
    for (int32_t i = 0; i < w->map->rank; i++) {
        SN_ASSERT(w->map->axes[i].from >= 0);
        axes[i] = w->map->axes[i].from;
    }
    return gb_permute(w->b, value, axes, w->map->rank);
}

static NodeId put_slice(const ViewWrite *w, NodeId value) {
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK], part[SN_MAX_RANK];
    int32_t rank = w->map->rank;
    for (int32_t i = 0; i < rank; i++) {
        const ViewAxis *axis = &w->map->axes[i];
        starts[i] = axis->start;
        steps[i] = axis->step;
        part[i] = axis->from < 0 ? dim_of(1) : w->value->dims[axis->from];
    }
    int64_t order[SN_MAX_RANK];
    if (view_reorders(w->map, order)) value = in_base_order(w, value);
    if (w->value->rank != rank) value = gb_regroup(w->b, value, part, rank);
    return gb_put_slice(w->b, w->base, value, starts, steps);
}

NodeId view_write(GraphBuilder *b, AttrView view, NodeId base, NodeId value) {
    ViewMap map;
    TensorType input = gb_type(b, base), result = gb_type(b, value);
    const ViewRow *row = view_row(view.op);
    view_map(b->graph->table, view.op, view, &input, &result, &map);
    const ViewWrite w = {b, &map, &result, base};
    switch (row->inverse) {
    case INVERSE_RESHAPE:
        return gb_regroup(b, value, input.dims, input.rank);
    case INVERSE_PERMUTE:
        return in_base_order(&w, value);
    case INVERSE_SELF:
        return gb_emit_like(b, view, &value, 1);
    case INVERSE_SLICE:
        return put_slice(&w, value);
    default:
        SN_ASSERT(row->inverse == INVERSE_UPDATE);
        view.op = row->update;
        return gb_emit_like(b, view, (NodeId[]){base, value}, 2);
    }
}
