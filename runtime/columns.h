/* Which matrix a launch reads by columns, where that can be one of weights: see weights.h. */
#ifndef SN_RUNTIME_COLUMNS_H
#define SN_RUNTIME_COLUMNS_H

#include "ir/program.h"
#include "runtime/weights.h"

/* What holds for all sizes. */
typedef struct ColumnsArg {
    int32_t arg;                 /* of the kernel; -1: none can be packed beforehand */
    int32_t panel, size;         /* see Columns */
    KCoef columns, k;            /* sizes */
    KCoef column_step, k_step;   /* elements */
    KCoef segment, segment_step; /* of K in segments; the first is K itself where it is not */
} ColumnsArg;

/* What a launch does in a binding. */
typedef struct ColumnsUse {
    ColumnsArg arg;
    int32_t input; /* of the graph, whose memory the argument is; -1: no packed form is asked for */
    Columns columns; /* sizes and strides */
} ColumnsUse;

/* Looks at the kernel of a launch; false when out of memory. */
bool columns_find(const Kernel *kernel, ColumnsArg *arg);
/* Fills in what follows from the numbers, for a launch of a kernel with this argument. */
void columns_bind(const Program *program, const Launch *launch, const int64_t *numbers,
                  ColumnsUse *use);

#endif
