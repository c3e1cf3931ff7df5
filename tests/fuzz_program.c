/* Programs of the fuzzer: their memory, how they run, how they print. See fuzz_program.h. */
#include "tests/fuzz_program.h"

#include "frontend/dispatch.h"
#include "ir/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers ------------------------------------------------------------------------- */

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

/* ---- memory --------------------------------------------------------------------------------- */

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
    if (real) return dtype_bits_from_double(block->dtype, special_real(random));
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

bool fuzz_make_inputs(const FuzzProgram *program, int64_t shift, sn_tensor **blocks,
                      sn_tensor **inputs) {
    for (int32_t i = 0; i < program->n_blocks; i++) {
        blocks[i] = make_block(&program->blocks[i], shift);
        if (!blocks[i]) return false;
    }
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const FuzzInput *input = &program->inputs[i];
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

/* ---- running -------------------------------------------------------------------------------- */

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
        return sn_ci((int64_t)operand->real);
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
    int32_t n_params, at = 0, count = 0;
    if (step->kind != FUZZ_OP && step->kind != FUZZ_INPLACE) return 0;
    const OpParam *params = op_params(step->op, &n_params);
    for (int32_t i = 0; i < n_params && at < step->n_words; i++) {
        if (params[i].kind == 't' || params[i].kind == 'r') continue;
        attrs[count++] = (FuzzAttr){&params[i], at};
        at += params[i].kind == 'L' ? (int32_t)step->words[at] + 1 : 1;
    }
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
            attr_list(list, entries, count);
        } else {
            attr_int(list, words[0]);
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

static sn_tensor *run_split(const FuzzStep *step, sn_tensor *x, Site site) {
    sn_tensor *parts[ATTR_MOST];
    const int64_t *sizes = step->words + 2;
    int32_t count = faulty_list(step->fault, &sizes, step->n_words - 2);
    bool ok = sn_split_at(x, sizes, count, step->words[0], parts, site.file, site.line);
    return ok && step->words[1] < count ? parts[step->words[1]] : NULL;
}

/* Reads on the host: inside a compiled function, what was recorded so far runs here. */
static sn_tensor *run_choose(sn_tensor *const *operands, Site site) {
    int64_t count = operands[0] ? sn_count(operands[0]) : 0;
    size_t bytes = sizeof(double) * (size_t)count;
    double *data = malloc(bytes + 1);
    bool ok = data && sn_read_at(operands[0], SN_F64, data, bytes, site.file, site.line);
    sn_tensor *chosen = !ok ? NULL : count && data[0] > 0 ? operands[1] : operands[2];
    free(data);
    return chosen;
}

FuzzStep fuzz_bound_step(const FuzzProgram *program, int32_t number) {
    FuzzStep step = program->steps[number];
    for (int32_t i = 0; i < step.n_operands; i++) {
        FuzzOperand *operand = &step.operands[i];
        if (operand->value != FUZZ_SCALAR) continue;
        const FuzzScalar *scalar = &program->scalars[(int32_t)operand->real];
        *operand = (FuzzOperand){scalar->real ? FUZZ_REAL : FUZZ_INTEGER, scalar->value};
    }
    return step;
}

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
    Site site = {"step", number + 1};
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

void fuzz_signature(const FuzzProgram *program, char *text) {
    for (int32_t i = 0; i < (program->as_array ? 1 : program->n_inputs); i++) *text++ = 't';
    if (program->as_array) *text++ = '*';
    for (int32_t i = 0; i < program->n_scalars; i++) *text++ = program->scalars[i].real ? 'd' : 'l';
    *text++ = 'l';
    *text++ = 'r';
    *text++ = ':';
    for (int32_t i = 0; i < program->n_outputs; i++) *text++ = 't';
    *text = 0;
}

bool fuzz_uses(const FuzzProgram *program, int32_t value) {
    for (int32_t i = 0; i < program->n_steps; i++)
        for (int32_t j = 0; j < program->steps[i].n_operands; j++)
            if (program->steps[i].operands[j].value == value) return true;
    for (int32_t i = 0; i < program->n_outputs; i++)
        if (program->outputs[i] == value) return true;
    return false;
}

/* ---- text ----------------------------------------------------------------------------------- */

void fuzz_step_name(const FuzzStep *step, char *text, size_t size) {
    static const char *const names[FUZZ_KIND_COUNT] = {
        [FUZZ_COPY] = "copy_",
        [FUZZ_FILL] = "fill_",
        [FUZZ_INDEX_VIEW] = "index",
        [FUZZ_SPLIT] = "split",
        [FUZZ_CONTIGUOUS] = "contiguous",
        [FUZZ_CHOOSE] = "choose",
    };
    if (names[step->kind])
        snprintf(text, size, "%s", names[step->kind]);
    else
        snprintf(text, size, "%s%s", op_info[step->op].name, step->kind == FUZZ_INPLACE ? "_" : "");
}

static void print_list(const int64_t *values, int64_t count, FILE *out) {
    fputc('[', out);
    for (int64_t i = 0; i < count; i++) fprintf(out, "%s%lld", i ? "," : "", (long long)values[i]);
    fputc(']', out);
}

/* Attributes by the names of the op's signature. */
static void print_attrs(const FuzzStep *step, FILE *out) {
    FuzzAttr attrs[OP_MOST_PARAMS];
    int32_t n = fuzz_attrs(step, attrs);
    for (int32_t i = 0; i < n; i++) {
        const OpParam *param = attrs[i].param;
        const int64_t *word = &step->words[attrs[i].at];
        double real;
        memcpy(&real, word, sizeof real);
        fprintf(out, ", %s=", param->name);
        if (param->kind == 'L')
            print_list(word + 1, *word, out);
        else if (param->kind == 'd')
            fprintf(out, "%.17g", real);
        else if (param->kind == 'y')
            fprintf(out, "%s", sn_dtype_name((sn_dtype)*word));
        else
            fprintf(out, "%lld", (long long)*word);
    }
}

static void print_operand(const FuzzOperand *x, FILE *out) {
    switch (x->value) {
    case FUZZ_NONE:
        fprintf(out, "none");
        return;
    case FUZZ_REAL:
        fprintf(out, "c(%.17g)", x->real);
        return;
    case FUZZ_INTEGER:
        fprintf(out, "ci(%.17g)", x->real);
        return;
    case FUZZ_SCALAR:
        fprintf(out, "s%d", (int)x->real);
        return;
    case FUZZ_NULL:
        fprintf(out, "NULL");
        return;
    case FUZZ_RELEASED:
        fprintf(out, "released");
        return;
    default:
        fprintf(out, "%%%d", (int)x->value);
    }
}

static void print_step(const FuzzStep *step, int32_t number, FILE *out) {
    char name[48];
    fuzz_step_name(step, name, sizeof name);
    fprintf(out, "  %%%d = %s", FUZZ_MOST_INPUTS + number, name);
    for (int32_t i = 0; i < step->n_operands; i++) {
        fprintf(out, "%s", i ? ", " : " ");
        print_operand(&step->operands[i], out);
    }
    double real;
    memcpy(&real, step->words, sizeof real);
    if (step->kind == FUZZ_FILL) {
        fprintf(out, ", %.17g", real);
    } else if (step->kind == FUZZ_OP || step->kind == FUZZ_INPLACE) {
        print_attrs(step, out);
    } else if (step->n_words) {
        fprintf(out, ", ");
        print_list(step->words, step->n_words, out);
    }
    static const char *const faults[FUZZ_FAULT_COUNT] = {
        "", ", the list is NULL", ", the list's count is negative", ", the list is too long",
        ", the generator is NULL"};
    fprintf(out, "%s%s\n", faults[step->fault], step->inlined ? "  (inlined)" : "");
}

void fuzz_print(const FuzzProgram *program, FILE *out) {
    static const char *const fills[FUZZ_FILL_COUNT] = {"special", "small", "positive", "index",
                                                       "bad index"};
    fprintf(out, "program of seed %llu:\n", (unsigned long long)program->seed);
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const FuzzInput *input = &program->inputs[i];
        const FuzzBlock *block = &program->blocks[input->block];
        fprintf(out, "  %%%d = input %s", (int)i, sn_dtype_name(block->dtype));
        print_list(input->dims, input->rank, out);
        fprintf(out, " strides ");
        print_list(input->strides, input->rank, out);
        fprintf(out, " at %lld of block %d (%lld elements, %s", (long long)input->offset,
                (int)input->block, (long long)block->count, fills[block->fill]);
        if (block->fill >= FUZZ_INDEX) fprintf(out, " below %lld", (long long)block->bound);
        fprintf(out, ", seed %llu)\n", (unsigned long long)block->seed);
    }
    for (int32_t i = 0; i < program->n_scalars; i++)
        fprintf(out, "  s%d = %s %.17g\n", (int)i, program->scalars[i].real ? "d" : "l",
                program->scalars[i].value);
    if (program->as_array) fprintf(out, "  (tensors in one array)\n");
    for (int32_t i = 0; i < program->n_steps; i++) print_step(&program->steps[i], i, out);
    fprintf(out, "  return");
    for (int32_t i = 0; i < program->n_outputs; i++)
        fprintf(out, "%s%%%d", i ? ", " : " ", (int)program->outputs[i]);
    fputc('\n', out);
}
