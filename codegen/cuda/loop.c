/* Loops: who runs which trips, and what stands around them. */
#include "codegen/cuda/emit.h"

/* First index and number of trips: f4 and n4. A block past the end has no trips, or less. */
static void emit_bounds(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    SN_ASSERT(loop->axis < e->kernel->axes.count);
    KCoef size = e->kernel->axes.data[loop->axis].size;
    if ((int32_t)loop->axis != e->loops.split_axis) {
        emit_begin(e, "const long long f%u = 0, n%u = ", number, number);
        emit_coef(e, size);
        strbuf_add(&e->body, ";\n");
        return;
    }
    emit_line(e, "const long long f%u = block * params[%d];", number, (int)KPARAM_BLOCK_SIZE);
    emit_begin(e, "const long long n%u = sn_least(params[%d], ", number, (int)KPARAM_BLOCK_SIZE);
    emit_coef(e, size);
    strbuf_addf(&e->body, " - f%u);\n", number);
}

static void emit_body(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    bool together = e->together;
    e->together = e->mapping.loops[number].together;
    e->synced = false; /* a trip follows the end of another */
    emit_line(e, "const long long i%u = f%u + k%u;", loop->axis, number, number);
    emit_range(e, loop->begin + 1, loop->end);
    e->together = together;
    e->synced = false;
}

static void emit_in_order(Emit *e, uint32_t number) {
    reduce_open(e, number);
    emit_open(e, "for (long long k%u = 0; k%u < n%u; k%u++)", number, number, number, number);
    emit_body(e, number);
    emit_close(e);
    reduce_close(e, number);
}

/* The first thread works, the others wait; its reductions come back through shared memory. */
static void emit_one(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    SN_ASSERT(e->mapping.mode == MODE_BLOCK && e->together && !loop->vector);
    emit_barrier(e);
    emit_open(e, "if (threadIdx.x == 0)");
    emit_in_order(e, number);
    emit_close(e);
    emit_barrier(e);
    for (uint32_t i = 0; i < loop->n_reductions; i++) {
        const KReduction *r = loop_reduction(&e->loops, loop, i);
        if (r->kind != KREDUCTION_SCAN)
            emit_line(e, "const %s v%u = given%u;",
                      ctype_text((sn_dtype)kernel_inst(e->kernel, r->inst)->dtype), r->inst,
                      r->inst);
    }
    e->synced = false;
}

/* The trips lie in the chunks of ROW reductions. A warp takes chunks c2 to l2 - 1: an aligned group of
 * w2, the least power of two with which the warps suffice. Thread l of the warp is lane l. */
static void emit_rows(Emit *e, uint32_t number) {
    SN_ASSERT(e->mapping.mode == MODE_BLOCK && loop_at(e, number)->vector);
    unsigned n = number;
    emit_line(e, "const long long chunks%u = n%u > 0 ? (n%u + %d) / %d : 0;", n, n, n,
              ORDER_ROW - 1, (int)ORDER_ROW);
    emit_line(e, "long long w%u = 1;", n);
    emit_line(e, "while (w%u * warps < chunks%u) w%u *= 2;", n, n, n);
    emit_line(e, "const long long c%u = warp * w%u, l%u = sn_least(chunks%u, c%u + w%u);", n, n, n,
              n, n, n);
    reduce_open(e, number);
    emit_open(e, "for (long long chunk = c%u; chunk < l%u; chunk++)", n, n);
    emit_line(e, "const long long last = sn_least(n%u, chunk * %d + %d);", n, (int)ORDER_ROW,
              (int)ORDER_ROW);
    emit_open(e, "for (long long k%u = chunk * %d + lane; k%u < last; k%u += %d)", n,
              (int)ORDER_ROW, n, n, (int)WARP);
    emit_body(e, number);
    emit_close(e);
    reduce_push(e, number);
    emit_close(e);
    reduce_close(e, number);
}

static void emit_spread(Emit *e, uint32_t number) {
    SN_ASSERT(e->mapping.mode == MODE_BLOCK && loop_at(e, number)->vector);
    reduce_open(e, number);
    emit_open(e, "for (long long k%u = threadIdx.x; k%u < n%u; k%u += blockDim.x)", number, number,
              number, number);
    emit_body(e, number);
    emit_close(e);
    reduce_close(e, number);
}

static void emit_element(Emit *e, uint32_t number) {
    SN_ASSERT(e->mapping.mode == MODE_ELEMENT && number == e->mapping.element_loop);
    emit_line(e, "const long long k%u = own;", number);
    emit_open(e, "if (k%u < n%u)", number, number);
    emit_body(e, number);
    emit_close(e);
}

void emit_loop(Emit *e, uint32_t number) {
    const KLoop *loop = loop_at(e, number);
    LoopRun run = (LoopRun)e->mapping.loops[number].run;
    bool spread = run == RUN_SPREAD || run == RUN_ROWS;
    emit_bounds(e, number);
    /* What the other threads have read before may be overwritten only when all have read it. */
    if (spread && loop->stores) emit_barrier(e);
    switch (run) {
    case RUN_ALL:
        emit_in_order(e, number);
        break;
    case RUN_ONE:
        emit_one(e, number);
        break;
    case RUN_SPREAD:
        emit_spread(e, number);
        break;
    case RUN_ROWS:
        emit_rows(e, number);
        break;
    case RUN_ELEMENT:
        emit_element(e, number);
        break;
    }
    if (spread) emit_barrier(e);
}
