/* Graph → passes → executable; see build.h. */
#include "frontend/build.h"

#include "base/clock.h"
#include "base/status.h"
#include "base/thread/parallel.h"

sn_status graph_plan(const Graph *graph, const BuildOptions *options, Program *program,
                     sn_error *error) {
    PipelineOptions passes = {.target = target_host(),
                              .threads = parallel_threads(),
                              .fast = options->fast,
                              .explain = options->explain,
                              .observer = options->observer,
                              .user = options->user};
    sn_status status = pipeline_run(graph, &passes, program, error);
    if (status == SN_OK && graph->table && graph->table->failed) /* the program is worthless */
        status = error_set(error, SN_ERROR_UNSUPPORTED, "its sizes are too complex");
    return status;
}

sn_status graph_build(const Graph *graph, const BuildOptions *options, Executable **out,
                      BuildTimes *times, sn_error *error) {
    Program program;
    program_init(&program);
    int64_t begin = clock_ns();
    sn_status status = graph_plan(graph, options, &program, error);
    int64_t planned = clock_ns();
    if (status == SN_OK) status = executable_build(&program, out, error);
    if (times) *times = (BuildTimes){planned - begin, clock_ns() - planned};
    if (status != SN_OK) program_free(&program);
    return status;
}
