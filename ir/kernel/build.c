/* The kernel builder: regions, value numbering, emitting. Emitting is already optimising: fold → find an
 * equal value in scope → append. */
#include "base/assert.h"
#include "base/status.h"
#include "ir/kernel/builder.h"
#include "ir/kernel/form.h"

static void fail_memory(KBuilder *b) {
    if (b->status == SN_OK) b->status = error_memory(&b->error);
}

void kbuilder_fail(KBuilder *b, const char *what, uint32_t op) {
    if (b->status != SN_OK) return;
    b->status = error_set(&b->error, SN_ERROR_INTERNAL, "kernel builder: %s: %s",
                          op < OP_COUNT ? op_info[op].name : "region", what);
}

/* ---- regions --------------------------------------------------------------------------------- */

static uint32_t new_scope(KBuilder *b, uint32_t parent) {
    SN_ASSERT(parent <= b->scopes.count);
    if (!vec_push(&b->scopes, parent)) {
        fail_memory(b);
        return 0;
    }
    return b->scopes.count - 1;
}

uint32_t kbuilder_region(KBuilder *b, uint32_t parent) {
    if (b->status != SN_OK) return FIRST_REGION;
    if (parent == BUILDER_NONE) parent = PROLOGUE;
    if (parent >= b->regions.count) {
        kbuilder_fail(b, "unknown parent", OP_COUNT);
        return FIRST_REGION;
    }
    uint32_t scope = new_scope(b, b->regions.data[parent].scope);
    if (!vec_push(&b->regions,
                  ((Region){parent, scope, BUILDER_NONE, BUILDER_NONE, BUILDER_NONE}))) {
        fail_memory(b);
        return FIRST_REGION;
    }
    return b->regions.count - 1;
}

KBuilder *kbuilder_new(void) {
    KBuilder *b = mem_calloc(1, sizeof *b);
    if (!b) return NULL;
    new_scope(b, 0);
    if (!vec_push(&b->regions, ((Region){PROLOGUE, 0, BUILDER_NONE, BUILDER_NONE, BUILDER_NONE})))
        fail_memory(b);
    b->current = kbuilder_region(b, BUILDER_NONE);
    if (b->status != SN_OK) {
        kbuilder_free(b);
        return NULL;
    }
    return b;
}

void kbuilder_free(KBuilder *b) {
    if (!b) return;
    vec_free(&b->insts);
    vec_free(&b->items);
    vec_free(&b->regions);
    vec_free(&b->scopes);
    map_free(&b->numbering);
    mem_free(b);
}

void kbuilder_at(KBuilder *b, uint32_t region) {
    if (region != PROLOGUE && region < b->regions.count)
        b->current = region;
    else
        kbuilder_fail(b, "unknown", OP_COUNT);
}

uint32_t kbuilder_current(const KBuilder *b) {
    return b->current;
}

/* Index of the new item at the end of `region`, BUILDER_NONE when out of memory. */
static uint32_t append_item(KBuilder *b, uint32_t region, uint32_t index, bool is_region) {
    if (!vec_push(&b->items, ((Item){index, BUILDER_NONE, is_region}))) {
        fail_memory(b);
        return BUILDER_NONE;
    }
    SN_ASSERT(region < b->regions.count);
    uint32_t item = b->items.count - 1;
    Region *r = &b->regions.data[region];
    SN_ASSERT((r->first == BUILDER_NONE) == (r->last == BUILDER_NONE));
    if (r->last == BUILDER_NONE)
        r->first = item;
    else
        b->items.data[r->last].next = item;
    r->last = item;
    return item;
}

void kb_place(KBuilder *b, uint32_t outer, uint32_t inner) {
    if (b->status != SN_OK) return;
    if (inner >= b->regions.count || outer >= b->regions.count || inner <= FIRST_REGION ||
        b->regions.data[inner].parent != outer || b->regions.data[inner].placed != BUILDER_NONE) {
        kbuilder_fail(b, "placed twice, or not in its parent", OP_COUNT);
        return;
    }
    b->regions.data[inner].placed = append_item(b, outer, inner, true);
}

/* ---- value numbering ------------------------------------------------------------------------- */

/* True when value `v` may be used at the current point: it stands in this or an enclosing region
 * before the inner code, and no loop that it is in was closed. */
static bool visible(const KBuilder *b, uint32_t v) {
    SN_ASSERT(v < b->insts.count);
    const BuildInst *found = &b->insts.data[v];
    uint32_t region = b->current;
    uint32_t placed = BUILDER_NONE;
    while (region != found->region) {
        if (region == PROLOGUE) return false;
        SN_ASSERT(b->regions.data[region].parent < region); /* so that the walk ends */
        placed = b->regions.data[region].placed;
        region = b->regions.data[region].parent;
    }
    if (placed < found->item) return false;
    uint32_t scope = b->regions.data[b->current].scope;
    while (scope != found->scope && scope) scope = b->scopes.data[scope];
    return scope == found->scope;
}

typedef struct Wanted {
    const KBuilder *builder; /* where to look */
    const KInst *inst;       /* the instruction to find */
} Wanted;

static bool same_operands(const KInst *a, const KInst *b) {
    if (a->in[2] != b->in[2]) return false;
    if (a->in[0] == b->in[0] && a->in[1] == b->in[1]) return true;
    return op_has(a->op, F_COMMUTES) && a->in[0] == b->in[1] && a->in[1] == b->in[0];
}

static bool equals_wanted(const void *context, uint32_t index) {
    const Wanted *wanted = context;
    const KBuilder *b = wanted->builder;
    const KInst *x = wanted->inst;
    const BuildInst *found = &b->insts.data[index];
    const KInst *y = &found->inst;
    if (x->op != y->op || x->dtype != y->dtype || x->order != y->order || x->flags != y->flags ||
        x->imm != y->imm || !same_operands(x, y))
        return false;
    /* A reduction's value belongs to one loop, so only the same straight code may share it. */
    if (kop_row(x->op)->form == KFORM_REDUCE)
        return found->region == b->current && found->scope == b->regions.data[b->current].scope;
    return visible(b, index);
}

static uint64_t hash_inst(const KInst *inst) {
    uint64_t low = inst->in[0], high = inst->in[1];
    if (op_has(inst->op, F_COMMUTES) && low > high) {
        low = inst->in[1];
        high = inst->in[0];
    }
    uint64_t head = (uint64_t)inst->op << 48 | (uint64_t)inst->dtype << 40 |
                    (uint64_t)inst->order << 32 | inst->flags;
    return hash_mix(hash_mix(head, inst->imm), hash_mix(low << 32 | high, inst->in[2]));
}

/* What reads or writes memory, or stands for a place in the code, is not: it happens where it stands. */
static bool is_numbered(const KInst *inst) {
    switch (kop_row(inst->op)->form) {
    case KFORM_NONE:
    case KFORM_LOAD:
    case KFORM_STORE:
    case KFORM_CHECK:
    case KFORM_LOOP:
    case KFORM_END:
        return false;
    default:
        return true;
    }
}

static uint32_t home_region(const KBuilder *b, const KInst *inst) {
    uint8_t form = kop_row(inst->op)->form;
    bool item_wide = form == KFORM_CONST || form == KFORM_PARAM || form == KFORM_GRID;
    return item_wide ? PROLOGUE : b->current;
}

/* Loops open and close scopes of the region that they stand in. */
static void step_scope(KBuilder *b, uint32_t region, uint32_t op) {
    uint32_t scope = b->regions.data[region].scope;
    SN_ASSERT(scope < b->scopes.count);
    if (kop_is(op, KFORM_LOOP)) scope = new_scope(b, scope);
    if (kop_is(op, KFORM_END)) scope = b->scopes.data[scope];
    b->regions.data[region].scope = scope;
}

KValue kb_inst(KBuilder *b, KInst inst) {
    if (b->status != SN_OK) return KVALUE_NONE;
    if (kop_row(inst.op)->form == KFORM_NONE) {
        kbuilder_fail(b, "no op of kernel IR", inst.op);
        return KVALUE_NONE;
    }
    bool numbered = is_numbered(&inst);
    uint64_t hash = numbered ? hash_inst(&inst) : 0;
    if (numbered) {
        int64_t found = map_find(&b->numbering, hash, equals_wanted, &(Wanted){b, &inst});
        if (found != MAP_NONE) return (KValue)found;
    }
    uint32_t region = home_region(b, &inst);
    uint32_t value = b->insts.count;
    step_scope(b, region, inst.op);
    uint32_t item = append_item(b, region, value, false);
    uint32_t scope = b->regions.data[region].scope;
    if (item == BUILDER_NONE || !vec_push(&b->insts, ((BuildInst){inst, region, scope, item})) ||
        (numbered && !map_insert(&b->numbering, hash, value))) {
        fail_memory(b);
        return KVALUE_NONE;
    }
    return value;
}

/* ---- emitting -------------------------------------------------------------------------------- */

static KInst plain_inst(uint32_t op, sn_dtype dtype) {
    return (KInst){
        .op = (uint16_t)op, .dtype = (uint8_t)dtype, .in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
}

KValue kb_const(KBuilder *b, sn_dtype dtype, uint64_t bits) {
    SN_ASSERT((uint32_t)dtype < SN_DTYPE_COUNT);
    KInst inst = plain_inst(OP_CONST, dtype);
    inst.imm = scalar_canonical(dtype, bits);
    return kb_inst(b, inst);
}

KValue kb_float(KBuilder *b, sn_dtype dtype, double value) {
    return kb_const(b, dtype, dtype_bits_from_double(dtype, value));
}

KValue kb_int(KBuilder *b, sn_dtype dtype, int64_t value) {
    return kb_const(b, dtype, dtype_bits_from_int(dtype, value));
}

sn_dtype kb_dtype(const KBuilder *b, KValue x) {
    return x < b->insts.count ? (sn_dtype)b->insts.data[x].inst.dtype : SN_F32;
}

const KInst *kb_at(const KBuilder *b, KValue x) {
    return x < b->insts.count ? &b->insts.data[x].inst : NULL;
}

uint32_t kb_region(const KBuilder *b, KValue x) {
    return x < b->insts.count ? b->insts.data[x].region : PROLOGUE;
}

bool kb_is_const(const KBuilder *b, KValue x, uint64_t *bits) {
    if (x >= b->insts.count || !kop_is(b->insts.data[x].inst.op, KFORM_CONST)) return false;
    *bits = b->insts.data[x].inst.imm;
    return true;
}

/* Operands that leave the other one as it is, exactly and for every dtype of the row. */
typedef struct Neutral {
    uint16_t op;  /* OpCode */
    bool either;  /* the neutral operand may also be the first */
    bool floats;  /* holds for floats too */
    int8_t value; /* the neutral operand */
} Neutral;

static const Neutral neutrals[] = {
    {OP_MUL, true, true, 1},          {OP_DIV, false, true, 1},
    {OP_ADD, true, false, 0},         {OP_SUB, false, false, 0},
    {OP_INT_DIV, false, false, 1},    {OP_BITWISE_OR, true, false, 0},
    {OP_BITWISE_XOR, true, false, 0},
};

static KValue drop_neutral(const KBuilder *b, OpCode op, KValue x, KValue y) {
    sn_dtype dtype = kb_dtype(b, x);
    uint64_t bits;
    for (size_t i = 0; i < sizeof neutrals / sizeof *neutrals; i++) {
        const Neutral *n = &neutrals[i];
        if (n->op != op || (dtype_is_float(dtype) && !n->floats)) continue;
        uint64_t neutral = dtype_bits_from_int(dtype, n->value);
        if (kb_is_const(b, y, &bits) && bits == neutral) return x;
        if (n->either && kb_is_const(b, x, &bits) && bits == neutral) return y;
    }
    return KVALUE_NONE;
}

/* The operand that the result is known to be, or KVALUE_NONE. */
static KValue simplify(const KBuilder *b, const KInst *inst) {
    uint64_t bits;
    if (kop_chooses(inst->op)) {
        if (kb_is_const(b, inst->in[0], &bits)) return bits ? inst->in[1] : inst->in[2];
        if (inst->in[1] == inst->in[2]) return inst->in[1];
    }
    if (kop_row(inst->op)->n_inputs == 2)
        return drop_neutral(b, inst->op, inst->in[0], inst->in[1]);
    return KVALUE_NONE;
}

static bool fold(KBuilder *b, const KInst *inst, KValue *folded) {
    uint64_t in[3] = {0};
    for (uint32_t i = 0; i < kop_row(inst->op)->n_inputs; i++)
        if (!kb_is_const(b, inst->in[i], &in[i])) return false;
    uint64_t bits = scalar_eval(inst->op, inst->dtype, kb_dtype(b, inst->in[0]), in);
    *folded = kb_const(b, inst->dtype, bits);
    return true;
}

/* Operands of one op have one dtype, but for WHERE's condition. */
static bool operands_fit(KBuilder *b, const KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    uint32_t first = kop_first_typed(inst->op);
    for (uint32_t i = 0; i < row->n_inputs; i++) {
        if (inst->in[i] >= b->insts.count) {
            kbuilder_fail(b, "no such operand", inst->op);
            return false;
        }
        sn_dtype dtype = kb_dtype(b, inst->in[i]);
        sn_dtype wanted = i < first ? SN_BOOL : kb_dtype(b, inst->in[first]);
        if (dtype == wanted && (row->inputs >> dtype & 1)) continue;
        b->status = error_set(&b->error, SN_ERROR_INTERNAL, "kernel builder: %s: operand %u is %s",
                              op_info[inst->op].name, i, sn_dtype_name(dtype));
        return false;
    }
    return true;
}

static KValue emit_prim(KBuilder *b, KInst inst) {
    if (b->status != SN_OK) return KVALUE_NONE;
    const KOpRow *row = kop_row(inst.op);
    if (!operands_fit(b, &inst)) return KVALUE_NONE;
    if (row->result == KRESULT_BOOL) inst.dtype = SN_BOOL;
    if (row->result == KRESULT_SAME) inst.dtype = (uint8_t)kb_dtype(b, inst.in[0]);
    if (row->result == KRESULT_TAIL) inst.dtype = (uint8_t)kb_dtype(b, inst.in[1]);
    KValue known;
    if (fold(b, &inst, &known)) return known;
    known = simplify(b, &inst);
    return known != KVALUE_NONE ? known : kb_inst(b, inst);
}

static KValue emit_op(KBuilder *b, OpCode op, uint32_t flags, uint32_t count, KValue x, KValue y,
                      KValue z) {
    KInst inst = plain_inst(op, SN_BOOL);
    inst.flags = flags;
    if (kop_row(op)->form != KFORM_PRIM) kbuilder_fail(b, "no scalar primitive", op);
    if (kop_row(op)->n_inputs != count) kbuilder_fail(b, "wrong number of operands", op);
    inst.in[0] = x;
    inst.in[1] = y;
    inst.in[2] = z;
    return emit_prim(b, inst);
}

KValue kb_op1(KBuilder *b, OpCode op, KValue x) {
    return emit_op(b, op, 0, 1, x, KVALUE_NONE, KVALUE_NONE);
}

KValue kb_op2(KBuilder *b, OpCode op, KValue x, KValue y) {
    return emit_op(b, op, 0, 2, x, y, KVALUE_NONE);
}

KValue kb_op3(KBuilder *b, OpCode op, KValue x, KValue y, KValue z) {
    return emit_op(b, op, 0, 3, x, y, z);
}

KValue kb_where_rare(KBuilder *b, KValue condition, KValue x, KValue y) {
    return emit_op(b, OP_WHERE, K_RARE, 3, condition, x, y);
}

KValue kb_cast(KBuilder *b, sn_dtype dtype, KValue x) {
    SN_ASSERT((uint32_t)dtype < SN_DTYPE_COUNT);
    if (kb_dtype(b, x) == dtype && x < b->insts.count) return x;
    KInst inst = plain_inst(OP_CAST, dtype);
    inst.in[0] = x;
    return emit_prim(b, inst);
}

KValue kb_bitcast(KBuilder *b, sn_dtype dtype, KValue x) {
    sn_dtype from = kb_dtype(b, x);
    if (from == dtype && x < b->insts.count) return x;
    if (sn_dtype_size(from) != sn_dtype_size(dtype)) kbuilder_fail(b, "sizes differ", OP_BITCAST);
    KInst inst = plain_inst(OP_BITCAST, dtype);
    inst.in[0] = x;
    return emit_prim(b, inst);
}
