/* Numbers, attributes and indices of the oracle; see oracle_call.h. */
#include "tests/oracle_call.h"

#include "ir/op/dtype.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- floats ---------------------------------------------------------------------------------- */

OracleFormat oracle_format(sn_dtype dtype) {
    switch (dtype) {
    case SN_F16:
        return (OracleFormat){11, -14, 65504};
    case SN_BF16:
        return (OracleFormat){8, -126, 0x1.fep127L};
    case SN_F32:
        return (OracleFormat){24, -126, FLT_MAX};
    default:
        return (OracleFormat){53, -1022, DBL_MAX};
    }
}

long double oracle_ulp(sn_dtype dtype, long double value) {
    OracleFormat f = oracle_format(dtype);
    int exponent = value == 0 ? f.least : isfinite(value) ? ilogbl(value) : f.least;
    if (exponent < f.least) exponent = f.least;
    return ldexpl(1, exponent - f.digits + 1);
}

long double oracle_round_to(sn_dtype dtype, long double value) {
    if (!isfinite(value) || value == 0) return value;
    long double ulp = oracle_ulp(dtype, value), rounded = rintl(value / ulp) * ulp;
    if (fabsl(rounded) > oracle_format(dtype).largest) return copysignl(INFINITY, value);
    return rounded == 0 ? copysignl(0, value) : rounded;
}

sn_dtype oracle_compute(sn_dtype dtype) {
    return dtype == SN_F64 ? SN_F64 : SN_F32;
}

long double oracle_epsilon(sn_dtype dtype) {
    return dtype == SN_F64 ? (long double)DBL_EPSILON : (long double)FLT_EPSILON;
}

long double oracle_tiny(sn_dtype dtype) {
    return oracle_ulp(oracle_compute(dtype), 0);
}

/* ---- integers -------------------------------------------------------------------------------- */

int64_t oracle_wrap(sn_dtype dtype, uint64_t value) {
    switch (dtype) {
    case SN_BOOL:
        return value != 0;
    case SN_U8:
        return (int64_t)(value & 0xff);
    case SN_I8:
        return (int64_t)(value & 0xff) - (value & 0x80 ? 0x100 : 0);
    case SN_I16:
        return (int64_t)(value & 0xffff) - (value & 0x8000 ? 0x10000 : 0);
    case SN_I32:
        return (int64_t)(value & 0xffffffff) - (value & 0x80000000 ? 0x100000000 : 0);
    default:
        return (int64_t)value;
    }
}

static int64_t least_of(sn_dtype dtype) {
    static const int bits[] = {[SN_I8] = 7, [SN_I16] = 15, [SN_I32] = 31};
    if (dtype == SN_I64) return INT64_MIN;
    return dtype <= SN_U8 ? 0 : -((int64_t)1 << bits[dtype]);
}

static int64_t most_of(sn_dtype dtype) {
    return dtype == SN_U8 ? 255 : dtype == SN_I64 ? INT64_MAX : -(least_of(dtype) + 1);
}

static int64_t saturate(sn_dtype dtype, long double value) {
    if (isnan(value)) return 0;
    if (value <= (long double)least_of(dtype)) return least_of(dtype);
    if (value >= (long double)most_of(dtype)) return most_of(dtype);
    return (int64_t)value;
}

/* Does a conversion between types of floats leave a NaN its sign? */
static bool keeps_nan(sn_dtype to, sn_dtype from) {
    return to == from || (to == SN_F32 && (from == SN_F16 || from == SN_BF16));
}

OracleNumber oracle_convert(sn_dtype to, sn_dtype from, OracleNumber x) {
    bool was_real = dtype_is_float(from);
    if (was_real && isnan(x.real) && !keeps_nan(to, from)) x.real = NAN; /* the canonical one */
    if (dtype_is_float(to))
        return (OracleNumber){oracle_round_to(to, was_real ? x.real : (long double)x.integer), 0};
    if (to == SN_BOOL) return (OracleNumber){0, was_real ? x.real != 0 : x.integer != 0};
    return (OracleNumber){0,
                          was_real ? saturate(to, x.real) : oracle_wrap(to, (uint64_t)x.integer)};
}

OracleNumber oracle_number(const OracleTensor *tensor, int64_t i) {
    if (dtype_is_float(tensor->dtype)) return (OracleNumber){tensor->real[i], 0};
    return (OracleNumber){0, tensor->integer[i]};
}

long double oracle_real(sn_dtype dtype, OracleNumber x) {
    return dtype_is_float(dtype) ? x.real : (long double)x.integer;
}

OracleNumber oracle_of_double(sn_dtype dtype, double value) {
    return oracle_convert(dtype, SN_F64, (OracleNumber){value, 0});
}

void oracle_put(OracleTensor *out, int64_t i, OracleNumber x) {
    if (dtype_is_float(out->dtype))
        out->real[i] = x.real;
    else
        out->integer[i] = x.integer;
}

void oracle_put_real(OracleTensor *out, int64_t i, long double value, long double bound) {
    out->real[i] = value;
    out->bound[i] = isnan(bound) ? INFINITY : bound;
    if (bound != 0) out->exact = false;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static AttrView attrs_of(const OracleCall *call) {
    return attr_view(call->op, call->attrs);
}

int64_t oracle_int(const OracleCall *call, AttrName name) {
    return attr_int(attrs_of(call), name);
}

bool oracle_bool(const OracleCall *call, AttrName name) {
    return attr_bool(attrs_of(call), name);
}

double oracle_double(const OracleCall *call, AttrName name) {
    return attr_double(attrs_of(call), name);
}

const int64_t *oracle_list(const OracleCall *call, AttrName name, int32_t *count) {
    return attr_list(attrs_of(call), name, count);
}

bool oracle_absent(const OracleCall *call, int32_t input) {
    return input >= call->n_in || call->in[input].rank < 0;
}

/* ---- indices --------------------------------------------------------------------------------- */

void oracle_unravel(int64_t flat, const int64_t *dims, int32_t rank, int64_t *index) {
    for (int32_t i = rank - 1; i >= 0; i--) {
        index[i] = flat % dims[i];
        flat /= dims[i];
    }
}

int64_t oracle_ravel(const int64_t *index, const int64_t *dims, int32_t rank) {
    int64_t flat = 0;
    for (int32_t i = 0; i < rank; i++) flat = flat * dims[i] + index[i];
    return flat;
}

int64_t oracle_broadcast(const OracleTensor *x, const int64_t *index, int32_t rank) {
    int64_t flat = 0;
    for (int32_t i = 0; i < x->rank; i++)
        flat = flat * x->dims[i] + (x->dims[i] == 1 ? 0 : index[rank - x->rank + i]);
    return flat;
}

bool oracle_buckets(const OracleTensor *x, uint32_t mask, OracleBuckets *buckets) {
    int64_t outer[SN_MAX_RANK];
    *buckets = (OracleBuckets){.count = 1, .size = 1};
    for (int32_t i = 0; i < x->rank; i++) {
        bool reduced = mask >> i & 1;
        outer[i] = reduced ? 1 : x->dims[i];
        buckets->count *= outer[i];
        if (reduced) buckets->size *= x->dims[i];
    }
    size_t total = (size_t)(buckets->count * buckets->size) + (size_t)buckets->count + 1;
    buckets->at = calloc(total, sizeof *buckets->at);
    if (!buckets->at) return false;
    int64_t *filled =
        buckets->at + buckets->count * buckets->size; /* by bucket, behind the positions */
    for (int64_t flat = 0; flat < x->count; flat++) {
        int64_t index[SN_MAX_RANK];
        oracle_unravel(flat, x->dims, x->rank, index);
        for (int32_t i = 0; i < x->rank; i++)
            if (mask >> i & 1) index[i] = 0;
        int64_t bucket = oracle_ravel(index, outer, x->rank);
        buckets->at[bucket * buckets->size + filled[bucket]++] = flat;
    }
    return true;
}
