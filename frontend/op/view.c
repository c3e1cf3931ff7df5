/* What a view op makes of its operand's layout; see view.h. */
#include "frontend/op/view.h"
#include "ir/infer/infer.h"

bool view_infer(View *view, const OpCall *call, const sn_tensor *x) {
    sn_error error;
    error_init(&error);
    view->op = call->op;
    tensor_type_to(x, &view->input);
    attr_copy(&view->attrs, attr_view(call->op, call->attrs));
    if (op_infer(NULL, call->op, &view->input, 1, &view->attrs, &view->type, &error) == SN_OK)
        return true;
    error_raise_from(&error, call->site);
    return false;
}

bool view_place(View *view, const sn_tensor *x) {
    if (!view_layout(attr_view(view->op, &view->attrs), &view->input, x->strides, &view->type,
                     view->strides, &view->offset))
        return false;
    view->offset += x->offset;
    return true;
}
