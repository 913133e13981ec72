/* Flags to backend and device (see device.h). */
#include "device.h"

#include "layers/gpu/gpu.h"
#include "darknet_plugin/model/model.h"

#include <string.h>

static int is_gpu(const char *backend) { return backend && !strcmp(backend, "gpu"); }

static int contradict(const char *a, const char *b, diag *d)
{
    diag_error(d, NULL, 0, NULL, "'-%s' and '-%s' contradict each other", a, b);
    return -1;
}

int device_named(const options *o, cpu_backend *backend, diag *d)
{
    if (o->gpus && o->nogpu) return contradict("gpus", "nogpu", d);
    if (o->nogpu && is_gpu(o->backend)) return contradict("nogpu", "backend gpu", d);
    if (!is_gpu(o->backend) && model_backend(o->backend, backend, d)) return -1;
    if (o->gpus && o->backend && !is_gpu(o->backend)) return contradict("gpus", "backend", d);
    if (o->gpus || is_gpu(o->backend) || (!o->backend && !o->nogpu && gpu_built())) *backend = BACKEND_GPU;
    return 0;
}

int device_backend(const options *o, cpu_backend *backend, diag *d)
{
    if (device_named(o, backend, d)) return -1;
    return *backend == BACKEND_GPU ? gpu_choose(o->gpus, d) : 0;
}
