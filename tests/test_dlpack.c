/* DLPack: memory is shared both ways without a copy, whatever its strides; what cannot be taken is
 * refused; and in every case the deleter is called exactly once. */
#include "base/mem.h"
#include "frontend/io/dlpack.h"
#include "frontend/tensor/tensor.h"

#include <sinter/binding.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

/* A producer: a managed tensor of either version, its arrays, and how often it was deleted. */
typedef struct Producer {
    DLManagedTensor plain;              /* version 0.x */
    DLManagedTensorVersioned versioned; /* version 1.x */
    int64_t shape[SN_MAX_RANK + 1];     /* sizes */
    int64_t strides[SN_MAX_RANK + 1];   /* strides, if given */
    int deleted;                        /* calls of the deleter */
} Producer;

static void delete_plain(DLManagedTensor *self) {
    ((Producer *)self->manager_ctx)->deleted++;
}

static void delete_versioned(DLManagedTensorVersioned *self) {
    ((Producer *)self->manager_ctx)->deleted++;
}

/* Both versions share `data` as 2 × 3 dense elements. */
static void produce(Producer *p, void *data, uint8_t code, uint8_t bits) {
    *p = (Producer){.shape = {2, 3}};
    DLTensor tensor = {.data = data,
                       .device = {DLPACK_CPU, 0},
                       .ndim = 2,
                       .dtype = {code, bits, 1},
                       .shape = p->shape};
    p->plain = (DLManagedTensor){tensor, p, delete_plain};
    p->versioned = (DLManagedTensorVersioned){
        .version = {1, 3}, .manager_ctx = p, .deleter = delete_versioned, .dl_tensor = tensor};
}

static int setup(void **state) {
    sn_scope *scope = malloc(sizeof *scope);
    if (scope) *scope = sn_scope_begin();
    *state = scope;
    return scope ? 0 : -1;
}

static int teardown(void **state) {
    sn_error_take(NULL);
    sn_scope_end(*(sn_scope *)*state, NULL);
    free(*state);
    return 0;
}

/* Ends the scope and begins another: what it held is gone. */
static void renew_scope(void **state) {
    sn_scope *scope = *state;
    sn_scope_end(*scope, NULL);
    *scope = sn_scope_begin();
}

static void expect_error_at(sn_status status, const char *part, int line) {
    sn_error error;
    sn_error_take(&error);
    if (error.status != status || !strstr(error.text, part))
        fail_msg("line %d: wanted %s \"%s\", got %s \"%s\"", line, sn_status_name(status), part,
                 sn_status_name(error.status), error.text);
}
#define expect_error(status, part) expect_error_at(status, part, __LINE__)

static void expect_values_at(sn_tensor *tensor, const double *values, int64_t count, int line) {
    double got[64];
    if (!tensor) fail_msg("line %d: %s", line, sn_error_text());
    if (sn_count(tensor) != count) fail_msg("line %d: %d elements", line, (int)sn_count(tensor));
    assert_true(sn_read(tensor, SN_F64, got, (size_t)count * sizeof *got));
    for (int64_t i = 0; i < count; i++)
        if (got[i] != values[i]) fail_msg("line %d: element %d is %g", line, (int)i, got[i]);
}
#define expect_values(tensor, ...)                                                                 \
    expect_values_at(tensor, (const double[]){__VA_ARGS__},                                        \
                     sizeof((const double[]){__VA_ARGS__}) / sizeof(double), __LINE__)

/* ---- in -------------------------------------------------------------------------------------- */

static void memory_is_taken_without_a_copy(void **state) {
    float data[6] = {1, 2, 3, 4, 5, 6};
    Producer p;
    for (int versioned = 0; versioned < 2; versioned++) {
        produce(&p, data, DLPACK_FLOAT, 32);
        sn_tensor *x =
            versioned ? sn_from_dlpack_versioned(&p.versioned) : sn_from_dlpack(&p.plain);
        expect_values(x, 1, 2, 3, 4, 5, 6);
        assert_int_equal(sn_dtype_of(x), SN_F32);
        assert_int_equal(sn_rank(x), 2);
        assert_true(sn_is_contiguous(x));
        assert_ptr_equal(sn_map(x), data);
        data[5] = 7;
        expect_values(x, 1, 2, 3, 4, 5, 7);
        data[5] = 6;
        assert_int_equal(p.deleted, 0);
        renew_scope(state);
        assert_int_equal(p.deleted, 1);
    }
}

static void the_deleter_waits_for_the_last_reference(void **state) {
    float data[6] = {0};
    Producer p;
    produce(&p, data, DLPACK_FLOAT, 32);
    sn_tensor *x = sn_retain(sn_from_dlpack(&p.plain));
    renew_scope(state);
    assert_int_equal(p.deleted, 0);
    sn_release(x);
    assert_int_equal(p.deleted, 1);
}

static void every_dtype_is_known(void **state) {
    static const struct {
        uint8_t code, bits; /* DLPack's */
        sn_dtype dtype;     /* ours */
    } cases[] = {{DLPACK_BOOL, 8, SN_BOOL},  {DLPACK_UINT, 8, SN_U8},
                 {DLPACK_INT, 8, SN_I8},     {DLPACK_INT, 16, SN_I16},
                 {DLPACK_INT, 32, SN_I32},   {DLPACK_INT, 64, SN_I64},
                 {DLPACK_FLOAT, 16, SN_F16}, {DLPACK_BFLOAT, 16, SN_BF16},
                 {DLPACK_FLOAT, 32, SN_F32}, {DLPACK_FLOAT, 64, SN_F64}};
    int64_t data[6] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Producer p;
        produce(&p, data, cases[i].code, cases[i].bits);
        sn_tensor *x = sn_from_dlpack(&p.plain);
        assert_non_null(x);
        assert_int_equal(sn_dtype_of(x), cases[i].dtype);
        DLManagedTensor *out = sn_to_dlpack(x);
        assert_non_null(out);
        assert_int_equal(out->dl_tensor.dtype.code, cases[i].code);
        assert_int_equal(out->dl_tensor.dtype.bits, cases[i].bits);
        assert_int_equal(out->dl_tensor.dtype.lanes, 1);
        out->deleter(out);
        renew_scope(state);
        assert_int_equal(p.deleted, 1);
    }
}

static void strides_and_offset_are_kept(void **state) {
    int16_t data[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const struct {
        int64_t strides[2]; /* in elements */
        uint64_t offset;    /* in bytes */
        double values[6];   /* expected */
    } cases[] = {{{3, 1}, 0, {0, 1, 2, 3, 4, 5}},       {{1, 2}, 2, {1, 3, 5, 2, 4, 6}},
                 {{-3, -1}, 22, {11, 10, 9, 8, 7, 6}},  {{-6, 2}, 12, {6, 8, 10, 0, 2, 4}},
                 {{0, 1}, 4, {2, 3, 4, 2, 3, 4}},       {{1, 1}, 0, {0, 1, 2, 1, 2, 3}},
                 {{0, 0}, 22, {11, 11, 11, 11, 11, 11}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Producer p;
        produce(&p, data, DLPACK_INT, 16);
        memcpy(p.strides, cases[i].strides, sizeof cases[i].strides);
        p.plain.dl_tensor.strides = p.strides;
        p.plain.dl_tensor.byte_offset = cases[i].offset;
        sn_tensor *x = sn_from_dlpack(&p.plain);
        expect_values_at(x, cases[i].values, 6, (int)i);
        assert_int_equal(sn_stride(x, 0), cases[i].strides[0]);
        assert_int_equal(sn_stride(x, 1), cases[i].strides[1]);
        assert_ptr_equal(sn_map(x), (char *)data + cases[i].offset);
        int64_t first, end;
        tensor_extent(x, &first, &end);
        assert_int_equal(x->offset, -first);
        assert_int_equal(x->storage->bytes, (end - first) * 2);
        renew_scope(state);
        assert_int_equal(p.deleted, 1);
    }
}

static void scalars_empty_tensors_and_single_axes_are_taken(void **state) {
    float one = 1.5f;
    Producer p;
    produce(&p, &one, DLPACK_FLOAT, 32);
    p.plain.dl_tensor.ndim = 0;
    p.plain.dl_tensor.shape = NULL;
    expect_values(sn_from_dlpack(&p.plain), 1.5);
    renew_scope(state);
    assert_int_equal(p.deleted, 1);

    produce(&p, NULL, DLPACK_FLOAT, 32);
    p.shape[1] = 0;
    p.strides[0] = p.strides[1] = INT64_MAX;
    p.plain.dl_tensor.strides = p.strides;
    sn_tensor *x = sn_from_dlpack(&p.plain);
    assert_non_null(x);
    assert_int_equal(sn_count(x), 0);
    renew_scope(state);
    assert_int_equal(p.deleted, 1);

    produce(&p, &one, DLPACK_FLOAT, 32);
    p.shape[0] = p.shape[1] = 1;
    p.strides[0] = INT64_MIN;
    p.strides[1] = 77;
    p.plain.dl_tensor.strides = p.strides;
    x = sn_from_dlpack(&p.plain);
    expect_values(x, 1.5);
    assert_int_equal(sn_stride(x, 0), 1);
    assert_int_equal(sn_stride(x, 1), 77);
    assert_ptr_equal(sn_map(x), &one);
    renew_scope(state);
    assert_int_equal(p.deleted, 1);
}

static void read_only_memory_is_copied(void **state) {
    (void)state;
    float data[6] = {1, 2, 3, 4, 5, 6};
    Producer p;
    produce(&p, data, DLPACK_FLOAT, 32);
    p.strides[0] = 1;
    p.strides[1] = 2;
    p.versioned.dl_tensor.strides = p.strides;
    p.versioned.flags = DLPACK_FLAG_READ_ONLY;
    sn_tensor *x = sn_from_dlpack_versioned(&p.versioned);
    assert_int_equal(p.deleted, 1);
    expect_values(x, 1, 3, 5, 2, 4, 6);
    assert_true(sn_is_contiguous(x));
    ((float *)sn_map(x))[0] = 9;
    assert_true(data[0] == 1);
}

static void unaligned_memory_is_copied(void **state) {
    (void)state;
    _Alignas(8) char data[8 + 6 * sizeof(double)];
    const double values[6] = {1, 2, 3, 4, 5, 6};
    memcpy(data + 1, values, sizeof values);
    Producer p;
    produce(&p, data, DLPACK_FLOAT, 64);
    p.plain.dl_tensor.byte_offset = 1;
    sn_tensor *x = sn_from_dlpack(&p.plain);
    assert_int_equal(p.deleted, 1);
    expect_values(x, 1, 2, 3, 4, 5, 6);
    assert_int_equal((uintptr_t)sn_map(x) % 8, 0);
}

/* One change that makes the 2 × 3 floats unacceptable. */
typedef void Spoil(DLTensor *tensor, Producer *p);

static void spoil_device(DLTensor *t, Producer *p) {
    (void)p;
    t->device.device_type = 2;
}
static void spoil_code(DLTensor *t, Producer *p) {
    (void)p;
    t->dtype.code = 5;
}
static void spoil_bits(DLTensor *t, Producer *p) {
    (void)p;
    t->dtype.bits = 8;
}
static void spoil_lanes(DLTensor *t, Producer *p) {
    (void)p;
    t->dtype.lanes = 4;
}
static void spoil_rank(DLTensor *t, Producer *p) {
    (void)p;
    t->ndim = 9;
}
static void spoil_sign(DLTensor *t, Producer *p) {
    (void)p;
    t->ndim = -1;
}
static void spoil_shape(DLTensor *t, Producer *p) {
    (void)p;
    t->shape = NULL;
}
static void spoil_data(DLTensor *t, Producer *p) {
    (void)p;
    t->data = NULL;
}
static void spoil_offset(DLTensor *t, Producer *p) {
    (void)p;
    t->byte_offset = UINT64_MAX - 3;
}
static void spoil_size(DLTensor *t, Producer *p) {
    (void)t;
    p->shape[1] = -3;
}
static void spoil_count(DLTensor *t, Producer *p) {
    (void)t;
    p->shape[0] = p->shape[1] = 1ll << 31;
}
static void spoil_stride(DLTensor *t, Producer *p) {
    p->strides[0] = INT64_MAX / 4;
    t->strides = p->strides;
}
static void spoil_least(DLTensor *t, Producer *p) {
    p->strides[1] = INT64_MIN;
    t->strides = p->strides;
}
static void spoil_sum(DLTensor *t, Producer *p) {
    p->strides[0] = INT64_MAX / 16 - 1;
    p->strides[1] = -INT64_MAX / 64;
    t->strides = p->strides;
}

static void what_cannot_be_taken_is_deleted_and_refused(void **state) {
    (void)state;
    static const struct {
        Spoil *spoil;     /* applied to good memory */
        sn_status status; /* expected */
        const char *part; /* of the text */
    } cases[] = {
        {spoil_device, SN_ERROR_UNSUPPORTED, "device type (2)"},
        {spoil_code, SN_ERROR_DTYPE, "code 5, 32 bits, 1 lanes"},
        {spoil_bits, SN_ERROR_DTYPE, "code 2, 8 bits"},
        {spoil_lanes, SN_ERROR_DTYPE, "4 lanes"},
        {spoil_rank, SN_ERROR_SHAPE, "(9)"},
        {spoil_sign, SN_ERROR_SHAPE, "(-1)"},
        {spoil_shape, SN_ERROR_ARGUMENT, "shape is NULL"},
        {spoil_data, SN_ERROR_ARGUMENT, "data is NULL"},
        {spoil_offset, SN_ERROR_ARGUMENT, "byte_offset is too large (-4)"},
        {spoil_size, SN_ERROR_SHAPE, "negative size (-3)"},
        {spoil_count, SN_ERROR_MEMORY, "too many elements"},
        {spoil_stride, SN_ERROR_ARGUMENT, "stride is too large"},
        {spoil_least, SN_ERROR_ARGUMENT, "stride is too large"},
        {spoil_sum, SN_ERROR_ARGUMENT, "stride is too large"},
    };
    float data[6] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Producer p;
        produce(&p, data, DLPACK_FLOAT, 32);
        cases[i].spoil(&p.plain.dl_tensor, &p);
        assert_null(sn_from_dlpack(&p.plain));
        assert_int_equal(p.deleted, 1);
        expect_error(cases[i].status, cases[i].part);
        cases[i].spoil(&p.versioned.dl_tensor, &p);
        assert_null(sn_from_dlpack_versioned(&p.versioned));
        assert_int_equal(p.deleted, 2);
        expect_error(cases[i].status, "from_dlpack_versioned: ");
    }
}

static void only_major_version_1_is_read(void **state) {
    (void)state;
    float data[6] = {0};
    for (uint32_t major = 0; major < 4; major++) {
        Producer p;
        produce(&p, data, DLPACK_FLOAT, 32);
        p.versioned.version.major = major;
        if (major == 1) continue;
        memset(&p.versioned.dl_tensor, 0xa5, sizeof p.versioned.dl_tensor);
        assert_null(sn_from_dlpack_versioned(&p.versioned));
        expect_error(SN_ERROR_UNSUPPORTED, "of DLPack, not 1.x");
        assert_int_equal(p.deleted, 1);
    }
}

static void pinned_memory_is_the_cpus_too(void **state) {
    float data[6] = {1, 2, 3, 4, 5, 6};
    Producer p;
    produce(&p, data, DLPACK_FLOAT, 32);
    p.plain.dl_tensor.device.device_type = DLPACK_CUDA_HOST;
    p.plain.deleter = NULL;
    expect_values(sn_from_dlpack(&p.plain), 1, 2, 3, 4, 5, 6);
    renew_scope(state);
}

static void a_pending_error_deletes_what_is_handed_in(void **state) {
    (void)state;
    float data[6] = {0};
    Producer p;
    produce(&p, data, DLPACK_FLOAT, 32);
    sn_error_raise(SN_ERROR_CANCELLED, NULL, 0, "first");
    assert_null(sn_from_dlpack(&p.plain));
    assert_int_equal(p.deleted, 1);
    assert_null(sn_from_dlpack_versioned(&p.versioned));
    assert_int_equal(p.deleted, 2);
    p.versioned.version.major = 2;
    assert_null(sn_from_dlpack_versioned(&p.versioned));
    assert_int_equal(p.deleted, 3);
    assert_null(sn_from_dlpack(NULL));
    expect_error(SN_ERROR_CANCELLED, "first");
    assert_null(sn_from_dlpack(NULL));
    expect_error(SN_ERROR_ARGUMENT, "from_dlpack: managed is NULL");
    assert_null(sn_from_dlpack_versioned(NULL));
    expect_error(SN_ERROR_ARGUMENT, "managed is NULL");
}

static void without_a_scope_what_is_handed_in_is_deleted(void **state) {
    float data[6] = {0};
    sn_scope *scope = *state;
    sn_scope_end(*scope, NULL);
    for (uint64_t flags = 0; flags < 2; flags++) {
        Producer p;
        produce(&p, data, DLPACK_FLOAT, 32);
        p.versioned.flags = flags;
        assert_null(sn_from_dlpack_versioned(&p.versioned));
        expect_error(SN_ERROR_SCOPE, "no scope");
        assert_int_equal(p.deleted, 1);
    }
    *scope = sn_scope_begin();
}

static void failing_allocations_delete_what_is_handed_in(void **state) {
    float data[6] = {0};
    for (uint64_t flags = 0; flags < 2; flags++) {
        for (int64_t n = 1; n < 100; n++) {
            Producer p;
            produce(&p, data, DLPACK_FLOAT, 32);
            p.versioned.flags = flags;
            mem_fail_after(n, false);
            sn_tensor *x = sn_from_dlpack_versioned(&p.versioned);
            mem_fail_after(0, false);
            if (!x) expect_error(SN_ERROR_MEMORY, "out of memory");
            assert_int_equal(p.deleted, !x || flags);
            renew_scope(state);
            assert_int_equal(p.deleted, 1);
            if (!x) continue;
            assert_true(n > 1);
            break;
        }
    }
}

/* ---- out ------------------------------------------------------------------------------------- */

static const float six[6] = {1, 2, 3, 4, 5, 6};

static void tensors_are_shared_without_a_copy(void **state) {
    sn_tensor *x = sn_from_copy(six, sizeof six, SN_I(2, 3), SN_F32);
    void *data = sn_map(x);
    DLManagedTensor *plain = sn_to_dlpack(x);
    DLManagedTensorVersioned *versioned = sn_to_dlpack_versioned(x);
    assert_non_null(plain);
    assert_non_null(versioned);
    assert_int_equal(versioned->version.major, 1);
    assert_int_equal(versioned->flags, 0);
    const DLTensor *views[] = {&plain->dl_tensor, &versioned->dl_tensor};
    renew_scope(state);
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(views[i]->data, data);
        assert_int_equal(views[i]->byte_offset, 0);
        assert_int_equal(views[i]->device.device_type, DLPACK_CPU);
        assert_int_equal(views[i]->device.device_id, 0);
        assert_int_equal(views[i]->ndim, 2);
        assert_int_equal(views[i]->shape[0], 2);
        assert_int_equal(views[i]->shape[1], 3);
        assert_int_equal(views[i]->strides[0], 3);
        assert_int_equal(views[i]->strides[1], 1);
        assert_memory_equal(views[i]->data, six, sizeof six);
    }
    plain->deleter(plain);
    assert_memory_equal(versioned->dl_tensor.data, six, sizeof six);
    versioned->deleter(versioned);
}

static void views_are_shared_as_they_are(void **state) {
    (void)state;
    sn_tensor *x = sn_from_copy(six, sizeof six, SN_I(2, 3), SN_F32);
    TensorType type = {.dtype = SN_F32, .rank = 2, .dims = {{3}, {2}}};
    sn_tensor *y =
        tensor_real(storage_retain(x->storage), &type, (const int64_t[]){-1, -3}, 5, (Site){0});
    DLManagedTensor *out = sn_to_dlpack(y);
    assert_ptr_equal(out->dl_tensor.data, (float *)sn_map(x) + 5);
    assert_int_equal(out->dl_tensor.shape[0], 3);
    assert_int_equal(out->dl_tensor.strides[0], -1);
    assert_int_equal(out->dl_tensor.strides[1], -3);
    sn_tensor *back = sn_from_dlpack(out);
    expect_values(back, 6, 3, 5, 2, 4, 1);
    assert_ptr_equal(sn_map(back), (float *)sn_map(x) + 5);
}

static void scalars_and_empty_tensors_are_shared(void **state) {
    (void)state;
    DLManagedTensor *out = sn_to_dlpack(sn_c(2.5));
    assert_non_null(out);
    assert_int_equal(out->dl_tensor.ndim, 0);
    assert_int_equal(out->dl_tensor.dtype.bits, 64);
    assert_true(*(double *)out->dl_tensor.data == 2.5);
    expect_values(sn_from_dlpack(out), 2.5);
    out = sn_to_dlpack(sn_from_copy(NULL, 0, SN_I(3, 0), SN_BOOL));
    assert_non_null(out);
    assert_int_equal(out->dl_tensor.shape[1], 0);
    out->deleter(out);
}

static void *delete_there(void *managed) {
    DLManagedTensor *out = managed;
    out->deleter(out);
    return NULL;
}

static void a_consumer_may_delete_on_another_thread(void **state) {
    (void)state;
    pthread_t thread;
    DLManagedTensor *out = sn_to_dlpack(sn_from_copy(six, sizeof six, SN_I(2, 3), SN_F32));
    assert_int_equal(pthread_create(&thread, NULL, delete_there, out), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void what_cannot_be_shared_is_refused(void **state) {
    (void)state;
    sn_tensor *x = sn_from_copy(six, sizeof six, SN_I(2, 3), SN_F32);
    assert_null(sn_to_dlpack(NULL));
    expect_error(SN_ERROR_ARGUMENT, "to_dlpack: tensor is NULL");
    assert_null(sn_to_dlpack_versioned(SN_NONE));
    expect_error(SN_ERROR_ARGUMENT, "to_dlpack_versioned: ");
    sn_error_raise(SN_ERROR_CANCELLED, NULL, 0, "first");
    assert_null(sn_to_dlpack(x));
    assert_null(sn_to_dlpack_versioned(x));
    expect_error(SN_ERROR_CANCELLED, "first");
    int64_t live = mem_live_count();
    mem_fail_after(1, false);
    assert_null(sn_to_dlpack(x));
    mem_fail_after(0, false);
    expect_error(SN_ERROR_MEMORY, "out of memory");
    assert_int_equal(mem_live_count(), live);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(memory_is_taken_without_a_copy),
        TEST(the_deleter_waits_for_the_last_reference),
        TEST(every_dtype_is_known),
        TEST(strides_and_offset_are_kept),
        TEST(scalars_empty_tensors_and_single_axes_are_taken),
        TEST(read_only_memory_is_copied),
        TEST(unaligned_memory_is_copied),
        TEST(what_cannot_be_taken_is_deleted_and_refused),
        TEST(only_major_version_1_is_read),
        TEST(pinned_memory_is_the_cpus_too),
        TEST(a_pending_error_deletes_what_is_handed_in),
        TEST(without_a_scope_what_is_handed_in_is_deleted),
        TEST(failing_allocations_delete_what_is_handed_in),
        TEST(tensors_are_shared_without_a_copy),
        TEST(views_are_shared_as_they_are),
        TEST(scalars_and_empty_tensors_are_shared),
        TEST(a_consumer_may_delete_on_another_thread),
        TEST(what_cannot_be_shared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
