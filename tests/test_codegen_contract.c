/* Contractions of the CPU code generator against the interpreter: rows, columns and K of every size around
 * tiles, panels, groups and chunks; layouts; what is computed of the operands before and of the sums
 * behind. */
#include "tests/codegen_case.h"

/* A product of m × k and k × n with these strides, of `batch` matrices, the columns in blocks. */
typedef struct Product {
    sn_dtype dtype;              /* of all */
    int64_t batch, m, n, k;      /* sizes; batch 0: the grid has rows alone */
    int64_t block;               /* columns of an item; 0: all */
    bool rows_apart;             /* x is k × m in memory */
    bool columns_apart;          /* y is n × k in memory */
    bool own_columns;            /* each row has a y of its own */
    bool shared;                 /* the text says that rows share z */
    const char *before, *behind; /* lines: %p and %q of %x and %y; %r of %s */
} Product;

static const char copies[] = " %p = cast %x : D\n %q = cast %y : D\n";
static const char sums[] = " %r = cast %s : D\n";

/* Lines in which D stands for the dtype and letters for values, which are numbered as they come. */
typedef struct Lines {
    StrBuf text;       /* so far */
    const char *dtype; /* its name */
    int number[128];   /* by letter */
    int count;         /* of values */
} Lines;

static void add(Lines *lines, const char *text) {
    for (; *text; text++) {
        if (*text == 'D') {
            strbuf_add(&lines->text, lines->dtype);
        } else if (*text == '%') {
            int *number = &lines->number[(unsigned char)*++text];
            if (strncmp(text + 1, " =", 2) == 0) *number = lines->count++;
            strbuf_addf(&lines->text, "%%%d", *number);
        } else {
            strbuf_add_char(&lines->text, *text);
        }
    }
}

static Case case_of(const Product *p) {
    Lines lines = {.dtype = sn_dtype_name(p->dtype)};
    add(&lines, "kernel {\n params 6\n arg a0 D in\n arg a1 D in\n");
    add(&lines, p->shared ? " arg a2 D shared\n" : " arg a2 D in\n");
    add(&lines, " arg a3 D out\n axis i p0");
    add(&lines, p->block ? " split\n axis j p1\n" : "\n axis j p1\n");
    add(&lines, " access c0 a0 j*p2\n access c1 a1 j*p3 + i*p4\n access c2 a2 i*1\n"
                " access c3 a3 i*1\n access c4 a1 j*p3 + i*1\n %a = const D 0x1p+0\n"
                " %b = const D 0x1.8p-1\n loop i vector\n loop j\n %x = load c0 : D\n");
    add(&lines, p->columns_apart ? " %y = load c1 : D\n" : " %y = load c4 : D\n");
    add(&lines, p->before ? p->before : copies);
    add(&lines, " %c = reduce_fma %p, %q chain : D\n end\n %z = load c2 : D\n");
    add(&lines, " %s = mul %c, %a : D\n");
    add(&lines, p->behind ? p->behind : sums);
    add(&lines, " store c3 %r\n end\n}\n");
    Case c = case_open(strbuf_text(&lines.text));
    strbuf_free(&lines.text);
    return c;
}

static void check(Product p) {
    Case c = case_of(&p);
    int64_t matrices = p.batch ? p.batch : 1, owners = p.own_columns ? matrices * p.m : matrices;
    case_param(&c, 0, p.n);
    case_param(&c, 1, p.k);
    case_param(&c, 2, p.rows_apart ? p.m : 1);
    case_param(&c, 3, p.columns_apart ? 1 : p.n);
    case_param(&c, 4, p.columns_apart ? p.k : 1);
    int32_t dim = 0;
    if (p.batch) {
        case_dim(&c, p.batch);
        case_stride(&c, 0, dim, p.m * p.k);
        case_stride(&c, 1, dim, owners / matrices * p.k * p.n);
        case_stride(&c, 3, dim++, p.m * p.n);
    }
    case_dim(&c, p.m);
    case_stride(&c, 0, dim, p.rows_apart ? 1 : p.k);
    if (p.own_columns) case_stride(&c, 1, dim, p.k * p.n);
    case_stride(&c, 3, dim, p.n);
    if (p.block) case_split(&c, p.n, p.block);
    case_arg(&c, 0, matrices * p.m * p.k, FILL_FINITE);
    case_arg(&c, 1, owners * p.k * p.n, FILL_FINITE);
    case_arg(&c, 2, p.n, FILL_FINITE);
    case_arg(&c, 3, matrices * p.m * p.n, FILL_FINITE);
    case_run(&c);
    c.fill[0] = c.fill[1] = FILL_MIXED;
    c.misalign = 3;
    case_run(&c);
    case_close(&c);
}

static void rows_columns_and_k_of_every_size(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 25, 95, 96, 97};
    static const int64_t columns[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 255, 256, 257, 300};
    static const int64_t inner[] = {0, 1, 2, 3, 17, 511, 512, 513, 1024, 1025, 40, 5, 64, 8, 9};
    for (size_t i = 0; i < 15; i++) {
        check((Product){SN_F32, .m = rows[i], .n = columns[(i * 4) % 15], .k = inner[i]});
        check(
            (Product){SN_F64, .m = rows[(i * 7) % 15], .n = columns[i], .k = inner[(i * 2) % 15]});
    }
    for (int64_t m = 191; m < 194; m++) check((Product){SN_F32, .m = m, .n = 40, .k = 30});
    check((Product){SN_F32, .m = 400, .n = 20, .k = 700}); /* too much to be near */
    check((Product){SN_F32, .m = 2, .n = 600, .k = 600});
    check((Product){SN_F32, .m = 0, .n = 5, .k = 5});
    for (int apart = 0; apart < 2; apart++) {
        check((Product){SN_F32, .m = 1, .n = 300, .k = 520, .columns_apart = apart});
        check((Product){SN_F64, .m = 1, .n = 150, .k = 40, .columns_apart = apart});
        check((Product){SN_F32, .batch = 7, .m = 1, .n = 140, .k = 9, .columns_apart = apart});
    }
}

static void layouts(void **state) {
    (void)state;
    for (int bits = 0; bits < 8; bits++) {
        Product p = {.dtype = bits & 1 ? SN_F64 : SN_F32,
                     .m = 14,
                     .n = 37,
                     .k = 530,
                     .rows_apart = bits & 2,
                     .columns_apart = bits & 4};
        check(p);
        p.batch = 3;
        p.m = 5;
        check(p);
        p.block = 16;
        check(p);
        p.own_columns = true;
        check(p);
        p.batch = 0;
        check(p);
    }
}

/* Items of several blocks and lines in one call, begun and ended anywhere. */
static void blocks_and_lines(void **state) {
    (void)state;
    for (int64_t block = 1; block < 80; block += 13)
        check((Product){SN_F32, .batch = 2, .m = 13, .n = 70, .k = 20, .block = block});
    check((Product){SN_F32, .batch = 40, .m = 1, .n = 9, .k = 20, .block = 4});
    check((Product){SN_F32, .m = 300, .n = 9, .k = 3, .block = 64});
}

static void what_is_computed_before_and_behind(void **state) {
    (void)state;
    static const char *const before[] = {
        " %p = mul %x, %b : D\n %q = abs %y : D\n",
        " %p = sqrt %x : D\n %q = mul %y, %x : D\n", /* the row's element in the column's */
        (" %d = index j : i64\n %e = cast %d : D\n %p = mul %x, %e : D\n %f = index i : i64\n"
         " %g = add %f, %d : i64\n %h = cast %g : D\n %q = maximum %y, %h : D\n"),
    };
    static const char *const behind[] = {
        " %r = add %s, %z : D\n",
        " %k = index i : i64\n %l = cast %k : D\n %r = mul %s, %l : D\n",
        " %m = canonical_nan %s : D\n %r = maximum %m, %z : D\n",
    };
    for (int b = 0; b < 3; b++)
        for (int h = 0; h < 3; h++)
            for (int64_t block = 0; block < 40; block += 24) {
                Product p = {b % 2 ? SN_F64 : SN_F32,
                             .m = 9,
                             .n = 50,
                             .k = 520,
                             .block = block,
                             .before = before[b],
                             .behind = behind[h]};
                check(p);
            }
}

/* What hangs on the column alone: much, five values of it, what an index makes; and too little. */
static const char *const of_columns[] = {
    (" %d = fma %z, %z, %b : D\n %e = sqrt %d : D\n %f = div %a, %e : D\n %g = mul %f, %z : D\n"
     " %h = mul %s, %f : D\n %r = add %h, %g : D\n"),
    (" %d = abs %z : D\n %e = sqrt %d : D\n %f = add %d, %e : D\n %g = mul %e, %z : D\n"
     " %h = neg %g : D\n %k = mul %s, %d : D\n %l = add %k, %e : D\n %m = mul %l, %f : D\n"
     " %n = add %m, %g : D\n %r = mul %n, %h : D\n"),
    (" %d = index i : i64\n %e = cast %d : D\n %f = mul %e, %z : D\n %g = add %f, %b : D\n"
     " %h = mul %g, %g : D\n %r = add %s, %h : D\n"),
    " %d = neg %z : D\n %r = add %s, %d : D\n",
};

static void what_rows_share_is_computed_once(void **state) {
    (void)state;
    for (int b = 0; b < 4; b++)
        for (int64_t m = 1; m < 400; m += 193)
            for (int64_t block = 0; block < 40; block += 24)
                check((Product){b % 2 ? SN_F64 : SN_F32, .batch = b % 3, .m = m, .n = 290, .k = 20,
                                .block = block, .shared = true, .behind = of_columns[b]});
    if (!case_backend) skip();
    for (int b = 0; b < 8; b++) {
        Product p = {SN_F32, .m = 1, .n = 1, .k = 1, .shared = b < 4, .behind = of_columns[b % 4]};
        Case c = case_of(&p);
        StrBuf text = {0};
        sn_error error = {0};
        Target target = target_for(ISA_AVX2);
        assert_int_equal(case_backend->print(&c.kernel, &target, &(Schedule){0}, "kernel",
                                             STAGE_SOURCE, &text, &error),
                         SN_OK);
        bool hoisted = strstr(strbuf_text(&text), "@kernel_hoisted") != NULL;
        assert_int_equal(hoisted, b < 3);
        strbuf_free(&text);
        case_close(&c);
    }
}

/* ---- the code -------------------------------------------------------------------------------- */

/* What a loop without inner ones has in it, from its label to the jump back there. */
typedef struct Body {
    int fmas, loads, others; /* instructions */
    bool spills;             /* memory of the stack is used */
} Body;

static bool has(const char *line, const char *end, const char *word) {
    const char *at = strstr(line, word);
    return at && at < end;
}

/* `framed`: %rbp is where the function's frame lies, no register like others. */
static void count_line(Body *body, const char *line, const char *end, bool framed) {
    if (has(line, end, "vfmadd"))
        body->fmas++;
    else if (has(line, end, "vmovup") || has(line, end, "vbroadcasts"))
        body->loads++;
    else
        body->others++;
    body->spills |= has(line, end, "(%rsp") || (framed && has(line, end, "(%rbp)"));
}

/* The loops of multiply-adds in assembly; how many. */
static int find_tiles(const char *text, Body *bodies, int most) {
    char label[32] = "";
    int count = 0;
    bool framed = false;
    Body body = {0};
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        if (*line != '.' && *line != '\t') framed = false; /* another function */
        framed |= has(line, end, "%rsp, %rbp");
        if (strncmp(line, ".LBB", 4) == 0) {
            size_t length = (size_t)(strchr(line, ':') - line);
            assert_true(length < sizeof label);
            memcpy(label, line, length);
            label[length] = '\0';
            body = (Body){0};
        } else if (line[0] == '\t' && line[1] != '.') {
            count_line(&body, line, end, framed);
            bool jumps = line[1] == 'j';
            bool back = jumps && *label && has(line, end, label) &&
                        strncmp(strchr(line + 1, '\t') + 1, label, strlen(label)) == 0;
            if (back && body.fmas && count < most) bodies[count++] = body;
            if (jumps) *label = '\0';
        }
    }
    return count;
}

/* A tile's step is its multiply-adds, a load for each row and each vector of columns, and four more. */
static void a_step_of_a_tile_is_its_products(void **state) {
    (void)state;
    enum { TILES = 5 };
    static const int shapes[ISA_COUNT][TILES][2] = {
        [ISA_AVX2] = {{6, 2}, {6, 1}, {4, 2}, {2, 4}, {1, 8}},
        [ISA_AVX512] = {{12, 2}, {12, 1}, {4, 2}, {2, 4}, {1, 8}}};
    if (!case_backend) skip();
    for (TargetIsa isa = ISA_AVX2; isa <= target_host()->cpu.isa; isa++)
        for (int wide = 0; wide < 2; wide++) {
            Product p = {.dtype = wide ? SN_F64 : SN_F32, .m = 1, .n = 1, .k = 1};
            Case c = case_of(&p);
            StrBuf text = {0};
            sn_error error = {0};
            Target target = target_for(isa);
            assert_int_equal(case_backend->print(&c.kernel, &target, &(Schedule){0}, "kernel",
                                                 STAGE_ASSEMBLY, &text, &error),
                             SN_OK);
            Body bodies[8];
            assert_int_equal(find_tiles(strbuf_text(&text), bodies, 8), TILES);
            for (int i = 0; i < TILES; i++) {
                int rows = shapes[isa][i][0], vectors = shapes[isa][i][1];
                assert_int_equal(bodies[i].fmas, rows * vectors);
                assert_true(bodies[i].loads <= rows + vectors);
                assert_true(bodies[i].others <= 4);
                assert_false(bodies[i].spills);
            }
            strbuf_free(&text);
            case_close(&c);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_columns_and_k_of_every_size),
        cmocka_unit_test(layouts),
        cmocka_unit_test(blocks_and_lines),
        cmocka_unit_test(what_is_computed_before_and_behind),
        cmocka_unit_test(what_rows_share_is_computed_once),
        cmocka_unit_test(a_step_of_a_tile_is_its_products),
    };
    return cmocka_run_group_tests(tests, case_setup, NULL);
}
