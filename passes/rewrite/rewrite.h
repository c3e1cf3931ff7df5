/* Rewriting a graph: the driver of all passes that make one graph of another. It goes over the nodes in
 * order, asks the pass's rule for what replaces each, and puts the new graph in the place of the old. A
 * rule writes nodes with the vocabulary of ir/graph/build.h. */
#ifndef SN_PASSES_REWRITE_REWRITE_H
#define SN_PASSES_REWRITE_REWRITE_H

#include "ir/graph/build.h"
#include "passes/pass.h"

typedef struct Rewrite {
    PassContext *context; /* of the pass */
    const Graph *from;    /* the graph that is replaced */
    NodeId id;            /* the node that is replaced */
    const Node *node;     /* the same */
    const NodeId *map;    /* old ids below `id` → new ids */
    GraphBuilder *b;      /* the new graph, at the node's source line */
    void *state;          /* RewritePass.state */
    bool *holds_result;   /* by node of the new graph: a result so far lies in its memory */
} Rewrite;

/* What the node is in the new graph: of the same type. */
typedef NodeId RewriteRule(Rewrite *r);
/* What a result, node output->node of the new graph, is to be there: that, or one node more. */
typedef NodeId RewriteResult(Rewrite *r, const GraphOutput *output);

typedef struct RewritePass {
    const char *name;      /* for messages */
    RewriteRule *rule;     /* for each node */
    RewriteResult *result; /* for each result */
    void *state;           /* of the pass while it runs, for its rules; may be NULL */
    bool drops_dead;       /* nodes that no result needs, and that cannot fail, are left behind */
} RewritePass;

/* Every node that is needed, as it is; with folding, which sees all of them anew, the simplifier. */
extern const RewritePass rewrite_live;

/* Fills `to`, which is empty, with what the rules make of `from`. */
sn_status rewrite_into(PassContext *context, const RewritePass *pass, const Graph *from, Graph *to);
/* The same with the graph of the context, which it replaces. */
sn_status rewrite_graph(PassContext *context, const RewritePass *pass);

/* ---- for rules ------------------------------------------------------------------------------- */

/* The node as it is, its operands rewritten. */
RewriteRule rewrite_keep;
/* Operand `i` in the new graph; NODE_NONE when absent. */
NodeId rewrite_input(const Rewrite *r, int32_t i);
static inline sn_dtype rewrite_dtype(const Rewrite *r) {
    return (sn_dtype)r->node->dtype;
}
/* A number attribute of the node as a scalar: of this recording, or (d~) of each call. */
NodeId rewrite_number(Rewrite *r, sn_dtype dtype, AttrName name);
/* x, which has the node's elements in its order, in the node's dtype and dims. */
NodeId rewrite_finish(Rewrite *r, NodeId x);
/* Are the elements of the view those of its base, dense and in order? */
bool rewrite_is_whole(const Graph *graph, NodeId view);

/* ---- for results ----------------------------------------------------------------------------- */

/* A result must be a dense value that a kernel stores, in memory that no other has: inputs that an op
 * left as they are, constants, indices and parts get a copy, and so does what is written into an
 * input, unless it is computed by an op of its own. */
RewriteResult rewrite_own_memory;

#endif
