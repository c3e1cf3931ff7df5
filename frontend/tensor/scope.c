/* Scopes: a stack of marks in the thread's list of handles; see sinter/scope.h. */
#include "frontend/tensor/tensor.h"

#undef sn_scope_end

sn_scope sn_scope_begin(void) {
    ThreadState *state = thread_state();
    return (sn_scope){state->depth++, state->held.count};
}

/* Where a scope opened at `first` holds the tensor; -1: it does not. A handle that was returned through
 * several scopes may be held more than once, and `slot` then names a place that is gone, or another
 * thread's. */
static int64_t place_of(const ThreadState *state, const sn_tensor *tensor, uint32_t first) {
    uint32_t slot = atomic_load_explicit(&tensor->slot, memory_order_relaxed);
    bool known = slot < state->held.count && state->held.data[slot] == tensor;
    if (known) return slot >= first ? (int64_t)slot : -1;
    for (uint32_t i = first; i < state->held.count; i++)
        if (state->held.data[i] == tensor) return i;
    return -1;
}

sn_tensor *sn_scope_end_at(sn_scope scope, sn_tensor *result, const char *file, int32_t line) {
    Site site = site_at(file, line);
    ThreadState *state = thread_state();
    if (scope.depth >= state->depth || scope.first > state->held.count)
        return error_raise(SN_ERROR_SCOPE, site,
                           "scope_end: the scope is not open on this thread: it was ended before, "
                           "or begun on another");
    if (state->recorder && scope.depth <= state->recorder->scope.depth)
        return error_raise(SN_ERROR_SCOPE, site,
                           "scope_end: the scope was opened outside the function that is traced");
    if (result && !tensor_is_alive(result))
        result = error_raise(SN_ERROR_HANDLE, site,
                             "scope_end: the result was released already, or is no tensor");
    int64_t place =
        result && result->kind != TENSOR_NONE ? place_of(state, result, scope.first) : -1;
    if (place >= 0) state->held.data[place] = NULL;
    handles_release(state, scope.first);
    state->depth = scope.depth;
    if (place < 0) return result;
    if (state->depth == 0) {
        atomic_fetch_add_explicit(&result->retains, 1, memory_order_relaxed);
        return result;
    }
    tensor_hold(state, result); /* where handles_release has just made room */
    return result;
}

sn_tensor *sn_scope_end(sn_scope scope, sn_tensor *result) {
    return sn_scope_end_at(scope, result, NULL, 0);
}

sn_mark_t sn_mark(void) {
    ThreadState *state = thread_state();
    return (sn_mark_t){state->depth, state->held.count, state->recorder};
}

bool recorder_is_open(const Recorder *recorder) {
    const Recorder *open = thread_state()->recorder;
    while (open && open != recorder) open = open->outer;
    return open != NULL;
}

void sn_unwind(sn_mark_t mark) {
    ThreadState *state = thread_state();
    while (state->recorder && state->recorder != mark.trace)
        state->recorder->table->abandon(state->recorder);
    if (mark.first <= state->held.count) handles_release(state, mark.first);
    if (mark.depth <= state->depth) state->depth = mark.depth;
}
