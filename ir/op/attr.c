/* Attribute words of ops: places behind lists, whether there are as many as it takes, building lists. */
#include "ir/op/attr.h"

const AttrList no_attrs = {.count = 0};

enum { SCALAR_BITS = 32 };
static const int64_t quiet_nan = 0x7ff8000000000000, scalar_nan = 0x7ff4000000000000;

int32_t attr_enum_count(AttrName name) {
    static const uint8_t counts[ATTR_COUNT] = {
#define ENUMERATION(attr, type, about, values) [ATTR_##attr] = 0 values,
#define VALUE(id, about) +1
#include "ir/op/op_rules.def"
    };
    return counts[name];
}

int32_t attr_list_end(AttrView view, AttrName list) {
    int32_t word = attr_word(view, list);
    SN_ASSERT(view.words[word] >= 0 && view.words[word] < view.count - word);
    return word + 1 + (int32_t)view.words[word];
}

int64_t attr_scalar(uint32_t number) {
    return scalar_nan | (int64_t)number;
}

bool attr_is_scalar(int64_t word, uint32_t *number) {
    *number = (uint32_t)word;
    return word >> SCALAR_BITS == scalar_nan >> SCALAR_BITS;
}

bool attr_fits(AttrView view) {
    AttrWalk at = attr_walk(view);
    while (attr_next(&at))
        if (at.count == 0) return false;
    return at.first == view.count;
}

/* ---- building -------------------------------------------------------------------------------- */

void attr_add_int(AttrList *attrs, int64_t value) {
    if (attrs->count >= ATTR_MOST) {
        attrs->count = ATTR_MOST + 1;
        return;
    }
    attrs->words[attrs->count++] = value;
}

void attr_add_double(AttrList *attrs, double value) {
    int64_t word = quiet_nan;
    if (value == value) memcpy(&word, &value, sizeof word);
    attr_add_int(attrs, word);
}

void attr_add_list(AttrList *attrs, const int64_t *values, int32_t count) {
    if (attrs->count > ATTR_MOST) return;
    if (count < 0 || (count && !values) || count >= ATTR_MOST - attrs->count) {
        attrs->count = ATTR_MOST + 1;
        attrs->words[ATTR_OVERLONG_LENGTH] = count;
        attrs->words[ATTR_OVERLONG_PRESENT] = values != NULL;
        return;
    }
    attrs->words[attrs->count++] = count;
    if (count) memcpy(attrs->words + attrs->count, values, sizeof *values * (size_t)count);
    attrs->count += count;
}

void attr_add_dims(AttrList *attrs, const Dim *values, int32_t count) {
    attr_add_list(attrs, words_of_dims(values), count);
}
