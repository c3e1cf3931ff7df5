/* Running this test program again as a process of its own, which may be killed: start with other
 * settings, a report back through a pipe, and what a process can tell about itself. */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A process that runs; `report` is closed by child_finish. */
typedef struct Child {
    pid_t pid;  /* the process; 0 = none */
    int report; /* where its report arrives */
} Child;

/* ---- in the parent --------------------------------------------------------------------------- */

/* Runs this program with these arguments, and these environment variables changed ("NAME=value"); both
 * lists end with NULL. False when it cannot be started. */
bool child_start(Child *child, const char *const *arguments, const char *const *settings);
/* Waits for its end. True when it exited with 0 after a whole report of `size` bytes; false with
 * *killed when SIGKILL ended it. Any other end prints why. */
bool child_finish(Child *child, void *report, size_t size, bool *killed);

/* ---- in the child ---------------------------------------------------------------------------- */

/* Sends the report to the parent; false when nobody listens. */
bool child_report(const void *report, size_t size);
/* File descriptors that are open. */
int open_descriptors(void);
/* Is a library whose file name contains `name` mapped? */
bool is_mapped(const char *name);

/* ---- random numbers -------------------------------------------------------------------------- */

/* The next number of a sequence (xorshift); the state is never 0. */
unsigned random_next(unsigned *state);

#endif
