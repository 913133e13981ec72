/* Building an ONNX model node by node and writing it, checked: a C face on libonnx (onnx_write.cpp, the only file that
 * knows it). Built with ONNX=0 there is nothing behind it: onnx_begin says so. */
#ifndef DISTILL_ONNX_WRITE_H
#define DISTILL_ONNX_WRITE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ONNX_OPSET = 13 };

typedef struct onnx_model onnx_model;
typedef enum { ONNX_FLOATS, ONNX_HALVES, ONNX_ROUNDED } onnx_precision;

/* A model with one input, "input", of floats: (N, c, h, w), N symbolic; the caller frees. NULL with a reason in
 * `why`. */
onnx_model *onnx_begin(const char *name, int c, int h, int w, char *why, size_t why_len);
void onnx_free(onnx_model *model);

/* Appends a node that reads `inputs` names ("" = an optional one left out) and makes `out`, which also names it. */
void onnx_node(onnx_model *model, const char *op, const char *const *in, int inputs, const char *out);
/* Attributes of the node appended last. */
void onnx_int(onnx_model *model, const char *key, int64_t value);
void onnx_float(onnx_model *model, const char *key, float value);
void onnx_text(onnx_model *model, const char *key, const char *value);
void onnx_ints(onnx_model *model, const char *key, const int64_t *value, int values);
/* Constants; the values are copied. */
void onnx_floats(onnx_model *model, const char *name, const int64_t *dim, int dims, const float *value);
/* The same of weights, in this precision. ONNX_HALVES stores half of the bytes, rounded to nearest, and a Cast makes
 * floats of them; ONNX_ROUNDED stores these very floats. -1 if one is too large for a half. */
int onnx_weights(onnx_model *model, const char *name, const int64_t *dim, int dims, const float *value,
                 onnx_precision precision);
void onnx_int64s(onnx_model *model, const char *name, const int64_t *value, int values);
/* Declares an output of floats, (N, dim...). */
void onnx_output(onnx_model *model, const char *name, const int64_t *dim, int dims);

/* Runs ONNX's own checker (shapes inferred too) and writes to `file`. -1 with a reason in `why`. */
int onnx_finish(onnx_model *model, FILE *file, char *why, size_t why_len);

#ifdef __cplusplus
}
#endif
#endif
