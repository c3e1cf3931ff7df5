/* opinfo DIR [--op NAME] [--verbose]: repeats recorded PyTorch calls (index.jsonl and .safetensors
 * files in DIR), eager and compiled, and compares dtype, shape and values with what PyTorch gave,
 * and compiled with eager bit by bit. Ends with 'N passed, N failed, N skipped'; status 1 if fewer
 * than 98 % of those not skipped passed. */
#include "opinfo_check.h"
#include "opinfo_compose.h"
#include "opinfo_index.h"
#include "opinfo_pointwise.h"
#include "opinfo_reduce.h"
#include "opinfo_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REASONS = 400, MOST_SHOWN = 40, CALLS = 3, LEAST_SHARE_PERCENT = 98 };

/* ---- counting -------------------------------------------------------------------------------- */

/* Skipped calls of one reason. */
typedef struct Reason {
    char text[120]; /* the reason */
    int count;      /* calls */
} Reason;

typedef struct Report {
    bool verbose;                 /* print every failure */
    int passed, failed;           /* calls */
    int skipped;                  /* calls */
    Reason reasons[MOST_REASONS]; /* of the skipped */
    int n_reasons;                /* how many */
} Report;

static void report_skip(Report *report, const char *text) {
    report->skipped++;
    for (int i = 0; i < report->n_reasons; i++)
        if (strcmp(report->reasons[i].text, text) == 0) {
            report->reasons[i].count++;
            return;
        }
    if (report->n_reasons == MOST_REASONS) return;
    Reason *reason = &report->reasons[report->n_reasons++];
    snprintf(reason->text, sizeof reason->text, "%s", text);
    reason->count = 1;
}

static void skip_operator(Report *report, const OpinfoCase *c) {
    char text[sizeof report->reasons->text];
    snprintf(text, sizeof text, "no such op: %s%s%s", c->op, *c->variant ? ", " : "", c->variant);
    report_skip(report, text);
}

static void report_failure(Report *report, const OpinfoCase *c, int line, const char *message) {
    if (report->failed++ >= MOST_SHOWN && !report->verbose) return;
    printf("FAIL line %d %s%s%s %s: %s\n", line, c->op, *c->variant ? "/" : "", c->variant,
           c->dtype, message);
}

/* ---- evaluating ------------------------------------------------------------------------------ */

static const OpinfoRow *find_row(const OpinfoCase *c) {
    const OpinfoTable *tables[] = {&opinfo_pointwise, &opinfo_reduce, &opinfo_view, &opinfo_index,
                                   &opinfo_compose};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->count; i++) {
            const OpinfoRow *row = &tables[t]->rows[i];
            if (strcmp(row->op, c->op) == 0 &&
                (!row->variant || strcmp(row->variant, c->variant) == 0))
                return row;
        }
    return NULL;
}

static bool evaluate(OpinfoCall *call) {
    return find_row(call->recorded)->form(call, find_row(call->recorded));
}

/* What is compiled: the same evaluation, on proxies. */
static sn_status payload(void *recorded, const sn_value *inputs, int32_t n_inputs,
                         sn_outputs *outputs) {
    sn_tensor *tensors[OPINFO_MOST_TENSORS];
    for (int32_t i = 0; i < n_inputs; i++) tensors[i] = inputs[i].as.tensor;
    OpinfoCall call = {.recorded = recorded, .inputs = tensors};
    if (!evaluate(&call) || call.n_results != outputs->capacity) return SN_ERROR_ARGUMENT;
    for (int32_t i = 0; i < call.n_results; i++) outputs->tensors[i] = call.results[i];
    outputs->count = call.n_results;
    return sn_error_status();
}

static sn_compiled *compile(OpinfoCase *c, int32_t n_results, sn_error *error) {
    char signature[2 * OPINFO_MOST_TENSORS + 2];
    int32_t at = 0;
    for (int32_t i = 0; i < c->n_inputs; i++) signature[at++] = 't';
    signature[at++] = ':';
    for (int32_t i = 0; i < n_results; i++) signature[at++] = 't';
    signature[at] = 0;
    return sn_compile_payload(payload, c, NULL, c->op, signature, NULL, error);
}

/* One compiled call; its results must be eager's. */
static bool check_compiled_call(sn_compiled *compiled, const OpinfoCase *c,
                                const OpinfoResult *eager, int32_t n_results, char *message) {
    sn_value values[OPINFO_MOST_TENSORS];
    sn_tensor *outputs[OPINFO_MOST_TENSORS] = {NULL};
    sn_error error = {.size = sizeof error};
    int32_t count = 0;
    for (int32_t i = 0; i < c->n_inputs; i++)
        values[i] = (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = c->inputs[i]};
    sn_status status =
        sn_call(compiled, values, c->n_inputs, outputs, n_results, &count, NULL, &error);
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
    sn_compiled *compiled = compile(c, n_results, &error);
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

static bool check_results(OpinfoCase *c, OpinfoCall *call, char *message) {
    OpinfoResult eager[OPINFO_MOST_TENSORS] = {{.data = NULL}}, defined = {.data = NULL};
    bool ok = call->n_results == c->n_results ||
              (call->first_only && call->n_results > 0 && call->n_results < c->n_results);
    if (!ok)
        snprintf(message, OPINFO_TEXT, "%d results, expected %d", call->n_results, c->n_results);
    ok = ok && (!call->defined || opinfo_result_read(&defined, call->defined, message));
    for (int32_t i = 0; i < call->n_results && ok; i++) {
        OpinfoResult theirs = {.data = NULL};
        ok = opinfo_result_read(&eager[i], call->results[i], message) &&
             opinfo_result_read(&theirs, c->results[i], message) &&
             opinfo_agrees(&eager[i], &theirs, i == 0 && defined.data ? &defined : NULL, c->op,
                           message);
        opinfo_result_free(&theirs);
    }
    ok = ok && check_compiled(c, eager, call->n_results, message);
    for (int32_t i = 0; i < call->n_results; i++) opinfo_result_free(&eager[i]);
    opinfo_result_free(&defined);
    return ok;
}

/* Runs a case inside a scope of its own. */
static void run_case(Report *report, OpinfoCase *c, const sn_safetensors *file, int line) {
    char message[OPINFO_TEXT] = "";
    opinfo_case_load(c, file);
    if (sn_error_status() != SN_OK) {
        if (strstr(sn_error_text(), "dimensions"))
            report_skip(report, "no tensors of more than 8 dimensions");
        else
            report_failure(report, c, line, sn_error_text());
        sn_error_take(NULL);
        return;
    }
    OpinfoCall call = {.recorded = c, .inputs = c->inputs, .asks_defined = true};
    if (!evaluate(&call)) {
        report_skip(report, call.skip);
    } else if (sn_error_status() != SN_OK) {
        report_failure(report, c, line, sn_error_text());
    } else if (check_results(c, &call, message)) {
        report->passed++;
    } else {
        report_failure(report, c, line, message);
    }
    sn_error_take(NULL);
}

/* ---- reading the index ----------------------------------------------------------------------- */

/* Where the calls come from. */
typedef struct Source {
    const char *folder;   /* the argument */
    const char *op;       /* only this operator, or NULL */
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
    } else if (!find_row(&c)) {
        skip_operator(report, &c);
    } else if (!open_file(source, c.file)) {
        report_failure(report, &c, line, sn_error_text());
        sn_error_take(NULL);
    } else {
        sn_scope scope = sn_scope_begin();
        run_case(report, &c, source->file, line);
        sn_scope_end(scope, NULL);
    }
    opinfo_case_free(&c);
}

static bool run_index(Report *report, Source *source) {
    char path[4096], *text = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "%s/index.jsonl", source->folder);
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

static void print_report(Report *report) {
    sn_counters counters = {.size = sizeof counters};
    sn_counters_get(&counters);
    qsort(report->reasons, (size_t)report->n_reasons, sizeof *report->reasons, compare_reasons);
    for (int i = 0; i < report->n_reasons; i++)
        printf("skipped %5d  %s\n", report->reasons[i].count, report->reasons[i].text);
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
        else if (strcmp(argv[i], "--op") == 0 && i + 1 < argc)
            source.op = argv[++i];
        else if (!source.folder)
            source.folder = argv[i];
    }
    if (!source.folder) {
        fprintf(stderr, "usage: opinfo DIR [--op NAME] [--verbose]\n");
        return 2;
    }
    if (!run_index(&report, &source)) return 2;
    print_report(&report);
    int run = report.passed + report.failed;
    return run > 0 && report.passed * 100 >= run * LEAST_SHARE_PERCENT ? 0 : 1;
}
