/* From a recorded graph to an executable: the pipeline, then kernels from the cache. */
#include "frontend/compiled.h"

#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "passes/pass.h"

sn_status compile_graph(const Graph *graph, bool fast, bool explain, Executable **out,
                        int64_t *plan_ns, int64_t *load_ns, sn_error *error) {
    PipelineOptions options = {
        .target = target_host(), .threads = parallel_threads(), .fast = fast, .explain = explain};
    Program program;
    program_init(&program);
    sn_error own = {0};
    if (!error) error = &own;
    int64_t begin = clock_ns();
    sn_status status = pipeline_run(graph, &options, &program, error);
    *plan_ns = clock_ns() - begin;
    begin = clock_ns();
    if (status == SN_OK) status = executable_build(&program, out, error);
    *load_ns = clock_ns() - begin;
    if (status != SN_OK) program_free(&program);
    return status;
}
