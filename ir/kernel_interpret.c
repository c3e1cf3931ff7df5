/* The reference executor of kernel IR: one scalar at a time with scalar_eval. Slow, simple, and the
 * definition that code generators must match bit for bit.
 *
 * Order of reductions. Elements x0, x1, … are the values of the operand in the trips of the loop,
 * counted from 0 at the loop's first trip in this item (a block of a split axis counts anew).
 *
 * Sums and products start every accumulator at the identity: -0.0 (so that -0.0 + x is x, and a
 * sum of nothing but -0.0 stays -0.0), 1, or the integer 0. A sum without trips is +0, a product 1.
 *   ROW     element i belongs to chunk i / 1024 and there to lane i % 32; a lane adds its elements
 *           in ascending order, acc + x. Chunks (32 lanes each, absent elements leave the identity)
 *           are merged lane by lane in the tree. The lanes of the one vector left are halved:
 *           lane l becomes lane l + lane (l + 16) for l < 16, then with 8, 4, 2, 1.
 *   COLUMN  chunks of 32 elements, each added in ascending order; chunks are merged in the tree.
 *   TREE    elements are merged in the tree.
 *   FREE    order cannot matter; here ascending.
 * The tree merges adjacent pairs, level by level, the earlier operand on the left; the odd one at
 * the end passes to the next level. Carried out in one pass: like a binary counter, two neighbours
 * of equal size merge at once; at the end what is left merges from the last to the first.
 *
 * Maximum and minimum start at the least or largest value of the dtype (floats: -inf, +inf) and
 * merge with MAXIMUM and MINIMUM: NaN wins, +0 > -0. ARGMAX and ARGMIN give the loop index of the
 * first NaN; without one, of the first element that no other exceeds, where +0 equals -0; 0 without
 * trips.
 *
 * SCAN_SUM gives out = (C + R) + L: C the sum of the totals of earlier chunks of 1024 elements, R
 * the sum of the totals of earlier runs of 32 within the chunk, L the inclusive sum within the run,
 * each from the left starting at -0.0. A run's total is its last L, a chunk's its last R + L.
 *
 * STORE_ADD to f16 or bf16 widens the element, adds in f32 and rounds again. */
#include "base/status.h"
#include "ir/kernel.h"
#include "ir/kernel_form.h"

#include <math.h>

enum { LANES = 32, CHUNK = 1024, RUN = 32, LEVELS = 64 };

/* How a reduction merges two values, and where it starts. */
typedef struct ReduceRule {
    uint16_t merge;   /* OpCode of the merge, or of the comparison for ARGMAX and ARGMIN */
    uint8_t identity; /* see identity_bits */
    bool is_index;    /* ARGMAX, ARGMIN */
} ReduceRule;

enum { FROM_ZERO, FROM_ONE, FROM_LEAST, FROM_LARGEST };

static ReduceRule reduce_rule(uint32_t op) {
    switch (op) {
    case OP_REDUCE_PROD:
        return (ReduceRule){OP_MUL, FROM_ONE, false};
    case OP_REDUCE_MAX:
        return (ReduceRule){OP_MAXIMUM, FROM_LEAST, false};
    case OP_REDUCE_MIN:
        return (ReduceRule){OP_MINIMUM, FROM_LARGEST, false};
    case OP_REDUCE_ARGMAX:
        return (ReduceRule){OP_GT, FROM_LEAST, true};
    case OP_REDUCE_ARGMIN:
        return (ReduceRule){OP_LT, FROM_LARGEST, true};
    default:
        return (ReduceRule){OP_ADD, FROM_ZERO, false};
    }
}

/* The state of one reduction or scan while its loop runs. */
typedef struct Reducer {
    ReduceRule rule;              /* what it does */
    sn_dtype dtype;               /* of the operand */
    uint64_t axis;                /* of its loop */
    uint32_t chunk;               /* elements of a chunk; 0: all in one */
    uint32_t lanes;               /* accumulators of a chunk: 1 or 32 */
    uint64_t count;               /* elements so far */
    uint64_t chunks;              /* chunks in the tree */
    uint64_t current[LANES];      /* accumulators of the open chunk; [0] also the best value */
    uint64_t tree[LEVELS][LANES]; /* level l holds 2^l merged chunks where bit l of chunks is set */
    int64_t best;                 /* index of the best value */
    uint64_t chunk_base, run_base; /* scans: C and R */
} Reducer;

typedef struct Machine {
    const Kernel *kernel;      /* what runs */
    void *const *args;         /* memory of the arguments */
    const int64_t *params;     /* all parameter words */
    uint64_t *error_word;      /* least failing code */
    sn_error *error;           /* for accesses outside LOCAL buffers */
    uint64_t *values;          /* by instruction */
    uint32_t *ends;            /* by LOOP: its END */
    uint32_t *reducer_of;      /* by REDUCE and SCAN: number of its reducer */
    Reducer *reducers;         /* one for each */
    char **bases;              /* by argument: element 0 of this item */
    int64_t *axes;             /* current index by axis */
    char *scratch;             /* LOCAL buffers */
    int64_t scratch_bytes;     /* their size */
    int64_t grid[SN_MAX_RANK]; /* the item's grid point */
    int64_t block;             /* the item's block */
} Machine;

/* ---- reductions ------------------------------------------------------------------------------ */

static uint64_t identity_bits(sn_dtype dtype, uint8_t identity) {
    uint64_t top = UINT64_C(1) << (8 * sn_dtype_size(dtype) - 1);
    bool is_signed = dtype_is_signed(dtype);
    if (dtype_is_float(dtype)) {
        if (identity == FROM_ZERO) return top;
        if (identity == FROM_ONE) return dtype_bits_from_double(dtype, 1.0);
        return dtype_bits_from_double(dtype, identity == FROM_LEAST ? -INFINITY : INFINITY);
    }
    switch (identity) {
    case FROM_ZERO:
        return 0;
    case FROM_ONE:
        return 1;
    case FROM_LEAST:
        return is_signed ? scalar_canonical(dtype, top) : 0;
    default:
        return is_signed ? ~scalar_canonical(dtype, top) : scalar_canonical(dtype, UINT64_MAX);
    }
}

static uint64_t merge(const Reducer *r, uint64_t x, uint64_t y) {
    return scalar_eval(r->rule.merge, r->dtype, r->dtype, (uint64_t[3]){x, y, 0});
}

static void open_chunk(Reducer *r) {
    uint64_t identity = identity_bits(r->dtype, r->rule.identity);
    for (uint32_t l = 0; l < r->lanes; l++) r->current[l] = identity;
}

static void reducer_open(Reducer *r, const KInst *inst, sn_dtype dtype, uint64_t axis) {
    static const uint32_t chunks[] = {
        [REDUCE_ROW] = CHUNK, [REDUCE_COLUMN] = 32, [REDUCE_TREE] = 1, [REDUCE_FREE] = 0};
    r->rule = reduce_rule(inst->op);
    r->dtype = dtype;
    r->axis = axis;
    r->chunk = chunks[inst->order];
    r->lanes = inst->order == REDUCE_ROW ? LANES : 1;
    r->count = r->chunks = 0;
    r->best = 0;
    r->chunk_base = r->run_base = identity_bits(dtype, FROM_ZERO);
    open_chunk(r);
}

/* acc[l] = left[l] merged with acc[l] */
static void merge_lanes(const Reducer *r, const uint64_t *left, uint64_t *acc) {
    for (uint32_t l = 0; l < r->lanes; l++) acc[l] = merge(r, left[l], acc[l]);
}

static void close_chunk(Reducer *r) {
    uint32_t level = 0;
    for (; r->chunks >> level & 1; level++) merge_lanes(r, r->tree[level], r->current);
    memcpy(r->tree[level], r->current, sizeof r->current);
    r->chunks++;
    open_chunk(r);
}

static bool is_nan(sn_dtype dtype, uint64_t x) {
    return scalar_eval(OP_NE, SN_BOOL, dtype, (uint64_t[3]){x, x, 0});
}

static void keep_best(Reducer *r, uint64_t x, int64_t index) {
    bool done = r->count && is_nan(r->dtype, r->current[0]);
    if (done) return;
    bool better = scalar_eval(r->rule.merge, SN_BOOL, r->dtype, (uint64_t[3]){x, r->current[0], 0});
    if (r->count && !better && !is_nan(r->dtype, x)) return;
    r->current[0] = x;
    r->best = index;
}

static void reducer_add(Reducer *r, uint64_t x, int64_t index) {
    if (r->rule.is_index) {
        keep_best(r, x, index);
    } else {
        uint64_t *acc = &r->current[r->count % r->lanes];
        *acc = merge(r, *acc, x);
    }
    r->count++;
    if (r->chunk && !r->rule.is_index && r->count % r->chunk == 0) close_chunk(r);
}

static uint64_t reducer_close(Reducer *r) {
    if (r->rule.is_index) return (uint64_t)r->best;
    if (r->count == 0 && r->rule.identity == FROM_ZERO) return 0;
    if (!r->chunk) return r->current[0];
    if (r->count % r->chunk) close_chunk(r);
    uint64_t sum[LANES];
    bool first = true;
    for (uint32_t level = 0; r->chunks >> level; level++) {
        if (!(r->chunks >> level & 1)) continue;
        if (first)
            memcpy(sum, r->tree[level], sizeof sum);
        else
            merge_lanes(r, r->tree[level], sum);
        first = false;
    }
    if (first) return identity_bits(r->dtype, r->rule.identity);
    for (uint32_t half = r->lanes / 2; half; half /= 2)
        for (uint32_t l = 0; l < half; l++) sum[l] = merge(r, sum[l], sum[l + half]);
    return sum[0];
}

static uint64_t scan_add(Reducer *r, uint64_t x) {
    uint64_t zero = identity_bits(r->dtype, FROM_ZERO);
    if (r->count && r->count % RUN == 0) {
        r->run_base = merge(r, r->run_base, r->current[0]);
        r->current[0] = zero;
    }
    if (r->count && r->count % CHUNK == 0) {
        r->chunk_base = merge(r, r->chunk_base, r->run_base);
        r->run_base = zero;
    }
    r->count++;
    r->current[0] = merge(r, r->current[0], x);
    return merge(r, merge(r, r->chunk_base, r->run_base), r->current[0]);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int64_t param_value(const Machine *m, int32_t param) {
    return m->params[kernel_param_word(m->kernel, param)];
}

static int64_t coef_value(const Machine *m, KCoef coef) {
    return coef.param >= 0 ? param_value(m, coef.param) : coef.value;
}

/* The element that an access names now; NULL and an error outside a LOCAL buffer. */
static char *element(Machine *m, uint64_t number) {
    const Kernel *k = m->kernel;
    const KAccess *access = &k->accesses.data[number];
    const KArg *arg = &k->args.data[access->arg];
    uint64_t index = (uint64_t)coef_value(m, access->offset);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = &k->terms.data[access->first_term + t];
        uint64_t step =
            term->value != KVALUE_NONE ? m->values[term->value] : (uint64_t)m->axes[term->axis];
        index += step * (uint64_t)coef_value(m, term->coef);
    }
    if (arg->role == KARG_LOCAL && index >= (uint64_t)coef_value(m, arg->size)) {
        error_set(m->error, SN_ERROR_INTERNAL, "kernel: access c%u leaves a local buffer",
                  (uint32_t)number);
        return NULL;
    }
    return m->bases[access->arg] + (int64_t)index * (int64_t)sn_dtype_size(arg->dtype);
}

static void add_to_element(sn_dtype memory, sn_dtype compute, char *at, uint64_t x) {
    uint64_t old = dtype_bits_cast(compute, memory, dtype_load(memory, at));
    uint64_t sum = scalar_eval(OP_ADD, compute, compute, (uint64_t[3]){old, x, 0});
    dtype_store(memory, at, dtype_bits_cast(memory, compute, sum));
}

static sn_status run_memory(Machine *m, uint32_t at) {
    const KInst *inst = &m->kernel->insts.data[at];
    uint32_t predicate = kop_row(inst->op)->n_inputs;
    if (inst->flags & K_PREDICATED && !m->values[inst->in[predicate]]) {
        m->values[at] = 0;
        return SN_OK;
    }
    char *memory = element(m, inst->imm);
    if (!memory) return SN_ERROR_INTERNAL;
    sn_dtype dtype = m->kernel->args.data[m->kernel->accesses.data[inst->imm].arg].dtype;
    if (inst->op == OP_LOAD)
        m->values[at] = dtype_load(dtype, memory);
    else if (inst->op == OP_STORE)
        dtype_store(dtype, memory, m->values[inst->in[0]]);
    else
        add_to_element(dtype, inst->dtype, memory, m->values[inst->in[0]]);
    return SN_OK;
}

static void record_error(uint64_t *word, uint64_t code) {
    uint64_t least = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (code < least && !__atomic_compare_exchange_n(word, &least, code, true, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
}

/* ---- control --------------------------------------------------------------------------------- */

static sn_status run_range(Machine *m, uint32_t at, uint32_t end);

/* Opens (or closes) the reducers of the loop [loop, end] but not those of loops inside. */
static void for_reducers(Machine *m, uint32_t loop, uint32_t end, bool open) {
    const KInst *insts = m->kernel->insts.data;
    for (uint32_t i = loop + 1; i < end; i++) {
        uint8_t form = kop_row(insts[i].op)->form;
        if (form == KFORM_LOOP) i = m->ends[i];
        if (form != KFORM_REDUCE && form != KFORM_SCAN) continue;
        Reducer *r = &m->reducers[m->reducer_of[i]];
        if (open)
            reducer_open(r, &insts[i], insts[insts[i].in[0]].dtype, insts[loop].imm);
        else if (form == KFORM_REDUCE)
            m->values[i] = reducer_close(r);
    }
}

static sn_status run_loop(Machine *m, uint32_t loop) {
    uint64_t number = m->kernel->insts.data[loop].imm;
    const KAxis *axis = &m->kernel->axes.data[number];
    uint32_t last = m->ends[loop];
    int64_t begin = 0;
    int64_t end = coef_value(m, axis->size);
    if (axis->split) {
        int64_t width = m->params[KPARAM_BLOCK_SIZE];
        begin = m->block * width;
        if (width < end - begin) end = begin + width;
    }
    for_reducers(m, loop, last, true);
    for (int64_t i = begin; i < end; i++) {
        m->axes[number] = i;
        sn_status status = run_range(m, loop + 1, last);
        if (status != SN_OK) return status;
    }
    for_reducers(m, loop, last, false);
    return SN_OK;
}

static uint64_t eval_prim(const Machine *m, const KInst *inst) {
    uint64_t in[3] = {0};
    for (uint32_t i = 0; i < kop_row(inst->op)->n_inputs; i++) in[i] = m->values[inst->in[i]];
    return scalar_eval(inst->op, inst->dtype, m->kernel->insts.data[inst->in[0]].dtype, in);
}

static void reduce_here(Machine *m, uint32_t at) {
    const KInst *inst = &m->kernel->insts.data[at];
    Reducer *r = &m->reducers[m->reducer_of[at]];
    uint64_t x = m->values[inst->in[0]];
    if (inst->op == OP_SCAN_SUM)
        m->values[at] = scan_add(r, x);
    else
        reducer_add(r, x, m->axes[r->axis]);
}

static sn_status run_inst(Machine *m, uint32_t at) {
    const KInst *inst = &m->kernel->insts.data[at];
    switch (kop_row(inst->op)->form) {
    case KFORM_PRIM:
        m->values[at] = eval_prim(m, inst);
        break;
    case KFORM_CONST:
        m->values[at] = inst->imm;
        break;
    case KFORM_PARAM:
        m->values[at] = scalar_canonical(inst->dtype, (uint64_t)param_value(m, (int32_t)inst->imm));
        break;
    case KFORM_INDEX:
        m->values[at] = (uint64_t)m->axes[inst->imm];
        break;
    case KFORM_GRID:
        m->values[at] = (uint64_t)m->grid[inst->imm];
        break;
    case KFORM_LOAD:
    case KFORM_STORE:
        return run_memory(m, at);
    case KFORM_CHECK:
        if (!m->values[inst->in[0]])
            record_error(m->error_word, (uint64_t)param_value(m, (int32_t)inst->imm));
        break;
    case KFORM_REDUCE:
    case KFORM_SCAN:
        reduce_here(m, at);
        break;
    default:
        break;
    }
    return SN_OK;
}

static sn_status run_range(Machine *m, uint32_t at, uint32_t end) {
    for (; at < end; at++) {
        bool loop = m->kernel->insts.data[at].op == OP_LOOP;
        sn_status status = loop ? run_loop(m, at) : run_inst(m, at);
        if (status != SN_OK) return status;
        if (loop) at = m->ends[at];
    }
    return SN_OK;
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Grid point, block and argument bases of an item; LOCAL buffers begin with garbage. */
static void enter_item(Machine *m, int64_t item) {
    const Kernel *k = m->kernel;
    int64_t rank = m->params[KPARAM_RANK];
    int64_t point = item / m->params[KPARAM_BLOCKS];
    m->block = item % m->params[KPARAM_BLOCKS];
    for (int64_t d = rank; d-- > 0;) {
        int64_t size = m->params[KPARAM_SIZES + d];
        m->grid[d] = point % size;
        point /= size;
    }
    char *local = m->scratch;
    if (m->scratch_bytes) memset(m->scratch, 0xa5, (size_t)m->scratch_bytes);
    for (uint32_t a = 0; a < k->args.count; a++) {
        const KArg *arg = &k->args.data[a];
        if (arg->role == KARG_LOCAL) {
            m->bases[a] = local;
            local += kernel_local_bytes(arg->dtype, coef_value(m, arg->size));
            continue;
        }
        const int64_t *strides = &m->params[KPARAM_STRIDES + SN_MAX_RANK * a];
        int64_t offset = 0;
        for (int64_t d = 0; d < rank; d++) offset += m->grid[d] * strides[d];
        m->bases[a] = (char *)m->args[a] + offset * (int64_t)sn_dtype_size(arg->dtype);
    }
}

/* Matches loops and numbers the reducers; how many there are. */
static uint32_t prepare(Machine *m) {
    uint32_t open = KVALUE_NONE; /* innermost open loop; ends[] links to the one around it */
    uint32_t n_reducers = 0;
    for (uint32_t i = 0; i < m->kernel->insts.count; i++) {
        const KInst *inst = &m->kernel->insts.data[i];
        uint8_t form = kop_row(inst->op)->form;
        if (form == KFORM_REDUCE || form == KFORM_SCAN) m->reducer_of[i] = n_reducers++;
        if (form == KFORM_LOOP) {
            m->ends[i] = open;
            open = i;
        } else if (form == KFORM_END) {
            uint32_t around = m->ends[open];
            m->ends[open] = i;
            open = around;
        }
    }
    for (uint32_t a = 0; a < m->kernel->args.count; a++) {
        const KArg *arg = &m->kernel->args.data[a];
        if (arg->role == KARG_LOCAL)
            m->scratch_bytes += kernel_local_bytes(arg->dtype, coef_value(m, arg->size));
    }
    return n_reducers;
}

static sn_status machine_open(Machine *m) {
    const Kernel *k = m->kernel;
    m->values = mem_calloc(k->insts.count + 1, sizeof *m->values);
    m->ends = mem_calloc(k->insts.count + 1, sizeof *m->ends);
    m->reducer_of = mem_calloc(k->insts.count + 1, sizeof *m->reducer_of);
    m->bases = mem_calloc(k->args.count + 1, sizeof *m->bases);
    m->axes = mem_calloc(k->axes.count + 1, sizeof *m->axes);
    if (!m->values || !m->ends || !m->reducer_of || !m->bases || !m->axes)
        return error_memory(m->error);
    uint32_t n_reducers = prepare(m);
    m->reducers = mem_calloc(n_reducers + 1, sizeof *m->reducers);
    m->scratch = mem_alloc((size_t)m->scratch_bytes);
    return m->reducers && m->scratch ? SN_OK : error_memory(m->error);
}

static void machine_close(Machine *m) {
    mem_free(m->values);
    mem_free(m->ends);
    mem_free(m->reducer_of);
    mem_free(m->bases);
    mem_free(m->axes);
    mem_free(m->reducers);
    mem_free(m->scratch);
}

sn_status kernel_interpret(const Kernel *kernel, void *const *args, const int64_t *params,
                           int64_t begin, int64_t end, uint64_t *error_word, sn_error *error) {
    sn_status status = kernel_verify(kernel, error);
    if (status != SN_OK) return status;
    Machine m = {
        .kernel = kernel, .args = args, .params = params, .error_word = error_word, .error = error};
    status = machine_open(&m);
    for (int64_t item = begin; item < end && status == SN_OK; item++) {
        enter_item(&m, item);
        status = run_range(&m, 0, kernel->insts.count);
    }
    machine_close(&m);
    return status;
}
