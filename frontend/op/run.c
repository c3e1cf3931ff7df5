/* The memory of a run, and the run; see run.h. */
#include "frontend/op/run.h"

#include "base/assert.h"
#include "base/status.h"
#include "base/thread/parallel.h"
#include "ir/op/dtype.h"

bool run_open_many(RunMemory *m, uint32_t n_inputs, uint32_t n_results) {
    size_t words = n_inputs * sizeof *m->words, inputs = n_inputs * sizeof *m->inputs;
    char *block = m->block = mem_alloc(words + inputs + 2 * n_results * sizeof(void *));
    if (!block) return false;
    m->words = (RunWords *)(void *)block;
    m->inputs = (RunInput *)(void *)(block + words);
    m->results = (Storage **)(void *)(block + words + inputs);
    m->outputs = (void **)(void *)(m->results + n_results);
    return true;
}

void run_set_scalar(RunMemory *m, uint32_t input, sn_dtype dtype, uint64_t bits) {
    dtype_store(dtype, m->words[input], bits);
    m->inputs[input] = (RunInput){m->words[input], NULL};
}

sn_status run_make_results(RunMemory *m, const Executable *executable, sn_error *error) {
    const Program *program = executable_program(executable);
    while (m->n_results < program->n_outputs) {
        uint32_t buffer = program_output_buffer(program, m->n_results);
        size_t bytes = executable_buffer_bytes(executable, buffer);
        Storage *storage = storage_new(&device_cpu, bytes);
        if (!storage)
            return executable_refuse_memory(program_buffer(program, buffer)->call, bytes, error);
        m->results[m->n_results] = storage;
        m->outputs[m->n_results++] = storage->data;
    }
    return SN_OK;
}

/* The least code of a run is the first op in program order that met an error in its data. */
static sn_status data_error(const Executable *executable, uint64_t code, sn_error *error) {
    const Program *program = executable_program(executable);
    for (uint32_t i = 0; i < program->checks.count; i++) {
        const ProgramCheck *check = &program->checks.data[i];
        if (check->code != code) continue;
        return program_refuse(check->call, error, SN_ERROR_INDEX,
                              "an index is out of range for an axis of size %lld",
                              (long long)executable_numbers(executable)[check->limit]);
    }
    return error_set(error, SN_ERROR_INDEX, "an index is out of range");
}

sn_status run_launch(RunMemory *m, const Executable *executable, sn_error *error) {
    uint64_t code = UINT64_MAX;
    sn_status status =
        executable_run(executable, m->inputs, m->outputs, parallel_threads(), &code, error);
    if (status != SN_OK || code == UINT64_MAX) return status;
    return data_error(executable, code, error);
}
