/* Spread of values, patterns of accesses; see spread.h. */
#include "ir/kernel/spread.h"

enum {
    STEP_MOST = 1 << 24,    /* of a value that counts as affine */
    FACTOR_MOST = INT16_MAX /* of a constant that a step is multiplied by */
};

/* The spread of a value as seen inside `loop`. */
static KSpread seen_in(const KSpread *spread, KValue value, const KLoop *loop) {
    return value < loop->begin ? (KSpread){.kind = SPREAD_UNIFORM} : spread[value];
}

Pattern kernel_pattern(const Kernel *k, const KSpread *spread, uint64_t number, const KLoop *loop) {
    if (!loop) return PATTERN_UNIFORM;
    SN_ASSERT(loop->vector);
    const KAccess *access = kernel_access(k, number);
    bool strided = false;
    int64_t step = 0;
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(k, access, t);
        if (kcoef_is(term->coef, 0)) continue;
        int64_t lane_step = term->axis == loop->axis;
        if (term->value != KVALUE_NONE) {
            KSpread value = seen_in(spread, term->value, loop);
            if (value.kind == SPREAD_VARYING) return PATTERN_SCATTERED;
            lane_step = value.step;
        }
        if (term->coef.param >= 0 && lane_step)
            strided = true;
        else
            step += lane_step;
    }
    if (strided) return PATTERN_STRIDED;
    return step == 0 ? PATTERN_UNIFORM : step == 1 ? PATTERN_CONTIGUOUS : PATTERN_STRIDED;
}

/* ---- affine values --------------------------------------------------------------------------- */

/* How a result of i64 arithmetic steps with its operands. */
typedef enum AffineRule { AFFINE_NOT, AFFINE_SUM, AFFINE_DIFFERENCE, AFFINE_PRODUCT } AffineRule;

static const uint8_t affine_rules[OP_COUNT] = {
    [OP_ADD] = AFFINE_SUM,
    [OP_SUB] = AFFINE_DIFFERENCE,
    [OP_MUL] = AFFINE_PRODUCT,
};

/* The step of x × y, where at most one of them steps and the other is a constant. */
static bool product_step(const Kernel *k, const KInst *inst, KSpread x, KSpread y, int64_t *step) {
    const KInst *factor = kernel_inst(k, y.step ? inst->in[0] : inst->in[1]);
    int64_t by = (int64_t)factor->imm;
    if (!kop_is(factor->op, KFORM_CONST) || (x.step && y.step)) return false;
    if (by > FACTOR_MOST || by < -FACTOR_MOST) return false;
    *step = (y.step ? y.step : x.step) * by;
    return true;
}

/* Affine results of i64 arithmetic; false when the value varies in another way. */
static bool affine_step(const Kernel *k, const KSpread *spread, const KInst *inst,
                        const KLoop *loop, int64_t *step) {
    AffineRule rule = (AffineRule)affine_rules[inst->op];
    if (inst->dtype != SN_I64 || rule == AFFINE_NOT) return false;
    KSpread x = seen_in(spread, inst->in[0], loop), y = seen_in(spread, inst->in[1], loop);
    if (x.kind == SPREAD_VARYING || y.kind == SPREAD_VARYING) return false;
    if (rule == AFFINE_PRODUCT) return product_step(k, inst, x, y, step);
    *step = rule == AFFINE_SUM ? (int64_t)x.step + y.step : (int64_t)x.step - y.step;
    return true;
}

/* ---- all values ------------------------------------------------------------------------------ */

static bool all_uniform(const KSpread *spread, const KInst *inst, const KLoop *loop) {
    for (uint32_t i = 0; i < 3; i++)
        if (inst->in[i] != KVALUE_NONE && seen_in(spread, inst->in[i], loop).kind != SPREAD_UNIFORM)
            return false;
    return true;
}

/* The spread of instruction `at` in its vector loop, after those of its operands. */
static KSpread spread_of(const Kernel *k, const KSpread *spread, uint32_t at, const KLoop *loop) {
    const KInst *inst = kernel_inst(k, at);
    SN_ASSERT(loop->begin <= at && at <= loop->end);
    bool uniform = all_uniform(spread, inst, loop);
    int64_t step = 0;
    if (kop_is_access(inst->op))
        uniform = uniform && kernel_pattern(k, spread, inst->imm, loop) == PATTERN_UNIFORM;
    if (kop_is(inst->op, KFORM_INDEX) && inst->imm == loop->axis)
        return (KSpread){1, SPREAD_AFFINE};
    if (uniform) return (KSpread){0, SPREAD_UNIFORM};
    bool affine = affine_step(k, spread, inst, loop, &step);
    if (!affine || step >= STEP_MOST || step <= -STEP_MOST) return (KSpread){0, SPREAD_VARYING};
    return (KSpread){(int32_t)step, step ? SPREAD_AFFINE : SPREAD_UNIFORM};
}

KSpread *kernel_spread(const Kernel *k, const KLoops *loops, Arena *arena) {
    KSpread *spread = arena_zalloc(arena, (k->insts.count + 1) * sizeof *spread);
    for (uint32_t i = 0; spread && i < k->insts.count; i++) {
        const KLoop *vector = vector_loop_of(loops, i);
        if (vector) spread[i] = spread_of(k, spread, i, vector);
    }
    return spread;
}

bool *kernel_item_values(const Kernel *k, Arena *arena) {
    bool *items = arena_zalloc(arena, (k->insts.count + 1) * sizeof *items);
    for (uint32_t i = 0; items && i < k->insts.count; i++) {
        const KInst *inst = kernel_inst(k, i);
        bool reads = kop_is_access(inst->op) && kop_has_value(inst->op);
        items[i] = reads || kop_is(inst->op, KFORM_GRID) || kop_accumulates(inst->op);
        for (uint32_t o = 0; o < 3; o++)
            items[i] = items[i] || (inst->in[o] != KVALUE_NONE && items[inst->in[o]]);
    }
    return items;
}
