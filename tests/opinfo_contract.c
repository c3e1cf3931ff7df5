/* einsum, tensordot, bilinear; see opinfo_row.h. */
#include "opinfo_contract.h"

static bool einsum(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *operands[OPINFO_MOST_TENSORS];
    int32_t count = call_list(call, call->recorded->input, operands);
    return call_gives(call, sn_einsum(call_text(call, 0, "equation", ""), operands, count));
}

/* A number in place of lists pairs so many axes, the last ones of x with the first of y. */
static bool tensordot(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    const cJSON *dims = call_arg(call, 1, "dims");
    int64_t of_x[OPINFO_MOST_TENSORS], of_y[OPINFO_MOST_TENSORS];
    int32_t n_x, n_y;
    if (cJSON_IsArray(dims)) {
        n_x = call_ints(call, cJSON_GetArrayItem(dims, 0), of_x);
        n_y = call_ints(call, cJSON_GetArrayItem(dims, 1), of_y);
    } else {
        n_x = n_y = (int32_t)call_int(call, 1, "dims", 2);
        for (int32_t i = 0; i < n_x; i++) of_x[i] = sn_rank(x) - n_x + i, of_y[i] = i;
    }
    return call_gives(call, sn_tensordot(x, call_tensor(call, 0, "other"), of_x, n_x, of_y, n_y));
}

static bool bilinear(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const cJSON *bias = call_arg(call, 2, "bias");
    return call_gives(call, sn_bilinear(call_self(call), call_tensor(call, 0, "input2"),
                                        call_tensor(call, 1, "weight"),
                                        bias ? call_operand(call, bias) : SN_NONE));
}

static const OpinfoRow rows[] = {
    FORM("einsum", einsum),
    FORM("tensordot", tensordot),
    FORM("nn.functional.bilinear", bilinear),
};

const OpinfoTable opinfo_contract = {rows, sizeof rows / sizeof *rows};
