/* Hoisting: which values of a contraction's results hang on the column alone; see contract.h. The scale of a
 * norm is one: a root and a division for each column, and not for each row of it. */
#include "codegen/cpu/contract.h"

/* From so many cheap instructions on, or one that is dear, a call of their own pays. */
enum { LEAST_WORK = 4 };

/* What is known of the instructions of a kernel, each by its number. */
typedef struct Facts {
    bool *fixed; /* the same for all items */
    bool *used;  /* and something that is not needs it */
} Facts;

static bool all_fixed(const Facts *facts, const KInst *inst) {
    for (uint32_t i = 0; i < 3; i++)
        if (inst->in[i] != KVALUE_NONE && !facts->fixed[inst->in[i]]) return false;
    return true;
}

static bool load_is_fixed(const Kernel *kernel, const KContract *contract, const Facts *facts,
                          const KInst *load) {
    const KAccess *access = kernel_access(kernel, load->imm);
    if (kernel_access_arg(kernel, load->imm)->role != KARG_SHARED) return false;
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(kernel, access, t);
        bool fixed = term->value == KVALUE_NONE ? term->axis == contract->column_axis
                                                : facts->fixed[term->value];
        if (!fixed) return false;
    }
    return true;
}

/* Is the value the same for all items? Of its operands that is known. */
static bool is_fixed(const Kernel *kernel, const KContract *contract, const Facts *facts,
                     const KInst *inst) {
    switch ((KForm)kop_row(inst->op)->form) {
    case KFORM_CONST:
    case KFORM_PARAM:
        return true;
    case KFORM_INDEX:
        return inst->imm == contract->column_axis;
    case KFORM_PRIM:
        return all_fixed(facts, inst);
    case KFORM_LOAD:
        return all_fixed(facts, inst) && load_is_fixed(kernel, contract, facts, inst);
    default:
        return false;
    }
}

static void note_uses(const Kernel *kernel, const Facts *facts, const KInst *inst) {
    for (uint32_t i = 0; i < 3; i++)
        if (inst->in[i] != KVALUE_NONE) facts->used[inst->in[i]] = true;
    if (!kop_is_access(inst->op)) return;
    const KAccess *access = kernel_access(kernel, inst->imm);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        KValue value = kernel_term(kernel, access, t)->value;
        if (value != KVALUE_NONE) facts->used[value] = true;
    }
}

static int32_t work_of(const KInst *inst) {
    if (!kop_is(inst->op, KFORM_PRIM) || !dtype_is_float((sn_dtype)inst->dtype)) return 0;
    return inst->op == OP_DIV || inst->op == OP_SQRT ? LEAST_WORK : 1;
}

bool contract_hoist(const Kernel *kernel, const KLoops *loops, const KContract *contract,
                    Arena *arena, Hoisted *hoisted) {
    const KLoop *columns = &loops->loops[contract->columns];
    uint8_t dtype = kernel_inst(kernel, contract->chain)->dtype;
    Facts facts = {arena_zalloc(arena, kernel->insts.count + 1),
                   arena_zalloc(arena, kernel->insts.count + 1)};
    int32_t work = 0;
    hoisted->count = 0;
    if (!facts.fixed || !facts.used) return false;
    for (uint32_t i = 0; i < kernel->insts.count; i++) {
        const KInst *inst = kernel_inst(kernel, i);
        facts.fixed[i] = is_fixed(kernel, contract, &facts, inst);
        if (facts.fixed[i]) work += work_of(inst);
        if (!facts.fixed[i]) note_uses(kernel, &facts, inst);
    }
    for (uint32_t i = columns->begin; i < columns->end && work >= LEAST_WORK; i++) {
        const KInst *inst = kernel_inst(kernel, i);
        if (!facts.fixed[i] || !facts.used[i] || !kop_is(inst->op, KFORM_PRIM)) continue;
        if (inst->dtype != dtype || loops->loop_of[i] != contract->columns) continue;
        if (hoisted->count < HOISTED_MOST) hoisted->values[hoisted->count++] = i;
    }
    return true;
}
