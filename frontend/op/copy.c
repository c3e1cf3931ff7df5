/* Copies and fills that are no rows of the op table: sn_copy_, sn_fill_, sn_contiguous, sn_zeros,
 * sn_ones. */
#include "frontend/op/dispatch.h"

#undef sn_copy_
#undef sn_fill_
#undef sn_contiguous
#undef sn_zeros
#undef sn_ones

sn_tensor *sn_copy_at_(sn_tensor *x, sn_tensor *source, const char *file, int32_t line) {
    return dispatch_inplace(OP_CLONE, (sn_tensor *[]){x, source}, 2, &no_attrs, NULL,
                            site_at(file, line));
}

sn_tensor *sn_copy_(sn_tensor *x, sn_tensor *source) {
    return sn_copy_at_(x, source, NULL, 0);
}

sn_tensor *sn_fill_at_(sn_tensor *x, double value, const char *file, int32_t line) {
    Site site = site_at(file, line);
    if (error_pending(thread_state()) || !tensor_check(x, "fill_", "x", site)) return NULL;
    sn_tensor *scalar = sn_c_at(value, file, line);
    if (scalar) scalar = sn_copy_at_(x, scalar, file, line);
    return scalar ? scalar : error_of_call(site, "copy_", "fill_");
}

sn_tensor *sn_fill_(sn_tensor *x, double value) {
    return sn_fill_at_(x, value, NULL, 0);
}

sn_tensor *sn_contiguous_at(sn_tensor *x, const char *file, int32_t line) {
    Site site = site_at(file, line);
    if (error_pending(thread_state()) || !tensor_check_present(x, "contiguous", "x", site))
        return NULL;
    if (x->kind == TENSOR_WEAK || tensor_is_dense(x)) return x;
    sn_tensor *copy = sn_clone_at(x, file, line);
    return copy ? copy : error_of_call(site, "clone", "contiguous");
}

sn_tensor *sn_contiguous(sn_tensor *x) {
    return sn_contiguous_at(x, NULL, 0);
}

/* A full that the program knows as `name`. */
static sn_tensor *filled(const int64_t *dims, int32_t rank, double value, sn_dtype dtype,
                         const char *name, Site site) {
    if (error_pending(thread_state())) return NULL;
    sn_tensor *x = sn_full_at(dims, rank, value, dtype, site.file, site.line);
    return x ? x : error_of_call(site, "full", name);
}

sn_tensor *sn_zeros_at(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *file,
                       int32_t line) {
    return filled(dims, rank, 0, dtype, "zeros", site_at(file, line));
}

sn_tensor *sn_zeros(const int64_t *dims, int32_t rank, sn_dtype dtype) {
    return sn_zeros_at(dims, rank, dtype, NULL, 0);
}

sn_tensor *sn_ones_at(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *file,
                      int32_t line) {
    return filled(dims, rank, 1, dtype, "ones", site_at(file, line));
}

sn_tensor *sn_ones(const int64_t *dims, int32_t rank, sn_dtype dtype) {
    return sn_ones_at(dims, rank, dtype, NULL, 0);
}
