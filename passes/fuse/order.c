/* fuse, the last part: the order in which groups run. A group is ready when all it reads from has been
 * placed; among those that are ready, the one whose last member was recorded first comes next, so
 * that updates come as late as they may and can write in place. */
#include "base/assert.h"
#include "base/status.h"
#include "passes/fuse/fuse.h"

/* Groups that are ready: a heap, the one whose last member was recorded first on top. */
typedef struct Ready {
    const Fusion *fusion; /* the groups */
    uint32_t *heap; /* their numbers; a parent at i comes before its children 2i + 1, 2i + 2 */
    uint32_t count; /* how many */
} Ready;

static bool comes_first(const Ready *r, uint32_t i, uint32_t j) {
    const Group *groups = r->fusion->groups.data;
    return vec_last(&groups[r->heap[i]].members) < vec_last(&groups[r->heap[j]].members);
}

static void exchange(Ready *r, uint32_t i, uint32_t j) {
    uint32_t kept = r->heap[i];
    r->heap[i] = r->heap[j];
    r->heap[j] = kept;
}

static void ready_add(Ready *r, uint32_t group) {
    uint32_t at = r->count++;
    r->heap[at] = group;
    for (; at > 0 && comes_first(r, at, (at - 1) / 2); at = (at - 1) / 2)
        exchange(r, at, (at - 1) / 2);
}

static uint32_t ready_take(Ready *r) {
    SN_ASSERT(r->count > 0);
    uint32_t taken = r->heap[0], at = 0;
    r->heap[0] = r->heap[--r->count];
    for (;;) {
        uint32_t best = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < r->count; child++)
            if (comes_first(r, child, best)) best = child;
        if (best == at) return taken;
        exchange(r, at, best);
        at = best;
    }
}

/* Readers by group: those of g are at to[first[g]] … to[first[g + 1] − 1]. */
static void sort_edges(const GroupEdgeList *edges, uint32_t count, uint32_t *first, uint32_t *to) {
    for (uint32_t i = 0; i < edges->count; i++) first[edges->data[i].from]++;
    for (uint32_t g = 0, sum = 0; g <= count; g++) {
        sum += first[g];
        first[g] = sum; /* its end; lowered to its begin below */
    }
    for (uint32_t i = edges->count; i-- > 0;) to[--first[edges->data[i].from]] = edges->data[i].to;
}

sn_status fuse_order(PassContext *context, const GroupEdgeList *edges) {
    Fusion *fusion = &context->fusion;
    Arena *arena = &context->arena;
    uint32_t count = fusion->groups.count, live = 0;
    uint32_t *first = arena_zalloc(arena, sizeof *first * (count + 1));
    uint32_t *to = arena_alloc(arena, sizeof *to * (edges->count + 1));
    uint32_t *waiting = arena_zalloc(arena, sizeof *waiting * (count + 1));
    Ready ready = {fusion, arena_alloc(arena, sizeof(uint32_t) * (count + 1)), 0};
    if (!first || !to || !waiting || !ready.heap) return error_memory(context->error);
    sort_edges(edges, count, first, to);
    for (uint32_t i = 0; i < edges->count; i++) waiting[edges->data[i].to]++;
    for (uint32_t g = 0; g < count; g++) {
        if (fusion->groups.data[g].dead) continue;
        live++;
        if (!waiting[g]) ready_add(&ready, g);
    }
    while (ready.count) {
        uint32_t next = ready_take(&ready);
        if (!vec_push(&fusion->order, next)) return error_memory(context->error);
        for (uint32_t i = first[next]; i < first[next + 1]; i++) {
            SN_ASSERT(waiting[to[i]] > 0);
            if (--waiting[to[i]] == 0) ready_add(&ready, to[i]);
        }
    }
    if (fusion->order.count == live) return SN_OK;
    return error_set(context->error, SN_ERROR_INTERNAL, "fuse: groups form a cycle");
}
