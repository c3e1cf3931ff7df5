/* Fusion, turned clones: a copy that only puts the dims of a value in another order, but for the last, shares
 * the kernel that computes the value, and is where that stores it. The heads of an attention lie side by side
 * in memory that way, though they are computed one after the other. */
#include "ir/graph/view_graph.h"
#include "passes/fuse/fuse.h"

/* What a dim of the clone is, seen from a node on the way to what is copied. */
typedef struct Trail {
    const Graph *graph;        /* the graph */
    NodeId node;               /* the node */
    int32_t from[SN_MAX_RANK]; /* by dim of the clone: its dim; −1: of size 1 */
} Trail;

static void through_permute(Trail *t, const Node *node) {
    int32_t count;
    const int64_t *axes = node_attr_list(t->graph, t->node, ATTR_AXES, &count);
    for (int32_t i = 0; i < SN_MAX_RANK; i++)
        if (t->from[i] >= 0) t->from[i] = (int32_t)axes[t->from[i]];
    t->node = node_inputs(t->graph, node)[0];
}

/* A reshape that only adds or drops dims of size 1. */
static bool through_reshape(Trail *t, const Node *node) {
    NodeId input = node_inputs(t->graph, node)[0];
    const Node *inner = graph_node(t->graph, input);
    const Dim *dims = node_dims(t->graph, node), *own = node_dims(t->graph, inner);
    int32_t becomes[SN_MAX_RANK], at = 0;
    for (int32_t i = 0; i < node->rank; i++) {
        becomes[i] = -1;
        if (dim_is(dims[i], 1)) continue;
        while (at < inner->rank && dim_is(own[at], 1)) at++;
        if (at == inner->rank || !dim_same(dims[i], own[at])) return false;
        becomes[i] = at++;
    }
    while (at < inner->rank && dim_is(own[at], 1)) at++;
    for (int32_t i = 0; i < SN_MAX_RANK; i++)
        if (t->from[i] >= 0) t->from[i] = becomes[t->from[i]];
    t->node = input;
    return at == inner->rank;
}

static int32_t last_dim(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    int32_t last = node->rank - 1;
    while (last >= 0 && dim_is(node_dims(graph, node)[last], 1)) last--;
    return last;
}

bool turned_source(const Graph *graph, NodeId clone, NodeId *source, int32_t *from) {
    const Node *node = graph_node(graph, clone);
    if (node->op != OP_CLONE) return false;
    Trail t = {.graph = graph, .node = node_inputs(graph, node)[0]};
    for (int32_t i = 0; i < SN_MAX_RANK; i++) t.from[i] = i < node->rank ? i : -1;
    for (int32_t i = 0; i < node->rank; i++)
        if (dim_is(node_dims(graph, node)[i], 1)) t.from[i] = -1;
    for (;;) {
        const Node *at = graph_node(graph, t.node);
        if (at->op == OP_PERMUTE)
            through_permute(&t, at);
        else if (at->op != OP_RESHAPE)
            break;
        else if (!through_reshape(&t, at))
            return false;
    }
    int32_t last = last_dim(graph, clone);
    memcpy(from, t.from, sizeof t.from);
    *source = t.node;
    return last >= 0 && from[last] == last_dim(graph, t.node);
}
