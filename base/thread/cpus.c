/* CPUs of the process; see cpus.h. */
#include "base/thread/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS "/sys/fs/cgroup" /* where the unified hierarchy is mounted */

enum {
    CPUS_FIRST = 1024,     /* that a set has room for at the first try */
    CPUS_MOST = 1 << 20,   /* and at the last */
    PATH_BYTES = 4096 + 32 /* of a file of a group */
};

static int32_t cpus_of_affinity(void) {
    for (int most = CPUS_FIRST; most <= CPUS_MOST; most *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        size_t bytes = CPU_ALLOC_SIZE((size_t)most);
        if (!set) return 1;
        bool known = sched_getaffinity(0, bytes, set) == 0;
        bool small = !known && errno == EINVAL;
        int32_t count = known ? CPU_COUNT_S(bytes, set) : 1;
        CPU_FREE(set);
        if (!small) return count < 1 ? 1 : count;
    }
    return 1;
}

int32_t cpus_of_quota(const char *text) {
    char *end;
    long long quota = strtoll(text, &end, 10);
    if (end == text || quota <= 0) return INT32_MAX; /* "max" */
    long long period = strtoll(end, NULL, 10);
    if (period <= 0) return INT32_MAX;
    long long cpus = quota / period + (quota % period != 0);
    return cpus < INT32_MAX ? (int32_t)cpus : INT32_MAX;
}

/* The beginning of a file, as text; "" where there is none. */
static void read_text(const char *path, char *text, size_t bytes) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, bytes - 1);
    if (file >= 0) close(file);
    text[got > 0 ? got : 0] = 0;
}

/* The least quota of the process's group and those around it. */
static int32_t cpus_of_groups(void) {
    char groups[PATH_BYTES], path[sizeof GROUPS + PATH_BYTES + sizeof "/cpu.max"], quota[64];
    read_text("/proc/self/cgroup", groups, sizeof groups);
    char *group = strstr(groups, "0::/"); /* the line of the unified hierarchy */
    if (!group) return INT32_MAX;
    group += strlen("0::");
    group[strcspn(group, "\n")] = 0;
    int32_t least = INT32_MAX;
    for (;;) {
        snprintf(path, sizeof path, "%s%s/cpu.max", GROUPS, group);
        read_text(path, quota, sizeof quota);
        int32_t cpus = cpus_of_quota(quota);
        if (cpus < least) least = cpus;
        char *parent = strrchr(group, '/');
        if (!parent) return least;
        *parent = 0;
    }
}

int32_t cpus_available(void) {
    int32_t affinity = cpus_of_affinity(), groups = cpus_of_groups();
    return groups < affinity ? groups : affinity;
}
