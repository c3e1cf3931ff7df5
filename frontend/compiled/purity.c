/* Purity; see purity.h. */
#include "frontend/compiled/purity.h"

#include "base/mem.h"

bool purity_lose(Purity *purity, const char *reason, char *detail) {
    SN_ASSERT(reason);
    lock_take(purity->lock);
    bool first = !is_impure(purity);
    if (first) {
        purity->reason = reason;
        purity->detail = detail;
        atomic_store_explicit(&purity->impure, true, memory_order_release);
    }
    lock_give(purity->lock);
    if (!first) mem_free(detail);
    return first;
}

void purity_close(Purity *purity) {
    mem_free(purity->detail);
}
