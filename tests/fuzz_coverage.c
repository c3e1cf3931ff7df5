/* Counting what programs have in them; see fuzz_coverage.h. */
#include "tests/fuzz_coverage.h"

#include "frontend/tensor/tensor.h"

#include <string.h>

void coverage_add(FuzzCoverage *to, const FuzzCoverage *from) {
    int64_t *a = (int64_t *)to;
    const int64_t *b = (const int64_t *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *a; i++) a[i] += b[i];
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Does the step's value share the memory of its operand 0? */
static bool passes_on(const FuzzStep *step) {
    return fuzz_is_view(step) || fuzz_writes(step);
}

/* The value in whose memory a value lies, as far as the list of steps tells. */
static int32_t origin_of(const FuzzProgram *p, int32_t value) {
    while (value >= FUZZ_MOST_INPUTS && passes_on(&p->steps[value - FUZZ_MOST_INPUTS]))
        value = p->steps[value - FUZZ_MOST_INPUTS].operands[0].value;
    return value;
}

static void cover_write(FuzzCoverage *c, const FuzzProgram *p, int32_t target) {
    bool own = origin_of(p, target) >= FUZZ_MOST_INPUTS;
    c->writes_to_own += own;
    c->writes_to_inputs += !own;
    while (target >= FUZZ_MOST_INPUTS && passes_on(&p->steps[target - FUZZ_MOST_INPUTS])) {
        const FuzzStep *step = &p->steps[target - FUZZ_MOST_INPUTS];
        if (step->kind == FUZZ_OP)
            c->write_views[step->op]++;
        else if (fuzz_is_view(step))
            c->write_kinds[step->kind]++;
        target = step->operands[0].value;
    }
}

/* Does a step read memory that an earlier one wrote? */
static bool reads_written(const FuzzProgram *p, int32_t number) {
    for (int32_t i = 0; i < number; i++) {
        if (!fuzz_writes(&p->steps[i])) continue;
        int32_t written = origin_of(p, p->steps[i].operands[0].value);
        for (int32_t j = 0; j < p->steps[number].n_operands; j++)
            if (origin_of(p, p->steps[number].operands[j].value) == written) return true;
    }
    return false;
}

void coverage_step(FuzzCoverage *c, const FuzzProgram *p, int32_t number, const sn_tensor *result) {
    const FuzzStep *step = &p->steps[number];
    c->steps++;
    c->kinds[step->kind]++;
    if (step->kind == FUZZ_OP) c->ops[step->op]++;
    if (step->kind == FUZZ_INPLACE) c->inplace[step->op]++;
    if (!result) return;
    c->dtypes[result->dtype]++;
    c->ranks[result->rank]++;
    c->empty_values += sn_count(result) == 0;
    c->reads_after_write += reads_written(p, number);
    if (fuzz_writes(step)) cover_write(c, p, step->operands[0].value);
}

void coverage_program(FuzzCoverage *c, const FuzzProgram *p) {
    bool shared = false;
    c->programs++;
    c->inputs += p->n_inputs;
    c->arrays += p->passing == FUZZ_ARRAY;
    c->scalars += p->n_scalars;
    c->outputs += p->n_outputs;
    c->several_outputs += p->n_outputs > 1;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        const FuzzInput *input = &p->inputs[i];
        int64_t strides[SN_MAX_RANK];
        dense_strides(input->dims, input->rank, strides);
        c->odd_inputs +=
            memcmp(strides, input->strides, sizeof(int64_t) * (size_t)input->rank) != 0;
        for (int32_t j = 0; j < i; j++) shared = shared || p->inputs[j].block == input->block;
    }
    c->shared_inputs += shared;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_ops(const char *title, const int64_t *counts) {
    printf("%s:", title);
    for (int32_t i = 0; i < OP_COUNT; i++)
        if (counts[i]) printf(" %s %lld", op_info[i].name, (long long)counts[i]);
    printf("\n");
}

/* Public ops (with `flag` too) whose count is 0. */
static void print_missing(const char *title, const int64_t *counts, int flag) {
    bool any = false;
    printf("%s:", title);
    for (int32_t i = 0; i < OP_COUNT; i++) {
        if (!op_has((OpCode)i, F_PUBLIC | flag) || counts[i]) continue;
        printf(" %s", op_info[i].name);
        any = true;
    }
    printf(any ? "\n" : " none\n");
}

static void print_counts(const char *title, const char *const *names, const int64_t *counts,
                         int32_t n) {
    printf("%s:", title);
    for (int32_t i = 0; i < n; i++)
        if (names[i] && counts[i]) printf(" %s %lld", names[i], (long long)counts[i]);
    printf("\n");
}

static const char *const kinds[FUZZ_KIND_COUNT] = {
    "op",         "in-place op",        "copy_", "fill_",    "index", "split",
    "contiguous", "choose (host read)", "loop",  "exchange", NULL};

static void print_steps(const FuzzCoverage *c) {
    const char *dtypes[SN_DTYPE_COUNT];
    static const char *const ranks[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8"};
    for (int32_t i = 0; i < SN_DTYPE_COUNT; i++) dtypes[i] = sn_dtype_name((sn_dtype)i);
    print_ops("calls per op", c->ops);
    print_missing("public ops never called", c->ops, 0);
    print_ops("in place", c->inplace);
    print_missing("in-place forms never called", c->inplace, F_INPLACE);
    print_counts("kinds of step", kinds, c->kinds, FUZZ_KIND_COUNT);
    print_counts("results by dtype", dtypes, c->dtypes, SN_DTYPE_COUNT);
    print_counts("results by rank", ranks, c->ranks, SN_MAX_RANK + 1);
    printf("arguments: %lld tensors, %lld of them not dense, %lld scalars; %lld programs take an "
           "array, %lld have two tensors in one block; %lld values without elements\n",
           (long long)c->inputs, (long long)c->odd_inputs, (long long)c->scalars,
           (long long)c->arrays, (long long)c->shared_inputs, (long long)c->empty_values);
    printf("results: %lld, %lld programs have several; %lld share memory with an argument or with "
           "another\n",
           (long long)c->outputs, (long long)c->several_outputs, (long long)c->aliases_returned);
    printf("writes: %lld to arguments, %lld to own tensors; %lld steps read what was written\n",
           (long long)c->writes_to_inputs, (long long)c->writes_to_own,
           (long long)c->reads_after_write);
    print_ops("writes through views", c->write_views);
    print_counts("writes through views, by other kinds", kinds, c->write_kinds, FUZZ_KIND_COUNT);
}

static void print_oracle(const FuzzCoverage *c) {
    print_counts("oracle, steps", oracle_verdict_names, c->oracle, ORACLE_VERDICT_COUNT);
    printf("oracle, elements: %lld had to be one value, %lld within their bound, %lld unbounded "
           "(overflow on the way)\n",
           (long long)c->oracle_exact, (long long)c->oracle_bounded, (long long)c->oracle_free);
    printf("oracle, recorded graphs interpreted: %lld\n", (long long)c->oracle_graphs);
    print_missing("public ops of which the oracle knows the range only", c->oracle_ops, 0);
}

static void print_calls(const FuzzCoverage *c) {
    printf(
        "compiled calls: %lld (threads: 1 %lld, 2 %lld, 5 %lld); had to hit and did %lld, had to "
        "miss and did %lld, of functions that read on the host %lld\n",
        (long long)c->calls, (long long)c->threads[1], (long long)c->threads[2],
        (long long)c->threads[5], (long long)c->guard_hits, (long long)c->guard_misses,
        (long long)c->reruns);
    print_counts("calls with other arguments", fuzz_variation_names, c->variations,
                 FUZZ_VARIATION_COUNT);
    printf("programs compared with another instruction set: %lld\n", (long long)c->second_isa);
    printf("fallbacks: %lld, of them planted %lld (a kernel refused, in %lld programs) and %lld "
           "(arguments or views that overlap, written); others: %lld\n",
           (long long)c->fallbacks, (long long)c->planted_fallbacks, (long long)c->plants,
           (long long)c->overlap_fallbacks,
           (long long)(c->fallbacks - c->planted_fallbacks - c->overlap_fallbacks));
}

void coverage_print(const FuzzCoverage *c) {
    print_steps(c);
    print_oracle(c);
    print_calls(c);
}

void coverage_print_refusals(const FuzzCoverage *c) {
    const char *statuses[SN_ERROR_INTERNAL + 1];
    for (int32_t i = 0; i <= SN_ERROR_INTERNAL; i++) statuses[i] = sn_status_name((sn_status)i);
    print_counts("refusals by status", statuses, c->refusals, SN_ERROR_INTERNAL + 1);
    print_counts("by what was wrong (none: the program was invalid before)", fuzz_break_names,
                 c->breaks, BREAK_COUNT);
    print_ops("by op", c->refused_ops);
    print_missing("public ops that never refused", c->refused_ops, 0);
    print_counts("by other kinds of step", kinds, c->refused_kinds, FUZZ_KIND_COUNT);
    printf("in inlined functions %lld, behind a host read %lld, for data alone %lld; valid ones "
           "refused for other arguments %lld\n",
           (long long)c->refused_inlined, (long long)c->refused_after_read,
           (long long)c->data_refusals, (long long)c->argument_refusals);
    printf(
        "compiled calls: %lld, of them refused by the entry of a valid one: %lld; functions that "
        "run node by node because a kernel did not compile: %lld\n",
        (long long)c->calls, (long long)c->refused_hits, (long long)c->plants);
}

void coverage_print_guards(const FuzzCoverage *c) {
    print_counts("kinds of step", kinds, c->kinds, FUZZ_KIND_COUNT);
    printf(
        "programs that take an array %lld, a struct %lld, optional tensors %lld, declared memory "
        "%lld; that capture %lld, branch %lld, have attributes that follow %lld, are nested %lld\n",
        (long long)c->passings[FUZZ_ARRAY], (long long)c->passings[FUZZ_STRUCT],
        (long long)c->with_optional, (long long)c->declaring, (long long)c->capturing,
        (long long)c->asking, (long long)c->following, (long long)c->nested);
    printf(
        "policies: shapes auto %lld, static %lld, dynamic %lld; few graphs %lld, a stance %lld\n",
        (long long)c->shapes[SN_SHAPES_AUTO], (long long)c->shapes[SN_SHAPES_STATIC],
        (long long)c->shapes[SN_SHAPES_DYNAMIC], (long long)c->limited, (long long)c->with_stance);
    printf("arguments: %lld different ones, %lld with other sizes, %lld with shared memory; graphs "
           "compiled for new ones %lld; overlapping memory written, so run node by node %lld\n",
           (long long)c->variants, (long long)c->sized, (long long)c->sharing,
           (long long)c->graphs_compiled, (long long)c->overlap_fallbacks);
    printf("sampled calls: %lld; inside guards (hits) %lld, outside (misses) %lld, second calls "
           "checked %lld, always run %lld, made eager %lld; refused by eager too %lld\n",
           (long long)c->calls, (long long)c->sampled_hits, (long long)c->sampled_misses,
           (long long)c->sampled_checks, (long long)c->sampled_reruns, (long long)c->sampled_eager,
           (long long)c->sampled_refused);
}
