/* Observers of a thread; see observe.h. */
#include "runtime/observe.h"

#include "base/assert.h"
#include "base/clock.h"

void observe_begin(Observer *observer) {
    SN_ASSERT(observer->launch && !observer_find(observer->launch));
    observer->next = base_thread.observers;
    base_thread.observers = observer;
}

void observe_end(Observer *observer) {
    Observer **at = &base_thread.observers;
    while (*at != observer) at = &(*at)->next;
    *at = observer->next;
}

void observe_launch(const LaunchRecord *record) {
    for (Observer *o = base_thread.observers; o; o = o->next) o->launch(o, record);
}

void observe_span(const char *what, const char *name, int64_t begin_ns) {
    if (!begin_ns) return;
    SpanRecord span = {what, name, begin_ns, clock_ns()};
    for (Observer *o = base_thread.observers; o; o = o->next)
        if (o->span) o->span(o, &span);
}
