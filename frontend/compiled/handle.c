/* Handles of compiled functions: making and releasing them, their stance; see handle.h. */
#include "frontend/compiled/handle.h"

#include "base/sized.h"
#include "base/status.h"
#include "base/strbuf.h"
#include "base/thread/log.h"
#include "base/thread/program.h"
#include "frontend/graphs/background.h"
#include "frontend/tensor/counters.h"
#include "frontend/tensor/tensor.h"

#undef sn_compiled_release

/* ---- what becomes of it ---------------------------------------------------------------------- */

void compiled_count_fallback(sn_compiled *c, const char *reason) {
    COUNT(fallbacks);
    atomic_fetch_add_explicit(&c->fallbacks, 1, memory_order_relaxed);
    if (log_on(LOG_FALLBACK)) log_write(LOG_FALLBACK, "%s runs node by node: %s", c->name, reason);
}

void compiled_mark_impure(sn_compiled *c, const char *reason, char *difference) {
    if (!purity_lose(&c->purity, reason, difference)) return;
    LogTopic topic = difference ? LOG_PURITY : LOG_TRACE;
    if (log_on(topic))
        log_write(topic, "%s is run on every call: %s%s%s", c->name, reason, difference ? ": " : "",
                  difference ? difference : "");
}

/* ---- stances --------------------------------------------------------------------------------- */

sn_stance compiled_stance(const sn_compiled *c) {
    sn_stance own = (sn_stance)atomic_load_explicit(&c->stance, memory_order_relaxed);
    sn_stance thread = thread_state()->stance;
    return thread == SN_STANCE_DEFAULT ? own : thread;
}

static bool is_stance(sn_stance stance, const char *what) {
    if ((uint32_t)stance <= SN_STANCE_ASYNC) return true;
    return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: there is no stance %d", what,
                        (int)stance);
}

sn_stance sn_set_stance(sn_compiled *c, sn_stance stance) {
    if (!compiled_check(c, "set_stance", (Site){0})) return SN_STANCE_DEFAULT;
    if (!is_stance(stance, "set_stance")) return (sn_stance)atomic_load(&c->stance);
    return (sn_stance)atomic_exchange(&c->stance, (int32_t)stance);
}

sn_stance sn_set_thread_stance(sn_stance stance) {
    sn_stance before = thread_state()->stance;
    if (is_stance(stance, "set_thread_stance")) thread_state()->stance = stance;
    return before;
}

/* ---- locks ----------------------------------------------------------------------------------- */

/* Locks of all handles, and who waits for a turn at compiling: of static lifetime, as all locks.
 * The parts of a handle share one. */
enum { HANDLE_LOCKS = 8 };
static Lock locks[HANDLE_LOCKS];
static Condition turns[HANDLE_LOCKS];

__attribute__((constructor)) static void register_handle_locks(void) {
    for (int i = 0; i < HANDLE_LOCKS; i++) {
        locks[i] = (Lock)LOCK_INITIALISER(RANK_HANDLE);
        turns[i] = (Condition)CONDITION_INITIALISER(&locks[i]);
        lock_register(&locks[i]);
        condition_register(&turns[i]);
    }
}

static void take_locks(sn_compiled *c, uint64_t serial) {
    Lock *lock = &locks[serial % HANDLE_LOCKS];
    c->entries.lock = c->moving.lock = c->graphs.lock = c->purity.lock = c->latest.lock =
        c->compiles.lock = c->turn.lock = lock;
    c->turn.ended = &turns[serial % HANDLE_LOCKS];
}

/* ---- memory ---------------------------------------------------------------------------------- */

static SlotPool pool = {.bytes = sizeof(sn_compiled), .magic = 0x736e6321};

static sn_compiled *compiled_new(void) {
    sn_compiled *c = slot_pool_new(&pool);
    if (!c) return NULL;
    refs_init(&c->users);
    refs_init(&c->refs);
    return c;
}

static void free_compiled(sn_compiled *c) {
    entries_close(&c->entries);
    moving_close(&c->moving);
    latest_close(&c->latest);
    graphs_close(&c->graphs);
    compiles_close(&c->compiles);
    purity_close(&c->purity);
    closure_close(&c->closure);
    options_free(&c->options);
    signature_free(&c->signature);
    mem_free(c->signature_text);
    mem_free(c->name);
    mem_free(c->title);
    slot_pool_free(&pool, c);
}

/* ---- who is told ----------------------------------------------------------------------------- */

static const CompiledHooks *told;

void compiled_hooks(const CompiledHooks *hooks) {
    told = hooks;
}

static sn_compiled *tell_made(sn_compiled *c) {
    if (told) told->made(c);
    return c;
}

/* ---- releasing ------------------------------------------------------------------------------- */

sn_status compiled_check_for(const sn_compiled *c, const char *op, sn_error *error) {
    if (!c) return error_set(error, SN_ERROR_ARGUMENT, "%s: the handle is NULL", op);
    if (slot_pool_has(&pool, c)) return SN_OK;
    return error_set(error, SN_ERROR_HANDLE,
                     "%s: the compiled function was released already, or is none", op);
}

bool compiled_check(const sn_compiled *c, const char *op, Site site) {
    sn_error error;
    error_init(&error);
    if (compiled_check_for(c, op, &error) == SN_OK) return true;
    error_raise_from(&error, site);
    return false;
}

sn_compiled *compiled_retain(sn_compiled *c) {
    refs_take(&c->users);
    return c;
}

sn_compiled *compiled_keep(sn_compiled *c) {
    refs_take(&c->refs);
    return c;
}

void compiled_unkeep(sn_compiled *c) {
    if (refs_drop(&c->refs)) free_compiled(c);
}

static void destroy_payload(void (*destroy)(void *payload), void *payload) {
    SN_ASSERT(may_call_program());
    if (!destroy) return;
    ProgramCall call;
    program_enter(&call);
    destroy(payload);
    program_leave(&call);
}

void compiled_drop(sn_compiled *c) {
    SN_ASSERT(may_call_program());
    if (!refs_drop(&c->users)) return;
    SN_ASSERT(!c->callee.function || !c->callee.payload_function);
    Callee callee = c->callee;
    if (told) told->ended(c);
    background_forget(c);
    compiled_unkeep(c);
    destroy_payload(callee.destroy, callee.payload);
}

void sn_compiled_release_at(sn_compiled *c, const char *file, int32_t line) {
    if (c && compiled_check(c, "compiled_release", site_at(file, line)) &&
        slot_pool_release(&pool, c))
        compiled_drop(c);
}

void sn_compiled_release(sn_compiled *c) {
    sn_compiled_release_at(c, NULL, 0);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* A dim of a tensor that no call can have is a slip. */
static sn_status check_dims(const sn_compiled *c, sn_error *error) {
    int32_t count = 0;
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        if (param->array || param->tree) return SN_OK; /* its length is the call's */
        count += param->kind == 't';
    }
    for (int32_t i = 0; i < c->options.n_dims; i++)
        if (c->options.dims[i].tensor >= count)
            return error_set(error, SN_ERROR_ARGUMENT,
                             "options.dims[%d] is of tensor %d; the signature has %d", (int)i,
                             (int)c->options.dims[i].tensor, (int)count);
    return SN_OK;
}

static sn_status prepare(sn_compiled *c, const char *signature, const sn_compile_options *given,
                         sn_error *error) {
    sn_status status = options_copy(&c->options, given, error);
    if (status == SN_OK)
        status = signature_parse(signature, given ? given->trees : NULL, given ? given->n_trees : 0,
                                 &c->signature, error);
    if (status == SN_OK) status = check_dims(c, error);
    if (status != SN_OK) return status;
    atomic_init(&c->stance, (int32_t)c->options.stance);
    if (c->options.rerun)
        purity_lose(&c->purity, "it was compiled with SN_RERUN_ALWAYS", NULL);
    else if (c->signature.opaque)
        purity_lose(&c->purity, "it takes an opaque pointer", NULL);
    if (ffi_prep_cif(&c->callee.cif, FFI_DEFAULT_ABI, (unsigned)c->signature.n_arguments,
                     c->signature.result, c->signature.types) != FFI_OK)
        return error_set(error, SN_ERROR_SIGNATURE, "signature \"%.80s\" cannot be called",
                         signature);
    return SN_OK;
}

/* "f, compiled at mlp.c:12": a call by pointer has no line of its own. NULL when out of memory. */
static char *name_with_site(const char *name, Site site) {
    StrBuf text = {0};
    strbuf_add(&text, name);
    if (site.file) strbuf_addf(&text, ", compiled at %s:%d", site.file, (int)site.line);
    return strbuf_take(&text);
}

/* A handle without a function yet; NULL with the error set. */
static sn_compiled *make(const char *name, const char *signature, const sn_compile_options *given,
                         Site site, sn_error *error) {
    /* A program that was built when the struct had fewer fields. */
    sn_compile_options all, *options = given ? &all : NULL;
    bool known = !given || sized_copy(&all, sizeof all, given, given->size);
    sn_compiled *c = compiled_new();
    if (!c) {
        error_memory(error);
        return NULL;
    }
    static _Atomic uint64_t serials;
    c->entries.serial = atomic_fetch_add(&serials, 1) + 1;
    take_locks(c, c->entries.serial);
    c->site = site;
    c->name = mem_strdup(name ? name : "function");
    c->title = c->name ? name_with_site(c->name, site) : NULL;
    c->signature_text = mem_strdup(signature ? signature : "");
    sn_status status = SN_OK;
    if (!known)
        status = error_set(error, SN_ERROR_ARGUMENT,
                           "options.size is %zu: %zu are known, and the rest is not zero",
                           given->size, sizeof all);
    else if (!c->name || !c->title || !c->signature_text)
        status = error_memory(error);
    else
        status = prepare(c, signature, options, error);
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

/* Does the letter stand for what the compiler knows? */
static bool letter_fits(char letter, char derived) {
    return letter == derived || (derived == 'P' && (letter == 'S' || letter == 'p'));
}

/* Is the signature the derived one, '?' and '~' aside, which are no types? */
static bool signature_fits(const char *signature, const char *derived) {
    for (;; signature++) {
        if (letter_fits(*signature, *derived)) {
            if (!*derived++) return true;
        } else if (*signature != '?' && *signature != '~') {
            return false;
        }
    }
}

sn_compiled *sn_compile_typed_at(sn_function function, const char *name, const char *derived,
                                 const char *signature, const sn_compile_options *options,
                                 const char *file, int32_t line) {
    Site site = site_at(file, line);
    sn_error error;
    error_init(&error);
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
    c->callee.function = function;
    return tell_made(c);
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
        destroy_payload(destroy, payload);
        if (error) *error = own;
        return NULL;
    }
    c->callee.payload_function = function;
    c->callee.payload = payload;
    c->callee.destroy = destroy;
    return tell_made(c);
}
