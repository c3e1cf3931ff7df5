/* Processes of the tests; see child.h. */
#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_FD = 9, MOST_ARGUMENTS = 15 };

/* ---- in the parent --------------------------------------------------------------------------- */

/* Becomes the program; never returns. */
static void become(const char *const *arguments, const char *const *settings, int report) {
    char *argv[MOST_ARGUMENTS + 2] = {0};
    argv[0] = (char *)(uintptr_t) "child";
    for (int i = 0; arguments[i] && i < MOST_ARGUMENTS; i++)
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    for (; *settings; settings++) putenv((char *)(uintptr_t)*settings);
    if (report == REPORT_FD)
        fcntl(report, F_SETFD, 0);
    else
        dup2(report, REPORT_FD);
    execv("/proc/self/exe", argv);
    _exit(127);
}

bool child_start(Child *child, const char *const *arguments, const char *const *settings) {
    int ends[2];
    *child = (Child){0, -1};
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) become(arguments, settings, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return false;
    }
    *child = (Child){pid, ends[0]};
    return true;
}

static size_t read_report(int fd, char *report, size_t size) {
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, report + used, size - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += (size_t)got;
    }
    return used;
}

bool child_finish(Child *child, void *report, size_t size, bool *killed) {
    int status = 0;
    bool whole = read_report(child->report, report, size) == size;
    close(child->report);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    *child = (Child){0, -1};
    *killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!fine && !*killed)
        fprintf(stderr, "child ended with %s %d\n", WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return fine && whole;
}

/* ---- in the child ---------------------------------------------------------------------------- */

bool child_report(const void *report, size_t size) {
    return write(REPORT_FD, report, size) == (ssize_t)size;
}

int open_descriptors(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) return -1;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

bool is_mapped(const char *name) {
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps)) found = strstr(line, name) != NULL;
    if (maps) fclose(maps);
    return found;
}

/* ---- random numbers -------------------------------------------------------------------------- */

unsigned random_next(unsigned *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}
