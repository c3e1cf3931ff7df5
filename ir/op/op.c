/* The op table expanded from op.def, and look-up of ops by name. Its signatures are parsed by
 * tools/gen_signatures.c. */
#include "ir/op/op.h"

#include <string.h>

const OpInfo op_info[OP_COUNT] = {
#define OP(id, name, klass, signature, dtype_rule, shape_rule, flags, about, elsewhere)            \
    {name, signature, about, CLASS_##klass, DTYPE_##dtype_rule, SHAPE_##shape_rule, flags},
#include "ir/op/op.def"
#undef OP
};

const int8_t dtype_promotes_from[DTYPE_RULE_COUNT] = {
#define DTYPE_RULE(id, function, promotes_from, text) [DTYPE_##id] = promotes_from,
#include "ir/op/op_rules.def"
};

/* As strcmp, of a text of `length` bytes and a name. */
static int compare_name(const char *text, size_t length, const char *name) {
    size_t other = strlen(name);
    int order = memcmp(text, name, length < other ? length : other);
    return order ? order : (length > other) - (length < other);
}

OpCode op_find(const char *name, size_t length) {
    uint32_t first = 0, end = OP_COUNT;
    while (first < end) {
        uint32_t middle = (first + end) / 2;
        OpCode op = (OpCode)op_by_name[middle];
        int order = compare_name(name, length, op_info[op].name);
        if (order == 0) return op;
        if (order < 0)
            end = middle;
        else
            first = middle + 1;
    }
    return OP_COUNT;
}
