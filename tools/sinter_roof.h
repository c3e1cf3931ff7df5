/* What this machine can do at best, measured in the same run as the kernels: the two sides of the
 * roofline. */
#ifndef SINTER_ROOF_H
#define SINTER_ROOF_H

#include <stdint.h>

/* Bytes per second of a copy or triad, whichever is faster, with or without streaming stores, over
 * arrays of `bytes` in all. 0 when there is no memory. */
double roof_bandwidth(int64_t bytes, int32_t threads);
/* f32 operations per second of independent fused multiply-adds; one such is two operations. */
double roof_flops(int32_t threads);

#endif
