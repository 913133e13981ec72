/* Values that an ONNX model keeps in files beside it: TensorProto.external_data, location, offset and length. */
#ifndef DISTILL_ONNX_EXTERNAL_H
#define DISTILL_ONNX_EXTERNAL_H
#include "elements.h"
#include "named_tensors.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <string>
#include <unistd.h>

class onnx_external {
public:
    struct file {
        int fd;
        size_t bytes;
    };
    onnx_external(const char *model, named_tensors *list) : path(model), t(list) {}
    ~onnx_external()
    {
        for (const auto &f : files) close(f.second.fd);
    }
    onnx_external(const onnx_external &) = delete;
    onnx_external &operator=(const onnx_external &) = delete;
    /* The file a tensor lies in, borrowed; opened when it is first met, when its size is added to what the model may
     * hold. NULL with a message. */
    const file *open(const onnx::TensorProto &tensor, diag *d);
    /* Fills a tensor. 0, or -1 with a message. */
    int read(const onnx::TensorProto &tensor, const element_row *type, named_tensor *to, diag *d);

private:
    const char *path;
    named_tensors *t;
    std::map<std::string, file> files;   /* by location */
};

#endif
