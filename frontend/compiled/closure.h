/* Function pointers that call a compiled function: closures of libffi. */
#ifndef SN_FRONTEND_COMPILED_CLOSURE_H
#define SN_FRONTEND_COMPILED_CLOSURE_H

#include "frontend/compiled/handle.h"

/* Frees the closure, if one was made. */
void closure_close(Closure *closure);

#endif
