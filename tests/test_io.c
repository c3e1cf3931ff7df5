/* Files of NumPy's format: what NumPy writes is read, what we write NumPy reads, and no file, however
 * malformed, does more than raise an error that names it. Also how files of any format are published. */
#define raise raise_signal /* the frontend has a function of this name */
#include <signal.h>
#undef raise

#include "tests/io_case.h"

#include <sys/resource.h>

/* ---- .npy: reading --------------------------------------------------------------------------- */

/* Writes a .npy file with this dictionary. */
static void write_npy(const Fixture *f, int version, const char *header, const void *data,
                      size_t count) {
    Bytes bytes = {.count = 0};
    uint32_t length = (uint32_t)strlen(header);
    add(&bytes, "\x93NUMPY", 6);
    add(&bytes, (const char[]){(char)version, 0}, 2);
    add(&bytes, &length, version == 1 ? 2 : 4);
    add(&bytes, header, length);
    add(&bytes, data, count);
    write_file(f->path, bytes.data, bytes.count);
}

static void npy_reads_every_dtype(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *header; /* dictionary */
        const char *data;   /* elements */
        size_t bytes;       /* of them */
        sn_dtype dtype;     /* expected */
        double values[2];   /* expected */
    } cases[] = {
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }",
         "\x00\x01",
         2,
         SN_BOOL,
         {0, 1}},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }",
         "\xff\x01",
         2,
         SN_U8,
         {255, 1}},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }",
         "\xff\x01",
         2,
         SN_I8,
         {-1, 1}},
        {"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }",
         "\x01\x02\x00\x80",
         4,
         SN_I16,
         {513, -32768}},
        {"{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }",
         "\x01\x02\x80\x00",
         4,
         SN_I16,
         {258, -32768}},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }",
         "\1\0\0\0\0\0\1\0",
         8,
         SN_I32,
         {1, 65536}},
        {"{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }",
         "\0\0\0\1\0\1\0\0",
         8,
         SN_I32,
         {1, 65536}},
        {"{'descr': '>i8', 'fortran_order': False, 'shape': (2,), }",
         "\0\0\0\0\0\0\0\5\xff\xff\xff\xff\xff\xff\xff\xfe",
         16,
         SN_I64,
         {5, -2}},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }",
         "\x00\x3e\x00\x80",
         4,
         SN_F16,
         {1.5, -0.0}},
        {"{'descr': '>f2', 'fortran_order': False, 'shape': (2,), }",
         "\x3e\x00\xfc\x00",
         4,
         SN_F16,
         {1.5, -INFINITY}},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
         "\0\0\xc0\x3f\0\0\0\x80",
         8,
         SN_F32,
         {1.5, -0.0}},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
         "\x3f\xc0\0\0\x7f\x80\0\0",
         8,
         SN_F32,
         {1.5, INFINITY}},
        {"{'descr': '>f8', 'fortran_order': False, 'shape': (2,), }",
         "\x3f\xf8\0\0\0\0\0\0\x80\0\0\0\0\0\0\0",
         16,
         SN_F64,
         {1.5, -0.0}},
        {"{'descr': '=f8', 'fortran_order': False, 'shape': (2,), }",
         "\0\0\0\0\0\0\xf8\x3f\0\0\0\0\0\0\0\x80",
         16,
         SN_F64,
         {1.5, -0.0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_npy(f, 1, cases[i].header, cases[i].data, cases[i].bytes);
        sn_tensor *x = sn_npy_load(f->path);
        expect_values(x, cases[i].values[0], cases[i].values[1]);
        assert_int_equal(sn_dtype_of(x), cases[i].dtype);
    }
}

static void npy_reads_every_way_to_write_the_header(void **state) {
    Fixture *f = *state;
    static const char *const headers[] = {
        "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }            \n",
        "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<i2\"}",
        " { 'shape' : ( 2L , 3L ) , 'descr' : '<i2' ,\n 'fortran_order' : False } \t",
    };
    for (int version = 1; version <= 3; version++) {
        for (size_t i = 0; i < 3; i++) {
            write_npy(f, version, headers[i], "\1\0\2\0\3\0\4\0\5\0\6\0", 12);
            sn_tensor *x = sn_npy_load(f->path);
            expect_values(x, 1, 2, 3, 4, 5, 6);
            expect_shape(x, SN_I(2, 3));
        }
    }
}

static void npy_fortran_order_comes_out_row_major(void **state) {
    Fixture *f = *state;
    write_npy(f, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", "\1\4\2\5\3\6",
              6);
    sn_tensor *x = sn_npy_load(f->path);
    expect_values(x, 1, 2, 3, 4, 5, 6);
    expect_shape(x, SN_I(2, 3));
    write_npy(f, 1, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 1, 2, 2), }",
              "\0\1\0\5\0\3\0\7\0\2\0\6\0\4\0\x8", 16);
    x = sn_npy_load(f->path);
    expect_values(x, 1, 2, 3, 4, 5, 6, 7, 8);
    expect_shape(x, SN_I(2, 1, 2, 2));
    write_npy(f, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (3, 0, 2), }", "", 0);
    expect_shape(sn_npy_load(f->path), SN_I(3, 0, 2));
    write_npy(f, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (), }", "\7", 1);
    expect_values(sn_npy_load(f->path), 7);
}

static void npy_reads_scalars_and_empty_arrays(void **state) {
    Fixture *f = *state;
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "\0\0\xc0\x3f", 4);
    sn_tensor *x = sn_npy_load(f->path);
    expect_values(x, 1.5);
    assert_int_equal(sn_rank(x), 0);
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", "", 0);
    expect_shape(sn_npy_load(f->path), SN_I(0));
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 0, 1000000000000)}", "",
              0);
    expect_shape(sn_npy_load(f->path), SN_I(4, 0, 1000000000000));
}

static void npy_ignores_what_follows_the_elements(void **state) {
    Fixture *f = *state;
    write_npy(f, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", "\1\2 more", 7);
    expect_values(sn_npy_load(f->path), 1, 2);
}

static void npy_makes_bools_of_other_bytes(void **state) {
    Fixture *f = *state;
    write_npy(f, 1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "\x80\0\2", 3);
    expect_bytes(sn_npy_load(f->path), "\1\0\1", 3);
}

static void npy_refuses_malformed_headers(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *header; /* dictionary */
        sn_status status;   /* expected */
        const char *part;   /* of the text */
    } cases[] = {
        {"", SN_ERROR_FORMAT, "no dictionary"},
        {"[]", SN_ERROR_FORMAT, "no dictionary"},
        {"{", SN_ERROR_FORMAT, "lacks a string"},
        {"{}", SN_ERROR_FORMAT, "lacks one of"},
        {"{'descr': '<f4', 'shape': (1,), }", SN_ERROR_FORMAT, "lacks one of"},
        {"{'descr'", SN_ERROR_FORMAT, "no value"},
        {"{'descr: '<f4'}", SN_ERROR_FORMAT, "no value"},
        {"{'descr': '<f4", SN_ERROR_FORMAT, "does not end"},
        {"{'descr': '\\x3cf4', 'shape': (1,), 'fortran_order': False}", SN_ERROR_FORMAT, "escape"},
        {"{'descr': '<f4' 'shape': (1,)}", SN_ERROR_FORMAT, "no dictionary"},
        {"{'descr': '<f4', 'descr': '<f4'}", SN_ERROR_FORMAT, "twice"},
        {"{'descr': '<f4', 'other': 1}", SN_ERROR_FORMAT, "besides"},
        {"{'descr': '<f4', 'fortran_order': 0}", SN_ERROR_FORMAT, "neither True nor False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", SN_ERROR_FORMAT, "follows"},
        {"{'shape': 1}", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (1)}", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (1 2)}", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (,)}", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (1,,2)}", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (1.5,)}", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (1,", SN_ERROR_FORMAT, "no tuple"},
        {"{'shape': (-1,)}", SN_ERROR_FORMAT, "negative"},
        {"{'shape': (9223372036854775808,)}", SN_ERROR_FORMAT, "too large"},
        {"{'shape': (99999999999999999999999999,)}", SN_ERROR_FORMAT, "too large"},
        {"{'shape': (4294967296, 4294967296)}", SN_ERROR_FORMAT, "overflows"},
        {"{'shape': (0, 4294967296, 4294967296)}", SN_ERROR_FORMAT, "overflows"},
        {"{'shape': (1,1,1,1,1,1,1,1,1)}", SN_ERROR_SHAPE, "8 dimensions"},
        {"{'descr': '<c8'}", SN_ERROR_DTYPE, "<c8: "},
        {"{'descr': '<u2'}", SN_ERROR_DTYPE, "<u2: "},
        {"{'descr': '<U5'}", SN_ERROR_DTYPE, "<U5: "},
        {"{'descr': '|O'}", SN_ERROR_DTYPE, "|O: "},
        {"{'descr': ''}", SN_ERROR_DTYPE, "element type"},
        {"{'descr': '\x01\x02 and a text that is longer than any'}", SN_ERROR_DTYPE, "?? and a"},
        {"{'descr': [('a', '<f4')]}", SN_ERROR_DTYPE, "structures"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_npy(f, 1, cases[i].header, "\0\0\0\0", 4);
        assert_null(sn_npy_load(f->path));
        assert_non_null(strstr(sn_error_text(), f->path));
        assert_non_null(strstr(sn_error_text(), "npy_load: "));
        expect_error(cases[i].status, cases[i].part);
    }
}

static void npy_refuses_malformed_files(void **state) {
    Fixture *f = *state;
    static const char good[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";
    write_file(f->path, "", 0);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "0 bytes are no .npy file");
    write_file(f->path, "\x93NUMPX\1\0\4\0    ", 14);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "does not begin");
    write_npy(f, 4, good, "\0\0\0\0", 4);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "version 4.0");
    write_file(f->path, "\x93NUMPY\1\0\xff\xff{}", 12);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "within its header");
    write_file(f->path, "\x93NUMPY\2\0\xff\xff\xff\xff{}", 14);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "within its header");
    write_npy(f, 1, good, "\0\0\0", 3);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "needs 4 bytes of elements, the file has 3");
    write_npy(f, 1, "{'descr': '<f8', 'fortran_order': True, 'shape': (1152921504606846975,)}", "",
              0);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_FORMAT, "needs 9223372036854775800 bytes");
}

static void npy_load_says_why_a_file_cannot_be_opened(void **state) {
    Fixture *f = *state;
    assert_null(sn_npy_load(NULL));
    expect_error(SN_ERROR_ARGUMENT, "npy_load: path is NULL");
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_IO, "No such file");
    assert_null(sn_npy_load(f->folder));
    expect_error(SN_ERROR_IO, "not a regular file");
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_IO, "not a regular file");
}

/* ---- .npy: writing --------------------------------------------------------------------------- */

/* The very bytes that numpy.save writes. */
static void npy_saves_what_numpy_saves(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *header; /* of numpy.save, without its padding */
        int64_t dims[2];    /* saved */
        int32_t rank;       /* of dims */
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", {2, 1}, 2},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", {2}, 1},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", {0}, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7), }", {0, 7}, 2},
    };
    const float elements[2] = {1.5f, -0.0f};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Bytes wanted = {.count = 0};
        size_t bytes = sizeof(float);
        for (int32_t k = 0; k < cases[i].rank; k++) bytes *= (size_t)cases[i].dims[k];
        add(&wanted, "\x93NUMPY\1\0\x76\0", 10);
        add(&wanted, cases[i].header, strlen(cases[i].header));
        while (wanted.count < 127) add(&wanted, " ", 1);
        add(&wanted, "\n", 1);
        add(&wanted, elements, bytes);
        sn_tensor *x = sn_from_copy(elements, bytes, cases[i].dims, cases[i].rank, SN_F32);
        assert_true(sn_npy_save(f->path, x));
        Bytes got = read_file(f->path);
        assert_int_equal(got.count, wanted.count);
        assert_memory_equal(got.data, wanted.data, wanted.count);
    }
    assert_int_equal(files(f, false), 1);
}

static void npy_keeps_every_bit(void **state) {
    Fixture *f = *state;
    char bytes[32];
    for (int d = 0; d < SN_DTYPE_COUNT; d++) {
        sn_tensor *x = extremes((sn_dtype)d, bytes);
        if (d == SN_BF16) {
            assert_false(sn_npy_save(f->path, x));
            expect_error(SN_ERROR_DTYPE, "bf16");
            continue;
        }
        assert_true(sn_npy_save(f->path, x));
        sn_tensor *y = sn_npy_load(f->path);
        assert_int_equal(sn_dtype_of(y), d);
        expect_shape(y, SN_I(2, 2));
        expect_bytes(y, bytes, 4 * sn_dtype_size((sn_dtype)d));
    }
}

static void npy_saves_views_in_row_major_order(void **state) {
    Fixture *f = *state;
    uint32_t e[4];
    sn_tensor *x = extremes(SN_F32, e);
    assert_true(sn_npy_save(f->path, view_2x2(x, 1, 2, 0)));
    expect_bytes(sn_npy_load(f->path), (const uint32_t[]){e[0], e[2], e[1], e[3]}, sizeof e);
    assert_true(sn_npy_save(f->path, view_2x2(x, -2, -1, 3)));
    expect_bytes(sn_npy_load(f->path), (const uint32_t[]){e[3], e[2], e[1], e[0]}, sizeof e);
    assert_true(sn_npy_save(f->path, view_2x2(x, 0, 0, 2)));
    expect_bytes(sn_npy_load(f->path), (const uint32_t[]){e[2], e[2], e[2], e[2]}, sizeof e);
}

static void npy_saves_scalar_operands(void **state) {
    Fixture *f = *state;
    assert_true(sn_npy_save(f->path, sn_c(2.5)));
    sn_tensor *x = sn_npy_load(f->path);
    expect_values(x, 2.5);
    assert_int_equal(sn_dtype_of(x), SN_F64);
    assert_int_equal(sn_rank(x), 0);
}

/* ---- publishing, shared by both formats ------------------------------------------------------ */

static sn_tensor *some_tensor(void) {
    return sn_from_copy("\1\2", 2, SN_I(2), SN_U8);
}

static void save_says_why_a_file_cannot_be_written(void **state) {
    Fixture *f = *state;
    char path[160];
    assert_false(sn_npy_save(NULL, some_tensor()));
    expect_error(SN_ERROR_ARGUMENT, "npy_save: path is NULL");
    assert_false(sn_npy_save(f->path, NULL));
    expect_error(SN_ERROR_ARGUMENT, "npy_save: tensor is NULL");
    assert_false(sn_npy_save(f->path, SN_NONE));
    expect_error(SN_ERROR_ARGUMENT, "SN_NONE");
    snprintf(path, sizeof path, "%s/absent/file", f->folder);
    assert_false(sn_npy_save(path, some_tensor()));
    expect_error(SN_ERROR_IO, "No such file");
    assert_false(sn_npy_save(f->folder, some_tensor()));
    expect_error(SN_ERROR_IO, "not a regular file");
    assert_int_equal(files(f, false), 0);
    assert_false(sn_npy_save("/dev/null", some_tensor()));
    expect_error(SN_ERROR_IO, "not a regular file");
}

static void a_failed_save_leaves_the_old_file(void **state) {
    Fixture *f = *state;
    struct rlimit old, small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    write_file(f->path, "old", 3);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool saved = sn_npy_save(f->path, some_tensor());
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_false(saved);
    expect_error(SN_ERROR_IO, f->path);
    Bytes bytes = read_file(f->path);
    assert_int_equal(bytes.count, 3);
    assert_int_equal(files(f, false), 1);
}

static void a_saved_file_keeps_the_permissions_of_the_old(void **state) {
    Fixture *f = *state;
    struct stat info;
    write_file(f->path, "old", 3);
    assert_int_equal(chmod(f->path, 0640), 0);
    assert_true(sn_npy_save(f->path, some_tensor()));
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    expect_values(sn_npy_load(f->path), 1, 2);
}

static void a_save_passes_over_names_that_are_taken(void **state) {
    Fixture *f = *state;
    char path[160];
    snprintf(path, sizeof path, "%s/.sinter-%ld-0.tmp", f->folder, (long)getpid());
    write_file(path, "left behind", 11);
    assert_true(sn_npy_save(f->path, some_tensor()));
    assert_int_equal(read_file(path).count, 11);
    assert_int_equal(files(f, false), 2);
}

static void a_pending_error_stops_everything(void **state) {
    Fixture *f = *state;
    sn_tensor *x = some_tensor();
    assert_true(sn_npy_save(f->path, x));
    sn_error_raise(SN_ERROR_CANCELLED, NULL, 0, "first");
    assert_null(sn_npy_load(f->path));
    assert_int_equal(unlink(f->path), 0);
    assert_false(sn_npy_save(f->path, x));
    assert_null(sn_npy_load(NULL));
    expect_error(SN_ERROR_CANCELLED, "first");
    assert_int_equal(files(f, false), 0);
}

static void loading_needs_a_scope(void **state) {
    Fixture *f = *state;
    assert_true(sn_npy_save(f->path, some_tensor()));
    sn_scope_end(f->scope, NULL);
    int64_t live = mem_live_count();
    assert_null(sn_npy_load(f->path));
    expect_error(SN_ERROR_SCOPE, "no scope");
    assert_int_equal(mem_live_count(), live);
    f->scope = sn_scope_begin();
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

static bool try_load(const Fixture *f, void *context) {
    (void)context;
    sn_tensor *x = sn_npy_load(f->path);
    if (!x) return false;
    int64_t count = sn_count(x);
    double values[MOST_BYTES];
    assert_true(count <= MOST_BYTES);
    assert_true(sn_read(x, SN_F64, values, (size_t)count * sizeof *values));
    return true;
}

static bool try_save(const Fixture *f, void *context) {
    return sn_npy_save(f->path, context);
}

static void npy_survives_failing_allocations(void **state) {
    Fixture *f = *state;
    uint32_t e[4];
    sn_tensor *x = view_2x2(extremes(SN_F32, e), 1, 2, 0);
    sweep_faults(f, try_save, x);
    assert_int_equal(files(f, false), 1);
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", e, sizeof e);
    sweep_faults(f, try_load, NULL);
}

static void npy_survives_mutated_files(void **state) {
    Fixture *f = *state;
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
        "{'descr': '>i8', 'fortran_order': True, 'shape': (3, 1), }\n",
        "{'descr': '|b1', 'fortran_order': False, 'shape': (24,), }\n",
    };
    for (int i = 0; i < 3; i++) {
        write_npy(f, 1 + i, headers[i], "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 24);
        Bytes seed = read_file(f->path);
        int32_t read = fuzz(f, &seed, 12345u + (unsigned)i, try_load);
        assert_in_range(read, FUZZED_FILES / 50, FUZZED_FILES * 9 / 10);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(npy_reads_every_dtype),
        TEST(npy_reads_every_way_to_write_the_header),
        TEST(npy_fortran_order_comes_out_row_major),
        TEST(npy_reads_scalars_and_empty_arrays),
        TEST(npy_ignores_what_follows_the_elements),
        TEST(npy_makes_bools_of_other_bytes),
        TEST(npy_refuses_malformed_headers),
        TEST(npy_refuses_malformed_files),
        TEST(npy_load_says_why_a_file_cannot_be_opened),
        TEST(npy_saves_what_numpy_saves),
        TEST(npy_keeps_every_bit),
        TEST(npy_saves_views_in_row_major_order),
        TEST(npy_saves_scalar_operands),
        TEST(save_says_why_a_file_cannot_be_written),
        TEST(a_failed_save_leaves_the_old_file),
        TEST(a_saved_file_keeps_the_permissions_of_the_old),
        TEST(a_save_passes_over_names_that_are_taken),
        TEST(a_pending_error_stops_everything),
        TEST(loading_needs_a_scope),
        TEST(npy_survives_failing_allocations),
        TEST(npy_survives_mutated_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
