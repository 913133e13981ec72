/* Our own mistakes, as opposed to a user's: say where and stop, since nothing after that can be trusted. */
#ifndef DISTILL_BUG_H
#define DISTILL_BUG_H
#include <stdio.h>
#include <stdlib.h>

#define BUG_STRINGIFY(x) #x
#define BUG_LINE(x) BUG_STRINGIFY(x)
/* BUG_UNLESS(target, "no target was set") prints "BUG layers/x.c:87: no target was set" and aborts. */
#define BUG_UNLESS(true_here, text) \
    ((true_here) ? (void)0 : (fputs("BUG " __FILE__ ":" BUG_LINE(__LINE__) ": " text "\n", stderr), abort()))

#endif
