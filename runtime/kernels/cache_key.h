/* Identity of a compiled kernel, shared by all tiers of the kernel cache: canonical text, target and
 * schedule, hashed together. Tiers look up by the hash and compare the rest. */
#ifndef SN_RUNTIME_KERNELS_CACHE_KEY_H
#define SN_RUNTIME_KERNELS_CACHE_KEY_H

#include "base/map.h"
#include "codegen/backend.h"

enum {
    CACHE_FORMAT = 2,         /* of keys, disk entries and the pack; raised when any changes */
    CACHE_NAME_LENGTH = 36,   /* buffer for a kernel's name */
    CACHE_COMPILER_BYTES = 64 /* field for cache_compiler(), its NUL included */
};

typedef struct CacheKey {
    Hash128 hash;      /* of format, target, schedule and text */
    uint32_t isa;      /* TargetIsa the code is for */
    uint64_t schedule; /* its schedule as one word */
    const char *text;  /* canonical kernel text, not NUL-terminated; not owned */
    size_t text_bytes; /* its length */
} CacheKey;

/* Where a tier found code. */
typedef struct CacheCode {
    const uint8_t *bytes; /* the code */
    size_t size;          /* its length, a multiple of 64 */
    size_t entry;         /* offset of the KernelFn */
} CacheCode;

/* The schedule that a key's word stands for. */
Schedule schedule_from_word(uint64_t word);
/* The key of a text; it points to `text`. False when out of memory. */
bool cache_key_make(const char *text, size_t text_bytes, TargetIsa isa, const Schedule *schedule,
                    CacheKey *key);
/* The same kernel, compared in full. */
bool cache_key_same(const CacheKey *a, const CacheKey *b);
/* A kernel's name: "k" and the 32 hexadecimal digits of its hash. */
void cache_key_name(Hash128 hash, char name[CACHE_NAME_LENGTH]);
/* What made the code: a hash of the sources that decide the code and how it is called, compiler
 * version, library version. Constant of the build, so that a warm process need not load the compiler
 * to learn it. Below CACHE_COMPILER_BYTES. */
const char *cache_compiler(void);

#endif
