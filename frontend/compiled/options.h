/* Options of a compiled function: what sn_compile was told, checked and copied. */
#ifndef SN_FRONTEND_COMPILED_OPTIONS_H
#define SN_FRONTEND_COMPILED_OPTIONS_H

#include <sinter/compile.h>
#include <sinter/error.h>

#include <stddef.h>
#include <stdint.h>

/* Immutable once the handle is made. */
typedef struct CompileOptions {
    sn_shapes shapes;     /* how sizes that vary are met */
    sn_at_limit at_limit; /* what happens at most_graphs */
    uint32_t most_graphs; /* compiled graphs kept; ≥ 1 */
    int32_t check_every;  /* calls of an entry between checks of the function; 0: the second only */
    sn_stance stance;     /* at first; see sn_set_stance */
    bool rerun;           /* SN_RERUN_ALWAYS */
    bool fullgraph;       /* a host read is an error */
    bool fast;            /* SN_NUMERICS_FAST */
    sn_watch *watch;      /* declared memory; its words are part of the key */
    int32_t n_watch;      /* how many */
    size_t watch_words;   /* that they take in the key */
    sn_dim *dims;         /* dims declared to vary, with names of our own */
    int32_t n_dims;       /* how many */
    bool (*progress)(void *context, const char *stage, int32_t done, int32_t total);
    /* called while compiling; false cancels. NULL: nobody */
    void *progress_context; /* handed to it */
} CompileOptions;

/* Copies what `given` (NULL: the defaults) says into `options`, which is zero. After a failure too
 * options_free frees what there is. */
sn_status options_copy(CompileOptions *options, const sn_compile_options *given, sn_error *error);
void options_free(CompileOptions *options);

#endif
