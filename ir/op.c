/* The op table expanded from op.def, its signatures parsed once, and look-up of ops by name. */
#include "ir/op.h"

#include "base/assert.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

const OpInfo op_info[OP_COUNT] = {
#define OP(id, name, klass, signature, dtype_rule, shape_rule, flags, about)                       \
    {name, signature, about, CLASS_##klass, DTYPE_##dtype_rule, SHAPE_##shape_rule, flags},
#include "ir/op.def"
#undef OP
};

enum { NAME_SLOTS = 1024 };
_Static_assert((int)OP_COUNT * 2 <= (int)NAME_SLOTS, "the name table must stay half empty");

/* Written once by parse_table under table_once, read only afterwards. */
static OpSignature signatures[OP_COUNT];
static OpOperands operands[OP_COUNT];
static uint16_t name_slots[NAME_SLOTS]; /* op + 1 by hash of its name; 0 = free slot */
static pthread_once_t table_once = PTHREAD_ONCE_INIT;
static _Atomic bool table_made;

/* FNV-1a. */
static uint32_t name_hash(const char *name, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash ^ (hash >> 15);
}

static OpOperands operands_of(const OpSignature *signature) {
    OpOperands found = {.array = -1};
    for (int32_t i = 0; i < signature->count; i++) {
        const OpParam *param = &signature->params[i];
        found.numbers = found.numbers || param->is_real;
        if (param->kind != 't' && param->kind != 'r') continue;
        if (param->suffix == '*') found.array = found.count;
        found.params[found.count++] = (int8_t)i;
    }
    return found;
}

static void parse_table(void) {
    char fault[OP_MOST_FAULT];
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        bool right = op_signature_parse(op_info[op].signature, &signatures[op], fault);
        SN_ASSERT(right);
        operands[op] = operands_of(&signatures[op]);
        uint32_t slot = name_hash(op_info[op].name, strlen(op_info[op].name)) % NAME_SLOTS;
        while (name_slots[slot]) slot = (slot + 1) % NAME_SLOTS;
        name_slots[slot] = (uint16_t)(op + 1);
    }
    atomic_store_explicit(&table_made, true, memory_order_release);
}

static void need_table(void) {
    if (!atomic_load_explicit(&table_made, memory_order_acquire))
        pthread_once(&table_once, parse_table);
}

const OpParam *op_params(OpCode op, int32_t *count) {
    need_table();
    *count = signatures[op].count;
    return signatures[op].params;
}

const OpOperands *op_operands(OpCode op) {
    need_table();
    return &operands[op];
}

OpCode op_find(const char *name, size_t length) {
    need_table();
    uint32_t slot = name_hash(name, length) % NAME_SLOTS;
    for (; name_slots[slot]; slot = (slot + 1) % NAME_SLOTS) {
        const char *candidate = op_info[name_slots[slot] - 1].name;
        if (strncmp(candidate, name, length) == 0 && candidate[length] == 0)
            return (OpCode)(name_slots[slot] - 1);
    }
    return OP_COUNT;
}
