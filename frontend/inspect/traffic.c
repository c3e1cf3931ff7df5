/* What the ops of a graph would move through memory if each ran alone, as eager runs them. */
#include "frontend/inspect/traffic.h"

#include "base/status.h"
#include "frontend/build.h"
#include "ir/graph/build.h"

static int64_t node_bytes(const Graph *graph, NodeId id) {
    TensorType type = node_type(graph, id);
    return type_count(&type) * (int64_t)sn_dtype_size((sn_dtype)type.dtype);
}

static int64_t operand_bytes(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    int64_t bytes = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        if (input != NODE_NONE) bytes += node_bytes(graph, input);
    }
    return bytes;
}

/* A graph of one node of `graph`, which has few operands; false where that cannot be. */
static bool make_alone(const Graph *graph, NodeId id, Graph *alone, sn_error *error) {
    const Node *node = graph_node(graph, id);
    Site site = graph->sites.data[node->site];
    NodeId inputs[OP_MOST_PARAMS];
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        inputs[i] = NODE_NONE;
        if (input == NODE_NONE) continue;
        TensorType type = node_type(graph, input);
        inputs[i] = graph_input(alone, &type, NULL, site, error);
        if (inputs[i] == NODE_NONE) return false;
    }
    GraphBuilder b = gb_at(alone, site, error);
    NodeId made = gb_emit_like(&b, node_attrs(graph, node), inputs, node->n_inputs);
    return !b.failed && graph_output(alone, made, -1);
}

/* The traffic of the kernels that a composite op comes to: it may have more than one. -1: not
 * known. */
static int64_t composite_bytes(const Graph *graph, NodeId id) {
    Graph alone;
    Program program;
    sn_error error;
    error_init(&error);
    graph_init(&alone, graph->name);
    alone.no_fold = true;
    program_init(&program);
    int64_t bytes = 0;
    bool ok = make_alone(graph, id, &alone, &error) &&
              graph_plan(&alone, &(BuildOptions){0}, &program, &error) == SN_OK;
    for (uint32_t i = 0; ok && i < program.steps.count; i++)
        bytes += program.numbers.data[program.steps.data[i].costs + COST_BYTES];
    program_free(&program);
    graph_free(&alone);
    return ok ? bytes : -1;
}

int64_t unfused_bytes(const Graph *graph) {
    int64_t bytes = 0;
    for (NodeId id = 0; id < graph->nodes.count; id++) {
        OpCode op = (OpCode)graph_node(graph, id)->op;
        if (op_is(op, CLASS_SOURCE) || op_is(op, CLASS_VIEW)) continue;
        int64_t own =
            op_is(op, CLASS_COMPOSITE) && graph_node(graph, id)->n_inputs <= OP_MOST_PARAMS
                ? composite_bytes(graph, id)
                : node_bytes(graph, id) + operand_bytes(graph, id);
        if (own < 0) return 0;
        bytes += own;
    }
    return bytes;
}
