/* Running a program: resolves buffers to addresses and launches step after step; see executable.h.
 * Everything that does not depend on the call was computed when it was built. */
#include "runtime/executable.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/refs.h"
#include "base/small.h"
#include "base/status.h"
#include "base/thread/parallel.h"
#include "ir/op/dtype.h"
#include "runtime/columns.h"
#include "runtime/gemm.h"
#include "runtime/memory.h"
#include "runtime/observe.h"
#include "runtime/step_times.h"

#include <stdatomic.h>
#include <unistd.h>

enum {
    FEW_BUFFERS = 64,        /* addresses that fit on the stack */
    FEW_ARGS = 32,           /* arguments of one kernel that do */
    FEW_PARTS = 16,          /* threads of one kernel whose times do */
    SERIAL_COST = 32 * 1024, /* bytes + operations below which threads cost more than they gain */
    FLOP_COST = 4            /* bytes that one instruction counts for, sixteenths */
};

/* What one step needs at run time. */
typedef struct Prepared {
    const LoadedKernel *kernel; /* STEP_KERNEL */
    const GemmPlan *gemm;       /* STEP_GEMM */
    int32_t threads;            /* for which the gemm plan was made */
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

static const Program *program_of(const Executable *e) {
    return e->base ? &e->base->program : &e->program;
}

static _Atomic int64_t kernels_launched, externs_called;

void launch_counters(LaunchCounters *counters) {
    counters->kernels = atomic_load_explicit(&kernels_launched, memory_order_relaxed);
    counters->extern_calls = atomic_load_explicit(&externs_called, memory_order_relaxed);
}

/* ---- building -------------------------------------------------------------------------------- */

static GemmShape gemm_shape(const GemmStep *g, const int64_t *numbers) {
    const int64_t *n = numbers + g->numbers, *sizes = n + GEMM_SIZES;
    GemmShape shape = {.outer = sizes[0],
                       .batch = sizes[1],
                       .m = sizes[2],
                       .n = sizes[3],
                       .k = sizes[4],
                       .dtype = (sn_dtype)g->dtype,
                       .bias = g->bias.buffer != UINT32_MAX,
                       .relu = g->relu};
    memcpy(shape.a, n + GEMM_A_STRIDES, sizeof shape.a);
    memcpy(shape.b, n + GEMM_B_STRIDES, sizeof shape.b);
    memcpy(shape.c, n + GEMM_C_STRIDES, sizeof shape.c);
    return shape;
}

static sn_status prepare_kernel(const Kernel *kernel, bool streams, const LoadedKernel **loaded,
                                sn_error *error) {
    Schedule schedule = {.stream_stores = streams};
    if (!streams) return kernel_cache_get(kernel, &schedule, loaded, NULL, error);
    /* Streaming is a matter of speed: without a code generator the pack's plain kernel serves. */
    sn_error first = {0};
    sn_status status = kernel_cache_get(kernel, &schedule, loaded, NULL, &first);
    if (status != SN_ERROR_UNSUPPORTED) return status == SN_OK ? SN_OK : (*error = first, status);
    schedule.stream_stores = false;
    return kernel_cache_get(kernel, &schedule, loaded, NULL, error);
}

/* Is a step worth more than one thread? Costs of views that repeat their elements may be any number. */
static bool is_long(int64_t bytes, int64_t instructions) {
    if (bytes > SERIAL_COST || instructions > SERIAL_COST * 16 / FLOP_COST) return true;
    return bytes + instructions * FLOP_COST / 16 > SERIAL_COST;
}

/* `known`: of the program itself; NULL: this is it. */
static sn_status prepare_columns(const Executable *e, uint32_t i, const Executable *known,
                                 sn_error *error) {
    const Program *program = program_of(e);
    const Launch *launch = &program_step(program, i)->launch;
    ColumnsUse *use = &e->steps[i].columns;
    use->input = -1;
    if (!launch->chains) return SN_OK;
    if (known)
        use->arg = known->steps[i].columns.arg;
    else if (!columns_find(program_kernel(program, launch), &use->arg))
        return error_memory(error);
    columns_bind(program, launch, e->numbers, use);
    return SN_OK;
}

/* `known`: the step of another binding, whose kernel serves where the choice of stores is the same. `shared`:
 * by kernel and choice of stores, what steps before this one run; each may be NULL. */
static sn_status prepare_step(const Executable *e, uint32_t i, const Executable *known,
                              const LoadedKernel **shared, sn_error *error) {
    const Step *step = program_step(program_of(e), i);
    Prepared *prepared = &e->steps[i];
    const int64_t *costs = e->numbers + step->costs;
    if (step->kind == STEP_GEMM) {
        GemmShape shape = gemm_shape(&step->gemm, e->numbers);
        prepared->threads = parallel_threads();
        return gemm_get(&shape, prepared->threads, &prepared->gemm, error);
    }
    prepared->parallel = is_long(costs[COST_BYTES], costs[COST_INSTRUCTIONS]);
    sn_status status = prepare_columns(e, i, known, error);
    if (status != SN_OK) return status;
    bool streams = e->numbers[step->launch.streams] != 0;
    if (known && streams == (known->numbers[step->launch.streams] != 0)) {
        prepared->kernel = known->steps[i].kernel;
        SN_ASSERT(prepared->kernel);
        return SN_OK;
    }
    const Kernel *kernel = program_kernel(program_of(e), &step->launch);
    const LoadedKernel **loaded = shared ? &shared[2 * step->launch.kernel + streams] : NULL;
    if (loaded && *loaded) return prepared->kernel = *loaded, SN_OK;
    status = prepare_kernel(kernel, streams, &prepared->kernel, error);
    if (loaded && status == SN_OK) *loaded = prepared->kernel;
    return status;
}

static Executable *executable_new(uint32_t n_steps) {
    Executable *e = mem_calloc(1, sizeof *e);
    if (!e) return NULL;
    refs_init(&e->refs);
    e->steps = mem_calloc(n_steps + 1, sizeof *e->steps);
    if (e->steps) return e;
    mem_free(e);
    return NULL;
}

sn_status executable_build(Program *program, Executable **out, sn_error *error) {
    *out = NULL;
    Executable *e = executable_new(program->steps.count);
    if (!e) return error_memory(error);
    e->program = *program;
    e->numbers = program->numbers.data;
    const LoadedKernel **shared = mem_calloc(2 * (program->kernels.count + 1), sizeof *shared);
    sn_status status = shared ? SN_OK : error_memory(error);
    for (uint32_t i = 0; i < program->steps.count && status == SN_OK; i++)
        status = prepare_step(e, i, NULL, shared, error);
    mem_free(shared);
    if (status != SN_OK) {
        mem_free(e->steps);
        mem_free(e);
        return status;
    }
    program_init(program);
    *out = e;
    return SN_OK;
}

sn_status executable_bind(Executable *base, const int64_t *values, const uint64_t *scalars,
                          Executable **out, sn_error *error) {
    const Program *program = &base->program;
    SN_ASSERT(!base->base); /* a binding has no program of its own to bind */
    *out = NULL;
    Executable *e = executable_new(program->steps.count);
    int64_t *numbers = mem_alloc(sizeof *numbers * (program->numbers.count + 1));
    sn_status status = e && numbers ? SN_OK : error_memory(error);
    if (status == SN_OK) {
        e->base = executable_retain(base);
        e->numbers = numbers;
        status = program_bind(program, values, scalars, numbers, error);
    } else {
        mem_free(numbers);
    }
    for (uint32_t i = 0; i < program->steps.count && status == SN_OK; i++)
        status = prepare_step(e, i, base, NULL, error);
    if (status != SN_OK) {
        executable_release(e);
        return status;
    }
    *out = e;
    return SN_OK;
}

Executable *executable_retain(Executable *e) {
    refs_take(&e->refs);
    return e;
}

void executable_release(Executable *e) {
    if (!e || !refs_drop(&e->refs)) return;
    if (e->base) mem_free((void *)(uintptr_t)e->numbers);
    executable_release(e->base);
    program_free(&e->program);
    mem_free(atomic_load(&e->times));
    mem_free(e->steps);
    mem_free(e);
}

bool executable_measure(Executable *e) {
    StepTimes *none = NULL;
    if (atomic_load_explicit(&e->times, memory_order_relaxed)) return false;
    StepTimes *times = step_times_new(program_of(e)->steps.count);
    if (times && atomic_compare_exchange_strong(&e->times, &none, times)) return true;
    mem_free(times);
    return false;
}

int64_t executable_step_ns(const Executable *e, uint32_t step, int32_t *runs) {
    const StepTimes *times = atomic_load_explicit(&e->times, memory_order_acquire);
    if (runs) *runs = 0;
    return times ? step_times_median(times, step, runs) : 0;
}

bool executable_step_is_parallel(const Executable *e, uint32_t step) {
    SN_ASSERT(step < program_of(e)->steps.count);
    return program_of(e)->steps.data[step].kind == STEP_GEMM || e->steps[step].parallel;
}

const Program *executable_program(const Executable *e) {
    return program_of(e);
}

const int64_t *executable_numbers(const Executable *e) {
    return e->numbers;
}

size_t executable_buffer_bytes(const Executable *e, uint32_t i) {
    const Buffer *buffer = program_buffer(program_of(e), i);
    return (size_t)e->numbers[buffer->elements] * dtype_size((sn_dtype)buffer->dtype);
}

const LoadedKernel *executable_kernel(const Executable *e, uint32_t step) {
    SN_ASSERT(step < program_of(e)->steps.count);
    return e->steps[step].kernel;
}

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

static char *address(const Run *run, ArgRef ref) {
    SN_ASSERT(ref.offset < run->program->numbers.count);
    const Buffer *buffer = program_buffer(run->program, ref.buffer);
    return run->memory[ref.buffer] +
           run->numbers[ref.offset] * (int64_t)dtype_size((sn_dtype)buffer->dtype);
}

static void run_watched(Run *run, int64_t units, const Work *work) {
    WatchedWork watched = {*work, run->parts};
    run->n_parts = run->threads;
    memset(run->parts, 0, sizeof *run->parts * (size_t)run->threads);
    parallel_for(run->threads, units, run_watched_share, &watched);
}

/* Does the run write the storage, by whatever input? */
static bool writes_storage(const Run *run, const Storage *storage) {
    for (uint32_t i = 0; i < run->program->outputs.count; i++) {
        int32_t input = run->program->outputs.data[i].writes_input;
        if (input >= 0 && run->inputs[input].storage == storage) return true;
    }
    return false;
}

/* The packed form of what the launch reads by columns, or NULL. */
static void *packed_columns(const Run *run, const ColumnsUse *use, void *const *args) {
    Storage *storage = run->inputs[use->input].storage;
    if (!storage || writes_storage(run, storage)) return NULL;
    return (void *)(uintptr_t)weights_get(storage, args[use->arg.arg], &use->columns, run->threads);
}

static sn_status run_kernel(Run *run, const Step *step, const Prepared *prepared) {
    const Launch *launch = &step->launch;
    int64_t items = run->numbers[launch->items];
    SN_ASSERT(items >= 0 && prepared->kernel && prepared->kernel->fn);
    if (items == 0) return SN_OK; /* sizes that vary left nothing to do */
    SMALL(void *, FEW_ARGS) args;
    if (!small_open(&args, launch->args.count + 1)) return error_memory(run->error);
    void **arg = args.data; /* for all that is known, a store there might change args itself */
    for (uint32_t i = 0; i < launch->args.count; i++)
        arg[i] =
            launch->args.data[i].buffer == UINT32_MAX ? NULL : address(run, launch->args.data[i]);
    const ColumnsUse *columns = &prepared->columns;
    arg[launch->args.count] = columns->input < 0 ? NULL : packed_columns(run, columns, arg);
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

static sn_status run_gemm(Run *run, const Step *step, const Prepared *prepared) {
    const GemmStep *g = &step->gemm;
    const GemmPlan *plan = prepared->gemm;
    SN_ASSERT(plan);
    if (run->threads != prepared->threads) {
        GemmShape shape = gemm_shape(g, run->numbers);
        sn_status status = gemm_get(&shape, run->threads, &plan, run->error);
        if (status != SN_OK) return status;
    }
    const void *bias = g->bias.buffer == UINT32_MAX ? NULL : address(run, g->bias);
    atomic_fetch_add_explicit(&externs_called, 1, memory_order_relaxed);
    return gemm_run(plan, address(run, g->a), address(run, g->b), bias, address(run, g->c),
                    run->error);
}

/* Tells those who watch this thread of a step. */
static void tell_step(const Run *run, uint32_t i, int64_t begin_ns, int64_t end_ns) {
    const Step *step = &run->program->steps.data[i];
    bool kernel = step->kind == STEP_KERNEL;
    LaunchRecord record = {.name = kernel ? run->e->steps[i].kernel->name : "gemm",
                           .label = step->label,
                           .site = program_site(run->program, step->site),
                           .items = kernel ? run->numbers[step->launch.items] : 1,
                           .bytes = run->numbers[step->costs + COST_BYTES],
                           .begin_ns = begin_ns,
                           .end_ns = end_ns,
                           .is_extern = !kernel,
                           .parts = run->parts,
                           .n_parts = run->n_parts};
    observe_launch(&record);
}

/* Inline, for few steps are long. */
__attribute__((always_inline)) static inline sn_status run_step(Run *run, uint32_t i) {
    const Step *step = &run->program->steps.data[i];
    return step->kind == STEP_KERNEL ? run_kernel(run, step, &run->e->steps[i])
                                     : run_gemm(run, step, &run->e->steps[i]);
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
        sn_status status = run_step(run, i);
        if (status != SN_OK) return status;
        int64_t end_ns = clock_ns();
        if (times) step_times_note(times, i, number, end_ns - begin_ns);
        if (run->parts) tell_step(run, i, begin_ns, end_ns);
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
        sn_status status = is_left_out(run, i) ? SN_OK : run_step(run, i);
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
        default:
            SN_ASSERT(run->numbers[buffer->offset] < run->numbers[PROGRAM_TEMP_BYTES]);
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
    const Program *program = program_of(e);
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
    const Program *program = program_of(e);
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
