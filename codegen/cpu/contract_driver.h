/* What the files of contractions share: the loops around tiles (contract.c), calls of parts
 * (contract_call.c), the packing of columns (contract_pack.c) and the tiles (contract_tile.c). */
#ifndef SN_CODEGEN_CPU_CONTRACT_DRIVER_H
#define SN_CODEGEN_CPU_CONTRACT_DRIVER_H

#include "codegen/cpu/contract.h"

/* One function being emitted. Packed columns are panels one after the other, each the steps of a chunk of K,
 * each of these the columns of a tile. */
typedef struct Driver {
    Emit *e;                     /* of the whole */
    const KContract *contract;   /* its loops and values */
    sn_dtype dtype;              /* of the chain */
    int32_t lanes, panel, group; /* elements: of a vector, of a step of a panel, of a group's */
    int32_t row;                 /* elements from one packed row to the next */
    LLVMValueRef parts[CONTRACT_PARTS]; /* functions, each a KernelFn */
    LLVMValueRef args, params;          /* what they are called with */
    LLVMValueRef packed;                /* all columns, where the caller packed them; else null */
    LLVMValueRef rows, columns, sums;   /* memory: packed ones, and the chunks' sums so far */
    LLVMValueRef points, line;          /* of the grid, of its innermost dimension */
    LLVMValueRef innermost;             /* that dimension's number */
    LLVMValueRef most;                  /* rows that may share columns */
    bool across, along; /* the next column, or step of K, is memory's next element */
} Driver;

/* Rows of one line that share columns. */
typedef struct Run {
    LLVMValueRef point;   /* the first one's */
    LLVMValueRef place;   /* in its line */
    LLVMValueRef rows;    /* how many */
    LLVMValueRef columns; /* elements from the columns' argument's beginning to the first point's */
} Run;

/* A group of columns in a chunk of K. */
typedef struct Group {
    LLVMValueRef first, width; /* columns; fewer than a group has where there are no more */
    LLVMValueRef chunk, steps; /* of K */
    LLVMValueRef is_first;     /* i1: no chunk came before */
    LLVMValueRef direct;       /* so many of its columns are read where they lie */
    LLVMValueRef panels;       /* the others' memory, counted from the group's first */
} Group;

/* What a part is called for. NULL: nothing of the part. */
typedef struct PartCall {
    ContractPart part;
    LLVMValueRef memory;                /* of its argument, at the first point */
    LLVMValueRef place;                 /* of that point in its line */
    LLVMValueRef point, points;         /* of the grid: the first, how many */
    LLVMValueRef first_column, columns; /* see CONTRACT_FIRST_COLUMN */
    LLVMValueRef first_k, steps;        /* see CONTRACT_FIRST_K */
} PartCall;

/* Room for the parts' arguments and words, with those of the call in it: once, before any contract_call. */
void contract_prepare(Driver *d);
void contract_call(const Driver *d, const PartCall *call);

static inline LLVMTypeRef contract_element(const Driver *d) {
    return d->dtype == SN_F64 ? d->e->f64 : d->e->f32;
}
/* Element base + offset of memory. */
static inline LLVMValueRef contract_at(const Driver *d, LLVMValueRef memory, LLVMValueRef base,
                                       int64_t offset) {
    Emit *e = d->e;
    LLVMValueRef place = LLVMBuildAdd(e->b, base, const_i64(e, offset), "");
    return LLVMBuildGEP2(e->b, contract_element(d), memory, &place, 1, "");
}
/* A vector there, which may lie anywhere. */
static inline LLVMValueRef contract_load(const Driver *d, LLVMValueRef memory) {
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMValueRef x = LLVMBuildLoad2(d->e->b, vector, memory, "");
    LLVMSetAlignment(x, (unsigned)sn_dtype_size(d->dtype));
    return x;
}
static inline LLVMValueRef contract_least(Emit *e, LLVMValueRef x, LLVMValueRef y) {
    return emit_select(e, LLVMBuildICmp(e->b, LLVMIntSLT, x, y, ""), x, y);
}

/* The columns' operand as memory: elements from column to column and from step to step of K, and where it
 * lies so many columns into the group. */
KCoef contract_column_step(const Driver *d);
KCoef contract_k_step(const Driver *d);
LLVMValueRef contract_locate(const Driver *d, const Run *run, const Group *group,
                             LLVMValueRef column);

/* Makes the group's columns readable in panels, but for those that are read where they lie. Fills `direct`
 * and `panels`. */
void contract_pack(const Driver *d, const Run *run, Group *group);
/* The chains of a group's columns and a run's rows for a chunk of K, added to the sums. */
void contract_tiles(const Driver *d, const Run *run, const Group *group);

#endif
