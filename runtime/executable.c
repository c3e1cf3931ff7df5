/* Executables, building: loads the kernels of a program and computes all that does not depend on the call,
 * for the sizes it was planned with or for others; see executable.h. Running them is in run.c. */
#include "runtime/run.h"

#include "base/assert.h"
#include "base/status.h"

enum {
    SERIAL_COST = 32 * 1024, /* bytes + operations below which threads cost more than they gain */
    FLOP_COST = 4            /* bytes that one instruction counts for, sixteenths */
};

/* ---- building -------------------------------------------------------------------------------- */

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
    const Program *program = executable_program_of(e);
    const Launch *launch = &program_step(program, i)->launch;
    ColumnsUse *use = &e->steps[i].columns;
    use->input = -1;
    if (!launch->chain_size) return SN_OK;
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
    const Step *step = program_step(executable_program_of(e), i);
    Prepared *prepared = &e->steps[i];
    const int64_t *costs = e->numbers + step->costs;
    prepared->parallel = is_long(costs[COST_BYTES], costs[COST_INSTRUCTIONS]);
    sn_status status = prepare_columns(e, i, known, error);
    if (status != SN_OK) return status;
    bool streams = e->numbers[step->launch.streams] != 0;
    if (known && streams == (known->numbers[step->launch.streams] != 0)) {
        prepared->kernel = known->steps[i].kernel;
        SN_ASSERT(prepared->kernel);
        return SN_OK;
    }
    const Kernel *kernel = program_kernel(executable_program_of(e), &step->launch);
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
    StepTimes *times = step_times_new(executable_program_of(e)->steps.count);
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
    SN_ASSERT(step < executable_program_of(e)->steps.count);
    return e->steps[step].parallel;
}

const Program *executable_program(const Executable *e) {
    return executable_program_of(e);
}

const int64_t *executable_numbers(const Executable *e) {
    return e->numbers;
}

size_t executable_buffer_bytes(const Executable *e, uint32_t i) {
    const Buffer *buffer = program_buffer(executable_program_of(e), i);
    return (size_t)e->numbers[buffer->elements] * dtype_size((sn_dtype)buffer->dtype);
}

const LoadedKernel *executable_kernel(const Executable *e, uint32_t step) {
    SN_ASSERT(step < executable_program_of(e)->steps.count);
    return e->steps[step].kernel;
}
