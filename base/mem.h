/* Allocation. Every heap request of the library goes through these functions, so that a test can
 * fail the n-th one and see that nothing is lost. All return NULL on failure; none aborts. */
#ifndef SN_BASE_MEM_H
#define SN_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Uninitialised bytes; `bytes` of 0 gives a unique pointer. Free with mem_free. */
void *mem_alloc(size_t bytes);
/* Zeroed array; NULL when count * size overflows. */
void *mem_calloc(size_t count, size_t size);
/* Like realloc; the old block stays valid when NULL is returned. */
void *mem_realloc(void *block, size_t bytes);
/* `alignment` is a power of two ≥ sizeof(void *); free with mem_free. */
void *mem_alloc_aligned(size_t alignment, size_t bytes);
/* Copy of a C string, or NULL. */
char *mem_strdup(const char *text);
void mem_free(void *block);

/* Fault injection, process wide: the n-th request from now (1 = the next) fails, and, when
 * `sticky`, every later one too. 0 switches it off. */
void mem_fail_after(int64_t n, bool sticky);
/* Requests made since the process began: the range that a fault sweep walks. */
int64_t mem_request_count(void);
/* Blocks handed out and not yet freed. */
int64_t mem_live_count(void);
/* Requests of this thread that failed: where a step failed and this grew meanwhile, memory was the
 * reason, whatever the step could say. */
int64_t mem_failure_count(void);
/* Counts one allocation that is made elsewhere (mmap); false when it is the one to fail. */
bool mem_fault_point(void);
/* The same for what is taken from a list of our own; it counts only while a fault is to come. */
bool mem_reuse_point(void);

#endif
