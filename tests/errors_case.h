/* What tests of bad input work on: three arguments, and functions of them that are compiled. */
#ifndef SN_TESTS_ERRORS_CASE_H
#define SN_TESTS_ERRORS_CASE_H

#include "api_case.h"

#define HUGE_DIM ((int64_t)1 << 40)

typedef sn_tensor *Called(sn_tensor *x, sn_tensor *y, sn_tensor *i);

static inline sn_tensor *make_x(void) {
    return tensor_of(SN_F32, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
}

static inline sn_tensor *make_y(void) {
    return tensor_random(1, SN_F32, SN_I(4, 5));
}

static inline sn_tensor *make_i(void) {
    return tensor_of(SN_I64, SN_I(2), V(0, 5));
}

static inline sn_tensor *writes_x(sn_tensor *x, sn_tensor *y, sn_tensor *i) {
    (void)i;
    sn_add_(x, sn_c(1));
    return sn_sum(y, SN_I0, false);
}

static inline sn_tensor *grows(sn_tensor *x, sn_tensor *y, sn_tensor *i) {
    (void)y, (void)i;
    return sn_add(sn_unsqueeze(x, 0), sn_unsqueeze(x, 1));
}

#endif
