/* Keys of the kernel cache; see cache_key.h. */
#include "runtime/kernels/cache_key.h"

#include "runtime/codegen_id.h" /* made by the build: SINTER_CODEGEN_ID */

#include <stdio.h>
#include <string.h>

/* The build defines the version of the LLVM it links. */
#ifndef SINTER_LLVM_VERSION
#define SINTER_LLVM_VERSION "unknown"
#endif

#define TEXT_OF(x) #x
#define NUMBER(x) TEXT_OF(x)

/* The identity comes first: it alone tells two code generators apart. */
static const char compiler[] = SINTER_CODEGEN_ID
    " llvm-" SINTER_LLVM_VERSION
    " sinter-" NUMBER(SN_VERSION_MAJOR) "." NUMBER(SN_VERSION_MINOR) "." NUMBER(SN_VERSION_PATCH);

_Static_assert(sizeof compiler <= CACHE_COMPILER_BYTES, "entries and the pack hold it whole");
_Static_assert(sizeof SINTER_CODEGEN_ID == 17, "the build hashes the code generator's sources");

const char *cache_compiler(void) {
    return compiler;
}

_Static_assert(sizeof(Schedule) == sizeof(bool), "a new field of Schedule goes into schedule_word");

static uint64_t schedule_word(const Schedule *schedule) {
    return schedule->stream_stores ? 1 : 0;
}

Schedule schedule_from_word(uint64_t word) {
    return (Schedule){.stream_stores = (word & 1) != 0};
}

bool cache_key_make(const char *text, size_t text_bytes, TargetIsa isa, const Schedule *schedule,
                    CacheKey *key) {
    StrBuf hashed = {0};
    uint64_t word = schedule_word(schedule);
    strbuf_addf(&hashed, "format %d target %s schedule %llu\n", CACHE_FORMAT, target_isa_name(isa),
                (unsigned long long)word);
    strbuf_add_bytes(&hashed, text, text_bytes);
    bool ok = !hashed.failed;
    if (ok)
        *key = (CacheKey){hash_bytes128(hashed.text, hashed.length), (uint32_t)isa, word, text,
                          text_bytes};
    strbuf_free(&hashed);
    return ok;
}

bool cache_key_same(const CacheKey *a, const CacheKey *b) {
    return a->hash.low == b->hash.low && a->hash.high == b->hash.high && a->isa == b->isa &&
           a->schedule == b->schedule && a->text_bytes == b->text_bytes &&
           memcmp(a->text, b->text, a->text_bytes) == 0;
}

void cache_key_name(Hash128 hash, char name[CACHE_NAME_LENGTH]) {
    snprintf(name, CACHE_NAME_LENGTH, "k%016llx%016llx", (unsigned long long)hash.high,
             (unsigned long long)hash.low);
}
