/* Allocation with counters and fault injection; see mem.h. */
#include "base/mem.h"

#include "base/assert.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t request_count;
static _Atomic int64_t live_count;
static _Atomic int64_t fail_at; /* request number that fails; 0 = none */
static _Atomic bool fail_sticky;

bool mem_fault_point(void) {
    int64_t number = atomic_fetch_add_explicit(&request_count, 1, memory_order_relaxed) + 1;
    int64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0) return true;
    bool sticky = atomic_load_explicit(&fail_sticky, memory_order_relaxed);
    bool succeeds = sticky ? number < at : number != at;
    base_thread.failed_allocations += !succeeds;
    return succeeds;
}

bool mem_reuse_point(void) {
    return atomic_load_explicit(&fail_at, memory_order_relaxed) == 0 || mem_fault_point();
}

static void *counted(void *block) {
    if (block)
        atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    else
        base_thread.failed_allocations++;
    return block;
}

void *mem_alloc(size_t bytes) {
    if (!mem_fault_point()) return NULL;
    return counted(malloc(bytes ? bytes : 1));
}

void *mem_calloc(size_t count, size_t size) {
    if (!mem_fault_point()) return NULL;
    return counted(calloc(count ? count : 1, size ? size : 1));
}

void *mem_realloc(void *block, size_t bytes) {
    if (!mem_fault_point()) return NULL;
    void *grown = realloc(block, bytes ? bytes : 1);
    return block && grown ? grown : counted(grown);
}

void *mem_alloc_aligned(size_t alignment, size_t bytes) {
    SN_ASSERT(alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
    if (!mem_fault_point()) return NULL;
    void *block = NULL;
    if (posix_memalign(&block, alignment, bytes ? bytes : 1) != 0) block = NULL;
    return counted(block);
}

char *mem_strdup(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = mem_alloc(bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

void mem_free(void *block) {
    if (!block) return;
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    free(block);
}

void mem_fail_after(int64_t n, bool sticky) {
    int64_t now = atomic_load_explicit(&request_count, memory_order_relaxed);
    atomic_store_explicit(&fail_sticky, sticky, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n > 0 ? now + n : 0, memory_order_relaxed);
}

int64_t mem_request_count(void) {
    return atomic_load_explicit(&request_count, memory_order_relaxed);
}

int64_t mem_failure_count(void) {
    return base_thread.failed_allocations;
}

int64_t mem_live_count(void) {
    return atomic_load_explicit(&live_count, memory_order_relaxed);
}
