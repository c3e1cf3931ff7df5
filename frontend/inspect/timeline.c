/* A thread's timeline as Chrome's trace events: what it did, when, and how long; see sinter/inspect.h. */
#include "frontend/compiled/spans.h"

#include "base/parallel.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "runtime/executable.h"

#include <sinter/inspect.h>

#include <stdio.h>
#include <unistd.h>

enum { NAME_MOST = 56 };

typedef struct Event {
    const char *what;     /* category: "call", "trace", "compile", "kernel", "extern" */
    char name[NAME_MOST]; /* the function's, or the ops in a kernel */
    int64_t begin_ns, end_ns;
    int64_t items, bytes; /* of a kernel; 0 = none */
} Event;

static _Thread_local VEC(Event) events;
static _Thread_local bool keeping;

int64_t timeline_now(void) {
    return keeping ? clock_ns() : 0;
}

static void add(Event event, const char *name) {
    snprintf(event.name, sizeof event.name, "%.54s", name);
    (void)vec_push(&events, event); /* one that finds no memory is lost */
}

void timeline_add(const char *what, const char *name, int64_t begin_ns) {
    if (!begin_ns || !keeping) return;
    add((Event){.what = what, .begin_ns = begin_ns, .end_ns = clock_ns()}, name);
}

static void add_launch(void *context, const LaunchRecord *launch) {
    (void)context;
    bool is_extern = strcmp(launch->name, "gemm") == 0;
    add((Event){.what = is_extern ? "extern" : "kernel",
                .begin_ns = launch->begin_ns,
                .end_ns = launch->end_ns,
                .items = launch->items,
                .bytes = launch->bytes},
        launch->label);
}

void sn_timeline_begin(void) {
    events.count = 0;
    keeping = true;
    executable_observe(add_launch, NULL);
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

char *sn_timeline_end(void) {
    StrBuf text = {0};
    int64_t first = INT64_MAX;
    if (keeping) executable_observe(NULL, NULL);
    keeping = false;
    for (uint32_t i = 0; i < events.count; i++)
        if (events.data[i].begin_ns < first) first = events.data[i].begin_ns;
    strbuf_add(&text, "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [");
    for (uint32_t i = 0; i < events.count; i++) {
        strbuf_add(&text, i ? ",\n" : "\n");
        add_event(&text, &events.data[i], first);
    }
    strbuf_add(&text, "\n]}\n");
    vec_free(&events);
    return strbuf_take(&text);
}
