/* The guarded entries of a compiled function: found by their key, at first by what this thread found
 * last. A thread holds on to that entry, so that looking there takes no lock; others may drop it from
 * the function's list meanwhile. */
#include "frontend/compiled/entries.h"

enum {
    HELD_SLOTS = 16,   /* functions whose entry a thread remembers */
    ENTRIES_MOST = 256 /* of a function; then those not used of late go */
};

/* What a thread found last for a function. */
typedef struct Held {
    uint64_t serial; /* of the function */
    Entry *entry;    /* a reference; NULL = free */
} Held;

static void free_held(void *data) {
    Held *held = data;
    for (int32_t i = 0; i < HELD_SLOTS; i++) entry_release(held[i].entry);
    mem_free(held);
}

/* Where the thread remembers the function's entry; NULL as long as it remembers none at all. */
static Held *slot_of(const sn_compiled *c) {
    Held *held = thread_room(ROOM_COMPILED);
    return held ? &held[c->serial % HELD_SLOTS] : NULL;
}

/* Takes over the reference; false when out of memory. */
static bool hold(const sn_compiled *c, Entry *entry) {
    if (!thread_room(ROOM_COMPILED)) {
        Held *held = mem_calloc(HELD_SLOTS, sizeof *held);
        if (!held) return false;
        thread_keep(ROOM_COMPILED, held, free_held);
    }
    Held *slot = slot_of(c);
    entry_release(slot->entry);
    *slot = (Held){c->serial, entry};
    return true;
}

void entry_release(Entry *entry) {
    if (!entry || atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) != 1) return;
    instance_release(entry->instance);
    mem_free(entry->key);
    mem_free(entry->outputs);
    mem_free(entry->sources);
    mem_free(entry->drawn);
    mem_free(entry);
}

/* ---- finding -------------------------------------------------------------------------------------- */

typedef struct Wanted {
    const sn_compiled *c;
    const uint64_t *key;
    uint32_t words;
} Wanted;

static bool key_equal(const Entry *entry, const uint64_t *key, uint32_t words) {
    return entry->key_words == words && memcmp(entry->key, key, words * sizeof *key) == 0;
}

static bool is_wanted(const void *context, uint32_t index) {
    const Wanted *w = context;
    return key_equal(w->c->entries.data[index], w->key, w->words);
}

static void note_use(Entry *entry) {
    if (!atomic_load_explicit(&entry->used, memory_order_relaxed))
        atomic_store_explicit(&entry->used, true, memory_order_relaxed);
}

Entry *entry_find(sn_compiled *c, const Key *key) {
    Held *slot = slot_of(c);
    if (slot && slot->serial == c->serial && slot->entry &&
        key_equal(slot->entry, key->words, key->at)) {
        note_use(slot->entry);
        return slot->entry;
    }
    Wanted wanted = {c, key->words, key->at};
    uint64_t hash = hash_bytes(key->words, key->at * sizeof(uint64_t), 0);
    lock_take(c->lock);
    int64_t index = map_find(&c->entry_map, hash, is_wanted, &wanted);
    Entry *entry = index == MAP_NONE ? NULL : c->entries.data[index];
    if (entry) atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    lock_give(c->lock);
    if (!entry) return NULL;
    note_use(entry);
    if (hold(c, entry)) return entry;
    entry_release(entry);
    return NULL; /* the call is traced again */
}

/* ---- adding and dropping -------------------------------------------------------------------------- */

/* Is it older than the rest by the clock's hand: not used since the last time, or, where all were,
 * among the first half? */
static bool goes(Entry *entry, uint32_t i, uint32_t count, bool all_used) {
    bool used = atomic_exchange_explicit(&entry->used, false, memory_order_relaxed);
    return all_used ? i < count / 2 : !used && i < count - 1;
}

/* Moves the entries that go behind the others, out of list and map; `dropped` receives them. The list
 * is in order of age. */
static uint32_t drop_unused(sn_compiled *c, Entry **dropped) {
    uint32_t count = c->entries.count, kept = 0, n_dropped = 0;
    bool all_used = true;
    for (uint32_t i = 0; i < count; i++)
        all_used =
            all_used && atomic_load_explicit(&c->entries.data[i]->used, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        Entry *entry = c->entries.data[i];
        map_remove(&c->entry_map, entry->hash, i);
        if (goes(entry, i, count, all_used)) {
            dropped[n_dropped++] = entry;
            continue;
        }
        c->entries.data[kept] = entry;
        map_insert(&c->entry_map, entry->hash, kept++); /* in a place that was left */
    }
    c->entries.count = kept;
    return n_dropped;
}

static bool insert(sn_compiled *c, Entry *entry) {
    Wanted wanted = {c, entry->key, entry->key_words};
    if (map_find(&c->entry_map, entry->hash, is_wanted, &wanted) != MAP_NONE) return false;
    if (!vec_push(&c->entries, entry)) return false;
    if (map_insert(&c->entry_map, entry->hash, c->entries.count - 1)) return true;
    c->entries.count--;
    return false;
}

void entry_add(sn_compiled *c, Entry *entry) {
    Entry *dropped[ENTRIES_MOST];
    uint32_t n_dropped = 0;
    lock_take(c->lock);
    if (c->entries.count >= ENTRIES_MOST) n_dropped = drop_unused(c, dropped);
    bool added = insert(c, entry);
    lock_give(c->lock);
    for (uint32_t i = 0; i < n_dropped; i++) entry_release(dropped[i]);
    if (!added) entry_release(entry);
}

void entries_release(sn_compiled *c) {
    Held *slot = slot_of(c);
    if (slot && slot->serial == c->serial) {
        entry_release(slot->entry);
        *slot = (Held){0};
    }
    for (uint32_t i = 0; i < c->entries.count; i++) entry_release(c->entries.data[i]);
    vec_free(&c->entries);
    map_free(&c->entry_map);
}
