/* Views, joining and splitting; see opinfo_row.h. */
#include "opinfo_view.h"

#include <string.h>

/* ---- views ----------------------------------------------------------------------------------- */

static bool identity(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_contiguous(call_self(call)));
}

/* Views that take a list of integers. */
static bool with_list(OpinfoCall *call, const OpinfoRow *row) {
    int64_t list[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "dims"), list);
    sn_tensor *x = call_self(call);
    if (strcmp(row->op, "permute") == 0) return call_gives(call, sn_permute(x, list, count));
    if (strcmp(row->op, "flip") == 0) return call_gives(call, sn_flip(x, list, count));
    if (strcmp(row->op, "expand") == 0 || strcmp(row->op, "broadcast_to") == 0)
        return call_gives(call, sn_expand(x, list, count));
    return call_gives(call, sn_reshape(x, list, count));
}

static bool transpose(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axis0 = call_int(call, 0, "dim0", 0), axis1 = call_int(call, 1, "dim1", 0);
    return call_gives(call, sn_transpose(call_self(call), axis0, axis1));
}

/* The transpose of a matrix; a vector stays. */
static bool matrix_transpose(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    return call_gives(call, x && sn_rank(x) >= 2 ? sn_permute(x, SN_I(1, 0)) : x);
}

static bool squeeze(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axes[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "dim"), axes);
    return call_gives(call, sn_squeeze(call_self(call), axes, count));
}

static bool unsqueeze(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_unsqueeze(call_self(call), call_int(call, 0, "dim", 0)));
}

static bool diagonal(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t offset = call_int(call, 0, "offset", 0);
    int64_t axis0 = call_int(call, 1, "dim1", 0), axis1 = call_int(call, 2, "dim2", 1);
    return call_gives(call, sn_diagonal(call_self(call), offset, axis0, axis1));
}

static bool select_one(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axis = call_int(call, 0, "dim", 0), index = call_int(call, 1, "index", 0);
    return call_gives(call, sn_select(call_self(call), axis, index));
}

/* The start may be a tensor, which is read. */
static bool narrow(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axis = call_int(call, 0, "dim", 0), start = call_int(call, 1, "start", 0);
    int64_t length = call_int(call, 2, "length", 0);
    return call_gives(call, sn_narrow(call_self(call), axis, start, length));
}

static bool flatten(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    int64_t dims[SN_MAX_RANK + 1], first = call_int(call, 0, "start_dim", 0);
    int64_t last = call_int(call, 1, "end_dim", -1);
    int32_t rank = sn_shape(x, dims, NULL);
    if (rank == 0) return call_gives(call, sn_reshape(x, SN_I(1)));
    if (first < 0) first += rank;
    if (last < 0) last += rank;
    for (int64_t i = first + 1; i <= last; i++) dims[first] *= dims[i];
    for (int64_t i = last + 1; i < rank; i++) dims[first + i - last] = dims[i];
    return call_gives(call, sn_reshape(x, dims, (int32_t)(rank - (last - first))));
}

/* Axes `from` go to the places `to`, the others fill the rest in order. */
static bool movedim(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t from[OPINFO_MOST_TENSORS], to[OPINFO_MOST_TENSORS], axes[SN_MAX_RANK];
    int32_t count = call_ints(call, call_arg(call, 0, "source"), from);
    int32_t n_to = call_ints(call, call_arg(call, 1, "destination"), to);
    sn_tensor *x = call_self(call);
    int32_t rank = sn_rank(x);
    bool moved[SN_MAX_RANK] = {false};
    if (count != n_to)
        return opinfo_refuse(call, SN_ERROR_ARGUMENT, "movedim: lists differ in length");
    for (int32_t i = 0; i < rank; i++) axes[i] = -1;
    for (int32_t i = 0; i < count; i++) {
        int64_t axis = from[i] < 0 ? from[i] + rank : from[i];
        int64_t place = to[i] < 0 ? to[i] + rank : to[i];
        if (axis < 0 || axis >= rank || place < 0 || place >= rank)
            return opinfo_refuse(call, SN_ERROR_INDEX, "movedim: an axis is out of range");
        axes[place] = axis;
        moved[axis] = true;
    }
    for (int32_t i = 0, next = 0; i < rank; i++) { /* an axis too many is permute's to refuse */
        if (axes[i] >= 0) continue;
        while (next < rank && moved[next]) next++;
        axes[i] = next++;
    }
    return call_gives(call, sn_permute(x, axes, rank));
}

/* ---- splitting ------------------------------------------------------------------------------- */

static bool give_parts(OpinfoCall *call, sn_tensor *x, const int64_t *sizes, int32_t count,
                       int64_t axis) {
    sn_split(x, sizes, count, axis, call->results);
    call->n_results = count;
    return true;
}

/* Pieces of `size` of an axis of `whole`; the last may be smaller, and there is at least one. */
static int32_t equal_sizes(int64_t whole, int64_t size, int64_t *sizes) {
    int32_t count = 0;
    for (int64_t left = whole; count == 0 || left > 0; left -= size) {
        if (count == OPINFO_MOST_TENSORS) return 0;
        sizes[count++] = left < size ? left : size;
    }
    return count;
}

static bool split(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t sizes[OPINFO_MOST_TENSORS], axis = call_int(call, 1, "dim", 0);
    const cJSON *wanted = call_arg(call, 0, "split_size_or_sections");
    int32_t count = call_ints(call, wanted, sizes);
    sn_tensor *x = call_self(call);
    if (!cJSON_IsArray(wanted)) count = equal_sizes(sn_size(x, (int32_t)axis), sizes[0], sizes);
    return give_parts(call, x, sizes, count, axis);
}

static bool chunk(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t sizes[OPINFO_MOST_TENSORS], axis = call_int(call, 1, "dim", 0);
    int64_t chunks = call_int(call, 0, "chunks", 1);
    sn_tensor *x = call_self(call);
    int64_t whole = sn_size(x, (int32_t)axis), size = (whole + chunks - 1) / chunks;
    return give_parts(call, x, sizes, equal_sizes(whole, size, sizes), axis);
}

/* Pieces between indices, or so many that differ by one at most. */
static int32_t section_sizes(OpinfoCall *call, const cJSON *sections, int64_t whole,
                             int64_t *sizes) {
    int64_t bounds[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, sections, bounds);
    bool vector = call_is_tensor(sections) && sn_rank(call_operand(call, sections)) == 1;
    if (!cJSON_IsArray(sections) && !vector) {
        int32_t n = (int32_t)bounds[0];
        for (int32_t i = 0; i < n; i++) sizes[i] = whole / n + (i < whole % n);
        return n;
    }
    int64_t from = 0;
    for (int32_t i = 0; i <= count; i++) {
        int64_t to = i == count || bounds[i] > whole ? whole : bounds[i];
        sizes[i] = to - from;
        from = to;
    }
    return count + 1;
}

static bool tensor_split(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t sizes[OPINFO_MOST_TENSORS], axis = call_int(call, 1, "dim", 0);
    const cJSON *sections = call_arg(call, 0, "indices_or_sections");
    sn_tensor *x = call_self(call);
    int32_t count = section_sizes(call, sections, sn_size(x, (int32_t)axis), sizes);
    return give_parts(call, x, sizes, count, axis);
}

static bool unbind(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    int64_t axis = call_int(call, 0, "dim", 0), count = sn_size(x, (int32_t)axis);
    for (int64_t i = 0; i < count; i++) call_gives(call, sn_select(x, axis, i));
    return true;
}

/* ---- joining --------------------------------------------------------------------------------- */

static bool join(OpinfoCall *call, const OpinfoRow *row) {
    sn_tensor *parts[OPINFO_MOST_TENSORS];
    int32_t count = call_list(call, call->recorded->input, parts);
    int64_t axis = call_int(call, 0, "dim", 0);
    bool stacks = strcmp(row->op, "stack") == 0;
    return call_gives(call, stacks ? sn_stack(parts, count, axis) : sn_cat(parts, count, axis));
}

/* Vectors along their axis, all else along axis 1. */
static bool hstack(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *parts[OPINFO_MOST_TENSORS];
    int32_t count = call_list(call, call->recorded->input, parts);
    for (int32_t i = 0; i < count; i++)
        if (sn_rank(parts[i]) == 0) parts[i] = sn_reshape(parts[i], SN_I(1));
    return call_gives(call, sn_cat(parts, count, sn_rank(parts[0]) == 1 ? 0 : 1));
}

/* Rows below each other; a vector is a row. */
static bool vstack(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *parts[OPINFO_MOST_TENSORS];
    int32_t count = call_list(call, call->recorded->input, parts);
    for (int32_t i = 0; i < count; i++)
        if (sn_rank(parts[i]) < 2) parts[i] = sn_reshape(parts[i], SN_I(1, -1));
    return call_gives(call, sn_cat(parts, count, 0));
}

static bool pad(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t pads[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "pad"), pads);
    return call_gives(call, sn_pad(call_self(call), pads, count, call_float(call, 2, "value", 0)));
}

/* ---- the table ------------------------------------------------------------------------------- */

static const OpinfoRow rows[] = {
    FORM("contiguous", identity),
    FORM("reshape", with_list),
    FORM("view", with_list),
    FORM("permute", with_list),
    FORM("flip", with_list),
    FORM("expand", with_list),
    FORM("broadcast_to", with_list),
    FORM("transpose", transpose),
    FORM("t", matrix_transpose),
    FORM("squeeze", squeeze),
    FORM("unsqueeze", unsqueeze),
    FORM("diagonal", diagonal),
    FORM("select", select_one),
    FORM("narrow", narrow),
    FORM("flatten", flatten),
    FORM("movedim", movedim),
    FORM("split", split),
    FORM("split_with_sizes", split),
    FORM("chunk", chunk),
    FORM("tensor_split", tensor_split),
    FORM("unbind", unbind),
    FORM("cat", join),
    FORM("stack", join),
    FORM("hstack", hstack),
    FORM("vstack", vstack),
    {"nn.functional.pad", "constant", pad, {.unary = NULL}},
};

const OpinfoTable opinfo_view = {rows, sizeof rows / sizeof *rows};
