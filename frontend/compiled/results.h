/* Results of a call on their way to the caller. */
#ifndef SN_FRONTEND_COMPILED_RESULTS_H
#define SN_FRONTEND_COMPILED_RESULTS_H

#include "frontend/compiled/handle.h"

/* Gives results, which hold one reference each, to the caller; there is room in the scope. */
void results_hand_over(const sn_compiled *compiled, sn_tensor **outputs, bool owned);

#endif
