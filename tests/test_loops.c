/* What ir/kernel/loops.h and ir/kernel/spread.h say of kernels, from their text: the tree of loops, the
 * order of each reduction, and how values and addresses differ between the trips of a vector loop. */
#include "ir/kernel/loops.h"
#include "ir/kernel/spread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A kernel with all that is found out about it. */
typedef struct Known {
    Kernel kernel;   /* parsed and verified */
    Arena arena;     /* of what follows */
    KLoops loops;    /* its loops */
    KSpread *spread; /* by instruction */
} Known;

static Known known(const char *text) {
    Known k = {0};
    sn_error error = {0};
    kernel_init(&k.kernel);
    if (kernel_parse(&k.kernel, text, strlen(text), &error) != SN_OK ||
        kernel_verify(&k.kernel, &error) != SN_OK)
        fail_msg("%s", error.text);
    assert_true(kernel_loops(&k.kernel, &k.arena, &k.loops));
    k.spread = kernel_spread(&k.kernel, &k.loops, &k.arena);
    assert_non_null(k.spread);
    return k;
}

static void forget(Known *k) {
    kernel_free(&k->kernel);
    arena_free(&k->arena);
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Instructions: 0 loop i, 1 loop j, 2 load, 3 reduce, 4 end, 5 store, 6 end, 7 loop k, 8 load, 9 store,
 * 10 end. */
static const char tree_text[] = "kernel {\n"
                                "  params 3\n"
                                "  arg a0 f32 in\n"
                                "  arg a1 f32 out\n"
                                "  axis i p0 split\n"
                                "  axis j p1\n"
                                "  axis k p2\n"
                                "  access c0 a0 i*1 + j*p0\n"
                                "  access c1 a1 i*1\n"
                                "  access c2 a0 k*1\n"
                                "  access c3 a1 k*1\n"
                                "  loop i vector\n"
                                "    loop j\n"
                                "      %0 = load c0 : f32\n"
                                "      %1 = reduce_sum %0 column : f32\n"
                                "    end\n"
                                "    store c1 %1\n"
                                "  end\n"
                                "  loop k\n"
                                "    %2 = load c2 : f32\n"
                                "    store c3 %2\n"
                                "  end\n"
                                "}\n";

static void loops_stand_in_program_order_with_parent_and_end(void **state) {
    (void)state;
    Known k = known(tree_text);
    const KLoop *loops = k.loops.loops;
    assert_int_equal(k.loops.n_loops, 3);
    assert_int_equal(k.loops.split_axis, 0);
    const uint32_t begins[] = {0, 1, 7}, ends[] = {6, 4, 10}, axes[] = {0, 1, 2};
    const uint32_t parents[] = {KLOOP_NONE, 0, KLOOP_NONE};
    for (int l = 0; l < 3; l++) {
        assert_int_equal(loops[l].begin, begins[l]);
        assert_int_equal(loops[l].end, ends[l]);
        assert_int_equal(loops[l].parent, parents[l]);
        assert_int_equal(loops[l].axis, axes[l]);
    }
    forget(&k);
}

static void an_instructions_loop_is_the_innermost(void **state) {
    (void)state;
    Known k = known(tree_text);
    const uint32_t loop_of[] = {0, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2};
    for (uint32_t i = 0; i < 11; i++) assert_int_equal(k.loops.loop_of[i], loop_of[i]);
    forget(&k);
}

static void stores_and_nesting_are_seen_from_outside(void **state) {
    (void)state;
    Known k = known(tree_text);
    const KLoop *loops = k.loops.loops;
    assert_true(loops[0].nested && loops[0].stores);
    assert_false(loops[1].nested || loops[1].stores);
    assert_true(loops[2].stores && !loops[2].nested);
    forget(&k);
}

static void the_vector_loop_counts_for_loops_inside_too(void **state) {
    (void)state;
    Known k = known(tree_text);
    assert_int_equal(k.loops.loops[0].vector_loop, 0);
    assert_int_equal(k.loops.loops[1].vector_loop, 0);
    assert_int_equal(k.loops.loops[2].vector_loop, KLOOP_NONE);
    assert_ptr_equal(vector_loop_of(&k.loops, 2), &k.loops.loops[0]);
    assert_null(vector_loop_of(&k.loops, 8));
    forget(&k);
}

/* ---- reductions ------------------------------------------------------------------------------ */

static const char reductions_text[] = "kernel {\n"
                                      "  params 1\n"
                                      "  arg a0 f32 in\n"
                                      "  arg a1 i64 in\n"
                                      "  axis i p0\n"
                                      "  access c0 a0 i*1\n"
                                      "  access c1 a1 i*1\n"
                                      "  loop i\n"
                                      "    %0 = load c0 : f32\n"
                                      "    %1 = load c1 : i64\n"
                                      "    %2 = reduce_sum %0 row : f32\n"
                                      "    %3 = reduce_prod %0 column : f32\n"
                                      "    %4 = reduce_sum %0 tree : f32\n"
                                      "    %5 = reduce_sum %1 row : i64\n"
                                      "    %6 = reduce_max %0 free : f32\n"
                                      "    %7 = reduce_argmin %0 free : i64\n"
                                      "    %8 = scan_sum %0 : f32\n"
                                      "  end\n"
                                      "}\n";

/* One row for each reduction of the text. */
static const struct {
    KReductionKind kind;
    OpCode merge;
    KStart start;
    int chunk, lanes; /* elements of a chunk, 0: endless */
    bool is_largest;
} reductions[] = {
    {KREDUCTION_TREE, OP_ADD, KSTART_ZERO, 1024, 32, false},
    {KREDUCTION_TREE, OP_MUL, KSTART_ONE, 32, 1, false},
    {KREDUCTION_TREE, OP_ADD, KSTART_ZERO, 1, 1, false},
    {KREDUCTION_MERGE, OP_ADD, KSTART_ZERO, 0, 1, false},
    {KREDUCTION_MERGE, OP_MAXIMUM, KSTART_LEAST, 0, 1, true},
    {KREDUCTION_BEST, OP_LT, KSTART_LARGEST, 0, 1, false},
    {KREDUCTION_SCAN, OP_ADD, KSTART_ZERO, 0, 1, false},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

static void only_float_sums_and_products_have_an_order(void **state) {
    (void)state;
    Known k = known(reductions_text);
    const KLoop *loop = &k.loops.loops[0];
    assert_int_equal(k.loops.n_reductions, REDUCTIONS);
    assert_int_equal(loop->n_reductions, REDUCTIONS);
    for (uint32_t i = 0; i < REDUCTIONS; i++) {
        const KReduction *r = loop_reduction(&k.loops, loop, i);
        int chunk = reductions[i].chunk;
        assert_int_equal(r->inst, 3 + i);
        assert_int_equal(loop_reduction_number(&k.loops, loop, r->inst), i);
        assert_int_equal(r->kind, reductions[i].kind);
        assert_int_equal(r->merge, reductions[i].merge);
        assert_int_equal(r->start, reductions[i].start);
        assert_int_equal(r->lanes, reductions[i].lanes);
        assert_int_equal(r->is_largest, reductions[i].is_largest);
        assert_int_equal(r->chunk, chunk ? __builtin_ctz((unsigned)chunk) : ORDER_ENDLESS_LOG2);
    }
    forget(&k);
}

static void accumulators_start_at_what_changes_nothing(void **state) {
    (void)state;
    assert_int_equal(kstart_bits(KSTART_ZERO, SN_F32), 0x80000000); /* -0 + x is x, +0 is not */
    assert_int_equal(kstart_bits(KSTART_ZERO, SN_I8), 0);
    assert_int_equal(kstart_bits(KSTART_ONE, SN_F64), 0x3ff0000000000000);
    assert_int_equal(kstart_bits(KSTART_LEAST, SN_F32), 0xff800000);
    assert_int_equal(kstart_bits(KSTART_LARGEST, SN_F32), 0x7f800000);
    assert_int_equal(kstart_bits(KSTART_LEAST, SN_I8), (uint64_t)INT64_C(-128));
    assert_int_equal(kstart_bits(KSTART_LARGEST, SN_I8), 127);
    assert_int_equal(kstart_bits(KSTART_LEAST, SN_U8), 0);
    assert_int_equal(kstart_bits(KSTART_LARGEST, SN_U8), 255);
    assert_int_equal(kstart_bits(KSTART_LEAST, SN_I64), INT64_MIN);
    assert_int_equal(kstart_bits(KSTART_LARGEST, SN_I64), INT64_MAX);
    assert_int_equal(kstart_bits(KSTART_LEAST, SN_BOOL), 0);
    assert_int_equal(kstart_bits(KSTART_LARGEST, SN_BOOL), 1);
}

/* Is the vector loop of a sum in this order one whose trips may run at the same time? */
static bool runs_as_vector(const char *order) {
    char text[512];
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 f32 in\n axis i p0\n access c0 a0 i*1\n loop i vector\n"
             " %%0 = load c0 : f32\n %%1 = reduce_sum %%0 %s : f32\n end\n}\n",
             order);
    Known k = known(text);
    bool vector = k.loops.loops[0].vector;
    forget(&k);
    return vector;
}

static void an_order_without_lanes_keeps_a_loop_from_running_as_vector(void **state) {
    (void)state;
    assert_true(runs_as_vector("row"));
    assert_false(runs_as_vector("column"));
    assert_false(runs_as_vector("tree"));
}

/* ---- spread ---------------------------------------------------------------------------------- */

static const char spread_text[] = "kernel {\n"
                                  "  params 2\n"
                                  "  arg a0 f32 in\n"
                                  "  arg a1 i64 in\n"
                                  "  arg a2 f32 out\n"
                                  "  axis i p0\n"
                                  "  access c0 a0 i*1\n"        /* neighbours */
                                  "  access c1 a0 %0*1\n"       /* from outside: one */
                                  "  access c2 a0 i*p1\n"       /* a parameter apart */
                                  "  access c3 a1 i*1\n"        /* */
                                  "  access c4 a0 %6*1\n"       /* loaded: any */
                                  "  access c5 a0 i*1 + %3*1\n" /* 1 + 3 apart */
                                  "  access c6 a0 %5*1\n"       /* i - i: one */
                                  "  access c7 a2 i*1 + i*0\n"  /* a zero counts for nothing */
                                  "  %0 = param p1 : i64\n"     /* 0 */
                                  "  %1 = const i64 3\n"        /* 1 */
                                  "  loop i vector\n"           /* 2 */
                                  "    %2 = index i : i64\n"    /* 3 */
                                  "    %3 = mul %2, %1 : i64\n" /* 4 */
                                  "    %4 = add %3, %0 : i64\n" /* 5 */
                                  "    %5 = sub %2, %2 : i64\n" /* 6 */
                                  "    %6 = load c3 : i64\n"    /* 7 */
                                  "    %7 = mul %2, %2 : i64\n" /* 8 */
                                  "    %8 = add %1, %0 : i64\n" /* 9 */
                                  "    %9 = mul %2, %0 : i64\n" /* 10 */
                                  "    %10 = load c1 : f32\n"   /* 11 */
                                  "    %11 = load c0 : f32\n"   /* 12 */
                                  "    %12 = load c2 : f32\n"   /* 13 */
                                  "    %13 = load c4 : f32\n"   /* 14 */
                                  "    %14 = load c5 : f32\n"   /* 15 */
                                  "    %15 = load c6 : f32\n"   /* 16 */
                                  "    store c7 %11\n"          /* 17 */
                                  "  end\n"
                                  "}\n";

static void values_are_uniform_affine_or_varying(void **state) {
    (void)state;
    static const struct {
        uint32_t inst;
        SpreadKind kind;
        int step;
    } rows[] = {
        {0, SPREAD_UNIFORM, 0},                           /* outside */
        {3, SPREAD_AFFINE, 1},                            /* the index */
        {4, SPREAD_AFFINE, 3},                            /* × a constant */
        {5, SPREAD_AFFINE, 3},                            /* + what is the same in all */
        {6, SPREAD_UNIFORM, 0},                           /* steps that cancel out */
        {7, SPREAD_VARYING, 0},                           /* loaded from neighbours */
        {8, SPREAD_VARYING, 0},                           /* a square */
        {9, SPREAD_UNIFORM, 0},                           /* of uniform operands */
        {10, SPREAD_VARYING, 0},                          /* × what is no constant */
        {11, SPREAD_UNIFORM, 0},                          /* loaded from one address */
        {16, SPREAD_UNIFORM, 0}, {17, SPREAD_VARYING, 0}, /* stores to many */
    };
    Known k = known(spread_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(k.spread[rows[i].inst].kind, rows[i].kind);
        assert_int_equal(k.spread[rows[i].inst].step, rows[i].step);
    }
    forget(&k);
}

static void accesses_have_the_pattern_of_their_terms(void **state) {
    (void)state;
    static const Pattern patterns[] = {
        PATTERN_CONTIGUOUS, PATTERN_UNIFORM, PATTERN_STRIDED, PATTERN_CONTIGUOUS,
        PATTERN_SCATTERED,  PATTERN_STRIDED, PATTERN_UNIFORM, PATTERN_CONTIGUOUS,
    };
    Known k = known(spread_text);
    for (uint32_t c = 0; c < 8; c++) {
        assert_int_equal(kernel_pattern(&k.kernel, k.spread, c, &k.loops.loops[0]), patterns[c]);
        assert_int_equal(kernel_pattern(&k.kernel, k.spread, c, NULL), PATTERN_UNIFORM);
    }
    forget(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_stand_in_program_order_with_parent_and_end),
        cmocka_unit_test(an_instructions_loop_is_the_innermost),
        cmocka_unit_test(stores_and_nesting_are_seen_from_outside),
        cmocka_unit_test(the_vector_loop_counts_for_loops_inside_too),
        cmocka_unit_test(only_float_sums_and_products_have_an_order),
        cmocka_unit_test(accumulators_start_at_what_changes_nothing),
        cmocka_unit_test(an_order_without_lanes_keeps_a_loop_from_running_as_vector),
        cmocka_unit_test(values_are_uniform_affine_or_varying),
        cmocka_unit_test(accesses_have_the_pattern_of_their_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
