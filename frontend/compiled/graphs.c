/* The compiled graphs of a function. A recorded graph runs as one that was recorded equal before, or
 * as a binding of a general one; else it is compiled: for all sizes, where a graph of the same
 * structure is there to compare with, or for its own. One thread at a time compiles for a function;
 * others wait and look again. */
#include "frontend/compiled/graphs.h"
#include "frontend/compiled/background.h"
#include "frontend/compiled/handle.h"
#include "frontend/compiled/policy.h"
#include "frontend/compiled/spans.h"
#include "frontend/trace/counters.h"

#include "base/flight.h"
#include "base/log.h"
#include "base/status.h"

#include <stdio.h>
#include <unistd.h>

/* ---- references ---------------------------------------------------------------------------------- */

static void graph_release(CompiledGraph *graph) {
    if (!graph || atomic_fetch_sub_explicit(&graph->refs, 1, memory_order_acq_rel) != 1) return;
    executable_release(graph->executable);
    graph_free(&graph->own);
    if (graph->general) general_free(graph->general);
    mem_free(graph->general);
    mem_free(graph->failure);
    mem_free(graph);
}

static CompiledGraph *graph_retain(CompiledGraph *graph) {
    atomic_fetch_add_explicit(&graph->refs, 1, memory_order_relaxed);
    return graph;
}

/* A graph's own instance lives as long as the graph. */
static bool is_fixed(const GraphInstance *instance) {
    return instance == &instance->graph->fixed;
}

GraphInstance *instance_retain(GraphInstance *instance) {
    if (is_fixed(instance))
        graph_retain(instance->graph);
    else
        atomic_fetch_add_explicit(&instance->refs, 1, memory_order_relaxed);
    return instance;
}

void instance_release(GraphInstance *instance) {
    if (!instance) return;
    if (is_fixed(instance)) {
        graph_release(instance->graph);
        return;
    }
    if (atomic_fetch_sub_explicit(&instance->refs, 1, memory_order_acq_rel) != 1) return;
    executable_release(instance->executable);
    graph_release(instance->graph);
    mem_free(instance->symbols);
    mem_free(instance->scalars);
    mem_free(instance);
}

void graphs_release(sn_compiled *owner) {
    for (uint32_t i = 0; i < owner->graphs.count; i++) graph_release(owner->graphs.data[i]);
    vec_free(&owner->graphs);
    vec_free(&owner->varying);
    instance_release(owner->latest);
}

/* ---- instances ----------------------------------------------------------------------------------- */

/* Takes over the executable (which may be NULL) and, on success, the binding's symbols and scalars. */
static GraphInstance *instance_new(CompiledGraph *graph, Executable *executable,
                                   GeneralBinding *binding) {
    GraphInstance *instance = mem_calloc(1, sizeof *instance);
    if (!instance) {
        executable_release(executable);
        return NULL;
    }
    atomic_init(&instance->refs, 1);
    instance->graph = graph_retain(graph);
    instance->executable = executable;
    if (!binding) return instance;
    instance->symbols = binding->symbols;
    instance->scalars = binding->scalars;
    binding->symbols = NULL;
    binding->scalars = NULL;
    return instance;
}

/* The graph's own instance; takes over the reference. */
static GraphInstance *fixed_instance(CompiledGraph *graph) {
    return &graph->fixed;
}

static bool binding_open(const GeneralGraph *general, GeneralBinding *binding) {
    binding->symbols = mem_calloc(general->symbol_words.count + 1, sizeof *binding->symbols);
    binding->scalars = mem_calloc(general->n_scalars + 1, sizeof *binding->scalars);
    binding->values = mem_alloc(sizeof *binding->values * (general->table.expressions.count + 1));
    return binding->symbols && binding->scalars && binding->values;
}

static void binding_close(GeneralBinding *binding) {
    mem_free(binding->symbols);
    mem_free(binding->scalars);
    mem_free(binding->values);
    *binding = (GeneralBinding){0};
}

static bool same_binding(const GraphInstance *instance, const GeneralBinding *binding) {
    const GeneralGraph *general = instance->graph->general;
    return memcmp(instance->symbols, binding->symbols,
                  sizeof *binding->symbols * general->symbol_words.count) == 0 &&
           memcmp(instance->scalars, binding->scalars,
                  sizeof *binding->scalars * general->n_scalars) == 0;
}

/* Do ops that can fail on data stand on the same lines? Errors name them. */
static bool same_lines(const Graph *a, const Graph *b) {
    for (NodeId i = 0; i < a->nodes.count; i++) {
        const Node *x = graph_node(a, i), *y = graph_node(b, i);
        if (!op_has((OpCode)x->op, F_FAILS)) continue;
        Site s = a->sites.data[x->site], t = b->sites.data[y->site];
        if (s.line != t.line || strcmp(s.file ? s.file : "", t.file ? t.file : "") != 0)
            return false;
    }
    return true;
}

bool instance_matches(const GraphInstance *instance, const Graph *recorded) {
    const CompiledGraph *graph = instance->graph;
    const Graph *own = compiled_recorded(graph);
    if (!graph->general) return graph_equal(own, recorded) && same_lines(own, recorded);
    GeneralBinding binding;
    const DimGuard *failing;
    bool matches = binding_open(graph->general, &binding) && graphs_alike(own, recorded) &&
                   same_lines(own, recorded) &&
                   general_bind(graph->general, recorded, &binding, &failing) == BIND_OK &&
                   same_binding(instance, &binding);
    binding_close(&binding);
    return matches;
}

int64_t *instance_values(const GraphInstance *instance) {
    const GeneralGraph *general = instance->graph->general;
    if (!general) return NULL;
    int64_t *values = mem_alloc(sizeof *values * (general->table.expressions.count + 1));
    if (!values || dims_evaluate(&general->table, instance->symbols, values)) return values;
    mem_free(values);
    return NULL;
}

bool instance_recorded(const GraphInstance *instance, Graph *graph) {
    const GeneralGraph *general = instance->graph->general;
    graph_init(graph, instance->graph->own.name);
    if (!graph_copy(compiled_recorded(instance->graph), graph)) return false;
    if (!general) return true;
    GeneralBinding binding = {instance->symbols, instance->scalars, instance_values(instance)};
    if (binding.values) general_words(general, &binding, graph->words.data);
    mem_free(binding.values);
    return binding.values != NULL;
}

/* ---- looking up ---------------------------------------------------------------------------------- */

/* What a recorded graph is looked up by, and what was found on the way. */
typedef struct Lookup {
    sn_compiled *owner;     /* whose graphs */
    const Graph *recorded;  /* the graph */
    uint64_t hash;          /* of it */
    uint64_t structure;     /* the same without words; see structure_of */
    bool has_structure;     /* it was computed */
    CompiledGraph *general; /* general, but other words do not fit it; a reference */
    CompiledGraph *fixed;   /* for its own sizes, which no general one covers; a reference */
    bool guarded;           /* a general one fits but for a guard */
    char reason[160];       /* why the one looked at last does not serve */
    GeneralOptions options; /* what the program declared, for the inputs of the graph */
    GeneralOptions learned; /* what was seen to vary, for them */
} Lookup;

/* Most lookups need none: they end at a graph that is equal. */
static uint64_t structure_of(Lookup *look) {
    if (!look->has_structure) look->structure = graph_structure_hash(look->recorded);
    look->has_structure = true;
    return look->structure;
}

static bool same_structure(const CompiledGraph *graph, Lookup *look) {
    return graph->structure == structure_of(look) && graph->executable &&
           graphs_alike(compiled_recorded(graph), look->recorded) &&
           same_lines(compiled_recorded(graph), look->recorded);
}

static void note_graph_use(sn_compiled *owner, CompiledGraph *graph) {
    atomic_store_explicit(&graph->used, ++owner->clock, memory_order_relaxed);
}

/* Under the lock: the graph that was recorded equal, with a reference. */
static CompiledGraph *find_equal(const Lookup *look) {
    for (uint32_t i = look->owner->graphs.count; i-- > 0;) {
        CompiledGraph *known = look->owner->graphs.data[i];
        if (known->general || known->hash != look->hash ||
            !graph_equal(&known->own, look->recorded) || !same_lines(&known->own, look->recorded))
            continue;
        note_graph_use(look->owner, known);
        return graph_retain(known);
    }
    return NULL;
}

/* `failing` (may be NULL) receives the guard that is not met. */
static BindResult try_binding(const CompiledGraph *general, const Graph *recorded,
                              GeneralBinding *binding, const DimGuard **failing) {
    const DimGuard *guard = NULL;
    BindResult result = BIND_WORDS;
    if (binding_open(general->general, binding))
        result = general_bind(general->general, recorded, binding, &guard);
    if (result != BIND_OK) binding_close(binding);
    if (failing) *failing = guard;
    return result;
}

/* Keeps why a graph of the same structure does not serve: its guard, or the first word that differs. */
static void note_reason(Lookup *look, const CompiledGraph *known, const DimGuard *failing) {
    StrBuf text = {0};
    if (failing) {
        strbuf_add(&text, "not so: ");
        dim_print_guard(&text, &known->general->table, failing);
    } else {
        graph_difference(compiled_recorded(known), look->recorded, &text);
    }
    snprintf(look->reason, sizeof look->reason, "%s", strbuf_text(&text));
    strbuf_free(&text);
}

/* Under the lock: a general graph that this one binds, the latest made first, with a reference. */
static CompiledGraph *find_general(Lookup *look, GeneralBinding *binding) {
    for (uint32_t i = look->owner->graphs.count; i-- > 0;) {
        CompiledGraph *known = look->owner->graphs.data[i];
        if (!known->general || !same_structure(known, look)) continue;
        const DimGuard *failing;
        BindResult result = try_binding(known, look->recorded, binding, &failing);
        if (result == BIND_OK) {
            note_graph_use(look->owner, known);
            return graph_retain(known);
        }
        note_reason(look, known, failing);
        if (result == BIND_GUARD) look->guarded = true;
        if (result == BIND_WORDS && !look->general) look->general = graph_retain(known);
    }
    return NULL;
}

/* Under the lock: does some general graph serve the sizes of this one? */
static bool is_covered(Lookup *look, const CompiledGraph *fixed) {
    bool covered = false;
    for (uint32_t i = 0; !covered && i < look->owner->graphs.count; i++) {
        const CompiledGraph *known = look->owner->graphs.data[i];
        GeneralBinding binding = {0};
        if (!known->general || !same_structure(known, look)) continue;
        covered = try_binding(known, &fixed->own, &binding, NULL) == BIND_OK;
        binding_close(&binding);
    }
    return covered;
}

/* Under the lock: the latest graph that a new one can be compared with to make both general. Where a
 * guard of a general graph keeps the new one out, that is another that it keeps out. */
static void find_partner(Lookup *look) {
    if (look->guarded) {
        graph_release(look->general);
        look->general = NULL;
    }
    for (uint32_t i = look->owner->graphs.count; !look->general && !look->fixed && i-- > 0;) {
        CompiledGraph *known = look->owner->graphs.data[i];
        if (known->general || !same_structure(known, look) || is_covered(look, known)) continue;
        look->fixed = graph_retain(known);
        if (!look->guarded) note_reason(look, known, NULL);
    }
    if (*look->reason || !look->owner->graphs.count) return;
    note_reason(look, vec_last(&look->owner->graphs), NULL);
}

static void lookup_close(Lookup *look) {
    graph_release(look->general);
    graph_release(look->fixed);
    look->general = look->fixed = NULL;
    look->guarded = false;
    look->reason[0] = 0;
}

/* A general graph at these sizes: the instance that ran last, where it is the same, else a new one.
 * Takes over the reference and the binding. */
static GraphInstance *bind_instance(sn_compiled *owner, CompiledGraph *graph,
                                    GeneralBinding *binding, sn_error *error) {
    GraphInstance *instance = NULL;
    lock_take(owner->lock);
    GraphInstance *latest = owner->latest;
    if (latest && latest->graph == graph && same_binding(latest, binding))
        instance = instance_retain(latest);
    lock_give(owner->lock);
    if (!instance) {
        Executable *executable = NULL;
        sn_status status = executable_bind(graph->executable, binding->values, binding->scalars,
                                           &executable, error);
        if (status == SN_OK) instance = instance_new(graph, executable, binding);
        if (status == SN_OK && !instance) error_memory(error);
    }
    binding_close(binding);
    graph_release(graph);
    return instance;
}

/* The instance for a graph that is known or bound; NULL without an error where there is none. */
static GraphInstance *find_instance(Lookup *look, sn_error *error) {
    GeneralBinding binding = {0};
    lock_take(look->owner->lock);
    CompiledGraph *equal = find_equal(look);
    CompiledGraph *general = equal ? NULL : find_general(look, &binding);
    lock_give(look->owner->lock);
    if (general) return bind_instance(look->owner, general, &binding, error);
    if (!equal) return NULL;
    return fixed_instance(equal);
}

/* ---- compiling ----------------------------------------------------------------------------------- */

static CompiledGraph *graph_new(Lookup *look) {
    CompiledGraph *graph = mem_calloc(1, sizeof *graph);
    if (!graph) return NULL;
    atomic_init(&graph->refs, 1);
    graph->hash = look->hash;
    graph->structure = structure_of(look);
    graph->fixed.graph = graph;
    return graph;
}

static sn_status compile_into(sn_compiled *owner, CompiledGraph *made, sn_error *failure) {
    const Graph *graph = made->general ? &made->general->graph : &made->own;
    int64_t begin = timeline_now();
    BuildOptions options = {.fast = owner->fast, .explain = true};
    sn_status status = graph_build(graph, &options, &made->executable, &made->times, failure);
    timeline_add("compile", owner->name, begin);
    atomic_fetch_add_explicit(&frontend_counters.plan_ns, made->times.plan_ns,
                              memory_order_relaxed);
    return status;
}

/* Adds a reference to the list, from which the graph that was not used for longest may have to go. False
 * when out of memory. */
static bool keep_graph(sn_compiled *owner, CompiledGraph *graph, sn_error *error) {
    CompiledGraph *dropped = NULL;
    lock_take(owner->lock);
    if (owner->graphs.count >= owner->most_graphs) {
        uint32_t oldest = 0;
        for (uint32_t i = 1; i < owner->graphs.count; i++)
            if (owner->graphs.data[i]->used < owner->graphs.data[oldest]->used) oldest = i;
        dropped = owner->graphs.data[oldest];
        owner->graphs.count--;
        memmove(&owner->graphs.data[oldest], &owner->graphs.data[oldest + 1],
                sizeof(CompiledGraph *) * (owner->graphs.count - oldest));
    }
    bool kept = vec_push(&owner->graphs, graph);
    if (kept) note_graph_use(owner, graph_retain(graph));
    if (kept && owner->compilations++) COUNT(recompiles);
    lock_give(owner->lock);
    graph_release(dropped);
    if (!kept) error_memory(error);
    return kept;
}

/* Binding asks for the sizes of the graph and of its program only. */
static bool limit_values(GeneralGraph *general, const Program *program) {
    VEC(Dim) roots = {0};
    bool ok = vec_reserve(&roots, general->words.count + program->sizes.count);
    for (uint32_t i = 0; ok && i < general->words.count; i++) {
        const GeneralWord *w = &general->words.data[i];
        if (w->rule == WORD_SIZE || w->rule == WORD_REAL_SIZE)
            roots.data[roots.count++] = (Dim){w->word};
    }
    for (uint32_t i = 0; ok && i < program->sizes.count; i++)
        roots.data[roots.count++] = program->sizes.data[i].dim;
    ok = ok && dims_limit(&general->table, roots.data, roots.count);
    vec_free(&roots);
    return ok;
}

/* One graph for the sizes seen so far and those between and beyond; NULL where there can be none. */
static CompiledGraph *make_general(Lookup *look) {
    const GeneralGraph *known = look->general ? look->general->general : NULL;
    const Graph *first = known || !look->fixed ? NULL : &look->fixed->own;
    CompiledGraph *made = graph_new(look);
    GeneralGraph *general = mem_calloc(1, sizeof *general);
    sn_error failure;
    error_init(&failure);
    bool ok = made && general &&
              general_make(general, known, first, look->recorded, &look->options, &failure);
    if (ok) {
        made->general = general;
        ok = compile_into(look->owner, made, &failure) == SN_OK && !general->table.failed &&
             limit_values(general, executable_program(made->executable));
    } else {
        mem_free(general);
    }
    if (ok) return made;
    if (log_on(LOG_TRACE))
        log_write(LOG_TRACE, "%s is not made general: %s", look->owner->name,
                  failure.status ? failure.text : "its sizes are too complex");
    graph_release(made);
    return NULL;
}

/* The graph for its own sizes. One that cannot be compiled is remembered as such, and run node by
 * node; not so where memory was out. */
static CompiledGraph *make_fixed(Lookup *look, bool *transient, sn_error *error) {
    CompiledGraph *made = graph_new(look);
    *transient = false;
    if (!made || !graph_copy(look->recorded, &made->own)) {
        graph_release(made);
        error_memory(error);
        return NULL;
    }
    sn_error failure;
    error_init(&failure);
    if (compile_into(look->owner, made, &failure) == SN_OK) {
        made->fixed.executable = made->executable;
        return made;
    }
    made->failure = mem_strdup(failure.text);
    *transient = failure.status == SN_ERROR_MEMORY;
    return made;
}

/* Makes a general graph and binds it. Where a guard keeps this one out, it will serve others. */
static GraphInstance *generalise_instance(Lookup *look, sn_error *error) {
    GeneralBinding binding = {0};
    CompiledGraph *made = make_general(look);
    if (!made) return NULL;
    if (!keep_graph(look->owner, made, error)) {
        graph_release(made);
        return NULL;
    }
    if (try_binding(made, look->recorded, &binding, NULL) == BIND_OK)
        return bind_instance(look->owner, made, &binding, error);
    graph_release(made);
    return NULL;
}

static GraphInstance *compile_instance(Lookup *look, bool general, sn_error *error) {
    bool transient = false;
    GraphInstance *instance = general ? generalise_instance(look, error) : NULL;
    if (instance || error->status) return instance;
    CompiledGraph *made = make_fixed(look, &transient, error);
    if (!made) return NULL;
    if (transient || keep_graph(look->owner, made, error)) return fixed_instance(made);
    graph_release(made);
    return NULL;
}

/* An instance that runs node by node, for this once. */
static GraphInstance *node_instance(Lookup *look, const char *why, sn_error *error) {
    CompiledGraph *graph = graph_new(look);
    if (graph && graph_copy(look->recorded, &graph->own)) {
        graph->failure = mem_strdup(why);
        return fixed_instance(graph);
    }
    error_memory(error);
    graph_release(graph);
    return NULL;
}

/* ---- one at a time ------------------------------------------------------------------------------- */

static void turn_begin(sn_compiled *owner) {
    flight_begin(RANK_TURN);
    lock_take(owner->lock);
    while (owner->compiling && owner->compiling_process == getpid()) condition_wait(owner->turn);
    owner->compiling = true;
    owner->compiling_process = getpid();
    lock_give(owner->lock);
}

static void turn_end(sn_compiled *owner) {
    lock_take(owner->lock);
    owner->compiling = false;
    condition_wake(owner->turn);
    lock_give(owner->lock);
    flight_end(RANK_TURN);
}

/* False with the error set when the program cancels. */
static bool report_progress(sn_compiled *owner, int32_t done, sn_error *error) {
    SN_ASSERT(may_call_program());
    if (!owner->progress || owner->progress(owner->progress_context, "compile", done, 1) || done)
        return true;
    error_set(error, SN_ERROR_CANCELLED, "%s: compiling was cancelled", owner->name);
    return false;
}

/* ---- in the background --------------------------------------------------------------------------- */

/* A graph to be compiled by another thread. */
typedef struct CompileJob {
    sn_compiled *owner; /* a reference is held */
    Graph recorded;     /* a copy */
    DeclaredDim *dims;  /* of the options; a copy */
    int32_t n_dims;     /* how many */
} CompileJob;

static void job_free(CompileJob *job) {
    graph_free(&job->recorded);
    mem_free(job->dims);
    sn_compiled_release(job->owner);
    mem_free(job);
}

static void lookup_open(Lookup *look, sn_compiled *owner, const Graph *recorded) {
    *look = (Lookup){.owner = owner, .recorded = recorded, .hash = graph_hash(recorded)};
}

/* What the function's policy says of a graph that was not found. One of a structure that is new is made
 * for all sizes at once, where sizes of other structures were seen to vary. */
static MissDecision decide(Lookup *look, PolicyState *state) {
    sn_compiled *owner = look->owner;
    lock_take(owner->lock);
    find_partner(look);
    bool alone = !look->general && !look->fixed && owner->shapes == SN_SHAPES_AUTO;
    if (alone && !look->options.n_dims) look->options = look->learned;
    *state = (PolicyState){.stance = compiled_stance(owner),
                           .shapes = owner->shapes,
                           .at_limit = owner->at_limit,
                           .compiled = owner->compilations > 0,
                           .full = owner->graphs.count >= owner->most_graphs,
                           .partner = look->general || look->fixed,
                           .declared = look->options.n_dims > 0};
    lock_give(owner->lock);
    return policy_miss(state);
}

static void tell_miss(const Lookup *look, const PolicyState *state, MissAction action) {
    if (!state->compiled || !log_on(LOG_RECOMPILES)) return;
    log_write(LOG_RECOMPILES, "%s %s: %s", look->owner->name,
              action == MISS_FAIL    ? "is not compiled again"
              : action == MISS_NODES ? "runs node by node"
                                     : "is compiled again",
              look->reason);
}

/* Does as decided, which is to compile unless it is refused. */
static GraphInstance *act(Lookup *look, const PolicyState *state, MissDecision decision,
                          sn_error *error) {
    if (decision.action == MISS_FAIL) {
        error_set(error, SN_ERROR_UNSUPPORTED, "%s: a recompile is refused: %s", look->owner->name,
                  look->reason);
        return NULL;
    }
    if (decision.action == MISS_NODES)
        return node_instance(look,
                             state->full ? "it has as many graphs as it may keep"
                                         : "its stance is eager on recompile",
                             error);
    return compile_instance(look, decision.general, error);
}

/* Looks again, in its turn: other threads may have compiled this graph meanwhile, or others, with which
 * this one has sizes to share. */
static GraphInstance *compile_in_turn(Lookup *look, sn_error *error) {
    turn_begin(look->owner);
    lookup_close(look);
    GraphInstance *instance = find_instance(look, error);
    if (!instance && !error->status) {
        PolicyState state;
        MissDecision decision = decide(look, &state);
        if (decision.action != MISS_BACKGROUND) tell_miss(look, &state, decision.action);
        instance = act(look, &state, decision, error);
    }
    turn_end(look->owner);
    return instance;
}

static void run_job(void *context) {
    CompileJob *job = context;
    Lookup look;
    sn_error error;
    error_init(&error);
    lookup_open(&look, job->owner, &job->recorded);
    look.options =
        (GeneralOptions){job->dims, job->n_dims, job->owner->shapes == SN_SHAPES_DYNAMIC};
    instance_release(compile_in_turn(&look, &error));
    lookup_close(&look);
    job_free(job);
}

/* False when it cannot be handed over. */
static bool compile_later(const Lookup *look) {
    CompileJob *job = mem_calloc(1, sizeof *job);
    if (!job) return false;
    size_t bytes = sizeof *job->dims * (size_t)look->options.n_dims;
    job->owner = look->owner;
    atomic_fetch_add_explicit(&look->owner->refs, 1, memory_order_relaxed);
    job->dims = mem_alloc(bytes + 1);
    if (job->dims && graph_copy(look->recorded, &job->recorded)) {
        job->n_dims = look->options.n_dims;
        if (bytes) memcpy(job->dims, look->options.dims, bytes);
        if (background_run(run_job, job)) return true;
    }
    job_free(job);
    return false;
}

/* ---- what a trace runs as ------------------------------------------------------------------------ */

/* The declared dims that are inputs of the graph. */
static void declared_inputs(const sn_compiled *owner, const Trace *trace, DeclaredDim *dims,
                            GeneralOptions *options) {
    options->dims = dims;
    options->all = owner->shapes == SN_SHAPES_DYNAMIC;
    for (int32_t i = 0; i < owner->n_dims; i++)
        for (uint32_t j = 0; j < trace->inputs.count; j++) {
            const sn_dim *d = &owner->dims[i];
            if (trace->inputs.data[j].argument != d->tensor) continue;
            dims[options->n_dims++] = (DeclaredDim){d->name,
                                                    j,
                                                    d->axis,
                                                    d->min,
                                                    d->max ? d->max : INT64_MAX,
                                                    d->multiple_of > 1 ? d->multiple_of : 1};
        }
}

static GraphInstance *miss(Lookup *look, sn_error *error) {
    PolicyState state;
    MissDecision decision = decide(look, &state);
    if (decision.action != MISS_COMPILE) tell_miss(look, &state, decision.action);
    if (decision.action == MISS_FAIL || decision.action == MISS_NODES)
        return act(look, &state, decision, error);
    if (decision.action == MISS_BACKGROUND && compile_later(look))
        return node_instance(look, "it is being compiled in the background", error);
    if (!report_progress(look->owner, 0, error)) return NULL;
    GraphInstance *instance = compile_in_turn(look, error); /* how, is decided then */
    report_progress(look->owner, 1, error);
    return instance;
}

/* Have both inputs of the same types but for sizes? */
static bool inputs_alike(const Graph *a, const Graph *b) {
    if (a->inputs.count != b->inputs.count) return false;
    for (uint32_t i = 0; i < a->inputs.count; i++) {
        const Node *x = graph_node(a, a->inputs.data[i]), *y = graph_node(b, b->inputs.data[i]);
        if (x->dtype != y->dtype || x->rank != y->rank) return false;
    }
    return true;
}

static void add_varying(sn_compiled *owner, int32_t argument, int32_t axis) {
    for (uint32_t i = 0; i < owner->varying.count; i++) {
        const VaryingDim *known = &owner->varying.data[i];
        if (known->argument == argument && known->axis == axis) return;
    }
    VaryingDim dim = {argument, axis};
    (void)vec_push(&owner->varying, dim); /* else it is learned another time */
}

/* Dims of arguments vary that differ from those of the latest graph with such inputs, of whatever
 * structure. */
static void learn(sn_compiled *owner, const Trace *trace) {
    const Graph *now = &trace->graph, *known = NULL;
    lock_take(owner->lock);
    for (uint32_t i = owner->graphs.count; !known && i-- > 0;)
        if (inputs_alike(compiled_recorded(owner->graphs.data[i]), now))
            known = compiled_recorded(owner->graphs.data[i]);
    for (uint32_t i = 0; known && i < trace->inputs.count; i++) {
        const Node *node = graph_node(now, now->inputs.data[i]);
        const Dim *dims = node_dims(now, node),
                  *before = node_dims(known, graph_node(known, known->inputs.data[i]));
        int32_t argument = trace->inputs.data[i].argument;
        for (int32_t axis = 0; argument >= 0 && axis < node->rank; axis++)
            if (dims[axis].word != before[axis].word) add_varying(owner, argument, axis);
    }
    lock_give(owner->lock);
}

/* The dims that were seen to vary, and are more than 1 now, into at most `most` places of `dims`. */
static void learned_inputs(sn_compiled *owner, const Trace *trace, uint32_t most, DeclaredDim *dims,
                           GeneralOptions *options) {
    options->dims = dims;
    lock_take(owner->lock);
    for (uint32_t i = 0; i < owner->varying.count; i++)
        for (uint32_t j = 0; j < trace->inputs.count; j++) {
            const VaryingDim *d = &owner->varying.data[i];
            const TraceInput *input = &trace->inputs.data[j];
            bool varies = input->argument == d->argument && d->axis < input->tensor->rank &&
                          input->tensor->dims[d->axis] > 1;
            if (!varies || (uint32_t)options->n_dims == most) continue;
            dims[options->n_dims++] = (DeclaredDim){NULL, j, d->axis, 0, INT64_MAX, 1};
        }
    lock_give(owner->lock);
}

GraphInstance *instance_get(sn_compiled *owner, const Trace *trace, sn_error *error) {
    DeclaredDim few[8], learned[SN_MAX_RANK], *dims = few;
    Lookup look;
    lookup_open(&look, owner, &trace->graph);
    GraphInstance *instance = find_instance(&look, error);
    if (!instance && !error->status) {
        size_t most = (size_t)owner->n_dims * trace->inputs.count;
        if (most > 8) dims = mem_alloc(sizeof *dims * most);
        if (!dims) {
            error_memory(error);
        } else {
            declared_inputs(owner, trace, dims, &look.options);
            learn(owner, trace);
            learned_inputs(owner, trace, SN_MAX_RANK, learned, &look.learned);
            instance = miss(&look, error);
        }
        if (dims != few) mem_free(dims);
    }
    lookup_close(&look);
    return instance;
}
