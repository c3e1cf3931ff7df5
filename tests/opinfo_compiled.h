/* Recorded calls evaluated, and compiled: the same evaluation, on proxies. */
#ifndef SN_TESTS_OPINFO_COMPILED_H
#define SN_TESTS_OPINFO_COMPILED_H

#include "opinfo_call.h"

/* Is there a row for its operator? */
bool opinfo_known(const OpinfoCase *c);
/* False where it is skipped: see call->skip. After an error, which is the thread's, results are NULL. */
bool opinfo_evaluate(OpinfoCall *call);

/* What a call of the compiled form evaluates. */
typedef enum OpinfoPart {
    OPINFO_CLONES,  /* copies of the first tensor, or ones: valid, whatever was recorded */
    OPINFO_RECORDED /* the recorded call */
} OpinfoPart;

/* The compiled form, which has so many results; NULL with the error set. Released by the caller. */
sn_compiled *opinfo_compile(OpinfoCase *c, int32_t n_results, sn_error *error);
/* Calls it; fills `outputs` (OPINFO_MOST_TENSORS of them) with owned references, *count of them. */
sn_status opinfo_call(sn_compiled *compiled, const OpinfoCase *c, OpinfoPart part,
                      sn_tensor **outputs, int32_t *count, sn_error *error);
/* What the compiled form does with OPINFO_CLONES. */
sn_tensor *opinfo_clone(sn_tensor *const *inputs, int32_t n_inputs);

#endif
