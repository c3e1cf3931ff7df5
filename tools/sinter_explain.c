/* `sinter explain`: what became of one of the benchmark's workloads, as text, or as a page; or of a graph. */
#include "sinter_tool.h"
#include "sinter_workloads.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: sinter explain [OPTION]... WORKLOAD\n"
    "       sinter explain FILE\n"
    "Compiles a workload of `sinter bench`, by its name or the beginning of it, and says what "
    "fused and\n"
    "what did not and why, which kernels run and how long, what the guards are, and what it took.\n"
    "Of a graph in FILE (- is standard input): its kernels, and what did not fuse.\n\n"
    "  --html FILE       write a page for a browser instead\n"
    "  --timeline FILE   write when the first call did what, as Chrome trace events\n"
    "  --help            print this\n";

enum { TIMED_RUNS = 15 }; /* of each kernel */
enum { OPTION_HTML = 256, OPTION_TIMELINE, OPTION_HELP };

static const struct option long_options[] = {
    {"html", required_argument, NULL, OPTION_HTML},
    {"timeline", required_argument, NULL, OPTION_TIMELINE},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* Frees the text. */
static int write_file(const char *path, char *text, const sn_error *error) {
    if (!text) {
        fprintf(stderr, "sinter explain: %s\n", error->text);
        return EXIT_WRONG;
    }
    FILE *file = fopen(path, "w");
    bool written = file && fputs(text, file) >= 0;
    if (file && fclose(file) != 0) written = false;
    if (!written) fprintf(stderr, "sinter explain: %s: %s\n", path, strerror(errno));
    sn_text_free(text);
    return written ? EXIT_FINE : EXIT_WRONG;
}

static int write_page(sn_compiled *compiled, const char *path) {
    sn_error error = {.size = sizeof error};
    char *text = sn_dump(compiled, "html", &error);
    return write_file(path, text, &error);
}

static int write_timeline(const char *path) {
    sn_error error = {.size = sizeof error, .text = "out of memory"};
    return write_file(path, sn_timeline_end(), &error);
}

static int print_text(sn_compiled *compiled) {
    char *text = sn_explain_text(compiled);
    if (text) fputs(text, stdout);
    sn_text_free(text);
    return text && fflush(stdout) == 0 ? EXIT_FINE : EXIT_WRONG;
}

static int explain_graph(const char *path) {
    sn_graph *graph = NULL;
    sn_error error = {.size = sizeof error};
    int status = graph_open("explain", path, &graph);
    if (status != EXIT_FINE) return status;
    char *text = sn_graph_dump(graph, "explain", &error);
    if (text)
        fputs(text, stdout);
    else
        fprintf(stderr, "sinter explain: %s: %s\n", path, error.text);
    sn_text_free(text);
    sn_graph_free(graph);
    return text && fflush(stdout) == 0 ? EXIT_FINE : EXIT_WRONG;
}

static int explain_workload(const char *name, const char *page, const char *timeline) {
    sn_compiled *compiled = NULL;
    if (timeline) sn_timeline_begin();
    int status =
        workload_open("explain", name, SN_NUMERICS_EXACT, timeline ? 0 : TIMED_RUNS, &compiled);
    if (status == EXIT_FINE && timeline) status = write_timeline(timeline);
    if (status == EXIT_FINE && page) status = write_page(compiled, page);
    if (status == EXIT_FINE && !page && !timeline) status = print_text(compiled);
    sn_compiled_release(compiled);
    return status;
}

/* Is it a file's name, and no workload's? */
static bool is_file(const char *name) {
    return !workload_begins(name) && (strchr(name, '/') || strchr(name, '.') || !strcmp(name, "-"));
}

int command_explain(int argc, char **argv, double started) {
    const char *page = NULL, *timeline = NULL;
    int option;
    (void)started;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return EXIT_FINE;
        }
        if (option == OPTION_HTML)
            page = optarg;
        else if (option == OPTION_TIMELINE)
            timeline = optarg;
        else
            return EXIT_USAGE; /* getopt said why */
    }
    if (optind + 1 != argc)
        return usage_error("explain", "one WORKLOAD or FILE is needed; see --help");
    if (!is_file(argv[optind])) return explain_workload(argv[optind], page, timeline);
    if (page || timeline)
        return usage_error("explain", "--html and --timeline are of a WORKLOAD, not of a FILE");
    return explain_graph(argv[optind]);
}
