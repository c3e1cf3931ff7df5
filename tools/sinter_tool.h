/* The subcommands of `sinter`. Each gets its own argument vector, argv[0] its name, and the time at
 * which the process began; it returns the exit status. */
#ifndef SINTER_TOOL_H
#define SINTER_TOOL_H

#include <sinter/inspect.h>

/* Exit statuses. */
enum {
    EXIT_FINE = 0,  /* all done */
    EXIT_WRONG = 1, /* something failed; said on standard error */
    EXIT_USAGE = 2  /* the command line is wrong */
};

int command_bench(int argc, char **argv, double started);
int command_dump(int argc, char **argv, double started);
int command_explain(int argc, char **argv, double started);

/* Reads a graph from a file, or from standard input where its name is "-". An exit status; what was wrong is
 * said. */
int graph_open(const char *command, const char *path, sn_graph **graph);
/* Writes "sinter COMMAND: text" and a newline to standard error; returns EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with the thread's pending error, which it takes, after `what`; returns EXIT_WRONG. */
int report_error(const char *command, const char *what);

#endif
