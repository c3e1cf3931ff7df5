/* The reference executor of kernel IR: one scalar at a time with scalar_eval. Slow, simple, and the
 * definition that code generators must match bit for bit. Orders of reductions: ir/op/order.h. */
#include "base/assert.h"
#include "base/status.h"
#include "ir/kernel/loops.h"

/* The state of one reduction or scan while its loop runs. */
typedef struct Reducer {
    const KReduction *rule;        /* what it does */
    uint64_t count;                /* elements so far */
    uint64_t chunks;               /* chunks in the tree */
    uint64_t current[ORDER_LANES]; /* accumulators of the open chunk; [0] also the best value */
    uint64_t tree[ORDER_LEVELS][ORDER_LANES]; /* level l: 2^l chunks where bit l of chunks is set */
    int64_t best;                             /* index of the best value */
    uint64_t total;                           /* CHAIN: sum of the closed chunks */
    uint64_t chunk_base, run_base;            /* scans: C and R */
} Reducer;

typedef struct Machine {
    const Kernel *kernel;      /* what runs */
    void *const *args;         /* memory of the arguments */
    const int64_t *params;     /* all parameter words */
    uint64_t *error_word;      /* least failing code */
    sn_error *error;           /* for accesses outside LOCAL buffers */
    Arena arena;               /* of the arrays */
    KLoops loops;              /* the kernel's */
    Reducer *reducers;         /* one for each of its reductions */
    uint64_t *values;          /* by instruction */
    char **bases;              /* by argument: element 0 of this item */
    int64_t *axes;             /* current index by axis */
    char *scratch;             /* LOCAL buffers */
    int64_t scratch_bytes;     /* their size */
    int64_t grid[SN_MAX_RANK]; /* the item's grid point */
    int64_t block;             /* the item's block */
} Machine;

/* ---- reductions ------------------------------------------------------------------------------ */

static sn_dtype dtype_of(const Reducer *r) {
    return (sn_dtype)r->rule->dtype;
}

static uint64_t merge(const Reducer *r, uint64_t x, uint64_t y) {
    return scalar_eval(r->rule->merge, dtype_of(r), dtype_of(r), (uint64_t[3]){x, y, 0});
}

static void open_chunk(Reducer *r) {
    uint64_t start = r->rule->kind == KREDUCTION_CHAIN ? 0 : reduction_start(r->rule);
    for (uint32_t l = 0; l < r->rule->lanes; l++) r->current[l] = start;
}

static void reducer_open(Reducer *r, const KReduction *rule) {
    r->rule = rule;
    r->count = r->chunks = 0;
    r->best = 0;
    r->run_base = r->total = reduction_start(rule);
    r->chunk_base = dtype_bits_cast(order_chunk_sums(dtype_of(r)), dtype_of(r), r->run_base);
    open_chunk(r);
}

/* acc[l] = left[l] merged with acc[l] */
static void merge_lanes(const Reducer *r, const uint64_t *left, uint64_t *acc) {
    for (uint32_t l = 0; l < r->rule->lanes; l++) acc[l] = merge(r, left[l], acc[l]);
}

static void close_chunk(Reducer *r) {
    uint32_t level = 0;
    for (; r->chunks >> level & 1; level++) merge_lanes(r, r->tree[level], r->current);
    SN_ASSERT(level < ORDER_LEVELS);
    memcpy(r->tree[level], r->current, sizeof r->current);
    r->chunks++;
    open_chunk(r);
}

/* The same of a chain; -0 + x is x. */
static void close_link(Reducer *r) {
    r->total = merge(r, r->total, r->current[0]);
    open_chunk(r);
}

static bool is_nan(sn_dtype dtype, uint64_t x) {
    return scalar_eval(OP_NE, SN_BOOL, dtype, (uint64_t[3]){x, x, 0});
}

static void keep_best(Reducer *r, uint64_t x, int64_t index) {
    sn_dtype dtype = dtype_of(r);
    bool done = r->count && is_nan(dtype, r->current[0]);
    if (done) return;
    bool better = scalar_eval(r->rule->merge, SN_BOOL, dtype, (uint64_t[3]){x, r->current[0], 0});
    if (r->count && !better && !is_nan(dtype, x)) return;
    r->current[0] = x;
    r->best = index;
}

static bool is_chunk_end(const Reducer *r) {
    return r->count % (UINT64_C(1) << r->rule->chunk) == 0;
}

/* One more product of a chain. */
static void chain_add(Reducer *r, uint64_t x, uint64_t y) {
    uint64_t in[3] = {x, y, r->current[0]};
    r->current[0] = scalar_eval(OP_FMA, dtype_of(r), dtype_of(r), in);
    r->count++;
    if (is_chunk_end(r)) close_link(r);
}

static void reducer_add(Reducer *r, uint64_t x, int64_t index) {
    bool best = r->rule->kind == KREDUCTION_BEST;
    uint64_t *acc = &r->current[r->count % r->rule->lanes];
    if (best)
        keep_best(r, x, index);
    else
        *acc = merge(r, *acc, x);
    r->count++;
    if (is_chunk_end(r)) close_chunk(r);
}

/* Merges what the tree holds, from the last chunks to the first, and halves the lanes. */
static uint64_t close_tree(Reducer *r) {
    uint64_t *sum = r->current; /* of no chunk */
    bool first = true;
    for (uint32_t level = 0; r->chunks >> level; level++) {
        if (!(r->chunks >> level & 1)) continue;
        if (first)
            memcpy(sum, r->tree[level], sizeof r->current);
        else
            merge_lanes(r, r->tree[level], sum);
        first = false;
    }
    for (uint32_t half = r->rule->lanes / 2; half; half /= 2)
        for (uint32_t l = 0; l < half; l++) sum[l] = merge(r, sum[l], sum[l + half]);
    return sum[0];
}

static uint64_t reducer_close(Reducer *r) {
    if (r->rule->kind == KREDUCTION_BEST) return (uint64_t)r->best;
    if (r->count == 0 && r->rule->start == KSTART_ZERO) return 0;
    if (r->rule->kind == KREDUCTION_MERGE) return r->current[0];
    if (r->rule->kind == KREDUCTION_CHAIN) {
        if (!is_chunk_end(r)) close_link(r);
        return r->total;
    }
    if (!is_chunk_end(r)) close_chunk(r);
    return close_tree(r);
}

static uint64_t scan_add(Reducer *r, uint64_t x) {
    uint64_t zero = reduction_start(r->rule);
    sn_dtype dtype = dtype_of(r), sums = order_chunk_sums(dtype);
    if (r->count && r->count % ORDER_RUN == 0) {
        r->run_base = merge(r, r->run_base, r->current[0]);
        r->current[0] = zero;
    }
    if (r->count && r->count % ORDER_SCAN == 0) {
        uint64_t total = dtype_bits_cast(sums, dtype, r->run_base);
        r->chunk_base =
            scalar_eval(r->rule->merge, sums, sums, (uint64_t[3]){r->chunk_base, total, 0});
        r->run_base = zero;
    }
    r->count++;
    r->current[0] = merge(r, r->current[0], x);
    uint64_t base = merge(r, dtype_bits_cast(dtype, sums, r->chunk_base), r->run_base);
    return merge(r, base, r->current[0]);
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
    if (dtype_is_float(compute))
        sum = scalar_eval(OP_CANONICAL_NAN, compute, compute, (uint64_t[3]){sum, 0, 0});
    dtype_store(memory, at, dtype_bits_cast(memory, compute, sum));
}

static sn_status run_address(Machine *m, uint32_t at) {
    char *memory = element(m, m->kernel->insts.data[at].imm);
    m->values[at] = (uint64_t)(uintptr_t)memory;
    return memory ? SN_OK : SN_ERROR_INTERNAL;
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
    sn_dtype dtype = (sn_dtype)kernel_access_arg(m->kernel, inst->imm)->dtype;
    if (kop_is(inst->op, KFORM_LOAD))
        m->values[at] = dtype_load(dtype, memory);
    else if (kop_adds_in_memory(inst->op))
        add_to_element(dtype, inst->dtype, memory, m->values[inst->in[0]]);
    else
        dtype_store(dtype, memory, m->values[inst->in[0]]);
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

static void open_reducers(Machine *m, const KLoop *loop) {
    for (uint32_t i = loop->first_reduction; i < loop->first_reduction + loop->n_reductions; i++)
        reducer_open(&m->reducers[i], &m->loops.reductions[i]);
}

static void close_reducers(Machine *m, const KLoop *loop) {
    for (uint32_t i = loop->first_reduction; i < loop->first_reduction + loop->n_reductions; i++) {
        Reducer *r = &m->reducers[i];
        if (r->rule->kind != KREDUCTION_SCAN) m->values[r->rule->inst] = reducer_close(r);
    }
}

static sn_status run_loop(Machine *m, const KLoop *loop) {
    SN_ASSERT(loop->axis < m->kernel->axes.count && loop->begin < loop->end);
    const KAxis *axis = &m->kernel->axes.data[loop->axis];
    int64_t begin = 0;
    int64_t end = coef_value(m, axis->size);
    if (axis->split) {
        int64_t width = m->params[KPARAM_BLOCK_SIZE];
        begin = m->block * width;
        if (width < end - begin) end = begin + width;
    }
    open_reducers(m, loop);
    for (int64_t i = begin; i < end; i++) {
        m->axes[loop->axis] = i;
        sn_status status = run_range(m, loop->begin + 1, loop->end);
        if (status != SN_OK) return status;
    }
    close_reducers(m, loop);
    return SN_OK;
}

static uint64_t eval_prim(const Machine *m, const KInst *inst) {
    uint64_t in[3] = {0};
    for (uint32_t i = 0; i < kop_row(inst->op)->n_inputs; i++) in[i] = m->values[inst->in[i]];
    return scalar_eval(inst->op, inst->dtype, m->kernel->insts.data[inst->in[0]].dtype, in);
}

static void reduce_here(Machine *m, uint32_t at) {
    const KInst *inst = &m->kernel->insts.data[at];
    SN_ASSERT(m->loops.loop_of[at] < m->loops.n_loops);
    const KLoop *loop = &m->loops.loops[m->loops.loop_of[at]];
    uint32_t number = loop_reduction_number(&m->loops, loop, at);
    Reducer *r = &m->reducers[loop->first_reduction + number];
    uint64_t x = m->values[inst->in[0]];
    if (r->rule->kind == KREDUCTION_SCAN)
        m->values[at] = scan_add(r, x);
    else if (r->rule->kind == KREDUCTION_CHAIN)
        chain_add(r, x, m->values[inst->in[1]]);
    else
        reducer_add(r, x, m->axes[loop->axis]);
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
    case KFORM_ADDRESS:
        return run_address(m, at);
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
        sn_status status;
        if (kop_is(m->kernel->insts.data[at].op, KFORM_LOOP)) {
            const KLoop *loop = &m->loops.loops[m->loops.loop_of[at]];
            status = run_loop(m, loop);
            at = loop->end;
        } else {
            status = run_inst(m, at);
        }
        if (status != SN_OK) return status;
    }
    return SN_OK;
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Grid point, block and argument bases of an item; LOCAL buffers begin with garbage. */
static void enter_item(Machine *m, int64_t item) {
    const Kernel *k = m->kernel;
    int64_t rank = m->params[KPARAM_RANK];
    SN_ASSERT(rank >= 0 && rank <= SN_MAX_RANK && m->params[KPARAM_BLOCKS] > 0);
    int64_t point = item;
    for (int64_t d = rank; d-- > 0;) {
        int64_t size = m->params[KPARAM_SIZES + d];
        m->grid[d] = point % size;
        point /= size;
    }
    m->block = point;
    SN_ASSERT(m->block < m->params[KPARAM_BLOCKS]);
    char *local = m->scratch;
    if (m->scratch_bytes) memset(m->scratch, 0xa5, (size_t)m->scratch_bytes);
    for (uint32_t a = 0; a < k->args.count; a++) {
        const KArg *arg = &k->args.data[a];
        if (arg->role == KARG_LOCAL) {
            m->bases[a] = local;
            local += kernel_local_bytes(arg->dtype, coef_value(m, arg->size));
            SN_ASSERT(local <= m->scratch + m->scratch_bytes);
            continue;
        }
        const int64_t *strides = &m->params[KPARAM_STRIDES + SN_MAX_RANK * a];
        int64_t offset = 0;
        for (int64_t d = 0; d < rank; d++) offset += m->grid[d] * strides[d];
        m->bases[a] = (char *)m->args[a] + offset * (int64_t)sn_dtype_size(arg->dtype);
    }
}

static int64_t scratch_bytes(const Machine *m) {
    int64_t bytes = 0;
    for (uint32_t a = 0; a < m->kernel->args.count; a++) {
        const KArg *arg = &m->kernel->args.data[a];
        if (arg->role == KARG_LOCAL)
            bytes += kernel_local_bytes(arg->dtype, coef_value(m, arg->size));
    }
    return bytes;
}

static sn_status machine_open(Machine *m) {
    const Kernel *k = m->kernel;
    if (!kernel_loops(k, &m->arena, &m->loops)) return error_memory(m->error);
    m->scratch_bytes = scratch_bytes(m);
    m->reducers = arena_alloc(&m->arena, (m->loops.n_reductions + 1) * sizeof *m->reducers);
    m->values = arena_zalloc(&m->arena, (k->insts.count + 1) * sizeof *m->values);
    m->bases = arena_zalloc(&m->arena, (k->args.count + 1) * sizeof *m->bases);
    m->axes = arena_zalloc(&m->arena, (k->axes.count + 1) * sizeof *m->axes);
    m->scratch = mem_alloc((size_t)m->scratch_bytes);
    bool all = m->reducers && m->values && m->bases && m->axes && m->scratch;
    return all ? SN_OK : error_memory(m->error);
}

static void machine_close(Machine *m) {
    mem_free(m->scratch);
    arena_free(&m->arena);
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
