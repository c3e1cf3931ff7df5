/* Inputs of the graph: arguments, captured tensors, random generators; see trace.h. */
#include "frontend/trace/trace.h"

static int64_t add_input(Trace *trace, int32_t source, sn_tensor *real, Site site) {
    TensorType type;
    tensor_type_to(real, &type);
    sn_error error;
    error_init(&error);
    const Dim *strides = tensor_is_dense(real) ? NULL : dims_of_numbers(real->strides, real->rank);
    TraceInput input = {.source = source, .tensor = real, .before = -1};
    uint32_t view = trace->views.count; /* will be */
    if (!vec_reserve(&trace->inputs, 1) || !vec_reserve(&trace->roots, 1) ||
        !vec_reserve(&trace->views, 1) || !trace_note_input(trace, real, view))
        return -1;
    NodeId node = graph_input(&trace->graph, &type, strides, site, &error);
    if (node == NODE_NONE) {
        trace_forget_input(trace, real, view);
        return -1;
    }
    atomic_fetch_add_explicit(&real->refs, 1, memory_order_relaxed);
    trace->inputs.data[trace->inputs.count++] = input;
    return trace_new_root(trace, node, (int32_t)trace->inputs.count - 1);
}

sn_tensor *trace_argument(Trace *trace, sn_tensor *real, int32_t number) {
    Site nowhere = {0};
    int64_t view = trace_known_input(trace, real);
    if (view < 0) view = add_input(trace, number, real, nowhere);
    if (view < 0) return error_raise(SN_ERROR_MEMORY, nowhere, "out of memory");
    TensorType type;
    tensor_type_to(real, &type);
    return trace_proxy(trace, &type, (uint32_t)view, real->strides, real->offset, nowhere);
}

int64_t trace_capture_record(Trace *trace, sn_tensor *real, Site site) {
    int64_t view = trace_known_input(trace, real);
    trace->impure = true; /* even where it is the memory of an argument: that is chance */
    if (view < 0) view = add_input(trace, SOURCE_CAPTURED, real, site);
    if (view < 0) error_raise(SN_ERROR_MEMORY, site, "out of memory");
    return view;
}

NodeId trace_capture(Trace *trace, sn_tensor *real, Site site) {
    int64_t view = trace_capture_record(trace, real, site);
    return view < 0 ? NODE_NONE : trace->roots.data[trace->views.data[view].root].node;
}

/* The generator's input, if it is one; a captured one whose state the program changed is another. */
static int64_t known_generator(const Trace *trace, const sn_rng *generator) {
    for (int64_t i = trace->latest_generator; i >= 0; i = trace->inputs.data[i].before) {
        const TraceInput *input = &trace->inputs.data[i];
        if (input->generator != generator) continue;
        bool same = generator->seed == input->state.seed &&
                    generator->counter == input->state.counter + (uint64_t)input->drawn;
        if (input->source != SOURCE_CAPTURED || same) return i;
    }
    return -1;
}

/* The first argument of the function that it is. */
static int32_t source_of(const Trace *trace, const sn_rng *generator) {
    for (int32_t i = 0; i < trace->n_generators; i++)
        if (trace->generators[i] == generator) return generator_source(i);
    return SOURCE_CAPTURED;
}

int64_t trace_generator(Trace *trace, sn_rng *generator) {
    int64_t known = known_generator(trace, generator);
    if (known >= 0) return known;
    TraceInput input = {.source = source_of(trace, generator),
                        .generator = generator,
                        .state = *generator,
                        .before = trace->latest_generator};
    if (!vec_reserve(&trace->inputs, 1)) return -1;
    if (graph_generator(&trace->graph, (Site){0}, NULL) == NODE_NONE) return -1;
    trace->latest_generator = trace->inputs.count;
    trace->inputs.data[trace->inputs.count++] = input;
    if (input.source == SOURCE_CAPTURED) trace->impure = true;
    return trace->latest_generator;
}

void trace_draw(Trace *trace, int64_t number, int64_t count) {
    TraceInput *input = &trace->inputs.data[number];
    input->drawn += count;
    if (input->source == SOURCE_CAPTURED) input->generator->counter += (uint64_t)count;
}

/* One that the program changed since it drew is the program's. */
void trace_take_back_draws(Trace *trace) {
    for (int64_t i = trace->latest_generator; i >= 0; i = trace->inputs.data[i].before) {
        const TraceInput *input = &trace->inputs.data[i];
        if (input->source == SOURCE_CAPTURED && input->generator->seed == input->state.seed &&
            input->generator->counter == input->state.counter + (uint64_t)input->drawn)
            input->generator->counter = input->state.counter;
    }
}
