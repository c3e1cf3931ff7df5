/* Calls of the program from within; see program.h. */
#include "base/thread/program.h"

#include "base/assert.h"
#include "base/thread/lock.h"

#include <stddef.h>

static void (*put_work_aside)(ProgramCall *call);
static void (*take_work_up)(ProgramCall *call);

void program_hooks(void (*put_aside)(ProgramCall *call), void (*take_up)(ProgramCall *call)) {
    put_work_aside = put_aside;
    take_work_up = take_up;
}

void program_enter(ProgramCall *call) {
    SN_ASSERT(may_call_program());
    *call = (ProgramCall){0};
    if (put_work_aside) put_work_aside(call);
}

void program_leave(ProgramCall *call) {
    if (take_work_up) take_work_up(call);
}
