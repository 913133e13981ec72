/* OpenCV behind a C face (see image_io.h). No exception leaves it.
 *
 * The host's own loader hands the name of an unreadable image to a shell; this one opens the file itself, looks at the
 * size a PNG or JPEG header declares before any memory is spent on it, and never runs anything. */
#include "image_io.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

struct dnn_net {
    cv::dnn::Net net;
};

namespace {

const size_t max_pixels = (size_t)1 << 27;   /* 400 MB as RGB */

int fail(char *why, size_t len, const char *text)
{
    if (why && len) snprintf(why, len, "%s", text);
    return -1;
}

/* The first line of an exception's text: OpenCV's go on with source positions. */
int fail(char *why, size_t len, const std::exception &e)
{
    std::string text = e.what();
    return fail(why, len, text.substr(0, text.find('\n')).c_str());
}

int check_size(size_t w, size_t h, char *why, size_t len)
{
    if (w && h && w <= max_pixels / h) return 0;
    char text[128];
    snprintf(text, sizeof text, "image of %zux%zu pixels, at most %zu are accepted", w, h, max_pixels);
    return fail(why, len, text);
}

size_t word(const unsigned char *b, int n)
{
    size_t v = 0;
    while (n--) v = v << 8 | *b++;
    return v;
}

/* A JPEG's segments up to the frame header (ISO 10918-1 B.2.2). 1 if the size was found. */
int jpeg_size(FILE *f, size_t *w, size_t *h)
{
    unsigned char b[9];
    if (fseek(f, 2, SEEK_SET)) return 0;
    while (fread(b, 1, 4, f) == 4 && b[0] == 0xff) {
        int m = b[1], frame = m >= 0xc0 && m <= 0xcf && m != 0xc4 && m != 0xc8 && m != 0xcc;
        if (frame) {
            if (fread(b, 1, 5, f) != 5) return 0;
            *h = word(b + 1, 2);
            *w = word(b + 3, 2);
            return *h != 0;   /* 0: said later in the file */
        }
        size_t size = word(b + 2, 2);
        if (size < 2 || fseek(f, (long)size - 2, SEEK_CUR)) return 0;
    }
    return 0;
}

int declared_size(FILE *f, size_t *w, size_t *h)
{
    unsigned char b[24];
    size_t n = fread(b, 1, sizeof b, f);
    if (n == 24 && !memcmp(b, "\x89PNG\r\n\x1a\n", 8)) {
        *w = word(b + 16, 4);
        *h = word(b + 20, 4);
        return 1;
    }
    return n > 4 && b[0] == 0xff && b[1] == 0xd8 && jpeg_size(f, w, h);
}

int check_file(const char *path, char *why, size_t len)
{
    struct stat st;
    if (stat(path, &st)) return fail(why, len, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fail(why, len, "not a regular file");
    FILE *f = fopen(path, "rb");
    if (!f) return fail(why, len, strerror(errno));
    size_t w, h;
    int bad = declared_size(f, &w, &h) ? check_size(w, h, why, len) : 0;
    fclose(f);
    return bad;
}

int hand_over(const cv::Mat &m, uint8_t **pixels, int *w, int *h, char *why, size_t len)
{
    size_t row = (size_t)m.cols * m.elemSize();
    uint8_t *out = (uint8_t *)malloc(row * (size_t)m.rows);
    if (!out) return fail(why, len, "out of memory");
    for (int y = 0; y < m.rows; ++y) memcpy(out + (size_t)y * row, m.ptr(y), row);
    *pixels = out;
    *w = m.cols;
    *h = m.rows;
    return 0;
}

cv::Mat decode(const char *path, int channels)
{
    cv::Mat m = cv::imread(path, channels == 3 ? cv::IMREAD_COLOR : cv::IMREAD_GRAYSCALE);
    if (!m.empty() && channels == 3) cv::cvtColor(m, m, cv::COLOR_BGR2RGB);
    return m;
}

void quiet()
{
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
}

}

extern "C" int image_decode(const char *path, int channels, uint8_t **pixels, int *w, int *h, char *why, size_t why_len)
{
    *pixels = NULL;
    if (channels != 1 && channels != 3) return fail(why, why_len, "images have 1 or 3 channels");
    if (check_file(path, why, why_len)) return -1;
    try {
        cv::Mat m = decode(path, channels);
        if (m.empty()) return fail(why, why_len, "not an image that OpenCV reads, or damaged");
        if (check_size((size_t)m.cols, (size_t)m.rows, why, why_len)) return -1;
        return hand_over(m, pixels, w, h, why, why_len);
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" int image_write(const char *path, const uint8_t *pixels, int w, int h, int c)
{
    if ((c != 1 && c != 3) || w < 1 || h < 1) return -1;
    try {
        cv::Mat m(h, w, c == 3 ? CV_8UC3 : CV_8UC1, const_cast<uint8_t *>(pixels)), bgr;
        if (c == 3) cv::cvtColor(m, bgr, cv::COLOR_RGB2BGR);
        return cv::imwrite(path, c == 3 ? bgr : m) ? 0 : -1;
    } catch (const std::exception &) {
        return -1;
    }
}

/* OpenCV would start a thread pool of its own next to ours. */
static dnn_net *take(cv::dnn::Net net)
{
    dnn_net *n = new dnn_net{ net };
    n->net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    n->net.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
    return n;
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
static std::string layer_ending(const dnn_net *n, const std::string &suffix)
{
    std::vector<std::string> names = n->net.getLayerNames();
    for (size_t i = names.size(); i-- > 0;)
        if (ends(names[i], suffix)) return names[i];
    return "";
}

/* Layer 7 becomes conv_7, bn_7, and its activation relu_8: the importer counts on before it adds that. */
extern "C" int dnn_darknet_name(const dnn_net *n, int i, char *name, size_t len)
{
    static const char *const activations[] = { "relu_", "leaky_", "logistic_", "tanh_", "swish_", "mish_" };
    std::string own = "_" + std::to_string(i), next = std::to_string(i + 1), found;
    try {
        for (const std::string &s : n->net.getLayerNames()) {
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

extern "C" int dnn_forward_layer(dnn_net *n, const char *suffix, const float *x, int c, int h, int w, float *out, int max, char *why,
                                 size_t why_len)
{
    try {
        const int shape[4] = { 1, c, h, w };
        std::string name = suffix ? layer_ending(n, suffix) : "";
        if (suffix && name.empty()) return fail(why, why_len, "there is no such layer");
        n->net.setInput(cv::Mat(4, shape, CV_32F, const_cast<float *>(x)).clone());
        cv::Mat y = n->net.forward(name).clone();
        if (y.type() != CV_32F) return fail(why, why_len, "the layer's output is not of floats");
        size_t count = y.total();
        if (count > (size_t)max) count = (size_t)max;
        memcpy(out, y.ptr<float>(), count * sizeof *out);
        return (int)count;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" int dnn_forward(dnn_net *n, const float *x, int c, int h, int w, float *out, int max, char *why, size_t why_len)
{
    return dnn_forward_layer(n, NULL, x, c, h, w, out, max, why, why_len);
}

extern "C" void dnn_free(dnn_net *n)
{
    delete n;
}

extern "C" const char *image_io_version(void)
{
    return "OpenCV " CV_VERSION;
}

extern "C" const char *image_io_version_onnx(void)
{
    return "OpenCV " CV_VERSION " ONNX";
}
