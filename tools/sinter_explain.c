/* `sinter explain`: what became of one of the benchmark's workloads, as text, or as a page. */
#include "sinter_tool.h"
#include "sinter_workloads.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: sinter explain [OPTION]... WORKLOAD\n"
    "Compiles a workload of `sinter bench` and says what fused and what did not and why, which\n"
    "kernels run, what the guards are, and what it took.\n\n"
    "  --html FILE       write a page for a browser instead\n"
    "  --help            print this\n";

enum { OPTION_HTML = 256, OPTION_HELP };

static const struct option long_options[] = {
    {"html", required_argument, NULL, OPTION_HTML},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int write_page(sn_compiled *compiled, const char *path) {
    sn_error error = {.size = sizeof error};
    char *text = sn_dump(compiled, "html", &error);
    if (!text) {
        fprintf(stderr, "sinter explain: %s\n", error.text);
        return EXIT_WRONG;
    }
    FILE *file = fopen(path, "w");
    bool written = file && fputs(text, file) >= 0;
    if (file && fclose(file) != 0) written = false;
    if (!written) fprintf(stderr, "sinter explain: %s: %s\n", path, strerror(errno));
    sn_text_free(text);
    return written ? EXIT_FINE : EXIT_WRONG;
}

static int print_text(sn_compiled *compiled) {
    char *text = sn_explain_text(compiled);
    if (text) fputs(text, stdout);
    sn_text_free(text);
    return text && fflush(stdout) == 0 ? EXIT_FINE : EXIT_WRONG;
}

int command_explain(int argc, char **argv, double started) {
    const char *page = NULL;
    int option;
    (void)started;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return EXIT_FINE;
        }
        if (option != OPTION_HTML) return EXIT_USAGE; /* getopt said why */
        page = optarg;
    }
    if (optind + 1 != argc) return usage_error("explain", "one WORKLOAD is needed; see --help");
    sn_compiled *compiled = NULL;
    int status = workload_open("explain", argv[optind], SN_NUMERICS_EXACT, &compiled);
    if (status == EXIT_FINE) status = page ? write_page(compiled, page) : print_text(compiled);
    sn_compiled_release(compiled);
    return status;
}
