/* Dumps: the stages of a graph's compilation, and sn_dump; see dump.h and sinter/inspect.h. */
#include "frontend/inspect/dump.h"

#include "base/status.h"
#include "base/thread/parallel.h"
#include "frontend/inspect/explain.h"
#include "frontend/inspect/report.h"
#include "passes/pass.h"
#include "runtime/kernels/backend.h"

#include <sinter/inspect.h>

#include <stdio.h>

void sn_text_free(char *text) {
    mem_free(text);
}

char *dump_finish(StrBuf *text, sn_status status, sn_error *error) {
    if (status != SN_OK) {
        strbuf_free(text);
        return NULL;
    }
    char *result = strbuf_take(text);
    if (!result) error_memory(error);
    return result;
}

/* ---- stages --------------------------------------------------------------------------------- */

/* Text of the stages of one compilation, as the observer sees them. */
typedef struct StageDump {
    const char *wanted; /* pass name */
    StrBuf *out;        /* where to */
    bool found;         /* the pass was run */
} StageDump;

static void print_groups(const PassContext *context, StrBuf *out) {
    const Fusion *fusion = &context->fusion;
    for (uint32_t i = 0; i < fusion->order.count; i++) {
        const Group *group = &fusion->groups.data[fusion->order.data[i]];
        strbuf_addf(out, "  %s %u [", group->is_extern ? "extern" : "kernel", i);
        dim_print(out, context->graph.table, group->a);
        strbuf_add(out, ", ");
        dim_print(out, context->graph.table, group->k);
        strbuf_add(out, ", ");
        dim_print(out, context->graph.table, group->b);
        strbuf_add(out, "]:");
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            strbuf_addf(out, " %%%u%s", id, fusion->materialized[id] ? "!" : "");
        }
        strbuf_add_char(out, '\n');
    }
    strbuf_add(out, "  (! = stored in memory)\n");
}

static void observe_stage(void *user, const char *pass, const PassContext *context) {
    StageDump *dump = user;
    bool all = strcmp(dump->wanted, "all") == 0;
    if (!all && strcmp(dump->wanted, pass) != 0) return;
    dump->found = true;
    strbuf_addf(dump->out, "%s--- after %s ---\n", dump->out->length ? "\n" : "", pass);
    if (strcmp(pass, "plan") == 0 || strcmp(pass, "lower") == 0)
        program_print(context->program, context->program->numbers.data, dump->out);
    else
        graph_print(&context->graph, dump->out);
    if (strcmp(pass, "fuse") == 0) print_groups(context, dump->out);
}

static sn_status run_pipeline(const Graph *graph, bool fast, StageDump *dump, Program *program,
                              sn_error *error) {
    PipelineOptions options = {.target = target_host(),
                               .threads = parallel_threads(),
                               .fast = fast,
                               .explain = true,
                               .observer = dump ? observe_stage : NULL,
                               .user = dump};
    return pipeline_run(graph, &options, program, error);
}

static sn_status print_code(const Program *program, const Target *target, BackendStage stage,
                            StrBuf *out, sn_error *error) {
    const Backend *b = backend_load(target_backend(target), error);
    if (!b) return error->status;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        if (step->kind != STEP_KERNEL) continue;
        Schedule schedule = {.stream_stores = program->numbers.data[step->launch.streams] != 0};
        char name[32];
        snprintf(name, sizeof name, "kernel_%u", i);
        strbuf_addf(out, "; kernel %u: %s\n", i, step->label);
        sn_status status = b->print(program_kernel(program, &step->launch), target, &schedule, name,
                                    stage, out, error);
        if (status != SN_OK) return status;
        strbuf_add_char(out, '\n');
    }
    return SN_OK;
}

static void print_kernels(const Program *program, StrBuf *out) {
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        if (step->kind != STEP_KERNEL) continue;
        strbuf_addf(out, "; kernel %u: %s\n", i, step->label);
        kernel_print(program_kernel(program, &step->launch), out, program->sites.data);
    }
}

/* Stages of code: (name, what it is for, stage). */
static const struct CodeStage {
    const char *name;
    const Target *(*target)(void);
    BackendStage stage;
} code_stages[] = {
    {"llvm", target_host, STAGE_SOURCE},
    {"asm", target_host, STAGE_ASSEMBLY},
    {"cuda", target_cuda, STAGE_SOURCE},
    {"ptx", target_cuda, STAGE_ASSEMBLY},
};

static const char stage_names[] =
    "graph, dot, decompose, simplify, split_reductions, layout, fuse, plan, "
    "lower, program, kernels, llvm, asm, cuda, ptx, html, all";

sn_status dump_stage(const Graph *graph, bool fast, const char *stage, StrBuf *out,
                     sn_error *error) {
    if (strcmp(stage, "graph") == 0) return graph_print(graph, out), SN_OK;
    if (strcmp(stage, "dot") == 0) return graph_print_dot(graph, out), SN_OK;
    Program program;
    program_init(&program);
    StageDump dump = {stage, out, false};
    if (strcmp(stage, "all") == 0) {
        strbuf_add(out, "--- as recorded ---\n");
        graph_print(graph, out);
    }
    sn_status status = run_pipeline(graph, fast, &dump, &program, error);
    bool known = dump.found;
    if (status == SN_OK && (strcmp(stage, "kernels") == 0 || strcmp(stage, "all") == 0)) {
        print_kernels(&program, out);
        known = true;
    }
    if (status == SN_OK && strcmp(stage, "program") == 0) {
        program_print(&program, program.numbers.data, out);
        known = true;
    }
    for (size_t i = 0; status == SN_OK && i < sizeof code_stages / sizeof code_stages[0]; i++) {
        if (strcmp(stage, code_stages[i].name) != 0) continue;
        status = print_code(&program, code_stages[i].target(), code_stages[i].stage, out, error);
        known = true;
    }
    program_free(&program);
    if (status == SN_OK && !known)
        return error_set(error, SN_ERROR_ARGUMENT, "dump: unknown stage \"%.40s\"; stages: %s",
                         stage, stage_names);
    return status;
}

/* ---- of compiled functions ------------------------------------------------------------------ */

/* A symbolic graph is made anew: its passes add expressions to a table of their own. */
static sn_status dump_instance(const GraphInstance *instance, bool fast, const char *stage,
                               StrBuf *out, sn_error *error) {
    const SymbolicGraph *symbolic = instance->graph->symbolic;
    if (!symbolic) return dump_stage(&instance->graph->own, fast, stage, out, error);
    SymbolicGraph again;
    if (!symbolic_copy(&again, symbolic, error)) return error->status;
    sn_status status = dump_stage(&again.graph, fast, stage, out, error);
    symbolic_free(&again);
    return status;
}

/* The report of what ran in the latest trace. */
static sn_status dump_report(sn_compiled *c, const TraceNote *latest, StrBuf *out,
                             sn_error *error) {
    const CompiledGraph *graph = latest->instance->graph;
    if (!graph->symbolic) return report_write(c, latest, &graph->own, out, error);
    SymbolicGraph again;
    if (!symbolic_copy(&again, graph->symbolic, error)) return error->status;
    sn_status status = report_write(c, latest, &again.graph, out, error);
    symbolic_free(&again);
    return status;
}

char *sn_dump(sn_compiled *c, const char *stage, sn_error *error) {
    sn_error own = {0};
    if (!error) error = &own;
    *error = (sn_error){0};
    if (!c || !stage) {
        error_set(error, SN_ERROR_ARGUMENT, "dump: %s is NULL", c ? "stage" : "the handle");
        return NULL;
    }
    TraceNote latest = latest_get(&c->latest);
    if (!latest.instance) {
        error_set(error, SN_ERROR_ARGUMENT, "dump: %s was not called yet", c->name);
        return NULL;
    }
    StrBuf text = {0};
    sn_status status = SN_OK;
    if (strcmp(stage, "guards") == 0)
        explain_guards(c, &text);
    else if (strcmp(stage, "html") == 0)
        status = dump_report(c, &latest, &text, error);
    else
        status = dump_instance(latest.instance, c->options.fast, stage, &text, error);
    instance_release(latest.instance);
    return dump_finish(&text, status, error);
}
