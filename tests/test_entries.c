/* Guard keys and the entries that they lead to: frontend/compiled/key.h and entries.h. */
#include "tests/api_case.h"

#include "frontend/compiled/handle.h"
#include "frontend/compiled/key.h"

enum { SLOTS = 16 }; /* functions whose entry a thread keeps; see entries.c */

static sn_tensor *twice(sn_tensor *x) {
    return sn_add(x, x);
}

/* A compiled function that has an entry for one f32 element. */
static sn_compiled *compiled_once(void) {
    sn_compiled *c = sn_compile(twice, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, twice);
    for (int i = 0; i < 2; i++) EXPECT_VALUES(fast(tensor_of(SN_F32, SN_I(1), V(3))), 6);
    assert_int_equal(c->entries.entries.count, 1);
    return c;
}

static void find_own(sn_compiled *c, Entry **entry) {
    const Entry *only = c->entries.entries.data[0];
    Key key = {.words = only->key, .count = only->key_words};
    *entry = entries_find(&c->entries, &key);
    assert_ptr_equal(*entry, only);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void an_entry_is_the_callers_until_it_is_given_back(void **state) {
    (void)state;
    sn_compiled *c[SLOTS + 1]; /* the last has the slot of the first */
    for (int i = 0; i <= SLOTS; i++) c[i] = compiled_once();
    assert_int_equal(c[0]->entries.serial % SLOTS, c[SLOTS]->entries.serial % SLOTS);
    Entry *mine, *same, *other;
    find_own(c[0], &mine);
    find_own(c[0], &same);      /* a call of the same function meanwhile … */
    find_own(c[SLOTS], &other); /* … and of one that takes the slot */
    entries_give_back(&c[0]->entries, same);
    entries_give_back(&c[SLOTS]->entries, other);
    for (int i = 0; i <= SLOTS; i++) sn_compiled_release(c[i]); /* all let go of it, but for me */
    assert_int_equal(refs_count(&mine->refs), 1);
    assert_non_null(mine->instance->executable);
    entry_release(mine);
}

static void a_kept_entry_is_found_without_the_list(void **state) {
    (void)state;
    sn_compiled *c = compiled_once();
    Entry *entry, *again;
    find_own(c, &entry);
    entries_give_back(&c->entries, entry);
    int64_t refs = refs_count(&entry->refs);
    find_own(c, &again);
    assert_int_equal(refs_count(&again->refs), refs); /* the thread's own reference was moved */
    entries_give_back(&c->entries, again);
    sn_compiled_release(c);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Kinds of scalars whose sizes are no multiples of a word, and counted ones. */
typedef struct Odd {
    int32_t used;      /* of bytes */
    char bytes[13];    /* a counted array */
    char ignored[3];   /* padding */
    int16_t halves[6]; /* a fixed array */
} Odd;

static const sn_field odd_fields[] = {
    {.kind = SN_FIELD_SCALAR, .offset = offsetof(Odd, used), .bytes = 4},
    {.kind = SN_FIELD_SCALAR,
     .offset = offsetof(Odd, bytes),
     .bytes = 1,
     .count = 13,
     .counted = true,
     .count_offset = offsetof(Odd, used)},
    {.kind = SN_FIELD_IGNORED, .offset = offsetof(Odd, ignored), .bytes = 3},
    {.kind = SN_FIELD_SCALAR, .offset = offsetof(Odd, halves), .bytes = 2, .count = 6},
};
static const sn_tree odd_tree = {sizeof(Odd), odd_fields, 4};
static const sn_field pair_fields[] = {
    {.kind = SN_FIELD_STRUCT, .offset = 0, .bytes = sizeof(Odd), .count = 2, .nested = &odd_tree}};
static const sn_tree pair_tree = {2 * sizeof(Odd), pair_fields, 1};

static char watched[17];

static sn_tensor *first_of(sn_tensor **xs, int32_t n, bool b, int32_t i, int64_t l, float f,
                           double d, sn_rng *r, sn_rng *q, Odd *odd) {
    (void)n, (void)b, (void)i, (void)l, (void)f, (void)d, (void)r, (void)q, (void)odd;
    return sn_clone(xs[0]);
}

typedef sn_tensor *FirstOf(sn_tensor **, int32_t, bool, int32_t, int64_t, float, double, sn_rng *,
                           sn_rng *, Odd *);

/* The packing checks in this build that all words have room. */
static void a_key_has_room_for_every_kind_of_argument(void **state) {
    (void)state;
    const sn_tree *trees[] = {&pair_tree};
    sn_watch watch[3] = {{watched, 1}, {watched, 8}, {watched, sizeof watched}};
    sn_compile_options options = {.trees = trees, .n_trees = 1, .watch = watch, .n_watch = 3};
    sn_compiled *c = sn_compile(first_of, "t*bilfdrrS:t", &options);
    EXPECT_OK();
    FirstOf *fast = (FirstOf *)SN_FN(c, first_of);
    sn_rng rng = {.seed = 7};
    sn_tensor *xs[200];
    for (int i = 0; i < 200; i++)
        xs[i] = i % 3 ? sn_c(i) : sn_zeros(SN_I(1, 1, 2, 1, 1, 1, 1, 2), SN_F32);
    Odd odd[2] = {{.used = 13}, {.used = 13}};
    for (int32_t n = 1; n <= 200; n += n < 40 ? 1 : 40) {
        sn_scope scope = sn_scope_begin();
        assert_non_null(fast(xs, n, true, 1, 2, 3, 4, &rng, &rng, odd));
        sn_scope_end(scope, NULL);
    }
    for (int32_t used = 0; used <= 13;
         used++) { /* each length, and each last byte, is another key */
        odd[1].used = used;
        sn_counters before = counters_now();
        assert_non_null(fast(xs, 1, true, 1, 2, 3, 4, &rng, &rng, odd));
        if (used) odd[1].bytes[used - 1] ^= 1;
        watched[16]++;
        assert_non_null(fast(xs, 1, true, 1, 2, 3, 4, &rng, &rng, odd));
        assert_true(counters_now().traces - before.traces >= 1);
    }
    EXPECT_OK();
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(an_entry_is_the_callers_until_it_is_given_back),
        API_TEST(a_kept_entry_is_found_without_the_list),
        API_TEST(a_key_has_room_for_every_kind_of_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
