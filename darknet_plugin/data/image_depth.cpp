/* Images of more, or less, than 8 bits a channel as ones of 8: 0 is 0, the largest number is 255, between them the
 * nearest.
 *
 * OpenCV keeps the upper 8 of 16 bits, which is up to one step less, and takes the numbers of a PNM file as they
 * are, so that one whose largest number is 1023 comes out black. Alpha is left out, what is behind it stays. Floats,
 * which nobody says the range of, and numbers with a sign are refused. */
#include "image_internal.h"

#include <cctype>
#include <cstring>
#include <stdexcept>

#include <opencv2/imgcodecs.hpp>

namespace {

/* Behind blanks and comments. */
size_t pnm_skip(const image_file *file, size_t at)
{
    while (at < file->n && (isspace(file->byte[at]) || file->byte[at] == '#')) {
        int comment = file->byte[at] == '#';
        while (comment && at < file->n && file->byte[at] != '\n') ++at;
        if (at < file->n) ++at;
    }
    return at;
}

/* The third number of a PNM header with three, the largest that a pixel has; 0: this is none. */
int pnm_largest(const image_file *file)
{
    long number = 0;
    size_t at = 2;
    if (file->n < 3 || file->byte[0] != 'P' || !strchr("2356", file->byte[1]) || !file->byte[1]) return 0;
    for (int i = 0; i < 3; ++i) {
        at = pnm_skip(file, at);
        for (number = 0; at < file->n && isdigit(file->byte[at]) && number < 65536; ++at)
            number = number * 10 + file->byte[at] - '0';
    }
    return number < 65536 ? (int)number : 0;
}

int is_tiff(const image_file *file)
{
    return file->n > 3 && (!memcmp(file->byte, "II*", 3) || !memcmp(file->byte, "MM\0*", 4));
}

/* IHDR's bit depth. */
int is_deep_png(const image_file *file)
{
    return file->n > 24 && file->byte[0] == 0x89 && file->byte[1] == 'P' && file->byte[24] == 16;
}

/* Floats as colour are nothing that OpenCV reads: is that what it is? */
void check_numbers(const image_file *file, const cv::Mat &bytes, const cv::Mat &m)
{
    cv::Mat raw = m.empty() && is_tiff(file) ? cv::imdecode(bytes, cv::IMREAD_UNCHANGED) : m;
    if (raw.empty() || raw.depth() == CV_8U || raw.depth() == CV_16U) return;
    throw std::runtime_error("its numbers are floats or have a sign; 8 and 16 bits without are read");
}

}

cv::Mat image_decode_deep(const image_file *file, const cv::Mat &bytes, int flags)
{
    int largest = pnm_largest(file), deep = largest > 255 || is_tiff(file) || is_deep_png(file);
    cv::Mat m = cv::imdecode(bytes, flags | (deep ? cv::IMREAD_ANYDEPTH : 0)), eight;
    if (deep) check_numbers(file, bytes, m);
    int plain = largest && file->byte[1] < '4';    /* a PNM of texts, whose numbers up to 255 OpenCV scales */
    if (m.empty() || (m.depth() == CV_8U && (!largest || largest == 255 || plain))) return m;
    if (!largest) largest = m.depth() == CV_16U ? 65535 : 255;
    m.convertTo(eight, CV_8U, 255. / largest);
    return eight;
}
