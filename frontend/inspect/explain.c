/* Explanations of compiled functions, as numbers and as text; see sinter/inspect.h. */
#include "frontend/inspect/explain.h"

#include "frontend/compiled/key.h"
#include "frontend/inspect/refusals.h"
#include "frontend/inspect/sized_graph.h"
#include "frontend/inspect/traffic.h"

#include <sinter/inspect.h>

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
        const RowTiling *tiling = program_tiling(program, numbers, i);
        e->kernels += !tiling || tiling->first == i;
        e->bytes += program_step_bytes(program, numbers, i, COST_BYTES);
        e->bytes_stored += program_step_bytes(program, numbers, i, COST_BYTES_STORED);
        e->flops += costs[COST_FLOPS];
        e->instructions += costs[COST_INSTRUCTIONS];
    }
    e->reorders = program->reorders;
    e->peak_bytes = numbers[PROGRAM_PEAK_BYTES];
}

static void explain_instance(const GraphInstance *instance, sn_explanation *e) {
    Graph recorded;
    e->ops = count_ops(compiled_graph_recorded(instance->graph));
    e->plan_ns = instance->graph->times.plan_ns;
    e->compile_ns = instance->graph->times.load_ns;
    if (instance_recorded(instance, &recorded)) e->bytes_unfused = unfused_bytes(&recorded);
    graph_free(&recorded);
    if (instance->executable) explain_steps(instance->executable, e);
}

sn_explanation explain_numbers(sn_compiled *c, const TraceNote *latest) {
    sn_explanation e = {.size = sizeof e,
                        .rerun = is_impure(&c->purity),
                        .entries = (int32_t)entries_latest(&c->entries, 0, NULL),
                        .graphs = (int32_t)graphs_count(&c->graphs),
                        .trace_ns = latest->trace_ns,
                        .host_reads = latest->host_reads,
                        .fallbacks = (int32_t)atomic_load(&c->fallbacks)};
    if (latest->instance) explain_instance(latest->instance, &e);
    return e;
}

sn_status sn_explain(sn_compiled *c, sn_explanation *out) {
    sn_error error;
    error_init(&error);
    sn_status status = compiled_check_for(c, "explain", &error);
    if (status != SN_OK || !out) return status != SN_OK ? status : SN_ERROR_ARGUMENT;
    TraceNote latest = latest_get(&c->latest);
    sn_explanation e = explain_numbers(c, &latest);
    instance_release(latest.instance);
    size_t size = out->size ? out->size : sizeof e;
    memcpy(out, &e, size < sizeof e ? size : sizeof e);
    return SN_OK;
}

/* ---- graphs and guards ----------------------------------------------------------------------- */

/* "x: f32[2,3], w: f32[3]" */
static void print_inputs(const GraphInstance *instance, const ParamNames *names, StrBuf *out) {
    SizedGraph sized;
    if (sized_open(instance, &sized)) {
        const Graph *graph = sized.graph;
        for (uint32_t j = 0; j < graph->inputs.count; j++) {
            TensorType type = sized_type(&sized, graph->inputs.data[j]);
            strbuf_add(out, j ? ", " : "");
            param_names_input(names, instance->graph, j, out);
            strbuf_add(out, ": ");
            type_print(out, &type);
        }
    } else {
        out->failed = true;
    }
    sized_close(&sized);
}

static uint32_t number_of_input(const Graph *graph, NodeId id) {
    uint32_t number = 0;
    while (graph->inputs.data[number] != id) number++;
    return number;
}

/* "s0 is dim 0 of x": where the symbol's value is read. */
static void print_symbol_source(const CompiledGraph *compiled, uint32_t symbol,
                                const ParamNames *names, StrBuf *out) {
    const SymbolicGraph *symbolic = compiled->symbolic;
    const SymbolWord *at = &symbolic->symbol_words.data[symbol];
    const Graph *graph = &symbolic->recorded;
    NodeId id = 0;
    while (id + 1 < graph->nodes.count && graph_node(graph, id + 1)->dims <= at->word) id++;
    const Node *node = graph_node(graph, id);
    Site site = graph->sites.data[node->site];
    if (at->word >= node->attrs)
        strbuf_addf(out, "a number of %s", op_info[node->op].name);
    else
        strbuf_addf(out, "dim %u of ", at->word - node->dims);
    if (at->word < node->attrs && node_is_input(node))
        param_names_input(names, compiled, number_of_input(graph, id), out);
    else if (at->word < node->attrs)
        strbuf_addf(out, "%%%u", id);
    if (at->divisor > 1) strbuf_addf(out, " over %lld", (long long)at->divisor);
    if (!node_is_input(node) && site.file) strbuf_addf(out, " (%s:%d)", site.file, (int)site.line);
}

/* Symbols with their bounds, and the guards that the sizes must meet. */
static void print_symbols(const CompiledGraph *graph, const ParamNames *names, StrBuf *out) {
    const DimTable *table = &graph->symbolic->table;
    for (uint32_t i = 0; i < table->symbols.count; i++) {
        Dim symbol = table->symbols.data[i].dim;
        strbuf_add(out, i ? ", " : "    ");
        dim_print(out, table, symbol);
        strbuf_add(out, " is ");
        print_symbol_source(graph, i, names, out);
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

static void print_graph(const CompiledGraph *graph, uint32_t number, const ParamNames *names,
                        StrBuf *out) {
    const SymbolicGraph *symbolic = graph->symbolic;
    strbuf_addf(out, "  graph %u: %d ops, %s", number,
                (int)count_ops(compiled_graph_recorded(graph)),
                symbolic ? "general" : "for its own sizes");
    if (symbolic && symbolic->n_scalars)
        strbuf_addf(out, ", %u scalars are arguments", symbolic->n_scalars);
    strbuf_addf(out, "%s\n", graph->executable ? "" : ", run node by node");
    if (symbolic) print_symbols(graph, names, out);
}

static void print_graphs(sn_compiled *c, const ParamNames *names, StrBuf *out) {
    GraphList *list = graphs_list(&c->graphs);
    for (uint32_t i = 0; list && i < list->count; i++) print_graph(list->graphs[i], i, names, out);
    graph_list_release(list);
}

static void print_entry(const sn_compiled *c, const Entry *entry, const ParamNames *names,
                        StrBuf *out) {
    StrBuf numbers = {0};
    print_inputs(entry->instance, names, out);
    key_print_numbers(&c->signature, entry, &numbers);
    param_names_fill(names, strbuf_text(&numbers), out);
    out->failed = out->failed || numbers.failed;
    strbuf_free(&numbers);
    strbuf_addf(out, "; dtypes, ranks, sizes, strides, sharing%s%s\n",
                c->options.n_watch ? ", declared memory" : "",
                entry->writes ? ", no overlap with what is written" : "");
}

enum { ENTRIES_SHOWN = 8 };

void explain_guards(sn_compiled *c, const ParamNames *names, StrBuf *out) {
    print_graphs(c, names, out);
    Entry *latest[ENTRIES_SHOWN];
    uint32_t count = entries_latest(&c->entries, ENTRIES_SHOWN, latest);
    uint32_t first = count > ENTRIES_SHOWN ? count - ENTRIES_SHOWN : 0;
    if (first) strbuf_addf(out, "  … %u entries before\n", first);
    for (uint32_t i = first; i < count; i++) {
        Entry *entry = latest[i - first];
        SN_ASSERT(entry->key_words > 0);
        strbuf_addf(out, "  entry %u (%u words): ", i, entry->key_words);
        print_entry(c, entry, names, out);
        entry_release(entry);
    }
    moving_print(&c->moving, out);
    if (!count) strbuf_add(out, "  none: the function is run on every call\n");
}

/* ---- why it was compiled --------------------------------------------------------------------- */

/* A list that is being printed. */
typedef struct EventList {
    const ParamNames *names; /* of parameters */
    StrBuf *out;             /* where to */
} EventList;

void explain_event(const CompileEvent *e, const ParamNames *names, StrBuf *out) {
    /* Of an input of the graph ("%0: …") the cause says what there is to say, by its name. */
    const char *reason = e->cause && e->reason && *e->reason == '%' ? NULL : e->reason;
    if (e->cause) param_names_fill(names, e->cause, out);
    if (e->cause && reason) strbuf_add(out, ": ");
    if (reason) strbuf_add(out, reason);
    if (!e->cause && !reason) strbuf_add(out, "nothing that served was known");
}

static void print_event(void *context, int64_t number, const CompileEvent *e) {
    const EventList *list = context;
    strbuf_addf(list->out, "  %lld: ", (long long)number);
    explain_event(e, list->names, list->out);
    strbuf_addf(list->out, "\n     %s%s: %u ops", compile_kind_text(e->kind),
                e->background ? " in the background" : "", e->ops);
    if (e->steps) strbuf_addf(list->out, " in %u kernels", e->steps);
    if (e->times.plan_ns || e->times.load_ns) {
        strbuf_add(list->out, ", passes ");
        strbuf_add_fixed(list->out, e->times.plan_ns / 1000, 3);
        strbuf_add(list->out, " ms, kernels ");
        strbuf_add_fixed(list->out, e->times.load_ns / 1000, 3);
        strbuf_add(list->out, " ms");
    }
    strbuf_add_char(list->out, '\n');
}

static void print_compiles(sn_compiled *c, const ParamNames *names, StrBuf *out) {
    EventList list = {names, out};
    strbuf_add(out, "why it was compiled\n");
    int64_t count = compiles_each(&c->compiles, print_event, &list);
    if (count > COMPILES_KEPT)
        strbuf_addf(out, "  (the latest %d of %lld)\n", COMPILES_KEPT, (long long)count);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void print_purity(const Purity *purity, StrBuf *out) {
    if (!is_impure(purity)) return;
    strbuf_addf(out, "  run on every call: %s%s%s\n", purity->reason, purity->detail ? ": " : "",
                purity->detail ? purity->detail : "");
}

static void print_summary(const sn_compiled *c, const sn_explanation *e, Site read_site,
                          StrBuf *out) {
    strbuf_addf(out, "%s: %d ops, %d kernels", c->name, e->ops, e->kernels);
    if (e->reorders) strbuf_addf(out, ", %d reorders", e->reorders);
    strbuf_addf(out, "; %d entries, %d graphs, %d host reads, %d fallbacks\n", e->entries,
                e->graphs, e->host_reads, e->fallbacks);
    print_purity(&c->purity, out);
    if (e->host_reads && read_site.file)
        strbuf_addf(out, "  first host read: %s:%d\n", read_site.file, (int)read_site.line);
    strbuf_add(out, "  trace ");
    strbuf_add_fixed(out, e->trace_ns / 1000, 3);
    strbuf_add(out, " ms, passes ");
    strbuf_add_fixed(out, e->plan_ns / 1000, 3);
    strbuf_add(out, " ms, kernels ");
    strbuf_add_fixed(out, e->compile_ns / 1000, 3);
    strbuf_addf(out, " ms\n  bytes moved %lld (op by op %lld), peak memory %lld\n",
                (long long)e->bytes, (long long)e->bytes_unfused, (long long)e->peak_bytes);
}

static void print_step(const GraphInstance *instance, uint32_t i, StrBuf *out) {
    const Program *program = executable_program(instance->executable);
    const Step *step = program_step(program, i);
    const LoadedKernel *kernel = executable_kernel(instance->executable, i);
    const int64_t *numbers = executable_numbers(instance->executable);
    Site site = program_site(program, step->site);
    int32_t runs;
    int64_t ns = executable_step_ns(instance->executable, i, &runs);
    const RowTiling *tiling = program_tiling(program, numbers, i);
    strbuf_addf(out, "  %skernel %s: %s, %lld bytes",
                tiling && i > tiling->first ? "in tiles with the one before: " : "", kernel->name,
                step->label, (long long)program_step_bytes(program, numbers, i, COST_BYTES));
    if (ns) {
        strbuf_add(out, ", ");
        strbuf_add_fixed(out, (ns + 500) / 1000, 3);
        strbuf_addf(out, " ms (median of %d)", runs);
    }
    strbuf_addf(out, ", %s", cache_source_name(kernel->source));
    if (site.file) strbuf_addf(out, ", %s:%d", site.file, (int)site.line);
    strbuf_add_char(out, '\n');
}

static void print_steps(const GraphInstance *instance, StrBuf *out) {
    const Program *program = executable_program(instance->executable);
    for (uint32_t i = 0; i < program->steps.count; i++) print_step(instance, i, out);
    refusals_print(program, "  not fused: ", out);
}

static void print_function(sn_compiled *c, const TraceNote *latest, const sn_explanation *e,
                           StrBuf *out) {
    const GraphInstance *instance = latest->instance;
    ParamNames names;
    param_names_open(c, instance ? compiled_graph_recorded(instance->graph) : NULL, &names);
    print_summary(c, e, latest->read_site, out);
    if (instance && instance->graph->failure)
        strbuf_addf(out, "  not compiled: %s\n", instance->graph->failure);
    print_compiles(c, &names, out);
    strbuf_add(out, "guards\n");
    explain_guards(c, &names, out);
    if (instance && instance->executable) {
        strbuf_add(out, "kernels\n");
        print_steps(instance, out);
    }
    param_names_close(&names);
}

char *sn_explain_text(sn_compiled *c) {
    StrBuf text = {0};
    sn_error error;
    error_init(&error);
    if (compiled_check_for(c, "explain_text", &error) != SN_OK) return NULL;
    TraceNote latest = latest_get(&c->latest);
    if (latest.instance) {
        sn_explanation e = explain_numbers(c, &latest);
        print_function(c, &latest, &e, &text);
    } else {
        strbuf_addf(&text, "%s: no call was compiled yet: there is nothing to explain\n", c->name);
    }
    instance_release(latest.instance);
    return strbuf_take(&text);
}
