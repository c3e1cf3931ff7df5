/* Calls on a stack of the library's; see deep.h. */
#include "base/thread/deep.h"

#include "base/sanitizers.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <ucontext.h>

/* Sanitizers know of the stack that a thread began with, and of no other. */
#define OWN_STACK (!ADDRESS_SANITIZER && !THREAD_SANITIZER)

enum { STACK_BYTES = 8 << 20, GUARD_BYTES = 64 << 10 };

/* One call. */
typedef struct DeepCall {
    DeepBody *body;     /* what runs */
    void *context;      /* its own */
    ucontext_t before;  /* where it was called */
    ucontext_t running; /* the begin of what runs */
} DeepCall;

/* A stack that no call is on, kept for the next; NULL: none. */
static _Atomic(char *) spare;

static char *stack_take(void) {
    char *stack = atomic_exchange(&spare, NULL);
    if (stack) return stack;
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return NULL;
    (void)mprotect(stack, GUARD_BYTES, PROT_NONE);
    return stack;
}

static void stack_give(char *stack) {
    stack = atomic_exchange(&spare, stack);
    if (stack) munmap(stack, STACK_BYTES);
}

static void run(void) {
    DeepCall *call = base_thread.deep;
    call->body(call->context);
}

/* The record of the call lies at the end of its stack: it is large for a small one. */
static void call_on(char *stack, DeepBody *body, void *context) {
    DeepCall *call = (DeepCall *)(void *)(stack + STACK_BYTES) - 1;
    call->body = body;
    call->context = context;
    getcontext(&call->running);
    call->running.uc_stack.ss_sp = stack;
    call->running.uc_stack.ss_size = (size_t)((char *)call - stack) / 64 * 64;
    call->running.uc_link = &call->before;
    makecontext(&call->running, run, 0);
    base_thread.deep = call;
    swapcontext(&call->before, &call->running);
    base_thread.deep = NULL;
}

void deep_call(DeepBody *body, void *context) {
    char *stack = OWN_STACK && !base_thread.deep ? stack_take() : NULL;
    thread_stay();
    if (stack)
        call_on(stack, body, context);
    else
        body(context);
    thread_may_go();
    if (stack) stack_give(stack);
}
