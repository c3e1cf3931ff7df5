/* The tracer: a recorder that puts ops on proxies into a graph. Values are SSA nodes; tensors that share
 * storage share a root, whose current node is replaced by every write, and a view remembers how it derives
 * from its parent, so that it can be derived anew from the root after a write. */
#ifndef SN_FRONTEND_TRACE_TRACE_H
#define SN_FRONTEND_TRACE_TRACE_H

#include "base/spans.h"
#include "frontend/tensor/tensor.h"
#include "runtime/executable.h"

/* Which argument of the function a graph input is: the number of a tensor, which is ≥ 0, that of a
 * generator as generator_source gives it, or SOURCE_CAPTURED where the function reached it by itself. */
enum { SOURCE_CAPTURED = INT32_MIN };
/* From the number of a generator argument to the source, and back. */
static inline int32_t generator_source(int32_t number) {
    return -1 - number;
}

/* What a graph input stands for. */
typedef struct TraceInput {
    int32_t source; /* which argument it is */
    sn_tensor *
        tensor; /* the real tensor, of which a reference is held; NULL: it is a generator's state */
    sn_rng *generator; /* the program's, or NULL */
    int64_t before;    /* of a generator: the input that is the generator before it; -1: none */
    int64_t drawn;     /* from the generator: numbers so far */
    sn_rng state; /* of a captured generator, which advances with each draw: what it was; it may be
                        * gone when the graph runs */
} TraceInput;

/* Storage as the trace sees it. */
typedef struct TraceRoot {
    NodeId node;      /* its current content */
    uint32_t version; /* writes so far */
    int32_t input;    /* graph input whose memory it is; -1 = made in the trace */
    int32_t output;   /* result of the graph that holds it; -1: none; see trace_declare_results */
} TraceRoot;

/* A way of looking at a root. */
typedef struct TraceView {
    uint32_t root;    /* its storage */
    int32_t parent;   /* the view it was made from; -1 = the root itself */
    bool repeats;     /* it, or one it was made through, names elements more than once */
    uint16_t op;      /* view op */
    uint32_t attrs;   /* its attribute words, in Trace.words */
    uint32_t n_attrs; /* how many */
    NodeId node;      /* its value … */
    uint32_t version; /* … at this version of the root */
} TraceView;

typedef struct Trace Trace;

/* What a trace needs of who makes it. `context` is what trace_new was given. */
typedef struct TraceOwner {
    /* What runs the graph that the trace holds now: a reference to an executable, or NULL to run it
     * node by node, of which the owner makes a note. A failure has the error set. */
    sn_status (*build)(void *context, const Trace *trace, Executable **out, sn_error *error);
    /* Ops will run at once from here on, since `reason`, a static text. */
    void (*fallback)(void *context, const char *reason);
    /* The function calls another compiled one, which is to be recorded with it: see RecorderTable. */
    sn_status (*call)(Trace *trace, sn_compiled *callee, const sn_value *values,
                      sn_tensor **outputs, bool owned);
    /* The program jumped out of the function: the call ends here. */
    void (*abandon)(void *context);
} TraceOwner;

/* Something to be done when the trace ends, whichever way it does. */
typedef struct TraceCleanup {
    void (*run)(void *what); /* frees it or lets go of it */
    void *what;              /* handed to run */
} TraceCleanup;

struct Trace {
    Recorder recorder;         /* first, so that it is the trace */
    const TraceOwner *owner;   /* who made it */
    void *context;             /* handed to owner's functions */
    sn_rng *const *generators; /* arguments of the call that are generators … */
    int32_t n_generators;      /* … and their number; others are captured */
    Graph graph;               /* what was recorded since the last flush */
    VEC(TraceRoot) roots;      /* storages */
    VEC(TraceView) views;      /* views; a proxy's record is an index here */
    VEC(int64_t) words;        /* attributes of views */
    VEC(TraceInput) inputs;    /* graph inputs */
    Map known; /* hash of a real tensor that is an input → the view that is all of it */
    int64_t latest_generator;   /* the latest input that is a generator; -1: none */
    Spans memory;               /* of inputs that are tensors, by number, of the first … */
    uint32_t n_memory;          /* … so many inputs: the others are added when it is looked at */
    Spans written;              /* memory of inputs that were written, by number */
    VEC(uint32_t) path;         /* views to be derived; see trace_view_node */
    VEC(TraceCleanup) cleanups; /* what ends with it, in reverse order */
    NodeId latest_check;        /* the latest op that can fail on data; 0 = none so far */
    bool fullgraph;             /* a host read is an error */
    bool ended;                 /* recording has ended: ops run at once */
    bool failed;                /* a flush failed: its error is the first in program order */
    bool strided;       /* what was recorded depends on strides: another layout, another graph */
    bool impure;        /* captures, host reads, escapes: the function must be run every call */
    int32_t host_reads; /* flushes so far */
    int32_t ops;        /* ops recorded, over all segments */
    int32_t kept;       /* references to scalars made in it that the program holds */
    Site read_site;     /* of the first host read */
};

/* A recorder that is a trace, as the trace. */
static inline Trace *trace_of(Recorder *recorder) {
    return (Trace *)(void *)recorder;
}

/* ---- traces, their roots and proxies (frontend/trace/trace.c) -------------------------------- */

/* A trace in memory of its own, so that it outlives a jump out of the function. NULL when out of
 * memory. `name` is not copied. */
Trace *trace_new(const TraceOwner *owner, void *context, const char *name);
/* Frees it with all that it holds; proxies that are left have no value from here on. */
void trace_free(Trace *trace);
/* Empties it: nothing recorded, no inputs. */
void trace_clear(Trace *trace);
/* Has this done at the trace's end, in reverse order. False when out of memory: then it is not. */
bool trace_at_end(Trace *trace, void (*run)(void *), void *what);
/* Frees the block, which may be NULL, at the trace's end; at once, and returns false, when out of
 * memory. */
bool trace_owns(Trace *trace, void *block);
/* From here on ops run at once, though the function goes on; there are no live proxies. */
void trace_end(Trace *trace);
/* RecorderTable.call: the owner's. */
sn_status trace_call(Recorder *recorder, sn_compiled *callee, const sn_value *values,
                     sn_tensor **outputs, bool owned);
/* RecorderTable.abandon: it is left and freed, without running what was recorded. */
void trace_abandon(Recorder *recorder);

/* A root and the view that is all of it; the view's index, or -1 when out of memory. */
int64_t trace_new_root(Trace *trace, NodeId node, int32_t input);
/* The attributes of a view's op. */
static inline AttrView trace_view_attrs(const Trace *trace, const TraceView *view) {
    return (AttrView){(OpCode)view->op, (int32_t)view->n_attrs, trace->words.data + view->attrs};
}
/* A proxy; NULL with the error raised. strides NULL: dense. */
sn_tensor *trace_proxy(Trace *trace, const TensorType *type, uint32_t record,
                       const int64_t *strides, int64_t offset, Site site);
/* Is it the function's own handle, made while it is traced? */
bool trace_made_here(const Trace *trace, const sn_tensor *x);

/* ---- as the thread's recorder (frontend/trace/recorder.c) ------------------------------------ */

/* Makes it the thread's recorder, inside a scope of its own. */
void trace_enter(Trace *trace);
/* Ends scope and recording of trace_enter. */
void trace_leave(Trace *trace);

/* ---- inputs (frontend/trace/inputs.c) -------------------------------------------------------- */

/* A proxy for tensor argument `number`; the same proxy root for one that is exactly the same memory. NULL
 * with the error raised. */
sn_tensor *trace_argument(Trace *trace, sn_tensor *real, int32_t number);
/* The value of a tensor that the function reached by itself. NODE_NONE with the error raised. */
NodeId trace_capture(Trace *trace, sn_tensor *real, Site site);
/* The same as the row of the table of views that is all of it; -1 with the error raised. */
int64_t trace_capture_record(Trace *trace, sn_tensor *real, Site site);
/* The graph input of a generator, by number; -1 when out of memory. */
int64_t trace_generator(Trace *trace, sn_rng *generator);
/* So many numbers were drawn from generator input `number`. */
void trace_draw(Trace *trace, int64_t number, int64_t count);

/* ---- memory of inputs (frontend/trace/memory.c) ---------------------------------------------- */

/* The view of a real tensor that is an input of the graph already, or -1. */
int64_t trace_known_input(const Trace *trace, const sn_tensor *real);
/* Notes that the view is all of input `real`. False when out of memory. */
bool trace_note_input(Trace *trace, const sn_tensor *real, uint32_t view);
/* Takes that back. */
void trace_forget_input(Trace *trace, const sn_tensor *real, uint32_t view);
/* Does an input, other than number `but`, share bytes with the tensor? Also when out of memory. */
bool trace_input_overlaps(Trace *trace, const sn_tensor *tensor, uint32_t but);
/* The same of an input that was written; one that is the same tensor does not count with `parts`. */
bool trace_written_overlaps(const Trace *trace, const sn_tensor *tensor, bool parts);
/* Notes that an input was written. False when out of memory. */
bool trace_note_written(Trace *trace, int32_t input);

/* ---- values (frontend/trace/values.c) -------------------------------------------------------- */

/* The value of view `record`: what was recorded, or, after a write to its root, derived anew. NODE_NONE
 * with the error set. */
NodeId trace_view_node(Trace *trace, uint32_t record, Site site, sn_error *error);
/* The value of a handle. NODE_NONE with the error raised, or where it is SN_NONE. */
NodeId trace_node(Trace *trace, sn_tensor *tensor, Site site);
/* A scalar as a constant of this dtype. NODE_NONE with the error raised. */
NodeId trace_scalar(Trace *trace, const sn_tensor *scalar, sn_dtype dtype, Site site);
/* The row of the table of views that an operand has; a captured or weak one gets one. -1 with the error
 * raised. */
int64_t trace_record_of(Trace *trace, sn_tensor *x, Site site);

/* ---- recording (frontend/trace/record.c, frontend/trace/write.c) ----------------------------- */

/* The node of an op; NODE_NONE with the error raised. */
NodeId trace_emit(Trace *trace, const OpCall *call);
/* OpTable.op, .view, .inplace. */
sn_tensor *trace_op(Recorder *recorder, const OpCall *call);
sn_tensor *trace_view(Recorder *recorder, const OpCall *call);
sn_tensor *trace_inplace(Recorder *recorder, const OpCall *call);

/* ---- running what was recorded (frontend/trace/flush.c) -------------------------------------- */

/* Declares the trace's results in its graph: the roots of live proxies, which are noted with the roots,
 * then written inputs. False with the error set. */
bool trace_declare_results(Trace *trace, sn_error *error);
/* Runs the executable, or the graph node by node where that is NULL, on the trace's inputs, commits writes
 * and generators, and turns live proxies real. */
sn_status trace_run(Trace *trace, const Executable *executable, sn_error *error);
/* What was recorded does not run: generators that the function reached are as they were before it drew. */
void trace_take_back_draws(Trace *trace);
/* An op was refused while recording, and the thread's error says so. If one before it fails on its data,
 * eager would have stopped there: what was recorded runs node by node, writing nothing, and the error that
 * comes of it takes the place of the other. */
void trace_check_data(Trace *trace);

/* Runs what was recorded and turns every live proxy into a real tensor. False with the error raised. */
bool trace_flush(Trace *trace, Site site);
/* A value is needed on the host: the same, counted; an error in a full-graph function. */
bool trace_host_read(Trace *trace, const char *op, Site site);
/* In front of an op: the same where one of the operands would miss a recorded write to memory that it
 * shares in part. */
bool trace_flush_writes(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site);
/* Behind an op: the same where an operand is memory that the function itself borrowed, from its own frame
 * perhaps. */
bool trace_flush_borrowed(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site);

#endif
