/* Words that a restructuring renamed, for process replay: texts that differ in them, or in the blanks
 * that line up columns, are the same. */
#ifndef SN_TESTS_REPLAY_WORDS_H
#define SN_TESTS_REPLAY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A word and what stands for it now. */
typedef struct RenamedWord {
    const char *old;     /* in the older build; of letters, digits and _ */
    const char *current; /* in the newer one */
} RenamedWord;

/* The table. */
typedef struct ReplayWords {
    char *text;         /* of the file; the words lie in it */
    RenamedWord *words; /* by old word */
    int32_t count;      /* how many */
} ReplayWords;

/* Reads a file with a line "old new" a word; "#" begins a comment. False, and why on standard error,
 * where it cannot be read. */
bool replay_words_read(ReplayWords *words, const char *path);
void replay_words_free(ReplayWords *words);
/* Writes a text with old words replaced. */
void replay_words_write(const ReplayWords *words, const char *text, size_t length, FILE *out);
/* Are two texts the same with old words replaced in both, and any number of blanks counting as one? */
bool replay_words_same(const ReplayWords *words, const char *a, size_t a_length, const char *b,
                       size_t b_length);

#endif
