/* Packed forms of weights. A contraction reads columns side by side, step by step of K; where a second call
 * sees the same matrix unchanged it is packed so once, and calls from then on read the packed form. What is
 * packed never changes a bit. It stays with the storage, counts as memory of tensors, and is made within a
 * budget (SINTER_WEIGHTS_MB). Memory that others may write is packed only where it is frozen, and what is
 * frozen is packed at the first call. */
#ifndef SN_RUNTIME_WEIGHTS_H
#define SN_RUNTIME_WEIGHTS_H

#include "runtime/storage.h"

#include <sinter/base.h>

/* A matrix, or several, as the groups of a convolution have them, and how they are packed, one after the
 * other: chunks of K (ORDER_CHAIN), in each its panels, in each of these its steps, in each of these the
 * panel's columns; columns that are not there are 0. */
typedef struct Columns {
    int64_t matrices, matrix_step; /* how many; elements from one to the next */
    int64_t columns, k;            /* sizes */
    int64_t column_step, k_step;   /* elements from one to the next, of K in a segment */
    int64_t segment,
        segment_step; /* steps of K in a segment; elements from one segment to the next */
    int32_t panel;    /* columns side by side */
    int32_t size;     /* bytes of an element: 4 or 8 */
} Columns;

/* What happened so far in this process. */
typedef struct WeightCounters {
    int64_t packs; /* matrices packed, each time anew */
    int64_t bytes; /* of packed forms that are there now */
} WeightCounters;

/* The packed form of the matrices whose first element is `first`, in memory of the storage, for the duration
 * of a call that holds the storage; NULL: it is to be read where it lies. Thread-safe. */
const void *weights_get(Storage *storage, const char *first, const Columns *columns,
                        int32_t threads);
/* What storage_release does: its packed forms go. */
void weights_free(Storage *storage);
void weights_counters(WeightCounters *counters);

/* Bytes of a packed form; 0 where that is no number. */
size_t columns_bytes(const Columns *columns);
/* Packs it, on so many threads. */
void columns_pack(const Columns *columns, const char *first, char *packed, int32_t threads);

#endif
