/* An op's signature, as op.def writes it ("x:t axes:L keepdim:b") and as a list of parameters. It knows
 * nothing of the op table, because the generators that check the table and print code from it read
 * signatures too. */
#ifndef SN_IR_OP_SIGNATURE_H
#define SN_IR_OP_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OP_MOST_PARAMS = 8,      /* parameters of an op */
    OP_MOST_PARAM_NAME = 13, /* characters of a parameter's name */
    OP_MOST_FAULT = 128      /* bytes that say what is wrong with a signature */
};

/* One parameter of an op's signature. */
typedef struct OpParam {
    char name[OP_MOST_PARAM_NAME + 1]; /* its name in C and in dumps */
    char kind;                         /* t l L d b y e r h */
    char suffix;                       /* 0, '?' for t?, '*' for t* */
    bool is_size;                      /* l~, L~, h~: may follow from sizes: its words are Dims */
    bool is_real;                      /* d~: may be a scalar of the call; see attr_scalar */
} OpParam;

typedef struct OpSignature {
    OpParam params[OP_MOST_PARAMS]; /* in order */
    int32_t count;                  /* how many */
} OpSignature;

/* Parses a signature. False, with what is wrong in `fault`, where it is not one. */
bool op_signature_parse(const char *text, OpSignature *out, char fault[OP_MOST_FAULT]);

/* Is it a name in C and in dumps: a lower-case letter, then such letters, digits and underscores? */
bool op_name_is_word(const char *name, size_t length);

#endif
