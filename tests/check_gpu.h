/* Networks on a device beside networks on the CPU, for the tests that need one. */
#ifndef DISTILL_TESTS_CHECK_GPU_H
#define DISTILL_TESTS_CHECK_GPU_H
#include "check.h"

#include "layers/cpu/cpu.h"
#include "layers/gpu/gpu.h"

/* Networks parsed after this are on the device or on the CPU. */
void check_choose(int gpu);
/* Fails unless the normalised mean squared error is at most 1e-7. */
void check_nmse(const float *got, const float *want, size_t n, const char *name, int layer, const char *what);
/* Layer i's weights, gradients and running statistics, after gpu_pull. */
void check_arrays(const network *got, const network *want, int i, const char *name);
/* Runs the tests where there is a device; else says that `what` is skipped, and why. 0 if nothing failed. */
int check_on_gpu(const char *what, const struct CMUnitTest *tests, size_t n);

#define CHECK_CONV(filters, size, stride, act) "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" #act "\n"
#define CHECK_BN(filters, size, stride, act) CHECK_CONV(filters, size, stride, act) "batch_normalize=1\n"
#define CHECK_SHORTCUT(from, act) "[shortcut]\nfrom=" #from "\nactivation=" #act "\n"

#endif
