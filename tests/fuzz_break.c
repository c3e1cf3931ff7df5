/* Breaking programs; see fuzz_break.h. */
#include "tests/fuzz_break.h"

#include "frontend/tensor/tensor.h"
#include "tests/fuzz_break_attrs.h"

#include <string.h>

enum { MOST_ATTEMPTS = 60, MOST_TRIES = 12 };

const char *const fuzz_break_names[BREAK_COUNT] = {
    [BREAK_NONE] = "none",
    [BREAK_NULL] = "NULL",
    [BREAK_ABSENT] = "SN_NONE",
    [BREAK_RELEASED] = "released",
    [BREAK_SCALAR] = "scalar",
    [BREAK_DTYPE] = "dtype",
    [BREAK_SIZE] = "size",
    [BREAK_RANK] = "rank",
    [BREAK_OTHER] = "other value",
    [BREAK_AXIS] = "axis",
    [BREAK_AXES] = "axes",
    [BREAK_DIMS] = "dims",
    [BREAK_PADS] = "pads",
    [BREAK_NUMBER] = "number",
    [BREAK_ENUMERATION] = "enumeration",
    [BREAK_LIST] = "list",
    [BREAK_ITEMS] = "items",
    [BREAK_GENERATOR] = "generator",
    [BREAK_TARGET] = "expanded target",
    [BREAK_DATA] = "data",
    [BREAK_WRITTEN_DATA] = "written data",
    [BREAK_NEW_DATA] = "data, new step",
    [BREAK_NEW_STEP] = "new step",
};

static bool chance(Breaker *b, int percent) {
    return fuzz_chance(&b->random, percent);
}

static FuzzStep *step_of(Breaker *b) {
    return &b->program->steps[b->at];
}

/* ---- operands -------------------------------------------------------------------------------- */

/* One of the operands that the step hands to the library; NULL where it has none. */
static FuzzOperand *any_operand(Breaker *b) {
    FuzzStep *step = step_of(b);
    int32_t count = step->kind == FUZZ_CHOOSE ? 1 : step->n_operands;
    return count ? &step->operands[fuzz_below(&b->random, count)] : NULL;
}

static bool replace_operand(Breaker *b, int32_t value, double real) {
    FuzzOperand *operand = any_operand(b);
    if (!operand) return false;
    *operand = (FuzzOperand){value, real};
    return true;
}

static bool break_null(Breaker *b) {
    return replace_operand(b, FUZZ_NULL, 0);
}

static bool break_absent(Breaker *b) {
    return replace_operand(b, FUZZ_NONE, 0);
}

static bool break_released(Breaker *b) {
    return replace_operand(b, FUZZ_RELEASED, 0);
}

static bool break_scalar(Breaker *b) {
    bool real = chance(b, 50);
    FuzzStep *step = step_of(b);
    if (step->kind == FUZZ_CONTIGUOUS)
        return false; /* gives back the scalar, a result like no other */
    if (fuzz_writes(step) && chance(b, 60)) {
        step->operands[0] = (FuzzOperand){real ? FUZZ_REAL : FUZZ_INTEGER, 2};
        return true;
    }
    return replace_operand(b, real ? FUZZ_REAL : FUZZ_INTEGER, real ? 0.5 : 3);
}

/* A value that is there before step `at`; -1 where there is none. */
static int32_t any_value(Breaker *b, int32_t at) {
    int32_t found[FUZZ_MOST_VALUES], count = 0;
    for (int32_t i = 0; i < FUZZ_MOST_INPUTS + at; i++)
        if (b->values[i]) found[count++] = i;
    return count ? found[fuzz_below(&b->random, count)] : -1;
}

static bool break_other(Breaker *b) {
    int32_t value = any_value(b, b->at);
    return value >= 0 && replace_operand(b, value, 0);
}

/* A new input in place of an operand, which `change` makes unlike it. */
static bool replace_tensor(Breaker *b, bool (*change)(Breaker *, FuzzBlock *, FuzzInput *)) {
    FuzzOperand *operand = any_operand(b);
    const sn_tensor *x = operand && operand->value >= 0 ? b->values[operand->value] : NULL;
    if (!x) return false;
    FuzzBlock block = {.dtype = (sn_dtype)x->dtype, .fill = FUZZ_SMALL};
    FuzzInput like = {.rank = x->rank};
    memcpy(like.dims, x->dims, sizeof like.dims);
    block.seed = fuzz_next(&b->random) >> 40;
    if (!change(b, &block, &like)) return false;
    int32_t value = fuzz_add_input(b->program, block, like.rank, like.dims);
    if (value >= 0) operand->value = value;
    return value >= 0;
}

static bool change_dtype(Breaker *b, FuzzBlock *block, FuzzInput *like) {
    (void)like;
    block->dtype = (sn_dtype)fuzz_below(&b->random, SN_DTYPE_COUNT);
    return true;
}

static bool change_size(Breaker *b, FuzzBlock *block, FuzzInput *like) {
    static const int64_t changes[] = {1, -1, 2, 7};
    (void)block;
    if (!like->rank) return false;
    int64_t *size = &like->dims[fuzz_below(&b->random, like->rank)];
    *size = chance(b, 20) ? 0 : *size + changes[fuzz_below(&b->random, 4)];
    return *size >= 0;
}

static bool change_rank(Breaker *b, FuzzBlock *block, FuzzInput *like) {
    (void)block;
    if (like->rank && chance(b, 50)) {
        like->rank--;
        return true;
    }
    if (like->rank == SN_MAX_RANK) return false;
    like->dims[like->rank++] = chance(b, 50) ? 1 : 3;
    return true;
}

static bool break_dtype(Breaker *b) {
    return replace_tensor(b, change_dtype);
}
static bool break_size(Breaker *b) {
    return replace_tensor(b, change_size);
}
static bool break_rank(Breaker *b) {
    return replace_tensor(b, change_rank);
}

static bool break_generator(Breaker *b) {
    step_of(b)->fault = FUZZ_NO_GENERATOR;
    return fuzz_draws(step_of(b));
}

/* ---- steps that are put in ------------------------------------------------------------------- */

/* Puts a step in front of step `at`; what it gives has no user yet. */
static bool insert_step(Breaker *b, int32_t at, const FuzzStep *step) {
    FuzzProgram *p = b->program;
    int32_t value = FUZZ_MOST_INPUTS + at;
    if (p->n_steps == FUZZ_MOST_STEPS) return false;
    for (int32_t i = 0; i < p->n_steps; i++)
        for (int32_t j = 0; j < p->steps[i].n_operands; j++)
            p->steps[i].operands[j].value += p->steps[i].operands[j].value >= value;
    for (int32_t i = 0; i < p->n_outputs; i++) p->outputs[i] += p->outputs[i] >= value;
    int32_t behind = p->n_steps++ - at;
    memmove(&p->steps[at + 1], &p->steps[at], sizeof *step * (size_t)behind);
    memmove(&b->values[value + 1], &b->values[value], sizeof *b->values * (size_t)behind);
    p->steps[at] = *step;
    b->values[value] = NULL;
    return true;
}

static bool add_value(Breaker *b, FuzzStep *step, int32_t at) {
    int32_t value = any_value(b, at);
    if (value < 0) return false;
    step->operands[step->n_operands++] = (FuzzOperand){value, 0};
    return true;
}

static bool break_target(Breaker *b) {
    FuzzStep expand = {.kind = FUZZ_OP, .op = OP_EXPAND, .n_operands = 1};
    FuzzStep *step = step_of(b);
    if (!fuzz_writes(step) || step->operands[0].value < 0) return false;
    const sn_tensor *x = b->values[step->operands[0].value];
    if (!x || x->rank == SN_MAX_RANK) return false;
    expand.operands[0] = step->operands[0];
    expand.words[expand.n_words++] = x->rank + 1;
    expand.words[expand.n_words++] = 2;
    for (int32_t i = 0; i < x->rank; i++) expand.words[expand.n_words++] = x->dims[i];
    if (!insert_step(b, b->at, &expand)) return false;
    b->at++;
    step_of(b)->operands[0].value = FUZZ_MOST_INPUTS + b->at - 1;
    return true;
}

/* An op that is made for the indices it gets, one of which is out of range. */
static bool break_new_data(Breaker *b) {
    static const OpCode ops[] = {OP_INDEX_SELECT, OP_ONE_HOT, OP_GATHER, OP_EMBEDDING};
    FuzzStep step = {.kind = FUZZ_OP, .op = ops[fuzz_below(&b->random, 4)]};
    step.broken = BREAK_NEW_DATA;
    if (!add_value(b, &step, b->at)) return false;
    const sn_tensor *x = b->values[step.operands[0].value];
    int64_t axis = x->rank ? fuzz_below(&b->random, x->rank) : 0;
    int64_t dims[SN_MAX_RANK] = {1 + fuzz_below(&b->random, 4)};
    int64_t bound = x->rank ? x->dims[step.op == OP_EMBEDDING ? 0 : axis] : 1;
    int32_t rank = 1;
    if (step.op == OP_ONE_HOT) step.n_operands = 0;
    if (step.op == OP_ONE_HOT) bound = step.words[step.n_words++] = 3;
    if (step.op == OP_GATHER) memcpy(dims, x->dims, sizeof dims);
    if (step.op == OP_GATHER) rank = x->rank;
    if (step.op == OP_GATHER || step.op == OP_INDEX_SELECT) {
        step.words[step.n_words++] = axis;
        step.words[step.n_words++] = 0; /* as: what the program wrote */
    }
    FuzzBlock block = {.dtype = chance(b, 50) ? SN_I64 : SN_I32, .fill = FUZZ_BAD_INDEX};
    block.bound = bound > 0 ? bound : 1;
    block.seed = fuzz_next(&b->random) >> 40;
    int32_t index = fuzz_add_input(b->program, block, rank, dims);
    step.operands[step.n_operands++] = (FuzzOperand){index, 0};
    return index >= 0 && insert_step(b, b->at, &step);
}

/* An index that only a write in the program takes out of range. What is in range by then must not be
 * judged by what is written later, nor the other way round. */
static bool break_written_data(Breaker *b) {
    static const int64_t count = 2;
    FuzzStep look = {.kind = FUZZ_OP, .op = OP_INDEX_SELECT, .n_words = 2}; /* axis 0 */
    FuzzStep write = {.kind = FUZZ_INPLACE, .op = OP_ADD, .n_operands = 2};
    if (!add_value(b, &look, b->at)) return false;
    const sn_tensor *x = b->values[look.operands[0].value];
    if (!x->rank || x->dims[0] < 1) return false;
    FuzzBlock block = {SN_I64, 0, FUZZ_INDEX, x->dims[0], fuzz_next(&b->random) >> 40};
    int32_t index = fuzz_add_input(b->program, block, 1, &count);
    look.operands[look.n_operands++] = write.operands[0] = (FuzzOperand){index, 0};
    write.operands[1] =
        (FuzzOperand){FUZZ_INTEGER, (double)(fuzz_below(&b->random, 2) + x->dims[0])};
    if (index < 0 || !insert_step(b, b->at, &look) || !insert_step(b, b->at + 1, &write) ||
        !insert_step(b, b->at + 2, &look))
        return false;
    b->at += 2;
    return true;
}

/* Attributes of any value, in the right number. */
static void random_attrs(Breaker *b, FuzzStep *step) {
    int32_t n_params;
    const OpParam *params = op_params(step->op, &n_params);
    for (int32_t i = 0; i < n_params; i++) {
        char kind = params[i].kind;
        if (!params[i].attr) continue;
        int64_t count = kind == 'L' ? fuzz_below(&b->random, 5) : 0;
        int64_t *words = step->words + step->n_words;
        double real = (double)fuzz_below(&b->random, 9) / 2 - 1;
        words[0] = kind == 'b' ? fuzz_below(&b->random, 2) : fuzz_below(&b->random, 8) - 3;
        if (kind == 'L') words[0] = count;
        if (kind == 'd') memcpy(words, &real, sizeof real);
        if (kind == 'h') words[0] = 0;
        for (int64_t k = 1; k <= count; k++) words[k] = fuzz_below(&b->random, 9) - 3;
        step->n_words += 1 + (int32_t)count;
    }
}

static bool random_operands(Breaker *b, FuzzStep *step) {
    int32_t n_params;
    const OpParam *params = op_params(step->op, &n_params);
    bool ok = true;
    for (int32_t i = 0; ok && i < n_params; i++) {
        if (params[i].kind != 't') continue;
        int64_t count = params[i].suffix == '*' ? fuzz_below(&b->random, 4) : 1;
        for (int64_t k = 0; ok && k < count; k++) ok = add_value(b, step, b->at);
    }
    return ok;
}

/* An op, in place or not, on values that were not chosen for it; or a write of one to another. */
static bool break_new_step(Breaker *b) {
    FuzzStep step = {.kind = chance(b, 25)   ? FUZZ_INPLACE
                             : chance(b, 15) ? FUZZ_COPY
                                             : FUZZ_OP,
                     .broken = BREAK_NEW_STEP};
    if (step.kind == FUZZ_COPY)
        return add_value(b, &step, b->at) && add_value(b, &step, b->at) &&
               insert_step(b, b->at, &step);
    int needed = step.kind == FUZZ_INPLACE ? F_PUBLIC | F_INPLACE : F_PUBLIC;
    do step.op = (OpCode)fuzz_below(&b->random, b->program->ops);
    while (!op_has(step.op, needed));
    if (!random_operands(b, &step)) return false;
    random_attrs(b, &step);
    return insert_step(b, b->at, &step);
}

/* ---- data ------------------------------------------------------------------------------------ */

static bool break_data(Breaker *b) {
    FuzzStep *step = step_of(b);
    for (int32_t i = 0; i < step->n_operands; i++) {
        int32_t value = step->operands[i].value;
        if (value < 0 || value >= FUZZ_MOST_INPUTS) continue;
        FuzzBlock *block = &b->program->blocks[b->program->inputs[value].block];
        if (block->fill != FUZZ_INDEX) continue;
        block->fill = FUZZ_BAD_INDEX;
        return true;
    }
    return false;
}

/* ---- what stands around ---------------------------------------------------------------------- */

/* A step that reads, writes or draws, on one side of the place. */
static void add_neighbour(Breaker *b, FuzzKind kind, int32_t at) {
    FuzzStep step = {.kind = kind, .op = OP_RANDN};
    bool draws = kind == FUZZ_OP;
    bool ok = draws || add_value(b, &step, at);
    if (kind == FUZZ_CHOOSE) step.operands[1] = step.operands[2] = step.operands[0];
    if (kind == FUZZ_CHOOSE) step.n_operands = 3;
    if (kind == FUZZ_FILL) step.n_words = 1; /* 0.0 */
    if (draws) {                             /* two numbers */
        step.words[0] = 1;
        step.words[1] = 2;
        step.words[2] = SN_F32;
        step.n_words = 4;
    }
    if (ok && insert_step(b, at, &step) && at <= b->at) b->at++;
}

/* Some steps in a row, among them the broken one, run in functions that are inlined. */
static void inline_steps(Breaker *b) {
    int32_t before = (int32_t)fuzz_below(&b->random, 3), after = (int32_t)fuzz_below(&b->random, 3);
    for (int32_t i = b->at - before; i <= b->at + after; i++)
        if (i >= 0 && i < b->program->n_steps) b->program->steps[i].inlined = true;
}

static void add_surroundings(Breaker *b) {
    FuzzProgram *p = b->program;
    if (chance(b, 20)) add_neighbour(b, FUZZ_CHOOSE, (int32_t)fuzz_below(&b->random, b->at + 1));
    if (chance(b, 20)) add_neighbour(b, FUZZ_OP, (int32_t)fuzz_below(&b->random, b->at + 1));
    if (chance(b, 15)) add_neighbour(b, FUZZ_FILL, (int32_t)fuzz_below(&b->random, b->at + 1));
    if (chance(b, 20)) add_neighbour(b, FUZZ_CHOOSE, b->at + 1);
    if (chance(b, 30)) add_neighbour(b, FUZZ_FILL, p->n_steps);
    if (chance(b, 15)) add_neighbour(b, FUZZ_OP, p->n_steps);
    if (chance(b, 30)) inline_steps(b);
}

/* ---- a program ------------------------------------------------------------------------------- */

/* The ways, and how often each is tried. */
static const struct {
    bool (*apply)(Breaker *b); /* false: it does not apply to the step */
    int weight;                /* share of the attempts */
} ways[BREAK_COUNT] = {
    [BREAK_NULL] = {break_null, 3},           [BREAK_ABSENT] = {break_absent, 3},
    [BREAK_RELEASED] = {break_released, 3},   [BREAK_SCALAR] = {break_scalar, 5},
    [BREAK_DTYPE] = {break_dtype, 10},        [BREAK_SIZE] = {break_size, 8},
    [BREAK_RANK] = {break_rank, 8},           [BREAK_OTHER] = {break_other, 8},
    [BREAK_AXIS] = {break_axis, 8},           [BREAK_AXES] = {break_axes, 8},
    [BREAK_DIMS] = {break_dims, 12},          [BREAK_PADS] = {break_pads, 8},
    [BREAK_NUMBER] = {break_number, 12},      [BREAK_ENUMERATION] = {break_enumeration, 6},
    [BREAK_LIST] = {break_list, 5},           [BREAK_ITEMS] = {break_items, 8},
    [BREAK_GENERATOR] = {break_generator, 3}, [BREAK_TARGET] = {break_target, 5},
    [BREAK_DATA] = {break_data, 12},          [BREAK_WRITTEN_DATA] = {break_written_data, 4},
    [BREAK_NEW_DATA] = {break_new_data, 7},   [BREAK_NEW_STEP] = {break_new_step, 12},
};

static FuzzBreak random_way(Breaker *b) {
    int64_t total = 0;
    for (int32_t i = 0; i < BREAK_COUNT; i++) total += ways[i].weight;
    int64_t at = fuzz_below(&b->random, total);
    int32_t way = 0;
    while (at >= ways[way].weight) at -= ways[way++].weight;
    return (FuzzBreak)way;
}

/* Breaks step `at` in a way; leaves all as it was where that does not apply. */
static bool break_step(Breaker *b, int32_t at, FuzzBreak way) {
    FuzzProgram before = *b->program;
    sn_tensor *values[FUZZ_MOST_VALUES];
    memcpy(values, b->values, sizeof values);
    b->at = at;
    if (b->program->steps[at].broken == BREAK_NONE && ways[way].apply(b)) {
        step_of(b)->broken = (int8_t)way;
        return true;
    }
    *b->program = before;
    memcpy(b->values, values, sizeof values);
    return false;
}

/* Breaks any step to which some way applies. */
static bool break_one(Breaker *b) {
    for (int32_t i = 0; i < MOST_TRIES; i++) {
        FuzzBreak way = random_way(b);
        int32_t n_steps = b->program->n_steps, first = (int32_t)fuzz_below(&b->random, n_steps);
        for (int32_t j = 0; j < n_steps; j++)
            if (break_step(b, (first + j) % n_steps, way)) return true;
    }
    return false;
}

/* Runs the program eagerly; its values, as far as it gets. */
static sn_status run(const FuzzProgram *p, sn_tensor **values, sn_error *error) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS];
    sn_rng generator = {p->seed, 5};
    memset(values, 0, sizeof *values * FUZZ_MOST_VALUES);
    fuzz_make_inputs(p, 0, blocks, values);
    for (int32_t i = 0; i < p->n_steps; i++) {
        FuzzStep step = fuzz_bound_step(p, i, values);
        values[FUZZ_MOST_INPUTS + i] = fuzz_run_step(&step, i, values, &generator);
    }
    return sn_error_take(error);
}

/* Compiled functions need less memory, so programs that run out of it tell nothing. */
static bool is_refused(const FuzzProgram *p) {
    sn_tensor *values[FUZZ_MOST_VALUES];
    sn_error error = {0};
    sn_status status = SN_OK;
    SN_SCOPE {
        status = run(p, values, &error);
    }
    return status != SN_OK && !strstr(error.text, "out of memory");
}

bool fuzz_break(FuzzProgram *program) {
    FuzzProgram valid = *program;
    Breaker breaker = {.random = {program->seed ^ 0xb4eaULL << 32}, .program = program};
    Breaker *b = &breaker;
    bool broken = false;
    SN_SCOPE {
        for (int32_t i = 0; i < MOST_ATTEMPTS && !broken && valid.n_steps; i++) {
            *program = valid;
            sn_scope scope = sn_scope_begin();
            run(program, b->values, NULL);
            int64_t times = chance(b, 60) ? 1 : chance(b, 70) ? 2 : 3;
            for (int64_t k = 0; k < times && break_one(b); k++) broken = true;
            if (broken) add_surroundings(b);
            sn_scope_end(scope, NULL);
            broken = broken && is_refused(program);
        }
    }
    if (!broken) *program = valid;
    return broken;
}
