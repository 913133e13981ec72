/* Activations of layers/fork_layers.h in ONNX, for which opset 13 has no operator that OpenCV 4.6 reads. */
#ifndef DISTILL_ONNX_ACTIVATION_H
#define DISTILL_ONNX_ACTIVATION_H
#include "onnx_write.h"

/* Writes out = activation(x). What stands in between is called after `out`. 0; -1 if it is none of these. */
int onnx_fork_activation(onnx_model *model, int activation, const char *x, const char *out);

#endif
