/* Compiled graphs and their instances: references, bindings, equality; see instance.h. */
#include "frontend/graphs/instance.h"

#include "base/settings.h"
#include "base/status.h"

/* ---- compiled graphs ------------------------------------------------------------------------- */

CompiledGraph *compiled_graph_new(uint64_t hash, uint64_t structure) {
    CompiledGraph *graph = mem_calloc(1, sizeof *graph);
    if (!graph) return NULL;
    refs_init(&graph->refs);
    graph->hash = hash;
    graph->structure = structure;
    graph->static_instance.graph = graph;
    return graph;
}

CompiledGraph *compiled_graph_retain(CompiledGraph *graph) {
    refs_take(&graph->refs);
    return graph;
}

void compiled_graph_release(CompiledGraph *graph) {
    if (!graph || !refs_drop(&graph->refs)) return;
    executable_release(graph->executable);
    graph_free(&graph->own);
    if (graph->symbolic) symbolic_free(graph->symbolic);
    mem_free(graph->symbolic);
    mem_free(graph->failure);
    mem_free(graph->labels);
    mem_free(graph);
}

/* ---- bindings of a symbolic graph ------------------------------------------------------------ */

static bool binding_alloc(const SymbolicGraph *symbolic, SymbolicBinding *binding) {
    binding->symbols = mem_calloc(symbolic->symbol_words.count + 1, sizeof *binding->symbols);
    binding->scalars = mem_calloc(symbolic->n_scalars + 1, sizeof *binding->scalars);
    binding->values = mem_alloc(sizeof *binding->values * (symbolic->table.expressions.count + 1));
    return binding->symbols && binding->scalars && binding->values;
}

BindResult binding_open(const SymbolicGraph *symbolic, const Graph *recorded,
                        SymbolicBinding *binding, const DimGuard **failing) {
    const DimGuard *guard = NULL;
    BindResult result = BIND_WORDS;
    if (binding_alloc(symbolic, binding))
        result = symbolic_bind(symbolic, recorded, binding, &guard);
    if (result != BIND_OK) binding_close(binding);
    if (failing) *failing = guard;
    return result;
}

void binding_close(SymbolicBinding *binding) {
    mem_free(binding->symbols);
    mem_free(binding->scalars);
    mem_free(binding->values);
    *binding = (SymbolicBinding){0};
}

/* ---- instances ------------------------------------------------------------------------------- */

/* A static graph's instance lives as long as the graph, and counts its references there. */
static bool is_static(const GraphInstance *instance) {
    return instance == &instance->graph->static_instance;
}

void instance_measure(Executable *executable) {
    if (*setting_text(SETTING_EXPLAIN)) executable_measure(executable);
}

GraphInstance *instance_static(CompiledGraph *graph) {
    SN_ASSERT(!graph->symbolic);
    return &graph->static_instance;
}

GraphInstance *instance_new(CompiledGraph *graph, Executable *executable,
                            SymbolicBinding *binding) {
    SN_ASSERT(graph->symbolic && executable);
    GraphInstance *instance = mem_calloc(1, sizeof *instance);
    if (!instance) {
        executable_release(executable);
        return NULL;
    }
    refs_init(&instance->refs);
    instance->graph = compiled_graph_retain(graph);
    instance->executable = executable;
    instance_measure(executable);
    instance->symbols = binding->symbols;
    instance->scalars = binding->scalars;
    binding->symbols = NULL;
    binding->scalars = NULL;
    return instance;
}

GraphInstance *instance_retain(GraphInstance *instance) {
    if (is_static(instance)) {
        compiled_graph_retain(instance->graph);
        return instance;
    }
    refs_take(&instance->refs);
    return instance;
}

void instance_release(GraphInstance *instance) {
    if (!instance) return;
    if (is_static(instance)) {
        compiled_graph_release(instance->graph);
        return;
    }
    if (!refs_drop(&instance->refs)) return;
    executable_release(instance->executable);
    compiled_graph_release(instance->graph);
    mem_free(instance->symbols);
    mem_free(instance->scalars);
    mem_free(instance);
}

static bool same_binding(const GraphInstance *instance, const SymbolicBinding *binding) {
    const SymbolicGraph *symbolic = instance->graph->symbolic;
    return memcmp(instance->symbols, binding->symbols,
                  sizeof *binding->symbols * symbolic->symbol_words.count) == 0 &&
           memcmp(instance->scalars, binding->scalars,
                  sizeof *binding->scalars * symbolic->n_scalars) == 0;
}

bool instance_is(const GraphInstance *instance, const CompiledGraph *graph,
                 const SymbolicBinding *binding) {
    SN_ASSERT(graph->symbolic);
    return instance->graph == graph && same_binding(instance, binding);
}

bool instance_matches(const GraphInstance *instance, const Graph *recorded) {
    const CompiledGraph *graph = instance->graph;
    const Graph *own = compiled_graph_recorded(graph);
    if (!graph->symbolic) return graph_equal(own, recorded) && graphs_same_lines(own, recorded);
    SymbolicBinding binding = {0};
    bool matches = graphs_alike(own, recorded) && graphs_same_lines(own, recorded) &&
                   binding_open(graph->symbolic, recorded, &binding, NULL) == BIND_OK &&
                   same_binding(instance, &binding);
    binding_close(&binding);
    return matches;
}

int64_t *instance_values(const GraphInstance *instance) {
    const SymbolicGraph *symbolic = instance->graph->symbolic;
    if (!symbolic) return NULL;
    int64_t *values = mem_alloc(sizeof *values * (symbolic->table.expressions.count + 1));
    if (!values || dims_evaluate(&symbolic->table, instance->symbols, values)) return values;
    mem_free(values);
    return NULL;
}

bool instance_recorded(const GraphInstance *instance, Graph *graph) {
    const SymbolicGraph *symbolic = instance->graph->symbolic;
    graph_init(graph, instance->graph->own.name);
    if (!graph_copy(compiled_graph_recorded(instance->graph), graph)) return false;
    if (!symbolic) return true;
    SymbolicBinding binding = {instance->symbols, instance->scalars, instance_values(instance)};
    if (binding.values) symbolic_words(symbolic, &binding, graph->words.data);
    mem_free(binding.values);
    return binding.values != NULL;
}
