/* Whether an entry that writes its inputs meets arguments that overlap: in one walk through their memory
 * in the order of addresses. */
#include "frontend/call/call.h"

#include "base/small.h"

enum { FEW_SPANS = 32 };

/* The memory of an argument. */
typedef struct Span {
    const char *first; /* of its bytes */
    const char *end;   /* one past the last; as `first` where there is none */
    uint32_t element;  /* the first argument that begins at the same element */
    bool written;      /* by the entry */
} Span;

/* Ends furthest on, of spans of two different elements. */
typedef struct Furthest {
    const char *end[2];  /* the furthest, and that of the others */
    uint32_t element[2]; /* whose they are */
} Furthest;

static void note_end(Furthest *f, const Span *span) {
    int at = f->end[0] && f->element[0] == span->element ? 0 : 1;
    if (f->end[at] && f->end[at] >= span->end) return;
    f->end[at] = span->end;
    f->element[at] = span->element;
    if (at == 0 || (f->end[0] && f->end[0] >= span->end)) return;
    f->end[1] = f->end[0];
    f->element[1] = f->element[0];
    f->end[0] = span->end;
    f->element[0] = span->element;
}

/* Does one that begins before this span, at another element, reach into it? */
static bool reaches(const Furthest *f, const Span *span) {
    int at = f->end[0] && f->element[0] == span->element ? 1 : 0;
    return f->end[at] && f->end[at] > span->first;
}

/* By first byte, where they are in order up to `width`. */
static void merge(const Span *from, Span *to, uint32_t count, uint32_t width) {
    for (uint32_t begin = 0; begin < count; begin += 2 * width) {
        uint32_t middle = count - begin < width ? count : begin + width;
        uint32_t end = count - middle < width ? count : middle + width;
        uint32_t i = begin, j = middle;
        for (uint32_t at = begin; at < end; at++)
            to[at] =
                j == end || (i < middle && from[i].first <= from[j].first) ? from[i++] : from[j++];
    }
}

static bool in_order(const Span *spans, uint32_t count) {
    for (uint32_t i = 1; i < count; i++)
        if (spans[i].first < spans[i - 1].first) return false;
    return true;
}

/* Returns where they are in order: `spans`, or `other`, which has as much room. */
static const Span *sort(Span *spans, Span *other, uint32_t count) {
    if (in_order(spans, count)) return spans;
    for (uint32_t width = 1; width < count; width *= 2) {
        merge(spans, other, count, width);
        Span *sorted = other;
        other = spans;
        spans = sorted;
    }
    return spans;
}

static bool any_overlap(const Span *spans, uint32_t count) {
    Furthest all = {{0}, {0}}, written = {{0}, {0}};
    for (uint32_t i = 0; i < count; i++) {
        const Span *span = &spans[i];
        if (span->first == span->end) continue;
        if (reaches(span->written ? &all : &written, span)) return true;
        note_end(&all, span);
        if (span->written) note_end(&written, span);
    }
    return false;
}

static void find_spans(const Entry *entry, const CallArgs *args, Span *spans) {
    for (int32_t i = 0; i < args->n_tensors; i++) {
        uint32_t same = args->sharing[i].memory;
        spans[i] = (Span){.element = same ? same - 1 : (uint32_t)i};
        tensor_span(args->tensors[i], &spans[i].first, &spans[i].end);
    }
    const Graph *graph = entry_graph(entry);
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        int32_t written = graph->outputs.data[i].writes_input;
        if (written < 0) continue;
        SN_ASSERT(entry->sources[written] >= 0 && entry->sources[written] < args->n_tensors);
        spans[entry->sources[written]].written = true;
    }
}

bool call_writes_apart(const Entry *entry, const CallArgs *args) {
    uint32_t count = (uint32_t)args->n_tensors;
    SMALL(Span, 2 * FEW_SPANS) spans;
    if (!small_open(&spans, 2 * (size_t)count)) return false; /* traced, which looks again */
    find_spans(entry, args, spans.data);
    bool overlap = any_overlap(sort(spans.data, spans.data + count, count), count);
    small_close(&spans);
    return !overlap;
}
