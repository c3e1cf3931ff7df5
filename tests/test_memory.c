/* The tensor allocator: alignment, classes, reuse, bounds, threads, statistics. */
#include "base/sanitizers.h"

#include "base/mem.h"
#include "base/thread/parallel.h"
#include "runtime/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CACHING !ADDRESS_SANITIZER /* its build gives every block back at once */

static const size_t MIB = 1024 * 1024;

static int setup(void **state) {
    (void)state;
    memory_set_limit(0);
    memory_set_cache_limit(SIZE_MAX);
    memory_trim();
    memory_reset_peak();
    return 0;
}

static MemoryStats stats(void) {
    MemoryStats s;
    memory_stats(&s);
    return s;
}

static void blocks_are_aligned_and_hold_what_was_asked(void **state) {
    (void)state;
    size_t sizes[200], count = 0;
    unsigned char *blocks[200];
    for (size_t size = 0; size < 9 * MIB; size = size * 5 / 4 + 7) {
        blocks[count] = memory_alloc(size);
        assert_non_null(blocks[count]);
        assert_int_equal((uintptr_t)blocks[count] % MEMORY_ALIGN, 0);
        memset(blocks[count], (int)count, size);
        sizes[count++] = size;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizes[i]; j += 61) assert_int_equal(blocks[i][j], (unsigned char)i);
        memory_free(blocks[i], sizes[i]);
    }
    memory_free(NULL, 5);
    assert_int_equal(stats().live, 0);
}

static void classes_waste_at_most_an_eighth(void **state) {
    (void)state;
    size_t last = 0;
    for (size_t size = 1; size < ((size_t)1 << 45); size = size + size / 100 + 1) {
        size_t block = memory_block_bytes(size);
        assert_true(block >= size && block >= last);
        assert_true(block - size < MEMORY_ALIGN || block <= size + size / 8 + MEMORY_ALIGN);
        assert_int_equal(memory_block_bytes(block), block); /* a block serves itself */
        assert_true(memory_block_bytes(block + 1) > block);
        last = block;
    }
    assert_int_equal(memory_block_bytes(0), 64);
    assert_int_equal(memory_block_bytes(SIZE_MAX), 0);
    assert_null(memory_alloc(SIZE_MAX));
    assert_null(memory_alloc(SIZE_MAX / 2));
    assert_int_equal(stats().live, 0);
}

static void freed_blocks_are_reused(void **state) {
    (void)state;
    if (!CACHING) skip();
    static const size_t sizes[] = {1, 100, 4096, 65536, 65537, 1 << 20, 3 << 20, 64 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = memory_alloc(sizes[i]);
        memory_free(block, sizes[i]);
        size_t cached = stats().cached;
        assert_true(cached >= sizes[i]);
        void *again = memory_alloc(sizes[i]);
        assert_ptr_equal(again, block);
        assert_int_equal(stats().cached, cached - memory_block_bytes(sizes[i]));
        memory_free(again, sizes[i]);
    }
}

static void huge_blocks_begin_at_huge_pages(void **state) {
    (void)state;
    char *block = memory_alloc(5 * MIB);
    assert_int_equal((uintptr_t)block % (2 * MIB), 0);
    block[0] = block[5 * MIB - 1] = 1;
    memory_free(block, 5 * MIB);
}

static void statistics_follow_live_peak_and_cached(void **state) {
    (void)state;
    void *a = memory_alloc(8 * MIB), *b = memory_alloc(4 * MIB);
    assert_int_equal(stats().live, 12 * MIB);
    memory_free(a, 8 * MIB);
    assert_int_equal(stats().live, 4 * MIB);
    assert_int_equal(stats().peak, 12 * MIB);
    assert_int_equal(stats().cached, CACHING ? 8 * MIB : 0);
    memory_reset_peak();
    assert_int_equal(stats().peak, 4 * MIB);
    memory_trim();
    assert_int_equal(stats().cached, 0);
    memory_free(b, 4 * MIB);
    memory_trim();
    assert_int_equal(stats().live, 0);
    assert_int_equal(stats().cached, 0);
    assert_int_equal(stats().peak, 4 * MIB);
}

static void no_more_is_held_than_was_live_or_the_floor(void **state) {
    (void)state;
    const size_t floor = 256 * MIB;
    for (size_t size = 10 * MIB; size < 60 * MIB; size += size / 8) {
        void *a = memory_alloc(size), *b = memory_alloc(size);
        assert_true(stats().live + stats().cached <= floor);
        memory_free(a, size);
        memory_free(b, size);
    }
    void *big = memory_alloc(400 * MIB); /* never touched: address space only */
    memory_free(big, 400 * MIB);
    void *other = memory_alloc(300 * MIB);
    assert_true(stats().live + stats().cached <= memory_block_bytes(400 * MIB));
    memory_free(other, 300 * MIB);
}

static void cache_limit_is_kept(void **state) {
    (void)state;
    memory_set_cache_limit(10 * MIB);
    void *blocks[8];
    for (size_t i = 0; i < 8; i++) blocks[i] = memory_alloc(4 * MIB);
    for (size_t i = 0; i < 8; i++) {
        memory_free(blocks[i], 4 * MIB);
        assert_true(stats().cached <= 10 * MIB);
    }
    memory_set_cache_limit(0);
    assert_int_equal(stats().cached, 0);
    memory_free(memory_alloc(4 * MIB), 4 * MIB);
    assert_int_equal(stats().cached, 0);
}

static void limit_refuses_and_makes_room_from_the_cache(void **state) {
    (void)state;
    memory_set_limit(20 * MIB);
    void *a = memory_alloc(12 * MIB);
    assert_non_null(a);
    assert_null(memory_alloc(12 * MIB));
    assert_int_equal(stats().live, 12 * MIB);
    memory_free(a, 12 * MIB);
    void *b = memory_alloc(14 * MIB); /* the cached 12 have to go */
    assert_non_null(b);
    assert_true(stats().live + stats().cached <= 20 * MIB);
    assert_null(memory_alloc(7 * MIB));
    void *c = memory_alloc(6 * MIB);
    assert_non_null(c);
    memory_free(b, 14 * MIB);
    memory_free(c, 6 * MIB);
}

static void fault_injection_counts_each_request_once(void **state) {
    (void)state;
    int64_t start = mem_request_count(), blocks = mem_live_count();
    for (int i = 0; i < 10; i++) memory_free(memory_alloc(100), 100);
    memory_free(memory_alloc(3 * MIB), 3 * MIB);
    assert_int_equal(mem_request_count() - start, 11);
    assert_int_equal(mem_live_count(), blocks);
    mem_fail_after(2, false);
    void *a = memory_alloc(64), *b = memory_alloc(64), *c = memory_alloc(64);
    mem_fail_after(0, false);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    assert_int_equal(stats().live, 128);
    memory_free(a, 64);
    memory_free(c, 64);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, STEPS = 20000, SLOTS = 64 };

static _Atomic(uint32_t *) slots[SLOTS]; /* blocks on their way from thread to thread */

/* The first word of a block says its size, the last one repeats it. */
static void stamp(uint32_t *block, uint32_t words) {
    block[0] = words;
    block[words - 1] = words;
}

static void *exchange(void *data) {
    uint64_t random = 88172645463325252u + (uint64_t)(uintptr_t)data;
    for (int i = 0; i < STEPS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t words = (uint32_t)(random >> 8) % (i % 50 ? 2000 : 100000) + 2;
        uint32_t *block = memory_alloc(words * sizeof *block);
        if (!block) return data;
        stamp(block, words);
        block = atomic_exchange(&slots[random % SLOTS], block);
        if (!block) continue;
        if (block[block[0] - 1] != block[0]) return data;
        memory_free(block, block[0] * sizeof *block);
    }
    return NULL;
}

static void threads_exchange_blocks(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, exchange, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        assert_null(fault);
    }
    for (int i = 0; i < SLOTS; i++) {
        uint32_t *block = slots[i];
        if (block) memory_free(block, block[0] * sizeof *block);
        slots[i] = NULL;
    }
    assert_int_equal(stats().live, 0);
    memory_trim(); /* what ended threads kept is here now */
    assert_int_equal(stats().cached, 0);
}

static void *allocate_one(void *data) {
    return memory_alloc(*(size_t *)data);
}

static void child_of_a_fork_allocates(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        void *a = memory_alloc(1000), *b = memory_alloc(MIB);
        memory_free(a, 1000);
        memory_free(b, MIB);
        pthread_t thread;
        size_t size = 5000;
        void *block = NULL;
        if (pthread_create(&thread, NULL, allocate_one, &size) == 0) pthread_join(thread, &block);
        _exit(a && b && block ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(blocks_are_aligned_and_hold_what_was_asked, setup),
        cmocka_unit_test_setup(classes_waste_at_most_an_eighth, setup),
        cmocka_unit_test_setup(freed_blocks_are_reused, setup),
        cmocka_unit_test_setup(huge_blocks_begin_at_huge_pages, setup),
        cmocka_unit_test_setup(statistics_follow_live_peak_and_cached, setup),
        cmocka_unit_test_setup(no_more_is_held_than_was_live_or_the_floor, setup),
        cmocka_unit_test_setup(cache_limit_is_kept, setup),
        cmocka_unit_test_setup(limit_refuses_and_makes_room_from_the_cache, setup),
        cmocka_unit_test_setup(fault_injection_counts_each_request_once, setup),
        cmocka_unit_test_setup(threads_exchange_blocks, setup),
        cmocka_unit_test_setup(child_of_a_fork_allocates, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
