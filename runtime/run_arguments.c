/* Executables: the addresses that a launch is given. */
#include "runtime/run.h"

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

void run_arguments(const Run *run, const Launch *launch, const ColumnsUse *columns, void **args) {
    for (uint32_t i = 0; i < launch->args.count; i++)
        args[i] = launch->args.data[i].buffer == UINT32_MAX
                      ? NULL
                      : run_address(run, launch->args.data[i]);
    args[launch->args.count] = columns->input < 0 ? NULL : packed_columns(run, columns, args);
}
