/* What image_io.cpp and image_dnn.cpp share. */
#ifndef DISTILL_IMAGE_INTERNAL_H
#define DISTILL_IMAGE_INTERNAL_H
#include "image_file.h"

#include <cstdio>
#include <exception>
#include <string>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>

inline int fail(char *why, size_t len, const char *text)
{
    if (why && len) snprintf(why, len, "%s", text);
    return -1;
}

/* The first line of an exception's text; of OpenCV's own what it says, without its source positions. */
inline int fail(char *why, size_t len, const std::exception &problem)
{
    const cv::Exception *own = dynamic_cast<const cv::Exception *>(&problem);
    std::string text = own ? own->err : problem.what();
    return fail(why, len, text.substr(0, text.find('\n')).c_str());
}

/* Decodes the file's bytes with OpenCV's flags for colour or grey to 8 bits a channel, whatever it has
 * (image_depth.cpp). An exception where its numbers are floats or have a sign; empty where it is no image. */
cv::Mat image_decode_deep(const image_file *file, const cv::Mat &bytes, int flags);

inline void quiet()
{
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
}

#endif
