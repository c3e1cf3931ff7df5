/* Build-time generator: the signatures of the op table, parsed once, for everybody. `names FILE` prints
 * the header ir/attr_names.h, an enumerator for each name that attributes have; `tables FILE` the
 * source of the tables that ir/op/op.h and ir/op/attr.h declare: parameters, operands, places of
 * attributes, ops by name. The ir layer is compiled after it ran. */
#include "tools/generator.h"
#include "tools/op_signature.h"

#include "base/assert.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_operand(const OpParam *param) {
    return param->kind == 't' || param->kind == 'r';
}

static Signature signature_of(int32_t op) {
    Signature signature;
    char fault[OP_MOST_FAULT];
    bool right = op_signature_parse(op_rows[op].signature, &signature, fault);
    SN_ASSERT(right);
    return signature;
}

/* Does an op before `op` have an attribute of that name? */
static bool is_known(int32_t op, const char *name) {
    for (int32_t i = 0; i < op; i++) {
        Signature signature = signature_of(i);
        for (int32_t k = 0; k < signature.count; k++)
            if (!is_operand(&signature.params[k]) && strcmp(signature.params[k].name, name) == 0)
                return true;
    }
    return false;
}

/* "ATTR_KEEPDIM" */
static void print_attr(StrBuf *out, const char *name) {
    strbuf_add(out, "ATTR_");
    for (; *name; name++) strbuf_add_char(out, (char)toupper((unsigned char)*name));
}

static void print_names(StrBuf *out) {
    strbuf_add(out,
               "/* Names of attributes. Generated from ir/op/op.def by tools/gen_signatures.c. */\n"
               "#ifndef SN_IR_ATTR_NAMES_H\n#define SN_IR_ATTR_NAMES_H\n\n"
               "typedef enum AttrName {\n    ATTR_NONE,\n");
    for (int32_t op = 0; op < OP_COUNT; op++) {
        Signature signature = signature_of(op);
        for (int32_t i = 0; i < signature.count; i++) {
            const OpParam *param = &signature.params[i];
            if (is_operand(param) || is_known(op, param->name)) continue;
            strbuf_add(out, "    ");
            print_attr(out, param->name);
            strbuf_add(out, ",\n");
        }
    }
    strbuf_add(out, "    ATTR_COUNT\n} AttrName;\n\n#endif\n");
}

static void print_params(StrBuf *out) {
    strbuf_add(out, "const OpParam op_param_list[] = {\n");
    for (int32_t op = 0; op < OP_COUNT; op++) {
        Signature signature = signature_of(op);
        for (int32_t i = 0; i < signature.count; i++) {
            const OpParam *param = &signature.params[i];
            strbuf_addf(out, "    {\"%s\", '%c', %d, %d, %d, ", param->name, param->kind,
                        param->suffix, param->is_size, param->is_real);
            print_attr(out, is_operand(param) ? "none" : param->name);
            strbuf_add(out, "},\n");
        }
    }
    strbuf_add(out, "};\n\n");
}

static OpOperands operands_of(const Signature *signature) {
    OpOperands found = {.array = -1};
    for (int32_t i = 0; i < signature->count; i++) {
        const OpParam *param = &signature->params[i];
        found.numbers = found.numbers || param->is_real;
        if (!is_operand(param)) continue;
        if (param->suffix == '*') found.array = found.count;
        found.params[found.count++] = (int8_t)i;
    }
    return found;
}

static void print_signatures(StrBuf *out) {
    int32_t first = 0;
    strbuf_add(out, "const OpSignature op_signatures[OP_COUNT] = {\n");
    for (int32_t op = 0; op < OP_COUNT; op++) {
        Signature signature = signature_of(op);
        OpOperands operands = operands_of(&signature);
        strbuf_addf(out, "    [OP_%s] = {%d, %d, {%d, %d, {", op_rows[op].id, first,
                    signature.count, operands.count, operands.array);
        for (int32_t i = 0; i < OP_MOST_PARAMS; i++)
            strbuf_addf(out, i ? ", %d" : "%d", operands.params[i]);
        strbuf_addf(out, "}, %d}},\n", operands.numbers);
        first += signature.count;
    }
    strbuf_add(out, "};\n\n");
}

/* Words are counted from the end of the last list in front, whose length the words tell. */
static void print_places(StrBuf *out) {
    strbuf_add(out, "const AttrPlace attr_places[OP_COUNT][ATTR_COUNT] = {\n");
    for (int32_t op = 0; op < OP_COUNT; op++) {
        Signature signature = signature_of(op);
        const char *list = "none";
        int32_t words = 0;
        for (int32_t i = 0; i < signature.count; i++) {
            const OpParam *param = &signature.params[i];
            if (is_operand(param)) continue;
            strbuf_addf(out, "    [OP_%s][", op_rows[op].id);
            print_attr(out, param->name);
            strbuf_addf(out, "] = {'%c', %d, ", param->kind, words++);
            print_attr(out, list);
            strbuf_add(out, "},\n");
            if (param->kind != 'L') continue;
            list = param->name;
            words = 0;
        }
    }
    strbuf_add(out, "};\n\n");
}

static int by_name(const void *a, const void *b) {
    const OpRow *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void print_order(StrBuf *out) {
    const OpRow *order[OP_COUNT];
    for (int32_t op = 0; op < OP_COUNT; op++) order[op] = &op_rows[op];
    qsort(order, OP_COUNT, sizeof order[0], by_name);
    strbuf_add(out, "const uint16_t op_by_name[OP_COUNT] = {\n");
    for (int32_t i = 0; i < OP_COUNT; i++) strbuf_addf(out, "    OP_%s,\n", order[i]->id);
    strbuf_add(out, "};\n");
}

static void print_tables(StrBuf *out) {
    strbuf_add(out,
               "/* Signatures of ops. Generated from ir/op/op.def by tools/gen_signatures.c. */\n"
               "#include \"ir/op/attr.h\"\n\n");
    print_params(out);
    print_signatures(out);
    print_places(out);
    print_order(out);
}

int main(int argc, char **argv) {
    static const GeneratorForm forms[] = {
        {"names", print_names},
        {"tables", print_tables},
        {NULL, NULL},
    };
    return generator_main(argc, argv, forms);
}
