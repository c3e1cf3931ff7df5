/* Chains of views as strides of the memory at their end; see view.h. */
#include "ir/graph/view_graph.h"

#include "ir/graph/index.h"

NodeId view_base(const Graph *graph, NodeId node) {
    while (op_is((OpCode)graph_node(graph, node)->op, CLASS_VIEW))
        node = node_inputs(graph, graph_node(graph, node))[0];
    return node;
}

void row_major_strides(DimTable *table, const Dim *dims, int32_t rank, Dim *strides) {
    Dim stride = dim_of(1);
    for (int32_t i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride = dim_mul(table, stride, dims[i]);
    }
}

void base_strides(const Graph *graph, NodeId base, Dim *strides) {
    const Node *node = graph_node(graph, base);
    if (node_is_input(node)) {
        int32_t count;
        const Dim *own = node_attr_dims(graph, base, ATTR_STRIDES, &count);
        if (count) {
            memcpy(strides, own, sizeof *own * (size_t)count);
            return;
        }
    }
    row_major_strides(graph->table, node_dims(graph, node), node->rank, strides);
}

void memory_strides(const Graph *graph, NodeId owner, NodeId node, Dim *strides) {
    const Node *first = graph_node(graph, owner), *shape = graph_node(graph, node);
    if (node_is_input(first) && first->rank == shape->rank)
        base_strides(graph, owner, strides);
    else
        row_major_strides(graph->table, node_dims(graph, shape), shape->rank, strides);
}

/* Coordinates in the base of a chain of views. */
static void to_base(IndexSpace *space, const Graph *graph, NodeId node, NodeId base,
                    IndexExpr *index) {
    while (node != base) {
        IndexExpr inner[SN_MAX_RANK];
        index_through_view(space, graph, node, index, inner);
        node = node_inputs(graph, graph_node(graph, node))[0];
        memcpy(index, inner, sizeof inner);
    }
}

bool view_strides(const Graph *graph, NodeId node, NodeId base, const Dim *strides_of_base,
                  Dim *strides, Dim *offset) {
    const Node *view = graph_node(graph, node);
    IndexSpace space = {.table = graph->table};
    IndexExpr index[SN_MAX_RANK];
    for (int32_t i = 0; i < view->rank; i++)
        index[i] = index_symbol(index_axis(&space, node_dims(graph, view)[i]));
    to_base(&space, graph, node, base, index);
    IndexExpr address = index_constant(dim_of(0));
    for (int32_t i = 0; i < graph_node(graph, base)->rank; i++)
        index_add(&space, &address, strides_of_base[i], &index[i]);
    bool plain = !space.failed && address.count >= 0;
    for (int32_t i = 0; i < view->rank; i++) strides[i] = dim_of(0);
    for (int32_t i = 0; plain && i < address.count; i++) {
        if (address.terms[i].symbol >= view->rank)
            plain = false;
        else
            strides[address.terms[i].symbol] = address.terms[i].coef;
    }
    *offset = address.constant;
    vec_free(&space.symbols);
    return plain;
}

/* ---- indices from data ----------------------------------------------------------------------- */

/* The largest number of a dtype that has none below 0; -1 for others. */
static int64_t most_of(sn_dtype dtype) {
    return dtype == SN_U8 ? UINT8_MAX : dtype == SN_BOOL ? 1 : -1;
}

bool node_can_fail(const Graph *graph, NodeId id) {
    if (!op_has((OpCode)graph_node(graph, id)->op, F_FAILS)) return false;
    Dim size;
    const Node *index = graph_node(graph, view_base(graph, node_checked_index(graph, id, &size)));
    if (index->op != OP_CAST || !dim_is_number(size)) return true;
    int64_t most = most_of((sn_dtype)graph_node(graph, node_inputs(graph, index)[0])->dtype);
    return most < 0 || size.word <= most;
}
