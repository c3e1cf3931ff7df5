/* Executable memory; see code.h. */
#include "runtime/kernels/code.h"

#include "base/assert.h"
#include "base/file_limit.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/thread/lock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    REGION_BYTES = 256 << 10, /* pages are used only when written, so a large region is free */
    LARGE_BYTES = 64 << 10,   /* code from this size on gets its own mapping */
    CODE_ALIGN = 64
};

/* A piece of executable address space. */
struct CodeRegion {
    uint8_t *run;   /* the view that executes */
    uint8_t *write; /* the view that is filled; NULL once full */
    size_t bytes;   /* size of each view */
    size_t used;    /* bytes given out; space is not reused, so that code in a forked process that
                       still shares the pages stays what it was */
    uint32_t live;  /* codes not yet freed */
    pid_t owner;    /* the process that may fill it: pages are shared across fork */
};

LOCK_DEFINE(lock, RANK_CODE);
static CodeRegion *filling; /* the region new code goes to, or NULL */

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* An anonymous file whose pages may be executed. */
static int open_memory_file(void) {
    const unsigned int exec_flag = 0x0010u; /* MFD_EXEC, Linux 6.3; older kernels know no other */
    int fd = memfd_create("sinter-code", MFD_CLOEXEC | exec_flag);
    return fd >= 0 || errno != EINVAL ? fd : memfd_create("sinter-code", MFD_CLOEXEC);
}

/* Maps both views of `region`; false when the system refuses either. */
static bool map_views(CodeRegion *region) {
    bool mapped = false;
    bool may = mem_fault_point() && file_size_allowed(region->bytes);
    int fd = may ? open_memory_file() : -1;
    if (fd < 0) return false;
    if (ftruncate(fd, (off_t)region->bytes) == 0) {
        void *write = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        void *run = mmap(NULL, region->bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        mapped = write != MAP_FAILED && run != MAP_FAILED;
        if (!mapped && write != MAP_FAILED) munmap(write, region->bytes);
        if (!mapped && run != MAP_FAILED) munmap(run, region->bytes);
        if (mapped) {
            region->write = write;
            region->run = run;
        }
    }
    close(fd);
    return mapped;
}

/* Unmaps what is left of a region and frees it. */
static void region_free(CodeRegion *region) {
    if (region->write) munmap(region->write, region->bytes);
    munmap(region->run, region->bytes);
    mem_free(region);
}

/* Ends the filling of the current region. Lock held. */
static void close_region(void) {
    if (!filling) return;
    munmap(filling->write, filling->bytes);
    filling->write = NULL;
    if (!filling->live) region_free(filling);
    filling = NULL;
}

/* The shared region with room for `size` bytes; NULL when regions are not to be had. Lock held. */
static CodeRegion *room_for(size_t size) {
    if (filling && (filling->owner != getpid() || filling->bytes - filling->used < size))
        close_region();
    if (filling) return filling;
    CodeRegion *region = mem_calloc(1, sizeof *region);
    if (!region) return NULL;
    region->bytes = REGION_BYTES;
    region->owner = getpid();
    if (!map_views(region)) {
        mem_free(region);
        return NULL;
    }
    filling = region;
    return region;
}

/* Puts the code in the shared region; false when there is none. */
static bool map_shared(const void *bytes, size_t size, Code *code) {
    size_t room = round_up(size, CODE_ALIGN);
    lock_take(&lock);
    CodeRegion *region = room_for(room);
    if (region) {
        SN_ASSERT(region->used % CODE_ALIGN == 0 && size <= region->bytes - region->used);
        memcpy(region->write + region->used, bytes, size);
        *code = (Code){region->run + region->used, size, region};
        region->used += room;
        region->live++;
    }
    lock_give(&lock);
    return region != NULL;
}

/* Fills a region of its own through an anonymous mapping that then changes from writable to
 * executable. 0, or an errno. */
static int map_anonymous(CodeRegion *region, const void *bytes, size_t size) {
    void *run =
        mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED) return errno;
    memcpy(run, bytes, size);
    if (mprotect(run, region->bytes, PROT_READ | PROT_EXEC) != 0) {
        int reason = errno;
        munmap(run, region->bytes);
        return reason;
    }
    region->run = run;
    return 0;
}

/* Gives the code a region of its own: by a memory file, or where there are none, a mapping whose
 * protection changes. */
static sn_status map_alone(const void *bytes, size_t size, Code *code, sn_error *error) {
    CodeRegion *region = mem_calloc(1, sizeof *region);
    if (!region) return error_memory(error);
    region->bytes = round_up(size, (size_t)sysconf(_SC_PAGESIZE));
    region->live = 1;
    int reason = 0;
    if (map_views(region)) {
        memcpy(region->write, bytes, size);
        munmap(region->write, region->bytes);
        region->write = NULL;
    } else {
        reason = map_anonymous(region, bytes, size);
    }
    if (!reason) {
        *code = (Code){region->run, size, region};
        return SN_OK;
    }
    mem_free(region);
    if (reason == ENOMEM) return error_memory(error);
    return error_set(error, SN_ERROR_UNSUPPORTED,
                     "the system denies executable memory (%s); only kernels that were generated "
                     "at build time can run",
                     strerror(reason));
}

sn_status code_map(const void *bytes, size_t size, Code *code, sn_error *error) {
    if (size == 0 || size > SIZE_MAX / 2)
        return error_set(error, SN_ERROR_ARGUMENT, "code of %zu bytes", size);
    if (size >= LARGE_BYTES || !map_shared(bytes, size, code)) {
        sn_status status = map_alone(bytes, size, code, error);
        if (status != SN_OK) return status;
    }
    /* No-op on x86; other machines must see the new instructions. */
    char *begin = (char *)(uintptr_t)code->bytes;
    __builtin___clear_cache(begin, begin + size);
    return SN_OK;
}

void code_free(Code *code) {
    CodeRegion *region = code->region;
    *code = (Code){0};
    if (!region) return;
    lock_take(&lock);
    SN_ASSERT(region->live > 0);
    bool last = --region->live == 0 && region != filling;
    lock_give(&lock);
    if (last) region_free(region);
}
