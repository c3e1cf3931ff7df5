/* The device functions that generated code may name, as CUDA C. Only those a kernel uses are
 * printed with it. They need no header: what they call is built into NVRTC. */
#include "codegen/cuda/emit.h"

#include <string.h>

#define DEVICE "static __device__ __forceinline__ "

typedef struct DeviceFunction {
    const char *name; /* with the parenthesis that follows it in a call */
    const char *text; /* its definition, which names only functions further up */
} DeviceFunction;

/* clang-format off */

/* ---- integers -------------------------------------------------------------------------------- */

#define LEAST                                                                                      \
    DEVICE "long long sn_least(long long x, long long y) {\n"                                      \
           "    return x < y ? x : y;\n"                                                           \
           "}\n"

/* Division of 64 bits is slow and seldom needed. */
#define DIVIDE                                                                                     \
    DEVICE "long long sn_divide(long long x, long long y) {\n"                                     \
           "    if (((x | y) >> 32) == 0) return (unsigned int)x / (unsigned int)y;\n"             \
           "    return x / y;\n"                                                                   \
           "}\n"

/* ---- signs, extremes, remainder -------------------------------------------------------------- */

/* F: f32 or f64, T: its C type, BITS(x) and VALUE(bits): conversions, SIGN: mask of the sign. */
#define NEG(F, T, BITS, VALUE, SIGN)                                                               \
    {"sn_neg_" F "(", DEVICE T " sn_neg_" F "(" T " x) {\n"                                        \
                             "    return " VALUE "(" BITS "(x) ^ " SIGN ");\n"                     \
                             "}\n"}
#define ABS(F, T, BITS, VALUE, SIGN)                                                               \
    {"sn_abs_" F "(", DEVICE T " sn_abs_" F "(" T " x) {\n"                                        \
                             "    return " VALUE "(" BITS "(x) & ~" SIGN ");\n"                    \
                             "}\n"}
#define COPYSIGN(F, T, BITS, VALUE, SIGN)                                                          \
    {"sn_copysign_" F "(",                                                                         \
     DEVICE T " sn_copysign_" F "(" T " x, " T " y) {\n"                                           \
              "    return " VALUE "((" BITS "(x) & ~" SIGN ") | (" BITS "(y) & " SIGN "));\n"      \
              "}\n"}
/* NaN wins. Equal operands differ at most in the sign of zero. */
#define EXTREME(NAME, WINS, JOIN, F, T, BITS, VALUE)                                               \
    {"sn_" NAME "_" F "(", DEVICE T " sn_" NAME "_" F "(" T " x, " T " y) {\n"                     \
                                    "    if (x != x || y != y) return x + y;\n"                    \
                                    "    if (x == y) return " VALUE "(" BITS "(x) " JOIN " " BITS  \
                                    "(y));\n"                                                      \
                                    "    return x " WINS " y ? x : y;\n"                           \
                                    "}\n"}
/* A remainder of 0 has the sign of x too. */
#define FMOD(F, T, CALL)                                                                           \
    {"sn_fmod_" F "(", DEVICE T " sn_fmod_" F "(" T " x, " T " y) {\n"                             \
                              "    const " T " r = " CALL "(x, y);\n"                              \
                              "    return r == r ? sn_copysign_" F "(r, x) : r;\n"                 \
                              "}\n"}
/* Two factors, 2^floor(y / 2) and 2^ceil(y / 2): the first product is exact, the second rounds. MAGIC
 * puts y, plus twice the exponent bias, into the low bits. U: unsigned of the same size. */
#define SCALE(F, T, BITS, VALUE, U, MANTISSA, MAGIC)                                               \
    {"sn_scale_" F "(",                                                                            \
     DEVICE T " sn_scale_" F "(" T " x, " T " y) {\n"                                              \
              "    const " U " bits = (" U ")" BITS "(y + " MAGIC ");\n"                           \
              "    const " U " first = bits >> 1 << " MANTISSA ";\n"                               \
              "    return x * " VALUE "(first) * " VALUE "((bits << " MANTISSA ") - first);\n"     \
              "}\n"}

#define IN_F32 "f32", "float", "__float_as_uint", "__uint_as_float"
#define IN_F64 "f64", "double", "__double_as_longlong", "__longlong_as_double"
#define SIGN_F32 "0x80000000u"
#define SIGN_F64 "(-9223372036854775807LL - 1)"
/* Expands the rows above after their arguments. */
#define ROW(macro, ...) macro(__VA_ARGS__)

/* ---- float to integer ------------------------------------------------------------------------ */

#define TO_INT(I, T, LOW, HIGH, LEAST_VALUE, MOST_VALUE, F, FT)                                    \
    {"sn_" I "_from_" F "(", DEVICE T " sn_" I "_from_" F "(" FT " x) {\n"                         \
                                    "    if (x != x) return 0;\n"                                  \
                                    "    if (x <= " LOW ") return " LEAST_VALUE ";\n"              \
                                    "    if (x >= " HIGH ") return " MOST_VALUE ";\n"              \
                                    "    return (" T ")x;\n"                                       \
                                    "}\n"}
#define TO_INTS(F, FT)                                                                             \
    TO_INT("u8", "unsigned char", "0", "0x1p+8f", "0", "255", F, FT),                              \
    TO_INT("i8", "signed char", "-0x1p+7f", "0x1p+7f", "-128", "127", F, FT),                      \
    TO_INT("i16", "short", "-0x1p+15f", "0x1p+15f", "-32768", "32767", F, FT),                     \
    TO_INT("i32", "int", "-0x1p+31f", "0x1p+31f", "-2147483647 - 1", "2147483647", F, FT),         \
    TO_INT("i64", "long long", "-0x1p+63f", "0x1p+63f", "-9223372036854775807LL - 1",              \
           "9223372036854775807LL", F, FT)

/* ---- half types ------------------------------------------------------------------------------ */

/* Subnormals of f16 are integers × 2^-24. */
#define F32_FROM_F16                                                                               \
    DEVICE "float sn_f32_from_f16(unsigned short x) {\n"                                           \
           "    const unsigned int sign = (x & 0x8000u) << 16, size = x & 0x7fffu;\n"              \
           "    if (size >= 0x7c00u)\n"                                                            \
           "        return __uint_as_float(sign | 0x7f800000u | (size & 0x3ffu) << 13);\n"         \
           "    if (size >= 0x400u) return __uint_as_float(sign | ((size << 13) + 0x38000000u));\n"\
           "    return __uint_as_float(sign | __float_as_uint((float)size * 0x1p-24f));\n"         \
           "}\n"
#define F32_FROM_BF16                                                                              \
    DEVICE "float sn_f32_from_bf16(unsigned short x) {\n"                                          \
           "    return __uint_as_float((unsigned int)x << 16);\n"                                  \
           "}\n"
/* Below 2^-14 an addition to 0.5, whose last place is f16's least, does the rounding. Above, just
 * under half of the last place and that place itself carry exactly where nearest-even rounds up. */
#define F16_FROM_F32                                                                               \
    DEVICE "unsigned short sn_f16_from_f32(float x) {\n"                                           \
           "    const unsigned int bits = __float_as_uint(x);\n"                                   \
           "    const unsigned int sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;\n"      \
           "    if (size > 0x7f800000u) return (unsigned short)(sign | 0x7e00u);\n"                \
           "    if (size >= 0x47800000u) return (unsigned short)(sign | 0x7c00u);\n"               \
           "    if (size < 0x38800000u) {\n"                                                       \
           "        const float moved = __uint_as_float(size) + 0.5f;\n"                           \
           "        return (unsigned short)(sign | (__float_as_uint(moved) - 0x3f000000u));\n"     \
           "    }\n"                                                                               \
           "    const unsigned int up = size + 0xfffu + (size >> 13 & 1u);\n"                      \
           "    return (unsigned short)(sign | (up - 0x38000000u) >> 13);\n"                       \
           "}\n"
#define BF16_FROM_F32                                                                              \
    DEVICE "unsigned short sn_bf16_from_f32(float x) {\n"                                          \
           "    const unsigned int bits = __float_as_uint(x);\n"                                   \
           "    if (x != x) return (unsigned short)((bits >> 16) | 0x40u);\n"                      \
           "    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);\n"            \
           "}\n"
/* Towards zero, the last bit set when anything was lost. */
#define ODD_F32                                                                                    \
    DEVICE "float sn_odd_f32(double x) {\n"                                                        \
           "    const float near = (float)x;\n"                                                    \
           "    const double back = near, size = x < 0 ? -x : x;\n"                                \
           "    unsigned int bits = __float_as_uint(near);\n"                                      \
           "    if ((back < 0 ? -back : back) > size) bits -= 1;\n"                                \
           "    if (back != x) bits |= 1;\n"                                                       \
           "    return __uint_as_float(bits);\n"                                                   \
           "}\n"
/* What lies below the 48 top bits of a large integer only counts as zero or not zero. */
#define STICKY_F64                                                                                 \
    DEVICE "double sn_sticky_f64(long long x) {\n"                                                 \
           "    const long long limit = 1LL << 40;\n"                                              \
           "    if (x > -limit && x < limit) return (double)x;\n"                                  \
           "    return (double)((x & ~0xffffLL) | ((x & 0xffffLL) != 0 ? 0x8000LL : 0));\n"        \
           "}\n"

/* ---- ordered reductions ---------------------------------------------------------------------- */

/* Chunk number `chunk` ends: its lanes join the tree, in which level l holds 2^l merged chunks
 * where bit l of the number of chunks is set, and start anew. */
#define PUSH(O, SIGN, START, F, T)                                                                 \
    {"sn_push_" O "_" F "(",                                                                       \
     DEVICE "void sn_push_" O "_" F "(" T " *tree, " T " *sums, int lanes, long long chunk) {\n"   \
            "    int level = 0;\n"                                                                 \
            "    for (; chunk >> level & 1; level++)\n"                                            \
            "        for (int m = 0; m < lanes; m++)\n"                                            \
            "            sums[m] = tree[level * lanes + m] " SIGN " sums[m];\n"                    \
            "    for (int m = 0; m < lanes; m++) {\n"                                              \
            "        tree[level * lanes + m] = sums[m];\n"                                         \
            "        sums[m] = " START ";\n"                                                       \
            "    }\n"                                                                              \
            "}\n"}
/* One lane of what the tree holds, from the last chunks to the first; there is at least one. */
#define JOIN(O, SIGN, START, F, T)                                                                 \
    {"sn_join_" O "_" F "(",                                                                       \
     DEVICE T " sn_join_" O "_" F "(const " T " *tree, int lanes, int m, long long chunks) {\n"    \
              "    int level = 0;\n"                                                               \
              "    while (!(chunks >> level & 1)) level++;\n"                                      \
              "    " T " sum = tree[level * lanes + m];\n"                                         \
              "    while (chunks >> ++level)\n"                                                    \
              "        if (chunks >> level & 1) sum = tree[level * lanes + m] " SIGN " sum;\n"     \
              "    return sum;\n"                                                                  \
              "}\n"}
/* The value of a tree whose lanes are one thread's. */
#define CLOSE(O, SIGN, START, F, T)                                                                \
    {"sn_close_" O "_" F "(",                                                                      \
     DEVICE T " sn_close_" O "_" F "(const " T " *tree, int lanes, long long chunks) {\n"          \
              "    " T " sums[32];\n"                                                              \
              "    for (int m = 0; m < lanes; m++)\n"                                              \
              "        sums[m] = sn_join_" O "_" F "(tree, lanes, m, chunks);\n"                   \
              "    for (int half = lanes / 2; half > 0; half /= 2)\n"                              \
              "        for (int m = 0; m < half; m++) sums[m] = sums[m] " SIGN " sums[m + half];\n"\
              "    return sums[0];\n"                                                              \
              "}\n"}
/* The value of a row, in all threads, from the lanes of the groups of chunks that warps have. */
#define ROWS(O, SIGN, START, F, T)                                                                 \
    {"sn_rows_" O "_" F "(",                                                                       \
     DEVICE T " sn_rows_" O "_" F "(" T " sum, " T " *share, long long groups) {\n"                \
              "    " T " tree[8];\n"                                                               \
              "    share[threadIdx.x] = sum;\n"                                                    \
              "    __syncthreads();\n"                                                             \
              "    for (int g = 0; g < groups; g++) {\n"                                           \
              "        sum = share[32 * g + threadIdx.x % 32];\n"                                  \
              "        sn_push_" O "_" F "(tree, &sum, 1, g);\n"                                   \
              "    }\n"                                                                            \
              "    sum = sn_join_" O "_" F "(tree, 1, 0, groups);\n"                               \
              "    for (int h = 16; h > 0; h /= 2)\n"                                              \
              "        sum = sum " SIGN " __shfl_xor_sync(0xffffffffu, sum, h);\n"                 \
              "    return sum;\n"                                                                  \
              "}\n"}
#define ORDERED(O, SIGN, START, F, T)                                                              \
    PUSH(O, SIGN, START, F, T), JOIN(O, SIGN, START, F, T), CLOSE(O, SIGN, START, F, T),           \
        ROWS(O, SIGN, START, F, T)

/* clang-format on */

/* ---- the table ------------------------------------------------------------------------------- */

static const DeviceFunction functions[] = {
    {"sn_least(", LEAST},
    {"sn_divide(", DIVIDE},
    ROW(NEG, IN_F32, SIGN_F32),
    ROW(NEG, IN_F64, SIGN_F64),
    ROW(ABS, IN_F32, SIGN_F32),
    ROW(ABS, IN_F64, SIGN_F64),
    ROW(COPYSIGN, IN_F32, SIGN_F32),
    ROW(COPYSIGN, IN_F64, SIGN_F64),
    ROW(EXTREME, "max", ">", "&", IN_F32),
    ROW(EXTREME, "max", ">", "&", IN_F64),
    ROW(EXTREME, "min", "<", "|", IN_F32),
    ROW(EXTREME, "min", "<", "|", IN_F64),
    FMOD("f32", "float", "fmodf"),
    FMOD("f64", "double", "fmod"),
    ROW(SCALE, IN_F32, "unsigned int", "23", "12583166.0f"),
    ROW(SCALE, IN_F64, "unsigned long long", "52", "6755399441057790.0"),
    TO_INTS("f32", "float"),
    TO_INTS("f64", "double"),
    {"sn_f32_from_f16(", F32_FROM_F16},
    {"sn_f32_from_bf16(", F32_FROM_BF16},
    {"sn_f16_from_f32(", F16_FROM_F32},
    {"sn_bf16_from_f32(", BF16_FROM_F32},
    {"sn_odd_f32(", ODD_F32},
    {"sn_sticky_f64(", STICKY_F64},
    ORDERED("add", "+", "-0.0f", "f32", "float"),
    ORDERED("add", "+", "-0.0", "f64", "double"),
    ORDERED("mul", "*", "1", "f32", "float"),
    ORDERED("mul", "*", "1", "f64", "double"),
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

void device_functions(StrBuf *out, const char *body) {
    bool used[FUNCTIONS];
    for (int i = FUNCTIONS; i-- > 0;) {
        used[i] = strstr(body, functions[i].name) != NULL;
        for (int by = i + 1; by < FUNCTIONS && !used[i]; by++)
            used[i] = used[by] && strstr(functions[by].text, functions[i].name) != NULL;
    }
    for (int i = 0; i < FUNCTIONS; i++)
        if (used[i]) strbuf_add(out, functions[i].text);
}
