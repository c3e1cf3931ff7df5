/* A naive interpreter of graph IR, for tests: one node at a time, loops over indices, the C library's
 * functions in long double. It shares nothing with the compiler but the op table and the graph, and
 * gives with every float how far a correct implementation may be from it. */
#ifndef SN_TESTS_ORACLE_H
#define SN_TESTS_ORACLE_H

#include "ir/graph/graph.h"

/* A value. Floats are in `real`, with `bound` the error that is allowed before the final rounding
 * to the dtype: 0 = the result is that rounding, INFINITY = anything goes. Bool and integers are in
 * `integer`. Elements in row-major order. */
typedef struct OracleTensor {
    sn_dtype dtype;            /* of the elements */
    int32_t rank;              /* dims in use; -1 = an absent operand */
    int64_t dims[SN_MAX_RANK]; /* sizes */
    int64_t count;             /* elements */
    long double *real;         /* floats */
    long double *bound;        /* of each float */
    int64_t *integer;          /* bool, integers */
    bool exact;                /* all bounds are 0, and were for all that it was made from */
} OracleTensor;

typedef enum OracleStatus {
    ORACLE_OK,
    ORACLE_UNKNOWN,    /* an op, or an attribute, that it does not know: random draws */
    ORACLE_DATA_ERROR, /* an index out of range */
    ORACLE_NO_MEMORY
} OracleStatus;

/* Room for a value of the dtype, rank and dims that are set; zeroed. */
bool oracle_alloc(OracleTensor *tensor);
void oracle_free(OracleTensor *tensor);
/* Elements in memory, strides in elements, as a value; `data` points at element 0. */
bool oracle_load(OracleTensor *tensor, sn_dtype dtype, int32_t rank, const int64_t *dims,
                 const int64_t *strides, const void *data);

/* One op on values as they are: `attrs` normalised (see op_infer), `result` with its dtype, rank and
 * dims set and allocated. `weak` has bit i set where operand i is a weak scalar. */
OracleStatus oracle_apply(OpCode op, const OracleTensor *inputs, int32_t n_inputs, uint32_t weak,
                          const AttrList *attrs, OracleTensor *result);
/* The value rounded to its dtype, bounds 0: what a later node reads. */
void oracle_round(OracleTensor *tensor);
/* Converts with the rules of cast; rounds first. `to` as for a result. */
void oracle_cast(OracleTensor *from, OracleTensor *to);

/* Is an element in memory one that the oracle's element i allows? */
bool oracle_allows(const OracleTensor *tensor, int64_t i, const void *element);

/* Interprets a graph: `values` (one a node, zeroed; freed by the caller with oracle_free also on
 * failure) holds the inputs and receives the rest. */
OracleStatus oracle_graph(const Graph *graph, OracleTensor *values);

#endif
