/* Which instance runs a trace; see resolve.h. A graph that was recorded equal, or a symbolic one
 * that binds, is there at once. Else the policy decides: compile now, in the background, run node
 * by node, or refuse. */
#include "frontend/compiled/resolve.h"

#include "frontend/compiled/labels.h"

#include "base/small.h"
#include "base/status.h"
#include "base/thread/log.h"
#include "base/thread/program.h"
#include "frontend/graphs/background.h"
#include "frontend/graphs/compile.h"
#include "frontend/graphs/policy.h"
#include "frontend/graphs/varying.h"

/* A recorded graph for which an instance is wanted. */
typedef struct Request {
    sn_compiled *compiled;    /* whose graph it is */
    Lookup lookup;            /* what it is looked up by, and what was found */
    SymbolicOptions declared; /* dims that the program declared, as inputs of the graph */
    SymbolicOptions learned;  /* those that were seen to vary */
    const char *cause;        /* what was new in the call, or NULL; see CompileEvent */
    const char *labels;       /* of the graph's inputs, or NULL; see CompiledGraph */
    bool background;          /* on the library's thread */
} Request;

/* ---- what is there --------------------------------------------------------------------------- */

/* A symbolic graph at these sizes: the instance that ran last, where it is the same, else a new
 * one. Takes over the reference and the binding. */
static GraphInstance *bind_instance(sn_compiled *c, CompiledGraph *graph, SymbolicBinding *binding,
                                    sn_error *error) {
    SN_ASSERT(graph->symbolic && graph->executable && binding->symbols);
    GraphInstance *instance = latest_get(&c->latest).instance;
    if (instance && !instance_is(instance, graph, binding)) {
        instance_release(instance);
        instance = NULL;
    }
    if (!instance) {
        Executable *executable = NULL;
        sn_status status = executable_bind(graph->executable, binding->values, binding->scalars,
                                           &executable, error);
        if (status == SN_OK) instance = instance_new(graph, executable, binding);
        if (status == SN_OK && !instance) error_memory(error);
    }
    binding_close(binding);
    compiled_graph_release(graph);
    return instance;
}

/* The instance for a graph that is known or bound; NULL without an error where there is none. */
static GraphInstance *find_instance(Request *request, sn_error *error) {
    SymbolicBinding binding = {0};
    CompiledGraph *found = graphs_find(&request->compiled->graphs, &request->lookup, &binding);
    if (!found) return NULL;
    return found->symbolic ? bind_instance(request->compiled, found, &binding, error)
                           : instance_static(found);
}

/* ---- making what is not ---------------------------------------------------------------------- */

static CompileRequest to_compile(Request *request) {
    return (CompileRequest){.name = request->compiled->name,
                            .fast = request->compiled->options.fast,
                            .lookup = &request->lookup};
}

static bool keep(const Request *request, CompiledGraph *made, sn_error *error) {
    sn_compiled *c = request->compiled;
    if (request->labels) made->labels = mem_strdup(request->labels);
    return graphs_add(&c->graphs, made, c->options.most_graphs, error);
}

/* Makes a symbolic graph and binds it. Where a guard keeps this one out, it will serve others. */
static GraphInstance *make_symbolic(Request *request, sn_error *error) {
    CompileRequest compile = to_compile(request);
    CompiledGraph *made = compile_symbolic(&compile, &request->declared);
    if (!made) return NULL;
    SymbolicBinding binding = {0};
    bool bound = keep(request, made, error) &&
                 binding_open(made->symbolic, request->lookup.recorded, &binding, NULL) == BIND_OK;
    if (bound) return bind_instance(request->compiled, made, &binding, error);
    compiled_graph_release(made);
    return NULL;
}

static GraphInstance *make_instance(Request *request, bool symbolic, sn_error *error) {
    bool transient = false;
    GraphInstance *instance = symbolic ? make_symbolic(request, error) : NULL;
    if (instance || error->status) return instance;
    CompileRequest compile = to_compile(request);
    CompiledGraph *made = compile_static(&compile, &transient, error);
    if (!made) return NULL;
    if (transient || keep(request, made, error)) return instance_static(made);
    compiled_graph_release(made);
    return NULL;
}

/* An instance that runs node by node, for this once. */
static GraphInstance *node_instance(Request *request, const char *why, sn_error *error) {
    CompileRequest compile = to_compile(request);
    CompiledGraph *made = compile_nothing(&compile, why, error);
    return made ? instance_static(made) : NULL;
}

/* ---- decisions ------------------------------------------------------------------------------- */

/* What the function's policy says of a graph that was not found. One of a structure that is new is
 * made for all sizes at once, where sizes of other structures were seen to vary. */
static MissDecision decide(Request *request, PolicyState *state) {
    sn_compiled *c = request->compiled;
    Lookup *look = &request->lookup;
    GraphCounts known = graphs_find_partner(&c->graphs, look);
    bool partner = look->symbolic || look->static_graph;
    bool alone = !partner && c->options.shapes == SN_SHAPES_AUTO;
    if (alone && !request->declared.n_dims) request->declared = request->learned;
    *state = (PolicyState){.stance = compiled_stance(c),
                           .shapes = c->options.shapes,
                           .at_limit = c->options.at_limit,
                           .compiled = known.compilations > 0,
                           .full = known.count >= c->options.most_graphs,
                           .partner = partner,
                           .declared = request->declared.n_dims > 0};
    return policy_miss(state);
}

/* "argument 1 is …, was …: %0: size of dim 0 …": what was new in the call, and in the graph. */
static void print_reason(const Request *request, StrBuf *out) {
    if (request->cause) {
        labels_fill(request->cause, NULL, 0, out);
        strbuf_add(out, ": ");
    }
    strbuf_add(out, request->lookup.reason);
}

static void tell_miss(const Request *request, const PolicyState *state, MissAction action) {
    if (!state->compiled || !log_on(LOG_RECOMPILES)) return;
    StrBuf reason = {0};
    print_reason(request, &reason);
    log_write(LOG_RECOMPILES, "%s %s: %s", request->compiled->name,
              action == MISS_FAIL    ? "is not compiled again"
              : action == MISS_NODES ? "runs node by node"
                                     : "is compiled again",
              strbuf_text(&reason));
    strbuf_free(&reason);
}

/* Notes what came of it; `instance` is NULL where it was refused. */
static void note_event(const Request *request, const PolicyState *state,
                       const GraphInstance *instance) {
    CompileEvent event = {.kind = COMPILE_REFUSED, .background = request->background};
    const char *reason = state->compiled ? request->lookup.reason : NULL;
    event.ops = request->lookup.recorded->nodes.count - request->lookup.recorded->inputs.count;
    if (instance) {
        const CompiledGraph *graph = instance->graph;
        event.kind = graph->symbolic     ? COMPILE_GENERAL
                     : graph->executable ? COMPILE_OWN
                                         : COMPILE_NODES;
        event.times = graph->times;
        if (graph->executable) event.steps = executable_program(graph->executable)->steps.count;
        if (graph->failure) reason = graph->failure;
    }
    event.cause = request->cause ? mem_strdup(request->cause) : NULL;
    event.reason = reason && *reason ? mem_strdup(reason) : NULL;
    compiles_add(&request->compiled->compiles, event);
}

/* Does as decided, which is to compile unless it is refused. */
static GraphInstance *act(Request *request, const PolicyState *state, MissDecision decision,
                          sn_error *error) {
    if (decision.action == MISS_FAIL) {
        StrBuf reason = {0};
        print_reason(request, &reason);
        error_set(error, SN_ERROR_UNSUPPORTED, "%s: a recompile is refused: %s",
                  request->compiled->title, strbuf_text(&reason));
        strbuf_free(&reason);
        return NULL;
    }
    if (decision.action == MISS_NODES)
        return node_instance(request,
                             state->full ? "it has as many graphs as it may keep"
                                         : "its stance is eager on recompile",
                             error);
    return make_instance(request, decision.symbolic, error);
}

/* Looks again, in its turn: other threads may have compiled this graph meanwhile, or others, with
 * which this one has sizes to share. */
static GraphInstance *make_in_turn(Request *request, sn_error *error) {
    turn_begin(&request->compiled->turn);
    lookup_close(&request->lookup);
    GraphInstance *instance = find_instance(request, error);
    if (!instance && !error->status) {
        PolicyState state;
        MissDecision decision = decide(request, &state);
        if (decision.action != MISS_BACKGROUND) tell_miss(request, &state, decision.action);
        instance = act(request, &state, decision, error);
        if (instance || decision.action == MISS_FAIL) note_event(request, &state, instance);
    }
    turn_end(&request->compiled->turn);
    return instance;
}

/* ---- in the background ----------------------------------------------------------------------- */

/* A graph to be compiled by another thread. */
typedef struct DeferredCompile {
    sn_compiled *compiled; /* a reference is held */
    Graph recorded;        /* a copy */
    DeclaredDim *dims;     /* declared; a copy */
    int32_t n_dims;        /* how many */
    char *cause, *labels;  /* see Request; copies */
} DeferredCompile;

/* As a job's drop, too. */
static void deferred_free(void *context) {
    DeferredCompile *deferred = context;
    graph_free(&deferred->recorded);
    mem_free(deferred->dims);
    mem_free(deferred->cause);
    mem_free(deferred->labels);
    compiled_unkeep(deferred->compiled);
    mem_free(deferred);
}

static void run_deferred(void *context) {
    DeferredCompile *deferred = context;
    sn_error error;
    error_init(&error);
    Request request = {
        .compiled = deferred->compiled,
        .cause = deferred->cause,
        .labels = deferred->labels,
        .background = true,
        .declared = {.dims = deferred->dims,
                     .n_dims = deferred->n_dims,
                     .all = deferred->compiled->options.shapes == SN_SHAPES_DYNAMIC}};
    lookup_open(&request.lookup, &deferred->recorded);
    instance_release(make_in_turn(&request, &error));
    lookup_close(&request.lookup);
    deferred_free(deferred);
}

/* A copy of what the request holds; NULL where memory is out. */
static DeferredCompile *deferred_new(const Request *request) {
    DeferredCompile *deferred = mem_calloc(1, sizeof *deferred);
    if (!deferred) return NULL;
    size_t bytes = sizeof *deferred->dims * (size_t)request->declared.n_dims;
    deferred->compiled = compiled_keep(request->compiled);
    deferred->dims = mem_alloc(bytes + 1);
    if (request->cause) deferred->cause = mem_strdup(request->cause);
    if (request->labels) deferred->labels = mem_strdup(request->labels);
    if (!deferred->dims || !graph_copy(request->lookup.recorded, &deferred->recorded)) {
        deferred_free(deferred);
        return NULL;
    }
    deferred->n_dims = request->declared.n_dims;
    if (bytes) memcpy(deferred->dims, request->declared.dims, bytes);
    return deferred;
}

/* Why the graph runs node by node meanwhile; NULL where nothing can be done in the background. */
static const char *defer(const Request *request) {
    uint64_t key = request->lookup.hash;
    BackgroundState state = background_state(request->compiled, key);
    if (state == BACKGROUND_FREE) {
        DeferredCompile *deferred = deferred_new(request);
        if (!deferred) return NULL;
        state = background_run(
            &(BackgroundJob){run_deferred, deferred_free, deferred, request->compiled, key});
        if (state == BACKGROUND_FREE)
            state = BACKGROUND_ASKED;
        else
            deferred_free(deferred);
    }
    static const char *const why[] = {[BACKGROUND_ASKED] = "it is being compiled in the background",
                                      [BACKGROUND_FULL] =
                                          "many functions wait to be compiled in the background",
                                      [BACKGROUND_NONE] = NULL};
    return why[state];
}

/* ---- what a trace runs as -------------------------------------------------------------------- */

/* False with the error set when the program cancels. */
static bool report_progress(const sn_compiled *c, int32_t done, sn_error *error) {
    const CompileOptions *options = &c->options;
    SN_ASSERT(may_call_program());
    if (!options->progress) return true;
    ProgramCall call;
    program_enter(&call);
    bool goes_on = options->progress(options->progress_context, "compile", done, 1);
    program_leave(&call);
    if (goes_on || done) return true;
    error_set(error, SN_ERROR_CANCELLED, "%s: compiling was cancelled", c->title);
    return false;
}

static GraphInstance *miss(Request *request, sn_error *error) {
    PolicyState state;
    MissDecision decision = decide(request, &state);
    if (decision.action != MISS_COMPILE) tell_miss(request, &state, decision.action);
    if (decision.action == MISS_FAIL || decision.action == MISS_NODES) {
        GraphInstance *nodes = act(request, &state, decision, error);
        note_event(request, &state, nodes);
        return nodes;
    }
    const char *deferred = decision.action == MISS_BACKGROUND ? defer(request) : NULL;
    if (deferred) return node_instance(request, deferred, error);
    if (!report_progress(request->compiled, 0, error)) return NULL;
    GraphInstance *instance = make_in_turn(request, error); /* how, is decided then */
    report_progress(request->compiled, 1, error);
    return instance;
}

enum { DECLARED_FEW = 8 };

/* The miss, with the dims that are known to vary. */
static GraphInstance *miss_of_trace(Request *request, const Trace *trace, sn_error *error) {
    sn_compiled *c = request->compiled;
    const CompileOptions *options = &c->options;
    DeclaredDim learned[VARYING_MOST];
    SMALL(DeclaredDim, DECLARED_FEW) dims;
    size_t most = varying_most_declared(options->n_dims, trace);
    if (!small_open(&dims, most)) {
        error_memory(error);
        return NULL;
    }
    request->declared =
        varying_declared(options->shapes, options->dims, options->n_dims, trace, dims.data);
    varying_learn(&c->graphs, trace);
    request->learned = varying_learned(&c->graphs, trace, learned);
    SN_ASSERT((size_t)request->declared.n_dims <= most);
    GraphInstance *instance = miss(request, error);
    small_close(&dims);
    return instance;
}

/* What was new in the call. NULL: it is not known. */
static char *find_cause(sn_compiled *c, const Trace *trace, const CallArgs *args, const Key *key) {
    if (!args) {
        StrBuf text = {0};
        strbuf_add(&text, "what comes before a host read");
        if (trace->read_site.file)
            strbuf_addf(&text, ", %s:%d", trace->read_site.file, (int)trace->read_site.line);
        return strbuf_take(&text);
    }
    char *difference = key->count ? key_difference(c, args, key) : NULL;
    if (difference) return difference;
    if (!graphs_count(&c->graphs)) return mem_strdup("the first call");
    return is_impure(&c->purity) ? mem_strdup("it is run on every call, and recorded other ops")
                                 : NULL;
}

enum { LABELS_MOST = 256 }; /* to find one takes as long as there are tensors */

/* Of the inputs, a line each; NULL where they are many. */
static char *find_labels(const sn_compiled *c, const Trace *trace, const CallArgs *args) {
    StrBuf text = {0};
    if (trace->inputs.count > LABELS_MOST) return NULL;
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        label_source(&c->signature, args ? args->values : NULL, trace->inputs.data[i].source,
                     &text);
        strbuf_add_char(&text, '\n');
    }
    return strbuf_take(&text);
}

static GraphInstance *miss_explained(Request *request, const Trace *trace, const CallArgs *args,
                                     const Key *key, sn_error *error) {
    char *cause = find_cause(request->compiled, trace, args, key);
    char *labels = find_labels(request->compiled, trace, args);
    request->cause = cause;
    request->labels = labels;
    GraphInstance *instance = miss_of_trace(request, trace, error);
    mem_free(cause);
    mem_free(labels);
    return instance;
}

GraphInstance *resolve_trace(sn_compiled *c, const Trace *trace, const CallArgs *args,
                             const Key *key, sn_error *error) {
    SN_ASSERT(error && !error->status);
    Request request = {.compiled = c};
    lookup_open(&request.lookup, &trace->graph);
    GraphInstance *instance = find_instance(&request, error);
    if (!instance && !error->status) instance = miss_explained(&request, trace, args, key, error);
    lookup_close(&request.lookup);
    SN_ASSERT(instance || error->status);
    return instance;
}
