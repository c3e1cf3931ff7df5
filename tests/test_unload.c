/* A program that loads the library, uses it on a thread, and closes it before the thread ends: what the
 * thread left behind is taken down by code that is still there. */
#include "api_case.h"

#include <dlfcn.h>
#include <pthread.h>

enum { ROUNDS = 3 };

/* The library, and what is used of it. */
typedef struct Library {
    void *handle;                                                   /* of dlopen */
    sn_scope (*begin)(void);                                        /* sn_scope_begin */
    sn_tensor *(*end)(sn_scope, sn_tensor *);                       /* sn_scope_end */
    sn_tensor *(*full)(const int64_t *, int32_t, double, sn_dtype); /* sn_full */
    pthread_barrier_t used, closed;                                 /* what has happened */
    bool leaves_open; /* the thread ends with its scope open */
} Library;

static void *function(void *handle, const char *name) {
    void *symbol = dlsym(handle, name);
    if (!symbol) fail_msg("no %s", name);
    return symbol;
}

static void *use(void *context) {
    Library *library = context;
    sn_scope scope = library->begin();
    if (!library->full((const int64_t[]){4}, 1, 3, SN_F32)) abort();
    if (!library->leaves_open) library->end(scope, NULL);
    pthread_barrier_wait(&library->used);
    pthread_barrier_wait(&library->closed);
    return NULL;
}

static void open_library(Library *library) {
    char path[600];
    const char *folder = getenv("SINTER_MODULE_DIR");
    if (!folder) skip();
    snprintf(path, sizeof path, "%s/libsinter.so", folder);
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle) fail_msg("%s", dlerror());
    *(void **)(void *)&library->begin = function(library->handle, "sn_scope_begin");
    *(void **)(void *)&library->end = function(library->handle, "sn_scope_end");
    *(void **)(void *)&library->full = function(library->handle, "sn_full");
}

static void a_thread_ends_after_the_library_is_closed(void **state) {
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        Library library = {.leaves_open = round == 1};
        pthread_t thread;
        open_library(&library);
        assert_int_equal(pthread_barrier_init(&library.used, NULL, 2), 0);
        assert_int_equal(pthread_barrier_init(&library.closed, NULL, 2), 0);
        assert_int_equal(pthread_create(&thread, NULL, use, &library), 0);
        pthread_barrier_wait(&library.used);
        assert_int_equal(dlclose(library.handle), 0);
        pthread_barrier_wait(&library.closed);
        pthread_join(thread, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_thread_ends_after_the_library_is_closed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
