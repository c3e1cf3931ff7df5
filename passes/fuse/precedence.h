/* Which groups must run before which, while they are merged: a graph without circles over their numbers,
 * in which each has a place that lies behind the places of all that come before it. */
#ifndef SN_PASSES_FUSE_PRECEDENCE_H
#define SN_PASSES_FUSE_PRECEDENCE_H

#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

/* One group. */
typedef struct Links {
    VEC(int32_t)
    before; /* groups that it reads from; some may have been merged since, some be named twice */
    VEC(int32_t) after; /* groups that read from it; the same */
    int32_t into;       /* the group that it was merged into; itself */
    uint32_t place;     /* beyond those of all groups before it */
    uint32_t walk;      /* the latest walk that met it */
} Links;

typedef struct Precedence {
    VEC(Links) groups; /* by number */
    uint32_t
        with_memory; /* groups whose lists have memory: count, and those beyond it that were dropped */
    bool fresh;      /* the last group was added since the last merge */
    bool droppable; /* it was merged while that was so */
    uint32_t walks; /* so far */
    int32_t
        parted[2]; /* the last two groups that were found parted, since when nothing has changed */
    VEC(int32_t) stack; /* of a walk */
} Precedence;

void precedence_free(Precedence *p);
/* A new group, with the next number; its place is this one, or further back. False when out of memory. */
bool precedence_add(Precedence *p, uint32_t place);
/* Takes the last group away, if it was merged before anything came after it, so that its number is free. */
bool precedence_drop_last(Precedence *p);
/* `before` runs before `after`. False when out of memory. */
bool precedence_link(Precedence *p, int32_t before, int32_t after);
/* Must a third group run between the two, whichever comes first? Said of groups, too, between which lie more
 * than a walk looks at. */
bool precedence_parted(Precedence *p, int32_t x, int32_t y);
/* `from` becomes part of `into`; they are not parted. False when out of memory. */
bool precedence_merge(Precedence *p, int32_t into, int32_t from);

#endif
