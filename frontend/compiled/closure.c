/* Closures of libffi; see closure.h. */
#include "frontend/compiled/closure.h"

#include "base/thread/lock.h"

/* libffi sets its heap up at the first closure without regard to other threads. */
LOCK_DEFINE(closures, RANK_CLOSURES);

void *closure_code(Closure *own, ffi_cif *cif, ClosureEntry *entry, void *user) {
    lock_take(&closures);
    if (!own->closure) {
        own->closure = ffi_closure_alloc(sizeof(ffi_closure), &own->code);
        if (own->closure &&
            ffi_prep_closure_loc(own->closure, cif, entry, user, own->code) != FFI_OK) {
            ffi_closure_free(own->closure);
            own->closure = NULL;
        }
    }
    SN_ASSERT(!own->closure || own->code);
    void *code = own->closure ? own->code : NULL;
    lock_give(&closures);
    return code;
}

void closure_close(Closure *own) {
    if (!own->closure) return;
    lock_take(&closures);
    ffi_closure_free(own->closure);
    lock_give(&closures);
}
