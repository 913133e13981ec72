/* An ONNX model behind a C face (see onnx_write.h): protobuf messages of libonnx filled in, its checker run, the file
 * written. No exception leaves it but for want of memory, which ends the program. IR version 7 is the one that came
 * with opset 13, so that readers of that age take the file. */
#include "onnx_write.h"

#include <cstdio>

#ifdef ONNX
#include <cerrno>
#include <cstring>
#include <exception>
#include <string>

#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

struct onnx_model {
    onnx::ModelProto proto;
};

namespace {

const int ir_version = 7;

void set_shape(onnx::ValueInfoProto *v, const char *name, const int64_t *dims, int n)
{
    v->set_name(name);
    onnx::TypeProto_Tensor *t = v->mutable_type()->mutable_tensor_type();
    t->set_elem_type(onnx::TensorProto::FLOAT);
    t->mutable_shape()->add_dim()->set_dim_param("N");
    for (int i = 0; i < n; ++i) t->mutable_shape()->add_dim()->set_dim_value(dims[i]);
}

onnx::AttributeProto *attribute(onnx_model *m, const char *key, onnx::AttributeProto_AttributeType type)
{
    onnx::GraphProto *g = m->proto.mutable_graph();
    onnx::AttributeProto *a = g->mutable_node(g->node_size() - 1)->add_attribute();
    a->set_name(key);
    a->set_type(type);
    return a;
}

onnx::TensorProto *constant(onnx_model *m, const char *name, const int64_t *dims, int n, int type)
{
    onnx::TensorProto *t = m->proto.mutable_graph()->add_initializer();
    t->set_name(name);
    t->set_data_type(type);
    for (int i = 0; i < n; ++i) t->add_dims(dims[i]);
    return t;
}

int fail(char *why, size_t len, const char *text)
{
    snprintf(why, len, "%s", text);
    return -1;
}

int check(const onnx_model *m, char *why, size_t len)
{
    try {
        onnx::checker::check_model(m->proto);
        onnx::ModelProto copy = m->proto;
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
    onnx_model *m = new onnx_model;
    m->proto.set_ir_version(ir_version);
    m->proto.set_producer_name("darknet-distill");
    onnx::OperatorSetIdProto *set = m->proto.add_opset_import();
    set->set_domain("");
    set->set_version(ONNX_OPSET);
    m->proto.mutable_graph()->set_name(name);
    set_shape(m->proto.mutable_graph()->add_input(), "input", dims, 3);
    return m;
}

extern "C" void onnx_free(onnx_model *onnx) { delete onnx; }

extern "C" void onnx_node(onnx_model *m, const char *op, const char *const *in, int n, const char *out)
{
    onnx::NodeProto *node = m->proto.mutable_graph()->add_node();
    node->set_op_type(op);
    node->set_name(out);
    for (int i = 0; i < n; ++i) node->add_input(in[i]);
    node->add_output(out);
}

extern "C" void onnx_int(onnx_model *m, const char *key, int64_t value)
{
    attribute(m, key, onnx::AttributeProto::INT)->set_i(value);
}

extern "C" void onnx_float(onnx_model *m, const char *key, float value)
{
    attribute(m, key, onnx::AttributeProto::FLOAT)->set_f(value);
}

extern "C" void onnx_text(onnx_model *m, const char *key, const char *value)
{
    attribute(m, key, onnx::AttributeProto::STRING)->set_s(value);
}

extern "C" void onnx_ints(onnx_model *m, const char *key, const int64_t *value, int n)
{
    onnx::AttributeProto *a = attribute(m, key, onnx::AttributeProto::INTS);
    for (int i = 0; i < n; ++i) a->add_ints(value[i]);
}

extern "C" void onnx_floats(onnx_model *m, const char *name, const int64_t *dims, int n, const float *value)
{
    size_t count = 1;
    for (int i = 0; i < n; ++i) count *= (size_t)dims[i];
    constant(m, name, dims, n, onnx::TensorProto::FLOAT)->set_raw_data(value, count * sizeof *value);
}

extern "C" void onnx_int64s(onnx_model *m, const char *name, const int64_t *value, int n)
{
    const int64_t dims[1] = { n };
    constant(m, name, dims, 1, onnx::TensorProto::INT64)->set_raw_data(value, (size_t)n * sizeof *value);
}

extern "C" void onnx_output(onnx_model *onnx, const char *name, const int64_t *dims, int n)
{
    set_shape(onnx->proto.mutable_graph()->add_output(), name, dims, n);
}

extern "C" int onnx_finish(onnx_model *onnx, FILE *file, char *why, size_t why_len)
{
    if (onnx->proto.ByteSizeLong() > 0x7fffffff) return fail(why, why_len, "more than 2 GB, which no ONNX file can be");
    if (check(onnx, why, why_len)) return -1;
    google::protobuf::io::FileOutputStream to(fileno(file));
    int failed = !onnx->proto.SerializeToZeroCopyStream(&to);
    return !to.Flush() || failed ? fail(why, why_len, strerror(to.GetErrno() ? to.GetErrno() : EIO)) : 0;
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
extern "C" void onnx_int64s(onnx_model *, const char *, const int64_t *, int) {}
extern "C" void onnx_output(onnx_model *, const char *, const int64_t *, int) {}
extern "C" int onnx_finish(onnx_model *, FILE *, char *, size_t) { return -1; }

#endif
