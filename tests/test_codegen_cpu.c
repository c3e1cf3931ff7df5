/* The CPU code generator against the interpreter: pointwise ops of every dtype, casts, memory access
 * patterns, loops and grids. Reductions are in test_codegen_reduce.c. */
#include "tests/codegen_case.h"

#include "ir/kernel/form.h"

#include <pthread.h>

static const int64_t sizes[] = {0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 130, 1000};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* ---- primitives ------------------------------------------------------------------------------ */

static void check_primitive(OpCode op, sn_dtype dtype) {
    const KOpRow *row = kop_row(op);
    sn_dtype result = row->result == KRESULT_BOOL ? SN_BOOL : dtype;
    const char *in = sn_dtype_name(dtype), *out = sn_dtype_name(result);
    static const char *const operands[] = {"", " %0", " %0, %1", " %0, %1, %2"};
    const char *first = op == OP_WHERE ? "bool" : in;
    char text[1024];
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 %s in\n arg a1 %s in\n arg a2 %s in\n arg a3 %s out\n"
             " axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n"
             " access c3 a3 i*1\n loop i vector\n %%0 = load c0 : %s\n %%1 = load c1 : %s\n"
             " %%2 = load c2 : %s\n %%3 = %s%s : %s\n store c3 %%3\n end\n}\n",
             first, in, in, out, first, in, in, op_info[op].name, operands[row->n_inputs], out);
    Case c = case_open(text);
    int64_t size = 777;
    case_param(&c, 0, size);
    for (uint32_t a = 0; a < 4; a++) case_arg(&c, a, size, FILL_MIXED);
    case_run(&c);
    for (uint32_t a = 0; a < 3; a++) c.fill[a] = FILL_EQUAL;
    case_run(&c);
    for (uint32_t a = 0; a < 3; a++) {
        c.fill[a] = FILL_INDEX;
        c.bound[a] = a == 1 ? 100 : INT64_C(1) << 45;
    }
    case_run(&c);
    case_close(&c);
}

static void test_every_primitive_of_every_dtype(void **state) {
    (void)state;
    for (OpCode op = 0; op < OP_COUNT; op++) {
        const KOpRow *row = kop_row(op);
        if (row->form != KFORM_PRIM || op == OP_CAST || op == OP_BITCAST) continue;
        if (op == OP_SCALE) continue; /* not for any operands: see below */
        for (sn_dtype d = 0; d < SN_DTYPE_COUNT; d++)
            if (row->inputs >> d & 1) check_primitive(op, d);
    }
}

static void check_conversion(const char *op, sn_dtype from, sn_dtype to) {
    char text[512];
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 %s in\n arg a1 %s out\n axis i p0\n access c0 a0 i*1\n"
             " access c1 a1 i*1\n loop i vector\n %%0 = load c0 : %s\n %%1 = %s %%0 : %s\n"
             " store c1 %%1\n end\n}\n",
             sn_dtype_name(from), sn_dtype_name(to), sn_dtype_name(from), op, sn_dtype_name(to));
    Case c = case_open(text);
    case_param(&c, 0, 3000);
    case_arg(&c, 0, 3000, FILL_MIXED);
    case_arg(&c, 1, 3000, FILL_MIXED);
    case_run(&c);
    case_close(&c);
}

/* x of any mantissa in [1, 2), y any whole number within twice the exponent bias. */
static void check_scale(const char *integer, const char *number, const char *mantissa,
                        const char *one, const char *limit) {
    char text[1024];
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 %s in\n arg a1 %s in\n arg a2 %s out\n axis i p0\n"
             " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n"
             " %%0 = const %s %s\n %%1 = const %s %s\n %%2 = const %s %s\n loop i vector\n"
             " %%3 = load c0 : %s\n %%4 = load c1 : %s\n %%5 = bitwise_and %%3, %%0 : %s\n"
             " %%6 = bitwise_or %%5, %%1 : %s\n %%7 = bitcast %%6 : %s\n"
             " %%8 = fmod %%4, %%2 : %s\n %%9 = cast %%8 : %s\n"
             " %%10 = scale %%7, %%9 : %s\n store c2 %%10\n end\n}\n",
             integer, integer, number, integer, mantissa, integer, one, integer, limit, integer,
             integer, integer, integer, number, integer, number, number);
    Case c = case_open(text);
    int64_t size = 7777;
    case_param(&c, 0, size);
    for (uint32_t a = 0; a < 3; a++) case_arg(&c, a, size, FILL_MIXED);
    case_run(&c);
    c.fill[1] = FILL_INDEX; /* every exponent */
    c.bound[1] = INT64_C(1) << 20;
    case_run(&c);
    case_close(&c);
}

static void test_scaling_by_powers_of_two(void **state) {
    (void)state;
    if (!case_backend) skip();
    check_scale("i32", "f32", "8388607", "1065353216", "255");
    check_scale("i64", "f64", "4503599627370495", "4607182418800017408", "2047");
}

static void test_every_cast(void **state) {
    (void)state;
    for (sn_dtype from = 0; from < SN_DTYPE_COUNT; from++)
        for (sn_dtype to = 0; to < SN_DTYPE_COUNT; to++) check_conversion("cast", from, to);
}

static void test_every_bitcast(void **state) {
    (void)state;
    for (sn_dtype from = SN_U8; from < SN_DTYPE_COUNT; from++)
        for (sn_dtype to = SN_U8; to < SN_DTYPE_COUNT; to++)
            if (sn_dtype_size(from) == sn_dtype_size(to)) check_conversion("bitcast", from, to);
}

/* Values at and beside the middle between two neighbours of bf16, where rounding twice shows. */
static void fill_middles(int64_t *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t top = INT64_C(1) << (9 + i % 53);
        int64_t half = top >> 8, beside = i / 53 % 3 - 1, odd = i / 159 % 2 ? 3 : 1;
        values[i] = (top + odd * half + beside) * (i / 318 % 2 ? -1 : 1);
    }
}

static void check_middles(const char *wide, const char *narrow) {
    enum { COUNT = 636 };
    char text[512];
    int64_t values[COUNT];
    uint16_t got[COUNT], want[COUNT];
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 i64 in\n arg a1 %s out\n axis i p0\n"
             " access c0 a0 i*1\n access c1 a1 i*1\n loop i vector\n %%0 = load c0 : i64\n"
             " %%1 = cast %%0 : %s\n %%2 = cast %%1 : %s\n store c1 %%2\n end\n}\n",
             narrow, wide, narrow);
    Case c = case_open(text);
    uint64_t word = UINT64_MAX;
    void *expect[] = {values, want}, *args[] = {values, got};
    fill_middles(values, COUNT);
    case_param(&c, 0, COUNT);
    assert_int_equal(kernel_interpret(&c.kernel, expect, c.words, 0, 1, &word, NULL), SN_OK);
    for (TargetIsa isa = ISA_AVX2; isa <= target_host()->cpu.isa; isa++) {
        memset(got, 0, sizeof got);
        case_execute(&c, isa, args, &word);
        assert_memory_equal(got, want, sizeof got);
    }
    case_close(&c);
}

static void test_wide_values_round_once_to_half_types(void **state) {
    (void)state;
    if (!case_backend) skip();
    static const char *const wide[] = {"i32", "i64", "f64"};
    for (int w = 0; w < 3; w++) {
        check_middles(wide[w], "f16");
        check_middles(wide[w], "bf16");
    }
}

/* ---- constants, parameters ------------------------------------------------------------------- */

static void test_extremes_with_constants(void **state) {
    (void)state;
    static const char *const constants[] = {"0.0", "-0.0", "1.5", "-2.0", "inf", "-inf", "nan"};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        for (int swap = 0; swap < 2; swap++) {
            char text[1024];
            const char *pair = swap ? "%1, %0" : "%0, %1";
            snprintf(text, sizeof text,
                     "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 out\n"
                     " axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n"
                     " loop i vector\n %%0 = load c0 : f32\n %%1 = const f32 %s\n"
                     " %%2 = maximum %s : f32\n %%3 = minimum %s : f32\n store c1 %%2\n"
                     " store c2 %%3\n end\n}\n",
                     constants[i], pair, pair);
            Case c = case_open(text);
            case_param(&c, 0, 500);
            for (uint32_t a = 0; a < 3; a++) case_arg(&c, a, 500, FILL_MIXED);
            case_run(&c);
            case_close(&c);
        }
    }
}

static void test_parameters_of_every_dtype(void **state) {
    (void)state;
    for (sn_dtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
        if (dtype_is_half(d)) continue;
        char text[512];
        const char *name = sn_dtype_name(d);
        snprintf(text, sizeof text,
                 "kernel {\n params 2\n arg a0 %s in\n arg a1 %s out\n axis i p0\n"
                 " access c0 a0 i*1\n access c1 a1 i*1\n %%0 = param p1 : %s\n loop i vector\n"
                 " %%1 = load c0 : %s\n %%2 = add %%1, %%0 : %s\n store c1 %%2\n end\n}\n",
                 name, name, name, name, name);
        Case c = case_open(text);
        case_param(&c, 0, 100);
        case_param(&c, 1, (int64_t)(dtype_bits_from_double(d, 3) | (d == SN_U8 ? 0xff00 : 0)));
        case_arg(&c, 0, 100, FILL_MIXED);
        case_arg(&c, 1, 100, FILL_MIXED);
        case_run(&c);
        case_close(&c);
    }
}

/* ---- sizes, masks, streams ------------------------------------------------------------------- */

static const char mixed_types[] =
    "kernel {\n params 1\n arg a0 f32 in\n arg a1 bf16 in\n arg a2 u8 in\n arg a3 i64 in\n"
    " arg a4 f64 out\n arg a5 f16 out\n arg a6 bool out\n arg a7 i16 inout\n axis i p0\n"
    " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n access c3 a3 i*1\n"
    " access c4 a4 i*1\n access c5 a5 i*1\n access c6 a6 i*1\n access c7 a7 i*1\n"
    " loop i vector\n %0 = load c0 : f32\n %1 = load c1 : bf16\n %2 = cast %1 : f32\n"
    " %3 = load c2 : u8\n %4 = cast %3 : f32\n %5 = load c3 : i64\n %6 = cast %5 : f64\n"
    " %7 = mul %0, %2 : f32\n %8 = add %7, %4 : f32\n %9 = cast %8 : f64\n"
    " %10 = add %9, %6 : f64\n store c4 %10\n %11 = cast %8 : f16\n store c5 %11\n"
    " %12 = lt %7, %4 : bool\n store c6 %12\n %13 = load c7 : i16\n %14 = cast %3 : i16\n"
    " %15 = mul %13, %14 : i16\n store c7 %15\n end\n}\n";

static void test_all_sizes_of_mixed_types(void **state) {
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        for (int64_t misalign = 0; misalign < 4; misalign += 3) {
            Case c = case_open(mixed_types);
            c.misalign = misalign;
            case_param(&c, 0, sizes[i]);
            for (uint32_t a = 0; a < 8; a++) case_arg(&c, a, sizes[i], FILL_MIXED);
            case_run(&c);
            c.stream = true;
            case_run(&c);
            case_close(&c);
        }
    }
}

static void test_narrow_types_alone(void **state) {
    (void)state;
    for (sn_dtype d = SN_BOOL; d <= SN_BF16; d++) {
        if (dtype_is_half(d)) continue;
        for (int i = 0; i < SIZES; i++) {
            char text[512];
            const char *name = sn_dtype_name(d);
            snprintf(
                text, sizeof text,
                "kernel {\n params 1\n arg a0 %s in\n arg a1 %s in\n arg a2 %s out\n axis i p0\n"
                " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n loop i vector\n"
                " %%0 = load c0 : %s\n %%1 = load c1 : %s\n %%2 = mul %%0, %%1 : %s\n"
                " store c2 %%2\n end\n}\n",
                name, name, name, name, name, name);
            Case c = case_open(text);
            case_param(&c, 0, sizes[i]);
            for (uint32_t a = 0; a < 3; a++) case_arg(&c, a, sizes[i], FILL_MIXED);
            case_run(&c);
            case_close(&c);
        }
    }
}

static void test_split_axis_and_blocks(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0 split\n"
        " access c0 a0 i*1\n access c1 a1 i*1\n loop i vector\n %0 = load c0 : f32\n"
        " %1 = index i : i64\n %2 = cast %1 : f32\n %3 = mul %0, %2 : f32\n store c1 %3\n end\n}\n";
    for (int64_t size = 0; size < 300; size = size * 2 + 13) {
        for (int64_t block = 1; block < 200; block = block * 3 + 5) {
            Case c = case_open(text);
            case_param(&c, 0, size);
            case_dim(&c, 3);
            case_split(&c, size, block);
            for (uint32_t a = 0; a < 2; a++) {
                case_arg(&c, a, size * 3, FILL_MIXED);
                case_stride(&c, a, 0, size);
            }
            case_run(&c);
            case_close(&c);
        }
    }
}

static void test_grid_of_every_rank(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 1\n arg a0 i32 in\n arg a1 i32 out\n axis i p0\n"
        " access c0 a0 i*1\n access c1 a1 i*1\n %0 = grid_index 0 : i64\n %1 = cast %0 : i32\n"
        " loop i vector\n %2 = load c0 : i32\n %3 = add %2, %1 : i32\n store c1 %3\n end\n}\n";
    static const int64_t dims[8] = {3, 2, 1, 4, 2, 1, 3, 2};
    for (int32_t rank = 1; rank <= 8; rank++) {
        Case c = case_open(text);
        case_param(&c, 0, 5);
        int64_t stride = 5;
        for (int32_t d = 0; d < rank; d++) case_dim(&c, dims[d]);
        for (int32_t d = rank; d-- > 0; stride *= dims[d]) {
            case_stride(&c, 0, d, d % 3 == 1 ? 0 : stride);
            case_stride(&c, 1, d, stride);
        }
        case_arg(&c, 0, stride, FILL_MIXED);
        case_arg(&c, 1, stride, FILL_MIXED);
        case_run(&c);
        case_close(&c);
    }
}

/* Where an element lies, counted from where another does: along the grid, a loop, and by a value. */
static void test_addresses(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 2\n arg a0 f64 in\n arg a1 i64 out\n axis i p0\n"
        " access c0 a0 i*p1 + %0*1 + 1\n access c1 a1 i*1\n access c2 a0 1\n"
        " %0 = grid_index 0 : i64\n loop i\n %1 = address c0 : i64\n %2 = address c2 : i64\n"
        " %3 = sub %1, %2 : i64\n store c1 %3\n end\n}\n";
    Case c = case_open(text);
    case_param(&c, 0, 5);
    case_param(&c, 1, 7);
    case_dim(&c, 3);
    case_stride(&c, 0, 0, 40);
    case_stride(&c, 1, 0, 5);
    case_arg(&c, 0, 130, FILL_MIXED);
    case_arg(&c, 1, 15, FILL_MIXED);
    case_run(&c);
    case_close(&c);
}

/* ---- access patterns ------------------------------------------------------------------------- */

/* For every dtype: a strided load, a broadcast load, a predicated load, a flipped store. */
static void test_strides_broadcasts_predicates(void **state) {
    (void)state;
    for (sn_dtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
        char text[1024];
        const char *name = sn_dtype_name(d);
        snprintf(text, sizeof text,
                 "kernel {\n params 6\n arg a0 %s in\n arg a1 bool in\n arg a2 %s out\n"
                 " arg a3 %s out\n arg a4 %s out\n axis i p0\n"
                 " access c0 a0 i*p1 + p2\n access c1 a1 i*1\n access c2 a0 p2\n access c3 a0 i*1\n"
                 " access c4 a2 i*p3 + p4\n access c5 a3 i*1\n access c6 a4 i*p1\n loop i vector\n"
                 " %%0 = load c1 : bool\n %%1 = load c0 : %s\n %%2 = load c2 if %%0 : %s\n"
                 " %%3 = load c3 if %%0 : %s\n %%4 = load c0 if %%0 : %s\n store c4 %%1\n"
                 " store c5 %%3 if %%0\n store c6 %%2\n store c5 %%4 if %%0\n end\n}\n",
                 name, name, name, name, name, name, name, name);
        for (int i = 0; i < SIZES; i += 2) {
            Case c = case_open(text);
            int64_t n = sizes[i];
            case_param(&c, 0, n);
            case_param(&c, 1, 3);
            case_param(&c, 2, 2);
            case_param(&c, 3, -2);
            case_param(&c, 4, n ? 2 * (n - 1) : 0);
            case_arg(&c, 0, 3 * n + 3, FILL_MIXED);
            case_arg(&c, 1, n, FILL_MIXED);
            case_arg(&c, 2, 2 * n, FILL_MIXED);
            case_arg(&c, 3, n, FILL_MIXED);
            case_arg(&c, 4, 3 * n, FILL_MIXED);
            case_run(&c);
            case_close(&c);
        }
    }
}

static void test_gather_scatter_and_checks(void **state) {
    (void)state;
    for (sn_dtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
        char text[1024];
        const char *name = sn_dtype_name(d);
        snprintf(text, sizeof text,
                 "kernel {\n params 4\n arg a0 %s in\n arg a1 i64 in\n arg a2 %s out\n"
                 " arg a3 %s out\n axis i p0\n access c0 a0 %%0*p1 + i*1\n access c1 a1 i*1\n"
                 " access c2 a2 %%0*1\n access c3 a3 i*1\n loop i vector\n %%0 = load c1 : i64\n"
                 " %%1 = param p2 : i64\n %%2 = lt %%0, %%1 : bool\n check %%2 p3\n"
                 " %%3 = load c0 if %%2 : %s\n store c2 %%3 if %%2\n store c3 %%3\n end\n}\n",
                 name, name, name, name);
        for (int i = 0; i < SIZES; i += 3) {
            for (int64_t bound = 20; bound >= 11; bound -= 9) {
                Case c = case_open(text);
                int64_t n = sizes[i];
                case_param(&c, 0, n);
                case_param(&c, 1, 2);
                case_param(&c, 2, bound);
                case_param(&c, 3, 42);
                case_arg(&c, 0, n + 40, FILL_MIXED);
                case_arg(&c, 1, n, FILL_INDEX);
                c.bound[1] = 20;
                case_arg(&c, 2, 20, FILL_MIXED);
                case_arg(&c, 3, n, FILL_MIXED);
                case_run(&c);
                case_close(&c);
            }
        }
    }
}

/* The address is an affine function of the index, through values: still side by side. */
static void test_affine_values_address_neighbours(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 out\n axis i p0\n"
        " access c0 a0 %2*1\n access c1 a1 i*1\n access c2 a0 %6*1\n access c3 a2 i*1\n"
        " %0 = param p1 : i64\n"
        " loop i vector\n %1 = index i : i64\n %2 = sub %1, %0 : i64\n %3 = const i64 0\n"
        " %4 = ge %2, %3 : bool\n %5 = const i64 2\n %6 = mul %1, %5 : i64\n"
        " %7 = load c0 if %4 : f32\n store c1 %7\n %8 = load c2 : f32\n"
        " %9 = cast %6 : f32\n %10 = add %8, %9 : f32\n store c3 %10\n end\n}\n";
    for (int i = 0; i < SIZES; i++) {
        Case c = case_open(text);
        case_param(&c, 0, sizes[i]);
        case_param(&c, 1, 5);
        case_arg(&c, 0, 2 * sizes[i], FILL_MIXED);
        case_arg(&c, 1, sizes[i], FILL_MIXED);
        case_arg(&c, 2, sizes[i], FILL_MIXED);
        case_run(&c);
        case_close(&c);
    }
}

static void test_store_add_keeps_order(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16, SN_I64, SN_BOOL};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        char text[512];
        const char *memory = sn_dtype_name(dtypes[i]);
        const char *compute = sn_dtype_name(dtype_compute(dtypes[i]));
        snprintf(text, sizeof text,
                 "kernel {\n params 1\n arg a0 %s in\n arg a1 i64 in\n arg a2 %s out\n axis i p0\n"
                 " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 %%0*1\n loop i\n"
                 " %%0 = load c1 : i64\n %%1 = load c0 : %s\n %%2 = const i64 9\n"
                 " %%3 = lt %%0, %%2 : bool\n store_add c2 %%1 if %%3\n end\n}\n",
                 compute, memory, compute);
        Case c = case_open(text);
        case_param(&c, 0, 300);
        case_arg(&c, 0, 300, FILL_FINITE);
        case_arg(&c, 1, 300, FILL_INDEX);
        c.bound[1] = 12;
        case_arg(&c, 2, 9, FILL_FINITE);
        case_run(&c);
        case_close(&c);
    }
}

/* ---- several loops --------------------------------------------------------------------------- */

static const char softmax[] =
    "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 local p0\n axis i p0\n"
    " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n"
    " loop i vector\n %0 = load c0 : f32\n %1 = reduce_max %0 free : f32\n end\n"
    " loop i vector\n %2 = load c0 : f32\n %3 = sub %2, %1 : f32\n %4 = mul %3, %3 : f32\n"
    " store c2 %4\n %5 = reduce_sum %4 row : f32\n end\n"
    " loop i vector\n %6 = load c2 : f32\n %7 = div %6, %5 : f32\n store c1 %7\n end\n}\n";

static void test_row_kernel_with_local_buffer(void **state) {
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        Case c = case_open(softmax);
        case_param(&c, 0, sizes[i]);
        case_dim(&c, 7);
        for (uint32_t a = 0; a < 2; a++) {
            case_arg(&c, a, sizes[i] * 7, FILL_FINITE);
            case_stride(&c, a, 0, sizes[i]);
        }
        case_run(&c);
        c.stream = true;
        case_run(&c);
        case_close(&c);
    }
}

/* Rows on a grid of two dimensions, with gaps; the last loop uses values of its own row (a sum, a
 * loaded scalar, a row chosen by an index) though it may run while the next row is read. */
static const char row_values[] =
    "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 local p0\n arg a3 i64 in\n"
    " axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n access c3 a3 0\n"
    " access c4 a0 %0*1 + i*1\n"
    " %0 = load c3 : i64\n %1 = cast %0 : f32\n"
    " loop i vector\n %2 = load c0 : f32\n %3 = mul %2, %2 : f32\n store c2 %3\n"
    " %4 = reduce_sum %3 row : f32\n end\n %5 = add %4, %1 : f32\n"
    " loop i vector\n %6 = load c2 : f32\n %7 = load c4 : f32\n %8 = add %6, %7 : f32\n"
    " %9 = div %8, %5 : f32\n store c1 %9\n end\n}\n";
/* The buffer is read back to front: it must be read before the next row overwrites it. */
static const char row_reversed[] =
    "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 local p0\n axis i p0\n"
    " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n access c3 a2 i*p2 + p1\n"
    " loop i vector\n %0 = load c0 : f32\n store c2 %0\n %1 = reduce_sum %0 row : f32\n end\n"
    " loop i vector\n %2 = load c3 : f32\n %3 = mul %2, %1 : f32\n store c1 %3\n end\n}\n";

static void test_last_loops_keep_their_own_row(void **state) {
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        Case c = case_open(row_values);
        int64_t size = sizes[i], gap = size + 3;
        case_param(&c, 0, size);
        case_dim(&c, 3);
        case_dim(&c, 5);
        case_arg(&c, 0, gap * 40, FILL_FINITE);
        case_arg(&c, 1, gap * 40, FILL_FINITE);
        case_arg(&c, 3, 15, FILL_INDEX);
        c.bound[3] = gap * 10;
        for (uint32_t a = 0; a < 2; a++) {
            case_stride(&c, a, 0, gap);
            case_stride(&c, a, 1, gap * 4);
        }
        case_stride(&c, 3, 0, 5);
        case_stride(&c, 3, 1, 1);
        case_run(&c);
        c.stream = true;
        case_run(&c);
        case_close(&c);
        c = case_open(row_reversed);
        case_param(&c, 0, size);
        case_param(&c, 1, size ? size - 1 : 0);
        case_param(&c, 2, -1);
        case_dim(&c, 7);
        for (uint32_t a = 0; a < 2; a++) {
            case_arg(&c, a, size * 7, FILL_FINITE);
            case_stride(&c, a, 0, size);
        }
        case_run(&c);
        case_close(&c);
    }
}

static void test_scalar_loops_run_without_vectors(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 2\n arg a0 f64 in\n arg a1 f64 out\n axis i p0\n axis j p1\n"
        " access c0 a0 i*p1 + j*1\n access c1 a1 j*p0 + i*1\n loop i\n loop j\n"
        " %0 = load c0 : f64\n %1 = index i : i64\n %2 = cast %1 : f64\n %3 = sub %0, %2 : f64\n"
        " store c1 %3\n end\n end\n}\n";
    Case c = case_open(text);
    case_param(&c, 0, 13);
    case_param(&c, 1, 21);
    case_arg(&c, 0, 13 * 21, FILL_MIXED);
    case_arg(&c, 1, 13 * 21, FILL_MIXED);
    case_run(&c);
    case_close(&c);
}

static void test_empty_kernel(void **state) {
    (void)state;
    Case c = case_open("kernel {\n params 0\n}\n");
    case_run(&c);
    case_close(&c);
}

/* ---- the caller's floating point mode -------------------------------------------------------- */

enum { FLUSH_SUBNORMALS = 0x8040, ROUND_UP = 0x4000 };

/* Results do not depend on the caller's mode, and the caller finds it unchanged. */
static void test_rounding_mode_is_the_kernels_own(void **state) {
    (void)state;
    if (!case_backend) skip();
    static const char text[] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n access c0 a0 i*1\n"
        " access c1 a1 i*1\n loop i vector\n %0 = load c0 : f32\n %1 = const f32 0.3\n"
        " %2 = mul %0, %1 : f32\n store c1 %2\n end\n}\n";
    float x[50], want[50], got[50];
    for (int i = 0; i < 50; i++) x[i] = i < 25 ? (float)i * 0x1p-149f : (float)i * 0.7f;
    void *want_args[] = {x, want}, *got_args[] = {x, got};
    uint64_t word = UINT64_MAX;
    Case c = case_open(text);
    case_param(&c, 0, 50);
    case_execute(&c, ISA_AVX2, want_args, &word);
    assert_true(want[2] != 0);
    uint32_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | FLUSH_SUBNORMALS | ROUND_UP);
    case_execute(&c, ISA_AVX2, got_args, &word);
    uint32_t after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    assert_int_equal(after & 0xffc0u, (before | FLUSH_SUBNORMALS | ROUND_UP) & 0xffc0u);
    assert_memory_equal(got, want, sizeof got);
    case_close(&c);
}

/* ---- the table itself ------------------------------------------------------------------------ */

typedef struct Job {
    const char *text; /* kernel */
    CodeBlob blob;    /* its code */
    sn_status status; /* of the compilation */
} Job;

static void *compile_job(void *context) {
    Job *job = context;
    Case c = case_open(job->text);
    Target target = target_for(ISA_AVX2);
    Schedule schedule = {0};
    sn_error error = {0};
    job->status =
        case_backend->compile(&c.kernel, &target, &schedule, "kernel", &job->blob, &error);
    case_close(&c);
    return NULL;
}

static void test_threads_compile_the_same_code(void **state) {
    (void)state;
    enum { JOBS = 12 };
    if (!case_backend) skip();
    Job jobs[JOBS];
    pthread_t threads[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (Job){.text = i % 2 ? softmax : mixed_types};
        assert_int_equal(pthread_create(&threads[i], NULL, compile_job, &jobs[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].status, SN_OK);
        assert_int_equal(jobs[i].blob.size, jobs[i % 2].blob.size);
        assert_int_equal(jobs[i].blob.entry, jobs[i % 2].blob.entry);
        assert_memory_equal(jobs[i].blob.bytes, jobs[i % 2].blob.bytes, jobs[i].blob.size);
    }
    for (int i = 0; i < JOBS; i++) mem_free(jobs[i].blob.bytes);
}

static void test_version_names_llvm(void **state) {
    (void)state;
    if (!case_backend) skip();
    assert_int_equal(case_backend->abi, BACKEND_ABI);
    assert_string_equal(case_backend->name, "cpu");
    assert_non_null(strstr(case_backend->version(), "llvm-"));
}

static void test_print_gives_both_stages(void **state) {
    (void)state;
    if (!case_backend) skip();
    Case c = case_open(softmax);
    Target target = target_for(ISA_AVX512);
    Schedule schedule = {0};
    StrBuf source = {0}, assembly = {0};
    sn_error error = {0};
    assert_int_equal(case_backend->print(&c.kernel, &target, &schedule, "sn_kernel", STAGE_SOURCE,
                                         &source, &error),
                     SN_OK);
    assert_int_equal(case_backend->print(&c.kernel, &target, &schedule, "sn_kernel", STAGE_ASSEMBLY,
                                         &assembly, &error),
                     SN_OK);
    assert_non_null(strstr(strbuf_text(&source), "define void @sn_kernel"));
    assert_non_null(strstr(strbuf_text(&source), "<16 x float>"));
    assert_non_null(strstr(strbuf_text(&assembly), "sn_kernel:"));
    assert_non_null(strstr(strbuf_text(&assembly), "zmm"));
    strbuf_free(&source);
    strbuf_free(&assembly);
    case_close(&c);
}

static void test_less_than_avx2_is_refused(void **state) {
    (void)state;
    if (!case_backend) skip();
    Case c = case_open(softmax);
    Target target = target_for(ISA_NONE);
    Schedule schedule = {0};
    CodeBlob blob;
    sn_error error = {0};
    assert_int_equal(case_backend->compile(&c.kernel, &target, &schedule, "kernel", &blob, &error),
                     SN_ERROR_UNSUPPORTED);
    assert_null(blob.bytes);
    case_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_primitive_of_every_dtype),
        cmocka_unit_test(test_scaling_by_powers_of_two),
        cmocka_unit_test(test_every_cast),
        cmocka_unit_test(test_every_bitcast),
        cmocka_unit_test(test_wide_values_round_once_to_half_types),
        cmocka_unit_test(test_extremes_with_constants),
        cmocka_unit_test(test_parameters_of_every_dtype),
        cmocka_unit_test(test_all_sizes_of_mixed_types),
        cmocka_unit_test(test_narrow_types_alone),
        cmocka_unit_test(test_split_axis_and_blocks),
        cmocka_unit_test(test_grid_of_every_rank),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_strides_broadcasts_predicates),
        cmocka_unit_test(test_gather_scatter_and_checks),
        cmocka_unit_test(test_affine_values_address_neighbours),
        cmocka_unit_test(test_store_add_keeps_order),
        cmocka_unit_test(test_row_kernel_with_local_buffer),
        cmocka_unit_test(test_last_loops_keep_their_own_row),
        cmocka_unit_test(test_scalar_loops_run_without_vectors),
        cmocka_unit_test(test_empty_kernel),
        cmocka_unit_test(test_rounding_mode_is_the_kernels_own),
        cmocka_unit_test(test_threads_compile_the_same_code),
        cmocka_unit_test(test_version_names_llvm),
        cmocka_unit_test(test_print_gives_both_stages),
        cmocka_unit_test(test_less_than_avx2_is_refused),
    };
    return cmocka_run_group_tests(tests, case_setup, NULL);
}
