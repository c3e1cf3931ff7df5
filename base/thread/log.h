/* Logging by topic. A line is printed where SINTER_LOG names its topic: by default that of functions which
 * depend on what they did not declare alone. Lines go to the callback of sn_set_log, by default standard
 * error. */
#ifndef SN_BASE_THREAD_LOG_H
#define SN_BASE_THREAD_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* LOG_TOPIC(identifier, name) */
#define LOG_TOPICS(LOG_TOPIC)                                                                      \
    LOG_TOPIC(TRACE, "trace")                                                                      \
    LOG_TOPIC(GUARDS, "guards")                                                                    \
    LOG_TOPIC(RECOMPILES, "recompiles")                                                            \
    LOG_TOPIC(PURITY, "purity")                                                                    \
    LOG_TOPIC(FUSION, "fusion")                                                                    \
    LOG_TOPIC(CACHE, "cache")                                                                      \
    LOG_TOPIC(CODEGEN, "codegen")                                                                  \
    LOG_TOPIC(FALLBACK, "fallback")

typedef enum LogTopic {
#define LOG_TOPIC(id, name) LOG_##id,
    LOG_TOPICS(LOG_TOPIC)
#undef LOG_TOPIC
        LOG_TOPIC_COUNT
} LogTopic;

/* A line that is kept, and those of a thread. */
typedef struct LogLine LogLine;
typedef struct LogKept {
    int32_t depth;  /* log_hold less log_release */
    int32_t lost;   /* lines for which there was no memory … */
    LogTopic topic; /* … and that of the last one */
    LogLine *first; /* of those kept */
    LogLine *last;  /* of them */
} LogKept;

typedef void LogSink(void *context, const char *topic, const char *text);

/* Asked wherever something is logged: under no lock and in no flight, unless lines are kept. */
bool log_on(LogTopic topic);
/* printf-like; no newline at the end. Call only when log_on(topic). */
void log_write(LogTopic topic, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* From log_hold to log_release, lines of this thread for the program's sink are kept: it may call the
 * library, so it is called under no lock and while nobody waits for this thread. They nest. Standard
 * error receives its lines at once. */
void log_hold(void);
void log_release(void);
/* Replaces the sink; NULL restores standard error. */
void log_set_sink(LogSink *sink, void *context);

#endif
