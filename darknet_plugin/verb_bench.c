#include "verbs.h"

int verb_bench(options *o, diag *d)
{
    diag_error(d, NULL, 0, NULL, "'%s' is not built yet", o->verb);
    return -1;
}
