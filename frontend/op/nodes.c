/* Running a graph node by node; see nodes.h. */
#include "frontend/op/nodes.h"

#include "base/small.h"
#include "base/status.h"
#include "frontend/op/eager.h"

enum { FEW_OPERANDS = 16 };

/* A constant of the graph as a handle: weak as recorded, or with memory of its own. */
static sn_tensor *const_value(const Graph *graph, NodeId id, Site site) {
    TensorType type = {.dtype = graph_node(graph, id)->dtype, .rank = 0};
    GraphConst constant = node_const(graph, graph_node(graph, id));
    sn_tensor *scalar = tensor_new(TENSOR_WEAK, &type, site);
    if (scalar) scalar->bits = (uint64_t)constant.word;
    return !scalar || constant.weak ? scalar : tensor_realize(scalar, "const", site);
}

static sn_tensor *op_value(const Graph *graph, const Node *node, const AttrList *attrs,
                           sn_tensor *const *values, Site site) {
    SMALL(sn_tensor *, FEW_OPERANDS) operands;
    if (!small_open(&operands, node->n_inputs))
        return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        operands.data[i] = input == NODE_NONE ? SN_NONE : values[input];
    }
    const OpCall call = {(OpCode)node->op, node->n_inputs, operands.data, attrs, NULL, site};
    sn_tensor *result =
        op_is(call.op, CLASS_VIEW) ? eager_view(NULL, &call) : eager_op(NULL, &call);
    small_close(&operands);
    return result;
}

static sn_tensor *node_value(const Graph *graph, NodeId id, sn_tensor *const *inputs,
                             sn_tensor *const *values) {
    const Node *node = graph_node(graph, id);
    Site site = graph->sites.data[node->site];
    if (node_is_input(node)) return inputs[node_attr_int(graph, id, ATTR_NUMBER)];
    if (node_is_const(node)) return const_value(graph, id, site);
    AttrList attrs;
    attr_copy(&attrs, node_attrs(graph, node));
    return op_value(graph, node, &attrs, values, site);
}

static bool copy_results(const Graph *graph, sn_tensor *const *values, sn_tensor **outputs) {
    for (uint32_t i = 0, at = 0; i < graph->outputs.count; i++) {
        if (graph->outputs.data[i].writes_input >= 0) continue;
        outputs[at] = eager_clone(values[graph->outputs.data[i].node], (Site){0});
        if (!outputs[at++]) return false;
    }
    return true;
}

/* Values that will be written into inputs and lie in the memory of one, where an earlier write could
 * change them, are copied. */
static bool save_values(const Graph *graph, sn_tensor *const *inputs, sn_tensor **values) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        sn_tensor **value = &values[output.node];
        bool shares = (*value)->kind != TENSOR_REAL;
        for (uint32_t j = 0; !shares && j < graph->inputs.count; j++)
            shares = tensors_overlap(*value, inputs[j]);
        if (output.writes_input < 0 || !shares) continue;
        *value = eager_clone(*value, (Site){0});
        if (!*value) return false;
    }
    return true;
}

/* Cannot fail. */
static void write_inputs(const Graph *graph, sn_tensor *const *inputs, sn_tensor *const *values) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        if (output.writes_input >= 0)
            tensor_store(inputs[output.writes_input], values[output.node]);
    }
}

sn_status nodes_run(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                    sn_error *error) {
    ThreadState *state = thread_state();
    Recorder *recorder = state->recorder;
    state->recorder = NULL;
    sn_tensor **values = mem_calloc(graph->nodes.count + 1, sizeof *values);
    bool ok = values != NULL;
    for (NodeId id = 0; ok && id < graph->nodes.count; id++) {
        values[id] = node_value(graph, id, inputs, values);
        ok = values[id] != NULL;
    }
    ok = ok && copy_results(graph, values, outputs) && save_values(graph, inputs, values);
    if (ok) write_inputs(graph, inputs, values);
    mem_free(values);
    state->recorder = recorder;
    if (ok) return SN_OK;
    if (!error_pending(state)) return error_memory(error);
    return error_take(error);
}
