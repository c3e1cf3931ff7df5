/* Graphs as text, which a program parses, prints, dumps and runs; see sinter/inspect.h. */
#include "base/status.h"
#include "base/thread/slot_pool.h"
#include "frontend/build.h"
#include "frontend/inspect/dump.h"
#include "frontend/inspect/sized_graph.h"
#include "frontend/op/run.h"
#include "ir/op/type.h"

#include <sinter/inspect.h>

struct sn_graph {
    SlotMark mark;  /* until it is freed */
    Graph graph;    /* the parsed graph */
    DimTable table; /* its sizes that vary */
};

static SlotPool pool = {.bytes = sizeof(sn_graph), .magic = 0x736e6721};

/* Is it a graph of the program? */
static sn_status check_graph(const sn_graph *graph, const char *op, sn_error *error) {
    if (!graph) return error_set(error, SN_ERROR_ARGUMENT, "%s: graph is NULL", op);
    if (slot_pool_has(&pool, graph)) return SN_OK;
    return error_set(error, SN_ERROR_HANDLE, "%s: the graph was freed already, or is none", op);
}

static sn_graph *parse(const char *text, size_t length, sn_error *error) {
    if (!text) {
        error_set(error, SN_ERROR_ARGUMENT, "graph_parse: the text is NULL");
        return NULL;
    }
    sn_graph *graph = slot_pool_new(&pool);
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

sn_graph *sn_graph_parse(const char *text, size_t length, sn_error *given) {
    sn_error own, *error = dump_begin_error(given, &own);
    sn_graph *graph = parse(text, length, error);
    dump_end_error(given, &own);
    return graph;
}

char *sn_graph_print(const sn_graph *graph) {
    StrBuf text = {0};
    if (!graph || !slot_pool_has(&pool, graph)) return NULL;
    graph_print(&graph->graph, &text);
    return strbuf_take(&text);
}

/* Passes add expressions to the graph's table; a graph of the program may be used by several
 * threads, so they get a copy. */
static sn_graph *copy_to_plan(const sn_graph *graph, sn_error *error) {
    StrBuf text = {0};
    graph_print(&graph->graph, &text);
    sn_graph *copy = NULL;
    if (text.failed)
        error_memory(error);
    else
        copy = parse(strbuf_text(&text), text.length, error);
    strbuf_free(&text);
    return copy;
}

static char *dump(const sn_graph *graph, const char *stage, sn_error *error) {
    if (check_graph(graph, "graph_dump", error) != SN_OK) return NULL;
    if (!stage) {
        error_set(error, SN_ERROR_ARGUMENT, "graph_dump: stage is NULL");
        return NULL;
    }
    sn_graph *copy = copy_to_plan(graph, error);
    if (!copy) return NULL;
    StrBuf text = {0};
    sn_status status = dump_graph(&copy->graph, stage, &text, error);
    sn_graph_free(copy);
    return dump_finish(&text, status, error);
}

char *sn_graph_dump(const sn_graph *graph, const char *stage, sn_error *given) {
    sn_error own, *error = dump_begin_error(given, &own);
    char *text = dump(graph, stage, error);
    dump_end_error(given, &own);
    return text;
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

/* Compiles the graph and runs it once on these inputs. */
static sn_status run_graph(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                           sn_error *error) {
    Executable *executable = NULL;
    sn_status status = graph_build(graph, &(BuildOptions){0}, &executable, NULL, error);
    if (status != SN_OK) return status;
    const Program *program = executable_program(executable);
    RunMemory memory;
    status = run_open(&memory, graph->inputs.count, (uint32_t)program->n_outputs)
                 ? run_make_results(&memory, executable, error)
                 : error_memory(error);
    for (uint32_t i = 0; status == SN_OK && i < graph->inputs.count; i++)
        run_set_tensor(&memory, i, inputs[i]);
    if (status == SN_OK) status = run_launch(&memory, executable, error);
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
    if (check_graph(graph, "graph_run", error) != SN_OK) return error->status;
    if ((n_inputs > 0 && !inputs) || (capacity > 0 && !outputs))
        return error_set(error, SN_ERROR_ARGUMENT, "graph_run: %s is NULL",
                         n_inputs > 0 && !inputs ? "inputs" : "outputs");
    const Graph *g = &graph->graph;
    const SizedGraph sized = {g, NULL};
    if (n_inputs != (int32_t)g->inputs.count || capacity < count_results(g))
        return error_set(error, SN_ERROR_ARGUMENT,
                         "graph_run: %u inputs and room for %d results are needed", g->inputs.count,
                         (int)count_results(g));
    for (int32_t i = 0; i < n_inputs; i++) {
        const sn_tensor *t = inputs[i];
        if (!tensor_is_alive(t) || t->kind != TENSOR_REAL)
            return error_set(error, SN_ERROR_ARGUMENT,
                             "graph_run: input %d is NULL, was released, or has no memory", (int)i);
        if (sized_fits(&sized, (uint32_t)i, t)) continue;
        TensorType wanted = sized_type(&sized, g->inputs.data[i]), type = tensor_type(t);
        return error_set(error, SN_ERROR_SHAPE, "graph_run: input %d is %s, the graph takes %s%s",
                         (int)i, type_text(&type).text, type_text(&wanted).text,
                         dims_equal(NULL, type.dims, wanted.dims, type.rank) ? " of other strides"
                                                                             : "");
    }
    return SN_OK;
}

static sn_status run(const sn_graph *graph, sn_tensor *const *inputs, int32_t n_inputs,
                     sn_tensor **outputs, int32_t capacity, int32_t *n_outputs, sn_error *error) {
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

sn_status sn_graph_run(const sn_graph *graph, sn_tensor *const *inputs, int32_t n_inputs,
                       sn_tensor **outputs, int32_t capacity, int32_t *n_outputs, sn_error *given) {
    sn_error own, *error = dump_begin_error(given, &own);
    sn_status status = run(graph, inputs, n_inputs, outputs, capacity, n_outputs, error);
    dump_end_error(given, &own);
    return status;
}

void sn_graph_free(sn_graph *graph) {
    sn_error error;
    error_init(&error);
    if (!graph) return;
    if (check_graph(graph, "graph_free", &error) != SN_OK) {
        error_raise_from(&error, (Site){0});
        return;
    }
    if (!slot_pool_release(&pool, graph)) return;
    graph_free(&graph->graph);
    dims_free(&graph->table);
    slot_pool_free(&pool, graph);
}
