/* Ways in which a file of the kernel cache can go bad: cut, flipped, emptied, exchanged, of another
 * version, no longer a plain file. After any of them the entry must not be used. */
#ifndef TESTS_CACHE_DAMAGE_H
#define TESTS_CACHE_DAMAGE_H

#include <stddef.h>

/* Kinds of damage, numbered from 0. */
int damage_count(void);
const char *damage_name(int kind);
/* Does it to the entry at `path`; `other` is a second entry's. Fails the test if it cannot. */
void damage_apply(int kind, const char *path, const char *other, unsigned *random);

/* The paths of a folder's files whose names begin with `prefix`. */
typedef struct PathList {
    char (*paths)[320]; /* freed by path_list_free */
    int count;          /* how many */
} PathList;
PathList path_list(const char *folder, const char *prefix);
void path_list_free(PathList *list);

#endif
