/* Explanations of compiled functions as text. */
#ifndef SN_FRONTEND_INSPECT_EXPLAIN_H
#define SN_FRONTEND_INSPECT_EXPLAIN_H

#include "frontend/compiled/handle.h"

/* Graphs, symbols, guards and the latest entries, as text. */
void explain_guards(sn_compiled *compiled, StrBuf *out);

#endif
