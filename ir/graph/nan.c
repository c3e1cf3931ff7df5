/* Which NaNs can be told apart; see nan.h. */
#include "ir/graph/nan.h"

#include "ir/op/dtype.h"

#include <string.h>

/* A cast to the same dtype, or of a half type to the one that it is computed in: the sign stays. */
static bool cast_moves(const Graph *graph, const Node *cast) {
    sn_dtype from = (sn_dtype)graph_node(graph, node_inputs(graph, cast)[0])->dtype;
    return cast->dtype == from || (dtype_is_half(from) && cast->dtype == dtype_compute(from));
}

/* Are elements of the result those of operands, NaNs as they are? */
static bool moves(const Graph *graph, const Node *node) {
    OpCode op = (OpCode)node->op;
    if (op == OP_CAST) return cast_moves(graph, node);
    return op_has(op, F_MOVES) || op_is(op, CLASS_VIEW) || op_is(op, CLASS_SOURCE);
}

bool node_computes_float(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    return dtype_is_float((sn_dtype)node->dtype) && !moves(graph, node);
}

bool node_nan_is_canonical(const Graph *graph, NodeId id) {
    while (op_is((OpCode)graph_node(graph, id)->op, CLASS_VIEW))
        id = node_inputs(graph, graph_node(graph, id))[0];
    return !dtype_is_float((sn_dtype)graph_node(graph, id)->dtype) ||
           node_computes_float(graph, id);
}

static void tell_operands(const Graph *graph, const Node *node, bool *told) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(graph, node)[i];
        if (operand != NODE_NONE) told[operand] = true;
    }
}

void graph_nans_told(const Graph *graph, bool *told) {
    memset(told, 0, sizeof *told * graph->nodes.count);
    for (uint32_t i = 0; i < graph->outputs.count; i++) told[graph->outputs.data[i].node] = true;
    for (NodeId id = graph->nodes.count; id-- > 0;) {
        const Node *node = graph_node(graph, id);
        if (told[id] && moves(graph, node)) tell_operands(graph, node, told);
        if (op_has((OpCode)node->op, F_SIGN))
            told[node_inputs(graph, node)[node->n_inputs - 1]] = true;
    }
}
