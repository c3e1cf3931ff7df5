/* The pack: kernels that were compiled when the library was built, for several instruction sets, in
 * one read-only table. With it eager ops start at once and work where LLVM is absent.
 *
 * Layout: header, entries sorted by hash, kernel texts (one for all instruction sets), code. Code
 * runs where it lies if the pack was linked into an executable section, else a copy does. Linking:
 *
 *     .section .text.sinter_pack, "ax", @progbits
 *     .globl sinter_pack_data
 *     .balign 4096
 *     sinter_pack_data: .incbin "pack.bin"
 *     sinter_pack_end:
 *     .section .rodata
 *     .globl sinter_pack_size
 *     .balign 8
 *     sinter_pack_size: .quad sinter_pack_end - sinter_pack_data
 *
 * A build without these symbols links and has no pack. */
#ifndef SN_RUNTIME_KERNELS_PACK_H
#define SN_RUNTIME_KERNELS_PACK_H

#include "runtime/kernels/cache_key.h"

/* Uses `data` (64-byte aligned, alive as long as the process) as the pack, in place of the linked
 * one. `executable`: its code may be run in place. SN_ERROR_FORMAT when it is not a pack of this
 * version of the library; the earlier one then stays. Not to be called while kernels are looked up
 * in other threads. */
sn_status pack_attach(const void *data, size_t bytes, bool executable, sn_error *error);
/* Looks a kernel up; false when it is not there. `*executable`: code->bytes can be run as it is. */
bool pack_find(const CacheKey *key, CacheCode *code, bool *executable);
/* Kernels in the pack. */
int32_t pack_count(void);
/* Size of the pack; 0 = none. */
int64_t pack_bytes(void);

/* ---- making one ------------------------------------------------------------------------------ */

typedef struct PackBuilder PackBuilder;
PackBuilder *pack_builder_new(void);
void pack_builder_free(PackBuilder *builder);
/* Adds a kernel, copying text and code; one that is there already is left alone. False when out of
 * memory. */
bool pack_builder_add(PackBuilder *builder, const CacheKey *key, const CacheCode *code);
/* Appends the finished pack to `out`. The same kernels give the same bytes in whatever order they
 * were added. SN_ERROR_MEMORY, or SN_ERROR_UNSUPPORTED beyond 4 GiB. */
sn_status pack_builder_finish(PackBuilder *builder, StrBuf *out, sn_error *error);

#endif
