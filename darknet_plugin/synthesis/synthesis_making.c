/* A batch of images under way: of all candidates the one that the judge likes best. */
#include "synthesis_internal.h"

#include <math.h>
#include <string.h>

void making_restart(making *making) { making->of_best.all = INFINITY; }

int making_look(making *making, const float *images, const int *class, float *delta)
{
    judgement of = judge_look(making->judge, images, class, delta);
    if (!isfinite(of.all)) return -1;
    if (of.all >= making->of_best.all) return 0;
    making->of_best = of;
    memcpy(making->best, images, judge_floats(making->judge) * sizeof *images);
    return 0;
}

int making_lost(const making *making, diag *d)
{
    diag_error(d, NULL, 0, NULL, "the loss is no number any more");
    diag_hint(d, "a smaller -rate than %g", making->job->rate);
    return -1;
}
