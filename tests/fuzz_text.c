/* Programs of the fuzzer as text for people; see fuzz_text.h. */
#include "tests/fuzz_text.h"

#include <string.h>

void fuzz_step_name(const FuzzStep *step, char *text, size_t size) {
    static const char *const names[FUZZ_KIND_COUNT] = {
        [FUZZ_COPY] = "copy_",
        [FUZZ_FILL] = "fill_",
        [FUZZ_INDEX_VIEW] = "index",
        [FUZZ_SPLIT] = "split",
        [FUZZ_CONTIGUOUS] = "contiguous",
        [FUZZ_CHOOSE] = "choose",
        [FUZZ_LOOP] = "loop over parts",
        [FUZZ_EXCHANGE] = "exchange with the last call's",
        [FUZZ_PASS] = "pass",
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

static void print_number(const FuzzNumber *number, FILE *out) {
    static const char *const sources[] = {
        [FUZZ_FROM_SIZE] = "size(%",      [FUZZ_FROM_AREA] = "area(%",
        [FUZZ_FROM_COUNT] = "count(%",    [FUZZ_FROM_SCALAR] = "(s",
        [FUZZ_FROM_REAL] = "(s",          [FUZZ_FROM_ITEM] = "item(%",
        [FUZZ_FROM_PRESENT] = "present(%"};
    fprintf(out, "%s%d", sources[number->source], (int)number->value);
    if (number->source <= FUZZ_FROM_AREA) fprintf(out, ", %d", (int)number->axis);
    fprintf(out, ")");
    if (number->times != 1) fprintf(out, " * %lld", (long long)number->times);
    if (number->by != 1) fprintf(out, " / %lld", (long long)number->by);
    if (number->plus) fprintf(out, " + %lld", (long long)number->plus);
}

/* What the step computes on the host. */
static void print_host(const FuzzStep *step, FILE *out) {
    for (int32_t i = 0; i < step->n_follows; i++) {
        fprintf(out, "; word %d = ", (int)step->follows[i].word);
        print_number(&step->follows[i].number, out);
    }
    if (step->tries) fprintf(out, "; or, if refused, operand 0");
    if (!step->asks) return;
    fprintf(out, "; if ");
    print_number(&step->when, out);
    fprintf(out, " > %lld", (long long)step->above);
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
    print_host(step, out);
    static const char *const faults[FUZZ_FAULT_COUNT] = {
        "", ", the list is NULL", ", the list's count is negative", ", the list is too long",
        ", the generator is NULL"};
    fprintf(out, "%s%s\n", faults[step->fault], step->inlined ? "  (inlined)" : "");
}

static void print_input(const FuzzProgram *program, int32_t number, FILE *out) {
    static const char *const fills[FUZZ_FILL_COUNT] = {"special", "small", "positive", "index",
                                                       "bad index"};
    static const char *const places[FUZZ_PLACE_COUNT] = {"", "optional ", "captured "};
    const FuzzInput *input = &program->inputs[number];
    const FuzzBlock *block = &program->blocks[input->block];
    fprintf(out, "  %%%d = %sinput ", (int)number, places[input->place]);
    if (input->absent) {
        fprintf(out, "absent\n");
        return;
    }
    fprintf(out, "%s", sn_dtype_name(block->dtype));
    print_list(input->dims, input->rank, out);
    fprintf(out, " strides ");
    print_list(input->strides, input->rank, out);
    fprintf(out, " at %lld of block %d (%lld elements, %s", (long long)input->offset,
            (int)input->block, (long long)block->count, fills[block->fill]);
    if (block->fill >= FUZZ_INDEX) fprintf(out, " below %lld", (long long)block->bound);
    fprintf(out, ", seed %llu)\n", (unsigned long long)block->seed);
}

void fuzz_print_arguments(const FuzzProgram *program, FILE *out) {
    static const char *const passings[FUZZ_PASSING_COUNT] = {
        "", "  (tensors in one array)\n", "  (tensors and scalars in one struct)\n"};
    for (int32_t i = 0; i < program->n_inputs; i++) print_input(program, i, out);
    for (int32_t i = 0; i < program->n_scalars; i++)
        fprintf(out, "  s%d = %c %.17g\n", (int)i, program->scalars[i].letter,
                program->scalars[i].value);
    fputs(passings[program->passing], out);
}

void fuzz_print_steps(const FuzzProgram *program, FILE *out) {
    for (int32_t i = 0; i < program->n_steps; i++) print_step(&program->steps[i], i, out);
    fprintf(out, "  return");
    for (int32_t i = 0; i < program->n_outputs; i++)
        fprintf(out, "%s%%%d", i ? ", " : " ", (int)program->outputs[i]);
    fputc('\n', out);
}

void fuzz_print(const FuzzProgram *program, FILE *out) {
    fprintf(out, "program of seed %d:%llu:\n", (int)program->ops,
            (unsigned long long)program->seed);
    fuzz_print_arguments(program, out);
    fuzz_print_steps(program, out);
}
