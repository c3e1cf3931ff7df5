/* Spans of memory; see spans.h. */
#include "base/spans.h"

#include "base/assert.h"
#include "base/map.h"

/* The higher stands above. */
static uint64_t priority(int32_t node) {
    return hash_mix((uint64_t)node + 1, 0x9e3779b97f4a7c15u);
}

static SpanNode *node_at(const Spans *spans, int32_t node) {
    SN_ASSERT(node >= 0 && (uint32_t)node < spans->nodes.count);
    return &spans->nodes.data[node];
}

static void note_below(const Spans *spans, SpanNode *node, int32_t below) {
    if (below < 0) return;
    const char *furthest = node_at(spans, below)->furthest;
    if (furthest > node->furthest) node->furthest = furthest;
}

static void update(const Spans *spans, int32_t at) {
    SpanNode *node = node_at(spans, at);
    node->furthest = node->end;
    note_below(spans, node, node->left);
    note_below(spans, node, node->right);
}

/* What is below a node on one side. */
static int32_t *side(SpanNode *node, bool left) {
    return left ? &node->left : &node->right;
}

/* What was on that side of `at` is above it. */
static int32_t rotate(const Spans *spans, int32_t at, bool left) {
    int32_t *below = side(node_at(spans, at), left), top = *below;
    int32_t *inner = side(node_at(spans, top), !left);
    *below = *inner;
    *inner = at;
    update(spans, at);
    update(spans, top);
    return top;
}

/* The top of the tree `at` with the new node in it. As deep as the tree is high. */
static int32_t insert(const Spans *spans, int32_t at, int32_t added) {
    if (at < 0) return added;
    SpanNode *node = node_at(spans, at);
    bool left = node_at(spans, added)->first < node->first;
    int32_t *below = side(node, left);
    *below = insert(spans, *below, added);
    if (priority(*below) > priority(at)) return rotate(spans, at, left);
    update(spans, at);
    return at;
}

bool spans_add(Spans *spans, const char *first, const char *end, uint32_t number) {
    if (first == end) return true;
    SpanNode node = {first, end, end, number, SPANS_NONE, SPANS_NONE};
    int32_t top = spans->nodes.count ? spans->top : SPANS_NONE;
    if (!vec_push(&spans->nodes, node)) return false;
    spans->top = insert(spans, top, (int32_t)spans->nodes.count - 1);
    return true;
}

static int64_t find(const Spans *spans, int32_t at, const char *first, const char *end,
                    uint32_t but) {
    if (at < 0 || node_at(spans, at)->furthest <= first) return SPANS_NONE;
    const SpanNode *node = node_at(spans, at);
    int64_t found = find(spans, node->left, first, end, but);
    if (found != SPANS_NONE || node->first >= end) return found;
    if (node->end > first && node->number != but) return node->number;
    return find(spans, node->right, first, end, but);
}

int64_t spans_find(const Spans *spans, const char *first, const char *end, uint32_t but) {
    if (first == end || !spans->nodes.count) return SPANS_NONE;
    return find(spans, spans->top, first, end, but);
}

void spans_free(Spans *spans) {
    vec_free(&spans->nodes);
}
