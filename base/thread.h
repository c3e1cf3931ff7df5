/* What base and what stands on it keep of a thread, in one object: each thread-local object of its own
 * would take room in the static block, of which a library that is loaded late gets little. */
#ifndef SN_BASE_THREAD_H
#define SN_BASE_THREAD_H

#include "base/thread/lock.h"
#include "base/thread/log.h"

#include <stdint.h>

typedef struct BaseThread {
    int64_t failed_allocations; /* by this thread (base/mem.c) */
    int32_t threads; /* of its regions, 0: as many as everyone's (base/thread/parallel.c) */
    bool in_region;  /* it runs a share of a parallel region (base/thread/parallel.c) */
    LogKept log;     /* lines that wait (base/thread/log.c) */
    struct Observer *observers; /* who watches its runs (runtime/observe.h) */
    struct DeepCall *deep;      /* what it runs on a stack of the library's (base/thread/deep.c) */
    int32_t stays;    /* reasons for which it must not be cancelled (base/thread/lock.c) … */
    int cancel_state; /* … and whether it may be without them */
#ifndef NDEBUG
    HeldLocks held; /* in debug builds: what it holds (base/thread/lock.c) */
#endif
} BaseThread;

extern _Thread_local BaseThread base_thread;

#endif
