/* Inference: what an op makes of the types of its operands. */
#ifndef SN_IR_INFER_INFER_H
#define SN_IR_INFER_INFER_H

#include "ir/op/type.h"

#include <sinter/error.h>

/* Result type of an op, attributes normalised in place; on an error neither means anything. An absent
 * input has rank RANK_ABSENT. The error's text begins with the op's name:
 * "matmul: inner sizes differ: x is f32[32,768], w is f32[512,3072]". */
sn_status op_infer(DimTable *table, OpCode op, const TensorType *inputs, int32_t n_inputs,
                   AttrList *attrs, TensorType *result, sn_error *error);

/* In which dtype a scalar or a 0-d tensor of dtype `own` takes part in the op, whose operands meet in `meet`:
 * in the type of the arithmetic beside a half type, exactly beside narrower integers. A comparison rounds,
 * so that x == 0.1 finds what was set to 0.1. */
sn_dtype op_scalar_dtype(OpCode op, sn_dtype meet, sn_dtype own);
/* Must operand i be of integers, which are positions? */
bool op_takes_index(OpCode op, int32_t i);

#endif
