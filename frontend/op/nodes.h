/* A recorded graph run node by node: each op at once, as eager would have run it. */
#ifndef SN_FRONTEND_OP_NODES_H
#define SN_FRONTEND_OP_NODES_H

#include "frontend/tensor/tensor.h"

/* `inputs`: real tensors by graph input. `outputs` receives one dense handle of the current scope for each
 * graph output that writes no input; NULL: none are wanted, and the graph has none. Inputs are written
 * after all values were computed: either all or, after an error, none. No recorder notices. */
sn_status nodes_run(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                    sn_error *error);
/* Names the index in an error in data of a run of the graph: what the indices of the op are made of is
 * computed again. The error stays as it is where that needs what the run has written over. */
void nodes_name_error(const Graph *graph, sn_tensor *const *inputs, sn_error *error);

#endif
