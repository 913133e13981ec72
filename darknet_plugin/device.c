/* Flags to backend and device (see device.h). */
#include "device.h"

#include "../layers/gpu/gpu.h"
#include "model.h"

static int contradict(const options *o, const char *a, const char *b, diag *d)
{
    if (!options_given(o, a) || !options_given(o, b)) return 0;
    diag_error(d, NULL, 0, NULL, "'-%s' and '-%s' contradict each other", a, b);
    return -1;
}

static int wants_gpu(const options *o, cpu_backend named)
{
    if (o->nogpu) return 0;
    return o->gpus || (o->backend ? named == BACKEND_GPU : gpu_built());
}

int device_backend(const options *o, cpu_backend *backend, diag *d)
{
    if (contradict(o, "gpus", "nogpu", d) || model_backend(o->backend, backend, d)) return -1;
    if (o->backend && ((o->gpus && *backend != BACKEND_GPU) || (o->nogpu && *backend == BACKEND_GPU)))
        return contradict(o, o->gpus ? "gpus" : "nogpu", "backend", d);
    if (!wants_gpu(o, *backend)) return 0;
    *backend = BACKEND_GPU;
    return gpu_choose(o->gpus, d);
}
