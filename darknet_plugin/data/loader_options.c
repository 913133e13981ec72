/* What a loader's options ask for (see loader_options.h). */
#include "loader_options.h"

int loader_check_options(const loader_options *options, diag *d)
{
    int bad = diag_errors(d);
    if (options->c != 1 && options->c != 3)
        diag_error(d, NULL, 0, NULL, "the net takes %d channels, but images have 1 or 3", options->c);
    if (options->batch < 1 || options->h < 1 || options->w < 1)
        diag_error(d, NULL, 0, NULL, "no batches of %d images of %dx%d", options->batch, options->w, options->h);
    if (!dataset_count(options->data)) diag_error(d, NULL, 0, NULL, "the dataset has no images");
    return diag_errors(d) - bad;
}

uint64_t loader_count_slots(const loader_options *options, int w, int h)
{
    double bytes = 4. * options->batch * options->c * h * w;
    uint64_t most = 2 * (uint64_t)options->threads + 2, least = (uint64_t)options->threads + 1;
    return bytes * (double)most > (double)(1 << 28) ? least : most;
}
