/* The operators that are known, one row each. What is not in this table no layer of a cfg computes. */
#include "graph_walk.h"

#include <string.h>

static const struct { const char *op; graph_op run; } OPS[] = {
    { "Conv", graph_conv }, { "Gemm", graph_dense }, { "MatMul", graph_dense }, { "BatchNormalization", graph_norm },
    { "Relu", graph_activation }, { "LeakyRelu", graph_activation }, { "Sigmoid", graph_activation },
    { "Tanh", graph_activation }, { "Elu", graph_activation }, { "Selu", graph_activation }, { "Clip", graph_clip },
    { "MaxPool", graph_max_pool }, { "GlobalMaxPool", graph_max_pool }, { "AveragePool", graph_average_pool },
    { "GlobalAveragePool", graph_average_pool }, { "ReduceMean", graph_mean }, { "Resize", graph_resize },
    { "Upsample", graph_resize }, { "Add", graph_add }, { "Sum", graph_add }, { "Mul", graph_scale },
    { "Div", graph_scale }, { "Sub", graph_scale }, { "Concat", graph_concat }, { "Softmax", graph_softmax },
    { "LogSoftmax", graph_softmax }, { "Identity", graph_pass }, { "Dropout", graph_pass }, { "Cast", graph_pass },
    { "Flatten", graph_flatten }, { "Reshape", graph_reshape }, { "Squeeze", graph_squeeze },
    { "Unsqueeze", graph_unsqueeze }, { "Transpose", graph_transpose }, { "Pad", graph_pad }, { "Slice", graph_slice },
    { "Shape", graph_shape }, { "HardSwish", graph_activation }, { "Mish", graph_activation },
    { "Gelu", graph_activation }, { "Softplus", graph_activation }, { "HardSigmoid", graph_activation },
};

graph_op graph_op_of(const graph_node *node)
{
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS && !node->foreign; ++i)
        if (!strcmp(OPS[i].op, node->op)) return OPS[i].run;
    return NULL;
}
