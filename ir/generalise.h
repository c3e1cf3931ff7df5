/* One graph for many sizes. Recorded graphs of one structure differ in words only: sizes, strides,
 * positions, values of constants. Words that differ between samples become expressions of symbols,
 * constants become scalars of the call, and a new recorded graph is bound by reading the symbols off
 * its words; every other word must then be what the expressions say, so a wrong guess in making the
 * expressions costs a compilation, never a wrong answer. */
#ifndef SN_IR_GENERALISE_H
#define SN_IR_GENERALISE_H

#include "ir/graph.h"

/* What a word of the recorded graph has to be. */
typedef enum WordRule {
    WORD_FIXED,     /* what it was */
    WORD_SIZE,      /* the value of an expression */
    WORD_REAL_SIZE, /* the same as the bits of a double */
    WORD_SCALAR,    /* anything: it is a scalar of the call */
    WORD_ANY        /* anything: what depends on it shows in other words */
} WordRule;

typedef struct GeneralWord {
    uint8_t rule; /* WordRule */
    int64_t word; /* FIXED: the word; SIZE, REAL_SIZE: a Dim's word; SCALAR: its number */
} GeneralWord;

typedef struct GeneralGraph {
    DimTable table;             /* expressions of the graph and of what is planned from it */
    Graph graph;                /* with sizes as expressions */
    Graph recorded;             /* the latest sample: the structure that others must have */
    VEC(int64_t) samples;       /* words of all samples, one after the other */
    uint32_t n_samples;         /* how many */
    VEC(GeneralWord) words;     /* by word of `recorded` */
    VEC(uint32_t) symbol_words; /* by symbol: a word that is its value */
    uint32_t n_scalars;         /* scalars of the call */
} GeneralGraph;

/* Are the two the same but for their words? */
bool graphs_alike(const Graph *a, const Graph *b);
/* Equal for graphs that are alike. */
uint64_t graph_structure_hash(const Graph *graph);

/* Fills `general` from the samples of `known` (NULL, or made before), the words of `first` (NULL, or
 * alike) and `latest`. False where no such graph can be: then nothing is
 * left to be freed. `error` says why. */
bool general_make(GeneralGraph *general, const GeneralGraph *known, const Graph *first,
                  const Graph *latest, sn_error *error);
void general_free(GeneralGraph *general);

/* Values of a binding. */
typedef struct GeneralBinding {
    int64_t *symbols;  /* by symbol */
    uint64_t *scalars; /* by scalar, bits of its dtype */
    int64_t *values;   /* by expression */
} GeneralBinding;

typedef enum BindResult {
    BIND_OK,
    BIND_WORDS, /* a word is not what the expressions say */
    BIND_GUARD  /* a size lies outside its bounds, or a decision would have been another */
} BindResult;

/* Reads a binding off a recorded graph that is alike. `failing` receives the guard, or NULL where it
 * was a bound. Thread-safe. */
BindResult general_bind(const GeneralGraph *general, const Graph *recorded, GeneralBinding *binding,
                        const DimGuard **failing);

#endif
