/* Whether a function is what was recorded of it. One that reaches what is no argument, reads values
 * on the host or records other ops for equal arguments is impure, and run on every call. */
#ifndef SN_FRONTEND_COMPILED_PURITY_H
#define SN_FRONTEND_COMPILED_PURITY_H

#include "base/thread/lock.h"

#include <stdatomic.h>

/* All of it is set once. Who has seen `impure` may read the rest without the lock. */
typedef struct Purity {
    Lock *lock;          /* of who sets it */
    _Atomic bool impure; /* the function is run on every call; never taken back */
    const char *reason;  /* why; a static text */
    char *detail;        /* the first difference, or NULL */
} Purity;

/* On every call: one load. */
static inline bool is_impure(const Purity *purity) {
    return atomic_load_explicit(&purity->impure, memory_order_acquire);
}
/* `detail` (may be NULL) is taken over. False where it was impure already. */
bool purity_lose(Purity *purity, const char *reason, char *detail);
void purity_close(Purity *purity);

#endif
