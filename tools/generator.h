/* What the build-time generators share: `PROGRAM FORM FILE` checks the op table, prints that form from it
 * and writes the file, unless it is there already. */
#ifndef SN_TOOLS_GENERATOR_H
#define SN_TOOLS_GENERATOR_H

#include "tools/op_rows.h"

/* Something that a generator prints. */
typedef struct GeneratorForm {
    const char *name;           /* its first argument; NULL ends a list of forms */
    void (*print)(StrBuf *out); /* appends the file's text */
} GeneratorForm;

/* The whole program. */
int generator_main(int argc, char **argv, const GeneratorForm *forms);

#endif
