/* The CUDA code generator: the text it prints, that NVRTC takes every kernel (where there is one),
 * and that the text, run by a small emulator of blocks and threads (where there is a C compiler),
 * computes the bits of kernel_interpret. */
#include "base/mem.h"
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"
#include "runtime/kernels/backend.h"
#include "tests/cuda_emulator.h"
#include "tests/cuda_kernels.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_ARGS = 48, MOST_PARAMS = 8, MOST_PROGRAMS = 64, MOST_DIMS = 3 };
enum { MOST_WORDS = KPARAM_STRIDES + SN_MAX_RANK * MOST_ARGS + MOST_PARAMS };

/* ---- programs -------------------------------------------------------------------------------- */

/* A kernel and its CUDA C. */
typedef struct Program {
    Kernel kernel;       /* parsed and verified */
    char name[24];       /* of the function */
    char *source;        /* mem_free */
    EmulatorKernel *run; /* the emulator's; NULL without */
} Program;

static const Backend *backend;
static Program programs[MOST_PROGRAMS];
static int n_programs;
static EmulatorRun *emulate; /* NULL where no C compiler was found */
static void *library;        /* the compiled programs */
static char folder[64];      /* of their files */

static char *print(const Kernel *kernel, const char *name, bool stream, BackendStage stage) {
    Schedule schedule = {.stream_stores = stream};
    StrBuf out = {0};
    sn_error error = {0};
    if (backend->print(kernel, target_cuda(), &schedule, name, stage, &out, &error) != SN_OK)
        fail_msg("%s: %s", name, error.text);
    return strbuf_take(&out);
}

static void parse(Kernel *kernel, const char *text) {
    sn_error error = {0};
    kernel_init(kernel);
    if (kernel_parse(kernel, text, strlen(text), &error) != SN_OK ||
        kernel_verify(kernel, &error) != SN_OK)
        fail_msg("%s in\n%s", error.text, text);
}

static int add_program(const char *text, bool stream) {
    assert_true(n_programs < MOST_PROGRAMS);
    Program *p = &programs[n_programs];
    snprintf(p->name, sizeof p->name, "kernel_%d", n_programs);
    parse(&p->kernel, text);
    assert_true(p->kernel.args.count <= MOST_ARGS && p->kernel.n_params <= MOST_PARAMS);
    p->source = print(&p->kernel, p->name, stream, STAGE_SOURCE);
    return n_programs++;
}

/* A program for every kernel of tests/cuda_kernels.h, and for every primitive on every dtype. */
static void add_programs(void) {
    for (int i = 0; i < CUDA_KERNELS; i++) add_program(cuda_kernels[i], i % 2 == 1);
    for (uint32_t d = 0; d < SN_DTYPE_COUNT; d++) {
        StrBuf text = {0};
        if (!dtype_is_half((sn_dtype)d)) {
            cuda_prims_text(&text, (sn_dtype)d);
            add_program(strbuf_text(&text), false);
            strbuf_clear(&text);
        }
        cuda_casts_text(&text, (sn_dtype)d);
        add_program(strbuf_text(&text), false);
        strbuf_free(&text);
    }
}

/* ---- the emulator ---------------------------------------------------------------------------- */

static void write_file(const char *name, const char *define, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s.c", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#define %s\n#include \"%s/cuda_emulator.h\"\n%s", define, SN_TESTS_DIR, text);
    assert_int_equal(fclose(file), 0);
}

static const char stuck_text[] = "extern \"C\" __global__ void\n"
                                 "stuck(void *const *args, const long long *params, "
                                 "long long begin, long long end, void *scratch, "
                                 "unsigned long long *error) {\n"
                                 "    if (threadIdx.x < 40) __syncthreads();\n"
                                 "}\n";

/* C has no extern "C". */
static void write_kernel(const char *name, const char *source) {
    static const char linkage[] = "extern \"C\" ";
    const char *at = strstr(source, linkage);
    assert_non_null(at);
    StrBuf text = {0};
    strbuf_add_bytes(&text, source, (size_t)(at - source));
    strbuf_add(&text, at + sizeof linkage - 1);
    write_file(name, "CUDA_EMULATOR_KERNEL", strbuf_text(&text));
    strbuf_free(&text);
}

static void *symbol(const char *name) {
    void *found = dlsym(library, name);
    if (!found) fail_msg("no %s: %s", name, dlerror());
    return found;
}

/* Compiles all programs in one go; leaves `emulate` NULL where there is no compiler. */
static void open_emulator(void) {
    char command[512], path[128];
    if (system("cc --version >/dev/null 2>&1") != 0) return;
    snprintf(folder, sizeof folder, "/tmp/sinter_cuda_XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < n_programs; i++) write_kernel(programs[i].name, programs[i].source);
    write_kernel("stuck", stuck_text);
    write_file("runtime", "CUDA_EMULATOR_RUNTIME", "");
    snprintf(command, sizeof command,
             "cd %s && cc -std=gnu11 -w -O1 -ffp-contract=off -fwrapv -fno-strict-aliasing -fPIC "
             "-shared -o kernels.so *.c -lm",
             folder);
    if (system(command) != 0) fail_msg("cc refused the kernels in %s", folder);
    snprintf(path, sizeof path, "%s/kernels.so", folder);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    void *found = symbol("emulator_run");
    memcpy(&emulate, &found, sizeof found);
    for (int i = 0; i < n_programs; i++) {
        found = symbol(programs[i].name);
        memcpy(&programs[i].run, &found, sizeof found);
    }
}

static void close_emulator(void) {
    char command[128];
    if (library) dlclose(library);
    if (!folder[0]) return;
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static bool need_emulator(void) {
    if (emulate) return true;
    print_message("skipped: no C compiler called cc, so the emulator cannot be built\n");
    return false;
}

/* ---- data ------------------------------------------------------------------------------------ */

typedef enum Fill {
    FILL_MIXED,   /* special values, then any bits */
    FILL_NUMBERS, /* finite, of very different sizes, so that every order of addition shows */
    FILL_FEW,     /* few distinct values, now and then NaN */
    FILL_NANS,    /* floats: every other one a NaN, of both signs and any payload */
    FILL_INDEX    /* integers from -1 to 8 */
} Fill;

static uint64_t random_state = 1;

static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1du;
}

static const double special_floats[] = {0.0,
                                        -0.0,
                                        INFINITY,
                                        -INFINITY,
                                        NAN,
                                        1.0,
                                        -1.0,
                                        0.5,
                                        -0.5,
                                        1.5,
                                        2.5,
                                        -2.5,
                                        3.0,
                                        7.25,
                                        -126.5,
                                        127.5,
                                        128.0,
                                        -128.0,
                                        -128.9,
                                        255.5,
                                        256.0,
                                        32767.5,
                                        -32768.5,
                                        65504.0,
                                        65519.99,
                                        65520.0,
                                        0x1p-24,
                                        0x1p-25,
                                        0x1.8p-25,
                                        0x1p-14,
                                        0x1.ffcp-15,
                                        0x1.002p0,
                                        0x1.006p0,
                                        0x1.01p0,
                                        0x1.03p0,
                                        0x1.0100001p0,
                                        0x1.00ffffp0,
                                        0x1p31,
                                        -0x1p31,
                                        0x1.fffffffcp30,
                                        0x1p63,
                                        -0x1p63,
                                        0x1p64,
                                        0x1p-126,
                                        0x1p-149,
                                        0x1.fp-130,
                                        0x1p-1022,
                                        0x1p-1074,
                                        0x1.fffffep127,
                                        0x1.ffffffp127,
                                        0x1.fffffffffffffp1023,
                                        8388607.5,
                                        0x1.8p52,
                                        1e-10,
                                        1e10,
                                        3.14159265358979};
static const int64_t special_ints[] = {0,
                                       1,
                                       -1,
                                       2,
                                       -2,
                                       3,
                                       7,
                                       -7,
                                       8,
                                       15,
                                       16,
                                       31,
                                       32,
                                       33,
                                       63,
                                       64,
                                       100,
                                       -100,
                                       127,
                                       -128,
                                       128,
                                       255,
                                       256,
                                       32767,
                                       -32768,
                                       65519,
                                       65520,
                                       2147483647,
                                       -2147483647 - 1,
                                       16777217,
                                       -16777219,
                                       0x1000001000000,
                                       0x10100000000001,
                                       0x1017fffffffffff,
                                       0x101800000000000,
                                       0x101800000000001,
                                       INT64_MAX,
                                       INT64_MIN,
                                       INT64_MIN + 1,
                                       0x4080000000000001,
                                       -0x4080000000000001};
enum {
    SPECIAL_FLOATS = sizeof special_floats / sizeof *special_floats,
    SPECIAL_INTS = sizeof special_ints / sizeof *special_ints
};

/* Element i of argument a. The specials of two arguments meet in all pairs. */
static uint64_t mixed_bits(sn_dtype dtype, uint32_t a, int64_t i) {
    bool is_float = dtype_is_float(dtype);
    int64_t specials = is_float ? SPECIAL_FLOATS : SPECIAL_INTS;
    int64_t number = a == 0 ? i % specials : i / specials;
    if (number >= specials || a > 1) return scalar_canonical(dtype, random_bits());
    return is_float ? dtype_bits_from_double(dtype, special_floats[number])
                    : dtype_bits_from_int(dtype, special_ints[number]);
}

static uint64_t element_bits(Fill fill, sn_dtype dtype, uint32_t a, int64_t i) {
    uint64_t r = random_bits();
    bool is_float = dtype_is_float(dtype);
    int64_t few = (int64_t)(r % 13) - 6;
    switch (fill) {
    case FILL_MIXED:
        return mixed_bits(dtype, a, i);
    case FILL_NUMBERS:
        if (!is_float) return scalar_canonical(dtype, r);
        return dtype_bits_from_double(
            dtype, ldexp((double)(int32_t)(r >> 32) * 0x1p-31, (int)(r & 15) - 8));
    case FILL_FEW:
        if (is_float && r >> 32 & 1 && few == 6) return dtype_bits_from_double(dtype, NAN);
        if (few == 0 && is_float) return dtype_bits_from_double(dtype, r >> 33 & 1 ? -0.0 : 0.0);
        return is_float ? dtype_bits_from_double(dtype, (double)few)
                        : dtype_bits_from_int(dtype, few);
    case FILL_NANS: {
        uint64_t nan = dtype_bits_from_double(dtype, NAN),
                 sign = 1ull << (8 * sn_dtype_size(dtype) - 1);
        if (is_float && i % 2) return nan | (r & sign) | (r >> 8 & 7);
        return dtype_bits_from_int(dtype, few);
    }
    case FILL_INDEX:
        break;
    }
    return dtype_bits_from_int(dtype, (int64_t)(r % 10) - 1);
}

/* ---- launches -------------------------------------------------------------------------------- */

/* One launch, compared with the interpreter's. */
typedef struct Launch {
    int64_t counts[MOST_ARGS];             /* elements of each argument; 0: as the first one */
    int64_t sizes[MOST_DIMS];              /* grid; 0 ends it */
    int64_t strides[MOST_ARGS][MOST_DIMS]; /* of the arguments on it */
    int64_t blocks, block_size;            /* of the split axis; 0 blocks: none */
    int64_t params[MOST_PARAMS];           /* numbered parameters */
    int64_t skipped;                       /* items at the beginning that do not run */
    Fill fill;                             /* of all arguments */
    uint32_t index_arg;                    /* this one holds indices; 0: none does */
} Launch;

typedef struct Memory {
    uint8_t *data[MOST_ARGS]; /* mem_free */
    int64_t bytes[MOST_ARGS]; /* sizes */
} Memory;

static int64_t local_bytes(const Kernel *k, const Launch *l) {
    int64_t bytes = 64;
    for (uint32_t a = 0; a < k->args.count; a++) {
        const KArg *arg = &k->args.data[a];
        int64_t size = arg->size.param >= 0 ? l->params[arg->size.param] : arg->size.value;
        if (arg->role == KARG_LOCAL) bytes += kernel_local_bytes((sn_dtype)arg->dtype, size);
    }
    return bytes;
}

enum { GUARD = 64, GUARD_BYTE = 0x5a }; /* behind every argument, to be left alone */

static uint8_t *memory_alloc(int64_t bytes) {
    uint8_t *data = mem_alloc((size_t)bytes + GUARD);
    assert_non_null(data);
    memset(data + bytes, GUARD_BYTE, GUARD);
    return data;
}

static void memory_open(Memory *m, const Kernel *k, const Launch *l) {
    for (uint32_t a = 0; a < k->args.count; a++) {
        sn_dtype dtype = (sn_dtype)k->args.data[a].dtype;
        size_t size = sn_dtype_size(dtype);
        int64_t count = l->counts[a] ? l->counts[a] : l->counts[0];
        Fill fill = l->index_arg && a == l->index_arg ? FILL_INDEX : l->fill;
        m->bytes[a] = count * (int64_t)size;
        m->data[a] = memory_alloc(m->bytes[a]);
        for (int64_t i = 0; i < count; i++)
            dtype_store(dtype, m->data[a] + i * (int64_t)size, element_bits(fill, dtype, a, i));
    }
}

static void memory_copy(Memory *to, const Memory *from, const Kernel *k) {
    for (uint32_t a = 0; a < k->args.count; a++) {
        to->bytes[a] = from->bytes[a];
        to->data[a] = memory_alloc(from->bytes[a]);
        memcpy(to->data[a], from->data[a], (size_t)from->bytes[a]);
    }
}

static void memory_free(Memory *m, const Kernel *k) {
    for (uint32_t a = 0; a < k->args.count; a++) {
        for (int64_t i = 0; i < GUARD; i++)
            assert_int_equal(m->data[a][m->bytes[a] + i], GUARD_BYTE);
        mem_free(m->data[a]);
    }
}

static bool is_nan(sn_dtype dtype, uint64_t bits) {
    return dtype_is_float(dtype) && isnan(dtype_bits_to_double(dtype, bits));
}

/* Do the stores to an argument give the canonical NaN or none, or bits that were loaded? */
static bool nans_are_told(const Kernel *k, uint32_t arg) {
    for (uint32_t i = 0; i < k->insts.count; i++) {
        const KInst *inst = kernel_inst(k, i);
        if (kop_row(inst->op)->form != KFORM_STORE || k->accesses.data[inst->imm].arg != arg ||
            inst->op == OP_STORE_ADD)
            continue;
        const KInst *stored = kernel_inst(k, inst->in[0]);
        if (stored->op == OP_CAST) stored = kernel_inst(k, stored->in[0]);
        if (stored->op != OP_CANONICAL_NAN && stored->op != OP_LOAD) return false;
    }
    return true;
}

/* Equal bits, or two NaNs that cannot be told apart. */
static void compare(const Program *p, const Memory *found, const Memory *wanted, const char *how) {
    for (uint32_t a = 0; a < p->kernel.args.count; a++) {
        sn_dtype dtype = (sn_dtype)p->kernel.args.data[a].dtype;
        size_t size = sn_dtype_size(dtype);
        if (p->kernel.args.data[a].role == KARG_LOCAL) continue;
        bool told = nans_are_told(&p->kernel, a);
        for (int64_t at = 0; at < wanted->bytes[a]; at += (int64_t)size) {
            uint64_t x = 0, y = 0;
            memcpy(&x, found->data[a] + at, size);
            memcpy(&y, wanted->data[a] + at, size);
            if (x == y || (!told && is_nan(dtype, x) && is_nan(dtype, y))) continue;
            fail_msg("%s %s: a%u[%lld] is %llx, not %llx, in\n%s", p->name, how, a,
                     (long long)at / (long long)size, (unsigned long long)x, (unsigned long long)y,
                     p->source);
        }
    }
}

static int64_t fill_words(const Kernel *k, const Launch *l, int64_t *words) {
    int64_t items = l->blocks ? l->blocks : 1;
    memset(words, 0, MOST_WORDS * sizeof *words);
    words[KPARAM_BLOCKS] = items;
    words[KPARAM_BLOCK_SIZE] = l->block_size;
    for (int32_t d = 0; d < MOST_DIMS && l->sizes[d]; d++) {
        words[KPARAM_RANK] = d + 1;
        words[KPARAM_SIZES + d] = l->sizes[d];
        items *= l->sizes[d];
        for (uint32_t a = 0; a < k->args.count; a++)
            words[KPARAM_STRIDES + SN_MAX_RANK * (int32_t)a + d] = l->strides[a][d];
    }
    for (int32_t p = 0; p < k->n_params; p++) words[kernel_param_word(k, p)] = l->params[p];
    return items;
}

/* How the emulator is asked to run: neither may change a bit. */
typedef struct Grid {
    unsigned blocks, threads; /* of the launch */
    int order;                /* turns of the threads */
} Grid;
static const Grid grids[] = {{1, 32, 0}, {2, 96, 1}, {3, 256, 0}, {1, 256, 1}};

static void check_grid(const Program *p, const Launch *l, const Grid *grid, const Memory *before,
                       const Memory *wanted, uint64_t wanted_error) {
    const Kernel *k = &p->kernel;
    static int64_t words[MOST_WORDS];
    Memory found = {0};
    unsigned long long error_word = UINT64_MAX;
    char how[64];
    int64_t items = fill_words(k, l, words);
    void *scratch = mem_alloc_aligned(64, (size_t)local_bytes(k, l) * grid->blocks);
    assert_non_null(scratch);
    memory_copy(&found, before, k);
    EmulatorLaunch launch = {.kernel = p->run,
                             .blocks = grid->blocks,
                             .threads = grid->threads,
                             .order = grid->order,
                             .args = (void *const *)found.data,
                             .params = (const long long *)words,
                             .begin = l->skipped,
                             .end = items,
                             .scratch = scratch,
                             .error = &error_word};
    int line = emulate(&launch);
    snprintf(how, sizeof how, "(%u blocks of %u, order %d, p0 %lld)", grid->blocks, grid->threads,
             grid->order, (long long)l->params[0]);
    if (line)
        fail_msg("%s %s: threads do not meet at line %d of\n%s", p->name, how, line, p->source);
    compare(p, &found, wanted, how);
    if (error_word != wanted_error) fail_msg("%s %s: error %llu", p->name, how, error_word);
    memory_free(&found, k);
    mem_free(scratch);
}

static void check(int program, const Launch *l) {
    const Program *p = &programs[program];
    const Kernel *k = &p->kernel;
    static int64_t words[MOST_WORDS];
    Memory before = {0}, wanted = {0};
    uint64_t error_word = UINT64_MAX;
    sn_error error = {0};
    memory_open(&before, k, l);
    memory_copy(&wanted, &before, k);
    int64_t items = fill_words(k, l, words);
    if (kernel_interpret(k, (void *const *)wanted.data, words, l->skipped, items, &error_word,
                         &error) != SN_OK)
        fail_msg("%s: %s", p->name, error.text);
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
        check_grid(p, l, &grids[g], &before, &wanted, error_word);
    memory_free(&before, k);
    memory_free(&wanted, k);
}

/* ---- structure ------------------------------------------------------------------------------- */

static void assert_has(const char *source, const char *piece) {
    if (!strstr(source, piece)) fail_msg("\"%s\" is not in\n%s", piece, source);
}

static void assert_lacks(const char *source, const char *piece) {
    if (strstr(source, piece)) fail_msg("\"%s\" is in\n%s", piece, source);
}

static void elements_of_a_map_are_threads(void **state) {
    (void)state;
    const char *source = programs[CUDA_POINTWISE].source;
    char head[128];
    snprintf(head, sizeof head, "extern \"C\" __global__ void __launch_bounds__(256)\nkernel_%d(",
             CUDA_POINTWISE);
    assert_has(source, head);
    assert_has(source, "/* one thread for each element */");
    assert_has(source, "const float v2 = a0[i0 * p1];");
    assert_has(source, "const float v3 = v2 * v0;");
    assert_has(source, "const float v4 = v3 + v0;");
    assert_has(source, "__fdiv_rn(v4, v2)");
    assert_has(source, "__fmaf_rn(v5, v2, v0)");
    assert_has(source, "a1[i0] = v6;");
    assert_has(source, "const float v0 = 0x1.8p+0f;");
    assert_lacks(source, "__syncthreads");
    assert_lacks(source, "__shared__");
    assert_lacks(source, "sn_max_f32"); /* only device functions that are used */
}

static void rows_are_blocks(void **state) {
    (void)state;
    const char *source = programs[CUDA_SOFTMAX].source;
    assert_has(source, "/* one block for each item */");
    assert_has(source,
               "for (long long item = begin + blockIdx.x; item < end; item += gridDim.x) {");
    assert_has(source, "__shared__ float share_f32[2][256];");
    assert_has(source, "__shfl_xor_sync(0xffffffffu, ");
    assert_has(source, "for (long long k1 = chunk * 1024 + lane; k1 < last; k1 += 32) {");
    assert_has(source, "sn_rows_add_f32(");
    assert_has(source, "for (long long k2 = threadIdx.x; k2 < n2; k2 += blockDim.x) {");
    assert_lacks(source, "sn_rows_mul_f32");
    assert_lacks(source, "fma");
}

static void columns_are_threads(void **state) {
    (void)state;
    const char *source = programs[CUDA_COLUMNS].source;
    assert_has(source, "/* one thread for each element */");
    assert_has(source, "const long long width = sn_least(params[1], p0);");
    assert_has(source, "& 31) == 31) sn_push_add_f32(");
    assert_lacks(source, "__shared__");
}

static void sequential_kernels_are_threads(void **state) {
    (void)state;
    assert_has(programs[CUDA_SCAN].source, "/* one thread for each item */");
    assert_has(programs[CUDA_SCAN].source, "% 1024 == 0) {");
    assert_has(programs[CUDA_ORDERED_ADD].source, "sn_f16_from_f32(sum)");
}

static void checks_and_streamed_stores(void **state) {
    (void)state;
    assert_has(programs[CUDA_GATHER].source, "atomicMin(error, (unsigned long long)p3);");
    char *plain = print(&programs[CUDA_POINTWISE].kernel, "plain", false, STAGE_SOURCE);
    char *streamed = print(&programs[CUDA_POINTWISE].kernel, "streamed", true, STAGE_SOURCE);
    assert_lacks(plain, "__stcs");
    assert_has(streamed, "__stcs(&a1[i0], v6);");
    mem_free(plain);
    mem_free(streamed);
}

static void printing_is_deterministic(void **state) {
    (void)state;
    for (int i = 0; i < n_programs; i++) {
        Schedule schedule = {.stream_stores = i < CUDA_KERNELS && i % 2 == 1};
        char *again =
            print(&programs[i].kernel, programs[i].name, schedule.stream_stores, STAGE_SOURCE);
        assert_string_equal(again, programs[i].source);
        mem_free(again);
    }
}

/* ---- NVRTC ----------------------------------------------------------------------------------- */

static bool has_nvrtc(void) {
    return strcmp(backend->version(), "nvrtc-none") != 0;
}

static void every_kernel_becomes_a_cubin(void **state) {
    (void)state;
    if (!has_nvrtc()) {
        print_message("skipped: libnvrtc cannot be loaded\n");
        return;
    }
    for (int i = 0; i < n_programs; i++) {
        Schedule schedule = {.stream_stores = i % 2 == 1};
        CodeBlob blob = {0};
        sn_error error = {0};
        if (backend->compile(&programs[i].kernel, target_cuda(), &schedule, programs[i].name, &blob,
                             &error) != SN_OK)
            fail_msg("%s: %s\n%s", programs[i].name, error.text, programs[i].source);
        assert_true(blob.size > 0 && blob.size % 64 == 0 && blob.entry == 0);
        assert_memory_equal(blob.bytes, "\177ELF", 4);
        assert_non_null(memmem(blob.bytes, blob.size, programs[i].name, strlen(programs[i].name)));
        mem_free(blob.bytes);
    }
}

static void assembly_is_ptx_without_contraction(void **state) {
    (void)state;
    if (!has_nvrtc()) {
        print_message("skipped: libnvrtc cannot be loaded\n");
        return;
    }
    char *ptx = print(&programs[CUDA_MULTIPLY_ADD].kernel, "multiply_add", false, STAGE_ASSEMBLY);
    assert_has(ptx, ".target sm_90");
    assert_has(ptx, ".visible .entry multiply_add(");
    assert_lacks(ptx, "fma.");
    assert_lacks(ptx, ".ftz");
    mem_free(ptx);
    ptx = print(&programs[CUDA_POINTWISE].kernel, "pointwise", false, STAGE_ASSEMBLY);
    assert_has(ptx, "fma.rn.f32"); /* the one that the kernel asks for */
    mem_free(ptx);
}

static void the_target_says_for_which_architecture(void **state) {
    (void)state;
    if (!has_nvrtc()) {
        print_message("skipped: libnvrtc cannot be loaded\n");
        return;
    }
    const Target target = {.kind = TARGET_CUDA, .cuda = {.sm = 80}};
    Schedule schedule = {0};
    StrBuf ptx = {0};
    sn_error error = {0};
    assert_int_equal(backend->print(&programs[CUDA_POINTWISE].kernel, &target, &schedule,
                                    "pointwise", STAGE_ASSEMBLY, &ptx, &error),
                     SN_OK);
    assert_has(strbuf_text(&ptx), ".target sm_80");
    strbuf_free(&ptx);
}

static void without_nvrtc_compiling_is_unsupported(void **state) {
    (void)state;
    if (has_nvrtc()) {
        assert_int_equal(strncmp(backend->version(), "nvrtc-", 6), 0);
        print_message("skipped: libnvrtc is here\n");
        return;
    }
    Schedule schedule = {0};
    CodeBlob blob = {0};
    sn_error error = {0};
    assert_int_equal(
        backend->compile(&programs[0].kernel, target_cuda(), &schedule, "kernel", &blob, &error),
        SN_ERROR_UNSUPPORTED);
    assert_has(error.text, "libnvrtc");
    assert_null(blob.bytes);
}

/* ---- execution ------------------------------------------------------------------------------- */

static void primitives_compute_the_evaluators_bits(void **state) {
    (void)state;
    if (!need_emulator()) return;
    for (int i = CUDA_KERNELS; i < n_programs; i++) {
        const Kernel *k = &programs[i].kernel;
        bool is_float = dtype_is_float((sn_dtype)k->args.data[0].dtype);
        int64_t n = is_float ? SPECIAL_FLOATS * SPECIAL_FLOATS : SPECIAL_INTS * SPECIAL_INTS;
        n += 500;
        check(i, &(Launch){.counts = {n}, .params = {n}, .blocks = 7, .block_size = n / 7 + 1});
    }
}

static void maps_run_over_grids_and_blocks(void **state) {
    (void)state;
    if (!need_emulator()) return;
    static const int64_t widths[] = {1, 31, 33, 257, 700};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int64_t n = widths[i];
        for (int program = CUDA_POINTWISE; program <= CUDA_MULTIPLY_ADD; program++) {
            Launch l = {.counts = {12 * n + 5, 12 * n},
                        .sizes = {2, 3},
                        .params = {n, 2},
                        .strides = {{n, 2 * n}, {3 * n, n}},
                        .blocks = 3,
                        .block_size = n / 3 + 1,
                        .skipped = i % 2 ? 1 : 0};
            check(program, &l);
        }
    }
    check(CUDA_PARAMS, &(Launch){.counts = {9},
                                 .sizes = {3, 3},
                                 .strides = {{3, 1}, {3, 1}, {3, 1}, {3, 1}, {3, 1}, {3, 1}},
                                 .params = {0x1ff, -3, 0x4048f5c3, 0x400921fb54442d18, 256, -1}});
    check(CUDA_JOIN, &(Launch){.counts = {40}, .params = {7, 12, 7}});
    check(CUDA_PREDICATES, &(Launch){.counts = {50}, .params = {50, 17}});
}

static void rows_reduce_in_their_order(void **state) {
    (void)state;
    if (!need_emulator()) return;
    static const int64_t lengths[] = {1, 2, 31, 32, 33, 1000, 1024, 1025, 2049, 9000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i];
        Launch l = {.counts = {3 * n},
                    .sizes = {3},
                    .strides = {{n}, {n}, {1}, {1}, {1}},
                    .params = {n},
                    .fill = FILL_NUMBERS};
        check(CUDA_SOFTMAX, &l);
        check(CUDA_ROW_F64, &l);
        l.fill = FILL_FEW;
        check(CUDA_ROW_ARG, &l);
        check(CUDA_ROW_INTS, &l);
        check(CUDA_LOCAL, &l);
    }
}

static void rows_of_blocks_count_anew(void **state) {
    (void)state;
    if (!need_emulator()) return;
    Launch l = {.counts = {5000, 4},
                .params = {5000, 1300},
                .blocks = 4,
                .block_size = 1300,
                .strides = {{0}},
                .fill = FILL_NUMBERS};
    check(CUDA_ROW_SPLIT, &l);
    l.blocks = 6; /* the last ones are empty */
    check(CUDA_ROW_SPLIT, &l);
}

static void columns_reduce_in_their_order(void **state) {
    (void)state;
    if (!need_emulator()) return;
    static const int64_t heights[] = {1, 31, 32, 33, 64, 100, 1000, 1056, 2100};
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
        int64_t width = 5, height = heights[i];
        Launch l = {.counts = {width * height, width, width, width, width},
                    .blocks = 2,
                    .params = {width, height, width},
                    .block_size = 3,
                    .fill = FILL_NUMBERS};
        check(CUDA_COLUMNS, &l);
        check(CUDA_COLUMNS_F64, &l);
        l.fill = FILL_FEW;
        check(CUDA_COLUMNS, &l);
    }
}

static void chains_run_in_their_order(void **state) {
    (void)state;
    if (!need_emulator()) return;
    static const int64_t heights[] = {0, 1, 2, 511, 512, 513, 1024, 1300};
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
        int64_t width = 5, height = heights[i];
        Launch l = {.counts = {width * (height + 1), height + 1, width, width},
                    .blocks = 2,
                    .params = {width, height, width},
                    .block_size = 3,
                    .fill = FILL_NUMBERS};
        check(CUDA_CHAINS, &l);
        l.fill = FILL_FEW;
        check(CUDA_CHAINS, &l);
    }
}

static void empty_loops_give_identities(void **state) {
    (void)state;
    if (!need_emulator()) return;
    Launch l = {.counts = {8}, .sizes = {3}, .strides = {{0}, {0}, {1}, {1}, {1}}};
    for (int i = CUDA_SOFTMAX; i <= CUDA_LOCAL; i++) check(i, &l);
    check(CUDA_SCAN, &l);
    check(CUDA_COLUMNS,
          &(Launch){.counts = {8}, .params = {5, 0, 5}, .blocks = 2, .block_size = 3});
}

static void scans_and_ordered_adds_run_in_order(void **state) {
    (void)state;
    if (!need_emulator()) return;
    static const int64_t lengths[] = {1, 33, 1023, 1024, 1025, 3100};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i];
        Launch l = {.counts = {3 * n},
                    .sizes = {3},
                    .params = {n},
                    .fill = FILL_NUMBERS,
                    .strides = {{n}, {n}, {n}, {n}, {1}}};
        check(CUDA_SCAN, &l);
        check(CUDA_SCAN_LOCAL, &l);
    }
    Launch l = {.counts = {200, 200, 200, 10, 10, 10},
                .params = {200},
                .fill = FILL_NUMBERS,
                .index_arg = 2};
    check(CUDA_ORDERED_ADD, &l);
    check(CUDA_ORDERED_ADD_ITEM, &(Launch){.counts = {1}, .fill = FILL_NUMBERS});
}

static void nans_are_the_canonical_one(void **state) {
    (void)state;
    if (!need_emulator()) return;
    check(CUDA_CANONICAL, &(Launch){.counts = {500}, .params = {500}, .fill = FILL_NANS});
    check(CUDA_ORDERED_ADD, &(Launch){.counts = {500, 9, 500, 9, 9, 9},
                                      .params = {500},
                                      .fill = FILL_NANS,
                                      .index_arg = 2});
    check(CUDA_ORDERED_ADD_ITEM, &(Launch){.counts = {2}, .fill = FILL_NANS});
}

static void loops_around_vector_loops_keep_in_step(void **state) {
    (void)state;
    if (!need_emulator()) return;
    Launch l = {.counts = {7 * 300, 7, 7, 1, 1}, .params = {7, 300, 300}, .fill = FILL_NUMBERS};
    check(CUDA_NESTED, &l);
    check(CUDA_VECTOR_COLUMN,
          &(Launch){.counts = {300, 300, 1}, .params = {300}, .fill = FILL_NUMBERS});
}

static void bad_indices_are_recorded(void **state) {
    (void)state;
    if (!need_emulator()) return;
    check(CUDA_GATHER, &(Launch){.counts = {40, 90, 90},
                                 .sizes = {3},
                                 .params = {30, 8, 4, 77},
                                 .strides = {{1}, {30}, {30}},
                                 .index_arg = 1,
                                 .blocks = 2,
                                 .block_size = 16});
    check(CUDA_GATHER_ROW, &(Launch){.counts = {40, 90, 90},
                                     .params = {30, 8, 4, 77},
                                     .sizes = {3},
                                     .strides = {{1}, {30}, {1}},
                                     .index_arg = 1,
                                     .fill = FILL_NUMBERS});
}

/* The emulator's own promise. */
static void threads_that_do_not_meet_are_found(void **state) {
    (void)state;
    if (!need_emulator()) return;
    EmulatorLaunch launch = {.blocks = 1, .threads = 64};
    void *found = symbol("stuck");
    memcpy(&launch.kernel, &found, sizeof found);
    assert_int_not_equal(emulate(&launch), 0);
}

/* ---- the group ------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    sn_error error = {0};
    backend = backend_load("cuda", &error);
    if (!backend) {
        print_error("%s\n", error.text);
        return -1;
    }
    assert_string_equal(backend->name, "cuda");
    add_programs();
    open_emulator();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_emulator();
    for (int i = 0; i < n_programs; i++) {
        kernel_free(&programs[i].kernel);
        mem_free(programs[i].source);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_of_a_map_are_threads),
        cmocka_unit_test(rows_are_blocks),
        cmocka_unit_test(columns_are_threads),
        cmocka_unit_test(sequential_kernels_are_threads),
        cmocka_unit_test(checks_and_streamed_stores),
        cmocka_unit_test(printing_is_deterministic),
        cmocka_unit_test(every_kernel_becomes_a_cubin),
        cmocka_unit_test(assembly_is_ptx_without_contraction),
        cmocka_unit_test(the_target_says_for_which_architecture),
        cmocka_unit_test(without_nvrtc_compiling_is_unsupported),
        cmocka_unit_test(primitives_compute_the_evaluators_bits),
        cmocka_unit_test(maps_run_over_grids_and_blocks),
        cmocka_unit_test(rows_reduce_in_their_order),
        cmocka_unit_test(rows_of_blocks_count_anew),
        cmocka_unit_test(columns_reduce_in_their_order),
        cmocka_unit_test(chains_run_in_their_order),
        cmocka_unit_test(empty_loops_give_identities),
        cmocka_unit_test(scans_and_ordered_adds_run_in_order),
        cmocka_unit_test(nans_are_the_canonical_one),
        cmocka_unit_test(loops_around_vector_loops_keep_in_step),
        cmocka_unit_test(bad_indices_are_recorded),
        cmocka_unit_test(threads_that_do_not_meet_are_found),
    };
    return cmocka_run_group_tests_name("codegen_cuda", tests, set_up, tear_down);
}
