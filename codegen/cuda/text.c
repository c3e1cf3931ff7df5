/* Pieces of CUDA C: indented lines, parameters, barriers, and the names of types. */
#include "codegen/cuda/emit.h"

/* ---- lines ----------------------------------------------------------------------------------- */

static void begin_line(Emit *e, const char *format, va_list args) {
    for (int32_t i = 0; i < e->indent; i++) strbuf_add(&e->body, "    ");
    strbuf_vaddf(&e->body, format, args);
}

void emit_begin(Emit *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    begin_line(e, format, args);
    va_end(args);
}

void emit_line(Emit *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    begin_line(e, format, args);
    va_end(args);
    strbuf_add_char(&e->body, '\n');
}

void emit_open(Emit *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    begin_line(e, format, args);
    va_end(args);
    strbuf_add(&e->body, " {\n");
    e->indent++;
}

void emit_close(Emit *e) {
    SN_ASSERT(e->indent > 0);
    e->indent--;
    emit_line(e, "}");
}

void emit_coef(Emit *e, KCoef coef) {
    if (coef.param >= 0) {
        SN_ASSERT(coef.param < e->kernel->n_params);
        e->param_used[coef.param] = true;
        strbuf_addf(&e->body, "p%d", (int)coef.param);
    } else {
        strbuf_add_int(&e->body, coef.value);
    }
}

void emit_barrier(Emit *e) {
    SN_ASSERT(e->together); /* or some threads of the block would wait for ever */
    if (!e->synced) emit_line(e, "__syncthreads();");
    e->synced = true;
}

/* ---- types ----------------------------------------------------------------------------------- */

typedef struct TypeRow {
    const char *text;   /* of a value */
    const char *memory; /* of an element in memory */
    const char *wide;   /* the unsigned type that integers are computed in */
    const char *narrow; /* the unsigned type of the same width */
} TypeRow;

static const TypeRow types[SN_DTYPE_COUNT] = {
    [SN_BOOL] = {"bool", "unsigned char", "unsigned int", "unsigned char"},
    [SN_U8] = {"unsigned char", "unsigned char", "unsigned int", "unsigned char"},
    [SN_I8] = {"signed char", "signed char", "unsigned int", "unsigned char"},
    [SN_I16] = {"short", "short", "unsigned int", "unsigned short"},
    [SN_I32] = {"int", "int", "unsigned int", "unsigned int"},
    [SN_I64] = {"long long", "long long", "unsigned long long", "unsigned long long"},
    [SN_F16] = {"unsigned short", "unsigned short", "", ""},
    [SN_BF16] = {"unsigned short", "unsigned short", "", ""},
    [SN_F32] = {"float", "float", "", ""},
    [SN_F64] = {"double", "double", "", ""},
};

const char *ctype_text(sn_dtype dtype) {
    SN_ASSERT((uint32_t)dtype < SN_DTYPE_COUNT);
    return types[dtype].text;
}

const char *ctype_memory(sn_dtype dtype) {
    SN_ASSERT((uint32_t)dtype < SN_DTYPE_COUNT);
    return types[dtype].memory;
}

const char *ctype_wide(sn_dtype dtype) {
    SN_ASSERT(!dtype_is_float(dtype));
    return types[dtype].wide;
}

const char *ctype_narrow(sn_dtype dtype) {
    SN_ASSERT(!dtype_is_float(dtype));
    return types[dtype].narrow;
}
