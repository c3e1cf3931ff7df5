/* Public structs that begin with their size, and grow at their end from version to version. */
#ifndef SN_BASE_SIZED_H
#define SN_BASE_SIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { SIZED_MOST = 4096 }; /* a larger size is none */

/* Copies what a program gave: what it does not know, an older one, is zero; what we do not know, a newer
 * one's, has to be. `size` is what the struct says, 0 = `known`. False if it has something that we do not
 * know. */
static inline bool sized_copy(void *own, size_t known, const void *given, size_t size) {
    const char *bytes = given;
    if (!size) size = known;
    memset(own, 0, known);
    memcpy(own, given, size < known ? size : known);
    if (size > SIZED_MOST) return false;
    for (size_t i = known; i < size; i++)
        if (bytes[i]) return false;
    return true;
}

#endif
