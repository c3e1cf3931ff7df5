/* An op's signature, as op.def writes it ("x:t axes:L keepdim:b") and as a list of parameters: for the
 * generators, which check the table and print from it what the library has of signatures. */
#ifndef SN_TOOLS_OP_SIGNATURE_H
#define SN_TOOLS_OP_SIGNATURE_H

#include "ir/op/op.h"

enum { OP_MOST_FAULT = 128 }; /* bytes that say what is wrong with a signature */

typedef struct Signature {
    OpParam params[OP_MOST_PARAMS]; /* in order; without their numbers as attributes */
    int32_t count;                  /* how many */
} Signature;

/* Parses a signature. False, with what is wrong in `fault`, where it is not one. */
bool op_signature_parse(const char *text, Signature *out, char fault[OP_MOST_FAULT]);

/* Is it a name in C and in dumps: a lower-case letter, then such letters, digits and underscores? */
bool op_name_is_word(const char *name, size_t length);

#endif
