/* Views: ops whose result names elements of its input by other coordinates. A row of one table says all
 * that is known of a view op (ir/infer/view.c); what there is to do with views follows from it:
 * coordinates in kernels, strides of memory, writes through a view, and simpler ops in its place. */
#ifndef SN_IR_INFER_VIEW_H
#define SN_IR_INFER_VIEW_H

#include "ir/op/type.h"

/* Where an axis of the input stands for the element of the result with given coordinates. */
typedef struct ViewAxis {
    Dim start;      /* coordinate for the result's first element */
    Dim step;       /* added with each step along axis `from` of the result */
    int32_t from;   /* that axis; -1: none, the coordinate is start */
    int32_t inner;  /* of windows, another such axis and 1 more; 0: there is none */
    Dim inner_step; /* added with each step along that */
} ViewAxis;

typedef struct ViewMap {
    bool regroups; /* reshape: the elements are the same in row-major order; axes mean nothing */
    int32_t rank;  /* axes of the input */
    ViewAxis axes[SN_MAX_RANK]; /* of the input */
} ViewMap;

/* Coordinates in the input from those in the result. `attrs` are normalised; those of an update that has
 * the attributes of a view op (see ir/infer/update.h) serve too. */
void view_map(DimTable *table, OpCode view, AttrView attrs, const TensorType *input,
              const TensorType *result, ViewMap *map);
/* Coordinates that are those of a tensor of this rank: where a chain of views begins. */
void view_identity(ViewMap *map, int32_t rank);
/* Puts one more view in front of a chain of views: `map` has coordinates in the view's result, and has those
 * in its input afterwards. False, and nothing changed, where an axis of the input does not follow one of the
 * result alone: elements are regrouped by more than axes of size 1, two follow one, or one follows two. */
bool view_compose(DimTable *table, AttrView view, const TensorType *input, const TensorType *result,
                  ViewMap *map);
/* Do axes change places? Then all of them stay: axis i of the result is order[i] of the input. */
bool view_reorders(const ViewMap *map, int64_t *order);

/* Is it one of the view ops that stay behind decompose? The others are put into these. */
bool view_is_basic(OpCode op);
/* Is the result a part of the input, so that a write through it leaves other elements? */
bool view_is_part(OpCode op);

/* Strides of the view, and its offset from the input's first element, of memory with these strides, in
 * elements. All sizes are numbers. False for a reshape that needs a copy. */
bool view_layout(AttrView attrs, const TensorType *input, const int64_t *input_strides,
                 const TensorType *result, int64_t *strides, int64_t *offset);

/* Does a reshape only split axes of the input, and let axes of size 1 come and go? It is a view then,
 * whatever the strides are. All sizes are numbers. */
bool reshape_splits(const TensorType *input, const TensorType *result);

/* Windows that an axis has, each of `length` elements `dilation` apart, from every step-th element on; the
 * axis is long enough for one. */
Dim windows_count(DimTable *table, Dim size, Dim length, int64_t step, int64_t dilation);

void dense_strides(const int64_t *dims, int32_t rank, int64_t *strides);

#endif
