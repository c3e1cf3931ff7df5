/* Contractions (ir/kernel/contract.h) run as matrix products do: rows and columns are packed, a tile of
 * results stays in registers for a chunk of K, and what follows the loop over K is done row by row on the
 * sums. Chains keep their order, so no bit changes. */
#ifndef SN_CODEGEN_CPU_CONTRACT_H
#define SN_CODEGEN_CPU_CONTRACT_H

#include "codegen/cpu/emit.h"
#include "ir/kernel/contract.h"

/* The pieces that a contraction consists of, as kernels over its grid points. Each has the arguments of the
 * whole and one more, or two where values are hoisted, which the second one holds; and CONTRACT_PARAMS
 * parameters more. */
typedef enum ContractPart {
    PART_PLACES, /* rows: where the first step of K lies, an address that is stored to the argument, i64 */
    PART_ROWS,    /* rows × K: operand `row`, stored to the argument */
    PART_COLUMNS, /* K × columns of a panel: operand `column`, stored to the argument */
    PART_HOISTED, /* values of columns that all rows share, stored to the argument */
    PART_RESULTS, /* what follows the loop over K, with the sums read from the argument */
    CONTRACT_PARTS
} ContractPart;

/* Parameters of a part, behind those of the whole. */
enum {
    CONTRACT_FIRST_COLUMN, /* columns are counted from here … */
    CONTRACT_COLUMNS,      /* … and are so many */
    CONTRACT_FIRST_K,      /* the same for K */
    CONTRACT_K,
    CONTRACT_PANEL, /* elements from one step of K of packed columns to the next */
    CONTRACT_SEGMENT, /* of K in segments, which are asked for one by one: the number of this one … */
    CONTRACT_WITHIN, /* … and the step in it that is the first */
    CONTRACT_OUTSIDE, /* the address of what rows are outside of memory, as often as a chunk has steps */
    CONTRACT_PARAMS
};

/* Values of the results that hang on nothing but the column, computed once for all rows of a run. */
enum { HOISTED_MOST = KCHAIN_HOISTED };
typedef struct Hoisted {
    KValue values[HOISTED_MOST]; /* instructions of the whole */
    uint32_t count;              /* how many */
    int64_t apart;               /* elements from one value's columns to the next one's */
} Hoisted;
/* Finds them. False when out of memory; the arena is for the time of the call. */
bool contract_hoist(const Kernel *kernel, const KLoops *loops, const KContract *contract,
                    Arena *arena, Hoisted *hoisted);

/* The segments of K in which a part is asked for; without a divisor: in one. */
KSegments contract_segments(const KContract *contract, ContractPart part);
/* Makes a part; an empty kernel goes in, for kernel_free. */
sn_status contract_part(const Emit *e, const KContract *contract, const Hoisted *hoisted,
                        ContractPart part, Kernel *kernel);

/* Emits the whole function into e->module. */
sn_status emit_contract(Emit *e, const KContract *contract, const char *name);

#endif
