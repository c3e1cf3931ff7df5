/* Running what a trace recorded: at the end of the function, or before it when a value is needed on
 * the host. The live proxies' storages are the results; each proxy becomes a real tensor. */
#include "frontend/trace/trace.h"

#include "base/assert.h"
#include "base/status.h"
#include "frontend/op/nodes.h"
#include "frontend/op/run.h"
#include "frontend/tensor/counters.h"

/* ---- what is wanted -------------------------------------------------------------------------- */

static bool declare_root(Trace *trace, TraceRoot *root) {
    if (root->input >= 0 || root->output >= 0) return true; /* an alias of the input; declared */
    root->output = (int32_t)trace->graph.outputs.count;
    return graph_output(&trace->graph, root->node, -1);
}

static bool declare_proxies(Trace *trace) {
    for (uint32_t i = 0; i < trace->roots.count; i++) trace->roots.data[i].output = -1;
    /* Oldest first: the order in which the program made them. */
    const sn_tensor *proxy = trace->recorder.live;
    while (proxy && proxy->next) proxy = proxy->next;
    for (; proxy; proxy = proxy->previous)
        if (!declare_root(trace, &trace->roots.data[trace->views.data[proxy->record].root]))
            return false;
    return true;
}

static bool declare_writes(Trace *trace) {
    for (uint32_t i = 0; i < trace->roots.count; i++) {
        const TraceRoot *root = &trace->roots.data[i];
        if (root->input < 0 || root->version == 0) continue;
        if (!graph_output(&trace->graph, root->node, root->input)) return false;
    }
    return true;
}

bool trace_declare_results(Trace *trace, sn_error *error) {
    trace->graph.outputs.count = 0;
    return (declare_proxies(trace) && declare_writes(trace)) || (error_memory(error), false);
}

/* ---- running --------------------------------------------------------------------------------- */

/* What a generator was before the draws that were recorded. */
static sn_rng generator_state(const TraceInput *input) {
    return input->source == SOURCE_CAPTURED ? input->state : *input->generator;
}

static void set_inputs(const Trace *trace, RunMemory *m) {
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        const TraceInput *input = &trace->inputs.data[i];
        sn_rng state;
        if (input->tensor)
            run_set_tensor(m, i, input->tensor);
        else
            state = generator_state(input), run_set_generator(m, i, &state);
    }
}

/* A proxy becomes real: of the input's storage, or of its root's. */
static void make_real(sn_tensor *proxy, Storage *storage) {
    SN_ASSERT(storage);
    proxy_unlink(proxy);
    proxy->kind = TENSOR_REAL;
    proxy->storage = storage_retain(storage);
}

/* The storage of a graph output of this trace. */
typedef Storage *OutputStorage(const void *context, int32_t output);

static void make_all_real(Trace *trace, OutputStorage *storage_of, const void *context) {
    while (trace->recorder.live) {
        sn_tensor *proxy = trace->recorder.live;
        const TraceRoot *root = &trace->roots.data[trace->views.data[proxy->record].root];
        make_real(proxy, root->input >= 0 ? trace->inputs.data[root->input].tensor->storage
                                          : storage_of(context, root->output));
    }
}

static void commit(Trace *trace) {
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        TraceInput *input = &trace->inputs.data[i];
        bool waits = input->generator && input->source != SOURCE_CAPTURED;
        if (waits) input->generator->counter += (uint64_t)input->drawn;
        input->drawn = 0;
    }
}

/* A run's results by graph output. */
typedef struct RunResults {
    const Program *program;  /* what ran */
    const RunMemory *memory; /* of the run */
} RunResults;

static Storage *run_result(const void *context, int32_t output) {
    const RunResults *run = context;
    uint32_t buffer = run->program->outputs.data[output].buffer;
    return run->memory->results[run->program->buffers.data[buffer].number];
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
        if (!inputs[i]) return error_take(error);
    }
    return SN_OK;
}

/* Names the index in an error in data. */
static void name_error(const Trace *trace, sn_error *error) {
    sn_error none;
    error_init(&none);
    sn_scope scope = sn_scope_begin();
    sn_tensor **inputs = mem_calloc(trace->inputs.count + 1, sizeof *inputs);
    if (inputs && input_tensors(trace, inputs, &none) == SN_OK)
        nodes_name_error(&trace->graph, inputs, error);
    mem_free(inputs);
    sn_scope_end(scope, NULL);
}

static sn_status run_compiled(Trace *trace, const Executable *executable, sn_error *error) {
    const Program *program = executable_program(executable);
    RunMemory memory;
    sn_status status = run_open(&memory, trace->inputs.count, (uint32_t)program->n_outputs)
                           ? run_make_results(&memory, executable, error)
                           : error_memory(error);
    if (status == SN_OK) {
        set_inputs(trace, &memory);
        status = run_launch(&memory, executable, error);
    }
    if (status == SN_OK) {
        commit(trace);
        make_all_real(trace, run_result, &(RunResults){program, &memory});
    }
    run_close(&memory);
    if (status == SN_ERROR_INDEX) name_error(trace, error);
    return status;
}

static Storage *node_result(const void *context, int32_t output) {
    sn_tensor *const *outputs = context;
    return outputs[output]->storage;
}

/* Each node at once, on what the inputs stand for. `outputs` as of nodes_run. */
static sn_status run_each_node(const Trace *trace, sn_tensor **outputs, sn_error *error) {
    sn_tensor **inputs = mem_calloc(trace->inputs.count + 1, sizeof *inputs);
    sn_status status = inputs ? input_tensors(trace, inputs, error) : error_memory(error);
    if (status == SN_OK) status = nodes_run(&trace->graph, inputs, outputs, error);
    mem_free(inputs);
    return status;
}

/* For a graph that could not be compiled. */
static sn_status run_nodes(Trace *trace, sn_error *error) {
    sn_scope scope = sn_scope_begin();
    sn_tensor **outputs = mem_calloc(trace->graph.outputs.count + 1, sizeof *outputs);
    sn_status status = outputs ? run_each_node(trace, outputs, error) : error_memory(error);
    if (status == SN_OK) {
        commit(trace);
        make_all_real(trace, node_result, outputs);
    }
    mem_free(outputs);
    sn_scope_end(scope, NULL);
    return status;
}

sn_status trace_run(Trace *trace, const Executable *executable, sn_error *error) {
    return executable ? run_compiled(trace, executable, error) : run_nodes(trace, error);
}

void trace_check_data(Trace *trace) {
    bool fails = false;
    for (uint32_t i = 0; i < trace->graph.nodes.count; i++)
        fails = fails || op_has((OpCode)trace->graph.nodes.data[i].op, F_FAILS);
    if (!fails || trace->ended || trace->failed) return;
    sn_error refused, found;
    error_take(&refused);
    error_init(&found);
    sn_scope scope = sn_scope_begin();
    trace->graph.outputs.count = 0; /* nothing is written */
    sn_status status = run_each_node(trace, NULL, &found);
    sn_scope_end(scope, NULL);
    thread_state()->error = status == SN_ERROR_INDEX ? found : refused;
}

/* ---- flushing -------------------------------------------------------------------------------- */

bool trace_flush(Trace *trace, Site site) {
    sn_error error;
    error_init(&error);
    trace->impure = true;
    Executable *executable = NULL;
    bool ok = trace_declare_results(trace, &error) &&
              trace->owner->build(trace->context, trace, &executable, &error) == SN_OK &&
              trace_run(trace, executable, &error) == SN_OK;
    executable_release(executable);
    trace->failed = !ok;
    if (ok)
        trace_clear(trace); /* what was recorded is part of the past */
    else
        error_raise_from(&error, error.file ? site_at(error.file, error.line) : site);
    return ok;
}

bool trace_host_read(Trace *trace, const char *op, Site site) {
    if (trace->fullgraph)
        return error_refuse(
            SN_ERROR_GRAPH_BREAK, site,
            "%s: a value is read on the host inside %s, which was compiled with fullgraph", op,
            trace->graph.name);
    if (trace->host_reads++ == 0) trace->read_site = site;
    COUNT(host_reads);
    return trace_flush(trace, site);
}

/* ---- flushes around ops ---------------------------------------------------------------------- */

bool trace_flush_writes(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site) {
    for (int32_t i = 0; i < n_inputs; i++)
        if (inputs[i]->kind == TENSOR_REAL && trace_written_overlaps(trace, inputs[i], true))
            return trace_flush(trace, site);
    return true;
}

bool trace_flush_borrowed(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site) {
    for (int32_t i = 0; i < n_inputs; i++) {
        const sn_tensor *x = inputs[i];
        if (x->kind == TENSOR_REAL && x->storage->borrowed && !x->storage->owner[0].release &&
            trace_made_here(trace, x))
            return trace_flush(trace, site);
    }
    return true;
}
