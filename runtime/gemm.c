/* Plans of matrix products and the loading of the module behind them; see gemm.h. In a forked child,
 * which has none of the threads that the module's library uses, all products are for one thread. */
#include "runtime/gemm.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/thread/deep.h"
#include "base/thread/lock.h"
#include "base/thread/parallel.h"
#include "base/vec.h"
#include "ir/op/dtype.h"
#include "runtime/kernels/plugin.h"

#include <stdatomic.h>

/* Words of a canonical key: sizes, strides, and one of dtype, flags and threads. */
enum { KEY_WORDS = 5 + 3 * GEMM_DIMS + 1 };

struct GemmPlan {
    int64_t key[KEY_WORDS];   /* shape and threads, free strides zeroed */
    GemmShape shape;          /* as asked for */
    int32_t threads;          /* that it runs on */
    const GemmModule *module; /* who runs it; NULL when nothing is to be multiplied */
    GemmPrimitive *primitive; /* the module's part, or NULL */
};

LOCK_DEFINE(lock, RANK_GEMM);
/* oneDNN guards what it has prepared by a lock of its own, which no child must find taken: a fork waits for
 * this one. */
LOCK_DEFINE(preparing, RANK_PREPARE);
static VEC(GemmPlan *) plans; /* all plans, never removed */
static Map plan_index;        /* key → plan */
static _Atomic(const GemmModule *) loaded;

/* ---- shapes ---------------------------------------------------------------------------------- */

/* True for a matrix with dense rows or dense columns that does not overlap itself. */
static bool matrix_dense(int64_t rows, int64_t cols, const int64_t *strides) {
    int64_t row = strides[GEMM_ROW], col = strides[GEMM_COL];
    if (rows == 0 || cols == 0 || (rows == 1 && cols == 1)) return true;
    if (rows == 1) return col >= 1;
    if (cols == 1) return row >= 1;
    return (col == 1 && row >= cols) || (row == 1 && col >= rows);
}

/* True when the batch levels of the result neither repeat nor go backwards. */
static bool batch_ok(const GemmShape *s, const int64_t *strides, bool may_repeat) {
    int64_t least = may_repeat ? 0 : 1;
    return (s->outer <= 1 || strides[GEMM_OUTER] >= least) &&
           (s->batch <= 1 || strides[GEMM_BATCH] >= least);
}

bool gemm_accepts(const GemmShape *s) {
    bool dense_result = s->n <= 1 || s->c[GEMM_COL] == 1;
    return (s->dtype == SN_F32 || s->dtype == SN_BF16) && matrix_dense(s->m, s->k, s->a) &&
           matrix_dense(s->k, s->n, s->b) && matrix_dense(s->m, s->n, s->c) && dense_result &&
           batch_ok(s, s->a, true) && batch_ok(s, s->b, true) && batch_ok(s, s->c, false);
}

static bool shape_empty(const GemmShape *s) {
    return s->outer == 0 || s->batch == 0 || s->m == 0 || s->n == 0;
}

static bool multiplies_nothing(const GemmShape *s) {
    return shape_empty(s) || s->k == 0;
}

/* Folds what means the same into one form: an outer level that continues the inner one, and batches
 * that are only more rows of one product. Fewer levels run faster. */
static GemmShape shape_fold(const GemmShape *shape) {
    GemmShape s = *shape;
    SN_ASSERT(gemm_accepts(shape) && !shape_empty(shape));
    int64_t *strides[] = {s.a, s.b, s.c};
    bool joins = s.outer > 1 && s.batch > 1;
    for (int i = 0; i < 3; i++)
        joins = joins && strides[i][GEMM_OUTER] == s.batch * strides[i][GEMM_BATCH];
    if (joins) s.batch *= s.outer;
    if (s.outer > 1 && s.batch == 1) {
        s.batch = s.outer;
        for (int i = 0; i < 3; i++) strides[i][GEMM_BATCH] = strides[i][GEMM_OUTER];
        joins = true;
    }
    if (joins) s.outer = 1;
    bool one_b = s.outer == 1 && s.batch > 1 && s.b[GEMM_BATCH] == 0;
    if (one_b && s.m == 1) { /* each batch is one row */
        s.a[GEMM_ROW] = s.a[GEMM_BATCH];
        s.c[GEMM_ROW] = s.c[GEMM_BATCH];
    }
    if (one_b && s.a[GEMM_BATCH] == s.m * s.a[GEMM_ROW] && s.c[GEMM_BATCH] == s.m * s.c[GEMM_ROW]) {
        s.m *= s.batch;
        s.batch = 1;
    }
    return gemm_accepts(&s) ? s : *shape;
}

/* Writes sizes[i] > 1 ? strides : 0 of one matrix. */
static int64_t *key_strides(int64_t *word, const int64_t *strides, int64_t outer, int64_t batch,
                            int64_t rows, int64_t cols) {
    const int64_t sizes[GEMM_DIMS] = {outer, batch, rows, cols};
    for (int i = 0; i < GEMM_DIMS; i++) *word++ = sizes[i] > 1 ? strides[i] : 0;
    return word;
}

static void make_key(const GemmShape *s, int32_t threads, int64_t *key) {
    int64_t *word = key;
    *word++ = s->outer;
    *word++ = s->batch;
    *word++ = s->m;
    *word++ = s->n;
    *word++ = s->k;
    word = key_strides(word, s->a, s->outer, s->batch, s->m, s->k);
    word = key_strides(word, s->b, s->outer, s->batch, s->k, s->n);
    word = key_strides(word, s->c, s->outer, s->batch, s->m, s->n);
    SN_ASSERT(word == key + KEY_WORDS - 1);
    *word = (int64_t)threads << 16 | (int64_t)s->dtype << 8 | s->bias << 1 | s->relu;
}

/* ---- plans ----------------------------------------------------------------------------------- */

static bool key_equal(const void *context, uint32_t index) {
    return memcmp(context, plans.data[index]->key, sizeof plans.data[index]->key) == 0;
}

/* The plan of a key, or NULL. Lock held. */
static const GemmPlan *find_plan(const int64_t *key, uint64_t hash) {
    SN_ASSERT(lock_held(&lock));
    int64_t index = map_find(&plan_index, hash, key_equal, key);
    return index == MAP_NONE ? NULL : plans.data[index];
}

static void plan_free(GemmPlan *plan) {
    SN_ASSERT(!plan->primitive || plan->module);
    if (plan->primitive) plan->module->destroy(plan->primitive);
    mem_free(plan);
}

/* Publishes a plan unless another thread was first; the one to use, or NULL when out of memory. */
static const GemmPlan *publish(GemmPlan *plan, uint64_t hash) {
    lock_take(&lock);
    const GemmPlan *kept = find_plan(plan->key, hash);
    if (!kept && vec_reserve(&plans, 1) && map_insert(&plan_index, hash, plans.count)) {
        plans.data[plans.count++] = plan;
        kept = plan;
    }
    lock_give(&lock);
    if (kept != plan) plan_free(plan);
    return kept;
}

static const GemmModule *load(sn_error *error) {
    const GemmModule *module = atomic_load_explicit(&loaded, memory_order_acquire);
    if (module) return module;
    PluginFn *function =
        plugin_load("gemm", "sinter_gemm", "matrix products need it, everything else works", error);
    if (!function) return NULL;
    module = ((GemmEntry *)function)();
    if (module->abi != GEMM_ABI) {
        error_set(error, SN_ERROR_UNSUPPORTED,
                  "module libsinter_gemm.so is of another version of the library");
        return NULL;
    }
    atomic_store_explicit(&loaded, module, memory_order_release);
    return module;
}

/* A plan that is prepared. */
typedef struct Preparing {
    GemmPlan *plan;   /* which */
    sn_error *error;  /* what went wrong */
    sn_status status; /* whether something did */
} Preparing;

static void prepare(void *context) {
    Preparing *p = context;
    GemmPlan *plan = p->plan;
    plan->module = load(p->error);
    p->status = plan->module ? SN_OK : SN_ERROR_UNSUPPORTED;
    if (!plan->module) return;
    GemmShape folded = shape_fold(&plan->shape);
    lock_take(&preparing);
    p->status = plan->module->prepare(&folded, plan->threads, &plan->primitive, p->error);
    lock_give(&preparing);
}

static sn_status prepare_plan(GemmPlan *plan, sn_error *error) {
    if (multiplies_nothing(&plan->shape)) return SN_OK;
    Preparing p = {.plan = plan, .error = error};
    deep_call(prepare, &p);
    return p.status;
}

sn_status gemm_get(const GemmShape *shape, int32_t threads, const GemmPlan **plan,
                   sn_error *error) {
    int64_t key[KEY_WORDS];
    bool negative =
        shape->outer < 0 || shape->batch < 0 || shape->m < 0 || shape->n < 0 || shape->k < 0;
    /* Where nothing is multiplied, no layout is wrong. */
    bool accepted = !negative && (multiplies_nothing(shape) || gemm_accepts(shape));
    if (!accepted || threads < 1)
        return error_set(error, SN_ERROR_ARGUMENT, "a matrix product in a layout not taken");
    if (parallel_forked()) threads = 1;
    make_key(shape, threads, key);
    uint64_t hash = hash_bytes(key, sizeof key, 0);
    lock_take(&lock);
    *plan = find_plan(key, hash);
    lock_give(&lock);
    if (*plan) return SN_OK;
    GemmPlan *made = mem_calloc(1, sizeof *made);
    if (!made) return error_memory(error);
    memcpy(made->key, key, sizeof key);
    made->shape = *shape;
    made->threads = threads;
    sn_status status = prepare_plan(made, error);
    if (status != SN_OK) {
        plan_free(made);
        return status;
    }
    *plan = publish(made, hash);
    return *plan ? SN_OK : error_memory(error);
}

/* ---- running --------------------------------------------------------------------------------- */

/* The value of one result of an empty sum: bias or +0, after relu. NaN passes relu. */
static uint64_t empty_sum(const GemmShape *s, const char *bias, int64_t column, size_t size) {
    uint64_t bits = s->bias ? dtype_load(s->dtype, bias + (size_t)column * size) : 0;
    bool negative = dtype_bits_to_double(s->dtype, bits) < 0;
    return s->relu && negative ? 0 : bits;
}

/* Result of a product with nothing to sum. */
static void fill_result(const GemmShape *s, const void *bias, void *c) {
    size_t size = sn_dtype_size(s->dtype);
    for (int64_t j = 0; j < s->n; j++) {
        uint64_t bits = empty_sum(s, bias, j, size);
        for (int64_t row = 0; row < s->outer * s->batch * s->m; row++) {
            int64_t i = row % s->m, rest = row / s->m;
            int64_t at = rest / s->batch * s->c[GEMM_OUTER] + rest % s->batch * s->c[GEMM_BATCH] +
                         i * s->c[GEMM_ROW] + j * s->c[GEMM_COL];
            dtype_store(s->dtype, (char *)c + at * (int64_t)size, bits);
        }
    }
}

sn_status gemm_run(const GemmPlan *plan, const void *a, const void *b, const void *bias, void *c,
                   sn_error *error) {
    if (plan->threads > 1 && parallel_forked()) {
        sn_status status = gemm_get(&plan->shape, 1, &plan, error);
        if (status != SN_OK) return status;
    }
    SN_ASSERT((plan->primitive != NULL) == (plan->module != NULL));
    if (plan->primitive) return plan->module->run(plan->primitive, a, b, bias, c, error);
    if (!shape_empty(&plan->shape)) fill_result(&plan->shape, bias, c);
    return SN_OK;
}
