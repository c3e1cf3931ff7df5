/* The handle of a compiled function: what sn_compile was told, and what has become of it since.
 *
 * What is made with the handle is immutable and read by any thread: name, signature, options, the
 * program's function. What calls change lies in parts that have each a lock and a rule of their
 * own: entries, graphs, the turn at compiling, purity, the latest trace. No two of these locks are
 * held at a time. */
#ifndef SN_FRONTEND_COMPILED_HANDLE_H
#define SN_FRONTEND_COMPILED_HANDLE_H

#include "base/refs.h"
#include "base/thread/slot_pool.h"
#include "frontend/compiled/closure.h"
#include "frontend/compiled/compiles.h"
#include "frontend/compiled/entries.h"
#include "frontend/compiled/moving.h"
#include "frontend/compiled/options.h"
#include "frontend/compiled/purity.h"
#include "frontend/compiled/signature.h"
#include "frontend/graphs/graphs.h"
#include "frontend/graphs/latest.h"
#include "frontend/graphs/turns.h"

#include <sinter/binding.h>

/* The program's function, and how it is called. */
typedef struct Callee {
    sn_function function;                  /* NULL for a payload */
    sn_payload_function *payload_function; /* of a binding, or NULL */
    void *payload;                         /* its closure */
    void (*destroy)(void *payload);        /* of the closure, or NULL */
    ffi_cif cif;                           /* how `function` is called by libffi */
} Callee;

struct sn_compiled {
    SlotMark mark;          /* until the program releases it */
    Refs users;             /* who may call the function: the program, calls in flight */
    Refs refs;              /* who reads what became of it: users (1), jobs in the background */
    char *name;             /* for dumps */
    char *title;            /* for messages of calls: the name, and where it was compiled */
    Site site;              /* of sn_compile */
    char *signature_text;   /* as given */
    Signature signature;    /* parsed */
    CompileOptions options; /* copied */
    Callee callee;          /* what is compiled */
    Closure closure;        /* what calls it like a function */
    _Atomic int32_t stance; /* sn_stance; see sn_set_stance */
    _Atomic bool called;    /* before */
    _Atomic int64_t
        fallbacks;       /* graphs that ran node by node, and ops that could not be recorded */
    Purity purity;       /* is it what was recorded? */
    EntryCache entries;  /* what guard keys lead to */
    MovingCache moving;  /* what their stems lead to, whatever the numbers of the call */
    GraphCache graphs;   /* what was compiled */
    CompileLog compiles; /* and why */
    Turn turn;           /* at compiling */
    Latest latest;       /* what ran last in a trace */
};

/* Is the handle one that the program may use? Raises in the words of `op`. */
bool compiled_check(const sn_compiled *compiled, const char *op, Site site);
/* The same for functions that have an error of their own. */
sn_status compiled_check_for(const sn_compiled *compiled, const char *op, sn_error *error);
/* One more user. When the last one goes, the payload is destroyed, on that thread. */
sn_compiled *compiled_retain(sn_compiled *compiled);
void compiled_drop(sn_compiled *compiled);
/* Who is told of handles. Under no lock, and where the program may be called. */
typedef struct CompiledHooks {
    void (*made)(sn_compiled *compiled); /* for the program */
    void (*ended)(
        sn_compiled *compiled); /* nobody calls it any more; it is whole, and may be kept */
} CompiledHooks;
/* Set when the library is loaded. */
void compiled_hooks(const CompiledHooks *hooks);
/* One more who needs the handle alone: it does not call the function. */
sn_compiled *compiled_keep(sn_compiled *compiled);
void compiled_unkeep(sn_compiled *compiled);
/* The stance that calls of this thread take to the function. */
sn_stance compiled_stance(const sn_compiled *compiled);
/* Ops that were to be recorded run one by one, for `reason`. */
void compiled_count_fallback(sn_compiled *compiled, const char *reason);
/* From now on the function is run on every call, for `reason`, a static text. `difference`, what
 * showed it, may be NULL, and is taken over. */
void compiled_mark_impure(sn_compiled *compiled, const char *reason, char *difference);

#endif
