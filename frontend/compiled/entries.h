/* The guarded entries of a function: what a guard key leads to, and where it is found.
 *
 * A thread keeps the entry that it found last, so that finding it again takes no lock and writes no
 * word that other threads read. A lookup moves that reference to the caller, who gives it back, so
 * that no call can lose the entry that it runs, whatever it calls. */
#ifndef SN_FRONTEND_COMPILED_ENTRIES_H
#define SN_FRONTEND_COMPILED_ENTRIES_H

#include "base/map.h"
#include "base/refs.h"
#include "base/thread/lock.h"
#include "frontend/compiled/results.h"
#include "frontend/graphs/instance.h"

typedef struct Key Key;

/* What a guard key leads to. Immutable but for `calls` and `used`. */
typedef struct Entry {
    Refs refs;               /* the list's and those of threads */
    uint64_t hash;           /* of the key */
    uint64_t *key;           /* the guard, packed */
    uint32_t key_words;      /* its length */
    GraphInstance *instance; /* what runs; a reference is held; it has an executable */
    OutputSpec *outputs;     /* results in the signature's order */
    int32_t *sources;        /* by graph input: which argument it is; see TraceInput */
    int64_t *drawn;          /* by generator: numbers drawn */
    int32_t n_outputs;       /* of `outputs` … */
    int32_t n_generators;    /* … and of `drawn` */
    bool writes;             /* some input is written */
    bool strided;            /* what was recorded depends on strides; see Trace */
    _Atomic int64_t calls;   /* 1 when made, 2 when compared; then hits, where check_every is set */
    _Atomic bool used;       /* since entries were last dropped: the clock of the LRU */
} Entry;

typedef struct EntryCache {
    uint64_t serial;      /* of the handle, never given twice: names it in what threads keep */
    Lock *lock;           /* of what follows */
    VEC(Entry *) entries; /* in the order of age; a reference to each */
    Map map;              /* hash of the key → place in entries */
} EntryCache;

/* What the key leads to, by a trace of which nothing was captured: the instance that ran, the results,
 * and the numbers drawn of each generator argument. With one reference, the caller's; NULL when out of
 * memory. */
Entry *entry_new(const Key *key, GraphInstance *instance, const Trace *trace,
                 const TraceResults *results, const int64_t *drawn, int32_t n_generators);
/* The same for another key, at another instance of the same graph, as if it had been called so often. */
Entry *entry_like(const Entry *model, const Key *key, GraphInstance *instance, int64_t calls);
/* One reference more, the caller's. */
Entry *entry_retain(Entry *entry);
void entry_release(Entry *entry);
/* As it was recorded. */
static inline const Graph *entry_graph(const Entry *entry) {
    return compiled_graph_recorded(entry->instance->graph);
}

/* The entry that the key leads to, with a reference: the thread's, or a new one. NULL: none. */
Entry *entries_find(EntryCache *cache, const Key *key);
/* Gives the reference back; the thread keeps it for its next call. */
void entries_give_back(EntryCache *cache, Entry *entry);
/* Takes the entry over and adds it, unless there is an equal one. Where there are too many, those
 * not used for longest go. */
void entries_add(EntryCache *cache, Entry *entry);
/* References to the latest entries, at most `most`, oldest first. Returns how many there are in
 * all. */
uint32_t entries_latest(EntryCache *cache, uint32_t most, Entry **latest);
/* References to the latest entries whose keys have the stem of this one, at most `most`, oldest first.
 * Returns how many. */
uint32_t entries_of_stem(EntryCache *cache, const Key *key, uint32_t most, Entry **latest);
/* Lets go of all entries, and of what this thread keeps; nobody else uses the cache any more. */
void entries_close(EntryCache *cache);

#endif
