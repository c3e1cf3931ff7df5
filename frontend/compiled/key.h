/* The guard key of a call: all that a recorded graph may depend on, packed in words. Each count
 * stands before what it counts, so that a key can be read in one way only. Numbers of the call (l~)
 * come last: what is before them is the stem, which many keys may share. */
#ifndef SN_FRONTEND_COMPILED_KEY_H
#define SN_FRONTEND_COMPILED_KEY_H

#include "frontend/compiled/arguments.h"

enum { KEY_FEW_WORDS = 512 };

struct Key {
    uint64_t *words;             /* the key: `few` or the block */
    uint32_t count;              /* its length */
    uint32_t stem;               /* words before the numbers of the call */
    void *block;                 /* allocation behind words, or NULL */
    uint64_t few[KEY_FEW_WORDS]; /* room enough for most */
};

/* Words of a key that so many bytes take. */
static inline size_t key_words_of(size_t bytes) {
    return bytes / sizeof(uint64_t) + (bytes % sizeof(uint64_t) != 0);
}

static inline void key_open(Key *key) {
    key->count = 0;
    key->block = NULL;
}
/* Packs the key of a call into one that is open, whose owner frees the block. False with the error
 * raised when out of memory. */
bool key_pack(Key *key, const sn_compiled *compiled, const CallArgs *args);

/* ---- as text, with labels of arguments (labels.h); frontend/compiled/key_text.c -------------- */

/* How this call differs from that call among those of late to which it is most alike; NULL where there was
 * none, or memory is out. */
char *key_difference(sn_compiled *compiled, const CallArgs *args, const Key *key);
/* The numbers that the key of an entry holds, each behind "; ": of arguments, as far as a key can be read
 * without a call. */
void key_print_numbers(const Signature *signature, const Entry *entry, StrBuf *out);

#endif
