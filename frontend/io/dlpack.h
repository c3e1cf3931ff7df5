/* The ABI of DLPack (https://dmlc.github.io/dlpack), versions 0.x and 1.x, as its specification gives
 * it: the structs that programs hand each other to share a tensor's memory. */
#ifndef SN_FRONTEND_IO_DLPACK_H
#define SN_FRONTEND_IO_DLPACK_H

#include <stddef.h>
#include <stdint.h>

enum {
    DLPACK_VERSION_MAJOR = 1, /* what we write, and the only one whose layout we know */
    DLPACK_VERSION_MINOR = 0  /* what we write; any is read */
};

/* Kinds of device: those whose memory the CPU reads. */
enum { DLPACK_CPU = 1, DLPACK_CUDA_HOST = 3 };

/* Kinds of element. */
enum { DLPACK_INT = 0, DLPACK_UINT = 1, DLPACK_FLOAT = 2, DLPACK_BFLOAT = 4, DLPACK_BOOL = 6 };

/* Bits of DLManagedTensorVersioned.flags. */
#define DLPACK_FLAG_READ_ONLY 1u /* the consumer must not write */

typedef struct DLDevice {
    int32_t device_type; /* DLPACK_CPU … (an enum in the specification) */
    int32_t device_id;   /* which of several */
} DLDevice;

typedef struct DLDataType {
    uint8_t code;   /* DLPACK_INT … */
    uint8_t bits;   /* of one lane */
    uint16_t lanes; /* of a vector type; 1 for scalars */
} DLDataType;

typedef struct DLTensor {
    void *data;           /* memory; may be NULL when there are no elements */
    DLDevice device;      /* where it lies */
    int32_t ndim;         /* rank */
    DLDataType dtype;     /* of the elements */
    int64_t *shape;       /* ndim sizes */
    int64_t *strides;     /* ndim strides in elements; NULL = dense row-major (0.x) */
    uint64_t byte_offset; /* of element 0 from data */
} DLTensor;

typedef struct DLManagedTensor {
    DLTensor dl_tensor;                            /* what is shared */
    void *manager_ctx;                             /* the producer's */
    void (*deleter)(struct DLManagedTensor *self); /* ends the sharing; NULL = nothing to do */
} DLManagedTensor;

typedef struct DLPackVersion {
    uint32_t major; /* another major version has another layout below manager_ctx and deleter */
    uint32_t minor; /* additions */
} DLPackVersion;

typedef struct DLManagedTensorVersioned {
    DLPackVersion version;                                  /* of the producer's DLPack */
    void *manager_ctx;                                      /* the producer's */
    void (*deleter)(struct DLManagedTensorVersioned *self); /* as above */
    uint64_t flags;                                         /* DLPACK_FLAG_… */
    DLTensor dl_tensor;                                     /* what is shared */
} DLManagedTensorVersioned;

_Static_assert(sizeof(DLDataType) == 4, "ABI of DLPack");
_Static_assert(sizeof(void *) != 8 || sizeof(DLTensor) == 48, "ABI of DLPack");
_Static_assert(sizeof(void *) != 8 || offsetof(DLTensor, byte_offset) == 40, "ABI of DLPack");
_Static_assert(sizeof(void *) != 8 || sizeof(DLManagedTensor) == 64, "ABI of DLPack");
_Static_assert(sizeof(void *) != 8 || sizeof(DLManagedTensorVersioned) == 80, "ABI of DLPack");

#endif
