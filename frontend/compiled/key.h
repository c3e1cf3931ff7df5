/* The guard key of a call: all that a recorded graph may depend on, packed in words. */
#ifndef SN_FRONTEND_COMPILED_KEY_H
#define SN_FRONTEND_COMPILED_KEY_H

#include "frontend/compiled/arguments.h"

/* A key being packed; `at` may pass the end, which is checked once. */
typedef struct Key {
    uint64_t *words;   /* room for `capacity` */
    uint32_t at;       /* words packed */
    uint32_t capacity; /* see words */
    void *block;       /* allocation behind words, or NULL */
} Key;

/* Packs all that a guard compares. */
void arguments_pack_key(const sn_compiled *compiled, const CallArgs *args, Key *key);

#endif
