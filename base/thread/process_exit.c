/* The end of the process; see process_exit.h. */
#include "base/thread/process_exit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* By this the C library learns of C++'s destructors of thread-local objects; exit() runs those of its thread
 * before all else. Not every C library has it. */
int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library)
    __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

static void call(void *object) {
    void (*const *run)(void) = object;
    (*run)();
    free(object);
}

static bool is_main_thread(void) {
    return (pid_t)syscall(SYS_gettid) == getpid();
}

void process_before_exit(void (*run)(void)) {
    atexit(run);
    if (!__cxa_thread_atexit_impl || !is_main_thread()) return;
    void (**object)(void) = malloc(sizeof *object); /* a function is no object */
    if (!object) return;
    *object = run;
    __cxa_thread_atexit_impl(call, object, (void *)&__dso_handle);
}
