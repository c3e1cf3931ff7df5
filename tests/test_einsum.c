/* einsum and tensordot: values against loops over all labels of our own, which add up as the definition says
 * (pair by pair from the left, a chain of fused multiply-adds along the labels that are summed), bit for bit;
 * eager, compiled for sizes and for any; how many kernels they are; what they refuse. tests/opinfo
 * compares them with PyTorch's. */
#include "api_case.h"

#include <math.h>

/* ---- the loops ------------------------------------------------------------------------------- */

enum { LETTERS = 128, CHUNK = 512, ELEMENTS = 1 << 14 };

/* Elements in f32 of axes with letters; row-major. */
typedef struct Loose {
    char letters[16];       /* one for each axis */
    int64_t size[LETTERS];  /* by letter; the axes' own */
    float values[ELEMENTS]; /* elements */
} Loose;

static int64_t place(const Loose *x, const int64_t *at) {
    int64_t place = 0;
    for (const char *c = x->letters; *c; c++)
        place = place * x->size[(int)*c] + (x->size[(int)*c] == 1 ? 0 : at[(int)*c]);
    return place;
}

/* Counts the letters up, the last one fastest; false at the end. */
static bool step(const char *letters, const int64_t *sizes, int64_t *at) {
    for (int32_t i = (int32_t)strlen(letters) - 1; i >= 0; i--) {
        if (++at[(int)letters[i]] < sizes[(int)letters[i]]) return true;
        at[(int)letters[i]] = 0;
    }
    return false;
}

/* x · y summed over `sums`, in this order, by axes `kept`. */
static void multiply(const Loose *x, const Loose *y, const char *kept, const char *sums, Loose *z) {
    int64_t at[LETTERS] = {0}, sizes[LETTERS], place_of_z = 0;
    for (int c = 0; c < LETTERS; c++) sizes[c] = x->size[c] > y->size[c] ? x->size[c] : y->size[c];
    snprintf(z->letters, sizeof z->letters, "%s", kept);
    memcpy(z->size, sizes, sizeof sizes);
    do {
        float total = 0, chunk = 0;
        int64_t terms = 0;
        do {
            if (terms && terms % CHUNK == 0) total += chunk, chunk = 0;
            float a = x->values[place(x, at)], b = y->values[place(y, at)];
            chunk = *sums ? fmaf(a, b, chunk) : a * b;
            terms++;
        } while (step(sums, sizes, at));
        z->values[place_of_z++] = terms <= CHUNK ? chunk : total + chunk;
    } while (step(kept, sizes, at));
}

/* An operand with these letters, sizes by letter; of a letter in `ones` 1. */
static sn_tensor *operand(uint32_t seed, const char *letters, const char *sizes, const char *ones,
                          Loose *out) {
    int64_t dims[SN_MAX_RANK];
    int32_t rank = 0;
    *out = (Loose){.letters = ""};
    for (int c = 0; c < LETTERS; c++) out->size[c] = 1;
    snprintf(out->letters, sizeof out->letters, "%s", letters);
    for (const char *c = letters; *c; c++) {
        const char *at = strchr(sizes, *c);
        dims[rank++] = out->size[(int)*c] = strchr(ones, *c) ? 1 : strtol(at + 1, NULL, 10);
    }
    sn_tensor *x = tensor_random(seed, SN_F32, dims, rank);
    assert_true(sn_count(x) <= ELEMENTS);
    assert_true(sn_read(x, SN_F32, out->values, (size_t)sn_count(x) * sizeof(float)));
    return x;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static const char *equation; /* of what is compiled */

static sn_tensor *pair(sn_tensor *x, sn_tensor *y) {
    return sn_einsum(equation, SN_T(x, y));
}

/* x · y by letters, their sizes ("i3 j4"), what is summed in order, and axes of size 1. */
typedef struct PairCase {
    const char *x, *y, *kept, *sums; /* letters */
    const char *sizes;               /* by letter */
    const char *ones_x, *ones_y;     /* letters of size 1 in an operand */
    int kernels; /* compiled, of dense operands: one, and a copy where axes do not lie together */
    int copies;  /* that only eager makes */
} PairCase;

static const PairCase pairs[] = {
    {"bij", "bjk", "bik", "j", "b3 i4 j5 k6", "", "", 1, 0},
    {"ij", "jk", "ik", "j", "i5 j600 k7", "", "", 1, 0},
    {"ij", "kj", "ki", "j", "i5 j6 k7", "", "", 1, 0},
    {"i", "i", "", "i", "i9", "", "", 1, 0},
    {"ij", "j", "i", "j", "i4 j5", "", "", 1, 0},
    {"i", "j", "ij", "", "i4 j5", "", "", 1, 0},
    {"ij", "ij", "ji", "", "i4 j5", "", "", 1, 0},
    {"ij", "ij", "i", "j", "i4 j5", "", "", 1, 0},
    {"ij", "ji", "", "ij", "i4 j5", "", "", 1, 1},
    {"abij", "cjid", "abcd", "ij", "a2 b3 i4 j5 c2 d6", "", "", 2, 0},
    {"iaj", "jbi", "ab", "ij", "i4 a3 j5 b6", "", "", 3, 0},
    {"bhqd", "bkhd", "bhqk", "d", "b2 h3 q4 k5 d6", "", "", 1, 0},
    {"aibjc", "dbkae", "aijcdke", "b", "a2 i2 b3 j2 c2 d2 k2 e2", "", "", 3, 0},
    {"zaibj", "zdbke", "zaijdke", "b", "z2 a2 i2 b3 j2 d2 k2 e2", "", "", 3, 0},
    {"abcdefgk", "abcdefgk", "abcdefg", "k", "a2 b1 c2 d1 e2 f2 g3 k5", "", "", 1, 0},
    {"abcdefgk", "abcdefgk", "abcdefg", "k", "a2 b1 c2 d1 e2 f2 g3 k5", "ag", "c", 1, 2},
    {"bij", "bjk", "bik", "j", "b3 i4 j5 k6", "b", "", 1, 0},
    {"bij", "bjk", "bik", "j", "b3 i4 j5 k6", "j", "", 1, 0},
    {"bij", "bjk", "bik", "j", "b3 i4 j5 k6", "", "bj", 1, 0},
    {"ij", "jk", "ik", "j", "i1 j1 k1", "", "", 1, 0},
};

/* As it is recorded: the same elements, apart in memory and in another order. */
static sn_tensor *spread(sn_tensor *x, int how) {
    int32_t rank = sn_rank(x);
    if (how == 0 || rank == 0) return x;
    int64_t dims[SN_MAX_RANK], axes[SN_MAX_RANK];
    sn_shape(x, dims, NULL);
    for (int32_t i = 0; i < rank; i++) axes[i] = (i + 1) % rank;
    if (how == 1) { /* the first axis last in memory */
        sn_tensor *moved = sn_contiguous(sn_permute(x, axes, rank));
        for (int32_t i = 0; i < rank; i++) axes[i] = (i + rank - 1) % rank;
        return sn_permute(moved, axes, rank);
    }
    dims[rank - 1] *= 2; /* every other element, backwards */
    sn_tensor *wide = sn_zeros(dims, rank, sn_dtype_of(x));
    sn_index_item every[SN_MAX_RANK];
    for (int32_t i = 0; i < rank; i++) every[i] = (sn_index_item)SN_ALL;
    every[rank - 1] = (sn_index_item)SN_STEP(SN_END, SN_END, -2);
    return sn_copy_(sn_index(wide, every, rank), x);
}

static void expect_loose(sn_tensor *got, const Loose *want, int64_t count) {
    static float values[ELEMENTS];
    assert_int_equal(sn_count(got), count);
    assert_true(sn_read(got, SN_F32, values, (size_t)count * sizeof(float)));
    if (memcmp(values, want->values, (size_t)count * sizeof(float)) == 0) return;
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&values[i], &want->values[i], sizeof(float)) != 0)
            fail_msg("%s: element %lld is %a, expected %a", equation, (long long)i,
                     (double)values[i], (double)want->values[i]);
}

static int32_t launches(void) {
    static sn_launch_record records[16];
    return sn_history_end(records, 16);
}

static void products_of_two_are_the_loops(void **state) {
    (void)state;
    static Loose x, y, z;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const PairCase *p = &pairs[i];
        char text[64];
        snprintf(text, sizeof text, "%s,%s->%s", p->x, p->y, p->kept);
        equation = text;
        sn_scope scope = sn_scope_begin();
        sn_tensor *of_x = operand(2 * (uint32_t)i, p->x, p->sizes, p->ones_x, &x);
        sn_tensor *of_y = operand(2 * (uint32_t)i + 1, p->y, p->sizes, p->ones_y, &y);
        multiply(&x, &y, p->kept, p->sums, &z);
        sn_compiled *c = sn_compile(pair, "tt:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, pair);
        for (int how = 0; how < 3; how++) {
            sn_tensor *a = spread(of_x, how), *b = spread(of_y, how);
            sn_history_begin();
            sn_tensor *eager = pair(a, b);
            int32_t eager_kernels = launches();
            EXPECT_OK();
            if (how == 0 && eager_kernels != p->kernels + p->copies)
                fail_msg("%s: %d kernels of eager", text, (int)eager_kernels);
            expect_loose(eager, &z, sn_count(eager));
            for (int call = 0; call < 3; call++) {
                sn_history_begin();
                sn_tensor *got = fast(a, b);
                int32_t kernels = launches();
                EXPECT_SAME(got, eager);
                if (how == 0 && kernels != p->kernels)
                    fail_msg("%s: %d kernels", text, (int)kernels);
            }
        }
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
    }
}

/* ---- random pairs ---------------------------------------------------------------------------- */

static uint32_t random_state;

static int32_t below(int32_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (int32_t)(random_state >> 8) % n;
}

static void add_letter(char *letters, char letter) {
    size_t length = strlen(letters), at = (size_t)below((int32_t)length + 1);
    memmove(letters + at + 1, letters + at, length + 1 - at);
    letters[at] = letter;
}

/* Letters of one operand or of both, kept or summed, anywhere; those that are summed in the order of
 * their first occurrence. */
static void draw_letters(char x[16], char y[16], char kept[16], char sums[16], char ones_x[16],
                         char ones_y[16], char sizes[96]) {
    int32_t n = 1 + below(7);
    sizes[0] = 0;
    for (int32_t i = 0; i < n; i++) {
        char letter = (char)((below(2) ? 'a' : 'A') + i);
        bool in_x = below(3) > 0, in_y = !in_x || below(2);
        if (in_x) add_letter(x, letter);
        if (in_y) add_letter(y, letter);
        if (in_x && in_y && below(5) == 0) add_letter(below(2) ? ones_x : ones_y, letter);
        if (!in_x || !in_y || below(2)) add_letter(kept, letter);
        snprintf(sizes + strlen(sizes), 96 - strlen(sizes), "%c%d ", letter, 1 + below(4));
    }
    for (int32_t of_y = 0; of_y < 2; of_y++)
        for (const char *c = of_y ? y : x; *c; c++)
            if (!strchr(kept, *c) && !strchr(sums, *c)) {
                size_t length = strlen(sums);
                sums[length] = *c;
                sums[length + 1] = '\0';
            }
}

static void random_pairs_are_the_loops(void **state) {
    (void)state;
    static Loose x, y, z;
    for (uint32_t seed = 0; seed < 120; seed++) {
        char of_x[16] = "", of_y[16] = "", kept[16] = "", sums[16] = "", ones_x[16] = "";
        char ones_y[16] = "", sizes[96], text[64];
        random_state = seed * 7919;
        draw_letters(of_x, of_y, kept, sums, ones_x, ones_y, sizes);
        snprintf(text, sizeof text, "%s,%s->%s", of_x, of_y, kept);
        equation = text;
        sn_scope scope = sn_scope_begin();
        sn_tensor *a = spread(operand(seed, of_x, sizes, ones_x, &x), below(3));
        sn_tensor *b = spread(operand(seed + 1000, of_y, sizes, ones_y, &y), below(3));
        multiply(&x, &y, kept, sums, &z);
        sn_tensor *eager = pair(a, b);
        EXPECT_OK();
        expect_loose(eager, &z, sn_count(eager));
        sn_compile_options any = {.shapes = SN_SHAPES_DYNAMIC};
        sn_compiled *c = sn_compile(pair, "tt:t", seed % 2 ? &any : NULL);
        sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, pair);
        EXPECT_SAME(fast(a, b), eager);
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
    }
}

/* Sizes that vary are compiled for any of them. */
static void other_sizes_compile_nothing(void **state) {
    (void)state;
    static Loose x, y, z;
    static const char *const cases[][4] = {{"bij", "bjk", "bik", "j"},
                                           {"aij", "jibc", "abc", "ij"},
                                           {"iaj", "jbi", "ab", "ij"},
                                           {"zaibj", "zbkd", "zaijkd", "b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s,%s->%s", cases[i][0], cases[i][1], cases[i][2]);
        equation = text;
        sn_compiled *c = sn_compile(pair, "tt:t", NULL);
        sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, pair);
        int64_t compiles = 0;
        for (int n = 2; n < 8; n++) {
            sn_scope scope = sn_scope_begin();
            char sizes[96];
            snprintf(sizes, sizeof sizes, "a%d b%d c%d d2 i%d j%d k%d z2", n, 9 - n, n % 3 + 2,
                     n % 4 + 2, n + 1, n % 2 + 2);
            sn_tensor *of_x = operand(1, cases[i][0], sizes, "", &x);
            sn_tensor *of_y = operand(2, cases[i][1], sizes, "", &y);
            multiply(&x, &y, cases[i][2], cases[i][3], &z);
            int64_t before = counters_now().compiles;
            sn_tensor *got = fast(of_x, of_y);
            int64_t more = counters_now().compiles - before;
            EXPECT_OK();
            expect_loose(got, &z, sn_count(got));
            if (n > 5) compiles += more;
            sn_scope_end(scope, NULL);
        }
        if (compiles) fail_msg("%s: compiled again", text);
        sn_compiled_release(c);
    }
}

/* ---- equations ------------------------------------------------------------------------------- */

static void one_operand_is_summed_and_permuted(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
    sn_tensor *m = tensor_of(SN_F32, SN_I(2, 2), V(1, 2, 3, 4));
    EXPECT_VALUES(sn_einsum("ij->ji", SN_T(x)), 1, 4, 2, 5, 3, 6);
    EXPECT_VALUES(sn_einsum("ba", SN_T(x)), 1, 4, 2, 5, 3, 6);
    EXPECT_VALUES(sn_einsum("aB", SN_T(x)), 1, 4, 2, 5, 3, 6); /* upper case is first */
    EXPECT_VALUES(sn_einsum("ij->", SN_T(x)), 21);
    EXPECT_VALUES(sn_einsum(" i j -> j ", SN_T(x)), 5, 7, 9);
    EXPECT_VALUES(sn_einsum("ii", SN_T(m)), 5);
    EXPECT_VALUES(sn_einsum("ii->i", SN_T(m)), 1, 4);
    EXPECT_VALUES(sn_einsum("...", SN_T(x)), 1, 2, 3, 4, 5, 6);
    EXPECT_VALUES(sn_einsum("...->", SN_T(x)), 21);
    EXPECT_VALUES(sn_einsum("i...->...i", SN_T(x)), 1, 4, 2, 5, 3, 6);
    EXPECT_VALUES(sn_einsum("...i", SN_T(x)), 1, 2, 3, 4, 5, 6);
    EXPECT_VALUES(sn_einsum("ij...->i", SN_T(x)), 6, 15);
    sn_tensor *cube = sn_reshape(sn_arange(0, 27, 1, SN_F32), SN_I(3, 3, 3));
    EXPECT_VALUES(sn_einsum("iii->i", SN_T(cube)), 0, 13, 26);
    EXPECT_VALUES(sn_einsum("iij->j", SN_T(cube)), 36, 39, 42);
    EXPECT_VALUES(sn_einsum("iji->ij", SN_T(cube)), 0, 3, 6, 10, 13, 16, 20, 23, 26);
    EXPECT_VALUES(sn_einsum("", SN_T(tensor_of(SN_F32, SN_I0, V(4)))), 4);
    EXPECT_VALUES(sn_einsum("->", SN_T(tensor_of(SN_F32, SN_I0, V(4)))), 4);
    /* Integers are summed in i64; a view stays what it is. */
    EXPECT_SHAPE(sn_einsum("ij->i", SN_T(sn_cast(x, SN_U8))), SN_I64, SN_I(2));
    EXPECT_SHAPE(sn_einsum("ij->ji", SN_T(sn_cast(x, SN_BOOL))), SN_BOOL, SN_I(3, 2));
    sn_fill_(sn_einsum("ii->i", SN_T(m)), 9);
    EXPECT_VALUES(m, 9, 2, 3, 9);
    sn_fill_(sn_einsum("ij->ij", SN_T(m)), 7);
    EXPECT_VALUES(m, 7, 7, 7, 7);
    EXPECT_OK();
}

static void ellipses_broadcast(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(2, 1, 3, 4)),
              *w = tensor_random(2, SN_F32, SN_I(5, 4, 6));
    EXPECT_SAME(sn_einsum("...ij,...jk->...ik", SN_T(x, w)), sn_matmul(x, w));
    EXPECT_SAME(sn_einsum("...ij,...jk", SN_T(x, w)), sn_matmul(x, w));
    sn_tensor *v = tensor_random(3, SN_F32, SN_I(4)), *a = tensor_random(4, SN_F32, SN_I(2, 3));
    EXPECT_SAME(sn_einsum("...i,i", SN_T(x, v)), sn_matmul(x, v));
    EXPECT_SAME(sn_einsum("...,...", SN_T(a, sn_narrow(v, 0, 0, 3))),
                sn_mul(a, sn_narrow(v, 0, 0, 3)));
    EXPECT_SAME(sn_einsum(",ij->ij", SN_T(sn_c(0.5), a)), sn_mul(a, sn_c(0.5)));
    EXPECT_SHAPE(sn_einsum("ij,->ij", SN_T(sn_cast(a, SN_F16), sn_c(0.5))), SN_F16, SN_I(2, 3));
    /* Summed where the result has none. */
    EXPECT_SAME(sn_einsum("...i,...i->i", SN_T(a, sn_narrow(v, 0, 0, 3))),
                sn_einsum("ai,i->i", SN_T(a, sn_narrow(v, 0, 0, 3))));
    EXPECT_SAME(sn_einsum("i...j,...k->jk",
                          SN_T(sn_ones(SN_I(2, 5, 3), SN_F32), sn_ones(SN_I(5, 4), SN_F32))),
                sn_full(SN_I(3, 4), 10, SN_F32));
    EXPECT_OK();
}

static void many_operands_go_from_the_left(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 4)), *y = tensor_random(2, SN_F32, SN_I(4, 5));
    sn_tensor *z = tensor_random(3, SN_F32, SN_I(5, 6)), *v = tensor_random(4, SN_F32, SN_I(4));
    EXPECT_SAME(sn_einsum("ab,bc,cd->ad", SN_T(x, y, z)), sn_matmul(sn_matmul(x, y), z));
    EXPECT_SAME(sn_einsum("ab,cd,bc->ad", SN_T(x, z, y)),
                sn_tensordot(sn_einsum("ab,cd->abcd", SN_T(x, z)), y, SN_I(1, 2), SN_I(0, 1)));
    EXPECT_SAME(sn_einsum("ab,b,bc->ac", SN_T(x, v, y)), sn_matmul(sn_mul(x, v), y));
    EXPECT_SAME(sn_einsum("ij,jk->k", SN_T(x, y)), sn_matmul(sn_sum(x, SN_I(0), false), y));
    EXPECT_SAME(sn_einsum("ij,kl->j", SN_T(x, y)),
                sn_mul(sn_sum(x, SN_I(0), false), sn_sum(y, SN_I0, false)));
    EXPECT_SHAPE(sn_einsum("ij,jk", SN_T(sn_cast(x, SN_I8), sn_cast(y, SN_I8))), SN_I8, SN_I(3, 5));
    EXPECT_SHAPE(sn_einsum("ij,jk", SN_T(sn_cast(x, SN_F16), y)), SN_F32, SN_I(3, 5));
    EXPECT_OK();
}

static void nothing_and_not_a_number(void **state) {
    (void)state;
    sn_tensor *none = sn_zeros(SN_I(3, 0), SN_F32), *x = sn_zeros(SN_I(2, 3), SN_F32);
    EXPECT_SAME(sn_einsum("ik,kj->ij", SN_T(none, sn_zeros(SN_I(0, 4), SN_F32))),
                sn_zeros(SN_I(3, 4), SN_F32));
    EXPECT_SHAPE(sn_einsum("ij,jk", SN_T(x, none)), SN_F32, SN_I(2, 0));
    EXPECT_SHAPE(sn_einsum("bij,bjk->bik",
                           SN_T(sn_zeros(SN_I(0, 2, 3), SN_F32), sn_zeros(SN_I(1, 3, 4), SN_F32))),
                 SN_F32, SN_I(0, 2, 4));
    EXPECT_VALUES(sn_einsum("ij->", SN_T(none)), 0);
    sn_tensor *nan = tensor_of(SN_F32, SN_I(2), V(NAN, 1));
    EXPECT_VALUES(sn_einsum("i,i->", SN_T(nan, nan)), NAN);
    EXPECT_VALUES(sn_einsum("i,j->ij", SN_T(nan, tensor_of(SN_F32, SN_I(2), V(0, -0.0)))), NAN, NAN,
                  0, -0.0);
    /* A sum of products begins at +0. */
    EXPECT_VALUES(sn_einsum("i,i->", SN_T(tensor_of(SN_F32, SN_I(1), V(-0.0)),
                                          tensor_of(SN_F32, SN_I(1), V(1)))),
                  0);
    EXPECT_OK();
}

/* ---- tensordot ------------------------------------------------------------------------------- */

static void tensordot_pairs_axes(void **state) {
    (void)state;
    static Loose of_x, of_y, of_z;
    sn_tensor *x = operand(1, "iaj", "i4 a3 j5", "", &of_x),
              *y = operand(2, "jbi", "i4 b6 j5", "", &of_y);
    equation = "tensordot";
    multiply(&of_x, &of_y, "ab", "ij", &of_z);
    expect_loose(sn_tensordot(x, y, SN_I(0, 2), SN_I(-1, 0)), &of_z, 18);
    multiply(&of_x, &of_y, "ab", "ji", &of_z); /* k in the order of the pairs */
    expect_loose(sn_tensordot(x, y, SN_I(2, 0), SN_I(0, 2)), &of_z, 18);
    sn_tensor *m = tensor_random(3, SN_F32, SN_I(5, 7)),
              *one = tensor_random(4, SN_F32, SN_I(1, 2));
    EXPECT_SAME(sn_tensordot(x, m, SN_I(2), SN_I(0)), sn_matmul(x, m));
    EXPECT_SAME(sn_tensordot(m, m, SN_I(1), SN_I(1)), sn_matmul(m, sn_transpose(m, 0, 1)));
    EXPECT_SAME(sn_tensordot(x, m, SN_I0, SN_I0), sn_mul(sn_reshape(x, SN_I(4, 3, 5, 1, 1)), m));
    EXPECT_SAME(sn_tensordot(m, one, SN_I(0), SN_I(0)),
                sn_matmul(sn_transpose(m, 0, 1), sn_expand(one, SN_I(5, 2))));
    EXPECT_SHAPE(sn_tensordot(m, m, SN_I(0, 1), SN_I(0, 1)), SN_F32, SN_I0);
    EXPECT_SHAPE(
        sn_tensordot(sn_zeros(SN_I(0, 2), SN_I32), sn_zeros(SN_I(3, 0), SN_U8), SN_I(0), SN_I(1)),
        SN_I32, SN_I(2, 3));
    EXPECT_OK();
}

/* ---- what is refused ------------------------------------------------------------------------- */

typedef struct Refusal {
    const char *equation; /* of x, f32[2,3], and y, f32[4,5] */
    sn_status status;     /* what it is */
    const char *text;     /* what is said, behind "einsum: " */
} Refusal;

static const Refusal refusals[] = {
    {"ij;jk", SN_ERROR_ARGUMENT, "\"ij;jk\" has 1 term for 2 operands"},
    {"ij,jk,kl", SN_ERROR_ARGUMENT, "\"ij,jk,kl\" has 3 terms for 2 operands"},
    {"i1,jk", SN_ERROR_ARGUMENT, "\"i1,jk\": '1' at character 2 is no label (a to z, A to Z)"},
    {"ij,jk-il", SN_ERROR_ARGUMENT,
     "\"ij,jk-il\": '-' at character 6 is no label (a to z, A to Z)"},
    {"ij,kl->i->j", SN_ERROR_ARGUMENT,
     "\"ij,kl->i->j\": '-' at character 9 is no label (a to z, A to Z)"},
    {"ij,kl->i,j", SN_ERROR_ARGUMENT, "\"ij,kl->i,j\" is wrong at character 9"},
    {"ij.,kl", SN_ERROR_ARGUMENT, "\"ij.,kl\" is wrong at character 3"},
    {"..ij,kl", SN_ERROR_ARGUMENT, "\"..ij,kl\" is wrong at character 1"},
    {"...i...,kl", SN_ERROR_ARGUMENT, "\"...i...,kl\" is wrong at character 5"},
    {"ijk,kl", SN_ERROR_SHAPE, "\"ijk,kl\" has 3 labels for operands[0], which is f32[2,3]"},
    {"ij,l", SN_ERROR_SHAPE, "\"ij,l\" has 1 labels for operands[1], which is f32[4,5]"},
    {"ij,...jkl", SN_ERROR_SHAPE, "\"ij,...jkl\" has 3 labels for operands[1], which is f32[4,5]"},
    {"ij,jk", SN_ERROR_SHAPE, "label j has size 3 in operands[0], but 4 in operands[1]"},
    {"...j,...k", SN_ERROR_SHAPE, "label ... has size 2 in operands[0], but 4 in operands[1]"},
    {"ii,kl", SN_ERROR_SHAPE, "label i has sizes 2 and 3 in operands[0], which is f32[2,3]"},
    {"ij,kl->ikk", SN_ERROR_ARGUMENT, "\"ij,kl->ikk\": the result has label k twice"},
    {"ij,kl->im", SN_ERROR_ARGUMENT, "\"ij,kl->im\": label m of the result is in no operand"},
    {"ij,kl->ijklmnopq", SN_ERROR_SHAPE,
     "the result of \"ij,kl->ijklmnopq\" has 9 dims, at most 8"},
    {NULL, SN_ERROR_ARGUMENT, "equation is NULL"},
};

static void equations_are_refused_in_words(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(2, 3), SN_F32), *y = sn_ones(SN_I(4, 5), SN_F32);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char text[256];
        snprintf(text, sizeof text, "model.c:7: einsum: %s", refusals[i].text);
        assert_null(sn_einsum_at(refusals[i].equation, (sn_tensor *[]){x, y}, 2, "model.c", 7));
        assert_int_equal(sn_error_status(), refusals[i].status);
        assert_string_equal(sn_error_text(), text);
        sn_error_take(NULL);
    }
}

static void operands_are_refused_in_words(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(2, 3), SN_F32), *b = sn_ones(SN_I(3, 3), SN_BOOL);
    assert_null(sn_einsum("ij,jk", SN_T(x, NULL)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "einsum: operands[1] is NULL");
    assert_null(sn_einsum("ij,jk", SN_T(SN_NONE, x)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "einsum: operands[0] is SN_NONE");
    assert_null(sn_einsum("", NULL, 0));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "einsum: 0 operands");
    assert_null(sn_einsum("", NULL, 1));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "einsum: operands is NULL");
    assert_null(sn_einsum("ij,jk", SN_T(b, b)));
    EXPECT_ERROR(SN_ERROR_DTYPE, "test_einsum.c", "einsum: bool is refused");
    sn_tensor *wide = sn_ones(SN_I(1, 1, 1, 1, 1), SN_F32);
    assert_null(sn_einsum("abcde,fghij->a", SN_T(wide, wide)) ? NULL : sn_error_text());
    assert_null(sn_einsum("abcde,fghij,abcdefghij->", SN_T(wide, wide, wide)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "einsum: \"abcde,fghij,abcdefghij->\" has 10 labels");
    assert_null(sn_einsum("abcde,fghij,abcde,fghij->", SN_T(wide, wide, wide, wide)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "einsum: a product of two operands has 10 dims, at most 8");
    assert_null(sn_tensordot(x, x, SN_I(0), SN_I(1)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "tensordot: axis 0 of x has size 2, but axis 1 of y 3",
                 "y is f32[2,3]");
    assert_null(sn_tensordot(x, x, SN_I(2), SN_I(1)));
    EXPECT_ERROR(SN_ERROR_INDEX, "tensordot: x has no axis 2: x is f32[2,3]");
    assert_null(sn_tensordot(x, x, SN_I(0, 1), SN_I(0, -2)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "tensordot: axis -2 of y is named twice");
    assert_null(sn_tensordot(x, x, SN_I(0, 1), SN_I(0)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "tensordot: 2 axes of x are paired with 1 of y");
    assert_null(sn_tensordot(x, x, NULL, 1, SN_I(0)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "tensordot: dims_x is NULL, but has 1 entries");
    assert_null(sn_tensordot(x, x, SN_I0, NULL, -1));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "tensordot: dims_y");
    assert_null(sn_tensordot(NULL, x, SN_I0, SN_I0));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "tensordot: x is NULL");
    assert_null(sn_tensordot(b, b, SN_I(0), SN_I(0)));
    EXPECT_ERROR(SN_ERROR_DTYPE, "tensordot: bool is refused");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(products_of_two_are_the_loops),
        API_TEST(random_pairs_are_the_loops),
        API_TEST(other_sizes_compile_nothing),
        API_TEST(one_operand_is_summed_and_permuted),
        API_TEST(ellipses_broadcast),
        API_TEST(many_operands_go_from_the_left),
        API_TEST(nothing_and_not_a_number),
        API_TEST(tensordot_pairs_axes),
        API_TEST(equations_are_refused_in_words),
        API_TEST(operands_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
