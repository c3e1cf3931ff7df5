/* Programs of the fuzzer: their memory, how they run, how they print. See fuzz_program.h. */
#include "tests/fuzz_program.h"

#include "frontend/op/dispatch.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LOOPS = 6 };

/* ---- random numbers -------------------------------------------------------------------------- */

uint64_t fuzz_next(FuzzRandom *random) {
    uint64_t x = random->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

int64_t fuzz_below(FuzzRandom *random, int64_t bound) {
    uint64_t next = fuzz_next(random);
    return bound < 2 ? 0 : (int64_t)(next % (uint64_t)bound);
}

bool fuzz_chance(FuzzRandom *random, int percent) {
    return fuzz_below(random, 100) < percent;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static double special_real(FuzzRandom *random) {
    static const double values[] = {
        0.0,   -0.0,  1.0,   -1.0,   0.5,    -0.5,   2.0,          -3.0,    1e-40,   -1e-40,
        1e-46, 6e-8,  -6e-8, 5e-324, 1e-300, 65504., -65520.0,     3.3e38,  -3.4e38, 1.7e308,
        1e30,  -1e30, 88.8,  -104.0, 0.1,    -0.1,   2147483648.0, -9.3e18, 9.3e18,  255.5,
    };
    int64_t at = fuzz_below(random, 64);
    if (at < 30) return values[at];
    if (at < 33) return NAN;
    if (at < 36) return INFINITY;
    if (at < 39) return -INFINITY;
    double unit = (double)(fuzz_next(random) >> 11) * 0x1p-53;
    if (at < 52) return (unit - 0.5) * 8;
    return ldexp(unit - 0.5, (int)fuzz_below(random, 280) - 140);
}

/* A NaN of either sign, quiet or signalling, with some payload. */
static uint64_t special_nan(sn_dtype dtype, int64_t i) {
    int digits = dtype == SN_F64 ? 52 : dtype == SN_F32 ? 23 : dtype == SN_F16 ? 10 : 7;
    uint64_t width = 8 * sn_dtype_size(dtype), fraction = (UINT64_C(1) << digits) - 1;
    uint64_t exponent = (UINT64_C(1) << (width - 1)) - 1 - fraction;
    const uint64_t payloads[] = {fraction / 2 + 1, fraction, 1, fraction / 2 + 2};
    return exponent | payloads[i / 2 % 4] | (uint64_t)(i % 2) << (width - 1);
}

static int64_t special_integer(FuzzRandom *random) {
    static const int64_t values[] = {0,         1,         -1,        2,         -2,   3,   7,
                                     INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, -128, 127, 255,
                                     -32768,    32767,     64,        31,        8,    100};
    int64_t at = fuzz_below(random, 40);
    if (at < 20) return values[at];
    if (at < 34) return fuzz_below(random, 21) - 10;
    return (int64_t)(fuzz_next(random) >> fuzz_below(random, 60));
}

static uint64_t element_bits(const FuzzBlock *block, int64_t i, FuzzRandom *random) {
    bool real = dtype_is_float(block->dtype);
    double unit = (double)(fuzz_next(random) >> 11) * 0x1p-53;
    switch (block->fill) {
    case FUZZ_SMALL:
        if (real) return dtype_bits_from_double(block->dtype, (unit - 0.5) * 6);
        return dtype_bits_from_int(block->dtype, fuzz_below(random, 13) - 6);
    case FUZZ_POSITIVE:
        if (real) return dtype_bits_from_double(block->dtype, unit * 4 + 0.01);
        return dtype_bits_from_int(block->dtype, 1 + fuzz_below(random, 9));
    case FUZZ_BAD_INDEX:
        if (i == block->count / 2)
            return dtype_bits_from_int(block->dtype, unit < 0.5 ? block->bound : -1);
        return dtype_bits_from_int(block->dtype, fuzz_below(random, block->bound));
    case FUZZ_INDEX:
        return dtype_bits_from_int(block->dtype, fuzz_below(random, block->bound));
    default:
        break;
    }
    if (block->dtype == SN_BOOL) return (uint64_t)fuzz_chance(random, 50);
    if (real) {
        double value = special_real(random);
        return isnan(value) ? special_nan(block->dtype, i)
                            : dtype_bits_from_double(block->dtype, value);
    }
    return dtype_bits_from_int(block->dtype, special_integer(random));
}

void *fuzz_block_data(const FuzzBlock *block, int64_t shift) {
    size_t size = sn_dtype_size(block->dtype);
    char *data = malloc((size_t)(block->count + shift) * size + 1);
    if (!data) return NULL;
    memset(data, 0, (size_t)shift * size);
    FuzzRandom random = {block->seed};
    for (int64_t i = 0; i < block->count; i++)
        dtype_store(block->dtype, data + (size_t)(i + shift) * size,
                    element_bits(block, i, &random));
    return data;
}

static sn_tensor *make_block(const FuzzBlock *block, int64_t shift) {
    void *data = fuzz_block_data(block, shift);
    if (!data) return NULL;
    int64_t count = block->count + shift;
    sn_tensor *tensor =
        sn_from_copy(data, (size_t)count * sn_dtype_size(block->dtype), &count, 1, block->dtype);
    free(data);
    return tensor;
}

bool fuzz_same_input(const FuzzInput *a, const FuzzInput *b) {
    size_t bytes = sizeof(int64_t) * (size_t)a->rank;
    return a->block == b->block && a->offset == b->offset && a->rank == b->rank &&
           memcmp(a->dims, b->dims, bytes) == 0 && memcmp(a->strides, b->strides, bytes) == 0;
}

void fuzz_order_axes(const FuzzInput *input, int32_t *order) {
    for (int32_t i = 0; i < input->rank; i++) {
        int32_t axis = input->rank - 1 - i, at = i;
        for (; at > 0 && llabs(input->strides[order[at - 1]]) > llabs(input->strides[axis]); at--)
            order[at] = order[at - 1];
        order[at] = axis;
    }
}

/* The handle of an earlier input that is the same, if such are one in this program. */
static sn_tensor *same_handle(const FuzzProgram *program, int32_t number,
                              sn_tensor *const *inputs) {
    for (int32_t i = 0; program->seed % 2 && i < number; i++)
        if (fuzz_same_input(&program->inputs[i], &program->inputs[number]) && inputs[i] != SN_NONE)
            return inputs[i];
    return NULL;
}

bool fuzz_make_inputs(const FuzzProgram *program, int64_t shift, sn_tensor **blocks,
                      sn_tensor **inputs) {
    for (int32_t i = 0; i < program->n_blocks; i++) {
        blocks[i] = make_block(&program->blocks[i], shift);
        if (!blocks[i]) return false;
    }
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const FuzzInput *input = &program->inputs[i];
        inputs[i] = input->absent ? SN_NONE : same_handle(program, i, inputs);
        if (inputs[i]) continue;
        sn_tensor *block = blocks[input->block];
        TensorType type = {.dtype = block->dtype, .rank = (uint8_t)input->rank};
        memcpy(type.dims, input->dims, sizeof type.dims);
        inputs[i] = tensor_real(storage_retain(block->storage), &type, input->strides,
                                input->offset + shift, (Site){0});
        if (!inputs[i]) return false;
    }
    return true;
}

int32_t fuzz_add_input(FuzzProgram *p, FuzzBlock block, int32_t rank, const int64_t *dims) {
    if (p->n_inputs == FUZZ_MOST_INPUTS) return -1;
    FuzzInput input = {.block = p->n_blocks, .rank = rank};
    memcpy(input.dims, dims, sizeof(int64_t) * (size_t)rank);
    dense_strides(input.dims, rank, input.strides);
    block.count = sizes_count(dims, rank);
    p->blocks[p->n_blocks++] = block;
    p->inputs[p->n_inputs] = input;
    return p->n_inputs++;
}

/* ---- running --------------------------------------------------------------------------------- */

/* Saturates, where a C cast would be undefined. */
static int64_t whole(double value) {
    return (int64_t)dtype_bits_cast(SN_I64, SN_F64, dtype_bits_from_double(SN_F64, value));
}

static sn_tensor *operand(const FuzzOperand *operand, sn_tensor *const *values) {
    switch (operand->value) {
    case FUZZ_NULL:
    case FUZZ_RELEASED: /* see run_step: it is the last to be made */
        return NULL;
    case FUZZ_NONE:
        return SN_NONE;
    case FUZZ_REAL:
        return sn_c(operand->real);
    case FUZZ_INTEGER:
        return sn_ci(whole(operand->real));
    default:
        return values[operand->value];
    }
}

sn_tensor *fuzz_released(void) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *tensor = sn_c(0);
    sn_scope_end(scope, NULL);
    return tensor;
}

/* Words that stand for a list when it is too long. */
static const int64_t long_list[4 * ATTR_MOST];

/* A list of attributes, items or sizes as its caller gives it; returns the count. */
static int32_t faulty_list(FuzzFault fault, const int64_t **list, int32_t count) {
    if (fault == FUZZ_LIST_NULL) *list = NULL;
    if (fault == FUZZ_LIST_LONG) *list = long_list;
    return fault == FUZZ_LIST_NULL && !count ? 2
           : fault == FUZZ_LIST_NEGATIVE     ? -1 - count
           : fault == FUZZ_LIST_LONG         ? ATTR_MOST
                                             : count;
}

int32_t fuzz_attrs(const FuzzStep *step, FuzzAttr *attrs) {
    int32_t count = 0;
    if (step->kind != FUZZ_OP && step->kind != FUZZ_INPLACE) return 0;
    for (AttrWalk at = attr_walk(fuzz_view(step)); attr_next(&at) && at.count;)
        attrs[count++] = (FuzzAttr){at.param, at.first};
    return count;
}

/* The attribute list as the op's function makes it of its arguments. */
static void step_attrs(const FuzzStep *step, AttrList *list) {
    FuzzAttr attrs[OP_MOST_PARAMS];
    int32_t n = fuzz_attrs(step, attrs);
    list->count = 0;
    for (int32_t i = 0; i < n; i++) {
        const int64_t *words = step->words + attrs[i].at, *entries = words + 1;
        if (attrs[i].param->kind == 'L') {
            int32_t count = faulty_list(step->fault, &entries, (int32_t)words[0]);
            attr_add_list(list, entries, count);
        } else {
            attr_add_int(list, words[0]);
        }
    }
}

static sn_tensor *run_index(const FuzzStep *step, sn_tensor *x, Site site) {
    sn_index_item items[ATTR_MOST];
    const int64_t *words = step->words;
    int32_t count = faulty_list(step->fault, &words, step->n_words / 4);
    for (int32_t i = 0; words && i < count; i++)
        items[i] = (sn_index_item){(sn_index_kind)words[4 * i], words[4 * i + 1], words[4 * i + 2],
                                   words[4 * i + 3]};
    return sn_index_at(x, words ? items : NULL, count, site.file, site.line);
}

/* The sizes with FUZZ_REST replaced. */
static void fill_rest(const sn_tensor *x, int64_t axis, int64_t *sizes, int32_t count) {
    uint64_t rest = axis < sn_rank(x) ? (uint64_t)sn_size(x, (int32_t)axis) : 0; /* may wrap */
    int32_t open = -1;
    for (int32_t i = 0; i < count; i++) {
        if (sizes[i] == FUZZ_REST)
            open = i;
        else
            rest -= (uint64_t)sizes[i];
    }
    if (open >= 0) sizes[open] = (int64_t)rest;
}

static sn_tensor *run_split(const FuzzStep *step, sn_tensor *x, Site site) {
    sn_tensor *parts[ATTR_MOST];
    int64_t own[FUZZ_MOST_WORDS];
    const int64_t *sizes = own;
    int32_t count = step->n_words - 2;
    memcpy(own, step->words + 2, sizeof(int64_t) * (size_t)count);
    if (x && x->kind != TENSOR_NONE && step->words[0] >= 0)
        fill_rest(x, step->words[0], own, count);
    count = faulty_list(step->fault, &sizes, count);
    bool ok = sn_split_at(x, sizes, count, step->words[0], parts, site.file, site.line);
    return ok && step->words[1] < count ? parts[step->words[1]] : NULL;
}

/* The first element, read on the host: inside a compiled function, what was recorded so far runs
 * here. 0 where there is none. */
static double first_element(sn_tensor *x, Site site) {
    int64_t count = x ? sn_count(x) : 0;
    size_t bytes = sizeof(double) * (size_t)count;
    double *data = malloc(bytes + 1);
    bool ok = data && sn_read_at(x, SN_F64, data, bytes, site.file, site.line);
    double first = ok && count ? data[0] : 0;
    free(data);
    return first;
}

static sn_tensor *run_choose(sn_tensor *const *operands, Site site) {
    double first = first_element(operands[0], site);
    if (sn_error_status() != SN_OK) return NULL;
    return first > 0 ? operands[1] : operands[2];
}

/* A loop whose length is a size: as many ops as that. */
static sn_tensor *run_loop(sn_tensor *x, Site site) {
    int64_t size = x ? sn_size(x, 0) : 0;
    sn_tensor *sum = x;
    for (int64_t i = 0; i < size && i < MOST_LOOPS; i++) {
        sn_tensor *part = sn_select_at(x, 0, i, site.file, site.line);
        sum = i ? sn_add_at(sum, part, site.file, site.line) : part;
    }
    return sum;
}

/* ---- numbers --------------------------------------------------------------------------------- */

bool fuzz_is_real(const FuzzScalar *scalar) {
    return scalar->letter == 'd' || scalar->letter == 'f' || scalar->letter == 'w';
}

int64_t fuzz_number(const FuzzProgram *program, const FuzzNumber *number,
                    sn_tensor *const *values) {
    bool scalar = number->source == FUZZ_FROM_SCALAR || number->source == FUZZ_FROM_REAL;
    sn_tensor *x = scalar ? NULL : values[number->value];
    int64_t from = 0;
    switch (number->source) {
    case FUZZ_FROM_SIZE:
        from = sn_size(x, number->axis);
        break;
    case FUZZ_FROM_AREA:
        from = sn_size(x, number->axis) * sn_size(x, number->axis + 1);
        break;
    case FUZZ_FROM_COUNT:
        from = sn_count(x);
        break;
    case FUZZ_FROM_REAL: /* see fuzz_bound_step */
    case FUZZ_FROM_SCALAR:
        from = whole(program->scalars[number->value].value);
        break;
    case FUZZ_FROM_ITEM:
        from = whole(first_element(x, site_at("number", 1)));
        break;
    case FUZZ_FROM_PRESENT:
        from = x != SN_NONE;
        break;
    }
    uint64_t product = (uint64_t)from * (uint64_t)number->times; /* may wrap */
    return (int64_t)((uint64_t)((int64_t)product / number->by) + (uint64_t)number->plus);
}

FuzzStep fuzz_bound_step(const FuzzProgram *program, int32_t number, sn_tensor *const *values) {
    FuzzStep step = program->steps[number];
    for (int32_t i = 0; i < step.n_operands; i++) {
        FuzzOperand *operand = &step.operands[i];
        if (operand->value != FUZZ_SCALAR) continue;
        const FuzzScalar *scalar = &program->scalars[(int32_t)operand->real];
        *operand = (FuzzOperand){fuzz_is_real(scalar) ? FUZZ_REAL : FUZZ_INTEGER, scalar->value};
    }
    if (step.asks && fuzz_number(program, &step.when, values) <= step.above) step.kind = FUZZ_PASS;
    for (int32_t i = 0; i < step.n_follows && step.kind != FUZZ_PASS; i++) {
        const FuzzFollow *follow = &step.follows[i];
        bool scalar = follow->number.source == FUZZ_FROM_REAL;
        int64_t word = scalar ? 0 : fuzz_number(program, &follow->number, values);
        double real = scalar ? program->scalars[follow->number.value].value : (double)word;
        if (follow->real) memcpy(&word, &real, sizeof word);
        step.words[follow->word] = word;
    }
    return step;
}

/* ---- steps ----------------------------------------------------------------------------------- */

bool fuzz_writes(const FuzzStep *step) {
    return step->kind == FUZZ_INPLACE || step->kind == FUZZ_COPY || step->kind == FUZZ_FILL;
}

bool fuzz_is_view(const FuzzStep *step) {
    return step->kind == FUZZ_INDEX_VIEW || step->kind == FUZZ_SPLIT ||
           (step->kind == FUZZ_OP && op_is(step->op, CLASS_VIEW));
}

bool fuzz_draws(const FuzzStep *step) {
    return step->kind == FUZZ_OP && op_is(step->op, CLASS_RANDOM);
}

sn_tensor *fuzz_run_step(const FuzzStep *step, int32_t number, sn_tensor *const *values,
                         sn_rng *generator) {
    sn_tensor *operands[FUZZ_MOST_OPERANDS];
    Site site = site_at("step", number + 1);
    AttrList attrs;
    double value;
    step_attrs(step, &attrs);
    for (int32_t i = 0; i < step->n_operands; i++)
        operands[i] = operand(&step->operands[i], values);
    for (int32_t i = 0; i < step->n_operands; i++)
        if (step->operands[i].value == FUZZ_RELEASED) operands[i] = fuzz_released();
    sn_rng *own = fuzz_draws(step) && step->fault != FUZZ_NO_GENERATOR ? generator : NULL;
    switch (step->kind) {
    case FUZZ_INPLACE:
        return dispatch_inplace(step->op, operands, step->n_operands, &attrs, own, site);
    case FUZZ_COPY:
        return sn_copy_at_(operands[0], operands[1], site.file, site.line);
    case FUZZ_FILL:
        memcpy(&value, step->words, sizeof value);
        return sn_fill_at_(operands[0], value, site.file, site.line);
    case FUZZ_INDEX_VIEW:
        return run_index(step, operands[0], site);
    case FUZZ_SPLIT:
        return run_split(step, operands[0], site);
    case FUZZ_CONTIGUOUS:
        return sn_contiguous_at(operands[0], site.file, site.line);
    case FUZZ_CHOOSE:
        return run_choose(operands, site);
    case FUZZ_LOOP:
        return run_loop(operands[0], site);
    case FUZZ_EXCHANGE:
    case FUZZ_PASS:
        return operands[0];
    default:
        return dispatch_op(step->op, operands, step->n_operands, &attrs, own, site);
    }
}

FuzzProgram fuzz_cut(const FuzzProgram *program, int32_t n_steps) {
    FuzzProgram cut = *program;
    cut.n_steps = n_steps;
    int32_t last = n_steps ? FUZZ_MOST_INPUTS + n_steps - 1 : 0;
    for (int32_t i = 0; i < cut.n_outputs; i++)
        if (cut.outputs[i] >= FUZZ_MOST_INPUTS + n_steps) cut.outputs[i] = last;
    return cut;
}

void fuzz_rename(FuzzProgram *program, FuzzRename *change, void *context) {
    for (int32_t i = 0; i < program->n_steps; i++) {
        FuzzStep *step = &program->steps[i];
        for (int32_t j = 0; j < step->n_operands; j++) change(&step->operands[j].value, context);
        for (int32_t j = 0; j < step->n_follows; j++)
            if (step->follows[j].number.source != FUZZ_FROM_SCALAR &&
                step->follows[j].number.source != FUZZ_FROM_REAL)
                change(&step->follows[j].number.value, context);
        if (step->asks && step->when.source != FUZZ_FROM_SCALAR) change(&step->when.value, context);
    }
    for (int32_t i = 0; i < program->n_outputs; i++) change(&program->outputs[i], context);
}

/* A value that is looked for. */
typedef struct Search {
    int32_t value; /* which */
    bool found;    /* it is named */
} Search;

static void compare_name(int32_t *value, void *context) {
    Search *search = context;
    search->found = search->found || *value == search->value;
}

bool fuzz_uses(const FuzzProgram *program, int32_t value) {
    FuzzProgram copy = *program;
    Search search = {.value = value};
    fuzz_rename(&copy, compare_name, &search);
    return search.found;
}
