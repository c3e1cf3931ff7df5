/* The program container and its text form; see program.h. */
#include "ir/program.h"

void program_init(Program *program) {
    *program = (Program){0};
}

void program_free(Program *program) {
    for (uint32_t i = 0; i < program->steps.count; i++) {
        Launch *launch = &program->steps.data[i].launch;
        if (program->steps.data[i].kind != STEP_KERNEL) continue;
        kernel_free(&launch->kernel);
        vec_free(&launch->params);
        vec_free(&launch->args);
    }
    for (uint32_t i = 0; i < program->strings.count; i++) mem_free(program->strings.data[i]);
    for (uint32_t i = 0; i < program->notes.count; i++) mem_free(program->notes.data[i]);
    vec_free(&program->buffers);
    vec_free(&program->steps);
    vec_free(&program->outputs);
    vec_free(&program->sites);
    vec_free(&program->checks);
    vec_free(&program->strings);
    vec_free(&program->notes);
    program_init(program);
}

static void print_buffer(const Program *program, uint32_t i, StrBuf *out) {
    static const char *const kinds[] = {"input", "output", "temp"};
    const Buffer *b = &program->buffers.data[i];
    strbuf_addf(out, "  b%u: %s", i, kinds[b->kind]);
    if (b->kind != BUFFER_TEMP) strbuf_addf(out, " %d", b->number);
    strbuf_addf(out, ", %lld x %s, holds %%%u", (long long)b->elements,
                sn_dtype_name((sn_dtype)b->dtype), b->node);
    if (b->kind == BUFFER_TEMP)
        strbuf_addf(out, ", at %lld, steps %d to %d", (long long)b->offset, b->first_step,
                    b->last_step);
    strbuf_add_char(out, '\n');
}

static void print_ref(ArgRef ref, StrBuf *out) {
    strbuf_addf(out, "b%u", ref.buffer);
    if (ref.offset) strbuf_addf(out, "+%lld", (long long)ref.offset);
}

static void print_launch(const Launch *launch, StrBuf *out) {
    strbuf_addf(out, "%lld items, args", (long long)launch->items);
    for (uint32_t i = 0; i < launch->args.count; i++) {
        strbuf_add_char(out, ' ');
        print_ref(launch->args.data[i], out);
    }
    if (launch->stream_stores) strbuf_add(out, ", streaming stores");
    strbuf_add_char(out, '\n');
}

static void print_gemm(const GemmStep *g, StrBuf *out) {
    strbuf_addf(out, "%lld x [%lld,%lld] x [%lld,%lld], ", (long long)g->batch, (long long)g->m,
                (long long)g->k, (long long)g->k, (long long)g->n);
    print_ref(g->a, out);
    strbuf_add_char(out, ' ');
    print_ref(g->b, out);
    if (g->bias.buffer != UINT32_MAX) {
        strbuf_add(out, " + ");
        print_ref(g->bias, out);
    }
    strbuf_add(out, " -> ");
    print_ref(g->c, out);
    strbuf_add_char(out, '\n');
}

void program_print(const Program *program, StrBuf *out) {
    strbuf_addf(out, "program: %d inputs, %d results, %lld temporary bytes, peak %lld bytes\n",
                program->n_inputs, program->n_outputs, (long long)program->temp_bytes,
                (long long)program->peak_bytes);
    for (uint32_t i = 0; i < program->buffers.count; i++) print_buffer(program, i, out);
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        strbuf_addf(out, "  step %u: %s %s (%lld bytes, %lld operations)", i,
                    step->kind == STEP_KERNEL ? "kernel" : "extern", step->label,
                    (long long)step->bytes, (long long)step->flops);
        const Site *site =
            step->site < program->sites.count ? &program->sites.data[step->site] : NULL;
        if (site && site->file) strbuf_addf(out, " ; %s:%d", site->file, (int)site->line);
        strbuf_add(out, "\n    ");
        if (step->kind == STEP_KERNEL)
            print_launch(&step->launch, out);
        else
            print_gemm(&step->gemm, out);
    }
}
