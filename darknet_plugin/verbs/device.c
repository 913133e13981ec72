/* Flags to backend and device (see device.h). */
#include "device.h"

#include "darknet_plugin/base/command.h"
#include "layers/gpu/gpu.h"
#include "darknet_plugin/model/model.h"

#include "darknet_plugin/base/ranks.h"

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

/* Of the ranks on a host each takes the next device, from the first again where there are fewer. */
static int choose_in_turn(const ranks *ranks, diag *d)
{
    char why[200], device[16];
    int have = gpu_present(why, sizeof why);
    snprintf(device, sizeof device, "%d", have ? ranks->place % have : 0);
    return gpu_choose(device, d);
}

int device_backend(const options *options, cpu_backend *backend, diag *d)
{
    if (device_named(options, backend, d)) return -1;
    if (*backend != BACKEND_GPU) return 0;
    return options->ranks && !options->gpus ? choose_in_turn(options->ranks, d) : gpu_choose(options->gpus, d);
}

/* Which, by name. */
static int read_precision(const char *name, cpu_precision *precision, diag *d)
{
    *precision = PRECISION_FP32;
    if (name && !strcmp(name, "auto")) return 0;
    for (int i = PRECISION_FP32; name && i <= PRECISION_BF16; ++i)
        if (!strcmp(name, cpu_precision_name((cpu_precision)i))) {
            *precision = (cpu_precision)i;
            return 0;
        }
    if (!name) return 0;
    diag_error(d, NULL, 0, NULL, "unknown precision '%s', expected fp32, bf16 or auto", name);
    return -1;
}

int device_plans(const options *options) { return options->precision && !strcmp(options->precision, "auto"); }

int device_precision(const options *options, cpu_precision *precision, diag *d)
{
    cpu_backend backend;
    if (read_precision(options->precision, precision, d)) return -1;
    if (*precision == PRECISION_FP32 && !device_plans(options)) return 0;
    if (device_plans(options) && ranks_count(options->ranks) > 1) {
        diag_error(d, NULL, 0, NULL, "'-precision auto': processes that work together might choose differently");
        diag_hint(d, "'-precision bf16' or fp32 for all");
        return -1;
    }
    if (device_named(options, &backend, d)) return -1;
    if (backend != BACKEND_GPU && backend != BACKEND_HOST) return 0;
    diag_error(d, NULL, 0, NULL, "'-precision %s': %s computes in fp32", options->precision,
               backend == BACKEND_GPU ? "a GPU" : "'-backend host'");
    if (backend == BACKEND_GPU) diag_hint(d, "'-nogpu' computes on the CPU");
    return -1;
}

void device_say_precision(const options *options, cpu_precision precision)
{
    if (precision == PRECISION_FP32 || options->quiet) return;
    const char *who = cpu_bf16_products();
    if (who) fprintf(options->out, "bf16: maps of 16 bits, products by %s\n", who);
    else fprintf(options->out, "bf16: maps of 16 bits, operands are rounded here, which is slower than fp32\n");
}

int device_several(const options *options, const char *verb, int by_ranks, diag *d)
{
    int n = 1;
    const char *data = options->n ? options->arg[0] : "DATA", *cfg = options->n > 1 ? options->arg[1] : "CFG";
    for (const char *at = options->gpus; at && (at = strchr(at, ',')); ++at) ++n;
    if (n < 2) return 0;
    diag_error(d, NULL, 0, NULL, "'-gpus %s': one GPU only for a process", options->gpus);
    if (by_ranks)
        diag_hint(d, "built with make MPI=1, %d processes take a GPU each: mpirun -n %d %s%s %s %s %s", n, n,
                  command_is_installed() ? "" : "./", command_name(), verb, data, cfg);
    return -1;
}
