/* OpenCV behind a C face (see image_io.h). No exception leaves it.
 *
 * The host's own loader hands the name of an unreadable image to a shell; this one gets bytes that image_file.c
 * has read and looked at, and never runs anything. */
#include "image_io.h"
#include "image_internal.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/utf8.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

struct video_in {
    cv::VideoCapture capture;
};

struct video_out {
    cv::VideoWriter writer;
    std::string path, part;   /* where it shall be, where it is until then */
    int w, h;
    int frames;
    unfinished left;          /* `part`, until it is finished */
    ~video_out() { unfinished_end(&left); }
};

namespace {

int check_video(const char *path, char *why, size_t len)
{
    struct stat st;
    if (stat(path, &st)) return fail(why, len, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fail(why, len, "not a regular file");
    return access(path, R_OK) ? fail(why, len, strerror(errno)) : 0;
}

/* The picture as bytes of our own, (h, w, c). */
int hand_over(const cv::Mat &mat, uint8_t **pixels, int *w, int *h, char *why, size_t len)
{
    size_t row = (size_t)mat.cols * mat.elemSize();
    uint8_t *out = (uint8_t *)malloc(row * (size_t)mat.rows);
    if (!out) return fail(why, len, "out of memory");
    for (int y = 0; y < mat.rows; ++y) memcpy(out + (size_t)y * row, mat.ptr(y), row);
    *pixels = out;
    *w = mat.cols;
    *h = mat.rows;
    return 0;
}

cv::Mat decode(const image_file *file, int channels)
{
    int jpeg = file->n > 1 && file->byte[0] == 0xff && file->byte[1] == 0xd8;
    cv::Mat bytes(1, (int)file->n + (jpeg ? IMAGE_PADDING : 0), CV_8UC1, file->byte);
    cv::Mat m = image_decode_deep(file, bytes, channels == 3 ? cv::IMREAD_COLOR : cv::IMREAD_GRAYSCALE);
    if (!m.empty() && channels == 3) cv::cvtColor(m, m, cv::COLOR_BGR2RGB);
    return m;
}

/* A picture, (h, w, c), as the bytes of a file of that kind, ".png" or the like. */
int encode(const char *kind, const uint8_t *pixels, int w, int h, int c, std::vector<uchar> &bytes, char *why,
           size_t len)
{
    if ((c != 1 && c != 3) || w < 1 || h < 1) return fail(why, len, "not a picture's size");
    try {
        cv::Mat m(h, w, c == 3 ? CV_8UC3 : CV_8UC1, const_cast<uint8_t *>(pixels)), bgr;
        if (c == 3) cv::cvtColor(m, bgr, cv::COLOR_RGB2BGR);
        if (!cv::haveImageWriter(std::string("x") + kind))
            return fail(why, len, "its name ends on no kind that OpenCV writes, such as .png or .jpg");
        if (!cv::imencode(kind, c == 3 ? bgr : m, bytes)) return fail(why, len, "OpenCV refuses it");
        return 0;
    } catch (const std::exception &e) {
        return fail(why, len, e);
    }
}

}

extern "C" int image_decode_opencv(const image_file *file, int channels, uint8_t **pixels, int *w, int *h, char *why,
                                   size_t why_len)
{
    *pixels = NULL;
    if (channels != 1 && channels != 3) return fail(why, why_len, "images have 1 or 3 channels");
    try {
        cv::Mat m = decode(file, channels);
        if (m.empty()) return fail(why, why_len, "not an image that OpenCV reads, or damaged");
        if (image_check_size((size_t)m.cols, (size_t)m.rows, why, why_len)) return -1;
        return hand_over(m, pixels, w, h, why, why_len);
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" int image_reduce(uint8_t **pixels, int *w, int *h, int channels, int side, char *why, size_t why_len)
{
    int shorter = std::min(*w, *h);
    if (shorter <= side) return 0;
    try {
        cv::Mat from(*h, *w, channels == 3 ? CV_8UC3 : CV_8UC1, *pixels), to;
        auto reduced = [&](int length) { return std::max(1, (int)((int64_t)length * side / shorter)); };
        cv::resize(from, to, cv::Size(reduced(*w), reduced(*h)), 0, 0, cv::INTER_AREA);
        uint8_t *before = *pixels;
        if (hand_over(to, pixels, w, h, why, why_len)) return -1;
        free(before);
        return 0;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" int image_save(const char *path, const uint8_t *pixels, int w, int h, int c, diag *d)
{
    const char *dot = strrchr(path_base_name(path), '.');
    std::vector<uchar> bytes;
    char why[256] = "";
    out_file f;
    if (encode(dot ? dot : "", pixels, w, h, c, bytes, why, sizeof why)) {
        diag_error(d, path, 0, NULL, "cannot write this picture: %s", why);
        return -1;
    }
    if (out_file_open(&f, path, d)) return -1;
    return out_file_close(&f, fwrite(bytes.data(), 1, bytes.size(), f.file) != bytes.size(), d);
}

extern "C" int image_write(const char *path, const uint8_t *pixels, int w, int h, int c)
{
    diag *unheard = diag_new();
    int failed = image_save(path, pixels, w, h, c, unheard);
    diag_free(unheard);
    return failed;
}

extern "C" int image_encode(const char *kind, const uint8_t *pixels, int w, int h, int c, int most, uint8_t **bytes,
                            size_t *n, char *why, size_t why_len)
{
    std::vector<uchar> file;
    double part = most ? (double)most / std::max(w, h) : 1;
    try {
        cv::Mat m(h, w, c == 3 ? CV_8UC3 : CV_8UC1, const_cast<uint8_t *>(pixels)), small = m;
        cv::Size size(std::max(1, (int)std::lround(w * part)), std::max(1, (int)std::lround(h * part)));
        if (part < 1) cv::resize(m, small, size, 0, 0, cv::INTER_AREA);
        if (encode(kind, small.data, small.cols, small.rows, c, file, why, why_len)) return -1;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
    *n = file.size();
    *bytes = (uint8_t *)malloc(*n ? *n : 1);
    if (!*bytes) return fail(why, why_len, "out of memory");
    memcpy(*bytes, file.data(), *n);
    return 0;
}

namespace {

/* A line of text as OpenCV will draw it. */
struct text_line {
    double scale;
    int thickness, width, height, margin;   /* height includes what hangs below the line */
    int base;                               /* how much hangs */
};

/* What the font has of a text. */
std::string drawable(const char *text)
{
    std::string plain(text);
    utf8_plain(&plain[0]);
    plain.resize(strlen(plain.c_str()));
    return plain;
}

/* For a picture of w x h pixels. */
text_line measure_text(const char *text, int w, int h)
{
    text_line t;
    double size = std::max(9., std::min(w, h) / 40.);   /* of a capital letter, in pixels */
    t.scale = size / 21;                                /* which this font has at scale 1 */
    t.thickness = std::max(1, (int)std::lround(t.scale * 1.4));
    cv::Size s = cv::getTextSize(drawable(text), cv::FONT_HERSHEY_SIMPLEX, t.scale, t.thickness, &t.base);
    t.width = s.width;
    t.height = s.height + t.base;
    t.margin = std::max(2, (int)std::lround(size / 5));
    return t;
}

void put_text(cv::Mat &mat, const char *text, const text_line &line, int left, int top, const cv::Scalar &colour)
{
    cv::Point at(left, top + line.height - line.base);
    cv::putText(mat, drawable(text), at, cv::FONT_HERSHEY_SIMPLEX, line.scale, colour, line.thickness, cv::LINE_AA);
}

/* Black on light, white on dark (luma of ITU-R BT.601). */
cv::Scalar readable_on(const uint8_t rgb[3])
{
    return .299 * rgb[0] + .587 * rgb[1] + .114 * rgb[2] > 128 ? cv::Scalar(0, 0, 0) : cv::Scalar(255, 255, 255);
}

void draw_frame(cv::Mat &mat, const cv::Rect &box, const cv::Scalar &colour)
{
    int line = std::max(1, (int)std::lround((mat.cols + mat.rows) * .002));
    line = std::min(line, (std::min(box.width, box.height) + 1) / 2);
    mat(cv::Rect(box.x, box.y, box.width, line)).setTo(colour);
    mat(cv::Rect(box.x, box.y + box.height - line, box.width, line)).setTo(colour);
    mat(cv::Rect(box.x, box.y, line, box.height)).setTo(colour);
    mat(cv::Rect(box.x + box.width - line, box.y, line, box.height)).setTo(colour);
}

/* Above the box where there is room, else from its upper edge down. */
void draw_label(cv::Mat &mat, const cv::Rect &box, const uint8_t colour[3], const char *label)
{
    text_line t = measure_text(label, mat.cols, mat.rows);
    int w = t.width + 2 * t.margin, h = t.height + t.margin, left = std::max(0, std::min(box.x, mat.cols - w));
    int top = box.y >= h ? box.y - h : std::max(0, std::min(box.y, mat.rows - h));
    cv::Rect ground = cv::Rect(left, top, w, h) & cv::Rect(0, 0, mat.cols, mat.rows);
    cv::Mat inside = mat(ground);
    inside.setTo(cv::Scalar(colour[0], colour[1], colour[2]));
    put_text(inside, label, t, t.margin, t.margin / 2, readable_on(colour));
}

}

extern "C" int image_draw_box(uint8_t *pixels, int w, int h, image_box box, const uint8_t colour[3], const char *label)
{
    int left = std::max(box.left, 0), top = std::max(box.top, 0), right = std::min(box.right, w),
        bottom = std::min(box.bottom, h);
    if (left >= right || top >= bottom) return 0;
    try {
        cv::Mat m(h, w, CV_8UC3, pixels);
        cv::Rect r(left, top, right - left, bottom - top);
        draw_frame(m, r, cv::Scalar(colour[0], colour[1], colour[2]));
        if (label && *label) draw_label(m, r, colour, label);
        return 0;
    } catch (const std::exception &) {
        return -1;
    }
}

namespace {

void paste(cv::Mat &to, const image_rgb *from, int left, int top, const char *caption)
{
    cv::Mat(from->h, from->w, CV_8UC3, from->pixels).copyTo(to(cv::Rect(left, top, from->w, from->h)));
    if (!top || !caption) return;
    cv::Mat bar = to(cv::Rect(left, 0, from->w, top));
    text_line t = measure_text(caption, from->w, from->h);
    put_text(bar, caption, t, t.margin, t.margin, cv::Scalar(255, 255, 255));
}

/* Height of the bar that holds a caption. */
int caption_height(const char *caption, const image_rgb *under)
{
    if (!caption) return 0;
    text_line t = measure_text(caption, under->w, under->h);
    return t.height + 2 * t.margin;
}

}

extern "C" int image_side_by_side(const image_rgb *left, const image_rgb *right, const char *left_caption,
                                  const char *right_caption, image_rgb *out)
{
    const int gap = 4;
    *out = image_rgb{ NULL, 0, 0 };
    try {
        int top = std::max(caption_height(left_caption, left), caption_height(right_caption, right)),
            h = std::max(left->h, right->h);
        if (image_check_size((size_t)left->w + (size_t)right->w + gap, (size_t)h + (size_t)top, NULL, 0)) return -1;
        cv::Mat m(h + top, left->w + gap + right->w, CV_8UC3, cv::Scalar(32, 32, 32));
        paste(m, left, 0, top, left_caption);
        paste(m, right, left->w + gap, top, right_caption);
        return hand_over(m, &out->pixels, &out->w, &out->h, NULL, 0);
    } catch (const std::exception &) {
        return -1;
    }
}

namespace {

int is_number(const char *text)
{
    size_t n = strlen(text);
    return n && n < 5 && strspn(text, "0123456789") == n;
}

/* Only what is a file, by a name that no backend takes for an address, a pipeline or a pattern. */
int open_file(cv::VideoCapture &capture, const char *path, char *why, size_t len)
{
    if (check_video(path, why, len)) return -1;
    std::string name = *path == '/' ? path : std::string("./") + path;
    if (capture.open(name, cv::CAP_FFMPEG) || capture.open(name, cv::CAP_OPENCV_MJPEG)) return 0;
    return fail(why, len, "not a video that OpenCV reads, or damaged");
}

int open_camera(cv::VideoCapture &capture, const char *number, char *why, size_t len)
{
    return capture.open(atoi(number), cv::CAP_V4L2) ? 0 : fail(why, len, "no such camera, or it is in use");
}

}

/* No backend may say anything of its own. */
extern "C" video_in *video_open(const char *source, char *why, size_t why_len)
{
    video_in *v = NULL;
    try {
        quiet();
        v = new video_in;
        if (!(is_number(source) ? open_camera : open_file)(v->capture, source, why, why_len)) return v;
    } catch (const std::exception &e) {
        fail(why, why_len, e);
    }
    delete v;
    return NULL;
}

extern "C" double video_fps(const video_in *video)
{
    double fps = video->capture.get(cv::CAP_PROP_FPS);
    return fps > 0 && fps <= 1000 ? fps : 25;
}

extern "C" int video_next(video_in *video, image_rgb *frame, char *why, size_t why_len)
{
    *frame = image_rgb{ NULL, 0, 0 };
    try {
        cv::Mat m;
        if (!video->capture.read(m) || m.empty()) return 0;
        if (m.type() != CV_8UC3) return fail(why, why_len, "frames are not of 8-bit colour");
        if (image_check_size((size_t)m.cols, (size_t)m.rows, why, why_len)) return -1;
        cv::cvtColor(m, m, cv::COLOR_BGR2RGB);
        return hand_over(m, &frame->pixels, &frame->w, &frame->h, why, why_len) ? -1 : 1;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" void video_close(video_in *video)
{
    delete video;
}

namespace {

const struct {
    const char *extension;
    int codec;
} containers[] = {
    { ".mp4", cv::VideoWriter::fourcc('m', 'p', '4', 'v') },
    { ".avi", cv::VideoWriter::fourcc('M', 'J', 'P', 'G') },
};

/* `.NAME.tmp.PID.mp4`: OpenCV looks at the ending. */
std::string part_name(const std::string &path, const char *extension)
{
    size_t at = (size_t)(path_base_name(path.c_str()) - path.c_str());
    return path.substr(0, at) + "." + path.substr(at) + ".tmp." + std::to_string(getpid()) + extension;
}

/* Opens the writer that the name asks for, under the name until then. */
int start_video(video_out *video, double fps, char *why, size_t len)
{
    for (const auto &row : containers) {
        size_t n = strlen(row.extension);
        if (video->path.size() <= n || video->path.compare(video->path.size() - n, n, row.extension)) continue;
        video->part = part_name(video->path, row.extension);
        unfinished_begin(&video->left, video->part.c_str());
        if (video->writer.open(video->part, cv::CAP_FFMPEG, row.codec, fps, cv::Size(video->w, video->h))) return 0;
        unlink(video->part.c_str());
        return fail(why, len, "cannot be created, or OpenCV cannot write such a video");
    }
    return fail(why, len, "a video's name ends in .mp4 or .avi");
}

/* OpenCV tells nobody that a disk is full: the file must hold every frame. */
int is_whole(const video_out *video)
{
    cv::VideoCapture written(video->part, cv::CAP_FFMPEG);
    int frames = 0;
    while (written.isOpened() && frames < video->frames && written.grab()) ++frames;
    return frames == video->frames;
}

/* Why a video may be cut short: nobody kept the system's reason. */
const char *likely_reason(const video_out *video)
{
    struct statvfs room;
    struct rlimit most;
    struct stat st;
    if (!getrlimit(RLIMIT_FSIZE, &most) && !stat(video->part.c_str(), &st) && most.rlim_cur != RLIM_INFINITY &&
        (double)st.st_size + 1e5 > (double)most.rlim_cur) return strerror(EFBIG);
    return !statvfs(video->part.c_str(), &room) && (double)room.f_bavail * (double)room.f_frsize < 1e6
        ? strerror(ENOSPC) : "OpenCV could not write all of it";
}

int keep_video(const video_out *video, char *why, size_t len)
{
    if (!is_whole(video)) return fail(why, len, likely_reason(video));
    int fd = open(video->part.c_str(), O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) || out_file_rename(video->part.c_str(), video->path.c_str()), problem = errno;
    if (fd >= 0) close(fd);
    return failed ? fail(why, len, strerror(problem)) : 0;
}

}

/* w x h pixels a frame. */
extern "C" video_out *video_create(const char *path, int w, int h, double fps, char *why, size_t why_len)
{
    if (w < 2 || h < 2 || !(fps > 0)) {
        fail(why, why_len, "a video needs at least 2x2 pixels and a rate above 0");
        return NULL;
    }
    video_out *v = NULL;
    try {
        quiet();
        v = new video_out{ {}, path, {}, w, h, 0, {} };
        if (!start_video(v, fps, why, why_len)) return v;
    } catch (const std::exception &e) {
        fail(why, why_len, e);
    }
    delete v;
    return NULL;
}

extern "C" int video_add(video_out *video, const uint8_t *pixels, char *why, size_t why_len)
{
    try {
        cv::Mat bgr;
        cv::cvtColor(cv::Mat(video->h, video->w, CV_8UC3, const_cast<uint8_t *>(pixels)), bgr, cv::COLOR_RGB2BGR);
        video->writer.write(bgr);
        ++video->frames;
        return 0;
    } catch (const std::exception &e) {
        return fail(why, why_len, e);
    }
}

extern "C" int video_finish(video_out *video, int keep, char *why, size_t why_len)
{
    int failed = 0;
    try {
        video->writer.release();
    } catch (const std::exception &e) {
        failed = fail(why, why_len, e);
    }
    try {
        if (keep && !failed) failed = keep_video(video, why, why_len);
    } catch (const std::exception &e) {
        failed = fail(why, why_len, e);
    }
    if (!keep || failed) unlink(video->part.c_str());
    delete video;
    return failed;
}

extern "C" const char *image_io_version(void)
{
    return "OpenCV " CV_VERSION;
}

extern "C" const char *image_io_version_onnx(void)
{
    return "OpenCV " CV_VERSION " ONNX";
}
