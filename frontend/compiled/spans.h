/* Spans of time that a thread notes while it keeps a timeline (sn_timeline_begin). */
#ifndef SN_FRONTEND_COMPILED_SPANS_H
#define SN_FRONTEND_COMPILED_SPANS_H

#include <stdint.h>

/* Nanoseconds now, where this thread keeps a timeline; else 0. */
int64_t timeline_now(void);
/* Adds what began at `begin_ns` (0: nothing) and ends now. `what` is static: "call", "trace"…; the name is
 * copied. */
void timeline_add(const char *what, const char *name, int64_t begin_ns);

#endif
