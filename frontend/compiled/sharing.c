/* Which arguments are one handle, begin at the same element, or may overlap: in one walk through a hash
 * table, so that a call of many tensors is not quadratic; see arguments.h. */
#include "frontend/compiled/arguments.h"

#include <string.h>

enum { COMPARED_MOST = 8 }; /* tensors that are compared each with each */

/* May it share memory with a tensor of another storage? */
static inline bool is_foreign(const sn_tensor *t) {
    return t->storage && t->storage->borrowed;
}

/* Each tensor against all before it, which few have in common with it. */
static inline void compare_all(CallArgs *args) {
    bool apart = true;
    for (uint32_t i = 0; i < (uint32_t)args->n_tensors; i++) {
        const sn_tensor *t = args->tensors[i];
        Sharing own = {0, 0};
        if (is_foreign(t)) apart = false;
        for (uint32_t j = i; j-- > 0;) { /* the first is met last */
            const sn_tensor *other = args->tensors[j];
            if (other == t) own.handle = j + 1;
            if (other->storage != t->storage || !t->storage) continue;
            if (other->offset == t->offset)
                own.memory = j + 1;
            else
                apart = false;
        }
        args->sharing[i] = own;
    }
    args->apart = apart;
}

/* ---- many ------------------------------------------------------------------------------------ */

/* What of a tensor is looked for. */
typedef enum Part {
    PART_STORAGE, /* its storage; a scalar is itself */
    PART_ELEMENT, /* where it begins */
    PART_HANDLE   /* itself */
} Part;

/* A table from a part of tensors to the first that has it. */
typedef struct Table {
    const CallArgs *args; /* whose tensors */
    uint32_t *slots;      /* 1 + the tensor; 0: free */
    uint32_t mask;        /* slots - 1 */
    Part part;            /* of them */
} Table;

static inline bool part_equal(Part part, const sn_tensor *x, const sn_tensor *y) {
    if (part == PART_HANDLE || !x->storage) return x == y;
    return x->storage == y->storage && (part == PART_STORAGE || x->offset == y->offset);
}

static inline uint64_t part_hash(Part part, const sn_tensor *t) {
    const void *address = part == PART_HANDLE || !t->storage ? (const void *)t : t->storage;
    uint64_t offset = part == PART_ELEMENT ? (uint64_t)t->offset : 0;
    return hash_mix((uint64_t)(uintptr_t)address, offset);
}

static void table_open(Table *table, Part part) {
    table->part = part;
    memset(table->slots, 0, sizeof *table->slots * ((size_t)table->mask + 1));
}

/* The first tensor before it that is equal in this part, or, after it was added, itself. */
static inline uint32_t table_find(const Table *table, uint32_t i) {
    const sn_tensor *t = table->args->tensors[i];
    for (uint32_t at = (uint32_t)part_hash(table->part, t) & table->mask;;
         at = (at + 1) & table->mask) {
        uint32_t found = table->slots[at];
        if (!found) table->slots[at] = found = i + 1;
        if (found == i + 1 || part_equal(table->part, table->args->tensors[found - 1], t))
            return found - 1;
    }
}

/* Where no two tensors have one storage but the same handles; false where some have. */
static bool share_handles_only(CallArgs *args, Table *table) {
    table_open(table, PART_STORAGE);
    for (uint32_t i = 0; i < (uint32_t)args->n_tensors; i++) {
        uint32_t first = table_find(table, i);
        args->sharing[i] = (Sharing){0, 0};
        if (first == i) continue;
        if (args->tensors[first] != args->tensors[i]) return false;
        args->sharing[i].handle = first + 1;
        if (args->tensors[i]->storage) args->sharing[i].memory = first + 1;
    }
    return true;
}

static void share_any(CallArgs *args, Table *table) {
    args->apart = false;
    table_open(table, PART_ELEMENT);
    for (uint32_t i = 0; i < (uint32_t)args->n_tensors; i++) {
        uint32_t first = table_find(table, i);
        args->sharing[i].memory = first == i || !args->tensors[i]->storage ? 0 : first + 1;
    }
    table_open(table, PART_HANDLE);
    for (uint32_t i = 0; i < (uint32_t)args->n_tensors; i++) {
        uint32_t first = table_find(table, i);
        args->sharing[i].handle = first == i ? 0 : first + 1;
    }
}

static void share_many(CallArgs *args, uint32_t *slots) {
    uint32_t few[4 * ARGUMENTS_FEW], count = (uint32_t)args->n_tensors, n_slots = 4;
    args->apart = true;
    for (uint32_t i = 0; i < count; i++)
        if (is_foreign(args->tensors[i])) args->apart = false;
    while (n_slots < 2 * count) n_slots *= 2;
    Table table = {.args = args, .slots = slots ? slots : few, .mask = n_slots - 1};
    if (!share_handles_only(args, &table)) share_any(args, &table);
}

void arguments_share(CallArgs *args, uint32_t *slots) {
    if (args->n_tensors <= COMPARED_MOST)
        compare_all(args);
    else
        share_many(args, slots);
}
