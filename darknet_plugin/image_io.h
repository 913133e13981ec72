/* OpenCV behind a C face: decoding, resizing and its DNN module. Built as C++ (image_io.cpp). */
#ifndef DISTILL_IMAGE_IO_H
#define DISTILL_IMAGE_IO_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Decodes any image OpenCV reads to 8-bit interleaved (h, w, c): RGB for channels=3, grey for 1. *pixels is the
 * caller's to free() . 0, or -1 with a reason in `why` (not there, not an image, too large). */
int image_decode(const char *path, int channels, uint8_t **pixels, int *w, int *h, char *why, size_t why_len);
/* Writes an 8-bit (h, w, c) RGB or grey image as PNG/JPEG by the name's extension. 0 or -1. */
int image_write(const char *path, const uint8_t *pixels, int w, int h, int c);

/* OpenCV's own reading of a Darknet cfg + weights. NULL with a reason in `why`. */
typedef struct dnn_net dnn_net;
dnn_net *dnn_read_darknet(const char *cfg, const char *weights, char *why, size_t why_len);
/* The same of an ONNX file. */
dnn_net *dnn_read_onnx(const char *path, char *why, size_t why_len);
/* Runs one image, x = (c, h, w) floats; copies up to `max` outputs of the last layer; returns how many, -1 on error. */
int dnn_forward(dnn_net *n, const float *x, int c, int h, int w, float *out, int max, char *why, size_t why_len);
/* What OpenCV calls the output of layer i of a Darknet cfg; -1 if there is none. */
int dnn_darknet_name(const dnn_net *n, int i, char *name, size_t len);
/* dnn_forward for the last layer whose name ends in `suffix`; NULL: the last layer. */
int dnn_forward_layer(dnn_net *n, const char *suffix, const float *x, int c, int h, int w, float *out, int max, char *why, size_t why_len);
void dnn_free(dnn_net *n);
const char *image_io_version(void);         /* "OpenCV 4.6.0" */
const char *image_io_version_onnx(void);    /* "OpenCV 4.6.0 ONNX" */

#ifdef __cplusplus
}
#endif
#endif
