/* OpenCV behind a C face: pictures, drawing, video and its DNN module. Built as C++ (image_io.cpp); JPEG is decoded
 * beside it (image_decode.c). */
#ifndef DISTILL_IMAGE_IO_H
#define DISTILL_IMAGE_IO_H
#include "image_file.h"
#include "darknet_plugin/base/diag.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Decodes a JPEG, PNG, BMP, PNM, TIFF or WebP to 8-bit interleaved (h, w, c): RGB for channels=3, grey for 1. *pixels
 * is the caller's to free() . 0, or -1 with a reason in `why` (not there, not an image, too large). */
int image_decode(const char *path, int channels, uint8_t **pixels, int *w, int *h, char *why, size_t why_len);
/* The same of a file that has been read. */
int image_decode_file(const image_file *file, int channels, uint8_t **pixels, int *w, int *h, char *why,
                      size_t why_len);
/* The same by OpenCV, whatever kind it is: the same bytes, later. */
int image_decode_opencv(const image_file *file, int channels, uint8_t **pixels, int *w, int *h, char *why,
                        size_t why_len);
/* Shrinks a picture, (h, w, channels), to at most `side` pixels on its shorter side, each the mean of those it covers;
 * *pixels is replaced. 0, or -1 with a reason, then it is as it was. */
int image_reduce(uint8_t **pixels, int *w, int *h, int channels, int side, char *why, size_t why_len);
/* Writes an 8-bit (h, w, c) RGB or grey image as PNG/JPEG by the name's extension, whole or not at all (see
 * out_file.h). 0, or -1 with a message. */
int image_save(const char *path, const uint8_t *pixels, int w, int h, int c, diag *d);
/* The same of (h, w, c), without the message. */
int image_write(const char *path, const uint8_t *pixels, int w, int h, int c);

/* The same as bytes of a file of that kind, ".png" or ".jpg", the picture shrunk, in its shape, until neither side is
 * longer than `most` (0: as it is). *bytes is the caller's to free(). 0, or -1 with a reason in `why`. */
int image_encode(const char *kind, const uint8_t *pixels, int w, int h, int c, int most, uint8_t **bytes, size_t *n,
                 char *why, size_t why_len);

/* A rectangle in pixels; right and bottom are the first ones outside. */
typedef struct image_box {
    int left, top, right, bottom;
} image_box;

/* Draws a frame just inside `box` and, at its top left corner and wholly in the picture, `label` (ASCII; NULL or "":
 * none) on a ground of the same colour. pixels: (h, w, 3) RGB, changed. Lines and letters grow with the picture. A box
 * that leaves the picture is cut at its border; one outside draws nothing. 0, or -1 if OpenCV refuses. */
int image_draw_box(uint8_t *pixels, int w, int h, image_box box, const uint8_t colour[3], const char *label);

/* A picture, 8-bit RGB (h, w, 3). */
typedef struct image_rgb {
    uint8_t *pixels;
    int w, h;
} image_rgb;

/* A new picture, *out, with two others next to each other under a caption each (NULL: none). out->pixels is the
 * caller's to free(). 0, or -1 if it would be too large or OpenCV refuses. */
int image_side_by_side(const image_rgb *left, const image_rgb *right, const char *left_caption,
                       const char *right_caption, image_rgb *out);

typedef struct video_in video_in;
/* A video file, or the camera of that number where `source` is all digits. NULL with a reason in `why`. */
video_in *video_open(const char *source, char *why, size_t why_len);
double video_fps(const video_in *video);   /* frames a second; 25 where the source does not say */
/* The next frame, whose pixels are the caller's to free(). 1; 0 at the end; -1 with a reason in `why`. */
int video_next(video_in *video, image_rgb *frame, char *why, size_t why_len);
void video_close(video_in *video);

typedef struct video_out video_out;
/* Writes a video of w x h pixels: .mp4 (MPEG-4), .avi (motion JPEG). It has another name, beside its own, until
 * video_finish. An odd last row or column may be cut off. NULL with a reason in `why`. */
video_out *video_create(const char *path, int w, int h, double fps, char *why, size_t why_len);
int video_add(video_out *video, const uint8_t *pixels, char *why, size_t why_len);   /* (h, w, 3) RGB; 0 or -1 */
/* Ends the file and frees video; keep=0 throws it away. 0, or -1 with a reason, then there is no file either. */
int video_finish(video_out *video, int keep, char *why, size_t why_len);

/* OpenCV's own reading of a Darknet cfg + weights. NULL with a reason in `why`. */
typedef struct dnn_net dnn_net;
dnn_net *dnn_read_darknet(const char *cfg, const char *weights, char *why, size_t why_len);
/* The same of an ONNX file. */
dnn_net *dnn_read_onnx(const char *path, char *why, size_t why_len);
/* What OpenCV calls the output of layer i of a Darknet cfg; -1 if there is none. */
int dnn_darknet_name(const dnn_net *net, int i, char *name, size_t len);
/* Runs one image, (c, h, w) floats, up to the last layer whose name ends in `suffix` (NULL: the last of all); copies up
 * to `max` of its outputs; returns how many, -1 on error. */
int dnn_forward_layer(dnn_net *net, const char *suffix, const float *image, int c, int h, int w, float *out, int max,
                      char *why, size_t why_len);
/* All outputs for x, (c, h, w) floats, which must be tables of `columns` (a detector's: x, y, w, h, objectness,
 * classes): *rows, the caller's to free(). How many rows; -1 with a reason. */
int dnn_forward_rows(dnn_net *net, const float *image, int c, int h, int w, int columns, float **rows, char *why,
                     size_t why_len);
/* Runs images, (n, c, h, w) floats, up to every output layer; the answers are dropped: for timing. 0, or -1 with a
 * reason. */
int dnn_run(dnn_net *net, const float *images, int n, int c, int h, int w, char *why, size_t why_len);
void dnn_set_threads(int threads);    /* how many OpenCV computes with; dnn_read_darknet sets 1 */
void dnn_free(dnn_net *net);
const char *image_io_version(void);         /* "OpenCV 4.6.0" */
const char *image_decode_version(void);     /* "libjpeg-turbo 2.1.5" */
const char *image_io_version_onnx(void);    /* "OpenCV 4.6.0 ONNX" */

#ifdef __cplusplus
}
#endif
#endif
