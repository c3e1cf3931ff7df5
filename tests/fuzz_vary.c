/* Other arguments for the same steps; see fuzz_vary.h. */
#include "tests/fuzz_vary.h"

#include "frontend/tensor/tensor.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COUNT = 20000 };

const char *const fuzz_variation_names[FUZZ_VARIATION_COUNT] = {
    [FUZZ_VARY_DATA] = "elements",       [FUZZ_VARY_INDEX] = "indices",
    [FUZZ_VARY_SIZE] = "sizes",          [FUZZ_VARY_RANK] = "rank",
    [FUZZ_VARY_DTYPE] = "dtype",         [FUZZ_VARY_SCALAR] = "scalars",
    [FUZZ_VARY_STRIDES] = "strides",     [FUZZ_VARY_ALIAS] = "aliases",
    [FUZZ_VARY_SIZES] = "several sizes", [FUZZ_VARY_LAYOUT] = "layouts",
    [FUZZ_VARY_PRESENT] = "presence",
};

typedef bool Vary(FuzzProgram *p, FuzzRandom *random);

/* ---- layouts --------------------------------------------------------------------------------- */

static bool is_dense(const FuzzInput *input) {
    int64_t strides[SN_MAX_RANK];
    dense_strides(input->dims, input->rank, strides);
    return memcmp(strides, input->strides, sizeof(int64_t) * (size_t)input->rank) == 0;
}

/* Makes the block hold all that the input reaches. */
static bool fit_block(FuzzProgram *p, FuzzInput *input) {
    int64_t first = 0, last = 0, count = 1;
    for (int32_t d = 0; d < input->rank; d++) {
        count *= input->dims[d];
        int64_t reach = (input->dims[d] - 1) * input->strides[d];
        if (input->dims[d] > 0) *(reach < 0 ? &first : &last) += reach;
    }
    if (input->offset + first < 0) input->offset = -first;
    FuzzBlock *block = &p->blocks[input->block];
    if (block->count <= input->offset + last) block->count = input->offset + last + 1;
    return count <= MOST_COUNT && block->count <= 4 * MOST_COUNT;
}

static int32_t users_of(const FuzzProgram *p, int32_t block) {
    int32_t users = 0;
    for (int32_t i = 0; i < p->n_inputs; i++) users += p->inputs[i].block == block;
    return users;
}

static FuzzInput *any_input(FuzzProgram *p, FuzzRandom *random, int32_t min_rank) {
    for (int32_t tries = 0; tries < 8; tries++) {
        FuzzInput *input = &p->inputs[fuzz_below(random, p->n_inputs)];
        if (input->rank >= min_rank) return input;
    }
    return NULL;
}

/* ---- variations ------------------------------------------------------------------------------ */

static bool vary_data(FuzzProgram *p, FuzzRandom *random) {
    for (int32_t i = 0; i < p->n_blocks; i++) p->blocks[i].seed = fuzz_next(random) >> 40;
    p->counter = fuzz_next(random) >> 50;
    return true;
}

static bool vary_index(FuzzProgram *p, FuzzRandom *random) {
    for (int32_t tries = 0; tries < 8; tries++) {
        FuzzBlock *block = &p->blocks[fuzz_below(random, p->n_blocks)];
        if (block->fill < FUZZ_INDEX) continue;
        block->fill = block->fill == FUZZ_INDEX ? FUZZ_BAD_INDEX : FUZZ_INDEX;
        return true;
    }
    return false;
}

/* Gives the input these dims in a layout like the one it has: the order of axes, directions, gaps. */
static void set_dims(FuzzInput *input, const int64_t *dims) {
    int32_t order[SN_MAX_RANK];
    int64_t reach = 1, new_reach = 1;
    bool dense = is_dense(input);
    fuzz_order_axes(input, order);
    for (int32_t i = 0; i < input->rank; i++) {
        int32_t axis = order[i];
        int64_t stride = llabs(input->strides[axis]), old = input->dims[axis];
        int64_t gap = stride > reach ? stride - reach : 0;
        input->dims[axis] = dims[axis];
        if (stride == 0) continue;
        input->strides[axis] = input->strides[axis] < 0 ? -(new_reach + gap) : new_reach + gap;
        reach = stride * (old > 0 ? old : 1);
        new_reach = (new_reach + gap) * (dims[axis] > 0 ? dims[axis] : 1);
    }
    if (dense) dense_strides(input->dims, input->rank, input->strides);
}

/* Each axis of size `from`, or that many of 100 of them, becomes one of size `to`. */
static bool resize(FuzzProgram *p, FuzzInput *input, int64_t from, int64_t to, FuzzRandom *random,
                   int percent) {
    int64_t dims[SN_MAX_RANK];
    for (int32_t d = 0; d < input->rank; d++) {
        bool changes = input->dims[d] == from && fuzz_chance(random, percent);
        dims[d] = changes ? to : input->dims[d];
    }
    set_dims(input, dims);
    return fit_block(p, input);
}

/* The same in all inputs; indices below the size follow it. */
static bool resize_all(FuzzProgram *p, int64_t from, int64_t to, FuzzRandom *random, int percent) {
    bool ok = true;
    for (int32_t i = 0; i < p->n_blocks && to > 0 && percent == 100; i++)
        if (p->blocks[i].fill >= FUZZ_INDEX && p->blocks[i].bound == from) p->blocks[i].bound = to;
    for (int32_t i = 0; i < p->n_inputs; i++)
        ok = resize(p, &p->inputs[i], from, to, random, percent) && ok;
    return ok;
}

static bool vary_size(FuzzProgram *p, FuzzRandom *random) {
    static const int64_t sizes[] = {1, 2, 3, 5, 8, 17, 31, 33, 64, 65, 0, 4};
    FuzzInput *input = any_input(p, random, 1);
    if (!input) return false;
    int64_t from = input->dims[fuzz_below(random, input->rank)], to = sizes[fuzz_below(random, 12)];
    if (fuzz_chance(random, 40)) to = from + (fuzz_chance(random, 50) && from ? -1 : 1);
    if (from == to) return false;
    if (fuzz_chance(random, 15)) return resize(p, input, from, to, random, 100);
    return resize_all(p, from, to, random, 100);
}

/* A size to put in the place of `from`: an edge of the schedule, or one that has to do with the sizes
 * that are there. */
static int64_t other_size(FuzzProgram *p, int64_t from, FuzzRandom *random) {
    static const int64_t edges[] = {0,  1,  1,  2,  3,  4,  5,  6,   7,   8,    9,    11,  13,
                                    15, 16, 17, 31, 32, 33, 63, 64,  65,  127,  129,  256, 257,
                                    1,  2,  3,  5,  7,  13, 31, 509, 512, 1023, 1024, 1025};
    const FuzzInput *input = any_input(p, random, 1);
    int64_t other = input ? input->dims[fuzz_below(random, input->rank)] : 1;
    switch (fuzz_below(random, 12)) {
    case 0:
    case 1:
        return other;
    case 2:
        return from * other;
    case 3:
        return from + other;
    case 4:
        return from * (2 + fuzz_below(random, 2));
    case 5:
        return from / 2;
    case 6:
        return from + 1;
    case 7:
        return from > 0 ? from - 1 : 2;
    default:
        return edges[fuzz_below(random, sizeof edges / sizeof *edges)];
    }
}

static bool vary_sizes(FuzzProgram *p, FuzzRandom *random) {
    int64_t moves = 1 + fuzz_below(random, 3);
    bool ok = true, any = false;
    for (int64_t i = 0; i < moves && ok; i++) {
        const FuzzInput *input = any_input(p, random, 1);
        if (!input) return false;
        int64_t from = input->dims[fuzz_below(random, input->rank)];
        int64_t to = other_size(p, from, random);
        any = any || from != to;
        ok =
            to <= MOST_COUNT && resize_all(p, from, to, random, fuzz_chance(random, 65) ? 100 : 50);
    }
    return ok && any;
}

static bool vary_rank(FuzzProgram *p, FuzzRandom *random) {
    FuzzInput *input = any_input(p, random, 0);
    if (!input || input->rank >= SN_MAX_RANK - 1) return false;
    int32_t at = (int32_t)fuzz_below(random, input->rank + 1);
    for (int32_t d = input->rank; d > at; d--) {
        input->dims[d] = input->dims[d - 1];
        input->strides[d] = input->strides[d - 1];
    }
    input->dims[at] = input->strides[at] = 1;
    input->rank++;
    return true;
}

static bool vary_dtype(FuzzProgram *p, FuzzRandom *random) {
    static const sn_dtype reals[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    static const sn_dtype integers[] = {SN_I64, SN_I32, SN_I16, SN_I8, SN_U8, SN_BOOL};
    FuzzBlock *block = &p->blocks[fuzz_below(random, p->n_blocks)];
    sn_dtype old = block->dtype;
    if (block->fill >= FUZZ_INDEX)
        block->dtype = old == SN_I64 ? SN_I32 : SN_I64;
    else if (dtype_is_float(old) != fuzz_chance(random, 15))
        block->dtype = reals[fuzz_below(random, 4)];
    else
        block->dtype = integers[fuzz_below(random, 6)];
    return block->dtype != old;
}

/* Of each letter's range, the ends too. */
static double other_scalar(char letter, FuzzRandom *random) {
    static const double reals[] = {0,        -0.0, 1,    -1.5,      0.25,   7, 1e-3, 1e30,
                                   INFINITY, NAN,  1e40, -INFINITY, 5e-324, 2, 3,    1e300};
    static const double ends[] = {-0x1p63, 0x1p63, -0x1p31, 0x1p31 - 1, 1024, 32, 1e15, -1000};
    double real = reals[fuzz_below(random, 16)];
    bool end = fuzz_chance(random, 20);
    double integer = end ? ends[fuzz_below(random, 8)] : (double)(fuzz_below(random, 12) - 4);
    switch (letter) {
    case 'd':
    case 'w':
        return real;
    case 'f':
        return (double)(float)real;
    case 'b':
        return (double)fuzz_below(random, 2);
    case 'i':
        return fmax(-0x1p31, fmin(0x1p31 - 1, integer));
    default:
        return integer;
    }
}

static bool vary_scalar(FuzzProgram *p, FuzzRandom *random) {
    if (!p->n_scalars) return false;
    FuzzScalar *scalar = &p->scalars[fuzz_below(random, p->n_scalars)];
    double old = scalar->value;
    scalar->value = other_scalar(scalar->letter, random);
    return memcmp(&old, &scalar->value, sizeof old) != 0;
}

static bool vary_strides(FuzzProgram *p, FuzzRandom *random) {
    FuzzInput *input = any_input(p, random, 1);
    if (!input || users_of(p, input->block) > 1) return false;
    int64_t reach = 1;
    bool dense = is_dense(input), gaps = fuzz_chance(random, 40);
    for (int32_t k = 0; k < input->rank; k++) { /* column-major, perhaps with gaps, or dense */
        int32_t d = dense ? k : input->rank - 1 - k;
        input->strides[d] = reach;
        reach *= input->dims[d] > 0 ? input->dims[d] : 1;
        if (dense && gaps) reach += 1 + fuzz_below(random, 3);
    }
    return fit_block(p, input);
}

/* Two inputs of one dtype come to lie in the same block, at the same place or a little apart; or one
 * that shares a block gets its own. */
static bool vary_alias(FuzzProgram *p, FuzzRandom *random) {
    FuzzInput *a = any_input(p, random, 0), *b = any_input(p, random, 0);
    for (int32_t tries = 0; tries < 8; tries++)
        if (a == b || p->blocks[a->block].dtype != p->blocks[b->block].dtype)
            b = any_input(p, random, 0);
    if (a == b) return false;
    const FuzzBlock *block = &p->blocks[a->block];
    if (block->fill >= FUZZ_INDEX || p->blocks[b->block].fill >= FUZZ_INDEX) return false;
    if (a->block == b->block) {
        if (p->n_blocks == FUZZ_MOST_INPUTS) return false;
        p->blocks[p->n_blocks] = *block;
        b->block = p->n_blocks++;
        return true;
    }
    if (block->dtype != p->blocks[b->block].dtype) return false;
    b->block = a->block;
    if (fuzz_chance(random, 70)) b->offset = a->offset + fuzz_below(random, 3);
    bool alike = a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0;
    if (alike && fuzz_chance(random, 50)) { /* the same tensor, passed twice */
        memcpy(b->strides, a->strides, sizeof a->strides);
        b->offset = a->offset;
    }
    return fit_block(p, b);
}

static bool vary_layout(FuzzProgram *p, FuzzRandom *random) {
    FuzzInput *input = any_input(p, random, 1);
    if (!input) return false;
    int64_t axis = fuzz_below(random, input->rank), *stride = &input->strides[axis];
    switch (users_of(p, input->block) > 1 ? 0 : fuzz_below(random, 5)) {
    case 0:
        input->offset += 1 + fuzz_below(random, 5);
        break;
    case 1: /* backwards */
        if (input->dims[axis] > 0) input->offset += (input->dims[axis] - 1) * *stride;
        *stride = -*stride;
        break;
    case 2: /* repeated */
        *stride = 0;
        break;
    case 3: /* every second element along each axis */
        for (int32_t d = 0; d < input->rank; d++) input->strides[d] *= 2;
        break;
    default: /* the stride of an axis of size 1 may be any number */
        if (input->dims[axis] > 1) return false;
        *stride = fuzz_below(random, 9) - 2;
    }
    return fit_block(p, input);
}

/* The last ones of an array only: those behind one that is absent are. */
static bool vary_present(FuzzProgram *p, FuzzRandom *random) {
    int32_t number = (int32_t)fuzz_below(random, p->n_inputs);
    FuzzInput *input = &p->inputs[number];
    if (input->place != FUZZ_OPTIONAL) return false;
    input->absent = !input->absent;
    for (int32_t i = 0; i < p->n_inputs && p->passing == FUZZ_ARRAY; i++)
        if (p->inputs[i].place == FUZZ_OPTIONAL && (input->absent ? i > number : i < number))
            p->inputs[i].absent = input->absent;
    return true;
}

bool fuzz_vary(const FuzzProgram *from, FuzzVariation variation, FuzzRandom *random,
               FuzzProgram *to) {
    static Vary *const rules[FUZZ_VARIATION_COUNT] = {
        [FUZZ_VARY_DATA] = vary_data,       [FUZZ_VARY_INDEX] = vary_index,
        [FUZZ_VARY_SIZE] = vary_size,       [FUZZ_VARY_RANK] = vary_rank,
        [FUZZ_VARY_DTYPE] = vary_dtype,     [FUZZ_VARY_SCALAR] = vary_scalar,
        [FUZZ_VARY_STRIDES] = vary_strides, [FUZZ_VARY_ALIAS] = vary_alias,
        [FUZZ_VARY_SIZES] = vary_sizes,     [FUZZ_VARY_LAYOUT] = vary_layout,
        [FUZZ_VARY_PRESENT] = vary_present,
    };
    *to = *from;
    return rules[variation](to, random);
}

/* ---- guards ---------------------------------------------------------------------------------- */

/* The first input whose first element is this one's. */
static int32_t same_place(const FuzzProgram *p, int32_t number) {
    const FuzzInput *input = &p->inputs[number];
    for (int32_t i = 0; i < number; i++)
        if (p->inputs[i].block == input->block && p->inputs[i].offset == input->offset) return i;
    return number;
}

bool fuzz_same_guards(const FuzzProgram *a, const FuzzProgram *b) {
    for (int32_t i = 0; i < a->n_inputs; i++) {
        const FuzzInput *x = &a->inputs[i], *y = &b->inputs[i];
        size_t bytes = sizeof(int64_t) * (size_t)x->rank;
        if (a->blocks[x->block].dtype != b->blocks[y->block].dtype || x->rank != y->rank ||
            memcmp(x->dims, y->dims, bytes) != 0 || memcmp(x->strides, y->strides, bytes) != 0 ||
            same_place(a, i) != same_place(b, i))
            return false;
    }
    for (int32_t i = 0; i < a->n_scalars; i++)
        if (memcmp(&a->scalars[i].value, &b->scalars[i].value, sizeof(double)) != 0) return false;
    return true;
}
