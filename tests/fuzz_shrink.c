/* Shrinking by trial: each kind of cut is tried at each place until none helps. What is cut from the
 * steps is cut from those of all variants. See fuzz_shrink.h. */
#include "tests/fuzz_shrink.h"

#include "frontend/tensor/tensor.h"

#include <string.h>

typedef struct Shrinker {
    FuzzSequence *best;     /* smallest that fails so far */
    FuzzSequence draft;     /* being cut */
    FuzzStillFails *fails;  /* the test */
    void *context;          /* handed to it */
    int32_t trials, budget; /* made, and allowed */
} Shrinker;

/* The best one, to be cut; its steps are those of `program`, which all variants share. */
static FuzzSequence *draft_of(Shrinker *s) {
    s->draft = *s->best;
    return &s->draft;
}

static const FuzzProgram *program_of(const Shrinker *s) {
    return &s->best->variants[0];
}

/* Keeps the draft if it fails. */
static bool try_draft(Shrinker *s) {
    if (s->trials >= s->budget) return false;
    s->trials++;
    if (!s->fails(&s->draft, s->context)) return false;
    *s->best = s->draft;
    return true;
}

/* For each variant p of the shrinker's draft. */
#define EACH_VARIANT(p, s)                                                                         \
    for (FuzzProgram *p = (s)->draft.variants; p < (s)->draft.variants + (s)->draft.n_variants; p++)

/* ---- calls and variants ---------------------------------------------------------------------- */

static bool cut_calls(Shrinker *s) {
    bool any = false;
    for (int32_t size = s->best->n_calls / 2; size > 0; size /= 2)
        for (int32_t at = s->best->n_calls - size; at >= 0; at -= size) {
            if (at + size > s->best->n_calls) continue;
            FuzzSequence *draft = draft_of(s);
            draft->n_calls -= size;
            memmove(draft->calls + at, draft->calls + at + size,
                    sizeof *draft->calls * (size_t)(draft->n_calls - at));
            any = try_draft(s) || any;
        }
    return any;
}

/* Takes out a variant; the calls that had it get another one. */
static bool replace_variant(Shrinker *s, int32_t at, int32_t by) {
    FuzzSequence *draft = draft_of(s);
    for (int32_t i = 0; i < draft->n_calls; i++) {
        int32_t *variant = &draft->calls[i].variant;
        if (*variant == at) *variant = by;
        if (*variant > at) --*variant;
    }
    draft->n_variants--;
    memmove(draft->variants + at, draft->variants + at + 1,
            sizeof *draft->variants * (size_t)(draft->n_variants - at));
    return try_draft(s);
}

static bool cut_variants(Shrinker *s) {
    bool any = false;
    for (int32_t i = s->best->n_variants - 1; i >= 0; i--)
        for (int32_t by = 0; by < s->best->n_variants && i < s->best->n_variants; by++)
            any = (by != i && replace_variant(s, i, by)) || any;
    return any;
}

static bool plainer_calls(Shrinker *s) {
    static const FuzzPolicy usual = {.shapes = SN_SHAPES_AUTO};
    draft_of(s)->policy = usual;
    bool any = memcmp(&usual, &s->best->policy, sizeof usual) != 0 && try_draft(s);
    for (int32_t i = 0; i < s->best->n_calls; i++) {
        const FuzzCall *call = &s->best->calls[i];
        if (!call->shift && !call->through) continue;
        draft_of(s)->calls[i] = (FuzzCall){.variant = call->variant};
        any = try_draft(s) || any;
    }
    return any;
}

/* ---- steps and results ----------------------------------------------------------------------- */

/* What takes the place of a value that goes. */
typedef struct Renaming {
    int32_t gone;    /* the value */
    int32_t instead; /* its users take this one */
    int32_t end;     /* values between it and this one move up */
} Renaming;

static void rename_value(int32_t *value, void *context) {
    const Renaming *renaming = context;
    if (*value == renaming->gone)
        *value = renaming->instead;
    else if (*value > renaming->gone && *value < renaming->end)
        --*value;
}

/* Drops step `at`: its users take `instead`, an earlier value. */
static void drop_step(FuzzProgram *p, int32_t at, int32_t instead) {
    Renaming renaming = {FUZZ_MOST_INPUTS + at, instead, FUZZ_MOST_VALUES};
    for (int32_t i = at; i + 1 < p->n_steps; i++) p->steps[i] = p->steps[i + 1];
    p->n_steps--;
    fuzz_rename(p, rename_value, &renaming);
}

static bool cut_steps(Shrinker *s) {
    bool any = false;
    for (int32_t i = program_of(s)->n_steps - 1; i >= 0; i--) {
        int32_t n_operands = program_of(s)->steps[i].n_operands;
        for (int32_t j = 0; j <= n_operands && i < program_of(s)->n_steps; j++) {
            int32_t instead = j < n_operands ? program_of(s)->steps[i].operands[j].value : 0;
            if (instead < 0) continue;
            draft_of(s);
            EACH_VARIANT(p, s) drop_step(p, i, instead);
            if (!try_draft(s)) continue;
            any = true;
            break;
        }
    }
    return any;
}

static bool cut_outputs(Shrinker *s) {
    bool any = false;
    for (int32_t i = program_of(s)->n_outputs - 1; i >= 0; i--) {
        draft_of(s);
        EACH_VARIANT(p, s) {
            for (int32_t j = i; j + 1 < p->n_outputs; j++) p->outputs[j] = p->outputs[j + 1];
            p->n_outputs--;
        }
        any = try_draft(s) || any;
    }
    return any;
}

/* A step's result becomes an argument. False where it has none. */
static bool make_input(FuzzProgram *p, int32_t at) {
    if (p->n_inputs == FUZZ_MOST_INPUTS) return false;
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *values[FUZZ_MOST_VALUES] = {0};
    sn_rng generator = {p->seed, p->counter};
    sn_tensor *result = NULL;
    sn_scope scope = sn_scope_begin();
    if (fuzz_make_inputs(p, 0, blocks, values))
        for (int32_t i = 0; i <= at; i++) {
            FuzzStep step = fuzz_bound_step(p, i, values);
            values[FUZZ_MOST_INPUTS + i] = result = fuzz_run_step(&step, i, values, &generator);
        }
    sn_error_take(NULL);
    bool ok = result && result->kind == TENSOR_REAL;
    if (ok) {
        FuzzBlock block = {.dtype = (sn_dtype)result->dtype, .fill = FUZZ_SMALL};
        block.seed = (uint64_t)at + 77;
        int32_t number = fuzz_add_input(p, block, result->rank, result->dims);
        drop_step(p, at, number);
    }
    sn_scope_end(scope, NULL);
    return ok;
}

/* What made it does not matter then. */
static bool turn_into_input(Shrinker *s, int32_t at) {
    bool ok = true;
    draft_of(s);
    EACH_VARIANT(p, s) ok = ok && make_input(p, at);
    return ok && try_draft(s);
}

/* Words that are constants, steps that are always run. */
static bool plainer_steps(Shrinker *s) {
    bool any = false;
    for (int32_t i = 0; i < program_of(s)->n_steps; i++) {
        for (int32_t j = program_of(s)->steps[i].n_follows - 1; j >= 0; j--) {
            draft_of(s);
            EACH_VARIANT(p, s) {
                FuzzStep *step = &p->steps[i];
                step->follows[j] = step->follows[--step->n_follows];
            }
            any = try_draft(s) || any;
        }
        if (!program_of(s)->steps[i].asks && !program_of(s)->steps[i].tries) continue;
        draft_of(s);
        EACH_VARIANT(p, s) p->steps[i].asks = p->steps[i].tries = false;
        any = try_draft(s) || any;
    }
    return any;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void drop_input(FuzzProgram *p, int32_t at) {
    Renaming renaming = {at, 0, FUZZ_MOST_INPUTS};
    for (int32_t i = at; i + 1 < p->n_inputs; i++) p->inputs[i] = p->inputs[i + 1];
    p->n_inputs--;
    fuzz_rename(p, rename_value, &renaming);
}

static bool cut_inputs(Shrinker *s) {
    bool any = false;
    for (int32_t i = program_of(s)->n_inputs - 1; i >= 0 && program_of(s)->n_inputs > 1; i--) {
        if (fuzz_uses(program_of(s), i)) continue;
        draft_of(s);
        EACH_VARIANT(p, s) drop_input(p, i);
        any = try_draft(s) || any;
    }
    return any;
}

/* Handed over one by one, present, as tensors and numbers of the common kinds. */
static bool plainer_inputs(Shrinker *s) {
    bool any = false;
    for (int32_t i = 0; i < program_of(s)->n_inputs; i++) {
        if (program_of(s)->inputs[i].place == FUZZ_ARGUMENT) continue;
        draft_of(s);
        EACH_VARIANT(p, s) {
            p->inputs[i].place = FUZZ_ARGUMENT;
            p->inputs[i].absent = false;
        }
        any = try_draft(s) || any;
    }
    if (program_of(s)->passing != FUZZ_EACH) {
        draft_of(s);
        EACH_VARIANT(p, s) p->passing = FUZZ_EACH;
        any = try_draft(s) || any;
    }
    return any;
}

static bool dense_input(Shrinker *s, int32_t variant, int32_t number) {
    FuzzProgram *p = &draft_of(s)->variants[variant];
    FuzzInput *input = &p->inputs[number];
    int64_t strides[SN_MAX_RANK];
    size_t bytes = sizeof(int64_t) * (size_t)input->rank;
    dense_strides(input->dims, input->rank, strides);
    if (memcmp(strides, input->strides, bytes) == 0 && input->offset == 0) return false;
    memcpy(input->strides, strides, bytes);
    input->offset = 0;
    int64_t count = sizes_count(input->dims, input->rank);
    FuzzBlock *block = &p->blocks[input->block];
    if (block->count < count) block->count = count;
    return try_draft(s);
}

static bool plain_values(Shrinker *s, int32_t variant, int32_t block) {
    FuzzBlock *change = &draft_of(s)->variants[variant].blocks[block];
    if (change->fill != FUZZ_SPECIAL) return false;
    change->fill = FUZZ_SMALL;
    return try_draft(s);
}

static bool replace_in_inputs(FuzzProgram *p, int64_t from, int64_t to) {
    bool any = false;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        FuzzInput *input = &p->inputs[i];
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
    return any;
}

static void replace_in_steps(FuzzProgram *p, int64_t from, int64_t to) {
    for (int32_t i = 0; i < p->n_steps; i++) {
        const OpCode op = p->steps[i].op;
        bool dims = op == OP_RESHAPE || op == OP_EXPAND || op == OP_FULL || op == OP_RAND ||
                    op == OP_RANDN || p->steps[i].kind == FUZZ_SPLIT;
        for (int32_t w = 0; dims && w < p->steps[i].n_words; w++)
            if (p->steps[i].words[w] == from) p->steps[i].words[w] = to;
    }
}

/* In all variants and in the steps, or in one variant alone. */
static bool replace_size(Shrinker *s, int32_t variant, int64_t from, int64_t to) {
    bool any = false;
    draft_of(s);
    EACH_VARIANT(p, s) {
        any = replace_in_inputs(p, from, to) || any;
        replace_in_steps(p, from, to);
    }
    if (any && try_draft(s)) return true;
    return s->best->n_variants > 1 &&
           replace_in_inputs(&draft_of(s)->variants[variant], from, to) && try_draft(s);
}

/* A size that is used in a variant becomes a smaller one everywhere. */
static bool smaller_sizes(Shrinker *s, int32_t variant) {
    const FuzzProgram *p = &s->best->variants[variant];
    bool any = false;
    for (int32_t i = 0; i < p->n_inputs; i++)
        for (int32_t d = 0; d < p->inputs[i].rank; d++) {
            int64_t size = p->inputs[i].dims[d];
            if (size < 2) continue;
            any = replace_size(s, variant, size, 1) ||
                  (size > 2 && replace_size(s, variant, size, 2)) ||
                  (size > 5 && replace_size(s, variant, size, size / 2)) ||
                  replace_size(s, variant, size, size - 1) || any;
        }
    return any;
}

static bool smaller_variant(Shrinker *s, int32_t variant) {
    bool any = false;
    for (int32_t i = 0; i < program_of(s)->n_inputs; i++) any = dense_input(s, variant, i) || any;
    for (int32_t i = 0; i < s->best->variants[variant].n_blocks; i++)
        any = plain_values(s, variant, i) || any;
    return smaller_sizes(s, variant) || any;
}

static bool pass(Shrinker *s) {
    bool any = cut_calls(s);
    any = cut_variants(s) || any;
    any = cut_steps(s) || any;
    for (int32_t i = program_of(s)->n_steps - 1; i >= 0; i--)
        if (i < program_of(s)->n_steps) any = turn_into_input(s, i) || any;
    any = cut_outputs(s) || any;
    any = cut_inputs(s) || any;
    any = plainer_calls(s) || any;
    any = plainer_steps(s) || any;
    any = plainer_inputs(s) || any;
    for (int32_t v = 0; v < s->best->n_variants; v++) any = smaller_variant(s, v) || any;
    return any;
}

int32_t fuzz_shrink(FuzzSequence *sequence, FuzzStillFails *fails, void *context, int32_t budget) {
    static Shrinker shrinker;
    shrinker = (Shrinker){.best = sequence, .fails = fails, .context = context, .budget = budget};
    while (pass(&shrinker) && shrinker.trials < budget) continue;
    return shrinker.trials;
}
