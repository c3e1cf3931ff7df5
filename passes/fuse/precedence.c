/* Fusion, precedence: see precedence.h. A question is a walk backwards from the later group, not beyond the
 * place of the earlier one; places are those of recorded nodes, so that there is room between them, and
 * what moves one moves few others. */
#include "passes/fuse/precedence.h"

#include "base/assert.h"

enum { MOST_WALKED = 256 /* groups that a walk looks at */ };

static Links *links(const Precedence *p, int32_t group) {
    SN_ASSERT(group >= 0 && (uint32_t)group < p->groups.count);
    return &p->groups.data[group];
}

/* The group that this one is part of now. */
static int32_t live(const Precedence *p, int32_t group) {
    int32_t into;
    while ((into = links(p, group)->into) != group) {
        links(p, group)->into = links(p, into)->into;
        group = into;
    }
    return group;
}

/* What was found holds no longer. */
static void forget(Precedence *p) {
    p->parted[0] = p->parted[1] = 0;
}

void precedence_free(Precedence *p) {
    for (uint32_t i = 0; i < p->with_memory; i++) {
        vec_free(&p->groups.data[i].before);
        vec_free(&p->groups.data[i].after);
    }
    vec_free(&p->groups);
    vec_free(&p->stack);
}

bool precedence_add(Precedence *p, uint32_t place) {
    Links added = {0};
    if (p->groups.count < p->with_memory) added = p->groups.data[p->groups.count];
    SN_ASSERT(added.before.count == 0 && added.after.count == 0);
    added.into = (int32_t)p->groups.count;
    added.place = place;
    added.walk = 0;
    if (!vec_push(&p->groups, added)) return false;
    if (p->groups.count > p->with_memory) p->with_memory = p->groups.count;
    p->fresh = true;
    p->droppable = false;
    return true;
}

bool precedence_drop_last(Precedence *p) {
    if (!p->droppable) return false;
    p->droppable = false;
    SN_ASSERT(p->groups.count > 0 && vec_last(&p->groups).before.count == 0 &&
              vec_last(&p->groups).after.count == 0);
    p->groups.count--;
    return true;
}

/* Moves what comes after the group behind it. */
static bool push_back(Precedence *p, int32_t group) {
    p->stack.count = 0;
    if (!vec_push(&p->stack, group)) return false;
    while (p->stack.count) {
        int32_t at = p->stack.data[--p->stack.count];
        const Links *own = links(p, at);
        for (uint32_t i = 0; i < own->after.count; i++) {
            int32_t next = live(p, own->after.data[i]);
            if (next == at || links(p, next)->place > own->place) continue;
            links(p, next)->place = own->place + 1;
            if (!vec_push(&p->stack, next)) return false;
        }
    }
    return true;
}

bool precedence_link(Precedence *p, int32_t before, int32_t after) {
    before = live(p, before);
    SN_ASSERT(before != after && live(p, after) == after);
    Links *x = links(p, before), *y = links(p, after);
    forget(p);
    if (y->before.count && vec_last(&y->before) == before) return true;
    if (!vec_push(&x->after, after) || !vec_push(&y->before, before)) return false;
    if (y->place > x->place) return true;
    y->place = x->place + 1;
    return push_back(p, after);
}

/* Adds what comes before the group, and behind `place`, to the walk; true if `wanted` is among it. */
static bool look_before(Precedence *p, int32_t group, int32_t wanted, uint32_t place,
                        bool *failed) {
    const Links *own = links(p, group);
    for (uint32_t i = 0; i < own->before.count; i++) {
        int32_t next = live(p, own->before.data[i]);
        if (next == wanted) return true;
        Links *other = links(p, next);
        if (next == group || other->place <= place || other->walk == p->walks) continue;
        other->walk = p->walks;
        if (!vec_push(&p->stack, next)) *failed = true;
    }
    return false;
}

static bool is_parted(Precedence *p, int32_t x, int32_t y) {
    if (links(p, x)->place == links(p, y)->place) return false;
    int32_t first = links(p, x)->place < links(p, y)->place ? x : y, last = first == x ? y : x;
    uint32_t place = links(p, first)->place, walked = 0;
    bool failed = false;
    p->stack.count = 0;
    p->walks++;
    /* What lies directly before the last is where a third may be. */
    const Links *own = links(p, last);
    for (uint32_t i = 0; i < own->before.count; i++) {
        int32_t next = live(p, own->before.data[i]);
        Links *other = links(p, next);
        if (next == first || next == last || other->place <= place || other->walk == p->walks)
            continue;
        other->walk = p->walks;
        if (!vec_push(&p->stack, next)) return true;
    }
    while (p->stack.count) {
        int32_t group = p->stack.data[--p->stack.count];
        if (++walked > MOST_WALKED || look_before(p, group, first, place, &failed) || failed)
            return true;
    }
    return false;
}

bool precedence_parted(Precedence *p, int32_t x, int32_t y) {
    SN_ASSERT(x != y);
    if (p->parted[0] == x && p->parted[1] == y) return true;
    if (!is_parted(p, x, y)) return false;
    p->parted[0] = x;
    p->parted[1] = y;
    return true;
}

/* A group that nothing comes after: it leaves no trace. */
static bool merge_latest(Precedence *p, int32_t into, int32_t from) {
    bool ok = true;
    while (links(p, from)->before.count) {
        int32_t before = links(p, from)->before.data[--links(p, from)->before.count];
        before = live(p, before);
        Links *other = links(p, before);
        while (other->after.count && vec_last(&other->after) == from) other->after.count--;
        if (before != into) ok = ok && precedence_link(p, before, into);
    }
    links(p, from)->into = into;
    return ok;
}

bool precedence_merge(Precedence *p, int32_t into, int32_t from) {
    Links *x = links(p, into), *y = links(p, from);
    forget(p);
    SN_ASSERT(into != from && x->into == into && y->into == from);
    bool latest = p->fresh && (uint32_t)from == p->groups.count - 1;
    p->fresh = false;
    p->droppable = latest;
    if (latest) return merge_latest(p, into, from);
    if (!vec_reserve(&x->before, y->before.count) || !vec_reserve(&x->after, y->after.count))
        return false;
    for (uint32_t i = 0; i < y->before.count; i++)
        x->before.data[x->before.count++] = y->before.data[i];
    for (uint32_t i = 0; i < y->after.count; i++)
        x->after.data[x->after.count++] = y->after.data[i];
    vec_free(&y->before);
    vec_free(&y->after);
    y->into = into;
    if (x->place < y->place) x->place = y->place;
    return push_back(p, into);
}
