/* An ONNX model behind a C face (see onnx_write.h): protobuf messages of libonnx filled in, its checker run, the file
 * written. No exception leaves it but for want of memory, which ends the program. IR version 7 is the one that came
 * with opset 13, so that readers of that age take the file. */
#include "onnx_write.h"

#include <cstdio>

#ifdef ONNX
#include <cerrno>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include "layers/feature_type.h"

struct onnx_model {
    onnx::ModelProto proto;
};

namespace {

const int ir_version = 7;

void set_shape(onnx::ValueInfoProto *value, const char *name, const int64_t *dim, int dims)
{
    value->set_name(name);
    onnx::TypeProto_Tensor *type = value->mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    type->mutable_shape()->add_dim()->set_dim_param("N");
    for (int i = 0; i < dims; ++i) type->mutable_shape()->add_dim()->set_dim_value(dim[i]);
}

onnx::AttributeProto *attribute(onnx_model *model, const char *key, onnx::AttributeProto_AttributeType type)
{
    onnx::GraphProto *graph = model->proto.mutable_graph();
    onnx::AttributeProto *added = graph->mutable_node(graph->node_size() - 1)->add_attribute();
    added->set_name(key);
    added->set_type(type);
    return added;
}

onnx::TensorProto *constant(onnx_model *model, const char *name, const int64_t *dim, int dims, int type)
{
    onnx::TensorProto *tensor = model->proto.mutable_graph()->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(type);
    for (int i = 0; i < dims; ++i) tensor->add_dims(dim[i]);
    return tensor;
}

int fail(char *why, size_t len, const char *text)
{
    snprintf(why, len, "%s", text);
    return -1;
}

/* ONNX's own checker, then its shape inference on a copy; 0, or -1 with the first line of what they say. */
int check(const onnx_model *model, char *why, size_t len)
{
    try {
        onnx::checker::check_model(model->proto);
        onnx::ModelProto copy = model->proto;
        /* types checked, strictly */
        onnx::shape_inference::InferShapes(copy, onnx::OpSchemaRegistry::Instance(), { true, 1, false });
        return 0;
    } catch (const std::exception &e) {
        std::string text = e.what();
        return fail(why, len, ("the ONNX checker refuses it: " + text.substr(0, text.find('\n'))).c_str());
    }
}

}

extern "C" onnx_model *onnx_begin(const char *name, int c, int h, int w, char *why, size_t why_len)
{
    (void)why;
    (void)why_len;
    const int64_t dims[3] = { c, h, w };
    onnx_model *model = new onnx_model;
    model->proto.set_ir_version(ir_version);
    model->proto.set_producer_name("darknet-distill");
    onnx::OperatorSetIdProto *set = model->proto.add_opset_import();
    set->set_domain("");
    set->set_version(ONNX_OPSET);
    model->proto.mutable_graph()->set_name(name);
    set_shape(model->proto.mutable_graph()->add_input(), "input", dims, 3);
    return model;
}

extern "C" void onnx_free(onnx_model *model) { delete model; }

extern "C" void onnx_node(onnx_model *model, const char *op, const char *const *in, int inputs, const char *out)
{
    onnx::NodeProto *node = model->proto.mutable_graph()->add_node();
    node->set_op_type(op);
    node->set_name(out);
    for (int i = 0; i < inputs; ++i) node->add_input(in[i]);
    node->add_output(out);
}

extern "C" void onnx_int(onnx_model *model, const char *key, int64_t value)
{
    attribute(model, key, onnx::AttributeProto::INT)->set_i(value);
}

extern "C" void onnx_float(onnx_model *model, const char *key, float value)
{
    attribute(model, key, onnx::AttributeProto::FLOAT)->set_f(value);
}

extern "C" void onnx_text(onnx_model *model, const char *key, const char *value)
{
    attribute(model, key, onnx::AttributeProto::STRING)->set_s(value);
}

extern "C" void onnx_ints(onnx_model *model, const char *key, const int64_t *value, int values)
{
    onnx::AttributeProto *list = attribute(model, key, onnx::AttributeProto::INTS);
    for (int i = 0; i < values; ++i) list->add_ints(value[i]);
}

extern "C" void onnx_floats(onnx_model *model, const char *name, const int64_t *dim, int dims, const float *value)
{
    size_t count = 1;
    for (int i = 0; i < dims; ++i) count *= (size_t)dim[i];
    constant(model, name, dim, dims, onnx::TensorProto::FLOAT)->set_raw_data(value, count * sizeof *value);
}

extern "C" int onnx_weights(onnx_model *model, const char *name, const int64_t *dim, int dims, const float *value,
                            onnx_precision precision)
{
    size_t count = 1, i = 0;
    for (int k = 0; k < dims; ++k) count *= (size_t)dim[k];
    if (precision == ONNX_FLOATS) {
        onnx_floats(model, name, dim, dims, value);
        return 0;
    }
    std::vector<uint16_t> half(count);
    std::vector<float> rounded(count);
    for (; i < count && std::fabs(value[i]) < 65504; ++i) {
        half[i] = feature_to_half(value[i]);
        rounded[i] = feature_from_half(half[i]);
    }
    if (precision == ONNX_ROUNDED) {
        onnx_floats(model, name, dim, dims, rounded.data());
    } else {
        std::string halves = std::string(name) + "_halves";
        const char *in = halves.c_str();
        constant(model, in, dim, dims, onnx::TensorProto::FLOAT16)->set_raw_data(half.data(), count * sizeof half[0]);
        onnx_node(model, "Cast", &in, 1, name);
        onnx_int(model, "to", onnx::TensorProto::FLOAT);
    }
    return i == count ? 0 : -1;
}

extern "C" void onnx_int64s(onnx_model *model, const char *name, const int64_t *value, int values)
{
    const int64_t dim = values;
    constant(model, name, &dim, 1, onnx::TensorProto::INT64)->set_raw_data(value, (size_t)values * sizeof *value);
}

extern "C" void onnx_output(onnx_model *model, const char *name, const int64_t *dim, int dims)
{
    set_shape(model->proto.mutable_graph()->add_output(), name, dim, dims);
}

extern "C" int onnx_finish(onnx_model *model, FILE *file, char *why, size_t why_len)
{
    if (model->proto.ByteSizeLong() > 0x7fffffff)
        return fail(why, why_len, "more than 2 GB, which no ONNX file can be");
    if (check(model, why, why_len)) return -1;
    google::protobuf::io::FileOutputStream to(fileno(file));
    bool written = model->proto.SerializeToZeroCopyStream(&to);
    if (to.Flush() && written) return 0;
    return fail(why, why_len, strerror(to.GetErrno() ? to.GetErrno() : EIO));
}

#else

extern "C" onnx_model *onnx_begin(const char *, int, int, int, char *why, size_t why_len)
{
    snprintf(why, why_len, "this program was built without it (make ONNX=0)");
    return NULL;
}

extern "C" void onnx_free(onnx_model *) {}
extern "C" void onnx_node(onnx_model *, const char *, const char *const *, int, const char *) {}
extern "C" void onnx_int(onnx_model *, const char *, int64_t) {}
extern "C" void onnx_float(onnx_model *, const char *, float) {}
extern "C" void onnx_text(onnx_model *, const char *, const char *) {}
extern "C" void onnx_ints(onnx_model *, const char *, const int64_t *, int) {}
extern "C" void onnx_floats(onnx_model *, const char *, const int64_t *, int, const float *) {}
extern "C" int onnx_weights(onnx_model *, const char *, const int64_t *, int, const float *, onnx_precision)
{
    return 0;
}
extern "C" void onnx_int64s(onnx_model *, const char *, const int64_t *, int) {}
extern "C" void onnx_output(onnx_model *, const char *, const int64_t *, int) {}
extern "C" int onnx_finish(onnx_model *, FILE *, char *, size_t) { return -1; }

#endif
