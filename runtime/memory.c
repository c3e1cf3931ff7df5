/* Caching allocator for tensors; see memory.h. It asks the system directly, not base/mem.h: blocks
 * in its cache are no leak, and a request counts once for fault injection, cached or not. */
#include "runtime/memory.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sanitizers.h"
#include "base/thread/lock.h"
#include "base/thread/thread_exit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    STEP_BITS = 3, /* classes to a doubling: 1 << STEP_BITS */
    SMALL_CLASSES = 64,
    CLASS_COUNT = 344,
    THREAD_CLASS_BYTES = 128 << 10, /* most a thread keeps of one class … */
    THREAD_CLASS_BLOCKS = 64,       /* … and most blocks of it, but at least two */
    REFILL_BLOCKS = 16,             /* blocks that move to a thread at once */
    FLOOR_BYTES = 256 << 20         /* held without regard to what was once live */
};
#define HUGE_BYTES ((size_t)2 << 20)
#define LARGEST_REQUEST ((size_t)1 << 46)

/* What a free block holds in its first bytes. */
typedef struct FreeBlock {
    struct FreeBlock *next, *previous; /* blocks of the same class; newest first */
    struct FreeBlock *newer, *older;   /* all blocks of the process, by time of their freeing */
    uint32_t class;                    /* its size class */
} FreeBlock;
_Static_assert(sizeof(FreeBlock) <= MEMORY_ALIGN, "fits the smallest block");

/* A thread's own free blocks; linked by `next` only. */
typedef struct ThreadCache {
    FreeBlock *blocks[SMALL_CLASSES]; /* lists by class */
    uint16_t counts[SMALL_CLASSES];   /* their lengths */
    ThreadExit exit;                  /* empties and frees it */
} ThreadCache;

/* The process's free blocks, under the lock. */
static struct {
    FreeBlock *blocks[CLASS_COUNT]; /* lists by class */
    FreeBlock *newest, *oldest;     /* ends of the list by time */
} shared;

LOCK_DEFINE(lock, RANK_MEMORY);

/* One pointer in the static block: reached without a call from within a shared library. */
static _Thread_local ThreadCache *own __attribute__((tls_model("initial-exec")));
static ThreadCache no_cache; /* of threads that are ending or can have none: always empty */

static _Atomic size_t live;        /* handed out */
static _Atomic size_t held;        /* live and cached: what came from the system */
static _Atomic size_t peak;        /* most live, resettable */
static _Atomic size_t high_water;  /* most live, ever: bounds what is held */
static _Atomic size_t limit;       /* of live; 0 = none */
static _Atomic size_t cache_limit; /* of cached, less one, so that 0 means none */

/* ---- size classes ---------------------------------------------------------------------------- */

/* Class of a request: multiples of 64 up to 1 KiB, then 8 steps to each doubling. */
static uint32_t class_of(size_t bytes) {
    uint64_t x = bytes ? (bytes - 1) / MEMORY_ALIGN : 0;
    if (x < 2u << STEP_BITS) return (uint32_t)x;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(x) - STEP_BITS;
    return (shift << STEP_BITS) + (uint32_t)(x >> shift);
}

static size_t class_bytes(uint32_t class) {
    SN_ASSERT(class < CLASS_COUNT);
    const uint32_t steps = 1u << STEP_BITS;
    if (class < 2 * steps) return (size_t)(class + 1) * MEMORY_ALIGN;
    uint32_t shift = class / steps - 1;
    return ((size_t)(class % steps + steps + 1) << shift) * MEMORY_ALIGN;
}

size_t memory_block_bytes(size_t bytes) {
    return bytes > LARGEST_REQUEST ? 0 : class_bytes(class_of(bytes));
}

/* ---- counters -------------------------------------------------------------------------------- */

static size_t load(_Atomic size_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void raise_to(_Atomic size_t *mark, size_t value) {
    size_t seen = load(mark);
    while (seen < value && !atomic_compare_exchange_weak_explicit(
                               mark, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Counts a block as live; false when the limit forbids it. */
static bool count_live(size_t bytes) {
    size_t now = atomic_fetch_add_explicit(&live, bytes, memory_order_relaxed) + bytes;
    size_t most = load(&limit);
    if (most && now > most) {
        atomic_fetch_sub_explicit(&live, bytes, memory_order_relaxed);
        return false;
    }
    raise_to(&peak, now);
    raise_to(&high_water, now);
    return true;
}

static void count_dead(size_t bytes) {
    size_t before = atomic_fetch_sub_explicit(&live, bytes, memory_order_relaxed);
    SN_ASSERT(before >= bytes);
    (void)before;
}

/* ---- the system ------------------------------------------------------------------------------ */

/* Address space at a multiple of 2 MiB, huge pages preferred. */
static void *map_huge(size_t bytes) {
    size_t span = bytes + HUGE_BYTES;
    char *base = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    size_t before = (HUGE_BYTES - (uintptr_t)base % HUGE_BYTES) % HUGE_BYTES;
    size_t after = span - before - bytes;
    if (before) munmap(base, before);
    if (after) munmap(base + before + bytes, after);
    (void)madvise(base + before, bytes, MADV_HUGEPAGE); /* a hint: refusal does no harm */
    return base + before;
}

static void *system_alloc(size_t bytes) {
    void *block = NULL;
    if (bytes >= HUGE_BYTES)
        block = map_huge(bytes);
    else if (posix_memalign(&block, MEMORY_ALIGN, bytes) != 0)
        block = NULL;
    SN_ASSERT((uintptr_t)block % MEMORY_ALIGN == 0);
    if (block) atomic_fetch_add_explicit(&held, bytes, memory_order_relaxed);
    return block;
}

static void system_free(void *block, size_t bytes) {
    atomic_fetch_sub_explicit(&held, bytes, memory_order_relaxed);
    if (bytes >= HUGE_BYTES)
        munmap(block, bytes);
    else
        free(block);
}

/* ---- the process's cache --------------------------------------------------------------------- */

/* Lock held. */
static void shared_push(FreeBlock *block, uint32_t class) {
    SN_ASSERT(lock_held(&lock) && (uintptr_t)block % MEMORY_ALIGN == 0);
    *block = (FreeBlock){.next = shared.blocks[class], .older = shared.newest, .class = class};
    if (block->next) block->next->previous = block;
    if (block->older)
        block->older->newer = block;
    else
        shared.oldest = block;
    shared.blocks[class] = block;
    shared.newest = block;
}

/* Lock held. */
static void shared_remove(FreeBlock *block) {
    SN_ASSERT(lock_held(&lock) && block->class < CLASS_COUNT);
    SN_ASSERT(block->previous || shared.blocks[block->class] == block);
    if (block->previous)
        block->previous->next = block->next;
    else
        shared.blocks[block->class] = block->next;
    if (block->next) block->next->previous = block->previous;
    if (block->newer)
        block->newer->older = block->older;
    else
        shared.newest = block->older;
    if (block->older)
        block->older->newer = block->newer;
    else
        shared.oldest = block->newer;
}

/* Gives the longest-unused blocks back until at most `most` bytes are held. */
static void evict_to(size_t most) {
    while (load(&held) > most) {
        lock_take(&lock);
        FreeBlock *block = shared.oldest;
        uint32_t class = block ? block->class : 0;
        if (block) shared_remove(block);
        lock_give(&lock);
        if (!block) return;
        system_free(block, class_bytes(class));
    }
}

/* Hands blocks of a class to the process until `keep` are left. */
static void thread_flush(ThreadCache *cache, uint32_t class, uint32_t keep) {
    if (cache->counts[class] <= keep) return;
    lock_take(&lock);
    while (cache->counts[class] > keep) {
        FreeBlock *block = cache->blocks[class];
        cache->blocks[class] = block->next;
        cache->counts[class]--;
        shared_push(block, class);
    }
    lock_give(&lock);
}

static void thread_end(void *data) {
    ThreadCache *cache = data;
    for (uint32_t class = 0; class < SMALL_CLASSES; class ++) thread_flush(cache, class, 0);
    own = &no_cache;
    free(cache);
}

/* What may be held: what was once live, or the floor. */
static size_t held_bound(void) {
    size_t bound = load(&high_water), most = load(&limit);
    if (bound < FLOOR_BYTES) bound = FLOOR_BYTES;
    return most && bound > most ? most : bound;
}

/* A block for a request already counted as live: cached, or new. */
static void *shared_take(uint32_t class) {
    lock_take(&lock);
    FreeBlock *block = shared.blocks[class];
    if (block) shared_remove(block);
    lock_give(&lock);
    if (block) return block;
    size_t bytes = class_bytes(class), bound = held_bound();
    evict_to(bound > bytes ? bound - bytes : 0);
    void *fresh = system_alloc(bytes);
    if (fresh) return fresh;
    memory_trim();
    return system_alloc(bytes);
}

/* Returns a block that is no longer live. */
static void shared_give(void *block, uint32_t class) {
    size_t kept = load(&cache_limit);
    if (ADDRESS_SANITIZER) {
        system_free(block, class_bytes(class));
        return;
    }
    lock_take(&lock);
    shared_push(block, class);
    lock_give(&lock);
    if (kept) evict_to(load(&live) + kept - 1);
}

/* ---- a thread's cache ------------------------------------------------------------------------ */

/* Makes the calling thread's cache; NULL when there can be none. */
static ThreadCache *thread_begin(void) {
    ThreadCache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->exit = (ThreadExit){.rank = EXIT_MEMORY, .end = thread_end, .context = cache};
    if (thread_at_exit(&cache->exit)) return own = cache;
    free(cache);
    own = &no_cache;
    return NULL;
}

/* The calling thread's cache, made at first use; NULL when there can be none. */
static ThreadCache *thread_cache(void) {
    if (ADDRESS_SANITIZER || own == &no_cache) return NULL;
    return own ? own : thread_begin();
}

/* Most blocks of a class that a thread keeps. */
static uint32_t thread_bound(uint32_t class) {
    size_t blocks = THREAD_CLASS_BYTES / class_bytes(class);
    return blocks > THREAD_CLASS_BLOCKS ? THREAD_CLASS_BLOCKS : blocks < 2 ? 2 : (uint32_t)blocks;
}

/* Moves some of the process's blocks of a class to the thread. */
static void thread_refill(ThreadCache *cache, uint32_t class) {
    uint32_t wanted = thread_bound(class) / 2;
    if (wanted > REFILL_BLOCKS) wanted = REFILL_BLOCKS;
    lock_take(&lock);
    for (FreeBlock *block; wanted && (block = shared.blocks[class]); wanted--) {
        shared_remove(block);
        block->next = cache->blocks[class];
        cache->blocks[class] = block;
        cache->counts[class]++;
    }
    lock_give(&lock);
}

static void *thread_take(ThreadCache *cache, uint32_t class) {
    FreeBlock *block = cache->blocks[class];
    if (!block) return NULL;
    SN_ASSERT(cache->counts[class] > 0);
    cache->blocks[class] = block->next;
    cache->counts[class]--;
    return block;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A small block when the thread has none of its class at hand. */
static void *small_alloc(uint32_t class) {
    ThreadCache *cache = thread_cache();
    if (!cache) return shared_take(class);
    thread_refill(cache, class);
    void *block = thread_take(cache, class);
    return block ? block : shared_take(class);
}

void *memory_alloc(size_t bytes) {
    if (!mem_fault_point() || bytes > LARGEST_REQUEST) return NULL;
    uint32_t class = class_of(bytes);
    SN_ASSERT(class_bytes(class) >= bytes);
    if (!count_live(class_bytes(class))) return NULL;
    void *block = class < SMALL_CLASSES && own ? thread_take(own, class) : NULL;
    if (block) return block;
    block = class < SMALL_CLASSES ? small_alloc(class) : shared_take(class);
    if (!block) count_dead(class_bytes(class));
    return block;
}

void memory_free(void *block, size_t bytes) {
    if (!block) return;
    SN_ASSERT((uintptr_t)block % MEMORY_ALIGN == 0 && bytes <= LARGEST_REQUEST);
    uint32_t class = class_of(bytes);
    count_dead(class_bytes(class));
    ThreadCache *cache = class < SMALL_CLASSES ? thread_cache() : NULL;
    if (!cache) {
        shared_give(block, class);
        return;
    }
    FreeBlock *freed = block;
    freed->next = cache->blocks[class];
    cache->blocks[class] = freed;
    uint32_t bound = thread_bound(class);
    if (++cache->counts[class] > bound) thread_flush(cache, class, bound / 2);
}

void memory_trim(void) {
    if (own)
        for (uint32_t class = 0; class < SMALL_CLASSES; class ++) thread_flush(own, class, 0);
    evict_to(0);
    atomic_store_explicit(&high_water, load(&live), memory_order_relaxed);
}

void memory_set_limit(size_t bytes) {
    atomic_store_explicit(&limit, bytes, memory_order_relaxed);
}

void memory_set_cache_limit(size_t bytes) {
    atomic_store_explicit(&cache_limit, bytes + 1, memory_order_relaxed);
    if (bytes != SIZE_MAX) evict_to(load(&live) + bytes);
}

void memory_stats(MemoryStats *stats) {
    size_t now = load(&live), all = load(&held), most = load(&peak);
    *stats = (MemoryStats){
        .live = now,
        .peak = most > now ? most : now, /* a block just counted may not have raised it yet */
        .cached = all > now ? all - now : 0,
    };
}

void memory_reset_peak(void) {
    atomic_store_explicit(&peak, load(&live), memory_order_relaxed);
}
