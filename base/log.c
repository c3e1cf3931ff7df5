/* Logging; see log.h. */
#include "base/log.h"

#include "base/lock.h"
#include "base/mem.h"
#include "base/settings.h"

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

/* ---- lines that are kept ------------------------------------------------------------------------ */

typedef struct Line {
    struct Line *next; /* written after it */
    LogTopic topic;    /* as given */
    char text[];       /* NUL-terminated */
} Line;

typedef struct Kept {
    int32_t depth;  /* log_hold less log_release */
    int32_t lost;   /* lines for which there was no memory … */
    LogTopic topic; /* … and that of the last one */
    Line *first;    /* of those kept */
    Line *last;     /* of them */
} Kept;

static _Thread_local Kept kept;

static void keep(LogTopic topic, const char *text) {
    size_t bytes = strlen(text) + 1;
    Line *line = mem_alloc(sizeof *line + bytes);
    if (!line) {
        kept.lost++;
        kept.topic = topic;
        return;
    }
    line->next = NULL;
    line->topic = topic;
    memcpy(line->text, text, bytes);
    if (kept.first)
        kept.last->next = line;
    else
        kept.first = line;
    kept.last = line;
}

void log_hold(void) {
    kept.depth++;
}

void log_release(void) {
    SN_ASSERT(kept.depth > 0);
    if (--kept.depth || (!kept.first && !kept.lost)) return;
    Kept ours = kept;
    kept = (Kept){0}; /* the sink may come here again */
    for (Line *line = ours.first, *next; line; line = next) {
        log_write(line->topic, "%s", line->text);
        next = line->next;
        mem_free(line);
    }
    if (ours.lost) log_write(ours.topic, "memory was out for %d more lines", (int)ours.lost);
}

/* ---- writing ------------------------------------------------------------------------------------ */

bool log_on(LogTopic topic) {
    SN_ASSERT((uint32_t)topic < LOG_TOPIC_COUNT);
    SN_ASSERT(kept.depth || may_call_program());
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
    SN_ASSERT((uint32_t)topic < LOG_TOPIC_COUNT);
    SN_ASSERT(kept.depth || may_call_program());
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lock_take(&sink_lock);
    LogSink *sink = current_sink;
    void *context = current_context;
    lock_give(&sink_lock);
    if (!sink)
        fprintf(stderr, "sinter: %s: %s\n", topic_names[topic], text);
    else if (kept.depth)
        keep(topic, text);
    else
        sink(context, topic_names[topic], text);
}

void log_set_sink(LogSink *sink, void *context) {
    lock_take(&sink_lock);
    current_sink = sink;
    current_context = context;
    lock_give(&sink_lock);
}
