/* Memory of a trace's inputs: which tensor is an input already, and which share bytes; see trace.h. */
#include "frontend/trace/trace.h"

/* A tensor that is looked for among the inputs. */
typedef struct Wanted {
    const Trace *trace;    /* whose inputs */
    const sn_tensor *real; /* the tensor */
} Wanted;

static const sn_tensor *tensor_of_view(const Trace *trace, uint32_t view) {
    const TraceRoot *root = &trace->roots.data[trace->views.data[view].root];
    SN_ASSERT(root->input >= 0);
    return trace->inputs.data[root->input].tensor;
}

static bool is_wanted(const void *context, uint32_t view) {
    const Wanted *wanted = context;
    return tensors_same(tensor_of_view(wanted->trace, view), wanted->real);
}

static uint64_t hash_tensor(const sn_tensor *t) {
    uint64_t hash = hash_mix((uint64_t)(uintptr_t)t->storage, (uint64_t)t->offset);
    hash = hash_mix(hash, (uint64_t)t->dtype << 8 | t->rank);
    for (int32_t i = 0; i < t->rank; i++)
        hash = hash_mix(hash_mix(hash, (uint64_t)t->dims[i]), (uint64_t)t->strides[i]);
    return hash;
}

int64_t trace_known_input(const Trace *trace, const sn_tensor *real) {
    return map_find(&trace->known, hash_tensor(real), is_wanted, &(Wanted){trace, real});
}

bool trace_note_input(Trace *trace, const sn_tensor *real, uint32_t view) {
    return map_insert(&trace->known, hash_tensor(real), view);
}

void trace_forget_input(Trace *trace, const sn_tensor *real, uint32_t view) {
    map_remove(&trace->known, hash_tensor(real), view);
}

static bool add_span(Spans *spans, const sn_tensor *tensor, uint32_t number) {
    const char *first, *end;
    tensor_span(tensor, &first, &end);
    return spans_add(spans, first, end, number);
}

static bool overlaps(const Spans *spans, const sn_tensor *tensor, uint32_t but) {
    const char *first, *end;
    tensor_span(tensor, &first, &end);
    return spans_find(spans, first, end, but) != SPANS_NONE;
}

bool trace_input_overlaps(Trace *trace, const sn_tensor *tensor, uint32_t but) {
    for (; trace->n_memory < trace->inputs.count; trace->n_memory++) {
        const sn_tensor *known = trace->inputs.data[trace->n_memory].tensor;
        if (known && !add_span(&trace->memory, known, trace->n_memory)) return true;
    }
    return overlaps(&trace->memory, tensor, but);
}

bool trace_written_overlaps(const Trace *trace, const sn_tensor *tensor, bool parts) {
    if (!trace->written.nodes.count) return false;
    int64_t view = parts ? trace_known_input(trace, tensor) : -1;
    uint32_t own = UINT32_MAX;
    if (view >= 0) own = (uint32_t)trace->roots.data[trace->views.data[view].root].input;
    return overlaps(&trace->written, tensor, own);
}

bool trace_note_written(Trace *trace, int32_t input) {
    return add_span(&trace->written, trace->inputs.data[input].tensor, (uint32_t)input);
}
