/* What has to come before all else at the end of the process. */
#ifndef SN_BASE_THREAD_PROCESS_EXIT_H
#define SN_BASE_THREAD_PROCESS_EXIT_H

/* Has `run` called when the process ends by exit() or a return from main: as atexit does and, asked for by
 * the main thread, once more when that thread ends, which is before anything is called that atexit or a
 * library's destructor asked for, however late. So `run` can be called twice. */
void process_before_exit(void (*run)(void));

#endif
