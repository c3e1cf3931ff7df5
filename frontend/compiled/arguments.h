/* The arguments of a call: its tensors and generators, found wherever they stand. */
#ifndef SN_FRONTEND_COMPILED_ARGUMENTS_H
#define SN_FRONTEND_COMPILED_ARGUMENTS_H

#include "frontend/compiled/handle.h"
#include "frontend/tensor/tensor.h"

#include <sinter/binding.h>

/* The arguments of one call, flattened. */
typedef struct CallArgs {
    sn_tensor *tensors[SIGNATURE_MOST_TENSORS]; /* SN_NONE where absent */
    int32_t n_tensors;                          /* in use */
    sn_rng *generators[SIGNATURE_MOST_PARAMS];  /* r */
    int32_t n_generators;                       /* in use */
    const sn_value *values;                     /* one a parameter */
} CallArgs;

/* Finds all tensors and generators. Errors, raised, carry the function's name and the line where it
 * was compiled: a call through a function pointer has none. */
bool arguments_flatten(const sn_compiled *compiled, const sn_value *values, CallArgs *args);
/* Do the sizes keep to what was declared of them? Raises. */
bool arguments_check_dims(const sn_compiled *compiled, const CallArgs *args);

#endif
