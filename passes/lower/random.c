/* Lowering, random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011), one block of four words for each draw, in 64-bit integer arithmetic.
 * The counter is (generator's counter + draw's number), the key its seed. */
#include "passes/lower/lower.h"

#include "ir/op/dtype.h"
#include "ir/scalar/scalar.h"

#include <math.h>

enum { ROUNDS = 10 };
static const int64_t multiplier[2] = {0xD2511F53, 0xCD9E8D57};
static const int64_t weyl[2] = {0x9E3779B9, 0xBB67AE85};
static const int64_t word_mask = 0xFFFFFFFF;

typedef struct Draw {
    Lower *l;       /* where code goes */
    sn_dtype dtype; /* of the result */
} Draw;

static KValue scalar_int(Draw *d, int64_t value) {
    return kb_int(d->l->builder, SN_I64, value);
}
static KValue op2(Draw *d, OpCode op, KValue x, KValue y) {
    return lower_op(d->l, op, x, y, KVALUE_NONE);
}
static KValue low_word(Draw *d, KValue x) {
    return op2(d, OP_BITWISE_AND, x, scalar_int(d, word_mask));
}
static KValue high_word(Draw *d, KValue x) {
    return op2(d, OP_SHIFT_RIGHT_LOGICAL, x, scalar_int(d, 32));
}

/* The first two words of the block. */
static void philox(Draw *d, KValue seed, KValue counter, KValue words[2]) {
    KValue c0 = low_word(d, counter), c1 = high_word(d, counter);
    KValue c2 = scalar_int(d, 0), c3 = scalar_int(d, 0);
    KValue k0 = low_word(d, seed), k1 = high_word(d, seed);
    for (int32_t round = 0; round < ROUNDS && !d->l->failed; round++) {
        KValue p0 = op2(d, OP_MUL, c0, scalar_int(d, multiplier[0]));
        KValue p1 = op2(d, OP_MUL, c2, scalar_int(d, multiplier[1]));
        KValue n0 = op2(d, OP_BITWISE_XOR, op2(d, OP_BITWISE_XOR, high_word(d, p1), c1), k0);
        KValue n2 = op2(d, OP_BITWISE_XOR, op2(d, OP_BITWISE_XOR, high_word(d, p0), c3), k1);
        c1 = low_word(d, p1);
        c3 = low_word(d, p0);
        c0 = n0;
        c2 = n2;
        k0 = low_word(d, op2(d, OP_ADD, k0, scalar_int(d, weyl[0])));
        k1 = low_word(d, op2(d, OP_ADD, k1, scalar_int(d, weyl[1])));
    }
    words[0] = c0;
    words[1] = c1;
}

static KValue scalar(Draw *d, double value) {
    return kb_float(d->l->builder, d->dtype, value);
}

static KValue cast(Draw *d, KValue x) {
    if (d->l->failed) return KVALUE_NONE;
    int32_t depth = lower_depth(d->l, x);
    kbuilder_at(d->l->builder, d->l->regions[depth]);
    KInst inst = {.op = OP_CAST, .dtype = (uint8_t)d->dtype, .in = {x, KVALUE_NONE, KVALUE_NONE}};
    return lower_inst(d->l, inst, depth);
}

/* k / 2^bits of the `bits` upper bits: 24 of one word for f32, 53 of two for f64. */
static KValue uniform(Draw *d, const KValue words[2], double add) {
    KValue bits;
    double scale;
    if (d->dtype == SN_F32) {
        bits = op2(d, OP_SHIFT_RIGHT_LOGICAL, words[0], scalar_int(d, 8));
        scale = ldexp(1, -24);
    } else {
        KValue high = op2(d, OP_SHIFT_LEFT, words[0], scalar_int(d, 21));
        bits = op2(d, OP_BITWISE_OR, high,
                   op2(d, OP_SHIFT_RIGHT_LOGICAL, words[1], scalar_int(d, 11)));
        scale = ldexp(1, -53);
    }
    KValue u = cast(d, bits);
    if (add != 0) u = op2(d, OP_ADD, u, scalar(d, add));
    return op2(d, OP_MUL, u, scalar(d, scale));
}

static KValue expand(Draw *d, OpCode op, KValue x) {
    Lower *l = d->l;
    if (l->failed) return KVALUE_NONE;
    int32_t depth = lower_depth(l, x);
    kbuilder_at(l->builder, l->regions[depth]);
    KValue value = scalar_expand(l->builder, op, d->dtype, &x, 1, (AttrView){0}, l->context->error);
    return value == KVALUE_NONE ? lower_fail(l, "a draw could not be expanded")
                                : lower_depth_at(l, value, depth);
}

/* Box and Muller (1958): sqrt(-2 ln u1) cos(2 pi u2), u1 in (0, 1]. */
static KValue normal(Draw *d, const KValue words[2], const KValue other[2]) {
    KValue radius = op2(d, OP_MUL, expand(d, OP_LOG, uniform(d, words, 1)), scalar(d, -2));
    radius = lower_op(d->l, OP_SQRT, radius, KVALUE_NONE, KVALUE_NONE);
    KValue angle = op2(d, OP_MUL, uniform(d, other, 0), scalar(d, 6.283185307179586));
    return op2(d, OP_MUL, radius, expand(d, OP_COS, angle));
}

KValue lower_random(Lower *l, OpCode op, sn_dtype dtype, KValue seed, KValue counter,
                    KValue index) {
    Draw d = {l, dtype};
    KValue words[2];
    philox(&d, seed, op2(&d, OP_ADD, counter, index), words);
    if (op == OP_RAND) return uniform(&d, words, 0);
    /* f64 needs two words a number: a second block, far away in the counter's range. */
    KValue other[2] = {words[1], words[0]};
    if (dtype == SN_F64) {
        KValue far =
            op2(&d, OP_BITWISE_XOR, op2(&d, OP_ADD, counter, index), scalar_int(&d, INT64_MIN));
        philox(&d, seed, far, other);
    }
    return normal(&d, words, other);
}
