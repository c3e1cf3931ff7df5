/* Explanations and dumps of compiled functions and of graphs as text; see sinter/inspect.h. */
#include "frontend/inspect/explain.h"
#include "frontend/compiled/entries.h"
#include "frontend/inspect/report.h"
#include "frontend/inspect/traffic.h"
#include "frontend/op/run.h"

#include "frontend/build.h"

#include "base/parallel.h"
#include "base/status.h"
#include "frontend/op/run.h"
#include "ir/infer.h"
#include "passes/pass.h"
#include "runtime/backend.h"

#include <sinter/inspect.h>

#include <stdio.h>

struct sn_graph {
    Graph graph;    /* the parsed graph */
    DimTable table; /* its sizes that vary */
};

void sn_text_free(char *text) {
    mem_free(text);
}

/* ---- stages ---------------------------------------------------------------------------------------------------- */

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

static sn_status print_code(const Program *program, const char *backend, BackendStage stage,
                            StrBuf *out, sn_error *error) {
    const Backend *b = backend_load(backend, error);
    if (!b) return error->status;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        if (step->kind != STEP_KERNEL) continue;
        Schedule schedule = {.stream_stores = program->numbers.data[step->launch.streams] != 0};
        char name[32];
        snprintf(name, sizeof name, "kernel_%u", i);
        strbuf_addf(out, "; kernel %u: %s\n", i, step->label);
        sn_status status =
            b->print(&step->launch.kernel, target_host(), &schedule, name, stage, out, error);
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
        kernel_print(&step->launch.kernel, out, program->sites.data);
    }
}

/* Stages of code: (name, backend, stage). */
static const struct CodeStage {
    const char *name;
    const char *backend;
    BackendStage stage;
} code_stages[] = {
    {"llvm", "cpu", STAGE_SOURCE},
    {"asm", "cpu", STAGE_ASSEMBLY},
    {"cuda", "cuda", STAGE_SOURCE},
    {"ptx", "cuda", STAGE_ASSEMBLY},
};

static const char stage_names[] =
    "graph, dot, decompose, simplify, split_reductions, layout, fuse, plan, "
    "lower, program, kernels, llvm, asm, cuda, ptx, html, all";

static sn_status dump_stage(const Graph *graph, bool fast, const char *stage, StrBuf *out,
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
        status = print_code(&program, code_stages[i].backend, code_stages[i].stage, out, error);
        known = true;
    }
    program_free(&program);
    if (status == SN_OK && !known)
        return error_set(error, SN_ERROR_ARGUMENT, "dump: unknown stage \"%.40s\"; stages: %s",
                         stage, stage_names);
    return status;
}

static char *finish_text(StrBuf *text, sn_status status, sn_error *error) {
    if (status != SN_OK) {
        strbuf_free(text);
        return NULL;
    }
    char *result = strbuf_take(text);
    if (!result) error_memory(error);
    return result;
}

/* ---- compiled functions ------------------------------------------------------------------------------------------- */

/* What ran in the latest trace, with a reference; NULL before the first. */
static GraphInstance *latest_instance(sn_compiled *c) {
    lock_take(c->lock);
    GraphInstance *instance = c->latest ? instance_retain(c->latest) : NULL;
    lock_give(c->lock);
    return instance;
}

/* A graph with what its expressions come to. */
typedef struct SizedGraph {
    const Graph *graph; /* as recorded, or with expressions */
    int64_t *values;    /* of them; NULL: those at hand when it was made */
} SizedGraph;

/* False when out of memory. */
static bool sized_open(const GraphInstance *instance, SizedGraph *sized) {
    const CompiledGraph *graph = instance->graph;
    sized->graph = graph->general ? &graph->general->graph : &graph->own;
    sized->values = instance_values(instance);
    return sized->values || !graph->general;
}

static int64_t sized_dim(const SizedGraph *sized, Dim dim) {
    return sized->values ? dim_value(sized->values, dim) : dim_hint(sized->graph->table, dim);
}

/* The type of a node at these sizes. */
static TensorType sized_type(const SizedGraph *sized, NodeId id) {
    TensorType type = node_type(sized->graph, id);
    for (int32_t i = 0; i < type.rank; i++) type.dims[i] = dim_of(sized_dim(sized, type.dims[i]));
    return type;
}

static int32_t count_ops(const Graph *graph) {
    int32_t ops = 0;
    for (NodeId i = 0; i < graph->nodes.count; i++)
        ops += !op_is((OpCode)graph_node(graph, i)->op, CLASS_SOURCE);
    return ops;
}

static void explain_steps(const Executable *executable, sn_explanation *e) {
    const Program *program = executable_program(executable);
    const int64_t *numbers = executable_numbers(executable);
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        const int64_t *costs = numbers + step->costs;
        if (step->kind == STEP_KERNEL)
            e->kernels++;
        else
            e->extern_calls++;
        e->bytes += costs[COST_BYTES];
        e->bytes_stored += costs[COST_BYTES_STORED];
        e->flops += costs[COST_FLOPS];
        e->instructions += costs[COST_INSTRUCTIONS];
    }
    e->reorders = program->reorders;
    e->peak_bytes = numbers[PROGRAM_PEAK_BYTES];
}

static void explain_instance(const GraphInstance *instance, sn_explanation *e) {
    Graph recorded;
    e->ops = count_ops(compiled_recorded(instance->graph));
    e->plan_ns = instance->graph->times.plan_ns;
    e->compile_ns = instance->graph->times.load_ns;
    if (instance_recorded(instance, &recorded)) e->bytes_unfused = unfused_bytes(&recorded);
    graph_free(&recorded);
    if (instance->executable) explain_steps(instance->executable, e);
}

sn_status sn_explain(sn_compiled *c, sn_explanation *out) {
    if (!c || !out) return SN_ERROR_ARGUMENT;
    sn_explanation e = {.size = sizeof e, .rerun = atomic_load(&c->impure)};
    lock_take(c->lock);
    e.entries = (int32_t)c->entries.count;
    e.graphs = (int32_t)c->graphs.count;
    e.trace_ns = c->trace_ns;
    e.host_reads = c->host_reads;
    e.fallbacks = (int32_t)c->fallbacks;
    lock_give(c->lock);
    GraphInstance *instance = latest_instance(c);
    if (instance) explain_instance(instance, &e);
    instance_release(instance);
    size_t size = out->size ? out->size : sizeof e;
    memcpy(out, &e, size < sizeof e ? size : sizeof e);
    return SN_OK;
}

/* "%0: f32[2,3], %1: f32[3]" */
static void print_inputs(const GraphInstance *instance, StrBuf *out) {
    SizedGraph sized;
    if (sized_open(instance, &sized)) {
        const Graph *graph = sized.graph;
        for (uint32_t j = 0; j < graph->inputs.count; j++) {
            TensorType type = sized_type(&sized, graph->inputs.data[j]);
            strbuf_addf(out, "%s%%%u: ", j ? ", " : "", graph->inputs.data[j]);
            type_print(out, &type);
        }
    } else {
        out->failed = true;
    }
    mem_free(sized.values);
}

/* "s0 = dim 1 of %0": where the symbol's value is read. */
static void print_symbol_source(const GeneralGraph *general, uint32_t symbol, StrBuf *out) {
    const SymbolWord *at = &general->symbol_words.data[symbol];
    const Graph *graph = &general->recorded;
    NodeId id = 0;
    while (id + 1 < graph->nodes.count && graph_node(graph, id + 1)->dims <= at->word) id++;
    const Node *node = graph_node(graph, id);
    Site site = graph->sites.data[node->site];
    if (at->word < node->attrs)
        strbuf_addf(out, "dim %u of %%%u", at->word - node->dims, id);
    else
        strbuf_addf(out, "a number of %s", op_info[node->op].name);
    if (at->divisor > 1) strbuf_addf(out, " over %lld", (long long)at->divisor);
    if (node->op != OP_INPUT && site.file) strbuf_addf(out, " (%s:%d)", site.file, (int)site.line);
}

/* Symbols with their bounds, and the guards that the sizes must meet. */
static void print_general(const GeneralGraph *general, StrBuf *out) {
    const DimTable *table = &general->table;
    for (uint32_t i = 0; i < table->symbols.count; i++) {
        Dim symbol = table->symbols.data[i].dim;
        strbuf_add(out, i ? ", " : "    ");
        dim_print(out, table, symbol);
        strbuf_add(out, " is ");
        print_symbol_source(general, i, out);
        int64_t least = dim_least(table, symbol), most = dim_most(table, symbol);
        if (least > 0) strbuf_addf(out, ", at least %lld", (long long)least);
        if (most < INT64_MAX) strbuf_addf(out, ", at most %lld", (long long)most);
    }
    if (table->symbols.count) strbuf_add_char(out, '\n');
    for (uint32_t i = 0; i < table->guards.count; i++) {
        strbuf_add(out, "    guard ");
        dim_print_guard(out, table, &table->guards.data[i]);
        strbuf_add_char(out, '\n');
    }
}

static void print_graphs(sn_compiled *c, StrBuf *out) {
    for (uint32_t i = 0; i < c->graphs.count; i++) {
        const CompiledGraph *graph = c->graphs.data[i];
        const GeneralGraph *general = graph->general;
        strbuf_addf(out, "  graph %u: %d ops, %s", i, (int)count_ops(compiled_recorded(graph)),
                    general ? "general" : "for its own sizes");
        if (general && general->n_scalars)
            strbuf_addf(out, ", %u scalars are arguments", general->n_scalars);
        strbuf_addf(out, "%s\n", graph->executable ? "" : ", run node by node");
        if (general) print_general(general, out);
    }
}

enum { ENTRIES_SHOWN = 8 };

void explain_guards(sn_compiled *c, StrBuf *out) {
    lock_take(c->lock);
    print_graphs(c, out);
    uint32_t count = c->entries.count, first = count > ENTRIES_SHOWN ? count - ENTRIES_SHOWN : 0;
    if (first) strbuf_addf(out, "  … %u entries before\n", first);
    for (uint32_t i = first; i < count; i++) {
        const Entry *entry = c->entries.data[i];
        strbuf_addf(out, "  entry %u (%u words): ", i, entry->key_words);
        print_inputs(entry->instance, out);
        strbuf_addf(out, "; dtypes, ranks, sizes, strides, sharing%s%s\n",
                    c->n_watch ? ", declared memory" : "",
                    entry->writes ? ", no overlap with what is written" : "");
    }
    if (!c->entries.count) strbuf_add(out, "  none: the function is run on every call\n");
    lock_give(c->lock);
}

static void print_summary(sn_compiled *c, const sn_explanation *e, StrBuf *out) {
    strbuf_addf(out, "%s: %d ops, %d kernels, %d extern calls", c->name, e->ops, e->kernels,
                e->extern_calls);
    if (e->reorders) strbuf_addf(out, ", %d reorders", e->reorders);
    strbuf_addf(out, "; %d entries, %d graphs, %d host reads, %d fallbacks\n", e->entries,
                e->graphs, e->host_reads, e->fallbacks);
    lock_take(c->lock);
    Site read = c->read_site;
    if (e->rerun)
        strbuf_addf(out, "  run on every call: %s%s%s\n", c->impure_reason ? c->impure_reason : "",
                    c->impure_detail ? ": " : "", c->impure_detail ? c->impure_detail : "");
    lock_give(c->lock);
    if (e->host_reads && read.file)
        strbuf_addf(out, "  first host read: %s:%d\n", read.file, (int)read.line);
    strbuf_addf(out, "  trace %.3f ms, passes %.3f ms, kernels %.3f ms\n",
                (double)e->trace_ns * 1e-6, (double)e->plan_ns * 1e-6,
                (double)e->compile_ns * 1e-6);
    strbuf_addf(out, "  bytes moved %lld (op by op %lld), peak memory %lld\n", (long long)e->bytes,
                (long long)e->bytes_unfused, (long long)e->peak_bytes);
}

static void print_steps(const GraphInstance *graph, StrBuf *out) {
    const Program *program = executable_program(graph->executable);
    const int64_t *numbers = executable_numbers(graph->executable);
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        const LoadedKernel *kernel = executable_kernel(graph->executable, i);
        static const char *const sources[] = {"memory", "pack", "disk", "compiled"};
        strbuf_addf(out, "  %s %s: %s, %lld bytes%s%s\n", kernel ? "kernel" : "extern",
                    kernel ? kernel->name : "gemm", step->label,
                    (long long)numbers[step->costs + COST_BYTES], kernel ? ", " : "",
                    kernel ? sources[kernel->source] : "");
    }
    for (uint32_t i = 0; i < program->notes.count; i++)
        strbuf_addf(out, "  not fused: %s\n", program->notes.data[i]);
}

char *sn_explain_text(sn_compiled *c) {
    sn_explanation e = {.size = sizeof e};
    StrBuf text = {0};
    if (sn_explain(c, &e) != SN_OK) return NULL;
    print_summary(c, &e, &text);
    GraphInstance *instance = latest_instance(c);
    if (instance && instance->graph->failure)
        strbuf_addf(&text, "  not compiled: %s\n", instance->graph->failure);
    strbuf_add(&text, "guards\n");
    explain_guards(c, &text);
    if (instance && instance->executable) {
        strbuf_add(&text, "kernels\n");
        print_steps(instance, &text);
    }
    instance_release(instance);
    return strbuf_take(&text);
}

/* A general graph is made anew: its passes add expressions to a table of their own. */
static sn_status dump_instance(const GraphInstance *instance, bool fast, const char *stage,
                               StrBuf *out, sn_error *error) {
    const GeneralGraph *general = instance->graph->general;
    if (!general) return dump_stage(&instance->graph->own, fast, stage, out, error);
    GeneralGraph again;
    if (!general_copy(&again, general, error)) return error->status;
    sn_status status = dump_stage(&again.graph, fast, stage, out, error);
    general_free(&again);
    return status;
}

/* The report of what runs in the latest trace. */
static sn_status dump_report(sn_compiled *c, const GraphInstance *instance, StrBuf *out,
                             sn_error *error) {
    const GeneralGraph *general = instance->graph->general;
    if (!general) return report_write(c, instance, &instance->graph->own, out, error);
    GeneralGraph again;
    if (!general_copy(&again, general, error)) return error->status;
    sn_status status = report_write(c, instance, &again.graph, out, error);
    general_free(&again);
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
    GraphInstance *instance = latest_instance(c);
    if (!instance) {
        error_set(error, SN_ERROR_ARGUMENT, "dump: %s was not called yet", c->name);
        return NULL;
    }
    StrBuf text = {0};
    sn_status status = SN_OK;
    if (strcmp(stage, "guards") == 0)
        explain_guards(c, &text);
    else if (strcmp(stage, "html") == 0)
        status = dump_report(c, instance, &text, error);
    else
        status = dump_instance(instance, c->fast, stage, &text, error);
    instance_release(instance);
    return finish_text(&text, status, error);
}

/* Has the tensor the dtype, dims and strides of this input of the graph? */
static bool input_fits(const SizedGraph *sized, uint32_t input, const sn_tensor *t) {
    if (!t || t->magic != TENSOR_ALIVE || t->kind != TENSOR_REAL) return false;
    NodeId id = sized->graph->inputs.data[input];
    TensorType wanted = sized_type(sized, id);
    int32_t n;
    const Dim *dims = node_attr_dims(sized->graph, id, ATTR_STRIDES, &n);
    int64_t strides[SN_MAX_RANK];
    for (int32_t i = 0; i < n; i++) strides[i] = sized_dim(sized, dims[i]);
    size_t bytes = sizeof(int64_t) * t->rank;
    return t->dtype == wanted.dtype && t->rank == wanted.rank &&
           memcmp(t->dims, wanted.dims, bytes) == 0 &&
           (n ? memcmp(t->strides, strides, bytes) == 0 : tensor_is_dense(t));
}

/* Points the memory at these inputs; false where one does not fit. */
static bool set_inputs(const SizedGraph *sized, const sn_value *inputs, int32_t n_inputs,
                       RunMemory *m) {
    for (int32_t i = 0; i < n_inputs; i++) {
        if (inputs[i].kind != SN_VALUE_TENSOR ||
            !input_fits(sized, (uint32_t)i, inputs[i].as.tensor))
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
        Site site;
        int64_t begin = clock_ns();
        for (int32_t i = 0; i < calls; i++) run_launch(&memory, executable, &site, NULL);
        seconds = (double)(clock_ns() - begin) * 1e-9 / calls;
    }
    run_close(&memory);
    return seconds;
}

double sn_kernel_seconds(sn_compiled *c, const sn_value *inputs, int32_t n_inputs, int32_t calls) {
    GraphInstance *instance = c ? latest_instance(c) : NULL;
    double seconds = -1;
    bool valid = calls >= 1 && n_inputs >= 0 && (!n_inputs || inputs);
    SizedGraph sized;
    if (instance && instance->executable && valid && sized_open(instance, &sized)) {
        seconds = time_instance(instance, &sized, inputs, n_inputs, calls);
        mem_free(sized.values);
    }
    instance_release(instance);
    return seconds;
}

/* ---- graphs as text ----------------------------------------------------------------------------------------------- */

sn_graph *sn_graph_parse(const char *text, size_t length, sn_error *error) {
    sn_error own = {0};
    if (!error) error = &own;
    *error = (sn_error){0};
    if (!text) {
        error_set(error, SN_ERROR_ARGUMENT, "graph_parse: the text is NULL");
        return NULL;
    }
    sn_graph *graph = mem_calloc(1, sizeof *graph);
    if (!graph) {
        error_memory(error);
        return NULL;
    }
    graph_init(&graph->graph, "graph");
    dims_init(&graph->table);
    graph->graph.table = &graph->table;
    if (graph_parse(&graph->graph, text, length, error) == SN_OK) return graph;
    sn_graph_free(graph);
    return NULL;
}

char *sn_graph_print(const sn_graph *graph) {
    StrBuf text = {0};
    if (!graph) return NULL;
    graph_print(&graph->graph, &text);
    return strbuf_take(&text);
}

/* Passes add expressions to the graph's table; a graph of the program may be used by several threads,
 * so they get a copy. */
static sn_graph *copy_to_plan(const sn_graph *graph, sn_error *error) {
    StrBuf text = {0};
    graph_print(&graph->graph, &text);
    sn_graph *copy = NULL;
    if (text.failed)
        error_memory(error);
    else
        copy = sn_graph_parse(strbuf_text(&text), text.length, error);
    strbuf_free(&text);
    return copy;
}

char *sn_graph_dump(const sn_graph *graph, const char *stage, sn_error *error) {
    sn_error own = {0};
    if (!error) error = &own;
    *error = (sn_error){0};
    if (!graph || !stage) {
        error_set(error, SN_ERROR_ARGUMENT, "graph_dump: %s is NULL", graph ? "stage" : "graph");
        return NULL;
    }
    sn_graph *copy = copy_to_plan(graph, error);
    if (!copy) return NULL;
    StrBuf text = {0};
    sn_status status = dump_stage(&copy->graph, false, stage, &text, error);
    sn_graph_free(copy);
    return finish_text(&text, status, error);
}

/* Handles of the results; all or none. */
static sn_status hand_over(const Executable *executable, const RunMemory *m, sn_tensor **outputs,
                           sn_error *error) {
    const Program *program = executable_program(executable);
    const int64_t *numbers = executable_numbers(executable);
    for (uint32_t i = 0, at = 0; i < program->outputs.count; i++) {
        const ProgramOutput *o = &program->outputs.data[i];
        if (o->writes_input >= 0) continue;
        Storage *storage = m->results[program->buffers.data[o->buffer].number];
        TensorType type = {.dtype = o->dtype, .rank = o->rank};
        memcpy(type.dims, numbers + o->dims, sizeof(int64_t) * o->rank);
        outputs[at] = tensor_detached(storage_retain(storage), &type, numbers + o->strides,
                                      numbers[o->offset]);
        if (outputs[at++]) continue;
        storage_release(storage);
        for (at--; at > 0; outputs[at] = NULL) sn_release(outputs[--at]);
        return error_memory(error);
    }
    return SN_OK;
}

/* A graph from text is run through a function that replays it; here directly. */
static sn_status run_graph(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                           sn_error *error) {
    Executable *executable = NULL;
    sn_status status = graph_build(graph, &(BuildOptions){0}, &executable, NULL, error);
    if (status != SN_OK) return status;
    const Program *program = executable_program(executable);
    RunMemory memory;
    Site site;
    status = run_open(&memory, graph->inputs.count, (uint32_t)program->n_outputs)
                 ? run_make_results(&memory, executable, error)
                 : error_memory(error);
    for (uint32_t i = 0; status == SN_OK && i < graph->inputs.count; i++)
        run_set_tensor(&memory, i, inputs[i]);
    if (status == SN_OK) status = run_launch(&memory, executable, &site, error);
    if (status == SN_OK) status = hand_over(executable, &memory, outputs, error);
    run_close(&memory);
    executable_release(executable);
    return status;
}

/* Outputs of the graph that write no input. */
static int32_t count_results(const Graph *graph) {
    int32_t results = 0;
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        results += graph->outputs.data[i].writes_input < 0;
    return results;
}

static sn_status check_run(const sn_graph *graph, sn_tensor *const *inputs, int32_t n_inputs,
                           sn_tensor *const *outputs, int32_t capacity, sn_error *error) {
    if (!graph || (n_inputs > 0 && !inputs) || (capacity > 0 && !outputs))
        return error_set(error, SN_ERROR_ARGUMENT, "graph_run: %s is NULL",
                         !graph    ? "graph"
                         : !inputs ? "inputs"
                                   : "outputs");
    const Graph *g = &graph->graph;
    const SizedGraph sized = {g, NULL};
    if (n_inputs != (int32_t)g->inputs.count || capacity < count_results(g))
        return error_set(error, SN_ERROR_ARGUMENT,
                         "graph_run: %u inputs and room for %d results are needed", g->inputs.count,
                         (int)count_results(g));
    for (int32_t i = 0; i < n_inputs; i++) {
        const sn_tensor *t = inputs[i];
        if (!t || t->magic != TENSOR_ALIVE || t->kind != TENSOR_REAL)
            return error_set(error, SN_ERROR_ARGUMENT,
                             "graph_run: input %d is NULL, was released, or has no memory", (int)i);
        if (input_fits(&sized, (uint32_t)i, t)) continue;
        TensorType wanted = sized_type(&sized, g->inputs.data[i]), type = tensor_type(t);
        return error_set(error, SN_ERROR_SHAPE, "graph_run: input %d is %s, the graph takes %s%s",
                         (int)i, type_text(&type).text, type_text(&wanted).text,
                         dims_equal(NULL, type.dims, wanted.dims, type.rank) ? " of other strides"
                                                                             : "");
    }
    return SN_OK;
}

sn_status sn_graph_run(const sn_graph *graph, sn_tensor *const *inputs, int32_t n_inputs,
                       sn_tensor **outputs, int32_t capacity, int32_t *n_outputs, sn_error *error) {
    sn_error own = {0};
    if (!error) error = &own;
    *error = (sn_error){0};
    if (n_outputs) *n_outputs = 0;
    sn_status status = check_run(graph, inputs, n_inputs, outputs, capacity, error);
    if (status != SN_OK) return status;
    sn_graph *copy = copy_to_plan(graph, error);
    if (!copy) return error->status;
    status = run_graph(&copy->graph, inputs, outputs, error);
    sn_graph_free(copy);
    if (status == SN_OK && n_outputs) *n_outputs = count_results(&graph->graph);
    return status;
}

void sn_graph_free(sn_graph *graph) {
    if (!graph) return;
    graph_free(&graph->graph);
    dims_free(&graph->table);
    mem_free(graph);
}
