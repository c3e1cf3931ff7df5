/* Contractions: kernels whose one loop over K holds a chain of products, inside the vector loop over
 * columns. Which of their operands rows share, and whether that is memory as it is. */
#ifndef SN_IR_KERNEL_CONTRACT_H
#define SN_IR_KERNEL_CONTRACT_H

#include "ir/kernel/spread.h"

/* K as an operand sees it: in segments, as the inner sizes of a convolution make it, where all that the
 * operand divides is K, by one number. Of `number` and `within` one may be missing; without a divisor it is
 * not so, and all three are KVALUE_NONE. */
typedef struct KSegments {
    KValue number;  /* of the segment: K / divisor */
    KValue within;  /* the step in it: K mod divisor */
    KValue divisor; /* steps of a segment, a PARAM */
} KSegments;
#define KSEGMENTS_NONE                                                                             \
    { KVALUE_NONE, KVALUE_NONE, KVALUE_NONE }

/* The rows' operand where it is memory, or a value for all that lies outside of it, and from step to step of
 * K, or of a segment where K is in segments, the next element: at which place, and whether inside, hangs on
 * none of these steps. */
typedef struct KPlaced {
    const KAccess *access; /* NULL: not so */
    KValue inside;         /* the condition for memory; KVALUE_NONE: always */
    KValue outside;        /* else this, a PARAM or CONST */
    bool evenly;           /* always memory, and as far from segment to segment for all rows */
} KPlaced;

/* The loops and values of such a kernel. */
typedef struct KContract {
    uint32_t columns;     /* the loop over columns, in KLoops.loops */
    uint32_t inner;       /* the loop over K in it */
    uint32_t column_axis; /* the axes that they run over */
    uint32_t k_axis;
    KValue chain;       /* the REDUCE_FMA */
    KValue row, column; /* its operands: the one that columns share, the other */
    KSegments row_segments, column_segments; /* of these */
    /* Accesses of the operands where they are memory as it is, at an address that hangs on nothing but
     * column and K, each in one term, and no predicate; else NULL. */
    const KAccess *plain_row, *plain;
    /* The same of the columns with K in segments: in a term each of number and step. */
    const KAccess *segmented;
    KPlaced placed; /* rows */
} KContract;

/* Is the kernel one? Not, either, where memory ran out; the arena is for the time of the call. */
bool kernel_contract(const Kernel *kernel, const KLoops *loops, const KSpread *spread, Arena *arena,
                     KContract *contract);
/* Fills in, by instruction of the loop over K, what may differ from step to step: of a segment, if K is in
 * such. */
void kcontract_find_turns(const Kernel *kernel, const KLoop *inner, const KSegments *segments,
                          bool *turns);
/* Elements from segment to segment, or from step to step of one, where the access has such a term or none. */
KCoef kcontract_digit_step(const Kernel *kernel, const KAccess *access, KValue digit);
/* Elements from step to step of an axis, where the access has one term of it or none. */
KCoef kcontract_step(const Kernel *kernel, const KAccess *access, uint32_t axis);

/* The columns' operand where that is memory, with K in segments or not; else NULL. */
static inline const KAccess *kcontract_columns(const KContract *contract) {
    return contract->plain ? contract->plain : contract->segmented;
}
/* Columns that are packed side by side, a panel, for vectors of so many bits. */
static inline int32_t kcontract_panel(sn_dtype dtype, int32_t vector_bits) {
    return KCHAIN_PANEL_VECTORS * (vector_bits / 8 / (int32_t)sn_dtype_size(dtype));
}

#endif
