/* Function pointers made at run time: closures of libffi. */
#ifndef SN_FRONTEND_COMPILED_CLOSURE_H
#define SN_FRONTEND_COMPILED_CLOSURE_H

#include <ffi.h>

/* One of them; under the lock of closure.c. */
typedef struct Closure {
    ffi_closure *closure; /* NULL until asked for */
    void *code;           /* its address */
} Closure;

/* What runs behind the pointer: stores the result of a call with these arguments. */
typedef void ClosureEntry(ffi_cif *cif, void *result, void **arguments, void *user);

/* The address of the closure, made at the first call; NULL without executable memory. */
void *closure_code(Closure *closure, ffi_cif *cif, ClosureEntry *entry, void *user);
/* Frees it, if it was made. */
void closure_close(Closure *closure);

#endif
