/* Pages about all compiled functions (SINTER_EXPLAIN). Nobody calls for them: they are written by who
 * is told of handles. */
#ifndef SN_FRONTEND_INSPECT_PAGES_H
#define SN_FRONTEND_INSPECT_PAGES_H

#include "frontend/compiled/handle.h"

/* Set when the library is loaded. */
extern const CompiledHooks pages_hooks;

#endif
