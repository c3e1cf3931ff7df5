/* The order of reductions: which two values are added when. It belongs to the op, so that neither
 * vector width nor threads nor the device change a bit. Passes that cut a reduction, the interpreter
 * of kernels and both code generators take their numbers from here.
 *
 * Elements x0, x1, … are the values of the operand in the trips of a loop, counted from 0 at the
 * loop's first trip in an item (a block of a split axis counts anew). For the graph's sum and prod they
 * are the elements along the reduced axes; adjacent axes count as one.
 *
 * Sums and products start every accumulator at the identity: -0.0 (so that -0.0 + x is x, and a sum
 * of nothing but -0.0 stays -0.0), 1, or the integer 0. A sum without trips is +0, a product 1.
 *   ROW     element i belongs to chunk i / 1024 and there to lane i % 32; a lane adds its 32 elements
 *           in ascending order, acc + x. Chunks (32 lanes each, absent elements leave the identity)
 *           are merged lane by lane in the tree. The lanes of the one vector left are halved:
 *           lane l becomes lane l + lane (l + 16) for l < 16, then with 8, 4, 2, 1.
 *   COLUMN  chunks of 32 elements, each added in ascending order; chunks are merged in the tree.
 *   TREE    elements are merged in the tree.
 *   FREE    order cannot matter: integers, bool, maxima and minima.
 *   CHAIN   of REDUCE_FMA alone, products of two operands: chunks of 512 elements, each a chain of fused
 *           multiply-adds from +0 in ascending order; the sums of chunks add up from the left, beginning with
 *           the first.
 * The tree merges adjacent pairs, level by level, the earlier operand on the left; the odd one at the
 * end passes to the next level. Carried out in one pass: like a binary counter, whose level l holds
 * 2^l merged chunks, two neighbours of equal size merge at once; at the end what is left merges from
 * the last to the first.
 *
 * Maximum and minimum start at the least or largest value of the dtype (floats: -inf, +inf) and merge
 * with MAXIMUM and MINIMUM: NaN wins, +0 > -0. ARGMAX and ARGMIN give the loop index of the first NaN;
 * without one, of the first element that no other exceeds, where +0 equals -0; 0 without trips.
 *
 * SCAN_SUM gives out = (C + R) + L: C the sum of the totals of earlier chunks of 1024 elements, R the
 * sum of the totals of earlier runs of 32 within the chunk, L the inclusive sum within the run, each
 * from the left starting at -0.0. A run's total is its last L, a chunk's its last R + L. Of f32 C is added up
 * in f64, and rounded to f32 where it is used: its error would grow with the number of chunks.
 *
 * STORE_ADD adds in the order of the program; to f16 or bf16 it widens the element, adds in f32 and
 * rounds again. */
#ifndef SN_IR_OP_ORDER_H
#define SN_IR_OP_ORDER_H

#include "base/assert.h"

#include <sinter/base.h>

#include <stdint.h>

/* The attribute of sum and prod, and of a REDUCE of kernel IR. By position: ROW when the last logical
 * axis is among the reduced ones, else COLUMN. */
typedef enum ReduceOrder {
    REDUCE_BY_POSITION, /* not yet chosen; graph_emit replaces it */
    REDUCE_ROW,         /* chunks of 32 lanes × 32 steps, merged in the tree; then the lanes */
    REDUCE_COLUMN,      /* chunks of 32 steps, merged in the tree */
    REDUCE_TREE,        /* chunks of one element: joins partial results of COLUMN chunks */
    REDUCE_FREE,        /* no order */
    REDUCE_CHAIN,       /* chunks of 512 fused multiply-adds, added up from the left */
    REDUCE_ORDER_COUNT
} ReduceOrder;

enum {
    ORDER_LANES = 32,        /* ROW: accumulators of a chunk */
    ORDER_STEPS = 32,        /* ROW, COLUMN: elements that an accumulator of a chunk takes in */
    ORDER_STEPS_LOG2 = 5,    /* its logarithm: COLUMN's chunk */
    ORDER_ROW = 1024,        /* ROW: elements of a chunk */
    ORDER_ROW_LOG2 = 10,     /* its logarithm */
    ORDER_CHAIN = 512,       /* CHAIN: elements of a chunk */
    ORDER_CHAIN_LOG2 = 9,    /* its logarithm */
    ORDER_RUN = 32,          /* SCAN_SUM: elements of a run */
    ORDER_SCAN = 1024,       /* SCAN_SUM: elements of a chunk */
    ORDER_ENDLESS_LOG2 = 63, /* FREE: one chunk that never ends */
    ORDER_LEVELS = 64        /* levels of the tree that no count of chunks exceeds */
};
_Static_assert(1 << ORDER_STEPS_LOG2 == ORDER_STEPS, "log2 of a chunk's steps");
_Static_assert(1 << ORDER_CHAIN_LOG2 == ORDER_CHAIN, "log2 of a chunk's elements");
_Static_assert(1 << ORDER_ROW_LOG2 == ORDER_ROW && ORDER_LANES * ORDER_STEPS == ORDER_ROW,
               "log2 of a chunk's elements");

/* log2 of the elements of a chunk. */
static inline uint8_t order_chunk_log2(ReduceOrder order) {
    static const uint8_t chunks[REDUCE_ORDER_COUNT] = {
        [REDUCE_BY_POSITION] = ORDER_ENDLESS_LOG2, [REDUCE_ROW] = ORDER_ROW_LOG2,
        [REDUCE_COLUMN] = ORDER_STEPS_LOG2,        [REDUCE_TREE] = 0,
        [REDUCE_FREE] = ORDER_ENDLESS_LOG2,        [REDUCE_CHAIN] = ORDER_CHAIN_LOG2};
    SN_ASSERT(order < REDUCE_ORDER_COUNT);
    return chunks[order];
}

/* The dtype in which the totals of a scan's chunks add up. */
static inline sn_dtype order_chunk_sums(sn_dtype dtype) {
    return dtype == SN_F32 ? SN_F64 : dtype;
}

/* Accumulators of a chunk. */
static inline uint8_t order_lanes(ReduceOrder order) {
    return order == REDUCE_ROW ? ORDER_LANES : 1;
}

#endif
