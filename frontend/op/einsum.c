/* sn_einsum: the equation is read into labels by operands, and the operands are multiplied from the left by
 * way of labels.h. */
#include "frontend/op/einsum_text.h"

#include <sinter/compose.h>

#include <stdio.h>

#undef sn_einsum

/* The first axis of so many that has the label; -1: none. */
static int32_t find_label(const uint8_t *labels, int32_t from, int32_t count, uint8_t label) {
    for (int32_t i = from; i < count; i++)
        if (labels[i] == label) return i;
    return -1;
}

/* Axes of one label become their diagonal, which is the last axis then. */
static Labelled operand_of(sn_tensor *x, const EquationTerm *term, Site site) {
    Labelled y = {.tensor = x};
    int32_t rank = term->count, first = 0;
    memcpy(y.labels, term->labels, sizeof y.labels);
    while (y.tensor && first < rank) {
        uint8_t label = y.labels[first];
        int32_t second = find_label(y.labels, first + 1, rank, label), kept = 0;
        if (second < 0) {
            first++;
            continue;
        }
        y.tensor = sn_diagonal_at(y.tensor, 0, first, second, site.file, site.line);
        for (int32_t i = 0; i < rank; i++)
            if (i != first && i != second) y.labels[kept++] = y.labels[i];
        y.labels[kept++] = label;
        rank = kept;
    }
    return y;
}

/* Labels that are needed behind operand i: the result's, and those of later operands. */
static LabelSet needed_behind(const Equation *e, int32_t operand, int32_t count) {
    LabelSet set = term_set(&e->result);
    for (int32_t i = operand + 1; i < count; i++) set |= term_set(&e->operands[i]);
    return set;
}

static Labelled load_operand(const Equation *e, sn_tensor *const *operands, int32_t count,
                             int32_t i, Site site) {
    Labelled x = operand_of(operands[i], &e->operands[i], site);
    LabelSet others = term_set(&e->result);
    for (int32_t j = 0; j < count; j++)
        if (j != i) others |= term_set(&e->operands[j]);
    return labelled_sum(&x, term_set(&e->operands[i]) & ~others, site);
}

static sn_tensor *evaluate(const Equation *e, sn_tensor *const *operands, int32_t count,
                           Site site) {
    Labelled all = load_operand(e, operands, count, 0, site);
    for (int32_t i = 1; all.tensor && i < count; i++) {
        Labelled x = load_operand(e, operands, count, i, site);
        LabelSet sums = labelled_set(&all) & labelled_set(&x) & ~needed_behind(e, i, count);
        all = labelled_product(&all, &x, sums, "einsum", site);
    }
    sn_tensor *result = labelled_order(&all, e->result.labels, e->result.count, site);
    if (result != operands[0]) return result;
    int64_t axes[SN_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    return dispatch_list(OP_PERMUTE, result, axes, result->rank, site);
}

/* As many operands are read as the equation has terms. */
static bool check_operands(const char *equation, sn_tensor *const *operands, int32_t count,
                           Site site) {
    char name[32];
    if (count < 1 || !operands)
        return error_refuse(SN_ERROR_ARGUMENT, site,
                            count < 1 ? "einsum: %d operands" : "einsum: operands is NULL",
                            (int)count);
    if (!equation_check_terms(equation, count, site)) return false;
    for (int32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "operands[%d]", (int)i);
        if (!tensor_check_present(operands[i], "einsum", name, site)) return false;
    }
    return true;
}

sn_tensor *sn_einsum_at(const char *equation, sn_tensor *const *operands, int32_t count,
                        const char *file, int32_t line) {
    Site site = site_at(file, line);
    Equation e;
    if (error_pending(thread_state()) || !check_operands(equation, operands, count, site) ||
        !scope_check(site) || !equation_read(&e, equation, operands, count, site))
        return NULL;
    sn_scope scope = sn_scope_begin();
    sn_tensor *result = sn_scope_end(scope, evaluate(&e, operands, count, site));
    equation_free(&e);
    return result ? result : error_of_call(site, "matmul", "einsum");
}

sn_tensor *sn_einsum(const char *equation, sn_tensor *const *operands, int32_t count) {
    return sn_einsum_at(equation, operands, count, NULL, 0);
}
