/* Windows of convolutions and pools: how each axis is padded and cut, from the attributes of the op. */
#ifndef SN_IR_INFER_WINDOW_H
#define SN_IR_INFER_WINDOW_H

#include "ir/infer/view.h"
#include "ir/op/attr.h"

enum { WINDOW_MOST_AXES = 3 };

/* One axis. */
typedef struct WindowAxis {
    Dim size;               /* elements of the axis, without padding */
    Dim length;             /* of a window, in elements */
    int64_t step, dilation; /* elements from one window, or one element of it, to the next */
    int64_t padding;        /* elements in front of the axis, and behind it */
    Dim count;              /* windows */
    Dim behind; /* elements behind the axis that windows reach: fewer than `padding` where the last
                             * ones are in no window, more where they go on (ceil) */
} WindowAxis;

typedef struct Windows {
    int32_t axes;                      /* of windows, the last ones of the tensor: 1 to 3 */
    WindowAxis axis[WINDOW_MOST_AXES]; /* by these axes */
    bool padded;                       /* some window reaches beyond its axis */
} Windows;

/* Axes of the windows of a convolution or pool. */
int32_t window_axes(OpCode op);
/* The windows of a call that was inferred: its attributes, types of x and, of a convolution, of weight. */
void windows_of(DimTable *table, AttrView attrs, const TensorType *x, const TensorType *weight,
                Windows *windows);

#endif
