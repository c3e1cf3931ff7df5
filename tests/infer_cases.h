/* Cases for inference tests as rows of strings: operands "f32[2,3] w:f64 -" (w: weak, - absent) and
 * attributes "[0,-1] 1 d0.5" in signature order. A valid case's result must come out again when it is
 * inferred from the normalised attributes. */
#ifndef SN_TESTS_INFER_CASES_H
#define SN_TESTS_INFER_CASES_H

#include "ir/graph/graph.h"
#include "ir/infer/infer.h"
#include "ir/op/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_OPERANDS = 16 };

typedef struct Valid {
    OpCode op;              /* the op */
    const char *operands;   /* their types */
    const char *attrs;      /* attributes as given */
    const char *result;     /* expected type */
    const char *normalised; /* expected attributes; NULL = as given */
} Valid;

typedef struct Invalid {
    OpCode op;            /* the op */
    const char *operands; /* their types */
    const char *attrs;    /* attributes as given */
    sn_status status;     /* expected status */
    const char *text;     /* expected text */
} Invalid;

static inline const char *read_type(const char *p, TensorType *type) {
    *type = (TensorType){0};
    if (*p == '-') {
        type->rank = RANK_ABSENT;
        return p + 1;
    }
    bool weak = strncmp(p, "w:", 2) == 0;
    if (weak) p += 2;
    size_t length = strcspn(p, "[ ");
    sn_dtype dtype = SN_BOOL;
    assert_true(dtype_parse(p, length, &dtype));
    type->dtype = (uint8_t)dtype;
    p += length;
    while (*p == '[' || *p == ',') {
        char *end;
        if (p[1] == ']') {
            p++;
            break;
        }
        type->dims[type->rank++] = dim_of(strtoll(p + 1, &end, 10));
        p = end;
    }
    if (*p == ']') p++;
    type->strength = weak ? STRENGTH_WEAK : type->rank ? STRENGTH_FULL : STRENGTH_ZERO_DIM;
    return p;
}

static inline int32_t read_types(const char *p, TensorType *types) {
    int32_t count = 0;
    while (*p) {
        assert_true(count < MOST_OPERANDS);
        p = read_type(p, &types[count++]);
        while (*p == ' ') p++;
    }
    return count;
}

static inline const char *read_attr(const char *p, AttrList *attrs) {
    char *end;
    if (*p == 'd') {
        double value = strtod(p + 1, &end);
        memcpy(&attrs->words[attrs->count++], &value, sizeof value);
        return end;
    }
    if (*p != '[') {
        attrs->words[attrs->count++] = strtoll(p, &end, 0);
        return end;
    }
    int32_t head = attrs->count++;
    for (p++; *p != ']'; p += *p == ',') {
        attrs->words[attrs->count++] = strtoll(p, &end, 10);
        p = end;
    }
    attrs->words[head] = attrs->count - head - 1;
    return p + 1;
}

static inline void read_attrs(const char *p, AttrList *attrs) {
    *attrs = (AttrList){0};
    while (*p) {
        p = read_attr(p, attrs);
        while (*p == ' ') p++;
    }
}

static inline void print_attrs(OpCode op, const AttrList *attrs, char *out, size_t size) {
    size_t used = 0;
    AttrWalk at = attr_walk(attr_view(op, attrs));
    out[0] = 0;
    while (attr_next(&at)) {
        const char *gap = used ? " " : "";
        const int64_t *words = &attrs->words[at.first], word = words[0];
        if (at.param->kind == 'd') {
            double value;
            memcpy(&value, &word, sizeof value);
            used += (size_t)snprintf(out + used, size - used, "%sd%g", gap, value);
        } else if (at.param->kind == 'L') {
            used += (size_t)snprintf(out + used, size - used, "%s[", gap);
            for (int64_t k = 0; k < word; k++)
                used += (size_t)snprintf(out + used, size - used, "%s%lld", k ? "," : "",
                                         (long long)words[1 + k]);
            used += (size_t)snprintf(out + used, size - used, "]");
        } else {
            used += (size_t)snprintf(out + used, size - used, "%s%lld", gap, (long long)word);
        }
    }
    assert_int_equal(at.first, attrs->count);
}

static inline void assert_type(const TensorType *type, const char *expected) {
    StrBuf text = {0};
    type_print(&text, type);
    assert_string_equal(strbuf_text(&text), expected);
    strbuf_free(&text);
}

static inline void check_valid(const Valid *c) {
    TensorType inputs[MOST_OPERANDS], result, again;
    AttrList attrs;
    char printed[512];
    int32_t n_inputs = read_types(c->operands, inputs);
    read_attrs(c->attrs, &attrs);
    sn_error error = {0};
    sn_status status = op_infer(NULL, c->op, inputs, n_inputs, &attrs, &result, &error);
    if (status != SN_OK) fail_msg("%s (%s): %s", op_info[c->op].name, c->operands, error.text);
    assert_type(&result, c->result);
    print_attrs(c->op, &attrs, printed, sizeof printed);
    assert_string_equal(printed, c->normalised ? c->normalised : c->attrs);
    AttrList normal = attrs;
    assert_int_equal(op_infer(NULL, c->op, inputs, n_inputs, &attrs, &again, &error), SN_OK);
    assert_type(&again, c->result);
    assert_int_equal(again.strength, result.strength);
    if (result.rank > 0) assert_int_equal(result.strength, STRENGTH_FULL);
    assert_int_equal(attrs.count, normal.count);
    assert_memory_equal(attrs.words, normal.words, (size_t)normal.count * sizeof(int64_t));
}

static inline void check_invalid(const Invalid *c) {
    TensorType inputs[MOST_OPERANDS], result;
    AttrList attrs;
    int32_t n_inputs = read_types(c->operands, inputs);
    read_attrs(c->attrs, &attrs);
    sn_error error = {0};
    sn_status status = op_infer(NULL, c->op, inputs, n_inputs, &attrs, &result, &error);
    if (status == SN_OK) fail_msg("%s (%s) was taken", op_info[c->op].name, c->operands);
    assert_string_equal(error.text, c->text);
    assert_int_equal(status, c->status);
    assert_int_equal(error.status, c->status);
    /* a caller may not want the text */
    read_attrs(c->attrs, &attrs);
    assert_int_equal(op_infer(NULL, c->op, inputs, n_inputs, &attrs, &result, NULL), c->status);
}

#define CHECK_ALL(check, cases)                                                                    \
    for (size_t case_ = 0; case_ < sizeof(cases) / sizeof(cases)[0]; case_++) check(&(cases)[case_])

#endif
