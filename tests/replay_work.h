/* Numbered items whose output goes to files of a folder, some items a file, by several processes:
 * what process replay and its maker of programs have in common. An item that crashes or hangs leaves
 * a line that says so in its output, which is what two builds are compared by. */
#ifndef SN_TESTS_REPLAY_WORK_H
#define SN_TESTS_REPLAY_WORK_H

#include <stdint.h>
#include <stdio.h>

/* Writes the output of an item: sections, each under a line of replay_title. */
typedef void ReplayItem(int32_t number, FILE *out, void *context);

/* What is done, and how. */
typedef struct ReplayWork {
    const char *folder; /* it exists; files are FOLDER/0000.txt … */
    int32_t count;      /* items, from 0 */
    int32_t per_file;   /* of them in one file, and of one process */
    int32_t every;      /* only each so many-th file, beginning with the first; 1 = all */
    int32_t jobs;       /* processes at a time */
    ReplayItem *item;   /* writes one */
    void *context;      /* handed to it */
} ReplayWork;

/* Does the work; 0, or 1 where a file could not be written, which is said on standard error. */
int replay_work(const ReplayWork *work);
/* The line above a section: "==== ITEM: STAGE". */
void replay_title(FILE *out, const char *item, const char *stage);

/* All of a file, ended by 0, which the caller frees; NULL with errno set. */
char *replay_read_file(const char *path);

#endif
