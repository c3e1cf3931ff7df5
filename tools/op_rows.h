/* The rows of ir/op/op.def with their lines, and a check of them, for the generators: what a wrong row
 * makes of ops.h, the text forms or the dispatcher is found before anything is printed from it. */
#ifndef SN_TOOLS_OP_ROWS_H
#define SN_TOOLS_OP_ROWS_H

#include "base/strbuf.h"
#include "ir/op/op.h"

/* A row as it stands in ir/op/op.def. */
typedef struct OpRow {
    int line;              /* where */
    const char *id;        /* the identifier behind OP_ */
    const char *name;      /* the op's name */
    const char *signature; /* its parameters */
    const char *about;     /* its line of documentation */
    const char *elsewhere; /* PyTorch's and NumPy's name, "" for what is not public */
    OpClass klass;         /* its class */
    DtypeRule dtype_rule;  /* its dtype rule */
    int flags;             /* OpFlags */
} OpRow;
extern const OpRow op_rows[OP_COUNT];

/* An enumerated attribute, as it stands in ir/op/op_rules.def. */
typedef struct OpEnumeration {
    const char *attr;  /* its name, in capitals */
    const char *type;  /* the type in C, followed by a blank */
    const char *about; /* its documentation */
    const char *const
        *values; /* identifier and documentation of each, from 0 on; NULL behind the last */
} OpEnumeration;
/* What a parameter enumerates; NULL where it does not, or nothing says what. */
const OpEnumeration *op_enumeration(const OpParam *param);
extern const OpEnumeration op_enumerations[]; /* attr is NULL behind the last */

/* Appends a line "ir/op/op.def:LINE: NAME: what is wrong" for each row that is; returns how many. */
int32_t op_rows_check(const OpRow *rows, int32_t count, StrBuf *faults);

#endif
