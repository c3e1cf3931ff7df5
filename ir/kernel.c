/* The kernel container, its equality, and the table of kernel IR's ops. A kernel is flat arrays of
 * plain structs, filled by the builder (ir/kernel_build.c) or the parser (ir/kernel_parse.c). */
#include "ir/kernel.h"

#include "ir/kernel_form.h"

enum {
    D_BOOL = 1 << SN_BOOL,
    D_INT = 1 << SN_U8 | 1 << SN_I8 | 1 << SN_I16 | 1 << SN_I32 | 1 << SN_I64,
    D_FLOAT = 1 << SN_F32 | 1 << SN_F64,
    D_HALF = 1 << SN_F16 | 1 << SN_BF16,
    D_NUMBER = D_INT | D_FLOAT,
    D_COMPUTE = D_BOOL | D_NUMBER,
    D_ANY = D_COMPUTE | D_HALF
};

#define PRIM(count, inputs)                                                                        \
    { KFORM_PRIM, count, KRESULT_SAME, inputs, 0 }
#define COMPARE                                                                                    \
    { KFORM_PRIM, 2, KRESULT_BOOL, D_COMPUTE, 0 }
#define REDUCE(result, inputs)                                                                     \
    { KFORM_REDUCE, 1, result, inputs, 0 }

const KOpRow kop_rows[OP_COUNT] = {
    [OP_NEG] = PRIM(1, D_NUMBER),
    [OP_ABS] = PRIM(1, D_NUMBER),
    [OP_SQRT] = PRIM(1, D_FLOAT),
    [OP_FLOOR] = PRIM(1, D_FLOAT),
    [OP_CEIL] = PRIM(1, D_FLOAT),
    [OP_ROUND] = PRIM(1, D_FLOAT),
    [OP_TRUNC] = PRIM(1, D_FLOAT),
    [OP_ADD] = PRIM(2, D_COMPUTE),
    [OP_SUB] = PRIM(2, D_NUMBER),
    [OP_MUL] = PRIM(2, D_COMPUTE),
    [OP_DIV] = PRIM(2, D_FLOAT),
    [OP_FMOD] = PRIM(2, D_NUMBER),
    [OP_MAXIMUM] = PRIM(2, D_COMPUTE),
    [OP_MINIMUM] = PRIM(2, D_COMPUTE),
    [OP_COPYSIGN] = PRIM(2, D_FLOAT),
    [OP_EQ] = COMPARE,
    [OP_NE] = COMPARE,
    [OP_LT] = COMPARE,
    [OP_LE] = COMPARE,
    [OP_GT] = COMPARE,
    [OP_GE] = COMPARE,
    [OP_BITWISE_AND] = PRIM(2, D_BOOL | D_INT),
    [OP_BITWISE_OR] = PRIM(2, D_BOOL | D_INT),
    [OP_BITWISE_XOR] = PRIM(2, D_BOOL | D_INT),
    [OP_SHIFT_LEFT] = PRIM(2, D_INT),
    [OP_SHIFT_RIGHT] = PRIM(2, D_INT),
    [OP_SHIFT_RIGHT_LOGICAL] = PRIM(2, D_INT),
    [OP_INT_DIV] = PRIM(2, D_INT),
    [OP_FMA] = PRIM(3, D_FLOAT),
    [OP_SCALE] = PRIM(2, D_FLOAT),
    [OP_WHERE] = {KFORM_PRIM, 3, KRESULT_TAIL, D_COMPUTE, 0},
    [OP_CAST] = {KFORM_PRIM, 1, KRESULT_OWN, D_ANY, D_ANY},
    [OP_BITCAST] = {KFORM_PRIM, 1, KRESULT_OWN, D_NUMBER | D_HALF, D_NUMBER | D_HALF},
    [OP_CONST] = {KFORM_CONST, 0, KRESULT_OWN, 0, D_ANY},
    [OP_PARAM] = {KFORM_PARAM, 0, KRESULT_OWN, 0, D_COMPUTE},
    [OP_INDEX_OF] = {KFORM_INDEX, 0, KRESULT_I64, 0, 0},
    [OP_GRID_INDEX] = {KFORM_GRID, 0, KRESULT_I64, 0, 0},
    [OP_LOAD] = {KFORM_LOAD, 0, KRESULT_OWN, 0, D_ANY},
    [OP_STORE] = {KFORM_STORE, 1, KRESULT_NONE, D_ANY, 0},
    [OP_STORE_ADD] = {KFORM_STORE, 1, KRESULT_NONE, D_COMPUTE, 0},
    [OP_CHECK] = {KFORM_CHECK, 1, KRESULT_NONE, D_BOOL, 0},
    [OP_LOOP] = {KFORM_LOOP, 0, KRESULT_NONE, 0, 0},
    [OP_END] = {KFORM_END, 0, KRESULT_NONE, 0, 0},
    [OP_REDUCE_SUM] = REDUCE(KRESULT_SAME, D_NUMBER),
    [OP_REDUCE_PROD] = REDUCE(KRESULT_SAME, D_NUMBER),
    [OP_REDUCE_MAX] = REDUCE(KRESULT_SAME, D_COMPUTE),
    [OP_REDUCE_MIN] = REDUCE(KRESULT_SAME, D_COMPUTE),
    [OP_REDUCE_ARGMAX] = REDUCE(KRESULT_I64, D_COMPUTE),
    [OP_REDUCE_ARGMIN] = REDUCE(KRESULT_I64, D_COMPUTE),
    [OP_SCAN_SUM] = {KFORM_SCAN, 1, KRESULT_SAME, D_NUMBER, 0},
};

void kernel_init(Kernel *kernel) {
    *kernel = (Kernel){0};
}

void kernel_free(Kernel *kernel) {
    vec_free(&kernel->args);
    vec_free(&kernel->axes);
    vec_free(&kernel->accesses);
    vec_free(&kernel->terms);
    vec_free(&kernel->insts);
    kernel->n_params = 0;
}

static bool coef_equal(KCoef a, KCoef b) {
    return a.param == b.param && a.value == b.value;
}

static bool term_equal(const KTerm *a, const KTerm *b) {
    return a->axis == b->axis && a->value == b->value && coef_equal(a->coef, b->coef);
}

/* Accesses are compared by their terms: where these lie in the array is no part of the kernel. */
static bool access_equal(const Kernel *a, const Kernel *b, uint32_t index) {
    const KAccess *x = &a->accesses.data[index];
    const KAccess *y = &b->accesses.data[index];
    if (x->arg != y->arg || x->n_terms != y->n_terms || !coef_equal(x->offset, y->offset))
        return false;
    for (uint32_t i = 0; i < x->n_terms; i++) {
        if (!term_equal(&a->terms.data[x->first_term + i], &b->terms.data[y->first_term + i]))
            return false;
    }
    return true;
}

static bool inst_equal(const KInst *a, const KInst *b) {
    return a->op == b->op && a->dtype == b->dtype && a->order == b->order && a->flags == b->flags &&
           a->imm == b->imm && a->in[0] == b->in[0] && a->in[1] == b->in[1] && a->in[2] == b->in[2];
}

bool kernel_equal(const Kernel *a, const Kernel *b) {
    if (a->n_params != b->n_params || a->args.count != b->args.count ||
        a->axes.count != b->axes.count || a->accesses.count != b->accesses.count ||
        a->insts.count != b->insts.count)
        return false;
    for (uint32_t i = 0; i < a->args.count; i++) {
        const KArg *x = &a->args.data[i];
        const KArg *y = &b->args.data[i];
        if (x->dtype != y->dtype || x->role != y->role || !coef_equal(x->size, y->size))
            return false;
    }
    for (uint32_t i = 0; i < a->axes.count; i++) {
        const KAxis *x = &a->axes.data[i];
        const KAxis *y = &b->axes.data[i];
        if (x->split != y->split || !coef_equal(x->size, y->size)) return false;
    }
    for (uint32_t i = 0; i < a->accesses.count; i++)
        if (!access_equal(a, b, i)) return false;
    for (uint32_t i = 0; i < a->insts.count; i++)
        if (!inst_equal(&a->insts.data[i], &b->insts.data[i])) return false;
    return true;
}
