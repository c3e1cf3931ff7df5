/* Functions of the program that the library calls in the midst of its own work: the log's sink, `release`
 * of borrowed memory, `destroy` of a payload, progress. They may use the library as if nothing were under
 * way: what the thread was doing is put aside meanwhile, by the layer that knows of it. */
#ifndef SN_BASE_THREAD_PROGRAM_H
#define SN_BASE_THREAD_PROGRAM_H

#include <sinter/error.h>

/* What was put aside for one call. */
typedef struct ProgramCall {
    void *work;     /* what the thread was doing; NULL: nothing */
    sn_error error; /* the error that was pending; one that the function leaves is dropped */
} ProgramCall;

/* Around each such call, under no lock and in no flight. */
void program_enter(ProgramCall *call);
void program_leave(ProgramCall *call);

/* Who puts aside, and takes up again; set when the library is loaded. */
void program_hooks(void (*put_aside)(ProgramCall *call), void (*take_up)(ProgramCall *call));

#endif
