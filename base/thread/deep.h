/* Work that needs more stack than the program's threads may have: code generators and their loading take
 * some hundred KiB, by the size of a kernel. It runs on a stack of the library's, on whatever thread. */
#ifndef SN_BASE_THREAD_DEEP_H
#define SN_BASE_THREAD_DEEP_H

typedef void DeepBody(void *context);

/* Calls body(context) on the calling thread, with 8 MiB of stack, or, where there is no memory for one, on
 * the stack at hand. The thread is not cancelled meanwhile. What is called in it stays on that stack. */
void deep_call(DeepBody *body, void *context);

#endif
