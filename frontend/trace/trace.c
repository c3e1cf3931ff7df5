/* Recording ops; see trace.h. */
#include "frontend/trace/trace.h"

#include "base/status.h"
#include "frontend/op/dispatch.h"
#include "frontend/op/eager.h"
#include "ir/dtype.h"

#include <pthread.h>

enum { SPARE_MOST_NODES = 1 << 16 };

/* A trace that ended leaves its memory to the thread's next one: a re-trace allocates nothing. */
static _Thread_local Trace *spare;
static pthread_key_t spare_key;
static pthread_once_t spare_once = PTHREAD_ONCE_INIT;

static void free_all(Trace *trace) {
    graph_free(&trace->graph);
    vec_free(&trace->roots);
    vec_free(&trace->views);
    vec_free(&trace->words);
    vec_free(&trace->inputs);
    vec_free(&trace->cleanups);
    mem_free(trace);
}

static void free_spare(void *unused) {
    (void)unused;
    if (spare) free_all(spare);
    spare = NULL;
}

static void make_spare_key(void) {
    pthread_key_create(&spare_key, free_spare);
}

Trace *trace_new(const TraceOwner *owner, void *context, const char *name) {
    Trace *trace = spare;
    spare = NULL;
    if (!trace) {
        trace = mem_calloc(1, sizeof *trace);
        if (!trace) return NULL;
        graph_init(&trace->graph, name);
    }
    trace->graph.name = name;
    trace->graph.no_fold = true;
    trace->owner = owner;
    trace->context = context;
    trace->generators = NULL;
    trace->n_generators = 0;
    trace->outer = NULL;
    trace->fullgraph = trace->eager = trace->failed = trace->impure = false;
    trace->host_reads = trace->ops = trace->kept = 0;
    trace->read_site = (Site){0};
    return trace;
}

void trace_clear(Trace *trace) {
    for (uint32_t i = 0; i < trace->inputs.count; i++)
        if (trace->inputs.data[i].tensor) tensor_unref(trace->inputs.data[i].tensor);
    graph_clear(&trace->graph);
    trace->roots.count = 0;
    trace->views.count = 0;
    trace->words.count = 0;
    trace->inputs.count = 0;
    trace->latest_check = 0;
}

void trace_free(Trace *trace) {
    while (trace->live) trace_forget(trace->live); /* unusable from here on */
    trace_clear(trace);
    while (trace->cleanups.count) {
        TraceCleanup cleanup = trace->cleanups.data[--trace->cleanups.count];
        cleanup.run(cleanup.what);
    }
    if (spare || trace->graph.nodes.capacity > SPARE_MOST_NODES) {
        free_all(trace);
        return;
    }
    pthread_once(&spare_once, make_spare_key);
    pthread_setspecific(spare_key, trace);
    spare = trace;
}

bool trace_at_end(Trace *trace, void (*run)(void *), void *what) {
    TraceCleanup cleanup = {run, what};
    return vec_push(&trace->cleanups, cleanup);
}

bool trace_owns(Trace *trace, void *block) {
    if (!block || trace_at_end(trace, mem_free, block)) return true;
    mem_free(block);
    return false;
}

/* ---- proxies ------------------------------------------------------------------------------------------ */

static void link_live(Trace *trace, sn_tensor *proxy) {
    proxy->trace = trace;
    proxy->previous = NULL;
    proxy->next = trace->live;
    if (trace->live) trace->live->previous = proxy;
    trace->live = proxy;
}

void trace_forget(sn_tensor *proxy) {
    Trace *trace = proxy->trace;
    if (!trace) return;
    if (proxy->previous)
        proxy->previous->next = proxy->next;
    else
        trace->live = proxy->next;
    if (proxy->next) proxy->next->previous = proxy->previous;
    proxy->next = proxy->previous = NULL;
    proxy->trace = NULL;
}

static sn_tensor *new_proxy(Trace *trace, const TensorType *type, uint32_t record,
                            const int64_t *strides, int64_t offset, Site site) {
    sn_tensor *proxy = tensor_new(TENSOR_PROXY, type, site);
    if (!proxy) return NULL;
    proxy->record = record;
    proxy->offset = offset;
    if (strides)
        memcpy(proxy->strides, strides, sizeof(int64_t) * type->rank);
    else
        dense_strides(proxy->dims, type->rank, proxy->strides);
    link_live(trace, proxy);
    return proxy;
}

/* A root and the view that is all of it; the view's index, or -1. */
static int64_t new_root(Trace *trace, NodeId node, int32_t input) {
    TraceRoot root = {.node = node, .input = input};
    TraceView whole = {.root = trace->roots.count, .parent = -1, .node = node};
    if (!vec_push(&trace->roots, root) || !vec_push(&trace->views, whole)) return -1;
    return (int64_t)trace->views.count - 1;
}

static sn_tensor *root_proxy(Trace *trace, NodeId node, Site site) {
    TensorType type;
    node_type_to(&trace->graph, node, &type);
    int64_t view = new_root(trace, node, -1);
    if (view < 0) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    return new_proxy(trace, &type, (uint32_t)view, NULL, 0, site);
}

/* ---- looks ---------------------------------------------------------------------------------------------- */

/* Is it the function's own handle, made while it is traced? */
static bool made_here(const Trace *trace, const sn_tensor *x) {
    const ThreadState *state = thread_state();
    return x->slot >= trace->scope.first && x->slot < state->held.count &&
           state->held.data[x->slot] == x;
}

/* A captured tensor that becomes an operand is noticed where it does; looks leave no op behind. */
void trace_look(const sn_tensor *tensor) {
    Trace *trace = thread_state()->trace;
    if (!trace || trace->eager) return;
    bool foreign = tensor->kind == TENSOR_WEAK && !made_here(trace, tensor);
    if (tensor->kind == TENSOR_REAL || foreign) trace->impure = true;
}

void trace_keep(const sn_tensor *tensor, int32_t references) {
    Trace *trace = thread_state()->trace;
    if (!trace || trace->eager || tensor->kind == TENSOR_PROXY) return;
    if (tensor->kind == TENSOR_WEAK && made_here(trace, tensor))
        trace->kept += references;
    else
        trace->impure = true;
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

static bool same_memory(const sn_tensor *x, const sn_tensor *y) {
    return x->storage == y->storage && x->offset == y->offset && x->dtype == y->dtype &&
           x->rank == y->rank && memcmp(x->dims, y->dims, sizeof(int64_t) * x->rank) == 0 &&
           memcmp(x->strides, y->strides, sizeof(int64_t) * x->rank) == 0;
}

/* The view of a real tensor that is an input of the graph already, or -1. */
static int64_t known_input(const Trace *trace, const sn_tensor *real) {
    for (uint32_t v = 0; v < trace->views.count; v++) {
        const TraceView *view = &trace->views.data[v];
        int32_t input = trace->roots.data[view->root].input;
        if (view->parent >= 0 || input < 0) continue;
        const sn_tensor *known = trace->inputs.data[input].tensor;
        if (known && same_memory(known, real)) return v;
    }
    return -1;
}

static int64_t add_input(Trace *trace, TraceInputKind kind, sn_tensor *real, Site site) {
    TensorType type;
    tensor_type_to(real, &type);
    sn_error error;
    error_init(&error);
    const Dim *strides = tensor_is_dense(real) ? NULL : dims_of_numbers(real->strides, real->rank);
    TraceInput input = {.kind = (uint8_t)kind, .tensor = real, .argument = -1};
    if (!vec_reserve(&trace->inputs, 1)) return -1;
    NodeId node = graph_input(&trace->graph, &type, strides, site, &error);
    if (node == NODE_NONE) return -1;
    atomic_fetch_add_explicit(&real->refs, 1, memory_order_relaxed);
    trace->inputs.data[trace->inputs.count++] = input;
    return new_root(trace, node, (int32_t)trace->inputs.count - 1);
}

sn_tensor *trace_argument(Trace *trace, sn_tensor *real, int32_t number) {
    Site nowhere = {0};
    int64_t view = known_input(trace, real);
    if (view < 0) {
        view = add_input(trace, INPUT_ARGUMENT, real, nowhere);
        if (view >= 0) vec_last(&trace->inputs).argument = number;
    }
    if (view < 0) return error_raise(SN_ERROR_MEMORY, nowhere, "out of memory");
    TensorType type;
    tensor_type_to(real, &type);
    return new_proxy(trace, &type, (uint32_t)view, real->strides, real->offset, nowhere);
}

static NodeId capture(Trace *trace, sn_tensor *real, Site site) {
    int64_t view = known_input(trace, real);
    trace->impure = true; /* even where it is the memory of an argument: that is chance */
    if (view < 0) view = add_input(trace, INPUT_CAPTURE, real, site);
    if (view < 0) {
        error_raise(SN_ERROR_MEMORY, site, "out of memory");
        return NODE_NONE;
    }
    return trace->roots.data[trace->views.data[view].root].node;
}

/* The generator's input, if it is one; a captured one whose state the program changed is another. */
static int64_t known_generator(const Trace *trace, const sn_rng *generator) {
    for (uint32_t i = trace->inputs.count; i-- > 0;) {
        const TraceInput *input = &trace->inputs.data[i];
        if (input->generator != generator) continue;
        bool same = generator->seed == input->state.seed &&
                    generator->counter == input->state.counter + (uint64_t)input->drawn;
        if (!input->captured || same) return i;
    }
    return -1;
}

static bool is_argument_generator(const Trace *trace, const sn_rng *generator) {
    for (int32_t i = 0; i < trace->n_generators; i++)
        if (trace->generators[i] == generator) return true;
    return false;
}

/* The graph input of a generator, by number; -1 when out of memory. */
static int64_t generator_input(Trace *trace, sn_rng *generator) {
    int64_t known = known_generator(trace, generator);
    if (known >= 0) return known;
    TensorType type = {.dtype = SN_I64, .rank = 1, .strength = STRENGTH_FULL, .dims = {{2}}};
    TraceInput input = {.kind = INPUT_GENERATOR,
                        .generator = generator,
                        .captured = !is_argument_generator(trace, generator),
                        .state = *generator,
                        .argument = -1};
    if (!vec_reserve(&trace->inputs, 1)) return -1;
    if (graph_input(&trace->graph, &type, NULL, (Site){0}, NULL) == NODE_NONE) return -1;
    trace->inputs.data[trace->inputs.count++] = input;
    if (input.captured) trace->impure = true;
    return (int64_t)trace->inputs.count - 1;
}

static void advance_generator(Trace *trace, int64_t number, int64_t count) {
    TraceInput *input = &trace->inputs.data[number];
    input->drawn += count;
    if (input->captured) input->generator->counter += (uint64_t)count;
}

/* ---- values ----------------------------------------------------------------------------------------------- */

/* A view's op on its parent's value. */
static NodeId emit_view(Trace *trace, const TraceView *view, NodeId parent, Site site,
                        sn_error *error) {
    if (parent == NODE_NONE) return NODE_NONE;
    AttrList attrs;
    attrs.count = (int32_t)view->n_attrs;
    memcpy(attrs.words, trace->words.data + view->attrs, sizeof(int64_t) * view->n_attrs);
    return graph_emit(&trace->graph, (OpCode)view->op, &parent, 1, &attrs, site, error);
}

/* A view's value: what was recorded, or, after a write to its root, derived anew. */
static NodeId view_node(Trace *trace, uint32_t record, Site site, sn_error *error) {
    TraceView *view = &trace->views.data[record];
    const TraceRoot *root = &trace->roots.data[view->root];
    if (view->node != NODE_NONE && view->version == root->version) return view->node;
    NodeId node = root->node;
    if (view->parent >= 0) {
        NodeId parent = view_node(trace, (uint32_t)view->parent, site, error);
        node = emit_view(trace, view, parent, site, error);
        if (node == NODE_NONE) return NODE_NONE;
    }
    view->node = node;
    view->version = root->version;
    return node;
}

NodeId trace_derive(Trace *trace, uint32_t record, Site site, sn_error *error) {
    const TraceView *view = &trace->views.data[record];
    if (view->parent < 0) return trace->roots.data[view->root].node;
    return emit_view(trace, view, trace_derive(trace, (uint32_t)view->parent, site, error), site,
                     error);
}

NodeId trace_node(Trace *trace, sn_tensor *tensor, Site site) {
    sn_error error;
    error_init(&error);
    NodeId node = NODE_NONE;
    switch (tensor->kind) {
    case TENSOR_NONE:
        return NODE_NONE;
    case TENSOR_REAL:
        return capture(trace, tensor, site);
    case TENSOR_WEAK:
        trace_look(tensor);
        node = graph_const(&trace->graph, (sn_dtype)tensor->dtype, tensor->bits, true, true, site,
                           &error);
        break;
    default:
        node = view_node(trace, tensor->record, site, &error);
    }
    if (node == NODE_NONE) error_raise_from(&error, site);
    return node;
}

/* Does the op bring its operands to one dtype? In the others a scalar has to have its own. */
static bool op_promotes(OpCode op) {
    uint8_t rule = op_info[op].dtype_rule;
    return rule == DTYPE_PROMOTE || rule == DTYPE_FLOAT || rule == DTYPE_BOOL ||
           rule == DTYPE_TAIL || op_info[op].shape_rule == SHAPE_BROADCAST;
}

/* A scalar constant in the dtype that eager gives it. */
static NodeId scalar_node(Trace *trace, const sn_tensor *scalar, sn_dtype dtype, Site site) {
    sn_error error;
    error_init(&error);
    trace_look(scalar);
    uint64_t bits = dtype_bits_cast(dtype, (sn_dtype)scalar->dtype, scalar->bits);
    NodeId node = graph_const(&trace->graph, dtype, bits, true, false, site, &error);
    if (node == NODE_NONE) error_raise_from(&error, site);
    return node;
}

/* Operands as nodes; the generator's state is the last one. */
static bool operand_nodes(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                          NodeId *nodes, Site site) {
    for (int32_t i = 0; i < n_inputs; i++) {
        bool own = inputs[i]->kind == TENSOR_WEAK && !op_promotes(op);
        nodes[i] = own ? scalar_node(trace, inputs[i], eager_weak_dtype(op, inputs, n_inputs), site)
                       : trace_node(trace, inputs[i], site);
        if (nodes[i] == NODE_NONE && inputs[i]->kind != TENSOR_NONE) return false;
        if (nodes[i] == NODE_NONE) continue;
        nodes[i] = trace_laid_out(trace, op, inputs[i], nodes[i], site);
        if (nodes[i] == NODE_NONE) return false;
    }
    return true;
}

/* Numbers that a random op draws. */
static int64_t draws_of(OpCode op, sn_tensor *const *inputs, const AttrList *attrs) {
    if (op == OP_DROPOUT) return sizes_count(inputs[0]->dims, inputs[0]->rank);
    int64_t count = sizes_count(attrs->words + 1, (int32_t)attrs->words[0]);
    return count < 0 ? 0 : count;
}

/* A refused op with scalars: the same words as eager's, where scalars have the common dtype. */
static void refuse_like_eager(OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                              const AttrList *attrs, sn_error *error) {
    TensorType types[OP_MOST_PARAMS], result;
    bool any = false;
    if (n_inputs > OP_MOST_PARAMS) return;
    for (int32_t i = 0; i < n_inputs; i++) {
        types[i] = (TensorType){.rank = RANK_ABSENT};
        if (inputs[i]->kind == TENSOR_NONE) continue;
        types[i] = tensor_type(inputs[i]);
        if (inputs[i]->kind != TENSOR_WEAK) continue;
        types[i].dtype = (uint8_t)eager_weak_dtype(op, inputs, n_inputs);
        types[i].strength = STRENGTH_ZERO_DIM;
        any = true;
    }
    sn_error other;
    error_init(&other);
    AttrList own = *attrs;
    if (any && op_infer(NULL, op, types, n_inputs, &own, &result, &other) != SN_OK) *error = other;
}

/* Would reading `real` as it is now miss a recorded write to memory that it shares in part? */
static bool misses_a_write(const Trace *trace, const sn_tensor *real) {
    for (uint32_t i = 0; i < trace->roots.count; i++) {
        const TraceRoot *root = &trace->roots.data[i];
        if (root->input < 0 || root->version == 0) continue;
        const sn_tensor *written = trace->inputs.data[root->input].tensor;
        if (!same_memory(written, real) && tensors_overlap(written, real)) return true;
    }
    return false;
}

bool trace_settle_memory(const sn_tensor *real, bool writes, const char *op, Site site) {
    Trace *trace = thread_state()->trace;
    if (!trace || trace->eager || real->kind != TENSOR_REAL) return true;
    for (uint32_t i = 0; i < trace->roots.count; i++) {
        const TraceRoot *root = &trace->roots.data[i];
        if (root->input < 0 || (root->version == 0 && !writes)) continue;
        if (tensors_overlap(trace->inputs.data[root->input].tensor, real))
            return trace_host_read(trace, op, site);
    }
    return true;
}

bool trace_settle_borrowed(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site) {
    for (int32_t i = 0; i < n_inputs; i++) {
        const sn_tensor *x = inputs[i];
        if (x->kind == TENSOR_REAL && x->storage->borrowed && !x->storage->release &&
            made_here(trace, x))
            return trace_flush(trace, site);
    }
    return true;
}

/* Before operands become nodes: recorded writes that one of them shares memory with are made. */
static bool settle_writes(Trace *trace, sn_tensor *const *inputs, int32_t n_inputs, Site site) {
    for (int32_t i = 0; i < n_inputs; i++)
        if (inputs[i]->kind == TENSOR_REAL && misses_a_write(trace, inputs[i]))
            return trace_flush(trace, site);
    return true;
}

static NodeId emit(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                   const AttrList *attrs, sn_rng *generator, Site site) {
    NodeId few[16];
    NodeId *nodes = few;
    NodeId result = NODE_NONE;
    sn_error error;
    error_init(&error);
    if (n_inputs + 1 > 16) nodes = mem_alloc(sizeof *nodes * (size_t)(n_inputs + 1));
    if (!nodes) {
        error_raise(SN_ERROR_MEMORY, site, "%s: out of memory", op_info[op].name);
        return NODE_NONE;
    }
    if (settle_writes(trace, inputs, n_inputs, site) &&
        trace_settle_layouts(trace, op, inputs, n_inputs, site) &&
        operand_nodes(trace, op, inputs, n_inputs, nodes, site)) {
        AttrList own;
        own.count = attrs->count;
        memcpy(own.words, attrs->words, sizeof(int64_t) * (size_t)attrs->count);
        int64_t source = generator ? generator_input(trace, generator) : 0;
        if (source < 0) {
            error_memory(&error);
        } else if (generator) {
            nodes[n_inputs++] = trace->graph.inputs.data[source];
            own.words[own.count - 1] = trace->inputs.data[source].drawn; /* attribute `offset` */
        }
        if (error.status == SN_OK)
            result = graph_emit(&trace->graph, op, nodes, n_inputs, &own, site, &error);
        if (result != NODE_NONE && generator)
            advance_generator(trace, source, draws_of(op, inputs, attrs));
        if (result == NODE_NONE && !generator)
            refuse_like_eager(op, inputs, n_inputs, attrs, &error);
        if (result == NODE_NONE) error_raise_from(&error, site);
    }
    if (nodes != few) mem_free(nodes);
    if (result != NODE_NONE && op_has(op, F_FAILS) && result > trace->latest_check)
        trace->latest_check = result;
    trace->ops++;
    return result;
}

sn_tensor *trace_op(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                    const AttrList *attrs, sn_rng *generator, Site site) {
    NodeId node = emit(trace, op, inputs, n_inputs, attrs, generator, site);
    return node == NODE_NONE ? NULL : root_proxy(trace, node, site);
}

/* ---- views ---------------------------------------------------------------------------------------------------- */

/* The row of the table of views that an operand has; a captured or weak one gets one. */
static int64_t record_of(Trace *trace, sn_tensor *x, Site site) {
    if (x->kind == TENSOR_PROXY) return x->record;
    NodeId node = trace_node(trace, x, site);
    if (node == NODE_NONE) return -1;
    if (x->kind == TENSOR_REAL) return known_input(trace, x);
    return new_root(trace, node, -1);
}

/* The value of a view that was just recorded, whose type and attributes are inferred. */
static bool note_view(Trace *trace, uint32_t record, const AttrList *attrs, const TensorType *type,
                      Site site, sn_error *error) {
    uint32_t parent_record = (uint32_t)trace->views.data[record].parent;
    NodeId parent = view_node(trace, parent_record, site, error);
    if (parent == NODE_NONE) return false;
    TraceView *view = &trace->views.data[record];
    view->node =
        graph_emit_inferred(&trace->graph, (OpCode)view->op, &parent, 1, attrs, type, site, error);
    view->version = trace->roots.data[view->root].version;
    return view->node != NODE_NONE;
}

sn_tensor *trace_view(Trace *trace, OpCode op, sn_tensor *x, const AttrList *attrs, Site site) {
    sn_error error;
    error_init(&error);
    if (!settle_writes(trace, &x, 1, site)) return NULL;
    if (x->kind == TENSOR_WEAK) { /* as the op would see it alone */
        x = trace_op(trace, OP_CLONE, &x, 1, &(AttrList){.count = 0}, NULL, site);
        if (!x) return NULL;
    }
    TensorType from, type;
    tensor_type_to(x, &from);
    AttrList own;
    own.count = attrs->count;
    memcpy(own.words, attrs->words, sizeof(int64_t) * (size_t)attrs->count);
    if (op_infer(NULL, op, &from, 1, &own, &type, &error) != SN_OK)
        return error_raise_from(&error, site);
    int64_t strides[SN_MAX_RANK], offset;
    if (!view_apply(op, &own, x, &type, strides, &offset)) {
        AttrList none;
        none.count = 0;
        x = trace_op(trace, OP_CLONE, &x, 1, &none, NULL, site);
        if (!x) return NULL;
        view_apply(op, &own, x, &type, strides, &offset);
    }
    int64_t parent = record_of(trace, x, site);
    if (parent < 0) return NULL;
    TraceView view = {.root = trace->views.data[parent].root,
                      .parent = (int32_t)parent,
                      .op = (uint16_t)op,
                      .attrs = trace->words.count,
                      .n_attrs = (uint32_t)own.count,
                      .node = NODE_NONE};
    if (!vec_reserve(&trace->words, view.n_attrs) || !vec_push(&trace->views, view))
        return error_raise(SN_ERROR_MEMORY, site, "%s: out of memory", op_info[op].name);
    memcpy(trace->words.data + view.attrs, own.words, sizeof(int64_t) * view.n_attrs);
    trace->words.count += view.n_attrs;
    uint32_t record = trace->views.count - 1;
    /* The node now, so that the dump has it at the line where it was written. */
    if (!note_view(trace, record, &own, &type, site, &error)) return error_raise_from(&error, site);
    trace->ops++;
    return new_proxy(trace, &type, record, strides, offset, site);
}

/* ---- writes ------------------------------------------------------------------------------------------------------ */

static NodeId emit1(Trace *trace, OpCode op, NodeId x, const AttrList *attrs, Site site,
                    sn_error *error) {
    if (x == NODE_NONE) return x;
    return graph_emit(&trace->graph, op, &x, 1, attrs, site, error);
}

static NodeId reshape_to(Trace *trace, NodeId x, const TensorType *type, Site site,
                         sn_error *error) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, type->dims, type->rank);
    return emit1(trace, OP_RESHAPE, x, &attrs, site, error);
}

/* A slice-like view as starts and steps on its parent, and the dims of the written part there. */
static void as_slice(const Trace *trace, const TraceView *view, const TensorType *parent,
                     int64_t *starts, int64_t *steps, TensorType *part) {
    const int64_t *words = trace->words.data + view->attrs;
    *part = *parent;
    for (int32_t i = 0; i < parent->rank; i++) {
        starts[i] = 0;
        steps[i] = 1;
    }
    switch (view->op) {
    case OP_SLICE:
        memcpy(starts, words + 1, sizeof(int64_t) * parent->rank);
        memcpy(steps, words + 2 + parent->rank, sizeof(int64_t) * parent->rank);
        memcpy(part->dims, trace->words.data + view->attrs + 3 + 2 * parent->rank,
               sizeof(int64_t) * parent->rank);
        return;
    case OP_SELECT:
        starts[words[0]] = words[1];
        part->dims[words[0]] = dim_of(1);
        return;
    case OP_NARROW:
        starts[words[0]] = words[1];
        part->dims[words[0]] = dim_of(words[2]);
        return;
    default: /* flip */
        for (int64_t j = 0; j < words[0]; j++) {
            int64_t axis = words[1 + j];
            if (dim_is(parent->dims[axis], 0)) continue;
            starts[axis] = parent->dims[axis].word - 1;
            steps[axis] = -1;
        }
    }
}

static NodeId put_slice(Trace *trace, const TraceView *view, NodeId parent_node,
                        const TensorType *parent, NodeId value, Site site, sn_error *error) {
    int64_t starts[SN_MAX_RANK], steps[SN_MAX_RANK];
    TensorType part;
    as_slice(trace, view, parent, starts, steps, &part);
    if (part.rank != graph_node(&trace->graph, value)->rank)
        value = reshape_to(trace, value, &part, site, error);
    if (value == NODE_NONE) return NODE_NONE;
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, starts, parent->rank);
    attr_add_list(&attrs, steps, parent->rank);
    return graph_emit(&trace->graph, OP_PUT_SLICE, (NodeId[]){parent_node, value}, 2, &attrs, site,
                      error);
}

static NodeId unpermute(Trace *trace, const TraceView *view, NodeId value, Site site,
                        sn_error *error) {
    int64_t inverse[SN_MAX_RANK];
    const int64_t *words = trace->words.data + view->attrs;
    for (int64_t i = 0; i < words[0]; i++) inverse[words[1 + i]] = i;
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, inverse, (int32_t)words[0]);
    return emit1(trace, OP_PERMUTE, value, &attrs, site, error);
}

/* The parent's content after `value` was written through the view. */
static NodeId write_through(Trace *trace, const TraceView *view, NodeId parent_node, NodeId value,
                            Site site, sn_error *error) {
    TensorType parent = node_type(&trace->graph, parent_node);
    AttrList attrs;
    attrs.count = (int32_t)view->n_attrs;
    memcpy(attrs.words, trace->words.data + view->attrs, sizeof(int64_t) * view->n_attrs);
    switch (view->op) {
    case OP_PERMUTE:
        return unpermute(trace, view, value, site, error);
    case OP_TRANSPOSE:
        return emit1(trace, OP_TRANSPOSE, value, &attrs, site, error);
    case OP_RESHAPE:
    case OP_SQUEEZE:
    case OP_UNSQUEEZE:
    case OP_EXPAND: /* only one that repeats nothing gets here */
        return reshape_to(trace, value, &parent, site, error);
    case OP_DIAGONAL:
        return graph_emit(&trace->graph, OP_PUT_DIAGONAL, (NodeId[]){parent_node, value}, 2, &attrs,
                          site, error);
    default:
        return put_slice(trace, view, parent_node, &parent, value, site, error);
    }
}

/* The root's content becomes that with `value` written through view `record`. */
static bool write_view(Trace *trace, uint32_t record, NodeId value, Site site, sn_error *error) {
    uint32_t root_index = trace->views.data[record].root;
    NodeId written = value;
    for (uint32_t at = record; trace->views.data[at].parent >= 0;) {
        uint32_t parent = (uint32_t)trace->views.data[at].parent;
        NodeId parent_node = view_node(trace, parent, site, error);
        if (parent_node == NODE_NONE) return false;
        TraceView view = trace->views.data[at];
        value = write_through(trace, &view, parent_node, value, site, error);
        if (value == NODE_NONE) return false;
        at = parent;
    }
    TraceRoot *root = &trace->roots.data[root_index];
    /* The write stands where its node does: not in front of an op that may fail before it. */
    if (root->input >= 0 && value < trace->latest_check)
        value = emit1(trace, OP_CLONE, value, &(AttrList){.count = 0}, site, error);
    if (value == NODE_NONE) return false;
    root->node = value;
    root->version++;
    trace->views.data[record].node = written;
    trace->views.data[record].version = root->version;
    return true;
}

/* What copy_ writes. A scalar does not stay weak in the memory of a tensor. */
static NodeId source_node(Trace *trace, const sn_tensor *target, sn_tensor *source, Site site) {
    if (source->kind != TENSOR_WEAK) return trace_node(trace, source, site);
    return scalar_node(trace, source, (sn_dtype)target->dtype, site);
}

/* Is the view made through one that names elements more than once? */
static bool repeats_elements(const Trace *trace, int64_t record) {
    for (int64_t at = record; trace->views.data[at].parent >= 0;
         at = trace->views.data[at].parent) {
        const TraceView *view = &trace->views.data[at], *parent = &trace->views.data[view->parent];
        if (view->op == OP_EXPAND && !dim_same(node_count(&trace->graph, view->node),
                                               node_count(&trace->graph, parent->node)))
            return true;
    }
    return false;
}

/* A write to memory that another input shares in part, or through something that names one element
 * twice, cannot be recorded: from here on ops run at once, on real memory. */
static bool leave_if_overlapping(Trace *trace, int64_t record, Site site, bool *left) {
    *left = false;
    int32_t own = trace->roots.data[trace->views.data[record].root].input;
    const sn_tensor *written = own < 0 ? NULL : trace->inputs.data[own].tensor;
    *left = repeats_elements(trace, record) || (written && tensor_overlaps_itself(written));
    for (uint32_t i = 0; written && i < trace->inputs.count && !*left; i++) {
        const sn_tensor *other = trace->inputs.data[i].tensor;
        *left = (int32_t)i != own && other && tensors_overlap(written, other);
    }
    if (!*left) return true;
    trace->owner->fallback(trace->context, "a write to memory that another input shares, or that "
                                           "is named more than once");
    bool impure = trace->impure;
    if (!trace_flush(trace, site)) return false;
    trace->impure = impure; /* other arguments may be recorded whole */
    trace->eager = true;
    return true;
}

bool trace_inplace(Trace *trace, OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                   const AttrList *attrs, sn_rng *generator, Site site) {
    sn_tensor *target = inputs[0];
    if (target->kind == TENSOR_WEAK || target->kind == TENSOR_NONE) {
        error_raise(SN_ERROR_ARGUMENT, site, "%s_: a scalar constant cannot be written",
                    inplace_name(op));
        return false;
    }
    if (tensor_overlaps_itself(target)) {
        error_raise(SN_ERROR_ALIAS, site,
                    "%s_: the tensor names one element more than once (it was expanded)",
                    inplace_name(op));
        return false;
    }
    if (!settle_writes(trace, inputs, n_inputs, site)) return false;
    int64_t record = record_of(trace, target, site);
    if (record < 0) return false;
    /* So that all memory is known that the write may share. */
    for (int32_t i = 1; i < n_inputs; i++)
        if (inputs[i]->kind == TENSOR_REAL && capture(trace, inputs[i], site) == NODE_NONE)
            return false;
    bool left = false;
    if (!leave_if_overlapping(trace, record, site, &left)) return false;
    if (left) return dispatch_inplace(op, inputs, n_inputs, attrs, generator, site) != NULL;
    /* copy_: the source alone is the value. */
    bool copies = op == OP_CLONE;
    NodeId value = copies ? source_node(trace, target, inputs[1], site)
                          : emit(trace, op, inputs, n_inputs, attrs, generator, site);
    if (value == NODE_NONE) return false;
    sn_error error;
    error_init(&error);
    TensorType wanted = tensor_type(target);
    value = graph_fit(&trace->graph, value, &wanted, op, site, &error);
    if (value == NODE_NONE || !write_view(trace, (uint32_t)record, value, site, &error)) {
        error_raise_from(&error, site);
        return false;
    }
    trace->ops++;
    return true;
}
