/* Reductions and scans of the CPU code generator against the interpreter: every order, kind and
 * dtype, in vector loops, in scalar loops, and in scalar loops inside vector loops. */
#include "tests/codegen_case.h"

static const int64_t sizes[] = {0,  1,   2,   7,    15,   16,   17,   31,   32,   33,   63,  64,
                                65, 127, 500, 1000, 1023, 1024, 1025, 2053, 3072, 5000, 9999};
enum { SIZES = sizeof sizes / sizeof *sizes };

typedef struct Kind {
    const char *name; /* of the op */
    bool is_index;    /* the result is i64 */
    bool takes_bool;  /* bool is allowed */
    bool needs_order; /* of floats */
} Kind;

static const Kind kinds[] = {
    {"reduce_sum", false, false, true},   {"reduce_prod", false, false, true},
    {"reduce_max", false, true, false},   {"reduce_min", false, true, false},
    {"reduce_argmax", true, true, false}, {"reduce_argmin", true, true, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const sn_dtype dtypes[] = {SN_BOOL, SN_U8, SN_I8, SN_I16, SN_I32, SN_I64, SN_F32, SN_F64};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static bool allowed(const Kind *kind, sn_dtype dtype, const char *order) {
    if (dtype == SN_BOOL && !kind->takes_bool) return false;
    bool is_float = dtype_is_float(dtype), is_free = strcmp(order, "free") == 0;
    return !(kind->needs_order && is_float && is_free);
}

/* Reduces rows: one loop, vector or not, in one order. */
static void check_rows(const Kind *kind, sn_dtype dtype, const char *order, bool vector,
                       int first_size, int step) {
    char text[512];
    const char *name = sn_dtype_name(dtype), *out = kind->is_index ? "i64" : name;
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 %s in\n arg a1 %s out\n axis i p0\n access c0 a0 i*1\n"
             " access c1 a1 0\n loop i%s\n %%0 = load c0 : %s\n %%1 = %s %%0 %s : %s\n end\n"
             " store c1 %%1\n}\n",
             name, out, vector ? " vector" : "", name, kind->name, order, out);
    Case c = case_open(text);
    for (int i = first_size; i < SIZES; i += step) {
        c.items = 1;
        c.words[KPARAM_RANK] = 0;
        case_param(&c, 0, sizes[i]);
        case_dim(&c, 4);
        case_stride(&c, 0, 0, sizes[i]);
        case_stride(&c, 1, 0, 1);
        case_arg(&c, 0, sizes[i] * 4, FILL_FINITE);
        case_arg(&c, 1, 4, FILL_FINITE);
        case_run(&c);
        c.fill[0] = FILL_EQUAL;
        case_run(&c);
        c.fill[0] = FILL_MIXED;
        case_run(&c);
    }
    case_close(&c);
}

static void check_all_rows(const char *order, bool vector) {
    int first = 0;
    for (int k = 0; k < KINDS; k++)
        for (int d = 0; d < DTYPES; d++)
            if (allowed(&kinds[k], dtypes[d], order))
                check_rows(&kinds[k], dtypes[d], order, vector, first++ % 4, 4);
}

static void test_vector_rows(void **state) {
    (void)state;
    check_all_rows("row", true);
}

static void test_vector_rows_in_free_order(void **state) {
    (void)state;
    check_all_rows("free", true);
}

static void test_vector_loops_of_other_orders(void **state) {
    (void)state;
    check_rows(&kinds[0], SN_F32, "column", true, 0, 1);
    check_rows(&kinds[0], SN_F64, "tree", true, 0, 1);
}

static void test_scalar_rows(void **state) {
    (void)state;
    check_all_rows("row", false);
}

static void test_scalar_columns(void **state) {
    (void)state;
    check_all_rows("column", false);
    check_rows(&kinds[0], SN_F32, "column", false, 0, 1);
}

static void test_scalar_trees(void **state) {
    (void)state;
    check_rows(&kinds[0], SN_F32, "tree", false, 0, 1);
    check_rows(&kinds[1], SN_F64, "tree", false, 0, 1);
}

static void test_sums_of_every_size(void **state) {
    (void)state;
    check_rows(&kinds[0], SN_F32, "row", true, 0, 1);
    check_rows(&kinds[0], SN_F64, "row", true, 0, 1);
}

/* Reduces the rows of a matrix (a scalar loop) for all its columns (the vector loop). */
static void check_columns(const Kind *kind, sn_dtype dtype, const char *order, int64_t rows,
                          int64_t columns) {
    char text[512];
    const char *name = sn_dtype_name(dtype), *out = kind->is_index ? "i64" : name;
    snprintf(text, sizeof text,
             "kernel {\n params 2\n arg a0 %s in\n arg a1 %s out\n axis i p0 split\n axis j p1\n"
             " access c0 a0 j*p0 + i*1\n access c1 a1 i*1\n loop i vector\n loop j\n"
             " %%0 = load c0 : %s\n %%1 = %s %%0 %s : %s\n end\n store c1 %%1\n end\n}\n",
             name, out, name, kind->name, order, out);
    Case c = case_open(text);
    case_param(&c, 0, columns);
    case_param(&c, 1, rows);
    case_split(&c, columns, 100);
    case_arg(&c, 0, rows * columns, FILL_FINITE);
    case_arg(&c, 1, columns, FILL_FINITE);
    case_run(&c);
    c.fill[0] = FILL_EQUAL;
    case_run(&c);
    c.fill[0] = FILL_MIXED;
    case_run(&c);
    case_close(&c);
}

static void test_columns_of_every_kind(void **state) {
    (void)state;
    static const char *const orders[] = {"column", "tree", "row", "free"};
    static const int64_t rows[] = {0, 1, 31, 32, 33, 65, 100, 1030};
    static const int64_t columns[] = {1, 15, 64, 77, 130, 16};
    int turn = 0;
    for (int o = 0; o < 4; o++) {
        for (int k = 0; k < KINDS; k++) {
            for (int d = 0; d < DTYPES; d++) {
                if (!allowed(&kinds[k], dtypes[d], orders[o])) continue;
                if (o < 3 && !dtype_is_float(dtypes[d])) continue;
                check_columns(&kinds[k], dtypes[d], orders[o], rows[turn % 8], columns[turn % 6]);
                turn++;
            }
        }
    }
    for (int r = 0; r < 8; r++) {
        check_columns(&kinds[0], SN_F32, "column", rows[r], 150);
        check_columns(&kinds[0], SN_F64, "row", rows[r], 21);
    }
}

/* Several reductions of one loop, with uniform and masked operands, and two loops of one axis. */
static void test_several_reductions_in_one_loop(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 i64 out\n arg a3 f64 out\n"
        " axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 0\n access c3 a3 0\n"
        " loop i vector\n %0 = load c0 : f32\n %1 = reduce_sum %0 row : f32\n"
        " %2 = reduce_max %0 free : f32\n %3 = reduce_argmin %0 free : i64\n"
        " %4 = const i64 1\n %5 = reduce_sum %4 free : i64\n %6 = cast %0 : f64\n"
        " %7 = mul %6, %6 : f64\n %8 = reduce_sum %7 row : f64\n end\n"
        " %9 = add %3, %5 : i64\n store c2 %9\n store c3 %8\n %10 = add %1, %2 : f32\n"
        " loop i vector\n %11 = load c0 : f32\n %12 = mul %11, %10 : f32\n store c1 %12\n end\n}\n";
    for (int i = 0; i < SIZES; i++) {
        Case c = case_open(text);
        case_param(&c, 0, sizes[i]);
        case_arg(&c, 0, sizes[i], FILL_FINITE);
        case_arg(&c, 1, sizes[i], FILL_FINITE);
        case_arg(&c, 2, 1, FILL_FINITE);
        case_arg(&c, 3, 1, FILL_FINITE);
        case_run(&c);
        case_close(&c);
    }
}

/* Chunks of different length in one scalar loop. */
static void test_orders_mixed_in_one_loop(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n access c0 a0 i*1\n"
        " access c1 a1 0\n access c2 a1 1\n access c3 a1 p0\n loop i\n %0 = load c0 : f32\n"
        " %1 = reduce_sum %0 row : f32\n %2 = reduce_sum %0 column : f32\n"
        " %3 = reduce_sum %0 tree : f32\n %4 = reduce_max %0 row : f32\n end\n store c1 %1\n"
        " store c2 %2\n %5 = add %3, %4 : f32\n store c3 %5\n}\n";
    for (int i = 0; i < SIZES; i++) {
        Case c = case_open(text);
        case_param(&c, 0, sizes[i]);
        case_arg(&c, 0, sizes[i], FILL_FINITE);
        case_arg(&c, 1, sizes[i] + 2, FILL_FINITE);
        case_run(&c);
        case_close(&c);
    }
}

/* Rows of every size, each of which gives one number. */
static void check_every_size(const char *text) {
    for (int i = 0; i < SIZES; i++) {
        Case c = case_open(text);
        case_param(&c, 0, sizes[i]);
        case_arg(&c, 0, sizes[i], FILL_FINITE);
        case_arg(&c, 1, 1, FILL_FINITE);
        case_run(&c);
        case_close(&c);
    }
}

/* A heavy body: one masked loop whose accumulators take turns. */
static void test_heavy_rows(void **state) {
    (void)state;
    char text[4096];
    int length = snprintf(text, sizeof text,
                          "kernel {\n params 1\n arg a0 f64 in\n arg a1 f64 out\n axis i p0\n"
                          " access c0 a0 i*1\n access c1 a1 0\n loop i vector\n"
                          " %%0 = load c0 : f64\n %%1 = const f64 0x1.8p-1\n");
    for (int i = 2; i < 40; i++)
        length +=
            snprintf(text + length, sizeof text - (size_t)length, " %%%d = %s %%%d, %%%d : f64\n",
                     i, i % 2 ? "add" : "mul", i == 2 ? 0 : i - 1, i % 3 ? 1 : 0);
    snprintf(text + length, sizeof text - (size_t)length,
             " %%40 = reduce_sum %%39 row : f64\n %%41 = reduce_max %%39 free : f64\n end\n"
             " %%42 = add %%40, %%41 : f64\n store c1 %%42\n}\n");
    check_every_size(text);
}

/* Rows of a matrix within an outer loop that reduces the rows' results. */
static void test_reduction_of_reductions(void **state) {
    (void)state;
    static const char *const outer[] = {"row", "column", "tree"};
    for (int o = 0; o < 3; o++) {
        char text[512];
        snprintf(text, sizeof text,
                 "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n axis j p1\n"
                 " access c0 a0 j*p0 + i*1\n access c1 a1 0\n loop j\n loop i vector\n"
                 " %%0 = load c0 : f32\n %%1 = reduce_sum %%0 row : f32\n end\n"
                 " %%2 = reduce_sum %%1 %s : f32\n end\n store c1 %%2\n}\n",
                 outer[o]);
        for (int64_t rows = 0; rows < 100; rows = rows * 2 + 3) {
            Case c = case_open(text);
            case_param(&c, 0, 45);
            case_param(&c, 1, rows);
            case_arg(&c, 0, rows * 45, FILL_FINITE);
            case_arg(&c, 1, 1, FILL_FINITE);
            case_run(&c);
            case_close(&c);
        }
    }
}

/* A column statistic used in the vector loop around it, and a reduction over that loop as well. */
static void test_nested_reductions_both_ways(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 out\n axis i p0\n"
        " axis j p1\n access c0 a0 j*p0 + i*1\n access c1 a1 j*p0 + i*1\n access c2 a2 0\n"
        " loop i vector\n loop j\n %0 = load c0 : f32\n %1 = reduce_sum %0 column : f32\n"
        " %2 = index j : i64\n %3 = cast %2 : f32\n %4 = reduce_max %3 free : f32\n end\n"
        " loop j\n %5 = load c0 : f32\n %6 = sub %5, %1 : f32\n %7 = mul %6, %4 : f32\n"
        " store c1 %7\n end\n %8 = reduce_sum %1 row : f32\n end\n store c2 %8\n}\n";
    static const int64_t shapes[][2] = {{1, 1}, {17, 40}, {64, 33}, {1040, 3}, {100, 70}, {5, 0}};
    for (size_t s = 0; s < 6; s++) {
        Case c = case_open(text);
        int64_t n = shapes[s][0] * shapes[s][1];
        case_param(&c, 0, shapes[s][0]);
        case_param(&c, 1, shapes[s][1]);
        case_arg(&c, 0, n, FILL_FINITE);
        case_arg(&c, 1, n, FILL_FINITE);
        case_arg(&c, 2, 1, FILL_FINITE);
        case_run(&c);
        case_close(&c);
    }
}

/* Sums of products: a matrix product of 3 rows, whose columns are a vector loop (or not), beside another
 * reduction of the same trips, and a chain whose operands are both the item's. */
static void check_product(sn_dtype dtype, int64_t k, int64_t n, bool vector) {
    char text[1024];
    const char *name = sn_dtype_name(dtype);
    snprintf(text, sizeof text,
             "kernel {\n params 2\n arg a0 %s in\n arg a1 %s in\n arg a2 %s out\n arg a3 %s out\n"
             " arg a4 %s out\n axis i p0\n axis j p1\n access c0 a0 j*1\n access c1 a1 j*p0 + i*1\n"
             " access c2 a2 i*1\n access c3 a3 i*1\n access c4 a4 i*1\n loop i%s\n loop j\n"
             " %%0 = load c0 : %s\n %%1 = load c1 : %s\n %%2 = reduce_fma %%0, %%1 chain : %s\n"
             " %%3 = reduce_sum %%1 column : %s\n %%4 = reduce_fma %%0, %%0 chain : %s\n end\n"
             " store c2 %%2\n store c3 %%3\n store c4 %%4\n end\n}\n",
             name, name, name, name, name, vector ? " vector" : "", name, name, name, name, name);
    Case c = case_open(text);
    case_param(&c, 0, n);
    case_param(&c, 1, k);
    case_dim(&c, 3);
    case_stride(&c, 0, 0, k);
    for (uint32_t a = 2; a < 5; a++) case_stride(&c, a, 0, n);
    case_arg(&c, 0, 3 * k, FILL_FINITE);
    case_arg(&c, 1, k * n, FILL_FINITE);
    for (uint32_t a = 2; a < 5; a++) case_arg(&c, a, 3 * n, FILL_FINITE);
    case_run(&c);
    c.fill[0] = FILL_MIXED;
    case_run(&c);
    c.fill[0] = c.fill[1] = FILL_EQUAL;
    case_run(&c);
    case_close(&c);
}

static void test_sums_of_products(void **state) {
    (void)state;
    static const int64_t inner[] = {0, 1, 31, 511, 512, 513, 1024, 1300};
    static const int64_t columns[] = {1, 7, 8, 16, 17, 33, 70, 150};
    for (int i = 0; i < 8; i++) {
        check_product(SN_F32, inner[i], columns[i], true);
        check_product(SN_F32, inner[i], columns[7 - i], true);
        check_product(SN_F64, inner[i], columns[(i + 3) % 8], true);
        check_product(SN_F32, inner[i], columns[i % 3], false);
    }
}

/* In a loop that is marked as a vector loop the chain has its order all the same. */
static void test_a_chain_along_a_vector_loop(void **state) {
    (void)state;
    static const char text[] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n access c0 a0 i*1\n"
        " access c1 a1 0\n loop i vector\n %0 = load c0 : f32\n"
        " %1 = reduce_fma %0, %0 chain : f32\n %2 = reduce_max %0 free : f32\n end\n"
        " %3 = add %1, %2 : f32\n store c1 %3\n}\n";
    check_every_size(text);
}

static void check_scan(sn_dtype dtype, int64_t size, bool nested, int64_t columns) {
    char text[512];
    const char *name = sn_dtype_name(dtype);
    snprintf(text, sizeof text,
             "kernel {\n params 2\n arg a0 %s in\n arg a1 %s out\n axis i p0\n axis j p1\n"
             " access c0 a0 i*p1 + j*1\n access c1 a1 i*p1 + j*1\n loop j%s\n loop i\n"
             " %%0 = load c0 : %s\n %%1 = scan_sum %%0 : %s\n store c1 %%1\n end\n end\n}\n",
             name, name, nested ? " vector" : "", name, name);
    Case c = case_open(text);
    case_param(&c, 0, size);
    case_param(&c, 1, columns);
    case_arg(&c, 0, size * columns, FILL_FINITE);
    case_arg(&c, 1, size * columns, FILL_FINITE);
    case_run(&c);
    c.fill[0] = FILL_EQUAL;
    case_run(&c);
    case_close(&c);
}

static void test_scans(void **state) {
    (void)state;
    for (int d = 1; d < DTYPES; d++) {
        for (int i = 0; i < SIZES; i += 2) check_scan(dtypes[d], sizes[i], false, 1);
        check_scan(dtypes[d], 33, true, 70);
        check_scan(dtypes[d], 1100, true, 18);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_rows),
        cmocka_unit_test(test_vector_rows_in_free_order),
        cmocka_unit_test(test_vector_loops_of_other_orders),
        cmocka_unit_test(test_scalar_rows),
        cmocka_unit_test(test_scalar_columns),
        cmocka_unit_test(test_scalar_trees),
        cmocka_unit_test(test_sums_of_every_size),
        cmocka_unit_test(test_columns_of_every_kind),
        cmocka_unit_test(test_several_reductions_in_one_loop),
        cmocka_unit_test(test_orders_mixed_in_one_loop),
        cmocka_unit_test(test_heavy_rows),
        cmocka_unit_test(test_reduction_of_reductions),
        cmocka_unit_test(test_nested_reductions_both_ways),
        cmocka_unit_test(test_sums_of_products),
        cmocka_unit_test(test_a_chain_along_a_vector_loop),
        cmocka_unit_test(test_scans),
    };
    return cmocka_run_group_tests(tests, case_setup, NULL);
}
