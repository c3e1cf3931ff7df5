/* The fixture and comparisons of api_case.h, on the public API alone. */
#include "api_case.h"

#include <math.h>

/* State of the running test; tests of one program run one after the other. */
static sn_scope test_scope;
static int64_t test_live_bytes;

int api_setup(void **state) {
    (void)state;
    test_live_bytes = sn_memory().live_bytes;
    test_scope = sn_scope_begin();
    return 0;
}

int api_teardown(void **state) {
    (void)state;
    sn_error error;
    sn_status pending = sn_error_take(&error);
    if (pending != SN_OK) print_error("left pending: %s\n", error.text);
    sn_scope_end(test_scope, NULL);
    int64_t live = sn_memory().live_bytes;
    if (live != test_live_bytes)
        print_error("tensor memory: %lld bytes before the test, %lld after\n",
                    (long long)test_live_bytes, (long long)live);
    return pending != SN_OK || live != test_live_bytes;
}

void expect_ok_at(const char *file, int line) {
    sn_error error;
    if (sn_error_take(&error) == SN_OK) return;
    print_error("unexpected error: %s\n", error.text);
    _fail(file, line);
}

void expect_error_at(sn_status status, const char *const *parts, size_t count, const char *file,
                     int line) {
    sn_error error;
    sn_status got = sn_error_take(&error);
    if (got != status) {
        print_error("expected error '%s', got '%s': %s\n", sn_status_name(status),
                    sn_status_name(got), error.text);
        _fail(file, line);
    }
    for (size_t i = 0; i < count; i++) {
        if (strstr(error.text, parts[i])) continue;
        print_error("'%s' is not in: %s\n", parts[i], error.text);
        _fail(file, line);
    }
}

static int64_t count_of(const int64_t *dims, int32_t rank) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) count *= dims[i];
    return count;
}

static void store(void *data, sn_dtype dtype, int64_t i, double value) {
    switch (dtype) {
    case SN_BOOL:
        ((uint8_t *)data)[i] = value != 0;
        break;
    case SN_U8:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case SN_I8:
        ((int8_t *)data)[i] = (int8_t)value;
        break;
    case SN_I16:
        ((int16_t *)data)[i] = (int16_t)value;
        break;
    case SN_I32:
        ((int32_t *)data)[i] = (int32_t)value;
        break;
    case SN_I64:
        ((int64_t *)data)[i] = (int64_t)value;
        break;
    case SN_F64:
        ((double *)data)[i] = value;
        break;
    default:
        ((float *)data)[i] = (float)value;
        break;
    }
}

sn_tensor *tensor_of(sn_dtype dtype, const int64_t *dims, int32_t rank, const double *values) {
    bool half = dtype == SN_F16 || dtype == SN_BF16;
    sn_dtype made = half ? SN_F32 : dtype;
    int64_t count = count_of(dims, rank);
    size_t bytes = (size_t)count * sn_dtype_size(made);
    void *data = malloc(bytes + 1);
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++) store(data, made, i, values[i]);
    sn_tensor *t = sn_from_copy(data, bytes, dims, rank, made);
    free(data);
    return half ? sn_cast(t, dtype) : t;
}

sn_tensor *tensor_random(uint32_t seed, sn_dtype dtype, const int64_t *dims, int32_t rank) {
    int64_t count = count_of(dims, rank);
    double *values = malloc(((size_t)count + 1) * sizeof *values);
    assert_non_null(values);
    uint32_t state = seed * 2654435761u + 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        double unit = (double)state / 4294967296.0;
        if (dtype >= SN_F16)
            values[i] = unit * 4 - 2;
        else if (dtype == SN_BOOL)
            values[i] = unit < 0.5;
        else
            values[i] = floor(dtype == SN_U8 ? unit * 10 : unit * 19 - 9);
    }
    sn_tensor *t = tensor_of(dtype, dims, rank, values);
    free(values);
    return t;
}

static bool same_number(double a, double b) {
    if (a != a || b != b) return a != a && b != b;
    return a == b && signbit(a) == signbit(b);
}

void expect_values_at(sn_tensor *t, const double *values, int64_t count, const char *file,
                      int line) {
    expect_ok_at(file, line);
    if (!t || sn_count(t) != count) {
        print_error("%lld values expected, there are %lld\n", (long long)count,
                    t ? (long long)sn_count(t) : -1);
        _fail(file, line);
    }
    double *got = malloc(((size_t)count + 1) * sizeof *got);
    assert_non_null(got);
    bool read = sn_read(t, SN_F64, got, (size_t)count * sizeof *got);
    if (!read) free(got);
    expect_ok_at(file, line);
    int64_t wrong = 0;
    while (wrong < count && same_number(got[wrong], values[wrong])) wrong++;
    double value = wrong < count ? got[wrong] : 0;
    free(got);
    if (wrong == count) return;
    print_error("element %lld is %.17g, expected %.17g\n", (long long)wrong, value, values[wrong]);
    _fail(file, line);
}

void expect_shape_at(sn_tensor *t, sn_dtype dtype, const int64_t *dims, int32_t rank,
                     const char *file, int line) {
    expect_ok_at(file, line);
    if (!t) _fail(file, line);
    int64_t got[SN_MAX_RANK];
    bool same = sn_shape(t, got, NULL) == rank && sn_dtype_of(t) == dtype;
    for (int32_t i = 0; same && i < rank; i++) same = got[i] == dims[i];
    if (same) return;
    print_error("dtype %s, rank %d:", sn_dtype_name(sn_dtype_of(t)), (int)sn_rank(t));
    for (int32_t i = 0; i < sn_rank(t); i++) print_error(" %lld", (long long)sn_size(t, i));
    print_error(" where %s, rank %d was expected\n", sn_dtype_name(dtype), (int)rank);
    _fail(file, line);
}

/* Is element i of both the same? `double` holds every float exactly. */
static bool same_element(sn_dtype dtype, const void *a, const void *b, int64_t i, size_t size) {
    const char *left = (const char *)a + (size_t)i * size;
    const char *right = (const char *)b + (size_t)i * size;
    if (memcmp(left, right, size) == 0) return true;
    uint16_t half[2];
    float single[2];
    double wide[2];
    switch (dtype) {
    case SN_F16:
    case SN_BF16:
        memcpy(&half[0], left, 2), memcpy(&half[1], right, 2);
        uint16_t infinity = dtype == SN_F16 ? 0x7c00 : 0x7f80;
        return (half[0] & 0x7fff) > infinity && (half[1] & 0x7fff) > infinity;
    case SN_F32:
        memcpy(&single[0], left, 4), memcpy(&single[1], right, 4);
        return single[0] != single[0] && single[1] != single[1];
    case SN_F64:
        memcpy(&wide[0], left, 8), memcpy(&wide[1], right, 8);
        return wide[0] != wide[0] && wide[1] != wide[1];
    default:
        return false;
    }
}

void expect_same_at(sn_tensor *got, sn_tensor *want, const char *file, int line) {
    expect_ok_at(file, line);
    if (!got || !want) _fail(file, line);
    int64_t dims[SN_MAX_RANK];
    int32_t rank = sn_shape(want, dims, NULL);
    sn_dtype dtype = sn_dtype_of(want);
    expect_shape_at(got, dtype, dims, rank, file, line);
    int64_t count = sn_count(want);
    size_t size = sn_dtype_size(dtype), bytes = (size_t)count * size;
    char *a = malloc(bytes + 1), *b = malloc(bytes + 1);
    assert_true(a && b);
    bool read = sn_read(got, dtype, a, bytes) && sn_read(want, dtype, b, bytes);
    int64_t wrong = 0;
    while (read && wrong < count && same_element(dtype, a, b, wrong, size)) wrong++;
    uint64_t bits[2] = {0, 0};
    if (read && wrong < count) {
        memcpy(&bits[0], a + (size_t)wrong * size, size);
        memcpy(&bits[1], b + (size_t)wrong * size, size);
    }
    free(a), free(b);
    expect_ok_at(file, line);
    if (wrong == count) return;
    print_error("%s element %lld has bits %llx, expected %llx\n", sn_dtype_name(dtype),
                (long long)wrong, (unsigned long long)bits[0], (unsigned long long)bits[1]);
    _fail(file, line);
}

sn_counters counters_now(void) {
    sn_counters counters = {.size = sizeof counters};
    sn_counters_get(&counters);
    return counters;
}

void needs_pack(void) {
    if (counters_now().pack_bytes) return;
    print_message("             this build has no pack\n");
    skip();
}
