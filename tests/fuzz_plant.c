/* Planted bugs and refused kernels; see fuzz_plant.h. */
#include "tests/fuzz_plant.h"

#include "base/status.h"
#include "frontend/compiled/entries.h"
#include "frontend/compiled/handle.h"
#include "runtime/kernels/backend.h"

#include <stdatomic.h>
#include <string.h>

/* ---- bugs ------------------------------------------------------------------------------------ */

static const struct {
    const char *name; /* of the op that is replaced */
    OpCode from, to;  /* what the compiled function runs instead */
} plants[] = {
    {"lt", OP_LT, OP_LE},
    {"maximum", OP_MAXIMUM, OP_MINIMUM},
    {"add", OP_ADD, OP_SUB},
    {"max", OP_MAX, OP_MIN},
    {"floor", OP_FLOOR, OP_CEIL},
    {"tril", OP_TRIL, OP_TRIU},
    {"argmax", OP_ARGMAX, OP_ARGMIN},
};

const char *plant_names(void) {
    return "lt maximum add max floor tril argmax; with --guards also: hidden mixed sizes";
}

static int32_t find(const char *name) {
    for (size_t i = 0; name && i < sizeof plants / sizeof *plants; i++)
        if (strcmp(plants[i].name, name) == 0) return (int32_t)i;
    return -1;
}

bool plant_hides_scalars(const char *name) {
    return name && strcmp(name, "hidden") == 0;
}

static void mix_entries(sn_compiled *compiled) {
    if (compiled->entries.entries.count < 2) return;
    Entry **at = &compiled->entries.entries.data[compiled->entries.entries.count - 2], *a = at[0],
          *b = at[1];
    if (a->key_words != b->key_words) return;
    Entry was = {.hash = a->hash, .key = a->key};
    a->hash = b->hash; /* places and keys change, so that a key is still found where it was */
    a->key = b->key;
    b->hash = was.hash;
    b->key = was.key;
    at[0] = b;
    at[1] = a;
}

static void forget_sizes(sn_compiled *compiled) {
    const GraphList *list = compiled->graphs.list;
    for (uint32_t i = 0; list && i < list->count; i++)
        if (list->graphs[i]->symbolic) list->graphs[i]->symbolic->table.guards.count = 0;
}

/* Bugs that are made between calls. */
static const struct {
    const char *name;                    /* of the bug */
    void (*make)(sn_compiled *compiled); /* makes it */
} guard_plants[] = {{"mixed", mix_entries}, {"sizes", forget_sizes}};

void plant_into_guards(sn_compiled *compiled, const char *name) {
    for (size_t i = 0; name && i < sizeof guard_plants / sizeof *guard_plants; i++)
        if (strcmp(guard_plants[i].name, name) == 0) guard_plants[i].make(compiled);
}

bool plant_known(const char *name) {
    bool known = find(name) >= 0 || plant_hides_scalars(name);
    for (size_t i = 0; i < sizeof guard_plants / sizeof *guard_plants; i++)
        known = known || strcmp(guard_plants[i].name, name) == 0;
    return known;
}

void plant_into(FuzzProgram *program, const char *name) {
    int32_t plant = find(name);
    for (int32_t i = 0; i < program->n_steps && plant >= 0; i++)
        if (program->steps[i].op == plants[plant].from) program->steps[i].op = plants[plant].to;
}

/* ---- kernels that do not compile ------------------------------------------------------------- */

static const Backend *real;   /* the code generator */
static Backend refusing;      /* the same, but for its compile */
static _Atomic int to_refuse; /* kernels yet to be refused */

static sn_status refuse_or_compile(const Kernel *kernel, const Target *target,
                                   const Schedule *schedule, const char *name, CodeBlob *blob,
                                   sn_error *error) {
    int left = atomic_load(&to_refuse);
    if (left > 0 && atomic_compare_exchange_strong(&to_refuse, &left, left - 1))
        return error_set(error, SN_ERROR_COMPILE, "refused by the fuzzer");
    return real->compile(kernel, target, schedule, name, blob, error);
}

bool plant_refusal(void) {
    if (!real) {
        real = backend_load("cpu", NULL);
        if (!real) return false;
        refusing = *real;
        refusing.compile = refuse_or_compile;
        if (!backend_register(&refusing)) return false;
    }
    atomic_store(&to_refuse, 1);
    return true;
}

bool plant_refused(void) {
    return atomic_exchange(&to_refuse, 0) == 0;
}
