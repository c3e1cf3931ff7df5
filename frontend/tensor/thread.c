/* The thread's state and its sticky error; see thread.h. */
#include "frontend/tensor/thread.h"

#include "base/assert.h"
#include "base/thread/program.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* Of a thread's stack: what the error below names, less the guard pages that some systems count in. */
enum { STACK_LEAST = 56 << 10 };

_Thread_local ThreadState *thread_own;
static _Thread_local ThreadState state;

/* A thread that ends leaves nothing behind. */
static void thread_end(void *unused) {
    (void)unused;
    for (int32_t room = THREAD_ROOMS - 1; room >= 0; room--) {
        void *data = state.rooms[room].data;
        state.rooms[room].data = NULL;
        if (data) state.rooms[room].end(data);
    }
    thread_own = NULL;
}

/* Bytes of stack that a thread of the program was made with; 0: not known, or those of the first thread,
 * which grow. */
static size_t stack_bytes(void) {
    pthread_attr_t attributes;
    size_t bytes = 0;
    if (gettid() == getpid() || pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
    if (pthread_attr_getstacksize(&attributes, &bytes) != 0) bytes = 0;
    pthread_attr_destroy(&attributes);
    return bytes;
}

/* A call that overflows its stack ends the program, so it is not begun. */
static void refuse_small_stack(void) {
    size_t bytes = stack_bytes();
    if (!bytes || bytes >= STACK_LEAST) return;
    error_raise(SN_ERROR_UNSUPPORTED, (Site){0},
                "the stack of this thread has %zu KiB: 64 are needed (pthread_attr_setstacksize)",
                bytes >> 10);
    state.refused = true;
}

ThreadState *thread_begin(void) {
    thread_own = &state;
    state.exit = (ThreadExit){.rank = EXIT_FRONTEND, .end = thread_end};
    (void)thread_at_exit(&state.exit); /* without it the system frees what a thread leaves behind */
    refuse_small_stack();
    return thread_own;
}

static void put_aside(ProgramCall *call) {
    if (!thread_own) return;
    call->work = thread_own->recorder;
    call->error = error_put_aside(thread_own);
    thread_own->recorder = NULL;
}

static void take_up(ProgramCall *call) {
    if (!thread_own) return;
    thread_own->recorder = call->work;
    thread_own->error = call->error;
}

__attribute__((constructor)) static void know_calls_from_within(void) {
    program_hooks(put_aside, take_up);
}

void thread_keep(ThreadRoom room, void *data, void (*end)(void *data)) {
    ThreadState *own = thread_state();
    SN_ASSERT(!data || end);
    own->rooms[room].data = data;
    own->rooms[room].end = end;
}

/* ---- errors ---------------------------------------------------------------------------------- */

void *error_raise_from(const sn_error *error, Site site) {
    ThreadState *thread = thread_state();
    if (error_pending(thread)) return NULL;
    thread->error.status = error->status ? error->status : SN_ERROR_INTERNAL;
    thread->error.file = site.file;
    thread->error.line = site.line;
    memcpy(thread->error.text, error->text, sizeof thread->error.text);
    return NULL;
}

__attribute__((format(printf, 3, 0))) static void raise_list(sn_status status, Site site,
                                                             const char *format, va_list args) {
    sn_error error;
    error_init(&error);
    error_vset(&error, status, format, args);
    error_raise_from(&error, site);
}

void *error_raise(sn_status status, Site site, const char *format, ...) {
    va_list args;
    va_start(args, format);
    raise_list(status, site, format, args);
    va_end(args);
    return NULL;
}

bool error_refuse(sn_status status, Site site, const char *format, ...) {
    va_list args;
    va_start(args, format);
    raise_list(status, site, format, args);
    va_end(args);
    return false;
}

void *error_of_call(Site site, const char *op, const char *name) {
    sn_error *error = &thread_state()->error;
    if (!error->file) error->file = site.file, error->line = site.line;
    size_t length = op ? strlen(op) : 0;
    if (!length || strncmp(error->text, op, length) != 0 || error->text[length] != ':') return NULL;
    sn_error given = *error;
    snprintf(error->text, sizeof error->text, "%s%.400s", name, given.text + length);
    return NULL;
}

sn_status sn_error_status(void) {
    return thread_state()->error.status;
}

/* As a program reads it: behind the line of the call. */
static void print_text(const sn_error *error, char *out) {
    if (error->file)
        snprintf(out, sizeof error->text, "%s:%d: %.400s", error->file, (int)error->line,
                 error->text);
    else
        memcpy(out, error->text, sizeof error->text);
}

const char *sn_error_text(void) {
    ThreadState *thread = thread_state();
    print_text(&thread->error, thread->error_text);
    return thread->error_text;
}

sn_status error_take(sn_error *error) {
    ThreadState *thread = thread_state();
    sn_status status = thread->error.status;
    thread->error.size = sizeof thread->error;
    sn_error taken = error_put_aside(thread);
    if (error) *error = taken;
    return status;
}

sn_status sn_error_take(sn_error *error) {
    sn_error bare;
    sn_status status = error_take(&bare);
    if (!error) return status;
    *error = bare;
    print_text(&bare, error->text);
    return status;
}

void *sn_error_raise(sn_status status, const char *file, int32_t line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    raise_list(status ? status : SN_ERROR_INTERNAL, site_at(file, line), format, args);
    va_end(args);
    return NULL;
}

bool scope_refuse(Site site) {
    return error_refuse(
        SN_ERROR_SCOPE, site,
        "no scope is open on this thread: call sn_scope_begin() first, it owns results");
}
