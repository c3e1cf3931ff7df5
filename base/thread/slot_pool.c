/* Objects that a program names; see slot_pool.h. */
#include "base/thread/slot_pool.h"

#include "base/mem.h"
#include "base/thread/lock.h"

#include <string.h>

/* Slots that are made at a time, and how many wait at least: an address comes back after 256 objects. */
enum { SLOTS_AT_ONCE = 16, LEAST_WAITING = 8 };

LOCK_DEFINE(lock, RANK_SLOTS);

static void add_slots(SlotPool *pool) {
    SN_ASSERT(lock_held(&lock));
    size_t bytes = (slot_bytes(pool->bytes) / sizeof(Slot) + 1) * sizeof(Slot);
    char *memory = mem_alloc(SLOTS_AT_ONCE * bytes);
    for (int i = 0; memory && i < SLOTS_AT_ONCE; i++)
        slots_put(&pool->queue, slot_begin(memory + (size_t)i * bytes));
}

void *slot_pool_new(SlotPool *pool) {
    lock_take(&lock);
    if (pool->queue.count <= LEAST_WAITING) add_slots(pool);
    bool there = pool->queue.count > LEAST_WAITING && mem_reuse_point();
    SlotMark *object = there ? slots_take(&pool->queue) : NULL;
    lock_give(&lock);
    if (!object) return NULL;
    memset(object, 0, pool->bytes);
    atomic_init(&object->magic, pool->magic);
    return object;
}

void slot_pool_free(SlotPool *pool, void *object) {
    SlotMark *mark = object;
    atomic_store_explicit(&mark->magic, 0, memory_order_relaxed);
    lock_take(&lock);
    slots_put(&pool->queue, object);
    lock_give(&lock);
}

bool slot_pool_has(const SlotPool *pool, const void *object) {
    const SlotMark *mark = object;
    return atomic_load_explicit(&mark->magic, memory_order_relaxed) == pool->magic;
}

bool slot_pool_release(const SlotPool *pool, void *object) {
    SlotMark *mark = object;
    uint32_t magic = pool->magic;
    return atomic_compare_exchange_strong(&mark->magic, &magic, 0);
}
