/* A call that runs the program's function on real tensors, as if it were not compiled. */
#include "frontend/call/call.h"
#include "frontend/call/invoke.h"
#include "frontend/compiled/results.h"
#include "frontend/tensor/counters.h"

#include <sinter/ops.h>

/* A handle of its own for a result, with one reference: it may be an argument, or live elsewhere
 * too. */
static sn_tensor *own_handle(const sn_compiled *c, sn_tensor *out) {
    if (!tensor_check(out, c->title, "the result", (Site){0})) return NULL;
    if (out->kind == TENSOR_NONE)
        return error_raise(SN_ERROR_ARGUMENT, (Site){0}, "%s: SN_NONE was returned", c->title);
    if (out->kind == TENSOR_WEAK) out = result_of_scalar(c, out);
    if (!out) return NULL;
    TensorType type = tensor_type(out);
    Storage *storage = storage_retain(out->storage);
    sn_tensor *own = tensor_detached(storage, &type, out->strides, out->offset);
    if (!own) {
        storage_release(storage);
        return error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
    }
    atomic_store_explicit(&own->retains, 0, memory_order_relaxed);
    return own;
}

sn_status call_eager(sn_compiled *c, const sn_value *values, sn_tensor **outputs, bool owned) {
    int32_t count = c->signature.n_outputs;
    sn_tensor *results[SIGNATURE_MOST_PARAMS] = {0};
    if (!owned && !vec_reserve(&thread_state()->held, (uint32_t)count)) {
        error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
        return SN_ERROR_MEMORY;
    }
    COUNT(eager_calls);
    sn_scope scope = sn_scope_begin();
    sn_status status = compiled_invoke(c, values, outputs);
    for (int32_t i = 0; i < count && status == SN_OK; i++) {
        results[i] = own_handle(c, outputs[i]);
        if (!results[i]) status = sn_error_status();
    }
    sn_scope_end(scope, NULL);
    for (int32_t i = 0; i < count; i++) {
        outputs[i] = status == SN_OK ? results[i] : NULL;
        if (status != SN_OK && results[i]) tensor_unref(results[i]);
    }
    if (status == SN_OK) results_hand_over(c, outputs, owned);
    return status;
}
