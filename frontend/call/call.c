/* A call of a compiled function: flatten the arguments, pack the guard key, and run the entry that
 * it leads to, or trace. */
#include "frontend/call/call.h"

#include "base/strbuf.h"
#include "base/thread/log.h"
#include "frontend/graphs/policy.h"
#include "frontend/tensor/counters.h"
#include "runtime/observe.h"

/* Does the stance make the call eager? */
static bool is_eager(sn_compiled *c) {
    PolicyState policy = {.stance = compiled_stance(c),
                          .called = atomic_load_explicit(&c->called, memory_order_relaxed)};
    if (!policy.called) atomic_store_explicit(&c->called, true, memory_order_relaxed);
    return policy_call(&policy) == CALL_EAGER;
}

/* Is this the call of an entry that runs the function again, to compare? */
static bool is_due(const sn_compiled *c, Entry *entry) {
    int32_t every = c->options.check_every;
    if (!every) return atomic_load_explicit(&entry->calls, memory_order_relaxed) < 2;
    int64_t before = atomic_fetch_add_explicit(&entry->calls, 1, memory_order_relaxed);
    return before < 2 || (before - 1) % every == 0; /* a check sets them to 2 */
}

/* Which types of arguments no entry was made for. */
static void log_miss(const sn_compiled *c, const CallArgs *args) {
    StrBuf types = {0};
    for (int32_t i = 0; i < args->n_tensors; i++) {
        TensorType type = tensor_type(args->tensors[i]);
        strbuf_add(&types, i ? ", " : "");
        if (args->tensors[i]->kind == TENSOR_NONE)
            strbuf_add(&types, "none");
        else
            type_print(&types, &type);
    }
    log_write(LOG_GUARDS, "%s: no entry for a call with %s", c->name,
              args->n_tensors ? strbuf_text(&types) : "no tensors");
    strbuf_free(&types);
}

static void count_miss(const sn_compiled *c, const CallArgs *args) {
    COUNT(guard_misses);
    if (log_on(LOG_GUARDS)) log_miss(c, args);
}

/* The entry that the key leads to, or that can be made for it; NULL: none. */
static Entry *find_entry(sn_compiled *c, const Key *key) {
    Entry *entry = entries_find(&c->entries, key);
    return entry || !c->signature.n_moving ? entry : moving_find(&c->moving, key);
}

/* The entry that the key led to runs, or, where it must not, a trace. */
static sn_status call_by_key(sn_compiled *c, CallArgs *args, Key *key, bool rerun,
                             sn_tensor **outputs, bool owned) {
    Entry *entry = rerun ? NULL : find_entry(c, key);
    SN_ASSERT(!entry || entry->instance->executable);
    if (entry && !is_due(c, entry) && call_entry_serves(entry, args)) {
        COUNT(guard_hits);
        sn_status status = call_entry(c, entry, args, outputs, owned);
        entries_give_back(&c->entries, entry);
        return status;
    }
    if (rerun)
        COUNT(reruns);
    else if (!entry)
        count_miss(c, args);
    return call_traced(c, args, key, entry, outputs, owned);
}

/* Its arguments are flat: eagerly, by its entry or by way of a trace. */
static sn_status call_flat(sn_compiled *c, CallArgs *args, sn_tensor **outputs, bool owned) {
    bool rerun = is_impure(&c->purity);
    Key key;
    key_open(&key);
    if (!rerun && !key_pack(&key, c, args)) return SN_ERROR_MEMORY;
    int64_t begin = observe_now();
    sn_status status = call_by_key(c, args, &key, rerun, outputs, owned);
    observe_span("call", c->name, begin);
    mem_free(key.block);
    return status;
}

static sn_status call_guarded(sn_compiled *c, const sn_value *values, sn_tensor **outputs,
                              bool owned) {
    ThreadState *state = thread_state();
    if (error_pending(state)) return state->error.status;
    if (!owned && c->signature.n_outputs && !scope_check((Site){0})) return SN_ERROR_SCOPE;
    CallArgs args;
    bool fits = arguments_flatten(c, values, &args) &&
                (!c->options.n_dims || arguments_check_dims(c, &args));
    bool eager = fits && is_eager(c);
    sn_status status = SN_OK;
    if (!fits) status = sn_error_status();
    if (fits && !eager) status = call_flat(c, &args, outputs, owned);
    mem_free(args.block);
    return eager ? call_eager(c, values, outputs, owned) : status;
}

/* The call holds the handle: a release on another thread ends it only afterwards. What is recorded
 * holds it longer: that is the recorder's to see to. */
sn_status compiled_call(sn_compiled *c, const sn_value *values, sn_tensor **outputs, bool owned) {
    Recorder *recorder = thread_state()->recorder;
    if (recorder) return recorder->table->call(recorder, c, values, outputs, owned);
    compiled_retain(c);
    sn_status status = call_guarded(c, values, outputs, owned);
    compiled_drop(c);
    return status;
}
