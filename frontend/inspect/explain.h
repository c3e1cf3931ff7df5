/* Explanations of compiled functions as text. */
#ifndef SN_FRONTEND_INSPECT_EXPLAIN_H
#define SN_FRONTEND_INSPECT_EXPLAIN_H

#include "frontend/inspect/param_names.h"

#include <sinter/inspect.h>

/* What became of a function, in its latest trace above all. */
sn_explanation explain_numbers(sn_compiled *compiled, const TraceNote *latest);
/* Graphs, symbols, guards and the latest entries, as text. */
void explain_guards(sn_compiled *compiled, const ParamNames *names, StrBuf *out);
/* Why a function was compiled, in a line without its end. */
void explain_event(const CompileEvent *event, const ParamNames *names, StrBuf *out);

#endif
