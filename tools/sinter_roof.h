/* What this machine can do at best, measured in turn with the kernels: the two sides of the
 * roofline. */
#ifndef SINTER_ROOF_H
#define SINTER_ROOF_H

#include <stdbool.h>
#include <stdint.h>

enum { ROOF_ROUNDS = 9, ROOF_KINDS = 3, ROOF_STREAMS = 2 * ROOF_KINDS };

/* Measurements of one footprint. */
typedef struct Roof {
    int32_t threads;                          /* that work at once */
    int64_t bytes;                            /* moved by one pass of a stream */
    float *memory[ROOF_KINDS][3];             /* arrays of the copy, the triad and the read */
    int64_t n[ROOF_KINDS];                    /* their lengths */
    int32_t rounds;                           /* done */
    double passes[ROOF_STREAMS][ROOF_ROUNDS]; /* seconds of a pass, by stream and round */
    double multiply_adds[ROOF_ROUNDS];        /* fused multiply-adds per second */
} Roof;

/* Arrays of `bytes` in all for a copy, for a triad, and for a read. False when there is no memory. */
bool roof_open(Roof *roof, int64_t bytes, int32_t threads);
/* One round: every stream (copy, triad and read, with plain stores and past the caches), and independent
 * fused multiply-adds. At most ROOF_ROUNDS of them. */
void roof_round(Roof *roof);
/* Bytes per second of the fastest round of copies (plain or past the caches), triads or reads: whichever
 * store more nearly this share of the bytes that they move. */
double roof_bandwidth(const Roof *roof, double stored);
/* f32 multiply-adds per second, of the fastest round. */
double roof_multiply_adds(const Roof *roof);
void roof_close(Roof *roof);

#endif
