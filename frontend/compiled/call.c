/* Calls of compiled functions: flatten the arguments, pack the guard key, run the entry it leads to,
 * or trace. */
#include "frontend/compiled/call.h"
#include "frontend/compiled/entries.h"
#include "frontend/compiled/invoke.h"
#include "frontend/compiled/policy.h"
#include "frontend/compiled/results.h"
#include "frontend/compiled/spans.h"
#include "frontend/op/dispatch.h"
#include "frontend/op/run.h"
#include "frontend/trace/counters.h"
#include "frontend/trace/flush.h"

#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "ir/dtype.h"

#include <stdio.h>
#include <string.h>

enum { KEY_FEW_WORDS = 512 };

/* ---- running an entry ------------------------------------------------------------------------------------------------ */

static const Graph *entry_graph(const Entry *entry) {
    return compiled_recorded(entry->instance->graph);
}

static void set_inputs(const Entry *entry, const CallArgs *args, RunMemory *m) {
    for (uint32_t i = 0; i < entry_graph(entry)->inputs.count; i++) {
        int32_t source = entry->sources[i];
        if (source >= 0)
            run_set_tensor(m, i, args->tensors[source]);
        else
            run_set_generator(m, i, args->generators[-1 - source]);
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
    if (!entry->writes) return;
    for (uint32_t i = 0; i < entry_graph(entry)->outputs.count; i++) {
        int32_t written = entry_graph(entry)->outputs.data[i].writes_input;
        if (written < 0) continue;
        storage_written(args->tensors[entry->sources[written]]->storage);
    }
}

/* The handles of the results, before the run: behind one that wrote or drew, nothing may fail. Counts those
 * that were made. */
static sn_status make_outputs(const sn_compiled *c, const Entry *entry, const CallArgs *args,
                              const RunMemory *m, sn_tensor **outputs, bool owned, int32_t *made) {
    for (*made = 0; *made < c->signature.n_outputs; ++*made) {
        const OutputSpec *spec = &entry->outputs[*made];
        bool none = spec->input < 0 && spec->output < 0;
        outputs[*made] = none ? NULL : make_output(spec, entry, args, m, owned);
        if (!none && !outputs[*made]) return SN_ERROR_MEMORY;
    }
    return SN_OK;
}

static sn_status run_entry(const sn_compiled *c, const Entry *entry, const CallArgs *args,
                           sn_tensor **outputs, bool owned) {
    const Executable *executable = entry->instance->executable;
    RunMemory memory;
    sn_error error;
    error_init(&error);
    Site site = c->site;
    uint32_t first = thread_state()->held.count;
    int32_t made = 0;
    sn_status status = SN_OK;
    if (!run_open(&memory, entry_graph(entry)->inputs.count,
                  (uint32_t)executable_program(executable)->n_outputs) ||
        run_make_results(&memory, executable, &error) != SN_OK)
        status = error_set(&error, SN_ERROR_MEMORY, "%s: out of memory", c->name);
    if (status == SN_OK) status = make_outputs(c, entry, args, &memory, outputs, owned, &made);
    if (status == SN_OK) {
        set_inputs(entry, args, &memory);
        status = run_launch(&memory, executable, &site, &error);
    }
    if (status == SN_OK) commit_entry(entry, args);
    run_close(&memory);
    if (status != SN_OK) {
        for (int32_t i = 0; owned && i < made; i++)
            if (outputs[i]) tensor_unref(outputs[i]);
        handles_release(thread_state(), first);
        error_raise_from(&error, site);
    }
    return status;
}

/* An entry that writes an input must not meet a second tensor in the same memory, unless that was so
 * when it was traced (then the key says so). */
static bool memory_is_apart(const Entry *entry, const CallArgs *args) {
    for (uint32_t i = 0; i < entry_graph(entry)->outputs.count; i++) {
        int32_t written = entry_graph(entry)->outputs.data[i].writes_input;
        if (written < 0) continue;
        const sn_tensor *target = args->tensors[entry->sources[written]];
        for (int32_t j = 0; j < args->n_tensors; j++) {
            const sn_tensor *other = args->tensors[j];
            bool same = other->storage == target->storage && other->offset == target->offset;
            if (j != entry->sources[written] && !same && tensors_overlap(target, other))
                return false;
        }
    }
    return true;
}

/* ---- tracing ---------------------------------------------------------------------------------------------------------------- */

/* `difference` (may be NULL) is taken over. */
static void mark_impure(sn_compiled *c, const char *reason, char *difference) {
    if (atomic_exchange(&c->impure, true)) {
        mem_free(difference);
        return;
    }
    lock_take(c->lock);
    c->impure_reason = reason;
    c->impure_detail = difference;
    lock_give(c->lock);
    LogTopic topic = difference ? LOG_PURITY : LOG_TRACE;
    if (log_on(topic))
        log_write(topic, "%s is run on every call: %s%s%s", c->name, reason, difference ? ": " : "",
                  difference ? difference : "");
}

static bool make_proxies(Trace *trace, const CallArgs *args, sn_tensor **proxies) {
    for (int32_t i = 0; i < args->n_tensors; i++) {
        sn_tensor *own = args->tensors[i];
        if (own->kind == TENSOR_WEAK) /* a scalar is its value, in a handle of the function's own */
            proxies[i] = own->dtype == SN_F64 ? sn_c(dtype_bits_to_double(SN_F64, own->bits))
                                              : sn_ci((int64_t)own->bits);
        else
            proxies[i] = own->kind == TENSOR_NONE ? own : trace_argument(trace, own, i);
        if (!proxies[i]) return false;
    }
    return true;
}

/* Results as a caller gets them: there, and tensors, which a constant becomes of its own. */
static sn_status settle_results(const sn_compiled *c, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        if (!tensor_check(outputs[i], c->name, "the result", c->site)) return sn_error_status();
        if (outputs[i]->kind != TENSOR_NONE) continue;
        error_raise(SN_ERROR_ARGUMENT, c->site, "%s returned SN_NONE", c->name);
        return SN_ERROR_ARGUMENT;
    }
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        if (outputs[i]->kind != TENSOR_WEAK) continue;
        outputs[i] = sn_clone_at(outputs[i], c->site.file, c->site.line);
        if (!outputs[i]) return sn_error_status();
    }
    return SN_OK;
}

/* Runs the function on proxies inside a scope of its own; outputs keep one reference each. */
static sn_status record(sn_compiled *c, Trace *trace, const CallArgs *args, sn_tensor **outputs) {
    sn_tensor *proxies[SIGNATURE_MOST_TENSORS];
    Substituted s = {.structs = {0}};
    trace->fullgraph = c->fullgraph;
    trace_enter(trace);
    sn_status status = SN_OK;
    if (!make_proxies(trace, args, proxies))
        status = sn_error_status();
    else if (!arguments_substitute(c, trace, args, proxies, &s))
        status = (error_raise(SN_ERROR_MEMORY, c->site, "out of memory"), SN_ERROR_MEMORY);
    if (status == SN_OK) status = compiled_invoke(c, s.values, outputs);
    if (status == SN_OK) status = substituted_check(c, &s);
    if (status == SN_OK) status = settle_results(c, outputs);
    for (int32_t i = 0; status == SN_OK && i < c->signature.n_outputs; i++)
        atomic_fetch_add_explicit(&outputs[i]->refs, 1, memory_order_relaxed);
    trace_leave(trace);
    return status;
}

/* What each result is, before proxies turn real. */
static bool describe_outputs(const sn_compiled *c, const Trace *trace, sn_tensor *const *outputs,
                             OutputSpec *specs, uint32_t *roots) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        const sn_tensor *out = outputs[i];
        if (out->kind != TENSOR_PROXY) return false;
        OutputSpec *spec = &specs[i];
        *spec = (OutputSpec){
            .input = -1, .output = -1, .type = tensor_type(out), .offset = out->offset};
        memcpy(spec->strides, out->strides, sizeof(int64_t) * out->rank);
        roots[i] = trace->views.data[out->record].root;
        spec->input = trace->roots.data[roots[i]].input;
        if (spec->input >= 0) spec->offset -= trace->inputs.data[spec->input].tensor->offset;
    }
    return true;
}

static void number_outputs(const sn_compiled *c, const GraphInstance *graph,
                           const RootOutputs *made, OutputSpec *specs, const uint32_t *roots) {
    if (!graph->executable) return;
    const Program *program = executable_program(graph->executable);
    for (int32_t i = 0; i < c->signature.n_outputs; i++)
        for (uint32_t j = 0; specs[i].input < 0 && j < made->count; j++) {
            if (made->data[j].root != roots[i]) continue;
            uint32_t buffer = program->outputs.data[made->data[j].output].buffer;
            specs[i].output = program->buffers.data[buffer].number;
        }
}

static bool fill_sources(Entry *entry, const Trace *trace, const CallArgs *args) {
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        const TraceInput *input = &trace->inputs.data[i];
        int32_t source = -1;
        bool found = false;
        for (int32_t j = 0; !found && input->tensor && j < args->n_tensors; j++) {
            found = args->tensors[j] == input->tensor;
            source = j;
        }
        for (int32_t j = 0; !found && input->generator && j < args->n_generators; j++) {
            found = args->generators[j] == input->generator;
            source = -1 - j;
        }
        if (!found) return false;
        entry->sources[i] = source;
    }
    return true;
}

/* Remembers what the key leads to. A failure only means that the next call traces again. */
static void keep_entry(sn_compiled *c, const Key *key, const Trace *trace, const CallArgs *args,
                       GraphInstance *instance, const OutputSpec *specs, const int64_t *drawn) {
    Entry *entry = mem_calloc(1, sizeof *entry);
    if (!entry) return;
    atomic_init(&entry->refs, 1);
    entry->hash = hash_bytes(key->words, key->at * sizeof(uint64_t), 0);
    entry->instance = instance_retain(instance);
    entry->key_words = key->at;
    entry->key = mem_alloc(key->at * sizeof(uint64_t) + 1);
    entry->outputs = mem_calloc((size_t)c->signature.n_outputs + 1, sizeof *entry->outputs);
    entry->sources = mem_calloc(trace->inputs.count + 1, sizeof *entry->sources);
    entry->drawn = mem_calloc((size_t)args->n_generators + 1, sizeof *entry->drawn);
    if (!entry->key || !entry->outputs || !entry->sources || !entry->drawn ||
        !fill_sources(entry, trace, args)) {
        entry_release(entry);
        return;
    }
    memcpy(entry->key, key->words, key->at * sizeof(uint64_t));
    memcpy(entry->outputs, specs, sizeof *specs * (size_t)c->signature.n_outputs);
    memcpy(entry->drawn, drawn, sizeof *drawn * (size_t)args->n_generators);
    const Graph *graph = entry_graph(entry);
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        entry->writes = entry->writes || graph->outputs.data[i].writes_input >= 0;
    atomic_init(&entry->calls, 1);
    atomic_init(&entry->used, true);
    entry_add(c, entry);
}

static bool same_outputs(const sn_compiled *c, const Entry *entry, const OutputSpec *specs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        const OutputSpec *x = &entry->outputs[i], *y = &specs[i];
        if (x->input != y->input || x->output != y->output || x->offset != y->offset ||
            x->type.dtype != y->type.dtype || x->type.rank != y->type.rank ||
            memcmp(x->type.dims, y->type.dims, sizeof(int64_t) * y->type.rank) != 0 ||
            memcmp(x->strides, y->strides, sizeof(int64_t) * y->type.rank) != 0)
            return false;
    }
    return true;
}

void results_hand_over(const sn_compiled *c, sn_tensor **outputs, bool owned) {
    ThreadState *state = thread_state();
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        sn_tensor *out = outputs[i];
        if (owned) {
            atomic_fetch_add_explicit(&out->retains, 1, memory_order_relaxed);
            continue;
        }
        out->slot = state->held.count;
        state->held.data[state->held.count++] = out;
    }
}

/* An error of the run: where its op is, or where the function was compiled. */
static void raise_run_error(const sn_compiled *c, const sn_error *error) {
    if (error->file)
        error_raise_from(error, (Site){error->file, error->line});
    else if (error->status == SN_ERROR_MEMORY)
        error_raise(SN_ERROR_MEMORY, c->site, "%s: %s", c->name, error->text);
    else
        error_raise_from(error, c->site);
}

/* Reasons, read off a finished trace, for which the function must be run on every call. */
static const char *impurity(const sn_compiled *c, const Trace *trace) {
    if (trace->host_reads) return "it reads values on the host";
    if (trace->impure) return "it reaches tensors or generators that are not its arguments";
    /* All references but those of the results are gone, unless the program kept one. */
    int32_t refs = 0;
    for (sn_tensor *t = trace->recorder.live; t; t = t->next)
        refs += atomic_load_explicit(&t->refs, memory_order_relaxed);
    bool kept = trace->kept > 0 || refs > c->signature.n_outputs;
    return kept ? "a tensor made in it was kept" : NULL;
}

static void note_trace(sn_compiled *c, const Trace *trace, GraphInstance *instance, int64_t ns) {
    lock_take(c->lock);
    c->trace_ns = ns;
    GraphInstance *before = c->latest;
    c->latest = instance_retain(instance);
    c->host_reads = trace->host_reads;
    c->read_site = trace->read_site;
    lock_give(c->lock);
    instance_release(before);
}

/* Numbers drawn by generator argument; one that was passed twice counts at its first place. */
static void count_draws(const Trace *trace, const CallArgs *args, int64_t *drawn) {
    for (uint32_t i = 0; i < trace->inputs.count; i++)
        for (int32_t j = 0; j < args->n_generators; j++) {
            if (trace->inputs.data[i].generator != args->generators[j]) continue;
            drawn[j] = trace->inputs.data[i].drawn;
            break;
        }
}

/* The graph has no executable. */
static void note_nodes(sn_compiled *c, const GraphInstance *instance) {
    const char *why = instance->graph->failure;
    compiled_count_fallback(c, why ? why : "out of memory");
}

/* What runs a graph that is flushed in the middle of the function. */
static sn_status build_flushed(void *context, const Trace *trace, Executable **out,
                               sn_error *error) {
    GraphInstance *instance = instance_get(context, trace, error);
    if (!instance) return error->status;
    *out = instance->executable ? executable_retain(instance->executable) : NULL;
    if (!*out) note_nodes(context, instance);
    instance_release(instance);
    return SN_OK;
}

static void fall_back(void *context, const char *reason) {
    compiled_count_fallback(context, reason);
}

/* The call held the handle. */
static void abandon(void *context) {
    sn_compiled_release(context);
}

static const TraceOwner trace_owner = {
    .build = build_flushed, .fallback = fall_back, .abandon = abandon};

/* The trace of a call, which takes over the key's memory. */
static Trace *trace_begin(sn_compiled *c, const CallArgs *args, Key *key) {
    Trace *trace = trace_new(&trace_owner, c, c->name);
    if (!trace) return error_raise(SN_ERROR_MEMORY, c->site, "%s: out of memory", c->name);
    void *block = key->block;
    key->block = NULL;
    if (!trace_owns(trace, block)) {
        trace_free(trace);
        return error_raise(SN_ERROR_MEMORY, c->site, "%s: out of memory", c->name);
    }
    trace->generators = args->generators;
    trace->n_generators = args->n_generators;
    return trace;
}

/* What runs the recorded graph: that of the entry seen, if the function recorded the same again. */
static GraphInstance *instance_of(sn_compiled *c, const Trace *trace, const Entry *seen,
                                  sn_error *error) {
    if (seen && instance_matches(seen->instance, &trace->graph))
        return instance_retain(seen->instance);
    return instance_get(c, trace, error);
}

/* The first difference between what an entry was recorded as and a trace; NULL when out of memory. */
static char *difference_from(const Entry *seen, const Trace *trace) {
    StrBuf text = {0};
    Graph known;
    if (instance_recorded(seen->instance, &known)) graph_difference(&known, &trace->graph, &text);
    graph_free(&known);
    return strbuf_take(&text);
}

/* The call by way of a trace. `seen` is the entry that the key led to, to be checked, or NULL. */
static sn_status trace_call(sn_compiled *c, const CallArgs *args, Key *key, Entry *seen,
                            sn_tensor **outputs, bool owned) {
    sn_error error;
    error_init(&error);
    RootOutputs made = {0};
    OutputSpec specs[SIGNATURE_MOST_PARAMS];
    uint32_t roots[SIGNATURE_MOST_PARAMS];
    int64_t drawn[SIGNATURE_MOST_PARAMS] = {0};
    Trace *trace = trace_begin(c, args, key);
    if (!trace) return SN_ERROR_MEMORY;
    COUNT(traces);
    int64_t begin = clock_ns();
    sn_status status = record(c, trace, args, outputs);
    int64_t trace_ns = clock_ns() - begin;
    timeline_add("trace", c->name, timeline_now() ? begin : 0);
    atomic_fetch_add_explicit(&frontend_counters.trace_ns, trace_ns, memory_order_relaxed);
    bool recorded = status == SN_OK;
    if (!recorded && sn_error_status() == status) {
        segment_check_data(trace);
        status = sn_error_status();
    }
    bool pure_outputs = recorded && describe_outputs(c, trace, outputs, specs, roots);
    const char *reason = recorded ? impurity(c, trace) : NULL;
    count_draws(trace, args, drawn);
    GraphInstance *instance = NULL;
    if (recorded && !owned &&
        !vec_reserve(&thread_state()->held, (uint32_t)c->signature.n_outputs)) {
        status = error_memory(&error); /* for results_hand_over: behind the run nothing may fail */
    } else if (recorded && !trace->ended) {
        if (segment_declare(trace, &made, &error)) instance = instance_of(c, trace, seen, &error);
        if (instance && !instance->executable) note_nodes(c, instance);
        status = instance ? segment_run(trace, instance->executable, &made, &error) : error.status;
    }
    if (status != SN_OK && recorded) {
        raise_run_error(c, &error);
        for (int32_t i = 0; i < c->signature.n_outputs; i++) tensor_unref(outputs[i]);
    }
    if (status == SN_OK && reason) mark_impure(c, reason, NULL);
    if (status == SN_OK && instance) {
        note_trace(c, trace, instance, trace_ns);
        if (pure_outputs) number_outputs(c, instance, &made, specs, roots);
        bool keeps = !reason && pure_outputs && !atomic_load(&c->impure) && instance->executable;
        if (seen && (!keeps || seen->instance != instance || !same_outputs(c, seen, specs)))
            mark_impure(c, "a second call with equal arguments recorded other ops",
                        difference_from(seen, trace));
        if (seen) atomic_store_explicit(&seen->calls, 2, memory_order_relaxed);
        if (!seen && keeps) keep_entry(c, key, trace, args, instance, specs, drawn);
    }
    instance_release(instance);
    vec_free(&made);
    trace_free(trace);
    for (int32_t i = 0; status != SN_OK && i < c->signature.n_outputs; i++) outputs[i] = NULL;
    if (status == SN_OK) results_hand_over(c, outputs, owned);
    return status;
}

static void release_callee(void *callee) {
    sn_compiled_release(callee);
}

/* Holds the function that is inlined until the trace ends. */
static bool hold_callee(Trace *trace, sn_compiled *c) {
    for (uint32_t i = 0; i < trace->cleanups.count; i++)
        if (trace->cleanups.data[i].what == c) return true;
    if (!trace_at_end(trace, release_callee, c)) {
        error_raise(SN_ERROR_MEMORY, c->site, "%s: out of memory", c->name);
        return false;
    }
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return true;
}

/* What the inlined function depends on beyond its arguments, the caller depends on. Arguments and
 * results are checked, and a scalar that is returned becomes a tensor, as in a call of its own. */
sn_status compiled_inline(sn_compiled *c, const sn_value *values, sn_tensor **outputs, bool owned) {
    Trace *trace = trace_current();
    if (error_pending(thread_state()) || !hold_callee(trace, c)) return sn_error_status();
    CallArgs args;
    Substituted s;
    if (!arguments_flatten(c, values, &args) || !arguments_check_dims(c, &args))
        return sn_error_status();
    if (!arguments_substitute(c, trace, &args, args.tensors, &s))
        return error_raise(SN_ERROR_MEMORY, c->site, "out of memory"), SN_ERROR_MEMORY;
    bool fullgraph = trace->fullgraph;
    if (atomic_load(&c->impure) || c->n_watch) trace->impure = true;
    trace->fullgraph = fullgraph || c->fullgraph;
    sn_status status = compiled_invoke(c, s.values, outputs);
    trace->fullgraph = fullgraph;
    if (status == SN_OK) status = substituted_check(c, &s);
    if (status == SN_OK) status = settle_results(c, outputs);
    for (int32_t i = 0; owned && status == SN_OK && i < c->signature.n_outputs; i++)
        sn_retain(outputs[i]);
    return status;
}

/* Is this the call of an entry that runs the function again, to compare? */
static bool is_due(const sn_compiled *c, Entry *entry) {
    if (!c->check_every) return atomic_load_explicit(&entry->calls, memory_order_relaxed) < 2;
    int64_t before = atomic_fetch_add_explicit(&entry->calls, 1, memory_order_relaxed);
    return before < 2 || before % c->check_every == 0;
}

sn_status compiled_call(sn_compiled *c, const sn_value *values, sn_tensor **outputs, bool owned) {
    ThreadState *state = thread_state();
    if (error_pending(state)) return state->error.status;
    if (!owned && c->signature.n_outputs && !scope_check(c->site)) return SN_ERROR_SCOPE;
    CallArgs args;
    if (!arguments_flatten(c, values, &args)) return sn_error_status();
    if (c->n_dims && !arguments_check_dims(c, &args)) return sn_error_status();
    PolicyState policy = {.stance = compiled_stance(c),
                          .called = atomic_load_explicit(&c->called, memory_order_relaxed)};
    if (!policy.called) atomic_store_explicit(&c->called, true, memory_order_relaxed);
    if (policy_call(&policy) == CALL_EAGER) return compiled_call_eagerly(c, values, outputs, owned);
    bool rerun = atomic_load_explicit(&c->impure, memory_order_relaxed);
    uint64_t few[KEY_FEW_WORDS];
    Key key = {few, 0, KEY_FEW_WORDS, NULL};
    if (!rerun) arguments_pack_key(c, &args, &key);
    if (key.at > KEY_FEW_WORDS) { /* once more, with room */
        key = (Key){.capacity = key.at, .block = mem_alloc(sizeof(uint64_t) * key.at)};
        key.words = key.block;
        if (!key.words)
            return error_raise(SN_ERROR_MEMORY, c->site, "out of memory"), SN_ERROR_MEMORY;
        arguments_pack_key(c, &args, &key);
    }
    sn_status status;
    Entry *entry = rerun ? NULL : entry_find(c, &key);
    if (entry && !is_due(c, entry) && (!entry->writes || memory_is_apart(entry, &args))) {
        COUNT(guard_hits);
        int64_t begin = timeline_now();
        status = run_entry(c, entry, &args, outputs, owned);
        timeline_add("call", c->name, begin);
    } else {
        if (rerun)
            COUNT(reruns);
        else if (!entry)
            COUNT(guard_misses);
        int64_t begin = timeline_now();
        status = trace_call(c, &args, &key, entry, outputs, owned);
        timeline_add("call", c->name, begin);
    }
    mem_free(key.block);
    return status;
}
