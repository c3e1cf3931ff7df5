/* What the tests of the public API share: tensors from lists of values, comparisons by bits that
 * name both sides, expected errors, and a fixture that opens a scope for each test and checks that
 * the test left neither an error nor tensor memory behind. Includes cmocka and its needs. */
#ifndef TESTS_API_CASE_H
#define TESTS_API_CASE_H

#include <sinter/sinter.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A list of values as one argument. */
#define V(...) ((const double[]){__VA_ARGS__})

/* A dense tensor of these values, converted to `dtype`. */
sn_tensor *tensor_of(sn_dtype dtype, const int64_t *dims, int32_t rank, const double *values);
/* A dense tensor of numbers in (-2, 2) for floats, in [-9, 9] for integers (not negative where
 * they have no sign); the same for the same seed. */
sn_tensor *tensor_random(uint32_t seed, sn_dtype dtype, const int64_t *dims, int32_t rank);

/* Fails unless `t` has exactly these values: NaN equals NaN, +0 and -0 differ. */
void expect_values_at(sn_tensor *t, const double *values, int64_t count, const char *file,
                      int line);
#define EXPECT_VALUES(t, ...)                                                                      \
    expect_values_at((t), (const double[]){__VA_ARGS__},                                           \
                     (int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)), __FILE__,  \
                     __LINE__)

/* Fails unless both have the same dtype, shape and bits (NaN payloads aside). */
void expect_same_at(sn_tensor *got, sn_tensor *want, const char *file, int line);
#define EXPECT_SAME(got, want) expect_same_at((got), (want), __FILE__, __LINE__)

/* Fails unless t has this dtype and these dims. */
void expect_shape_at(sn_tensor *t, sn_dtype dtype, const int64_t *dims, int32_t rank,
                     const char *file, int line);
#define EXPECT_SHAPE(...) expect_shape_at(__VA_ARGS__, __FILE__, __LINE__)

/* Takes the pending error; fails unless it has this status and its text contains every one of the
 * strings. */
void expect_error_at(sn_status status, const char *const *parts, size_t count, const char *file,
                     int line);
#define EXPECT_ERROR(status, ...)                                                                  \
    expect_error_at((status), (const char *const[]){__VA_ARGS__},                                  \
                    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), __FILE__,   \
                    __LINE__)

/* Fails, with its text, if an error is pending. */
void expect_ok_at(const char *file, int line);
#define EXPECT_OK() expect_ok_at(__FILE__, __LINE__)

/* The process's counters now. */
sn_counters counters_now(void);
/* Skips the test in a build without the pack of eager kernels. */
void needs_pack(void);

/* The fixture; see the banner. */
int api_setup(void **state);
int api_teardown(void **state);
#define API_TEST(function) cmocka_unit_test_setup_teardown(function, api_setup, api_teardown)

#endif
