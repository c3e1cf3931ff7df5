/* The scalar primitives as C expressions: a table (op × type class) of templates. Their meaning,
 * bit for bit, is scalar_eval's. Arithmetic on integers is carried out unsigned, in at least 32
 * bits, and cast back, so it wraps. In a template $x, $y, $z are the operands, $T the type of the
 * result, $U the unsigned type to compute in, $N the unsigned type of the same width, $W that width
 * in bits. */
#include "codegen/cuda/emit.h"

#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct OpRow {
    const char *f32; /* template by the dtype of in[0]; NULL: not for this class */
    const char *f64;
    const char *integer;
    const char *boolean;
} OpRow;

#define ALL_TYPES(text)                                                                            \
    { text, text, text, text }

#define NEGATED "($T)(0 - ($U)$x)"
#define IN_WIDTH "$y >= 0 && $y < $W"

static const OpRow rows[OP_COUNT] = {
    [OP_NEG] = {"sn_neg_f32($x)", "sn_neg_f64($x)", NEGATED, NULL},
    [OP_ABS] = {"sn_abs_f32($x)", "sn_abs_f64($x)", "$x < 0 ? " NEGATED " : $x", NULL},
    [OP_SQRT] = {"__fsqrt_rn($x)", "__dsqrt_rn($x)", NULL, NULL},
    [OP_FLOOR] = {"floorf($x)", "floor($x)", NULL, NULL},
    [OP_CEIL] = {"ceilf($x)", "ceil($x)", NULL, NULL},
    [OP_ROUND] = {"rintf($x)", "rint($x)", NULL, NULL},
    [OP_TRUNC] = {"truncf($x)", "trunc($x)", NULL, NULL},
    [OP_ADD] = {"$x + $y", "$x + $y", "($T)(($U)$x + ($U)$y)", "$x || $y"},
    [OP_SUB] = {"$x - $y", "$x - $y", "($T)(($U)$x - ($U)$y)", NULL},
    [OP_MUL] = {"$x * $y", "$x * $y", "($T)(($U)$x * ($U)$y)", "$x && $y"},
    [OP_DIV] = {"__fdiv_rn($x, $y)", "__ddiv_rn($x, $y)", NULL, NULL},
    [OP_FMA] = {"__fmaf_rn($x, $y, $z)", "__fma_rn($x, $y, $z)", NULL, NULL},
    [OP_CANONICAL_NAN] = {"$x == $x ? $x : __uint_as_float(0x7fc00000u)",
                          "$x == $x ? $x : __longlong_as_double(0x7ff8000000000000LL)", NULL, NULL},
    [OP_SCALE] = {"sn_scale_f32($x, $y)", "sn_scale_f64($x, $y)", NULL, NULL},
    [OP_FMOD] = {"sn_fmod_f32($x, $y)", "sn_fmod_f64($x, $y)",
                 "$y == 0 || $y == -1 ? ($T)0 : ($T)($x % $y)", NULL},
    [OP_INT_DIV] = {NULL, NULL, "$y == 0 ? ($T)0 : $y == -1 ? " NEGATED " : ($T)($x / $y)", NULL},
    [OP_MAXIMUM] = {"sn_max_f32($x, $y)", "sn_max_f64($x, $y)", "$x > $y ? $x : $y", "$x || $y"},
    [OP_MINIMUM] = {"sn_min_f32($x, $y)", "sn_min_f64($x, $y)", "$x < $y ? $x : $y", "$x && $y"},
    [OP_COPYSIGN] = {"sn_copysign_f32($x, $y)", "sn_copysign_f64($x, $y)", NULL, NULL},
    [OP_EQ] = ALL_TYPES("$x == $y"),
    [OP_NE] = ALL_TYPES("$x != $y"),
    [OP_LT] = ALL_TYPES("$x < $y"),
    [OP_LE] = ALL_TYPES("$x <= $y"),
    [OP_GT] = ALL_TYPES("$x > $y"),
    [OP_GE] = ALL_TYPES("$x >= $y"),
    [OP_BITWISE_AND] = {NULL, NULL, "($T)($x & $y)", "$x && $y"},
    [OP_BITWISE_OR] = {NULL, NULL, "($T)($x | $y)", "$x || $y"},
    [OP_BITWISE_XOR] = {NULL, NULL, "($T)($x ^ $y)", "$x != $y"},
    [OP_SHIFT_LEFT] = {NULL, NULL, IN_WIDTH " ? ($T)(($U)$x << $y) : ($T)0", NULL},
    [OP_SHIFT_RIGHT] = {NULL, NULL, "($T)($x >> (" IN_WIDTH " ? $y : $W > 32 ? 63 : 31))", NULL},
    [OP_SHIFT_RIGHT_LOGICAL] = {NULL, NULL, IN_WIDTH " ? ($T)(($N)$x >> $y) : ($T)0", NULL},
    [OP_WHERE] = {NULL, NULL, NULL, "$x ? $y : $z"},
};

/* Ops whose expression is no template. */
typedef void Converter(StrBuf *out, sn_dtype to, sn_dtype from, const char *x);
static Converter *const converters[OP_COUNT] = {
    [OP_CAST] = cast_text,
    [OP_BITCAST] = bitcast_text,
};

static const char *template_of(OpCode op, sn_dtype in_dtype) {
    const OpRow *row = &rows[op];
    switch (in_dtype) {
    case SN_BOOL:
        return row->boolean;
    case SN_F32:
        return row->f32;
    case SN_F64:
        return row->f64;
    default:
        return row->integer;
    }
}

static void add_escape(StrBuf *out, char code, sn_dtype dtype, const char *const operands[3]) {
    switch (code) {
    case 'x':
    case 'y':
    case 'z':
        strbuf_add(out, operands[code - 'x']);
        return;
    case 'T':
        strbuf_add(out, ctype_text(dtype));
        return;
    case 'U':
        strbuf_add(out, ctype_wide(dtype));
        return;
    case 'N':
        strbuf_add(out, ctype_narrow(dtype));
        return;
    case 'W':
        strbuf_add_int(out, 8 * (int64_t)sn_dtype_size(dtype));
        return;
    default:
        return;
    }
}

void op_text(StrBuf *out, OpCode op, sn_dtype dtype, sn_dtype in_dtype, const char *x,
             const char *y, const char *z) {
    if (converters[op]) {
        converters[op](out, dtype, in_dtype, x);
        return;
    }
    const char *const operands[3] = {x, y, z};
    const char *text = template_of(op, in_dtype);
    SN_ASSERT(text); /* the verifier knows which dtypes an op takes */
    while (text && *text) {
        size_t plain = strcspn(text, "$");
        strbuf_add_bytes(out, text, plain);
        text += plain;
        if (!*text) break;
        add_escape(out, text[1], dtype, operands);
        text += 2;
    }
}
