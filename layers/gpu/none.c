/* A build without GPU=1: there are no networks on devices (see gpu.h). */
#include "gpu.h"

#include <stdio.h>

static const char why_not[] = "this build computes on the CPU only";

int gpu_built(void) { return 0; }

int gpu_choose(const char *list, diag *d)
{
    if (list) diag_error(d, NULL, 0, NULL, "'-gpus %s': %s", list, why_not);
    else diag_error(d, NULL, 0, NULL, "%s", why_not);
    diag_hint(d, "make GPU=1 DARKNET=path/to/darknet builds it for a Darknet that was built with GPU=1");
    return -1;
}

int gpu_present(char *why, size_t len)
{
    snprintf(why, len, "%s", why_not);
    return 0;
}

void gpu_mend_cpu(network *net) { (void)net; }
int gpu_bind(network *net, diag *d) { return (void)net, (void)d, 0; }
void gpu_unbind(network *net) { (void)net; }
void gpu_resized(network *net) { (void)net; }
const char *gpu_runs_on(const layer *l) { return (void)l, "host"; }
void gpu_forward(network *net, int end, int train) { (void)net, (void)end, (void)train; }
void gpu_backward(network *net, int end, int begin) { (void)net, (void)end, (void)begin; }
void gpu_update(network *net, int end, update_args args) { (void)net, (void)end, (void)args; }
void gpu_wait(void) {}
void gpu_free_workspace(network *net) { (void)net; }
void gpu_push(network *net) { (void)net; }
void gpu_pull(const network *net) { (void)net; }
int gpu_finite(const network *net, int end, gpu_half half) { return (void)net, (void)end, (void)half, 1; }
void gpu_remake_maps(layer *l) { (void)l; }
void gpu_share_maps(layer *l, const layer *before) { (void)l, (void)before; }
void gpu_drop_weights(layer *l) { (void)l; }
void gpu_make_weights(layer *l) { (void)l; }
void gpu_renew_network(network *net, size_t workspace) { (void)net, (void)workspace; }
void gpu_pull_output(const network *net, int i) { (void)net, (void)i; }
void gpu_weigh_delta(network *net, int i, float factor) { (void)net, (void)i, (void)factor; }
void gpu_pull_delta(const network *net, int i) { (void)net, (void)i; }
const float *gpu_output(const network *net, int i) { return net->layers[i].output; }
