/* How values and addresses differ between the trips of the vector loop they stand in, which become
 * lanes or threads: not at all, by a known step, or in any way. Values from outside the loop are the
 * same in all its trips. */
#ifndef SN_IR_KERNEL_SPREAD_H
#define SN_IR_KERNEL_SPREAD_H

#include "ir/kernel/loops.h"

typedef enum SpreadKind {
    SPREAD_UNIFORM, /* the same in all; also what stands in no vector loop */
    SPREAD_AFFINE,  /* i64: that of the first trip plus trip × step */
    SPREAD_VARYING  /* anything */
} SpreadKind;

typedef struct KSpread {
    int32_t step; /* AFFINE: difference between neighbouring trips; else 0 */
    uint8_t kind; /* SpreadKind */
} KSpread;

/* What the addresses of an access look like over the trips of a vector loop. */
typedef enum Pattern {
    PATTERN_UNIFORM,    /* one address */
    PATTERN_CONTIGUOUS, /* neighbours in memory */
    PATTERN_STRIDED,    /* a distance known before the loop */
    PATTERN_SCATTERED   /* any addresses */
} Pattern;

/* The spread of every instruction's value (of a STORE: of what it does), in an array of the arena; NULL
 * when out of memory. */
KSpread *kernel_spread(const Kernel *kernel, const KLoops *loops, Arena *arena);
/* The pattern of an access inside `loop`, a vector loop; NULL: outside all of them. */
Pattern kernel_pattern(const Kernel *kernel, const KSpread *spread, uint64_t access,
                       const KLoop *loop);

/* By instruction: may its value differ from item to item? It is made of grid indices, of memory, or of what
 * a loop merges. NULL when out of memory. */
bool *kernel_item_values(const Kernel *k, Arena *arena);

#endif
