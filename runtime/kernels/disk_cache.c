/* The kernel cache on disk; see disk_cache.h. */
#include "runtime/kernels/disk_cache.h"

#include "base/mem.h"
#include "base/settings.h"
#include "base/thread/log.h"
#include "base/thread/parallel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* ---- paths ----------------------------------------------------------------------------------- */

static bool join(char *path, size_t capacity, const char *folder, const char *name) {
    int length = snprintf(path, capacity, "%s/%s", folder, name);
    return length > 0 && (size_t)length < capacity;
}

/* Entry of a key. The compiler is part of the name, so two versions of the library keep out of each
 * other's way. */
static bool entry_path(const DiskCache *cache, const CacheKey *key, char *path, size_t capacity) {
    char name[CACHE_NAME_LENGTH], file[64];
    const char *compiler = cache_compiler();
    cache_key_name(key->hash, name);
    snprintf(file, sizeof file, "%s-%08x", name,
             (unsigned)(hash_bytes(compiler, strlen(compiler), CACHE_FORMAT) & 0xffffffffu));
    return join(path, capacity, cache->folder, file);
}

/* An entry's name: k, digits of the hash, -, digits of the compiler. */
enum { HASH_DIGITS = 32, COMPILER_DIGITS = 8, ENTRY_NAME = 1 + HASH_DIGITS + 1 + COMPILER_DIGITS };

static bool is_entry_name(const char *name) {
    const char *hex = "0123456789abcdef";
    return name[0] == 'k' && strspn(name + 1, hex) == HASH_DIGITS && name[1 + HASH_DIGITS] == '-' &&
           strspn(name + 2 + HASH_DIGITS, hex) == COMPILER_DIGITS && name[ENTRY_NAME] == '\0';
}

static const char temp_prefix[] = "tmp-";

bool disk_cache_folder(char *path, size_t capacity) {
    const char *chosen = setting_text(SETTING_CACHE_DIR);
    const char *shared = setting_text(SETTING_XDG_CACHE_HOME);
    const char *home = setting_text(SETTING_HOME);
    int length = -1;
    if (strcmp(chosen, "off") == 0) return false;
    if (*chosen)
        length = snprintf(path, capacity, "%s", chosen);
    else if (*shared == '/') /* a relative one is to be ignored, says the specification */
        length = snprintf(path, capacity, "%s/sinter", shared);
    else if (*home == '/')
        length = snprintf(path, capacity, "%s/.cache/sinter", home);
    return length > 0 && (size_t)length < capacity;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* mkdir -p, new folders for the user alone. */
static bool make_folders(const char *folder) {
    char path[PATH_MAX];
    size_t length = strlen(folder);
    if (length >= sizeof path) return false;
    memcpy(path, folder, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        char kept = path[i];
        path[i] = '\0';
        struct stat found;
        if (mkdir(path, 0700) != 0 && (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)))
            return false;
        path[i] = kept;
    }
    return true;
}

/* Why a folder must not be used, or NULL. A symbolic link is fine if it is the user's own. */
static const char *folder_fault(const char *folder) {
    struct stat link, target;
    if (lstat(folder, &link) != 0 || stat(folder, &target) != 0) return "it cannot be read";
    if (!S_ISDIR(target.st_mode)) return "it is not a folder";
    if (link.st_uid != geteuid() || target.st_uid != geteuid()) return "another user owns it";
    if (target.st_mode & (S_IWGRP | S_IWOTH)) return "other users may write to it";
    return NULL;
}

DiskCache *disk_cache_open(const char *folder, int64_t budget_bytes) {
    const char *fault = make_folders(folder) ? folder_fault(folder) : "it cannot be made";
    if (fault) {
        if (log_on(LOG_CACHE)) log_write(LOG_CACHE, "folder %s not used: %s", folder, fault);
        return NULL;
    }
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

DiskResult disk_cache_load(DiskCache *cache, const CacheKey *key, DiskEntry *entry) {
    char path[PATH_MAX];
    *entry = (DiskEntry){0};
    if (!entry_path(cache, key, path, sizeof path)) return DISK_MISS;
    /* O_NONBLOCK: a pipe planted here must not stop us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    DiskResult result =
        fd < 0 ? (errno == ELOOP ? DISK_CORRUPT : DISK_MISS) : load_file(fd, key, entry);
    if (fd >= 0) close(fd);
    if (result == DISK_CORRUPT) {
        if (log_on(LOG_CACHE)) log_write(LOG_CACHE, "removed the bad entry %s", path);
        (void)remove(path); /* an empty folder too: it would be in the way of the entry */
    }
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

/* Turns writing off after an error that will not go away. */
static void note_failure(DiskCache *cache, int reason) {
    static const int lasting[] = {ENOSPC, EDQUOT, EROFS, EACCES, EPERM, EFBIG};
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++)
        if (reason == lasting[i]) atomic_store(&cache->read_only, true);
    if (log_on(LOG_CACHE))
        log_write(LOG_CACHE, "cannot write in %s: %s%s", cache->folder, strerror(reason),
                  disk_cache_read_only(cache) ? "; no more entries are written" : "");
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
static int open_temp(DiskCache *cache, char *path, size_t capacity) {
    char name[96];
    snprintf(name, sizeof name, "%s%ld-%llx-%x", temp_prefix, (long)getpid(),
             (unsigned long long)clock_ns(), (unsigned)atomic_fetch_add(&cache->temp_counter, 1));
    if (!join(path, capacity, cache->folder, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(path, flags, 0600);
    if (fd < 0 && errno == ENOENT && make_folders(cache->folder) && !folder_fault(cache->folder))
        fd = open(path, flags, 0600); /* somebody emptied the cache by removing its folder */
    return fd;
}

/* Publishes bytes under `path`; 0 or an errno. */
static int write_file(DiskCache *cache, const char *path, const char *bytes, size_t size) {
    char temp[PATH_MAX];
    struct rlimit limit;
    /* Beyond this limit a write would raise SIGXFSZ and end the program. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size) return EFBIG;
    int fd = open_temp(cache, temp, sizeof temp);
    if (fd < 0) return errno;
    int reason = write_all(fd, bytes, size);
    if (close(fd) != 0 && !reason && errno != EINTR) reason = errno;
    if (!reason && rename(temp, path) != 0) reason = errno;
    if (reason) (void)unlink(temp);
    return reason;
}

void disk_cache_store(DiskCache *cache, const CacheKey *key, const CacheCode *code) {
    char path[PATH_MAX];
    size_t size;
    if (disk_cache_read_only(cache) || !entry_path(cache, key, path, sizeof path)) return;
    char *bytes = make_file(key, code, &size);
    if (!bytes || (int64_t)size > cache->budget) {
        mem_free(bytes);
        return;
    }
    int reason = write_file(cache, path, bytes, size);
    mem_free(bytes);
    if (reason) {
        note_failure(cache, reason);
        return;
    }
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

/* Lists the entries and removes abandoned temporary files. Total bytes, or -1. */
static int64_t scan(const DiskCache *cache, SeenList *seen) {
    DIR *folder = opendir(cache->folder);
    if (!folder) return -1;
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
    closedir(folder);
    return total;
}

void disk_cache_trim(DiskCache *cache) {
    SeenList seen = {0};
    char path[PATH_MAX];
    atomic_store(&cache->unchecked, 0);
    int64_t total = scan(cache, &seen);
    int64_t goal = cache->budget / 4 * 3;
    if (total > cache->budget && seen.count) {
        qsort(seen.data, seen.count, sizeof *seen.data, older_first);
        for (uint32_t i = 0; i < seen.count && total > goal; i++) {
            if (!join(path, sizeof path, cache->folder, seen.data[i].name)) continue;
            total -= seen.data[i].bytes;
            if (unlink(path) == 0) atomic_fetch_add(&cache->evictions, 1);
        }
        if (log_on(LOG_CACHE)) log_write(LOG_CACHE, "trimmed %s to its budget", cache->folder);
    }
    vec_free(&seen);
}
