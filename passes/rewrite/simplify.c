/* simplify: copies the graph node by node through graph_emit, so that folding and value numbering
 * see every node again, and leaves dead nodes behind. */
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "passes/pass.h"

static bool mark_live(const Graph *from, uint8_t *live) {
    for (uint32_t i = 0; i < from->outputs.count; i++) live[from->outputs.data[i].node] = 1;
    for (uint32_t i = from->nodes.count; i-- > 0;) {
        const Node *node = graph_node(from, i);
        /* Inputs keep their numbers; an op that can fail must be run for its error. */
        if (node_is_input(node) || op_has((OpCode)node->op, F_FAILS)) live[i] = 1;
        if (!live[i]) continue;
        for (uint32_t j = 0; j < node->n_inputs; j++) {
            NodeId input = node_inputs(from, node)[j];
            if (input != NODE_NONE) live[input] = 1;
        }
    }
    return true;
}

NodeId graph_copy_node(const Graph *from, NodeId id, Graph *to, const NodeId *map,
                       sn_error *error) {
    const Node *node = graph_node(from, id);
    Site site = from->sites.data[node->site];
    if (node_is_input(node)) {
        TensorType type = node_type(from, id);
        int32_t count;
        const Dim *strides = node_attr_dims(from, id, ATTR_STRIDES, &count);
        return graph_input(to, &type, count ? strides : NULL, site, error);
    }
    NodeId few[8];
    NodeId *inputs = few;
    if (node->n_inputs > 8) {
        inputs = mem_alloc(sizeof *inputs * node->n_inputs);
        if (!inputs) {
            error_memory(error);
            return NODE_NONE;
        }
    }
    for (uint32_t j = 0; j < node->n_inputs; j++) {
        NodeId input = node_inputs(from, node)[j];
        inputs[j] = input == NODE_NONE ? NODE_NONE : map[input];
    }
    AttrList attrs;
    attr_copy(&attrs, node_attrs(from, node));
    NodeId copy;
    if (node_is_const(node))
        copy = graph_constant(to, (sn_dtype)node->dtype, node_const(from, node), site, error);
    else
        copy = graph_emit(to, (OpCode)node->op, inputs, node->n_inputs, &attrs, site, error);
    if (inputs != few) mem_free(inputs);
    return copy;
}

/* Does an earlier result lie in the same memory? Each is a tensor of its own to the program. */
static bool base_is_result(const Graph *graph, NodeId base) {
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        if (view_base(graph, graph->outputs.data[i].node) == base) return true;
    return false;
}

/* Are the elements of the view those of its base, dense and in order? */
static bool is_whole(const Graph *graph, NodeId view, NodeId base) {
    Dim own[SN_MAX_RANK], strides[SN_MAX_RANK], dense[SN_MAX_RANK], offset;
    const Node *node = graph_node(graph, view);
    const Dim *dims = node_dims(graph, node);
    base_strides(graph, base, own);
    if (!view_strides(graph, view, base, own, strides, &offset) || !dim_is(offset, 0)) return false;
    row_major_strides(graph->table, dims, node->rank, dense);
    bool whole = dim_same(node_count(graph, view), node_count(graph, base));
    for (int32_t i = 0; i < node->rank; i++)
        whole = whole && (dim_is(dims[i], 1) || dim_same(strides[i], dense[i]));
    return whole;
}

/* A result must be a dense value that a kernel stores, in memory that no other has: inputs that an op
 * left as they are, constants, indices and parts get a copy, and so does what is written into an
 * input, unless it is computed by an op of its own. */
sn_status graph_own_memory(Graph *to, GraphOutput *output, sn_error *error) {
    NodeId base = view_base(to, output->node);
    const Node *node = graph_node(to, base);
    bool source = op_is((OpCode)node->op, CLASS_SOURCE);
    bool copy = source || base_is_result(to, base);
    if (output->writes_input < 0)
        copy = copy || !is_whole(to, output->node, base);
    else
        copy =
            (copy || base != output->node) && to->inputs.data[output->writes_input] != output->node;
    if (!copy) return SN_OK;
    AttrList none;
    none.count = 0;
    output->node = graph_emit(to, OP_CLONE, &output->node, 1, &none, (Site){0}, error);
    if (output->node != NODE_NONE) return SN_OK;
    return error && error->status ? error->status : SN_ERROR_MEMORY;
}

sn_status graph_copy_live(const Graph *from, Graph *to, NodeId *map, sn_error *error) {
    uint8_t *live = mem_calloc(from->nodes.count + 1, 1);
    if (!live) return error_memory(error);
    mark_live(from, live);
    sn_status status = SN_OK;
    for (uint32_t i = 0; i < from->nodes.count && status == SN_OK; i++) {
        map[i] = NODE_NONE;
        if (!live[i]) continue;
        map[i] = graph_copy_node(from, i, to, map, error);
        if (map[i] == NODE_NONE) status = error ? error->status : SN_ERROR_MEMORY;
    }
    for (uint32_t i = 0; i < from->outputs.count && status == SN_OK; i++) {
        GraphOutput output = from->outputs.data[i];
        output.node = map[output.node];
        status = graph_own_memory(to, &output, error);
        if (status == SN_OK && !graph_output(to, output.node, output.writes_input))
            status = error_memory(error);
    }
    mem_free(live);
    return status;
}

sn_status pass_simplify(PassContext *context) {
    Graph simple;
    graph_init_like(&simple, &context->graph);
    NodeId *map = mem_alloc(sizeof(NodeId) * (context->graph.nodes.count + 1));
    sn_status status = map ? graph_copy_live(&context->graph, &simple, map, context->error)
                           : error_memory(context->error);
    mem_free(map);
    if (status != SN_OK) {
        graph_free(&simple);
        return status;
    }
    graph_replace(&context->graph, &simple);
    return SN_OK;
}
