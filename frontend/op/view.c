/* The strides that a view op makes of its operand's; see view.h. */
#include "frontend/op/view.h"

/* The view's layout as it is built. */
typedef struct Layout {
    const AttrList *attrs;  /* normalised attributes of the op */
    const sn_tensor *x;     /* the operand */
    const TensorType *type; /* the result */
    int64_t *strides;       /* of the result */
    int64_t *offset;        /* of the result */
} Layout;

typedef bool LayoutRule(Layout *l);

/* Runs of axes of x that are dense relative to each other (each stride is the next one's reach) are
 * taken innermost first; the result's dims must divide each run exactly, or a copy is needed. */
static bool layout_reshape(Layout *l) {
    const sn_tensor *x = l->x;
    const int64_t *dims = type_sizes(l->type);
    int32_t at = l->type->rank - 1;
    if (sizes_count(dims, l->type->rank) == 0 || x->rank == 0) {
        dense_strides(dims, l->type->rank, l->strides);
        return true;
    }
    int64_t base = x->strides[x->rank - 1], run = 1;
    for (int32_t i = x->rank - 1; i >= 0; i--) {
        run *= x->dims[i];
        bool continues = i > 0 && (x->dims[i - 1] == 1 || x->strides[i - 1] == run * base);
        if (continues) continue;
        int64_t filled = 1;
        while (at >= 0 && (filled < run || dims[at] == 1)) {
            l->strides[at] = filled * base;
            filled *= dims[at--];
        }
        if (filled != run) return false;
        if (i > 0) base = x->strides[i - 1];
        run = 1;
    }
    return at < 0;
}

static bool layout_permute(Layout *l) {
    for (int32_t i = 0; i < l->type->rank; i++)
        l->strides[i] = l->x->strides[l->attrs->words[1 + i]];
    return true;
}

static bool layout_transpose(Layout *l) {
    memcpy(l->strides, l->x->strides, sizeof(int64_t) * l->x->rank);
    if (l->x->rank == 0) return true;
    int64_t axis0 = l->attrs->words[0], axis1 = l->attrs->words[1];
    l->strides[axis0] = l->x->strides[axis1];
    l->strides[axis1] = l->x->strides[axis0];
    return true;
}

static bool layout_expand(Layout *l) {
    int32_t added = l->type->rank - l->x->rank;
    for (int32_t i = 0; i < l->type->rank; i++) {
        bool own = i >= added && (l->x->dims[i - added] != 1 || dim_is(l->type->dims[i], 1));
        l->strides[i] = own ? l->x->strides[i - added] : 0;
    }
    return true;
}

static bool layout_squeeze(Layout *l) {
    int32_t at = 0;
    int64_t listed = l->attrs->words[0];
    for (int32_t i = 0; i < l->x->rank; i++) {
        bool drop = false;
        for (int64_t j = 0; j < listed; j++) drop = drop || l->attrs->words[1 + j] == i;
        if (!drop || l->x->dims[i] != 1) l->strides[at++] = l->x->strides[i];
    }
    return true;
}

static bool layout_unsqueeze(Layout *l) {
    int64_t axis = l->attrs->words[0];
    for (int32_t i = 0, from = 0; i < l->type->rank; i++) {
        if (i == axis)
            l->strides[i] = from < l->x->rank ? l->x->strides[from] * l->x->dims[from] : 1;
        else
            l->strides[i] = l->x->strides[from++];
    }
    return true;
}

static bool layout_slice(Layout *l) {
    int32_t rank = l->x->rank;
    const int64_t *starts = l->attrs->words + 1, *steps = starts + rank + 1;
    for (int32_t i = 0; i < rank; i++) {
        l->strides[i] = l->x->strides[i] * steps[i];
        if (l->type->dims[i].word > 0) *l->offset += starts[i] * l->x->strides[i];
    }
    return true;
}

static bool layout_select(Layout *l) {
    int64_t axis = l->attrs->words[0];
    for (int32_t i = 0, at = 0; i < l->x->rank; i++)
        if (i != axis) l->strides[at++] = l->x->strides[i];
    *l->offset += l->attrs->words[1] * l->x->strides[axis];
    return true;
}

static bool layout_flip(Layout *l) {
    memcpy(l->strides, l->x->strides, sizeof(int64_t) * l->x->rank);
    for (int64_t j = 0; j < l->attrs->words[0]; j++) {
        int64_t axis = l->attrs->words[1 + j];
        if (l->x->dims[axis] > 0) *l->offset += (l->x->dims[axis] - 1) * l->x->strides[axis];
        l->strides[axis] = -l->x->strides[axis];
    }
    return true;
}

static bool layout_diagonal(Layout *l) {
    int64_t shift = l->attrs->words[0], axis0 = l->attrs->words[1], axis1 = l->attrs->words[2];
    int32_t at = 0;
    for (int32_t i = 0; i < l->x->rank; i++)
        if (i != axis0 && i != axis1) l->strides[at++] = l->x->strides[i];
    l->strides[at] = l->x->strides[axis0] + l->x->strides[axis1];
    if (l->type->dims[at].word > 0)
        *l->offset += shift < 0 ? -shift * l->x->strides[axis0] : shift * l->x->strides[axis1];
    return true;
}

static bool layout_narrow(Layout *l) {
    memcpy(l->strides, l->x->strides, sizeof(int64_t) * l->x->rank);
    if (l->attrs->words[2] > 0)
        *l->offset += l->attrs->words[1] * l->x->strides[l->attrs->words[0]];
    return true;
}

bool view_infer(View *view, const OpCall *call, const sn_tensor *x) {
    sn_error error;
    error_init(&error);
    TensorType from;
    tensor_type_to(x, &from);
    view->op = call->op;
    attr_copy(&view->attrs, attr_view(call->op, call->attrs));
    return op_infer(NULL, call->op, &from, 1, &view->attrs, &view->type, &error) == SN_OK ||
           error_raise_from(&error, call->site) != NULL;
}

bool view_place(View *view, const sn_tensor *x) {
    static LayoutRule *const rules[OP_COUNT] = {
        [OP_RESHAPE] = layout_reshape,     [OP_PERMUTE] = layout_permute,
        [OP_TRANSPOSE] = layout_transpose, [OP_EXPAND] = layout_expand,
        [OP_SQUEEZE] = layout_squeeze,     [OP_UNSQUEEZE] = layout_unsqueeze,
        [OP_SLICE] = layout_slice,         [OP_SELECT] = layout_select,
        [OP_FLIP] = layout_flip,           [OP_DIAGONAL] = layout_diagonal,
        [OP_NARROW] = layout_narrow,
    };
    Layout layout = {&view->attrs, x, &view->type, view->strides, &view->offset};
    view->offset = x->offset;
    return rules[view->op](&layout);
}
