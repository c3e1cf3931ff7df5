/* Running a graph node by node; see nodes.h. */
#include "frontend/op/nodes.h"

#include "base/small.h"
#include "base/status.h"
#include "frontend/op/data_error.h"
#include "frontend/op/eager.h"
#include "ir/graph/view_graph.h"

enum { FEW_OPERANDS = 16 };

/* A constant of the graph as a handle: weak as recorded, or with memory of its own. */
static sn_tensor *const_value(const Graph *graph, NodeId id, Site site) {
    TensorType type = {.dtype = graph_node(graph, id)->dtype, .rank = 0};
    GraphConst constant = node_const(graph, graph_node(graph, id));
    sn_tensor *scalar = tensor_new(TENSOR_WEAK, &type, site);
    if (scalar) scalar->bits = (uint64_t)constant.word;
    return !scalar || constant.weak ? scalar : tensor_realize(scalar, "const", site);
}

static sn_tensor *op_value(const Graph *graph, const Node *node, const AttrList *attrs,
                           sn_tensor *const *values, Site site) {
    SMALL(sn_tensor *, FEW_OPERANDS) operands;
    if (!small_open(&operands, node->n_inputs))
        return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        operands.data[i] = input == NODE_NONE ? SN_NONE : values[input];
    }
    const OpCall call = {(OpCode)node->op, node->n_inputs, operands.data, attrs, NULL, site};
    sn_tensor *result =
        op_is(call.op, CLASS_VIEW) ? eager_view(NULL, &call) : eager_op(NULL, &call);
    small_close(&operands);
    return result;
}

static sn_tensor *node_value(const Graph *graph, NodeId id, sn_tensor *const *inputs,
                             sn_tensor *const *values) {
    const Node *node = graph_node(graph, id);
    Site site = graph->sites.data[node->site];
    if (node_is_input(node)) return inputs[node_attr_int(graph, id, ATTR_NUMBER)];
    if (node_is_const(node)) return const_value(graph, id, site);
    AttrList attrs;
    attr_copy(&attrs, node_attrs(graph, node));
    return op_value(graph, node, &attrs, values, site);
}

static bool copy_results(const Graph *graph, sn_tensor *const *values, sn_tensor **outputs) {
    for (uint32_t i = 0, at = 0; i < graph->outputs.count; i++) {
        if (graph->outputs.data[i].writes_input >= 0) continue;
        outputs[at] = eager_clone(values[graph->outputs.data[i].node], (Site){0});
        if (!outputs[at++]) return false;
    }
    return true;
}

/* Values that will be written into inputs and lie in the memory of one, where an earlier write could
 * change them, are copied. */
static bool save_values(const Graph *graph, sn_tensor *const *inputs, sn_tensor **values) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        sn_tensor **value = &values[output.node];
        bool shares = (*value)->kind != TENSOR_REAL;
        for (uint32_t j = 0; !shares && j < graph->inputs.count; j++)
            shares = tensors_overlap(*value, inputs[j]);
        if (output.writes_input < 0 || !shares) continue;
        *value = eager_clone(*value, (Site){0});
        if (!*value) return false;
    }
    return true;
}

/* Is nothing to be written that is frozen? */
static bool may_write(const Graph *graph, sn_tensor *const *inputs) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        int32_t written = graph->outputs.data[i].writes_input;
        if (written >= 0 && storage_is_frozen(inputs[written]->storage))
            return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "what is written is frozen");
    }
    return true;
}

/* Cannot fail. */
static void write_inputs(const Graph *graph, sn_tensor *const *inputs, sn_tensor *const *values) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        if (output.writes_input >= 0)
            tensor_store(inputs[output.writes_input], values[output.node]);
    }
}

sn_status nodes_run(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                    sn_error *error) {
    ThreadState *state = thread_state();
    Recorder *recorder = state->recorder;
    state->recorder = NULL;
    sn_tensor **values = mem_calloc(graph->nodes.count + 1, sizeof *values);
    bool ok = values != NULL && may_write(graph, inputs);
    for (NodeId id = 0; ok && id < graph->nodes.count; id++) {
        values[id] = node_value(graph, id, inputs, values);
        ok = values[id] != NULL;
    }
    ok = ok && copy_results(graph, values, outputs) && save_values(graph, inputs, values);
    if (ok) write_inputs(graph, inputs, values);
    mem_free(values);
    state->recorder = recorder;
    if (ok) return SN_OK;
    if (!error_pending(state)) return error_memory(error);
    return error_take(error);
}

/* ---- errors in data -------------------------------------------------------------------------- */

static NodeId index_of(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    return node_inputs(graph, node)[op_index_operand((OpCode)node->op)];
}

/* A run that an op failed in, looked at afterwards. */
typedef struct FailedRun {
    const Graph *graph;       /* that was run */
    sn_tensor *const *inputs; /* its inputs, as they are now */
    NodeId failed; /* the op: what was written before it is there, what comes after it is not */
    bool sure;     /* that it was this op */
} FailedRun;

/* May the input of the output have been written, and may it not? Of a value that is no op's result, as a
 * view, a copy is made behind all ops. */
static bool is_doubtful(const FailedRun *run, GraphOutput output) {
    const Graph *graph = run->graph;
    if (output.writes_input < 0 || output.node == graph->inputs.data[output.writes_input])
        return false;
    OpCode op = (OpCode)graph_node(graph, output.node)->op;
    bool is_late = op_is(op, CLASS_VIEW) || op_is(op, CLASS_SOURCE);
    return !run->sure || (is_late && output.node < run->failed);
}

/* The value that the input of the output has since the run: of the last write in front of the op. NODE_NONE:
 * there was none. */
static NodeId last_written(const FailedRun *run, GraphOutput output) {
    NodeId id = output.node;
    if (output.writes_input < 0 || is_doubtful(run, output)) return NODE_NONE;
    while (id >= run->failed && op_is((OpCode)graph_node(run->graph, id)->op, CLASS_UPDATE))
        id = node_inputs(run->graph, graph_node(run->graph, id))[0];
    bool own = id == run->graph->inputs.data[output.writes_input];
    return id < run->failed && !own ? id : NODE_NONE;
}

/* May memory of the input have been written for a node behind `since`? */
static bool was_written(const FailedRun *run, int64_t input, int64_t since) {
    for (uint32_t i = 0; i < run->graph->outputs.count; i++) {
        GraphOutput output = run->graph->outputs.data[i];
        NodeId written = last_written(run, output);
        bool is_there = is_doubtful(run, output) || (written != NODE_NONE && written > since);
        if (is_there && tensors_overlap(run->inputs[output.writes_input], run->inputs[input]))
            return true;
    }
    return false;
}

/* The input whose memory is the node's value since the run; -1: none. */
static int32_t written_into(const FailedRun *run, NodeId id) {
    for (uint32_t i = 0; i < run->graph->outputs.count; i++) {
        GraphOutput output = run->graph->outputs.data[i];
        if (last_written(run, output) == id && !was_written(run, output.writes_input, id))
            return output.writes_input;
    }
    return -1;
}

/* Marks the nodes that the index of an op is made of; false where it cannot be made again. */
static bool mark_needed(const FailedRun *run, bool *needed) {
    const Graph *graph = run->graph;
    memset(needed, 0, graph->nodes.count * sizeof *needed);
    needed[index_of(graph, run->failed)] = true;
    for (NodeId id = run->failed; id-- > 0;) {
        if (!needed[id] || written_into(run, id) >= 0) continue;
        const Node *node = graph_node(graph, id);
        if (node_is_input(node) && was_written(run, node_attr_int(graph, id, ATTR_NUMBER), -1))
            return false;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node_inputs(graph, node)[i] != NODE_NONE)
                needed[node_inputs(graph, node)[i]] = true;
    }
    return true;
}

/* Computes the index of an op that may have failed; false with the error set where it did. */
static bool look_at_node(const FailedRun *run, const bool *needed, sn_tensor **values,
                         sn_error *found) {
    const Graph *graph = run->graph;
    NodeId failed = run->failed;
    for (NodeId id = 0; id < failed; id++) {
        if (!needed[id]) continue;
        int32_t written = written_into(run, id);
        values[id] =
            written >= 0 ? run->inputs[written] : node_value(graph, id, run->inputs, values);
        if (!values[id]) return true;
    }
    TensorType x = node_type(graph, node_inputs(graph, graph_node(graph, failed))[0]);
    return data_error_look(node_attrs(graph, graph_node(graph, failed)), &x,
                           values[index_of(graph, failed)], found);
}

/* May the error be of this op? */
static bool may_be_of(const Graph *graph, NodeId id, const sn_error *error) {
    const Node *node = graph_node(graph, id);
    Site own = graph->sites.data[node->site];
    size_t length = strlen(op_info[node->op].name);
    return op_has((OpCode)node->op, F_FAILS) && own.line == error->line &&
           own.file == error->file && strncmp(error->text, op_info[node->op].name, length) == 0 &&
           error->text[length] == ':';
}

static int32_t count_candidates(const Graph *graph, const sn_error *error) {
    int32_t count = 0;
    for (NodeId id = 0; id < graph->nodes.count; id++) count += may_be_of(graph, id, error);
    return count;
}

void nodes_name_error(const Graph *graph, sn_tensor *const *inputs, sn_error *error) {
    ThreadState *state = thread_state();
    Recorder *recorder = state->recorder;
    sn_error pending = error_put_aside(state), found;
    error_init(&found);
    bool *needed = mem_calloc(graph->nodes.count + 1, sizeof *needed);
    sn_tensor **values = mem_calloc(graph->nodes.count + 1, sizeof *values);
    state->recorder = NULL;
    sn_scope scope = sn_scope_begin();
    bool sure = count_candidates(graph, error) == 1;
    for (NodeId id = 0; needed && values && id < graph->nodes.count; id++) {
        FailedRun run = {graph, inputs, id, sure};
        if (!may_be_of(graph, id, error)) continue;
        /* One that cannot be looked at may be the first that failed. */
        if (!mark_needed(&run, needed) || !look_at_node(&run, needed, values, &found)) break;
    }
    sn_scope_end(scope, NULL);
    mem_free(needed);
    mem_free(values);
    state->recorder = recorder;
    state->error = pending;
    if (found.status == SN_ERROR_INDEX) memcpy(error->text, found.text, sizeof error->text);
}
