/* Rare WHEREs in compiled code: whatever is put behind the branch, the bits are those of the
 * interpreter, on every instruction set, in vectors, tails and scalar loops. The sines, which
 * depend on them, likewise over all exponents. */
#include "ir/scalar/scalar.h"
#include "tests/codegen_case.h"

static const int64_t sizes[] = {1, 3, 7, 8, 9, 16, 31, 33, 64, 65, 200, 1000};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Kernels of one loop over a0, a1 (f64), written to a2. */
#define HEAD(loop)                                                                                 \
    "kernel {\n params 1\n arg a0 f64 in\n arg a1 f64 in\n arg a2 f64 out\n axis i p0\n"           \
    " access c0 a0 i*1\n access c1 a1 i*1\n access c2 a2 i*1\n %0 = const f64 4.0\n"               \
    " loop i" loop "\n %1 = load c0 : f64\n %2 = load c1 : f64\n %3 = gt %1, %0 : bool\n"
#define TAIL(value) " store c2 " value "\n end\n}\n"

static const char *const bodies[] = {
    /* one choice, whose operands nobody else uses */
    "%4 = mul %1, %2 : f64\n %5 = sqrt %4 : f64\n %6 = where %3, %5, %2 rare : f64\n" TAIL("%6"),
    /* two on one condition share a value */
    "%4 = mul %1, %2 : f64\n %5 = sqrt %4 : f64\n %6 = neg %4 : f64\n"
    " %7 = where %3, %5, %2 rare : f64\n %8 = where %3, %6, %1 rare : f64\n"
    " %9 = add %7, %8 : f64\n" TAIL("%9"),
    /* two on different conditions share one, which cannot wait */
    "%4 = mul %1, %2 : f64\n %5 = sqrt %4 : f64\n %6 = neg %4 : f64\n %7 = lt %1, %0 : bool\n"
    " %8 = where %3, %5, %2 rare : f64\n %9 = where %7, %6, %1 rare : f64\n"
    " %10 = add %8, %9 : f64\n" TAIL("%10"),
    /* the value is used outside too */
    "%4 = mul %1, %2 : f64\n %5 = where %3, %4, %2 rare : f64\n %6 = add %4, %5 : f64\n" TAIL("%6"),
    /* one choice feeds the next of the same condition, and its own other side */
    "%4 = mul %1, %2 : f64\n %5 = where %3, %4, %2 rare : f64\n %6 = where %3, %5, %5 rare : f64\n"
    " %7 = where %3, %6, %4 rare : f64\n" TAIL("%7"),
    /* what waits branches itself; the value is an operand that was loaded */
    "%4 = fmod %1, %2 : f64\n %5 = where %3, %4, %2 rare : f64\n %6 = where %3, %1, %5 rare : f64\n"
    " %7 = add %5, %6 : f64\n" TAIL("%7"),
    /* the condition is the same in all lanes */
    "%4 = gt %0, %0 : bool\n %5 = sqrt %2 : f64\n %6 = where %4, %5, %2 rare : f64\n"
    " %7 = le %0, %0 : bool\n %8 = where %7, %5, %6 rare : f64\n" TAIL("%8"),
    /* another width */
    "%4 = cast %1 : f32\n %5 = sqrt %4 : f32\n %6 = cast %2 : f32\n"
    " %7 = where %3, %5, %6 rare : f32\n %8 = cast %7 : f64\n" TAIL("%8"),
};
enum { BODIES = sizeof bodies / sizeof *bodies };

static void check_body(const char *head, const char *body) {
    char text[2048];
    snprintf(text, sizeof text, "%s%s", head, body);
    Case c = case_open(text);
    for (int n = 0; n < SIZES; n++) {
        case_param(&c, 0, sizes[n]);
        for (uint32_t a = 0; a < 3; a++) case_arg(&c, a, sizes[n], FILL_MIXED);
        case_run(&c);
        case_arg(&c, 0, sizes[n], FILL_EQUAL); /* never above 4: the branch is not taken */
        case_run(&c);
    }
    case_close(&c);
}

static void test_bits_are_those_of_the_interpreter(void **state) {
    (void)state;
    if (!case_backend) skip();
    for (int i = 0; i < BODIES; i++) {
        check_body(HEAD(" vector"), bodies[i]);
        check_body(HEAD(""), bodies[i]);
    }
}

/* A vector loop around another one: each instruction is emitted for several vectors. */
static void test_vectors_side_by_side(void **state) {
    (void)state;
    if (!case_backend) skip();
    Case c =
        case_open("kernel {\n params 3\n arg a0 f64 in\n arg a1 f64 out\n axis i p0\n axis j p2\n"
                  " access c0 a0 i*1 + j*p1\n access c1 a1 i*1\n %0 = const f64 4.0\n"
                  " loop i vector\n loop j\n %1 = load c0 : f64\n %2 = gt %1, %0 : bool\n"
                  " %3 = sqrt %1 : f64\n %4 = where %2, %3, %1 rare : f64\n"
                  " %5 = reduce_max %4 free : f64\n end\n store c1 %5\n end\n}\n");
    for (int n = 0; n < SIZES; n++) {
        case_param(&c, 0, sizes[n]);
        case_param(&c, 1, sizes[n]);
        case_param(&c, 2, 5);
        case_arg(&c, 0, 5 * sizes[n], FILL_MIXED);
        case_arg(&c, 1, sizes[n], FILL_MIXED);
        case_run(&c);
    }
    case_close(&c);
}

static void print_source(const Case *c, StrBuf *source) {
    Target target = target_for(ISA_AVX2);
    Schedule schedule = {.stream_stores = false};
    sn_error error = {0};
    assert_int_equal(
        case_backend->print(&c->kernel, &target, &schedule, "kernel", STAGE_SOURCE, source, &error),
        SN_OK);
}

/* What only a rare WHERE uses stands behind a branch: LLVM IR has it in another block than the
 * comparison. */
static void test_the_branch_is_there(void **state) {
    (void)state;
    if (!case_backend) skip();
    char text[2048];
    snprintf(text, sizeof text, "%s%s", HEAD(" vector"), bodies[0]);
    Case c = case_open(text);
    StrBuf source = {0};
    print_source(&c, &source);
    const char *root = strstr(strbuf_text(&source), "@llvm.sqrt.v4f64(");
    const char *compared = strstr(strbuf_text(&source), "fcmp ogt");
    assert_non_null(root);
    assert_non_null(compared);
    assert_true(compared < root);
    const char *branch = strstr(compared, "br i1");
    assert_true(branch && branch < root);
    strbuf_free(&source);
    case_close(&c);
}

/* A sum by index is a loop of few instructions: its code begins at a boundary, and the choice of the
 * canonical NaN is a branch, so that a sum that is read again at once does not wait for it. */
static void test_sums_by_index_are_short_loops(void **state) {
    (void)state;
    if (!case_backend) skip();
    Case c = case_open("kernel {\n params 1\n arg a0 u8 in\n arg a1 f32 out\n axis i p0\n"
                       " access c0 a0 i*1\n access c1 a1 %2*1\n %0 = const f32 1.0\n loop i\n"
                       " %1 = load c0 : u8\n %2 = cast %1 : i64\n store_add c1 %0\n end\n}\n");
    StrBuf source = {0};
    print_source(&c, &source);
    const char *sum = strstr(strbuf_text(&source), "fadd ");
    assert_non_null(sum);
    assert_non_null(strstr(sum, "!\"llvm.loop.align\""));
    const char *is_nan = strstr(sum, "fcmp uno"), *store = strstr(sum, "store ");
    assert_true(is_nan && store && is_nan < store);
    const char *branch = strstr(is_nan, "br i1"), *chosen = strstr(is_nan, "select ");
    assert_true(branch && branch < store && (!chosen || chosen > store));
    strbuf_free(&source);
    case_close(&c);
}

/* The mark is part of the text, and of WHERE only. */
static void test_the_mark_is_printed_and_parsed(void **state) {
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, "%s%s", HEAD(" vector"), bodies[1]);
    Case c = case_open(text);
    StrBuf printed = {0};
    Kernel again;
    sn_error error = {0};
    kernel_print(&c.kernel, &printed, NULL);
    assert_non_null(strstr(strbuf_text(&printed), "= where %3, %5, %2 rare : f64"));
    kernel_init(&again);
    assert_int_equal(kernel_parse(&again, strbuf_text(&printed), printed.length, &error), SN_OK);
    assert_true(kernel_equal(&c.kernel, &again));
    for (uint32_t i = 0; i < again.insts.count; i++) again.insts.data[i].flags &= ~(uint32_t)K_RARE;
    assert_false(kernel_equal(&c.kernel, &again));
    again.insts.data[again.insts.count - 3].flags = K_RARE; /* the sum */
    assert_int_not_equal(kernel_verify(&again, &error), SN_OK);
    kernel_free(&again);
    strbuf_free(&printed);
    case_close(&c);
}

/* ---- sines ----------------------------------------------------------------------------------- */

/* y = op(x) as lowering builds it, in the vector loop or not. */
static void build_function(Kernel *k, OpCode op, sn_dtype dtype, bool vector) {
    sn_error error = {0};
    KBuilder *b = kbuilder_new();
    assert_non_null(b);
    kernel_init(k);
    k->n_params = 1;
    assert_true(vec_push(&k->args, ((KArg){(uint8_t)dtype, KARG_IN, kcoef_literal(0)})));
    assert_true(vec_push(&k->args, ((KArg){(uint8_t)dtype, KARG_OUT, kcoef_literal(0)})));
    assert_true(vec_push(&k->axes, ((KAxis){.size = kcoef_param(0)})));
    for (uint32_t a = 0; a < 2; a++) {
        assert_true(vec_push(&k->terms, ((KTerm){0, KVALUE_NONE, kcoef_literal(1)})));
        assert_true(vec_push(&k->accesses, ((KAccess){a, a, 1, kcoef_literal(0)})));
    }
    const KInst blank = {.in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
    KInst loop = blank, load = blank, store = blank, end = blank;
    loop.op = OP_LOOP;
    loop.flags = vector ? K_VECTOR : 0;
    uint32_t item = kbuilder_current(b), inside = kbuilder_region(b, item);
    kbuilder_at(b, inside);
    kb_inst(b, loop);
    load.op = OP_LOAD;
    load.dtype = store.dtype = (uint8_t)dtype;
    KValue x = kb_inst(b, load);
    store.op = OP_STORE;
    store.imm = 1;
    store.in[0] = scalar_expand(b, op, dtype, &x, 1, (AttrView){0}, &error);
    kb_inst(b, store);
    end.op = OP_END;
    kb_inst(b, end);
    kb_place(b, item, inside);
    if (kbuilder_finish(b, k, &error) || kernel_verify(k, &error)) fail_msg("%s", error.text);
    kbuilder_free(b);
}

/* Arguments of all exponents; with `far` most vectors have some that are far, else few. */
static void fill_arguments(Case *c, sn_dtype dtype, int64_t count, bool far, uint8_t *x) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = case_next(c);
        if (!far && i % 37) bits = dtype_bits_from_double(dtype, case_number(c, FILL_MIXED));
        dtype_store(dtype, x + (size_t)i * sn_dtype_size(dtype),
                    dtype == SN_F32 ? (uint32_t)bits : bits);
    }
}

static void check_function(OpCode op, sn_dtype dtype, bool vector) {
    enum { COUNT = 1003 };
    Case c = {.items = 1, .random = 88172645463325252u};
    c.words[KPARAM_BLOCKS] = 1;
    build_function(&c.kernel, op, dtype, vector);
    case_param(&c, 0, COUNT);
    static uint8_t x[COUNT * 8], want[COUNT * 8], got[COUNT * 8];
    void *expect[] = {x, want}, *args[] = {x, got};
    size_t size = sn_dtype_size(dtype);
    for (int far = 0; far < 2; far++) {
        uint64_t word = UINT64_MAX;
        fill_arguments(&c, dtype, COUNT, far, x);
        assert_int_equal(kernel_interpret(&c.kernel, expect, c.words, 0, 1, &word, NULL), SN_OK);
        for (TargetIsa isa = ISA_AVX2; isa <= target_host()->cpu.isa; isa++) {
            case_execute(&c, isa, args, &word);
            for (size_t i = 0; i < COUNT; i++)
                if (!case_same(dtype, want + i * size, got + i * size))
                    fail_msg("%s of %a is %a, should be %a", op_info[op].name,
                             dtype_bits_to_double(dtype, dtype_load(dtype, x + i * size)),
                             dtype_bits_to_double(dtype, dtype_load(dtype, got + i * size)),
                             dtype_bits_to_double(dtype, dtype_load(dtype, want + i * size)));
        }
    }
    case_close(&c);
}

static void test_sines_of_near_and_far_arguments(void **state) {
    (void)state;
    if (!case_backend) skip();
    static const OpCode ops[] = {OP_SIN, OP_COS, OP_TAN};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (int vector = 0; vector < 2; vector++) {
            check_function(ops[i], SN_F64, vector);
            check_function(ops[i], SN_F32, vector);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_those_of_the_interpreter),
        cmocka_unit_test(test_vectors_side_by_side),
        cmocka_unit_test(test_the_branch_is_there),
        cmocka_unit_test(test_sums_by_index_are_short_loops),
        cmocka_unit_test(test_the_mark_is_printed_and_parsed),
        cmocka_unit_test(test_sines_of_near_and_far_arguments),
    };
    return cmocka_run_group_tests(tests, case_setup, NULL);
}
