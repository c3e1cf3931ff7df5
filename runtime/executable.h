/* Executable: a program with its numbers, whose kernels are loaded. It is immutable and may be
 * run by any number of threads at once. */
#ifndef SN_RUNTIME_EXECUTABLE_H
#define SN_RUNTIME_EXECUTABLE_H

#include "ir/program.h"
#include "runtime/kernels/kernel_cache.h"
#include "runtime/storage.h"

typedef struct Executable Executable;

/* What a graph input is in a run. */
typedef struct RunInput {
    void *address;    /* of element 0 */
    Storage *storage; /* a tensor's; NULL: it is none */
} RunInput;

/* Counters of launches, process wide. */
typedef struct LaunchCounters {
    int64_t kernels; /* kernels launched */
} LaunchCounters;

/* Loads all kernels of the program, which it takes over on success. */
sn_status executable_build(Program *program, Executable **out, sn_error *error);
/* The same program for other values of the expressions and scalars: see program_bind. Kernels are
 * loaded already, but for one that is to write past the caches only now. */
sn_status executable_bind(Executable *base, const int64_t *values, const uint64_t *scalars,
                          Executable **out, sn_error *error);
Executable *executable_retain(Executable *executable);
void executable_release(Executable *executable);
const Program *executable_program(const Executable *executable);
/* The program's numbers, those of this binding. */
const int64_t *executable_numbers(const Executable *executable);
/* Size of a buffer of the program. */
size_t executable_buffer_bytes(const Executable *executable, uint32_t buffer);
/* From now on its first runs are timed, step by step. False where they are or were already, or memory is
 * out. */
bool executable_measure(Executable *executable);
/* Nanoseconds that a step took, the median of the timed runs so far; 0: of none. `runs` (may be NULL)
 * receives of how many. */
int64_t executable_step_ns(const Executable *executable, uint32_t step, int32_t *runs);
/* Does the step run on all threads of a run? */
bool executable_step_is_parallel(const Executable *executable, uint32_t step);
/* The loaded kernel of a step. */
const LoadedKernel *executable_kernel(const Executable *executable, uint32_t step);

/* So many bytes could not be had for a call in the program. */
sn_status executable_refuse_memory(Site call, size_t bytes, sn_error *error) __attribute__((cold));

/* Runs it. inputs: by graph input. outputs: memory for each OUTPUT buffer,
 * by number. *code receives the least data-error code, UINT64_MAX if none: then inputs were not
 * written. */
sn_status executable_run(const Executable *executable, const RunInput *inputs, void *const *outputs,
                         int32_t threads, uint64_t *code, sn_error *error);
void launch_counters(LaunchCounters *counters);

#endif
