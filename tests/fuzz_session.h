/* A random program as a compiled function, and calls of it: arguments in the order of the signature,
 * C state that it reaches by itself, what the log says about graphs that were run node by node. */
#ifndef SN_TESTS_FUZZ_SESSION_H
#define SN_TESTS_FUZZ_SESSION_H

#include "tests/fuzz_seen.h"

/* A program with its compiled function. */
typedef struct FuzzSession {
    const FuzzProgram *program;            /* whose steps the function runs */
    const char *plant;                     /* a bug in it, or NULL */
    sn_compiled *compiled;                 /* the function */
    sn_compiled *outer;                    /* one that calls it; NULL where there is none */
    sn_tensor *captured[FUZZ_MOST_INPUTS]; /* of the call: tensors that are not passed */
    double declared[FUZZ_MOST_SCALARS];    /* of the call: declared memory */
    FuzzState state;                       /* what its exchanges keep */
} FuzzSession;

/* Compiles nothing yet; with `nested`, makes `outer` too. False with *error. */
bool session_begin(FuzzSession *session, const FuzzProgram *program, const char *plant, bool nested,
                   sn_error *error);
void session_end(FuzzSession *session);
/* Calls it (through `outer`) with the arguments of `program`, which has the session's steps; blocks
 * begin `shift` elements late. `seen` takes in what the call leaves. */
FuzzVerdict session_call(FuzzSession *session, const FuzzProgram *program, int64_t shift,
                         bool through, Seen *seen);

/* Graphs that were run node by node, in this process. */
typedef struct FuzzFallbacks {
    int64_t overlaps; /* for a write to memory that is shared or named twice */
    int64_t others;   /* for other reasons */
    char text[200];   /* the last of the others */
} FuzzFallbacks;
extern FuzzFallbacks session_fallbacks;

#endif
