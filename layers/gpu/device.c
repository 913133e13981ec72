/* Which device: `-gpus LIST`, as Darknet has it, but for one device only: a process computes on one, and several
 * processes train together (ranks.h). */
#include "cuda_call.h"
#include "gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gpu_built(void) { return 1; }

int gpu_present(char *why, size_t len)
{
    int n = 0;
    cudaError_t status = cudaGetDeviceCount(&n);
    (void)cudaGetLastError();   /* forget it */
    if (status == cudaSuccess && n > 0) return n;
    if (status == cudaSuccess) status = cudaErrorNoDevice;
    snprintf(why, len, "%s (%s)", cudaGetErrorString(status), cudaGetErrorName(status));
    return 0;
}

/* The number that `list` is; -1 with a message. */
static int number_of(const char *list, diag *d)
{
    char *end;
    long n = strtol(list, &end, 10);
    if (end != list && *end == ',') {
        diag_error(d, NULL, 0, NULL, "'-gpus %s': one GPU only for a process", list);
        diag_hint(d, "-gpus %ld takes the first of them", n);
    } else if (end == list || *end || n < 0 || n > 1000) {
        diag_error(d, NULL, 0, NULL, "'-gpus %s': expected a device's number, such as 0", list);
    } else {
        return (int)n;
    }
    return -1;
}

void gpu_wait(void)
{
    if (gpu_index >= 0) CUDA_CALL(cudaDeviceSynchronize());
}

int gpu_choose(const char *list, diag *d)
{
    char why[200];
    int want = list ? number_of(list, d) : 0, have = want < 0 ? 0 : gpu_present(why, sizeof why);
    if (want < 0) return -1;
    if (!have) {
        diag_error(d, NULL, 0, NULL, "no CUDA device: %s", why);
        diag_hint(d, "-nogpu computes on the CPU");
        return -1;
    }
    if (want >= have) {
        diag_error(d, NULL, 0, NULL, "'-gpus %d': there are %d CUDA devices, the first is 0", want, have);
        return -1;
    }
    cuda_set_device(want);
    return 0;
}
