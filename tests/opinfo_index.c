/* Indexing by tensors, and creation; see opinfo_row.h. */
#include "opinfo_index.h"

#include <math.h>
#include <string.h>

/* ---- x[...] ---------------------------------------------------------------------------------- */

/* An index as it is built up. */
typedef struct Indexing {
    sn_index_item items[2 * SN_MAX_RANK]; /* slices and integers */
    int32_t count;                        /* how many */
    int32_t axis;                         /* of the result so far */
    const cJSON *list;                    /* the one list of indices, or NULL */
    int32_t list_axis;                    /* the axis that it indexes, after the slices */
} Indexing;

static bool is_plain(const cJSON *item) {
    double value;
    return cJSON_IsNumber(item) || cJSON_IsBool(item) || opinfo_is_float(item, &value);
}

/* Python's rule for a list as an index: it stands for a tuple unless it holds integers only. */
static bool is_tuple(const cJSON *index) {
    if (!cJSON_IsArray(index)) return false;
    for (const cJSON *item = index->child; item; item = item->next)
        if (!is_plain(item)) return true;
    return false;
}

static int64_t bound(const cJSON *slice, int which, int64_t fallback) {
    const cJSON *node = cJSON_GetArrayItem(slice, which);
    return cJSON_IsNumber(node) ? (int64_t)node->valuedouble : fallback;
}

static void add_all(Indexing *x, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        x->items[x->count++] = (sn_index_item)SN_ALL;
        x->axis++;
    }
}

/* Adds an item of the index; false if it needs an op that there is not. */
static bool add_item(Indexing *x, const cJSON *item, int32_t spare) {
    const cJSON *slice = cJSON_GetObjectItemCaseSensitive(item, "slice");
    if (slice) {
        int64_t step = bound(slice, 2, 1);
        x->items[x->count++] = (sn_index_item)SN_STEP(bound(slice, 0, step < 0 ? -1 : 0),
                                                      bound(slice, 1, SN_END), step);
        x->axis++;
    } else if (cJSON_GetObjectItemCaseSensitive(item, "ellipsis")) {
        add_all(x, spare);
    } else if (cJSON_IsNull(item)) {
        x->items[x->count++] = (sn_index_item)SN_NEW;
        x->axis++;
    } else if (cJSON_IsNumber(item)) {
        x->items[x->count++] = (sn_index_item)SN_AT((int64_t)item->valuedouble);
    } else {
        if (x->list) return false;
        x->list = item;
        x->list_axis = x->axis;
        add_all(x, 1);
    }
    return true;
}

/* The indices of a list or tensor as a tensor. */
static sn_tensor *index_tensor(OpinfoCall *call, const cJSON *list) {
    if (call_is_tensor(list)) return call_operand(call, list);
    int64_t values[OPINFO_MOST_TENSORS], count;
    count = call_ints(call, list, values);
    return sn_from_copy(values, (size_t)count * sizeof *values, &count, 1, SN_I64);
}

/* x indexed along one axis by an index of any rank. */
static sn_tensor *index_axis(sn_tensor *x, int32_t axis, sn_tensor *index) {
    int64_t dims[2 * SN_MAX_RANK], own[SN_MAX_RANK];
    int32_t rank = sn_shape(x, own, NULL), count = 0, wanted = sn_rank(index);
    for (int32_t i = 0; i < axis; i++) dims[count++] = own[i];
    for (int32_t i = 0; i < wanted; i++) dims[count++] = sn_size(index, i);
    for (int32_t i = axis + 1; i < rank; i++) dims[count++] = own[i];
    return sn_reshape(sn_index_select(x, axis, sn_reshape(index, SN_I(-1))), dims, count);
}

/* x indexed by a mask over as many axes as the mask has: those become one. */
static sn_tensor *mask_axes(sn_tensor *x, int32_t axis, sn_tensor *mask) {
    int64_t dims[SN_MAX_RANK], own[SN_MAX_RANK];
    int32_t rank = sn_shape(x, own, NULL), masked = sn_rank(mask), count = 0;
    for (int32_t i = 0; i < axis; i++) dims[count++] = own[i];
    dims[count++] = sn_count(mask);
    for (int32_t i = axis + masked; i < rank; i++) dims[count++] = own[i];
    sn_tensor *positions = sn_nonzero(sn_reshape(mask, SN_I(-1)));
    return sn_index_select(sn_reshape(x, dims, count), axis, sn_reshape(positions, SN_I(-1)));
}

static bool getitem(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const cJSON *index = cJSON_GetArrayItem(call->recorded->args, 0);
    bool tuple = is_tuple(index), fits = true;
    sn_tensor *x = call_self(call);
    Indexing built = {.count = 0};
    int32_t named = 0;
    for (const cJSON *item = tuple ? index->child : NULL; item; item = item->next)
        if (!cJSON_IsNull(item) && !cJSON_GetObjectItemCaseSensitive(item, "ellipsis")) named++;
    if (!tuple) fits = add_item(&built, index, 0);
    for (const cJSON *item = tuple ? index->child : NULL; item && fits; item = item->next)
        fits = add_item(&built, item, sn_rank(x) - named);
    sn_tensor *list = fits && built.list ? index_tensor(call, built.list) : NULL;
    if (!fits) return call_skip(call, "no such op: indexing by several index tensors at once");
    sn_tensor *view = sn_index(x, built.items, built.count);
    if (!list || !view) return call_gives(call, view);
    bool masked = sn_dtype_of(list) == SN_BOOL;
    return call_gives(call, masked ? mask_axes(view, built.list_axis, list)
                                   : index_axis(view, built.list_axis, list));
}

/* ---- indexing by a tensor -------------------------------------------------------------------- */

static bool gather(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_gather(call_self(call), call_int(call, 0, "dim", 0),
                                      call_tensor(call, 1, "index")));
}

static bool index_select(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_index_select(call_self(call), call_int(call, 0, "dim", 0),
                                            call_tensor(call, 1, "index")));
}

static bool embedding(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    if (call_arg(call, OPINFO_NOWHERE, "max_norm"))
        return call_skip(call, "no such op: embedding that renormalises its rows");
    return call_gives(call, sn_embedding(call_self(call), call_tensor(call, 0, "indices")));
}

static bool masked_select(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_masked_select(call_self(call), call_tensor(call, 0, "mask")));
}

/* as_tuple: a tensor for each axis; a tensor without axes counts as one of one element. */
static bool nonzero(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    bool columns = call_bool(call, OPINFO_NOWHERE, "as_tuple", false);
    sn_tensor *where = sn_nonzero(columns && sn_rank(x) == 0 ? sn_reshape(x, SN_I(1)) : x);
    if (!columns) return call_gives(call, where);
    int64_t axes = sn_size(where, 1);
    for (int64_t i = 0; i < axes && i < OPINFO_MOST_TENSORS; i++)
        call->results[call->n_results++] = sn_select(where, 1, i);
    return true;
}

static bool scatter_add(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call,
                      sn_scatter_add(call_self(call), call_int(call, 0, "dim", 0),
                                     call_tensor(call, 1, "index"), call_tensor(call, 2, "src")));
}

/* scatter and scatter_reduce, where they add. */
static bool scatter_adding(OpinfoCall *call, const OpinfoRow *row) {
    const char *how = call_text(call, 3, "reduce", "");
    bool adds = strcmp(how, "add") == 0 || strcmp(how, "sum") == 0;
    if (!adds || !call_is_tensor(call_arg(call, 2, "src")))
        return call_skip(call, "no such op: scatter that does not add a tensor");
    if (!call_bool(call, OPINFO_NOWHERE, "include_self", true))
        return call_skip(call, "no such op: scatter that forgets the old elements");
    return scatter_add(call, row);
}

static bool index_copy(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call,
                      sn_index_copy(call_self(call), call_int(call, 0, "dim", 0),
                                    call_tensor(call, 1, "index"), call_tensor(call, 2, "source")));
}

static bool triangle(OpinfoCall *call, const OpinfoRow *row) {
    return call_gives(call, row->with.axis(call_self(call), call_int(call, 0, "diagonal", 0)));
}

/* A number of classes of -1 means one more than the largest index, which is read. */
static bool one_hot(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t classes = call_int(call, 0, "num_classes", -1);
    sn_tensor *x = call_self(call);
    if (classes < 0) classes = sn_item_int(sn_max(x, SN_I0, false)) + 1;
    return call_gives(call, sn_one_hot(x, classes));
}

/* ---- creation -------------------------------------------------------------------------------- */

static bool fill_like(OpinfoCall *call, const OpinfoRow *row) {
    bool given = strcmp(row->op, "full_like") == 0;
    double value = given ? call_float(call, 0, "fill_value", 0) : row->with.number;
    sn_tensor *x = call_self(call);
    int64_t dims[SN_MAX_RANK];
    int32_t rank = sn_shape(x, dims, NULL);
    sn_dtype dtype = call_dtype(call, OPINFO_NOWHERE, "dtype", x ? sn_dtype_of(x) : SN_F32);
    return call_gives(call, sn_full(dims, rank, value, dtype));
}

static bool arange(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    const OpinfoCase *c = call->recorded;
    const cJSON *end_by_name = call_arg(call, OPINFO_NOWHERE, "end");
    double numbers[3] = {0, 0, 1}, value;
    int32_t count = 0;
    bool floating = opinfo_is_float(c->input, &value);
    numbers[count++] = call_number(call, c->input);
    for (const cJSON *node = c->args->child; node && count < 3; node = node->next) {
        floating = floating || opinfo_is_float(node, &value);
        numbers[count++] = call_number(call, node);
    }
    if (end_by_name) {
        numbers[count++] = call_number(call, end_by_name);
    } else if (count == 1) {
        numbers[1] = numbers[0];
        numbers[0] = 0;
    }
    sn_dtype dtype = call_dtype(call, OPINFO_NOWHERE, "dtype", floating ? SN_F32 : SN_I64);
    /* PyTorch 1.13, unlike later ones and NumPy, counts i64 elements without fractions. */
    for (int32_t i = 0; i < 3 && dtype == SN_I64; i++) numbers[i] = trunc(numbers[i]);
    return call_gives(call, sn_arange(numbers[0], numbers[1], numbers[2], dtype));
}

/* ---- the table ------------------------------------------------------------------------------- */

static const OpinfoRow rows[] = {
    FORM("__getitem__", getitem),
    FORM("gather", gather),
    FORM("index_select", index_select),
    FORM("nn.functional.embedding", embedding),
    FORM("masked_select", masked_select),
    FORM("nonzero", nonzero),
    FORM("scatter_add", scatter_add),
    FORM("scatter", scatter_adding),
    {"scatter_reduce", "sum", scatter_adding, {.unary = NULL}},
    FORM("index_copy", index_copy),
    {"tril", NULL, triangle, {.axis = sn_tril}},
    {"triu", NULL, triangle, {.axis = sn_triu}},
    FORM("nn.functional.one_hot", one_hot),
    FORM("full_like", fill_like),
    {"zeros_like", NULL, fill_like, {.number = 0}},
    {"ones_like", NULL, fill_like, {.number = 1}},
    FORM("arange", arange),
};

const OpinfoTable opinfo_index = {rows, sizeof rows / sizeof *rows};
