/* Equations of einsum: which label each axis of each operand has, and which axes the result has. */
#ifndef SN_FRONTEND_OP_EINSUM_TEXT_H
#define SN_FRONTEND_OP_EINSUM_TEXT_H

#include "frontend/op/labels.h"

/* Labels of the axes of an operand, where one may occur more than once, or of the result. */
typedef struct EquationTerm {
    uint8_t
        labels[SN_MAX_RANK]; /* numbers, in the order in which labels first occur in the equation */
    int32_t count;           /* how many */
} EquationTerm;

typedef struct Equation {
    EquationTerm *operands; /* one for each */
    EquationTerm result;    /* each once */
} Equation;

static inline LabelSet term_set(const EquationTerm *term) {
    LabelSet set = 0;
    for (int32_t i = 0; i < term->count; i++) set |= label_set(term->labels[i]);
    return set;
}

/* Is the text for so many operands? Raises. */
bool equation_check_terms(const char *text, int32_t count, Site site);
/* Reads such a text for these operands, whose ranks and sizes must fit it; false with the error raised, and
 * nothing to free. */
bool equation_read(Equation *e, const char *text, sn_tensor *const *operands, int32_t count,
                   Site site);
void equation_free(Equation *e);

#endif
