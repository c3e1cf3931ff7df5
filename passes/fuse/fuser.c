/* Fusion, groups: their spaces, which of them must run before which, and whether and how two become
 * one; see fuser.h. */
#include "passes/fuse/fuser.h"

#include "base/assert.h"
#include "ir/graph/view_graph.h"

enum {
    FUSE_MOST_MEMBERS = 128, /* code size: a larger kernel compiles slower and spills */
    FUSE_MOST_COST = 1200,   /* the same, in op_cost units */
    FUSE_MOST_READS = 48     /* arguments of one kernel */
};

/* ---- groups ---------------------------------------------------------------------------------- */

/* Along an axis one element comes after the other: it is the group's K. */
static bool is_sequential(OpCode op) {
    const UpdateRow *update = update_row_if(op);
    return op_is(op, CLASS_SCAN) || (update && update->ordered);
}

/* Nothing else may join, whatever fits: the order of its writes is part of the op. */
static bool is_closed(const Graph *graph, const Group *group) {
    const UpdateRow *update = update_row_if((OpCode)graph_node(graph, group->members.data[0])->op);
    return update && update->ordered;
}

static Dim product(DimTable *table, const Dim *dims, int32_t first, int32_t last) {
    Dim count = dim_of(1);
    for (int32_t i = first; i < last; i++) count = dim_mul(table, count, dims[i]);
    return count;
}

/* The space that a node needs by itself. */
static Group space_of(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    OpCode op = (OpCode)node->op;
    Group g = {.shape_of = update_space(graph, id), .k = {1}, .b = {1}};
    int32_t first = 0, last = 0;
    if (op_is(op, CLASS_REDUCE)) {
        int32_t count;
        const int64_t *axes = node_attr_list(graph, id, ATTR_AXES, &count);
        g.shape_of = node_inputs(graph, node)[0];
        first = count ? (int32_t)axes[0] : 0;
        last = count ? (int32_t)axes[count - 1] + 1 : 0;
        g.order = (uint8_t)node_order(graph, id);
    } else if (is_sequential(op)) {
        first = (int32_t)node_attr_int(graph, id, ATTR_AXIS);
        last = first + 1;
        g.sequential = true;
    }
    const Node *shape = graph_node(graph, g.shape_of);
    const Dim *dims = node_dims(graph, shape);
    g.k_first = first;
    g.k_last = last;
    if (g.order == REDUCE_BY_POSITION && !g.sequential) {
        g.a = product(graph->table, dims, 0, shape->rank);
        return g;
    }
    g.a = product(graph->table, dims, 0, first);
    g.k = product(graph->table, dims, first, last);
    g.b = product(graph->table, dims, last, shape->rank);
    return g;
}

int32_t fuser_group(Fuser *f, NodeId id) {
    Group group = space_of(f->graph, id);
    if (!vec_push(&f->fusion->groups, group)) return GROUP_NONE;
    if (!vec_push(&f->states, (GroupState){0}) || !precedence_add(&f->precedence, id)) {
        f->fusion->groups.count--;
        return GROUP_NONE;
    }
    SN_ASSERT(f->states.count == f->fusion->groups.count);
    int32_t own = (int32_t)f->fusion->groups.count - 1;
    if (!vec_push(&f->fusion->groups.data[own].members, id)) return GROUP_NONE;
    f->fusion->group_of[id] = own;
    return own;
}

/* The combined space of two groups; false when there is none. A map takes the other's space where
 * it is FULL or ROW in it. */
static Refusal join_spaces(DimTable *table, const Group *x, const Group *y, Group *joined) {
    bool x_reduces = group_has_k(x), y_reduces = group_has_k(y);
    *joined = x_reduces || !y_reduces ? *x : *y;
    if (x_reduces && y_reduces) {
        if (!dim_same(x->a, y->a) || !dim_same(x->k, y->k) || !dim_same(x->b, y->b))
            return REFUSE_SPACE;
        if (x->order == REDUCE_CHAIN || y->order == REDUCE_CHAIN) return REFUSE_PRODUCT;
        if (x->sequential || y->sequential) return REFUSE_ORDER;
        if (x->order != y->order && x->order != REDUCE_FREE && y->order != REDUCE_FREE)
            return REFUSE_ORDER;
        if (x->order == REDUCE_FREE) joined->order = y->order;
        return REFUSE_NONE;
    }
    if (!x_reduces && !y_reduces) {
        if (!dim_same(x->a, y->a)) return REFUSE_SPACE;
        return REFUSE_NONE;
    }
    const Group *map = x_reduces ? y : x;
    return group_level(table, joined, map->a) == LEVEL_NONE ? REFUSE_SPACE : REFUSE_NONE;
}

/* A scan mixes with maps of its full size only. */
static bool scan_allows(const Graph *graph, const Group *joined, NodeId id) {
    if (!joined->sequential) return true;
    return group_level(graph->table, joined, node_count(graph, id)) == LEVEL_FULL;
}

/* Is the consumer, which is alone so far, a clone that turns the value? */
static bool may_turn(const Fuser *f, NodeId consumer, NodeId value) {
    NodeId source;
    int32_t from[SN_MAX_RANK];
    const Group *own = &f->fusion->groups.data[f->fusion->group_of[consumer]];
    return own->members.count == 1 && !f->fusion->writes.writes[consumer] &&
           turned_source(f->graph, consumer, &source, from) && source == value;
}

/* Every value that `consumer` reads from group `from` lies where it is computed. */
static Refusal edges_aligned(Fuser *f, const Group *space, NodeId consumer, int32_t from) {
    f->reads.count = 0;
    /* Where memory ran out the pipeline fails as a whole. */
    if (!flat_space(space, &f->space) ||
        !reads_of(f->graph, f->fusion, space, consumer, &f->space, &f->reads))
        return REFUSE_SPACE;
    for (uint32_t i = 0; i < f->reads.count; i++) {
        const Read *read = &f->reads.data[i];
        if (f->fusion->group_of[read->node] != from) continue;
        /* An update's value, and one that is turned, exists in memory only. */
        if (op_is((OpCode)graph_node(f->graph, read->node)->op, CLASS_UPDATE) ||
            f->fusion->turned[read->node])
            return REFUSE_INDEX;
        Level level = group_level(f->graph->table, space, node_count(f->graph, read->node));
        if (level == LEVEL_NONE) return REFUSE_SPACE;
        IndexExpr own = level_position(f->graph->table, space, level);
        if (index_equal(&own, &read->index)) continue;
        if (!may_turn(f, consumer, read->node)) return REFUSE_INDEX;
        f->turned = consumer;
    }
    return REFUSE_NONE;
}

/* Every member of `group` has a place in the joined space, and what it reads from the other group,
 * whose number is `from`, lies there too. A member recorded before all of the other group cannot
 * read from it. */
static Refusal members_fit(Fuser *f, const Group *joined, const Group *group, const Group *other,
                           int32_t from) {
    for (uint32_t i = group->members.count; i-- > 0;) {
        NodeId id = group->members.data[i];
        if (joined->sequential && !scan_allows(f->graph, joined, id)) return REFUSE_SPACE;
        if (id < other->members.data[0]) {
            if (!joined->sequential) break;
            continue;
        }
        Refusal refusal = edges_aligned(f, joined, id, from);
        if (refusal != REFUSE_NONE) return refusal;
    }
    return REFUSE_NONE;
}

/* Adds what the members of group `own` read from memory, unless `x` or `y` computes it, to the distinct
 * values in `found`; false when they become too many. */
static bool find_reads(Fuser *f, int32_t own, int32_t x, int32_t y, NodeId *found, int32_t *count) {
    const Group *group = &f->fusion->groups.data[own];
    if (!flat_space(group, &f->space)) return false;
    for (uint32_t m = 0; m < group->members.count; m++) {
        f->reads.count = 0;
        if (!reads_of(f->graph, f->fusion, group, group->members.data[m], &f->space, &f->reads))
            return false;
        for (uint32_t i = 0; i < f->reads.count; i++) {
            NodeId read = f->reads.data[i].node;
            int32_t from = f->fusion->group_of[read], at = 0;
            if (from != GROUP_NONE && (from == x || from == y)) continue;
            while (at < *count && found[at] != read) at++;
            if (at < *count) continue;
            if (*count == FUSE_MOST_READS) return false;
            found[(*count)++] = read;
        }
    }
    return true;
}

/* Does a kernel have arguments enough for what both read? The bound on it is made exact where it is too
 * high: ops of a chain often read the same values. Not so with reductions: the kernel walks its row for
 * each of them and computes again what came before, so that a long one is slow. */
static bool reads_fit(Fuser *f, int32_t into, int32_t from, const Group *joined) {
    NodeId found[FUSE_MOST_READS];
    int32_t count = 0;
    GroupState *x = &f->states.data[into], *y = &f->states.data[from];
    if (x->reads + y->reads <= FUSE_MOST_READS) return true;
    if (group_has_k(joined)) return false;
    if (!find_reads(f, into, into, from, found, &count) ||
        !find_reads(f, from, into, from, found, &count))
        return false;
    x->reads = count; /* they are about to be merged */
    y->reads = 0;
    return true;
}

Refusal fuser_can_merge(Fuser *f, int32_t into, int32_t from, Group *joined) {
    const Group *x = &f->fusion->groups.data[into], *y = &f->fusion->groups.data[from];
    SN_ASSERT(into != from && into >= 0 && from >= 0);
    if (x->dead || y->dead || is_closed(f->graph, x) || is_closed(f->graph, y))
        return REFUSE_CLOSED;
    f->turned = NODE_NONE;
    Refusal refusal = join_spaces(f->graph->table, x, y, joined);
    if (refusal != REFUSE_NONE) return refusal;
    if (x->members.count + y->members.count > FUSE_MOST_MEMBERS ||
        f->states.data[into].cost + f->states.data[from].cost > FUSE_MOST_COST)
        return REFUSE_SIZE;
    if (precedence_parted(&f->precedence, into, from)) return REFUSE_CYCLE;
    refusal = members_fit(f, joined, x, y, from);
    if (refusal == REFUSE_NONE) refusal = members_fit(f, joined, y, x, into);
    if (refusal == REFUSE_NONE) refusal = fuse_writes_fit(f, joined, into, from);
    return refusal != REFUSE_NONE || reads_fit(f, into, from, joined) ? refusal : REFUSE_SIZE;
}

static void add_state(GroupState *into, const GroupState *from) {
    into->cost += from->cost;
    into->reads += from->reads;
    if (into->after < from->after) into->after = from->after;
    if (into->needed > from->needed) into->needed = from->needed;
    into->updates = into->updates || from->updates;
}

bool fuser_merge(Fuser *f, int32_t into, int32_t from, const Group *joined) {
    Group *x = &f->fusion->groups.data[into], *y = &f->fusion->groups.data[from];
    SN_ASSERT(!x->dead && !y->dead && x->members.count && y->members.count);
    if (!vec_reserve(&x->members, y->members.count)) return false;
    /* Both lists ascend; the union must too: members are computed in that order. */
    uint32_t i = x->members.count, j = y->members.count, at = i + j;
    x->members.count = at;
    NodeId *out = x->members.data;
    while (j > 0)
        out[--at] = i > 0 && out[i - 1] > y->members.data[j - 1] ? out[--i] : y->members.data[--j];
    for (uint32_t m = 0; m < y->members.count; m++) f->fusion->group_of[y->members.data[m]] = into;
    x->a = joined->a;
    x->k = joined->k;
    x->b = joined->b;
    x->shape_of = joined->shape_of;
    x->k_first = joined->k_first;
    x->k_last = joined->k_last;
    x->order = joined->order;
    x->sequential = joined->sequential;
    vec_free(&y->members);
    y->dead = true;
    if (f->turned != NODE_NONE) f->fusion->turned[f->turned] = true;
    add_state(&f->states.data[into], &f->states.data[from]);
    return precedence_merge(&f->precedence, into, from);
}

bool fuser_take_room(Fuser *f, uint32_t into, uint32_t from) {
    GroupState *x = &f->states.data[into];
    const GroupState *y = &f->states.data[from];
    if (x->cost + y->cost > FUSE_MOST_COST || x->reads + y->reads > FUSE_MOST_READS) return false;
    x->cost += y->cost;
    x->reads += y->reads;
    return true;
}
