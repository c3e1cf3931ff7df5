/* Graphs of a function, compiled; see compile.h. */
#include "frontend/graphs/compile.h"

#include "base/status.h"
#include "base/thread/log.h"
#include "frontend/tensor/counters.h"
#include "runtime/observe.h"

static CompiledGraph *new_graph(const CompileRequest *request) {
    return compiled_graph_new(request->lookup->hash, lookup_structure(request->lookup));
}

static sn_status build(const CompileRequest *request, CompiledGraph *made, sn_error *failure) {
    const Graph *graph = made->symbolic ? &made->symbolic->graph : &made->own;
    SN_ASSERT(!made->executable);
    int64_t begin = observe_now();
    BuildOptions options = {.fast = request->fast, .explain = true};
    sn_status status = graph_build(graph, &options, &made->executable, &made->times, failure);
    observe_span("compile", request->name, begin);
    atomic_fetch_add_explicit(&frontend_counters.plan_ns, made->times.plan_ns,
                              memory_order_relaxed);
    return status;
}

/* Binding asks for the sizes of the graph and of its program only. */
static bool limit_values(SymbolicGraph *symbolic, const Program *program) {
    VEC(Dim) roots = {0};
    bool ok = vec_reserve(&roots, symbolic->words.count + program->sizes.count);
    for (uint32_t i = 0; ok && i < symbolic->words.count; i++) {
        const SymbolicWord *w = &symbolic->words.data[i];
        if (w->rule == WORD_SIZE || w->rule == WORD_REAL_SIZE)
            roots.data[roots.count++] = (Dim){w->word};
    }
    for (uint32_t i = 0; ok && i < program->sizes.count; i++)
        roots.data[roots.count++] = program->sizes.data[i].dim;
    ok = ok && dims_limit(&symbolic->table, roots.data, roots.count);
    vec_free(&roots);
    return ok;
}

CompiledGraph *compile_symbolic(const CompileRequest *request, const SymbolicOptions *options) {
    const Lookup *look = request->lookup;
    const SymbolicGraph *known = look->symbolic ? look->symbolic->symbolic : NULL;
    const Graph *first = known || !look->static_graph ? NULL : &look->static_graph->own;
    CompiledGraph *made = new_graph(request);
    SymbolicGraph *symbolic = mem_calloc(1, sizeof *symbolic);
    sn_error failure;
    error_init(&failure);
    bool ok = made && symbolic &&
              symbolic_make(symbolic, known, first, look->recorded, options, &failure);
    if (ok) {
        made->symbolic = symbolic;
        ok = build(request, made, &failure) == SN_OK;
        SN_ASSERT(!ok || !symbolic->table.failed);
        ok = ok && limit_values(symbolic, executable_program(made->executable));
    } else {
        mem_free(symbolic);
    }
    if (ok) return made;
    SN_ASSERT(!made || refs_count(&made->refs) == 1);
    error_memory(&failure); /* where nothing else was the reason */
    if (log_on(LOG_TRACE))
        log_write(LOG_TRACE, "%s is not made general: %s", request->name, failure.text);
    compiled_graph_release(made);
    return NULL;
}

/* A static graph without an executable. */
static CompiledGraph *copy_recorded(const CompileRequest *request, sn_error *error) {
    CompiledGraph *made = new_graph(request);
    if (made && graph_copy(request->lookup->recorded, &made->own)) return made;
    compiled_graph_release(made);
    error_memory(error);
    return NULL;
}

CompiledGraph *compile_static(const CompileRequest *request, bool *transient, sn_error *error) {
    *transient = false;
    CompiledGraph *made = copy_recorded(request, error);
    if (!made) return NULL;
    sn_error failure;
    error_init(&failure);
    if (build(request, made, &failure) == SN_OK) {
        made->static_instance.executable = made->executable;
        instance_measure(made->executable);
        return made;
    }
    made->failure = mem_strdup(failure.text);
    *transient = failure.status == SN_ERROR_MEMORY;
    return made;
}

CompiledGraph *compile_nothing(const CompileRequest *request, const char *why, sn_error *error) {
    CompiledGraph *made = copy_recorded(request, error);
    if (made) made->failure = mem_strdup(why);
    return made;
}
