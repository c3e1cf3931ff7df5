/* Loads, stores and checks. An access is classified by how its address moves from lane to lane:
 * one address, neighbours, a known stride, or anything. Lanes that are masked off touch no memory
 * of the caller: masked instructions leave them out, and where the machine has none for the
 * pattern or type, their address is replaced by that of a slot on the stack. */
#include "codegen/cpu/emit.h"

#include <math.h>

/* Where the lanes of one access lie. */
typedef struct Place {
    sn_dtype dtype;       /* in memory */
    Pattern pattern;      /* how lanes differ */
    LLVMTypeRef type;     /* an element in memory */
    LLVMValueRef base;    /* address of lane 0 */
    LLVMValueRef stride;  /* STRIDED: elements from lane to lane */
    LLVMValueRef offsets; /* SCATTERED: elements from base, a vector */
} Place;

static sn_dtype access_dtype(const Emit *e, uint32_t access) {
    return (sn_dtype)kernel_access_arg(e->kernel, access)->dtype;
}

static Place place_of(Emit *e, uint32_t access, int32_t copy) {
    const KAccess *a = kernel_access(e->kernel, access);
    Place p = {.dtype = access_dtype(e, access),
               .pattern = pattern_of(e, access, e->vector ? e->vector->loop : NULL),
               .base = emit_address(e, access)};
    p.type = type_memory(e, p.dtype, 1);
    if (p.pattern == PATTERN_UNIFORM) return p;
    SN_ASSERT(e->vector && copy < e->shape.copies);
    LLVMPositionBuilderBefore(e->side, LLVMGetBasicBlockTerminator(e->before));
    p.stride = emit_lane_stride(e, a);
    if (copy && p.stride) {
        LLVMValueRef lanes = const_i64(e, (int64_t)copy * e->lanes);
        p.base = emit_element(e, p.type, p.base, LLVMBuildMul(e->side, p.stride, lanes, ""));
    }
    if (p.pattern == PATTERN_SCATTERED) p.offsets = emit_lane_offsets(e, a, p.stride, copy);
    return p;
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* Lanes in which the instruction acts; NULL for all. */
static LLVMValueRef lanes_acting(Emit *e, KValue predicate, int32_t copy) {
    SN_ASSERT(copy >= 0 && copy < COPIES_MOST);
    if (predicate == KVALUE_NONE) return e->mask[copy];
    LLVMValueRef mask = value_vector(e, predicate, copy);
    return e->mask[copy] ? LLVMBuildAnd(e->b, mask, e->mask[copy], "") : mask;
}

/* Lanes that a load reads: of trips that were run before too. */
static LLVMValueRef lanes_read(Emit *e, KValue predicate, int32_t copy) {
    if (!e->shifted) return lanes_acting(e, predicate, copy);
    return predicate == KVALUE_NONE ? NULL : value_vector(e, predicate, copy);
}

static KValue predicate_of(const KInst *inst) {
    return inst->flags & K_PREDICATED ? inst->in[kop_row(inst->op)->n_inputs] : KVALUE_NONE;
}

/* AVX2 masks elements of 4 and 8 bytes only. */
static bool masks_natively(const Emit *e, sn_dtype dtype) {
    return e->target->isa == ISA_AVX512 || sn_dtype_size(dtype) >= 4;
}

/* Single loads beat AVX2's gathers, and all gathers where addresses need no extraction from a vector
 * and no mask. */
static bool gathers_natively(const Emit *e, const Place *p, LLVMValueRef mask) {
    bool worth_it = p->pattern == PATTERN_SCATTERED || mask;
    return e->target->isa == ISA_AVX512 && sn_dtype_size(p->dtype) >= 4 && worth_it;
}

static LLVMValueRef slot_for(Emit *e, LLVMValueRef *slot) {
    if (!*slot) {
        *slot = emit_alloca(e, e->i64, 8);
        LLVMValueRef zero = LLVMConstNull(LLVMVectorType(e->i64, 8));
        LLVMSetAlignment(LLVMBuildStore(e->entry, zero, *slot), 64);
    }
    return *slot;
}

static LLVMValueRef buffer_for(Emit *e) {
    if (!e->narrow_buffer) {
        e->narrow_buffer = emit_alloca(e, e->i64, LANES_MOST / 4);
        LLVMValueRef zero = LLVMConstNull(LLVMVectorType(e->i64, LANES_MOST / 4));
        LLVMSetAlignment(LLVMBuildStore(e->entry, zero, e->narrow_buffer), 64);
    }
    return e->narrow_buffer;
}

/* Copies the active elements of a tail between memory and the buffer. */
static void copy_active(Emit *e, LLVMTypeRef type, LLVMValueRef to, LLVMValueRef from,
                        int32_t copy) {
    SN_ASSERT(e->mask[copy] && e->active[copy]);
    CountLoop loop = count_open(e, const_i64(e, 0), e->active[copy]);
    LLVMValueRef x = LLVMBuildLoad2(e->b, type, emit_element(e, type, from, loop.i), "");
    LLVMBuildStore(e->b, x, emit_element(e, type, to, loop.i));
    count_close(e, &loop, const_i64(e, 1));
}

/* Address of one lane; of `instead` when the lane does not act. */
static LLVMValueRef lane_address(Emit *e, const Place *p, int32_t lane, LLVMValueRef mask,
                                 LLVMValueRef instead) {
    LLVMValueRef at = p->base;
    if (p->pattern == PATTERN_SCATTERED) {
        at = emit_element(e, p->type, at, emit_lane(e, p->offsets, lane));
    } else if (p->stride && lane) {
        LLVMPositionBuilderBefore(e->side, LLVMGetBasicBlockTerminator(e->before));
        LLVMValueRef offset = LLVMBuildMul(e->side, p->stride, const_i64(e, lane), "");
        at = emit_element(e, p->type, at, offset);
    }
    return mask ? emit_select(e, emit_lane(e, mask, lane), at, instead) : at;
}

/* ---- loads ----------------------------------------------------------------------------------- */

static LLVMValueRef load_aligned(Emit *e, LLVMTypeRef type, LLVMValueRef at, sn_dtype dtype) {
    LLVMValueRef x = LLVMBuildLoad2(e->b, type, at, "");
    LLVMSetAlignment(x, (unsigned)sn_dtype_size(dtype));
    return x;
}

static LLVMValueRef from_memory(Emit *e, sn_dtype dtype, int32_t lanes, LLVMValueRef x) {
    if (dtype != SN_BOOL) return x;
    return LLVMBuildICmp(e->b, LLVMIntNE, x, const_int(type_lanes(e->i8, lanes), 0), "");
}

static LLVMValueRef masked_load(Emit *e, const Place *p, LLVMValueRef mask) {
    LLVMTypeRef vector = type_lanes(p->type, e->lanes);
    LLVMTypeRef types[] = {vector, e->ptr};
    LLVMValueRef align = LLVMConstInt(e->i32, sn_dtype_size(p->dtype), false);
    LLVMValueRef args[] = {p->base, align, mask, LLVMConstNull(vector)};
    return emit_intrinsic(e, "llvm.masked.load", types, 2, args, 4);
}

static LLVMValueRef gather(Emit *e, const Place *p, LLVMValueRef mask) {
    LLVMTypeRef vector = type_lanes(p->type, e->lanes);
    if (gathers_natively(e, p, mask)) {
        LLVMValueRef offsets = p->offsets;
        if (!offsets) {
            LLVMPositionBuilderBefore(e->side, LLVMGetBasicBlockTerminator(e->before));
            LLVMValueRef numbers = const_lane_numbers(e, e->i64, e->lanes, 1);
            offsets =
                LLVMBuildMul(e->side, emit_splat(e, e->side, p->stride, e->lanes), numbers, "");
        }
        LLVMValueRef addresses = emit_element(e, p->type, p->base, offsets);
        LLVMTypeRef types[] = {vector, LLVMTypeOf(addresses)};
        LLVMValueRef align = LLVMConstInt(e->i32, sn_dtype_size(p->dtype), false);
        if (!mask) mask = LLVMConstAllOnes(type_lanes(e->i1, e->lanes));
        LLVMValueRef args[] = {addresses, align, mask, LLVMConstNull(vector)};
        return emit_intrinsic(e, "llvm.masked.gather", types, 2, args, 4);
    }
    LLVMValueRef x = LLVMGetPoison(vector);
    LLVMValueRef zeros = mask ? slot_for(e, &e->zero_slot) : NULL;
    for (int32_t l = 0; l < e->lanes; l++) {
        LLVMValueRef at = lane_address(e, p, l, mask, zeros);
        LLVMValueRef one = load_aligned(e, p->type, at, p->dtype);
        x = LLVMBuildInsertElement(e->b, x, one, LLVMConstInt(e->i32, (unsigned)l, false), "");
    }
    return x;
}

/* One address for all lanes, but only some act. */
static LLVMValueRef load_broadcast(Emit *e, const Place *p, LLVMValueRef mask) {
    LLVMValueRef at = p->base;
    if (mask) at = emit_select(e, emit_any(e, mask, e->lanes), at, slot_for(e, &e->zero_slot));
    LLVMValueRef all = emit_splat(e, e->b, load_aligned(e, p->type, at, p->dtype), e->lanes);
    return mask ? emit_select(e, mask, all, LLVMConstNull(LLVMTypeOf(all))) : all;
}

/* Neighbours of which all lanes act, or none: a branch that goes the same way for long, since masked loads
 * wait for the stores before them. */
static LLVMValueRef load_if(Emit *e, const Place *p, LLVMValueRef condition) {
    LLVMTypeRef vector = type_lanes(p->type, e->lanes);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), load = emit_block(e), done = emit_block(e);
    LLVMBuildCondBr(e->b, condition, load, done);
    emit_at(e, load);
    LLVMValueRef x = load_aligned(e, vector, p->base, p->dtype);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
    LLVMValueRef phi = emit_phi(e, vector, LLVMConstNull(vector), before);
    phi_add(phi, x, load);
    return phi;
}

static LLVMValueRef load_lanes(Emit *e, const Place *p, KValue predicate, int32_t copy) {
    LLVMTypeRef vector = type_lanes(p->type, e->lanes);
    bool uniform = predicate != KVALUE_NONE && e->spread[predicate].kind == SPREAD_UNIFORM;
    bool whole = !e->mask[copy] || e->shifted;
    if (uniform && p->pattern == PATTERN_CONTIGUOUS && whole)
        return load_if(e, p, value_scalar(e, predicate, 0));
    LLVMValueRef mask = lanes_read(e, predicate, copy);
    if (p->pattern == PATTERN_UNIFORM) return load_broadcast(e, p, mask);
    if (p->pattern != PATTERN_CONTIGUOUS) return gather(e, p, mask);
    if (!mask) return load_aligned(e, vector, p->base, p->dtype);
    if (masks_natively(e, p->dtype)) return masked_load(e, p, mask);
    if (predicate != KVALUE_NONE) return gather(e, p, mask);
    LLVMValueRef buffer = buffer_for(e);
    copy_active(e, p->type, buffer, p->base, copy);
    return load_aligned(e, vector, buffer, p->dtype);
}

static LLVMValueRef load_scalar(Emit *e, const Place *p, KValue predicate) {
    LLVMValueRef at = p->base;
    if (predicate != KVALUE_NONE)
        at = emit_select(e, value_scalar(e, predicate, 0), at, slot_for(e, &e->zero_slot));
    return load_aligned(e, p->type, at, p->dtype);
}

/* ---- prefetching ----------------------------------------------------------------------------- */

/* A row kernel reads its row in several loops. In the first one it waits for memory, in the others it
 * computes on what the caches hold; so the last loop asks for the rows to come. */

/* Is this load the last of several loops' to read its access, row by row? */
static bool rereads_row(const Emit *e, uint32_t at) {
    const KInst *insts = e->kernel->insts.data;
    const KLoop *loop = e->vector->loop;
    bool by_row = loop->parent == KLOOP_NONE && e->loops.split_axis < 0;
    if (!by_row || kernel_access_arg(e->kernel, insts[at].imm)->role == KARG_LOCAL) return false;
    bool earlier = false;
    for (uint32_t i = 0; i < e->kernel->insts.count; i++) {
        if (!kop_is(insts[i].op, KFORM_LOAD) || insts[i].imm != insts[at].imm) continue;
        if (i > loop->end) return false;
        earlier |= i < loop->begin;
    }
    return earlier;
}

static LLVMValueRef at_least_one(Emit *e, LLVMValueRef x) {
    LLVMValueRef one = const_i64(e, 1);
    LLVMValueRef more = LLVMBuildICmp(e->entry, LLVMIntSGT, x, one, "");
    return LLVMBuildSelect(e->entry, more, x, one, "");
}

/* Elements from a row of the argument to the one that is fetched meanwhile: the next one, or a later
 * one where rows are so short that it would not arrive in time. */
static LLVMValueRef rows_ahead(Emit *e, uint32_t arg) {
    enum { AHEAD_BYTES = 8192 };
    if (e->ahead[arg]) return e->ahead[arg];
    int64_t size = (int64_t)sn_dtype_size((sn_dtype)e->kernel->args.data[arg].dtype);
    LLVMValueRef row = emit_row_step(e, arg);
    LLVMValueRef length = at_least_one(e, row);
    LLVMValueRef rows = LLVMBuildUDiv(e->entry, const_i64(e, AHEAD_BYTES / size), length, "");
    e->ahead[arg] = LLVMBuildMul(e->entry, at_least_one(e, rows), row, "");
    return e->ahead[arg];
}

/* Asks for what lies `ahead` elements on. */
static void prefetch(Emit *e, const Place *p, LLVMValueRef ahead, bool for_writing) {
    enum { ALL_LEVELS = 3, DATA = 1 };
    LLVMTypeRef types[] = {e->ptr};
    LLVMValueRef args[] = {
        emit_element(e, p->type, p->base, ahead), LLVMConstInt(e->i32, for_writing, false),
        LLVMConstInt(e->i32, ALL_LEVELS, false), LLVMConstInt(e->i32, DATA, false)};
    emit_intrinsic(e, "llvm.prefetch", types, 1, args, 4);
}

/* Of vectors side by side those ask that begin another line than the ones before them. */
static bool begins_line(const Emit *e, const Place *p, int32_t copy) {
    enum { LINE = 64 };
    return copy * e->lanes * (int32_t)sn_dtype_size(p->dtype) % LINE == 0;
}

static void prefetch_rows(Emit *e, uint32_t access, const Place *p) {
    uint32_t arg = kernel_access(e->kernel, access)->arg;
    LLVMValueRef ahead = rows_ahead(e, arg);
    if (e->in_deferred) ahead = LLVMBuildAdd(e->b, ahead, emit_row_step(e, arg), "");
    prefetch(e, p, ahead, false);
}

void emit_load(Emit *e, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    Place p = place_of(e, (uint32_t)inst->imm, copy);
    if (!e->vector || e->spread[at].kind == SPREAD_UNIFORM) {
        LLVMValueRef x = load_scalar(e, &p, predicate_of(inst));
        value_set_scalar(e, at, copy, from_memory(e, p.dtype, 1, x));
    } else {
        bool whole = p.pattern == PATTERN_CONTIGUOUS && !e->mask[copy];
        if (whole && begins_line(e, &p, copy) && rereads_row(e, at))
            prefetch_rows(e, (uint32_t)inst->imm, &p);
        LLVMValueRef x = load_lanes(e, &p, predicate_of(inst), copy);
        value_set_vector(e, at, copy, from_memory(e, p.dtype, e->lanes, x));
    }
}

/* ---- padding --------------------------------------------------------------------------------- */

bool load_is_padded(const Emit *e, uint32_t at) {
    const KInst *load = kernel_inst(e->kernel, at);
    if (!kop_is(load->op, KFORM_LOAD) || !e->vector || at + 1 >= e->kernel->insts.count)
        return false;
    const KInst *where = load + 1;
    KValue predicate = predicate_of(load);
    bool paired = predicate != KVALUE_NONE && where->op == OP_WHERE && where->in[0] == predicate &&
                  where->in[1] == at && e->shape.rare[at + 1] == KVALUE_NONE;
    if (!paired || sn_dtype_size((sn_dtype)load->dtype) < 4) return false;
    bool uniform = e->spread[predicate].kind == SPREAD_UNIFORM &&
                   e->spread[where->in[2]].kind == SPREAD_UNIFORM;
    if (!uniform || pattern_of(e, load->imm, e->vector->loop) != PATTERN_CONTIGUOUS) return false;
    for (uint32_t i = at + 2; i < e->vector->loop->end; i++)
        for (uint32_t o = 0; o < 3; o++)
            if (kernel_inst(e->kernel, i)->in[o] == at) return false;
    return true;
}

uint32_t emit_padded_load(Emit *e, uint32_t at) {
    const KInst *load = kernel_inst(e->kernel, at), *where = load + 1;
    Place places[COPIES_MOST];
    LLVMValueRef loaded[COPIES_MOST], outside[COPIES_MOST];
    LLVMValueRef inside = value_scalar(e, predicate_of(load), 0);
    for (int32_t c = 0; c < e->copies; c++) {
        places[c] = place_of(e, (uint32_t)load->imm, c);
        outside[c] = value_lanes(e, where->in[2], c, e->lanes);
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), reads = emit_block(e),
                      done = emit_block(e);
    LLVMBuildCondBr(e->b, inside, reads, done);
    emit_at(e, reads);
    for (int32_t c = 0; c < e->copies; c++) loaded[c] = load_lanes(e, &places[c], KVALUE_NONE, c);
    LLVMBasicBlockRef after = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, done);
    emit_at(e, done);
    for (int32_t c = 0; c < e->copies; c++) {
        LLVMValueRef x = emit_phi(e, LLVMTypeOf(loaded[c]), outside[c], before);
        phi_add(x, loaded[c], after);
        value_set_vector(e, at + 1, c, x);
    }
    return at + 1;
}

/* ---- stores ---------------------------------------------------------------------------------- */

static LLVMValueRef to_memory(Emit *e, sn_dtype dtype, int32_t lanes, LLVMValueRef x) {
    return dtype == SN_BOOL ? LLVMBuildZExt(e->b, x, type_lanes(e->i8, lanes), "") : x;
}

static LLVMValueRef store_aligned(Emit *e, LLVMValueRef x, LLVMValueRef at, int64_t bytes) {
    LLVMValueRef store = LLVMBuildStore(e->b, x, at);
    LLVMSetAlignment(store, (unsigned)bytes);
    return store;
}

static void masked_store(Emit *e, const Place *p, LLVMValueRef mask, LLVMValueRef x) {
    LLVMTypeRef types[] = {LLVMTypeOf(x), e->ptr};
    LLVMValueRef align = LLVMConstInt(e->i32, sn_dtype_size(p->dtype), false);
    LLVMValueRef args[] = {x, p->base, align, mask};
    emit_intrinsic(e, "llvm.masked.store", types, 2, args, 4);
}

/* Lane by lane in order, so that the last lane wins where two have one address. */
static void scatter(Emit *e, const Place *p, LLVMValueRef mask, LLVMValueRef x) {
    LLVMValueRef sink = mask ? slot_for(e, &e->sink_slot) : NULL;
    for (int32_t l = 0; l < e->lanes; l++) {
        LLVMValueRef at = lane_address(e, p, l, mask, sink);
        store_aligned(e, emit_lane(e, x, l), at, (int64_t)sn_dtype_size(p->dtype));
    }
}

bool access_streams(const Emit *e, const LoopShape *shape, uint32_t at, int64_t *bytes) {
    const KInst *inst = kernel_inst(e->kernel, at);
    bool plain = kop_is(inst->op, KFORM_STORE) && !kop_adds_in_memory(inst->op);
    if (!plain || inst->flags & K_PREDICATED) return false;
    if (kernel_access_arg(e->kernel, inst->imm)->role != KARG_OUT) return false;
    if (pattern_of(e, inst->imm, shape->loop) != PATTERN_CONTIGUOUS) return false;
    const KAccess *a = kernel_access(e->kernel, inst->imm);
    for (uint32_t t = 0; t < a->n_terms; t++) {
        KValue value = kernel_term(e->kernel, a, t)->value;
        if (value != KVALUE_NONE && value > shape->loop->begin) return false;
    }
    enum { LEAST = 16, MOST = 64 }; /* sizes of registers that can be stored so */
    *bytes = shape->lanes * (int64_t)sn_dtype_size((sn_dtype)inst->dtype);
    if (*bytes > MOST) *bytes = MOST;
    return *bytes >= LEAST;
}

static void store_past_caches(Emit *e, LLVMValueRef x, LLVMValueRef at, int64_t bytes) {
    LLVMValueRef store = store_aligned(e, x, at, bytes);
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, false));
    LLVMMetadataRef node = LLVMMDNodeInContext2(e->context, &one, 1);
    unsigned kind = LLVMGetMDKindIDInContext(e->context, "nontemporal", 11);
    LLVMSetMetadata(store, kind, LLVMMetadataAsValue(e->context, node));
    e->streamed = true;
}

LLVMValueRef access_aligned(Emit *e, const LoopShape *shape) {
    const KLoop *loop = shape->loop;
    LLVMValueRef all = LLVMConstInt(e->i1, 1, false);
    for (uint32_t at = loop->begin + 1; at < loop->end; at++) {
        int64_t bytes;
        if (!access_streams(e, shape, at, &bytes)) continue;
        LLVMValueRef start = emit_address(e, (uint32_t)kernel_inst(e->kernel, at)->imm);
        LLVMValueRef low = LLVMBuildAnd(e->b, LLVMBuildPtrToInt(e->b, start, e->i64, ""),
                                        const_i64(e, bytes - 1), "");
        LLVMValueRef aligned = LLVMBuildICmp(e->b, LLVMIntEQ, low, const_i64(e, 0), "");
        all = LLVMBuildAnd(e->b, all, aligned, "");
    }
    return all;
}

/* A deferred loop has no trips of its own until its stores are aligned: a row whose first store is
 * aligned bypasses the caches with all of them. One branch serves all copies. */
static void store_where_aligned(Emit *e, uint32_t at, int64_t bytes) {
    const KInst *inst = kernel_inst(e->kernel, at);
    LLVMBasicBlockRef past = emit_block(e), plain = emit_block(e), next = emit_block(e);
    LLVMValueRef x[COPIES_MOST], places[COPIES_MOST];
    sn_dtype dtype = access_dtype(e, (uint32_t)inst->imm);
    for (int32_t c = 0; c < e->copies; c++) {
        x[c] = to_memory(e, dtype, e->lanes, value_vector(e, inst->in[0], c));
        places[c] = place_of(e, (uint32_t)inst->imm, c).base;
    }
    LLVMBuildCondBr(e->b, e->deferred.aligned, past, plain);
    emit_at(e, past);
    for (int32_t c = 0; c < e->copies; c++) store_past_caches(e, x[c], places[c], bytes);
    LLVMBuildBr(e->b, next);
    emit_at(e, plain);
    int64_t element = (int64_t)sn_dtype_size(dtype);
    for (int32_t c = 0; c < e->copies; c++) store_aligned(e, x[c], places[c], element);
    LLVMBuildBr(e->b, next);
    emit_at(e, next);
}

/* Does the store share one branch with its other copies, where its loop runs inside another? */
static bool shares_branch(const Emit *e, uint32_t at, int64_t *bytes) {
    bool whole = e->in_deferred && !e->mask[0] && e->vector->stream;
    return whole && access_streams(e, e->vector, at, bytes);
}

static void store_vector(Emit *e, const Place *p, uint32_t at, LLVMValueRef x, int32_t copy) {
    int64_t bytes = 0, element = (int64_t)sn_dtype_size(p->dtype);
    if (e->in_deferred && !e->vector->stream && begins_line(e, p, copy)) {
        uint64_t access = kernel_inst(e->kernel, at)->imm;
        prefetch(e, p, emit_row_step(e, kernel_access(e->kernel, access)->arg), true);
    }
    if (e->streaming && access_streams(e, e->vector, at, &bytes))
        store_past_caches(e, x, p->base, bytes);
    else
        store_aligned(e, x, p->base, element);
}

static void store_lanes(Emit *e, const Place *p, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    KValue predicate = predicate_of(inst);
    LLVMValueRef mask = lanes_acting(e, predicate, copy);
    LLVMValueRef x = value_vector(e, inst->in[0], copy);
    x = to_memory(e, p->dtype, e->lanes, x);
    if (p->pattern != PATTERN_CONTIGUOUS) {
        scatter(e, p, mask, x);
    } else if (!mask) {
        store_vector(e, p, at, x, copy);
    } else if (masks_natively(e, p->dtype)) {
        masked_store(e, p, mask, x);
    } else if (predicate != KVALUE_NONE) {
        scatter(e, p, mask, x);
    } else {
        LLVMValueRef buffer = buffer_for(e);
        store_aligned(e, x, buffer, (int64_t)sn_dtype_size(p->dtype));
        copy_active(e, p->type, p->base, buffer, copy);
    }
}

/* Address of a scalar store: the sink where a predicate is false. */
static LLVMValueRef store_address(Emit *e, const Place *p, const KInst *inst) {
    KValue predicate = predicate_of(inst);
    if (predicate == KVALUE_NONE) return p->base;
    return emit_select(e, value_scalar(e, predicate, 0), p->base, slot_for(e, &e->sink_slot));
}

void emit_store(Emit *e, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    int64_t bytes;
    if (shares_branch(e, at, &bytes)) {
        if (copy == 0) store_where_aligned(e, at, bytes);
        return;
    }
    Place p = place_of(e, (uint32_t)inst->imm, copy);
    if (e->vector && e->spread[at].kind != SPREAD_UNIFORM) {
        store_lanes(e, &p, at, copy);
        return;
    }
    LLVMValueRef x = to_memory(e, p.dtype, 1, value_scalar(e, inst->in[0], 0));
    store_aligned(e, x, store_address(e, &p, inst), (int64_t)sn_dtype_size(p.dtype));
}

/* x, the canonical NaN where it is one. It is a branch, which LLVM takes to be rare: what is stored and
 * read again at once does not wait for a choice. */
static LLVMValueRef canonical_beside(Emit *e, LLVMValueRef x) {
    LLVMValueRef is_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef rare = emit_block(e), join = emit_block(e);
    LLVMBuildCondBr(e->b, is_nan, rare, join);
    emit_at(e, rare);
    LLVMBuildBr(e->b, join);
    emit_at(e, join);
    LLVMValueRef phi = emit_phi(e, LLVMTypeOf(x), x, before);
    phi_add(phi, const_float(LLVMTypeOf(x), NAN), rare);
    return phi;
}

/* Stands in scalar loops only: the order of additions to one element is the program's. */
void emit_store_add(Emit *e, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    sn_dtype dtype = (sn_dtype)inst->dtype;
    Place p = place_of(e, (uint32_t)inst->imm, copy);
    LLVMValueRef address = store_address(e, &p, inst);
    LLVMValueRef old = load_aligned(e, p.type, address, p.dtype);
    old = emit_cast(e, dtype, p.dtype, 1, from_memory(e, p.dtype, 1, old));
    LLVMValueRef in[3] = {old, value_scalar(e, inst->in[0], 0), NULL};
    LLVMValueRef sum = emit_prim(e, (OpCode)kop_row(inst->op)->merge, dtype, dtype, 1, in, NULL);
    if (dtype_is_float(dtype)) sum = canonical_beside(e, sum);
    sum = to_memory(e, p.dtype, 1, emit_cast(e, p.dtype, dtype, 1, sum));
    store_aligned(e, sum, address, (int64_t)sn_dtype_size(p.dtype));
}

/* ---- checks ---------------------------------------------------------------------------------- */

void emit_check(Emit *e, uint32_t at, int32_t copy) {
    const KInst *inst = kernel_inst(e->kernel, at);
    bool vector = e->vector && is_varying(e, at);
    int32_t lanes = vector ? e->lanes : 1;
    LLVMValueRef holds = value_lanes(e, inst->in[0], copy, lanes);
    LLVMValueRef fails = LLVMBuildNot(e->b, holds, "");
    if (vector && e->mask[copy]) fails = LLVMBuildAnd(e->b, fails, e->mask[copy], "");
    LLVMBasicBlockRef record = emit_block(e), next = emit_block(e);
    LLVMBuildCondBr(e->b, emit_any(e, fails, lanes), record, next);
    emit_at(e, record);
    LLVMBuildAtomicRMW(e->b, LLVMAtomicRMWBinOpUMin, LLVMGetParam(e->function, ARG_ERROR),
                       emit_param(e, (int32_t)inst->imm), LLVMAtomicOrderingMonotonic, false);
    LLVMBuildBr(e->b, next);
    emit_at(e, next);
}
