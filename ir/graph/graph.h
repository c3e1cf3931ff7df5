/* Graph IR: a tensor program as SSA nodes in an arena of flat arrays. A node is an index; its
 * inputs always have lower indices. Every node enters through graph_emit: infer → fold →
 * value-number → append, so a graph is canonical by construction. */
#ifndef SN_IR_GRAPH_GRAPH_H
#define SN_IR_GRAPH_GRAPH_H

#include "base/map.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "ir/op/order.h"
#include "ir/op/site.h"
#include "ir/op/type.h"

#include <sinter/error.h>

typedef uint32_t NodeId;
#define NODE_NONE UINT32_MAX /* an absent optional input */

typedef struct Node {
    uint16_t op;       /* OpCode */
    uint8_t dtype;     /* sn_dtype of the result */
    uint8_t rank;      /* dims of the result */
    uint16_t n_inputs; /* operands, absent ones included */
    uint16_t n_attrs;  /* attribute words */
    uint32_t inputs;   /* first operand, in Graph.operands */
    uint32_t dims;     /* first dim, in Graph.words */
    uint32_t attrs;    /* first attribute word, in Graph.words */
    uint32_t site;     /* the call that it stems from, in Graph.sites; 0 = none */
    uint64_t hash;     /* of op, dtype, dims, inputs and attributes */
} Node;
_Static_assert(sizeof(Node) <= 40, "a node stays small: graphs are walked node by node");

/* What a returned value is besides its node. */
typedef struct GraphOutput {
    NodeId node;          /* the value */
    int32_t writes_input; /* ≥ 0: the value is written into this input's memory; -1: a new tensor */
} GraphOutput;

typedef struct Graph {
    const char *name;         /* the user's function, or the op's name; not owned */
    VEC(Node) nodes;          /* in topological order */
    VEC(NodeId) operands;     /* inputs of all nodes */
    VEC(int64_t) words;       /* dims and attributes of all nodes; Dims as their words */
    VEC(Site) sites;          /* calls of the program; sites[0] is the unknown one */
    VEC(NodeId) inputs;       /* INPUT nodes by number */
    VEC(GraphOutput) outputs; /* results, then written inputs */
    VEC(char *) owned;        /* strings of a parsed graph, freed with it */
    Map numbering;            /* hash → node, for value numbering */
    DimTable *table; /* of the expressions among the dims; NULL: all are numbers. Not owned */
    bool no_fold;    /* record nodes as written: the fold stage is skipped */
} Graph;

void graph_init(Graph *graph, const char *name);
/* An empty graph of the same name, over the same table of expressions. */
void graph_init_like(Graph *graph, const Graph *other);
void graph_free(Graph *graph);
/* Copies everything but owned strings, value numbering and expressions into an initialised, empty
 * graph: the same numbers, the same nodes. False when out of memory. */
bool graph_copy(const Graph *from, Graph *to);
/* Puts a graph that was made of this one in its place. Names and files of source lines that it owned go
 * along. `made` is no graph any more. */
void graph_replace(Graph *graph, Graph *made);
/* Empties the graph but keeps its memory, name and no_fold: recording again allocates nothing. */
void graph_clear(Graph *graph);

/* Appends (or finds) a node. Inputs may be NODE_NONE where the signature says t?. Attributes are
 * checked and normalised (negative axes, -1 dims, reduction order) and dtype and shape inferred;
 * bad ones give an error that names the op and its operands. NODE_NONE on failure. */
NodeId graph_emit(Graph *graph, OpCode op, const NodeId *inputs, int32_t n_inputs,
                  const AttrList *attrs, Site site, sn_error *error);
/* The same where op_infer gave the result and the attributes' normal form; nothing is folded. */
NodeId graph_emit_inferred(Graph *graph, OpCode op, const NodeId *inputs, int32_t n_inputs,
                           const AttrList *attrs, const TensorType *result, Site site,
                           sn_error *error);
/* The next INPUT node, of this type; strides in elements, NULL for dense row-major. */
NodeId graph_input(Graph *graph, const TensorType *type, const Dim *strides, Site site,
                   sn_error *error);
/* The next INPUT node, for the state of a random generator: i64[2], seed and counter. */
NodeId graph_generator(Graph *graph, Site site, sn_error *error);
/* What a constant's attribute `hoist` says. */
enum {
    CONST_LITERAL,
    CONST_HOISTED,
    CONST_SIZE,   /* its bits are a Dim's word */
    CONST_SCALAR, /* its bits are the number of a scalar of the call */
    CONST_REAL    /* the same; the scalar is a double, whatever the constant's dtype */
};
/* What a CONST node holds. */
typedef struct GraphConst {
    int64_t word; /* its bits, a Dim's word or the number of a scalar, as `kind` says */
    uint8_t kind; /* CONST_LITERAL and so on */
    bool weak;    /* it yields in promotion */
} GraphConst;
/* A scalar constant as another graph holds it. */
NodeId graph_constant(Graph *graph, sn_dtype dtype, GraphConst constant, Site site,
                      sn_error *error);
/* A scalar constant from its bits. A hoisted one becomes a kernel argument; a weak one yields in
 * promotion. */
NodeId graph_const(Graph *graph, sn_dtype dtype, uint64_t bits, bool hoist, bool weak, Site site,
                   sn_error *error);
/* The same from a size that is an expression; always hoisted. */
NodeId graph_size(Graph *graph, sn_dtype dtype, Dim size, Site site, sn_error *error);
/* Scalar number `number` of the call, whose value each call brings. */
NodeId graph_scalar(Graph *graph, sn_dtype dtype, uint32_t number, bool weak, Site site,
                    sn_error *error);
/* The same for a number that a program passed as an attribute: the scalar is a double. */
NodeId graph_real(Graph *graph, sn_dtype dtype, uint32_t number, Site site, sn_error *error);
bool graph_output(Graph *graph, NodeId node, int32_t writes_input);

static inline const Node *graph_node(const Graph *g, NodeId id) {
    SN_ASSERT(id < g->nodes.count);
    return &g->nodes.data[id];
}
/* An argument or captured tensor: memory of the caller's. */
static inline bool node_is_input(const Node *n) {
    return n->op == OP_INPUT;
}
static inline bool node_is_const(const Node *n) {
    return n->op == OP_CONST;
}
/* A source without memory: kernels make its elements where they need them. */
static inline bool node_is_generated(const Node *n) {
    return op_is((OpCode)n->op, CLASS_SOURCE) && !node_is_input(n);
}
/* A node's own, also of one that is staged behind the last ones. */
static inline const NodeId *node_inputs(const Graph *g, const Node *n) {
    SN_ASSERT((uint64_t)n->inputs + n->n_inputs <= g->operands.capacity);
    return g->operands.data + n->inputs;
}
static inline const Dim *node_dims(const Graph *g, const Node *n) {
    SN_ASSERT((uint64_t)n->dims + n->rank <= g->words.capacity);
    return dims_of_words(g->words.data + n->dims);
}
static inline bool node_has_dims(const Graph *g, const Node *n, const Dim *dims, int32_t rank) {
    return n->rank == rank && dims_same(node_dims(g, n), dims, rank);
}
static inline AttrView node_attrs(const Graph *g, const Node *n) {
    SN_ASSERT((uint64_t)n->attrs + n->n_attrs <= g->words.capacity);
    return (AttrView){(OpCode)n->op, n->n_attrs, g->words.data + n->attrs};
}
/* Where an attribute's first word is, in Graph.words. */
static inline uint32_t node_attr_word(const Graph *g, const Node *n, AttrName name) {
    return n->attrs + (uint32_t)attr_word(node_attrs(g, n), name);
}
/* Type of a node; weak constants are STRENGTH_WEAK, rank 0 is STRENGTH_ZERO_DIM. */
TensorType node_type(const Graph *graph, NodeId id);
void node_type_to(const Graph *graph, NodeId id, TensorType *type); /* in place: no copy */
/* Elements of a node. */
Dim node_count(const Graph *graph, NodeId id);
/* Is it empty whatever the sizes that vary? One that may be empty is treated like any other: its kernels
 * have nothing to do then. */
bool node_is_empty(const Graph *graph, NodeId id);
bool type_is_empty(DimTable *table, const TensorType *type);

/* What a constant holds. */
static inline GraphConst node_const(const Graph *g, const Node *n) {
    AttrView attrs = node_attrs(g, n);
    return (GraphConst){attr_int(attrs, ATTR_BITS), (uint8_t)attr_int(attrs, ATTR_HOIST),
                        attr_bool(attrs, ATTR_WEAK)};
}
/* The call in the program that the node stems from: its line, and the op that was called there. */
static inline Site node_call(const Graph *g, const Node *n) {
    Site site = g->sites.data[n->site];
    if (!site.op) site.op = n->op;
    return site;
}
/* The order of a reduction: free where it has no attribute that says it. */
static inline ReduceOrder node_order(const Graph *g, NodeId id) {
    AttrView attrs = node_attrs(g, graph_node(g, id));
    return op_has_attr(attrs.op, ATTR_ORDER) ? (ReduceOrder)attr_int(attrs, ATTR_ORDER)
                                             : REDUCE_FREE;
}
/* Attributes of a node; see ir/op/attr.h. */
static inline int64_t node_attr_int(const Graph *g, NodeId id, AttrName name) {
    return attr_int(node_attrs(g, graph_node(g, id)), name);
}
static inline bool node_attr_bool(const Graph *g, NodeId id, AttrName name) {
    return attr_bool(node_attrs(g, graph_node(g, id)), name);
}
static inline double node_attr_double(const Graph *g, NodeId id, AttrName name) {
    return attr_double(node_attrs(g, graph_node(g, id)), name);
}
/* Is it a scalar of the call? */
static inline bool node_attr_scalar(const Graph *g, NodeId id, AttrName name, uint32_t *number) {
    return attr_is_scalar(g->words.data[node_attr_word(g, graph_node(g, id), name)], number);
}
static inline Dim node_attr_dim(const Graph *g, NodeId id, AttrName name) {
    return attr_dim(node_attrs(g, graph_node(g, id)), name);
}
static inline const int64_t *node_attr_list(const Graph *g, NodeId id, AttrName name,
                                            int32_t *count) {
    return attr_list(node_attrs(g, graph_node(g, id)), name, count);
}
static inline const Dim *node_attr_dims(const Graph *g, NodeId id, AttrName name, int32_t *count) {
    return attr_dims(node_attrs(g, graph_node(g, id)), name, count);
}

/* ---- text forms (ir/graph/print.c, parse.c, dot.c, difference.c), equality, verifier --------- */

/* Prints
 *   graph NAME(%0: f32[2,3], %1: i64[2]) {
 *     %2 = const 0.5 {weak=1}          : f32[]
 *     %3 = mul %0, %2                  : f32[2,3]  ; model.c:12
 *     %4 = sum %3 {axes=[1], order=1}  : f32[2]    ; model.c:13
 *     return %4, %3 -> %0
 *   }
 * where the number after % is the node's id and `-> %0` marks a value written into an input. An
 * input that is not dense has strides behind its type: `%0: f32[2,3]{1,2}`.
 * Attributes whose words are all 0 are left out; absent inputs print as `none`. A graph with sizes that
 * vary names them, with the value at hand and bounds: `graph NAME[s0 = 32 in 1..](%0: f32[s0,4])`. */
void graph_print(const Graph *graph, StrBuf *out);
/* "f32[B,768]": the type of a node, expressions included. */
void node_print_type(StrBuf *out, const Graph *graph, NodeId id);
/* Reads that form back into an initialised empty graph (left empty on failure). Ids may have gaps
 * but must ascend; a comment is `; text`. Sizes that vary go into graph->table, which must be there and
 * empty then. Errors name line and column. */
sn_status graph_parse(Graph *graph, const char *text, size_t length, sn_error *error);
/* Same nodes, inputs and outputs; source lines do not count. */
bool graph_equal(const Graph *a, const Graph *b);
/* The same but for dims and attributes. */
bool graphs_alike(const Graph *a, const Graph *b);
/* Of graphs that are alike: do ops that can fail on data stand on the same lines? Errors name them. */
bool graphs_same_lines(const Graph *a, const Graph *b);
/* Where two recorded graphs part, in words: "%0: size of dim 1 was 128, now 96", "add (f.c:3) where mul
 * (f.c:2) was". */
void graph_difference(const Graph *known, const Graph *now, StrBuf *out);
uint64_t graph_hash(const Graph *graph);
/* Every rule of the op table: operand count, order, inferred type equal to the stored one, outputs. */
sn_status graph_verify(const Graph *graph, sn_error *error);
/* The same of one node whose ranges and signature hold: is it what its operands and attributes make? */
sn_status graph_verify_node(const Graph *graph, NodeId id, sn_error *error);
/* Graphviz. */
void graph_print_dot(const Graph *graph, StrBuf *out);

#endif
