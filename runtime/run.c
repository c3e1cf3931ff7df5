/* Executables, running: resolves buffers to addresses and launches step after step; see executable.h. */
#include "runtime/run.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/small.h"
#include "base/status.h"
#include "base/thread/parallel.h"
#include "ir/op/dtype.h"
#include "runtime/memory.h"

#include <unistd.h>

enum {
    FEW_BUFFERS = 64, /* addresses that fit on the stack */
    FEW_ARGS = 32,    /* arguments of one kernel that do */
    FEW_PARTS = 16    /* threads of one kernel whose times do */
};

static _Atomic int64_t kernels_launched;

void launch_counters(LaunchCounters *counters) {
    counters->kernels = atomic_load_explicit(&kernels_launched, memory_order_relaxed);
}

/* ---- launches -------------------------------------------------------------------------------- */

/* ---- running --------------------------------------------------------------------------------- */

/* One launch, as the threads see it. */
typedef struct Work {
    KernelFn *fn;          /* the code */
    void *const *args;     /* addresses */
    const int64_t *params; /* words */
    char *scratch;         /* of all threads */
    int64_t scratch_bytes; /* of one */
    uint64_t *code;        /* error word */
    int64_t unit;          /* grid points of a block that are not parted */
    int64_t points;        /* of the grid */
} Work;

/* The first item of a unit: the last one of each block may be smaller. */
static int64_t first_item(const Work *work, int64_t number) {
    int64_t in_block = (work->points + work->unit - 1) / work->unit;
    int64_t point = number % in_block * work->unit;
    return number / in_block * work->points + (point < work->points ? point : work->points);
}

/* Sets the grid's points, where units hold more than one. */
static int64_t count_units(Work *work, int64_t items) {
    if (work->unit <= 1) return items;
    int64_t blocks = work->params[KPARAM_BLOCKS];
    work->points = items / blocks;
    return blocks * ((work->points + work->unit - 1) / work->unit);
}

static void run_share(void *context, int64_t begin, int64_t end, int32_t thread) {
    const Work *work = context;
    if (work->unit > 1) {
        begin = first_item(work, begin);
        end = first_item(work, end);
    }
    work->fn(work->args, work->params, begin, end, work->scratch + thread * work->scratch_bytes,
             work->code);
}

/* The same where somebody watches. */
typedef struct WatchedWork {
    Work work;         /* what is done */
    LaunchPart *parts; /* by thread of the region */
} WatchedWork;

static void run_watched_share(void *context, int64_t begin, int64_t end, int32_t thread) {
    const WatchedWork *watched = context;
    LaunchPart *part = &watched->parts[thread];
    if (!part->begin_ns) *part = (LaunchPart){.thread = (int32_t)gettid(), .begin_ns = clock_ns()};
    run_share((void *)(uintptr_t)&watched->work, begin, end, thread);
    part->end_ns = clock_ns();
}

static void run_watched(Run *run, int64_t units, const Work *work) {
    WatchedWork watched = {*work, run->parts};
    run->n_parts = run->threads;
    memset(run->parts, 0, sizeof *run->parts * (size_t)run->threads);
    parallel_for(run->threads, units, run_watched_share, &watched);
}

static sn_status run_kernel(Run *run, const Launch *launch, const Prepared *prepared) {
    int64_t items = run->numbers[launch->items];
    SN_ASSERT(items >= 0 && prepared->kernel && prepared->kernel->fn);
    if (items == 0) return SN_OK; /* sizes that vary left nothing to do */
    SMALL(void *, FEW_ARGS) args;
    if (!small_open(&args, launch->args.count + 1)) return error_memory(run->error);
    run_arguments(run, launch, &prepared->columns, args.data);
    Work work = {prepared->kernel->fn,
                 args.data,
                 run->numbers + launch->params,
                 run->scratch,
                 run->numbers[PROGRAM_SCRATCH_BYTES],
                 &run->code,
                 run->numbers[launch->unit],
                 0};
    int64_t units = count_units(&work, items);
    if (!prepared->parallel || run->threads <= 1)
        run_share(&work, 0, units, 0);
    else if (run->parts)
        run_watched(run, units, &work);
    else
        parallel_for(run->threads, units, run_share, &work);
    small_close(&args);
    atomic_fetch_add_explicit(&kernels_launched, 1, memory_order_relaxed);
    return SN_OK;
}

/* Of the step and of those that are tiled with it. */
static int64_t bytes_of(const Run *run, uint32_t i) {
    const RowTiling *tiling = program_tiling(run->program, run->numbers, i);
    int64_t bytes = 0;
    for (uint32_t s = i; s <= (tiling ? tiling->last : i); s++)
        bytes += program_step_bytes(run->program, run->numbers, s, COST_BYTES);
    return bytes;
}

/* Tells those who watch this thread of a step. */
static void tell_step(const Run *run, uint32_t i, int64_t begin_ns, int64_t end_ns) {
    const Step *step = &run->program->steps.data[i];
    LaunchRecord record = {.name = run->e->steps[i].kernel->name,
                           .label = step->label,
                           .site = program_site(run->program, step->site),
                           .items = run->numbers[step->launch.items],
                           .bytes = bytes_of(run, i),
                           .begin_ns = begin_ns,
                           .end_ns = end_ns,
                           .parts = run->parts,
                           .n_parts = run->n_parts};
    observe_launch(&record);
}

/* The tiling in force that begins with the step; NULL where there is none. */
static inline const RowTiling *tiling_at(const Run *run, uint32_t i) {
    uint32_t number = run->program->steps.data[i].tiling;
    if (!number) return NULL;
    const RowTiling *tiling = &run->program->tilings.data[number - 1];
    return run->numbers[tiling->rows] > 0 ? tiling : NULL;
}

/* Runs the step, and those that are tiled with it, of which `i` becomes the last. Inline, for few steps are
 * long. */
__attribute__((always_inline)) static inline sn_status run_step(Run *run, uint32_t *i) {
    const RowTiling *tiling = tiling_at(run, *i);
    if (tiling) {
        *i = tiling->last;
        atomic_fetch_add_explicit(&kernels_launched, 1, memory_order_relaxed);
        return run_tiled(run, tiling);
    }
    return run_kernel(run, &run->program->steps.data[*i].launch, &run->e->steps[*i]);
}

/* Is the step one of a write that must not happen? */
static inline bool is_left_out(const Run *run, uint32_t i) {
    NodeId commit = run->program->steps.data[i].commit_code;
    return commit && run->code < commit;
}

/* All steps, with the clock read around each: for `times` (NULL: none), as run `number`, and for who
 * watches this thread. */
static sn_status run_timed(Run *run, StepTimes *times, int32_t number) {
    for (uint32_t i = 0; i < run->program->steps.count; i++) {
        if (is_left_out(run, i)) continue;
        run->n_parts = 0;
        int64_t begin_ns = clock_ns();
        uint32_t first = i;
        sn_status status = run_step(run, &i);
        if (status != SN_OK) return status;
        int64_t end_ns = clock_ns();
        if (times) step_times_note(times, first, number, end_ns - begin_ns);
        if (run->parts) tell_step(run, first, begin_ns, end_ns);
    }
    return SN_OK;
}

/* The same with room for what those who watch are told of threads. */
static sn_status run_watched_steps(Run *run, StepTimes *times, int32_t number) {
    SMALL(LaunchPart, FEW_PARTS) parts;
    if (!small_open(&parts, (size_t)run->threads + 1)) return error_memory(run->error);
    run->parts = parts.data;
    sn_status status = run_timed(run, times, number);
    small_close(&parts);
    return status;
}

static sn_status run_steps(Run *run) {
    StepTimes *times = atomic_load_explicit(&run->e->times, memory_order_acquire);
    int32_t number = times ? step_times_begin(times) : -1;
    if (number < 0) times = NULL;
    if (observe_on()) return run_watched_steps(run, times, number);
    if (times) return run_timed(run, times, number);
    for (uint32_t i = 0; i < run->program->steps.count; i++) {
        sn_status status = is_left_out(run, i) ? SN_OK : run_step(run, &i);
        if (status != SN_OK) return status;
    }
    return SN_OK;
}

static void resolve(Run *run, void *const *outputs, char *temp) {
    const Program *program = run->program;
    for (uint32_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.data[i];
        switch (buffer->kind) {
        case BUFFER_INPUT:
            SN_ASSERT(buffer->number >= 0 && buffer->number < program->n_inputs);
            run->memory[i] = run->inputs[buffer->number].address;
            break;
        case BUFFER_OUTPUT:
            SN_ASSERT(buffer->number >= 0 && buffer->number < program->n_outputs);
            run->memory[i] = outputs[buffer->number];
            break;
        default: /* where it is of a tiling in force, each thread has its own: see run_tiled.c */
            run->memory[i] = temp + run->numbers[buffer->offset];
        }
    }
}

/* Bytes of the temporaries, and of them and every thread's scratch; false where that is no number. */
static bool working_bytes(const int64_t *numbers, int32_t threads, size_t *temp, size_t *all) {
    size_t scratch;
    *temp = (size_t)numbers[PROGRAM_TEMP_BYTES];
    return !__builtin_mul_overflow((size_t)numbers[PROGRAM_SCRATCH_BYTES],
                                   (size_t)(threads < 1 ? 1 : threads), &scratch) &&
           !__builtin_add_overflow(*temp, scratch, all);
}

/* Memory besides the results could not be had: it is put down to the call of the largest temporary or, where
 * there is none, of the last buffer. */
static sn_status refuse_working_memory(const Executable *e, size_t bytes, sn_error *error) {
    const Program *program = executable_program_of(e);
    Site call = {0};
    size_t most = 0;
    for (uint32_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.data[i];
        size_t temporary = buffer->kind == BUFFER_TEMP ? executable_buffer_bytes(e, i) : 0;
        if (temporary < most) continue;
        most = temporary;
        call = buffer->call;
    }
    return executable_refuse_memory(call, bytes, error);
}

sn_status executable_refuse_memory(Site call, size_t bytes, sn_error *error) {
    return program_refuse(call, error, SN_ERROR_MEMORY, "out of memory (%zu bytes)", bytes);
}

/* Before anything is written: a run that fails may have written some. */
static sn_status note_writes(const Run *run) {
    for (uint32_t i = 0; i < run->program->outputs.count; i++) {
        const ProgramOutput *output = &run->program->outputs.data[i];
        Storage *storage =
            output->writes_input < 0 ? NULL : run->inputs[output->writes_input].storage;
        if (!storage) continue;
        if (storage_is_frozen(storage))
            return program_refuse(program_buffer(run->program, output->buffer)->call, run->error,
                                  SN_ERROR_ARGUMENT, "what it writes is frozen");
        storage_written(storage);
    }
    return SN_OK;
}

sn_status executable_run(const Executable *e, const RunInput *inputs, void *const *outputs,
                         int32_t threads, uint64_t *code, sn_error *error) {
    const Program *program = executable_program_of(e);
    Run run = {.e = e,
               .program = program,
               .numbers = e->numbers,
               .inputs = inputs,
               .threads = threads,
               .code = UINT64_MAX,
               .error = error};
    size_t temp_bytes, bytes;
    if (!working_bytes(e->numbers, threads, &temp_bytes, &bytes))
        return refuse_working_memory(e, SIZE_MAX, error);
    static char none[1]; /* C has no NULL + 0 */
    char *temp = bytes ? memory_alloc(bytes) : none;
    if (!temp) return refuse_working_memory(e, bytes, error);
    SMALL(char *, FEW_BUFFERS) memory;
    sn_status status = small_open(&memory, program->buffers.count) ? SN_OK : error_memory(error);
    if (status == SN_OK) {
        run.memory = memory.data;
        run.scratch = temp + temp_bytes;
        resolve(&run, outputs, temp);
        status = note_writes(&run);
        if (status == SN_OK) status = run_steps(&run);
    }
    small_close(&memory);
    if (bytes) memory_free(temp, bytes);
    *code = run.code;
    return status;
}
