/* Compares what process replay printed of an older build with what it printed of a newer one. */
#ifndef SN_TESTS_REPLAY_COMPARE_H
#define SN_TESTS_REPLAY_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

/* Compares all files of two folders of folders, section by section, and prints how many items, kernels
 * and bytes there were and what differs: the first `show` of the differing sections with their
 * differing lines, all of them in NEW/differences.txt.
 *
 * `words` (or NULL) is a file with a line "old new" for each word that a restructuring renamed: old ones
 * are replaced on both sides. A word is made of letters, digits and _. Wherever two sections differ as
 * bytes they are compared again so, with any number of blanks counting as one, since columns move with
 * words. With `sample` only what NEW has is compared. Returns 0, 1 where something differs, 2 where a
 * file cannot be read. */
int replay_compare(const char *old_folder, const char *new_folder, const char *words, bool sample,
                   int32_t show);

#endif
