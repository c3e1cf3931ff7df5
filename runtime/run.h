/* Inside executables: what building (executable.c) and running (run.c, run_tiled.c) share. */
#ifndef SN_RUNTIME_RUN_H
#define SN_RUNTIME_RUN_H

#include "runtime/columns.h"
#include "runtime/executable.h"
#include "runtime/observe.h"
#include "runtime/step_times.h"

#include "base/assert.h"
#include "base/refs.h"
#include "ir/op/dtype.h"

#include <stdatomic.h>

/* What one step needs at run time. */
typedef struct Prepared {
    const LoadedKernel *kernel; /* its code */
    bool parallel;              /* worth more than one thread */
    ColumnsUse columns;         /* of a kernel with a chain */
} Prepared;

struct Executable {
    Refs refs;                  /* owners */
    Program program;            /* what it runs; empty in a binding */
    Executable *base;           /* a binding: whose program it runs; a reference is held */
    const int64_t *numbers;     /* the program's */
    Prepared *steps;            /* by step */
    _Atomic(StepTimes *) times; /* how long they took; NULL: nobody asked */
};

static inline const Program *executable_program_of(const Executable *e) {
    return e->base ? &e->base->program : &e->program;
}

/* State of one run. */
typedef struct Run {
    const Executable *e;    /* what runs */
    const Program *program; /* its program */
    const int64_t *numbers; /* its numbers */
    const RunInput *inputs; /* by graph input */
    char **memory;          /* by buffer */
    int32_t threads;        /* of a parallel step */
    char *scratch;          /* of all threads */
    uint64_t code;          /* error word */
    sn_error *error;        /* the caller's */
    LaunchPart *parts;      /* of a parallel step, by thread; NULL: nobody watches this thread */
    int32_t n_parts;        /* that the latest step has */
} Run;

/* Where an argument lies. */
static inline char *run_address(const Run *run, ArgRef ref) {
    SN_ASSERT(ref.offset < run->program->numbers.count);
    const Buffer *buffer = program_buffer(run->program, ref.buffer);
    return run->memory[ref.buffer] +
           run->numbers[ref.offset] * (int64_t)dtype_size((sn_dtype)buffer->dtype);
}
/* Fills in the addresses of a launch's arguments and, behind them, of its packed columns.
 * (run_arguments.c) */
void run_arguments(const Run *run, const Launch *launch, const ColumnsUse *columns, void **args);
/* Runs the steps of a tiling, which is in force with the run's sizes. (run_tiled.c) */
sn_status run_tiled(Run *run, const RowTiling *tiling);

#endif
