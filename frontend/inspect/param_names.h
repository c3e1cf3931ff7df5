/* Names of a function's parameters, read off the program's source where that is at hand. */
#ifndef SN_FRONTEND_INSPECT_PARAM_NAMES_H
#define SN_FRONTEND_INSPECT_PARAM_NAMES_H

#include "frontend/compiled/handle.h"

typedef struct ParamNames {
    char *names[SIGNATURE_MOST_PARAMS]; /* by parameter; those of scalars too */
    int32_t count;                      /* 0: they are not known; else those of the signature */
} ParamNames;

/* Looks for the function's definition in the file that compiled it, and in those of the ops that it recorded
 * (`graph`, which may be NULL). */
void param_names_open(const sn_compiled *compiled, const Graph *graph, ParamNames *names);
void param_names_close(ParamNames *names);
/* Adds a text with labels (frontend/compiled/labels.h), filled in. */
void param_names_fill(const ParamNames *names, const char *text, StrBuf *out);
/* Adds what an input of the graph is called: "x", "layers[3].w"; "t2", by its number, where that is not
 * known. */
void param_names_input(const ParamNames *names, const CompiledGraph *graph, uint32_t input,
                       StrBuf *out);

#endif
