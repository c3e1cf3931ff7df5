/* Compiled functions: the handle, its signature, its cache of graphs and guarded entries. */
#ifndef SN_FRONTEND_COMPILED_COMPILED_H
#define SN_FRONTEND_COMPILED_COMPILED_H

#include "base/lock.h"
#include "frontend/build.h"
#include "frontend/compiled/policy.h"
#include "frontend/trace/trace.h"
#include "ir/generalise.h"

#include <sinter/binding.h>

#include <ffi.h>

/* ---- graphs (frontend/compiled/graphs.c) ----------------------------------------------------------------- */

enum { GRAPHS_MOST = 64 }; /* of a function, unless it says otherwise; then the oldest goes */

typedef struct CompiledGraph CompiledGraph;

/* A compiled graph at the sizes and scalars of a trace. Immutable. */
typedef struct GraphInstance {
    _Atomic int64_t refs;   /* owners; of a graph's own instance those of the graph count */
    CompiledGraph *graph;   /* a reference is held */
    Executable *executable; /* a reference is held; NULL: run node by node */
    int64_t *symbols;       /* general: by symbol */
    uint64_t *scalars;      /* general: by scalar */
} GraphInstance;

/* What was recorded, for one trace or generalised over several, and what runs it. Immutable but for
 * `used` once it is in the function's list. */
struct CompiledGraph {
    _Atomic int64_t refs;   /* the list's and those of instances */
    uint64_t hash;          /* of the recorded graph */
    uint64_t structure;     /* the same without its words */
    Graph own;              /* recorded, where it is not general */
    GraphInstance fixed;    /* of that */
    GeneralGraph *general;  /* for all sizes that bind it; NULL: for those of `own` */
    Executable *executable; /* NULL: run node by node */
    char *failure;          /* why, or NULL */
    BuildTimes times;       /* of `executable` */
    _Atomic uint64_t used;  /* the function's clock when it was used last */
};

/* As recorded; input layouts included. */
static inline const Graph *compiled_recorded(const CompiledGraph *graph) {
    return graph->general ? &graph->general->recorded : &graph->own;
}

GraphInstance *instance_retain(GraphInstance *instance);
void instance_release(GraphInstance *instance);
/* Is the recorded graph this one, sizes and scalars included? */
bool instance_matches(const GraphInstance *instance, const Graph *recorded);
/* The graph that was recorded, at the instance's sizes, into an initialised empty one; false when out of
 * memory. */
bool instance_recorded(const GraphInstance *instance, Graph *graph);
/* Values of all expressions of a general graph, for dim_value; the caller frees them. NULL where it is
 * not general, or memory is out. */
int64_t *instance_values(const GraphInstance *instance);
/* The function's compiled form of what the trace recorded: found, bound, generalised from two traces, or
 * compiled. A reference, or NULL with the error: the program cancelled or refused it, or memory is
 * out. */
GraphInstance *instance_get(sn_compiled *owner, const Trace *trace, sn_error *error);
/* Bytes that the ops of a graph without expressions move when each runs alone; 0 where memory is out.
 * (frontend/inspect/traffic.c) */
int64_t unfused_bytes(const Graph *graph);
/* Lets go of all graphs of the function. */
void graphs_release(sn_compiled *owner);

/* ---- background work (frontend/compiled/background.c) */
typedef void BackgroundJob(void *context);
/* Runs the job on a thread of its own, one job after the other; false when there can be none. */
bool background_run(BackgroundJob *job, void *context);

/* ---- signatures (frontend/compiled/signature.c) ----------------------------------------------------------------- */

enum { SIGNATURE_MOST_PARAMS = 64, SIGNATURE_MOST_TENSORS = 256 };

typedef struct ParamSpec {
    char kind;           /* t b i l f d r S p */
    bool optional;       /* t? */
    bool array;          /* t*: two C parameters */
    const sn_tree *tree; /* S: its layout */
} ParamSpec;

typedef struct Signature {
    ParamSpec params[SIGNATURE_MOST_PARAMS]; /* in order */
    int32_t n_params;                        /* how many */
    int32_t n_outputs;                       /* tensors returned */
    bool returns_tensor;                     /* exactly one: it is the return value */
    bool opaque;                             /* has a p: always run */
    int32_t n_arguments;                     /* C parameters, outputs included */
    ffi_type *types[2 * SIGNATURE_MOST_PARAMS + SIGNATURE_MOST_PARAMS]; /* of them */
    ffi_type *result;                                                   /* of the function */
} Signature;

sn_status signature_parse(const char *text, const sn_tree *const *trees, int32_t n_trees,
                          Signature *signature, sn_error *error);
/* Letters of the signature, for messages: "tt?l:t". */
sn_status tree_check(const sn_tree *tree, sn_error *error);

/* ---- arguments (frontend/compiled/arguments.c) --------------------------------------------------------------------- */

/* The arguments of one call, flattened. */
typedef struct CallArgs {
    sn_tensor *tensors[SIGNATURE_MOST_TENSORS]; /* SN_NONE where absent */
    int32_t n_tensors;                          /* in use */
    sn_rng *generators[SIGNATURE_MOST_PARAMS];  /* r */
    int32_t n_generators;                       /* in use */
    const sn_value *values;                     /* one a parameter */
} CallArgs;

/* A key being packed; `at` may pass the end, which is checked once. */
typedef struct Key {
    uint64_t *words;   /* room for `capacity` */
    uint32_t at;       /* words packed */
    uint32_t capacity; /* see words */
    void *block;       /* allocation behind words, or NULL */
} Key;

/* Finds all tensors and generators. Errors, raised, carry the function's name and the line where it was
 * compiled: a call through a function pointer has none. */
bool arguments_flatten(const sn_compiled *compiled, const sn_value *values, CallArgs *args);
/* Do the sizes keep to what was declared of them? Raises. */
bool arguments_check_dims(const sn_compiled *compiled, const CallArgs *args);
/* Packs all that a guard compares. */
void arguments_pack_key(const sn_compiled *compiled, const CallArgs *args, Key *key);
/* Elements of a struct's field that are in use. */
int32_t tree_field_count(const sn_field *field, const char *data);

/* ---- calls (frontend/compiled/call.c) ------------------------------------------------------------------------------ */

/* A result as a guarded entry makes it. */
typedef struct OutputSpec {
    int32_t input;   /* ≥ 0: shares the memory of this graph input */
    int32_t output;  /* else: the executable's result of this number; -1 = NULL or none */
    TensorType type; /* dtype and dims */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t offset; /* in elements; from the input's element 0, or from the result's */
} OutputSpec;

/* What a guard key leads to. Immutable but for `calls` and `used`. */
typedef struct Entry {
    _Atomic int64_t refs;    /* the function's list and threads that found it last */
    uint64_t hash;           /* of the key */
    uint64_t *key;           /* the guard, packed */
    uint32_t key_words;      /* its length */
    GraphInstance *instance; /* what runs; a reference is held */
    OutputSpec *outputs;     /* results in the signature's order */
    int32_t *sources;        /* by graph input: flattened tensor ≥ 0, or -1 - generator */
    int64_t *drawn;          /* by generator: numbers drawn */
    bool writes;             /* some input is written */
    _Atomic int64_t calls;   /* so far, saturating: the second one is checked */
    _Atomic bool used;       /* since entries were last dropped */
} Entry;

/* ---- entries (frontend/compiled/entries.c) ------------------------------------------------------------------------- */

void entry_release(Entry *entry);
/* The entry that the key leads to, or NULL. Held by this thread until its next call of any function. */
Entry *entry_find(sn_compiled *compiled, const Key *key);
/* Takes the entry over and adds it, unless there is an equal one. Where there are too many, those not
 * used for longest go. */
void entry_add(sn_compiled *compiled, Entry *entry);
/* Lets go of all entries of the function, and of this thread's hold on one. */
void entries_release(sn_compiled *compiled);

/* A dim of a tensor argument. */
typedef struct VaryingDim {
    int32_t argument; /* number of the tensor */
    int32_t axis;     /* of it */
} VaryingDim;

struct sn_compiled {
    _Atomic int64_t refs;                  /* the program's and calls in flight */
    uint64_t serial;                       /* of the handle; never given twice */
    sn_function function;                  /* the program's; NULL for a payload */
    sn_payload_function *payload_function; /* of a binding */
    void *payload;                         /* its closure */
    void (*destroy)(void *);               /* of the closure */
    char *name;                            /* for dumps */
    Site site;                             /* of sn_compile */
    Signature signature;                   /* parsed */
    char *signature_text;                  /* as given */
    sn_watch *watch;                       /* declared memory */
    int32_t n_watch;                       /* how many */
    size_t watch_words;                    /* of the key */
    bool fullgraph, fast;                  /* options */
    bool (*progress)(void *, const char *, int32_t, int32_t); /* option */
    void *progress_context;                                   /* option */
    sn_shapes shapes;                                         /* option */
    sn_dim *dims;                                             /* declared, with names of our own */
    int32_t n_dims;                                           /* how many */
    uint32_t most_graphs;                                     /* kept */
    sn_at_limit at_limit;                                     /* what happens then */
    int32_t check_every;         /* calls of an entry; 0: the second only */
    _Atomic int32_t stance;      /* sn_stance */
    _Atomic bool called;         /* before */
    _Atomic bool impure;         /* the function is run on every call */
    const char *impure_reason;   /* why; a static string */
    char *impure_detail;         /* the first difference, or NULL; under the lock */
    ffi_cif cif;                 /* how it is called */
    ffi_closure *closure;        /* sn_compiled_fn; NULL until asked for; under handle.c's lock */
    void *closure_code;          /* its address */
    Lock *lock;                  /* of the following; several handles may have one */
    VEC(CompiledGraph *) graphs; /* compiled graphs; a reference to each */
    VEC(VaryingDim) varying;     /* dims of arguments that were seen to vary */
    uint64_t clock;              /* counts uses of graphs */
    bool compiling;              /* a thread is making a graph … */
    pthread_t compiler;          /* … this one … */
    pid_t compiling_process;     /* … of this process: a forked child has not got it */
    Condition *turn;             /* it has ended; of all handles with this lock */
    VEC(Entry *) entries;        /* all entries; a reference to each */
    Map entry_map;               /* hash → entry */
    int64_t trace_ns;            /* spent in the latest trace */
    int32_t host_reads;          /* of it */
    Site read_site;              /* of its first host read */
    GraphInstance *latest;       /* that ran in a trace last; a reference is held */
    int64_t fallbacks;           /* graphs that ran node by node */
    int64_t compilations;        /* graphs compiled, dropped ones included */
};

/* The call itself. Outputs receive handles of the current scope, or owned references. */
sn_status compiled_call(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                        bool owned);
/* The same without guards or trace: the program's function on real tensors. (frontend/compiled/call_eager.c) */
sn_status compiled_call_eagerly(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                                bool owned);
/* Gives results, which hold one reference each, to the caller; there is room in the scope. */
void results_hand_over(const sn_compiled *compiled, sn_tensor **outputs, bool owned);
/* The stance that calls of this thread take to the function. */
sn_stance compiled_stance(const sn_compiled *compiled);
/* The same inside a trace: its ops are recorded with the caller's. */
sn_status compiled_inline(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs,
                          bool owned);
/* Options of sn_call and sn_apply. */
sn_status call_options_check(const sn_call_options *options, const char *op, sn_error *error);
/* Ends a call that the program jumped out of. */
void compiled_abandon(sn_compiled *compiled);
/* Is the generator one of the arguments of the call being traced? */
bool compiled_has_generator(const sn_compiled *compiled, const sn_rng *generator);
void compiled_count_fallback(sn_compiled *compiled, const char *reason);

/* ---- the program's function (frontend/compiled/invoke.c) ---------------------------------------------------------------- */

/* The values of a call with the tensors replaced (by proxies), in memory of this struct. */
typedef struct Substituted {
    sn_value values[SIGNATURE_MOST_PARAMS];    /* for the function */
    sn_tensor *arrays[SIGNATURE_MOST_TENSORS]; /* elements of t* */
    char *structs[SIGNATURE_MOST_PARAMS];      /* described structs: the function's copy, and
                                                   * behind it one to see that it was not written */
} Substituted;
/* Replaces the tensors by `tensors`, in the same order; what is allocated belongs to the trace. False when
 * out of memory. */
bool arguments_substitute(const sn_compiled *compiled, Trace *trace, const CallArgs *args,
                          sn_tensor *const *tensors, Substituted *substituted);
/* Calls the function by values. Outputs are handles of the current scope. */
sn_status compiled_invoke(sn_compiled *compiled, const sn_value *values, sn_tensor **outputs);
/* Refuses a function that wrote into a described struct: it was given a copy. */
sn_status substituted_check(const sn_compiled *compiled, const Substituted *substituted);

/* ---- the timeline (frontend/inspect/timeline.c) ------------------------------------------------------------------------- */

/* Nanoseconds now, where this thread keeps a timeline; else 0. */
int64_t timeline_now(void);
/* Adds what began at `begin_ns` (0: nothing) and ends now. `what` is static: "call", "trace"…; the name is
 * copied. */
void timeline_add(const char *what, const char *name, int64_t begin_ns);

/* ---- looking at it (frontend/inspect/explain.c, frontend/inspect/report.c) ---------------------------------------------------- */

/* Graphs, symbols, guards and the latest entries, as text. */
void explain_guards(sn_compiled *compiled, StrBuf *out);
/* One HTML page about an instance, made from its graph, to which nothing else adds expressions. */
sn_status report_write(sn_compiled *compiled, const GraphInstance *instance, const Graph *graph,
                       StrBuf *out, sn_error *error);

/* ---- running recorded graphs (frontend/trace/flush.c) ----------------------------------------------------------- */

/* Which output of the executable holds a root. */
typedef struct RootOutput {
    uint32_t root;  /* in the trace */
    int32_t output; /* number of the graph's output */
} RootOutput;
typedef VEC(RootOutput) RootOutputs;

/* Declares the trace's results in its graph: the roots of live proxies, then written inputs. */
bool segment_declare(Trace *trace, RootOutputs *roots, sn_error *error);
/* Runs the instance on the trace's inputs, commits writes and generators, and turns live proxies
 * real. */
sn_status segment_run(Trace *trace, const GraphInstance *instance, const RootOutputs *roots,
                      sn_error *error);
/* An op was refused while recording, and the thread's error says so. If one before it fails on its
 * data, eager would have stopped there: what was recorded runs node by node, writing nothing, and the
 * error that comes of it takes the place of the other. */
void segment_check_data(Trace *trace);
/* Message of a data error. */
sn_status data_error(const Executable *executable, uint64_t code, sn_error *error, Site *site);

/* ---- eager (frontend/op/eager.c) --------------------------------------------------------------------------------- */

/* The dtype in which operands meet: weak scalars are converted to it before the op. */
sn_dtype eager_weak_dtype(OpCode op, sn_tensor *const *inputs, int32_t n_inputs);
/* Runs one op now. With `target`, the result is written into it and returned. */
sn_tensor *eager_op(OpCode op, sn_tensor *const *inputs, int32_t n_inputs, const AttrList *attrs,
                    sn_rng *generator, sn_tensor *target, Site site);
sn_tensor *eager_view(OpCode op, sn_tensor *x, const AttrList *attrs, Site site);
/* Runs a graph node by node on real inputs; outputs (one a graph output that writes no input) are
 * handles of the current scope, dense. */
sn_status eager_graph(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                      sn_error *error);

/* Process-wide counters of the frontend. */
typedef struct FrontendCounters {
    _Atomic int64_t traces, guard_hits, guard_misses, recompiles, fallbacks, host_reads, reruns;
    _Atomic int64_t eager_calls;
    _Atomic int64_t trace_ns, plan_ns;
} FrontendCounters;
extern FrontendCounters frontend_counters;
#define COUNT(name) atomic_fetch_add_explicit(&frontend_counters.name, 1, memory_order_relaxed)

#endif
