/* From a kernel to its CUDA C: head with arguments and parameters, the loop over items with the
 * grid's odometer, and the walk over instructions. Instruction 7 becomes `const float v7 = …;`: the
 * blocks of C have the scopes of kernel IR. Argument 2 is a2, axis 1 is i1, parameter 3 is p3; the
 * trips of loop 4 are k4 = 0 … n4 - 1, of which trip 0 has the index f4. */
#include "codegen/cuda/emit.h"

#include "base/status.h"

#include <stdio.h>

/* ---- instructions ---------------------------------------------------------------------------- */

typedef struct Name {
    char text[16]; /* v and an instruction number, "" for no operand */
} Name;

static Name name_of(KValue value) {
    Name name = {""};
    if (value != KVALUE_NONE) snprintf(name.text, sizeof name.text, "v%u", (unsigned)value);
    return name;
}

static void begin_value(Emit *e, uint32_t at) {
    emit_begin(e, "const %s v%u = ", ctype_text((sn_dtype)kernel_inst(e->kernel, at)->dtype), at);
}

static void end_value(Emit *e) {
    strbuf_add(&e->body, ";\n");
}

static void emit_prim(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    sn_dtype dtype = (sn_dtype)inst->dtype;
    sn_dtype in_dtype = (sn_dtype)kernel_inst(e->kernel, inst->in[0])->dtype;
    Name x = name_of(inst->in[0]), y = name_of(inst->in[1]), z = name_of(inst->in[2]);
    begin_value(e, at);
    op_text(&e->body, (OpCode)inst->op, dtype, in_dtype, x.text, y.text, z.text);
    end_value(e);
}

/* Parameter words hold the value's bits in their low bytes. */
static void emit_param(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    char word[32];
    SN_ASSERT(inst->imm < (uint64_t)e->kernel->n_params);
    e->param_used[inst->imm] = true;
    snprintf(word, sizeof word, "p%u", (unsigned)inst->imm);
    begin_value(e, at);
    switch ((sn_dtype)inst->dtype) {
    case SN_BOOL:
        strbuf_addf(&e->body, "%s != 0", word);
        break;
    case SN_F32:
        strbuf_addf(&e->body, "__uint_as_float((unsigned int)%s)", word);
        break;
    case SN_F64:
        strbuf_addf(&e->body, "__longlong_as_double(%s)", word);
        break;
    default:
        strbuf_addf(&e->body, "(%s)%s", ctype_text((sn_dtype)inst->dtype), word);
        break;
    }
    end_value(e);
}

static void add_term(Emit *e, const KTerm *term) {
    SN_ASSERT((term->value == KVALUE_NONE) == (term->axis != KVALUE_NONE));
    if (term->value != KVALUE_NONE)
        strbuf_addf(&e->body, "v%u", (unsigned)term->value);
    else
        strbuf_addf(&e->body, "i%u", (unsigned)term->axis);
    if (term->coef.param < 0) return;
    strbuf_add(&e->body, " * ");
    emit_coef(e, term->coef);
}

/* Appends the element that an access names: `a0[i0 * p1 + v6 + p4]`. */
static void add_element(Emit *e, uint64_t number) {
    const KAccess *access = kernel_access(e->kernel, number);
    const char *between = "";
    strbuf_addf(&e->body, "a%u[", (unsigned)access->arg);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(e->kernel, access, t);
        if (kcoef_is(term->coef, 0)) continue;
        strbuf_add(&e->body, between);
        add_term(e, term);
        between = " + ";
    }
    bool nothing = !*between;
    if (!kcoef_is(access->offset, 0) || nothing) {
        strbuf_add(&e->body, between);
        emit_coef(e, access->offset);
    }
    strbuf_add_char(&e->body, ']');
}

static const KArg *arg_of(const Emit *e, uint64_t access) {
    return kernel_access_arg(e->kernel, access);
}

static void emit_load(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    bool is_bool = inst->dtype == SN_BOOL;
    begin_value(e, at);
    if (inst->flags & K_PREDICATED) strbuf_addf(&e->body, "v%u ? ", (unsigned)inst->in[0]);
    add_element(e, inst->imm);
    if (is_bool) strbuf_add(&e->body, " != 0");
    if (inst->flags & K_PREDICATED) {
        strbuf_add(&e->body, " : ");
        const_text(&e->body, (sn_dtype)inst->dtype, 0);
    }
    end_value(e);
    e->synced = false;
}

/* The statement `element = value;`. */
static void add_store(Emit *e, const KInst *inst) {
    bool stream =
        e->schedule && e->schedule->stream_stores && arg_of(e, inst->imm)->role == KARG_OUT;
    if (stream) strbuf_add(&e->body, "__stcs(&");
    add_element(e, inst->imm);
    strbuf_add(&e->body, stream ? ", " : " = ");
    if (inst->dtype == SN_BOOL) strbuf_add(&e->body, "(unsigned char)");
    strbuf_addf(&e->body, "v%u%s;\n", (unsigned)inst->in[0], stream ? ")" : "");
}

/* Reads, merges in the compute type, writes. */
static void add_merge(Emit *e, const KInst *inst) {
    sn_dtype memory = (sn_dtype)arg_of(e, inst->imm)->dtype, compute = (sn_dtype)inst->dtype;
    Name value = name_of(inst->in[0]);
    strbuf_addf(&e->body, "{ %s *at = &", ctype_memory(memory));
    add_element(e, inst->imm);
    strbuf_addf(&e->body, "; const %s old = ", ctype_text(compute));
    if (memory == SN_BOOL)
        strbuf_add(&e->body, "*at != 0");
    else
        cast_text(&e->body, compute, memory, "*at");
    strbuf_add(&e->body, ", merged = ");
    op_text(&e->body, (OpCode)kop_row(inst->op)->merge, compute, compute, "old", value.text, "");
    strbuf_add(&e->body, ", sum = ");
    if (dtype_is_float(compute))
        op_text(&e->body, OP_CANONICAL_NAN, compute, compute, "merged", "", "");
    else
        strbuf_add(&e->body, "merged");
    strbuf_add(&e->body, "; *at = ");
    cast_text(&e->body, memory, compute, "sum");
    strbuf_add(&e->body, "; }\n");
}

/* Where the threads of a block are in step, the first one stores, between barriers if others may
 * read the element before or after. */
static void emit_store(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    bool readable = arg_of(e, inst->imm)->role != KARG_OUT;
    if (e->together && readable) emit_barrier(e);
    emit_begin(e, "%s", "");
    if (e->together) strbuf_add(&e->body, "if (threadIdx.x == 0) ");
    if (inst->flags & K_PREDICATED) strbuf_addf(&e->body, "if (v%u) ", (unsigned)inst->in[1]);
    if (kop_adds_in_memory(inst->op))
        add_merge(e, inst);
    else
        add_store(e, inst);
    e->synced = false;
    if (e->together && readable) emit_barrier(e);
}

static void emit_check(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    SN_ASSERT(inst->imm < (uint64_t)e->kernel->n_params);
    e->param_used[inst->imm] = true;
    emit_line(e, "if (!v%u) atomicMin(error, (unsigned long long)p%u);", (unsigned)inst->in[0],
              (unsigned)inst->imm);
}

static void emit_inst(Emit *e, uint32_t at) {
    const KInst *inst = kernel_inst(e->kernel, at);
    switch (kop_row(inst->op)->form) {
    case KFORM_PRIM:
        emit_prim(e, at);
        break;
    case KFORM_CONST:
        begin_value(e, at);
        const_text(&e->body, (sn_dtype)inst->dtype, inst->imm);
        end_value(e);
        break;
    case KFORM_PARAM:
        emit_param(e, at);
        break;
    case KFORM_INDEX:
        emit_line(e, "const long long v%u = i%u;", at, (unsigned)inst->imm);
        break;
    case KFORM_GRID:
        e->grid_used = true;
        emit_line(e, "const long long v%u = grid[%u];", at, (unsigned)inst->imm);
        break;
    case KFORM_LOAD:
        emit_load(e, at);
        break;
    case KFORM_STORE:
        emit_store(e, at);
        break;
    case KFORM_ADDRESS:
        begin_value(e, at);
        strbuf_add(&e->body, "(long long)&");
        add_element(e, inst->imm);
        end_value(e);
        break;
    case KFORM_CHECK:
        emit_check(e, at);
        break;
    case KFORM_REDUCE:
    case KFORM_SCAN:
        reduce_step(e, at);
        break;
    default:
        break;
    }
}

void emit_range(Emit *e, uint32_t first, uint32_t last) {
    SN_ASSERT(first <= last && last <= e->kernel->insts.count);
    for (uint32_t at = first; at < last; at++) {
        if (!kop_is(kernel_inst(e->kernel, at)->op, KFORM_LOOP)) {
            emit_inst(e, at);
            continue;
        }
        uint32_t loop = e->loops.loop_of[at];
        SN_ASSERT(loop_at(e, loop)->begin == at);
        emit_loop(e, loop);
        at = loop_at(e, loop)->end;
    }
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Opens the loop that gives this thread, or block, its items. */
static void open_items(Emit *e) {
    switch (e->mapping.mode) {
    case MODE_BLOCK:
        emit_open(e, "for (long long item = begin + blockIdx.x; item < end; item += gridDim.x)");
        return;
    case MODE_ITEM:
        emit_line(e, "const long long threads = (long long)gridDim.x * blockDim.x;");
        emit_line(e, "const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;");
        emit_open(e, "for (long long item = begin + thread; item < end; item += threads)");
        return;
    case MODE_ELEMENT:
        break;
    }
    const KLoop *loop = loop_at(e, e->mapping.element_loop);
    SN_ASSERT(loop->parent == KLOOP_NONE && loop->vector && !loop->n_reductions);
    bool split = (int32_t)loop->axis == e->loops.split_axis;
    emit_begin(e, "const long long width = ");
    if (split) strbuf_addf(&e->body, "sn_least(params[%d], ", (int)KPARAM_BLOCK_SIZE);
    emit_coef(e, e->kernel->axes.data[loop->axis].size);
    strbuf_addf(&e->body, "%s;\n", split ? ")" : "");
    emit_line(e, "const long long total = (end - begin) * width;");
    emit_line(e, "const long long threads = (long long)gridDim.x * blockDim.x;");
    emit_line(e, "long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;");
    emit_open(e, "for (; element < total; element += threads)");
    emit_line(e, "const long long run = sn_divide(element, width);");
    emit_line(e, "const long long item = begin + run, own = element - run * width;");
}

/* Grid point and block of the item, and the addresses of arguments at that point. */
static void enter_item(Emit *e) {
    const Kernel *k = e->kernel;
    emit_line(e, "long long point = item;");
    if (e->grid_used) emit_line(e, "long long grid[%d] = {0};", SN_MAX_RANK);
    for (uint32_t a = 0; a < k->args.count; a++)
        if (k->args.data[a].role != KARG_LOCAL) emit_line(e, "long long o%u = 0;", a);
    strbuf_add(&e->body, "#pragma unroll\n");
    emit_open(e, "for (int d = %d; d >= 0; d--)", SN_MAX_RANK - 1);
    emit_line(e, "if (d >= rank) continue;");
    emit_line(e, "const long long size = params[%d + d], left = sn_divide(point, size);",
              (int)KPARAM_SIZES);
    emit_line(e, "const long long index = point - left * size;");
    emit_line(e, "point = left;");
    if (e->grid_used) emit_line(e, "grid[d] = index;");
    for (uint32_t a = 0; a < k->args.count; a++) {
        if (k->args.data[a].role != KARG_LOCAL)
            emit_line(e, "o%u += index * params[%u + d];", a, KPARAM_STRIDES + SN_MAX_RANK * a);
    }
    emit_close(e);
    if (e->loops.split_axis >= 0) emit_line(e, "const long long block = point;");
    for (uint32_t a = 0; a < k->args.count; a++) {
        const KArg *arg = &k->args.data[a];
        const char *type = ctype_memory((sn_dtype)arg->dtype);
        const char *constant = karg_is_input(arg) ? "const " : "";
        if (arg->role != KARG_LOCAL)
            emit_line(e, "%s%s *const a%u = (%s%s *)args[%u] + o%u;", constant, type, a, constant,
                      type, a, a);
    }
}

/* LOCAL buffers, of kernel_local_bytes each, one behind the other in the block's part of the scratch
 * memory. */
static void place_locals(Emit *e) {
    const Kernel *k = e->kernel;
    uint32_t locals = 0;
    for (uint32_t a = 0; a < k->args.count; a++) {
        const KArg *arg = &k->args.data[a];
        if (arg->role != KARG_LOCAL) continue;
        emit_begin(e, "const long long bytes%u = ", a);
        strbuf_add_char(&e->body, '(');
        emit_coef(e, arg->size);
        strbuf_addf(&e->body, " * %u + %d) / %d * %d + %d;\n",
                    (unsigned)sn_dtype_size((sn_dtype)arg->dtype), KLOCAL_ALIGN - 1,
                    (int)KLOCAL_ALIGN, (int)KLOCAL_ALIGN, (int)KLOCAL_GAP);
        locals++;
    }
    if (!locals) return;
    emit_begin(e, "char *local = (char *)scratch + blockIdx.x * (0");
    for (uint32_t a = 0; a < k->args.count; a++)
        if (k->args.data[a].role == KARG_LOCAL) strbuf_addf(&e->body, " + bytes%u", a);
    strbuf_add(&e->body, ");\n");
    for (uint32_t a = 0; a < k->args.count; a++) {
        const KArg *arg = &k->args.data[a];
        if (arg->role != KARG_LOCAL) continue;
        const char *type = ctype_memory((sn_dtype)arg->dtype);
        emit_line(e, "%s *const a%u = (%s *)local;", type, a, type);
        emit_line(e, "local += bytes%u;", a);
    }
}

/* Memory through which the threads of a block join their parts of a reduction, in two halves that
 * reductions use in turn: while one is read the other may be written. */
static void declare_shared(Emit *e) {
    if (e->mapping.mode != MODE_BLOCK) return;
    emit_line(e, "const int lane = threadIdx.x %% %d, warp = threadIdx.x / %d;", (int)WARP,
              (int)WARP);
    emit_line(e, "const int warps = blockDim.x / %d;", (int)WARP);
    for (uint32_t d = 0; d < SN_DTYPE_COUNT; d++) {
        if (e->shared >> d & 1)
            emit_line(e, "__shared__ %s share_%s[2][%d];", ctype_text((sn_dtype)d),
                      sn_dtype_name((sn_dtype)d), THREADS_MOST);
    }
    if (e->shared_index)
        emit_line(e, "__shared__ long long share_index[2][%d];", THREADS_MOST / WARP);
    for (uint32_t i = 0; i < e->loops.n_reductions; i++) {
        const KReduction *r = &e->loops.reductions[i];
        if (e->mapping.loops[r->loop].run == RUN_ONE && r->kind != KREDUCTION_SCAN)
            emit_line(e, "__shared__ %s given%u;",
                      ctype_text((sn_dtype)kernel_inst(e->kernel, r->inst)->dtype), r->inst);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The item's code comes first, into its own buffer: what it names decides what stands before it. */
static StrBuf emit_item(Emit *e) {
    e->indent = 2;
    e->together = e->mapping.mode == MODE_BLOCK;
    emit_range(e, 0, e->kernel->insts.count);
    SN_ASSERT(e->indent == 2); /* every brace is closed */
    StrBuf item = e->body;
    e->body = (StrBuf){0};
    return item;
}

static void emit_function(Emit *e, const StrBuf *item) {
    e->indent = 1;
    declare_shared(e);
    emit_line(e, "const int rank = (int)params[%d];", (int)KPARAM_RANK);
    place_locals(e);
    open_items(e);
    enter_item(e);
    strbuf_add(&e->body, strbuf_text(item));
    e->body.failed |= item->failed;
    emit_close(e);
}

static void add_head(const Emit *e, const char *name, StrBuf *out) {
    static const char *const threads[] = {
        [MODE_ELEMENT] = "one thread for each element",
        [MODE_BLOCK] = "one block for each item",
        [MODE_ITEM] = "one thread for each item",
    };
    strbuf_addf(out, "/* %s */\n", threads[e->mapping.mode]);
    strbuf_addf(out, "extern \"C\" __global__ void __launch_bounds__(%d)\n%s(", THREADS_MOST, name);
    strbuf_add(out, "void *const *__restrict__ args, const long long *__restrict__ params, "
                    "long long begin,\n    long long end, void *scratch, "
                    "unsigned long long *error) {\n");
    for (int32_t p = 0; p < e->kernel->n_params; p++) {
        if (e->param_used[p])
            strbuf_addf(out, "    const long long p%d = params[%d];\n", (int)p,
                        (int)kernel_param_word(e->kernel, p));
    }
}

sn_status emit_kernel(Emit *e, const char *name, StrBuf *out, sn_error *error) {
    e->param_used = arena_zalloc(&e->arena, (size_t)e->kernel->n_params + 1);
    if (!e->param_used || !mapping_make(e)) return error_memory(error);
    StrBuf item = emit_item(e);
    emit_function(e, &item);
    device_functions(out, strbuf_text(&e->body));
    add_head(e, name, out);
    strbuf_add(out, strbuf_text(&e->body));
    strbuf_add(out, "}\n");
    bool failed = item.failed || e->body.failed || out->failed;
    strbuf_free(&item);
    strbuf_free(&e->body);
    return failed ? error_memory(error) : SN_OK;
}
