/* Updates: functional forms of writes, input 0 with some elements replaced. A row of one table says what an
 * update writes where (ir/infer/update.c); fusion, planning and lowering ask it. */
#ifndef SN_IR_INFER_UPDATE_H
#define SN_IR_INFER_UPDATE_H

#include "ir/infer/rule.h"
#include "ir/infer/view.h"

typedef struct UpdateRow {
    InferRule *check; /* what operands and attributes must be, beyond the dtype rule */
    int8_t space;     /* operand in whose shape it runs: one write for each of its elements */
    int8_t
        value; /* operand that is written; of another shape than `space`, at the same coordinates */
    int8_t index; /* operand with coordinates along the attribute `axis`; 0: there is none … */
    bool listed;  /* … it is a list of them, else of the shape of `space` */
    OpCode view;  /* index 0: the view op that names the written elements, by the same attributes */
    bool
        ordered; /* writes follow one another along `axis`: the last one wins, or all add up in order */
    bool adds; /* adds to the element instead of replacing it */
} UpdateRow;

/* The row of an update op. */
const UpdateRow *update_row(OpCode op);
/* The same, or NULL where the op is no update. */
const UpdateRow *update_row_if(OpCode op);
#endif
