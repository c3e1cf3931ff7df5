/* Lowering, row buffers: a row kernel walks its row several times, and a value that is dear (an
 * exponential) and needed in more than one walk is kept in a buffer of the row instead of being
 * computed again. Cheap values are recomputed: their operands still lie in the cache. */
#include "passes/lower/lower.h"

#include "ir/op/dtype.h"

enum {
    KEEP_COST = 8,             /* op_cost from which a value is dear */
    KEEP_MOST_BYTES = 1 << 19, /* of one row: it should stay in the second-level cache */
    KEEP_MOST = 4              /* buffers of one kernel */
};

/* One walk over what a loop needs. */
typedef struct KeepWalk {
    Lower *l;
    int32_t stage; /* the loop */
    int32_t kept;  /* buffers so far */
} KeepWalk;

/* A pointwise value of the full space, stored by nobody else. */
static bool may_keep(const Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    return lower_is_member(l, id) && op_is((OpCode)node->op, CLASS_POINTWISE) &&
           op_cost((OpCode)node->op) >= KEEP_COST && !dtype_is_half((sn_dtype)node->dtype) &&
           group_level(l->graph->table, l->group, node_count(l->graph, id)) == LEVEL_FULL;
}

static void walk(KeepWalk *w, NodeId id) {
    Lower *l = w->l;
    KeepTables *tables = l->keep;
    const Node *node = graph_node(l->graph, id);
    bool passes = l->fusion->roles[id] == ROLE_VIEW || l->fusion->roles[id] == ROLE_INLINE;
    if (tables->seen[id] == tables->walks || (!lower_is_member(l, id) && !passes)) return;
    tables->seen[id] = tables->walks;
    bool reduces = op_is((OpCode)node->op, CLASS_REDUCE);
    if (lower_is_member(l, id) && reduces) return; /* a value of an earlier loop */
    int32_t *first = &tables->first[id]; /* that of a view may be another group's: none is kept */
    if (*first >= 0 && *first < w->stage && may_keep(l, id)) {
        if (l->kept_from[id] < 0 && w->kept < KEEP_MOST) {
            l->kept_from[id] = *first;
            w->kept++;
        }
        if (l->kept_from[id] >= 0) return;
    }
    if (*first < 0) *first = w->stage;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node_inputs(l->graph, node)[i] != NODE_NONE) walk(w, node_inputs(l->graph, node)[i]);
}

void lower_choose_kept(Lower *l, int32_t last_stage) {
    const Group *g = l->group;
    bool fits = dim_hint(l->graph->table, g->k) * 8 <= KEEP_MOST_BYTES;
    if (last_stage < 1 || !fits || l->b_symbol != LOWER_NO_AXIS || g->sequential) return;
    KeepWalk w = {.l = l};
    for (w.stage = 0; w.stage <= last_stage; w.stage++) {
        l->keep->walks++;
        for (uint32_t i = 0; i < g->members.count; i++) {
            NodeId id = g->members.data[i];
            const Node *node = graph_node(l->graph, id);
            bool reduces = op_is((OpCode)node->op, CLASS_REDUCE);
            if (!reduces && !l->fusion->materialized[id]) continue;
            if (lower_stage(l, id) - reduces != w.stage) continue;
            if (!reduces) walk(&w, id);
            for (uint32_t j = 0; reduces && j < node->n_inputs; j++)
                walk(&w, node_inputs(l->graph, node)[j]);
        }
    }
}
