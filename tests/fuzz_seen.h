/* All that one run of a program leaves behind, taken in so that an eager and a compiled run can be
 * compared: bits of results, layouts, shared memory, written inputs, errors, numbers drawn. */
#ifndef SN_TESTS_FUZZ_SEEN_H
#define SN_TESTS_FUZZ_SEEN_H

#include "tests/fuzz_program.h"
#include "tests/fuzz_verdict.h"

/* A result as it came back. */
typedef struct SeenOutput {
    sn_dtype dtype;               /* of its elements */
    int32_t rank;                 /* dims in use */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int32_t shares; /* block, or FUZZ_MOST_INPUTS + first result, whose memory it is */
    int64_t offset; /* in the block; from that result; 0 in other memory */
    char *data;     /* elements in row-major order */
    int64_t count;  /* how many */
} SeenOutput;

/* All that a run leaves behind. */
typedef struct Seen {
    sn_status status;                      /* of the call */
    int32_t line;                          /* of its error */
    char text[480];                        /* of its error */
    SeenOutput outputs[FUZZ_MOST_OUTPUTS]; /* results */
    int32_t n_outputs;                     /* how many came back */
    char *blocks[FUZZ_MOST_INPUTS];        /* memory of the inputs afterwards */
    sn_rng generator;                      /* afterwards */
} Seen;

/* Takes in the error, or else the results, and the inputs' memory, whose blocks begin `shift` elements
 * late; false when out of memory. */
bool seen_take(const FuzzProgram *program, Seen *seen, sn_tensor *const *outputs,
               sn_tensor *const *blocks, int64_t shift, const sn_rng *generator,
               const sn_error *error);
/* Copies that memory alone; each copy is to be freed with free(). */
bool seen_take_blocks(const FuzzProgram *program, sn_tensor *const *blocks, int64_t shift,
                      char **copies);
void seen_free(Seen *seen);
/* Position of the first element whose bits differ; -1. */
int64_t seen_first_difference(sn_dtype dtype, const char *a, const char *b, int64_t count);
/* `eager` and `compiled` must agree; `call` is for the words. */
FuzzVerdict seen_compare(const FuzzProgram *program, const Seen *eager, const Seen *compiled,
                         int32_t call);
/* A number of all bits, but of NaNs whatever they are; never 0. */
uint64_t seen_digest(const FuzzProgram *program, const Seen *seen);

#endif
