/* The compiled graphs of a function: what runs a recorded graph. */
#ifndef SN_FRONTEND_COMPILED_GRAPHS_H
#define SN_FRONTEND_COMPILED_GRAPHS_H

#include "frontend/compiled/instance.h"
#include "frontend/trace/trace.h"

enum { GRAPHS_MOST = 64 }; /* of a function, unless it says otherwise; then the oldest goes */

/* A dim of a tensor argument. */
typedef struct VaryingDim {
    int32_t argument; /* number of the tensor */
    int32_t axis;     /* of it */
} VaryingDim;

/* The function's compiled form of what the trace recorded: found, bound, generalised from two traces, or
 * compiled. A reference, or NULL with the error: the program cancelled or refused it, or memory is
 * out. */
GraphInstance *instance_get(sn_compiled *owner, const Trace *trace, sn_error *error);
/* Lets go of all graphs of the function. */
void graphs_release(sn_compiled *owner);

#endif
