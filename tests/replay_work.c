/* Processes and files of process replay; see replay_work.h. */
#include "replay_work.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_JOBS = 64, ITEM_SECONDS = 300, PATH_BYTES = 1024 };

/* A file that is being written, in memory that its process shares with the parent. */
typedef struct Slot {
    pid_t child;         /* 0 = free */
    int32_t file;        /* which */
    _Atomic int32_t now; /* item the child is at */
} Slot;

void replay_title(FILE *out, const char *item, const char *stage) {
    fprintf(out, "==== %s: %s\n", item, stage);
}

char *replay_read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    size_t capacity = 1 << 16, used = 0;
    char *text = malloc(capacity);
    while (text) {
        used += fread(text + used, 1, capacity - used - 1, file);
        if (used < capacity - 1) break;
        char *larger = realloc(text, capacity *= 2);
        if (!larger) free(text);
        text = larger;
    }
    if (text) text[used] = 0;
    fclose(file);
    return text;
}

static FILE *open_file(const ReplayWork *work, int32_t file, const char *mode) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%04d.txt", work->folder, (int)file);
    FILE *out = fopen(path, mode);
    if (!out) fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    return out;
}

/* The child: items of its file from `now` on. */
static int write_items(const ReplayWork *work, Slot *slot, const char *mode) {
    FILE *out = open_file(work, slot->file, mode);
    if (!out) return 1;
    int32_t end = (slot->file + 1) * work->per_file;
    if (end > work->count) end = work->count;
    for (int32_t i = slot->now; i < end; slot->now = ++i) {
        alarm(ITEM_SECONDS);
        work->item(i, out, work->context);
        fflush(out);
    }
    return fclose(out) == 0 ? 0 : 1;
}

static void start(const ReplayWork *work, Slot *slot, const char *mode) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(write_items(work, slot, mode));
    if (child < 0) perror("replay: fork");
    slot->child = child; /* by the parent alone: the memory is shared */
}

/* The child ended: after a crash, says so in its file and goes on behind the item. */
static int finish(const ReplayWork *work, Slot *slot, int status) {
    slot->child = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 1) return WEXITSTATUS(status);
    FILE *out = open_file(work, slot->file, "a");
    if (!out) return 1;
    if (WIFSIGNALED(status))
        fprintf(out, "\n==== item %d: ended by signal %d\n", (int)slot->now, WTERMSIG(status));
    else
        fprintf(out, "\n==== item %d: ended the process\n", (int)slot->now);
    fclose(out);
    slot->now++;
    start(work, slot, "a");
    return slot->child < 0;
}

/* Waits for a child. */
static int wait_for_one(const ReplayWork *work, Slot *slots, int32_t jobs) {
    int status = 0;
    pid_t child = waitpid(-1, &status, 0);
    if (child < 0) return errno != EINTR;
    for (int32_t i = 0; i < jobs; i++)
        if (slots[i].child == child) return finish(work, &slots[i], status);
    return 0;
}

static Slot *free_slot(Slot *slots, int32_t jobs) {
    for (int32_t i = 0; i < jobs; i++)
        if (slots[i].child <= 0) return &slots[i];
    return NULL;
}

static bool all_free(const Slot *slots, int32_t jobs) {
    for (int32_t i = 0; i < jobs; i++)
        if (slots[i].child > 0) return false;
    return true;
}

int replay_work(const ReplayWork *work) {
    int32_t jobs = work->jobs < 1 ? 1 : work->jobs > MOST_JOBS ? MOST_JOBS : work->jobs;
    int32_t files = (work->count + work->per_file - 1) / work->per_file, failed = 0;
    Slot *slots = mmap(NULL, sizeof(Slot) * MOST_JOBS, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) return perror("replay: mmap"), 1;
    for (int32_t file = 0; file < files && !failed; file += work->every) {
        Slot *slot;
        while (!(slot = free_slot(slots, jobs))) failed |= wait_for_one(work, slots, jobs);
        slot->file = file;
        slot->now = file * work->per_file;
        start(work, slot, "w");
        failed |= slot->child < 0;
    }
    while (!all_free(slots, jobs)) failed |= wait_for_one(work, slots, jobs);
    munmap(slots, sizeof(Slot) * MOST_JOBS);
    return failed;
}
