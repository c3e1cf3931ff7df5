/* The object of a thread; see thread.h. */
#include "base/thread.h"

_Thread_local BaseThread base_thread;
