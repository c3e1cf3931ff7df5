/* The thread's state and its sticky error; see tensor.h. */
#include "frontend/tensor/tensor.h"

#include "base/status.h"

#include <pthread.h>
#include <stdio.h>

_Thread_local ThreadState *thread_own;
static _Thread_local ThreadState state;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

/* A thread that ends leaves nothing behind: what its open scopes hold is released. */
static void at_thread_exit(void *unused) {
    (void)unused;
    while (state.held.count) {
        sn_tensor *tensor = state.held.data[--state.held.count];
        if (tensor) tensor_unref(tensor);
    }
    vec_free(&state.held);
    while (state.free_list) {
        sn_tensor *next = state.free_list->next;
        mem_free(state.free_list);
        state.free_list = next;
    }
    state.free_count = 0;
    thread_own = NULL;
}

static void make_key(void) {
    pthread_key_create(&exit_key, at_thread_exit);
}

ThreadState *thread_begin(void) {
    thread_own = &state;
    pthread_once(&exit_once, make_key);
    pthread_setspecific(exit_key, thread_own);
    return thread_own;
}

void *error_raise_from(const sn_error *error, Site site) {
    ThreadState *thread = thread_state();
    if (error_pending(thread)) return NULL;
    thread->error.status = error->status ? error->status : SN_ERROR_INTERNAL;
    thread->error.file = site.file;
    thread->error.line = site.line;
    if (site.file)
        snprintf(thread->error.text, sizeof thread->error.text, "%s:%d: %.400s", site.file,
                 (int)site.line, error->text);
    else
        snprintf(thread->error.text, sizeof thread->error.text, "%s", error->text);
    return NULL;
}

void *error_raise(sn_status status, Site site, const char *format, ...) {
    sn_error error;
    error_init(&error);
    va_list args;
    va_start(args, format);
    error_vset(&error, status, format, args);
    va_end(args);
    return error_raise_from(&error, site);
}

sn_status sn_error_status(void) {
    return thread_state()->error.status;
}

const char *sn_error_text(void) {
    return thread_state()->error.text;
}

sn_status sn_error_take(sn_error *error) {
    ThreadState *thread = thread_state();
    sn_status status = thread->error.status;
    thread->error.size = sizeof thread->error;
    if (error) *error = thread->error;
    thread->error = (sn_error){0};
    return status;
}

void *sn_error_raise(sn_status status, const char *file, int32_t line, const char *format, ...) {
    sn_error error;
    error_init(&error);
    va_list args;
    va_start(args, format);
    error_vset(&error, status ? status : SN_ERROR_INTERNAL, format, args);
    va_end(args);
    return error_raise_from(&error, (Site){file, line});
}
