/* Inside the kernel builder: what emitting (build.c) and joining (join.c) share.
 * Instructions are appended to regions, and joined by kbuilder_finish, which drops what no store needs.
 *
 * Constants, parameters and grid indices stand in region 0, the prologue, whose code comes first:
 * so there is one of each, visible everywhere. Region 1 is an item level for builders that make
 * none.
 *
 * A scope is a stretch of a region inside or outside a loop. Values are visible in the scope where
 * they stand and in those inside it. */
#ifndef SN_IR_KERNEL_BUILDER_H
#define SN_IR_KERNEL_BUILDER_H

#include "ir/kernel/kernel.h"

enum { PROLOGUE = 0, FIRST_REGION = 1 };
#define BUILDER_NONE UINT32_MAX /* no item, region, access or number */

typedef struct BuildInst {
    KInst inst;      /* operands are builder values */
    uint32_t region; /* where it stands */
    uint32_t scope;  /* scope in which its value lives */
    uint32_t item;   /* its entry in KBuilder.items */
} BuildInst;

/* An instruction or a placed region; the items of a region form a list. */
typedef struct Item {
    uint32_t index; /* of the instruction or region */
    uint32_t next;  /* next item of the same region, BUILDER_NONE at the end */
    bool is_region; /* which of the two it is */
} Item;

typedef struct Region {
    uint32_t parent; /* region around it; the prologue for item levels */
    uint32_t scope;  /* scope at its current end */
    uint32_t first;  /* first item, BUILDER_NONE when empty */
    uint32_t last;   /* last item */
    uint32_t placed; /* its item in the parent, BUILDER_NONE until placed */
} Region;

struct KBuilder {
    VEC(BuildInst) insts; /* by KValue */
    VEC(Item) items;      /* of all regions, in order of arrival */
    VEC(Region) regions;  /* by region number */
    VEC(uint32_t) scopes; /* parent of each scope; scope 0 is the prologue's */
    Map numbering;        /* hash of an instruction → KValue */
    uint32_t current;     /* region of emits */
    sn_status status;     /* SN_OK until something failed */
    sn_error error;       /* what failed first */
};

/* Notes what is wrong with `op` (OP_COUNT: with a region), unless something failed before. */
void kbuilder_fail(KBuilder *b, const char *what, uint32_t op);

#endif
