/* Why a function was compiled, each time: what explanations tell. */
#ifndef SN_FRONTEND_COMPILED_COMPILES_H
#define SN_FRONTEND_COMPILED_COMPILES_H

#include "base/thread/lock.h"
#include "base/vec.h"
#include "frontend/graphs/instance.h"

/* What came of a recorded graph that no compiled one served. */
typedef enum CompileKind {
    COMPILE_OWN,     /* a graph for its own sizes */
    COMPILE_GENERAL, /* one for others too */
    COMPILE_NODES,   /* it runs node by node */
    COMPILE_REFUSED, /* an error, by the program's policy */
    COMPILE_KINDS
} CompileKind;

/* Texts have labels of arguments in them (labels.h). */
typedef struct CompileEvent {
    CompileKind kind; /* what came of it */
    bool background;  /* on the library's thread */
    char *cause;      /* what was new in the call; NULL: it is not known */
    char *
        reason; /* why what there was did not serve, or why it is not compiled; NULL: no more to say */
    BuildTimes times; /* of it */
    uint32_t ops;     /* recorded */
    uint32_t steps;   /* kernels */
} CompileEvent;

enum { COMPILES_KEPT = 64 };

typedef struct CompileLog {
    Lock *lock;               /* of what follows */
    VEC(CompileEvent) events; /* the latest ones, oldest first */
    int64_t count;            /* of all */
} CompileLog;

/* Takes over the texts. Where memory is out it is lost. */
void compiles_add(CompileLog *log, CompileEvent event);
/* The words of a kind: "compiled for its own sizes". */
const char *compile_kind_text(CompileKind kind);
typedef void CompileSeen(void *context, int64_t number, const CompileEvent *event);
/* Shows the events that are kept, oldest first, by their number from 1, under the lock. Returns how
 * many there were in all. */
int64_t compiles_each(CompileLog *log, CompileSeen *seen, void *context);
void compiles_close(CompileLog *log);

#endif
