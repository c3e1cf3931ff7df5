/* Reductions and scans. Their orders are defined at the top of ir/kernel_interpret.c; the device
 * functions that carry them out stand in device.c.
 *
 * Why the bits of a ROW reduction do not depend on the number of warps: thread l of a warp adds the
 * elements of lane l of a chunk in ascending order, as defined. A warp takes an aligned group of
 * 2^k chunks. A full aligned group is one node of the pairwise tree of all chunks, at level k, and
 * so is what is left at the end, because an odd one passes up; the levels above see the groups as
 * they would see chunks. So pairing inside groups and then pairing the groups is the tree. The
 * lanes halve in the end through exchanges in which lane l gets x[l] + x[l xor h]: for l < h these
 * are the operands as defined, for the others the same two exchanged, which gives the same sum.
 *
 * Accumulators: s5 is the one of instruction 5 (an array of lanes, or of the three sums of a scan),
 * t5 the tree of its chunks, j5 the index of its best value, v5 the result. */
#include "codegen/cuda/emit.h"

#include <math.h>
#include <stdio.h>

/* ---- values ---------------------------------------------------------------------------------- */

/* What a reduction starts at: -0.0 or 0, 1, or the extreme that loses to every value. */
static uint64_t identity_bits(const Reduction *r) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    bool extreme = r->op == OP_MAXIMUM || r->op == OP_MINIMUM;
    if (dtype_is_float(dtype)) {
        double value = r->op == OP_ADD ? -0.0 : r->op == OP_MUL ? 1.0 : INFINITY;
        return dtype_bits_from_double(dtype, r->op == OP_MAXIMUM ? -value : value);
    }
    if (!extreme) return r->op == OP_MUL;
    uint64_t top = UINT64_C(1) << (8 * sn_dtype_size(dtype) - 1);
    bool least = r->op == OP_MAXIMUM;
    if (!dtype_is_signed(dtype)) return least ? 0 : scalar_canonical(dtype, UINT64_MAX);
    return scalar_canonical(dtype, least ? top : top - 1);
}

static void add_identity(Emit *e, const Reduction *r) {
    const_text(&e->body, (sn_dtype)r->dtype, identity_bits(r));
}

static const Reduction *reduction_at(const Emit *e, const LoopPlan *loop, uint32_t i) {
    return &e->plan.reductions[loop->first_reduction + i];
}

static bool spreads(const LoopPlan *loop) {
    return loop->run == RUN_SPREAD || loop->run == RUN_ROWS;
}

/* Lanes that one thread adds up. */
static unsigned own_lanes(const LoopPlan *loop, const Reduction *r) {
    return loop->run == RUN_ROWS ? 1 : r->lanes;
}

/* "add_f32": the end of the names of device functions. */
typedef struct Suffix {
    char text[16];
} Suffix;

static Suffix suffix_of(const Reduction *r) {
    Suffix suffix;
    snprintf(suffix.text, sizeof suffix.text, "%s_%s", r->op == OP_MUL ? "mul" : "add",
             sn_dtype_name((sn_dtype)r->dtype));
    return suffix;
}

/* `x = merge(x, y);` */
static void emit_merge(Emit *e, const Reduction *r, const char *x, const char *y) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    emit_begin(e, "%s = ", x);
    op_text(&e->body, (OpCode)r->op, dtype, dtype, x, y, "");
    strbuf_add(&e->body, ";\n");
}

/* ---- in front of the loop -------------------------------------------------------------------- */

static void open_one(Emit *e, const LoopPlan *loop, const Reduction *r) {
    const char *type = ctype_text((sn_dtype)r->dtype);
    unsigned at = r->inst, lanes = own_lanes(loop, r);
    switch ((ReduceKind)r->kind) {
    case RK_MERGE:
        emit_begin(e, "%s s%u = ", type, at);
        add_identity(e, r);
        strbuf_add(&e->body, ";\n");
        return;
    case RK_TREE:
        emit_line(e, "%s s%u[%u], t%u[%u];", type, at, lanes, at, TREE_LEVELS * lanes);
        emit_begin(e, "for (int m = 0; m < %u; m++) s%u[m] = ", lanes, at);
        add_identity(e, r);
        strbuf_add(&e->body, ";\n");
        return;
    case RK_ARG:
        emit_line(e, "%s s%u = 0;", type, at);
        emit_line(e, "long long j%u = -1;", at);
        return;
    case RK_SCAN:
        emit_line(e, "%s s%u[3];", type, at);
        emit_begin(e, "s%u[0] = s%u[1] = s%u[2] = ", at, at, at);
        add_identity(e, r);
        strbuf_add(&e->body, ";\n");
        return;
    }
}

void reduce_open(Emit *e, const LoopPlan *loop) {
    for (uint32_t i = 0; i < loop->n_reductions; i++) open_one(e, loop, reduction_at(e, loop, i));
}

/* ---- in the loop ----------------------------------------------------------------------------- */

static const Reduction *find_reduction(const Emit *e, const LoopPlan *loop, uint32_t inst) {
    uint32_t i = 0;
    while (reduction_at(e, loop, i)->inst != inst) i++;
    return reduction_at(e, loop, i);
}

static void step_tree(Emit *e, const LoopPlan *loop, const Reduction *r, unsigned number,
                      const char *x) {
    char lane[32];
    unsigned at = r->inst, lanes = own_lanes(loop, r), mask = (1u << r->chunk) - 1;
    snprintf(lane, sizeof lane, lanes > 1 ? "s%u[k%u %% 32]" : "s%u[0]", at, number);
    emit_merge(e, r, lane, x);
    if (loop->run == RUN_ROWS) return;
    emit_line(e, "if ((k%u & %u) == %u) sn_push_%s(t%u, s%u, %u, k%u >> %u);", number, mask, mask,
              suffix_of(r).text, at, at, lanes, number, (unsigned)r->chunk);
}

/* Ascending, so that only a better value replaces the best; the first NaN is the best. */
static void step_arg(Emit *e, const LoopPlan *loop, const Reduction *r, const char *x) {
    unsigned at = r->inst;
    const char *wins = r->op == OP_GT ? ">" : "<";
    emit_begin(e, "if (j%u < 0 || %s %s s%u", at, x, wins, at);
    if (dtype_is_float((sn_dtype)r->dtype))
        strbuf_addf(&e->body, " || (%s != %s && s%u == s%u)", x, x, at, at);
    strbuf_addf(&e->body, ") s%u = %s, j%u = i%u;\n", at, x, at, (unsigned)loop->axis);
}

/* s[0] sums earlier chunks, s[1] earlier runs of the chunk, s[2] the run. */
static void step_scan(Emit *e, const Reduction *r, unsigned number, const char *x) {
    char sums[3][24];
    unsigned at = r->inst;
    sn_dtype dtype = (sn_dtype)r->dtype;
    for (int i = 0; i < 3; i++) snprintf(sums[i], sizeof sums[i], "s%u[%d]", at, i);
    if (!dtype_is_float(dtype)) {
        emit_merge(e, r, sums[2], x);
        emit_line(e, "const %s v%u = %s;", ctype_text(dtype), at, sums[2]);
        return;
    }
    emit_open(e, "if (k%u > 0 && k%u %% 32 == 0)", number, number);
    emit_merge(e, r, sums[1], sums[2]);
    emit_begin(e, "%s = ", sums[2]);
    add_identity(e, r);
    strbuf_add(&e->body, ";\n");
    emit_open(e, "if (k%u %% 1024 == 0)", number);
    emit_merge(e, r, sums[0], sums[1]);
    emit_begin(e, "%s = ", sums[1]);
    add_identity(e, r);
    strbuf_add(&e->body, ";\n");
    emit_close(e);
    emit_close(e);
    emit_merge(e, r, sums[2], x);
    emit_line(e, "const %s v%u = (%s + %s) + %s;", ctype_text(dtype), at, sums[0], sums[1],
              sums[2]);
}

void reduce_step(Emit *e, uint32_t inst) {
    uint32_t number = e->plan.loop_of[inst];
    const LoopPlan *loop = &e->plan.loops[number];
    const Reduction *r = find_reduction(e, loop, inst);
    char x[16], s[16];
    snprintf(x, sizeof x, "v%u", (unsigned)e->kernel->insts.data[inst].in[0]);
    snprintf(s, sizeof s, "s%u", (unsigned)inst);
    switch ((ReduceKind)r->kind) {
    case RK_MERGE:
        emit_merge(e, r, s, x);
        return;
    case RK_TREE:
        step_tree(e, loop, r, number, x);
        return;
    case RK_ARG:
        step_arg(e, loop, r, x);
        return;
    case RK_SCAN:
        step_scan(e, r, number, x);
        return;
    }
}

void reduce_push(Emit *e, const LoopPlan *loop) {
    unsigned number = e->plan.loop_of[loop->begin];
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const Reduction *r = reduction_at(e, loop, i);
        if (r->kind == RK_TREE)
            emit_line(e, "sn_push_%s(t%u, s%u, 1, chunk - c%u);", suffix_of(r).text, r->inst,
                      r->inst, number);
    }
}

/* ---- behind the loop ------------------------------------------------------------------------- */

/* `const float y = ` the other thread's x; types narrower than int travel as int. */
static void emit_exchange(Emit *e, sn_dtype dtype, const char *y, const char *x) {
    const char *type = ctype_text(dtype);
    if (sn_dtype_size(dtype) >= 4)
        emit_line(e, "const %s %s = __shfl_xor_sync(0xffffffffu, %s, h);", type, y, x);
    else
        emit_line(e, "const %s %s = (%s)__shfl_xor_sync(0xffffffffu, (int)%s, h);", type, y, type,
                  x);
}

/* The half of the shared memory for the next reduction. */
static int next_slot(Emit *e, const Reduction *r) {
    e->shared |= 1u << r->dtype;
    e->slot ^= 1;
    return e->slot;
}

static void emit_sync(Emit *e) {
    e->synced = false;
    emit_barrier(e);
    e->synced = false;
}

/* Lanes of a warp merge by exchange, then warps through shared memory; every thread gets all. */
static void merge_threads(Emit *e, const Reduction *r) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    const char *name = sn_dtype_name(dtype);
    char v[16];
    int slot = next_slot(e, r);
    snprintf(v, sizeof v, "v%u", (unsigned)r->inst);
    emit_line(e, "%s %s = s%u;", ctype_text(dtype), v, (unsigned)r->inst);
    emit_open(e, "for (int h = 16; h > 0; h /= 2)");
    emit_exchange(e, dtype, "other", v);
    emit_merge(e, r, v, "other");
    emit_close(e);
    emit_line(e, "if (lane == 0) share_%s[%d][warp] = %s;", name, slot, v);
    emit_sync(e);
    emit_line(e, "%s = share_%s[%d][0];", v, name, slot);
    emit_open(e, "for (int w = 1; w < warps; w++)");
    emit_line(e, "const %s other = share_%s[%d][w];", ctype_text(dtype), name, slot);
    emit_merge(e, r, v, "other");
    emit_close(e);
}

/* Takes (other, at) for the best where it beats it: a value before none, NaN before numbers, the
 * lower index among equals. */
static void emit_better(Emit *e, const Reduction *r) {
    unsigned n = r->inst;
    const char *wins = r->op == OP_GT ? ">" : "<";
    bool is_float = dtype_is_float((sn_dtype)r->dtype);
    emit_begin(e, "const bool same = other == s%u", n);
    if (is_float) strbuf_addf(&e->body, " || (other != other && s%u != s%u)", n, n);
    strbuf_add(&e->body, ";\n");
    emit_begin(e, "const bool wins = other %s s%u", wins, n);
    if (is_float) strbuf_addf(&e->body, " || (other != other && s%u == s%u)", n, n);
    strbuf_add(&e->body, ";\n");
    emit_line(e, "if (at >= 0 && (j%u < 0 || (same ? at < j%u : wins))) s%u = other, j%u = at;", n,
              n, n, n);
}

static void arg_of_threads(Emit *e, const Reduction *r) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    const char *name = sn_dtype_name(dtype);
    char s[16], j[16];
    int slot = next_slot(e, r);
    e->shared_index = true;
    snprintf(s, sizeof s, "s%u", (unsigned)r->inst);
    snprintf(j, sizeof j, "j%u", (unsigned)r->inst);
    emit_open(e, "for (int h = 16; h > 0; h /= 2)");
    emit_exchange(e, dtype, "other", s);
    emit_exchange(e, SN_I64, "at", j);
    emit_better(e, r);
    emit_close(e);
    emit_line(e, "if (lane == 0) share_%s[%d][warp] = %s, share_index[%d][warp] = %s;", name, slot,
              s, slot, j);
    emit_sync(e);
    emit_open(e, "for (int w = 0; w < warps; w++)");
    emit_line(e, "const %s other = share_%s[%d][w];", ctype_text(dtype), name, slot);
    emit_line(e, "const long long at = share_index[%d][w];", slot);
    emit_better(e, r);
    emit_close(e);
}

static const char *empty_text(const Reduction *r) {
    return r->op == OP_MUL ? "1" : "0";
}

static void close_tree(Emit *e, const LoopPlan *loop, const Reduction *r) {
    unsigned at = r->inst, n = e->plan.loop_of[loop->begin], mask = (1u << r->chunk) - 1;
    const char *type = ctype_text((sn_dtype)r->dtype);
    Suffix suffix = suffix_of(r);
    if (loop->run == RUN_ROWS) {
        int slot = next_slot(e, r);
        emit_line(e, "if (l%u > c%u) s%u[0] = sn_join_%s(t%u, 1, 0, l%u - c%u);", n, n, at,
                  suffix.text, at, n, n);
        emit_line(e, "%s v%u = %s;", type, at, empty_text(r));
        emit_line(
            e, "if (n%u > 0) v%u = sn_rows_%s(s%u[0], share_%s[%d], (chunks%u + w%u - 1) / w%u);",
            n, at, suffix.text, at, sn_dtype_name((sn_dtype)r->dtype), slot, n, n, n);
        e->synced = false;
        return;
    }
    emit_line(e, "%s v%u = %s;", type, at, empty_text(r));
    emit_open(e, "if (n%u > 0)", n);
    if (mask)
        emit_line(e, "if (n%u & %u) sn_push_%s(t%u, s%u, %u, n%u >> %u);", n, mask, suffix.text, at,
                  at, (unsigned)r->lanes, n, (unsigned)r->chunk);
    emit_line(e, "v%u = sn_close_%s(t%u, %u, (n%u + %u) >> %u);", at, suffix.text, at,
              (unsigned)r->lanes, n, mask, (unsigned)r->chunk);
    emit_close(e);
}

static void close_one(Emit *e, const LoopPlan *loop, const Reduction *r) {
    unsigned at = r->inst;
    switch ((ReduceKind)r->kind) {
    case RK_MERGE:
        if (spreads(loop))
            merge_threads(e, r);
        else
            emit_line(e, "const %s v%u = s%u;", ctype_text((sn_dtype)r->dtype), at, at);
        return;
    case RK_TREE:
        close_tree(e, loop, r);
        return;
    case RK_ARG:
        if (spreads(loop)) arg_of_threads(e, r);
        emit_line(e, "const long long v%u = j%u < 0 ? 0 : j%u;", at, at, at);
        return;
    case RK_SCAN:
        return;
    }
}

void reduce_close(Emit *e, const LoopPlan *loop) {
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const Reduction *r = reduction_at(e, loop, i);
        close_one(e, loop, r);
        if (loop->run == RUN_ONE && r->kind != RK_SCAN)
            emit_line(e, "given%u = v%u;", (unsigned)r->inst, (unsigned)r->inst);
    }
}
