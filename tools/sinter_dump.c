/* `sinter dump`: every stage between a graph and its machine code, as text. The graph comes from a
 * file or from tracing one of the benchmark's workloads. */
#include "sinter_tool.h"
#include "sinter_workloads.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stage by the name that sn_dump knows it by. */
typedef struct Stage {
    const char *name;  /* see sn_dump */
    const char *about; /* one line for --list-stages */
    bool by_default;   /* printed when no stage is asked for */
    bool of_function;  /* needs a compiled function; a graph from a file has none */
} Stage;

static const Stage stages[] = {
    {"graph", "the graph as recorded", true, false},
    {"guards", "what has to hold for the compiled code to be used (with --workload)", true, true},
    {"decompose", "composite ops written out", true, false},
    {"simplify", "after folding, rewriting, value numbering and dead code", true, false},
    {"split_reductions", "after long reductions were split", false, false},
    {"layout", "after layouts were chosen", false, false},
    {"fuse", "which ops share a kernel", true, false},
    {"program", "buffers and kernels in order", true, false},
    {"explain", "kernels, their ops and bytes; what was not fused, and why", false, false},
    {"kernels", "kernel IR: loops over scalars", true, false},
    {"llvm", "LLVM IR", true, false},
    {"asm", "machine code of this CPU", true, false},
    {"cuda", "CUDA C", true, false},
    {"ptx", "PTX, where NVRTC is installed", false, false},
    {"dot", "the graph for Graphviz", false, false},
    {"html", "one page for a browser with all of it", false, true},
};
enum { STAGES = sizeof stages / sizeof stages[0] };

static const char help[] = "usage: sinter dump [OPTION]... FILE\n"
                           "       sinter dump [OPTION]... --workload NAME\n"
                           "Prints the stages of compiling a graph, from FILE (- is standard "
                           "input) or from the trace of a\n"
                           "workload of `sinter bench`.\n\n"
                           "  --stage NAME      only this stage; may be repeated\n"
                           "  --dot             only the graph, for Graphviz\n"
                           "  --mode MODE       exact (default) or fast; with --workload\n"
                           "  --list-stages     list the stages\n"
                           "  --help            print this\n";

/* Options of the command line. */
typedef struct DumpOptions {
    bool wanted[STAGES];  /* by stage */
    int count;            /* of those */
    const char *workload; /* or NULL */
    const char *file;     /* or NULL */
    sn_numerics numerics; /* of the workload */
} DumpOptions;

/* What is dumped: one of the two. */
typedef struct Source {
    sn_graph *graph;       /* from a file */
    sn_compiled *compiled; /* a workload that was called */
} Source;

static int list_stages(void) {
    for (int i = 0; i < STAGES; i++) printf("%-18s%s\n", stages[i].name, stages[i].about);
    return EXIT_FINE;
}

static bool want_stage(DumpOptions *options, const char *name) {
    for (int i = 0; i < STAGES; i++) {
        if (strcmp(stages[i].name, name) != 0) continue;
        options->count += !options->wanted[i];
        options->wanted[i] = true;
        return true;
    }
    return false;
}

/* ---- sources --------------------------------------------------------------------------------- */

/* All of a file as a malloc'ed string, or NULL with errno set. */
static char *read_all(FILE *file, size_t *length) {
    size_t capacity = 1 << 16, used = 0;
    char *text = malloc(capacity);
    while (text) {
        used += fread(text + used, 1, capacity - used, file);
        if (used < capacity) break;
        capacity *= 2;
        char *larger = realloc(text, capacity);
        if (!larger) free(text);
        text = larger;
    }
    if (text && ferror(file)) {
        free(text);
        text = NULL;
    }
    *length = used;
    return text;
}

int graph_open(const char *command, const char *path, sn_graph **graph) {
    bool standard_input = strcmp(path, "-") == 0;
    FILE *file = standard_input ? stdin : fopen(path, "rb");
    size_t length;
    char *text = file ? read_all(file, &length) : NULL;
    int reason = errno;
    if (file && !standard_input) fclose(file);
    if (!text) {
        fprintf(stderr, "sinter %s: %s: %s\n", command, path, strerror(reason));
        return EXIT_WRONG;
    }
    sn_error error = {.size = sizeof error};
    *graph = sn_graph_parse(text, length, &error);
    free(text);
    if (*graph) return EXIT_FINE;
    fprintf(stderr, "sinter %s: %s: %s\n", command, path, error.text);
    return EXIT_WRONG;
}

/* ---- printing -------------------------------------------------------------------------------- */

static int print_stage(const Source *source, const Stage *stage, bool titled) {
    sn_error error = {.size = sizeof error};
    char *text = source->graph ? sn_graph_dump(source->graph, stage->name, &error)
                               : sn_dump(source->compiled, stage->name, &error);
    if (!text) {
        fprintf(stderr, "sinter dump: %s: %s\n", stage->name, error.text);
        return EXIT_WRONG;
    }
    if (titled) printf("==== %s: %s ====\n", stage->name, stage->about);
    fputs(text, stdout);
    if (titled) putchar('\n');
    sn_text_free(text);
    return EXIT_FINE;
}

static int print_stages(const DumpOptions *options, const Source *source) {
    int status = EXIT_FINE;
    for (int i = 0; i < STAGES; i++) {
        bool print = options->count
                         ? options->wanted[i]
                         : stages[i].by_default && !(stages[i].of_function && source->graph);
        if (!print) continue;
        if (stages[i].of_function && source->graph)
            return usage_error("dump", "stage \"%s\" needs --workload", stages[i].name);
        int result = print_stage(source, &stages[i], options->count != 1);
        if (result != EXIT_FINE) status = result;
    }
    return fflush(stdout) == 0 ? status : EXIT_WRONG;
}

/* ---- the command line ------------------------------------------------------------------------ */

enum { OPTION_STAGE = 256, OPTION_DOT, OPTION_WORKLOAD, OPTION_MODE, OPTION_LIST, OPTION_HELP };

static const struct option long_options[] = {
    {"stage", required_argument, NULL, OPTION_STAGE},
    {"dot", no_argument, NULL, OPTION_DOT},
    {"workload", required_argument, NULL, OPTION_WORKLOAD},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"list-stages", no_argument, NULL, OPTION_LIST},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* Fills `options`; returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, DumpOptions *options) {
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case OPTION_STAGE:
            if (!want_stage(options, optarg))
                return usage_error("dump", "there is no stage \"%s\"; see --list-stages", optarg);
            break;
        case OPTION_DOT:
            want_stage(options, "dot");
            break;
        case OPTION_WORKLOAD:
            options->workload = optarg;
            break;
        case OPTION_MODE:
            if (strcmp(optarg, "exact") != 0 && strcmp(optarg, "fast") != 0)
                return usage_error("dump", "--mode is exact or fast, not \"%s\"", optarg);
            options->numerics = *optarg == 'f' ? SN_NUMERICS_FAST : SN_NUMERICS_EXACT;
            break;
        case OPTION_LIST:
            return list_stages();
        case OPTION_HELP:
            fputs(help, stdout);
            return EXIT_FINE;
        default:
            return EXIT_USAGE; /* getopt said why */
        }
    }
    if (optind < argc) options->file = argv[optind++];
    if (optind < argc || !options->file == !options->workload)
        return usage_error("dump", "one FILE or one --workload is needed; see --help");
    return -1;
}

int command_dump(int argc, char **argv, double started) {
    (void)started;
    DumpOptions options = {.workload = NULL};
    int status = parse_options(argc, argv, &options);
    if (status >= 0) return status;
    Source source = {NULL, NULL};
    status = options.file
                 ? graph_open("dump", options.file, &source.graph)
                 : workload_open("dump", options.workload, options.numerics, 0, &source.compiled);
    if (status == EXIT_FINE) status = print_stages(&options, &source);
    sn_graph_free(source.graph);
    sn_compiled_release(source.compiled);
    return status;
}
