/* Reference counts. Who makes an object holds the first reference; the last one to go frees it. */
#ifndef SN_BASE_REFS_H
#define SN_BASE_REFS_H

#include "base/assert.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Refs {
    _Atomic int64_t count; /* > 0 as long as the object is there */
} Refs;

static inline void refs_init(Refs *refs) {
    atomic_init(&refs->count, 1);
}
/* How many there are; another thread may change that at once. */
static inline int64_t refs_count(const Refs *refs) {
    return atomic_load_explicit(&refs->count, memory_order_relaxed);
}
/* One more, by someone who holds one or keeps off whoever might drop the last. */
static inline void refs_take(Refs *refs) {
    int64_t before = atomic_fetch_add_explicit(&refs->count, 1, memory_order_relaxed);
    SN_ASSERT(before > 0);
    (void)before;
}
/* One less; true when it was the last, and the object is the caller's to free. */
static inline bool refs_drop(Refs *refs) {
    int64_t before = atomic_fetch_sub_explicit(&refs->count, 1, memory_order_acq_rel);
    SN_ASSERT(before > 0);
    return before == 1;
}

#endif
