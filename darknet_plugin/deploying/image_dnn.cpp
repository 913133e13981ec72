/* OpenCV's DNN module behind a C face (see image_io.h): networks read and run by somebody else than Darknet. */
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/data/image_internal.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <opencv2/dnn.hpp>

struct dnn_net {
    cv::dnn::Net net;
};

/* OpenCV would start a thread pool of its own next to ours. */
static dnn_net *take(cv::dnn::Net net)
{
    net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    net.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
    return new dnn_net{ net };
}

extern "C" dnn_net *dnn_read_darknet(const char *cfg, const char *weights, char *why, size_t why_len)
{
    try {
        quiet();
        cv::setNumThreads(1);
        return take(cv::dnn::readNetFromDarknet(std::string(cfg), std::string(weights)));
    } catch (const std::exception &e) {
        fail(why, why_len, e);
        return NULL;
    }
}

extern "C" dnn_net *dnn_read_onnx(const char *path, char *why, size_t why_len)
{
    try {
        quiet();
        cv::setNumThreads(1);
        return take(cv::dnn::readNetFromONNX(std::string(path)));
    } catch (const std::exception &e) {
        fail(why, why_len, e);
        return NULL;
    }
}

static bool ends(const std::string &name, const std::string &suffix)
{
    return name.size() >= suffix.size() && !name.compare(name.size() - suffix.size(), suffix.size(), suffix);
}

/* "" if no layer's name ends so. */
static std::string layer_ending(const dnn_net *net, const std::string &suffix)
{
    std::vector<std::string> names = net->net.getLayerNames();
    for (size_t i = names.size(); i-- > 0;)
        if (ends(names[i], suffix)) return names[i];
    return "";
}

/* Layer 7 becomes conv_7, bn_7, and its activation relu_8: the importer counts on before it adds that. */
extern "C" int dnn_darknet_name(const dnn_net *net, int i, char *name, size_t len)
{
    static const char *const activations[] = { "relu_", "leaky_", "logistic_", "tanh_", "swish_", "mish_" };
    std::string own = "_" + std::to_string(i), next = std::to_string(i + 1), found;
    try {
        for (const std::string &s : net->net.getLayerNames()) {
            bool activation = false, activates = false;
            for (const char *a : activations) {
                activation = activation || !s.compare(0, strlen(a), a);
                activates = activates || s == a + next;
            }
            if (activates || (!activation && ends(s, own))) found = s;
        }
    } catch (const std::exception &) {
        return -1;
    }
    snprintf(name, len, "%s", found.c_str());
    return found.empty() ? -1 : 0;
}

/* Images, (n, c, h, w) floats, not copied. */
static cv::Mat input_of(const float *images, int n, int c, int h, int w)
{
    const int shape[4] = { n, c, h, w };
    return cv::Mat(4, shape, CV_32F, const_cast<float *>(images));
}

extern "C" int dnn_forward_layer(dnn_net *net, const char *suffix, const float *image, int c, int h, int w, float *out,
                                 int max, char *why, size_t why_len)
{
    try {
        std::string name = suffix ? layer_ending(net, suffix) : "";
        if (suffix && name.empty()) return fail(why, why_len, "there is no such layer");
        net->net.setInput(input_of(image, 1, c, h, w).clone());
        cv::Mat y = net->net.forward(name).clone();
        if (y.type() != CV_32F) return fail(why, why_len, "the layer's output is not of floats");
        size_t count = std::min(y.total(), (size_t)max);
        memcpy(out, y.ptr<float>(), count * sizeof *out);
        return (int)count;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

/* Of an image (c, h, w): the answers of all output layers, one after another. */
extern "C" int dnn_forward_rows(dnn_net *net, const float *image, int c, int h, int w, int columns, float **rows,
                                char *why, size_t why_len)
{
    *rows = NULL;
    try {
        std::vector<cv::Mat> y;
        size_t all = 0;
        net->net.setInput(input_of(image, 1, c, h, w).clone());
        net->net.forward(y, net->net.getUnconnectedOutLayersNames());
        for (const cv::Mat &m : y) {
            if (m.dims != 2 || m.cols != columns || m.type() != CV_32F)
                return fail(why, why_len, "an output is no table of boxes");
            all += m.total();
        }
        float *to = *rows = (float *)malloc((all ? all : 1) * sizeof **rows);
        if (!to) return fail(why, why_len, "out of memory");
        for (const cv::Mat &m : y) {
            memcpy(to, m.ptr<float>(), m.total() * sizeof *to);
            to += m.total();
        }
        return (int)(all / (size_t)columns);
    } catch (const std::exception &e) {
        free(*rows);
        *rows = NULL;
        return fail(why, why_len, e);
    }
}

extern "C" int dnn_run(dnn_net *net, const float *images, int n, int c, int h, int w, char *why, size_t why_len)
{
    try {
        std::vector<cv::Mat> y;
        net->net.setInput(input_of(images, n, c, h, w));
        net->net.forward(y, net->net.getUnconnectedOutLayersNames());
        return 0;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" void dnn_set_threads(int threads)
{
    cv::setNumThreads(threads);
}

extern "C" void dnn_free(dnn_net *net)
{
    delete net;
}
