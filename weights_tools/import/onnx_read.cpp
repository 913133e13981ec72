/* ONNX files as a graph (model_graph.h), whose constants graph_weights.c takes as weights.
 *
 * A constant is an initialiser or what a node Constant says, in any of its spellings. Values lie as bytes, in a list of
 * their own type, or in a file beside the model (onnx_external.cpp). Numbers of 16 bits may stand in the list of 32-bit
 * ones. Only nodes on which an output depends count; a model without outputs needs all of them. */
#include "model_graph.h"

#ifdef ONNX
extern "C" {
#include "darknet_plugin/base/mem.h"
}
#include "elements.h"
#include "onnx_external.h"

#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx_pb.h>

#include <climits>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <string>
#include <vector>

namespace {

using onnx::AttributeProto;
using onnx::NodeProto;
using onnx::TensorProto;

/* A constant's values: a tensor, or an attribute of numbers. */
struct source {
    const TensorProto *tensor;
    const AttributeProto *list;
};

class reader {
public:
    reader(const char *model, named_tensors *list, diag *messages)
        : graph(static_cast<model_graph *>(mem_calloc(1, sizeof(model_graph)))), path(model), t(list), d(messages),
            beside(model, list) {}
    int read(const onnx::ModelProto &model);
    int fill(const source &from, named_tensor *to, diag *messages);
    model_graph *graph;

private:
    const char *path;
    named_tensors *t;
    diag *d;
    onnx_external beside;
    std::map<std::string, int> number_of;      /* values by name */
    std::deque<source> sources;
    std::vector<graph_value> values;

    int build(const onnx::ModelProto &model);
    int value(const std::string &name);
    int describe(const source &from, graph_value *v);
    int constant(const std::string &name, const source &from);
    int node(const NodeProto &op, graph_node *to);
    int attributes(const NodeProto &op, graph_node *to);
    int constant_node(const NodeProto &op);
    int too_large(const onnx::GraphProto &g);
    void inputs(const onnx::GraphProto &g);
    void mark_needed();
};

/* Printable, the caller's; ends at a NUL. */
char *text_of(const std::string &s)
{
    char *text = mem_strdup(s.c_str());
    printable(text);
    return text;
}

int reader::value(const std::string &name)
{
    if (name.empty()) return -1;
    auto at = number_of.find(name);
    if (at != number_of.end()) return at->second;
    graph_value made = {};
    made.name = text_of(name);
    values.push_back(made);
    return number_of[name] = static_cast<int>(values.size()) - 1;
}

/* Values that lie in a list of their type; -1 where the list is not as long as it should be. */
template <class List> int copy_list(const List &list, named_tensor *to)
{
    if (static_cast<size_t>(list.size()) != to->n) return -1;
    for (size_t i = 0; i < to->n; ++i) to->data[i] = static_cast<float>(list.Get(static_cast<int>(i)));
    return 0;
}

/* 16-bit floats, one in each number of the list. */
int copy_bits(const TensorProto &tensor, const element_row *type, named_tensor *to)
{
    if (static_cast<size_t>(tensor.int32_data_size()) != to->n) return -1;
    for (size_t i = 0; i < to->n; ++i) {
        const int bits = tensor.int32_data(static_cast<int>(i));
        const unsigned char byte[2] = { static_cast<unsigned char>(bits), static_cast<unsigned char>(bits >> 8) };
        to->data[i] = type->read(byte);
    }
    return 0;
}

int copy_typed(const TensorProto &tensor, const element_row *type, named_tensor *to)
{
    switch (tensor.data_type()) {
    case TensorProto::FLOAT: return copy_list(tensor.float_data(), to);
    case TensorProto::DOUBLE: return copy_list(tensor.double_data(), to);
    case TensorProto::INT64: return copy_list(tensor.int64_data(), to);
    case TensorProto::FLOAT16: case TensorProto::BFLOAT16: return type ? copy_bits(tensor, type, to) : -1;
    default: return type ? copy_list(tensor.int32_data(), to) : -1;
    }
}

/* The values as the file has them. */
int reader::fill(const source &from, named_tensor *to, diag *messages)
{
    if (from.list) {
        int failed = from.list->floats_size() ? copy_list(from.list->floats(), to) : copy_list(from.list->ints(), to);
        if (to->n == 1 && from.list->type() == AttributeProto::FLOAT) return to->data[0] = from.list->f(), 0;
        if (to->n == 1 && from.list->type() == AttributeProto::INT)
            return to->data[0] = static_cast<float>(from.list->i()), 0;
        if (!failed) return 0;
    } else {
        const TensorProto &tensor = *from.tensor;
        const element_row *type = element_of_onnx(tensor.data_type());
        const std::string &raw = tensor.raw_data();
        if (tensor.data_location() == TensorProto::EXTERNAL) return beside.read(tensor, type, to, messages);
        if (type && !raw.empty() && raw.size() / type->bytes == to->n && raw.size() % type->bytes == 0) {
            elements_read(type, reinterpret_cast<const unsigned char *>(raw.data()), to->n, to->data);
            return 0;
        }
        if (raw.empty() && !copy_typed(tensor, type, to)) return 0;
    }
    diag_error(messages, path, 0, nullptr,
               "tensor '%s' has not the %zu values its sizes ask for, or of a type not supported (%d)", to->name, to->n,
               from.tensor ? static_cast<int>(from.tensor->data_type()) : 0);
    return -1;
}

int fill_value(void *made_by, const graph_value *value, named_tensor *to, diag *d)
{
    return static_cast<reader *>(made_by)->fill(*static_cast<const source *>(value->source), to, d);
}

/* A small constant's numbers: whole ones exactly. */
void keep_numbers(graph_value *v, const source &from, reader *r)
{
    size_t n;
    if (tensor_count(v->dims, v->dim, &n) || !n || n > GRAPH_NUMBERS) return;
    v->number = static_cast<double *>(mem_calloc(n, sizeof(double)));
    const TensorProto *t = from.tensor;
    if (t && t->data_type() == TensorProto::INT64 && t->raw_data().size() == n * 8) {
        for (size_t i = 0; i < n; ++i) {
            int64_t whole;
            memcpy(&whole, t->raw_data().data() + 8 * i, 8);
            v->number[i] = static_cast<double>(whole);
        }
    } else {
        float data[GRAPH_NUMBERS];
        named_tensor list = {};
        list.name = v->name, list.n = n, list.data = data;
        diag *quiet = diag_new();
        int failed = r->fill(from, &list, quiet);
        diag_free(quiet);
        if (failed) return;
        for (size_t i = 0; i < n; ++i) v->number[i] = static_cast<double>(data[i]);
    }
    v->numbers = static_cast<int>(n);
}

/* Sizes and kind of a constant; -1 where they are none. */
int reader::describe(const source &from, graph_value *v)
{
    if (from.list) {
        bool one = from.list->type() == AttributeProto::FLOAT || from.list->type() == AttributeProto::INT;
        v->is_float = from.list->type() == AttributeProto::FLOAT || from.list->type() == AttributeProto::FLOATS;
        v->dims = one ? 0 : 1;
        v->dim[0] = static_cast<size_t>(v->is_float ? from.list->floats_size() : from.list->ints_size());
        return 0;
    }
    const element_row *type = element_of_onnx(from.tensor->data_type());
    v->is_float = !type || !type->integer;
    for (int64_t k : from.tensor->dims()) {
        if (k < 0 || v->dims == TENSOR_MAX_DIMS) {
            diag_error(d, path, 0, nullptr, "a tensor of negative size, or of more than %d dimensions",
                       TENSOR_MAX_DIMS);
            return -1;
        }
        v->dim[v->dims++] = static_cast<size_t>(k);
    }
    return 0;
}

/* Makes a value constant, unless it is one already. */
int reader::constant(const std::string &name, const source &from)
{
    int at = value(name);
    if (at < 0 || values[static_cast<size_t>(at)].constant) return 0;
    graph_value v = {};
    bool outside = from.tensor && from.tensor->data_location() == TensorProto::EXTERNAL;
    if (outside && !beside.open(*from.tensor, d)) return -1;
    if (describe(from, &v)) return -1;
    v.constant = 1;
    v.name = values[static_cast<size_t>(at)].name;
    sources.push_back(from);
    v.source = &sources.back();
    keep_numbers(&v, from, this);
    values[static_cast<size_t>(at)] = v;
    return 0;
}

/* Constant: "value" is a tensor, the other spellings are numbers. Texts and sparse tensors are nothing known. */
int reader::constant_node(const NodeProto &op)
{
    for (const AttributeProto &a : op.attribute()) {
        if (a.has_t()) return constant(op.output(0), { &a.t(), nullptr });
        if (a.name() == "value_float" || a.name() == "value_floats" || a.name() == "value_int" ||
            a.name() == "value_ints")
            return constant(op.output(0), { nullptr, &a });
    }
    return 0;
}

/* The numbers of an attribute, as many as are kept. */
void numbers_of(const AttributeProto &a, graph_attribute *to)
{
    std::vector<double> list;
    if (a.type() == AttributeProto::INT) list.push_back(static_cast<double>(a.i()));
    if (a.type() == AttributeProto::FLOAT) list.push_back(static_cast<double>(a.f()));
    for (int i = 0; i < a.ints_size() && i < GRAPH_NUMBERS; ++i) list.push_back(static_cast<double>(a.ints(i)));
    for (int i = 0; i < a.floats_size() && i < GRAPH_NUMBERS; ++i) list.push_back(static_cast<double>(a.floats(i)));
    if (list.size() > GRAPH_NUMBERS) list.resize(GRAPH_NUMBERS);
    to->n = static_cast<int>(list.size());
    to->number = static_cast<double *>(mem_calloc(list.size() + 1, sizeof(double)));
    for (int i = 0; i < to->n; ++i) to->number[i] = list[static_cast<size_t>(i)];
}

/* Those that are numbers or texts, as the graph keeps them. */
int reader::attributes(const NodeProto &op, graph_node *to)
{
    size_t n = static_cast<size_t>(op.attribute_size());
    to->attribute = static_cast<graph_attribute *>(mem_calloc(n + 1, sizeof(graph_attribute)));
    for (const AttributeProto &a : op.attribute()) {
        graph_attribute *made = &to->attribute[to->attributes++];
        made->name = text_of(a.name());
        if (a.type() == AttributeProto::STRING) made->text = text_of(a.s().substr(0, 64));
        numbers_of(a, made);
    }
    return 0;
}

/* One node; what a Constant says becomes a constant. */
int reader::node(const NodeProto &op, graph_node *to)
{
    to->inputs = op.input_size();
    to->outputs = op.output_size();
    to->layer = -1;
    to->name = text_of(!op.name().empty() || !op.output_size() ? op.name() : op.output(0));
    to->op = text_of(op.op_type());
    to->foreign = !op.domain().empty() && op.domain() != "ai.onnx";
    to->value = static_cast<int *>(mem_calloc(static_cast<size_t>(to->inputs + to->outputs) + 1, sizeof(int)));
    for (int i = 0; i < to->inputs; ++i) to->value[i] = value(op.input(i));
    for (int i = 0; i < to->outputs; ++i) to->value[to->inputs + i] = value(op.output(i));
    if (op.op_type() == "Constant" && op.output_size() && constant_node(op)) return -1;
    return attributes(op, to);
}

/* What the model is given: sizes as declared, 0 where they are left open. */
void reader::inputs(const onnx::GraphProto &g)
{
    for (const onnx::ValueInfoProto &in : g.input()) {
        int at = value(in.name());
        if (at < 0 || values[static_cast<size_t>(at)].constant) continue;
        graph_value *v = &values[static_cast<size_t>(at)];
        v->is_input = 1;
        for (const auto &k : in.type().tensor_type().shape().dim())
            if (v->dims < TENSOR_MAX_DIMS) v->dim[v->dims++] = k.dim_value() > 0 ? static_cast<size_t>(k.dim_value())
                : 0;
    }
}

/* From the outputs backwards; nodes stand in the order in which they run. */
void reader::mark_needed()
{
    std::vector<char> needed(values.size(), graph->outputs ? 0 : 1);
    for (int i = 0; i < graph->outputs; ++i)
        if (graph->output[i] >= 0) needed[static_cast<size_t>(graph->output[i])] = 1;
    for (int k = graph->nodes - 1; k >= 0; --k) {
        graph_node *node = &graph->node[k];
        for (int i = 0; i < node->outputs; ++i)
            if (node->value[node->inputs + i] >= 0)
                node->needed |= needed[static_cast<size_t>(node->value[node->inputs + i])];
        for (int i = 0; node->needed && i < node->inputs; ++i)
            if (node->value[i] >= 0) needed[static_cast<size_t>(node->value[i])] = 1;
    }
}

int reader::too_large(const onnx::GraphProto &g)
{
    size_t places = static_cast<size_t>(g.input_size()) + static_cast<size_t>(g.output_size());
    for (const NodeProto &n : g.node()) places += static_cast<size_t>(n.input_size())
        + static_cast<size_t>(n.output_size());
    if (g.node_size() <= GRAPH_MOST_NODES && g.initializer_size() <= TENSOR_MAX && places <= GRAPH_MOST_PLACES)
        return 0;
    diag_error(d, path, 0, nullptr, "more nodes or tensors than any model has");
    return -1;
}

/* Fills the graph but for its values, which are still growing. */
int reader::build(const onnx::ModelProto &model)
{
    const onnx::GraphProto &g = model.graph();
    int failed = too_large(g);
    graph->opset = 1;
    for (const auto &set : model.opset_import())
        if (set.domain().empty() || set.domain() == "ai.onnx") graph->opset = static_cast<int>(set.version());
    for (int i = 0; i < g.initializer_size() && !failed; ++i)
        failed = constant(g.initializer(i).name(), { &g.initializer(i), nullptr });
    if (failed) return -1;
    inputs(g);
    graph->node = static_cast<graph_node *>(mem_calloc(static_cast<size_t>(g.node_size()) + 1, sizeof(graph_node)));
    for (int i = 0; i < g.node_size() && !failed; ++i) failed = node(g.node(i), &graph->node[graph->nodes++]);
    graph->output = static_cast<int *>(mem_calloc(static_cast<size_t>(g.output_size()) + 1, sizeof(int)));
    for (const onnx::ValueInfoProto &out : g.output()) graph->output[graph->outputs++] = value(out.name());
    mark_needed();
    return failed;
}

int reader::read(const onnx::ModelProto &model)
{
    int failed = build(model);
    graph->values = static_cast<int>(values.size());
    graph->value = static_cast<graph_value *>(mem_calloc(values.size() + 1, sizeof(graph_value)));
    for (size_t i = 0; i < values.size(); ++i) graph->value[i] = values[i];
    graph->fill = fill_value;
    graph->reader = this;
    return failed ? -1 : graph_weights(graph, t, d);
}

} // namespace

/* Parses the file; no exception leaves it. */
extern "C" int onnx_read(const file_image *file, named_tensors *tensors, diag *d)
{
    const char *why = "cannot be parsed";
    try {
        google::protobuf::SetLogHandler(nullptr);
        onnx::ModelProto m;
        if (file->n > INT_MAX) why = "is larger than 2 GB";
        else if (m.ParseFromArray(file->byte, static_cast<int>(file->n)) && m.has_graph()) {
            reader r(file->path, tensors, d);
            tensors->graph = r.graph;
            int failed = r.read(m);
            r.graph->reader = nullptr;
            return failed;
        }
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
