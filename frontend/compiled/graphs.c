/* Finding, adding and dropping the compiled graphs of a function; see graphs.h. */
#include "frontend/compiled/graphs.h"

#include "base/status.h"
#include "frontend/trace/counters.h"

#include <stdio.h>

/* ---- lookups ---------------------------------------------------------------------------------- */

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

/* ---- finding, under the lock ------------------------------------------------------------------ */

static void note_use(GraphCache *cache, CompiledGraph *graph) {
    SN_ASSERT(lock_held(cache->lock));
    atomic_store_explicit(&graph->used, ++cache->clock, memory_order_relaxed);
}

/* The graph that was recorded equal, with a reference. */
static CompiledGraph *find_equal(GraphCache *cache, const Lookup *look) {
    for (uint32_t i = cache->list.count; i-- > 0;) {
        CompiledGraph *known = cache->list.data[i];
        if (known->symbolic || known->hash != look->hash ||
            !graph_equal(&known->own, look->recorded) ||
            !graphs_same_lines(&known->own, look->recorded))
            continue;
        note_use(cache, known);
        return compiled_graph_retain(known);
    }
    return NULL;
}

/* A symbolic graph that this one binds, the latest made first, with a reference. */
static CompiledGraph *find_symbolic(GraphCache *cache, Lookup *look, GeneralBinding *binding) {
    for (uint32_t i = cache->list.count; i-- > 0;) {
        CompiledGraph *known = cache->list.data[i];
        if (!known->symbolic || !same_structure(known, look)) continue;
        const DimGuard *failing;
        BindResult result = binding_open(known->symbolic, look->recorded, binding, &failing);
        if (result == BIND_OK) {
            note_use(cache, known);
            return compiled_graph_retain(known);
        }
        note_reason(look, known, failing);
        if (result == BIND_GUARD) look->guarded = true;
        if (result == BIND_WORDS && !look->symbolic) look->symbolic = compiled_graph_retain(known);
    }
    return NULL;
}

CompiledGraph *graphs_find(GraphCache *cache, Lookup *look, GeneralBinding *binding) {
    SN_ASSERT(!look->symbolic && !look->static_graph);
    lock_take(cache->lock);
    CompiledGraph *found = find_equal(cache, look);
    if (!found) found = find_symbolic(cache, look, binding);
    lock_give(cache->lock);
    return found;
}

/* Does some symbolic graph serve the sizes of this static one? */
static bool is_covered(const GraphCache *cache, Lookup *look, const CompiledGraph *graph) {
    bool covered = false;
    for (uint32_t i = 0; !covered && i < cache->list.count; i++) {
        const CompiledGraph *known = cache->list.data[i];
        GeneralBinding binding = {0};
        if (!known->symbolic || !same_structure(known, look)) continue;
        covered = binding_open(known->symbolic, &graph->own, &binding, NULL) == BIND_OK;
        binding_close(&binding);
    }
    return covered;
}

/* Where a guard of a symbolic graph keeps the new one out, the partner is another that it keeps out. */
static void find_partner(const GraphCache *cache, Lookup *look) {
    if (look->guarded) {
        compiled_graph_release(look->symbolic);
        look->symbolic = NULL;
    }
    for (uint32_t i = cache->list.count; !look->symbolic && !look->static_graph && i-- > 0;) {
        CompiledGraph *known = cache->list.data[i];
        if (known->symbolic || !same_structure(known, look) || is_covered(cache, look, known))
            continue;
        look->static_graph = compiled_graph_retain(known);
        if (!look->guarded) note_reason(look, known, NULL);
    }
    if (*look->reason || !cache->list.count) return;
    note_reason(look, vec_last(&cache->list), NULL);
}

GraphCounts graphs_find_partner(GraphCache *cache, Lookup *look) {
    lock_take(cache->lock);
    find_partner(cache, look);
    GraphCounts counts = {cache->list.count, cache->compilations};
    lock_give(cache->lock);
    return counts;
}

/* ---- adding and dropping ---------------------------------------------------------------------- */

/* Takes the least recently used graph off the list. */
static CompiledGraph *drop_oldest(GraphCache *cache) {
    SN_ASSERT(lock_held(cache->lock) && cache->list.count);
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < cache->list.count; i++)
        if (cache->list.data[i]->used < cache->list.data[oldest]->used) oldest = i;
    CompiledGraph *dropped = cache->list.data[oldest];
    cache->list.count--;
    memmove(&cache->list.data[oldest], &cache->list.data[oldest + 1],
            sizeof(CompiledGraph *) * (cache->list.count - oldest));
    return dropped;
}

bool graphs_add(GraphCache *cache, CompiledGraph *graph, uint32_t most, sn_error *error) {
    SN_ASSERT(most > 0);
    CompiledGraph *dropped = NULL;
    lock_take(cache->lock);
    if (cache->list.count >= most) dropped = drop_oldest(cache);
    bool kept = vec_push(&cache->list, graph);
    if (kept) note_use(cache, compiled_graph_retain(graph));
    if (kept && cache->compilations++) COUNT(recompiles);
    lock_give(cache->lock);
    compiled_graph_release(dropped);
    if (!kept) error_memory(error);
    return kept;
}

/* ---- the whole list --------------------------------------------------------------------------- */

bool graphs_list(GraphCache *cache, GraphList *list) {
    lock_take(cache->lock);
    bool ok = vec_reserve(list, cache->list.count);
    for (uint32_t i = 0; ok && i < cache->list.count; i++)
        list->data[list->count++] = compiled_graph_retain(cache->list.data[i]);
    lock_give(cache->lock);
    return ok;
}

void graphs_list_free(GraphList *list) {
    while (list->count) compiled_graph_release(list->data[--list->count]);
    vec_free(list);
}

uint32_t graphs_count(GraphCache *cache) {
    lock_take(cache->lock);
    uint32_t count = cache->list.count;
    lock_give(cache->lock);
    return count;
}

void graphs_close(GraphCache *cache) {
    for (uint32_t i = 0; i < cache->list.count; i++) compiled_graph_release(cache->list.data[i]);
    vec_free(&cache->list);
    vec_free(&cache->varying);
}
