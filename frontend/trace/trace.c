/* Traces as recorders of a thread: made, entered, left, abandoned; see trace.h. */
#include "frontend/trace/trace.h"

#include "base/assert.h"
#include "frontend/op/eager.h"

enum { SPARE_MOST_NODES = 1 << 16 };

static void free_all(void *data) {
    Trace *trace = data;
    graph_free(&trace->graph);
    vec_free(&trace->roots);
    vec_free(&trace->views);
    vec_free(&trace->words);
    vec_free(&trace->inputs);
    vec_free(&trace->cleanups);
    mem_free(trace);
}

/* ---- what a thread's recorder does -------------------------------------------------------------------- */

static Trace *trace_of(Recorder *recorder) {
    return (Trace *)(void *)recorder;
}

/* A captured tensor that becomes an operand is noticed where it does; looks leave no op behind. */
static void trace_look(Recorder *recorder, const sn_tensor *tensor) {
    Trace *trace = trace_of(recorder);
    bool foreign = tensor->kind == TENSOR_WEAK && !trace_made_here(trace, tensor);
    if (tensor->kind == TENSOR_REAL || foreign) trace->impure = true;
}

static void trace_keep(Recorder *recorder, const sn_tensor *tensor, int32_t references) {
    Trace *trace = trace_of(recorder);
    if (tensor->kind == TENSOR_PROXY) return;
    if (tensor->kind == TENSOR_WEAK && trace_made_here(trace, tensor))
        trace->kept += references;
    else
        trace->impure = true;
}

/* A proxy turns real. Of real memory, what was recorded for it runs. */
static bool trace_read(Recorder *recorder, const sn_tensor *tensor, bool writes, const char *op,
                       Site site) {
    Trace *trace = trace_of(recorder);
    if (tensor->kind == TENSOR_PROXY) return trace_host_read(trace, op, site);
    if (tensor->kind != TENSOR_REAL) return true;
    for (uint32_t i = 0; i < trace->roots.count; i++) {
        const TraceRoot *root = &trace->roots.data[i];
        if (root->input < 0 || (root->version == 0 && !writes)) continue;
        if (tensors_overlap(trace->inputs.data[root->input].tensor, tensor))
            return trace_host_read(trace, op, site);
    }
    return true;
}

/* Without running it: live proxies become unusable. */
static void trace_abandon(Recorder *recorder) {
    Trace *trace = trace_of(recorder);
    const TraceOwner *owner = trace->owner;
    void *context = trace->context;
    SN_ASSERT(thread_state()->recorder == recorder);
    thread_state()->recorder = recorder->outer;
    trace_free(trace);
    owner->abandon(context);
}

static const RecorderTable trace_table = {.op = trace_op,
                                          .view = trace_view,
                                          .inplace = trace_inplace,
                                          .look = trace_look,
                                          .keep = trace_keep,
                                          .read = trace_read,
                                          .abandon = trace_abandon};
/* The same after trace_end. */
static const RecorderTable ended_table = {.op = eager_op,
                                          .view = eager_view,
                                          .inplace = eager_inplace,
                                          .look = eager_look,
                                          .keep = eager_keep,
                                          .read = eager_read,
                                          .abandon = trace_abandon};

/* ---- life ---------------------------------------------------------------------------------------------- */

/* A trace that ended leaves its memory to the thread's next one: a re-trace allocates nothing. */
Trace *trace_new(const TraceOwner *owner, void *context, const char *name) {
    Trace *trace = thread_room(ROOM_TRACE);
    if (trace) {
        thread_keep(ROOM_TRACE, NULL, NULL);
    } else {
        trace = mem_calloc(1, sizeof *trace);
        if (!trace) return NULL;
        graph_init(&trace->graph, name);
    }
    SN_ASSERT(!trace->recorder.live && !trace->inputs.count && !trace->cleanups.count);
    trace->recorder = (Recorder){.table = &trace_table};
    trace->owner = owner;
    trace->context = context;
    trace->generators = NULL;
    trace->n_generators = 0;
    trace->graph.name = name;
    trace->graph.no_fold = true;
    trace->fullgraph = trace->ended = trace->failed = trace->impure = false;
    trace->host_reads = trace->ops = trace->kept = 0;
    trace->read_site = (Site){0};
    return trace;
}

void trace_clear(Trace *trace) {
    for (uint32_t i = 0; i < trace->inputs.count; i++)
        if (trace->inputs.data[i].tensor) tensor_unref(trace->inputs.data[i].tensor);
    graph_clear(&trace->graph);
    trace->roots.count = 0;
    trace->views.count = 0;
    trace->words.count = 0;
    trace->inputs.count = 0;
    trace->latest_check = 0;
}

void trace_free(Trace *trace) {
    while (trace->recorder.live) proxy_unlink(trace->recorder.live);
    trace_clear(trace);
    while (trace->cleanups.count) {
        TraceCleanup cleanup = trace->cleanups.data[--trace->cleanups.count];
        cleanup.run(cleanup.what);
    }
    if (thread_room(ROOM_TRACE) || trace->graph.nodes.capacity > SPARE_MOST_NODES)
        free_all(trace);
    else
        thread_keep(ROOM_TRACE, trace, free_all);
}

void trace_enter(Trace *trace) {
    ThreadState *state = thread_state();
    trace->recorder.outer = state->recorder;
    trace->recorder.scope = sn_scope_begin();
    state->recorder = &trace->recorder;
}

void trace_leave(Trace *trace) {
    ThreadState *state = thread_state();
    SN_ASSERT(state->recorder == &trace->recorder);
    state->recorder = trace->recorder.outer;
    sn_scope_end(trace->recorder.scope, NULL);
}

void trace_end(Trace *trace) {
    SN_ASSERT(!trace->recorder.live);
    trace->ended = true;
    trace->recorder.table = &ended_table;
}

Trace *trace_current(void) {
    Recorder *recorder = thread_state()->recorder;
    return recorder ? trace_of(recorder) : NULL;
}

bool trace_at_end(Trace *trace, void (*run)(void *), void *what) {
    TraceCleanup cleanup = {run, what};
    return vec_push(&trace->cleanups, cleanup);
}

bool trace_owns(Trace *trace, void *block) {
    if (!block || trace_at_end(trace, mem_free, block)) return true;
    mem_free(block);
    return false;
}
