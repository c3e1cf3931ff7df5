/* `sinter bench`: measures workloads, eager against compiled, and prints a row or a JSON object
 * each. */
#include "sinter_child.h"
#include "sinter_measure.h"
#include "sinter_serve.h"
#include "sinter_tool.h"

#include <cjson/cJSON.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: sinter bench [OPTION]... [WORKLOAD]...\n"
    "Measures workloads, eager against compiled; all of them, or those whose names begin with a\n"
    "WORKLOAD.\n\n"
    "  --list         list the workloads\n"
    "  --json         one JSON object a line instead of the table\n"
    "  --threads N    threads of a parallel region (default: one per core)\n"
    "  --mode MODE    exact (default: the same bits as eager) or fast\n"
    "  --seconds S    spend about S seconds on the calls of each workload (default 1)\n"
    "  --help         print this\n";

/* Options of the command line. */
typedef struct BenchOptions {
    bool list, json, serve; /* what to do */
    const char *child;      /* "cold" or "warm": see sinter_child.h */
    int32_t threads;        /* of a parallel region */
    sn_numerics numerics;   /* of compiled functions */
    double seconds;         /* for the calls of a workload */
} BenchOptions;

/* What is printed of a workload, in the order of the JSON object. Seconds, bytes and counts are those of
 * one call. */
typedef struct BenchResult {
    const char *workload;        /* name */
    const char *device;          /* "cpu" */
    const char *mode;            /* "exact" or "fast" */
    int64_t threads;             /* of a parallel region */
    double eager_s, compiled_s;  /* medians */
    double speedup;              /* eager_s / compiled_s */
    int64_t eager_kernels;       /* launches */
    int64_t compiled_kernels;    /* launches */
    int64_t extern_calls;        /* always 0: kept for who reads the lines */
    int64_t reorders;            /* kernels that compute nothing: they change a layout */
    int64_t phases;              /* launches of the compiled function: a barrier ends each */
    int64_t fallbacks;           /* graphs that were run node by node */
    double cold_compile_s;       /* see FirstCalls */
    double llvm_load_s;          /* see FirstCalls */
    double warm_load_s;          /* see FirstCalls */
    double dispatch_s;           /* a call less a direct entry into its kernels */
    int64_t bytes;               /* that the kernels have to move */
    int64_t flops;               /* floating point and integer operations, a multiply-add two */
    int64_t instructions;        /* the same, a multiply-add one */
    double roofline_share;       /* the machine's least time over compiled_s */
    bool bitwise_equal;          /* compiled result and eager's */
    char output_hash[17];        /* XXH3 of the compiled result */
    int64_t max_ulp;             /* largest distance between the two */
    int64_t peak_bytes_eager;    /* memory beyond the inputs */
    int64_t peak_bytes_compiled; /* the same */
} BenchResult;

/* The fields of BenchResult by kind: how they become JSON. */
typedef enum FieldKind { FIELD_TEXT, FIELD_CHARS, FIELD_INTEGER, FIELD_REAL, FIELD_FLAG } FieldKind;
typedef struct Field {
    const char *name; /* in JSON */
    FieldKind kind;   /* of the member */
    size_t offset;    /* of the member */
} Field;
#define FIELD(kind, name)                                                                          \
    { #name, FIELD_##kind, offsetof(BenchResult, name) }
static const Field fields[] = {
    FIELD(TEXT, workload),
    FIELD(TEXT, device),
    FIELD(TEXT, mode),
    FIELD(INTEGER, threads),
    FIELD(REAL, eager_s),
    FIELD(REAL, compiled_s),
    FIELD(REAL, speedup),
    FIELD(INTEGER, eager_kernels),
    FIELD(INTEGER, compiled_kernels),
    FIELD(INTEGER, extern_calls),
    FIELD(INTEGER, reorders),
    FIELD(INTEGER, phases),
    FIELD(INTEGER, fallbacks),
    FIELD(REAL, cold_compile_s),
    FIELD(REAL, llvm_load_s),
    FIELD(REAL, warm_load_s),
    FIELD(REAL, dispatch_s),
    FIELD(INTEGER, bytes),
    FIELD(INTEGER, flops),
    FIELD(INTEGER, instructions),
    FIELD(REAL, roofline_share),
    FIELD(FLAG, bitwise_equal),
    FIELD(CHARS, output_hash),
    FIELD(INTEGER, max_ulp),
    FIELD(INTEGER, peak_bytes_eager),
    FIELD(INTEGER, peak_bytes_compiled),
};

/* ---- printing -------------------------------------------------------------------------------- */

static void add_field(cJSON *object, const Field *field, const BenchResult *result) {
    const char *at = (const char *)result + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        cJSON_AddStringToObject(object, field->name, *(const char *const *)(const void *)at);
        return;
    case FIELD_CHARS:
        cJSON_AddStringToObject(object, field->name, at);
        return;
    case FIELD_INTEGER:
        cJSON_AddNumberToObject(object, field->name, (double)*(const int64_t *)(const void *)at);
        return;
    case FIELD_REAL:
        cJSON_AddNumberToObject(object, field->name, *(const double *)(const void *)at);
        return;
    case FIELD_FLAG:
        cJSON_AddBoolToObject(object, field->name, *(const bool *)(const void *)at);
    }
}

static void print_json(const BenchResult *result) {
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; object && i < sizeof fields / sizeof fields[0]; i++)
        add_field(object, &fields[i], result);
    char *text = object ? cJSON_PrintUnformatted(object) : NULL;
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

/* "12.3 us", in seven columns. */
static const char *readable(double seconds, char text[16]) {
    static const char *const units[] = {"s ", "ms", "us", "ns"};
    int unit = 0;
    double value = seconds;
    if (seconds < 0 && seconds > -1) value = 0; /* a difference below the noise */
    if (seconds <= -1) return "      -";
    while (value < 1 && unit < 3) {
        value *= 1000;
        unit++;
    }
    snprintf(text, 16, "%5.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[unit]);
    return text;
}

static void print_header(void) {
    printf("%-24s %8s %8s %7s %12s %5s %8s %8s %8s %6s %4s %13s\n", "workload", "eager", "compiled",
           "speedup", "kernels", "reord", "dispatch", "cold", "warm", "roof", "bits", "peak MiB");
}

static void print_row(const BenchResult *r) {
    char eager[16], compiled[16], dispatch[16], cold[16], warm[16];
    printf("%-24s %8s %8s %6.2fx %5" PRId64 " -> %-3" PRId64 " %5" PRId64
           " %8s %8s %8s %6.2f %4s %6.1f/%-6.1f\n",
           r->workload, readable(r->eager_s, eager), readable(r->compiled_s, compiled), r->speedup,
           r->eager_kernels, r->compiled_kernels, r->reorders, readable(r->dispatch_s, dispatch),
           readable(r->cold_compile_s, cold), readable(r->warm_load_s, warm), r->roofline_share,
           r->bitwise_equal ? "same" : "DIFF", (double)r->peak_bytes_eager / 1048576,
           (double)r->peak_bytes_compiled / 1048576);
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* Launches and memory of one call. */
typedef struct CallCost {
    int64_t kernels;    /* launched */
    int64_t peak_bytes; /* beyond what was live */
} CallCost;

static bool cost_of(const Subject *subject, CallCost *cost) {
    sn_counters before = {.size = sizeof before}, after = {.size = sizeof after};
    sn_counters_get(&before);
    sn_memory_reset_peak();
    int64_t live = sn_memory().live_bytes;
    bool ok = time_calls(subject, 1) >= 0;
    cost->peak_bytes = sn_memory().peak_bytes - live;
    sn_counters_get(&after);
    cost->kernels = after.kernels - before.kernels;
    return ok;
}

static bool compare_results(const Subject *eager, const Subject *compiled, BenchResult *r) {
    Result x = {0}, y = {0};
    bool ok = result_of(eager, &x) && result_of(compiled, &y);
    if (ok) {
        r->bitwise_equal = result_equal(&x, &y);
        r->max_ulp = result_max_ulp(&x, &y);
        snprintf(r->output_hash, sizeof r->output_hash, "%016" PRIx64, result_hash(&y));
    }
    result_free(&x);
    result_free(&y);
    return ok;
}

static bool measure_costs(const Subject *eager, const Subject *compiled, sn_compiled *handle,
                          BenchResult *r) {
    CallCost eager_cost, compiled_cost;
    sn_explanation explanation = {.size = sizeof explanation};
    if (!cost_of(eager, &eager_cost) || !cost_of(compiled, &compiled_cost)) return false;
    if (sn_explain(handle, &explanation) != SN_OK) return false;
    r->eager_kernels = eager_cost.kernels;
    r->compiled_kernels = r->phases = compiled_cost.kernels;
    r->peak_bytes_eager = eager_cost.peak_bytes;
    r->peak_bytes_compiled = compiled_cost.peak_bytes;
    r->reorders = explanation.reorders;
    r->fallbacks = explanation.fallbacks;
    r->bytes = explanation.bytes;
    r->flops = explanation.flops;
    r->instructions = explanation.instructions;
    return true;
}

static bool measure_calls(const Workload *workload, const BenchOptions *options,
                          const Inputs *inputs, sn_compiled *handle, BenchResult *r) {
    Subject eager = {workload->model->function, workload->model->invoke, inputs};
    Subject compiled = {sn_compiled_fn(handle), workload->model->invoke, inputs};
    if (!compiled.function) return false;
    /* The first call compiles, the second checks, the third goes straight to the kernels; where a number
     * moves, three show what follows it. */
    enum { WARM_CALLS = 5 };
    if (time_calls(&compiled, WARM_CALLS) < 0 || !compare_results(&eager, &compiled, r))
        return false;
    if (!measure_costs(&eager, &compiled, handle, r)) return false;
    if (!time_pair(&eager, &compiled, options->seconds, &r->eager_s, &r->compiled_s)) return false;
    r->speedup = r->eager_s / r->compiled_s;
    if (!roof_share(&compiled, handle, &r->roofline_share)) return false;
    return time_dispatch(&compiled, handle, options->seconds / 3, &r->dispatch_s);
}

static bool measure_workload(const Workload *workload, const BenchOptions *options,
                             BenchResult *r) {
    enum { FIRST_CALLS = 3 };
    *r = (BenchResult){.workload = workload->name,
                       .device = "cpu",
                       .mode = options->numerics == SN_NUMERICS_FAST ? "fast" : "exact",
                       .threads = options->threads};
    Inputs inputs;
    if (!inputs_make(workload, false, &inputs)) return false;
    sn_compiled *handle = workload_compile(workload, options->numerics);
    bool ok = handle && measure_calls(workload, options, &inputs, handle, r);
    sn_compiled_release(handle);
    inputs_release(&inputs);
    sn_memory_trim();
    if (!ok) return false;
    FirstCalls first;
    measure_first_calls(workload, options->numerics, options->threads, FIRST_CALLS, &first);
    r->cold_compile_s = first.cold_compile_s;
    r->llvm_load_s = first.llvm_load_s;
    r->warm_load_s = first.warm_load_s;
    if (first.warm_load_s >= 0 && !first.warm_without_llvm)
        fprintf(stderr, "sinter bench: %s: a warm process loaded libLLVM\n", workload->name);
    return true;
}

/* Is what was measured right? */
static bool is_sound(const BenchResult *r) {
    bool right = r->bitwise_equal || strcmp(r->mode, "exact") != 0;
    if (!right) fprintf(stderr, "sinter bench: %s: compiled differs from eager\n", r->workload);
    if (r->fallbacks) fprintf(stderr, "sinter bench: %s: run node by node\n", r->workload);
    return right && !r->fallbacks;
}

static int run_workloads(const bool *chosen, const BenchOptions *options) {
    int status = EXIT_FINE;
    if (!options->json) print_header();
    for (int32_t i = 0; i < workload_count; i++) {
        if (!chosen[i]) continue;
        BenchResult result;
        if (!measure_workload(&workloads[i], options, &result)) {
            status = report_error("bench", workloads[i].name);
            continue;
        }
        if (options->json)
            print_json(&result);
        else
            print_row(&result);
        fflush(stdout);
        if (!is_sound(&result)) status = EXIT_WRONG;
    }
    return status;
}

/* ---- the command line ------------------------------------------------------------------------ */

enum {
    OPTION_LIST = 256,
    OPTION_JSON,
    OPTION_THREADS,
    OPTION_MODE,
    OPTION_SECONDS,
    OPTION_HELP,
    OPTION_SERVE, /* of benchmarks/compare.py */
    OPTION_CHILD  /* of this program's own children */
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, OPTION_LIST},
    {"json", no_argument, NULL, OPTION_JSON},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"help", no_argument, NULL, OPTION_HELP},
    {"serve", no_argument, NULL, OPTION_SERVE},
    {"child", required_argument, NULL, OPTION_CHILD},
    {NULL, 0, NULL, 0},
};

static int parse_option(int option, BenchOptions *options) {
    char *end = NULL;
    switch (option) {
    case OPTION_LIST:
        options->list = true;
        return -1;
    case OPTION_JSON:
        options->json = true;
        return -1;
    case OPTION_SERVE:
        options->serve = true;
        return -1;
    case OPTION_CHILD:
        options->child = optarg;
        return -1;
    case OPTION_THREADS:
        options->threads = (int32_t)strtol(optarg, &end, 10);
        if (!*optarg || *end || options->threads < 1 || options->threads > 1024)
            return usage_error("bench", "--threads is a number from 1 to 1024, not \"%s\"", optarg);
        return -1;
    case OPTION_SECONDS:
        options->seconds = strtod(optarg, &end);
        if (!*optarg || *end || !(options->seconds > 0))
            return usage_error("bench", "--seconds is a positive number, not \"%s\"", optarg);
        return -1;
    case OPTION_MODE:
        if (strcmp(optarg, "exact") != 0 && strcmp(optarg, "fast") != 0)
            return usage_error("bench", "--mode is exact or fast, not \"%s\"", optarg);
        options->numerics = *optarg == 'f' ? SN_NUMERICS_FAST : SN_NUMERICS_EXACT;
        return -1;
    case OPTION_HELP:
        fputs(help, stdout);
        return EXIT_FINE;
    default:
        return EXIT_USAGE; /* getopt said why */
    }
}

static int list_workloads(void) {
    for (int32_t i = 0; i < workload_count; i++)
        printf("%-24s %s\n", workloads[i].name, workloads[i].about);
    return EXIT_FINE;
}

/* Marks the workloads whose names begin with one of the arguments; all if there is none. */
static int choose(int count, char **names, bool *chosen) {
    for (int32_t i = 0; i < workload_count; i++) chosen[i] = count == 0;
    for (int j = 0; j < count; j++) {
        bool found = false;
        for (int32_t i = 0; i < workload_count; i++) {
            if (strncmp(workloads[i].name, names[j], strlen(names[j])) != 0) continue;
            chosen[i] = found = true;
        }
        if (!found)
            return usage_error("bench", "there is no workload \"%s\"; see --list", names[j]);
    }
    return -1;
}

static int run_as_child(const BenchOptions *options, const char *name, double started) {
    const Workload *workload = name ? workload_find(name) : NULL;
    bool known = strcmp(options->child, "cold") == 0 || strcmp(options->child, "warm") == 0;
    if (!workload || !known) return usage_error("bench", "--child KIND WORKLOAD is not for users");
    return run_child(options->child, workload, options->numerics, started);
}

int command_bench(int argc, char **argv, double started) {
    BenchOptions options = {.seconds = 1};
    int option, status;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if ((status = parse_option(option, &options)) >= 0) return status;
    if (options.list) return list_workloads();
    if (options.threads) sn_set_threads(options.threads);
    options.threads = sn_threads();
    if (options.child) return run_as_child(&options, argv[optind], started);
    if (options.serve) return serve(options.numerics);
    bool *chosen = calloc((size_t)workload_count, sizeof *chosen);
    if (!chosen) return EXIT_WRONG;
    status = choose(argc - optind, argv + optind, chosen);
    if (status < 0) status = run_workloads(chosen, &options);
    free(chosen);
    return status;
}
