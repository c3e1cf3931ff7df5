/* A call by way of a trace: the function is run on proxies, what it recorded is compiled and run,
 * and an entry remembers what the key leads to. */
#include "frontend/call/call.h"

#include "base/clock.h"
#include "base/status.h"
#include "frontend/call/invoke.h"
#include "frontend/call/substituted.h"
#include "frontend/compiled/resolve.h"
#include "frontend/tensor/counters.h"
#include "ir/op/dtype.h"
#include "runtime/observe.h"

#include <sinter/ops.h>

/* The call on its way. */
typedef struct TracedCall {
    sn_compiled *c;          /* the function */
    const CallArgs *args;    /* real arguments */
    const Key *key;          /* of them; the trace has its block */
    Entry *seen;             /* what the key led to, or NULL; the trace has the reference */
    Trace *trace;            /* what is recorded */
    sn_tensor **outputs;     /* results: proxies at first; one reference each */
    bool owned;              /* they are to be the caller's references */
    int64_t trace_ns;        /* spent in the function */
    const char *impurity;    /* why the function is impure, by this trace; NULL: it may be pure */
    TraceResults *results;   /* what the results are */
    int64_t *drawn;          /* numbers drawn, by generator argument */
    GraphInstance *instance; /* what ran; NULL: nothing was left to run */
} TracedCall;

/* ---- the trace's owner ----------------------------------------------------------------------- */

/* The graph has no executable. */
static void note_nodes(sn_compiled *c, const GraphInstance *instance) {
    const char *why = instance->graph->failure;
    compiled_count_fallback(c, why ? why : "out of memory");
}

/* What runs a graph that is flushed in the middle of the function. */
static sn_status build_flushed(void *context, const Trace *trace, Executable **out,
                               sn_error *error) {
    SN_ASSERT(trace->context == context);
    GraphInstance *instance = resolve_trace(context, trace, NULL, NULL, error);
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
    compiled_drop(context);
}

static const TraceOwner trace_owner = {
    .build = build_flushed, .fallback = fall_back, .call = call_inline, .abandon = abandon};

static void release_entry(void *entry) {
    entry_release(entry);
}

/* Each of the three is taken over in any case; false when out of memory. */
static bool take_over(Trace *trace, void *key_block, void *args_block, Entry *seen) {
    bool owned = trace_owns(trace, key_block);
    owned = trace_owns(trace, args_block) && owned;
    if (!seen) return owned;
    if (trace_at_end(trace, release_entry, seen)) return owned;
    entry_release(seen);
    return false;
}

/* A trace that has what must not be lost where the program jumps out of the function: the blocks of key
 * and arguments, and the entry. NULL with the error raised; all are taken over in any case. */
static Trace *open_trace(sn_compiled *c, CallArgs *args, Key *key, Entry *seen) {
    Trace *trace = trace_new(&trace_owner, c, c->name);
    void *key_block = key->block, *args_block = args->block;
    key->block = args->block = NULL;
    if (!trace) {
        mem_free(key_block);
        mem_free(args_block);
        entry_release(seen);
    } else if (!take_over(trace, key_block, args_block, seen)) {
        trace_free(trace);
        trace = NULL;
    }
    if (!trace) return error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
    trace->generators = args->generators;
    trace->n_generators = args->n_generators;
    trace->fullgraph = c->options.fullgraph;
    return trace;
}

/* ---- recording ------------------------------------------------------------------------------- */

/* One handle has one proxy, so that the function may compare handles. */
static bool make_proxies(Trace *trace, const CallArgs *args, sn_tensor **proxies) {
    for (int32_t i = 0; i < args->n_tensors; i++) {
        sn_tensor *own = args->tensors[i];
        if (args->sharing[i].handle)
            proxies[i] = proxies[args->sharing[i].handle - 1];
        else if (own->kind ==
                 TENSOR_WEAK) /* a scalar is its value, in a handle of the function's own */
            proxies[i] = own->dtype == SN_F64 ? sn_c(dtype_bits_to_double(SN_F64, own->bits))
                                              : sn_ci((int64_t)own->bits);
        else
            proxies[i] = own->kind == TENSOR_NONE ? own : trace_argument(trace, own, i);
        if (!proxies[i]) return false;
    }
    return true;
}

/* The trace's, since the function may jump out. NULL with the error raised. */
static sn_tensor **room_for_proxies(const TracedCall *call) {
    sn_tensor **proxies = mem_alloc(sizeof *proxies * ((size_t)call->args->n_tensors + 1));
    if (proxies && trace_owns(call->trace, proxies)) return proxies;
    return error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", call->c->title);
}

/* The trace is gone, with all that it owned and with the hold on the handle, which the caller ends. */
static sn_status forget_unwound(TracedCall *call, sn_status status) {
    compiled_retain(call->c);
    call->trace = NULL;
    return status;
}

/* Runs the function on proxies inside a scope of its own; outputs keep one reference each. Without a trace
 * behind it: the function unwound it. */
static sn_status run_on_proxies(TracedCall *call) {
    sn_compiled *c = call->c;
    sn_tensor **proxies = room_for_proxies(call);
    if (!proxies) return SN_ERROR_MEMORY;
    Substituted s = {.structs = {0}};
    trace_enter(call->trace);
    bool ready = make_proxies(call->trace, call->args, proxies) &&
                 substituted_make(c, call->trace, call->args, proxies, &s);
    sn_status status = ready ? SN_OK : sn_error_status();
    if (status == SN_OK) status = compiled_invoke(c, s.values, call->outputs);
    if (!recorder_is_open(&call->trace->recorder)) return forget_unwound(call, status);
    if (status == SN_OK) status = substituted_check(c, &s);
    if (status == SN_OK) status = results_complete(c, call->outputs);
    for (int32_t i = 0; status == SN_OK && i < c->signature.n_outputs; i++)
        atomic_fetch_add_explicit(&call->outputs[i]->refs, 1, memory_order_relaxed);
    trace_leave(call->trace);
    return status;
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

/* Numbers drawn by generator argument; one that was passed twice counts at its first place. */
static void count_draws(const Trace *trace, const CallArgs *args, int64_t *drawn) {
    memset(drawn, 0, sizeof *drawn * (size_t)args->n_generators);
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        const TraceInput *input = &trace->inputs.data[i];
        if (input->generator && input->source != SOURCE_CAPTURED)
            drawn[generator_source(input->source)] = input->drawn;
    }
}

static sn_status record(TracedCall *call) {
    COUNT(traces);
    int64_t begin = clock_ns();
    sn_status status = run_on_proxies(call);
    call->trace_ns = clock_ns() - begin;
    observe_span("trace", call->c->name, observe_now() ? begin : 0);
    atomic_fetch_add_explicit(&frontend_counters.trace_ns, call->trace_ns, memory_order_relaxed);
    if (!call->trace) return status;
    if (status == SN_OK) {
        results_describe(call->c, call->trace, call->outputs, call->results);
        call->impurity = impurity(call->c, call->trace);
        count_draws(call->trace, call->args, call->drawn);
    } else if (sn_error_status() == status) {
        trace_check_data(call->trace);
        status = sn_error_status();
    }
    return status;
}

/* ---- running what was recorded --------------------------------------------------------------- */

/* What runs the recorded graph: that of the entry seen, if the function recorded the same again. */
static GraphInstance *find_instance(const TracedCall *call, sn_error *error) {
    const Entry *seen = call->seen;
    if (seen && instance_matches(seen->instance, &call->trace->graph))
        return instance_retain(seen->instance);
    return resolve_trace(call->c, call->trace, call->args, call->key, error);
}

/* What is looked at when the program asks what became of the function, whatever comes of the run. */
static void note_latest(const TracedCall *call) {
    latest_set(&call->c->latest, (TraceNote){.instance = instance_retain(call->instance),
                                             .trace_ns = call->trace_ns,
                                             .host_reads = call->trace->host_reads,
                                             .read_site = call->trace->read_site});
}

static sn_status run_recorded(TracedCall *call, sn_error *error) {
    uint32_t n_outputs = (uint32_t)call->c->signature.n_outputs;
    SN_ASSERT(!call->instance);
    /* For results_hand_over: behind the run nothing may fail. */
    if (!call->owned && !vec_reserve(&thread_state()->held, n_outputs)) return error_memory(error);
    if (call->trace->ended) return SN_OK;
    if (!trace_declare_results(call->trace, error)) return error->status;
    call->instance = find_instance(call, error);
    if (!call->instance) return error->status;
    note_latest(call);
    if (!call->instance->executable) note_nodes(call->c, call->instance);
    return trace_run(call->trace, call->instance->executable, error);
}

static sn_status run(TracedCall *call) {
    sn_error error;
    error_init(&error);
    sn_status status = run_recorded(call, &error);
    if (status == SN_OK) return status;
    call_refuse(call->c, &error);
    for (int32_t i = 0; i < call->c->signature.n_outputs; i++) tensor_unref(call->outputs[i]);
    return status;
}

/* ---- what is remembered ---------------------------------------------------------------------- */

/* The first difference between what an entry was recorded as and a trace; NULL when out of
 * memory. */
static char *difference_from(const Entry *seen, const Trace *trace) {
    StrBuf text = {0};
    Graph known;
    if (instance_recorded(seen->instance, &known)) graph_difference(&known, &trace->graph, &text);
    graph_free(&known);
    return strbuf_take(&text);
}

/* Is a trace with these results as good as a run of the instance? */
static bool is_repeatable(const TracedCall *call) {
    return !call->impurity && call->results->known && !is_impure(&call->c->purity) &&
           call->instance->executable;
}

/* What the calls so far say of the numbers of a call, or why they say nothing. */
static void learn_numbers(sn_compiled *c, const Key *key) {
    StrBuf refusal = {0};
    Moving *moving = moving_learn(&c->entries, &c->signature, key, &refusal);
    if (moving) moving_add(&c->moving, moving);
    moving_refuse(&c->moving, refusal.length ? strbuf_take(&refusal) : NULL);
    strbuf_free(&refusal);
}

/* Compares the call with the entry that its key led to, or keeps one: where memory is out, the next
 * call traces again. */
static void remember(TracedCall *call) {
    sn_compiled *c = call->c;
    Entry *seen = call->seen;
    if (call->impurity) compiled_mark_impure(c, call->impurity, NULL);
    if (!call->instance) return;
    bool repeatable = is_repeatable(call);
    if (repeatable) results_number(call->results, call->instance->executable, call->trace);
    if (seen) {
        if (!repeatable || seen->instance != call->instance ||
            !results_equal(call->results, seen->outputs))
            compiled_mark_impure(c, "a call with equal arguments recorded other ops",
                                 difference_from(seen, call->trace));
        atomic_store_explicit(&seen->calls, 2, memory_order_relaxed);
        return;
    }
    if (!repeatable) return;
    Entry *entry = entry_new(call->key, call->instance, call->trace, call->results, call->drawn,
                             call->args->n_generators);
    if (!entry) return;
    entries_add(&c->entries, entry);
    if (c->signature.n_moving && moving_wanted(&c->moving)) learn_numbers(c, call->key);
}

sn_status call_traced(sn_compiled *c, CallArgs *args, Key *key, Entry *seen, sn_tensor **outputs,
                      bool owned) {
    TraceResults results;
    int64_t drawn[SIGNATURE_MOST_PARAMS];
    TracedCall call = {.c = c,
                       .args = args,
                       .key = key,
                       .seen = seen,
                       .trace = open_trace(c, args, key, seen),
                       .outputs = outputs,
                       .owned = owned,
                       .results = &results,
                       .drawn = drawn};
    if (!call.trace) return SN_ERROR_MEMORY;
    sn_status status = record(&call);
    if (status == SN_OK) status = run(&call);
    if (status == SN_OK) remember(&call);
    SN_ASSERT(status != SN_OK || !call.trace->recorder.live);
    instance_release(call.instance);
    if (status != SN_OK && call.trace) trace_take_back_draws(call.trace);
    if (call.trace) trace_free(call.trace);
    for (int32_t i = 0; status != SN_OK && i < c->signature.n_outputs; i++) outputs[i] = NULL;
    if (status == SN_OK) results_hand_over(c, outputs, owned);
    return status;
}
