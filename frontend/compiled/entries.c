/* Finding, adding and dropping guarded entries; see entries.h. */
#include "frontend/compiled/entries.h"

#include "frontend/compiled/key.h"
#include "frontend/tensor/thread.h"

enum {
    KEPT_SLOTS = 16,   /* functions whose entry a thread keeps */
    ENTRIES_MOST = 256 /* of a function; then those not used of late go */
};

/* An entry with room for so many results, inputs and generators; NULL when out of memory. */
static Entry *entry_alloc(const Key *key, GraphInstance *instance, int32_t n_outputs,
                          int32_t n_generators) {
    SN_ASSERT(key->count && instance->executable);
    Entry *entry = mem_calloc(1, sizeof *entry);
    if (!entry) return NULL;
    refs_init(&entry->refs);
    atomic_init(&entry->used, true);
    entry->key_words = key->count;
    entry->instance = instance_retain(instance);
    entry->n_outputs = n_outputs;
    entry->n_generators = n_generators;
    entry->key = mem_alloc(sizeof *entry->key * (key->count + 1));
    entry->outputs = mem_alloc(sizeof *entry->outputs * ((size_t)n_outputs + 1));
    entry->sources = mem_alloc(sizeof *entry->sources * (entry_graph(entry)->inputs.count + 1));
    entry->drawn = mem_alloc(sizeof *entry->drawn * ((size_t)n_generators + 1));
    if (entry->key && entry->outputs && entry->sources && entry->drawn) {
        memcpy(entry->key, key->words, sizeof *key->words * key->count);
        return entry;
    }
    entry_release(entry);
    return NULL;
}

/* Results and draws. */
static void entry_fill(Entry *entry, const OutputSpec *outputs, const int64_t *drawn) {
    memcpy(entry->outputs, outputs, sizeof *outputs * (size_t)entry->n_outputs);
    memcpy(entry->drawn, drawn, sizeof *drawn * (size_t)entry->n_generators);
}

Entry *entry_new(const Key *key, GraphInstance *instance, const Trace *trace,
                 const TraceResults *results, const int64_t *drawn, int32_t n_generators) {
    SN_ASSERT(results->known);
    Entry *entry = entry_alloc(key, instance, results->count, n_generators);
    if (!entry) return NULL;
    const Graph *graph = entry_graph(entry);
    SN_ASSERT(graph->inputs.count == trace->inputs.count);
    atomic_init(&entry->calls, 1);
    entry->strided = trace->strided;
    entry->hash = hash_bytes(key->words, key->count * sizeof *key->words, 0);
    entry_fill(entry, results->specs, drawn);
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        SN_ASSERT(trace->inputs.data[i].source != SOURCE_CAPTURED);
        entry->sources[i] = trace->inputs.data[i].source;
    }
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        entry->writes = entry->writes || graph->outputs.data[i].writes_input >= 0;
    return entry;
}

Entry *entry_like(const Entry *model, const Key *key, GraphInstance *instance, int64_t calls) {
    SN_ASSERT(instance->graph == model->instance->graph);
    Entry *entry = entry_alloc(key, instance, model->n_outputs, model->n_generators);
    if (!entry) return NULL;
    atomic_init(&entry->calls, calls);
    entry_fill(entry, model->outputs, model->drawn);
    memcpy(entry->sources, model->sources,
           sizeof *model->sources * entry_graph(model)->inputs.count);
    entry->writes = model->writes;
    return entry;
}

Entry *entry_retain(Entry *entry) {
    refs_take(&entry->refs);
    return entry;
}

void entry_release(Entry *entry) {
    if (!entry || !refs_drop(&entry->refs)) return;
    instance_release(entry->instance);
    mem_free(entry->key);
    mem_free(entry->outputs);
    mem_free(entry->sources);
    mem_free(entry->drawn);
    mem_free(entry);
}

/* ---- what a thread keeps --------------------------------------------------------------------- */

/* The entry that a thread found last for a function. */
typedef struct Kept {
    uint64_t serial; /* of the function */
    Entry *entry;    /* a reference; NULL: free, or with who found it */
} Kept;

static void free_kept(void *data) {
    Kept *kept = data;
    for (int32_t i = 0; i < KEPT_SLOTS; i++) entry_release(kept[i].entry);
    mem_free(kept);
}

/* The function's place; NULL as long as the thread keeps nothing at all. */
static Kept *slot_of(const EntryCache *cache) {
    Kept *kept = thread_room(ROOM_COMPILED);
    return kept ? &kept[cache->serial % KEPT_SLOTS] : NULL;
}

static Kept *make_slots(const EntryCache *cache) {
    Kept *kept = mem_calloc(KEPT_SLOTS, sizeof *kept);
    if (!kept) return NULL;
    thread_keep(ROOM_COMPILED, kept, free_kept);
    return slot_of(cache);
}

void entries_give_back(EntryCache *cache, Entry *entry) {
    Kept *slot = slot_of(cache);
    if (!slot) slot = make_slots(cache);
    if (!slot) {
        entry_release(entry);
        return;
    }
    Entry *before = slot->entry;
    *slot = (Kept){cache->serial, entry};
    entry_release(before);
}

/* ---- finding --------------------------------------------------------------------------------- */

/* A key that is looked for. */
typedef struct Wanted {
    const EntryCache *cache; /* where */
    const uint64_t *key;     /* its words */
    uint32_t words;          /* how many */
} Wanted;

static bool key_equal(const Entry *entry, const uint64_t *key, uint32_t words) {
    return entry->key_words == words && memcmp(entry->key, key, words * sizeof *key) == 0;
}

static bool is_wanted(const void *context, uint32_t index) {
    const Wanted *w = context;
    SN_ASSERT(index < w->cache->entries.count);
    return key_equal(w->cache->entries.data[index], w->key, w->words);
}

static void note_use(Entry *entry) {
    if (!atomic_load_explicit(&entry->used, memory_order_relaxed))
        atomic_store_explicit(&entry->used, true, memory_order_relaxed);
}

/* Looks in the list. */
static Entry *find_shared(EntryCache *cache, const Key *key) {
    Wanted wanted = {cache, key->words, key->count};
    uint64_t hash = hash_bytes(key->words, key->count * sizeof(uint64_t), 0);
    lock_take(cache->lock);
    int64_t index = map_find(&cache->map, hash, is_wanted, &wanted);
    Entry *entry = index == MAP_NONE ? NULL : entry_retain(cache->entries.data[index]);
    lock_give(cache->lock);
    return entry;
}

Entry *entries_find(EntryCache *cache, const Key *key) {
    Kept *slot = slot_of(cache);
    Entry *entry;
    if (slot && slot->serial == cache->serial && slot->entry &&
        key_equal(slot->entry, key->words, key->count)) {
        entry = slot->entry;
        slot->entry = NULL;
    } else {
        entry = find_shared(cache, key);
    }
    if (entry) note_use(entry);
    return entry;
}

uint32_t entries_latest(EntryCache *cache, uint32_t most, Entry **latest) {
    lock_take(cache->lock);
    uint32_t count = cache->entries.count, first = count > most ? count - most : 0;
    for (uint32_t i = first; i < count; i++)
        latest[i - first] = entry_retain(cache->entries.data[i]);
    lock_give(cache->lock);
    return count;
}

uint32_t entries_of_stem(EntryCache *cache, const Key *key, uint32_t most, Entry **latest) {
    uint32_t count = 0;
    lock_take(cache->lock);
    for (uint32_t i = cache->entries.count; count < most && i-- > 0;) {
        Entry *entry = cache->entries.data[i];
        if (entry->key_words == key->count &&
            memcmp(entry->key, key->words, sizeof *key->words * key->stem) == 0)
            latest[count++] = entry_retain(entry);
    }
    lock_give(cache->lock);
    for (uint32_t i = 0; i < count / 2; i++) {
        Entry *other = latest[i];
        latest[i] = latest[count - 1 - i];
        latest[count - 1 - i] = other;
    }
    return count;
}

/* ---- adding and dropping --------------------------------------------------------------------- */

/* By the clock of the LRU: does it go? Those that were not used since the last time, or, where all
 * were, the older half. */
static bool goes(Entry *entry, uint32_t i, uint32_t count, bool all_used) {
    bool used = atomic_exchange_explicit(&entry->used, false, memory_order_relaxed);
    return all_used ? i < count / 2 : !used && i < count - 1;
}

/* Takes the entries that go out of list and map; `dropped` receives them. */
static uint32_t drop_unused(EntryCache *cache, Entry **dropped) {
    SN_ASSERT(lock_held(cache->lock) && cache->entries.count <= ENTRIES_MOST);
    uint32_t count = cache->entries.count, kept = 0, n_dropped = 0;
    bool all_used = true;
    for (uint32_t i = 0; i < count; i++)
        all_used =
            all_used && atomic_load_explicit(&cache->entries.data[i]->used, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        Entry *entry = cache->entries.data[i];
        map_remove(&cache->map, entry->hash, i);
        if (goes(entry, i, count, all_used)) {
            dropped[n_dropped++] = entry;
            continue;
        }
        cache->entries.data[kept] = entry;
        map_insert(&cache->map, entry->hash, kept++); /* in a place that was left */
    }
    cache->entries.count = kept;
    return n_dropped;
}

static bool insert(EntryCache *cache, Entry *entry) {
    SN_ASSERT(lock_held(cache->lock));
    Wanted wanted = {cache, entry->key, entry->key_words};
    if (map_find(&cache->map, entry->hash, is_wanted, &wanted) != MAP_NONE) return false;
    if (!vec_push(&cache->entries, entry)) return false;
    if (map_insert(&cache->map, entry->hash, cache->entries.count - 1)) return true;
    cache->entries.count--;
    return false;
}

void entries_add(EntryCache *cache, Entry *entry) {
    SN_ASSERT(entry->instance && entry->instance->executable);
    Entry *dropped[ENTRIES_MOST];
    uint32_t n_dropped = 0;
    lock_take(cache->lock);
    if (cache->entries.count >= ENTRIES_MOST) n_dropped = drop_unused(cache, dropped);
    bool added = insert(cache, entry);
    lock_give(cache->lock);
    for (uint32_t i = 0; i < n_dropped; i++) entry_release(dropped[i]);
    if (!added) entry_release(entry);
}

void entries_close(EntryCache *cache) {
    Kept *slot = slot_of(cache);
    if (slot && slot->serial == cache->serial) {
        entry_release(slot->entry);
        *slot = (Kept){0};
    }
    for (uint32_t i = 0; i < cache->entries.count; i++) entry_release(cache->entries.data[i]);
    vec_free(&cache->entries);
    map_free(&cache->map);
}
