/* The structure of a kernel: its loops as a tree, the loop of every instruction, the reductions of
 * every loop and the order that each is carried out in (ir/op/order.h). The one analysis behind
 * interpreter and code generators, which add what is theirs. The kernel is one that the verifier took. */
#ifndef SN_IR_KERNEL_LOOPS_H
#define SN_IR_KERNEL_LOOPS_H

#include "base/arena.h"
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"

#define KLOOP_NONE UINT32_MAX /* item level, outside all loops */

typedef enum KReductionKind {
    KREDUCTION_MERGE, /* any order gives the same bits: integers, bool, extremes */
    KREDUCTION_TREE,  /* sums and products of floats: chunks of lanes, merged in the tree */
    KREDUCTION_CHAIN, /* sums of products: chunks of fused multiply-adds, added up from the left */
    KREDUCTION_BEST,  /* ARGMAX, ARGMIN: the index of the best value */
    KREDUCTION_SCAN   /* SCAN_SUM: a value in every trip */
} KReductionKind;

/* A REDUCE or SCAN instruction. */
typedef struct KReduction {
    KValue inst;     /* the instruction */
    uint32_t loop;   /* the loop it reduces, in KLoops.loops */
    uint16_t merge;  /* OpCode: ADD, MUL, MAXIMUM, MINIMUM; BEST: the comparison, GT or LT */
    uint8_t kind;    /* KReductionKind */
    uint8_t dtype;   /* sn_dtype of the values reduced */
    uint8_t start;   /* KStart of an accumulator */
    uint8_t chunk;   /* log2 of a chunk's elements; ORDER_ENDLESS_LOG2 but for TREE and CHAIN */
    uint8_t lanes;   /* accumulators of a chunk: 1, or ORDER_LANES */
    bool is_largest; /* MERGE of extremes, BEST: the larger value wins */
} KReduction;

typedef struct KLoop {
    uint32_t begin;           /* its LOOP instruction */
    uint32_t end;             /* its END */
    uint32_t parent;          /* the loop around it, in KLoops.loops; KLOOP_NONE at item level */
    uint32_t axis;            /* the axis it runs over */
    uint32_t vector_loop;     /* itself or the loop around it that is `vector`; or KLOOP_NONE */
    uint32_t first_reduction; /* in KLoops.reductions */
    uint32_t n_reductions;    /* directly in this loop */
    bool vector;              /* a vector loop whose trips may run at the same time */
    bool nested;              /* holds other loops */
    bool stores;              /* holds a STORE, however deep */
} KLoop;

typedef struct KLoops {
    KLoop *loops;           /* in program order: a loop before those inside */
    KReduction *reductions; /* loop by loop */
    uint32_t *loop_of;     /* by instruction: the innermost loop; of LOOP and END the loop itself */
    uint32_t n_loops;      /* loops in the kernel */
    uint32_t n_reductions; /* reductions in the kernel */
    int32_t split_axis;    /* the axis cut in blocks, or -1 */
} KLoops;

/* Fills `loops`, with arrays of the arena. False when out of memory. */
bool kernel_loops(const Kernel *kernel, Arena *arena, KLoops *loops);

/* The vector loop that an instruction stands in; NULL for none. */
const KLoop *vector_loop_of(const KLoops *loops, uint32_t inst);
/* Reduction `i` of those directly in the loop. */
const KReduction *loop_reduction(const KLoops *loops, const KLoop *loop, uint32_t i);
/* Number of the reduction of a REDUCE or SCAN instruction, among those directly in its loop. */
uint32_t loop_reduction_number(const KLoops *loops, const KLoop *loop, KValue inst);
/* Bits of what an accumulator starts at. */
uint64_t reduction_start(const KReduction *reduction);

#endif
