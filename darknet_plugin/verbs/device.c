/* Flags to backend and device (see device.h). */
#include "device.h"

#include "layers/gpu/gpu.h"
#include "darknet_plugin/model/model.h"

#include <string.h>

static int is_gpu(const char *backend) { return backend && !strcmp(backend, "gpu"); }

static int contradict(const char *one, const char *other, diag *d)
{
    diag_error(d, NULL, 0, NULL, "'-%s' and '-%s' contradict each other", one, other);
    return -1;
}

int device_named(const options *options, cpu_backend *backend, diag *d)
{
    if (options->gpus && options->nogpu) return contradict("gpus", "nogpu", d);
    if (options->nogpu && is_gpu(options->backend)) return contradict("nogpu", "backend gpu", d);
    if (!is_gpu(options->backend) && model_backend(options->backend, backend, d)) return -1;
    if (options->gpus && options->backend && !is_gpu(options->backend)) return contradict("gpus", "backend", d);
    if (options->gpus || is_gpu(options->backend) || (!options->backend && !options->nogpu && gpu_built()))
        *backend = BACKEND_GPU;
    return 0;
}

int device_backend(const options *options, cpu_backend *backend, diag *d)
{
    if (device_named(options, backend, d)) return -1;
    return *backend == BACKEND_GPU ? gpu_choose(options->gpus, d) : 0;
}
