/* fuse: decides which nodes share a kernel. Nodes are visited in order; each joins the producer
 * group from which most bytes are saved, if every value it reads from there lies at the same point
 * of the iteration space, and drags other producer groups along. Then products take in what is made for
 * their columns alone, and groups that read the same memory are merged side by side. A reason is kept for
 * each refusal. */
#include "base/assert.h"
#include "base/status.h"
#include "base/thread/log.h"
#include "ir/graph/view_graph.h"
#include "passes/fuse/fuser.h"

static const char *const refusal_text[] = {
#define R(id, text) text,
    FUSE_REFUSALS(R)
#undef R
};

static void note(Fuser *f, NodeId node, int32_t group, Refusal refusal) {
    bool logged = log_on(LOG_FUSION);
    if (!logged && !f->context->explain) return;
    NodeId last = vec_last(&f->fusion->groups.data[group].members);
    const Node *own = graph_node(f->graph, node), *with = graph_node(f->graph, last);
    FusionNote note = {own->op, with->op, node, last, own->site, with->site, refusal_text[refusal]};
    if (logged) {
        StrBuf text = {0};
        fusion_note_print(&note, &text);
        log_write(LOG_FUSION, "%s", strbuf_text(&text));
        strbuf_free(&text);
    }
    if (f->context->explain) (void)vec_push(&f->context->program->notes, note);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static bool depend(Fuser *f, NodeId before, NodeId after) {
    int32_t group = f->fusion->group_of[after], producer = f->fusion->group_of[before];
    if (group == producer) return true;
    return precedence_link(&f->precedence, producer, group) &&
           vec_push(&f->orders, ((NodeOrder){before, after}));
}

/* A write of an input comes after all ops recorded before it that can fail and are not checked ahead. */
static bool order_unchecked(Fuser *f, NodeId id) {
    const WriteOrder *w = &f->fusion->writes;
    if (w->writes[id] && f->unchecked.count) {
        for (uint32_t i = 0; i < f->unchecked.count; i++)
            if (!depend(f, f->unchecked.data[i], id)) return false;
        f->unchecked.count = 0;
        return vec_push(&f->unchecked, id); /* stands for them */
    }
    return !w->unchecked[id] || vec_push(&f->unchecked, id);
}

/* Has a node, in a fresh group of its own, run after what it waits for as a write. */
static bool order_writes(Fuser *f, NodeId id) {
    GroupState *state = &f->states.data[f->fusion->group_of[id]];
    const WriteOrder *w = &f->fusion->writes;
    state->updates = op_is((OpCode)graph_node(f->graph, id)->op, CLASS_UPDATE);
    state->after = w->writes[id] ? w->failing[id + 1] : 0;
    state->needed = w->needed[id];
    if (w->replaces[id] != NODE_NONE)
        for (uint32_t i = f->latest_reader[w->replaces[id]]; i; i = f->old_readers.data[i - 1].next)
            if (!depend(f, f->old_readers.data[i - 1].node, id)) return false;
    return order_unchecked(f, id);
}

/* ---- vertical fusion ------------------------------------------------------------------------- */

enum { MOST_CANDIDATES = 16 };

typedef struct Candidate {
    int32_t group; /* a producer's group */
    int64_t bytes; /* that need not be read back */
} Candidate;

typedef struct CandidateList {
    Candidate data[MOST_CANDIDATES]; /* further ones are left out */
    int32_t count;                   /* in use */
} CandidateList;

static void add_candidate(CandidateList *found, int32_t group, int64_t bytes) {
    int32_t at = 0;
    while (at < found->count && found->data[at].group != group) at++;
    if (at == found->count) {
        if (at == MOST_CANDIDATES) return;
        found->data[found->count++] = (Candidate){group, 0};
    }
    int64_t *sum = &found->data[at].bytes;
    if (__builtin_add_overflow(*sum, bytes + 1, sum)) *sum = INT64_MAX;
}

static void sort_candidates(CandidateList *found) {
    Candidate *c = found->data;
    for (int32_t i = 1; i < found->count; i++)
        for (int32_t j = i; j > 0 && c[j].bytes > c[j - 1].bytes; j--) {
            Candidate swap = c[j];
            c[j] = c[j - 1];
            c[j - 1] = swap;
        }
}

/* Producer groups of a group's one member, most bytes first; sets what must run before it. */
static bool find_candidates(Fuser *f, int32_t own, NodeId id, CandidateList *found) {
    const Group *group = &f->fusion->groups.data[own];
    GroupState *state = &f->states.data[own];
    f->reads.count = 0;
    if (!flat_space(group, &f->space) ||
        !reads_of(f->graph, f->fusion, group, id, &f->space, &f->reads))
        return false;
    state->reads = (int32_t)f->reads.count;
    for (uint32_t i = 0; i < f->reads.count; i++) {
        NodeId read = f->reads.data[i].node;
        int32_t from = f->fusion->group_of[read];
        if (!fuse_note_read(f, id, read)) return false;
        if (from == GROUP_NONE) continue;
        if (!precedence_link(&f->precedence, from, own)) return false;
        int64_t bytes = dim_hint(f->graph->table, node_count(f->graph, read)) *
                        (int64_t)sn_dtype_size((sn_dtype)graph_node(f->graph, read)->dtype);
        add_candidate(found, from, bytes);
    }
    sort_candidates(found);
    return true;
}

/* A node that joined a group leaves its own number free again, so that numbers stay few. */
static void drop_last_if_dead(Fuser *f) {
    if (!vec_last(&f->fusion->groups).dead || !precedence_drop_last(&f->precedence)) return;
    f->fusion->groups.count--;
    f->states.count--;
}

static sn_status visit(Fuser *f, NodeId id) {
    int32_t own = fuser_group(f, id);
    if (own == GROUP_NONE) return error_memory(f->context->error);
    f->states.data[own].cost = op_cost((OpCode)graph_node(f->graph, id)->op);
    CandidateList candidates;
    candidates.count = 0;
    if (!find_candidates(f, own, id, &candidates) || !order_writes(f, id))
        return error_memory(f->context->error);
    for (int32_t i = 0; i < candidates.count; i++) {
        Group joined;
        /* The older group keeps its number, so that chains do not relabel themselves. */
        int32_t into = candidates.data[i].group;
        Refusal refusal = fuser_can_merge(f, into, own, &joined);
        if (refusal != REFUSE_NONE) {
            note(f, id, into, refusal);
            continue;
        }
        if (!fuser_merge(f, into, own, &joined)) return error_memory(f->context->error);
        drop_last_if_dead(f);
        own = into;
    }
    return SN_OK;
}

/* ---- results --------------------------------------------------------------------------------- */

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

static sn_status note_member_reads(Fuser *f, uint32_t number, NodeId id) {
    const Group *group = &f->fusion->groups.data[number];
    if (!flat_space(group, &f->space)) return error_memory(f->context->error);
    f->reads.count = 0;
    if (!reads_of(f->graph, f->fusion, group, id, &f->space, &f->reads))
        return error_set(f->context->error, SN_ERROR_INTERNAL, "fuse: %s has no level",
                         op_info[graph_node(f->graph, id)->op].name);
    for (uint32_t i = 0; i < f->reads.count; i++)
        if (!note_read(f, number, f->reads.data[i].node)) return error_memory(f->context->error);
    return SN_OK;
}

static sn_status mark_materialized(Fuser *f) {
    sn_status status = SN_OK;
    for (uint32_t i = 0; i < f->graph->outputs.count; i++)
        materialize_base(f, f->graph->outputs.data[i].node);
    for (uint32_t g = 0; g < f->fusion->groups.count; g++) {
        const Group *group = &f->fusion->groups.data[g];
        for (uint32_t m = 0; m < group->members.count && status == SN_OK; m++) {
            NodeId id = group->members.data[m];
            if (op_is((OpCode)graph_node(f->graph, id)->op, CLASS_UPDATE))
                f->fusion->materialized[id] = true;
            status = note_member_reads(f, g, id);
        }
    }
    return status;
}

/* One more than that of what a reduction reduces. */
static sn_status find_stages(Fuser *f) {
    Fusion *fusion = f->fusion;
    uint32_t count = f->graph->nodes.count;
    fusion->stages = arena_zalloc(&f->context->arena, sizeof(int32_t) * (count + 1));
    if (!fusion->stages) return error_memory(f->context->error);
    for (NodeId id = 0; id < count; id++) {
        const Node *node = graph_node(f->graph, id);
        int32_t group = fusion->group_of[id], stage = 0;
        for (uint32_t i = 0; group != GROUP_NONE && i < node->n_inputs; i++) {
            NodeId operand = node_inputs(f->graph, node)[i];
            if (operand == NODE_NONE) continue;
            int32_t earliest = group_stage(f->graph, fusion, group, operand);
            if (earliest > stage) stage = earliest;
        }
        fusion->stages[id] = stage + op_is((OpCode)node->op, CLASS_REDUCE);
    }
    return SN_OK;
}

/* What writes wait for runs before them. */
static bool add_orders(Fuser *f) {
    for (uint32_t i = 0; i < f->orders.count; i++) {
        int32_t from = f->fusion->group_of[f->orders.data[i].before];
        int32_t to = f->fusion->group_of[f->orders.data[i].after];
        if (from != to && !vec_push(&f->edges, ((GroupEdge){(uint32_t)from, (uint32_t)to})))
            return false;
    }
    return true;
}

/* Every node has its role, and no group yet. */
static sn_status start_groups(Fuser *f) {
    Fusion *fusion = f->fusion;
    uint32_t count = f->graph->nodes.count;
    fusion->group_of = arena_alloc(&f->context->arena, sizeof(int32_t) * (count + 1));
    fusion->materialized = arena_zalloc(&f->context->arena, count + 1);
    fusion->turned = arena_zalloc(&f->context->arena, count + 1);
    f->latest_reader = arena_zalloc(&f->context->arena, sizeof(uint32_t) * (count + 1));
    if (!fusion->group_of || !fusion->materialized || !fusion->turned || !f->latest_reader)
        return error_memory(f->context->error);
    for (NodeId i = 0; i < count; i++) fusion->group_of[i] = GROUP_NONE;
    sn_status status = fuse_roles(f->context);
    return status == SN_OK ? fuse_writes(f->context) : status;
}

static sn_status fuse_all(Fuser *f) {
    sn_status status = start_groups(f);
    for (NodeId i = 0; i < f->graph->nodes.count && status == SN_OK; i++)
        if (f->fusion->roles[i] == ROLE_MEMBER) status = visit(f, i);
    if (status == SN_OK) status = fuse_columns(f);
    if (status == SN_OK) status = fuse_siblings(f);
    if (status == SN_OK) status = mark_materialized(f);
    if (status == SN_OK && !add_orders(f)) status = error_memory(f->context->error);
    if (status == SN_OK) status = fuse_order(f->context, &f->edges);
    if (status == SN_OK) status = find_stages(f);
    return status;
}

sn_status pass_fuse(PassContext *context) {
    Fuser f = {
        .context = context,
        .space = {.table = context->graph.table},
        .graph = &context->graph,
        .fusion = &context->fusion,
    };
    sn_status status = fuse_all(&f);
    vec_free(&f.states);
    precedence_free(&f.precedence);
    vec_free(&f.reads);
    vec_free(&f.old_readers);
    vec_free(&f.orders);
    vec_free(&f.unchecked);
    vec_free(&f.edges);
    vec_free(&f.space.symbols);
    return status;
}
