/* What is around every call of the library: one at a time, and the caller's process left as it was. */
#ifndef DISTILL_LIBRARY_CALL_H
#define DISTILL_LIBRARY_CALL_H
#include "darknet_plugin/base/diag.h"

/* Runs work(of, d) while no other call does, with the numbers' format and floating-point mode that the host wants, and
 * puts the caller's back. *message, owned, becomes what `d` then holds, "" if nothing; NULL without memory. Whatever
 * the host does inside, it returns: 0; -1 where work failed; 1 where the host failed in the middle, or memory was
 * wanting. */
int library_call(int (*work)(void *of, diag *d), void *of, char **message);

#endif
