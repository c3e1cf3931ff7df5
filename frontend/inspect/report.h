/* The report: one HTML page about a compiled function. */
#ifndef SN_FRONTEND_INSPECT_REPORT_H
#define SN_FRONTEND_INSPECT_REPORT_H

#include "frontend/compiled/handle.h"

/* One HTML page about the function, by its latest trace and by the graph that ran there, to which
 * nothing else adds expressions. */
sn_status report_write(sn_compiled *compiled, const TraceNote *latest, const Graph *graph,
                       StrBuf *out, sn_error *error);

#endif
