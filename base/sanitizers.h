/* Which sanitizer the build has, for what it cannot see or does not allow. */
#ifndef SN_BASE_SANITIZERS_H
#define SN_BASE_SANITIZERS_H

/* gcc tells by a macro, clang by a feature. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef HAS_ADDRESS_SANITIZER
#define HAS_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__)
#define HAS_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_THREAD_SANITIZER 1
#endif
#endif
#ifndef HAS_THREAD_SANITIZER
#define HAS_THREAD_SANITIZER 0
#endif

enum {
    /* 1: each block is given back at once, for it must see every free; a child may find its lock taken */
    ADDRESS_SANITIZER = HAS_ADDRESS_SANITIZER,
    /* 1: a child may find its lock taken, and may start no threads; a thread holds 64 locks at most */
    THREAD_SANITIZER = HAS_THREAD_SANITIZER
};

#endif
