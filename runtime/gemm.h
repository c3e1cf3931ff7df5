/* Extern contraction: batched matrix products by a vendor library in a module of its own
 * (libsinter_gemm.so), loaded at the first product. A plan is a product of fixed shape and layout,
 * prepared once; the bits of its result are a function of the shape, the layouts, the machine, the
 * thread count and the library's version, so eager and compiled code that use equal shapes agree. A
 * forked child computes with one thread. */
#ifndef SN_RUNTIME_GEMM_H
#define SN_RUNTIME_GEMM_H

#include <sinter/error.h>

/* Indices of a matrix's strides: two batch levels, rows, columns. */
enum { GEMM_OUTER, GEMM_BATCH, GEMM_ROW, GEMM_COL, GEMM_DIMS };

/* c[o,b,i,j] = relu?(Σ_p a[o,b,i,p] · b[o,b,p,j] + bias[j]). Strides are in elements; the strides
 * of dimensions of size 1 do not matter. */
typedef struct GemmShape {
    int64_t outer;        /* size of the outer batch level; 1 = none */
    int64_t batch;        /* size of the inner batch level; 1 = none */
    int64_t m, n, k;      /* c is m × n, the inner size is k */
    int64_t a[GEMM_DIMS]; /* strides of a; batch strides 0 repeat the matrix */
    int64_t b[GEMM_DIMS]; /* strides of b; a transposed weight[n,k] has row 1, column k */
    int64_t c[GEMM_DIMS]; /* strides of c */
    sn_dtype dtype;       /* SN_F32, or SN_BF16 with sums in f32: of a, b, c and bias */
    bool bias;            /* a dense bias[n] is added */
    bool relu;            /* negative results become 0 */
} GemmShape;

typedef struct GemmPlan GemmPlan;

/* True when the layouts are taken as they are: in a and b rows or columns are dense, in c the
 * columns, and nothing overlaps. Otherwise the caller copies the operand to a dense one first. */
bool gemm_accepts(const GemmShape *shape);
/* The plan of a shape for a number of threads, prepared at the first request and kept for the life
 * of the process. SN_ERROR_ARGUMENT when gemm_accepts is false or a size is negative,
 * SN_ERROR_UNSUPPORTED when the module is missing. Thread-safe. */
sn_status gemm_get(const GemmShape *shape, int32_t threads, const GemmPlan **plan, sn_error *error);
/* Runs a plan. `bias` is ignored unless the shape has one. c must not overlap the inputs. An empty
 * inner dimension gives bias or zeros; an empty result, nothing. Thread-safe. */
sn_status gemm_run(const GemmPlan *plan, const void *a, const void *b, const void *bias, void *c,
                   sn_error *error);

/* ---- what the module provides ---------------------------------------------------------------- */

enum { GEMM_ABI = 1 };

/* A prepared product of the module; opaque to the library. */
typedef struct GemmPrimitive GemmPrimitive;

/* Functions of the module, which exports `const GemmModule *sinter_gemm(void)`. */
typedef struct GemmModule {
    uint32_t abi; /* GEMM_ABI */
    /* Prepares a product that gemm_accepts, with no empty dimension. */
    sn_status (*prepare)(const GemmShape *shape, int32_t threads, GemmPrimitive **primitive,
                         sn_error *error);
    /* Runs it; thread-safe. */
    sn_status (*run)(GemmPrimitive *primitive, const void *a, const void *b, const void *bias,
                     void *c, sn_error *error);
    void (*destroy)(GemmPrimitive *primitive);
} GemmModule;

typedef const GemmModule *GemmEntry(void);

#endif
