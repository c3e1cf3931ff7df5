/* Objects that a program names and releases once, of a kind that is not made often: compiled functions,
 * files, graphs. Their memory stays the library's, so that a name that is used for too long, or released
 * twice, is told so; see base/slots.h. */
#ifndef SN_BASE_THREAD_SLOT_POOL_H
#define SN_BASE_THREAD_SLOT_POOL_H

#include "base/slots.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What such an object begins with. */
typedef struct SlotMark {
    _Atomic uint32_t magic; /* of its kind; 0 once the program has released it */
} SlotMark;

/* All of a kind; static, filled with `bytes` and `magic` by who owns it. */
typedef struct SlotPool {
    size_t bytes;    /* of an object */
    uint32_t magic;  /* of the kind */
    SlotQueue queue; /* slots without an object, of all threads */
} SlotPool;

/* A zeroed object with its mark; NULL when out of memory. */
void *slot_pool_new(SlotPool *pool);
/* Its memory may be another's. */
void slot_pool_free(SlotPool *pool, void *object);
/* Is it an object of the kind that was not released? */
bool slot_pool_has(const SlotPool *pool, const void *object);
/* Takes the mark away; false when it was gone: then it is released already, or no such object. */
bool slot_pool_release(const SlotPool *pool, void *object);

#endif
