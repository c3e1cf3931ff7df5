/* Scopes: a stack of marks in the thread's list of handles; see sinter/scope.h. */
#include "frontend/tensor/tensor.h"

sn_scope sn_scope_begin(void) {
    ThreadState *state = thread_state();
    return (sn_scope){state->depth++, state->held.count};
}

/* Does a scope opened at `first` hold the tensor? A handle that was returned through several scopes
 * may be held more than once, and `slot` then names a place that is gone. */
static bool holds(const ThreadState *state, sn_tensor *tensor, uint32_t first) {
    bool known = tensor->slot < state->held.count && state->held.data[tensor->slot] == tensor;
    if (known) return tensor->slot >= first;
    for (uint32_t i = first; i < state->held.count; i++) {
        if (state->held.data[i] != tensor) continue;
        tensor->slot = i;
        return true;
    }
    return false;
}

sn_tensor *sn_scope_end(sn_scope scope, sn_tensor *result) {
    ThreadState *state = thread_state();
    if (scope.depth >= state->depth || scope.first > state->held.count)
        return error_raise(SN_ERROR_SCOPE, (Site){0},
                           "scope_end: the scope is not open on this thread");
    if (state->recorder && scope.depth <= state->recorder->scope.depth)
        return error_raise(SN_ERROR_SCOPE, (Site){0},
                           "scope_end: the scope was opened outside the function that is traced");
    if (result && !tensor_is_alive(result))
        result = error_raise(SN_ERROR_HANDLE, (Site){0},
                             "scope_end: the result was released already, or is no tensor");
    bool moves = result && result->kind != TENSOR_NONE && holds(state, result, scope.first);
    if (moves) state->held.data[result->slot] = NULL;
    handles_release(state, scope.first);
    state->depth = scope.depth;
    if (!moves) return result;
    if (state->depth == 0) {
        atomic_fetch_add_explicit(&result->retains, 1, memory_order_relaxed);
        return result;
    }
    result->slot = state->held.count; /* a place that handles_release has just freed */
    state->held.data[state->held.count++] = result;
    return result;
}

sn_mark_t sn_mark(void) {
    ThreadState *state = thread_state();
    return (sn_mark_t){state->depth, state->held.count, state->recorder};
}

void sn_unwind(sn_mark_t mark) {
    ThreadState *state = thread_state();
    while (state->recorder && state->recorder != mark.trace)
        state->recorder->table->abandon(state->recorder);
    if (mark.first <= state->held.count) handles_release(state, mark.first);
    if (mark.depth <= state->depth) state->depth = mark.depth;
}
