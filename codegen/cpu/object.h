/* From a relocatable ELF object to code that runs wherever it is mapped. */
#ifndef SN_CODEGEN_CPU_OBJECT_H
#define SN_CODEGEN_CPU_OBJECT_H

#include "codegen/backend.h"

/* Lays out the code and constants of `object` (`size` bytes), applies its relocations, and finds the
 * function `name`. SN_ERROR_COMPILE when the object needs anything from outside. */
sn_status object_flatten(const uint8_t *object, size_t size, const char *name, CodeBlob *blob,
                         sn_error *error);

#endif
