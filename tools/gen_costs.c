/* Build-time generator: what computing an op once costs, for passes that choose between computing a
 * value again and storing it. `table FILE` prints the source of op_costs (passes/fuse/fuse.h).
 *
 * A pointwise op costs what its scalar definition comes to in f32 (in i32 where it takes no floats),
 * in instructions of f32 vectors. Four classes are told apart; passes see no finer differences. So a
 * new op has its cost from what it computes, and only what the count does not know stands in a table
 * here. */
#include "ir/scalar/scalar.h"
#include "tools/generator.h"

#include <stdio.h>
#include <stdlib.h>

/* The classes: from so many instructions on an op costs so much. */
static const struct {
    int32_t least; /* instructions */
    int32_t cost;  /* of the class */
} classes[] = {{60, 60}, {25, 24}, {12, 12}, {0, 1}};

/* Ops that do not cost what their instructions are. A row that says what the count says is refused. Which
 * kernels a program becomes depends on costs: the rows that give another class than the count were chosen
 * before instructions were counted, and stay until a measurement speaks against them. */
static const struct {
    OpCode op;    /* whose cost it is */
    int32_t cost; /* of a class */
} rows[] = {
    {OP_RAND, 60}, /* no scalar definition: rounds of Philox, passes/lower/random.c */
    {OP_RANDN, 60},      {OP_LOG, 12},     /* 37 and 40, taken to be as dear as their inverses */
    {OP_LOG2, 12},       {OP_SIGMOID, 12}, /* 32, taken to be as dear as its exp */
    {OP_SOFTSIGN, 1}, /* 14, 17 and 18, for a division each: taken to be cheap, as activations */
    {OP_HARDSIGMOID, 1}, {OP_HARDSWISH, 1},
    {OP_GELU, 24},  /* 70 by erf, but 42 by tanh, as others do */
    {OP_XLOGY, 60}, /* 42, taken to be as dear as other functions of two numbers */
};

/* ---- counting -------------------------------------------------------------------------------- */

static void fail(OpCode op, const char *what) {
    fprintf(stderr, "gen_costs: %s: %s\n", op_info[op].name, what);
    exit(1);
}

static KValue operand(KBuilder *b, sn_dtype dtype, int32_t number) {
    KInst param = {.op = OP_PARAM, .dtype = (uint8_t)dtype, .imm = (uint64_t)number};
    for (int32_t i = 0; i < 3; i++) param.in[i] = KVALUE_NONE;
    return kb_inst(b, param);
}

/* The value of the op in straight code; attributes are 0. */
static KValue expand(KBuilder *b, OpCode op, sn_error *error) {
    static const int64_t words[ATTR_MOST] = {0};
    sn_dtype dtype = op_info[op].dtype_rule == DTYPE_INTEGRAL ? SN_I32 : SN_F32;
    sn_dtype result = op_info[op].dtype_rule == DTYPE_BOOL ? SN_BOOL : dtype;
    int32_t count = op_operands(op)->count;
    KValue in[OP_MOST_PARAMS];
    for (int32_t i = 0; i < count; i++)
        in[i] = operand(b, op == OP_WHERE && i == 0 ? SN_BOOL : dtype, i);
    return scalar_expand(b, op, result, in, count, (AttrView){op, ATTR_MOST, words}, error);
}

/* Division and square root take the time of a dozen others, a remainder of more than two divisions; a
 * vector holds half as many f64. */
static int32_t weight_of(const KInst *inst) {
    int32_t lanes = inst->dtype == SN_F64 ? 2 : 1;
    switch (inst->op) {
    case OP_PARAM:
    case OP_CONST:
        return 0;
    case OP_DIV:
    case OP_INT_DIV:
    case OP_SQRT:
        return 12 * lanes;
    case OP_FMOD:
        return 30 * lanes;
    default:
        return lanes;
    }
}

/* Of the instructions behind a value, each once; not of those that only a rare case needs. */
static int32_t count_behind(const KBuilder *b, KValue value) {
    bool *needed = calloc((size_t)value + 1, sizeof *needed);
    int32_t count = 0;
    if (!needed) exit(1);
    needed[value] = true;
    for (KValue x = value + 1; x-- > 0;) {
        const KInst *inst = kb_at(b, x);
        if (!needed[x]) continue;
        count += weight_of(inst);
        for (int32_t i = 0; i < 3; i++)
            if (inst->in[i] != KVALUE_NONE && !(i == 1 && inst->flags & K_RARE))
                needed[inst->in[i]] = true;
    }
    free(needed);
    return count;
}

static int32_t count_instructions(OpCode op) {
    sn_error error = {0};
    KBuilder *b = kbuilder_new();
    KValue value = b ? expand(b, op, &error) : KVALUE_NONE;
    if (value == KVALUE_NONE) fail(op, error.text);
    int32_t count = count_behind(b, value);
    kbuilder_free(b);
    return count;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Ops with numbers (d) have no scalar definition: decompose writes them out. */
static bool is_counted(OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    for (int32_t i = 0; i < count; i++)
        if (params[i].kind == 'd') return false;
    return op_is(op, CLASS_POINTWISE);
}

static int32_t counted_cost(OpCode op) {
    int32_t count = is_counted(op) ? count_instructions(op) : 0, i = 0;
    while (count < classes[i].least) i++;
    return classes[i].cost;
}

static int32_t cost_of(OpCode op) {
    int32_t counted = counted_cost(op);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != op) continue;
        if (rows[i].cost == counted) fail(op, "its row in tools/gen_costs.c says what is counted");
        return rows[i].cost;
    }
    return counted;
}

static void print_table(StrBuf *out) {
    strbuf_add(out, "/* Costs of ops. Generated by tools/gen_costs.c. */\n"
                    "#include \"passes/fuse/fuse.h\"\n\n"
                    "const uint8_t op_costs[OP_COUNT] = {\n");
    for (int32_t op = 0; op < OP_COUNT; op++)
        strbuf_addf(out, "    %d, /* %s */\n", (int)cost_of((OpCode)op), op_info[op].name);
    strbuf_add(out, "};\n");
}

int main(int argc, char **argv) {
    static const GeneratorForm forms[] = {{"table", print_table}, {NULL, NULL}};
    return generator_main(argc, argv, forms);
}
