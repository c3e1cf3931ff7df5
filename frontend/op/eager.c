/* Running ops at once; see eager.h. Plans are in eager_plan.c. */
#include "frontend/op/eager.h"

#include "base/status.h"
#include "frontend/op/data_error.h"
#include "frontend/op/inplace_fit.h"
#include "frontend/op/run.h"
#include "frontend/op/view.h"
#include "frontend/op/weak.h"

enum { MOST_INPLACE_INPUTS = 16 };

const OpTable eager_ops = {.op = eager_op, .view = eager_view, .inplace = eager_inplace};

/* ---- running --------------------------------------------------------------------------------- */

/* Absent operands are no inputs of the graph; the generator is the last one. */
static void set_inputs(RunMemory *m, const EagerCall *eager) {
    const OpCall *call = &eager->call;
    uint32_t at = 0;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        if (x->kind == TENSOR_REAL) {
            run_set_tensor(m, at++, x);
        } else if (x->kind == TENSOR_WEAK) {
            sn_dtype dtype = weak_operand_dtype(call, i, eager->weak_dtype);
            run_set_scalar(m, at++, dtype, weak_operand_bits(call, i, dtype));
        }
    }
    if (call->generator) run_set_generator(m, at, call->generator);
}

static void advance(const OpCall *call, const TensorType *result) {
    if (call->generator) call->generator->counter += (uint64_t)type_count(result);
}

/* Raises an error of the run; that the plan was made at another line is none of the caller's business. */
static sn_tensor *refuse(const OpCall *call, const sn_error *error) {
    return error_raise_from(error, call->site);
}

/* The same for an error in data, which is named. */
static sn_tensor *refuse_run(const OpCall *call, sn_error *error) {
    if (error->status == SN_ERROR_INDEX) data_error_name(call, error);
    return refuse(call, error);
}

static sn_tensor *run_new(const EagerCall *call, RunMemory *m, const Executable *executable,
                          const TensorType *result) {
    sn_error error;
    error_init(&error);
    if (run_make_results(m, executable, &error) != SN_OK) return refuse(&call->call, &error);
    /* The handle first: behind a run that drew or wrote, nothing may fail. */
    ThreadState *state = thread_state();
    uint32_t first = state->held.count;
    sn_tensor *tensor = tensor_real(run_take_result(m), result, NULL, 0, call->call.site);
    if (!tensor) return NULL;
    if (run_launch(m, executable, &error) != SN_OK) {
        handles_release(state, first);
        return refuse_run(&call->call, &error);
    }
    advance(&call->call, result);
    return tensor;
}

static sn_tensor *run_into_target(const EagerCall *call, RunMemory *m, const Executable *executable,
                                  const TensorType *result) {
    sn_error error;
    error_init(&error);
    if (run_launch(m, executable, &error) != SN_OK) return refuse_run(&call->call, &error);
    advance(&call->call, result);
    return call->target;
}

static sn_tensor *run_call(EagerCall *call) {
    Executable *executable = NULL;
    TensorType result = {0};
    RunMemory memory;
    sn_error error;
    error_init(&error);
    sn_tensor *tensor = NULL;
    if (eager_plan(call, &executable, &result, &error) != SN_OK) return refuse(&call->call, &error);
    if (run_open(&memory, (uint32_t)call->call.n_inputs + 1, 1)) {
        set_inputs(&memory, call);
        tensor = call->target ? run_into_target(call, &memory, executable, &result)
                              : run_new(call, &memory, executable, &result);
    } else {
        error_raise(SN_ERROR_MEMORY, call->call.site, "out of memory");
    }
    run_close(&memory);
    executable_release(executable);
    return tensor;
}

sn_tensor *eager_op(Recorder *none, const OpCall *call) {
    (void)none;
    EagerCall eager;
    if (!scope_check(call->site)) return NULL; /* before any work is done */
    eager.call = *call;
    eager.target = NULL;
    eager.n_scalars = 0;
    eager.weak_dtype = SN_F32;
    return run_call(&eager);
}

sn_tensor *eager_clone(sn_tensor *x, Site site) {
    return eager_op(NULL, &(OpCall){OP_CLONE, 1, &x, &no_attrs, NULL, site});
}

/* Operands that share memory with the target are copied first: the op must read them as they were. Not
 * where an element is read right before it is written: the target itself, of an op that writes each element
 * at its own place. The copies belong to the scope. */
static bool separate(const OpCall *call, sn_tensor **inputs) {
    const sn_tensor *target = call->inputs[0];
    bool elsewhere = op_is(call->op, CLASS_UPDATE);
    for (int32_t i = 0; i < call->n_inputs; i++) {
        sn_tensor *x = inputs[i] = call->inputs[i];
        if (i == 0 || x->kind != TENSOR_REAL || !tensors_overlap(x, target) ||
            (tensors_same(x, target) && !elsewhere))
            continue;
        inputs[i] = eager_clone(x, call->site);
        if (!inputs[i]) return false;
    }
    return true;
}

sn_tensor *eager_inplace(Recorder *none, const OpCall *call) {
    (void)none;
    sn_tensor *inputs[MOST_INPLACE_INPUTS];
    EagerCall eager;
    if (call->n_inputs > MOST_INPLACE_INPUTS)
        return error_raise(SN_ERROR_ARGUMENT, call->site, "%s_: too many operands",
                           inplace_name(call->op));
    if (!separate(call, inputs)) return NULL;
    eager.call = *call;
    eager.call.inputs = inputs;
    eager.target = call->inputs[0];
    eager.n_scalars = 0;
    eager.weak_dtype = SN_F32;
    return run_call(&eager);
}

/* ---- views ----------------------------------------------------------------------------------- */

sn_tensor *eager_view(Recorder *none, const OpCall *call) {
    (void)none;
    View view;
    sn_tensor *x = call->inputs[0];
    if (x->kind == TENSOR_WEAK) x = eager_clone(x, call->site); /* as the op would see it alone */
    if (!x || !view_infer(&view, call, x)) return NULL;
    if (!view_place(&view, x)) {
        x = eager_clone(x, call->site);
        if (!x) return NULL;
        view_place(&view, x);
    }
    return tensor_real(storage_retain(x->storage), &view.type, view.strides, view.offset,
                       call->site);
}
