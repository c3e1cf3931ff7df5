/* Inside the views (ir/infer/view.c, view_apply.c, ir/graph/view_graph.c): the row of a view op. */
#ifndef SN_IR_INFER_VIEW_ROW_H
#define SN_IR_INFER_VIEW_ROW_H

#include "ir/infer/rule.h"
#include "ir/infer/view.h"

/* What a row's functions work on. */
typedef struct ViewCase {
    DimTable *table;          /* of the dims; NULL: all are numbers */
    AttrView attrs;           /* normalised */
    const TensorType *input;  /* what is viewed */
    const TensorType *result; /* the view */
} ViewCase;

/* Strides as they are filled in. */
typedef struct ViewStrides {
    const int64_t *input; /* of the input */
    int64_t *result;      /* of the result */
} ViewStrides;

/* What undoes the view: how a write through it reaches the input. */
typedef enum ViewInverse {
    INVERSE_UNSAID,  /* of no row */
    INVERSE_RESHAPE, /* a reshape: only axes of size 1 come or go, or elements are regrouped */
    INVERSE_PERMUTE, /* a permute: axes change places */
    INVERSE_SELF,    /* the same op */
    INVERSE_SLICE,   /* the view is a part of the input, by starts and steps: put_slice writes it */
    INVERSE_UPDATE, /* it is another part: an update of its own writes it, by the same attributes */
    INVERSE_NONE    /* passes make the view, so that nothing is written through it */
} ViewInverse;

typedef struct ViewRow {
    /* The result's dims; checks and normalises the attributes. */
    InferRule *shape;
    /* Changes the identity, in which axis i of the input follows axis i of the result. */
    void (*map)(const ViewCase *c, ViewMap *map);
    /* (optional: 0) Strides of result axes that no axis of the input follows. False: needs a copy. */
    bool (*strides)(const ViewCase *c, const ViewStrides *s);
    bool basic;      /* stays behind decompose */
    uint8_t inverse; /* ViewInverse */
    OpCode update;   /* INVERSE_UPDATE: which */
} ViewRow;

extern const ViewRow view_rows[OP_COUNT];
/* The row of a view op. */
const ViewRow *view_row(OpCode op);

#endif
