/* Indexing and splitting by slices, selections and reshapes: sn_index, sn_split. */
#include "frontend/op/dispatch.h"

#include "ir/op/type.h"

#undef sn_index
#undef sn_split

/* NumPy's clamping of start:stop:step to an axis; the first index and the number of them. */
static void clamp_range(const sn_index_item *item, int64_t size, int64_t *first, int64_t *count) {
    int64_t step = item->step, start = item->start, stop = item->stop;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    if (step < 0 && start == SN_END) start = size - 1;
    if (stop == SN_END) {
        stop = high;
        if (step < 0) stop = -1;
    } else if (stop < 0) {
        stop += size;
    }
    if (start < 0) start += size;
    start = start < low ? low : start > high ? high : start;
    stop = stop < low ? low : stop > high ? high : stop;
    int64_t span = step > 0 ? stop - start : start - stop;
    int64_t stride = step > 0 ? step : -step;
    *count = span > 0 ? (span - 1) / stride + 1 : 0;
    *first = *count ? start : 0;
}

/* Of at most one element no step is taken: one that would make a stride of which eight, added up by
 * diagonals, make none counts as 1. */
static int64_t fitting_step(int64_t step, int64_t count, int64_t stride) {
    const int64_t most = SIZE_MOST / SN_MAX_RANK;
    int64_t way;
    bool fits = !__builtin_mul_overflow(step, stride, &way) && way <= most && way >= -most;
    return count > 1 || fits ? step : 1;
}

/* What sn_index does in turn: a slice of all axes, then the axes that go or come. */
typedef struct IndexPlan {
    int64_t starts[SN_MAX_RANK], steps[SN_MAX_RANK], dims[SN_MAX_RANK]; /* of the slice */
    int64_t result[SN_MAX_RANK];                                        /* dims of the result */
    int32_t rank;                                                       /* of the result */
} IndexPlan;

static bool plan_item(const sn_index_item *item, int32_t axis, const sn_tensor *x, IndexPlan *plan,
                      Site site) {
    int64_t size = x->dims[axis], first = 0, count = size, step = 1;
    bool keeps = true;
    if (item && item->kind == SN_INDEX_AT) {
        first = item->start < 0 ? item->start + size : item->start;
        if (first < 0 || first >= size)
            return error_refuse(SN_ERROR_INDEX, site,
                                "index: %lld is out of range for axis %d of size %lld",
                                (long long)item->start, (int)axis, (long long)size);
        count = 1;
        keeps = false;
    } else if (item && item->kind == SN_INDEX_RANGE) {
        if (item->step == 0 || item->step == INT64_MIN)
            return error_refuse(SN_ERROR_ARGUMENT, site, "index: the step of axis %d is %s",
                                (int)axis, item->step ? "too large" : "0");
        clamp_range(item, size, &first, &count);
        step = fitting_step(item->step, count, x->strides[axis]);
    }
    plan->starts[axis] = first;
    plan->steps[axis] = step;
    plan->dims[axis] = count;
    if (!keeps) return true;
    if (plan->rank == SN_MAX_RANK)
        return error_refuse(SN_ERROR_SHAPE, site, "index: more than %d dims", SN_MAX_RANK);
    plan->result[plan->rank++] = count;
    return true;
}

static bool plan_index(const sn_tensor *x, const sn_index_item *items, int32_t count,
                       IndexPlan *plan, Site site) {
    int32_t axis = 0;
    for (int32_t i = 0; i < count; i++) {
        if (items[i].kind == SN_INDEX_NEW) {
            if (plan->rank == SN_MAX_RANK)
                return error_refuse(SN_ERROR_SHAPE, site, "index: more than %d dims", SN_MAX_RANK);
            plan->result[plan->rank++] = 1;
            continue;
        }
        if ((uint32_t)items[i].kind > SN_INDEX_NEW)
            return error_refuse(SN_ERROR_ARGUMENT, site,
                                "index: item %d has kind %d, which is none", (int)i,
                                (int)items[i].kind);
        if (axis == x->rank)
            return error_refuse(SN_ERROR_INDEX, site,
                                "index: more than %d axes are named for a tensor of rank %d",
                                (int)axis, (int)x->rank);
        if (!plan_item(&items[i], axis++, x, plan, site)) return false;
    }
    for (; axis < x->rank; axis++)
        if (!plan_item(NULL, axis, x, plan, site)) return false;
    return true;
}

sn_tensor *sn_index_at(sn_tensor *x, const sn_index_item *items, int32_t count, const char *file,
                       int32_t line) {
    Site site = site_at(file, line);
    if (error_pending(thread_state()) || !tensor_check_present(x, "index", "x", site)) return NULL;
    if (count < 0 || (count && !items))
        return error_raise(SN_ERROR_ARGUMENT, site, "index: %d items, %s", (int)count,
                           items ? "a negative number" : "but items is NULL");
    IndexPlan plan = {.rank = 0};
    if (!plan_index(x, items, count, &plan, site)) return NULL;
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, plan.starts, x->rank);
    attr_add_list(&attrs, plan.steps, x->rank);
    attr_add_list(&attrs, plan.dims, x->rank);
    sn_tensor *part = dispatch_op(OP_SLICE, &x, 1, &attrs, NULL, site);
    bool same = part && plan.rank == part->rank;
    for (int32_t i = 0; same && i < plan.rank; i++) same = plan.result[i] == part->dims[i];
    if (!part || same) return part;
    return dispatch_list(OP_RESHAPE, part, plan.result, plan.rank, site);
}

sn_tensor *sn_index(sn_tensor *x, const sn_index_item *items, int32_t count) {
    return sn_index_at(x, items, count, NULL, 0);
}

static TypeText text_of(const sn_tensor *tensor) {
    TensorType type = tensor_type(tensor);
    return type_text(&type);
}

/* Do the sizes add up to the axis? */
static bool check_sizes(const sn_tensor *x, const int64_t *sizes, int32_t count, int64_t axis,
                        Site site) {
    int64_t wanted = x->dims[axis < 0 ? axis + x->rank : axis], sum = 0;
    for (int32_t i = 0; i < count; i++) {
        if (sizes[i] < 0)
            return error_refuse(SN_ERROR_SHAPE, site, "split: sizes[%d] is %lld, a negative size",
                                (int)i, (long long)sizes[i]);
        if (__builtin_add_overflow(sum, sizes[i], &sum)) sum = INT64_MAX;
    }
    return sum == wanted ||
           error_refuse(SN_ERROR_SHAPE, site,
                        "split: the sizes add up to %lld, but axis %lld has size %lld: x is %s",
                        (long long)sum, (long long)axis, (long long)wanted, text_of(x).text);
}

static bool check_split(const sn_tensor *x, const int64_t *sizes, int32_t count, int64_t axis,
                        sn_tensor *const *parts, Site site) {
    const char *defect = x->kind == TENSOR_NONE ? "x is SN_NONE"
                         : count < 0            ? "the number of sizes is negative"
                         : count && !sizes      ? "sizes is NULL"
                         : count && !parts      ? "parts is NULL"
                                                : NULL;
    if (defect) return error_refuse(SN_ERROR_ARGUMENT, site, "split: %s", defect);
    if (axis < -x->rank || axis >= x->rank)
        return error_refuse(SN_ERROR_INDEX, site,
                            "split: axis %lld is out of range for x, which is %s", (long long)axis,
                            text_of(x).text);
    return check_sizes(x, sizes, count, axis, site);
}

bool sn_split_at(sn_tensor *x, const int64_t *sizes, int32_t count, int64_t axis, sn_tensor **parts,
                 const char *file, int32_t line) {
    Site site = site_at(file, line);
    for (int32_t i = 0; parts && i < count; i++) parts[i] = NULL;
    if (error_pending(thread_state()) || !tensor_check(x, "split", "x", site) ||
        !check_split(x, sizes, count, axis, parts, site))
        return false;
    int64_t own = axis < 0 ? axis + x->rank : axis, start = 0;
    for (int32_t i = 0; i < count; i++) {
        parts[i] = sn_narrow_at(x, own, start, sizes[i], file, line);
        if (!parts[i]) {
            for (int32_t j = 0; j < i; j++) parts[j] = NULL;
            return false;
        }
        start += sizes[i];
    }
    return true;
}

bool sn_split(sn_tensor *x, const int64_t *sizes, int32_t count, int64_t axis, sn_tensor **parts) {
    return sn_split_at(x, sizes, count, axis, parts, NULL, 0);
}
