/* Options of calls by values, sn_call and sn_apply. */
#ifndef SN_FRONTEND_OP_APPLY_H
#define SN_FRONTEND_OP_APPLY_H

#include <sinter/binding.h>

sn_status call_options_check(const sn_call_options *options, const char *op, sn_error *error);

#endif
