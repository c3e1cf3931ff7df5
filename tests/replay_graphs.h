/* The graphs that process replay prints every stage of: texts that stand in files, between whatever
 * else. */
#ifndef SN_TESTS_REPLAY_GRAPHS_H
#define SN_TESTS_REPLAY_GRAPHS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Graphs of all files, in order, each text once. */
typedef struct ReplayGraphs {
    char **texts;     /* from "graph " to "}" */
    uint64_t *hashes; /* of the texts */
    int32_t count;    /* how many */
    int32_t capacity; /* of the arrays */
} ReplayGraphs;

/* False, and why on standard error, where a file cannot be read. */
bool replay_graphs_read(ReplayGraphs *graphs, int32_t n_files, char **files);
void replay_graphs_free(ReplayGraphs *graphs);
/* Are all ops that a graph can have in at least one of them? Prints how many are, and which are not. */
bool replay_graphs_cover(const ReplayGraphs *graphs);
/* Loads the code generators, so that forked processes need not. */
void replay_graphs_warm(void);
/* Writes the stages of one; `context` is the ReplayGraphs. */
void replay_graph(int32_t number, FILE *out, void *context);

#endif
