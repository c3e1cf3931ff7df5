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

/* ---- writes ------------------------------------------------------------------------------------------- */

/* One write through a view. */
typedef struct ViewWrite {
    Graph *graph;       /* where nodes go */
    const ViewMap *map; /* of the view */
    NodeId base;        /* what it is a view of */
    Site site;          /* of the write */
    sn_error *error;    /* set on failure */
} ViewWrite;

static NodeId emit1(const ViewWrite *w, OpCode op, NodeId x, const AttrList *attrs) {
    if (x == NODE_NONE) return x;
    return graph_emit(w->graph, op, &x, 1, attrs, w->site, w->error);
}

static NodeId reshape_to(const ViewWrite *w, NodeId x, const Dim *dims, int32_t rank) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, dims, rank);
    return emit1(w, OP_RESHAPE, x, &attrs);
}

/* The value's axes in the order in which the base has them; all of them stay. */
static NodeId in_base_order(const ViewWrite *w, NodeId value) {
    int64_t axes[SN_MAX_RANK];
    for (int32_t i = 0; i < w->map->rank; i++) {
        SN_ASSERT(w->map->axes[i].from >= 0);
        axes[i] = w->map->axes[i].from;
    }
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, axes, w->map->rank);
    return emit1(w, OP_PERMUTE, value, &attrs);
}

static NodeId put_slice(const ViewWrite *w, NodeId value) {
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK], part[SN_MAX_RANK];
    const TensorType type = node_type(w->graph, value);
    int32_t rank = w->map->rank;
    for (int32_t i = 0; i < rank; i++) {
        const ViewAxis *axis = &w->map->axes[i];
        starts[i] = axis->start;
        steps[i] = axis->step;
        part[i] = axis->from < 0 ? dim_of(1) : type.dims[axis->from];
    }
    int64_t order[SN_MAX_RANK];
    if (view_reorders(w->map, order)) value = in_base_order(w, value);
    if (type.rank != rank) value = reshape_to(w, value, part, rank);
    if (value == NODE_NONE) return value;
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, starts, rank);
    attr_add_dims(&attrs, steps, rank);
    return graph_emit(w->graph, OP_PUT_SLICE, (NodeId[]){w->base, value}, 2, &attrs, w->site,
                      w->error);
}

NodeId view_write(Graph *graph, AttrView view, NodeId base, NodeId value, Site site,
                  sn_error *error) {
    ViewMap map;
    TensorType input = node_type(graph, base), result = node_type(graph, value);
    const ViewRow *row = view_row(view.op);
    view_map(graph->table, view.op, view, &input, &result, &map);
    const ViewWrite w = {graph, &map, base, site, error};
    AttrList attrs;
    attr_copy(&attrs, view);
    switch (row->inverse) {
    case INVERSE_RESHAPE:
        return reshape_to(&w, value, input.dims, input.rank);
    case INVERSE_PERMUTE:
        return in_base_order(&w, value);
    case INVERSE_SELF:
        return emit1(&w, view.op, value, &attrs);
    default: /* INVERSE_UPDATE */
        if (row->update == OP_INPUT) return put_slice(&w, value);
        return graph_emit(graph, row->update, (NodeId[]){base, value}, 2, &attrs, site, error);
    }
}
