/* Workloads: a model with the sizes and the values of its inputs, under a name. */
#ifndef SINTER_WORKLOADS_H
#define SINTER_WORKLOADS_H

#include "sinter_models.h"

enum { MOST_INPUTS = 1 + RESNET_WEIGHTS };

/* Tensors of one workload, retained, in the order of the model's arguments. */
typedef struct Inputs {
    sn_tensor *tensors[MOST_INPUTS]; /* see sinter_models.h */
    int32_t count;                   /* how many */
} Inputs;

/* What goes into a tensor. */
typedef enum Fill {
    FILL_NORMAL,  /* scale times normal numbers */
    FILL_UNIFORM, /* uniform in -scale … scale */
    FILL_INDEX,   /* i64, uniform in 0 … scale - 1 */
    FILL_ONE,     /* ones */
    FILL_ZERO,    /* zeros */
    FILL_CAUSAL   /* -inf above the diagonal, else 0 */
} Fill;

/* One input. */
typedef struct InputSpec {
    Fill fill;       /* values */
    double scale;    /* see Fill */
    int32_t rank;    /* of the tensor */
    int64_t dims[4]; /* of the tensor */
} InputSpec;

typedef struct Workload {
    const char *name;   /* as PyTorch's side of the comparison has it */
    const char *about;  /* one line for --list */
    const Model *model; /* what is run */
    int32_t (*specify)(const int64_t *sizes, InputSpec *specs); /* fills specs; returns how many */
    int64_t sizes[4];                                           /* for specify */
} Workload;

extern const Workload workloads[];
extern const int32_t workload_count;

/* The workload of that name, or NULL. */
const Workload *workload_find(const char *name);
/* The only one whose name begins so, or NULL. */
const Workload *workload_begins(const char *name);
/* Makes its inputs: with random values of a fixed seed, or all zero, which costs no kernel. False and
 * the thread's error on failure. */
bool inputs_make(const Workload *workload, bool zero, Inputs *inputs);
void inputs_release(Inputs *inputs);
/* Compiles the workload whose name this is, or begins, for a subcommand, calls it once on zeros, and has its
 * kernels timed in so many runs. An exit status; what was wrong is said. */
int workload_open(const char *command, const char *name, sn_numerics numerics, int32_t timed,
                  sn_compiled **compiled);
/* A compiled handle of its model; NULL and the thread's error on failure. */
sn_compiled *workload_compile(const Workload *workload, sn_numerics numerics);

#endif
