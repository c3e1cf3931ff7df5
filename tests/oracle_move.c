/* Views, joins, indexing, updates and generated tensors of the oracle: for each element of the
 * result, where it comes from. */
#include "tests/oracle_move.h"

#include "ir/op/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void copy(const OracleCall *call, int64_t to, int32_t input, int64_t from) {
    const OracleTensor *x = &call->in[input];
    oracle_put(call->out, to, oracle_convert(call->out->dtype, x->dtype, oracle_number(x, from)));
}

/* ---- views ----------------------------------------------------------------------------------- */

/* Index in the operand of an element of the view. */
typedef void Source(const OracleCall *call, const int64_t *index, int64_t *from);

static void from_permute(const OracleCall *call, const int64_t *index, int64_t *from) {
    int32_t count;
    const int64_t *axes = oracle_list(call, ATTR_AXES, &count);
    for (int32_t i = 0; i < count; i++) from[axes[i]] = index[i];
}

static void from_transpose(const OracleCall *call, const int64_t *index, int64_t *from) {
    int64_t a = oracle_int(call, ATTR_AXIS0), b = oracle_int(call, ATTR_AXIS1);
    memcpy(from, index, sizeof(int64_t) * (size_t)call->in[0].rank);
    if (call->in[0].rank == 0) return;
    from[a] = index[b];
    from[b] = index[a];
}

static void from_slice(const OracleCall *call, const int64_t *index, int64_t *from) {
    int32_t count;
    const int64_t *starts = oracle_list(call, ATTR_STARTS, &count);
    const int64_t *steps = oracle_list(call, ATTR_STEPS, &count);
    for (int32_t i = 0; i < count; i++) from[i] = starts[i] + index[i] * steps[i];
}

static void from_select(const OracleCall *call, const int64_t *index, int64_t *from) {
    int64_t axis = oracle_int(call, ATTR_AXIS);
    for (int32_t i = 0, at = 0; i < call->in[0].rank; i++)
        from[i] = i == axis ? oracle_int(call, ATTR_INDEX) : index[at++];
}

static void from_flip(const OracleCall *call, const int64_t *index, int64_t *from) {
    int32_t count;
    const int64_t *axes = oracle_list(call, ATTR_AXES, &count);
    memcpy(from, index, sizeof(int64_t) * (size_t)call->in[0].rank);
    for (int32_t i = 0; i < count; i++)
        from[axes[i]] = call->in[0].dims[axes[i]] - 1 - index[axes[i]];
}

static void from_diagonal(const OracleCall *call, const int64_t *index, int64_t *from) {
    int64_t a = oracle_int(call, ATTR_AXIS0), b = oracle_int(call, ATTR_AXIS1);
    int64_t offset = oracle_int(call, ATTR_OFFSET);
    int32_t at = 0;
    for (int32_t i = 0; i < call->in[0].rank; i++)
        if (i != a && i != b) from[i] = index[at++];
    from[a] = index[at] + (offset < 0 ? -offset : 0);
    from[b] = index[at] + (offset > 0 ? offset : 0);
}

static void from_narrow(const OracleCall *call, const int64_t *index, int64_t *from) {
    memcpy(from, index, sizeof(int64_t) * (size_t)call->in[0].rank);
    from[oracle_int(call, ATTR_AXIS)] += oracle_int(call, ATTR_START);
}

static void from_expand(const OracleCall *call, const int64_t *index, int64_t *from) {
    const OracleTensor *x = &call->in[0];
    oracle_unravel(oracle_broadcast(x, index, call->out->rank), x->dims, x->rank, from);
}

/* The elements in the same order. */
static void from_order(const OracleCall *call, const int64_t *index, int64_t *from) {
    const OracleTensor *x = &call->in[0], *out = call->out;
    oracle_unravel(oracle_ravel(index, out->dims, out->rank), x->dims, x->rank, from);
}

static Source *const sources[OP_COUNT] = {
    [OP_RESHAPE] = from_order,       [OP_SQUEEZE] = from_order, [OP_UNSQUEEZE] = from_order,
    [OP_PERMUTE] = from_permute,     [OP_EXPAND] = from_expand, [OP_SLICE] = from_slice,
    [OP_TRANSPOSE] = from_transpose, [OP_SELECT] = from_select, [OP_FLIP] = from_flip,
    [OP_DIAGONAL] = from_diagonal,   [OP_NARROW] = from_narrow,
};

static OracleStatus view(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *out = call->out;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], from[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        sources[call->op](call, index, from);
        copy(call, i, 0, oracle_ravel(from, x->dims, x->rank));
    }
    return ORACLE_OK;
}

/* ---- joins, pad ------------------------------------------------------------------------------ */

static OracleStatus cat(const OracleCall *call) {
    int64_t axis = oracle_int(call, ATTR_AXIS), start = 0;
    for (int32_t k = 0; k < call->n_in; k++) {
        const OracleTensor *x = &call->in[k];
        if (x->rank != call->out->rank) continue; /* a 1-d tensor without elements */
        for (int64_t i = 0; i < x->count; i++) {
            int64_t index[SN_MAX_RANK];
            oracle_unravel(i, x->dims, x->rank, index);
            index[axis] += start;
            copy(call, oracle_ravel(index, call->out->dims, x->rank), k, i);
        }
        start += x->dims[axis];
    }
    return ORACLE_OK;
}

static OracleStatus stack(const OracleCall *call) {
    int64_t axis = oracle_int(call, ATTR_AXIS);
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t index[SN_MAX_RANK];
        oracle_unravel(i, call->out->dims, call->out->rank, index);
        int32_t k = (int32_t)index[axis];
        for (int64_t d = axis; d + 1 < call->out->rank; d++) index[d] = index[d + 1];
        copy(call, i, k, oracle_ravel(index, call->in[k].dims, call->in[k].rank));
    }
    return ORACLE_OK;
}

static OracleStatus pad(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    int32_t count;
    const int64_t *pads = oracle_list(call, ATTR_PADS, &count);
    OracleNumber value = oracle_of_double(call->out->dtype, oracle_double(call, ATTR_VALUE));
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t index[SN_MAX_RANK];
        bool inside = true;
        oracle_unravel(i, call->out->dims, call->out->rank, index);
        for (int32_t k = 0; k < count; k += 2) index[x->rank - 1 - k / 2] -= pads[k];
        for (int32_t d = 0; d < x->rank; d++)
            inside = inside && index[d] >= 0 && index[d] < x->dims[d];
        if (inside)
            copy(call, i, 0, oracle_ravel(index, x->dims, x->rank));
        else
            oracle_put(call->out, i, value);
    }
    return ORACLE_OK;
}

/* ---- indexing -------------------------------------------------------------------------------- */

static OracleStatus gather(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *indices = &call->in[1];
    int64_t axis = oracle_int(call, ATTR_AXIS), size = x->rank ? x->dims[axis] : 1;
    for (int64_t i = 0; i < indices->count; i++) {
        int64_t index[SN_MAX_RANK] = {0}, at = indices->integer[i];
        if (at < 0 || at >= size) return ORACLE_DATA_ERROR;
        oracle_unravel(i, indices->dims, indices->rank, index);
        index[axis] = at;
        copy(call, i, 0, oracle_ravel(index, x->dims, x->rank));
    }
    return ORACLE_OK;
}

static OracleStatus index_select(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *indices = &call->in[1];
    int64_t axis = oracle_int(call, ATTR_AXIS), size = x->rank ? x->dims[axis] : 1;
    for (int64_t i = 0; i < indices->count; i++)
        if (indices->integer[i] < 0 || indices->integer[i] >= size) return ORACLE_DATA_ERROR;
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t index[SN_MAX_RANK] = {0};
        oracle_unravel(i, call->out->dims, call->out->rank, index);
        index[axis] = indices->integer[index[axis]];
        copy(call, i, 0, oracle_ravel(index, x->dims, x->rank));
    }
    return ORACLE_OK;
}

static OracleStatus embedding(const OracleCall *call) {
    const OracleTensor *weight = &call->in[0], *indices = &call->in[1];
    int64_t width = weight->dims[1];
    for (int64_t i = 0; i < indices->count; i++) {
        int64_t at = indices->integer[i];
        if (at < 0 || at >= weight->dims[0]) return ORACLE_DATA_ERROR;
        for (int64_t k = 0; k < width; k++) copy(call, i * width + k, 0, at * width + k);
    }
    return ORACLE_OK;
}

static OracleStatus one_hot(const OracleCall *call) {
    int64_t classes = oracle_int(call, ATTR_CLASSES);
    for (int64_t i = 0; i < call->in[0].count; i++) {
        int64_t at = call->in[0].integer[i];
        if (at < 0 || at >= classes) return ORACLE_DATA_ERROR;
        call->out->integer[i * classes + at] = 1;
    }
    return ORACLE_OK;
}

/* ---- generated ------------------------------------------------------------------------------- */

static OracleStatus tri(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    int64_t diagonal = oracle_int(call, ATTR_DIAGONAL), columns = x->dims[x->rank - 1];
    int64_t rows = x->dims[x->rank - 2];
    for (int64_t i = 0; i < x->count; i++) {
        int64_t row = i / columns % rows, column = i % columns;
        bool keeps = call->op == OP_TRIL ? column - row <= diagonal : column - row >= diagonal;
        if (keeps) copy(call, i, 0, i);
    }
    return ORACLE_OK;
}

static OracleStatus arange(const OracleCall *call) {
    double start = oracle_double(call, ATTR_START), step = oracle_double(call, ATTR_STEP);
    bool real = dtype_is_float(call->out->dtype);
    for (int64_t i = 0; i < call->out->count; i++) {
        double value = real ? start + (double)i * step : trunc(start) + (double)i * trunc(step);
        if (real)
            oracle_put_real(call->out, i, value,
                            oracle_ulp(SN_F64, fabs(start) + fabs((double)i * step)));
        else
            oracle_put(call->out, i,
                       oracle_convert(call->out->dtype, SN_I64, (OracleNumber){0, (int64_t)value}));
    }
    return ORACLE_OK;
}

static OracleStatus full(const OracleCall *call) {
    OracleNumber value = oracle_of_double(call->out->dtype, oracle_double(call, ATTR_VALUE));
    for (int64_t i = 0; i < call->out->count; i++) oracle_put(call->out, i, value);
    return ORACLE_OK;
}

static OracleStatus iota(const OracleCall *call) {
    int64_t axis = oracle_int(call, ATTR_AXIS);
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t index[SN_MAX_RANK] = {0};
        oracle_unravel(i, call->out->dims, call->out->rank, index);
        call->out->integer[i] = index[axis];
    }
    return ORACLE_OK;
}

/* ---- updates --------------------------------------------------------------------------------- */

static void copy_base(const OracleCall *call) {
    for (int64_t i = 0; i < call->out->count; i++) copy(call, i, 0, i);
}

static OracleStatus put(const OracleCall *call) {
    const OracleTensor *value = &call->in[1];
    copy_base(call);
    for (int64_t i = 0; i < value->count; i++) {
        int64_t index[SN_MAX_RANK], to[SN_MAX_RANK];
        oracle_unravel(i, value->dims, value->rank, index);
        if (call->op == OP_PUT_SLICE)
            from_slice(call, index, to);
        else
            from_diagonal(call, index, to);
        copy(call, oracle_ravel(to, call->out->dims, call->out->rank), 1, i);
    }
    return ORACLE_OK;
}

/* Adds in the wide type and rounds once at the end; an implementation may round at each step. */
static OracleStatus scatter_add(const OracleCall *call) {
    OracleTensor *out = call->out;
    const OracleTensor *indices = &call->in[1], *source = &call->in[2];
    int64_t axis = oracle_int(call, ATTR_AXIS), size = out->rank ? out->dims[axis] : 1;
    sn_dtype compute = oracle_compute(out->dtype);
    copy_base(call);
    for (int64_t i = 0; i < indices->count; i++)
        if (indices->integer[i] < 0 || indices->integer[i] >= size) return ORACLE_DATA_ERROR;
    long double *terms = calloc((size_t)out->count + 1, sizeof *terms);
    if (!terms) return ORACLE_NO_MEMORY;
    for (int64_t i = 0; out->real && i < out->count; i++) terms[i] = fabsl(out->real[i]);
    for (int64_t i = 0; i < indices->count; i++) {
        int64_t index[SN_MAX_RANK] = {0};
        oracle_unravel(i, indices->dims, indices->rank, index);
        OracleNumber x = oracle_number(source, oracle_ravel(index, source->dims, source->rank));
        index[axis] = indices->integer[i];
        int64_t to = oracle_ravel(index, out->dims, out->rank);
        if (!out->real) {
            out->integer[to] =
                out->dtype == SN_BOOL
                    ? out->integer[to] | x.integer
                    : oracle_wrap(out->dtype, (uint64_t)out->integer[to] + (uint64_t)x.integer);
            continue;
        }
        terms[to] += fabsl(x.real);
        long double sum = out->real[to] + x.real;
        if (isnan(sum)) sum = NAN; /* computed: the canonical one */
        bool overflow = isfinite(terms[to]) && terms[to] > oracle_format(compute).largest;
        long double bound = out->bound[to] + 2 * oracle_epsilon(out->dtype) * terms[to];
        oracle_put_real(out, to, sum,
                        overflow              ? INFINITY
                        : isfinite(terms[to]) ? bound
                                              : out->bound[to]);
    }
    free(terms);
    return ORACLE_OK;
}

static OracleStatus index_copy(const OracleCall *call) {
    const OracleTensor *indices = &call->in[1], *source = &call->in[2];
    int64_t axis = oracle_int(call, ATTR_AXIS), size = call->out->rank ? call->out->dims[axis] : 1;
    copy_base(call);
    for (int64_t i = 0; i < indices->count; i++)
        if (indices->integer[i] < 0 || indices->integer[i] >= size) return ORACLE_DATA_ERROR;
    for (int64_t i = 0; i < source->count; i++) { /* ascending along the axis for each slice */
        int64_t index[SN_MAX_RANK] = {0};
        oracle_unravel(i, source->dims, source->rank, index);
        index[axis] = indices->integer[index[axis]];
        copy(call, oracle_ravel(index, call->out->dims, call->out->rank), 2, i);
    }
    return ORACLE_OK;
}

OracleRule *oracle_move_rule(OpCode op) {
    static OracleRule *const rules[OP_COUNT] = {
        [OP_CAT] = cat,
        [OP_STACK] = stack,
        [OP_PAD] = pad,
        [OP_GATHER] = gather,
        [OP_INDEX_SELECT] = index_select,
        [OP_EMBEDDING] = embedding,
        [OP_ONE_HOT] = one_hot,
        [OP_TRIL] = tri,
        [OP_TRIU] = tri,
        [OP_ARANGE] = arange,
        [OP_FULL] = full,
        [OP_IOTA] = iota,
        [OP_PUT_SLICE] = put,
        [OP_PUT_DIAGONAL] = put,
        [OP_SCATTER_ADD] = scatter_add,
        [OP_INDEX_COPY] = index_copy,
    };
    return sources[op] ? view : rules[op];
}
