/* The arguments of a call: its tensors and generators, found wherever they stand. */
#ifndef SN_FRONTEND_COMPILED_ARGUMENTS_H
#define SN_FRONTEND_COMPILED_ARGUMENTS_H

#include "frontend/compiled/handle.h"
#include "frontend/tensor/tensor.h"

#include <sinter/binding.h>

enum { ARGUMENTS_FEW = 16 };

/* What one argument has in common with those before it. */
typedef struct Sharing {
    uint32_t memory; /* 1 + the first that begins at the same element; 0: none */
    uint32_t handle; /* 1 + the first that is the same handle; 0: none */
} Sharing;

/* The arguments of one call, flattened. Arrays are in the frame where tensors are few. */
typedef struct CallArgs {
    sn_tensor **tensors; /* SN_NONE where absent */
    Sharing *sharing;    /* of each */
    int32_t n_tensors;   /* in use */
    int32_t most;        /* tensors for which there is room */
    bool apart;          /* none overlap but those that begin at the same element */
    void *block;         /* allocation behind the arrays, or NULL */
    sn_rng *generators[SIGNATURE_MOST_PARAMS]; /* r */
    int32_t n_generators;                      /* in use */
    const sn_value *values;                    /* one a parameter */
    sn_tensor *few[ARGUMENTS_FEW];             /* room for tensors … */
    Sharing few_sharing[ARGUMENTS_FEW];        /* … and sharing */
} CallArgs;

/* Finds all tensors and generators. Errors, raised, carry the function's name and the line where it
 * was compiled: a call through a function pointer has none. In any case the caller frees the block. */
bool arguments_flatten(const sn_compiled *compiled, const sn_value *values, CallArgs *args);
/* Fills `sharing` and `apart`. `table` has room for a power of two of at least twice the tensors; not
 * asked for where those are few (frontend/compiled/sharing.c). */
void arguments_share(CallArgs *args, uint32_t *table);
/* Do the sizes keep to what was declared of them? Raises. */
bool arguments_check_dims(const sn_compiled *compiled, const CallArgs *args);

#endif
