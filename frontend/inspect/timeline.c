/* A thread's timeline as Chrome's trace events: what it did, when, and how long; see
 * sinter/inspect.h. */
#include "base/strbuf.h"
#include "base/thread/parallel.h"
#include "base/thread/thread_exit.h"
#include "base/vec.h"
#include "runtime/observe.h"

#include <sinter/inspect.h>

#include <stdio.h>
#include <unistd.h>

enum { NAME_MOST = 56 };

typedef struct Event {
    const char *what;     /* category: "call", "trace", "compile", "kernel", "extern" */
    char name[NAME_MOST]; /* the function's, or the ops in a kernel */
    int64_t begin_ns;     /* when it began, on the clock of clock_ns */
    int64_t end_ns;       /* and ended */
    int64_t items;        /* of a kernel: it ran over; 0 = none */
    int64_t bytes;        /* of a kernel: it moves */
} Event;

/* What is kept, from sn_timeline_begin to sn_timeline_end or the thread's end. */
typedef struct Timeline {
    Observer observer; /* how it is found, too */
    VEC(Event) events; /* as they ended */
    ThreadExit exit;   /* frees it */
} Timeline;

static void add(Timeline *timeline, Event event, const char *name) {
    snprintf(event.name, sizeof event.name, "%.54s", name);
    (void)vec_push(&timeline->events, event); /* one that finds no memory is lost */
}

static void add_launch(Observer *observer, const LaunchRecord *launch) {
    add((Timeline *)observer,
        (Event){.what = launch->is_extern ? "extern" : "kernel",
                .begin_ns = launch->begin_ns,
                .end_ns = launch->end_ns,
                .items = launch->items,
                .bytes = launch->bytes},
        launch->label);
}

static void add_span(Observer *observer, const SpanRecord *span) {
    add((Timeline *)observer,
        (Event){.what = span->what, .begin_ns = span->begin_ns, .end_ns = span->end_ns},
        span->name);
}

static Timeline *own_timeline(void) {
    return (Timeline *)observer_find(add_launch);
}

static void timeline_free(void *context) {
    Timeline *timeline = context;
    observe_end(&timeline->observer);
    vec_free(&timeline->events);
    mem_free(timeline);
}

void sn_timeline_begin(void) {
    Timeline *timeline = own_timeline();
    if (timeline) {
        timeline->events.count = 0;
        return;
    }
    timeline = mem_calloc(1, sizeof *timeline);
    if (!timeline) return; /* all its events are lost */
    timeline->exit = (ThreadExit){EXIT_OBSERVERS, timeline_free, timeline, NULL};
    timeline->observer.launch = add_launch;
    timeline->observer.span = add_span;
    observe_begin(&timeline->observer);
    thread_at_exit(&timeline->exit);
}

/* A string of JSON: labels may hold what a program named a function. */
static void add_string(StrBuf *out, const char *text) {
    strbuf_add_char(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') strbuf_add_char(out, '\\');
        strbuf_add_char(out, c < ' ' ? ' ' : (char)c);
    }
    strbuf_add_char(out, '"');
}

static void add_event(StrBuf *out, const Event *e, int64_t first) {
    strbuf_add(out, "{\"name\": ");
    add_string(out, e->name);
    strbuf_addf(out,
                ", \"cat\": \"%s\", \"ph\": \"X\", \"ts\": %.3f, \"dur\": %.3f, \"pid\": %d, "
                "\"tid\": 1",
                e->what, (double)(e->begin_ns - first) * 1e-3,
                (double)(e->end_ns - e->begin_ns) * 1e-3, (int)getpid());
    if (e->items)
        strbuf_addf(out, ", \"args\": {\"items\": %lld, \"bytes\": %lld}", (long long)e->items,
                    (long long)e->bytes);
    strbuf_add_char(out, '}');
}

static void add_events(StrBuf *out, const Timeline *timeline) {
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < timeline->events.count; i++)
        if (timeline->events.data[i].begin_ns < first) first = timeline->events.data[i].begin_ns;
    for (uint32_t i = 0; i < timeline->events.count; i++) {
        strbuf_add(out, i ? ",\n" : "\n");
        add_event(out, &timeline->events.data[i], first);
    }
}

char *sn_timeline_end(void) {
    StrBuf text = {0};
    Timeline *timeline = own_timeline();
    strbuf_add(&text, "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [");
    if (timeline) {
        add_events(&text, timeline);
        thread_exit_cancel(&timeline->exit);
        timeline_free(timeline);
    }
    strbuf_add(&text, "\n]}\n");
    return strbuf_take(&text);
}
