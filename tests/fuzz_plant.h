/* Things put in to be found: bugs (the compiled function runs another op in place of one, guards leave
 * something out), and kernels that do not compile, whose graphs must run node by node. */
#ifndef SN_TESTS_FUZZ_PLANT_H
#define SN_TESTS_FUZZ_PLANT_H

#include "tests/fuzz_program.h"

/* Names of all bugs, separated by spaces; is this one? */
const char *plant_names(void);
bool plant_known(const char *name);
/* The program with the bug in it; NULL = none. */
void plant_into(FuzzProgram *program, const char *name);

/* Bugs of guards: scalars are hidden from the key. Made here, between calls: of two entries each leads
 * to what belongs to the other's key; a graph for many sizes forgets what it knows about them. */
bool plant_hides_scalars(const char *name);
void plant_into_guards(sn_compiled *compiled, const char *name);

/* The next kernel that has to be compiled fails. False when nothing can be compiled anyway. */
bool plant_refusal(void);
/* Takes it back; true when a kernel was refused. */
bool plant_refused(void);

#endif
