/* Random programs; see fuzz_make.h. Each op has a recipe that chooses operands and attributes; ops
 * without one in the table are described well enough by their signature. */
#include "tests/fuzz_make.h"

#include "frontend/tensor/tensor.h"
#include "ir/infer/window.h"
#include "ir/op/dtype.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ELEMENTS = 6000, MOST_TRIES = 12, PALETTE = 3 };

typedef struct Maker {
    FuzzProgram *program;                /* so far */
    FuzzRandom random;                   /* all choices */
    sn_tensor *values[FUZZ_MOST_VALUES]; /* inputs and results so far; NULL where there is none */
    sn_tensor *blocks[FUZZ_MOST_INPUTS]; /* memory of the inputs */
    sn_rng generator;                    /* of random ops */
    sn_dtype palette[PALETTE];           /* dtypes this program mostly uses */
    int32_t rank;                        /* of the shape this program mostly uses */
    int64_t dims[SN_MAX_RANK];           /* that shape */
} Maker;

typedef bool Recipe(Maker *m, FuzzStep *step);

/* ---- small choices --------------------------------------------------------------------------- */

static int64_t below(Maker *m, int64_t bound) {
    return fuzz_below(&m->random, bound);
}
static bool chance(Maker *m, int percent) {
    return fuzz_chance(&m->random, percent);
}

static int64_t random_size(Maker *m) {
    static const int64_t small[] = {1, 2, 3, 4, 5, 7, 8, 2, 3, 4, 5, 1};
    static const int64_t edges[] = {13, 15, 16, 17, 31, 32, 33, 63, 64, 65};
    static const int64_t large[] = {127, 129, 257, 1023, 1024, 1025, 2049};
    int64_t at = below(m, 100);
    if (at < 3) return 0;
    if (at < 68) return small[below(m, 12)];
    return at < 94 ? edges[below(m, 10)] : large[below(m, 7)];
}

static void random_dims(Maker *m, int32_t rank, int64_t *dims) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) {
        dims[i] = random_size(m);
        if (dims[i] * count > MOST_ELEMENTS) dims[i] = 1 + below(m, 3);
        if (dims[i]) count *= dims[i];
    }
}

static int32_t random_rank(Maker *m) {
    static const int32_t ranks[] = {0, 1, 1, 2, 2, 2, 2, 3, 3, 4};
    return chance(m, 3) ? 5 : ranks[below(m, 10)];
}

static sn_dtype random_dtype(Maker *m) {
    static const sn_dtype often[] = {SN_F32, SN_F32, SN_F32,  SN_F32, SN_F32, SN_F64,
                                     SN_F64, SN_F16, SN_BF16, SN_I64, SN_I64, SN_I32,
                                     SN_I16, SN_I8,  SN_U8,   SN_BOOL};
    return often[below(m, 16)];
}

static sn_dtype palette_dtype(Maker *m) {
    return chance(m, 10) ? random_dtype(m) : m->palette[below(m, PALETTE)];
}

static sn_dtype float_dtype(Maker *m) {
    for (int32_t i = 0; i < PALETTE; i++)
        if (dtype_is_float(m->palette[i])) return m->palette[i];
    return SN_F32;
}

static FuzzFill random_fill(Maker *m) {
    int64_t at = below(m, 100);
    return at < 45 ? FUZZ_SPECIAL : at < 85 ? FUZZ_SMALL : FUZZ_POSITIVE;
}

static double random_real(Maker *m) {
    static const double values[] = {0, 1, -1, 0.5, 2, 3, -0.25, 0.1, 1e-5, 10, -2, 1.5};
    return values[below(m, 12)];
}

static void add_word(FuzzStep *step, int64_t word) {
    if (step->n_words < FUZZ_MOST_WORDS) step->words[step->n_words++] = word;
}
static void add_real(FuzzStep *step, double value) {
    int64_t word;
    memcpy(&word, &value, sizeof word);
    add_word(step, word);
}
static void add_list(FuzzStep *step, const int64_t *values, int32_t count) {
    add_word(step, count);
    for (int32_t i = 0; i < count; i++) add_word(step, values[i]);
}
static bool add_operand(FuzzStep *step, int32_t value) {
    if (value < 0 || step->n_operands == FUZZ_MOST_OPERANDS) return false;
    step->operands[step->n_operands++] = (FuzzOperand){value, 0};
    return true;
}
static void add_none(FuzzStep *step) {
    step->operands[step->n_operands++] = (FuzzOperand){FUZZ_NONE, 0};
}
static void add_scalar(Maker *m, FuzzStep *step) {
    static const double integers[] = {0, 1, 2, 3, -1, 5, -3, 100};
    static const double beyond[] = {300, -1000, 65536, -4294967296, 4294967297, 9007199254740992};
    bool real = chance(m, 60);
    FuzzProgram *p = m->program;
    double value = real            ? random_real(m)
                   : chance(m, 90) ? integers[below(m, 8)]
                                   : beyond[below(m, 6)];
    FuzzOperand operand = {real ? FUZZ_REAL : FUZZ_INTEGER, value};
    if (chance(m, 60)) { /* a scalar argument, new or known */
        int32_t number = (int32_t)below(m, p->n_scalars + 1);
        if (number == p->n_scalars && number < FUZZ_MOST_SCALARS)
            p->scalars[p->n_scalars++] = (FuzzScalar){real ? 'd' : 'l', value};
        if (number < p->n_scalars) operand = (FuzzOperand){FUZZ_SCALAR, number};
    }
    step->operands[step->n_operands++] = operand;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static int64_t count_of(const int64_t *dims, int32_t rank) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) count *= dims[i];
    return count;
}

/* Strides of some layout, and the elements of memory that it takes. */
static int64_t random_layout(Maker *m, FuzzInput *input) {
    int32_t order[SN_MAX_RANK];
    bool plain = chance(m, 55);
    for (int32_t i = 0; i < input->rank; i++) order[i] = input->rank - 1 - i;
    if (!plain && chance(m, 50)) {
        for (int32_t i = input->rank - 1; i > 0; i--) {
            int32_t j = (int32_t)below(m, i + 1), swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
    }
    int64_t reach = !plain && chance(m, 25) ? 2 : 1;
    for (int32_t i = 0; i < input->rank; i++) {
        int64_t dim = input->dims[order[i]];
        bool repeats = !plain && chance(m, 12);
        input->strides[order[i]] = repeats ? 0 : reach;
        if (!repeats && dim) reach *= dim;
        if (!plain && chance(m, 15)) reach += 1 + below(m, 3);
    }
    input->offset = plain ? 0 : below(m, 4);
    int64_t end = input->offset + reach + 1;
    for (int32_t i = 0; i < input->rank; i++) {
        if (plain || !chance(m, 15) || input->dims[i] < 1) continue;
        input->offset += (input->dims[i] - 1) * input->strides[i];
        input->strides[i] = -input->strides[i];
    }
    return plain ? count_of(input->dims, input->rank) : end;
}

/* An earlier input again, or another look at the memory of one; false when none fits. */
static bool share_block(Maker *m, sn_dtype dtype, FuzzInput *input) {
    FuzzProgram *p = m->program;
    if (!p->n_inputs) return false;
    const FuzzInput *other = &p->inputs[below(m, p->n_inputs)];
    const FuzzBlock *block = &p->blocks[other->block];
    if (block->dtype != dtype || block->fill >= FUZZ_INDEX) return false;
    bool same = other->rank == input->rank &&
                memcmp(other->dims, input->dims, sizeof(int64_t) * (size_t)input->rank) == 0;
    if (same && chance(m, 50)) {
        *input = *other;
        return true;
    }
    int64_t count = count_of(input->dims, input->rank), room = block->count - count;
    if (room < 0) return false;
    dense_strides(input->dims, input->rank, input->strides);
    input->offset = below(m, room + 1);
    input->block = other->block;
    return true;
}

static bool realise(Maker *m, int32_t number) {
    FuzzProgram *p = m->program;
    const FuzzInput *input = &p->inputs[number];
    if (!m->blocks[input->block]) {
        const FuzzBlock *block = &p->blocks[input->block];
        void *data = fuzz_block_data(block, 0);
        if (data)
            m->blocks[input->block] =
                sn_from_copy(data, (size_t)block->count * sn_dtype_size(block->dtype),
                             &block->count, 1, block->dtype);
        free(data);
    }
    sn_tensor *block = m->blocks[input->block];
    if (!block) return false;
    TensorType type = {.dtype = block->dtype, .rank = (uint8_t)input->rank};
    memcpy(type.dims, input->dims, sizeof type.dims);
    m->values[number] = tensor_real(storage_retain(block->storage), &type, input->strides,
                                    input->offset, (Site){0});
    return m->values[number] != NULL;
}

/* A new input; its value, or -1 when there is no room. */
static int32_t new_input(Maker *m, sn_dtype dtype, FuzzFill fill, int64_t bound, int32_t rank,
                         const int64_t *dims) {
    FuzzProgram *p = m->program;
    if (p->n_inputs == FUZZ_MOST_INPUTS) return -1;
    FuzzInput input = {.rank = rank};
    memcpy(input.dims, dims, sizeof(int64_t) * (size_t)rank);
    for (int32_t i = 0, left = 4 * MOST_ELEMENTS; i < rank; i++)
        if (dims[i] && (left /= (int32_t)dims[i]) == 0) return -1;
    bool shared = fill < FUZZ_INDEX && chance(m, 6) && share_block(m, dtype, &input);
    if (!shared) {
        input.block = p->n_blocks++;
        int64_t count = random_layout(m, &input);
        p->blocks[input.block] =
            (FuzzBlock){dtype, count, fill, bound, fuzz_next(&m->random) >> 40};
    }
    p->inputs[p->n_inputs] = input;
    return realise(m, p->n_inputs) ? p->n_inputs++ : -1;
}

static int32_t theme_input(Maker *m, sn_dtype dtype) {
    return new_input(m, dtype, random_fill(m), 0, m->rank, m->dims);
}

static int32_t index_input(Maker *m, int64_t bound, int32_t rank, const int64_t *dims) {
    FuzzFill fill = chance(m, 3) ? FUZZ_BAD_INDEX : FUZZ_INDEX;
    return new_input(m, chance(m, 70) ? SN_I64 : SN_I32, fill, bound, rank, dims);
}

/* ---- values that are there ------------------------------------------------------------------- */

typedef enum Need { NEED_ANY, NEED_FLOAT, NEED_INTEGRAL } Need;

static bool meets(const sn_tensor *x, Need need, int32_t min_rank) {
    if (!x || x->kind != TENSOR_REAL || x->rank < min_rank) return false;
    if (need == NEED_FLOAT) return dtype_is_float((sn_dtype)x->dtype);
    return need == NEED_ANY || !dtype_is_float((sn_dtype)x->dtype);
}

/* One of the values, late ones preferred, or a new input. */
static int32_t pick(Maker *m, Need need, int32_t min_rank) {
    int32_t found[FUZZ_MOST_VALUES], count = 0;
    for (int32_t i = 0; i < FUZZ_MOST_VALUES; i++)
        if (meets(m->values[i], need, min_rank)) found[count++] = i;
    if (count && !chance(m, 8)) {
        int64_t a = below(m, count), b = below(m, count);
        return found[a > b ? a : b];
    }
    sn_dtype dtype = palette_dtype(m);
    if (need == NEED_FLOAT) dtype = float_dtype(m);
    if (need == NEED_INTEGRAL && dtype_is_float(dtype)) dtype = chance(m, 50) ? SN_I32 : SN_I64;
    if (m->rank >= min_rank) return theme_input(m, dtype);
    int64_t dims[SN_MAX_RANK];
    random_dims(m, min_rank, dims);
    return new_input(m, dtype, random_fill(m), 0, min_rank, dims);
}

static bool broadcasts(const sn_tensor *x, const int64_t *dims, int32_t rank, bool one_way) {
    for (int32_t i = 1; i <= x->rank; i++) {
        if (i > rank) return !one_way;
        int64_t a = x->dims[x->rank - i], b = dims[rank - i];
        if (a != b && a != 1 && (one_way || b != 1)) return false;
    }
    return true;
}

/* A value that broadcasts with these dims (one way: to them), or a new input that does. */
static int32_t partner(Maker *m, const int64_t *dims, int32_t rank, bool one_way, Need need) {
    int32_t found[FUZZ_MOST_VALUES], count = 0;
    for (int32_t i = 0; i < FUZZ_MOST_VALUES; i++)
        if (meets(m->values[i], need, 0) && broadcasts(m->values[i], dims, rank, one_way))
            found[count++] = i;
    if (count && chance(m, 70)) return found[below(m, count)];
    int64_t own[SN_MAX_RANK];
    int32_t drop = chance(m, 20) && rank ? (int32_t)below(m, rank + 1) : 0;
    for (int32_t i = drop; i < rank; i++) own[i - drop] = chance(m, 15) ? 1 : dims[i];
    sn_dtype dtype = palette_dtype(m);
    if (need == NEED_INTEGRAL && dtype_is_float(dtype)) dtype = SN_I32;
    return new_input(m, dtype, random_fill(m), 0, rank - drop, own);
}

/* A value of exactly this shape and dtype, or a new input. */
static int32_t same_shape(Maker *m, const int64_t *dims, int32_t rank, sn_dtype dtype) {
    for (int32_t i = 0; i < FUZZ_MOST_VALUES && chance(m, 80); i++) {
        const sn_tensor *x = m->values[i];
        if (meets(x, NEED_ANY, 0) && x->dtype == dtype && x->rank == rank &&
            memcmp(x->dims, dims, sizeof(int64_t) * (size_t)rank) == 0 && chance(m, 40))
            return i;
    }
    return new_input(m, dtype, random_fill(m), 0, rank, dims);
}

static int64_t random_axis(Maker *m, int32_t rank) {
    int64_t most = rank ? rank : 1;
    return below(m, 2 * most) - most;
}

static int32_t random_axes(Maker *m, int32_t rank, int64_t *axes) {
    int32_t count = 0;
    for (int32_t i = 0; i < rank; i++)
        if (chance(m, 45)) axes[count++] = chance(m, 30) ? i - rank : i;
    return count;
}

/* ---- attributes from a signature ------------------------------------------------------------- */

static double named_real(Maker *m, AttrName name) {
    static const struct {
        AttrName name;    /* the attribute */
        double values[4]; /* likely ones */
    } known[] = {
        {ATTR_SLOPE, {0.01, 0.2, 0, -0.5}}, {ATTR_ALPHA, {1, 0.5, 2, 1}},
        {ATTR_BETA, {1, 2, 0.5, 1}},        {ATTR_THRESHOLD, {20, 5, 1, 20}},
        {ATTR_LOW, {-1, 0, -2, 1}},         {ATTR_HIGH, {1, 6, 0, 2}},
        {ATTR_P, {0.5, 0.1, 0, 1}},         {ATTR_EPS, {1e-5, 1e-12, 0.1, 0}},
        {ATTR_CORRECTION, {0, 1, 1, 2.5}},  {ATTR_SCALE, {0, 0, 0.5, 2}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].name == name) return known[i].values[below(m, 4)];
    return random_real(m);
}

/* Attributes that the signature alone describes. */
static void default_attrs(Maker *m, FuzzStep *step, int32_t rank) {
    int32_t n_params;
    const OpParam *params = op_params(step->op, &n_params);
    int64_t axes[SN_MAX_RANK];
    for (int32_t i = 0; i < n_params; i++) {
        switch (params[i].kind) {
        case 'L':
            add_list(step, axes, random_axes(m, rank, axes));
            break;
        case 'l':
            add_word(step, fuzz_is_axis(&params[i]) ? random_axis(m, rank) : below(m, 5) - 2);
            break;
        case 'd':
            add_real(step, named_real(m, (AttrName)params[i].attr));
            break;
        case 'b':
            add_word(step, below(m, 2));
            break;
        case 'e':
            add_word(step, below(m, attr_enum_count((AttrName)params[i].attr)));
            break;
        case 'y':
            add_word(step, (int64_t)palette_dtype(m));
            break;
        case 'h':
            add_word(step, 0);
            break;
        default:
            break;
        }
    }
}

static const sn_tensor *value_of(const Maker *m, const FuzzStep *step, int32_t operand) {
    return m->values[step->operands[operand].value];
}

/* ---- recipes --------------------------------------------------------------------------------- */

static Need need_of(OpCode op) {
    uint8_t rule = op_info[op].dtype_rule;
    if (rule == DTYPE_FLOATING || rule == DTYPE_PROMOTE_FLOATING) return NEED_FLOAT;
    return rule == DTYPE_INTEGRAL ? NEED_INTEGRAL : NEED_ANY;
}

static bool recipe_pointwise(Maker *m, FuzzStep *step) {
    int32_t n_params, rank = m->rank;
    const OpParam *params = op_params(step->op, &n_params);
    const int64_t *dims = m->dims;
    Need need = need_of(step->op);
    for (int32_t i = 0; i < n_params; i++) {
        if (params[i].kind != 't') continue;
        if (params[i].suffix == '?' && chance(m, 30)) {
            add_none(step);
            continue;
        }
        bool scalar = step->n_operands ? chance(m, 25) : chance(m, 2);
        if (scalar) {
            add_scalar(m, step);
        } else if (dims == m->dims) {
            if (!add_operand(step, pick(m, need, 0))) return false;
            dims = value_of(m, step, step->n_operands - 1)->dims;
            rank = value_of(m, step, step->n_operands - 1)->rank;
        } else if (!add_operand(step, partner(m, dims, rank, false, need))) {
            return false;
        }
    }
    default_attrs(m, step, rank);
    return true;
}

/* One operand, attributes from the signature. */
static bool recipe_unary(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, need_of(step->op), 0))) return false;
    default_attrs(m, step, value_of(m, step, 0)->rank);
    return true;
}

static bool recipe_matrix_unary(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 2))) return false;
    default_attrs(m, step, value_of(m, step, 0)->rank);
    return true;
}

static bool recipe_reshape(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 0))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t dims[SN_MAX_RANK + 2];
    int32_t rank = x->rank, at = rank ? (int32_t)below(m, rank) : 0;
    memcpy(dims, x->dims, sizeof(int64_t) * (size_t)rank);
    int64_t way = below(m, 5);
    if (way == 0) {
        dims[0] = -1;
        rank = 1;
    } else if (way == 1 && rank > 1 && at + 1 < rank) { /* join two */
        dims[at] *= dims[at + 1];
        for (int32_t i = at + 1; i + 1 < rank; i++) dims[i] = dims[i + 1];
        rank--;
    } else if (way == 2 && rank && rank < SN_MAX_RANK) { /* part one */
        int64_t divisor = 1;
        for (int64_t d = 2; d < 9; d++)
            if (dims[at] % d == 0 && chance(m, 60)) divisor = d;
        for (int32_t i = rank; i > at + 1; i--) dims[i] = dims[i - 1];
        dims[at + 1] = divisor;
        dims[at] /= divisor;
        rank++;
    } else if (way == 3 && rank > 1) { /* the same elements, sizes exchanged */
        int64_t swap = dims[at];
        dims[at] = dims[rank - 1 - at];
        dims[rank - 1 - at] = swap;
    } else if (rank < SN_MAX_RANK) {
        dims[rank++] = 1;
    }
    if (chance(m, 15) && rank) dims[below(m, rank)] = -1;
    add_list(step, dims, rank);
    return true;
}

static bool recipe_permute(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, chance(m, 90) ? 2 : 0))) return false;
    int64_t axes[SN_MAX_RANK];
    int32_t rank = value_of(m, step, 0)->rank;
    for (int32_t i = 0; i < rank; i++) axes[i] = i;
    for (int32_t i = rank - 1; i > 0; i--) {
        int64_t j = below(m, i + 1), swap = axes[i];
        axes[i] = axes[j];
        axes[j] = swap;
    }
    add_list(step, axes, rank);
    return true;
}

static bool recipe_expand(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 0))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t dims[SN_MAX_RANK];
    int32_t front = (int32_t)below(m, 3), rank = 0;
    if (x->rank + front > 5) front = 0;
    for (int32_t i = 0; i < front; i++) dims[rank++] = 1 + below(m, 4);
    for (int32_t i = 0; i < x->rank; i++)
        dims[rank++] = x->dims[i] == 1 && chance(m, 80) ? 1 + below(m, 5)
                       : chance(m, 30)                  ? -1
                                                        : x->dims[i];
    add_list(step, dims, rank);
    return true;
}

static bool recipe_unsqueeze(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 0))) return false;
    add_word(step, random_axis(m, value_of(m, step, 0)->rank + 1));
    return true;
}

static bool recipe_select(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t axis = below(m, x->rank), size = x->dims[axis];
    add_word(step, axis);
    add_word(step, below(m, 2 * size + 1) - size);
    return true;
}

static bool recipe_narrow(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t axis = below(m, x->rank), start = below(m, x->dims[axis] + 1);
    add_word(step, axis);
    add_word(step, start);
    add_word(step, below(m, x->dims[axis] - start + 1));
    return true;
}

static bool recipe_index(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 0))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t size = x->dims[i], way = below(m, 10);
        int64_t item[4] = {SN_INDEX_ALL, 0, SN_END, 1};
        if (way < 2 && x->rank < 5) {
            add_word(step, SN_INDEX_NEW);
            for (int32_t k = 0; k < 3; k++) add_word(step, 0);
        }
        if (way == 3 && size) {
            item[0] = SN_INDEX_AT;
            item[1] = below(m, 2 * size) - size;
        } else if (way > 4) {
            static const int64_t steps[] = {1, 1, 2, 3, -1, -2};
            item[0] = SN_INDEX_RANGE;
            item[1] = chance(m, 40) ? 0 : below(m, 2 * size + 3) - size - 1;
            item[2] = chance(m, 50) ? SN_END : below(m, 2 * size + 3) - size - 1;
            item[3] = steps[below(m, 6)];
            if (item[3] < 0 && chance(m, 50)) item[1] = SN_END;
        }
        for (int32_t k = 0; k < 4; k++) add_word(step, item[k]);
    }
    return true;
}

static bool recipe_split(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t axis = below(m, x->rank), left = x->dims[axis];
    int32_t parts = 1 + (int32_t)below(m, 4);
    add_word(step, axis);
    add_word(step, below(m, parts));
    for (int32_t i = 0; i < parts; i++) {
        int64_t size = i + 1 == parts ? left : below(m, left + 1);
        add_word(step, size);
        left -= size;
    }
    return true;
}

static bool recipe_join(Maker *m, FuzzStep *step) {
    bool cat = step->op == OP_CAT;
    if (!add_operand(step, pick(m, NEED_ANY, cat ? 1 : 0))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int32_t more = (int32_t)below(m, 4);
    int64_t axis = below(m, x->rank + (cat ? 0 : 1));
    for (int32_t i = 0; i < more; i++) {
        int64_t dims[SN_MAX_RANK];
        memcpy(dims, x->dims, sizeof dims);
        bool other = cat && chance(m, 40);
        if (other) dims[axis] = below(m, 5);
        sn_dtype dtype = chance(m, 80) ? (sn_dtype)x->dtype : palette_dtype(m);
        int32_t part =
            chance(m, 20) ? step->operands[0].value : same_shape(m, dims, x->rank, dtype);
        if (!add_operand(step, part)) return false;
    }
    add_word(step, axis);
    return true;
}

static bool recipe_pad(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 1))) return false;
    int64_t pads[2 * SN_MAX_RANK];
    int32_t pairs = (int32_t)below(m, value_of(m, step, 0)->rank + 1);
    for (int32_t i = 0; i < 2 * pairs; i++) pads[i] = below(m, 6) - (chance(m, 20) ? 2 : 0);
    add_list(step, pads, 2 * pairs);
    add_real(step, random_real(m));
    return true;
}

/* Dims of an index inside those of x. */
static void inner_dims(Maker *m, const sn_tensor *x, int64_t axis, int64_t *dims) {
    for (int32_t i = 0; i < x->rank; i++)
        dims[i] = i == axis       ? 1 + below(m, 6)
                  : chance(m, 60) ? x->dims[i]
                                  : below(m, x->dims[i] + 1);
}

static bool recipe_gather(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, chance(m, 95) ? 1 : 0))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t dims[SN_MAX_RANK], axis = x->rank ? below(m, x->rank) : 0;
    inner_dims(m, x, axis, dims);
    int32_t index = index_input(m, x->rank ? x->dims[axis] : 1, x->rank, dims);
    add_word(step, axis);
    if (!add_operand(step, index)) return false;
    if (step->op == OP_GATHER) add_word(step, 0); /* as: what the program wrote */
    if (step->op == OP_GATHER) return true;
    for (int32_t i = 0; i < x->rank; i++) dims[i] += chance(m, 15) ? 1 : 0;
    return add_operand(step, same_shape(m, dims, x->rank, (sn_dtype)x->dtype));
}

static bool recipe_index_select(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, chance(m, 95) ? 1 : 0))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t axis = x->rank ? below(m, x->rank) : 0, count = 1 + below(m, 7);
    int32_t index_rank = chance(m, 90) ? 1 : 0;
    int32_t index = index_input(m, x->rank ? x->dims[axis] : 1, index_rank, &count);
    add_word(step, axis);
    if (!add_operand(step, index)) return false;
    if (step->op == OP_INDEX_SELECT) add_word(step, 0); /* as */
    if (step->op == OP_INDEX_SELECT) return true;
    int64_t dims[SN_MAX_RANK];
    memcpy(dims, x->dims, sizeof dims);
    if (x->rank) dims[axis] = index_rank ? count : 1;
    return add_operand(step, same_shape(m, dims, x->rank, (sn_dtype)x->dtype));
}

static bool recipe_embedding(Maker *m, FuzzStep *step) {
    int64_t dims[2] = {1 + below(m, 20), random_size(m)};
    sn_dtype dtype = palette_dtype(m);
    int32_t weight = new_input(m, dtype, random_fill(m), 0, 2, dims);
    int64_t shape[2] = {1 + below(m, 5), 1 + below(m, 5)};
    return add_operand(step, weight) &&
           add_operand(step, index_input(m, dims[0], (int32_t)below(m, 3), shape));
}

static bool recipe_one_hot(Maker *m, FuzzStep *step) {
    int64_t classes = 1 + below(m, 9), shape[2] = {1 + below(m, 5), 1 + below(m, 5)};
    add_word(step, classes);
    return add_operand(step, index_input(m, classes, (int32_t)below(m, 3), shape));
}

static bool recipe_arange(Maker *m, FuzzStep *step) {
    static const double steps[] = {1, 1, 2, -1, 0.5, 3};
    double start = (double)(below(m, 9) - 4), by = steps[below(m, 6)];
    if (chance(m, 20)) start += 0.25;
    add_real(step, start);
    add_real(step, start + by * (double)below(m, 40));
    add_real(step, by);
    add_word(step, (int64_t)random_dtype(m));
    return true;
}

static bool recipe_full(Maker *m, FuzzStep *step) {
    add_list(step, m->dims, m->rank);
    if (step->op == OP_FULL) add_real(step, random_real(m));
    add_word(step, (int64_t)(step->op == OP_FULL ? palette_dtype(m) : float_dtype(m)));
    if (step->op != OP_FULL) add_word(step, 0);
    return true;
}

static bool recipe_dropout(Maker *m, FuzzStep *step) {
    return recipe_unary(m, step);
}

static bool recipe_matmul(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_ANY, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t inner = x->dims[x->rank - 1], dims[SN_MAX_RANK];
    int32_t rank = (int32_t)below(m, 4), at = 0;
    sn_dtype dtype = chance(m, 85) ? (sn_dtype)x->dtype : palette_dtype(m);
    if (rank > 1) { /* batch dims of x, or 1, or none */
        int32_t batch = x->rank > 2 && chance(m, 60) ? x->rank - 2 : 0;
        for (int32_t i = 0; i < batch; i++) dims[at++] = chance(m, 70) ? x->dims[i] : 1;
        dims[at++] = inner;
        dims[at++] = random_size(m);
    } else {
        dims[at++] = inner;
    }
    return add_operand(step, same_shape(m, dims, at, dtype));
}

static bool recipe_linear(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_FLOAT, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int64_t dims[2] = {random_size(m), x->dims[x->rank - 1]};
    sn_dtype dtype = (sn_dtype)x->dtype;
    if (!add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 2, dims))) return false;
    if (chance(m, 60)) return add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 1, dims));
    add_none(step);
    return true;
}

static bool recipe_bilinear(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_FLOAT, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int32_t rank = x->rank;
    sn_dtype dtype = (sn_dtype)x->dtype;
    int64_t like[SN_MAX_RANK], dims[3] = {random_size(m), x->dims[rank - 1], 1 + below(m, 5)};
    memcpy(like, x->dims, sizeof like);
    like[rank - 1] = dims[2];
    if (!add_operand(step, same_shape(m, like, rank, dtype)) ||
        !add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 3, dims)))
        return false;
    if (chance(m, 60)) return add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 1, dims));
    add_none(step);
    return true;
}

static bool recipe_norm(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_FLOAT, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int32_t covered = 1 + (int32_t)below(m, x->rank);
    const int64_t *dims = x->dims + (x->rank - covered);
    for (int32_t i = 1; i < (step->op == OP_LAYER_NORM ? 3 : 2); i++) {
        if (chance(m, 35))
            add_none(step);
        else if (!add_operand(step, new_input(m, (sn_dtype)x->dtype, FUZZ_SMALL, 0, covered, dims)))
            return false;
    }
    default_attrs(m, step, x->rank);
    return true;
}

static bool recipe_cross_entropy(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_FLOAT, 1))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    int32_t axis = x->rank > 1 ? 1 : 0, rank = 0;
    int64_t dims[SN_MAX_RANK];
    for (int32_t i = 0; i < x->rank; i++)
        if (i != axis) dims[rank++] = x->dims[i];
    default_attrs(m, step, x->rank);
    return add_operand(step, index_input(m, x->dims[axis], rank, dims));
}

static bool recipe_attention(Maker *m, FuzzStep *step) {
    int64_t query[SN_MAX_RANK], key[SN_MAX_RANK];
    int32_t rank = 2 + (int32_t)below(m, 3);
    sn_dtype dtype = float_dtype(m);
    for (int32_t i = 0; i < rank; i++) query[i] = key[i] = 1 + below(m, i + 2 < rank ? 3 : 18);
    key[rank - 2] = 1 + below(m, 20);
    int32_t q = same_shape(m, query, rank, dtype),
            k = new_input(m, dtype, FUZZ_SMALL, 0, rank, key);
    key[rank - 1] = 1 + below(m, 9);
    int32_t v = new_input(m, dtype, FUZZ_SMALL, 0, rank, key);
    if (!add_operand(step, q) || !add_operand(step, k) || !add_operand(step, v)) return false;
    query[rank - 1] = key[rank - 2];
    bool masked = chance(m, 50);
    if (!masked)
        add_none(step);
    else if (!add_operand(step, new_input(m, chance(m, 50) ? SN_BOOL : dtype, FUZZ_SMALL, 0, 2,
                                          query + rank - 2)))
        return false;
    add_word(step, !masked && chance(m, 50));
    add_real(step, named_real(m, ATTR_SCALE));
    return true;
}

/* ---- windows --------------------------------------------------------------------------------- */

/* Sizes of x, [n, channels, spatial…] or without n, with so many spatial axes. */
static int32_t windowed_dims(Maker *m, int32_t axes, int64_t channels, int64_t *dims) {
    int32_t rank = 0;
    if (chance(m, 85)) dims[rank++] = 1 + below(m, 3);
    dims[rank++] = channels;
    for (int32_t i = 0; i < axes; i++) dims[rank++] = 1 + below(m, axes == 3 ? 6 : 11);
    return rank;
}

/* Numbers for each axis, at least `least`, and mostly small; or one for all. */
static void add_numbers(Maker *m, FuzzStep *step, int32_t axes, int64_t least, int64_t most) {
    int64_t values[SN_MAX_RANK];
    int32_t count = chance(m, 30) ? 1 : axes;
    for (int32_t i = 0; i < count; i++) values[i] = least + below(m, most - least + 1);
    add_list(step, values, count);
}

static bool recipe_conv(Maker *m, FuzzStep *step) {
    int32_t axes = window_axes(step->op), rank;
    int64_t groups = chance(m, 60) ? 1 : 1 + below(m, 4), channels = 1 + below(m, 5);
    int64_t dims[SN_MAX_RANK], weight[SN_MAX_RANK] = {groups * (1 + below(m, 5)), channels};
    sn_dtype dtype = chance(m, 85) ? float_dtype(m) : palette_dtype(m);
    rank = windowed_dims(m, axes, groups * channels, dims);
    for (int32_t i = 0; i < axes; i++) weight[2 + i] = 1 + below(m, 3);
    int32_t x = same_shape(m, dims, rank, dtype);
    int32_t w = new_input(m, dtype, FUZZ_SMALL, 0, axes + 2, weight);
    if (!add_operand(step, x) || !add_operand(step, w)) return false;
    if (chance(m, 50))
        add_none(step);
    else if (!add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 1, weight)))
        return false;
    add_numbers(m, step, axes, 1, 3);
    add_numbers(m, step, axes, 0, 2);
    add_numbers(m, step, axes, 1, 2);
    add_word(step, groups);
    return true;
}

static bool recipe_conv_transpose(Maker *m, FuzzStep *step) {
    int32_t axes = window_axes(step->op), rank;
    int64_t groups = chance(m, 60) ? 1 : 1 + below(m, 3), out = 1 + below(m, 4);
    int64_t dims[SN_MAX_RANK], weight[SN_MAX_RANK] = {groups * (1 + below(m, 4)), out};
    sn_dtype dtype = chance(m, 85) ? float_dtype(m) : palette_dtype(m);
    rank = windowed_dims(m, axes, weight[0], dims);
    for (int32_t i = 0; i < axes; i++) weight[2 + i] = 1 + below(m, 4);
    int32_t x = same_shape(m, dims, rank, dtype);
    int32_t w = new_input(m, dtype, FUZZ_SMALL, 0, axes + 2, weight);
    if (!add_operand(step, x) || !add_operand(step, w)) return false;
    const int64_t channels = groups * out;
    if (chance(m, 50))
        add_none(step);
    else if (!add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 1, &channels)))
        return false;
    add_numbers(m, step, axes, 1, 3);
    add_numbers(m, step, axes, 0, 1);
    add_numbers(m, step, axes, 0, 0);
    add_word(step, groups);
    add_numbers(m, step, axes, 1, 3);
    return true;
}

static bool recipe_pool(Maker *m, FuzzStep *step) {
    bool max = step->op < OP_AVG_POOL1D || step->op > OP_AVG_POOL3D;
    int32_t axes = window_axes(step->op);
    int64_t dims[SN_MAX_RANK];
    int32_t rank = windowed_dims(m, axes, 1 + below(m, 9), dims);
    sn_dtype dtype = max ? palette_dtype(m) : float_dtype(m);
    if (!add_operand(step, same_shape(m, dims, rank, dtype))) return false;
    add_numbers(m, step, axes, 2, 3);
    if (chance(m, 30))
        add_list(step, dims, 0);
    else
        add_numbers(m, step, axes, 1, 3);
    add_numbers(m, step, axes, 0, 1);
    if (max) add_numbers(m, step, axes, 1, 2);
    add_word(step, below(m, 2));
    if (max) return true;
    add_word(step, below(m, 2));
    add_word(step, chance(m, 70) ? 0 : below(m, 9) - 4);
    return true;
}

static bool recipe_adaptive_pool(Maker *m, FuzzStep *step) {
    bool max = step->op < OP_ADAPTIVE_AVG_POOL1D || step->op > OP_ADAPTIVE_AVG_POOL3D;
    int32_t axes = window_axes(step->op);
    int64_t dims[SN_MAX_RANK], sizes[SN_MAX_RANK];
    int32_t rank = windowed_dims(m, axes, 1 + below(m, 5), dims);
    sn_dtype dtype = max ? palette_dtype(m) : float_dtype(m);
    for (int32_t i = 0; i < axes; i++) sizes[i] = chance(m, 20) ? -1 : 1 + below(m, 7);
    if (!add_operand(step, same_shape(m, dims, rank, dtype))) return false;
    add_list(step, sizes, axes);
    return true;
}

static bool recipe_unfold(Maker *m, FuzzStep *step) {
    int64_t dims[SN_MAX_RANK];
    int32_t rank = windowed_dims(m, 2, 1 + below(m, 4), dims);
    if (!add_operand(step, same_shape(m, dims, rank, palette_dtype(m)))) return false;
    add_numbers(m, step, 2, 1, 3);
    add_numbers(m, step, 2, 1, 2);
    add_numbers(m, step, 2, 0, 2);
    add_numbers(m, step, 2, 1, 3);
    return true;
}

/* Columns that fit planes which are drawn first. */
static bool recipe_fold(Maker *m, FuzzStep *step) {
    int64_t dims[3], sizes[2], number[4], windows = 1;
    int32_t rank = 0;
    for (int32_t i = 0; i < 4; i++) number[i] = (i != 2) + below(m, i == 1 ? 2 : 3);
    for (int32_t i = 0; i < 2; i++) {
        int64_t reach = number[1] * (number[0] - 1) + 1 - 2 * number[2];
        sizes[i] = (reach > 1 ? reach : 1) + below(m, 6);
        windows *= (sizes[i] - reach) / number[3] + 1;
    }
    if (chance(m, 85)) dims[rank++] = 1 + below(m, 3);
    dims[rank++] = (1 + below(m, 3)) * number[0] * number[0];
    dims[rank++] = windows;
    if (!add_operand(step, same_shape(m, dims, rank, palette_dtype(m)))) return false;
    add_list(step, sizes, 2);
    for (int32_t i = 0; i < 4; i++) add_list(step, &number[i], 1);
    return true;
}

static bool recipe_group_norm(Maker *m, FuzzStep *step) {
    int64_t dims[SN_MAX_RANK] = {1 + below(m, 3)};
    int64_t groups = 1 + below(m, 4), channels = groups * (1 + below(m, 4));
    int32_t rank = 2 + (int32_t)below(m, 3);
    sn_dtype dtype = float_dtype(m);
    dims[1] = channels;
    for (int32_t i = 2; i < rank; i++) dims[i] = 1 + below(m, 7);
    if (!add_operand(step, same_shape(m, dims, rank, dtype))) return false;
    if (step->op == OP_GROUP_NORM) add_word(step, groups);
    for (int32_t i = 0; i < 2; i++) {
        if (chance(m, 40))
            add_none(step);
        else if (!add_operand(step, new_input(m, dtype, FUZZ_SMALL, 0, 1, &channels)))
            return false;
    }
    add_real(step, named_real(m, ATTR_EPS));
    return true;
}

static bool recipe_local_norm(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_FLOAT, 3))) return false;
    add_word(step, 1 + below(m, 5));
    add_real(step, chance(m, 70) ? 1e-4 : named_real(m, ATTR_ALPHA));
    add_real(step, chance(m, 70) ? 0.75 : named_real(m, ATTR_BETA));
    add_real(step, chance(m, 70) ? 1 : 2);
    return true;
}

static bool recipe_batch_norm(Maker *m, FuzzStep *step) {
    if (!add_operand(step, pick(m, NEED_FLOAT, 2))) return false;
    const sn_tensor *x = value_of(m, step, 0);
    const int64_t channels = x->dims[1];
    for (int32_t i = 1; i < 5; i++) {
        if (i > 2 && chance(m, 40))
            add_none(step);
        else if (!add_operand(step, new_input(m, (sn_dtype)x->dtype, FUZZ_SMALL, 0, 1, &channels)))
            return false;
    }
    default_attrs(m, step, x->rank);
    return true;
}

static Recipe *const recipes[OP_COUNT] = {
    [OP_RESHAPE] = recipe_reshape,
    [OP_PERMUTE] = recipe_permute,
    [OP_EXPAND] = recipe_expand,
    [OP_UNSQUEEZE] = recipe_unsqueeze,
    [OP_SELECT] = recipe_select,
    [OP_NARROW] = recipe_narrow,
    [OP_DIAGONAL] = recipe_matrix_unary,
    [OP_CAT] = recipe_join,
    [OP_STACK] = recipe_join,
    [OP_PAD] = recipe_pad,
    [OP_GATHER] = recipe_gather,
    [OP_SCATTER_ADD] = recipe_gather,
    [OP_INDEX_SELECT] = recipe_index_select,
    [OP_INDEX_COPY] = recipe_index_select,
    [OP_EMBEDDING] = recipe_embedding,
    [OP_TRIL] = recipe_matrix_unary,
    [OP_TRIU] = recipe_matrix_unary,
    [OP_ARANGE] = recipe_arange,
    [OP_FULL] = recipe_full,
    [OP_ONE_HOT] = recipe_one_hot,
    [OP_MATMUL] = recipe_matmul,
    [OP_RAND] = recipe_full,
    [OP_RANDN] = recipe_full,
    [OP_DROPOUT] = recipe_dropout,
    [OP_LAYER_NORM] = recipe_norm,
    [OP_RMS_NORM] = recipe_norm,
    [OP_CROSS_ENTROPY] = recipe_cross_entropy,
    [OP_LINEAR] = recipe_linear,
    [OP_BILINEAR] = recipe_bilinear,
    [OP_ATTENTION] = recipe_attention,
    [OP_CONV1D] = recipe_conv,
    [OP_CONV2D] = recipe_conv,
    [OP_CONV3D] = recipe_conv,
    [OP_CONV_TRANSPOSE1D] = recipe_conv_transpose,
    [OP_CONV_TRANSPOSE2D] = recipe_conv_transpose,
    [OP_CONV_TRANSPOSE3D] = recipe_conv_transpose,
    [OP_MAX_POOL1D] = recipe_pool,
    [OP_MAX_POOL2D] = recipe_pool,
    [OP_MAX_POOL3D] = recipe_pool,
    [OP_AVG_POOL1D] = recipe_pool,
    [OP_AVG_POOL2D] = recipe_pool,
    [OP_AVG_POOL3D] = recipe_pool,
    [OP_MAX_POOL1D_INDICES] = recipe_pool,
    [OP_ADAPTIVE_AVG_POOL1D] = recipe_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL1D] = recipe_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL1D_INDICES] = recipe_adaptive_pool,
    [OP_MAX_POOL2D_INDICES] = recipe_pool,
    [OP_ADAPTIVE_AVG_POOL2D] = recipe_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL2D] = recipe_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL2D_INDICES] = recipe_adaptive_pool,
    [OP_MAX_POOL3D_INDICES] = recipe_pool,
    [OP_ADAPTIVE_AVG_POOL3D] = recipe_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL3D] = recipe_adaptive_pool,
    [OP_ADAPTIVE_MAX_POOL3D_INDICES] = recipe_adaptive_pool,
    [OP_UNFOLD] = recipe_unfold,
    [OP_FOLD] = recipe_fold,
    [OP_GROUP_NORM] = recipe_group_norm,
    [OP_INSTANCE_NORM] = recipe_group_norm,
    [OP_LOCAL_RESPONSE_NORM] = recipe_local_norm,
    [OP_BATCH_NORM] = recipe_batch_norm,
};

/* ---- writes ---------------------------------------------------------------------------------- */

static bool make_inplace(Maker *m, FuzzStep *step) {
    OpCode op;
    do op = (OpCode)below(m, m->program->ops);
    while (!op_has(op, F_INPLACE | F_PUBLIC));
    step->op = op;
    if (op_is(op, CLASS_UPDATE)) return recipes[op](m, step);
    int32_t n_params, target = pick(m, need_of(op), 0);
    const OpParam *params = op_params(op, &n_params);
    if (!add_operand(step, target)) return false;
    const sn_tensor *x = m->values[target];
    for (int32_t i = 1; i < n_params; i++) {
        if (params[i].kind != 't') continue;
        if (params[i].suffix == '?' && chance(m, 30))
            add_none(step);
        else if (chance(m, 30))
            add_scalar(m, step);
        else if (!add_operand(step, partner(m, x->dims, x->rank, true, need_of(op))))
            return false;
    }
    default_attrs(m, step, x->rank);
    return true;
}

static bool make_copy(Maker *m, FuzzStep *step) {
    int32_t target = pick(m, NEED_ANY, 0);
    if (!add_operand(step, target)) return false;
    const sn_tensor *x = m->values[target];
    if (chance(m, 10)) {
        add_scalar(m, step);
        return true;
    }
    return add_operand(step, partner(m, x->dims, x->rank, true, NEED_ANY));
}

/* ---- a program ------------------------------------------------------------------------------- */

static OpCode random_op(Maker *m) {
    static const struct {
        OpClass klass; /* ops of a class … */
        int percent;   /* … are chosen so often */
    } weights[] = {{CLASS_POINTWISE, 38}, {CLASS_REDUCE, 16}, {CLASS_SCAN, 2},
                   {CLASS_VIEW, 18},      {CLASS_INDEX, 6},   {CLASS_UPDATE, 3},
                   {CLASS_CONTRACT, 3},   {CLASS_RANDOM, 3},  {CLASS_COMPOSITE, 11}};
    int64_t at = below(m, 100);
    size_t row = 0;
    while (at >= weights[row].percent) at -= weights[row++].percent;
    OpCode op;
    do op = (OpCode)below(m, m->program->ops);
    while (!op_is(op, weights[row].klass) || !op_has(op, F_PUBLIC));
    return op;
}

static bool make_step(Maker *m, FuzzStep *step) {
    int64_t at = below(m, 100);
    *step = (FuzzStep){.kind = at < 10   ? FUZZ_INPLACE
                               : at < 18 ? FUZZ_COPY
                               : at < 20 ? FUZZ_FILL
                               : at < 28 ? FUZZ_INDEX_VIEW
                               : at < 31 ? FUZZ_SPLIT
                               : at < 33 ? FUZZ_CONTIGUOUS
                               : at < 34 ? FUZZ_CHOOSE
                                         : FUZZ_OP};
    switch (step->kind) {
    case FUZZ_INPLACE:
        return make_inplace(m, step);
    case FUZZ_COPY:
        return make_copy(m, step);
    case FUZZ_FILL:
        add_real(step, random_real(m));
        return add_operand(step, pick(m, NEED_ANY, 0));
    case FUZZ_INDEX_VIEW:
        return recipe_index(m, step);
    case FUZZ_SPLIT:
        return recipe_split(m, step);
    case FUZZ_CONTIGUOUS:
        return add_operand(step, pick(m, NEED_ANY, 0));
    case FUZZ_CHOOSE:
        return add_operand(step, pick(m, NEED_ANY, 0)) && add_operand(step, pick(m, NEED_ANY, 0)) &&
               add_operand(step, pick(m, NEED_ANY, 0));
    default:
        break;
    }
    step->op = random_op(m);
    if (recipes[step->op]) return recipes[step->op](m, step);
    return op_is(step->op, CLASS_POINTWISE) ? recipe_pointwise(m, step) : recipe_unary(m, step);
}

/* Tries a step; true when the program ends with it. */
static bool add_step(Maker *m) {
    FuzzProgram *p = m->program;
    FuzzProgram before = *p;
    FuzzStep *step = &p->steps[p->n_steps];
    int32_t value = FUZZ_MOST_INPUTS + p->n_steps;
    if (!make_step(m, step)) {
        sn_error_take(NULL);
        return false;
    }
    FuzzStep bound = fuzz_bound_step(p, p->n_steps, m->values);
    sn_tensor *result = fuzz_run_step(&bound, p->n_steps, m->values, &m->generator);
    bool refused = sn_error_take(NULL) != SN_OK;
    bool keeps = refused ? chance(m, 4) : result && sn_count(result) <= 4 * MOST_ELEMENTS;
    if (keeps) {
        m->values[value] = refused ? NULL : result;
        p->n_steps++;
        return refused;
    }
    if (!refused && fuzz_writes(step)) return false; /* inputs stay */
    for (int32_t i = before.n_inputs; i < p->n_inputs; i++) m->values[i] = NULL;
    for (int32_t i = before.n_blocks; i < p->n_blocks; i++) m->blocks[i] = NULL;
    *p = before;
    return false;
}

static void choose_outputs(Maker *m) {
    FuzzProgram *p = m->program;
    int32_t wanted = chance(m, 3) ? 0 : 1 + (int32_t)below(m, 4);
    int32_t last = FUZZ_MOST_INPUTS + p->n_steps - 1;
    if (wanted && p->n_steps && last >= FUZZ_MOST_INPUTS) p->outputs[p->n_outputs++] = last;
    while (p->n_outputs < wanted) {
        int32_t value = chance(m, 12) ? (int32_t)below(m, p->n_inputs)
                                      : FUZZ_MOST_INPUTS + (int32_t)below(m, p->n_steps);
        if (p->n_steps == 0) value = 0;
        p->outputs[p->n_outputs++] = value;
    }
}

void fuzz_make(uint64_t seed, FuzzProgram *program) {
    uint64_t number = fuzz_seed_number(seed);
    Maker maker = {.program = program, .random = {number}, .generator = {number, 0}};
    Maker *m = &maker;
    *program = (FuzzProgram){.seed = number, .ops = fuzz_seed_ops(seed), .counter = 5};
    sn_scope scope = sn_scope_begin();
    for (int32_t i = 0; i < PALETTE; i++) m->palette[i] = random_dtype(m);
    do { /* once more where the elements are too many */
        m->rank = random_rank(m);
        random_dims(m, m->rank, m->dims);
    } while (theme_input(m, m->palette[0]) < 0);
    int32_t wanted = 2 + (int32_t)below(m, 10);
    bool ended = false;
    for (int32_t i = 0; i < wanted * MOST_TRIES && program->n_steps < wanted && !ended; i++)
        ended = add_step(m);
    choose_outputs(m);
    if (chance(m, 10)) program->passing = FUZZ_ARRAY;
    sn_error_take(NULL);
    sn_scope_end(scope, NULL);
}
