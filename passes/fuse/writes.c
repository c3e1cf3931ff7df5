/* Fusion, writes: which node is to overwrite the memory of a value, so that nothing is copied out and back,
 * and what that asks of the kernels. All that read the old value run before; and where an op fails, the
 * writes recorded after it are left out as whole kernels, in which nothing else may be needed. */
#include "passes/fuse/fuser.h"

#include "base/status.h"
#include "ir/graph/view_graph.h"

static bool is_update(const Graph *graph, NodeId id) {
    return op_is((OpCode)graph_node(graph, id)->op, CLASS_UPDATE);
}

static bool can_fail(const Graph *graph, const Fusion *fusion, NodeId id) {
    return fusion->roles[id] == ROLE_MEMBER && node_can_fail(graph, id);
}

/* ---- who overwrites what --------------------------------------------------------------------- */

/* What an input becomes: updates of it one after the other, or of a value that takes its memory. */
static void follow_output(const Graph *graph, Fusion *fusion, const GraphOutput *output) {
    WriteOrder *w = &fusion->writes;
    NodeId input = graph->inputs.data[output->writes_input], first = output->node;
    while (is_update(graph, first)) first = node_inputs(graph, graph_node(graph, first))[0];
    bool plain = first != input && fusion->roles[first] == ROLE_MEMBER;
    if (!plain && first != input) return;
    for (NodeId at = output->node; at != first; at = node_inputs(graph, graph_node(graph, at))[0])
        w->writes[at] = true;
    if (!plain) return;
    w->writes[first] = true;
    w->writer[input] = first;
    w->replaces[first] = input;
}

/* Of several updates of one value the one that writes an input, else the last. */
static void find_update(const Graph *graph, Fusion *fusion, NodeId id) {
    WriteOrder *w = &fusion->writes;
    NodeId base = node_inputs(graph, graph_node(graph, id))[0];
    bool given = node_is_input(graph_node(graph, base));
    if (given ? !w->writes[id] : fusion->roles[base] != ROLE_MEMBER) return;
    NodeId other = w->writer[base];
    if (other != NODE_NONE && w->writes[other] && !w->writes[id]) return;
    if (other != NODE_NONE) w->replaces[other] = NODE_NONE;
    w->writer[base] = id;
    w->replaces[id] = base;
}

/* ---- values computed in their consumers ------------------------------------------------------ */

/* The first node that overwrites what the value of `id` is computed from, where it is computed in its
 * consumers; NODE_NONE. Operands have theirs. */
static NodeId valid_until(const Graph *graph, const Fusion *fusion, const NodeId *until,
                          NodeId id) {
    const Node *node = graph_node(graph, id);
    if (node_is_input(node)) return fusion->writes.writer[id];
    NodeId first = NODE_NONE;
    if (fusion->roles[id] != ROLE_VIEW && fusion->roles[id] != ROLE_INLINE) return first;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(graph, node)[i];
        if (operand != NODE_NONE && until[operand] < first) first = until[operand];
    }
    return first;
}

/* A value of which a consumer runs after that, or is an update that does it elsewhere than it reads, is
 * stored instead. `last` is where each value is read last. */
static void store_what_expires(const Graph *graph, Fusion *fusion, const NodeId *until,
                               NodeId *last) {
    for (NodeId id = graph->nodes.count; id-- > 0;) {
        const Node *node = graph_node(graph, id);
        if (fusion->roles[id] == ROLE_INLINE && until[id] != NODE_NONE &&
            last[id] >= until[id] + (is_update(graph, until[id]) ? 0 : 1))
            fusion->roles[id] = ROLE_MEMBER;
        bool passes = fusion->roles[id] == ROLE_VIEW || fusion->roles[id] == ROLE_INLINE;
        NodeId use = passes ? last[id] : id;
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            NodeId operand = node_inputs(graph, node)[i];
            if (operand != NODE_NONE && last[operand] < use) last[operand] = use;
        }
    }
}

/* ---- ops that can fail ----------------------------------------------------------------------- */

/* Can the value be computed ahead of all steps: from inputs that stay as they are? */
static bool is_given(const Graph *graph, const Fusion *fusion, const bool *written,
                     const bool *given, NodeId id) {
    const Node *node = graph_node(graph, id);
    if (node_is_input(node)) return !written[id];
    if (node_is_generated(node)) return true;
    if (fusion->roles[id] != ROLE_VIEW && fusion->roles[id] != ROLE_INLINE) return false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId operand = node_inputs(graph, node)[i];
        if (operand != NODE_NONE && !given[operand]) return false;
    }
    return true;
}

static void find_unchecked(const Graph *graph, Fusion *fusion, const bool *written, bool *given) {
    WriteOrder *w = &fusion->writes;
    for (NodeId id = 0; id < graph->nodes.count; id++) {
        given[id] = is_given(graph, fusion, written, given, id);
        w->failing[id + 1] = w->failing[id];
        if (!can_fail(graph, fusion, id)) continue;
        Dim size;
        w->unchecked[id] = !given[node_checked_index(graph, id, &size)];
        w->failing[id + 1]++;
    }
}

/* What a write, or an index that is known late, is computed from must be there where an op fails that was
 * recorded after it. */
static void find_needed(const Graph *graph, Fusion *fusion) {
    WriteOrder *w = &fusion->writes;
    for (NodeId id = graph->nodes.count; id-- > 0;) {
        const Node *node = graph_node(graph, id);
        uint32_t own = w->writes[id] ? w->failing[id + 1] : w->failing[id];
        if ((w->writes[id] || w->unchecked[id]) && own < w->needed[id]) w->needed[id] = own;
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            NodeId operand = node_inputs(graph, node)[i];
            if (operand != NODE_NONE && w->needed[id] < w->needed[operand])
                w->needed[operand] = w->needed[id];
        }
    }
}

/* Nothing is known of any node. */
static bool start_order(WriteOrder *w, Arena *arena, uint32_t count) {
    size_t nodes = (size_t)count + 1;
    w->writer = arena_alloc(arena, sizeof *w->writer * nodes);
    w->replaces = arena_alloc(arena, sizeof *w->replaces * nodes);
    w->needed = arena_alloc(arena, sizeof *w->needed * nodes);
    w->failing = arena_zalloc(arena, sizeof *w->failing * nodes);
    w->writes = arena_zalloc(arena, nodes);
    w->unchecked = arena_zalloc(arena, nodes);
    if (!w->writer || !w->replaces || !w->needed || !w->failing || !w->writes || !w->unchecked)
        return false;
    for (uint32_t i = 0; i <= count; i++) {
        w->writer[i] = w->replaces[i] = NODE_NONE;
        w->needed[i] = UINT32_MAX;
    }
    return true;
}

sn_status fuse_writes(PassContext *context) {
    const Graph *graph = &context->graph;
    Fusion *fusion = &context->fusion;
    uint32_t count = graph->nodes.count;
    NodeId *until = arena_alloc(&context->arena, sizeof *until * (count + 1));
    NodeId *last = arena_zalloc(&context->arena, sizeof *last * (count + 1));
    bool *written = arena_zalloc(&context->arena, count + 1);
    bool *given = arena_alloc(&context->arena, count + 1);
    if (!until || !last || !written || !given ||
        !start_order(&fusion->writes, &context->arena, count))
        return error_memory(context->error);
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        const GraphOutput *output = &graph->outputs.data[i];
        if (output->writes_input < 0) continue;
        written[graph->inputs.data[output->writes_input]] = true;
        follow_output(graph, fusion, output);
    }
    for (NodeId id = 0; id < count; id++)
        if (is_update(graph, id)) find_update(graph, fusion, id);
    for (NodeId id = 0; id < count; id++) until[id] = valid_until(graph, fusion, until, id);
    store_what_expires(graph, fusion, until, last);
    find_unchecked(graph, fusion, written, given);
    find_needed(graph, fusion);
    return SN_OK;
}

/* ---- while groups are merged ----------------------------------------------------------------- */

bool fuse_note_read(Fuser *f, NodeId reader, NodeId value) {
    NodeId writer = f->fusion->writes.writer[value];
    if (writer == NODE_NONE || writer <= reader) return true;
    if (!vec_push(&f->old_readers, ((OldReader){reader, f->latest_reader[value]}))) return false;
    f->latest_reader[value] = f->old_readers.count;
    return true;
}

/* Does `reader`, which is in the group, read of `value` only the element that the update writes there? */
static bool reads_what_it_writes(Fuser *f, const Group *group, NodeId reader, NodeId value,
                                 const IndexExpr *written) {
    f->reads.count = 0;
    if (!reads_of(f->graph, f->fusion, group, reader, &f->space, &f->reads)) return false;
    for (uint32_t i = 0; i < f->reads.count; i++)
        if (f->reads.data[i].node == value && !index_equal(&f->reads.data[i].index, written))
            return false;
    return true;
}

/* The same for all that read what an update in group `x` or `y` overwrites, and are there too. */
static bool update_fits(Fuser *f, const Group *joined, NodeId update, int32_t x, int32_t y) {
    NodeId value = f->fusion->writes.replaces[update];
    if (value == NODE_NONE || !flat_space(joined, &f->space)) return true;
    IndexExpr written = written_position(f->graph, joined, update, &f->space);
    for (uint32_t i = f->latest_reader[value]; i; i = f->old_readers.data[i - 1].next) {
        NodeId reader = f->old_readers.data[i - 1].node;
        int32_t group = f->fusion->group_of[reader];
        if (group != x && group != y) continue;
        if (group_has_k(joined) || !reads_what_it_writes(f, joined, reader, value, &written))
            return false;
    }
    return true;
}

Refusal fuse_writes_fit(Fuser *f, const Group *joined, int32_t x, int32_t y) {
    const GroupState *a = &f->states.data[x], *b = &f->states.data[y];
    uint32_t after = a->after > b->after ? a->after : b->after;
    if (a->needed < after || b->needed < after) return REFUSE_FAILS;
    for (int32_t i = 0; i < 2; i++) {
        int32_t own = i ? y : x;
        const Group *group = &f->fusion->groups.data[own];
        for (uint32_t m = 0; f->states.data[own].updates && m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            if (is_update(f->graph, id) && !update_fits(f, joined, id, x, y))
                return REFUSE_OVERWRITES;
        }
    }
    return REFUSE_NONE;
}
