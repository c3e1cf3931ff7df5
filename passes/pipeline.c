/* The pipeline: the array of passes, read from top to bottom, and its driver. */
#include "base/settings.h"
#include "base/status.h"
#include "base/thread/log.h"
#include "passes/rewrite/rewrite.h"

const Pass pass_pipeline[] = {
    {"decompose", pass_decompose, true},
    {"simplify", pass_simplify, false},
    {"split_reductions", pass_split_reductions, false},
    {"updates", pass_updates, true},
    {"fuse", pass_fuse, true},
    {"plan", pass_plan, true},
    {"lower", pass_lower, true},
    {"tile", pass_tile, false},
    {NULL, NULL, false},
};

static bool verify_wanted(void) {
#ifndef NDEBUG
    return true;
#else
    return *setting_text(SETTING_VERIFY) == '1';
#endif
}

static sn_status verify(const PassContext *context) {
    const Program *program = context->program;
    sn_status status = graph_verify(&context->graph, context->error);
    for (uint32_t i = 0; status == SN_OK && i < program->kernels.count; i++)
        status = kernel_verify(&program->kernels.data[i], context->error);
    return status;
}

static sn_status run_pass(const Pass *pass, PassContext *context) {
    if (!pass->required && setting_lists(SETTING_DISABLE_PASSES, pass->name)) return SN_OK;
    sn_status status = pass->run(context);
    return status == SN_OK && verify_wanted() ? verify(context) : status;
}

sn_status pipeline_run(const Graph *graph, const PipelineOptions *options, Program *program,
                       sn_error *error) {
    PassContext context = {
        .program = program,
        .target = options->target,
        .threads = options->threads,
        .fast = options->fast,
        .explain = options->explain,
        .error = error,
    };
    int64_t failures = mem_failure_count();
    graph_init_like(&context.graph, graph);
    context.graph.no_fold = true;
    sn_status status = rewrite_into(&context, &rewrite_live, graph, &context.graph);
    context.graph.no_fold = false;
    for (const Pass *pass = pass_pipeline; status == SN_OK && pass->name; pass++) {
        status = run_pass(pass, &context);
        if (status == SN_OK && options->observer)
            options->observer(options->user, pass->name, &context);
    }
    for (uint32_t i = 0; i < context.fusion.groups.count; i++)
        vec_free(&context.fusion.groups.data[i].members);
    vec_free(&context.fusion.groups);
    vec_free(&context.fusion.order);
    vec_free(&context.plan.steps);
    vec_free(&context.rows);
    vec_free(&context.row_args);
    graph_free(&context.graph);
    arena_free(&context.arena);
    /* A pass that found no memory may know only that something was not possible, and go another way. */
    return mem_failure_count() == failures ? status : error_memory_instead(error);
}
