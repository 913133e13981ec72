#include "weights_verbs.h"

int weights_fold(options *o, diag *d)
{
    diag_error(d, NULL, 0, NULL, "'weights %s' is not built yet", o->arg[0]);
    return -1;
}
