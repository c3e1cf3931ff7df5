/* CAST, BITCAST and constants as C expressions. Conversions round once, to nearest even; float to
 * integer saturates and NaN gives 0, as in dtype_bits_cast. Half types are their bits, in unsigned
 * short, and are widened to float on the way. */
#include "codegen/cuda/emit.h"

#include <stdio.h>

/* ---- constants ------------------------------------------------------------------------------- */

/* A finite float: "-0x1.8p+3", exact, and without the decimal point of some locale. */
static void add_hex_float(StrBuf *out, double value) {
    uint64_t bits = dtype_bits_from_double(SN_F64, value);
    uint64_t fraction = bits << 12;
    int64_t exponent = (int64_t)(bits >> 52 & 0x7ff);
    strbuf_add(out, bits >> 63 ? "-0x" : "0x");
    strbuf_add(out, exponent ? "1" : "0");
    if (fraction) strbuf_add_char(out, '.');
    for (; fraction; fraction <<= 4) strbuf_add_char(out, "0123456789abcdef"[fraction >> 60]);
    int64_t power = exponent ? exponent - 1023 : value == 0 ? 0 : -1022;
    strbuf_add(out, power < 0 ? "p" : "p+");
    strbuf_add_int(out, power);
}

static void add_float(StrBuf *out, sn_dtype dtype, uint64_t bits) {
    double value = dtype_bits_to_double(dtype, bits);
    if (value - value == 0) {
        add_hex_float(out, value);
        if (dtype == SN_F32) strbuf_add_char(out, 'f');
    } else if (dtype == SN_F32) {
        strbuf_addf(out, "__uint_as_float(0x%08xu)", (unsigned)bits);
    } else {
        strbuf_addf(out, "__longlong_as_double((long long)0x%016llxull)", (unsigned long long)bits);
    }
}

void const_text(StrBuf *out, sn_dtype dtype, uint64_t bits) {
    int64_t value = (int64_t)bits;
    switch (dtype) {
    case SN_BOOL:
        strbuf_add(out, bits ? "true" : "false");
        return;
    case SN_F32:
    case SN_F64:
        add_float(out, dtype, bits);
        return;
    case SN_F16:
    case SN_BF16:
        strbuf_addf(out, "0x%04x", (unsigned)bits);
        return;
    default:
        break;
    }
    const char *suffix = dtype == SN_I64 ? "LL" : "";
    /* The least value is no literal: its digits alone do not fit. */
    bool least = value == INT32_MIN || value == INT64_MIN;
    if (least) strbuf_add_char(out, '(');
    strbuf_add_int(out, least ? value + 1 : value);
    strbuf_add(out, suffix);
    if (least) strbuf_add(out, " - 1)");
}

/* ---- conversions ----------------------------------------------------------------------------- */

/* To f16 or bf16. Wider sources go through a float "rounded to odd", whose last bit says whether
 * anything was lost; rounding that gives what rounding the source would. */
static void half_from(StrBuf *out, sn_dtype to, sn_dtype from, const char *x) {
    const char *name = sn_dtype_name(to);
    bool fits = from == SN_F32 || sn_dtype_size(from) < 4;
    if (from == SN_F32)
        strbuf_addf(out, "sn_%s_from_f32(%s)", name, x);
    else if (fits || (to == SN_F16 && !dtype_is_float(from))) /* f16 ends long before 2^24 */
        strbuf_addf(out, "sn_%s_from_f32((float)%s)", name, x);
    else if (from == SN_I64)
        strbuf_addf(out, "sn_%s_from_f32(sn_odd_f32(sn_sticky_f64(%s)))", name, x);
    else
        strbuf_addf(out, "sn_%s_from_f32(sn_odd_f32((double)%s))", name, x);
}

void cast_text(StrBuf *out, sn_dtype to, sn_dtype from, const char *x) {
    char widened[64];
    if (to == from) {
        strbuf_add(out, x);
        return;
    }
    if (dtype_is_half(from)) {
        snprintf(widened, sizeof widened, "sn_f32_from_%s(%s)", sn_dtype_name(from), x);
        x = widened;
        from = SN_F32;
    }
    if (to == from)
        strbuf_add(out, x);
    else if (to == SN_BOOL)
        strbuf_addf(out, "%s != 0", x);
    else if (dtype_is_half(to))
        half_from(out, to, from, x);
    else if (dtype_is_float(from) && !dtype_is_float(to))
        strbuf_addf(out, "sn_%s_from_%s(%s)", sn_dtype_name(to), sn_dtype_name(from), x);
    else
        strbuf_addf(out, "(%s)%s", ctype_text(to), x);
}

void bitcast_text(StrBuf *out, sn_dtype to, sn_dtype from, const char *x) {
    if (to == from)
        strbuf_add(out, x);
    else if (to == SN_F32)
        strbuf_addf(out, "__uint_as_float((unsigned int)%s)", x);
    else if (to == SN_F64)
        strbuf_addf(out, "__longlong_as_double(%s)", x);
    else if (from == SN_F32)
        strbuf_addf(out, "(int)__float_as_uint(%s)", x);
    else if (from == SN_F64)
        strbuf_addf(out, "__double_as_longlong(%s)", x);
    else
        strbuf_addf(out, "(%s)%s", ctype_text(to), x);
}
