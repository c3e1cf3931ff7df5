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

/* The value's axes in the order in which the base has them; others are of size 1, and may stand anywhere. */
static NodeId in_base_order(GraphBuilder *b, const ViewMap *map, NodeId value, int32_t rank) {
    int64_t axes[SN_MAX_RANK];
    int32_t count = 0;
    uint32_t placed = 0;
    bool ascends = true;
    for (int32_t i = 0; i < map->rank; i++) {
        int32_t from = map->axes[i].from;
        if (from < 0) continue;
        ascends = ascends && (count == 0 || axes[count - 1] < from);
        axes[count++] = from;
        placed |= 1u << from;
    }
    for (int32_t i = 0; i < rank; i++)
        if (!(placed >> i & 1)) axes[count++] = i;
    return ascends ? value : gb_permute(b, value, axes, count);
}

NodeId view_put(GraphBuilder *b, const ViewMap *map, NodeId base, NodeId value) {
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK], part[SN_MAX_RANK];
    TensorType type = gb_type(b, value);
    for (int32_t i = 0; i < map->rank; i++) {
        const ViewAxis *axis = &map->axes[i];
        part[i] = axis->from < 0 ? dim_of(1) : type.dims[axis->from];
        starts[i] = dim_is(part[i], 0) ? dim_of(0) : axis->start; /* nothing begins anywhere */
        steps[i] = axis->step;
    }
    value = in_base_order(b, map, value, type.rank);
    return gb_put_slice(b, base, gb_reshape(b, value, part, map->rank), starts, steps);
}

NodeId view_write(GraphBuilder *b, AttrView view, NodeId base, NodeId value) {
    ViewMap map;
    TensorType input = gb_type(b, base), result = gb_type(b, value);
    const ViewRow *row = view_row(view.op);
    switch (row->inverse) {
    case INVERSE_RESHAPE:
        return gb_regroup(b, value, input.dims, input.rank);
    case INVERSE_PERMUTE:
        view_map(b->graph->table, view.op, view, &input, &result, &map);
        return in_base_order(b, &map, value, result.rank);
    case INVERSE_SELF:
        return gb_emit_like(b, view, &value, 1);
    default:
        SN_ASSERT(row->inverse == INVERSE_UPDATE);
        view.op = row->update;
        return gb_emit_like(b, view, (NodeId[]){base, value}, 2);
    }
}
