/* The one way into an op: checks, then the eager run or the trace's record. Called by the generated
 * functions of ops.h. */
#ifndef SN_FRONTEND_OP_DISPATCH_H
#define SN_FRONTEND_OP_DISPATCH_H

#include "frontend/tensor/tensor.h"

#include <sinter/ops.h>

/* Result of an op; NULL with the thread's error. Inputs in signature order, without the generator. */
sn_tensor *dispatch_op(OpCode op, sn_tensor *const *inputs, int32_t n_inputs, const AttrList *attrs,
                       sn_rng *generator, Site site);
/* inputs[0] = op(inputs…), converted to its dtype; returns inputs[0], or NULL with the thread's error. */
sn_tensor *dispatch_inplace(OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                            const AttrList *attrs, sn_rng *generator, Site site);
/* An op of one operand and one attribute, which is a list, for entry points that are not generated. NULL
 * with the thread's error. */
sn_tensor *dispatch_list(OpCode op, sn_tensor *x, const int64_t *list, int32_t count, Site site);

#endif
