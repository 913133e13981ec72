/* ONNX initialisers as named tensors, in the order of the graph's nodes.
 *
 * Names are of no help there: exporters fold batch norms and number what is left. But nodes stand in the order in which
 * they run, and each says what its inputs are. So Conv, Gemm and MatMul are one layer each, a BatchNormalization
 * belongs to the layer whose output it reads and brings its own epsilon, an Add of a constant behind a MatMul is its
 * bias. A Gemm's weights are turned to out x in where they are not (transB=0), a MatMul's always.
 *
 * A plain CNN only: any other node that takes constant floats is refused, since Darknet would compute without them.
 * What is not looked at: strides, padding, activations, how layers are joined. The cfg says that. */
#include "named_tensors.h"

#ifdef ONNX
#include "elements.h"

#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx_pb.h>

#include <climits>
#include <cstring>
#include <exception>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using onnx::AttributeProto;
using onnx::NodeProto;
using onnx::TensorProto;

class reader {
public:
    reader(named_tensors *list, diag *messages) : tensors(list), d(messages) {}
    int read(const onnx::GraphProto &graph);

private:
    named_tensors *tensors;
    diag *d;
    std::map<std::string, const TensorProto *> constant;    /* by the value's name */
    std::map<std::string, int> layer_of;                    /* value -> layer whose bare output it is */
    std::set<int> matmuls, biased, normed;
    int layers = 0;

    int node(const NodeProto &op);
    int conv(const NodeProto &node);
    int gemm(const NodeProto &node);
    int matmul(const NodeProto &node);
    int batch_norm(const NodeProto &node);
    int add(const NodeProto &node);
    int anything(const NodeProto &node);
    int weight(const NodeProto &node, bool transposed);
    int bias(const NodeProto &node, const TensorProto *tensor, int layer);
    int part(const TensorProto &tensor, int layer, tensor_part which, double epsilon, bool transposed);
    int fill(const TensorProto &tensor, named_tensor *one);
    int bad(const NodeProto &node, const char *what);
    const TensorProto *input(const NodeProto &node, int i) const;
};

const AttributeProto *attribute(const NodeProto &node, const char *name)
{
    for (const AttributeProto &a : node.attribute())
        if (a.name() == name) return &a;
    return nullptr;
}

double number(const NodeProto &node, const char *name, double def)
{
    const AttributeProto *a = attribute(node, name);
    if (!a) return def;
    return a->type() == AttributeProto::INT ? static_cast<double>(a->i()) : static_cast<double>(a->f());
}

/* For messages: up to its first zero byte, printable. */
std::string clean(std::string text)
{
    text = text.substr(0, text.find('\0'));
    if (!text.empty()) printable(&text[0]);
    return text;
}

/* The node's name, else its first output's. */
std::string name_of(const NodeProto &node)
{
    return clean(!node.name().empty() || !node.output_size() ? node.name() : node.output(0));
}

int reader::bad(const NodeProto &node, const char *what)
{
    diag_error(d, tensors->path, 0, nullptr, "node '%s' (%s): %s", name_of(node).c_str(), clean(node.op_type()).c_str(),
               what);
    return -1;
}

const TensorProto *reader::input(const NodeProto &node, int i) const
{
    auto at = i < node.input_size() ? constant.find(node.input(i)) : constant.end();
    return at == constant.end() ? nullptr : at->second;
}

bool is_float(const TensorProto &tensor)
{
    const element_row *type = element_of_onnx(tensor.data_type());
    return !type || !type->integer;
}

/* As many values as one of n has, as bytes. */
bool has_bytes(const TensorProto &tensor, const element_row *type, size_t n)
{
    size_t bytes = tensor.raw_data().size();
    return type && n && bytes / type->bytes == n && bytes % type->bytes == 0;
}

/* Values lie as bytes or in a list of their own type. */
int reader::fill(const TensorProto &tensor, named_tensor *one)
{
    const element_row *type = element_of_onnx(tensor.data_type());
    if (tensor.data_location() == TensorProto::EXTERNAL) {
        diag_error(d, tensors->path, 0, nullptr, "tensor '%s' lies in another file", one->name);
        diag_hint(d, "save the model with all its tensors inside");
        return -1;
    }
    if (has_bytes(tensor, type, one->n)) {
        elements_read(type, reinterpret_cast<const unsigned char *>(tensor.raw_data().data()), one->n, one->data);
        return 0;
    }
    if (tensor.data_type() == TensorProto::FLOAT && static_cast<size_t>(tensor.float_data_size()) == one->n) {
        for (size_t i = 0; i < one->n; ++i) one->data[i] = tensor.float_data(static_cast<int>(i));
        return 0;
    }
    diag_error(d, tensors->path, 0, nullptr,
               "tensor '%s' has not the %zu values its sizes ask for, or of a type not supported (%d)", one->name,
                   one->n, static_cast<int>(tensor.data_type()));
    return -1;
}

void transpose(named_tensor *tensor)
{
    size_t in = tensor->dim[0], out = tensor->dim[1];
    std::vector<float> copy(tensor->data, tensor->data + tensor->n);
    for (size_t i = 0; i < in; ++i)
        for (size_t o = 0; o < out; ++o) tensor->data[o * in + i] = copy[i * out + o];
    tensor->dim[0] = out;
    tensor->dim[1] = in;
}

/* Appends one constant as a part of a layer. */
int reader::part(const TensorProto &tensor, int layer, tensor_part which, double epsilon, bool transposed)
{
    size_t dim[TENSOR_MAX_DIMS];
    int dims = 0;
    for (int64_t k : tensor.dims()) {
        if (k < 0 || dims == TENSOR_MAX_DIMS) {
            diag_error(d, tensors->path, 0, nullptr, "a tensor of negative size, or of more than %d dimensions",
                       TENSOR_MAX_DIMS);
            return -1;
        }
        dim[dims++] = static_cast<size_t>(k);
    }
    if (which != PART_WEIGHT && dims == 2 && dim[0] == 1) {   /* a row is a list */
        dim[0] = dim[1];
        dims = 1;
    }
    named_tensor *made = named_tensors_add(tensors, tensor.name().c_str(), dims, dim, d);
    if (!made || fill(tensor, made)) return -1;
    made->layer = layer;
    made->part = which;
    made->epsilon = epsilon;
    if (transposed) transpose(made);
    return 0;
}

int reader::weight(const NodeProto &node, bool transposed)
{
    const TensorProto *w = input(node, 1);
    if (!w || !node.output_size()) return bad(node, "its weights are no constant");
    if (transposed && w->dims_size() != 2) return bad(node, "its weights are no matrix");
    layer_of[node.output(0)] = layers;
    return part(*w, layers++, PART_WEIGHT, -1, transposed);
}

int reader::bias(const NodeProto &node, const TensorProto *tensor, int layer)
{
    if (!tensor) return bad(node, "its bias is no constant");
    if (!biased.insert(layer).second || normed.count(layer)) return bad(node, "a second bias");
    return part(*tensor, layer, PART_BIAS, -1, false);
}

int reader::conv(const NodeProto &node)
{
    if (weight(node, false)) return -1;
    return node.input_size() > 2 && !node.input(2).empty() ? bias(node, input(node, 2), layers - 1) : 0;
}

int reader::gemm(const NodeProto &node)
{
    if (number(node, "alpha", 1) != 1 || number(node, "beta", 1) != 1 || number(node, "transA", 0) != 0)
        return bad(node, "alpha, beta or transA of a Gemm are not supported");
    if (weight(node, number(node, "transB", 0) == 0)) return -1;
    return node.input_size() > 2 && !node.input(2).empty() ? bias(node, input(node, 2), layers - 1) : 0;
}

int reader::matmul(const NodeProto &node)
{
    matmuls.insert(layers);
    return weight(node, true);
}

/* Of the layer whose bare output it reads. */
int reader::batch_norm(const NodeProto &node)
{
    static const tensor_part parts[] = { PART_SCALE, PART_SHIFT, PART_MEAN, PART_VARIANCE };
    auto before = node.input_size() ? layer_of.find(node.input(0)) : layer_of.end();
    if (before == layer_of.end()) return bad(node, "follows no Conv, Gemm or MatMul");
    int layer = before->second;
    if (!normed.insert(layer).second) return bad(node, "a second batch norm of one layer");
    for (int i = 0; i < 4; ++i) {
        const TensorProto *p = input(node, i + 1);
        if (!p) return bad(node, "its parameters are no constants");
        if (part(*p, layer, parts[i], number(node, "epsilon", 1e-5), false)) return -1;
    }
    return 0;
}

/* Behind a MatMul: its bias. A sum of two maps has no constant. */
int reader::add(const NodeProto &node)
{
    for (int i = 0; node.input_size() == 2 && node.output_size() && i < 2; ++i) {
        auto before = layer_of.find(node.input(i));
        const TensorProto *p = input(node, 1 - i);
        if (before == layer_of.end() || !matmuls.count(before->second) || !p) continue;
        layer_of[node.output(0)] = before->second;
        return bias(node, p, before->second);
    }
    return anything(node);
}

/* Constant floats that are no weights: sizes and limits. */
int reader::anything(const NodeProto &node)
{
    static const std::set<std::string> harmless = { "Clip", "Pad", "Resize", "Upsample", "Reshape", "Slice" };
    if (node.op_type() == "Identity" && node.input_size() && node.output_size()) {
        if (const TensorProto *p = input(node, 0)) constant[node.output(0)] = p;
        auto before = layer_of.find(node.input(0));
        if (before != layer_of.end()) layer_of[node.output(0)] = before->second;
        return 0;
    }
    if (node.op_type() == "Constant" && node.output_size()) {
        const AttributeProto *a = attribute(node, "value");
        if (a && a->has_t()) constant[node.output(0)] = &a->t();
        return 0;
    }
    for (int i = 0; i < node.input_size(); ++i) {
        const TensorProto *p = input(node, i);
        if (p && is_float(*p) && !harmless.count(node.op_type()))
            return bad(node, "takes constants that no layer of a plain CNN has");
    }
    return 0;
}

int reader::node(const NodeProto &op)
{
    static const std::map<std::string, int (reader::*)(const NodeProto &)> nodes = {
        { "Conv", &reader::conv }, { "Gemm", &reader::gemm }, { "MatMul", &reader::matmul },
        { "BatchNormalization", &reader::batch_norm }, { "Add", &reader::add },
    };
    auto at = nodes.find(op.op_type());
    return at == nodes.end() ? anything(op) : (this->*at->second)(op);
}

int reader::read(const onnx::GraphProto &graph)
{
    for (const TensorProto &p : graph.initializer()) constant[p.name()] = &p;
    for (const NodeProto &n : graph.node())
        if (node(n)) return -1;
    return 0;
}

} // namespace

/* Parses the file; the graph's nodes say the rest. */
extern "C" int onnx_read(const file_image *file, named_tensors *tensors, diag *d)
{
    const char *why = "cannot be parsed";
    try {
        google::protobuf::SetLogHandler(nullptr);
        onnx::ModelProto model;
        if (file->n > INT_MAX) why = "is larger than 2 GB";
        else if (model.ParseFromArray(file->byte, static_cast<int>(file->n)) && model.has_graph())
            return reader(tensors, d).read(model.graph());
    } catch (const std::exception &) {
        why = "is too large to parse";
    }
    diag_error(d, file->path, 0, nullptr, "this ONNX model %s", why);
    return -1;
}

#else

extern "C" int onnx_read(const file_image *file, named_tensors *tensors, diag *d)
{
    (void)tensors;
    diag_error(d, file->path, 0, nullptr, "this darknet was built without ONNX");
    diag_hint(d, "build it with 'make ONNX=1'; Debian's libonnx-dev and libprotobuf-dev are needed");
    return -1;
}

#endif
