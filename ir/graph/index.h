/* Index expressions: where in a tensor a kernel reads or writes, as a sum of symbols. Sizes are known
 * here, as numbers or as expressions, so that divisions by them can be simplified; the kernel's text
 * later holds only which axes take part. Symbols are loop axes, quotients and remainders of other
 * expressions, and i64 values computed in the kernel. */
#ifndef SN_IR_GRAPH_INDEX_H
#define SN_IR_GRAPH_INDEX_H

#include "base/vec.h"
#include "ir/graph/view_graph.h"
#include "ir/kernel/kernel.h"

enum { INDEX_MOST_TERMS = 16, INDEX_OVERFLOW = -1, INDEX_NO_SYMBOL = -1 };

typedef struct IndexTerm {
    int32_t symbol; /* in IndexSpace.symbols */
    Dim coef;       /* not 0 */
} IndexTerm;

/* constant + Σ coef × symbol. count is INDEX_OVERFLOW when it became too long to hold. */
typedef struct IndexExpr {
    Dim constant;                      /* added to the terms */
    int32_t count;                     /* terms in use */
    IndexTerm terms[INDEX_MOST_TERMS]; /* by ascending symbol */
} IndexExpr;

typedef enum SymbolKind { SYMBOL_AXIS, SYMBOL_DIV, SYMBOL_MOD, SYMBOL_VALUE } SymbolKind;

typedef struct IndexSymbol {
    uint8_t kind; /* SymbolKind */
    Dim size;     /* the symbol's values are [0, size) */
    IndexExpr of; /* DIV, MOD: the expression divided */
    Dim divisor;  /* DIV, MOD: by what */
    KValue value; /* VALUE: the instruction */
} IndexSymbol;

typedef struct IndexSpace {
    VEC(IndexSymbol) symbols; /* axes first */
    DimTable *table;          /* the graph's */
    bool failed;              /* out of memory */
} IndexSpace;

/* A new axis of this size; its symbol, or INDEX_NO_SYMBOL when out of memory: `failed` is set, and
 * what an expression with it comes to is INDEX_OVERFLOW. */
int32_t index_axis(IndexSpace *space, Dim size);
/* The symbol of an i64 instruction with values in [0, size). */
int32_t index_value(IndexSpace *space, KValue value, Dim size);
IndexExpr index_constant(Dim value);
IndexExpr index_symbol(int32_t symbol);
/* a += scale × b */
void index_add(const IndexSpace *space, IndexExpr *a, Dim scale, const IndexExpr *b);
/* Position in row-major order. */
IndexExpr index_flatten(const IndexSpace *space, const IndexExpr *index, const Dim *dims,
                        int32_t rank);
/* Coordinates of a row-major position. */
void index_unflatten(IndexSpace *space, const IndexExpr *position, const Dim *dims, int32_t rank,
                     IndexExpr *index);
/* In an address, digits of one expression that follow one another with the stride of one become one digit:
 * (e / d mod f) · (c · d) + (e mod d) · c = (e mod d · f) · c, and (e / d) / f = e / (d · f). */
void index_merge_digits(IndexSpace *space, IndexExpr *address);
bool index_equal(const IndexExpr *a, const IndexExpr *b);

/* Coordinates in a view's input from coordinates in its result. */
void index_through_map(IndexSpace *space, const ViewMap *map, const IndexExpr *result,
                       IndexExpr *input);
void index_through_view(IndexSpace *space, const Graph *graph, NodeId view, const IndexExpr *result,
                        IndexExpr *input);
/* Coordinates in an operand from those in the node that broadcasts it. */
void index_broadcast(const TensorType *operand, int32_t rank, const IndexExpr *result,
                     IndexExpr *input);

#endif
