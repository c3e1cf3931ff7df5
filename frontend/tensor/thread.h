/* All that the frontend keeps for a thread: open scopes, the pending error, who records, and a place for
 * each room above. It ends in one order: rooms from the highest down, then handles. */
#ifndef SN_FRONTEND_TENSOR_THREAD_H
#define SN_FRONTEND_TENSOR_THREAD_H

#include "base/slots.h"
#include "base/status.h"
#include "base/thread/thread_exit.h"
#include "base/vec.h"
#include "frontend/tensor/recorder.h"

#include <sinter/compile.h>
#include <sinter/error.h>

/* Rooms that keep something for a thread, lowest first. */
typedef enum ThreadRoom {
    ROOM_TENSOR,   /* handles that scopes hold, and dead ones */
    ROOM_OP,       /* plans of eager ops */
    ROOM_TRACE,    /* memory of the last trace, for the next one */
    ROOM_COMPILED, /* entries that were found last */
    THREAD_ROOMS
} ThreadRoom;

typedef struct ThreadState {
    VEC(sn_tensor *) held; /* handles of all open scopes, in order; NULL where one was moved out */
    uint32_t depth;        /* open scopes */
    sn_error error;        /* the pending error; its text has no line in front */
    bool refused;          /* that is why nothing runs on this thread: it stays */
    Recorder *recorder;    /* what ops go to; NULL: they run at once */
    sn_stance stance;      /* sn_set_thread_stance */
    SlotQueue dead;        /* handles, for reuse */
    struct {
        void *data;                              /* the room's; NULL: nothing */
        void (*end)(void *data);                 /* frees it when the thread ends */
    } rooms[THREAD_ROOMS];                       /* by ThreadRoom */
    char error_text[sizeof((sn_error){0}.text)]; /* what sn_error_text gave last */
    ThreadExit exit;                             /* ends all this */
} ThreadState;

/* The thread's state, from its first call on: one load, also in a library that was loaded late. */
extern _Thread_local ThreadState *thread_own __attribute__((tls_model("initial-exec")));
/* Sets it, and sees to it that what the thread keeps is freed when it ends. */
ThreadState *thread_begin(void) __attribute__((cold));
/* Puts the pending error aside: what follows does not fail for it. */
static inline sn_error error_put_aside(ThreadState *state) {
    sn_error pending = state->error;
    if (!state->refused) state->error = (sn_error){0};
    return pending;
}
/* The same for the life of the thread. */
static inline ThreadState *thread_state(void) {
    return thread_own ? thread_own : thread_begin();
}

/* What a room keeps for the calling thread; NULL: nothing. */
static inline void *thread_room(ThreadRoom room) {
    return thread_state()->rooms[room].data;
}
/* Keeps `data` there, in place of what is there (which is the room's to free). */
void thread_keep(ThreadRoom room, void *data, void (*end)(void *data));

/* ---- errors ---------------------------------------------------------------------------------- */

/* Records `error` as of the caller's line, which its text does not name, unless one is pending. Returns
 * NULL. */
void *error_raise_from(const sn_error *error, Site site);
void *error_raise(sn_status status, Site site, const char *format, ...) SN_PRINTF(3, 4)
    __attribute__((cold));
/* The same for who returns a bool: false. */
bool error_refuse(sn_status status, Site site, const char *format, ...) SN_PRINTF(3, 4)
    __attribute__((cold));
/* sn_error_take for who raises it again: the text has no line in front. */
sn_status error_take(sn_error *error);
/* For who does the program's call by others: the pending error, which is of this call, gets its line where it
 * has none, and its name in place of `op`, that of the op which noticed it (NULL: as it is). Returns NULL. */
void *error_of_call(Site site, const char *op, const char *name) __attribute__((cold));
static inline bool error_pending(const ThreadState *state) {
    return state->error.status != SN_OK;
}

/* Raises that no scope is open. False. */
bool scope_refuse(Site site) __attribute__((cold));
/* Is a scope open? Raises. */
static inline bool scope_check(Site site) {
    return thread_state()->depth > 0 || scope_refuse(site);
}

/* ---- the recorder ---------------------------------------------------------------------------- */

/* Tell the thread's recorder, if there is one; see RecorderTable. */
static inline void record_look(const sn_tensor *tensor) {
    Recorder *recorder = thread_state()->recorder;
    if (recorder) recorder->table->look(recorder, tensor);
}
static inline void record_keep(const sn_tensor *tensor, int32_t references) {
    Recorder *recorder = thread_state()->recorder;
    if (recorder) recorder->table->keep(recorder, tensor, references);
}
static inline bool record_read(const sn_tensor *tensor, bool writes, const char *op, Site site) {
    Recorder *recorder = thread_state()->recorder;
    return !recorder || recorder->table->read(recorder, tensor, writes, op, site);
}

#endif
