/* The `sinter` command: looks up the subcommand and hands over. */
#include "sinter_measure.h"
#include "sinter_tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Command {
    const char *name;                                  /* as typed */
    int (*run)(int argc, char **argv, double started); /* what it does */
    const char *about;                                 /* one line for --help */
} Command;

static const Command commands[] = {
    {"bench", command_bench, "measure workloads, eager against compiled"},
    {"dump", command_dump, "print every stage of compiling a graph or a workload"},
    {"explain", command_explain, "say what became of a workload: fusion, kernels, guards, times"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

int usage_error(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sinter %s: ", command);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_USAGE;
}

int report_error(const char *command, const char *what) {
    sn_error error = {.size = sizeof error};
    sn_error_take(&error);
    fprintf(stderr, "sinter %s: %s: %s\n", command, what, error.text);
    return EXIT_WRONG;
}

static void print_help(FILE *out) {
    fputs("usage: sinter COMMAND [OPTION]... [ARGUMENT]...\n\ncommands:\n", out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].about);
    fputs("\n`sinter COMMAND --help` describes a command; `sinter --version` prints the version.\n",
          out);
}

int main(int argc, char **argv) {
    double started = now_seconds();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_FINE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("sinter %s\n", sn_version_text());
        return EXIT_FINE;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0) continue;
        char title[32]; /* getopt begins its messages with argv[0] */
        snprintf(title, sizeof title, "sinter %s", commands[i].name);
        argv[1] = title;
        return commands[i].run(argc - 1, argv + 1, started);
    }
    fprintf(stderr, "sinter: there is no command \"%s\"; see sinter --help\n", argv[1]);
    return EXIT_USAGE;
}
