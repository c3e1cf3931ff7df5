/* The report: one HTML page about a compiled function. */
#ifndef SN_FRONTEND_INSPECT_REPORT_H
#define SN_FRONTEND_INSPECT_REPORT_H

#include "frontend/compiled/handle.h"

/* How much of it is wanted. */
typedef struct ReportOptions {
    bool code;         /* kernels' code too, which takes the code generator */
    const char *index; /* a page to lead back to, or NULL */
} ReportOptions;

/* One HTML page about the function, by its latest trace. */
sn_status report_write(sn_compiled *c, const TraceNote *latest, const ReportOptions *options,
                       StrBuf *out, sn_error *error);
/* What an index says of it: why each compilation happened, and where its page is. */
void report_entry(sn_compiled *c, const TraceNote *latest, const char *page, StrBuf *out);

#endif
