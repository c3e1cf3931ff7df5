/* Attributes that are wrong; see fuzz_break_attrs.h. */
#include "tests/fuzz_break_attrs.h"

#include "frontend/tensor/tensor.h"

#include <math.h>
#include <string.h>

/* With itself or a neighbour it is past what an int64_t can count, whatever the op makes of it: a size
 * that could be had, or almost, would only run out of memory. */
#define HUGE_SIZE ((int64_t)1 << 62)

#define PICK(b, array)                                                                             \
    ((array)[fuzz_below(&(b)->random, (int64_t)(sizeof(array) / sizeof *(array)))])

static FuzzStep *step_of(Breaker *b) {
    return &b->program->steps[b->at];
}

/* Rank of the first operand; 0 where it has none. */
static int32_t rank_of(const Breaker *b) {
    const FuzzStep *step = &b->program->steps[b->at];
    int32_t value = step->n_operands ? step->operands[0].value : -1;
    return value >= 0 && b->values[value] ? b->values[value]->rank : 0;
}

/* One of the step's attributes of these kinds, and, where `name` is not ATTR_NONE, of that name: its
 * parameter, NULL if there is none, and its words. */
static const OpParam *find(Breaker *b, const char *kinds, AttrName name, int64_t **words) {
    FuzzAttr attrs[OP_MOST_PARAMS], fitting[OP_MOST_PARAMS];
    int32_t n = fuzz_attrs(step_of(b), attrs), found = 0;
    for (int32_t i = 0; i < n; i++) {
        const OpParam *param = attrs[i].param;
        if (strchr(kinds, param->kind) && (!name || param->attr == name))
            fitting[found++] = attrs[i];
    }
    if (!found) return NULL;
    const FuzzAttr *chosen = &fitting[fuzz_below(&b->random, found)];
    *words = &step_of(b)->words[chosen->at];
    return chosen->param;
}

/* Gives a list one entry more, behind the others; NULL where there is no room. */
static int64_t *append(Breaker *b, int64_t *list) {
    FuzzStep *step = step_of(b);
    if (step->n_words == FUZZ_MOST_WORDS) return NULL;
    int64_t *entry = list + 1 + list[0], *end = step->words + step->n_words;
    memmove(entry + 1, entry, sizeof *entry * (size_t)(end - entry));
    step->n_words++;
    list[0]++;
    *entry = 0;
    return entry;
}

static void drop_last(Breaker *b, int64_t *list) {
    FuzzStep *step = step_of(b);
    int64_t *entry = list + list[0]--, *end = step->words + step->n_words--;
    memmove(entry, entry + 1, sizeof *entry * (size_t)(end - entry - 1));
}

/* ---- axes ------------------------------------------------------------------------------------ */

static int64_t wrong_axis(Breaker *b) {
    int32_t rank = rank_of(b);
    int64_t axes[] = {rank, rank + 1, rank + 2, -rank - 1, -rank - 2, 8, -9, INT64_MAX, INT64_MIN};
    return PICK(b, axes);
}

bool break_axis(Breaker *b) {
    FuzzAttr attrs[OP_MOST_PARAMS];
    int32_t n = fuzz_attrs(step_of(b), attrs);
    bool any = false;
    for (int32_t i = 0; i < n; i++) {
        if (attrs[i].param->kind != 'l' || !fuzz_is_axis(attrs[i].param)) continue;
        int64_t *word = &step_of(b)->words[attrs[i].at];
        *word = any && fuzz_chance(&b->random, 50) ? word[-1] : wrong_axis(b); /* twice the same */
        any = true;
    }
    return any;
}

bool break_axes(Breaker *b) {
    int64_t *axes;
    if (!find(b, "L", ATTR_AXES, &axes)) return false;
    if (axes[0] && fuzz_chance(&b->random, 15)) { /* a permutation of too few */
        drop_last(b, axes);
        return true;
    }
    int64_t *entry = axes[0] && fuzz_chance(&b->random, 50)
                         ? axes + 1 + fuzz_below(&b->random, axes[0])
                         : append(b, axes);
    if (!entry) return false;
    *entry = fuzz_chance(&b->random, 50) ? wrong_axis(b) /* or one that is there already */
                                         : axes[1 + fuzz_below(&b->random, axes[0])];
    return true;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* Sizes whose product is too large, or so many that no tensor has them. */
static bool large_dims(Breaker *b, int64_t *dims) {
    bool many = fuzz_chance(&b->random, 50);
    while (dims[0] < (many ? SN_MAX_RANK + 1 : 2)) {
        int64_t *entry = append(b, dims);
        if (!entry) return false;
        *entry = 1;
    }
    if (many) return true;
    dims[1] = dims[2] = HUGE_SIZE;
    return true;
}

bool break_dims(Breaker *b) {
    static const int64_t sizes[] = {-1, -2, -7, 0, 1, 3, 11, INT64_MIN};
    int64_t *dims;
    if (!find(b, "L", ATTR_DIMS, &dims)) return false;
    if (fuzz_chance(&b->random, 35)) return large_dims(b, dims);
    int64_t *entry = dims[0] && fuzz_chance(&b->random, 70)
                         ? dims + 1 + fuzz_below(&b->random, dims[0])
                         : append(b, dims);
    if (!entry) return false;
    *entry = PICK(b, sizes);
    if (*entry == -1 && dims[0] > 1) dims[1] = dims[2] = -1; /* two unknown ones */
    return true;
}

bool break_pads(Breaker *b) {
    static const int64_t pads[] = {-1000, HUGE_SIZE, INT64_MAX, INT64_MIN, -3};
    int64_t *list;
    if (!find(b, "L", ATTR_PADS, &list)) return false;
    int64_t wanted = fuzz_chance(&b->random, 50) ? list[0] + 1 : 2 * rank_of(b) + 2;
    bool count = fuzz_chance(&b->random, 50) || !list[0];
    while (count && list[0] < wanted)
        if (!append(b, list)) return false;
    if (count) return true;
    list[1 + fuzz_below(&b->random, list[0])] = PICK(b, pads);
    list[1 + fuzz_below(&b->random, list[0])] = PICK(b, pads);
    return true;
}

/* ---- numbers --------------------------------------------------------------------------------- */

bool break_number(Breaker *b) {
    static const int64_t integers[] = {-1, -100, 1000, 0, INT64_MAX, INT64_MIN, HUGE_SIZE};
    static const double reals[] = {-1, 1.5, 0, 1e300, -1e300, (double)NAN, (double)INFINITY};
    int64_t *word;
    double real = PICK(b, reals);
    const OpParam *param = find(b, "ld", ATTR_NONE, &word);
    if (!param) return false;
    *word = PICK(b, integers);
    if (param->kind == 'd') memcpy(word, &real, sizeof real);
    return true;
}

bool break_enumeration(Breaker *b) {
    static const int64_t values[] = {2, 3, 9, 10, -1, 77, INT32_MAX, INT32_MIN, SN_I32, SN_BOOL};
    int64_t *word;
    if (!find(b, "ey", ATTR_NONE, &word)) return false;
    *word = PICK(b, values);
    return true;
}

/* ---- lists and items ------------------------------------------------------------------------- */

bool break_list(Breaker *b) {
    FuzzStep *step = step_of(b);
    int64_t *list;
    bool has = step->kind == FUZZ_INDEX_VIEW || step->kind == FUZZ_SPLIT ||
               find(b, "L", ATTR_NONE, &list) != NULL;
    step->fault = (FuzzFault)(FUZZ_LIST_NULL + fuzz_below(&b->random, 3));
    return has;
}

static bool break_index(Breaker *b) {
    FuzzStep *step = step_of(b);
    int64_t item = fuzz_below(&b->random, 5);
    static const int64_t items[][4] = {{SN_INDEX_AT, 100000, 0, 1},
                                       {SN_INDEX_RANGE, 0, 3, 0},
                                       {SN_INDEX_RANGE, 0, 3, INT64_MIN},
                                       {7, 0, 0, 1},
                                       {SN_INDEX_AT, INT64_MIN, 0, 1}};
    if (fuzz_chance(&b->random,
                    30)) { /* more items than axes, or more new axes than there can be */
        int64_t kind = fuzz_chance(&b->random, 50) ? SN_INDEX_NEW : SN_INDEX_ALL;
        for (; step->n_words + 4 <= FUZZ_MOST_WORDS; step->n_words += 4)
            memcpy(step->words + step->n_words, (int64_t[]){kind, 0, SN_END, 1},
                   sizeof(int64_t[4]));
        return true;
    }
    int32_t at = step->n_words / 4 ? 4 * (int32_t)fuzz_below(&b->random, step->n_words / 4) : 0;
    memcpy(step->words + at, items[item], sizeof items[item]);
    if (step->n_words < at + 4) step->n_words = at + 4;
    return true;
}

static bool break_split(Breaker *b) {
    static const int64_t sizes[] = {-1, 1, INT64_MAX, INT64_MIN, -100};
    FuzzStep *step = step_of(b);
    int32_t count = step->n_words - 2;
    if (fuzz_chance(&b->random, 40) || !count) {
        step->words[0] = wrong_axis(b);
        return true;
    }
    int64_t *size = &step->words[2 + fuzz_below(&b->random, count)];
    *size = fuzz_chance(&b->random, 50) ? *size + 1 : PICK(b, sizes);
    return true;
}

bool break_items(Breaker *b) {
    switch (step_of(b)->kind) {
    case FUZZ_INDEX_VIEW:
        return break_index(b);
    case FUZZ_SPLIT:
        return break_split(b);
    default:
        return false;
    }
}
