/* Eager ops: an op that runs at once, as a graph of this one op through the same passes and code
 * generation as compiled functions. */
#ifndef SN_FRONTEND_OP_EAGER_H
#define SN_FRONTEND_OP_EAGER_H

#include "frontend/tensor/tensor.h"
#include "runtime/executable.h"

/* What ops do on a thread without a recorder, or with one that has ended; the functions ignore it. */
extern const OpTable eager_ops;

/* The table's functions. */
sn_tensor *eager_op(Recorder *none, const OpCall *call);
sn_tensor *eager_view(Recorder *none, const OpCall *call);
sn_tensor *eager_inplace(Recorder *none, const OpCall *call);

/* A dense copy; a scalar becomes a tensor. NULL with the error raised. */
sn_tensor *eager_clone(sn_tensor *x, Site site);

/* ---- plans (frontend/op/eager_plan.c) -------------------------------------------------------- */

/* An eager call on its way to a plan. */
typedef struct EagerCall {
    OpCall call;                      /* operands that overlap a target in part were copied */
    sn_tensor *target;                /* what the result is written into; NULL: a new tensor */
    sn_dtype weak_dtype;              /* in which operands meet, if one is weak */
    uint64_t scalars[OP_MOST_PARAMS]; /* numbers (d~) that no plan depends on */
    int32_t n_scalars;                /* how many */
    AttrList general; /* the attributes with scalars in the places of these numbers */
} EagerCall;

/* What runs the call, with a reference, and the type of its result. Equal calls of a thread find what the
 * first one made. */
sn_status eager_plan(EagerCall *call, Executable **out, TensorType *result, sn_error *error);

#endif
