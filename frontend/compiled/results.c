/* Results of calls; see results.h. */
#include "frontend/compiled/results.h"

#include "frontend/compiled/handle.h"

#include <sinter/ops.h>

/* ---- what they are --------------------------------------------------------------------------- */

void results_describe(const sn_compiled *c, const Trace *trace, sn_tensor *const *outputs,
                      TraceResults *results) {
    results->count = c->signature.n_outputs;
    results->known = true;
    for (int32_t i = 0; i < results->count; i++) {
        const sn_tensor *out = outputs[i];
        results->known = results->known && out->kind == TENSOR_PROXY;
        if (!results->known) return;
        OutputSpec *spec = &results->specs[i];
        *spec = (OutputSpec){
            .input = -1, .output = -1, .type = tensor_type(out), .offset = out->offset};
        memcpy(spec->strides, out->strides, sizeof(int64_t) * out->rank);
        SN_ASSERT(out->record < trace->views.count);
        results->roots[i] = trace->views.data[out->record].root;
        spec->input = trace->roots.data[results->roots[i]].input;
        if (spec->input >= 0) spec->offset -= trace->inputs.data[spec->input].tensor->offset;
    }
}

void results_number(TraceResults *results, const Executable *executable, const Trace *trace) {
    SN_ASSERT(results->known);
    const Program *program = executable_program(executable);
    for (int32_t i = 0; i < results->count; i++) {
        int32_t output = trace->roots.data[results->roots[i]].output;
        if (results->specs[i].input >= 0 || output < 0) continue;
        results->specs[i].output =
            program->buffers.data[program->outputs.data[output].buffer].number;
    }
}

static bool same_spec(const OutputSpec *x, const OutputSpec *y) {
    return x->input == y->input && x->output == y->output && x->offset == y->offset &&
           x->type.dtype == y->type.dtype && type_same_dims(&x->type, &y->type) &&
           memcmp(x->strides, y->strides, sizeof(int64_t) * y->type.rank) == 0;
}

bool results_equal(const TraceResults *results, const OutputSpec *specs) {
    SN_ASSERT(results->known);
    for (int32_t i = 0; i < results->count; i++)
        if (!same_spec(&results->specs[i], &specs[i])) return false;
    return true;
}

/* ---- on their way to the caller -------------------------------------------------------------- */

sn_tensor *result_of_scalar(const sn_compiled *c, sn_tensor *scalar) {
    return sn_cast_at(scalar, (sn_dtype)scalar->dtype, c->site.file, c->site.line);
}

sn_status results_complete(const sn_compiled *c, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        if (!tensor_check(outputs[i], c->title, "the result", (Site){0})) return sn_error_status();
        if (outputs[i]->kind != TENSOR_NONE) continue;
        error_raise(SN_ERROR_ARGUMENT, (Site){0}, "%s: SN_NONE was returned", c->title);
        return SN_ERROR_ARGUMENT;
    }
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        if (outputs[i]->kind != TENSOR_WEAK) continue;
        outputs[i] = result_of_scalar(c, outputs[i]);
        if (!outputs[i]) return sn_error_status();
    }
    return SN_OK;
}

void results_hand_over(const sn_compiled *c, sn_tensor **outputs, bool owned) {
    ThreadState *state = thread_state();
    SN_ASSERT(owned ||
              state->held.capacity - state->held.count >= (uint32_t)c->signature.n_outputs);
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        sn_tensor *out = outputs[i];
        SN_ASSERT(out->magic == TENSOR_ALIVE && out->kind == TENSOR_REAL);
        if (owned) {
            atomic_fetch_add_explicit(&out->retains, 1, memory_order_relaxed);
            continue;
        }
        tensor_hold(state, out);
    }
}
