/* Results of a compiled function: what each is in terms of the graph's inputs and outputs, and how
 * they reach the caller. */
#ifndef SN_FRONTEND_COMPILED_RESULTS_H
#define SN_FRONTEND_COMPILED_RESULTS_H

#include "frontend/compiled/signature.h"
#include "frontend/trace/trace.h"

/* A result as a guarded entry makes it. */
typedef struct OutputSpec {
    int32_t input;   /* ≥ 0: shares the memory of this graph input */
    int32_t output;  /* else: the executable's result of this number; -1 = NULL or none */
    TensorType type; /* dtype and dims */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t offset; /* in elements; from the input's element 0, or from the result's */
} OutputSpec;

/* The results of a trace, before its proxies turn real. */
typedef struct TraceResults {
    OutputSpec specs[SIGNATURE_MOST_PARAMS]; /* in the signature's order */
    uint32_t roots[SIGNATURE_MOST_PARAMS];   /* where each lies in the trace */
    int32_t count;                           /* how many; 0 where some is no value of the trace */
    bool known;                              /* each is a value of the trace */
} TraceResults;

void results_describe(const sn_compiled *compiled, const Trace *trace, sn_tensor *const *outputs,
                      TraceResults *results);
/* Numbers those that are results of the executable, which ran the trace. */
void results_number(TraceResults *results, const Executable *executable, const Trace *trace);
/* Are these the results? */
bool results_equal(const TraceResults *results, const OutputSpec *specs);

/* The tensor that a caller gets of a scalar: 0-d, of the scalar's own dtype, f64 or i64. NULL: raised. */
sn_tensor *result_of_scalar(const sn_compiled *compiled, sn_tensor *scalar);
/* Makes of what the function returned what a caller gets: a constant becomes a tensor of its own. What
 * is no result is refused. Raises. */
sn_status results_complete(const sn_compiled *compiled, sn_tensor **outputs);
/* Gives results, which hold one reference each, to the caller; there is room in the scope. */
void results_hand_over(const sn_compiled *compiled, sn_tensor **outputs, bool owned);

#endif
