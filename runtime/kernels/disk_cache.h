/* Compiled kernels on disk: one file a kernel, shared by processes. The folder and its files belong
 * to the user alone. A file is published by rename, so it is whole or absent; what is corrupt,
 * truncated, foreign or of another version is a miss and removed. A disk that cannot be written
 * turns writing off, never the program. Killing a process anywhere leaves at most a temporary file,
 * which later processes remove. */
#ifndef SN_RUNTIME_KERNELS_DISK_CACHE_H
#define SN_RUNTIME_KERNELS_DISK_CACHE_H

#include "runtime/kernels/cache_key.h"

typedef struct DiskCache DiskCache;

typedef enum DiskResult {
    DISK_HIT,    /* found and checked */
    DISK_MISS,   /* not there, or not readable */
    DISK_CORRUPT /* there, but not to be trusted; removed */
} DiskResult;

/* An entry that was read. */
typedef struct DiskEntry {
    void *block;    /* the file's bytes; mem_free */
    CacheCode code; /* points into block */
} DiskEntry;

/* The cache in a folder that can be used, now; see cache_folder.h. NULL, and a line in the log (topic
 * cache), otherwise. */
DiskCache *disk_cache_open(const char *folder, int64_t budget_bytes);
void disk_cache_close(DiskCache *cache);
/* Reads the entry of a key. */
DiskResult disk_cache_load(DiskCache *cache, const CacheKey *key, DiskEntry *entry);
/* Writes an entry; failure is silent but for the log. Now and then it trims the folder. */
void disk_cache_store(DiskCache *cache, const CacheKey *key, const CacheCode *code);
/* Removes abandoned temporary files and, when the folder is over its budget, the entries unused for
 * longest, down to three quarters of it. */
void disk_cache_trim(DiskCache *cache);
/* True once writing was turned off. */
bool disk_cache_read_only(const DiskCache *cache);
/* Entries removed for the budget by this process. */
int64_t disk_cache_evictions(const DiskCache *cache);

#endif
