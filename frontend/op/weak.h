/* Weak scalars (sn_c, sn_ci) as operands: in which dtype they take part, eager and recorded alike. */
#ifndef SN_FRONTEND_OP_WEAK_H
#define SN_FRONTEND_OP_WEAK_H

#include "frontend/tensor/tensor.h"

/* Does the op bring its operands to one dtype? In the others a scalar has to have its own before. */
bool weak_promotes(OpCode op);
/* The dtype in which operands meet: weak ones are converted to it. */
sn_dtype weak_dtype(const OpCall *call);
/* The dtype in which operand i, which is weak, takes part where the operands meet in `meet`: one in front of
 * those that are brought to one dtype (a condition) keeps its own, and so does an index. */
sn_dtype weak_operand_dtype(const OpCall *call, int32_t i, sn_dtype meet);
/* Its value in that dtype. */
uint64_t weak_operand_bits(const OpCall *call, int32_t i, sn_dtype dtype);

#endif
