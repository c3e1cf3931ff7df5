/* The pairwise tree in which the chunks of an ordered sum merge. It works like a binary counter whose
 * level l holds 2^l merged chunks: a new chunk merges with its neighbour of equal size and moves up;
 * at the end what is left merges from the last to the first. */
#ifndef SN_CODEGEN_CPU_TREE_H
#define SN_CODEGEN_CPU_TREE_H

#include "codegen/cpu/emit.h"

/* The values of one reduction that go through the tree together. */
typedef struct TreeEntry {
    const KReduction *r;  /* the reduction */
    LLVMTypeRef type;     /* of a value */
    int32_t lanes;        /* in a value */
    int32_t count;        /* values */
    LLVMValueRef stack;   /* levels × width values */
    int32_t width;        /* values of a level */
    LLVMValueRef first;   /* place of the first value in its level; NULL = 0 */
    LLVMValueRef *values; /* replaced by the results */
} TreeEntry;

/* x merged with y, for reductions whose state is one value, and for scans. */
LLVMValueRef merge_values(Emit *e, const KReduction *r, int32_t lanes, LLVMValueRef x,
                          LLVMValueRef y);
/* Adds the chunk in t->values to a tree that holds `count` chunks. */
void tree_push(Emit *e, TreeEntry *t, LLVMValueRef count);
/* Merges a tree of `count` chunks into the last chunk, t->values. */
void tree_collapse(Emit *e, TreeEntry *t, LLVMValueRef count);

#endif
