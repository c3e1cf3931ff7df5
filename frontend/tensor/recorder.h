/* Who records what a thread does. Ops of a thread without a recorder run at once; with one, ops, looks at
 * handles and reads of values go through its table of functions. A trace is a recorder; proxies are
 * handles that it made, whose values it alone knows. */
#ifndef SN_FRONTEND_TENSOR_RECORDER_H
#define SN_FRONTEND_TENSOR_RECORDER_H

#include "ir/graph/graph.h"

#include <sinter/binding.h>
#include <sinter/random.h>
#include <sinter/scope.h>
#include <sinter/tensor.h>

typedef struct Recorder Recorder;

/* One call of an op of the table. */
typedef struct OpCall {
    OpCode op;        /* what is called; OP_CLONE in place: copy_ */
    int32_t n_inputs; /* how many operands */
    sn_tensor *const
        *inputs; /* in signature order, without the generator; in place, 0 is the target */
    const AttrList *attrs; /* as given */
    sn_rng *generator;     /* of a random op, else NULL */
    Site site;             /* the caller's line */
} OpCall;

/* What becomes of ops: of a recorder, or, without one (NULL), of a thread that runs them at once. */
typedef struct OpTable {
    /* The result of an op that is no view; NULL with the error raised. */
    sn_tensor *(*op)(Recorder *recorder, const OpCall *call);
    /* The same of a view op. */
    sn_tensor *(*view)(Recorder *recorder, const OpCall *call);
    /* inputs[0] = op(inputs…), converted to its dtype; inputs[0], or NULL with the error raised. */
    sn_tensor *(*inplace)(Recorder *recorder, const OpCall *call);
} OpTable;

typedef struct RecorderTable {
    OpTable ops; /* what it does with ops */
    /* The program looks at a handle: its shape, its elements, a scalar's value. */
    void (*look)(Recorder *recorder, const sn_tensor *tensor);
    /* It retained (1) or released (-1) a handle. */
    void (*keep)(Recorder *recorder, const sn_tensor *tensor, int32_t references);
    /* It is about to read a tensor's memory, or to write to it: what was recorded for that memory runs;
     * a proxy turns real. False with the error raised. */
    bool (*read)(Recorder *recorder, const sn_tensor *tensor, bool writes, const char *op,
                 Site site);
    /* It calls a compiled function. Outputs receive handles of the current scope, or references that are
     * the caller's (`owned`). Errors are raised. */
    sn_status (*call)(Recorder *recorder, sn_compiled *callee, const sn_value *values,
                      sn_tensor **outputs, bool owned);
    /* The program jumped out of what is recorded: ends the recorder, and pops it from the thread. */
    void (*abandon)(Recorder *recorder);
} RecorderTable;

struct Recorder {
    const RecorderTable *table; /* what it does */
    Recorder *outer;            /* the recorder that was the thread's before */
    sn_scope scope;             /* the scope around what is recorded */
    sn_tensor *live;            /* its proxies that are still referenced, the newest first */
};

/* Does the thread still record into it, or into one within? A function may unwind past itself (sn_unwind)
 * and return: its recorder is gone then, and nothing but its address may be used. */
bool recorder_is_open(const Recorder *recorder);

#endif
