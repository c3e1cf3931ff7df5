/* Work for a thread of the library's own, while the program goes on. */
#ifndef SN_FRONTEND_GRAPHS_BACKGROUND_H
#define SN_FRONTEND_GRAPHS_BACKGROUND_H

#include <stdbool.h>

typedef void BackgroundJob(void *context);
/* Runs the job on a thread of its own, one job after the other; false when there can be none. */
bool background_run(BackgroundJob *job, void *context);

#endif
