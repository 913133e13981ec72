/* Values that an ONNX model keeps in files beside it: TensorProto.external_data, location, offset and length. */
#ifndef DISTILL_ONNX_EXTERNAL_H
#define DISTILL_ONNX_EXTERNAL_H
#include "elements.h"
#include "named_tensors.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <string>

class onnx_external {
public:
    onnx_external(const char *model, named_tensors *list) : path(model), t(list) {}
    ~onnx_external();
    onnx_external(const onnx_external &) = delete;
    onnx_external &operator=(const onnx_external &) = delete;
    /* 0, or -1 with a message. A file is opened once; its size is what the model may hold more. */
    int read(const onnx::TensorProto &tensor, const element_row *type, named_tensor *to, diag *d);
    /* Before a tensor is made: the limit of values as large as its file allows. 0, or -1 with a message. */
    int open(const onnx::TensorProto &tensor, diag *d);

private:
    struct file {
        int fd;
        size_t bytes;
    };
    const char *path;
    named_tensors *t;
    std::map<std::string, file> files;   /* by location */

    const file *find(const onnx::TensorProto &tensor, diag *d);
};

#endif
