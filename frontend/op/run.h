/* The memory of one run of an executable: addresses of its inputs, results, and what inputs that are no
 * tensors point to. Made on the stack; many inputs or results take a block from the heap. */
#ifndef SN_FRONTEND_OP_RUN_H
#define SN_FRONTEND_OP_RUN_H

#include "base/assert.h"
#include "base/mem.h"
#include "frontend/tensor/tensor.h"
#include "runtime/executable.h"

enum { RUN_FEW = 16 };

/* What an input that is no tensor points to: a scalar's bytes, or a generator's seed and counter. */
typedef int64_t RunWords[2];

typedef struct RunMemory {
    RunInput *inputs;  /* by graph input */
    RunWords *words;   /* memory of inputs that are no tensors, by graph input */
    Storage **results; /* by number; one reference to each */
    void **outputs;    /* their addresses */
    int32_t n_results; /* made so far */
    void *block;       /* allocation behind all these when there are many; NULL: the following */
    RunInput few_inputs[RUN_FEW];
    RunWords few_words[RUN_FEW];
    Storage *few_results[RUN_FEW];
    void *few_outputs[RUN_FEW];
} RunMemory;

/* What run_open does for many: takes a block. */
bool run_open_many(RunMemory *m, uint32_t n_inputs, uint32_t n_results);
/* Room for so many inputs and results; false when out of memory. */
static inline bool run_open(RunMemory *m, uint32_t n_inputs, uint32_t n_results) {
    m->inputs = m->few_inputs;
    m->words = m->few_words;
    m->results = m->few_results;
    m->outputs = m->few_outputs;
    m->n_results = 0;
    m->block = NULL;
    return (n_inputs <= RUN_FEW && n_results <= RUN_FEW) || run_open_many(m, n_inputs, n_results);
}
/* Lets go of the results and of the block, also where run_open failed. */
static inline void run_close(RunMemory *m) {
    for (int32_t i = 0; i < m->n_results; i++) storage_release(m->results[i]);
    if (m->block) mem_free(m->block);
}

static inline void run_set_tensor(RunMemory *m, uint32_t input, const sn_tensor *tensor) {
    m->inputs[input] = (RunInput){tensor_data(tensor), tensor->storage};
}
/* The generator's state as it is now. */
static inline void run_set_generator(RunMemory *m, uint32_t input, const sn_rng *state) {
    m->words[input][0] = (int64_t)state->seed;
    m->words[input][1] = (int64_t)state->counter;
    m->inputs[input] = (RunInput){m->words[input], NULL};
}
/* A weak scalar's value in the dtype in which it takes part. */
void run_set_scalar(RunMemory *m, uint32_t input, sn_dtype dtype, uint64_t bits);

/* Memory of all results of the executable. An error is of the op whose result could not be had, at its
 * line. */
sn_status run_make_results(RunMemory *m, const Executable *executable, sn_error *error);
/* The only result, with its reference. */
static inline Storage *run_take_result(RunMemory *m) {
    SN_ASSERT(m->n_results == 1);
    m->n_results = 0;
    return m->results[0];
}
/* Runs it on this memory. An error is of the op that met it, at its line. One in data is SN_ERROR_INDEX;
 * inputs were not written then. */
sn_status run_launch(RunMemory *m, const Executable *executable, sn_error *error);

#endif
