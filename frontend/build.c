/* Graph → passes → executable; see build.h. */
#include "frontend/build.h"

#include "base/clock.h"
#include "base/status.h"
#include "base/thread/deep.h"
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

/* One build. */
typedef struct Build {
    const Graph *graph;          /* what is built */
    const BuildOptions *options; /* how */
    Executable **out;            /* what comes of it */
    BuildTimes times;            /* that it took */
    sn_error *error;             /* what went wrong */
    sn_status status;            /* whether something did */
} Build;

static void build(void *context) {
    Build *b = context;
    Program program;
    program_init(&program);
    int64_t begin = clock_ns();
    b->status = graph_plan(b->graph, b->options, &program, b->error);
    int64_t planned = clock_ns();
    if (b->status == SN_OK) b->status = executable_build(&program, b->out, b->error);
    b->times = (BuildTimes){planned - begin, clock_ns() - planned};
    if (b->status != SN_OK) program_free(&program);
}

sn_status graph_build(const Graph *graph, const BuildOptions *options, Executable **out,
                      BuildTimes *times, sn_error *error) {
    Build b = {.graph = graph, .options = options, .out = out, .error = error};
    deep_call(build, &b);
    if (times) *times = b.times;
    return b.status;
}
