/* Logging; see log.h. */
#include "base/thread/log.h"

#include "base/mem.h"
#include "base/settings.h"
#include "base/thread.h"
#include "base/thread/program.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char *const topic_names[LOG_TOPIC_COUNT] = {
#define LOG_TOPIC(id, name) name,
    LOG_TOPICS(LOG_TOPIC)
#undef LOG_TOPIC
};

LOCK_DEFINE(sink_lock, RANK_LOG);
static LogSink *current_sink;
static void *current_context;

/* ---- lines that are kept --------------------------------------------------------------------- */

struct LogLine {
    struct LogLine *next; /* written after it */
    LogTopic topic;       /* as given */
    char text[];          /* NUL-terminated */
};

static void keep(LogTopic topic, const char *text) {
    size_t bytes = strlen(text) + 1;
    LogLine *line = mem_alloc(sizeof *line + bytes);
    if (!line) {
        base_thread.log.lost++;
        base_thread.log.topic = topic;
        return;
    }
    line->next = NULL;
    line->topic = topic;
    memcpy(line->text, text, bytes);
    if (base_thread.log.first)
        base_thread.log.last->next = line;
    else
        base_thread.log.first = line;
    base_thread.log.last = line;
}

void log_hold(void) {
    base_thread.log.depth++;
}

void log_release(void) {
    SN_ASSERT(base_thread.log.depth > 0);
    if (--base_thread.log.depth || (!base_thread.log.first && !base_thread.log.lost)) return;
    LogKept ours = base_thread.log;
    base_thread.log = (LogKept){0}; /* the sink may come here again */
    for (LogLine *line = ours.first, *next; line; line = next) {
        log_write(line->topic, "%s", line->text);
        next = line->next;
        mem_free(line);
    }
    if (ours.lost) log_write(ours.topic, "memory was out for %d more lines", (int)ours.lost);
}

/* ---- writing --------------------------------------------------------------------------------- */

bool log_on(LogTopic topic) {
    SN_ASSERT((uint32_t)topic < LOG_TOPIC_COUNT);
    SN_ASSERT(base_thread.log.depth || may_call_program());
    static _Atomic int known[LOG_TOPIC_COUNT]; /* 0 unknown, 1 off, 2 on */
    int state = atomic_load_explicit(&known[topic], memory_order_relaxed);
    if (!state) {
        state = setting_lists(SETTING_LOG, topic_names[topic]) ? 2 : 1;
        atomic_store_explicit(&known[topic], state, memory_order_relaxed);
    }
    return state == 2;
}

static void call_sink(LogSink *sink, void *context, const char *topic, const char *text) {
    ProgramCall call;
    program_enter(&call);
    sink(context, topic, text);
    program_leave(&call);
}

void log_write(LogTopic topic, const char *format, ...) {
    char text[1024];
    va_list args;
    SN_ASSERT((uint32_t)topic < LOG_TOPIC_COUNT);
    SN_ASSERT(base_thread.log.depth || may_call_program());
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lock_take(&sink_lock);
    LogSink *sink = current_sink;
    void *context = current_context;
    lock_give(&sink_lock);
    if (!sink)
        fprintf(stderr, "sinter: %s: %s\n", topic_names[topic], text);
    else if (base_thread.log.depth)
        keep(topic, text);
    else
        call_sink(sink, context, topic_names[topic], text);
}

void log_set_sink(LogSink *sink, void *context) {
    lock_take(&sink_lock);
    current_sink = sink;
    current_context = context;
    lock_give(&sink_lock);
}
