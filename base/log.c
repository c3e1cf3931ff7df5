/* Logging; see log.h. */
#include "base/log.h"

#include "base/lock.h"
#include "base/settings.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static const char *const topic_names[LOG_TOPIC_COUNT] = {
#define LOG_TOPIC(id, name) name,
    LOG_TOPICS(LOG_TOPIC)
#undef LOG_TOPIC
};

LOCK_DEFINE(sink_lock, RANK_LOG);
static LogSink *current_sink;
static void *current_context;

bool log_on(LogTopic topic) {
    static _Atomic int known[LOG_TOPIC_COUNT]; /* 0 unknown, 1 off, 2 on */
    int state = atomic_load_explicit(&known[topic], memory_order_relaxed);
    if (!state) {
        state = setting_lists(SETTING_LOG, topic_names[topic]) ? 2 : 1;
        atomic_store_explicit(&known[topic], state, memory_order_relaxed);
    }
    return state == 2;
}

void log_write(LogTopic topic, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lock_take(&sink_lock);
    LogSink *sink = current_sink;
    void *context = current_context;
    lock_give(&sink_lock);
    if (sink)
        sink(context, topic_names[topic], text);
    else
        fprintf(stderr, "sinter: %s: %s\n", topic_names[topic], text);
}

void log_set_sink(LogSink *sink, void *context) {
    lock_take(&sink_lock);
    current_sink = sink;
    current_context = context;
    lock_give(&sink_lock);
}
