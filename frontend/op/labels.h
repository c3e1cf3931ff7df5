/* Tensors whose axes have labels, and what einsum and tensordot are made of: products of two of them, sums
 * and orders of axes. Labels are numbers below LABEL_MOST: a set of them is a word. */
#ifndef SN_FRONTEND_OP_LABELS_H
#define SN_FRONTEND_OP_LABELS_H

#include "frontend/op/dispatch.h"

enum { LABEL_MOST = 64 };

/* By number. */
typedef uint64_t LabelSet;
static inline LabelSet label_set(int32_t label) {
    return (LabelSet)1 << label;
}

typedef struct Labelled {
    sn_tensor *tensor;           /* NULL: there was an error, and so it is of what follows */
    uint8_t labels[SN_MAX_RANK]; /* of its axes, each once */
} Labelled;

LabelSet labelled_set(const Labelled *x);
/* Without the axes of labels in the set, which are summed. */
Labelled labelled_sum(const Labelled *x, LabelSet sums, Site site);
/* x · y, summed over `sums`, which both have, in ascending order. Axes of a label have one size, or 1.
 * `op` is who is called so by the program. */
Labelled labelled_product(const Labelled *x, const Labelled *y, LabelSet sums, const char *op,
                          Site site);
/* A view with the axes in this order, which names each. */
sn_tensor *labelled_order(const Labelled *x, const uint8_t *order, int32_t count, Site site);

#endif
