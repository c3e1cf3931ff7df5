/* Traces: made, filled with roots and proxies, ended; see trace.h. */
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
    vec_free(&trace->path);
    map_free(&trace->known);
    spans_free(&trace->memory);
    spans_free(&trace->written);
    mem_free(trace);
}

sn_status trace_call(Recorder *recorder, sn_compiled *callee, const sn_value *values,
                     sn_tensor **outputs, bool owned) {
    Trace *trace = trace_of(recorder);
    return trace->owner->call(trace, callee, values, outputs, owned);
}

void trace_abandon(Recorder *recorder) {
    Trace *trace = trace_of(recorder);
    const TraceOwner *owner = trace->owner;
    void *context = trace->context;
    SN_ASSERT(thread_state()->recorder == recorder);
    thread_state()->recorder = recorder->outer;
    trace_free(trace);
    owner->abandon(context);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* A trace that ended leaves its memory to the thread's next one: a re-trace allocates nothing. */
Trace *trace_new(const TraceOwner *owner, void *context, const char *name) {
    Trace *trace = thread_room(ROOM_TRACE);
    if (trace) {
        thread_keep(ROOM_TRACE, NULL, NULL);
    } else {
        trace = mem_calloc(1, sizeof *trace);
        if (!trace) return NULL;
        graph_init(&trace->graph, name);
        trace->latest_generator = -1;
    }
    SN_ASSERT(!trace->recorder.live && !trace->inputs.count && !trace->cleanups.count);
    trace->recorder = (Recorder){0};
    trace->owner = owner;
    trace->context = context;
    trace->generators = NULL;
    trace->n_generators = 0;
    trace->graph.name = name;
    trace->graph.no_fold = true;
    trace->fullgraph = trace->ended = trace->failed = trace->impure = false;
    trace->strided = false;
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
    trace->n_memory = 0;
    trace->latest_generator = -1;
    trace->latest_check = 0;
    map_clear(&trace->known);
    spans_clear(&trace->memory);
    spans_clear(&trace->written);
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

bool trace_at_end(Trace *trace, void (*run)(void *), void *what) {
    TraceCleanup cleanup = {run, what};
    return vec_push(&trace->cleanups, cleanup);
}

bool trace_owns(Trace *trace, void *block) {
    if (!block || trace_at_end(trace, mem_free, block)) return true;
    mem_free(block);
    return false;
}

/* ---- as a recorder that has ended ------------------------------------------------------------ */

/* The function goes on, but there is nothing to notice. */
static void ended_look(Recorder *recorder, const sn_tensor *tensor) {
    (void)recorder, (void)tensor;
}

static void ended_keep(Recorder *recorder, const sn_tensor *tensor, int32_t references) {
    (void)recorder, (void)tensor, (void)references;
}

static bool ended_read(Recorder *recorder, const sn_tensor *tensor, bool writes, const char *op,
                       Site site) {
    (void)recorder, (void)tensor, (void)writes, (void)op, (void)site;
    return true;
}

static const RecorderTable ended_table = {
    .ops = {.op = eager_op, .view = eager_view, .inplace = eager_inplace},
    .look = ended_look,
    .keep = ended_keep,
    .read = ended_read,
    .call = trace_call,
    .abandon = trace_abandon};

void trace_end(Trace *trace) {
    SN_ASSERT(!trace->recorder.live);
    trace->ended = true;
    trace->recorder.table = &ended_table;
}

/* ---- roots and proxies ----------------------------------------------------------------------- */

int64_t trace_new_root(Trace *trace, NodeId node, int32_t input) {
    TraceRoot root = {.node = node, .input = input, .output = -1};
    TraceView whole = {.root = trace->roots.count, .parent = -1, .node = node};
    if (!vec_push(&trace->roots, root) || !vec_push(&trace->views, whole)) return -1;
    return (int64_t)trace->views.count - 1;
}

sn_tensor *trace_proxy(Trace *trace, const TensorType *type, uint32_t record,
                       const int64_t *strides, int64_t offset, Site site) {
    sn_tensor *proxy = tensor_new(TENSOR_PROXY, type, site);
    if (!proxy) return NULL;
    proxy->record = record;
    proxy->offset = offset;
    if (strides)
        memcpy(proxy->strides, strides, sizeof(int64_t) * type->rank);
    else
        dense_strides(proxy->dims, type->rank, proxy->strides);
    proxy_link(&trace->recorder, proxy);
    return proxy;
}

bool trace_made_here(const Trace *trace, const sn_tensor *x) {
    const ThreadState *state = thread_state();
    return x->slot >= trace->recorder.scope.first && x->slot < state->held.count &&
           state->held.data[x->slot] == x;
}
