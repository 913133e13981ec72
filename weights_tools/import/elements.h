/* The number types that tensors are stored in, little-endian, and their conversion to float32. */
#ifndef DISTILL_ELEMENTS_H
#define DISTILL_ELEMENTS_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct element_row {
    const char *torch, *safetensors;    /* FloatStorage, F32 */
    int onnx;                           /* TensorProto.DataType */
    size_t bytes;
    int integer;
    float (*read)(const unsigned char *from);
} element_row;

const element_row *element_of_torch(const char *storage, size_t len);    /* NULL if unknown */
const element_row *element_of_safetensors(const char *dtype);
const element_row *element_of_onnx(int type);
/* n numbers that lie one after another. */
void elements_read(const element_row *type, const unsigned char *from, size_t n, float *to);

#ifdef __cplusplus
}
#endif
#endif
