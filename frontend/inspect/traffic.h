/* What ops move through memory. */
#ifndef SN_FRONTEND_INSPECT_TRAFFIC_H
#define SN_FRONTEND_INSPECT_TRAFFIC_H

#include "ir/graph/graph.h"

/* Bytes that the ops of a graph without expressions move when each runs alone; 0 where memory is
 * out. */
int64_t unfused_bytes(const Graph *graph);

#endif
