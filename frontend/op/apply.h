/* What calls from language bindings, sn_call and sn_apply, share. */
#ifndef SN_FRONTEND_OP_APPLY_H
#define SN_FRONTEND_OP_APPLY_H

#include <sinter/binding.h>
#include <sinter/scope.h>

/* What such a call leaves as it was, and the scope of what it makes on its way. */
typedef struct BindingCall {
    sn_error pending; /* the thread's error, which is none of this call's business */
    int32_t threads;  /* the thread's own number of threads */
    sn_scope scope;   /* what the call does not hand out ends with it */
} BindingCall;

/* `threads`: of sn_call_options. */
void binding_enter(BindingCall *call, int32_t threads);
/* The call's status, and its error if it has one. */
sn_status binding_leave(BindingCall *call, sn_error *error);

/* The options as far as we know them; refuses what no call can have, in the words of `op`. */
sn_status call_options_copy(sn_call_options *options, const sn_call_options *given, const char *op,
                            sn_error *error);

#endif
