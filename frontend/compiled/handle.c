/* sn_compile: making, calling through a closure, and releasing compiled functions. */
#include "frontend/compiled/handle.h"
#include "frontend/compiled/call.h"
#include "frontend/compiled/entries.h"
#include "frontend/op/apply.h"
#include "frontend/trace/counters.h"

#include "base/log.h"
#include "base/settings.h"
#include "base/status.h"

void compiled_count_fallback(sn_compiled *c, const char *reason) {
    COUNT(fallbacks);
    lock_take(c->lock);
    c->fallbacks++;
    lock_give(c->lock);
    if (log_on(LOG_FALLBACK)) log_write(LOG_FALLBACK, "%s runs node by node: %s", c->name, reason);
}

/* ---- stances ------------------------------------------------------------------------------------------------ */

sn_stance compiled_stance(const sn_compiled *c) {
    sn_stance own = (sn_stance)atomic_load_explicit(&c->stance, memory_order_relaxed);
    sn_stance thread = thread_state()->stance;
    return thread == SN_STANCE_DEFAULT ? own : thread;
}

static bool is_stance(sn_stance stance, const char *what) {
    if ((uint32_t)stance <= SN_STANCE_ASYNC) return true;
    error_raise(SN_ERROR_ARGUMENT, (Site){0}, "%s: there is no stance %d", what, (int)stance);
    return false;
}

sn_stance sn_set_stance(sn_compiled *c, sn_stance stance) {
    if (!c) {
        error_raise(SN_ERROR_ARGUMENT, (Site){0}, "set_stance: the handle is NULL");
        return SN_STANCE_DEFAULT;
    }
    if (!is_stance(stance, "set_stance")) return (sn_stance)atomic_load(&c->stance);
    return (sn_stance)atomic_exchange(&c->stance, (int32_t)stance);
}

sn_stance sn_set_thread_stance(sn_stance stance) {
    sn_stance before = thread_state()->stance;
    if (is_stance(stance, "set_thread_stance")) thread_state()->stance = stance;
    return before;
}

/* ---- making ------------------------------------------------------------------------------------------------- */

/* Locks of all handles, and who waits for a turn at compiling: of static lifetime, as all locks. */
enum { HANDLE_LOCKS = 8 };
static Lock handle_locks[HANDLE_LOCKS];
static Condition turns[HANDLE_LOCKS];

__attribute__((constructor)) static void register_handle_locks(void) {
    for (int i = 0; i < HANDLE_LOCKS; i++) {
        handle_locks[i] = (Lock)LOCK_INITIALISER(RANK_HANDLE);
        turns[i] = (Condition)CONDITION_INITIALISER(&handle_locks[i]);
        lock_register(&handle_locks[i]);
        condition_register(&turns[i]);
    }
}

/* libffi sets its heap up at the first closure without regard to other threads. */
LOCK_DEFINE(closures, RANK_CLOSURES);

static void free_closure(ffi_closure *closure) {
    lock_take(&closures);
    ffi_closure_free(closure);
    lock_give(&closures);
}

static void free_compiled(sn_compiled *c) {
    if (!c) return;
    entries_release(c);
    graphs_release(c);
    if (c->closure) free_closure(c->closure);
    mem_free(c->name);
    mem_free(c->signature_text);
    mem_free(c->watch);
    for (int32_t i = 0; i < c->n_dims; i++) mem_free((void *)(uintptr_t)c->dims[i].name);
    mem_free(c->dims);
    mem_free(c->impure_detail);
    mem_free(c);
}

/* A counted array of the options. */
static sn_status check_array(const void *array, int32_t count, const char *name, sn_error *error) {
    if (count < 0)
        return error_set(error, SN_ERROR_ARGUMENT, "options.n_%s is %d", name, (int)count);
    if (count && !array)
        return error_set(error, SN_ERROR_ARGUMENT, "options.%s is NULL, but has %d entries", name,
                         (int)count);
    return SN_OK;
}

static sn_status check_dim(const sn_dim *d, int32_t i, sn_error *error) {
    if (d->tensor < 0 || d->axis < 0 || d->axis >= SN_MAX_RANK)
        return error_set(error, SN_ERROR_ARGUMENT, "options.dims[%d] is dim %d of tensor %d",
                         (int)i, (int)d->axis, (int)d->tensor);
    if (d->min < 0 || d->max < 0 || d->multiple_of < 0 || (d->max && d->max < d->min))
        return error_set(error, SN_ERROR_ARGUMENT,
                         "options.dims[%d] is bounded by %lld and %lld, a multiple of %lld", (int)i,
                         (long long)d->min, (long long)d->max, (long long)d->multiple_of);
    return SN_OK;
}

static sn_status check_options(const sn_compile_options *options, sn_error *error) {
    size_t least = offsetof(sn_compile_options, shapes); /* as it was at first */
    if (options->size && (options->size < least || options->size > sizeof *options))
        return error_set(error, SN_ERROR_ARGUMENT, "options.size is %zu, expected %zu to %zu",
                         options->size, least, sizeof *options);
    if ((uint32_t)options->rerun > SN_RERUN_ALWAYS)
        return error_set(error, SN_ERROR_ARGUMENT, "options.rerun is %d", (int)options->rerun);
    if ((uint32_t)options->shapes > SN_SHAPES_DYNAMIC)
        return error_set(error, SN_ERROR_ARGUMENT, "options.shapes is %d", (int)options->shapes);
    if ((uint32_t)options->at_limit > SN_AT_LIMIT_ERROR)
        return error_set(error, SN_ERROR_ARGUMENT, "options.at_limit is %d",
                         (int)options->at_limit);
    if ((uint32_t)options->stance > SN_STANCE_ASYNC)
        return error_set(error, SN_ERROR_ARGUMENT, "options.stance is %d", (int)options->stance);
    if (options->most_graphs < 0 || options->check_every < 0)
        return error_set(
            error, SN_ERROR_ARGUMENT, "options.%s is %d",
            options->most_graphs < 0 ? "most_graphs" : "check_every",
            (int)(options->most_graphs < 0 ? options->most_graphs : options->check_every));
    if ((uint32_t)options->numerics > SN_NUMERICS_FAST)
        return error_set(error, SN_ERROR_ARGUMENT, "options.numerics is %d",
                         (int)options->numerics);
    sn_status status = check_array(options->watch, options->n_watch, "watch", error);
    if (status == SN_OK) status = check_array(options->trees, options->n_trees, "trees", error);
    if (status == SN_OK) status = check_array(options->dims, options->n_dims, "dims", error);
    for (int32_t i = 0; status == SN_OK && i < options->n_dims; i++)
        status = check_dim(&options->dims[i], i, error);
    for (int32_t i = 0; status == SN_OK && i < options->n_watch; i++)
        if (options->watch[i].bytes && !options->watch[i].data)
            status = error_set(error, SN_ERROR_ARGUMENT, "options.watch[%d].data is NULL", (int)i);
    return status;
}

static sn_status copy_dims(sn_compiled *c, const sn_compile_options *options, sn_error *error) {
    if (!options->n_dims) return SN_OK;
    c->dims = mem_calloc((size_t)options->n_dims, sizeof *c->dims);
    if (!c->dims) return error_memory(error);
    for (; c->n_dims < options->n_dims; c->n_dims++) {
        sn_dim *d = &c->dims[c->n_dims];
        *d = options->dims[c->n_dims];
        if (d->name) d->name = mem_strdup(d->name);
        if (!d->name && options->dims[c->n_dims].name) return error_memory(error);
    }
    return SN_OK;
}

static sn_status copy_options(sn_compiled *c, const sn_compile_options *options, sn_error *error) {
    c->most_graphs = GRAPHS_MOST;
    c->check_every = (int32_t)setting_int(SETTING_CHECK_EVERY, 0);
    if (c->check_every < 0) c->check_every = 0;
    if (!options) return SN_OK;
    sn_status status = check_options(options, error);
    if (status == SN_OK) status = copy_dims(c, options, error);
    if (status != SN_OK) return status;
    c->shapes = options->shapes;
    c->at_limit = options->at_limit;
    atomic_init(&c->stance, (int32_t)options->stance);
    if (options->most_graphs) c->most_graphs = (uint32_t)options->most_graphs;
    if (options->check_every) c->check_every = options->check_every;
    c->fullgraph = options->fullgraph;
    c->fast = options->numerics == SN_NUMERICS_FAST;
    c->progress = options->progress;
    c->progress_context = options->progress_context;
    if (options->rerun == SN_RERUN_ALWAYS) {
        atomic_store(&c->impure, true);
        c->impure_reason = "it was compiled with SN_RERUN_ALWAYS";
    }
    if (options->n_watch) {
        c->watch = mem_alloc(sizeof *c->watch * (size_t)options->n_watch);
        if (!c->watch) return error_memory(error);
        memcpy(c->watch, options->watch, sizeof *c->watch * (size_t)options->n_watch);
        c->n_watch = options->n_watch;
    }
    return SN_OK;
}

static sn_status prepare(sn_compiled *c, const char *signature, const sn_compile_options *options,
                         sn_error *error) {
    sn_status status = copy_options(c, options, error);
    if (status == SN_OK)
        status = signature_parse(signature, options ? options->trees : NULL,
                                 options ? options->n_trees : 0, &c->signature, error);
    if (status != SN_OK) return status;
    if (c->signature.opaque && !atomic_load(&c->impure)) {
        atomic_store(&c->impure, true);
        c->impure_reason = "it takes an opaque pointer";
    }
    if (ffi_prep_cif(&c->cif, FFI_DEFAULT_ABI, (unsigned)c->signature.n_arguments,
                     c->signature.result, c->signature.types) != FFI_OK)
        return error_set(error, SN_ERROR_SIGNATURE, "signature \"%.80s\" cannot be called",
                         signature);
    return SN_OK;
}

static sn_compiled *make(const char *name, const char *signature, const sn_compile_options *given,
                         Site site, sn_error *error) {
    /* A program that was built when the struct had fewer fields. */
    sn_compile_options all = {0}, *options = given ? &all : NULL;
    size_t size = given && given->size ? given->size : sizeof all;
    if (given) memcpy(&all, given, size < sizeof all ? size : sizeof all);
    sn_compiled *c = mem_calloc(1, sizeof *c);
    if (!c) {
        error_memory(error);
        return NULL;
    }
    static _Atomic uint64_t serials;
    c->serial = atomic_fetch_add(&serials, 1) + 1;
    c->lock = &handle_locks[c->serial % HANDLE_LOCKS];
    c->turn = &turns[c->serial % HANDLE_LOCKS];
    atomic_init(&c->refs, 1);
    c->site = site;
    c->name = mem_strdup(name ? name : "function");
    c->signature_text = mem_strdup(signature ? signature : "");
    sn_status status =
        c->name && c->signature_text ? prepare(c, signature, options, error) : error_memory(error);
    if (status == SN_OK) return c;
    if (c->name) {
        sn_error named;
        error_init(&named);
        error_set(&named, status, "compile %s: %s", c->name, error->text);
        *error = named;
    }
    free_compiled(c);
    return NULL;
}

/* Is the signature the derived one, '?' aside? */
static bool signature_fits(const char *signature, const char *derived) {
    while (*signature == *derived || *signature == '?') {
        if (!*signature) return true;
        if (*signature++ != '?') derived++;
    }
    return false;
}

sn_compiled *sn_compile_typed_at(sn_function function, const char *name, const char *derived,
                                 const char *signature, const sn_compile_options *options,
                                 const char *file, int32_t line) {
    Site site = {file, line};
    sn_error error;
    error_init(&error);
    if (error_pending(thread_state())) return NULL;
    if (!function)
        return error_raise(SN_ERROR_ARGUMENT, site, "compile %s: the function is NULL",
                           name ? name : "?");
    sn_compiled *c = make(name, signature, options, site, &error);
    if (!c) return error_raise_from(&error, site);
    if (derived && !signature_fits(signature, derived)) {
        sn_compiled_release(c);
        return error_raise(SN_ERROR_SIGNATURE, site,
                           "compile %s: signature \"%.80s\" is not the function's, \"%s\"",
                           name ? name : "?", signature, derived);
    }
    c->function = function;
    return c;
}

sn_compiled *sn_compile_at(sn_function function, const char *name, const char *signature,
                           const sn_compile_options *options, const char *file, int32_t line) {
    return sn_compile_typed_at(function, name, NULL, signature, options, file, line);
}

sn_compiled *sn_compile_payload(sn_payload_function *function, void *payload,
                                void (*destroy)(void *payload), const char *name,
                                const char *signature, const sn_compile_options *options,
                                sn_error *error) {
    sn_error own;
    error_init(&own);
    if (error) error->status = SN_OK;
    sn_compiled *c = NULL;
    if (!function)
        error_set(&own, SN_ERROR_ARGUMENT, "compile %s: the function is NULL", name ? name : "?");
    else
        c = make(name, signature, options, (Site){0}, &own);
    if (!c) {
        if (destroy) destroy(payload);
        if (error) *error = own;
        return NULL;
    }
    c->payload_function = function;
    c->payload = payload;
    c->destroy = destroy;
    return c;
}

void sn_compiled_release(sn_compiled *c) {
    SN_ASSERT(may_call_program()); /* destroy, below */
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
    void (*destroy)(void *) = c->destroy;
    void *payload = c->payload;
    free_compiled(c);
    if (destroy) destroy(payload);
}

/* ---- calling --------------------------------------------------------------------------------------------------- */

/* The call, holding the handle: a release on another thread ends it only afterwards. Inside a trace,
 * the trace holds it. */
static sn_status guarded_call(sn_compiled *c, const sn_value *values, sn_tensor **outputs,
                              bool owned) {
    if (thread_state()->recorder) return compiled_inline(c, values, outputs, owned);
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    sn_status status = compiled_call(c, values, outputs, owned);
    sn_compiled_release(c);
    return status;
}

static void get_value(char kind, const void *argument, sn_value *value) {
    union {
        uint8_t boolean;
        int32_t i32;
        float f32;
    } small;
    *value = (sn_value){.kind = SN_VALUE_INT};
    switch (kind) {
    case 'b':
        memcpy(&small.boolean, argument, sizeof small.boolean);
        value->kind = SN_VALUE_BOOL;
        value->as.integer = small.boolean != 0;
        return;
    case 'i':
        memcpy(&small.i32, argument, sizeof small.i32);
        value->as.integer = small.i32;
        return;
    case 'l':
        memcpy(&value->as.integer, argument, sizeof value->as.integer);
        return;
    case 'f':
        memcpy(&small.f32, argument, sizeof small.f32);
        value->kind = SN_VALUE_FLOAT;
        value->as.real = (double)small.f32;
        return;
    case 'd':
        value->kind = SN_VALUE_FLOAT;
        memcpy(&value->as.real, argument, sizeof value->as.real);
        return;
    case 't':
        value->kind = SN_VALUE_TENSOR;
        break;
    case 'r':
        value->kind = SN_VALUE_RNG;
        break;
    default:
        value->kind = SN_VALUE_POINTER;
    }
    memcpy(&value->as.pointer, argument, sizeof value->as.pointer);
}

/* What a pointer from sn_compiled_fn runs: C arguments to values, the call, results back. */
static void closure_entry(ffi_cif *cif, void *result, void **arguments, void *user) {
    sn_compiled *c = user;
    const Signature *s = &c->signature;
    sn_value values[SIGNATURE_MOST_PARAMS];
    sn_tensor *outputs[SIGNATURE_MOST_PARAMS];
    int32_t at = 0;
    (void)cif;
    for (int32_t i = 0; i < s->n_params; i++) {
        get_value(s->params[i].kind, arguments[at++], &values[i]);
        if (!s->params[i].array) continue;
        values[i].kind = SN_VALUE_TENSORS;
        memcpy(&values[i].count, arguments[at++], sizeof values[i].count);
    }
    for (int32_t i = 0; i < s->n_outputs; i++) outputs[i] = NULL;
    sn_status status = guarded_call(c, values, outputs, false);
    if (s->returns_tensor) {
        sn_tensor *tensor = status == SN_OK ? outputs[0] : NULL;
        memcpy(result, &tensor, sizeof tensor);
        return;
    }
    for (int32_t i = 0; i < s->n_outputs; i++) {
        sn_tensor **target;
        memcpy(&target, arguments[at++], sizeof target);
        if (target) *target = status == SN_OK ? outputs[i] : NULL;
    }
    ffi_arg word = (ffi_arg)status;
    memcpy(result, &word, sizeof word);
}

/* Address of the handle's closure, made at the first call; NULL without executable memory. */
static void *closure_of(sn_compiled *c) {
    lock_take(&closures);
    if (!c->closure) {
        c->closure = ffi_closure_alloc(sizeof(ffi_closure), &c->closure_code);
        if (c->closure && ffi_prep_closure_loc(c->closure, &c->cif, closure_entry, c,
                                               c->closure_code) != FFI_OK) {
            ffi_closure_free(c->closure);
            c->closure = NULL;
        }
    }
    void *code = c->closure ? c->closure_code : NULL;
    lock_give(&closures);
    return code;
}

sn_function sn_compiled_fn(sn_compiled *c) {
    if (error_pending(thread_state())) return NULL;
    if (!c)
        return (sn_function)(uintptr_t)error_raise(SN_ERROR_ARGUMENT, (Site){0},
                                                   "compiled_fn: the handle is NULL");
    if (c->payload_function)
        return (sn_function)(uintptr_t)error_raise(
            SN_ERROR_ARGUMENT, c->site, "compiled_fn: %s is a payload function; use sn_call",
            c->name);
    void *code = closure_of(c);
    if (!code)
        error_raise(
            SN_ERROR_UNSUPPORTED, c->site,
            "compiled_fn: executable memory is denied on this system; sn_call works without it");
    sn_function function;
    memcpy(&function, &code, sizeof function);
    return function;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Does a value have the kind that a signature letter takes? */
static bool value_fits(const ParamSpec *param, const sn_value *value) {
    switch (param->kind) {
    case 't':
        if (param->array)
            return value->kind == SN_VALUE_TENSORS && value->count >= 0 &&
                   (!value->count || value->as.tensors);
        return value->kind == SN_VALUE_TENSOR || (param->optional && value->kind == SN_VALUE_NONE);
    case 'b':
        return value->kind == SN_VALUE_BOOL || value->kind == SN_VALUE_INT;
    case 'i':
        return value->kind == SN_VALUE_INT && value->as.integer >= INT32_MIN &&
               value->as.integer <= INT32_MAX;
    case 'l':
        return value->kind == SN_VALUE_INT;
    case 'f':
    case 'd':
        return value->kind == SN_VALUE_FLOAT;
    case 'r':
        return value->kind == SN_VALUE_RNG;
    default:
        return value->kind == SN_VALUE_POINTER;
    }
}

static sn_status check_values(const sn_compiled *c, const sn_value *inputs, int32_t n_inputs,
                              sn_tensor *const *outputs, int32_t capacity, sn_error *error) {
    if (!c) return error_set(error, SN_ERROR_ARGUMENT, "call: the handle is NULL");
    if (n_inputs > 0 && !inputs)
        return error_set(error, SN_ERROR_ARGUMENT, "call: %s: inputs is NULL", c->name);
    if (n_inputs != c->signature.n_params)
        return error_set(error, SN_ERROR_SIGNATURE,
                         "call: %s takes %d arguments (\"%s\"), %d were given", c->name,
                         (int)c->signature.n_params, c->signature_text, (int)n_inputs);
    if (capacity > 0 && !outputs)
        return error_set(error, SN_ERROR_ARGUMENT, "call: %s: outputs is NULL", c->name);
    if (capacity < c->signature.n_outputs)
        return error_set(error, SN_ERROR_ARGUMENT, "call: %s has %d results, there is room for %d",
                         c->name, (int)c->signature.n_outputs, (int)capacity);
    for (int32_t i = 0; i < n_inputs; i++)
        if (!value_fits(&c->signature.params[i], &inputs[i]))
            return error_set(error, SN_ERROR_SIGNATURE,
                             "call: argument %d of %s does not fit the signature's '%c'",
                             (int)i + 1, c->name, c->signature.params[i].kind);
    return SN_OK;
}

sn_status sn_call(sn_compiled *c, const sn_value *inputs, int32_t n_inputs, sn_tensor **outputs,
                  int32_t capacity, int32_t *n_outputs, const sn_call_options *options,
                  sn_error *error) {
    sn_error own;
    error_init(&own);
    if (n_outputs) *n_outputs = 0;
    sn_status status = call_options_check(options, "call", &own);
    if (status == SN_OK) status = check_values(c, inputs, n_inputs, outputs, capacity, &own);
    if (status == SN_OK) {
        /* The thread's own error is none of this call's business. */
        ThreadState *state = thread_state();
        sn_error pending = state->error;
        state->error = (sn_error){0};
        sn_scope scope = sn_scope_begin();
        status = guarded_call(c, inputs, outputs, true);
        sn_scope_end(scope, NULL);
        if (status != SN_OK) sn_error_take(&own);
        state->error = pending;
    }
    if (status == SN_OK && n_outputs) *n_outputs = c->signature.n_outputs;
    if (error) *error = own;
    return status;
}
