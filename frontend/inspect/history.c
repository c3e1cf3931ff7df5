/* The launch history of a thread; see sinter/inspect.h. */
#include "base/mem.h"
#include "base/strbuf.h"
#include "base/thread/thread_exit.h"
#include "base/vec.h"
#include "runtime/observe.h"

#include <sinter/inspect.h>

#include <string.h>

/* What is recorded, from sn_history_begin to sn_history_end or the thread's end. */
typedef struct History {
    Observer observer;             /* how it is found, too */
    VEC(sn_launch_record) records; /* in order */
    ThreadExit exit;               /* frees it */
} History;

static void note_launch(Observer *observer, const LaunchRecord *launch) {
    History *history = (History *)observer;
    sn_launch_record record = {.items = launch->items, .bytes = launch->bytes};
    memcpy(record.name, launch->name, text_fit(launch->name, sizeof record.name - 1));
    memcpy(record.label, launch->label, text_fit(launch->label, sizeof record.label - 1));
    (void)vec_push(&history->records, record); /* a record that finds no memory is lost */
}

static History *own_history(void) {
    return (History *)observer_find(note_launch);
}

static void history_free(void *context) {
    History *history = context;
    observe_end(&history->observer);
    vec_free(&history->records);
    mem_free(history);
}

void sn_history_begin(void) {
    History *history = own_history();
    if (history) {
        history->records.count = 0;
        return;
    }
    history = mem_calloc(1, sizeof *history);
    if (!history) return; /* all its records are lost */
    history->exit = (ThreadExit){EXIT_OBSERVERS, history_free, history, NULL};
    history->observer.launch = note_launch;
    observe_begin(&history->observer);
    thread_at_exit(&history->exit);
}

int32_t sn_history_end(sn_launch_record *records, int32_t capacity) {
    History *history = own_history();
    if (!history) return 0;
    int32_t count = (int32_t)history->records.count;
    for (int32_t i = 0; records && i < count && i < capacity; i++)
        records[i] = history->records.data[i];
    thread_exit_cancel(&history->exit);
    history_free(history);
    return count;
}
