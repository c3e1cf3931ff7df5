/* SN_ASSERT(condition): a rule that the code relies on and that no caller's input can break. Where
 * NDEBUG is not defined (debug, sanitizer and fuzz builds) a broken one prints its place and text and
 * aborts; otherwise the condition is compiled but never evaluated, and costs nothing. It may hence
 * have no side effects. What a program can cause is an error, not an assertion. */
#ifndef SN_BASE_ASSERT_H
#define SN_BASE_ASSERT_H

#ifdef NDEBUG
#define SN_ASSERT(condition) ((void)(0 && (condition)))
#else
#define SN_ASSERT(condition) ((condition) ? (void)0 : assert_failed(__FILE__, __LINE__, #condition))
#endif

/* Prints "FILE:LINE: assertion failed: TEXT" and aborts. */
__attribute__((cold, noreturn)) void assert_failed(const char *file, int line, const char *text);

#endif
