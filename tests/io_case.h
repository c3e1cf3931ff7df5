/* What the tests of file formats share: a folder, files byte by byte, expected errors and elements,
 * and the two sweeps that every reader must survive: failing allocations and mutated files. */
#ifndef SN_TESTS_IO_CASE_H
#define SN_TESTS_IO_CASE_H

#include "base/mem.h"
#include "frontend/tensor/tensor.h"
#include "ir/op/dtype.h"

#include <sinter/io.h>
#include <sinter/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES = 4096, FUZZED_FILES = 3000 };

/* A folder of its own and an open scope. */
typedef struct Fixture {
    char folder[64]; /* private folder */
    char path[96];   /* a file in it, which a test may write */
    sn_scope scope;  /* open */
} Fixture;

/* Bytes of a file under construction. */
typedef struct Bytes {
    char data[MOST_BYTES]; /* the bytes */
    size_t count;          /* how many */
} Bytes;

static inline int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    if (!f) return -1;
    *state = f;
    strcpy(f->folder, "/tmp/sinter-io-XXXXXX");
    if (!mkdtemp(f->folder)) return -1;
    snprintf(f->path, sizeof f->path, "%s/file", f->folder);
    f->scope = sn_scope_begin();
    return 0;
}

/* Files in the folder, removing them if asked. */
static inline int files(const Fixture *f, bool removes) {
    int count = 0;
    DIR *folder = opendir(f->folder);
    assert_non_null(folder);
    for (struct dirent *item; (item = readdir(folder));) {
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, "..")) continue;
        count++;
        char path[400];
        snprintf(path, sizeof path, "%s/%s", f->folder, item->d_name);
        if (removes && unlink(path) != 0) rmdir(path);
    }
    closedir(folder);
    return count;
}

static inline int teardown(void **state) {
    Fixture *f = *state;
    sn_error_take(NULL);
    sn_scope_end(f->scope, NULL);
    files(f, true);
    int failed = rmdir(f->folder);
    free(f);
    return failed;
}

static inline void add(Bytes *bytes, const void *data, size_t count) {
    assert_true(bytes->count + count <= sizeof bytes->data);
    if (count) memcpy(bytes->data + bytes->count, data, count);
    bytes->count += count;
}

static inline void write_file(const char *path, const void *data, size_t count) {
    unlink(path); /* overwriting would wait for the disk */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static inline Bytes read_file(const char *path) {
    Bytes bytes = {.count = 0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    bytes.count = fread(bytes.data, 1, sizeof bytes.data, file);
    fclose(file);
    return bytes;
}

static inline void expect_error_at(sn_status status, const char *part, int line) {
    sn_error error;
    sn_error_take(&error);
    if (error.status != status || !strstr(error.text, part))
        fail_msg("line %d: wanted %s \"%s\", got %s \"%s\"", line, sn_status_name(status), part,
                 sn_status_name(error.status), error.text);
}
#define expect_error(status, part) expect_error_at(status, part, __LINE__)

static inline void expect_values_at(sn_tensor *tensor, const double *values, int64_t count,
                                    int line) {
    double got[64];
    if (!tensor) fail_msg("line %d: %s", line, sn_error_text());
    if (sn_count(tensor) != count) fail_msg("line %d: %d elements", line, (int)sn_count(tensor));
    assert_true(sn_read(tensor, SN_F64, got, (size_t)count * sizeof *got));
    for (int64_t i = 0; i < count; i++)
        if (got[i] != values[i] || signbit(got[i]) != signbit(values[i]))
            fail_msg("line %d: element %d is %g, not %g", line, (int)i, got[i], values[i]);
}
#define expect_values(tensor, ...)                                                                 \
    expect_values_at(tensor, (const double[]){__VA_ARGS__},                                        \
                     sizeof((const double[]){__VA_ARGS__}) / sizeof(double), __LINE__)

static inline void expect_shape(sn_tensor *tensor, const int64_t *dims, int32_t rank) {
    assert_non_null(tensor);
    assert_int_equal(sn_rank(tensor), rank);
    for (int32_t i = 0; i < rank; i++) assert_int_equal(sn_size(tensor, i), dims[i]);
    assert_true(sn_is_contiguous(tensor));
}

/* The elements as they lie in row-major order. */
static inline void expect_bytes(sn_tensor *tensor, const void *bytes, size_t count) {
    char got[MOST_BYTES];
    assert_non_null(tensor);
    assert_true(count <= sizeof got && sn_read(tensor, sn_dtype_of(tensor), got, count));
    assert_memory_equal(got, bytes, count);
}

/* A tensor of bit patterns that are easily lost: NaN payloads, -0, subnormals, extremes. Its four
 * elements are copied to `bytes` too. */
static inline sn_tensor *extremes(sn_dtype dtype, void *bytes) {
    static const uint64_t patterns[SN_DTYPE_COUNT][4] = {
        [SN_BOOL] = {0, 1, 1, 0},
        [SN_U8] = {0, 1, 127, 255},
        [SN_I8] = {0, 0xff, 0x7f, 0x80},
        [SN_I16] = {0, 0xffff, 0x7fff, 0x8000},
        [SN_I32] = {0, 0xffffffff, 0x7fffffff, 0x80000000},
        [SN_I64] = {0, UINT64_MAX, INT64_MAX, 1ull << 63},
        [SN_F16] = {0x8000, 0x7d01, 0x0001, 0xfc00},
        [SN_BF16] = {0x8000, 0x7f81, 0x0001, 0xff80},
        [SN_F32] = {0x80000000, 0x7f800123, 0x00000001, 0xff800000},
        [SN_F64] = {1ull << 63, 0x7ff0000000000123, 1, 0xfff0000000000000},
    };
    size_t size = sn_dtype_size(dtype);
    for (size_t i = 0; i < 4; i++) memcpy((char *)bytes + i * size, &patterns[dtype][i], size);
    return sn_from_copy(bytes, 4 * size, SN_I(2, 2), dtype);
}

/* Real handles on the memory of x, of 2 × 2 elements: transposed, and backwards. */
static inline sn_tensor *view_2x2(sn_tensor *x, int64_t stride0, int64_t stride1, int64_t offset) {
    TensorType type = {.dtype = x->dtype, .rank = 2, .dims = {{2}, {2}}};
    const int64_t strides[2] = {stride0, stride1};
    return tensor_real(storage_retain(x->storage), &type, strides, offset, (Site){0});
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

/* Something that allocates; true when it succeeded, else an error is pending. */
typedef bool Attempt(const Fixture *f, void *context);

/* Fails each allocation of an attempt in turn: it must raise SN_ERROR_MEMORY and leak nothing. */
static inline void sweep_faults(const Fixture *f, Attempt *attempt, void *context) {
    for (int64_t n = 1;; n++) {
        int64_t live = mem_live_count();
        sn_scope scope = sn_scope_begin();
        mem_fail_after(n, false);
        bool done = attempt(f, context);
        mem_fail_after(0, false);
        sn_scope_end(scope, NULL);
        if (done) {
            assert_true(n > 3);
            return;
        }
        expect_error(SN_ERROR_MEMORY, "out of memory");
        assert_true(mem_live_count() <= live + 2); /* a recycled handle, the list of held ones */
        assert_true(n < 1000);
    }
}

static inline uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Changes, removes, repeats or cuts off some bytes. */
static inline void mutate(Bytes *bytes, uint64_t *random) {
    static const char likely[] = "0123456789-,:()[]{}'\"\\ <>\xff\x00\x80";
    for (uint32_t changes = 1 + next_random(random) % 4; changes && bytes->count; changes--) {
        size_t at = next_random(random) % bytes->count, left = bytes->count - at;
        size_t run = 1 + next_random(random) % (left < 8 ? left : 8);
        char *place = bytes->data + at;
        switch (next_random(random) % 6) {
        case 0:
            *place = (char)next_random(random);
            break;
        case 1:
            *place = likely[next_random(random) % (sizeof likely - 1)];
            break;
        case 2:
            *place = (char)(*place ^ 1 << next_random(random) % 8);
            break;
        case 3:
            memmove(place, place + run, left - run);
            bytes->count -= run;
            break;
        case 4:
            if (bytes->count + run > sizeof bytes->data) break;
            memmove(place + run, place, left);
            bytes->count += run;
            break;
        default:
            if (next_random(random) % 8 == 0) bytes->count = at;
        }
    }
}

/* Offers mutated copies of `seed` to a reader. It either succeeds or raises an error that names the
 * file; returns how often it succeeded. */
static inline int32_t fuzz(const Fixture *f, const Bytes *seed, uint64_t random, Attempt *attempt) {
    int32_t read = 0;
    for (int32_t i = 0; i < FUZZED_FILES; i++) {
        Bytes bytes = *seed;
        mutate(&bytes, &random);
        write_file(f->path, bytes.data, bytes.count);
        sn_scope scope = sn_scope_begin();
        if (attempt(f, NULL)) {
            read++;
            assert_int_equal(sn_error_status(), SN_OK);
        } else {
            sn_status status = sn_error_status();
            assert_non_null(strstr(sn_error_text(), f->path));
            if (status != SN_ERROR_FORMAT && status != SN_ERROR_DTYPE && status != SN_ERROR_SHAPE)
                fail_msg("file %d: %s", (int)i, sn_error_text());
            sn_error_take(NULL);
        }
        sn_scope_end(scope, NULL);
    }
    return read;
}

#endif
