/* The report's picture of a graph. */
#ifndef SN_FRONTEND_INSPECT_REPORT_PICTURE_H
#define SN_FRONTEND_INSPECT_REPORT_PICTURE_H

#include "passes/pass.h"

/* Nodes and edges, in the colours of their kernels, as the passes left them after fusing. */
void report_picture(const PassContext *context, StrBuf *out);

#endif
