/* The compiled graphs of a function. A recorded graph runs as one that was recorded equal before, or
 * as a binding of a general one; else it is compiled: for all sizes, where a graph of the same
 * structure is there to compare with, or for its own. One thread at a time compiles for a function;
 * others wait and look again. */
#include "frontend/compiled.h"

#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "passes/pass.h"

enum { GRAPHS_MOST = 64 }; /* of a function; then those not used for longest go */

sn_status compile_graph(const Graph *graph, bool fast, bool explain, Executable **out,
                        int64_t *plan_ns, int64_t *load_ns, sn_error *error) {
    PipelineOptions options = {
        .target = target_host(), .threads = parallel_threads(), .fast = fast, .explain = explain};
    Program program;
    program_init(&program);
    sn_error own = {0};
    if (!error) error = &own;
    int64_t begin = clock_ns();
    sn_status status = pipeline_run(graph, &options, &program, error);
    *plan_ns = clock_ns() - begin;
    begin = clock_ns();
    if (status == SN_OK) status = executable_build(&program, out, error);
    *load_ns = clock_ns() - begin;
    if (status != SN_OK) program_free(&program);
    return status;
}

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

GraphInstance *instance_retain(GraphInstance *instance) {
    atomic_fetch_add_explicit(&instance->refs, 1, memory_order_relaxed);
    return instance;
}

void instance_release(GraphInstance *instance) {
    if (!instance || atomic_fetch_sub_explicit(&instance->refs, 1, memory_order_acq_rel) != 1)
        return;
    executable_release(instance->executable);
    graph_release(instance->graph);
    mem_free(instance->symbols);
    mem_free(instance->scalars);
    mem_free(instance);
}

void graphs_release(sn_compiled *owner) {
    for (uint32_t i = 0; i < owner->graphs.count; i++) graph_release(owner->graphs.data[i]);
    vec_free(&owner->graphs);
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

static GraphInstance *fixed_instance(CompiledGraph *graph, sn_error *error) {
    Executable *executable = graph->executable;
    GraphInstance *instance =
        instance_new(graph, executable ? executable_retain(executable) : NULL, NULL);
    if (!instance) error_memory(error);
    return instance;
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

/* ---- looking up ---------------------------------------------------------------------------------- */

/* What a recorded graph is looked up by, and what was found on the way. */
typedef struct Lookup {
    sn_compiled *owner;       /* whose graphs */
    const Graph *recorded;    /* the graph */
    uint64_t hash, structure; /* of it */
    CompiledGraph *general;   /* general, but other words do not fit it; a reference */
    CompiledGraph *fixed;     /* for its own sizes, which no general one covers; a reference */
    bool guarded;             /* a general one fits but for a guard */
} Lookup;

static bool same_structure(const CompiledGraph *graph, const Lookup *look) {
    return graph->structure == look->structure && graph->executable &&
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

static BindResult try_binding(const CompiledGraph *general, const Graph *recorded,
                              GeneralBinding *binding) {
    const DimGuard *failing;
    BindResult result = BIND_WORDS;
    if (binding_open(general->general, binding))
        result = general_bind(general->general, recorded, binding, &failing);
    if (result != BIND_OK) binding_close(binding);
    return result;
}

/* Under the lock: a general graph that this one binds, the latest made first, with a reference. */
static CompiledGraph *find_general(Lookup *look, GeneralBinding *binding) {
    for (uint32_t i = look->owner->graphs.count; i-- > 0;) {
        CompiledGraph *known = look->owner->graphs.data[i];
        if (!known->general || !same_structure(known, look)) continue;
        BindResult result = try_binding(known, look->recorded, binding);
        if (result == BIND_OK) {
            note_graph_use(look->owner, known);
            return graph_retain(known);
        }
        if (result == BIND_GUARD) look->guarded = true;
        if (result == BIND_WORDS && !look->general) look->general = graph_retain(known);
    }
    return NULL;
}

/* Under the lock: does some general graph serve the sizes of this one? */
static bool is_covered(const Lookup *look, const CompiledGraph *fixed) {
    bool covered = false;
    for (uint32_t i = 0; !covered && i < look->owner->graphs.count; i++) {
        const CompiledGraph *known = look->owner->graphs.data[i];
        GeneralBinding binding = {0};
        if (!known->general || !same_structure(known, look)) continue;
        covered = try_binding(known, &fixed->own, &binding) == BIND_OK;
        binding_close(&binding);
    }
    return covered;
}

/* Under the lock: the latest graph that a new one can be compared with to make both general. */
static void find_partner(Lookup *look) {
    for (uint32_t i = look->owner->graphs.count; !look->fixed && i-- > 0;) {
        CompiledGraph *known = look->owner->graphs.data[i];
        if (!known->general && same_structure(known, look) && !is_covered(look, known))
            look->fixed = graph_retain(known);
    }
}

static void lookup_close(Lookup *look) {
    graph_release(look->general);
    graph_release(look->fixed);
    look->general = look->fixed = NULL;
    look->guarded = false;
}

/* A general graph at these sizes: the instance that ran last, where it is the same, else a new one.
 * Takes over the reference and the binding. */
static GraphInstance *bind_instance(sn_compiled *owner, CompiledGraph *graph,
                                    GeneralBinding *binding, sn_error *error) {
    GraphInstance *instance = NULL;
    pthread_mutex_lock(&owner->lock);
    GraphInstance *latest = owner->latest;
    if (latest && latest->graph == graph && same_binding(latest, binding))
        instance = instance_retain(latest);
    pthread_mutex_unlock(&owner->lock);
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
    pthread_mutex_lock(&look->owner->lock);
    CompiledGraph *equal = find_equal(look);
    CompiledGraph *general = equal ? NULL : find_general(look, &binding);
    pthread_mutex_unlock(&look->owner->lock);
    if (general) return bind_instance(look->owner, general, &binding, error);
    if (!equal) return NULL;
    GraphInstance *instance = fixed_instance(equal, error);
    graph_release(equal);
    return instance;
}

/* ---- compiling ----------------------------------------------------------------------------------- */

static CompiledGraph *graph_new(const Lookup *look) {
    CompiledGraph *graph = mem_calloc(1, sizeof *graph);
    if (!graph) return NULL;
    atomic_init(&graph->refs, 1);
    graph->hash = look->hash;
    graph->structure = look->structure;
    return graph;
}

static sn_status compile_into(sn_compiled *owner, CompiledGraph *made, sn_error *failure) {
    const Graph *graph = made->general ? &made->general->graph : &made->own;
    sn_status status = compile_graph(graph, owner->fast, true, &made->executable, &made->plan_ns,
                                     &made->load_ns, failure);
    atomic_fetch_add_explicit(&frontend_counters.plan_ns, made->plan_ns, memory_order_relaxed);
    return status;
}

/* Adds a reference to the list, from which the graph that was not used for longest may have to go. A
 * failure only means that the next trace compiles again. */
static void keep_graph(sn_compiled *owner, CompiledGraph *graph) {
    CompiledGraph *dropped = NULL;
    pthread_mutex_lock(&owner->lock);
    if (owner->graphs.count >= GRAPHS_MOST) {
        uint32_t oldest = 0;
        for (uint32_t i = 1; i < owner->graphs.count; i++)
            if (owner->graphs.data[i]->used < owner->graphs.data[oldest]->used) oldest = i;
        dropped = owner->graphs.data[oldest];
        owner->graphs.count--;
        memmove(&owner->graphs.data[oldest], &owner->graphs.data[oldest + 1],
                sizeof(CompiledGraph *) * (owner->graphs.count - oldest));
    }
    if (vec_push(&owner->graphs, graph)) note_graph_use(owner, graph_retain(graph));
    if (owner->compilations++) COUNT(recompiles);
    pthread_mutex_unlock(&owner->lock);
    graph_release(dropped);
}

/* One graph for the sizes seen so far and those between and beyond; NULL where there can be none. */
static CompiledGraph *make_general(const Lookup *look) {
    const GeneralGraph *known = look->general ? look->general->general : NULL;
    const Graph *first = known ? NULL : &look->fixed->own;
    CompiledGraph *made = graph_new(look);
    GeneralGraph *general = mem_calloc(1, sizeof *general);
    sn_error failure;
    error_init(&failure);
    bool ok = made && general && general_make(general, known, first, look->recorded, &failure);
    if (ok) {
        made->general = general;
        ok = compile_into(look->owner, made, &failure) == SN_OK && !general->table.failed;
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
static CompiledGraph *make_fixed(const Lookup *look, bool *transient, sn_error *error) {
    CompiledGraph *made = graph_new(look);
    *transient = false;
    if (!made || !graph_copy(look->recorded, &made->own)) {
        graph_release(made);
        error_memory(error);
        return NULL;
    }
    sn_error failure;
    error_init(&failure);
    if (compile_into(look->owner, made, &failure) == SN_OK) return made;
    made->failure = mem_strdup(failure.text);
    *transient = failure.status == SN_ERROR_MEMORY;
    return made;
}

/* Makes a general graph, where that may help, and binds it. Where a guard keeps this one out, it will
 * serve others. */
static GraphInstance *generalise_instance(Lookup *look, sn_error *error) {
    GeneralBinding binding = {0};
    pthread_mutex_lock(&look->owner->lock);
    if (!look->general || look->guarded) find_partner(look);
    pthread_mutex_unlock(&look->owner->lock);
    if (look->guarded) {
        graph_release(look->general);
        look->general = NULL;
    }
    CompiledGraph *made = look->general || look->fixed ? make_general(look) : NULL;
    if (!made) return NULL;
    keep_graph(look->owner, made);
    if (try_binding(made, look->recorded, &binding) == BIND_OK)
        return bind_instance(look->owner, made, &binding, error);
    graph_release(made);
    return NULL;
}

static GraphInstance *compile_instance(Lookup *look, sn_error *error) {
    bool transient = false;
    GraphInstance *instance = generalise_instance(look, error);
    if (instance || error->status) return instance;
    CompiledGraph *made = make_fixed(look, &transient, error);
    if (!made) return NULL;
    if (!transient) keep_graph(look->owner, made);
    instance = fixed_instance(made, error);
    graph_release(made);
    return instance;
}

/* ---- one at a time ------------------------------------------------------------------------------- */

/* False where this thread compiles for the function already (a log sink that calls it). */
static bool turn_begin(sn_compiled *owner) {
    pthread_mutex_lock(&owner->lock);
    bool nested = owner->compiling && pthread_equal(owner->compiler, pthread_self());
    while (!nested && owner->compiling) pthread_cond_wait(&owner->compiled, &owner->lock);
    owner->compiling = true;
    owner->compiler = pthread_self();
    pthread_mutex_unlock(&owner->lock);
    return !nested;
}

static void turn_end(sn_compiled *owner) {
    pthread_mutex_lock(&owner->lock);
    owner->compiling = false;
    pthread_cond_broadcast(&owner->compiled);
    pthread_mutex_unlock(&owner->lock);
}

/* False with the error set when the program cancels. */
static bool report_progress(sn_compiled *owner, int32_t done, sn_error *error) {
    if (!owner->progress || owner->progress(owner->progress_context, "compile", done, 1) || done)
        return true;
    error_set(error, SN_ERROR_CANCELLED, "%s: compiling was cancelled", owner->name);
    return false;
}

GraphInstance *instance_get(sn_compiled *owner, const Graph *recorded, sn_error *error) {
    Lookup look = {.owner = owner,
                   .recorded = recorded,
                   .hash = graph_hash(recorded),
                   .structure = graph_structure_hash(recorded)};
    GraphInstance *instance = find_instance(&look, error);
    lookup_close(&look);
    if (instance || error->status) return instance;
    if (!report_progress(owner, 0, error)) return NULL;
    bool turn = turn_begin(owner);
    instance = find_instance(&look, error); /* another thread may have been faster */
    if (!instance && !error->status) instance = compile_instance(&look, error);
    if (turn) turn_end(owner);
    lookup_close(&look);
    report_progress(owner, 1, error);
    return instance;
}
