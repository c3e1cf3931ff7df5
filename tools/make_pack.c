/* make_pack pack|contents FILE: writes the pack of eager kernels, when the library is built. It calls
 * every op of the op table on small tensors of the common dtypes and layouts, so that their kernels are
 * met, and has the kernel cache compile all of them for each instruction set.
 *
 * `contents` writes, in a second, the same pack with code that does nothing. All that decides the pack
 * is in it: which kernels, their texts and schedules, the instruction sets, the compiler's identity. The
 * pack has to be made again where they changed, and nowhere else. */
#include "base/mem.h"
#include "base/settings.h"
#include "base/status.h"
#include "frontend/op/dispatch.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/kernel_cache.h"

#include <sinter/sinter.h>

#include <stdio.h>
#include <string.h>

static const Site nowhere = {0};

/* The dtypes whose kernels ship; the others are compiled when they are first used. */
static const sn_dtype common[] = {SN_F32, SN_F64, SN_BF16, SN_I64, SN_BOOL};
enum { N_COMMON = sizeof common / sizeof common[0] };

/* Shapes of operands: by layout, not by size, since kernels take sizes as arguments. */
typedef enum Layout {
    LAYOUT_DENSE,   /* [6, 10] */
    LAYOUT_STRIDED, /* [6, 10] with the axes exchanged in memory */
    LAYOUT_ROW,     /* [10] against [6, 10] */
    LAYOUT_COLUMN,  /* [6, 1] against [6, 10] */
    LAYOUT_SCALAR,  /* [] */
    LAYOUT_COUNT
} Layout;

static sn_tensor *make(sn_dtype dtype, Layout layout) {
    switch (layout) {
    case LAYOUT_DENSE:
        return sn_ones(SN_I(6, 10), dtype);
    case LAYOUT_STRIDED:
        return sn_transpose(sn_ones(SN_I(10, 6), dtype), 0, 1);
    case LAYOUT_ROW:
        return sn_ones(SN_I(10), dtype);
    case LAYOUT_COLUMN:
        return sn_ones(SN_I(6, 1), dtype);
    default:
        return sn_ones(SN_I0, dtype);
    }
}

/* An op that refuses the dtype is not in the pack; that is no error. */
static void forget_error(void) {
    if (sn_error_status() != SN_OK) sn_error_take(NULL);
}

static void apply(OpCode op, sn_tensor *const *inputs, int32_t n, const AttrList *attrs,
                  bool in_place) {
    sn_scope scope = sn_scope_begin();
    if (in_place)
        dispatch_inplace(op, inputs, n, attrs, NULL, nowhere);
    else
        dispatch_op(op, inputs, n, attrs, NULL, nowhere);
    sn_scope_end(scope, NULL);
    forget_error();
}

/* ---- the code generator ---------------------------------------------------------------------- */

/* While the kernels are met their results do not matter: they get code that returns at once. The
 * kernel cache compiles them afterwards, on all cores. */
static const Backend *real;
static bool compiling;
enum { STUB_BYTES = 64, RETURN_CODE = 0xc3 };

static const char *real_version(void) {
    return real->version();
}

static sn_status compile(const Kernel *kernel, const Target *target, const Schedule *schedule,
                         const char *name, CodeBlob *blob, sn_error *error) {
    if (compiling) return real->compile(kernel, target, schedule, name, blob, error);
    blob->bytes = mem_alloc(STUB_BYTES);
    if (!blob->bytes) return error_memory(error);
    for (int32_t i = 0; i < STUB_BYTES; i++) blob->bytes[i] = RETURN_CODE;
    blob->size = STUB_BYTES;
    blob->entry = 0;
    return SN_OK;
}

static void release(CodeBlob *blob) {
    if (compiling) {
        real->release(blob);
        return;
    }
    mem_free(blob->bytes);
    *blob = (CodeBlob){0};
}

static const Backend stand_in = {.abi = BACKEND_ABI,
                                 .name = "cpu",
                                 .version = real_version,
                                 .compile = compile,
                                 .release = release};

/* ---- pointwise ------------------------------------------------------------------------------- */

/* Attributes of the pointwise ops that have some; any value serves. */
static void attributes(OpCode op, AttrList *attrs) {
    int32_t n;
    const OpParam *params = op_params(op, &n);
    attrs->count = 0;
    for (int32_t i = 0; i < n; i++) {
        if (params[i].kind == 'd') attr_add_double(attrs, 1);
        if (params[i].kind == 'e' || params[i].kind == 'b' || params[i].kind == 'l')
            attr_add_int(attrs, 0);
    }
}

static void unary(OpCode op, sn_dtype dtype) {
    AttrList attrs;
    attributes(op, &attrs);
    if (op == OP_GELU)
        for (int64_t form = 0; form < 2; form++) {
            sn_tensor *x = make(dtype, LAYOUT_DENSE);
            apply(op, &x, 1, &(AttrList){1, {form}}, false);
        }
    static const Layout layouts[] = {LAYOUT_DENSE, LAYOUT_STRIDED};
    for (size_t i = 0; i < 2; i++) {
        sn_tensor *x = make(dtype, layouts[i]);
        apply(op, &x, 1, &attrs, false);
        if (op_has(op, F_INPLACE)) apply(op, &x, 1, &attrs, true);
    }
}

static void binary(OpCode op, sn_dtype dtype) {
    static const Layout pairs[][2] = {
        {LAYOUT_DENSE, LAYOUT_DENSE},   {LAYOUT_DENSE, LAYOUT_SCALAR},
        {LAYOUT_SCALAR, LAYOUT_DENSE},  {LAYOUT_DENSE, LAYOUT_ROW},
        {LAYOUT_ROW, LAYOUT_DENSE},     {LAYOUT_DENSE, LAYOUT_COLUMN},
        {LAYOUT_COLUMN, LAYOUT_DENSE},  {LAYOUT_DENSE, LAYOUT_STRIDED},
        {LAYOUT_STRIDED, LAYOUT_DENSE}, {LAYOUT_STRIDED, LAYOUT_SCALAR},
        {LAYOUT_COLUMN, LAYOUT_ROW},
    };
    AttrList attrs;
    attributes(op, &attrs);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        sn_tensor *inputs[2] = {make(dtype, pairs[i][0]), make(dtype, pairs[i][1])};
        apply(op, inputs, 2, &attrs, false);
        bool dense = pairs[i][0] == LAYOUT_DENSE || pairs[i][0] == LAYOUT_STRIDED;
        if (dense && op_has(op, F_INPLACE)) apply(op, inputs, 2, &attrs, true);
    }
}

static void ternary(OpCode op, sn_dtype dtype) {
    static const Layout triples[][3] = {
        {LAYOUT_DENSE, LAYOUT_DENSE, LAYOUT_DENSE},
        {LAYOUT_DENSE, LAYOUT_DENSE, LAYOUT_SCALAR},
        {LAYOUT_DENSE, LAYOUT_SCALAR, LAYOUT_DENSE},
        {LAYOUT_DENSE, LAYOUT_SCALAR, LAYOUT_SCALAR},
    };
    AttrList attrs;
    attributes(op, &attrs);
    for (size_t i = 0; i < sizeof triples / sizeof triples[0]; i++) {
        sn_tensor *inputs[3];
        for (int32_t j = 0; j < 3; j++)
            inputs[j] = make(op == OP_WHERE && j == 0 ? SN_BOOL : dtype, triples[i][j]);
        apply(op, inputs, 3, &attrs, false);
    }
}

static void pointwise(OpCode op, sn_dtype dtype) {
    int32_t tensors = op_operands(op)->count;
    if (op == OP_CAST) return;
    if (tensors == 1) unary(op, dtype);
    if (tensors == 2) binary(op, dtype);
    if (tensors == 3) ternary(op, dtype);
}

static void casts(void) {
    for (int from = 0; from < SN_DTYPE_COUNT; from++)
        for (int to = 0; to < SN_DTYPE_COUNT; to++) {
            sn_scope scope = sn_scope_begin();
            sn_cast(make((sn_dtype)from, LAYOUT_DENSE), (sn_dtype)to);
            sn_scope_end(scope, NULL);
            forget_error();
        }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void reductions(OpCode op, sn_dtype dtype) {
    static const int64_t masks[][4] = {{1, 1}, {1, 0}, {0}, {2, 0, 1}}; /* count, axes */
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        AttrList attrs = {.count = 0};
        attr_add_list(&attrs, masks[i] + 1, (int32_t)masks[i][0]);
        attr_add_int(&attrs, 0);
        if (op == OP_SUM || op == OP_PROD) attr_add_int(&attrs, 0);
        if (op == OP_VAR) attr_add_double(&attrs, 1);
        for (int32_t layout = LAYOUT_DENSE; layout <= LAYOUT_STRIDED; layout++) {
            sn_tensor *x = make(dtype, (Layout)layout);
            apply(op, &x, 1, &attrs, false);
        }
    }
    sn_tensor *one = sn_ones(SN_I(6, 1), dtype); /* rows of one element */
    AttrList last = {.count = 0};
    attr_add_list(&last, (int64_t[]){1}, 1);
    attr_add_int(&last, 0);
    if (op == OP_SUM || op == OP_PROD) attr_add_int(&last, 0);
    if (op == OP_VAR) attr_add_double(&last, 1);
    apply(op, &one, 1, &last, false);
}

#define TRY(call) ((void)(call), forget_error())

/* Of zeros, of one or four; turned: it lies column by column. */
static sn_tensor *matrix(sn_dtype dtype, int64_t rows, int64_t columns, bool turned, bool batch) {
    int64_t dims[3] = {4, turned ? columns : rows, turned ? rows : columns};
    sn_tensor *x = sn_zeros(batch ? dims : dims + 1, batch ? 3 : 2, dtype);
    return turned ? sn_transpose(x, -1, -2) : x;
}

/* Products in all layouts, one by one and in batches. */
static void products_of(sn_dtype dtype, int64_t m, int64_t n, int64_t k) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *row = sn_zeros(SN_I(k), dtype), *bias = sn_zeros(SN_I(n), dtype);
    for (int layout = 0; layout < 8; layout++) {
        sn_tensor *x = matrix(dtype, m, k, layout & 1, layout & 4);
        sn_tensor *y = matrix(dtype, k, n, layout & 2, layout & 4);
        TRY(sn_matmul(x, y));
        TRY(sn_matmul(x, row));
        TRY(sn_matmul(row, y));
        if (layout & 4) continue;
        TRY(sn_linear(x, sn_transpose(y, 0, 1), SN_NONE));
        TRY(sn_linear(x, sn_transpose(y, 0, 1), bias));
    }
    TRY(sn_matmul(row, row));
    sn_scope_end(scope, NULL);
}

/* Of sizes 0 and 1 kernels know. */
static void products(sn_dtype dtype) {
    for (int64_t m = 1; m <= 6; m += 5)
        for (int64_t n = 1; n <= 7; n += 6)
            for (int64_t k = 0; k <= 10; k += k ? 9 : 1) products_of(dtype, m, n, k);
}

static void composites(sn_dtype dtype) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = make(dtype, LAYOUT_DENSE), *row = make(dtype, LAYOUT_ROW);
    sn_tensor *index = sn_zeros(SN_I(6), SN_I64), *full = sn_zeros(SN_I(6, 10), SN_I64);
    TRY(sn_softmax(x, 1));
    TRY(sn_softmax(x, 0));
    TRY(sn_log_softmax(x, 1));
    TRY(sn_layer_norm(x, row, row, 1e-5));
    TRY(sn_layer_norm(x, SN_NONE, SN_NONE, 1e-5));
    TRY(sn_rms_norm(x, row, 1e-5));
    TRY(sn_rms_norm(x, SN_NONE, 1e-5));
    TRY(sn_cross_entropy(x, index, SN_REDUCTION_MEAN));
    TRY(sn_cumsum(x, 0));
    TRY(sn_cumsum(x, 1));
    TRY(sn_gather(x, 0, full));
    TRY(sn_gather(x, 1, full));
    TRY(sn_index_select(x, 0, index));
    TRY(sn_index_select(x, 1, index));
    TRY(sn_scatter_add(x, 0, full, x));
    TRY(sn_index_copy(x, 0, index, x));
    TRY(sn_cat((sn_tensor *[]){x, x}, 2, 0));
    TRY(sn_cat((sn_tensor *[]){x, x}, 2, 1));
    TRY(sn_pad(x, SN_I(1, 1), 0));
    TRY(sn_pad(x, SN_I(0, 0, 1, 1), 0));
    TRY(sn_tril(x, 0));
    TRY(sn_triu(x, 0));
    TRY(sn_arange(0, 10, 1, dtype));
    TRY(sn_one_hot(index, 4));
    TRY(sn_matmul(x, sn_transpose(x, 0, 1)));
    TRY(sn_copy_(sn_index(x, SN_IX(SN_AT(0))), row));
    TRY(sn_copy_(x, row));
    TRY(sn_copy_(x, sn_c(0)));
    sn_rng rng = {1, 0};
    TRY(sn_rand(&rng, SN_I(10), dtype));
    TRY(sn_rand(&rng, SN_I(6, 10), dtype));
    TRY(sn_rand(&rng, SN_I(4, 6, 10), dtype));
    TRY(sn_randn(&rng, SN_I(10), dtype));
    TRY(sn_randn(&rng, SN_I(6, 10), dtype));
    TRY(sn_randn(&rng, SN_I(4, 6, 10), dtype));
    TRY(sn_dropout(x, 0.5, &rng));
    sn_scope_end(scope, NULL);
}

static void meet_all(sn_dtype dtype) {
    for (OpCode op = 0; op < OP_COUNT; op++) {
        sn_scope scope = sn_scope_begin();
        if (op_has(op, F_PUBLIC) && op_is(op, CLASS_POINTWISE)) pointwise(op, dtype);
        if (op_has(op, F_PUBLIC) && op_is(op, CLASS_REDUCE)) reductions(op, dtype);
        sn_scope_end(scope, NULL);
    }
    composites(dtype);
    products(dtype);
}

static int complain(const sn_error *error) {
    fprintf(stderr, "make_pack: %s\n", error->text);
    return 1;
}

static int write_pack(const char *path) {
    static const TargetIsa isas[] = {ISA_AVX2, ISA_AVX512};
    StrBuf pack = {0};
    sn_error error = {0};
    if (kernel_cache_export(isas, 2, &pack, &error) != SN_OK) return complain(&error);
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(pack.text, 1, pack.length, file) == pack.length;
    ok = file && fclose(file) == 0 && ok;
    if (!ok) fprintf(stderr, "make_pack: %s cannot be written\n", path);
    strbuf_free(&pack);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    bool contents = argc == 3 && strcmp(argv[1], "contents") == 0;
    if (!contents && !(argc == 3 && strcmp(argv[1], "pack") == 0)) {
        fprintf(stderr, "usage: make_pack pack|contents FILE\n");
        return 2;
    }
    sn_error error = {0};
    real = backend_load("cpu", &error);
    if (!real || !backend_register(&stand_in)) return complain(&error);
    int32_t threads = sn_threads();
    sn_set_threads(1); /* so that kernels do not depend on the machine that builds */
    sn_scope scope = sn_scope_begin();
    for (int32_t i = 0; i < N_COMMON; i++) meet_all(common[i]);
    casts();
    sn_scope_end(scope, NULL);
    sn_set_threads(threads);
    compiling = !contents;
    return write_pack(argv[2]);
}
