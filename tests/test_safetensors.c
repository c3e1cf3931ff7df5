/* Files of the .safetensors format: what the format's own library writes is read, what we write it
 * reads, and a file that is not exactly well-formed is refused when it is opened. */
#include "base/sanitizers.h"
#include "tests/io_case.h"

#include <sys/resource.h>

/* Writes a .safetensors file with this header. */
static void write_st(const Fixture *f, const char *header, const void *data, size_t count) {
    Bytes bytes = {.count = 0};
    uint64_t length = strlen(header);
    add(&bytes, &length, 8);
    add(&bytes, header, (size_t)length);
    add(&bytes, data, count);
    write_file(f->path, bytes.data, bytes.count);
}

static sn_safetensors *open_st(const Fixture *f) {
    sn_safetensors *st = sn_safetensors_open(f->path);
    if (!st) fail_msg("%s", sn_error_text());
    return st;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void it_reads_tensors_by_name(void **state) {
    Fixture *f = *state;
    write_st(
        f,
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[2,10]},"
        "\"a\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2]},"
        "\"none\":{\"dtype\":\"I64\",\"shape\":[3,0],\"data_offsets\":[2,2]},"
        "\"one\":{\"data_offsets\":[10,12],\"later\":null,\"shape\":[],\"dtype\":\"BF16\"}}   ",
        "\xff\x02\0\0\xc0\x3f\0\0\0\x80\x40\x40", 12);
    sn_safetensors *st = open_st(f);
    assert_int_equal(sn_safetensors_count(st), 4);
    assert_string_equal(sn_safetensors_name(st, 0), "b");
    assert_string_equal(sn_safetensors_name(st, 1), "a");
    assert_string_equal(sn_safetensors_name(st, 3), "one");
    assert_null(sn_safetensors_name(st, 4));
    assert_null(sn_safetensors_name(st, -1));
    sn_tensor *b = sn_safetensors_get(st, "b");
    expect_values(b, 1.5, -0.0);
    expect_shape(b, SN_I(2, 1));
    assert_int_equal(sn_dtype_of(b), SN_F32);
    expect_values(sn_safetensors_get(st, "a"), -1, 2);
    expect_shape(sn_safetensors_get(st, "none"), SN_I(3, 0));
    sn_tensor *one = sn_safetensors_get(st, "one");
    expect_values(one, 3);
    assert_int_equal(sn_rank(one), 0);
    sn_safetensors_close(st);
    expect_values(b, 1.5, -0.0);
}

static void a_file_without_tensors_is_one(void **state) {
    Fixture *f = *state;
    write_st(f, "{}", "", 0);
    sn_safetensors *st = open_st(f);
    assert_int_equal(sn_safetensors_count(st), 0);
    assert_null(sn_safetensors_name(st, 0));
    assert_null(sn_safetensors_get(st, ""));
    expect_error(SN_ERROR_ARGUMENT, "there is no tensor \"\"");
    sn_safetensors_close(st);
}

static void names_may_be_any_text(void **state) {
    Fixture *f = *state;
    write_st(f,
             "{\"a\\\"\\\\\\n\\u00e9\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[],\"data_"
             "offsets\":[0,1]},"
             "\"\\\\u0000\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]},"
             "\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[2,3]}}",
             "\1\2\3", 3);
    sn_safetensors *st = open_st(f);
    expect_values(sn_safetensors_get(st, "a\"\\\n\xc3\xa9\xf0\x9f\x98\x80"), 1);
    expect_values(sn_safetensors_get(st, "\\u0000"), 2);
    expect_values(sn_safetensors_get(st, ""), 3);
    sn_safetensors_close(st);
}

/* A file may hold tensors that Sinter cannot; the others are usable. */
static void what_sinter_has_not_is_refused_when_fetched(void **state) {
    Fixture *f = *state;
    write_st(f,
             "{\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},"
             "\"u\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[3,5]},"
             "\"r\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[5,7]},"
             "\"x\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[7,9]}}",
             "\0\1\2\3\4\5\6\x80\0", 9);
    sn_safetensors *st = open_st(f);
    assert_int_equal(sn_safetensors_count(st), 4);
    assert_null(sn_safetensors_get(st, "q"));
    expect_error(SN_ERROR_DTYPE, "tensor \"q\" is F8_E4M3");
    assert_null(sn_safetensors_get(st, "u"));
    expect_error(SN_ERROR_DTYPE, "U16");
    assert_null(sn_safetensors_get(st, "r"));
    expect_error(SN_ERROR_SHAPE, "9 dimensions");
    assert_null(sn_safetensors_get(st, "y"));
    expect_error(SN_ERROR_ARGUMENT, "no tensor \"y\"");
    expect_bytes(sn_safetensors_get(st, "x"), "\1\0", 2);
    sn_safetensors_close(st);
}

#define ITEM(dtype, shape, offsets)                                                                \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void malformed_headers_are_refused(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *header; /* in front of 4 bytes of elements */
        const char *part;   /* of the text */
    } cases[] = {
        {"[]", "no JSON object"},
        {" {}", "no JSON object"},
        {"{\"a\xff\":1}", "UTF-8"},
        {"{\"a\xed\xa0\x80\":1}", "UTF-8"},
        {"{\"a\xc0\x80\":1}", "UTF-8"},
        {"{\"a\xf5\x80\x80\x80\":1}", "UTF-8"},
        {"{\"a\xe2\x82", "UTF-8"},
        {"{\"a\\u0000\":" ITEM("F32", "[1]", "[0,4]") "}", "no JSON object"},
        {"{\"a\":", "no JSON"},
        {"{\"a\":\"\\ud800\"}", "no JSON"},
        {"{} x", "follows"},
        {"{}", "4 bytes after the last"},
        {"{\"a\":1}", "no object"},
        {"{\"__metadata__\":[]}", "no JSON"},
        {"{\"__metadata__\":{\"k\":1}}", "no JSON"},
        {"{\"__metadata__\":{\"k\":[\"x\"]}}", "no JSON"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "twice"},
        {"{\"a\n\":1}", "no JSON"},
        {"{\"a\\x\":1}", "no JSON"},
        {"{'a':1}", "no JSON"},
        {"{\"a\":01}", "no JSON"},
        {"{\"a\":+1}", "no JSON"},
        {"{\"a\":1.}", "no JSON"},
        {"{\"a\":.5}", "no JSON"},
        {"{\"a\":1e}", "no JSON"},
        {"{\"a\":nul}", "no JSON"},
        {"{\"a\":[1,]}", "no JSON"},
        {"{\"a\":[1 2]}", "no JSON"},
        {"{\"a\":{\"b\"}}", "no JSON"},
        {"{\"a\":{\"later\":01}}", "no JSON"},
        {"{\"a\":{\"later\":[tru]}}", "no JSON"},
        {"{\"a\":" ITEM("F32", "[1]", "[0,4]") ",}", "no JSON"},
        {"{,\"a\":" ITEM("F32", "[1]", "[0,4]") "}", "no JSON"},
        {"{\"a\":" ITEM("F32", "[01]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[1.0e0]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[1.0]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[1,]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[-0]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[1]", "[00,4]") "}", "no byte range"},
        {"{\"a\":" ITEM("F32", "[1]", "[0,4e0]") "}", "no byte range"},
        {"{\"a\":{}}", "lacks dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "lacks dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", "twice"},
        {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype is no string"},
        {"{\"a\":" ITEM("F32", "1", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[-1]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[1.5]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[\"1\"]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[1e99]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[18446744073709551617]", "[0,4]") "}", "shape is no list"},
        {"{\"a\":" ITEM("F32", "[4294967296,4294967296]", "[0,4]") "}", "overflows"},
        {"{\"a\":" ITEM("F32", "[2147483648,2147483648]", "[0,4]") "}", "overflows"},
        {"{\"a\":" ITEM("F32", "[0,4294967296,4294967296]", "[0,0]") "}", "overflows"},
        {"{\"a\":" ITEM("F32", "[1]", "4") "}", "no byte range"},
        {"{\"a\":" ITEM("F32", "[1]", "[0]") "}", "no byte range"},
        {"{\"a\":" ITEM("F32", "[1]", "[0,4,4]") "}", "no byte range"},
        {"{\"a\":" ITEM("F32", "[1]", "[4,0]") "}", "no byte range"},
        {"{\"a\":" ITEM("F32", "[1]", "[-4,0]") "}", "no byte range"},
        {"{\"a\":" ITEM("F32", "[2]", "[0,8]") "}", "beyond the end"},
        {"{\"a\":" ITEM("F32", "[1]", "[0,9007199254740992]") "}", "beyond the end"},
        {"{\"a\":" ITEM("F32", "[2]", "[0,4]") "}", "does not fit its shape"},
        {"{\"a\":" ITEM("U8", "[3]", "[1,4]") "}", "gap"},
        {"{\"a\":" ITEM("U8", "[3]", "[0,3]") "}", "1 bytes after"},
        {"{\"a\":" ITEM("U8", "[1]", "[0,1]") ",\"b\":" ITEM("U8", "[2]", "[2,4]") "}", "gap"},
        {"{\"a\":" ITEM("U8", "[3]", "[0,3]") ",\"b\":" ITEM("U8", "[2]", "[2,4]") "}", "overlap"},
        {"{\"a\":" ITEM("U8", "[4]", "[0,4]") ",\"b\":" ITEM("U8", "[4]", "[0,4]") "}", "overlap"},
        {"{\"a\":" ITEM("U8", "[2]", "[0,2]") ",\"a\":" ITEM("U8", "[2]", "[2,4]") "}",
         "the name comes twice"},
        {"{\"a\":" ITEM("U16", "[4]", "[0,5]") "}", "beyond the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_st(f, cases[i].header, "\0\0\0\0", 4);
        assert_null(sn_safetensors_open(f->path));
        assert_non_null(strstr(sn_error_text(), f->path));
        expect_error(SN_ERROR_FORMAT, cases[i].part);
    }
}

static void malformed_files_are_refused(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *bytes; /* the file */
        size_t count;      /* its length */
    } cases[] = {
        {"", 0},
        {"\2\0\0\0\0\0\0", 7},
        {"\2\0\0\0\0\0\0\0{", 9},
        {"\1\0\0\0\0\0\0\0{}", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10},
        {"\0\0\0\0\0\0\0\x80{}", 10},
        {"\3\0\0\0\0\0\0\0{}\0", 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(f->path, cases[i].bytes, cases[i].count);
        assert_null(sn_safetensors_open(f->path));
        expect_error(SN_ERROR_FORMAT, f->path);
    }
    assert_null(sn_safetensors_open(f->folder));
    expect_error(SN_ERROR_IO, "not a regular file");
    assert_null(sn_safetensors_open(NULL));
    expect_error(SN_ERROR_ARGUMENT, "path is NULL");
}

static void deep_nesting_does_not_exhaust_the_stack(void **state) {
    Fixture *f = *state;
    enum { DEPTH = 1000000 };
    static const char start[] = "{\"a\":";
    char *header = malloc(8 + DEPTH);
    assert_non_null(header);
    memset(header, '[', 8 + DEPTH);
    uint64_t length = DEPTH;
    memcpy(header, &length, 8);
    memcpy(header + 8, start, sizeof start - 1);
    write_file(f->path, header, 8 + DEPTH);
    free(header);
    assert_null(sn_safetensors_open(f->path));
    expect_error(SN_ERROR_FORMAT, "no JSON");
}

/* Most bytes of the process in memory so far. */
static int64_t peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss << 10;
}

static void a_header_takes_no_more_memory_than_its_text(void **state) {
    Fixture *f = *state;
    enum { VALUES = 20 << 20 };
    static const char start[] = "{\"a\":{\"later\":[0", end[] = "]}}";
    uint64_t length = sizeof start - 1 + 2 * (uint64_t)VALUES + sizeof end - 1;
    FILE *file = fopen(f->path, "wb"); /* bit by bit: the peak is to be the library's */
    assert_non_null(file);
    assert_int_equal(fwrite(&length, 8, 1, file), 1);
    assert_true(fputs(start, file) >= 0);
    for (int32_t i = 0; i < VALUES; i++) assert_true(fputs(",0", file) >= 0);
    assert_true(fputs(end, file) >= 0);
    assert_int_equal(fclose(file), 0);
    int64_t before = peak_bytes();
    assert_null(sn_safetensors_open(f->path));
    expect_error(SN_ERROR_FORMAT, "lacks dtype");
    if (!ADDRESS_SANITIZER && !THREAD_SANITIZER)
        assert_true(peak_bytes() - before < 5 * VALUES / 2);
}

static void a_file_that_shrinks_while_open_is_an_error(void **state) {
    Fixture *f = *state;
    write_st(f, "{\"a\":" ITEM("F32", "[1]", "[0,4]") "}", "\0\0\0\0", 4);
    sn_safetensors *st = open_st(f);
    assert_int_equal(truncate(f->path, 40), 0);
    assert_null(sn_safetensors_get(st, "a"));
    expect_error(SN_ERROR_IO, "too early");
    sn_safetensors_close(st);
}

static void arguments_are_checked(void **state) {
    Fixture *f = *state;
    write_st(f, "{}", "", 0);
    sn_safetensors *st = open_st(f);
    assert_null(sn_safetensors_get(NULL, "a"));
    expect_error(SN_ERROR_ARGUMENT, "file is NULL");
    assert_null(sn_safetensors_get(st, NULL));
    expect_error(SN_ERROR_ARGUMENT, "name is NULL");
    assert_int_equal(sn_safetensors_count(NULL), 0);
    assert_null(sn_safetensors_name(NULL, 0));
    sn_error_raise(SN_ERROR_CANCELLED, NULL, 0, "first");
    assert_null(sn_safetensors_get(st, "a"));
    assert_null(sn_safetensors_open(f->path));
    assert_false(sn_safetensors_save(f->path, NULL, NULL, -1));
    expect_error(SN_ERROR_CANCELLED, "first");
    sn_safetensors_close(st);
    sn_safetensors_close(NULL);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void save_writes_wide_elements_first(void **state) {
    Fixture *f = *state;
    static const char wanted[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[12,15]},"
        "\"b\\\"\\u000a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"c\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[8,12]}}";
    const float half = 0.5f;
    const int64_t two = 2;
    const char *names[] = {"a", "b\"\n", "c"};
    sn_tensor *tensors[] = {sn_from_copy("\1\2\3", 3, SN_I(3), SN_U8),
                            sn_from_copy(&two, 8, SN_I0, SN_I64),
                            sn_from_copy(&half, 4, SN_I(1, 1), SN_F32)};
    assert_true(sn_safetensors_save(f->path, names, tensors, 3));
    Bytes got = read_file(f->path);
    uint64_t length;
    memcpy(&length, got.data, 8);
    assert_int_equal(length % 8, 0);
    assert_true(length >= strlen(wanted) && length < strlen(wanted) + 8);
    assert_memory_equal(got.data + 8, wanted, strlen(wanted));
    assert_int_equal(got.count, 8 + length + 15);
    assert_memory_equal(got.data + 8 + length, "\2\0\0\0\0\0\0\0\0\0\0\x3f\1\2\3", 15);
    assert_int_equal(files(f, false), 1);
}

static void every_bit_of_every_dtype_comes_back(void **state) {
    Fixture *f = *state;
    char bytes[SN_DTYPE_COUNT][32];
    const char *names[SN_DTYPE_COUNT];
    sn_tensor *tensors[SN_DTYPE_COUNT];
    for (int d = 0; d < SN_DTYPE_COUNT; d++) {
        names[d] = sn_dtype_name((sn_dtype)d);
        tensors[d] = extremes((sn_dtype)d, bytes[d]);
    }
    assert_true(sn_safetensors_save(f->path, names, tensors, SN_DTYPE_COUNT));
    sn_safetensors *st = open_st(f);
    assert_int_equal(sn_safetensors_count(st), SN_DTYPE_COUNT);
    for (int d = 0; d < SN_DTYPE_COUNT; d++) {
        assert_string_equal(sn_safetensors_name(st, d), names[d]);
        sn_tensor *x = sn_safetensors_get(st, names[d]);
        assert_int_equal(sn_dtype_of(x), d);
        expect_shape(x, SN_I(2, 2));
        expect_bytes(x, bytes[d], 4 * sn_dtype_size((sn_dtype)d));
    }
    sn_safetensors_close(st);
}

static void views_scalars_and_empty_tensors_are_saved(void **state) {
    Fixture *f = *state;
    uint32_t e[4];
    sn_tensor *x = extremes(SN_F32, e);
    const char *names[] = {"turned", "flipped", "weak", "empty", "same"};
    sn_tensor *tensors[] = {view_2x2(x, 1, 2, 0), view_2x2(x, -2, -1, 3), sn_ci(-3),
                            sn_from_copy(NULL, 0, SN_I(2, 0), SN_F16), x};
    assert_true(sn_safetensors_save(f->path, names, tensors, 5));
    sn_safetensors *st = open_st(f);
    expect_bytes(sn_safetensors_get(st, "turned"), (const uint32_t[]){e[0], e[2], e[1], e[3]}, 16);
    expect_bytes(sn_safetensors_get(st, "flipped"), (const uint32_t[]){e[3], e[2], e[1], e[0]}, 16);
    expect_values(sn_safetensors_get(st, "weak"), -3);
    expect_shape(sn_safetensors_get(st, "empty"), SN_I(2, 0));
    expect_bytes(sn_safetensors_get(st, "same"), e, 16);
    sn_safetensors_close(st);
    assert_true(sn_safetensors_save(f->path, NULL, NULL, 0));
    assert_int_equal(read_file(f->path).count, 8 + 8);
}

static void save_refuses_bad_names(void **state) {
    Fixture *f = *state;
    uint32_t e[4];
    sn_tensor *x = extremes(SN_F32, e);
    static const struct {
        const char *names[2]; /* given */
        const char *part;     /* of the text */
    } cases[] = {
        {{"a", "a"}, "names[1] \"a\": the name comes twice"},
        {{"a", NULL}, "names[1] is NULL"},
        {{"__metadata__", "a"}, "names[0] \"__metadata__\": the format keeps"},
        {{"a\xff", "a"}, "names[0] \"\": it is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(sn_safetensors_save(f->path, cases[i].names, (sn_tensor *[]){x, x}, 2));
        expect_error(SN_ERROR_ARGUMENT, cases[i].part);
    }
    assert_false(sn_safetensors_save(f->path, NULL, &x, 1));
    expect_error(SN_ERROR_ARGUMENT, "names or tensors is NULL");
    assert_false(sn_safetensors_save(f->path, (const char *[]){"a"}, (sn_tensor *[]){NULL}, 1));
    expect_error(SN_ERROR_ARGUMENT, "tensor is NULL");
    assert_false(sn_safetensors_save(NULL, (const char *[]){"a"}, &x, 1));
    expect_error(SN_ERROR_ARGUMENT, "path is NULL");
    assert_int_equal(files(f, false), 0);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

/* Opens the file and reads all that can be read. */
static bool try_open(const Fixture *f, void *context) {
    (void)context;
    double values[MOST_BYTES];
    sn_safetensors *st = sn_safetensors_open(f->path);
    if (!st) return false;
    bool done = true;
    for (int32_t i = 0; i < sn_safetensors_count(st) && done; i++) {
        sn_tensor *x = sn_safetensors_get(st, sn_safetensors_name(st, i));
        done = x && sn_count(x) <= MOST_BYTES &&
               sn_read(x, SN_F64, values, (size_t)sn_count(x) * sizeof *values);
    }
    sn_safetensors_close(st);
    return done;
}

static bool try_save(const Fixture *f, void *context) {
    return sn_safetensors_save(f->path, (const char *[]){"x", "y"}, context, 2);
}

static void it_survives_failing_allocations(void **state) {
    Fixture *f = *state;
    uint32_t e[4];
    sn_tensor *x = extremes(SN_F32, e);
    sweep_faults(f, try_save, (sn_tensor *[]){x, view_2x2(x, 1, 2, 0)});
    assert_int_equal(files(f, false), 1);
    sweep_faults(f, try_open, NULL);
}

static void it_survives_mutated_files(void **state) {
    Fixture *f = *state;
    char bytes[32];
    sn_tensor *tensors[] = {extremes(SN_F16, bytes), extremes(SN_BOOL, bytes),
                            extremes(SN_I64, bytes), sn_from_copy(NULL, 0, SN_I(0), SN_U8)};
    const char *names[] = {"a", "layer.0.weight", "\xc3\xa9\\", ""};
    assert_true(sn_safetensors_save(f->path, names, tensors, 4));
    Bytes seed = read_file(f->path);
    int32_t read = fuzz(f, &seed, 777, try_open);
    assert_in_range(read, FUZZED_FILES / 50, FUZZED_FILES * 9 / 10);
    write_st(
        f,
        "{\"__metadata__\":{\"k\":\"[1]\"},\"later\":" ITEM("U8", "[0]", "[0,0]") ",\"t\":" ITEM(
            "U8", "[2,2]", "[0,4]") ","
                                    "\"s\":" ITEM("BF16", "[]", "[4,6]") "}",
        "\0\1\2\3\4\5", 6);
    seed = read_file(f->path);
    read = fuzz(f, &seed, 778, try_open);
    assert_in_range(read, FUZZED_FILES / 50, FUZZED_FILES * 9 / 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_reads_tensors_by_name),
        TEST(a_file_without_tensors_is_one),
        TEST(names_may_be_any_text),
        TEST(what_sinter_has_not_is_refused_when_fetched),
        TEST(malformed_headers_are_refused),
        TEST(malformed_files_are_refused),
        TEST(deep_nesting_does_not_exhaust_the_stack),
        TEST(a_header_takes_no_more_memory_than_its_text),
        TEST(a_file_that_shrinks_while_open_is_an_error),
        TEST(arguments_are_checked),
        TEST(save_writes_wide_elements_first),
        TEST(every_bit_of_every_dtype_comes_back),
        TEST(views_scalars_and_empty_tensors_are_saved),
        TEST(save_refuses_bad_names),
        TEST(it_survives_failing_allocations),
        TEST(it_survives_mutated_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
