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
    int32_t n_params, at = 0;
    const OpParam *params = op_params(step->op, &n_params);
    for (int32_t i = 0; i < n_params && at < step->n_words; i++) {
        if (params[i].kind == 't' || params[i].kind == 'r') continue;
        fprintf(out, ", %s=", params[i].name);
        if (params[i].kind == 'L') {
            print_list(step->words + at + 1, step->words[at], out);
            at += (int32_t)step->words[at] + 1;
            continue;
        }
        double real;
        memcpy(&real, &step->words[at], sizeof real);
        if (params[i].kind == 'd')
            fprintf(out, "%.17g", real);
        else if (params[i].kind == 'y')
            fprintf(out, "%s", sn_dtype_name((sn_dtype)step->words[at]));
        else
            fprintf(out, "%lld", (long long)step->words[at]);
        at++;
    }
}

static void print_number(const FuzzNumber *number, FILE *out) {
    static const char *const sources[] = {"size(%", "area(%", "count(%",
                                          "(s",     "item(%", "present(%"};
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
        const FuzzOperand *x = &step->operands[i];
        fprintf(out, "%s", i ? ", " : " ");
        if (x->value == FUZZ_NONE)
            fprintf(out, "none");
        else if (x->value == FUZZ_REAL)
            fprintf(out, "c(%.17g)", x->real);
        else if (x->value == FUZZ_INTEGER)
            fprintf(out, "ci(%.17g)", x->real);
        else if (x->value == FUZZ_SCALAR)
            fprintf(out, "s%d", (int)x->real);
        else
            fprintf(out, "%%%d", (int)x->value);
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
    fputc('\n', out);
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
    fprintf(out, "program of seed %llu:\n", (unsigned long long)program->seed);
    fuzz_print_arguments(program, out);
    fuzz_print_steps(program, out);
}
