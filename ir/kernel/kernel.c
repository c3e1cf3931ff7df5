/* The kernel container, its equality, and the table of kernel IR's ops. A kernel is flat arrays of
 * plain structs, filled by the builder (ir/kernel/build.c) or the parser (ir/kernel/parse.c). */
#include "ir/kernel/kernel.h"

#include "base/assert.h"
#include "ir/kernel/form.h"

#include <math.h>

enum {
    D_BOOL = 1 << SN_BOOL,
    D_INT = 1 << SN_U8 | 1 << SN_I8 | 1 << SN_I16 | 1 << SN_I32 | 1 << SN_I64,
    D_FLOAT = 1 << SN_F32 | 1 << SN_F64,
    D_HALF = 1 << SN_F16 | 1 << SN_BF16,
    D_NUMBER = D_INT | D_FLOAT,
    D_COMPUTE = D_BOOL | D_NUMBER,
    D_ANY = D_COMPUTE | D_HALF,
    D_BITS = D_NUMBER | D_HALF
};

#define PRIM(count, in)                                                                            \
    { KFORM_PRIM, count, KRESULT_SAME, .inputs = (in) }
#define COMPARE                                                                                    \
    { KFORM_PRIM, 2, KRESULT_BOOL, .inputs = D_COMPUTE }
/* Inputs: numbers, or whatever has an order. */
#define REDUCE(name, from, in)                                                                     \
    { KFORM_REDUCE, 1, KRESULT_SAME, .start = KSTART_##from, .merge = OP_##name, .inputs = (in) }
#define BEST(name, from)                                                                           \
    {                                                                                              \
        KFORM_REDUCE, 1, KRESULT_I64, .start = KSTART_##from, .merge = OP_##name,                  \
                                      .inputs = D_COMPUTE                                          \
    }

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
    [OP_CANONICAL_NAN] = PRIM(1, D_FLOAT),
    [OP_SCALE] = PRIM(2, D_FLOAT),
    [OP_WHERE] = {KFORM_PRIM, 3, KRESULT_TAIL, K_RARE, .inputs = D_COMPUTE},
    [OP_CAST] = {KFORM_PRIM, 1, KRESULT_OWN, .inputs = D_ANY, .results = D_ANY},
    [OP_BITCAST] = {KFORM_PRIM, 1, KRESULT_BITS, .inputs = D_BITS, .results = D_BITS},
    [OP_CONST] = {KFORM_CONST, 0, KRESULT_OWN, .results = D_ANY},
    [OP_PARAM] = {KFORM_PARAM, 0, KRESULT_OWN, .results = D_COMPUTE},
    [OP_INDEX_OF] = {KFORM_INDEX, 0, .result = KRESULT_I64},
    [OP_GRID_INDEX] = {KFORM_GRID, 0, .result = KRESULT_I64},
    [OP_LOAD] = {KFORM_LOAD, 0, KRESULT_OWN, K_PREDICATED, .results = D_ANY},
    [OP_STORE] = {KFORM_STORE, 1, KRESULT_NONE, K_PREDICATED, .inputs = D_ANY},
    [OP_STORE_ADD] = {KFORM_STORE, 1, KRESULT_NONE, K_PREDICATED, .merge = OP_ADD,
                      .inputs = D_COMPUTE},
    [OP_ADDRESS] = {KFORM_ADDRESS, 0, .result = KRESULT_I64},
    [OP_CHECK] = {KFORM_CHECK, 1, KRESULT_NONE, .inputs = D_BOOL},
    [OP_LOOP] = {KFORM_LOOP, 0, KRESULT_NONE, .flags = K_VECTOR},
    [OP_END] = {KFORM_END, 0, .result = KRESULT_NONE},
    [OP_REDUCE_SUM] = REDUCE(ADD, ZERO, D_NUMBER),
    [OP_REDUCE_PROD] = REDUCE(MUL, ONE, D_NUMBER),
    [OP_REDUCE_MAX] = REDUCE(MAXIMUM, LEAST, D_COMPUTE),
    [OP_REDUCE_MIN] = REDUCE(MINIMUM, LARGEST, D_COMPUTE),
    [OP_REDUCE_ARGMAX] = BEST(GT, LEAST),
    [OP_REDUCE_ARGMIN] = BEST(LT, LARGEST),
    [OP_REDUCE_FMA] = {KFORM_REDUCE, 2, KRESULT_SAME, .merge = OP_ADD, .inputs = D_FLOAT},
    [OP_SCAN_SUM] = {KFORM_SCAN, 1, KRESULT_SAME, .merge = OP_ADD, .inputs = D_NUMBER},
};

static const uint16_t of_reductions[OP_COUNT] = {
    [OP_SUM] = OP_REDUCE_SUM,       [OP_PROD] = OP_REDUCE_PROD, [OP_MAX] = OP_REDUCE_MAX,
    [OP_CONTRACT] = OP_REDUCE_FMA,  [OP_MIN] = OP_REDUCE_MIN,   [OP_ARGMAX] = OP_REDUCE_ARGMAX,
    [OP_ARGMIN] = OP_REDUCE_ARGMIN,
};

OpCode kop_of_reduction(OpCode op) {
    SN_ASSERT(kop_is(of_reductions[op], KFORM_REDUCE));
    return (OpCode)of_reductions[op];
}

uint64_t kstart_bits(KStart start, sn_dtype dtype) {
    SN_ASSERT(!dtype_is_half(dtype)); /* in which nothing is computed */
    static const double values[] = {[KSTART_ZERO] = -0.0,
                                    [KSTART_ONE] = 1.0,
                                    [KSTART_LEAST] = -INFINITY,
                                    [KSTART_LARGEST] = INFINITY};
    SN_ASSERT(start <= KSTART_LARGEST && !dtype_is_half(dtype));
    if (dtype == SN_BOOL && start == KSTART_LEAST) return 0; /* -inf is not 0, hence true */
    return dtype_bits_from_double(dtype, values[start]);
}

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

size_t kernel_chain_size(const Kernel *kernel) {
    for (uint32_t i = 0; i < kernel->insts.count; i++)
        if (kop_is_chain(kernel->insts.data[i].op))
            return sn_dtype_size((sn_dtype)kernel->insts.data[i].dtype);
    return 0;
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

bool kernel_same_lines(const Kernel *a, const Kernel *b) {
    SN_ASSERT(a->insts.count == b->insts.count);
    for (uint32_t i = 0; i < a->insts.count; i++)
        if (a->insts.data[i].site != b->insts.data[i].site) return false;
    return true;
}

uint64_t kernel_hash_lines(const Kernel *kernel) {
    uint64_t hash = hash_mix(kernel->args.count, kernel->insts.count);
    for (uint32_t i = 0; i < kernel->insts.count; i++) {
        const KInst *inst = &kernel->insts.data[i];
        uint64_t head = (uint64_t)inst->op << 48 | (uint64_t)inst->dtype << 40 | inst->site;
        hash = hash_mix(hash_mix(hash, head), hash_mix(inst->in[0], inst->in[1]) ^ inst->imm);
    }
    return hash;
}
