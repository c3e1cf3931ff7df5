/* Errors in data, in words: kernels say that an index was out of range; which one, and where it stands, is
 * looked for afterwards. */
#ifndef SN_FRONTEND_OP_DATA_ERROR_H
#define SN_FRONTEND_OP_DATA_ERROR_H

#include "frontend/tensor/tensor.h"

/* Sets "embedding: index[3] is 7, out of range for an axis of size 4", and returns false, where an op that
 * can fail on data has such an index: a tensor with memory, or a scalar. `x` is the type of its first
 * operand. */
bool data_error_look(AttrView attrs, const TensorType *x, const sn_tensor *index, sn_error *error);
/* The same for a call that failed, in place of what the error says. */
void data_error_name(const OpCall *call, sn_error *error);

#endif
