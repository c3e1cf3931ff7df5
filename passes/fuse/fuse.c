/* fuse: decides which nodes share a kernel. Nodes are visited in order; each joins the producer
 * group from which most bytes are saved, if every value it reads from there lies at the same point
 * of the iteration space, and drags other producer groups along. Then groups that read the same
 * memory are merged side by side. A reason is kept for each refusal. */
#include "passes/fuse/fuse.h"
#include "base/assert.h"
#include "ir/graph/view_graph.h"

#include "base/status.h"
#include "base/thread/log.h"
#include "ir/op/dtype.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    FUSE_MOST_MEMBERS = 128, /* code size: a larger kernel compiles slower and spills */
    FUSE_MOST_COST = 1200,   /* the same, in op_cost units */
    FUSE_MOST_READS = 48,    /* arguments of one kernel */
    INLINE_MOST_COST = 4,    /* an inlined node is computed again in each consumer */
    INLINE_INDEX_COST = 10   /* the same when it reads no memory (masks made of indices) */
};

static const char *const refusal_text[] = {
#define R(id, text) text,
    FUSE_REFUSALS(R)
#undef R
};

/* What the pass knows of a group beside its members. */
typedef struct GroupState {
    uint64_t *before; /* bit set of groups that must run earlier, transitively */
    uint64_t *direct; /* bit set of those among them that it reads from itself */
    int32_t cost;     /* sum of op_cost */
    int32_t reads;    /* upper bound of distinct values read from memory */
} GroupState;

typedef struct Fuser {
    PassContext *context;   /* the pipeline's */
    const Graph *graph;     /* context->graph */
    Fusion *fusion;         /* the result */
    VEC(GroupState) states; /* by group; the bit sets of a group that was dropped are used again */
    uint32_t with_sets;     /* states that have bit sets, count and those beyond it */
    IndexSpace space;       /* reused */
    ReadList reads;         /* reused */
    uint32_t words;         /* words of a bit set */
    int32_t fresh;          /* the group that nothing reads from yet; GROUP_NONE */
    GroupEdgeList edges;    /* which groups read from which, at the end */
} Fuser;

static bool bit(const uint64_t *set, int32_t i) {
    SN_ASSERT(i >= 0);
    return set[i >> 6] >> (i & 63) & 1;
}
static void set_bit(uint64_t *set, int32_t i) {
    set[i >> 6] |= 1ull << (i & 63);
}
static void clear_bit(uint64_t *set, int32_t i) {
    set[i >> 6] &= ~(1ull << (i & 63));
}
/* Words in which a bit can be set. */
static uint32_t used_words(const Fuser *f) {
    return (f->states.count + 63) / 64;
}
static void unite(const Fuser *f, uint64_t *set, const uint64_t *other) {
    for (uint32_t w = 0; w < used_words(f); w++) set[w] |= other[w];
}

static void note(Fuser *f, NodeId node, int32_t group, Refusal refusal) {
    bool logged = log_on(LOG_FUSION);
    if (!logged && !f->context->explain) return;
    char text[256];
    const Group *g = &f->fusion->groups.data[group];
    snprintf(text, sizeof text, "%s (%%%u) not with %s (%%%u): %s",
             op_info[graph_node(f->graph, node)->op].name, node,
             op_info[graph_node(f->graph, vec_last(&g->members))->op].name, vec_last(&g->members),
             refusal_text[refusal]);
    if (logged) log_write(LOG_FUSION, "%s", text);
    char *copy = f->context->explain ? mem_strdup(text) : NULL;
    if (copy && !vec_push(&f->context->program->notes, copy)) mem_free(copy);
}

/* ---- roles ----------------------------------------------------------------------------------- */

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

/* Values that only a pad reads, through views and other pointwise ops: their space is not the pad's,
 * so they are computed inside it. */
static bool *find_pad_feeds(const Graph *graph, Arena *arena) {
    uint32_t count = graph->nodes.count;
    bool *used = arena_zalloc(arena, count + 1), *other = arena_zalloc(arena, count + 1);
    if (!used || !other) return NULL;
    for (uint32_t i = 0; i < graph->outputs.count; i++) other[graph->outputs.data[i].node] = true;
    for (NodeId id = count; id-- > 0;) {
        const Node *node = graph_node(graph, id);
        bool passes =
            op_is((OpCode)node->op, CLASS_VIEW) || op_is((OpCode)node->op, CLASS_POINTWISE);
        bool feeds = node->op == OP_PAD || (passes && used[id] && !other[id]);
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

static NodeRole role_of(const Graph *graph, const bool *kept, const bool *pad_feeds,
                        InlineInfo *infos, NodeId id) {
    const Node *node = graph_node(graph, id);
    switch (op_info[node->op].klass) {
    case CLASS_SOURCE:
        infos[id] = (InlineInfo){.source = node_is_input(node) ? id : NODE_NONE,
                                 .possible = !op_makes_memory((OpCode)node->op)};
        return ROLE_LEAF;
    case CLASS_VIEW:
        infos[id] = infos[node_inputs(graph, node)[0]];
        return ROLE_VIEW;
    case CLASS_CONTRACT:
        return ROLE_EXTERN;
    case CLASS_POINTWISE:
        if (kept[id] || op_makes_memory((OpCode)node->op)) return ROLE_MEMBER;
        if (pad_feeds[id]) return ROLE_INLINE;
        infos[id] = inline_of_operands(graph, infos, id);
        return infos[id].possible ? ROLE_INLINE : ROLE_MEMBER;
    default:
        return ROLE_MEMBER;
    }
}

/* A value that must lie in memory: what outputs, extern calls, gathers and updates refer to. */
static void keep_base(const Graph *graph, bool *kept, NodeId id) {
    kept[view_base(graph, id)] = true;
}

static sn_status assign_roles(Fuser *f) {
    const Graph *graph = f->graph;
    uint32_t count = graph->nodes.count;
    Arena *arena = &f->context->arena;
    Fusion *fusion = f->fusion;
    fusion->roles = arena_zalloc(arena, count + 1);
    fusion->group_of = arena_alloc(arena, sizeof(int32_t) * (count + 1));
    fusion->materialized = arena_zalloc(arena, count + 1);
    bool *kept = arena_zalloc(arena, count + 1);
    InlineInfo *infos = arena_zalloc(arena, sizeof *infos * (count + 1));
    if (!fusion->roles || !fusion->group_of || !fusion->materialized || !kept || !infos)
        return error_memory(f->context->error);
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        keep_base(graph, kept, graph->outputs.data[i].node);
    for (NodeId i = 0; i < count; i++) {
        const Node *node = graph_node(graph, i);
        fusion->group_of[i] = GROUP_NONE;
        bool refers =
            op_is((OpCode)node->op, CLASS_CONTRACT) || op_is((OpCode)node->op, CLASS_UPDATE);
        for (uint32_t j = 0; refers && j < node->n_inputs; j++)
            if (node_inputs(graph, node)[j] != NODE_NONE)
                if (op_is((OpCode)node->op, CLASS_CONTRACT) || j == 0)
                    keep_base(graph, kept, node_inputs(graph, node)[j]);
    }
    const bool *pad_feeds = find_pad_feeds(graph, arena);
    if (!pad_feeds) return error_memory(f->context->error);
    for (NodeId i = 0; i < count; i++)
        fusion->roles[i] = (uint8_t)role_of(graph, kept, pad_feeds, infos, i);
    return SN_OK;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Along an axis one element comes after the other: it is the group's K. */
static bool is_sequential(OpCode op) {
    const UpdateRow *update = update_row_if(op);
    return op_is(op, CLASS_SCAN) || (update && update->ordered);
}

/* Nothing else may join, whatever fits: the order of its writes is part of the op. */
static bool is_closed(const Graph *graph, const Group *group) {
    const UpdateRow *update = update_row_if((OpCode)graph_node(graph, group->members.data[0])->op);
    return group->is_extern || (update && update->ordered);
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

/* Adds a state without predecessors. */
static bool new_state(Fuser *f) {
    GroupState state = {0};
    if (f->states.count < f->with_sets) {
        state = f->states.data[f->states.count];
        size_t used = sizeof(uint64_t) * (f->states.count / 64 + 1);
        memset(state.before, 0, used);
        memset(state.direct, 0, used);
        state.cost = state.reads = 0;
    } else {
        state.before = arena_zalloc(&f->context->arena, 2 * sizeof(uint64_t) * f->words);
        if (!state.before) return false;
        state.direct = state.before + f->words;
    }
    if (!vec_push(&f->states, state)) return false;
    if (f->states.count > f->with_sets) f->with_sets = f->states.count;
    return true;
}

/* A group of this node alone. */
static int32_t new_group(Fuser *f, NodeId id) {
    Group group = space_of(f->graph, id);
    group.is_extern = f->fusion->roles[id] == ROLE_EXTERN;
    if (!vec_push(&f->fusion->groups, group)) return GROUP_NONE;
    if (!new_state(f)) {
        f->fusion->groups.count--;
        return GROUP_NONE;
    }
    SN_ASSERT(f->states.count == f->fusion->groups.count);
    int32_t own = (int32_t)f->fusion->groups.count - 1;
    if (!vec_push(&f->fusion->groups.data[own].members, id)) return GROUP_NONE;
    f->fusion->group_of[id] = own;
    return own;
}

/* `group` reads from `producer`, and so runs after what that one runs after. */
static void depend(Fuser *f, int32_t group, int32_t producer) {
    GroupState *state = &f->states.data[group];
    SN_ASSERT(group != producer && !bit(f->states.data[producer].before, group));
    set_bit(state->direct, producer);
    set_bit(state->before, producer);
    unite(f, state->before, f->states.data[producer].before);
}

/* The combined space of two groups; false when there is none. A map takes the other's space where
 * it is FULL or ROW in it. */
static Refusal join_spaces(DimTable *table, const Group *x, const Group *y, Group *joined) {
    bool x_reduces = group_has_k(x), y_reduces = group_has_k(y);
    *joined = x_reduces || !y_reduces ? *x : *y;
    if (x_reduces && y_reduces) {
        if (!dim_same(x->a, y->a) || !dim_same(x->k, y->k) || !dim_same(x->b, y->b))
            return REFUSE_SPACE;
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
        /* An update's value exists in memory only. */
        if (op_is((OpCode)graph_node(f->graph, read->node)->op, CLASS_UPDATE)) return REFUSE_INDEX;
        Level level = group_level(f->graph->table, space, node_count(f->graph, read->node));
        if (level == LEVEL_NONE) return REFUSE_SPACE;
        IndexExpr own = level_position(f->graph->table, space, level);
        if (!index_equal(&own, &read->index)) return REFUSE_INDEX;
    }
    return REFUSE_NONE;
}

/* Does `to` need `from` by way of another group too? The last of those on the way is one that `to` reads
 * from itself. */
static bool path_through_third(const Fuser *f, int32_t from, int32_t to) {
    const uint64_t *direct = f->states.data[to].direct;
    for (uint32_t w = 0; w < used_words(f); w++)
        for (uint64_t left = direct[w]; left; left &= left - 1) {
            int32_t last = (int32_t)(w * 64) + __builtin_ctzll(left);
            if (last != from && bit(f->states.data[last].before, from)) return true;
        }
    return false;
}

/* `group` takes over what `gone`, which it absorbs, must run after; so does everything that runs after
 * `group`. */
static void take_needs(Fuser *f, int32_t group, int32_t gone) {
    GroupState *own = &f->states.data[group], *extra = &f->states.data[gone];
    uint64_t added = 0;
    clear_bit(extra->before, group);
    clear_bit(extra->direct, group);
    clear_bit(own->before, gone);
    clear_bit(own->direct, gone);
    unite(f, own->direct, extra->direct);
    for (uint32_t w = 0; w < used_words(f); w++) added |= extra->before[w] & ~own->before[w];
    if (!added) return;
    unite(f, own->before, extra->before);
    for (uint32_t i = 0; i < f->states.count; i++)
        if (bit(f->states.data[i].before, group)) unite(f, f->states.data[i].before, own->before);
}

/* What ran after `gone` runs after `group` now. */
static void replace(Fuser *f, int32_t gone, int32_t group) {
    for (uint32_t i = 0; i < f->states.count; i++) {
        GroupState *other = &f->states.data[i];
        if (!bit(other->before, gone)) continue;
        clear_bit(other->before, gone);
        if ((int32_t)i == group) continue;
        set_bit(other->before, group);
        unite(f, other->before, f->states.data[group].before);
        if (!bit(other->direct, gone)) continue;
        clear_bit(other->direct, gone);
        set_bit(other->direct, group);
    }
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

static Refusal can_merge(Fuser *f, int32_t into, int32_t from, Group *joined) {
    const Group *x = &f->fusion->groups.data[into], *y = &f->fusion->groups.data[from];
    SN_ASSERT(into != from && into >= 0 && from >= 0);
    if (x->dead || y->dead || is_closed(f->graph, x) || is_closed(f->graph, y))
        return REFUSE_CLOSED;
    Refusal refusal = join_spaces(f->graph->table, x, y, joined);
    if (refusal != REFUSE_NONE) return refusal;
    if (x->members.count + y->members.count > FUSE_MOST_MEMBERS ||
        f->states.data[into].cost + f->states.data[from].cost > FUSE_MOST_COST)
        return REFUSE_SIZE;
    bool forward = bit(f->states.data[into].before, from);
    bool backward = bit(f->states.data[from].before, into);
    if ((forward && path_through_third(f, from, into)) ||
        (backward && path_through_third(f, into, from)))
        return REFUSE_CYCLE;
    refusal = members_fit(f, joined, x, y, from);
    if (refusal == REFUSE_NONE) refusal = members_fit(f, joined, y, x, into);
    return refusal != REFUSE_NONE || reads_fit(f, into, from, joined) ? refusal : REFUSE_SIZE;
}

static bool merge(Fuser *f, int32_t into, int32_t from, const Group *joined) {
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
    f->states.data[into].cost += f->states.data[from].cost;
    f->states.data[into].reads += f->states.data[from].reads;
    take_needs(f, into, from);
    if (from != f->fresh) replace(f, from, into);
    return true;
}

/* ---- vertical fusion -------------------------------------------------------------------------- */

enum { MOST_CANDIDATES = 16 };

typedef struct Candidate {
    int32_t group; /* a producer's group */
    int64_t bytes; /* that need not be read back */
} Candidate;

/* Producer groups of a group's one member, most bytes first; sets what must run before it. */
static int32_t find_candidates(Fuser *f, int32_t own, NodeId id, Candidate *found) {
    int32_t count = 0;
    const Group *group = &f->fusion->groups.data[own];
    GroupState *state = &f->states.data[own];
    if (!flat_space(group, &f->space)) return 0;
    f->reads.count = 0;
    if (!reads_of(f->graph, f->fusion, group, id, &f->space, &f->reads)) return 0;
    state->reads = (int32_t)f->reads.count;
    for (uint32_t i = 0; i < f->reads.count; i++) {
        NodeId read = f->reads.data[i].node;
        int32_t from = f->fusion->group_of[read];
        if (from == GROUP_NONE) continue;
        depend(f, own, from);
        int64_t bytes = dim_hint(f->graph->table, node_count(f->graph, read)) *
                        (int64_t)sn_dtype_size((sn_dtype)graph_node(f->graph, read)->dtype);
        int32_t at = 0;
        while (at < count && found[at].group != from) at++;
        if (at == count) {
            if (count == MOST_CANDIDATES) continue;
            found[count++] = (Candidate){from, 0};
        }
        if (__builtin_add_overflow(found[at].bytes, bytes + 1, &found[at].bytes))
            found[at].bytes = INT64_MAX;
    }
    for (int32_t i = 1; i < count; i++)
        for (int32_t j = i; j > 0 && found[j].bytes > found[j - 1].bytes; j--) {
            Candidate swap = found[j];
            found[j] = found[j - 1];
            found[j - 1] = swap;
        }
    return count;
}

/* A node that joined a group leaves its own number free again, so that the bit sets stay short. */
static void drop_last_if_dead(Fuser *f) {
    if (!vec_last(&f->fusion->groups).dead) return;
    f->fusion->groups.count--;
    f->states.count--;
}

static sn_status visit(Fuser *f, NodeId id) {
    int32_t own = new_group(f, id);
    if (own == GROUP_NONE) return error_memory(f->context->error);
    f->fresh = own;
    f->states.data[own].cost = op_cost((OpCode)graph_node(f->graph, id)->op);
    Candidate candidates[MOST_CANDIDATES];
    int32_t count = find_candidates(f, own, id, candidates);
    for (int32_t i = 0; i < count; i++) {
        Group joined;
        /* The older group keeps its number, so that chains do not relabel themselves. */
        int32_t into = candidates[i].group;
        Refusal refusal = can_merge(f, into, own, &joined);
        if (refusal != REFUSE_NONE) {
            note(f, id, into, refusal);
            continue;
        }
        if (!merge(f, into, own, &joined)) return error_memory(f->context->error);
        drop_last_if_dead(f);
        own = into;
        f->fresh = GROUP_NONE;
    }
    f->fresh = GROUP_NONE;
    return SN_OK;
}

/* An extern call: a group of its own that only orders the others. */
static sn_status visit_extern(Fuser *f, NodeId id) {
    int32_t own = new_group(f, id);
    if (own == GROUP_NONE) return error_memory(f->context->error);
    const Node *node = graph_node(f->graph, id);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(f->graph, node)[i];
        if (operand == NODE_NONE) continue;
        int32_t from = f->fusion->group_of[view_base(f->graph, operand)];
        if (from != GROUP_NONE) depend(f, own, from);
    }
    return SN_OK;
}

/* ---- horizontal fusion ------------------------------------------------------------------------ */

/* The group that `own` merges with for the sake of a value that both read; GROUP_NONE when there is none.
 * `reader` has the first group that reads each value. */
static int32_t merge_with_reader(Fuser *f, int32_t own, const ReadList *reads, int32_t *reader) {
    for (uint32_t i = 0; i < reads->count; i++) {
        NodeId read = reads->data[i].node;
        if (dim_hint(f->graph->table, node_count(f->graph, read)) < 2 ||
            f->fusion->group_of[read] == own)
            continue;
        int32_t other = reader[read];
        Group joined;
        if (other == GROUP_NONE || other == own || f->fusion->groups.data[other].dead)
            reader[read] = own;
        else if (can_merge(f, other, own, &joined) == REFUSE_NONE && merge(f, other, own, &joined))
            return other;
    }
    return GROUP_NONE;
}

/* Merges the group as often as it can be; what comes of it is looked at from its first member on. */
static sn_status fuse_sibling(Fuser *f, int32_t own, int32_t *reader) {
    for (uint32_t m = 0; m < f->fusion->groups.data[own].members.count;) {
        const Group *group = &f->fusion->groups.data[own];
        if (!flat_space(group, &f->space)) return error_memory(f->context->error);
        f->reads.count = 0;
        if (!reads_of(f->graph, f->fusion, group, group->members.data[m++], &f->space, &f->reads))
            continue;
        ReadList reads = f->reads; /* can_merge reuses the list */
        f->reads = (ReadList){0};
        int32_t merged = merge_with_reader(f, own, &reads, reader);
        vec_free(&f->reads);
        f->reads = reads;
        if (merged == GROUP_NONE) continue;
        own = merged;
        m = 0;
    }
    return SN_OK;
}

/* Groups with the same space that read the same value become one. */
static sn_status fuse_siblings(Fuser *f) {
    uint32_t count = f->fusion->groups.count;
    int32_t *reader = arena_alloc(&f->context->arena, sizeof *reader * (f->graph->nodes.count + 1));
    if (!reader) return error_memory(f->context->error);
    for (uint32_t i = 0; i < f->graph->nodes.count; i++) reader[i] = GROUP_NONE;
    for (uint32_t g = 0; g < count; g++) {
        if (f->fusion->groups.data[g].dead || f->fusion->groups.data[g].is_extern) continue;
        sn_status status = fuse_sibling(f, (int32_t)g, reader);
        if (status != SN_OK) return status;
    }
    return SN_OK;
}

/* ---- results ---------------------------------------------------------------------------------- */

static void materialize_base(Fuser *f, NodeId id) {
    NodeId base = view_base(f->graph, id);
    if (f->fusion->group_of[base] != GROUP_NONE) f->fusion->materialized[base] = true;
}

/* A member of `group` reads this value: from memory, unless the group computes it itself. */
static bool note_read(Fuser *f, uint32_t group, NodeId id) {
    if (f->fusion->group_of[id] == (int32_t)group) return true;
    materialize_base(f, id);
    int32_t from = f->fusion->group_of[view_base(f->graph, id)];
    if (from == GROUP_NONE || from == (int32_t)group) return true;
    return vec_push(&f->edges, ((GroupEdge){(uint32_t)from, group}));
}

static sn_status mark_materialized(Fuser *f) {
    for (uint32_t i = 0; i < f->graph->outputs.count; i++)
        materialize_base(f, f->graph->outputs.data[i].node);
    for (uint32_t g = 0; g < f->fusion->groups.count; g++) {
        const Group *group = &f->fusion->groups.data[g];
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            const Node *node = graph_node(f->graph, id);
            if (group->is_extern || op_is((OpCode)node->op, CLASS_UPDATE))
                f->fusion->materialized[id] = true;
            if (group->is_extern) {
                for (uint32_t i = 0; i < node->n_inputs; i++)
                    if (node_inputs(f->graph, node)[i] != NODE_NONE &&
                        !note_read(f, g, node_inputs(f->graph, node)[i]))
                        return error_memory(f->context->error);
                continue;
            }
            if (!flat_space(group, &f->space)) return error_memory(f->context->error);
            f->reads.count = 0;
            if (!reads_of(f->graph, f->fusion, group, id, &f->space, &f->reads))
                return error_set(f->context->error, SN_ERROR_INTERNAL, "fuse: %s has no level",
                                 op_info[node->op].name);
            for (uint32_t i = 0; i < f->reads.count; i++)
                if (!note_read(f, g, f->reads.data[i].node)) return error_memory(f->context->error);
        }
    }
    return SN_OK;
}

static sn_status fuse_all(Fuser *f) {
    sn_status status = assign_roles(f);
    for (NodeId i = 0; i < f->graph->nodes.count && status == SN_OK; i++) {
        if (f->fusion->roles[i] == ROLE_MEMBER) status = visit(f, i);
        if (f->fusion->roles[i] == ROLE_EXTERN) status = visit_extern(f, i);
    }
    if (status == SN_OK) status = fuse_siblings(f);
    if (status == SN_OK) status = mark_materialized(f);
    if (status == SN_OK) status = fuse_order(f->context, &f->edges);
    return status;
}

sn_status pass_fuse(PassContext *context) {
    Fuser f = {.context = context,
               .space = {.table = context->graph.table},
               .graph = &context->graph,
               .fusion = &context->fusion,
               .words = context->graph.nodes.count / 64 + 1,
               .fresh = GROUP_NONE};
    sn_status status = fuse_all(&f);
    vec_free(&f.states);
    vec_free(&f.reads);
    vec_free(&f.edges);
    vec_free(&f.space.symbols);
    return status;
}
