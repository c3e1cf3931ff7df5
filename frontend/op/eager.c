/* Eager ops: one-op graphs through the same passes and code generation as compiled functions. What
 * an op came to for given shapes is kept by each thread in a direct-mapped table, so that the next
 * equal call only looks up, allocates and launches. */
#include "frontend/op/eager.h"
#include "frontend/build.h"
#include "frontend/op/dispatch.h"
#include "frontend/op/run.h"
#include "frontend/trace/trace.h"

#include "base/parallel.h"
#include "base/status.h"
#include "ir/dtype.h"

#include <pthread.h>

enum {
    EAGER_SLOTS = 1024,     /* plans that a thread keeps */
    EAGER_MOST_WORDS = 512, /* of a key; longer calls are not kept */
    EAGER_FEW_INPUTS = 16
};

/* A kept plan. */
typedef struct EagerPlan {
    uint64_t hash;                    /* of the key */
    uint64_t *key;                    /* what it holds for */
    uint32_t words;                   /* of the key */
    Executable *executable;           /* NULL = free */
    TensorType result;                /* dtype and dims */
    Executable *bound;                /* the executable with `scalars`; NULL where there are none */
    uint64_t scalars[OP_MOST_PARAMS]; /* numbers of the latest call */
} EagerPlan;

static _Thread_local EagerPlan *table;
static pthread_key_t table_key;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void drop(EagerPlan *plan) {
    executable_release(plan->executable);
    executable_release(plan->bound);
    mem_free(plan->key);
    *plan = (EagerPlan){0};
}

static void free_table(void *data) {
    EagerPlan *plans = data;
    for (int32_t i = 0; i < EAGER_SLOTS; i++) drop(&plans[i]);
    mem_free(plans);
    table = NULL;
}

static void make_table_key(void) {
    pthread_key_create(&table_key, free_table);
}

static EagerPlan *slot_for(uint64_t hash) {
    if (!table) {
        pthread_once(&table_once, make_table_key);
        table = mem_calloc(EAGER_SLOTS, sizeof *table);
        if (!table) return NULL;
        pthread_setspecific(table_key, table);
    }
    return &table[hash % EAGER_SLOTS];
}

/* ---- the call ------------------------------------------------------------------------------------------ */

/* One eager call. */
typedef struct EagerCall {
    OpCode op;                        /* what is run */
    sn_tensor *const *inputs;         /* operands */
    int32_t n_inputs;                 /* how many */
    const AttrList *attrs;            /* as given */
    sn_rng *generator;                /* or NULL */
    sn_tensor *target;                /* what the result is written into, or NULL */
    sn_dtype weak_dtype;              /* in which weak scalars take part */
    Site site;                        /* of the call */
    uint64_t scalars[OP_MOST_PARAMS]; /* numbers that no plan depends on */
    int32_t n_scalars;                /* how many */
} EagerCall;

/* Numbers on which no plan depends (d~) become scalars of the call, so that their values make no new plan;
 * `general` receives the attributes with scalars in their places. */
static void take_scalars(EagerCall *call, AttrList *general) {
    int32_t n_params, at = 0;
    const OpParam *params = op_params(call->op, &n_params);
    general->count = call->attrs->count;
    memcpy(general->words, call->attrs->words, sizeof(int64_t) * (size_t)call->attrs->count);
    for (int32_t i = 0; i < n_params; i++) {
        if (params[i].kind == 't' || params[i].kind == 'r') continue;
        if (params[i].is_real) {
            call->scalars[call->n_scalars] = (uint64_t)call->attrs->words[at];
            general->words[at] = attr_scalar((uint32_t)call->n_scalars++);
        }
        at += params[i].kind == 'L' ? 1 + (int32_t)call->attrs->words[at] : 1;
    }
    call->attrs = general;
}

sn_dtype eager_weak_dtype(OpCode op, sn_tensor *const *inputs, int32_t n_inputs) {
    Promotion promotion = {0};
    bool any = false;
    for (int32_t i = op == OP_WHERE ? 1 : 0; i < n_inputs; i++) {
        const sn_tensor *x = inputs[i];
        if (x->kind == TENSOR_NONE) continue;
        TensorType type = tensor_type(x);
        promotion_add(&promotion, (sn_dtype)type.dtype, (DtypeStrength)type.strength);
        any = true;
    }
    sn_dtype dtype = any ? promotion_result(&promotion) : SN_F32;
    /* An op that makes floats of integers takes the scalar as a float, not as a wrapped integer. */
    return op_info[op].dtype_rule == DTYPE_FLOAT && !dtype_is_float(dtype) ? SN_F32 : dtype;
}

static bool has_weak(const EagerCall *call) {
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (call->inputs[i]->kind == TENSOR_WEAK) return true;
    return false;
}

/* What the plan depends on, packed. 0 words: too long. */
static uint32_t pack_key(const EagerCall *call, uint64_t *key) {
    uint32_t at = 0;
    uint32_t need =
        4 + (uint32_t)call->attrs->count + (uint32_t)call->n_inputs * (1 + 2 * SN_MAX_RANK);
    if (need > EAGER_MOST_WORDS) return 0;
    key[at++] = (uint64_t)call->op | (uint64_t)(call->target != NULL) << 32 |
                (uint64_t)(uint32_t)call->n_inputs << 33;
    for (int32_t i = 0; i < call->attrs->count; i++) key[at++] = (uint64_t)call->attrs->words[i];
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        uint8_t dtype = x->kind == TENSOR_WEAK ? (uint8_t)call->weak_dtype : x->dtype;
        key[at++] = (uint64_t)x->kind | (uint64_t)dtype << 8 | (uint64_t)x->rank << 16;
        if (x->kind != TENSOR_REAL) continue;
        for (int32_t d = 0; d < x->rank; d++) {
            key[at++] = (uint64_t)x->dims[d];
            key[at++] = (uint64_t)x->strides[d];
        }
    }
    return at;
}

/* The graph of the call. Weak scalars are inputs, so that their values make no new plan. */
static sn_status build_graph(const EagerCall *call, Graph *graph, TensorType *result,
                             sn_error *error) {
    NodeId few[EAGER_FEW_INPUTS + 1], *nodes = few;
    if (call->n_inputs > EAGER_FEW_INPUTS)
        nodes = mem_alloc(sizeof *nodes * (size_t)(call->n_inputs + 1));
    if (!nodes) return error_memory(error);
    sn_status status = SN_OK;
    int32_t count = 0;
    for (int32_t i = 0; i < call->n_inputs && status == SN_OK; i++) {
        const sn_tensor *x = call->inputs[i];
        nodes[count] = NODE_NONE;
        if (x->kind != TENSOR_NONE) {
            TensorType type = tensor_type(x);
            if (x->kind == TENSOR_WEAK) type.dtype = (uint8_t)call->weak_dtype;
            bool laid_out = x->kind == TENSOR_REAL && !tensor_is_dense(x);
            const Dim *strides = laid_out ? dims_of_numbers(x->strides, x->rank) : NULL;
            nodes[count] = graph_input(graph, &type, strides, call->site, error);
            if (nodes[count] == NODE_NONE) status = error_memory(error);
        }
        count++;
    }
    if (call->generator && status == SN_OK) {
        TensorType type = {.dtype = SN_I64, .rank = 1, .strength = STRENGTH_FULL, .dims = {{2}}};
        nodes[count] = graph_input(graph, &type, NULL, call->site, error);
        if (nodes[count++] == NODE_NONE) status = error_memory(error);
    }
    NodeId node = NODE_NONE;
    bool copies = call->op == OP_CLONE && call->target;
    if (status == SN_OK && copies) node = nodes[1];
    if (status == SN_OK && !copies)
        node = graph_emit(graph, call->op, nodes, count, call->attrs, call->site, error);
    if (status == SN_OK && node != NODE_NONE && call->target) {
        TensorType wanted = tensor_type(call->target);
        node = graph_fit(graph, node, &wanted, call->op, call->site, error);
    }
    if (node == NODE_NONE && status == SN_OK)
        status = error->status ? error->status : error_memory(error);
    if (status == SN_OK) {
        *result = node_type(graph, node);
        if (!graph_output(graph, node, call->target ? 0 : -1)) status = error_memory(error);
    }
    if (nodes != few) mem_free(nodes);
    return status;
}

static sn_status make_plan(const EagerCall *call, Executable **out, TensorType *result,
                           sn_error *error) {
    Graph graph;
    graph_init(&graph, op_info[call->op].name);
    graph.no_fold = true;
    sn_status status = build_graph(call, &graph, result, error);
    if (status == SN_OK) status = graph_build(&graph, &(BuildOptions){0}, out, NULL, error);
    graph_free(&graph);
    return status;
}

/* The executable with the call's numbers in place of `*executable`, whose reference it takes. */
static sn_status bind_scalars(const EagerCall *call, Executable **executable, sn_error *error) {
    if (!call->n_scalars) return SN_OK;
    Executable *plain = *executable;
    sn_status status = executable_bind(plain, NULL, call->scalars, executable, error);
    executable_release(plain);
    return status;
}

/* The kept plan with the call's numbers; often they are those of the last call. */
static sn_status use_plan(EagerPlan *plan, const EagerCall *call, Executable **out,
                          sn_error *error) {
    size_t bytes = sizeof *call->scalars * (size_t)call->n_scalars;
    if (call->n_scalars && (!plan->bound || memcmp(plan->scalars, call->scalars, bytes) != 0)) {
        Executable *bound = executable_retain(plan->executable);
        sn_status status = bind_scalars(call, &bound, error);
        if (status != SN_OK) return status;
        executable_release(plan->bound);
        plan->bound = bound;
        memcpy(plan->scalars, call->scalars, bytes);
    }
    *out = executable_retain(call->n_scalars ? plan->bound : plan->executable);
    return SN_OK;
}

/* The plan, kept or made; the caller gets a reference. */
static sn_status find_plan(const EagerCall *call, Executable **out, TensorType *result,
                           sn_error *error) {
    uint64_t key[EAGER_MOST_WORDS];
    uint32_t words = pack_key(call, key);
    uint64_t hash = hash_bytes(key, words * sizeof *key, 0);
    EagerPlan *slot = words ? slot_for(hash) : NULL;
    if (slot && slot->executable && slot->hash == hash && slot->words == words &&
        memcmp(slot->key, key, words * sizeof *key) == 0) {
        *result = slot->result;
        return use_plan(slot, call, out, error);
    }
    sn_status status = make_plan(call, out, result, error);
    if (status != SN_OK) return status;
    uint64_t *copy = slot ? mem_alloc(words * sizeof *copy) : NULL;
    if (!copy) return bind_scalars(call, out, error); /* it runs; it is only not kept */
    memcpy(copy, key, words * sizeof *copy);
    drop(slot);
    *slot = (EagerPlan){
        .hash = hash, .key = copy, .words = words, .executable = *out, .result = *result};
    return use_plan(slot, call, out, error);
}

/* ---- running --------------------------------------------------------------------------------------------- */

/* Memory that inputs point to while the call runs. */
typedef struct EagerMemory {
    void *few[EAGER_FEW_INPUTS + 1];        /* addresses */
    uint64_t scalars[EAGER_FEW_INPUTS + 1]; /* weak scalars */
    int64_t state[2];                       /* of the generator */
    void **inputs;                          /* few, or an allocation */
    uint64_t *weak;                         /* scalars, or an allocation */
} EagerMemory;

static bool point_inputs(const EagerCall *call, EagerMemory *m) {
    m->inputs = m->few;
    m->weak = m->scalars;
    if (call->n_inputs > EAGER_FEW_INPUTS) {
        size_t count = (size_t)call->n_inputs + 1;
        m->inputs = mem_alloc(sizeof *m->inputs * count);
        m->weak = m->inputs ? mem_alloc(sizeof *m->weak * count) : NULL;
        if (!m->weak) return false;
    }
    int32_t at = 0;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        if (x->kind == TENSOR_REAL) m->inputs[at++] = tensor_data(x);
        if (x->kind != TENSOR_WEAK) continue;
        uint64_t bits = dtype_bits_cast(call->weak_dtype, (sn_dtype)x->dtype, x->bits);
        dtype_store(call->weak_dtype, &m->weak[i], bits);
        m->inputs[at++] = &m->weak[i];
    }
    if (call->generator) {
        m->state[0] = (int64_t)call->generator->seed;
        m->state[1] = (int64_t)call->generator->counter;
        m->inputs[at] = m->state;
    }
    return true;
}

static void release_memory(EagerMemory *m) {
    if (m->inputs != m->few) mem_free(m->inputs);
    if (m->weak != m->scalars) mem_free(m->weak);
}

static sn_status launch(const EagerCall *call, const Executable *executable, Storage *storage,
                        sn_error *error) {
    Site first = {0}; /* of the call that the plan was made for: the error is this call's */
    EagerMemory memory;
    uint64_t code = UINT64_MAX;
    void *output = storage ? storage->data : NULL;
    sn_status status = point_inputs(call, &memory) ? SN_OK : error_memory(error);
    if (status == SN_OK)
        status =
            executable_run(executable, memory.inputs, &output, parallel_threads(), &code, error);
    release_memory(&memory);
    if (status == SN_OK && code != UINT64_MAX) status = data_error(executable, code, error, &first);
    return status;
}

/* Operands that share memory with the target in part are copied first: the op must read them as they
 * were. The copy belongs to the scope. */
static bool separate(EagerCall *call, sn_tensor **copies) {
    for (int32_t i = 0; i < call->n_inputs; i++) copies[i] = call->inputs[i];
    for (int32_t i = 1; i < call->n_inputs; i++) {
        const sn_tensor *x = copies[i], *t = call->target;
        if (x->kind != TENSOR_REAL) continue;
        bool same = x->storage == t->storage && x->offset == t->offset && x->rank == t->rank &&
                    memcmp(x->dims, t->dims, sizeof(int64_t) * x->rank) == 0 &&
                    memcmp(x->strides, t->strides, sizeof(int64_t) * x->rank) == 0;
        if (same || !tensors_overlap(x, t)) continue;
        AttrList none;
        none.count = 0;
        copies[i] = eager_op(OP_CLONE, &copies[i], 1, &none, NULL, NULL, call->site);
        if (!copies[i]) return false;
    }
    call->inputs = copies;
    return true;
}

static void advance(const EagerCall *call, const TensorType *result) {
    if (call->generator) call->generator->counter += (uint64_t)type_count(result);
}

static sn_tensor *run_new(const EagerCall *call, const Executable *executable,
                          const TensorType *result) {
    sn_error error;
    error_init(&error);
    Site site = call->site;
    size_t bytes = (size_t)type_count(result) * sn_dtype_size((sn_dtype)result->dtype);
    Storage *storage = storage_new(bytes);
    if (!storage)
        return error_raise(SN_ERROR_MEMORY, site, "%s: out of memory (%zu bytes)",
                           op_info[call->op].name, bytes);
    /* The handle first: behind a run that drew or wrote, nothing may fail. */
    ThreadState *state = thread_state();
    uint32_t first = state->held.count;
    sn_tensor *tensor = tensor_real(storage, result, NULL, 0, call->site);
    if (!tensor) return NULL;
    if (launch(call, executable, storage, &error) != SN_OK) {
        handles_release(state, first);
        return error_raise_from(&error, site);
    }
    advance(call, result);
    return tensor;
}

static sn_tensor *run_into_target(const EagerCall *call, const Executable *executable,
                                  const TensorType *result) {
    sn_error error;
    error_init(&error);
    if (launch(call, executable, NULL, &error) != SN_OK)
        return error_raise_from(&error, call->site);
    advance(call, result);
    atomic_fetch_add_explicit(&call->target->storage->version, 1, memory_order_relaxed);
    return call->target;
}

static sn_tensor *run_call(EagerCall *call) {
    Executable *executable = NULL;
    TensorType result = {0};
    sn_error error;
    error_init(&error);
    bool copies = call->op == OP_CLONE && call->target; /* converted once, to the target's dtype */
    AttrList general;
    if (op_operands(call->op)->numbers) take_scalars(call, &general);
    if (has_weak(call))
        call->weak_dtype = copies ? (sn_dtype)call->inputs[1]->dtype
                                  : eager_weak_dtype(call->op, call->inputs, call->n_inputs);
    if (find_plan(call, &executable, &result, &error) != SN_OK)
        return error_raise_from(&error, call->site);
    sn_tensor *tensor = call->target ? run_into_target(call, executable, &result)
                                     : run_new(call, executable, &result);
    executable_release(executable);
    return tensor;
}

sn_tensor *eager_op(OpCode op, sn_tensor *const *inputs, int32_t n_inputs, const AttrList *attrs,
                    sn_rng *generator, sn_tensor *target, Site site) {
    EagerCall call = {.op = op,
                      .inputs = inputs,
                      .n_inputs = n_inputs,
                      .attrs = attrs,
                      .generator = generator,
                      .target = target,
                      .weak_dtype = SN_F32,
                      .site = site};
    if (!target) return scope_check(site) ? run_call(&call) : NULL; /* before any work is done */
    if (target->kind != TENSOR_REAL)
        return error_raise(SN_ERROR_ARGUMENT, site, "%s_: a scalar constant cannot be written",
                           inplace_name(op));
    if (tensor_overlaps_itself(target))
        return error_raise(SN_ERROR_ALIAS, site,
                           "%s_: the tensor names one element more than once (it was expanded)",
                           inplace_name(op));
    sn_tensor *few[EAGER_FEW_INPUTS];
    if (n_inputs > EAGER_FEW_INPUTS)
        return error_raise(SN_ERROR_ARGUMENT, site, "%s_: too many operands", inplace_name(op));
    return separate(&call, few) ? run_call(&call) : NULL;
}

/* ---- views --------------------------------------------------------------------------------------------------- */

static sn_tensor *apply_view(OpCode op, sn_tensor *x, const AttrList *attrs, const TensorType *type,
                             Site site) {
    int64_t strides[SN_MAX_RANK], offset;
    if (!view_apply(op, attrs, x, type, strides, &offset)) {
        AttrList none;
        none.count = 0;
        x = eager_op(OP_CLONE, &x, 1, &none, NULL, NULL, site);
        if (!x) return NULL;
        view_apply(op, attrs, x, type, strides, &offset);
    }
    return tensor_real(storage_retain(x->storage), type, strides, offset, site);
}

sn_tensor *eager_view(OpCode op, sn_tensor *x, const AttrList *attrs, Site site) {
    sn_error error;
    error_init(&error);
    if (x->kind == TENSOR_WEAK) { /* as the op would see it alone */
        x = eager_op(OP_CLONE, &x, 1, &(AttrList){.count = 0}, NULL, NULL, site);
        if (!x) return NULL;
    }
    TensorType from = tensor_type(x), type;
    AttrList own;
    own.count = attrs->count;
    memcpy(own.words, attrs->words, sizeof(int64_t) * (size_t)attrs->count);
    if (op_infer(NULL, op, &from, 1, &own, &type, &error) != SN_OK)
        return error_raise_from(&error, site);
    return apply_view(op, x, &own, &type, site);
}

/* ---- graphs, node by node --------------------------------------------------------------------------------------- */

static sn_tensor *run_node(const Graph *graph, NodeId id, sn_tensor *const *values, Site site) {
    const Node *node = graph_node(graph, id);
    AttrList attrs;
    attr_copy(&attrs, node_attrs(graph, node));
    if (node->op == OP_CONST) {
        TensorType type = {.dtype = node->dtype, .rank = 0};
        bool weak = attrs.words[2] != 0;
        sn_tensor *scalar = tensor_new(TENSOR_WEAK, &type, site);
        if (scalar) scalar->bits = (uint64_t)attrs.words[0];
        return !scalar || weak ? scalar : tensor_realize(scalar, "const", site);
    }
    sn_tensor *few[EAGER_FEW_INPUTS], **operands = few;
    if (node->n_inputs > EAGER_FEW_INPUTS) operands = mem_alloc(sizeof *operands * node->n_inputs);
    if (!operands) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        operands[i] = input == NODE_NONE ? SN_NONE : values[input];
    }
    sn_tensor *result =
        op_is((OpCode)node->op, CLASS_VIEW)
            ? eager_view((OpCode)node->op, operands[0], &attrs, site)
            : eager_op((OpCode)node->op, operands, node->n_inputs, &attrs, NULL, NULL, site);
    if (operands != few) mem_free(operands);
    return result;
}

/* Values that will be written into inputs and lie in the memory of one, where an earlier write could
 * change them, are copied. */
static bool save_values(const Graph *graph, sn_tensor *const *inputs, sn_tensor **values) {
    AttrList none;
    none.count = 0;
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        sn_tensor **value = &values[output.node];
        bool shares = (*value)->kind != TENSOR_REAL;
        for (uint32_t j = 0; !shares && j < graph->inputs.count; j++)
            shares = tensors_overlap(*value, inputs[j]);
        if (output.writes_input < 0 || !shares) continue;
        *value = eager_op(OP_CLONE, value, 1, &none, NULL, NULL, (Site){0});
        if (!*value) return false;
    }
    return true;
}

/* Writes the results that belong to inputs, after all of them were computed. Cannot fail, so either
 * all are written or, after an error before, none. */
static void write_inputs(const Graph *graph, sn_tensor *const *inputs, sn_tensor *const *values) {
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        if (output.writes_input >= 0)
            tensor_store(inputs[output.writes_input], values[output.node]);
    }
}

sn_status eager_graph(const Graph *graph, sn_tensor *const *inputs, sn_tensor **outputs,
                      sn_error *error) {
    ThreadState *state = thread_state();
    Trace *trace = state->trace;
    state->trace = NULL;
    sn_tensor **values = mem_calloc(graph->nodes.count + 1, sizeof *values);
    bool ok = values != NULL;
    for (NodeId id = 0; ok && id < graph->nodes.count; id++) {
        const Node *node = graph_node(graph, id);
        if (node->op == OP_INPUT)
            values[id] = inputs[node_attrs(graph, node).words[0]];
        else
            values[id] = run_node(graph, id, values, graph->sites.data[node->site]);
        ok = values[id] != NULL;
    }
    AttrList none;
    none.count = 0;
    for (uint32_t i = 0, at = 0; ok && i < graph->outputs.count; i++) {
        if (graph->outputs.data[i].writes_input >= 0) continue;
        sn_tensor *value = values[graph->outputs.data[i].node];
        outputs[at] = eager_op(OP_CLONE, &value, 1, &none, NULL, NULL, (Site){0});
        ok = outputs[at++] != NULL;
    }
    if (ok) ok = save_values(graph, inputs, values);
    if (ok) write_inputs(graph, inputs, values);
    mem_free(values);
    state->trace = trace;
    if (ok) return SN_OK;
    if (!error_pending(state)) return error_memory(error);
    sn_error_take(error);
    return error->status;
}
