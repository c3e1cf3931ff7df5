/* Contractions: kernels whose one loop over K holds a chain of products, inside the vector loop over
 * columns. Which of their operands rows share, and whether that is memory as it is. */
#ifndef SN_IR_KERNEL_CONTRACT_H
#define SN_IR_KERNEL_CONTRACT_H

#include "ir/kernel/spread.h"

/* The loops and values of such a kernel. */
typedef struct KContract {
    uint32_t columns;     /* the loop over columns, in KLoops.loops */
    uint32_t inner;       /* the loop over K in it */
    uint32_t column_axis; /* the axes that they run over */
    uint32_t k_axis;
    KValue chain;       /* the REDUCE_FMA */
    KValue row, column; /* its operands: the one that columns share, the other */
    /* Accesses of the operands where they are memory as it is, at an address that hangs on nothing but
     * column and K, each in one term; else NULL. */
    const KAccess *plain_row, *plain;
} KContract;

/* Is the kernel one? */
bool kernel_contract(const Kernel *kernel, const KLoops *loops, const KSpread *spread,
                     KContract *contract);
/* Elements from step to step of an axis, where the access has one term of it or none. */
KCoef kcontract_step(const Kernel *kernel, const KAccess *access, uint32_t axis);

/* Columns that are packed side by side, a panel, for vectors of so many bits. */
static inline int32_t kcontract_panel(sn_dtype dtype, int32_t vector_bits) {
    return KCHAIN_PANEL_VECTORS * (vector_bits / 8 / (int32_t)sn_dtype_size(dtype));
}

#endif
