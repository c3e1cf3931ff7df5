/* Checks a kernel: references in range, operands defined and visible, dtypes by the op table, loops
 * matched, and the rules of vector loops, split axes, reductions and roles. What passes here can be
 * printed, interpreted and compiled without further checks. */
#include "base/status.h"
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"

enum { LOOPS_DEEP = 32 }; /* loops on a path */

/* Homes of values besides the instruction numbers of loops. */
#define AT_ITEM UINT32_MAX           /* outside all loops */
#define NOT_YET (UINT32_MAX - 1)     /* a reduction whose loop is open */
#define NOT_A_VALUE (UINT32_MAX - 2) /* an instruction without a value */

typedef struct Checker {
    const Kernel *kernel;       /* what is checked */
    sn_error *error;            /* where the error goes */
    uint32_t *homes;            /* by instruction: the loop in which its value lives */
    uint32_t loops[LOOPS_DEEP]; /* instruction numbers of open loops */
    uint32_t depth;             /* how many are open */
    uint32_t at;                /* instruction being checked */
    uint8_t vectors;            /* open loops that are vector loops */
} Checker;

static sn_status refuse(const Checker *c, const char *message) {
    const Kernel *k = c->kernel;
    if (c->at >= k->insts.count)
        return error_set(c->error, SN_ERROR_INTERNAL, "kernel: %s", message);
    uint16_t op = k->insts.data[c->at].op;
    return error_set(c->error, SN_ERROR_INTERNAL, "kernel: instruction %u, %s: %s", c->at,
                     op < OP_COUNT ? op_info[op].name : "?", message);
}

/* Passes the first failure of a row of checks on. */
#define TRY(check)                                                                                 \
    do {                                                                                           \
        sn_status tried = (check);                                                                 \
        if (tried != SN_OK) return tried;                                                          \
    } while (0)

/* ---- declarations ---------------------------------------------------------------------------- */

static bool coef_good(const Kernel *k, KCoef coef) {
    if (coef.param >= 0) return coef.param < k->n_params && coef.value == 0;
    return coef.param == -1 && (coef.value == 0 || coef.value == 1);
}

static sn_status check_args(const Checker *c) {
    const Kernel *k = c->kernel;
    uint32_t splits = 0;
    if (k->n_params < 0) return refuse(c, "negative number of params");
    for (uint32_t i = 0; i < k->args.count; i++) {
        const KArg *arg = &k->args.data[i];
        if (arg->dtype >= SN_DTYPE_COUNT) return refuse(c, "unknown dtype of an argument");
        if (arg->role > KARG_LOCAL) return refuse(c, "unknown role of an argument");
        if (!coef_good(k, arg->size)) return refuse(c, "bad size of an argument");
        if (arg->role != KARG_LOCAL && (arg->size.param >= 0 || arg->size.value))
            return refuse(c, "only local arguments have a size");
    }
    for (uint32_t i = 0; i < k->axes.count; i++) {
        if (!coef_good(k, k->axes.data[i].size)) return refuse(c, "bad size of an axis");
        splits += k->axes.data[i].split;
    }
    return splits > 1 ? refuse(c, "more than one split axis") : SN_OK;
}

static sn_status check_term(const Checker *c, const KTerm *term) {
    const Kernel *k = c->kernel;
    if (!coef_good(k, term->coef)) return refuse(c, "bad stride of an access");
    if ((term->axis == KVALUE_NONE) == (term->value == KVALUE_NONE))
        return refuse(c, "a term has an axis or a value");
    if (term->value == KVALUE_NONE)
        return term->axis < k->axes.count ? SN_OK : refuse(c, "unknown axis of an access");
    if (term->value >= k->insts.count) return refuse(c, "unknown value of an access");
    const KInst *inst = &k->insts.data[term->value];
    return kop_has_value(inst->op) && inst->dtype == SN_I64
               ? SN_OK
               : refuse(c, "an access uses what is no i64");
}

static sn_status check_accesses(const Checker *c) {
    const Kernel *k = c->kernel;
    for (uint32_t i = 0; i < k->accesses.count; i++) {
        const KAccess *access = &k->accesses.data[i];
        if (access->arg >= k->args.count) return refuse(c, "unknown argument of an access");
        if (!coef_good(k, access->offset)) return refuse(c, "bad offset of an access");
        if (access->first_term > k->terms.count ||
            access->n_terms > k->terms.count - access->first_term)
            return refuse(c, "terms of an access out of range");
        for (uint32_t t = 0; t < access->n_terms; t++)
            TRY(check_term(c, &k->terms.data[access->first_term + t]));
    }
    return SN_OK;
}

/* ---- operands -------------------------------------------------------------------------------- */

static bool loop_open(const Checker *c, uint32_t loop) {
    if (loop == AT_ITEM) return true;
    for (uint32_t i = 0; i < c->depth; i++)
        if (c->loops[i] == loop) return true;
    return false;
}

static bool axis_open(const Checker *c, uint64_t axis) {
    for (uint32_t i = 0; i < c->depth; i++)
        if (c->kernel->insts.data[c->loops[i]].imm == axis) return true;
    return false;
}

static sn_status check_visible(const Checker *c, KValue value) {
    if (value >= c->at) return refuse(c, "an operand does not stand before");
    if (c->homes[value] == NOT_A_VALUE) return refuse(c, "an operand is no value");
    if (c->homes[value] == NOT_YET) return refuse(c, "a reduction is used inside its loop");
    return loop_open(c, c->homes[value]) ? SN_OK : refuse(c, "an operand lives in a closed loop");
}

/* Number, visibility and dtype of the operands; the result's dtype. */
static sn_status check_operands(const Checker *c, const KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    const KInst *insts = c->kernel->insts.data;
    uint32_t count = row->n_inputs + (inst->flags & K_PREDICATED ? 1u : 0u);
    uint32_t typed = kop_first_typed(inst->op);
    for (uint32_t i = 0; i < 3; i++) {
        if (i >= count) {
            if (inst->in[i] != KVALUE_NONE) return refuse(c, "too many operands");
            continue;
        }
        TRY(check_visible(c, inst->in[i]));
        uint8_t dtype = insts[inst->in[i]].dtype;
        if (i >= row->n_inputs || i < typed) {
            if (dtype != SN_BOOL) return refuse(c, "a condition is not bool");
        } else if (!(row->inputs >> dtype & 1)) {
            return refuse(c, "does not take operands of this dtype");
        } else if (i > typed && dtype != insts[inst->in[typed]].dtype) {
            return refuse(c, "operands differ in dtype");
        }
    }
    return SN_OK;
}

static sn_status check_result(const Checker *c, const KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    const KInst *insts = c->kernel->insts.data;
    uint32_t wanted = SN_BOOL;
    switch (row->result) {
    case KRESULT_SAME:
        wanted = insts[inst->in[0]].dtype;
        break;
    case KRESULT_TAIL:
        wanted = insts[inst->in[1]].dtype;
        break;
    case KRESULT_I64:
        wanted = SN_I64;
        break;
    case KRESULT_OWN:
    case KRESULT_BITS:
        if (inst->dtype >= SN_DTYPE_COUNT || !(row->results >> inst->dtype & 1))
            return refuse(c, "does not give this dtype");
        if (row->result == KRESULT_BITS &&
            sn_dtype_size(inst->dtype) != sn_dtype_size(insts[inst->in[0]].dtype))
            return refuse(c, "sizes differ");
        wanted = inst->dtype;
        break;
    default:
        if (row->form == KFORM_STORE) wanted = insts[inst->in[0]].dtype;
        break;
    }
    return inst->dtype == wanted ? SN_OK : refuse(c, "wrong dtype of the result");
}

/* ---- rules of single forms ------------------------------------------------------------------- */

/* Axes of the access run and its values are visible; memory and value agree. */
static sn_status check_access_use(const Checker *c, const KInst *inst) {
    const Kernel *k = c->kernel;
    const KAccess *access = &k->accesses.data[inst->imm];
    const KArg *arg = &k->args.data[access->arg];
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = &k->terms.data[access->first_term + t];
        if (term->value != KVALUE_NONE)
            TRY(check_visible(c, term->value));
        else if (!axis_open(c, term->axis))
            return refuse(c, "the access needs a loop over its axis");
    }
    if (kop_is(inst->op, KFORM_ADDRESS))
        return c->vectors ? refuse(c, "inside a vector loop") : SN_OK;
    bool stores = kop_is(inst->op, KFORM_STORE), adds = kop_adds_in_memory(inst->op);
    if (stores && karg_is_input(arg)) return refuse(c, "writes an input");
    if (!stores && arg->role == KARG_OUT) return refuse(c, "reads an output");
    uint32_t wanted = adds ? (uint32_t)dtype_compute(arg->dtype) : arg->dtype;
    if (inst->dtype != wanted) return refuse(c, "value and memory differ in dtype");
    if (adds && c->vectors) return refuse(c, "inside a vector loop");
    return SN_OK;
}

static sn_status check_reduction(const Checker *c, const KInst *inst) {
    if (!c->depth) return refuse(c, "outside a loop");
    bool scan = kop_is(inst->op, KFORM_SCAN);
    if (scan && c->kernel->insts.data[c->loops[c->depth - 1]].flags & K_VECTOR)
        return refuse(c, "scans a vector loop");
    if (scan) return SN_OK;
    if (inst->order < REDUCE_ROW || inst->order > REDUCE_CHAIN) return refuse(c, "has no order");
    if ((inst->order == REDUCE_CHAIN) != kop_is_chain(inst->op))
        return refuse(c, "the order of another reduction");
    if (inst->order == REDUCE_FREE && kop_is_ordered(inst->op, inst->dtype))
        return refuse(c, "the order of a float sum or product matters");
    return SN_OK;
}

static sn_status check_loop(Checker *c, const KInst *inst) {
    if (axis_open(c, inst->imm)) return refuse(c, "a loop over this axis is open");
    if (c->depth == LOOPS_DEEP) return refuse(c, "too many nested loops");
    if (c->depth && c->kernel->axes.data[inst->imm].split)
        return refuse(c, "the loop over the split axis is not outermost");
    if (inst->flags & K_VECTOR && c->vectors++) return refuse(c, "inside another vector loop");
    c->loops[c->depth++] = c->at;
    return SN_OK;
}

/* Reductions of the loop become visible in the code around it. */
static sn_status check_end(Checker *c) {
    if (!c->depth) return refuse(c, "closes no loop");
    uint32_t loop = c->loops[--c->depth];
    uint32_t around = c->depth ? c->loops[c->depth - 1] : AT_ITEM;
    if (c->kernel->insts.data[loop].flags & K_VECTOR) c->vectors--;
    for (uint32_t i = loop; i < c->at; i++)
        if (c->homes[i] == NOT_YET) c->homes[i] = around;
    return SN_OK;
}

static sn_status check_immediate(const Checker *c, const KInst *inst) {
    const Kernel *k = c->kernel;
    bool good;
    switch (kop_row(inst->op)->form) {
    case KFORM_CONST:
        good = inst->imm == scalar_canonical(inst->dtype, inst->imm);
        break;
    case KFORM_CHECK:
    case KFORM_PARAM:
        good = inst->imm < (uint64_t)k->n_params;
        break;
    case KFORM_GRID:
        good = inst->imm < SN_MAX_RANK;
        break;
    case KFORM_INDEX:
    case KFORM_LOOP:
        good = inst->imm < k->axes.count;
        break;
    case KFORM_LOAD:
    case KFORM_STORE:
    case KFORM_ADDRESS:
        good = inst->imm < k->accesses.count;
        break;
    default:
        good = inst->imm == 0;
        break;
    }
    return good ? SN_OK : refuse(c, "immediate out of range");
}

static sn_status check_form(Checker *c, const KInst *inst) {
    switch (kop_row(inst->op)->form) {
    case KFORM_INDEX:
        return axis_open(c, inst->imm) ? SN_OK : refuse(c, "outside a loop over its axis");
    case KFORM_LOAD:
    case KFORM_STORE:
    case KFORM_ADDRESS:
        return check_access_use(c, inst);
    case KFORM_LOOP:
        return check_loop(c, inst);
    case KFORM_END:
        return check_end(c);
    case KFORM_REDUCE:
    case KFORM_SCAN:
        return check_reduction(c, inst);
    default:
        return SN_OK;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static sn_status check_inst(Checker *c) {
    const KInst *inst = &c->kernel->insts.data[c->at];
    const KOpRow *row = kop_row(inst->op);
    if (row->form == KFORM_NONE) return refuse(c, "no op of kernel IR");
    if (inst->flags & ~(uint32_t)row->flags) return refuse(c, "flags that this op does not have");
    if (inst->order && row->form != KFORM_REDUCE) return refuse(c, "an order that means nothing");
    TRY(check_operands(c, inst));
    TRY(check_result(c, inst));
    TRY(check_immediate(c, inst));
    c->homes[c->at] = NOT_A_VALUE;
    TRY(check_form(c, inst));
    if (row->form == KFORM_REDUCE)
        c->homes[c->at] = NOT_YET;
    else if (row->result != KRESULT_NONE)
        c->homes[c->at] = c->depth ? c->loops[c->depth - 1] : AT_ITEM;
    return SN_OK;
}

static sn_status check_insts(Checker *c) {
    for (c->at = 0; c->at < c->kernel->insts.count; c->at++) TRY(check_inst(c));
    return c->depth ? refuse(c, "a loop is not closed") : SN_OK;
}

sn_status kernel_verify(const Kernel *kernel, sn_error *error) {
    Checker c = {.kernel = kernel, .error = error, .at = kernel->insts.count};
    TRY(check_args(&c));
    TRY(check_accesses(&c));
    c.homes = mem_alloc((kernel->insts.count + 1) * sizeof *c.homes);
    if (!c.homes) return error_memory(error);
    sn_status status = check_insts(&c);
    mem_free(c.homes);
    return status;
}
