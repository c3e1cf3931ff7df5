/* The values of a call with proxies in the place of its tensors, wherever they stand: as such, in
 * arrays, in described structs. */
#ifndef SN_FRONTEND_CALL_SUBSTITUTED_H
#define SN_FRONTEND_CALL_SUBSTITUTED_H

#include "frontend/compiled/arguments.h"

typedef struct Substituted {
    sn_value values[SIGNATURE_MOST_PARAMS]; /* for the function */
    char *structs[SIGNATURE_MOST_PARAMS];   /* described structs: the function's copy, and behind it
                                                * one to see that it was not written */
} Substituted;

/* Replaces the tensors by `tensors`, in the same order, which t* point to; what is allocated belongs
 * to the trace. False with the error raised when out of memory. */
bool substituted_make(const sn_compiled *compiled, Trace *trace, const CallArgs *args,
                      sn_tensor *const *tensors, Substituted *substituted);
/* Refuses a function that wrote into a described struct. */
sn_status substituted_check(const sn_compiled *compiled, const Substituted *substituted);

#endif
