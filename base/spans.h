/* Spans of memory, each with a number: whether one overlaps another is found without looking at all.
 * A treap by first byte, in which each node knows the furthest end below it; its height is that of the
 * logarithm, whatever the order in which spans come. */
#ifndef SN_BASE_SPANS_H
#define SN_BASE_SPANS_H

#include "base/vec.h"

#include <stdint.h>

typedef struct SpanNode {
    const char *first;    /* of the span's bytes */
    const char *end;      /* one past the last */
    const char *furthest; /* the largest end of it and those below */
    uint32_t number;      /* the caller's */
    int32_t left;         /* those that begin before it; -1: none */
    int32_t right;        /* the others; -1: none */
} SpanNode;

/* All zero when empty. */
typedef struct Spans {
    VEC(SpanNode) nodes; /* in the order of their coming */
    int32_t top;         /* the root, if there is any node */
} Spans;

enum { SPANS_NONE = -1 };

/* Adds the bytes from `first` to before `end`; of no bytes nothing. False when out of memory. */
bool spans_add(Spans *spans, const char *first, const char *end, uint32_t number);
/* The number of a span, other than `but`, that has bytes in common with these; SPANS_NONE. */
int64_t spans_find(const Spans *spans, const char *first, const char *end, uint32_t but);
/* Keeps the memory. */
static inline void spans_clear(Spans *spans) {
    spans->nodes.count = 0;
}
void spans_free(Spans *spans);

#endif
