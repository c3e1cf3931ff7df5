/* Compares what process replay printed of an older build with what it printed of a newer one. */
#ifndef SN_TESTS_REPLAY_COMPARE_H
#define SN_TESTS_REPLAY_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

/* What is compared, and how. */
typedef struct ReplayCompare {
    const char *folders[2]; /* of the older and the newer build: folders of folders of files */
    bool sample;            /* files that the newer one lacks were not printed */
    const char *words;      /* file with a line "old new" for each word that was renamed, or NULL */
    const char *known;      /* differences.txt of an earlier comparison: what is meant, or NULL */
    int32_t show;           /* differing sections that are shown */
} ReplayCompare;

/* Compares section by section, and prints how many items, kernels and bytes there were and what differs:
 * the first sections with their differing lines, all of them in differences.txt of the newer folder.
 *
 * Wherever two sections differ as bytes, old words are replaced on both sides, and any number of blanks
 * counts as one, since columns move with words. A word is made of letters, digits and _. A difference that
 * is known, line for line, is only counted. Returns 0, 1 where something else differs, 2 where a file
 * cannot be read. */
int replay_compare(const ReplayCompare *options);

#endif
