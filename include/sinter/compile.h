/** @file compile.h
 *  Compiled functions. sn_compile wraps a C function over tensors; the first call with new shapes
 *  runs it on proxies, records its ops, fuses and compiles them; later calls go straight to the
 *  kernels while the guards hold.
 *
 *  What a compiled function may depend on: its arguments, tensors it reads through sn_ calls, and
 *  memory declared in sn_compile_options.watch. A function that looks at other C state is compiled
 *  with .rerun = SN_RERUN_ALWAYS. */
#ifndef SINTER_COMPILE_H
#define SINTER_COMPILE_H

#include <sinter/scope.h>
#include <sinter/signature.h>

SN_BEGIN_DECLS

typedef struct sn_compiled sn_compiled;
/** Any function pointer; cast back before a call. */
typedef void (*sn_function)(void);

typedef enum sn_rerun {
    SN_RERUN_AUTO = 0,  /**< skip the function while guards hold; the second call checks it */
    SN_RERUN_ALWAYS = 1 /**< run it on proxies on every call and match what it records */
} sn_rerun;

typedef enum sn_numerics {
    SN_NUMERICS_EXACT = 0, /**< the same bits as eager */
    SN_NUMERICS_FAST = 1 /**< contraction and reassociation allowed; at most twice eager's error */
} sn_numerics;

/** How sizes that vary are met. */
typedef enum sn_shapes {
    SN_SHAPES_AUTO = 0,   /**< the first shape is compiled as it is; what differs in the second is
                               general from then on */
    SN_SHAPES_STATIC = 1, /**< every shape is compiled for itself */
    SN_SHAPES_DYNAMIC =
        2 /**< every size above 1 of an argument is general from the first call on */
} sn_shapes;

/** A dim of an argument that varies from the first call on, and its bounds. A call that does not keep
 *  them is an error (shape). */
typedef struct sn_dim {
    const char *name; /**< for dumps and messages; dims of one name are equal; copied; or NULL */
    int32_t tensor; /**< which tensor argument, from 0; those in arrays and structs count; one that
                              is absent has no dims */
    int32_t axis;   /**< from 0 */
    int64_t min;    /**< least size; 0 and 1 are sizes like any other */
    int64_t max;    /**< largest size; 0 = no limit */
    int64_t multiple_of; /**< the size is a multiple of this; 0 = any */
} sn_dim;

/** What happens when a function has `most_graphs` compiled graphs and needs another. */
typedef enum sn_at_limit {
    SN_AT_LIMIT_EVICT = 0,      /**< the one not used for longest goes */
    SN_AT_LIMIT_GENERALISE = 1, /**< SN_SHAPES_STATIC ends: a general graph where one can be, else
                                     as evict */
    SN_AT_LIMIT_EAGER = 2,      /**< it runs node by node; what is compiled stays in use */
    SN_AT_LIMIT_ERROR = 3       /**< the call is an error (unsupported) that says what was new */
} sn_at_limit;

/** What calls of compiled functions may do. */
typedef enum sn_stance {
    SN_STANCE_DEFAULT = 0, /**< compile what is new */
    SN_STANCE_EAGER = 1,   /**< run the function eagerly, compiled or not */
    SN_STANCE_EAGER_ON_RECOMPILE =
        2, /**< what is new, once something is compiled, runs node by node */
    SN_STANCE_FAIL_ON_RECOMPILE = 3,  /**< … is an error (unsupported) that says what was new */
    SN_STANCE_EAGER_THEN_COMPILE = 4, /**< the first call runs eagerly */
    SN_STANCE_ASYNC = 5               /**< compile in the background; node by node meanwhile */
} sn_stance;

/** Memory of the program that the function reads. */
typedef struct sn_watch {
    const void *data; /**< compared on every call */
    size_t bytes;     /**< its size */
} sn_watch;

/** A described field of a struct argument (signature letter S). Every byte of the struct is in one
 *  field or in one that is ignored. */
typedef enum sn_field_kind {
    SN_FIELD_TENSOR = 0, /**< sn_tensor * */
    SN_FIELD_SCALAR = 1, /**< plain data, compared by bytes */
    SN_FIELD_STRUCT = 2, /**< a nested struct of layout `nested` */
    SN_FIELD_IGNORED = 3 /**< padding, or data that the function does not read */
} sn_field_kind;
typedef struct sn_tree sn_tree;
typedef struct sn_field {
    const char *name;      /**< for messages */
    sn_field_kind kind;    /**< see above */
    size_t offset;         /**< bytes from the struct's start */
    size_t bytes;          /**< of one element: sizeof(sn_tensor *) for a tensor */
    size_t count;          /**< elements of a fixed array; 0 means 1 */
    size_t count_offset;   /**< with `counted`: offset of an int32_t that counts the used ones */
    bool counted;          /**< only that many of `count` are used */
    const sn_tree *nested; /**< STRUCT: its layout */
} sn_field;
struct sn_tree {
    size_t bytes;           /**< sizeof the struct */
    const sn_field *fields; /**< by ascending offset */
    int32_t n_fields;       /**< how many */
};

typedef struct sn_compile_options {
    size_t size;                 /**< sizeof(sn_compile_options), or 0; a larger one, of a newer
                                      program, is taken if the rest is zero */
    sn_rerun rerun;              /**< whether the function may be skipped */
    bool fullgraph;              /**< a host read is an error with its source line */
    sn_numerics numerics;        /**< exact by default */
    const sn_watch *watch;       /**< memory the function reads; copied */
    int32_t n_watch;             /**< how many */
    const sn_tree *const *trees; /**< layouts of the S arguments, in order; copied */
    int32_t n_trees;             /**< how many */
    bool (*progress)(void *context, const char *stage, int32_t done, int32_t total);
    /**< called while compiling; false cancels. May be NULL */
    void *progress_context; /**< handed to it */
    sn_shapes shapes;       /**< how sizes that vary are met */
    const sn_dim *dims;     /**< dims declared to vary; copied */
    int32_t n_dims;         /**< how many */
    int32_t most_graphs;    /**< compiled graphs kept; 0 = 64 */
    sn_at_limit at_limit;   /**< what happens then */
    sn_stance stance;       /**< see sn_set_stance */
    int32_t check_every;    /**< every so many calls the function is run and compared with what was
                                 recorded; a difference is logged (purity), and the function is run
                                 on every call from then on. 0 = SINTER_CHECK_EVERY, or only the
                                 second call */
} sn_compile_options;

/** Wraps `function`. Signature letters: t tensor, t? may be SN_NONE, t* array with an int32_t count
 *  behind it, b bool, i int32_t, l int64_t, f float, d double, r sn_rng *, S pointer to a described
 *  struct, p opaque pointer. A ~ behind i, l, f or d marks a number of the call: the function decides
 *  nothing by it in C and only hands it to ops, as it is, or, an integer, times one number plus another.
 *  Three values show what follows it; with others the function is not run again. After the colon the
 *  outputs: one t is the return value; several are trailing sn_tensor ** parameters and the function
 *  returns sn_status; none returns sn_status. At most 64 parameters and 64 outputs: more tensors go in a
 *  t* or an S, up to 65,536 a call.
 *  Returns a handle that the caller releases, or NULL and the thread's error. `options` may be
 *  NULL. Thread-safe. */
SN_API sn_compiled *sn_compile_at(sn_function function, const char *name, const char *signature,
                                  const sn_compile_options *options, const char *file,
                                  int32_t line);
/** The same, where the compiler knows the function's type (signature.h): `derived` is the signature that
 *  it has, and `signature` has to be that but for '?' and '~'; P stands for S or p; NULL = not known, not
 *  checked. */
SN_API sn_compiled *sn_compile_typed_at(sn_function function, const char *name, const char *derived,
                                        const char *signature, const sn_compile_options *options,
                                        const char *file, int32_t line);
/* signature, options: `...`, so that a compound literal may be written in place of the options. */
#define sn_compile(function, ...)                                                                  \
    sn_compile_typed_at((sn_function)(function), #function, SN_SIG_OF(function), __VA_ARGS__,      \
                        __FILE__, __LINE__)

/** A function pointer of the wrapped function's type that calls the compiled code; NULL and the
 *  thread's error where executable memory is denied, or the handle is NULL. Lives as long as the handle.
 *  While an error is pending it is had all the same, and a call of it does what an op does: nothing. */
SN_API sn_function sn_compiled_fn_at(sn_compiled *compiled, const char *file, int32_t line);
SN_API sn_function sn_compiled_fn(sn_compiled *compiled);
#define sn_compiled_fn(compiled) sn_compiled_fn_at(compiled, __FILE__, __LINE__)
#if defined(__GNUC__)
#define SN_FN(compiled, function) ((__typeof__(&*(function)))sn_compiled_fn(compiled))
#endif

/** Changes the handle's stance; returns the one before. Thread-safe. */
SN_API sn_stance sn_set_stance(sn_compiled *compiled, sn_stance stance);
/** The same for all calls that this thread makes, over the handles' own; SN_STANCE_DEFAULT ends it. */
SN_API sn_stance sn_set_thread_stance(sn_stance stance);
/** Waits until nothing is being compiled in the background (SN_STANCE_ASYNC). */
SN_API void sn_compile_wait(void);

/** Gives the handle back; calls in flight end first, function pointers from it become invalid. A handle that
 *  is used, or released, after that is an error (handle). NULL is ignored. */
SN_API void sn_compiled_release_at(sn_compiled *compiled, const char *file, int32_t line);
SN_API void sn_compiled_release(sn_compiled *compiled);
#define sn_compiled_release(compiled) sn_compiled_release_at(compiled, __FILE__, __LINE__)

SN_END_DECLS

#endif
