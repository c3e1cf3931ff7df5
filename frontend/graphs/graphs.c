/* Finding, adding and dropping the compiled graphs of a function; see graphs.h. */
#include "frontend/graphs/graphs.h"

#include "base/status.h"
#include "frontend/tensor/counters.h"

#include <stdio.h>

/* ---- lookups --------------------------------------------------------------------------------- */

void lookup_open(Lookup *look, const Graph *recorded) {
    *look = (Lookup){.recorded = recorded, .hash = graph_hash(recorded)};
}

void lookup_close(Lookup *look) {
    compiled_graph_release(look->symbolic);
    compiled_graph_release(look->static_graph);
    look->symbolic = look->static_graph = NULL;
    look->guarded = false;
    look->reason[0] = 0;
}

uint64_t lookup_structure(Lookup *look) {
    if (!look->has_structure) look->structure = graph_structure_hash(look->recorded);
    look->has_structure = true;
    return look->structure;
}

static bool same_structure(const CompiledGraph *graph, Lookup *look) {
    return graph->structure == lookup_structure(look) && graph->executable &&
           graphs_alike(compiled_graph_recorded(graph), look->recorded) &&
           graphs_same_lines(compiled_graph_recorded(graph), look->recorded);
}

/* Keeps why a graph does not serve: its guard, or the first word that differs. */
static void note_reason(Lookup *look, const CompiledGraph *known, const DimGuard *failing) {
    StrBuf text = {0};
    if (failing) {
        strbuf_add(&text, "not so: ");
        dim_print_guard(&text, &known->symbolic->table, failing);
    } else {
        graph_difference(compiled_graph_recorded(known), look->recorded, &text);
    }
    snprintf(look->reason, sizeof look->reason, "%s", strbuf_text(&text));
    strbuf_free(&text);
}

/* ---- the list -------------------------------------------------------------------------------- */

GraphList *graphs_list(GraphCache *cache) {
    lock_take(cache->lock);
    GraphList *list = cache->list;
    if (list) refs_take(&list->refs);
    lock_give(cache->lock);
    return list;
}

void graph_list_release(GraphList *list) {
    if (!list || !refs_drop(&list->refs)) return;
    for (uint32_t i = 0; i < list->count; i++) compiled_graph_release(list->graphs[i]);
    mem_free(list);
}

static uint32_t count_of(const GraphList *list) {
    return list ? list->count : 0;
}

uint32_t graphs_count(GraphCache *cache) {
    lock_take(cache->lock);
    uint32_t count = count_of(cache->list);
    lock_give(cache->lock);
    return count;
}

/* ---- finding --------------------------------------------------------------------------------- */

static void note_use(GraphCache *cache, CompiledGraph *graph) {
    SN_ASSERT(refs_count(&graph->refs) > 0);
    uint64_t now = atomic_fetch_add_explicit(&cache->clock, 1, memory_order_relaxed) + 1;
    atomic_store_explicit(&graph->used, now, memory_order_relaxed);
}

/* The graph that was recorded equal, or NULL. */
static CompiledGraph *find_equal(const GraphList *list, const Lookup *look) {
    for (uint32_t i = list->count; i-- > 0;) {
        CompiledGraph *known = list->graphs[i];
        if (!known->symbolic && known->hash == look->hash &&
            graph_equal(&known->own, look->recorded) &&
            graphs_same_lines(&known->own, look->recorded))
            return known;
    }
    return NULL;
}

/* A symbolic graph that this one binds, the latest made first, or NULL. */
static CompiledGraph *find_symbolic(const GraphList *list, Lookup *look, SymbolicBinding *binding) {
    SN_ASSERT(!binding->symbols);
    for (uint32_t i = list->count; i-- > 0;) {
        CompiledGraph *known = list->graphs[i];
        if (!known->symbolic || !same_structure(known, look)) continue;
        const DimGuard *failing;
        BindResult result = binding_open(known->symbolic, look->recorded, binding, &failing);
        if (result == BIND_OK) return known;
        note_reason(look, known, failing);
        if (result == BIND_GUARD) look->guarded = true;
        if (result == BIND_WORDS && !look->symbolic) look->symbolic = compiled_graph_retain(known);
    }
    return NULL;
}

CompiledGraph *graphs_find(GraphCache *cache, Lookup *look, SymbolicBinding *binding) {
    SN_ASSERT(!look->symbolic && !look->static_graph);
    GraphList *list = graphs_list(cache);
    CompiledGraph *found = list ? find_equal(list, look) : NULL;
    if (list && !found) found = find_symbolic(list, look, binding);
    if (found) {
        note_use(cache, found);
        compiled_graph_retain(found);
    }
    graph_list_release(list);
    return found;
}

/* Does some symbolic graph serve the sizes of this static one? */
static bool is_covered(const GraphList *list, Lookup *look, const CompiledGraph *graph) {
    SN_ASSERT(!graph->symbolic);
    bool covered = false;
    for (uint32_t i = 0; !covered && i < list->count; i++) {
        const CompiledGraph *known = list->graphs[i];
        SymbolicBinding binding = {0};
        if (!known->symbolic || !same_structure(known, look)) continue;
        covered = binding_open(known->symbolic, &graph->own, &binding, NULL) == BIND_OK;
        binding_close(&binding);
    }
    return covered;
}

/* Where a guard of a symbolic graph keeps the new one out, the partner is another that it keeps
 * out. */
static void find_partner(const GraphList *list, Lookup *look) {
    SN_ASSERT(list->count && !look->static_graph);
    if (look->guarded) {
        compiled_graph_release(look->symbolic);
        look->symbolic = NULL;
    }
    for (uint32_t i = list->count; !look->symbolic && !look->static_graph && i-- > 0;) {
        CompiledGraph *known = list->graphs[i];
        if (known->symbolic || !same_structure(known, look) || is_covered(list, look, known))
            continue;
        look->static_graph = compiled_graph_retain(known);
        if (!look->guarded) note_reason(look, known, NULL);
    }
    if (!*look->reason) note_reason(look, list->graphs[list->count - 1], NULL);
}

GraphCounts graphs_find_partner(GraphCache *cache, Lookup *look) {
    GraphList *list = graphs_list(cache);
    if (list) find_partner(list, look);
    lock_take(cache->lock);
    GraphCounts counts = {count_of(list), cache->compilations};
    lock_give(cache->lock);
    graph_list_release(list);
    return counts;
}

/* ---- adding and dropping --------------------------------------------------------------------- */

/* Where the least recently used graph stands. */
static uint32_t find_oldest(const GraphList *list) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < list->count; i++)
        if (list->graphs[i]->used < list->graphs[oldest]->used) oldest = i;
    return oldest;
}

/* A list with the graph at its end, and one less of those before where they are `most`. NULL when
 * out of memory. */
static GraphList *list_with(const GraphList *before, CompiledGraph *graph, uint32_t most) {
    uint32_t count = count_of(before);
    uint32_t dropped = count >= most ? find_oldest(before) : count;
    GraphList *list = mem_alloc(sizeof *list + sizeof *list->graphs * ((size_t)count + 1));
    if (!list) return NULL;
    refs_init(&list->refs);
    list->count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i != dropped) list->graphs[list->count++] = compiled_graph_retain(before->graphs[i]);
    list->graphs[list->count++] = compiled_graph_retain(graph);
    SN_ASSERT(list->count <= most);
    return list;
}

bool graphs_add(GraphCache *cache, CompiledGraph *graph, uint32_t most, sn_error *error) {
    SN_ASSERT(most > 0 && (!graph->symbolic || !graph->own.nodes.count));
    GraphList *before = graphs_list(cache), *after = list_with(before, graph, most);
    graph_list_release(before);
    if (!after) {
        error_memory(error);
        return false;
    }
    note_use(cache, graph);
    lock_take(cache->lock);
    SN_ASSERT(cache->list == before); /* ours is the turn */
    cache->list = after;
    if (cache->compilations++) COUNT(recompiles);
    lock_give(cache->lock);
    graph_list_release(before);
    return true;
}

void graphs_close(GraphCache *cache) {
    graph_list_release(cache->list);
    cache->list = NULL;
    vec_free(&cache->varying);
}
