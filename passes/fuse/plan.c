/* plan: gives every value that lies in memory a buffer. Updates and elementwise results take over
 * the memory of a value that nobody reads any more (which is how writes to inputs reach the
 * inputs); what is left shares one temporary block by lifetime (ir/program_fit.c), so that the
 * peak is known before the run. */
#include "base/assert.h"
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "ir/op/dtype.h"
#include "passes/fuse/fuse.h"

enum { POSITION_END = INT32_MAX };

/* A place where a value in memory is read. */
typedef struct Reader {
    NodeId node;      /* the value */
    int32_t position; /* of the group in the order; POSITION_END = the caller */
    NodeId consumer;  /* the member that reads; NODE_NONE = the caller */
    uint32_t next;    /* another reader of the same value; NO_READER */
    bool replaced;    /* the base of the update `consumer`: read only if it has to be copied */
    IndexExpr index;  /* row-major position that it reads, in the group's flat space */
} Reader;
enum { NO_READER = -1 };

typedef struct Planner {
    PassContext *context; /* the pipeline's */
    const Graph *graph;   /* the graph */
    const Fusion *fusion; /* its groups */
    Plan *plan;           /* the result */
    Program *program;     /* whose buffers and results are filled in */
    VEC(Reader) readers;  /* by ascending position */
    uint32_t *latest;     /* by node: its reader that was found last; NO_READER */
    uint32_t *first_at;   /* by position: first reader there; one entry more at the end */
    NodeId *owner;        /* by node: a value whose memory it took over; itself = its own */
    bool *overwritten;    /* by node: a later value took its memory */
    bool *returned;       /* by node: a result, or one looks at it: it lies in no input's memory */
    int32_t *position;    /* by group: place in the order */
    IndexSpace space;     /* reused */
    ReadList reads;       /* reused */
    NodeId *unchecked;    /* by position: see find_unchecked */
    NodeId *root;         /* by node: the value that the first of a chain of updates replaces */
    bool *final; /* by node: its value is on the way to what its root, an input, holds at the end */
} Planner;

static sn_status memory_error(Planner *p) {
    return error_memory(p->context->error);
}

/* Shortens the way for whoever asks next. */
static NodeId owner_of(const Planner *p, NodeId node) {
    SN_ASSERT(node < p->graph->nodes.count);
    while (p->owner[node] != node) node = p->owner[node] = p->owner[p->owner[node]];
    return node;
}

static bool in_memory(const Planner *p, NodeId node) {
    return node_is_input(graph_node(p->graph, node)) || p->fusion->materialized[node];
}

/* ---- who reads what -------------------------------------------------------------------------- */

static bool push_reader(Planner *p, Reader reader) {
    if (!in_memory(p, reader.node)) return true;
    reader.next = p->latest[reader.node];
    if (!vec_push(&p->readers, reader)) return false;
    p->latest[reader.node] = p->readers.count - 1;
    return true;
}

static bool is_update(const Planner *p, NodeId id) {
    return op_is((OpCode)graph_node(p->graph, id)->op, CLASS_UPDATE);
}

static bool read_by_member(Planner *p, const Group *group, NodeId id, int32_t position) {
    if (!flat_space(group, &p->space)) return false;
    p->reads.count = 0;
    if (!reads_of(p->graph, p->fusion, group, id, &p->space, &p->reads)) return false;
    NodeId base = is_update(p, id)
                      ? view_base(p->graph, node_inputs(p->graph, graph_node(p->graph, id))[0])
                      : NODE_NONE;
    IndexExpr anywhere = {.count = INDEX_OVERFLOW};
    for (uint32_t i = 0; i < p->reads.count; i++) {
        const Read *read = &p->reads.data[i];
        /* An update's first read is its base, which it does not read but replace. */
        bool replaced = i == 0 && read->node == base;
        Reader reader = {read->node, position, id, (uint32_t)NO_READER, replaced, read->index};
        if (replaced) reader.index = anywhere;
        if (!push_reader(p, reader)) return false;
    }
    return true;
}

static sn_status find_readers(Planner *p) {
    for (uint32_t i = 0; i < p->fusion->order.count; i++) {
        const Group *group = &p->fusion->groups.data[p->fusion->order.data[i]];
        p->position[p->fusion->order.data[i]] = (int32_t)i;
        p->first_at[i] = p->readers.count;
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            if (!read_by_member(p, group, id, (int32_t)i)) return memory_error(p);
        }
    }
    p->first_at[p->fusion->order.count] = p->readers.count;
    IndexExpr anywhere = {.count = INDEX_OVERFLOW};
    /* What is written into an input is read at the end too, or lies there already. */
    for (uint32_t i = 0; i < p->graph->outputs.count; i++) {
        NodeId node = view_base(p->graph, p->graph->outputs.data[i].node);
        if (p->graph->outputs.data[i].writes_input < 0) p->returned[node] = true;
        Reader caller = {node, POSITION_END, NODE_NONE, (uint32_t)NO_READER, false, anywhere};
        if (!push_reader(p, caller)) return memory_error(p);
    }
    return SN_OK;
}

/* ---- taking over memory ---------------------------------------------------------------------- */

/* The last loop over K of the group's kernel in which a member reads memory. */
static int32_t last_loop(const Planner *p, const Group *group) {
    int32_t last = 0;
    for (uint32_t m = 0; m < group->members.count; m++) {
        NodeId id = group->members.data[m];
        bool reduces = op_is((OpCode)graph_node(p->graph, id)->op, CLASS_REDUCE);
        Level level = group_level(p->graph->table, group, node_count(p->graph, id));
        int32_t loop = reduces               ? p->fusion->stages[id] - 1
                       : level == LEVEL_FULL ? p->fusion->stages[id]
                                             : 0;
        if (loop > last) last = loop;
    }
    return last;
}

/* Does the kernel have all that it reads of an element when it stores `id` there? A row is stored after all
 * loops over K; what has an element for each step of one, in a loop that none follows. */
static bool stored_last(const Planner *p, const Group *group, NodeId id) {
    if (!group_has_k(group)) return true;
    Dim count = node_count(p->graph, update_space(p->graph, id));
    Level level = group_level(p->graph->table, group, count);
    if (group->sequential || level == LEVEL_NONE) return false;
    return level == LEVEL_ROW || p->fusion->stages[id] >= last_loop(p, group);
}

/* May `id` be written over the memory of `old`? Every other reader of it must have run before, or
 * read in the same kernel exactly the element that is then written. */
static bool may_overwrite(Planner *p, NodeId id, NodeId old) {
    SN_ASSERT(p->fusion->group_of[id] != GROUP_NONE);
    const Group *group = &p->fusion->groups.data[p->fusion->group_of[id]];
    int32_t position = p->position[p->fusion->group_of[id]];
    if (p->overwritten[old]) return false;
    IndexExpr written = {.count = INDEX_OVERFLOW};
    bool beside = false; /* the same kernel reads it */
    if (!p->fusion->turned[id] && flat_space(group, &p->space))
        written = written_position(p->graph, group, id, &p->space);
    for (uint32_t i = p->latest[old]; i != (uint32_t)NO_READER; i = p->readers.data[i].next) {
        const Reader *reader = &p->readers.data[i];
        if (reader->position < position) break; /* and so are all that were found earlier */
        if (reader->replaced && reader->consumer == id) continue;
        if (reader->position > position || !index_equal(&reader->index, &written)) return false;
        beside = true;
    }
    return !beside || stored_last(p, group, id);
}

static void take_over(Planner *p, NodeId id, NodeId old) {
    SN_ASSERT(p->owner[id] == id && !p->overwritten[old]);
    p->owner[id] = old;
    p->overwritten[old] = true;
}

/* An input's memory may be written only on the way to its final value: by the updates that lead from it to
 * the result that is written there. */
static void find_final(Planner *p) {
    for (NodeId i = 0; i < p->graph->nodes.count; i++)
        p->root[i] =
            is_update(p, i) ? p->root[node_inputs(p->graph, graph_node(p->graph, i))[0]] : i;
    for (uint32_t i = 0; i < p->graph->outputs.count; i++) {
        GraphOutput output = p->graph->outputs.data[i];
        if (output.writes_input < 0) continue;
        NodeId at = output.node, input = p->graph->inputs.data[output.writes_input];
        if (p->root[at] != input) continue;
        for (; at != input && !p->final[at];
             at = node_inputs(p->graph, graph_node(p->graph, at))[0])
            p->final[at] = true;
    }
}

/* May an input be written by this node, though an op recorded before it can fail? Where that is known when
 * its kernel is to run: the index was checked ahead of all steps, or the op has run. */
static bool failures_are_known(const Planner *p, NodeId id) {
    return p->unchecked[p->position[p->fusion->group_of[id]]] > id;
}

/* An update of its base in place. Data errors must be known before an input is touched. */
static bool update_in_place(Planner *p, NodeId id) {
    NodeId base = node_inputs(p->graph, graph_node(p->graph, id))[0];
    if (!in_memory(p, base) || view_base(p->graph, base) != base) return false;
    NodeId memory = owner_of(p, base);
    bool input = node_is_input(graph_node(p->graph, memory));
    SN_ASSERT(!input || memory == p->root[id]);
    if (input && (p->returned[id] || !failures_are_known(p, id) || !p->final[id])) return false;
    return may_overwrite(p, id, base);
}

/* A kernel sees a buffer in one dtype only. */
static bool same_elements(const Planner *p, NodeId x, NodeId y) {
    return graph_node(p->graph, x)->dtype == graph_node(p->graph, y)->dtype &&
           dim_same(node_count(p->graph, x), node_count(p->graph, y));
}

/* An elementwise result over a temporary that the same kernel reads for the last time. */
static void reuse_operand(Planner *p, NodeId id) {
    const Group *group = &p->fusion->groups.data[p->fusion->group_of[id]];
    if (group->sequential || group->order == REDUCE_CHAIN) return;
    int32_t position = p->position[p->fusion->group_of[id]];
    for (uint32_t i = p->first_at[position]; i < p->first_at[position + 1]; i++) {
        NodeId old = p->readers.data[i].node;
        if (node_is_input(graph_node(p->graph, owner_of(p, old))) || !same_elements(p, id, old))
            continue;
        if (!may_overwrite(p, id, old)) continue;
        take_over(p, id, old);
        return;
    }
}

/* Results that are written into an input: straight there when its old value is not needed. What is updated
 * in place afterwards lies there from the start. */
static void write_input(Planner *p, const GraphOutput *output) {
    NodeId input = p->graph->inputs.data[output->writes_input];
    NodeId id = owner_of(p, output->node);
    if (p->fusion->group_of[id] == GROUP_NONE || is_update(p, id) ||
        p->fusion->roles[id] != ROLE_MEMBER)
        return;
    for (NodeId at = output->node;; at = node_inputs(p->graph, graph_node(p->graph, at))[0]) {
        if (p->returned[at] || !failures_are_known(p, at)) return;
        if (at == id) break;
        if (!is_update(p, at)) return;
    }
    if (may_overwrite(p, id, input)) take_over(p, id, input);
}

/* By position: the first op that can fail, is not checked ahead, and has not run before. */
static void find_unchecked(Planner *p) {
    NodeId first = NODE_NONE;
    p->unchecked[p->fusion->order.count] = first;
    for (uint32_t i = p->fusion->order.count; i-- > 0;) {
        const Group *group = &p->fusion->groups.data[p->fusion->order.data[i]];
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            if (p->fusion->writes.unchecked[id] && id < first) first = id;
        }
        p->unchecked[i] = first;
    }
}

static void share_memory(Planner *p) {
    find_unchecked(p);
    find_final(p);
    for (uint32_t i = 0; i < p->fusion->order.count; i++) {
        const Group *group = &p->fusion->groups.data[p->fusion->order.data[i]];
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            if (is_update(p, id) && update_in_place(p, id))
                take_over(p, id, node_inputs(p->graph, graph_node(p->graph, id))[0]);
        }
    }
    for (uint32_t i = 0; i < p->graph->outputs.count; i++)
        if (p->graph->outputs.data[i].writes_input >= 0) write_input(p, &p->graph->outputs.data[i]);
    for (uint32_t i = 0; i < p->fusion->order.count; i++) {
        const Group *group = &p->fusion->groups.data[p->fusion->order.data[i]];
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            if (p->fusion->materialized[id] && p->owner[id] == id && !is_update(p, id))
                reuse_operand(p, id);
        }
    }
}

/* ---- buffers --------------------------------------------------------------------------------- */

static bool add_buffer(Planner *p, NodeId node, BufferKind kind, int32_t number) {
    SN_ASSERT(p->plan->buffer_of[node] == NO_BUFFER && owner_of(p, node) == node);
    Dim count = node_count(p->graph, node);
    Buffer buffer = {.kind = (uint8_t)kind,
                     .dtype = graph_node(p->graph, node)->dtype,
                     .number = number,
                     .elements = program_sizes(p->program, p->graph->table, &count, 1),
                     .offset = program_zeros(p->program, 1),
                     .node = node,
                     .call = node_call(p->graph, graph_node(p->graph, node)),
                     .first_step = INT32_MAX,
                     .last_step = -1};
    p->plan->buffer_of[node] = (int32_t)p->program->buffers.count;
    return buffer.elements != PLACE_NONE && buffer.offset != PLACE_NONE &&
           vec_push(&p->program->buffers, buffer);
}

/* Buffers of inputs, then of results, then of what is left. */
static sn_status make_buffers(Planner *p) {
    const Graph *graph = p->graph;
    for (uint32_t i = 0; i < graph->inputs.count; i++)
        if (!add_buffer(p, graph->inputs.data[i], BUFFER_INPUT, (int32_t)i)) return memory_error(p);
    p->program->n_inputs = (int32_t)graph->inputs.count;
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        if (graph->outputs.data[i].writes_input >= 0) continue;
        NodeId memory = owner_of(p, view_base(graph, graph->outputs.data[i].node));
        if (p->plan->buffer_of[memory] != NO_BUFFER) continue;
        if (!add_buffer(p, memory, BUFFER_OUTPUT, p->program->n_outputs++)) return memory_error(p);
    }
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        if (!p->fusion->materialized[i]) continue;
        NodeId memory = owner_of(p, i);
        if (p->plan->buffer_of[memory] == NO_BUFFER && !add_buffer(p, memory, BUFFER_TEMP, 0))
            return memory_error(p);
        p->plan->buffer_of[i] = p->plan->buffer_of[memory];
    }
    return SN_OK;
}

/* Where in its buffer a result lies. */
static bool place_output(Planner *p, NodeId node, ProgramOutput *result) {
    NodeId base = view_base(p->graph, node);
    Dim own[SN_MAX_RANK], strides[SN_MAX_RANK], offset;
    DimTable *table = p->graph->table;
    result->buffer = (uint32_t)p->plan->buffer_of[base];
    memory_strides(p->graph, owner_of(p, base), base, own);
    if (!view_strides(p->graph, node, base, own, strides, &offset)) return false;
    result->strides = program_sizes(p->program, table, strides, result->rank);
    result->offset = program_sizes(p->program, table, &offset, 1);
    return result->strides != PLACE_NONE && result->offset != PLACE_NONE;
}

static sn_status describe_outputs(Planner *p) {
    for (uint32_t i = 0; i < p->graph->outputs.count; i++) {
        GraphOutput output = p->graph->outputs.data[i];
        const Node *node = graph_node(p->graph, output.node);
        ProgramOutput result = {.buffer = (uint32_t)output.writes_input,
                                .writes_input = output.writes_input,
                                .dtype = node->dtype,
                                .rank = node->rank,
                                .dims = program_sizes(p->program, p->graph->table,
                                                      node_dims(p->graph, node), node->rank)};
        if (result.dims == PLACE_NONE) return memory_error(p);
        if (output.writes_input < 0 && !place_output(p, output.node, &result))
            return error_set(p->context->error, SN_ERROR_INTERNAL, "plan: result has no strides");
        if (!vec_push(&p->program->outputs, result)) return memory_error(p);
    }
    return SN_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool add_step(Planner *p, PlanStep step) {
    return vec_push(&p->plan->steps, step);
}

/* A step that writes an input: the code that lets it run, where it or an op before it can fail. */
static NodeId commit_code(const Planner *p, NodeId id) {
    return p->fusion->writes.failing[id + 1] ? id + 1 : 0;
}

/* The member of a group that writes an input in place; NODE_NONE. All have the same ops before them that
 * can fail (see fuse_writes_fit). */
static NodeId writes_input(const Planner *p, const Group *group) {
    for (uint32_t m = 0; m < group->members.count; m++) {
        NodeId id = group->members.data[m];
        if (p->owner[id] != id && node_is_input(graph_node(p->graph, owner_of(p, id)))) return id;
    }
    return NODE_NONE;
}

/* The group, after copies of the bases that its updates may not write in place. */
static bool add_group_steps(Planner *p, uint32_t number) {
    const Group *group = &p->fusion->groups.data[number];
    for (uint32_t m = 0; m < group->members.count; m++) {
        NodeId id = group->members.data[m];
        if (!is_update(p, id) || p->owner[id] != id) continue;
        NodeId base = node_inputs(p->graph, graph_node(p->graph, id))[0];
        if (graph_node(p->graph, base)->op == OP_EMPTY) continue;
        PlanStep copy = {
            .kind = PLAN_COPY, .node = base, .target = (uint32_t)p->plan->buffer_of[id]};
        if (!add_step(p, copy)) return false;
    }
    NodeId writes = writes_input(p, group);
    PlanStep step = {.kind = PLAN_GROUP, .group = number};
    if (writes != NODE_NONE) step.commit = commit_code(p, writes);
    return add_step(p, step);
}

/* May the op fail? One that reads or writes no element looks at no index. */
static bool can_fail(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    if (!node_can_fail(graph, id)) return false;
    bool updates = op_is((OpCode)node->op, CLASS_UPDATE); /* with its source, the last operand */
    return !node_is_empty(graph, updates ? node_inputs(graph, node)[node->n_inputs - 1] : id);
}

/* Checks the indices ahead of ops that run beside or after a write which they stop where they fail. */
static bool add_checks(Planner *p) {
    NodeId last = 0; /* the last write in place so far */
    for (uint32_t i = 0; i < p->fusion->order.count; i++) {
        const Group *group = &p->fusion->groups.data[p->fusion->order.data[i]];
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            bool writes =
                p->owner[id] != id && node_is_input(graph_node(p->graph, owner_of(p, id)));
            if (writes && id > last) last = id;
        }
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            if (id <= last && can_fail(p->graph, id) &&
                !add_step(p, (PlanStep){.kind = PLAN_CHECK, .node = id}))
                return false;
        }
    }
    return true;
}

static sn_status make_steps(Planner *p) {
    if (!add_checks(p)) return memory_error(p);
    for (uint32_t i = 0; i < p->fusion->order.count; i++)
        if (!add_group_steps(p, p->fusion->order.data[i])) return memory_error(p);
    for (uint32_t i = 0; i < p->graph->outputs.count; i++) {
        GraphOutput output = p->graph->outputs.data[i];
        if (output.writes_input < 0) continue;
        NodeId input = p->graph->inputs.data[output.writes_input];
        if (output.node == input || owner_of(p, output.node) == input) continue;
        PlanStep copy = {.kind = PLAN_COPY,
                         .node = output.node,
                         .target = (uint32_t)output.writes_input,
                         .commit = commit_code(p, output.node)};
        if (!add_step(p, copy)) return memory_error(p);
    }
    return SN_OK;
}

static void touch_buffer(Planner *p, uint32_t number, int32_t step) {
    SN_ASSERT(number < p->program->buffers.count);
    Buffer *buffer = &p->program->buffers.data[number];
    if (step < buffer->first_step) buffer->first_step = step;
    if (step > buffer->last_step) buffer->last_step = step;
}

static void touch(Planner *p, NodeId node, int32_t step) {
    int32_t number = p->plan->buffer_of[node];
    if (number != NO_BUFFER) touch_buffer(p, (uint32_t)number, step);
}

/* What a group's kernel writes and reads; `reader` is the first reader of groups that run later. */
static void touch_group(Planner *p, uint32_t number, int32_t step, uint32_t *reader) {
    const Group *group = &p->fusion->groups.data[number];
    for (uint32_t m = 0; m < group->members.count; m++) touch(p, group->members.data[m], step);
    int32_t position = p->position[number];
    for (; *reader < p->readers.count && p->readers.data[*reader].position <= position; ++*reader)
        if (p->readers.data[*reader].position == position)
            touch(p, p->readers.data[*reader].node, step);
}

static void find_lifetimes(Planner *p) {
    uint32_t reader = 0;
    for (uint32_t s = 0; s < p->plan->steps.count; s++) {
        const PlanStep *step = &p->plan->steps.data[s];
        switch (step->kind) {
        case PLAN_GROUP:
            touch_group(p, step->group, (int32_t)s, &reader);
            break;
        case PLAN_COPY:
            touch(p, view_base(p->graph, step->node), (int32_t)s);
            touch_buffer(p, step->target, (int32_t)s);
            break;
        default: /* PLAN_CHECK: reads an input, which lives anyway */
            break;
        }
    }
}

static sn_status plan_all(Planner *p) {
    sn_status status = find_readers(p);
    if (status != SN_OK) return status;
    share_memory(p);
    status = make_buffers(p);
    if (status == SN_OK) status = describe_outputs(p);
    if (status == SN_OK) status = make_steps(p);
    if (status == SN_OK) find_lifetimes(p);
    return status;
}

sn_status pass_plan(PassContext *context) {
    uint32_t count = context->graph.nodes.count;
    context->program->threads = context->threads;
    SN_ASSERT(context->target->kind == TARGET_CPU);
    context->program->cache_bytes = context->target->cpu.l3_bytes;
    context->program->tile_bytes = context->target->cpu.l2_bytes / 2;
    Planner p = {.context = context,
                 .space = {.table = context->graph.table},
                 .graph = &context->graph,
                 .fusion = &context->fusion,
                 .plan = &context->plan,
                 .program = context->program};
    p.owner = arena_alloc(&context->arena, sizeof(NodeId) * (count + 1));
    p.overwritten = arena_zalloc(&context->arena, count + 1);
    p.returned = arena_zalloc(&context->arena, count + 1);
    p.final = arena_zalloc(&context->arena, count + 1);
    p.root = arena_alloc(&context->arena, sizeof(NodeId) * (count + 1));
    p.position =
        arena_zalloc(&context->arena, sizeof(int32_t) * (context->fusion.groups.count + 1));
    p.latest = arena_alloc(&context->arena, sizeof(uint32_t) * (count + 1));
    p.unchecked = arena_alloc(&context->arena, sizeof(NodeId) * (context->fusion.order.count + 1));
    p.first_at = arena_alloc(&context->arena, sizeof(uint32_t) * (context->fusion.order.count + 1));
    context->plan.buffer_of = arena_alloc(&context->arena, sizeof(int32_t) * (count + 1));
    if (!p.owner || !p.overwritten || !p.returned || !p.final || !p.root || !p.position ||
        !p.latest || !p.unchecked || !p.first_at || !context->plan.buffer_of ||
        program_zeros(context->program, 0) == PLACE_NONE)
        return memory_error(&p);
    for (NodeId i = 0; i < count; i++) {
        p.owner[i] = i;
        p.latest[i] = (uint32_t)NO_READER;
        context->plan.buffer_of[i] = NO_BUFFER;
    }
    sn_status status = plan_all(&p);
    vec_free(&p.readers);
    vec_free(&p.reads);
    vec_free(&p.space.symbols);
    return status;
}
