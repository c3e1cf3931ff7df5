/* The check of calls that PyTorch refuses (promise I1): where eager refuses one, the compiled form
 * refuses it with the same status, text and line, leaves no entry behind and its inputs as they are,
 * and takes valid calls afterwards; on the first calls of a handle and on later ones. */
#ifndef SN_TESTS_OPINFO_REFUSAL_H
#define SN_TESTS_OPINFO_REFUSAL_H

#include "opinfo_call.h"

/* What became of such a call. */
typedef enum OpinfoRefusal {
    OPINFO_REFUSED,  /* by both, in the same words */
    OPINFO_ACCEPTED, /* by eager */
    OPINFO_SKIPPED,  /* there is no such call here; the message says why */
    OPINFO_DIFFERENT /* the message says how */
} OpinfoRefusal;

/* Checks a loaded case; `message` has room for OPINFO_TEXT. Of one that eager accepts nothing more is
 * checked. Leaves no error pending. */
OpinfoRefusal opinfo_check_refusal(OpinfoCase *c, char *message);

#endif
