/* What a contraction is; see contract.h. */
#include "ir/kernel/contract.h"

KCoef kcontract_step(const Kernel *kernel, const KAccess *access, uint32_t axis) {
    KCoef coef = kcoef_literal(0);
    for (uint32_t t = 0; t < access->n_terms; t++)
        if (kernel_term(kernel, access, t)->axis == axis)
            coef = kernel_term(kernel, access, t)->coef;
    return coef;
}

static const KAccess *find_plain(const Kernel *kernel, KValue value) {
    const KInst *load = kernel_inst(kernel, value);
    if (!kop_is(load->op, KFORM_LOAD) || load->flags & K_PREDICATED) return NULL;
    const KAccess *access = kernel_access(kernel, load->imm);
    for (uint32_t t = 0; t < access->n_terms; t++) {
        const KTerm *term = kernel_term(kernel, access, t);
        if (term->value != KVALUE_NONE) return NULL;
        for (uint32_t u = 0; u < t; u++)
            if (kernel_term(kernel, access, u)->axis == term->axis) return NULL;
    }
    return access;
}

static bool has_check(const Kernel *kernel, const KLoop *loop) {
    for (uint32_t i = loop->begin; i < loop->end; i++)
        if (kop_is(kernel_inst(kernel, i)->op, KFORM_CHECK)) return true;
    return false;
}

bool kernel_contract(const Kernel *kernel, const KLoops *loops, const KSpread *spread,
                     KContract *contract) {
    if (loops->n_loops != 2 || loops->n_reductions != 1) return false;
    const KLoop *columns = &loops->loops[0], *inner = &loops->loops[1];
    const KReduction *chain = &loops->reductions[0];
    if (chain->kind != KREDUCTION_CHAIN || chain->loop != 1 || inner->parent != 0) return false;
    if (!columns->vector || inner->stores || has_check(kernel, inner)) return false;
    for (uint32_t a = 0; a < kernel->args.count; a++)
        if (kernel->args.data[a].role == KARG_LOCAL) return false;
    const KInst *inst = kernel_inst(kernel, chain->inst);
    bool first = spread[inst->in[0]].kind == SPREAD_UNIFORM;
    bool second = spread[inst->in[1]].kind == SPREAD_UNIFORM;
    if (first == second) return false;
    *contract = (KContract){.columns = 0,
                            .inner = 1,
                            .column_axis = columns->axis,
                            .k_axis = inner->axis,
                            .chain = chain->inst,
                            .row = inst->in[first ? 0 : 1],
                            .column = inst->in[first ? 1 : 0]};
    contract->plain_row = find_plain(kernel, contract->row);
    contract->plain = find_plain(kernel, contract->column);
    return true;
}
