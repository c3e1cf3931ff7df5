/* Memory of tensors: a caching allocator. Blocks are 64-byte aligned and come in size classes at
 * most an eighth apart, so a block is reused as it is for any request of its class. Small ones are
 * kept by each thread, without a lock; large ones by the process; those from 2 MiB on are huge pages
 * where the system has them. Keeping them saves the page faults of the first touch, the largest cost
 * of big intermediate results. Never holds more than the program itself once used at a time, or
 * 256 MiB. */
#ifndef SN_RUNTIME_MEMORY_H
#define SN_RUNTIME_MEMORY_H

#include <stddef.h>

enum { MEMORY_ALIGN = 64 };

/* In bytes; sizes are those of the blocks, memory_block_bytes of the request. */
typedef struct MemoryStats {
    size_t live;   /* handed out */
    size_t peak;   /* most that was live since memory_reset_peak */
    size_t cached; /* free, kept for reuse */
} MemoryStats;

/* Uninitialised memory for `bytes` bytes (0 is allowed), or NULL when the system has none or the
 * limit would be passed. Each call counts as one allocation for fault injection (base/mem.h), but
 * not for its count of live blocks. */
void *memory_alloc(size_t bytes);
/* `bytes` as in memory_alloc. From any thread; NULL is ignored. */
void memory_free(void *block, size_t bytes);
/* Size of the block that serves a request; 0 when it is too large for any. */
size_t memory_block_bytes(size_t bytes);
/* Gives cached memory back to the system: the process's, and the calling thread's. */
void memory_trim(void);
/* Most bytes that may be live; 0 = no limit. Requests beyond it return NULL. */
void memory_set_limit(size_t bytes);
/* Most bytes that stay cached, besides the few of each thread; SIZE_MAX = only the rule above. */
void memory_set_cache_limit(size_t bytes);
void memory_stats(MemoryStats *stats);
void memory_reset_peak(void);

#endif
