/* Kernels for test_codegen_cuda.c: one for every way in which threads share the work, and builders
 * for kernels of all primitives and all conversions of a dtype. */
#ifndef SN_TESTS_CUDA_KERNELS_H
#define SN_TESTS_CUDA_KERNELS_H

#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"

#include <stdio.h>

enum {
    CUDA_POINTWISE,    /* a map over blocks of a strided axis */
    CUDA_MULTIPLY_ADD, /* products and sums that must not be contracted */
    CUDA_PARAMS,       /* parameters of all dtypes and a grid index */
    CUDA_JOIN,         /* two vector loops that store */
    CUDA_PREDICATES,   /* predicated loads and stores */
    CUDA_SOFTMAX,      /* row reductions of two kinds, then a map */
    CUDA_ROW_F64,      /* several reductions in one loop */
    CUDA_ROW_ARG,      /* indices of extremes */
    CUDA_ROW_INTS,     /* narrow integers and bool */
    CUDA_LOCAL,        /* buffers of a row, read by other threads */
    CUDA_ROW_SPLIT,    /* a reduction in every block of a row */
    CUDA_COLUMNS,      /* all orders inside a vector loop */
    CUDA_COLUMNS_F64,
    CUDA_CHAINS,           /* sums of products */
    CUDA_SCAN,             /* prefix sums of three dtypes */
    CUDA_SCAN_LOCAL,       /* a scan in place between vector loops */
    CUDA_ORDERED_ADD,      /* scatter of 1, 2 and 4 bytes */
    CUDA_ORDERED_ADD_ITEM, /* adds outside of loops */
    CUDA_CANONICAL,        /* NaNs of all dtypes, made one */
    CUDA_NESTED,           /* a loop around a vector loop */
    CUDA_VECTOR_COLUMN,    /* a vector loop whose order has no lanes */
    CUDA_GATHER,           /* indices from data, checked */
    CUDA_GATHER_ROW,       /* the same in a row reduction */
    CUDA_KERNELS
};

static const char *const cuda_kernels[CUDA_KERNELS] = {
    [CUDA_POINTWISE] =
        "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 out\n axis i p0 split\n"
        " access c0 a0 i*p1\n access c1 a1 i*1\n %0 = const f32 0x1.8p+0\n loop i vector\n"
        " %1 = load c0 : f32\n %2 = mul %1, %0 : f32\n %3 = add %2, %0 : f32\n"
        " %4 = div %3, %1 : f32\n %5 = fma %4, %1, %0 : f32\n store c1 %5\n end\n}\n",
    [CUDA_MULTIPLY_ADD] =
        "kernel {\n params 2\n arg a0 f32 in\n arg a1 f64 out\n axis i p0 split\n"
        " access c0 a0 i*p1\n access c1 a1 i*1\n loop i vector\n %0 = load c0 : f32\n"
        " %1 = mul %0, %0 : f32\n %2 = add %1, %0 : f32\n %3 = cast %2 : f64\n"
        " %4 = mul %3, %3 : f64\n %5 = sub %4, %3 : f64\n store c1 %5\n end\n}\n",
    [CUDA_PARAMS] =
        "kernel {\n params 6\n arg a0 u8 out\n arg a1 i64 out\n arg a2 f32 out\n arg a3 f64 out\n"
        " arg a4 bool out\n arg a5 i16 out\n access c0 a0 0\n access c1 a1 0\n access c2 a2 0\n"
        " access c3 a3 0\n access c4 a4 0\n access c5 a5 0\n %0 = param p0 : u8\n"
        " %1 = param p1 : i64\n %2 = param p2 : f32\n %3 = param p3 : f64\n %4 = param p4 : bool\n"
        " %5 = param p5 : i16\n %6 = grid_index 1 : i64\n %7 = grid_index 5 : i64\n"
        " %8 = add %1, %6 : i64\n %9 = add %8, %7 : i64\n store c0 %0\n store c1 %9\n"
        " store c2 %2\n store c3 %3\n store c4 %4\n store c5 %5\n}\n",
    [CUDA_JOIN] =
        "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 in\n arg a2 f32 out\n axis i p0\n"
        " axis j p1\n access c0 a0 i*1\n access c1 a1 j*1\n access c2 a2 i*1\n"
        " access c3 a2 j*1 + p2\n loop i vector\n %0 = load c0 : f32\n store c2 %0\n end\n"
        " loop j vector\n %1 = load c1 : f32\n %2 = neg %1 : f32\n store c3 %2\n end\n}\n",
    [CUDA_PREDICATES] =
        "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 out\n arg a2 bool inout\n"
        " arg a3 bf16 in\n arg a4 bf16 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n"
        " access c2 a2 i*1\n access c3 a3 i*1\n access c4 a4 i*1\n loop i vector\n"
        " %0 = index i : i64\n %1 = param p1 : i64\n %2 = lt %0, %1 : bool\n"
        " %3 = load c0 if %2 : f32\n %4 = load c2 if %2 : bool\n %5 = eq %4, %2 : bool\n"
        " store c1 %3\n store c2 %5 if %4\n %6 = load c3 if %5 : bf16\n store c4 %6\n end\n}\n",
    [CUDA_SOFTMAX] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n access c0 a0 i*1\n"
        " access c1 a1 i*1\n loop i vector\n %0 = load c0 : f32\n"
        " %1 = reduce_max %0 free : f32\n end\n loop i vector\n %2 = load c0 : f32\n"
        " %3 = sub %2, %1 : f32\n %4 = mul %3, %3 : f32\n %5 = reduce_sum %4 row : f32\n end\n"
        " loop i vector\n %6 = load c0 : f32\n %7 = div %6, %5 : f32\n store c1 %7\n end\n}\n",
    [CUDA_ROW_F64] =
        "kernel {\n params 1\n arg a0 f64 in\n arg a1 f64 out\n arg a2 f64 out\n arg a3 f64 out\n"
        " arg a4 f32 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 0\n access c2 a2 0\n"
        " access c3 a3 0\n access c4 a4 0\n %0 = const f64 0x1p-6\n %1 = const f64 0x1p+0\n"
        " loop i vector\n %2 = load c0 : f64\n %3 = reduce_sum %2 row : f64\n"
        " %4 = fma %2, %0, %1 : f64\n %5 = reduce_prod %4 row : f64\n %6 = cast %2 : f32\n"
        " %7 = reduce_sum %6 row : f32\n %8 = reduce_min %2 free : f64\n end\n store c1 %3\n"
        " store c2 %5\n store c3 %8\n store c4 %7\n}\n",
    [CUDA_ROW_ARG] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 i64 out\n arg a2 i64 out\n arg a3 f32 out\n"
        " arg a4 f32 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 0\n access c2 a2 0\n"
        " access c3 a3 0\n access c4 a4 0\n loop i vector\n %0 = load c0 : f32\n"
        " %1 = reduce_argmax %0 free : i64\n %2 = reduce_argmin %0 free : i64\n"
        " %3 = reduce_max %0 free : f32\n %4 = reduce_min %0 free : f32\n end\n store c1 %1\n"
        " store c2 %2\n store c3 %3\n store c4 %4\n}\n",
    [CUDA_ROW_INTS] =
        "kernel {\n params 1\n arg a0 i8 in\n arg a1 i8 out\n arg a2 i8 out\n arg a3 bool out\n"
        " arg a4 i64 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 0\n"
        " access c3 a3 0\n access c4 a4 0\n %0 = const i8 2\n %1 = const i8 -128\n loop i vector\n"
        " %2 = load c0 : i8\n %3 = reduce_sum %2 row : i8\n %4 = reduce_max %2 free : i8\n"
        " %5 = gt %2, %0 : bool\n %6 = reduce_max %5 free : bool\n %7 = cast %2 : i64\n"
        " %8 = reduce_prod %7 free : i64\n %9 = reduce_argmin %2 free : i64\n"
        " %10 = reduce_argmax %5 free : i64\n %11 = reduce_min %5 free : bool\n end\n"
        " %12 = sub %3, %4 : i8\n %13 = add %8, %9 : i64\n %14 = sub %13, %10 : i64\n"
        " %15 = bitwise_xor %6, %11 : bool\n %16 = maximum %12, %1 : i8\n store c2 %16\n"
        " store c3 %15\n store c4 %14\n loop i vector\n %17 = load c0 : i8\n"
        " %18 = fmod %17, %4 : i8\n store c1 %18\n end\n}\n",
    [CUDA_LOCAL] =
        "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 local p0\n"
        " arg a3 f32 local 1\n arg a4 f32 inout\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n"
        " access c2 a2 i*1\n access c3 a3 0\n access c4 a4 0\n access c5 a2 i*p1 + p2\n"
        " loop i vector\n %0 = load c0 : f32\n %1 = mul %0, %0 : f32\n store c2 %1\n"
        " %2 = reduce_max %1 free : f32\n end\n store c3 %2\n %3 = load c3 : f32\n"
        " %4 = load c4 : f32\n %5 = add %3, %4 : f32\n store c4 %5\n %6 = load c4 : f32\n"
        " loop i vector\n %7 = load c5 : f32\n %8 = div %7, %6 : f32\n %9 = sub %8, %4 : f32\n"
        " store c1 %9\n end\n loop i\n %10 = load c2 : f32\n"
        " %11 = reduce_sum %10 column : f32\n end\n loop i vector\n %12 = load c2 : f32\n"
        " %13 = sub %12, %11 : f32\n store c2 %13\n end\n loop i vector\n %14 = load c5 : f32\n"
        " %15 = reduce_sum %14 row : f32\n end\n store c4 %15\n}\n",
    [CUDA_ROW_SPLIT] =
        "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 out\n axis i p0 split\n"
        " access c0 a0 i*1\n access c1 a1 %6*1\n %0 = param p0 : i64\n %1 = param p1 : i64\n"
        " loop i vector\n %2 = load c0 : f32\n %3 = reduce_sum %2 row : f32\n"
        " %4 = index i : i64\n %5 = reduce_min %4 free : i64\n end\n %6 = int_div %5, %1 : i64\n"
        " %7 = lt %5, %0 : bool\n store c1 %3 if %7\n}\n",
    [CUDA_COLUMNS] =
        "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 out\n arg a3 f32 out\n"
        " arg a4 i64 out\n axis i p0 split\n axis j p1\n access c0 a0 i*1 + j*p2\n"
        " access c1 a1 i*1\n access c2 a2 i*1\n access c3 a3 i*1\n access c4 a4 i*1\n"
        " %0 = const f32 0x1p-6\n %1 = const f32 0x1p+0\n loop i vector\n loop j\n"
        " %2 = load c0 : f32\n %3 = reduce_sum %2 column : f32\n %4 = reduce_sum %2 row : f32\n"
        " %5 = fma %2, %0, %1 : f32\n %6 = reduce_prod %5 tree : f32\n"
        " %7 = reduce_argmax %2 free : i64\n end\n store c1 %3\n store c2 %4\n store c3 %6\n"
        " store c4 %7\n end\n}\n",
    [CUDA_COLUMNS_F64] =
        "kernel {\n params 3\n arg a0 f64 in\n arg a1 f64 out\n arg a2 f64 out\n arg a3 f64 out\n"
        " arg a4 f64 out\n axis i p0 split\n axis j p1\n access c0 a0 i*1 + j*p2\n"
        " access c1 a1 i*1\n access c2 a2 i*1\n access c3 a3 i*1\n access c4 a4 i*1\n"
        " %0 = const f64 0x1p-6\n %1 = const f64 0x1p+0\n loop i vector\n loop j\n"
        " %2 = load c0 : f64\n %3 = reduce_sum %2 tree : f64\n %4 = fma %2, %0, %1 : f64\n"
        " %5 = reduce_prod %4 column : f64\n %6 = reduce_prod %4 row : f64\n"
        " %7 = reduce_min %2 free : f64\n end\n store c1 %3\n store c2 %5\n store c3 %6\n"
        " store c4 %7\n end\n}\n",
    [CUDA_CHAINS] =
        "kernel {\n params 3\n arg a0 f32 in\n arg a1 f64 in\n arg a2 f32 out\n arg a3 f64 out\n"
        " axis i p0 split\n axis j p1\n access c0 a0 i*1 + j*p2\n access c1 a0 j*1\n"
        " access c2 a1 j*1\n access c3 a2 i*1\n access c4 a3 i*1\n loop i vector\n loop j\n"
        " %0 = load c0 : f32\n %1 = load c1 : f32\n %2 = reduce_fma %0, %1 chain : f32\n"
        " %3 = cast %0 : f64\n %4 = load c2 : f64\n %5 = reduce_fma %3, %4 chain : f64\n end\n"
        " store c3 %2\n store c4 %5\n end\n}\n",
    [CUDA_SCAN] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f64 out\n arg a3 i32 out\n"
        " arg a4 f32 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n"
        " access c3 a3 i*1\n access c4 a4 0\n loop i\n %0 = load c0 : f32\n"
        " %1 = scan_sum %0 : f32\n store c1 %1\n %2 = cast %0 : f64\n %3 = scan_sum %2 : f64\n"
        " store c2 %3\n %4 = bitcast %0 : i32\n %5 = scan_sum %4 : i32\n store c3 %5\n"
        " %6 = reduce_sum %1 row : f32\n end\n store c4 %6\n}\n",
    [CUDA_SCAN_LOCAL] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 local p0\n"
        " arg a3 f32 out\n arg a4 f32 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n"
        " access c2 a2 i*1\n access c3 a3 i*1\n access c4 a4 0\n access c5 a2 0\n loop i vector\n"
        " %0 = load c0 : f32\n %1 = mul %0, %0 : f32\n store c2 %1\n end\n"
        " %2 = load c5 : f32\n loop i\n %3 = load c2 : f32\n %4 = add %3, %2 : f32\n"
        " %5 = scan_sum %4 : f32\n store c2 %5\n %6 = reduce_sum %3 column : f32\n"
        " %7 = reduce_argmin %3 free : i64\n end\n loop i vector\n %8 = load c2 : f32\n"
        " %9 = add %8, %6 : f32\n %10 = sub %9, %2 : f32\n store c1 %10\n"
        " %11 = cast %7 : f32\n store c3 %11\n end\n store c4 %6\n}\n",
    [CUDA_ORDERED_ADD] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 bool inout\n arg a2 i64 in\n"
        " arg a3 f16 inout\n arg a4 bf16 inout\n arg a5 f32 inout\n axis i p0\n access c0 a0 i*1\n"
        " access c1 a1 %1*1\n access c2 a2 i*1\n access c3 a3 %1*1\n access c4 a4 %1*1\n"
        " access c5 a5 %1*1\n %0 = const i64 0\n loop i\n %1 = load c2 : i64\n"
        " %2 = ge %1, %0 : bool\n %3 = load c0 : f32\n store_add c3 %3 if %2\n"
        " store_add c4 %3 if %2\n store_add c5 %3 if %2\n store_add c1 %2 if %2\n end\n}\n",
    [CUDA_ORDERED_ADD_ITEM] =
        "kernel {\n params 0\n arg a0 f32 inout\n arg a1 f32 local 1\n access c0 a0 0\n"
        " access c1 a1 0\n %0 = load c0 : f32\n store c1 %0\n %1 = load c1 : f32\n"
        " store_add c0 %1\n %2 = load c0 : f32\n store_add c1 %2\n %3 = load c1 : f32\n"
        " store_add c0 %3\n}\n",
    [CUDA_CANONICAL] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f64 in\n arg a2 f32 out\n arg a3 f64 out\n"
        " arg a4 f16 out\n arg a5 bf16 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n"
        " access c2 a2 i*1\n access c3 a3 i*1\n access c4 a4 i*1\n access c5 a5 i*1\n"
        " loop i vector\n %0 = load c0 : f32\n %1 = load c1 : f64\n %2 = mul %0, %0 : f32\n"
        " %3 = sub %1, %1 : f64\n %4 = canonical_nan %2 : f32\n %5 = canonical_nan %3 : f64\n"
        " store c2 %4\n store c3 %5\n %6 = cast %4 : f16\n store c4 %6\n %7 = cast %4 : bf16\n"
        " store c5 %7\n end\n}\n",
    [CUDA_NESTED] =
        "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 inout\n arg a3 f32 out\n"
        " arg a4 f32 out\n axis i p0\n axis j p1\n access c0 a0 i*p2 + j*1\n access c1 a1 i*1\n"
        " access c2 a2 i*1\n access c3 a3 0\n access c4 a4 0\n loop i\n loop j vector\n"
        " %0 = load c0 : f32\n %1 = reduce_sum %0 row : f32\n %2 = reduce_max %0 free : f32\n end\n"
        " store c1 %1\n %3 = load c2 : f32\n %4 = add %3, %1 : f32\n store c2 %4\n"
        " %5 = load c2 : f32\n %6 = reduce_sum %5 column : f32\n %7 = reduce_min %2 free : f32\n"
        " end\n store c3 %6\n store c4 %7\n}\n",
    [CUDA_VECTOR_COLUMN] =
        "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 out\n axis i p0\n"
        " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 0\n loop i vector\n"
        " %0 = load c0 : f32\n %1 = reduce_sum %0 column : f32\n end\n loop i vector\n"
        " %2 = load c0 : f32\n %3 = sub %2, %1 : f32\n store c1 %3\n"
        " %4 = reduce_max %3 free : f32\n end\n store c2 %4\n}\n",
    [CUDA_GATHER] =
        "kernel {\n params 4\n arg a0 f32 in\n arg a1 i64 in\n arg a2 f32 out\n axis i p0 split\n"
        " access c0 a0 %2*p2\n access c1 a1 i*1\n access c2 a2 i*1\n %0 = const i64 0\n"
        " %1 = param p1 : i64\n loop i vector\n %2 = load c1 : i64\n %3 = lt %2, %1 : bool\n"
        " %4 = ge %2, %0 : bool\n %5 = bitwise_and %3, %4 : bool\n check %5 p3\n"
        " %6 = load c0 if %5 : f32\n store c2 %6\n end\n}\n",
    [CUDA_GATHER_ROW] =
        "kernel {\n params 4\n arg a0 f32 in\n arg a1 i64 in\n arg a2 f32 out\n axis i p0\n"
        " access c0 a0 %2*p2\n access c1 a1 i*1\n access c2 a2 0\n %0 = const i64 0\n"
        " %1 = param p1 : i64\n loop i vector\n %2 = load c1 : i64\n %3 = lt %2, %1 : bool\n"
        " %4 = ge %2, %0 : bool\n %5 = bitwise_and %3, %4 : bool\n check %5 p3\n"
        " %6 = load c0 if %5 : f32\n %7 = reduce_sum %6 row : f32\n end\n"
        " %8 = grid_index 0 : i64\n %9 = cast %8 : f32\n %10 = add %7, %9 : f32\n"
        " store c2 %10\n}\n",
};

/* ---- all primitives -------------------------------------------------------------------------- */

enum { CUDA_MOST_RESULTS = 40 };

/* Results of a kernel under construction. */
typedef struct CudaResults {
    StrBuf body;                        /* the loop's instructions */
    sn_dtype dtypes[CUDA_MOST_RESULTS]; /* of the results, which are %3, %4, … */
    int count;                          /* how many */
} CudaResults;

static inline void cuda_result(CudaResults *r, const char *instruction, sn_dtype dtype) {
    strbuf_addf(&r->body, " %%%d = %s : %s\n", 3 + r->count, instruction, sn_dtype_name(dtype));
    r->dtypes[r->count++] = dtype;
}

/* A kernel that loads %0, %1, %2 of `dtype`, and stores every result in an argument of its own. */
static inline void cuda_results_text(StrBuf *out, CudaResults *r, sn_dtype dtype) {
    strbuf_add(out, "kernel {\n params 1\n");
    for (int a = 0; a < 3; a++) strbuf_addf(out, " arg a%d %s in\n", a, sn_dtype_name(dtype));
    for (int i = 0; i < r->count; i++)
        strbuf_addf(out, " arg a%d %s out\n", 3 + i, sn_dtype_name(r->dtypes[i]));
    strbuf_add(out, " axis i p0 split\n");
    for (int i = 0; i < 3 + r->count; i++) strbuf_addf(out, " access c%d a%d i*1\n", i, i);
    strbuf_add(out, " loop i vector\n");
    for (int a = 0; a < 3; a++)
        strbuf_addf(out, " %%%d = load c%d : %s\n", a, a, sn_dtype_name(dtype));
    strbuf_add(out, strbuf_text(&r->body));
    for (int i = 0; i < r->count; i++) strbuf_addf(out, " store c%d %%%d\n", 3 + i, 3 + i);
    strbuf_add(out, " end\n}\n");
    strbuf_free(&r->body);
}

/* Every primitive that takes operands of this dtype, but for conversions. */
static inline void cuda_prims_text(StrBuf *out, sn_dtype dtype) {
    CudaResults r = {.count = 0};
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        const KOpRow *row = kop_row(op);
        char text[64];
        if (row->form != KFORM_PRIM || !(row->inputs >> dtype & 1)) continue;
        if (op == OP_CAST || op == OP_BITCAST || op == OP_WHERE) continue;
        if (op == OP_SCALE) continue; /* not for any operands; exp uses it */
        static const char *const operands[] = {"", "%0", "%0, %1", "%0, %1, %2"};
        snprintf(text, sizeof text, "%s %s", op_info[op].name, operands[row->n_inputs]);
        if (op == OP_EQ) { /* its result is where's condition */
            cuda_result(&r, text, SN_BOOL);
            snprintf(text, sizeof text, "where %%%d, %%1, %%2", 2 + r.count);
            cuda_result(&r, text, dtype);
            continue;
        }
        cuda_result(&r, text, row->result == KRESULT_BOOL ? SN_BOOL : dtype);
    }
    cuda_results_text(out, &r, dtype);
}

/* Every conversion from this dtype, and constants of it. */
static inline void cuda_casts_text(StrBuf *out, sn_dtype dtype) {
    static const char *const floats[] = {"nan",      "inf",      "-inf", "-0.0", "0x1.fffffep+127",
                                         "0x1p-149", "-0x1.8p+0"};
    static const char *const least[SN_DTYPE_COUNT] = {
        [SN_BOOL] = "true",  [SN_U8] = "255",          [SN_I8] = "-128",
        [SN_I16] = "-32768", [SN_I32] = "-2147483648", [SN_I64] = "-9223372036854775808",
    };
    CudaResults r = {.count = 0};
    const KOpRow *bits = kop_row(OP_BITCAST);
    for (uint32_t to = 0; to < SN_DTYPE_COUNT; to++) {
        cuda_result(&r, "cast %0", (sn_dtype)to);
        bool same = sn_dtype_size((sn_dtype)to) == sn_dtype_size(dtype);
        if (same && bits->inputs >> dtype & 1 && bits->results >> to & 1)
            cuda_result(&r, "bitcast %1", (sn_dtype)to);
    }
    for (int i = 0; i < 7; i++) {
        const char *text = dtype_is_float(dtype) ? floats[i] : least[dtype];
        if (dtype == SN_F16 && i >= 4) text = "0x1.8p-3";
        if (dtype == SN_BF16 && i >= 4) text = "0x1.8p-130";
        strbuf_addf(&r.body, " %%%d = const %s %s\n", 3 + r.count, sn_dtype_name(dtype), text);
        r.dtypes[r.count++] = dtype;
        if (!dtype_is_float(dtype)) break;
    }
    cuda_results_text(out, &r, dtype);
}

#endif
