/* -fit as in training (see verb_fit.h). */
#include "verb_fit.h"

#include "darknet_plugin/training/checkpoint.h"

void verb_take_fit(options *options, const char *cfg, const char *weights)
{
    const char *fit = options->fit || !weights ? NULL : checkpoint_fit(weights, cfg);
    if (!fit) return;
    options->fit = fit;
    if (!options->json) fprintf(options->out, "%s were trained with -fit %s, which counts here too\n", weights, fit);
}
