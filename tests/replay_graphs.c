/* Graphs from files and what becomes of them; see replay_graphs.h. */
#include "tests/replay_graphs.h"

#include "tests/replay_work.h"

#include <sinter/sinter.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "all" is the graph after each pass, and the kernels. LLVM IR is left to functions: twice the time. */
static const char *const stages[] = {"all", "program", "asm", "cuda"};
enum { STAGES = sizeof stages / sizeof stages[0] };

/* ---- reading --------------------------------------------------------------------------------- */

/* Room for one more; false when out of memory. */
static bool grow(ReplayGraphs *graphs) {
    if (graphs->count < graphs->capacity) return true;
    int32_t capacity = graphs->capacity ? 2 * graphs->capacity : 1024;
    char **texts = realloc(graphs->texts, sizeof(char *) * (size_t)capacity);
    if (texts) graphs->texts = texts;
    uint64_t *hashes = realloc(graphs->hashes, sizeof(uint64_t) * (size_t)capacity);
    if (hashes) graphs->hashes = hashes;
    if (texts && hashes) graphs->capacity = capacity;
    return texts && hashes;
}

/* FNV-1a. */
static uint64_t hash_text(const char *text, size_t length) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    return hash;
}

/* Adds a text that is new; false when out of memory. */
static bool add(ReplayGraphs *graphs, const char *text, size_t length) {
    uint64_t hash = hash_text(text, length);
    for (int32_t i = 0; i < graphs->count; i++)
        if (graphs->hashes[i] == hash && strncmp(graphs->texts[i], text, length) == 0) return true;
    char *copy = grow(graphs) ? malloc(length + 1) : NULL;
    if (!copy) return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    graphs->hashes[graphs->count] = hash;
    graphs->texts[graphs->count++] = copy;
    return true;
}

/* Every graph begins a line with "graph " and ends with a line "}". */
static bool add_all(ReplayGraphs *graphs, const char *text) {
    static const char head[] = "graph ", tail[] = "\n}\n";
    for (const char *at = text; (at = strstr(at, head));) {
        const char *end = strstr(at, tail);
        if (!end) break;
        bool begins_line = at == text || at[-1] == '\n';
        size_t length = (size_t)(end - at) + strlen(tail);
        if (begins_line && !add(graphs, at, length)) return false;
        at += begins_line ? length : strlen(head);
    }
    return true;
}

bool replay_graphs_read(ReplayGraphs *graphs, int32_t n_files, char **files) {
    for (int32_t i = 0; i < n_files; i++) {
        char *text = replay_read_file(files[i]);
        bool ok = text && add_all(graphs, text);
        free(text);
        if (ok) continue;
        fprintf(stderr, "replay: %s: %s\n", files[i], strerror(errno));
        return false;
    }
    return true;
}

void replay_graphs_free(ReplayGraphs *graphs) {
    for (int32_t i = 0; i < graphs->count; i++) free(graphs->texts[i]);
    free(graphs->texts);
    free(graphs->hashes);
}

/* ---- coverage -------------------------------------------------------------------------------- */

/* Is there a node of that op? */
static bool has_op(const ReplayGraphs *graphs, const char *name) {
    char text[80];
    snprintf(text, sizeof text, "= %s ", name);
    for (int32_t i = 0; i < graphs->count; i++)
        if (strstr(graphs->texts[i], text)) return true;
    return false;
}

/* Not public, yet ops of graphs: what views and writes are recorded as, and what passes make. The
 * remaining ones are of kernels. */
static bool is_of_graphs(const sn_op_description *op) {
    static const char *const internal[] = {"const", "iota",      "empty",
                                           "slice", "put_slice", "put_diagonal"};
    for (size_t i = 0; i < sizeof internal / sizeof internal[0]; i++)
        if (strcmp(op->name, internal[i]) == 0) return true;
    return op->is_public;
}

bool replay_graphs_cover(const ReplayGraphs *graphs) {
    sn_op_description op;
    int32_t wanted = 0, found = 0;
    printf("replay: %d graphs; ops that none of them has:", (int)graphs->count);
    for (int32_t i = 0; sn_op_info(i, &op); i++) {
        if (!is_of_graphs(&op)) continue;
        bool has = has_op(graphs, op.name);
        if (!has) printf(" %s", op.name);
        found += has;
        wanted++;
    }
    printf("%s (%d of %d have been found)\n", found == wanted ? " none" : "", (int)found,
           (int)wanted);
    return found == wanted;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_stages(const sn_graph *graph, const char *item, FILE *out) {
    for (int i = 0; i < STAGES; i++) {
        sn_error error = {.size = sizeof error};
        char *text = sn_graph_dump(graph, stages[i], &error);
        replay_title(out, item, stages[i]);
        fprintf(out, "%s\n", text ? text : error.text);
        sn_text_free(text);
    }
}

void replay_graphs_warm(void) {
    static const char text[] = "graph warm(%0: f32[4]) {\n  %1 = neg %0 : f32[4]\n  return %1\n}\n";
    sn_graph *graph = sn_graph_parse(text, strlen(text), NULL);
    sn_error error = {.size = sizeof error};
    for (int i = 0; graph && i < STAGES; i++) sn_text_free(sn_graph_dump(graph, stages[i], &error));
    sn_graph_free(graph);
}

void replay_graph(int32_t number, FILE *out, void *context) {
    const ReplayGraphs *graphs = context;
    const char *text = graphs->texts[number];
    char item[32];
    sn_error error = {.size = sizeof error};
    snprintf(item, sizeof item, "graph %d", (int)number);
    sn_graph *graph = sn_graph_parse(text, strlen(text), &error);
    if (graph) {
        print_stages(graph, item, out);
    } else {
        replay_title(out, item, "refused");
        fprintf(out, "%s\n", error.text);
    }
    sn_graph_free(graph);
}
