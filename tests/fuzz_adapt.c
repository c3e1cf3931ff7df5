/* Programs that follow their arguments; see fuzz_adapt.h. */
#include "tests/fuzz_adapt.h"

#include "frontend/tensor/tensor.h"
#include "ir/op/dtype.h"
#include "tests/fuzz_session.h"

#include <string.h>

typedef struct Adapter {
    FuzzProgram *program;                /* being adapted */
    FuzzRandom *random;                  /* all choices */
    sn_tensor *values[FUZZ_MOST_VALUES]; /* for the arguments at hand; NULL where there is none */
} Adapter;

static int64_t below(Adapter *a, int64_t bound) {
    return fuzz_below(a->random, bound);
}
static bool chance(Adapter *a, int percent) {
    return fuzz_chance(a->random, percent);
}

/* A value that step `number` can look at, its first operand preferred; -1 where none was hit on. */
static int32_t any_value(Adapter *a, int32_t number, int32_t min_rank) {
    const FuzzStep *step = &a->program->steps[number];
    for (int32_t tries = 0; tries < 8; tries++) {
        int64_t at = below(a, FUZZ_MOST_INPUTS + number);
        bool own = step->n_operands && step->operands[0].value >= 0 && chance(a, 65);
        int32_t value = own ? step->operands[0].value : (int32_t)at;
        const sn_tensor *x = a->values[value];
        if (x && x->kind == TENSOR_REAL && x->rank >= min_rank) return value;
    }
    return -1;
}

/* ---- attributes that follow ------------------------------------------------------------------ */

/* Makes `number` come to `wanted` by a factor, a divisor or a sum, if that looks like something a
 * program would write; `exactly`: as it is. */
static bool reaches(FuzzNumber *number, int64_t from, int64_t wanted, bool exactly) {
    int64_t difference = wanted - from;
    if (from == wanted) return true;
    if (exactly) return false;
    if (from > 1 && wanted > 1 && from % wanted == 0) {
        number->by = from / wanted;
    } else if (from > 1 && wanted > 1 && wanted % from == 0 && wanted / from < 5) {
        number->times = wanted / from;
    } else {
        number->plus = difference;
        return difference >= -4 && difference <= 4;
    }
    return true;
}

/* A size, or two multiplied, from which `wanted` follows; `axis` is a likely one. */
static bool follow_sizes(Adapter *a, int32_t step, int64_t wanted, int64_t axis,
                         FuzzNumber *number) {
    for (int32_t tries = 0; tries < 14; tries++) {
        int32_t value = any_value(a, step, 1);
        if (value < 0) return false;
        const sn_tensor *x = a->values[value];
        bool likely = axis >= 0 && axis < x->rank && chance(a, 60);
        int32_t at = (int32_t)(likely ? axis : below(a, x->rank));
        *number = (FuzzNumber){FUZZ_FROM_SIZE, value, at, 1, 1, 0};
        if (reaches(number, x->dims[at], wanted, tries < 8)) return true;
        if (at + 1 == x->rank) continue;
        *number = (FuzzNumber){FUZZ_FROM_AREA, value, at, 1, 1, 0};
        if (reaches(number, x->dims[at] * x->dims[at + 1], wanted, tries < 8)) return true;
        *number = (FuzzNumber){FUZZ_FROM_COUNT, value, 0, 1, 1, 0};
        if (reaches(number, sn_count(x), wanted, true)) return true;
    }
    return false;
}

/* A new scalar of this value. */
static bool follow_scalar(Adapter *a, int64_t wanted, FuzzNumber *number) {
    static const char letters[] = {'l', 'l', 'i', 'w'};
    FuzzProgram *p = a->program;
    if (p->n_scalars == FUZZ_MOST_SCALARS) return false;
    *number = (FuzzNumber){FUZZ_FROM_SCALAR, p->n_scalars, 0, 1, 1, 0};
    p->scalars[p->n_scalars++] = (FuzzScalar){letters[below(a, 4)], (double)wanted};
    return true;
}

/* An index that the host reads out of an argument. */
static bool follow_item(Adapter *a, int64_t wanted, FuzzNumber *number) {
    const FuzzProgram *p = a->program;
    int32_t value = (int32_t)below(a, p->n_inputs);
    if (p->blocks[p->inputs[value].block].fill != FUZZ_INDEX || !sn_count(a->values[value]))
        return false;
    *number = (FuzzNumber){FUZZ_FROM_ITEM, value, 0, 1, 1, 0};
    number->plus = wanted - fuzz_number(p, number, a->values);
    return true;
}

static void follow_word(Adapter *a, int32_t number, int32_t word, int64_t axis, bool real) {
    FuzzStep *step = &a->program->steps[number];
    int64_t wanted = step->words[word];
    double value;
    memcpy(&value, &wanted, sizeof value);
    if (real) wanted = (int64_t)value;
    bool plain = !real || (double)wanted == value;
    if (!plain || step->n_follows == FUZZ_MOST_FOLLOWS || wanted == SN_END) return;
    FuzzFollow follow = {.word = word, .real = real};
    bool known = chance(a, 12)  ? follow_scalar(a, wanted, &follow.number)
                 : chance(a, 4) ? follow_item(a, wanted, &follow.number)
                                : follow_sizes(a, number, wanted, axis, &follow.number);
    if (known) step->follows[step->n_follows++] = follow;
}

/* Constant operands come to be scalars, too. */
static void follow_constants(Adapter *a, int32_t number) {
    FuzzProgram *p = a->program;
    FuzzStep *step = &p->steps[number];
    for (int32_t i = 0; i < step->n_operands; i++) {
        FuzzOperand *operand = &step->operands[i];
        bool constant = operand->value == FUZZ_REAL || operand->value == FUZZ_INTEGER;
        if (!constant || p->n_scalars == FUZZ_MOST_SCALARS || !chance(a, 50)) continue;
        char letter = operand->value == FUZZ_REAL ? 'd' : 'l';
        p->scalars[p->n_scalars] = (FuzzScalar){letter, operand->real};
        *operand = (FuzzOperand){FUZZ_SCALAR, p->n_scalars++};
    }
}

/* Attributes that are sizes or positions, by op; lists alone. */
static const struct {
    OpCode op;       /* whose */
    AttrName attr;   /* which */
    AttrName second; /* another, of the same axis */
} sized[] = {
    {OP_RESHAPE, ATTR_DIMS, ATTR_NONE},    {OP_EXPAND, ATTR_DIMS, ATTR_NONE},
    {OP_FULL, ATTR_DIMS, ATTR_NONE},       {OP_RAND, ATTR_DIMS, ATTR_NONE},
    {OP_RANDN, ATTR_DIMS, ATTR_NONE},      {OP_PAD, ATTR_PADS, ATTR_NONE},
    {OP_NARROW, ATTR_START, ATTR_LENGTH},  {OP_SELECT, ATTR_INDEX, ATTR_NONE},
    {OP_TRIL, ATTR_DIAGONAL, ATTR_NONE},   {OP_TRIU, ATTR_DIAGONAL, ATTR_NONE},
    {OP_DIAGONAL, ATTR_OFFSET, ATTR_NONE}, {OP_ONE_HOT, ATTR_CLASSES, ATTR_NONE},
    {OP_ARANGE, ATTR_END, ATTR_NONE},
};

/* Dims of a list; what is left of a reshape may as well be -1. */
static void follow_list(Adapter *a, int32_t number, AttrName list) {
    FuzzStep *step = &a->program->steps[number];
    int32_t count, first = attr_word(fuzz_view(step), list) + 1;
    attr_list(fuzz_view(step), list, &count);
    bool open = step->op == OP_RESHAPE;
    for (int32_t i = 0; i < count; i++) open = open && step->words[first + i] > 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t word = step->words[first + i];
        int32_t before = step->n_follows;
        if (word < 0 || (word < 2 && chance(a, 85)) || chance(a, 8)) continue;
        follow_word(a, number, first + i, i, false);
        if (!open || (step->n_follows > before && chance(a, 80))) continue;
        step->n_follows = before;
        step->words[first + i] = -1;
        open = false;
    }
}

/* A size or position, and a second one. */
static void follow_sized(Adapter *a, int32_t number, AttrName attr, AttrName second) {
    AttrView view = fuzz_view(&a->program->steps[number]);
    int64_t axis = second ? attr_int(view, ATTR_AXIS) : -1;
    if (attr_is(view.op, attr, "L")) {
        follow_list(a, number, attr);
    } else if (attr_is(view.op, attr, "d")) {
        follow_word(a, number, attr_word(view, attr), -1, true);
    } else {
        if (chance(a, 85)) follow_word(a, number, attr_word(view, attr), axis, false);
        if (second && chance(a, 85)) follow_word(a, number, attr_word(view, second), axis, false);
    }
}

/* One of the parts is what the others leave. */
static void follow_split(Adapter *a, int32_t number) {
    FuzzStep *step = &a->program->steps[number];
    if (chance(a, 90)) step->words[2 + below(a, step->n_words - 2)] = FUZZ_REST;
    for (int32_t i = 2; i < step->n_words; i++)
        if (step->words[i] != FUZZ_REST && chance(a, 50))
            follow_word(a, number, i, step->words[0], false);
}

/* Numbers that an op takes come to be scalars, but for the range's, which decide how many elements. */
static void follow_reals(Adapter *a, int32_t number) {
    FuzzProgram *p = a->program;
    FuzzStep *step = &p->steps[number];
    FuzzAttr attrs[OP_MOST_PARAMS];
    int32_t n = step->op == OP_ARANGE ? 0 : fuzz_attrs(step, attrs);
    for (int32_t i = 0; i < n; i++) {
        bool room = p->n_scalars < FUZZ_MOST_SCALARS && step->n_follows < FUZZ_MOST_FOLLOWS;
        if (attrs[i].param->kind != 'd' || !room || !chance(a, 50)) continue;
        double value;
        memcpy(&value, &step->words[attrs[i].at], sizeof value);
        FuzzNumber from = {FUZZ_FROM_REAL, p->n_scalars, 0, 1, 1, 0};
        step->follows[step->n_follows++] = (FuzzFollow){attrs[i].at, true, from};
        p->scalars[p->n_scalars++] = (FuzzScalar){'d', value};
    }
}

static void follow_step(Adapter *a, int32_t number) {
    FuzzStep *step = &a->program->steps[number];
    follow_reals(a, number);
    if (step->kind == FUZZ_SPLIT) follow_split(a, number);
    for (int32_t i = 0; i + 3 < step->n_words && step->kind == FUZZ_INDEX_VIEW; i += 4) {
        if (step->words[i] == SN_INDEX_ALL || step->words[i] == SN_INDEX_NEW) continue;
        if (chance(a, 70)) follow_word(a, number, i + 1, i / 4, false);
        if (step->words[i] == SN_INDEX_RANGE && chance(a, 70))
            follow_word(a, number, i + 2, i / 4, false);
    }
    for (size_t i = 0; i < sizeof sized / sizeof *sized && step->kind == FUZZ_OP; i++)
        if (sized[i].op == step->op) follow_sized(a, number, sized[i].attr, sized[i].second);
}

/* ---- steps on conditions --------------------------------------------------------------------- */

/* A host branch on a size, mostly, that is taken or not for the arguments at hand. */
static void ask(Adapter *a, int32_t number, int32_t value) {
    FuzzProgram *p = a->program;
    FuzzStep *step = &p->steps[number];
    const sn_tensor *x = a->values[value];
    FuzzNumber when = {FUZZ_FROM_SIZE, value, (int32_t)below(a, x->rank), 1, 1, 0};
    if (x->rank == 0) when.source = FUZZ_FROM_COUNT;
    if (p->n_scalars && chance(a, 15))
        when = (FuzzNumber){FUZZ_FROM_SCALAR, (int32_t)below(a, p->n_scalars), 0, 1, 1, 0};
    else if (chance(a, 12))
        when = (FuzzNumber){FUZZ_FROM_ITEM, value, 0, 1, 1, 0};
    int64_t now = fuzz_number(p, &when, a->values);
    if (now < -1000 || now > 100000) return;
    step->asks = true;
    step->when = when;
    step->above = now - (chance(a, 85) ? 1 + below(a, 3) : 0);
}

static void ask_somewhere(Adapter *a) {
    FuzzProgram *p = a->program;
    for (int32_t i = 0; i < p->n_steps; i++) {
        FuzzStep *step = &p->steps[i];
        bool passes = step->n_operands && step->operands[0].value >= 0;
        bool late = step->kind == FUZZ_OP && op_has(step->op, F_FAILS);
        step->tries = passes && !late && chance(a, 8); /* bad data is refused behind the call */
        bool tensors = step->kind == FUZZ_OP && passes;
        for (int32_t j = 0; j < step->n_operands; j++)
            tensors = tensors && step->operands[j].value >= 0;
        step->inlined = tensors && chance(a, 6);
        int32_t value = passes && chance(a, 10) ? any_value(a, i, 0) : -1;
        if (value >= 0) ask(a, i, value);
    }
}

/* ---- how things are handed over -------------------------------------------------------------- */

/* An input that no step writes, looks at or returns first may be absent: the steps that take it are
 * run where it is there. */
static void make_optional(Adapter *a, int32_t input) {
    FuzzProgram *p = a->program;
    for (int32_t i = 0; i < p->n_outputs; i++)
        if (p->outputs[i] == input) return;
    for (int32_t i = 0; i < p->n_steps; i++) {
        const FuzzStep *step = &p->steps[i];
        bool bare = step->kind == FUZZ_CHOOSE || step->operands[0].value < 0 || step->asks;
        if (step->n_operands && step->operands[0].value == input) return;
        for (int32_t j = 1; j < step->n_operands; j++)
            if (bare && step->operands[j].value == input) return;
        for (int32_t j = 0; j < step->n_follows; j++)
            if (step->follows[j].number.value == input) return;
        if (step->asks && step->when.value == input) return;
    }
    for (int32_t i = 0; i < p->n_steps; i++) {
        FuzzStep *step = &p->steps[i];
        for (int32_t j = 1; j < step->n_operands; j++) {
            if (step->operands[j].value != input) continue;
            step->asks = true;
            step->when = (FuzzNumber){FUZZ_FROM_PRESENT, input, 0, 1, 1, 0};
            step->above = 0;
        }
    }
    p->inputs[input].place = FUZZ_OPTIONAL;
}

/* A tensor of which the function asks the shape alone. */
static void capture_shape(Adapter *a) {
    FuzzProgram *p = a->program;
    if (p->n_inputs == FUZZ_MOST_INPUTS || !p->n_steps) return;
    int64_t size = 1 + below(a, 9);
    int32_t number = fuzz_add_input(p, (FuzzBlock){SN_F32, 0, FUZZ_SMALL, 0, 3}, 1, &size);
    p->inputs[number].place = FUZZ_CAPTURED;
    FuzzStep *step = &p->steps[below(a, p->n_steps)];
    if (!step->n_operands || step->operands[0].value < 0) return;
    step->asks = true;
    step->when = (FuzzNumber){FUZZ_FROM_SIZE, number, 0, 1, 1, 0};
    step->above = size - 1 - below(a, 3);
}

static void choose_letters(Adapter *a) {
    static const char reals[] = {'d', 'd', 'f', 'w', 'w'}, integers[] = {'l', 'l', 'i', 'w', 'b'};
    FuzzProgram *p = a->program;
    for (int32_t i = 0; i < p->n_scalars; i++) {
        FuzzScalar *scalar = &p->scalars[i];
        bool flag = scalar->value == 0 || scalar->value == 1;
        if (scalar->letter == 'd') scalar->letter = reals[below(a, 5)];
        if (scalar->letter == 'f') scalar->value = (double)(float)scalar->value;
        if (scalar->letter == 'l') scalar->letter = integers[below(a, flag ? 5 : 4)];
    }
}

static void choose_places(Adapter *a) {
    FuzzProgram *p = a->program;
    if (chance(a, 12)) p->passing = FUZZ_STRUCT;
    if (chance(a, 12)) p->inputs[below(a, p->n_inputs)].place = FUZZ_CAPTURED;
    if (chance(a, 8)) capture_shape(a);
    for (int32_t i = p->n_inputs - 1; i > 0; i--) {
        /* Of an array, the last ones: it gets shorter. */
        bool last = i + 1 == p->n_inputs || p->inputs[i + 1].place != FUZZ_ARGUMENT;
        if (p->inputs[i].place == FUZZ_ARGUMENT && (p->passing != FUZZ_ARRAY || last) &&
            chance(a, 25))
            make_optional(a, i);
    }
}

/* Steps that only a C function can have. For the first call an exchange is what it was before, up to
 * whose memory its result is. */
static void add_host_steps(Adapter *a) {
    FuzzProgram *p = a->program;
    for (int32_t i = 0; i < p->n_steps; i++) {
        FuzzStep *step = &p->steps[i];
        bool copies =
            step->kind == FUZZ_CONTIGUOUS || (step->kind == FUZZ_OP && step->op == OP_CLONE);
        if (copies && step->operands[0].value >= 0 && chance(a, 70)) step->kind = FUZZ_EXCHANGE;
    }
    if (p->n_steps == FUZZ_MOST_STEPS || p->n_outputs == FUZZ_MOST_OUTPUTS || !chance(a, 12))
        return;
    int32_t value = any_value(a, p->n_steps - 1, 1);
    if (value < 0) return;
    p->outputs[p->n_outputs++] = FUZZ_MOST_INPUTS + p->n_steps;
    p->steps[p->n_steps++] =
        (FuzzStep){.kind = FUZZ_LOOP, .n_operands = 1, .operands = {{value, 0}}};
}

void fuzz_adapt(FuzzProgram *program, FuzzRandom *random) {
    Adapter adapter = {.program = program, .random = random};
    Adapter *a = &adapter;
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *outputs[FUZZ_MOST_OUTPUTS];
    sn_rng generator = {program->seed, program->counter};
    FuzzState state = {.generator = &generator};
    sn_scope scope = sn_scope_begin();
    bool ok = fuzz_make_inputs(program, 0, blocks, a->values);
    if (ok) fuzz_run(program, a->values, &state, outputs);
    sn_error_take(NULL);
    if (ok && program->n_steps) {
        for (int32_t i = 0; i < program->n_steps; i++) follow_constants(a, i);
        choose_letters(a);
        for (int32_t i = 0; i < program->n_steps; i++) follow_step(a, i);
        ask_somewhere(a);
        add_host_steps(a);
        choose_places(a);
    }
    sn_error_take(NULL);
    sn_scope_end(scope, NULL);
}
