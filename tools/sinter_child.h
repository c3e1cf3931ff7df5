/* First calls in processes of their own: what a cold and what a warm start cost cannot be seen in the
 * process that measures, whose caches are full. */
#ifndef SINTER_CHILD_H
#define SINTER_CHILD_H

#include "sinter_workloads.h"

/* What first calls cost; negative where it could not be measured. */
typedef struct FirstCalls {
    double cold_compile_s; /* trace, passes and code generation, libLLVM loaded, caches empty */
    double llvm_load_s;    /* loading libLLVM */
    double warm_load_s; /* from main() to the first result, kernels on disk, inputs not counted */
    bool warm_without_llvm; /* libLLVM was not mapped in the warm process */
} FirstCalls;

/* Runs this program again, `times` times cold and warm each, with cache folders of its own; fills
 * medians. */
void measure_first_calls(const Workload *workload, sn_numerics numerics, int32_t threads,
                         int32_t times, FirstCalls *calls);

/* The other side: `kind` is "cold" or "warm". Prints a line that measure_first_calls reads; returns
 * the exit status. */
int run_child(const char *kind, const Workload *workload, sn_numerics numerics, double started);

#endif
