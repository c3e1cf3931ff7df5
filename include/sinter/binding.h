/** @file binding.h
 *  For language bindings: calls by value lists, with no thread scope and no thread error. Results
 *  are owned references: release each with sn_release.
 *
 *  A function with an sn_error parameter neither looks at the thread's error nor leaves one there. What has
 *  none, such as sn_size and sn_read, raises it, and what is called then fails until it is taken: call
 *  sn_error_take behind each that says it failed.
 *
 *  Structs with a `size` are extended at their end. One that is larger than the library knows, of a
 *  binding that is newer, is taken if what the library does not know is zero, as a field that asks for
 *  nothing is. */
#ifndef SINTER_BINDING_H
#define SINTER_BINDING_H

#include <sinter/compile.h>
#include <sinter/error.h>
#include <sinter/random.h>

SN_BEGIN_DECLS

typedef enum sn_value_kind {
    SN_VALUE_NONE = 0,    /**< an absent optional tensor */
    SN_VALUE_TENSOR = 1,  /**< .tensor */
    SN_VALUE_TENSORS = 2, /**< .tensors, .count */
    SN_VALUE_BOOL = 3,    /**< .integer */
    SN_VALUE_INT = 4,     /**< .integer: letters i, l; kinds l, e, y */
    SN_VALUE_FLOAT = 5,   /**< .real: letters f, d */
    SN_VALUE_INTS = 6,    /**< .integers, .count */
    SN_VALUE_RNG = 7,     /**< .generator */
    SN_VALUE_POINTER = 8  /**< .pointer: letters S, p */
} sn_value_kind;

typedef struct sn_value {
    sn_value_kind kind; /**< which member counts */
    int32_t count;      /**< of tensors, integers */
    union {
        sn_tensor *tensor;
        sn_tensor *const *tensors;
        int64_t integer;
        double real;
        const int64_t *integers;
        sn_rng *generator;
        void *pointer;
    } as; /**< the value */
} sn_value;

/** Results of a payload function. A function that succeeds hands over one reference of each tensor, such as
 *  sn_apply and sn_call return and sn_retain adds: it does not release it. A tensor without such a reference
 *  is given as it is: an argument, what a scope owns. One that the binding retained for itself, a weight, is
 *  retained once more. A function that fails hands over nothing. */
typedef struct sn_outputs {
    sn_tensor **tensors; /**< room for `capacity` handles; the callee fills them */
    int32_t capacity;    /**< outputs in the signature */
    int32_t count;       /**< how many it filled; `capacity` unless it says otherwise */
} sn_outputs;

typedef struct sn_call_options {
    size_t size;     /**< sizeof(sn_call_options), or 0 */
    int32_t threads; /**< that kernels of this call use; 0 = sn_threads() */
} sn_call_options;

/** Calls a compiled function. `inputs` follow the signature. Fills `outputs` (capacity of them) with
 *  owned references and *n_outputs. On failure nothing is returned and *error (may be NULL) filled. */
SN_API sn_status sn_call(sn_compiled *compiled, const sn_value *inputs, int32_t n_inputs,
                         sn_tensor **outputs, int32_t capacity, int32_t *n_outputs,
                         const sn_call_options *options, sn_error *error);

/** A function of a binding: `payload` is the binding's closure. */
typedef sn_status sn_payload_function(void *payload, const sn_value *inputs, int32_t n_inputs,
                                      sn_outputs *outputs);
/** Like sn_compile for such a function; destroy(payload) (may be NULL) runs once, with no lock held, in
 *  sn_compiled_release, or, where calls are in flight, at the end of the last, on that thread; or before a
 *  failing return. It never runs on a thread of the library, nor at the end of the process unless the
 *  program releases the handle then. Tracing happens on the calling thread. */
SN_API sn_compiled *sn_compile_payload(sn_payload_function *function, void *payload,
                                       void (*destroy)(void *payload), const char *name,
                                       const char *signature, const sn_compile_options *options,
                                       sn_error *error);

/** Applies an op (sn_op in ops.h) to values in the order of its signature. A number in the place of a tensor
 *  (t) is a weak scalar, as of sn_c and sn_ci; a boolean counts as 0 or 1. */
SN_API sn_status sn_apply(int32_t op, const sn_value *inputs, int32_t n_inputs, sn_tensor **outputs,
                          int32_t capacity, int32_t *n_outputs, const sn_call_options *options,
                          sn_error *error);

/** One op of the table, for generators. */
typedef struct sn_op_description {
    const char *name;      /**< "softmax" */
    const char *signature; /**< "x:t axis:l dims:L~": see the op table; ~ marks integers that
                                are sizes or positions */
    const char *about;     /**< one line */
    bool is_public;        /**< it has a function in ops.h */
    bool in_place;         /**< it has an in-place form */
} sn_op_description;
/** Fills *description; false when `op` is past the end. */
SN_API bool sn_op_info(int32_t op, sn_op_description *description);

/** @name DLPack
 *  Exchange without copying with NumPy, PyTorch, JAX, CuPy… (https://dmlc.github.io/dlpack).
 *  @{ */
struct DLManagedTensor;
struct DLManagedTensorVersioned;
/** Takes over `managed`: its deleter is called when the tensor's memory is no longer used, also when
 *  this fails. The tensor belongs to the scope, as in eager calls. */
SN_API sn_tensor *sn_from_dlpack(struct DLManagedTensor *managed);
SN_API sn_tensor *sn_from_dlpack_versioned(struct DLManagedTensorVersioned *managed);
/** A new managed tensor that shares the memory; the consumer calls its deleter. NULL on error. */
SN_API struct DLManagedTensor *sn_to_dlpack(sn_tensor *tensor);
SN_API struct DLManagedTensorVersioned *sn_to_dlpack_versioned(sn_tensor *tensor);
/** @} */

SN_END_DECLS

#endif
