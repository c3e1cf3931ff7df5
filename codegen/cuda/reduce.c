/* Reductions and scans. Their orders are defined in ir/op/order.h; the device functions that carry them
 * out stand in device.c.
 *
 * Why the bits of a ROW reduction do not depend on the number of warps: thread l of a warp adds the
 * elements of lane l of a chunk in ascending order, as defined. A warp takes an aligned group of 2^k
 * chunks. A full aligned group is one node of the pairwise tree of all chunks, at level k, and so is
 * what is left at the end, because an odd one passes up; the levels above see the groups as they would
 * see chunks. So pairing inside groups and then pairing the groups is the tree. The lanes halve in the
 * end through exchanges in which lane l gets x[l] + x[l xor h]: for l < h these are the operands as
 * defined, for the others the same two exchanged, which gives the same sum.
 *
 * Accumulators: s5 is the one of instruction 5 (an array of lanes, or the sums of a scan's runs and run),
 * far5 the sum of a scan's chunks, t5 the tree of its chunks, j5 the index of its best value, v5 the
 * result. */
#include "codegen/cuda/emit.h"

#include <math.h>
#include <stdio.h>

/* ---- values ---------------------------------------------------------------------------------- */

static void add_start(Emit *e, const KReduction *r) {
    const_text(&e->body, (sn_dtype)r->dtype, reduction_start(r));
}

static LoopRun run_of(const Emit *e, const KReduction *r) {
    return (LoopRun)e->mapping.loops[r->loop].run;
}

/* Do the threads of a block have parts of it, which are to be joined? */
static bool is_shared(const Emit *e, const KReduction *r) {
    return run_of(e, r) == RUN_SPREAD || run_of(e, r) == RUN_ROWS;
}

/* Lanes that one thread adds up. */
static unsigned own_lanes(const Emit *e, const KReduction *r) {
    return run_of(e, r) == RUN_ROWS ? 1 : r->lanes;
}

/* Bits of an element's number that count the elements of its chunk. */
static unsigned chunk_mask(const KReduction *r) {
    SN_ASSERT(r->chunk != ORDER_ENDLESS_LOG2);
    return (1u << r->chunk) - 1;
}

/* Between two values: the left one is better. */
static const char *wins_text(const KReduction *r) {
    SN_ASSERT(r->kind == KREDUCTION_BEST);
    return r->is_largest ? ">" : "<";
}

/* "add_f32": the end of the names of device functions. */
typedef struct Suffix {
    char text[16];
} Suffix;

static Suffix suffix_of(const KReduction *r) {
    Suffix suffix;
    SN_ASSERT(r->kind == KREDUCTION_TREE && dtype_is_float((sn_dtype)r->dtype));
    snprintf(suffix.text, sizeof suffix.text, "%s_%s", op_info[r->merge].name,
             sn_dtype_name((sn_dtype)r->dtype));
    return suffix;
}

/* `x = merge(x, y);` */
static void emit_merge(Emit *e, const KReduction *r, const char *x, const char *y) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    emit_begin(e, "%s = ", x);
    op_text(&e->body, (OpCode)r->merge, dtype, dtype, x, y, "");
    strbuf_add(&e->body, ";\n");
}

/* ---- in front of the loop -------------------------------------------------------------------- */

static void open_one(Emit *e, const KReduction *r) {
    const char *type = ctype_text((sn_dtype)r->dtype);
    unsigned at = r->inst, lanes = own_lanes(e, r);
    switch ((KReductionKind)r->kind) {
    case KREDUCTION_MERGE:
        emit_begin(e, "%s s%u = ", type, at);
        add_start(e, r);
        strbuf_add(&e->body, ";\n");
        return;
    case KREDUCTION_TREE:
        emit_line(e, "%s s%u[%u], t%u[%u];", type, at, lanes, at, TREE_LEVELS * lanes);
        emit_begin(e, "for (int m = 0; m < %u; m++) s%u[m] = ", lanes, at);
        add_start(e, r);
        strbuf_add(&e->body, ";\n");
        return;
    case KREDUCTION_CHAIN:
        emit_begin(e, "%s s%u = 0, t%u = ", type, at, at);
        add_start(e, r);
        strbuf_add(&e->body, ";\n");
        return;
    case KREDUCTION_BEST:
        emit_line(e, "%s s%u = 0;", type, at);
        emit_line(e, "long long j%u = -1;", at);
        return;
    case KREDUCTION_SCAN:
        emit_line(e, "%s s%u[2];", type, at);
        emit_begin(e, "s%u[0] = s%u[1] = ", at, at);
        add_start(e, r);
        strbuf_add(&e->body, ";\n");
        if (dtype_is_float((sn_dtype)r->dtype))
            emit_line(e, "%s far%u = s%u[0];", ctype_text(order_chunk_sums((sn_dtype)r->dtype)), at,
                      at);
        return;
    }
}

void reduce_open(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    for (uint32_t i = 0; i < loop->n_reductions; i++)
        open_one(e, loop_reduction(&e->loops, loop, i));
}

/* ---- in the loop ----------------------------------------------------------------------------- */

static void step_tree(Emit *e, const KReduction *r, const char *x) {
    char lane[32];
    unsigned at = r->inst, number = r->loop, lanes = own_lanes(e, r), mask = chunk_mask(r);
    if (lanes > 1)
        snprintf(lane, sizeof lane, "s%u[k%u %% %u]", at, number, lanes);
    else
        snprintf(lane, sizeof lane, "s%u[0]", at);
    emit_merge(e, r, lane, x);
    if (run_of(e, r) == RUN_ROWS) return;
    emit_line(e, "if ((k%u & %u) == %u) sn_push_%s(t%u, s%u, %u, k%u >> %u);", number, mask, mask,
              suffix_of(r).text, at, at, lanes, number, (unsigned)r->chunk);
}

/* One more product; a full chunk's sum joins that of the earlier ones. */
static void step_chain(Emit *e, const KReduction *r, const char *x) {
    char y[16], s[16], t[16];
    sn_dtype dtype = (sn_dtype)r->dtype;
    unsigned at = r->inst, number = r->loop, mask = chunk_mask(r);
    snprintf(y, sizeof y, "v%u", (unsigned)kernel_inst(e->kernel, r->inst)->in[1]);
    snprintf(s, sizeof s, "s%u", at);
    snprintf(t, sizeof t, "t%u", at);
    emit_begin(e, "%s = ", s);
    op_text(&e->body, OP_FMA, dtype, dtype, x, y, s);
    strbuf_add(&e->body, ";\n");
    emit_open(e, "if ((k%u & %u) == %u)", number, mask, mask);
    emit_merge(e, r, t, s);
    emit_line(e, "%s = 0;", s);
    emit_close(e);
}

/* Ascending, so that only a better value replaces the best; the first NaN is the best. */
static void step_best(Emit *e, const KReduction *r, const char *x) {
    unsigned at = r->inst;
    emit_begin(e, "if (j%u < 0 || %s %s s%u", at, x, wins_text(r), at);
    if (dtype_is_float((sn_dtype)r->dtype))
        strbuf_addf(&e->body, " || (%s != %s && s%u == s%u)", x, x, at, at);
    strbuf_addf(&e->body, ") s%u = %s, j%u = i%u;\n", at, x, at,
                (unsigned)loop_at(e, r->loop)->axis);
}

/* s[0] sums earlier chunks, s[1] earlier runs of the chunk, s[2] the run. */
static void step_scan(Emit *e, const KReduction *r, const char *x) {
    char runs[24], run[24];
    unsigned at = r->inst, number = r->loop;
    sn_dtype dtype = (sn_dtype)r->dtype;
    const char *type = ctype_text(dtype);
    snprintf(runs, sizeof runs, "s%u[0]", at);
    snprintf(run, sizeof run, "s%u[1]", at);
    if (!dtype_is_float(dtype)) {
        emit_merge(e, r, run, x);
        emit_line(e, "const %s v%u = %s;", type, at, run);
        return;
    }
    emit_open(e, "if (k%u > 0 && k%u %% %d == 0)", number, number, (int)ORDER_RUN);
    emit_merge(e, r, runs, run);
    emit_begin(e, "%s = ", run);
    add_start(e, r);
    strbuf_add(&e->body, ";\n");
    emit_open(e, "if (k%u %% %d == 0)", number, (int)ORDER_SCAN);
    emit_line(e, "far%u = far%u + %s;", at, at, runs);
    emit_begin(e, "%s = ", runs);
    add_start(e, r);
    strbuf_add(&e->body, ";\n");
    emit_close(e);
    emit_close(e);
    emit_merge(e, r, run, x);
    emit_line(e, "const %s v%u = ((%s)far%u + %s) + %s;", type, at, type, at, runs, run);
}

void reduce_step(Emit *e, uint32_t inst) {
    const KLoop *loop = loop_at(e, e->loops.loop_of[inst]);
    uint32_t number = loop_reduction_number(&e->loops, loop, inst);
    const KReduction *r = loop_reduction(&e->loops, loop, number);
    SN_ASSERT(run_of(e, r) != RUN_ELEMENT);
    char x[16], s[16];
    snprintf(x, sizeof x, "v%u", (unsigned)kernel_inst(e->kernel, inst)->in[0]);
    snprintf(s, sizeof s, "s%u", (unsigned)inst);
    switch ((KReductionKind)r->kind) {
    case KREDUCTION_MERGE:
        emit_merge(e, r, s, x);
        return;
    case KREDUCTION_TREE:
        step_tree(e, r, x);
        return;
    case KREDUCTION_CHAIN:
        step_chain(e, r, x);
        return;
    case KREDUCTION_BEST:
        step_best(e, r, x);
        return;
    case KREDUCTION_SCAN:
        step_scan(e, r, x);
        return;
    }
}

void reduce_push(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const KReduction *r = loop_reduction(&e->loops, loop, i);
        if (r->kind == KREDUCTION_TREE)
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
static int next_slot(Emit *e, const KReduction *r) {
    SN_ASSERT(e->mapping.mode == MODE_BLOCK && e->together);
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
static void merge_threads(Emit *e, const KReduction *r) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    const char *name = sn_dtype_name(dtype);
    char v[16];
    int slot = next_slot(e, r);
    snprintf(v, sizeof v, "v%u", (unsigned)r->inst);
    emit_line(e, "%s %s = s%u;", ctype_text(dtype), v, (unsigned)r->inst);
    emit_open(e, "for (int h = %d; h > 0; h /= 2)", WARP / 2);
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
static void emit_better(Emit *e, const KReduction *r) {
    unsigned n = r->inst;
    bool is_float = dtype_is_float((sn_dtype)r->dtype);
    emit_begin(e, "const bool same = other == s%u", n);
    if (is_float) strbuf_addf(&e->body, " || (other != other && s%u != s%u)", n, n);
    strbuf_add(&e->body, ";\n");
    emit_begin(e, "const bool wins = other %s s%u", wins_text(r), n);
    if (is_float) strbuf_addf(&e->body, " || (other != other && s%u == s%u)", n, n);
    strbuf_add(&e->body, ";\n");
    emit_line(e, "if (at >= 0 && (j%u < 0 || (same ? at < j%u : wins))) s%u = other, j%u = at;", n,
              n, n, n);
}

static void best_of_threads(Emit *e, const KReduction *r) {
    sn_dtype dtype = (sn_dtype)r->dtype;
    const char *name = sn_dtype_name(dtype);
    char s[16], j[16];
    int slot = next_slot(e, r);
    e->shared_index = true;
    snprintf(s, sizeof s, "s%u", (unsigned)r->inst);
    snprintf(j, sizeof j, "j%u", (unsigned)r->inst);
    emit_open(e, "for (int h = %d; h > 0; h /= 2)", WARP / 2);
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

/* A sum without trips is +0, though it starts at -0. */
static const char *empty_text(const KReduction *r) {
    return r->start == KSTART_ONE ? "1" : "0";
}

static void close_tree(Emit *e, const KReduction *r) {
    unsigned at = r->inst, n = r->loop, mask = chunk_mask(r);
    const char *type = ctype_text((sn_dtype)r->dtype);
    Suffix suffix = suffix_of(r);
    if (run_of(e, r) == RUN_ROWS) {
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

/* A chunk that was not full joins now; without one, what the others came to stays as it is. */
static void close_chain(Emit *e, const KReduction *r) {
    unsigned at = r->inst, n = r->loop, mask = chunk_mask(r);
    char s[16], t[16];
    snprintf(s, sizeof s, "s%u", at);
    snprintf(t, sizeof t, "t%u", at);
    emit_open(e, "if (n%u == 0 || (n%u & %u))", n, n, mask);
    emit_merge(e, r, t, s);
    emit_close(e);
    emit_line(e, "const %s v%u = %s;", ctype_text((sn_dtype)r->dtype), at, t);
}

static void close_one(Emit *e, const KReduction *r) {
    unsigned at = r->inst;
    switch ((KReductionKind)r->kind) {
    case KREDUCTION_MERGE:
        if (is_shared(e, r))
            merge_threads(e, r);
        else
            emit_line(e, "const %s v%u = s%u;", ctype_text((sn_dtype)r->dtype), at, at);
        return;
    case KREDUCTION_TREE:
        close_tree(e, r);
        return;
    case KREDUCTION_CHAIN:
        close_chain(e, r);
        return;
    case KREDUCTION_BEST:
        if (is_shared(e, r)) best_of_threads(e, r);
        emit_line(e, "const long long v%u = j%u < 0 ? 0 : j%u;", at, at, at);
        return;
    case KREDUCTION_SCAN:
        return;
    }
}

void reduce_close(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const KReduction *r = loop_reduction(&e->loops, loop, i);
        close_one(e, r);
        if (run_of(e, r) == RUN_ONE && r->kind != KREDUCTION_SCAN)
            emit_line(e, "given%u = v%u;", (unsigned)r->inst, (unsigned)r->inst);
    }
}
