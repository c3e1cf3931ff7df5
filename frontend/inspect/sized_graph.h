/* A graph with what its sizes come to: those of an instance, or those at hand when it was made. */
#ifndef SN_FRONTEND_INSPECT_SIZED_GRAPH_H
#define SN_FRONTEND_INSPECT_SIZED_GRAPH_H

#include "frontend/graphs/instance.h"
#include "frontend/tensor/tensor.h"

typedef struct SizedGraph {
    const Graph *graph; /* as recorded, or with expressions */
    int64_t *values;    /* of them; NULL: those at hand when it was made */
} SizedGraph;

/* The graph of an instance, which is kept by the caller; false when out of memory. */
bool sized_open(const GraphInstance *instance, SizedGraph *sized);
void sized_close(SizedGraph *sized);
/* The type of a node at these sizes. */
TensorType sized_type(const SizedGraph *sized, NodeId id);
/* Is it a tensor with memory, of the dtype, dims and strides of this input of the graph? */
bool sized_fits(const SizedGraph *sized, uint32_t input, const sn_tensor *tensor);

#endif
