/* The report: one HTML page, with nothing outside it, about a compiled function. Its kernels and their times,
 * why it was compiled, its source lines with the kernels they went to, a picture of the graph, what was not
 * fused, code, guards, memory. It is written when the passes have run once more over the graph. */
#include "frontend/inspect/report.h"

#include "base/clock.h"
#include "base/status.h"
#include "base/thread/parallel.h"
#include "frontend/build.h"
#include "frontend/inspect/explain.h"
#include "frontend/inspect/html.h"
#include "frontend/inspect/refusals.h"
#include "frontend/inspect/report_parts.h"

#include <string.h>

enum {
    CHART_WIDTH = 720, /* of memory over the steps, in pixels */
    BARS_MOST = 400    /* in it */
};

/* ---- head and figures ------------------------------------------------------------------------ */

static void write_head(const Report *r) {
    const sn_compiled *c = r->compiled;
    html_open(r->out, c->name);
    if (r->options->index) {
        strbuf_add(r->out, "<p><a href=\"");
        html_escape(r->out, r->options->index, SIZE_MAX);
        strbuf_add(r->out, "\">all compiled functions</a></p>\n");
    }
    strbuf_add(r->out, "<h1>");
    html_escape(r->out, c->name, SIZE_MAX);
    strbuf_add(r->out, " <code>\"");
    html_escape(r->out, c->signature_text, SIZE_MAX);
    strbuf_add(r->out, "\"</code></h1>\n");
    if (!c->site.file) return;
    strbuf_add(r->out, "<p class=\"dim\">compiled at <code>");
    html_escape(r->out, c->site.file, SIZE_MAX);
    strbuf_addf(r->out, ":%d</code></p>\n", (int)c->site.line);
}

/* `one` is its name where there is one. */
static void figure_count(StrBuf *out, const char *one, const char *many, int64_t value) {
    StrBuf text = {0};
    html_count(&text, value);
    html_figure(out, value == 1 ? one : many, strbuf_text(&text));
    strbuf_free(&text);
}

static void figure_bytes(StrBuf *out, const char *name, int64_t bytes) {
    StrBuf text = {0};
    html_bytes(&text, bytes);
    html_figure(out, name, strbuf_text(&text));
    strbuf_free(&text);
}

/* All kernels and products of a call. */
static int64_t time_of_steps(const GraphInstance *instance) {
    const Executable *e = instance ? instance->executable : NULL;
    int64_t ns = 0;
    for (uint32_t i = 0; e && i < executable_program(e)->steps.count; i++)
        ns += executable_step_ns(e, i, NULL);
    return ns;
}

static void figure_time(StrBuf *out, const GraphInstance *instance) {
    StrBuf text = {0};
    int64_t ns = time_of_steps(instance);
    if (!ns) return;
    html_ms(&text, ns);
    strbuf_add(&text, " ms");
    html_figure(out, "in kernels, a call", strbuf_text(&text));
    strbuf_free(&text);
}

static void write_figures(const Report *r) {
    sn_explanation e = explain_numbers(r->compiled, r->latest);
    StrBuf *out = r->out;
    html_figures_open(out);
    figure_time(out, r->latest->instance);
    figure_count(out, "op recorded", "ops recorded", e.ops);
    figure_count(out, "kernel", "kernels", e.kernels);
    if (e.reorders) figure_count(out, "kernel that copies", "kernels that copy", e.reorders);
    figure_bytes(out, "moved, a call", e.bytes);
    figure_bytes(out, "moved op by op", e.bytes_unfused);
    figure_bytes(out, "memory at its peak", e.peak_bytes);
    figure_count(out, "operation", "operations", e.flops);
    figure_count(out, "graph", "graphs", e.graphs);
    figure_count(out, "guarded entry", "guarded entries", e.entries);
    if (e.host_reads) figure_count(out, "host read", "host reads", e.host_reads);
    if (e.fallbacks)
        figure_count(out, "graph run node by node", "graphs run node by node", e.fallbacks);
    html_figures_close(out);
}

/* ---- why it was compiled, and what did not fuse ---------------------------------------------- */

static void write_why(const Report *r, const CompileEvent *e) {
    StrBuf why = {0};
    explain_event(e, &r->names, &why);
    html_escape_text(r->out, &why);
    strbuf_free(&why);
}

static void write_event(void *context, int64_t number, const CompileEvent *e) {
    const Report *r = context;
    strbuf_addf(r->out, "<tr><td class=\"n\" >%lld</td><td class=\"all\">", (long long)number);
    write_why(r, e);
    strbuf_addf(
        r->out,
        "</td><td class=\"all\">%s%s: %u ops in %u kernels</td><td class=\"n\" data-l=\"ms\">",
        compile_kind_text(e->kind), e->background ? " in the background" : "", e->ops, e->steps);
    html_ms(r->out, e->times.plan_ns + e->times.load_ns);
    strbuf_add(r->out, "</td></tr>\n");
}

static void write_compiles(Report *r) {
    const Purity *purity = &r->compiled->purity;
    html_heading(r->out, "Why it was compiled");
    if (is_impure(purity)) {
        strbuf_addf(r->out, "<p>It is run on every call: %s%s", purity->reason,
                    purity->detail ? ": " : "");
        if (purity->detail) html_escape(r->out, purity->detail, SIZE_MAX);
        strbuf_add(r->out, ".</p>\n");
    }
    strbuf_add(r->out, "<table class=\"wide\"><thead><tr><th></th><th>what was new</th>"
                       "<th>what came of it</th><th class=\"n\">ms</th></tr></thead><tbody>\n");
    int64_t count = compiles_each(&r->compiled->compiles, write_event, r);
    strbuf_add(r->out, "</tbody></table>\n");
    if (count > COMPILES_KEPT)
        strbuf_addf(r->out, "<p class=\"dim\">The latest %d of %lld.</p>\n", COMPILES_KEPT,
                    (long long)count);
}

static void write_refusals(const PassContext *context, StrBuf *out) {
    StrBuf text = {0};
    refusals_print(context->program, "", &text);
    html_heading(out, "What was not fused, and why");
    strbuf_add(out, "<ul>\n");
    for (const char *line = strbuf_text(&text); *line; line += strcspn(line, "\n") + 1) {
        strbuf_add(out, "<li>");
        html_escape(out, line, strcspn(line, "\n"));
        strbuf_add(out, "</li>\n");
    }
    strbuf_add(out, context->program->notes.count ? "</ul>\n" : "<li>nothing</li></ul>\n");
    out->failed = out->failed || text.failed;
    strbuf_free(&text);
}

/* ---- guards, times, memory ------------------------------------------------------------------- */

static void write_guards(const Report *r, StrBuf *out) {
    StrBuf text = {0};
    explain_guards(r->compiled, &r->names, &text);
    html_heading(out, "Graphs and guards");
    strbuf_add(out, "<pre>");
    html_escape_text(out, &text);
    strbuf_add(out, "</pre>\n");
    strbuf_free(&text);
}

static void time_bar(StrBuf *out, const char *name, int64_t ns, int64_t most) {
    int64_t width = most ? ns * 100 / most : 0;
    strbuf_addf(out, "<tr><td>%s</td><td class=\"n\">", name);
    html_ms(out, ns);
    strbuf_addf(out,
                " ms</td><td style=\"width:55%%\"><span class=\"of\" style=\"width:100%%\">"
                "<i style=\"width:%lld%%\"></i></span></td></tr>\n",
                (long long)(width < 1 ? 1 : width));
}

static void write_times(const Report *r, StrBuf *out) {
    int64_t trace = r->latest->trace_ns, load = r->latest->instance->graph->times.load_ns;
    int64_t most = trace > load ? trace : load;
    for (int32_t i = 0; i < r->n_passes; i++)
        if (r->pass_ns[i] > most) most = r->pass_ns[i];
    html_heading(out, "Times of compiling");
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

static void memory_bar(StrBuf *out, int32_t step, int32_t width, int64_t bytes, int64_t most) {
    int64_t height = most ? (int64_t)((double)bytes / (double)most * 110) : 0;
    if (height < 1) height = 1;
    strbuf_addf(
        out,
        "<rect class=\"g\" style=\"--h:%d\" x=\"%d\" y=\"%lld\" width=\"%d\" height=\"%lld\">"
        "<title>step %d: ",
        (int)html_hue(step), (int)(step * width), (long long)(120 - height),
        (int)(width > 3 ? width - 2 : width), (long long)height, (int)step);
    html_bytes(out, bytes);
    strbuf_add(out, "</title></rect>\n");
    if (width >= 20)
        strbuf_addf(out, "<text x=\"%d\" y=\"134\">%d</text>\n", (int)(step * width), (int)step);
}

static void write_memory(const Report *r, const PassContext *context, StrBuf *out) {
    const Program *program = context->program;
    const int64_t *numbers = executable_numbers(r->latest->instance->executable);
    int32_t steps = (int32_t)program->steps.count, shown = steps < BARS_MOST ? steps : BARS_MOST;
    int32_t width = shown && CHART_WIDTH / shown < 60 ? CHART_WIDTH / shown : 60;
    if (width < 4) width = 4;
    html_heading(out, "Memory over the steps");
    strbuf_add(out, "<p>Temporaries and results that hold something; at most ");
    html_bytes(out, numbers[PROGRAM_PEAK_BYTES]);
    strbuf_addf(out, " are taken.%s</p>\n<div class=\"scroll\"><svg width=\"%d\" height=\"140\">\n",
                shown < steps ? " The first steps:" : "", (int)(shown * width + 20));
    for (int32_t i = 0; i < shown; i++)
        memory_bar(out, i, width, live_bytes(program, numbers, i), numbers[PROGRAM_PEAK_BYTES]);
    strbuf_add(out, "</svg></div>\n");
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Steps by group; all that a program lacks of the groups has none. */
static bool find_steps(Report *r, const PassContext *context) {
    const Program *program = context->program;
    uint32_t groups = context->fusion.groups.count;
    r->step_of = mem_alloc(sizeof *r->step_of * (groups + 1));
    if (!r->step_of) return false;
    for (uint32_t i = 0; i < groups; i++) r->step_of[i] = -1;
    for (uint32_t i = 0; i < program->steps.count; i++)
        if (program->steps.data[i].group >= 0)
            r->step_of[program->steps.data[i].group] = (int32_t)i;
    return true;
}

static void write_parts(Report *r, const PassContext *context) {
    if (!find_steps(r, context)) {
        r->out->failed = true;
        return;
    }
    report_kernels(r, context);
    write_compiles(r);
    report_source(r, context);
    report_picture(r, context);
    write_refusals(context, r->out);
    write_memory(r, context, r->out);
    write_times(r, r->out);
    write_guards(r, r->out);
    report_code(r, context);
    mem_free(r->step_of);
}

static void observe(void *user, const char *pass, const PassContext *context) {
    Report *r = user;
    int64_t now = clock_ns();
    if (r->n_passes < REPORT_PASSES) {
        r->passes[r->n_passes] = pass;
        r->pass_ns[r->n_passes++] = now - r->begin;
    }
    if (strcmp(pass, "lower") == 0) write_parts(r, context);
    r->begin = clock_ns();
}

/* What the passes leave of the graph that ran. A symbolic one is made anew: passes add expressions to a table
 * of their own. */
static sn_status write_planned(Report *r, sn_error *error) {
    const CompiledGraph *graph = r->latest->instance->graph;
    BuildOptions options = {
        .fast = r->compiled->options.fast, .explain = true, .observer = observe, .user = r};
    SymbolicGraph again;
    Program program;
    if (graph->symbolic && !symbolic_copy(&again, graph->symbolic, error)) return error->status;
    program_init(&program);
    r->begin = clock_ns();
    sn_status status =
        graph_plan(graph->symbolic ? &again.graph : &graph->own, &options, &program, error);
    program_free(&program);
    if (graph->symbolic) symbolic_free(&again);
    return status;
}

/* Of a function that no kernels run. */
static void write_without_kernels(Report *r) {
    const GraphInstance *instance = r->latest->instance;
    if (!instance) {
        strbuf_add(r->out, "<p>No call of it was compiled.</p>\n");
        return;
    }
    strbuf_add(r->out, "<p>It runs node by node: ");
    html_escape(r->out, instance->graph->failure ? instance->graph->failure : "out of memory",
                SIZE_MAX);
    strbuf_add(r->out, ".</p>\n");
    write_compiles(r);
    write_guards(r, r->out);
}

sn_status report_write(sn_compiled *c, const TraceNote *latest, const ReportOptions *options,
                       StrBuf *out, sn_error *error) {
    const GraphInstance *instance = latest->instance;
    Report report = {.compiled = c, .latest = latest, .options = options, .out = out};
    sn_status status = SN_OK;
    param_names_open(c, instance ? compiled_graph_recorded(instance->graph) : NULL, &report.names);
    write_head(&report);
    write_figures(&report);
    if (instance && instance->executable)
        status = write_planned(&report, error);
    else
        write_without_kernels(&report);
    html_close(out);
    param_names_close(&report.names);
    return status == SN_OK && out->failed ? error_memory(error) : status;
}

/* ---- in the index ---------------------------------------------------------------------------- */

static void write_entry_event(void *context, int64_t number, const CompileEvent *e) {
    const Report *r = context;
    strbuf_addf(r->out, "<li value=\"%lld\">", (long long)number);
    write_why(r, e);
    strbuf_addf(r->out, " <span class=\"dim\">— %s%s, ", compile_kind_text(e->kind),
                e->background ? " in the background" : "");
    html_ms(r->out, e->times.plan_ns + e->times.load_ns);
    strbuf_add(r->out, " ms</span></li>\n");
}

static void write_entry_summary(const Report *r) {
    const sn_compiled *c = r->compiled;
    sn_explanation e = explain_numbers(r->compiled, r->latest);
    int64_t ns = time_of_steps(r->latest->instance);
    strbuf_add(r->out, "<p class=\"dim\">");
    if (c->site.file) {
        strbuf_add(r->out, "<code>");
        html_escape(r->out, c->site.file, SIZE_MAX);
        strbuf_addf(r->out, ":%d</code> · ", (int)c->site.line);
    }
    strbuf_addf(r->out, "%d ops in %d kernels", e.ops, e.kernels);
    if (ns) {
        strbuf_add(r->out, ", ");
        html_ms(r->out, ns);
        strbuf_add(r->out, " ms a call");
    }
    strbuf_addf(r->out, " · %d graphs, %d guarded entries%s</p>\n", e.graphs, e.entries,
                e.rerun ? " · run on every call" : "");
}

void report_entry(sn_compiled *c, const TraceNote *latest, const char *page, StrBuf *out) {
    const GraphInstance *instance = latest->instance;
    Report report = {.compiled = c, .latest = latest, .out = out};
    param_names_open(c, instance ? compiled_graph_recorded(instance->graph) : NULL, &report.names);
    strbuf_add(out, "<h2><a href=\"");
    html_escape(out, page, SIZE_MAX);
    strbuf_add(out, "\">");
    html_escape(out, c->name, SIZE_MAX);
    strbuf_add(out, "</a> <code>\"");
    html_escape(out, c->signature_text, SIZE_MAX);
    strbuf_add(out, "\"</code></h2>\n");
    write_entry_summary(&report);
    strbuf_add(out, "<ol>\n");
    compiles_each(&c->compiles, write_entry_event, &report);
    strbuf_add(out, "</ol>\n");
    param_names_close(&report.names);
}
