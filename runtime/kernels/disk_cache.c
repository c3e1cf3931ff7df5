/* The kernel cache on disk; see disk_cache.h. */
#include "runtime/kernels/disk_cache.h"

#include "base/clock.h"
#include "base/file_limit.h"
#include "base/mem.h"
#include "base/thread/log.h"
#include "runtime/kernels/cache_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Layout of a file: this header, the kernel's text, the code. In the machine's byte order: code is
 * not portable either. */
typedef struct FileHeader {
    char magic[8];                       /* file_magic */
    Hash128 checksum;                    /* of everything after this field */
    uint64_t format;                     /* CACHE_FORMAT */
    uint64_t isa;                        /* CacheKey.isa */
    uint64_t schedule;                   /* CacheKey.schedule */
    Hash128 hash;                        /* CacheKey.hash */
    uint64_t text_bytes;                 /* length of the text */
    uint64_t code_bytes;                 /* length of the code */
    uint64_t entry;                      /* offset of the entry in the code */
    char compiler[CACHE_COMPILER_BYTES]; /* cache_compiler(), zero-filled */
} FileHeader;

static const char file_magic[8] = {'S', 'N', 'K', 'E', 'R', 'N', 'E', 'L'};

enum {
    CHECKED_FROM = sizeof file_magic + sizeof(Hash128), /* first byte under the checksum */
    LARGEST_FILE = 256 << 20,                           /* larger ones are not ours */
    TRIM_ONE_IN = 64,     /* of the kernels stored, by hash, this share looks at the budget */
    TOUCH_SECONDS = 3600, /* a hit renews an entry's time if it is further from now than this */
    TEMP_SECONDS = 3600   /* as far from now, a temporary file counts as abandoned */
};

struct DiskCache {
    char *folder;                  /* path without trailing slash */
    int64_t budget;                /* bytes that entries may take */
    _Atomic bool read_only;        /* writing was turned off */
    _Atomic int64_t unchecked;     /* bytes stored since the last look at the budget */
    _Atomic int64_t evictions;     /* entries removed for the budget */
    _Atomic uint32_t temp_counter; /* makes temporary names unique */
};

/* ---- names ----------------------------------------------------------------------------------- */

enum { NAME_ROOM = 96 };

/* The file of a key. The compiler is part of the name, so two versions of the library keep out of each
 * other's way. */
static void entry_name(const CacheKey *key, char file[NAME_ROOM]) {
    char name[CACHE_NAME_LENGTH];
    const char *compiler = cache_compiler();
    cache_key_name(key->hash, name);
    snprintf(file, NAME_ROOM, "%s-%08x", name,
             (unsigned)(hash_bytes(compiler, strlen(compiler), CACHE_FORMAT) & 0xffffffffu));
}

/* An entry's name: k, digits of the hash, -, digits of the compiler. */
enum { HASH_DIGITS = 32, COMPILER_DIGITS = 8, ENTRY_NAME = 1 + HASH_DIGITS + 1 + COMPILER_DIGITS };

static bool is_entry_name(const char *name) {
    const char *hex = "0123456789abcdef";
    return name[0] == 'k' && strspn(name + 1, hex) == HASH_DIGITS && name[1 + HASH_DIGITS] == '-' &&
           strspn(name + 2 + HASH_DIGITS, hex) == COMPILER_DIGITS && name[ENTRY_NAME] == '\0';
}

static const char temp_prefix[] = "tmp-";

/* ---- opening --------------------------------------------------------------------------------- */

DiskCache *disk_cache_open(const char *folder, int64_t budget_bytes) {
    const char *fault;
    int fd = cache_folder_open(folder, true, &fault);
    if (fd < 0) {
        if (log_on(LOG_CACHE)) log_write(LOG_CACHE, "folder %s not used: %s", folder, fault);
        return NULL;
    }
    close(fd);
    DiskCache *cache = mem_calloc(1, sizeof *cache);
    char *copy = mem_strdup(folder);
    if (!cache || !copy) {
        mem_free(cache);
        mem_free(copy);
        return NULL;
    }
    cache->folder = copy;
    cache->budget = budget_bytes;
    return cache;
}

void disk_cache_close(DiskCache *cache) {
    if (!cache) return;
    mem_free(cache->folder);
    mem_free(cache);
}

bool disk_cache_read_only(const DiskCache *cache) {
    return atomic_load(&cache->read_only);
}

int64_t disk_cache_evictions(const DiskCache *cache) {
    return atomic_load(&cache->evictions);
}

/* Is a file's time further from now than this? Either way: a clock that was set back leaves files
 * from the future, which must not stay young for ever. */
static bool far_from(time_t now, const struct stat *info, time_t seconds) {
    return info->st_mtime < now - seconds || info->st_mtime > now + seconds;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Reads `size` bytes; false at an error or an early end. */
static bool read_all(int fd, char *bytes, size_t size) {
    while (size) {
        ssize_t got = read(fd, bytes, size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        bytes += got;
        size -= (size_t)got;
    }
    return true;
}

/* The code of a file's bytes if they are whole and belong to `key`. */
static DiskResult check_file(const char *bytes, size_t size, const CacheKey *key, CacheCode *code) {
    FileHeader header;
    memcpy(&header, bytes, sizeof header);
    Hash128 sum = hash_bytes128(bytes + CHECKED_FROM, size - CHECKED_FROM);
    size_t body = size - sizeof header;
    if (memcmp(header.magic, file_magic, sizeof file_magic) != 0 ||
        sum.low != header.checksum.low || sum.high != header.checksum.high ||
        header.format != CACHE_FORMAT || header.text_bytes > body ||
        header.code_bytes != body - header.text_bytes || header.entry >= header.code_bytes)
        return DISK_CORRUPT;
    CacheKey stored = {header.hash, (uint32_t)header.isa, header.schedule, bytes + sizeof header,
                       (size_t)header.text_bytes};
    if (strncmp(header.compiler, cache_compiler(), sizeof header.compiler) != 0 ||
        !cache_key_same(&stored, key))
        return DISK_MISS;
    code->bytes = (const uint8_t *)bytes + sizeof header + header.text_bytes;
    code->size = (size_t)header.code_bytes;
    code->entry = (size_t)header.entry;
    return DISK_HIT;
}

/* Renews the entry's time, by which the budget finds what is least used. */
static void touch(int fd, const struct stat *info) {
    if (far_from(time(NULL), info, TOUCH_SECONDS)) (void)futimens(fd, NULL);
}

/* Reads and checks an open file. */
static DiskResult load_file(int fd, const CacheKey *key, DiskEntry *entry) {
    struct stat info;
    if (fstat(fd, &info) != 0) return DISK_MISS;
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
        (info.st_mode & (S_IWGRP | S_IWOTH)) || info.st_size < (off_t)sizeof(FileHeader) ||
        info.st_size > LARGEST_FILE)
        return DISK_CORRUPT;
    size_t size = (size_t)info.st_size;
    char *bytes = mem_alloc(size);
    if (!bytes) return DISK_MISS;
    DiskResult result = DISK_CORRUPT;
    if (read_all(fd, bytes, size)) result = check_file(bytes, size, key, &entry->code);
    if (result == DISK_HIT) {
        entry->block = bytes;
        touch(fd, &info);
    } else {
        mem_free(bytes);
    }
    return result;
}

/* Reads and checks the file of this name in an open folder; what must not be trusted goes. */
static DiskResult load_from(const DiskCache *cache, int folder, const CacheKey *key,
                            DiskEntry *entry) {
    char name[NAME_ROOM];
    entry_name(key, name);
    /* O_NONBLOCK: a pipe planted here must not stop us. */
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    DiskResult result =
        fd < 0 ? (errno == ELOOP ? DISK_CORRUPT : DISK_MISS) : load_file(fd, key, entry);
    if (fd >= 0) close(fd);
    if (result != DISK_CORRUPT) return result;
    if (log_on(LOG_CACHE)) log_write(LOG_CACHE, "removed the bad entry %s/%s", cache->folder, name);
    if (unlinkat(folder, name, 0) != 0) /* an empty folder would be in the way of the entry too */
        (void)unlinkat(folder, name, AT_REMOVEDIR);
    return result;
}

DiskResult disk_cache_load(DiskCache *cache, const CacheKey *key, DiskEntry *entry) {
    const char *fault;
    *entry = (DiskEntry){0};
    int folder = cache_folder_open(cache->folder, false, &fault);
    if (folder < 0) return DISK_MISS;
    DiskResult result = load_from(cache, folder, key, entry);
    close(folder);
    return result;
}

/* ---- storing --------------------------------------------------------------------------------- */

/* The file's bytes for a kernel; mem_free. NULL when out of memory. */
static char *make_file(const CacheKey *key, const CacheCode *code, size_t *size) {
    FileHeader header = {
        .format = CACHE_FORMAT,
        .isa = key->isa,
        .schedule = key->schedule,
        .hash = key->hash,
        .text_bytes = key->text_bytes,
        .code_bytes = code->size,
        .entry = code->entry,
    };
    memcpy(header.magic, file_magic, sizeof file_magic);
    const char *compiler = cache_compiler();
    size_t length = strlen(compiler);
    memcpy(header.compiler, compiler,
           length < sizeof header.compiler ? length : sizeof header.compiler);
    *size = sizeof header + key->text_bytes + code->size;
    char *bytes = mem_alloc(*size);
    if (!bytes) return NULL;
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, key->text, key->text_bytes);
    memcpy(bytes + sizeof header + key->text_bytes, code->bytes, code->size);
    header.checksum = hash_bytes128(bytes + CHECKED_FROM, *size - CHECKED_FROM);
    memcpy(bytes, &header, sizeof header);
    return bytes;
}

static void note_failure(const DiskCache *cache, const char *reason) {
    if (log_on(LOG_CACHE))
        log_write(LOG_CACHE, "cannot write in %s: %s%s", cache->folder, reason,
                  disk_cache_read_only(cache) ? "; no more entries are written" : "");
}

/* Turns writing off after an error that will not go away. */
static void note_error(DiskCache *cache, int error) {
    static const int lasting[] = {ENOSPC, EDQUOT, EROFS, EACCES, EPERM, EFBIG};
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++)
        if (error == lasting[i]) atomic_store(&cache->read_only, true);
    note_failure(cache, strerror(error));
}

/* 0, or the errno of what went wrong. */
static int write_all(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

/* Creates a temporary file in the folder; -1 with errno set. */
static int open_temp(DiskCache *cache, int folder, char name[NAME_ROOM]) {
    snprintf(name, NAME_ROOM, "%s%ld-%llx-%x", temp_prefix, (long)getpid(),
             (unsigned long long)clock_ns(), (unsigned)atomic_fetch_add(&cache->temp_counter, 1));
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Publishes bytes under this name; 0 or an errno. */
static int write_file(DiskCache *cache, int folder, const char *name, const char *bytes,
                      size_t size) {
    char temp[NAME_ROOM];
    /* Beyond this limit a write would raise SIGXFSZ and end the program. */
    if (!file_size_allowed(size)) return EFBIG;
    int fd = open_temp(cache, folder, temp);
    if (fd < 0) return errno;
    int reason = write_all(fd, bytes, size);
    if (close(fd) != 0 && !reason && errno != EINTR) reason = errno;
    if (!reason && renameat(folder, temp, folder, name) != 0) reason = errno;
    if (reason) (void)unlinkat(folder, temp, 0);
    return reason;
}

/* False when it was not written. */
static bool store_bytes(DiskCache *cache, const CacheKey *key, const char *bytes, size_t size) {
    const char *fault;
    char name[NAME_ROOM];
    /* Somebody may have emptied the cache by removing its folder. */
    int folder = cache_folder_open(cache->folder, true, &fault);
    if (folder < 0) {
        note_failure(cache, fault);
        return false;
    }
    entry_name(key, name);
    int error = write_file(cache, folder, name, bytes, size);
    close(folder);
    if (error) note_error(cache, error);
    return !error;
}

void disk_cache_store(DiskCache *cache, const CacheKey *key, const CacheCode *code) {
    size_t size;
    if (disk_cache_read_only(cache)) return;
    char *bytes = make_file(key, code, &size);
    bool stored = bytes && (int64_t)size <= cache->budget && store_bytes(cache, key, bytes, size);
    mem_free(bytes);
    if (!stored) return;
    int64_t unchecked = atomic_fetch_add(&cache->unchecked, (int64_t)size) + (int64_t)size;
    if (key->hash.low % TRIM_ONE_IN == 0 || unchecked > cache->budget / 16) disk_cache_trim(cache);
}

/* ---- budget ---------------------------------------------------------------------------------- */

/* One entry seen in the folder. */
typedef struct Seen {
    char name[ENTRY_NAME + 1]; /* file name */
    struct timespec time;      /* last use */
    int64_t bytes;             /* size */
} Seen;

typedef VEC(Seen) SeenList;

static int older_first(const void *a, const void *b) {
    const struct timespec *x = &((const Seen *)a)->time, *y = &((const Seen *)b)->time;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* Lists the entries and removes abandoned temporary files. Total bytes. */
static int64_t scan(DIR *folder, SeenList *seen) {
    int64_t total = 0;
    time_t now = time(NULL);
    for (struct dirent *item; (item = readdir(folder));) {
        struct stat info;
        bool temp = strncmp(item->d_name, temp_prefix, sizeof temp_prefix - 1) == 0;
        if ((!temp && !is_entry_name(item->d_name)) ||
            fstatat(dirfd(folder), item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (temp) {
            if (far_from(now, &info, TEMP_SECONDS)) (void)unlinkat(dirfd(folder), item->d_name, 0);
            continue;
        }
        Seen one = {.time = info.st_mtim, .bytes = (int64_t)info.st_size};
        if (info.st_mtime > now + TOUCH_SECONDS) one.time = (struct timespec){0}; /* unknown */
        memcpy(one.name, item->d_name, ENTRY_NAME);
        if (!vec_push(seen, one)) break;
        total += one.bytes;
    }
    return total;
}

/* Removes the oldest of `total` bytes until three quarters of the budget are left. */
static void evict(DiskCache *cache, int folder, SeenList *seen, int64_t total) {
    qsort(seen->data, seen->count, sizeof *seen->data, older_first);
    for (uint32_t i = 0; i < seen->count && total > cache->budget / 4 * 3; i++) {
        total -= seen->data[i].bytes;
        if (unlinkat(folder, seen->data[i].name, 0) == 0) atomic_fetch_add(&cache->evictions, 1);
    }
    if (log_on(LOG_CACHE)) log_write(LOG_CACHE, "trimmed %s to its budget", cache->folder);
}

void disk_cache_trim(DiskCache *cache) {
    SeenList seen = {0};
    const char *fault;
    atomic_store(&cache->unchecked, 0);
    int fd = cache_folder_open(cache->folder, false, &fault);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0) close(fd);
        return;
    }
    int64_t total = scan(folder, &seen);
    if (total > cache->budget && seen.count) evict(cache, fd, &seen, total);
    closedir(folder);
    vec_free(&seen);
}
