/* One kernel run by the interpreter and, compiled, on every instruction set of this machine: memory,
 * canaries and error word must agree bit for bit (a NaN equals any NaN). Arguments end at a page
 * that may not be touched, so that a lane too many is a crash. */
#ifndef SN_TESTS_CODEGEN_CASE_H
#define SN_TESTS_CODEGEN_CASE_H

#include "base/mem.h"
#include "base/strbuf.h"
#include "codegen/backend.h"
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/code.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    CASE_ARGS = 12,
    CASE_PARAMS = 32,
    CASE_WORDS = KPARAM_STRIDES + 8 * CASE_ARGS + CASE_PARAMS
};

typedef enum Fill {
    FILL_MIXED,  /* ordinary numbers, now and then a special one */
    FILL_FINITE, /* ordinary numbers of different sizes: sums in another order differ */
    FILL_INDEX,  /* integers in [0, bound) */
    FILL_EQUAL   /* few different values, zeros of both signs */
} Fill;

/* Memory of one argument, up to a guard page. */
typedef struct Memory {
    uint8_t *map;  /* the mapping */
    size_t mapped; /* its bytes */
    uint8_t *data; /* first element */
    size_t bytes;  /* of all elements */
    size_t canary; /* bytes before data that must not change */
} Memory;

typedef struct Case {
    Kernel kernel;               /* parsed and verified */
    int64_t words[CASE_WORDS];   /* parameter words */
    int64_t items;               /* grid points × blocks */
    int64_t elements[CASE_ARGS]; /* of each argument */
    Fill fill[CASE_ARGS];        /* contents */
    int64_t bound[CASE_ARGS];    /* FILL_INDEX */
    bool stream;                 /* Schedule.stream_stores */
    Code code[2][ISA_COUNT];     /* compiled, by stream and ISA; bytes NULL: not yet */
    size_t entry[2][ISA_COUNT];  /* its entry */
    uint64_t random;             /* state of the generator */
    int64_t misalign;            /* elements by which arguments are moved off the guard page */
} Case;

static const Backend *case_backend;

static inline int case_setup(void **state) {
    (void)state;
    sn_error error = {0};
    case_backend = backend_load("cpu", &error);
    if (!case_backend) fprintf(stderr, "no CPU code generator: %s\n", error.text);
    return 0;
}

static inline uint64_t case_next(Case *c) {
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

static inline Case case_open(const char *text) {
    Case c = {.items = 1, .random = 88172645463325252u};
    sn_error error = {0};
    kernel_init(&c.kernel);
    if (kernel_parse(&c.kernel, text, strlen(text), &error) != SN_OK ||
        kernel_verify(&c.kernel, &error) != SN_OK)
        fail_msg("%s\n%s", error.text, text);
    assert_true(c.kernel.args.count <= CASE_ARGS && c.kernel.n_params <= CASE_PARAMS);
    c.words[KPARAM_BLOCKS] = 1;
    return c;
}

static inline void case_close(Case *c) {
    for (int stream = 0; stream < 2; stream++)
        for (int isa = 0; isa < ISA_COUNT; isa++)
            if (c->code[stream][isa].bytes) code_free(&c->code[stream][isa]);
    kernel_free(&c->kernel);
}

static inline void case_param(Case *c, int32_t param, int64_t value) {
    c->words[kernel_param_word(&c->kernel, param)] = value;
}

static inline void case_dim(Case *c, int64_t size) {
    c->words[KPARAM_SIZES + c->words[KPARAM_RANK]++] = size;
    c->items *= size;
}

static inline void case_split(Case *c, int64_t size, int64_t block) {
    c->words[KPARAM_BLOCKS] = size ? (size + block - 1) / block : 1;
    c->words[KPARAM_BLOCK_SIZE] = block;
    c->items *= c->words[KPARAM_BLOCKS];
}

static inline void case_arg(Case *c, uint32_t arg, int64_t elements, Fill fill) {
    c->elements[arg] = elements;
    c->fill[arg] = fill;
}

static inline void case_stride(Case *c, uint32_t arg, int32_t dim, int64_t stride) {
    c->words[KPARAM_STRIDES + 8 * (int32_t)arg + dim] = stride;
}

/* ---- contents -------------------------------------------------------------------------------- */

static inline double case_number(Case *c, Fill fill) {
    uint64_t r = case_next(c);
    double unit = (double)(r >> 11) * 0x1p-53;
    if (fill == FILL_EQUAL) {
        static const double few[] = {0.0, -0.0, 1.0, -1.0, 1.0, -0.0};
        return few[r % 6];
    }
    static const double special[] = {0.0,    -0.0,     INFINITY, -INFINITY, NAN,   1.0,
                                     -1.0,   0x1p-149, 0x1p-130, 0x1p-1074, 2.5,   -0.5,
                                     0x1p31, -0x1p31,  0x1p63,   65504,     65520, 255.5,
                                     3.4e38, 1.7e308,  1e-310,   0.5,       127.5, -129};
    if (fill == FILL_MIXED && r % 7 == 0) return special[case_next(c) % 24];
    int power = (int)(case_next(c) % 24) - 12;
    return ldexp(unit * 2 - 1, power);
}

static inline uint64_t case_bits(Case *c, sn_dtype dtype, Fill fill, int64_t bound) {
    if (fill == FILL_INDEX)
        return dtype_bits_from_int(dtype, bound ? (int64_t)(case_next(c) % (uint64_t)bound) : 0);
    if (dtype_is_float(dtype)) return dtype_bits_from_double(dtype, case_number(c, fill));
    static const int64_t special[] = {0,   1,         -1,        2,         127,       -128,
                                      255, INT16_MIN, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX,
                                      31,  32,        63,        64};
    uint64_t r = case_next(c);
    int64_t value = fill == FILL_EQUAL ? (int64_t)(r % 3) - 1
                    : r % 3 == 0       ? special[case_next(c) % 16]
                                       : (int64_t)(case_next(c) >> case_next(c) % 64);
    return dtype_bits_from_int(dtype, value);
}

static inline Memory case_memory(size_t bytes, size_t gap) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (bytes + gap + 64 + page - 1) / page * page;
    Memory m = {.mapped = whole + page, .bytes = bytes};
    m.map = mmap(NULL, m.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(m.map != MAP_FAILED);
    assert_int_equal(mprotect(m.map + whole, page, PROT_NONE), 0);
    m.data = m.map + whole - bytes - gap;
    m.canary = (size_t)(m.data - m.map);
    memset(m.map, 0x5b, whole);
    return m;
}

static inline void case_fill(Case *c, Memory *m, uint32_t arg) {
    sn_dtype dtype = (sn_dtype)c->kernel.args.data[arg].dtype;
    for (int64_t i = 0; i < c->elements[arg]; i++)
        dtype_store(dtype, m->data + (size_t)i * sn_dtype_size(dtype),
                    case_bits(c, dtype, c->fill[arg], c->bound[arg]));
}

static inline bool case_same(sn_dtype dtype, const uint8_t *a, const uint8_t *b) {
    size_t size = sn_dtype_size(dtype);
    if (memcmp(a, b, size) == 0) return true;
    if (!dtype_is_float(dtype)) return false;
    double x = dtype_bits_to_double(dtype, dtype_load(dtype, a));
    double y = dtype_bits_to_double(dtype, dtype_load(dtype, b));
    return isnan(x) && isnan(y);
}

/* ---- running --------------------------------------------------------------------------------- */

static inline void case_show(const Case *c, TargetIsa isa) {
    StrBuf text = {0};
    sn_error error = {0};
    Target target = target_for(isa);
    Schedule schedule = {.stream_stores = c->stream};
    kernel_print(&c->kernel, &text, NULL);
    if (getenv("SHOW_CODE"))
        case_backend->print(&c->kernel, &target, &schedule, "kernel", STAGE_SOURCE, &text, &error);
    fprintf(stderr, "%s\n", strbuf_text(&text));
    strbuf_free(&text);
}

static inline void case_compare(Case *c, TargetIsa isa, Memory *want, Memory *got,
                                uint64_t want_error, uint64_t got_error) {
    for (uint32_t a = 0; a < c->kernel.args.count; a++) {
        sn_dtype dtype = (sn_dtype)c->kernel.args.data[a].dtype;
        size_t size = sn_dtype_size(dtype);
        for (int64_t i = 0; i < c->elements[a]; i++) {
            const uint8_t *x = want[a].data + (size_t)i * size, *y = got[a].data + (size_t)i * size;
            if (case_same(dtype, x, y)) continue;
            case_show(c, isa);
            fail_msg("%s: a%u[%ld] of %ld is %#lx (%g), should be %#lx (%g)", target_isa_name(isa),
                     a, (long)i, (long)c->elements[a], (unsigned long)dtype_load(dtype, y),
                     dtype_bits_to_double(dtype, dtype_load(dtype, y)),
                     (unsigned long)dtype_load(dtype, x),
                     dtype_bits_to_double(dtype, dtype_load(dtype, x)));
        }
        if (memcmp(want[a].map, got[a].map, want[a].canary) != 0) {
            case_show(c, isa);
            fail_msg("%s: writes before a%u", target_isa_name(isa), a);
        }
    }
    if (want_error != got_error) case_show(c, isa);
    assert_int_equal(want_error, got_error);
}

/* The compiled kernel, from the case's own cache. */
static inline KernelFn *case_compile(Case *c, TargetIsa isa) {
    sn_error error = {0};
    CodeBlob blob;
    Code *code = &c->code[c->stream][isa];
    Target target = target_for(isa);
    Schedule schedule = {.stream_stores = c->stream};
    if (!code->bytes) {
        if (case_backend->compile(&c->kernel, &target, &schedule, "kernel", &blob, &error)) {
            case_show(c, isa);
            fail_msg("%s: %s", target_isa_name(isa), error.text);
        }
        assert_int_equal(blob.size % 64, 0);
        assert_int_equal(code_map(blob.bytes, blob.size, code, &error), SN_OK);
        c->entry[c->stream][isa] = blob.entry;
        mem_free(blob.bytes);
    }
    KernelFn *function;
    const uint8_t *entry = code->bytes + c->entry[c->stream][isa];
    memcpy(&function, &entry, sizeof function);
    return function;
}

/* Bytes of scratch memory. */
static inline int64_t case_local_bytes(const Case *c) {
    int64_t bytes = 0;
    for (uint32_t a = 0; a < c->kernel.args.count; a++) {
        const KArg *arg = &c->kernel.args.data[a];
        if (arg->role != KARG_LOCAL) continue;
        int64_t size = arg->size.value;
        if (arg->size.param >= 0) size = c->words[kernel_param_word(&c->kernel, arg->size.param)];
        bytes += kernel_local_bytes((sn_dtype)arg->dtype, size);
    }
    if (kernel_chain_size(&c->kernel))
        bytes += kchain_scratch_bytes(c->items, ORDER_CHAIN, KCHAIN_STEP_BYTES);
    return bytes;
}

/* Runs the items in two shares. */
static inline void case_execute(Case *c, TargetIsa isa, void **args, uint64_t *error_word) {
    KernelFn *function = case_compile(c, isa);
    Memory scratch = case_memory((size_t)case_local_bytes(c), 0);
    uint8_t *aligned = scratch.data - (uintptr_t)scratch.data % 64;
    int64_t middle = c->items / 3;
    function(args, c->words, 0, middle, aligned, error_word);
    function(args, c->words, middle, c->items, aligned, error_word);
    munmap(scratch.map, scratch.mapped);
}

static inline void case_run(Case *c) {
    Memory want[CASE_ARGS], got[CASE_ARGS];
    void *want_args[CASE_ARGS + 1] = {0}, *got_args[CASE_ARGS + 1] = {0};
    uint32_t count = c->kernel.args.count;
    sn_error error = {0};
    if (!case_backend) skip();
    uint64_t seed = c->random;
    for (uint32_t a = 0; a < count; a++) {
        size_t size = sn_dtype_size((sn_dtype)c->kernel.args.data[a].dtype);
        want[a] = case_memory((size_t)c->elements[a] * size, (size_t)c->misalign * size);
        got[a] = case_memory((size_t)c->elements[a] * size, (size_t)c->misalign * size);
        case_fill(c, &want[a], a);
        want_args[a] = want[a].data;
        got_args[a] = got[a].data;
    }
    uint64_t want_error = UINT64_MAX;
    for (TargetIsa isa = ISA_AVX2; isa <= target_host()->cpu.isa; isa++) {
        uint64_t got_error = UINT64_MAX, after = c->random;
        c->random = seed;
        for (uint32_t a = 0; a < count; a++) case_fill(c, &got[a], a);
        c->random = after;
        case_execute(c, isa, got_args, &got_error);
        if (isa == ISA_AVX2 && kernel_interpret(&c->kernel, want_args, c->words, 0, c->items,
                                                &want_error, &error) != SN_OK)
            fail_msg("%s", error.text);
        case_compare(c, isa, want, got, want_error, got_error);
    }
    for (uint32_t a = 0; a < count; a++) {
        munmap(want[a].map, want[a].mapped);
        munmap(got[a].map, got[a].mapped);
    }
}

#endif
