/* The latest trace; see latest.h. */
#include "frontend/graphs/latest.h"

void latest_set(Latest *latest, TraceNote note) {
    SN_ASSERT(note.instance);
    lock_take(latest->lock);
    GraphInstance *before = latest->note.instance;
    latest->note = note;
    lock_give(latest->lock);
    instance_release(before);
}

TraceNote latest_get(Latest *latest) {
    lock_take(latest->lock);
    TraceNote note = latest->note;
    if (note.instance) instance_retain(note.instance);
    lock_give(latest->lock);
    return note;
}

void latest_close(Latest *latest) {
    instance_release(latest->note.instance);
    latest->note = (TraceNote){0};
}
