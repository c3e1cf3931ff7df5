/* What calls from language bindings share: sn_call's and sn_apply's options. */
#ifndef SN_FRONTEND_OP_APPLY_H
#define SN_FRONTEND_OP_APPLY_H

#include <sinter/binding.h>

/* Refuses options of another size, in the words of `op`. */
sn_status call_options_check(const sn_call_options *options, const char *op, sn_error *error);

#endif
