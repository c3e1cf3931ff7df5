/* The kernel cache: from kernel IR to machine code that can be called, by the cheapest way there is:
 * memory, the pack made at build time, the disk, the compiler. Each key is compiled once however
 * many threads ask; the stored text is compared on every hit. */
#ifndef SN_RUNTIME_KERNELS_KERNEL_CACHE_H
#define SN_RUNTIME_KERNELS_KERNEL_CACHE_H

#include "runtime/kernels/cache_key.h"

/* Where a kernel came from. */
typedef enum CacheSource {
    CACHE_MEMORY,  /* this process had it */
    CACHE_PACK,    /* generated when the library was built */
    CACHE_DISK,    /* compiled by an earlier process */
    CACHE_COMPILED /* compiled now */
} CacheSource;
/* "memory", "pack", "disk", "compiled". */
const char *cache_source_name(CacheSource source);

/* A kernel that can be called; lives as long as the process. */
typedef struct LoadedKernel {
    KernelFn *fn;                 /* its code */
    Hash128 hash;                 /* of text, target and schedule */
    char name[CACHE_NAME_LENGTH]; /* "k" and the hash in hexadecimal: the same id everywhere */
    const char *text;             /* canonical kernel text, NUL-terminated */
    size_t code_bytes;            /* size of its code */
    CacheSource source;           /* how this process first got it; never CACHE_MEMORY */
    int64_t load_ns;              /* what that took */
} LoadedKernel;

/* What happened so far in this process. */
typedef struct CacheCounters {
    int64_t memory_hits;     /* kernels found in memory */
    int64_t pack_hits;       /* in the pack */
    int64_t disk_hits;       /* on disk */
    int64_t disk_misses;     /* looked for on disk in vain, corrupt entries included */
    int64_t corrupt_entries; /* disk entries that were bad, and removed */
    int64_t compiles;        /* compilations that succeeded */
    int64_t failures;        /* requests that failed */
    int64_t compile_ns;      /* time in the code generator, loading it not included */
    int64_t llvm_load_ns;    /* time for loading it */
    int64_t disk_load_ns;    /* time for reading the disk */
} CacheCounters;

/* Machine code of a verified kernel for the host. On failure nothing is left behind and a later call
 * tries again: SN_ERROR_UNSUPPORTED without a code generator or executable memory,
 * SN_ERROR_COMPILE, SN_ERROR_MEMORY. `source` may be NULL. Thread-safe. */
sn_status kernel_cache_get(const Kernel *kernel, const Schedule *schedule, const LoadedKernel **out,
                           CacheSource *source, sn_error *error);
void kernel_cache_counters(CacheCounters *counters);
/* Makes the pack: compiles every kernel this process has met for each of the instruction sets and
 * appends the pack to `out`. */
sn_status kernel_cache_export(const TargetIsa *isas, int32_t n_isas, StrBuf *out, sn_error *error);
/* Forgets everything, code included, and reads the settings anew at the next request: no
 * LoadedKernel may be in use. For tests and for unloading the library. */
void kernel_cache_clear(void);

#endif
