/* The kernel container: text form, parser errors, verifier, builder, and survival of failed
 * allocations. */
#include "base/mem.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char softmax_text[] = "kernel {\n"
                                   "  params 1\n"
                                   "  arg a0 f32 in\n"
                                   "  arg a1 f32 out\n"
                                   "  axis i p0\n"
                                   "  access c0 a0 i*1\n"
                                   "  access c1 a1 i*1\n"
                                   "  loop i vector\n"
                                   "    %0 = load c0 : f32\n"
                                   "    %1 = reduce_max %0 free : f32\n"
                                   "  end\n"
                                   "  loop i vector\n"
                                   "    %2 = load c0 : f32\n"
                                   "    %3 = sub %2, %1 : f32\n"
                                   "    store c1 %3\n"
                                   "  end\n"
                                   "}\n";

/* Every form of the text, ten axes, all roles. */
static const char full_text[] = "kernel {\n"
                                "  params 6\n"
                                "  arg a0 f32 in\n"
                                "  arg a1 i64 in\n"
                                "  arg a2 f32 local p3\n"
                                "  arg a3 f16 inout\n"
                                "  arg a4 bool out\n"
                                "  arg a5 f32 local 1\n"
                                "  axis i p0 split\n"
                                "  axis j 1\n"
                                "  axis k p1\n"
                                "  axis l 0\n"
                                "  axis m p1\n"
                                "  axis n p1\n"
                                "  axis o p1\n"
                                "  axis q p1\n"
                                "  axis x8 p1\n"
                                "  axis x9 p1\n"
                                "  access c0 a0 i*1 + j*p2 + %6*p3 + p4\n"
                                "  access c1 a1 i*0 + 1\n"
                                "  access c2 a2 0\n"
                                "  access c3 a3 p5\n"
                                "  access c4 a4 i*1\n"
                                "  access c5 a0 i*1 + x9*p2\n"
                                "  %0 = const f32 0x1.8p+0\n"
                                "  %1 = const bool true\n"
                                "  %2 = const i64 -7\n"
                                "  %3 = param p2 : i32\n"
                                "  %4 = grid_index 7 : i64\n"
                                "  loop i\n"
                                "    %5 = index i : i64\n"
                                "    %6 = load c1 if %1 : i64\n"
                                "    %7 = lt %5, %6 : bool\n"
                                "    check %7 p5\n"
                                "    loop j\n"
                                "      %8 = load c0 if %7 : f32\n"
                                "      %9 = scan_sum %8 : f32\n"
                                "      %10 = fma %8, %9, %0 : f32\n"
                                "      %11 = reduce_sum %10 row : f32\n"
                                "      %12 = reduce_prod %10 column : f32\n"
                                "      %13 = reduce_argmax %10 free : i64\n"
                                "      %14 = reduce_sum %10 tree : f32\n"
                                "    end\n"
                                "    loop x9 vector\n"
                                "      %15 = load c5 : f32\n"
                                "      %16 = reduce_min %15 free : f32\n"
                                "    end\n"
                                "    %17 = where %7, %11, %12 : f32\n"
                                "    %18 = cast %17 : f16\n"
                                "    store c3 %18 if %7\n"
                                "    store_add c3 %17\n"
                                "    store c4 %7\n"
                                "    %19 = bitcast %11 : i32\n"
                                "    %20 = address c1 : i64\n"
                                "    store c2 %14\n"
                                "  end\n"
                                "}\n";

/* ---- helpers --------------------------------------------------------------------------------- */

static void parse_good(Kernel *k, const char *text) {
    sn_error error = {0};
    kernel_init(k);
    if (kernel_parse(k, text, strlen(text), &error) != SN_OK) fail_msg("%s", error.text);
    if (kernel_verify(k, &error) != SN_OK) fail_msg("%s", error.text);
}

static void assert_prints(const Kernel *k, const char *text) {
    StrBuf out = {0};
    kernel_print(k, &out, NULL);
    assert_false(out.failed);
    assert_string_equal(strbuf_text(&out), text);
    strbuf_free(&out);
}

/* A kernel with one f32 input a0, one output a1 and one loop axis; the test builds the rest. */
typedef struct Fixture {
    Kernel kernel; /* arguments, axis and accesses c0 (in), c1 (out) are there */
    KBuilder *b;   /* at an item-level region */
    uint32_t item; /* that region */
} Fixture;

static void fixture_open(Fixture *f) {
    Kernel *k = &f->kernel;
    kernel_init(k);
    assert_true(vec_push(&k->args, ((KArg){SN_F32, KARG_IN, kcoef_literal(0)})));
    assert_true(vec_push(&k->args, ((KArg){SN_F32, KARG_OUT, kcoef_literal(0)})));
    assert_true(vec_push(&k->axes, ((KAxis){kcoef_param(0), false})));
    k->n_params = 1;
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(vec_push(&k->terms, ((KTerm){0, KVALUE_NONE, kcoef_literal(1)})));
        assert_true(vec_push(&k->accesses, ((KAccess){i, i, 1, kcoef_literal(0)})));
    }
    f->b = kbuilder_new();
    assert_non_null(f->b);
    f->item = kbuilder_region(f->b, UINT32_MAX);
    kbuilder_at(f->b, f->item);
}

static void fixture_close(Fixture *f) {
    kbuilder_free(f->b);
    kernel_free(&f->kernel);
}

static void assert_finishes(Fixture *f, const char *text) {
    sn_error error = {0};
    if (kbuilder_finish(f->b, &f->kernel, &error) != SN_OK) fail_msg("%s", error.text);
    if (kernel_verify(&f->kernel, &error) != SN_OK) fail_msg("%s", error.text);
    assert_prints(&f->kernel, text);
    fixture_close(f);
}

static KInst inst_of(OpCode op, sn_dtype dtype, KValue x, KValue y, uint64_t imm) {
    return (KInst){
        .op = (uint16_t)op, .dtype = (uint8_t)dtype, .in = {x, y, KVALUE_NONE}, .imm = imm};
}

static KValue load(KBuilder *b, uint64_t access) {
    return kb_inst(b, inst_of(OP_LOAD, SN_F32, KVALUE_NONE, KVALUE_NONE, access));
}

static void store(KBuilder *b, uint64_t access, KValue x) {
    kb_inst(b, inst_of(OP_STORE, kb_dtype(b, x), x, KVALUE_NONE, access));
}

static void bracket(KBuilder *b, OpCode op) {
    kb_inst(b, inst_of(op, SN_BOOL, KVALUE_NONE, KVALUE_NONE, 0));
}

static KValue reduce(KBuilder *b, KValue x) {
    KInst inst = inst_of(OP_REDUCE_SUM, kb_dtype(b, x), x, KVALUE_NONE, 0);
    inst.order = REDUCE_ROW;
    return kb_inst(b, inst);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void text_reads_back_to_the_same_text(void **state) {
    (void)state;
    static const char *const texts[] = {softmax_text, full_text, "kernel {\n  params 0\n}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Kernel k, again;
        parse_good(&k, texts[i]);
        assert_prints(&k, texts[i]);
        parse_good(&again, texts[i]);
        assert_true(kernel_equal(&k, &again));
        kernel_free(&again);
        kernel_free(&k);
    }
}

static void parsed_kernel_has_the_structure_of_its_text(void **state) {
    (void)state;
    Kernel k;
    parse_good(&k, full_text);
    assert_int_equal(k.n_params, 6);
    assert_int_equal(k.args.count, 6);
    assert_int_equal(k.args.data[2].role, KARG_LOCAL);
    assert_int_equal(k.args.data[2].size.param, 3);
    assert_true(k.axes.data[0].split);
    assert_int_equal(k.axes.count, 10);
    const KAccess *c0 = &k.accesses.data[0];
    assert_int_equal(c0->n_terms, 3);
    assert_int_equal(c0->offset.param, 4);
    /* Value 6 is instruction 7: the loop bracket before it has no number. */
    assert_int_equal(k.terms.data[c0->first_term + 2].value, 7);
    assert_int_equal(k.terms.data[c0->first_term + 2].axis, KVALUE_NONE);
    assert_int_equal(k.insts.data[7].flags, K_PREDICATED);
    kernel_free(&k);
}

static void equality_sees_every_field(void **state) {
    (void)state;
    static const char *const edits[][2] = {
        {"i64 in", "i32 in"},
        {"f16 inout", "f16 out"},
        {"local p3", "local p2"},
        {"p0 split", "p0"},
        {"j 1\n", "j p1\n"},
        {"%6*p3", "%5*p3"},
        {"j*p2 +", "j*p3 +"},
        {"+ p4", "+ p5"},
        {"0x1.8p+0", "0x1.9p+0"},
        {"-7", "-8"},
        {"%11 = reduce_sum %10 row", "%11 = reduce_sum %10 tree"},
        {"x9 vector", "x9"},
        {"c3 %18 if %7", "c3 %18"},
        {"%7 p5", "%7 p4"},
        {"lt %5, %6", "lt %6, %5"},
        {"params 6", "params 7"},
        {"fma %8, %9", "fma %9, %8"},
    };
    Kernel k;
    parse_good(&k, full_text);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char text[sizeof full_text + 32];
        const char *at = strstr(full_text, edits[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - full_text), full_text, edits[i][1],
                 at + strlen(edits[i][0]));
        Kernel other;
        sn_error error = {0};
        kernel_init(&other);
        if (kernel_parse(&other, text, strlen(text), &error) != SN_OK) fail_msg("%s", error.text);
        if (kernel_equal(&k, &other)) fail_msg("edit %zu is not seen", i);
        kernel_free(&other);
    }
    kernel_free(&k);
}

static void comments_name_source_lines_and_are_skipped(void **state) {
    (void)state;
    static const Site sites[] = {{NULL, 0, 0}, {"model.c", 12, 0}};
    Kernel k, again;
    parse_good(&k, softmax_text);
    k.insts.data[6].site = 1;
    StrBuf out = {0};
    kernel_print(&k, &out, sites);
    assert_non_null(strstr(strbuf_text(&out), "%3 = sub %2, %1 : f32 ; model.c:12\n"));
    parse_good(&again, strbuf_text(&out));
    assert_true(kernel_equal(&k, &again));
    strbuf_free(&out);
    kernel_free(&again);
    kernel_free(&k);
}

static void constants_of_every_dtype_round_trip(void **state) {
    (void)state;
    static const uint64_t patterns[] = {0,
                                        1,
                                        2,
                                        0x7f,
                                        0x80,
                                        0xff,
                                        0x100,
                                        0x3ff,
                                        0x400,
                                        0x3c00,
                                        0x3e00,
                                        0x7bff,
                                        0x7c00,
                                        0x7c01,
                                        0x7e00,
                                        0x7fff,
                                        0x8000,
                                        0x8001,
                                        0xfc00,
                                        0xfe00,
                                        0xff80,
                                        0x7f80,
                                        0x7fc0,
                                        0xffff,
                                        0x007fffff,
                                        0x00800000,
                                        0x3f800000,
                                        0x3f800001,
                                        0x3dcccccd,
                                        0x7f7fffff,
                                        0x7f800000,
                                        0x7f800001,
                                        0x7fc00000,
                                        0x80000000,
                                        0xff800000,
                                        0xffc00000,
                                        0xffffffff,
                                        0x000fffffffffffff,
                                        0x0010000000000000,
                                        0x3ff0000000000000,
                                        0x3ff0000000000001,
                                        0x3fb999999999999a,
                                        0x7fefffffffffffff,
                                        0x7ff0000000000000,
                                        0x7ff0000000000001,
                                        0x7ff8000000000000,
                                        0x8000000000000000,
                                        0x8000000000000001,
                                        0xfff0000000000000,
                                        0xfff8000000000000,
                                        0xffffffffffffffff,
                                        0x7fffffffffffffff};
    for (sn_dtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
        KBuilder *b = kbuilder_new();
        Kernel k, again;
        kernel_init(&k);
        kernel_init(&again);
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            KInst inst = inst_of(OP_CONST, d, KVALUE_NONE, KVALUE_NONE, 0);
            uint64_t bits;
            assert_true(kb_is_const(b, kb_const(b, d, patterns[i]), &bits));
            inst.imm = bits;
            assert_true(vec_push(&k.insts, inst));
        }
        StrBuf out = {0};
        sn_error error = {0};
        kernel_print(&k, &out, NULL);
        if (kernel_parse(&again, strbuf_text(&out), out.length, &error) != SN_OK)
            fail_msg("%s\n%s", error.text, strbuf_text(&out));
        assert_true(kernel_equal(&k, &again));
        assert_int_equal(kernel_verify(&again, &error), SN_OK);
        strbuf_free(&out);
        kernel_free(&again);
        kernel_free(&k);
        kbuilder_free(b);
    }
}

static void many_values_print_too(void **state) {
    (void)state;
    Kernel k, again;
    sn_error error = {0};
    kernel_init(&k);
    kernel_init(&again);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(vec_push(&k.insts, inst_of(OP_CONST, SN_I64, KVALUE_NONE, KVALUE_NONE, i)));
    StrBuf out = {0};
    kernel_print(&k, &out, NULL);
    assert_non_null(strstr(strbuf_text(&out), "  %999 = const i64 999\n"));
    assert_int_equal(kernel_parse(&again, strbuf_text(&out), out.length, &error), SN_OK);
    assert_true(kernel_equal(&k, &again));
    strbuf_free(&out);
    kernel_free(&again);
    kernel_free(&k);
}

/* ---- parser errors --------------------------------------------------------------------------- */

static void bad_text_gives_line_and_column(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "1:1: expected kernel {"},
        {"kernel", "1:7: expected kernel {"},
        {"kernel {\n", "expected }"},
        {"kernel {\n}\nx", "3:1: expected nothing behind the kernel"},
        {"kernel {\n  frob\n}", "2:3: expected an op of kernel IR"},
        {"kernel {\n  %0 = tanh %0 : f32\n}", "2:8: expected an op of kernel IR"},
        {"kernel {\n  %1 = const f32 0x1p+0\n}", "2:3: values are numbered in order"},
        {"kernel {\n  %0 = neg %0 : f32\n}", "2:12: a value that is not yet defined"},
        {"kernel {\n  %0 = const f32 1.5x\n}", "2:18: expected a constant"},
        {"kernel {\n  %0 = const f32 0x1.0000001p+0\n}", "2:18: expected a constant"},
        {"kernel {\n  %0 = const f16 0x1p+1000\n}", "2:18: expected a constant"},
        {"kernel {\n  %0 = const u8 256\n}", "2:17: expected a constant"},
        {"kernel {\n  %0 = const i64 9223372036854775808\n}", "2:18: expected a constant"},
        {"kernel {\n  %0 = const f99 0\n}", "2:14: expected a dtype"},
        {"kernel {\n  arg a1 f32 in\n}", "2:7: arguments are numbered in order"},
        {"kernel {\n  arg a0 f32 on\n}", "2:14: expected in, shared, out, inout or local"},
        {"kernel {\n  axis j 1\n}", "2:8: expected an axis"},
        {"kernel {\n  axis i 2\n}", "2:10: expected a parameter"},
        {"kernel {\n  axis i p0\n}", "2:10: expected a parameter"},
        {"kernel {\n  params 1\n  axis i p0 spilt\n}", "3:13: expected the end of the line"},
        {"kernel {\n  access c0 a0 0\n}", "2:13: expected an argument"},
        {"kernel {\n  arg a0 f32 in\n  access c0 a0 i*1\n}", "3:16: expected an axis"},
        {"kernel {\n  arg a0 f32 in\n  access c0 a0 %3*1\n}", "an access uses an unknown value"},
        {"kernel {\n  arg a0 f32 in\n  params 3\n}", "3:10: params stands first"},
        {"kernel {\n  params 99999999999\n}", "2:10: expected a number of params"},
        {"kernel {\n  end\n  params 3\n}", "3:10: a declaration behind instructions"},
        {"kernel {\n  loop i\n}", "2:8: expected an axis"},
        {"kernel {\n  %0 = end\n}", "2:8: this op has no value"},
        {"kernel {\n  const f32 0x1p+0\n}", "2:3: this op has a value"},
        {"kernel {\n  %0 = grid_index 8 : i64\n}", "2:19: expected a grid dimension"},
        {"kernel {\n  %0 = load c0 : f32\n}", "2:13: expected an access"},
        {"kernel {\n  %0 = const f32 0x1p+0\n  %1 = add %0 %0 : f32\n}", "3:15: expected a comma"},
        {"kernel {\n  %0 = const f32 0x1p+0\n  %1 = neg %0\n}", "3:14: expected a colon"},
        {"kernel {\n  %0 = const f32 0x1p+0\n  %1 = reduce_sum %0 any : f32\n}",
         "3:22: expected a reduction order"},
        {"kernel {\n  axis i 1\n  axis x0 1\n}", "3:8: this axis has a letter"},
        {"kernel {\n  %99999999999 = end\n}", "2:3: expected a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Kernel k;
        sn_error error = {0};
        kernel_init(&k);
        sn_status status = kernel_parse(&k, cases[i][0], strlen(cases[i][0]), &error);
        kernel_free(&k);
        if (status != SN_ERROR_FORMAT || !strstr(error.text, cases[i][1]))
            fail_msg("%s\ngave: %s\nnot: %s", cases[i][0], error.text, cases[i][1]);
    }
}

/* Parses, and checks that whatever is accepted can be verified, printed and read again. */
static void try_text(const char *text, size_t length) {
    Kernel k, again;
    sn_error error = {0};
    kernel_init(&k);
    kernel_init(&again);
    if (kernel_parse(&k, text, length, &error) == SN_OK) {
        StrBuf out = {0};
        kernel_verify(&k, &error);
        kernel_print(&k, &out, NULL);
        error = (sn_error){0};
        if (kernel_parse(&again, strbuf_text(&out), out.length, &error) != SN_OK)
            fail_msg("%s\n%s", error.text, strbuf_text(&out));
        assert_true(kernel_equal(&k, &again));
        strbuf_free(&out);
    }
    kernel_free(&again);
    kernel_free(&k);
}

static void cut_and_mutated_text_never_crashes(void **state) {
    (void)state;
    char text[sizeof full_text];
    size_t length = sizeof full_text - 1;
    for (size_t cut = 0; cut <= length; cut++) {
        char *exact = mem_alloc(cut); /* so that reading past the end is seen */
        memcpy(exact, full_text, cut);
        try_text(exact, cut);
        mem_free(exact);
    }
    uint64_t random = 12345;
    for (int round = 0; round < 4000; round++) {
        memcpy(text, full_text, sizeof text);
        for (int edits = 0; edits <= round % 3; edits++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(random >> 33) % length;
            size_t from = (size_t)(random >> 17 & 0xffff) % length;
            text[at] = round % 5 ? full_text[from] : (char)(random >> 50);
        }
        try_text(text, length);
    }
}

/* ---- verifier -------------------------------------------------------------------------------- */

#define HEAD                                                                                       \
    "kernel {\n  params 2\n  arg a0 f32 in\n  arg a1 f32 out\n  arg a2 f16 inout\n"                \
    "  axis i p0 split\n  axis j p1\n  access c0 a0 i*1\n  access c1 a1 i*1\n"                     \
    "  access c2 a2 0\n  access c3 a0 0\n"

static void verifier_refuses_what_has_no_meaning(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"loop i\n", "a loop is not closed"},
        {"end\n", "closes no loop"},
        {"loop i\nloop i\nend\nend\n", "a loop over this axis is open"},
        {"loop j\nloop i\nend\nend\n", "the loop over the split axis is not outermost"},
        {"loop i vector\nloop j vector\nend\nend\n", "inside another vector loop"},
        {"%0 = load c0 : f32\n", "the access needs a loop over its axis"},
        {"%0 = index i : i64\n", "outside a loop over its axis"},
        {"loop i\n%0 = index i : i64\nend\n%1 = neg %0 : i64\n", "lives in a closed loop"},
        {"loop i\n%0 = load c0 : f32\n%1 = reduce_max %0 free : f32\n%2 = neg %1 : f32\nend\n",
         "a reduction is used inside its loop"},
        {"%0 = load c3 : f32\n%1 = reduce_max %0 free : f32\n", "outside a loop"},
        {"%0 = load c3 : f32\nloop i\n%1 = reduce_sum %0 free : f32\nend\n",
         "the order of a float"},
        {"%0 = load c3 : f32\nloop i\n%1 = reduce_sum %0 chain : f32\nend\n",
         "the order of another reduction"},
        {"%0 = load c3 : f32\nloop i\n%1 = reduce_fma %0, %0 row : f32\nend\n",
         "the order of another reduction"},
        {"%0 = const i32 1\nloop i\n%1 = reduce_fma %0, %0 chain : i32\nend\n",
         "does not take operands of this dtype"},
        {"%0 = load c3 : f32\nloop i vector\n%1 = scan_sum %0 : f32\nend\n", "scans a vector loop"},
        {"%0 = load c3 : f32\nloop i\nstore c0 %0\nend\n", "writes an input"},
        {"loop i\n%0 = load c1 : f32\nend\n", "reads an output"},
        {"%0 = load c2 : f32\n", "value and memory differ in dtype"},
        {"%0 = load c3 : f32\nstore c2 %0\n", "value and memory differ in dtype"},
        {"%0 = load c2 : f16\n%1 = neg %0 : f16\n", "does not take operands of this dtype"},
        {"%0 = load c3 : f32\nloop i vector\nstore_add c2 %0\nend\n", "inside a vector loop"},
        {"%0 = load c3 : f32\n%1 = const i32 1\n%2 = add %0, %1 : f32\n", "operands differ"},
        {"%0 = load c3 : f32\n%1 = add %0, %0 : f64\n", "wrong dtype of the result"},
        {"%0 = load c3 : f32\n%1 = lt %0, %0 : f32\n", "wrong dtype of the result"},
        {"%0 = load c3 : f32\n%1 = where %0, %0, %0 : f32\n", "a condition is not bool"},
        {"%0 = load c3 : f32\ncheck %0 p0\n", "does not take operands of this dtype"},
        {"%0 = load c3 : f32\n%1 = load c3 if %0 : f32\n", "a condition is not bool"},
        {"%0 = load c3 : f32\n%1 = bitcast %0 : i64\n", "sizes differ"},
        {"%0 = param p0 : f16\n", "does not give this dtype"},
        {"%0 = const bool true\n%1 = sub %0, %0 : bool\n", "does not take operands of this dtype"},
        {"%0 = const f32 0x1p+0\n%1 = bitwise_and %0, %0 : f32\n", "does not take operands"},
        {"%0 = grid_index 0 : i32\n", "wrong dtype of the result"},
        {"loop i vector\n%0 = address c0 : i64\nend\n", "inside a vector loop"},
        {"%0 = address c0 : i64\n", "the access needs a loop over its axis"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        Kernel k;
        sn_error error = {0};
        kernel_init(&k);
        snprintf(text, sizeof text, HEAD "%s}\n", cases[i][0]);
        if (kernel_parse(&k, text, strlen(text), &error) != SN_OK) fail_msg("%s", error.text);
        sn_status status = kernel_verify(&k, &error);
        kernel_free(&k);
        if (status != SN_ERROR_INTERNAL || !strstr(error.text, cases[i][1]))
            fail_msg("%s\ngave: %s\nnot: %s", cases[i][0], error.text, cases[i][1]);
    }
}

static void verifier_refuses_what_text_cannot_say(void **state) {
    (void)state;
    enum { CASES = 14 };
    for (int i = 0; i < CASES; i++) {
        Kernel k;
        parse_good(&k, full_text);
        KInst *store_inst = &k.insts.data[k.insts.count - 2];
        switch (i) {
        case 0:
            k.axes.data[1].split = true;
            break;
        case 1:
            k.axes.data[1].size.param = 6;
            break;
        case 2:
            k.axes.data[1].size = kcoef_literal(2);
            break;
        case 3:
            k.args.data[0].dtype = SN_DTYPE_COUNT;
            break;
        case 4:
            k.args.data[0].role = 9;
            break;
        case 5:
            k.args.data[0].size = kcoef_param(0);
            break;
        case 6:
            k.terms.data[0].axis = 10;
            break;
        case 7:
            k.terms.data[0].value = 2;
            break;
        case 8:
            k.accesses.data[0].n_terms = 100;
            break;
        case 9:
            k.accesses.data[0].arg = 6;
            break;
        case 10:
            store_inst->flags = K_VECTOR;
            break;
        case 11:
            store_inst->in[0] = k.insts.count;
            break;
        case 12:
            store_inst->imm = 99;
            break;
        default:
            k.insts.data[0].imm |= UINT64_C(1) << 40;
            break;
        }
        sn_error error = {0};
        if (kernel_verify(&k, &error) != SN_ERROR_INTERNAL) fail_msg("case %d passes", i);
        kernel_free(&k);
    }
}

/* ---- builder --------------------------------------------------------------------------------- */

static void equal_values_are_emitted_once(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f);
    KBuilder *b = f.b;
    bracket(b, OP_LOOP);
    KValue x = load(b, 0);
    KValue root = kb_op1(b, OP_SQRT, x);
    KValue sum = kb_op2(b, OP_ADD, x, root);
    assert_int_equal(kb_op2(b, OP_ADD, root, x), sum);
    assert_int_not_equal(kb_op2(b, OP_SUB, x, root), kb_op2(b, OP_SUB, root, x));
    assert_int_equal(kb_float(b, SN_F32, 2), kb_float(b, SN_F32, 2));
    assert_int_not_equal(kb_float(b, SN_F32, 2), kb_float(b, SN_F64, 2));
    assert_int_not_equal(kb_float(b, SN_F32, 0.0), kb_float(b, SN_F32, -0.0));
    store(b, 1, kb_op3(b, OP_FMA, sum, kb_float(b, SN_F32, 2), x));
    bracket(b, OP_END);
    assert_finishes(&f, "kernel {\n"
                        "  params 1\n"
                        "  arg a0 f32 in\n"
                        "  arg a1 f32 out\n"
                        "  axis i p0\n"
                        "  access c0 a0 i*1\n"
                        "  access c1 a1 i*1\n"
                        "  %0 = const f32 0x1p+1\n"
                        "  loop i\n"
                        "    %1 = load c0 : f32\n"
                        "    %2 = sqrt %1 : f32\n"
                        "    %3 = add %1, %2 : f32\n"
                        "    %4 = fma %3, %0, %1 : f32\n"
                        "    store c1 %4\n"
                        "  end\n"
                        "}\n");
}

static void loads_are_kept_apart(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f);
    bracket(f.b, OP_LOOP);
    assert_int_not_equal(load(f.b, 0), load(f.b, 0));
    fixture_close(&f);
}

static void values_of_a_closed_loop_are_not_found_again(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f);
    KBuilder *b = f.b;
    KValue total[2];
    for (int i = 0; i < 2; i++) { /* both ways to write a loop: in a region, around a region */
        uint32_t body = kbuilder_region(b, f.item);
        kbuilder_at(b, i ? f.item : body);
        bracket(b, OP_LOOP);
        kbuilder_at(b, body);
        KValue at = kb_inst(b, inst_of(OP_INDEX_OF, SN_I64, KVALUE_NONE, KVALUE_NONE, 0));
        total[i] = reduce(b, kb_cast(b, SN_F32, at));
        if (i) kb_place(b, f.item, body);
        kbuilder_at(b, i ? f.item : body);
        bracket(b, OP_END);
        if (!i) kb_place(b, f.item, body);
        kbuilder_at(b, f.item);
    }
    KValue sum = kb_op2(b, OP_ADD, total[0], total[1]);
    bracket(b, OP_LOOP);
    KValue x = load(b, 0);
    bracket(b, OP_LOOP); /* an empty loop vanishes, as does what only it holds */
    kb_op1(b, OP_ABS, x);
    bracket(b, OP_END);
    store(b, 1, kb_op2(b, OP_DIV, x, sum));
    bracket(b, OP_END);
    assert_finishes(&f, "kernel {\n"
                        "  params 1\n"
                        "  arg a0 f32 in\n"
                        "  arg a1 f32 out\n"
                        "  axis i p0\n"
                        "  access c0 a0 i*1\n"
                        "  access c1 a1 i*1\n"
                        "  loop i\n"
                        "    %0 = index i : i64\n"
                        "    %1 = cast %0 : f32\n"
                        "    %2 = reduce_sum %1 row : f32\n"
                        "  end\n"
                        "  loop i\n"
                        "    %3 = index i : i64\n"
                        "    %4 = cast %3 : f32\n"
                        "    %5 = reduce_sum %4 row : f32\n"
                        "  end\n"
                        "  %6 = add %2, %5 : f32\n"
                        "  loop i\n"
                        "    %7 = load c0 : f32\n"
                        "    %8 = div %7, %6 : f32\n"
                        "    store c1 %8\n"
                        "  end\n"
                        "}\n");
}

static void outer_values_serve_inner_regions_only_when_they_stand_before(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f);
    KBuilder *b = f.b;
    KValue p = kb_inst(b, inst_of(OP_PARAM, SN_F32, KVALUE_NONE, KVALUE_NONE, 0));
    uint32_t early = kbuilder_region(b, f.item);
    uint32_t late = kbuilder_region(b, f.item);
    kb_place(b, f.item, early);
    KValue outer = kb_op1(b, OP_NEG, p);
    kbuilder_at(b, late);
    assert_int_equal(kb_op1(b, OP_NEG, p), outer);
    KValue inner = kb_op1(b, OP_ABS, p);
    kbuilder_at(b, early);
    assert_int_not_equal(kb_op1(b, OP_NEG, p), outer);
    kbuilder_at(b, f.item);
    assert_int_not_equal(kb_op1(b, OP_ABS, p), inner);
    assert_int_equal(kbuilder_current(b), f.item);
    fixture_close(&f);
}

static void constants_fold_and_neutral_operands_go(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f);
    KBuilder *b = f.b;
    KValue x = kb_inst(b, inst_of(OP_PARAM, SN_F32, KVALUE_NONE, KVALUE_NONE, 0));
    KValue n = kb_inst(b, inst_of(OP_PARAM, SN_I32, KVALUE_NONE, KVALUE_NONE, 0));
    KValue one = kb_float(b, SN_F32, 1), zero = kb_float(b, SN_F32, 0);
    KValue none = kb_int(b, SN_I32, 0), yes = kb_int(b, SN_BOOL, 1), no = kb_int(b, SN_BOOL, 0);
    uint64_t bits;
    assert_true(kb_is_const(b, kb_op2(b, OP_ADD, one, one), &bits));
    assert_int_equal(bits, 0x40000000);
    assert_true(kb_is_const(b, kb_op2(b, OP_LT, zero, one), &bits));
    assert_int_equal(bits, 1);
    assert_int_equal(kb_dtype(b, kb_op2(b, OP_LT, zero, x)), SN_BOOL);
    assert_int_equal(kb_op2(b, OP_MUL, x, one), x);
    assert_int_equal(kb_op2(b, OP_MUL, one, x), x);
    assert_int_equal(kb_op2(b, OP_DIV, x, one), x);
    assert_int_not_equal(kb_op2(b, OP_DIV, one, x), x);
    assert_int_not_equal(kb_op2(b, OP_ADD, x, zero), x); /* -0 + 0 is +0 */
    assert_int_equal(kb_op2(b, OP_ADD, none, n), n);
    assert_int_equal(kb_op2(b, OP_SUB, n, none), n);
    assert_int_not_equal(kb_op2(b, OP_SUB, none, n), n);
    assert_int_equal(kb_op3(b, OP_WHERE, yes, x, one), x);
    assert_int_equal(kb_op3(b, OP_WHERE, no, x, one), one);
    assert_int_equal(kb_cast(b, SN_F32, x), x);
    assert_int_equal(kb_bitcast(b, SN_F32, x), x);
    assert_int_equal(kb_dtype(b, kb_bitcast(b, SN_I32, x)), SN_I32);
    assert_true(kb_is_const(b, kb_cast(b, SN_I64, kb_float(b, SN_F32, -2.5)), &bits));
    assert_true((int64_t)bits == -2);
    assert_true(kb_is_const(b, kb_bitcast(b, SN_I32, kb_float(b, SN_F32, -0.0)), &bits));
    assert_true((int64_t)bits == INT32_MIN);
    assert_false(kb_is_const(b, x, &bits));
    fixture_close(&f);
}

static void unused_accesses_go_and_terms_follow_their_values(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f);
    KBuilder *b = f.b;
    kb_int(b, SN_I64, 99); /* dead: shifts the numbers */
    KValue g = kb_inst(b, inst_of(OP_GRID_INDEX, SN_I64, KVALUE_NONE, KVALUE_NONE, 0));
    KValue row = kb_op2(b, OP_MUL, g, kb_int(b, SN_I64, 3));
    Kernel *k = &f.kernel;
    KAccess gathered = {0, k->terms.count, 1, kcoef_literal(0)};
    assert_true(vec_push(&k->terms, ((KTerm){KVALUE_NONE, row, kcoef_literal(1)})));
    assert_true(vec_push(&k->accesses, gathered));
    KValue x = load(b, 2);
    bracket(b, OP_LOOP);
    load(b, 0); /* dead: its access goes */
    store(b, 1, x);
    bracket(b, OP_END);
    assert_finishes(&f, "kernel {\n"
                        "  params 1\n"
                        "  arg a0 f32 in\n"
                        "  arg a1 f32 out\n"
                        "  axis i p0\n"
                        "  access c0 a1 i*1\n"
                        "  access c1 a0 %2*1\n"
                        "  %0 = grid_index 0 : i64\n"
                        "  %1 = const i64 3\n"
                        "  %2 = mul %0, %1 : i64\n"
                        "  %3 = load c1 : f32\n"
                        "  loop i\n"
                        "    store c0 %3\n"
                        "  end\n"
                        "}\n");
}

static void misuse_fails_and_stays_failed(void **state) {
    (void)state;
    static const char *const messages[] = {"add: operand 1 is i32",
                                           "tanh: no scalar primitive",
                                           "add: wrong number of operands",
                                           "bitcast: sizes differ",
                                           "neg: no such operand",
                                           "placed twice",
                                           "do not match",
                                           "no such access",
                                           "used before or outside its region"};
    for (int i = 0; i < 9; i++) {
        Fixture f;
        fixture_open(&f);
        KBuilder *b = f.b;
        KValue x = kb_inst(b, inst_of(OP_PARAM, SN_F32, KVALUE_NONE, KVALUE_NONE, 0));
        uint32_t inner = kbuilder_region(b, f.item);
        switch (i) {
        case 0:
            kb_op2(b, OP_ADD, x, kb_int(b, SN_I32, 1));
            break;
        case 1:
            kb_op1(b, OP_TANH, x);
            break;
        case 2:
            kb_op1(b, OP_ADD, x);
            break;
        case 3:
            kb_bitcast(b, SN_F64, x);
            break;
        case 4:
            kb_op1(b, OP_NEG, KVALUE_NONE);
            break;
        case 5:
            kb_place(b, f.item, inner), kb_place(b, f.item, inner);
            break;
        case 6:
            bracket(b, OP_END);
            break;
        case 7:
            store(b, 17, x);
            break;
        default:
            kbuilder_at(b, inner);
            x = kb_op1(b, OP_NEG, x);
            kbuilder_at(b, f.item);
            bracket(b, OP_LOOP);
            store(b, 1, x);
            bracket(b, OP_END);
            break;
        }
        if (i < 6) assert_int_equal(kb_float(b, SN_F32, 1), KVALUE_NONE);
        sn_error error = {0};
        assert_int_equal(kbuilder_finish(b, &f.kernel, &error), SN_ERROR_INTERNAL);
        if (!strstr(error.text, messages[i])) fail_msg("%d: %s", i, error.text);
        fixture_close(&f);
    }
}

/* ---- allocation faults ----------------------------------------------------------------------- */

/* Builds, verifies, prints and parses; the first failure's status. */
static sn_status whole_way(const Kernel *source) {
    sn_error error = {0};
    StrBuf out = {0};
    Kernel built, parsed;
    sn_status status = SN_ERROR_MEMORY;
    kernel_init(&built);
    kernel_init(&parsed);
    KBuilder *b = kbuilder_new();
    if (!b) goto out;
    for (uint32_t i = 0; i < 50; i++) kb_int(b, SN_I64, i);
    KValue x = kb_inst(b, inst_of(OP_PARAM, SN_I64, KVALUE_NONE, KVALUE_NONE, 0));
    for (int i = 0; i < 20; i++) x = kb_op2(b, OP_MUL, x, x);
    kb_inst(b,
            inst_of(OP_CHECK, SN_BOOL, kb_op2(b, OP_EQ, x, kb_int(b, SN_I64, 0)), KVALUE_NONE, 0));
    built.n_params = 1;
    status = kbuilder_finish(b, &built, &error);
    if (status == SN_OK) status = kernel_verify(&built, &error);
    if (status != SN_OK) goto out;
    kernel_print(source, &out, NULL);
    status =
        out.failed ? SN_ERROR_MEMORY : kernel_parse(&parsed, strbuf_text(&out), out.length, &error);
    if (status == SN_OK) assert_true(kernel_equal(source, &parsed));
out:
    kbuilder_free(b);
    strbuf_free(&out);
    kernel_free(&built);
    kernel_free(&parsed);
    return status;
}

static void a_failed_allocation_leaves_nothing_behind(void **state) {
    (void)state;
    Kernel source;
    parse_good(&source, full_text);
    while (source.insts.count <= 256) /* more than the printer numbers without the heap */
        assert_true(vec_push(&source.insts, inst_of(OP_END, 0, KVALUE_NONE, KVALUE_NONE, 0)));
    int64_t live = mem_live_count();
    int64_t before = mem_request_count();
    assert_int_equal(whole_way(&source), SN_OK);
    int64_t requests = mem_request_count() - before;
    assert_true(requests > 20);
    for (int64_t n = 1; n <= requests; n++) {
        mem_fail_after(n, n % 2 == 0);
        sn_status status = whole_way(&source);
        mem_fail_after(0, false);
        assert_int_equal(status, SN_ERROR_MEMORY);
        assert_int_equal(mem_live_count(), live);
    }
    kernel_free(&source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_reads_back_to_the_same_text),
        cmocka_unit_test(parsed_kernel_has_the_structure_of_its_text),
        cmocka_unit_test(equality_sees_every_field),
        cmocka_unit_test(comments_name_source_lines_and_are_skipped),
        cmocka_unit_test(constants_of_every_dtype_round_trip),
        cmocka_unit_test(many_values_print_too),
        cmocka_unit_test(bad_text_gives_line_and_column),
        cmocka_unit_test(cut_and_mutated_text_never_crashes),
        cmocka_unit_test(verifier_refuses_what_has_no_meaning),
        cmocka_unit_test(verifier_refuses_what_text_cannot_say),
        cmocka_unit_test(equal_values_are_emitted_once),
        cmocka_unit_test(loads_are_kept_apart),
        cmocka_unit_test(values_of_a_closed_loop_are_not_found_again),
        cmocka_unit_test(outer_values_serve_inner_regions_only_when_they_stand_before),
        cmocka_unit_test(constants_fold_and_neutral_operands_go),
        cmocka_unit_test(unused_accesses_go_and_terms_follow_their_values),
        cmocka_unit_test(misuse_fails_and_stays_failed),
        cmocka_unit_test(a_failed_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
