/* A code generator for tests: its kernels write a number made of their name to the error word, so a
 * test sees which kernel ran, without LLVM. Also folders for the disk cache. */
#ifndef SN_TESTS_FAKE_BACKEND_H
#define SN_TESTS_FAKE_BACKEND_H

#include "base/mem.h"
#include "base/settings.h"
#include "base/status.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/kernel_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic int fake_compiles;         /* compilations begun … */
static _Atomic int fake_compiling;        /* … those in the middle … */
static _Atomic int fake_releases;         /* … and those that succeeded, whose code was copied */
static _Atomic bool fake_fails;           /* the next compilations fail */
static _Atomic int fake_delay_us;         /* time a compilation takes */
static _Atomic int fake_release_delay_us; /* time between it and its kernel's being there */
static _Atomic size_t fake_code_size;     /* bytes of code; 0 = 64 */

/* The number that the kernel of this name writes. */
static inline uint64_t fake_number(const char *name) {
    char digits[17] = {0};
    memcpy(digits, name + 17, 16);
    return strtoull(digits, NULL, 16);
}

/* Machine code of a KernelFn: *error = number. */
static inline void fake_code(uint8_t *bytes, size_t size, uint64_t number) {
    static const uint8_t store_and_return[] = {0x49, 0x89, 0x01, 0xc3}; /* mov [r9], rax; ret */
    memset(bytes, 0xcc, size);
    bytes[0] = 0x48; /* mov rax, number */
    bytes[1] = 0xb8;
    memcpy(bytes + 2, &number, sizeof number);
    memcpy(bytes + 10, store_and_return, sizeof store_and_return);
}

static inline sn_status fake_compile(const Kernel *kernel, const Target *target,
                                     const Schedule *schedule, const char *name, CodeBlob *blob,
                                     sn_error *error) {
    (void)kernel;
    (void)target;
    (void)schedule;
    atomic_fetch_add(&fake_compiles, 1);
    atomic_fetch_add(&fake_compiling, 1);
    if (atomic_load(&fake_delay_us)) usleep((useconds_t)atomic_load(&fake_delay_us));
    atomic_fetch_sub(&fake_compiling, 1);
    if (atomic_load(&fake_fails)) return error_set(error, SN_ERROR_COMPILE, "made to fail");
    size_t size = atomic_load(&fake_code_size) ? atomic_load(&fake_code_size) : 64;
    blob->bytes = mem_alloc(size);
    if (!blob->bytes) return error_memory(error);
    blob->size = size;
    blob->entry = 0;
    fake_code(blob->bytes, size, fake_number(name));
    return SN_OK;
}

static inline const char *fake_version(void) {
    return "fake-1";
}

static void fake_release(CodeBlob *blob) {
    atomic_fetch_add(&fake_releases, 1);
    if (atomic_load(&fake_release_delay_us))
        usleep((useconds_t)atomic_load(&fake_release_delay_us));
    mem_free(blob->bytes);
    *blob = (CodeBlob){0};
}

static const Backend fake_backend = {.abi = BACKEND_ABI,
                                     .name = "cpu",
                                     .version = fake_version,
                                     .compile = fake_compile,
                                     .release = fake_release};

/* The n-th test kernel. */
static inline sn_status fake_kernel(Kernel *kernel, int n) {
    char text[64];
    int length = snprintf(text, sizeof text, "kernel {\n  params %d\n}\n", n);
    kernel_init(kernel);
    return kernel_parse(kernel, text, (size_t)length, NULL);
}

/* Gets the n-th test kernel. */
static inline sn_status fake_get(int n, const LoadedKernel **loaded, CacheSource *source,
                                 sn_error *error) {
    Kernel kernel;
    Schedule schedule = {0};
    sn_status status = fake_kernel(&kernel, n);
    if (status == SN_OK) status = kernel_cache_get(&kernel, &schedule, loaded, source, error);
    kernel_free(&kernel);
    return status;
}

/* Runs a kernel: true when it does what its name says. */
static inline bool fake_runs(const LoadedKernel *loaded) {
    uint64_t word = 0;
    loaded->fn(NULL, NULL, 0, 0, NULL, &word);
    return word == fake_number(loaded->name);
}

/* A new private folder; its path goes to `path`. */
static inline bool fresh_folder(char *path, size_t capacity) {
    const char *base = getenv("TMPDIR");
    snprintf(path, capacity, "%s/sinter-test-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(path) != NULL;
}

/* Removes a folder of files. */
static inline void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return;
    for (struct dirent *item; (item = readdir(folder));)
        if (unlinkat(dirfd(folder), item->d_name, 0) != 0)
            (void)unlinkat(dirfd(folder), item->d_name, AT_REMOVEDIR);
    closedir(folder);
    (void)rmdir(path);
}

/* Files in a folder whose name begins with `prefix`. */
static inline int count_files(const char *path, const char *prefix) {
    int count = 0;
    DIR *folder = opendir(path);
    if (!folder) return -1;
    for (struct dirent *item; (item = readdir(folder));)
        if (item->d_name[0] != '.' && strncmp(item->d_name, prefix, strlen(prefix)) == 0) count++;
    closedir(folder);
    return count;
}

#endif
