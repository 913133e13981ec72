/* Networks on a device beside networks on the CPU (see check_gpu.h). */
#include "check_gpu.h"

void check_nmse(const float *got, const float *want, size_t n, const char *name, int layer, const char *what)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        error += pow((double)got[i] - want[i], 2);
        size += pow(want[i], 2);
    }
    if (!(error <= 1e-7 * size + 1e-18)) fail_msg("%s, layer %d, %s: NMSE %g of %zu values", name, layer, what, error / size, n);
}

void check_arrays(const network *got, const network *want, int i, const char *name)
{
    const layer *a = &got->layers[i], *b = &want->layers[i];
    size_t weights = a->type == CONNECTED ? (size_t)(a->inputs * a->outputs) : (size_t)a->nweights, c = (size_t)a->out_c;
    if (!a->weights) return;
    check_nmse(a->weights, b->weights, weights, name, i, "weights");
    if (a->biases) check_nmse(a->biases, b->biases, c, name, i, "biases");
    check_nmse(a->weight_updates, b->weight_updates, weights, name, i, "weight updates");
    if (a->biases) check_nmse(a->bias_updates, b->bias_updates, c, name, i, "bias updates");
    if (!a->batch_normalize) return;
    check_nmse(a->scales, b->scales, c, name, i, "scales");
    check_nmse(a->scale_updates, b->scale_updates, c, name, i, "scale updates");
    check_nmse(a->rolling_mean, b->rolling_mean, c, name, i, "running mean");
    check_nmse(a->rolling_variance, b->rolling_variance, c, name, i, "running variance");
}

void check_choose(int gpu)
{
    diag *d = diag_new();
    if (gpu) assert_int_equal(gpu_choose(NULL, d), 0);
    else gpu_index = -1;
    check_no_errors(d);
    diag_free(d);
}

int check_on_gpu(const char *what, const struct CMUnitTest *tests, size_t n)
{
    char why[200];
    if (gpu_present(why, sizeof why)) return _cmocka_run_group_tests(what, tests, n, NULL, NULL);
    printf("skipped: %s on a GPU: %s\n", what, why);
    return 0;
}
