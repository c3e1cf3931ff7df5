/* updates: what an update replaces elements of must lie in memory, and what it replaces them by must not lie
 * in the same: a copy stands for what does not fit. */
#include "ir/graph/view_graph.h"
#include "passes/rewrite/rewrite.h"

enum { MOST_OPERANDS = 3 /* of an update */ };

/* Must operand j of an update be copied? Those before it are settled. */
static bool needs_copy(const Graph *graph, uint32_t j, const NodeId *operands) {
    NodeId memory = view_base(graph, operands[j]);
    const Node *base = graph_node(graph, memory);
    return j == 0 ? node_is_generated(base) && base->op != OP_EMPTY
                  : memory == view_base(graph, operands[0]);
}

/* An update, its operands copied where they have to be. */
static NodeId settle(Rewrite *r) {
    if (!op_is((OpCode)r->node->op, CLASS_UPDATE)) return rewrite_keep(r);
    NodeId inputs[MOST_OPERANDS];
    SN_ASSERT(r->node->n_inputs <= MOST_OPERANDS);
    for (uint32_t j = 0; j < r->node->n_inputs; j++) {
        inputs[j] = rewrite_input(r, (int32_t)j);
        if (!needs_copy(r->b->graph, j, inputs)) continue;
        inputs[j] = gb_op1(r->b, OP_CLONE, inputs[j]);
        if (r->b->failed) return NODE_NONE;
    }
    return gb_emit_like(r->b, node_attrs(r->from, r->node), inputs, r->node->n_inputs);
}

static NodeId keep_result(Rewrite *r, const GraphOutput *output) {
    (void)r;
    return output->node;
}

sn_status pass_updates(PassContext *context) {
    static const RewritePass updates = {.name = "updates", .rule = settle, .result = keep_result};
    bool any = false;
    for (NodeId i = 0; i < context->graph.nodes.count; i++)
        any = any || op_is((OpCode)graph_node(&context->graph, i)->op, CLASS_UPDATE);
    return any ? rewrite_graph(context, &updates) : SN_OK;
}
