/* What the readers of a verification share: pictures as planes, the comparison, the host without our layers. */
#include "verify_internal.h"

#include "darknet_plugin/sections/cfg.h"

#include <math.h>
#include <stdlib.h>

void verify_planar(const uint8_t *pixels, int c, int h, int w, float *x)
{
    size_t plane = (size_t)h * (size_t)w;
    for (size_t i = 0; i < plane; ++i)
        for (int k = 0; k < c; ++k) x[(size_t)k * plane + i] = (float)(pixels[i * (size_t)c + (size_t)k] / 255.);
}

static int first_of(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; ++i)
        if (x[i] > x[best]) best = i;
    return best;
}

void verify_compare(const verify_job *j, int image, const float *got, verify_result *r)
{
    const float *want = j->answer + (size_t)image * (size_t)j->values;
    for (int i = 0; i < j->values; ++i) {
        double e = fabs((double)got[i] - (double)want[i]);
        if (e <= r->difference) continue;
        r->difference = isfinite(e) ? e : INFINITY;
        r->worst = image;
    }
    r->agree += first_of(got, j->values) == first_of(want, j->values);
}

network *verify_open_host(const verify_job *j, diag *d)
{
    cfg_file *c = cfg_read(j->cfg, d);
    if (!c) return NULL;
    size_t len;
    char *text = cfg_text(c, &len);
    network *net = host_parse(text, len, j->cfg, d);
    free(text);
    cfg_free(c);
    if (!net) return NULL;
    host_load_weights(net, j->weights);
    return net;
}
