/* A timeline of what a thread does, and the helpers that share its kernels, as Chrome's trace events: what,
 * when, how long; see sinter/inspect.h. */
#include "base/strbuf.h"
#include "base/thread/parallel.h"
#include "base/thread/thread_exit.h"
#include "base/vec.h"
#include "runtime/observe.h"

#include <sinter/inspect.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MOST = 56, LINE_MOST = 80 };

typedef struct Event {
    const char *what;     /* category: "call", "trace", "compile", "kernel", "share" */
    char name[NAME_MOST]; /* the function's, or the ops in a kernel */
    char line[LINE_MOST]; /* of a kernel: a source line it came from, or "" */
    int32_t thread;       /* as the system numbers it */
    int64_t begin_ns;     /* when it began, on the clock of clock_ns */
    int64_t end_ns;       /* and ended */
    int64_t items;        /* of a kernel: it ran over; 0 = none */
    int64_t bytes;        /* of a kernel: it moves */
} Event;

/* What is kept, from sn_timeline_begin to sn_timeline_end or the thread's end. */
typedef struct Timeline {
    Observer observer; /* how it is found, too */
    int32_t thread;    /* whose */
    VEC(Event) events; /* as they ended */
    ThreadExit exit;   /* frees it */
} Timeline;

/* One that finds no memory is lost. */
static void add(Timeline *timeline, Event event, const char *name) {
    memcpy(event.name, name, text_fit(name, sizeof event.name - 1));
    (void)vec_push(&timeline->events, event);
}

/* "model.c:12"; of a long path its end. */
static void put_line(char *line, Site site) {
    StrBuf text = {0};
    if (!site.file) return;
    strbuf_addf(&text, "%s:%d", site.file, (int)site.line);
    const char *from = strbuf_text(&text);
    if (text.length >= LINE_MOST) from += text.length - LINE_MOST + 1;
    while (((unsigned char)*from & 0xc0) == 0x80) from++;
    memcpy(line, from, strlen(from) + 1);
    strbuf_free(&text);
}

static void add_launch(Observer *observer, const LaunchRecord *launch) {
    Timeline *timeline = (Timeline *)observer;
    Event event = {.what = "kernel",
                   .thread = timeline->thread,
                   .begin_ns = launch->begin_ns,
                   .end_ns = launch->end_ns,
                   .items = launch->items,
                   .bytes = launch->bytes};
    put_line(event.line, launch->site);
    add(timeline, event, launch->label);
    event.what = "share";
    event.items = 0;
    for (int32_t i = 0; i < launch->n_parts; i++) {
        const LaunchPart *part = &launch->parts[i];
        if (!part->begin_ns || part->thread == timeline->thread) continue;
        event.thread = part->thread;
        event.begin_ns = part->begin_ns;
        event.end_ns = part->end_ns;
        add(timeline, event, launch->label);
    }
}

static void add_span(Observer *observer, const SpanRecord *span) {
    Timeline *timeline = (Timeline *)observer;
    add(timeline,
        (Event){.what = span->what,
                .thread = timeline->thread,
                .begin_ns = span->begin_ns,
                .end_ns = span->end_ns},
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
    timeline->thread = (int32_t)gettid();
    timeline->observer.launch = add_launch;
    timeline->observer.span = add_span;
    observe_begin(&timeline->observer);
    thread_at_exit(&timeline->exit);
}

/* ---- as JSON --------------------------------------------------------------------------------- */

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

/* What a viewer writes beside a thread's events. */
static void add_thread(StrBuf *out, int32_t thread, const char *name) {
    strbuf_addf(out,
                "{\"name\": \"thread_name\", \"cat\": \"__metadata\", \"ph\": \"M\", \"pid\": %d, "
                "\"tid\": %d, \"args\": {\"name\": ",
                (int)getpid(), (int)thread);
    add_string(out, name);
    strbuf_add(out, "}},\n");
}

/* Threads in the order in which they are met: the timeline's, then helpers. */
static void add_threads(StrBuf *out, const Timeline *timeline) {
    VEC(int32_t) helpers = {0};
    char name[NAME_MOST] = "";
    if (pthread_getname_np(pthread_self(), name, sizeof name) != 0 || !*name)
        memcpy(name, "thread", sizeof "thread");
    add_thread(out, timeline->thread, name);
    for (uint32_t i = 0; i < timeline->events.count; i++) {
        int32_t thread = timeline->events.data[i].thread;
        bool known = thread == timeline->thread;
        for (uint32_t j = 0; j < helpers.count && !known; j++) known = helpers.data[j] == thread;
        if (known || !vec_push(&helpers, thread)) continue;
        snprintf(name, sizeof name, "sinter helper %u", helpers.count);
        add_thread(out, thread, name);
    }
    vec_free(&helpers);
}

static void add_event(StrBuf *out, const Event *e) {
    strbuf_add(out, "{\"name\": ");
    add_string(out, e->name);
    strbuf_addf(out, ", \"cat\": \"%s\", \"ph\": \"X\", \"ts\": ", e->what);
    strbuf_add_fixed(out, e->begin_ns, 3);
    strbuf_add(out, ", \"dur\": ");
    strbuf_add_fixed(out, e->end_ns - e->begin_ns, 3);
    strbuf_addf(out, ", \"pid\": %d, \"tid\": %d", (int)getpid(), (int)e->thread);
    if (e->items || *e->line) {
        strbuf_addf(out, ", \"args\": {\"items\": %lld, \"bytes\": %lld, \"line\": ",
                    (long long)e->items, (long long)e->bytes);
        add_string(out, e->line);
        strbuf_add_char(out, '}');
    }
    strbuf_add_char(out, '}');
}

static void add_events(StrBuf *out, const Timeline *timeline) {
    if (!timeline->events.count) return;
    strbuf_add_char(out, '\n');
    add_threads(out, timeline);
    for (uint32_t i = 0; i < timeline->events.count; i++) {
        if (i) strbuf_add(out, ",\n");
        add_event(out, &timeline->events.data[i]);
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
