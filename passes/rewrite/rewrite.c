/* The driver of graph → graph passes; see rewrite.h. */
#include "passes/rewrite/rewrite.h"

#include "base/status.h"
#include "ir/graph/view_graph.h"

/* ---- for rules ------------------------------------------------------------------------------- */

NodeId rewrite_keep(Rewrite *r) {
    return gb_copy(r->b, r->from, r->id, r->map);
}

NodeId rewrite_input(const Rewrite *r, int32_t i) {
    NodeId input = node_inputs(r->from, r->node)[i];
    SN_ASSERT(i < r->node->n_inputs && (input == NODE_NONE || input < r->id));
    return input == NODE_NONE ? NODE_NONE : r->map[input];
}

NodeId rewrite_number(Rewrite *r, sn_dtype dtype, AttrName name) {
    uint32_t number;
    if (node_attr_scalar(r->from, r->id, name, &number)) return gb_real(r->b, dtype, number);
    return gb_hoisted(r->b, dtype, node_attr_double(r->from, r->id, name));
}

NodeId rewrite_finish(Rewrite *r, NodeId x) {
    x = gb_cast(r->b, rewrite_dtype(r), x);
    return gb_reshape(r->b, x, node_dims(r->from, r->node), r->node->rank);
}

/* ---- for results ----------------------------------------------------------------------------- */

bool rewrite_is_whole(const Graph *graph, NodeId view) {
    NodeId base = view_base(graph, view);
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

NodeId rewrite_own_memory(Rewrite *r, const GraphOutput *output) {
    const Graph *graph = r->b->graph;
    NodeId base = view_base(graph, output->node);
    /* Each result is a tensor of its own to the program. */
    bool shared = op_is((OpCode)graph_node(graph, base)->op, CLASS_SOURCE) || r->holds_result[base];
    bool copy;
    if (output->writes_input < 0)
        copy = shared || !rewrite_is_whole(graph, output->node);
    else
        copy = (shared || base != output->node) &&
               graph->inputs.data[output->writes_input] != output->node;
    return copy ? gb_op1(r->b, OP_CLONE, output->node) : output->node;
}

const RewritePass rewrite_live = {
    .name = "simplify", .rule = rewrite_keep, .result = rewrite_own_memory, .drops_dead = true};

/* ---- the driver ------------------------------------------------------------------------------ */

/* Inputs keep their numbers; an op that can fail must be run for its error. */
static void mark_live(const Graph *graph, bool *live) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) live[graph->outputs.data[i].node] = true;
    for (uint32_t i = graph->nodes.count; i-- > 0;) {
        const Node *node = graph_node(graph, i);
        live[i] = live[i] || node_is_input(node) || op_has((OpCode)node->op, F_FAILS);
        for (uint32_t j = 0; live[i] && j < node->n_inputs; j++) {
            NodeId input = node_inputs(graph, node)[j];
            if (input != NODE_NONE) live[input] = true;
        }
    }
}

/* What a rule makes has the type of what it replaces. Where sizes vary, one may not see that it is so. */
static bool has_type(const Rewrite *r, NodeId made) {
    const Node *was = r->node, *is = graph_node(r->b->graph, made);
    return was->dtype == is->dtype &&
           node_has_dims(r->b->graph, is, node_dims(r->from, was), was->rank);
}

static void rewrite_nodes(Rewrite *r, const RewritePass *pass, const bool *live, NodeId *map) {
    for (NodeId i = 0; i < r->from->nodes.count && !r->b->failed; i++) {
        map[i] = NODE_NONE;
        if (live && !live[i]) continue;
        r->id = i;
        r->node = graph_node(r->from, i);
        r->b->site = node_call(r->from, r->node);
        map[i] = pass->rule(r);
        SN_ASSERT((map[i] == NODE_NONE) == r->b->failed);
        if (map[i] != NODE_NONE && !has_type(r, map[i]))
            gb_fail(r->b, SN_ERROR_INTERNAL, "%s: %s changes its type", pass->name,
                    op_info[r->node->op].name);
    }
}

static bool rewrite_results(Rewrite *r, const RewritePass *pass) {
    uint32_t n_outputs = r->from->outputs.count, most = r->b->graph->nodes.count + n_outputs;
    r->holds_result = arena_zalloc(&r->context->arena, sizeof *r->holds_result * (most + 1));
    if (!r->holds_result) return false;
    for (uint32_t i = 0; i < n_outputs && !r->b->failed; i++) {
        GraphOutput output = r->from->outputs.data[i];
        r->b->site = node_call(r->from, graph_node(r->from, output.node));
        output.node = r->map[output.node];
        SN_ASSERT(output.node < r->b->graph->nodes.count);
        output.node = pass->result(r, &output);
        if (!graph_output(r->b->graph, output.node, output.writes_input)) return false;
        SN_ASSERT(output.node < most);
        r->holds_result[view_base(r->b->graph, output.node)] = true;
    }
    return !r->b->failed;
}

sn_status rewrite_into(PassContext *context, const RewritePass *pass, const Graph *from,
                       Graph *to) {
    size_t count = from->nodes.count;
    NodeId *map = arena_alloc(&context->arena, sizeof *map * (count + 1));
    bool *live =
        pass->drops_dead ? arena_zalloc(&context->arena, sizeof *live * (count + 1)) : NULL;
    if (!map || (pass->drops_dead && !live)) return error_memory(context->error);
    if (live) mark_live(from, live);
    GraphBuilder b = gb_at(to, (Site){0}, context->error);
    Rewrite r = {.context = context, .from = from, .map = map, .b = &b, .state = pass->state};
    rewrite_nodes(&r, pass, live, map);
    if (rewrite_results(&r, pass)) return SN_OK;
    return context->error->status ? context->error->status : error_memory(context->error);
}

sn_status rewrite_graph(PassContext *context, const RewritePass *pass) {
    Graph made;
    graph_init_like(&made, &context->graph);
    sn_status status = rewrite_into(context, pass, &context->graph, &made);
    if (status == SN_OK)
        graph_replace(&context->graph, &made);
    else
        graph_free(&made);
    return status;
}
