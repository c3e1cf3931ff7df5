/* The module libsinter_gemm.so: matrix products by oneDNN's matmul primitive. The only file that
 * knows oneDNN; it takes the C API of versions 2 and 3.
 *
 * It has no locks and knows nothing of forks: runtime/gemm.c prepares one product at a time, and in a
 * forked child, which has none of OpenMP's threads, for one thread only. */
#include "base/mem.h"
#include "base/status.h"
#include "runtime/gemm.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* Everything that one running call needs for itself. */
typedef struct CallState {
    dnnl_stream_t stream;  /* where it executes */
    dnnl_memory_t a, b, c; /* operands; their pointers are set at each call */
    dnnl_memory_t bias;    /* NULL without a bias */
    dnnl_memory_t scratch; /* NULL when the primitive needs none */
    void *scratch_bytes;   /* what `scratch` points to */
} CallState;

struct GemmPrimitive {
    dnnl_primitive_desc_t desc; /* what was prepared */
    dnnl_primitive_t primitive; /* the code */
    int32_t threads;            /* team size at preparation, hence at each run */
    GemmShape shape;            /* what it computes */
    bool swapped;               /* prepared as the transpose: a and b change places */
    _Atomic(CallState *) spare; /* an idle call state, or NULL */
};

static dnnl_engine_t engine;
static dnnl_status_t engine_status;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static void make_engine(void) {
    engine_status = dnnl_engine_create(&engine, dnnl_cpu, 0);
}

/* Operands of a primitive, in the order of arrays of layouts. */
enum { LAYOUT_A, LAYOUT_B, LAYOUT_C, LAYOUT_BIAS, LAYOUT_COUNT };

/* ---- the two versions of the API ------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t Layout; /* owned */
typedef const_dnnl_memory_desc_t LayoutRef;

static dnnl_status_t layout_make(Layout *layout, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(layout, rank, dims, type, strides);
}

static void layout_free(Layout *layout) {
    if (*layout) dnnl_memory_desc_destroy(*layout);
}

static dnnl_status_t desc_make(dnnl_primitive_desc_t *desc, bool inner, Layout *layouts, bool bias,
                               dnnl_primitive_attr_t attr) {
    LayoutRef added = bias ? layouts[LAYOUT_BIAS] : NULL;
    if (inner)
        return dnnl_inner_product_forward_primitive_desc_create(
            desc, engine, dnnl_forward_inference, layouts[LAYOUT_A], layouts[LAYOUT_B], added,
            layouts[LAYOUT_C], attr);
    return dnnl_matmul_primitive_desc_create(desc, engine, layouts[LAYOUT_A], layouts[LAYOUT_B],
                                             added, layouts[LAYOUT_C], attr);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
}

#else

typedef dnnl_memory_desc_t Layout; /* a plain value */
typedef const dnnl_memory_desc_t *LayoutRef;

static dnnl_status_t layout_make(Layout *layout, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(layout, rank, dims, type, strides);
}

static void layout_free(Layout *layout) {
    (void)layout;
}

static dnnl_status_t desc_make(dnnl_primitive_desc_t *desc, bool inner, Layout *layouts, bool bias,
                               dnnl_primitive_attr_t attr) {
    union {
        dnnl_matmul_desc_t matmul;
        dnnl_inner_product_desc_t inner;
    } operation;
    LayoutRef added = bias ? &layouts[LAYOUT_BIAS] : NULL;
    dnnl_status_t status =
        inner ? dnnl_inner_product_forward_desc_init(&operation.inner, dnnl_forward_inference,
                                                     &layouts[LAYOUT_A], &layouts[LAYOUT_B], added,
                                                     &layouts[LAYOUT_C])
              : dnnl_matmul_desc_init(&operation.matmul, &layouts[LAYOUT_A], &layouts[LAYOUT_B],
                                      added, &layouts[LAYOUT_C]);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(desc, &operation, attr, engine, NULL);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
}

#endif

/* ---- preparation ----------------------------------------------------------------------------- */

/* Up to this many rows, weights stored [n,k] run through the inner product primitive, which reaches
 * memory's speed there; matmul copies such weights first and takes 2.5 times as long at one row. */
enum { INNER_PRODUCT_ROWS = 6 };

static int layout_rank(const GemmShape *shape) {
    return shape->outer > 1 ? 4 : shape->batch > 1 ? 3 : 2;
}

static dnnl_data_type_t element_type(const GemmShape *shape) {
    return shape->dtype == SN_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* A product with one column is slow; its transpose, with one row, is not: cᵀ = bᵀ · aᵀ. Possible
 * when c can be read as a dense row; a bias then is one number for the row. */
static GemmShape turn_column(const GemmShape *shape) {
    GemmShape turned = *shape;
    if (shape->n != 1 || shape->m == 1 || shape->c[GEMM_ROW] != 1) return turned;
    turned.m = 1;
    turned.n = shape->m;
    for (int i = 0; i < GEMM_DIMS; i++) {
        int from = i == GEMM_ROW ? GEMM_COL : i == GEMM_COL ? GEMM_ROW : i;
        turned.a[i] = shape->b[from];
        turned.b[i] = shape->a[from];
        turned.c[i] = shape->c[from];
    }
    return turned;
}

/* Strides of a dimension of size 1 are free in our interface; here they are what a dense layout
 * would have, since others miss the library's fast paths. But oneDNN 3.7 multiplies a vector whose
 * elements are apart as if they were adjacent; strides of no dense layout keep it from trying. */
static void settle_strides(const GemmShape *shape, int64_t rows, int64_t cols, int64_t *row_step,
                           int64_t *col_step) {
    bool evade = DNNL_VERSION_MAJOR >= 3 && (shape->m == 1 || shape->n == 1);
    if (cols == 1) *col_step = evade && rows > 1 && *row_step > 1 ? rows * *row_step : 1;
    if (rows == 1) *row_step = *col_step == 1 ? cols : evade ? cols * *col_step : 1;
}

/* Layout of one matrix: rank 2 without batch, 3 with one level, 4 with two. A repeated batch level
 * has size 1. */
static dnnl_status_t matrix_layout(Layout *layout, const GemmShape *shape, int64_t rows,
                                   int64_t cols, const int64_t *strides) {
    int rank = layout_rank(shape);
    int64_t sizes[GEMM_DIMS] = {shape->outer, shape->batch, rows, cols};
    int64_t steps[GEMM_DIMS] = {strides[0], strides[1], strides[2], strides[3]};
    dnnl_dims_t dims_out = {0}, steps_out = {0};
    settle_strides(shape, rows, cols, &steps[GEMM_ROW], &steps[GEMM_COL]);
    for (int i = GEMM_BATCH; i >= GEMM_OUTER; i--) {
        if (steps[i] == 0) sizes[i] = 1;
        if (sizes[i] == 1)
            steps[i] = i == GEMM_BATCH ? rows * cols : sizes[GEMM_BATCH] * steps[GEMM_BATCH];
    }
    for (int i = 0; i < rank; i++) {
        dims_out[i] = sizes[GEMM_DIMS - rank + i];
        steps_out[i] = steps[GEMM_DIMS - rank + i];
    }
    return layout_make(layout, rank, dims_out, element_type(shape), steps_out);
}

/* Layout of a bias of `count` elements along the columns (1: the same for all). */
static dnnl_status_t bias_layout(Layout *layout, const GemmShape *shape, int64_t count) {
    int rank = layout_rank(shape);
    dnnl_dims_t dims = {1, 1, 1, 1}, steps = {count, count, count, count};
    dims[rank - 1] = count;
    steps[rank - 1] = 1;
    return layout_make(layout, rank, dims, element_type(shape), steps);
}

/* Layouts of the inner product: x[m,k], weights[n,k] in oneDNN's order, bias[n], result[m,n]. */
static dnnl_status_t inner_layouts(Layout *layouts, const GemmShape *s) {
    GemmShape weights = *s;
    weights.b[GEMM_ROW] = s->b[GEMM_COL];
    weights.b[GEMM_COL] = s->b[GEMM_ROW];
    dnnl_dims_t bias = {s->n}, one = {1};
    dnnl_status_t status = matrix_layout(&layouts[LAYOUT_A], s, s->m, s->k, s->a);
    if (status == dnnl_success)
        status = matrix_layout(&layouts[LAYOUT_B], s, s->n, s->k, weights.b);
    if (status == dnnl_success) status = matrix_layout(&layouts[LAYOUT_C], s, s->m, s->n, s->c);
    if (status == dnnl_success && s->bias)
        status = layout_make(&layouts[LAYOUT_BIAS], 1, bias, element_type(s), one);
    return status;
}

static dnnl_status_t matmul_layouts(Layout *layouts, const GemmShape *s, int64_t bias_count) {
    dnnl_status_t status = matrix_layout(&layouts[LAYOUT_A], s, s->m, s->k, s->a);
    if (status == dnnl_success) status = matrix_layout(&layouts[LAYOUT_B], s, s->k, s->n, s->b);
    if (status == dnnl_success) status = matrix_layout(&layouts[LAYOUT_C], s, s->m, s->n, s->c);
    if (status == dnnl_success && s->bias)
        status = bias_layout(&layouts[LAYOUT_BIAS], s, bias_count);
    return status;
}

/* True when the inner product primitive is the better one: few rows, weights dense along k. */
static bool prefers_inner(const GemmShape *s, int64_t bias_count) {
    return s->outer == 1 && s->batch == 1 && s->m <= INNER_PRODUCT_ROWS && s->dtype == SN_F32 &&
           s->n > 1 && s->k > 1 && s->b[GEMM_ROW] == 1 && s->b[GEMM_COL] == s->k &&
           (s->a[GEMM_COL] == 1 && (s->m == 1 || s->a[GEMM_ROW] == s->k)) &&
           (s->c[GEMM_COL] == 1 && (s->m == 1 || s->c[GEMM_ROW] == s->n)) &&
           (!s->bias || bias_count == s->n);
}

/* Attributes: scratch memory from the caller, so that calls can overlap; relu if asked for. */
static dnnl_status_t make_attr(dnnl_primitive_attr_t *attr, bool relu) {
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !relu) return status;
    dnnl_post_ops_t ops = NULL;
    status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = append_relu(ops);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_primitive(GemmPrimitive *p, const GemmShape *original) {
    GemmShape turned = turn_column(original);
    const GemmShape *shape = &turned;
    Layout layouts[LAYOUT_COUNT] = {0};
    dnnl_primitive_attr_t attr = NULL;
    bool inner = prefers_inner(shape, original->n);
    p->swapped = shape->m != original->m;
    dnnl_status_t status =
        inner ? inner_layouts(layouts, shape) : matmul_layouts(layouts, shape, original->n);
    if (status == dnnl_success) status = make_attr(&attr, shape->relu);
    if (status == dnnl_success) status = desc_make(&p->desc, inner, layouts, shape->bias, attr);
    if (status == dnnl_success) status = dnnl_primitive_create(&p->primitive, p->desc);
    if (attr) dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < LAYOUT_COUNT; i++) layout_free(&layouts[i]);
    return status;
}

static sn_status failed(dnnl_status_t status, sn_error *error) {
    if (status == dnnl_out_of_memory) return error_memory(error);
    sn_status ours = status == dnnl_unimplemented ? SN_ERROR_UNSUPPORTED : SN_ERROR_INTERNAL;
    return error_set(error, ours, "the matrix library refused a product (code %d)", (int)status);
}

static void primitive_destroy(GemmPrimitive *p);

static sn_status prepare(const GemmShape *shape, int32_t threads, GemmPrimitive **primitive,
                         sn_error *error) {
    pthread_once(&engine_once, make_engine);
    if (engine_status != dnnl_success) return failed(engine_status, error);
    GemmPrimitive *p = mem_calloc(1, sizeof *p);
    if (!p) return error_memory(error);
    p->threads = threads;
    p->shape = *shape;
    /* The program's own OpenMP setting is put back. */
    int theirs = omp_get_max_threads();
    omp_set_num_threads(threads);
    dnnl_status_t status = make_primitive(p, shape);
    omp_set_num_threads(theirs);
    if (status != dnnl_success) {
        primitive_destroy(p);
        return failed(status, error);
    }
    *primitive = p;
    return SN_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

static void call_state_free(CallState *state) {
    dnnl_memory_t memories[] = {state->a, state->b, state->c, state->bias, state->scratch};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        if (memories[i]) dnnl_memory_destroy(memories[i]);
    if (state->stream) dnnl_stream_destroy(state->stream);
    mem_free(state->scratch_bytes);
    mem_free(state);
}

/* A memory object for an operand of the primitive, without a pointer yet. */
static dnnl_status_t operand(const GemmPrimitive *p, dnnl_query_t which, int index,
                             dnnl_memory_t *memory) {
    LayoutRef layout = dnnl_primitive_desc_query_md(p->desc, which, index);
    return dnnl_memory_create(memory, layout, engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t call_state_fill(const GemmPrimitive *p, CallState *state) {
    dnnl_status_t status = dnnl_stream_create(&state->stream, engine, dnnl_stream_default_flags);
    if (status == dnnl_success) status = operand(p, dnnl_query_src_md, 0, &state->a);
    if (status == dnnl_success) status = operand(p, dnnl_query_weights_md, 0, &state->b);
    if (status == dnnl_success) status = operand(p, dnnl_query_dst_md, 0, &state->c);
    if (status == dnnl_success && p->shape.bias)
        status = operand(p, dnnl_query_weights_md, 1, &state->bias);
    LayoutRef scratch = dnnl_primitive_desc_query_md(p->desc, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    if (status != dnnl_success || bytes == 0) return status;
    state->scratch_bytes = mem_alloc_aligned(64, bytes);
    if (!state->scratch_bytes) return dnnl_out_of_memory;
    return dnnl_memory_create(&state->scratch, scratch, engine, state->scratch_bytes);
}

/* Takes the idle call state, or makes one. */
static dnnl_status_t call_state_take(GemmPrimitive *p, CallState **state) {
    *state = atomic_exchange_explicit(&p->spare, NULL, memory_order_acquire);
    if (*state) return dnnl_success;
    *state = mem_calloc(1, sizeof **state);
    if (!*state) return dnnl_out_of_memory;
    dnnl_status_t status = call_state_fill(p, *state);
    if (status != dnnl_success) {
        call_state_free(*state);
        *state = NULL;
    }
    return status;
}

static void call_state_give(GemmPrimitive *p, CallState *state) {
    CallState *other = atomic_exchange_explicit(&p->spare, state, memory_order_acq_rel);
    if (other) call_state_free(other);
}

/* oneDNN's API has no const pointers for inputs. */
static dnnl_status_t set_pointer(dnnl_memory_t memory, const void *pointer) {
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)pointer);
}

static dnnl_status_t execute(const GemmPrimitive *p, const CallState *state) {
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, state->a},
        {DNNL_ARG_WEIGHTS, state->b},
        {DNNL_ARG_DST, state->c},
    };
    int count = 3;
    if (state->bias) args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, state->bias};
    if (state->scratch) args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, state->scratch};
    int theirs = omp_get_max_threads();
    if (theirs != p->threads) omp_set_num_threads(p->threads);
    dnnl_status_t status = dnnl_primitive_execute(p->primitive, state->stream, count, args);
    if (theirs != p->threads) omp_set_num_threads(theirs);
    return status;
}

static sn_status run(GemmPrimitive *p, const void *a, const void *b, const void *bias, void *c,
                     sn_error *error) {
    CallState *state;
    dnnl_status_t status = call_state_take(p, &state);
    if (status != dnnl_success) return failed(status, error);
    status = set_pointer(state->a, p->swapped ? b : a);
    if (status == dnnl_success) status = set_pointer(state->b, p->swapped ? a : b);
    if (status == dnnl_success) status = set_pointer(state->c, c);
    if (status == dnnl_success && state->bias) status = set_pointer(state->bias, bias);
    if (status == dnnl_success) status = execute(p, state);
    call_state_give(p, state);
    return status == dnnl_success ? SN_OK : failed(status, error);
}

static void primitive_destroy(GemmPrimitive *p) {
    CallState *spare = atomic_load(&p->spare);
    if (spare) call_state_free(spare);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->desc) dnnl_primitive_desc_destroy(p->desc);
    mem_free(p);
}

/* ---- the module's entry ---------------------------------------------------------------------- */

static const GemmModule module = {
    .abi = GEMM_ABI,
    .prepare = prepare,
    .run = run,
    .destroy = primitive_destroy,
};

SN_API const GemmModule *sinter_gemm(void);
const GemmModule *sinter_gemm(void) {
    return &module;
}
