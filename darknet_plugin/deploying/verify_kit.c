/* What the readers of a verification share: pictures as planes, the comparison, the host without our layers. */
#include "verify_internal.h"

#include "darknet_plugin/base/argmax.h"
#include "darknet_plugin/sections/cfg.h"

#include <math.h>
#include <stdlib.h>

void verify_planar(const uint8_t *pixels, int c, int h, int w, float *planes)
{
    size_t plane = (size_t)h * (size_t)w;
    for (size_t i = 0; i < plane; ++i)
        for (int k = 0; k < c; ++k) planes[(size_t)k * plane + i] = (float)(pixels[i * (size_t)c + (size_t)k] / 255.);
}

void verify_compare(const verify_job *job, int image, const float *got, verify_result *result)
{
    const float *want = job->answer + (size_t)image * (size_t)job->values;
    for (int i = 0; i < job->values; ++i) {
        double e = fabs((double)got[i] - (double)want[i]);
        if (e <= result->difference) continue;
        result->difference = isfinite(e) ? e : INFINITY;
        result->worst = image;
    }
    result->agree += argmax(got, job->values) == argmax(want, job->values);
}

network *verify_open_host(const verify_job *job, diag *d)
{
    cfg_file *cfg = cfg_read(job->cfg, d);
    if (!cfg) return NULL;
    network *net = host_parse_cfg(cfg, job->cfg, d);
    cfg_free(cfg);
    if (!net) return NULL;
    host_load_weights(net, job->weights);
    return net;
}
