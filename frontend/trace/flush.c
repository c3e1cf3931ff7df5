/* Running what a trace recorded: at the end of the function, or before it when a value is needed on
 * the host. The live proxies' storages are the results; each proxy becomes a real tensor. */
#include "frontend/trace/flush.h"

#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "frontend/op/eager.h"
#include "frontend/op/run.h"
#include "frontend/trace/counters.h"
#include "ir/dtype.h"

#include <stdio.h>

/* ---- what is wanted ------------------------------------------------------------------------------------ */

static bool declare_root(Trace *trace, uint32_t root, RootOutputs *roots, sn_error *error) {
    if (trace->roots.data[root].input >= 0) return true; /* an alias of the input */
    for (uint32_t i = 0; i < roots->count; i++)
        if (roots->data[i].root == root) return true;
    RootOutput output = {root, (int32_t)trace->graph.outputs.count};
    if (vec_push(roots, output) && graph_output(&trace->graph, trace->roots.data[root].node, -1))
        return true;
    error_memory(error);
    return false;
}

bool segment_declare(Trace *trace, RootOutputs *roots, sn_error *error) {
    trace->graph.outputs.count = 0;
    /* Oldest first: the order in which the program made them. */
    const sn_tensor *proxy = trace->live;
    while (proxy && proxy->next) proxy = proxy->next;
    for (; proxy; proxy = proxy->previous)
        if (!declare_root(trace, trace->views.data[proxy->record].root, roots, error)) return false;
    for (uint32_t i = 0; i < trace->roots.count; i++) {
        const TraceRoot *root = &trace->roots.data[i];
        if (root->input < 0 || root->version == 0) continue;
        if (!graph_output(&trace->graph, root->node, root->input)) {
            error_memory(error);
            return false;
        }
    }
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

enum { SEGMENT_FEW = 16 };

/* Memory of one run. */
typedef struct SegmentMemory {
    void **inputs;        /* addresses, by graph input */
    int64_t (*states)[2]; /* generators' words, by graph input */
    Storage **storages;   /* results, by number */
    void **outputs;       /* their addresses */
    int32_t n_outputs;    /* results that there are already */
    void *few_inputs[SEGMENT_FEW];
    int64_t few_states[SEGMENT_FEW][2];
    Storage *few_storages[SEGMENT_FEW];
    void *few_outputs[SEGMENT_FEW];
    void *block; /* allocation behind them when they are many */
} SegmentMemory;

static void free_memory(SegmentMemory *m) {
    for (int32_t i = 0; i < m->n_outputs; i++) storage_release(m->storages[i]);
    mem_free(m->block);
}

static bool open_memory(SegmentMemory *m, size_t n_inputs, size_t n_outputs) {
    m->inputs = m->few_inputs;
    m->states = m->few_states;
    m->storages = m->few_storages;
    m->outputs = m->few_outputs;
    m->block = NULL;
    m->n_outputs = 0;
    if (n_inputs <= SEGMENT_FEW && n_outputs <= SEGMENT_FEW) return true;
    size_t states = n_inputs * sizeof *m->states, inputs = n_inputs * sizeof(void *);
    char *block = m->block = mem_alloc(states + inputs + 2 * n_outputs * sizeof(void *));
    if (!block) return false;
    m->states = (int64_t(*)[2])(void *)block;
    m->inputs = (void **)(void *)(block + states);
    m->storages = (Storage **)(void *)(block + states + inputs);
    m->outputs = (void **)(void *)(m->storages + n_outputs);
    return true;
}

/* What a generator was before the draws that were recorded. */
static sn_rng generator_state(const TraceInput *input) {
    return input->captured ? input->state : *input->generator;
}

static sn_status make_memory(const Trace *trace, const Executable *executable, SegmentMemory *m,
                             sn_error *error) {
    const Program *program = executable_program(executable);
    uint32_t n_inputs = trace->inputs.count;
    if (!open_memory(m, n_inputs, (size_t)program->n_outputs)) return error_memory(error);
    for (uint32_t i = 0; i < n_inputs; i++) {
        const TraceInput *input = &trace->inputs.data[i];
        if (input->tensor) {
            m->inputs[i] = tensor_data(input->tensor);
            continue;
        }
        sn_rng state = generator_state(input);
        m->states[i][0] = (int64_t)state.seed;
        m->states[i][1] = (int64_t)state.counter;
        m->inputs[i] = m->states[i];
    }
    for (; m->n_outputs < program->n_outputs; m->n_outputs++) {
        /* OUTPUT buffers follow the inputs, in order of their numbers. */
        uint32_t buffer = (uint32_t)(program->n_inputs + m->n_outputs);
        Storage *storage = storage_new(executable_buffer_bytes(executable, buffer));
        if (!storage) return error_memory(error);
        m->storages[m->n_outputs] = storage;
        m->outputs[m->n_outputs] = storage->data;
    }
    return SN_OK;
}

/* A proxy becomes real: of the input's storage, or of its root's. */
static void make_real(sn_tensor *proxy, Storage *storage) {
    trace_forget(proxy);
    proxy->kind = TENSOR_REAL;
    proxy->storage = storage_retain(storage);
}

static void make_all_real(Trace *trace, const Program *program, const SegmentMemory *m,
                          const RootOutputs *roots) {
    while (trace->live) {
        sn_tensor *proxy = trace->live;
        uint32_t root = trace->views.data[proxy->record].root;
        int32_t input = trace->roots.data[root].input;
        Storage *storage = NULL;
        if (input >= 0) storage = trace->inputs.data[input].tensor->storage;
        for (uint32_t i = 0; !storage && i < roots->count; i++) {
            if (roots->data[i].root != root) continue;
            uint32_t buffer = program->outputs.data[roots->data[i].output].buffer;
            storage = m->storages[program->buffers.data[buffer].number];
        }
        make_real(proxy, storage);
    }
}

static void commit(Trace *trace) {
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        TraceInput *input = &trace->inputs.data[i];
        bool waits = input->generator && !input->captured;
        if (waits) input->generator->counter += (uint64_t)input->drawn;
        input->drawn = 0;
    }
    for (uint32_t i = 0; i < trace->roots.count; i++) {
        const TraceRoot *root = &trace->roots.data[i];
        if (root->input < 0 || root->version == 0) continue;
        Storage *storage = trace->inputs.data[root->input].tensor->storage;
        atomic_fetch_add_explicit(&storage->version, 1, memory_order_relaxed);
    }
}

static sn_status run_compiled(Trace *trace, const Executable *executable, const RootOutputs *roots,
                              sn_error *error) {
    const Program *program = executable_program(executable);
    SegmentMemory memory;
    uint64_t code = UINT64_MAX;
    sn_status status = make_memory(trace, executable, &memory, error);
    if (status == SN_OK)
        status = executable_run(executable, memory.inputs, memory.outputs, parallel_threads(),
                                &code, error);
    if (status == SN_OK && code != UINT64_MAX) {
        Site site = {0};
        status = data_error(executable, code, error, &site);
        error->file = site.file;
        error->line = site.line;
    }
    if (status == SN_OK) {
        commit(trace);
        make_all_real(trace, program, &memory, roots);
    }
    free_memory(&memory);
    return status;
}

/* What the graph's inputs stand for, as tensors; those of generators belong to the scope. */
static sn_status input_tensors(const Trace *trace, sn_tensor **inputs, sn_error *error) {
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        const TraceInput *input = &trace->inputs.data[i];
        inputs[i] = input->tensor;
        if (input->tensor) continue;
        sn_rng state = generator_state(input);
        int64_t words[2] = {(int64_t)state.seed, (int64_t)state.counter};
        inputs[i] = sn_from_copy(words, sizeof words, (const int64_t[]){2}, 1, SN_I64);
        if (!inputs[i]) return sn_error_take(error);
    }
    return SN_OK;
}

/* An error that was the thread's has its line in the text; who raises this one puts it there again. */
static void drop_line(sn_error *error) {
    char line[sizeof error->text];
    if (!error->file) return;
    snprintf(line, sizeof line, "%s:%d: ", error->file, (int)error->line);
    size_t length = strlen(line);
    if (strncmp(error->text, line, length) == 0)
        memmove(error->text, error->text + length, strlen(error->text + length) + 1);
}

/* Node by node, for a graph that could not be compiled. */
static sn_status run_nodes(Trace *trace, const RootOutputs *roots, sn_error *error) {
    sn_scope scope = sn_scope_begin();
    uint32_t n_inputs = trace->inputs.count;
    sn_tensor **inputs = mem_calloc(n_inputs + 1, sizeof *inputs);
    sn_tensor **outputs = mem_calloc(trace->graph.outputs.count + 1, sizeof *outputs);
    sn_status status =
        inputs && outputs ? input_tensors(trace, inputs, error) : error_memory(error);
    if (status == SN_OK) status = eager_graph(&trace->graph, inputs, outputs, error);
    if (status != SN_OK) drop_line(error);
    if (status == SN_OK) {
        commit(trace);
        while (trace->live) {
            sn_tensor *proxy = trace->live;
            uint32_t root = trace->views.data[proxy->record].root;
            int32_t input = trace->roots.data[root].input;
            Storage *storage = input >= 0 ? inputs[input]->storage : NULL;
            for (uint32_t i = 0; !storage && i < roots->count; i++)
                if (roots->data[i].root == root) storage = outputs[roots->data[i].output]->storage;
            make_real(proxy, storage);
        }
    }
    mem_free(inputs);
    mem_free(outputs);
    sn_scope_end(scope, NULL);
    return status;
}

sn_status segment_run(Trace *trace, const Executable *executable, const RootOutputs *roots,
                      sn_error *error) {
    return executable ? run_compiled(trace, executable, roots, error)
                      : run_nodes(trace, roots, error);
}

void segment_check_data(Trace *trace) {
    bool fails = false;
    for (uint32_t i = 0; i < trace->graph.nodes.count; i++)
        fails = fails || op_has((OpCode)trace->graph.nodes.data[i].op, F_FAILS);
    if (!fails || trace->eager || trace->failed) return;
    sn_error refused, found;
    sn_error_take(&refused);
    error_init(&found);
    sn_scope scope = sn_scope_begin();
    sn_tensor **inputs = mem_calloc(trace->inputs.count + 1, sizeof *inputs);
    trace->graph.outputs.count = 0; /* nothing is written */
    sn_status status = inputs ? input_tensors(trace, inputs, &found) : SN_ERROR_MEMORY;
    if (status == SN_OK) status = eager_graph(&trace->graph, inputs, NULL, &found);
    mem_free(inputs);
    sn_scope_end(scope, NULL);
    thread_state()->error = status == SN_ERROR_INDEX ? found : refused;
}

/* ---- flushing --------------------------------------------------------------------------------------------------- */

bool trace_flush(Trace *trace, Site site) {
    RootOutputs roots = {0};
    sn_error error;
    error_init(&error);
    trace->impure = true;
    Executable *executable = NULL;
    bool ok = segment_declare(trace, &roots, &error) &&
              trace->owner->build(trace->context, trace, &executable, &error) == SN_OK &&
              segment_run(trace, executable, &roots, &error) == SN_OK;
    executable_release(executable);
    vec_free(&roots);
    trace->failed = !ok;
    if (ok)
        trace_clear(trace); /* what was recorded is part of the past */
    else
        error_raise_from(&error, error.file ? (Site){error.file, error.line} : site);
    return ok;
}

bool trace_host_read(Trace *trace, const char *op, Site site) {
    if (trace->fullgraph) {
        error_raise(SN_ERROR_GRAPH_BREAK, site,
                    "%s: a value is read on the host inside %s, which was compiled with fullgraph",
                    op, trace->graph.name);
        return false;
    }
    if (trace->host_reads++ == 0) trace->read_site = site;
    COUNT(host_reads);
    return trace_flush(trace, site);
}

void trace_abandon(Trace *trace) {
    const TraceOwner *owner = trace->owner;
    void *context = trace->context;
    thread_state()->trace = trace->outer;
    trace_free(trace);
    owner->abandon(context);
}
