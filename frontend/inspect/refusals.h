/* What was not fused, and why, by kind. */
#ifndef SN_FRONTEND_INSPECT_REFUSALS_H
#define SN_FRONTEND_INSPECT_REFUSALS_H

#include "ir/program.h"

/* A line for each pair of ops and reason, "add not with sum: the reason; 12 times: model.c:3, model.c:9",
 * behind the prefix. */
void refusals_print(const Program *program, const char *prefix, StrBuf *out);

#endif
