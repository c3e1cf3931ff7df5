/* What the passes make of a graph, as facts: lines of text, each of which an expectation of a file in
 * tests/passes can name. docs/architecture.md describes them; `test_passes --facts FILE` prints
 * those of a file. The machine has no part in them: the target is always the same. */
#ifndef SN_TESTS_PASS_FACTS_H
#define SN_TESTS_PASS_FACTS_H

#include "passes/pass.h"

/* How the passes are run. */
typedef struct PassRun {
    int32_t threads; /* of a parallel region; 0 = 1 */
} PassRun;

/* What a run came by; runs add up. */
typedef struct PassCoverage {
    bool ops[OP_COUNT];              /* ops of graphs as written, and as fusion saw them */
    bool roles[ROLE_MEMBER + 1];     /* NodeRole of some node */
    bool orders[REDUCE_ORDER_COUNT]; /* ReduceOrder of some group */
    bool buffers[BUFFER_TEMP + 1];   /* BufferKind of some buffer */
} PassCoverage;

typedef struct PassFacts {
    VEC(char *) lines; /* in the order of the passes, then of what they made */
} PassFacts;

/* The facts of a graph, which is text; false, with a reason in `error`, when it is not a graph or the
 * passes fail. `coverage` may be NULL. */
bool pass_facts_of(const char *text, size_t length, const PassRun *run, PassFacts *facts,
                   PassCoverage *coverage, sn_error *error);
void pass_facts_free(PassFacts *facts);

/* The first words of facts ("stored", "memory") and the pass that each tells of: NULL where it stands in
 * the fact ("after decompose: …"). Ends with a NULL word. */
typedef struct PassFactKind {
    const char *word; /* "stored", "gone after" */
    const char *pass; /* name of a pass; NULL: the one that stands behind the word */
} PassFactKind;
extern const PassFactKind pass_fact_kinds[];

#endif
