/* Which arguments are one handle, begin at the same element, or may overlap: in one walk through a hash
 * table, so that a call of many tensors is not quadratic; see arguments.h. */
#include "frontend/compiled/arguments.h"

#include <string.h>

/* May it share memory with a tensor of another storage? */
static inline bool is_foreign(const sn_tensor *t) {
    return t->storage && t->storage->borrowed;
}

/* What it has in common with those before it; whether it partly overlaps one. Rare, so its registers are
 * not to be saved in each call. */
__attribute__((noinline)) static Sharing compare_before(const CallArgs *args, uint32_t i,
                                                        bool *overlaps) {
    const sn_tensor *t = args->tensors[i];
    Sharing own = {0, 0};
    for (uint32_t j = i; j-- > 0;) { /* the first is met last */
        const sn_tensor *other = args->tensors[j];
        if (other == t) own.handle = j + 1;
        if (other->storage != t->storage || !t->storage) continue;
        if (other->offset == t->offset)
            own.memory = j + 1;
        else
            *overlaps = true;
    }
    return own;
}

/* One bit of 64 for an address. */
static inline uint64_t address_bit(const void *address) {
    return 1ull << ((uint64_t)(uintptr_t)address * 0x9E3779B97F4A7C15u >> 58);
}

/* A tensor is compared with all before it where its bit says that it may have something in common with
 * one: mostly never. */
static inline void share_few(CallArgs *args) {
    bool overlaps = false;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < (uint32_t)args->n_tensors; i++) {
        const sn_tensor *t = args->tensors[i];
        uint64_t bit = address_bit(t->storage ? (const void *)t->storage : t);
        args->sharing[i] = seen & bit ? compare_before(args, i, &overlaps) : (Sharing){0, 0};
        overlaps |= is_foreign(t);
        seen |= bit;
    }
    args->apart = !overlaps;
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

__attribute__((noinline)) static void share_many(CallArgs *args, uint32_t *slots) {
    uint32_t count = (uint32_t)args->n_tensors, n_slots = 4;
    args->apart = true;
    for (uint32_t i = 0; i < count; i++)
        if (is_foreign(args->tensors[i])) args->apart = false;
    while (n_slots < 2 * count) n_slots *= 2;
    Table table = {.args = args, .slots = slots, .mask = n_slots - 1};
    if (!share_handles_only(args, &table)) share_any(args, &table);
}

/* Two are compared at once. */
static inline bool are_two_apart(const CallArgs *args) {
    if (args->n_tensors != 2) return false;
    const Storage *x = args->tensors[0]->storage, *y = args->tensors[1]->storage;
    return x && y && x != y && !x->borrowed && !y->borrowed;
}

void arguments_share(CallArgs *args, uint32_t *slots) {
    if (are_two_apart(args)) {
        args->sharing[0] = args->sharing[1] = (Sharing){0, 0};
        args->apart = true;
    } else if (args->n_tensors <= ARGUMENTS_FEW) {
        share_few(args);
    } else {
        share_many(args, slots);
    }
}
