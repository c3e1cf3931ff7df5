/* Plans of eager ops. What an op came to for given dtypes, shapes and strides is kept by each thread in a
 * direct-mapped table, so that the next equal call only looks up, allocates and launches. */
#include "frontend/op/eager.h"

#include "base/map.h"
#include "base/small.h"
#include "frontend/build.h"
#include "frontend/op/inplace_fit.h"
#include "frontend/op/weak.h"
#include "ir/op/dtype.h"

enum {
    PLAN_SLOTS = 1024, /* plans that a thread keeps */
    KEY_MOST = 512,    /* words of a key; plans of longer calls are not kept */
    FEW_INPUTS = 16    /* operands that need no allocation */
};

/* A kept plan. */
typedef struct EagerSlot {
    uint64_t hash;                    /* of the key */
    uint64_t *key;                    /* what it holds for */
    uint32_t words;                   /* of the key */
    Executable *executable;           /* NULL = free */
    TensorType result;                /* dtype and dims */
    Executable *bound;                /* the executable with `scalars`; NULL where there are none */
    uint64_t scalars[OP_MOST_PARAMS]; /* numbers of the latest call */
} EagerSlot;

static void slot_clear(EagerSlot *slot) {
    executable_release(slot->executable);
    executable_release(slot->bound);
    mem_free(slot->key);
    *slot = (EagerSlot){0};
}

static void slots_free(void *data) {
    EagerSlot *slots = data;
    for (int32_t i = 0; i < PLAN_SLOTS; i++) slot_clear(&slots[i]);
    mem_free(slots);
}

/* NULL when out of memory: then nothing is kept. */
static EagerSlot *slot_for(uint64_t hash) {
    EagerSlot *slots = thread_room(ROOM_OP);
    if (!slots) {
        slots = mem_calloc(PLAN_SLOTS, sizeof *slots);
        if (!slots) return NULL;
        thread_keep(ROOM_OP, slots, slots_free);
    }
    return &slots[hash % PLAN_SLOTS];
}

/* ---- the key --------------------------------------------------------------------------------- */

/* Numbers on which no plan depends (d~) become scalars of the call, so that their values make no new
 * plan. */
static void take_scalars(EagerCall *call) {
    AttrView given = attr_view(call->call.op, call->call.attrs);
    attr_copy(&call->general, given);
    for (AttrWalk at = attr_walk(given); attr_next(&at);) {
        if (!at.param->is_real) continue;
        call->scalars[call->n_scalars] = (uint64_t)given.words[at.first];
        call->general.words[at.first] = attr_scalar((uint32_t)call->n_scalars++);
    }
    call->call.attrs = &call->general;
}

static bool has_weak(const OpCall *call) {
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (call->inputs[i]->kind == TENSOR_WEAK) return true;
    return false;
}

/* copy_ has its source as the value, which is converted once, to the target's dtype. */
static bool copies(const EagerCall *call) {
    return call->target && inplace_copies(call->call.op);
}

/* What the plan depends on, packed. 0 words: too long. */
static uint32_t pack_key(const EagerCall *eager, uint64_t *key) {
    const OpCall *call = &eager->call;
    uint32_t at = 0;
    uint32_t need =
        4 + (uint32_t)call->attrs->count + (uint32_t)call->n_inputs * (1 + 2 * SN_MAX_RANK);
    if (need > KEY_MOST) return 0;
    key[at++] = (uint64_t)call->op | (uint64_t)(eager->target != NULL) << 32 |
                (uint64_t)(uint32_t)call->n_inputs << 33;
    for (int32_t i = 0; i < call->attrs->count; i++) key[at++] = (uint64_t)call->attrs->words[i];
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        uint8_t dtype = x->kind == TENSOR_WEAK
                            ? (uint8_t)weak_operand_dtype(call, i, eager->weak_dtype)
                            : x->dtype;
        key[at++] = (uint64_t)x->kind | (uint64_t)dtype << 8 | (uint64_t)x->rank << 16;
        if (x->kind != TENSOR_REAL) continue;
        for (int32_t d = 0; d < x->rank; d++) {
            key[at++] = (uint64_t)x->dims[d];
            key[at++] = (uint64_t)x->strides[d];
        }
    }
    return at;
}

/* ---- making a plan --------------------------------------------------------------------------- */

/* An operand as a graph input: weak scalars too, so that their values make no new plan. */
static NodeId operand_input(const EagerCall *eager, int32_t i, Graph *graph, sn_error *error) {
    const OpCall *call = &eager->call;
    const sn_tensor *x = call->inputs[i];
    TensorType type = tensor_type(x);
    if (x->kind == TENSOR_WEAK)
        type.dtype = (uint8_t)weak_operand_dtype(call, i, eager->weak_dtype);
    bool laid_out = x->kind == TENSOR_REAL && !tensor_is_dense(x);
    const Dim *strides = laid_out ? dims_of_numbers(x->strides, x->rank) : NULL;
    return graph_input(graph, &type, strides, call->site, error);
}

static sn_status add_inputs(const EagerCall *eager, Graph *graph, NodeId *nodes, sn_error *error) {
    const OpCall *call = &eager->call;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        nodes[i] = x->kind == TENSOR_NONE ? NODE_NONE : operand_input(eager, i, graph, error);
        if (nodes[i] == NODE_NONE && x->kind != TENSOR_NONE) return error_memory(error);
    }
    if (!call->generator) return SN_OK;
    nodes[call->n_inputs] = graph_generator(graph, call->site, error);
    return nodes[call->n_inputs] == NODE_NONE ? error_memory(error) : SN_OK;
}

/* Do operands, some of them scalars, meet in the dtype of the result? As inputs of a graph scalars count
 * beside 0-d tensors. */
static bool meets_scalars(const OpCall *call) {
    return weak_promotes(call->op) && op_info[call->op].dtype_rule != DTYPE_BOOL && has_weak(call);
}

/* The value of the call as it lies in its target, if it has one. */
static NodeId add_value(const EagerCall *eager, Graph *graph, const NodeId *nodes,
                        sn_error *error) {
    const OpCall *call = &eager->call;
    GraphBuilder b = gb_at(graph, call->site, error);
    int32_t count = call->n_inputs + (call->generator != NULL);
    NodeId node = copies(eager) ? nodes[1] : gb_emit(&b, call->op, nodes, count, call->attrs);
    if (meets_scalars(call)) node = gb_cast(&b, eager->weak_dtype, node);
    if (b.failed || !eager->target) return node;
    TensorType wanted = tensor_type(eager->target);
    return graph_fit(&b, node, &wanted, call->op);
}

static sn_status build_graph(const EagerCall *call, Graph *graph, TensorType *result,
                             sn_error *error) {
    SMALL(NodeId, FEW_INPUTS + 1) nodes;
    if (!small_open(&nodes, call->call.n_inputs + 1)) return error_memory(error);
    sn_status status = add_inputs(call, graph, nodes.data, error);
    NodeId node = status == SN_OK ? add_value(call, graph, nodes.data, error) : NODE_NONE;
    if (node == NODE_NONE && status == SN_OK)
        status = error->status ? error->status : error_memory(error);
    if (status == SN_OK) {
        *result = node_type(graph, node);
        if (!graph_output(graph, node, call->target ? 0 : -1)) status = error_memory(error);
    }
    small_close(&nodes);
    return status;
}

static sn_status make_plan(const EagerCall *call, Executable **out, TensorType *result,
                           sn_error *error) {
    Graph graph;
    graph_init(&graph, op_info[call->call.op].name);
    graph.no_fold = true;
    sn_status status = build_graph(call, &graph, result, error);
    if (status == SN_OK) status = graph_build(&graph, &(BuildOptions){0}, out, NULL, error);
    graph_free(&graph);
    return status;
}

/* ---- finding one ----------------------------------------------------------------------------- */

/* The executable with the call's numbers in place of `*executable`, whose reference it takes. */
static sn_status bind_scalars(const EagerCall *call, Executable **executable, sn_error *error) {
    if (!call->n_scalars) return SN_OK;
    Executable *plain = *executable;
    sn_status status = executable_bind(plain, NULL, call->scalars, executable, error);
    executable_release(plain);
    return status;
}

/* The kept plan with the call's numbers; often they are those of the last call. */
static sn_status use_slot(EagerSlot *slot, const EagerCall *call, Executable **out,
                          sn_error *error) {
    size_t bytes = sizeof *call->scalars * (size_t)call->n_scalars;
    if (call->n_scalars && (!slot->bound || memcmp(slot->scalars, call->scalars, bytes) != 0)) {
        Executable *bound = executable_retain(slot->executable);
        sn_status status = bind_scalars(call, &bound, error);
        if (status != SN_OK) return status;
        executable_release(slot->bound);
        slot->bound = bound;
        memcpy(slot->scalars, call->scalars, bytes);
    }
    *out = executable_retain(call->n_scalars ? slot->bound : slot->executable);
    return SN_OK;
}

sn_status eager_plan(EagerCall *call, Executable **out, TensorType *result, sn_error *error) {
    uint64_t key[KEY_MOST];
    if (op_operands(call->call.op)->numbers) take_scalars(call);
    if (has_weak(&call->call))
        call->weak_dtype =
            copies(call) ? (sn_dtype)call->call.inputs[1]->dtype : weak_dtype(&call->call);
    uint32_t words = pack_key(call, key);
    uint64_t hash = hash_bytes(key, words * sizeof *key, 0);
    EagerSlot *slot = words ? slot_for(hash) : NULL;
    if (slot && slot->executable && slot->hash == hash && slot->words == words &&
        memcmp(slot->key, key, words * sizeof *key) == 0) {
        *result = slot->result;
        return use_slot(slot, call, out, error);
    }
    sn_status status = make_plan(call, out, result, error);
    if (status != SN_OK) return status;
    uint64_t *copy = slot ? mem_alloc(words * sizeof *copy) : NULL;
    if (!copy) return bind_scalars(call, out, error); /* it runs; it is only not kept */
    memcpy(copy, key, words * sizeof *copy);
    slot_clear(slot);
    *slot = (EagerSlot){
        .hash = hash, .key = copy, .words = words, .executable = *out, .result = *result};
    return use_slot(slot, call, out, error);
}
