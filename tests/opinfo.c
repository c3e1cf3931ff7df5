/* opinfo DIR [--errors] [--op NAME] [--verbose]: repeats recorded PyTorch calls (index.jsonl and
 * .safetensors files in DIR), eager and compiled, and compares dtype, shape and values with what
 * PyTorch gave, and compiled with eager bit by bit. Ends with 'N passed, N failed, N skipped'; status
 * 1 if fewer than 98 % of those not skipped passed.
 *
 * With --errors the calls are those that PyTorch refuses (errors.jsonl), and what is compared is how
 * eager and compiled refuse them. One that eager takes, as a number in place of a tensor, must give
 * the same bits compiled. Status 1 if any differs. */
#include "opinfo_check.h"
#include "opinfo_compiled.h"
#include "opinfo_refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REASONS = 400, MOST_SHOWN = 40, CALLS = 3, LEAST_SHARE_PERCENT = 98 };

/* ---- counting -------------------------------------------------------------------------------- */

/* Calls of which one thing is to be said. */
typedef struct Reason {
    char text[120]; /* the reason */
    int count;      /* calls */
} Reason;

typedef struct Reasons {
    Reason reasons[MOST_REASONS]; /* different ones */
    int n;                        /* how many */
} Reasons;

typedef struct Report {
    bool verbose;       /* print every failure */
    int passed, failed; /* calls */
    int skipped;        /* calls */
    Reasons why;        /* they were skipped */
    int accepted;       /* of those that passed: PyTorch refuses them, eager does not */
    Reasons taken;      /* their operators */
} Report;

static void add_reason(Reasons *reasons, const char *text) {
    for (int i = 0; i < reasons->n; i++)
        if (strcmp(reasons->reasons[i].text, text) == 0) {
            reasons->reasons[i].count++;
            return;
        }
    if (reasons->n == MOST_REASONS) return;
    Reason *reason = &reasons->reasons[reasons->n++];
    snprintf(reason->text, sizeof reason->text, "%s", text);
    reason->count = 1;
}

static void report_skip(Report *report, const char *text) {
    report->skipped++;
    add_reason(&report->why, text);
}

static void skip_operator(Report *report, const OpinfoCase *c) {
    char text[sizeof report->why.reasons->text];
    snprintf(text, sizeof text, "no such op: %s%s%s", c->op, *c->variant ? ", " : "", c->variant);
    report_skip(report, text);
}

static void report_failure(Report *report, const OpinfoCase *c, int line, const char *message) {
    if (report->failed++ >= MOST_SHOWN && !report->verbose) return;
    printf("FAIL line %d %s%s%s %s: %s\n", line, c->op, *c->variant ? "/" : "", c->variant,
           c->dtype, message);
}

/* ---- evaluating ------------------------------------------------------------------------------ */

/* One compiled call; its results must be eager's. */
static bool check_compiled_call(sn_compiled *compiled, const OpinfoCase *c,
                                const OpinfoResult *eager, int32_t n_results, char *message) {
    sn_tensor *outputs[OPINFO_MOST_TENSORS] = {NULL};
    sn_error error = {.size = sizeof error};
    int32_t count = 0;
    sn_status status = opinfo_call(compiled, c, OPINFO_RECORDED, outputs, &count, &error);
    if (status != SN_OK || count != n_results) {
        snprintf(message, OPINFO_TEXT, "compiled: %s", error.text);
        return false;
    }
    bool ok = true;
    for (int32_t i = 0; i < count; i++) {
        OpinfoResult result = {.data = NULL};
        ok = ok && opinfo_result_read(&result, outputs[i], message) &&
             opinfo_identical(&result, &eager[i], message);
        opinfo_result_free(&result);
        sn_release(outputs[i]);
    }
    return ok;
}

/* Calls the compiled form several times: the first traces, the second checks, the third replays. */
static bool check_compiled(OpinfoCase *c, const OpinfoResult *eager, int32_t n_results,
                           char *message) {
    sn_error error = {.size = sizeof error};
    sn_compiled *compiled = opinfo_compile(c, n_results, &error);
    if (!compiled) {
        snprintf(message, OPINFO_TEXT, "compile: %s", error.text);
        return false;
    }
    bool ok = true;
    for (int i = 0; i < CALLS && ok; i++) {
        char text[OPINFO_TEXT];
        ok = check_compiled_call(compiled, c, eager, n_results, text);
        if (!ok) snprintf(message, OPINFO_TEXT, "compiled call %d %.500s", i + 1, text);
    }
    sn_compiled_release(compiled);
    return ok;
}

/* Results of ours against PyTorch's, unless it has none, and the compiled form against both. */
static bool check_results(OpinfoCase *c, OpinfoCall *call, bool refused, char *message) {
    OpinfoResult eager[OPINFO_MOST_TENSORS] = {{.data = NULL}}, defined = {.data = NULL};
    bool ok = refused || call->n_results == c->n_results ||
              (call->first_only && call->n_results > 0 && call->n_results < c->n_results);
    if (!ok)
        snprintf(message, OPINFO_TEXT, "%d results, expected %d", call->n_results, c->n_results);
    ok = ok && (!call->defined || opinfo_result_read(&defined, call->defined, message));
    for (int32_t i = 0; i < call->n_results && ok; i++) {
        OpinfoResult theirs = {.data = NULL};
        ok = opinfo_result_read(&eager[i], call->results[i], message);
        if (refused) continue;
        ok = ok && opinfo_result_read(&theirs, c->results[i], message) &&
             opinfo_agrees(&eager[i], &theirs, i == 0 && defined.data ? &defined : NULL, c->op,
                           message);
        opinfo_result_free(&theirs);
    }
    ok = ok && check_compiled(c, eager, call->n_results, message);
    for (int32_t i = 0; i < call->n_results; i++) opinfo_result_free(&eager[i]);
    opinfo_result_free(&defined);
    return ok;
}

/* A call whose results PyTorch gave, or, where it refuses the call and eager does not, has none. */
static void run_call(Report *report, OpinfoCase *c, bool refused, int line) {
    char message[OPINFO_TEXT] = "";
    OpinfoCall call = {.recorded = c, .inputs = c->inputs, .asks_defined = !refused};
    if (!opinfo_evaluate(&call)) {
        report_skip(report, call.skip);
    } else if (sn_error_status() != SN_OK) {
        report_failure(report, c, line, sn_error_text());
    } else if (check_results(c, &call, refused, message)) {
        report->passed++;
    } else {
        report_failure(report, c, line, message);
    }
}

/* A call that PyTorch refuses. */
static void run_refusal(Report *report, OpinfoCase *c, int line) {
    char message[OPINFO_TEXT] = "";
    switch (opinfo_check_refusal(c, message)) {
    case OPINFO_REFUSED:
        report->passed++;
        return;
    case OPINFO_SKIPPED:
        report_skip(report, message);
        return;
    case OPINFO_ACCEPTED:
        report->accepted++;
        add_reason(&report->taken, c->op);
        run_call(report, c, true, line);
        return;
    default:
        report_failure(report, c, line, message);
    }
}

/* Runs a case inside a scope of its own. */
static void run_case(Report *report, OpinfoCase *c, const sn_safetensors *file, bool errors,
                     int line) {
    opinfo_case_load(c, file);
    if (sn_error_status() != SN_OK) {
        if (strstr(sn_error_text(), "dimensions"))
            report_skip(report, "no tensors of more than 8 dimensions");
        else
            report_failure(report, c, line, sn_error_text());
    } else if (errors) {
        run_refusal(report, c, line);
    } else {
        run_call(report, c, false, line);
    }
    sn_error_take(NULL);
}

/* ---- reading the index ----------------------------------------------------------------------- */

/* Where the calls come from. */
typedef struct Source {
    const char *folder;   /* the argument */
    const char *op;       /* only this operator, or NULL */
    bool errors;          /* the calls that PyTorch refuses */
    sn_safetensors *file; /* the open file */
    char file_name[256];  /* its name */
} Source;

static bool open_file(Source *source, const char *name) {
    char path[4096];
    if (source->file && strcmp(source->file_name, name) == 0) return true;
    sn_safetensors_close(source->file);
    snprintf(source->file_name, sizeof source->file_name, "%s", name);
    snprintf(path, sizeof path, "%s/%s", source->folder, name);
    source->file = sn_safetensors_open(path);
    return source->file != NULL;
}

static void run_line(Report *report, Source *source, const char *text, int line) {
    OpinfoCase c;
    if (!opinfo_case_parse(&c, text)) {
        printf("FAIL line %d: cannot be parsed\n", line);
        report->failed++;
    } else if (source->op && strcmp(source->op, c.op) != 0) {
        /* not asked for */
    } else if (!opinfo_known(&c)) {
        skip_operator(report, &c);
    } else if (!open_file(source, c.file)) {
        report_failure(report, &c, line, sn_error_text());
        sn_error_take(NULL);
    } else {
        sn_scope scope = sn_scope_begin();
        run_case(report, &c, source->file, source->errors, line);
        sn_scope_end(scope, NULL);
    }
    opinfo_case_free(&c);
}

static bool run_index(Report *report, Source *source) {
    char path[4096], *text = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "%s/%s.jsonl", source->folder, source->errors ? "errors" : "index");
    FILE *index = fopen(path, "r");
    if (!index) {
        fprintf(stderr, "opinfo: cannot read %s\n", path);
        return false;
    }
    for (int line = 1; getline(&text, &capacity, index) > 0; line++)
        run_line(report, source, text, line);
    free(text);
    fclose(index);
    sn_safetensors_close(source->file);
    return true;
}

static int compare_reasons(const void *a, const void *b) {
    return ((const Reason *)b)->count - ((const Reason *)a)->count;
}

static void print_reasons(Reasons *reasons, const char *what) {
    qsort(reasons->reasons, (size_t)reasons->n, sizeof *reasons->reasons, compare_reasons);
    for (int i = 0; i < reasons->n; i++)
        printf("%s %5d  %s\n", what, reasons->reasons[i].count, reasons->reasons[i].text);
}

static void print_report(Report *report, bool errors) {
    sn_counters counters = {.size = sizeof counters};
    sn_counters_get(&counters);
    print_reasons(&report->why, "skipped");
    print_reasons(&report->taken, "accepted");
    if (errors) printf("%d accepted by eager (PyTorch refuses them)\n", report->accepted);
    printf("%lld kernels compiled, %lld fallbacks\n", (long long)counters.compiles,
           (long long)counters.fallbacks);
    printf("%d passed, %d failed, %d skipped\n", report->passed, report->failed, report->skipped);
}

int main(int argc, char **argv) {
    Source source = {.folder = NULL};
    static Report report;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            report.verbose = true;
        else if (strcmp(argv[i], "--errors") == 0)
            source.errors = true;
        else if (strcmp(argv[i], "--op") == 0 && i + 1 < argc)
            source.op = argv[++i];
        else if (!source.folder)
            source.folder = argv[i];
    }
    if (!source.folder) {
        fprintf(stderr, "usage: opinfo DIR [--errors] [--op NAME] [--verbose]\n");
        return 2;
    }
    if (!run_index(&report, &source)) return 2;
    print_report(&report, source.errors);
    int run = report.passed + report.failed, share = source.errors ? 100 : LEAST_SHARE_PERCENT;
    return run > 0 && report.passed * 100 >= run * share ? 0 : 1;
}
