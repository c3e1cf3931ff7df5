/* The tracer: records ops on proxies in a graph. Values are SSA nodes; tensors that share storage
 * share a root, whose current node is replaced by every write, and a view remembers how it derives
 * from its parent, so that it can be derived anew from the root after a write. */
#ifndef SN_FRONTEND_TRACE_H
#define SN_FRONTEND_TRACE_H

#include "frontend/tensor/tensor.h"
#include "runtime/executable.h"

#include <sinter/compile.h>

/* What a graph input stands for. */
typedef enum TraceInputKind {
    INPUT_ARGUMENT, /* an argument of the function */
    INPUT_CAPTURE,  /* a tensor that the function reached by itself */
    INPUT_GENERATOR /* a random generator's state */
} TraceInputKind;

typedef struct TraceInput {
    uint8_t kind;      /* TraceInputKind */
    sn_tensor *tensor; /* ARGUMENT, CAPTURE: the real tensor; a reference is held */
    sn_rng *generator; /* GENERATOR: the program's */
    int64_t drawn;     /* GENERATOR: numbers drawn so far */
    bool captured;     /* GENERATOR: it is no argument, and advances with each draw … */
    sn_rng state;      /* … and this is what it was; it may be gone when the graph runs */
    int32_t argument;  /* ARGUMENT: number of the tensor argument; else -1 */
} TraceInput;

/* Storage as the trace sees it. */
typedef struct TraceRoot {
    NodeId node;      /* its current content */
    uint32_t version; /* writes so far */
    int32_t input;    /* graph input whose memory it is; -1 = made in the trace */
} TraceRoot;

/* A way of looking at a root. */
typedef struct TraceView {
    uint32_t root;    /* its storage */
    int32_t parent;   /* the view it was made from; -1 = the root itself */
    uint16_t op;      /* view op */
    uint32_t attrs;   /* its attribute words, in Trace.words */
    uint32_t n_attrs; /* how many */
    NodeId node;      /* its value … */
    uint32_t version; /* … at this version of the root */
} TraceView;

/* What a trace needs of who makes it. `context` is what trace_new was given. */
typedef struct TraceOwner {
    /* What runs the graph that the trace holds now: a reference to an executable, or NULL to run it
     * node by node, of which the owner makes a note. A failure has the error set. */
    sn_status (*build)(void *context, const Trace *trace, Executable **out, sn_error *error);
    /* Ops will run at once from here on, since `reason`, a static text. */
    void (*fallback)(void *context, const char *reason);
    /* The program jumped out of the function: the call ends here. */
    void (*abandon)(void *context);
} TraceOwner;

/* Something to be done when the trace ends, whichever way it does. */
typedef struct TraceCleanup {
    void (*run)(void *what); /* frees it or lets go of it */
    void *what;              /* handed to run */
} TraceCleanup;

struct Trace {
    Graph graph;               /* what was recorded since the last flush */
    const TraceOwner *owner;   /* who made it */
    void *context;             /* handed to owner's functions */
    sn_rng *const *generators; /* arguments of the call that are generators … */
    int32_t n_generators;      /* … and their number; others are captured */
    Trace *outer;              /* the trace that was current before */
    VEC(TraceRoot) roots;      /* storages */
    VEC(TraceView) views;      /* views; a proxy's record is an index here */
    VEC(int64_t) words;        /* attributes of views */
    VEC(TraceInput) inputs;    /* graph inputs */
    NodeId latest_check;       /* the latest op that can fail on data; 0 = none so far */
    sn_tensor *live;           /* proxies that are still referenced */
    bool fullgraph;            /* a host read is an error */
    bool eager;                /* recording has ended: ops run at once */
    bool failed;               /* a flush failed: its error is the first in program order */
    bool impure;        /* captures, host reads, escapes: the function must be run every call */
    int32_t host_reads; /* flushes so far */
    int32_t ops;        /* ops recorded, over all segments */
    int32_t kept;       /* references to scalars made in it that the program holds */
    Site read_site;     /* of the first host read */
    sn_scope scope;     /* the scope around the function */
    VEC(TraceCleanup) cleanups; /* what ends with it, in reverse order */
};

/* ---- recording (frontend/trace/trace.c) ------------------------------------------------------------------ */

/* A trace in memory of its own, so that it outlives a jump out of the function. NULL when out of
 * memory. */
Trace *trace_new(const TraceOwner *owner, void *context, const char *name);
/* Has this done at the trace's end, in reverse order. False when out of memory: then it is not. */
bool trace_at_end(Trace *trace, void (*run)(void *), void *what);
/* Frees the block, which may be NULL, at the trace's end; at once, and returns false, when out of
 * memory. */
bool trace_owns(Trace *trace, void *block);
/* Frees it with all that it holds. */
void trace_free(Trace *trace);
/* Empties it: nothing recorded, no inputs. */
void trace_clear(Trace *trace);
/* A proxy for tensor argument `number`; the same proxy root for one that is exactly the same memory. */
sn_tensor *trace_argument(Trace *trace, sn_tensor *real, int32_t number);
/* Records an op. */
sn_tensor *trace_op(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                    const AttrList *attrs, sn_rng *generator, Site site);
/* The function looks at a tensor: its shape, its elements, a scalar's value. One that it reached by
 * itself may be another one in the next call, so the function is run on every call. */
void trace_look(const sn_tensor *tensor);
/* It retained or released (-1) a tensor that is no proxy. */
void trace_keep(const sn_tensor *tensor, int32_t references);
/* Records a view op. */
sn_tensor *trace_view(Trace *trace, OpCode op, sn_tensor *x, const AttrList *attrs, Site site);
/* Records target = op(inputs…). */
bool trace_inplace(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                   const AttrList *attrs, sn_rng *generator, Site site);
/* Behind an op: runs what was recorded where an operand is memory that the function itself borrowed,
 * from its own frame perhaps. False with the error raised. */
bool trace_settle_borrowed(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site);
/* A proxy's last reference went. */
void trace_forget(sn_tensor *proxy);
/* The value of a handle as a node. */
NodeId trace_node(Trace *trace, sn_tensor *tensor, Site site);

/* The value of a view as it follows from its root's, whatever was written through it. NODE_NONE with
 * the error set. */
NodeId trace_derive(Trace *trace, uint32_t record, Site site, sn_error *error);

/* ---- layouts of operands (frontend/trace/layout.c) --------------------------------------------------- */

/* Runs what was recorded where an operand of a matrix product has a layout that no node can have. */
bool trace_settle_layouts(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                          Site site);
/* `node`, the value of operand x, as a value whose memory eager's operand has. NODE_NONE with the
 * error raised. */
NodeId trace_laid_out(Trace *trace, OpCode op, const sn_tensor *x, NodeId node, Site site);

/* ---- in-place values (frontend/op/inplace_fit.c) ------------------------------------------------------------------ */

/* `value` in the dtype and dims of what an in-place op writes; NODE_NONE with the error set if it does
 * not fit. OP_CLONE stands for copy_, which broadcasts and converts. */
NodeId graph_fit(Graph *graph, NodeId value, const TensorType *wanted, OpCode op, Site site,
                 sn_error *error);

/* ---- flushing (frontend/trace/flush.c) ------------------------------------------------------------------- */

/* A value is needed on the host: runs what was recorded; all live proxies become real. False with the
 * error raised (always in a full-graph function). */
bool trace_host_read(Trace *trace, const char *op, Site site);
/* Before the host looks at a real tensor's memory, or may write to it: what was recorded for that
 * memory runs. False with the error raised. */
bool trace_settle_memory(const sn_tensor *real, bool writes, const char *op, Site site);
/* Runs what was recorded and turns every live proxy into a real tensor. */
bool trace_flush(Trace *trace, Site site);
/* Ends a trace and its call without running it, after a jump out of the function; live proxies
 * become unusable. Pops it from the thread. */
void trace_abandon(Trace *trace);

#endif
