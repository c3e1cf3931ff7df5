/* A guard hit: the kernels of an entry on the arguments of a call. */
#include "frontend/call/call.h"

#include "base/status.h"
#include "frontend/op/nodes.h"
#include "frontend/op/run.h"

static void set_inputs(const Entry *entry, const CallArgs *args, int32_t n_inputs, RunMemory *m) {
    for (int32_t i = 0; i < n_inputs; i++) {
        int32_t source = entry->sources[i];
        SN_ASSERT(source < args->n_tensors && generator_source(source) < args->n_generators);
        if (source >= 0)
            run_set_tensor(m, (uint32_t)i, args->tensors[source]);
        else
            run_set_generator(m, (uint32_t)i, args->generators[generator_source(source)]);
    }
}

static sn_tensor *make_output(const OutputSpec *spec, const Entry *entry, const CallArgs *args,
                              const RunMemory *m, bool owned) {
    Storage *storage;
    int64_t offset = spec->offset;
    if (spec->input >= 0) {
        const sn_tensor *source = args->tensors[entry->sources[spec->input]];
        storage = source->storage;
        offset += source->offset;
    } else {
        SN_ASSERT(spec->output >= 0 && spec->output < m->n_results);
        storage = m->results[spec->output];
    }
    storage_retain(storage);
    sn_tensor *tensor = owned ? tensor_detached(storage, &spec->type, spec->strides, offset)
                              : tensor_real(storage, &spec->type, spec->strides, offset, (Site){0});
    if (!tensor && owned) {
        storage_release(storage);
        error_raise(SN_ERROR_MEMORY, (Site){0}, "out of memory");
    }
    return tensor;
}

static void commit_entry(const Entry *entry, const CallArgs *args) {
    for (int32_t i = 0; i < args->n_generators; i++)
        args->generators[i]->counter += (uint64_t)entry->drawn[i];
}

/* The handles of the results, before the run: behind one that wrote or drew, nothing may fail.
 * Returns how many could be made. */
static int32_t make_outputs(const sn_compiled *c, const Entry *entry, const CallArgs *args,
                            const RunMemory *m, sn_tensor **outputs, bool owned) {
    int32_t made = 0;
    for (; made < c->signature.n_outputs; made++) {
        const OutputSpec *spec = &entry->outputs[made];
        bool none = spec->input < 0 && spec->output < 0;
        outputs[made] = none ? NULL : make_output(spec, entry, args, m, owned);
        if (!none && !outputs[made]) break;
    }
    return made;
}

/* The graph's inputs as tensors: those of generators belong to the scope. False when out of memory. */
static bool input_tensors(const Entry *entry, const CallArgs *args, uint32_t n_inputs,
                          sn_tensor **inputs) {
    for (uint32_t i = 0; i < n_inputs; i++) {
        int32_t source = entry->sources[i];
        inputs[i] = source >= 0 ? args->tensors[source] : NULL;
        if (source >= 0) continue;
        const sn_rng *state = args->generators[generator_source(source)];
        int64_t words[2] = {(int64_t)state->seed, (int64_t)state->counter};
        inputs[i] = sn_from_copy(words, sizeof words, (const int64_t[]){2}, 1, SN_I64);
        if (!inputs[i]) return false;
    }
    return true;
}

/* Names the index in an error in data. */
static void name_error(const Entry *entry, const CallArgs *args, sn_error *error) {
    Graph graph;
    sn_scope scope = sn_scope_begin();
    bool ok = instance_recorded(entry->instance, &graph);
    sn_tensor **inputs = mem_calloc(graph.inputs.count + 1, sizeof *inputs);
    if (ok && inputs && input_tensors(entry, args, graph.inputs.count, inputs))
        nodes_name_error(&graph, inputs, error);
    sn_error_take(NULL); /* out of memory: the error stays without the index */
    mem_free(inputs);
    graph_free(&graph);
    sn_scope_end(scope, NULL);
}

void call_refuse(const sn_compiled *c, const sn_error *error) {
    if (error_is_memory(error))
        error_raise(error->status, (Site){0}, "%s: %s", c->title, error->text);
    else
        error_raise_from(error, site_at(error->file, error->line));
}

sn_status call_entry(const sn_compiled *c, const Entry *entry, const CallArgs *args,
                     sn_tensor **outputs, bool owned) {
    const Executable *executable = entry->instance->executable;
    const Program *program = executable_program(executable);
    SN_ASSERT((uint32_t)program->n_inputs == entry_graph(entry)->inputs.count);
    RunMemory memory;
    sn_error error;
    error_init(&error);
    uint32_t first = thread_state()->held.count;
    int32_t made = 0;
    bool open = run_open(&memory, (uint32_t)program->n_inputs, (uint32_t)program->n_outputs);
    sn_status status = open ? run_make_results(&memory, executable, &error) : error_memory(&error);
    if (status == SN_OK) made = make_outputs(c, entry, args, &memory, outputs, owned);
    if (status == SN_OK && made < c->signature.n_outputs) status = SN_ERROR_MEMORY;
    if (status == SN_OK) {
        set_inputs(entry, args, program->n_inputs, &memory);
        status = run_launch(&memory, executable, &error);
    }
    if (status == SN_OK) commit_entry(entry, args);
    if (status == SN_ERROR_INDEX) name_error(entry, args, &error);
    run_close(&memory);
    if (status != SN_OK) {
        for (int32_t i = 0; owned && i < made; i++)
            if (outputs[i]) tensor_unref(outputs[i]);
        handles_release(thread_state(), first);
        call_refuse(c, &error);
    }
    return status;
}
