/* The handle of a compiled function: what sn_compile was told, and what has become of it since. */
#ifndef SN_FRONTEND_COMPILED_HANDLE_H
#define SN_FRONTEND_COMPILED_HANDLE_H

#include "base/lock.h"
#include "base/map.h"
#include "frontend/compiled/graphs.h"
#include "frontend/compiled/signature.h"

#include <sinter/binding.h>

#include <pthread.h>

typedef struct Entry Entry;

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

/* The stance that calls of this thread take to the function. */
sn_stance compiled_stance(const sn_compiled *compiled);
void compiled_count_fallback(sn_compiled *compiled, const char *reason);

#endif
