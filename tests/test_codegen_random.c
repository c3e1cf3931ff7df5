/* Random kernels, compiled and interpreted: loops in every arrangement the IR allows, every op and
 * dtype. SN_RANDOM_KERNELS=N tries N of them, SN_RANDOM_SEED another sequence. */
#include "tests/codegen_case.h"

#include "ir/kernel/form.h"

enum { VALUES_MOST = 64, KERNELS = 60 };

/* A kernel being made up. Axis i (p0) is the vector axis, j (p1) the other one. */
typedef struct Maker {
    Kernel kernel;                  /* so far */
    uint64_t random;                /* state of the generator */
    KValue visible[VALUES_MOST];    /* values that may be used now */
    uint32_t n_visible;             /* how many */
    KValue reductions[VALUES_MOST]; /* of open loops: visible when theirs ends */
    uint32_t n_reductions;          /* how many */
    bool open_i, open_j;            /* loops around the current place */
    bool in_vector;                 /* one of them is the vector loop */
    bool innermost_vector;          /* the innermost is */
} Maker;

static uint64_t draw(Maker *m, uint64_t below) {
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % below;
}

static KValue emit(Maker *m, KInst inst) {
    assert_true(vec_push(&m->kernel.insts, inst));
    KValue at = m->kernel.insts.count - 1;
    if (kop_row(inst.op)->form == KFORM_REDUCE)
        m->reductions[m->n_reductions++] = at;
    else if (kop_has_value(inst.op))
        m->visible[m->n_visible++] = at;
    return at;
}

static KInst inst_of(OpCode op, sn_dtype dtype) {
    return (KInst){
        .op = (uint16_t)op, .dtype = (uint8_t)dtype, .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
}

static sn_dtype dtype_at(const Maker *m, KValue value) {
    return (sn_dtype)m->kernel.insts.data[value].dtype;
}

/* A visible value whose dtype is in `set`; KVALUE_NONE when there is none. Late ones are likelier. */
static KValue pick(Maker *m, uint32_t set) {
    for (int tries = 0; tries < 40 && m->n_visible; tries++) {
        uint32_t back = (uint32_t)draw(m, draw(m, 3) ? 6 : m->n_visible);
        if (back >= m->n_visible) continue;
        KValue value = m->visible[m->n_visible - 1 - back];
        if (set >> dtype_at(m, value) & 1) return value;
    }
    return KVALUE_NONE;
}

static bool has_room(const Maker *m) {
    return m->n_visible + 8 < VALUES_MOST && m->n_reductions + 4 < VALUES_MOST &&
           m->kernel.args.count < CASE_ARGS;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint32_t add_access(Maker *m, uint32_t arg, const KTerm *terms, uint32_t count) {
    KAccess access = {arg, m->kernel.terms.count, count, kcoef_literal(0)};
    for (uint32_t t = 0; t < count; t++) assert_true(vec_push(&m->kernel.terms, terms[t]));
    assert_true(vec_push(&m->kernel.accesses, access));
    return m->kernel.accesses.count - 1;
}

/* Elements j × p0 + i of a new argument, or any injective or partial variant of it. Arguments hold
 * 2 × I × (J + 1) elements. */
static uint32_t new_access(Maker *m, bool writes) {
    KArg arg = {(uint8_t)draw(m, SN_DTYPE_COUNT), writes ? KARG_OUT : KARG_IN, kcoef_literal(0)};
    if (writes && draw(m, 4) == 0) arg.role = KARG_INOUT;
    assert_true(vec_push(&m->kernel.args, arg));
    KTerm terms[3];
    uint32_t count = 0;
    bool skips = !writes && draw(m, 4) == 0, wide = draw(m, 5) == 0;
    KCoef step = wide ? kcoef_param(2) : kcoef_literal(1); /* p2 = 2 */
    KCoef row = wide ? kcoef_param(3) : kcoef_param(0);    /* p3 = 2 × p0 */
    if (m->open_i && !(skips && m->open_j)) terms[count++] = (KTerm){0, KVALUE_NONE, step};
    if (m->open_j && !skips) terms[count++] = (KTerm){1, KVALUE_NONE, row};
    return add_access(m, m->kernel.args.count - 1, terms, count);
}

static KValue maybe_predicate(Maker *m) {
    return draw(m, 4) == 0 ? pick(m, 1u << SN_BOOL) : KVALUE_NONE;
}

static void make_load(Maker *m) {
    uint32_t access = new_access(m, false);
    KInst inst = inst_of(OP_LOAD, (sn_dtype)m->kernel.args.data[m->kernel.args.count - 1].dtype);
    inst.imm = access;
    inst.in[0] = maybe_predicate(m);
    if (inst.in[0] != KVALUE_NONE) inst.flags = K_PREDICATED;
    emit(m, inst);
}

/* An indirect load: an index argument, then the element it names. */
static void make_gather(Maker *m) {
    KArg index = {SN_I64, KARG_IN, kcoef_literal(0)};
    KArg arg = {(uint8_t)draw(m, SN_DTYPE_COUNT), KARG_IN, kcoef_literal(0)};
    if (!m->open_i || m->kernel.args.count + 2 > CASE_ARGS) return;
    assert_true(vec_push(&m->kernel.args, index));
    KTerm along = {0, KVALUE_NONE, kcoef_literal(1)};
    KInst inst = inst_of(OP_LOAD, SN_I64);
    inst.imm = add_access(m, m->kernel.args.count - 1, &along, 1);
    KTerm terms[2] = {{KVALUE_NONE, emit(m, inst), kcoef_literal(1)}, along};
    assert_true(vec_push(&m->kernel.args, arg));
    inst = inst_of(OP_LOAD, (sn_dtype)arg.dtype);
    inst.imm = add_access(m, m->kernel.args.count - 1, terms, 1 + (uint32_t)draw(m, 2));
    inst.in[0] = maybe_predicate(m);
    if (inst.in[0] != KVALUE_NONE) inst.flags = K_PREDICATED;
    emit(m, inst);
}

static void make_store(Maker *m) {
    uint32_t access = new_access(m, true);
    sn_dtype dtype = (sn_dtype)m->kernel.args.data[m->kernel.args.count - 1].dtype;
    KValue value = pick(m, 1u << dtype);
    if (value == KVALUE_NONE) {
        value = pick(m, (1u << SN_DTYPE_COUNT) - 1);
        if (value == KVALUE_NONE) return;
        KInst cast = inst_of(OP_CAST, dtype);
        cast.in[0] = value;
        value = emit(m, cast);
    }
    KInst inst = inst_of(OP_STORE, dtype);
    inst.imm = access;
    inst.in[0] = value;
    inst.in[1] = maybe_predicate(m);
    if (inst.in[1] != KVALUE_NONE) inst.flags = K_PREDICATED;
    emit(m, inst);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static void make_const(Maker *m) {
    static const double numbers[] = {0, 1, 2, 3, -1, 0.5, -0.0, 100, 31, 7};
    sn_dtype dtype = (sn_dtype)draw(m, SN_DTYPE_COUNT);
    KInst inst = inst_of(OP_CONST, dtype);
    inst.imm = dtype_bits_from_double(dtype, numbers[draw(m, 10)]);
    emit(m, inst);
}

static void make_index(Maker *m) {
    if (!m->open_i && !m->open_j) return;
    KInst inst = inst_of(OP_INDEX_OF, SN_I64);
    inst.imm = !m->open_i || (m->open_j && draw(m, 2));
    emit(m, inst);
}

/* Not the two ops that show the sign of a NaN, which is unspecified. */
static void make_prim(Maker *m) {
    OpCode op;
    do op = (OpCode)draw(m, OP_COUNT);
    while (kop_row(op)->form != KFORM_PRIM || op == OP_BITCAST || op == OP_COPYSIGN ||
           op == OP_SCALE); /* which takes no operands but its own */
    const KOpRow *row = kop_row(op);
    KInst inst = inst_of(op, SN_BOOL);
    uint32_t typed = op == OP_WHERE;
    if (typed) inst.in[0] = pick(m, 1u << SN_BOOL);
    inst.in[typed] = pick(m, row->inputs);
    if ((typed && inst.in[0] == KVALUE_NONE) || inst.in[typed] == KVALUE_NONE) return;
    sn_dtype dtype = dtype_at(m, inst.in[typed]);
    for (uint32_t i = typed + 1; i < row->n_inputs; i++) inst.in[i] = pick(m, 1u << dtype);
    for (uint32_t i = 0; i < row->n_inputs; i++)
        if (inst.in[i] == KVALUE_NONE) inst.in[i] = inst.in[typed];
    inst.dtype = (uint8_t)(row->result == KRESULT_BOOL  ? SN_BOOL
                           : row->result == KRESULT_OWN ? (sn_dtype)draw(m, SN_DTYPE_COUNT)
                                                        : dtype);
    emit(m, inst);
}

static void make_reduction(Maker *m) {
    if (!m->open_i && !m->open_j) return;
    OpCode op = (OpCode)(OP_REDUCE_SUM + draw(m, 7));
    KValue value = pick(m, kop_row(op)->inputs);
    if (value == KVALUE_NONE) return;
    KInst inst = inst_of(op, dtype_at(m, value));
    inst.in[0] = value;
    if (op == OP_SCAN_SUM) {
        if (!m->innermost_vector) emit(m, inst);
        return;
    }
    bool is_float = dtype_is_float((sn_dtype)inst.dtype);
    if (kop_row(op)->result == KRESULT_I64) inst.dtype = SN_I64;
    inst.order = (uint8_t)(REDUCE_ROW + draw(m, is_float && op < OP_REDUCE_MAX ? 3 : 4));
    emit(m, inst);
}

static void make_chain(Maker *m) {
    if (!m->open_i && !m->open_j) return;
    KValue x = pick(m, 1u << SN_F32 | 1u << SN_F64);
    if (x == KVALUE_NONE) return;
    KInst inst = inst_of(OP_REDUCE_FMA, dtype_at(m, x));
    KValue y = pick(m, 1u << inst.dtype);
    inst.in[0] = x;
    inst.in[1] = y == KVALUE_NONE ? x : y;
    inst.order = REDUCE_CHAIN;
    emit(m, inst);
}

static void make_check(Maker *m) {
    KInst inst = inst_of(OP_CHECK, SN_BOOL);
    inst.in[0] = pick(m, 1u << SN_BOOL);
    inst.imm = 4 + draw(m, 2);
    inst.dtype = 0;
    if (inst.in[0] != KVALUE_NONE) emit(m, inst);
}

typedef struct Choice {
    void (*make)(Maker *m); /* adds something */
    uint32_t weight;        /* how often */
} Choice;

static const Choice choices[] = {
    {make_load, 4},  {make_gather, 1},    {make_store, 3}, {make_const, 2}, {make_index, 2},
    {make_prim, 24}, {make_reduction, 5}, {make_check, 1}, {make_chain, 2},
};

static void make_some(Maker *m, uint64_t count) {
    for (uint64_t n = 0; n < count && has_room(m); n++) {
        uint64_t at = draw(m, 44);
        uint32_t i = 0;
        for (; at >= choices[i].weight; i++) at -= choices[i].weight;
        choices[i].make(m);
    }
}

/* ---- loops ----------------------------------------------------------------------------------- */

static void make_loop(Maker *m, bool over_i);

static void make_body(Maker *m) {
    make_load(m);
    make_some(m, draw(m, 12));
    if (m->open_i != m->open_j && draw(m, 2) && has_room(m)) make_loop(m, !m->open_i);
    make_some(m, draw(m, 8));
    if (has_room(m)) make_store(m);
}

static void make_loop(Maker *m, bool over_i) {
    Maker outer = *m;
    KInst loop = inst_of(OP_LOOP, SN_BOOL);
    bool vector = !m->in_vector && draw(m, over_i ? 8 : 3) != 0;
    loop.imm = over_i ? 0 : 1;
    if (vector) loop.flags = K_VECTOR;
    emit(m, loop);
    if (over_i)
        m->open_i = true;
    else
        m->open_j = true;
    m->in_vector |= vector;
    m->innermost_vector = vector;
    make_body(m);
    emit(m, inst_of(OP_END, SN_BOOL));
    m->open_i = outer.open_i;
    m->open_j = outer.open_j;
    m->in_vector = outer.in_vector;
    m->innermost_vector = outer.innermost_vector;
    m->n_visible = outer.n_visible;
    while (m->n_reductions > outer.n_reductions)
        m->visible[m->n_visible++] = m->reductions[--m->n_reductions];
}

static void make_kernel(Maker *m) {
    kernel_init(&m->kernel);
    m->kernel.n_params = 6;
    bool split = draw(m, 4) == 0;
    KAxis i = {kcoef_param(0), split}, j = {kcoef_param(1), false};
    assert_true(vec_push(&m->kernel.axes, i) && vec_push(&m->kernel.axes, j));
    uint64_t loops = 1 + draw(m, 3);
    for (uint64_t l = 0; l < loops && has_room(m); l++) make_loop(m, split || draw(m, 3));
    if (!split) make_some(m, draw(m, 6));
    if (has_room(m) && !split) make_store(m);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Argument sizes of this run; sizes are odd ones, small more often. */
static void run_made(Maker *m, Case *c) {
    static const int64_t sizes[] = {0, 1, 3, 16, 17, 40, 64, 100, 333, 1100, 2100};
    int64_t i = sizes[draw(m, 11)], j = sizes[draw(m, i > 300 ? 5 : 7)];
    c->items = 1;
    c->words[KPARAM_RANK] = 0;
    case_param(c, 0, i);
    case_param(c, 1, j);
    case_param(c, 2, 2);
    case_param(c, 3, 2 * i);
    case_param(c, 4, 7);
    case_param(c, 5, 3);
    if (c->kernel.axes.data[0].split) case_split(c, i, 1 + (int64_t)draw(m, 200));
    bool finite = draw(m, 2);
    for (uint32_t a = 0; a < c->kernel.args.count; a++) {
        bool index = a + 1 < c->kernel.args.count && c->kernel.args.data[a].dtype == SN_I64;
        case_arg(c, a, 2 * (i + 1) * (j + 2),
                 index    ? FILL_INDEX
                 : finite ? FILL_FINITE
                          : FILL_MIXED);
        c->bound[a] = i + 1;
    }
    c->random = m->random | 1;
    c->stream = draw(m, 4) == 0;
    case_run(c);
}

static void try_kernel(uint64_t seed) {
    Maker m = {.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1};
    for (int n = 0; n < 20; n++) draw(&m, 2);
    make_kernel(&m);
    StrBuf text = {0};
    kernel_print(&m.kernel, &text, NULL);
    Case c = case_open(strbuf_text(&text));
    for (int run = 0; run < 4; run++) run_made(&m, &c);
    case_close(&c);
    strbuf_free(&text);
    kernel_free(&m.kernel);
}

static uint64_t number_from(const char *variable, uint64_t fallback) {
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : fallback;
}

static void test_random_kernels(void **state) {
    (void)state;
    if (!case_backend) skip();
    uint64_t first = number_from("SN_RANDOM_SEED", 1);
    uint64_t count = number_from("SN_RANDOM_KERNELS", KERNELS);
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (getenv("SN_RANDOM_KERNELS")) fprintf(stderr, "seed %lu\n", (unsigned long)seed);
        try_kernel(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_kernels)};
    return cmocka_run_group_tests(tests, case_setup, NULL);
}
