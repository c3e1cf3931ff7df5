/* Executables, tilings: steps that a thread runs for some rows before it takes others. What they hand on lies
 * in the thread's scratch memory; the kernels know nothing of it: such an argument begins as many rows before
 * that memory as rows come before the tile. See RowTiling. */
#include "runtime/run.h"

#include "base/clock.h"
#include "base/thread/parallel.h"

#include <unistd.h>

/* One step. */
typedef struct TiledStep {
    KernelFn *fn;          /* the code */
    const int64_t *params; /* words */
    uint32_t first, count; /* arguments in TiledWork.args, packed columns not counted */
} TiledStep;

/* An argument that each thread has its own memory for. */
typedef struct TiledArg {
    uint32_t arg;      /* in TiledWork.args */
    int64_t offset;    /* bytes from the thread's memory */
    int64_t row_bytes; /* from one row to the next */
} TiledArg;

/* A tiling, as the threads see it. */
typedef struct TiledWork {
    TiledStep steps[TILING_STEPS];
    void *args[TILING_ARGS]; /* of all steps; those of `tiled` are not set */
    TiledArg tiled[TILING_ARGS];
    uint32_t n_steps, n_args, n_tiled;
    int64_t rows, line;    /* see RowTiling */
    int64_t in_line;       /* tiles of a line */
    int64_t bytes;         /* of a tile's buffers, in front of the kernels' scratch memory */
    char *scratch;         /* of all threads */
    int64_t scratch_bytes; /* of one */
    uint64_t *code;        /* error word */
    LaunchPart *parts;     /* by thread; NULL: nobody watches */
} TiledWork;

/* ---- a tile ---------------------------------------------------------------------------------- */

static int64_t first_row(const TiledWork *work, int64_t tile) {
    int64_t row = tile % work->in_line * work->rows;
    return tile / work->in_line * work->line + (row < work->line ? row : work->line);
}

static void run_tile(const TiledWork *work, int64_t first, int64_t end, char *memory) {
    void *args[TILING_ARGS];
    memcpy(args, work->args, sizeof *args * work->n_args);
    for (uint32_t i = 0; i < work->n_tiled; i++) {
        const TiledArg *t = &work->tiled[i];
        uintptr_t begin = (uintptr_t)memory + (uintptr_t)(t->offset - first * t->row_bytes);
        args[t->arg] = (void *)begin; /* only rows from the first on are addressed */
    }
    for (uint32_t i = 0; i < work->n_steps; i++) {
        const TiledStep *step = &work->steps[i];
        step->fn(args + step->first, step->params, first, end, memory + work->bytes, work->code);
    }
}

static void run_tiles(void *context, int64_t begin, int64_t end, int32_t thread) {
    const TiledWork *work = context;
    LaunchPart *part = work->parts ? &work->parts[thread] : NULL;
    if (part && !part->begin_ns)
        *part = (LaunchPart){.thread = (int32_t)gettid(), .begin_ns = clock_ns()};
    for (int64_t tile = begin; tile < end; tile++)
        run_tile(work, first_row(work, tile), first_row(work, tile + 1),
                 work->scratch + thread * work->scratch_bytes);
    if (part) part->end_ns = clock_ns();
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void add_step(const Run *run, TiledWork *work, uint32_t number) {
    const Launch *launch = &program_step(run->program, number)->launch;
    const Prepared *prepared = &run->e->steps[number];
    uint32_t first = work->n_args;
    SN_ASSERT(work->n_steps < TILING_STEPS && first + launch->args.count + 1 <= TILING_ARGS);
    work->steps[work->n_steps++] =
        (TiledStep){prepared->kernel->fn, run->numbers + launch->params, first, launch->args.count};
    run_arguments(run, launch, &prepared->columns, work->args + first);
    work->n_args += launch->args.count + 1;
    for (uint32_t a = 0; a < launch->args.count; a++) {
        ArgRef ref = launch->args.data[a];
        if (ref.buffer == UINT32_MAX) continue;
        const Buffer *buffer = program_buffer(run->program, ref.buffer);
        if (!buffer->tiling) continue;
        int64_t size = (int64_t)dtype_size((sn_dtype)buffer->dtype);
        work->tiled[work->n_tiled++] =
            (TiledArg){first + a, run->numbers[buffer->offset] + run->numbers[ref.offset] * size,
                       run->numbers[buffer->row] * size};
    }
}

sn_status run_tiled(Run *run, const RowTiling *tiling) {
    const int64_t *numbers = run->numbers;
    TiledWork work = {.rows = numbers[tiling->rows],
                      .line = numbers[tiling->line],
                      .bytes = numbers[tiling->bytes],
                      .scratch = run->scratch,
                      .scratch_bytes = numbers[PROGRAM_SCRATCH_BYTES],
                      .code = &run->code,
                      .parts = run->parts};
    bool parallel = false;
    for (uint32_t i = tiling->first; i <= tiling->last; i++) {
        add_step(run, &work, i);
        parallel = parallel || run->e->steps[i].parallel;
    }
    int64_t rows = numbers[program_step(run->program, tiling->first)->launch.items];
    work.in_line = (work.line + work.rows - 1) / work.rows;
    if (work.parts) {
        run->n_parts = run->threads;
        memset(work.parts, 0, sizeof *work.parts * (size_t)run->threads);
    }
    int64_t tiles = rows / work.line * work.in_line;
    if (parallel)
        parallel_for(run->threads, tiles, run_tiles, &work);
    else
        run_tiles(&work, 0, tiles, 0);
    return SN_OK;
}
