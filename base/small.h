/* Arrays that are there during a call and mostly short: so many elements lie in the frame, more come
 * from the heap.
 *
 *     SMALL(NodeId, 16) nodes;
 *     if (!small_open(&nodes, count)) return error_memory(error);
 *     … nodes.data[i] …
 *     small_close(&nodes);
 */
#ifndef SN_BASE_SMALL_H
#define SN_BASE_SMALL_H

#include "base/mem.h"

#define SMALL(T, n)                                                                                \
    struct {                                                                                       \
        T *data;  /* the elements */                                                               \
        T few[n]; /* where they are, if they fit */                                                \
    }

/* Room for `count` elements, uninitialised; false when out of memory, and there is nothing to close. */
#define small_open(s, count)                                                                       \
    (((s)->data = (size_t)(count) <= sizeof(s)->few / sizeof *(s)->few                             \
                      ? (s)->few                                                                   \
                      : mem_alloc(sizeof *(s)->few * (size_t)(count))) != NULL)
#define small_close(s) ((s)->data == (s)->few ? (void)0 : mem_free((s)->data))

#endif
