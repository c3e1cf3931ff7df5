/* How many CPUs this process may keep busy. */
#ifndef SN_BASE_THREAD_CPUS_H
#define SN_BASE_THREAD_CPUS_H

#include <stdint.h>

/* CPUs that this thread may run on, but no more than the control groups of the process give it time
 * for; ≥ 1. */
int32_t cpus_available(void);
/* The whole CPUs that a quota of time amounts to, rounded up; `text` is as in a group's cpu.max: "max 100000"
 * or "150000 100000" (microseconds, and of how many). INT32_MAX: no limit, or no such text. */
int32_t cpus_of_quota(const char *text);

#endif
