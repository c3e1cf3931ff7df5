/* What comes of running an executable. */
#ifndef SN_FRONTEND_OP_RUN_H
#define SN_FRONTEND_OP_RUN_H

#include "runtime/executable.h"

/* Message of a data error. */
sn_status data_error(const Executable *executable, uint64_t code, sn_error *error, Site *site);

#endif
