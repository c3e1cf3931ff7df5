/* Traces random functions of the fuzzer and says what became of each: the graphs as recorded, guards,
 * kernels that ran, a digest of the results.
 *
 *   replay_make [--seed S] [--count N] [--every K] [--jobs N] FOLDER
 *
 * Process replay (tests/replay) has each of two builds do this, and compares. The graphs of the older
 * build are also the programs whose further stages both builds print: of every third function, which
 * is called with other sizes too, the graphs are general; of every fourth one the graph with
 * composite ops written out is a program of its own, for the ops that only passes make. */
#include "tests/fuzz_make.h"
#include "tests/fuzz_sequence.h"
#include "tests/replay_work.h"

#include <sinter/sinter.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIZED = 3,       /* one function in so many is called with other sizes too */
    WRITTEN_OUT = 4, /* of one in so many the graph behind decompose is taken too */
    MOST_CALLS = 6,  /* of a sequence's */
    PER_FILE = 50,
    MOST_LAUNCHES = 256
};

/* A function, its calls, and where they are written. */
typedef struct Traced {
    uint64_t seed;         /* of the function */
    FuzzSequence sequence; /* what is called */
    Session session;       /* its compiled function */
    char *graph;           /* the last one printed, or NULL */
    FILE *out;             /* of its file */
} Traced;

static void title(const Traced *t, const char *stage) {
    char item[40];
    snprintf(item, sizeof item, "function %llu", (unsigned long long)t->seed);
    replay_title(t->out, item, stage);
}

static void make(Traced *t) {
    FuzzSequence *s = &t->sequence;
    if (t->seed % SIZED == 0) {
        fuzz_sequence_make(t->seed, s);
        if (s->n_calls > MOST_CALLS) s->n_calls = MOST_CALLS;
        if (s->policy.stance == SN_STANCE_ASYNC) s->policy.stance = SN_STANCE_DEFAULT;
        return;
    }
    *s = (FuzzSequence){.n_variants = 1, .n_calls = 1};
    fuzz_make(t->seed, &s->variants[0]);
}

/* The stage of the latest trace, behind its first line where that only names the stage. */
static void print_stage(Traced *t, const char *stage, bool again) {
    sn_error error = {.size = sizeof error};
    char *text = sn_dump(t->session.compiled, stage, &error);
    if (text && !again && t->graph && strcmp(text, t->graph) == 0) {
        sn_text_free(text);
        return;
    }
    title(t, stage);
    fprintf(t->out, "%s\n", text ? text : error.text);
    if (again)
        sn_text_free(text);
    else {
        sn_text_free(t->graph);
        t->graph = text;
    }
}

static void print_launches(const Traced *t) {
    static sn_launch_record records[MOST_LAUNCHES];
    int32_t count = sn_history_end(records, MOST_LAUNCHES);
    for (int32_t i = 0; i < count && i < MOST_LAUNCHES; i++)
        fprintf(t->out, "launch %s %s: %lld items, %lld bytes\n", records[i].name, records[i].label,
                (long long)records[i].items, (long long)records[i].bytes);
}

static void call(Traced *t, int32_t number) {
    const FuzzCall *c = &t->sequence.calls[number];
    const FuzzProgram *program = &t->sequence.variants[c->variant];
    Seen seen = {.status = SN_OK};
    t->session.through = c->through;
    sn_history_begin();
    FuzzVerdict verdict = session_call(&t->session, program, c->shift, NULL, NULL, &seen);
    title(t, "call");
    print_launches(t);
    if (verdict.failure) fprintf(t->out, "failed: %s\n", verdict.text);
    if (seen.status != SN_OK)
        fprintf(t->out, "%s: line %d: %s\n", sn_status_name(seen.status), (int)seen.line,
                seen.text);
    fprintf(t->out, "results %016llx\n", (unsigned long long)seen_digest(program, &seen));
    print_stage(t, "graph", false);
    seen_free(&seen);
}

static void trace(int32_t number, FILE *out, void *context) {
    static Traced t;
    sn_error error = {.size = sizeof error};
    bool nested = false;
    t.seed = *(const uint64_t *)context + (uint64_t)number;
    t.out = out;
    t.graph = NULL;
    make(&t);
    const FuzzSequence *s = &t.sequence;
    for (int32_t i = 0; i < s->n_calls; i++) nested = nested || s->calls[i].through;
    if (session_open(&t.session, &s->variants[0], NULL, &s->policy, NULL, &error) &&
        (!nested || session_nest(&t.session, &error))) {
        for (int32_t i = 0; i < s->n_calls; i++) call(&t, i);
        print_stage(&t, "guards", true);
        if (t.seed % WRITTEN_OUT == 0) print_stage(&t, "decompose", true);
    } else {
        title(&t, "refused");
        fprintf(out, "%s\n", error.text);
    }
    session_close(&t.session);
    sn_text_free(t.graph);
}

int main(int argc, char **argv) {
    static const struct option long_options[] = {{"seed", required_argument, NULL, 's'},
                                                 {"count", required_argument, NULL, 'c'},
                                                 {"every", required_argument, NULL, 'e'},
                                                 {"jobs", required_argument, NULL, 'j'},
                                                 {NULL, 0, NULL, 0}};
    uint64_t seed = 1;
    ReplayWork work = {NULL, 4000, PER_FILE, 1, 2, trace, &seed};
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?') return 2;
        if (option == 's') seed = strtoull(optarg, NULL, 10);
        if (option == 'c') work.count = atoi(optarg);
        if (option == 'e') work.every = atoi(optarg);
        if (option == 'j') work.jobs = atoi(optarg);
    }
    if (optind + 1 != argc || work.count < 0 || work.every < 1)
        return fprintf(stderr, "usage: replay_make [--seed S] [--count N] [--every K] [--jobs N] "
                               "FOLDER\n"),
               2;
    work.folder = argv[optind];
    return replay_work(&work);
}
