/* Dumps: the stages of a graph's compilation, and sn_dump; see dump.h and sinter/inspect.h. */
#include "frontend/inspect/dump.h"

#include "base/status.h"
#include "base/thread/deep.h"
#include "frontend/build.h"
#include "frontend/inspect/explain.h"
#include "frontend/inspect/refusals.h"
#include "frontend/inspect/report.h"
#include "frontend/tensor/thread.h"
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

sn_error *dump_begin_error(sn_error *given, sn_error *own) {
    sn_error *error = given ? given : own;
    *own = (sn_error){0};
    *error = (sn_error){0};
    return error;
}

void dump_end_error(const sn_error *given, const sn_error *own) {
    if (!given && own->status) error_raise_from(own, (Site){0});
}

/* ---- the stages ------------------------------------------------------------------------------ */

/* What can be dumped. Of a pass, which is a stage too, there is nothing to say but its name: what it
 * leaves is printed. */
typedef struct DumpStage DumpStage;
struct DumpStage {
    const char *name; /* as sn_dump is given it */
    /* Prints the graph as the passes get it; NULL: nothing. */
    void (*recorded)(const Graph *graph, StrBuf *out);
    bool every_pass; /* prints what each pass leaves */
    /* Prints the program that they make; NULL: nothing. */
    sn_status (*planned)(const DumpStage *stage, const Program *program, StrBuf *out,
                         sn_error *error);
    const Target *(*target)(void); /* of code: what it is for */
    BackendStage code;             /* of code: which */
    /* Prints what a called function has, and a graph alone has not; NULL: it is a graph's. */
    sn_status (*function)(sn_compiled *c, const TraceNote *latest, StrBuf *out, sn_error *error);
};

static void print_recorded(const Graph *graph, StrBuf *out) {
    strbuf_add(out, "--- as recorded ---\n");
    graph_print(graph, out);
}

static sn_status print_program(const DumpStage *stage, const Program *program, StrBuf *out,
                               sn_error *error) {
    (void)stage, (void)error;
    program_print(program, program->numbers.data, out);
    return SN_OK;
}

/* What fused into which kernels, and what did not and why. */
static sn_status print_fusion(const DumpStage *stage, const Program *program, StrBuf *out,
                              sn_error *error) {
    (void)stage, (void)error;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        strbuf_addf(out, "kernel %u: %s, %lld bytes\n", i, step->label,
                    (long long)program->numbers.data[step->costs + COST_BYTES]);
    }
    refusals_print(program, "not fused: ", out);
    strbuf_addf(out, "peak memory %lld bytes\n",
                (long long)program->numbers.data[PROGRAM_PEAK_BYTES]);
    return SN_OK;
}

static sn_status print_kernels(const DumpStage *stage, const Program *program, StrBuf *out,
                               sn_error *error) {
    (void)stage, (void)error;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        strbuf_addf(out, "; kernel %u: %s\n", i, step->label);
        kernel_print(program_kernel(program, &step->launch), out, program->sites.data);
    }
    return SN_OK;
}

static sn_status print_code(const DumpStage *stage, const Program *program, StrBuf *out,
                            sn_error *error) {
    const Target *target = stage->target();
    const Backend *b = backend_load(target_backend(target), error);
    if (!b) return error->status;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        Schedule schedule = {.stream_stores = program->numbers.data[step->launch.streams] != 0};
        char name[32];
        snprintf(name, sizeof name, "kernel_%u", i);
        strbuf_addf(out, "; kernel %u: %s\n", i, step->label);
        sn_status status = backend_print(b, program_kernel(program, &step->launch), target,
                                         &schedule, name, stage->code, out, error);
        if (status != SN_OK) return status;
        strbuf_add_char(out, '\n');
    }
    return SN_OK;
}

static sn_status print_guards(sn_compiled *c, const TraceNote *latest, StrBuf *out,
                              sn_error *error) {
    (void)error;
    ParamNames names;
    param_names_open(c, compiled_graph_recorded(latest->instance->graph), &names);
    explain_guards(c, &names, out);
    param_names_close(&names);
    return SN_OK;
}

static sn_status print_report(sn_compiled *c, const TraceNote *latest, StrBuf *out,
                              sn_error *error) {
    return report_write(c, latest, &(ReportOptions){.code = true}, out, error);
}

static const DumpStage stages[] = {
    {.name = "graph", .recorded = graph_print},
    {.name = "dot", .recorded = graph_print_dot},
    {.name = "program", .planned = print_program},
    {.name = "explain", .planned = print_fusion},
    {.name = "kernels", .planned = print_kernels},
    {.name = "llvm", .planned = print_code, .target = target_host, .code = STAGE_SOURCE},
    {.name = "asm", .planned = print_code, .target = target_host, .code = STAGE_ASSEMBLY},
    {.name = "cuda", .planned = print_code, .target = target_cuda, .code = STAGE_SOURCE},
    {.name = "ptx", .planned = print_code, .target = target_cuda, .code = STAGE_ASSEMBLY},
    {.name = "all", .recorded = print_recorded, .every_pass = true, .planned = print_kernels},
    {.name = "guards", .function = print_guards},
    {.name = "html", .function = print_report},
};
enum { STAGES = sizeof stages / sizeof stages[0] };

static bool is_pass(const char *name) {
    for (const Pass *pass = pass_pipeline; pass->name; pass++)
        if (strcmp(pass->name, name) == 0) return true;
    return false;
}

/* Names those that there are. */
static sn_status refuse_stage(const char *name, bool of_function, sn_error *error) {
    StrBuf known = {0};
    for (int32_t i = 0; i < STAGES; i++)
        if (of_function || !stages[i].function)
            strbuf_addf(&known, "%s%s", i ? ", " : "", stages[i].name);
    for (const Pass *pass = pass_pipeline; pass->name; pass++)
        strbuf_addf(&known, ", %s", pass->name);
    sn_status status =
        known.failed
            ? error_memory(error)
            : error_set(error, SN_ERROR_ARGUMENT, "%s: unknown stage \"%.40s\"; stages: %s",
                        of_function ? "dump" : "graph_dump", name, strbuf_text(&known));
    strbuf_free(&known);
    return status;
}

/* The row of a stage that functions, or graphs alone, have. */
static sn_status find_stage(const char *name, bool of_function, DumpStage *stage, sn_error *error) {
    int32_t i = 0;
    while (i < STAGES && strcmp(stages[i].name, name) != 0) i++;
    bool there = i < STAGES ? of_function || !stages[i].function : is_pass(name);
    if (!there) return refuse_stage(name, of_function, error);
    *stage = i < STAGES ? stages[i] : (DumpStage){.name = name};
    return SN_OK;
}

/* ---- of a graph ------------------------------------------------------------------------------ */

static void print_groups(const PassContext *context, StrBuf *out) {
    const Fusion *fusion = &context->fusion;
    for (uint32_t i = 0; i < fusion->order.count; i++) {
        const Group *group = &fusion->groups.data[fusion->order.data[i]];
        strbuf_addf(out, "  kernel %u [", i);
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

/* A dump on its way through the passes. */
typedef struct PassDump {
    const DumpStage *stage; /* what is wanted */
    StrBuf *out;            /* where to */
    bool found;             /* a pass printed */
} PassDump;

static void observe_pass(void *user, const char *pass, const PassContext *context) {
    PassDump *dump = user;
    if (!dump->stage->every_pass && strcmp(dump->stage->name, pass) != 0) return;
    dump->found = true;
    strbuf_addf(dump->out, "%s--- after %s ---\n", dump->out->length ? "\n" : "", pass);
    if (strcmp(pass, "plan") == 0 || strcmp(pass, "lower") == 0)
        program_print(context->program, context->program->numbers.data, dump->out);
    else
        graph_print(&context->graph, dump->out);
    if (strcmp(pass, "fuse") == 0) print_groups(context, dump->out);
}

static sn_status print_stage(const Graph *graph, bool fast, const DumpStage *stage, StrBuf *out,
                             sn_error *error) {
    SN_ASSERT(!stage->function);
    if (stage->recorded) stage->recorded(graph, out);
    if (stage->recorded && !stage->planned) return SN_OK;
    PassDump dump = {stage, out, false};
    BuildOptions options = {.fast = fast, .explain = true, .observer = observe_pass, .user = &dump};
    Program program;
    program_init(&program);
    sn_status status = graph_plan(graph, &options, &program, error);
    if (status == SN_OK && stage->planned) status = stage->planned(stage, &program, out, error);
    if (status == SN_OK && !stage->planned && !dump.found)
        status =
            error_set(error, SN_ERROR_ARGUMENT, "dump: the pass %s is switched off", stage->name);
    program_free(&program);
    return status;
}

sn_status dump_graph(const Graph *graph, const char *name, StrBuf *out, sn_error *error) {
    DumpStage stage;
    sn_status status = find_stage(name, false, &stage, error);
    return status == SN_OK ? print_stage(graph, false, &stage, out, error) : status;
}

/* ---- of a compiled function ------------------------------------------------------------------ */

/* A symbolic graph is made anew: its passes add expressions to a table of their own. */
static sn_status print_instance(const GraphInstance *instance, bool fast, const DumpStage *stage,
                                StrBuf *out, sn_error *error) {
    const SymbolicGraph *symbolic = instance->graph->symbolic;
    if (!symbolic) return print_stage(&instance->graph->own, fast, stage, out, error);
    SymbolicGraph again;
    if (!symbolic_copy(&again, symbolic, error)) return error->status;
    sn_status status = print_stage(&again.graph, fast, stage, out, error);
    symbolic_free(&again);
    return status;
}

/* A dump of a function. */
typedef struct FunctionDump {
    sn_compiled *c;   /* of what */
    const char *name; /* of which stage */
    sn_error *error;  /* what went wrong */
    char *text;       /* what is dumped, or NULL */
} FunctionDump;

/* Stages are made anew, code generators included. */
static void dump_function(void *context) {
    FunctionDump *d = context;
    TraceNote latest = latest_get(&d->c->latest);
    if (!latest.instance) {
        error_set(d->error, SN_ERROR_ARGUMENT, "dump: %s was not called yet", d->c->name);
        return;
    }
    StrBuf text = {0};
    DumpStage stage;
    sn_status status = find_stage(d->name, true, &stage, d->error);
    if (status == SN_OK)
        status = stage.function
                     ? stage.function(d->c, &latest, &text, d->error)
                     : print_instance(latest.instance, d->c->options.fast, &stage, &text, d->error);
    instance_release(latest.instance);
    d->text = dump_finish(&text, status, d->error);
}

char *sn_dump(sn_compiled *c, const char *name, sn_error *given) {
    sn_error own, *error = dump_begin_error(given, &own);
    FunctionDump d = {.c = c, .name = name, .error = error};
    if (compiled_check_for(c, "dump", error) == SN_OK) {
        if (name)
            deep_call(dump_function, &d);
        else
            error_set(error, SN_ERROR_ARGUMENT, "dump: stage is NULL");
    }
    dump_end_error(given, &own);
    return d.text;
}
