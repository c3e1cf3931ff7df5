/* What this machine does at best, measured when it is asked for: the roof under which the times of kernels
 * are shown. Bytes a second by how many are touched, since caches differ, and arithmetic. */
#ifndef SN_RUNTIME_ROOF_H
#define SN_RUNTIME_ROOF_H

#include <stdbool.h>
#include <stdint.h>

/* What a step has to do at least. */
typedef struct RoofWork {
    int64_t bytes;        /* it moves */
    int64_t instructions; /* arithmetic on elements, a multiply-add as one */
    double lanes;         /* how many of its elements are computed with at once where one f32 is */
    int32_t threads;      /* that share it */
} RoofWork;

/* Bytes a second of the fastest of reading, copying and adding up arrays of about so many bytes in all; 0
 * where there is no memory for them. Kept once it is measured, which takes some milliseconds. */
double roof_bandwidth(int64_t bytes, int32_t threads);
/* f32 operations a second, in vectors; a multiply-add is one. Kept likewise. */
double roof_operations(int32_t threads);
/* Seconds that the work takes at least; 0: not known. `by_memory` (may be NULL): that is for its bytes. */
double roof_seconds(const RoofWork *work, bool *by_memory);
/* The same for work that took so many seconds. Where that is less, other programs had held up the
 * measurement: it is made again, a few times, and the best
 * counts, the rate of that work included. */
double roof_seconds_below(const RoofWork *work, double seconds, bool *by_memory);

#endif
