/* sn_tensordot: a pair of axes has a label, as has each other axis, and the rest is a product of labelled
 * tensors. */
#include "frontend/op/labels.h"

#include "ir/op/type.h"

#include <sinter/compose.h>

#undef sn_tensordot

static TypeText text_of(const sn_tensor *tensor) {
    TensorType type = tensor_type(tensor);
    return type_text(&type);
}

/* An operand of tensordot: the axes that are summed, and how errors call them. */
typedef struct DotOperand {
    const sn_tensor *tensor; /* the operand */
    const char *name;        /* x, y */
    const int64_t *dims;     /* its axes that are summed */
    int32_t count;           /* how many */
} DotOperand;

/* Numbers of pairs for the axes that are in one, from `first` on for the others. */
static bool label_axes(const DotOperand *o, int32_t first, Labelled *to, Site site) {
    int32_t rank = o->tensor->rank;
    memset(to->labels, LABEL_MOST, sizeof to->labels);
    if (o->count > rank)
        return error_refuse(SN_ERROR_ARGUMENT, site, "tensordot: dims_%s has %d axes: %s is %s",
                            o->name, (int)o->count, o->name, text_of(o->tensor).text);
    for (int32_t i = 0; i < o->count; i++) {
        int64_t axis = o->dims[i] < 0 ? o->dims[i] + rank : o->dims[i];
        if (axis < 0 || axis >= rank)
            return error_refuse(SN_ERROR_INDEX, site, "tensordot: %s has no axis %lld: %s is %s",
                                o->name, (long long)o->dims[i], o->name, text_of(o->tensor).text);
        if (to->labels[axis] != LABEL_MOST)
            return error_refuse(SN_ERROR_ARGUMENT, site,
                                "tensordot: axis %lld of %s is named twice", (long long)o->dims[i],
                                o->name);
        to->labels[axis] = (uint8_t)i;
    }
    for (int32_t i = 0; i < rank && i < SN_MAX_RANK; i++) /* gcc does not know the rank's bound */
        if (to->labels[i] == LABEL_MOST) to->labels[i] = (uint8_t)(first + i);
    return true;
}

static bool check_lists(const DotOperand *x, const DotOperand *y, Site site) {
    const DotOperand *wrong = x->count < 0 || (x->count && !x->dims) ? x : y;
    if (wrong->count < 0 || (wrong->count && !wrong->dims))
        return error_refuse(SN_ERROR_ARGUMENT, site,
                            wrong->dims ? "tensordot: dims_%s cannot have %d entries"
                                        : "tensordot: dims_%s is NULL, but has %d entries",
                            wrong->name, (int)wrong->count);
    return x->count == y->count ||
           error_refuse(SN_ERROR_ARGUMENT, site, "tensordot: %d axes of x are paired with %d of y",
                        (int)x->count, (int)y->count);
}

static bool check_pairs(const DotOperand *x, const DotOperand *y, Site site) {
    for (int32_t i = 0; i < x->count; i++) {
        int64_t axis_x = x->dims[i], axis_y = y->dims[i];
        int64_t of_x = x->tensor->dims[axis_x < 0 ? axis_x + x->tensor->rank : axis_x];
        int64_t of_y = y->tensor->dims[axis_y < 0 ? axis_y + y->tensor->rank : axis_y];
        if (of_x != of_y && of_x != 1 && of_y != 1)
            return error_refuse(SN_ERROR_SHAPE, site,
                                "tensordot: axis %lld of x has size %lld, but axis %lld of y %lld: "
                                "x is %s, y is %s",
                                (long long)axis_x, (long long)of_x, (long long)axis_y,
                                (long long)of_y, text_of(x->tensor).text, text_of(y->tensor).text);
    }
    return true;
}

static sn_tensor *dot(const Labelled *x, const Labelled *y, int32_t pairs, Site site) {
    uint8_t order[2 * SN_MAX_RANK];
    int32_t count = 0;
    Labelled z = labelled_product(x, y, label_set(pairs) - 1, "tensordot", site);
    for (int32_t i = 0; i < x->tensor->rank; i++)
        if (x->labels[i] >= pairs) order[count++] = x->labels[i];
    for (int32_t i = 0; i < y->tensor->rank; i++)
        if (y->labels[i] >= pairs) order[count++] = y->labels[i];
    return labelled_order(&z, order, count, site);
}

sn_tensor *sn_tensordot_at(sn_tensor *x, sn_tensor *y, const int64_t *dims_x, int32_t n_x,
                           const int64_t *dims_y, int32_t n_y, const char *file, int32_t line) {
    Site site = site_at(file, line);
    const DotOperand of_x = {x, "x", dims_x, n_x}, of_y = {y, "y", dims_y, n_y};
    Labelled in_x = {.tensor = x}, in_y = {.tensor = y};
    if (error_pending(thread_state()) || !tensor_check_present(x, "tensordot", "x", site) ||
        !tensor_check_present(y, "tensordot", "y", site) || !scope_check(site) ||
        !check_lists(&of_x, &of_y, site) || !label_axes(&of_x, SN_MAX_RANK, &in_x, site) ||
        !label_axes(&of_y, 2 * SN_MAX_RANK, &in_y, site) || !check_pairs(&of_x, &of_y, site))
        return NULL;
    sn_scope scope = sn_scope_begin();
    sn_tensor *z = sn_scope_end(scope, dot(&in_x, &in_y, n_x, site));
    return z ? z : error_of_call(site, "matmul", "tensordot");
}

sn_tensor *sn_tensordot(sn_tensor *x, sn_tensor *y, const int64_t *dims_x, int32_t n_x,
                        const int64_t *dims_y, int32_t n_y) {
    return sn_tensordot_at(x, y, dims_x, n_x, dims_y, n_y, NULL, 0);
}
