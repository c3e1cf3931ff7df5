/* Shrinking by trial: each kind of cut is tried at each place until none helps. See fuzz_shrink.h. */
#include "tests/fuzz_shrink.h"

#include "frontend/tensor.h"

#include <string.h>

typedef struct Shrinker {
    FuzzProgram *best;      /* smallest failing program so far */
    FuzzStillFails *fails;  /* the test */
    void *context;          /* handed to it */
    int32_t trials, budget; /* made, and allowed */
} Shrinker;

static bool try_program(Shrinker *s, const FuzzProgram *candidate) {
    if (s->trials >= s->budget) return false;
    s->trials++;
    if (!s->fails(candidate, s->context)) return false;
    *s->best = *candidate;
    return true;
}

/* ---- steps and results ---------------------------------------------------------------------- */

/* Drops step `at`: its users take `instead`, an earlier value, and later steps move up. */
static void drop_step(FuzzProgram *p, int32_t at, int32_t instead) {
    int32_t value = FUZZ_MOST_INPUTS + at;
    for (int32_t i = at; i + 1 < p->n_steps; i++) p->steps[i] = p->steps[i + 1];
    p->n_steps--;
    for (int32_t i = 0; i < p->n_steps; i++)
        for (int32_t j = 0; j < p->steps[i].n_operands; j++) {
            int32_t *operand = &p->steps[i].operands[j].value;
            if (*operand == value)
                *operand = instead;
            else if (*operand > value)
                --*operand;
        }
    for (int32_t i = 0; i < p->n_outputs; i++) {
        if (p->outputs[i] == value)
            p->outputs[i] = instead;
        else if (p->outputs[i] > value)
            p->outputs[i]--;
    }
}

static bool cut_steps(Shrinker *s) {
    bool any = false;
    for (int32_t i = s->best->n_steps - 1; i >= 0; i--) {
        int32_t n_operands = s->best->steps[i].n_operands;
        for (int32_t j = 0; j <= n_operands && i < s->best->n_steps; j++) {
            FuzzProgram candidate = *s->best;
            int32_t instead = j < n_operands ? candidate.steps[i].operands[j].value : 0;
            if (instead < 0) continue;
            drop_step(&candidate, i, instead);
            if (!try_program(s, &candidate)) continue;
            any = true;
            break;
        }
    }
    return any;
}

static bool cut_outputs(Shrinker *s) {
    bool any = false;
    for (int32_t i = s->best->n_outputs - 1; i >= 0; i--) {
        FuzzProgram candidate = *s->best;
        for (int32_t j = i; j + 1 < candidate.n_outputs; j++)
            candidate.outputs[j] = candidate.outputs[j + 1];
        candidate.n_outputs--;
        any = try_program(s, &candidate) || any;
    }
    return any;
}

/* A step's result becomes an argument: what made it does not matter then. */
static bool turn_into_input(Shrinker *s, int32_t at) {
    FuzzProgram candidate = *s->best;
    if (candidate.n_inputs == FUZZ_MOST_INPUTS) return false;
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *values[FUZZ_MOST_VALUES] = {0};
    sn_rng generator = {candidate.seed, candidate.counter};
    FuzzState state = {.generator = &generator};
    sn_tensor *result = NULL;
    sn_scope scope = sn_scope_begin();
    if (fuzz_make_inputs(&candidate, 0, blocks, values))
        for (int32_t i = 0; i <= at; i++) {
            FuzzStep step = fuzz_bound_step(&candidate, i, values);
            values[FUZZ_MOST_INPUTS + i] = result = fuzz_run_step(&step, i, values, &state);
        }
    sn_error_take(NULL);
    bool ok = result && result->kind == TENSOR_REAL;
    if (ok) {
        int32_t number = candidate.n_inputs++, block = candidate.n_blocks++;
        FuzzInput *input = &candidate.inputs[number];
        *input = (FuzzInput){.block = block, .rank = result->rank};
        memcpy(input->dims, result->dims, sizeof input->dims);
        dense_strides(input->dims, input->rank, input->strides);
        candidate.blocks[block] = (FuzzBlock){(sn_dtype)result->dtype, sn_count(result), FUZZ_SMALL,
                                              0, (uint64_t)at + 77};
        drop_step(&candidate, at, number);
    }
    sn_scope_end(scope, NULL);
    return ok && try_program(s, &candidate);
}

/* ---- inputs --------------------------------------------------------------------------------- */

static void drop_input(FuzzProgram *p, int32_t at) {
    for (int32_t i = at; i + 1 < p->n_inputs; i++) p->inputs[i] = p->inputs[i + 1];
    p->n_inputs--;
    for (int32_t i = 0; i < p->n_steps; i++)
        for (int32_t j = 0; j < p->steps[i].n_operands; j++) {
            int32_t *operand = &p->steps[i].operands[j].value;
            if (*operand > at && *operand < FUZZ_MOST_INPUTS) --*operand;
        }
    for (int32_t i = 0; i < p->n_outputs; i++)
        if (p->outputs[i] > at && p->outputs[i] < FUZZ_MOST_INPUTS) p->outputs[i]--;
}

static bool cut_inputs(Shrinker *s) {
    bool any = false;
    for (int32_t i = s->best->n_inputs - 1; i >= 0 && s->best->n_inputs > 1; i--) {
        if (fuzz_uses(s->best, i)) continue;
        FuzzProgram candidate = *s->best;
        drop_input(&candidate, i);
        any = try_program(s, &candidate) || any;
    }
    return any;
}

static bool dense_input(Shrinker *s, int32_t number) {
    FuzzProgram candidate = *s->best;
    FuzzInput *input = &candidate.inputs[number];
    int64_t strides[SN_MAX_RANK];
    size_t bytes = sizeof(int64_t) * (size_t)input->rank;
    dense_strides(input->dims, input->rank, strides);
    if (memcmp(strides, input->strides, bytes) == 0 && input->offset == 0) return false;
    memcpy(input->strides, strides, bytes);
    input->offset = 0;
    int64_t count = sizes_count(input->dims, input->rank);
    FuzzBlock *block = &candidate.blocks[input->block];
    if (block->count < count) block->count = count;
    return try_program(s, &candidate);
}

static bool plain_values(Shrinker *s, int32_t block) {
    FuzzProgram candidate = *s->best;
    if (candidate.blocks[block].fill != FUZZ_SPECIAL) return false;
    candidate.blocks[block].fill = FUZZ_SMALL;
    return try_program(s, &candidate);
}

static bool replace_size(Shrinker *s, int64_t from, int64_t to) {
    FuzzProgram candidate = *s->best;
    bool any = false;
    for (int32_t i = 0; i < candidate.n_inputs; i++) {
        FuzzInput *input = &candidate.inputs[i];
        int64_t strides[SN_MAX_RANK];
        dense_strides(input->dims, input->rank, strides);
        bool dense = memcmp(strides, input->strides, sizeof(int64_t) * (size_t)input->rank) == 0;
        for (int32_t d = 0; d < input->rank; d++)
            if (input->dims[d] == from) {
                input->dims[d] = to;
                any = true;
            }
        if (dense) dense_strides(input->dims, input->rank, input->strides);
    }
    for (int32_t i = 0; i < candidate.n_steps; i++) {
        const OpCode op = candidate.steps[i].op;
        bool dims = op == OP_RESHAPE || op == OP_EXPAND || op == OP_FULL || op == OP_RAND ||
                    op == OP_RANDN || candidate.steps[i].kind == FUZZ_SPLIT;
        for (int32_t w = 0; dims && w < candidate.steps[i].n_words; w++)
            if (candidate.steps[i].words[w] == from) candidate.steps[i].words[w] = to;
    }
    return any && try_program(s, &candidate);
}

/* A size that is used in the program becomes a smaller one everywhere. */
static bool smaller_sizes(Shrinker *s) {
    bool any = false;
    for (int32_t i = 0; i < s->best->n_inputs; i++)
        for (int32_t d = 0; d < s->best->inputs[i].rank; d++) {
            int64_t size = s->best->inputs[i].dims[d];
            if (size < 2) continue;
            any = replace_size(s, size, 1) || (size > 2 && replace_size(s, size, 2)) ||
                  (size > 5 && replace_size(s, size, size / 2)) ||
                  replace_size(s, size, size - 1) || any;
        }
    return any;
}

static bool pass(Shrinker *s) {
    bool any = cut_steps(s);
    for (int32_t i = s->best->n_steps - 1; i >= 0; i--)
        if (i < s->best->n_steps) any = turn_into_input(s, i) || any;
    any = cut_outputs(s) || any;
    any = cut_inputs(s) || any;
    for (int32_t i = 0; i < s->best->n_inputs; i++) any = dense_input(s, i) || any;
    for (int32_t i = 0; i < s->best->n_blocks; i++) any = plain_values(s, i) || any;
    return smaller_sizes(s) || any;
}

int32_t fuzz_shrink(FuzzProgram *program, FuzzStillFails *fails, void *context, int32_t budget) {
    Shrinker shrinker = {program, fails, context, 0, budget};
    while (pass(&shrinker) && shrinker.trials < budget) continue;
    return shrinker.trials;
}
