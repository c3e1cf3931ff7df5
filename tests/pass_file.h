/* A file of tests/passes: why it is there, a graph, and below the graph what is expected of the passes, a
 * line each. docs/architecture.md has the grammar. */
#ifndef SN_TESTS_PASS_FILE_H
#define SN_TESTS_PASS_FILE_H

#include "pass_facts.h"

/* "; expect FACT" */
typedef struct Expectation {
    int32_t line; /* in the file, from 1 */
    char *fact;   /* blanks joined; … stands for anything */
} Expectation;

typedef struct PassFile {
    const char *name;         /* for messages; not owned */
    const char *text;         /* all of it: a graph and comments; not owned */
    size_t length;            /* bytes of the text */
    PassRun run;              /* "; with …" */
    VEC(Expectation) expects; /* in the order of the file */
} PassFile;

/* Reads the text; false, with "FILE:LINE: reason" in `why`, for one that is none of ours. The file is to be
 * freed either way. */
bool pass_file_read(PassFile *file, const char *name, const char *text, size_t length, StrBuf *why);
void pass_file_free(PassFile *file);

/* Is the fact of this form, in which … stands for any characters? */
bool pass_fact_matches(const char *form, const char *fact);

/* Does every expectation hold, in this order among those of one kind? Else "FILE:LINE: reason" and what is
 * there instead go to `why`. */
bool pass_file_holds(const PassFile *file, const PassFacts *facts, StrBuf *why);

#endif
