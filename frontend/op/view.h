/* Views of memory: what a view op makes of its operand's layout. The same numbers hold for real tensors
 * and for proxies, so that compiled results have eager's strides. */
#ifndef SN_FRONTEND_OP_VIEW_H
#define SN_FRONTEND_OP_VIEW_H

#include "frontend/tensor/tensor.h"

typedef struct View {
    OpCode op;                    /* the view op */
    AttrList attrs;               /* its attributes, normalised */
    TensorType input;             /* of the operand */
    TensorType type;              /* of the result */
    int64_t strides[SN_MAX_RANK]; /* of the result, in elements */
    int64_t offset;               /* of the result, in elements from the storage's start */
} View;

/* Attributes and type of the result; false with the error raised. */
bool view_infer(View *view, const OpCall *call, const sn_tensor *x);
/* Strides and offset of the view of x, or of a copy of it; false for a reshape that needs one. */
bool view_place(View *view, const sn_tensor *x);

#endif
