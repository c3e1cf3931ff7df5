/* sn_kernel_seconds: how long the kernels of a function take, without all that a call does around
 * them. Afterwards each of them is timed, for explanations. */
#include "base/clock.h"
#include "frontend/compiled/handle.h"
#include "frontend/inspect/sized_graph.h"
#include "frontend/op/run.h"
#include "runtime/step_times.h"

#include <sinter/inspect.h>

/* Points the memory at these inputs; false where one does not fit. */
static bool set_inputs(const SizedGraph *sized, const sn_value *inputs, int32_t n_inputs,
                       RunMemory *m) {
    for (int32_t i = 0; i < n_inputs; i++) {
        if (inputs[i].kind != SN_VALUE_TENSOR ||
            !sized_fits(sized, (uint32_t)i, inputs[i].as.tensor))
            return false;
        run_set_tensor(m, (uint32_t)i, inputs[i].as.tensor);
    }
    return true;
}

static double time_instance(const GraphInstance *instance, const SizedGraph *sized,
                            const sn_value *inputs, int32_t n_inputs, int32_t calls) {
    const Executable *executable = instance->executable;
    const Program *program = executable_program(executable);
    RunMemory memory;
    double seconds = -1;
    if (n_inputs != program->n_inputs) return seconds;
    if (run_open(&memory, (uint32_t)n_inputs, (uint32_t)program->n_outputs) &&
        set_inputs(sized, inputs, n_inputs, &memory) &&
        run_make_results(&memory, executable, NULL) == SN_OK) {
        int64_t begin = clock_ns();
        for (int32_t i = 0; i < calls; i++) run_launch(&memory, executable, NULL);
        seconds = (double)(clock_ns() - begin) * 1e-9 / calls;
        bool untimed = executable_measure(instance->executable); /* reading the clock takes time */
        for (int32_t i = 0; untimed && i < calls && i < STEP_TIMES_RUNS; i++)
            run_launch(&memory, executable, NULL);
    }
    run_close(&memory);
    return seconds;
}

double sn_kernel_seconds(sn_compiled *c, const sn_value *inputs, int32_t n_inputs, int32_t calls) {
    sn_error error;
    error_init(&error);
    bool alive = compiled_check_for(c, "kernel_seconds", &error) == SN_OK;
    GraphInstance *instance = alive ? latest_get(&c->latest).instance : NULL;
    double seconds = -1;
    bool valid = calls >= 1 && n_inputs >= 0 && (!n_inputs || inputs);
    SizedGraph sized;
    if (instance && instance->executable && valid && sized_open(instance, &sized)) {
        seconds = time_instance(instance, &sized, inputs, n_inputs, calls);
        sized_close(&sized);
    }
    instance_release(instance);
    return seconds;
}
