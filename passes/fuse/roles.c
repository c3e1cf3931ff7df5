/* Fusion, roles: how each node takes part in kernels. Cheap pointwise values are computed in each of their
 * consumers, views are index arithmetic there; the others are members of groups. */
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "passes/fuse/fuse.h"

enum {
    INLINE_MOST_COST = 4,  /* an inlined node is computed again in each consumer */
    INLINE_INDEX_COST = 10 /* the same when it reads no memory (masks made of indices) */
};

/* What computing a value in each of its consumers comes to. */
typedef struct InlineInfo {
    int32_t cost;  /* op_cost of computing the value from leaves */
    NodeId source; /* the one input it reads; NODE_NONE = none */
    bool possible; /* made of pointwise ops, constants and at most one input */
} InlineInfo;

static InlineInfo inline_of_operands(const Graph *graph, const InlineInfo *infos, NodeId id) {
    const Node *node = graph_node(graph, id);
    InlineInfo info = {.cost = op_cost((OpCode)node->op), .source = NODE_NONE, .possible = true};
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(graph, node)[i];
        if (operand == NODE_NONE) continue;
        const InlineInfo *from = &infos[operand];
        if (!from->possible) return (InlineInfo){0};
        if (from->source != NODE_NONE) {
            if (info.source != NODE_NONE && info.source != from->source) return (InlineInfo){0};
            info.source = from->source;
        }
        info.cost += from->cost;
    }
    int32_t most = info.source == NODE_NONE ? INLINE_INDEX_COST : INLINE_MOST_COST;
    info.possible = info.cost <= most;
    return info;
}

/* Pads that only windows read: elements are looked at several times, and where they lie beyond the edge that
 * is seen each time. */
static bool *find_windowed(const Graph *graph, Arena *arena) {
    uint32_t count = graph->nodes.count;
    bool *windowed = arena_zalloc(arena, count + 1), *other = arena_zalloc(arena, count + 1);
    if (!windowed || !other) return NULL;
    for (uint32_t i = 0; i < graph->outputs.count; i++) other[graph->outputs.data[i].node] = true;
    for (NodeId id = 0; id < count; id++) {
        const Node *node = graph_node(graph, id);
        for (uint32_t j = 0; j < node->n_inputs; j++) {
            NodeId operand = node_inputs(graph, node)[j];
            if (operand == NODE_NONE) continue;
            *(node->op == OP_WINDOWS ? &windowed[operand] : &other[operand]) = true;
        }
    }
    for (NodeId id = 0; id < count; id++)
        windowed[id] = windowed[id] && !other[id] && graph_node(graph, id)->op == OP_PAD;
    return windowed;
}

/* Values that only a pad reads, through views and other pointwise ops: their space is not the pad's,
 * so they are computed inside it, unless that would be once for each window. */
static bool *find_pad_feeds(const Graph *graph, const bool *windowed, Arena *arena) {
    uint32_t count = graph->nodes.count;
    bool *used = arena_zalloc(arena, count + 1), *other = arena_zalloc(arena, count + 1);
    if (!used || !other) return NULL;
    for (uint32_t i = 0; i < graph->outputs.count; i++) other[graph->outputs.data[i].node] = true;
    for (NodeId id = count; id-- > 0;) {
        const Node *node = graph_node(graph, id);
        bool passes =
            op_is((OpCode)node->op, CLASS_VIEW) || op_is((OpCode)node->op, CLASS_POINTWISE);
        bool pads = node->op == OP_PAD && !windowed[id];
        bool feeds = pads || (passes && used[id] && !other[id]);
        for (uint32_t j = 0; j < node->n_inputs; j++) {
            NodeId operand = node_inputs(graph, node)[j];
            if (operand == NODE_NONE) continue;
            used[operand] = true;
            if (!feeds) other[operand] = true;
        }
    }
    for (NodeId id = 0; id < count; id++) used[id] = used[id] && !other[id];
    return used;
}

static NodeRole role_of_pointwise(const Graph *graph, const bool *pad_feeds, InlineInfo *infos,
                                  NodeId id) {
    bool copies = op_makes_memory((OpCode)graph_node(graph, id)->op);
    if (pad_feeds[id] && !copies) return ROLE_INLINE;
    InlineInfo info = inline_of_operands(graph, infos, id);
    /* A copy of what lies in memory is wanted for its layout; one of what does not, as sn_ones makes it, only
     * where something refers to it. */
    if (copies && info.source != NODE_NONE) return ROLE_MEMBER;
    infos[id] = info;
    return info.possible ? ROLE_INLINE : ROLE_MEMBER;
}

/* What is known of all nodes, each by node. */
typedef struct RoleFacts {
    bool *kept;            /* must lie in memory */
    const bool *windowed;  /* see find_windowed */
    const bool *pad_feeds; /* see find_pad_feeds */
    InlineInfo *infos;     /* of the nodes so far */
} RoleFacts;

static NodeRole role_of(const Graph *graph, const RoleFacts *facts, NodeId id) {
    InlineInfo *infos = facts->infos;
    const Node *node = graph_node(graph, id);
    switch (op_info[node->op].klass) {
    case CLASS_SOURCE:
        infos[id] = (InlineInfo){.source = node_is_input(node) ? id : NODE_NONE,
                                 .possible = !op_makes_memory((OpCode)node->op)};
        return ROLE_LEAF;
    case CLASS_VIEW:
        infos[id] = infos[node_inputs(graph, node)[0]];
        return ROLE_VIEW;
    case CLASS_POINTWISE:
        if (facts->kept[id]) return ROLE_MEMBER;
        return role_of_pointwise(graph, facts->pad_feeds, infos, id);
    default:
        return facts->windowed[id] && !facts->kept[id] ? ROLE_INLINE : ROLE_MEMBER;
    }
}

/* A value that must lie in memory: what outputs, gathers and updates refer to. */
static void keep_base(const Graph *graph, bool *kept, NodeId id) {
    kept[view_base(graph, id)] = true;
}

sn_status fuse_roles(PassContext *context) {
    const Graph *graph = &context->graph;
    uint32_t count = graph->nodes.count;
    Arena *arena = &context->arena;
    Fusion *fusion = &context->fusion;
    fusion->roles = arena_zalloc(arena, count + 1);
    RoleFacts facts = {.kept = arena_zalloc(arena, count + 1),
                       .infos = arena_zalloc(arena, sizeof *facts.infos * (count + 1)),
                       .windowed = find_windowed(graph, arena)};
    if (facts.windowed) facts.pad_feeds = find_pad_feeds(graph, facts.windowed, arena);
    if (!fusion->roles || !facts.kept || !facts.infos || !facts.pad_feeds)
        return error_memory(context->error);
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        keep_base(graph, facts.kept, graph->outputs.data[i].node);
    for (NodeId i = 0; i < count; i++) {
        const Node *node = graph_node(graph, i);
        if (op_is((OpCode)node->op, CLASS_UPDATE))
            keep_base(graph, facts.kept, node_inputs(graph, node)[0]);
    }
    for (NodeId i = 0; i < count; i++) fusion->roles[i] = (uint8_t)role_of(graph, &facts, i);
    return SN_OK;
}
