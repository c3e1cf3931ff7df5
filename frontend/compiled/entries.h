/* The guarded entries of a function: what a key leads to, and where it is found. */
#ifndef SN_FRONTEND_COMPILED_ENTRIES_H
#define SN_FRONTEND_COMPILED_ENTRIES_H

#include "frontend/compiled/instance.h"
#include "frontend/compiled/key.h"

/* A result as a guarded entry makes it. */
typedef struct OutputSpec {
    int32_t input;   /* ≥ 0: shares the memory of this graph input */
    int32_t output;  /* else: the executable's result of this number; -1 = NULL or none */
    TensorType type; /* dtype and dims */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t offset; /* in elements; from the input's element 0, or from the result's */
} OutputSpec;

/* What a guard key leads to. Immutable but for `calls` and `used`. */
typedef struct Entry {
    _Atomic int64_t refs;    /* the function's list and threads that found it last */
    uint64_t hash;           /* of the key */
    uint64_t *key;           /* the guard, packed */
    uint32_t key_words;      /* its length */
    GraphInstance *instance; /* what runs; a reference is held */
    OutputSpec *outputs;     /* results in the signature's order */
    int32_t *sources;        /* by graph input: flattened tensor ≥ 0, or -1 - generator */
    int64_t *drawn;          /* by generator: numbers drawn */
    bool writes;             /* some input is written */
    _Atomic int64_t calls;   /* so far, saturating: the second one is checked */
    _Atomic bool used;       /* since entries were last dropped */
} Entry;

void entry_release(Entry *entry);
/* The entry that the key leads to, or NULL. Held by this thread until its next call of any function. */
Entry *entry_find(sn_compiled *compiled, const Key *key);
/* Takes the entry over and adds it, unless there is an equal one. Where there are too many, those not
 * used for longest go. */
void entry_add(sn_compiled *compiled, Entry *entry);
/* Lets go of all entries of the function, and of this thread's hold on one. */
void entries_release(sn_compiled *compiled);

#endif
