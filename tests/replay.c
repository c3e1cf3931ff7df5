/* Process replay: what the compiler makes of programs, printed so that two builds can be compared.
 *
 *   replay functions [--jobs N] FOLDER
 *   replay graphs [--every K] [--jobs N] FOLDER FILE…
 *   replay cover FILE…
 *   replay compare [--sample] [--words FILE] [--known FILE] [--show N] OLD NEW
 *
 * The first two write to FOLDER, of the workloads of `sinter bench` and the functions of the examples, or
 * of all graphs in the files: the graph after each pass, programs, kernel IR, LLVM IR, assembly and CUDA
 * C; of functions, which are traced and run, also the guards and the kernels that ran, by their hashes.
 * Such a hash is one of a kernel's text, target and schedule. The code generator's identity, which
 * changes with every edit of its sources, is no part of it but of the entries in which kernels are kept,
 * so hashes are compared as they are. An object's bytes are compared as assembly, which LLVM prints from
 * the same instructions, with a name at each operand.
 *
 * `cover` says which ops of graphs none of the files has; the exit status is 1 if there is one.
 *
 * `compare` says how two such folders, of an older build and a newer one, differ; the exit status is 1
 * if they do. See replay_compare.h.
 *
 * Built from this source against either of two builds, it uses public headers alone. The script
 * tests/replay does all of it. */
#include "tests/replay_compare.h"
#include "tests/replay_functions.h"
#include "tests/replay_graphs.h"
#include "tests/replay_work.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PER_FILE = 25, SOME = 5 };

/* The command line. */
typedef struct Options {
    int32_t every;         /* graphs: only each so many-th file of graphs */
    int32_t jobs;          /* functions, graphs: processes at a time */
    ReplayCompare compare; /* what is compared, and how */
} Options;

static int usage(void) {
    fprintf(stderr,
            "usage: replay functions [--jobs N] FOLDER\n"
            "       replay graphs [--every K] [--jobs N] FOLDER FILE...\n"
            "       replay cover FILE...\n"
            "       replay compare [--sample] [--words FILE] [--known FILE] [--show N] OLD NEW\n");
    return 2;
}

static int parse(int argc, char **argv, Options *options) {
    static const struct option long_options[] = {{"every", required_argument, NULL, 'e'},
                                                 {"jobs", required_argument, NULL, 'j'},
                                                 {"sample", no_argument, NULL, 's'},
                                                 {"words", required_argument, NULL, 'w'},
                                                 {"known", required_argument, NULL, 'k'},
                                                 {"show", required_argument, NULL, 'n'},
                                                 {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?') return 2;
        if (option == 'e') options->every = atoi(optarg);
        if (option == 'j') options->jobs = atoi(optarg);
        if (option == 's') options->compare.sample = true;
        if (option == 'w') options->compare.words = optarg;
        if (option == 'k') options->compare.known = optarg;
        if (option == 'n') options->compare.show = atoi(optarg);
    }
    return options->every < 1 ? usage() : 0;
}

static int print_functions(const Options *o, const char *folder) {
    ReplayWork work = {folder, replay_function_count(), 1, 1, o->jobs, replay_function, NULL};
    return replay_work(&work) ? 2 : 0;
}

static int print_graphs(const Options *o, const char *folder, int32_t n_files, char **files) {
    ReplayGraphs graphs = {.count = 0};
    int status = 2;
    if (replay_graphs_read(&graphs, n_files, files)) {
        ReplayWork work = {folder,  graphs.count, PER_FILE, o->every,
                           o->jobs, replay_graph, &graphs};
        replay_graphs_warm();
        status = replay_work(&work) ? 2 : 0;
    }
    replay_graphs_free(&graphs);
    return status;
}

static int cover(int32_t n_files, char **files) {
    ReplayGraphs graphs = {.count = 0};
    int status = 2;
    if (replay_graphs_read(&graphs, n_files, files)) status = replay_graphs_cover(&graphs) ? 0 : 1;
    replay_graphs_free(&graphs);
    return status;
}

int main(int argc, char **argv) {
    Options options = {.every = 1, .jobs = 2, .compare.show = SOME};
    if (argc < 2 || parse(argc - 1, argv + 1, &options) != 0) return usage();
    char **rest = argv + 1 + optind;
    int32_t n_rest = argc - 1 - optind;
    if (strcmp(argv[1], "functions") == 0 && n_rest == 1) return print_functions(&options, rest[0]);
    if (strcmp(argv[1], "graphs") == 0 && n_rest >= 1)
        return print_graphs(&options, rest[0], n_rest - 1, rest + 1);
    if (strcmp(argv[1], "cover") == 0) return cover(n_rest, rest);
    if (strcmp(argv[1], "compare") == 0 && n_rest == 2) {
        options.compare.folders[0] = rest[0];
        options.compare.folders[1] = rest[1];
        return replay_compare(&options.compare);
    }
    return usage();
}
