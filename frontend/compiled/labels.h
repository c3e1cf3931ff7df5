/* What arguments are called in explanations. The library knows their places, not their names: a label has
 * "{2}" for the third parameter, and what reads it puts a name there. */
#ifndef SN_FRONTEND_COMPILED_LABELS_H
#define SN_FRONTEND_COMPILED_LABELS_H

#include "base/strbuf.h"
#include "frontend/compiled/signature.h"

#include <sinter/binding.h>

/* Adds the label of a tensor by its place among all of a call: "{0}", "{1}[3]", "{2}.weights[1]". `values`
 * are the call's; NULL where they are gone: then tensors behind arrays are "tensor 7". */
void label_tensor(const Signature *signature, const sn_value *values, int32_t tensor, StrBuf *out);
/* The same for an input of a graph, by its source (frontend/trace/trace.h). */
void label_source(const Signature *signature, const sn_value *values, int32_t source, StrBuf *out);
/* Adds a text with labels in it, with names in their places, by parameter: "argument 3" where there is none,
 * or `names` is NULL. */
void labels_fill(const char *text, const char *const *names, int32_t n_names, StrBuf *out);

#endif
