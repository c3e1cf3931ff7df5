/* Where in a program an op was called: messages, dumps and guards name it. */
#ifndef SN_IR_OP_SITE_H
#define SN_IR_OP_SITE_H

#include <stdint.h>

/* A call in the user's program. */
typedef struct Site {
    const char *file; /* __FILE__ of the call; a static string, or one the graph owns */
    int32_t line;     /* __LINE__ of the call */
    int32_t op; /* OpCode of what was called, where it is another than what is there; 0: the same */
} Site;

static inline Site site_at(const char *file, int32_t line) {
    return (Site){file, line, 0};
}

#endif
