/* Results whose size depends on data: sn_nonzero, sn_masked_select, sn_unique. Each is a host read:
 * what was recorded so far runs, the host finds the positions, and recording goes on with them as a
 * tensor of the size found. What is selected is gathered by a recorded op, which fuses with what comes
 * after it. */
#include "frontend/op/dispatch.h"

#include "base/mem.h"
#include "ir/infer/rule.h"
#include "ir/op/dtype.h"

#include <math.h>

#undef sn_nonzero
#undef sn_masked_select
#undef sn_unique

/* A new dense tensor of i64, not yet filled; NULL with the error raised. */
static sn_tensor *new_positions(const int64_t *dims, int32_t rank, const char *op, Site site) {
    TensorType type = {.dtype = SN_I64, .rank = (uint8_t)rank};
    for (int32_t i = 0; i < rank; i++) type.dims[i] = dim_of(dims[i]);
    int64_t count = sizes_count(dims, rank);
    Storage *storage = count < 0 ? NULL : storage_new(&device_cpu, (size_t)count * sizeof(int64_t));
    if (!storage) return error_raise(SN_ERROR_MEMORY, site, "%s: out of memory", op);
    return tensor_real(storage, &type, NULL, 0, site);
}

/* ---- nonzero, masked_select ------------------------------------------------------------------ */

/* Which elements are not 0, read by the host. */
typedef struct Flags {
    const sn_tensor *tensor; /* the flags, dense */
    const uint8_t *at;       /* one for each element, row-major */
    int64_t count;           /* elements */
    int64_t set;             /* of them not 0 */
} Flags;

static bool read_flags(sn_tensor *x, const char *op, Site site, Flags *flags) {
    sn_tensor *set = x;
    if (x->dtype != SN_BOOL) set = sn_ne_at(x, sn_ci(0), site.file, site.line);
    if (set) set = sn_contiguous_at(set, site.file, site.line);
    sn_tensor *real = set ? tensor_realize(set, op, site) : NULL;
    if (!real) return false;
    const uint8_t *at = (const uint8_t *)tensor_data(real);
    int64_t count = sizes_count(real->dims, real->rank), n_set = 0;
    for (int64_t i = 0; i < count; i++) n_set += at[i] != 0;
    *flags = (Flags){real, at, count, n_set};
    return true;
}

/* Every place is written before it is known whether it holds: no branch, and the last one found ends it. */
static void write_positions(const Flags *flags, int64_t *positions) {
    const uint8_t *at = flags->at;
    int64_t found = 0, set = flags->set;
    for (int64_t i = 0; found < set; i++) {
        positions[found] = i;
        found += at[i] != 0;
    }
}

/* Positions in row-major order become coordinates: the block of `set` positions lies at the end of its
 * own block of coordinates, so that none is overwritten before it is read. */
static void write_coordinates(const Flags *flags, int64_t *coordinates) {
    int32_t rank = flags->tensor->rank;
    int64_t *positions = coordinates + flags->set * (rank - 1);
    write_positions(flags, positions);
    if (rank == 1) return;
    for (int64_t i = 0; i < flags->set; i++) {
        int64_t rest = positions[i];
        for (int32_t d = rank - 1; d >= 0; d--) {
            coordinates[i * rank + d] = rest % flags->tensor->dims[d];
            rest /= flags->tensor->dims[d];
        }
    }
}

sn_tensor *sn_nonzero_at(sn_tensor *x, const char *file, int32_t line) {
    Site site = site_at(file, line);
    Flags flags;
    if (error_pending(thread_state()) || !tensor_check_present(x, "nonzero", "x", site))
        return NULL;
    if (!scope_check(site)) return NULL;
    sn_scope scope = sn_scope_begin();
    sn_tensor *result = NULL;
    if (read_flags(x, "nonzero", site, &flags))
        result =
            new_positions((const int64_t[]){flags.set, flags.tensor->rank}, 2, "nonzero", site);
    if (result && flags.tensor->rank) write_coordinates(&flags, (int64_t *)tensor_data(result));
    return sn_scope_end(scope, result);
}

sn_tensor *sn_nonzero(sn_tensor *x) {
    return sn_nonzero_at(x, NULL, 0);
}

static sn_tensor *masked_select(sn_tensor *x, sn_tensor *mask, Site site) {
    Flags flags;
    TensorType both = {.rank = 0};
    Infer shapes = {.result = &both};
    if (!infer_broadcast(&shapes, dims_of_numbers(x->dims, x->rank), x->rank) ||
        !infer_broadcast(&shapes, dims_of_numbers(mask->dims, mask->rank), mask->rank)) {
        TensorType of_x = tensor_type(x), of_mask = tensor_type(mask);
        return error_raise(SN_ERROR_SHAPE, site,
                           "masked_select: shapes do not broadcast: x is %s, mask is %s",
                           type_text(&of_x).text, type_text(&of_mask).text);
    }
    mask = dispatch_list(OP_EXPAND, mask, type_sizes(&both), both.rank, site);
    if (!mask || !read_flags(mask, "masked_select", site, &flags)) return NULL;
    sn_tensor *positions = new_positions(&flags.set, 1, "masked_select", site);
    if (!positions) return NULL;
    write_positions(&flags, (int64_t *)tensor_data(positions));
    x = dispatch_list(OP_EXPAND, x, type_sizes(&both), both.rank, site);
    if (x) x = dispatch_list(OP_RESHAPE, x, (const int64_t[]){flags.count}, 1, site);
    return x ? sn_index_select_at(x, 0, positions, site.file, site.line) : NULL;
}

sn_tensor *sn_masked_select_at(sn_tensor *x, sn_tensor *mask, const char *file, int32_t line) {
    Site site = site_at(file, line);
    if (error_pending(thread_state()) || !tensor_check_present(x, "masked_select", "x", site) ||
        !tensor_check_present(mask, "masked_select", "mask", site) || !scope_check(site))
        return NULL;
    sn_scope scope = sn_scope_begin();
    return sn_scope_end(scope, masked_select(x, mask, site));
}

sn_tensor *sn_masked_select(sn_tensor *x, sn_tensor *mask) {
    return sn_masked_select_at(x, mask, NULL, 0);
}

/* ---- unique ---------------------------------------------------------------------------------- */

/* An element and where it stands. */
typedef struct Place {
    uint64_t key;     /* in the order of the elements; equal elements have one */
    int64_t position; /* row-major, in x */
} Place;

static const uint64_t sign_bit = (uint64_t)1 << 63, nan_key = UINT64_MAX;

static uint64_t key_of_integer(int64_t value) {
    return (uint64_t)value ^ sign_bit;
}

/* The bits of floats of one sign are in order; -0 is taken for +0. */
static uint64_t key_of_real(double value) {
    uint64_t bits;
    if (isnan(value)) return nan_key;
    if (value == 0) value = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits & sign_bit ? ~bits : bits | sign_bit;
}

enum { KEY_BYTES = 8, BYTE_VALUES = 256 };

static uint32_t key_byte(const Place *place, int32_t number) {
    return (uint8_t)(place->key >> (8 * number));
}

/* Radix sort, least byte first, which keeps the order of equal keys; bytes that all keys share are passed
 * over. Returns `places` or `spare`, whichever holds the result. */
static Place *sort_places(Place *places, Place *spare, int64_t count) {
    int64_t counts[KEY_BYTES][BYTE_VALUES] = {{0}};
    for (int64_t i = 0; i < count; i++)
        for (int32_t b = 0; b < KEY_BYTES; b++) counts[b][key_byte(&places[i], b)]++;
    for (int32_t b = 0; b < KEY_BYTES && count; b++) {
        if (counts[b][key_byte(&places[0], b)] == count) continue;
        int64_t next[BYTE_VALUES], first = 0;
        for (int32_t v = 0; v < BYTE_VALUES; v++) {
            next[v] = first;
            first += counts[b][v];
        }
        for (int64_t i = 0; i < count; i++) spare[next[key_byte(&places[i], b)]++] = places[i];
        Place *sorted = spare;
        spare = places;
        places = sorted;
    }
    return places;
}

/* Reads x into places in row-major order. An f64 holds every float, an i64 every integer. */
static bool read_places(sn_tensor *x, Place *places, int64_t count, Site site) {
    bool real = dtype_is_float((sn_dtype)x->dtype);
    int64_t *words = mem_alloc((size_t)count * sizeof *words);
    if (!words) return error_refuse(SN_ERROR_MEMORY, site, "unique: out of memory");
    bool ok = sn_read_at(x, real ? SN_F64 : SN_I64, words, (size_t)count * sizeof *words, site.file,
                         site.line);
    for (int64_t i = 0; ok && i < count; i++) {
        double value;
        memcpy(&value, &words[i], sizeof value);
        places[i] = (Place){real ? key_of_real(value) : key_of_integer(words[i]), i};
    }
    mem_free(words);
    return ok;
}

/* Is it another element than the one before it? Every NaN is. */
static bool starts_group(const Place *places, int64_t i, bool real) {
    return i == 0 || places[i].key != places[i - 1].key || (real && places[i].key == nan_key);
}

/* What unique gives: three tensors of the current scope. */
typedef struct Distinct {
    sn_tensor *values;  /* 1-d, of x's dtype */
    sn_tensor *inverse; /* i64, of x's shape: place of each element in values */
    sn_tensor *counts;  /* i64[n]: how often each is there */
} Distinct;

static bool find_distinct(sn_tensor *x, const Place *places, int64_t count, Distinct *d,
                          Site site) {
    bool real = dtype_is_float((sn_dtype)x->dtype);
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) n += starts_group(places, i, real);
    sn_tensor *first = new_positions(&n, 1, "unique", site);
    d->inverse = new_positions(x->dims, x->rank, "unique", site);
    d->counts = new_positions(&n, 1, "unique", site);
    if (!first || !d->inverse || !d->counts) return false;
    int64_t *firsts = (int64_t *)tensor_data(first), *counts = (int64_t *)tensor_data(d->counts);
    int64_t *inverse = (int64_t *)tensor_data(d->inverse), at = -1;
    for (int64_t i = 0; i < count; i++) {
        if (starts_group(places, i, real)) {
            firsts[++at] = places[i].position;
            counts[at] = 0;
        }
        counts[at]++;
        inverse[places[i].position] = at;
    }
    sn_tensor *flat = dispatch_list(OP_RESHAPE, x, &count, 1, site);
    d->values = flat ? sn_index_select_at(flat, 0, first, site.file, site.line) : NULL;
    return d->values != NULL;
}

sn_tensor *sn_unique_at(sn_tensor *x, sn_tensor **inverse, sn_tensor **counts, const char *file,
                        int32_t line) {
    Site site = site_at(file, line);
    if (inverse) *inverse = NULL;
    if (counts) *counts = NULL;
    if (error_pending(thread_state()) || !tensor_check_present(x, "unique", "x", site) ||
        !scope_check(site))
        return NULL;
    int64_t count = sizes_count(x->dims, x->rank);
    Place *places = mem_calloc((size_t)count, 2 * sizeof *places);
    if (!places) return error_raise(SN_ERROR_MEMORY, site, "unique: out of memory");
    Distinct d = {NULL, NULL, NULL};
    bool made = read_places(x, places, count, site) &&
                find_distinct(x, sort_places(places, places + count, count), count, &d, site);
    mem_free(places);
    if (!made) return NULL;
    if (inverse) *inverse = d.inverse;
    if (counts) *counts = d.counts;
    return d.values;
}

sn_tensor *sn_unique(sn_tensor *x, sn_tensor **inverse, sn_tensor **counts) {
    return sn_unique_at(x, inverse, counts, NULL, 0);
}
