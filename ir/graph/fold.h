/* The fold stage of graph_emit: rewrites that are exact in every bit, one small function an op. */
#ifndef SN_IR_GRAPH_FOLD_H
#define SN_IR_GRAPH_FOLD_H

#include "ir/graph/graph.h"

/* A node about to be appended: operands checked, attributes normalised, type inferred. */
typedef struct FoldCase {
    Graph *graph;             /* where it would go */
    OpCode op;                /* what it computes */
    int32_t n_inputs;         /* operands, absent ones included */
    const NodeId *inputs;     /* operands; not in graph->operands */
    const TensorType *types;  /* their types */
    const AttrList *attrs;    /* normalised attributes */
    const TensorType *result; /* its type */
    Site site;                /* its source line */
} FoldCase;

/* What is made of an op in its own way; NULL: nothing. */
typedef NodeId FoldFunction(const FoldCase *c);
extern FoldFunction *const fold_functions[OP_COUNT];

/* A node with the same value and type, found or made through graph_emit; NODE_NONE when there is
 * nothing simpler (or no memory for it). */
NodeId fold_node(const FoldCase *c);

#endif
