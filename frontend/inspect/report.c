/* The report: one HTML page, with nothing outside it, about a compiled function. Its source lines with
 * the kernels they went to, a picture of the graph, what fused and what did not, the kernels' code,
 * guards, times and memory. It is written when the passes have run once more over the graph. */
#include "frontend/inspect/report.h"
#include "frontend/inspect/explain.h"

#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "ir/kernel_text.h"
#include "passes/pass.h"
#include "runtime/backend.h"

#include <sinter/inspect.h>

#include <stdio.h>

enum {
    PASSES_MOST = 16,
    NODE_WIDTH = 156, /* of the picture, in pixels */
    NODE_HEIGHT = 34,
    COLUMN = 172,
    ROW = 66,
    CHART_WIDTH = 720,
    LINES_AROUND = 2 /* source lines shown before and behind those that recorded something */
};

typedef struct Report {
    sn_compiled *compiled;   /* the function */
    const TraceNote *latest; /* its latest trace, in which an instance ran */
    StrBuf *out;             /* the page */
    int64_t begin;           /* nanoseconds, when the pass at hand began */
    const char *passes[PASSES_MOST];
    int64_t pass_ns[PASSES_MOST];
    int32_t n_passes;
} Report;

static void escaped(StrBuf *out, const char *text, size_t length) {
    for (size_t i = 0; i < length && text[i]; i++) {
        switch (text[i]) {
        case '<':
            strbuf_add(out, "&lt;");
            break;
        case '>':
            strbuf_add(out, "&gt;");
            break;
        case '&':
            strbuf_add(out, "&amp;");
            break;
        case '"':
            strbuf_add(out, "&quot;");
            break;
        default:
            strbuf_add_char(out, text[i]);
        }
    }
}

static void escaped_text(StrBuf *out, const StrBuf *text) {
    out->failed = out->failed || text->failed;
    escaped(out, strbuf_text(text), text->length);
}

/* Colours go round so that neighbours differ. */
static int32_t hue(int32_t group) {
    return group * 137 % 360;
}

static void heading(StrBuf *out, const char *text) {
    strbuf_addf(out, "<h2>%s</h2>\n", text);
}

/* ---- head and figures ---------------------------------------------------------------------------- */

static void write_head(Report *r) {
    const sn_compiled *c = r->compiled;
    strbuf_add(r->out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    escaped(r->out, c->name, SIZE_MAX);
    strbuf_add(
        r->out,
        "</title>\n<style>\n"
        "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:76em;color:#222}\n"
        "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #ccc}\n"
        "pre,code,td.n{font:12px/1.4 ui-monospace,monospace}\n"
        "pre{background:#f6f6f6;padding:.7em;overflow-x:auto;margin:.3em 0}\n"
        "table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:left;"
        "vertical-align:top}\n"
        "td.n{text-align:right}.k{border-radius:3px;padding:0 .4em;margin-left:.4em}\n"
        ".src td{padding:0 .6em 0 0;white-space:pre;font:12px/1.5 ui-monospace,monospace}\n"
        ".no{color:#999;text-align:right}svg text{font:11px ui-monospace,monospace}\n"
        ".scroll{overflow-x:auto}summary{cursor:pointer}\n"
        "</style></head><body>\n<h1>");
    escaped(r->out, c->name, SIZE_MAX);
    strbuf_add(r->out, " <code>\"");
    escaped(r->out, c->signature_text, SIZE_MAX);
    strbuf_add(r->out, "\"</code></h1>\n");
    if (c->site.file) {
        strbuf_add(r->out, "<p>compiled at ");
        escaped(r->out, c->site.file, SIZE_MAX);
        strbuf_addf(r->out, ":%d</p>\n", (int)c->site.line);
    }
}

static void figure(StrBuf *out, const char *name, int64_t value) {
    strbuf_addf(out, "<tr><td>%s</td><td class=\"n\">%lld</td></tr>\n", name, (long long)value);
}

static void write_figures(Report *r) {
    sn_explanation e = {.size = sizeof e};
    sn_explain(r->compiled, &e);
    strbuf_add(r->out, "<table>\n");
    figure(r->out, "ops recorded", e.ops);
    figure(r->out, "kernels", e.kernels);
    figure(r->out, "extern calls", e.extern_calls);
    figure(r->out, "copies for extern calls", e.reorders);
    figure(r->out, "bytes moved", e.bytes);
    figure(r->out, "bytes moved op by op", e.bytes_unfused);
    figure(r->out, "operations", e.flops);
    figure(r->out, "peak bytes of memory", e.peak_bytes);
    figure(r->out, "graphs", e.graphs);
    figure(r->out, "guarded entries", e.entries);
    figure(r->out, "host reads", e.host_reads);
    figure(r->out, "graphs run node by node", e.fallbacks);
    strbuf_add(r->out, "</table>\n");
}

/* ---- source lines -------------------------------------------------------------------------------- */

static void kernel_mark(StrBuf *out, int32_t group, bool is_extern) {
    strbuf_addf(out, "<span class=\"k\" style=\"background:hsl(%d 70%% 86%%)\">%s %d</span>",
                (int)hue(group), is_extern ? "extern" : "kernel", (int)group);
}

/* Place of a group in the order of execution; -1: it has none. */
static int32_t place_of(const Fusion *fusion, int32_t group) {
    for (uint32_t i = 0; group >= 0 && i < fusion->order.count; i++)
        if ((int32_t)fusion->order.data[i] == group) return (int32_t)i;
    return -1;
}

static bool same_file(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

/* Marks of the kernels that the ops of a line went to. */
static void line_marks(const PassContext *context, const char *file, int32_t line, StrBuf *out) {
    const Fusion *fusion = &context->fusion;
    for (uint32_t i = 0; i < fusion->order.count; i++) {
        const Group *group = &fusion->groups.data[fusion->order.data[i]];
        bool found = false;
        for (uint32_t m = 0; m < group->members.count && !found; m++) {
            const Node *node = graph_node(&context->graph, group->members.data[m]);
            Site site = context->graph.sites.data[node->site];
            found = site.line == line && same_file(site.file, file);
        }
        if (found) kernel_mark(out, (int32_t)i, group->is_extern);
    }
}

/* One line of the program: its text, or nothing where the file is not at hand. */
static void source_line(const PassContext *context, const char *file, int32_t line,
                        const char *text, StrBuf *out) {
    strbuf_addf(out, "<tr><td class=\"no\">%d</td><td>", (int)line);
    escaped(out, text, strcspn(text, "\r\n"));
    strbuf_add(out, "</td><td>");
    line_marks(context, file, line, out);
    strbuf_add(out, "</td></tr>\n");
}

/* First and last line of a file that recorded something. */
static bool line_range(const Graph *graph, const char *file, int32_t *first, int32_t *last) {
    *first = INT32_MAX;
    *last = 0;
    for (uint32_t i = 0; i < graph->sites.count; i++) {
        Site site = graph->sites.data[i];
        if (!same_file(site.file, file) || site.line < 1) continue;
        if (site.line < *first) *first = site.line;
        if (site.line > *last) *last = site.line;
    }
    return *last > 0;
}

static bool line_is_recorded(const Graph *graph, const char *file, int32_t line) {
    for (uint32_t i = 0; i < graph->sites.count; i++)
        if (graph->sites.data[i].line == line && same_file(graph->sites.data[i].file, file))
            return true;
    return false;
}

static void source_file(const PassContext *context, const char *file, StrBuf *out) {
    int32_t first, last, line = 1;
    char text[400];
    if (!line_range(&context->graph, file, &first, &last)) return;
    strbuf_add(out, "<p><code>");
    escaped(out, file, SIZE_MAX);
    strbuf_add(out, "</code></p>\n<table class=\"src\">\n");
    FILE *source = fopen(file, "r");
    for (; source && line <= last + LINES_AROUND && fgets(text, sizeof text, source); line++)
        if (line >= first - LINES_AROUND) source_line(context, file, line, text, out);
    if (source) fclose(source);
    for (line = first; !source && line <= last; line++)
        if (line_is_recorded(&context->graph, file, line))
            source_line(context, file, line, "", out);
    strbuf_add(out, "</table>\n");
}

static void write_source(const PassContext *context, StrBuf *out) {
    const Graph *graph = &context->graph;
    heading(out, "Source");
    for (uint32_t i = 0; i < graph->sites.count; i++) {
        bool seen = !graph->sites.data[i].file;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = same_file(graph->sites.data[j].file, graph->sites.data[i].file);
        if (!seen) source_file(context, graph->sites.data[i].file, out);
    }
}

/* ---- the picture --------------------------------------------------------------------------------- */

/* Where a node is drawn. */
typedef struct Spot {
    int32_t column, row; /* -1: it is not */
} Spot;

static bool is_drawn(const PassContext *context, NodeId id) {
    uint8_t op = context->fusion.roles[id];
    return op != ROLE_DEAD && !node_is_const(graph_node(&context->graph, id));
}

/* Rows by the longest way from an input. */
static void place_rows(const PassContext *context, Spot *spots) {
    const Graph *graph = &context->graph;
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph_node(graph, i);
        int32_t row = 0;
        for (uint32_t j = 0; j < node->n_inputs; j++) {
            NodeId input = node_inputs(graph, node)[j];
            if (input != NODE_NONE && spots[input].row >= row) row = spots[input].row + 1;
        }
        spots[i] = (Spot){-1, is_drawn(context, i) ? row : -1};
    }
}

/* Inputs and views come just before what first reads them. */
static void pull_down(const PassContext *context, Spot *spots) {
    const Graph *graph = &context->graph;
    for (NodeId i = graph->nodes.count; i-- > 0;) {
        int32_t first = INT32_MAX;
        if (spots[i].row < 0 || context->fusion.group_of[i] != GROUP_NONE) continue;
        for (NodeId j = i + 1; j < graph->nodes.count; j++) {
            const Node *user = graph_node(graph, j);
            for (uint32_t k = 0; k < user->n_inputs; k++)
                if (node_inputs(graph, user)[k] == i && spots[j].row >= 0 && spots[j].row < first)
                    first = spots[j].row;
        }
        if (first != INT32_MAX) spots[i].row = first - 1;
    }
}

/* Columns in the order of the nodes. Returns how many there are. */
static int32_t place_columns(const Graph *graph, Spot *spots, int32_t *rows) {
    int32_t widest = 0;
    *rows = 0;
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        int32_t column = 0;
        if (spots[i].row < 0) continue;
        for (NodeId j = 0; j < i; j++) column += spots[j].row == spots[i].row;
        spots[i].column = column;
        if (column >= widest) widest = column + 1;
        if (spots[i].row >= *rows) *rows = spots[i].row + 1;
    }
    return widest;
}

static void draw_edges(const Graph *graph, const Spot *spots, NodeId id, StrBuf *out) {
    const Node *node = graph_node(graph, id);
    for (uint32_t j = 0; j < node->n_inputs; j++) {
        NodeId input = node_inputs(graph, node)[j];
        if (input == NODE_NONE || spots[input].row < 0) continue;
        int32_t x = spots[input].column * COLUMN + NODE_WIDTH / 2,
                y = spots[input].row * ROW + NODE_HEIGHT + 8,
                to_x = spots[id].column * COLUMN + NODE_WIDTH / 2, to_y = spots[id].row * ROW + 8;
        strbuf_addf(out, "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#bbb\"/>\n",
                    (int)x, (int)y, (int)x, (int)y + 20, (int)to_x, (int)to_y - 20, (int)to_x,
                    (int)to_y);
    }
}

static void draw_node(const PassContext *context, const Spot *spots, NodeId id, StrBuf *out) {
    const Graph *graph = &context->graph;
    const Node *node = graph_node(graph, id);
    int32_t x = spots[id].column * COLUMN, y = spots[id].row * ROW + 8;
    int32_t group = place_of(&context->fusion, context->fusion.group_of[id]);
    bool stored = context->fusion.materialized[id];
    StrBuf type = {0};
    node_print_type(&type, graph, id);
    strbuf_addf(out, "<g><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" ", (int)x,
                (int)y, NODE_WIDTH, NODE_HEIGHT);
    if (group >= 0)
        strbuf_addf(out, "fill=\"hsl(%d 70%% 86%%)\" ", (int)hue(group));
    else
        strbuf_add(out, node_is_input(node) ? "fill=\"#fff\" " : "fill=\"#f2f2f2\" ");
    strbuf_addf(out, "stroke=\"%s\"/>", stored ? "#333" : "#ccc");
    strbuf_addf(out, "<text x=\"%d\" y=\"%d\">%%%u %s", (int)x + 6, (int)y + 14, id,
                op_info[node->op].name);
    if (group >= 0) strbuf_addf(out, " · %d", (int)group);
    strbuf_addf(out, "</text><text x=\"%d\" y=\"%d\" fill=\"#555\">", (int)x + 6, (int)y + 28);
    out->failed = out->failed || type.failed;
    escaped(out, strbuf_text(&type), 22);
    strbuf_add(out, "</text></g>\n");
    strbuf_free(&type);
}

static void write_picture(const PassContext *context, StrBuf *out) {
    const Graph *graph = &context->graph;
    Spot *spots = mem_alloc(sizeof *spots * (graph->nodes.count + 1));
    heading(out, "Graph");
    if (!spots) out->failed = true;
    if (!spots) return;
    place_rows(context, spots);
    pull_down(context, spots);
    int32_t rows, columns = place_columns(graph, spots, &rows);
    strbuf_addf(out,
                "<p>A colour and the number behind the dot are a kernel; a dark border is a value "
                "that is stored in memory; views and inputs have no colour.</p>\n"
                "<div class=\"scroll\"><svg width=\"%d\" height=\"%d\">\n",
                (int)columns * COLUMN, (int)rows * ROW + 8);
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= 0) draw_edges(graph, spots, i, out);
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= 0) draw_node(context, spots, i, out);
    strbuf_add(out, "</svg></div>\n");
    mem_free(spots);
}

/* ---- fusion and kernels --------------------------------------------------------------------------- */

static void write_fusion(const PassContext *context, StrBuf *out) {
    const Fusion *fusion = &context->fusion;
    heading(out, "What fused into what");
    strbuf_add(out, "<table>\n");
    for (uint32_t i = 0; i < fusion->order.count; i++) {
        const Group *group = &fusion->groups.data[fusion->order.data[i]];
        strbuf_add(out, "<tr><td>");
        kernel_mark(out, (int32_t)i, group->is_extern);
        strbuf_add(out, "</td><td><code>");
        for (uint32_t m = 0; m < group->members.count; m++) {
            NodeId id = group->members.data[m];
            strbuf_addf(out, "%s%%%u %s%s", m ? ", " : "", id,
                        op_info[graph_node(&context->graph, id)->op].name,
                        fusion->materialized[id] ? " (stored)" : "");
        }
        strbuf_add(out, "</code></td></tr>\n");
    }
    strbuf_add(out, "</table>\n<p>What was refused, and why</p>\n<ul>\n");
    for (uint32_t i = 0; i < context->program->notes.count; i++) {
        strbuf_add(out, "<li><code>");
        escaped(out, context->program->notes.data[i], SIZE_MAX);
        strbuf_add(out, "</code></li>\n");
    }
    strbuf_add(out, context->program->notes.count ? "</ul>\n" : "<li>nothing</li></ul>\n");
}

static void details(StrBuf *out, const char *title, const StrBuf *text) {
    strbuf_addf(out, "<details><summary>%s</summary><pre>", title);
    escaped_text(out, text);
    strbuf_add(out, "</pre></details>\n");
}

static void write_code(const Program *program, uint32_t i, StrBuf *out) {
    static const struct {
        const char *title;
        BackendStage stage;
    } stages[] = {{"LLVM IR", STAGE_SOURCE}, {"machine code", STAGE_ASSEMBLY}};
    const Launch *launch = &program->steps.data[i].launch;
    StrBuf text = {0};
    kernel_print(program_kernel(program, launch), &text, program->sites.data);
    details(out, "kernel IR", &text);
    sn_error error;
    error_init(&error);
    const Backend *backend = backend_load("cpu", &error);
    Schedule schedule = {.stream_stores = program->numbers.data[launch->streams] != 0};
    for (int32_t s = 0; backend && s < 2; s++) {
        strbuf_clear(&text);
        if (backend->print(program_kernel(program, launch), target_host(), &schedule, "kernel",
                           stages[s].stage, &text, &error) == SN_OK)
            details(out, stages[s].title, &text);
    }
    strbuf_free(&text);
}

static void write_kernels(const Report *r, const PassContext *context, StrBuf *out) {
    const Program *program = context->program;
    const Executable *executable = r->latest->instance->executable;
    const int64_t *numbers = executable_numbers(executable);
    heading(out, "Kernels");
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        const LoadedKernel *kernel = executable_kernel(executable, i);
        const int64_t *costs = numbers + step->costs;
        strbuf_addf(out, "<p><b>step %u</b> <code>", i);
        escaped(out, step->label, SIZE_MAX);
        strbuf_addf(out, "</code><br>%s, %lld bytes (%lld of them stored), %lld operations</p>\n",
                    kernel ? kernel->name : "matrix product", (long long)costs[COST_BYTES],
                    (long long)costs[COST_BYTES_STORED], (long long)costs[COST_FLOPS]);
        if (kernel) write_code(program, i, out);
    }
}

/* ---- guards, times, memory ------------------------------------------------------------------------ */

static void write_guards(const Report *r, StrBuf *out) {
    StrBuf text = {0};
    explain_guards(r->compiled, &text);
    heading(out, "Graphs and guards");
    strbuf_add(out, "<pre>");
    escaped_text(out, &text);
    strbuf_add(out, "</pre>\n");
    strbuf_free(&text);
}

static void time_bar(StrBuf *out, const char *name, int64_t ns, int64_t most) {
    int64_t width = most ? ns * 400 / most : 0;
    strbuf_addf(out,
                "<tr><td>%s</td><td class=\"n\">%.3f ms</td><td><svg width=\"404\" height=\"12\">"
                "<rect width=\"%lld\" height=\"12\" fill=\"#7a9cc6\"/></svg></td></tr>\n",
                name, (double)ns * 1e-6, (long long)(width < 1 ? 1 : width));
}

static void write_times(const Report *r, StrBuf *out) {
    int64_t trace = r->latest->trace_ns, load = r->latest->instance->graph->times.load_ns;
    int64_t most = trace > load ? trace : load;
    for (int32_t i = 0; i < r->n_passes; i++)
        if (r->pass_ns[i] > most) most = r->pass_ns[i];
    heading(out, "Times");
    strbuf_add(out, "<table>\n");
    time_bar(out, "the latest trace", trace, most);
    for (int32_t i = 0; i < r->n_passes; i++) time_bar(out, r->passes[i], r->pass_ns[i], most);
    time_bar(out, "compiling or loading kernels", load, most);
    strbuf_add(out, "</table>\n");
}

/* Bytes of temporaries and results that hold something during a step. */
static int64_t live_bytes(const Program *program, const int64_t *numbers, int32_t step) {
    int64_t bytes = 0;
    for (uint32_t i = 0; i < program->buffers.count; i++) {
        const Buffer *b = &program->buffers.data[i];
        bool lives = b->kind != BUFFER_INPUT && b->first_step <= step &&
                     (b->kind == BUFFER_OUTPUT || b->last_step >= step);
        if (lives) bytes += numbers[b->elements] * (int64_t)sn_dtype_size((sn_dtype)b->dtype);
    }
    return bytes;
}

static void write_memory(const Report *r, const PassContext *context, StrBuf *out) {
    const Program *program = context->program;
    const int64_t *numbers = executable_numbers(r->latest->instance->executable);
    int32_t steps = (int32_t)program->steps.count;
    int64_t most = numbers[PROGRAM_PEAK_BYTES];
    heading(out, "Memory over the steps");
    strbuf_addf(
        out,
        "<p>Temporaries and results that hold something; at most %lld bytes are taken.</p>\n"
        "<svg width=\"%d\" height=\"140\">\n",
        (long long)most, CHART_WIDTH + 20);
    for (int32_t i = 0; i < steps; i++) {
        int64_t bytes = live_bytes(program, numbers, i), height = most ? bytes * 110 / most : 0;
        int32_t width = CHART_WIDTH / steps > 60 ? 60 : CHART_WIDTH / steps;
        strbuf_addf(out,
                    "<rect x=\"%d\" y=\"%lld\" width=\"%d\" height=\"%lld\" "
                    "fill=\"hsl(%d 60%% 70%%)\"><title>step %d: %lld bytes</title></rect>\n",
                    (int)(i * width), (long long)(120 - height),
                    (int)(width > 3 ? width - 2 : width), (long long)(height < 1 ? 1 : height),
                    (int)hue(i), (int)i, (long long)bytes);
        if (width >= 20)
            strbuf_addf(out, "<text x=\"%d\" y=\"134\">%d</text>\n", (int)(i * width), (int)i);
    }
    strbuf_add(out, "</svg>\n");
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static void observe(void *user, const char *pass, const PassContext *context) {
    Report *r = user;
    int64_t now = clock_ns();
    if (r->n_passes < PASSES_MOST) {
        r->passes[r->n_passes] = pass;
        r->pass_ns[r->n_passes++] = now - r->begin;
    }
    if (strcmp(pass, "lower") == 0) {
        write_source(context, r->out);
        write_picture(context, r->out);
        write_fusion(context, r->out);
        write_times(r, r->out);
        write_memory(r, context, r->out);
        write_guards(r, r->out);
        write_kernels(r, context, r->out);
    }
    r->begin = clock_ns();
}

sn_status report_write(sn_compiled *c, const TraceNote *latest, const Graph *graph, StrBuf *out,
                       sn_error *error) {
    const GraphInstance *instance = latest->instance;
    if (!instance->executable)
        return error_set(error, SN_ERROR_UNSUPPORTED, "report: %s runs node by node: %s", c->name,
                         instance->graph->failure ? instance->graph->failure : "?");
    Report report = {.compiled = c, .latest = latest, .out = out};
    PipelineOptions options = {.target = target_host(),
                               .threads = parallel_threads(),
                               .fast = c->options.fast,
                               .explain = true,
                               .observer = observe,
                               .user = &report};
    Program program;
    program_init(&program);
    write_head(&report);
    write_figures(&report);
    report.begin = clock_ns();
    sn_status status = pipeline_run(graph, &options, &program, error);
    strbuf_add(out, "</body></html>\n");
    program_free(&program);
    return status == SN_OK && out->failed ? error_memory(error) : status;
}
