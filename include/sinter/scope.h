/** @file scope.h
 *  Ownership. Every result belongs to the innermost open scope of the thread and dies with it; what
 *  is to live longer is returned from the scope, or retained.
 *
 *  A tensor that is used after its end is an error (handle): its address is not another tensor's before
 *  2,048 more of the thread have died. An integer in the place of a tensor is an error (argument). */
#ifndef SINTER_SCOPE_H
#define SINTER_SCOPE_H

#include <sinter/tensor.h>

SN_BEGIN_DECLS

/** A scope, by value. */
typedef struct sn_scope {
    uint32_t depth; /**< scopes that were open before it */
    uint32_t first; /**< handles that the thread held then */
} sn_scope;

/** Opens a scope on this thread. */
SN_API sn_scope sn_scope_begin(void);
/** Closes it, and deeper ones that an early return left open. `result` (may be NULL) moves to the
 *  parent scope and is returned; if there is no parent, the caller owns it and must release it. */
SN_API sn_tensor *sn_scope_end_at(sn_scope scope, sn_tensor *result, const char *file,
                                  int32_t line);
SN_API sn_tensor *sn_scope_end(sn_scope scope, sn_tensor *result);
#define sn_scope_end(...) sn_scope_end_at(__VA_ARGS__, __FILE__, __LINE__)

/** Adds a reference, which the caller gives back with sn_release, from any thread. Returns the
 *  tensor. */
SN_API sn_tensor *sn_retain_at(sn_tensor *tensor, const char *file, int32_t line);
SN_API sn_tensor *sn_retain(sn_tensor *tensor);
#define sn_retain(tensor) sn_retain_at(tensor, __FILE__, __LINE__)
/** Gives a retained reference back. Releasing what was not retained is an error (handle). NULL is
 *  ignored. */
SN_API void sn_release_at(sn_tensor *tensor, const char *file, int32_t line);
SN_API void sn_release(sn_tensor *tensor);
#define sn_release(tensor) sn_release_at(tensor, __FILE__, __LINE__)

/** State of the thread's scopes, to be restored after a longjmp. */
typedef struct sn_mark_t {
    uint32_t depth; /**< open scopes */
    uint32_t first; /**< handles held */
    void *trace;    /**< who records the thread's ops, or NULL */
} sn_mark_t;
SN_API sn_mark_t sn_mark(void);
/** Closes the scopes and ends the traces that were begun since the mark. What was called since has been
 *  left by then: a compiled function that unwinds past itself, and returns, is an error (scope) of its
 *  call. */
SN_API void sn_unwind(sn_mark_t mark);

#if defined(__GNUC__) && !defined(__cplusplus)
static inline void sn_scope_cleanup(sn_scope *scope) {
    (sn_scope_end)(*scope, NULL);
}
/** SN_SCOPE { … } closes its scope however the block is left. */
#define SN_SCOPE                                                                                   \
    for (sn_scope sn_scope_of_block __attribute__((cleanup(sn_scope_cleanup))) = sn_scope_begin(), \
                                    *sn_scope_once = &sn_scope_of_block;                           \
         sn_scope_once; sn_scope_once = NULL)
#endif

SN_END_DECLS

#endif
