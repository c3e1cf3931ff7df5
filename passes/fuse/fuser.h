/* Inside fusion: groups while they are merged, shared by those who choose which (fuse.c, siblings.c). */
#ifndef SN_PASSES_FUSE_FUSER_H
#define SN_PASSES_FUSE_FUSER_H

#include "passes/fuse/fuse.h"
#include "passes/fuse/precedence.h"

/* What the pass knows of a group beside its members. */
typedef struct GroupState {
    int32_t cost;  /* sum of op_cost */
    int32_t reads; /* upper bound of distinct values read from memory */
    uint32_t
        after; /* ops that can fail recorded before its writes of inputs; 0 = nothing stops it */
    uint32_t needed; /* least of WriteOrder.needed */
    bool updates;    /* has an update among its members */
} GroupState;

/* A node that reads a value which another is to overwrite. */
typedef struct OldReader {
    NodeId node;   /* it */
    uint32_t next; /* another reader of the same value, as its place + 1; 0 = none */
} OldReader;

/* One node must run before the other, though it gives it no value. */
typedef struct NodeOrder {
    NodeId before; /* the one */
    NodeId after;  /* the other */
} NodeOrder;

typedef struct Fuser {
    PassContext *context;       /* the pipeline's */
    const Graph *graph;         /* context->graph */
    Fusion *fusion;             /* the result */
    VEC(GroupState) states;     /* by group */
    Precedence precedence;      /* which groups must run before which */
    IndexSpace space;           /* reused */
    ReadList reads;             /* reused */
    VEC(OldReader) old_readers; /* of values that are overwritten */
    uint32_t *latest_reader; /* by value: its latest in old_readers, as its place + 1; 0 = none */
    VEC(NodeOrder) orders;   /* what writes wait for */
    VEC(NodeId) unchecked;   /* ops that can fail, for which the next write of an input waits */
    GroupEdgeList edges;     /* which groups read from which, at the end */
    NodeId
        turned; /* the clone that is turned if the groups that were looked at last are merged; NODE_NONE */
} Fuser;

/* A group of this node alone; GROUP_NONE when out of memory. */
int32_t fuser_group(Fuser *f, NodeId id);
/* May `from` be merged into `into`? Fills the space that they have together. */
Refusal fuser_can_merge(Fuser *f, int32_t into, int32_t from, Group *joined);
/* Does so. False when out of memory. */
bool fuser_merge(Fuser *f, int32_t into, int32_t from, const Group *joined);
/* Adds what a group computes and reads to the size of another, unless that becomes too large; false then. */
bool fuser_take_room(Fuser *f, uint32_t into, uint32_t from);

/* Notes that `reader` reads `value` from memory; false when out of memory. May the groups become one, as far
 * as writes are concerned? (writes.c) */
bool fuse_note_read(Fuser *f, NodeId reader, NodeId value);
Refusal fuse_writes_fit(Fuser *f, const Group *joined, int32_t x, int32_t y);
/* Groups with the same space that read the same value become one. (siblings.c) */
sn_status fuse_siblings(Fuser *f);
/* What products alone read, column by column, is computed in their kernels. (columns.c) */
sn_status fuse_columns(Fuser *f);

#endif
