/* What runs leave behind, and how two of them are compared; see fuzz_seen.h. */
#include "tests/fuzz_seen.h"

#include "base/map.h"
#include "frontend/tensor/tensor.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void seen_free(Seen *seen) {
    for (int32_t i = 0; i < seen->n_outputs; i++) free(seen->outputs[i].data);
    for (int32_t i = 0; i < FUZZ_MOST_INPUTS; i++) free(seen->blocks[i]);
}

/* Elements in row-major order; NULL when out of memory. */
static char *gather_elements(const sn_tensor *x) {
    size_t size = sn_dtype_size((sn_dtype)x->dtype);
    int64_t count = sizes_count(x->dims, x->rank), index[SN_MAX_RANK] = {0};
    char *data = malloc((size_t)count * size + 1);
    if (!data) return NULL;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0;
        for (int32_t d = 0; d < x->rank; d++) at += index[d] * x->strides[d];
        memcpy(data + (size_t)i * size, tensor_data(x) + at * (int64_t)size, size);
        for (int32_t d = x->rank - 1; d >= 0 && ++index[d] == x->dims[d]; d--) index[d] = 0;
    }
    return data;
}

static bool see_output(Seen *seen, sn_tensor *const *outputs, int32_t number,
                       sn_tensor *const *blocks, int32_t n_blocks, int64_t shift) {
    const sn_tensor *x = outputs[number];
    SeenOutput *out = &seen->outputs[number];
    *out = (SeenOutput){.dtype = (sn_dtype)x->dtype, .rank = x->rank, .shares = -1};
    memcpy(out->dims, x->dims, sizeof out->dims);
    memcpy(out->strides, x->strides, sizeof out->strides);
    for (int32_t i = 0; i < n_blocks && out->shares < 0; i++)
        if (blocks[i]->storage == x->storage) out->shares = i;
    if (out->shares >= 0) out->offset = x->offset - shift;
    for (int32_t i = 0; i < number && out->shares < 0; i++) {
        if (outputs[i]->storage != x->storage) continue;
        out->shares = FUZZ_MOST_INPUTS + i;
        out->offset = x->offset - outputs[i]->offset;
    }
    out->count = sizes_count(x->dims, x->rank);
    out->data = gather_elements(x);
    seen->n_outputs = number + 1;
    return out->data != NULL;
}

bool seen_take_blocks(const FuzzProgram *p, sn_tensor *const *blocks, int64_t shift,
                      char **copies) {
    for (int32_t i = 0; i < p->n_blocks; i++) {
        size_t size = sn_dtype_size(p->blocks[i].dtype), bytes = (size_t)p->blocks[i].count * size;
        copies[i] = malloc(bytes + 1);
        if (!copies[i]) return false;
        memcpy(copies[i], blocks[i]->storage->data + (size_t)shift * size, bytes);
    }
    return true;
}

bool seen_take(const FuzzProgram *p, Seen *seen, sn_tensor *const *outputs,
               sn_tensor *const *blocks, int64_t shift, const sn_rng *generator,
               const sn_error *error) {
    bool ok = true;
    seen->status = error->status;
    seen->line = error->line;
    if (error->status != SN_OK) memcpy(seen->text, error->text, sizeof seen->text);
    for (int32_t i = 0; ok && seen->status == SN_OK && i < p->n_outputs; i++)
        ok = see_output(seen, outputs, i, blocks, p->n_blocks, shift);
    seen->generator = *generator;
    return ok && seen_take_blocks(p, blocks, shift, seen->blocks);
}

/* ---- comparing ------------------------------------------------------------------------------- */

int64_t seen_first_difference(sn_dtype dtype, const char *a, const char *b, int64_t count) {
    size_t size = sn_dtype_size(dtype);
    for (int64_t i = 0; i < count; i++)
        if (memcmp(a + (size_t)i * size, b + (size_t)i * size, size) != 0) return i;
    return -1;
}

static unsigned long long bits_at(sn_dtype dtype, const char *data, int64_t i) {
    return dtype_load(dtype, data + (size_t)i * sn_dtype_size(dtype));
}

static double element(sn_dtype dtype, const char *data, int64_t i) {
    uint64_t bits = dtype_load(dtype, data + (size_t)i * sn_dtype_size(dtype));
    return dtype_is_float(dtype) ? dtype_bits_to_double(dtype, bits)
                                 : (double)dtype_bits_to_int(dtype, bits);
}

static FuzzVerdict compare_output(const SeenOutput *e, const SeenOutput *c, int32_t number,
                                  int32_t call) {
    size_t bytes = sizeof(int64_t) * (size_t)e->rank;
    if (e->dtype != c->dtype || e->rank != c->rank || memcmp(e->dims, c->dims, bytes) != 0)
        return fuzz_fail(
            FUZZ_LAYOUT, "call %d, result %d: %s of rank %d, eager %s of rank %d (or dims)", call,
            number, sn_dtype_name(c->dtype), c->rank, sn_dtype_name(e->dtype), e->rank);
    for (int32_t i = 0; i < e->rank; i++)
        if (e->strides[i] != c->strides[i])
            return fuzz_fail(FUZZ_LAYOUT, "call %d, result %d: stride %d is %lld, eager %lld", call,
                             number, i, (long long)c->strides[i], (long long)e->strides[i]);
    if (e->shares != c->shares || e->offset != c->offset)
        return fuzz_fail(FUZZ_LAYOUT, "call %d, result %d: shares %d at %lld, eager %d at %lld",
                         call, number, c->shares, (long long)c->offset, e->shares,
                         (long long)e->offset);
    int64_t at = seen_first_difference(e->dtype, e->data, c->data, e->count);
    if (at < 0) return fuzz_fine();
    return fuzz_fail(
        FUZZ_BITS,
        "call %d, result %d (%s), element %lld of %lld: %.17g (%llx), eager %.17g (%llx)", call,
        number, sn_dtype_name(e->dtype), (long long)at, (long long)e->count,
        element(c->dtype, c->data, at), bits_at(c->dtype, c->data, at),
        element(e->dtype, e->data, at), bits_at(e->dtype, e->data, at));
}

static FuzzVerdict compare_blocks(const FuzzProgram *p, const Seen *e, const Seen *c,
                                  int32_t call) {
    for (int32_t i = 0; i < p->n_blocks; i++) {
        sn_dtype dtype = p->blocks[i].dtype;
        int64_t at = seen_first_difference(dtype, e->blocks[i], c->blocks[i], p->blocks[i].count);
        if (at < 0) continue;
        return fuzz_fail(FUZZ_WRITTEN, "call %d, block %d (%s), element %lld: %.17g, eager %.17g",
                         call, i, sn_dtype_name(dtype), (long long)at,
                         element(dtype, c->blocks[i], at), element(dtype, e->blocks[i], at));
    }
    return fuzz_fine();
}

FuzzVerdict seen_compare(const FuzzProgram *p, const Seen *e, const Seen *c, int32_t call) {
    if (e->status != c->status)
        return fuzz_fail(FUZZ_STATUS, "call %d: %s (%s), eager %s (%s)", call,
                         sn_status_name(c->status), c->text, sn_status_name(e->status), e->text);
    if (strcmp(e->text, c->text) != 0)
        return fuzz_fail(FUZZ_STATUS, "call %d: \"%s\", eager \"%s\"", call, c->text, e->text);
    if (e->status != SN_OK)
        return fuzz_fine(); /* what was written before the error is not promised */
    for (int32_t i = 0; i < p->n_outputs; i++) {
        FuzzVerdict verdict = compare_output(&e->outputs[i], &c->outputs[i], i, call);
        if (verdict.failure) return verdict;
    }
    if (e->generator.counter != c->generator.counter)
        return fuzz_fail(FUZZ_GENERATOR, "call %d: the counter is %llu, eager %llu", call,
                         (unsigned long long)c->generator.counter,
                         (unsigned long long)e->generator.counter);
    return compare_blocks(p, e, c, call);
}

/* ---- digest ---------------------------------------------------------------------------------- */

static bool is_nan(sn_dtype dtype, uint64_t bits) {
    return dtype_is_float(dtype) && isnan(dtype_bits_to_double(dtype, bits));
}

/* Bits with one pattern for all NaNs. */
static uint64_t digest_elements(sn_dtype dtype, const char *data, int64_t count, uint64_t digest) {
    size_t size = sn_dtype_size(dtype);
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = dtype_load(dtype, data + (size_t)i * size);
        digest = hash_mix(digest, is_nan(dtype, bits) ? UINT64_MAX : bits);
    }
    return digest;
}

uint64_t seen_digest(const FuzzProgram *p, const Seen *seen) {
    uint64_t digest = 1 + (uint64_t)seen->status;
    for (int32_t i = 0; i < seen->n_outputs; i++) {
        const SeenOutput *out = &seen->outputs[i];
        digest = digest_elements(out->dtype, out->data, out->count, digest);
    }
    for (int32_t i = 0; seen->status == SN_OK && i < p->n_blocks; i++)
        digest = digest_elements(p->blocks[i].dtype, seen->blocks[i], p->blocks[i].count, digest);
    return digest ? digest : 1;
}
