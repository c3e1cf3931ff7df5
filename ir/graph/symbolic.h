/* Symbolic graphs: one for many sizes. Recorded graphs of one structure differ in words only: sizes,
 * strides, positions, values of constants. Words that differ between samples become expressions of
 * symbols, constants become scalars of the call, and a new recorded graph is bound by reading the
 * symbols off its words; every other word must then be what the expressions say, so a wrong guess in
 * making the expressions costs a compilation, never a wrong answer. */
#ifndef SN_IR_GRAPH_SYMBOLIC_H
#define SN_IR_GRAPH_SYMBOLIC_H

#include "ir/graph/graph.h"

/* A dim of an input that the program declared to vary. */
typedef struct DeclaredDim {
    const char *name;    /* not owned; dims of one name are one; NULL: none */
    uint32_t input;      /* number of the graph input */
    int32_t axis;        /* its dim */
    int64_t least, most; /* every value keeps these */
    int64_t multiple_of; /* and is a multiple of this; ≥ 1 */
} DeclaredDim;

/* Sizes that vary though no two samples show it. What else is equal to them in the samples is taken to
 * follow from them. */
typedef struct SymbolicOptions {
    const DeclaredDim *dims; /* those declared */
    int32_t n_dims;          /* how many */
    bool all;                /* every dim of an input that is above 1 */
} SymbolicOptions;

/* What a word of the recorded graph has to be. */
typedef enum WordRule {
    WORD_STATIC,    /* what it was */
    WORD_SIZE,      /* the value of an expression */
    WORD_REAL_SIZE, /* the same as the bits of a double */
    WORD_SCALAR,    /* anything: it is a scalar of the call */
    WORD_SAME,      /* what that scalar of the call is, which came before */
    WORD_ANY        /* anything: what depends on it shows in other words */
} WordRule;

typedef struct SymbolicWord {
    uint8_t rule; /* WordRule */
    int64_t word; /* STATIC: the word; SIZE, REAL_SIZE: a Dim's word; SCALAR, SAME: its number */
} SymbolicWord;

/* Where a symbol's value is read. */
typedef struct SymbolWord {
    uint32_t word;   /* of the recorded graph */
    int64_t divisor; /* the word is so many times the value */
} SymbolWord;

typedef struct SymbolicGraph {
    DimTable table;               /* expressions of the graph and of what is planned from it */
    Graph graph;                  /* with sizes as expressions */
    Graph recorded;               /* the latest sample: the structure that others must have */
    VEC(int64_t) samples;         /* words of all samples, one after the other */
    uint32_t n_samples;           /* how many */
    VEC(SymbolicWord) words;      /* by word of `recorded` */
    VEC(SymbolWord) symbol_words; /* by symbol */
    uint32_t n_scalars;           /* scalars of the call */
    VEC(DeclaredDim) declared;    /* what it was made with … */
    bool all_dims;                /* … see SymbolicOptions */
} SymbolicGraph;

/* Equal for graphs that are alike. */
uint64_t graph_structure_hash(const Graph *graph);

/* Fills `graph` from the samples of `known` (NULL, or made before), the words of `first` (NULL, or
 * alike) and `latest`; `options` may be NULL. False where no such graph can be: then nothing is
 * left to be freed. `error` says why. */
bool symbolic_make(SymbolicGraph *graph, const SymbolicGraph *known, const Graph *first,
                   const Graph *latest, const SymbolicOptions *options, sn_error *error);
/* The same graph again, over a table of its own that passes may add to. */
bool symbolic_copy(SymbolicGraph *copy, const SymbolicGraph *graph, sn_error *error);
void symbolic_free(SymbolicGraph *graph);

/* Values of a binding. */
typedef struct SymbolicBinding {
    int64_t *symbols;  /* by symbol */
    uint64_t *scalars; /* by scalar, bits of its dtype */
    int64_t *values;   /* by expression */
} SymbolicBinding;

typedef enum BindResult {
    BIND_OK,
    BIND_WORDS, /* a word is not what the expressions say */
    BIND_GUARD  /* a size lies outside its bounds, or a decision would have been another */
} BindResult;

/* The words that a recorded graph of this binding has; those that may be anything are those of the
 * latest sample. */
void symbolic_words(const SymbolicGraph *graph, const SymbolicBinding *binding, int64_t *words);
/* One of them. */
int64_t symbolic_word(const SymbolicGraph *graph, const SymbolicBinding *binding, uint32_t word);

/* Reads a binding off a recorded graph that is alike. `failing` receives the guard, or NULL where it
 * was a bound. Thread-safe. */
BindResult symbolic_bind(const SymbolicGraph *graph, const Graph *recorded,
                         SymbolicBinding *binding, const DimGuard **failing);

#endif
