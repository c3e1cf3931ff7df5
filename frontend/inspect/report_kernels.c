/* The report's kernels: what is in each, how long it took and how near that is to what the machine can
 * do, and their code. */
#include "base/status.h"
#include "base/thread/parallel.h"
#include "frontend/inspect/html.h"
#include "frontend/inspect/report_parts.h"
#include "runtime/kernels/backend.h"
#include "runtime/roof.h"

#include <string.h>

enum {
    ROWS_MOST = 2000, /* kernels of a table */
    LINES_SHOWN = 4,  /* source lines of a kernel */
    CODE_MOST = 12    /* kernels whose code is made: those that move most */
};

/* ---- times ----------------------------------------------------------------------------------- */

/* Elements that are computed with at once where one f32 is: by the narrowest type that the step
 * touches. Half types are computed with as f32. Comparisons, shifts and the like may have a unit beside
 * that of products, by which the roof is measured. */
static double lanes_of(const Program *program, const Step *step) {
    size_t least = 8;
    for (uint32_t i = 0; i < step->launch.args.count; i++) {
        uint32_t buffer = step->launch.args.data[i].buffer;
        if (buffer == UINT32_MAX) continue;
        sn_dtype dtype = (sn_dtype)program_buffer(program, buffer)->dtype;
        size_t bytes = dtype == SN_F16 || dtype == SN_BF16 ? sizeof(float) : sn_dtype_size(dtype);
        if (dtype != SN_BOOL && bytes < least) least = bytes;
    }
    return 2 * (double)sizeof(float) / (double)least;
}

/* What is known of a step that ran. */
typedef struct StepFigures {
    const int64_t *costs; /* see StepCost */
    int64_t ns;           /* it took; 0: it was not timed */
    double roof;          /* seconds that it takes at least; 0: not known */
    bool by_memory;       /* … for its bytes, not its arithmetic */
} StepFigures;

static StepFigures figures_of(const Executable *e, uint32_t i) {
    const Program *program = executable_program(e);
    const Step *step = program_step(program, i);
    StepFigures f = {.costs = executable_numbers(e) + step->costs,
                     .ns = executable_step_ns(e, i, NULL)};
    RoofWork work = {.bytes = f.costs[COST_BYTES],
                     .instructions = f.costs[COST_INSTRUCTIONS],
                     .lanes = lanes_of(program, step),
                     .threads = executable_step_is_parallel(e, i) ? program->threads : 1};
    if (f.ns) f.roof = roof_seconds_below(&work, (double)f.ns * 1e-9, &f.by_memory);
    return f;
}

static void open_cell(StrBuf *out, const char *label) {
    strbuf_addf(out, "<td class=\"n\" data-l=\"%s\">", label);
}

static void write_figures(const StepFigures *f, StrBuf *out) {
    open_cell(out, "ms");
    if (f->ns)
        html_ms(out, f->ns);
    else
        strbuf_add(out, "–");
    strbuf_add(out, "</td>");
    open_cell(out, "GB/s");
    if (f->ns)
        html_tenths(out, (double)f->costs[COST_BYTES] / (double)f->ns);
    else
        strbuf_add(out, "–");
    strbuf_add(out, "</td>");
    open_cell(out, "of the roof");
    if (f->roof > 0) {
        double share = f->roof / ((double)f->ns * 1e-9);
        int percent = (int)(share * 100 + 0.5);
        strbuf_addf(out, "%d %% %s<span class=\"of\"><i style=\"width:%d%%\"></i></span>", percent,
                    f->by_memory ? "memory" : "arithmetic", percent < 100 ? percent : 100);
    } else {
        strbuf_add(out, "–");
    }
    strbuf_add(out, "</td>");
    open_cell(out, "moves");
    html_bytes(out, f->costs[COST_BYTES]);
    strbuf_add(out, "</td></tr>\n");
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool same_site(Site x, Site y) {
    return x.line == y.line && strcmp(x.file, y.file) == 0;
}

/* Of several files only the last part: the whole is beside the source. */
static void write_line(Site site, StrBuf *out) {
    const char *slash = strrchr(site.file, '/');
    html_escape(out, slash ? slash + 1 : site.file, SIZE_MAX);
    strbuf_addf(out, ":%d", (int)site.line);
}

/* Lines of the members of a step, each once. */
static void write_members_lines(const PassContext *context, const Group *group, StrBuf *out) {
    Site shown[LINES_SHOWN];
    uint32_t count = 0;
    for (uint32_t m = 0; m < group->members.count; m++) {
        const Node *node = graph_node(&context->graph, group->members.data[m]);
        Site site = context->graph.sites.data[node->site];
        bool seen = !site.file;
        for (uint32_t i = 0; i < count && !seen; i++) seen = same_site(shown[i], site);
        if (seen) continue;
        if (count == LINES_SHOWN) {
            strbuf_add(out, " …");
            return;
        }
        strbuf_add(out, count ? ", " : "<br><span class=\"dim\">");
        write_line(site, out);
        shown[count++] = site;
    }
    if (count) strbuf_add(out, "</span>");
}

static void write_step_line(const Program *program, const Step *step, StrBuf *out) {
    Site site = program_site(program, step->site);
    if (!site.file) return;
    strbuf_add(out, "<br><span class=\"dim\">");
    write_line(site, out);
    strbuf_add(out, "</span>");
}

/* "exp+mul+sum", with places where a narrow screen may break it. */
static void write_label(const char *label, StrBuf *out) {
    for (size_t length; *label; label += length) {
        length = strcspn(label, "+");
        html_escape(out, label, length);
        if (label[length]) strbuf_add(out, "+<wbr>");
        length += label[length] != 0;
    }
}

/* `context` is of the passes that made the program; NULL: they are over. */
static void write_row(const Executable *e, uint32_t i, const PassContext *context, StrBuf *out) {
    const Program *program = executable_program(e);
    const Step *step = program_step(program, i);
    StepFigures figures = figures_of(e, i);
    strbuf_add(out, "<tr><td class=\"all\">");
    html_mark(out, (int32_t)i);
    strbuf_add(out, "</td><td class=\"all\"><code>");
    write_label(step->label, out);
    strbuf_add(out, "</code>");
    if (context && step->group >= 0)
        write_members_lines(context, &context->fusion.groups.data[step->group], out);
    else
        write_step_line(program, step, out);
    strbuf_add(out, "</td>");
    write_figures(&figures, out);
}

static void write_table(const Executable *e, const PassContext *context, StrBuf *out) {
    strbuf_add(out, "<table class=\"wide\"><thead><tr><th></th><th>ops</th><th class=\"n\">ms</th>"
                    "<th class=\"n\">GB/s</th><th class=\"n\">of the roof</th>"
                    "<th class=\"n\">moves</th></tr></thead><tbody>\n");
    uint32_t count = executable_program(e)->steps.count;
    for (uint32_t i = 0; i < count && i < ROWS_MOST; i++) write_row(e, i, context, out);
    strbuf_add(out, "</tbody></table>\n");
    if (count > ROWS_MOST) strbuf_addf(out, "<p>… and %u more</p>\n", count - ROWS_MOST);
}

static bool was_timed(const Executable *e) {
    uint32_t count = executable_program(e)->steps.count, timed = 0;
    for (uint32_t i = 0; i < count; i++) timed += executable_step_ns(e, i, NULL) > 0;
    return timed > 0 || !count;
}

/* Graphs but the latest, which ran for other arguments, or before a host read. */
static void write_others(const Report *r) {
    const CompiledGraph *latest = r->latest->instance->graph;
    GraphList *list = graphs_list(&r->compiled->graphs);
    for (uint32_t i = 0; list && i < list->count; i++) {
        const CompiledGraph *graph = list->graphs[i];
        if (graph == latest || graph->symbolic || !graph->executable) continue;
        strbuf_addf(r->out, "<details><summary>graph %u, %u kernels</summary>\n", i,
                    executable_program(graph->executable)->steps.count);
        write_table(graph->executable, NULL, r->out);
        strbuf_add(r->out, "</details>\n");
    }
    graph_list_release(list);
}

void report_kernels(const Report *r, const PassContext *context) {
    const Executable *e = r->latest->instance->executable;
    bool same = executable_program(e)->steps.count == context->program->steps.count;
    html_heading(r->out, "Kernels");
    if (was_timed(e))
        strbuf_add(r->out,
                   "<p class=\"dim\">Times are medians of the first runs. The roof is the least "
                   "time that this machine takes for as many bytes, or as much arithmetic, "
                   "measured when this page was written, or by a kernel that was faster.</p>\n");
    else
        strbuf_add(r->out,
                   "<p class=\"dim\">Not timed: <code>SINTER_EXPLAIN=folder</code> in the "
                   "environment, or <code>sn_kernel_seconds</code>, has kernels timed.</p>\n");
    write_table(e, same ? context : NULL, r->out);
    write_others(r);
}

/* ---- code ------------------------------------------------------------------------------------ */

static void details(StrBuf *out, const char *title, const StrBuf *text) {
    strbuf_addf(out, "<details><summary>%s</summary><pre>", title);
    html_escape_text(out, text);
    strbuf_add(out, "</pre></details>\n");
}

static void write_machine_code(const Program *program, const Launch *launch, StrBuf *out) {
    static const struct {
        const char *title;
        BackendStage stage;
    } stages[] = {{"LLVM IR", STAGE_SOURCE}, {"machine code", STAGE_ASSEMBLY}};
    sn_error error;
    error_init(&error);
    const Backend *backend = backend_load("cpu", &error);
    Schedule schedule = {.stream_stores = program->numbers.data[launch->streams] != 0};
    StrBuf text = {0};
    for (int32_t s = 0; backend && s < 2; s++) {
        strbuf_clear(&text);
        if (backend_print(backend, program_kernel(program, launch), target_host(), &schedule,
                          "kernel", stages[s].stage, &text, &error) == SN_OK)
            details(out, stages[s].title, &text);
    }
    strbuf_free(&text);
}

static int64_t moved_by(const Program *program, uint32_t step) {
    return program->numbers.data[program->steps.data[step].costs + COST_BYTES];
}

/* Is this the first step with its kernel? */
static bool is_first(const Program *program, uint32_t i, bool *seen) {
    const Step *step = &program->steps.data[i];
    if (seen[step->launch.kernel]) return false;
    return seen[step->launch.kernel] = true;
}

/* Marks the steps whose code is shown, each kernel once: those that move most. */
static void choose(const Program *program, bool *seen, bool *chosen) {
    uint32_t best[CODE_MOST], count = 0;
    for (uint32_t i = 0; i < program->steps.count; i++) {
        uint32_t at = i;
        if (!is_first(program, i, seen)) continue;
        for (uint32_t j = 0; j < count; j++) {
            if (moved_by(program, at) <= moved_by(program, best[j])) continue;
            uint32_t other = best[j];
            best[j] = at;
            at = other;
        }
        if (count < CODE_MOST) best[count++] = at;
    }
    for (uint32_t j = 0; j < count; j++) chosen[best[j]] = true;
}

/* Kernel IR has its loops and lines; machine code takes the code generator some milliseconds each. */
void report_code(const Report *r, const PassContext *context) {
    const Program *program = context->program;
    const Executable *e = r->latest->instance->executable;
    bool *seen = mem_calloc(program->kernels.count + 1, sizeof *seen);
    bool *chosen = mem_calloc(program->steps.count + 1, sizeof *chosen);
    if (seen && chosen)
        choose(program, seen, chosen);
    else
        r->out->failed = true;
    html_heading(r->out, "Code");
    strbuf_addf(r->out,
                "<p class=\"dim\">Each kernel once, at most the %d that move most; "
                "<code>sn_dump</code> prints them all (\"kernels\", \"llvm\", \"asm\").</p>\n",
                CODE_MOST);
    for (uint32_t i = 0; i < program->steps.count && chosen; i++) {
        const Step *step = &program->steps.data[i];
        StrBuf text = {0};
        if (!chosen[i]) continue;
        strbuf_add(r->out, "<p>");
        html_mark(r->out, (int32_t)i);
        if (i < executable_program(e)->steps.count)
            strbuf_addf(r->out, "<code class=\"dim\">%s</code>", executable_kernel(e, i)->name);
        strbuf_add(r->out, "</p>\n");
        kernel_print(program_kernel(program, &step->launch), &text, program->sites.data);
        details(r->out, "kernel IR", &text);
        strbuf_free(&text);
        if (r->options->code) write_machine_code(program, &step->launch, r->out);
    }
    mem_free(seen);
    mem_free(chosen);
}
