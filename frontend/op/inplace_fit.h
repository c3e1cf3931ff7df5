/* In-place forms: the value of an op as it will lie in the tensor that is written. */
#ifndef SN_FRONTEND_OP_INPLACE_FIT_H
#define SN_FRONTEND_OP_INPLACE_FIT_H

#include "frontend/tensor/tensor.h"
#include "ir/graph/build.h"

/* Is the in-place form copy_, which is no row of the op table? It has a target and a source, which it
 * broadcasts and converts. */
static inline bool inplace_copies(OpCode op) {
    return op == OP_CLONE;
}
/* Name of an op's in-place form, without its underscore. */
static inline const char *inplace_name(OpCode op) {
    return inplace_copies(op) ? "copy" : op_info[op].name;
}
/* `value` in the dtype and dims of what an in-place op writes; NODE_NONE with the error set if it does
 * not fit. */
NodeId graph_fit(GraphBuilder *b, NodeId value, const TensorType *wanted, OpCode op);

#endif
