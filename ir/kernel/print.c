/* Prints kernel IR. The text is the key of the kernel cache, so it is complete and canonical: equal
 * kernels print equally, and kernel_parse reads it back. It is printed on every trace, so nothing
 * here goes through printf. Finite floats are hexadecimal, hence exact and cheap. */
#include "ir/kernel/form.h"
#include "ir/kernel/text.h"
#include "ir/op/literal.h"

enum { SMALL_KERNEL = 256 }; /* instructions numbered without the heap */

typedef struct Printer {
    const Kernel *kernel; /* what is printed */
    StrBuf *out;          /* where to */
    const Site *sites;    /* source lines, or NULL */
    uint32_t *numbers;    /* text number of each instruction's value */
} Printer;

static void add_prefixed(StrBuf *out, char prefix, int64_t number) {
    strbuf_add_char(out, prefix);
    strbuf_add_int(out, number);
}

static void add_coef(StrBuf *out, KCoef coef) {
    if (coef.param >= 0)
        add_prefixed(out, 'p', coef.param);
    else
        strbuf_add_int(out, coef.value);
}

static void add_axis(StrBuf *out, uint64_t axis) {
    if (axis < AXIS_LETTERS)
        strbuf_add_char(out, axis_letters[axis]);
    else
        add_prefixed(out, 'x', (int64_t)axis);
}

/* A kernel that the verifier would refuse can be printed too: such operands read %?. */
static void add_value(const Printer *p, KValue value) {
    if (value < p->kernel->insts.count)
        add_prefixed(p->out, '%', p->numbers[value]);
    else
        strbuf_add(p->out, "%?");
}

static void add_indent(StrBuf *out, uint32_t depth) {
    static const char spaces[] = "                                ";
    size_t width = 2 * (size_t)depth + 2;
    for (; width > sizeof spaces - 1; width -= sizeof spaces - 1) strbuf_add(out, spaces);
    strbuf_add_bytes(out, spaces, width);
}

/* ---- constants ------------------------------------------------------------------------------- */

/* "-0x1.8p+3": the leading digit is 0 for zero and subnormals of f64 only. */
static void add_hex_float(StrBuf *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52 & 0x7ff);
    uint64_t fraction = bits << 12;
    char text[24];
    size_t n = 0;
    if (bits >> 63) text[n++] = '-';
    text[n++] = '0';
    text[n++] = 'x';
    text[n++] = exponent ? '1' : '0';
    if (fraction) text[n++] = '.';
    for (; fraction; fraction <<= 4) text[n++] = "0123456789abcdef"[fraction >> 60];
    text[n++] = 'p';
    strbuf_add_bytes(out, text, n);
    int64_t power = exponent ? exponent - 1023 : fraction == 0 && bits << 1 == 0 ? 0 : -1022;
    if (power >= 0) strbuf_add_char(out, '+');
    strbuf_add_int(out, power);
}

static void add_const(StrBuf *out, sn_dtype dtype, uint64_t bits) {
    if (dtype_is_float(dtype)) {
        double value = dtype_bits_to_double(dtype, bits);
        if (value - value == 0) {
            add_hex_float(out, value);
            return;
        }
    }
    literal_print(out, dtype, bits);
}

/* ---- declarations ---------------------------------------------------------------------------- */

static void print_args(const Printer *p) {
    StrBuf *out = p->out;
    for (uint32_t i = 0; i < p->kernel->args.count; i++) {
        const KArg *arg = &p->kernel->args.data[i];
        strbuf_add(out, "  arg a");
        strbuf_add_int(out, i);
        strbuf_add_char(out, ' ');
        strbuf_add(out, sn_dtype_name(arg->dtype));
        strbuf_add_char(out, ' ');
        strbuf_add(out, arg->role < ROLE_COUNT ? role_words[arg->role] : "?");
        if (arg->role == KARG_LOCAL) {
            strbuf_add_char(out, ' ');
            add_coef(out, arg->size);
        }
        strbuf_add_char(out, '\n');
    }
}

static void print_axes(const Printer *p) {
    StrBuf *out = p->out;
    for (uint32_t i = 0; i < p->kernel->axes.count; i++) {
        const KAxis *axis = &p->kernel->axes.data[i];
        strbuf_add(out, "  axis ");
        add_axis(out, i);
        strbuf_add_char(out, ' ');
        add_coef(out, axis->size);
        strbuf_add(out, axis->split ? " split\n" : "\n");
    }
}

static void print_access(const Printer *p, const KAccess *access) {
    StrBuf *out = p->out;
    add_prefixed(out, 'a', access->arg);
    for (uint32_t i = 0; i < access->n_terms; i++) {
        const KTerm *term = &p->kernel->terms.data[access->first_term + i];
        strbuf_add(out, i ? " + " : " ");
        if (term->axis != KVALUE_NONE)
            add_axis(out, term->axis);
        else
            add_value(p, term->value);
        strbuf_add_char(out, '*');
        add_coef(out, term->coef);
    }
    bool zero = access->offset.param < 0 && access->offset.value == 0;
    if (zero && access->n_terms) return;
    strbuf_add(out, access->n_terms ? " + " : " ");
    add_coef(out, access->offset);
}

static void print_declarations(const Printer *p) {
    strbuf_add(p->out, "  params ");
    strbuf_add_int(p->out, p->kernel->n_params);
    strbuf_add_char(p->out, '\n');
    print_args(p);
    print_axes(p);
    for (uint32_t i = 0; i < p->kernel->accesses.count; i++) {
        strbuf_add(p->out, "  access c");
        strbuf_add_int(p->out, i);
        strbuf_add_char(p->out, ' ');
        print_access(p, &p->kernel->accesses.data[i]);
        strbuf_add_char(p->out, '\n');
    }
}

/* ---- instructions ---------------------------------------------------------------------------- */

/* The words between an op's name and its values. */
static void print_immediate(const Printer *p, const KInst *inst) {
    StrBuf *out = p->out;
    switch (kop_row(inst->op)->form) {
    case KFORM_CONST:
        strbuf_add_char(out, ' ');
        strbuf_add(out, sn_dtype_name(inst->dtype));
        strbuf_add_char(out, ' ');
        add_const(out, inst->dtype, inst->imm);
        break;
    case KFORM_PARAM:
        strbuf_add_char(out, ' ');
        add_prefixed(out, 'p', (int64_t)inst->imm);
        break;
    case KFORM_GRID:
        strbuf_add_char(out, ' ');
        strbuf_add_int(out, (int64_t)inst->imm);
        break;
    case KFORM_INDEX:
    case KFORM_LOOP:
        strbuf_add_char(out, ' ');
        add_axis(out, inst->imm);
        break;
    case KFORM_LOAD:
    case KFORM_STORE:
    case KFORM_ADDRESS:
        strbuf_add_char(out, ' ');
        add_prefixed(out, 'c', (int64_t)inst->imm);
        break;
    default:
        break;
    }
}

static void print_values(const Printer *p, const KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    for (uint32_t i = 0; i < row->n_inputs; i++) {
        strbuf_add(p->out, i ? ", " : " ");
        add_value(p, inst->in[i]);
    }
    if (inst->flags & K_PREDICATED) {
        strbuf_add(p->out, " if ");
        add_value(p, row->n_inputs < 3 ? inst->in[row->n_inputs] : KVALUE_NONE);
    }
}

/* What stands behind the values. */
static void print_tail(const Printer *p, const KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    StrBuf *out = p->out;
    if (row->form == KFORM_CHECK) {
        strbuf_add_char(out, ' ');
        add_prefixed(out, 'p', (int64_t)inst->imm);
    }
    if (row->form == KFORM_REDUCE) {
        strbuf_add_char(out, ' ');
        strbuf_add(out, inst->order < REDUCE_ORDER_COUNT ? order_words[inst->order] : "?");
    }
    if (inst->flags & row->flags & K_VECTOR) strbuf_add(out, " vector");
    if (inst->flags & row->flags & K_RARE) strbuf_add(out, " rare");
    if (row->result != KRESULT_NONE && row->form != KFORM_CONST) {
        strbuf_add(out, " : ");
        strbuf_add(out, sn_dtype_name(inst->dtype));
    }
    if (p->sites && inst->site && p->sites[inst->site].file) {
        strbuf_add(out, " ; ");
        strbuf_add(out, p->sites[inst->site].file);
        add_prefixed(out, ':', p->sites[inst->site].line);
    }
    strbuf_add_char(out, '\n');
}

static void print_insts(const Printer *p) {
    uint32_t depth = 0;
    for (uint32_t i = 0; i < p->kernel->insts.count; i++) {
        const KInst *inst = &p->kernel->insts.data[i];
        if (kop_is(inst->op, KFORM_END) && depth) depth--;
        add_indent(p->out, depth);
        if (kop_is(inst->op, KFORM_LOOP)) depth++;
        if (kop_has_value(inst->op)) {
            add_prefixed(p->out, '%', p->numbers[i]);
            strbuf_add(p->out, " = ");
        }
        strbuf_add(p->out, inst->op < OP_COUNT ? op_info[inst->op].name : "?");
        print_immediate(p, inst);
        print_values(p, inst);
        print_tail(p, inst);
    }
}

void kernel_print(const Kernel *kernel, StrBuf *out, const Site *sites) {
    uint32_t small[SMALL_KERNEL];
    uint32_t *numbers = small;
    uint32_t count = kernel->insts.count;
    if (count > SMALL_KERNEL) {
        numbers = mem_alloc(count * sizeof *numbers);
        if (!numbers) {
            out->failed = true;
            return;
        }
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = next;
        if (kop_has_value(kernel->insts.data[i].op)) next++;
    }
    Printer printer = {kernel, out, sites, numbers};
    strbuf_add(out, "kernel {\n");
    print_declarations(&printer);
    print_insts(&printer);
    strbuf_add(out, "}\n");
    if (numbers != small) mem_free(numbers);
}
