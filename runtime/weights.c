/* Packed forms of weights; see weights.h. */
#include "runtime/weights.h"

#include "base/assert.h"
#include "base/settings.h"
#include "base/thread/parallel.h"
#include "ir/op/order.h"
#include "runtime/memory.h"

#include <string.h>

enum {
    FORMS_MOST = 4,          /* of a storage: more are views that change from call to call */
    FROZEN_MOST = 64,        /* the same of a frozen one */
    PACKED_AT_ONCE = 64,     /* steps of K, so that what is written stays in the first cache */
    SERIAL_ELEMENTS = 16384, /* fewer are packed by one thread */
    DEFAULT_MB = 4096        /* of the budget */
};

/* One matrix of a storage that a contraction read. It lives as long as the storage, so that no call finds it
 * gone; contents change under calls only where the program writes a weight that it uses at the same time. */
typedef struct PackedForm {
    struct PackedForm *next;  /* of the storage */
    const char *first;        /* its first element … */
    Columns columns;          /* … and shape */
    _Atomic uint64_t seen;    /* writes of the storage, and 1, when a call last met it unpacked */
    _Atomic uint64_t version; /* the same when `data` was packed */
    _Atomic(char *) data;     /* NULL: not packed */
    /* A thread packs it. In the child of a fork amid that it stays so, and the form unused. */
    _Atomic bool busy;
} PackedForm;

static _Atomic int64_t packs, packed_bytes;

void weights_counters(WeightCounters *counters) {
    counters->packs = atomic_load(&packs);
    counters->bytes = atomic_load(&packed_bytes);
}

/* ---- packing --------------------------------------------------------------------------------- */

static int64_t count_panels(const Columns *c) {
    return c->columns / c->panel + (c->columns % c->panel != 0);
}

static int64_t count_chunks(const Columns *c) {
    return c->k / ORDER_CHAIN + (c->k % ORDER_CHAIN != 0);
}

size_t columns_bytes(const Columns *c) {
    size_t bytes;
    bool fits =
        !__builtin_mul_overflow((size_t)count_panels(c), (size_t)(c->panel * c->size), &bytes) &&
        !__builtin_mul_overflow(bytes, (size_t)c->k, &bytes) &&
        !__builtin_mul_overflow(bytes, (size_t)c->matrices, &bytes);
    return fits && bytes <= PTRDIFF_MAX ? bytes : 0;
}

/* Panels to be packed: pieces are those of all chunks of all matrices, chunk by chunk. */
typedef struct Packing {
    const Columns *columns; /* of what */
    const char *first;      /* from where */
    char *packed;           /* to where */
} Packing;

/* A step's columns of a panel, `present` of which are there. */
__attribute__((always_inline)) static inline void
pack_step(const Columns *c, const char *from, char *to, int64_t present, size_t size) {
    int64_t apart = c->column_step * (int64_t)size;
    for (int64_t j = 0; j < present; j++) memcpy(to + j * (int64_t)size, from + j * apart, size);
    memset(to + present * (int64_t)size, 0, (size_t)(c->panel - present) * size);
}

__attribute__((always_inline)) static inline void pack_panel(const Columns *c, const char *from,
                                                             char *to, int64_t present,
                                                             int64_t steps, size_t size) {
    int64_t k_apart = c->k_step * (int64_t)size, apart = c->column_step * (int64_t)size;
    int64_t width = c->panel * (int64_t)size;
    if (c->k_step != 1 || present < c->panel) {
        for (int64_t k = 0; k < steps; k++)
            pack_step(c, from + k * k_apart, to + k * width, present, size);
        return;
    }
    for (int64_t k = 0; k < steps; k += PACKED_AT_ONCE) {
        int64_t end = k + PACKED_AT_ONCE < steps ? k + PACKED_AT_ONCE : steps;
        for (int64_t j = 0; j < present; j++)
            for (int64_t at = k; at < end; at++)
                memcpy(to + at * width + j * (int64_t)size, from + j * apart + at * (int64_t)size,
                       size);
    }
}

/* Steps of K of a panel from `k` on, segment by segment. */
__attribute__((always_inline)) static inline void pack_steps(const Columns *c, const char *first,
                                                             char *to, int64_t present, int64_t k,
                                                             int64_t steps, size_t size) {
    for (int64_t end = k + steps, next; k < end; k = next) {
        int64_t number = k / c->segment, within = k % c->segment;
        next = end - k < c->segment - within ? end : k - within + c->segment;
        int64_t offset = number * c->segment_step + within * c->k_step;
        pack_panel(c, first + offset * (int64_t)size, to, present, next - k, size);
        to += (next - k) * c->panel * (int64_t)size;
    }
}

static void pack_pieces(void *context, int64_t begin, int64_t end, int32_t thread) {
    const Packing *packing = context;
    const Columns *c = packing->columns;
    int64_t panels = count_panels(c), width = (int64_t)c->panel * c->size;
    int64_t pieces = count_chunks(c) * panels;
    (void)thread;
    for (int64_t at = begin; at < end; at++) {
        int64_t matrix = at / pieces, i = at % pieces;
        int64_t chunk = i / panels * ORDER_CHAIN, column = i % panels * c->panel;
        int64_t steps = c->k - chunk < ORDER_CHAIN ? c->k - chunk : ORDER_CHAIN;
        int64_t present = c->columns - column < c->panel ? c->columns - column : c->panel;
        int64_t offset = matrix * c->matrix_step + column * c->column_step;
        const char *from = packing->first + offset * c->size;
        char *to =
            packing->packed + ((matrix * c->k + chunk) * panels + i % panels * steps) * width;
        if (c->size == 4)
            pack_steps(c, from, to, present, chunk, steps, 4);
        else
            pack_steps(c, from, to, present, chunk, steps, 8);
    }
}

void columns_pack(const Columns *columns, const char *first, char *packed, int32_t threads) {
    SN_ASSERT(columns->size == 4 || columns->size == 8);
    Packing packing = {columns, first, packed};
    int64_t pieces = columns->matrices * count_chunks(columns) * count_panels(columns);
    bool few = columns_bytes(columns) < SERIAL_ELEMENTS * (size_t)columns->size;
    parallel_for(few ? 1 : threads, pieces, pack_pieces, &packing);
}

/* ---- forms ----------------------------------------------------------------------------------- */

static bool same_columns(const Columns *a, const Columns *b) {
    return a->matrices == b->matrices && a->matrix_step == b->matrix_step &&
           a->columns == b->columns && a->k == b->k && a->column_step == b->column_step &&
           a->k_step == b->k_step && a->segment == b->segment &&
           a->segment_step == b->segment_step && a->panel == b->panel && a->size == b->size;
}

static PackedForm *find_form(Storage *storage, const char *first, const Columns *columns,
                             int32_t *count) {
    PackedForm *form = atomic_load_explicit(&storage->packed, memory_order_acquire);
    for (*count = 0; form; form = form->next, ++*count)
        if (form->first == first && same_columns(&form->columns, columns)) break;
    return form;
}

static PackedForm *add_form(Storage *storage, const char *first, const Columns *columns) {
    PackedForm *form = memory_alloc(sizeof *form);
    if (!form) return NULL;
    *form = (PackedForm){.first = first, .columns = *columns};
    form->next = atomic_load(&storage->packed);
    while (!atomic_compare_exchange_weak(&storage->packed, &form->next, form)) {
    }
    return form;
}

/* Memory for a packed form, within the budget. */
static char *take_bytes(size_t bytes) {
    int64_t most = setting_int(SETTING_WEIGHTS_MB, DEFAULT_MB);
    if (!bytes || (int64_t)(bytes >> 20) >= most) return NULL;
    int64_t before = atomic_fetch_add(&packed_bytes, (int64_t)bytes);
    char *data = (before + (int64_t)bytes) >> 20 < most ? memory_alloc(bytes) : NULL;
    if (!data) atomic_fetch_sub(&packed_bytes, (int64_t)bytes);
    return data;
}

/* Packs the form as the storage is now. */
static const void *pack_form(PackedForm *form, uint64_t now, int32_t threads) {
    if (atomic_exchange(&form->busy, true)) return NULL;
    char *data = atomic_load(&form->data);
    if (!data) data = take_bytes(columns_bytes(&form->columns));
    if (data) {
        columns_pack(&form->columns, form->first, data, threads);
        atomic_fetch_add(&packs, 1);
        atomic_store(&form->data, data);
        atomic_store_explicit(&form->version, now, memory_order_release);
    }
    atomic_store(&form->busy, false);
    return data;
}

const void *weights_get(Storage *storage, const char *first, const Columns *columns,
                        int32_t threads) {
    int32_t count;
    if (!storage_is_steady(storage)) return NULL;
    uint64_t now = atomic_load_explicit(&storage->writes, memory_order_acquire) + 1;
    bool frozen = storage_is_frozen(storage);
    PackedForm *form = find_form(storage, first, columns, &count);
    int32_t most = frozen ? FROZEN_MOST : FORMS_MOST;
    if (!form && count < most) form = add_form(storage, first, columns);
    if (!form) return NULL;
    if (atomic_load_explicit(&form->version, memory_order_acquire) == now)
        return atomic_load_explicit(&form->data, memory_order_relaxed);
    if (atomic_exchange(&form->seen, now) != now && !frozen) return NULL;
    return pack_form(form, now, threads);
}

void weights_free(Storage *storage) {
    for (PackedForm *form = atomic_load(&storage->packed), *next; form; form = next) {
        next = form->next;
        char *data = atomic_load(&form->data);
        if (data) {
            size_t bytes = columns_bytes(&form->columns);
            atomic_fetch_sub(&packed_bytes, (int64_t)bytes);
            memory_free(data, bytes);
        }
        memory_free(form, sizeof *form);
    }
}
