/* The log of compilations; see compiles.h. */
#include "frontend/compiled/compiles.h"

static void event_free(CompileEvent *event) {
    mem_free(event->cause);
    mem_free(event->reason);
}

void compiles_add(CompileLog *log, CompileEvent event) {
    CompileEvent dropped = {0};
    lock_take(log->lock);
    log->count++;
    if (log->events.count == COMPILES_KEPT) {
        dropped = log->events.data[0];
        log->events.count--;
        memmove(log->events.data, log->events.data + 1,
                sizeof *log->events.data * log->events.count);
    }
    if (!vec_push(&log->events, event)) event_free(&event);
    lock_give(log->lock);
    event_free(&dropped);
}

const char *compile_kind_text(CompileKind kind) {
    static const char *const texts[COMPILE_KINDS] = {[COMPILE_OWN] = "compiled for its own sizes",
                                                     [COMPILE_GENERAL] =
                                                         "compiled for other sizes too",
                                                     [COMPILE_NODES] = "run node by node",
                                                     [COMPILE_REFUSED] = "refused"};
    SN_ASSERT((uint32_t)kind < COMPILE_KINDS);
    return texts[kind];
}

int64_t compiles_each(CompileLog *log, CompileSeen *seen, void *context) {
    lock_take(log->lock);
    int64_t count = log->count, first = count - log->events.count + 1;
    for (uint32_t i = 0; i < log->events.count; i++) seen(context, first + i, &log->events.data[i]);
    lock_give(log->lock);
    return count;
}

void compiles_close(CompileLog *log) {
    for (uint32_t i = 0; i < log->events.count; i++) event_free(&log->events.data[i]);
    vec_free(&log->events);
}
