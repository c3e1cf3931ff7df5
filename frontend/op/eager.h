/* Eager ops: run at once, each through the same passes as compiled functions. */
#ifndef SN_FRONTEND_OP_EAGER_H
#define SN_FRONTEND_OP_EAGER_H

#include "frontend/tensor/tensor.h"

/* The dtype in which operands meet: weak scalars are converted to it before the op. */
sn_dtype eager_weak_dtype(OpCode op, sn_tensor *const *inputs, int32_t n_inputs);
/* Runs one op now. With `target`, the result is written into it and returned. */
sn_tensor *eager_op(OpCode op, sn_tensor *const *inputs, int32_t n_inputs, const AttrList *attrs,
                    sn_rng *generator, sn_tensor *target, Site site);
sn_tensor *eager_view(OpCode op, sn_tensor *x, const AttrList *attrs, Site site);
/* Runs a graph node by node on real inputs; outputs (one a graph output that writes no input) are
 * handles of the current scope, dense. */
sn_status eager_graph(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                      sn_error *error);

#endif
