/* The report: one HTML page, with nothing outside it, about a compiled function. Its source lines
 * with the kernels they went to, a picture of the graph, what fused and what did not, the kernels'
 * code, guards, times and memory. It is written when the passes have run once more over the
 * graph. */
#include "frontend/inspect/report.h"
#include "base/clock.h"
#include "frontend/inspect/explain.h"
#include "frontend/inspect/html.h"
#include "frontend/inspect/report_picture.h"

#include "base/status.h"
#include "base/thread/parallel.h"
#include "runtime/kernels/backend.h"

#include <sinter/inspect.h>

#include <stdio.h>

enum {
    PASSES_MOST = 16,
    CHART_WIDTH = 720, /* of memory over the steps, in pixels */
    LINES_AROUND = 2   /* source lines shown before and behind those that recorded something */
};

typedef struct Report {
    sn_compiled *compiled;           /* the function */
    const TraceNote *latest;         /* its latest trace, in which an instance ran */
    StrBuf *out;                     /* the page */
    int64_t begin;                   /* nanoseconds, when the pass at hand began */
    const char *passes[PASSES_MOST]; /* by pass: its name … */
    int64_t pass_ns[PASSES_MOST];    /* … and how long it took */
    int32_t n_passes;                /* so far */
} Report;

/* ---- head and figures ------------------------------------------------------------------------ */

static void write_head(Report *r) {
    const sn_compiled *c = r->compiled;
    strbuf_add(r->out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    html_escape(r->out, c->name, SIZE_MAX);
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
    html_escape(r->out, c->name, SIZE_MAX);
    strbuf_add(r->out, " <code>\"");
    html_escape(r->out, c->signature_text, SIZE_MAX);
    strbuf_add(r->out, "\"</code></h1>\n");
    if (c->site.file) {
        strbuf_add(r->out, "<p>compiled at ");
        html_escape(r->out, c->site.file, SIZE_MAX);
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

/* ---- source lines ---------------------------------------------------------------------------- */

static void kernel_mark(StrBuf *out, int32_t kernel, bool is_extern) {
    strbuf_addf(out, "<span class=\"k\" style=\"background:hsl(%d 70%% 86%%)\">%s %d</span>",
                (int)html_hue(kernel), is_extern ? "extern" : "kernel", (int)kernel);
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
    html_escape(out, text, strcspn(text, "\r\n"));
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
    html_escape(out, file, SIZE_MAX);
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
    html_heading(out, "Source");
    for (uint32_t i = 0; i < graph->sites.count; i++) {
        bool seen = !graph->sites.data[i].file;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = same_file(graph->sites.data[j].file, graph->sites.data[i].file);
        if (!seen) source_file(context, graph->sites.data[i].file, out);
    }
}

/* ---- fusion and kernels ---------------------------------------------------------------------- */

static void write_fusion(const PassContext *context, StrBuf *out) {
    const Fusion *fusion = &context->fusion;
    html_heading(out, "What fused into what");
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
    strbuf_add(out, context->program->notes.count ? "</ul>\n" : "<li>nothing</li></ul>\n");
}

static void details(StrBuf *out, const char *title, const StrBuf *text) {
    strbuf_addf(out, "<details><summary>%s</summary><pre>", title);
    html_escape_text(out, text);
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
    html_heading(out, "Kernels");
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        const LoadedKernel *kernel = executable_kernel(executable, i);
        const int64_t *costs = numbers + step->costs;
        strbuf_addf(out, "<p><b>step %u</b> <code>", i);
        html_escape(out, step->label, SIZE_MAX);
        strbuf_addf(out, "</code><br>%s, %lld bytes (%lld of them stored), %lld operations</p>\n",
                    kernel ? kernel->name : "matrix product", (long long)costs[COST_BYTES],
                    (long long)costs[COST_BYTES_STORED], (long long)costs[COST_FLOPS]);
        if (kernel) write_code(program, i, out);
    }
}

/* ---- guards, times, memory ------------------------------------------------------------------- */

static void write_guards(const Report *r, StrBuf *out) {
    StrBuf text = {0};
    explain_guards(r->compiled, &text);
    html_heading(out, "Graphs and guards");
    strbuf_add(out, "<pre>");
    html_escape_text(out, &text);
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
    html_heading(out, "Times");
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
    html_heading(out, "Memory over the steps");
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
                    (int)html_hue(i), (int)i, (long long)bytes);
        if (width >= 20)
            strbuf_addf(out, "<text x=\"%d\" y=\"134\">%d</text>\n", (int)(i * width), (int)i);
    }
    strbuf_add(out, "</svg>\n");
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void observe(void *user, const char *pass, const PassContext *context) {
    Report *r = user;
    int64_t now = clock_ns();
    if (r->n_passes < PASSES_MOST) {
        r->passes[r->n_passes] = pass;
        r->pass_ns[r->n_passes++] = now - r->begin;
    }
    if (strcmp(pass, "lower") == 0) {
        write_source(context, r->out);
        report_picture(context, r->out);
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
    BuildOptions options = {
        .fast = c->options.fast, .explain = true, .observer = observe, .user = &report};
    Program program;
    program_init(&program);
    write_head(&report);
    write_figures(&report);
    report.begin = clock_ns();
    sn_status status = graph_plan(graph, &options, &program, error);
    strbuf_add(out, "</body></html>\n");
    program_free(&program);
    return status == SN_OK && out->failed ? error_memory(error) : status;
}
