/* Attributes of ops: the words that hold them, by the enumerators that tools/gen_signatures.c makes of
 * the names in op.def. A name that does not exist is refused by the compiler, one that the op does not
 * have, or not of that kind, by an assertion. */
#ifndef SN_IR_OP_ATTR_H
#define SN_IR_OP_ATTR_H

#include "base/assert.h"
#include "ir/attr_names.h"
#include "ir/op/dim.h"
#include "ir/op/op.h"

#include <string.h>

enum { ATTR_MOST = 64 }; /* words of attributes a node can have */

/* Attribute words in the order of the op's signature: l d b y e h one word each (doubles as their
 * IEEE bits), L a count and that many words. Those of l and L are Dims' words. */
typedef struct AttrList {
    int32_t count;            /* words in use */
    int64_t words[ATTR_MOST]; /* the words */
} AttrList;

/* Those of an op that has none. */
extern const AttrList no_attrs;

/* Somebody's attribute words, to read. */
typedef struct AttrView {
    OpCode op;            /* whose attributes they are */
    int32_t count;        /* words */
    const int64_t *words; /* the words; not owned */
} AttrView;

static inline AttrView attr_view(OpCode op, const AttrList *attrs) {
    return (AttrView){op, attrs->count, attrs->words};
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Where an attribute's words stand among those of its op. */
typedef struct AttrPlace {
    char kind;     /* OpParam.kind; 0: the op has no attribute of that name */
    uint8_t words; /* words in front of it, from the end of `list` on */
    uint8_t list;  /* AttrName of the last list in front of it; ATTR_NONE: its place is fixed */
} AttrPlace;
extern const AttrPlace attr_places[OP_COUNT][ATTR_COUNT];

static inline bool op_has_attr(OpCode op, AttrName name) {
    return attr_places[op][name].kind != 0;
}

/* Values of enumerated attributes. */
#define ENUMERATION(attr, type, about, values) enum { values };
#define VALUE(id, about) id,
#include "ir/op/op_rules.def"
/* How many values an enumerated attribute has; 0 of others. */
int32_t attr_enum_count(AttrName name);

/* The word behind a list. */
int32_t attr_list_end(AttrView view, AttrName list);
/* First word of an attribute: its value, or a list's length. */
static inline int32_t attr_word(AttrView view, AttrName name) {
    const AttrPlace *place = &attr_places[view.op][name];
    SN_ASSERT(place->kind != 0);
    int32_t word = place->words;
    if (place->list) word += attr_list_end(view, (AttrName)place->list);
    SN_ASSERT(word < view.count);
    return word;
}

/* Is that attribute of a kind that `kinds` lists? */
static inline bool attr_is(OpCode op, AttrName name, const char *kinds) {
    return op_has_attr(op, name) && strchr(kinds, attr_places[op][name].kind);
}

/* By kind: l h e y; b; d; L; l~ and h~; L~. Of a list `*count` words are returned. */
static inline int64_t attr_int(AttrView view, AttrName name) {
    SN_ASSERT(attr_is(view.op, name, "lhey"));
    return view.words[attr_word(view, name)];
}
static inline bool attr_bool(AttrView view, AttrName name) {
    SN_ASSERT(attr_is(view.op, name, "b"));
    return view.words[attr_word(view, name)] != 0;
}
static inline double attr_double(AttrView view, AttrName name) {
    double value;
    SN_ASSERT(attr_is(view.op, name, "d"));
    memcpy(&value, &view.words[attr_word(view, name)], sizeof value);
    return value;
}
static inline const int64_t *attr_list(AttrView view, AttrName name, int32_t *count) {
    SN_ASSERT(attr_is(view.op, name, "L"));
    const int64_t *list = &view.words[attr_word(view, name)];
    *count = (int32_t)list[0];
    return list + 1;
}
static inline Dim attr_dim(AttrView view, AttrName name) {
    return (Dim){attr_int(view, name)};
}
static inline const Dim *attr_dims(AttrView view, AttrName name, int32_t *count) {
    return dims_of_words(attr_list(view, name, count));
}

/* In the place of a number d~ that of a scalar of the call, as a NaN that attr_add_double does not make. */
int64_t attr_scalar(uint32_t number);
/* Is the word that? */
bool attr_is_scalar(int64_t word, uint32_t *number);

/* ---- walking --------------------------------------------------------------------------------- */

/* One attribute after the other: for (AttrWalk at = attr_walk(view); attr_next(&at);). The words need
 * not be those of the signature: an attribute that is missing or cut off has a count of 0. */
typedef struct AttrWalk {
    AttrView view;        /* whose attributes */
    const OpParam *param; /* the attribute */
    const OpParam *next;  /* the parameter behind it */
    const OpParam *end;   /* behind the last parameter */
    int32_t first;        /* its first word; at the end of the walk the one behind all */
    int32_t count;        /* its words, a list's length being one */
} AttrWalk;

static inline AttrWalk attr_walk(AttrView view) {
    int32_t n_params;
    const OpParam *params = op_params(view.op, &n_params);
    return (AttrWalk){.view = view, .next = params, .end = params + n_params};
}
static inline bool attr_next(AttrWalk *walk) {
    walk->first += walk->count;
    walk->count = 0;
    while (walk->next < walk->end && !walk->next->attr) walk->next++;
    if (walk->next == walk->end) return false;
    walk->param = walk->next++;
    int32_t left = walk->view.count - walk->first;
    if (left < 1) return true;
    int64_t length = walk->param->kind == 'L' ? walk->view.words[walk->first] : 0;
    if (length >= 0 && length < left) walk->count = 1 + (int32_t)length;
    return true;
}
/* Are the words those of the signature, as many as it takes? */
bool attr_fits(AttrView view);

/* ---- building -------------------------------------------------------------------------------- */

/* Attributes are added in signature order. A list that is too long, negative or NULL leaves more than
 * ATTR_MOST words, which graph_emit refuses. */
void attr_add_int(AttrList *attrs, int64_t value);
void attr_add_double(AttrList *attrs, double value); /* all NaNs become one */
void attr_add_list(AttrList *attrs, const int64_t *values, int32_t count);
void attr_add_dims(AttrList *attrs, const Dim *values, int32_t count);
/* Are there too many? What the words say then of the list that was: its length, and whether it was
 * there. */
enum { ATTR_OVERLONG_LENGTH, ATTR_OVERLONG_PRESENT };
static inline bool attr_is_overlong(const AttrList *attrs) {
    return attrs->count > ATTR_MOST;
}
/* Another value for an attribute of one word. */
static inline void attr_set_int(AttrList *attrs, OpCode op, AttrName name, int64_t value) {
    SN_ASSERT(attr_is(op, name, "lhey"));
    attrs->words[attr_word(attr_view(op, attrs), name)] = value;
}
/* to := the words of a view, at most ATTR_MOST. */
static inline void attr_copy(AttrList *to, AttrView from) {
    SN_ASSERT(from.count <= ATTR_MOST);
    to->count = from.count;
    if (from.count) memcpy(to->words, from.words, sizeof *from.words * (size_t)from.count);
}

#endif
